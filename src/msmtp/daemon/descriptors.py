"""Descriptors of a process: what it holds is what it may do, so each says after its fork what it keeps."""

from __future__ import annotations

from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

F_SEAL_FUTURE_WRITE = 0x10  # linux/fcntl.h; Python 3.11 has no name for it


def keep_only(kept: Iterable[int]) -> None:
    """Close all descriptors but these and standard input, output and error."""
    start = 3
    for descriptor in sorted({*kept}):
        if descriptor >= start:
            os.closerange(start, descriptor)
            start = descriptor + 1
    os.closerange(start, max(start, os.sysconf("SC_OPEN_MAX")))  # by close_range(2), or else one by one


def point_standard_ones_at_nothing() -> None:
    """Have 0, 1 and 2 lead to /dev/null, whatever they were."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    if nothing > 2:  # noqa: PLR2004 - the standard ones
        os.close(nothing)


def open_ones() -> set[int]:
    """Numbers of the descriptors that are open, for reports and tests."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
        except OSError:  # the one that the folder was read by
            continue
        found.add(int(name))
    return found
