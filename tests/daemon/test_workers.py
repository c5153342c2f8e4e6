"""Workers as the supervisor keeps them, with a nursery that says what the test says."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
from typing import Self

import pytest
from tests.support.daemon import children
from tests.support.processes import wait_for

from msmtp.config.daemon_settings import Settings
from msmtp.daemon import requests, workers
from msmtp.daemon.channel import Channel, ChannelGone, Message, pair
from msmtp.daemon.loop import Loop
from msmtp.daemon.privileges import User
from msmtp.daemon.status import Page
from msmtp.daemon.workers import Nursery, Workers


class Journal:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def write(self, _priority: int, _event: str, text: str, **_fields: object) -> None:
        self.said.append(text)


class Work:
    """Keeps what it hears."""

    number = 7

    def __init__(self) -> None:
        self.heard_of: list[str] = []
        self.is_over = False

    def heard(self, message: Message) -> None:
        self.heard_of.append(message.name)

    def over(self) -> None:
        self.is_over = True


class Bed:
    """Workers that are programs which wait for the end of their input; ``nursery``: its end of the way to them."""

    def __init__(self, ahead: int = 2) -> None:
        self.journal, self.page, self.loop, self.changes = Journal(), Page(), Loop(), 0
        settings = Settings()
        settings.workers_ahead = ahead
        self.workers = Workers(
            settings,
            self.loop,
            slots=4,
            page=self.page,
            journal=self.journal,
            user=User("nobody", 65534, 65534),
            changed=self.change,
        )
        ours, theirs = pair()
        way = Channel(ours)
        way.set_blocking(False)
        self.workers._nursery = Nursery(os.pidfd_open(os.getpid()), way)
        self.loop.watch(ours, self.workers._on_nursery)
        self.nursery = Channel(theirs)
        self.programs: list[subprocess.Popen[bytes]] = []
        self.far: list[Channel] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.workers.dismiss()
        for program in self.programs:
            self.end(program)
        for each in (*self.far, self.nursery):
            each.close()
        self.workers._forget_nursery()

    def change(self) -> None:
        self.changes += 1

    def born(self) -> tuple[subprocess.Popen[bytes], Channel]:
        """One more worker, and its end of the way to it."""
        program = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        ours, theirs = pair()
        self.workers.welcome(program.pid, os.pidfd_open(program.pid), ours)
        self.programs.append(program)
        self.far.append(Channel(theirs))
        return program, self.far[-1]

    def employed(self, work: Work) -> tuple[subprocess.Popen[bytes], Channel]:
        """The same, at work."""
        program, far = self.born()
        nothing = os.open(os.devnull, os.O_RDONLY)
        assert self.workers.employ(work, 7, 0, b"", 0, 0, b"", along=(nothing, nothing))
        os.close(nothing)
        far.receive((requests.CONNECTION,)).close()
        return program, far

    def end(self, program: subprocess.Popen[bytes]) -> None:
        """Have a worker end, and see it."""
        assert program.stdin
        program.stdin.close()
        if program.returncode is None:  # not seen yet, and not to be reaped before the loop has turned
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
            self.loop.turn(0.1)
            program.wait()

    def died(self, program: subprocess.Popen[bytes]) -> None:
        """The nursery says that it did not end as it should."""
        self.nursery.send(requests.DIED, program.pid, 9)
        self.loop.turn(0.1)


def test_a_worker_has_one_piece_of_work_which_hears_all_that_it_says_before_its_end():
    work = Work()
    with Bed() as bed:
        program, far = bed.employed(work)
        assert not bed.workers.waiting
        far.send(requests.NOTE, b"x")
        bed.loop.turn(1)
        assert work.heard_of == ["NOTE"]
        far.send(requests.NOTE, b"y")
        far.send(requests.ENDED, b"quit", 1, 0)
        bed.end(program)
        assert work.heard_of == ["NOTE", "NOTE", "ENDED"]
        assert work.is_over
        assert bed.workers.none_left()
        assert not bed.journal.said


def test_one_that_says_what_it_must_not_is_killed():
    work = Work()
    with Bed() as bed:
        program, far = bed.employed(work)
        far.send(requests.READY)
        bed.loop.turn(1)
        assert program.wait(5) == -signal.SIGKILL
        bed.loop.turn(1)
        assert (work.heard_of, work.is_over) == ([], True)
        assert bed.journal.said[0].startswith("session 7: worker killed: ")


def test_one_that_says_what_it_must_not_and_is_gone_is_not_killed():
    """The nursery has waited for it, and the kernel knows it no more."""
    work = Work()
    with Bed() as bed:
        program, far = bed.employed(work)
        far.send(requests.READY)
        program.kill()
        program.wait(5)
        bed.loop.turn(1)
        assert work.is_over
        bed.workers.look_after()


def test_one_that_may_not_be_killed_is_told_to_end(monkeypatch):
    """With --inetd, and as root without CAP_KILL."""

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with Bed() as bed:
        _, far = bed.employed(Work())
        with monkeypatch.context() as patched:
            patched.setattr(workers.signal, "pidfd_send_signal", refused)
            bed.workers.kill(next(iter(bed.workers._at_work.values())), "its time is over")
            bed.workers.grow()
            for _ in range(10):
                bed.workers.look_after()  # nor may the nursery
        with pytest.raises(ChannelGone):
            far.receive(())


def test_those_at_work_are_told_to_end_by_their_channel_and_may_still_say_something():
    work = Work()
    with Bed() as bed:
        (_, far), (gone, _) = bed.employed(work), bed.employed(Work())
        gone.kill()
        gone.wait(5)
        bed.workers.terminate()
        with pytest.raises(ChannelGone):
            far.receive(())
        far.send(requests.ENDED, b"shutting down", 1, 0)
        bed.loop.turn(1)
        assert work.heard_of == ["ENDED"]


def test_where_none_is_wanted_ahead_one_is_asked_for_when_a_client_is_there():
    with Bed(ahead=0) as bed:
        bed.workers.grow()
        with pytest.raises(BlockingIOError):
            heard(bed)
        assert not bed.workers.await_one()
        assert heard(bed) == 1
        assert not bed.workers.await_one()  # it is still to come
        with pytest.raises(BlockingIOError):
            heard(bed)
        bed.born()
        bed.nursery.send(requests.BARREN, errno.EAGAIN)  # the one that was asked for
        assert bed.workers.await_one()


def heard(bed: Bed) -> int:
    """How many the nursery was asked for."""
    bed.nursery.set_blocking(False)
    try:
        return bed.nursery.receive((requests.GROW,)).number("count")
    finally:
        bed.nursery.set_blocking(True)


def test_a_nursery_hangs_that_brought_none_at_several_looks_however_long_that_took(monkeypatch):
    ended: list[int] = []
    monkeypatch.setattr(workers, "_kill", ended.append)
    with Bed() as bed:
        for _ in range(10):
            bed.workers.look_after()
        assert not ended  # it was asked for none
        bed.workers.grow()
        for _ in range(workers.BIRTHS_MISSED):
            bed.workers.look_after()
        assert not ended
        program = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        ours, theirs = pair()
        pidfd = os.pidfd_open(program.pid)
        bed.nursery.send(requests.BORN, program.pid, descriptors=(pidfd, ours))
        os.close(pidfd)
        os.close(ours)
        bed.programs.append(program)
        bed.far.append(Channel(theirs))
        bed.loop.turn(1)
        for _ in range(workers.BIRTHS_MISSED):
            bed.workers.look_after()
        assert not ended  # one came, and one is still to come
        bed.workers.look_after()
        assert ended == [bed.workers._nursery.pidfd]


@pytest.mark.parametrize("what", ["pair", "fork", "pidfd_open"])
def test_a_nursery_that_cannot_be_forked_is_tried_again_after_a_pause(what, monkeypatch):
    def none(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with Bed() as bed:
        bed.workers._forget_nursery()
        before, others = len(os.listdir("/proc/self/fd")), set(children(os.getpid()))
        with monkeypatch.context() as patched:
            patched.setattr(workers if what == "pair" else workers.os, what, none)
            bed.workers.grow()
        assert bed.journal.said == ["cannot make a process: Too many open files; next attempt in 1 s"]
        assert not bed.workers.are_to_be_expected()
        assert len(os.listdir("/proc/self/fd")) == before
        assert set(children(os.getpid())) <= others


def test_what_a_nursery_says_that_cannot_be_ends_nothing():
    with Bed() as bed:
        bed.nursery.send(requests.DIED, 1 << 63, (1 << 64) - 1)
        bed.nursery.send(requests.DIED, 1, 0x137F)  # stopped, which is no end
        bed.nursery.send(requests.BARREN, (1 << 64) - 1)
        bed.loop.turn(1)
        assert len(bed.journal.said) == 3
        assert bed.page["worker_deaths"] == 2


def test_how_one_at_work_died_is_said_with_its_session_whichever_is_heard_of_first():
    for told_first in (False, True):
        work = Work()
        with Bed() as bed:
            program, _ = bed.employed(work)
            if told_first:
                bed.died(program)
            bed.end(program)
            if not told_first:
                bed.died(program)
            assert bed.journal.said == ["session 7: its process was ended by signal 9"]
            assert bed.page["worker_deaths"] == 1
            assert bed.workers.are_to_be_expected()


def test_one_that_died_after_it_had_said_that_it_ends_is_no_reason_to_fork_no_more():
    work = Work()
    with Bed() as bed:
        program, far = bed.employed(work)
        far.send(requests.ENDED, b"quit", 0, 0)
        bed.end(program)
        bed.died(program)
        assert bed.journal.said == ["a worker without a session was ended by signal 9"]
        assert bed.workers.are_to_be_expected()


def test_one_that_died_before_it_had_work_is_said_whichever_is_heard_of_first():
    for told_first in (False, True):
        with Bed() as bed:
            program, _ = bed.born()
            if told_first:
                bed.died(program)
            bed.end(program)
            if not told_first:
                bed.died(program)
            assert bed.journal.said == [
                "a worker without a session was ended by signal 9",
                "cannot make a process: a worker ended before its work; next attempt in 1 s",
            ]
            assert not bed.workers.are_to_be_expected()


def test_one_that_was_told_to_end_before_it_had_work_is_replaced_after_a_pause_without_a_word():
    with Bed() as bed:
        program, _ = bed.born()
        bed.end(program)
        assert not bed.journal.said
        assert not bed.workers.waiting
        assert not bed.workers.are_to_be_expected()
        bed.loop.turn(1.5)
        assert bed.workers.are_to_be_expected()


def test_what_the_system_refuses_is_told_and_while_it_does_the_pause_grows(monkeypatch):
    monkeypatch.setattr(workers, "PAUSES", (0.01, 0.03))
    with Bed() as bed:
        for _ in range(4):
            before = bed.changes
            bed.nursery.send(requests.BARREN, errno.EAGAIN)
            bed.loop.turn(0.1)
            wait_for(lambda: bed.loop.turn(0.05) or bed.workers.are_to_be_expected())
            assert bed.changes == before + 1
        said = "cannot make a process: Resource temporarily unavailable; next attempt in %g s"
        assert bed.journal.said == [said % seconds for seconds in (0.01, 0.02, 0.03, 0.03)]
        bed.born()
        bed.nursery.send(requests.BARREN, errno.EAGAIN)
        bed.loop.turn(0.1)
        assert bed.journal.said[-1] == said % 0.01


def test_once_they_are_dismissed_nothing_is_said_of_those_that_waited_and_their_ends_are_told():
    with Bed() as bed:
        program, far = bed.born()
        bed.workers.dismiss()
        with pytest.raises(ChannelGone):
            far.receive(())
        bed.nursery.send(requests.BARREN, errno.EAGAIN)
        before = bed.changes
        bed.end(program)
        assert bed.workers.none_left()
        assert bed.changes == before + 1
        assert not bed.journal.said
