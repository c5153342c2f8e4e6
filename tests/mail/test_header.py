"""The header reader: any split of the stream gives the same fields and the same body, within the limit on memory."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from msmtp.failures import MalformedMailFailure
from msmtp.mail.header import Field, HeaderReader

PIECES = st.sampled_from(
    [
        b"To: a",
        b"Bcc:",
        b"\n",
        b"\r\n",
        b"\r",
        b" ",
        b"\t",
        b"From x",
        b">From ",
        b"From: b",
        b":",
        b"word",
        b"\0",
        b"\xef",
    ]
)
MAILS = st.lists(PIECES, max_size=20).map(b"".join)


def read(blocks: list[bytes], limit: int = 1000) -> tuple[list[Field], bytes, bytes] | str:
    """Fields, separator and body of a mail that comes in these blocks."""
    reader, fields, body = HeaderReader(limit), [], b""
    try:
        for block in blocks:
            if reader.done:
                body += block
            else:
                fields += reader.feed(block)
        fields += reader.close()
    except MalformedMailFailure as failure:
        return failure.message
    assert reader.done
    return fields, reader.separator, reader.rest + body


@given(MAILS, st.data(), st.sampled_from([3, 10, 1000]))
@example(b"\r" * 20 + b"\nx", None, 10)
@example(b"From " + b"x" * 20 + b"\nTo: a\n", None, 10)
def test_every_split_gives_the_same(mail: bytes, data: st.DataObject | None, limit: int) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(mail))))) if data else []
    blocks = [mail[start:end] for start, end in zip([0, *cuts], [*cuts, len(mail)], strict=True)]
    whole = read([mail], limit)
    assert read(blocks, limit) == whole
    assert read([mail[at : at + 1] for at in range(len(mail))], limit) == whole


@given(MAILS)
def test_nothing_is_lost_but_carriage_returns_and_the_mbox_line(mail: bytes) -> None:
    fields, separator, body = read([mail])
    header = b"".join(field.raw for field in fields)
    clean = mail.replace(b"\r", b"")
    whole = header + (separator if header else b"") + body.replace(b"\r", b"")
    assert clean in {whole, whole.rstrip(b"\n")} or clean.endswith((whole, whole.removesuffix(b"\n")))


def test_fields_come_with_their_folds() -> None:
    fields, separator, body = read([b"Subject: a\r\n\tb\r\nTO : c\n\nbody\r\n"])
    assert fields == [Field(b"subject", b"Subject: a\n\tb\n"), Field(b"to", b"TO : c\n")]
    assert [field.value for field in fields] == [b" a\n\tb\n", b" c\n"]
    assert (separator, body) == (b"\n", b"body\r\n")


def test_fields_come_as_soon_as_the_next_line_shows_their_end() -> None:
    reader = HeaderReader()
    assert reader.feed(b"A: 1\nB: 2\n") == [Field(b"a", b"A: 1\n")]
    assert reader.feed(b" 3\nC") == []
    assert reader.feed(b": 4\n\n") == [Field(b"b", b"B: 2\n 3\n"), Field(b"c", b"C: 4\n")]
    assert reader.done


def test_a_malformed_line_in_the_header_has_no_name_and_hides_nothing() -> None:
    fields, _, _ = read([b"A: 1\nnonsense\n more\nBcc: x\n: y\n\n"])
    assert [field.name for field in fields] == [b"a", b"", b"bcc", b""]
    assert fields[1].raw == b"nonsense\n more\n"


@pytest.mark.parametrize(
    "mail", [b"hello\nTo: x\n\n", b" To: x\n", b"From here on\n\nTo: x", b"From a\nFrom b\nTo: c\n", b"no end", b"From"]
)
def test_a_mail_that_does_not_begin_with_a_field_is_all_body(mail: bytes) -> None:
    assert read([mail]) == ([], b"\n", mail)


def test_the_line_of_an_mbox_file_is_dropped() -> None:
    assert read([b"From joe Mon Sep 17 00:00:00 2001\r\nTo: x\n"]) == ([Field(b"to", b"To: x\n")], b"", b"")


def test_an_empty_mail_has_neither_header_nor_body() -> None:
    assert read([]) == ([], b"", b"")
    assert read([b"\n"]) == ([], b"\n", b"")


def test_a_header_that_never_ends_is_refused() -> None:
    assert read([b"A: b\n" * 21], 100) == "the mail header is longer than 100 bytes"
    assert read([b"A: b\n" * 20 + b"\n" + b"x" * 1000], 100) == "the mail header is longer than 100 bytes"
    assert read([b"A: b\n" * 19 + b"\n" + b"x" * 1000], 100) == ([Field(b"a", b"A: b\n")] * 19, b"\n", b"x" * 1000)
    with pytest.raises(MalformedMailFailure) as caught:
        HeaderReader(10).feed(b"A: " + b"b" * 20)
    assert caught.value.exit_code == 65
    assert "empty line" in caught.value.hint


def test_an_endless_first_line_is_body_and_is_not_kept_waiting() -> None:
    reader = HeaderReader(100)
    assert reader.feed(b"x" * 101) == []
    assert (reader.done, reader.rest, reader.separator) == (True, b"x" * 101, b"\n")


def test_a_field_shows_itself_and_has_a_hash() -> None:
    field = Field(b"to", b"To: x\n")
    assert repr(field) == "Field(b'to', b'To: x\\n')"
    assert {field, Field(b"to", b"To: x\n")} == {field}
    assert field != "To: x\n"


def test_a_header_of_many_lines_takes_no_time() -> None:
    reader = HeaderReader()
    fields = reader.feed(b"A: b\n" * 200_000 + b"\n")
    assert len(fields) == 200_000
