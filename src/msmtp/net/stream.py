"""A byte stream to the server: reads, writes, TLS, one deadline for each operation.

The stream owns the raw non-blocking socket, the waiting and the deadline.  TLS is an *engine* that never touches the
socket: bytes in, bytes out.  The stream pumps it:

    handshake:  loop { done = engine.handshake(); send(engine.outgoing()); if done: break; engine.receive(recv()) }
    write:      send(engine.encrypt(block))                  block: at most 64 KiB
    read:       loop { text = engine.plaintext(size); if text is not None: return text; engine.receive(recv()) }
    close:      engine.close(); send(engine.outgoing()), without waiting

So a server that sends nothing, or takes nothing, meets the same deadline under TLS as without it, and whatever the engine
wants to say (an alert, the answer to a key update) goes out with the next operation.

What an engine raises passes through the stream as it is; before it passes, the stream sends what outgoing() holds (the
alert that tells the server why).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Engine(Protocol):
        """TLS as bytes in, bytes out."""

        @property
        def info(self) -> object:
            """What was agreed (protocol, cipher, certificate), once the handshake is done."""

        def handshake(self) -> bool:
            """One step; True: done, and the certificate is trusted; False: more bytes are needed from the server.

            TlsHandshakeFailure, CertificateFailure.
            """

        def receive(self, data: bytes) -> None:
            """Take what came from the server; b"": the connection has ended."""

        def plaintext(self, size: int) -> bytes | None:
            """At most ``size`` decrypted bytes; b"": the server has closed TLS properly; None: more must be received.

            NetworkFailure: an alert, a damaged record, or the connection ended without TLS being closed.
            """

        def encrypt(self, data: bytes) -> bytes:
            """All of ``data`` as TLS records, after whatever else outgoing() held.  NetworkFailure."""

        def outgoing(self) -> bytes:
            """What must be sent to the server now; may be empty."""

        def close(self) -> None:
            """Put the farewell (close_notify) into outgoing().  Raises nothing."""

    class Tls(Protocol):
        """A prepared TLS session (``msmtp.net.tls.prepare(settings, host)``): files are read, nothing is sent."""

        def engine(self) -> Engine:
            """A new engine, before its handshake."""
