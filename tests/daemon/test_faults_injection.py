"""Attacks by what a client says that is not to stay text: options, shell, headers, log records; against the real daemon."""

from __future__ import annotations

import base64

import pytest
from tests.support.daemon import Msmtpd


@pytest.fixture(scope="module")
def shared():
    with Msmtpd() as daemon:
        yield daemon


@pytest.fixture
def daemon(shared):
    shared.recorder.forget()
    return shared


@pytest.fixture(scope="module")
def shelled():
    """Its command has shell syntax, and tells the client what words it got."""
    with Msmtpd(command="f() { printf '<%s>' \"$@\"; exit 65; }; cat >/dev/null; f %F") as daemon:
        yield daemon


@pytest.mark.parametrize(
    "line", ["MAIL FROM:<-oQ/tmp@x.example>", "MAIL FROM:<-t>", "RCPT TO:<-t@x.example>", "RCPT TO:<-t>"]
)
def test_fault_20_no_address_is_an_option(daemon, line):
    with daemon.talk() as client:
        client.greet()
        if line.startswith("RCPT"):
            client.say("MAIL FROM:<a@b.example>", 250)
        client.say(line, "501 5.1")


ODD = [
    "`id|x`@b.example",
    "$HOME@b.example",
    "a!b@c.example",
    "a&b|c{d}~e'f@b.example",
    '"$(touch /tmp/x)"@b.example',
    '"a b;c>d"@b.example',
    '"quote\\"d"@b.example',
    '"*"@b.example',
]


@pytest.mark.parametrize("address", ODD)
def test_fault_21_without_a_shell_every_address_is_one_word(daemon, address):
    with daemon.talk() as client:
        client.greet()
        client.envelope(address, address)
        client.send(b"x\r\n")
        client.say(".", 250)
    (mail,) = daemon.mails(1)
    assert mail.arguments == ["-f", address, "--", address]


@pytest.mark.parametrize("address", ODD)
def test_fault_21_where_a_shell_reads_the_template_it_does_not_read_addresses(shelled, address):
    with shelled.talk() as client:
        client.greet()
        client.say(f"MAIL FROM:<{address}>", 250)
        client.say("RCPT TO:<c@d.example>", 250)
        client.say("DATA", "553 5.1.7")
        client.say("RSET", 250)
        client.envelope("a@b.example", address)
        client.send(b"x\r\n")
        assert client.say(".") == f"554 5.3.0 <a@b.example><{address}>"


@pytest.mark.parametrize("word", ["%F", "%%F", "%f", "%1$s", "{}"])
def test_fault_22_percent_f_is_filled_in_once_and_only_where_the_operator_wrote_it(daemon, word):
    with daemon.talk() as client:
        client.greet()
        client.envelope(f"{word}@b.example", f"{word}@d.example", "%F")
        client.send(b"x\r\n")
        client.say(".", 250)
    (mail,) = daemon.mails(1)
    assert mail.arguments == ["-f", f"{word}@b.example", "--", f"{word}@d.example", "%F"]


@pytest.mark.parametrize("octet", [b"\0", b"\x01", b"\x7f", b"\t"], ids=repr)
@pytest.mark.parametrize("path", [b'"a\\%sb"@c.example', b'"a%sb"@c.example', b"a%sb@c.example"], ids=repr)
def test_fault_23_no_control_character_comes_within_an_address(daemon, path, octet):
    with daemon.talk() as client:
        client.greet()
        client.say(b"MAIL FROM:<" + path % octet + b">")
        assert client.reply[:3] in ("500", "501", "555"), client.reply


def test_fault_23_nor_with_smtputf8(daemon):
    with daemon.talk() as client:
        client.greet()
        client.say("MAIL FROM:<ä\u2028b@c.example> SMTPUTF8")
        if client.reply.startswith(
            "250"
        ):  # a line separator is a letter to SMTP; a header or a log line it must not be
            client.say("RCPT TO:<c@d.example>", 250)
            client.say("DATA", 354)
            client.send(b"x\r\n")
            client.say(".", 250)
            (mail,) = daemon.mails(1)
            assert mail.mail.count(b"\n") == mail.mail.count(b"\n\t") + mail.mail.count(b"\n ") + 2
    daemon.settled()
    assert "\u2028" not in daemon.log()


def test_fault_23_nor_within_a_user_name():
    with Msmtpd("--auth=user,echo secret") as daemon:
        with daemon.talk() as client:
            client.greet()
            response = base64.b64encode(b"\0user\nMSMTPD_USER=root\r\nX: y\0secret").decode()
            client.say(f"AUTH PLAIN {response}")
            assert client.reply[0] == "5"
        daemon.settled()
        assert not [line for line in daemon.log().splitlines() if not line[:4].isdigit()]


@pytest.mark.parametrize("name", ["a]b", "[1.2.3.4", "x" * 1_000, "ä.example", "a b", "(x)", "a;b", "<x>", '"x"'])
def test_fault_24_a_hello_that_is_no_name_is_called_invalid(daemon, name):
    with daemon.talk() as client:
        client.hear(220)
        client.say(f"EHLO {name}")
        if client.reply.startswith("250"):
            client.mail()
            (mail,) = daemon.mails(1)
            assert mail.received.startswith("from invalid ")
        else:
            assert client.reply[:3] in ("500", "501")


def test_fault_25_a_name_server_that_does_not_answer_holds_nobody_up():
    with Msmtpd("--peer-names") as daemon:  # for 127.0.0.1 the answer comes from a file, or from nowhere
        for _ in range(3):
            with daemon.talk() as client:
                client.connection.settimeout(2)
                client.greet()
                client.mail()


HOSTILE = [
    b"VRFY <0>kernel: panic",
    b"\x1b[2J\x1b]0;x\x07",
    b"%s%s%n%d {0} %(levelname)s",
    b"X\\nmsmtpd[1] info: delivered",
    "ä\u202e\u2028\u0085x".encode(),
    b"Z" * 1_200,
]


@pytest.mark.parametrize("said", HOSTILE, ids=range(len(HOSTILE)))
def test_fault_26_29_what_a_client_says_is_one_harmless_record(daemon, said):
    before = len(daemon.log_file.read_bytes())
    with daemon.talk() as client:
        client.greet()
        client.say(b"BAD " + said)
        assert client.reply[0] == "5"
    daemon.settled()
    new = daemon.log_file.read_bytes()[before:]
    assert all(32 <= octet < 127 or octet == 10 for octet in new)
    lines = new.decode().splitlines()
    assert all(line[:2] == "20" and " msmtpd[" in line for line in lines)
    assert sum("refused: BAD " in line for line in lines) == 1
    assert max(map(len, lines)) <= 1_024
    if b"%s" in said:
        assert said.decode() in new.decode()  # no format was made of it


def test_fault_28_one_client_cannot_fill_the_log(daemon):
    before = len(daemon.log().splitlines())
    with daemon.talk() as client:
        client.greet()
        client.say("MAIL FROM:<a@b.example>", 250)
        client.send(b"RCPT TO:<bad\r\n" * 900)
        for _ in range(900):
            client.hear(501)
    daemon.settled()
    lines = daemon.log().splitlines()[before:]
    assert len(lines) < 30
    assert any("dropped" in line for line in lines)
