"""passwordeval and eval: the first line of what a command prints, and every way it can fail."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from msmtp.credentials import command as module
from msmtp.credentials.command import run
from msmtp.failures import ConfigFailure, InterruptFailure


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("echo secret", b"secret"),
        ("printf 'one\\ntwo\\n'", b"one"),
        ("printf 'no line end'", b"no line end"),
        ("printf 'a\\r\\nb'", b"a"),
        ("printf 'a\\r'", b"a\r"),
        ("printf ' spaces '", b" spaces "),
        ("echo", b""),
        ("printf '\\303\\251\\377'", b"\xc3\xa9\xff"),
        ("echo $((6 * 7)) | cat", b"42"),
        ("head -c 65536 /dev/zero | tr '\\0' x", b"x" * 65536),
        ("printf 'first\\n'; head -c 1000000 /dev/zero", b"first"),
    ],
)
def test_the_first_line_of_the_output(command: str, line: bytes) -> None:
    assert run(command).reveal() == line


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("exit 3", "it ended with exit code 3"),
        ("echo part; exit 3", "it ended with exit code 3"),
        ("kill -9 $$", "it was ended by signal 9"),
        ("true", "it printed nothing"),
        ("printf 'a\\0b'", "there is a NUL in its first line"),
        ("head -c 65537 /dev/zero | tr '\\0' x", "its first line is longer than 65536 bytes"),
    ],
)
def test_what_fails_is_named_with_its_exit_and_without_its_output(command: str, problem: str) -> None:
    with pytest.raises(ConfigFailure) as caught:
        run(command)
    assert caught.value.message == f"cannot read output of '{command}': {problem}"
    assert caught.value.exit_code == 78


def test_a_command_that_is_not_there_says_so_itself(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigFailure, match="exit code 127"):
        run("no-such-command")
    assert "no-such-command: not found" in capfd.readouterr().err


def test_a_command_with_a_nul_cannot_be_started() -> None:
    with pytest.raises(ConfigFailure, match="embedded null byte"):
        run("echo \0")


def test_a_machine_without_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHELL", "/nonexistent/sh")
    with pytest.raises(ConfigFailure, match="No such file or directory"):
        run("echo x")


def test_a_machine_without_processes_is_no_wrong_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(*_arguments: object, **_more: object) -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "posix_spawn", no_more)
    with pytest.raises(ConfigFailure, match="Resource temporarily unavailable") as caught:
        run("echo secret")
    assert (caught.value.code, caught.value.temporary) == (71, True)


def test_standard_input_is_not_the_mail() -> None:
    """In the C program such a command eats the mail."""
    script = (
        "import os, sys; from msmtp.credentials.command import run; print(run('cat; echo end').reveal(), os.read(0, 9))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=b"the mail", capture_output=True, check=True, env=_environment()
    )
    assert done.stdout == b"b'end' b'the mail'\n"


def test_closed_standard_streams_are_no_trouble() -> None:
    script = "import os; from msmtp.credentials.command import run; os.write(2, run('echo $((1 + 1))').reveal())"
    shell = '"$0" -c "$1" <&- >&-'
    done = subprocess.run(
        ["sh", "-c", shell, sys.executable, script], capture_output=True, check=True, env=_environment()
    )
    assert done.stderr == b"2"


def test_a_pipeline_may_end_by_sigpipe(capfd: pytest.CaptureFixture[str]) -> None:
    """Python ignores SIGPIPE, and what a shell starts would inherit that and complain."""
    assert run("trap '' HUP; yes | head -n 1").reveal() == b"y"
    assert run("awk 'BEGIN { while (1) print \"y\" }' | head -n 1").reveal() == b"y"
    assert capfd.readouterr().err == ""


def test_of_endless_output_only_the_first_line_is_kept() -> None:
    pid, pipe = module._start("yes | head -c 3000000")
    try:
        output, status = module._read(pid, pipe)
    finally:
        os.close(pipe)
    assert output.startswith(b"y\n")
    assert len(output) <= module.BLOCK
    assert status == 0


def test_a_process_left_behind_is_not_waited_for() -> None:
    begun = time.monotonic()
    assert run("sleep 5 & echo secret").reveal() == b"secret"
    assert time.monotonic() - begun < 3


def test_a_process_left_behind_that_never_stops_talking_is_not_waited_for() -> None:
    begun = time.monotonic()
    assert run("echo secret; yes & sleep 0.3").reveal() == b"secret"
    assert time.monotonic() - begun < 3


def test_what_is_printed_between_two_looks_and_right_before_the_end_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The shell prints and ends after poll() has seen nothing and before waitpid() looks."""
    wait = os.waitpid
    monkeypatch.setattr(os, "waitpid", lambda pid, _options: wait(pid, 0))
    assert run("sleep 0.3; echo secret").reveal() == b"secret"


def test_a_slow_command_is_waited_for() -> None:
    assert run("sleep 0.3; echo secret; sleep 0.3").reveal() == b"secret"


def test_nothing_of_ours_is_open_in_the_command(tmp_path: Path) -> None:
    with (tmp_path / "mail").open("w"):
        names = run("ls -l /proc/self/fd | tr '\\n' ' '").reveal()
    assert str(tmp_path).encode() not in names


def _interrupt(number: int, _frame: object) -> None:
    raise InterruptFailure(f"interrupted by {number}")


@pytest.mark.parametrize("command", ["sleep 60", "trap '' TERM; sleep 60 & wait; wait"])
def test_a_signal_ends_the_command_too(command: str) -> None:
    before = signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    begun = time.monotonic()
    try:
        with pytest.raises(InterruptFailure):
            run(command)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - begun < 5


def test_a_signal_after_its_end_finds_nothing_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(pid: int, pipe: int) -> None:
        os.waitpid(pid, 0)
        raise InterruptFailure("interrupted")

    killed: list[int] = []
    monkeypatch.setattr(module, "_read", interrupted)
    monkeypatch.setattr(os, "kill", lambda pid, _number: killed.append(pid))
    with pytest.raises(InterruptFailure):
        run("true")
    assert not killed  # the number may be another's by now


def test_other_threads_do_not_matter() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert run("echo x").reveal() == b"x"
    finally:
        stop.set()
        thread.join()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
