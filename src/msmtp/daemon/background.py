"""Background: --daemon, where no service manager keeps the daemon (python-daemon does the leaving), and --pidfile.

A start script learns the truth: the process that it started waits until the daemon serves, and ends with 0 then; if the
daemon fails before, its words are on the script's standard error, and its exit code is passed on.

The pidfile names the process for scripts that know no better.  Whether a daemon runs is never read from the number in
it, which may be another process's by now, but from the lock on the file, which ends with the process that holds it.
"""

from __future__ import annotations

import fcntl
import select
import sys

from msmtp.daemon.places import open_file, trusted_users
from msmtp.daemon.service import managed
from msmtp.exits import EX_OK, EX_SOFTWARE
from msmtp.failures import RunningFailure, ServiceFailure, SystemFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn

PR_SET_CHILD_SUBREAPER = 36

_READY = b"ready"
_NUMBER_LENGTH = 32  # octets of a pidfile that are looked at
_ATTEMPTS = 10


class Pidfile:
    """A pidfile that this process has locked, for as long as the descriptor ``fd`` is open anywhere."""

    __slots__ = ("fd", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd

    def write(self, pid: int) -> None:
        """Write the number of the process.  Raises SystemFailure."""
        try:
            os.ftruncate(self.fd, 0)
            os.pwrite(self.fd, b"%d\n" % pid, 0)
        except OSError as error:
            raise SystemFailure(f"cannot write {self.path}: {error.strerror}") from None

    def remove(self) -> None:
        """Take the file away, if it is still this one, and end the lock; raises nothing."""
        if self.fd < 0:
            return
        try:
            os.ftruncate(self.fd, 0)  # where it cannot be removed, it names nobody
            if _is_still(self.fd, self.path):
                os.unlink(self.path)
        except OSError:
            pass
        os.close(self.fd)
        self.fd = -1


def hold_pidfile(path: str) -> Pidfile:
    """Open and lock a pidfile; to be done before any right is given up, so that it is nobody's who serves clients.

    Raises RunningFailure if a daemon holds it, ConfigFailure for a file or a folder that is another's.
    """
    for _ in range(_ATTEMPTS):
        opened = open_file(path, os.O_RDWR, 0o644, trusted_users())
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            number = os.pread(opened, _NUMBER_LENGTH, 0).strip()
            os.close(opened)
            who = f" as process {int(number)}" if number.isdigit() else ""
            raise RunningFailure(f"msmtpd runs already{who}: {path} is locked") from None
        if _is_still(opened, path):
            os.fchmod(opened, 0o644)  # whatever the umask: others may read it
            return Pidfile(path, opened)
        os.close(opened)  # it was removed by who held it, between our opening and our locking it
    raise RunningFailure(f"{path} is locked and removed again and again")


def _is_still(descriptor: int, path: str) -> bool:
    ours = os.fstat(descriptor)
    try:
        there = os.lstat(path)
    except OSError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def leave(kept: Iterable[int], pidfile: Pidfile | None = None) -> Callable[[], None]:
    """Go to the background; returns there only, with all descriptors closed but 0, 1, 2 and ``kept``.

    What is returned is to be called once the daemon serves: only then does the process that was started end, and
    standard error lead to nothing.  Until then what is said there is passed on by the process that waits: nothing of
    the daemon, which has children by then, holds the standard error of who started it, and keeps it waiting for its
    end.  Raises ServiceFailure where python-daemon is missing, or systemd does this itself.
    """
    context = _context()
    reads, writes = os.pipe()
    heard, errors = os.pipe()
    _be_parent_of_orphans()
    if os.fork():
        os.close(writes)
        os.close(errors)
        _wait(reads, heard)
    os.close(reads)
    os.close(heard)
    preserved = [each for each in (*kept, writes, errors, pidfile.fd if pidfile else -1) if each >= 0]
    _have_standard_files()
    _detach(context, preserved, errors)
    os.close(errors)
    os.write(writes, b"%d\n" % os.getpid())
    if pidfile:
        pidfile.write(os.getpid())

    def told() -> None:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 2)
        os.close(nothing)
        try:
            os.write(writes, _READY)
        except OSError:
            pass  # who started us was ended while it waited
        os.close(writes)

    return told


def _context() -> type:
    if managed():
        raise ServiceFailure("--daemon is not for systemd, which loses sight of it", hint="leave --daemon out")
    try:
        from daemon import DaemonContext
    except ImportError:
        raise ServiceFailure(
            "--daemon needs a library that is missing",
            hint="install python-daemon (Debian: python3-daemon), or use start-stop-daemon --background",
        ) from None
    context: type = DaemonContext
    return context


class _Errors:
    """What python-daemon wants for a file: somewhere for standard error to lead."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def fileno(self) -> int:
        return self.descriptor


def _detach(context: type, preserved: list[int], errors: int) -> None:
    """Have python-daemon do it, against some of its defaults.

    Its umask would be 0; its pidfile is opened after all rights are gone, and a stale one blocks for ever; its signal
    handlers raise SystemExit wherever the program is.  The user is changed later, by each process (``privileges``).
    """
    made = context(
        detach_process=True,
        working_directory="/",
        umask=0o077,
        files_preserve=preserved,
        stderr=_Errors(errors),
        signal_map={},
        prevent_core=True,
    )
    made.open()


def _have_standard_files() -> None:
    """Python has no object for a standard file that was closed at the start; python-daemon expects all three."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, closefd=False, encoding="utf-8"))  # noqa: SIM115 - it stays open


def _be_parent_of_orphans() -> None:
    """Have the daemon, whose parents end on its way, be ours, so that its exit code is told to us."""
    from msmtp.sandbox.libc import Library

    try:
        Library().call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, ImportError):
        pass  # then a failure's own code is not known, only that it failed


def _wait(reads: int, heard: int) -> NoReturn:
    """Wait for the daemon's word, or its end, and end accordingly."""
    code = EX_SOFTWARE
    try:
        code = _outcome(reads, heard)
        os.set_blocking(heard, False)
        _pass_on(heard)
    finally:
        os._exit(code)  # noqa: SLF001 - public, whatever its name says


def _outcome(reads: int, heard: int) -> int:
    """What came of it, meanwhile passing on what the daemon says."""
    number, end = b"", -1
    poll = select.poll()
    for descriptor in (reads, heard):
        poll.register(descriptor, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if heard in ready and not _pass_on_some(heard):
            poll.unregister(heard)
        if reads in ready:
            block = os.read(reads, _NUMBER_LENGTH)
            number += block
            if number.endswith(_READY):
                return EX_OK
            if not block:
                return _last_status(int(number) if number.strip().isdigit() else 0)
            if end < 0 and number.endswith(b"\n"):
                end = _descriptor_of(int(number))
                if end >= 0:
                    poll.register(end, select.POLLIN)
        elif end in ready:  # it ended, and a child of its own holds the pipe
            return _last_status(int(number))


def _descriptor_of(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1  # the pipe's end will have to do


def _pass_on_some(heard: int) -> bool:
    """Pass on what the daemon says to who started it; False at the end, or if there is nothing now."""
    try:
        said = os.read(heard, 4096)
        return bool(said and os.write(2, said))
    except OSError:
        return False


def _pass_on(heard: int) -> None:
    while _pass_on_some(heard):
        pass


def _last_status(pid: int) -> int:
    """Exit code of the daemon (``pid``, 0 if it never said), or of who failed on the way to it."""
    code = EX_OK
    while True:
        try:
            ended, status = os.waitpid(-1, 0)
        except ChildProcessError:
            break
        code = os.waitstatus_to_exitcode(status) or code
        if ended == pid:
            break
    return code if code > 0 else EX_SOFTWARE
