"""How fast msmtp sends, beside the C program and curl.

Every figure is a ratio of runs in the same round, on the same machine, to the same server; seconds are not comparable
between machines and are not shown.  Flights are counted by a server that holds its answers back until the client waits.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import subprocess
from pathlib import Path

from bench.measure import Runs, measure
from bench.programs import CURL, OURS, PIP, PYTHON, RECIPIENT, THEIRS, USUALLY, C, Installed, Program, Way
from bench.servers import sink, smtp_sink
from bench.table import Figure, ratio
from tests.support import certificates
from tests.support.scripted import Polite, ScriptedServer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

WALL_TO_C, WALL_TO_CURL, CPU_TO_C = 0.35, 3.0, 2.5
LARGE_TO_C, LARGE_TO_CURL, LARGE_MEMORY = 0.12, 1.0, 1.0
FLIGHTS = {"plain": 4, "starttls": 6, "tls": 5}

AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
EXTENSIONS = ("PIPELINING", "SIZE 2000000000", "8BITMIME", "SMTPUTF8")
NAMES = {"plain": "in the clear", "starttls": "STARTTLS and AUTH", "tls": "TLS from the start and AUTH"}
LINE = b"The quick brown fox jumps over the lazy dog, and the dog sleeps on.\n"
MIB = 1 << 20


def mail(folder: Path, size: int) -> Path:
    """A mail of about ``size`` octets."""
    file = folder / f"mail.{size}"
    file.write_bytes(b"Subject: hello\n\n" + LINE * (size // len(LINE)))
    return file


def attachment(folder: Path, size: int) -> Path:
    """A mail of about ``size`` octets, most of them base64, as those are that have many."""
    file = folder / f"attachment.{size}"
    body = base64.encodebytes(bytes(range(256)) * (size // 256))[:size]
    file.write_bytes(b"Subject: hello\nContent-Transfer-Encoding: base64\n\n" + body)
    return file


def all_authorities(folder: Path) -> Path:
    """What the commonest line of all configurations names, and the authority of the servers here."""
    file = folder / "ca-certificates.crt"
    file.write_bytes(AUTHORITIES.read_bytes() + certificates.localhost().authority.read_bytes())
    return file


@contextlib.contextmanager
def server(kind: str, folder: Path, authority: Path) -> Iterator[Way]:
    """A sink, and how to reach it."""
    if kind == "plain":
        with smtp_sink(folder) as port:
            yield Way(kind, port)
    else:
        with sink(kind, certificates.localhost()) as port:
            yield Way(kind, port, authority)


def of_c(runs: dict[str, Runs]) -> list[tuple[str, Runs]]:
    """What is theirs, and the runs, of each C program that ran."""
    return [(theirs, runs[name]) for name, theirs in THEIRS.items() if name in runs]


def small(title: str, runs: dict[str, Runs]) -> tuple[str, list[Figure]]:
    """The figures of one mail of 1 KiB."""
    ours, curl = runs[OURS], runs[CURL]
    return title, [
        *[ratio(f"time, to {theirs}", ours.wall, c.wall, WALL_TO_C) for theirs, c in of_c(runs)],
        ratio("time, to curl's", ours.wall, curl.wall, WALL_TO_CURL),
        *[ratio(f"processor, to {theirs}", ours.cpu, c.cpu, CPU_TO_C) for theirs, c in of_c(runs)],
        ratio("processor, to curl's", ours.cpu, curl.cpu),
    ]


def small_mails(installed: Installed, rounds: int) -> Iterator[tuple[str, list[Figure]]]:
    """One mail of 1 KiB, each way; with TLS by the trust file that most configurations name, and by one of our own."""
    folder = installed.folder
    one = certificates.localhost().authority
    for kind, name in NAMES.items():
        for trusted, more in ((all_authorities(folder), ""), (one, ", one authority trusted")):
            if kind == "plain" and more:
                continue
            with server(kind, folder, trusted) as way:
                runs = measure(installed.senders(way), mail(folder, 1 << 10), rounds)
                yield small(f"1 KiB, {name}{more}", runs)


def usual_mail(installed: Installed, rounds: int) -> tuple[str, list[Figure]]:
    """One mail of 1 KiB by a configuration as most are: the method left open, a command for the password, a log."""
    folder = installed.folder
    with server("starttls", folder, all_authorities(folder)) as way:
        way.authentication = USUALLY.format(log=folder / "log")
        runs = measure(installed.senders(way), mail(folder, 1 << 10), rounds)
    return small("1 KiB, STARTTLS, auth on, passwordeval, logfile", runs)


def large_mails(installed: Installed, rounds: int) -> Iterator[tuple[str, list[Figure]]]:
    """10 MiB in the clear; and the memory that it takes more than 1 KiB."""
    folder = installed.folder
    with sink("plain", certificates.localhost()) as port:  # smtp-sink reads slower than all three of them write
        programs = installed.senders(Way("plain", port))
        little = measure(programs, mail(folder, 1 << 10), 1)[OURS].peak
        kinds = (("10 MiB", mail(folder, 10 * MIB)), ("10 MiB of base64", attachment(folder, 10 * MIB)))
        for (name, large), piped in itertools.product(kinds, (False, True)):
            runs = measure(programs, large, rounds, piped=piped)
            yield (
                f"{name} from a {'pipe' if piped else 'file'}, {NAMES['plain']}",
                [
                    *[ratio(f"time, to {theirs}", runs[OURS].wall, c.wall, LARGE_TO_C) for theirs, c in of_c(runs)],
                    ratio("time, to curl's", runs[OURS].wall, runs[CURL].wall, None if piped else LARGE_TO_CURL),
                    *[ratio(f"processor, to {theirs}", runs[OURS].cpu, c.cpu) for theirs, c in of_c(runs)],
                    Figure(
                        "MiB of memory more than for 1 KiB",
                        [(peak - little[0]) / 1024 for peak in runs[OURS].peak],
                        LARGE_MEMORY,
                    ),
                ],
            )


def starts(installed: Installed, rounds: int) -> tuple[str, list[Figure]]:
    """What the start of the interpreter is of it, and what pip's console script takes more."""
    folder = installed.folder
    bare = Program("bare", [PYTHON, "-I", "-S", "-c", "import posix; posix._exit(0)"])
    site = Program("site", [PYTHON, "-I", "-c", "import os; os._exit(0)"])
    with server("plain", folder, folder) as way:
        ours, c, *_ = installed.senders(way)
        pip = Program(PIP, [installed.pip(), *ours.command[1:]])
        runs = measure([ours, c, bare, site, pip], mail(folder, 1 << 10), rounds)
    return "processor's time of 1 KiB in the clear, what it is made of", [
        ratio("ours, to the C program's", runs[OURS].cpu, runs[C].cpu),
        ratio("Python's start, to the C program's", runs["bare"].cpu, runs[C].cpu),
        ratio("the same with its site module", runs["site"].cpu, runs[C].cpu),
        ratio("ours by pip, to the C program's", runs[PIP].cpu, runs[C].cpu),
        ratio("ours by pip, to ours by a package", runs[PIP].cpu, runs[OURS].cpu),
        ratio("time of ours by pip, to the C program's", runs[PIP].wall, runs[C].wall),
    ]


def trust(installed: Installed, rounds: int) -> tuple[str, list[Figure]]:
    """What TLS is of it, and what it costs to trust all the authorities of the system instead of one."""
    folder = installed.folder
    one = certificates.localhost().authority
    library = Program("library", [PYTHON, "-I", "-S", "-c", "import _ssl, posix; posix._exit(0)"])
    context = "import _ssl, posix; _ssl._SSLContext(16); posix._exit(0)"
    with server("tls", folder, one) as way:
        ours, c, *_ = installed.senders(way)
        _, *arguments = installed.senders(Way("tls", way.port, all_authorities(folder)))[0].command
        everybody = Program("everybody", [*ours.command[:1], *arguments])
        programs = [ours, everybody, c, library, Program("context", [PYTHON, "-I", "-S", "-c", context])]
        runs = measure(programs, mail(folder, 1 << 10), rounds)
    return "processor's time of 1 KiB with TLS and AUTH, what it is made of", [
        ratio("ours, to the C program's", runs[OURS].cpu, runs[C].cpu),
        ratio("Python's start and OpenSSL loaded, to the C program's", runs["library"].cpu, runs[C].cpu),
        ratio("the same and OpenSSL set up, to the C program's", runs["context"].cpu, runs[C].cpu),
        ratio("ours, all authorities trusted, to one", runs["everybody"].cpu, runs[OURS].cpu),
    ]


def flights(installed: Installed) -> Iterator[tuple[str, list[Figure]]]:
    """How often each program waits for an answer; what sets TLS up is not counted."""
    for kind, name in NAMES.items():
        for offers, more, target in (
            (EXTENSIONS, "", FLIGHTS[kind]),
            ((*EXTENSIONS, "CHUNKING"), ", CHUNKING offered", FLIGHTS[kind] - 1),
        ):
            counted = waits(installed, kind, offers, (RECIPIENT,))
            figures = [Figure("ours", [counted[OURS]], target, exact=True)]
            figures += [Figure(other, [counted[other]], exact=True) for other in counted if other != OURS]
            if not more:
                many = waits(installed, kind, offers, tuple(f"r{number}@example.net" for number in range(20)))
                figures.insert(1, Figure("ours, 20 recipients", [many[OURS]], target, exact=True))
                figures += [
                    Figure(f"{other}, 20 recipients", [many[other]], exact=True) for other in many if other != OURS
                ]
            yield f"flights, {name}{more}", figures


def waits(installed: Installed, kind: str, offers: tuple[str, ...], recipients: tuple[str, ...]) -> dict[str, int]:
    """The flights of each program."""
    found = {}
    letter = mail(installed.folder, 1 << 10)
    polite = Polite(extensions=offers, starttls=kind == "starttls", mechanisms=[] if kind == "plain" else ["PLAIN"])
    with ScriptedServer(polite, implicit=kind == "tls") as scripted:
        way = Way(kind, scripted.port, certificates.localhost().authority)
        for program in installed.senders(way, recipients):
            with letter.open("rb") as source:
                subprocess.run(program.command, stdin=source, check=True, env={**program.environment})
            scripted.wait(len(found) + 1)
            transcript = scripted.sessions[-1].transcript
            found[program.name] = transcript.flights - (b"STARTTLS\r\n" in transcript.client)
    return found


def figures(installed: Installed, rounds: int) -> Iterator[tuple[str, list[Figure]]]:
    """All of it."""
    yield from flights(installed)
    yield from small_mails(installed, rounds)
    yield usual_mail(installed, rounds)
    yield from large_mails(installed, max(3, rounds // 5))
    yield starts(installed, rounds)
    yield trust(installed, rounds)
