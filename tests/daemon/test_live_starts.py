"""Every way of starting msmtpd: its own sockets, systemd's, inetd's; in the background; by a start script."""

from __future__ import annotations

import contextlib
import grp
import os
import signal
import smtplib
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import certificates, debian
from tests.support.daemon import (
    NOBODY,
    Msmtpd,
    Recorder,
    Talk,
    is_there,
    launcher,
    new_folder,
    role,
    title,
)
from tests.support.processes import Daemon, free_port, listens, wait_for

from msmtp.daemon.inetd import copy
from msmtp.daemon.slots import take_by_lock

CLIENT_SAYS = (
    b"EHLO me.example\r\n",
    b"MAIL FROM:<a@b.example>\r\n",
    b"RCPT TO:<c@d.example>\r\n",
    b"DATA\r\n",
    b"Subject: hi\r\n\r\nho\r\n.\r\n",
    b"QUIT\r\n",
)


def send_at(connection: socket.socket) -> str:
    """Send a mail; the answer to it."""
    with Talk(connection) as client:
        client.greet()
        answer = client.mail()
        client.say("QUIT", 221)
        assert client.line() == b""
    return answer


def at(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), timeout=20)


def at_path(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(20)
    made.connect(str(path))
    return made


@pytest.fixture
def folder():
    made = new_folder()
    yield made
    subprocess.run(["rm", "-rf", made], check=True)


@pytest.fixture
def recorder(folder) -> Recorder:
    return Recorder(folder)


def group() -> int:
    """A group that a unix socket can be given to by who runs the tests."""
    return grp.getgrnam("daemon").gr_gid if os.geteuid() == 0 else os.getegid()


# -- sockets of its own


def test_several_listeners(folder):
    ports = [free_port(), free_port()]
    words = ["--interface=127.0.0.1", "--interface=::1", *(f"--port={port}" for port in ports)]
    path, other = folder / "one", folder / "two"
    words += [f"--socket={path},mode=0600", f"--socket={other},mode=0660,group={group()}"]
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, -1)
    daemon = Msmtpd(*words)
    daemon.connect = lambda seconds=20: at("127.0.0.1", ports[0])  # type: ignore[method-assign]
    with daemon:
        for connection in [
            *(at(host, port) for host in ("127.0.0.1", "::1") for port in ports),
            at_path(path),
            at_path(other),
        ]:
            assert send_at(connection) == "250 2.0.0 Ok, mail was piped"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(other.stat().st_mode) == 0o660
        assert other.stat().st_gid == group()
        mails = daemon.mails(6)
        assert "[IPv6:::1]" in mails[2].received
        assert daemon.log().count("listening on ") == 6
    assert not path.exists()
    assert not other.exists()


def test_an_address_that_is_taken_is_told():
    with Msmtpd() as daemon:
        second = Msmtpd(f"--port={daemon.port}")
        second.prepare()
        try:
            second.start()
            assert second.process
            assert second.process.wait(20) == 69
            assert f"cannot listen on 127.0.0.1, port {daemon.port}: Address already in use" in second.errors()
        finally:
            second.kill()
            second.remove()


# -- systemd's


@pytest.fixture
def _library():
    """systemd's library for Python."""
    pytest.importorskip("systemd.daemon", reason="Debian builds it for its own Python, pip has nothing that is built")


def socket_activate() -> list[str]:
    found, environment = debian.program("systemd", "usr/bin/systemd-socket-activate")
    path = environment.get("LD_LIBRARY_PATH", "")
    return ["env", f"LD_LIBRARY_PATH={path}:{path}/systemd", str(found)] if path else [str(found)]


@pytest.mark.usefixtures("_library")
def test_socket_activation():
    """The tool waits for the first connection, then becomes msmtpd."""
    port = free_port()
    wrap = [*socket_activate(), f"--listen=127.0.0.1:{port}"]
    daemon = Msmtpd(f"--port={port}", wrap=wrap, expected=["Listening on"])
    daemon.connect = lambda seconds=20: at("127.0.0.1", port)  # type: ignore[method-assign]
    with daemon:
        assert send_at(daemon.connect()) == "250 2.0.0 Ok, mail was piped"
        (mail,) = daemon.mails(1)
        assert not [name for name in mail.environment if name.startswith(("LISTEN_", "NOTIFY_", "WATCHDOG_"))]
        assert f"listening on 127.0.0.1, port {port}" in daemon.log()


@pytest.mark.usefixtures("_library")
def test_socket_activation_a_process_each(folder, recorder):
    """Accept=yes: the connection is descriptor 3, and standard output is the tool's."""
    port = free_port()
    words = [str(launcher(folder)), "--inetd", f"--command={recorder.command}", f"--log={folder}/log"]
    words += ["--user=nobody"] if os.geteuid() == 0 else []
    recorder.order(before="echo before", after="echo after")
    tool = [*socket_activate(), "--accept", f"--listen=127.0.0.1:{port}", *words]
    with Daemon(tool, ready=listens(port), log=folder / "tool"):
        for _ in range(2):
            assert send_at(at("127.0.0.1", port)) == "250 2.0.0 Ok, mail was piped"
        mails = recorder.mails(2)
        assert mails[0].arguments == ["-f", "a@b.example", "--", "c@d.example"]
        assert mails[0].received.startswith("from me") or "127.0.0.1" in mails[0].received
        wait_for(lambda: (folder / "log").read_text().count("mails 1: quit") == 2, words="two ends")
    assert "Traceback" not in (folder / "tool").read_text() + (folder / "log").read_text()


HANDS_OVER = """
import os, sys
names, count = sys.argv[1], int(sys.argv[2])
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES=names)
os.execv(sys.argv[3], sys.argv[3:])
"""


def handed(sockets: list[socket.socket], names: str, words: list[str], **options: object) -> subprocess.Popen[str]:
    """Start msmtpd by a small parent that hands it these sockets, as descriptors 3 and so on."""
    moves = "".join(f"exec {10 + n}<&{each.fileno()}; " for n, each in enumerate(sockets))
    moves += "".join(f"exec {3 + n}<&{10 + n} {10 + n}<&-; " for n in range(len(sockets)))
    command = [sys.executable, "-c", HANDS_OVER, names, str(len(sockets)), *words]
    return subprocess.Popen(
        ["bash", "-c", moves + 'exec "$@"', "bash", *command],
        pass_fds=[each.fileno() for each in sockets],
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        **options,  # type: ignore[call-overload]
    )


@pytest.mark.usefixtures("_library")
def test_sockets_by_their_names(folder, recorder):
    """One of them named smtps speaks TLS from the first octet on; a unix socket is among them."""
    shown = certificates.localhost()
    words = [str(launcher(folder)), f"--command={recorder.command}", f"--log={folder}/log", "--status-socket=off"]
    words += [f"--tls-cert={shown.chain}", f"--tls-key={shown.key}"]
    words += ["--user=nobody"] if os.geteuid() == 0 else []
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        secure = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(str(folder / "unix"))
        unix.listen()
        process = handed([plain, secure, unix], "smtp:smtps:unix", words)
        try:
            assert send_at(at(*plain.getsockname())) == "250 2.0.0 Ok, mail was piped"
            context = shown.client_context()
            with smtplib.SMTP_SSL(*secure.getsockname(), context=context, timeout=20) as client:
                client.sendmail("a@b.example", "c@d.example", "Subject: hi\n\nho\n")
            assert send_at(at_path(folder / "unix")) == "250 2.0.0 Ok, mail was piped"
            assert "with ESMTPS" in recorder.mails(3)[1].received
        finally:
            process.terminate()
            _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")
        assert (folder / "unix").exists()  # it is systemd's


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize(
    ("kind", "words"),
    [(socket.SOCK_DGRAM, "is not a stream socket"), (socket.SOCK_STREAM, "does not listen")],
)
def test_sockets_that_cannot_be_served(kind, words, folder):
    with socket.socket(socket.AF_INET, kind) as wrong:
        wrong.bind(("127.0.0.1", 0))
        more = ["--user=nobody"] if os.geteuid() == 0 else []
        process = handed([wrong], "smtp", [str(launcher(folder)), *more])
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, words in errors) == (78, True), errors


class Manager:
    """What systemd would hear."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.setblocking(False)
        self.path.chmod(0o666)
        self.said: list[str] = []
        self.stored: list[int] = []

    def end_with_the_test(self) -> None:
        """Forget what was stored."""
        for descriptor in self.stored:
            os.close(descriptor)

    def hear(self) -> list[str]:
        """All that it was told so far, a datagram each."""
        while True:
            try:
                octets, descriptors, _, _ = socket.recv_fds(self.socket, 4096, 4)
            except BlockingIOError:
                return self.said
            self.said.append(octets.decode())
            self.stored += descriptors

    def wait(self, words: str) -> str:
        """Wait for a datagram with these words."""
        return str(wait_for(lambda: next((each for each in self.hear() if words in each), ""), words=words))


@pytest.fixture
def manager(folder):
    made = Manager(folder)
    yield made
    made.socket.close()


@pytest.mark.usefixtures("_library")
def test_the_service_manager_is_told(manager):
    told = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000"}
    with Msmtpd("--auth=user,echo secret", environment=told) as daemon:
        assert "STATUS=1 listeners, 16 slots" in manager.wait("READY=1")
        manager.wait("WATCHDOG=1")
        assert "FDNAME=throttle" in manager.wait("FDSTORE=1")
        with daemon.smtp() as client:
            client.login("user", "secret")
            client.sendmail("a@b.example", "c@d.example", "Subject: hi\n\nho\n")
        assert "1 mails delivered" in manager.wait("1 mails delivered")
        assert "NOTIFY_SOCKET" not in daemon.mails(1)[0].environment
        os.kill(daemon.keeper, signal.SIGHUP)
        assert "MONOTONIC_USEC=" in manager.wait("RELOADING=1")
        wait_for(lambda: sum("READY=1" in each for each in manager.hear()) == 2, words="a second READY=1")
        with daemon.smtp() as client:
            client.login("user", "secret")
        daemon.settled()
        daemon.baseline = daemon.settled()
    assert [each for each in manager.hear() if "STOPPING=1" in each]
    assert not [each for each in manager.hear() if "MAINPID" in each]
    assert [os.readlink(f"/proc/self/fd/{number}") for number in manager.stored] == ["/memfd:msmtpd-throttle (deleted)"]


# -- inetd's

XINETD = """service smtp-test
{{
    type = UNLISTED
    port = {port}
    bind = 127.0.0.1
    socket_type = stream
    protocol = tcp
    wait = no
    user = {user}
    server = {program}
    server_args = --inetd --config={options}
}}
"""
SERVERS = {
    "openbsd-inetd": (
        "usr/sbin/inetd",
        ["-i"],
        "127.0.0.1:{port} stream tcp nowait {user} {program} msmtpd --inetd --config={options}\n",
    ),
    "xinetd": (
        "usr/sbin/xinetd",
        ["-dontfork", "-f"],
        XINETD,
    ),
}


@pytest.mark.root
@pytest.mark.parametrize("sandbox", ["require", "off"])
@pytest.mark.parametrize("who", ["nobody", "root"])
@pytest.mark.parametrize("name", SERVERS)
def test_inetd(name, who, sandbox, folder, recorder):
    """What the command prints reaches nobody; as root, msmtpd becomes somebody else by itself.

    The worker is a child of what runs the command.  It outlives the first mail, though no sandbox keeps signals from it.
    """
    path, words, text = SERVERS[name]
    port, options = free_port(), folder / "options"
    log = folder / "log"
    log.touch()
    os.chown(log, NOBODY, -1)
    options.write_text(
        f"command {recorder.command}\nlog {log}\nsandbox {sandbox}\n" + ("user nobody\n" if who == "root" else "")
    )
    recorder.order(before="echo before; echo before >&2", after="echo after; echo after >&2")
    (folder / "conf").write_text(
        text.format(port=port, user=who, program=launcher(folder, for_others=True), options=options)
    )
    program, environment = debian.program(name, path)
    with Daemon([program, *words, folder / "conf"], ready=listens(port), log=folder / "inetd", environment=environment):
        with at("127.0.0.1", port) as connection:
            said = b""
            for line in (*CLIENT_SAYS[:-1], *CLIENT_SAYS[1:]):
                while not (said.endswith(b"\n") and said.splitlines()[-1][3:4] == b" "):
                    block = connection.recv(4096)
                    assert block, said
                    said += block
                connection.sendall(line)
                said += b"|\n"
            while block := connection.recv(4096):
                said += block
        assert b"before" not in said
        assert b"after" not in said
        assert said.endswith(b"|\n250 2.0.0 Ok, mail was piped\r\n|\n221 2.0.0 Bye\r\n")
        assert said.count(b"|\n250 2.0.0 Ok, mail was piped\r\n") == 2
        mail, _ = recorder.mails(2)
        assert mail.content == b"Subject: hi\n\nho\n"
        assert mail.user.startswith(f"uid={NOBODY}")
        assert "127.0.0.1" in mail.received
        wait_for(lambda: "mails 2: quit" in log.read_text(), words="the end of the session")
    assert "Traceback" not in log.read_text() + (folder / "inetd").read_text()


@pytest.mark.parametrize("before", [[], ["env", "--ignore-signal=CHLD"]], ids=["plain", "ends of children unasked for"])
def test_standard_input_and_output_may_be_pipes(before, folder, recorder):
    words = [*before, str(launcher(folder)), "--inetd", f"--command={recorder.command}"]
    words += ["--user=nobody"] if os.geteuid() == 0 else []
    recorder.order(before="echo before", after="echo after")
    done = subprocess.run(words, input=b"".join(CLIENT_SAYS), capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line[:3] for line in done.stdout.splitlines() if line[3:4] == b" "] == [
        *(b"220", b"250", b"250", b"250", b"354", b"250", b"221")
    ]
    assert recorder.mails(1)[0].content == b"Subject: hi\n\nho\n"


def test_behind_pipes_the_last_words_are_passed_on_though_nobody_reads_what_the_client_still_says():
    """As with a 421 at once: there is input, and the session is over."""
    session, ours = socket.socketpair()
    client, writes = os.pipe()
    reads, says = os.pipe()
    os.write(says, b"QUIT\r\n")
    session.sendall(b"421 4.3.2 x\r\n")
    session.close()
    copy(reads, writes, ours)
    ours.close()
    assert os.read(client, 100) == b"421 4.3.2 x\r\n"
    for each in (client, writes, reads, says):
        os.close(each)


def test_sessions_of_inetd_share_slots_where_the_daemon_has_a_folder(folder, recorder):
    """There are 16; when all are taken the next is told so at once."""
    words = [str(launcher(folder)), "--inetd", f"--command={recorder.command}"]
    words += ["--user=nobody"] if os.geteuid() == 0 else []
    environment = {**os.environ, "RUNTIME_DIRECTORY": str(folder)}

    def first_words():
        done = subprocess.run(words, input=b"QUIT\r\n", capture_output=True, timeout=30, check=False, env=environment)
        return done.stdout[:4]

    assert first_words() == b"220 "
    with contextlib.ExitStack() as held:
        for _ in range(16):
            held.callback(os.close, take_by_lock(f"{folder}/slots", 16))
        assert first_words() == b"421 "
    assert first_words() == b"220 "


# -- in the background


def ended(pid: int) -> None:
    """Tell a process that is nobody's child here to end, and wait for it."""
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not is_there(pid), words="its end")


def test_in_the_background(folder, recorder):
    """Who starts it learns when it serves; a second one finds the pidfile locked; both are gone afterwards."""
    port, pidfile = free_port(), folder / "pid"
    words = [str(launcher(folder)), f"--port={port}", f"--command={recorder.command}", "--daemon"]
    words += [f"--pidfile={pidfile}", f"--log={folder}/log", "--status-socket=off"]
    words += ["--user=nobody"] if os.geteuid() == 0 else []
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = int(pidfile.read_text())
    try:
        assert title(pid) == "msmtpd: keeper"
        assert os.getsid(pid) != os.getsid(0)
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)} == {"/dev/null"}
        assert send_at(at("127.0.0.1", port)) == "250 2.0.0 Ok, mail was piped"
        recorder.mails(1)
        again = subprocess.run(
            [word.replace(str(port), str(free_port())) for word in words],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert again.returncode == 69
        assert again.stderr.startswith(f"msmtpd: msmtpd runs already as process {pid}: {pidfile} is locked\n")
    finally:
        ended(pid)
    assert not pidfile.exists()
    assert "Traceback" not in (folder / "log").read_text()


@pytest.mark.parametrize(
    ("option", "code", "words"),
    [
        ("--command='", 64, "invalid argument ' for --command"),
        ("--interface=192.0.2.77", 69, "cannot listen on 192.0.2.77, port"),
        ("--log=/nowhere/log", 78, "/nowhere"),
        ("--auth=user,exit 3", 78, "cannot read output of 'exit 3'"),
    ],
)
def test_who_starts_it_in_the_background_learns_of_a_failure(option, code, words, folder):
    command = [str(launcher(folder)), f"--port={free_port()}", "--daemon", f"--pidfile={folder}/pid", option]
    command += ["--user=nobody"] if os.geteuid() == 0 else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, words in done.stderr) == (code, True), (done.returncode, done.stderr)
    assert not (folder / "pid").exists()


@pytest.mark.root
def test_start_stop_daemon(folder, recorder):
    """The manual's 11.1, with its options."""
    port, pidfile = free_port(), folder / "pid"
    start = ["start-stop-daemon", "--start", "--pidfile", pidfile, "--make-pidfile", "--chuid", "nobody"]
    start += [
        "--background",
        "--exec",
        launcher(folder, for_others=True),
        "--",
        f"--port={port}",
        "--command",
        recorder.command,
    ]
    subprocess.run(start, check=True, timeout=30)
    pid = int(wait_for(lambda: pidfile.exists() and pidfile.read_text().strip()))  # type: ignore[call-overload]
    try:
        wait_for(listens(port), words="a listening msmtpd")
        assert send_at(at("127.0.0.1", port)) == "250 2.0.0 Ok, mail was piped"
        assert recorder.mails(1)[0].user.startswith(f"uid={NOBODY}")
        assert role(pid) == "keeper"
    finally:
        stop = ["start-stop-daemon", "--stop", "--pidfile", pidfile, "--remove-pidfile", "--quiet", "--signal", "TERM"]
        assert subprocess.run(stop, check=False, timeout=30).returncode == 0
        wait_for(lambda: not is_there(pid), words="its end")
    assert not pidfile.exists()


@pytest.mark.parametrize("command", [[], ["--command=/bin/true"]], ids=["warm", "a command"])
def test_a_daemon_whose_delivery_cannot_work_does_not_start(folder, command):
    """It is not ready before every process has said that it is: one that ends at once must not be started for ever."""
    words = [str(launcher(folder)), "--port=0", "--spool=/nonexistent", "--status-socket=off", *command]
    words += ["--user=nobody"] if os.geteuid() == 0 else []
    for _ in range(3):
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 78
        assert done.stderr.startswith("msmtpd: cannot use /nonexistent for large mails: No such file or directory\n")


def test_a_status_that_nobody_tells_is_temporary(folder):
    done = subprocess.run(
        [str(launcher(folder)), f"--status={folder}/none"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 75
    assert "is it running" in done.stderr
