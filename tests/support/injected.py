"""Runs of msmtp in which the n-th call of a system call fails, as strace(1) can have it (``-e inject``).

A first run, in which nothing fails, tells which calls there are from the moment msmtp opens its configuration: what comes
before is Python's own start.  Then each of them can be made to fail, once or from then on.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support import certificates
from tests.support.scripted import Mail, Polite, ScriptedServer
from tests.support.sending import MSMTP, account, configuration

CALLS = ("read", "write", "pread64", "openat", "memfd_create", "mmap", "poll", "sendto", "recvfrom")
TLS = f"tls on\ntls_trust_file {certificates.localhost().authority}\nauth plain\nuser joe\npassword secret\n"


@dataclass
class Faulty:
    """What came of a run.

    ``clear``: how many mails came without the TLS that was asked for.  ``injected``: how many calls were made to fail.
    """

    code: int
    err: str
    log: str
    mails: list[Mail]
    clear: int
    injected: int
    trace: str
    seconds: float


@functools.cache
def can_inject() -> bool:
    """Whether strace may trace a process here."""
    strace = shutil.which("strace")
    return (
        strace is not None and not subprocess.run([strace, "-qq", "true"], capture_output=True, check=False).returncode
    )


def run(folder: Path, mail: bytes, *, tls: bool, inject: Sequence[str] = ()) -> Faulty:
    """Send a mail that comes over a pipe.  ``inject``: as in ``write:error=ENOSPC:when=3+``."""
    if not can_inject():
        pytest.skip("needs strace, and leave to trace processes")
    log, trace = folder / "log", folder / "trace"
    log.unlink(missing_ok=True)
    polite = Polite(starttls=tls, mechanisms=["PLAIN"] if tls else ())
    with ScriptedServer(polite, raise_errors=False) as server:
        file = configuration(folder, account(server.port, f"logfile {log}\n{TLS if tls else ''}"))
        strace = [
            "strace",
            "-f",
            "--seccomp-bpf",
            "-qq",
            "-o",
            trace,
            "-e",
            f"trace={','.join(CALLS)}",
            "-e",
            "signal=none",
        ]
        for fault in inject:
            strace += ["-e", f"inject={fault}"]
        start = time.monotonic()
        done = subprocess.run(
            [*strace, *MSMTP, "-C", file, "jane@example.net"], input=mail, capture_output=True, check=False, timeout=30
        )
        took = time.monotonic() - start
    clear = sum(len(session.mails) for session in server.sessions if tls and not session.transcript.handshakes)
    calls = trace.read_text(errors="replace")
    return Faulty(
        done.returncode,
        done.stderr.decode(),
        log.read_text() if log.exists() else "",
        list(server.mails),
        clear,
        calls.count("(INJECTED)"),
        calls,
        took,
    )


def places(trace: str, call: str) -> list[int]:
    """Which of a run's calls of a name come after msmtp opened its configuration; ``read(0`` are those that begin so."""
    name = call.partition("(")[0]
    found, number, begun = [], 0, False
    for line in trace.splitlines():
        words = line.partition(" ")[2].lstrip()
        begun = begun or (words.startswith("openat(") and '/msmtprc"' in words)
        if words.startswith(f"{name}("):
            number += 1
            if begun and words.startswith(call):
                found.append(number)
    return found


def spread(numbers: Sequence[int], most: int) -> list[int]:
    """The first, the last, and some between."""
    if len(numbers) <= most:
        return list(numbers)
    return [numbers[round(index * (len(numbers) - 1) / (most - 1))] for index in range(most)]
