"""Reaching a server: every address tried in time, every refusal in the C program's words."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.private_net import BLACK_HOLES, LOOPBACK, run_in_namespace
from tests.support.processes import free_port

from msmtp.failures import ConfigFailure, ConnectFailure, Failure, HostNotFoundFailure
from msmtp.net.connect import Target, begin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.net.stream import Stream


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port_of(server: socket.socket) -> int:
    return server.getsockname()[1]


def reach(target: Target) -> Stream:
    return begin(target).finish()


def failure_of(target: Target) -> Failure:
    with pytest.raises(Failure) as caught:
        reach(target).close()
    return caught.value


# -- TCP


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_is_reached(host: str, listener: socket.socket) -> None:
    stream = reach(Target(host, port_of(listener), timeout=5))
    server, _address = listener.accept()
    with server:
        server.sendall(b"220 hello\r\n")
        assert stream.read() == b"220 hello\r\n"
        assert stream.info.address == "127.0.0.1"
        stream.close()


def test_small_segments_are_not_held_back(listener: socket.socket) -> None:
    """Nagle's algorithm and delayed acknowledgements cost the C program 40 ms a mail."""
    stream = reach(Target("127.0.0.1", port_of(listener)))
    with socket.socket(fileno=os.dup(stream.fileno())) as same:
        assert same.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not os.get_inheritable(same.fileno())
    stream.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_refusal_is_told(host: str) -> None:
    port = free_port()
    failure = failure_of(Target(host, port, timeout=5))
    assert isinstance(failure, ConnectFailure)
    assert failure.message == f"cannot connect to {host}, port {port}: Connection refused"


def test_a_name_that_nobody_has_is_told() -> None:
    failure = failure_of(Target("mail.invalid", 25, timeout=5))
    assert failure.message.startswith("cannot locate host mail.invalid: ")


def test_a_name_that_cannot_be_is_told() -> None:
    assert isinstance(failure_of(Target("☃.example", 25)), HostNotFoundFailure)


def test_the_timeout_of_the_target_becomes_that_of_the_stream(listener: socket.socket) -> None:
    stream = reach(Target("127.0.0.1", port_of(listener), timeout=0.1))
    start = time.monotonic()
    with pytest.raises(Failure, match="timed out"):
        stream.read()
    assert 0.1 <= time.monotonic() - start < 5
    stream.close()


def test_the_caller_may_take_longer_between_the_halves_than_the_timeout(listener: socket.socket) -> None:
    pending = begin(Target("127.0.0.1", port_of(listener), timeout=0.05))
    time.sleep(0.15)
    stream = pending.finish()
    assert stream.info.address == "127.0.0.1"
    stream.close()
    pending.close()


def test_giving_up_leaves_nothing_open(listener: socket.socket) -> None:
    pending = begin(Target("127.0.0.1", port_of(listener)))
    pending.close()
    pending.close()
    server, _address = listener.accept()
    with server:
        assert server.recv(1) == b""


# -- source_ip


def test_the_source_address_is_used(listener: socket.socket) -> None:
    stream = reach(Target("127.0.0.1", port_of(listener), source_ip="127.0.0.7", timeout=5))
    server, address = listener.accept()
    with server:
        assert address[0] == "127.0.0.7"
        stream.close()


def test_the_source_address_chooses_the_family(listener: socket.socket) -> None:
    """localhost may be ::1 first; from an IPv4 address only 127.0.0.1 can be reached."""
    stream = reach(Target("localhost", port_of(listener), source_ip="127.0.0.7", timeout=5))
    assert stream.info.address == "127.0.0.1"
    stream.close()


def test_a_source_address_that_cannot_be_used_is_told() -> None:
    said = in_namespace("""
for source_ip in ("198.18.0.1", "::1", "mail.example", "ä"):
    refused("127.0.0.1", source_ip=source_ip)
""")
    assert said == [
        "SocketFailure cannot bind source ip 198.18.0.1: Cannot assign requested address",
        "",
        "SocketFailure cannot bind source ip ::1: Address family not supported by protocol",
        "127.0.0.1 has no address of the same kind",
        "SocketFailure cannot bind source ip mail.example: Invalid argument",
        "",
        "SocketFailure cannot bind source ip ä: Invalid argument",
        "",
    ]


def test_no_socket_to_be_had_is_told(tmp_path: Path) -> None:
    code = f"""
import resource
from msmtp.failures import SocketFailure
from msmtp.net import connect, race, unix
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
for target in (connect.Target("127.0.0.1", 25), connect.Target(socket="{tmp_path}/none")):
    try:
        connect.begin(target).finish()
    except SocketFailure as failure:
        print(failure.message)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "cannot create socket: Too many open files\n" * 2


# -- unix sockets


@pytest.fixture
def unix() -> Iterator[socket.socket]:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/lmtp")
        server.listen(0)
        yield server


def test_a_unix_socket_overrides_host_and_proxy(unix: socket.socket) -> None:
    stream = reach(Target("mail.invalid", 25, socket=unix.getsockname(), proxy_host="proxy.invalid", timeout=5))
    server, _address = unix.accept()
    with server:
        stream.write(b"LHLO me\r\n")
        assert server.recv(100) == b"LHLO me\r\n"
        assert stream.info.address == ""
        assert stream.info.canonical_name() == ""
        stream.close()


def test_a_unix_socket_that_is_not_there_is_told(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    for path, reason in ((tmp_path / "none", "No such file or directory"), (plain, "Connection refused")):
        failure = failure_of(Target(socket=str(path)))
        assert isinstance(failure, ConnectFailure)
        assert failure.message == f"cannot connect to {path}: {reason}"


@pytest.mark.parametrize("path", ["/tmp/" + "x" * 200, "/tmp/a\0b"])
def test_a_path_that_no_socket_can_have_is_a_fault_of_the_configuration(path: str) -> None:
    failure = failure_of(Target(socket=path))
    assert isinstance(failure, (ConfigFailure, ConnectFailure))
    assert failure.message.startswith("cannot connect to /tmp/")


def fill(unix: socket.socket) -> list[socket.socket]:
    """Connections until the queue is full."""
    waiting: list[socket.socket] = []
    while True:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        if client.connect_ex(unix.getsockname()):
            client.close()
            return waiting
        waiting.append(client)


def test_a_full_queue_is_waited_for(unix: socket.socket) -> None:
    waiting = fill(unix)
    accepted: list[socket.socket] = []

    def accept_later() -> None:
        time.sleep(0.1)
        accepted.extend(unix.accept()[0] for _ in range(len(waiting)))

    thread = threading.Thread(target=accept_later)
    thread.start()
    stream = reach(Target(socket=unix.getsockname(), timeout=5))
    thread.join()
    for one in (*waiting, *accepted, stream):
        one.close()


def test_a_queue_that_stays_full_ends_with_the_deadline(unix: socket.socket) -> None:
    waiting = fill(unix)
    start = time.monotonic()
    failure = failure_of(Target(socket=unix.getsockname(), timeout=0.1))
    assert 0.1 <= time.monotonic() - start < 5
    assert isinstance(failure, ConnectFailure)
    assert failure.message == f"cannot connect to {unix.getsockname()}: Connection timed out"
    for one in waiting:
        one.close()


# -- several addresses, some of them dead

HOSTS = """
127.0.0.1 localhost
192.0.2.66 dead.test
2001:db8::66 half.test
192.0.2.1 half.test
2001:db8::66 last.test
2001:db8::67 last.test
192.0.2.66 last.test
198.18.0.9 last.test
2001:db8::66 hopeless.test
2001:db8::67 hopeless.test
192.0.2.66 hopeless.test
192.0.2.67 hopeless.test
2001:db8::1 six.test
192.0.2.66 six.test
2001:db8:ffff::1 nowhere.test
198.51.100.1 nowhere.test
2001:db8:ffff::1 mixed.test
192.0.2.1 mixed.test
192.0.2.1 refuses.test
2001:db8::1 refuses.test
"""
REACH = """
import os, signal, socket, time
import msmtp.net.race
from msmtp.failures import Failure
from msmtp.net.connect import Target, begin

start = time.monotonic()

def took(least, most=5):  # far from what it should take: a busy machine is slow, and what must not happen lasts longer
    passed = time.monotonic() - start
    assert least <= passed < most, passed

def sockets():
    return sum("socket:" in os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
               if os.path.exists(f"/proc/self/fd/{fd}") or os.path.islink(f"/proc/self/fd/{fd}"))

def reach(host, **options):
    pending = begin(Target(host, 2525, **options))
    stream = pending.finish()
    print(stream.info.address)
    return stream

def refused(host, **options):
    try:
        reach(host, **options)
    except Failure as failure:
        print(type(failure).__name__, failure.message)
        print(failure.hint)
"""
LISTEN = 'listener = socket.create_server(("192.0.2.1", 2525))\nbefore = sockets()\nstart = time.monotonic()\n'


def in_namespace(script: str) -> list[str]:
    said = run_in_namespace(REACH + script, setup=LOOPBACK + BLACK_HOLES, hosts=HOSTS, nsswitch="hosts: files\n")
    return said.splitlines()


def test_a_dead_address_gets_company_after_250_ms_and_loses() -> None:
    said = in_namespace(LISTEN + 'stream = reach("half.test"); took(0.25); assert sockets() == before + 1')
    assert said == ["192.0.2.1"]


def test_every_address_is_tried() -> None:
    said = in_namespace("""
os.system("ip route add local 198.18.0.9/32 dev lo src 192.0.2.1")  # far from its source: sorted behind 192.0.2.66
listener = socket.create_server(("198.18.0.9", 2525))
before = sockets()
start = time.monotonic()
stream = reach("last.test")
took(0.75)
assert sockets() == before + 1
""")
    assert said == ["198.18.0.9"]


def test_addresses_start_in_the_order_of_rfc_8305() -> None:
    said = in_namespace("""
class Watched(msmtp.net.race.new_socket):
    def connect(self, address):
        print(address[0])
        return super().connect(address)
msmtp.net.race.new_socket = Watched
refused("hopeless.test", timeout=1)
""")
    first, second, third, fourth = said[:4]
    assert {":" in first, ":" in second} == {True, False}
    assert [":" in one for one in said[:4]] == [":" in first, ":" in second] * 2
    assert {third, fourth, first, second} == {"2001:db8::66", "2001:db8::67", "192.0.2.66", "192.0.2.67"}


def test_the_preferred_family_wins_when_it_answers() -> None:
    said = in_namespace("""
listener = socket.create_server(("2001:db8::1", 2525), family=socket.AF_INET6)
start = time.monotonic()
stream = reach("six.test", timeout=20)
took(0)
""")
    assert said == ["2001:db8::1"]


def test_one_deadline_covers_all_addresses() -> None:
    said = in_namespace('refused("hopeless.test", timeout=0.6); took(0.6, 2); assert sockets() == 0')
    assert said[0] == "ConnectFailure cannot connect to hopeless.test, port 2525: Connection timed out"
    assert said[1].count("Connection timed out") == 3, "0, 250 and 500 ms: the fourth never started"


def test_a_dead_address_alone_ends_with_the_deadline() -> None:
    said = in_namespace('refused("dead.test", timeout=0.3); took(0.3)')
    assert said == ["ConnectFailure cannot connect to dead.test, port 2525: Connection timed out", ""]


def test_a_refusal_is_followed_by_the_next_address_at_once() -> None:
    said = in_namespace('msmtp.net.race.ATTEMPT_DELAY = 20; refused("refuses.test"); took(0)')
    assert said[0] == "ConnectFailure cannot connect to refuses.test, port 2525: Connection refused"
    assert sorted(said[1].split("; ")) == ["192.0.2.1: Connection refused", "2001:db8::1: Connection refused"]


def test_the_better_reason_is_told() -> None:
    said = in_namespace('refused("mixed.test")')
    assert said[0] == "ConnectFailure cannot connect to mixed.test, port 2525: Connection refused"
    assert "2001:db8:ffff::1: Network is unreachable" in said[1]


def test_no_route_at_all_is_told_without_waiting() -> None:
    said = in_namespace('msmtp.net.race.ATTEMPT_DELAY = 20; refused("nowhere.test"); took(0)')
    assert said[0] == "ConnectFailure cannot connect to nowhere.test, port 2525: Network is unreachable"


def test_setting_out_does_not_wait_for_the_answer() -> None:
    said = in_namespace("""
pending = begin(Target("dead.test", 2525))
took(0)
assert sockets() == 1
pending.close()
assert sockets() == 0
""")
    assert said == []


def test_after_a_long_absence_the_next_address_starts_at_once() -> None:
    said = in_namespace(
        LISTEN
        + """
msmtp.net.race.ATTEMPT_DELAY = 2
pending = begin(Target("half.test", 2525, timeout=1))
time.sleep(2)
stream = pending.finish()
took(2, 4)
print(stream.info.address)
"""
    )
    assert said == ["192.0.2.1"]


def test_a_signal_handler_that_raises_ends_it_and_leaves_nothing_open() -> None:
    said = in_namespace("""
def interrupt(*_): raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.4)
try:
    reach("hopeless.test")
except KeyboardInterrupt:
    took(0.4)
    print("interrupted", sockets())
""")
    assert said == ["interrupted 0"]


def test_signals_do_not_prolong_the_deadline() -> None:
    said = in_namespace("""
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
refused("hopeless.test", timeout=0.4)
took(0.4)
""")
    assert "Connection timed out" in said[0]


def test_an_address_with_a_scope_is_reached() -> None:
    said = in_namespace("""
listener = socket.create_server(("::", 2525), family=socket.AF_INET6)
link = next(line.split()[0] for line in open("/proc/net/if_inet6") if line.split()[3] == "20" and line.split()[5] == "v0")
address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(link))
for _ in range(100):  # until duplicate address detection is done
    try:
        stream = begin(Target(address + "%v0", 2525, source_ip=address + "%v0", timeout=2)).finish()
        break
    except Failure as failure:
        time.sleep(0.05)
print(stream.info.address == address)
""")
    assert said == ["True"]
