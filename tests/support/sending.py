"""Running msmtp as a user does: a process of its own, a configuration file, a mail on standard input."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MAIL = b"Subject: hello\n\nHow are you?\n"
MSMTP = (sys.executable, "-I", "-m", "msmtp")


@dataclass
class Run:
    """What came of it."""

    code: int
    out: str
    err: str
    log: str


def configuration(folder: Path, text: str) -> Path:
    """A configuration file that msmtp accepts secrets in."""
    file = folder / "msmtprc"
    file.write_text(text)
    file.chmod(0o600)
    return file


def account(port: int, more: str = "") -> str:
    """The text of a default account that talks to a server on this port of 127.0.0.1."""
    return f"account default\nhost 127.0.0.1\nport {port}\nfrom joe@example.org\ntimeout 10\n{more}\n"


def msmtp(
    folder: Path, text: str, *arguments: str, mail: bytes = MAIL, environment: dict[str, str] | None = None
) -> Run:
    """Run msmtp with a configuration, and with a log file beside it."""
    log = folder / "log"
    file = configuration(folder, text + f"\nlogfile {log}\n" if text else "")
    done = subprocess.run(
        [*MSMTP, "-C", str(file), *arguments],
        input=mail,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    written = log.read_text() if log.exists() else ""
    return Run(done.returncode, done.stdout.decode(), done.stderr.decode(), written)
