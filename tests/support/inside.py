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
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyseccomp
from tests.support.certificates import Authority

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = REPOSITORY / "tests" / "sandbox" / "attempts.py"
DAEMON = REPOSITORY / "tests" / "sandbox" / "daemon_attempts.py"
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
    program: Path = PROGRAM,
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
    command = [*before, python, *flags, str(program), json.dumps(settings)]
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


def run(
    code: str,
    *,
    python: str = sys.executable,
    uid: int | None = None,
    before: tuple[str, ...] = (),
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """A process of its own that has the package at hand; ``uid``: the user it is from the start of the code."""
    change = f"os.setgroups([]); os.setresgid({uid}, {uid}, {uid}); os.setresuid({uid}, {uid}, {uid})" if uid else ""
    head = f"""
        import os, sys, time, signal, json, errno
        sys.path.insert(0, {str(REPOSITORY / "src")!r})
        from msmtp import sandbox
        from msmtp.sandbox.libc import Library
        {change}
    """
    program = textwrap.dedent(head) + textwrap.dedent(code)
    command = [*before, python, "-I", "-S", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **options)


def refusing(*calls: tuple[Any, ...]) -> str:
    """A filter that refuses calls as a kernel without them would; as literal Python source that loads it."""
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name, number, *conditions in calls:
        rules.add_rule(pyseccomp.ERRNO(number), name, *conditions)
    with open(os.memfd_create("filter"), "r+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        program = file.read()
    return f"""
        program = {program!r}
        Library().call("prctl", 38, 1, 0, 0, 0)
        Library().call("prctl", 22, 2, Library().counted(len(program) // 8, program), 0, 0)
    """


NO_LANDLOCK = (("landlock_create_ruleset", 38),)
NO_SECCOMP = (("seccomp", 38), ("prctl", 22, pyseccomp.Arg(0, pyseccomp.EQ, 22)))
OLD_SECCOMP = (("seccomp", 38),)
