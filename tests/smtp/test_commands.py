"""Commands: how they look on the wire, and that no field can become more than itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.failures import CommandFailure
from msmtp.smtp import commands
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
from msmtp.smtp.limits import Limits

ENCODED = [
    (Ehlo(b"me.example"), b"EHLO me.example\r\n"),
    (Helo(b"[192.0.2.1]"), b"HELO [192.0.2.1]\r\n"),
    (Lhlo(b"me"), b"LHLO me\r\n"),
    (Mail(b""), b"MAIL FROM:<>\r\n"),
    (Mail(b"a@b", ((b"SIZE", b"12"), (b"SMTPUTF8", None))), b"MAIL FROM:<a@b> SIZE=12 SMTPUTF8\r\n"),
    (Rcpt(b"a@b"), b"RCPT TO:<a@b>\r\n"),
    (Rcpt(b"a@b", ((b"NOTIFY", b"NEVER"),)), b"RCPT TO:<a@b> NOTIFY=NEVER\r\n"),
    (Rcpt(b'"a> b\\""@c'), b'RCPT TO:<"a> b\\""@c>\r\n'),
    (Rcpt(b'"a\\\\"@c'), b'RCPT TO:<"a\\\\"@c>\r\n'),
    (Rcpt("jürgen@bücher.example".encode()), "RCPT TO:<jürgen@bücher.example>\r\n".encode()),
    (Data(), b"DATA\r\n"),
    (Bdat(0, last=True), b"BDAT 0 LAST\r\n"),
    (Bdat(65536), b"BDAT 65536\r\n"),
    (Auth(b"PLAIN"), b"AUTH PLAIN\r\n"),
    (Auth(b"PLAIN", b""), b"AUTH PLAIN =\r\n"),
    (Auth(b"PLAIN", b"\0u\0p"), b"AUTH PLAIN AHUAcA==\r\n"),
    (AuthResponse(b""), b"\r\n"),
    (AuthResponse(b"u"), b"dQ==\r\n"),
    (AuthCancel(), b"*\r\n"),
    (StartTls(), b"STARTTLS\r\n"),
    (Rset(), b"RSET\r\n"),
    (Noop(), b"NOOP\r\n"),
    (Noop(b"a b"), b"NOOP a b\r\n"),
    (Quit(), b"QUIT\r\n"),
    (Vrfy(b"a b"), b"VRFY a b\r\n"),
    (Expn(b"list"), b"EXPN list\r\n"),
    (Help(), b"HELP\r\n"),
    (Help(b"MAIL"), b"HELP MAIL\r\n"),
    (Etrn(b"@example.org"), b"ETRN @example.org\r\n"),
]


@pytest.mark.parametrize(("command", "line"), ENCODED, ids=lambda value: repr(value)[:40])
def test_a_command_is_one_line(command, line):
    assert command.encode() == line


def test_a_step_is_named_by_the_verb_but_for_the_last_chunk():
    assert Bdat(1).step == b"BDAT"
    assert Bdat(1, last=True).step == b"BDAT LAST"
    assert Data().step == Data().verb == b"DATA"
    assert AuthResponse(b"").step == b"(response)"
    assert commands.CONNECTION.line() == b"(greeting)"


REFUSED = [
    (Ehlo(b""), "the EHLO command cannot be sent: '' is not one word"),
    (Ehlo(b"a b"), "the EHLO command cannot be sent: 'a b' is not one word"),
    (Ehlo(b"a\r\nQUIT"), r"the EHLO command cannot be sent: 'a\\r\\nQUIT' is not one word"),
    (Ehlo(b"a\0"), "the EHLO command cannot be sent: a line end or NUL is in it"),
    (Mail(b"a> SIZE=<b"), "the MAIL command cannot be sent: 'a> SIZE=<b' is not an address"),
    (Mail(b"a\nb@c"), r"the MAIL command cannot be sent: 'a\\nb@c' is not an address"),
    (Mail(b'"a\nb"@c'), "the MAIL command cannot be sent: a line end or NUL is in it"),
    (Mail(b'"a\0b"@c'), "the MAIL command cannot be sent: a line end or NUL is in it"),
    (Mail(b"a@b", ((b"", b"x"),)), "the MAIL command cannot be sent: '' is not one word"),
    (Mail(b"a@b", ((b"SIZE", b""),)), "the MAIL command cannot be sent: '' is not one word"),
    (Mail(b"a@b", ((b"SIZE", b"1 BODY=7BIT"),)), "the MAIL command cannot be sent: '1 BODY=7BIT' is not one word"),
    (Rcpt(b""), "the RCPT command cannot be sent: the recipient is empty"),
    (Rcpt(b'"a'), "the RCPT command cannot be sent: '\"a' is not an address"),
    (Rcpt(b'"a\\"> b'), r"""the RCPT command cannot be sent: '"a\\"> b' is not an address"""),
    (
        Rcpt(b'"a\\\\"> NOTIFY="'),
        "the RCPT command cannot be sent: .* is not an address",
    ),  # an escaped backslash, no quote
    (Rcpt(b"<a@b>"), "the RCPT command cannot be sent: '<a@b>' is not an address"),
    (Auth(b"PLAIN AAAA"), "the AUTH command cannot be sent: 'PLAIN AAAA' is not one word"),
    (Noop(b"a\r\nQUIT"), "the NOOP command cannot be sent: a line end or NUL is in it"),
    (Etrn(b"a\nb"), "the ETRN command cannot be sent: a line end or NUL is in it"),
    (
        Rcpt(b"x" * 1300),
        r"the RCPT command cannot be sent: it has 1312 octets, 1280 are allowed",
    ),
    (Mail(b'""' * 500_000 + b">"), "the MAIL command cannot be sent: it has 1000015 octets, 1280 are allowed"),
    (Auth(b"X", b"secret" * 2000), "the AUTH command cannot be sent: it has 16009 octets, 8190 are allowed"),
    (
        AuthResponse(b"secret" * 2000),
        r"the \(response\) command cannot be sent: it has 16002 octets, 12290 are allowed",
    ),
]


@pytest.mark.parametrize(("command", "words"), REFUSED, ids=lambda value: repr(value)[:40])
def test_what_would_be_read_as_more_than_itself_or_is_too_long_is_refused(command, words):
    with pytest.raises(CommandFailure, match=f"^{words}$"):
        command.encode()


def test_limits_are_parameters():
    limits = Limits(command_line=10, auth_line=12, response_line=8)
    assert Noop(b"abc").encode(limits) == b"NOOP abc\r\n"
    assert Auth(b"PLAIN").encode(limits) == b"AUTH PLAIN\r\n"
    assert AuthResponse(b"abc").encode(limits) == b"YWJj\r\n"
    for command in (Noop(b"abcd"), Auth(b"PLAIN", b""), AuthResponse(b"abcdef")):
        with pytest.raises(CommandFailure):
            command.encode(limits)


def test_secrets_are_not_shown():
    assert repr(Auth(b"PLAIN", b"\0user\0secret")) == "<AUTH PLAIN ***>"
    assert repr(Auth(b"LOGIN")) == "<AUTH LOGIN>"
    assert repr(AuthResponse(b"secret")) == "<(response) ***>"
    assert repr(Mail(b"a@b")) == "<MAIL FROM:<a@b>>"


def test_commands_are_equal_if_they_say_the_same():
    assert Rcpt(b"a@b") == Rcpt(b"a@b")
    assert Rcpt(b"a@b") != Rcpt(b"b@b")
    assert Vrfy(b"a") != Expn(b"a")
    assert Data() != "DATA"
    assert len({Rset(), Rset(), Quit()}) == 2


words = st.binary(min_size=1, max_size=20)


@given(words, st.lists(st.tuples(words, st.none() | words), max_size=3).map(tuple))
def test_fault_30_no_address_and_no_parameter_makes_a_second_line_or_a_second_path(address, parameters):
    """Whatever the octets: the line is refused, or it has one line end, and as many words as fields."""
    try:
        line = Rcpt(address, parameters).encode()
    except CommandFailure:
        return
    assert line.count(b"\r") == line.count(b"\n") == 1
    assert b"\0" not in line
    rest = line.removeprefix(b"RCPT TO:<")
    inside = False
    escaped = False
    end = -1
    for index, octet in enumerate(rest):  # the reader's way through a path: quotes, backslashes in them, the bracket
        if escaped:
            escaped = False
        elif inside and octet == ord("\\"):
            escaped = True
        elif octet == ord('"'):
            inside = not inside
        elif octet == ord(">") and not inside:
            end = index
            break
    assert rest[:end] == address
    assert len(rest[end + 1 :].split()) == len(parameters)
