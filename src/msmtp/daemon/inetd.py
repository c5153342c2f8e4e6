"""--inetd: one session on standard input and output, for inetd, systemd's Accept=yes, or a pair of pipes.

There is no keeper and no supervisor of its own: the process that inetd started does their work for the one session, is
broker of both kinds, and forks the one worker, which is as confined as ever.  What several sessions would share is not
there: the memory of failed logins (so each answer to a wrong password is held back, as the C program does), a source's
share of the slots.  How many sessions there may be at a time is inetd's to say, or MaxConnections=.

Standard input and output are moved out of the way at once, so nothing that the delivery command prints can ever reach
the client.  They may be two pipes; then a process of its own copies between them and the one socket that a worker has.
"""

from __future__ import annotations

import _socket
import select
import signal
import stat
from time import monotonic_ns

from msmtp import sandbox
from msmtp.daemon import (
    delivery,
    descriptors,
    events,
    listeners,
    peers,
    privileges,
    runner,
    service,
    standing,
    throttle,
    titles,
    worker,
)
from msmtp.daemon.brokers import Brokers
from msmtp.daemon.channel import pair
from msmtp.daemon.journal import open_journal
from msmtp.daemon.listeners import Listener
from msmtp.daemon.loop import Loop
from msmtp.daemon.requests import SCRIPTED
from msmtp.daemon.sessions import AFTER_ALL, Sessions
from msmtp.daemon.slots import Slots, take_by_lock
from msmtp.daemon.status import Page
from msmtp.daemon.workers import Workers
from msmtp.exits import EX_OK
from msmtp.failures import ServiceFailure
from msmtp.smtp.server_replies import REPLIES
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.journal import Journal
    from msmtp.daemon.policy import Policy
    from msmtp.daemon.privileges import Users
    from msmtp.daemon.workers import Worker

_BLOCK = 65_536


def serve(settings: Settings) -> int:
    """Serve the session; give the exit code.  Raises Failure if that cannot be begun."""
    runner.keep_children()
    connection, scripted = _connection()
    users = privileges.users(settings)
    service.Service()  # takes the variables out of the environment
    journal = open_journal(settings, users.numbers())
    settings.workers_ahead = 0
    settings.max_sessions = max(2, settings.max_sessions)
    titles.set_title("inetd")
    slot = _slot(settings)
    if slot is None:
        _refuse(connection)
        events.refused(journal, "a client", "all slots are taken")
        return EX_OK
    verifiers = _verifiers(settings)
    session = OneSession(settings, connection, journal, users, verifiers, scripted=scripted)
    try:
        session.run()
    finally:
        if slot >= 0:
            os.close(slot)
    return EX_OK


def _slot(settings: Settings) -> int | None:
    """Take a slot of those that sessions share where the daemon has a folder; -1 without one, None if all are taken."""
    folder = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or "/run/msmtpd"
    try:
        slot = take_by_lock(f"{folder}/slots", settings.max_sessions)
    except OSError:  # no such folder, or not ours: then it is inetd's to say how many there may be
        return -1
    return slot if slot >= 0 else None


def _refuse(connection: _socket.socket) -> None:
    """Say 421, and close."""
    try:
        connection.send(REPLIES["too many sessions"].encode(), _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
    except OSError:
        pass  # it is gone
    finally:
        connection.close()


def _verifiers(settings: Settings) -> int:
    if not settings.auth:
        return -1
    from msmtp.daemon import passwords

    return passwords.verifiers(settings, may_ask=False)


class OneWorker(Workers):
    """One worker, forked here and not by a nursery."""

    def fork(self, settings: Settings, journal: Journal, users: Users, prepared: sandbox.Prepared | None) -> None:
        """Make it.  Raises ServiceFailure."""
        ours, theirs = pair()
        try:
            pid = os.fork()
        except OSError as error:
            raise ServiceFailure(f"the system gives no process for the session: {error.strerror}") from None
        if not pid:
            try:
                self._loop.close()
                kept = (prepared.ruleset,) if prepared else ()
                descriptors.keep_only({theirs, *journal.descriptors(), *kept})
                titles.set_title("worker")
                privileges.drop(users.worker)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)  # by which the kernel ends it; its parent may not
                signal.alarm(settings.session_timeout + settings.command_timeout + AFTER_ALL)
                worker.run(theirs, settings, prepared, settings.sandbox)
            finally:
                os._exit(70)  # noqa: SLF001 - public, whatever its name says
        os.close(theirs)
        self.welcome(pid, os.pidfd_open(pid), ours)

    def ask_how_it_ended(self, child: Worker) -> None:
        """Wait for it: nobody else can."""
        ended = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
        if ended and (ended.si_code, ended.si_status) != (os.CLD_EXITED, 0):
            status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
            self.tell_of_death(child.session, status)


def _nothing(*_: object) -> None:
    """There is nobody to be told: with one session, nothing follows from it."""


class OneSession:
    """What one session needs, in one process: the supervisor's parts, and the brokers themselves."""

    def __init__(  # noqa: PLR0913 - all that belongs to it
        self,
        settings: Settings,
        connection: _socket.socket,
        journal: Journal,
        users: Users,
        verifiers: int,
        *,
        scripted: bool = False,
    ) -> None:
        """``scripted``: the client need not wait for replies."""
        self.settings = settings
        self.connection = connection
        self.journal = journal
        self.users = users
        self.verifiers = verifiers
        self.page = Page()
        self.loop = Loop()
        self.delivery: delivery.DeliveryBroker | None = None
        self.policy: Policy | None = None
        slots = Slots(settings.max_sessions)
        self.brokers = Brokers(settings, self.loop, changed=_nothing, hung=_nothing)
        self.workers = OneWorker(
            settings,
            self.loop,
            slots=slots.number,
            page=self.page,
            journal=journal,
            user=users.worker,
            changed=self.end_if_done,
        )
        self.sessions = Sessions(
            settings,
            self.loop,
            listeners=[],
            workers=self.workers,
            brokers=self.brokers,
            slots=slots,
            page=self.page,
            journal=journal,
            rested=_nothing,
            flags=SCRIPTED if scripted else 0,
        )

    def run(self) -> None:
        """Serve the session, and the mails that it leaves behind."""
        self.prepare()
        self.loop.on_signals({signal.SIGTERM: self.stop, signal.SIGINT: self.stop, signal.SIGHUP: lambda: None})
        kind = "unix" if self.connection.family == _socket.AF_UNIX else "inet"
        begun = self.sessions.begin(Listener(-1, "standard input", kind), self.connection)
        self.workers.dismiss()  # there is no other, and none is to come
        if begun:
            self.loop.run()

    def prepare(self) -> None:
        """Fork the worker and what holds the key, then become what runs the command."""
        settings = self.settings
        if settings.policy and not settings.deliver_by:
            from msmtp.daemon import guard

            self.policy = guard.load(settings)
        self.sessions.prepare()
        worker.warm(settings)
        roles = []
        if settings.sandbox != sandbox.OFF:
            roles = [delivery.prepare(settings), worker.prepare(settings)]
        if settings.sandbox == sandbox.REQUIRE:
            sandbox.check(*roles)
        self.workers.fork(settings, self.journal, self.users, roles[1] if roles else None)
        tls = self.fork_tls() if settings.tls_cert else -1
        if self.users.change:
            privileges.drop(self.users.delivery)
        if roles:
            standing.enter(roles[0], settings, self.journal)
        self.begin_brokers()
        if tls >= 0:
            self.brokers.take("tls", tls)

    def fork_tls(self) -> int:
        """Have a process hold the key; give the way to it."""
        from msmtp.daemon import tls

        context = tls.load(self.settings)
        ours, theirs = pair()
        if not os.fork():
            try:
                self.loop.close()
                descriptors.keep_only({theirs, *self.journal.descriptors()})
                if self.users.change:
                    privileges.drop(self.users.tls)
                tls.run([theirs], self.settings, context, self.journal)
            except BaseException as error:  # noqa: BLE001 - nothing returns into the caller
                events.unexpected(self.journal, "tls", error)
            finally:
                os._exit(0)  # noqa: SLF001 - public, whatever its name says
        os.close(theirs)
        return ours

    def begin_brokers(self) -> None:
        """Be broker of both kinds, in this process and its loop."""
        self.delivery = delivery.DeliveryBroker(
            self.loop,
            self.settings,
            self.journal,
            self.page,
            names_user=peers.user_name,
            policy=self.policy,
            ended=self.loop.stop,
        )
        self.brokers.take("delivery", self.way_to_delivery())
        if self.verifiers < 0:
            return
        from msmtp.daemon import auth, passwords

        known, secret = passwords.read(self.verifiers)
        memory = throttle.make()
        memory.failed(b"inetd", monotonic_ns())  # nobody knows what other sessions have seen
        broker = auth.AuthBroker(
            self.loop, known, memory, self.journal, self.page, secret, proxies=self.settings.proxy_protocol
        )
        ours, theirs = pair()
        broker.control(theirs)
        self.brokers.take("auth", ours)

    def way_to_delivery(self) -> int:
        """A way to the broker in this process, or to the one that is a service of its own."""
        if self.settings.deliver_by:
            from msmtp.daemon import relay

            return relay.way_for_one(self.settings)
        assert self.delivery
        ours, theirs = pair()
        self.delivery.control(theirs)
        return ours

    def stop(self) -> None:
        """Have the worker say 421 unless a mail is under way."""
        self.workers.terminate()

    def end_if_done(self) -> None:
        """The session is over: end when its last mail is."""
        if self.workers.none_left() and self.delivery:
            self.brokers.hang_up()
            self.delivery.drain()


# -- standard input and output


def _connection() -> tuple[_socket.socket, bool]:
    """The client: one socket, whatever standard input and output are; both lead nowhere afterwards.

    With it, whether nobody else can write into it: behind pipes.
    """
    handed = listeners.connection()
    if handed is not None:
        descriptors.point_standard_ones_at_nothing()
        return _socket.socket(fileno=handed), False
    reads, writes = (os.dup(number) for number in (0, 1))
    same_as_errors = os.fstat(2).st_ino == os.fstat(0).st_ino and stat.S_ISSOCK(os.fstat(2).st_mode)
    _lead_nowhere((0, 1, 2) if same_as_errors else (0, 1))
    if stat.S_ISSOCK(os.fstat(reads).st_mode):
        os.close(writes)
        connection = _socket.socket(fileno=reads)
        if connection.type != _socket.SOCK_STREAM or connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN):
            raise ServiceFailure(
                "standard input is not a connection", hint="inetd needs the words stream and nowait in its entry"
            )
        return connection, False
    return _behind_pipes(reads, writes), True


def _lead_nowhere(numbers: tuple[int, ...]) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in numbers:
        os.dup2(nothing, number)
    os.close(nothing)


def _behind_pipes(reads: int, writes: int) -> _socket.socket:
    """A socket whose other end a child connects with what the client holds."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    if not os.fork():
        try:
            descriptors.keep_only({reads, writes, theirs.fileno()})
            copy(reads, writes, theirs)
        finally:
            os._exit(0)  # noqa: SLF001 - public, whatever its name says
    theirs.close()
    os.close(reads)
    os.close(writes)
    return ours


def copy(reads: int, writes: int, session: _socket.socket) -> None:
    """Copy both ways until the session is over; the end of input is passed on, and what is said after it, too."""
    poll = select.poll()
    poll.register(reads, select.POLLIN)
    poll.register(session.fileno(), select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready == reads:
                block = os.read(reads, _BLOCK)
                if not (block and _passed_on(block, session)):
                    poll.unregister(reads)
                    session.shutdown(_socket.SHUT_WR)
                continue
            block = session.recv(_BLOCK)
            if not block:
                return
            while block:
                block = block[os.write(writes, block) :]


def _passed_on(block: bytes, session: _socket.socket) -> bool:
    """Write; False if nobody reads any more: the session is over, and what it said last is still to be copied."""
    try:
        session.sendall(block)
    except OSError:
        return False
    return True
