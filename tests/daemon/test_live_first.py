"""msmtpd as the first process of a container: it inherits the children of others that end, and buries them."""

from __future__ import annotations

import contextlib
import os
import signal
import smtplib
from pathlib import Path

import pytest
from tests.support.daemon import launcher, new_folder
from tests.support.processes import Daemon, free_port, listens, wait_for

pytestmark = pytest.mark.root  # a namespace for processes

ALONE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL")


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def states(pid: int) -> dict[int, str]:
    """The state of each process that comes from one."""
    found = {}
    for child in children(pid):
        with contextlib.suppress(OSError):
            found[child] = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
            found |= states(child)
    return found


@pytest.fixture
def folder():
    made = new_folder()
    yield made
    for path in made.iterdir():
        path.unlink()
    made.rmdir()


def test_no_zombie_stays_when_a_parent_ends_before_its_children(folder):
    port = free_port()
    words = ["--user=nobody", f"--port={port}", "--command=true", "--status-socket=off", "--log=stdout"]
    log = folder / "log"
    with Daemon([*ALONE, launcher(folder), *words], ready=listens(port), log=log, kill_child=True) as daemon:
        (keeper,) = children(daemon.pid)
        wait_for(lambda: len(states(keeper)) > 4, words="a nursery with its workers")
        wait_for(
            lambda: "info: ready" in log.read_text(), words="the end of the start, before which none is made again"
        )
        (supervisor,) = [pid for pid in children(keeper) if children(pid)]
        before = states(supervisor)
        assert len(before) > 1
        os.kill(supervisor, signal.SIGKILL)
        wait_for(lambda: not {*before, supervisor} & set(states(keeper)), words="a burial of all that ended")
        wait_for(lambda: "Z" not in states(keeper).values() and len(states(keeper)) > 4, words="a new supervisor")
        with smtplib.SMTP("127.0.0.1", port) as client:
            assert client.sendmail("a@b.example", ["c@d.example"], "x") == {}
    assert "process supervisor was ended by signal 9, starts again" in log.read_text()
