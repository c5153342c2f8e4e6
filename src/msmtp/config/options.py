"""OPTIONS: every command of the configuration files and every option of the command line, declared once.

From this table come the reader of the files, the command line, --help, --pretend, the manual pages, the shell
completions, the editor syntax and docs/options.md.  A row ties together the two ways to say one thing:

command    the word in the file, '' if it can only be said on the command line
long       the long option, '' if there is none
short      the letter of the short option, '' if there is none
argument   whether the option takes an argument: NONE, MAY (attached to it, or not at all), MUST
kind       how a value's text is read: a parser in PARSERS, or the words of WORDS with what each stands for
attribute  where the value lands, on an Account or as ``target`` says; '' if it is ignored
default    the value if nothing sets it
empty      what an empty argument in the file, or an option without its optional argument, stands for; NEEDED if there
           must be an argument
section    the part of the manual it belongs to
label      its key in the output of --pretend, '' if it is not shown there; the order of rows is the order of the output
note       HIDDEN: still understood but no longer documented.  OWN: the C program does not have it; such a long option
           never takes an abbreviation away from one that the C program has
target     ACCOUNT: a setting of the account.  LINE: a field of the CommandLine.  STRUCTURE: shapes the file itself

Rows are written as plain literals because msmtp starts once a mail: the compiler makes a constant of them, which loads
several times faster than calls with keywords do.  The texts about each row are in :mod:`msmtp.config.texts`, which only
--help and the generators load.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar

NEEDED = ...
NONE, MAY, MUST = "none", "may", "must"
ACCOUNT, LINE, STRUCTURE = "account", "line", "structure"
HIDDEN, OWN = "hidden", "own"
SENDMAIL = "sendmail"

# fmt: off
_ROWS: tuple[tuple[object, ...], ...] = (
    ("", "version", "", "none", "nothing", "mode", "", "version", "general", "", "", "line"),
    ("", "help", "", "none", "nothing", "mode", "", "help", "general", "", "", "line"),
    ("", "pretend", "P", "none", "nothing", "pretend", False, True, "general", "", "", "line"),
    ("", "debug", "d", "may", "text", "debug", False, True, "general", "", "", "line"),
    ("", "", "v", "none", "nothing", "debug", False, True, "general", "", "", "line"),

    ("", "configure", "", "must", "text", "configure", None, ..., "mode", "", "", "line"),
    ("", "serverinfo", "S", "none", "nothing", "serverinfo", False, True, "mode", "", "", "line"),
    ("", "rmqs", "", "must", "text", "rmqs", None, "", "mode", "", "", "line"),
    ("", "", "b", "must", "text", "operation", "", ..., "mode", "", "", "line"),
    ("", "", "q", "may", "text", "queue_interval", "", "", "mode", "", "own", "line"),

    ("defaults", "", "", "none", "nothing", "", "", "", "general", "", "", "structure"),
    ("account", "account", "a", "must", "text", "account", None, "", "general", "", "", "structure"),
    ("eval", "", "", "none", "shell", "", "", ..., "general", "", "", "structure"),
    ("", "file", "C", "must", "path", "file", None, "", "general", "", "", "line"),

    ("host", "host", "", "must", "text", "host", "", ..., "connection", "host"),
    ("port", "port", "", "must", "port", "port", 0, ..., "connection", "port"),
    ("source_ip", "source-ip", "", "must", "text", "source_ip", "", "", "connection", "source ip"),
    ("proxy_host", "proxy-host", "", "must", "text", "proxy_host", "", "", "connection", "proxy host"),
    ("proxy_port", "proxy-port", "", "must", "port", "proxy_port", 0, 0, "connection", "proxy port"),
    ("socket", "socket", "", "must", "path", "socket", "", "", "connection", "socket"),
    ("timeout", "timeout", "", "must", "seconds", "timeout", 0, ..., "connection", "timeout"),
    ("connect_timeout", "connect-timeout", "", "must", "seconds", "timeout", 0, ..., "connection", "", "hidden"),
    ("protocol", "protocol", "", "must", "protocol", "protocol", "smtp", ..., "connection", "protocol"),
    ("domain", "domain", "", "must", "text", "domain", "localhost", "", "connection", "domain"),

    ("auth", "auth", "", "may", "method", "auth", "", "on", "authentication", "auth"),
    ("user", "user", "", "must", "text", "user", "", "", "authentication", "user"),
    ("password", "", "", "none", "secret", "password", None, None, "authentication", "password"),
    ("passwordeval", "passwordeval", "", "must", "shell", "passwordeval", "", "", "authentication", "passwordeval"),
    ("ntlmdomain", "", "", "none", "text", "ntlmdomain", "", "", "authentication", "ntlmdomain"),

    ("tls", "tls", "", "may", "switch", "tls", False, True, "tls", "tls"),
    ("tls_starttls", "tls-starttls", "", "may", "switch", "tls_starttls", True, True, "tls", "tls_starttls"),
    ("tls_nostarttls", "", "", "none", "nothing", "tls_starttls", True, False, "tls", "", "hidden"),
    ("tls_trust_file", "tls-trust-file", "", "must", "path", "tls_trust_file", "system", "", "tls", "tls_trust_file"),
    ("tls_crl_file", "tls-crl-file", "", "must", "path", "tls_crl_file", "", "", "tls", "tls_crl_file"),
    ("tls_fingerprint", "tls-fingerprint", "", "must", "fingerprint", "tls_fingerprint", b"", b"", "tls",
     "tls_fingerprint"),
    ("tls_key_file", "tls-key-file", "", "must", "path", "tls_key_file", "", "", "tls", "tls_key_file"),
    ("tls_cert_file", "tls-cert-file", "", "must", "path", "tls_cert_file", "", "", "tls", "tls_cert_file"),
    ("tls_certcheck", "tls-certcheck", "", "may", "switch", "tls_certcheck", True, True, "tls", "tls_certcheck"),
    ("tls_nocertcheck", "", "", "none", "nothing", "tls_certcheck", True, False, "tls", "", "hidden"),
    ("tls_force_sslv3", "tls-force-sslv3", "", "may", "text", "", "", "", "tls", "", "hidden"),
    ("tls_min_dh_prime_bits", "tls-min-dh-prime-bits", "", "must", "size", "tls_min_dh_prime_bits", 0, 0, "tls",
     "tls_min_dh_prime_bits"),
    ("tls_priorities", "tls-priorities", "", "must", "text", "tls_priorities", "", "", "tls", "tls_priorities"),
    ("tls_host_override", "tls-host-override", "", "must", "text", "tls_host_override", "", "", "tls",
     "tls_host_override"),

    ("auto_from", "auto-from", "", "may", "switch", "auto_from", False, True, "sendmail", "auto_from"),
    ("maildomain", "maildomain", "", "must", "text", "maildomain", "", "", "sendmail", "maildomain"),
    ("from", "from", "f", "must", "sender", "from_", None, "", "sendmail", "from"),
    ("", "", "r", "must", "sender", "from_", None, "", "sendmail", "", "own"),
    ("from_full_name", "", "F", "must", "text", "from_full_name", "", "", "sendmail", "from_full_name"),
    ("allow_from_override", "", "", "none", "switch", "allow_from_override", True, True, "sendmail",
     "allow_from_override"),
    ("set_from_header", "set-from-header", "", "may", "auto_on", "set_from_header", "auto", "auto", "sendmail",
     "set_from_header"),
    ("add_missing_from_header", "add-missing-from-header", "", "may", "old_switch", "set_from_header", "auto", "auto",
     "sendmail", "", "hidden"),
    ("set_date_header", "set-date-header", "", "may", "auto", "set_date_header", "auto", "auto", "sendmail",
     "set_date_header"),
    ("add_missing_date_header", "add-missing-date-header", "", "may", "old_switch", "set_date_header", "auto", "auto",
     "sendmail", "", "hidden"),
    ("set_msgid_header", "set-msgid-header", "", "may", "auto", "set_msgid_header", "auto", "auto", "sendmail",
     "set_msgid_header"),
    ("set_to_header", "set-to-header", "", "may", "to_header", "set_to_header", "off", "on", "sendmail",
     "set_to_header"),
    ("undisclosed_recipients", "undisclosed-recipients", "", "may", "undisclosed", "set_to_header", "off",
     "undisclosed_recipients", "sendmail", "", "hidden"),
    ("remove_bcc_headers", "remove-bcc-headers", "", "may", "switch", "remove_bcc_headers", True, True, "sendmail",
     "remove_bcc_headers"),
    ("keepbcc", "keepbcc", "", "may", "inverse", "remove_bcc_headers", True, False, "sendmail", "", "hidden"),
    ("dsn_notify", "dsn-notify", "N", "must", "conditions", "dsn_notify", "", ..., "sendmail", "dsn_notify"),
    ("dsn_return", "dsn-return", "R", "must", "amount", "dsn_return", "", ..., "sendmail", "dsn_return"),
    ("", "", "V", "must", "text", "envelope_id", "", "", "sendmail", "", "own", "line"),
    ("", "rcpt", "", "must", "text", "rcpts", "", ..., "sendmail", "", "own", "line"),
    ("", "dsn-if-offered", "", "none", "nothing", "dsn_if_offered", False, True, "sendmail", "", "own", "line"),
    ("", "smtputf8", "", "none", "nothing", "smtputf8", False, True, "sendmail", "", "own", "line"),
    ("", "literal-from", "", "none", "nothing", "literal_sender", False, True, "sendmail", "", "own", "line"),
    ("logfile", "logfile", "X", "must", "path", "logfile", "", "", "sendmail", "logfile"),
    ("logfile_time_format", "logfile-time-format", "", "must", "text", "logfile_time_format", "", "", "sendmail",
     "logfile_time_format"),
    ("syslog", "syslog", "", "may", "facility", "syslog", "", "LOG_USER", "sendmail", "syslog"),
    ("aliases", "aliases", "", "must", "path", "aliases", "", "", "sendmail", "aliases"),
    ("", "read-recipients", "t", "none", "nothing", "read_recipients", False, True, "sendmail", "", "", "line"),
    ("", "read-envelope-from", "", "none", "nothing", "read_envelope_from", False, True, "sendmail", "", "", "line"),
    ("partial_recipients", "partial-recipients", "", "may", "switch", "partial_recipients", False, True, "sendmail",
     "partial_recipients", "own"),
    ("missing_extension", "missing-extension", "", "must", "missing", "missing_extension", "refuse", ..., "sendmail",
     "missing_extension", "own"),
    ("exit_codes", "exit-codes", "", "must", "codes", "exit_codes", "sysexits", ..., "sendmail", "exit_codes", "own"),
    ("sandbox", "sandbox", "", "must", "sandbox", "sandbox", "try", ..., "connection", "sandbox", "own"),

    ("", "", "A", "must", "text", "", "", "", "compatibility"),
    ("", "", "B", "must", "text", "", "", "", "compatibility"),
    ("", "", "G", "none", "nothing", "", "", "", "compatibility"),
    ("", "", "h", "must", "text", "", "", "", "compatibility"),
    ("", "", "i", "none", "nothing", "", "", "", "compatibility"),
    ("", "", "L", "must", "text", "", "", "", "compatibility"),
    ("", "", "m", "none", "nothing", "", "", "", "compatibility"),
    ("", "", "n", "none", "nothing", "", "", "", "compatibility"),
    ("", "", "O", "must", "text", "", "", "", "compatibility"),
    ("", "", "o", "must", "text", "", "", "", "compatibility"),
    ("", "", "U", "none", "nothing", "", "", "", "compatibility", "", "own"),
)
# fmt: on

METHODS = (
    "scram-sha-256-plus",
    "scram-sha-1-plus",
    "scram-sha-256",
    "scram-sha-1",
    "plain",
    "gssapi",
    "external",
    "oauthbearer",
    "cram-md5",
    "digest-md5",
    "login",
    "ntlm",
    "xoauth2",
)
"""What ``auth`` takes, in the order in which --version and --serverinfo list it.  msmtp.sasl owns what they do; that it
knows the same names is tested."""

FACILITIES = ("LOG_USER", "LOG_MAIL", *(f"LOG_LOCAL{number}" for number in range(8)))

WORDS: dict[str, dict[str, object]] = {
    "switch": {"on": True, "off": False},
    "inverse": {"on": False, "off": True},
    "auto": {"auto": "auto", "off": "off"},
    "auto_on": {"auto": "auto", "on": "on", "off": "off"},
    "old_switch": {"on": "auto", "off": "off"},
    "protocol": {"smtp": "smtp", "lmtp": "lmtp"},
    # The empty word only counts for --auth=, which the C program takes for --auth.
    "method": {"on": "on", "off": "", "": "on", **{word: word for word in METHODS}},
    "amount": {"off": "", "headers": "HDRS", "hdrs": "HDRS", "full": "FULL"},
    "facility": {"on": "LOG_USER", "off": "", **{word: word for word in FACILITIES}},
    "to_header": {"off": "off", "on": "on", "undisclosed_recipients": "undisclosed_recipients"},
    "undisclosed": {"on": "undisclosed_recipients", "off": "off"},
    "missing": {"refuse": "refuse", "send": "send"},
    "sandbox": {"require": "require", "try": "try", "off": "off"},
    "codes": {"sysexits": "sysexits", "upstream": "upstream"},
}
"""kind: the words it takes and what is stored for each."""

LARGEST_NUMBER = 0x7FFFFFFF
LARGEST_PORT = 0xFFFF

DIGEST_SIZES = {16: "MD5", 20: "SHA1", 32: "SHA256"}
"""Sizes in octets of the fingerprints that tls_fingerprint takes."""


class Hidden:
    """A text that does not print: what the ``password`` command said."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> bytes:
        """Return the octets as they stood in the file."""
        return self._text.encode("utf-8", "surrogateescape")

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hidden) and other._text == self._text

    __hash__ = None  # type: ignore[assignment]  # a hash of a secret has no business in a set

    def __repr__(self) -> str:
        return "*"


def parse_nothing(text: str) -> object:
    """Refuse any argument."""
    raise ValueError(text)


def parse_number(text: str) -> int:
    """Read a number as the C library's strtol does: 0x is hexadecimal, a leading 0 octal.  Raises ValueError."""
    digits = text[1:] if text[:1] == "+" else text
    if not digits.isascii() or not digits.isalnum():
        raise ValueError(text)
    if digits[:2] in ("0x", "0X"):
        return int(digits, 16)
    if not digits.isdigit():
        raise ValueError(text)
    return int(digits, 8 if digits[0] == "0" else 10)


def parse_port(text: str) -> int:
    """Read a port number, 1 to 65535."""
    if not 0 < (number := parse_number(text)) <= LARGEST_PORT:
        raise ValueError(text)
    return number


def parse_size(text: str) -> int:
    """Read a positive number."""
    if not 0 < (number := parse_number(text)) <= LARGEST_NUMBER:
        raise ValueError(text)
    return number


def parse_seconds(text: str) -> int:
    """Read a time limit: seconds, or ``off``, which is stored as 0."""
    return 0 if text == "off" else parse_size(text)


def parse_fingerprint(text: str) -> bytes:
    """Read an MD5, SHA1 or SHA256 digest, two hexadecimal digits an octet, ':' or blanks between them."""
    if not text:
        return b""
    digest = bytes.fromhex(text.replace(":", " "))
    if len(digest) not in DIGEST_SIZES or digest.hex(":") != text.replace(" ", ":").lower():
        raise ValueError(text)
    return digest


def parse_conditions(text: str) -> str:
    """Read ``never``, ``off`` or a list without repetition; give the value of NOTIFY (RFC 3461, 4.1), or ''."""
    if text == "off":
        return ""
    words = text.split(",")
    if text != "never" and (len(set(words)) < len(words) or not {"failure", "delay", "success"}.issuperset(words)):
        raise ValueError(text)
    return text.upper()


def parse_sender(text: str) -> str:
    """Read an envelope-from address; ``<>`` is the null sender, which is stored as ''."""
    return "" if text == "<>" else text


PARSERS: dict[str, Callable[[str], object] | None] = {
    "text": None,
    "path": None,
    "shell": None,
    "nothing": parse_nothing,
    "port": parse_port,
    "size": parse_size,
    "seconds": parse_seconds,
    "fingerprint": parse_fingerprint,
    "conditions": parse_conditions,
    "sender": parse_sender,
    "secret": Hidden,
}
"""kind: how its text is read; None where the text is the value.  A parser raises ValueError."""


class Option:
    """One row: the head of this file says what the fields mean.

    ``parse`` reads a value's text and raises ValueError or KeyError; it is None where the text is the value.
    ``parsers`` and ``vocabulary`` are what there is to read values with.
    """

    parsers: ClassVar[dict[str, Callable[[str], object] | None]] = PARSERS
    vocabulary: ClassVar[dict[str, dict[str, object]]] = WORDS

    __slots__ = (
        "argument",
        "attribute",
        "command",
        "default",
        "empty",
        "kind",
        "label",
        "long",
        "note",
        "parse",
        "section",
        "short",
        "target",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - a row of a table is as wide as the table
        self,
        command: str,
        long: str,
        short: str,
        argument: str,
        kind: str,
        attribute: str,
        default: object,
        empty: object,
        section: str,
        label: str = "",
        note: str = "",
        target: str = ACCOUNT,
    ) -> None:
        self.command = command
        self.long = long
        self.short = short
        self.argument = argument
        self.kind = kind
        self.parse = self.parsers[kind] if kind in self.parsers else self.vocabulary[kind].__getitem__
        self.attribute = attribute
        self.default = default
        self.empty = empty
        self.section = section
        self.label = label
        self.note = note
        self.target = target

    @property
    def name(self) -> str:
        """The row's name in other tables: its command, else its long option, else its short one with the dash."""
        return self.command or (f"--{self.long}" if self.long else f"-{self.short}")

    @property
    def words(self) -> dict[str, object] | None:
        """The words it takes, if it takes words."""
        return self.vocabulary.get(self.kind)

    def __repr__(self) -> str:
        return f"Option({self.name})"


OPTIONS: tuple[Option, ...] = tuple(Option(*row) for row in _ROWS)  # type: ignore[arg-type]  # literals, tested

COMMANDS: dict[bytes, Option] = {row.command.encode(): row for row in OPTIONS if row.command}
"""Rows by the word in the configuration file, as octets, which is how the reader sees it."""
