"""Commands of the configuration, ``passwordeval`` and ``eval``: the first line of what they print.

The shell gets /dev/null as standard input, since ours is the mail; standard error stays ours, so that the command can
say what is wrong, and so does the terminal, since gpg may ask on it.  It may take as long as it wants: somebody is
perhaps typing a passphrase.  What it prints after the first line is read and dropped; closing the pipe would end many a
command with SIGPIPE, and that would look like a failure.  A process that it leaves behind with the pipe in its hands is
not waited for.

No ``subprocess`` here: its import alone takes longer than the whole of a simple run.
"""

from __future__ import annotations

import _signal
import select
import time

from msmtp.credentials.secret import Secret
from msmtp.failures import ConfigFailure
from msmtp.system import os

SHELL = "/bin/sh"
BLOCK = 65536
LONGEST_LINE = 65536
# Python ignores them, which a child would inherit.
TO_DEFAULT = (_signal.SIGPIPE, _signal.SIGXFSZ)
# How often to look whether the shell has ended although its pipe has not.
LOOK_MILLISECONDS = 100
# How long a command may take to end that is asked to, before it is made to.
GRACE_SECONDS = 1.0


def run(command: str) -> Secret:
    """First line of the output of a shell command, without its line end.

    Raises ConfigFailure, which names the command and its exit but never its output: if it ends with another exit code
    than 0, prints nothing at all, or no line of at most 64 KiB.
    """
    pid, pipe = _start(command)
    try:
        output, status = _read(pid, pipe)
    except BaseException:
        _end(pid)
        raise
    finally:
        os.close(pipe)
    return _first_line(command, output, status)


def _start(command: str) -> tuple[int, int]:
    """Process id of the shell and the end of the pipe to read from."""
    reading, writing = os.pipe()
    try:
        return (
            os.posix_spawn(
                SHELL,
                ["sh", "-c", command],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, writing, 1),
                ],
                setsigdef=TO_DEFAULT,
            ),
            reading,
        )
    except (OSError, ValueError) as error:
        os.close(reading)
        raise _failure(command, getattr(error, "strerror", None) or str(error)) from None
    finally:
        os.close(writing)


def _read(pid: int, pipe: int) -> tuple[bytearray, int]:
    """Output up to the first line's end and the shell's wait status, once both the shell and its output have ended."""
    output = bytearray()
    ended = status = 0
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while True:
        if poll.poll(0 if ended else LOOK_MILLISECONDS):
            block = os.read(pipe, BLOCK)
            if not block:
                return output, status if ended else os.waitpid(pid, 0)[1]
            if b"\n" not in output and len(output) <= LONGEST_LINE:
                output += block
            elif ended:  # whoever still writes was left behind
                return output, status
        elif ended:
            return output, status
        if not ended:
            # Even then the pipe may hold what was written since it was last looked at.
            ended, status = os.waitpid(pid, os.WNOHANG)


def _end(pid: int) -> None:
    """Ask the shell to end, make it, and leave no zombie."""
    give_up = time.monotonic() + GRACE_SECONDS
    try:
        if os.waitpid(pid, os.WNOHANG)[0]:  # once it has been waited for, its number may be another's
            return
        os.kill(pid, _signal.SIGTERM)
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > give_up:
                os.kill(pid, _signal.SIGKILL)
                os.waitpid(pid, 0)
                return
            time.sleep(0.01)
    except ChildProcessError:
        return  # it has been waited for already


def _first_line(command: str, output: bytearray, status: int) -> Secret:
    code = os.waitstatus_to_exitcode(status)
    line, end, _ = output.partition(b"\n")
    problem = ""
    if code:
        problem = f"it ended with exit code {code}" if code > 0 else f"it was ended by signal {-code}"
    elif not output:
        problem = "it printed nothing"
    elif len(line) > LONGEST_LINE:
        problem = f"its first line is longer than {LONGEST_LINE} bytes"
    elif b"\0" in line:
        problem = "there is a NUL in its first line"
    secret = Secret(line.removesuffix(b"\r") if end else line)
    for used in (output, line):
        used[:] = bytes(len(used))
    if problem:
        raise _failure(command, problem)
    return secret


def _failure(command: str, problem: str) -> ConfigFailure:
    return ConfigFailure(f"cannot read output of '{command}': {problem}")
