"""The Received field: what RFC 5321, 4.4 wants of it, and what hostile names cannot make of it."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.mail.received import Hop, address_literal, hello_name, host_name, protocol, received

DATE = b"Sun, 22 Nov 2026 16:33:19 +0000"


def hop(**said: bytes | bool) -> Hop:
    made = Hop(b"client.example", b"mail.example", b"ESMTP", DATE)
    for name, value in said.items():
        setattr(made, name, value)
    return made


def test_a_field_says_who_came_how_and_when():
    field = received(
        hop(
            address=b"192.0.2.1", name=b"host.example", protocol=b"ESMTPSA", tls=b"TLSv1.3 TLS_AES_256_GCM_SHA384",
            number=b"2a.1", recipient=b"user@example.org",
        )
    )  # fmt: skip
    assert field == (
        b"Received: from client.example (host.example [192.0.2.1]) by mail.example\n"
        b" (msmtpd) with ESMTPSA (TLSv1.3 TLS_AES_256_GCM_SHA384) id 2a.1 for\n"
        b" <user@example.org>; Sun, 22 Nov 2026 16:33:19 +0000\n"
    )


def test_an_ipv6_address_is_written_as_a_literal_of_its_kind():
    assert b"([IPv6:2001:db8::1])" in received(hop(address=b"2001:db8::1"))
    assert address_literal(b"fe80::1%eth0") == b"[IPv6:fe80::1]"
    assert address_literal(b"1.2.3.4]") == b"[]"


def test_the_user_at_a_unix_socket_is_named():
    assert b"(user alice at a unix socket)" in received(hop(user=b"alice"))
    assert b"(at a unix socket)" in received(hop(user=b"al) (ice"))


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({"extended": False}, b"SMTP"),
        ({"extended": False, "tls": True}, b"SMTP"),
        ({"extended": True}, b"ESMTP"),
        ({"extended": True, "auth": True}, b"ESMTPA"),
        ({"extended": True, "tls": True}, b"ESMTPS"),
        ({"extended": True, "tls": True, "auth": True}, b"ESMTPSA"),
        ({"extended": True, "lmtp": True}, b"LMTP"),
        ({"extended": True, "lmtp": True, "tls": True, "auth": True}, b"LMTPSA"),
        ({"extended": True, "utf8": True}, b"UTF8SMTP"),
        ({"extended": True, "utf8": True, "auth": True}, b"UTF8SMTPA"),
        ({"extended": True, "utf8": True, "tls": True, "auth": True}, b"UTF8SMTPSA"),
        ({"extended": True, "utf8": True, "lmtp": True, "tls": True}, b"UTF8LMTPS"),
    ],
)
def test_with_is_followed_by_the_registered_keyword(facts, word):
    assert protocol(**facts) == word


@pytest.mark.parametrize(
    "name",
    [b"a\r\nX: y", b"a]", b"a" * 254, b"x" * 64 + b".example", "hä.example".encode(), b"", b"-a.example", b"a..b", b"a b",
     b"[1.2.3.4", b"[a b]", b"[]", b"(x)", b"a\0"],
)  # fmt: skip
def test_fault_24_a_hello_that_is_no_name_is_called_invalid(name):
    assert hello_name(name) == b"invalid"
    assert received(hop(hello=name)).startswith(b"Received: from invalid (")


@pytest.mark.parametrize("name", [b"localhost", b"a.b.example.", b"my_pc", b"[192.0.2.1]", b"[IPv6:::1]", b"x" * 63])
def test_a_hello_that_is_a_name_stands_as_it_is(name):
    assert hello_name(name) == name.removesuffix(b".")


@pytest.mark.parametrize("name", [b"a\n b", b"a" * 300, b"a b.example", b"\xff.example", b"(a)", b"a;b"])
def test_fault_25_an_odd_name_of_a_peer_is_left_out(name):
    assert host_name(name) == b""
    assert b"client.example ([192.0.2.1]) by" in received(hop(address=b"192.0.2.1", name=name))


@pytest.mark.parametrize(
    "recipient", [b"a\nb@x", b'"a b"@x', b"a(b)@x", b"a;b@x", b"\xff@x", "é@x".encode(), b"a\x7fb@x", b"a>b@x"]
)
def test_fault_23_a_recipient_that_is_no_plain_address_is_not_named(recipient):
    assert b" for " not in received(hop(recipient=recipient))


def test_an_internationalised_recipient_is_named_in_a_mail_that_may_have_it():
    assert "<é@x>".encode() in received(hop(recipient="é@x".encode(), utf8=True))
    assert b" for " not in received(hop(recipient="\u0085@x".encode(), utf8=True))


@given(st.lists(st.binary(max_size=300), min_size=7, max_size=7), st.booleans())
def test_whatever_is_said_the_field_is_one_field(said, utf8):
    """Faults 23 to 25: no octets make a second field, end the header, or break a line."""
    names = ("hello", "address", "name", "user", "tls", "number", "recipient")
    field = received(hop(**dict(zip(names, said, strict=True)), utf8=utf8))
    lines = field.split(b"\n")
    assert lines[-1] == b""
    assert all(line.startswith(b" ") for line in lines[1:-1])
    assert not any(octet < 0x20 or octet == 0x7F for octet in field.replace(b"\n", b""))
    parsed = email.message_from_bytes(field + b"\n", policy=email.policy.compat32)
    assert parsed.keys() == ["Received"]
    assert all(len(line) <= 78 or len(line.split()) == 1 for line in lines)


@given(st.text("abcdefgh.-", max_size=253), st.text("abc.", max_size=200))
def test_lines_are_folded(hello, name):
    field = received(hop(hello=hello.encode(), address=b"192.0.2.1", name=name.encode()))
    assert all(len(line) <= 78 or len(line.split()) <= 2 for line in field.split(b"\n"))
