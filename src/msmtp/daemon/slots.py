"""Slots: a counting semaphore of the sessions at a time, for all processes that give sessions to workers.

A slot is an octet of a file in memory, and is taken by a lock on it.  The supervisor takes one before it gives a
connection to a worker and gives it back when that worker has been waited for; nobody else does either.  The keeper
makes the file: the supervisor of a new generation takes slots of the same one as the old one, whose sessions still run,
even if it may take more or fewer.  A lock belongs to a process (fcntl(2), F_SETLK): what a supervisor held is free when
it ends, however it ends, and no child of it can give it back, or hold it.

Where inetd starts a process for each connection, nobody counts; there, a file in the daemon's folder has an octet for
each slot (:func:`take_by_lock`).
"""

from __future__ import annotations

import fcntl
import struct

from msmtp.failures import SystemFailure
from msmtp.system import os


class Slots:
    """``number`` slots, seen by one process.

    ``descriptor``: the file, to be kept open by whom it is for.  Raises SystemFailure if the system has none.
    """

    __slots__ = ("_left", "_taken", "descriptor", "number")

    def __init__(self, number: int, descriptor: int = -1) -> None:
        """``descriptor``: of slots made before, to be shared."""
        self.number = number
        self.descriptor = _memory() if descriptor < 0 else descriptor
        self._left = list(range(number - 1, -1, -1))  # taken from the end, the first octets first
        self._taken: list[int] = []

    def take(self) -> bool:
        """Take a slot if there is one; say whether there was."""
        found = self._lock_one()
        if found:
            self._taken.append(self._left.pop())
        return found

    def give_back(self) -> None:
        """Give a slot back.  ValueError if none was taken here: that is an error of the program."""
        if not self._taken:
            raise ValueError("a slot was given back that was not taken")
        octet = self._taken.pop()
        self._unlock(octet)
        self._left.append(octet)

    @property
    def free(self) -> bool:
        """Whether there is one just now."""
        found = self._lock_one()
        if found:
            self._unlock(self._left[-1])
        return found

    def _lock_one(self) -> bool:
        """Lock the last octet of those that are left, once it is one that no other process has."""
        left = self._left
        for _ in range(len(left)):
            try:
                fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, left[-1])
            except OSError:  # somebody has it, or (ENOLCK) there is no room for a lock
                left.insert(0, left.pop())
            else:
                return True
        return False

    def _unlock(self, octet: int) -> None:
        fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, octet)


def _memory() -> int:
    try:
        return os.memfd_create("msmtpd slots", os.MFD_CLOEXEC)
    except OSError as error:
        raise SystemFailure(f"cannot make a file in memory: {error.strerror}") from None


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
