"""Sessions: from a connection that has come to the account of how it ended, seen from the supervisor.

Nothing that a client says is read here, but the kernel's word for who it is.  Then: a slot, the source's share, a
worker, its ways to auth and delivery; whatever of this cannot be had is a 421 at once.

    listener ready   accept, who is it, slot, share -> worker
    of a worker      NOTE: to the log; SWAP: the connection goes over to TLS; ENDED: the account, for when it has ended
    its end          give the slot back
"""

from __future__ import annotations

import _socket
import errno
from functools import partial
from time import monotonic

from msmtp.daemon import events, peers, titles
from msmtp.daemon.channel import pair
from msmtp.daemon.requests import (
    AUTH_SESSION,
    DELIVERY_SESSION,
    LOOKUP,
    NOBODY,
    NOT_SWAPPED,
    NOTE,
    PROXIED,
    SECURE_PATH,
    STRESSED,
    SWAP,
    SWAPPED,
    TLS_FIRST,
    TLS_SESSION,
    WITH_AUTH,
    WITH_TLS,
)
from msmtp.failures import shown
from msmtp.smtp.server_replies import REPLIES
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.brokers import Brokers
    from msmtp.daemon.channel import Message
    from msmtp.daemon.journal import Journal
    from msmtp.daemon.listeners import Listener
    from msmtp.daemon.loop import Loop, Timer
    from msmtp.daemon.peers import Peer
    from msmtp.daemon.slots import Slots
    from msmtp.daemon.status import Page
    from msmtp.daemon.workers import Worker, Workers

ACCEPTS_A_TURN = 16
PAUSE = 0.1  # seconds without accepting after the system refused a descriptor or memory
MOST = 1 << 32  # mails and mistakes of a session; what a worker says that was taken over may be anything
AFTER_ALL = 30  # seconds that a session may last beyond the longest that it and its last mail may take

# Nothing of the supervisor's own memory depends on a client beyond these.
TO_ANSWER = _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL

_FAMILIES = {"inet": _socket.AF_INET, "inet6": _socket.AF_INET6, "unix": _socket.AF_UNIX}

# What accept(2) may say of one connection that is of no matter to the next.
_PASSING = (errno.ECONNABORTED, errno.EPROTO, errno.EINTR, errno.EPERM, errno.ENETDOWN)
_SHORTAGE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Session:
    """One of them, as the work of a worker.  ``key``: its source's; ``connection``: while it may go over to TLS."""

    __slots__ = (
        *("_sessions", "connection", "deadline", "errors", "key", "mails", "number", "peer", "reason", "started"),
        "worker",
    )

    def __init__(self, sessions: Sessions, number: int, peer: Peer, key: bytes) -> None:
        self._sessions = sessions
        self.number = number
        self.peer = peer
        self.key = key
        self.worker: Worker | None = None
        self.connection: _socket.socket | None = None
        self.started = monotonic()
        self.deadline: Timer | None = None
        self.reason = b""
        self.mails = 0
        self.errors = 0

    def heard(self, message: Message) -> None:
        """Take what its worker says."""
        if message.name == NOTE.name:
            self._sessions.note(self, message.octets("text"))
        elif message.name == SWAP.name:
            self._sessions.swap(self)
        else:
            self.reason = message.octets("reason")
            self.mails, self.errors = (min(MOST, message.number(name)) for name in ("mails", "errors"))

    def over(self) -> None:
        """Its worker has ended."""
        if self.connection is not None:
            self.connection.close()
        if self.deadline:
            self.deadline.cancel()
        self._sessions.end(self)


class Sessions:
    """At most as many as there are ``slots``, from one source at most its share of them.

    ``accepting``: whether connections are taken just now; ``rested`` is called when they may be taken again after a
    pause.  ``reserve``: a descriptor, a copy of which is given up when there is none left to refuse a client with, -1
    for none.  ``flags``: what is to be known of all of them.
    """

    def __init__(  # noqa: PLR0913 - what it works with, by name
        self,
        settings: Settings,
        loop: Loop,
        *,
        listeners: list[Listener],
        workers: Workers,
        brokers: Brokers,
        slots: Slots,
        page: Page,
        journal: Journal,
        rested: Callable[[], None],
        reserve: int = -1,
        first: int = 0,
        flags: int = 0,
    ) -> None:
        self.accepting = False
        self._settings = settings
        self._loop = loop
        self._listeners = {listener.fd: listener for listener in listeners}
        self._sockets = {listener.fd: listening(listener.fd, listener.kind) for listener in listeners}
        self._workers = workers
        self._brokers = brokers
        self._slots = slots
        self._page = page
        self._journal = journal
        self._number = first
        self._rested = rested
        self._now: dict[int, Session] = {}
        self._sources: dict[bytes, int] = {}
        self._reserve_of, self._reserve = reserve, -1
        self._common_flags = flags

    # From the beginning to the end.

    def prepare(self) -> None:
        """Open what it needs, while there are files."""
        self._watcher = peers.Watcher()
        if self._reserve_of >= 0:
            self._reserve = os.dup(self._reserve_of)

    def accept_if(self, yes: bool) -> None:
        """Watch the listeners, or let connections wait in the backlog."""
        self.accepting = yes
        for descriptor in self._listeners:
            if yes:
                self._loop.watch(descriptor, partial(self._on_listener, descriptor))
            else:
                self._loop.forget(descriptor)

    def close(self) -> None:
        """Accept no more; the sessions that there are go on."""
        self.accept_if(False)
        for each in self._sockets.values():
            each.close()
        self._sockets.clear()
        self._listeners.clear()

    def report(self) -> list[str]:
        """A line for each."""
        now = monotonic()
        return [
            f"session {each.number} {now - each.started:.1f} {each.worker.pid} {each.peer}\n"
            for each in self._now.values()
            if each.worker
        ]

    # Connections.

    def _on_listener(self, descriptor: int, _events: int) -> None:
        """Accept what has come, not too much at a time."""
        listener = self._listeners[descriptor]
        for _ in range(ACCEPTS_A_TURN):
            if not self._slots.free:
                self._workers.hear_of_ends()
            if not self._workers.waiting and self._is_starved():
                return
            try:
                accepted = self._accept(listener)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _PASSING:
                    continue
                self._on_shortage(listener, error)
                return
            try:
                self.begin(listener, accepted)
            except OSError as error:
                self._refuse(accepted, "refused_resources", f"{listener.name}: {error.strerror}")

    def _is_starved(self) -> bool:
        """Whether a client has to wait in the backlog, since there is a slot but no worker yet."""
        workers = self._workers
        if not self._slots.free or workers.await_one() or not workers.are_to_be_expected():
            return False
        self.accept_if(False)
        return True

    def _accept(self, listener: Listener) -> _socket.socket:
        """Accept a connection, or raise OSError."""
        descriptor, _ = self._sockets[listener.fd]._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - accept()'s own
        family = _FAMILIES[listener.kind]
        connection = _socket.socket(family, _socket.SOCK_STREAM, 0, descriptor)
        if family != _socket.AF_UNIX:
            connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        return connection

    def _on_shortage(self, listener: Listener, error: OSError) -> None:
        """Answer one with the descriptor held in reserve, and rest."""
        if error.errno in _SHORTAGE and self._reserve >= 0:
            os.close(self._reserve)
            self._reserve = -1
            try:
                self._refuse(self._accept(listener), "refused_resources", f"{listener.name}: {error.strerror}")
            except OSError:
                self._page.add("refused_resources")
            try:
                self._reserve = os.dup(self._reserve_of)
            except OSError:
                pass  # the next session that ends leaves one
        events.note(self._journal, 0, f"cannot accept on {listener.name}: {error.strerror}")
        self.accept_if(False)
        self._loop.after(PAUSE, self._rested)

    def _refuse(self, accepted: _socket.socket, counter: str, reason: str, peer: str = "") -> None:
        """Say 421 without waiting, and close."""
        self._page.add(counter)
        reply = REPLIES["no resources" if counter == "refused_resources" else "too many sessions"]
        try:
            accepted.send(reply.encode(), TO_ANSWER)
        except OSError:
            pass  # it is gone, or does not read
        finally:
            accepted.close()
        events.refused(self._journal, peer or "a client", reason)

    # The beginning of a session.

    def begin(self, listener: Listener, accepted: _socket.socket) -> bool:
        """Give a connection to a worker, or say why not; whether a session came of it.  Raises OSError."""
        if not self._take_slot():
            self._refuse(accepted, "refused_full", "all slots are taken")
            return False
        key, begun = b"", False
        try:
            peer = self._watcher.of(accepted.fileno())
            key = peers.key(peer)
            if not self._has_share(key) and not peers.within(peer, self._settings.proxy_protocol):
                self._refuse(accepted, "refused_source", f"{shown(key)} has its share of the slots", str(peer))
            else:
                begun = self._hand_over(listener, accepted, peer, key)
        finally:
            if not begun:
                self._slots.give_back()
        if begun:
            self._sources[key] = self._sources.get(key, 0) + 1
        return begun

    def _take_slot(self) -> bool:
        """Take a slot; if there is none, see first whether workers have ended that were not heard of yet."""
        return self._slots.take() or (self._workers.hear_of_ends() and self._slots.take())

    def _has_share(self, key: bytes) -> bool:
        """Whether a source may have one more session; seen as above."""
        sources, share = self._sources, self._settings.sessions_per_source
        return sources.get(key, 0) < share or (self._workers.hear_of_ends() and sources.get(key, 0) < share)

    def _hand_over(self, listener: Listener, accepted: _socket.socket, peer: Peer, key: bytes) -> bool:
        """Tell the brokers and a worker of a connection; if that is not possible, the client knows."""
        workers = self._workers
        if not (workers.waiting or workers.await_one()) or not self._brokers.complete:
            self._refuse(accepted, "refused_resources", "no process for it")
            return False
        self._number += 1
        session = Session(self, self._number, peer, key)
        flags = self._flags(listener, peer)
        who = (peer.address.encode(), peer.port, NOBODY if peer.uid is None else peer.uid, peer.local.encode())
        door = self._open_door(session, who, flags)
        if door < 0:
            self._refuse(accepted, "refused_resources", "a broker does not take it")
            return False
        try:
            worker = workers.employ(session, session.number, flags, *who, along=(accepted.fileno(), door))
        finally:
            os.close(door)
        if worker is None:
            self._refuse(accepted, "refused_resources", "its process has ended")
            return False
        self._start(session, worker, accepted)
        return True

    def _flags(self, listener: Listener, peer: Peer) -> int:
        """What a worker and delivery have to know about a connection."""
        flags = self._common_flags
        if self._slots.free == 0:
            flags |= STRESSED
        if self._settings.auth:
            flags |= WITH_AUTH
        if "tls" in self._brokers:
            flags |= WITH_TLS | (TLS_FIRST if listener.tls_first else 0)
        if peers.within(peer, self._settings.proxy_protocol):
            flags |= PROXIED
        elif peers.is_local(peer):
            flags |= SECURE_PATH
        return flags

    def _open_door(self, session: Session, who: tuple[object, ...], flags: int) -> int:
        """Make the session's ways; give the worker's end of the first of them, -1 if a broker does not take its own."""
        say, number = self._brokers.say, session.number
        theirs, door = pair()
        done = say("delivery", DELIVERY_SESSION, number, *who, flags, along=(theirs,))
        os.close(theirs)
        if done and flags & WITH_AUTH:
            try:
                theirs, ours = pair()
            except OSError:
                os.close(door)
                raise
            done = say("auth", AUTH_SESSION, number, session.key, *who, along=(theirs, door))
            os.close(theirs)
            os.close(door)
            door = ours
        if not done:
            os.close(door)
            return -1
        if "names" in self._brokers and session.peer.address and not flags & PROXIED:  # the proxy's is not the client's
            say("names", LOOKUP, number, session.peer.address.encode())
        return door

    def _start(self, session: Session, worker: Worker, accepted: _socket.socket) -> None:
        """Note that a worker is at work."""
        session.worker = worker
        if "tls" in self._brokers:
            session.connection = accepted  # it may have to go over to TLS
        else:
            accepted.close()
        limit = self._settings.session_timeout + self._settings.command_timeout + AFTER_ALL
        session.deadline = self._loop.after(limit, lambda: self._workers.kill(worker, "its time is over"))
        self._now[session.number] = session
        self._page.add("sessions")
        self._page.set("active", len(self._now))
        events.connected(self._journal, session.number, str(session.peer))
        self._set_title()
        self._loop.after(0, self._workers.grow)

    # Its course, and its end: for the session.

    def note(self, session: Session, text: bytes) -> None:
        """Write to the log what its worker has to say."""
        events.note(self._journal, session.number, shown(text, 0))

    def swap(self, session: Session) -> None:
        """Have its connection go over to TLS: the terminator gets it, the worker a stream of plain text for it."""
        worker, connection = session.worker, session.connection
        assert worker  # it is who asks
        try:
            done = connection is not None and self._go_over(session, worker, connection)
        except OSError as error:  # a shortage; there may be none when it is asked again
            events.note(self._journal, session.number, f"cannot go over to TLS: {error.strerror}")
            done = False
        if not done:
            worker.tell(NOT_SWAPPED)

    def _go_over(self, session: Session, worker: Worker, connection: _socket.socket) -> bool:
        """Do so; False if there is no terminator.  Raises OSError."""
        ends = [end.detach() for end in _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)]
        try:
            ends += pair()
            plain, plain_worker, control, control_worker = ends
            done = self._brokers.say("tls", TLS_SESSION, session.number, along=(connection.fileno(), plain, control))
            if done:
                worker.tell(SWAPPED, along=(plain_worker, control_worker))
        finally:
            for descriptor in ends:
                os.close(descriptor)
        if done:
            session.connection = None
            connection.close()
        return done

    def end(self, session: Session) -> None:
        """Give its slot back, account for it."""
        del self._now[session.number]
        self._slots.give_back()
        left = self._sources.get(session.key, 1) - 1
        if left:
            self._sources[session.key] = left
        else:
            self._sources.pop(session.key, None)
        self._page.set("active", len(self._now))
        self._page.add("errors", session.errors)
        seconds = monotonic() - session.started
        reason = shown(session.reason) or "worker ended"
        events.ended(self._journal, session.number, seconds, session.mails, reason)
        self._set_title()

    def _set_title(self) -> None:
        """Say in the process list how many there are."""
        titles.set_title(f"supervisor: {len(self._now)} of {self._slots.number} sessions")


def listening(descriptor: int, kind: str) -> _socket.socket:
    """A listener's socket, to accept from without waiting."""
    made = _socket.socket(_FAMILIES[kind], _socket.SOCK_STREAM, 0, descriptor)
    made.setblocking(False)
    return made
