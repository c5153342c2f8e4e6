"""The link between two networks: that it takes its time, carries everything, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bench import relay
from bench.link import hindrance, link
from bench.measure import Program, measure

pytestmark = pytest.mark.skipif(bool(hindrance()), reason=hindrance() or "it can be made")

SERVE = """
import socket, sys
listener = socket.create_server((sys.argv[1], 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
while data := connection.recv(65536): connection.sendall(data)
"""

CALL = """
import socket, sys, time
host, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
begin = time.perf_counter()
connection = socket.create_connection((host, port))
print(time.perf_counter() - begin)
connection.sendall(b"x" * size)
left = size
while left: left -= len(connection.recv(65536))
"""


def echo(line, size):
    """Seconds that a connection takes to be there; after it, ``size`` octets go there and back."""
    server = [*line.there, sys.executable, "-c", SERVE, relay.THERE]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as process:
        port = process.stdout.readline().strip()
        client = [*line.here, sys.executable, "-c", CALL, relay.THERE, port, str(size)]
        done = subprocess.run(client, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
        assert process.wait(10) == 0
    return float(done.stdout)


def test_a_round_trip_takes_as_long_as_is_asked_for():
    with link(60) as slow, link(2) as fast:
        there_and_back = echo(slow, 1)
        assert there_and_back >= 0.06
        assert echo(fast, 1) < there_and_back


def test_what_is_longer_than_a_window_comes_whole():
    with link(4) as line:
        echo(line, 1_000_000)


def test_programs_are_measured_at_one_end(tmp_path):
    (tmp_path / "mail").touch()
    log = tmp_path / "log"
    with link(2) as line:
        show = Program("show", ["/bin/sh", "-c", f"readlink /proc/self/ns/net >>{log}"])
        measure([show], tmp_path / "mail", 1, enter=line.here)
    assert len(set(log.read_text().split())) == 1
    assert log.read_text().split()[0] != Path("/proc/self/ns/net").readlink().name


@pytest.mark.parametrize("fault", [False, True])
def test_nothing_is_left_of_a_link(fault):
    with contextlib.suppress(ZeroDivisionError), link(2) as line:
        process = Path(f"/proc/{line.process}")
        assert process.exists()
        if fault:
            raise ZeroDivisionError
    assert not process.exists()


def test_the_relay_ends_with_whoever_started_it():
    """Also if that was killed: the other end of its standard input is gone then."""
    starter = "import time; from bench.link import link\nwith link(2) as line: print(line.process, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True) as process:
        relaying = Path(f"/proc/{int(process.stdout.readline())}")
        assert relaying.exists()
        process.kill()
    end = time.monotonic() + 10
    while is_running(relaying):
        assert time.monotonic() < end
        time.sleep(0.01)


def is_running(process: Path) -> bool:
    """Whether there is more of it than what nobody has waited for."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_without_root_there_is_no_link(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in hindrance()
