"""LineBuffer: whole lines whatever the pieces, and never more octets kept than the limit allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.chunks import cut, one_by_one, places

from msmtp.smtp.lines import LineBuffer, LineTooLong

LIMIT = 10


def lines_of(pieces):
    buffer = LineBuffer()
    lines = []
    for piece in pieces:
        buffer.feed(piece)
        try:
            while (line := buffer.next_line(LIMIT)) is not None:
                lines.append(line)
        except LineTooLong as fault:
            return [*lines, ("too long", fault.start)]
    return lines


def test_a_line_leaves_when_its_line_feed_is_there():
    buffer = LineBuffer()
    buffer.feed(b"one\r")
    assert buffer.next_line(LIMIT) is None
    buffer.feed(b"\ntwo\n\nthr")
    assert buffer.next_line(LIMIT) == b"one\r"
    assert buffer.next_line(LIMIT) == b"two"
    assert buffer.next_line(LIMIT) == b""
    assert buffer.next_line(LIMIT) is None
    assert len(buffer) == 3
    assert buffer.peek(2) == b"th"
    assert buffer.take(2) == b"th"
    assert buffer.take(9) == b"r"
    assert len(buffer) == 0


@pytest.mark.parametrize("pieces", [[b"123456789\n"], one_by_one(b"123456789\n")])
def test_a_line_may_have_exactly_as_many_octets_as_the_limit(pieces):
    assert lines_of(pieces) == [b"123456789"]


@pytest.mark.parametrize(
    "pieces", [[b"1234567890\n"], one_by_one(b"1234567890"), [b"1234567890abc"], [b"1234", b"567890abc\nx"]]
)
def test_one_octet_more_is_too_long_whether_its_end_is_there_or_not(pieces):
    assert lines_of(pieces) == [("too long", b"1234567890")]


@given(st.lists(st.sampled_from([b"a", b"bc" * 3, b"\n", b"\r\n", b"1234567890"])).map(b"".join), places)
def test_lines_do_not_depend_on_how_they_came(data, where):
    assert lines_of(cut(data, where)) == lines_of([data]) == lines_of(one_by_one(data))


def test_what_was_searched_is_not_searched_again():
    """A peer that sends a long line octet by octet costs time in proportion to its length."""
    buffer = LineBuffer()
    buffer.feed(b"x" * 5)
    assert buffer.next_line(LIMIT) is None
    assert buffer._searched == 5
    buffer.feed(b"\n")
    assert buffer.next_line(LIMIT) == b"xxxxx"
    assert buffer._searched == 0
