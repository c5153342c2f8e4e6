"""A scripted SMTP server whose AUTH is GNU SASL's, and TLS for it that can tell what its channel is bound to.

    with ScriptedServer(Authenticating(["SCRAM-SHA-256-PLUS"]), tls=BoundTls(certificate)) as server: ...

``BoundTls`` stands where :class:`ssl.SSLContext` would; pyOpenSSL gives what Python's module does not: the exporter.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from OpenSSL import SSL
from tests.support.sasl.dialogue import ForeignServer, Refused
from tests.support.sasl.gsasl import Gsasl
from tests.support.scripted import Polite, Session

if TYPE_CHECKING:
    from tests.support.certificates import Certificate

EXPORTER = b"EXPORTER-Channel-Binding"  # RFC 9266, 4.2
Binding = tuple[bytes, bytes]


class Authenticating(Polite):
    """A server with manners whose AUTH is carried out by a foreign library.

    ``begin`` makes that library's side of an exchange (a context manager with start() and next()) from the mechanism's
    name and the channel binding of the connection, or None; GNU SASL's by default, for user joe and password secret.
    ``binding``: gives another value than the connection's own, as a server has it whom somebody else has connected to.
    """

    def __init__(
        self,
        mechanisms: Iterable[str],
        *,
        begin: Callable[[bytes, Binding | None], ForeignServer] | None = None,
        binding: Callable[[Session], Binding | None] | None = None,
        user: bytes = b"joe",
        password: bytes = b"secret",
        properties: Mapping[int, bytes] | None = None,
        **polite: object,
    ) -> None:
        super().__init__(mechanisms=mechanisms, **polite)  # type: ignore[arg-type]
        self.binding = binding or binding_of
        self.begin = begin or (
            lambda name, bound: Gsasl(name, user, password, channel_binding=bound, properties=properties)
        )

    def do_auth(self, session: Session, rest: bytes) -> None:
        name, _, initial = rest.partition(b" ")
        session.memory["mechanism"] = name
        bound = self.binding(session) if name.endswith(b"-PLUS") else None
        with self.begin(name, bound) as exchange:  # type: ignore[attr-defined]
            try:
                self.exchange(session, exchange, initial)
            except Refused as refused:
                session.say(f"535 5.7.8 {refused}")

    def exchange(self, session: Session, exchange: ForeignServer, initial: bytes) -> None:
        """Challenges and responses, until one side has enough."""
        first = None if not initial else b"" if initial == b"=" else base64.b64decode(initial)
        challenge = exchange.start(first)
        while challenge is not None:
            session.say(b"334 " + base64.b64encode(challenge) + b"\r\n")
            response = session.line().rstrip(b"\r\n")
            if response == b"*":
                session.say("501 5.7.0 cancelled")
                return
            challenge = exchange.next(base64.b64decode(response))
        session.user = b"somebody"
        session.say("235 2.7.0 welcome")


class BoundTls:
    """TLS on the server's side by pyOpenSSL.  ``version``: the only one that is spoken; ``client``: whom to trust."""

    def __init__(self, certificate: Certificate, version: int = SSL.TLS1_3_VERSION, *, client: bool = False) -> None:
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self.context.use_certificate_chain_file(str(certificate.chain))
        self.context.use_privatekey_file(str(certificate.key))
        self.context.set_min_proto_version(version)
        self.context.set_max_proto_version(version)
        if client:
            self.context.load_verify_locations(str(certificate.authority))
            self.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)

    def wrap_socket(self, connection: socket.socket, **_: object) -> BoundSocket:
        """Shake hands."""
        connection.settimeout(None)
        session = SSL.Connection(self.context, connection)
        session.set_accept_state()
        try:
            session.do_handshake()
        except SSL.Error as error:
            raise ConnectionError(error) from error
        return BoundSocket(session, connection)


class BoundSocket:
    """What the scripted server asks of a socket."""

    def __init__(self, session: SSL.Connection, connection: socket.socket) -> None:
        self.session = session
        self.connection = connection
        self.family = connection.family
        self.fileno = connection.fileno
        self.setsockopt = connection.setsockopt
        self.pending = session.pending
        self.shutdown = connection.shutdown

    def recv(self, size: int) -> bytes:
        """Octets; b"" at the end."""
        try:
            return self.session.recv(size)
        except SSL.Error:
            return b""

    def sendall(self, data: bytes) -> None:
        """All of it."""
        try:
            self.session.sendall(data)
        except SSL.Error as error:
            raise ConnectionError(error) from error

    def close(self) -> None:
        """Say farewell and close."""
        try:
            self.session.shutdown()
        except SSL.Error:
            pass
        self.session.close()
        self.connection.close()


def binding_of(session: Session) -> Binding | None:
    """The channel binding of a connection as its server sees it; the client's Finished came first (RFC 5929, 3.1)."""
    if not isinstance(session.tls, BoundSocket):
        return None
    ssl = session.tls.session
    if ssl.get_protocol_version() == SSL.TLS1_3_VERSION:
        return b"tls-exporter", ssl.export_keying_material(EXPORTER, 32, b"")
    return b"tls-unique", ssl.get_peer_finished()
