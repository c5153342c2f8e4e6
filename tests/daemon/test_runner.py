"""Commands in a process that has other children, is short of something, or is looked at by a debugger."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.processes import wait_for

from msmtp.daemon import runner
from msmtp.daemon.loop import Loop
from msmtp.daemon.runner import Outcome, Runner

# Traces a process, and is slow to see how it ends.
TRACER = """
import ctypes, sys
done = ctypes.CDLL(None).ptrace(0x4206, int(sys.argv[1]), 0, 0)  # PTRACE_SEIZE
print(done, flush=True)
sys.stdin.read()
"""


class Commands:
    """A runner in a loop, and the ends of what it ran."""

    def __init__(self, time_limit: float = 60) -> None:
        self.loop = Loop()
        self.runner = Runner(self.loop, time_limit)
        self.ends: list[Outcome] = []
        self.pid = 0

    def start(self, script: str) -> int:
        """Start a command of the shell's; its process."""
        nothing = os.open(os.devnull, os.O_RDONLY)

        def start(output: int) -> int:
            self.pid = runner.spawn("/bin/sh", [b"sh", b"-c", script.encode()], {b"PATH": b"/bin"}, nothing, output)
            return self.pid

        self.runner.start(start, self.ends.append)
        os.close(nothing)
        return self.pid

    def turn(self, seconds: float, ends: int = 1) -> int:
        """Have the loop turn until so many commands are over, or so long; how often it turned."""
        until = time.monotonic() + seconds
        turns = 0
        while len(self.ends) < ends and (left := until - time.monotonic()) > 0:
            self.loop.turn(left)
            turns += 1
        return turns


def test_children_of_another_kind_are_left_alone():
    """As with --inetd: the worker is a child of what runs the command."""
    commands = Commands()
    with subprocess.Popen(["sleep", "1000"]) as other:
        for number in range(3):
            commands.start("exit 0")
            commands.turn(10, number + 1)
        commands.turn(0.2, 4)
        assert [end.code for end in commands.ends] == [0] * 3
        assert other.poll() is None
        other.kill()
    assert other.returncode == -signal.SIGKILL
    assert not commands.runner.busy


@pytest.mark.parametrize("number", [errno.ENFILE, errno.ENOMEM, errno.EMFILE])
def test_a_command_that_runs_is_waited_for_without_a_descriptor_too(number, monkeypatch, tmp_path):
    """It may have sent its mail by then: nobody may be told that it was not started."""

    def fail(_pid: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(runner.os, "pidfd_open", fail)
    commands = Commands()
    commands.start(f"sleep 0.2; echo sent; touch {tmp_path}/sent; exit 3")
    commands.turn(10)
    assert [(end.code, end.output) for end in commands.ends] == [(3, b"sent\n")]
    assert (tmp_path / "sent").exists()
    assert not commands.runner.busy


def test_the_time_limit_holds_without_a_descriptor(monkeypatch):
    monkeypatch.setattr(runner.os, "pidfd_open", lambda _pid: (_ for _ in ()).throw(OSError(errno.ENFILE, "")))
    commands = Commands(time_limit=0.2)
    commands.start("exec sleep 1000")
    commands.turn(10)
    assert [(end.code, end.timed_out) for end in commands.ends] == [(-signal.SIGTERM, True)]


def test_how_a_command_ended_that_is_traced_is_asked_again(tmp_path):
    """Until its tracer has seen it, its parent is told nothing: which is no success."""
    commands = Commands()
    os.mkfifo(tmp_path / "go")  # a signal, as of a child's end, would stop it
    pid = commands.start(f"read word < {tmp_path}/go; exit 75")
    words = [sys.executable, "-I", "-S", "-c", TRACER, str(pid)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tracer:
        assert tracer.stdin
        assert tracer.stdout
        if tracer.stdout.readline() != "0\n":
            (tmp_path / "go").write_text("\n")
            commands.turn(10)
            pytest.skip("needs leave to trace processes")
        (tmp_path / "go").write_text("\n")
        wait_for(lambda: ") Z " in Path(f"/proc/{pid}/stat").read_text())
        turns = commands.turn(0.5)
        assert commands.ends == []
        assert turns < 20  # it does not turn round and round
        tracer.stdin.close()
        commands.turn(10)
    assert [end.code for end in commands.ends] == [75]
    assert not commands.runner.busy


def test_a_list_of_children_that_cannot_be_read_ends_nothing(monkeypatch):
    read = os.read

    def fail(descriptor: int, length: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/children"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(descriptor, length)

    monkeypatch.setattr(runner, "_SUBREAPERS", {os.getpid()})
    commands = Commands()
    commands.start("sleep 0.3; exit 4")
    commands.start("exit 3")
    monkeypatch.setattr(runner.os, "read", fail)
    commands.turn(10, 2)
    assert [end.code for end in commands.ends] == [3, 4]


def test_an_end_that_is_not_known_is_no_success():
    """As when somebody else has waited for it, or it has not ended after all."""
    running = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
    assert runner._reaped(running) == -signal.SIGKILL
    os.kill(running, signal.SIGTERM)
    os.waitpid(running, 0)
    assert runner._reaped(running) == -signal.SIGKILL
