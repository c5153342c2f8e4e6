"""A byte stream to the server: reads, writes, TLS, one deadline for each operation.

The stream owns the raw non-blocking socket, the waiting and the deadline.  TLS is an *engine* that never touches the
socket: bytes in, bytes out.  The stream pumps it:

    handshake:  loop { done = engine.handshake(); if done: break; send(engine.outgoing()); engine.receive(recv()) }
    write:      send(engine.encrypt(block))                  block: at most 128 KiB; holds what outgoing() held, too
    read:       loop { text = engine.plaintext(size); if text is not None: return text
                       send(engine.outgoing()); engine.receive(recv()) }
    close:      engine.close(); send(engine.outgoing()), without waiting

So a server that sends nothing, or takes nothing, meets the same deadline under TLS as without it, and whatever the
engine wants to say (the end of the handshake, an alert, the answer to a key update) goes out with the next operation:
the last flight of the handshake and the first command share a segment.

What an engine raises passes through the stream as it is; before it passes, the stream sends what outgoing() holds (the
alert that tells the server why).

A write never waits for a server that itself waits for its answers to be read: while the kernel takes no more of ours,
what the server says is read and kept (``_inbox``) for the reads to come.  That is what makes one write of a whole
flight safe, however many recipients are in it (RFC 2920, 3.1 warns of the deadlock).  When a write fails, what the
server had said until then, perhaps why it hung up, can still be read.
"""

from __future__ import annotations

import select
from _socket import MSG_NOSIGNAL
from select import POLLIN, POLLOUT

from msmtp.failures import NetworkFailure, ProtocolFailure
from msmtp.net.deadline import Deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Protocol

    from msmtp.net.tls import TlsInfo

    class Engine(Protocol):
        """TLS as bytes in, bytes out."""

        @property
        def info(self) -> TlsInfo | None:
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

        def encrypt(self, data: bytes | memoryview) -> bytes:
            """All of ``data`` as TLS records, after whatever else outgoing() held.  NetworkFailure."""

        def outgoing(self) -> bytes:
            """What must be sent to the server now; may be empty."""

        def close(self) -> None:
            """Put the farewell (close_notify) into outgoing().  Raises nothing."""

    class Tls(Protocol):
        """A prepared TLS session (``msmtp.net.tls.prepare(settings, host)``): files are read, nothing is sent."""

        def engine(self) -> Engine:
            """A new engine, before its handshake."""


BLOCK = 64 * 1024  # octets read at once
WRITE = 2 * BLOCK  # octets written at once: a block of a mail whose line ends have become two octets each
INBOX_LIMIT = 16 * 1024 * 1024  # octets a server may say while it does not listen: replies to 100,000 recipients fit

_TIMED_OUT = "the operation timed out"
_READING = "network read error"
_WRITING = "network write error"
_SHAKING_HANDS = "TLS handshake failed"


class Info:
    """Whom a stream talks to.

    ``address``: the server's IP address as text; '' through a proxy and over a unix socket: it is not ours to know.
    ``tls``: what the engine tells of the TLS session, or None.
    """

    __slots__ = ("address", "tls")

    def __init__(self, address: str = "") -> None:
        self.address = address
        self.tls: TlsInfo | None = None

    def canonical_name(self, seconds: float | None = None) -> str:
        """The name that the address has in the DNS; '' where there is none, or not within ``seconds`` (None: no end).

        Nobody is asked before this is called.  It needs files, sockets and a thread: to be called before the sandbox.
        """
        if not self.address:
            return ""
        from msmtp.net.resolve import name_of  # only --serverinfo asks

        return name_of(self.address, seconds)


class Stream:
    """A connection to a server.

    ``socket``: connected and non-blocking; the stream owns it from here on.  ``seconds``: how long each operation may
    take (None or 0: as long as it likes).  An operation is a read, a handshake, or the writing of up to 128 KiB.

    After an exception (a failure, or what a signal handler raised) the stream is good for ``close()`` only; after a
    failed write, also for ``read()``.
    """

    __slots__ = ("_ended", "_engine", "_inbox", "_poll", "_seconds", "_socket", "info")

    def __init__(self, socket: _socket.socket, info: Info, seconds: float | None = None) -> None:
        self.info = info
        self._socket = socket
        self._seconds = seconds
        self._engine: Engine | None = None
        self._inbox = bytearray()
        self._ended = False
        self._poll = select.poll()
        self._poll.register(socket.fileno(), POLLIN)

    def deadline(self, seconds: float | None) -> None:
        """From now on each operation may take ``seconds``; None or 0: as long as it likes."""
        self._seconds = seconds

    def fileno(self) -> int:
        """The number of the socket, for those who wait for several things at once; -1 once closed."""
        return self._socket.fileno()

    def operation(self) -> Deadline:
        """The end of an operation that begins now and takes several reads."""
        return Deadline(self._seconds)

    def read(self, size: int = BLOCK, operation: Deadline | None = None) -> bytes:
        """Wait for bytes and give at most ``size`` of them; b"": the server has closed its side.

        ``operation``: what the read is part of, if it is not one of its own.  NetworkFailure: timed out, connection
        reset, TLS broken.
        """
        deadline = operation or self.operation()
        if self._engine is None:
            return self._receive(size, deadline, _READING)
        return self._read_tls(self._engine, size, deadline)

    def write(self, data: bytes) -> None:
        """Send all of ``data``, meanwhile taking in what the server says.

        NetworkFailure: timed out, connection reset.  ProtocolFailure: the server talks without end and does not listen.
        """
        if len(data) <= WRITE:
            self._write_block(data)
            return
        view = memoryview(data)
        for start in range(0, len(data), WRITE):
            self._write_block(view[start : start + WRITE])

    def start_tls(self, tls: Tls) -> None:
        """Shake hands; from here on everything is encrypted, and ``info.tls`` is set.

        ProtocolFailure: something the server sent in the clear has not been read yet (an injection: RFC 3207, 4.2);
        NetworkFailure: timed out, connection reset.  TlsHandshakeFailure, CertificateFailure: what the engine raises.
        """
        if self._inbox:
            raise ProtocolFailure("the server sent data in the clear that TLS should have protected")
        deadline = Deadline(self._seconds)
        engine = tls.engine()
        try:
            while not engine.handshake():
                self._send(engine.outgoing(), deadline, _SHAKING_HANDS)
                engine.receive(self._receive(BLOCK, deadline, _SHAKING_HANDS))
        except BaseException:
            self._say_at_once(engine)
            raise
        self._engine = engine
        self.info.tls = engine.info

    def close(self) -> None:
        """Say farewell if TLS has one and the kernel takes it at once, then let go.  Raises nothing; twice is once."""
        if self._engine is not None:
            self._engine.close()
            self._say_at_once(self._engine)
            self._engine = None
        try:
            self._socket.close()
        except OSError:
            pass  # it is closed all the same (close(2))

    # -- TLS

    def _read_tls(self, engine: Engine, size: int, deadline: Deadline) -> bytes:
        try:
            while (text := engine.plaintext(size)) is None:
                self._send(engine.outgoing(), deadline, _READING)
                engine.receive(self._receive(BLOCK, deadline, _READING))
        except BaseException:
            self._say_at_once(engine)
            raise
        return text

    def _say_at_once(self, engine: Engine) -> None:
        """Send what the engine still has to say, if the kernel takes it now; nobody waits for it."""
        try:
            self._socket.send(engine.outgoing(), MSG_NOSIGNAL)
        except OSError:
            pass  # there is a reason already why nothing more is said

    # -- the socket

    def _write_block(self, data: bytes | memoryview) -> None:
        if self._engine is not None:
            data = self._engine.encrypt(data)
        self._send(data, Deadline(self._seconds), _WRITING)

    def _send(self, data: bytes | memoryview, deadline: Deadline, words: str) -> None:
        """Send all of ``data``; the common case is one system call."""
        if not data:
            return
        sent = self._send_some(data, words)
        if sent == len(data):
            return
        rest = memoryview(data)[sent:]
        while rest:
            if self._wait(POLLOUT if self._ended else POLLIN | POLLOUT, deadline, words) & POLLIN:
                self._take_in(words)
            rest = rest[self._send_some(rest, words) :]

    def _send_some(self, data: bytes | memoryview, words: str) -> int:
        try:
            return self._socket.send(data, MSG_NOSIGNAL)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise NetworkFailure(f"{words}: {error.strerror}") from None

    def _take_in(self, words: str) -> None:
        """Keep what the server says while we are writing."""
        data = self._receive_some(BLOCK, words)
        if data is None:
            return
        self._ended = not data
        self._inbox += data
        if len(self._inbox) > INBOX_LIMIT:
            raise ProtocolFailure("the server keeps talking and does not listen")

    def _receive(self, size: int, deadline: Deadline, words: str) -> bytes:
        """At most ``size`` bytes as they came over the wire; b"": end."""
        if self._inbox:
            return self._from_inbox(size)
        while True:
            self._wait(POLLIN, deadline, words)
            data = self._receive_some(size, words)
            if data is not None:
                return data

    def _from_inbox(self, size: int) -> bytes:
        data = bytes(self._inbox[:size])
        del self._inbox[:size]
        return data

    def _receive_some(self, size: int, words: str) -> bytes | None:
        """None: nothing there after all (Linux may say so of a socket that poll called readable)."""
        try:
            return self._socket.recv(size)
        except BlockingIOError:
            return None
        except OSError as error:
            raise NetworkFailure(f"{words}: {error.strerror}") from None

    def _wait(self, events: int, deadline: Deadline, words: str) -> int:
        """Wait until one of ``events`` (or an error, or the end) can be had; which, as poll(2) says it.

        Past the deadline nothing is taken any more, however much is there: a server that never stops could go on so.
        """
        self._poll.modify(self._socket.fileno(), events)
        left = deadline.milliseconds()
        ready = left != 0 and self._poll.poll(left)
        if not ready:
            raise NetworkFailure(f"{words}: {_TIMED_OUT}", hint="see the timeout command")
        return ready[0][1]
