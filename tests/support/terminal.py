"""A terminal of its own for a program: what it sees at /dev/tty, and a person who types."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import termios
import time
from typing import Self

LOCAL_MODES = 3


class Terminal:
    """Run Python code in a process whose controlling terminal this is; standard output and input are elsewhere.

    ``output`` is what the code printed, once it has ended; ``shown`` is what stood on the terminal.
    """

    def __init__(self, code: str, *, background: bool = False) -> None:
        self.code = code
        self.background = background
        self.shown = b""
        self.status: int | None = None

    def __enter__(self) -> Self:
        self.output_end, output = os.pipe()
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            self._become(output)
        os.close(output)
        return self

    def _become(self, output: int) -> None:
        """In the child: the terminal is known only as /dev/tty."""
        try:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            if self.background and os.fork():
                os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
            if self.background:
                os.setpgid(0, 0)
            paths = os.pathsep.join(path for path in sys.path if path)
            os.execve(sys.executable, [sys.executable, "-c", self.code], {**os.environ, "PYTHONPATH": paths})
        finally:
            os._exit(127)

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self.master)[LOCAL_MODES] & termios.ECHO)

    def wait_for(self, text: bytes, seconds: float = 20) -> None:
        """Read until the text is on the terminal."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < deadline, (text, self.shown)
            self._look(0.05)

    def type(self, text: bytes) -> None:
        """Type."""
        os.write(self.master, text)

    def end(self, seconds: float = 20) -> bytes:
        """Wait for the end of the program; what it printed."""
        output, deadline = b"", time.monotonic() + seconds
        while select.select([self.output_end], [], [], max(0, deadline - time.monotonic()))[0]:
            block = os.read(self.output_end, 65536)
            if not block:
                break
            output += block
        else:
            raise AssertionError(f"no end after {seconds} s: {output!r} {self.shown!r}")
        self._look(0)
        self.echoed_at_the_end = self.echoes
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return output

    def _look(self, seconds: float) -> None:
        while select.select([self.master], [], [], seconds)[0]:
            try:
                self.shown += os.read(self.master, 65536)
            except OSError:  # EIO: nobody holds the other end
                return
            seconds = 0

    def __exit__(self, *_: object) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)
        os.close(self.output_end)
