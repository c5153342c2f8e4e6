"""The worker: speaks with one client, then ends.

It is forked ahead of need, enters its role, and waits for CONNECTION.  It reads what a stranger writes, and may do next
to nothing: it holds the connection, a channel to its supervisor, one to auth or to delivery, later the file for one
mail.  Authentication is the arrival of the channel to delivery: without it, there is no way to send a mail, whatever
becomes of the worker.

    supervisor  CONNECTION          run          takes it, serves a Session, says ENDED
    client      octets              ServerConnection (msmtp.smtp.server): grammar, order, framing
    Session                         what a command does: asks auth, hands mails over (Handover), counts, says 421
    Wire                            octets in and out, each wait with a deadline

An exception that nobody expected is told by type and place; the session ends with 421, the process at once and without
the way back into what forked it.
"""

from __future__ import annotations

import gc
from _socket import AF_UNIX, SOCK_STREAM, socketpair
from time import monotonic

from msmtp import sandbox
from msmtp.config.daemon_settings import Settings
from msmtp.daemon import requests
from msmtp.daemon.channel import Channel, Message, pair
from msmtp.daemon.handover import Handover, packed
from msmtp.daemon.proxy_header import HEAD, BadHeader, parse, remaining
from msmtp.daemon.requests import (
    AUTH_ACCEPTED,
    AUTH_CANCEL,
    AUTH_CHALLENGE,
    AUTH_REFUSED,
    AUTH_RESPONSE,
    AUTH_START,
    AUTHENTICATED,
    CONNECTION,
    ENDED,
    EXTENDED,
    FILE,
    LINE,
    LOCAL_TRANSFER,
    NAME,
    NOT_SECURED,
    NOT_SWAPPED,
    NOTE,
    PEER,
    PROXIED,
    RESULT,
    SCRIPTED,
    SECURE_PATH,
    SECURED,
    SECURED_BY_TLS,
    STRESSED,
    SWAP,
    SWAPPED,
    TLS_FIRST,
    UTF8,
    WITH_AUTH,
    WITH_TLS,
)
from msmtp.daemon.wire import Gone, Late, Terminated, Termination, Wire, await_message
from msmtp.exits import EX_SOFTWARE
from msmtp.failures import ChannelFailure, SystemFailure, shown
from msmtp.smtp.commands import Auth, AuthResponse, Mail, Rcpt
from msmtp.smtp.limits import Limits
from msmtp.smtp.server import (
    DEFAULT_OFFERS,
    ChunkFinished,
    CommandReceived,
    CommandRefused,
    DataFinished,
    DataReceived,
    ServerConnection,
)
from msmtp.smtp.server_replies import REPLIES, challenge
from msmtp.smtp.transitions import CHALLENGED, CLOSED
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from msmtp.daemon.requests import Request
    from msmtp.sandbox import Prepared
    from msmtp.smtp.replies import Reply
    from msmtp.smtp.server import Event, Transaction

MECHANISMS = b"SCRAM-SHA-256 PLAIN LOGIN"
WITHOUT_CLEARTEXT = b"SCRAM-SHA-256"  # where somebody may listen and there is TLS to be had

NOTES = 20  # to the log a session; then only how many there were

DESCRIPTORS = 16
"""One more than the highest number of a worker's descriptors: three of no use, the note's two, control, connection or
plain text, auth, delivery, the file and the one that takes its place, the TLS process."""

LINGER, LINGER_OCTETS = 1.0, 1 << 18  # how long, and over how much, a client is listened to that was told to go

_FILE_ROOM = 1 << 20  # octets that delivery may write at the head of the file, and more than enough
_COMMANDS_END = 30  # seconds for delivery to end a command that has used up its time
_PROXY_HEADER = 5  # seconds for a proxy to say who connected; it has that to say before the client says anything
_SWAPPING = 10  # seconds for the supervisor to hand a connection over
_HANDSHAKE = 60  # seconds for a TLS handshake

# Commands that lead nowhere, of which only so many are borne between two mails.
_IDLE = frozenset((b"NOOP", b"RSET", b"VRFY", b"EXPN", b"HELP", b"ETRN", b"EHLO", b"HELO", b"LHLO"))


class Patience:
    """How long anything is waited for, in seconds, and how many mistakes are borne.

    ``command``: a whole command line.  ``block``: some octets of content.  ``grace`` and ``rate``: content has to come
    in at so many octets a second on average, after a start that is not counted; a modem of the nineties is faster.
    ``reply``: the client takes a reply.  ``login``: from the greeting to an accepted AUTH, where that is required.
    ``auth``: the auth broker answers, its delays included.  ``commands``: those that lead nowhere, between mails.
    """

    __slots__ = ("auth", "block", "command", "commands", "errors", "grace", "login", "rate", "reply", "session")

    def __init__(self, settings: Settings, *, stressed: bool) -> None:
        most = 10 if stressed else settings.idle_timeout
        self.command = most
        self.block = min(180, most)  # RFC 5321, 4.5.3.2.5
        self.reply = min(60, most)
        self.grace = min(60, most)
        self.rate = 512
        self.login = min(settings.login_timeout, most) if stressed else settings.login_timeout
        self.session = settings.session_timeout
        self.auth = 60
        self.errors = 1 if stressed else 3
        self.commands = 10 if stressed else 100


class Over(Exception):  # noqa: N818 - not an error of the program: how a session ends
    """The session ends: why, for the log, and the last reply's name in REPLIES, or ''."""

    def __init__(self, reason: str, reply: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.reply = reply


class Report:
    """What the supervisor is told for the log: NOTEs, not too many, and the last word."""

    __slots__ = ("_control", "_dropped", "_left")

    def __init__(self, control: Channel) -> None:
        self._control = control
        self._left = NOTES
        self._dropped = 0

    def note(self, text: str) -> None:
        """Have a line written; ``text`` holds what the client wrote only escaped and cut."""
        if self._left > 0:
            self._left -= 1
            self._send(text)
        else:
            self._dropped += 1

    def _send(self, text: str) -> None:
        try:
            self._control.send(NOTE, text.encode("ascii", "backslashreplace")[:LINE], wait=False)
        except BlockingIOError:
            self._dropped += 1
        except ChannelFailure:
            self._left = 0

    def ended(self, reason: str, mails: int, errors: int) -> None:
        """Say how the session ended; the last word."""
        if self._dropped:
            self._send(f"{self._dropped} more notes dropped")
        try:
            self._control.send(ENDED, reason.encode("ascii", "replace")[:64], mails, errors)
        except ChannelFailure:
            return


class Session:
    """One client's session, from the greeting to the end.

    ``message``: CONNECTION; its descriptors are the session's from now on.
    """

    __slots__ = (
        "_auth",
        "_begun",
        "_content_since",
        "_content_start",
        "_control",
        "_exchange",
        "_flags",
        "_handover",
        "_login_until",
        "_mailing",
        "_out",
        "_patience",
        "_peer",
        "_plain",
        "_report",
        "_settings",
        "_smtp",
        "_termination",
        "_tls",
        "_tls_channel",
        "_turn",
        "_user",
        "_wire",
        "bad_recipients",
        "commands",
        "errors",
        "mails",
        "reason",
    )

    def __init__(self, settings: Settings, control: Channel, message: Message, termination: Termination) -> None:
        connection, door = message.descriptors
        self._settings = settings
        self._control = control
        self._report = Report(control)
        self._termination = termination
        termination.control = control.fileno()
        self._wire = Wire(connection, termination)
        self._flags = message.number("flags")
        self._patience = Patience(settings, stressed=bool(self._flags & STRESSED))
        self._begun = self._turn = monotonic()
        self._login_until = self._begun + self._patience.login
        self._peer: tuple[bytes, int] | None = None
        self._auth: Channel | None = None
        self._handover: Handover | None = None
        if self._flags & WITH_AUTH:
            self._auth = Channel(door)
        else:
            self._open_handover(door)
        if self._flags & PROXIED:
            self._peer = (message.octets("address"), message.number("port"))  # until the proxy names another
        self._exchange = False
        self._tls = b""
        self._tls_channel: Channel | None = None
        self._plain = -1
        self._user = b""
        self._mailing: Transaction | None = None
        self._content_since, self._content_start = 0.0, 0
        self._out = b""
        self._smtp = ServerConnection(
            settings.domain.encode("ascii", "replace"),
            protocol="lmtp" if settings.lmtp else "smtp",
            offers=self._offers(),
            limits=Limits(message=settings.max_size, recipients=settings.max_recipients),
            strict=settings.strict,
            lf=True,
            scripted=bool(self._flags & SCRIPTED),
        )
        self.reason = ""
        self.mails = self.errors = self.commands = self.bad_recipients = 0

    def _open_handover(self, door: int) -> None:
        self._handover = Handover(
            door, max_hops=self._settings.max_hops, seconds=self._settings.command_timeout + _COMMANDS_END
        )
        if self._peer:
            self._handover.tell(PEER, *self._peer)

    def _read_proxy_header(self) -> None:
        """Learn who the client is from the proxy in front, and tell both brokers."""
        until = monotonic() + _PROXY_HEADER
        try:
            head = self._wire.exactly(HEAD, until)
            proxied = parse(head, self._wire.exactly(remaining(head), until))
        except (BadHeader, Late) as fault:
            self._report.note(f"closed: {str(fault) or 'no PROXY protocol header in time'}")
            raise Over("no PROXY protocol header") from None
        if proxied:
            self._peer = (proxied.address, proxied.port)
            self._report.note(f"for {proxied.address.decode()} port {proxied.port}, says the proxy")
        assert self._peer is not None  # PROXIED has one
        if self._auth:
            self._tell_auth(PEER, *self._peer)
        elif self._handover:
            self._handover.tell(PEER, *self._peer)

    def _offers(self) -> tuple[bytes, ...]:
        """The lines of the reply to EHLO."""
        offers: tuple[bytes, ...] = DEFAULT_OFFERS
        if self._flags & WITH_TLS and not self._tls:
            offers += (b"STARTTLS",)
        if self._flags & WITH_AUTH:
            heard = self._flags & WITH_TLS and not self._flags & SECURE_PATH and not self._tls
            offers += (b"AUTH " + (WITHOUT_CLEARTEXT if heard else MECHANISMS),)
        return offers

    # From the first reply to the last.

    def serve(self) -> None:
        """Serve the session to its end; never raises."""
        try:
            self._converse()
        except Over as end:
            self._leave(end.reason, end.reply)
        except Late:
            self._leave("timeout", "timeout")
        except Gone as broken:
            # Many a client does not wait for what is said to its QUIT.
            self._leave(self.reason if self.reason == "quit" else f"connection lost: {broken}")
        except Terminated:
            self._leave("shutting down", "shutting down")
        except MemoryError:
            self._leave("out of memory", "no resources")
        except Exception as fault:  # noqa: BLE001 - whatever it is, the client gets an answer, the log a line
            self._report.note(f"fault in the worker: {place(fault)}")
            self._leave("fault", "fault")
        self._close()
        self._report.ended(self.reason, self.mails, self.errors)

    def _leave(self, reason: str, reply: str = "") -> None:
        """Say the last reply, if the client listens; there is no waiting for that any more."""
        self.reason = reason
        if not reply:
            return
        try:
            self._wire.send(self._out + REPLIES[reply].encode(), monotonic())
        except (Late, Gone):
            return
        if reply != "timeout":
            self._wire.linger(monotonic() + LINGER, LINGER_OCTETS)

    def _close(self) -> None:
        """Have nothing come of a mail that is not complete, and hang up."""
        if self._handover:
            self._handover.close()
        self._hang_up_on_auth()
        if self._tls_channel:
            self._tls_channel.close()
        if self._plain >= 0:
            os.close(self._plain)
        self._wire.close()

    def _converse(self) -> None:
        smtp = self._smtp
        if self._flags & PROXIED:
            self._read_proxy_header()
        if self._flags & TLS_FIRST:
            self._begin_with_tls()
        self._say(smtp.greet())
        while smtp.state != CLOSED:
            self._flush()
            if self._plain >= 0:
                self._secure()
                smtp.starttls_done()
            data = self._receive()
            for event in smtp.receive(data):
                self._on_event(event)
                self._turn = monotonic()
            if not data:
                raise Over(self._ending())
        self._flush()
        if self.reason != "quit":
            self._wire.linger(monotonic() + LINGER, LINGER_OCTETS)

    def _ending(self) -> str:
        """Why there is nothing more to read."""
        if self._mailing:
            return "cut off in a mail"
        if self._tls_channel:
            try:
                await_message(self._tls_channel, monotonic())
                self._tls_channel.receive((requests.CLOSED,))
            except (ChannelFailure, Late):
                return "cut off"
        return "closed by the client"

    def _receive(self) -> bytes:
        """Take what the client says next, by when it has to."""
        patience = self._patience
        until = self._begun + patience.session
        if self._mailing is None:
            until = min(until, self._turn + patience.command)
            if self._flags & WITH_AUTH and not self._smtp.authenticated:
                until = min(until, self._login_until)
            return self._wire.receive(until, content=self._smtp.awaits_content)
        arrived = self._wire.received - self._content_start
        deserved = self._content_since + patience.grace + arrived / patience.rate
        return self._wire.receive(min(until, monotonic() + patience.block, deserved), content=True, likely=arrived > 0)

    def _say(self, data: bytes) -> None:
        """Have octets written before the next ones are read: the replies to a group of commands leave together."""
        self._out += data

    def _flush(self) -> None:
        if self._out:
            data, self._out = self._out, b""
            self._wire.send(data, monotonic() + self._patience.reply)

    def rehearse(self) -> None:
        """Serve a client that has said all beforehand, and meet an exception."""
        self._smtp.scripted = True
        self._smtp.protocol = "smtp"
        self.serve()
        shown(place(Over(self.reason)).encode())
        if (self.reason, self.mails) != ("quit", 2):
            raise SystemFailure(f"the worker's rehearsal failed: {self.reason}")

    # What the client said.

    def _on_event(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            self._on_content(event)
        elif isinstance(event, CommandReceived):
            self._on_command(event)
        elif isinstance(event, DataFinished):
            self._on_end_of_mail(event)
        elif isinstance(event, ChunkFinished):
            self._on_chunk(event)
        elif isinstance(event, CommandRefused):
            self._on_refused(event)

    def _answer(self, reply: Reply) -> None:
        """Answer what awaits it, and end what has ended with that."""
        smtp = self._smtp
        self._say(smtp.reply(reply))
        if self._exchange and smtp.state != CHALLENGED:
            self._cancel()
        if self._mailing and smtp.transaction is not self._mailing:
            self._mailing = None
            self._delivery().abort()

    def _error(self, reply: Reply) -> Reply:
        """Count a mistake of the client's; give the reply to it."""
        self.errors += 1
        if self.errors < self._patience.errors:
            return reply
        self.reason = "too many errors"
        return REPLIES["too many errors"]

    def _idle(self, reply: Reply) -> Reply:
        """Count a command that leads nowhere; give the reply to it."""
        self.commands += 1
        if self.commands <= self._patience.commands:
            return reply
        self.reason = "too many commands"
        return REPLIES["too many commands"]

    def _bad_recipient(self, reply: Reply) -> Reply:
        """Count a recipient that is none; there may be as many as good ones, for they must not cost those the mail."""
        self.bad_recipients += 1
        if self.bad_recipients <= max(self._settings.max_recipients, self._patience.commands):
            return reply
        self.reason = "too many errors"
        return REPLIES["too many errors"]

    def _on_refused(self, event: CommandRefused) -> None:
        reply = event.reply
        assert reply is not None  # each of these brings one
        self._report.note(f"refused: {shown(event.line)}: {shown(reply.text())}")
        if event.fatal:
            self.errors += 1
            self.reason = "protocol error"
        elif event.error and self._smtp.transaction and event.line[:4].upper() == b"RCPT":
            reply = self._bad_recipient(reply)
        elif event.error:  # and not only more than there is
            reply = self._error(reply)
        self._answer(reply)

    def _on_command(self, event: CommandReceived) -> None:
        command, reply = event.command, event.reply
        assert reply is not None  # as above
        if isinstance(command, Rcpt):
            reply = self._on_rcpt(command, reply)
        elif isinstance(command, Mail):
            reply = self._on_mail(command, reply)
        elif command.verb == b"DATA":
            reply = self._begin_mail(_announced(self._smtp.transaction)) or reply
        elif command.verb in _IDLE:
            reply = self._idle(reply)
        elif command.verb == b"QUIT":
            self.reason = "quit"
        elif isinstance(command, Auth):
            initial = command.initial or b""
            reply = self._ask_auth(AUTH_START, command.mechanism, int(command.initial is not None), initial)
        elif isinstance(command, AuthResponse):
            reply = self._ask_auth(AUTH_RESPONSE, command.response)
        elif command.verb == b"STARTTLS":
            reply = self._on_starttls(reply)
        self._answer(reply)

    # Authentication.

    def _ask_auth(self, request: Request, *values: object) -> Reply:
        """Pass on what the client said to authenticate; give the reply that it gets."""
        self._exchange = False
        message = self._of_auth(request, *values)
        if message is None:
            return REPLIES["auth unavailable"]
        if message.name == AUTH_CHALLENGE.name:
            self._exchange = True
            return challenge(message.octets("challenge"))
        if message.name == AUTH_ACCEPTED.name:
            self._user = message.octets("user")
            self._open_handover(message.descriptors[0])
            self._hang_up_on_auth()
            return REPLIES["authenticated"]
        reply = REPLIES.get(message.octets("reply").decode("ascii", "replace"), REPLIES["auth unavailable"])
        return self._error(reply if reply.severity in {4, 5} else REPLIES["auth unavailable"])

    def _of_auth(self, request: Request, *values: object) -> Message | None:
        """Ask auth; None if no answer came that makes sense: then auth is given up."""
        if self._auth:
            try:
                self._auth.send(request, *values)
                # Who has said all beforehand may have shut its side down, and more of it is still to be read.
                client = None if self._smtp.scripted else self._wire
                await_message(self._auth, monotonic() + self._patience.auth, client)
                return self._auth.receive((AUTH_CHALLENGE, AUTH_ACCEPTED, AUTH_REFUSED))
            except (ChannelFailure, Late):
                self._hang_up_on_auth()
        return None

    def _cancel(self) -> None:
        """Tell auth that the exchange is over, as the client gave up, or said what is no response."""
        self._exchange = False
        self._tell_auth(AUTH_CANCEL)

    def _tell_auth(self, request: Request, *values: object) -> None:
        if self._auth:
            try:
                self._auth.send(request, *values)
            except ChannelFailure:
                self._hang_up_on_auth()

    def _hang_up_on_auth(self) -> None:
        if self._auth:
            self._auth.close()
            self._auth = None

    # Mails.

    def _delivery(self) -> Handover:
        assert self._handover is not None  # without it no MAIL is accepted
        return self._handover

    def _on_mail(self, command: Mail, reply: Reply) -> Reply:
        if self._handover is None:
            return self._error(REPLIES["auth required"])
        if not self._handover.alive:
            self.reason = "no delivery"
            return REPLIES["fault"]
        # Nothing that could be an option ever reaches a command line; delivery looks at it once more.
        return self._error(REPLIES["bad sender"]) if command.sender.startswith(b"-") else reply

    def _on_rcpt(self, command: Rcpt, reply: Reply) -> Reply:
        return self._bad_recipient(REPLIES["bad recipient"]) if command.recipient.startswith(b"-") else reply

    def _begin_mail(self, size: int) -> Reply | None:
        """Tell delivery of the mail whose content comes now; the reply that refuses it, or None."""
        smtp = self._smtp
        transaction = smtp.transaction
        assert transaction is not None  # content is in order only behind a MAIL
        assert smtp.hello is not None  # and that only behind a hello
        bits = EXTENDED * (smtp.hello.verb != b"HELO") | AUTHENTICATED * smtp.authenticated
        bits |= SECURED_BY_TLS * smtp.tls | UTF8 * transaction.utf8 | LOCAL_TRANSFER * self._settings.lmtp
        mail = transaction.mail
        hello = smtp.hello.line().partition(b" ")[2]
        envelope = (hello[:NAME], bits, self._tls, self._user, mail.sender, packed(mail.parameters))
        refusal = self._delivery().begin(envelope, transaction.recipients, size)
        if not refusal:
            self._mailing = transaction
        # Refused or not: chunks are read to the end of the mail, and that it is refused is said then.
        self._content_since, self._content_start = monotonic(), self._wire.received
        return refusal

    def _on_content(self, event: DataReceived) -> None:
        if self._mailing is not event.transaction:  # the first chunk; what is refused is told when it is complete
            self._begin_mail(_announced(event.transaction))
            self._mailing = event.transaction
        self._delivery().write(event.block)

    def _on_chunk(self, event: ChunkFinished) -> None:
        reply = event.reply
        assert reply is not None  # as above
        if self._mailing:
            reply = self._delivery().refusal or reply
            if reply.severity != 2:  # noqa: PLR2004 - the first digit: done
                self._delivery().abort()
                self._mailing = None
        if not event.command.size:
            reply = self._idle(reply)
        self._answer(reply)

    def _on_end_of_mail(self, event: DataFinished) -> None:
        transaction = event.transaction
        if self._mailing is not transaction:  # all of it was one chunk without content
            self._begin_mail(0)
        self._mailing = None
        reply = self._outcome(event)
        if reply.severity == 2:  # noqa: PLR2004 - as above
            self.mails += 1
            self.commands = 0
        for _ in transaction.recipients if self._settings.lmtp else (None,):
            self._answer(reply)

    def _outcome(self, event: DataFinished) -> Reply:
        """Have a mail that is complete delivered, or not if something is wrong with it."""
        delivery = self._delivery()
        assert event.reply is not None  # as above
        if event.defects:
            self._report.note(f"mail refused: {', '.join(event.defects)}")
            delivery.abort()
            return event.reply
        if self._wire.broken():
            raise Over("connection lost at the end of a mail")
        if event.bare_lf:
            self._report.note("mail with bare LF, made CRLF")
        return delivery.commit()

    # TLS.

    def _begin_with_tls(self) -> None:
        if not self._swap():
            raise Over("no TLS process")
        self._secure()

    def _on_starttls(self, reply: Reply) -> Reply:
        if self._smtp.authenticated:
            return self._error(REPLIES["out of order"])
        return reply if self._swap() else REPLIES["tls unavailable"]

    def _swap(self) -> bool:
        """Have the connection handed to a TLS process; whether that was done.

        The process is there before the client reads the 220, and reads nothing before the client, having read it,
        begins the handshake.  Without an answer nobody knows whether it was done, and the session ends: the answer
        might come yet, and be taken for that to another question.
        """
        try:
            self._control.send(SWAP)
            await_message(self._control, monotonic() + _SWAPPING)
            message = self._control.receive((SWAPPED, NOT_SWAPPED))
        except (ChannelFailure, Late):
            raise Over("no TLS process", "" if self._flags & TLS_FIRST else "fault") from None
        if message.name == NOT_SWAPPED.name:
            return False
        self._plain, channel = message.descriptors
        self._tls_channel = Channel(channel)
        return True

    def _secure(self) -> None:
        """Go on in the stream of plain text, once the handshake is complete."""
        assert self._tls_channel is not None  # it came with the stream
        self._wire.close()
        self._wire = Wire(self._plain, self._termination)
        self._plain = -1
        try:
            await_message(self._tls_channel, monotonic() + _HANDSHAKE)
            message = self._tls_channel.receive((SECURED, NOT_SECURED))
        except (ChannelFailure, Late):
            raise Over("no TLS process") from None
        if message.name == NOT_SECURED.name:
            self._report.note(f"TLS handshake failed: {shown(message.octets('reason'), 128)}")
            raise Over("TLS handshake failed")
        self._tls = message.octets("version") + b" " + message.octets("cipher")
        self._report.note(f"TLS: {shown(self._tls, 128)}")
        self._smtp.tls = True
        self._smtp.offers = self._offers()
        self._turn = monotonic()


def _announced(transaction: Transaction | None) -> int:
    """Octets that the client announced, 0 if it did not."""
    assert transaction is not None  # content is in order only behind a MAIL
    return int(dict(transaction.mail.parameters).get(b"SIZE") or 0)


def place(fault: BaseException) -> str:
    """Type and place of an exception; never its text, which may quote a secret."""
    trace, where = fault.__traceback__, "?"
    while trace:
        where = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(fault).__name__} at {where}"


# The process.


def limits(settings: Settings) -> dict[str, int]:
    """What a worker may have open, and write."""
    limited = {"descriptors": DESCRIPTORS}
    if settings.max_size:
        limited["file"] = settings.max_size + _FILE_ROOM
    return limited


def prepare(settings: Settings) -> Prepared:
    """Prepare the whole role for a worker, in the process that forks it."""
    return sandbox.prepare("worker", limits=limits(settings))


def run(
    control: int, settings: Settings, prepared: Prepared | None, policy: str, termination: Termination | None = None
) -> NoReturn:
    """Be a worker, in a child that holds ``control``, what ``prepared`` holds, and nothing else that matters.

    ``termination``: made before the fork, where a parent has also said :func:`before`.
    """
    status = EX_SOFTWARE
    try:
        if termination is None:
            before()
            termination = Termination()
        work(control, settings, prepared, policy, termination)
        status = 0
    finally:
        os._exit(status)  # noqa: SLF001 - public, whatever its name says


def before() -> None:
    """Do what is the same for all workers; a parent that does nothing else may do it for them."""
    gc.disable()  # a session makes no cycles, and to look for them would copy what is shared with the parent
    reads, writes = os.pipe()
    for descriptor in (0, 1, 2):
        os.dup2(reads, descriptor)  # nothing can be written there, whatever goes wrong
    os.close(reads)
    os.close(writes)


def work(control: int, settings: Settings, prepared: Prepared | None, policy: str, termination: Termination) -> None:
    """Confine itself, wait for a connection, serve it."""
    termination.install()
    if prepared and not (policy != sandbox.OFF and prepared.enter_at_once()):
        prepared.enter(policy)
    channel = Channel(control)
    stretch(settings)
    try:
        termination.await_first(control)
        message = channel.receive((CONNECTION,))
    except (Terminated, ChannelFailure):
        return
    Session(settings, channel, message, termination).serve()


def stretch(settings: Settings) -> None:
    """Say to itself what most clients say, while no client waits.

    Whatever is touched for the first time after the fork is copied then, and that is most of what a session costs.
    """
    smtp = ServerConnection(settings.domain.encode("ascii", "replace"), offers=DEFAULT_OFFERS, limits=Limits())
    smtp.greet()
    for line in _STRETCHING:
        for event in smtp.receive(line):
            if isinstance(event, CommandReceived) and event.reply:
                smtp.reply(event.reply)


_STRETCHING = (b"EHLO warm.example\\r\\n", b"MAIL FROM:<a@warm.example> SIZE=1\\r\\n")


# Before the fork.


REHEARSALS = 12

_REHEARSAL = (
    b"HELO warm\r\nNOOP\r\nRSET\r\nVRFY x\r\nHELP\r\nEXPN x\r\nBAD\r\nEHLO warm\r\n"
    b"AUTH PLAIN\r\nAHdhcm0Ad2FybQ==\r\n"
    b"MAIL FROM:<\xc3\xa4@warm.example> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x\r\n"
    b'RCPT TO:<"a b"@[IPv6:2001:db8::1]> NOTIFY=NEVER ORCPT=rfc822;x\r\nRCPT TO:<bad\r\nDATA\r\n'
    b"Received: x\r\n\r\n..x\ny\r\n.\r\n"
    b"MAIL FROM:<>\r\nRCPT TO:<x@[192.0.2.1]>\r\nBDAT 3\r\nx\r\nBDAT 3 LAST\r\ny\r\nQUIT\r\n"
)
"""What a client may say, more or less: all of it is said once, so that whatever it needs has been loaded."""


def warm(settings: Settings) -> None:
    """Serve sessions in memory, so that workers find all they need loaded: to open a file is beyond them.

    To be called in the process that forks them.  Python changes code while it learns what it does, until it has run
    some ten times; a worker would have to copy what it changes.
    """
    for _ in range(REHEARSALS):
        _rehearse(settings)
    gc.collect()
    gc.freeze()


def _rehearse(settings: Settings) -> None:
    """Serve one.  Both brokers' answers are written before it begins."""
    control, supervisor = pair()
    auth, way_to_auth = pair()
    delivery, way_to_delivery = pair()
    client, connection = socketpair(AF_UNIX, SOCK_STREAM)
    file = os.memfd_create("warm")
    answers = Channel(auth)
    answers.send(AUTH_CHALLENGE, b"")
    answers.send(AUTH_ACCEPTED, b"warm", descriptors=(way_to_delivery,))
    os.close(way_to_delivery)
    mails = Channel(delivery)
    for _ in range(2):
        mails.send(FILE, 1 << 20, descriptors=(file,))
        mails.send(RESULT, 250, b"2.0.0 warm")
    os.close(file)
    client.send(_REHEARSAL)
    message = Message(
        CONNECTION.name,
        {"session": 0, "flags": WITH_AUTH, "address": b"", "port": 0, "uid": 0, "local": b""},
        (connection.detach(), way_to_auth),
    )
    termination = Termination()
    channel = Channel(control)
    rehearsed = Settings()  # as the client below wants them, not as they are
    rehearsed.domain = settings.domain
    Session(rehearsed, channel, message, termination).rehearse()
    for end in (channel, answers, mails, Channel(supervisor)):
        end.close()
    for descriptor in (termination.reads, termination.writes):
        os.close(descriptor)
    client.close()
