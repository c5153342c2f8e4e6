"""Thousands of sessions, a third of them abused: afterwards the daemon is as it was.

A short form by default; the long one with CI=true, where all tests are run for good.
"""

from __future__ import annotations

import os
import random
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support import abuse
from tests.support.daemon import Msmtpd
from tests.support.processes import wait_for

THOROUGH = os.environ.get("CI") == "true"
SESSIONS = 10_000 if THOROUGH else 1_000
PASSWORDS = 400 if THOROUGH else 16
AT_ONCE = 16
GROWTH = 1 << 20  # octets of memory that a process may have more, whatever came: what Python keeps for the next time

ENVELOPE = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"


def dialogue(connection, *flights):
    """Say each flight and read until the last of its replies, which begins with the code; False if there is none."""
    for said, code in flights:
        connection.sendall(said)
        heard = b""
        while not any(line[:4] == code + b" " for line in heard.split(b"\r\n")[:-1]):
            block = connection.recv(4096)
            if not block:
                return False
            heard += block
    return True


def in_a_mail(connection):
    return dialogue(connection, (b"", b"220"), (b"EHLO x\r\n", b"250"), (ENVELOPE[8:], b"354"))


def a_mail(connection):
    return in_a_mail(connection) and dialogue(
        connection, (b"Subject: x\r\n\r\nx\r\n.\r\n", b"250"), (b"QUIT\r\n", b"221")
    )


def to_the_end(connection):
    """Read until the other side has closed."""
    while connection.recv(65_536):
        pass


def half_closed(connection):
    in_a_mail(connection)
    connection.sendall(b"half of it")
    connection.shutdown(socket.SHUT_WR)
    to_the_end(connection)


def reset_in_a_mail(connection):
    in_a_mail(connection)
    connection.sendall(b"half of it\r\n")
    abuse.reset(connection)


def reset_at_once(connection):
    abuse.reset(connection)


def garbage(connection):
    connection.sendall(random.Random(connection.fileno()).randbytes(3_000) + b"\r\n")
    connection.shutdown(socket.SHUT_WR)
    to_the_end(connection)


def slow(connection):
    for octet in b"EHLO x":
        connection.sendall(bytes((octet,)))
        time.sleep(0.002)
    abuse.reset(connection)


def a_long_line(connection):
    connection.sendall(b"MAIL FROM:<" + b"x" * 20_000 + b">\r\n")
    to_the_end(connection)


def many_mistakes(connection):
    connection.sendall(b"ONE\r\nTWO\r\nTHREE\r\nFOUR\r\n")
    to_the_end(connection)


def ahead_of_time(connection):
    connection.sendall(ENVELOPE + b"x\r\n.\r\nQUIT\r\n")
    to_the_end(connection)


def another_protocol(connection):
    connection.sendall(b"\x16\x03\x01" + struct.pack(">H", 512) + b"\1" * 512)
    to_the_end(connection)


ABUSES = (
    half_closed, reset_in_a_mail, reset_at_once, garbage, slow, a_long_line, many_mistakes, ahead_of_time,
    another_protocol,
)  # fmt: skip


def session(daemon, number):
    """One session; whether it was one whose mail was taken."""
    if number % 3 == 0:
        with daemon.connect(10) as connection:
            try:
                ABUSES[number // 3 % len(ABUSES)](connection)
            except OSError:
                pass  # it was thrown out, as it should be
        return False
    for _ in range(200):
        with daemon.connect(10) as connection:
            try:
                if a_mail(connection):
                    return True
            except ConnectionError:
                pass
        time.sleep(0.02)  # 421: those before have just gone, or not yet
    raise AssertionError("no mail was taken for a long time")


def used(daemon):
    """Octets of memory by process, of those that stay."""
    if os.geteuid():
        return {}
    found = daemon.processes()
    return {pid: abuse.memory(pid) for which, pids in found.items() if which != "worker" for pid in pids}


@pytest.mark.timeout(600)
def test_thousands_of_sessions_leave_nothing_behind():
    options = ("--max-sessions=32", "--max-sessions-per-source=32", "--idle-timeout=5")
    with (
        Msmtpd(*options, command="/bin/sh -c 'cat >/dev/null' sh", expected=("refused connection",)) as daemon,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        first = sum(pool.map(lambda number: session(daemon, number), range(270)))
        daemon.settled()
        before, processes = used(daemon), daemon.processes()
        mails = first + sum(pool.map(lambda number: session(daemon, number), range(SESSIONS)))
        daemon.settled()
        daemon.look_for_leaks()
        status = daemon.status()
        assert status["delivered"] == mails == 180 + SESSIONS - -(-SESSIONS // 3)
        assert status["worker_deaths"] == status["broker_deaths"] == 0
        after = used(daemon)
        assert after.keys() == before.keys()  # nobody had to be started again
        assert {pid: more for pid in after if (more := after[pid] - before[pid]) > GROWTH} == {}
        assert {which: len(pids) for which, pids in daemon.processes().items()} == {
            which: len(pids) for which, pids in processes.items()
        }
        every_slot_is_there(daemon, 32)


def every_slot_is_there(daemon, number):
    held = []
    for _ in range(number):
        held.append(daemon.connect())
        assert held[-1].recv(100)[:3] == b"220"
    for connection in held:
        connection.close()


def guess(daemon, number):
    """A session from an address of its own (as a proxy says), with a wrong password, then the right one or none."""
    source = socket.inet_aton(f"192.0.2.{number % 20 + 1}") + socket.inet_aton("192.0.2.100") + b"\x04\x01\0\x19"
    header = b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11" + struct.pack(">H", len(source)) + source
    proxy = ("127.0.0.2", 0)
    with socket.create_connection((daemon.host, daemon.port), timeout=60, source_address=proxy) as connection:
        connection.sendall(header)
        try:
            if not dialogue(connection, (b"", b"220"), (b"EHLO x\r\n", b"250")):
                return None
            if number % 2 and not dialogue(connection, (b"AUTH PLAIN AHVzZXIAd3Jvbmc=\r\n", b"535")):
                return None
            if number % 4 == 3:
                abuse.reset(connection)
                return None
            begun = time.monotonic()
            done = dialogue(connection, (b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n", b"235"), (b"QUIT\r\n", b"221"))
            return time.monotonic() - begun if done else None
        except ConnectionError:
            return None


@pytest.mark.timeout(600)
def test_many_wrong_passwords_from_many_sources_lock_nobody_out():
    options = ("--auth=user,echo secret", "--proxy-protocol=127.0.0.2", "--max-sessions=64")
    limit = "--max-sessions-per-source=64"
    with (
        Msmtpd(*options, limit, expected=("refused connection",)) as daemon,
        ThreadPoolExecutor(48) as pool,
    ):
        waited = list(pool.map(lambda number: guess(daemon, number), range(PASSWORDS)))
        wait_for(lambda: not daemon.status()["auth_waiting"], 60)
        daemon.settled()
        daemon.look_for_leaks()
        innocent = [seconds for seconds in waited[::2] if seconds is not None]
        assert len(innocent) > PASSWORDS // 3
        assert daemon.status()["auth_refused"] >= PASSWORDS // 4
        begun = time.monotonic()
        with daemon.connect(10) as connection:
            assert dialogue(
                connection, (b"", b"220"), (b"EHLO x\r\n", b"250"), (b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n", b"235")
            )
        assert time.monotonic() - begun < 2  # who has not failed waits a second, and not for the others
