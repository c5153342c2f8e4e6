"""Who is at the other end: asked of the real kernel, over each family, from inside the supervisor's role."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.inside import NOBODY, run
from tests.support.private_net import LOOPBACK, run_in_namespace

from msmtp.config.daemon_settings import Network
from msmtp.daemon import channel, peers
from msmtp.daemon.peers import Peer, Watcher
from msmtp.daemon.requests import NOBODY as NO_USER
from msmtp.daemon.requests import PROXIED, REQUESTS

WAYS = (("netlink", False), ("/proc", True))


@contextlib.contextmanager
def connected(
    listen: str = "127.0.0.1", connect: str = "", family: int = 0, *, dual: bool = False
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: the accepted one, the client's."""
    listening = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with socket.socket(listening) as listener:
        if dual:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((listen, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.socket(family or listening) as client:
            client.connect((connect or listen, port))
            with listener.accept()[0] as accepted:
                yield accepted, client


@pytest.fixture(params=WAYS, ids=[name for name, _ in WAYS])
def watcher(request):
    _, listed = request.param
    made = Watcher(fallback=listed)
    if listed:
        made.close()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("listen", "connect", "family", "dual", "address"),
    [
        ("127.0.0.1", "", 0, False, "127.0.0.1"),
        ("127.0.0.1", "::ffff:127.0.0.1", socket.AF_INET6, False, "127.0.0.1"),
        ("::1", "", 0, False, "::1"),
        ("::", "127.0.0.1", socket.AF_INET, True, "127.0.0.1"),
        ("::", "::ffff:127.0.0.1", socket.AF_INET6, True, "127.0.0.1"),
        ("::", "::1", socket.AF_INET6, True, "::1"),
    ],
)
def test_the_user_of_a_connection_of_this_machine_is_known(watcher, listen, connect, family, dual, address):
    with connected(listen, connect, family, dual=dual) as (accepted, client):
        peer = watcher.of(accepted.fileno())
        assert (peer.address, peer.port, peer.uid) == (address, client.getsockname()[1], os.getuid())
        assert peer.local == address
        assert peers.key(peer) == b"uid:%d" % os.getuid()
        assert peers.is_local(peer)
        assert accepted.fileno() >= 0  # it was only borrowed
        client.send(b"x")
        assert accepted.recv(1) == b"x"


AS_NOBODY = """
    import _socket
    from msmtp.daemon import peers
    server = _socket.socket(); server.bind(('127.0.0.1', 0)); server.listen()
    child = os.fork()
    if not child:
        os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
        client = _socket.socket(); client.connect(server.getsockname())
        server.close()
        client.recv(1)
        os._exit(0)
    watcher = peers.Watcher(fallback={fallback})
    if {fallback}: watcher.close()
    {role}
    descriptor = server._accept()[0]
    print(watcher.of(descriptor).uid)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another")
@pytest.mark.parametrize("fallback", [False, True])
def test_another_user_is_told_from_us(fallback):
    assert run(AS_NOBODY.format(fallback=fallback, role="")).stdout == f"{NOBODY}\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another")
def test_a_confined_supervisor_still_learns_it():
    role = "sandbox.enter('supervisor', policy='require')"
    done = run(AS_NOBODY.format(fallback=False, role=role))
    assert done.stdout == f"{NOBODY}\n", done.stderr


CONFINED = """
    import _socket
    from msmtp.daemon import peers
    server = _socket.socket(); server.bind(('127.0.0.1', 0)); server.listen()
    client = _socket.socket(); client.connect(server.getsockname())
    local, other = _socket.socketpair()
    watcher = peers.Watcher()
    sandbox.enter('supervisor', policy='require')
    print(watcher.of(server._accept()[0]).uid == os.getuid(), watcher.of(local.fileno()).uid == os.getuid())
"""


def test_a_confined_supervisor_needs_no_more_rights():
    done = run(CONFINED)
    assert done.stdout == "True True\n", done.stderr


def test_a_peer_who_has_gone_is_nobody_and_never_root(watcher):
    with connected() as (accepted, client):
        client.close()
        time.sleep(0.05)
        peer = watcher.of(accepted.fileno())
        assert peer.uid is None
        assert peers.key(peer) == b"127.0.0.1"


def test_a_peer_who_reset_before_it_was_looked_at_is_told_apart_from_a_local_socket(watcher):
    with connected() as (accepted, client):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        client.close()
        time.sleep(0.05)
        peer = watcher.of(accepted.fileno())
        assert (peer.uid, peers.is_local(peer)) == (None, False)
        assert peers.key(peer) == b"0.0.0.0"


def test_a_listener_on_the_same_port_is_not_taken_for_the_peer(watcher):
    """The kernel looks among the listeners too when there is no connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert watcher.user_of("127.0.0.1", port, "127.0.0.1", 1) is None


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_a_unix_socket_tells_its_user_and_path(tmp_path, kind):
    path = tmp_path / "so\ncket"
    watcher = Watcher()
    with socket.socket(socket.AF_UNIX, kind) as listener, socket.socket(socket.AF_UNIX, kind) as client:
        listener.bind(str(path))
        listener.listen()
        client.connect(str(path))
        with listener.accept()[0] as accepted:
            peer = watcher.of(accepted.fileno())
    watcher.close()
    assert (peer.address, peer.port, peer.uid) == ("", 0, os.getuid())
    assert peer.local == f"{tmp_path}/so\\ncket"
    assert peers.is_local(peer)


def test_what_is_no_connection_is_a_peer_without_a_name():
    watcher = Watcher()
    reads, writes = os.pipe()
    try:
        peer = watcher.of(reads)
        assert (peer.address, peer.port, peer.uid, peer.local) == ("", 0, None, "")
        assert peers.key(peer) == b"local"
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as other:
            assert watcher.of(other.fileno()).uid is None
        with pytest.raises(OSError, match="Bad file descriptor"):
            watcher.of(99_999)
    finally:
        os.close(reads)
        os.close(writes)
        watcher.close()


def test_without_netlink_and_proc_the_address_is_the_source(monkeypatch):
    watcher = Watcher(fallback=False)
    watcher.close()
    assert watcher.fileno() == -1
    with connected() as (accepted, _):
        assert peers.key(watcher.of(accepted.fileno())) == b"127.0.0.1"


def test_a_system_that_has_no_netlink_is_borne(monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(97, "not here")

    monkeypatch.setattr("msmtp.daemon.peers._socket.socket", refuse)
    assert Watcher().fileno() == -1


IN_ANOTHER_NETWORK = """
    import os, socket
    from msmtp.daemon.peers import Watcher, key
    watcher = Watcher()
    listener = socket.create_server(("10.9.9.1", 0))
    client = socket.create_connection(listener.getsockname())
    accepted = listener.accept()[0]
    peer = watcher.of(accepted.fileno())
    print(peer.address, peer.local, key(peer).decode())
    elsewhere = socket.create_connection(listener.getsockname())
    os.unshare(0x40000000) if hasattr(os, "unshare") else __import__("ctypes").CDLL(None).unshare(0x40000000)
    accepted = listener.accept()[0]
    print(key(Watcher().of(accepted.fileno())).decode())
"""


def test_an_own_address_is_this_machine_and_another_network_is_not():
    setup = LOOPBACK + "ip addr add 10.9.9.1/32 dev lo\n"
    said = run_in_namespace(IN_ANOTHER_NETWORK, setup=setup)
    assert said == "10.9.9.1 10.9.9.1 uid:0\n10.9.9.1\n"


def test_users_that_this_namespace_does_not_know_are_not_one_user(monkeypatch):
    watcher = Watcher()
    monkeypatch.setattr(watcher, "_overflow", os.getuid())
    with connected() as (accepted, _):
        assert watcher.of(accepted.fileno()).uid is None
    watcher.close()


def test_where_all_users_are_known_there_is_no_overflow():
    mapped = sum(int(line.split()[2]) for line in Path("/proc/self/uid_map").read_text().splitlines())
    assert (peers.overflow_user() == -1) == (mapped == 0xFFFFFFFF)
    assert run_in_namespace("from msmtp.daemon.peers import overflow_user; print(overflow_user())") == "65534\n"


MANY = """
    import socket, time
    from msmtp.daemon.peers import Watcher
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    for _ in range(10000):
        client = socket.create_connection(listener.getsockname())
        accepted = listener.accept()[0]
        client.close(); accepted.close()
    lines = open("/proc/net/tcp").read().count(" 06 ")
    client = socket.create_connection(listener.getsockname())
    accepted = listener.accept()[0]
    watcher = Watcher(fallback=False)
    times = []
    for _ in range(300):
        start = time.perf_counter()
        peer = watcher.of(accepted.fileno())
        times.append(time.perf_counter() - start)
        assert peer.uid == 0
    print(lines > 5000, sorted(times)[150] * 1e6)
"""


def test_asking_takes_no_longer_with_ten_thousand_sockets():
    many, microseconds = run_in_namespace(MANY, setup=LOOPBACK).split()
    assert many == "True"
    assert float(microseconds) < 100


# -- pure


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (Peer("192.0.2.7", 1, None, ""), b"192.0.2.7"),
        (Peer("2001:db8:1:2:3:4:5:6", 1, None, ""), b"2001:db8:1:2::/64"),
        (Peer("fe80::1%eth0", 1, None, ""), b"fe80::/64"),
        (Peer("::ffff:192.0.2.7", 1, None, ""), b"192.0.2.7"),
        (Peer("127.0.0.1", 1, 1000, ""), b"uid:1000"),
        (Peer("", 0, 0, "/run/x"), b"uid:0"),
        (Peer("", 0, None, "/run/x"), b"local"),
        (Peer("no address", 0, None, ""), b"local"),
    ],
)
def test_limits_are_borne_by(peer, expected):
    assert peers.key(peer) == expected


@given(st.text(max_size=64), st.none() | st.integers(0, 2**32 - 1))
def test_whatever_an_address_is_there_is_a_key_that_fits(address, uid):
    peer = Peer(address, 0, uid, "")
    assert 0 < len(peers.key(peer)) <= 80
    assert isinstance(peers.is_local(peer), bool)
    assert str(peer)


def test_local_is_what_cannot_be_listened_to():
    assert [
        peers.is_local(Peer(address, 1, None, local))
        for address, local in (
            ("127.0.0.1", "127.0.0.1"),
            ("127.8.8.8", "127.0.0.1"),
            ("::1", "::1"),
            ("192.0.2.1", "192.0.2.1"),
            ("", "/run/socket"),
            ("192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8::2"),
            ("7f00::1", "::2"),
            ("nonsense", "x"),
        )
    ] == [True] * 5 + [False] * 4


def test_networks_hold_what_they_should():
    networks = [Network(b"\xc0\x00\x02\x00", 24), Network(bytes.fromhex("20010db8") + bytes(12), 32)]
    assert peers.within(Peer("192.0.2.9", 1, None, ""), networks)
    assert peers.within(Peer("::ffff:192.0.2.9", 1, None, ""), networks)
    assert peers.within(Peer("2001:db8:5::1", 1, None, ""), networks)
    assert not peers.within(Peer("192.0.3.9", 1, None, ""), networks)
    assert not peers.within(Peer("", 0, 5, "/x"), networks)
    assert peers.within(Peer("", 0, 5, "/x"), [Network(b"")])
    assert not peers.within(Peer("nonsense", 0, 5, "/x"), [Network(b"")])


def test_a_peer_survives_a_message():
    row = REQUESTS["DELIVERY_SESSION"]
    for peer in (Peer("127.0.0.1", 7, 1000, "127.0.0.1"), Peer("", 0, None, "/run/ö" * 20)):
        uid = NO_USER if peer.uid is None else peer.uid
        values = (1, peer.address.encode(), peer.port, uid, peer.local.encode(), PROXIED)
        name, decoded = channel.decode(channel.encode(row, values), [row])
        back = peers.told(channel.Message(name.name, decoded))
        assert (back.address, back.port, back.uid, back.local) == (peer.address, peer.port, peer.uid, peer.local)


def test_users_have_names_as_far_as_they_were_read(tmp_path):
    file = tmp_path / "passwd"
    file.write_bytes(b"root:x:0:0::/:/bin/sh\n+::::::\nbr\nok\x1b:x:7:7:::\nother:x:7:7:::\nno:x:number:\n")
    peers.learn_users(str(file))
    try:
        assert peers.user_name(0) == "root"
        assert peers.user_name(7) == "ok\\x1b"
        assert peers.user_name(12345) == "12345"
        assert str(Peer("", 0, 0, "/run/s")) == "user root at /run/s"
        assert str(Peer("127.0.0.1", 9, 0, "")) == "127.0.0.1:9 (user root)"
        assert str(Peer("::1", 9, None, "")) == "[::1]:9"
        assert str(Peer("", 0, None, "")) == "somebody at a local socket"
        peers.learn_users(str(tmp_path / "none"))
        assert peers.user_name(0) == "0"
    finally:
        peers.learn_users()
    assert peers.user_name(0) == "root"
