"""GSSAPI: servers that cheat, played by a context of straw; real ones are in test_dovecot."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.failures import MechanismFailure
from msmtp.sasl import Credentials, create

gssapi = pytest.importorskip("gssapi", reason="Debian builds it for its own Python, pip has nothing that is built")
MUTUAL = gssapi.RequirementFlag.mutual_authentication


class Straw:
    """A context that stands after ``rounds`` tokens and wraps by putting brackets around."""

    rounds = 1
    flags = MUTUAL

    def __init__(self, name, flags, mech, usage):
        assert (str(name), usage) == ("smtp@mail.example.org", "initiate")
        assert mech == gssapi.MechType.kerberos
        assert flags & MUTUAL
        self.said = []

    def step(self, token=None):
        self.said.append(token)
        return b"token %d" % len(self.said) if len(self.said) <= self.rounds else None

    @property
    def complete(self):
        return len(self.said) > self.rounds

    @property
    def actual_flags(self):
        return self.flags

    def unwrap(self, message):
        return SimpleNamespace(message=message[1:-1])

    def wrap(self, message, encrypt):
        assert encrypt is False
        return SimpleNamespace(message=b"[" + message + b"]")


@pytest.fixture
def straw(monkeypatch):
    monkeypatch.setattr("gssapi.SecurityContext", Straw)
    return monkeypatch


def client(**more):
    return create(b"GSSAPI", Credentials(b"joe", b"", host=b"mail.example.org", **more))


def test_dialogue_of_rfc_4752(straw):
    mechanism = client()
    assert mechanism.start() == b"token 1"
    assert mechanism.next(b"server's token") == b""
    assert mechanism.next(b"[\x07\x00\x10\x00]") == b"[\x01\x00\x00\x00joe]"
    mechanism.finished()
    with pytest.raises(MechanismFailure, match="asks for more"):
        mechanism.next(b"")


def test_authorization_name_goes_before_the_user(straw):
    mechanism = client(authzid=b"boss")
    mechanism.start()
    mechanism.next(b"server's token")
    assert mechanism.next(b"[\x01\x00\x00\x00]") == b"[\x01\x00\x00\x00boss]"


def test_more_tokens(straw):
    straw.setattr(Straw, "rounds", 3)
    mechanism = client()
    assert [mechanism.start(), *map(mechanism.next, (b"a", b"b", b"c"))] == [b"token 1", b"token 2", b"token 3", b""]


def test_server_that_did_not_prove_itself_is_refused(straw):
    straw.setattr(Straw, "flags", gssapi.RequirementFlag.integrity)
    mechanism = client()
    mechanism.start()
    with pytest.raises(MechanismFailure, match="did not prove itself to Kerberos"):
        mechanism.next(b"server's token")


@pytest.mark.parametrize("sizes", [b"\x06\x00\x10\x00", b"\x00\x00\x00\x00", b"", b"\x01", b"\x01\x00\x00\x00\x00"])
def test_demand_for_a_layer_is_refused(straw, sizes):
    mechanism = client()
    mechanism.start()
    mechanism.next(b"server's token")
    with pytest.raises(MechanismFailure, match="security layer of its own"):
        mechanism.next(b"[" + sizes + b"]")
    with pytest.raises(MechanismFailure, match="did not prove"):
        mechanism.finished()


@given(st.binary(max_size=20))
def test_only_four_octets_with_the_first_bit_are_accepted(sizes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gssapi.SecurityContext", Straw)
        mechanism = client()
        mechanism.start()
        mechanism.next(b"x")
        try:
            mechanism.next(b"[" + sizes + b"]")
        except MechanismFailure:
            assert not mechanism.proved
        else:
            assert len(sizes) == 4
            assert sizes[0] & 1


def test_words_of_kerberos_are_made_printable(straw):
    def step(*_):
        raise gssapi.raw.GSSError(851968, 39756037)

    straw.setattr(Straw, "step", step)
    with pytest.raises(MechanismFailure, match="Kerberos: ") as caught:
        client().start()
    assert caught.value.message.isprintable()
