"""NTLM: what is ours about it; the proof itself is held against Samba (test_dovecot)."""

import struct

import pytest
import spnego
from hypothesis import given, settings
from hypothesis import strategies as st

from msmtp.failures import InterruptFailure, MechanismFailure
from msmtp.sasl import Credentials, create

# MS-NLMP, 4.2.4.3
CHALLENGE = bytes.fromhex(
    "4e544c4d53535000020000000c000c003800000033828ae20123456789abcdef00000000000000002400240044000000060070170000000f"
    "53006500720076006500720002000c0044006f006d00610069006e0001000c0053006500720076006500720000000000"
)


def ntlm(user=b"joe", password=b"secret", host=b"mail.example.org", **more):
    return create(b"NTLM", Credentials(user, password, host=host, **more))


def field(message, offset):
    """A security buffer of a message (MS-NLMP, 2.2.1.3)."""
    length, _, start = struct.unpack_from("<HHI", message, offset)
    return message[start : start + length]


def test_we_speak_first():
    start = ntlm().start()
    assert start.startswith(b"NTLMSSP\0\1\0\0\0")


@pytest.mark.parametrize(("domain", "sent"), [(b"", ""), (b"TESTDOM", "TESTDOM"), ("B\u00dcRO".encode(), "B\u00dcRO")])
def test_answer_names_user_and_domain(domain, sent):
    mechanism = ntlm(user="j\u00f6rg".encode(), ntlm_domain=domain)
    mechanism.start()
    answer = mechanism.next(CHALLENGE)
    assert answer.startswith(b"NTLMSSP\0\3\0\0\0")
    assert field(answer, 36).decode("utf-16-le") == "j\u00f6rg"
    assert field(answer, 28).decode("utf-16-le") == sent
    mechanism.finished()


def test_host_may_be_unknown():
    assert ntlm(host=b"").start()


@pytest.mark.parametrize(
    "known", [{"user": b"\xff"}, {"password": b"s3cret\xff"}, {"ntlm_domain": b"\xff"}, {"host": b"\xc3\xbc"}]
)
def test_what_cannot_be_sent_is_refused_and_not_shown(known):
    with pytest.raises(MechanismFailure, match="are not UTF-8") as caught:
        ntlm(**known).start()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("challenge", [b"", b"x", CHALLENGE[:12], b"NTLMSSP\0\1\0\0\0" + bytes(40), b"\xff" * 100])
def test_challenge_that_is_none_is_refused(challenge):
    mechanism = ntlm()
    mechanism.start()
    with pytest.raises(MechanismFailure, match=r"\(method NTLM\)") as caught:
        mechanism.next(challenge)
    assert caught.value.message.isprintable()


def test_failure_of_the_library_is_passed_on_in_its_words(monkeypatch):
    mechanism = ntlm()
    mechanism.start()

    def step(*_):
        raise spnego.exceptions.InvalidTokenError(context_msg="that was no token")

    monkeypatch.setattr("spnego._ntlm.NTLMProxy.step", step)
    with pytest.raises(MechanismFailure, match=r"NTLM: .*that was no token"):
        mechanism.next(CHALLENGE)


@given(
    st.binary(max_size=200)
    | st.builds(
        lambda where, what: CHALLENGE[:where] + what + CHALLENGE[where + len(what) :],
        st.integers(0, len(CHALLENGE)),
        st.binary(min_size=1, max_size=6),
    )
)
@settings(max_examples=60, deadline=None)
def test_any_challenge_is_answered_or_refused(challenge):
    mechanism = ntlm()
    mechanism.start()
    try:
        answer = mechanism.next(challenge)
    except MechanismFailure:
        return
    assert answer.startswith(b"NTLMSSP\0\3\0\0\0")


def test_a_signal_is_no_fault_of_the_servers(monkeypatch):
    mechanism = ntlm()
    mechanism.start()

    def step(*_):
        raise InterruptFailure("interrupted by SIGTERM")

    monkeypatch.setattr("spnego._ntlm.NTLMProxy.step", step)
    with pytest.raises(InterruptFailure):
        mechanism.next(CHALLENGE)
