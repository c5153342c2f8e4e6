"""The fields that are added, held against Python's own email package as an independent reader."""

from __future__ import annotations

import datetime as dt
import email.header
import email.utils
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.failures import UsageFailure
from msmtp.mail.fields import date, from_field, message_id, to_field

NAMES = st.text(
    st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs", "Cc"]), max_size=150
)


def unfolded(field: bytes) -> str:
    return field.decode("ascii").removesuffix("\n").replace("\n", "")


@pytest.mark.parametrize(
    ("name", "field"),
    [
        (b"", b"From: a@b.example\n"),
        (b"  ", b"From: a@b.example\n"),
        (b"Joe Doe", b"From: Joe Doe <a@b.example>\n"),
        (b"Doe, Joe", b'From: "Doe, Joe" <a@b.example>\n'),
        (b"Joe\tDoe", b"From: Joe Doe <a@b.example>\n"),
        (b'Joe "J" \\', b'From: "Joe \\"J\\" \\\\" <a@b.example>\n'),
        (b'"Doe, Joe"', b'From: "Doe, Joe" <a@b.example>\n'),
        (b'"Doe" Joe"', b'From: "\\"Doe\\" Joe\\"" <a@b.example>\n'),
        (b'"Joe\\"', b'From: "\\"Joe\\\\\\"" <a@b.example>\n'),
        (b'"', b'From: "\\"" <a@b.example>\n'),
        ("Jörg".encode(), b"From: =?utf-8?B?SsO2cmc=?= <a@b.example>\n"),
        (b"J\xf6rg", b"From: =?utf-8?B?SsO2cmc=?= <a@b.example>\n"),
    ],
)
def test_a_full_name_becomes_a_phrase(name: bytes, field: bytes) -> None:
    assert from_field(b"a@b.example", name) == field


@given(NAMES)
def test_another_reader_gets_the_name_back(name: str) -> None:
    field = from_field(b"a@b.example", name.encode())
    assert all(len(line) <= 78 for line in field.split(b"\n"))
    wanted = name.strip(" ")
    if len(wanted) > 1 and wanted[0] == wanted[-1] == '"':
        return  # may be taken as a quoted string already
    if "=?" in wanted:
        return  # may be an encoded word already
    shown, address = email.utils.parseaddr(unfolded(field).removeprefix("From: "))
    assert address == "a@b.example"
    decoded = str(email.header.make_header(email.header.decode_header(shown)))
    assert decoded.split() == wanted.split() if wanted.isascii() else decoded == wanted


@given(NAMES)
def test_encoded_words_keep_to_their_lengths(name: str) -> None:
    for line in from_field(b"a@b.example", name.encode()).split(b"\n"):
        for word in re.findall(rb"=\?utf-8\?B\?[^?]*\?=", line):
            assert len(word) <= 75
        if b"=?utf-8?B?" in line:
            assert len(line) <= 76 or b"<" in line


def test_a_long_address_goes_to_a_line_of_its_own() -> None:
    address = b"a" * 60 + b"@b.example"
    assert from_field(address, b"Joe Doe, Jr.") == b'From: "Joe Doe, Jr."\n <' + address + b">\n"


@pytest.mark.parametrize("bad", [b"Joe\nBcc: x@y", b"Joe\r", b"Joe\0", b"\x7f"])
def test_no_control_character_gets_into_a_header(bad: bytes) -> None:
    for make in (lambda: from_field(b"a@b", bad), lambda: from_field(bad, b""), lambda: to_field([b"a@b", bad])):
        with pytest.raises(UsageFailure, match="line break") as caught:
            make()
        assert caught.value.message.isprintable()


def test_to_names_everyone() -> None:
    assert to_field([b"a@b", b"root"]) == b"To: a@b, root\n"
    assert to_field([b"a@b"]) == b"To: a@b\n"


@given(st.lists(st.integers(1, 100).map(lambda length: b"x" * length + b"@y"), min_size=1, max_size=30))
def test_to_is_folded_between_recipients(recipients: list[bytes]) -> None:
    field = to_field(recipients)
    assert all(len(line) <= 78 or line.count(b"@") == 1 for line in field.split(b"\n"))
    assert unfolded(field).removeprefix("To: ").encode().split(b", ") == recipients


@given(st.integers(-62_000_000_000, 253_000_000_000), st.integers(-1439, 1439))
def test_dates_are_those_of_datetime(seconds: int, minutes: int) -> None:
    zone = dt.timezone(dt.timedelta(minutes=minutes))
    moment = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(seconds=seconds)
    assert date(seconds, minutes * 60).decode() == email.utils.format_datetime(moment.astimezone(zone))


def test_a_date_reads_as_upstream_writes_it() -> None:
    assert date(1795365199, 0) == b"Sun, 22 Nov 2026 16:33:19 +0000"
    assert date(1795365199, -12600) == b"Sun, 22 Nov 2026 13:03:19 -0330"
    assert date(1795365199, 20700) == b"Sun, 22 Nov 2026 22:18:19 +0545"


@pytest.mark.parametrize(
    ("domain", "sender", "host", "expected"),
    [
        (b"foo.example", b"a@b.example", b"h", b"<t@foo.example>"),
        (b"localhost", b"a@b.example", b"h", b"<t@b.example>"),
        (b"", b"a@b.example", b"h", b"<t@b.example>"),
        (b"", b'"a@c"@b.example', b"h", b"<t@b.example>"),
        (b"", b"root", b"mail.example", b"<t@mail.example>"),
        (b"", b"", b"mail.example", b"<t@mail.example>"),
        (b"", b"a@", b"mail.example", b"<t@mail.example>"),
        (b"", b"a@[192.0.2.1]", b"h", b"<t@[192.0.2.1]>"),
        (b"", b"", b"192.0.2.1", b"<t@192.0.2.1>"),
        (b"", b"", b"2001:db8::1", b"<t@[2001:db8::1]>"),
        (b"", "a@dömäin".encode(), b"mail.example", b"<t@mail.example>"),
        (b"", b"a@x y", b"/run/so cket", b"<t@localhost>"),
        (b"", b"", b"", b"<t@localhost>"),
        (b"a>b\n", b"", b"", b"<t@localhost>"),
    ],
)
def test_the_domain_of_a_message_id(domain: bytes, sender: bytes, host: bytes, expected: bytes) -> None:
    assert message_id(b"t", domain, sender, host) == expected
