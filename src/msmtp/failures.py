"""Every way to fail: one class a line, each with its exit code.

Everything below the two main() functions raises one of these.  A failure knows its exit code, the code that the C
program gives in the same place (``upstream_exit``, for those who switch the old codes on), and what to tell the person:
``message`` says what happened to which file, host or command, ``hint`` what to do about it, ``server`` what the server
said, line by line.

Whether a failure is temporary follows from its exit code (:data:`msmtp.exits.EXITS`); what the server said follows its
reply's first digit: 4 is temporary, 5 is not (RFC 5321, 4.2.1).

A machine that is short of memory, descriptors or processes for a moment can make any file or command look bad.  So a
failure that would be for good, but came of such an error, is temporary (EX_OSERR) whatever its class: no mail goes back
to its author for it.
"""

from __future__ import annotations

from errno import EAGAIN, EMFILE, ENFILE, ENOMEM

from msmtp.exits import (
    BY_CODE,
    EX_CONFIG,
    EX_DATAERR,
    EX_IOERR,
    EX_NOHOST,
    EX_NOINPUT,
    EX_NOPERM,
    EX_OSERR,
    EX_PROTOCOL,
    EX_SOFTWARE,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    EX_USAGE,
)

SHORTAGES = (ENOMEM, EMFILE, ENFILE, EAGAIN)  # EAGAIN: of processes

_MOST_CAUSES = 10  # causes may stand in a circle

_LONGEST_CHARACTER = 4  # octets, in UTF-8


def shown(octets: bytes, width: int = 80) -> str:
    r"""Octets from outside for a message to a person: on one line, and nothing that a terminal could obey.

    UTF-8 where it can be printed, the rest escaped (``\x1b``); cut behind ``width`` characters, 0: not at all.
    """
    text = octets[: _LONGEST_CHARACTER * (width + 1) if width else None].decode("utf-8", "backslashreplace")
    if not text.isprintable():
        text = "".join([sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text])
    return text if not width or len(text) <= width else text[:width] + "..."


def _by_shortage(error: BaseException | None) -> bool:
    """Whether the error, or one that was being handled when it was raised, is that of a machine that is short."""
    for _ in range(_MOST_CAUSES):
        if error is None or (isinstance(error, OSError) and error.errno in SHORTAGES):
            return error is not None
        error = error.__cause__ or error.__context__
    return False


class Failure(Exception):  # noqa: N818 - the project's word for it: errors are Python's, failures are the mail's
    """Base of all failures.

    ``message``: one line, no trailing full stop, as the C program words it where it has the case.
    ``hint``: what to do about it, or ''.  ``server``: the server's reply, one str a line, code included.
    """

    exit_code = EX_SOFTWARE
    upstream_exit = EX_SOFTWARE

    def __init_subclass__(cls, exit_code: int | None = None, upstream: int | None = None) -> None:
        if exit_code is not None:
            cls.exit_code = exit_code
            cls.upstream_exit = exit_code if upstream is None else upstream

    def __init__(self, message: str, *, hint: str = "", server: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.server = server

    @property
    def code(self) -> int:
        """The exit code of this failure: that of its class, or EX_OSERR if a shortage is behind it."""
        return EX_OSERR if not BY_CODE[self.exit_code].temporary and _by_shortage(self) else self.exit_code

    @property
    def temporary(self) -> bool:
        """Whether the same mail may go through later."""
        return BY_CODE[self.code].temporary


class UsageFailure(Failure, exit_code=EX_USAGE):
    """The command line is wrong, or there is nobody to send to."""


class ConfigFailure(Failure, exit_code=EX_CONFIG):
    """A configuration file, an alias file, a password command or a setting is wrong."""


class InsecureFileFailure(ConfigFailure):
    """A file that holds a secret can be read by others."""


class FileFailure(Failure, exit_code=EX_IOERR):
    """A local file, standard input or output could not be read or written."""


class SpoolFailure(Failure, exit_code=EX_TEMPFAIL, upstream=EX_IOERR):
    """There is no room to keep the mail while it is sent."""


class TlsFileFailure(Failure, exit_code=EX_NOINPUT):
    """A key, certificate, trust or revocation file cannot be used."""


class TlsSetupFailure(Failure, exit_code=EX_SOFTWARE):
    """The TLS library does not do what the configuration asks for (tls_priorities and the like)."""


class TlsHandshakeFailure(Failure, exit_code=EX_PROTOCOL):
    """TLS could not be started with this server."""


class CertificateFailure(Failure, exit_code=EX_UNAVAILABLE):
    """The server's certificate is not to be trusted."""


class HostNotFoundFailure(Failure, exit_code=EX_NOHOST):
    """There is no host of that name (or no service record for the domain)."""


class ResolverFailure(Failure, exit_code=EX_TEMPFAIL):
    """The name could not be looked up just now."""


class SocketFailure(Failure, exit_code=EX_OSERR):
    """The system refused a socket, or the source address."""


class ConnectFailure(Failure, exit_code=EX_TEMPFAIL):
    """No address of the server could be reached."""


class ProxyFailure(Failure, exit_code=EX_UNAVAILABLE):
    """The proxy cannot be reached or refuses."""


class NetworkFailure(Failure, exit_code=EX_TEMPFAIL, upstream=EX_IOERR):
    """The connection broke or the server stopped answering after the connection was made."""


class ServerGoneFailure(Failure, exit_code=EX_TEMPFAIL, upstream=EX_PROTOCOL):
    """The server closed the connection although an answer was due."""


class ProtocolFailure(Failure, exit_code=EX_PROTOCOL):
    """The server's answer is not SMTP, or is an injection."""


class CommandFailure(Failure, exit_code=EX_DATAERR):
    """An address or another argument cannot be made a command: a line end is in it, or it is too long."""


class SequenceFailure(Failure, exit_code=EX_SOFTWARE):
    """The program asked for a command where SMTP does not allow it: a fault in the program."""


class UnsupportedFailure(Failure, exit_code=EX_UNAVAILABLE):
    """The server does not offer what the account or the mail needs."""


class MalformedMailFailure(Failure, exit_code=EX_DATAERR):
    """The mail is no mail that could be sent anywhere (its header never ends)."""


class UnsendableFailure(Failure, exit_code=EX_DATAERR, upstream=EX_UNAVAILABLE):
    """This mail needs what this server does not have (SIZE, 8BITMIME, SMTPUTF8): no later try will help."""


class MechanismFailure(Failure, exit_code=EX_SOFTWARE):
    """A SASL mechanism cannot be carried out here (a library is missing, a challenge cannot be answered)."""


class ServerNotReadyFailure(Failure, exit_code=EX_TEMPFAIL, upstream=EX_PROTOCOL):
    """The greeting or EHLO was answered with 4xx: the server is closing or overloaded."""


class ServerRefusedFailure(Failure, exit_code=EX_PROTOCOL):
    """The greeting or EHLO was answered with neither success nor 4xx."""


class RequestRefusedFailure(Failure, exit_code=EX_DATAERR):
    """The server does not accept the argument of a request (ETRN)."""


class EnvelopeDeferredFailure(Failure, exit_code=EX_TEMPFAIL, upstream=EX_UNAVAILABLE):
    """MAIL, RCPT or DATA was answered with 4xx."""


class EnvelopeRefusedFailure(Failure, exit_code=EX_DATAERR):
    """MAIL, RCPT or DATA was answered with 5xx."""


class MailDeferredFailure(Failure, exit_code=EX_TEMPFAIL, upstream=EX_UNAVAILABLE):
    """The whole mail was answered with 4xx."""


class MailRefusedFailure(Failure, exit_code=EX_DATAERR, upstream=EX_UNAVAILABLE):
    """The whole mail was answered with 5xx."""


class PartlyDeferredFailure(Failure, exit_code=EX_TEMPFAIL, upstream=EX_UNAVAILABLE):
    """Some recipients did not get the mail, at least one of them only for now."""


class PartlyRefusedFailure(Failure, exit_code=EX_DATAERR, upstream=EX_UNAVAILABLE):
    """Some recipients did not get the mail and will not."""


class AuthDeferredFailure(Failure, exit_code=EX_TEMPFAIL, upstream=EX_NOPERM):
    """Authentication was answered with 4xx."""


class AuthRefusedFailure(Failure, exit_code=EX_NOPERM):
    """The server refused the user name or password."""


class PasswordFailure(Failure, exit_code=EX_UNAVAILABLE):
    """Authentication needs a user name or a password, and nobody and nothing here has it."""


class SystemFailure(Failure, exit_code=EX_OSERR):
    """The system refuses what it never refuses: memory, a descriptor, a module, an answer of poll(2)."""


class ChannelFailure(Failure, exit_code=EX_SOFTWARE):
    """Another process of the daemon is gone, or sent what it may not."""


class ListenerFailure(Failure, exit_code=EX_UNAVAILABLE):
    """There is no listening on an address: it is taken, or not this machine's, or not permitted."""


class RunningFailure(Failure, exit_code=EX_UNAVAILABLE):
    """A daemon with this pidfile runs already."""


class ServiceFailure(Failure, exit_code=EX_CONFIG):
    """The service manager, or inetd, did not hand over what the daemon was told to expect."""


class SandboxFailure(Failure, exit_code=EX_OSERR):
    """The process could not give up its rights as asked."""


class UnconfinedFailure(SandboxFailure, exit_code=EX_CONFIG):
    """A service does not start, as its processes could not be confined here as they have to be."""


class InterruptFailure(Failure, exit_code=EX_TEMPFAIL):
    """A signal (Ctrl-C, SIGTERM, SIGHUP) ended the work before the server took the mail."""
