"""ClientConnection: the client's door.  Commands in and bytes out, bytes in and events out.

The connection writes and reads nothing; its user does.  It knows which commands await replies (``pending``), what state
the answered ones have led to (``state``), and what state all of them would lead to; the first is what the server is
known to think, the second is what the next command is checked against.

Replies are taken in the order of the commands.  The events of :meth:`ClientConnection.receive` are made while they are
read: if the bytes hold two replies and then nonsense, two events come and then ProtocolFailure is raised, whether the
bytes came at once or one by one.
"""

from __future__ import annotations

from msmtp.failures import ProtocolFailure, SequenceFailure, ServerGoneFailure, shown
from msmtp.smtp.commands import CONNECTION, END_OF_DATA, UNASKED, Bdat, Command, Mail, Rcpt
from msmtp.smtp.data import Chunker, Stuffer
from msmtp.smtp.extensions import NO_EXTENSIONS, Extensions
from msmtp.smtp.limits import DEFAULT_LIMITS, Limits
from msmtp.smtp.lines import LineBuffer, LineTooLong
from msmtp.smtp.replies import Reply, ReplyParser, invalid_reply
from msmtp.smtp.transitions import (
    ANYWHERE_IN_GROUP,
    BDAT_LAST,
    CLOSED,
    CONNECTED,
    CONTENT,
    DATA,
    GREETED,
    HANDSHAKE,
    RESPONSE,
    SHUTDOWN,
    after,
    expected,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_HELLOS = {"smtp": (b"EHLO", b"HELO"), "lmtp": (b"LHLO",)}
_ALL_HELLOS = (b"EHLO", b"HELO", b"LHLO")


class ReplyReceived:
    """``reply`` answers ``command``; ``recipient`` is set where LMTP answers for one recipient.

    ``command`` is the object given to ``send``, or CONNECTION for the greeting, END_OF_DATA for the content after
    DATA, the Bdat of a chunk, UNASKED for a 421 that answers nothing.
    """

    __slots__ = ("command", "recipient", "reply")

    def __init__(self, command: Command, reply: Reply, recipient: bytes | None = None) -> None:
        self.command = command
        self.reply = reply
        self.recipient = recipient

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReplyReceived) and self._all() == other._all()

    def __hash__(self) -> int:
        return hash(self._all())

    def _all(self) -> tuple[Command, Reply, bytes | None]:
        return self.command, self.reply, self.recipient

    def __repr__(self) -> str:
        behind = f", {self.recipient!r}" if self.recipient is not None else ""
        return f"ReplyReceived({self.command!r}, {self.reply!r}{behind})"


class Transaction:
    """What one MAIL began: ``sender``; ``accepted`` recipients in order; ``refused``: pairs of recipient and reply."""

    __slots__ = ("accepted", "chunker", "refused", "sender", "stuffer")

    def __init__(self, sender: bytes) -> None:
        self.sender = sender
        self.accepted: list[bytes] = []
        self.refused: list[tuple[bytes, Reply]] = []
        self.stuffer = Stuffer()
        self.chunker = Chunker()

    def __repr__(self) -> str:
        return f"Transaction({self.sender!r}, {len(self.accepted)} accepted, {len(self.refused)} refused)"


class _Pending:
    """A command that awaits its reply, with the transaction it belongs to.

    ``recipients``: in LMTP, whose replies are still to come; None until the first of them is due.
    """

    __slots__ = ("command", "recipients", "transaction")

    def __init__(self, command: Command, transaction: Transaction | None) -> None:
        self.command = command
        self.transaction = transaction
        self.recipients: list[bytes] | None = None


class ClientConnection:
    """The client's side of one session.  ``protocol``: "smtp" or "lmtp".

    ``state``: one of the states of TRANSITIONS, as far as replies have come.  ``extensions``: what the last EHLO
    offered.
    ``authenticated``: whether an AUTH has succeeded.  ``transaction``: what the last MAIL sent has begun, or None; each
    MAIL makes a new one, and nothing ever clears an old one.
    """

    __slots__ = (
        "_ahead",
        "_answered",
        "_buffer",
        "_parser",
        "_queue",
        "authenticated",
        "extensions",
        "limits",
        "protocol",
        "state",
        "transaction",
    )

    def __init__(self, protocol: str = "smtp", limits: Limits = DEFAULT_LIMITS) -> None:
        self.protocol = protocol
        self.limits = limits
        self.state = CONNECTED
        self.extensions = NO_EXTENSIONS
        self.authenticated = False
        self.transaction: Transaction | None = None
        self._ahead = GREETED
        self._buffer = LineBuffer()
        self._parser = ReplyParser(limits)
        self._queue = [_Pending(CONNECTION, None)]
        self._answered = 0  # of the queue, which is empty once all of it is; a deque would be a module more to load

    @property
    def awaits_reply(self) -> bool:
        """Whether a command (or the connection itself) has not been answered yet."""
        return bool(self._queue)

    @property
    def pending(self) -> tuple[Command, ...]:
        """Commands that await replies, the next one first; CONNECTION until the greeting is there."""
        return tuple(entry.command for entry in self._queue[self._answered :])

    # Out.

    def send(self, command: Command) -> bytes:
        """Give the bytes to write for a command, and expect its reply.

        It may be called while earlier commands still await theirs, within the groups of RFC 2920 and if the server
        offers PIPELINING.  Raises SequenceFailure if the command is out of order, CommandFailure if it cannot be
        encoded; nothing has changed then.
        """
        if command.step == CONTENT or isinstance(command, Bdat):
            raise SequenceFailure("content goes through data(), end_data() and bdat()")
        return self._send(command, command.encode(self.limits))

    def data(self, block: bytes) -> bytes:
        """Give the bytes to write for a block of the content after 354; line ends and dots are taken care of."""
        return self._stuffer().feed(block)

    def end_data(self) -> bytes:
        """Give the bytes that end the content, and expect its reply (in LMTP one for each accepted recipient)."""
        end = self._stuffer().end()
        if self.protocol == "lmtp" and self.transaction and not self.transaction.accepted:
            self._close()  # RFC 2033, 4.2: such a DATA must fail; how many replies a dot would have, nobody knows
            raise ProtocolFailure("the server sent an invalid reply: 354 although it accepted no recipient")
        return self._send(END_OF_DATA, end)

    def bdat(self, block: bytes, last: bool) -> bytes:
        """Give the bytes to write for a chunk: the command and the content behind it (RFC 3030).

        Line ends are taken care of; so the chunk may be a few octets longer or shorter than the block.
        Raises SequenceFailure if BDAT is out of order.
        """
        self._check(Bdat(0, last))
        assert self.transaction is not None  # BDAT is in order only behind a MAIL
        chunk = self.transaction.chunker.feed(block, last)
        command = Bdat(len(chunk), last)
        return self._send(command, command.encode(self.limits) + chunk)

    def starttls_done(self) -> None:
        """Say that the TLS layer is up: everything learnt before is forgotten (RFC 3207, 4.2).

        Raises ProtocolFailure if bytes came behind the 220: they were sent in the clear by who knows whom, to be taken
        for replies of the server (CVE-2011-0411 and its kin).
        """
        if self.state != HANDSHAKE:
            raise SequenceFailure("TLS cannot begin here")
        self.check_quiet()
        self.state = self._ahead = GREETED
        self.extensions = NO_EXTENSIONS
        self.authenticated = False
        self.transaction = None

    def check_quiet(self) -> None:
        """Raise ProtocolFailure if bytes came behind the last reply; to be asked before a TLS handshake begins."""
        if len(self._buffer):
            self._close()
            raise ProtocolFailure(
                f"the server sent something behind its reply to STARTTLS: {shown(self._buffer.peek(81))}",
                hint="somebody on the way to the server may be injecting it",
            )

    # In.

    def receive(self, data: bytes) -> Iterator[ReplyReceived]:
        """Take bytes from the server (b"": it closed the connection); give the events that follow, as they are read.

        Raises ProtocolFailure where it is not SMTP, after the events before it; ServerGoneFailure at the end of file if
        a reply is still awaited (other than QUIT's).
        """
        if self.state != CLOSED:  # after QUIT, a 421 or a fault nothing that comes means anything
            self._buffer.feed(data)
        return self._events(ended=not data)

    def _events(self, *, ended: bool) -> Iterator[ReplyReceived]:
        while event := self._next_event():
            yield event
        if self.state == HANDSHAKE:
            self.check_quiet()
        if ended and (self.state == DATA or any(command.verb != b"QUIT" for command in self.pending)):
            self._close()
            raise ServerGoneFailure("the server sent an empty reply")

    def _next_event(self) -> ReplyReceived | None:
        """Give the next event, or None if it is not there yet; after a fault the session is over."""
        if self.state in (HANDSHAKE, CLOSED):
            return None
        try:
            reply = self._next_reply()
            return self._take(reply) if reply else None
        except ProtocolFailure:
            self._close()
            raise

    def _close(self) -> None:
        self._forget_queue()
        self.state = self._ahead = CLOSED

    def _forget_queue(self) -> None:
        self._queue.clear()
        self._answered = 0

    def _next_reply(self) -> Reply | None:
        try:
            while (line := self._buffer.next_line(self.limits.reply_line)) is not None:
                if reply := self._parser.feed(line):
                    return reply
        except LineTooLong as fault:
            raise invalid_reply(fault.start, f"more than {self.limits.reply_line} octets in a line") from None
        return None

    def _take(self, reply: Reply) -> ReplyReceived:
        """Match a reply with the command it answers."""
        if reply.code == SHUTDOWN:
            return self._take_shutdown(reply)
        if not self._queue:
            raise ProtocolFailure(
                f"the server sent a reply that nothing asked for: {shown(reply.raw_lines()[0])}",
                server=reply.printable(),
            )
        entry = self._queue[self._answered]
        recipient = self._next_recipient(entry)
        state = after(self.state, entry.command.step, reply.code)
        if state is None:
            name = entry.command.step.decode().strip("()")
            raise ProtocolFailure(
                f"the server sent an invalid reply to {name}: {shown(reply.raw_lines()[0])}",
                server=reply.printable(),
            )
        if not entry.recipients:
            self._answered += 1
            if self._answered == len(self._queue):
                self._forget_queue()
            self._move(entry, reply, state)
        return ReplyReceived(entry.command, reply, recipient)

    def _take_shutdown(self, reply: Reply) -> ReplyReceived:
        """421 ends the session and with it the wait for other replies (RFC 5321, 3.8)."""
        entry = self._queue[self._answered] if self._queue else _Pending(UNASKED, None)
        recipient = self._next_recipient(entry)
        self._move(entry, reply, CLOSED)
        self._close()
        return ReplyReceived(entry.command, reply, recipient)

    def _next_recipient(self, entry: _Pending) -> bytes | None:
        """Whom LMTP's next reply is about (RFC 2033, 4.2: one reply for each accepted recipient, in order)."""
        if self.protocol != "lmtp" or entry.transaction is None or entry.command.step not in (CONTENT, BDAT_LAST):
            return None
        if entry.recipients is None:
            # A chunk that is out of order has one reply as any other command.
            entry.recipients = list(entry.transaction.accepted) if expected(self.state, entry.command.step) else []
        return entry.recipients.pop(0) if entry.recipients else None

    def _move(self, entry: _Pending, reply: Reply, state: str) -> None:
        """Let a reply have its effect."""
        if isinstance(entry.command, Rcpt) and entry.transaction:
            _note_recipient(entry.transaction, entry.command.recipient, reply)
        elif reply.severity == 2:  # noqa: PLR2004 - the first digit: done
            self._note_success(entry.command.step, reply)
        self.state = state
        if not self._queue:
            self._ahead = state

    def _note_success(self, step: bytes, reply: Reply) -> None:
        if step in _ALL_HELLOS:
            self.extensions = NO_EXTENSIONS if step == b"HELO" else Extensions(reply.lines)
        elif step in (b"AUTH", RESPONSE):
            self.authenticated = True

    def _send(self, command: Command, data: bytes) -> bytes:
        self._ahead = self._check(command)
        if isinstance(command, Mail):
            self.transaction = Transaction(command.sender)
        self._queue.append(_Pending(command, self.transaction))
        return data

    def _check(self, command: Command) -> str:
        """Give the state that a command leads to if all goes well.  Raises SequenceFailure if it is out of order."""
        step = command.step
        state = expected(self._ahead, step)
        if state is None or (step == b"AUTH" and self.authenticated):
            raise SequenceFailure(f"{step.decode()} is out of order (state: {self._ahead})")
        if step in _ALL_HELLOS and step not in _HELLOS[self.protocol]:
            raise SequenceFailure(f"{step.decode()} is not a command of {self.protocol.upper()}")
        if self._queue:
            self._check_group(step)
        return state

    def _check_group(self, step: bytes) -> None:
        """See that a command may be sent while others await their replies (RFC 2920, 3.1)."""
        last = self._queue[-1].command.step
        if not self.extensions.has(b"PIPELINING") or last not in ANYWHERE_IN_GROUP:
            raise SequenceFailure(f"{step.decode()} cannot be sent before {last.decode()} is answered")

    def _stuffer(self) -> Stuffer:
        if self.state != DATA or self._queue or self.transaction is None:
            raise SequenceFailure(f"the server does not await content (state: {self.state})")
        return self.transaction.stuffer


def _note_recipient(transaction: Transaction, recipient: bytes, reply: Reply) -> None:
    if reply.severity == 2:  # noqa: PLR2004 - the first digit: done
        transaction.accepted.append(recipient)
    else:
        transaction.refused.append((recipient, reply))


__all__ = (
    "CONNECTION",
    "END_OF_DATA",
    "UNASKED",
    "ClientConnection",
    "ReplyReceived",
    "Transaction",
)
