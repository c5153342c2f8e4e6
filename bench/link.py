"""How long a send takes when the server is far away, beside the C program.

The server is in one network namespace, the programs in another; bench/relay.py is the line between them.  What is
compared is mostly waiting: the flights of each program, those that set TLS up, and TCP's own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

from bench import relay
from bench.measure import measure
from bench.programs import CURL, OURS, Installed, Way
from bench.send import NAMES, mail, of_c
from bench.servers import sink
from bench.table import Figure, ratio
from tests.support import certificates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

TARGETS = {20: 0.58, 100: 0.65}
"""Our time to the C program's, by the link's round-trip time in milliseconds."""

RELAY = Path(relay.__file__)
TUN = Path("/dev/net/tun")


class Link:
    """Two networks joined by a link; words that run a command ``here``, at its one end, or ``there``, at the other."""

    def __init__(self, process: int, here: str, there: str) -> None:
        self.process = process
        self.here = ["nsenter", f"--net=/proc/{process}/fd/{here}"]
        self.there = ["nsenter", f"--net=/proc/{process}/fd/{there}"]


def hindrance() -> str:
    """Why there can be no link; empty if there can."""
    if os.geteuid():
        return "only root may make networks"
    if not TUN.exists():
        return f"there is no {TUN}"
    missing = [tool for tool in ("ip", "nsenter") if not shutil.which(tool)]
    return f"there is no {' and no '.join(missing)}" if missing else ""


@contextlib.contextmanager
def link(round_trip: float) -> Iterator[Link]:
    """A link on which a packet and its answer take so many milliseconds.  Raises RuntimeError if it cannot be made."""
    command = [sys.executable, "-I", "-S", RELAY, str(round_trip / 2)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        descriptors = process.stdout.readline().split()
        if len(descriptors) != 2:
            raise RuntimeError("the link between two networks could not be made")
        yield Link(process.pid, *descriptors)  # leaving Popen closes its standard input, which ends it


def figures(installed: Installed, rounds: int) -> Iterator[tuple[str, list[Figure]]]:
    """One mail of 1 KiB, each way, over each link; a mail takes a second or two, so there are fewer rounds."""
    if reason := hindrance():
        print(f"\nover a link: left out, {reason}")
        return
    certificate = certificates.authority().issue(relay.THERE)
    letter = mail(installed.folder, 1 << 10)
    for round_trip, target in TARGETS.items():
        with link(round_trip) as line:
            found = []
            for (kind, name), more in product(NAMES.items(), ((), ("CHUNKING",))):
                with sink(kind, certificate, relay.THERE, line.there, more) as port:
                    way = Way(kind, port, certificate.authority)
                    way.host = relay.THERE
                    programs = [program for program in installed.senders(way) if program.name != CURL]
                    runs = measure(programs, letter, max(5, rounds // 3), enter=line.here)
                ours = runs[OURS].wall
                said = f"{name}, CHUNKING offered" if more else name
                found += [ratio(f"{said}, time, to {theirs}", ours, c.wall, target) for theirs, c in of_c(runs)]
                found += [trips(f"  {one}: round trips", runs[one].wall, round_trip) for one in runs]
        yield f"1 KiB over a link of {round_trip} ms", found


def trips(name: str, seconds: list[float], round_trip: int) -> Figure:
    """How many of the link's round trips a send takes, its own work and other waiting included."""
    return Figure(name, [1000 * time / round_trip for time in seconds])
