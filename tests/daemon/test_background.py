"""--daemon and --pidfile: what a start script learns, and what the daemon is in the background."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.inside import REPOSITORY

from msmtp.daemon.background import hold_pidfile
from msmtp.failures import ConfigFailure, RunningFailure

PYTHONS = sorted({sys.executable, "/usr/bin/python3"})

DAEMON = f"""
import os, signal, sys, time
sys.path.insert(0, {str(REPOSITORY / "src")!r})
from msmtp.daemon import background, privileges
from msmtp.daemon.journal import complain
from msmtp.daemon.listeners import at_internet_address
from msmtp.failures import Failure
def main():
    privileges.tidy()
    pidfile = background.hold_pidfile(sys.argv[1])
    listener = at_internet_address("127.0.0.1", int(sys.argv[2]))
    told = background.leave([listener.fd], pidfile)
    {{middle}}
    told()
    signal.sigwait([signal.SIGTERM])
    pidfile.remove()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
try:
    main()
except Failure as failure:
    complain(failure.message)
    sys.exit(failure.exit_code)
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as made:
        return made.getsockname()[1]


@contextlib.contextmanager
def started(folder, middle="", *, python=sys.executable, before=(), environment=None, **options):
    """Start a daemon; whatever of it is left at the end is ended by the number it wrote."""
    port, path = free_port(), folder / "pid"
    program = DAEMON.format(middle=middle.replace("\n", "\n    ") or "pass")
    command = [*before, python, "-c", program, str(path), str(port)]
    options = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, **options}
    done = subprocess.run(
        command, check=False, timeout=30, text=True, env={**os.environ, **(environment or {})}, **options
    )
    try:
        yield done, port, path
    finally:
        if path.exists() and path.read_text().strip().isdigit():
            end(int(path.read_text()), signal.SIGKILL)


def end(pid, number=signal.SIGTERM):
    """End a daemon, which is no child of ours, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        watched = os.pidfd_open(pid)
        os.kill(pid, number)
        import select

        select.select([watched], [], [], 10)
        os.close(watched)


def answers(port):
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


# -- the background


@pytest.mark.parametrize("python", PYTHONS)
def test_the_start_ends_with_0_when_the_daemon_serves_and_not_before(tmp_path, python):
    begin = time.monotonic()
    with started(tmp_path, "time.sleep(0.7)", python=python) as (done, port, path):
        assert 0.7 <= time.monotonic() - begin < 10
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert answers(port)
        end(int(path.read_text()))
        assert not answers(port)
        assert not path.exists()


def test_it_has_nothing_of_who_started_it(tmp_path):
    held = os.open(tmp_path, os.O_RDONLY)
    mask = os.umask(0)
    try:
        with started(tmp_path, cwd=tmp_path, pass_fds=(held,)) as (done, _, path):
            assert done.returncode == 0
            pid = int(path.read_text())
            about = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            group, session, terminal = about[2:5]
            assert terminal == "0"
            assert group == session != str(pid)  # it leads no session, so no terminal can become its own
            assert session != str(os.getsid(0))
            assert os.readlink(f"/proc/{pid}/cwd") == "/"
            assert "Umask:\t0077" in Path(f"/proc/{pid}/status").read_text()
            files = {name: os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
            assert {files.pop(name) for name in "012"} == {"/dev/null"}
            assert sorted(each.partition(":")[0] for each in files.values()) == [str(path), "socket"]
            assert Path(f"/proc/{pid}/limits").read_text().count("Max core file size        0  ") == 1
            assert path.stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(mask)
        os.close(held)


@pytest.mark.root
def test_a_plain_user_has_it_too(tmp_path):
    for folder in (tmp_path, *tmp_path.parents[:3]):  # beside other workers of the tests it lies one deeper
        if folder.stat().st_uid == os.geteuid() and folder != Path("/tmp"):
            folder.chmod(0o755)
    os.chown(tmp_path, 65534, 65534)
    become = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    with started(tmp_path, before=become) as (done, port, path):
        assert (done.returncode, done.stderr) == (0, "")
        assert answers(port)
        assert path.stat().st_uid == 65534


@pytest.mark.parametrize(
    ("middle", "code", "words"),
    [
        ("raise __import__('msmtp').failures.ConfigFailure('no such setting')", 78, "msmtpd: no such setting\n"),
        ("sys.exit(69)", 69, ""),
        ("os._exit(3)", 3, ""),
        ("os.kill(os.getpid(), signal.SIGKILL)", 70, ""),
        ("if not os.fork():\n    time.sleep(3)\n    os._exit(0)\nos._exit(9)", 9, ""),
    ],
)
def test_a_start_that_fails_says_so_with_words_and_code(tmp_path, middle, code, words):
    with started(tmp_path, middle, stderr=subprocess.STDOUT) as (done, port, _):
        assert (done.returncode, done.stdout) == (code, words)
        if "fork" not in middle:
            assert not answers(port)


def test_what_fails_before_it_leaves_is_said_too(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-c", DAEMON.format(middle="pass"), str(tmp_path / "pid"), str(port)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=30, text=True)
    assert done.returncode == 69
    assert done.stderr == f"msmtpd: cannot listen on 127.0.0.1, port {port}: Address already in use\n"


def test_who_waits_may_be_ended_and_the_daemon_goes_on(tmp_path):
    port, path = free_port(), tmp_path / "pid"
    program = DAEMON.format(middle="time.sleep(1)")
    with subprocess.Popen([sys.executable, "-c", program, str(path), str(port)]) as waiting:
        while not (path.exists() and path.read_text().strip()):
            time.sleep(0.02)
        waiting.kill()
    pid = int(path.read_text())
    time.sleep(1.2)
    assert answers(port)
    end(pid)
    assert not path.exists()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_files_may_be_closed(tmp_path, closed):
    with started(tmp_path, before=("sh", "-c", f'exec "$0" "$@" {closed}')) as (done, port, path):
        assert (done.returncode, done.stdout) == (0, "")
        assert answers(port)
        pid = int(path.read_text())
        assert {os.readlink(f"/proc/{pid}/fd/{name}") for name in "012"} == {"/dev/null"}


def test_no_signal_is_left_ignored_for_the_commands_it_starts(tmp_path):
    with started(tmp_path) as (_, _, path):
        status = Path(f"/proc/{path.read_text().strip()}/status").read_text()
        ignored = int(status.partition("SigIgn:\t")[2].split()[0], 16)
        stops = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGTERM}
        assert not any(ignored >> number - 1 & 1 for number in stops)


def test_under_systemd_it_is_refused(tmp_path):
    with started(tmp_path, environment={"NOTIFY_SOCKET": "/run/x"}) as (done, _, _):
        assert done.returncode == 78
        assert done.stderr == "msmtpd: --daemon is not for systemd, which loses sight of it\n"


def test_without_its_library_it_says_what_to_install(tmp_path):
    program = DAEMON.format(middle="pass").replace(
        "import os", "import sys; sys.modules['daemon'] = None; import os", 1
    )
    command = [sys.executable, "-c", program, str(tmp_path / "pid"), str(free_port())]
    done = subprocess.run(command, capture_output=True, check=False, timeout=30, text=True)
    assert (done.returncode, done.stderr) == (78, "msmtpd: --daemon needs a library that is missing\n")


# -- start-stop-daemon


TOOL = shutil.which("start-stop-daemon")
MSMTPD = f"""
import sys
sys.path.insert(0, {str(REPOSITORY / "src")!r})
from msmtp.daemon.main import run
run()
"""


@pytest.mark.root
def test_start_stop_daemon_starts_and_stops_it_as_the_manual_shows(tmp_path):
    port, path = free_port(), tmp_path / "pid"
    start = [TOOL, "--start", "--pidfile", path, "--make-pidfile", "--chuid", "nobody", "--background"]
    start += ["--exec", "/usr/bin/python3", "--", "-I", "-c", MSMTPD, f"--port={port}", "--status-socket=off"]
    start += ["--command", "cat -- /dev/null"]
    subprocess.run(start, check=True, timeout=30, capture_output=True)
    pid = int(path.read_text())
    try:
        until = time.monotonic() + 10
        while not answers(port):
            assert time.monotonic() < until
            time.sleep(0.02)
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            assert client.noop()[0] == 250
        assert "Uid:\t65534\t65534\t65534\t65534" in Path(f"/proc/{pid}/status").read_text()
        again = subprocess.run(start, check=False, timeout=30, capture_output=True, text=True)
        assert again.returncode == 1
        assert "already running" in again.stdout
        stop = [TOOL, "--stop", "--pidfile", path, "--remove-pidfile", "--quiet", "--signal", "TERM", "--retry", "5"]
        subprocess.run(stop, check=True, timeout=30, capture_output=True)
        assert not answers(port)
        assert not path.exists()
    finally:
        end(pid, signal.SIGKILL)


@pytest.mark.root
def test_msmtpd_goes_to_the_background_and_serves_from_its_first_moment(tmp_path):
    port, path = free_port(), tmp_path / "pid"
    start = [sys.executable, "-I", "-c", MSMTPD, f"--port={port}", "--user=nobody", "--status-socket=off", "--daemon"]
    start += [f"--pidfile={path}", "--command", "cat -- /dev/null"]
    done = subprocess.run(start, check=False, timeout=30, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = int(path.read_text())
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            assert client.noop()[0] == 250
        again = subprocess.run(start, check=False, timeout=30, capture_output=True, text=True)
        assert again.returncode == 69
        assert again.stderr.startswith("msmtpd: cannot listen on 127.0.0.1")
    finally:
        end(pid)
    assert not path.exists()
    assert not answers(port)


# -- the pidfile


def test_fault_73_a_second_daemon_is_told_of_the_first(tmp_path):
    with started(tmp_path) as (_, port, path):
        pid = path.read_text().strip()
        command = [sys.executable, "-c", DAEMON.format(middle="pass"), str(path), str(free_port())]
        done = subprocess.run(command, capture_output=True, check=False, timeout=30, text=True)
        assert (done.returncode, done.stderr) == (
            69,
            f"msmtpd: msmtpd runs already as process {pid}: {path} is locked\n",
        )
        assert path.read_text().strip() == pid
        assert answers(port)


@pytest.mark.parametrize("content", ["", "1\n", "nonsense", "our own\n", "999999999999999999999\n"])
def test_fault_73_a_number_in_a_pidfile_means_nothing_only_its_lock_does(tmp_path, content):
    path = tmp_path / "pid"
    path.write_text(content.replace("our own", str(os.getpid())))  # in the test: its name must be the same everywhere
    held = hold_pidfile(str(path))
    held.write(4711)
    assert path.read_text() == "4711\n"
    held.remove()
    held.remove()
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "nonsense", "\0\0"])
def test_fault_73_a_locked_one_with_no_number_is_locked(tmp_path, content):
    path = tmp_path / "pid"
    path.write_text(content)
    with path.open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RunningFailure, match=r"^msmtpd runs already: .* is locked$"):
            hold_pidfile(str(path))


def test_fault_73_the_lock_ends_with_the_daemon_however_it_ends(tmp_path):
    with started(tmp_path) as (_, _, path):
        end(int(path.read_text()), signal.SIGKILL)
        assert path.exists()
        hold_pidfile(str(path)).remove()


def test_fault_73_another_ones_pidfile_is_not_removed(tmp_path):
    path = tmp_path / "pid"
    held = hold_pidfile(str(path))
    path.unlink()
    path.write_text("another's")
    held.remove()
    assert path.read_text() == "another's"


def test_fault_73_a_pidfile_that_is_removed_meanwhile_is_not_what_is_locked(tmp_path, monkeypatch):
    path = tmp_path / "pid"
    original, times = fcntl.flock, []

    def flock(descriptor, how):
        original(descriptor, how)
        times.append(descriptor)
        if len(times) == 1:
            path.unlink()

    monkeypatch.setattr(fcntl, "flock", flock)
    held = hold_pidfile(str(path))
    assert len(times) == 2
    assert os.fstat(held.fd).st_ino == path.stat().st_ino
    held.remove()


@pytest.mark.root
def test_fault_73_a_pidfile_or_folder_of_the_service_user_is_refused(tmp_path):
    path = tmp_path / "pid"
    path.touch()
    os.chown(path, 65534, 65534)
    with pytest.raises(ConfigFailure, match="it belongs to user 65534"):
        hold_pidfile(str(path))
    path.unlink()
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(ConfigFailure, match="its folder belongs to user 65534"):
        hold_pidfile(str(path))


def test_fault_74_a_link_at_the_pidfile_is_refused(tmp_path):
    (tmp_path / "target").write_text("mine")
    (tmp_path / "pid").symlink_to("target")
    with pytest.raises(ConfigFailure, match="it is a symbolic link"):
        hold_pidfile(str(tmp_path / "pid"))
    assert (tmp_path / "target").read_text() == "mine"
