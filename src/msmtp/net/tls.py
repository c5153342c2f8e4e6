"""TLS for a client, as bytes in, bytes out; no socket is touched here.

Three steps, because each stands at another point of a session:

    tls = prepare(settings, host)    before anything is sent: files are read, OpenSSL is told what the account allows
    engine = tls.engine()            when the server is ready to shake hands; the stream pumps it (see msmtp.net.stream)
    engine.info                      afterwards: what was agreed, the certificate, the channel binding

Who is believed (manual, 2.3), first match: everybody (``certcheck`` off); the one certificate with that fingerprint,
whatever it says; the authorities of ``trust_file``, and then the host's name must be in the certificate and the
revocation list is asked.  With a rejected certificate nothing ever comes to the point where a byte of mail or of a
password is sent: handshake() raises first.

Every handshake message is seen as it passes.  That is how a large trust file is read in time (msmtp.net.trust), how a
failed verification can say what the certificate was, and how --serverinfo knows the groups and signatures that Python
does not tell.
"""

from __future__ import annotations

from msmtp.failures import (
    Failure,
    InterruptFailure,
    NetworkFailure,
    TlsFileFailure,
    TlsHandshakeFailure,
    TlsSetupFailure,
)
from msmtp.net import _openssl, verdict
from msmtp.net._digest import digest
from msmtp.net._openssl import MemoryBIO, SSLCertVerificationError, SSLError, SSLWantReadError, SSLZeroReturnError
from msmtp.net.certificate import Certificate, matches
from msmtp.net.resolve import ascii_name
from msmtp.net.trust import SYSTEM, Trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from msmtp.net._openssl import Context, Session
    from msmtp.net.binding import KeyLog

# Handshake messages (RFC 8446, section 4; RFC 8879, section 4).
CERTIFICATE, COMPRESSED_CERTIFICATE = 11, 25

# Encrypted bytes kept for a server that talks while we only write.  A server has nothing to say then but tickets.
BACKLOG = 1 << 20


class TlsSettings:
    """What an account says about TLS.

    ``trust_file``: "system", a path, or "" (no authority).  ``fingerprint``: 32, 20 or 16 octets (SHA-256, SHA-1, MD5)
    or b"".  ``key_file``, ``cert_file``: PEM files or ``pkcs11:`` URIs.  ``pin``: gives the password of the key or
    of the token.
    ``min_dh_prime_bits``: 0 leaves it to OpenSSL.  ``channel_binding_wanted``: keep what -PLUS mechanisms need.
    """

    __slots__ = (
        "cert_file", "certcheck", "channel_binding_wanted", "crl_file", "fingerprint", "host_override", "key_file",
        "min_dh_prime_bits", "pin", "priorities", "starttls", "trust_file",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - one a command of the manual
        self,
        *,
        trust_file: str = SYSTEM,
        crl_file: str = "",
        fingerprint: bytes = b"",
        key_file: str = "",
        cert_file: str = "",
        certcheck: bool = True,
        priorities: str = "",
        min_dh_prime_bits: int = 0,
        host_override: str = "",
        starttls: bool = True,
        channel_binding_wanted: bool = False,
        pin: Callable[[], bytes] | None = None,
    ) -> None:
        self.trust_file = trust_file
        self.crl_file = crl_file
        self.fingerprint = fingerprint
        self.key_file = key_file
        self.cert_file = cert_file
        self.certcheck = certcheck
        self.priorities = priorities
        self.min_dh_prime_bits = min_dh_prime_bits
        self.host_override = host_override
        self.starttls = starttls
        self.channel_binding_wanted = channel_binding_wanted
        self.pin = pin


def prepare(settings: TlsSettings, host: str, *, preload: bool = False) -> Tls:
    """Read the files and set OpenSSL up for sessions with ``host``, a name or an IP address.

    ``host`` may be empty (a unix socket) if ``host_override`` names whom to expect.
    ``preload``: no file can be opened during the handshake, read all of them now.
    TlsFileFailure, TlsSetupFailure.
    """
    host = ascii_name(host.rstrip("."))
    context = _openssl.new_context()
    if settings.priorities or settings.min_dh_prime_bits:
        from msmtp.net import priorities

        priorities.apply(context, settings.priorities, settings.min_dh_prime_bits)
    trust = Trust()
    if not settings.certcheck or settings.fingerprint:
        context.check_hostname = False
        context.verify_mode = _openssl.CERT_NONE
    else:
        context.verify_flags |= _openssl.VERIFY_PARTIAL_CHAIN
        context.check_hostname = bool(host) and not settings.host_override
        _load_trust(settings, context, trust, preload=preload)
    if settings.cert_file:
        _load_client_certificate(settings, context)
    log = None
    if settings.channel_binding_wanted:
        from msmtp.net.binding import KeyLog

        try:
            log = KeyLog(context)
        except OSError:
            log = None  # then there is no channel binding; who demands one is told so when the mechanism is chosen
    return Tls(settings, host, context, trust, log)


def _load_trust(settings: TlsSettings, context: Context, trust: Trust, *, preload: bool) -> None:
    if settings.trust_file == SYSTEM:
        trust.load_system(context, preload=preload)
    elif settings.trust_file:
        trust.load_file(context, settings.trust_file)
    if settings.crl_file:
        trust.load_crl(context, settings.crl_file)


def _load_client_certificate(settings: TlsSettings, context: Context) -> None:
    key_file, cert_file = settings.key_file or settings.cert_file, settings.cert_file
    if key_file.startswith("pkcs11:") or cert_file.startswith("pkcs11:"):
        from msmtp.net import pkcs11  # only owners of tokens need it

        pkcs11.load(context, key_file, cert_file, settings.pin)
        return
    try:
        context.load_cert_chain(cert_file, key_file, settings.pin or _no_password)
    except (OSError, ValueError) as error:
        raise TlsFileFailure(
            f"cannot set X509 key file {key_file} and/or X509 cert file {cert_file} for TLS session: "
            f"{_openssl.words(error)}",
            hint="check tls_key_file and tls_cert_file",
        ) from None


def _no_password() -> bytes:
    """Stands where OpenSSL would ask on the terminal by itself."""
    return b""


class Tls:
    """A prepared TLS session."""

    __slots__ = ("context", "expected", "host", "log", "settings", "trust")

    def __init__(self, settings: TlsSettings, host: str, context: Context, trust: Trust, log: KeyLog | None) -> None:
        self.settings = settings
        self.host = host
        self.expected = ascii_name(settings.host_override)
        self.context = context
        self.trust = trust
        self.log = log

    def engine(self) -> Engine:
        """A new engine, before its handshake.  TlsSetupFailure: the host cannot be the name of one."""
        try:
            return Engine(self)
        except (SSLError, ValueError, TypeError) as error:
            reason = _openssl.words(error)
            raise TlsSetupFailure(
                f"cannot set host {self.host!a} for TLS session: {reason}", hint="check host"
            ) from None

    def paths(self) -> list[str]:
        """The directories in which OpenSSL must be able to open files while it shakes hands."""
        return self.trust.paths()


class Engine:
    """One TLS session (the Engine of :mod:`msmtp.net.stream`)."""

    __slots__ = ("_ended", "_incoming", "_outgoing", "_session", "info", "messages", "tls", "trouble")

    def __init__(self, tls: Tls) -> None:
        self.tls = tls
        self.info: TlsInfo | None = None
        self.messages: dict[int, bytes] = {}
        self.trouble: Failure | None = None
        self._ended = False
        self._incoming = MemoryBIO()
        self._outgoing = MemoryBIO()
        if not _openssl.observe(tls.context, self._observe):
            tls.trust.add(tls.context, [])
        self._session: Session = _openssl.new_session(tls.context, self._incoming, self._outgoing, tls.host)

    def handshake(self) -> bool:
        """One step.  True: done, and the certificate is trusted.

        TlsHandshakeFailure, CertificateFailure; SystemFailure: it could not be verified for want of a file.
        """
        try:
            self._session.do_handshake()
        except SSLWantReadError:
            if self._ended:
                raise self._failed(
                    TlsHandshakeFailure("TLS handshake failed: the server closed the connection")
                ) from None
            return False
        except (SSLError, OSError) as error:
            raise self._failed(self._ended_by(error)) from None
        _openssl.observe(self.tls.context, None)
        self.info = self._judge()
        return True

    def _failed(self, failure: Failure) -> Failure:
        """What to raise: what went wrong while a message was looked at, or else ``failure``."""
        if self.tls.log is not None:
            self.tls.log.close(self.tls.context)
        return self.trouble or failure

    def _observe(self, way: str, kind: int, message: bytes) -> None:
        """See a handshake message before OpenSSL acts on it."""
        if way != "read":
            return
        self.messages[kind] = message
        try:
            if kind == CERTIFICATE:
                self.tls.trust.add(self.tls.context, chain(message))
            elif kind == COMPRESSED_CERTIFICATE:
                self.tls.trust.add(self.tls.context, [])
        except InterruptFailure:  # a signal came now of all times; Python passes it through OpenSSL to handshake()
            raise
        except Failure as failure:  # not to be raised through OpenSSL; handshake() raises it
            self.trouble = failure

    def _ended_by(self, error: Exception) -> Failure:
        """What an error of OpenSSL means."""
        if _openssl.lacked_a_file(error):
            return verdict.authority_unread(self.tls.trust.directory)
        if isinstance(error, SSLCertVerificationError):
            return self._untrusted(error)
        return verdict.handshake_failed(error)

    def _untrusted(self, error: SSLCertVerificationError) -> Failure:
        certificates = chain(self.messages.get(CERTIFICATE, b""))
        return verdict.untrusted(
            error.verify_code, error.verify_message, certificates[0] if certificates else b"", self.tls.host
        )

    def _judge(self) -> TlsInfo:
        """What was agreed, after the checks that OpenSSL does not make.  CertificateFailure."""
        settings = self.tls.settings
        raw = self._session.getpeercert(True) or b""
        if settings.certcheck and settings.fingerprint:
            if digest(raw, len(settings.fingerprint)) != settings.fingerprint:
                raise verdict.wrong_fingerprint(raw, settings.fingerprint)
        elif settings.certcheck and not self.tls.context.check_hostname and not _is_for(raw, self.tls.expected):
            raise verdict.wrong_host(raw, self.tls.expected)
        info = TlsInfo(self._session, raw, self.messages, self._bind())
        if settings.min_dh_prime_bits:
            from msmtp.net.priorities import prime_bits  # loaded since prepare()

            if 0 < prime_bits(info.cipher, info.messages) < settings.min_dh_prime_bits:
                raise verdict.short_prime()
        return info

    def _bind(self) -> tuple[bytes, bytes] | None:
        """The channel binding, if it is wanted and there is one."""
        if self.tls.log is None:
            return None
        from msmtp.net.binding import channel_binding

        return channel_binding(self._session, self.tls.log.exporter_secret(self.tls.context), self.messages)

    def receive(self, data: bytes) -> None:
        """Take what came from the server; b"": the connection has ended.  NetworkFailure: it sends, we do not read."""
        if data:
            self._incoming.write(data)
        else:
            self._ended = True
        if self._incoming.pending > BACKLOG:
            raise NetworkFailure("cannot read from TLS connection: the server sends without being asked")

    def plaintext(self, size: int) -> bytes | None:
        """At most ``size`` decrypted bytes; b"": the server has closed TLS properly; None: more must be received."""
        try:
            return self._session.read(size)
        except SSLWantReadError:
            if self._ended:
                raise NetworkFailure(
                    "cannot read from TLS connection: the connection was cut off",
                    hint="the server or something on the way ended it without saying so in TLS",
                ) from None
            return None
        except SSLZeroReturnError:
            return b""
        except (SSLError, OSError) as error:
            raise NetworkFailure(f"cannot read from TLS connection: {verdict.describe(error)}") from None

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """All of ``data`` as TLS records, after whatever else was to be sent.  NetworkFailure."""
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._session.write(rest) :]
        except (SSLError, OSError) as error:
            raise NetworkFailure(f"cannot write to TLS connection: {verdict.describe(error)}") from None
        return self._outgoing.read()

    def outgoing(self) -> bytes:
        """What must be sent to the server now; may be empty."""
        return self._outgoing.read()

    def close(self) -> None:
        """Put close_notify into outgoing()."""
        try:
            _openssl.shutdown(self._session)
        except (SSLError, OSError, ValueError):  # the answer has not come, or there is nothing left to close
            return


def chain(message: bytes) -> list[bytes]:
    """The certificates (DER) of a Certificate message, the server's own first; [] if it cannot be read.

    TLS 1.3 (RFC 8446, section 4.4.2) has a context before the list and extensions after each certificate, TLS 1.2
    (RFC 5246, section 7.4.2) has neither.  The list fills the message, so its length tells them apart.
    """
    size = len(message)
    at, extensions = 7, 0
    if size >= 8 and message[4] == 0 and int.from_bytes(message[5:8], "big") == size - 8:  # noqa: PLR2004 - header, context, length
        at, extensions = 8, 2
    found = []
    while at + 3 <= size:
        start = at + 3
        end = start + int.from_bytes(message[at:start], "big")
        at = end + (extensions and 2 + int.from_bytes(message[end : end + 2], "big"))
        if at > size:
            return []
        found.append(message[start:end])
    return found


def _is_for(raw: bytes, host: str) -> bool:
    """Whether a certificate (DER), which OpenSSL has accepted, names this host."""
    try:
        return matches(Certificate(raw), host)
    except ValueError:
        return False


class TlsInfo:
    """What was agreed with the server.

    ``version``: "TLSv1.3".  ``cipher``: OpenSSL's name.  ``certificate``: the server's, as DER.  ``messages``: the
    server's handshake messages by their type (for :mod:`msmtp.net.description`).  ``channel_binding``: its type
    (b"tls-exporter" or b"tls-unique") and its value; None if it was not wanted or there is none.
    """

    __slots__ = ("certificate", "channel_binding", "cipher", "messages", "version")

    def __init__(
        self,
        session: Session,
        certificate: bytes,
        messages: dict[int, bytes],
        channel_binding: tuple[bytes, bytes] | None,
    ) -> None:
        self.version = session.version() or ""
        self.cipher = (session.cipher() or ("",))[0]
        self.certificate = certificate
        self.messages = messages
        self.channel_binding = channel_binding
