"""Loop: what a process of the daemon waits for, in one place.

Descriptors call back when they are ready, timers when their time has come (CLOCK_MONOTONIC, so that a clock that jumps
changes nothing), signals when they have left their note.  Nothing happens in a signal handler: Python writes the
signal's number into a pipe, and the loop acts on it in its turn.

Level-triggered: a callback that leaves something behind is called again.
"""

from __future__ import annotations

import select
import signal
from heapq import heapify, heappop, heappush
from time import monotonic

from msmtp.daemon import forks
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

READABLE, WRITABLE = select.POLLIN, select.POLLOUT
GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL

MANY_TIMERS = 64  # so many are looked through for those that were cancelled

_NEVER = float("inf")


class Timer:
    """A call to come.  ``when``: seconds of CLOCK_MONOTONIC."""

    __slots__ = ("call", "number", "when")

    def __init__(self, when: float, number: int, call: Callable[[], None] | None) -> None:
        self.when = when
        self.number = number
        self.call = call

    def cancel(self) -> None:
        """Have it not called; harmless when it has been."""
        self.call = None

    def __lt__(self, other: Timer) -> bool:
        return (self.when, self.number) < (other.when, other.number)


class Loop:
    """Descriptors, timers and signals of one process.  Not to be shared with a child: see :meth:`close`."""

    __slots__ = ("_calls", "_counter", "_many", "_notes", "_poll", "_signals", "_stopped", "_timers")

    def __init__(self) -> None:
        self._poll = select.poll()
        self._calls: dict[int, Callable[[int], None]] = {}
        self._timers: list[Timer] = []
        self._counter = 0
        self._many = MANY_TIMERS
        self._stopped = False
        self._notes: tuple[int, int] | None = None
        self._signals: dict[int, Callable[[], None]] = {}

    def watch(self, descriptor: int, call: Callable[[int], None], events: int = READABLE) -> None:
        """Have ``call(events)`` called when ``descriptor`` is ready, or its other end gone; replaces what was asked."""
        self._poll.register(descriptor, events)
        self._calls[descriptor] = call

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor no more; to be said before it is closed.  Harmless for one that is not watched."""
        if self._calls.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def watched(self, descriptor: int) -> bool:
        """Whether a descriptor is watched."""
        return descriptor in self._calls

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Have ``call()`` called in so many seconds, once."""
        self._counter += 1
        timer = Timer(monotonic() + seconds, self._counter, call)
        if len(self._timers) >= self._many:
            self._forget_cancelled()
        heappush(self._timers, timer)
        return timer

    def _forget_cancelled(self) -> None:
        """Keep only timers that will call: those that were cancelled may have a long time to go, and be many."""
        self._timers = [timer for timer in self._timers if timer.call]
        heapify(self._timers)
        self._many = max(MANY_TIMERS, 2 * len(self._timers))

    def on_signals(self, calls: dict[int, Callable[[], None]]) -> None:
        """Have each of these called when its signal has come; several of one kind may be told as one.

        Replaces all signals asked for before, which then do what they do by default.  Signals that have waited since
        the fork come now.
        """
        self._release_signals()
        reads, writes = os.pipe()
        for end in (reads, writes):
            os.set_blocking(end, False)
        self._notes = (reads, writes)
        self._signals = dict(calls)
        signal.set_wakeup_fd(writes, warn_on_full_buffer=False)  # a full pipe holds a note already
        for number in calls:
            signal.signal(number, _left_to_the_loop)
        forks.heed()
        self.watch(reads, self._on_notes)

    def _release_signals(self) -> None:
        for number in self._signals:
            signal.signal(number, signal.SIG_DFL)
        self._signals = {}
        if self._notes:
            signal.set_wakeup_fd(-1)
            self.forget(self._notes[0])
            for end in self._notes:
                os.close(end)
            self._notes = None

    def _on_notes(self, _events: int) -> None:
        assert self._notes is not None
        try:
            numbers: Iterable[int] = os.read(self._notes[0], 65_536)
        except BlockingIOError:
            return
        for number in dict.fromkeys(numbers):
            call = self._signals.get(number)
            if call:
                call()

    def stop(self) -> None:
        """Have :meth:`run` return once the callback that says so has."""
        self._stopped = True

    def run(self) -> None:
        """Wait and call until stopped, or until there is nothing left to wait for."""
        self._stopped = False
        while not self._stopped and (self._calls or self._timers):
            self.turn()

    def turn(self, seconds: float = _NEVER) -> None:
        """Wait for something to happen, at most so long, and call what it calls."""
        now = monotonic()
        if self._timers:
            seconds = min(seconds, self._timers[0].when - now)
        # Rounded up: a timer is never called early, and no wait of less than a millisecond is spent in turning round.
        ready = self._poll.poll(None if seconds == _NEVER else max(0, int(seconds * 1000) + (seconds > 0)))
        calls = self._calls
        for descriptor, events, call in [(each, events, calls.get(each)) for each, events in ready]:
            # An earlier callback may have forgotten it, and its number may be another's by now, to which nothing came.
            if call and calls.get(descriptor) is call:
                call(events)
        if self._timers:
            self._call_timers()

    def _call_timers(self) -> None:
        now = monotonic()
        while self._timers and self._timers[0].when <= now:
            call = heappop(self._timers).call
            if call:
                call()

    def close(self) -> None:
        """Forget everything, signals included; in a child right after the fork, so that it leaves no note here."""
        self._calls.clear()
        self._timers.clear()
        self._poll = select.poll()
        self._release_signals()


def _left_to_the_loop(_number: int, _frame: object) -> None:
    """Python's own handler has written the note."""
