"""Debian's programs are at hand without being installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import debian
from tests.support.processes import Daemon, free_port, listens, metered, wait_for
from tests.support.scripted import ScriptedServer
from tests.support.upstream import run_upstream, upstream_msmtp, upstream_version

TOP = Path(__file__).parents[2]


def test_the_c_program_runs():
    assert upstream_version() >= (1, 8, 23)
    assert upstream_msmtp().is_relative_to(debian.CACHE)


def test_the_c_program_sends_to_the_scripted_server():
    with ScriptedServer() as server:
        done = run_upstream(
            ["-C/dev/null", "--host=127.0.0.1", f"--port={server.port}", "-fme@example.org", "you@example.org"],
            b"x: y\n\nz\n",
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert server.mails[0].data.endswith(b"x: y\r\n\r\nz\r\n")
    assert server.sessions[0].transcript.flights == 5


def test_free_ports_differ():
    assert len({free_port() for _ in range(20)}) == 20


def test_a_daemon_is_waited_for_and_ended(tmp_path):
    port = free_port()
    with Daemon(
        ["python3", "-m", "http.server", "--bind", "127.0.0.1", str(port)], ready=listens(port), log=tmp_path / "log"
    ):
        assert listens(port)()
    assert not listens(port)()


def test_memory_is_that_of_the_command_and_not_of_the_tests(tmp_path):
    ballast = bytes(200 << 20)
    for size in (0, 50 << 20):
        done = subprocess.run(metered([sys.executable, "-IS", "-c", f"b'x' * {size}"], tmp_path / "memory"), check=True)
        measured = int((tmp_path / "memory").read_text())
        assert size < measured < size + (40 << 20)
    assert len(ballast) > measured
    done = subprocess.run(metered(["sh", "-c", "exit 3"], tmp_path / "memory"), check=False)
    assert done.returncode == 3
    done = subprocess.run(metered(["sh", "-c", "kill -TERM $$"], tmp_path / "memory"), check=False)
    assert done.returncode == -15


LEFT_ALONE = """
import os, signal, sys
from pathlib import Path
from tests.support.peers.exim import exim
with exim() as peer:
    print(peer.ports["smtp"], peer.folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.root
def test_tests_that_are_killed_leave_no_daemon_behind():
    done = subprocess.run([sys.executable, "-c", LEFT_ALONE], capture_output=True, text=True, check=False, cwd=TOP)
    assert done.returncode == -9, done.stderr
    port, folder = done.stdout.split()
    shutil.rmtree(folder)
    wait_for(lambda: not listens(int(port))(), words="the end of the server")
