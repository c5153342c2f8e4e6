"""One mail over a session: who it is from, who it is for, and the mail itself.

Where the server offers PIPELINING, MAIL, every RCPT and DATA travel in one write (RFC 2920, 3.1): one wait, however
many recipients.  Where it also offers CHUNKING, a short mail travels with them (BDAT ... LAST, RFC 3030) and the wait
for 354 is gone too, but only if no reply to RCPT could stop the mail for the others: one recipient, or partial delivery
wanted.

By default one refused recipient stops the mail for all, as users of msmtp expect.  If the server has said 354 by then,
there is no way back in the protocol: the connection is closed, and what was not ended by a dot was never sent.
"""

from __future__ import annotations

from msmtp.failures import (
    MailDeferredFailure,
    MailRefusedFailure,
    NetworkFailure,
    ProtocolFailure,
    ServerGoneFailure,
    UnsupportedFailure,
)
from msmtp.sender.outcome import Delivery, Refusal, text
from msmtp.sender.refusals import refusal
from msmtp.smtp.commands import Data, Mail, Rcpt
from msmtp.smtp.transitions import CLOSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from msmtp.failures import Failure
    from msmtp.sender.envelope import Letter
    from msmtp.sender.session import Session
    from msmtp.smtp.client import ReplyReceived
    from msmtp.smtp.commands import Command
    from msmtp.smtp.extensions import Extensions
    from msmtp.smtp.replies import Reply

LAST_WORDS = 1.0  # seconds to read what the server said before a write failed: it is there, or it is lost
AHEAD = 65536  # octets of a mail that may travel before the server has accepted a recipient
SUCCESS = 2  # the reply's class
GO_AHEAD = 354

Parameter = tuple[bytes, "bytes | None"]


class Envelope:
    """What MAIL and RCPT say.

    ``sender``: b"" for the null sender.  ``size``: octets on the wire, before dots are stuffed (RFC 1870, 3).
    ``notify``, ``amount``, ``envid``: RFC 3461's NOTIFY, RET and ENVID, b"" for none.  ``words``: by recipient, what
    RCPT says of it in place of ``notify``.
    """

    __slots__ = ("amount", "eight_bit", "envid", "notify", "recipients", "sender", "size", "utf8", "words")

    def __init__(self, sender: bytes, recipients: tuple[bytes, ...], size: int) -> None:
        self.sender = sender
        self.recipients = recipients
        self.size = size
        self.eight_bit = False
        self.utf8 = False
        self.notify = b""
        self.amount = b""
        self.envid = b""
        self.words: dict[bytes, tuple[Parameter, ...]] = {}

    def mail(self, extensions: Extensions) -> Mail:
        """The MAIL command, with the parameters this server understands."""
        parameters: list[Parameter] = []
        if extensions.size is not None:
            parameters.append((b"SIZE", b"%d" % self.size))
        if self.eight_bit and extensions.has(b"8BITMIME"):
            parameters.append((b"BODY", b"8BITMIME"))
        if self.utf8 and extensions.has(b"SMTPUTF8"):
            parameters.append((b"SMTPUTF8", None))
        if self.amount:
            parameters.append((b"RET", self.amount))
        if self.envid:
            parameters.append((b"ENVID", self.envid))
        return Mail(self.sender, tuple(parameters))

    def rcpts(self) -> list[Command]:
        """The RCPT commands, in order."""
        parameters: tuple[Parameter, ...] = ((b"NOTIFY", self.notify),) if self.notify else ()
        if not self.words:
            return [Rcpt(recipient, parameters) for recipient in self.recipients]
        return [Rcpt(recipient, self.words.get(recipient, parameters)) for recipient in self.recipients]


class Transfer:
    """The transfer of one mail.

    ``letter``: the mail.  ``partial``: send to the others when some recipients are refused.  ``given`` is True from the
    moment the server may take the mail for sent to the one when it says that it does not.
    """

    __slots__ = ("envelope", "given", "letter", "partial", "refused", "session")

    def __init__(self, session: Session, envelope: Envelope, letter: Letter, *, partial: bool) -> None:
        self.session = session
        self.envelope = envelope
        self.letter = letter
        self.partial = partial
        self.refused: list[Refusal] = []
        self.given = False

    def run(self) -> Delivery:
        """Send the mail.  Raises a failure if nobody got it, or if somebody was refused and ``partial`` is off."""
        extensions = self.session.extensions
        said = self.envelope
        if (said.notify or said.amount or said.envid or said.words) and not extensions.has(b"DSN"):
            raise UnsupportedFailure("the server does not support DSN", hint="set dsn_notify and dsn_return off")
        if self.fits_ahead(extensions):
            return self.one_flight()
        if extensions.has(b"PIPELINING"):
            self.pipelined()
        else:
            self.one_by_one()
        return self.finish(self.body())

    def fits_ahead(self, extensions: Extensions) -> bool:
        """Whether the whole mail may travel before any reply."""
        return (
            extensions.has(b"CHUNKING")
            and extensions.has(b"PIPELINING")
            and self.envelope.size <= AHEAD
            and (self.partial or len(self.envelope.recipients) == 1)
        )

    # -- the envelope

    def one_flight(self) -> Delivery:
        """MAIL, RCPT and the mail in one write."""
        connection = self.session.connection
        octets = [connection.send(command) for command in self.envelope_commands()]
        chunk = connection.bdat(b"".join(self.letter.content()), last=True)
        self.given = True
        self.session.write(b"".join(octets) + chunk)
        events = self.session.read_all()
        self.judge(events)
        return self.finish(events)

    def pipelined(self) -> None:
        """MAIL, every RCPT and DATA in one write."""
        events = self.session.say(*self.envelope_commands(), Data())
        self.judge(events)
        self.expect_go_ahead(events[-1].reply)

    def one_by_one(self) -> None:
        """For a server without PIPELINING: nothing is said after the first reply that stops the mail."""
        commands = self.envelope_commands()
        events: list[ReplyReceived] = []
        for command in commands:
            events += self.session.say(command)
            if events[-1].reply.severity != SUCCESS and (len(events) == 1 or not self.partial or self.is_over()):
                break
        self.judge(events)
        if self.is_over():  # by 421 (RFC 5321, 3.8): nobody gets the mail, and why the others were refused is no matter
            raise self.refused[-1].failure
        self.expect_go_ahead(self.session.ask(Data()))

    def is_over(self) -> bool:
        """Whether the server has ended the session."""
        return self.session.connection.state == CLOSED

    def envelope_commands(self) -> list[Command]:
        """MAIL and every RCPT."""
        return [self.envelope.mail(self.session.extensions), *self.envelope.rcpts()]

    def judge(self, events: list[ReplyReceived]) -> None:
        """Raise if the replies to MAIL and RCPT stop the mail; note who was refused."""
        if events[0].reply.severity != SUCCESS:
            self.given = False
            raise refusal("mail", events[0].reply, text(self.envelope.sender) or "<>")
        for event in events:
            if isinstance(event.command, Rcpt) and event.reply.severity != SUCCESS:
                failure = refusal("rcpt", event.reply, text(event.command.address))
                self.refused.append(Refusal(event.command.address, failure))
        if self.refused and not (self.partial and len(self.refused) < len(self.envelope.recipients)):
            self.given = False
            raise decisive(self.refused, partial=self.partial)

    def expect_go_ahead(self, reply: Reply) -> None:
        """Raise unless the server wants the mail now."""
        if reply.code != GO_AHEAD:
            raise refusal("data", reply)

    # -- the mail

    def body(self) -> list[ReplyReceived]:
        """Send the mail, the dot in one write with the end of it; the replies that follow."""
        connection = self.session.connection
        held = b""
        try:
            for block in self.stuffed():
                if held:
                    self.session.write(held)
                held = block
            end = connection.end_data()
            self.given = True
            self.session.write(held + end)
        except NetworkFailure as failure:
            raise self.last_words() or failure from failure
        return self.session.read_all()

    def stuffed(self) -> Iterator[bytes]:
        """The mail as DATA wants it, in blocks of about AHEAD octets: small ones are joined to spare writes."""
        connection = self.session.connection
        gathered: list[bytes] = []
        size = 0
        for block in self.letter.content():
            gathered.append(connection.data(block))
            size += len(block)
            if size >= AHEAD:
                yield b"".join(gathered)
                gathered, size = [], 0
        for block in self.letter.stored():
            yield b"".join([*gathered, block])
            gathered = []
        if gathered:
            yield b"".join(gathered)

    def last_words(self) -> Failure | None:
        """What the server said before it stopped reading the mail, if it said no (452, 552, 421 ...)."""
        self.session.stream.deadline(LAST_WORDS)
        try:
            reply = self.session.next_event().reply
            failure = refusal("mail data", reply) if reply.severity != SUCCESS else None
        except ProtocolFailure as caught:  # a reply that nothing asked for: it is about the mail all the same
            kind = MailDeferredFailure if caught.server[:1] and caught.server[0][:1] == "4" else MailRefusedFailure
            failure = kind("the server did not accept the mail", server=caught.server) if caught.server else None
        except (NetworkFailure, ServerGoneFailure):
            return None
        self.given = self.given and failure is None
        return failure

    # -- the outcome

    def finish(self, events: list[ReplyReceived]) -> Delivery:
        """Judge the reply to the mail, or with LMTP the reply of each recipient (RFC 2033, 4.2)."""
        last = events[-1].reply
        if self.session.protocol == "lmtp":
            return self.finish_each({event.recipient: event.reply for event in events if event.recipient}, last)
        if last.severity != SUCCESS:
            self.given = False
            raise refusal("mail data", last)
        return Delivery(self.letter.log_size, last, self.refused)

    def finish_each(self, replies: dict[bytes, Reply], last: Reply) -> Delivery:
        """One reply for each recipient that RCPT accepted; a 421 stands for those it left without one."""
        refused = {refused.recipient for refused in self.refused}
        for recipient in dict.fromkeys(self.envelope.recipients):
            reply = replies.get(recipient, last)
            if recipient not in refused and reply.severity != SUCCESS:
                self.refused.append(Refusal(recipient, refusal("lmtp", reply, text(recipient))))
        return Delivery(self.letter.log_size, None, self.refused)


def decisive(refused: list[Refusal], *, partial: bool) -> Failure:
    """The refusal that stands for all, when nobody gets the mail.

    A mail that goes to all or to nobody is as lost as the recipient who is refused for good, however often it is tried;
    with ``partial`` a later try serves those who were only deferred.
    """
    for refusal_ in refused:
        if refusal_.failure.temporary == partial:
            return refusal_.failure
    return refused[0].failure
