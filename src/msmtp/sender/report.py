"""What a person is told on standard error: what happened, what the server said, what to do about it.

Some of it others have written, above all the server.  So nothing of it moves a cursor, turns the direction of writing
or begins a line of its own, and none of it is without end.
"""

from __future__ import annotations

import sys

from msmtp.failures import Failure, SystemFailure
from msmtp.system import os

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


def unexpected(error: Exception) -> Failure:
    """The failure for an exception that nobody knew of: the system's fault or ours.

    It says where that was, and of what Python says only the system's own words: the rest could show a password.
    """
    if isinstance(error, MemoryError):
        error.__traceback__ = None  # its frames hold what the memory is full of, and we need a little
        return SystemFailure("out of memory")
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else "unknown place"
    if isinstance(error, (OSError, ImportError)):  # ImportError: no memory, no descriptors, or a package being replaced
        return SystemFailure(f"system error: {getattr(error, 'strerror', None) or error} (at {place})")
    if isinstance(error, SystemError):  # Python's own fault, and what it does where memory ends
        return SystemFailure(f"system error: Python failed (at {place})")
    return Failure(f"internal error: {type(error).__name__} at {place}; please report this")


def write_out(octets: bytes) -> None:
    """Write to standard output at once, beside the mail (--debug, a log there).

    If nobody takes it, that is said, nothing more is written there, and nothing changes about the mail.
    """
    if sys.stdout is None:  # it was closed when we started
        return
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(octets)
        sys.stdout.buffer.flush()
    except (OSError, ValueError) as error:
        sys.stdout = None
        Reporter("msmtp").say(no_output(error))


def no_output(error: Exception) -> str:
    """Words for a standard output that cannot be written to."""
    return f"cannot write to standard output: {getattr(error, 'strerror', None) or error}"


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
