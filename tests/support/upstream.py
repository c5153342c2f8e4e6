"""Debian's build of the C program, as a black box to compare with: unpacked, never installed."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support import debian

#: Another build of the C program to compare with, for those who have one: $MSMTP_UPSTREAM.
OTHER = os.environ.get("MSMTP_UPSTREAM")


def upstream_msmtp() -> Path:
    """Debian's msmtp: an executable script that starts the C program with its libraries; fetched when first asked for."""
    if OTHER:
        return Path(OTHER)
    root = debian.bundle("msmtp")
    starter = root.parent / "msmtp"
    with debian.locked(root.parent):
        if not starter.exists():
            text = f'#!/bin/sh\nLD_LIBRARY_PATH="{debian.library_path(root)}" exec "{root}/usr/bin/msmtp" "$@"\n'
            starter.write_text(text)
            starter.chmod(0o755)
    return starter


@functools.cache
def upstream_version() -> tuple[int, ...]:
    """The version of it, as (1, 8, 23)."""
    words = subprocess.run([upstream_msmtp(), "--version"], capture_output=True, text=True, check=True).stdout.split()
    return tuple(int(part) for part in words[2].split("."))


def run_upstream(
    arguments: Sequence[str | Path],
    mail: bytes = b"",
    environment: Mapping[str, str] | None = None,
    seconds: float = 30,
) -> subprocess.CompletedProcess[bytes]:
    """Run it with these arguments and this standard input; the environment is the test's own plus ``environment``."""
    return subprocess.run(
        [upstream_msmtp(), *arguments],
        input=mail,
        capture_output=True,
        check=False,
        timeout=seconds,
        env={**os.environ, **(environment or {})},
    )
