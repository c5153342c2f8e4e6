"""Our mechanisms against Dovecot with all it has: Kerberos, Samba's NTLM, tokens."""

import pytest
from tests.support.sasl import dovecot
from tests.support.sasl.dialogue import Refused, authenticate

from msmtp.failures import MechanismFailure
from msmtp.sasl import Credentials, create

NONCE = b"0123456789abcdef0123456789abcdef"
MECHANISMS = [b"PLAIN", b"LOGIN", b"CRAM-MD5", b"DIGEST-MD5", b"SCRAM-SHA-1", b"SCRAM-SHA-256"]
USERS = {user.encode(): password.encode() for user, password in dovecot.USERS.items()}
TOKEN = dovecot.TOKEN.encode()


@pytest.fixture(scope="module")
def service():
    with dovecot.service() as running:
        yield running


def client(name, user=b"joe", password=b"secret", host=b"localhost", **more):
    return create(name, Credentials(user, password, nonce=NONCE, host=host, **more))


def log_in(service, client, *, initial=True):
    """Log in; returns the user that Dovecot knows the client as."""
    with service.exchange(client.name) as foreign:
        authenticate(client, foreign, initial=initial)
        return foreign.user


@pytest.mark.parametrize("user", USERS, ids=["joe", "joerg", "odd"])
@pytest.mark.parametrize("name", MECHANISMS)
def test_right_password_is_accepted(service, name, user):
    if (name, user) == (b"DIGEST-MD5", "j\u00f6rg".encode()):
        # Dovecot hashes in UTF-8 what RFC 2831, 2.1.2.1 wants in ISO 8859-1; Cyrus SASL does as we.
        with pytest.raises(Refused):
            log_in(service, client(name, user, USERS[user]))
        return
    assert log_in(service, client(name, user, USERS[user])) == user


@pytest.mark.parametrize("name", [b"PLAIN", b"SCRAM-SHA-1", b"SCRAM-SHA-256", b"EXTERNAL", b"XOAUTH2", b"OAUTHBEARER"])
def test_initial_response_may_come_later(service, name):
    password = TOKEN if b"OAUTH" in name else b"secret"
    assert log_in(service, client(name, password=password), initial=False) == b"joe"


@pytest.mark.parametrize(("user", "password"), [(b"joe", b"other"), (b"jim", b"secret")])
@pytest.mark.parametrize("name", MECHANISMS)
def test_wrong_password_and_unknown_user_are_refused(service, name, user, password):
    with pytest.raises(Refused):
        log_in(service, client(name, user, password))


def test_external_names_the_user_of_the_certificate(service):
    assert log_in(service, client(b"EXTERNAL", password=b"")) == b"joe"


# -- tokens


@pytest.mark.parametrize("name", [b"OAUTHBEARER", b"XOAUTH2"])
def test_right_token_is_accepted(service, name):
    assert log_in(service, client(name, password=TOKEN, port=587)) == b"joe"


@pytest.mark.parametrize("name", [b"OAUTHBEARER", b"XOAUTH2"])
def test_wrong_token_is_refused_with_a_reason(service, name):
    mechanism = client(name, password=b"expired")
    with service.exchange(name) as foreign, pytest.raises(Refused) as caught:
        authenticate(mechanism, foreign)
    assert "joe" in str(caught.value)
    assert '"status"' in mechanism.detail


# -- NTLM


@pytest.mark.parametrize("domain", [b"", b"TESTDOM"])
def test_ntlm_is_accepted_by_samba(service, domain):
    assert log_in(service, client(b"NTLM", ntlm_domain=domain)).lower().startswith(b"joe")


def test_ntlm_with_a_wrong_password_is_refused_by_samba(service):
    with pytest.raises(Refused):
        log_in(service, client(b"NTLM", password=b"other"))


# -- Kerberos


@pytest.fixture
def realm(service, monkeypatch):
    """The realm, without a ticket."""
    pytest.importorskip("gssapi", reason="Debian builds it for its own Python, pip has nothing that is built")
    for name, value in service.kerberos.items():
        monkeypatch.setenv(name, value)
    yield service
    (service.folder / "cache").unlink(missing_ok=True)


@pytest.fixture
def ticket(realm):
    """A ticket for joe."""
    import gssapi

    name = gssapi.Name("joe@" + dovecot.REALM, gssapi.NameType.kerberos_principal)
    got = gssapi.raw.acquire_cred_with_password(name, b"secret", mechs=[gssapi.MechType.kerberos], usage="initiate")
    gssapi.Credentials(got.creds).store({b"ccache": realm.kerberos["KRB5CCNAME"].encode()}, overwrite=True)
    return realm


def test_gssapi_with_a_ticket_is_accepted(ticket):
    mechanism = client(b"GSSAPI", password=b"")
    assert log_in(ticket, mechanism) == b"joe"
    assert mechanism.proved


def test_gssapi_speaks_for_its_own_user_only(ticket):
    with pytest.raises(Refused):
        log_in(ticket, client(b"GSSAPI", user=b"boss", password=b""))


def test_gssapi_without_a_ticket_says_what_to_do(realm):
    with pytest.raises(MechanismFailure, match=r"^authentication failed \(method GSSAPI\): Kerberos: ") as caught:
        client(b"GSSAPI", password=b"").start()
    assert "kinit" in caught.value.hint
    assert caught.value.message.isprintable()


def test_gssapi_to_a_host_that_the_realm_does_not_know(ticket):
    with pytest.raises(MechanismFailure, match=r"Kerberos: .*(not found|Cannot find)"):
        client(b"GSSAPI", password=b"", host=b"elsewhere.test").start()


@pytest.mark.parametrize("challenge", [b"", b"x", b"\xff" * 100, b"`\x82"])
def test_gssapi_refuses_a_token_that_is_none(ticket, challenge):
    mechanism = client(b"GSSAPI", password=b"")
    mechanism.start()
    with pytest.raises(MechanismFailure):  # noqa: PT012 - which round it is differs
        for _ in range(3):
            mechanism.next(challenge)
    with pytest.raises(MechanismFailure, match="did not prove"):
        mechanism.finished()
