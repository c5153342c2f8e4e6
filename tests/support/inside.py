"""Processes that enter a role of the sandbox and try things there (tests/sandbox/attempts.py), and what came of it."""

from __future__ import annotations

import _ctypes
import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyseccomp
from tests.support.certificates import Authority

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = REPOSITORY / "tests" / "sandbox" / "attempts.py"
NOBODY = 65534

ROLES = ("sender", "sender-reading", "sender-pkcs11", "sender-gssapi")
"""As attempts.py names them: sender-reading is the sender that was given paths to read."""

USERS = (os.getuid(), NOBODY) if os.getuid() == 0 else (os.getuid(),)

PYTHONS = sorted(
    {
        os.path.realpath(path)
        for path in [
            sys.executable,
            "/usr/bin/python3",
            *Path(os.path.expanduser("~/.pyenv/versions")).glob("3.1[1-9]*/bin/python3"),
        ]
        if os.access(path, os.X_OK)
    }
)
"""Every Python of 3.11 or later that this machine has."""


@functools.cache
def numbers() -> dict[str, int]:
    """The system calls of this machine, by name."""
    found = {}
    for number in range(600):
        try:
            found[pyseccomp.resolve_syscall(pyseccomp.system_arch(), number).decode()] = number
        except ValueError:
            continue
    return found


@contextlib.contextmanager
def scene() -> Iterator[Path]:
    """A folder that everybody may enter, with what the attempts look for."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        _fill(folder)
        yield folder


def _fill(folder: Path) -> None:
    """``open`` may stay readable, ``writable`` writable, ``secret`` not."""
    for name in ("open", "open/empty", "secret", "writable"):
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
    for name in ("open", "secret"):
        (folder / name / "file").write_text(name)
        (folder / name / "file").chmod(0o666)
    (folder / "open" / "link").symlink_to("../secret/file")
    authority = Authority(folder)
    shutil.copy(authority.issue().both, folder / "server.pem")
    (folder / "server.pem").chmod(0o644)
    shutil.copy(authority.file, folder / "open" / "authority.pem")
    subprocess.run(["openssl", "rehash", folder / "open"], check=True, capture_output=True)
    shutil.copy(_ctypes.__file__, folder / "open" / "library.so")


def try_inside(
    folder: Path,
    role: str,
    kind: str,
    *,
    python: str = sys.executable,
    flags: tuple[str, ...] = ("-I", "-S"),
    uid: int | None = None,
    before: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
    **settings: object,
) -> dict[str, tuple[str, list[str]]]:
    """What came of each attempt of a kind ("forbidden", "needed"), and what may come of it.  ``before``: a wrapper."""
    settings |= {
        "source": str(REPOSITORY / "src"),
        "folder": str(folder),
        "role": role,
        "kind": kind,
        "uid": os.getuid() if uid is None else uid,
        "numbers": numbers(),
    }
    command = [*before, python, *flags, str(PROGRAM), json.dumps(settings)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}, timeout=100
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, tuple[str, list[str]]] = json.loads(done.stdout)
    assert len(results) >= 1
    return results


def surprises(results: dict[str, tuple[str, list[str]]]) -> dict[str, tuple[str, list[str]]]:
    """The attempts that ended otherwise than they may."""
    return {name: (came, may) for name, (came, may) in results.items() if came not in may}
