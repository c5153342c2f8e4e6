"""The brokers, seen from the supervisor: the way to each, and whether it answers.

The keeper starts them, and sends the way to each that it has started; a new way takes the place of the one before.

    broker's channel PONG; end: it is gone, until there is a new way

Nothing here waits for a broker: one that hangs costs its sessions, and the keeper is told, who ends it.  That it hangs
is known by questions that it was asked, one at each look, and has not answered; not by a clock: all of the daemon may
have stood still together (a container paused, Ctrl-Z), and a broker that is asked nothing owes no answer.
"""

from __future__ import annotations

from time import monotonic

from msmtp.daemon import roles
from msmtp.daemon.channel import Channel, ChannelGone
from msmtp.daemon.requests import PING, PONG
from msmtp.failures import ChannelFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.loop import Loop
    from msmtp.daemon.requests import Request

HUNG_AFTER = 6  # questions in a row without an answer
LOST_AFTER = 3  # looks in a row without a way to a broker, which may have been lost; one that died is soon there again
_LATE = 2  # questions that may be open while all is well


class Broker:
    """The way to a broker.  ``asked``, ``answered``: numbers of the last PING and PONG; ``owed``: PINGs since that."""

    __slots__ = ("answered", "asked", "channel", "owed", "which")

    def __init__(self, which: str, channel: Channel) -> None:
        self.which = which
        self.channel = channel
        self.asked = 0
        self.answered = 0
        self.owed = 0


class Brokers:
    """``"tls" in brokers`` says whether there is a way to it; :meth:`say` goes there.

    ``complete``: whether all are there that a session needs.  ``changed`` is called when one has come, gone, or
    answered for the first time; ``hung``, with its name, when the keeper should end one.
    """

    def __init__(
        self, settings: Settings, loop: Loop, *, changed: Callable[[], None], hung: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._changed = changed
        self._hung = hung
        self._ways: dict[str, Broker] = {}
        self._needed = ("auth", "delivery") if settings.auth else ("delivery",)
        # Delivery as a service of its own is watched by who started it.
        self._wanted = [which for which in roles.wanted(settings) if which != "delivery" or not settings.deliver_by]
        self._lost = monotonic()
        self._missed = 0
        self.complete = False

    def __contains__(self, which: str) -> bool:
        return which in self._ways

    def take(self, which: str, descriptor: int) -> None:
        """Have a new way to a broker."""
        self._lose(which)
        channel = Channel(descriptor)
        channel.set_blocking(False)
        self._ways[which] = broker = Broker(which, channel)
        self._see_who_is_there()
        self._loop.watch(descriptor, lambda _events: self._hear(broker))
        self._ask(broker)
        self._changed()

    def say(self, which: str, request: Request, *values: object, along: tuple[int, ...] = ()) -> bool:
        """Send to a broker; whether that was possible."""
        broker = self._ways.get(which)
        if broker is None:
            return False
        try:
            broker.channel.send(request, *values, descriptors=along)
        except OSError:  # it hangs, or (ETOOMANYREFS) has too many descriptors to take yet
            return False
        except ChannelGone:
            self._lose(which)
            self._changed()
            return False
        return True

    def hang_up(self) -> None:
        """Have no way to any of them."""
        for which in list(self._ways):
            self._lose(which)

    def lost_for(self) -> float:
        """Seconds since a way was lost, or since the start."""
        return monotonic() - self._lost

    def are_up(self) -> bool:
        """Whether every broker has answered once: one that its settings do not let work ends before it does."""
        return all(which in self._ways and self._ways[which].answered for which in self._wanted)

    def are_well(self) -> bool:
        """Whether all that are needed are there, and all that are there answer."""
        watched = [broker for which, broker in self._ways.items() if which in self._wanted]
        answering = [broker.asked - broker.answered <= _LATE for broker in watched]
        return all(answering) and all(which in self._ways for which in self._needed if which in self._wanted)

    def look_after(self) -> None:
        """Ask every broker whether it is alive; tell of those that are not, and of those that nobody hears of."""
        for broker in list(self._ways.values()):
            if broker.owed >= HUNG_AFTER:
                broker.owed = 0
                self._hung(broker.which)
            else:
                self._ask(broker)
        self._missed = 0 if self.complete else self._missed + 1
        if self._missed >= LOST_AFTER:  # it may live, and only the way to it be lost
            self._missed = 0
            for which in self._needed:
                if which not in self._ways:
                    self._hung(which)

    def _ask(self, broker: Broker) -> None:
        broker.asked += 1
        broker.owed += 1
        self.say(broker.which, PING, broker.asked)

    def _hear(self, broker: Broker) -> None:
        """Take its answer, or learn that it is gone."""
        try:
            message = broker.channel.receive((PONG,))
        except BlockingIOError:
            return
        except ChannelFailure:
            self._lose(broker.which)
            self._changed()
            return
        is_first = not broker.answered
        broker.answered = message.number("count")
        broker.owed = 0
        if is_first:
            self._changed()

    def _lose(self, which: str) -> None:
        broker = self._ways.pop(which, None)
        if broker:
            self._loop.forget(broker.channel.fileno())
            broker.channel.close()
            self._lost = monotonic()
            self._see_who_is_there()

    def _see_who_is_there(self) -> None:
        self.complete = all(which in self._ways for which in self._needed)
