"""What sendmail's callers ask of its queue and its aliases, answered by a program that has no queue.

msmtp hands a mail over while its caller waits, so there is never one left to list or to run.  What asks for nothing
that could be missing succeeds; what only a mail server could do is refused in words.
"""

from __future__ import annotations

from msmtp.exits import EX_OK
from msmtp.failures import ConfigFailure, UsageFailure
from msmtp.sender import accounts
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from msmtp.config.command_line import CommandLine
    from msmtp.sender.report import Reporter


def answer(line: CommandLine, reporter: Reporter) -> int:
    """Do what one of MODES says."""
    return MODES[line.mode](line, reporter)


def list_queue(_line: CommandLine, _reporter: Reporter) -> int:
    """-bp, mailq: there is nothing in it."""
    print("Mail queue is empty (msmtp has no queue: it sends each mail at once)")  # noqa: T201 - the answer
    return EX_OK


def run_queue(line: CommandLine, _reporter: Reporter) -> int:
    """-q: there is nothing to run; at intervals (-q30m) somebody would have to stay."""
    if line.queue_interval and line.queue_interval[:1].isdigit():
        raise UsageFailure(
            f"-q{line.queue_interval}: msmtp has no queue to run at intervals",
            hint="it sends each mail at once; a mail that cannot be sent is reported to the program that sent it",
        )
    return EX_OK


def rebuild_aliases(line: CommandLine, reporter: Reporter) -> int:
    """-bi, newaliases: the aliases file is read afresh for each mail; here it is checked."""
    from msmtp.mail.aliases import parse_aliases
    from msmtp.sender.envelope import read_file

    path = aliases_file(line, reporter)
    if not path or not os.path.exists(path):
        print("no aliases file to check (the 'aliases' command names one); it is read afresh for each mail")  # noqa: T201
        return EX_OK
    aliases = parse_aliases(read_file(path), path)
    print(f"{path}: {len(aliases.aliases)} aliases; it is read afresh for each mail")  # noqa: T201 - the answer
    return EX_OK


def aliases_file(line: CommandLine, reporter: Reporter) -> str:
    """The file that the default account names; '' without one or without such an account."""
    line.pretend = False
    try:
        return accounts.settle(line, reporter).aliases
    except ConfigFailure:
        return str(line.settings.get("aliases", ""))


def refuse(words: str, hint: str) -> Callable[[CommandLine, Reporter], int]:
    """A mode that only a mail server has."""

    def refusal(_line: CommandLine, _reporter: Reporter) -> int:
        raise UsageFailure(words, hint=hint)

    return refusal


MODES: dict[str, Callable[[CommandLine, Reporter], int]] = {
    "bp": list_queue,
    "q": run_queue,
    "bi": rebuild_aliases,
    "bd": refuse("-bd: msmtp is no daemon", "msmtpd receives mail over SMTP and hands it to msmtp"),
    "bt": refuse("-bt: msmtp rewrites no addresses, so there is nothing to test", "see --pretend for the settings"),
    "bv": refuse("-bv: msmtp cannot verify addresses: only the server knows them", "send a mail, or see --serverinfo"),
}
