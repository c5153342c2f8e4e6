"""What systemd is told, by its own library, at a socket that stands for systemd's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest
from tests.support.inside import REPOSITORY

HEAD = f"""
import json, os, sys, time
sys.path.insert(0, {str(REPOSITORY / "src")!r})
from msmtp.daemon import service
from msmtp.daemon.service import Service
"""


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(5)
        yield made


def start(code, environment=None, *, python=sys.executable, flags=()):
    return subprocess.run(
        [python, *flags, "-c", HEAD + code],
        capture_output=True,
        check=False,
        timeout=30,
        text=True,
        env={"PATH": os.environ["PATH"], **(environment or {})},
    )


def told(manager, code, **environment):
    """All that a process says."""
    done = start(code, {"NOTIFY_SOCKET": manager.getsockname(), **environment})
    assert (done.returncode, done.stderr) == (0, "")
    manager.setblocking(False)
    said = []
    while True:
        try:
            said.append(manager.recv(9999).decode())
        except BlockingIOError:
            return said, done.stdout


def test_each_turn_of_a_life_is_told(manager):
    said, _ = told(
        manager,
        """
manager = Service()
before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
manager.ready("2 listeners")
manager.alive("2 listeners")
manager.alive("3 sessions\\nMAINPID=1")
manager.reloading()
manager.ready()
manager.main_process(77)
manager.stopping()
""",
    )
    reloading = said.pop(2)
    assert said == [
        "READY=1\nSTATUS=2 listeners",
        "STATUS=3 sessions MAINPID=1",
        "READY=1\nSTATUS=3 sessions MAINPID=1",
        "MAINPID=77",
        "STOPPING=1\nSTATUS=stopping",
    ]
    first, second, third = reloading.split("\n")
    assert (first, third) == ("RELOADING=1", "STATUS=reloading")
    assert second.startswith("MONOTONIC_USEC=")
    assert int(second.partition("=")[2]) > 0


@pytest.mark.parametrize(
    ("environment", "interval", "lives"),
    [
        ({}, 10.0, False),
        ({"WATCHDOG_USEC": "4000000"}, 2.0, True),
        ({"WATCHDOG_USEC": "90000000"}, 10.0, True),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}, 10.0, False),
        ({"WATCHDOG_USEC": "0"}, 10.0, False),
        ({"WATCHDOG_USEC": "soon"}, 10.0, False),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time_where_there_is_one(manager, environment, interval, lives):
    said, out = told(
        manager, "manager = Service()\nprint(manager.interval)\nmanager.alive()\nmanager.alive()", **environment
    )
    assert float(out) == interval
    assert said == ["WATCHDOG=1"] * (2 * lives)


def test_no_child_could_speak_for_it_and_what_systemd_set_is_gone(manager):
    said, out = told(
        manager,
        """
import subprocess
manager = Service()
manager.ready()
code = "import os; print(sorted(n for n in os.environ if n.startswith(('NOTIFY', 'WATCHDOG', 'LISTEN'))))"
print(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout)
""",
        WATCHDOG_USEC="5",
        WATCHDOG_PID="1",
    )
    assert (said, out.strip()) == (["READY=1"], "[]")


def test_without_systemd_nothing_is_loaded_and_nothing_happens():
    done = start(
        """
manager = Service()
for say in (manager.ready, manager.alive, manager.reloading, manager.stopping):
    say()
manager.keep("throttle", 0)
print(service.received(), service.stored("throttle"), manager.interval, "systemd" in sys.modules, "socket" in sys.modules)
""",
        flags=("-I", "-S"),
    )
    assert done.stdout == "None None 10.0 False False\n", done.stderr


def test_a_manager_that_is_gone_ends_nothing(tmp_path):
    done = start(
        "manager = Service()\nmanager.ready('x')\nmanager.alive()\nprint('on')",
        {"NOTIFY_SOCKET": str(tmp_path / "none"), "WATCHDOG_USEC": "9"},
    )
    assert (done.stdout, done.stderr) == ("on\n", "")


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({"NOTIFY_SOCKET": "/run/x"}, "Service()"),
        ({"LISTEN_FDS": "1"}, "os.environ['LISTEN_PID'] = str(os.getpid()); service.received()"),
    ],
)
def test_without_its_library_it_says_which_package_to_install(environment, code):
    done = start(
        f"""
from msmtp.failures import ServiceFailure
sys.modules["systemd"] = None
try:
    {code}
except ServiceFailure as failure:
    print(failure.exit_code, failure.message, failure.hint, sep="|")
""",
        environment,
    )
    code, message, hint = done.stdout.split("|")
    assert code == "78"
    assert message.endswith("its library is missing")
    assert "python3-systemd" in hint


def test_a_descriptor_is_kept_and_comes_back_at_the_next_start(manager):
    kept = (
        "manager = Service(); file = os.memfd_create('page'); os.write(file, b'memory')\nmanager.keep('throttle', file)"
    )
    done = start(kept, {"NOTIFY_SOCKET": manager.getsockname()})
    assert done.stderr == ""
    assert manager.recv(999) == b"FDSTOREREMOVE=1\nFDNAME=throttle"
    said, descriptors, _, _ = socket.recv_fds(manager, 999, 4)
    assert said == b"FDSTORE=1\nFDNAME=throttle\nFDPOLL=0"
    (page,) = descriptors
    again = f"""
listener = __import__("socket").create_server(("127.0.0.1", 0)).detach()
os.dup2({page}, 60), os.dup2(listener, 4), os.dup2(60, 3), os.dup2(60, 5)
os.environ.update(LISTEN_FDS="3", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="throttle:smtp:throttle")
print(json.dumps([service.received(), service.stored("throttle"), service.stored("throttle")]))
print(os.pread(3, 9, 0))
from msmtp.daemon import listeners
print(len(listeners.inherited()))
"""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + again], capture_output=True, check=False, text=True, pass_fds=(page,)
    )
    os.close(page)
    first, second, third = done.stdout.splitlines()
    assert json.loads(first) == [[[4, "smtp"]], 3, None], done.stderr
    assert (second, third) == ("b'memory'", "1")


def test_a_kept_descriptor_alone_is_no_socket_activation():
    again = """
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="throttle")
os.dup2(os.memfd_create("page"), 3)
from msmtp.daemon import listeners
print(listeners.inherited(), service.stored("throttle"))
"""
    assert start(again).stdout == "None 3\n"


def test_debians_own_python_with_its_own_library_does_the_same(manager):
    done = start("Service().ready('on')", {"NOTIFY_SOCKET": manager.getsockname()}, python="/usr/bin/python3")
    assert done.stderr == ""
    assert manager.recv(999) == b"READY=1\nSTATUS=on"
