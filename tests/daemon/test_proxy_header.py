"""The PROXY protocol's header, octet by octet."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.daemon.proxy_header import HEAD, MOST, SIGNATURE, BadHeader, Proxied, parse, remaining

INET = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + b"\xde\xad\0\x19"
INET6 = ipaddress.ip_address("2001:db8::7").packed + ipaddress.ip_address("2001:db8::1").packed + b"\0\x07\0\x19"
FIELDS = b"\x01\0\x04smtp" + b"\x03\0\x04abcd" + b"\x20\0\x05\x07\0\0\0\0"


def head(command=0x21, family=0x11, length=12):
    return SIGNATURE + bytes((command, family)) + length.to_bytes(2, "big")


@pytest.mark.parametrize(
    ("family", "rest", "proxied"),
    [
        (0x11, INET, Proxied(b"192.0.2.7", 0xDEAD, b"198.51.100.1")),
        (0x10, INET, Proxied(b"192.0.2.7", 0xDEAD, b"198.51.100.1")),
        (0x11, INET + FIELDS, Proxied(b"192.0.2.7", 0xDEAD, b"198.51.100.1")),
        (0x21, INET6, Proxied(b"2001:db8::7", 7, b"2001:db8::1")),
        (0x21, INET6 + FIELDS, Proxied(b"2001:db8::7", 7, b"2001:db8::1")),
        (
            0x21,
            ipaddress.ip_address("::ffff:192.0.2.7").packed * 2 + bytes(4),
            Proxied(b"192.0.2.7", 0, b"192.0.2.7"),
        ),
        (0x31, b"/run/x".ljust(216, b"\0"), None),
        (0x00, b"", None),
        (0x00, b"whatever it may be", None),
        (0x01, INET, None),
    ],
)
def test_who_connected(family, rest, proxied):
    first = head(0x21, family, len(rest))
    assert remaining(first) == len(rest)
    assert parse(first, rest) == proxied


@pytest.mark.parametrize("rest", [b"", INET, b"junk"])
def test_a_proxy_that_speaks_for_itself_names_nobody(rest):
    assert parse(head(0x20, 0x11, len(rest)), rest) is None


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "version 1"),
        (b"PROXY UNKNOWN\r\n", "version 1"),
        (b"EHLO client.example", "no PROXY"),
        (b"", "no PROXY"),
        (head()[:-1], "no PROXY"),
        (b"\r\n\r\n\0\r\nQUIX\n" + head()[12:], "no PROXY"),
        (head(0x11), "version"),
        (head(0x31), "version"),
        (head(0x22), "command"),
        (head(0x2F), "command"),
        (head(length=MOST + 1), "at most"),
        (head(length=65_535), "at most"),
    ],
)
def test_what_is_no_header_is_refused_with_words(first, words):
    with pytest.raises(BadHeader, match=words):
        remaining(first)


@pytest.mark.parametrize(
    ("family", "rest", "words"),
    [
        (0x11, INET[:-1], "too short"),
        (0x11, b"", "too short"),
        (0x21, INET, "too short"),
        (0x31, b"/run/x", "too short"),
        (0x41, INET6, "unknown family"),
        (0x12, INET, "another transport"),
        (0x13, INET, "another transport"),
    ],
)
def test_what_does_not_hold_its_addresses_is_refused(family, rest, words):
    with pytest.raises(BadHeader, match=words):
        parse(head(0x21, family, len(rest)), rest)


def test_a_header_cut_short_is_refused():
    with pytest.raises(BadHeader, match="cut short"):
        parse(head(), INET[:-1])


@given(st.binary(max_size=40), st.binary(max_size=300))
def test_octets_of_any_kind_are_read_or_refused(first, rest):
    try:
        length = remaining(first)
        parse(first, rest)
    except BadHeader:
        return
    assert first.startswith(SIGNATURE)
    assert length == len(rest)


@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=300))
def test_behind_the_signature_too(command, family, rest):
    try:
        proxied = parse(head(command, family, len(rest)), rest)
    except BadHeader:
        return
    assert command in {0x20, 0x21}
    if proxied:
        ipaddress.ip_address(proxied.address.decode())
        ipaddress.ip_address(proxied.local.decode())
        assert 0 <= proxied.port < 65_536


@given(st.ip_addresses(), st.integers(0, 65_535), st.binary(max_size=50))
def test_every_address_is_read_as_it_was_written(address, port, fields):
    rest = address.packed * 2 + port.to_bytes(2, "big") + b"\0\x19" + fields
    proxied = parse(head(0x21, 0x11 if address.version == 4 else 0x21, len(rest)), rest)
    seen = ipaddress.ip_address(proxied.address.decode())
    assert seen in {address, getattr(address, "ipv4_mapped", None)}
    assert proxied.port == port
    assert len({proxied, Proxied(proxied.address, port, proxied.local)}) == 1


def test_the_head_has_its_length():
    assert len(head()) == HEAD
