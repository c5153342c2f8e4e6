"""Replies: what is one, what is not, and what a person gets to see of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.failures import ProtocolFailure
from msmtp.smtp.limits import Limits
from msmtp.smtp.replies import Reply, ReplyParser, enhanced_code


def parse(*lines, limits=None):
    parser = ReplyParser(limits) if limits else ReplyParser()
    return [reply for line in lines if (reply := parser.feed(line))]


@pytest.mark.parametrize(
    ("lines", "code", "texts"),
    [
        ((b"250 ok",), 250, (b"ok",)),
        ((b"250 ok\r",), 250, (b"ok",)),
        ((b"250",), 250, (b"",)),
        ((b"250\r",), 250, (b"",)),
        ((b"250 ",), 250, (b"",)),
        ((b"250-a", b"250-", b"250 b"), 250, (b"a", b"", b"b")),
        ((b"250-a", b"250"), 250, (b"a", b"")),
        ((b"599  x ",), 599, (b" x ",)),
        ((b"200 \xc3\xa4\x1b",), 200, (b"\xc3\xa4\x1b",)),
    ],
)
def test_a_reply_is_its_code_and_its_texts(lines, code, texts):
    assert parse(*lines) == [Reply(code, texts)]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((b"hello",), "the server sent an invalid reply: hello"),
        ((b"",), "the server sent an invalid reply: an empty line"),
        ((b"25",), "the server sent an invalid reply: 25"),
        ((b"2x0 a",), "the server sent an invalid reply: 2x0 a"),
        ((b"2\xb20 a",), r"the server sent an invalid reply: 2\xb20 a"),
        ((b"150 a",), "the server sent an invalid reply: 150 a"),
        ((b"650 a",), "the server sent an invalid reply: 650 a"),
        ((b"250a",), "the server sent an invalid reply: 250a"),
        ((b"250\ta",), r"the server sent an invalid reply: 250\ta"),
        ((b"+OK pop3",), "the server sent an invalid reply: +OK pop3"),
        ((b"250-a", b"550 b"), "the server sent an invalid reply: 550 b (250 was to follow)"),
        ((b"250-a", b"b"), "the server sent an invalid reply: b"),
        ((b"\x16\x03\x01" + b"x" * 100,), r"the server sent an invalid reply: \x16\x03\x01" + "x" * 68 + "..."),
    ],
)
def test_what_breaks_the_form_is_a_protocol_failure_that_quotes_it(lines, words):
    with pytest.raises(ProtocolFailure) as caught:
        parse(*lines)
    assert caught.value.message == words


def test_a_reply_has_a_limited_number_of_lines():
    limits = Limits(reply_lines=3)
    assert parse(b"250-1", b"250-2", b"250 3", limits=limits) == [Reply(250, (b"1", b"2", b"3"))]
    with pytest.raises(ProtocolFailure, match=r"250-3 \(more than 3 lines\)"):
        parse(b"250-1", b"250-2", b"250-3", limits=limits)


def test_the_same_line_again_is_the_same_reply_unless_it_ends_a_longer_one():
    one, again, longer, other, back = parse(b"250 a", b"250 a\r", b"250-b", b"250 a", b"250 c", b"250 a")
    assert one is again
    assert (longer, other, back) == (Reply(250, (b"b", b"a")), Reply(250, (b"c",)), Reply(250, (b"a",)))


def test_a_parser_knows_whether_a_reply_is_unfinished():
    parser = ReplyParser()
    assert not parser.unfinished
    parser.feed(b"250-a")
    assert parser.unfinished
    parser.feed(b"250 b")
    assert not parser.unfinished


@pytest.mark.parametrize(
    ("code", "text", "enhanced"),
    [
        (250, b"2.1.0 Ok", (2, 1, 0)),
        (550, b"5.7.1", (5, 7, 1)),
        (450, b"4.999.123 x", (4, 999, 123)),
        (550, b"4.7.1 no", None),
        (250, b"2.1 Ok", None),
        (250, b"2.1.0.0 Ok", None),
        (250, b"2.1.x Ok", None),
        (250, b"2..1 Ok", None),
        (250, b"2.1234.1 Ok", None),
        (250, b"20.1.1 Ok", None),
        (354, b"3.1.1 go", None),
        (250, b"", None),
    ],
)
def test_an_enhanced_code_is_read_and_its_text_left_alone(code, text, enhanced):
    reply = Reply(code, (text, b"more"))
    assert reply.enhanced == enhanced == enhanced_code(code, text)
    assert reply.lines[0] == text


def test_a_reply_shows_itself():
    reply = Reply(550, (b"5.7.1 no", b"", b"really"))
    assert reply.severity == 5
    assert reply.text() == b"5.7.1 no\n\nreally"
    assert reply.raw_lines() == (b"550-5.7.1 no", b"550-", b"550 really")
    assert reply.encode() == b"550-5.7.1 no\r\n550-\r\n550 really\r\n"
    assert Reply(334).raw_lines() == (b"334 ",)
    assert Reply(250, (b"", b"")).printable() == ("250-", "250")
    assert repr(Reply(250, (b"ok",))) == "Reply(250, (b'ok',))"
    assert reply != Reply(550, (b"5.7.1 no",))
    assert reply != "550"
    assert len({reply, Reply(550, reply.lines)}) == 1


def test_what_a_person_sees_has_no_control_characters():
    reply = Reply(550, ("nö \x1b[2J\x07 \u202e".encode(), b"\xff"))
    assert reply.printable() == (r"550-nö \x1b[2J\x07 \u202e", r"550 \xff")


@pytest.mark.parametrize("text", [b"a\r", b"a\n", b"\r\n250 b", b"\0", b"\n", b"\r"])
def test_a_text_with_a_line_end_or_nul_is_not_encoded(text):
    with pytest.raises(ValueError, match="a reply's text holds a line end or NUL"):
        Reply(250, (b"x", text)).encode()


def test_a_challenge_is_decoded():
    assert Reply(334, (b"VXNlcm5hbWU6",)).challenge() == b"Username:"
    assert Reply(334, (b"",)).challenge() == b""
    with pytest.raises(ProtocolFailure) as caught:
        Reply(334, (b"What?",)).challenge()
    assert caught.value.message == "the server sent an invalid challenge: What?"
    assert caught.value.server == ("334 What?",)


texts = st.binary(max_size=30).map(lambda b: b.translate(None, b"\r\n\0"))


@given(st.integers(200, 599), st.lists(texts, min_size=1, max_size=5))
def test_every_reply_is_read_back_as_it_was(code, lines):
    reply = Reply(code, tuple(lines))
    assert parse(*reply.encode().split(b"\n")[:-1]) == [reply]


@given(st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"")), max_size=5))
def test_no_bytes_give_anything_but_replies_and_protocol_failures(lines):
    words = ""
    try:
        for reply in parse(*lines):
            assert 200 <= reply.code <= 599
            words += "".join(reply.printable())
    except ProtocolFailure as failure:
        words += failure.message
    assert words.isprintable()
