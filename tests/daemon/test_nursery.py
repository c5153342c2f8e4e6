"""The nursery: what its workers have less than it, and what becomes of them and of it."""

from __future__ import annotations

import os
import re
import resource
import signal

import pytest
from tests.support import abuse
from tests.support.daemon import Msmtpd, children, is_there, pause, title
from tests.support.processes import wait_for

from msmtp import sandbox
from msmtp.config.daemon_settings import Settings
from msmtp.daemon import worker
from msmtp.daemon.nursery import Roles
from msmtp.sandbox.roles import ROLES


def of(pid: int) -> dict[str, str]:
    """What the kernel says of a process."""
    with open(f"/proc/{pid}/status") as status:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in status)}


def limits(pid: int) -> dict[str, list[str]]:
    """Soft and hard limits by the kernel's names."""
    with open(f"/proc/{pid}/limits") as lines:
        return {line[:25].strip(): line[25:].split()[:2] for line in lines}


@pytest.fixture
def daemon():
    with Msmtpd(expected=["was ended by signal 9", "cannot make a process"]) as running:
        yield running


def nursery_of(daemon: Msmtpd) -> int:
    return daemon.process_of("nursery")


def test_workers_are_in_the_whole_of_their_role(daemon):
    nursery = nursery_of(daemon)
    with daemon.talk() as talk:
        talk.hear(220)
        filters = int(of(nursery)["Seccomp_filters"])
        for pid in children(nursery):
            wait_for(lambda: int(of(pid)["Seccomp_filters"]) == filters + 1)  # noqa: B023 - called at once
            said, limited = of(pid), limits(pid)
            assert (said["Seccomp"], said["NoNewPrivs"]) == ("2", "1")
            assert {int(said[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
            assert limited["Max processes"] == ["0", "0"]
            assert limited["Max core file size"] == ["0", "0"]
            assert limited["Max cpu time"] == ["60", "60"]
            assert limited["Max open files"] == [str(worker.DESCRIPTORS)] * 2
            assert limited["Max address space"] == [str(256 << 20)] * 2
            assert title(pid) == "msmtpd: worker"
            if os.geteuid() == 0:
                for kind in ("user", "net", "ipc", "uts", "cgroup"):
                    assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")


def test_a_worker_holds_nothing_of_the_nursery(daemon):
    if os.geteuid():
        pytest.skip("root alone may look at the descriptors of who is not dumpable")
    nursery = nursery_of(daemon)
    for pid in children(nursery):
        held = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
        assert {each.partition(":")[0] for each in held} == {"pipe", "socket"}
        assert len([each for each in held if each.startswith("socket")]) == 1
        with open(f"/proc/{pid}/maps") as maps:
            assert "memfd" not in maps.read()


def test_a_worker_that_is_killed_is_told_of_and_another_takes_its_place(daemon):
    nursery = nursery_of(daemon)
    victim, *_ = children(nursery)
    os.kill(victim, signal.SIGKILL)
    daemon.wait_logged("was ended by signal 9")
    with daemon.talk() as talk:
        talk.hear(220)
    wait_for(lambda: len(set(children(nursery)) - {victim}) > 1)


def test_without_the_nursery_sessions_end_and_new_ones_come():
    with Msmtpd(expected=["was ended by signal 9", "cannot make a process"]) as daemon:
        nursery = nursery_of(daemon)
        with daemon.talk() as talk:
            talk.hear(220)
            os.kill(nursery, signal.SIGKILL)
            assert talk.line().startswith(b"421")
        wait_for(lambda: not is_there(nursery))
        daemon.wait_logged("process nursery was ended by signal 9")
        wait_for(lambda: daemon.processes().get("nursery"))
        with daemon.talk() as talk:
            talk.greet()
            talk.mail()


def test_what_is_taken_within_a_role_is_had_from_it():
    with pytest.raises(ValueError, match="does not have all"):
        sandbox.prepare("worker", limits={"descriptors": 16}, within="supervisor")
    inner = {name for name, _ in ROLES["worker"].limits}
    prepared = sandbox.prepare("worker", limits={"descriptors": 16, "file": 1 << 20}, within="nursery")
    taken = {name for name, *_ in prepared.bounds}
    prepared.close()
    outer = dict(ROLES["nursery"].limits)
    assert {name for name in inner - taken if outer.get(name) != dict(ROLES["worker"].limits)[name]} == set()


def test_it_is_not_entered_at_once_without_its_parent():
    roles = Roles(Settings(), 64)
    try:
        assert not roles.worker.enter_at_once()  # nobody adopted it
    finally:
        roles.nursery.close()
        roles.worker.close()


def waiting(daemon: Msmtpd) -> set[int]:
    """Workers that wait, all of them as there is no session."""
    wait_for(lambda: daemon.status()["waiting_workers"] == Settings().workers_ahead)
    return set(daemon.processes()["worker"])


def test_a_worker_that_is_killed_while_it_waits_is_told_of_as_what_it_was(daemon):
    victim, *_ = waiting(daemon)
    os.kill(victim, signal.SIGKILL)
    daemon.wait_logged("a worker without a session was ended by signal 9")
    daemon.wait_logged("cannot make a process: a worker ended before its work; next attempt in 1 s")
    assert daemon.status()["worker_deaths"] == 1


def test_workers_that_are_told_to_end_while_they_wait_are_no_fault_and_others_take_their_places():
    with Msmtpd() as daemon:  # which looks for words of a fault in its log when it ends
        before = waiting(daemon)
        for pid in before:
            os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not any(map(is_there, before)))
        with daemon.talk() as talk:
            talk.hear()  # 421 in the pause, or 220 behind it
        assert not waiting(daemon) & before
        daemon.log_file.write_text(
            re.sub(r".*refused connection.*(?:no process for it|its process has ended)\n", "", daemon.log())
        )


def test_at_a_stop_nothing_is_said_of_workers_that_waited():
    """Whoever ends a daemon by a signal to each of its processes may reach the workers first."""
    for _ in range(5):
        with Msmtpd() as daemon:
            for pid in (*waiting(daemon), daemon.keeper):
                os.kill(pid, signal.SIGTERM)
            assert daemon.process
            daemon.process.wait(30)
            daemon.stop()
            assert "stopped" in daemon.log()


@pytest.mark.root
def test_who_waits_for_a_worker_is_told_at_once_that_there_is_none_to_be_had():
    """The client waits in the backlog while the nursery is asked; it must not have to wait for the next attempt."""
    with Msmtpd(expected=["cannot make a process", "refused connection"]) as daemon:
        nursery = nursery_of(daemon)
        ahead = len(waiting(daemon))
        os.kill(nursery, signal.SIGSTOP)
        served = [daemon.talk() for _ in range(ahead)]
        for talk in served:
            talk.hear(220)
        with daemon.talk() as talk, abuse.limited(nursery, resource.RLIMIT_NPROC, 0):
            pause(0.3)  # longer than all else waits for a worker: the supervisor has left the client where it is
            os.kill(nursery, signal.SIGCONT)
            talk.connection.settimeout(0.8)  # less than the pause
            talk.hear("421 4.3.1")
        for talk in served:
            talk.connection.close()
        waiting(daemon)
