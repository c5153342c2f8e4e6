"""The nursery: the parent of all workers, which does nothing but fork them.

A fork costs what the two processes write to afterwards: each page of memory that they shared is copied by the first of
them that touches it, and Python touches an object to look at it.  The supervisor has more to do between two forks than
anybody, so it would copy itself anew for each worker.  This process is forked from it once, waits, and forks; and what
is the same for all workers (user, namespaces, limits, no rights) it takes on once, before.

    supervisor  GROW         so many workers; 0: none, but wait for those that ended
    supervisor  <- BORN      a worker, with the descriptor that tells of its end and the way to it
                <- BARREN    the system gives no process
                <- DIED      a worker ended by a signal, or not as it should
                end          this process ends, and the kernel tells its workers

A worker has less than this process: no fork, no descriptor but its own to the supervisor, limits for itself alone.
"""

from __future__ import annotations

import signal

from msmtp import sandbox
from msmtp.daemon import descriptors, events, forks, privileges, standing, titles, worker
from msmtp.daemon.channel import Channel, ChannelGone, pair
from msmtp.daemon.requests import BARREN, BORN, DIED, GROW
from msmtp.daemon.wire import Termination
from msmtp.failures import ChannelFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.journal import Journal
    from msmtp.daemon.privileges import User
    from msmtp.sandbox import Prepared


class Roles:
    """The two roles, prepared before the supervisor enters its own; None where there is no sandbox."""

    __slots__ = ("nursery", "worker")

    def __init__(self, settings: Settings, descriptors: int) -> None:
        """``descriptors``: as many as may be on their way to the supervisor, and all else of this user's."""
        self.nursery = sandbox.prepare(ROLE, limits={"descriptors": descriptors})
        self.worker = sandbox.prepare("worker", limits=worker.limits(settings), within=ROLE)

    def descriptors(self) -> tuple[int, ...]:
        """What they are entered with."""
        return tuple([each.ruleset for each in (self.nursery, self.worker) if each.ruleset >= 0])


ROLE = "nursery"


def run(control: int, settings: Settings, roles: Roles | None, user: User, journal: Journal) -> NoReturn:
    """Be the nursery, in the child that was forked for it; ``control``: the way to the supervisor."""
    try:
        worker.before()
        descriptors.keep_only({control, *journal.descriptors(), *(roles.descriptors() if roles else ())})
        titles.set_title(ROLE)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # sent to all alike, it is the keeper's; this ends with the channel
        forks.heed()
        privileges.drop(user)
        if roles:
            standing.enter(roles.nursery, settings, journal)
            roles.worker.adopt()
        journal.close()
        Nursery(control, settings, roles.worker if roles else None).run()
    except Exception as error:  # noqa: BLE001 - nothing returns into the supervisor's life
        events.unexpected(journal, ROLE, error)
    finally:
        os._exit(0)  # noqa: SLF001 - public, whatever its name says


class Nursery:
    """Forks workers when it is told to."""

    __slots__ = ("_channel", "_children", "_prepared", "_settings")

    def __init__(self, control: int, settings: Settings, prepared: Prepared | None) -> None:
        self._channel = Channel(control)
        self._settings = settings
        self._prepared = prepared
        self._children = 0

    def run(self) -> None:
        """Serve until the supervisor is gone."""
        try:
            while True:
                number = self._channel.receive((GROW,)).number("count")
                self._reap()
                if number:
                    titles.set_title("worker")  # which the children have from here
                    self._fork_several(number)
                    titles.set_title(ROLE)
        except ChannelGone:
            return

    def _fork_several(self, number: int) -> None:
        for _ in range(number):
            if not self._fork():
                break

    def _fork(self) -> bool:
        """Make a worker; whether the system gave all that it takes."""
        try:
            ours, theirs = pair()
        except OSError as error:
            return self._fail(error)
        termination = None
        try:
            termination = Termination()
            pid = forks.fork()
            if not pid:
                self._be_worker(ours, theirs, termination)
            self._children += 1
            pidfd = os.pidfd_open(pid)
            try:
                self._channel.send(BORN, pid, descriptors=(pidfd, theirs))
            finally:
                os.close(pidfd)
        except OSError as error:
            return self._fail(error)
        finally:
            os.close(ours)
            os.close(theirs)
            if termination:
                termination.close()
        return True

    def _fail(self, error: OSError) -> bool:
        """Say that the rest of what was asked for will not come; a worker that nobody was told of ends by itself."""
        self._channel.send(BARREN, error.errno or 0)
        return False

    def _be_worker(self, control: int, other_end: int, termination: Termination) -> NoReturn:
        """Be a worker, in the child: close what this process holds beside what is the worker's."""
        try:
            os.close(other_end)
            os.close(self._channel.fileno())
            termination.install()  # so that what waited since the fork, when this process ignored it, is heard now
            forks.heed()
            worker.run(control, self._settings, self._prepared, self._settings.sandbox, termination)
        finally:
            os._exit(70)  # noqa: SLF001 - public, whatever its name says

    def _reap(self) -> None:
        """Wait for workers that have ended, without waiting; tell of those that ended as they should not."""
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self._children -= 1
            if status:
                try:
                    self._channel.send(DIED, pid, status)
                except ChannelFailure:
                    return
