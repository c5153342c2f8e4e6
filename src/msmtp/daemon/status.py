"""Status: what every process counts, in one page that all of them share; and the words that tell a person.

The page is anonymous shared memory that the keeper makes before it forks: it goes with the last process and has no name
that anybody could open.  (For delivery as a service of its own it has a descriptor that can be passed.)  A counter is
eight octets with one writer, so that nothing need be locked: a reader sees the value before or after, never a mixture.
After a reload the old processes work beside the new ones for a while; so the page has LANES, each generation counts in
its own, and what is read is the sum.

The supervisor tells it to whoever connects to the status socket: lines of ``name value``, then a line for each session.
"""

from __future__ import annotations

import fcntl
import mmap

from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LANES = 16  # generations that may be there at a time; more reloads in a row share lanes, and may miscount
_OCTETS = 8
_MOST = (1 << 8 * _OCTETS) - 1
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

COUNTERS = (
    # name, who counts, what
    ("started", "keeper", "when the daemon started, seconds since 1970"),
    ("generation", "keeper", "how often it was started anew by SIGHUP, from 1"),
    ("broker_deaths", "keeper", "processes that ended unasked and were started again"),
    ("slots", "keeper", "sessions at a time at most"),
    ("alive", "supervisor", "when the supervisor last saw all brokers answer, milliseconds of CLOCK_MONOTONIC"),
    ("active", "supervisor", "sessions now"),
    ("sessions", "supervisor", "sessions since the start"),
    ("waiting_workers", "supervisor", "workers that wait for a connection"),
    ("refused_full", "supervisor", "connections refused because no slot was free"),
    ("refused_source", "supervisor", "connections refused because their source has its share"),
    ("refused_resources", "supervisor", "connections refused because the system gave no process or descriptor"),
    ("worker_deaths", "supervisor", "workers that ended by a signal or with a traceback"),
    ("errors", "supervisor", "mistakes that clients made"),
    ("auth_accepted", "auth", "authentications accepted"),
    ("auth_refused", "auth", "authentications refused"),
    ("auth_delayed", "auth", "answers that were held back after failures"),
    ("auth_waiting", "auth", "answers that are held back now"),
    ("running", "delivery", "delivery commands now"),
    ("delivered", "delivery", "mails that the command took"),
    ("deferred", "delivery", "mails that the command could not take for the time being"),
    ("rejected", "delivery", "mails that the command refused for good"),
    ("dropped", "delivery", "mails that ended before they were complete"),
    ("spilled", "delivery", "mails that went to a file because of their size"),
    ("lookups", "names", "names looked up"),
)
"""Counters, in the order in which they are told."""

GAUGES = {
    "supervisor": ("active", "waiting_workers"),
    "auth": ("auth_waiting",),
    "delivery": ("running",),
}
"""Counters that tell what is now: who counts them anew starts from nothing."""

_PLACES = {row[0]: place for place, row in enumerate(COUNTERS)}


class Page:
    """The counters.  ``page["sessions"]`` reads, ``add`` and ``set`` are for the one who counts, in its own lane.

    ``descriptor`` of a page to be passed on, in who made it and in children that kept it open, -1 for none; ``number``
    of the lane.
    """

    __slots__ = ("_words", "descriptor", "number")

    def __init__(self, words: memoryview[int] | None = None, lane: int = 0, descriptor: int = -1) -> None:
        self._words = _mapped(descriptor) if words is None else words
        self.number = lane
        self.descriptor = descriptor

    @staticmethod
    def to_be_passed() -> Page:
        """A new page with a descriptor."""
        return Page(descriptor=_memory())

    @staticmethod
    def shared(descriptor: int, lane: int) -> Page:
        """A page that another daemon made.  Raises ValueError or OSError for what is none; keeps no descriptor."""
        if not 0 <= lane < LANES or fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) != _SEALS:
            raise ValueError
        if os.fstat(descriptor).st_size != _SIZE:
            raise ValueError
        return Page(_mapped(descriptor), lane)

    def lane(self, generation: int) -> Page:
        """The same page, for the processes of a generation to count in."""
        return Page(self._words, generation % LANES, self.descriptor)

    def keep_from_children(self) -> None:
        """Have no child of this process map it."""
        memory = self._words.obj
        if isinstance(memory, mmap.mmap):
            memory.madvise(mmap.MADV_DONTFORK)

    def __getitem__(self, name: str) -> int:
        place = _PLACES[name]
        return sum([self._words[lane * len(COUNTERS) + place] for lane in range(LANES)])

    def own(self, name: str) -> int:
        """What was counted in this lane."""
        return self._words[self.number * len(COUNTERS) + _PLACES[name]]

    def set(self, name: str, value: int) -> None:
        """Set a counter; at the most that it can tell, it stands still."""
        self._words[self.number * len(COUNTERS) + _PLACES[name]] = min(value, _MOST)

    def add(self, name: str, number: int = 1) -> None:
        """Count up, or down."""
        self.set(name, max(0, self.own(name) + number))

    def begin(self, process: str) -> None:
        """Forget what a process of this lane that is no more said was now."""
        for name in GAUGES.get(process, ()):
            self.set(name, 0)

    def items(self) -> Iterator[tuple[str, int]]:
        """Names and values, in their order."""
        for name in _PLACES:
            yield name, self[name]


_SIZE = -(-LANES * len(COUNTERS) * _OCTETS // mmap.PAGESIZE) * mmap.PAGESIZE


def _memory() -> int:
    """Memory whose size is for good: who maps it must not find it cut."""
    descriptor = os.memfd_create("msmtpd counters", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, _SIZE)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


def _mapped(descriptor: int) -> memoryview[int]:
    """Memory that is nobody's by name, or that of a descriptor, shared with all children."""
    return memoryview(mmap.mmap(descriptor, _SIZE)).cast("Q")
