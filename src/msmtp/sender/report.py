"""What a person is told on standard error: what happened, what the server said, what to do about it."""

from __future__ import annotations

from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.failures import Failure

CONTROL = dict.fromkeys((*range(32), 127, *range(0x80, 0xA0)), "?")


class Reporter:
    """Prints lines on standard error, each behind the name the program was called by."""

    __slots__ = ("program",)

    def __init__(self, program: str) -> None:
        self.program = program

    def say(self, line: str) -> None:
        """One line; a terminal's control characters in it (a server can send some) become ``?``."""
        try:
            os.write(2, f"{self.program}: {line.translate(CONTROL)}\n".encode("utf-8", "replace"))
        except OSError:  # standard error is closed or full: nobody can be told
            return

    def failure(self, failure: Failure, *, said_by: str = "server message") -> None:
        """A failure: its message, what the server said, and the hint."""
        self.say(failure.message)
        for line in failure.server:
            self.say(f"{said_by}: {line}")
        if failure.hint:
            self.say(failure.hint)
