"""What systems and clients do to a daemon: shortages put upon one of its processes, connections that are reset."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.injected import can_inject

SET_LIMIT = """
import resource, sys
pid, kind, soft = map(int, sys.argv[1:])
before, hard = resource.prlimit(pid, kind)
resource.prlimit(pid, kind, (soft, hard))
print(before)
"""


def _set_limit(pid: int, kind: int, number: int) -> int:
    """Set a limit of a process as its own user, which a root without CAP_SYS_RESOURCE may not; give the old one."""
    status = Path(f"/proc/{pid}/status").read_text()
    user, group = (int(line.split()[1]) for line in status.splitlines() if line.startswith(("Uid:", "Gid:")))
    who = {"user": user, "group": group, "extra_groups": []} if os.geteuid() == 0 else {}
    words = [sys.executable, "-I", "-S", "-c", SET_LIMIT, *map(str, (pid, kind, number))]
    return int(subprocess.run(words, check=True, capture_output=True, text=True, **who).stdout)  # type: ignore[call-overload]


@contextmanager
def limited(pid: int, kind: int, number: int) -> Iterator[None]:
    """A process may have no more than that of something (resource.RLIMIT_...), for a while."""
    before = _set_limit(pid, kind, number)
    try:
        yield
    finally:
        if Path(f"/proc/{pid}").exists():
            _set_limit(pid, kind, before)


def next_descriptor(pid: int) -> int:
    """The number that the next descriptor of a process will have."""
    numbers = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    return min(set(range(len(numbers) + 1)) - numbers)


@contextmanager
def injected(pid: int, *faults: str, folder: Path) -> Iterator[Path]:
    """Calls of a process fail, as strace's inject= has it ("accept4:error=ECONNABORTED:when=1"); gives the trace.

    Not for one that a filter ends for calls unknown to it: strace has the kernel try call -1 instead.
    """
    if not can_inject():
        pytest.skip("needs strace, and leave to trace processes")
    trace = folder / "trace"
    calls = ",".join(fault.partition(":")[0] for fault in faults)
    words = ["strace", "-p", str(pid), "-o", str(trace), "-e", f"trace={calls}"]
    for fault in faults:
        words += ["-e", f"inject={fault}"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as strace:
        try:
            assert strace.stderr
            line = strace.stderr.readline()
            assert "attached" in line, line
            yield trace
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait(10)


def reset(connection: socket.socket) -> None:
    """Close a connection by a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def in_mounts(*commands: str) -> Sequence[str]:
    """Words to start a daemon with in a view of the file system of its own, in which these commands were run."""
    script = " && ".join((*commands, 'exec "$@"'))
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")


def processor_time(pid: int) -> float:
    """Seconds of the processors that a process has taken."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Octets of memory that are a process's own."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no Pss of {pid}")
