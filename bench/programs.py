"""The programs that are compared: ours as a package installs it, ours as pip does, Debian's C program, curl.

There are two C programs, of this machine's Debian and of Debian's unstable, the newest: they do not do the same work in
the same time.  Where the newest cannot be had, or is not wanted, its figures are left out.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.measure import Program
from tests.support import debian

TOP = Path(__file__).resolve().parents[1]
INSTALL = TOP / "packaging" / "launcher" / "install.py"
PYTHON = "/usr/bin/python3"

SENDER, RECIPIENT = "joe@example.org", "jane@example.net"
USER, PASSWORD = "joe", "secret"

OURS, C, NEWEST, CURL, PIP = "ours", "C", "newest C", "curl", "pip"

THEIRS = {C: "the C program's", NEWEST: "the newest C program's"}
"""What is theirs, in tables."""

EXACTLY = f"auth plain\npassword {PASSWORD}"
USUALLY = f"auth on\npasswordeval echo {PASSWORD}\nlogfile {{log}}"


class Way:
    """How a server is reached.  ``kind``: plain, starttls or tls; the last two with authentication.

    ``authentication``: what msmtp's configuration says about it, and whatever else; curl gets user and password.
    """

    host = "127.0.0.1"

    def __init__(self, kind: str, port: int, authority: Path | None = None, authentication: str = EXACTLY) -> None:
        self.kind = kind
        self.port = port
        self.authority = authority
        self.authentication = authentication

    def configuration(self) -> str:
        """The account for msmtp, the same for the C program and for ours."""
        lines = ["account default", f"host {self.host}", f"port {self.port}", f"from {SENDER}"]
        if self.kind != "plain":
            lines += [
                "tls on",
                f"tls_starttls {'on' if self.kind == 'starttls' else 'off'}",
                f"tls_trust_file {self.authority}",
                f"user {USER}",
                self.authentication,
            ]
        return "\n".join(lines) + "\n"

    def curl(self) -> list[str]:
        """The same for curl."""
        words = [f"{'smtps' if self.kind == 'tls' else 'smtp'}://{self.host}:{self.port}"]
        if self.kind != "plain":
            words += ["--ssl-reqd", "--cacert", str(self.authority), "--user", f"{USER}:{PASSWORD}"]
            words += ["--login-options", "AUTH=PLAIN"]
        return words


class Reference:
    """A C program, unpacked: its ``name``, C or NEWEST; what it needs in its ``environment``."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root
        self.environment = {"LD_LIBRARY_PATH": debian.library_path(root)} if name == C else {}

    def words(self, program: str) -> list[str]:
        """What runs its msmtp or its msmtpd."""
        path = f"usr/bin/{program}"
        return [str(self.root / path)] if self.name == C else debian.by_itself(self.root, path)

    def version(self) -> str:
        """As 1.8.23."""
        command = [*self.words("msmtp"), "--version"]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout.split()[
            2
        ]


class Installed:
    """The programs, installed below a folder that goes when the benchmark ends; ``newest``: both C programs."""

    def __init__(self, folder: Path, *, newest: bool = False) -> None:
        self.folder = folder
        self.references = [Reference(C, debian.bundle("msmtp"))]
        if newest:
            self.references.append(Reference(NEWEST, debian.newest("msmtp")))
        command = [sys.executable, INSTALL, "--prefix", folder / "usr", "--python", PYTHON]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        self.ours = folder / "usr" / "bin" / "msmtp"
        self._count = 0

    def pip(self) -> Path:
        """The console script of a virtual environment of the same Python, made by pip."""
        place = self.folder / "venv"
        if not place.exists():
            wheels = self.folder / "wheels"
            quiet = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
            subprocess.run([*quiet, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, TOP], check=True)
            subprocess.run([PYTHON, "-m", "venv", "--without-pip", place], check=True)
            subprocess.run(
                [*quiet, "--python", place / "bin" / "python", "install", "--no-index", *wheels.iterdir()], check=True
            )
        return place / "bin" / "msmtp"

    def file(self, text: str) -> Path:
        """A configuration file."""
        self._count += 1
        file = self.folder / f"msmtprc.{self._count}"
        file.write_text(text)
        file.chmod(0o600)
        return file

    def senders(self, way: Way, recipients: tuple[str, ...] = (RECIPIENT,)) -> list[Program]:
        """Ours, the C program, curl and, if there, the newest C program, each sending standard input to the server."""
        arguments = ["-C", self.file(way.configuration()), *recipients]
        rcpt = [word for recipient in recipients for word in ("--mail-rcpt", recipient)]
        curl = ["/usr/bin/curl", "-sS", "--crlf", *way.curl(), "--mail-from", SENDER, *rcpt, "-T", "-"]
        c, *newest = [
            Program(each.name, [*each.words("msmtp"), *arguments], each.environment) for each in self.references
        ]
        return [Program(OURS, [self.ours, *arguments]), c, Program(CURL, curl), *newest]
