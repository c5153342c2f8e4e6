"""Our mechanisms against GNU SASL, both ways."""

import pytest
from tests.support.sasl import gsasl
from tests.support.sasl.dialogue import Refused, authenticate
from tests.support.sasl.gsasl import Gsasl

from msmtp.failures import MechanismFailure
from msmtp.sasl import Credentials, create, server

NONCE = b"0123456789abcdef0123456789abcdef"
BINDINGS = [(b"tls-unique", bytes(range(12))), (b"tls-exporter", bytes(range(100, 132)))]
PASSWORD_MECHANISMS = [b"PLAIN", b"LOGIN", b"CRAM-MD5", b"DIGEST-MD5", b"SCRAM-SHA-1", b"SCRAM-SHA-256"]


def client(name, user=b"joe", password=b"secret", offered=(), **more):
    return create(name, Credentials(user, password, nonce=NONCE, host=b"localhost", **more), offered)


@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("name", PASSWORD_MECHANISMS)
def test_right_password_is_accepted(name, initial):
    with Gsasl(name, b"joe", b"secret") as foreign:
        authenticate(client(name), foreign, initial=initial)
        assert foreign.property(gsasl.AUTHID) == b"joe"


@pytest.mark.parametrize("name", PASSWORD_MECHANISMS)
def test_wrong_password_is_refused(name):
    with Gsasl(name, b"joe", b"other") as foreign, pytest.raises(Refused):
        authenticate(client(name), foreign)


@pytest.mark.parametrize("name", PASSWORD_MECHANISMS)
@pytest.mark.parametrize(
    ("user", "password"), [("j\u00f6rg", "pa\u00df"), ("a=b,c", 'x"\\y'), ("\u20ac@\u4e2d", "\u0440\u304b")]
)
def test_odd_names_and_passwords_are_understood(name, user, password):
    if name == b"DIGEST-MD5" and user == "j\u00f6rg":
        user = "joerg"  # hashed in UTF-8 by GNU SASL, against RFC 2831, 2.1.2.1; Cyrus SASL does as the RFC says
    with Gsasl(name, user.encode(), password.encode()) as foreign:
        authenticate(client(name, user.encode(), password.encode()), foreign)


@pytest.mark.parametrize("name", [b"SCRAM-SHA-1", b"SCRAM-SHA-256"])
def test_different_spellings_of_a_password_are_the_same(name):
    with Gsasl(name, "\u00fc".encode(), "I\u00adX\u2168".encode()) as foreign:
        authenticate(client(name, "u\u0308".encode(), b"IXIX"), foreign)


def test_external_is_accepted_for_the_right_name():
    with Gsasl(b"EXTERNAL", b"joe", b"") as foreign:
        authenticate(client(b"EXTERNAL", password=b""), foreign)
    with Gsasl(b"EXTERNAL", b"joe", b"") as foreign, pytest.raises(Refused):
        authenticate(client(b"EXTERNAL", user=b"jim", password=b""), foreign)


def test_digest_md5_with_realms_and_authorization_name():
    with Gsasl(b"DIGEST-MD5", b"joe", b"secret", properties={gsasl.REALM: b"one"}) as foreign:
        authenticate(client(b"DIGEST-MD5", authzid=b"boss"), foreign)
        assert foreign.property(gsasl.REALM) == b"one"
        assert foreign.property(gsasl.AUTHZID) == b"boss"


@pytest.mark.parametrize("name", [b"SCRAM-SHA-1", b"SCRAM-SHA-256"])
@pytest.mark.parametrize("count", [b"4096", b"10000", b"100000"])
def test_iteration_counts(name, count):
    with Gsasl(name, b"joe", b"secret", properties={gsasl.SCRAM_ITER: count}) as foreign:
        authenticate(client(name, authzid=b"boss"), foreign)
        assert foreign.property(gsasl.AUTHZID) == b"boss"


def test_iteration_count_that_is_too_cheap_is_refused_by_us():
    cheap = Gsasl(b"SCRAM-SHA-256", b"joe", b"secret", properties={gsasl.SCRAM_ITER: b"1000"})
    with cheap as foreign, pytest.raises(MechanismFailure, match="iteration count is 1000"):
        authenticate(client(b"SCRAM-SHA-256"), foreign)


# -- channel binding


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda binding: binding[0].decode())
@pytest.mark.parametrize("name", [b"SCRAM-SHA-1-PLUS", b"SCRAM-SHA-256-PLUS"])
def test_same_channel_is_accepted(name, binding):
    with Gsasl(name, b"joe", b"secret", channel_binding=binding) as foreign:
        authenticate(client(name, channel_binding=binding), foreign)


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda binding: binding[0].decode())
@pytest.mark.parametrize("name", [b"SCRAM-SHA-1-PLUS", b"SCRAM-SHA-256-PLUS"])
def test_man_in_the_middle_is_found_out(name, binding):
    with Gsasl(name, b"joe", b"secret", channel_binding=(binding[0], b"x" * 32)) as foreign, pytest.raises(Refused):
        authenticate(client(name, channel_binding=binding), foreign)


def test_list_of_offers_that_was_cut_down_is_found_out():
    # The server has a channel and offered -PLUS; somebody took it out of the list that reached us.
    seen = client(b"SCRAM-SHA-256", channel_binding=BINDINGS[1], offered=(b"SCRAM-SHA-256", b"PLAIN"))
    with Gsasl(b"SCRAM-SHA-256", b"joe", b"secret", channel_binding=BINDINGS[1]) as foreign, pytest.raises(Refused):
        authenticate(seen, foreign)


def test_plain_scram_is_accepted_by_a_server_that_has_no_channel():
    seen = client(b"SCRAM-SHA-256", channel_binding=BINDINGS[1], offered=(b"SCRAM-SHA-256",))
    with Gsasl(b"SCRAM-SHA-256", b"joe", b"secret") as foreign:
        authenticate(seen, foreign)


def test_plain_scram_by_choice_is_accepted_by_a_server_that_has_a_channel():
    offered = (b"SCRAM-SHA-256", b"SCRAM-SHA-256-PLUS")
    seen = client(b"SCRAM-SHA-256", channel_binding=BINDINGS[1], offered=offered)
    with Gsasl(b"SCRAM-SHA-256", b"joe", b"secret", channel_binding=BINDINGS[1]) as foreign:
        authenticate(seen, foreign)


# -- its client against our server


def serve(name, foreign, users):
    ours = server.create(name, users.get, secret=b"s", iterations=4096, nonce=NONCE)
    challenge = ours.start(None)
    while challenge is not None:
        challenge = ours.next(foreign.step(challenge)[1])
    return ours


@pytest.mark.parametrize("name", server.MECHANISMS)
@pytest.mark.parametrize(("user", "password"), [("joe", "secret"), ("j\u00f6rg", "pa\u00df"), ("a=b,c", "x")])
def test_its_client_is_accepted_by_our_server(name, user, password):
    users = {user.encode(): server.Verifier.of(password.encode(), b"some salt", 4096)}
    with Gsasl(name, user.encode(), password.encode(), client=True) as foreign:
        ours = serve(name, foreign, users)
    assert (ours.outcome, ours.user) == (server.ACCEPTED, user.encode())


@pytest.mark.parametrize("name", server.MECHANISMS)
def test_its_client_with_a_wrong_password_is_refused_by_our_server(name):
    users = {b"joe": server.Verifier.of(b"secret", b"some salt", 4096)}
    with Gsasl(name, b"joe", b"other", client=True) as foreign:
        assert serve(name, foreign, users).outcome == server.REFUSED
