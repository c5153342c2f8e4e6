"""msmtpd's door: a command line in, an exit code out.

What a mode needs is imported when the mode is chosen.  Everything below raises a Failure; here it becomes words on
standard error, and in the log if there is one by then, and an exit code.  No traceback ever reaches a user.
"""

from __future__ import annotations

import sys

from msmtp.config import daemon_settings
from msmtp.daemon.journal import complain, complain_of
from msmtp.exits import EX_IOERR, EX_SOFTWARE, EX_TEMPFAIL
from msmtp.failures import Failure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from msmtp.config.daemon_settings import Settings

    Mode = Callable[[Settings], int]


def serve_mode() -> Mode:
    """Listen, and keep the processes that serve."""
    from msmtp.daemon.start import serve

    return serve


def inetd_mode() -> Mode:
    """Serve one session on standard input and output."""
    from msmtp.daemon.inetd import serve

    return serve


def deliver_mode() -> Mode:
    """Deliver the mails that an msmtpd takes that runs apart from this one."""
    from msmtp.daemon.remote import serve

    return serve


def status_mode() -> Mode:
    """Ask a daemon that runs what it does."""
    from msmtp.daemon.telling import show

    return show


def health_mode() -> Mode:
    """Ask a daemon that runs whether it serves, as a client does."""
    from msmtp.daemon.health import check

    return check


def check_mode() -> Mode:
    """Look at the whole way that a mail takes, for the user who asks."""
    from msmtp.daemon.checking import check

    return check


def texts_mode() -> Mode:
    """Print help or version."""
    from msmtp.daemon.texts import show

    return show


MODES: dict[str, Callable[[], Mode]] = {
    "serve": serve_mode,
    "inetd": inetd_mode,
    "deliver": deliver_mode,
    "status": status_mode,
    "health": health_mode,
    "check": check_mode,
    "help": texts_mode,
    "version": texts_mode,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run msmtpd with the words of a command line (the program's name first); return its exit code."""
    words = sys.argv if argv is None else argv
    try:
        settings = daemon_settings.parse(words)
        return MODES[settings.mode]()(settings)
    except Failure as failure:
        complain_of(failure)
        return failure.code
    except KeyboardInterrupt:
        complain("interrupted")
        return EX_TEMPFAIL
    except Exception as error:  # noqa: BLE001 - no traceback ever reaches a user
        complain(_fault(error))
        return EX_SOFTWARE


def _fault(error: Exception) -> str:
    """Words for an exception that nobody knew of: its kind and place only, since its text may be a secret."""
    trace, place = error.__traceback__, "unknown place"
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    if isinstance(error, OSError):
        return f"system error: {error.strerror or error} (at {place})"
    return f"internal error: {type(error).__name__} at {place}; please report this"


def hold_standard_descriptors() -> None:
    """Let nothing that is opened later become standard input, output or error."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def run() -> NoReturn:
    """The console script."""
    hold_standard_descriptors()
    code = main()
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):  # closed, or full: then what it was about was not told
        code = code or EX_IOERR
    os._exit(code)  # noqa: SLF001 - public, whatever its name says
