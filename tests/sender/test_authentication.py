"""Whole runs of msmtp that authenticate: to GNU SASL behind a scripted server, bound to the TLS session where it can be."""

from __future__ import annotations

import base64
import os
import subprocess
import sys

import pytest
from OpenSSL import SSL
from tests.support import certificates
from tests.support.sasl import dovecot
from tests.support.sasl.over_smtp import Authenticating, BoundTls, binding_of
from tests.support.scripted import Polite, ScriptedServer
from tests.support.sending import account, msmtp

TICKET = """
import gssapi
name = gssapi.Name(b"joe", gssapi.NameType.user)
got = gssapi.raw.acquire_cred_with_password(name, b"secret", mechs=[gssapi.MechType.kerberos], usage="initiate")
gssapi.raw.store_cred(got.creds, usage="initiate", overwrite=True)
"""
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


def test_a_host_in_other_letters_needs_no_file_once_the_sandbox_is_entered(tmp_path):
    """Behind a unix socket nothing else has asked for its ASCII form before."""
    settings = "sandbox require\nhost b\u00fccher.example\nauth plain\nuser joe\npassword secret\nfrom a@example.org\n"
    with ScriptedServer(Polite(mechanisms=["PLAIN"]), address=tmp_path / "s") as peer:
        run = msmtp(tmp_path, f"account default\nsocket {tmp_path / 's'}\n{settings}", TO)
    assert (run.code, run.err) == (0, "")
    assert peer.sessions[0].user


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_a_server_without_plus_is_told_that_we_could(tmp_path, version):
    """RFC 5802, 6: with y in the first message a server that did offer -PLUS learns that somebody took it away."""
    with server(["SCRAM-SHA-256"], version) as peer:
        run = msmtp(tmp_path, account(peer.port, settings("on")), TO)
    assert run.code == 0, run.err
    first = peer.sessions[0].transcript.client.split(b"AUTH SCRAM-SHA-256 ")[1].split(b"\r\n")[0]
    assert base64.b64decode(first).startswith(b"y,,")


def test_plus_by_name_is_refused_where_nothing_can_be_bound(tmp_path):
    with ScriptedServer(Authenticating(EVERYTHING)) as peer:
        run = msmtp(tmp_path, account(peer.port, "auth scram-sha-256-plus\nuser joe\npassword secret\n"), TO)
    assert run.code == 69
    assert "needs a TLS connection with channel binding" in run.err
    assert b"AUTH" not in peer.sessions[0].transcript.client


# -- all mechanisms, against Dovecot

ALL = (
    "plain", "login", "cram-md5", "digest-md5", "scram-sha-1", "scram-sha-256", "oauthbearer", "xoauth2", "ntlm",
)  # fmt: skip


@pytest.fixture(scope="module")
def dovecot_service():
    """With its distribution centre at the port that the sandbox lets a sender reach, on an address of this process."""
    number = os.getpid()
    with dovecot.service((f"127.{number >> 16 & 255}.{number >> 8 & 255}.{(number & 255) | 1}", 88)) as running:
        yield running


def behind(service, name, **more):
    """A server that asks Dovecot."""
    return ScriptedServer(
        Authenticating([name.upper()], begin=lambda name, _: service.exchange(name), **more), raise_errors=False
    )


def in_clear(auth, password):
    return f"auth {auth}\nuser joe\npassword {password}\n"


@pytest.mark.parametrize("name", ALL)
def test_every_mechanism_works_confined_as_far_as_can_be(tmp_path, dovecot_service, name):
    password = dovecot.TOKEN if "oauth" in name else "secret"
    with behind(dovecot_service, name) as peer:
        run = msmtp(tmp_path, account(peer.port, in_clear(name, password)), "--sandbox=require", TO)
    assert (run.code, run.err) == (0, "")
    assert peer.mails


@pytest.mark.parametrize("name", ALL)
def test_every_mechanism_refused_is_a_matter_of_the_password(tmp_path, dovecot_service, name):
    with behind(dovecot_service, name) as peer:
        run = msmtp(tmp_path, account(peer.port, in_clear(name, "wrong")), "--sandbox=require", TO)
    assert run.code == 77, run.err
    assert f"msmtp: authentication failed (method {name.upper()})\nmsmtp: server message: 535 " in run.err
    assert "exitcode=EX_NOPERM" in run.log
    assert not peer.mails


# Dovecot 2.4 says nothing but no to XOAUTH2.
@pytest.mark.parametrize("name", ["oauthbearer", pytest.param("xoauth2", marks=pytest.mark.releases("bookworm"))])
def test_the_reason_for_which_a_token_is_refused_is_told(tmp_path, dovecot_service, name):
    """It comes in a challenge of its own, before the reply that only says no (RFC 7628, 3.2.2)."""
    with behind(dovecot_service, name) as peer:
        run = msmtp(tmp_path, account(peer.port, in_clear(name, "expired")), TO)
    assert run.code == 77
    assert 'server message: 334 {"status":' in run.err
    assert '"status"' in run.log


def test_external_with_a_client_certificate(tmp_path, dovecot_service):
    authority = certificates.new_authority()
    shown, ours = authority.issue(), authority.issue("joe@example.org")
    behaviour = Authenticating(["EXTERNAL"], starttls=True, begin=lambda name, _: dovecot_service.exchange(name))
    more = (
        f"tls on\ntls_trust_file {shown.authority}\ntls_cert_file {ours.chain}\ntls_key_file {ours.key}\n"
        "auth external\nuser joe\n"
    )
    with ScriptedServer(behaviour, tls=BoundTls(shown, client=True), raise_errors=False) as peer:
        run = msmtp(tmp_path, account(peer.port, more), "--sandbox=require", TO)
        client = peer.sessions[0].tls.session.get_peer_certificate()
    assert (run.code, run.err) == (0, "")
    assert client is not None
    assert peer.mails


@pytest.fixture(scope="module")
def ticket(dovecot_service):
    """A ticket for joe; the environment to find it with."""
    pytest.importorskip("gssapi", reason="Debian builds it for its own Python, pip has nothing that is built")
    environment = {**os.environ, **dovecot_service.kerberos}
    subprocess.run([sys.executable, "-c", TICKET], env=environment, check=True, capture_output=True)
    return dovecot_service.kerberos


def test_gssapi_fetches_its_ticket_in_the_role_for_it(tmp_path, dovecot_service, ticket):
    with behind(dovecot_service, "gssapi") as peer:
        text = account(peer.port, "auth gssapi\nuser joe\n").replace("host 127.0.0.1", "host localhost")
        run = msmtp(tmp_path, text, "--sandbox=require", TO, environment=ticket)
    assert (run.code, run.err) == (0, "")
    assert peer.mails


def test_gssapi_without_a_ticket_says_what_to_do(tmp_path, dovecot_service, ticket):
    nothing = {**ticket, "KRB5CCNAME": f"FILE:{tmp_path}/none"}
    with behind(dovecot_service, "gssapi") as peer:
        run = msmtp(
            tmp_path, account(peer.port, "auth gssapi\nuser joe\n"), "--sandbox=require", TO, environment=nothing
        )
    assert run.code == 70
    assert "msmtp: authentication failed (method GSSAPI): Kerberos: " in run.err
    assert "get one with kinit" in run.err
