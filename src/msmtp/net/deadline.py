"""One end of time for a whole operation, however many system calls it takes.

A signal that interrupts a wait, a server that sends one byte at a time, or a fifth address to try do not prolong
anything: every wait of an operation asks the same deadline how long it may still be.
"""

from __future__ import annotations

from time import monotonic

_LONGEST_MS = 2**31 - 1  # poll(2) takes an int


class Deadline:
    """``seconds`` from now; None or 0: never (the ``timeout off`` of the configuration)."""

    __slots__ = ("_end", "_left")

    def __init__(self, seconds: float | None) -> None:
        self._left = 0.0
        self._end = monotonic() + seconds if seconds else None

    def seconds(self) -> float | None:
        """Seconds until the end, 0.0 once it has passed, None: no end."""
        return None if self._end is None else max(0.0, self._end - monotonic())

    def milliseconds(self) -> int | None:
        """The same as poll(2) wants it, rounded up so that nothing wakes too early."""
        seconds = self.seconds()
        return None if seconds is None else min(_LONGEST_MS, -int(-seconds * 1000 // 1))

    def pause(self) -> None:
        """Stop the clock: what the caller does until ``resume()`` is not the operation's time."""
        self._left = self.seconds() or 0.0

    def resume(self) -> None:
        """Go on with what was left at ``pause()``."""
        if self._end is not None:
            self._end = monotonic() + self._left
