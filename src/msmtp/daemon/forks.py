"""Forks: a child that has a signal of its own, or none, but never its parent's.

Between fork(2) and its first call, a child has its parent's handlers, and the pipe that they leave their notes in: what
was sent to the child would be told to the parent, and the child would never hear of it.  Where the parent ignores a
signal, it would be lost.  So signals are blocked across a fork; what comes for the child waits until it has said how it
takes signals.
"""

from __future__ import annotations

import _signal  # signal puts an enumeration around everything, which takes half a millisecond of a child's six

from msmtp.system import os

_ALL = frozenset(_signal.valid_signals())


def fork() -> int:
    """Fork, as os.fork(); in the child signals wait for :func:`heed`.  Raises OSError."""
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, _ALL)
    pid = -1
    try:
        pid = os.fork()
        return pid
    finally:
        if pid:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, before)


def heed() -> None:
    """Let signals come, what waited first: it is settled what each of them does."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
