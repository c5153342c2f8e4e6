"""The keeper: what it does not lose, whatever comes at the wrong time, and what it does without."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.daemon import Msmtpd
from tests.support.processes import wait_for

from msmtp.daemon import keeper
from msmtp.daemon.keeper import Keeper

ROOT = pytest.mark.root


class Quiet:
    """A journal that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def write(self, _priority: int, _event: str, text: str, **_fields: object) -> None:
        self.said.append(text)


class Recorded:
    """A loop that only notes for when it is asked."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def after(self, seconds: float, _call: object) -> None:
        self.pauses.append(seconds)


def reload(daemon: Msmtpd, words: str = "in force") -> None:
    """SIGHUP, and its outcome in the log."""
    before = daemon.log().count(words)
    os.kill(daemon.keeper, signal.SIGHUP)
    wait_for(lambda: daemon.log().count(words) > before, words=f"another {words!r}")


def test_the_pause_of_a_child_that_fails_for_days_stays_the_longest():
    loop, journal = Recorded(), Quiet()
    alone: Any = SimpleNamespace(loop=loop, journal=journal)
    for failures in (1, 2, 11, 12, 1_100, 1_000_000):
        Keeper.again_later(alone, SimpleNamespace(), "delivery", failures, 1)  # type: ignore[arg-type]  # it is passed on
    first, last = keeper.PAUSES
    assert loop.pauses == [first, 2 * first, 1024 * first, last, last, last]
    assert first * 2**keeper.DOUBLINGS >= last


# -- slots


def test_slots_of_a_supervisor_that_is_killed_while_its_generation_leaves_are_free_again():
    options = ("--max-sessions=4", "--max-sessions-per-source=4")
    with Msmtpd(*options, expected=["was ended by signal 9"]) as daemon:
        old = daemon.process_of("supervisor")
        held = [daemon.talk() for _ in range(3)]
        for talk in held:
            talk.hear(220)
        reload(daemon)
        with daemon.talk() as talk:
            talk.hear(220)
            assert daemon.status()["active"] == 4
            with daemon.talk() as one_too_many:
                one_too_many.hear("421")
        wait_for(lambda: daemon.status()["active"] == 3)
        os.kill(old, signal.SIGKILL)
        for talk in held:
            talk.hear("421")
            talk.connection.close()
        wait_for(lambda: not daemon.status()["active"])
        held = [daemon.talk() for _ in range(4)]
        for talk in held:
            talk.hear(220)
            talk.connection.close()
        daemon.expected = (*daemon.expected, "refused connection")


WITHOUT_SHARED_MEMORY = (
    *("unshare", "--mount", "sh", "-c"),
    'mount -t tmpfs -o size=4k,nr_inodes=3,mode=1777 none /dev/shm && : >/dev/shm/1 && : >/dev/shm/2 && exec "$@"',
    "sh",
)


@ROOT
def test_fault_83_nothing_is_needed_of_a_folder_that_anybody_may_fill(tmp_path):
    options = tmp_path / "options"
    options.write_text("max-sessions 7\n")
    tmp_path.chmod(0o755)
    expected = ["was ended by signal 9"]
    with Msmtpd(f"--config={options}", wrap=WITHOUT_SHARED_MEMORY, expected=expected) as daemon:
        options.write_text("max-sessions 9\n")
        reload(daemon)
        wait_for(lambda: daemon.status()["slots"] == 9)
        wait_for(lambda: len(daemon.processes()["supervisor"]) == 1)
        os.kill(daemon.process_of("supervisor"), signal.SIGKILL)
        daemon.wait_logged("process supervisor was ended by signal 9")
        with daemon.talk() as talk:
            talk.greet()
            talk.mail()
