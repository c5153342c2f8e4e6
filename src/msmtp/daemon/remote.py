"""Delivery in a service of its own (``--deliver``): the other end of the way that a relay holds (daemon/relay).

The socket's permissions say who may connect, and delivery sees for itself who did: root, its own user, the daemon's.
"""

from __future__ import annotations

import _socket
import pwd
import signal
import struct

from msmtp import sandbox
from msmtp.config.daemon_settings import reread
from msmtp.daemon import delivery, descriptors, events, guard, peers, privileges, runner, service, standing, titles
from msmtp.daemon.channel import Channel, ChannelGone, ChannelShort
from msmtp.daemon.delivery import IDLE, NEW, DeliveryBroker
from msmtp.daemon.journal import open_journal
from msmtp.daemon.loop import Loop
from msmtp.daemon.requests import CONTROL, COUNTERS, NAMES, PEER_NAME
from msmtp.daemon.status import Page
from msmtp.exits import EX_OK
from msmtp.failures import ChannelFailure, Failure, ServiceFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.journal import Journal
    from msmtp.daemon.policy import Policy

_UCRED = struct.Struct("=iII")
_ACCEPTED_AT_ONCE = 8
_PAUSE = 0.1  # seconds without accepting after the system refused a descriptor or memory
_LOOK_AGAIN = 1.0  # seconds between two looks for sessions that have become idle, while stopping
_UNIT = "it is for a unit with a socket: ListenSequentialPacket=, Accept=no"


class LastingBroker(DeliveryBroker):
    """A delivery broker that stays when nobody is left to serve, and lets idle sessions go when it is to end."""

    __slots__ = ()

    def count_in(self, page: Page) -> None:
        """Count in another page from now on."""
        self._page = page
        page.set("running", len(self._runner))

    def drain(self) -> None:
        """End when the last mail has: who has none under way is hung up on, and may come back."""
        super().drain()
        for session in list(self._sessions.values()):
            if session.state in {NEW, IDLE}:
                self._hang_up(session)
        for control in list(self._controls.values()):
            if self._loop.watched(control.fileno()):
                self._loop.forget(control.fileno())
                control.close()
        self._controls.clear()
        self._loop.after(_LOOK_AGAIN, self.drain)


class Delivery:
    """The service: its socket, who has connected, its broker."""

    def __init__(
        self,
        settings: Settings,
        listener: _socket.socket,
        journal: Journal,
        manager: service.Service,
        policy: Policy | None = None,
    ) -> None:
        self.settings = settings
        self.listener = listener
        self.journal = journal
        self.manager = manager
        self.loop = Loop()
        self.fronts: dict[int, Channel] = {}
        self.stopping = False
        self.page = Page()
        self.trusted = {0, os.geteuid(), *_uid_of(privileges.NAMES["supervisor"])}
        self.broker = LastingBroker(
            self.loop,
            settings,
            journal,
            self.page,
            names_user=peers.user_name,
            warm=delivery.warm_for(settings),
            policy=policy,
            ended=self.end_if_told,
        )

    def run(self) -> None:
        """Serve until told to stop."""
        self.loop.on_signals({signal.SIGTERM: self.stop, signal.SIGINT: self.stop, signal.SIGHUP: self.reload})
        self.listener.setblocking(False)
        self.listen()
        self.manager.ready()
        events.ready(self.journal)
        self.sign_of_life()
        self.loop.run()
        self.broker.close()
        events.stopped(self.journal)

    def reload(self) -> None:
        """Read the policy again, from the file that the options now name; one that is no good changes nothing."""
        if self.stopping:
            return
        self.manager.reloading()
        events.reloading(self.journal)
        try:
            self.broker.judge_by(guard.load(reread(self.settings)))
            events.reloaded(self.journal)
        except Failure as failure:
            events.reload_refused(self.journal, failure.message)
        self.manager.ready()

    def sign_of_life(self) -> None:
        """Tell the service manager that this loop turns."""
        self.manager.alive(f"{self.page['delivered']} mails delivered")
        self.journal.mend()
        self.loop.after(self.manager.interval, self.sign_of_life)

    def listen(self) -> None:
        """Be told of those that connect, unless it is over."""
        if not self.stopping:
            self.loop.watch(self.listener.fileno(), self.accept)

    def accept(self, _events: int) -> None:
        """Take whoever may come."""
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                descriptor, _ = self.listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - accept()'s own
            except BlockingIOError:
                return
            except OSError as error:  # no descriptor, no memory; who connects waits, and would have the loop turn on
                events.note(self.journal, 0, f"cannot accept: {error.strerror}")
                self.loop.forget(self.listener.fileno())
                self.loop.after(_PAUSE, self.listen)
                return
            uid = user_of(descriptor)
            if uid in self.trusted:
                self.take(Channel(descriptor))
            else:
                os.close(descriptor)
                events.refused(self.journal, f"user {peers.user_name(uid)}", "not one whose mails are delivered")

    def take(self, channel: Channel) -> None:
        """Serve a relay, or an --inetd."""
        channel.set_blocking(False)
        self.fronts[channel.fileno()] = channel
        self.loop.watch(channel.fileno(), lambda _events: self.answer(channel))

    def answer(self, channel: Channel) -> None:
        """Take what a relay said."""
        try:
            while True:
                try:
                    said = channel.receive((CONTROL, NAMES, COUNTERS))
                except ChannelShort as shortage:  # the other end of what came along is closed by that
                    events.note(self.journal, 0, f"delivery: {shortage.message}")
                    continue
                if said.name == CONTROL.name:
                    self.broker.control(said.descriptors[0])
                elif said.name == NAMES.name:
                    self.broker.control(said.descriptors[0], (PEER_NAME,))
                else:
                    self.count_in(said.descriptors[0], said.number("lane"))
        except BlockingIOError:
            return
        except ChannelGone:
            pass
        except ChannelFailure as failure:
            events.note(self.journal, 0, f"delivery: {failure.message}")
        self.forget(channel)

    def count_in(self, descriptor: int, lane: int) -> None:
        """Count where the daemon that connected last reads it."""
        try:
            self.page = Page.shared(descriptor, lane)
        except (OSError, ValueError):
            raise ChannelFailure("what came with COUNTERS is no page") from None
        finally:
            os.close(descriptor)
        self.broker.count_in(self.page)

    def forget(self, channel: Channel) -> None:
        """Somebody has gone."""
        self.fronts.pop(channel.fileno(), None)
        self.loop.forget(channel.fileno())
        channel.close()

    def stop(self) -> None:
        """End with the last mail under way.  Relays see it, come again, and wait for the next start."""
        if self.stopping:
            return
        self.stopping = True
        self.manager.stopping()
        events.stopping(self.journal)
        self.loop.forget(self.listener.fileno())
        self.listener.close()
        for channel in list(self.fronts.values()):
            self.forget(channel)
        self.broker.drain()

    def end_if_told(self) -> None:
        """Nobody is left to serve."""
        if self.stopping:
            self.loop.stop()


def user_of(descriptor: int) -> int:
    """Number of the user at the other end of a unix socket."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, descriptor)
    try:
        said = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _UCRED.size)
    finally:
        connection.detach()
    return int(_UCRED.unpack(said)[1])


def _uid_of(name: str) -> list[int]:
    try:
        return [pwd.getpwnam(name).pw_uid]
    except KeyError:
        return []


def _listener() -> _socket.socket:
    """The socket that systemd handed over.  Raises ServiceFailure."""
    passed = service.received() or []
    if len(passed) != 1:
        raise ServiceFailure(f"--deliver takes one socket from systemd, and there are {len(passed)}", hint=_UNIT)
    made = _socket.socket(-1, -1, -1, passed[0][0])
    kind = made.family, made.type, made.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN)
    if kind != (_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 1):
        raise ServiceFailure("the socket from systemd is not one for --deliver", hint=_UNIT)
    return made


def serve(settings: Settings) -> int:
    """Be the service until it is told to end; give the exit code.  Raises Failure if it cannot start."""
    runner.keep_children()
    users = privileges.users(settings)
    listener = _listener()
    policy = guard.load(settings)
    manager = service.Service()
    journal = open_journal(settings, users.numbers())
    events.started(journal, _version())
    os.chdir("/")
    os.umask(0o077)
    descriptors.keep_only({listener.fileno(), *journal.descriptors()})
    titles.set_title("delivery")
    peers.learn_users()
    prepared = delivery.prepare(settings)
    if settings.sandbox == sandbox.REQUIRE:
        sandbox.check(prepared)
    privileges.drop(users.delivery)
    runner.become_subreaper()
    served = Delivery(settings, listener, journal, manager, policy)
    reason = delivery.role(settings)[1]
    standing.enter(prepared, settings, journal, reason)
    served.run()
    return EX_OK


def _version() -> str:
    from msmtp import __version__

    return __version__
