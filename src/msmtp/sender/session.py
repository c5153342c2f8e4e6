"""One connection to the server: greeting, EHLO, TLS, authentication, farewell.

The pure :class:`msmtp.smtp.client.ClientConnection` says what may be said and what was answered; the stream carries it;
this file says what follows what.  It waits for the server only where the next command depends on the answer:

    greeting | EHLO [| STARTTLS | EHLO] [| AUTH ...] | the mail: see transfer.py | QUIT, sent and not waited for
"""

from __future__ import annotations

from msmtp.failures import CommandFailure, Failure, ProtocolFailure, UnsupportedFailure
from msmtp.sender.outcome import text
from msmtp.sender.refusals import refusal
from msmtp.smtp.client import ClientConnection
from msmtp.smtp.commands import Auth, AuthCancel, AuthResponse, Ehlo, Helo, Lhlo, Quit, StartTls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from msmtp.net.stream import Stream, Tls
    from msmtp.sasl.mechanisms import Mechanism
    from msmtp.sender.trace import Trace
    from msmtp.smtp.client import ReplyReceived
    from msmtp.smtp.commands import Command
    from msmtp.smtp.extensions import Extensions
    from msmtp.smtp.replies import Reply

READ = 16384
READY = 220
OK = 250
AUTHENTICATED = 235
CHALLENGE = 334
MOST_CHALLENGES = 16  # no mechanism needs more than four; a server that goes on asking gets no further answers


class Session:
    """A conversation with one server over one stream.  ``protocol``: "smtp" or "lmtp"."""

    __slots__ = ("connection", "greeting", "incoming", "protocol", "started_tls", "stream", "trace")

    def __init__(self, stream: Stream, protocol: str, trace: Trace | None) -> None:
        self.stream = stream
        self.protocol = protocol
        self.trace = trace
        self.connection = ClientConnection(protocol)
        self.greeting: Reply | None = None
        self.started_tls = False  # by STARTTLS
        self.incoming: Iterator[ReplyReceived] = iter(())

    @property
    def extensions(self) -> Extensions:
        """What the last EHLO was answered with."""
        return self.connection.extensions

    # -- carrying

    def write(self, octets: bytes) -> None:
        """Send octets that the connection made."""
        if self.trace is not None:
            self.trace.sent(octets)
        self.stream.write(octets)

    def next_event(self) -> ReplyReceived:
        """Wait for the next reply.  Raises ServerGoneFailure, ProtocolFailure, NetworkFailure.

        The timeout is for the whole reply (RFC 5321, 4.5.3.2), not for each octet of it.  What came behind a reply is
        looked at only when it is asked for: a refusal counts for more than the nonsense that may follow it.
        """
        operation = None
        while (event := next(self.incoming, None)) is None:
            operation = operation or self.stream.operation()
            self.incoming = self.connection.receive(self.stream.read(READ, operation))
        if self.trace is not None:
            self.trace.received(event.reply.raw_lines())
        return event

    def read_all(self) -> list[ReplyReceived]:
        """The replies to all that was sent, in order; fewer only if the server ended the session with 421."""
        events = []
        while self.connection.awaits_reply:
            events.append(self.next_event())
        return events

    def say(self, *commands: Command) -> list[ReplyReceived]:
        """Send commands in one write and return their replies."""
        octets = bytearray()  # of thousands of recipients, no line is kept for itself
        for command in commands:
            octets += self.connection.send(command)
        self.write(bytes(octets))
        return self.read_all()

    def ask(self, command: Command) -> Reply:
        """Send one command and return its reply."""
        return self.say(command)[0].reply

    # -- the steps of a session

    def greet(self) -> None:
        """Wait for the server's greeting.  Raises ServerNotReadyFailure (4xx), ServerRefusedFailure."""
        self.greeting = self.next_event().reply
        if self.greeting.code != READY:
            raise refusal("greeting", self.greeting)

    def hello(self, domain: bytes) -> None:
        """Say EHLO, and HELO to a server that does not know it (RFC 5321, 3.2), or LHLO (RFC 2033, 4.1)."""
        if self.protocol == "lmtp":
            reply = self.ask(Lhlo(domain))
            if reply.code != OK:
                raise refusal("lhlo", reply)
            return
        reply = self.ask(Ehlo(domain))
        if reply.code == OK:
            return
        if reply.severity != 4:  # noqa: PLR2004 - 4xx: the server has no time, not no EHLO
            reply = self.ask(Helo(domain))
        if reply.code != OK:
            raise refusal("hello", reply)

    def start_tls(self, tls: Tls, domain: bytes) -> None:
        """STARTTLS (RFC 3207), and EHLO again; nothing the server said before counts any longer."""
        if not self.extensions.has(b"STARTTLS"):
            raise UnsupportedFailure(
                "the server does not support TLS via the STARTTLS command",
                hint="if its port is meant for TLS from the start (465), set tls_starttls off",
            )
        reply = self.ask(StartTls())
        if reply.code != READY:
            raise refusal("starttls", reply)
        self.connection.check_quiet()
        self.stream.start_tls(tls)
        self.connection.starttls_done()
        self.started_tls = True
        self.hello(domain)

    def authenticate(self, mechanism: Mechanism) -> None:
        """Run a SASL mechanism (RFC 4954, 4).  Raises AuthDeferredFailure, AuthRefusedFailure, MechanismFailure."""
        initial = mechanism.start()
        try:
            reply = self.ask(Auth(mechanism.name, initial))
        except CommandFailure:  # too long for a command line: it answers the first, empty challenge instead
            reply = self.ask(Auth(mechanism.name, None))
            if reply.code == CHALLENGE and initial is not None:
                reply = self.ask(AuthResponse(initial))
        asked = 0
        while reply.code == CHALLENGE:
            asked += 1
            if asked > MOST_CHALLENGES:
                self.cancel()
                raise ProtocolFailure(
                    f"authentication failed (method {text(mechanism.name)}): the server asks for more and more"
                )
            reply = self.answer(mechanism, reply)
        if reply.code != AUTHENTICATED:
            failure = refusal("auth", reply, text(mechanism.name))
            if mechanism.detail:  # why, in the server's words, in a challenge that came before this reply
                failure.server += (f"{CHALLENGE} {mechanism.detail}",)
            raise failure
        mechanism.finished()

    def answer(self, mechanism: Mechanism, reply: Reply) -> Reply:
        """Answer one challenge; what the mechanism cannot answer is cancelled (RFC 4954, 4) and raised."""
        try:
            response = mechanism.next(reply.challenge())
        except Exception:
            self.cancel()
            raise
        return self.ask(AuthResponse(response))

    def cancel(self) -> None:
        """Cancel an authentication exchange; that the server has gone meanwhile changes nothing."""
        try:
            self.ask(AuthCancel())
        except Failure:
            return

    def leave(self) -> None:
        """Say QUIT, if the server still listens, and do not wait: its answer changes nothing (a flight saved)."""
        try:
            self.write(self.connection.send(Quit()))
        except (Failure, OSError):
            return
