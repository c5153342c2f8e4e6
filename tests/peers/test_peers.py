"""The peers themselves, seen with smtplib: each port of each takes mail as the test bed says, byte for byte."""

import contextlib
import re
import smtplib
import socket
import subprocess
import sys

import pytest
from tests.support import certificates
from tests.support.peers.base import PASSWORD, USER
from tests.support.peers.small import microsocks, nsd
from tests.support.peers.ways import ways
from tests.support.scripted import ScriptedServer

HEADER = (
    b"From: me@example.org\r\nDate: Sun, 22 Nov 2026 16:48:01 +0000\r\nMessage-ID: <1@example.org>\r\nSubject: hi\r\n"
)
MAIL = HEADER + b"\r\n.dot\r\n..\r\nlast\r\n"


@contextlib.contextmanager
def session(peer, port, password=PASSWORD):
    context = certificates.localhost().client_context()
    number = peer.ports[port]
    if port == "submissions":
        client = smtplib.SMTP_SSL("127.0.0.1", number, context=context, timeout=20)
    else:
        client = {"lmtp": smtplib.LMTP}.get(port, smtplib.SMTP)("127.0.0.1", number, timeout=20)
    try:
        client.ehlo()
        if port in {"smtp", "submission"} and client.has_extn("STARTTLS"):
            client.starttls(context=context)
        if port in {"submission", "submissions"}:
            client.login(USER, password)
        yield client
    finally:
        client.close()


@ways()
def test_mail_arrives_byte_for_byte(peer, way):
    with session(peer, way[1]) as client:
        assert client.sendmail("me@example.org", ["ann@example.org", "bob@example.org"], MAIL) == {}
    deliveries = peer.deliveries(2)
    assert {delivery.content for delivery in deliveries} == {MAIL}
    assert sorted(re.sub("@.*", "", delivery.recipient) for delivery in deliveries) == ["ann", "bob"]


@ways("submission", "submissions")
def test_wrong_passwords_are_refused(peer, way):
    with pytest.raises(smtplib.SMTPAuthenticationError), session(peer, way[1], "wrong"):
        pass


@ways("submissions")
def test_ports_that_need_authentication_refuse_those_without(peer, way):
    context = certificates.localhost().client_context()
    with smtplib.SMTP_SSL("127.0.0.1", peer.ports["submissions"], context=context, timeout=20) as client:
        client.ehlo()
        answers = [client.mail("me@example.org")[0], client.rcpt("ann@example.org")[0]]
    assert max(answers) >= 500


# The relay behind Dovecot's submission decides about recipients, and takes everybody.
@ways(without=(("dovecot", "submission"), ("dovecot", "submissions")))
def test_unknown_recipients_are_refused(peer, way):
    with session(peer, way[1]) as client:
        refused = client.sendmail("me@example.org", ["unknown@example.org", "carol@example.org"], MAIL)
    assert {address: 550 <= answer[0] <= 554 for address, answer in refused.items()} == {"unknown@example.org": True}
    assert [delivery.content for delivery in peer.deliveries(1)] == [MAIL]


def test_a_socks_proxy_passes_names_on(tmp_path):
    with (
        ScriptedServer() as server,
        ScriptedServer(address="::1", port=server.port),  # whichever address the proxy finds for localhost
        microsocks(tmp_path) as (port, log),
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        client.sendall(b"\x05\x01\x00")
        assert client.recv(2) == b"\x05\x00"
        client.sendall(b"\x05\x01\x00\x03\x09localhost" + server.port.to_bytes(2, "big"))
        assert client.recv(10)[:2] == b"\x05\x00"
        assert client.recv(100).startswith(b"220 ")
        assert f"localhost:{server.port}" in log.read_text()


ZONE = """$TTL 60
@ IN SOA ns.example.org. me.example.org. 1 60 60 60 60
@ IN NS ns
_submission._tcp IN SRV 0 1 587 mail
"""


def test_a_name_server_answers_with_the_zone_of_the_test(tmp_path):
    query = (
        "import dns.resolver, sys; r = dns.resolver.Resolver(configure=False); r.nameservers = ['127.0.0.1']; r.port = int(sys.argv[1])\n"
        "print(*r.resolve('_submission._tcp.example.org', 'SRV'))"
    )
    with nsd(tmp_path, {"example.org": ZONE}) as port:
        done = subprocess.run([sys.executable, "-c", query, str(port)], capture_output=True, text=True, check=True)
    assert done.stdout == "0 1 587 mail.example.org.\n"
