"""Where a password must not be seen while msmtp runs and afterwards (fault 76)."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from tests.support.scripted import HANG, Polite, ScriptedServer
from tests.support.sending import MAIL, MSMTP, account, configuration, msmtp

SECRET = "Hunter2-tr0ub4dor"
SOURCES = {
    "password": f"password {SECRET}",
    "passwordeval": "passwordeval cat {folder}/secret",
}


@pytest.fixture(params=SOURCES)
def settings(request, tmp_path) -> str:
    (tmp_path / "secret").write_text(SECRET + "\n")
    return "auth login\nuser joe\n" + SOURCES[request.param].format(folder=tmp_path)


def started(folder: Path, server: ScriptedServer, settings: str, *command: str) -> subprocess.Popen[bytes]:
    """Msmtp, waiting for the answer to the mail it has sent."""
    log = f"logfile {folder}/log\n"
    rc = configuration(folder, account(server.port, settings + "\n" + log))
    process = subprocess.Popen(
        [*command, *MSMTP, "-C", str(rc), "jane@example.net"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin
    process.stdin.write(MAIL)
    process.stdin.close()
    end = time.monotonic() + 20
    while not (server.sessions and b"DATA" in server.sessions[0].transcript.client):
        assert time.monotonic() < end
        time.sleep(0.02)
    return process


@pytest.mark.root
def test_it_stands_in_no_command_line_environment_log_or_message(tmp_path, settings):
    users = {b"joe": SECRET.encode()}
    with ScriptedServer(Polite(extensions=(), mechanisms=["LOGIN"], users=users, replies={"message": HANG})) as server:
        process = started(tmp_path, server, settings)
        seen = [Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
        process.terminate()
        seen.append(process.stderr.read())
        process.wait(timeout=20)
        process.stderr.close()
    seen.append((tmp_path / "log").read_bytes())
    assert server.sessions[0].user == b"joe"
    assert not [octets for octets in seen if SECRET.encode() in octets]


def test_a_crash_leaves_no_core_with_it(tmp_path, settings, monkeypatch):
    monkeypatch.chdir(tmp_path)
    users = {b"joe": SECRET.encode()}
    with ScriptedServer(Polite(extensions=(), mechanisms=["LOGIN"], users=users, replies={"message": HANG})) as server:
        process = started(tmp_path, server, settings)
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        os.kill(process.pid, 6)
        process.wait(timeout=20)
        process.stderr.close()
    assert [line.split()[4:6] for line in limits.splitlines() if "core file" in line] == [["0", "0"]]
    assert process.returncode == -6
    assert not [name for name in os.listdir(tmp_path) if name.startswith("core")]


@pytest.mark.root
def test_the_same_user_cannot_read_it_out_of_memory(tmp_path, settings):
    """As nobody: /proc/PID belongs to root once the process is not dumpable."""
    os.chmod(tmp_path, 0o777)
    for parent in tmp_path.parents:
        if parent != Path("/tmp") and parent != Path("/"):
            os.chmod(parent, os.stat(parent).st_mode | 0o055)
    (tmp_path / "secret").chmod(0o644)
    users = {b"joe": SECRET.encode()}
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    with ScriptedServer(Polite(extensions=(), mechanisms=["LOGIN"], users=users, replies={"message": HANG})) as server:
        rc = configuration(tmp_path, "")
        os.chown(rc, 65534, 65534)
        process = started(tmp_path, server, settings, *nobody)
        for name in ("mem", "environ", "maps"):
            done = subprocess.run(
                [*nobody, "head", "-c1", f"/proc/{process.pid}/{name}"], capture_output=True, check=False
            )
            assert b"Permission denied" in done.stderr, (name, done.stderr)
        process.terminate()
        process.stderr.read()
        process.wait(timeout=20)
        process.stderr.close()


def test_a_fault_of_ours_shows_where_it_is_and_nothing_of_what_it_held(tmp_path):
    """A traceback, or an exception's words, could show a password: only type and place are told."""
    rc = configuration(tmp_path, account(1, f"auth login\nuser joe\npassword {SECRET}"))
    source = (
        "from msmtp.sender import connecting, main\n"
        "def broken(self): raise ValueError(self.account.password.reveal())\n"
        "connecting.Connector.prepare = broken\nmain.run()"
    )
    command = [MSMTP[0], "-I", "-c", source, "-C", str(rc), "jane@example.net"]
    done = subprocess.run(command, input=MAIL.decode(), capture_output=True, text=True, check=False)
    assert done.returncode == 70
    assert done.stderr.split("\n")[0] == "-c: internal error: ValueError at <string>:2; please report this"
    assert "could not send mail" in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_pretend_and_debug_of_the_settings_do_not_show_it(tmp_path):
    run = msmtp(tmp_path, account(1, f"auth login\nuser joe\npassword {SECRET}"), "-P", "-d", "x@example.net")
    assert "password = *\n" in run.out
    assert SECRET not in run.out + run.err
