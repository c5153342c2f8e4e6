"""SIGKILL of each process at each stage of a mail: nothing is lost after a 250, doubled without need, or truncated."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from tests.support.daemon import Msmtpd
from tests.support.processes import wait_for
from tests.support.stages import KILLED, STAGES, Killer

AUTH = "--auth=user,echo secret"
THOROUGH = os.environ.get("CI") == "true"
ROUNDS = 100 if THOROUGH else 8
"""How many mails a loop of kills has."""

SOME_STAGES = STAGES if THOROUGH else ("start", "data", "running")
"""Where a stage more tells little more."""


def running(**how):
    return Msmtpd(AUTH, expected=KILLED, **how)


@pytest.mark.parametrize("stage", STAGES)
def test_fault_62_63_a_worker(stage):
    with running() as daemon:
        daemon.order(before="sleep 0.2")
        killer = Killer(daemon)
        account = killer.mail(stage, "worker")
        killer.check()
        if stage == "after":
            assert account.answers == ["250"]
        else:
            assert account.answers == ["", "250"]  # closed, and no reply that means anything
        assert len(daemon.mails()) in {"running": (2,), "end": (1, 2)}.get(stage, (1,))


@pytest.mark.parametrize("stage", SOME_STAGES)
def test_fault_64_auth(stage):
    with running() as daemon:
        killer = Killer(daemon)
        account = killer.mail(stage, "auth")
        killer.check()
        if stage in ("start", "auth"):
            assert account.answers[0] == "454"
        else:
            assert account.answers == ["250"]  # its work was done
        daemon.mails(1)


@pytest.mark.parametrize("stage", STAGES)
def test_fault_65_66_delivery(stage):
    with running() as daemon:
        daemon.order(before="sleep 0.2")
        killer = Killer(daemon)
        account = killer.mail(stage, "delivery")
        killer.check()
        assert account.answers[-1] == "250"
        assert set(account.answers[:-1]) <= {"451", "421", "454", ""}
        if stage in ("354", "data", "running"):
            assert account.answers[0] == "451"


def test_fault_67_the_command():
    with running() as daemon:
        once = daemon.folder / "mails" / ".once"
        daemon.order(before=f"[ -e {once} ] || {{ touch {once}; sleep 5; }}")
        killer = Killer(daemon)
        account = killer.mail("running", "command")
        killer.check()
        assert account.answers == ["451", "250"]
        daemon.mails(1)


@pytest.mark.parametrize("victim", ["supervisor", "nursery"])
@pytest.mark.parametrize("stage", SOME_STAGES)
def test_fault_68_the_supervisor_and_the_process_that_forks_for_it(stage, victim):
    with running() as daemon:
        daemon.order(before="sleep 0.2")
        killer = Killer(daemon)
        account = killer.mail(stage, victim)
        killer.check()
        if stage in ("354", "data", "end", "running", "after"):
            assert account.answers == ["250"]  # a worker with a mail under way finishes it
        else:  # who is quick enough may begin a mail before the worker is told
            assert account.answers[0] in ("421", "", "250")


def started_again(daemon):
    """Start a daemon whose first process was killed: as a service manager does, as often as it takes."""
    old = daemon.process
    old.wait(20)

    def serves():
        if daemon.process is old or daemon.process.poll() is not None:
            daemon.start()
        time.sleep(0.2)
        with daemon.talk() as client:
            client.connection.settimeout(2)
            return client.hear()[:3] == "220" and daemon.process.poll() is None

    def tries():
        try:
            return serves()
        except (OSError, AssertionError):
            return False

    wait_for(tries, 20)


class Restarter(Killer):
    """Starts the daemon again, once, as soon as the first process has ended."""

    first = None

    def mail(self, *what):
        self.first = self.daemon.process
        return super().mail(*what)

    def _attempt(self, account, at):
        if account.answers:
            self.restart()
        super()._attempt(account, at)

    def restart(self):
        if self.daemon.process is self.first:
            started_again(self.daemon)


@pytest.mark.parametrize("victim", ["keeper", "all"])
@pytest.mark.parametrize("stage", SOME_STAGES)
def test_fault_69_everything_at_once_and_a_new_start(stage, victim):
    with running() as daemon:
        daemon.order(before="sleep 0.2")
        killer = Restarter(daemon)
        killer.mail(stage, victim)
        killer.restart()
        daemon.settled()
        killer.check()


@pytest.mark.parametrize("stage", SOME_STAGES)
def test_fault_69_a_stop_finishes_what_is_under_way(stage):
    with running() as daemon:
        daemon.order(before="sleep 0.2")
        killer = Restarter(daemon)
        account = killer.mail(stage, "keeper", signal.SIGTERM)
        if stage in ("354", "data", "end", "running", "after"):
            assert account.answers == ["250"]
        else:  # who is quick enough may begin a mail before the worker is told
            assert account.answers[0] in ("421", "250")
        killer.restart()
        killer.check()


def test_fault_70_kills_in_a_loop_leave_nothing_behind():
    """Anybody, at any stage; then sessions, slots, zombies and descriptors are as they were: see the support."""
    chance = random.Random(70)
    with running() as daemon:
        killer = Killer(daemon)
        victims = ["worker"] * 6 + ["command", "auth", "delivery", "nursery", "supervisor"]
        worst = {"auth": 3, "delivery": 3, "nursery": 2, "supervisor": 3}  # each death makes the next pause longer
        for _ in range(ROUNDS):
            victim = chance.choice(victims)
            if victim in worst:
                worst[victim] -= 1
                if worst[victim] < 0:
                    victim = "worker"
            killer.mail(chance.choice(STAGES), victim)
        killer.check()


def test_fault_70_zombies_are_waited_for_whosever_children_they_were():
    with Msmtpd() as daemon:
        daemon.order(before="(sleep 0.05 &) ; (setsid sh -c 'sleep 0.02 & sleep 0.05' &)")
        with daemon.talk() as client:
            client.greet()
            for _ in range(20):
                client.mail()
        daemon.settled()


# What does something by default, or is acted upon, and must change nothing there.
SHRUGGED_OFF = {
    "keeper": (signal.SIGCHLD, signal.SIGCHLD),
    "supervisor": (signal.SIGHUP, signal.SIGCHLD),
    "delivery": (signal.SIGHUP, signal.SIGINT, signal.SIGCHLD),
    "nursery": (signal.SIGHUP, signal.SIGINT, signal.SIGTERM),
}


def test_fault_71_storms_of_signals_change_nothing():
    with Msmtpd(expected=KILLED) as daemon:
        pids = {pid: SHRUGGED_OFF[name] for name in SHRUGGED_OFF for pid in daemon.processes().get(name, [])}
        ended = time.monotonic() + 3
        sent = 0
        with daemon.talk() as client:
            client.greet()
            while time.monotonic() < ended:
                for pid, numbers in pids.items():
                    for number in numbers * 10:
                        os.kill(pid, number)
                        sent += 1
                with daemon.talk() as other:
                    other.greet()
                    other.mail()
                client.mail()
        assert sent > 1_000
        daemon.settled()
        assert [pid for name in SHRUGGED_OFF for pid in daemon.processes().get(name, [])] == list(pids)


def test_fault_71_84_a_storm_of_reloads_refuses_nobody_and_loses_nothing(tmp_path):
    """Nor does it forget the last one: what the options say then is in force in the end."""
    options = tmp_path / "options"
    tmp_path.chmod(0o755)
    options.write_text("")
    with Msmtpd(f"--config={options}", expected=("refused connection from a client: stopping",)) as daemon:
        ended = time.monotonic() + 4
        mails = 0
        while time.monotonic() < ended:
            for _ in range(30):
                os.kill(daemon.keeper, signal.SIGHUP)
            with daemon.talk() as client:
                client.greet()
                client.mail()
                mails += 1
        assert mails > 20
        assert daemon.status()["generation"] > 3
        daemon.mails(mails)
        for number in range(20, 25):
            os.kill(daemon.keeper, signal.SIGHUP)
            time.sleep(0.02)  # less than a generation needs to come up
            options.write_text(f"max-sessions {number}\n")
            os.kill(daemon.keeper, signal.SIGHUP)
            wait_for(lambda: daemon.status()["slots"] == number, 20)  # noqa: B023 - called at once
        wait_for(lambda: len(daemon.processes().get("supervisor", [])) == 1, 20)


def test_fault_71_a_storm_of_terminations_is_one():
    with Msmtpd() as daemon:
        daemon.look_for_leaks()
        daemon.order(before="sleep 0.5")
        with daemon.talk() as client:
            client.greet()
            client.envelope()
            client.send(b"x\r\n.\r\n")
            wait_for(lambda: daemon.status()["running"])
            everybody = daemon.tree()
            for _ in range(300):
                os.kill(daemon.keeper, signal.SIGTERM)
            client.hear(250)
        assert daemon.process.wait(20) == 0
        daemon.mails(1)
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in everybody), 10)
