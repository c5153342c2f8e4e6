"""The supervisor: accepts connections and gives each to a worker.

It parses nothing that a client says.  What it reads is the kernel's word for who connected, and the messages of the
daemon's other processes, each of a fixed shape.  Nothing but its own end ends it.

    Sessions    listeners, slots, shares: a connection becomes a session, which is given to a worker, and accounted for
    Workers     asks the nursery for them; those that wait, those at work; how each ends
    Brokers     the ways to auth, delivery, tls, names; whether they answer

What is here holds the three together: when connections are accepted, when it is ready, how it ends, what is told of it.

    keeper's channel BROKER, DRAIN; end: stop
    status socket    whoever connects is told
    SIGTERM, SIGINT  stop
"""

from __future__ import annotations

import _socket
import signal
from time import monotonic

from msmtp import sandbox
from msmtp.daemon import events, privileges, standing
from msmtp.daemon.brokers import Brokers
from msmtp.daemon.channel import Channel, ChannelShort
from msmtp.daemon.loop import Loop
from msmtp.daemon.requests import BROKER, DRAIN, HUNG, READY
from msmtp.daemon.sessions import PAUSE, TO_ANSWER, Sessions, listening
from msmtp.daemon.workers import Workers
from msmtp.failures import ChannelFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.journal import Journal
    from msmtp.daemon.listeners import Listener
    from msmtp.daemon.privileges import Users
    from msmtp.daemon.slots import Slots
    from msmtp.daemon.status import Page

BROKER_PATIENCE = 1.0  # seconds for which connections wait in the backlog for a broker to come back
LOOK_INTERVAL = 5.0  # seconds between looks at whether all the others live
DESCRIPTORS_A_SESSION = 4  # pidfd, channel, the connection while it may go over to TLS, and one in passing


class Supervisor:
    """What holds its parts together; :meth:`run` is its life."""

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
        self.keeper = Channel(keeper)
        self.status = listening(status, "unix") if status >= 0 else None
        self.page = page
        self.journal = journal
        self.users = users
        self.loop = Loop()
        self.brokers = Brokers(settings, self.loop, changed=self.look_around, hung=self.tell_keeper_of)
        self.workers = Workers(
            settings,
            self.loop,
            slots=slots.number,
            page=page,
            journal=journal,
            user=users.worker,
            changed=self.on_workers,
        )
        self.sessions = Sessions(
            settings,
            self.loop,
            listeners=listeners,
            workers=self.workers,
            brokers=self.brokers,
            slots=slots,
            page=page,
            journal=journal,
            reserve=keeper,
            first=first_session,
            rested=self.look_around,
        )
        self.draining = False
        self.ready = False

    # Its life.

    def run(self) -> None:
        """Serve until told to stop and the last session has ended."""
        self.prepare()
        self.loop.watch(self.keeper.fileno(), self.on_keeper)
        self.loop.on_signals({signal.SIGTERM: self.stop, signal.SIGINT: self.stop, signal.SIGHUP: lambda: None})
        self.watch_status()
        self.loop.after(LOOK_INTERVAL, self.look_after)
        self.workers.grow()
        self.loop.run()
        self.workers.end_nursery()

    def prepare(self) -> None:
        """Load what is needed, then give up everything else."""
        settings = self.settings
        self.page.begin("supervisor")
        highest = (settings.max_sessions + settings.workers_ahead) * DESCRIPTORS_A_SESSION + 64
        self.workers.prepare(highest)
        self.sessions.prepare()
        role = sandbox.prepare(
            "supervisor",
            limits={"descriptors": highest},
            keep=("kill", "setgid", "setuid") if self.users.change else (),
        )
        privileges.drop(self.users.supervisor, keep_capabilities=("kill", "setgid", "setuid"))
        standing.enter(role, settings, self.journal)
        role.close()
        self.keeper.set_blocking(False)

    def look_around(self) -> None:
        """Accept if it may, have workers wait if it can, say that it is ready once it is."""
        if self.draining:
            return
        complete = self.brokers.complete
        if complete:
            self.workers.grow()
        self.sessions.accept_if(complete or self.brokers.lost_for() > BROKER_PATIENCE)
        if not self.sessions.accepting:
            self.loop.after(BROKER_PATIENCE + 0.01, self.look_around)
        elif not self.ready and self.brokers.are_up() and not (complete and self.workers.are_first_to_come()):
            self.ready = True
            self.page.set("alive", int(monotonic() * 1000))
            self.keeper.send(READY)

    def look_after(self) -> None:
        """See whether all the others live; tell the page if they do."""
        self.workers.look_after()
        self.brokers.look_after()
        if self.brokers.are_well():
            self.page.set("alive", int(monotonic() * 1000))
        self.loop.after(LOOK_INTERVAL, self.look_after)

    def on_workers(self) -> None:
        """There is a worker more, or none to be had for a time; or, at the end, one less."""
        if self.draining:
            self.end_if_done()
        elif not (self.sessions.accepting and self.ready):
            self.look_around()

    # The keeper.

    def on_keeper(self, _events: int) -> None:
        """Take what the keeper says."""
        while True:
            try:
                message = self.keeper.receive((BROKER, DRAIN))
            except BlockingIOError:
                return
            except ChannelShort as shortage:  # no way to a broker, which is asked for again when it is missed
                events.note(self.journal, 0, f"supervisor: {shortage.message}")
                continue
            except ChannelFailure:
                self.loop.forget(self.keeper.fileno())
                self.stop()
                return
            if message.name == BROKER.name:
                self.brokers.take(message.octets("which").decode(), message.descriptors[0])
            else:
                self.drain()

    def tell_keeper_of(self, which: str) -> None:
        """Have the keeper end a broker that hangs, and start it again."""
        try:
            self.keeper.send(HUNG, which.encode())
        except (ChannelFailure, BlockingIOError):
            return

    # The end.

    def drain(self) -> None:
        """Accept no more; the sessions that there are go on."""
        self.draining = True
        self.sessions.close()
        self.workers.dismiss()
        if self.status:
            self.loop.forget(self.status.fileno())
        self.end_if_done()

    def stop(self) -> None:
        """Drain, and have the workers say 421 unless a mail is under way."""
        if not self.draining:
            self.drain()
        self.workers.terminate()

    def end_if_done(self) -> None:
        """Leave when the last worker has ended, at work or not."""
        if self.workers.none_left():
            self.loop.stop()

    # Status.

    def watch_status(self) -> None:
        """Be told of those that ask, unless it is over."""
        if self.status and not self.draining:
            self.loop.watch(self.status.fileno(), self.on_status)

    def on_status(self, _events: int) -> None:
        """Tell whoever connects how things are, without waiting; what they say is not read."""
        assert self.status  # it is what is watched
        try:
            descriptor, _ = self.status._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - accept()'s own
        except BlockingIOError:
            return
        except OSError:  # no descriptor, no memory; who asks waits, and would have the loop turn without end
            self.loop.forget(self.status.fileno())
            self.loop.after(PAUSE, self.watch_status)
            return
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, descriptor)
        try:
            connection.send("".join(self.report()).encode(), TO_ANSWER)
        except OSError:
            pass
        finally:
            connection.close()

    def report(self) -> list[str]:
        """Lines of the status: counters, then sessions."""
        return [f"{name} {value}\n" for name, value in self.page.items()] + self.sessions.report()
