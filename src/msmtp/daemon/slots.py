"""Slots: how many sessions there may be at a time, counted by a semaphore that all processes share.

The supervisor takes a slot before it gives a connection to a worker and gives it back when that worker has been waited
for; nobody else does either.  The semaphore is made by the keeper and goes with the last process that maps it: a
supervisor of a new generation counts in the same one as the old one, whose sessions still run.  It is bounded: to give
back what was not taken is an error of the program, and is raised as one.

Where inetd starts a process for each connection, nobody counts; there, a file in the daemon's folder has an octet for
each slot (:func:`take_by_lock`).

The class below multiprocessing.BoundedSemaphore is taken as it is: the rest of that package is for starting processes
by other means, and would double the memory of those that fork here.
"""

from __future__ import annotations

import fcntl
import struct

from msmtp.failures import SystemFailure
from msmtp.system import os

_SEMAPHORE = 1  # the kind, as multiprocessing.synchronize names it


class Slots:
    """``number`` slots.  Raises SystemFailure if the system has no semaphores (they live in /dev/shm)."""

    __slots__ = ("_semaphore", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        try:
            self._semaphore = _semaphore(number)
        except OSError as error:
            raise SystemFailure(
                f"cannot make a semaphore: {error.strerror}", hint="a writable /dev/shm is needed (a tmpfs)"
            ) from None

    def take(self) -> bool:
        """Take a slot if there is one; say whether there was."""
        return bool(self._semaphore.acquire(block=False))

    def give_back(self) -> None:
        """Give a slot back.  ValueError if none was taken."""
        self._semaphore.release()

    @property
    def free(self) -> int:
        """How many there are just now."""
        return int(self._semaphore._get_value())  # noqa: SLF001 - multiprocessing's own get_value() is this


def _semaphore(number: int):  # type: ignore[no-untyped-def]  # noqa: ANN202 - one of two classes of the same methods
    try:
        from _multiprocessing import SemLock  # type: ignore[import-not-found]  # typeshed has no stub of it
    except ImportError:  # another Python may name it otherwise
        from multiprocessing import BoundedSemaphore

        return BoundedSemaphore(number)
    name = f"/msmtpd-{os.getpid()}-{os.urandom(8).hex()}"
    return SemLock(_SEMAPHORE, number, number, name, True)  # its name is unlinked at once


def take_by_lock(path: str, number: int) -> int:
    """Take one of ``number`` slots that processes share who know nothing of each other: a lock on one octet of a file.

    Give the descriptor that holds it, to be kept open as long as the session lasts, or -1 if all are taken.  Raises
    OSError where there is no such file and none can be made.  The lock belongs to the open file (fcntl(2),
    F_OFD_SETLK): a child that keeps the descriptor keeps the slot.
    """
    held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    for octet in range(number):
        try:
            fcntl.fcntl(held, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, octet, 1, 0))
        except BlockingIOError:
            continue
        return held
    os.close(held)
    return -1
