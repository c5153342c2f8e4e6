"""Addresses: beyond the corpus, what holds for every text."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from msmtp.mail.addresses import parse_addresses
from msmtp.mail.characters import CONTROLS, DOT_ATOM
from msmtp.smtp import grammar
from msmtp.smtp.commands import Rcpt

TEXTS = st.lists(st.sampled_from(b'ab@.<>()",;:\\[] \t\r\n\0\x7f\xc3'), max_size=40).map(bytes)
ATOMS = st.text("abcXYZ019!#$%&'*+-/=?^_`{|}~é", min_size=1, max_size=8).map(str.encode)
LOCALS = st.lists(ATOMS, min_size=1, max_size=3).map(b".".join)
QUOTED = st.text('a @,;:<>()[]\\".', max_size=8).map(
    lambda text: b'"' + text.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
)
DCONTENT = "".join(chr(octet) for octet in (*range(33, 91), *range(94, 127)))
GENERAL = st.text(DCONTENT, min_size=1, max_size=20).map(lambda text: b"[x-1:" + text.encode() + b"]")
DOMAINS = LOCALS | GENERAL | st.sampled_from([b"[192.0.2.1]", b"[IPv6:2001:db8::1]"])
ADDRESSES = st.builds(lambda local, domain: local + b"@" + domain, LOCALS | QUOTED, DOMAINS)
PHRASES = st.sampled_from(
    [b"", b"Joe Doe ", b'"Doe, Joe" ', b"joe@home ", b"(a (nested, x@y)) ", b"J. (x) D. ", b"a\\, b "]
)
BREAKS = st.sampled_from([b",", b", ", b" ,\n ", b",\r\n\t", b", ,", b";", b" (c), "])


@given(TEXTS)
@example(b'a@["], b')
@settings(max_examples=1000)
def test_whatever_comes_in_what_comes_out_makes_one_whole_command(text: bytes) -> None:
    for address in parse_addresses(text):
        assert address
        assert not set(address) & set(CONTROLS)
        assert Rcpt(address).encode() == b"RCPT TO:<" + address + b">\r\n"


@given(TEXTS)
@settings(max_examples=1000)
def test_an_address_that_came_out_comes_out_again(text: bytes) -> None:
    for address in parse_addresses(text):
        assert parse_addresses(b"<" + address + b">") == [address]


@given(st.lists(st.tuples(PHRASES, ADDRESSES, BREAKS), max_size=6))
def test_a_list_gives_back_its_addresses(items: list[tuple[bytes, bytes, bytes]]) -> None:
    text = b"".join(phrase + b"<" + address + b">" + gap for phrase, address, gap in items)
    assert parse_addresses(text) == [_plain(address) for _, address, _ in items]


@given(st.lists(ADDRESSES, max_size=6), BREAKS)
def test_bare_addresses_need_no_brackets(addresses: list[bytes], gap: bytes) -> None:
    assert parse_addresses(gap.join(addresses)) == [_plain(address) for address in addresses]


@given(st.lists(st.sampled_from(b"ab@., \t\r\n"), max_size=20).map(bytes))
@settings(max_examples=1000)
def test_a_list_of_bare_words_is_read_as_any_other_list(text: bytes) -> None:
    assert parse_addresses(text) == parse_addresses(text + b";")  # with it, the list is not one of bare words


def _plain(address: bytes) -> bytes:
    """RFC 5321, 4.1.2: quotes that are not needed are left out."""
    literal = address.rfind(b"@[") if address.endswith(b"]") else -1
    at = literal if literal >= 0 else address.rfind(b"@")
    inside = address[1 : at - 1]
    needless = address[:1] == b'"' and not inside.translate(None, DOT_ATOM) and all(inside.split(b"."))
    domain = address[at:] if literal < 0 else address[at:].translate(bytes.maketrans(b'<>"', b"___"))
    return (inside if needless else address[:at]) + domain


@pytest.mark.parametrize(
    "address",
    [
        b"a@[x:b@y.org,c@z.org,<d@e.org>]",
        b"a@[x:" + b"b" * 300 + b",c@z.org]",
        b'a@[x:"(b]',
        b'"a@b"@[x:;]',
        b'"foo."@example.org',
        b'".foo"@example.org',
        b'"fo..o"@example.org',
    ],
)
@pytest.mark.parametrize("form", [b"%s", b"<%s>", b"Joe <%s>"])
def test_what_smtp_takes_for_one_address_is_the_same_one_here(address: bytes, form: bytes) -> None:
    assert grammar.mailbox(b"<" + address + b">") == address
    assert parse_addresses(form % address) == [_plain(address)]


@pytest.mark.parametrize("text", [b"a@[foo,b@c]", b"a@[-x:y,b@c]", b"a@[IPv6:y,b@c]", b"a@[:,b@c]", b"a@[x:,b@c"])
def test_what_is_no_literal_loses_no_address(text: bytes) -> None:
    assert parse_addresses(text)[-1].startswith(b"b@c")


def test_white_space_may_stand_around_the_at_sign() -> None:
    assert parse_addresses(b"joe (at)\t@\r\n example.org, <ann . lee @ example.org>") == [
        b"joe@example.org",
        b"ann.lee@example.org",
    ]


def test_stray_brackets_are_no_addresses() -> None:
    assert parse_addresses(b">") == []
    assert parse_addresses(b"> a@b >") == [b"a@b"]


def test_an_escaped_bracket_cannot_end_the_path() -> None:
    assert parse_addresses(b"a\\>b@c") == [b'"a>b"@c']
    assert parse_addresses(b'a@b\\> NOTIFY="x') == [b"a@b__"]


def test_escapes_that_are_not_needed_are_left_out() -> None:
    assert parse_addresses(b"\\j\\o\\e@example.org") == [b"joe@example.org"]


def test_a_fold_inside_quotes_is_no_part_of_the_name() -> None:
    assert parse_addresses(b'"joe\r\n doe"@example.org') == [b'"joe doe"@example.org']


def test_an_empty_quoted_name_is_legal() -> None:
    assert parse_addresses(b'""@example.org') == [b'""@example.org']


def test_a_local_name_in_brackets_keeps_its_quotes() -> None:
    assert parse_addresses(b'<"joe doe">') == [b'"joe doe"']


def test_a_colon_that_ends_no_route_stays() -> None:
    assert parse_addresses(b"<a:b@c>") == [b"a:b@c"]


def test_an_unclosed_literal_stays_as_it_is() -> None:
    assert parse_addresses(b"a@[1.2, b@[3.4, c@d") == [b"a@[1.2", b"b@[3.4", b"c@d"]


@pytest.mark.parametrize(
    "piece",
    [
        b"(",
        b'"',
        b"<",
        b"@[",
        b"\\",
        b"@ ",
        b"<@a,",
        b"a@b ",
        b"a@b,",
        b"(a)",
        b"((",
        b"a b ",
        b": ",
        b'"a"',
        b"\\(",
        b"<a",
    ],
)
def test_time_grows_with_the_length_and_not_with_its_square(piece: bytes) -> None:
    text = piece * (200_000 // len(piece))
    begun = time.process_time()
    parse_addresses(text)
    assert time.process_time() - begun < 2
