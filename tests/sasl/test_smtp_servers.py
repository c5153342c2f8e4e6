"""Our mechanisms on the wire: Postfix, Exim and Dovecot over SMTP and TLS."""

import contextlib
import smtplib
from base64 import b64encode

import pytest
from tests.support import certificates
from tests.support.peers.base import PASSWORD, USER
from tests.support.peers.dovecot import dovecot
from tests.support.peers.exim import exim
from tests.support.peers.postfix import postfix

from msmtp.sasl import Credentials, check, choose, create
from msmtp.smtp.replies import from_base64

NONCE = b"0123456789abcdef0123456789abcdef"
ACCEPTED, GO_ON = 235, 334


@pytest.fixture(scope="module", params=[postfix, exim, dovecot], ids=["postfix", "exim", "dovecot"])
def peer(request):
    with request.param() as running:
        yield running


@contextlib.contextmanager
def session(peer):
    """An SMTP session under TLS, and the mechanisms it offers."""
    context = certificates.localhost().client_context()
    with smtplib.SMTP_SSL("localhost", peer.ports["submissions"], context=context) as smtp:
        smtp.ehlo()
        yield smtp, tuple(smtp.esmtp_features["auth"].encode().split())


def log_in(smtp, mechanism):
    """Carry the exchange over the wire (RFC 4954, 4); returns the final reply."""
    initial = mechanism.start()
    words = [mechanism.name] if initial is None else [mechanism.name, b64encode(initial) or b"="]
    code, text = smtp.docmd("AUTH", b" ".join(words).decode())
    while code == GO_ON:
        code, text = smtp.docmd(b64encode(mechanism.next(from_base64(text))).decode())
    return code, text


def client(name, offered, password=PASSWORD):
    return create(name, Credentials(USER.encode(), password.encode(), nonce=NONCE, host=b"localhost"), offered)


@pytest.mark.parametrize("name", [b"PLAIN", b"LOGIN", b"CRAM-MD5", b"SCRAM-SHA-1", b"SCRAM-SHA-256"])
def test_every_mechanism_that_is_offered_works(peer, name):
    with session(peer) as (smtp, offered):
        if name not in offered:
            assert (peer.name, name[:5]) == ("Exim", b"SCRAM")
            return
        mechanism = client(check(name, offered, channel_binding=False), offered)
        code, text = log_in(smtp, mechanism)
        assert code == ACCEPTED, text
        mechanism.finished()


def test_automatic_choice_is_the_best_there_is_and_works(peer):
    with session(peer) as (smtp, offered):
        name = choose(offered, tls=True, channel_binding=False)
        assert name == (b"PLAIN" if peer.name == "Exim" else b"SCRAM-SHA-256")
        assert log_in(smtp, client(name, offered))[0] == ACCEPTED


def test_wrong_password_is_refused(peer):
    with session(peer) as (smtp, offered):
        code, text = log_in(smtp, client(choose(offered, tls=True, channel_binding=False), offered, "wrong"))
        assert (code, text[:5]) in [(535, b"5.7.8"), (535, b"Incor")]
