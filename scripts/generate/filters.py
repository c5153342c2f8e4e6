"""Make the seccomp filters: one file a filter and architecture, by libseccomp through pyseccomp or python3-seccomp.

Run it after a change to ``msmtp.sandbox.syscalls``.  Another version of libseccomp may order a filter otherwise; what
counts is that it decides alike, which the tests in tests/sandbox/ hold, call by call.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))

from msmtp.sandbox.builder import COMMITTED, build  # noqa: E402 - the path comes first
from msmtp.sandbox.syscalls import FILTERS  # noqa: E402

FOLDER = ROOT / "src" / "msmtp" / "sandbox" / "filters"


def files() -> dict[str, bytes]:
    """File name to filter, all of them."""
    return {f"{name}.{machine}.bpf": build(name, machine) for name in FILTERS for machine in COMMITTED}


if __name__ == "__main__":
    for old in FOLDER.glob("*.bpf"):
        old.unlink()
    for file, program in files().items():
        (FOLDER / file).write_bytes(program)
