"""The workers, seen from the supervisor: those that wait for work, those at work, and how each ends.

The nursery forks them and sends the way to each.  A worker gets one piece of work, a session, and ends with it.  That
it has ended is told by its pidfd, how by the nursery, who is its parent.  What it says goes to its work:

    nursery's channel BORN, BARREN, DIED; end: it is started again
    pidfd ready      the worker has ended: its work is over
    worker's channel NOTE, SWAP, ENDED, once it has work; junk: it is killed

That it is to end, a worker is told by the end of what comes over its channel, for which this process need not be one
that may send it signals: with --inetd it has become what runs commands, and the kernel keeps its signals from all else.

What the system refuses, or what ends before it had work, is tried again after a pause that doubles while it lasts.
"""

from __future__ import annotations

import errno
import select
import signal
from contextlib import suppress
from time import monotonic

from msmtp import sandbox
from msmtp.daemon import events, forks, nursery, worker
from msmtp.daemon.channel import Channel, ChannelGone, ChannelShort, pair
from msmtp.daemon.requests import BARREN, BORN, CONNECTION, DIED, ENDED, GROW, NOTE, SWAP
from msmtp.daemon.wire import Late, await_message
from msmtp.failures import ChannelFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.channel import Message
    from msmtp.daemon.journal import Journal
    from msmtp.daemon.loop import Loop, Timer
    from msmtp.daemon.privileges import User
    from msmtp.daemon.requests import Request
    from msmtp.daemon.status import Page

    class Work(Protocol):
        """What a worker is given: it hears what the worker says, ENDED at last, and then that it is over."""

        number: int

        def heard(self, message: Message) -> None:
            """Take NOTE, SWAP or ENDED."""

        def over(self) -> None:
            """Know that the worker has ended, whatever it said."""


PAUSES = (1.0, 60.0)  # seconds, first and last, between attempts to fork after one failed
BIRTH = 0.05  # seconds for which all else waits for a worker, if none is left and a client is there
BIRTHS_MISSED = 2  # looks in a row at a nursery that brings none, after which it hangs
REAP_AFTER = 0.02  # seconds in which the nursery waits for workers that have ended
_ERRNOS = 0xFFF  # bits of them
LAST_WORDS = 32  # messages that may lie in a channel whose other end is closed


class Worker:
    """A process, waiting or at work.  ``work``: None while it waits; ``ended``: whether it said so."""

    __slots__ = ("channel", "ended", "pid", "pidfd", "work")

    def __init__(self, pid: int, pidfd: int, channel: Channel) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.channel = channel
        self.work: Work | None = None
        self.ended = False

    @property
    def session(self) -> int:
        """The number of its session, 0 without one."""
        return self.work.number if self.work else 0

    def tell(self, request: Request, along: tuple[int, ...] = ()) -> None:
        """Answer it; one that is gone is told of by its pidfd."""
        try:
            self.channel.send(request, descriptors=along)
        except (ChannelFailure, BlockingIOError):
            return

    def kill(self) -> bool:
        """End it; whether that is possible."""
        return _kill(self.pidfd)


class Nursery:
    """The way to the nursery.

    ``asked``: workers that it was asked for and has not brought; ``missed``: looks at it since it was, or brought one.
    """

    __slots__ = ("asked", "channel", "missed", "pidfd")

    def __init__(self, pidfd: int, channel: Channel) -> None:
        self.pidfd = pidfd
        self.channel = channel
        self.asked = 0
        self.missed = 0

    def ask(self, number: int) -> None:
        """Have it fork, and wait for those that ended; it is told of by its pidfd if it does not listen."""
        try:
            self.channel.send(GROW, number)
        except (ChannelFailure, BlockingIOError):
            return

    def kill(self) -> None:
        """End it."""
        _kill(self.pidfd)


class Workers:
    """At most ``slots`` at work, ``workers_ahead`` waiting.

    ``waiting``: those that :meth:`employ` takes from.  ``changed`` is called when there is one more, when none can be
    had for a time, and, once they are dismissed, when one has ended.
    """

    def __init__(  # noqa: PLR0913 - what it works with, by name
        self,
        settings: Settings,
        loop: Loop,
        *,
        slots: int,
        page: Page,
        journal: Journal,
        user: User,
        changed: Callable[[], None],
    ) -> None:
        self.waiting: list[Worker] = []
        self._settings = settings
        self._loop = loop
        self._slots = slots
        self._page = page
        self._journal = journal
        self._user = user
        self._changed = changed
        self._at_work: dict[int, Worker] = {}
        self._leaving: list[Worker] = []  # ending, without having had work
        self._roles: nursery.Roles | None = None
        self._nursery: Nursery | None = None
        self._unexplained: dict[int, int] = {}  # sessions by processes that ended without saying so
        self._reap_timer: Timer | None = None
        self._pause = 0.0
        self._pause_timer: Timer | None = None
        self._dismissed = False

    # From the beginning to the end.

    def prepare(self, descriptors: int) -> None:
        """Load what workers need, while there are files; ``descriptors``: as many as this process may have."""
        worker.warm(self._settings)
        if self._settings.sandbox != sandbox.OFF:
            self._roles = nursery.Roles(self._settings, descriptors)

    def _start(self) -> None:
        """Fork the process that forks the workers, or try again later."""
        try:
            ours, theirs = pair()
        except OSError as error:
            self._fail(os.strerror(error.errno or 0))
            return
        try:
            pid = forks.fork()
        except OSError as error:
            os.close(ours)
            os.close(theirs)
            self._fail(os.strerror(error.errno or 0))
            return
        if not pid:
            try:
                self._loop.close()
                nursery.run(theirs, self._settings, self._roles, self._user, self._journal)
            finally:
                os._exit(70)  # noqa: SLF001 - public, whatever its name says
        os.close(theirs)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            os.close(ours)  # by which it ends, if it may not be killed
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self._fail(os.strerror(error.errno or 0))
            return
        channel = Channel(ours)
        channel.set_blocking(False)
        self._nursery = Nursery(pidfd, channel)
        self._loop.watch(pidfd, self._on_nursery_end)
        self._loop.watch(ours, self._on_nursery)

    def dismiss(self) -> None:
        """Have those that wait end, and no more come; those at work go on."""
        self._dismissed = True
        for child in self.waiting:
            self._hang_up(child)

    def terminate(self) -> None:
        """Have those at work say 421, unless a mail is under way."""
        for child in self._at_work.values():
            child.channel.end()

    def none_left(self) -> bool:
        """Whether the last one has ended, at work or not."""
        return not (self._at_work or self.waiting)

    def end_nursery(self) -> None:
        """Have it end, and wait for that; it has nothing to do any more."""
        if self._nursery:
            self._nursery.channel.end()  # it ends by that, if it may not be killed
            self._nursery.kill()
            os.waitid(os.P_PIDFD, self._nursery.pidfd, os.WEXITED)
            self._forget_nursery()

    # Work.

    def employ(self, work: Work, *values: object, along: tuple[int, ...]) -> Worker | None:
        """Give work to the one that has waited longest, by CONNECTION; None if that one has ended."""
        child = self.waiting.pop(0)
        self._page.set("waiting_workers", len(self.waiting))
        try:
            child.channel.send(CONNECTION, *values, descriptors=along)
        except (ChannelFailure, OSError):  # it died while it waited, or there is no memory; its pidfd tells
            self._hang_up(child)
            self._leaving.append(child)
            return None
        child.work = work
        self._at_work[child.pidfd] = child
        return child

    def kill(self, child: Worker, reason: str) -> None:
        """End one that does what it must not, or nothing."""
        events.note(self._journal, child.session, f"worker killed: {reason}")
        if not child.kill():
            child.channel.end()

    def hear_of_ends(self) -> bool:
        """Take note of those at work that have ended, before their turn comes; whether there were any."""
        ends = select.poll()
        for pidfd in self._at_work:
            ends.register(pidfd, select.POLLIN)
        ended = [self._at_work[pidfd] for pidfd, _ in ends.poll(0)]
        for child in ended:
            self._on_end(child)
        return bool(ended)

    # Enough of them.

    def grow(self, least: int = 0) -> None:
        """Have as many wait as was asked for, at least so many, and as there are slots for."""
        if self._dismissed or self._pause_timer:
            return
        if self._nursery is None:
            self._start()
        if self._nursery is None:
            return
        wanted = min(max(self._settings.workers_ahead, least), self._slots - len(self._at_work))
        missing = wanted - len(self.waiting) - self._nursery.asked
        if missing > 0:
            if not self._nursery.asked:
                self._nursery.missed = 0
            self._nursery.asked += missing
            self._nursery.ask(missing)

    def are_to_be_expected(self) -> bool:
        """Whether more may come soon."""
        return self._nursery is not None and not self._pause_timer

    def are_first_to_come(self) -> bool:
        """Whether those that are to wait from the start on are still to come."""
        return self.are_to_be_expected() and len(self.waiting) < min(self._settings.workers_ahead, self._slots)

    def await_one(self) -> bool:
        """Wait a moment for one, though none be wanted ahead; whether one waits now."""
        self.grow(1)
        until = monotonic() + BIRTH
        while not self.waiting and self._nursery and self.are_to_be_expected():
            try:
                await_message(self._nursery.channel, until)
            except Late:
                break
            self._on_nursery(0)
        return bool(self.waiting)

    def look_after(self) -> None:
        """End a nursery that hangs.  Looks are counted, and not seconds: this process may have stood still as well."""
        nursery = self._nursery
        if nursery and nursery.asked:
            nursery.missed += 1
            if nursery.missed > BIRTHS_MISSED:
                nursery.kill()

    def _fail(self, reason: str) -> None:
        """Fork no more for a while, and say why."""
        if self._dismissed:
            return
        self._rest()
        events.note(self._journal, 0, f"cannot make a process: {reason}; next attempt in {self._pause:g} s")

    def _rest(self) -> None:
        """Fork no more for a while."""
        if self._pause_timer is None:
            first, last = PAUSES
            self._pause = min(last, max(first, self._pause * 2))
            self._pause_timer = self._loop.after(self._pause, self._go_on)
            self._loop.after(0, self._changed)

    def _go_on(self) -> None:
        """The pause is over."""
        self._pause_timer = None
        self.grow()

    # The nursery.

    def _on_nursery(self, _events: int) -> None:
        """Take workers, or learn that there are none."""
        while self._nursery:
            try:
                message = self._nursery.channel.receive((BORN, BARREN, DIED))
            except BlockingIOError:
                return
            except ChannelShort:
                self._nursery.asked = max(0, self._nursery.asked - 1)  # a worker, which ends by that
                self._fail(os.strerror(errno.EMFILE))
                continue
            except ChannelFailure:  # its pidfd tells
                self._loop.forget(self._nursery.channel.fileno())
                return
            if message.name == BORN.name:
                self._nursery.asked = max(0, self._nursery.asked - 1)
                self._nursery.missed = 0
                self.welcome(message.number("pid"), *message.descriptors)
            elif message.name == DIED.name:
                self._on_death(message.number("pid"), message.number("status"))
            else:
                self._nursery.asked = 0
                self._fail(os.strerror(message.number("errno") & _ERRNOS))

    def welcome(self, pid: int, pidfd: int, descriptor: int) -> None:
        """Have a new one wait: its process, what tells of its end, the way to it."""
        channel = Channel(descriptor)
        channel.set_blocking(False)
        child = Worker(pid, pidfd, channel)
        self._pause = 0.0
        self._loop.watch(pidfd, lambda _events: self._on_end(child))
        self.waiting.append(child)
        if self._dismissed:
            channel.close()
            return
        self._loop.watch(descriptor, lambda _events: self._on_worker(child))
        self._page.set("waiting_workers", len(self.waiting))
        self._changed()

    def _on_death(self, pid: int, status: int) -> None:
        """Learn how one ended that did not end as it should; one that had said that it ends is not known any more."""
        known = {child.pid: child.session for child in (*self._at_work.values(), *self.waiting)}
        unexplained = self._unexplained.pop(pid, None)
        session = known.get(pid, unexplained)
        try:
            how = os.waitstatus_to_exitcode(status)
        except (ValueError, OverflowError):  # the nursery is not what it seems
            how = -signal.SIGKILL
        self.tell_of_death(session or 0, how)
        if session == 0:
            self._fail("a worker ended before its work")

    def tell_of_death(self, session: int, status: int) -> None:
        """Say and count that one ended as it should not; ``status`` as os.waitstatus_to_exitcode() has it."""
        self._page.add("worker_deaths")
        events.worker_died(self._journal, session, status)

    def _on_nursery_end(self, _events: int) -> None:
        """It is gone, and its workers are told so: those at work finish, those that wait end."""
        assert self._nursery  # it is what is watched
        ended = os.waitid(os.P_PIDFD, self._nursery.pidfd, os.WEXITED | os.WNOHANG)
        if ended is None:
            return
        self._on_nursery(0)
        status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        self._forget_nursery()
        for child in self.waiting:
            self._hang_up(child)
        self._leaving += self.waiting
        self.waiting.clear()
        if not self._dismissed:
            self._page.add("worker_deaths")
        self._fail(f"process nursery {events.ending(status)}")

    def _forget_nursery(self) -> None:
        """Hang up on it."""
        if self._nursery:
            for descriptor in (self._nursery.pidfd, self._nursery.channel.fileno()):
                self._loop.forget(descriptor)
            os.close(self._nursery.pidfd)
            self._nursery.channel.close()
            self._nursery = None
        self._unexplained.clear()

    # One of them.

    def _on_worker(self, child: Worker) -> None:
        """Take what it says."""
        work = child.work
        try:
            message = child.channel.receive((NOTE, SWAP, ENDED) if work and not child.ended else ())
        except BlockingIOError:
            return
        except ChannelGone:
            self._loop.forget(child.channel.fileno())
            return
        except ChannelFailure as failure:
            self._loop.forget(child.channel.fileno())
            self.kill(child, failure.message)
            return
        assert work  # without it nothing is permitted
        child.ended = message.name == ENDED.name
        work.heard(message)

    def _on_end(self, child: Worker) -> None:
        """It has ended, and so is its work."""
        self._hear_last_words(child)
        self.ask_how_it_ended(child)
        self._loop.forget(child.pidfd)
        self._hang_up(child)
        os.close(child.pidfd)
        work, child.work = child.work, None  # neither holds the other any more
        if work:
            del self._at_work[child.pidfd]
            work.over()
        else:
            self._end_waiting(child)
        if self._dismissed:
            self._changed()
        else:
            self.grow()

    def _hear_last_words(self, child: Worker) -> None:
        """Read what it said before it ended, ENDED most of all."""
        for _ in range(LAST_WORDS):
            if child.ended or not self._loop.watched(child.channel.fileno()):
                return
            self._on_worker(child)

    def ask_how_it_ended(self, child: Worker) -> None:
        """Have the nursery wait for it, soon or, if it did not say that it ended, at once; DIED is the answer."""
        if not child.ended:
            self._unexplained[child.pid] = child.session
            if self._nursery:
                self._nursery.ask(0)
        elif not self._reap_timer:
            self._reap_timer = self._loop.after(REAP_AFTER, self._reap)

    def _reap(self) -> None:
        self._reap_timer = None
        if self._nursery:
            self._nursery.ask(0)

    def _end_waiting(self, child: Worker) -> None:
        """It had nothing to do; what repeats must not become a storm.

        One that was told to end (SIGTERM to all of the daemon's processes, and the supervisor has not had its own yet)
        is not worth a word; what else it was, the nursery tells.
        """
        if child in self._leaving:
            self._leaving.remove(child)
        if child in self.waiting:
            self.waiting.remove(child)
            self._page.set("waiting_workers", len(self.waiting))
            if not self._dismissed:
                self._rest()

    def _hang_up(self, child: Worker) -> None:
        self._loop.forget(child.channel.fileno())
        child.channel.close()


def _kill(pidfd: int) -> bool:
    """End a process; False if it has ended (ESRCH), or this one may not (EPERM: --inetd, or there is no CAP_KILL)."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        return False
    return True
