"""From an account to a session with its server: connection, secrets, sandbox, TLS, EHLO, authentication.

The order saves time and keeps promises.  The SYN leaves first; while it travels, the password command runs, TLS is
loaded, the log is opened.  When the connection is there, the process gives up everything else: only then does it read
the first byte that the server wrote.
"""

from __future__ import annotations

from msmtp import sandbox
from msmtp.failures import (
    CommandFailure,
    ConfigFailure,
    HostNotFoundFailure,
    UnsendableFailure,
    UnsupportedFailure,
)
from msmtp.net.connect import Target, begin
from msmtp.net.resolve import ascii_name
from msmtp.sender import accounts
from msmtp.sender.session import Session
from msmtp.sender.trace import Trace
from msmtp.smtp.commands import Ehlo
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from msmtp.config.account import Account
    from msmtp.credentials.secret import Secret
    from msmtp.net.stream import Stream
    from msmtp.net.tls import Tls
    from msmtp.sasl.mechanisms import Row

NONCE_OCTETS = 18  # 144 bits, and base64 without padding
PKCS11 = "pkcs11:"
DOMAIN = "localhost"  # what EHLO says if the account says nothing: it must say something (RFC 5321, 4.1.1.1)


class Connector:
    """Makes the session of one run.

    ``authenticates``: False in the modes that only ask the server something.  ``before_sandbox`` is called with the
    connected stream, when files can be opened for the last time.  ``preparing`` holds while secrets are fetched and
    files are read.
    """

    __slots__ = (
        "account",
        "authenticates",
        "before_sandbox",
        "debug",
        "domain",
        "host",
        "preparing",
        "secret",
        "session",
        "stream",
        "tls",
    )

    def __init__(
        self, account: Account, *, debug: bool, authenticates: bool = True, before_sandbox: Callable[[Stream], None]
    ) -> None:
        self.account = account
        self.debug = debug
        self.authenticates = authenticates and bool(account.auth)
        self.before_sandbox = before_sandbox
        self.domain = b""
        self.host = b""
        self.secret: Secret | None = None
        self.tls: Tls | None = None
        self.session: Session | None = None
        self.stream: Stream | None = None
        self.preparing = False

    def connect(self) -> Session:
        """A session after greeting, EHLO, TLS and authentication, as the account wants them."""
        account = self.account
        pending = begin(
            Target(
                account.host,
                account.port,
                socket=account.socket,
                source_ip=account.source_ip,
                proxy_host=account.proxy_host,
                proxy_port=account.proxy_port,
                timeout=account.timeout,
            )
        )
        try:
            self.preparing = True
            self.prepare()
            self.preparing = False
            self.stream = pending.finish()
        except BaseException:
            pending.close()
            raise
        self.before_sandbox(self.stream)
        self.confine()
        self.session = Session(self.stream, account.protocol, Trace() if self.debug else None)
        self.open(self.session)
        return self.session

    def close(self) -> None:
        """Let go of the connection, if there is one."""
        if self.stream is not None:
            self.stream.close()

    def prepare(self) -> None:
        """Fetch, load and open everything that will be out of reach later."""
        self.domain = own_name(self.account.domain or DOMAIN)
        if self.authenticates:
            if accounts.needs_secret(self.account):
                self.secret = accounts.secret_of(self.account)
            load_mechanisms(self.account, self.secret.reveal() if self.secret else b"")
            self.host = ascii_name(self.account.host).encode()  # which may need a library
        if self.account.tls:
            self.tls = prepare_tls(self.account, self.pin)

    def pin(self) -> bytes:
        """The password as a token's PIN or the password of a key file."""
        if self.secret is None:
            self.secret = accounts.secret_of(self.account)
        return self.secret.reveal()

    def confine(self) -> None:
        """Enter the sandbox."""
        readable = self.tls.paths() if self.tls else ()
        applied = sandbox.enter(role_of(self.account), readable=readable, policy=self.account.sandbox)
        if self.debug:
            for line in applied.lines():
                print(line)  # noqa: T201 - what --debug is for

    def open(self, session: Session) -> None:
        """Greeting, EHLO, TLS, authentication."""
        if self.tls and not self.account.tls_starttls:
            session.stream.start_tls(self.tls)
        session.greet()
        session.hello(self.domain)
        try:
            if self.tls and self.account.tls_starttls:
                session.start_tls(self.tls, self.domain)
            if self.authenticates:
                self.authenticate(session)
        except (UnsupportedFailure, UnsendableFailure):
            session.leave()
            raise

    def authenticate(self, session: Session) -> None:
        """Choose a mechanism that the server offers and the account allows, and use it."""
        from msmtp.sasl import mechanisms

        account, offered = self.account, session.extensions.auth
        tls = session.stream.info.tls
        binding = tls.channel_binding if tls is not None else None
        if account.auth == "on":
            usable = tuple(name for name in offered if not (row := mechanisms.find(name)) or not row.library)
            name = mechanisms.choose(usable or offered, tls=account.tls, channel_binding=binding is not None)
        else:
            name = mechanisms.check(account.auth.encode(), offered, channel_binding=binding is not None)
        credentials = mechanisms.Credentials(
            os.fsencode(account.user),
            self.secret.reveal() if self.secret else b"",
            host=self.host,
            port=account.port,
            ntlm_domain=os.fsencode(account.ntlmdomain),
            channel_binding=binding,
            nonce=os.urandom(NONCE_OCTETS).hex().encode(),
        )
        session.authenticate(mechanisms.create(name, credentials, offered))


def own_name(domain: str) -> bytes:
    """What EHLO says of this machine.  Raises ConfigFailure: the command ``domain`` holds what cannot be a name."""
    try:
        name = ascii_name(domain).encode()
        Ehlo(name).encode()
    except (HostNotFoundFailure, CommandFailure, UnicodeError) as error:
        raise ConfigFailure(f"the domain {domain!a} cannot be a name", hint="see the domain command") from error
    return name


def load_mechanisms(account: Account, secret: bytes) -> None:
    """Import what authentication may need, while files can still be opened.

    Of the methods that may be chosen automatically, those that need a library beside Python are left out: they must be
    asked for by name.
    """
    from msmtp.sasl import mechanisms

    credentials = mechanisms.Credentials(os.fsencode(account.user), secret)
    if account.auth != "on":
        mechanisms.load(account.auth.encode(), credentials)
        return
    for row in mechanisms.MECHANISMS:
        if may_be_chosen(row, tls=account.tls):
            mechanisms.load(row.name, credentials)


def may_be_chosen(row: Row, *, tls: bool) -> bool:
    """Whether ``auth on`` may lead to this mechanism."""
    return not row.library and (row.automatic == "secure" or (tls and row.automatic == "tls"))


def prepare_tls(account: Account, pin: Callable[[], bytes]) -> Tls:
    """TLS as the account wants it."""
    from msmtp.net.tls import TlsSettings, prepare

    settings = TlsSettings(
        trust_file=account.tls_trust_file,
        crl_file=account.tls_crl_file,
        fingerprint=account.tls_fingerprint,
        key_file=account.tls_key_file,
        cert_file=account.tls_cert_file,
        certcheck=account.tls_certcheck,
        priorities=account.tls_priorities,
        min_dh_prime_bits=account.tls_min_dh_prime_bits,
        host_override=account.tls_host_override,
        starttls=account.tls_starttls,
        channel_binding_wanted=account.auth == "on" or account.auth.endswith("-plus"),
        pin=pin,
    )
    return prepare(settings, ascii_name(account.host), preload=not sandbox.holds_files())


def role_of(account: Account) -> str:
    """The sandbox role that an account's settings need."""
    if account.auth == "gssapi":
        return "sender-gssapi"
    if account.tls and (account.tls_key_file.startswith(PKCS11) or account.tls_cert_file.startswith(PKCS11)):
        return "sender-pkcs11"
    return "sender"
