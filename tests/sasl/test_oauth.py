"""OAUTHBEARER and XOAUTH2: the examples of their documents, errors, what cannot be sent."""

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.failures import MechanismFailure
from msmtp.sasl import Credentials, create
from msmtp.sasl.oauth import Bearer

TOKEN = b"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
BOTH = pytest.mark.parametrize("name", [b"OAUTHBEARER", b"XOAUTH2"])


def test_example_of_rfc_7628_4_1():
    known = Credentials(b"user@example.com", TOKEN, host=b"server.example.com", port=143)
    mechanism = create(b"OAUTHBEARER", known)
    assert b64encode(mechanism.start()) == (
        b"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52"
        b"YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
    )
    mechanism.finished()


def test_error_of_rfc_7628_4_3_is_answered_with_the_dummy_and_kept():
    mechanism = create(b"OAUTHBEARER", Credentials(b"u", b"t"))
    mechanism.start()
    error = b64decode(
        b"eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIiwib3BlbmlkLWNvbmZpZ3VyYXRpb24iOiJodHRwczov"
        b"L2V4YW1wbGUuY29tLy53ZWxsLWtub3duL29wZW5pZC1jb25maWd1cmF0aW9uIn0="
    )
    assert b64encode(mechanism.next(error)) == b"AQ=="
    assert mechanism.detail.startswith('{"status":"invalid_token","scope":"example_scope"')
    with pytest.raises(MechanismFailure, match="asks for more"):
        mechanism.next(error)


def test_host_and_port_are_left_out_where_unknown_and_names_are_escaped():
    start = create(b"OAUTHBEARER", Credentials(b"a=b,c", b"t")).start()
    assert start == b"n,a=a=3Db=2Cc,\x01auth=Bearer t\x01\x01"
    start = create(b"OAUTHBEARER", Credentials(b"me", b"t", authzid=b"boss")).start()
    assert start.startswith(b"n,a=boss,\x01")


def test_example_of_googles_xoauth2():
    token = b"ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"
    mechanism = create(b"XOAUTH2", Credentials(b"someuser@example.com", token, host=b"x", port=1))
    assert b64encode(mechanism.start()) == (
        b"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0"
        b"Q2cBAQ=="
    )
    assert mechanism.next(b'{"status":"401","schemes":"bearer mac"}') == b""
    assert mechanism.detail == '{"status":"401","schemes":"bearer mac"}'


@BOTH
def test_very_long_token_passes(name):
    token = b"x" * 8000
    assert b"Bearer " + token + b"\x01\x01" in create(name, Credentials(b"u", token)).start()


@BOTH
@pytest.mark.parametrize("token", [b"a\x01b", b"a\nb", b"a\0", b"\xff", "\u00fc".encode()])
def test_token_that_cannot_be_one_is_refused_and_not_shown(name, token):
    with pytest.raises(MechanismFailure, match="the access token holds characters") as caught:
        create(name, Credentials(b"u", b"s3cret" + token)).start()
    assert "s3cret" not in str(caught.value)


@BOTH
@pytest.mark.parametrize("field", ["user", "host", "authzid"])
def test_separator_cannot_be_smuggled_in(name, field):
    known = {"user": b"u", "password": b"t", field: b"a\x01auth=Bearer x"}
    with pytest.raises(MechanismFailure, match="control character"):
        create(name, Credentials(**known)).start()


def test_bare_bearer_has_no_request():
    with pytest.raises(NotImplementedError):
        Bearer(b"X", Credentials(b"u", b"t")).start()


@BOTH
@given(st.binary(max_size=2000))
def test_any_error_is_kept_readable_and_short(name, challenge):
    mechanism = create(name, Credentials(b"u", b"t"))
    mechanism.start()
    mechanism.next(challenge)
    assert mechanism.detail.isprintable()
    assert len(mechanism.detail) <= 503
