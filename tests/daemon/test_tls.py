"""TLS: the processes that hold the key, with real clients; the worker's side of STARTTLS and of a TLS port."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shutil
import signal
import smtplib
import socket
import ssl
import struct
import threading
import time
import warnings
from base64 import b64encode

import pytest
from tests.support.certificates import localhost, new_authority
from tests.support.worker_ends import PASSWORD, Ends, serving, settings, tcp_pair

from msmtp import sandbox
from msmtp.daemon import descriptors, tls
from msmtp.daemon import requests as rows
from msmtp.daemon.channel import Channel, ChannelGone, pair
from msmtp.failures import InsecureFileFailure, TlsFileFailure

ENVELOPE = ("EHLO client.example", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.org>")


@pytest.fixture(scope="module")
def certificate():
    return localhost()


@pytest.fixture(scope="module")
def context(certificate):
    return tls.load(settings(tls_cert=str(certificate.chain), tls_key=str(certificate.key)))


# The files.


def test_one_file_may_hold_both(certificate):
    assert tls.load(settings(tls_cert=str(certificate.both)))


@pytest.fixture
def files(certificate, tmp_path):
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    shutil.copy(certificate.chain, chain)
    shutil.copy(certificate.key, key)
    key.chmod(0o600)
    return chain, key


@pytest.mark.parametrize(
    ("spoil", "failure", "words"),
    [
        (lambda _, key: key.chmod(0o640), InsecureFileFailure, "open to others: mode 640"),
        (lambda _, key: key.chmod(0o604), InsecureFileFailure, "open to others: mode 604"),
        (lambda _, key: key.unlink(), TlsFileFailure, "cannot open TLS key .*key.pem: No such file"),
        (lambda _, key: (key.unlink(), key.mkdir()), TlsFileFailure, "no regular file"),
        (lambda _, key: (key.unlink(), os.mkfifo(key)), TlsFileFailure, "no regular file"),
        (
            lambda _, key: key.write_text("junk"),
            TlsFileFailure,
            "cannot use certificate .*chain.pem with key .*key.pem",
        ),
        (lambda chain, _: chain.unlink(), TlsFileFailure, "cannot use certificate .*: No such file"),
        (lambda chain, _: chain.write_text("junk"), TlsFileFailure, "cannot use certificate"),
    ],
)
def test_fault_75_files_that_cannot_be_used_are_named(files, spoil, failure, words):
    spoil(*files)
    with pytest.raises(failure, match=words):
        tls.load(settings(tls_cert=str(files[0]), tls_key=str(files[1])))


def test_a_key_of_another_certificate_is_refused(files):
    shutil.copy(new_authority().issue().key, files[1])
    files[1].chmod(0o600)
    with pytest.raises(TlsFileFailure, match="cannot use certificate"):
        tls.load(settings(tls_cert=str(files[0]), tls_key=str(files[1])))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_user_is_refused(files):
    os.chown(files[1], 65534, 65534)
    with pytest.raises(InsecureFileFailure, match="belongs to another user"):
        tls.load(settings(tls_cert=str(files[0]), tls_key=str(files[1])))


# A terminator, seen from both sides.


class Between:
    """A terminator in a thread: ``client`` (a TCP socket), ``plain`` and ``channel`` (the worker's ends)."""

    def __init__(self, context):
        self.client, connection = tcp_pair()
        plain, self.plain = socket.socketpair()
        theirs, ours = pair()
        self.channel = Channel(ours)
        self.terminator = tls.Terminator(context, connection.detach(), plain.detach(), theirs)
        self.thread = threading.Thread(target=self.terminator.run, daemon=True)
        self.thread.start()
        for end in (self.client, self.plain):
            end.settimeout(10)

    def told(self):
        try:
            return self.channel.receive((rows.SECURED, rows.NOT_SECURED, rows.CLOSED))
        except ChannelGone:
            return None


@contextlib.contextmanager
def between(context, certificate=None, **how):
    made = Between(context)
    try:
        if certificate:
            client = certificate.client_context()
            for name, value in how.items():
                setattr(client, name, value)
            made.client = client.wrap_socket(made.client, server_hostname="localhost", suppress_ragged_eofs=False)
            assert made.told().name == "SECURED"
        yield made
    finally:
        for end in (made.client, made.plain, made.channel):
            end.close()
        made.thread.join(10)
        assert not made.thread.is_alive()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_text_goes_both_ways(context, certificate, version):
    with between(context, certificate, maximum_version=version) as made:
        made.client.sendall(b"EHLO c\r\n")
        assert made.plain.recv(100) == b"EHLO c\r\n"
        made.plain.sendall(b"250 x\r\n")
        assert made.client.recv(100) == b"250 x\r\n"
        assert made.client.session_reused is False


def test_the_worker_learns_what_was_agreed(context, certificate):
    made = Between(context)
    client = certificate.client_context().wrap_socket(made.client, server_hostname="localhost")
    message = made.told()
    assert message.octets("version") == client.version().encode()
    assert (message.octets("cipher").decode(), message.number("bits")) == (client.cipher()[0], client.cipher()[2])
    for end in (client, made.plain, made.channel):
        end.close()
    made.thread.join(5)


def test_much_goes_through_and_comes_out_as_it_was(context, certificate):
    data = os.urandom(3_000_000)
    with between(context, certificate) as made:
        for source, target in ((made.client, made.plain), (made.plain, made.client)):
            writer = threading.Thread(target=source.sendall, args=(data,))
            writer.start()
            seen = bytearray()
            while len(seen) < len(data):
                seen += target.recv(65536)
            writer.join()
            assert seen == data


@pytest.mark.parametrize("side", ["client", "plain"])
def test_who_does_not_read_makes_the_other_wait(context, certificate, side):
    """And memory does not grow meanwhile."""
    with between(context, certificate) as made:
        source, target = (made.client, made.plain) if side == "client" else (made.plain, made.client)
        source.settimeout(1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 60_000_000:
                sent += source.send(bytes(65536))
        assert sent < 20_000_000
        waiting = [len(each.pending) for each in (made.terminator._client, made.terminator._worker)]
        assert max(waiting) < tls.ROOM + 2 * tls.BLOCK
        processor = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - processor < 0.2  # it waits, and does not turn round
        target.close()


def test_close_notify_is_told_apart_from_a_cut(context, certificate):
    with between(context, certificate) as made:
        made.client.sendall(b"QUIT\r\n")
        made.client.setblocking(False)
        with contextlib.suppress(ssl.SSLWantReadError):
            made.client.unwrap()
        made.plain.settimeout(5)
        assert made.plain.recv(100) == b"QUIT\r\n"
        assert made.plain.recv(100) == b""
        assert made.told().name == "CLOSED"


@pytest.mark.parametrize("how", ["fin", "reset", "junk"])
def test_fault_13_a_cut_is_no_end(context, certificate, how):
    with between(context, certificate) as made:
        made.client.sendall(b"half")
        assert made.plain.recv(100) == b"half"
        raw = socket.socket(fileno=made.client.detach())
        if how == "junk":
            raw.sendall(b"NOOP\r\n" * 10)
        elif how == "reset":
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if how != "junk":
            raw.close()
        assert made.plain.recv(100) == b""
        made.plain.close()
        made.thread.join(10)
        assert made.told() is None
        raw.close()


def test_fault_13_clear_text_behind_close_notify_is_not_read(context, certificate):
    with between(context, certificate) as made:
        made.client.sendall(b"MAIL\r\n")
        made.client.setblocking(False)
        with contextlib.suppress(ssl.SSLWantReadError):
            made.client.unwrap()
        raw = socket.socket(fileno=made.client.detach())
        raw.sendall(b"INJECTED\r\n")
        seen = b""
        while block := made.plain.recv(100):
            seen += block
        assert seen == b"MAIL\r\n"
        raw.close()


def test_the_workers_end_is_a_close_notify(context, certificate):
    with between(context, certificate) as made:
        made.plain.sendall(b"221 bye\r\n")
        made.plain.close()
        assert made.client.recv(100) == b"221 bye\r\n"
        assert made.client.recv(100) == b""  # a cut would raise
        made.client.close()
        made.thread.join(2)
        assert not made.thread.is_alive()


def test_a_client_that_stays_is_left(context, certificate, monkeypatch):
    monkeypatch.setattr(tls, "LINGER", 0.3)
    with between(context, certificate) as made:
        made.plain.close()
        processor = time.process_time()
        made.thread.join(3)
        assert not made.thread.is_alive()
        assert time.process_time() - processor < 0.2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"EHLO client.example\r\n", b"wrong version number|http request|unexpected"),
        (b"\x16\x03\x01\x00\x05hello", b"."),
        (b"\x16\x03\x01" + b"\xff" * 20_000, b"."),
        (b"", b"connection closed"),
    ],
)
def test_what_is_no_handshake_is_told(context, said, reason):
    with between(context) as made:
        made.client.sendall(said)
        made.client.shutdown(socket.SHUT_WR)
        message = made.told()
        assert message.name == "NOT_SECURED"
        assert re.search(reason, message.octets("reason"))
        assert made.told() is None


def test_old_versions_are_refused(context):
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    client.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):
        client.minimum_version = ssl.TLSVersion.TLSv1
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    with between(context) as made:
        with pytest.raises(ssl.SSLError):
            client.wrap_socket(made.client)
        assert made.told().octets("reason") == b"unsupported protocol"


def test_a_handshake_has_a_deadline(context, monkeypatch):
    monkeypatch.setattr(tls, "HANDSHAKE", 0.5)
    with between(context) as made:
        made.client.sendall(b"\x16\x03")
        assert made.told().octets("reason") == b"timeout"
        assert made.client.recv(100) == b""


# With the worker.


class Swap:
    """Plays supervisor and broker for one session: a terminator in a thread."""

    def __init__(self, context):
        self.context = context
        self.thread = None

    def __call__(self, connection):
        one, plain = socket.socketpair()
        channel, theirs = pair()
        terminator = tls.Terminator(self.context, connection, one.detach(), channel)
        self.thread = threading.Thread(target=terminator.run, daemon=True)
        self.thread.start()
        return plain.detach(), theirs


@contextlib.contextmanager
def secured(context, flags=0, made=None, **how):
    swap = Swap(context)
    with serving(made, flags | rows.WITH_TLS, swap=swap, tcp=True, **how) as ends:
        yield ends
        ends.client.close()
    if swap.thread:
        swap.thread.join(10)
        assert not swap.thread.is_alive()


def wrap(ends, certificate):
    ends.client = certificate.client_context().wrap_socket(ends.client, server_hostname="localhost")


def test_starttls(certificate, context):
    with secured(context) as ends:
        ends.hear()
        assert "STARTTLS" in ends.ask("EHLO client.example")
        assert ends.code("STARTTLS") == 220
        wrap(ends, certificate)
        assert ends.code("MAIL FROM:<a@example.org>") == 503  # the hello is forgotten
        assert "STARTTLS" not in ends.ask("EHLO client.example")
        assert ends.code(*ENVELOPE[1:], "DATA") == 354
        assert ends.code("Subject: x\r\n\r\nbody\r\n.") == 250
        assert ends.code("QUIT") == 221
        assert ends.hear() == "(end)"
    assert ends.delivery.mails == [b"Subject: x\n\nbody\n"]
    envelope = ends.delivery.told[0][1]
    assert envelope["protocol"] == rows.EXTENDED | rows.SECURED_BY_TLS
    assert envelope["tls"].startswith(b"TLSv1.3 TLS_")
    assert ends.supervisor.ended == ("quit", 1, 1)
    assert ends.supervisor.notes[0].startswith("TLS: TLSv1.3 TLS_")


def test_tls_from_the_first_octet_with_authentication(certificate, context):
    with secured(context, rows.TLS_FIRST | rows.WITH_AUTH) as ends:
        wrap(ends, certificate)
        assert ends.hear() == "220 mx.example ESMTP"
        heard = ends.ask("EHLO client.example")
        assert heard.endswith("AUTH SCRAM-SHA-256 PLAIN LOGIN")
        assert "STARTTLS" not in heard
        assert ends.code("AUTH PLAIN " + b64encode(f"\0user\0{PASSWORD}".encode()).decode()) == 235
        assert ends.code(*ENVELOPE[1:], "DATA", "x\r\n.") == 250
    assert ends.delivery.told[0][1]["protocol"] == rows.EXTENDED | rows.SECURED_BY_TLS | rows.AUTHENTICATED


def test_a_proxys_header_stands_before_tls(certificate, context):
    header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([203, 0, 113, 9, 192, 0, 2, 1]) + b"\x04\xd2\0\x19"
    with secured(context, rows.TLS_FIRST | rows.PROXIED) as ends:
        ends.say(header)
        wrap(ends, certificate)
        assert ends.hear().startswith("220")
        assert ends.code(*ENVELOPE, "DATA", "x\r\n.") == 250
    assert ends.delivery.told[0] == ("PEER", {"address": b"203.0.113.9", "port": 1234})


def test_fault_11_nothing_may_stand_behind_starttls(context):
    with secured(context) as ends:
        ends.hear()
        ends.ask("EHLO client.example")
        ends.say("STARTTLS\r\nMAIL FROM:<a@example.org>")
        assert ends.hear().startswith("554 5.5.0")
        assert ends.hear() == "(end)"
    assert ends.delivery.told == []


def test_fault_11_clear_text_in_place_of_the_handshake_is_not_obeyed(context):
    with secured(context) as ends:
        ends.hear()
        ends.ask("EHLO client.example")
        assert ends.code("STARTTLS") == 220
        ends.say("EHLO c", "MAIL FROM:<a@example.org>")
        with contextlib.suppress(OSError):
            while data := ends.client.recv(100):
                assert b"250" not in data
    assert ends.supervisor.ended[0] == "TLS handshake failed"
    assert ends.supervisor.notes[0].startswith("TLS handshake failed: ")
    assert ends.delivery.told == []


@pytest.mark.parametrize(("clean", "reason"), [(True, "closed by the client"), (False, "cut off")])
def test_the_log_says_who_ended_it(certificate, context, clean, reason):
    with secured(context) as ends:
        ends.hear()
        assert ends.code("EHLO c", "STARTTLS") == 220
        wrap(ends, certificate)
        ends.ask("EHLO c")
        if clean:
            ends.client.setblocking(False)
            with contextlib.suppress(ssl.SSLWantReadError):
                ends.client.unwrap()
        time.sleep(0.1)
        socket.socket(fileno=ends.client.detach()).close()
        time.sleep(0.1)
    assert ends.supervisor.ended[0] == reason


def test_fault_13_half_a_mail_over_tls_is_none(certificate, context):
    with secured(context) as ends:
        ends.hear()
        assert ends.code("EHLO c", "STARTTLS") == 220
        wrap(ends, certificate)
        assert ends.code(*ENVELOPE, "DATA") == 354
        ends.say("half")
        ends.client.setblocking(False)
        with contextlib.suppress(ssl.SSLWantReadError):
            ends.client.unwrap()
        socket.socket(fileno=ends.client.detach()).close()
        time.sleep(0.2)
    assert ends.delivery.mails == []
    assert ends.supervisor.ended[0] == "cut off in a mail"


# The broker, in its role.


class Broker:
    """The broker's process; ``control``: a supervisor's end of the way to it."""

    def __init__(self, context, policy=sandbox.REQUIRE):
        ours, theirs = pair()
        self.child = os.fork()
        if not self.child:
            try:
                descriptors.keep_only({theirs})
                tls.run([theirs], settings(sandbox=policy), context, Silent())
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(theirs)
        self.control = Channel(ours)

    def __call__(self, connection):
        plain, plain_worker = (end.detach() for end in socket.socketpair())
        control, control_worker = pair()
        self.control.send(rows.TLS_SESSION, 1, descriptors=(connection, plain, control))
        for descriptor in (connection, plain, control):
            os.close(descriptor)
        return plain_worker, control_worker

    def end(self):
        self.control.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])


class Silent:
    """A journal that nobody reads."""

    def write(self, *_, **__):
        pass


@contextlib.contextmanager
def brokered(context):
    broker = Broker(context)
    try:
        yield broker
    finally:
        assert broker.end() == 0


def children_of(process):
    with open(f"/proc/{process}/task/{process}/children") as listing:
        return listing.read().split()


def test_a_confined_broker_serves_one_session_after_the_other(certificate, context):
    with brokered(context) as broker:
        for number in range(5):
            with serving(flags=rows.WITH_TLS | rows.TLS_FIRST, swap=broker, tcp=True) as ends:
                wrap(ends, certificate)
                assert ends.hear().startswith("220")
                assert ends.code(*ENVELOPE, "DATA", b"x" * 300_000 + b"\r\n.\r\n") == 250
                assert len(children_of(broker.child)) == 1, number
                assert ends.code("QUIT") == 221
                ends.client.close()
        until = time.monotonic() + 5
        while children_of(broker.child) and time.monotonic() < until:
            time.sleep(0.05)
        assert children_of(broker.child) == []  # none is left, not even as a zombie
        broker.control.send(rows.PING, 7)
        assert broker.control.receive((rows.PONG,)).number("count") == 7
    gc.unfreeze()


def test_a_confined_terminator_refuses_in_words_too(context):
    with brokered(context) as broker:
        with serving(flags=rows.WITH_TLS | rows.TLS_FIRST, swap=broker, tcp=True) as ends:
            ends.say("EHLO client.example")
            with contextlib.suppress(OSError):
                while ends.client.recv(100):
                    pass
        assert ends.supervisor.ended[0] == "TLS handshake failed"


def test_the_broker_ends_with_its_last_session(certificate, context):
    broker = Broker(context)
    with serving(flags=rows.WITH_TLS | rows.TLS_FIRST, swap=broker, tcp=True) as ends:
        wrap(ends, certificate)
        assert ends.hear().startswith("220")
        os.kill(broker.child, signal.SIGTERM)
        time.sleep(0.3)
        assert ends.code(*ENVELOPE, "DATA", "x\r\n.") == 250
        assert os.waitpid(broker.child, os.WNOHANG) == (0, 0)
        assert ends.code("QUIT") == 221
        ends.client.close()
    assert broker.end() == 0


def test_a_further_supervisor_may_come_and_junk_goes(context):
    with brokered(context) as broker:
        one, other = pair()
        broker.control.send(rows.CONTROL, descriptors=(other,))
        os.close(other)
        second = Channel(one)
        second.send(rows.PING, 1)
        assert second.receive((rows.PONG,)).number("count") == 1
        second._socket.send(b"junk")
        with pytest.raises(ChannelGone):
            second.receive((rows.PONG,))
        second.close()
        broker.control.send(rows.PING, 2)
        assert broker.control.receive((rows.PONG,)).number("count") == 2


@pytest.mark.parametrize("first", [False, True])
def test_smtplib(certificate, context, first):
    with brokered(context) as broker:
        ends = Ends(flags=rows.WITH_TLS | (rows.TLS_FIRST if first else 0), swap=broker, tcp=True)
        client_context = certificate.client_context()

        class Client(smtplib.SMTP):
            def _get_socket(self, *_):
                sock = ends.client
                return client_context.wrap_socket(sock, server_hostname="localhost") if first else sock

        with serving(ends=ends), Client("localhost", 25, local_hostname="client.example") as client:
            if not first:
                client.starttls(context=client_context)
            client.sendmail("a@example.org", ["b@example.org"], "Subject: x\n\n.dot\n")
        assert ends.delivery.mails == [b"Subject: x\n\n.dot\n"]
