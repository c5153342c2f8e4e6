"""Delivery as a service of its own: --deliver behind a socket, --deliver-by on the other side."""

from __future__ import annotations

import contextlib
import os
import pwd
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import abuse
from tests.support.daemon import Msmtpd, launcher, new_folder
from tests.support.processes import wait_for

from msmtp.config.daemon_settings import Settings
from msmtp.daemon import relay, requests
from msmtp.daemon.channel import Channel, ChannelGone, pair
from msmtp.daemon.journal import Journal
from msmtp.daemon.loop import Loop

NOBODY = pwd.getpwnam("nobody").pw_uid
RESTARTED = ("cannot reach delivery", "process delivery ended")

# Hands a listening socket over as systemd does: as descriptor 3, and LISTEN_PID is whoever is run.  Nobody asks how its
# children end, unlike with systemd.
HAND_OVER = """
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="delivery")
os.execv(sys.argv[2], sys.argv[2:])
"""

CONNECT = """
import socket, sys
connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
connection.connect(sys.argv[1])
print(connection.recv(1))
"""


class Service:
    """msmtpd --deliver, on a socket that outlives it.  ``kind`` of the socket."""

    def __init__(self, *options: str, kind: int = socket.SOCK_SEQPACKET) -> None:
        self.folder = new_folder()
        self.program = launcher(self.folder)
        self.path = self.folder / "delivery"
        self.log_file = self.folder / "log"
        self.options = options
        self.listener = socket.socket(socket.AF_UNIX, kind)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.path.chmod(0o777)
        self.process: subprocess.Popen[str] | None = None

    def start(self, command: str) -> None:
        user = [] if os.geteuid() else ["--user=nobody"]
        words = [self.program, "--deliver", f"--command={command}", f"--log={self.log_file}", *user, *self.options]
        number = self.listener.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-c", HAND_OVER, str(number), *words],
            pass_fds=[number], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/",
        )  # fmt: skip

    def stop(self) -> int:
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.errors = self.process.communicate(timeout=30)[1]
        return self.process.returncode

    def log(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""

    def end_with_the_test(self) -> None:
        if self.process and self.process.returncode is None:
            self.process.kill()
            self.process.communicate()
        self.listener.close()


@pytest.fixture
def service() -> Service:
    return Service()


@contextlib.contextmanager
def front(service: Service, *options: str, **more: object) -> Iterator[Msmtpd]:
    """An msmtpd before it; its recorder is the service's command."""
    with Msmtpd(f"--deliver-by={service.path}", *options, **more) as daemon:  # type: ignore[arg-type]
        if service.process is None:
            service.start(daemon.recorder.command)
        yield daemon


def test_mails_get_to_the_service_and_are_counted_by_the_daemon(service):
    with front(service) as daemon:
        with daemon.talk() as client:
            client.greet()
            assert client.mail() == "250 2.0.0 Ok, mail was piped"
            daemon.order(after="echo later; exit 75")
            assert client.mail(code=451).endswith("later")
            client.say("QUIT", 221)
        assert len(daemon.mails(2)) == 2
        assert (daemon.status()["delivered"], daemon.status()["deferred"], daemon.status()["running"]) == (1, 1, 0)
        assert service.stop() == 0
        daemon.expected.extend(RESTARTED)
    assert "taken in" in service.log()


def test_a_large_mail_goes_to_a_file_of_the_service(service):
    with front(service, "--max-size=8m") as daemon:
        content = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 200_000
        with daemon.talk() as client:
            client.greet()
            client.mail(content)
        assert len(daemon.mails(1)[0].content) == len(content) - content.count(b"\r")
        assert daemon.status()["spilled"] == 1


def test_a_restart_of_the_service_loses_no_mail(service):
    with front(service) as daemon, daemon.talk() as busy, daemon.talk() as idle:
        daemon.expected.extend(RESTARTED)
        idle.greet()
        idle.mail()
        busy.greet()
        busy.envelope()
        busy.send(b"Subject: under way\r\n\r\n")
        command = daemon.recorder.command
        first = service.process
        assert first
        first.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping" in service.log())
        busy.say(".", "250")  # it is waited for
        first.communicate(timeout=30)
        assert first.returncode == 0
        idle.say("MAIL FROM:<a@b.example>", 250)
        idle.say("RCPT TO:<c@d.example>", 250)
        idle.say("DATA")
        if idle.reply.startswith("354"):
            idle.send(b"x: y\r\n")
            idle.say(".")
        assert idle.reply.startswith("451")
        wait_for(lambda: "process delivery ended" in daemon.log())
        service.start(command)
        with daemon.talk() as client:  # who comes meanwhile waits
            client.greet()
            client.mail()
        assert len(daemon.mails(3)) == 3


def test_an_inetd_session_hands_its_mail_to_the_service(service):
    with front(service) as daemon:  # for its recorder
        talk = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nSubject: s\r\n\r\nt\r\n.\r\nQUIT\r\n"
        user = [] if os.geteuid() else ["--user=nobody"]
        done = subprocess.run(
            [daemon.program, "--inetd", f"--deliver-by={service.path}", "--command=false", *user],
            input=talk, capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert b"250 2.0.0 Ok, mail was piped" in done.stdout
        assert daemon.mails(1)[0].content == b"Subject: s\n\nt\n"


def said_and_heard(channel: Channel, count: int) -> int:
    """Say CONTROL at a way to the service, and PING at what came of it; what is answered."""
    ours, theirs = pair()
    control = Channel(ours)
    try:
        channel.send(requests.CONTROL, descriptors=(theirs,))
        os.close(theirs)
        control.send(requests.PING, count)
        return control.receive((requests.PONG,)).number("count")
    except ChannelGone:
        return 0
    finally:
        control.close()


@pytest.mark.root
def test_a_relay_is_served_on_though_there_was_no_descriptor_for_what_it_brought(service):
    service.start("true")
    settings = Settings()
    settings.deliver_by = str(service.path)
    channel = relay.connect(settings)
    assert said_and_heard(channel, 1) == 1
    with abuse.limited(service.process.pid, resource.RLIMIT_NOFILE, abuse.next_descriptor(service.process.pid)):
        assert said_and_heard(channel, 2) == 0
    assert said_and_heard(channel, 3) == 3
    channel.close()
    assert "could not be taken" in service.log()
    assert service.stop() == 0


@pytest.mark.root
def test_who_comes_while_there_is_no_descriptor_waits_and_costs_nothing(service):
    service.start("true")
    settings = Settings()
    settings.deliver_by = str(service.path)
    first = relay.connect(settings)
    assert said_and_heard(first, 1) == 1
    with abuse.limited(service.process.pid, resource.RLIMIT_NOFILE, abuse.next_descriptor(service.process.pid)):
        second = relay.connect(settings)
        wait_for(lambda: "cannot accept" in service.log())
        before = abuse.processor_time(service.process.pid)
        time.sleep(1)
        assert abuse.processor_time(service.process.pid) - before < 0.2
    assert said_and_heard(second, 2) == 2
    for channel in (first, second):
        channel.close()
    assert service.stop() == 0


def test_a_way_to_the_service_blocks(service):
    settings = Settings()
    settings.deliver_by = str(service.path)
    channel = relay.connect(settings)
    assert os.get_blocking(channel.fileno())
    channel.close()


def test_a_relay_waits_while_the_service_has_no_room():
    """As at a service that does not read for a while; the keeper's word comes when it does, and comes once."""
    ways = [Channel(each) for each in (*pair(), *pair())]
    keeper, behind, before, service = ways
    passed_on = os.open(os.devnull, os.O_RDONLY)
    loop = Loop()
    relay.Relay(loop, behind, before, Journal())
    full = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            before.send(requests.NAMES, descriptors=(passed_on,))
            full += 1
    keeper.send(requests.CONTROL, descriptors=(passed_on,))
    keeper.send(requests.NAMES, descriptors=(passed_on,))
    for _ in range(3):
        loop.turn(1)
    service.set_blocking(False)
    names = []
    for _ in range(10):
        with contextlib.suppress(BlockingIOError):
            while message := service.receive((requests.CONTROL, requests.NAMES)):
                message.close()
                names.append(message.name)
        loop.turn(0.1)
    assert names[full:] == ["CONTROL", "NAMES"]
    for way in ways:
        way.close()
    os.close(passed_on)


@pytest.mark.root
def test_a_stranger_is_not_served(service):
    service.options = ("--user=daemon",)
    with front(service, user="daemon") as daemon:
        asked = subprocess.run(
            [sys.executable, "-c", CONNECT, service.path],
            user=NOBODY, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert asked.stdout == "b''\n", asked.stderr
        wait_for(lambda: "refused connection from user nobody" in service.log())
        with daemon.talk() as client:
            client.greet()
            client.mail()


def test_without_the_service_nothing_starts(tmp_path: Path):
    folder = new_folder()
    user = [] if os.geteuid() else ["--user=nobody"]
    done = subprocess.run(
        [launcher(folder), "--port=0", f"--deliver-by={folder}/nowhere", *user],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 78
    assert f"cannot reach delivery at {folder}/nowhere: No such file or directory" in done.stderr


def test_it_wants_a_socket_of_packets():
    service = Service(kind=socket.SOCK_STREAM)
    service.start("true")
    assert service.process
    service.process.wait(30)
    assert service.stop() == 78
    assert "not one for --deliver" in service.errors
    service.listener.close()
