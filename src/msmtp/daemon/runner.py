"""Runner: commands that are started, watched, and ended with all that they started.

A command leads a session and a group of its own.  It has standard input, output and error and no other descriptor; what
it prints is read for as long as it runs, and the end of it kept.  The command is over when its own process is: what it
left behind does not delay the result, and is ended.

    in its group        killed at once
    with a new session  a daemon, say: becomes our child when its parent ends (prctl(2), PR_SET_CHILD_SUBREAPER), and is
                        killed when no command is left that may have started it; in a process that asked for that, and
                        has no children of another kind

Nothing here waits: ends are told by pidfds, output by its pipe, time limits by the loop.  A clock stands in where a
pidfd cannot tell: the system has none left for a process that runs already, or the process is traced (ptrace(2)) and
its end is the tracer's to see first.
"""

from __future__ import annotations

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
LOOK_SECONDS = 0.05  # between two looks at a process whose end no pidfd tells
_PAUSE = 0.002
_BLOCK = 65_536
_LAST_BLOCKS = 4  # a pipe's worth, at the end: a grand-child may write for ever

PR_SET_CHILD_SUBREAPER = 36

_SUBREAPERS: set[int] = set()
"""Numbers of processes that asked for what their commands leave: it is not inherited, though this set is."""

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
    """A command that runs.  ``pidfd``: -1 if there was none to be had; ``look``: it is looked for by the clock."""

    __slots__ = (
        "began",
        "finished",
        "look",
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
        self.look: Timer | None = None
        self.began = monotonic()


class _Orphan:
    """A process that a command left, now our child; ``suspects`` are commands that may have started it.

    ``pidfd``: -1 if there was none to be had.
    """

    __slots__ = ("pidfd", "suspects")

    def __init__(self, pidfd: int, suspects: set[int]) -> None:
        self.pidfd = pidfd
        self.suspects = suspects


class Runner:
    """Commands of one process; all other children of a subreaper are what commands left, so that it may end them.

    Another process may have children of its own, and does not get what commands leave: it ends commands alone.
    """

    __slots__ = ("_adopts", "_apart", "_children", "_loop", "_orphans", "_runs", "_time_limit", "_watch")

    def __init__(self, loop: Loop, time_limit: float, apart: Collection[int] = ()) -> None:
        """``time_limit``: seconds that a command may take; ``apart``: children, now and later, that are none."""
        self._loop = loop
        self._adopts = os.getpid() in _SUBREAPERS
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
        """Start a command; ``finished(outcome)`` is called once, later.  Raises OSError if it cannot be started.

        Once it is, nothing here fails any more: it may have sent the mail before it could be ended.
        """
        reads, writes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            os.set_blocking(writes, True)  # the command's end is an ordinary pipe
            pid = start(writes)
        except BaseException:
            os.close(reads)
            raise
        finally:
            os.close(writes)
        run = _Run(pid, _pidfd(pid), reads, finished)
        self._runs[pid] = run
        self._loop.watch(reads, lambda _events: self._on_output(run))
        if run.pidfd >= 0:
            self._loop.watch(run.pidfd, lambda _events: self._look(run))
        else:
            run.look = self._loop.after(LOOK_SECONDS, lambda: self._look(run))
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

    def _look(self, run: _Run) -> None:
        """See whether it is over; if not, by the clock from now on: a pidfd that tells of an end does so for ever."""
        if _is_over(run.pid):
            self._ended(run)
        else:
            self._loop.forget(run.pidfd)
            run.look = self._loop.after(LOOK_SECONDS, lambda: self._look(run))

    def _ended(self, run: _Run) -> None:
        """Its process is over, and not yet reaped: no other process can have its number, nor its group's."""
        for _ in range(_LAST_BLOCKS):
            if not self._loop.watched(run.pipe) or not self._read(run):
                break
        _signal_group(run.pid, signal.SIGKILL)
        self._hang_up(run.pidfd)
        self._finish(run, _reaped(run.pid))

    def _hang_up(self, pidfd: int) -> None:
        if pidfd >= 0:
            self._loop.forget(pidfd)
            os.close(pidfd)

    def _finish(self, run: _Run, code: int) -> None:
        self._loop.forget(run.pipe)
        os.close(run.pipe)
        for timer in (run.timer, run.look):
            if timer:
                timer.cancel()
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
        if self._adopts and self._has_others():
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
            return _numbers(self._children)
        except OSError:
            return self._zombies()  # a kernel without such a list, or without memory for it now

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
        self._adopt(pid, _pidfd(pid), set(self._runs))

    def _adopt(self, pid: int, pidfd: int, suspects: set[int]) -> None:
        self._orphans[pid] = _Orphan(pidfd, suspects)
        if pidfd >= 0:
            self._loop.watch(pidfd, lambda _events: self._look_at_orphan(pid, pidfd))
        else:
            self._loop.after(LOOK_SECONDS, lambda: self._look_at_orphan(pid, pidfd))
        if not suspects:
            _kill_orphan(pid)

    def _look_at_orphan(self, pid: int, pidfd: int) -> None:
        """See whether it is gone: what it had started is ours then.  Else as with :meth:`_look`."""
        if not _is_over(pid):
            self._loop.forget(pidfd)
            self._loop.after(LOOK_SECONDS, lambda: self._look_at_orphan(pid, pidfd))
            return
        self._hang_up(pidfd)
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


def keep_children() -> None:
    """Have children stay until they are waited for: whoever started us may have said that nobody asks how they end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def become_subreaper() -> bool:
    """Have processes whose parents end become our children; whether the system did it."""
    from msmtp.sandbox.libc import Library

    try:
        done = Library().call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    except (OSError, ImportError):
        done = False
    if done:
        _SUBREAPERS.add(os.getpid())
    return done


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


def _pidfd(pid: int) -> int:
    """A descriptor that tells of a child's end; -1 if the system has none left, or no memory for one."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1


def _numbers(path: str) -> set[int]:
    """Numbers that stand in a file.  Raises OSError."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        told = b""
        while block := os.read(file, _BLOCK):
            told += block
    finally:
        os.close(file)
    return {int(number) for number in told.split()}


def _is_over(pid: int) -> bool:
    """Whether a child can be reaped.  One that has ended cannot while a tracer has not seen that."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True  # somebody else took it


def _reaped(pid: int) -> int:
    """The status of a process that :func:`_is_over`."""
    try:
        taken, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        taken = status = 0
    # If somebody else took it, how it ended is not known, and no success.
    return os.waitstatus_to_exitcode(status) if taken else -signal.SIGKILL
