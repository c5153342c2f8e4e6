"""Reads, writes, TLS; every operation ends by its deadline, and a flight never deadlocks."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from tests.support import certificates
from tests.support.streams import PlainTls, connected, reset

from msmtp.failures import CertificateFailure, NetworkFailure, ProtocolFailure
from msmtp.net import resolve
from msmtp.net import stream as stream_module
from msmtp.net.stream import BLOCK, Info, Stream

MIB = 1024 * 1024


@contextlib.contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """The server's side of the conversation, in a thread; what it raises fails the test."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if errors:
        raise errors[0]


@contextlib.contextmanager
def takes(least: float, most: float = 5) -> Iterator[None]:
    """``most`` is far from what it should take: a busy machine is slow, and what must not happen would last longer."""
    start = time.monotonic()
    yield
    assert least <= time.monotonic() - start < most


def receive_all(server: socket.socket, count: int) -> bytes:
    got = bytearray()
    while len(got) < count and (data := server.recv(min(65536, count - len(got)))):
        got += data
    return bytes(got)


def read_all(stream: Stream, count: int) -> bytes:
    got = bytearray()
    while len(got) < count and (data := stream.read()):
        got += data
    return bytes(got)


def client_tls(host: str = "localhost") -> PlainTls:
    return PlainTls(certificates.localhost().client_context(), host)


def serve_tls(server: socket.socket, **settings: object) -> ssl.SSLSocket:
    return certificates.localhost().server_context(**settings).wrap_socket(server.dup(), server_side=True)


@pytest.fixture(autouse=True, scope="module")
def certificate() -> None:
    """Made before two threads ask for it at the same time."""
    certificates.localhost()


# -- reading


def test_a_read_gives_what_has_come_and_no_more_than_asked() -> None:
    with connected() as (stream, server):
        server.sendall(b"220 hello\r\n")
        assert stream.read(4) == b"220 "
        assert stream.read() == b"hello\r\n"


def test_the_end_is_empty_however_often_one_asks() -> None:
    with connected() as (stream, server):
        server.sendall(b"421 bye\r\n")
        server.close()
        assert stream.read() == b"421 bye\r\n"
        assert stream.read() == b""
        assert stream.read() == b""


def test_a_silent_server_ends_the_read_on_time() -> None:
    with connected(0.2) as (stream, _server), takes(0.2):
        with pytest.raises(NetworkFailure) as caught:
            stream.read()
        assert caught.value.message == "network read error: the operation timed out"
        assert caught.value.temporary


def test_the_deadline_can_be_changed_and_lifted() -> None:
    with connected(0.1) as (stream, server):
        stream.deadline(None)
        with meanwhile(lambda: (time.sleep(0.25), server.sendall(b"x"))[1]):
            assert stream.read() == b"x"
        stream.deadline(0.1)
        with takes(0.1), pytest.raises(NetworkFailure):
            stream.read()


def test_a_reset_is_told_in_the_systems_words() -> None:
    with connected() as (stream, server):
        reset(server)
        with pytest.raises(NetworkFailure) as caught:
            stream.read()
        assert caught.value.message == "network read error: Connection reset by peer"


def test_a_server_that_has_said_its_last_word_still_listens() -> None:
    with connected() as (stream, server):
        server.shutdown(socket.SHUT_WR)
        assert stream.read() == b""
        stream.write(b"QUIT\r\n")
        assert server.recv(100) == b"QUIT\r\n"


# -- writing


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1, 3 * MIB])
def test_a_write_sends_all(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    got = []
    with connected(buffers=4096) as (stream, server):
        with meanwhile(lambda: got.append(receive_all(server, size))):
            stream.write(data)
        assert got == [data]


def test_a_small_write_leaves_at_once() -> None:
    with connected() as (stream, server):
        stream.write(b"MAIL FROM:<>\r\n")
        stream.write(b"RCPT TO:<a@b.example>\r\n")
        server.settimeout(0.5)
        assert receive_all(server, 37) == b"MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n"


def test_a_server_that_does_not_listen_ends_the_write_on_time() -> None:
    with connected(0.2, buffers=4096) as (stream, _server), takes(0.2):
        with pytest.raises(NetworkFailure) as caught:
            stream.write(bytes(4 * MIB))
        assert caught.value.message == "network write error: the operation timed out"


def test_a_server_that_reads_byte_by_byte_does_not_prolong_the_deadline_of_a_block() -> None:
    with connected(0.4, buffers=4096) as (stream, server):
        stop = threading.Event()

        def nibble() -> None:
            while not stop.is_set():
                server.recv(64)
                time.sleep(0.01)

        with meanwhile(nibble), takes(0.4):
            with pytest.raises(NetworkFailure, match="timed out"):
                stream.write(bytes(4 * MIB))
            stop.set()


def test_a_slow_line_that_moves_a_block_in_time_may_take_long_for_the_whole() -> None:
    with connected(0.4, buffers=4096) as (stream, server):

        def drink() -> None:
            for _ in range(8):
                receive_all(server, BLOCK)
                time.sleep(0.1)

        with meanwhile(drink), takes(0.5):
            stream.write(bytes(8 * BLOCK))


def test_after_a_reset_the_write_fails_and_what_was_said_before_can_be_read() -> None:
    with connected() as (stream, server):
        server.sendall(b"421 4.3.2 too busy\r\n")
        time.sleep(0.05)
        reset(server)
        with pytest.raises(NetworkFailure) as caught:  # noqa: PT012 - the first write may still be taken
            for _ in range(3):
                stream.write(b"MAIL FROM:<>\r\n")
        assert caught.value.message in {
            "network write error: Broken pipe",
            "network write error: Connection reset by peer",
        }
        assert stream.read() == b"421 4.3.2 too busy\r\n"


def test_both_sides_may_talk_at_once_without_a_deadlock() -> None:
    """RFC 2920, 3.1: a server that stops reading until its replies are read must not stop us for ever."""
    commands, replies = b"RCPT TO:<someone@example.org>\r\n" * 30_000, b"250 2.1.5 recipient ok\r\n" * 30_000
    got = []

    def serve(server: socket.socket) -> None:
        server.sendall(replies)
        got.append(receive_all(server, len(commands)))

    with connected(buffers=4096) as (stream, server):
        with meanwhile(lambda: serve(server)):
            stream.write(commands)
        assert got == [commands]
        assert read_all(stream, len(replies)) == replies


def test_the_end_is_seen_after_what_was_read_during_a_write() -> None:
    with connected(buffers=4096) as (stream, server):

        def serve() -> None:
            server.sendall(b"250 ok\r\n" * 10)
            server.shutdown(socket.SHUT_WR)
            time.sleep(0.1)
            receive_all(server, 2 * MIB)

        with meanwhile(serve):
            before = time.process_time()
            stream.write(bytes(2 * MIB))
            assert time.process_time() - before < 2, "the end must not be polled for again and again"
        assert stream.read(30) == b"250 ok\r\n" * 3 + b"250 ok"
        assert stream.read() == b"\r\n" + b"250 ok\r\n" * 6
        assert stream.read() == b""


def test_a_server_that_talks_without_end_is_not_recorded_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "INBOX_LIMIT", 100_000)
    with connected(buffers=4096) as (stream, server):

        def babble() -> None:
            with contextlib.suppress(OSError):
                while True:
                    server.sendall(b"250 ok\r\n" * 1000)

        with meanwhile(babble):
            with pytest.raises(ProtocolFailure, match="keeps talking"):
                stream.write(bytes(20 * MIB))
            stream.close()


def test_memory_does_not_grow_with_the_mail() -> None:
    block = bytes(BLOCK)

    def swallow(server: socket.socket) -> None:
        buffer = bytearray(BLOCK)
        left = 32 * MIB
        while left:
            left -= server.recv_into(buffer)

    with connected() as (stream, server), meanwhile(lambda: swallow(server)):
        tracemalloc.start()
        for _ in range(32 * MIB // BLOCK):
            stream.write(block)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MIB


# -- signals


class Interrupted(Exception):  # noqa: N818
    pass


@contextlib.contextmanager
def alarm(handler: Callable[..., None], after: float, every: float = 0) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, after, every)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def interrupt(*_: object) -> None:
    raise Interrupted


def test_a_signal_handler_that_raises_ends_a_read_and_a_write() -> None:
    with connected(None, buffers=4096) as (stream, _server):
        with alarm(interrupt, 0.1), takes(0.1), pytest.raises(Interrupted):
            stream.read()
        with alarm(interrupt, 0.1), takes(0.1), pytest.raises(Interrupted):
            stream.write(bytes(4 * MIB))


def test_a_signal_handler_that_returns_changes_nothing() -> None:
    with (
        connected(0.3) as (stream, _server),
        alarm(lambda *_: None, 0.02, 0.02),
        takes(0.3),
        pytest.raises(NetworkFailure, match="timed out"),
    ):
        stream.read()


# -- TLS


def test_tls_talks_both_ways_and_says_farewell() -> None:
    def serve(server: socket.socket) -> None:
        with serve_tls(server) as tls:
            tls.sendall(b"220 hello\r\n")
            assert tls.recv(100) == b"QUIT\r\n"
            assert tls.recv(100) == b"", "the end of TLS is announced, not just the end of the connection"

    with connected() as (stream, server), meanwhile(lambda: serve(server)):
        stream.start_tls(client_tls())
        assert stream.info.tls == "TLSv1.3"
        assert stream.read(4) == b"220 "
        assert stream.read() == b"hello\r\n"
        stream.write(b"QUIT\r\n")
        stream.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_megabytes_go_both_ways_under_tls(version: ssl.TLSVersion) -> None:
    mail, replies = bytes(range(256)) * (2 * MIB // 256), b"250 ok\r\n" * 100_000
    got = []

    def serve(server: socket.socket) -> None:
        with serve_tls(server, maximum_version=version) as tls:
            tls.sendall(replies)
            got.append(receive_all(tls, len(mail)))

    with connected(buffers=4096) as (stream, server):
        with meanwhile(lambda: serve(server)):
            stream.start_tls(client_tls())
            stream.write(mail)
        assert got == [mail]
        assert read_all(stream, len(replies)) == replies


def test_the_end_of_the_handshake_and_the_first_command_travel_together() -> None:
    shaken = threading.Event()

    def serve(server: socket.socket) -> None:
        with serve_tls(server) as tls:
            shaken.set()
            assert tls.recv(100) == b"EHLO me\r\n"

    with connected() as (stream, server), meanwhile(lambda: serve(server)):
        stream.start_tls(client_tls())
        assert not shaken.wait(0.1)
        stream.write(b"EHLO me\r\n")
        assert shaken.wait(1)


def test_a_certificate_nobody_trusts_ends_it_and_the_server_is_told_why() -> None:
    def serve(server: socket.socket) -> None:
        with pytest.raises(ssl.SSLError, match=r"(?i)alert.unknown.ca"):
            serve_tls(server)

    stranger = certificates.new_authority().issue().client_context()
    with (
        connected() as (stream, server),
        meanwhile(lambda: serve(server)),
        pytest.raises(CertificateFailure),
    ):
        stream.start_tls(PlainTls(stranger, "localhost"))


def test_a_silent_handshake_ends_on_time() -> None:
    with connected(0.2) as (stream, _server), takes(0.2):
        with pytest.raises(NetworkFailure) as caught:
            stream.start_tls(client_tls())
        assert caught.value.message == "TLS handshake failed: the operation timed out"


def test_a_reset_handshake_says_so() -> None:
    with connected() as (stream, server):
        reset(server)
        with pytest.raises(NetworkFailure) as caught:
            stream.start_tls(client_tls())
        assert caught.value.message in {
            "TLS handshake failed: Connection reset by peer",
            "TLS handshake failed: Broken pipe",
        }


def test_a_server_that_trickles_its_handshake_does_not_prolong_the_deadline() -> None:
    """The C program's timeout never fires under TLS: whatever comes starts it anew."""
    into, out, stop = ssl.MemoryBIO(), ssl.MemoryBIO(), threading.Event()
    tls = certificates.localhost().server_context().wrap_bio(into, out, server_side=True)

    def serve(server: socket.socket) -> None:
        into.write(server.recv(65536))
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        while not stop.wait(0.02):
            server.sendall(out.read(1))

    with connected(0.5) as (stream, server), meanwhile(lambda: serve(server)):
        with takes(0.5), pytest.raises(NetworkFailure, match="TLS handshake failed: the operation timed out"):
            stream.start_tls(client_tls())
        stop.set()


class FakeEngine:
    """Plays what a test wrote; remembers what it was given."""

    info = "fake"

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.received: list[bytes] = []
        self.text: list[bytes | None] = []

    def engine(self) -> FakeEngine:
        return self

    def handshake(self) -> bool:
        return True

    def receive(self, data: bytes) -> None:
        self.received.append(data)

    def plaintext(self, size: int) -> bytes | None:
        return self.text.pop(0) if self.text else None

    def encrypt(self, data: bytes | memoryview) -> bytes:
        return self.outgoing() + bytes(data)

    def outgoing(self) -> bytes:
        return self.out.pop(0) if self.out else b""

    def close(self) -> None:
        self.out = [b"farewell"]


def test_records_that_hold_no_text_do_not_prolong_the_deadline_of_a_read() -> None:
    engine, stop = FakeEngine(), threading.Event()
    with connected(0.3) as (stream, server):
        stream.start_tls(engine)

        def ticket() -> None:
            while not stop.is_set():
                server.sendall(b"x")
                time.sleep(0.05)

        with meanwhile(ticket), takes(0.3):
            with pytest.raises(NetworkFailure) as caught:
                stream.read()
            stop.set()
        assert caught.value.message == "network read error: the operation timed out"
        assert len(engine.received) > 2


def test_what_the_engine_wants_to_say_goes_out_before_a_read_waits() -> None:
    engine = FakeEngine()
    with connected() as (stream, server):
        stream.start_tls(engine)
        engine.out, engine.text = [b"key update"], [None, b"text"]
        server.sendall(b"cipher")
        assert stream.read() == b"text"
        assert server.recv(100) == b"key update"
        assert engine.received == [b"cipher"]


def test_an_alert_leaves_before_the_failure_is_told() -> None:
    class Broken(FakeEngine):
        def plaintext(self, size: int) -> bytes | None:
            self.out.append(b"alert")
            raise NetworkFailure("bad record")

    with connected() as (stream, server):
        stream.start_tls(Broken())
        with pytest.raises(NetworkFailure, match="bad record"):
            stream.read()
        assert server.recv(100) == b"alert"


def test_the_end_of_the_connection_is_the_engines_to_judge() -> None:
    engine = FakeEngine()
    engine.text = [None, b""]
    with connected() as (stream, server):
        stream.start_tls(engine)
        server.close()
        assert stream.read() == b""
        assert engine.received == [b""]


def test_a_server_that_does_not_listen_ends_the_write_on_time_under_tls_too() -> None:
    stop = threading.Event()

    def serve(server: socket.socket) -> None:
        with serve_tls(server):
            stop.wait(5)

    with connected(0.4, buffers=4096) as (stream, server), meanwhile(lambda: serve(server)):
        stream.start_tls(client_tls())
        with takes(0.4), pytest.raises(NetworkFailure, match="network write error: the operation timed out"):
            stream.write(bytes(4 * MIB))
        stop.set()


def test_what_came_in_the_clear_is_not_taken_for_tls() -> None:
    """RFC 3207, 4.2; the bytes are here because the stream kept them while a write was stuck."""
    with connected(buffers=4096) as (stream, server):

        def serve() -> None:
            server.sendall(b"220 go ahead\r\n250 injected\r\n")
            time.sleep(0.1)
            receive_all(server, MIB)

        with meanwhile(serve):
            stream.write(bytes(MIB))
        with pytest.raises(ProtocolFailure, match="in the clear"):
            stream.start_tls(client_tls())


# -- closing, and whom it was


def test_closing_twice_is_closing_once() -> None:
    with connected() as (stream, server):
        stream.start_tls(FakeEngine())
        stream.close()
        stream.close()
        assert stream.fileno() == -1
        assert server.recv(100) == b"farewell"
        assert server.recv(100) == b""


def test_closing_does_not_wait_for_a_server_that_does_not_listen() -> None:
    with connected(0.1, buffers=4096) as (stream, _server):
        stream.start_tls(FakeEngine())
        with pytest.raises(NetworkFailure):
            stream.write(bytes(4 * MIB))
        stream.deadline(10)
        with takes(0):
            stream.close()


def test_closing_raises_nothing_even_if_the_system_does() -> None:
    """close(2) may report what an earlier write met; the descriptor is gone all the same, and so is the mail."""

    class Failing(socket.socket):
        def close(self) -> None:
            super().close()
            raise OSError(5, "Input/output error")

    here, there = socket.socketpair()
    with there, Failing(fileno=here.detach()) as failing:
        Stream(failing, Info()).close()
        assert failing.fileno() == -1
        failing.close = lambda: None  # type: ignore[method-assign]  # for ``with``


def test_several_reads_may_share_one_deadline() -> None:
    with connected(0.3) as (stream, server):
        operation = stream.operation()
        with takes(0.3), pytest.raises(NetworkFailure, match="timed out"):  # noqa: PT012 - which read it is depends
            for _ in range(100):
                server.sendall(b"x")
                stream.read(1, operation)
                time.sleep(0.01)


def test_a_server_that_never_pauses_does_not_prolong_the_deadline() -> None:
    """There is always something to read, and still it ends."""

    with connected(0.3) as (stream, server):
        stream.start_tls(FakeEngine())
        stop = threading.Event()

        def talk() -> None:
            with contextlib.suppress(OSError):
                while not stop.is_set():
                    server.send(bytes(65536))

        with meanwhile(talk):
            with takes(0.3), pytest.raises(NetworkFailure, match="timed out"):
                stream.read()
            stop.set()
            stream.close()


def test_the_stream_knows_the_address_and_can_ask_for_its_name() -> None:
    with connected() as (stream, _server):
        assert stream.info.address == "127.0.0.1"
        assert stream.info.tls is None
        assert stream.info.canonical_name() == "localhost"


def test_nobody_is_asked_for_the_name_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "name_of", lambda *_: pytest.fail("asked"))
    assert Info().address == ""
    assert Info().canonical_name() == ""
