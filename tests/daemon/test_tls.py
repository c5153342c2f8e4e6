"""TLS: the processes that hold the key, with real clients; the worker's side of STARTTLS."""

from __future__ import annotations

import socket
import threading

import pytest
from tests.support.certificates import localhost
from tests.support.worker_ends import serving, settings

from msmtp.daemon import requests as rows
from msmtp.daemon import tls
from msmtp.daemon.channel import pair


@pytest.fixture(scope="module")
def certificate():
    return localhost()


@pytest.fixture(scope="module")
def context(certificate):
    return tls.load(settings(tls_cert=str(certificate.chain), tls_key=str(certificate.key)))


class Swap:
    """Plays supervisor and TLS broker for one session: a terminator in a thread."""

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


def test_starttls(certificate, context):
    swap = Swap(context)
    with serving(flags=rows.WITH_TLS, swap=swap, tcp=True) as ends:
        ends.hear()
        assert "STARTTLS" in ends.ask("EHLO client.example")
        assert ends.code("STARTTLS") == 220
        ends.client = certificate.client_context().wrap_socket(ends.client, server_hostname="localhost")
        heard = ends.ask("EHLO client.example")
        assert "STARTTLS" not in heard
        assert ends.code("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.org>", "DATA") == 354
        assert ends.code("Subject: x\r\n\r\nbody\r\n.") == 250
        assert ends.code("QUIT") == 221
        assert ends.hear() == "(end)"
        swap.thread.join(5)
    assert ends.delivery.mails == [b"Subject: x\n\nbody\n"]
    envelope = ends.delivery.told[0][1]
    assert envelope["protocol"] == rows.EXTENDED | rows.SECURED_BY_TLS
    assert envelope["tls"].startswith(b"TLSv1.3 TLS_")
    assert ends.supervisor.ended == ("quit", 1, 0)
