"""Ports that are free, and daemons that a test starts and ends by their process ids."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

FIRST_PORT, PORTS_A_WORKER = 20000, 800  # below the kernel's range for clients (32768 on), apart for each xdist worker
_next_port = 0


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 and ::1 that nobody listens on; another one at every call."""
    global _next_port  # noqa: PLW0603 - one counter a process is what keeps two daemons of a test apart
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 15
    for _ in range(PORTS_A_WORKER):
        port = FIRST_PORT + worker * PORTS_A_WORKER + (os.getpid() + _next_port) % PORTS_A_WORKER
        _next_port += 1
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise OSError("no free port")


def listens(*ports: int, host: str = "127.0.0.1") -> Callable[[], bool]:
    """Whether somebody accepts connections there, on all of the ports."""

    def check() -> bool:
        with contextlib.suppress(OSError):
            for port in ports:
                socket.create_connection((host, port), timeout=5).close()
            return True
        return False

    return check


# Starts the rest of its command line, and writes the peak of its memory, in octets, to the file that comes first.
METER = """
import os, sys
report, *command = sys.argv[1:]
pid = os.posix_spawnp(command[0], command, os.environ)
_, status, usage = os.wait4(pid, 0)
with open(report, "w") as file: file.write(str(usage.ru_maxrss * 1024))
code = os.waitstatus_to_exitcode(status)
if code < 0: os.kill(os.getpid(), -code)
os._exit(code)
"""


def metered(command: Sequence[str | Path], report: Path) -> list[str]:
    """The command line that runs ``command`` and writes the octets of memory at its peak to ``report``.

    The kernel takes a process that was forked from a big one for having been as big (getrusage(2)), and a process that
    runs tests is big; so a small interpreter stands between. A signal ends both if it goes to their process group.
    """
    return [sys.executable, "-I", "-S", "-c", METER, str(report), *map(str, command)]


class Daemon:
    """A program that runs from ``with`` on until its end, which is made sure of.

    ``ready`` is asked until it is true; a program that ends before, or takes longer than ``patience`` seconds, fails the
    test with what it wrote. ``log`` gets its standard output and error. SIGTERM ends it, SIGKILL after five seconds, its
    whole process group with it. ``kill_child``: SIGKILL goes to the one child of the program at once (a program under
    ``unshare --pid``: with its first process the kernel ends all others).
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        ready: Callable[[], bool] | None = None,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        patience: float = 30.0,
        kill_child: bool = False,
    ) -> None:
        self.command = [str(word) for word in command]
        self.ready = ready
        self.log = log
        self.environment = None if environment is None else {**os.environ, **environment}
        self.folder = folder
        self.patience = patience
        self.kill_child = kill_child

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
            )
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def said(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="backslashreplace")

    def wait_ready(self) -> None:
        """Wait until it is ready."""
        deadline = time.monotonic() + self.patience
        while self.ready and not self.ready():
            assert self.process.poll() is None, (
                f"{self.command[0]} ended with {self.process.returncode}:\n{self.said()}"
            )
            assert time.monotonic() < deadline, (
                f"{self.command[0]} is not ready after {self.patience} s:\n{self.said()}"
            )
            time.sleep(0.02)

    def stop(self) -> None:
        """End it, and wait for the end."""
        if self.process.poll() is None:
            if self.kill_child:
                self._kill_child()
            else:
                self._signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()

    def _kill_child(self) -> None:
        with contextlib.suppress(OSError):
            for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
                os.kill(int(pid), signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def __exit__(self, *_: object) -> None:
        self.stop()


def wait_for(what: Callable[[], object], seconds: float = 20.0, *, words: str = "it") -> object:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, f"{words} did not happen within {seconds} s"
        time.sleep(0.01)
    return answer
