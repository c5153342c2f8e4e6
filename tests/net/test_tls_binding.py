"""The channel binding we compute is the one OpenSSL itself exports, on the other side of the same session."""

from __future__ import annotations

import os
import ssl

import pytest
from OpenSSL import SSL
from tests.support.certificates import authority, localhost
from tests.support.handshakes import shake

from msmtp.failures import CertificateFailure
from msmtp.net import binding
from msmtp.net.binding import expand_label, extensions
from msmtp.net.tls import Engine, TlsSettings, prepare

WANTED = TlsSettings(trust_file=str(authority().file), channel_binding_wanted=True)


def shake_with_pyopenssl(
    *, version: int = SSL.TLS1_3_VERSION, ciphersuites: bytes = b""
) -> tuple[Engine, SSL.Connection]:
    """A session of our engine with pyOpenSSL, which can export keying material."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_chain_file(str(localhost().chain))
    context.use_privatekey_file(str(localhost().key))
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    if ciphersuites:
        context.set_tls13_ciphersuites(ciphersuites)
    server = SSL.Connection(context)
    server.set_accept_state()
    engine = prepare(WANTED, "localhost").engine()
    for _ in range(6):
        done = engine.handshake()
        if data := engine.outgoing():
            server.bio_write(data)
        try:
            server.do_handshake()
            server_done = True
        except SSL.WantReadError:
            server_done = False
        try:
            engine.receive(server.bio_read(1 << 16))
        except SSL.WantReadError:
            pass
        if done and server_done:
            return engine, server
    raise AssertionError("no end of the handshake")


@pytest.mark.parametrize(
    "suite", [b"TLS_AES_256_GCM_SHA384", b"TLS_AES_128_GCM_SHA256", b"TLS_CHACHA20_POLY1305_SHA256"]
)
def test_tls_exporter_is_what_openssl_exports(suite: bytes) -> None:
    engine, server = shake_with_pyopenssl(ciphersuites=suite)
    assert engine.info is not None
    assert engine.info.cipher == suite.decode()
    assert engine.info.channel_binding == (
        b"tls-exporter",
        server.export_keying_material(b"EXPORTER-Channel-Binding", 32, b""),
    )


def test_where_there_is_no_proc_there_is_no_binding_but_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "DESCRIPTORS", "/nonexistent")
    engine, _ = shake_with_pyopenssl()
    assert engine.info is not None
    assert engine.info.version == "TLSv1.3"
    assert engine.info.channel_binding is None


def test_tls_unique_is_what_the_server_saw() -> None:
    engine, server = shake_with_pyopenssl(version=SSL.TLS1_2_VERSION)
    assert engine.info is not None
    assert engine.info.channel_binding == (b"tls-unique", server.get_peer_finished())


def test_tls_unique_is_what_pythons_server_says_it_is() -> None:
    engine, server = shake(
        prepare(WANTED, "localhost"), localhost().server_context(maximum_version=ssl.TLSVersion.TLSv1_2)
    )
    assert engine.info is not None
    assert engine.info.channel_binding == (b"tls-unique", server.session.get_channel_binding("tls-unique"))


def test_two_sessions_have_two_bindings() -> None:
    bindings = {shake_with_pyopenssl()[0].info.channel_binding for _ in range(3)}  # type: ignore[union-attr]
    assert len(bindings) == 3


def test_without_the_extended_master_secret_tls_unique_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = engine_without_extension(monkeypatch)
    assert hidden.info is not None
    assert hidden.info.channel_binding is None


def engine_without_extension(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """As if the server had not answered the extension: OpenSSL's servers cannot be told to leave it out."""
    monkeypatch.setattr("msmtp.net.binding.extensions", lambda hello: dict.fromkeys(set(extensions(hello)) - {23}, b""))
    return shake_with_pyopenssl(version=SSL.TLS1_2_VERSION)[0]


def test_nothing_is_logged_unless_it_is_wanted() -> None:
    tls = prepare(TlsSettings(trust_file=str(authority().file)), "localhost")
    assert tls.context.keylog_filename is None
    assert shake(tls, localhost().server_context())[0].info.channel_binding is None  # type: ignore[union-attr]


def test_the_log_is_closed_after_the_handshake_and_after_a_failure() -> None:
    before = len(os.listdir("/proc/self/fd"))
    tls = prepare(WANTED, "localhost")
    assert len(os.listdir("/proc/self/fd")) == before + 2
    shake(tls, localhost().server_context())
    assert tls.context.keylog_filename is None
    assert len(os.listdir("/proc/self/fd")) == before

    tls = prepare(WANTED, "elsewhere.example")
    with pytest.raises(CertificateFailure):
        shake(tls, localhost().server_context())
    assert tls.context.keylog_filename is None
    assert len(os.listdir("/proc/self/fd")) == before

    unused = prepare(WANTED, "localhost")
    del unused, tls
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_key_schedule_of_rfc_8448() -> None:
    """RFC 8448, section 3, {server} derive secret for handshake "tls13 derived"."""
    early = bytes.fromhex("33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a")
    empty = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    derived = bytes.fromhex("6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba")
    assert expand_label(early, "sha256", b"derived", empty, 32) == derived


@pytest.mark.parametrize("hello", [b"", b"\2\0\0\0", bytes(38), bytes(38) + b"\xff" * 9, bytes(44) + b"\0\x17\xff\xff"])
def test_a_short_server_hello_has_the_extensions_it_has(hello: bytes) -> None:
    assert set(extensions(hello)) <= {0x17}
