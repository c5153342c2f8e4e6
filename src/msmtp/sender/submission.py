"""-bs: SMTP on standard input and output, for mail programs that speak it to ``sendmail -bs``.

Each mail is sent while the client waits for its answer, by a child that is to this one what a run of msmtp is to a
shell: same account, same options, the envelope's addresses in place of -f and the recipients.  So 250 means that the
server has taken the mail, and the sandbox that the child enters does not end the session.

The client may be a script that sends all it has to say at once, as with other programs called sendmail.

A signal that comes while a child sends is passed on to it: what it has made of the mail is the last thing that the
client is told.  If that is not certain, standard error says so.
"""

from __future__ import annotations

from msmtp.exits import BY_CODE, EX_OK, EX_OSERR, EX_SOFTWARE
from msmtp.failures import Failure, FileFailure, MalformedMailFailure, SpoolFailure, UsageFailure
from msmtp.sender import signals, spool
from msmtp.sender.outcome import UNCERTAIN
from msmtp.sender.report import unexpected
from msmtp.smtp.replies import Reply
from msmtp.smtp.server import DataFinished, DataReceived, ServerConnection
from msmtp.smtp.server_replies import REPLIES
from msmtp.smtp.transitions import CLOSED, DATA
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.command_line import CommandLine
    from msmtp.sender.report import Reporter
    from msmtp.smtp.server import Event, Transaction

OFFERS = (b"PIPELINING", b"SIZE", b"8BITMIME", b"SMTPUTF8", b"ENHANCEDSTATUSCODES", b"CHUNKING")
READ = 65536
COMPLAINT = 4096  # octets of a child's standard error that are kept
LONGEST_REASON = 400  # octets of it that fit into a reply line
STANDARD_INPUT, STANDARD_OUTPUT, STANDARD_ERROR = 0, 1, 2


def serve(line: CommandLine, reporter: Reporter) -> int:
    """Hold one session; EX_OK when the client has said QUIT or gone."""
    if line.recipients or line.rcpts:
        raise UsageFailure("too many arguments", hint="with -bs the recipients come over SMTP")
    if line.pretend:
        raise UsageFailure("-bs cannot be combined with --pretend", hint="a client that is told 250 believes it")
    Submission(line, reporter).run()
    return EX_OK


class Submission:
    """One session with a mail program."""

    __slots__ = ("connection", "doubt", "line", "mail", "problem", "reporter", "transaction")

    def __init__(self, line: CommandLine, reporter: Reporter) -> None:
        self.line = line
        self.reporter = reporter
        name = os.fsencode(os.uname().nodename) or b"localhost"
        self.connection = ServerConnection(name, offers=OFFERS, scripted=True)
        self.doubt = ""  # whether the server may have taken a mail, in words
        self.mail = -1  # a file with the content so far
        self.problem: Failure | None = None
        self.transaction: Transaction | None = None  # whose content ``mail`` is

    def run(self) -> None:
        """Answer until the session is over.  Raises MalformedMailFailure if a mail has no end."""
        write(self.connection.greet())
        while octets := spool.read_block(STANDARD_INPUT):
            for event in self.connection.receive(octets):
                self.take(event)
            if self.connection.state == CLOSED:
                return
        if self.connection.state == DATA or self.mail >= 0:
            raise MalformedMailFailure(
                "the session ended in the middle of a mail, which was not sent",
                hint="a mail ends with a line that is a dot, and each line with CR and LF",
            )

    def take(self, event: Event) -> None:
        """Carry one event out, and answer it if it awaits that."""
        if isinstance(event, DataReceived):
            self.keep(event.transaction, event.block)
        if isinstance(event, DataFinished):
            write(self.connection.reply(self.send(event)))
            signals.heed(self.doubt)
        elif event.reply is not None:
            write(self.connection.reply(event.reply))

    def begin(self, transaction: Transaction) -> None:
        """Throw away what a transaction left that was given up between two chunks (RSET)."""
        if transaction is not self.transaction:
            if self.mail >= 0:
                os.close(self.mail)
            self.mail, self.problem, self.transaction = -1, None, transaction

    def keep(self, transaction: Transaction, block: bytes) -> None:
        """Add to the mail; that there is no room for it is said at its end."""
        self.begin(transaction)
        try:
            if self.mail < 0:
                self.mail = spool.unnamed_file()
            if self.problem is None:
                spool.store(self.mail, block)
        except SpoolFailure as failure:
            self.problem = failure

    def send(self, event: DataFinished) -> Reply:
        """Send a complete mail; the answer for the client."""
        self.begin(event.transaction)
        descriptor, problem = self.mail if self.mail >= 0 else spool.unnamed_file(), self.problem
        self.mail, self.problem = -1, None
        try:
            if event.defects:
                return event.reply or REPLIES["mail refused"]
            if problem is not None:
                return REPLIES["no storage"]
            os.lseek(descriptor, 0, os.SEEK_SET)
            code, complaint = self.run_child(descriptor, event.transaction)
        finally:
            os.close(descriptor)
        return verdict(code, complaint)

    def run_child(self, mail: int, transaction: Transaction) -> tuple[int, bytes]:
        """Send in a child: its exit code and what it said on standard error."""
        reading, writing = os.pipe()
        signals.pass_on(0)
        try:
            child = os.fork()
        except OSError as error:
            os.close(reading)
            os.close(writing)
            return EX_OSERR, f"cannot fork: {error.strerror}".encode()
        if child == 0:
            code = EX_SOFTWARE
            try:
                os.dup2(mail, STANDARD_INPUT)
                os.dup2(writing, STANDARD_OUTPUT)
                os.dup2(writing, STANDARD_ERROR)
                code = self.send_one(transaction)
            except Exception as error:  # noqa: BLE001 - told like any other failure
                fault = error if isinstance(error, Failure) else unexpected(error)
                self.reporter.failure(fault)
                code = fault.code
            finally:
                os._exit(code)  # noqa: SLF001 - os has it under this name
        signals.pass_on(child)
        os.close(writing)
        complaint = read_all(reading)
        os.close(reading)
        signals.pass_on(0)  # once it has been waited for, its number may be another's
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self.doubt = UNCERTAIN if code < 0 or UNCERTAIN.encode() in complaint else ""
        return code, complaint

    def send_one(self, transaction: Transaction) -> int:
        """What the child does: run msmtp with this envelope."""
        from msmtp.sender.send import send

        line = self.line
        line.mode = "sendmail"
        line.sender = os.fsdecode(transaction.mail.sender)
        line.literal_sender = True  # a client's address is no place for %H
        line.rcpts = [f"<{os.fsdecode(command.recipient)}>" for command in transaction.recipients]
        line.read_recipients = line.read_envelope_from = False
        line.settings["exit_codes"] = "sysexits"  # it is us who reads them
        try:
            signals.heed()
            return send(line, self.reporter)
        except Failure as failure:
            self.reporter.failure(failure)
            return failure.code


def verdict(code: int, complaint: bytes) -> Reply:
    """250, 451 or 554 from an exit code, with the child's first words where it failed."""
    if code == EX_OK:
        return REPLIES["mail ok"]
    known = BY_CODE.get(code)  # None for a child that was killed: nobody knows, so the mail stays with the client
    temporary = known is None or known.temporary
    reason = complaint.partition(b"\n")[0].partition(b": ")[2][:LONGEST_REASON]
    reason = bytes(octet if 32 <= octet < 127 else ord("?") for octet in reason)  # noqa: PLR2004 - printable ASCII
    words = reason or b"the mail could not be sent"
    return Reply(451, (b"4.3.0 " + words,)) if temporary else Reply(554, (b"5.3.0 " + words,))


def read_all(descriptor: int) -> bytes:
    """The first COMPLAINT octets that come; the rest is read, too, so that the writer does not wait."""
    kept = b""
    while block := os.read(descriptor, READ):
        kept = (kept + block)[:COMPLAINT]
    return kept


def write(octets: bytes) -> None:
    """Say something to the client."""
    try:
        spool.write_all(STANDARD_OUTPUT, octets)
    except OSError as error:
        raise FileFailure(f"cannot write to standard output: {error.strerror}") from error
