"""The door: a command line in, an exit code out.

What a mode needs is imported when the mode is chosen.  Everything below raises a Failure; here it becomes words on
standard error and an exit code.  That no traceback ever reaches a user is this file's promise.
"""

from __future__ import annotations

import sys

from msmtp.config import command_line
from msmtp.exits import EX_IOERR, EX_OK, EX_OSERR, EX_TEMPFAIL
from msmtp.failures import Failure, InterruptFailure
from msmtp.sender import signals
from msmtp.sender.report import Reporter, no_output, unexpected
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from msmtp.config.command_line import CommandLine

    Mode = Callable[[CommandLine, Reporter], int]


def sendmail_mode() -> Mode:
    """Read a mail and send it."""
    from msmtp.sender.send import send

    return send


def serverinfo_mode() -> Mode:
    """Print what the server tells of itself."""
    from msmtp.sender.ask import serverinfo

    return serverinfo


def rmqs_mode() -> Mode:
    """Ask the server to start a queue."""
    from msmtp.sender.ask import rmqs

    return rmqs


def configure_mode() -> Mode:
    """Suggest a configuration."""
    from msmtp.sender.configure import configure

    return configure


def texts_mode() -> Mode:
    """Print help or version."""
    from msmtp.sender.texts import show

    return show


def submission_mode() -> Mode:
    """Speak SMTP on standard input and output (-bs)."""
    from msmtp.sender.submission import serve

    return serve


def queue_mode() -> Mode:
    """What sendmail does with its queue and its aliases, for a program that has none."""
    from msmtp.sender.queueless import answer

    return answer


MODES: dict[str, Callable[[], Mode]] = {
    "sendmail": sendmail_mode,
    "serverinfo": serverinfo_mode,
    "rmqs": rmqs_mode,
    "configure": configure_mode,
    "help": texts_mode,
    "version": texts_mode,
    "bs": submission_mode,
    "bp": queue_mode,
    "bi": queue_mode,
    "bd": queue_mode,
    "bt": queue_mode,
    "bv": queue_mode,
    "q": queue_mode,
}


UTF8_MODE = "-Xutf8"
NO_MEMORY = b"msmtp: out of memory\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run msmtp with the words of a command line (the program's name first); return its exit code."""
    words = sys.argv if argv is None else argv
    program = words[0].rpartition("/")[2] if words else "msmtp"
    reporter = Reporter(program if program and not program.startswith("__main__") else "msmtp")
    try:
        code = run_mode(words, reporter)
        signals.ignore()
    except InterruptFailure as failure:  # while another failure was told
        reporter.failure(failure)
        code = failure.code
    return code


def run_mode(words: Sequence[str], reporter: Reporter) -> int:
    """Do what the command line says, and tell what fails; the exit code."""
    try:
        signals.catch()
        line = command_line.parse(words)
        return MODES[line.mode]()(line, reporter)
    except Failure as failure:
        reporter.failure(failure)
        return failure.code
    except KeyboardInterrupt:
        reporter.say("interrupted")
        return EX_TEMPFAIL
    except Exception as error:  # noqa: BLE001 - no traceback ever reaches a user
        fault = unexpected(error)
        reporter.failure(fault)
        return fault.code


def finish(code: int) -> NoReturn:
    """End the process at once: there is nothing left to clean up, and Python's own way takes a millisecond."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError) as error:
        if code == EX_OK:
            Reporter("msmtp").say(no_output(error))
            code = EX_IOERR
    os._exit(code)  # noqa: SLF001 - os has it under this name


def hold_standard_descriptors() -> None:
    """Let no file or socket that is opened later become standard input, output or error.

    What the caller closed is opened so that it gives and takes nothing: reading the mail from there is still an error.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open("/dev/null", os.O_WRONLY if number == 0 else os.O_RDONLY)


def speak_utf8() -> None:
    """Begin again in Python's UTF-8 mode if the locale has another encoding.

    Octets of files and arguments have to reach the server as they are.  Python decodes them by the locale on one way
    and would have to encode by the locale on the other: not every octet has a character there, nor the reverse.
    """
    if sys.getfilesystemencoding() == "utf-8" or UTF8_MODE in sys.orig_argv:
        return
    try:
        os.execv(sys.executable or "", [sys.orig_argv[0], UTF8_MODE, *sys.orig_argv[1:]])
    except OSError:  # then as well as can be
        return


def run() -> NoReturn:
    """The console script."""
    try:
        speak_utf8()
        del sys.orig_argv[1:]  # Python's own copy of all arguments, which may be ten thousand recipients
        hold_standard_descriptors()
        if sys.stdout is not None:
            sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # whatever stands in a file
        finish(main())
    except (MemoryError, SystemError):  # there was not even enough to say so; SystemError: nor for Python to know why
        os.write(2, NO_MEMORY)
        os._exit(EX_OSERR)  # noqa: SLF001 - as above
