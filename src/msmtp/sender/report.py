"""What a person is told on standard error: what happened, what the server said, what to do about it.

Some of it others have written, above all the server.  So nothing of it moves a cursor, turns the direction of writing
or begins a line of its own, and none of it is without end.
"""

from __future__ import annotations

from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.failures import Failure

LONGEST_LINE = 4096  # characters
LONGEST_REPLY_LINE = 1000  # characters; RFC 5321, 4.5.3.1.5, allows 510
MOST_REPLY_LINES = 20


class Reporter:
    """Prints lines on standard error, each behind the name the program was called by."""

    __slots__ = ("program",)

    def __init__(self, program: str) -> None:
        self.program = program

    def say(self, line: str) -> None:
        """One line, made printable and cut where it is very long."""
        try:
            os.write(2, f"{self.program}: {cut(printable(line), LONGEST_LINE)}\n".encode())
        except OSError:  # standard error is closed or full: nobody can be told
            return

    def failure(self, failure: Failure, *, said_by: str = "server message") -> None:
        """A failure: its message, what the server said, and the hint."""
        self.say(failure.message)
        for line in brief(failure.server):
            self.say(f"{said_by}: {line}")
        if failure.hint:
            self.say(failure.hint)


def printable(line: str) -> str:
    """A line in which every character that is not to be seen (controls, marks of direction, line ends) is a ``?``."""
    return line if line.isprintable() else "".join([sign if sign.isprintable() else "?" for sign in line])


def cut(line: str, longest: int) -> str:
    """A line of at most so many characters, and dots for the rest."""
    return line if len(line) <= longest else f"{line[:longest]}..."


def brief(server: tuple[str, ...]) -> list[str]:
    """As much of a server's reply as a person or a log can take; each line begins with its code."""
    lines = [cut(line, LONGEST_REPLY_LINE) for line in server[:MOST_REPLY_LINES]]
    if len(server) > MOST_REPLY_LINES:
        lines.append(f"{server[0][:3]} ... ({len(server) - MOST_REPLY_LINES} more lines)")
    return lines
