"""The programs that are compared: ours as a package installs it, ours as pip does, Debian's C program, curl."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.measure import Program
from tests.support import debian, upstream

TOP = Path(__file__).resolve().parents[1]
INSTALL = TOP / "packaging" / "launcher" / "install.py"
PYTHON = "/usr/bin/python3"

SENDER, RECIPIENT = "joe@example.org", "jane@example.net"
USER, PASSWORD = "joe", "secret"

OURS, C, CURL, PIP = "ours", "C", "curl", "pip"

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


class Installed:
    """The programs, installed below a folder that goes when the benchmark ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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
        """Ours, the C program and curl, each sending standard input to the server."""
        arguments = ["-C", self.file(way.configuration()), *recipients]
        root = debian.bundle("msmtp")
        upstream.upstream_msmtp()
        rcpt = [word for recipient in recipients for word in ("--mail-rcpt", recipient)]
        return [
            Program(OURS, [self.ours, *arguments]),
            Program(C, [root / "usr/bin/msmtp", *arguments], {"LD_LIBRARY_PATH": debian.library_path(root)}),
            Program(CURL, ["/usr/bin/curl", "-sS", "--crlf", *way.curl(), "--mail-from", SENDER, *rcpt, "-T", "-"]),
        ]
