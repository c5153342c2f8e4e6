"""What other users of the machine, its files and its operator's mistakes may do to the daemon, tried on the real one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.daemon import NOBODY, TOP, Msmtpd, new_folder, pause, role
from tests.support.processes import free_port, wait_for

ROOT = pytest.mark.root
PASSWORD = "so-long-and-thanks-for-all-the-fish"


@pytest.fixture
def elsewhere():
    folder = new_folder()
    yield folder
    shutil.rmtree(folder)


def refused(*options, environment=None):
    """Start a daemon that cannot start; its exit code, what it wrote, and what it logged."""
    daemon = Msmtpd(*options, environment=environment)
    daemon.prepare()
    try:
        daemon.start()
        code = daemon.process.wait(20)
        return code, daemon.errors(), daemon.log()
    finally:
        daemon.kill()
        daemon.remove()


def memory(pid):
    """All that can be read of a process's memory."""
    read = []
    with open(f"/proc/{pid}/mem", "rb", 0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if match and "[v" not in line:
                start, end = (int(each, 16) for each in match.groups())
                try:
                    file.seek(start)
                    read.append(file.read(end - start))
                except OSError:
                    pass
    return b"".join(read)


@ROOT
def test_fault_76_the_password_is_in_no_place_where_it_could_be_read(elsewhere):
    secret = elsewhere / "secret"
    secret.write_text(PASSWORD)
    os.chown(secret, NOBODY, -1)
    secret.chmod(0o600)
    with Msmtpd(f"--auth=user,cat {secret}") as daemon:
        with daemon.smtp() as client:
            client.login("user", PASSWORD)
            client.sendmail("a@b.example", ["c@d.example"], "Subject: x\n\nx\n")
        daemon.settled()
        (mail,) = daemon.mails(1)
        assert PASSWORD not in str(vars(mail))
        for pid in daemon.tree():
            for name in ("cmdline", "environ"):
                assert PASSWORD.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
            if role(pid) != "auth":  # which has to have what the client said, for a moment
                assert PASSWORD.encode() not in memory(pid), role(pid)
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert role(pid) == "keeper" or re.search(r"Max core file size +0 ", limits), role(pid)
        assert PASSWORD not in daemon.log() + daemon.errors()


MODULE = "open({!r}, 'w').close()\n"


def test_fault_77_nothing_is_loaded_from_where_it_was_started_or_where_variables_say(elsewhere):
    marker = elsewhere / "loaded"
    elsewhere.chmod(0o777)
    for name in ("sitecustomize", "usercustomize", "re", "struct", "msmtp", "signal", "typing"):
        (elsewhere / f"{name}.py").write_text(MODULE.format(str(marker)))
    (elsewhere / "x.pth").write_text(f"import sys; open({str(marker)!r}, 'w')\n")
    environment = {"PYTHONPATH": str(elsewhere), "PYTHONSTARTUP": str(elsewhere / "re.py"), "PYTHONINSPECT": "1"}
    environment |= {"PYTHONHOME": "/nowhere", "PYTHONUSERBASE": str(elsewhere), "PYTHONPLATLIBDIR": "x"}
    with Msmtpd(environment=environment, wrap=("sh", "-c", f'cd {elsewhere} && exec "$@"', "sh")) as daemon:
        with daemon.talk() as client:
            client.greet()
            client.mail()
        (mail,) = daemon.mails(1)
        assert not [name for name in mail.environment if name.startswith("PYTHON")]
        daemon.settled()  # the session's worker is on its way out when the client has its answer
        if os.geteuid() == 0:
            assert {os.readlink(f"/proc/{pid}/cwd") for pid in daemon.tree()} == {"/"}
    assert not marker.exists()


def test_fault_82_what_will_not_get_better_ends_with_a_code_that_says_so(elsewhere):
    code, errors, _ = refused("--no-such-option")
    assert code == 64
    assert "no-such-option" in errors
    assert len(errors.splitlines()) <= 3
    options = elsewhere / "options"
    options.write_text("max-sessions many\n")
    code, errors, _ = refused(f"--config={options}")
    assert code in (64, 78)
    assert str(options) in errors
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, errors, log = refused(f"--port={taken.getsockname()[1]}")
        assert code in (69, 71)
        assert "Address already in use" in errors + log
    units = Path(TOP / "packaging" / "systemd").glob("*.service")
    for unit in units:
        text = unit.read_text()
        if "Restart=" in text:
            prevented = re.search(r"^RestartPreventExitStatus=(.*)$", text, re.MULTILINE)
            assert prevented, unit
            assert {"64", "78"} <= set(prevented[1].split()), unit


@pytest.mark.parametrize("text", ["max-sessions many\n", "nonsense\n", "auth user\ncommand '\n", "tls-cert /nowhere\n"])
def test_fault_83_a_reload_with_options_that_cannot_be_changes_nothing(elsewhere, text):
    options = elsewhere / "options"
    options.write_text("max-sessions 7\n")
    with Msmtpd(f"--config={options}") as daemon, daemon.talk() as client:
        client.greet()
        assert daemon.status()["slots"] == 7
        before = daemon.processes()
        options.write_text(text)
        os.kill(daemon.keeper, signal.SIGHUP)
        assert str(options) in daemon.wait_logged("going on with the options as they were")
        client.mail()
        with daemon.talk() as other:
            other.greet()
            other.mail()
        assert daemon.status()["slots"] == 7
        assert daemon.processes()["supervisor"] == before["supervisor"]
        options.write_text("max-sessions 9\n")
        os.kill(daemon.keeper, signal.SIGHUP)
        daemon.wait_logged("are in force")
        wait_for(lambda: daemon.status()["slots"] == 9)
        client.mail()  # by the processes of the time before


def test_fault_83_what_fails_only_when_it_starts_changes_nothing_either(elsewhere):
    options = elsewhere / "options"
    options.write_text("")
    with Msmtpd(f"--config={options}", expected=("ended with status", "taken")) as daemon:
        with socket.create_server(("127.0.0.1", free_port())) as taken:
            options.write_text(f"port {taken.getsockname()[1]}\n")
            os.kill(daemon.keeper, signal.SIGHUP)
            pause(1)
        with daemon.talk() as client:
            client.greet()
            client.mail()


def test_fault_84_a_reload_refuses_none_of_many_connections():
    with Msmtpd("--max-sessions=32", "--max-sessions-per-source=32") as daemon:
        for number in range(400):
            if number % 100 == 50:
                os.kill(daemon.keeper, signal.SIGHUP)
            with daemon.connect() as connection:
                assert connection.recv(100)[:3] == b"220", number
        wait_for(lambda: daemon.status()["generation"] >= 4, 20)
        wait_for(lambda: len(daemon.processes()["supervisor"]) == 1, 20)


TRACE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for pid in map(int, sys.argv[1:]):
    allowed = libc.ptrace(0x4206, pid, None, None) == 0  # PTRACE_SEIZE
    try:
        allowed = bool(os.open(f"/proc/{pid}/mem", os.O_RDONLY)) or allowed
    except OSError:
        pass
    print(pid, "allowed" if allowed else os.strerror(ctypes.get_errno()))
"""


@ROOT
def test_fault_86_nobody_of_the_same_user_may_look_into_a_process():
    with Msmtpd() as daemon, daemon.talk() as client:
        client.greet()
        pids = [pid for pid in daemon.tree() if role(pid) != "keeper"]  # that one is root's
        words = [sys.executable, "-I", "-c", TRACE, *map(str, pids)]
        run = subprocess.run(words, user=NOBODY, capture_output=True, text=True, check=True, timeout=30)
        assert [line.partition(" ")[2] for line in run.stdout.splitlines()] == ["Operation not permitted"] * len(pids)


@ROOT
def test_fault_85_root_does_not_serve_as_root():
    daemon = Msmtpd(user="")
    daemon.prepare()
    try:
        daemon.start()
        code = daemon.process.wait(20)
        assert code == 78
        assert "--user" in daemon.errors() + daemon.log()
    finally:
        daemon.kill()
        daemon.remove()
