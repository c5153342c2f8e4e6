"""A TLS client of ours and a server of Python's, joined in memory: no socket, no waiting."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from msmtp.net.tls import Engine, Tls


class Server:
    """The server's side: the engine's outgoing bytes are its incoming ones."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.error: Exception | None = None

    def handshake(self) -> None:
        try:
            self.session.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            self.error = error

    def say(self, data: bytes) -> bytes:
        """Ciphertext of ``data``."""
        self.session.write(data)
        return self.outgoing.read()

    def hear(self, data: bytes) -> bytes:
        """What ``data``, ciphertext, says."""
        self.incoming.write(data)
        try:
            return self.session.read(1 << 20)
        except ssl.SSLWantReadError:
            return b""


def shake(tls: Tls, context: ssl.SSLContext, chunk: int = 1 << 20) -> tuple[Engine, Server]:
    """Both sides after the handshake; what the engine raises passes.  ``chunk``: bytes given to the engine at a time."""
    engine, server = tls.engine(), Server(context)
    for _ in range(8):
        done = engine.handshake()
        server.incoming.write(engine.outgoing())
        server.handshake()
        if done:
            return engine, server
        data = server.outgoing.read()
        for at in range(0, len(data), chunk):
            engine.receive(data[at : at + chunk])
            if at + chunk < len(data):
                assert not engine.handshake() or at + chunk >= len(data) - 512
    raise AssertionError(f"no end of the handshake: {server.error}")
