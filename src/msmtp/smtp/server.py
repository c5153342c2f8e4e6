"""ServerConnection: the server's door.  Bytes in and events out, replies in and bytes out.

The user reads events and answers those that await a reply; until an event is answered the next one does not come,
because what the next command means depends on it.  Each such event brings the reply it would have by default; a user
who has nothing to say against it sends that.

What the connection decides itself: the order of commands (TRANSITIONS), their grammar, the groups of RFC 2920, the end
of the content, the limits.  It then gives CommandRefused, with the reply.  ``fatal`` means that the session is over
with that reply: the octets that follow cannot be told apart from commands that somebody else wrote, or the peer does
not speak SMTP at all.

Strict about framing:

* Only CRLF.CRLF ends the content; what is wrong with a mail is said after its real end (see msmtp.smtp.incoming).
* A command that must stand last in its group (EHLO, AUTH, DATA, STARTTLS, QUIT and kin) has nothing behind it before it
  is answered; neither has the connection itself before the greeting.  Octets that come all the same were written by
  somebody who did not wait for this server: 554 and the end, and the command is not carried out.  After the content
  another group may follow at once: RFC 2920, 3.1, allows it in so many words, its section 4 shows a QUIT there, and
  clients do it; a server that closed on it would get the same mail again and again.
* A chunk that cannot be taken is read and thrown away before it is refused (RFC 3030, 2); BDAT where CHUNKING is not
  offered, or without a size, is fatal.
* A command with a control character in it is fatal, and so is one that is too long.  A bare LF ends a command unless
  ``strict`` is set.
"""

from __future__ import annotations

from msmtp.failures import SequenceFailure
from msmtp.smtp import grammar
from msmtp.smtp.commands import Auth, Bdat, Command, Mail, Rcpt
from msmtp.smtp.incoming import BARE_CR, LONG_LINE, NUL, TOO_BIG, Unchunker, Unstuffer
from msmtp.smtp.limits import DEFAULT_LIMITS, Limits
from msmtp.smtp.lines import LineBuffer, LineTooLong
from msmtp.smtp.parsing import Refusal, parse_command, parse_response, verb_of
from msmtp.smtp.replies import Reply
from msmtp.smtp.server_replies import REPLIES, greeting
from msmtp.smtp.transitions import (
    CANCEL,
    CHALLENGED,
    CLOSED,
    CONNECTED,
    CONTENT,
    DATA,
    GREETED,
    GREETING,
    HANDSHAKE,
    READY,
    RESPONSE,
    SENDER,
    SHUTDOWN,
    TRANSITIONS,
    after,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: What is offered unless the user says otherwise; SIZE gets the limit behind it.
DEFAULT_OFFERS = (
    b"PIPELINING",
    b"SIZE",
    b"8BITMIME",
    b"SMTPUTF8",
    b"DSN",
    b"ENHANCEDSTATUSCODES",
    b"CHUNKING",
)

_HELLOS = {"smtp": (b"EHLO", b"HELO"), "lmtp": (b"LHLO",)}
_ALL_HELLOS = (b"EHLO", b"HELO", b"LHLO")

# Nothing may stand behind these until they are answered.  RFC 2920, 3.1, lists NOOP, VRFY and EXPN too, but there is
# nothing to gain from what stands behind those.
_STAND_LAST = frozenset((*_ALL_HELLOS, b"AUTH", RESPONSE, b"DATA", b"STARTTLS", b"QUIT"))

# Replies that do not mean that the client made a mistake.
_LIMIT_REPLIES = frozenset(("mail too big", "too many recipients"))

# First words of other protocols that a browser can be made to say to a mail server.
_FOREIGN = frozenset((b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE", b"PATCH"))

_DEFAULT_REPLIES = {
    b"MAIL": "sender ok",
    b"RCPT": "recipient ok",
    b"DATA": "go ahead",
    b"AUTH": "auth unavailable",
    RESPONSE: "auth unavailable",
    CANCEL: "auth cancelled",
    b"STARTTLS": "tls go ahead",
    b"RSET": "ok",
    b"NOOP": "ok",
    b"QUIT": "bye",
    b"VRFY": "cannot verify",
    b"EXPN": "not implemented",
    b"HELP": "help",
    b"ETRN": "not queued",
}

_DEFECT_REPLIES = {BARE_CR: "bare CR", NUL: "NUL", LONG_LINE: "long line", TOO_BIG: "mail too big"}


class Event:
    """What came.  ``reply``: the reply to give unless the user knows better; None: no reply is awaited."""

    __slots__ = ("reply",)

    def __init__(self, reply: Reply | None = None) -> None:
        self.reply = reply

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Event) and self._all() == other._all()

    def __hash__(self) -> int:
        return hash(repr(self))

    def _all(self) -> tuple[object, ...]:
        names = [name for base in type(self).__mro__[-2::-1] for name in base.__slots__]  # type: ignore[attr-defined]
        return tuple(getattr(self, name) for name in names)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._all()))})"


class CommandReceived(Event):
    """A command in order and well-formed; it awaits a reply."""

    __slots__ = ("command",)

    def __init__(self, command: Command, reply: Reply) -> None:
        super().__init__(reply)
        self.command = command


class CommandRefused(Event):
    """Something that gets ``reply`` and no other reply.

    ``line``: what came, raw.  ``fatal``: the session is over once it is answered.  ``error``: the client made a mistake
    (and not only asked for more than there is).
    """

    __slots__ = ("error", "fatal", "line")

    def __init__(self, line: bytes, reply: Reply, *, fatal: bool = False, error: bool = True) -> None:
        super().__init__(reply)
        self.line = line
        self.fatal = fatal
        self.error = error


class DataReceived(Event):
    """A block of the content of the mail, with CRLF line ends (or LF) and the doubled dots taken away; no reply.

    ``transaction``: the one it belongs to.  Chunks of one that ends without its mail (RSET) are to be thrown away.
    """

    __slots__ = ("block", "transaction")

    def __init__(self, transaction: Transaction, block: bytes) -> None:
        super().__init__(None)
        self.transaction = transaction
        self.block = block


class ChunkFinished(Event):
    """The content of a BDAT that is not the last one is complete; it awaits a reply."""

    __slots__ = ("command",)

    def __init__(self, command: Bdat, reply: Reply) -> None:
        super().__init__(reply)
        self.command = command


class DataFinished(Event):
    """The mail is complete; it awaits a reply, in LMTP one for each accepted recipient.

    ``size``: octets of the content.  ``defects``: what is wrong with it (names in msmtp.smtp.incoming); ``reply``
    refuses it then.  ``bare_lf``: whether a bare LF was made CRLF.
    """

    __slots__ = ("bare_lf", "defects", "size", "transaction")

    def __init__(
        self, transaction: Transaction, reply: Reply, size: int, defects: tuple[str, ...], bare_lf: bool
    ) -> None:
        super().__init__(reply)
        self.transaction = transaction
        self.size = size
        self.defects = defects
        self.bare_lf = bare_lf


class Transaction:
    """What one accepted MAIL began: ``mail``, and ``recipients``, the RCPTs that were accepted, in order."""

    __slots__ = ("mail", "recipients", "unchunker")

    def __init__(self, mail: Mail) -> None:
        self.mail = mail
        self.recipients: list[Rcpt] = []
        self.unchunker: Unchunker | None = None

    @property
    def utf8(self) -> bool:
        """Whether SMTPUTF8 was asked for."""
        return (b"SMTPUTF8", None) in self.mail.parameters

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Transaction) and (self.mail, self.recipients) == (other.mail, other.recipients)

    def __hash__(self) -> int:
        return hash(self.mail)

    def __repr__(self) -> str:
        return f"Transaction({self.mail!r}, {self.recipients!r})"


class _Due:
    """The reply that is awaited: to which step, how many of it, and what it does."""

    __slots__ = ("command", "fatal", "replies", "stands_last", "step")

    def __init__(
        self,
        step: bytes,
        command: Command | None = None,
        *,
        replies: int = 1,
        fatal: bool = False,
        stands_last: bool = False,
    ) -> None:
        self.step = step
        self.command = command
        self.replies = replies
        self.fatal = fatal
        self.stands_last = stands_last


class _Chunk:
    """A BDAT whose content is on its way: ``left`` octets of it; ``refusal``: a reply's name if it is thrown away."""

    __slots__ = ("command", "left", "line", "refusal")

    def __init__(self, command: Bdat, line: bytes, refusal: str) -> None:
        self.command = command
        self.line = line
        self.left = command.size
        self.refusal = refusal


class ServerConnection:
    """The server's side of one session.

    ``domain``: the server's name in the greeting and the reply to a hello.  ``protocol``: "smtp" or "lmtp".
    ``offers``: the lines of the reply to EHLO, for instance ``b"AUTH PLAIN"``.  ``strict``: a command must end in
    CRLF.  ``lf``: content is handed on with LF line ends, as programs on this machine want it.  ``scripted``: the
    client need not wait for replies; for one on a pipe, which nobody else can write into.

    ``state``: one of the states of TRANSITIONS.  ``hello``: the last hello accepted, or None.  ``tls``: whether
    ``starttls_done`` was said.  ``authenticated``: whether an AUTH was accepted.  ``transaction``: the one that is
    open, or None; each MAIL makes a new one.
    """

    __slots__ = (
        "_buffer",
        "_chunk",
        "_content_ended",
        "_due",
        "_early",
        "_ended",
        "_unstuffer",
        "authenticated",
        "domain",
        "hello",
        "lf",
        "limits",
        "offers",
        "protocol",
        "scripted",
        "state",
        "strict",
        "tls",
        "transaction",
    )

    def __init__(  # noqa: PLR0913 - what a server is, all by name
        self,
        domain: bytes,
        *,
        protocol: str = "smtp",
        offers: tuple[bytes, ...] = DEFAULT_OFFERS,
        limits: Limits = DEFAULT_LIMITS,
        strict: bool = False,
        lf: bool = False,
        scripted: bool = False,
    ) -> None:
        self.domain = domain
        self.protocol = protocol
        self.offers = offers
        self.limits = limits
        self.strict = strict
        self.lf = lf
        self.scripted = scripted
        self.state = CONNECTED
        self.hello: Command | None = None
        self.tls = False
        self.authenticated = False
        self.transaction: Transaction | None = None
        self._buffer = LineBuffer()
        self._due: _Due | None = _Due(GREETING, stands_last=True)
        self._early = False
        self._ended = False
        self._unstuffer = Unstuffer()
        self._content_ended = False
        self._chunk: _Chunk | None = None

    @property
    def awaits_reply(self) -> bool:
        """Whether an event (or the connection itself) has not been answered yet."""
        return self._due is not None

    @property
    def awaits_content(self) -> bool:
        """Whether what comes next is the content of a mail, not a command."""
        return self.state == DATA or self._chunk is not None

    @property
    def in_force(self) -> tuple[bytes, ...]:
        """The lines that the reply to EHLO has now: STARTTLS is gone once TLS is on (RFC 3207, 4.2)."""
        lines = [line for line in self.offers if not (self.tls and line.upper() == b"STARTTLS")]
        return tuple(b"SIZE %d" % self.limits.message if line.upper() == b"SIZE" else line for line in lines)

    # In.

    def receive(self, data: bytes) -> Iterator[Event]:
        """Take bytes from the client (b"": it closed its side); give the events that follow, as they are read.

        An event that awaits a reply is the last one until ``reply`` was called; that may be done in the loop over the
        events, or later, when ``events`` goes on.  Until then what is received is kept, however much it is: a user who
        answers later reads no more while ``awaits_reply``.  Nothing that a client sends raises anything.
        """
        if self.state != CLOSED:
            self._buffer.feed(data)
        if self._due is not None and self._due.stands_last and data and not self.scripted:
            self._early = True
        self._ended |= not data
        return self.events()

    def events(self) -> Iterator[Event]:
        """Give the events in what has come so far."""
        while event := self._next_event():
            yield event
        if self._ended and self._due is None:
            self._close()

    def starttls_done(self) -> None:
        """Say that the TLS layer is up: everything learnt before is forgotten (RFC 3207, 4.2).

        Octets that came in the clear behind STARTTLS are thrown away, if ``events`` did not already end the session
        over them.  Raises SequenceFailure if TLS was not agreed upon.
        """
        if self.state != HANDSHAKE:
            raise SequenceFailure("TLS cannot begin here")
        self.state = GREETED
        self._buffer = LineBuffer()
        self.tls = True
        self.hello = None
        self.authenticated = False

    # Out.

    def greet(self, reply: Reply | None = None) -> bytes:
        """Give the bytes of the greeting."""
        return self.reply(reply or greeting(self.domain, self.protocol))

    def reply(self, reply: Reply) -> bytes:
        """Answer the event that awaits it; give the bytes to write.

        What the client sent too early turns the reply into 554 and ends the session.  Raises SequenceFailure if no
        event awaits a reply, or ``reply`` cannot be one to it (a 250 to DATA); ValueError if it cannot be encoded.
        """
        due = self._due
        if due is None:
            raise SequenceFailure("nothing awaits a reply")
        if self._early:
            self._close()
            return REPLIES["not in groups"].encode()
        state = CLOSED if due.fatal else after(self.state, due.step, reply.code)
        if state is None:
            raise SequenceFailure(f"{reply.code} is no reply to {due.step.decode()}")
        data = reply.encode()
        due.replies -= 1
        if due.replies <= 0 or reply.code == SHUTDOWN:
            self._due = None
            self._move(due, reply, state)
        return data

    def _move(self, due: _Due, reply: Reply, state: str) -> None:
        """Let a reply have its effect."""
        command = due.command
        if command is not None and reply.severity == 2:  # noqa: PLR2004 - the first digit: done
            self._note_success(command)
        self.state = state
        if state == DATA:
            self._unstuffer = Unstuffer(self.limits.data_line, self.limits.message, lf=self.lf)
            self._content_ended = False
        elif state in (READY, GREETED):
            self.transaction = None
        elif state == CLOSED:
            self._close()

    def _note_success(self, command: Command) -> None:
        if command.verb in _ALL_HELLOS:
            self.hello = command
        elif isinstance(command, Mail):
            self.transaction = Transaction(command)
        elif isinstance(command, Rcpt) and self.transaction is not None:
            self.transaction.recipients.append(command)
        elif command.verb in (b"AUTH", RESPONSE):
            self.authenticated = True

    def _close(self) -> None:
        self.state = CLOSED
        self.transaction = None
        self._due = None
        self._buffer = LineBuffer()

    # Events.

    def _next_event(self) -> Event | None:
        if self._due is not None or self.state == CLOSED:
            return None
        if self._chunk is not None:
            return self._next_of_chunk(self._chunk)
        if self.state == DATA:
            return self._next_of_content()
        if self.state == HANDSHAKE:
            return self._refuse(b"", "not in groups", fatal=True) if len(self._buffer) else None
        return self._next_of_lines()

    def _next_of_lines(self) -> Event | None:
        first = self._buffer.peek(1)
        if grammar.CONTROL.match(first) and first not in b"\r\n":
            return self._refuse(first, "not text", fatal=True)  # the hello of TLS, or worse; its line may never end
        try:
            line = self._buffer.next_line(self._line_limit())
        except LineTooLong as fault:
            return self._refuse(fault.start, "line too long", fatal=True)
        return None if line is None else self._of_line(line)

    def _line_limit(self) -> int:
        if self.state == CHALLENGED:
            return self.limits.response_line
        return self.limits.auth_line if self._buffer.peek(5).upper() == b"AUTH " else self.limits.command_line

    def _of_line(self, line: bytes) -> Event | None:
        """Give the event of a line; None if it is a BDAT whose content has still to come."""
        if self.strict and not line.endswith(b"\r"):
            return self._refuse(line, "bare LF")
        line = line.removesuffix(b"\r")
        step = RESPONSE if self.state == CHALLENGED else verb_of(line)
        stands_last = step in _STAND_LAST
        try:
            command = self._parse(line, step)
            if isinstance(command, Bdat):
                return self._begin_chunk(command, line)
            self._check(command)
        except Refusal as refusal:
            return self._refuse(line, refusal.name, step, fatal=refusal.fatal, stands_last=stands_last)
        self._due = _Due(command.step, command, stands_last=stands_last)
        return CommandReceived(command, self._default(command))

    def _parse(self, line: bytes, step: bytes) -> Command:
        """Read a line that is complete.  Raises Refusal."""
        if grammar.CONTROL.search(line):
            raise Refusal("not text", fatal=True)
        if step in _STAND_LAST and len(self._buffer) and not self.scripted:
            raise Refusal("not in groups", fatal=True)
        if step == RESPONSE:
            return parse_response(line)
        if line.partition(b" ")[0].upper() in _FOREIGN:
            raise Refusal("not SMTP", fatal=True)
        return parse_command(line, self._offered(), utf8=self.transaction is not None and self.transaction.utf8)

    def _offered(self) -> frozenset[bytes]:
        """Keywords of the extensions in force; none before EHLO or LHLO."""
        if self.hello is None or self.hello.verb == b"HELO":
            return frozenset()
        return frozenset(line.partition(b" ")[0].upper() for line in self.in_force)

    def _check(self, command: Command) -> None:
        """Let a command pass that is in order and asks for nothing beyond the limits.  Raises Refusal."""
        if command.verb in _ALL_HELLOS and command.verb not in _HELLOS[self.protocol]:
            raise Refusal("unknown command")  # RFC 2033, 4.1: an LMTP server has no HELO and EHLO
        if command.step not in TRANSITIONS[self.state]:
            # RFC 5321, 4.1.1.4, would have 554 as well; RFC 2033, 4.2, wants 503.
            content = command.verb in (b"DATA", b"BDAT")
            raise Refusal("no recipients" if content and self.state == SENDER else "out of order")
        if isinstance(command, Auth):
            self._check_auth(command)
        elif isinstance(command, Mail):
            size = int(dict(command.parameters).get(b"SIZE") or 0)
            if 0 < self.limits.message < size:
                raise Refusal("mail too big")  # RFC 1870, 6.1
        elif isinstance(command, Rcpt) and self.transaction is not None:
            self._check_recipients(self.transaction)

    def _check_recipients(self, transaction: Transaction) -> None:
        if 0 < self.limits.recipients <= len(transaction.recipients):
            raise Refusal("too many recipients")

    def _check_auth(self, command: Auth) -> None:
        if self.authenticated:
            raise Refusal("already authenticated")
        offered = [line.upper().split() for line in self.offers]
        if not any(words[0] == b"AUTH" and command.mechanism in words for words in offered):
            raise Refusal("unknown mechanism")

    def _default(self, command: Command) -> Reply:
        """Give the reply to a command unless the user knows better."""
        if command.verb == b"HELO":
            return Reply(250, (self.domain,))
        if command.verb in _ALL_HELLOS:
            return Reply(250, (self.domain, *self.in_force))
        return REPLIES[_DEFAULT_REPLIES[command.verb]]

    def _refuse(
        self, line: bytes, name: str, step: bytes = b"", *, fatal: bool = False, stands_last: bool = False
    ) -> CommandRefused:
        self._due = _Due(step, fatal=fatal, stands_last=stands_last)
        return CommandRefused(line, REPLIES[name], fatal=fatal, error=name not in _LIMIT_REPLIES)

    # Content.

    def _next_of_content(self) -> Event | None:
        """Content after DATA; what stands behind its end goes back to be read as commands."""
        assert self.transaction is not None  # content is in order only behind a MAIL
        if not self._content_ended:
            block, rest = self._unstuffer.feed(self._buffer.take(len(self._buffer)))
            self._content_ended = rest is not None
            self._buffer.feed(rest or b"")
            if block:
                return DataReceived(self.transaction, block)
        return self._finish(self.transaction, CONTENT, self._unstuffer) if self._content_ended else None

    def _begin_chunk(self, command: Bdat, line: bytes) -> Event | None:
        """Read a chunk's command: its content follows whether it can be taken or not (RFC 3030, 2)."""
        refusal = ""
        try:
            self._check(command)
        except Refusal as reason:
            refusal = reason.name
        if not refusal and self.transaction is not None and self.transaction.unchunker is None:
            self.transaction.unchunker = Unchunker(self.limits.data_line, self.limits.message, lf=self.lf)
        self._chunk = _Chunk(command, line, refusal)
        return self._next_event()

    def _next_of_chunk(self, chunk: _Chunk) -> Event | None:
        if chunk.refusal:
            return self._throw_away(chunk)
        assert self.transaction is not None  # BDAT is in order only behind a MAIL
        assert self.transaction.unchunker is not None  # it was made with the first chunk
        unchunker = self.transaction.unchunker
        while chunk.left and len(self._buffer):
            if block := unchunker.feed(self._take_of_chunk(chunk)):
                return DataReceived(self.transaction, block)
        if chunk.left:
            return None
        if chunk.command.last and (block := unchunker.end()):
            return DataReceived(self.transaction, block)
        self._chunk = None
        if chunk.command.last:
            return self._finish(self.transaction, chunk.command.step, unchunker)
        self._due = _Due(chunk.command.step)
        return ChunkFinished(chunk.command, _verdict("chunk ok", unchunker.defects))

    def _take_of_chunk(self, chunk: _Chunk) -> bytes:
        block = self._buffer.take(chunk.left)
        chunk.left -= len(block)
        return block

    def _throw_away(self, chunk: _Chunk) -> Event | None:
        self._take_of_chunk(chunk)
        if chunk.left:
            return None
        self._chunk = None
        return self._refuse(chunk.line, chunk.refusal, chunk.command.step)

    def _finish(self, transaction: Transaction, step: bytes, content: Unstuffer | Unchunker) -> DataFinished:
        replies = len(transaction.recipients) if self.protocol == "lmtp" else 1
        self._due = _Due(step, replies=replies)
        reply = _verdict("mail ok", content.defects)
        return DataFinished(transaction, reply, content.size, content.defects, content.bare_lf)


def _verdict(success: str, defects: tuple[str, ...]) -> Reply:
    """Give the reply to content: the size is said first, since it is the one thing that the sender can know."""
    if not defects:
        return REPLIES[success]
    return REPLIES[_DEFECT_REPLIES[TOO_BIG if TOO_BIG in defects else defects[0]]]
