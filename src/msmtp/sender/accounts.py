"""Which account this run uses, and what it needs to be used: shared by all modes that talk to a server."""

from __future__ import annotations

from msmtp.config import reader
from msmtp.config.account import choose, sender_of_mail
from msmtp.failures import Failure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from msmtp.config.account import Account
    from msmtp.config.command_line import CommandLine
    from msmtp.credentials.secret import Secret
    from msmtp.sender.report import Reporter


def nobody() -> None:
    """The author of a mail that there is not."""
    return


def settle(line: CommandLine, reporter: Reporter, mail_sender: Callable[[], str | None] = nobody) -> Account:
    """The account to use, complete and checked.

    What was noted on the way is printed for --pretend and --debug; a file that could not be read is said always.
    Raises what msmtp.config.reader.load and msmtp.config.account.choose raise.
    """
    if line.read_envelope_from and line.sends:
        sender_of_mail(mail_sender)  # a mail without one needs no configuration
    configuration = reader.Configuration()
    try:
        if "host" not in line.settings:
            reader.load(configuration, line.file, evaluate)
        return choose(line, configuration, mail_sender=mail_sender, canonical_name=canonical_name)
    finally:
        if line.pretend or line.debug:
            for note in configuration.notes:
                print(note)  # noqa: T201 - what these options are for
        for warning in configuration.warnings:
            reporter.say(warning)


def evaluate(command: str) -> str:
    """First line of what a command prints (the command ``eval``)."""
    from msmtp.credentials.command import run

    return os.fsdecode(run(command).reveal())


def canonical_name(host: str) -> str:
    """The full name of a host as the resolver has it (%C)."""
    from msmtp.net import resolve

    return resolve.canonical_name(host)


def needs_secret(account: Account) -> bool:
    """Whether authentication as configured takes a password or a token."""
    if not account.auth:
        return False
    if account.auth == "on":
        return True
    from msmtp.sasl.mechanisms import find

    row = find(account.auth.encode())
    return row is not None and ("password" in row.needs or "token" in row.needs)


def secret_of(account: Account) -> Secret:
    """The account's password, from the first source that has it.  Raises ConfigFailure if none has."""
    from msmtp.credentials import find
    from msmtp.credentials.request import Request

    return find(Request(account))


def print_settings(account: Account, line: CommandLine) -> None:
    """What --pretend and --debug print of an account."""
    from msmtp.config import pretend

    try:
        print(pretend.dump(account, line), end="")  # noqa: T201 - what these options are for
    except OSError as error:
        raise Failure(f"cannot write to standard output: {error.strerror}") from error
