"""What failures have in common: how foreign octets stand in their words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.failures import shown


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"", ""),
        (b"plain 'text'", "plain 'text'"),
        ("jörg".encode(), "jörg"),
        (b"\x1b[31m\0\xff\r\n", r"\x1b[31m\x00\xff\r\n"),
        ("\u202eevil\u2028".encode(), r"\u202eevil\u2028"),
        (b"x" * 80, "x" * 80),
        (b"x" * 81, "x" * 80 + "..."),
        ("ö".encode() * 80, "ö" * 80),
        ("\U0001f4e8".encode() * 81, "\U0001f4e8" * 80 + "..."),
        (b"\xff" * 81, r"\xff" * 20 + "..."),
    ],
)
def test_foreign_octets_are_escaped_and_cut(octets, text):
    assert shown(octets) == text


@given(st.binary(max_size=400) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_what_is_shown_fits_on_a_line(octets):
    assert shown(octets).isprintable()
    assert len(shown(octets)) <= 83
    assert shown(octets, 0).isprintable()
    assert shown(octets, 0)[:80] == shown(octets).removesuffix("...")[:80]
