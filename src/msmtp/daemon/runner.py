"""Runner: commands that are started, watched, and ended with all that they started.

A command leads a session and a group of its own.  It has standard input, output and error and no other descriptor; what
it prints is read for as long as it runs, and the end of it kept.  The command is over when its own process is: what it
left behind does not delay the result, and is ended.

    in its group        killed at once
    with a new session  a daemon, say: becomes our child when its parent ends (prctl(2), PR_SET_CHILD_SUBREAPER), and is
                        killed when no command is left that may have started it

Nothing here waits: ends are told by pidfds, output by its pipe, time limits by the loop.
"""

from __future__ import annotations

import errno
import signal
from time import monotonic, sleep

from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from msmtp.daemon.loop import Loop, Timer

    Start = Callable[[int], int]  # descriptor for output in, process out; raises OSError

OUTPUT_LIMIT = 4_096  # octets kept of what a command prints, the last ones
TERM_SECONDS = 5.0  # from SIGTERM to SIGKILL
KILL_SECONDS = 5.0  # from SIGKILL to the result being told all the same
_PAUSE = 0.002
_BLOCK = 65_536
_LAST_BLOCKS = 4  # a pipe's worth, at the end: a grand-child may write for ever

PR_SET_CHILD_SUBREAPER = 36

# Default for a command: what Python ignores, and what the daemon handles.
DEFAULT_SIGNALS = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGCHLD,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


class Outcome:
    """How a command ended: its exit ``code``, -N for signal N; ``output``: its last octets; ``seconds`` it took."""

    __slots__ = ("code", "output", "seconds", "timed_out")

    def __init__(self, code: int, output: bytes, seconds: float, *, timed_out: bool) -> None:
        self.code = code
        self.output = output
        self.seconds = seconds
        self.timed_out = timed_out


class _Run:
    """A command that runs."""

    __slots__ = (
        "began",
        "finished",
        "output",
        "pid",
        "pidfd",
        "pipe",
        "timed_out",
        "timer",
    )  # timer: once it timed out

    def __init__(self, pid: int, pidfd: int, pipe: int, finished: Callable[[Outcome], None]) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.pipe = pipe
        self.finished = finished
        self.output = b""
        self.timed_out = False
        self.timer: Timer | None = None
        self.began = monotonic()


class _Orphan:
    """A process that a command left, now our child; ``suspects`` are commands that may have started it."""

    __slots__ = ("pidfd", "suspects")

    def __init__(self, pidfd: int, suspects: set[int]) -> None:
        self.pidfd = pidfd
        self.suspects = suspects


class Runner:
    """Commands of one process; all its other children are what commands left, so that it may end them."""

    __slots__ = ("_apart", "_children", "_loop", "_orphans", "_runs", "_time_limit", "_watch")

    def __init__(self, loop: Loop, time_limit: float, apart: Collection[int] = ()) -> None:
        """``time_limit``: seconds that a command may take; ``apart``: children, now and later, that are none."""
        self._loop = loop
        self._apart = apart
        self._time_limit = time_limit
        self._watch: Timer | None = None
        self._runs: dict[int, _Run] = {}
        self._orphans: dict[int, _Orphan] = {}
        self._children = f"/proc/self/task/{os.getpid()}/children"

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def busy(self) -> bool:
        """Whether there is a command, or something that one left."""
        return bool(self._runs or self._orphans)

    def start(self, start: Start, finished: Callable[[Outcome], None]) -> None:
        """Start a command; ``finished(outcome)`` is called once, later.  Raises OSError if it cannot be started."""
        reads, writes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            os.set_blocking(writes, True)  # the command's end is an ordinary pipe
            pid = start(writes)
        except BaseException:
            os.close(reads)
            raise
        finally:
            os.close(writes)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            os.close(reads)
            _signal_group(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        run = _Run(pid, pidfd, reads, finished)
        self._runs[pid] = run
        self._loop.watch(reads, lambda _events: self._on_output(run))
        self._loop.watch(pidfd, lambda _events: self._ended(run))
        if self._watch is None:
            self._watch = self._loop.after(self._time_limit, self._look_at_times)

    # -- output

    def _on_output(self, run: _Run) -> None:
        self._read(run)

    def _read(self, run: _Run) -> bool:
        """Take what was printed; whether there may be more."""
        try:
            block = os.read(run.pipe, _BLOCK)
        except BlockingIOError:
            return False
        except OSError:
            block = b""
        if block:
            run.output = (run.output + block)[-OUTPUT_LIMIT:]
            return len(block) == _BLOCK
        self._loop.forget(run.pipe)
        return False

    # -- the end

    def _look_at_times(self) -> None:
        """End what has used up its time; one timer serves all, as those that began first are to end first."""
        self._watch = None
        now = monotonic()
        for run in list(self._runs.values()):
            left = run.began + self._time_limit - now
            if left > 0:
                self._watch = self._loop.after(left, self._look_at_times)
                return
            if not run.timed_out:
                self._too_long(run)

    def _too_long(self, run: _Run) -> None:
        run.timed_out = True
        _signal_group(run.pid, signal.SIGTERM)
        run.timer = self._loop.after(TERM_SECONDS, lambda: self._kill(run))

    def _kill(self, run: _Run) -> None:
        _signal_group(run.pid, signal.SIGKILL)
        run.timer = self._loop.after(KILL_SECONDS, lambda: self._give_up(run))

    def _give_up(self, run: _Run) -> None:
        """The kernel does not let go of it (a server of files hangs, it is another user's): waited for as an orphan."""
        self._loop.forget(run.pidfd)
        self._adopt(run.pid, run.pidfd, set())
        self._finish(run, -signal.SIGKILL)

    def _ended(self, run: _Run) -> None:
        """Its process is over, and not yet reaped: no other process can have its number, nor its group's."""
        for _ in range(_LAST_BLOCKS):
            if not self._loop.watched(run.pipe) or not self._read(run):
                break
        _signal_group(run.pid, signal.SIGKILL)
        self._loop.forget(run.pidfd)
        os.close(run.pidfd)
        self._finish(run, _reaped(run.pid))

    def _finish(self, run: _Run, code: int) -> None:
        self._loop.forget(run.pipe)
        os.close(run.pipe)
        if run.timer:
            run.timer.cancel()
        del self._runs[run.pid]
        try:
            run.finished(Outcome(code, run.output, monotonic() - run.began, timed_out=run.timed_out))
        finally:
            self._sweep(run.pid)

    # -- what commands leave

    def _sweep(self, ended: int) -> None:
        """Look for processes that were left, and end those that nobody can be missing."""
        for pid, orphan in list(self._orphans.items()):
            orphan.suspects.discard(ended)
            if not orphan.suspects:
                _kill_orphan(pid)
        if self._has_others():
            for pid in self._our_children().difference(self._runs, self._orphans, self._apart):
                self._find(pid)

    def _has_others(self) -> bool:
        """Whether there may be children beside those known; mostly there are none at all, which is cheap to ask."""
        if self._runs or self._orphans or self._apart:
            return True
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return True

    def _our_children(self) -> set[int]:
        """Numbers of our child processes, those that ended among them."""
        try:
            listing = os.open(self._children, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return self._zombies()  # a kernel without it
        try:
            told = b""
            while block := os.read(listing, _BLOCK):
                told += block
        finally:
            os.close(listing)
        return {int(number) for number in told.split()}

    def _zombies(self) -> set[int]:
        """Children that ended, as far as they can be seen without a list: one, and none while commands run."""
        if self._runs:
            return set()
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return set()
        return {ended.si_pid} if ended else set()

    def _find(self, pid: int) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            if error.errno != errno.ESRCH:
                _kill_orphan(pid)  # no descriptors: it is reaped by a later sweep
            return
        self._adopt(pid, pidfd, set(self._runs))

    def _adopt(self, pid: int, pidfd: int, suspects: set[int]) -> None:
        self._orphans[pid] = _Orphan(pidfd, suspects)
        self._loop.watch(pidfd, lambda _events: self._orphan_ended(pid, pidfd))
        if not suspects:
            _kill_orphan(pid)

    def _orphan_ended(self, pid: int, pidfd: int) -> None:
        """It is gone; what it had started is ours now."""
        self._loop.forget(pidfd)
        os.close(pidfd)
        _reaped(pid)
        del self._orphans[pid]
        self._sweep(0)

    def end_all(self) -> None:
        """End every child, and wait for that; for a process that ends itself.

        Nobody has to see to them then: a service manager would wait for what is left of a service.
        """
        until = monotonic() + KILL_SECONDS
        while monotonic() < until:
            for pid in {*self._runs, *self._orphans, *self._apart, *self._our_children()}:
                _signal_group(pid, signal.SIGKILL)
                _signal_group(pid, signal.SIGKILL, group=False)
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return
            sleep(_PAUSE)


def become_subreaper() -> bool:
    """Have processes whose parents end become our children; whether the system did it."""
    from msmtp.sandbox.libc import Library

    try:
        return Library().call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    except (OSError, ImportError):
        return False


def spawn(path: str, argv: list[bytes], environment: dict[bytes, bytes], mail: int, output: int) -> int:
    """Start a program in a session of its own, the mail as its standard input; its process.  Raises OSError.

    posix_spawn(3) makes the process without a copy of ours: it takes the time of a hundred pages, not of all.
    """
    return os.posix_spawn(
        path,
        argv,
        environment,
        file_actions=(
            (os.POSIX_SPAWN_DUP2, mail, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ),
        setsid=True,
        setsigmask=(),
        setsigdef=DEFAULT_SIGNALS,
    )


def _signal_group(pid: int, number: int, *, group: bool = True) -> None:
    try:
        if group:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, PermissionError):  # nobody left, or all of them another user's
        return


def _kill_orphan(pid: int) -> None:
    """Kill a child of ours with its group, if that is not ours too."""
    try:
        group = os.getpgid(pid)
    except ProcessLookupError:
        group = 0
    if group not in {0, os.getpgrp()}:
        _signal_group(group, signal.SIGKILL)
    _signal_group(pid, signal.SIGKILL, group=False)


def _reaped(pid: int) -> int:
    """The status of a process that is over."""
    try:
        _, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return -signal.SIGKILL  # somebody else took it: how it ended is not known, and no success
    return os.waitstatus_to_exitcode(status)
