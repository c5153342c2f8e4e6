"""The relay: the way to delivery that is a service of its own (``--deliver-by=SOCKET``; daemon/remote is the service).

What meets the network needs none of its own, and what holds the smarthost's password need not meet anybody.  So a
service manager may start the two apart, each with what it needs:

    keeper -- relay ====SOCKET==== delivery        the relay is where the delivery broker would be
    supervisor --- channel ------- delivery        made by the keeper as ever, and passed on by the relay
    worker ------- channel ------- delivery        made by the supervisor as ever

The relay connects, says where to count (COUNTERS), then passes on what the keeper says (WAYS).  If delivery goes,
the relay ends, and the keeper starts it anew as it would start delivery; the socket is the service manager's, so that
whoever connects meanwhile waits.  If the relay goes, delivery loses one of those that it serves, and serves on.
"""

from __future__ import annotations

import _socket

from msmtp import sandbox
from msmtp.daemon import events, standing
from msmtp.daemon.channel import Channel, ChannelShort, pair
from msmtp.daemon.loop import Loop
from msmtp.daemon.requests import CONTROL, COUNTERS, NAMES
from msmtp.failures import ChannelFailure, ServiceFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.channel import Message
    from msmtp.daemon.journal import Journal
    from msmtp.daemon.status import Page

WAYS = {row.name: row for row in (CONTROL, NAMES)}
"""What the keeper says to delivery, and a relay passes on."""

CONNECTING = 5.0  # seconds
AGAIN = 0.05  # seconds until a message is said again that the service or the system had no room for
_DESCRIPTORS = 64  # that a relay may hold, which are a few


def connect(settings: Settings) -> Channel:
    """A way to the service.  Raises ServiceFailure if nobody listens there."""
    made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    made.settimeout(CONNECTING)
    try:
        made.connect(settings.deliver_by)
    except OSError as error:
        made.close()
        reason = error.strerror or "nobody answers"
        hint = "the unit msmtpd-send.socket listens there for msmtpd --deliver"
        raise ServiceFailure(f"cannot reach delivery at {settings.deliver_by}: {reason}", hint=hint) from None
    made.settimeout(None)  # the descriptor itself does not block until this is said
    return Channel(made.detach())


class Relay:
    """Passes on what the keeper says; the loop stops when one of the two sides has gone."""

    __slots__ = ("_journal", "_keeper", "_loop", "_service")

    def __init__(self, loop: Loop, keeper: Channel, service: Channel, journal: Journal) -> None:
        self._loop = loop
        self._keeper = keeper
        self._service = service
        self._journal = journal
        for end in (keeper, service):
            end.set_blocking(False)
        loop.watch(service.fileno(), lambda _events: loop.stop())  # it says nothing: it has gone
        self._listen()

    def _listen(self) -> None:
        self._loop.watch(self._keeper.fileno(), lambda _events: self._hear())

    def _hear(self) -> None:
        try:
            message = self._keeper.receive((CONTROL, NAMES))
        except BlockingIOError:
            return
        except ChannelShort as shortage:  # the other end of what came along is closed by that
            events.note(self._journal, 0, f"relay: {shortage.message}")
            return
        except ChannelFailure:
            self._loop.stop()
            return
        self._pass_on(message)

    def _pass_on(self, message: Message) -> None:
        """Say it to the service; while there is no room for it, nobody listens to the keeper."""
        try:
            self._service.send(WAYS[message.name], descriptors=message.descriptors)
        except BlockingIOError:
            self._loop.forget(self._keeper.fileno())
            self._loop.after(AGAIN, lambda: self._pass_on(message))
            return
        except ChannelFailure:
            self._loop.stop()
        message.close()
        self._listen()


def prepare() -> sandbox.Prepared:
    """Make the relay's role ready: channels, and descriptors passed on, as auth does."""
    return sandbox.prepare("auth", limits={"descriptors": _DESCRIPTORS})


def relay(keeper: int, settings: Settings, journal: Journal, page: Page) -> None:
    """Stand where delivery would, in the child that was forked for it; return when one of the two sides has gone."""
    os.chdir("/")
    loop = Loop()
    prepared = prepare()
    service_end, keeper_end = connect(settings), Channel(keeper)
    if page.descriptor >= 0:  # -1: only a reload has said --deliver-by
        service_end.send(COUNTERS, page.number, descriptors=(page.descriptor,))
    standing.heed(loop, loop.stop)
    standing.enter(prepared, settings, journal)

    Relay(loop, keeper_end, service_end, journal)
    loop.run()


def way_for_one(settings: Settings) -> int:
    """A control channel to the service for one session (--inetd).  Raises ServiceFailure."""
    service_end = connect(settings)
    ours, theirs = pair()
    try:
        service_end.send(CONTROL, descriptors=(theirs,))
    except (ChannelFailure, OSError):
        os.close(ours)
        raise ServiceFailure(f"delivery at {settings.deliver_by} does not listen") from None
    finally:
        os.close(theirs)
        service_end.close()
    return ours
