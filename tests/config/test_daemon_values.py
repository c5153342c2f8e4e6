"""What msmtpd's options can be set to is read, and nothing else."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.config.daemon_values import (
    LARGEST_MAIL,
    LONGEST_TIME,
    PARSERS,
    Network,
    UnixSocket,
    packed_address,
    parse_network,
    parse_unix_socket,
)

READ: dict[str, dict[str, object]] = {
    "interface": {
        "127.0.0.1": "127.0.0.1",
        "0.0.0.0": "0.0.0.0",
        "::": "::",
        "[::1]": "::1",
        "2001:DB8::1": "2001:DB8::1",
        "fe80::1%eth0": "fe80::1%eth0",
    },
    "listening_port": {"0": 0, "25": 25, "65535": 65535, "0x19": 25, "031": 25},
    "unix_socket": {
        "/run/x": UnixSocket("/run/x"),
        "x,mode=0660": UnixSocket("x", 0o660),
        "x,mode=600": UnixSocket("x", 0o600),
        "x,group=mail,user=joe,mode=0777": UnixSocket("x", 0o777, "joe", "mail"),
        "x,user=1000": UnixSocket("x", None, "1000"),
    },
    "network": {
        "192.0.2.1": Network(bytes([192, 0, 2, 1]), 32),
        "192.0.2.0/24": Network(bytes([192, 0, 2, 0]), 24),
        "0.0.0.0/0": Network(bytes(4), 0),
        "2001:db8::/32": Network(bytes.fromhex("20010db8") + bytes(12), 32),
        "::1": Network(bytes(15) + b"\1", 128),
        "::ffff:192.0.2.0/120": Network(bytes([192, 0, 2, 0]), 24),
        "unix": Network(b""),
    },
    "octets": {"0": 0, "1": 1, "10k": 10240, "10K": 10240, "5m": 5 * 1024**2, "1g": 1024**3, "64g": LARGEST_MAIL},
    "time": {"1": 1, "30s": 30, "5m": 300, "2h": 7200, "1d": 86400, "7D": LONGEST_TIME},
    "sessions": {"1": 1, "4096": 4096},
    "share": {"0": 0, "16": 16},
    "waiting": {"0": 0, "64": 64},
    "recipients": {"1": 1, "5000": 5000},
    "hops": {"1": 1, "1000": 1000},
    "login": {"joe": ("joe", None), "joe,cat x, y": ("joe", "cat x, y"), "jo é": ("jo é", None)},
    "template": {
        "cat": "cat",
        "msmtp -f %F --": "msmtp -f %F --",
        "a 'b c' \"d\"": "a 'b c' \"d\"",
        "a # it's": "a # it's",
        "x|y $1": "x|y $1",
    },
    "address": {"a@b.example": "a@b.example", '"x@y"@c': '"x@y"@c', "ä@b.example": "ä@b.example"},
    "domain": {"localhost": "localhost", "a-b.example": "a-b.example", "[192.0.2.1]": "[192.0.2.1]",
               "[IPv6:2001:db8::1]": "[IPv6:2001:db8::1]"},
    "identity": {"joe": "joe", "joe:mail": "joe:mail", "1000:8": "1000:8"},
    "file": {"x": "x", "a b": "a b"},
    "log": {"none": "none", "syslog": "syslog", "x": "x"},
    "status": {"off": "off", "/x": "/x"},
}  # fmt: skip

REFUSED = {
    "interface": ["", "localhost", "127.1", "127.0.0.1%lo", "fe80::1", "fe80::1%", "::1%lo", "[::1", "1.2.3.4.5", ":",
                  "127.0.0.1\0", "127.0.0.1 ", "é"],
    "listening_port": ["", "-1", "65536", "abc", "1.5", "25 ", "²"],
    "unix_socket": ["", ",mode=0660", "x,mode=9", "x,mode=1777", "x,mode=", "x,mode=0660,mode=0600", "x,moed=0660", "x,",
                    "x,group", "x\0y", "x,mode=0o660"],
    "network": ["", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/-1", "2001:db8::1/32", "::/129", "all",
                "192.0.2/24", "unix/1", "192.0.2.0/24/24", "0.0.0.0/²"],
    "octets": ["", "k", "-1", "1x", "1.5m", "65g", "1kk", "0x10", " 1", "1_0"],
    "time": ["", "0", "0s", "8d", "1w", "-1", "1h30m", "s"],
    "sessions": ["0", "4097", "", "x", "+1"],
    "share": ["-1", "4097"],
    "waiting": ["65"],
    "recipients": ["0", "5001"],
    "hops": ["0", "1001"],
    "login": ["", ",", ",cmd", "joe,", "joe, ", "jo\ne", "jo\0", "joe,a\0b", "joe\x1b"],
    "template": ["", " ", "%F", "%F --", "/bin/%F x", "a 'b", 'a "b', "a\0b", "a \\"],
    "address": ["", "a", "@b", "a@", "-t@b", "a b@c", "a@b,c@d", "<a@b>", "a@b\r\nc", "a@b\x1b"],
    "domain": ["", "a b", "a..b", ".a", "a.", "é.example", "[", "[]", "[x]", "[IPv6:1.2.3]", "a" * 256, "a_b", "a\r\nb"],
    "identity": ["", ":", "joe:", ":mail", "a:b:c", "a b", "a\n"],
    "file": ["", "a\0b"],
    "log": [""],
    "status": [""],
    "nothing": ["", "x"],
}  # fmt: skip


def cases(table: dict[str, object]) -> list[tuple[str, str]]:
    return [(kind, text) for kind, texts in table.items() for text in texts]  # type: ignore[attr-defined]


def test_every_kind_is_in_the_tables() -> None:
    assert set(READ) == set(PARSERS) - {"nothing"}
    assert set(REFUSED) == set(PARSERS)


def parse(kind: str, text: str) -> object:
    parser = PARSERS[kind]
    assert parser
    return parser(text)


@pytest.mark.parametrize(("kind", "text"), cases(dict(READ)))
def test_a_value_is_read(kind: str, text: str) -> None:
    assert parse(kind, text) == READ[kind][text]


@pytest.mark.parametrize(("kind", "text"), cases(dict(REFUSED)))
def test_what_is_no_value_is_none(kind: str, text: str) -> None:
    with pytest.raises(ValueError):
        parse(kind, text)


@given(st.sampled_from(sorted(PARSERS)), st.text(max_size=30))
def test_a_parser_gives_a_value_or_a_value_error(kind: str, text: str) -> None:
    try:
        parse(kind, text)
    except ValueError:
        return


@given(st.ip_addresses())
def test_addresses_are_read_as_pythons_own_library_reads_them(address: ipaddress.IPv4Address) -> None:
    assert packed_address(str(address)) == address.packed


@given(st.ip_addresses(), st.integers(0, 128))
def test_a_network_is_written_with_no_bit_behind_its_first_ones(address: ipaddress.IPv4Address, bits: int) -> None:
    text = f"{address}/{bits}"
    try:
        expected = ipaddress.ip_network(text)
    except ValueError:
        with pytest.raises(ValueError):
            parse_network(text)
        return
    found = parse_network(text)
    if getattr(address, "ipv4_mapped", None) is None:
        assert (found.packed, found.bits) == (expected.network_address.packed, bits)


@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 128))
def test_a_network_holds_what_pythons_own_library_says(
    address: ipaddress.IPv4Address, other: ipaddress.IPv4Address, bits: int
) -> None:
    bits = min(bits, address.max_prefixlen)
    network = ipaddress.ip_network(f"{address}/{bits}", strict=False)
    found = parse_network(str(network))
    for each in (address, other, network.network_address, network.broadcast_address):
        if getattr(each, "ipv4_mapped", None) is None and getattr(network.network_address, "ipv4_mapped", None) is None:
            assert found.holds(each.packed) == (each in network)


def test_an_ipv4_address_in_the_dress_of_ipv6_is_one() -> None:
    dressed = socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.7")
    assert parse_network("192.0.2.0/24").holds(dressed)
    assert parse_network("::ffff:192.0.2.0/120").holds(socket.inet_aton("192.0.2.7"))
    assert not parse_network("::/0").holds(dressed)


def test_unix_is_a_network_of_its_own() -> None:
    assert parse_network("unix").holds(b"")
    assert not parse_network("unix").holds(bytes(4))
    assert not parse_network("0.0.0.0/0").holds(b"")
    assert not parse_network("::/0").holds(b"")


@given(
    st.text(st.characters(exclude_characters=",\0", exclude_categories=["Cs"]), min_size=1),
    st.permutations(["mode=0640", "group=mail", "user=joe"]),
    st.integers(0, 3),
)
def test_what_stands_behind_a_sockets_name_may_come_in_any_order(path: str, attributes: list[str], count: int) -> None:
    found = parse_unix_socket(",".join([path, *attributes[:count]]))
    given = dict(attribute.split("=") for attribute in attributes[:count])
    assert found.path == path
    assert found.mode == (0o640 if "mode" in given else None)
    assert (found.user, found.group) == (given.get("user", ""), given.get("group", ""))


def test_values_are_told_apart_and_can_be_counted() -> None:
    assert len({parse_network("unix"), Network(b""), parse_network("::1")}) == 2
    assert len({UnixSocket("a"), UnixSocket("a"), UnixSocket("a", 0o600)}) == 2
    assert repr(UnixSocket("a", 0o600)) == "UnixSocket('a', 384, '', '')"
    assert repr(Network(b"", 0)) == "Network(b'', 0)"
