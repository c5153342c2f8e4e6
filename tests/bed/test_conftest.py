"""The rules that conftest.py holds every test to, each broken on purpose in a run of its own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"

BREACHES = {
    "an open file": ("import os\ndef test_it():\n    os.open('/dev/null', 0)\n", "left behind: ['fd "),
    "a zombie": (
        "import os\ndef test_it():\n    os.posix_spawn('/bin/true', ['true'], {})\n",
        "left behind: ['child process ",
    ),
    "a connection out": (
        "import socket\ndef test_it():\n    with socket.socket() as s: s.connect(('192.0.2.1', 25))\n",
        "LeavesTheMachine",
    ),
    "a look-up": ("import socket\ndef test_it():\n    socket.getaddrinfo('example.org', 25)\n", "LeavesTheMachine"),
    "a skip": ("import pytest\ndef test_it():\n    pytest.skip('no tool')\n", "skipped, which CI takes for a failure"),
    "a skipped module": (
        "import pytest\npytest.skip('no tool', allow_module_level=True)\n",
        "skipped, which CI takes for a failure",
    ),
}


def run(folder, source, **environment):
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "test_it.py").write_text(source)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        folder,
        "-c",
        "/dev/null",
        folder,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_fails_the_test(name, tmp_path):
    source, words = BREACHES[name]
    result = run(tmp_path, source, CI="true")
    assert result.returncode != 0
    assert words in result.stdout


def test_a_skip_is_a_skip_outside_ci(tmp_path):
    source, _ = BREACHES["a skip"]
    assert run(tmp_path, source, CI="").returncode == 0


ELSEWHERE = """import pytest
@pytest.mark.releases("potato")
def test_of_another_release(): assert False
@pytest.mark.parametrize("python", [])
def test_of_each_of_none(python): assert False
def test_here(): pass
"""


def test_what_is_for_elsewhere_is_left_out_and_not_skipped(tmp_path):
    result = run(tmp_path, ELSEWHERE, CI="true")
    assert result.returncode == 0
    assert "1 passed, 2 deselected" in result.stdout


def test_the_home_is_empty_and_a_tests_own(home, tmp_path):
    assert Path.home() == home
    assert not list(home.iterdir())
    assert "EMAIL" not in os.environ


def test_loopback_is_reached():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
