"""Lines into commands, or the answer that says what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from msmtp.smtp.commands import (
    Auth,
    AuthCancel,
    AuthResponse,
    Bdat,
    Data,
    Ehlo,
    Etrn,
    Expn,
    Helo,
    Help,
    Lhlo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
)
from msmtp.smtp.extensions import EXTENSIONS
from msmtp.smtp.limits import Limits
from msmtp.smtp.parsing import Refusal, parse_command, parse_response, verb_of
from msmtp.smtp.replies import Reply
from msmtp.smtp.server_replies import REPLIES, challenge, greeting

ALL = frozenset(row.keyword for row in EXTENSIONS)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"EHLO me.example", Ehlo(b"me.example")),
        (b"ehlo  me ", Ehlo(b"me")),
        (b"HELO [192.0.2.1]", Helo(b"[192.0.2.1]")),
        (b"LHLO me", Lhlo(b"me")),
        (b"MAIL FROM:<>", Mail(b"")),
        (b"mail from: <a@b>", Mail(b"a@b")),
        (b"MAIL FROM:<@x:a@b>", Mail(b"a@b")),
        (b"MAIL FROM:<a@b> size=12  BODY=8bitmime", Mail(b"a@b", ((b"SIZE", b"12"), (b"BODY", b"8BITMIME")))),
        (b"MAIL FROM:<a@b> RET=hdrs ENVID=QQ+2B+20x", Mail(b"a@b", ((b"RET", b"HDRS"), (b"ENVID", b"QQ+2B+20x")))),
        (b"MAIL FROM:<a@b> AUTH=<>", Mail(b"a@b", ((b"AUTH", b"<>"),))),
        ("MAIL FROM:<ä@b> SMTPUTF8".encode(), Mail("ä@b".encode(), ((b"SMTPUTF8", None),))),
        (b"RCPT TO:<a@b>", Rcpt(b"a@b")),
        (b"RCPT to:\t<a@b>", Rcpt(b"a@b")),
        (b"RCPT TO:<a@b> NOTIFY=success,delay", Rcpt(b"a@b", ((b"NOTIFY", b"SUCCESS,DELAY"),))),
        (b"RCPT TO:<a@b> ORCPT=rfc822;a+2Bc@b", Rcpt(b"a@b", ((b"ORCPT", b"rfc822;a+2Bc@b"),))),
        (b"DATA", Data()),
        (b"data  ", Data()),
        (b"BDAT 10", Bdat(10)),
        (b"bdat 0 last", Bdat(0, last=True)),
        (b"AUTH plain", Auth(b"PLAIN")),
        (b"AUTH PLAIN =", Auth(b"PLAIN", b"")),
        (b"AUTH PLAIN AHUAcA==", Auth(b"PLAIN", b"\0u\0p")),
        (b"STARTTLS", StartTls()),
        (b"RSET", Rset()),
        (b"NOOP", Noop()),
        (b"NOOP one two", Noop(b"one two")),
        (b"QUIT", Quit()),
        (b"VRFY a b", Vrfy(b"a b")),
        (b"EXPN list", Expn(b"list")),
        (b"HELP", Help()),
        (b"HELP me", Help(b"me")),
        (b"ETRN #q", Etrn(b"#q")),
    ],
)
def test_a_line_is_a_command(line, command):
    assert parse_command(line, ALL) == command
    assert verb_of(line) == command.verb


REFUSED = {
    "unknown command": [b"", b" EHLO x", b"FOO", b"EHLO\tx", b"(greeting)", b"(content)", b"(response)", b"MAILFROM:<a>"],
    "not implemented": [b"TURN", b"send from:<a@b>", b"SAML", b"SOML", b"ATRN"],
    "bad arguments": [
        b"EHLO", b"EHLO ", b"EHLO a b", b"EHLO \xc3\xa4", b"HELO", b"LHLO", b"DATA x", b"RSET x", b"QUIT x", b"STARTTLS x",
        b"VRFY", b"VRFY \xff", b"EXPN", b"ETRN", b"MAIL", b"MAIL <a@b>", b"MAIL TO:<a@b>", b"RCPT FROM:<a@b>",
        b"MAIL FROM <a@b>", b"AUTH", b"AUTH PL/AIN", b"AUTH " + b"X" * 21, b"NOOP \xc2\x85",
    ],
    "bad sender": [
        b"MAIL FROM:", b"MAIL FROM:a@b", b"MAIL FROM:<a@b", b"MAIL FROM:<a b>", b"MAIL FROM:<a@b>SIZE=1", b"MAIL FROM:<\xff@b>",
        b"MAIL FROM:<a@b>\tSIZE=1", b"MAIL FROM:<a@[1.2.3]>",
    ],
    "bad recipient": [b"RCPT TO:", b"RCPT TO:<>", b"RCPT TO:<a@>", b"RCPT TO:<\xc2\x85@b>"],
    "unknown parameter": [b"MAIL FROM:<a@b> X=1", b"MAIL FROM:<a@b> NOTIFY=NEVER", b"RCPT TO:<a@b> SIZE=1"],
    "bad parameter": [
        b"MAIL FROM:<a@b> SIZE", b"MAIL FROM:<a@b> SIZE=", b"MAIL FROM:<a@b> SIZE=x", b"MAIL FROM:<a@b> SIZE=-1",
        b"MAIL FROM:<a@b> SIZE=" + b"1" * 21, b"MAIL FROM:<a@b> SIZE=1 SIZE=1", b"MAIL FROM:<a@b> BODY=BINARYMIME",
        b"MAIL FROM:<a@b> BODY", b"MAIL FROM:<a@b> SMTPUTF8=1", b"MAIL FROM:<a@b> RET=ALL", b"MAIL FROM:<a@b> ENVID=a=b",
        b"MAIL FROM:<a@b> ENVID=+zz", b"MAIL FROM:<a@b> ENVID", b"MAIL FROM:<a@b> ENVID=+0A", b"MAIL FROM:<a@b> ENVID=+C3+A4",
        b"MAIL FROM:<a@b> ENVID=" + b"x" * 101, b"MAIL FROM:<a@b> AUTH=a=b", b"MAIL FROM:<a@b> -X=1",
        b"MAIL FROM:<a@b> ENVID=\xff", b"MAIL FROM:<a@b> AUTH",
        b"RCPT TO:<a@b> NOTIFY", b"RCPT TO:<a@b> NOTIFY=NEVER,DELAY", b"RCPT TO:<a@b> NOTIFY=SUCCESS,",
        b"RCPT TO:<a@b> ORCPT=a@b", b"RCPT TO:<a@b> ORCPT=rfc822;", b"RCPT TO:<a@b> ORCPT=;a@b",
        b"RCPT TO:<a@b> ORCPT=rfc822;a+b", b"RCPT TO:<a@b> ORCPT=rfc822;" + b"x" * 500,
        b"RCPT TO:<a@b> NOTIFY=NEVER NOTIFY=NEVER", "RCPT TO:<a@b> ORCPT=utf-8;ä@b".encode(),
    ],
    "not UTF-8": ["MAIL FROM:<ä@b>".encode(), "RCPT TO:<a@ä>".encode(), "MAIL FROM:<ä@b> SIZE=1".encode()],
    "bad base64": [b"AUTH PLAIN !", b"AUTH PLAIN A", b"AUTH PLAIN AA==AA==", b"AUTH PLAIN A A", b"AUTH PLAIN *", b"AUTH PLAIN AAAA=",
        b"AUTH PLAIN AAAA====", b"AUTH PLAIN AA=A", b"AUTH PLAIN ===="],
}  # fmt: skip


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in REFUSED.items() for line in lines])
def test_a_line_that_is_no_command_gets_its_answer(name, line):
    with pytest.raises(Refusal) as caught:
        parse_command(line, ALL)
    assert caught.value.name == name
    assert not caught.value.fatal


@pytest.mark.parametrize(
    "line", [b"BDAT", b"BDAT x", b"BDAT -1", b"BDAT 1 FIRST", b"BDAT 1 LAST x", b"BDAT " + b"1" * 21]
)
def test_a_chunk_without_its_size_is_fatal(line):
    with pytest.raises(Refusal) as caught:
        parse_command(line, ALL)
    assert (caught.value.name, caught.value.fatal) == ("bad arguments", True)


def test_what_an_extension_brings_exists_if_it_is_offered():
    for line in (b"AUTH PLAIN", b"STARTTLS", b"ETRN x", b"BDAT 1"):
        with pytest.raises(Refusal) as caught:
            parse_command(line, frozenset())
        assert caught.value.name == "not implemented"
        assert caught.value.fatal == line.startswith(b"BDAT")
    for parameter in (b"SIZE=1", b"BODY=7BIT", b"SMTPUTF8", b"RET=FULL", b"ENVID=x", b"AUTH=<>"):
        with pytest.raises(Refusal, match="unknown parameter"):
            parse_command(b"MAIL FROM:<a@b> " + parameter, frozenset())


def test_in_a_transaction_of_smtputf8_recipients_may_have_octets_beyond_ascii():
    line = "RCPT TO:<ä@b> ORCPT=utf-8;ä@b".encode()
    command = parse_command(line, ALL, utf8=True)
    assert command == Rcpt("ä@b".encode(), ((b"ORCPT", "utf-8;ä@b".encode()),))
    with pytest.raises(Refusal, match="bad recipient"):
        parse_command(b"RCPT TO:<\xff@b>", ALL, utf8=True)


@pytest.mark.parametrize(
    ("line", "command"), [(b"*", AuthCancel()), (b"", AuthResponse(b"")), (b"dQ==", AuthResponse(b"u"))]
)
def test_an_answer_to_a_challenge(line, command):
    assert parse_response(line) == command


@pytest.mark.parametrize("line", [b"!", b"dQ", b"dQ== ", b"**", b"=", b"QUIT!"])
def test_what_is_no_answer_to_a_challenge(line):
    with pytest.raises(Refusal, match="bad base64"):
        parse_response(line)


@example(b"\x01\x0b\x01", b"EHLO ")  # a control character is no white space to all
@given(st.binary(max_size=40), st.sampled_from([b"", b"MAIL FROM:<", b"RCPT TO:<a@b> ", b"AUTH ", b"BDAT ", b"EHLO "]))
def test_any_octets_are_a_command_or_a_refusal(data, start):
    """And what was read can be written and read again, the same."""
    try:
        command = parse_command(start + data, ALL, utf8=True)
    except Refusal as refusal:
        name = refusal.name
    else:
        if not {b"\r", b"\n", b"\0"} & {bytes([octet]) for octet in data}:
            line = command.encode(Limits(command_line=9999)).removesuffix(b"\r\n")
            assert parse_command(line, ALL, utf8=True) == command
        return
    assert name in REPLIES


# -- the table of answers


def test_code_and_enhanced_code_agree():
    bare = {334, 354}
    for name, reply in REPLIES.items():
        assert reply.code in bare or reply.enhanced is not None, name
        assert reply.enhanced is None or reply.enhanced[0] == reply.severity, name
        assert all(line.startswith(reply.lines[0].split()[0]) for line in reply.lines) or reply.enhanced is None, name
        assert all(len(line) <= 512 for line in reply.encode().splitlines(keepends=True)), name


def test_help_names_every_verb():
    text = REPLIES["help"].text()
    for verb in (b"EHLO", b"HELO", b"LHLO", b"MAIL", b"RCPT", b"DATA", b"BDAT", b"AUTH", b"STARTTLS", b"RSET", b"NOOP",
                 b"QUIT", b"VRFY", b"EXPN", b"HELP", b"ETRN"):  # fmt: skip
        assert verb in text
        assert verb_of(verb) == verb


def test_answers_that_are_made():
    assert greeting(b"x.example") == Reply(220, (b"x.example ESMTP",))
    assert greeting(b"x.example", "lmtp") == Reply(220, (b"x.example LMTP",))
    assert challenge().encode() == b"334 \r\n"
    assert challenge(b"Username:") == Reply(334, (b"VXNlcm5hbWU6",))
