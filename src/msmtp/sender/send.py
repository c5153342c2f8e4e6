"""Sendmail mode: one mail from standard input to the server, and the one line about it in the log."""

from __future__ import annotations

from msmtp.exits import EX_OK
from msmtp.failures import (
    ConfigFailure,
    Failure,
    InterruptFailure,
    UnsendableFailure,
    UnsupportedFailure,
)
from msmtp.mail.recipients import header_sender
from msmtp.sender import accounts, envelope, signals
from msmtp.sender.connecting import Connector
from msmtp.sender.log import Log, log_line
from msmtp.sender.outcome import UNCERTAIN, exit_code
from msmtp.sender.report import unexpected
from msmtp.sender.spool import read_mail
from msmtp.sender.transfer import Transfer
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.account import Account
    from msmtp.config.command_line import CommandLine
    from msmtp.sender.envelope import Letter
    from msmtp.sender.outcome import Delivery
    from msmtp.sender.report import Reporter
    from msmtp.sender.spool import Mail

STANDARD_INPUT = 0


def send(line: CommandLine, reporter: Reporter) -> int:
    """Send the mail on standard input; the exit code.  Raises what fails before there is an account to log to."""
    if not (line.recipients or line.rcpts or line.read_recipients or line.pretend):
        raise envelope.nobody()
    source = Source()
    account = accounts.settle(line, reporter, source.author)
    if line.pretend:
        return pretend(account, line)
    if line.debug:
        accounts.print_settings(account, line)
    mail = source.mail()
    letter = envelope.compose(mail, account, envelope.addressed(line, account, mail))
    if line.rcpts:
        letter.words = envelope.words_for(line, account)
    return Sending(line, reporter, account, letter).run()


def pretend(account: Account, line: CommandLine) -> int:
    """--pretend: the password command is run, to see whether it works, and the settings are shown; nothing is sent."""
    if account.passwordeval and accounts.needs_secret(account):
        accounts.secret_of(account)
    accounts.print_settings(account, line)
    return EX_OK


class Source:
    """The mail on standard input, read when somebody first wants to know something of it."""

    __slots__ = ("_mail",)

    def __init__(self) -> None:
        self._mail: Mail | None = None

    def mail(self) -> Mail:
        """The whole mail."""
        if self._mail is None:
            self._mail = read_mail(STANDARD_INPUT)
        return self._mail

    def author(self) -> str | None:
        """The address in From, or in Resent-From if that comes first."""
        address = header_sender(self.mail().fields)
        return None if address is None else os.fsdecode(address)


class Sending:
    """One attempt to send one letter, and what is told of it."""

    __slots__ = ("account", "connector", "letter", "line", "log", "reporter", "transfer")

    def __init__(self, line: CommandLine, reporter: Reporter, account: Account, letter: Letter) -> None:
        self.line = line
        self.reporter = reporter
        self.account = account
        self.letter = letter
        self.log = Log(account, reporter.say)
        self.connector = Connector(account, debug=line.debug, before_sandbox=self.log.open)
        self.transfer: Transfer | None = None

    def run(self) -> int:
        """Send, report, log; the exit code."""
        delivery: Delivery | None = None
        failure: Failure | None
        try:
            delivery, failure = self.attempt()
        except InterruptFailure as caught:  # while it was seen what another failure is
            failure = caught
        if not self.log.opened:
            self.log.open()
        if failure is not None:
            self.tell(failure, delivery)
        code = EX_OK if failure is None else exit_code(failure, self.account.exit_codes)
        letter = self.letter
        self.log.write(log_line(self.account, letter.sender, letter.recipients, delivery, failure, code), code)
        return code

    def attempt(self) -> tuple[Delivery | None, Failure | None]:
        """Send; what came of it.  From then on signals have no effect."""
        delivery = None
        failure: Failure | None
        try:
            delivery = self.deliver()
            failure = delivery.failure()
        except Failure as caught:
            if self.connector.preparing and isinstance(caught, ConfigFailure):
                raise  # the configuration is wrong, a password command first of all: no attempt, no line in the log
            failure = caught
        except Exception as error:  # noqa: BLE001 - it is told and logged like any other failure
            failure = unexpected(error)
        signals.ignore()
        return delivery, failure

    def deliver(self) -> Delivery:
        """Connect and hand the letter over."""
        envid = envelope.identification(self.line.envelope_id)
        try:
            session = self.connector.connect()
            try:
                extensions = session.extensions
                addressed = envelope.envelope_for(self.letter, self.account, envid, extensions)
                if self.line.smtputf8 or self.line.dsn_if_offered:
                    envelope.adapt(addressed, self.line, extensions)
                partial = self.account.partial_recipients
                self.transfer = Transfer(session, addressed, self.letter, partial=partial)
                delivery = self.transfer.run()
            except (UnsupportedFailure, UnsendableFailure):
                session.leave()
                raise
            signals.ignore()
            session.leave()
        finally:
            self.connector.close()
        return delivery

    def tell(self, failure: Failure, delivery: Delivery | None) -> None:
        """Say on standard error what went wrong."""
        origin = f" ({self.account.origin})" if self.account.origin else ""
        if delivery is not None:
            said_by = "LMTP server message" if self.account.protocol == "lmtp" else "server message"
            for refused in delivery.refused:
                self.reporter.failure(refused.failure, said_by=said_by)
            self.reporter.say(f"could not send mail to all recipients{origin}")
            return
        self.reporter.failure(failure)
        if self.transfer is not None and self.transfer.given:
            self.reporter.say(UNCERTAIN)
        self.reporter.say(f"could not send mail{origin}")
