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
from msmtp.daemon import standing
from msmtp.daemon.channel import Channel, pair
from msmtp.daemon.loop import Loop
from msmtp.daemon.requests import CONTROL, COUNTERS, NAMES
from msmtp.failures import ChannelFailure, ServiceFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.journal import Journal
    from msmtp.daemon.status import Page

WAYS = {row.name: row for row in (CONTROL, NAMES)}
"""What the keeper says to delivery, and a relay passes on."""

CONNECTING = 5.0  # seconds
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
    return Channel(made.detach())


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

    def pass_on(_events: int) -> None:
        try:
            message = keeper_end.receive((CONTROL, NAMES))
            service_end.send(WAYS[message.name], descriptors=message.descriptors)
            message.close()
        except ChannelFailure:
            loop.stop()

    loop.watch(keeper_end.fileno(), pass_on)
    loop.watch(service_end.fileno(), lambda _events: loop.stop())  # it says nothing: it has gone
    loop.run()


def way_for_one(settings: Settings) -> int:
    """A control channel to the service for one session (--inetd).  Raises ServiceFailure."""
    service_end = connect(settings)
    ours, theirs = pair()
    try:
        service_end.send(CONTROL, descriptors=(theirs,))
    except ChannelFailure:
        os.close(ours)
        raise ServiceFailure(f"delivery at {settings.deliver_by} hung up") from None
    finally:
        os.close(theirs)
        service_end.close()
    return ours
