"""The environment of the delivery command: what it may need of the daemon's, and what is known of the mail.

A command started by hand would find PATH, a home, a language; the rest of a daemon's environment is nobody's business
there.  Who starts the daemon could otherwise change what the command loads (LD_PRELOAD, PYTHONPATH), have it speak with
the service manager in the daemon's name (NOTIFY_SOCKET), or leave it secrets that were meant for the daemon.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INHERITED = (
    # name, or with * its beginning; why the command gets it if the daemon has it
    ("PATH", "programs that the command and its password commands start"),
    ("HOME", "~/.msmtprc, ~/.netrc and other files of the user"),
    ("USER", "the user's name, where a program does not ask the system"),
    ("LOGNAME", "the same, by the name that POSIX gives it"),
    ("SHELL", "the shell of the user, for programs that start one"),
    ("LANG", "language and character set of what is printed and logged"),
    ("LANGUAGE", "the same, as a list of languages"),
    ("LC_*", "the same, one matter each"),
    ("TZ", "the time zone of Date fields and logs"),
    ("TMPDIR", "where temporary files belong"),
    ("XDG_CONFIG_HOME", "the user's configuration, msmtp/config among it"),
    ("XDG_RUNTIME_DIR", "sockets of the user's services: keyring, gpg-agent"),
    ("DBUS_SESSION_BUS_ADDRESS", "the way to the user's keyring"),
    ("CREDENTIALS_DIRECTORY", "credentials that the service manager hands to the service"),
    ("GNUPGHOME", "keys for password commands that call gpg"),
    ("GPG_TTY", "where gpg may ask for a passphrase, in the foreground"),
    ("PASSWORD_STORE_DIR", "the store of pass(1)"),
    ("KRB5CCNAME", "the Kerberos ticket to authenticate with"),
    ("KRB5_CONFIG", "the Kerberos configuration"),
    ("SSL_CERT_FILE", "authorities to trust, instead of the system's"),
    ("SSL_CERT_DIR", "the same, as a directory"),
    ("OPENSSL_CONF", "settings of the TLS library, as an administrator made them for all programs"),
    ("SOFTHSM2_CONF", "tokens with keys"),
    ("PKCS11_PROVIDER_MODULE", "the same"),
    ("EMAIL", "the user's address; upstream's examples use it in password commands"),
)
"""What of the daemon's own environment the command gets.  Not in it, and therefore never passed on: NOTIFY_SOCKET,
LISTEN_*, WATCHDOG_*, STATE_DIRECTORY and the like, LD_*, PYTHON*, anything else."""

DESCRIBING = (
    # name, what it says
    ("MSMTPD_SESSION", "number of the session, as the log has it"),
    ("MSMTPD_ID", "number of the mail, as its Received field has it behind 'id'"),
    ("MSMTPD_PEER", "IP address of the client; not set if it came by a unix socket"),
    ("MSMTPD_PEER_PORT", "its port"),
    ("MSMTPD_PEER_NAME", "its name, if names are looked up and it has one that leads back to it"),
    ("MSMTPD_PEER_UID", "number of the user who connected from this machine, if that is known"),
    ("MSMTPD_LOCAL", "our address or socket that it connected to"),
    ("MSMTPD_HELLO", "the name that it gave itself"),
    ("MSMTPD_PROTOCOL", "the keyword behind 'with' in the Received field: ESMTP, ESMTPSA, LMTP and so on"),
    ("MSMTPD_TLS", "version and cipher, with TLS"),
    ("MSMTPD_USER", "the user name that it authenticated with"),
    ("MSMTPD_SENDER", "address of the sender, empty for <>"),
    ("MSMTPD_RECIPIENTS", "how many recipients there are"),
    ("MSMTPD_SIZE", "octets of the mail on standard input"),
    ("MSMTPD_BODY", "7BIT, 8BITMIME or BINARYMIME, if the client said so (RFC 6152, RFC 3030)"),
    ("MSMTPD_SMTPUTF8", "1, if the client asked for it (RFC 6531)"),
    ("MSMTPD_RET", "FULL or HDRS, if the client said so (RFC 3461)"),
    ("MSMTPD_ENVID", "the sender's name for the mail, if there is one, in xtext (RFC 3461)"),
    ("MSMTPD_NOTIFY", "when to notify the sender, if the client said the same for each recipient (RFC 3461)"),
    (
        "MSMTPD_RCPT_PARAMETERS",
        "a line a recipient, in their order: NOTIFY= and ORCPT= as said; not set if nothing was, or beyond 64 KiB",
    ),
)
"""What the command is told of the mail.  A name without a value is not set."""

PARAMETERS_LIMIT = 65_536  # octets; the kernel takes 128 KiB for one variable, 2 MiB for all and the arguments
_OF_MAIL = {"BODY": "MSMTPD_BODY", "SMTPUTF8": "MSMTPD_SMTPUTF8", "RET": "MSMTPD_RET", "ENVID": "MSMTPD_ENVID"}
_DESCRIBED = frozenset(name for name, _ in DESCRIBING)


def inherited(environment: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """The part of an environment that the command gets."""
    exact = {name.encode() for name, _ in INHERITED if not name.endswith("*")}
    beginnings = tuple([name[:-1].encode() for name, _ in INHERITED if name.endswith("*")])
    return {
        name: value
        for name, value in environment.items()
        if name in exact or (beginnings and name.startswith(beginnings))
    }


def describing(
    facts: Mapping[str, bytes], mail: Sequence[bytes] = (), recipients: Sequence[Sequence[bytes]] = ()
) -> dict[bytes, bytes]:
    """Variables about a mail.

    ``facts``: value by name, as DESCRIBING has them; empty ones are left out, but for the sender.  ``mail``: the
    parameters of MAIL, ``KEYWORD`` or ``KEYWORD=value``.  ``recipients``: those of each RCPT.  Octets that a variable
    cannot hold, NUL and line ends, are gone; but those are of nothing that a client may say.
    """
    found = {name: value for name, value in facts.items() if value or name == "MSMTPD_SENDER"}
    for parameter in mail:
        keyword, _, value = parameter.partition(b"=")
        name = _OF_MAIL.get(keyword.decode("ascii", "replace").upper())
        if name:
            found[name] = value or b"1"
    found.update(_of_recipients(recipients))
    assert found.keys() <= _DESCRIBED, "a variable that is not documented"
    return {name.encode(): value.translate(None, b"\0\r") for name, value in found.items()}


def _of_recipients(recipients: Sequence[Sequence[bytes]]) -> dict[str, bytes]:
    if not any(recipients):
        return {}
    found = {}
    conditions = {value_of(b"NOTIFY", parameters) for parameters in recipients}
    if len(conditions) == 1 and b"" not in conditions:
        found["MSMTPD_NOTIFY"] = conditions.pop()
    lines = b"\n".join([b" ".join(parameters) for parameters in recipients])
    if len(lines) <= PARAMETERS_LIMIT:
        found["MSMTPD_RCPT_PARAMETERS"] = lines
    return found


def value_of(keyword: bytes, parameters: Sequence[bytes]) -> bytes:
    """What a parameter says, b"" if it is not there."""
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.upper() == keyword:
            return value
    return b""
