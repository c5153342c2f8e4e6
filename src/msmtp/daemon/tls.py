"""TLS: the processes that hold the certificate's key, and speak TLS so that workers need not.

    broker        reads certificate and key once, enters its role, forks a terminator for each session
    terminator    holds the client's connection and one end of a stream; shakes hands, then copies:

        client  <- TLS ->  terminator  <- plain text ->  worker

A fault in the worker, which parses what the client says, cannot reach the key; one in TLS cannot reach a mail but its
own.  The terminator reads from one side only while the other takes what it has, so its memory does not grow.

The end of the plain text says which end it was: CLOSED comes before it if the client ended TLS in good order (RFC 8446,
6.1); without it, somebody cut the connection, and what was not complete is not to be believed.  Octets behind the
client's close_notify are not read at all.
"""

from __future__ import annotations

import _socket
import gc
import select
import signal
import stat
from time import monotonic

from msmtp import sandbox
from msmtp.daemon import descriptors, events, standing
from msmtp.daemon.channel import Channel, ChannelGone, ChannelShort
from msmtp.daemon.loop import Loop
from msmtp.daemon.requests import CLOSED, CONTROL, NOT_SECURED, PING, PONG, SECURED, TLS_SESSION
from msmtp.daemon.wire import milliseconds
from msmtp.exits import EX_SOFTWARE
from msmtp.failures import ChannelFailure, InsecureFileFailure, TlsFileFailure
from msmtp.net import _openssl
from msmtp.net._openssl import MemoryBIO, SSLError, SSLWantReadError, SSLZeroReturnError
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.journal import Journal
    from msmtp.net._openssl import Context, Session
    from msmtp.sandbox import Prepared

HANDSHAKE = 30.0  # seconds for all of it
LINGER = 3.0  # seconds for the client to take the rest and close, once the worker has
BLOCK = 65_536  # octets read at once
ROOM = 262_144  # octets that may wait for a side; beyond it, nothing is read from the other

DESCRIPTORS = 16  # one more than a terminator's highest: three of no use, connection, stream, channel, some to spare
SECONDS = 300  # of processor time, which no session takes

_FLAGS = _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL


# What the broker reads before it confines itself.


def load(settings: Settings) -> Context:
    """Read certificate and key (which may be one file).  Raises TlsFileFailure, InsecureFileFailure."""
    certificate, key = settings.tls_cert, settings.tls_key or settings.tls_cert
    _check_key(key)
    context = _openssl.new_server_context()
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except (OSError, ValueError) as error:
        raise TlsFileFailure(
            f"cannot use certificate {certificate} with key {key}: {_openssl.words(error)}",
            hint="tls-cert names a chain in PEM format, the server's certificate first; tls-key its key, not encrypted",
        ) from None
    return context


def _check_key(path: str) -> None:
    """Let a key file pass that nobody but its owner can read, and whose owner may be trusted."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise TlsFileFailure(f"cannot open TLS key {path}: {error.strerror}", hint="check tls-key") from None
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise TlsFileFailure(f"TLS key {path} is no regular file", hint="check tls-key")
    if found.st_uid not in {0, os.geteuid()}:
        raise InsecureFileFailure(f"TLS key {path} belongs to another user", hint="it must be root's or the daemon's")
    if found.st_mode & 0o077:
        raise InsecureFileFailure(
            f"TLS key {path} is open to others: mode {found.st_mode & 0o777:o}", hint=f"chmod 600 {path}"
        )


def _no_password() -> bytes:
    """Stands where OpenSSL would ask on the terminal by itself."""
    return b""


def warm(context: Context) -> None:
    """Shake hands in memory, well and badly, so that terminators find all of OpenSSL loaded."""
    client = _openssl.new_context()
    client.check_hostname = False
    client.verify_mode = _openssl.CERT_NONE
    for newest in (_openssl.TLS1_2, _openssl.TLS1_3):
        client.maximum_version = newest
        up, down = MemoryBIO(), MemoryBIO()
        engine = Engine(context)
        session = _openssl.new_session(client, down, up, "")
        _shake_in_memory(session, engine, up, down)
        session.write(b"x")
        engine.take(up.read())
        engine.put(engine.plain()[0])
        engine.close()
    try:
        engine = Engine(context)
        engine.take(b"EHLO this.is.no.tls\r\n")
        engine.shake()
    except (SSLError, OSError) as error:
        _openssl.words(error)
    gc.collect()
    gc.freeze()


def _shake_in_memory(session: Session, engine: Engine, up: MemoryBIO, down: MemoryBIO) -> None:
    done = False
    while not done:
        try:
            session.do_handshake()
        except SSLWantReadError:
            pass
        engine.take(up.read())
        done = engine.shake()
        down.write(engine.outgoing())


# One session.


class Engine:
    """TLS over memory: octets of the connection in and out, plain text out and in."""

    __slots__ = ("_incoming", "_outgoing", "_session")

    def __init__(self, context: Context) -> None:
        self._incoming, self._outgoing = MemoryBIO(), MemoryBIO()
        self._session = _openssl.new_server_session(context, self._incoming, self._outgoing)

    def take(self, data: bytes) -> None:
        """Take what came from the client."""
        self._incoming.write(data)

    def outgoing(self) -> bytes:
        """What is to be sent to the client."""
        return self._outgoing.read()

    def shake(self) -> bool:
        """One step of the handshake; whether it is complete.  Raises SSLError, OSError."""
        try:
            self._session.do_handshake()
        except SSLWantReadError:
            return False
        return True

    def agreed(self) -> tuple[bytes, bytes, int]:
        """Version, cipher, bits."""
        name, _, bits = self._session.cipher() or ("", "", 0)
        return (self._session.version() or "").encode()[:32], name.encode()[:64], bits

    def plain(self) -> tuple[bytes, bool]:
        """All plain text in what came so far, and whether close_notify stands behind it.  Raises SSLError, OSError."""
        blocks = []
        try:
            while block := self._session.read(BLOCK):
                blocks.append(block)
        except SSLWantReadError:
            return b"".join(blocks), False
        except SSLZeroReturnError:
            pass
        return b"".join(blocks), True

    def put(self, data: bytes) -> None:
        """Encrypt plain text."""
        view = memoryview(data)
        while view:
            view = view[self._session.write(view) :]

    def close(self) -> None:
        """Say close_notify."""
        try:
            _openssl.shutdown(self._session)
        except (SSLError, OSError, ValueError):  # the answer has not come, or there is nothing left to close
            return


class Side:
    """One of the two sockets.

    ``pending``: octets it is to take.  ``reading``: whether more is to be read from it.  ``writing``: whether it takes
    anything.
    """

    __slots__ = ("pending", "reading", "socket", "writing")

    def __init__(self, descriptor: int) -> None:
        self.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, descriptor)
        self.pending = memoryview(b"")
        self.reading = self.writing = True

    def read(self) -> bytes | None:
        """What has come; b"" at the end, None if nothing has."""
        try:
            return self.socket.recv(BLOCK, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            self.writing = False
            self.pending = memoryview(b"")
            return b""

    def write(self, data: bytes = b"") -> None:
        """Write as much as goes, keep the rest."""
        if not self.writing:
            return
        if data:
            self.pending = memoryview(bytes(self.pending) + data if self.pending else data)
        try:
            while self.pending:
                self.pending = self.pending[self.socket.send(self.pending, _FLAGS) :]
        except BlockingIOError:
            return
        except OSError:  # nobody is there any more
            self.writing = False
            self.pending = memoryview(b"")

    def finish(self) -> None:
        """Write no more, and say so."""
        if self.writing:
            self.writing = False
            try:
                self.socket.shutdown(_socket.SHUT_WR)
            except OSError:
                return

    def events(self, *, room: bool) -> int:
        """What to wait for; ``room``: whether the other side takes more."""
        return select.POLLIN * (self.reading and room) | select.POLLOUT * bool(self.pending)


class Terminator:
    """One session; the three descriptors are its own from now on."""

    __slots__ = ("_channel", "_client", "_engine", "_poll", "_until", "_worker")

    def __init__(self, context: Context, connection: int, plain: int, channel: int) -> None:
        self._client, self._worker = Side(connection), Side(plain)
        self._channel = Channel(channel)
        self._engine = Engine(context)
        self._poll = select.poll()
        self._until = monotonic() + HANDSHAKE

    def run(self) -> None:
        """Serve the session to its end."""
        try:
            if self._shake():
                self._copy()
        finally:
            for end in (self._client.socket, self._worker.socket, self._channel):
                end.close()

    def _tell(self, *message: object) -> None:
        try:
            self._channel.send(*message, wait=False)  # type: ignore[arg-type]  # a row and its values
        except (ChannelFailure, BlockingIOError):
            return

    def _shake(self) -> bool:
        """Shake hands; whether that succeeded."""
        try:
            while not self._engine.shake():
                self._client.write(self._engine.outgoing())
                if reason := self._await_handshake():
                    self._tell(NOT_SECURED, reason)
                    return False
        except (SSLError, OSError) as error:
            self._client.write(self._engine.outgoing())  # the alert
            self._tell(NOT_SECURED, _openssl.words(error).encode("ascii", "replace")[:128])
            return False
        self._client.write(self._engine.outgoing())
        self._tell(SECURED, *self._engine.agreed())
        return True

    def _await_handshake(self) -> bytes:
        """Take the client's next octets; why they will not come, or b""."""
        self._poll.register(self._client.socket.fileno(), self._client.events(room=True))
        self._poll.register(self._worker.socket.fileno(), 0)
        ready = dict(self._poll.poll(milliseconds(self._until)))
        if self._worker.socket.fileno() in ready:
            return b"given up"
        if monotonic() >= self._until:
            return b"timeout"
        self._client.write()
        data = self._client.read()
        if data == b"":
            return b"connection closed"
        self._engine.take(data or b"")
        return b""

    def _copy(self) -> None:
        """Copy until both sides have ended."""
        client, worker = self._client, self._worker
        self._until = float("inf")
        self._decrypt(b"")
        while self._going():
            self._watch(client, client.events(room=len(worker.pending) < ROOM))
            self._watch(worker, worker.events(room=len(client.pending) < ROOM))
            ready = dict(self._poll.poll(milliseconds(self._until)))
            if monotonic() >= self._until:
                return
            self._on_client(ready.get(client.socket.fileno(), 0))
            self._on_worker(ready.get(worker.socket.fileno(), 0))

    def _watch(self, side: Side, events: int) -> None:
        """Wait for this side, or not: one that has hung up would be ready again and again."""
        descriptor = side.socket.fileno()
        if events:
            self._poll.register(descriptor, events)
        else:
            try:
                self._poll.unregister(descriptor)
            except KeyError:
                return

    def _going(self) -> bool:
        """Whether there is anything left to do; sides that have nothing to come are closed on the way."""
        client, worker = self._client, self._worker
        if not client.reading and not worker.pending:
            worker.finish()
        if not worker.reading and not client.pending:
            client.finish()
        return client.reading or worker.reading or bool(client.pending or worker.pending)

    def _on_client(self, events: int) -> None:
        client = self._client
        if events & select.POLLOUT:
            client.write()
        if client.reading and events & ~select.POLLOUT and len(self._worker.pending) < ROOM:
            data = client.read()
            if data:
                self._decrypt(data)
            elif data == b"":
                client.reading = False  # without close_notify: no CLOSED
        elif events & (select.POLLERR | select.POLLNVAL):
            client.read()  # it is gone; what waits for it is let go

    def _decrypt(self, data: bytes) -> None:
        try:
            self._engine.take(data)
            text, ended = self._engine.plain()
        except (SSLError, OSError):
            self._client.reading = False
        else:
            self._worker.write(text)
            if ended:
                self._client.reading = False
                self._tell(CLOSED)
        self._client.write(self._engine.outgoing())  # alerts, answers to updates of keys

    def _on_worker(self, events: int) -> None:
        worker = self._worker
        if events & select.POLLOUT:
            worker.write()
        if not (worker.reading and events & ~select.POLLOUT and len(self._client.pending) < ROOM):
            return
        data = worker.read()
        if data:
            self._engine.put(data)
            self._client.write(self._engine.outgoing())
        elif data == b"":
            worker.reading = False
            self._until = monotonic() + LINGER
            self._engine.close()
            self._client.write(self._engine.outgoing())


# The broker.


class TlsBroker:
    """Forks a terminator for each session that a supervisor tells of."""

    __slots__ = ("_children", "_context", "_controls", "_draining", "_journal", "_loop", "_policy", "_prepared")

    def __init__(self, loop: Loop, context: Context, journal: Journal, prepared: Prepared | None, policy: str) -> None:
        self._loop = loop
        self._context = context
        self._journal = journal
        self._prepared = prepared
        self._policy = policy
        self._controls: dict[int, Channel] = {}
        self._children: set[int] = set()
        self._draining = False

    def control(self, descriptor: int) -> None:
        """Serve one who asks over this channel: the keeper, supervisors."""
        channel = Channel(descriptor)
        channel.set_blocking(False)
        self._controls[descriptor] = channel
        self._loop.watch(descriptor, lambda _events: self._on_control(channel))

    def _on_control(self, channel: Channel) -> None:
        try:
            message = channel.receive((PING, CONTROL, TLS_SESSION))
            if message.name == TLS_SESSION.name:
                self._begin(message.number("session"), message.descriptors)
            elif message.name == CONTROL.name:
                self.control(message.descriptors[0])
            else:
                channel.send(PONG, message.number("count"))
        except BlockingIOError:
            return
        except ChannelShort as shortage:  # the other end of what came along is closed by that
            events.note(self._journal, 0, f"tls: {shortage.message}")
        except ChannelFailure as failure:
            if not isinstance(failure, ChannelGone):
                events.note(self._journal, 0, f"tls: {failure.message}")
            descriptor = channel.fileno()
            self._loop.forget(descriptor)
            channel.close()
            del self._controls[descriptor]
            self._end_if_done()

    def _begin(self, session: int, given: Sequence[int]) -> None:
        """Fork a terminator; a session that gets none sees its channel close."""
        try:
            child = os.fork()
        except OSError as error:
            events.note(self._journal, session, f"cannot make a TLS process: {error.strerror}")
        else:
            if not child:
                self._become_terminator(given)
            self._children.add(child)
        finally:
            for descriptor in given:
                os.close(descriptor)

    def _become_terminator(self, given: Sequence[int]) -> NoReturn:
        """Be a terminator, in the child."""
        status = EX_SOFTWARE
        try:
            self._loop.close()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # it ends with its worker
            gc.disable()
            ruleset = self._prepared.ruleset if self._prepared else -1
            descriptors.keep_only({*given, ruleset})
            if self._prepared:
                self._prepared.enter(self._policy)
            Terminator(self._context, *given).run()
            status = 0
        finally:
            os._exit(status)  # noqa: SLF001 - public, whatever its name says

    def reap(self) -> None:
        """Terminators have ended."""
        for child in [*self._children]:
            if os.waitpid(child, os.WNOHANG)[0]:
                self._children.discard(child)
        self._end_if_done()

    def drain(self) -> None:
        """End with the last session."""
        self._draining = True
        self._end_if_done()

    def _end_if_done(self) -> None:
        if not self._children and (self._draining or not self._controls):
            self._loop.stop()

    def close(self) -> None:
        """Hang up."""
        for channel in self._controls.values():
            channel.close()
        self._controls.clear()


def prepare() -> tuple[Prepared, Prepared]:
    """Prepare the broker's role, and that of all its terminators."""
    terminator = sandbox.prepare("tls", limits={"descriptors": DESCRIPTORS, "seconds": SECONDS})
    return sandbox.prepare("tls-parent"), terminator


def run(controls: Sequence[int], settings: Settings, context: Context, journal: Journal) -> None:
    """Be the TLS broker, in the child that was forked for it; ``controls``: channels to those it serves.

    The caller has closed what is not the broker's, has ``load``-ed ``context`` before it gave its rights up, and ends
    the process when this returns.  Raises SandboxFailure.
    """
    warm(context)
    loop = Loop()
    role, terminators = prepare() if settings.sandbox != sandbox.OFF else (None, None)
    broker = TlsBroker(loop, context, journal, terminators, settings.sandbox)
    standing.heed(loop, broker.drain, SIGCHLD=broker.reap)
    if role:
        standing.enter(role, settings, journal)
        role.close()
    for control in controls:
        broker.control(control)
    loop.run()
    broker.close()
