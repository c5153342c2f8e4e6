"""The keeper: what it does not lose, whatever comes at the wrong time, and what it does without."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import stat
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support import abuse
from tests.support.daemon import Msmtpd, children, is_there, pause, waits
from tests.support.processes import wait_for

from msmtp.daemon import keeper
from msmtp.daemon.keeper import Keeper

ROOT = pytest.mark.root
AUTH = "--auth=user,echo secret"


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


WITHOUT_SHARED_MEMORY = abuse.in_mounts(
    "mount -t tmpfs -o size=4k,nr_inodes=3,mode=1777 none /dev/shm", ": >/dev/shm/1", ": >/dev/shm/2"
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


# -- at the wrong time


@contextlib.contextmanager
def coming_up(daemon: Msmtpd) -> Iterator[int]:
    """SIGHUP; the supervisor that is to come does nothing meanwhile."""
    before = set(daemon.processes()["supervisor"])
    os.kill(daemon.keeper, signal.SIGHUP)
    (pid,) = wait_for(lambda: set(daemon.processes()["supervisor"]) - before)  # type: ignore[misc]  # what it is true of
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("refused", [False, True])
def test_a_reload_that_is_asked_for_while_another_is_under_way_is_not_forgotten(tmp_path, refused):
    options = tmp_path / "options"
    tmp_path.chmod(0o755)
    options.write_text("max-sessions 10\n")
    with Msmtpd(f"--config={options}", expected=["was ended by signal 9"]) as daemon:
        options.write_text("max-sessions 20\n")
        with coming_up(daemon) as supervisor:
            assert "in force" not in daemon.log()
            options.write_text("max-sessions 30\n")
            os.kill(daemon.keeper, signal.SIGHUP)
            wait_for(lambda: waits(daemon.keeper))
            if refused:
                os.kill(supervisor, signal.SIGKILL)
        wait_for(lambda: daemon.status()["slots"] == 30)
        wait_for(lambda: len(daemon.processes()["supervisor"]) == 1)
        assert daemon.log().count("in force") == 2 - refused


class Changed(Msmtpd):
    """With other values in its modules."""

    change = ""

    def prepare(self) -> None:
        super().prepare()
        before, door, behind = self.program.read_text().rpartition("from msmtp.daemon.main")
        self.program.write_text(f"{before}{self.change}\n{door}{behind}")


class Hasty(Changed):
    """With little patience for what comes up."""

    change = "from msmtp.daemon import keeper; keeper.READY_PATIENCE = 3.0"


def test_a_generation_has_all_of_its_time_whenever_another_began():
    with Hasty() as daemon:
        begun = time.monotonic()
        reload(daemon)
        pause(begun + 2.8 - time.monotonic())
        with coming_up(daemon):
            pause(begun + 3.4 - time.monotonic())
        wait_for(lambda: daemon.log().count("in force") == 2)


@ROOT
def test_a_generation_for_which_there_is_no_process_is_given_up(tmp_path):
    options = tmp_path / "options"
    tmp_path.chmod(0o755)
    options.write_text("max-sessions 10\n")
    expected = ["cannot make a process", "ended with status 71", "it is not ready in time"]
    with Hasty(f"--config={options}", expected=expected) as daemon:
        options.write_text("max-sessions 20\n")
        failing = [f"{call}:error=EAGAIN" for call in ("clone", "clone3", "fork", "vfork")]
        with abuse.injected(daemon.keeper, *failing, folder=tmp_path):
            reload(daemon, "going on with the options as they were: it is not ready in time")
        assert daemon.status()["slots"] == 10
        with daemon.talk() as talk:
            talk.greet()
            talk.mail()
        reload(daemon)
        wait_for(lambda: daemon.status()["slots"] == 20)
        wait_for(lambda: len(daemon.processes()["supervisor"]) == 1)


@ROOT
def test_a_unix_socket_has_the_permissions_of_the_last_reload(tmp_path):
    options = tmp_path / "options"
    tmp_path.chmod(0o755)
    path = tmp_path / "smtp"
    options.write_text(f"socket {path},mode=666\n")
    with Msmtpd(f"--config={options}") as daemon:
        for mode, uid in ((0o666, 0), (0o600, 65534), (0o660, 0)):
            if mode != 0o666:
                options.write_text(f"socket {path},mode={mode:o},user={uid}\n")
                reload(daemon)
            about = path.lstat()
            assert (stat.S_IMODE(about.st_mode), about.st_uid) == (mode, uid)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                assert client.recv(100)[:3] == b"220"
        wait_for(lambda: len(daemon.processes()["supervisor"]) == 1)
    assert [*tmp_path.iterdir()] == [options]


# -- what the system does not give

SHORT = (
    *("socketpair:error=ENFILE:when=1", "socketpair:error=EMFILE:when=2", "socketpair:error=ENOMEM:when=1..5"),
    *("pidfd_open:error=EMFILE:when=1", "pidfd_open:error=ENOMEM:when=1..3"),
    *("sendmsg:error=ETOOMANYREFS:when=1", "sendmsg:error=ENOBUFS:when=2"),
)


@ROOT
@pytest.mark.parametrize("call", SHORT)
@pytest.mark.parametrize("victim", ["delivery", "supervisor"])
def test_fault_46_47_a_child_for_which_something_is_short_is_started_again_later(tmp_path, victim, call):
    expected = ["was ended by signal 9", "cannot make a process", "ended with status 71"]
    with Msmtpd(AUTH, expected=expected) as daemon:
        other = daemon.process_of("auth")
        with abuse.injected(daemon.keeper, call, folder=tmp_path) as trace:
            os.kill(daemon.process_of(victim), signal.SIGKILL)
            wait_for(lambda: "INJECTED" in trace.read_text())
            wait_for(lambda: daemon.processes().get(victim))
        wait_for(lambda: {"delivery", "supervisor", "worker"} <= {*daemon.processes()})

        def answer() -> str:
            with daemon.talk() as talk:
                talk.connection.settimeout(3)
                with contextlib.suppress(OSError, AssertionError):
                    talk.greet()
                    return talk.say("AUTH PLAIN AHVzZXIAc2VjcmV0") and talk.mail(code=None)
            return ""

        wait_for(lambda: answer().startswith("250"), 8)
        daemon.expected.append("refused connection")
        assert daemon.process_of("auth") == other  # nobody had to be ended for a way to be made


@ROOT
@pytest.mark.parametrize("call", [*SHORT, "memfd_create:error=ENFILE:when=1"])
def test_fault_83_a_reload_for_which_something_is_short_is_refused_or_comes_later(tmp_path, call):
    with Msmtpd(AUTH, expected=["cannot make a process", "ended with status", "going on with"]) as daemon:
        with abuse.injected(daemon.keeper, call, folder=tmp_path):
            os.kill(daemon.keeper, signal.SIGHUP)
            wait_for(lambda: re.search("in force|going on with", daemon.log()), 8)
        reload(daemon)
        wait_for(lambda: len(daemon.processes()["supervisor"]) == 1)


def test_a_reload_that_is_refused_keeps_no_descriptor(tmp_path):
    """The end of the test looks at how many there are."""
    options = tmp_path / "options"
    tmp_path.chmod(0o755)
    options.write_text("")
    with Msmtpd(AUTH, f"--config={options}", expected=["going on with"]) as daemon:
        log = daemon.log_file.rename(daemon.folder / "moved")
        daemon.log_file.mkdir()
        for _ in range(3):
            before = log.read_text().count("going on with")
            os.kill(daemon.keeper, signal.SIGHUP)
            wait_for(lambda: log.read_text().count("going on with") > before)  # noqa: B023 - called at once
        daemon.log_file.rmdir()
        log.rename(daemon.log_file)
        assert "cannot" in daemon.log()


# -- at the end


class Slow(Changed):
    """Whose new processes take a while to come to themselves."""

    change = """
import time
from msmtp.daemon import keeper, nursery, worker

become, be_worker = keeper.Keeper.become, nursery.Nursery._be_worker

def slow_become(self, generation, which, *ends):
    time.sleep(0.6 if which == "supervisor" and generation.number > 1 else 0)
    become(self, generation, which, *ends)

def slow_be_worker(self, *ends):
    time.sleep(0.6)
    be_worker(self, *ends)

keeper.Keeper.become, nursery.Nursery._be_worker = slow_become, slow_be_worker
"""


def test_a_supervisor_hears_of_the_stop_as_soon_as_it_has_been_forked():
    with Slow() as daemon:
        before = set(children(daemon.keeper))
        os.kill(daemon.keeper, signal.SIGHUP)
        wait_for(lambda: len(set(children(daemon.keeper)) - before) == 2)  # delivery's and the supervisor's
        os.kill(daemon.keeper, signal.SIGTERM)
        assert daemon.process
        assert daemon.process.wait(10) == 0


def test_a_worker_hears_of_the_stop_as_soon_as_it_has_been_forked():
    with Slow("--workers-ahead=1") as daemon:
        nursery = daemon.process_of("nursery")
        (waiting,) = children(nursery)
        with daemon.talk() as one:
            one.hear(220)
            wait_for(lambda: set(children(nursery)) - {waiting})
            with daemon.talk():
                wait_for(lambda: daemon.status()["active"] == 2)
                os.kill(daemon.keeper, signal.SIGTERM)
                one.hear(421)
                assert daemon.process
                assert daemon.process.wait(10) == 0


def test_a_worker_that_was_just_forked_is_not_deaf_to_a_signal():
    with Slow("--workers-ahead=2") as daemon:
        nursery = daemon.process_of("nursery")
        before = set(children(nursery))
        with daemon.talk() as talk:
            talk.hear(220)
            (young,) = wait_for(lambda: set(children(nursery)) - before)  # type: ignore[misc]  # what it is true of
            os.kill(young, signal.SIGTERM)
            wait_for(lambda: young not in children(nursery), 5)
        daemon.expected.append("cannot make a process")


class Brief(Changed):
    """With little time for the mails that are under way at the end."""

    change = "from msmtp.daemon import wire; wire.FINISHING = 1.0"


def test_no_process_is_left_by_a_stop_however_slow_a_client_is():
    with Brief() as daemon, daemon.talk() as talk:
        daemon._looked_at = True  # the session lasts as long as the daemon
        talk.greet()
        talk.envelope()
        everybody = daemon.tree()
        os.kill(daemon.keeper, signal.SIGTERM)
        assert daemon.process
        ends = time.monotonic() + 8
        while daemon.process.poll() is None and time.monotonic() < ends:
            with contextlib.suppress(OSError):
                talk.send(b"a line\r\n")
            pause(0.05)
        assert daemon.process.poll() == 0
        assert not any(map(is_there, everybody))
        talk.hear("421")
        assert not daemon.mails(0)
