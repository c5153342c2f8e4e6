"""Our mechanisms against Cyrus SASL, both ways."""

import pytest
from tests.support.sasl import cyrus
from tests.support.sasl.cyrus import Cyrus
from tests.support.sasl.dialogue import Refused, authenticate

from msmtp.sasl import Credentials, create, server

NONCE = b"0123456789abcdef0123456789abcdef"
BINDINGS = [(b"tls-unique", bytes(range(12))), (b"tls-exporter", bytes(range(100, 132)))]
MECHANISMS = [b"PLAIN", b"LOGIN", b"CRAM-MD5", b"DIGEST-MD5", b"SCRAM-SHA-1", b"SCRAM-SHA-256"]
USERS = {b"joe": b"secret", "j\u00f6rg".encode(): "pa\u00df".encode(), b"odd": b'x"\\y,=z'}


@pytest.fixture(scope="module", autouse=True)
def database():
    cyrus.users(USERS)


def client(name, user=b"joe", password=b"secret", offered=(), **more):
    return create(name, Credentials(user, password, nonce=NONCE, host=b"localhost", **more), offered)


@pytest.mark.parametrize("user", USERS, ids=["joe", "joerg", "odd"])
@pytest.mark.parametrize("name", MECHANISMS)
def test_right_password_is_accepted(name, user):
    with Cyrus(name) as foreign:
        authenticate(client(name, user, USERS[user]), foreign)


@pytest.mark.parametrize("name", [b"PLAIN", b"SCRAM-SHA-1", b"SCRAM-SHA-256"])
def test_initial_response_may_come_later(name):
    with Cyrus(name) as foreign:
        authenticate(client(name), foreign, initial=False)


@pytest.mark.parametrize(("user", "password"), [(b"joe", b"other"), (b"jim", b"secret")])
@pytest.mark.parametrize("name", MECHANISMS)
def test_wrong_password_and_unknown_user_are_refused(name, user, password):
    with Cyrus(name) as foreign, pytest.raises(Refused):
        authenticate(client(name, user, password), foreign)


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda binding: binding[0].decode())
@pytest.mark.parametrize("name", [b"SCRAM-SHA-1-PLUS", b"SCRAM-SHA-256-PLUS"])
def test_same_channel_is_accepted(name, binding):
    with Cyrus(name, channel_binding=binding) as foreign:
        authenticate(client(name, channel_binding=binding), foreign)


@pytest.mark.parametrize("name", [b"SCRAM-SHA-1-PLUS", b"SCRAM-SHA-256-PLUS"])
def test_man_in_the_middle_is_found_out(name):
    with Cyrus(name, channel_binding=(b"tls-exporter", b"x" * 32)) as foreign, pytest.raises(Refused):
        authenticate(client(name, channel_binding=BINDINGS[1]), foreign)


def test_list_of_offers_that_was_cut_down_is_found_out():
    seen = client(b"SCRAM-SHA-256", channel_binding=BINDINGS[1], offered=(b"SCRAM-SHA-256", b"PLAIN"))
    with Cyrus(b"SCRAM-SHA-256", channel_binding=BINDINGS[1]) as foreign, pytest.raises(Refused):
        authenticate(seen, foreign)


# -- its client against our server


@pytest.mark.parametrize("user", USERS, ids=["joe", "joerg", "odd"])
@pytest.mark.parametrize("name", server.MECHANISMS)
def test_its_client_is_accepted_by_our_server(name, user):
    stored = {user: server.Verifier.of(USERS[user], b"some salt", 4096)}
    ours = server.create(name, stored.get, secret=b"s", iterations=4096, nonce=NONCE)
    with Cyrus(name, client=True, user=user, password=USERS[user]) as foreign:
        first = foreign.start_client()
        challenge = ours.start(first or None)
        while challenge is not None:
            challenge = ours.next(foreign.next(challenge))
    assert (ours.outcome, ours.user) == (server.ACCEPTED, user)
