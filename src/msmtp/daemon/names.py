"""Names of peers: what the domain name system calls an address, if that name leads back to the address.

Names are looked up after a session has begun, beside it, by nobody who accepts, speaks or delivers: a name server that
is slow or hostile costs a name and nothing else.  Each look-up is a child of its own, since the C library's resolver
can neither be interrupted nor asked for several names at a time; an alarm ends it after LIMIT seconds.  At most AT_ONCE
run at a time; what comes then goes without a name.

A name is believed as far as it is of letters, digits, hyphens and dots, and one of its addresses is the peer's.
Anybody may claim any name for an address of his own; nobody can claim one that leads somewhere else.
"""

from __future__ import annotations

import _socket
import re
import signal
from time import monotonic

from msmtp import sandbox
from msmtp.daemon import events, peers, standing
from msmtp.daemon.channel import Channel, ChannelGone, ChannelShort
from msmtp.daemon.loop import Loop
from msmtp.daemon.requests import CONTROL, LOOKUP, NAME, PEER_NAME, PING, PONG, TO_DELIVERY
from msmtp.failures import ChannelFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final, NoReturn

    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.channel import Message
    from msmtp.daemon.journal import Journal
    from msmtp.daemon.status import Page

LIMIT: Final = 2.0
"""Seconds that a look-up may take."""
AT_ONCE: Final = 16
REMEMBERED: Final = 60.0
"""Seconds for which an answer, or that there was none, is good for further sessions of the same peer."""
MOST_REMEMBERED: Final = 512

CONTROLS = (PING, LOOKUP, CONTROL, TO_DELIVERY)

LONGEST = 253  # octets of a name: RFC 1035, 2.3.4, without the length octets at both ends
_LABEL = rb"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# The last label does not begin with a digit: "192.0.2.1" and "0x7f000001" lead to addresses and are not names.
_NAME = re.compile(rb"(?:" + _LABEL + rb"\.)*(?![0-9])" + _LABEL)

# For the resolver of the C library: a name is whole as it is, no domain of ours is tried behind it; be quick.
_RESOLVER = {"LOCALDOMAIN": ".", "RES_OPTIONS": "timeout:1 attempts:2"}
_NSSWITCH = "/etc/nsswitch.conf"
_BUILT_IN = {"files", "dns"}
_RTLD_NOW = 2


class NameBroker:
    """Answers LOOKUP with PEER_NAME, to delivery.  ``ended`` is called when nobody is left to ask.

    ``find`` gives the name of an address, b'' for none; it is called in a child.
    """

    def __init__(
        self,
        loop: Loop,
        journal: Journal,
        page: Page,
        *,
        ended: Callable[[], None] | None = None,
        find: Callable[[str], bytes] | None = None,
    ) -> None:
        self._loop = loop
        self._journal = journal
        self._page = page
        self._ended = ended
        self._find = find or name_of
        self._draining = False
        self._controls: set[Channel] = set()
        self._delivery: Channel | None = None
        self._running: dict[str, list[int]] = {}
        self._known: dict[str, tuple[float, bytes]] = {}

    def control(self, descriptor: int) -> None:
        """Serve a supervisor, or the keeper, at the other end of a channel."""
        channel = Channel(descriptor)
        channel.set_blocking(False)
        self._controls.add(channel)
        self._loop.watch(descriptor, lambda _events: self._answer_control(descriptor, channel))

    def _answer_control(self, descriptor: int, channel: Channel) -> None:
        try:
            while True:
                try:
                    said = channel.receive(CONTROLS)
                except ChannelShort as shortage:  # the other end of what came along is closed by that
                    events.note(self._journal, 0, f"names: {shortage.message}")
                    continue
                if said.name == LOOKUP.name:
                    self._look_up(said)
                elif said.name == PING.name:
                    channel.send(PONG, said.number("count"))
                elif said.name == CONTROL.name:
                    self.control(*said.descriptors)
                else:
                    self.deliver_to(*said.descriptors)
        except BlockingIOError:
            return
        except ChannelGone:
            pass
        except ChannelFailure as failure:
            events.note(self._journal, 0, f"names: {failure.message}")
        self._loop.forget(descriptor)
        channel.close()
        self._controls.discard(channel)
        self._end_if_alone()

    def deliver_to(self, descriptor: int) -> None:
        """Have a new way to delivery."""
        if self._delivery:
            self._delivery.close()
        self._delivery = Channel(descriptor)
        self._delivery.set_blocking(False)

    def drain(self) -> None:
        """End; a name that is not found by now is not needed."""
        self._draining = True
        self._end_if_alone()

    def _end_if_alone(self) -> None:
        if self._ended and (self._draining or not self._controls):
            self._ended()

    # Look-ups.

    def _look_up(self, said: Message) -> None:
        session, address = said.number("session"), said.octets("address").decode("ascii", "replace")
        until, name = self._known.get(address, (0.0, b""))
        if monotonic() < until:
            self._tell(session, name)
        elif address in self._running:
            self._running[address].append(session)
        elif len(self._running) < AT_ONCE and peers.packed(address):
            self._start(session, address)

    def _start(self, session: int, address: str) -> None:
        try:
            reads, writes = os.pipe()
        except OSError:
            return
        try:
            pid = os.fork()
        except OSError:
            os.close(reads)
            return
        else:
            if not pid:
                self._be_child(address, writes)
        finally:
            os.close(writes)
        self._page.add("lookups")
        self._running[address] = [session]
        self._loop.watch(reads, lambda _events: self._finish(address, pid, reads))

    def _be_child(self, address: str, writes: int) -> NoReturn:
        """Find the name and say it; the alarm's default is the end."""
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGALRM, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, LIMIT)
            os.write(writes, self._find(address))
        finally:
            os._exit(0)  # noqa: SLF001 - public, whatever its name says

    def _finish(self, address: str, pid: int, reads: int) -> None:
        """A child has said its name, or ended without."""
        name = os.read(reads, NAME)
        self._loop.forget(reads)
        os.close(reads)
        os.waitpid(pid, 0)
        if not is_name(name):  # what strangers can reach is looked at by somebody else
            name = b""
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[address] = monotonic() + REMEMBERED, name
        for session in self._running.pop(address):
            self._tell(session, name)

    def _tell(self, session: int, name: bytes) -> None:
        if not name or not self._delivery:
            return
        try:
            self._delivery.send(PEER_NAME, session, name)
        except BlockingIOError:
            return  # delivery has other things to do
        except ChannelFailure:  # the keeper brings another
            self._delivery.close()
            self._delivery = None


# Finding a name.


def is_name(name: bytes) -> bool:
    """Whether this can be a host's name (RFC 1123, 2.1), whole, without a dot at its end."""
    return 0 < len(name) <= LONGEST and _NAME.fullmatch(name) is not None


def name_of(address: str) -> bytes:
    """The name of an address that leads back to it, b'' if there is none.  Blocks."""
    packed = peers.packed(address)
    if not packed or "%" in address:  # names of this link's neighbours are nobody else's
        return b""
    try:
        text, _ = _socket.getnameinfo((address, 0), _socket.NI_NAMEREQD)
        name = text.encode("utf-8", "surrogateescape").removesuffix(b".")
        if not is_name(name):
            return b""
        found = _socket.getaddrinfo(name, None, 0, _socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return b""
    return name if packed in {peers.packed(str(where[4][0])) for where in found} else b""


def warm(nsswitch: str = _NSSWITCH) -> None:
    """Load what the resolver would load when it is first asked, while there are files."""
    os.environ.update(_RESOLVER)
    for name, value in _RESOLVER.items():
        os.putenv(name, value)
    for service in services(nsswitch):
        try:
            from _ctypes import dlopen

            dlopen(f"libnss_{service}.so.2", _RTLD_NOW)
        except (ImportError, OSError):
            continue
    try:
        _socket.getaddrinfo(b"localhost", None)
    except OSError:
        return


def services(nsswitch: str) -> list[str]:
    """What nsswitch.conf(5) names for hosts, beside what is in the C library itself."""
    try:
        with open(nsswitch, encoding="ascii", errors="replace") as file:
            lines = [line.partition("#")[0].split() for line in file]
    except OSError:
        return []
    named = next((line[1:] for line in lines if line[:1] == ["hosts:"]), [])
    return [word for word in named if re.fullmatch("[a-z0-9_]+", word) and word not in _BUILT_IN]


# The process.


def prepare(_settings: Settings) -> sandbox.Prepared:
    """N's role, to be checked before anything starts, and to be entered in N."""
    return sandbox.prepare("names", limits={"descriptors": 2 * AT_ONCE + 64})


def run(
    controls: Sequence[int],
    settings: Settings,
    journal: Journal,
    page: Page,
    *,
    prepared: sandbox.Prepared | None = None,
) -> None:
    """Be the process that finds names, in the child that was forked for it; ``controls``: channels to those it serves.

    The caller has closed what is not its own, set its title, and ends the process when this returns.  Raises
    SandboxFailure.
    """
    os.chdir("/")
    loop = Loop()
    broker = NameBroker(loop, journal, page, ended=loop.stop)
    warm()
    standing.heed(loop, broker.drain)
    standing.enter(prepared or prepare(settings), settings, journal)
    for control in controls:
        broker.control(control)
    loop.run()
