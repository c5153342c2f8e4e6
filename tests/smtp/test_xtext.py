"""xtext, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.smtp import xtext


@pytest.mark.parametrize(
    ("plain", "coded"),
    [
        (b"", b""),
        (b"user@example.org", b"user@example.org"),
        (b"a+b=c", b"a+2Bb+3Dc"),
        (b"a b", b"a+20b"),
        (b"\xc3\xa4\x00", b"+C3+A4+00"),
        (b"<>", b"<>"),
    ],
)
def test_other_octets_than_printable_ascii_are_two_hex_digits(plain, coded):
    assert xtext.encode(plain) == coded
    assert xtext.decode(coded) == plain


@pytest.mark.parametrize("text", [b"a+", b"a+2", b"+2b", b"+GG", b"a=b", b"a b", b"\xc3", b"++", b"\x7f"])
def test_what_is_not_xtext_is_refused(text):
    with pytest.raises(ValueError, match="not xtext"):
        xtext.decode(text)


@given(st.binary())
def test_any_octets_go_there_and_back(plain):
    coded = xtext.encode(plain)
    assert xtext.decode(coded) == plain
    assert coded.isascii()
    assert not coded.split() or coded.split() == [coded]
