"""The servers that mails are sent to, each a process of its own on loopback."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support import debian
from tests.support.processes import Daemon, free_port, listens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.certificates import Certificate

SINK = Path(__file__).with_name("sink.py")
OFFERS = ("PIPELINING", "SIZE 2000000000", "8BITMIME", "SMTPUTF8")


@contextlib.contextmanager
def smtp_sink(folder: Path) -> Iterator[int]:
    """Postfix's smtp-sink, which takes mail in the clear; its port."""
    root = debian.bundle("postfix")
    libraries = f"{debian.library_path(root)}:{root}/usr/lib/postfix"
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    command = [root / "usr/sbin/smtp-sink", *user, f"127.0.0.1:{port}", "64"]
    log = folder / "smtp-sink.log"
    with Daemon(command, ready=listens(port), log=log, environment={"LD_LIBRARY_PATH": libraries}):
        yield port


@contextlib.contextmanager
def sink(
    way: str,
    certificate: Certificate,
    host: str = "127.0.0.1",
    enter: Sequence[str] = (),
    more: Sequence[str] = (),
) -> Iterator[int]:
    """bench/sink.py; ``way``: plain, starttls or tls; its port.

    ``enter``: words that run it in another namespace; ``more``: further keywords that it offers.
    """
    offers = [*OFFERS, *more, "AUTH PLAIN LOGIN"]
    command = [*enter, sys.executable, "-I", SINK, host, way, certificate.chain, certificate.key, *offers]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@contextlib.contextmanager
def disk() -> Iterator[Path]:
    """A folder for a queue, beside the unpacked packages: on a disk; /tmp is in memory on many machines."""
    with tempfile.TemporaryDirectory(prefix="queue-", dir=debian.CACHE.parent) as folder:
        place = Path(folder, "queue")
        place.mkdir()
        yield place
