"""SIGINT, SIGTERM, SIGHUP: the mail is not sent, and that is said and logged as any other failure.

The handler raises in the main thread, wherever it stands; system calls that wait are left by that (PEP 475).  It does
so once: what is done about the first signal, the log's line above all, no second one leaves undone.  Once the server
has taken the mail nothing can be undone, and the signals have no effect for the rest of the run.  They are not set to
be ignored for that: of one that came a moment before, Python would complain on standard error.

SIGCHLD does what it does by default, whatever our caller made of it: where it is ignored, nobody hears how a child
ended.
"""

from __future__ import annotations

import _signal  # the signal module costs 4 ms for its enumerations

from msmtp.failures import InterruptFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

ENDING = {_signal.SIGINT: "SIGINT", _signal.SIGTERM: "SIGTERM", _signal.SIGHUP: "SIGHUP"}


class _State:
    """``over``: no signal has an effect any more.  ``came``: the one that is not heeded yet, 0 for none.

    ``child``: the process that a signal is passed on to, 0 for none just now; None if a signal ends our own work.
    """

    __slots__ = ("came", "child", "over")

    def __init__(self) -> None:
        self.over = False
        self.came = 0
        self.child: int | None = None


_STATE = _State()


def catch() -> None:
    """From now on the first of them ends the work with InterruptFailure, unless it was ignored when we were started."""
    _STATE.__init__()  # type: ignore[misc]  # warm and in tests we are not the first to run in this process
    if _signal.getsignal(_signal.SIGCHLD) == _signal.SIG_IGN:
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    for number in ENDING:
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, interrupt)


def ignore() -> None:
    """From now on none of them has an effect."""
    _STATE.over = True


def pass_on(child: int) -> None:
    """From now on the first of them is the child's, 0 for one that is about to be forked; see :func:`heed`."""
    _STATE.child = child
    if child and _STATE.came:
        os.kill(child, _STATE.came)


def heed(hint: str = "") -> None:
    """From now on they are ours again.  Raises InterruptFailure, with this hint, if one came in the meantime."""
    _STATE.child = None
    if _STATE.came:
        raise _failure(_STATE.came, hint)


def interrupt(number: int, _frame: FrameType | None) -> None:
    """Leave whatever is going on, if this is the first."""
    if _STATE.over:
        return
    _STATE.over = True
    if _STATE.child is None:
        raise _failure(number)
    _STATE.came = number
    if _STATE.child:
        os.kill(_STATE.child, number)


def _failure(number: int, hint: str = "") -> InterruptFailure:
    return InterruptFailure(f"interrupted by {ENDING.get(number, number)}", hint=hint)
