"""Much of everything, beside the C program: a mail of 100 MiB under TLS, and one for 10,000 recipients."""

from __future__ import annotations

import contextlib
from pathlib import Path

from bench.measure import Program, measure
from bench.programs import OURS, RECIPIENT, SENDER, C, Installed, Way
from bench.send import MIB, NAMES, attachment, mail
from bench.servers import sink
from bench.table import Figure, ratio
from tests.support import certificates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CPU_A_MIB = 2.5
"""Milliseconds."""

RECIPIENTS = 10_000
RECIPIENTS_TO_C, RECIPIENTS_MEMORY = 1.0, 10.0
SIZE = 100


def under_tls(installed: Installed, rounds: int) -> Iterator[tuple[str, list[Figure]]]:
    """100 MiB of base64 from a file, each way to have TLS."""
    certificate = certificates.localhost()
    letter = attachment(installed.folder, SIZE * MIB)
    for kind in ("starttls", "tls"):
        with sink(kind, certificate) as port:
            ours, c, *_ = installed.senders(Way(kind, port, certificate.authority))
            runs = measure([ours, c], letter, rounds, piped=False)
        yield (
            f"{SIZE} MiB of base64 from a file, {NAMES[kind]}",
            [
                ratio("time, to the C program's", runs[OURS].wall, runs[C].wall),
                ratio("processor, to the C program's", runs[OURS].cpu, runs[C].cpu),
                Figure("milliseconds of processor a MiB", a_mib(runs[OURS].cpu), CPU_A_MIB),
                Figure("the C program's", a_mib(runs[C].cpu)),
            ],
        )
    letter.unlink()


def a_mib(seconds: list[float]) -> list[float]:
    """Milliseconds for each MiB."""
    return [1000 * time / SIZE for time in seconds]


def addressed(folder: Path, recipients: list[str]) -> Path:
    """A mail whose header names the recipients, one a line."""
    file = folder / f"addressed.{len(recipients)}"
    file.write_text(f"From: {SENDER}\nTo: " + ",\n ".join(recipients) + "\nSubject: hello\n\nhello\n")
    return file


def many_recipients(installed: Installed, rounds: int) -> Iterator[tuple[str, list[Figure]]]:
    """The same mail for one recipient and for 10,000, named on the command line and by its header."""
    folder = installed.folder
    many = [f"recipient{number}@example.net" for number in range(RECIPIENTS)]
    with contextlib.ExitStack() as stack:
        way = Way("plain", stack.enter_context(sink("plain", certificates.localhost())))
        ours, c, *_ = installed.senders(way)
        arguments = ours.command[1:3]
        for name, words, few, letter, little in (
            ("on the command line", many, [RECIPIENT], mail(folder, 1 << 10), mail(folder, 1 << 10)),
            ("with -t", ["-t"], ["-t"], addressed(folder, many), addressed(folder, [RECIPIENT])),
        ):
            one = measure([Program(OURS, [ours.command[0], *arguments, *few])], little, 3)[OURS]
            programs = [
                Program(each.name, [each.command[0], *arguments, *words], each.environment) for each in (ours, c)
            ]
            runs = measure(programs, letter, rounds)
            more = [(peak - min(one.peak)) / 1024 for peak in runs[OURS].peak]
            yield (
                f"{RECIPIENTS} recipients {name}",
                [
                    ratio("time, to the C program's", runs[OURS].wall, runs[C].wall, RECIPIENTS_TO_C),
                    ratio("processor, to the C program's", runs[OURS].cpu, runs[C].cpu),
                    Figure("MiB of memory more than for one", more, RECIPIENTS_MEMORY),
                ],
            )


def figures(installed: Installed, rounds: int) -> Iterator[tuple[str, list[Figure]]]:
    """All of it; a run of the C program takes seconds, so there are fewer rounds."""
    yield from under_tls(installed, max(3, rounds // 10))
    yield from many_recipients(installed, max(3, rounds // 3))
