"""From fields: what is written plainly is read as every program reads it, and all else is unclear."""

from __future__ import annotations

import random
import time
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from msmtp.daemon.from_field import addresses_of, read
from msmtp.daemon.policy import plainly
from msmtp.mail.addresses import parse_addresses


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b" joe@x", [b"joe@x"]),
        (b" root", [b"root"]),
        (b" root (Cron Daemon)", [b"root"]),
        (b' "(Cron Daemon)" <root>', [b"root"]),
        (b" (x) joe@x (Joe (at work))", [b"joe@x"]),
        (b" Joe D. O'Doe, joe@x", None),
        (b" Joe D. O'Doe <joe@x>", [b"joe@x"]),
        (b" Joe\n <joe@x>\n", [b"joe@x"]),
        (b' "Joe,\r\n\t the \\"boss\\": Doe;" <joe@[IPv6:::1]> (Joe)', [b"joe@[IPv6:::1]"]),
        (b" J\xc3\xb6rg <joe@x>", [b"joe@x"]),
        (b" joe@x <joe@x>", [b"joe@x"]),
        (b" boss@y <joe@x>", [b"joe@x", b"boss@y"]),
        (b' "boss@y by form" <joe@x>', [b"joe@x"]),
        (b" <joe@x>, Boss <boss@y>, ann@z", [b"joe@x", b"boss@y", b"ann@z"]),
        (b" =?utf-8?q?J=C3=B6rg?= =?iso-8859-1?B?RPZl?= <joe@x>", [b"joe@x"]),
        (b" =?utf-8*de?q?Doe=2C_J=C3=B6rg?= <joe@x>", [b"joe@x"]),
        (b" =?iso-2022-jp?b?GyRCQCQzJhsoQg==?= <joe@x>", [b"joe@x"]),  # half of its first letter is a @
        (b" =?GBK?q?=81=40?= <joe@x>", [b"joe@x"]),
        (b" =?shift_jis?q?=83=40?= <joe@x>", [b"joe@x"]),
    ],
)
def test_what_is_written_plainly_is_read(value: bytes, found: list[bytes] | None) -> None:
    assert read(value) == found


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b" <>",
        b" nobody:;",
        b" group: joe@x, ann@x;",
        b" joe@x,",
        b" Joe Doe",
        b" Joe joe@x",
        b" joe@x Joe",
        b" joe @x",
        b" joe@x. y",
        b" joe(x)@y",
        b" joe@x(y)z",
        b' "joe"@x',
        b' "boss@y"',
        b' "boss@y", joe@x',
        b' "boss@y"@x <joe@x>',
        b' Boss "boss@y" <joe@x>',
        b' "boss@y" <joe@x>, ann@x',
        b' "<boss>" <joe@x>',
        b' "boss@y\\"" <joe@x>',
        b' "boss@y (" <joe@x>',
        b' "boss@y <joe@x>',
        b" (boss@y) <joe@x>",
        b" (boss@y <joe@x>",
        b" joe@x (<boss>)",
        b" <joe@x> Joe",
        b" <joe@x> boss@y",
        b" <joe@x> <boss@y",
        b" <joe@x> <joe@x>",
        b" <@y:joe@x>",
        b" <boss@y@x>",
        b" boss@y:joe@x;",
        b" boss@y(: joe@x",
        b" [boss@y: joe@x]",
        b" \\<boss@y> <joe@x>",
        b" boss\0@y <joe@x>",
        b" Joe\x0b <joe@x>",
        b" =?utf-8?q?boss=40y?= <joe@x>",
        b" =?utf-8?b?Ym9zc0B5?= <joe@x>",
        b" =?utf-8?q?=3Cboss=3E?= <joe@x>",
        b' "=?utf-8?q?boss=40y?=" <joe@x>',
        b" joe@x (=?utf-8?q?boss=40y?=)",
        b" =?utf-8?q?boss=40y <joe@x>",
        b" =?utf-8?q?boss=4?= =?utf-8?q?0y?= <joe@x>",
        b" =?utf-8?b?Ym9zc0B5?",
        b" =?utf-8?b?Ym9zc0B?= <joe@x>",
        b" =?utf-8?x?Joe?= <joe@x>",
        b" =?utf-7?q?boss+AEA-y?= <joe@x>",
        b" =?iso-2022-jp?q?=1B$B=1B(Bboss=40y?= <joe@x>",
        b" =?gbk?q?boss=40y?= <joe@x>",
        b" =?utf-8?q?=81=40?= <joe@x>",
        b" =?utf-8?q?boss?=@x",
        b" <=?utf-8?q?boss?=>",
    ],
)
def test_all_else_is_unclear(value: bytes) -> None:
    assert read(value) is None
    assert addresses_of([b" joe@x", value])[1] is False


def test_all_from_fields_count() -> None:
    assert addresses_of([b" joe@x", b" boss@y"]) == ([b"joe@x", b"boss@y"], True)
    assert addresses_of([b" joe@x", b" boss@y:;", b" ann@x"]) == ([b"joe@x", b"ann@x"], False)
    assert addresses_of([]) == ([], True)


# -- compared with what others show


def decoded_first(value: str) -> list[str]:
    """What a program sees that decodes encoded words before it looks for addresses: those with a @ alone."""
    try:
        text = str(make_header(decode_header(value)))
    except (ValueError, LookupError):
        return []
    return [address for address in with_utils(text) if "@" in address]


def with_utils(value: str) -> list[str]:
    found = [address for _, address in getaddresses([value])]
    try:
        found += [address for _, address in getaddresses([value], strict=False)]
    except TypeError:  # a Python before that was known
        pass
    return found


def with_registry(value: bytes) -> list[str]:
    try:
        field = message_from_bytes(b"From:" + value + b"\n\n", policy=policy.default)["from"]
        return [each.addr_spec for each in field.addresses]
    except Exception:  # whatever it is, that reader shows nothing
        return []


def shown(value: bytes) -> set[str]:
    """All that Python's own readers show as an address."""
    text = value.decode("utf-8", "surrogateescape")
    found = [*with_utils(text), *with_registry(value), *decoded_first(text)]
    return {plainly(address.encode("utf-8", "surrogateescape")) for address in found if address}


def judged(value: bytes) -> set[str] | None:
    """All that a policy asks about, None if it lets nothing of that kind through."""
    found = read(value)
    return None if found is None else {plainly(address) for address in found}


PIECES = [
    *(b"root@h", b"joe@x", b"<joe@x>", b"<root@h>", b" <joe@x>", b'"', b'"', b"\\", b"(", b")", b"<", b">", b",", b";"),
    *(b":", b"@", b".", b"[", b"]", b" ", b"\n ", b"\t", b"root", b"joe", b"@h", b"@x", b"x", b"'", b"\xc3\xb6", b"\0"),
    *(b'"root@h"', b"(root@h)", b"(x)", b'"x"', b"g:", b"@a:", b"=?utf-8?q?", b"?=", b"=40", b"_", b"=3Croot=40h=3E"),
    *(b"=?utf-8?q?root=40h?=", b"=?utf-8?b?cm9vdEBo?=", b"=?utf-8?q?Joe?=", b"=?utf-7?q?root+AEA-h?=", b"=2C", b"=22"),
]
# Near to what is plain: a row of words, an address, and something put in somewhere.
NEAR = st.tuples(
    st.lists(st.sampled_from(PIECES), max_size=3).map(b"".join),
    st.sampled_from([b"", b"Joe ", b'"Joe Doe" ', b"joe@x ", b"=?utf-8?q?J=C3=B6?= ", b'"root@h" ']),
    st.lists(st.sampled_from(PIECES), max_size=1).map(b"".join),
    st.sampled_from([b"<joe@x>", b"joe@x", b"<joe>", b"joe"]),
    st.lists(st.sampled_from(PIECES), max_size=3).map(b"".join),
).map(b"".join)
VALUES = st.lists(st.sampled_from(PIECES), max_size=9).map(b"".join) | NEAR | st.binary(max_size=30)


@settings(max_examples=600)
@given(VALUES)
@example(b"root@h:joe@x;")
@example(b"root@h(: joe@x")
@example(rb"\<root@h> <joe@x>")
@example(b"=?utf-8?q?=3Croot=40h=3E?= <joe@x>")
def test_no_program_shows_an_address_that_the_policy_was_not_asked_about(value: bytes) -> None:
    found = judged(value)
    if found is not None:
        assert shown(value) <= found
        assert found  # and one is asked about
        assert found >= {plainly(address) for address in parse_addresses(value)}


def test_the_comparison_sees_what_others_overlook() -> None:
    """The same values find faults in a reader that reads as msmtp does, and many of them are plain."""
    chance = random.Random(1)
    values = [b"".join(chance.choices(PIECES, k=chance.randint(1, 5))) for _ in range(3000)]
    overlooked = [
        value for value in values if not shown(value) <= {plainly(address) for address in parse_addresses(value)}
    ]
    assert len(overlooked) > 100
    assert sum(read(value) is not None for value in values) > 100


@pytest.mark.parametrize(
    "piece",
    [
        b'"\\',
        b"(\\",
        b"(",
        b'"',
        b"<",
        b"a",
        b"@",
        b"a@",
        b"<a@b>,",
        b'\\"',
        b"(a)",
        b"=?",
        b"?",
        b"=?a?q?",
        b"\n ",
        b",",
    ],
)
@pytest.mark.parametrize("first", [b"<", b'"', b"(", b"=?a?q?", b""])
def test_the_time_for_a_from_field_is_linear(first: bytes, piece: bytes) -> None:
    value = first + piece * (60_000 // len(piece))
    begun = time.process_time()
    addresses_of([value])
    assert time.process_time() - begun < 2
