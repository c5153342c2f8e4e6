"""SOCKS 5: what the proxy says, how long it takes, and that nobody else learns the name."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import debian
from tests.support.private_net import LOOPBACK, run_in_namespace
from tests.support.processes import Daemon, free_port, listens

from msmtp.failures import ConfigFailure, ConnectFailure, Failure, NetworkFailure, ProxyFailure
from msmtp.net.connect import Target, begin

METHOD = b"\5\0"  # no authentication
GRANTED = b"\5\0\0\1\0\0\0\0\0\0"


@contextlib.contextmanager
def scripted_proxy(*answers: bytes | None, pause: float = 0) -> Iterator[tuple[int, list[bytes]]]:
    """A proxy that answers whatever is asked with these in turn, byte by byte if there is a ``pause``; None: hang up."""
    heard: list[bytes] = []
    done = threading.Event()

    def serve() -> None:
        client, _address = listener.accept()
        client.settimeout(5)
        with client, contextlib.suppress(OSError):
            for answer in answers:
                heard.append(client.recv(1000))
                if answer is None:
                    return
                for piece in [answer] if not pause else [answer[place : place + 1] for place in range(len(answer))]:
                    client.sendall(piece)
                    time.sleep(pause)
            done.wait(5)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], heard
        finally:
            done.set()
            thread.join()


def failure_through(port: int, host: str = "mail.example", timeout: float = 5) -> Failure:
    with pytest.raises(Failure) as caught:
        begin(Target(host, 25, proxy_host="127.0.0.1", proxy_port=port, timeout=timeout)).finish().close()
    return caught.value


# -- what is said to the proxy


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("mail.example", b"\3\x0cmail.example"),
        ("expyuzz4wqqyqhjn.onion", b"\3\x16expyuzz4wqqyqhjn.onion"),
        ("bücher.example", b"\3\x15xn--bcher-kva.example"),
        ("192.0.2.1", b"\1\xc0\0\2\1"),
        ("2001:db8::1", b"\4" + bytes.fromhex("20010db8000000000000000000000001")),
    ],
)
def test_the_proxy_gets_the_name_and_the_stream_is_ours(host: str, asked: bytes) -> None:
    with scripted_proxy(METHOD, GRANTED + b"220 hello\r\n", b"221 bye\r\n") as (port, heard):
        stream = begin(Target(host, 587, proxy_host="127.0.0.1", proxy_port=port, timeout=0.5)).finish()
        assert stream.read() == b"220 hello\r\n", "not a byte more than the proxy's own may be read by PySocks"
        stream.write(b"QUIT\r\n")
        assert stream.read() == b"221 bye\r\n"
        assert heard == [b"\5\1\0", b"\5\1\0" + asked + b"\x02\x4b", b"QUIT\r\n"]
        start = time.monotonic()
        with pytest.raises(NetworkFailure, match="timed out"):
            stream.read()
        assert 0.5 <= time.monotonic() - start < 5, "the stream does not block after PySocks had the socket"
        assert not os.get_blocking(stream.fileno()), "a write would wait for ever"
        assert stream.info.address == ""
        assert stream.info.canonical_name() == ""
        stream.close()


# -- what the proxy says; words and kinds are those of Debian's msmtp 1.8.23 against the same script


@pytest.mark.parametrize(
    ("answers", "kind", "message"),
    [
        ([b"\5\xff"], ProxyFailure, "proxy failure: unexpected reply"),
        ([b"\5\2"], ProxyFailure, "proxy failure: unexpected reply"),
        ([b"\5\7"], ProxyFailure, "proxy failure: unexpected reply"),
        ([b"\4\0"], ProxyFailure, "proxy failure: unexpected reply"),
        ([b"HTTP/1.1 400 Bad request\r\n"], ProxyFailure, "proxy failure: unexpected reply"),
        ([METHOD, b"\5\1\0\1" + bytes(6)], ProxyFailure, "proxy failure: general server failure"),
        ([METHOD, b"\5\2\0\1" + bytes(6)], ProxyFailure, "proxy failure: connection not allowed"),
        ([METHOD, b"\5\3\0\1" + bytes(6)], ProxyFailure, "proxy failure: network unreachable"),
        ([METHOD, b"\5\4\0\1" + bytes(6)], ProxyFailure, "proxy failure: host unreachable"),
        ([METHOD, b"\5\5\0\1" + bytes(6)], ProxyFailure, "proxy failure: connection refused"),
        ([METHOD, b"\5\6\0\1" + bytes(6)], ProxyFailure, "proxy failure: time-to-live expired"),
        ([METHOD, b"\5\7\0\1" + bytes(6)], ProxyFailure, "proxy failure: command not supported"),
        ([METHOD, b"\5\x08\0\1" + bytes(6)], ProxyFailure, "proxy failure: address type not supported"),
        ([METHOD, b"\5\x09\0\1" + bytes(6)], ProxyFailure, "proxy failure: unknown error"),
        ([METHOD, b"\5\xc8\0\1" + bytes(6)], ProxyFailure, "proxy failure: unknown error"),
        ([METHOD, b"\5\0\0\7" + bytes(6)], ProxyFailure, "proxy failure: unexpected reply"),
        ([METHOD, b"\4\0\0\1" + bytes(6)], ProxyFailure, "proxy failure: unexpected reply"),
        ([None], NetworkFailure, "network read error: the proxy closed the connection"),
        ([METHOD, None], NetworkFailure, "network read error: the proxy closed the connection"),
    ],
)
def test_a_proxy_that_will_not_is_told(answers: list[bytes | None], kind: type, message: str) -> None:
    with scripted_proxy(*answers) as (port, _heard):
        failure = failure_through(port)
    assert type(failure) is kind
    assert failure.message == message


def test_a_proxy_that_wants_a_password_is_told_so() -> None:
    with scripted_proxy(b"\5\2") as (port, _heard):
        assert "password" in failure_through(port).hint


def test_a_silent_proxy_ends_with_the_deadline() -> None:
    with scripted_proxy(METHOD) as (port, _heard):
        start = time.monotonic()
        failure = failure_through(port, timeout=0.3)
        assert 0.3 <= time.monotonic() - start < 5
    assert isinstance(failure, NetworkFailure)
    assert failure.message == "network read error: the operation timed out"


def test_a_proxy_that_answers_byte_by_byte_does_not_prolong_the_deadline() -> None:
    with scripted_proxy(METHOD, b"\5\0\0\3\xff" + b"x" * 257, pause=0.05) as (port, _heard):
        start = time.monotonic()
        failure = failure_through(port, timeout=0.4)
        assert 0.4 <= time.monotonic() - start < 5
    assert failure.message == "network read error: the operation timed out"


def test_a_proxy_that_resets_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _address = listener.accept()
            client.recv(100)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()

        thread = threading.Thread(target=serve)
        thread.start()
        failure = failure_through(listener.getsockname()[1])
        thread.join()
    assert isinstance(failure, NetworkFailure)
    assert failure.message == "network read error: Connection reset by peer"


def test_a_proxy_that_is_not_there_is_told_by_its_own_name() -> None:
    port = free_port()
    failure = failure_through(port)
    assert isinstance(failure, ConnectFailure)
    assert failure.message == f"cannot connect to 127.0.0.1, port {port}: Connection refused"


@pytest.mark.parametrize("host", ["x" * 64 + ".example", "a..example", "x." * 64 + "example"])
def test_a_name_that_cannot_be_said_to_a_proxy_is_told(host: str) -> None:
    with scripted_proxy(METHOD, GRANTED) as (port, _heard):
        failure = failure_through(port, host)
    assert isinstance(failure, ProxyFailure)
    assert failure.message.startswith("proxy failure: ")
    assert host in failure.message


def test_a_missing_pysocks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)
    monkeypatch.delitem(sys.modules, "msmtp.net.proxy", raising=False)
    with scripted_proxy(None) as (port, _heard):
        failure = failure_through(port)
    assert isinstance(failure, ConfigFailure)
    assert "PySocks" in failure.message
    assert "python3-socks" in failure.hint


def test_the_port_of_the_proxy_is_1080_unless_told() -> None:
    assert Target("mail.example", 25, proxy_host="127.0.0.1").proxy_port == 1080


# -- real proxies


@pytest.fixture
def mail_server() -> Iterator[int]:
    """Says hello, hears one line, says goodbye; to anyone."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = listener.accept()
                with client:
                    client.sendall(b"220 hello\r\n")
                    client.sendall(b"221 " + client.recv(1000))

    # whichever address the proxy finds for localhost
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def talk_through(proxy_port: int, host: str, port: int) -> None:
    stream = begin(Target(host, port, proxy_host="127.0.0.1", proxy_port=proxy_port, timeout=5)).finish()
    assert stream.read() == b"220 hello\r\n"
    stream.write(b"QUIT\r\n")
    assert stream.read() == b"221 QUIT\r\n"
    assert stream.read() == b""
    stream.close()


def failure_of(proxy_port: int, host: str, port: int) -> Failure:
    with pytest.raises(Failure) as caught:
        begin(Target(host, port, proxy_host="127.0.0.1", proxy_port=proxy_port, timeout=5)).finish().close()
    return caught.value


def test_microsocks_carries_the_conversation(mail_server: int, tmp_path: Path) -> None:
    program, environment = debian.program("microsocks", "usr/bin/microsocks")
    port = free_port()
    command = [program, "-i", "127.0.0.1", "-p", str(port)]
    with Daemon(command, ready=listens(port), log=tmp_path / "log", environment=environment):
        talk_through(port, "localhost", mail_server)
        talk_through(port, "127.0.0.1", mail_server)
        assert failure_of(port, "127.0.0.1", free_port()).message == "proxy failure: connection refused"


def test_microsocks_with_a_password_is_refused_by_us(mail_server: int, tmp_path: Path) -> None:
    program, environment = debian.program("microsocks", "usr/bin/microsocks")
    port = free_port()
    command = [program, "-i", "127.0.0.1", "-p", str(port), "-u", "joe", "-P", "secret"]
    with Daemon(command, ready=listens(port), log=tmp_path / "log", environment=environment):
        failure = failure_of(port, "127.0.0.1", mail_server)
        assert failure.message == "proxy failure: unexpected reply"
        assert "password" in failure.hint


DANTED = """
logoutput: stderr
internal: 127.0.0.1 port = {port}
external: lo
clientmethod: none
socksmethod: none
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks block {{ from: 0.0.0.0/0 to: 127.0.0.9/32 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
"""


@pytest.mark.releases("bookworm")
def test_dante_carries_the_conversation_and_its_rules_are_told(mail_server: int, tmp_path: Path) -> None:
    program, environment = debian.program("dante", "usr/sbin/danted")
    port = free_port()
    config = tmp_path / "danted.conf"
    config.write_text(DANTED.format(port=port))
    command = [program, "-f", config, "-p", tmp_path / "pid"]
    with Daemon(command, ready=listens(port), log=tmp_path / "log", environment=environment):
        talk_through(port, "localhost", mail_server)
        talk_through(port, "127.0.0.1", mail_server)
        assert failure_of(port, "127.0.0.9", mail_server).message == "proxy failure: connection not allowed"
        assert failure_of(port, "127.0.0.1", free_port()).message == "proxy failure: connection refused"


# -- "not one DNS query leaves the machine" (manual, 10.5)

SILENCE = """
import socket, sys, threading
from msmtp.failures import Failure
from msmtp.net.connect import Target, begin
from tests.support.name_server import NameServer
from tests.support.private_net import PacketWatch

def proxy():
    client, _address = listener.accept()
    asked.append(client.recv(100)); client.sendall(b"\\5\\0")
    asked.append(client.recv(100)); client.sendall(b"\\5\\0\\0\\1" + bytes(6) + b"220 hello\\r\\n")
    client.recv(100); client.close()

def send(**options):
    stream = begin(Target("hidden.test", 25, timeout=5, **options)).finish()
    print(stream.read(), stream.info.address, stream.info.canonical_name())
    stream.write(b"QUIT\\r\\n")
    stream.close()

asked = []
listener = socket.create_server(("127.0.0.1", 9050))
mail = socket.create_server(("127.0.0.1", 25))
threading.Thread(target=proxy, daemon=True).start()
with NameServer({"hidden.test": ["127.0.0.1"], "proxy.test": ["127.0.0.1"]}) as server:
    with PacketWatch() as watch:
"""


def watched(script: str) -> list[str]:
    setup = LOOPBACK
    return run_in_namespace(SILENCE + script, setup=setup, resolv_conf="nameserver 127.0.0.1\n").splitlines()


def test_with_the_settings_for_tor_nobody_is_asked_for_a_name() -> None:
    said = watched("""
        send(proxy_host="127.0.0.1", proxy_port=9050)
    print(server.queries, watch.queries, watch.packets > 5, b"hidden.test" in asked[1])
""")
    assert said == ["b'220 hello\\r\\n'  ", "[] [] True True"]


def test_the_watch_sees_the_query_for_the_proxys_own_name_and_no_other() -> None:
    said = watched("""
        send(proxy_host="proxy.test", proxy_port=9050)
    print({name for name, kind in server.queries}, len(watch.queries) > 0, b"hidden.test" in asked[1])
""")
    assert said == ["b'220 hello\\r\\n'  ", "{'proxy.test'} True True"]


def test_the_watch_sees_the_queries_of_a_session_without_a_proxy() -> None:
    said = watched("""
        begin(Target("hidden.test", 25)).finish().close()
    print({name for name, kind in server.queries}, len(watch.queries) > 0)
""")
    assert said == ["{'hidden.test'} True"]


def test_importing_the_proxy_is_left_to_those_who_have_one() -> None:
    code = f"import sys; sys.path[:0] = {sys.path!r}; import msmtp.net.connect; print('socks' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True).stdout
        == "False\n"
    )
