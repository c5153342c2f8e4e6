"""OPTIONS: every command of the configuration files and every option of the command line, declared once.

From this table come the reader of the files, the command line, --help, --pretend, the manual pages, the shell
completions, the editor syntax and docs/options.md.  A row ties together the two ways to say one thing: ``command`` is
the word in the file ('' if it can only be said on the command line), ``long`` and ``short`` are the option ('' if it
can only be said in the file), ``attribute`` is where the value lands: on an :class:`~msmtp.config.account.Account`
(target ACCOUNT) or on the :class:`~msmtp.config.command_line.CommandLine` (target LINE).

A value's ``kind`` says how its text is read (PARSERS).  Kind "word" takes one of ``words``, a dict from what is written
to what is stored.  ``empty`` is what an empty argument in the file, or an option without its optional argument, stands
for; NEEDED if there must be one.  ``label`` is the key in --pretend's output ('' if it is not shown); the order of rows
is the order of that output.  ``own`` marks what the C program does not have: such a long option never takes an
abbreviation away from one the C program has.

The texts about each row are in :mod:`msmtp.config.texts`, which only --help and the generators load.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NEEDED = object()
"""Stands in ``empty`` where an argument must be given."""

NOTHING, MAYBE, ALWAYS = 0, 1, 2
"""Whether an option takes an argument on the command line; MAYBE means attached to it or not at all."""

ACCOUNT, LINE, IGNORED, STRUCTURE = "account", "line", "ignored", "structure"
"""Where a row's value goes.  STRUCTURE rows (defaults, account, eval) shape the file itself."""

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
    if not digits.isascii() or not digits[:1].isdigit() or "_" in digits:
        raise ValueError(text)
    if digits[:2] in ("0x", "0X"):
        return int(digits, 16)
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
    "word": None,
    "none": parse_nothing,
    "port": parse_port,
    "size": parse_size,
    "seconds": parse_seconds,
    "fingerprint": parse_fingerprint,
    "conditions": parse_conditions,
    "sender": parse_sender,
    "secret": Hidden,
}
"""kind: how its text is read; None where the text is the value ("word": where the row's ``words`` say it)."""


class Option:
    """One row: see the head of this file for what the fields mean."""

    __slots__ = (
        "argument",
        "attribute",
        "command",
        "default",
        "empty",
        "hidden",
        "kind",
        "label",
        "long",
        "own",
        "parse",
        "section",
        "short",
        "target",
        "words",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - a row of a table is as wide as the table
        self,
        command: str,
        long: str,
        short: str,
        argument: int,
        kind: str,
        attribute: str,
        default: object,
        empty: object,
        section: str,
        *,
        words: dict[str, object] | None = None,
        label: str = "",
        target: str = ACCOUNT,
        hidden: bool = False,
        own: bool = False,
    ) -> None:
        self.command = command
        self.long = long
        self.short = short
        self.argument = argument
        self.kind = kind
        self.parse = PARSERS[kind] if words is None else words.__getitem__
        self.attribute = attribute
        self.default = default
        self.empty = empty
        self.section = section
        self.words = words
        self.label = label
        self.target = target
        self.hidden = hidden
        self.own = own

    @property
    def name(self) -> str:
        """The row's name in other tables: its command, else its long option, else its short one with the dash."""
        return self.command or (f"--{self.long}" if self.long else f"-{self.short}")

    def __repr__(self) -> str:
        return f"Option({self.name})"


_SWITCH: dict[str, object] = {"on": True, "off": False}
_INVERSE: dict[str, object] = {"on": False, "off": True}
_OLD_SWITCH: dict[str, object] = {"on": "auto", "off": "off"}

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
_AUTH: dict[str, object] = {"": "on", "on": "on", "off": "", **{word: word for word in METHODS}}

_FACILITIES: dict[str, object] = {
    "on": "LOG_USER",
    "off": "",
    "LOG_USER": "LOG_USER",
    "LOG_MAIL": "LOG_MAIL",
    **{f"LOG_LOCAL{number}": f"LOG_LOCAL{number}" for number in range(8)},
}
_RETURN: dict[str, object] = {"off": "", "headers": "HDRS", "hdrs": "HDRS", "full": "FULL"}
_TO_HEADER: dict[str, object] = {"off": "off", "on": "on", "undisclosed_recipients": "undisclosed_recipients"}
_UNDISCLOSED: dict[str, object] = {"on": "undisclosed_recipients", "off": "off"}
_AUTO: dict[str, object] = {"auto": "auto", "off": "off"}
_AUTO_ON: dict[str, object] = {"auto": "auto", "on": "on", "off": "off"}

GENERAL, MODE, CONNECTION, AUTHENTICATION, TLS, SENDMAIL, COMPATIBILITY = (
    "general",
    "mode",
    "connection",
    "authentication",
    "tls",
    "sendmail",
    "compatibility",
)

# fmt: off
OPTIONS: tuple[Option, ...] = (
    # command, long option, short; takes, kind; attribute, default, empty; section
    Option("", "version", "", NOTHING, "none", "mode", "", "version", GENERAL, target=LINE),
    Option("", "help", "", NOTHING, "none", "mode", "", "help", GENERAL, target=LINE),
    Option("", "pretend", "P", NOTHING, "none", "pretend", False, True, GENERAL, target=LINE),
    Option("", "debug", "d", MAYBE, "text", "debug", False, True, GENERAL, target=LINE),
    Option("", "", "v", NOTHING, "none", "debug", False, True, GENERAL, target=LINE),
    Option("", "configure", "", ALWAYS, "text", "configure", "", NEEDED, MODE, target=LINE),
    Option("", "serverinfo", "S", NOTHING, "none", "serverinfo", False, True, MODE, target=LINE),
    Option("", "rmqs", "", ALWAYS, "text", "rmqs", None, "", MODE, target=LINE),
    Option("", "", "b", ALWAYS, "text", "operation", "", NEEDED, MODE, target=LINE),
    Option("", "", "q", MAYBE, "text", "queue_interval", "", "", MODE, target=LINE, own=True),

    Option("defaults", "", "", NOTHING, "none", "", "", "", GENERAL, target=STRUCTURE),
    Option("account", "account", "a", ALWAYS, "text", "account", None, "", GENERAL, target=STRUCTURE),
    Option("eval", "", "", NOTHING, "shell", "", "", NEEDED, GENERAL, target=STRUCTURE),
    Option("", "file", "C", ALWAYS, "path", "file", None, "", GENERAL, target=LINE),

    Option("host", "host", "", ALWAYS, "text", "host", "", NEEDED, CONNECTION, label="host"),
    Option("port", "port", "", ALWAYS, "port", "port", 0, NEEDED, CONNECTION, label="port"),
    Option("source_ip", "source-ip", "", ALWAYS, "text", "source_ip", "", "", CONNECTION, label="source ip"),
    Option("proxy_host", "proxy-host", "", ALWAYS, "text", "proxy_host", "", "", CONNECTION, label="proxy host"),
    Option("proxy_port", "proxy-port", "", ALWAYS, "port", "proxy_port", 0, 0, CONNECTION, label="proxy port"),
    Option("socket", "socket", "", ALWAYS, "path", "socket", "", "", CONNECTION, label="socket"),
    Option("timeout", "timeout", "", ALWAYS, "seconds", "timeout", 0, NEEDED, CONNECTION, label="timeout"),
    Option("connect_timeout", "connect-timeout", "", ALWAYS, "seconds", "timeout", 0, NEEDED, CONNECTION, hidden=True),
    Option("protocol", "protocol", "", ALWAYS, "word", "protocol", "smtp", NEEDED, CONNECTION, label="protocol",
           words={"smtp": "smtp", "lmtp": "lmtp"}),
    Option("domain", "domain", "", ALWAYS, "text", "domain", "localhost", "", CONNECTION, label="domain"),

    Option("auth", "auth", "", MAYBE, "word", "auth", "", "on", AUTHENTICATION, label="auth", words=_AUTH),
    Option("user", "user", "", ALWAYS, "text", "user", "", "", AUTHENTICATION, label="user"),
    Option("password", "", "", NOTHING, "secret", "password", Hidden(""), Hidden(""), AUTHENTICATION, label="password"),
    Option("passwordeval", "passwordeval", "", ALWAYS, "shell", "passwordeval", "", "", AUTHENTICATION,
           label="passwordeval"),
    Option("ntlmdomain", "", "", NOTHING, "text", "ntlmdomain", "", "", AUTHENTICATION, label="ntlmdomain"),

    Option("tls", "tls", "", MAYBE, "word", "tls", False, True, TLS, label="tls", words=_SWITCH),
    Option("tls_starttls", "tls-starttls", "", MAYBE, "word", "tls_starttls", True, True, TLS, label="tls_starttls",
           words=_SWITCH),
    Option("tls_nostarttls", "", "", NOTHING, "none", "tls_starttls", True, False, TLS, hidden=True),
    Option("tls_trust_file", "tls-trust-file", "", ALWAYS, "path", "tls_trust_file", "system", "", TLS,
           label="tls_trust_file"),
    Option("tls_crl_file", "tls-crl-file", "", ALWAYS, "path", "tls_crl_file", "", "", TLS, label="tls_crl_file"),
    Option("tls_fingerprint", "tls-fingerprint", "", ALWAYS, "fingerprint", "tls_fingerprint", b"", b"", TLS,
           label="tls_fingerprint"),
    Option("tls_key_file", "tls-key-file", "", ALWAYS, "path", "tls_key_file", "", "", TLS, label="tls_key_file"),
    Option("tls_cert_file", "tls-cert-file", "", ALWAYS, "path", "tls_cert_file", "", "", TLS, label="tls_cert_file"),
    Option("tls_certcheck", "tls-certcheck", "", MAYBE, "word", "tls_certcheck", True, True, TLS, label="tls_certcheck",
           words=_SWITCH),
    Option("tls_nocertcheck", "", "", NOTHING, "none", "tls_certcheck", True, False, TLS, hidden=True),
    Option("tls_force_sslv3", "tls-force-sslv3", "", MAYBE, "text", "", "", "", TLS, target=IGNORED, hidden=True),
    Option("tls_min_dh_prime_bits", "tls-min-dh-prime-bits", "", ALWAYS, "size", "tls_min_dh_prime_bits", 0, 0, TLS,
           label="tls_min_dh_prime_bits"),
    Option("tls_priorities", "tls-priorities", "", ALWAYS, "text", "tls_priorities", "", "", TLS,
           label="tls_priorities"),
    Option("tls_host_override", "tls-host-override", "", ALWAYS, "text", "tls_host_override", "", "", TLS,
           label="tls_host_override"),

    Option("auto_from", "auto-from", "", MAYBE, "word", "auto_from", False, True, SENDMAIL, label="auto_from",
           words=_SWITCH),
    Option("maildomain", "maildomain", "", ALWAYS, "text", "maildomain", "", "", SENDMAIL, label="maildomain"),
    Option("from", "from", "f", ALWAYS, "sender", "from_", None, "", SENDMAIL, label="from"),
    Option("", "", "r", ALWAYS, "sender", "from_", None, "", SENDMAIL, own=True),
    Option("from_full_name", "", "F", ALWAYS, "text", "from_full_name", "", "", SENDMAIL, label="from_full_name"),
    Option("allow_from_override", "", "", NOTHING, "word", "allow_from_override", True, True, SENDMAIL,
           label="allow_from_override", words=_SWITCH),
    Option("set_from_header", "set-from-header", "", MAYBE, "word", "set_from_header", "auto", "auto", SENDMAIL,
           label="set_from_header", words=_AUTO_ON),
    Option("add_missing_from_header", "add-missing-from-header", "", MAYBE, "word", "set_from_header", "auto", "auto",
           SENDMAIL, words=_OLD_SWITCH, hidden=True),
    Option("set_date_header", "set-date-header", "", MAYBE, "word", "set_date_header", "auto", "auto", SENDMAIL,
           label="set_date_header", words=_AUTO),
    Option("add_missing_date_header", "add-missing-date-header", "", MAYBE, "word", "set_date_header", "auto", "auto",
           SENDMAIL, words=_OLD_SWITCH, hidden=True),
    Option("set_msgid_header", "set-msgid-header", "", MAYBE, "word", "set_msgid_header", "auto", "auto", SENDMAIL,
           label="set_msgid_header", words=_AUTO),
    Option("set_to_header", "set-to-header", "", MAYBE, "word", "set_to_header", "off", "on", SENDMAIL,
           label="set_to_header", words=_TO_HEADER),
    Option("undisclosed_recipients", "undisclosed-recipients", "", MAYBE, "word", "set_to_header", "off",
           "undisclosed_recipients", SENDMAIL, words=_UNDISCLOSED, hidden=True),
    Option("remove_bcc_headers", "remove-bcc-headers", "", MAYBE, "word", "remove_bcc_headers", True, True, SENDMAIL,
           label="remove_bcc_headers", words=_SWITCH),
    Option("keepbcc", "keepbcc", "", MAYBE, "word", "remove_bcc_headers", True, False, SENDMAIL, words=_INVERSE,
           hidden=True),
    Option("dsn_notify", "dsn-notify", "N", ALWAYS, "conditions", "dsn_notify", "", NEEDED, SENDMAIL,
           label="dsn_notify"),
    Option("dsn_return", "dsn-return", "R", ALWAYS, "word", "dsn_return", "", NEEDED, SENDMAIL, label="dsn_return",
           words=_RETURN),
    Option("", "", "V", ALWAYS, "text", "envelope_id", "", "", SENDMAIL, target=LINE, own=True),
    Option("logfile", "logfile", "X", ALWAYS, "path", "logfile", "", "", SENDMAIL, label="logfile"),
    Option("logfile_time_format", "logfile-time-format", "", ALWAYS, "text", "logfile_time_format", "", "", SENDMAIL,
           label="logfile_time_format"),
    Option("syslog", "syslog", "", MAYBE, "word", "syslog", "", "LOG_USER", SENDMAIL, label="syslog",
           words=_FACILITIES),
    Option("aliases", "aliases", "", ALWAYS, "path", "aliases", "", "", SENDMAIL, label="aliases"),
    Option("", "read-recipients", "t", NOTHING, "none", "read_recipients", False, True, SENDMAIL, target=LINE),
    Option("", "read-envelope-from", "", NOTHING, "none", "read_envelope_from", False, True, SENDMAIL, target=LINE),
    Option("partial_recipients", "partial-recipients", "", MAYBE, "word", "partial_recipients", False, True, SENDMAIL,
           label="partial_recipients", words=_SWITCH, own=True),
    Option("missing_extension", "missing-extension", "", ALWAYS, "word", "missing_extension", "refuse", NEEDED,
           SENDMAIL, label="missing_extension", words={"refuse": "refuse", "send": "send"}, own=True),
    Option("exit_codes", "exit-codes", "", ALWAYS, "word", "exit_codes", "sysexits", NEEDED, SENDMAIL,
           label="exit_codes", words={"sysexits": "sysexits", "upstream": "upstream"}, own=True),

    # What sendmail takes and msmtp has no use for.
    Option("", "", "A", ALWAYS, "text", "", "", "", COMPATIBILITY, target=IGNORED),
    Option("", "", "B", ALWAYS, "text", "", "", "", COMPATIBILITY, target=IGNORED),
    Option("", "", "G", NOTHING, "none", "", "", "", COMPATIBILITY, target=IGNORED),
    Option("", "", "h", ALWAYS, "text", "", "", "", COMPATIBILITY, target=IGNORED),
    Option("", "", "i", NOTHING, "none", "", "", "", COMPATIBILITY, target=IGNORED),
    Option("", "", "L", ALWAYS, "text", "", "", "", COMPATIBILITY, target=IGNORED),
    Option("", "", "m", NOTHING, "none", "", "", "", COMPATIBILITY, target=IGNORED),
    Option("", "", "n", NOTHING, "none", "", "", "", COMPATIBILITY, target=IGNORED),
    Option("", "", "O", ALWAYS, "text", "", "", "", COMPATIBILITY, target=IGNORED),
    Option("", "", "o", ALWAYS, "text", "", "", "", COMPATIBILITY, target=IGNORED),
    Option("", "", "U", NOTHING, "none", "", "", "", COMPATIBILITY, target=IGNORED, own=True),
)
# fmt: on

COMMANDS: dict[bytes, Option] = {row.command.encode(): row for row in OPTIONS if row.command}
"""Rows by the word in the configuration file, as octets, which is how the reader sees it."""
