"""What every mail pays for: reading the configuration loads nothing heavy, and thousands of accounts are no burden."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]

# Each costs more to import than the whole of this package.
HEAVY = (
    "argparse", "base64", "collections", "contextlib", "ctypes", "dataclasses", "datetime", "difflib", "email", "enum",
    "fnmatch", "functools", "getopt", "json", "locale", "logging", "operator", "pathlib", "pwd", "random", "re", "shlex",
    "socket", "ssl", "string", "struct", "subprocess", "tempfile", "textwrap", "traceback", "typing",
    # Ours, for those who ask for it.
    "msmtp.config.explain", "msmtp.config.help", "msmtp.config.pretend", "msmtp.config.substitution",
    "msmtp.config.texts", "msmtp.config.version", "msmtp.config.wildcards",
)  # fmt: skip

SCRIPT = """
import sys, time
sys.path.insert(0, {source!r})
import os, msmtp.failures
began = time.process_time()
from msmtp.config import command_line, reader
from msmtp.config.account import choose
line = command_line.parse(["msmtp", "-f", {sender!r}, "-oi", "-t", "--", "a@b.example"])
configuration = reader.Configuration()
reader.load(configuration, {file!r}, str, "/nonexistent")
account = choose(line, configuration, mail_sender=str, canonical_name=str)
took = time.process_time() - began
print(account.name, took, *sys.modules)
"""


def measure(file: Path, sender: str) -> tuple[str, float, set[str]]:
    """Account, seconds of CPU and modules loaded, of the quickest of a few runs as they are in real life."""
    script = SCRIPT.format(source=str(TOP / "src"), file=str(file), sender=sender)
    runs = []
    for _ in range(7):
        found = subprocess.run(
            [sys.executable, "-I", "-S", "-c", script],
            capture_output=True, text=True, check=True, timeout=60, env={"HOME": "/", **os.environ},
        )  # fmt: skip
        name, took, *modules = found.stdout.split()
        runs.append((float(took), name, set(modules)))
    took, name, modules = min(runs, key=lambda run: run[0])
    return name, took, modules


def accounts(number: int) -> str:
    head = "defaults\nport 587\ntls on\nlogfile ~/.msmtp.log\n"
    return head + "".join(
        f"\naccount a{each}\nhost mail{each}.example\nfrom user{each}@mail.example\nauth on\nuser user{each}\n"
        f"passwordeval cat ~/.password-{each}\n"
        for each in range(number)
    )


def test_ten_accounts_cost_next_to_nothing_and_load_nothing_heavy(tmp_path: Path) -> None:
    file = tmp_path / "rc"
    file.write_text(accounts(10))
    name, took, modules = measure(file, "user7@mail.example")
    assert name == "a7"
    assert not modules & set(HEAVY)
    # Measured: about 0.9 ms, 0.75 of it imports; the limit leaves room for a busy machine.
    assert took < 0.003


def test_five_thousand_accounts_are_read_in_no_time(tmp_path: Path) -> None:
    file = tmp_path / "rc"
    file.write_text(accounts(5000))
    name, took, _ = measure(file, "user4999@mail.example")
    assert name == "a4999"
    # Measured: about 22 ms; 40 ms is the aim on this kind of machine.
    assert took < 0.08
