"""docs/requests.md: what one process of msmtpd may say to another, from REQUESTS."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from msmtp.daemon.channel import MANY, MESSAGE_LIMIT, NUMBER
from msmtp.daemon.requests import REQUESTS, Request

TARGET = "docs/requests.md"

PROCESSES = ("keeper", "supervisor", "nursery", "worker", "auth", "delivery", "next msmtp", "tls", "names", "relay")

HEAD = f"""# Who may ask whom

Made by scripts/generate/requests.py from `REQUESTS` (src/msmtp/daemon/requests.py). Everything that one process of
msmtpd can say to another is here; there is no other way between them. A message has at most {MESSAGE_LIMIT:,} octets.
One that is of no row permitted at that moment, or not of its row's shape, is junk: the channel is closed, and a worker
that sends it is killed. What holds the channels together is in security.md.
"""


def fields(row: Request) -> str:
    """The fields of a row, for people."""
    parts = []
    for name, kind, limit in row.fields:
        words = {NUMBER: "number", MANY: f"each up to {limit:,} octets"}.get(kind, f"up to {limit:,} octets")
        parts.append(f"{name} ({words})")
    if row.descriptors:
        parts.append(f"{row.descriptors} descriptor{'s' * (row.descriptors > 1)}")
    return ", ".join(parts) or "nothing"


def table(asker: str) -> str:
    """What one process may say."""
    rows = [row for row in REQUESTS.values() if asker in row.asker.split(", ")]
    lines = [f"\n## The {asker} says\n", "| message | to | when | with it | meaning |", "|---|---|---|---|---|"]
    lines += [f"| {row.name} | {row.asked} | {row.when} | {fields(row)} | {row.meaning} |" for row in rows]
    return "\n".join(lines) + "\n" if rows else ""


def generate() -> str:
    """The file's text."""
    return HEAD + "".join(table(process) for process in PROCESSES)
