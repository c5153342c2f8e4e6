"""Runs of msmtp in which Python tells what is imported and opened after the sandbox was entered.

The sandbox would refuse it, and then a module is missing in the middle of a session, or a codec, or a trace has no
source.  So nothing may be left to be loaded, on no path: Python's audit events are watched, not what the kernel says,
because a refused open may pass unnoticed today and not with the next Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.sending import MAIL, configuration

SOURCE = Path(__file__).resolve().parents[2] / "src"

# As bare as an interpreter can be (-I -S), so that no module is there that a user's interpreter might not have.
HARNESS = """
import os, sys
sys.path[:0] = [{source!r}]
sys.path += {libraries!r}
watching, late = [False], []
LOADING = ("open", "import", "os.listdir", "os.scandir", "os.posix_spawn", "os.fork", "os.exec", "ctypes.dlopen",
           "socket.__new__", "socket.connect", "socket.getaddrinfo", "os.putenv", "os.remove", "os.rename")
def watch(event, arguments):
    if watching[0] and event in LOADING:
        frame = sys._getframe(1)
        places = []
        while frame is not None and len(places) < 4:
            places.append(frame.f_code.co_filename.rpartition("/")[2] + ":" + str(frame.f_lineno))
            frame = frame.f_back
        late.append(event + " " + str(arguments[0])[:200] + " < " + " < ".join(places))
sys.addaudithook(watch)
from msmtp import sandbox
enter, leave = sandbox.enter, os._exit
def enter_and_watch(*arguments, **more):
    applied = enter(*arguments, **more)
    watching[0] = True
    return applied
def tell_and_leave(code):
    text = ("entered" if watching[0] else "not entered") + "\\n" + "\\n".join(late)
    watching[0] = False
    os.write({report}, text.encode())
    leave(code)
sandbox.enter, os._exit = enter_and_watch, tell_and_leave
from msmtp.sender import main
{before}
main.run()
"""


@dataclass
class LateRun:
    """What came of a run: ``late``, an event a line and where it was raised."""

    code: int
    out: bytes
    err: str
    entered: bool
    late: list[str]


def run(
    folder: Path,
    text: str,
    arguments: Sequence[str],
    *,
    mail: bytes = MAIL,
    before: str = "",
    environment: dict[str, str] | None = None,
    meanwhile: Callable[[subprocess.Popen[bytes]], None] | None = None,
) -> LateRun:
    """Run msmtp with a configuration.  ``before``: code to run first; ``meanwhile``: is called with the process."""
    reading, writing = os.pipe()
    libraries = [path for path in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")) if path]
    source = HARNESS.format(source=str(SOURCE), libraries=libraries, report=writing, before=before)
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", source, "-C", str(configuration(folder, text)), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[writing],
        env={**os.environ, **(environment or {})},
    )
    os.close(writing)
    if meanwhile:
        assert process.stdin
        process.stdin.write(mail)
        process.stdin.close()
        process.stdin = None
        meanwhile(process)
        mail = b""
    out, err = process.communicate(mail or None, timeout=60)
    with open(reading, "rb") as pipe:
        told = pipe.read().decode().split("\n")
    return LateRun(process.returncode, out, err.decode(), told[0] == "entered", [line for line in told[1:] if line])
