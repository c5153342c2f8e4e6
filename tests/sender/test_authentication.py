"""Whole runs of msmtp that authenticate: to GNU SASL behind a scripted server, bound to the TLS session where it can be."""

from __future__ import annotations

import pytest
from OpenSSL import SSL
from tests.support import certificates
from tests.support.sasl.over_smtp import Authenticating, BoundTls, binding_of
from tests.support.scripted import ScriptedServer
from tests.support.sending import account, msmtp

TO = "jane@example.net"
VERSIONS = {"tls-exporter": SSL.TLS1_3_VERSION, "tls-unique": SSL.TLS1_2_VERSION}
EVERYTHING = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"]


def settings(auth, *, starttls=True, password="secret"):
    trust = certificates.localhost().authority
    return (
        f"tls on\ntls_trust_file {trust}\ntls_starttls {'on' if starttls else 'off'}\n"
        f"auth {auth}\nuser joe\npassword {password}\n"
    )


def server(mechanisms, version, *, starttls=True, **more):
    return ScriptedServer(
        Authenticating(mechanisms, starttls=starttls, **more),
        tls=BoundTls(certificates.localhost(), version),
        implicit=not starttls,
        raise_errors=False,
    )


@pytest.mark.parametrize("starttls", [True, False], ids=["starttls", "implicit"])
@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
@pytest.mark.parametrize("auth", ["scram-sha-256-plus", "scram-sha-1-plus", "on"])
def test_plus_works_against_another_library(tmp_path, auth, version, starttls):
    with server(EVERYTHING, version, starttls=starttls) as peer:
        run = msmtp(tmp_path, account(peer.port, settings(auth, starttls=starttls)), "--sandbox=require", TO)
    assert (run.code, run.err) == (0, "")
    assert peer.sessions[0].memory["mechanism"].endswith(b"-PLUS")
    assert peer.mails


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
@pytest.mark.parametrize("auth", ["scram-sha-256-plus", "scram-sha-1-plus", "on"])
def test_a_man_in_the_middle_with_a_tls_session_of_his_own_gets_nothing(tmp_path, auth, version):
    """He has a certificate that is trusted, and hands every message on; but the server has another session than we."""

    def elsewhere(session):
        kind, value = binding_of(session)
        return kind, bytes(octet ^ 1 for octet in value)

    with server(EVERYTHING, version, binding=elsewhere) as peer:
        run = msmtp(tmp_path, account(peer.port, settings(auth)), TO)
    assert run.code == 77
    assert "authentication failed (method SCRAM-SHA-" in run.err
    assert not peer.mails
    assert peer.sessions[0].user is None


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_a_list_of_mechanisms_from_which_plus_was_taken_is_noticed(tmp_path, version):
    """RFC 5802, 6: we say that we could, GNU SASL knows that it can; one who told us otherwise is found out."""
    binding = {}

    class Cut(Authenticating):
        def do_auth(self, session, rest):
            binding["value"] = binding_of(session)
            super().do_auth(session, rest)

    with ScriptedServer(
        Cut(["SCRAM-SHA-256"], starttls=True), tls=BoundTls(certificates.localhost(), version), raise_errors=False
    ) as peer:
        run = msmtp(tmp_path, account(peer.port, settings("on")), "--debug", TO)
    assert run.code == 0, run.err  # this GNU SASL does not announce -PLUS, so it does not mind
    import base64

    first = peer.sessions[0].transcript.client.split(b"AUTH SCRAM-SHA-256 ")[1].split(b"\r\n")[0]
    assert base64.b64decode(first).startswith(b"y,,")
