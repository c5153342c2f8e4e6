"""The modes that ask the server something and send no mail: --serverinfo and --rmqs."""

from __future__ import annotations

from msmtp.exits import EX_OK
from msmtp.failures import Failure
from msmtp.sender import accounts
from msmtp.sender.connecting import Connector
from msmtp.sender.outcome import exit_code
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.account import Account
    from msmtp.config.command_line import CommandLine
    from msmtp.net.stream import Stream
    from msmtp.sender.report import Reporter
    from msmtp.sender.session import Session


class Question:
    """What to do with a session: ``prepare`` before files and sockets are out of reach, ``put`` when it has begun."""

    authenticates = False

    def prepare(self, stream: Stream, account: Account) -> None:
        """Import and look up what ``put`` needs."""

    def put(self, session: Session, account: Account) -> None:
        """Ask, and print the answer."""


class ServerInfo(Question):
    """What the server tells of itself; nobody is authenticated for that."""

    def prepare(self, stream: Stream, account: Account) -> None:
        """Look the server's name up: that needs a resolver."""
        import msmtp.net.description
        import msmtp.sender.serverinfo  # noqa: F401 - loaded while files can be opened

        self.canonical_name = stream.info.canonical_name(account.timeout or None)

    def put(self, session: Session, account: Account) -> None:
        """Print the report."""
        from msmtp.sender.serverinfo import report

        lines = report(session, account, self.canonical_name)
        session.leave()
        print("\n".join(lines))  # noqa: T201 - what the mode is for


class StartQueue(Question):
    """Ask for the mails that wait for us (RFC 1985)."""

    authenticates = True

    def __init__(self, argument: bytes) -> None:
        self.argument = argument

    def prepare(self, _stream: Stream, _account: Account) -> None:
        """Load the module."""
        import msmtp.sender.etrn  # noqa: F401 - loaded while files can be opened

    def put(self, session: Session, _account: Account) -> None:
        """Send the request."""
        from msmtp.sender.etrn import start_queue

        start_queue(session, self.argument)


def serverinfo(line: CommandLine, reporter: Reporter) -> int:
    """Print what the server tells of itself (reference manual, chapter 8)."""
    return ask(line, reporter, ServerInfo())


def rmqs(line: CommandLine, reporter: Reporter) -> int:
    """Ask the server to start a queue (reference manual, chapter 9)."""
    return ask(line, reporter, StartQueue(os.fsencode(line.rmqs or "")))


def ask(line: CommandLine, reporter: Reporter, question: Question) -> int:
    """Make a session and put the question; the exit code."""
    account = accounts.settle(line, reporter)
    if line.pretend or line.debug:
        accounts.print_settings(account, line)
    if line.pretend:
        return EX_OK
    connector = Connector(
        account,
        debug=line.debug,
        authenticates=question.authenticates,
        before_sandbox=lambda stream: question.prepare(stream, account),
    )
    try:
        question.put(connector.connect(), account)
    except Failure as failure:
        reporter.failure(failure)
        return exit_code(failure, account.exit_codes)
    finally:
        connector.close()
    return EX_OK
