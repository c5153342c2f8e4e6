"""What an EHLO answer offers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.smtp.extensions import EXTENSIONS, NO_EXTENSIONS, Extensions


def offer(*lines):
    return Extensions((b"mail.example at your service", *lines))


def test_keywords_are_kept_in_order_unknown_ones_too():
    offered = offer(b"PIPELINING", b"X-Anonymous-TLS now", b"size 1000", b"8BitMime", b"PIPELINING")
    assert offered.keywords == (b"PIPELINING", b"X-ANONYMOUS-TLS", b"SIZE", b"8BITMIME")
    assert offered.has(b"8BITMIME")
    assert offered.has(b"X-ANONYMOUS-TLS")
    assert offered.parameters(b"X-ANONYMOUS-TLS") == b"now"
    assert not offered.has(b"8BIT")
    assert not offered.has(b"MAIL.EXAMPLE")
    assert offered.parameters(b"DSN") == b""
    assert offered.lines[0] == b"mail.example at your service"
    assert repr(offer()) == "Extensions((b'mail.example at your service',))"


def test_a_keyword_is_a_whole_word():
    offered = offer(b"SIZELIMIT 5", b"AUTHENTICATE PLAIN", b"STARTTLSX")
    assert not any(offered.has(keyword) for keyword in (b"SIZE", b"AUTH", b"STARTTLS"))


@pytest.mark.parametrize(
    ("line", "size"),
    [
        (b"SIZE 36700160", 36700160),
        (b"size 5", 5),
        (b"SIZE 0", 0),
        (b"SIZE", None),
        (b"SIZE ", None),
        (b"SIZE many", None),
        (b"SIZE -1", None),
        (b"SIZE 1_0", None),
        (b"SIZE \xb2", None),
        (b"SIZE 12 34", 12),
        (b"SIZE\t12", 12),
        (b"SIZE " + b"9" * 20, 10**20 - 1),
        (b"SIZE " + b"9" * 21, None),
        (b"DSN", None),
    ],
)
def test_size_is_a_number_or_not_said(line, size):
    assert offer(line).size == size


def test_a_repeated_keyword_counts_the_first_time():
    assert offer(b"SIZE 10", b"SIZE 20").size == 10


@pytest.mark.parametrize(
    ("lines", "auth"),
    [
        ((b"AUTH PLAIN LOGIN",), (b"PLAIN", b"LOGIN")),
        ((b"auth plain  login ",), (b"PLAIN", b"LOGIN")),
        ((b"AUTH=LOGIN PLAIN",), (b"LOGIN", b"PLAIN")),
        ((b"AUTH=LOGIN PLAIN", b"AUTH PLAIN SCRAM-SHA-1"), (b"LOGIN", b"PLAIN", b"SCRAM-SHA-1")),
        ((b"AUTH LOGIN", b"AUTH=LOGIN"), (b"LOGIN",)),
        ((b"AUTH",), ()),
        ((b"AUTH=",), ()),
        ((), ()),
    ],
)
def test_mechanisms_of_both_spellings(lines, auth):
    assert offer(*lines).auth == auth


def test_nothing_is_offered_before_ehlo():
    assert NO_EXTENSIONS.keywords == ()
    assert NO_EXTENSIONS.size is None


def test_the_table_names_each_keyword_once_and_knows_its_order_for_serverinfo():
    keywords = [row.keyword for row in EXTENSIONS]
    assert len(set(keywords)) == len(keywords)
    shown = sorted(row.shown for row in EXTENSIONS if row.shown)
    assert shown == list(range(1, len(shown) + 1))
    assert [row.keyword for row in sorted(EXTENSIONS, key=lambda row: row.shown) if row.shown] == [
        b"SIZE", b"PIPELINING", b"SMTPUTF8", b"ETRN", b"DSN", b"STARTTLS", b"AUTH",
    ]  # fmt: skip
    assert repr(EXTENSIONS[0]) == "Extension(SIZE, RFC 1870)"


@given(st.lists(st.binary(max_size=20), max_size=6))
def test_any_bytes_are_an_offer(lines):
    offered = Extensions(tuple(lines))
    assert len(offered.keywords) <= len(lines)
    assert all(offered.has(keyword) for keyword in offered.keywords)
    assert offered.size is None or offered.size >= 0
    assert isinstance(offered.auth, tuple)
