"""The TLS engine against a server in memory: who is trusted, what is refused and in which words, what goes through."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.certificates import Certificate, authority, localhost, new_authority
from tests.support.handshakes import Server, shake
from tests.support.terminal import Terminal

from msmtp.failures import (
    CertificateFailure,
    ConfigFailure,
    Failure,
    InterruptFailure,
    NetworkFailure,
    TlsFileFailure,
    TlsHandshakeFailure,
    TlsSetupFailure,
)
from msmtp.net import trust
from msmtp.net.tls import TlsSettings, chain, prepare

HOST = "localhost"
NOT_TRUSTED = "TLS certificate verification failed: The certificate is NOT trusted. "


def settings(**changes: object) -> TlsSettings:
    return TlsSettings(**{"trust_file": str(authority().file), **changes})  # type: ignore[arg-type]


def failure(certificate: Certificate, host: str = HOST, **changes: object) -> Failure:
    with pytest.raises(Failure) as caught:
        shake(prepare(settings(**changes), host), certificate.server_context())
    return caught.value


def fingerprint(certificate: Certificate, name: str = "sha256") -> bytes:
    return hashlib.new(name, certificate.der(), usedforsecurity=False).digest()


# -- who is trusted


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("host", [HOST, "LOCALHOST", "localhost.", "127.0.0.1", "::1"])
def test_a_certificate_of_the_trusted_authority_for_the_host_is_accepted(host: str, version: ssl.TLSVersion) -> None:
    engine, server = shake(prepare(settings(), host), localhost().server_context(maximum_version=version))
    assert engine.info is not None
    assert engine.info.version == {771: "TLSv1.2", 772: "TLSv1.3"}[version]
    assert engine.info.certificate == localhost().der()
    assert server.session.version() == engine.info.version


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_the_handshake_does_not_depend_on_how_the_bytes_arrive(chunk: int) -> None:
    engine, server = shake(prepare(settings(), HOST), localhost().server_context(), chunk)
    assert server.hear(engine.encrypt(b"EHLO x\r\n")) == b"EHLO x\r\n"


@pytest.mark.parametrize("name", ["sha256", "sha1", "md5"])
def test_a_fingerprint_is_enough_whatever_else_is_wrong(name: str) -> None:
    certificate = new_authority().expired("elsewhere.example")
    shake(prepare(settings(fingerprint=fingerprint(certificate, name)), HOST), certificate.server_context())


@pytest.mark.parametrize("size", [32, 20, 16])
def test_another_fingerprint_is_refused_and_the_right_one_is_told(size: int) -> None:
    caught = failure(localhost(), fingerprint=bytes(size))
    assert isinstance(caught, CertificateFailure)
    assert caught.message == "TLS certificate verification failed: the certificate fingerprint does not match"
    name = {32: "sha256", 20: "sha1", 16: "md5"}[size]
    assert fingerprint(localhost(), name).hex(":").upper() in caught.hint


def test_without_certcheck_every_certificate_goes() -> None:
    certificate = new_authority().expired("elsewhere.example")
    wrong = bytes(32)
    shake(prepare(settings(certcheck=False, trust_file="", fingerprint=wrong), HOST), certificate.server_context())


def test_without_any_authority_nobody_is_trusted() -> None:
    assert failure(localhost(), trust_file="").message == NOT_TRUSTED + "The certificate issuer is unknown."


def test_the_server_hears_the_host_name_even_if_another_is_expected() -> None:
    context, heard = authority().issue("other.example").server_context(), []
    context.sni_callback = lambda _session, name, _context: heard.append(name)
    shake(prepare(settings(host_override="other.example"), HOST), context)
    assert heard == [HOST]


def test_an_address_is_not_sent_as_a_server_name() -> None:
    context, heard = localhost().server_context(), []
    context.sni_callback = lambda _session, name, _context: heard.append(name)
    shake(prepare(settings(), "127.0.0.1"), context)
    assert heard == [None]


@pytest.mark.parametrize(
    ("host", "override"), [("bücher.example", ""), ("localhost", "bücher.example"), ("", "bücher.example")]
)
def test_names_in_other_letters_are_compared_in_their_ascii_form(host: str, override: str) -> None:
    certificate = authority().issue("xn--bcher-kva.example")
    shake(prepare(settings(host_override=override), host), certificate.server_context())


def test_a_unix_socket_has_no_host_but_somebody_is_expected() -> None:
    shake(prepare(settings(host_override="localhost"), ""), localhost().server_context())
    message = NOT_TRUSTED + "The name in the certificate does not match the expected."
    assert failure(localhost(), "", host_override="other.example").message == message
    assert failure(localhost(), "").message == message


@pytest.mark.parametrize("host", [".example", "a\0b", "x" * 300])
def test_what_cannot_be_a_host_is_told(host: str) -> None:
    with pytest.raises(TlsSetupFailure, match=r"^cannot set host '.*' for TLS session: "):
        prepare(settings(), host).engine()


# -- what is refused


def test_an_unknown_issuer_is_refused_and_both_ways_out_are_told() -> None:
    certificate = new_authority("Nobody knows").issue()
    caught = failure(certificate)
    assert isinstance(caught, CertificateFailure)
    assert caught.exit_code == 69
    assert caught.message == NOT_TRUSTED + "The certificate issuer is unknown."
    assert "OU=Nobody knows" in caught.hint
    assert "tls_trust_file" in caught.hint
    assert "tls_fingerprint " + fingerprint(certificate).hex(":").upper() in caught.hint


def test_another_host_is_refused_and_the_names_of_the_certificate_are_told() -> None:
    caught = failure(authority().issue("mail.example.org", "*.wild.example", "192.0.2.1", "2001:db8::1"))
    assert caught.message == NOT_TRUSTED + "The name in the certificate does not match the expected."
    assert "mail.example.org, *.wild.example, 192.0.2.1, 2001:db8::1, not for localhost" in caught.hint
    assert "tls_host_override" in caught.hint


@pytest.mark.parametrize("host", ["127.0.0.2", "::2", "nobody.example"])
def test_an_address_or_name_that_the_certificate_lacks_is_refused(host: str) -> None:
    assert (
        failure(localhost(), host).message == NOT_TRUSTED + "The name in the certificate does not match the expected."
    )


def test_an_expected_name_that_the_certificate_lacks_is_refused() -> None:
    caught = failure(localhost(), host_override="other.example")
    assert caught.message == NOT_TRUSTED + "The name in the certificate does not match the expected."
    assert "not for other.example" in caught.hint


def test_an_expected_name_does_not_replace_the_authority() -> None:
    caught = failure(new_authority().issue(), host_override=HOST)
    assert caught.message == NOT_TRUSTED + "The certificate issuer is unknown."


def test_an_expired_certificate_is_refused_with_its_day() -> None:
    caught = failure(authority().expired())
    assert caught.message == NOT_TRUSTED + "The certificate chain uses expired certificate."
    assert " expired on 20" in caught.hint


def test_a_certificate_from_the_future_is_refused_with_its_day() -> None:
    caught = failure(authority().future())
    assert caught.message == NOT_TRUSTED + "The certificate chain uses not yet valid certificate."
    assert "is valid from 20" in caught.hint


def test_old_versions_of_tls_are_not_spoken() -> None:
    context = localhost().server_context()
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(TlsHandshakeFailure, match=r"^TLS handshake failed: A TLS fatal alert has been received"):
        shake_until_refused(context)


def shake_until_refused(context: ssl.SSLContext) -> None:
    engine, server = prepare(settings(), HOST).engine(), Server(context)
    for _ in range(4):
        engine.handshake()
        server.incoming.write(engine.outgoing())
        server.handshake()
        engine.receive(server.outgoing.read())


def test_an_answer_that_is_not_tls_is_told_with_the_likely_reason() -> None:
    engine = prepare(settings(), HOST).engine()
    engine.handshake()
    engine.receive(b"220 mail.example.org ESMTP\r\n")
    with pytest.raises(TlsHandshakeFailure, match="TLS handshake failed: wrong version number") as caught:
        engine.handshake()
    assert "tls_starttls" in caught.value.hint


def test_an_end_in_the_middle_of_the_handshake_is_told() -> None:
    engine = prepare(settings(), HOST).engine()
    assert not engine.handshake()
    engine.receive(b"")
    with pytest.raises(TlsHandshakeFailure, match="TLS handshake failed: the server closed the connection"):
        engine.handshake()


def test_the_server_is_told_why_it_is_refused() -> None:
    engine, server = prepare(settings(), "elsewhere.example").engine(), Server(localhost().server_context())
    engine.handshake()
    server.incoming.write(engine.outgoing())
    server.handshake()
    engine.receive(server.outgoing.read())
    with pytest.raises(CertificateFailure):
        engine.handshake()
    server.incoming.write(engine.outgoing())
    server.handshake()
    assert "BAD_CERTIFICATE" in str(server.error)


# -- what goes through


def test_bytes_go_through_both_ways_in_blocks_of_any_size() -> None:
    engine, server = shake(prepare(settings(), HOST), localhost().server_context())
    assert engine.plaintext(100) is None
    engine.receive(server.say(b"220 hello\r\n"))
    assert engine.plaintext(4) == b"220 "
    assert engine.plaintext(100) == b"hello\r\n"
    assert engine.plaintext(100) is None
    block = bytes(range(256)) * 1024
    heard = server.hear(engine.encrypt(block))
    while part := server.hear(b""):
        heard += part
    assert heard == block
    assert engine.encrypt(b"") == b""


def test_a_proper_farewell_is_the_end_and_a_cut_is_an_error() -> None:
    engine, server = shake(prepare(settings(), HOST), localhost().server_context())
    data = server.say(b"250 ok\r\n")
    with pytest.raises(ssl.SSLWantReadError):
        server.session.unwrap()
    engine.receive(data)
    engine.receive(server.outgoing.read())
    engine.receive(b"")
    assert engine.plaintext(100) == b"250 ok\r\n"
    assert engine.plaintext(100) == b""
    assert engine.plaintext(100) == b""

    engine, server = shake(prepare(settings(), HOST), localhost().server_context())
    engine.receive(server.say(b"250 ok\r\n"))
    engine.receive(b"")
    assert engine.plaintext(100) == b"250 ok\r\n"
    with pytest.raises(NetworkFailure, match="cannot read from TLS connection: the connection was cut off"):
        engine.plaintext(100)


def test_a_damaged_record_is_an_error() -> None:
    engine, server = shake(prepare(settings(), HOST), localhost().server_context())
    data = bytearray(server.say(b"250 ok\r\n"))
    data[-1] ^= 1
    engine.receive(bytes(data))
    with pytest.raises(NetworkFailure, match="cannot read from TLS connection: "):
        engine.plaintext(100)


def test_our_farewell_reaches_the_server_and_may_be_said_twice() -> None:
    engine, server = shake(prepare(settings(), HOST), localhost().server_context())
    engine.close()
    assert server.hear(engine.outgoing()) == b""
    engine.close()
    with pytest.raises(NetworkFailure, match="cannot write to TLS connection: "):
        engine.encrypt(b"late")


def test_tickets_that_arrive_while_we_only_write_do_no_harm() -> None:
    engine, server = shake(prepare(settings(), HOST), localhost().server_context(num_tickets=20))
    for _ in range(50):
        assert server.hear(engine.encrypt(b"x" * 1000)) == b"x" * 1000
    engine.receive(server.outgoing.read())
    assert engine.plaintext(10) is None
    engine.receive(server.say(b"250 ok\r\n"))
    assert engine.plaintext(100) == b"250 ok\r\n"


def test_a_server_that_talks_without_end_while_we_only_write_is_stopped() -> None:
    engine, server = shake(prepare(settings(), HOST), localhost().server_context())
    for _ in range(63):
        engine.receive(server.say(b"x" * 16384))
    with pytest.raises(NetworkFailure, match="without being asked"):
        engine.receive(server.say(b"x" * 16384))


class Pumped:
    """An engine over a real socket, as the stream drives it."""

    def __init__(self, port: int, **changes: object) -> None:
        self.engine = prepare(settings(**changes), HOST).engine()
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        while not self.engine.handshake():
            self.socket.sendall(self.engine.outgoing())
            self.engine.receive(self.socket.recv(65536))

    def say(self, data: bytes) -> None:
        self.socket.sendall(self.engine.encrypt(data))

    def hear(self) -> bytes:
        while (text := self.engine.plaintext(1000)) is None:
            self.socket.sendall(self.engine.outgoing())
            self.engine.receive(self.socket.recv(65536))
        return text

    def close(self) -> None:
        self.engine.close()
        self.socket.close()


@contextlib.contextmanager
def s_server(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """openssl s_server with its commands on standard input; what the client says comes out of standard output."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    certificate = ["-cert", str(localhost().chain), "-key", str(localhost().key)]
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", *certificate, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, bufsize=0) as process:
        try:
            assert process.stdout is not None
            while b"ACCEPT" not in process.stdout.readline():
                pass
            yield process, port
        finally:
            process.kill()


def command(process: subprocess.Popen[bytes], word: bytes) -> None:
    """A command of s_server, or text to send; it takes one a read."""
    assert process.stdin is not None
    process.stdin.write(word + b"\n")
    time.sleep(0.2)


def wait_for(process: subprocess.Popen[bytes], sign: bytes) -> None:
    assert process.stdout is not None
    while sign not in (line := process.stdout.readline()):
        assert line, "the server is gone"


def test_a_server_that_changes_its_keys_is_followed() -> None:
    with s_server("-tls1_3") as (process, port):
        client = Pumped(port)
        client.say(b"one\n")
        wait_for(process, b"one")
        command(process, b"K")  # a key update that wants ours
        command(process, b"hello")
        assert client.hear() == b"hello\n"
        client.say(b"two\n")
        wait_for(process, b"two")
        client.close()


def test_a_server_that_wants_to_renegotiate_is_told_no() -> None:
    with s_server("-tls1_2") as (process, port):
        client = Pumped(port)
        client.say(b"one\n")
        wait_for(process, b"one")
        command(process, b"R")
        with pytest.raises(NetworkFailure, match=r"^cannot read from TLS connection: "):
            client.hear()
        client.close()


def test_a_server_that_asks_for_a_certificate_afterwards_gets_none() -> None:
    with s_server("-tls1_3") as (process, port):
        client = Pumped(port)
        client.say(b"one\n")
        wait_for(process, b"one")
        command(process, b"c")  # post-handshake authentication, which we did not offer
        command(process, b"hello")
        assert client.hear() == b"hello\n"
        client.close()


# -- files


@pytest.mark.parametrize(
    "content", ["", "no certificate\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_trust_file_without_certificates_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "trust.pem"
    file.write_text(content)
    with pytest.raises(TlsFileFailure, match=f"^cannot set X509 trust file {file} for TLS session: ") as caught:
        prepare(settings(trust_file=str(file)), HOST)
    assert caught.value.exit_code == 66


def test_a_missing_trust_file_is_told() -> None:
    with pytest.raises(TlsFileFailure, match=r"^cannot set X509 trust file /nowhere for TLS session: No such file"):
        prepare(settings(trust_file="/nowhere"), HOST)


def test_a_key_is_no_trust_file() -> None:
    with pytest.raises(TlsFileFailure, match="no certificate or crl found"):
        prepare(settings(trust_file=str(localhost().key)), HOST)


# -- client certificates


def test_a_client_certificate_is_shown_to_the_server() -> None:
    ours = authority().issue("me.example")
    context = localhost().server_context(verify_mode=ssl.CERT_REQUIRED)
    context.load_verify_locations(authority().file)
    tls = prepare(settings(cert_file=str(ours.chain), key_file=str(ours.key)), HOST)
    engine, server = shake(tls, context)
    server.hear(engine.encrypt(b"x"))
    assert server.session.getpeercert(True) == ours.der()


def test_a_server_that_wants_a_client_certificate_says_so() -> None:
    context = localhost().server_context(verify_mode=ssl.CERT_REQUIRED)
    engine, server = shake(prepare(settings(), HOST), context)
    assert server.error is None or "CERTIFICATE" in str(server.error)
    server.handshake()
    engine.receive(server.outgoing.read())
    with pytest.raises(NetworkFailure, match=r"A TLS fatal alert has been received: alert .*certificate"):
        engine.plaintext(100)


def test_a_key_that_does_not_fit_its_certificate_is_refused_with_both_names() -> None:
    other = authority().issue()
    with pytest.raises(TlsFileFailure) as caught:
        prepare(settings(cert_file=str(localhost().chain), key_file=str(other.key)), HOST)
    assert str(other.key) in caught.value.message
    assert str(localhost().chain) in caught.value.message
    assert caught.value.exit_code == 66


@pytest.mark.parametrize("pin", [b"open sesame", b"wrong", None])
def test_an_encrypted_key_is_opened_with_the_password(pin: bytes | None, tmp_path: Path) -> None:
    ours, key = authority().issue("me.example"), tmp_path / "key.pem"
    command = ["openssl", "pkcs8", "-topk8", "-in", ours.key, "-out", key, "-passout", "pass:open sesame"]
    subprocess.run(command, check=True)
    wanted = settings(cert_file=str(ours.chain), key_file=str(key), pin=(lambda: pin) if pin else None)
    if pin == b"open sesame":
        prepare(wanted, HOST)
    else:
        with pytest.raises(TlsFileFailure, match=r"^cannot set X509 key file .* and/or X509 cert file ") as caught:
            prepare(wanted, HOST)
        assert "wrong" not in caught.value.message + caught.value.hint


def test_openssl_asks_nobody_for_the_password_of_a_key(tmp_path: Path) -> None:
    """Left to itself it would ask on the terminal, past all that decides whether anybody may be asked."""
    key = tmp_path / "key.pem"
    command = ["openssl", "pkcs8", "-topk8", "-in", localhost().key, "-out", key, "-passout", "pass:x"]
    subprocess.run(command, check=True)
    code = f"""
from msmtp.failures import TlsFileFailure
from msmtp.net.tls import TlsSettings, prepare
try:
    prepare(TlsSettings(certcheck=False, cert_file={str(localhost().chain)!r}, key_file={str(key)!r}), "localhost")
except TlsFileFailure:
    print("refused")
"""
    with Terminal(code) as terminal:
        assert terminal.end() == b"refused\n"
    assert terminal.shown == b""


def test_a_password_that_cannot_be_had_says_so_itself(tmp_path: Path) -> None:
    def nowhere() -> bytes:
        raise ConfigFailure("no password")

    key = tmp_path / "key.pem"
    command = ["openssl", "pkcs8", "-topk8", "-in", localhost().key, "-out", key, "-passout", "pass:x"]
    subprocess.run(command, check=True)
    with pytest.raises(ConfigFailure, match="no password"):
        prepare(settings(cert_file=str(localhost().chain), key_file=str(key), pin=nowhere), HOST)


def test_one_file_may_hold_the_certificate_and_the_key() -> None:
    prepare(settings(cert_file=str(localhost().both)), HOST)


# -- hostile certificates


@pytest.mark.parametrize(
    "message", [b"", b"\x0b", b"\x0b\0\0\0", b"\x0b\0\0\3\0\0\0", b"\x0b\0\0\x05\0\xff\xff\xff\0", b"\x0b" * 40]
)
def test_a_certificate_message_that_makes_no_sense_holds_no_certificates(message: bytes) -> None:
    assert chain(message) == []


def test_a_signal_while_a_message_is_looked_at_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its handler raises in whatever Python runs; the handshake itself would go well."""

    def interrupted(*_: object) -> None:
        raise InterruptFailure("interrupted by SIGTERM")

    monkeypatch.setattr(trust.Trust, "add", interrupted)
    with pytest.raises(InterruptFailure):
        shake(prepare(TlsSettings(certcheck=False), "localhost"), localhost().server_context())
