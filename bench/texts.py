"""What msmtp does without a mail, beside the C program: its version, what it would do, an error, a long file."""

from __future__ import annotations

from pathlib import Path

from bench.measure import Program, measure
from bench.programs import OURS, C, Installed, Way
from bench.send import mail
from bench.table import Figure, ratio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

TEXTS_TO_C, ACCOUNTS_TO_C = 3.0, 1.0
ACCOUNTS = 5000
WRONG = 78
"""EX_CONFIG of sysexits.h."""


def accounts(number: int) -> str:
    """A configuration with so many accounts; the last one is the default."""
    account = "account a{0}\nhost mail{0}.example.org\nport 25\nfrom joe{0}@example.org\nuser joe{0}\npassword x{0}\n\n"
    return "".join(account.format(one) for one in range(number)) + f"account default : a{number - 1}\n"


def figures(installed: Installed, rounds: int) -> Iterator[tuple[str, list[Figure]]]:
    """All of it; nothing is sent."""
    good = Way("plain", 25).configuration()
    files: dict[str, str | Path] = {
        "good": installed.file(good),
        "wrong": installed.file(good + "timeout soon\n"),
        "long": installed.file(accounts(ACCOUNTS)),
    }
    empty = mail(installed.folder, 1)
    ours, c, *_ = installed.senders(Way("plain", 25))
    for name, words, code, target in (
        ("--version", ["--version"], 0, TEXTS_TO_C),
        ("--pretend", ["--pretend", "-C", files["good"], "jane@example.net"], 0, TEXTS_TO_C),
        ("an error in the configuration", ["-C", files["wrong"], "jane@example.net"], WRONG, TEXTS_TO_C),
        (f"{ACCOUNTS} accounts in a file", ["--pretend", "-C", files["long"], "jane@example.net"], 0, ACCOUNTS_TO_C),
    ):
        programs = [Program(one.name, [one.command[0], *words], one.environment, code) for one in (ours, c)]
        runs = measure(programs, empty, rounds)
        yield (
            name,
            [
                ratio("time, to the C program's", runs[OURS].wall, runs[C].wall, target),
                ratio("processor, to the C program's", runs[OURS].cpu, runs[C].cpu),
            ],
        )
