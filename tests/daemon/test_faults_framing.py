"""Attacks on the framing, against the daemon as it runs: what is one mail stays one, what is content is no command.

The parser's own tests (tests/smtp) try far more of this; here is seen that nothing between the socket and the command
undoes it.  The numbers are those of the table in docs/faults.md.
"""

from __future__ import annotations

import socket
import struct
import time

import pytest
from tests.support.daemon import Msmtpd

SMUGGLED = b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<evil@d.example>\r\nDATA\r\nSubject: second\r\n\r\nsmuggled\r\n.\r\n"
ACCEPTED, REFUSED = "250 2.0.0", "550 5.5.2"

# The false end, what its mail is answered with: a stray LF is made CRLF, a stray CR or a NUL is borne in no mail.
FALSE_ENDS = {
    "1": (b"\n.\n", ACCEPTED),
    "2": (b"\n.\r\n", ACCEPTED),
    "3": (b"\r\n.\n", ACCEPTED),
    "4-CR.CR": (b"\r.\r", REFUSED),
    "4-CR.CRLF": (b"\r.\r\n", REFUSED),
    "4-CRLF.CRCRLF": (b"\r\n.\r\r\n", REFUSED),
    "4-LF.CR": (b"\n.\r", REFUSED),
    "5": (b"\r\n.\0x\r\n", REFUSED),
    "5-NUL": (b"\r\n.\0\r\n", REFUSED),
    "5-before": (b"\r\n\0.\r\n", REFUSED),
}


@pytest.fixture(scope="module")
def shared():
    with Msmtpd("--max-size=200k") as daemon:
        yield daemon


@pytest.fixture
def daemon(shared):
    shared.recorder.forget()
    shared.order()
    return shared


@pytest.mark.parametrize(("end", "answer"), FALSE_ENDS.values(), ids=FALSE_ENDS)
def test_fault_1_2_3_4_5_no_false_end_makes_a_second_mail(daemon, end, answer):
    with daemon.talk() as client:
        client.greet()
        client.envelope()
        client.send(b"Subject: first\r\n\r\nbefore" + end + SMUGGLED)
        client.hear(answer)
        client.say("NOOP", 250)  # and nothing was answered in between
        client.say("QUIT", 221)
    mails = daemon.mails(1 if answer == ACCEPTED else 0)
    assert all(b"smuggled" in mail.mail and mail.arguments[1] == "a@b.example" for mail in mails)
    assert all(b"\n.\n" not in mail.mail for mail in mails)  # nor does it end where the command reads it


@pytest.mark.parametrize("at", range(1, 10))
def test_fault_6_where_the_stream_is_cut_changes_nothing(daemon, at):
    content = b"x\r\n.\r\nNOOP\r\n"
    with daemon.talk() as client:
        client.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.greet()
        client.envelope()
        client.send(content[:at])
        time.sleep(0.01)
        client.send(content[at:])
        client.hear(ACCEPTED)
        client.hear(250)
    (mail,) = daemon.mails(1)
    assert mail.content == b"x\n"


DOTS = {
    "two dots": (b"..\r\n.\r\n", b".\n"),
    "a dot and more": (b".x\r\n.\r\n", b"x\n"),
    "a first line of one dot": (b"..\r\nx\r\n.\r\n", b".\nx\n"),
    "dots within": (b"x.\r\n..x\r\nx\r\n.\r\n", b"x.\n.x\nx\n"),
    "nothing": (b".\r\n", b""),
}


@pytest.mark.parametrize(("sent", "kept"), DOTS.values(), ids=DOTS)
def test_fault_7_dots_are_doubled_on_the_way_only(daemon, sent, kept):
    with daemon.talk() as client:
        client.greet()
        client.envelope()
        client.send(sent)
        client.hear(ACCEPTED)
    (mail,) = daemon.mails(1)
    assert mail.content == kept


def test_fault_8_a_mail_that_is_too_big_is_read_to_its_real_end(daemon):
    with daemon.talk() as client:
        client.greet()
        client.envelope()
        client.send(b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 4_000 + b"\n.\n" + SMUGGLED)
        client.hear("552 5.3.4")
        client.say("NOOP", 250)
        assert client.mail() == "250 2.0.0 Ok, mail was piped"
    (mail,) = daemon.mails(1)
    assert mail.content == b"Subject: hi\n\nho\n"


def test_fault_9_a_command_may_end_in_lf_unless_strict(daemon):
    with daemon.talk() as client:
        client.hear(220)
        client.send(b"EHLO x\n")
        client.hear(250)
        client.send(b"NOOP\n")
        client.hear(250)
    with Msmtpd("--strict") as strict, strict.talk() as client:
        client.hear(220)
        client.send(b"EHLO x\n")
        client.hear("500 5.5.2")
        client.say("EHLO x", 250)


AHEAD = {
    "EHLO": (b"EHLO x\r\nNOOP\r\n", 1),
    "DATA": (b"EHLO x\r\n", b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nx\r\n.\r\n", 1),
    "end of mail, then QUIT": (b"EHLO x\r\n", b"QUIT\r\nMAIL FROM:<a@b.example>\r\n", 1),
}


@pytest.mark.parametrize("flights", AHEAD.values(), ids=AHEAD)
def test_fault_10_what_comes_behind_a_command_that_stands_last_is_not_carried_out(daemon, flights):
    with daemon.talk() as client:
        client.hear(220)
        for flight in flights[:-2]:
            client.say(flight.rstrip())
        client.send(flights[-2])
        while line := client.line():
            last = line
        assert last[:9] in (b"554 5.5.0", b"221 2.0.0")
    daemon.settled()
    assert daemon.mails() == []


def test_fault_14_chunks_are_no_way_round(daemon):
    with daemon.talk() as client:
        client.greet()
        client.say("MAIL FROM:<a@b.example>", 250)
        client.say("RCPT TO:<c@d.example>", 250)
        client.send(b"".join(b"BDAT 1\r\n%c" % octet for octet in b"x\n.\nRSET\n"))
        for _ in range(9):
            client.hear(250)
        client.say("BDAT 0 LAST", ACCEPTED)
    (mail,) = daemon.mails(1)
    assert mail.content == b"x\n.\nRSET\n"
    with daemon.talk() as client:  # with HELO they were not offered
        client.greet("HELO")
        client.say("MAIL FROM:<a@b.example>", 250)
        client.say("RCPT TO:<c@d.example>", 250)
        assert client.say("BDAT 5 LAST").startswith(("500", "502", "503"))
    daemon.settled()
    assert len(daemon.mails()) == 1


@pytest.mark.parametrize("octet", [b"\0", b"\x1b", b"\x7f", b"\x07", b"\xff"], ids=repr)
def test_fault_15_control_characters_in_a_command_end_the_session_and_are_logged_escaped(daemon, octet):
    with daemon.talk() as client:
        client.greet()
        client.say(b"MAIL FROM:<a" + octet + b"@b.example>")
        assert client.reply[0] == "5"
        assert client.reply.startswith("500") == (octet < b"\x80")
    daemon.settled()
    log = daemon.log_file.read_bytes()
    assert octet not in log


def test_fault_16_a_command_line_without_end_is_not_kept(daemon):
    with daemon.talk() as client:
        client.greet()
        sent = 0
        try:
            for _ in range(16):
                sent += client.connection.send(b"A" * 65_536)
        except OSError:
            pass
        client.connection.settimeout(5)
        try:
            assert client.line()[:9] == b"500 5.5.2"
            assert client.line() == b""
        except ConnectionResetError:  # we had sent more than it was ready to throw away
            assert sent > 65_536
    daemon.settled()


@pytest.mark.parametrize("length", [998, 1_000, 150_000])
def test_fault_17_long_lines_of_a_mail_are_what_they_are(daemon, length):
    with daemon.talk() as client:
        client.greet()
        client.envelope()
        client.send(b"x" * length + b"\r\n.\r\n")
        client.hear(ACCEPTED)
    (mail,) = daemon.mails(1)
    assert mail.content == b"x" * length + b"\n"


OTHERS = {
    "GET": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST": b"POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\nNOOP\r\n",
    "CONNECT": b"CONNECT mx.example:25 HTTP/1.1\r\n\r\n",
    "TLS": b"\x16\x03\x01" + struct.pack(">H", 300) + b"\x01" + b"\0" * 299,
    "SSH": b"SSH-2.0-x\r\n",
}


@pytest.mark.parametrize("hello", OTHERS.values(), ids=OTHERS)
def test_fault_18_another_protocol_ends_the_session_at_once(daemon, hello):
    with daemon.talk() as client:
        client.hear(220)
        client.send(hello + b"\nEHLO x\r\nMAIL FROM:<a@b.example>\r\n")
        assert client.hear().startswith("500")
        if not hello.startswith(b"SSH"):  # that one is only an unknown word
            assert client.line() == b""


ORDERS = {
    "RCPT first": ("RCPT TO:<c@d.example>", "503"),
    "DATA first": ("DATA", "503"),
    "DATA without a recipient": ("MAIL FROM:<a@b.example>", "DATA", "503"),
    "MAIL twice": ("MAIL FROM:<a@b.example>", "MAIL FROM:<e@b.example>", "503"),
    "RSET ends a mail": ("MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "RSET", "DATA", "503"),
    "EHLO ends a mail": ("MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "EHLO y", "DATA", "503"),
    "AUTH is not offered": ("AUTH PLAIN", "502"),
    "STARTTLS is not offered": ("STARTTLS", "502"),
}


@pytest.mark.parametrize("lines", ORDERS.values(), ids=ORDERS)
def test_fault_19_out_of_order(daemon, lines):
    with daemon.talk() as client:
        client.greet()
        for line in lines[:-1]:
            client.say(line)
        assert client.reply.startswith(lines[-1])


def test_fault_19_nothing_of_a_mail_is_left_to_the_next(daemon):
    with daemon.talk() as client:
        client.greet()
        client.say("MAIL FROM:<a@b.example> RET=HDRS ENVID=first", 250)
        client.say("RCPT TO:<first@d.example> NOTIFY=NEVER", 250)
        client.say("RSET", 250)
        client.envelope("e@f.example", "second@d.example")
        client.send(b"x\r\n")
        client.say(".", 250)
    (mail,) = daemon.mails(1)
    assert mail.arguments == ["-f", "e@f.example", "--", "second@d.example"]
    assert "first" not in str(mail.environment)
