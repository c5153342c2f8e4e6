"""One end of time for a whole operation."""

from __future__ import annotations

import time

import pytest

from msmtp.net.deadline import Deadline


@pytest.mark.parametrize("off", [None, 0, 0.0])
def test_no_timeout_means_no_end(off: float | None) -> None:
    deadline = Deadline(off)
    deadline.pause()
    deadline.resume()
    assert deadline.seconds() is None
    assert deadline.milliseconds() is None


def test_time_runs_out_and_stays_out() -> None:
    deadline = Deadline(0.02)
    assert 0 < deadline.seconds() <= 0.02
    time.sleep(0.025)
    assert deadline.seconds() == 0
    assert deadline.milliseconds() == 0


def test_milliseconds_are_rounded_up_so_that_a_wait_is_never_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("msmtp.net.deadline.monotonic", lambda: now[0])
    deadline = Deadline(2)
    assert deadline.milliseconds() == 2000
    now[0] = 101.9991
    assert deadline.milliseconds() == 1


def test_a_century_fits_into_poll() -> None:
    assert Deadline(100 * 365 * 86400).milliseconds() == 2**31 - 1


def test_the_clock_stands_still_while_the_caller_does_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("msmtp.net.deadline.monotonic", lambda: now[0])
    deadline = Deadline(10)
    now[0] += 4
    deadline.pause()
    now[0] += 1000
    deadline.resume()
    assert deadline.seconds() == 6
    now[0] += 7
    deadline.pause()
    deadline.resume()
    assert deadline.seconds() == 0
