"""SCRAM bound to real TLS sessions: each side takes the binding from its own end, GNU SASL compares."""

import contextlib

import pytest
from OpenSSL import SSL
from tests.support import certificates
from tests.support.sasl.dialogue import Refused, authenticate
from tests.support.sasl.gsasl import Gsasl

from msmtp.sasl import Credentials, choose, create

NONCE = b"0123456789abcdef0123456789abcdef"
VERSIONS = {b"tls-exporter": SSL.TLS1_3_VERSION, b"tls-unique": SSL.TLS1_2_VERSION}


def contexts(version):
    certificate = certificates.localhost()
    server, client = SSL.Context(SSL.TLS_SERVER_METHOD), SSL.Context(SSL.TLS_CLIENT_METHOD)
    server.use_certificate_chain_file(str(certificate.chain))
    server.use_privatekey_file(str(certificate.key))
    for context in (server, client):
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
    return client, server


def session(version):
    """A TLS session in memory: its two ends."""
    client, server = (SSL.Connection(context, None) for context in contexts(version))
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(4):
        for end, other in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                end.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                other.bio_write(end.bio_read(1 << 16))
    return client, server


def binding(kind, client, server):
    """What the two ends say the channel binding is."""
    if kind == b"tls-exporter":  # RFC 9266, 4.2
        return tuple(
            (kind, end.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")) for end in (client, server)
        )
    return (kind, client.get_finished()), (kind, server.get_peer_finished())  # RFC 5929, 3.1


@pytest.mark.parametrize("hash_name", [b"1", b"256"])
@pytest.mark.parametrize("kind", VERSIONS)
def test_same_session_is_accepted(kind, hash_name):
    ours, theirs = binding(kind, *session(VERSIONS[kind]))
    assert ours == theirs
    name = choose((b"PLAIN", b"SCRAM-SHA-%s-PLUS" % hash_name), tls=True, channel_binding=True)
    known = Credentials(b"joe", b"secret", nonce=NONCE, channel_binding=ours)
    with Gsasl(name, b"joe", b"secret", channel_binding=theirs) as foreign:
        authenticate(create(name, known), foreign)


@pytest.mark.parametrize("kind", VERSIONS)
def test_two_sessions_with_somebody_between_are_found_out(kind):
    ours, _ = binding(kind, *session(VERSIONS[kind]))
    _, theirs = binding(kind, *session(VERSIONS[kind]))
    known = Credentials(b"joe", b"secret", nonce=NONCE, channel_binding=ours)
    with Gsasl(b"SCRAM-SHA-256-PLUS", b"joe", b"secret", channel_binding=theirs) as foreign, pytest.raises(Refused):
        authenticate(create(b"SCRAM-SHA-256-PLUS", known), foreign)
