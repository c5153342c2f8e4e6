"""Throttle: how long an answer to an attempt to authenticate is held back, and the memory behind it.

Nobody is ever locked out; who guesses has to wait:

    a failure of anybody's in the last minute           SECOND
    a failure of one's own                              until PACE after it was answered, at most OWN_MOST
    more failures than DAY_ROOM, refilled over a day    OWN_MOST

PACE is what lets ten guesses a minute through; the broker takes the attempts of one source that has failed one after
the other, so that many sessions guess no faster than one.  OWN_MOST and SECOND together are the longest wait.

What is remembered lies in a page of shared memory: the keeper makes it, the auth broker alone writes, whoever has the
descriptor may map it to read.  It outlives a broker that ends, and the daemon where a service manager keeps the
descriptor.  ENTRIES sources are remembered; a further one takes the place of the one that failed longest ago.

Layout: words of eight octets in the machine's order; the entries from _FIRST on.  The count of changes is odd while one
is under way, so that a reader (or an heir) knows a page that was left half-written.  Times are nanoseconds of
CLOCK_MONOTONIC, given as arguments: everything here is arithmetic.
"""

from __future__ import annotations

import mmap
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SHRINK, fcntl

from msmtp.daemon.descriptors import F_SEAL_FUTURE_WRITE
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

NANOSECONDS = 1_000_000_000
MEMORABLE: Final = 60 * NANOSECONDS
"""How long a failure counts for everybody."""
SECOND: Final = NANOSECONDS
PACE: Final = 6 * NANOSECONDS
OWN_MOST: Final = 5 * NANOSECONDS
DAY_ROOM: Final = 50
DAY_PACE: Final = 24 * 3600 * NANOSECONDS // DAY_ROOM

ENTRIES: Final = 64
SIZE: Final = 4096

_MAGIC, _VERSION = int.from_bytes(b"msmtpd A", "big"), 1
_FIELDS = 5
_KEY_HIGH, _KEY_LOW, _AGAIN, _DAY, _FAILED = range(_FIELDS)
"""Of an entry: half of the key's digest each, when the next attempt need not wait, when the day's room would be whole
again, when it last failed (0: the entry is free)."""
_HEAD = ("magic", "version", "changes", "last")
_CHANGES, _LAST = _HEAD.index("changes"), _HEAD.index("last")
_FIRST = 8
_WORDS = _FIRST + ENTRIES * _FIELDS

_LATEST = 2 * DAY_ROOM * DAY_PACE  # nothing that was written lies further ahead than this


_MAPPED: list[mmap.mmap] = []
"""Maps that live as long as the process: Python closes a copy of the descriptor with a map, by a number that a child
which closed what is not its own may long use for something else."""


class Throttle:
    """The page.  ``words``: as the layout says; ``descriptor``: for those who keep it, or map it to read."""

    __slots__ = ("_shared", "_words", "descriptor")

    def __init__(self, words: memoryview[int], shared: mmap.mmap | None = None, descriptor: int = -1) -> None:
        self._words = words
        self._shared = shared
        self.descriptor = descriptor

    def close(self) -> None:
        """Unmap it, close the descriptor; not for a child that has closed what is not its own."""
        self._words.release()
        if self._shared is not None:
            _MAPPED.remove(self._shared)
            self._shared.close()
        if self.descriptor >= 0:
            os.close(self.descriptor)

    def keep_from_children(self) -> None:
        """Have no child of this process map it."""
        if self._shared is not None:
            self._shared.madvise(mmap.MADV_DONTFORK)

    def delay(self, key: bytes, now: int) -> float:
        """Seconds for which the answer to an attempt that comes at ``now`` is to be held back."""
        words = self._words
        base = now
        if words[_LAST] and now - words[_LAST] < MEMORABLE:
            base += SECOND
        at = self._find(key)
        if not at:
            return (base - now) / NANOSECONDS
        own = words[at + _AGAIN]
        if words[at + _DAY] > now + DAY_ROOM * DAY_PACE:
            own = base + OWN_MOST
        return (max(base, min(own, base + OWN_MOST)) - now) / NANOSECONDS

    def has_failed(self, key: bytes) -> bool:
        """Whether a failure of this source is remembered."""
        return self._find(key) != 0

    def failed(self, key: bytes, now: int) -> None:
        """Remember a failure that is answered at ``now``."""
        words = self._words
        at = self._find(key) or self._oldest()
        high, low = _halves(key)
        known = (words[at + _KEY_HIGH], words[at + _KEY_LOW]) == (high, low) and words[at + _FAILED]
        day = words[at + _DAY] if known else 0
        words[_CHANGES] |= 1
        words[at + _KEY_HIGH] = high
        words[at + _KEY_LOW] = low
        words[at + _AGAIN] = now + PACE
        words[at + _DAY] = min(max(day, now) + DAY_PACE, now + (DAY_ROOM + 1) * DAY_PACE)
        words[at + _FAILED] = words[_LAST] = now
        words[_CHANGES] += 1

    def remembered(self) -> int:
        """How many sources have failures that are remembered."""
        return sum([self._words[at + _FAILED] != 0 for at in _entries()])

    def _find(self, key: bytes) -> int:
        """Where the entry of a source is, 0 if there is none."""
        words = self._words
        high, low = _halves(key)
        for at in _entries():
            if words[at] == high and words[at + _KEY_LOW] == low and words[at + _FAILED]:
                return at
        return 0

    def _oldest(self) -> int:
        return min(_entries(), key=lambda at: self._words[at + _FAILED])


def _entries() -> range:
    return range(_FIRST, _WORDS, _FIELDS)


def _halves(key: bytes) -> tuple[int, int]:
    from msmtp.sasl.digests import digest  # OpenSSL, of which only auth, who has loaded it, has need

    both = digest("sha256", key)
    return int.from_bytes(both[:8], "big"), int.from_bytes(both[8:16], "big")


def blank() -> list[int]:
    """The words of a page in which nothing is remembered."""
    return [_MAGIC, _VERSION, *[0] * (_WORDS - 2)]


def make(words: list[int] | None = None) -> Throttle:
    """A page of its own, which nobody else may map to write.  Raises OSError if the system has no memory for it."""
    descriptor = os.memfd_create("msmtpd-throttle", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, SIZE)
    shared = mmap.mmap(descriptor, SIZE)
    _MAPPED.append(shared)
    view = memoryview(shared).cast("Q")
    for place, word in enumerate(words or blank()):
        view[place] = word
    fcntl(descriptor, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE)
    return Throttle(view, shared, descriptor)


def adopt(descriptor: int, now: int) -> Throttle:
    """A new page with what an old one remembers, a blank one if that makes no sense; the descriptor is closed.

    The old page is not used on: whoever kept it may still have it mapped.
    """
    words = _read(descriptor)
    return make(words if words and plausible(words, now) else None)


def reading(descriptor: int) -> Throttle:
    """A page of somebody else's, to look at only.  Raises OSError or ValueError for what cannot be mapped."""
    shared = mmap.mmap(descriptor, SIZE, prot=mmap.PROT_READ)
    _MAPPED.append(shared)
    return Throttle(memoryview(shared).cast("Q"), shared)


def _read(descriptor: int) -> list[int]:
    """The words of a page, [] if it is none."""
    try:
        octets = os.pread(descriptor, SIZE + 1, 0)
    except OSError:
        return []
    finally:
        os.close(descriptor)
    return list(memoryview(octets).cast("Q")[:_WORDS]) if len(octets) == SIZE else []


def plausible(words: list[int], now: int) -> bool:
    """Whether a page can have been written by this version, in whole, since this machine was started."""
    if words[:2] != [_MAGIC, _VERSION] or words[_CHANGES] % 2 or words[_LAST] > now + _LATEST:
        return False
    times = [words[at + field] for at in _entries() for field in (_AGAIN, _DAY, _FAILED)]
    return max(times) <= now + _LATEST
