"""Attacks on the password and on the ways between the processes, against the real daemon."""

from __future__ import annotations

import base64
import os
import random
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain

import pytest
from tests.support import intruder
from tests.support.daemon import Msmtpd
from tests.support.processes import wait_for

from msmtp.daemon import requests

AUTH = "--auth=user,echo secret"
NEEDS_ROOT = pytest.mark.root


def plain(user: bytes | str, password: bytes | str) -> str:
    user, password = (each.encode() if isinstance(each, str) else each for each in (user, password))
    return "AUTH PLAIN " + base64.b64encode(b"\0" + user + b"\0" + password).decode()


RIGHT, WRONG = plain("user", "secret"), plain("user", "guess")


@pytest.fixture
def daemon():
    with Msmtpd(AUTH) as running:
        yield running


def seconds_of(client, line, code):
    begun = time.monotonic()
    client.say(line, code)
    return time.monotonic() - begun


def guess_until(client, ended):
    """When each guess was answered, until then or until nobody answers any more."""
    answered = []
    client.connection.settimeout(4)
    try:
        while time.monotonic() < ended and client.say(WRONG)[:3] == "535":
            answered.append(time.monotonic())
    except OSError:  # it took too long
        pass
    return answered


def test_fault_31_33_sessions_side_by_side_guess_no_faster(daemon):
    clients = [daemon.talk() for _ in range(8)]  # all of them open before the first failure
    for client in clients:
        client.greet()
    ended = time.monotonic() + 4
    with ThreadPoolExecutor(8) as pool:
        answers = list(chain(*pool.map(lambda client: guess_until(client, ended), clients)))
    for client in clients:
        client.connection.close()
    assert 1 <= len([when for when in answers if when <= ended]) <= 5  # one at once, then at most one a second
    daemon.exit_code = -signal.SIGKILL
    daemon.kill()  # for the rest of the guesses would be answered, each in its turn


def test_fault_32_nothing_tells_an_unknown_user_from_a_wrong_password():
    replies = set()
    for line in (WRONG, plain("nobody", "guess")):
        with Msmtpd(AUTH) as daemon, daemon.talk() as client:
            client.greet()
            client.say(line, 535)
            replies.add(client.reply)
    assert len(replies) == 1


@NEEDS_ROOT
def test_fault_34_one_who_fails_does_not_hold_another_up(daemon):
    with daemon.talk() as client:
        client.greet()
        client.say(WRONG, 535)
    script = (
        "import socket,sys,time\n"
        f"s=socket.create_connection(('127.0.0.1',{daemon.port})); f=s.makefile('rwb',0)\n"
        "f.readline(); f.write(b'EHLO x\\r\\n')\n"
        "while f.readline()[3:4]==b'-': pass\n"
        f"t=time.monotonic(); f.write({RIGHT.encode()!r}+b'\\r\\n'); print(f.readline()[:3].decode(), time.monotonic()-t)\n"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-c", script], user=61_234, group=61_234, extra_groups=[], capture_output=True,
        text=True, check=True, timeout=30,
    )  # fmt: skip
    code, seconds = run.stdout.split()
    assert code == "235"
    assert float(seconds) < 1.5


PLAINS = {
    "not base64": ("AUTH PLAIN !!!!", "501"),
    "half of base64": ("AUTH PLAIN AHVzZXI", "501"),
    "no NUL": ("AUTH PLAIN " + base64.b64encode(b"usersecret").decode(), "5"),
    "three NULs": ("AUTH PLAIN " + base64.b64encode(b"\0user\0secret\0").decode(), "5"),
    "empty password": (plain("user", ""), "5"),
    "empty response": ("AUTH PLAIN =", "5"),
    "as another": ("AUTH PLAIN " + base64.b64encode(b"root\0user\0secret").decode(), "5"),
    "not a mechanism": ("AUTH PLAINX", "504"),
    "cancelled at once": ("AUTH PLAIN *", "501"),
    "nothing": ("AUTH", "501"),
    "too long": ("AUTH PLAIN " + "A" * 12_288, "500"),
    "ten thousand": (plain("user", "p" * 5_000), "5"),
    "not UTF-8": (plain(b"\xff\xfe", b"\xff"), "5"),
}


@pytest.mark.parametrize(("line", "code"), PLAINS.values(), ids=PLAINS)
def test_fault_35_no_response_is_more_than_refused(daemon, line, code):
    with daemon.talk() as client:
        client.greet()
        client.say(line)
        assert client.reply.startswith(code)
        if code != "500":
            client.say("MAIL FROM:<a@b.example>", "5")  # nobody got in


def test_fault_35_a_password_of_one_character_is_one():
    with Msmtpd("--auth=user,echo x") as daemon, daemon.talk() as client:
        client.greet()
        client.say(plain("user", "x"), 235)
        assert client.mail() == "250 2.0.0 Ok, mail was piped"


def the_worker_of(daemon):
    """The process of the session that began first, of those there are."""
    return int(min(daemon.sessions(), key=lambda line: int(line.split()[0])).split()[2])


def controls(daemon):
    """By worker, the number of its way to the supervisor; while it waits it has no other."""
    found = {}
    for worker in daemon.processes()["worker"]:
        with intruder.channels(worker) as channels:
            (found[worker],) = channels
    return found


@contextmanager
def ways_of(daemon, known):
    """The ways of the worker that serves the one session to its supervisor and, if there is one, to auth."""
    worker = the_worker_of(daemon)
    with intruder.channels(worker) as channels:
        control = channels[known[worker]]
        yield control, *[channel for channel in channels.values() if channel is not control]


@NEEDS_ROOT
@pytest.mark.parametrize("said", [b"\x00", b"\xff" * 200, b"junk", random.Random(36).randbytes(4_000)], ids=len)
@pytest.mark.parametrize("way", [0, 1], ids=["supervisor", "auth"])
def test_fault_36_39_a_worker_that_talks_junk_is_dropped_and_nobody_else(said, way):
    expected = ("worker killed", "was ended by signal 9", "auth hangs up on its worker")
    with Msmtpd(AUTH, expected=expected) as daemon:
        known = controls(daemon)
        with daemon.talk() as client:
            client.greet()
            with ways_of(daemon, known) as ways:
                ways[way]._socket.send(said)
            daemon.wait_logged("worker killed" if way == 0 else "auth hangs up on its worker")
            if way == 0:
                assert client.line() == b""
            else:
                client.say(RIGHT, 454)
        with daemon.talk() as other:
            other.greet()
            other.say(RIGHT, 235)
            assert other.mail() == "250 2.0.0 Ok, mail was piped"


@NEEDS_ROOT
def test_fault_37_without_the_password_there_is_no_way_to_delivery(daemon):
    known = controls(daemon)
    with daemon.talk() as client:
        client.greet()
        with ways_of(daemon, known) as (_, auth):  # all there is
            assert len(intruder.sockets(the_worker_of(daemon))) == 3  # with the client
            envelope = (b"x", requests.EXTENDED, b"", b"", b"a@b.example", ())
            auth.send(requests.ENVELOPE, *envelope)
        daemon.wait_logged("auth hangs up on its worker")
        client.say(RIGHT, 454)  # nor is there one afterwards
        client.say("MAIL FROM:<a@b.example>", "5")
    daemon.settled()
    assert daemon.mails() == []


@NEEDS_ROOT
def test_fault_37_nor_is_there_when_it_was_wrong(daemon):
    known = controls(daemon)
    with daemon.talk() as client:
        client.greet()
        client.say(WRONG, 535)
        with ways_of(daemon, known) as ways:
            assert len(ways) == 2


def test_fault_38_auth_started_again_has_forgotten_nothing():
    with Msmtpd(AUTH, expected=("auth was ended by signal 9",)) as daemon:
        with daemon.talk() as client:
            client.greet()
            client.say(WRONG, 535)
        before = daemon.process_of("auth")
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: daemon.processes().get("auth", [before]) != [before])
        daemon.settled()
        with daemon.talk() as client:
            client.greet()
            assert seconds_of(client, RIGHT, 235) > 0.5


def test_fault_38_nor_has_the_daemon_after_a_reload(daemon):
    with daemon.talk() as client:
        client.greet()
        client.say(WRONG, 535)
    os.kill(daemon.keeper, signal.SIGHUP)
    wait_for(lambda: daemon.status()["generation"] >= 2)
    daemon.wait_logged("are in force")
    with daemon.talk() as client:
        client.greet()
        assert seconds_of(client, RIGHT, 235) > 0.5


def test_fault_39_whatever_comes_by_the_status_socket_the_daemon_lives(daemon):
    for said in (b"", b"\0" * 100, random.Random(39).randbytes(100_000)):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(5)
            asking.connect(str(daemon.status_socket))
            try:
                asking.sendall(said)
            except OSError:
                pass
    held = []
    for _ in range(200):  # and those who never read what it tells
        one = socket.socket(socket.AF_UNIX)
        one.setblocking(False)
        try:
            one.connect(str(daemon.status_socket))
        except OSError:
            pass
        held.append(one)
    with daemon.talk() as client:
        client.connection.settimeout(5)
        client.greet()
    for one in held:
        one.close()
    assert daemon.status()["active"] >= 0
