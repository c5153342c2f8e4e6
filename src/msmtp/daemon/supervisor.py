"""The supervisor: accepts connections and gives each to a worker.

It parses nothing that a client says.  What it reads is the kernel's word for who connected, and its workers' requests,
each of a fixed shape: a note for the log, the wish for TLS, the account of how it ended.

A worker is forked ahead of need, by the nursery, and waits in its sandbox, so a client does not wait for that.  It
serves one session.
Then: a slot, the source's share, a worker, its ways to auth and delivery; whatever of this cannot be had is a 421 at
once, and nothing but its own end ends the supervisor.

    listener ready   accept, who is it, slot, share -> worker
    nursery's channel BORN, BARREN, DIED; end: it is started again
    pidfd ready      the worker has ended: give the slot back
    worker's channel NOTE, SWAP, ENDED; junk: the worker is killed
    broker's channel PONG; end: accept no more until the keeper has sent the way to a new one
    keeper's channel BROKER, DRAIN; end: stop
"""

from __future__ import annotations

import _socket
import errno
import select
import signal
from functools import partial
from time import monotonic

from msmtp import sandbox
from msmtp.daemon import events, nursery, peers, privileges, roles, titles, worker
from msmtp.daemon.channel import Channel, ChannelGone, ChannelShort, pair
from msmtp.daemon.loop import Loop
from msmtp.daemon.requests import (
    AUTH_SESSION,
    BARREN,
    BORN,
    BROKER,
    CONNECTION,
    DELIVERY_SESSION,
    DIED,
    DRAIN,
    ENDED,
    GROW,
    HUNG,
    LOOKUP,
    NOBODY,
    NOT_SWAPPED,
    NOTE,
    PING,
    PONG,
    PROXIED,
    READY,
    SECURE_PATH,
    STRESSED,
    SWAP,
    SWAPPED,
    TLS_FIRST,
    TLS_SESSION,
    WITH_AUTH,
    WITH_TLS,
)
from msmtp.daemon.wire import Late, await_message
from msmtp.failures import ChannelFailure, shown
from msmtp.smtp.server_replies import REPLIES
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.journal import Journal
    from msmtp.daemon.listeners import Listener
    from msmtp.daemon.loop import Timer
    from msmtp.daemon.peers import Peer
    from msmtp.daemon.privileges import Users
    from msmtp.daemon.slots import Slots
    from msmtp.daemon.status import Page

ACCEPTS_A_TURN = 16
PAUSE = 0.1  # seconds without accepting after the system refused a descriptor or memory
FORK_PAUSES = (1.0, 60.0)  # seconds, first and last, between attempts to fork after one failed
BIRTH = 0.05  # seconds for which all else waits for a worker, if none is left and a client is there
BIRTH_PATIENCE = 5.0  # seconds after which a nursery that brings none hangs
REAP_AFTER = 0.02  # seconds in which the nursery waits for workers that have ended
BROKER_PATIENCE = 1.0  # seconds for which connections wait in the backlog for a broker to come back
PING_INTERVAL = 5.0
HUNG_AFTER = 30.0
LOST_AFTER = 12.0  # seconds without a way to a broker that may have been lost; one that died is soon there again
DESCRIPTORS_A_SESSION = 4  # pidfd, channel, the connection while it may go over to TLS, and one in passing

# Nothing of the supervisor's own memory depends on a client beyond these.
_TO_ANSWER = _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL

_FAMILIES = {"inet": _socket.AF_INET, "inet6": _socket.AF_INET6, "unix": _socket.AF_UNIX}

# What accept(2) may say of one connection that is of no matter to the next.
_PASSING = (errno.ECONNABORTED, errno.EPROTO, errno.EINTR, errno.EPERM, errno.ENETDOWN)
_SHORTAGE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Worker:
    """A child, waiting or at work.  ``session``: 0 while it waits."""

    __slots__ = (
        "channel",
        "connection",
        "deadline",
        "ended",
        "errors",
        "key",
        "listener",
        "mails",
        "peer",
        "pid",
        "pidfd",
        "reason",
        "session",
        "started",
    )

    def __init__(self, pid: int, pidfd: int, channel: Channel) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.channel = channel
        self.session = 0
        self.key = b""
        self.peer: Peer | None = None
        self.listener: Listener | None = None
        self.connection: _socket.socket | None = None
        self.started = 0.0
        self.deadline: Timer | None = None
        self.ended = False
        self.reason = b""
        self.mails = 0
        self.errors = 0


class Nursery:
    """The way to the nursery.  ``asked``: workers that it was asked for and has not brought, ``since`` when."""

    __slots__ = ("asked", "channel", "pidfd", "since")

    def __init__(self, pidfd: int, channel: Channel) -> None:
        self.pidfd = pidfd
        self.channel = channel
        self.asked = 0
        self.since = 0.0


class Broker:
    """The way to a broker.  ``asked`` and ``answered``: numbers of the last PING and PONG."""

    __slots__ = ("answered", "asked", "channel", "last", "which")

    def __init__(self, which: str, channel: Channel) -> None:
        self.which = which
        self.channel = channel
        self.asked = 0
        self.answered = 0
        self.last = monotonic()


class Supervisor:
    """What the supervisor knows; :meth:`run` is its life."""

    def __init__(  # noqa: PLR0913 - all that the keeper hands on, by name
        self,
        settings: Settings,
        *,
        listeners: list[Listener],
        keeper: int,
        status: int,
        slots: Slots,
        page: Page,
        journal: Journal,
        users: Users,
        first_session: int = 0,
    ) -> None:
        self.settings = settings
        self.listeners = {listener.fd: listener for listener in listeners}
        self.sockets = {listener.fd: _listening(listener.fd, listener.kind) for listener in listeners}
        self.keeper = Channel(keeper)
        self.status = _listening(status, "unix") if status >= 0 else None
        self.slots = slots
        self.page = page
        self.journal = journal
        self.users = users
        self.loop = Loop()
        self.brokers: dict[str, Broker] = {}
        self.needed = ("auth", "delivery") if settings.auth else ("delivery",)
        self.waiting: list[Worker] = []
        self.leaving: list[Worker] = []
        self.working: dict[int, Worker] = {}
        self.sources: dict[bytes, int] = {}
        self.share = settings.sessions_per_source
        self.number = first_session
        self.accepting = False
        self.draining = False
        self.stopping = False
        self.ready = False
        self.broker_since = monotonic()
        self.nursery: Nursery | None = None
        self.roles: nursery.Roles | None = None
        self.unexplained: dict[int, int] = {}
        self.reap_timer: Timer | None = None
        self.fork_pause = 0.0
        self.fork_timer: Timer | None = None
        self.reserve = -1

    # Its life.

    def run(self) -> None:
        """Serve until told to stop and the last session has ended."""
        self.prepare()
        self.loop.watch(self.keeper.fileno(), self.on_keeper)
        self.loop.on_signals({signal.SIGTERM: self.stop, signal.SIGINT: self.stop, signal.SIGHUP: lambda: None})
        if self.status:
            self.loop.watch(self.status.fileno(), self.on_status)
        self.loop.after(PING_INTERVAL, self.ping)
        self.start_nursery()
        self.loop.run()
        self.end_nursery()

    def prepare(self) -> None:
        """Load what workers need, then give up everything else."""
        settings = self.settings
        self.page.begin("supervisor")
        worker.warm(settings)
        self.watcher = peers.Watcher()
        self.reserve = os.dup(self.keeper.fileno())
        highest = (settings.max_sessions + settings.workers_ahead) * DESCRIPTORS_A_SESSION + 64
        if settings.sandbox != sandbox.OFF:
            self.roles = nursery.Roles(settings, highest)
        role = sandbox.prepare(
            "supervisor",
            limits={"descriptors": highest},
            keep=("kill", "setgid", "setuid") if self.users.change else (),
        )
        privileges.drop(self.users.supervisor, keep_capabilities=("kill", "setgid", "setuid"))
        applied = role.enter(settings.sandbox)
        role.close()
        (events.confined if applied.complete else events.unconfined)(self.journal, applied.line())
        self.keeper.set_blocking(False)

    def title(self) -> None:
        """Say in the process list what it does."""
        titles.set_title(f"supervisor: {len(self.working)} of {self.slots.number} sessions")

    # The keeper.

    def on_keeper(self, _events: int) -> None:
        """Take what the keeper says."""
        while True:
            try:
                message = self.keeper.receive((BROKER, DRAIN))
            except BlockingIOError:
                return
            except ChannelShort as shortage:  # no way to a broker: see ask_for_missing
                events.note(self.journal, 0, f"supervisor: {shortage.message}")
                continue
            except ChannelFailure:
                self.loop.forget(self.keeper.fileno())
                self.stop()
                return
            if message.name == BROKER.name:
                self.take_broker(message.octets("which").decode(), message.descriptors[0])
            else:
                self.drain()

    def take_broker(self, which: str, descriptor: int) -> None:
        """Have a new way to a broker."""
        self.lose_broker(which)
        channel = Channel(descriptor)
        channel.set_blocking(False)
        broker = self.brokers[which] = Broker(which, channel)
        self.loop.watch(channel.fileno(), lambda _events: self.on_broker(which))
        broker.asked = 1
        self.say(broker, PING, broker.asked)
        self.look_around()

    def lose_broker(self, which: str) -> None:
        """Forget the way to a broker."""
        broker = self.brokers.pop(which, None)
        if broker:
            self.loop.forget(broker.channel.fileno())
            broker.channel.close()
            self.broker_since = monotonic()

    @property
    def complete(self) -> bool:
        """Whether all brokers are there that a session needs."""
        return all(which in self.brokers for which in self.needed)

    def look_around(self) -> None:
        """Accept if it may, fork workers ahead if it can, say that it is ready once it is."""
        if self.draining or self.stopping:
            return
        if self.complete:
            self.fork_ahead()
        self.accept_if(self.complete or monotonic() - self.broker_since > BROKER_PATIENCE)
        if not self.complete and not self.accepting:
            self.loop.after(BROKER_PATIENCE + 0.01, self.look_around)
        if self.accepting and not self.ready and self.are_up() and not self.awaits_first():
            self.ready = True
            self.page.set("alive", int(monotonic() * 1000))
            self.keeper.send(READY)

    def are_up(self) -> bool:
        """Whether every broker has answered once: one that its settings do not let work ends before it does."""
        wanted = [which for which in roles.wanted(self.settings) if which != "delivery" or not self.settings.deliver_by]
        return all(which in self.brokers and self.brokers[which].answered for which in wanted)

    def awaits_first(self) -> bool:
        """Whether the first workers are still to come."""
        wanted = min(self.settings.workers_ahead, self.slots.number)
        return self.complete and self.is_fertile() and len(self.waiting) < wanted

    def accept_if(self, yes: bool) -> None:
        """Watch the listeners, or let connections wait in the backlog."""
        self.accepting = yes
        for descriptor in self.listeners:
            if yes:
                self.loop.watch(descriptor, partial(self.on_listener, descriptor))
            else:
                self.loop.forget(descriptor)

    def on_broker(self, which: str) -> None:
        """Take a broker's answer, or learn that it is gone."""
        broker = self.brokers[which]
        try:
            message = broker.channel.receive((PONG,))
        except BlockingIOError:
            return
        except ChannelFailure:
            self.lose_broker(which)
            self.look_around()
            return
        broker.answered = message.number("count")
        broker.last = monotonic()
        if not self.ready:
            self.look_around()

    def ping(self) -> None:
        """Ask every broker whether it is alive; tell the page if all were, and the keeper of one that is not."""
        now = monotonic()
        if self.nursery and self.nursery.asked and now - self.nursery.since > BIRTH_PATIENCE:
            signal.pidfd_send_signal(self.nursery.pidfd, signal.SIGKILL)
        for broker in list(self.brokers.values()):
            if now - broker.last > HUNG_AFTER:
                broker.last = now
                self.tell_keeper_of(broker.which)
                continue
            broker.asked += 1
            self.say(broker, PING, broker.asked)
        self.ask_for_missing()
        if self.all_well():
            self.page.set("alive", int(now * 1000))
        self.loop.after(PING_INTERVAL, self.ping)

    def all_well(self) -> bool:
        """Whether all brokers are there and answer.  Delivery as a service of its own is watched by who started it."""
        ours = [which for which in self.needed if which != "delivery" or not self.settings.deliver_by]
        asked = [each for each in self.brokers.values() if each.which in ours or each.which not in self.needed]
        answering = [each.asked - each.answered <= 2 for each in asked]  # noqa: PLR2004
        return all(answering) and all(which in self.brokers for which in ours)

    def ask_for_missing(self) -> None:
        """Have the keeper start a broker again that lives, but whose way to here was lost."""
        if self.complete or monotonic() - self.broker_since < LOST_AFTER:
            return
        self.broker_since = monotonic()
        for which in self.needed:
            if which not in self.brokers:
                self.tell_keeper_of(which)

    def tell_keeper_of(self, which: str) -> None:
        """Have the keeper end a broker that hangs, and start it again."""
        try:
            self.keeper.send(HUNG, which.encode())
        except (ChannelFailure, BlockingIOError):
            return

    def say(self, broker: Broker, request: object, *values: object, along: tuple[int, ...] = ()) -> bool:
        """Send to a broker; say whether that was possible.  It never waits: a broker that hangs costs its sessions."""
        try:
            broker.channel.send(request, *values, descriptors=along)  # type: ignore[arg-type]
        except BlockingIOError:
            return False
        except OSError:  # ETOOMANYREFS: it has too many descriptors to take yet
            return False
        except ChannelGone:
            self.lose_broker(broker.which)
            self.look_around()
            return False
        return True

    # Connections.

    def on_listener(self, descriptor: int, _events: int) -> None:
        """Accept what has come, not too much at a time."""
        listener = self.listeners[descriptor]
        for _ in range(ACCEPTS_A_TURN):
            if not self.slots.free:
                self.see_ends()
            if not self.waiting and self.is_starved():
                return
            try:
                accepted = self.accept(listener)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _PASSING:
                    continue
                self.on_shortage(listener, error)
                return
            try:
                self.begin(listener, accepted)
            except OSError as error:
                self.page.add("refused_resources")
                self.refuse(accepted, "no resources", f"{listener.name}: {error.strerror}")

    def accept(self, listener: Listener) -> _socket.socket:
        """Accept a connection, or raise OSError."""
        descriptor, _ = self.sockets[listener.fd]._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - accept()'s own
        family = _FAMILIES[listener.kind]
        connection = _socket.socket(family, _socket.SOCK_STREAM, 0, descriptor)
        if family != _socket.AF_UNIX:
            connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        return connection

    def on_shortage(self, listener: Listener, error: OSError) -> None:
        """Answer one with the descriptor held in reserve, and rest."""
        if error.errno in _SHORTAGE and self.reserve >= 0:
            os.close(self.reserve)
            self.reserve = -1
            try:
                self.page.add("refused_resources")
                self.refuse(self.accept(listener), "no resources", f"{listener.name}: {error.strerror}")
            except OSError:
                pass
            try:
                self.reserve = os.dup(self.keeper.fileno())
            except OSError:
                pass  # the next session that ends leaves one
        events.note(self.journal, 0, f"cannot accept on {listener.name}: {error.strerror}")
        self.accept_if(False)
        self.loop.after(PAUSE, self.look_around)

    def begin(self, listener: Listener, accepted: _socket.socket) -> None:
        """Give a connection to a worker, or say why not."""
        if not self.take_slot():
            self.page.add("refused_full")
            self.refuse(accepted, "too many sessions", "all slots are taken")
            return
        key, held = b"", None
        try:
            peer = self.watcher.of(accepted.fileno())
            key = peers.key(peer)
            if not self.has_share(key) and not peers.within(peer, self.settings.proxy_protocol):
                self.page.add("refused_source")
                self.refuse(accepted, "too many sessions", f"{shown(key)} has its share of the slots", str(peer))
            else:
                held = self.hand_over(listener, accepted, peer, key)
        finally:
            if held is None:
                self.slots.give_back()
        if held is not None:
            self.sources[key] = self.sources.get(key, 0) + 1

    def take_slot(self) -> bool:
        """Take a slot; if there is none, see first whether workers have ended that were not heard of yet."""
        return self.slots.take() or (self.hear_of_ends() and self.slots.take())

    def has_share(self, key: bytes) -> bool:
        """Whether a source may have one more session; seen as above."""
        return self.sources.get(key, 0) < self.share or (self.hear_of_ends() and self.sources.get(key, 0) < self.share)

    def hear_of_ends(self) -> bool:
        """Take note of the workers that have ended, before their turn comes; whether there were any."""
        ends = select.poll()
        for pidfd in self.working:
            ends.register(pidfd, select.POLLIN)
        ended = [self.working[pidfd] for pidfd, _ in ends.poll(0)]
        for child in ended:
            self.on_end(child)
        return bool(ended)

    def hand_over(self, listener: Listener, accepted: _socket.socket, peer: Peer, key: bytes) -> Worker | None:
        """Tell the brokers and a worker of a connection; None if that was not possible, and the client knows."""
        if not (self.waiting or self.await_birth()) or not self.complete:
            self.page.add("refused_resources")
            self.refuse(accepted, "no resources", "no process for it")
            return None
        self.number += 1
        flags = self.flags(listener, peer)
        door = self.open_door(self.number, key, peer, flags)
        if door < 0:
            self.page.add("refused_resources")
            self.refuse(accepted, "no resources", "a broker does not take it")
            return None
        child = self.waiting.pop(0)
        self.page.set("waiting_workers", len(self.waiting))
        who = (peer.address.encode(), peer.port, NOBODY if peer.uid is None else peer.uid, peer.local.encode())
        try:
            child.channel.send(CONNECTION, self.number, flags, *who, descriptors=(accepted.fileno(), door))
        except (ChannelFailure, OSError):  # it died while it waited, or there is no memory; its pidfd tells
            self.loop.forget(child.channel.fileno())
            child.channel.close()
            self.leaving.append(child)
            self.page.add("refused_resources")
            self.refuse(accepted, "no resources", "its process has ended")
            return None
        finally:
            os.close(door)
        self.start(child, listener, accepted, peer, key)
        return child

    def flags(self, listener: Listener, peer: Peer) -> int:
        """What a worker and delivery have to know about a connection."""
        flags = 0
        if self.slots.free == 0:
            flags |= STRESSED
        if self.settings.auth:
            flags |= WITH_AUTH
        if "tls" in self.brokers:
            flags |= WITH_TLS | (TLS_FIRST if listener.tls_first else 0)
        if peers.within(peer, self.settings.proxy_protocol):
            flags |= PROXIED
        elif peers.is_local(peer):
            flags |= SECURE_PATH
        return flags

    def open_door(self, number: int, key: bytes, peer: Peer, flags: int) -> int:
        """Make the session's ways; give the worker's end of the first of them, -1 if a broker does not take its own."""
        who = (peer.address.encode(), peer.port, NOBODY if peer.uid is None else peer.uid, peer.local.encode())
        theirs, door = pair()
        done = self.say(self.brokers["delivery"], DELIVERY_SESSION, number, *who, flags, along=(theirs,))
        os.close(theirs)
        if done and flags & WITH_AUTH:
            try:
                theirs, ours = pair()
            except OSError:
                os.close(door)
                raise
            broker = self.brokers.get("auth")
            done = broker is not None and self.say(broker, AUTH_SESSION, number, key, *who, along=(theirs, door))
            os.close(theirs)
            os.close(door)
            door = ours
        if not done:
            os.close(door)
            return -1
        if "names" in self.brokers and peer.address:
            self.say(self.brokers["names"], LOOKUP, number, peer.address.encode())
        return door

    def start(self, child: Worker, listener: Listener, accepted: _socket.socket, peer: Peer, key: bytes) -> None:
        """Note that a worker is at work."""
        child.session = self.number
        child.peer = peer
        child.key = key
        child.listener = listener
        child.started = monotonic()
        if "tls" in self.brokers:
            child.connection = accepted  # it may have to go over to TLS
        else:
            accepted.close()
        limit = self.settings.session_timeout + self.settings.command_timeout + 30
        child.deadline = self.loop.after(limit, lambda: self.kill(child, "its time is over"))
        self.working[child.pidfd] = child
        self.page.add("sessions")
        self.page.set("active", len(self.working))
        events.connected(self.journal, child.session, str(peer))
        self.title()
        self.loop.after(0, self.fork_ahead)

    def refuse(self, accepted: _socket.socket, reply: str, reason: str, peer: str = "") -> None:
        """Say 421 without waiting, and close."""
        try:
            accepted.send(REPLIES[reply].encode(), _TO_ANSWER)
        except OSError:
            pass  # it is gone, or does not read
        finally:
            accepted.close()
        events.refused(self.journal, peer or "a client", reason)

    # Workers.

    def start_nursery(self) -> None:
        """Fork the process that forks the workers."""
        ours, theirs = pair()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(ours)
            os.close(theirs)
            self.on_no_process(error)
            return
        if not pid:
            try:
                self.loop.close()
                nursery.run(theirs, self.settings, self.roles, self.users.worker, self.journal)
            finally:
                os._exit(70)  # noqa: SLF001 - public, whatever its name says
        os.close(theirs)
        channel = Channel(ours)
        channel.set_blocking(False)
        self.nursery = Nursery(os.pidfd_open(pid), channel)
        self.loop.watch(self.nursery.pidfd, self.on_nursery_end)
        self.loop.watch(ours, self.on_nursery)
        self.fork_ahead()

    def on_nursery_end(self, _events: int) -> None:
        """It is gone, and its workers are told so: those at work finish, those that wait end."""
        assert self.nursery  # it is what is watched
        ended = os.waitid(os.P_PIDFD, self.nursery.pidfd, os.WEXITED | os.WNOHANG)
        if ended is None:
            return
        self.on_nursery(0)
        status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        self.forget_nursery()
        for child in self.waiting:
            self.loop.forget(child.channel.fileno())
            child.channel.close()
        self.leaving += self.waiting
        self.waiting.clear()
        if not (self.draining or self.stopping):
            self.page.add("worker_deaths")
            self.on_no_process(OSError(0, f"process nursery {events.ending(status)}"))
            self.look_around()

    def forget_nursery(self) -> None:
        """Hang up on it."""
        if self.nursery:
            for descriptor in (self.nursery.pidfd, self.nursery.channel.fileno()):
                self.loop.forget(descriptor)
            os.close(self.nursery.pidfd)
            self.nursery.channel.close()
            self.nursery = None
        self.unexplained.clear()

    def end_nursery(self) -> None:
        """Have it end, and wait for that; it has nothing to do any more."""
        if self.nursery:
            signal.pidfd_send_signal(self.nursery.pidfd, signal.SIGKILL)
            os.waitid(os.P_PIDFD, self.nursery.pidfd, os.WEXITED)
            self.forget_nursery()

    def fork_ahead(self) -> None:
        """Have as many workers wait as was asked for, and as there are slots for."""
        if self.draining or self.stopping or self.fork_timer:
            return
        if self.nursery is None:
            self.start_nursery()
            return
        wanted = min(self.settings.workers_ahead, self.slots.number - len(self.working))
        missing = wanted - len(self.waiting) - self.nursery.asked
        if missing > 0:
            if not self.nursery.asked:
                self.nursery.since = monotonic()
            self.nursery.asked += missing
            self.ask_nursery(missing)

    def ask_nursery(self, number: int) -> None:
        """Have it fork, and wait for those that ended; it is told of by its pidfd if it does not listen."""
        try:
            if self.nursery:
                self.nursery.channel.send(GROW, number)
        except (ChannelFailure, BlockingIOError):
            return

    def see_ends(self) -> None:
        """See which sessions have ended meanwhile."""
        for child in [*self.working.values()]:
            if has_ended(child.pidfd):
                self.on_end(child)

    def is_starved(self) -> bool:
        """Whether a client has to wait in the backlog, since there is a slot but no worker yet."""
        if not self.slots.free or self.await_birth() or not self.is_fertile():
            return False
        self.accept_if(False)
        return True

    def is_fertile(self) -> bool:
        """Whether workers are to be expected."""
        return self.nursery is not None and not self.fork_timer

    def await_birth(self) -> bool:
        """Wait a moment for a worker; whether there is one."""
        self.fork_ahead()
        until = monotonic() + BIRTH
        while not self.waiting and self.nursery and self.is_fertile():
            try:
                await_message(self.nursery.channel, until)
            except Late:
                break
            self.on_nursery(0)
        return bool(self.waiting)

    def on_nursery(self, _events: int) -> None:
        """Take workers, or learn that there are none."""
        while self.nursery:
            try:
                message = self.nursery.channel.receive((BORN, BARREN, DIED))
            except BlockingIOError:
                return
            except ChannelShort:
                self.nursery.asked = max(0, self.nursery.asked - 1)  # a worker, which ends by that
                self.on_no_process(OSError(0, os.strerror(errno.EMFILE)))
                continue
            except ChannelFailure:  # its pidfd tells
                self.loop.forget(self.nursery.channel.fileno())
                return
            if message.name == BORN.name:
                self.nursery.asked = max(0, self.nursery.asked - 1)
                self.nursery.since = monotonic()
                self.on_birth(message.number("pid"), *message.descriptors)
            elif message.name == DIED.name:
                self.on_death(message.number("pid"), message.number("status"))
            else:
                self.nursery.asked = 0
                number = message.number("errno")
                self.on_no_process(OSError(number, os.strerror(number)))

    def on_birth(self, pid: int, pidfd: int, descriptor: int) -> None:
        """Have a new worker wait."""
        channel = Channel(descriptor)
        channel.set_blocking(False)
        child = Worker(pid, pidfd, channel)
        self.fork_pause = 0.0
        self.loop.watch(pidfd, lambda _events: self.on_end(child))
        self.waiting.append(child)
        if self.draining or self.stopping:
            channel.close()
            return
        self.loop.watch(descriptor, lambda _events: self.on_worker(child))
        self.page.set("waiting_workers", len(self.waiting))
        if not (self.accepting and self.ready):
            self.look_around()

    def on_death(self, pid: int, status: int) -> None:
        """Tell how a worker ended that did not end as it should."""
        session = self.unexplained.pop(pid, 0)
        for child in (*self.working.values(), *self.waiting):
            if child.pid == pid:
                session = child.session
        self.page.add("worker_deaths")
        events.worker_died(self.journal, session, os.waitstatus_to_exitcode(status))

    def reap(self) -> None:
        """Have the nursery wait for those that ended."""
        self.reap_timer = None
        self.ask_nursery(0)

    def on_no_process(self, error: OSError) -> None:
        """Fork no more for a while."""
        first, last = FORK_PAUSES
        self.fork_pause = min(last, max(first, self.fork_pause * 2))
        events.note(self.journal, 0, f"cannot make a process: {error.strerror}; next attempt in {self.fork_pause:g} s")
        self.fork_timer = self.loop.after(self.fork_pause, self.fork_again)
        if not self.ready:
            self.loop.after(0, self.look_around)  # it says 421 meanwhile

    def fork_again(self) -> None:
        """The pause is over."""
        self.fork_timer = None
        self.fork_ahead()

    def on_worker(self, child: Worker) -> None:
        """Take what a worker says."""
        try:
            message = child.channel.receive((NOTE, SWAP, ENDED) if child.session and not child.ended else ())
        except BlockingIOError:
            return
        except ChannelGone:
            self.loop.forget(child.channel.fileno())
            return
        except ChannelFailure as failure:
            self.loop.forget(child.channel.fileno())
            self.kill(child, failure.message)
            return
        if message.name == NOTE.name:
            events.note(self.journal, child.session, shown(message.octets("text"), 0))
        elif message.name == SWAP.name:
            self.swap(child)
        else:
            child.ended = True
            child.reason, child.mails, child.errors = (
                message.octets("reason"),
                message.number("mails"),
                message.number("errors"),
            )

    def swap(self, child: Worker) -> None:
        """Have a connection go over to TLS: the terminator gets it, the worker a stream of plain text for it."""
        connection, child.connection = child.connection, None
        broker = self.brokers.get("tls")
        if connection is None or broker is None:
            self.tell(child, NOT_SWAPPED)
            return
        plain, plain_worker = (end.detach() for end in _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM))
        control, control_worker = pair()
        try:
            if self.say(broker, TLS_SESSION, child.session, along=(connection.fileno(), plain, control)):
                self.tell(child, SWAPPED, along=(plain_worker, control_worker))
            else:
                self.tell(child, NOT_SWAPPED)
        finally:
            connection.close()
            for descriptor in (plain, plain_worker, control, control_worker):
                os.close(descriptor)

    def tell(self, child: Worker, request: object, along: tuple[int, ...] = ()) -> None:
        """Answer a worker; one that is gone is told of by its pidfd."""
        try:
            child.channel.send(request, descriptors=along)  # type: ignore[arg-type]
        except (ChannelFailure, BlockingIOError):
            return

    def kill(self, child: Worker, reason: str) -> None:
        """End a worker that does what it must not, or nothing."""
        events.note(self.journal, child.session, f"worker killed: {reason}")
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)

    def on_end(self, child: Worker) -> None:
        """A worker has ended: give its slot back."""
        self.hear_last_words(child)
        status = self.status_of(child)
        self.loop.forget(child.pidfd)
        self.loop.forget(child.channel.fileno())
        child.channel.close()
        os.close(child.pidfd)
        if child.connection is not None:
            child.connection.close()
        if child.deadline:
            child.deadline.cancel()
        if child.session:
            self.end_session(child, status)
        else:
            self.end_waiting(child)
        if self.draining or self.stopping:
            self.end_if_done()
        else:
            self.fork_ahead()

    def status_of(self, child: Worker) -> int:
        """How a worker ended: 0, as its parent tells (DIED) if it was otherwise."""
        if not child.ended:
            self.unexplained[child.pid] = child.session
            self.ask_nursery(0)
        elif not self.reap_timer:
            self.reap_timer = self.loop.after(REAP_AFTER, self.reap)
        return 0

    def hear_last_words(self, child: Worker) -> None:
        """Read what a worker said before it ended, the account of it most of all."""
        for _ in range(32):
            if child.ended or not self.loop.watched(child.channel.fileno()):
                return
            self.on_worker(child)

    def end_session(self, child: Worker, status: int) -> None:
        """Account for a session."""
        if self.working.pop(child.pidfd, None) is None:
            return
        self.slots.give_back()
        left = self.sources.get(child.key, 1) - 1
        if left:
            self.sources[child.key] = left
        else:
            self.sources.pop(child.key, None)
        self.page.set("active", len(self.working))
        self.page.add("errors", child.errors)
        if status:
            self.page.add("worker_deaths")
            events.worker_died(self.journal, child.session, status)
        seconds = monotonic() - child.started
        events.ended(self.journal, child.session, seconds, child.mails, shown(child.reason) or "worker ended")
        self.title()

    def end_waiting(self, child: Worker) -> None:
        """A worker ended before it had anything to do; a fault that repeats must not become a storm."""
        if child in self.leaving:
            self.leaving.remove(child)
        if child in self.waiting:
            self.waiting.remove(child)
            self.page.set("waiting_workers", len(self.waiting))
            if not (self.draining or self.stopping):
                self.on_no_process(OSError(0, "a worker ended before its work"))

    # The end.

    def drain(self) -> None:
        """Accept no more; the sessions that there are go on."""
        self.draining = True
        self.accept_if(False)
        for listening in self.sockets.values():
            listening.close()
        self.sockets.clear()
        self.listeners.clear()
        for child in self.waiting:
            self.loop.forget(child.channel.fileno())
            child.channel.close()
        if self.status:
            self.loop.forget(self.status.fileno())
        self.end_if_done()

    def stop(self) -> None:
        """Drain, and have the workers say 421 unless a mail is under way."""
        if not self.draining:
            self.drain()
        self.stopping = True
        for child in self.working.values():
            signal.pidfd_send_signal(child.pidfd, signal.SIGTERM)
        self.end_if_done()

    def end_if_done(self) -> None:
        """Leave when the last worker has ended, at work or not."""
        if not (self.working or self.waiting):
            self.loop.stop()

    # Status.

    def on_status(self, _events: int) -> None:
        """Tell whoever connects how things are, without waiting; what they say is not read."""
        try:
            assert self.status  # it is what is watched
            descriptor, _ = self.status._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - accept()'s own
        except OSError:
            return
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, descriptor)
        try:
            connection.send("".join(self.report()).encode(), _TO_ANSWER)
        except OSError:
            pass
        finally:
            connection.close()

    def report(self) -> list[str]:
        """Lines of the status: counters, then sessions."""
        lines = [f"{name} {value}\n" for name, value in self.page.items()]
        now = monotonic()
        for child in self.working.values():
            about = f"{child.session} {now - child.started:.1f} {child.pid} {child.peer}"
            lines += [f"session {about}\n"]
        return lines


def has_ended(pidfd: int) -> bool:
    """Whether a process is over."""
    looking = select.poll()
    looking.register(pidfd, select.POLLIN)
    return bool(looking.poll(0))


def _listening(descriptor: int, kind: str) -> _socket.socket:
    """A listener's socket, to accept from without waiting."""
    listening = _socket.socket(_FAMILIES[kind], _socket.SOCK_STREAM, 0, descriptor)
    listening.setblocking(False)
    return listening
