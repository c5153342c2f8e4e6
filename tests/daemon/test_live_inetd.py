"""--inetd that is told to end: by SIGTERM, as systemctl stop does it, or by the death of the process that was started.

What was started has become what runs the command, and the kernel may keep its signals from all that it has not forked
since; the worker is told all the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest
from tests.support.daemon import Recorder, children, launcher, new_folder
from tests.support.processes import wait_for

SHUTTING_DOWN = b"421 4.3.2 Service shutting down\r\n"
PIPED = b"250 2.0.0 Ok, mail was piped\r\n"


class Inetd:
    """``client``: what talks to it; ``main``: the process that inetd would have started."""

    def __init__(self, folder, recorder, sandbox):
        self.client, theirs = socket.socketpair()
        self.client.settimeout(20)
        self.log, self.errors = folder / "log", folder / "errors"
        self.log.touch()
        self.log.chmod(0o666)
        words = [launcher(folder), "--inetd", f"--command={recorder.command}", f"--sandbox={sandbox}"]
        words += [f"--log={self.log}", *(["--user=nobody"] if os.geteuid() == 0 else [])]
        with theirs, self.errors.open("wb") as errors:
            self.main = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=errors)
        self.hear(b"220 ")

    def hear(self, start, *, lines=1):
        """Lines, the last of which begins so; what they are."""
        heard = b""
        while heard.count(b"\n") < lines or not heard.endswith(b"\n"):
            block = self.client.recv(4096)
            assert block, (heard, self.errors.read_text())
            heard += block
        assert heard.splitlines()[-1].startswith(start), heard
        return heard

    def say(self, line, start):
        self.client.sendall(line + b"\r\n")
        return self.hear(start)

    def data(self):
        for line, start in (
            (b"HELO x", b"250 "),
            (b"MAIL FROM:<a@b.example>", b"250 "),
            (b"RCPT TO:<c@d.example>", b"250 "),
        ):
            self.say(line, start)
        self.say(b"DATA", b"354 ")

    def ended(self):
        assert self.main.wait(20) == 0
        assert self.client.recv(100) == b""
        assert self.errors.read_bytes() == b""
        assert "Traceback" not in self.log.read_text()
        assert ": shutting down" in self.log.read_text()


@pytest.fixture
def folder():
    made = new_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture
def recorder(folder):
    return Recorder(folder)


@pytest.fixture(params=["try", "off"])
def inetd(request, folder, recorder):
    made = Inetd(folder, recorder, request.param)
    yield made
    made.client.close()
    with contextlib.suppress(ProcessLookupError):
        made.main.kill()
    made.main.wait()


def test_told_while_nothing_goes_on_it_says_so(inetd):
    inetd.say(b"HELO x", b"250 ")
    inetd.main.send_signal(signal.SIGTERM)
    assert inetd.hear(b"421 ") == SHUTTING_DOWN
    inetd.ended()


def test_told_within_a_mail_it_takes_the_rest_of_it(inetd, recorder):
    inetd.data()
    inetd.client.sendall(b"half\r\n")
    inetd.main.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    inetd.client.sendall(b"and half\r\n.\r\n")
    assert inetd.hear(b"421 ", lines=2) == PIPED + SHUTTING_DOWN
    inetd.ended()
    assert recorder.mails(1)[0].content == b"half\nand half\n"


def test_told_while_the_command_runs_it_says_what_came_of_it(inetd, recorder):
    recorder.order(before=f"touch {recorder.folder}/mails/.began; sleep 1")
    inetd.data()
    inetd.client.sendall(b"all\r\n.\r\n")
    wait_for((recorder.folder / "mails" / ".began").exists, words="the command")
    inetd.main.send_signal(signal.SIGTERM)
    assert inetd.hear(b"421 ", lines=2) == PIPED + SHUTTING_DOWN
    inetd.ended()
    assert recorder.mails(1)[0].content == b"all\n"


def test_a_worker_whose_process_of_all_else_is_gone_leaves_its_client(inetd):
    inetd.say(b"HELO x", b"250 ")
    (worker,) = children(inetd.main.pid)
    inetd.main.kill()
    assert inetd.hear(b"421 ") == SHUTTING_DOWN
    assert inetd.client.recv(100) == b""
    wait_for(lambda: not os.path.exists(f"/proc/{worker}"), words="its end")
