"""The auth broker: says who is who, and hands the way to delivery to a worker whose client knows a password.

It holds what is stored instead of each password (``passwords``) and, for each session, the worker's end of the way to
delivery, which it gives away with AUTH_ACCEPTED and not otherwise: however a worker is deceived, without that it can
deliver nothing.  A worker passes on what its client says, decoded, and gets challenges and the end of it.

A guess is first compared, then waits, then is answered.  How long is the throttle's business; the wait is a timer here,
where no worker can skip it, and nobody else waits for it.  The guesses of a source are taken one after the other while
the answer to a wrong one of them is outstanding, so that many sessions guess no faster than one.  A wrong answer takes
FLOOR at least, counted from the guess: how long the comparison took, or whether there is such a user, is not in it.

    idle      PEER (once, first, from a worker behind a proxy), AUTH_START
    asked     AUTH_RESPONSE, AUTH_CANCEL
    busy      nothing; whatever comes is junk

A session ends here with its worker's end of the channel, with junk, with success, or with the third exchange that led
to nothing.
"""

from __future__ import annotations

from binascii import hexlify
from collections import deque
from time import monotonic_ns

from msmtp import sandbox
from msmtp.daemon import events, peers, standing
from msmtp.daemon.channel import Channel, ChannelGone, ChannelShort
from msmtp.daemon.loop import Loop
from msmtp.daemon.requests import (
    AUTH_ACCEPTED,
    AUTH_CANCEL,
    AUTH_CHALLENGE,
    AUTH_REFUSED,
    AUTH_RESPONSE,
    AUTH_SESSION,
    AUTH_START,
    CONTROL,
    PEER,
    PING,
    PONG,
    USER,
)
from msmtp.daemon.throttle import NANOSECONDS
from msmtp.failures import ChannelFailure
from msmtp.sasl.server import ACCEPTED, ITERATIONS, MALFORMED, MECHANISMS, REFUSED, SALT_OCTETS, create
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Final

    from msmtp.config.daemon_settings import Network, Settings
    from msmtp.daemon.channel import Message
    from msmtp.daemon.journal import Journal
    from msmtp.daemon.loop import Timer
    from msmtp.daemon.peers import Peer
    from msmtp.daemon.requests import Request
    from msmtp.daemon.status import Page
    from msmtp.daemon.throttle import Throttle
    from msmtp.sasl.server import ServerMechanism, Verifier

ATTEMPTS: Final = 3
"""Exchanges of a session that may lead to nothing."""

FLOOR: Final = 0.05
"""Seconds that a wrong answer takes at least."""

RESPONSE_LIMIT: Final = 2_048
"""Octets of a response: two names of 255 each (RFC 4616) and a long password.  Longer ones cost no work."""

GUESSES: Final = {b"PLAIN": 1, b"LOGIN": 2, b"SCRAM-SHA-256": 2}
"""Which of an exchange's responses is compared."""

IDLE, ASKED, BUSY = "idle", "asked", "busy"
PERMITTED = {IDLE: (AUTH_START,), ASKED: (AUTH_RESPONSE, AUTH_CANCEL), BUSY: ()}
CONTROLS = (PING, AUTH_SESSION, CONTROL)

_NONCE_OCTETS = 18
_DESCRIPTORS_A_SESSION = 2


class Session:
    """What is known of one.  ``key`` bears its delays; ``door``: the worker's end of the way to delivery."""

    __slots__ = (
        "channel",
        "claimed",
        "delay",
        "door",
        "exchange",
        "fruitless",
        "is_new",
        "key",
        "number",
        "proxied",
        "responses",
        "state",
        "timer",
    )

    def __init__(self, number: int, key: bytes, channel: Channel, door: int, *, proxied: bool) -> None:
        self.number = number
        self.key = key
        self.channel = channel
        self.door = door
        self.proxied = proxied
        self.is_new = True
        self.state = IDLE
        self.exchange: ServerMechanism | None = None
        self.responses = 0
        self.claimed = b""
        self.delay = 0.0
        self.timer: Timer | None = None
        self.fruitless = 0


class AuthBroker:
    """``verifiers`` by user name, prepared; ``secret``: what users who do not exist get their salts from.

    ``proxies``: peers whose workers may say on whose behalf they speak.  ``ended`` is called when nobody is served any
    more.  Lives in the ``loop``, which it does not block.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it works with
        self,
        loop: Loop,
        verifiers: Mapping[bytes, Verifier],
        throttle: Throttle,
        journal: Journal,
        page: Page,
        secret: bytes,
        *,
        proxies: Sequence[Network] = (),
        ended: Callable[[], None] | None = None,
    ) -> None:
        self._loop = loop
        self._verifiers = verifiers
        # All have the same of these (``passwords``), and so users who do not exist.
        self._iterations = max([each.iterations for each in verifiers.values()], default=ITERATIONS)
        self._salt_octets = max([len(each.salt) for each in verifiers.values()], default=SALT_OCTETS)
        self._throttle = throttle
        self._journal = journal
        self._page = page
        self._secret = secret
        self._proxies = proxies
        self._ended = ended
        self._draining = False
        self._controls: set[Channel] = set()
        self._sessions: set[Session] = set()
        self._outstanding: dict[bytes, Session] = {}
        self._waiting: dict[bytes, deque[tuple[Session, bytes]]] = {}

    # What supervisors and the keeper say.

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
                    events.note(self._journal, 0, f"auth: {shortage.message}")
                    continue
                if said.name == AUTH_SESSION.name:
                    self.session(said.number("session"), said.octets("key"), peers.told(said), *said.descriptors)
                elif said.name == CONTROL.name:
                    self.control(*said.descriptors)
                else:
                    channel.send(PONG, said.number("count"))
        except BlockingIOError:
            return
        except ChannelGone:
            pass
        except ChannelFailure as failure:
            events.note(self._journal, 0, f"auth: {failure.message}")
        self._loop.forget(descriptor)
        channel.close()
        self._controls.discard(channel)
        self._end_if_alone()

    def drain(self) -> None:
        """End when the last session has."""
        self._draining = True
        self._end_if_alone()

    def _end_if_alone(self) -> None:
        if self._ended and not self._sessions and (self._draining or not self._controls):
            self._ended()

    def session(self, number: int, key: bytes, peer: Peer, channel: int, door: int) -> None:
        """Serve the worker of a session.  Takes the descriptors: auth's end of the way to it, its end to delivery."""
        session = Session(number, key, Channel(channel), door, proxied=peers.within(peer, self._proxies))
        session.channel.set_blocking(False)
        self._sessions.add(session)
        self._loop.watch(channel, lambda _events: self._answer(session))

    # What a worker says.

    def _answer(self, session: Session) -> None:
        try:
            while session in self._sessions:
                permitted = PERMITTED[session.state]
                if session.is_new and session.proxied:
                    permitted = (*permitted, PEER)
                said = session.channel.receive(permitted)
                session.is_new = False
                _ANSWERS[said.name](self, session, said)
        except BlockingIOError:
            return
        except ChannelGone:
            self._drop(session)
        except ChannelFailure as failure:
            events.note(self._journal, session.number, f"auth hangs up on its worker: {failure.message}")
            self._drop(session)

    def _on_peer(self, session: Session, said: Message) -> None:
        """On whose behalf a proxy speaks: he bears the delays.  No address: the proxy itself."""
        address = said.octets("address").decode("ascii", "replace")
        if not address:
            return
        if not peers.packed(address):
            raise ChannelFailure("PEER has no address")
        session.key = peers.key(peers.Peer(address, said.number("port"), None, ""))

    def _on_start(self, session: Session, said: Message) -> None:
        session.claimed, session.responses = b"", 0
        name = said.octets("mechanism").upper()
        if name not in MECHANISMS:
            self._refuse(session, "unknown mechanism")
            return

        def lookup(user: bytes) -> Verifier | None:
            session.claimed = user
            return self._verifiers.get(user)

        session.exchange = create(
            name,
            lookup,
            secret=self._secret,
            iterations=self._iterations,
            salt_octets=self._salt_octets,
            nonce=hexlify(os.urandom(_NONCE_OCTETS)),
        )
        challenge = session.exchange.start(None)
        if said.number("with_initial"):
            self._respond(session, said.octets("initial"))
        else:
            self._challenge(session, challenge or b"")

    def _on_response(self, session: Session, said: Message) -> None:
        self._respond(session, said.octets("response"))

    def _on_cancel(self, session: Session, _said: Message) -> None:
        """The client knows that it is over; nothing is answered."""
        self._leave(session)

    def _respond(self, session: Session, response: bytes) -> None:
        exchange = session.exchange
        assert exchange is not None  # the state says so
        session.responses += 1
        session.state, session.delay = BUSY, 0.0
        if len(response) > RESPONSE_LIMIT:
            exchange.end(MALFORMED)
            self._conclude(session, None)
        elif session.responses != GUESSES[exchange.name]:
            self._conclude(session, exchange.next(response))
        elif session.key in self._outstanding:
            self._page.add("auth_waiting")
            self._waiting.setdefault(session.key, deque()).append((session, response))
        else:
            self._page.add("auth_waiting")
            self._compare(session, response)

    # A guess.

    def _compare(self, session: Session, response: bytes) -> None:
        """Compare at once, answer when the time has come; it is counted now, whoever is there to hear it."""
        exchange, key = session.exchange, session.key
        assert exchange is not None
        now = monotonic_ns()
        session.delay = wait = self._throttle.delay(key, now)
        challenge = exchange.next(response)
        if exchange.outcome == REFUSED:
            wait = max(wait, FLOOR)
            self._throttle.failed(key, now + int(wait * NANOSECONDS))
            self._outstanding[key] = session
        elif exchange.outcome == MALFORMED:  # not a guess
            session.delay = wait = 0.0
        if session.delay:
            self._page.add("auth_delayed")
        left = max(0.0, wait - (monotonic_ns() - now) / NANOSECONDS)
        session.timer = self._loop.after(left, lambda: self._answer_guess(session, challenge))

    def _answer_guess(self, session: Session, challenge: bytes | None) -> None:
        session.timer = None
        self._page.add("auth_waiting", -1)
        self._conclude(session, challenge)
        self._take_next(session)

    def _take_next(self, session: Session) -> None:
        """The answer to this session's guess is out, or nobody waits for it: the next of the same source."""
        key = session.key
        if self._outstanding.get(key) is session:
            del self._outstanding[key]
        waiting = self._waiting.get(key)
        while waiting and key not in self._outstanding:
            self._compare(*waiting.popleft())
        if waiting is not None and not waiting:
            self._waiting.pop(key, None)

    # Answers.

    def _conclude(self, session: Session, challenge: bytes | None) -> None:
        """Tell a worker the next challenge, or how it ended."""
        exchange = session.exchange
        assert exchange is not None
        if challenge is not None:
            self._challenge(session, challenge)
        elif exchange.outcome == ACCEPTED:
            self._page.add("auth_accepted")
            events.auth_succeeded(self._journal, session.number, exchange.user)
            self._tell_delivery(session, exchange.user)
            self._send(session, AUTH_ACCEPTED, exchange.user, descriptors=(session.door,))
            self._drop(session)
        elif exchange.outcome == REFUSED:
            self._page.add("auth_refused")
            events.auth_failed(self._journal, session.number, session.claimed, session.delay)
            self._refuse(session, "auth refused")
        else:
            self._refuse(session, "bad base64")

    def _tell_delivery(self, session: Session, user: bytes) -> None:
        """Say who it is on the way that the worker is about to get: it cannot say that it is somebody else."""
        way = Channel(session.door)
        try:
            way.send(USER, user, wait=False)
        except (ChannelFailure, BlockingIOError):
            pass  # delivery has gone: the worker will see
        finally:
            way.detach()

    def _challenge(self, session: Session, challenge: bytes) -> None:
        session.state = ASKED
        self._send(session, AUTH_CHALLENGE, challenge)

    def _refuse(self, session: Session, reply: str) -> None:
        self._send(session, AUTH_REFUSED, reply.encode())
        self._leave(session)

    def _leave(self, session: Session) -> None:
        """An exchange led to nothing."""
        session.state, session.exchange = IDLE, None
        session.fruitless += 1
        if session.fruitless >= ATTEMPTS:
            self._drop(session)

    def _send(self, session: Session, request: Request, *values: object, descriptors: tuple[int, ...] = ()) -> None:
        if session not in self._sessions:
            return
        try:
            session.channel.send(request, *values, descriptors=descriptors)
        except (ChannelFailure, BlockingIOError):  # gone, or does not read what it asked for
            self._drop(session)

    def _drop(self, session: Session) -> None:
        """Forget a session and all that was under way for it."""
        if session not in self._sessions:
            return
        self._sessions.remove(session)
        self._loop.forget(session.channel.fileno())
        session.channel.close()
        os.close(session.door)
        session.exchange = None
        if session.timer:
            session.timer.cancel()
            self._page.add("auth_waiting", -1)
        waiting = self._waiting.get(session.key, ())
        for guess in [one for one in waiting if one[0] is session]:
            self._waiting[session.key].remove(guess)
            self._page.add("auth_waiting", -1)
        self._take_next(session)
        self._end_if_alone()


_ANSWERS: dict[str, Callable[[AuthBroker, Session, Message], None]] = {
    PEER.name: AuthBroker._on_peer,  # noqa: SLF001 - its own module
    AUTH_START.name: AuthBroker._on_start,  # noqa: SLF001 - as above
    AUTH_RESPONSE.name: AuthBroker._on_response,  # noqa: SLF001 - as above
    AUTH_CANCEL.name: AuthBroker._on_cancel,  # noqa: SLF001 - as above
}


def prepare(settings: Settings) -> sandbox.Prepared:
    """A's role, to be checked before anything starts, and to be entered in A."""
    highest = 4 * settings.max_sessions * _DESCRIPTORS_A_SESSION + 64
    return sandbox.prepare("auth", limits={"descriptors": highest})


def warm() -> None:
    """Load what a comparison may need, while there are files."""
    from importlib import import_module

    import_module("msmtp.sasl.saslprep")
    create(b"PLAIN", lambda _user: None, secret=b"s", iterations=1).start(b"\0user\0password")


def run(  # noqa: PLR0913 - what it works with, by name
    controls: Sequence[int],
    settings: Settings,
    journal: Journal,
    page: Page,
    *,
    verifiers: int,
    throttle: Throttle,
    prepared: sandbox.Prepared | None = None,
) -> None:
    """Be the auth broker, in the child that was forked for it; ``controls``: channels to those it serves.

    ``verifiers``: descriptor of what ``passwords.verifiers`` made.  The caller has closed what is not the broker's, set
    its title, and ends the process when this returns.  Raises SandboxFailure.
    """
    from msmtp.daemon import passwords

    os.chdir("/")
    loop = Loop()
    known, secret = passwords.read(verifiers)
    os.close(verifiers)
    page.begin("auth")
    broker = AuthBroker(loop, known, throttle, journal, page, secret, proxies=settings.proxy_protocol, ended=loop.stop)
    warm()
    standing.heed(loop, broker.drain)
    standing.enter(prepared or prepare(settings), settings, journal)
    for control in controls:
        broker.control(control)
    loop.run()
