"""A worker as it really runs: forked, in its role, from the connection to its end."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.inside import PYTHONS
from tests.support.worker_ends import PASSWORD, Confined, settings

from msmtp.daemon import requests as rows
from msmtp.daemon import worker

TOP = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def _warm():
    worker.warm(settings())
    yield
    gc.unfreeze()


@contextmanager
def confined(made=None, flags=0, **how):
    """A worker that has been handed a connection."""
    ends = Confined(made, flags, **how)
    ends.connect()
    try:
        yield ends
    finally:
        ends.client.close()
        ends.status()


ENVELOPE = ("EHLO client.example", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.org>")


def test_a_session_in_the_sandbox():
    with confined() as ends:
        assert ends.hear() == "220 mx.example ESMTP"
        assert ends.code(*ENVELOPE, "DATA") == 354
        assert ends.code("Subject: x\r\n\r\nbody\r\n.") == 250
        assert ends.code("QUIT") == 221
        assert ends.status() == 0
    assert ends.delivery.mails == [b"Subject: x\n\nbody\n"]
    assert ends.supervisor.ended == ("quit", 1, 0)


def test_all_that_a_session_may_hold_in_the_sandbox():
    """Authentication, chunks, errors, a file that is too small, notes, what is beyond ASCII."""
    with confined(flags=rows.WITH_AUTH | rows.SECURE_PATH, delivery={"room": 10}, tcp=True) as ends:
        ends.hear()
        assert ends.code("EHLO c", "AUTH PLAIN " + b64encode(b"\0user\0wrong").decode()) == 535
        assert ends.code("AUTH LOGIN", "dXNlcg==", b64encode(PASSWORD.encode()).decode()) == 235
        assert ends.code("MAIL FROM:<ä@example.org> SMTPUTF8 SIZE=100".encode() + b"\r\n", ENVELOPE[2]) == 250
        assert ends.code(b"RCPT TO:<\xff@example.org>\r\n") >= 500
        assert ends.code(b"BDAT 9\r\nabcdef\r\ng") == 250
        assert ends.code(b"BDAT 12 LAST\r\n\r\nabcdefgh\r\n") == 250
        assert ends.code(*ENVELOPE[1:], "DATA") == 354
        assert ends.code(b"x" * 1_000_000 + b"\0\r\n.\r\n") == 550
        assert ends.code("VRFY x", "HELP", "RSET", "QUIT") == 221
        assert ends.status() == 0
    assert ends.delivery.mails == [b"abcdef\ng\nabcdefgh\n"]
    assert ends.supervisor.ended == ("quit", 1, 1)


def test_fault_52_a_file_cannot_grow_beyond_the_workers_limit(monkeypatch):
    monkeypatch.setattr(worker, "_FILE_ROOM", -50_000)
    with confined(settings(max_size=100_000)) as ends:
        ends.hear()
        assert ends.code(*ENVELOPE, "DATA") == 354
        assert ends.ask(b"x" * 90_000 + b"\r\n.\r\n") == "452 4.3.1 Not enough storage"
        assert ends.code(*ENVELOPE[1:], "DATA", "x\r\n.") == 250
        assert ends.code("QUIT") == 221
        assert ends.status() == 0


# SIGTERM.


def test_a_worker_that_waits_ends_at_once():
    ends = Confined()
    time.sleep(0.3)
    os.kill(ends.child, signal.SIGTERM)
    assert ends.status() == 0
    ends.give_up()


@pytest.mark.parametrize("said", [(), ENVELOPE[:1], ENVELOPE])
def test_outside_of_a_mail_the_client_is_told_421(said):
    with confined() as ends:
        ends.hear()
        ends.ask(*said)
        os.kill(ends.child, signal.SIGTERM)
        assert ends.hear() == "421 4.3.2 Service shutting down"
        assert ends.hear() == "(end)"
        ends.client.close()
        assert ends.status() == 0
    assert ends.supervisor.ended[0] == "shutting down"


def test_a_mail_is_finished_first():
    with confined() as ends:
        ends.hear()
        assert ends.code(*ENVELOPE, "DATA") == 354
        os.kill(ends.child, signal.SIGTERM)
        time.sleep(0.2)
        ends.say("first")
        os.kill(ends.child, signal.SIGTERM)
        time.sleep(0.2)
        assert ends.ask("second\r\n.") == "250 2.0.0 Ok, mail was piped"
        assert ends.hear() == "421 4.3.2 Service shutting down"
        ends.client.close()
        assert ends.status() == 0
    assert ends.delivery.mails == [b"first\nsecond\n"]


def test_a_mail_whose_command_runs_is_finished_first():
    def slow(delivery, message):
        os.kill(ends.child, signal.SIGTERM)
        time.sleep(0.3)
        delivery.on_commit(message)

    with confined(delivery={"script": {"COMMIT": slow}}) as ends:
        ends.hear()
        assert ends.code(*ENVELOPE, "DATA", "x\r\n.") == 250
        assert ends.hear().startswith("421")
        ends.client.close()
        assert ends.status() == 0
    assert ends.delivery.mails == [b"x\n"]


def test_fault_71_a_storm_of_signals_changes_nothing():
    with confined() as ends:
        ends.hear()
        assert ends.code(*ENVELOPE, "DATA") == 354
        until = time.monotonic() + 1
        while time.monotonic() < until:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGCHLD):
                os.kill(ends.child, number)
            ends.say(b"x" * 100 + b"\r\n")
        assert ends.code(".") == 250
        ends.client.close()
        assert ends.status() == 0


@pytest.mark.parametrize("stage", ["start", "DATA", "content", "COMMIT"])
def test_fault_62_63_a_worker_that_is_killed(stage):
    """Nothing is delivered of what was not committed; what was is."""

    def kill(delivery, message):
        os.kill(ends.child, signal.SIGKILL)
        time.sleep(0.1)
        delivery.on_commit(message)

    with confined(delivery={"script": {"COMMIT": kill}}) as ends:
        ends.hear()
        if stage != "start":
            assert ends.code(*ENVELOPE, "DATA") == 354
        if stage in {"content", "COMMIT"}:
            ends.say("x")
        if stage == "COMMIT":
            ends.say(".")
        else:
            time.sleep(0.1)
            os.kill(ends.child, signal.SIGKILL)
        assert ends.hear() == "(end)"
        assert ends.status() == -signal.SIGKILL
    assert ends.delivery.mails == [b"x\n"] * (stage == "COMMIT")
    assert ends.supervisor.ended is None


def test_a_supervisor_that_is_gone_ends_a_worker_that_waits():
    ends = Confined()
    ends.supervisor.channel._socket.shutdown(socket.SHUT_RDWR)
    assert ends.status() == 0
    ends.give_up()


def test_junk_from_the_supervisor_ends_it_too():
    ends = Confined()
    ends.supervisor.channel._socket.send(b"junk")
    assert ends.status() == 0
    ends.give_up()


# What it asks of the kernel.

CALLS = {"poll", "recvfrom", "recvmsg", "sendto", "write", "close", "getsockname", "exit_group"}
"""All that a plain session takes."""

MORE = {"brk", "mmap", "munmap", "mremap", "madvise", "shutdown", "rt_sigreturn", "restart_syscall"}
"""What memory, a last word and signals take."""

SESSION = """
import sys
sys.path[:0] = {path!r}
from tests.support.worker_ends import Confined, settings
from msmtp.daemon import worker
ENVELOPE = {envelope!r}
worker.warm(settings())
ends = Confined(tcp=True)
ends.connect()
print(ends.child, flush=True)
ends.hear()
ends.ask(ENVELOPE[0])
for _ in range({mails}):
    assert ends.code(*ENVELOPE[1:], "DATA", "Subject: x\\r\\n\\r\\nbody\\r\\n.") == 250
if {badly}:
    assert ends.code("BAD", "NOPE") == 500
    assert ends.code(b"\\xff\\r\\n") == 421
else:
    assert ends.code("QUIT") == 221
ends.client.close()
sys.exit(ends.status())
"""


def session(mails, badly=False):
    return SESSION.format(path=[str(TOP / "src"), str(TOP)], mails=mails, badly=badly, envelope=ENVELOPE)


def traced(folder, mails, badly=False):
    """The system calls of a session's worker, in order, from the moment that it was confined."""
    record = folder / "record"
    code = session(mails, badly)
    done = subprocess.run(
        ["strace", "-f", "-o", record, sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, check=False, cwd=TOP,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    child = done.stdout.split()[0]
    lines = [line.split(None, 1)[1] for line in record.read_text().splitlines() if line.split()[0] == child]
    start = max(number for number, line in enumerate(lines) if line.startswith(("seccomp(", "prctl(PR_SET_SECCOMP")))
    return [line.partition("(")[0] for line in lines[start + 1 :] if line[0].isalpha()]


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_fault_78_a_session_takes_few_calls_and_no_others(tmp_path):
    plain = traced(tmp_path, 1)
    assert set(plain) <= CALLS
    more = traced(tmp_path, 11)
    assert set(more) <= CALLS
    a_mail = (len(more) - len(plain)) / 10
    assert a_mail <= 26, a_mail
    assert len(plain) - a_mail <= 20
    assert set(traced(tmp_path, 1, badly=True)) <= CALLS | MORE


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    "environment", [{}, {"PYTHONMALLOC": "malloc", "MALLOC_PERTURB_": "85"}, {"PYTHONMALLOC": "debug"}]
)
@pytest.mark.parametrize("badly", [False, True])
def test_other_pythons_and_allocators_serve_alike(python, environment, badly):
    """What a session needs is loaded before, whichever Python it is: a call too many would end it."""
    done = subprocess.run(
        [python, "-B", "-W", "ignore", "-c", session(2, badly)],
        capture_output=True, text=True, timeout=60, check=False, cwd=TOP, env={**os.environ, **environment},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_many_mails_take_no_more_memory():
    with confined() as ends:
        ends.hear()
        ends.ask(ENVELOPE[0])

        def serve(count):
            for _ in range(count):
                assert ends.code(*ENVELOPE[1:], "DATA", b"x" * 70_000 + b"\r\n.\r\n") == 250
            with open(f"/proc/{ends.child}/smaps_rollup") as report:
                return next(int(line.split()[1]) for line in report if line.startswith("Rss"))

        before = serve(400)
        assert serve(400) - before < 200  # KiB; a reference cycle a mail would take more
        assert ends.code("QUIT") == 221
