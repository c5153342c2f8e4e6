"""The keeper: the first process, which keeps the others.

It opens what has to be opened before anybody gives up rights (listeners, log, status socket, the users' verifiers),
forks the brokers and the supervisor, and starts each again that ends unasked.  It reads nothing that comes from
outside: from the supervisor it takes READY and HUNG, from the page a time stamp, from the kernel signals and the ends
of its children.  That is why it may stay as it is while all others confine themselves: a filter or a Landlock ruleset
would pass to the delivery command, and could not be entered anew for ever by a supervisor that runs itself again.

    SIGHUP            settings read again; a new generation of all processes; the old one ends with its last session
    SIGTERM, SIGINT   sessions end (a mail under way is finished), then the brokers, then the keeper
    a child's end     the same again, after a pause that doubles while it does not stay

A generation is what one reading of the settings made.  Listeners, slots, page and the memory of failed logins stay from
one to the next.
"""

from __future__ import annotations

import gc
import signal
import time

from msmtp.daemon import events, forks, privileges, roles, service, throttle, titles
from msmtp.daemon.channel import Channel, pair
from msmtp.daemon.journal import complain, complain_of
from msmtp.daemon.loop import Loop
from msmtp.daemon.requests import BROKER, CONTROL, DRAIN, HUNG, NAMES, READY, TO_DELIVERY
from msmtp.daemon.slots import Slots
from msmtp.daemon.status import Page
from msmtp.exits import EX_OSERR
from msmtp.failures import ChannelFailure, Failure, SystemFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.journal import Journal
    from msmtp.daemon.listeners import Listener
    from msmtp.daemon.policy import Policy
    from msmtp.daemon.privileges import Users
    from msmtp.daemon.requests import Request
    from msmtp.daemon.service import Service

PAUSES = (0.05, 60.0)  # seconds, first and last, before a child that ended is started again
DOUBLINGS = 16  # of the first pause; who fails for a day would else get beyond what a float can hold
STEADY = 30.0  # seconds after which a child counts as running well
JOIN_PAUSE = 0.5  # seconds before a way between two processes is tried again
READY_PATIENCE = 20.0  # seconds a generation may take until it is ready
STOP_PATIENCE = 80.0  # seconds that stopping may take; the unit's TimeoutStopSec is above it
ALIVE = 15_000  # milliseconds without news of the supervisor after which the watchdog is no longer told


class Child:
    """A process of the daemon.  ``channel``: the keeper's way to it."""

    __slots__ = ("channel", "failures", "pid", "pidfd", "started", "which")

    def __init__(self, which: str, pid: int, channel: int) -> None:
        """``channel``: its descriptor.  Raises OSError if the system has none for it; it has ended then."""
        self.which = which
        self.pid = pid
        try:
            self.pidfd = os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        self.channel = Channel(channel)
        self.channel.set_blocking(False)
        self.started = time.monotonic()
        self.failures = 0


class Generation:
    """What one reading of the settings made.  ``children`` by what they are; ``ready``: the supervisor said so."""

    __slots__ = (
        *("children", "leaving", "listeners", "number", "policy", "ready", "settings", "slots", "users", "verifiers"),
    )

    def __init__(  # noqa: PLR0913, PLR0917 - all that makes it up
        self,
        number: int,
        settings: Settings,
        users: Users,
        verifiers: int,
        listeners: list[Listener],
        slots: Slots,
        policy: Policy | None = None,
    ) -> None:
        self.number = number
        self.policy = policy
        self.settings = settings
        self.users = users
        self.verifiers = verifiers
        self.listeners = listeners
        self.slots = slots
        self.children: dict[str, Child] = {}
        self.ready = False
        self.leaving = False

    @property
    def brokers(self) -> list[str]:
        """What runs beside the supervisor."""
        return roles.wanted(self.settings)

    def is_apart(self, which: str) -> bool:
        """Whether it is a service of its own, whose end is not ours: here is but the way to it."""
        return which == "delivery" and bool(self.settings.deliver_by)


class Keeper:
    """What the keeper knows; :meth:`run` is its life."""

    def __init__(  # noqa: PLR0913 - all that main made, by name
        self,
        settings: Settings,
        *,
        reread: Callable[[], Settings],
        listeners: list[Listener],
        relisten: Callable[[Settings, Sequence[Listener]], list[Listener]],
        status: Listener | None,
        journal: Journal,
        users: Users,
        verifiers: int,
        policy: Policy | None = None,
        told: Callable[[], None],
        manager: Service,
    ) -> None:
        self.reread = reread
        self.relisten = relisten
        self.status = status
        self.journal = journal
        self.told = told
        self.manager = manager
        self.page = Page.to_be_passed() if settings.deliver_by else Page()
        self.page.set("started", int(time.time()))
        self.page.set("slots", settings.max_sessions)
        self.throttle = self.remembered_throttle()
        self.loop = Loop()
        self.generation = Generation(1, settings, users, verifiers, listeners, Slots(settings.max_sessions), policy)
        self.numbers = 1
        self.leaving: list[Generation] = []
        self.coming: Generation | None = self.generation
        self.stopping = False
        self.asked_again = False  # SIGHUP came while a generation came up
        self.exit_code = 0

    def remembered_throttle(self) -> throttle.Throttle:
        """The memory of failed logins, which systemd may have kept from before a restart."""
        stored = service.stored("throttle")
        memory = throttle.make() if stored is None else throttle.adopt(stored, time.monotonic_ns())
        self.manager.keep("throttle", memory.descriptor)
        return memory

    # Its life.

    def run(self) -> int:
        """Serve until told to stop; give the exit code.  Raises Failure if the service cannot be started."""
        self.loop.on_signals(
            {
                signal.SIGTERM: self.stop,
                signal.SIGINT: self.stop,
                signal.SIGHUP: self.reload,
                signal.SIGCHLD: self.bury,
            }
        )
        titles.set_title("keeper")
        gc.collect()
        gc.freeze()  # what all processes are made of is left alone when one of them looks for cycles, and stays shared
        self.start(self.generation)
        self.loop.after(self.manager.interval, self.watchdog)
        self.loop.run()
        return self.exit_code

    def start(self, generation: Generation) -> None:
        """Start all processes of a generation."""
        self.page.set("generation", generation.number)
        for which in (*generation.brokers, "supervisor"):
            self.start_child(generation, which)
        self.loop.after(READY_PATIENCE, lambda: self.too_late(generation))

    def start_child(self, generation: Generation, which: str, failures: int = 0) -> None:
        """Start one process, and make the ways between it and the others; later, if the system cannot do it now."""
        try:
            child = self.fork(generation, which)
        except OSError as error:
            events.note(self.journal, 0, f"cannot make a process: {error.strerror}")
            self.again_later(generation, which, failures + 1, EX_OSERR)
            return
        child.failures = failures
        generation.children[which] = child
        self.loop.watch(child.pidfd, lambda _events: self.on_end(generation, child))
        self.loop.watch(child.channel.fileno(), lambda _events: self.on_child(generation, child))
        for other in generation.brokers if which == "supervisor" else [which]:
            self.connect(generation, other)
        if which in {"names", "delivery"}:
            self.connect_names(generation)

    def fork(self, generation: Generation, which: str) -> Child:
        """Make a process.  Raises OSError; there is none then."""
        ours, theirs = pair()
        try:
            pid = forks.fork()
            if not pid:
                self.become(generation, which, theirs, ours)
            return Child(which, pid, ours)
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)

    def become(self, generation: Generation, which: str, theirs: int, ours: int) -> NoReturn:
        """Be one of the others, in the child."""
        status = 70
        try:
            os.close(ours)
            self.loop.close()  # signals wait until there is another that hears of them
            roles.PROCESSES[which](self, generation, theirs)
            status = 0
        except Failure as failure:
            complain_of(failure, self.journal)
            status = failure.code
        except BaseException as error:  # noqa: BLE001 - nothing returns into the keeper's loop
            events.unexpected(self.journal, which, error)
        finally:
            os._exit(status)  # noqa: SLF001 - public, whatever its name says

    def connect(self, generation: Generation, which: str) -> None:
        """Make a way between the supervisor and a broker, if both are there."""
        supervisor, broker = generation.children.get("supervisor"), generation.children.get(which)
        if supervisor is None or broker is None:
            return
        self.join(supervisor, BROKER, (which.encode(),), broker, CONTROL)

    def join(self, one: Child, request: Request, values: tuple[bytes, ...], other: Child, its_request: Request) -> None:
        """Give each of two processes an end of a channel, by these requests."""
        if one.channel.fileno() < 0 or other.channel.fileno() < 0:
            return  # one of them has ended; who is started in its place gets a way of its own
        try:
            ends = pair()
            try:
                other.channel.send(its_request, descriptors=(ends[0],))
                one.channel.send(request, *values, descriptors=(ends[1],))
            finally:
                for end in ends:
                    os.close(end)
        except ChannelFailure:
            return  # one of them has ended, and that will be told
        except OSError:  # one of them hangs, or the system has not enough of something
            self.loop.after(JOIN_PAUSE, lambda: self.join(one, request, values, other, its_request))

    def connect_names(self, generation: Generation) -> None:
        """Make a way for names to be told to delivery, if both are there."""
        names, broker = generation.children.get("names"), generation.children.get("delivery")
        if names is not None and broker is not None:
            self.join(names, TO_DELIVERY, (), broker, NAMES)

    # What the others do.

    def on_child(self, generation: Generation, child: Child) -> None:
        """READY and HUNG of the supervisor; brokers say nothing."""
        try:
            message = child.channel.receive((READY, HUNG) if child.which == "supervisor" else ())
        except BlockingIOError:
            return
        except ChannelFailure:
            self.loop.forget(child.channel.fileno())  # its end is told by the pidfd
            return
        if message.name == READY.name:
            self.on_ready(generation)
            return
        hung = generation.children.get(message.octets("which").decode("ascii", "replace"))
        if hung is not None and hung.which != "supervisor":
            events.note(self.journal, 0, f"{hung.which} does not answer and is ended")
            signal.pidfd_send_signal(hung.pidfd, signal.SIGKILL)

    def on_ready(self, generation: Generation) -> None:
        """A generation serves; the one before may go."""
        if generation is not self.coming:
            return
        generation.ready = True
        self.coming = None
        if generation is self.generation:
            self.told()
            events.ready(self.journal)
        else:
            old, self.generation = self.generation, generation
            self.give_names(generation.listeners)
            close_those_left(old.listeners, generation.listeners)
            self.let_go(old)
            events.reloaded(self.journal)
        self.page.set("slots", generation.slots.number)
        self.manager.ready(f"{len(generation.listeners)} listeners, {generation.slots.number} slots")
        if self.asked_again:
            self.reload()

    def give_names(self, listeners: Sequence[Listener]) -> None:
        """Have new unix sockets take the names of those that had other permissions."""
        for listener in listeners:
            try:
                listener.take_name()
            except OSError as error:
                events.note(self.journal, 0, f"cannot listen on {listener.name}: {error.strerror}")

    def let_go(self, old: Generation) -> None:
        """Have a generation end with its last session."""
        old.leaving = True
        self.leaving.append(old)
        supervisor = old.children.get("supervisor")
        if supervisor is None:
            self.end_brokers(old)
            return
        try:
            supervisor.channel.send(DRAIN)
        except (ChannelFailure, BlockingIOError):
            signal.pidfd_send_signal(supervisor.pidfd, signal.SIGTERM)

    def end_brokers(self, generation: Generation) -> None:
        """Have brokers end with their last session: nobody begins new ones."""
        for which, child in generation.children.items():
            if which != "supervisor" and child.channel.fileno() >= 0:
                self.loop.forget(child.channel.fileno())
                child.channel.close()

    def on_end(self, generation: Generation, child: Child) -> None:
        """A child has ended: start it again, unless it was meant to end."""
        ended = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOHANG)
        if ended is None:
            return
        status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        self.forget(child)
        if generation.children.get(child.which) is child:
            del generation.children[child.which]
        if self.stopping or generation.leaving:
            self.on_expected_end(generation, child)
        elif generation is self.coming and not (generation.is_apart(child.which) and status == 0):
            self.on_failed_start(generation, f"{child.which} {events.ending(status)}", status)
        else:
            self.on_unexpected_end(generation, child, status)

    def forget(self, child: Child) -> None:
        """Hold nothing of a child any more."""
        self.loop.forget(child.pidfd)
        os.close(child.pidfd)
        if child.channel.fileno() >= 0:
            self.loop.forget(child.channel.fileno())
            child.channel.close()

    def bury(self) -> None:
        """As the first process of a container, wait for those that have ended and whose parent was gone by then.

        Our own are waited for where their pidfds tell of it; one of them that has ended may stand before others here,
        which are looked at again a moment later.
        """
        if os.getpid() != 1:
            return
        ours = {child.pid for generation in self.everybody() for child in generation.children.values()}
        try:
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if ended.si_pid in ours:
                    self.loop.after(1.0, self.bury)
                    return
                os.waitpid(ended.si_pid, 0)
        except ChildProcessError:  # there is none at all
            return

    def on_expected_end(self, generation: Generation, child: Child) -> None:
        """The supervisor first, then the brokers; nobody comes after them who would correct what they counted."""
        if not generation.is_apart(child.which):
            self.page.lane(generation.number).begin(child.which)
        if child.which == "supervisor":
            self.end_brokers(generation)
        self.forget_if_empty(generation)
        if self.stopping:
            self.end_if_done()

    def forget_if_empty(self, generation: Generation) -> None:
        """Hold nothing of a generation that has left."""
        if generation in self.leaving and not generation.children:
            self.leaving.remove(generation)
            close_verifiers(generation.verifiers)

    def on_failed_start(self, generation: Generation, reason: str, status: int) -> None:
        """A generation that does not come up is given up; the old one, if there is one, serves on."""
        self.coming = None
        generation.leaving = True
        for other in generation.children.values():
            signal.pidfd_send_signal(other.pidfd, signal.SIGKILL)
        if generation is not self.generation:
            self.leaving.append(generation)
            self.forget_if_empty(generation)
            close_those_left(generation.listeners, self.generation.listeners)
            self.refuse(reason)
            return
        self.exit_code = status if status > 0 else SystemFailure.exit_code
        if status <= 0:
            complain(f"cannot start: {reason}")
        self.stopping = True
        self.end_if_done()

    def refuse(self, reason: str) -> None:
        """Say that a reload comes to nothing; one that was asked for meanwhile may."""
        events.reload_refused(self.journal, reason)
        self.manager.ready()
        if self.asked_again:
            self.reload()

    def on_unexpected_end(self, generation: Generation, child: Child, status: int) -> None:
        """Start it again, the sooner the longer it has run."""
        self.page.add("broker_deaths")
        failures = 0 if time.monotonic() - child.started > STEADY else child.failures
        self.again_later(generation, child.which, failures + 1, status)

    def again_later(self, generation: Generation, which: str, failures: int, status: int) -> None:
        """Start a child again after a pause."""
        first, last = PAUSES
        pause = min(last, first * 2 ** min(failures - 1, DOUBLINGS))
        events.broker_died(self.journal, which, events.ending(status), pause)
        self.loop.after(pause, lambda: self.again(generation, which, failures))

    def again(self, generation: Generation, which: str, failures: int) -> None:
        """The pause is over."""
        if not (self.stopping or generation.leaving or which in generation.children):
            self.start_child(generation, which, failures)

    def too_late(self, generation: Generation) -> None:
        """A generation that is not ready by now hangs, or the system has no process for it."""
        if generation is not self.coming or self.stopping:
            return
        supervisor = generation.children.get("supervisor")
        if supervisor is None:
            self.on_failed_start(generation, "it is not ready in time", 0)
        else:
            signal.pidfd_send_signal(supervisor.pidfd, signal.SIGKILL)

    def watchdog(self) -> None:
        """Tell the service manager that all is well, if it is; have the log looked after."""
        age = time.monotonic() * 1000 - self.page.lane(self.generation.number).own("alive")
        if age < ALIVE or self.coming is not None:
            self.manager.alive(f"{self.page['active']} sessions, {self.page['delivered']} mails delivered")
        self.journal.mend()
        self.loop.after(self.manager.interval, self.watchdog)

    # What is asked of it.

    def reload(self) -> None:
        """Read the settings again; if they are good, start a generation that has them."""
        if self.stopping:
            return
        self.asked_again = self.coming is not None
        if self.asked_again:  # what it was made of may not be what the file says by now
            return
        self.manager.reloading()
        events.reloading(self.journal)
        listeners, verifiers = self.generation.listeners, -1
        try:
            settings = self.reread()
            users = privileges.users(settings)
            policy = policy_for(settings)
            listeners = self.relisten(settings, listeners)
            verifiers = self.fetch_verifiers(settings)
            self.journal.reopen(settings, users.numbers())
        except (Failure, OSError) as failure:  # OSError: of what no one below expects to be short
            close_those_left(listeners, self.generation.listeners)
            close_verifiers(verifiers)
            self.refuse(failure.message if isinstance(failure, Failure) else os.strerror(failure.errno or 0))
            return
        slots = Slots(settings.max_sessions, self.generation.slots.descriptor)
        self.numbers += 1
        self.coming = Generation(self.numbers, settings, users, verifiers, listeners, slots, policy)
        self.start(self.coming)

    def fetch_verifiers(self, settings: Settings) -> int:
        """Fetch the passwords again, nobody being there to be asked; -1 if there are none.  Raises Failure."""
        if not settings.auth:
            return -1

        from msmtp.daemon import passwords

        return passwords.verifiers(settings, may_ask=False, patience=READY_PATIENCE)

    def stop(self) -> None:
        """End: sessions, then brokers, then this."""
        if self.stopping:
            return
        self.stopping = True
        self.manager.stopping()
        events.stopping(self.journal)
        for generation in self.everybody():
            for listener in generation.listeners:
                listener.close()  # who connects later is refused at once, instead of waiting for an answer
            supervisor = generation.children.get("supervisor")
            if supervisor is None:
                self.end_brokers(generation)
            else:
                signal.pidfd_send_signal(supervisor.pidfd, signal.SIGTERM)
        self.loop.after(STOP_PATIENCE, self.stop_now)
        self.end_if_done()

    def stop_now(self) -> None:
        """End what has not ended by itself."""
        for generation in self.everybody():
            for child in generation.children.values():
                signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)

    def everybody(self) -> list[Generation]:
        """All generations that have processes."""
        coming = [self.coming] if self.coming is not None and self.coming is not self.generation else []
        return [*self.leaving, self.generation, *coming]

    def end_if_done(self) -> None:
        """Leave when the last child has ended."""
        if not any(generation.children for generation in self.everybody()):
            events.stopped(self.journal)
            self.loop.stop()


def policy_for(settings: Settings) -> Policy | None:
    """Read the policy that delivery is to judge by, if it is ours and there is one.  Raises Failure."""
    if not settings.policy or settings.deliver_by:
        return None
    from msmtp.daemon import guard

    return guard.load(settings)


def close_verifiers(descriptor: int) -> None:
    """Close what the users' passwords are compared with, if there are any."""
    if descriptor >= 0:
        os.close(descriptor)


def close_those_left(left: Sequence[Listener], kept: Sequence[Listener]) -> None:
    """Close listeners of a generation that goes, but for those that the one which stays has, too."""
    for listener in left:
        if listener not in kept:
            listener.close()
