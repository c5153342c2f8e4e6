"""Status: what every process counts, in one page that all of them share; and the words that tell a person.

The page is anonymous shared memory that the keeper makes before it forks: it goes with the last process and has no name
that anybody could open.  Each counter is eight octets with one writer (the process that COUNTERS names; there is one of
each at a time, the old and the new supervisor of a reload apart, which therefore count in different halves), so that
nothing need be locked: a reader sees the value before or after, never a mixture.
"""

from __future__ import annotations

import mmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_OCTETS = 8

COUNTERS = (
    # name, who counts, what
    ("started", "keeper", "when the daemon started, seconds since 1970"),
    ("generation", "keeper", "how often it was started anew by SIGHUP, from 1"),
    ("broker_deaths", "keeper", "processes that ended unasked and were started again"),
    ("slots", "keeper", "sessions at a time at most"),
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
    ("log_failures", "keeper", "records that could not be written to the log"),
)
"""Counters, in the order in which they are told."""

_PLACES = {row[0]: place for place, row in enumerate(COUNTERS)}


class Page:
    """The counters.  ``page["sessions"]`` reads, ``add`` and ``set`` are for the one who counts."""

    __slots__ = ("_memory", "_words")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, max(mmap.PAGESIZE, len(COUNTERS) * _OCTETS))
        self._words = memoryview(self._memory).cast("Q")

    def __getitem__(self, name: str) -> int:
        return self._words[_PLACES[name]]

    def set(self, name: str, value: int) -> None:
        """Set a counter."""
        self._words[_PLACES[name]] = value

    def add(self, name: str, number: int = 1) -> None:
        """Count up, or down."""
        place = _PLACES[name]
        self._words[place] = max(0, self._words[place] + number)

    def items(self) -> Iterator[tuple[str, int]]:
        """Names and values, in their order."""
        for name, place in _PLACES.items():
            yield name, self._words[place]
