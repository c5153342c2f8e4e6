"""SIGINT, SIGTERM, SIGHUP: the mail is not sent, and that is said and logged as any other failure.

The handler raises in the main thread, wherever it stands; system calls that wait are left by that (PEP 475).  Once the
server has taken the mail nothing can be undone, and the signals are ignored for the rest of the run.
"""

from __future__ import annotations

import _signal  # the signal module costs 4 ms for its enumerations

from msmtp.failures import InterruptFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

ENDING = {_signal.SIGINT: "SIGINT", _signal.SIGTERM: "SIGTERM", _signal.SIGHUP: "SIGHUP"}


def catch() -> None:
    """From now on each of them ends the work with InterruptFailure, unless it was ignored when we were started."""
    for number in ENDING:
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, interrupt)


def ignore() -> None:
    """From now on none of them has an effect."""
    for number in ENDING:
        _signal.signal(number, _signal.SIG_IGN)


def interrupt(number: int, _frame: FrameType | None) -> None:
    """Leave whatever is going on."""
    raise InterruptFailure(f"interrupted by {ENDING.get(number, number)}")
