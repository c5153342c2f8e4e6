"""The log: one line a mail, to a file, to standard output, to syslog (reference manual, 7.2).

A log is opened before the sandbox closes the file system and written at the very end.  That it cannot be written is
said, with the line, and changes nothing about the mail.
"""

from __future__ import annotations

import time

from msmtp.exits import EX_OK, name_of
from msmtp.sender.outcome import reply_lines, text
from msmtp.sender.report import brief, printable, write_out
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from msmtp.config.account import Account
    from msmtp.failures import Failure
    from msmtp.net.stream import Stream
    from msmtp.sender.outcome import Delivery

LOCK_SECONDS = 10.0  # how long another msmtp may hold the log
LOCK_PAUSE = 0.05
DEFAULT_TIME_FORMAT = "%b %d %H:%M:%S"
QUOTED = {ord("'"): "?"}


def log_line(  # noqa: PLR0913, PLR0917 - one argument for each thing the line says
    account: Account,
    sender: bytes,
    recipients: list[bytes],
    delivery: Delivery | None,
    failure: Failure | None,
    code: int,
) -> str:
    """The line, without time: keys and their order as other programs parse them."""
    parts = [
        f"host={account.host}" if account.host else f"socket={account.socket}",
        f"tls={'on' if account.tls else 'off'}",
        f"auth={'on' if account.auth else 'off'}",
    ]
    if account.auth and account.user:
        parts.append(f"user={account.user}")
    parts.append(f"from={text(sender)}")
    parts.append(f"recipients={text(b','.join(recipients))}")
    if delivery is not None and (failure is None or delivery.reply is not None):
        parts.append(f"mailsize={delivery.size}")
    said = failure.server if failure else ()
    if not said and delivery is not None and delivery.reply is not None:
        said = reply_lines(delivery.reply)
    if said:
        parts.append(f"smtpstatus={said[0][:3]}")
        parts.append("smtpmsg='" + "\\n".join(line.translate(QUOTED) for line in brief(said)) + "'")
    if failure is not None:
        parts.append(f"errormsg='{failure.message.translate(QUOTED)}'")
    parts.append(f"exitcode={name_of(code)}")
    return printable(" ".join(parts))


class Log:
    """Where an account's log line goes.  ``complain`` takes the words for standard error."""

    __slots__ = ("account", "complain", "descriptor", "opened", "problem", "use_syslog")

    def __init__(self, account: Account, complain: Callable[[str], None]) -> None:
        self.account = account
        self.complain = complain
        self.descriptor = -1
        self.problem = ""
        self.use_syslog = False
        self.opened = False

    def open(self, _stream: Stream | None = None) -> None:
        """Open what the account names, while files and sockets can still be opened."""
        self.opened = True
        if self.account.logfile == "-":
            prepare_time()
        elif self.account.logfile:
            prepare_time()
            self.open_file(self.account.logfile)
        if self.account.syslog not in ("", "off"):
            try:
                open_syslog(self.account.syslog)
                self.use_syslog = True
            except (ImportError, OSError) as error:
                self.complain(f"cannot log to syslog: {getattr(error, 'strerror', None) or error}")

    def open_file(self, path: str) -> None:
        """Open the log file for appending; a problem is kept for the end."""
        try:
            import fcntl  # noqa: F401 - for lock(): not every Python has it built in, and the sandbox keeps files away
        except (ImportError, OSError) as error:
            self.problem = f"cannot lock: {getattr(error, 'strerror', None) or error}"
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
        try:
            self.descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)  # a FIFO that nobody reads is not waited for
        except OSError as error:
            self.problem = f"cannot open: {error.strerror}"

    def write(self, line: str, code: int) -> None:
        """Write the line everywhere it belongs.  Raises nothing."""
        if self.account.logfile == "-":
            write_out(self.stamped(line))
        elif self.account.logfile:
            self.append(self.stamped(line))
            if self.problem:
                self.complain(f"cannot log to {self.account.logfile}: {self.problem}")
                self.complain(f"log info was: {line}")
        if self.use_syslog:
            write_syslog(line, code)

    def stamped(self, line: str) -> bytes:
        """The line as it stands in a file: time first, unless the format is ``none``."""
        pattern = self.account.logfile_time_format or DEFAULT_TIME_FORMAT
        stamped = f"{line}\n" if pattern == "none" else f"{time.strftime(pattern)} {line}\n"
        return stamped.encode("utf-8", "surrogateescape")

    def append(self, octets: bytes) -> None:
        """Append to the file under a lock; what goes wrong is kept in ``problem``."""
        if self.descriptor < 0:
            return
        try:
            if not lock(self.descriptor):
                self.problem = f"cannot lock: another process has held the lock for {LOCK_SECONDS:.0f} seconds"
                return
            if os.write(self.descriptor, octets) != len(octets):
                self.problem = "cannot write: no space left"
        except OSError as error:
            self.problem = f"cannot write: {error.strerror}"


def prepare_time() -> None:
    """Load time zone and locale for strftime(3) before the sandbox keeps their files away."""
    import _locale

    try:
        _locale.setlocale(_locale.LC_TIME, "")
    except _locale.Error:  # type: ignore[attr-defined]  # the stubs lack it
        pass
    time.tzset()
    time.localtime()


def lock(descriptor: int) -> bool:
    """Take a write lock on the whole file (fcntl(2), F_SETLK), waiting LOCK_SECONDS at most."""
    import fcntl

    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            if time.monotonic() >= end:
                return False
            time.sleep(LOCK_PAUSE)
        else:
            return True


def open_syslog(facility: str) -> None:
    """Connect to syslog now (LOG_NDELAY).  ``facility``: "LOG_USER", "LOG_MAIL", ... or "on" for LOG_USER."""
    import syslog

    number = syslog.LOG_USER if facility == "on" else getattr(syslog, facility)
    syslog.openlog("msmtp", syslog.LOG_NDELAY, number)


def write_syslog(line: str, code: int) -> None:
    """Pass the line to syslog: LOG_INFO for a mail that was sent, LOG_ERR for one that was not."""
    import syslog

    syslog.syslog(syslog.LOG_INFO if code == EX_OK else syslog.LOG_ERR, line)
