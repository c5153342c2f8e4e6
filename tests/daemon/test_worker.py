"""A worker's session: what a client hears, what auth and delivery are told, how it ends."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from base64 import b64encode

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.support.processes import wait_for
from tests.support.worker_ends import PASSWORD, Ends, serving, settings, tcp_pair

from msmtp import sasl
from msmtp.daemon import handover, worker
from msmtp.daemon import requests as rows
from msmtp.daemon.handover import HopCounter
from msmtp.daemon.wire import Termination, Wire

ENVELOPE = ("EHLO client.example", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.org>")
PIPED = "250 2.0.0 Ok, mail was piped"
AUTH = rows.WITH_AUTH | rows.SECURE_PATH


@contextlib.contextmanager
def greeted(made=None, flags=0, **how):
    with serving(made, flags, **how) as ends:
        assert ends.hear().startswith("220 ")
        yield ends


@contextlib.contextmanager
def at_data(made=None, flags=0, **how):
    """A session that awaits the content of a mail."""
    with greeted(made, flags, **how) as ends:
        assert ends.code(*ENVELOPE, "DATA") == 354
        yield ends


def plain(user="user", password=PASSWORD):
    return "AUTH PLAIN " + b64encode(f"\0{user}\0{password}".encode()).decode()


# Mails.


def test_a_mail_is_handed_over_with_lf_line_ends():
    with serving() as ends:
        assert ends.hear() == "220 mx.example ESMTP"
        assert ends.ask("EHLO client.example").splitlines()[0] == "250-mx.example"
        assert ends.code("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.org>") == 250
        assert ends.code("DATA") == 354
        assert ends.ask("Subject: x\r\n\r\n..dots\r\nend\r\n.") == PIPED
        assert ends.code("QUIT") == 221
        assert ends.hear() == "(end)"
    assert ends.delivery.mails == [b"Subject: x\n\n.dots\nend\n"]
    assert ends.delivery.names() == ["ENVELOPE", "RECIPIENT", "BODY", "COMMIT"]
    envelope = ends.delivery.told[0][1]
    assert (envelope["hello"], envelope["protocol"]) == (b"client.example", rows.EXTENDED)
    assert (envelope["sender"], envelope["parameters"]) == (b"a@example.org", [])
    assert ends.supervisor.ended == ("quit", 1, 0)


def test_delivery_learns_all_that_the_envelope_says():
    with greeted() as ends:
        assert ends.code("EHLO c", "MAIL FROM:<> SIZE=33 BODY=8BITMIME RET=HDRS ENVID=x SMTPUTF8") == 250
        assert ends.code("RCPT TO:<ä@example.org> NOTIFY=NEVER ORCPT=rfc822;x".encode() + b"\r\n") == 250
        assert ends.code("RCPT TO:<b@example.org>", "DATA", "x\r\n.") == 250
    (_, envelope), (_, first), (_, second), (_, body), _ = ends.delivery.told
    assert envelope["protocol"] == rows.EXTENDED | rows.UTF8
    assert envelope["sender"] == b""
    assert envelope["parameters"] == [b"SIZE=33", b"BODY=8BITMIME", b"RET=HDRS", b"ENVID=x", b"SMTPUTF8"]
    assert first == {"recipient": "ä@example.org".encode(), "parameters": [b"NOTIFY=NEVER", b"ORCPT=rfc822;x"]}
    assert second == {"recipient": b"b@example.org", "parameters": []}
    assert body == {"size": 33}


def test_helo_has_no_extensions():
    with greeted() as ends:
        assert ends.ask("HELO client.example") == "250 mx.example"
        assert ends.code("MAIL FROM:<a@example.org> SIZE=3") == 555
        assert ends.code("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.org>", "DATA", "x\r\n.") == 250
    assert ends.delivery.told[0][1]["protocol"] == 0


def test_lmtp_has_a_reply_for_each_recipient():
    with serving(settings(lmtp=True)) as ends:
        assert ends.hear() == "220 mx.example LMTP"
        assert ends.code("EHLO c") == 500
        assert (
            ends.code("LHLO c", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.org>", "RCPT TO:<c@example.org>")
            == 250
        )
        assert ends.code("DATA") == 354
        assert [ends.ask("x\r\n."), ends.hear(), ends.ask("NOOP")] == [PIPED, PIPED, "250 2.0.0 Ok"]
    assert ends.delivery.told[0][1]["protocol"] == rows.EXTENDED | rows.LOCAL_TRANSFER


def test_several_mails_in_one_session_keep_nothing_of_each_other():
    with greeted() as ends:
        ends.ask("EHLO c")
        for number in range(3):
            assert ends.code(f"MAIL FROM:<{number}@example.org>", f"RCPT TO:<r{number}@example.org>", "DATA") == 354
            assert ends.ask(f"mail {number}\r\n.") == PIPED
    assert ends.delivery.mails == [b"mail 0\n", b"mail 1\n", b"mail 2\n"]
    told = [values["recipient"] for name, values in ends.delivery.told if name == "RECIPIENT"]
    assert told == [b"r0@example.org", b"r1@example.org", b"r2@example.org"]
    assert ends.supervisor.ended == ("closed by the client", 3, 0)


def test_chunks_of_any_size_make_one_mail():
    with greeted() as ends:
        assert ends.code(*ENVELOPE) == 250
        assert ends.ask(b"BDAT 3\r\nab\r") == "250 2.0.0 Chunk ok"
        assert ends.code(b"BDAT 0\r\n") == 250
        assert ends.code(b"BDAT 2\r\n\n.") == 250
        assert ends.ask(b"BDAT 3 LAST\r\n\r\nc") == PIPED
        assert ends.code("NOOP") == 250
    assert ends.delivery.mails == [b"ab\n.\nc"]


def test_a_mail_without_content_is_a_mail():
    with greeted() as ends:
        assert ends.code(*ENVELOPE) == 250
        assert ends.ask(b"BDAT 0 LAST\r\n") == PIPED
        assert ends.code(*ENVELOPE[1:], "DATA") == 354
        assert ends.ask(".") == PIPED
    assert ends.delivery.mails == [b"", b""]


@pytest.mark.parametrize("end", ["RSET", "EHLO again", "QUIT", ""])
def test_chunks_without_the_last_come_to_nothing(end):
    with greeted() as ends:
        assert ends.code(*ENVELOPE) == 250
        assert ends.code(b"BDAT 3\r\nab\n") == 250
        if end:
            assert ends.ask(end).startswith("2")
    assert ends.delivery.mails == []
    assert "COMMIT" not in ends.delivery.names()


def test_a_group_of_commands_is_answered_at_once():
    with greeted() as ends:
        ends.ask("EHLO c")
        ends.say(
            b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<bad\r\nRCPT TO:<c@x.example>\r\nDATA\r\n"
        )
        time.sleep(0.2)
        replies = ends.client.recv(65536).decode().split("\r\n")
        assert [reply[:3] for reply in replies] == ["250", "250", "501", "250", "354", ""]
        assert ends.ask("x\r\n.") == PIPED


# Files that are too small, or no files.


@pytest.mark.parametrize("size", [10, 100_000, 3_000_000])
def test_a_mail_that_outgrows_its_file_goes_on_in_another(size):
    line = b"x" * 60 + b"\r\n"
    content = line * (size // len(line) + 1)
    with at_data(delivery={"room": 1_000}) as ends:
        assert ends.ask(content + b".\r\n") == PIPED
    assert ends.delivery.mails == [content.replace(b"\r\n", b"\n")]
    assert ends.delivery.spilled == (size > 1_000)


def give(file, room=1 << 20):
    def action(delivery, _message):
        descriptor = os.open(file, os.O_WRONLY)
        delivery.channel.send(rows.FILE, room, descriptors=(descriptor,))
        os.close(descriptor)

    return action


def unable(name, text=b""):
    return lambda delivery, _message: delivery.channel.send(rows.UNABLE, name, text)


def test_fault_52_a_full_disk_is_said_after_the_end_and_the_session_goes_on():
    with at_data(delivery={"script": {"BODY": give("/dev/full")}}) as ends:
        assert ends.ask("x\r\n.") == "452 4.3.1 Not enough storage"
        del ends.delivery.script["BODY"]
        assert ends.code(*ENVELOPE[1:], "DATA") == 354
        assert ends.ask("y\r\n.") == PIPED
    assert ends.delivery.names() == [
        "ENVELOPE",
        "RECIPIENT",
        "BODY",
        "ABORT",
        *["ENVELOPE", "RECIPIENT", "BODY", "COMMIT"],
    ]
    assert ends.delivery.mails == [b"y\n"]


def test_no_room_in_the_second_file_either():
    script = {"SPILL": lambda delivery, _: delivery.give_file(1)}
    with at_data(delivery={"room": 2, "script": script}) as ends:
        assert ends.ask("12345\r\n.") == "452 4.3.1 Not enough storage"
    assert ends.delivery.names()[-1] == "ABORT"


@pytest.mark.parametrize(
    ("name", "heard"),
    [
        (b"no storage", "452 4.3.1 Not enough storage"),
        (b"bad sender", "501 5.1.7"),
        (b"nonsense", "451 4.3.0"),
        (b"ok", "451 4.3.0"),
    ],
)
def test_delivery_may_refuse_at_the_start(name, heard):
    with greeted(delivery={"script": {"BODY": unable(name)}}) as ends:
        assert ends.ask(*ENVELOPE, "DATA").startswith(heard)
        assert ends.ask(b"BDAT 3\r\nabc").startswith(heard)
        assert ends.code(b"BDAT 3 LAST\r\nabc") == 503
        del ends.delivery.script["BODY"]
        assert ends.code("RSET", *ENVELOPE[1:], "DATA") == 354
        assert ends.ask("y\r\n.") == PIPED
    assert "ABORT" not in ends.delivery.names()
    assert ends.delivery.mails == [b"y\n"]


def test_delivery_may_refuse_in_the_middle():
    with at_data(delivery={"room": 2, "script": {"SPILL": unable(b"no storage")}}) as ends:
        assert ends.ask("12345\r\n.") == "452 4.3.1 Not enough storage"
        assert ends.code("NOOP") == 250
    assert ends.delivery.names()[-1] == "SPILL"


# Delivery is gone, or not what it seems.


def hang_up(_delivery, _message):
    return False


def say_junk(delivery, _message):
    delivery.channel._socket.send(b"\xffjunk")


def say_another(delivery, _message):
    delivery.channel.send(rows.AUTH_ACCEPTED, b"root", descriptors=(0,))


def say_file_without_one(delivery, _message):
    delivery.channel._socket.send(bytes((rows.FILE.number,)) + bytes(8))


LOST = [hang_up, say_junk, say_another, say_file_without_one]


@pytest.mark.parametrize("action", LOST)
@pytest.mark.parametrize("stage", ["BODY", "SPILL", "COMMIT"])
def test_fault_65_delivery_gone_is_451_and_the_next_mail_421(stage, action):
    with greeted(delivery={"room": 2, "script": {stage: action}}) as ends:
        heard = ends.ask(*ENVELOPE, "DATA")
        if stage != "BODY":
            assert heard.startswith("354")
            heard = ends.ask("12345\r\n.")
        assert heard == "451 4.3.0 Local error, try again"
        assert ends.code("RSET") == 250
        assert ends.code("MAIL FROM:<a@example.org>") == 421
        assert ends.hear() == "(end)"
    assert ends.supervisor.ended[:2] == ("no delivery", 0)


@pytest.mark.parametrize(
    ("result", "heard"),
    [
        ((451, b"4.3.0 later"), "451 4.3.0 later"),
        ((554, b"5.3.0 no\r\n250 \x1b[31mfine \xff"), "554 5.3.0 no 250  [31mfine"),
        ((421, b"bye"), "451 4.3.0 Local error, try again"),
        ((354, b"more"), "451 4.3.0 Local error, try again"),
        ((99999, b"more"), "451 4.3.0 Local error, try again"),
        ((250, b""), "250"),
    ],
)
def test_the_outcome_is_cleaned_before_it_is_a_reply(result, heard):
    with at_data(delivery={"result": result}) as ends:
        assert ends.ask("x\r\n.").rstrip() == heard
        assert ends.code("NOOP") == 250


def test_delivery_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(worker, "_COMMANDS_END", 0.2)
    with at_data(settings(command_timeout=0), delivery={"script": {"COMMIT": lambda *_: None}}) as ends:
        assert ends.code("x\r\n.") == 451


# Defects.


@pytest.mark.parametrize(
    ("content", "heard"),
    [
        (b"a\0b\r\n.\r\n", "550 5.5.2 Mail holds a NUL"),
        (b"a\rb\r\n.\r\n", "550 5.5.2 Mail holds a CR without LF"),
        (b"x" * 2_000 + b"\r\n.\r\n", "552 5.3.4 Mail too big"),
        (b"Received: x\r\n" * 3 + b"\r\nx\r\n.\r\n", "554 5.4.6"),
        (b"received : x\r\nRECEIVED:\r\n x\r\nReceived: x\r\n\r\nx\r\n.\r\n", "554 5.4.6"),
    ],
)
def test_what_is_wrong_with_a_mail_is_said_after_its_end(content, heard):
    with at_data(settings(max_size=1_000, max_hops=2)) as ends:
        ends.say(content[:-5])
        time.sleep(0.05)
        assert ends.ask(content[-5:]).startswith(heard)
        assert ends.code(*ENVELOPE[1:], "DATA") == 354
        assert ends.ask("Received: x\r\nReceived: y\r\n\r\nReceived: in the body\r\n.") == PIPED
    assert ends.delivery.names()[3] == "ABORT"
    assert len(ends.delivery.mails) == 1


@given(st.binary(max_size=200), st.lists(st.integers(1, 40), max_size=20))
def test_hops_are_counted_alike_however_the_mail_is_cut(noise, sizes):
    mail = b"Received: a\nX: y\nreceived:\n b\n" + noise.replace(b"\r", b"") + b"\nRECEIVED : c\n\nReceived: d\n\n"
    whole = HopCounter()
    whole.feed(mail)
    pieces = HopCounter()
    at = 0
    for size in [*sizes, len(mail)]:
        if not pieces.done:
            pieces.feed(mail[at : at + size])
        at += size
    assert pieces.hops == whole.hops
    assert whole.hops == len(
        [line for line in mail.partition(b"\n\n")[0].split(b"\n") if handover._RECEIVED.match(b"\n" + line)]
    )


# The end of the connection.


@pytest.mark.parametrize("tcp", [False, True])
def test_fault_59_half_a_mail_is_none(tcp):
    with at_data(tcp=tcp) as ends:
        ends.say(b"Subject: x\r\n\r\nhalf\r\n")
        ends.client.shutdown(socket.SHUT_WR)
        assert ends.hear() == "(end)"
    assert ends.delivery.mails == []
    assert "COMMIT" not in ends.delivery.names()
    assert ends.supervisor.ended[0] == "cut off in a mail"


@pytest.mark.parametrize("tcp", [False, True])
def test_fault_61_a_client_that_has_said_all_may_close(tcp):
    with at_data(tcp=tcp) as ends:
        ends.say(b"x\r\n.\r\n")
        ends.client.shutdown(socket.SHUT_WR)
        assert ends.hear() == PIPED
    assert ends.delivery.mails == [b"x\n"]


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_fault_60_a_reset_in_the_content_delivers_nothing():
    with at_data(tcp=True) as ends:
        ends.say(b"half")
        reset(ends.client)
    assert ends.delivery.mails == []
    assert ends.supervisor.ended[0].startswith("connection lost")


def test_fault_60_a_reset_while_the_command_runs_changes_nothing():
    def slow(delivery, message):
        reset(ends.client)
        delivery.on_commit(message)

    with at_data(tcp=True, delivery={"script": {"COMMIT": slow}}) as ends:
        ends.say(b"x\r\n.\r\n")
        time.sleep(0.3)
    assert ends.delivery.mails == [b"x\n"]
    assert ends.supervisor.ended[0].startswith("connection lost")


def test_a_connection_that_was_cut_is_seen_before_a_mail_is_committed():
    client, connection = tcp_pair()
    termination = Termination()
    wire = Wire(connection.detach(), termination)
    assert not wire.broken()
    client.shutdown(socket.SHUT_WR)
    time.sleep(0.05)
    assert not wire.broken()  # it has said all it had to say, and reads
    reset(client)
    time.sleep(0.05)
    assert wire.broken()
    wire.close()
    os.close(termination.reads)
    os.close(termination.writes)


# Errors, and commands that lead nowhere.


def test_fault_44_the_third_error_ends_the_session():
    with greeted() as ends:
        assert [ends.code("BAD"), ends.code("RCPT TO:<a@b>"), ends.code("NOPE")] == [500, 503, 421]
        assert ends.hear() == "(end)"
    assert ends.supervisor.ended == ("too many errors", 0, 3)


def test_under_stress_one_error_does():
    with greeted(flags=rows.STRESSED) as ends:
        assert ends.ask("BAD") == "421 4.7.0 Too many errors"
        assert ends.hear() == "(end)"


@pytest.mark.parametrize(("flags", "most"), [(0, 100), (rows.STRESSED, 10)])
@pytest.mark.parametrize("command", ["NOOP", "RSET", "VRFY x", "HELP", "EHLO c"])
def test_fault_42_commands_that_lead_nowhere_have_an_end(command, flags, most):
    with greeted(flags=flags) as ends:
        for _ in range(most):
            assert ends.code(command) < 400
        assert ends.ask(command).startswith("421 4.7.0")
        assert ends.hear() == "(end)"


def test_a_mail_makes_up_for_them():
    with greeted(flags=rows.STRESSED) as ends:
        for _ in range(5):
            for _ in range(8):
                assert ends.code("NOOP") == 250
            assert ends.code(*ENVELOPE, "DATA", "x\r\n.") == 250


def test_bad_recipients_never_cost_the_others():
    with greeted() as ends:
        assert ends.code(*ENVELOPE) == 250
        for bad in ["<", "<-t@example.org>", "<a@b> NOTIFY=WHAT", "<ä@example.org>", "nobody"] * 5:
            assert 500 <= ends.code(f"RCPT TO:{bad}".encode() + b"\r\n") < 600
        assert ends.code("DATA", "x\r\n.") == 250
    assert ends.delivery.names().count("RECIPIENT") == 1
    assert len(ends.delivery.mails) == 1


def test_fault_20_no_address_looks_like_an_option():
    with greeted() as ends:
        assert ends.ask("EHLO c", "MAIL FROM:<-oQ/tmp@example.org>").startswith("501 5.1.7")
        assert ends.code(ENVELOPE[1]) == 250
        assert ends.ask("RCPT TO:<-t>").startswith("501 5.1.3")


def test_fault_43_recipients_beyond_the_limit_are_put_off():
    with greeted(settings(max_recipients=5)) as ends:
        assert ends.code(*ENVELOPE[:2]) == 250
        heard = [ends.code(f"RCPT TO:<r{number}@example.org>") for number in range(200)]
        assert heard == [250] * 5 + [452] * 195
        assert ends.code("DATA", "x\r\n.") == 250
    assert ends.delivery.names().count("RECIPIENT") == 5


@pytest.mark.parametrize(
    ("command", "code"),
    [("VRFY root", 252), ("HELP", 214), ("EXPN list", 502), ("ETRN x", 502), ("TURN", 502), ("STARTTLS", 502)],
)
def test_commands_that_have_one_answer(command, code):
    with greeted() as ends:
        assert ends.code("EHLO c", command) == code


def test_fault_10_what_comes_behind_a_command_that_stands_last_ends_the_session():
    with greeted() as ends:
        ends.say("EHLO c\r\nMAIL FROM:<a@example.org>")
        assert ends.hear() == "554 5.5.0 Command was to wait for a reply"
        assert ends.hear() == "(end)"
    assert ends.delivery.told == []


# Authentication.


def test_who_is_not_authenticated_cannot_send():
    with greeted(flags=AUTH) as ends:
        assert ends.code("EHLO c", "MAIL FROM:<a@example.org>") == 530
        assert ends.code("RCPT TO:<b@example.org>") == 503
        assert ends.code("DATA") == 421
    assert ends.delivery.told == []


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
def test_each_mechanism_brings_the_way_to_delivery(mechanism):
    with greeted(flags=AUTH) as ends:
        ends.ask("EHLO c")
        credentials = sasl.Credentials(b"user", PASSWORD.encode(), nonce=b"clientnonce")
        client = sasl.create(mechanism.encode(), credentials)
        initial = client.start()
        heard = ends.ask(f"AUTH {mechanism}" + (f" {b64encode(initial).decode()}" if initial is not None else ""))
        while heard.startswith("334"):
            from base64 import b64decode

            heard = ends.ask(b64encode(client.next(b64decode(heard[4:]))).decode())
        assert heard == "235 2.7.0 Authentication successful"
        assert ends.code("AUTH PLAIN") == 503
        assert ends.code(*ENVELOPE, "DATA", "x\r\n.") == 250
    envelope = ends.delivery.told[0][1]
    assert envelope["user"] == b"user"
    assert envelope["protocol"] == rows.EXTENDED | rows.AUTHENTICATED


def test_plain_without_initial_response_is_asked_for():
    with greeted(flags=AUTH) as ends:
        assert ends.ask("EHLO c", "AUTH PLAIN") == "334 "
        assert ends.code(plain().split()[2]) == 235


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (plain(password="wrong"), 535),
        (plain(user="nobody"), 535),
        ("AUTH PLAIN !!!", 501),
        ("AUTH PLAIN " + b64encode(b"no nul").decode(), 501),
        ("AUTH PLAIN *", 501),
        ("AUTH PLAINX AAAA", 504),
        ("AUTH CRAM-MD5", 504),
    ],
)
def test_fault_35_authentication_that_fails_counts_as_an_error(line, code):
    with greeted(flags=AUTH) as ends:
        assert ends.code("EHLO c", line) == code
        assert ends.code(line) == code
        assert ends.code(line) == 421
    assert ends.supervisor.ended == ("too many errors", 0, 3)
    assert ends.delivery.told == []


@pytest.mark.parametrize(("answer", "code"), [("*", 501), ("not base64!", 501)])
def test_auth_is_told_when_an_exchange_is_broken_off(answer, code):
    with greeted(flags=AUTH) as ends:
        assert ends.code("EHLO c", "AUTH LOGIN") == 334
        assert ends.code(answer) == code
        assert ends.code(plain()) == 235
    assert [name for name, _ in ends.auth.told] == ["AUTH_START", "AUTH_CANCEL", "AUTH_START"]


def accept_without_door(auth, _message):
    auth.channel._socket.send(b"\x23" + bytes(4))


def refuse_oddly(auth, _message):
    auth.channel.send(rows.AUTH_REFUSED, b"ok")


@pytest.mark.parametrize("action", [hang_up, say_junk, accept_without_door, lambda auth, _: auth.channel.close()])
def test_fault_64_auth_gone_is_454(action):
    with greeted(flags=AUTH, auth={"AUTH_START": action}) as ends:
        for _ in range(2):
            assert ends.ask("EHLO c", plain()) == "454 4.7.0 Temporary authentication failure"
        assert ends.code("MAIL FROM:<a@example.org>") == 530
    assert ends.delivery.told == []


def test_a_refusal_that_is_none_is_a_temporary_one():
    with greeted(flags=AUTH, auth={"AUTH_START": refuse_oddly}) as ends:
        assert ends.code("EHLO c", plain()) == 454


@pytest.mark.parametrize(
    ("flags", "offered"),
    [
        (0, []),
        (rows.WITH_AUTH, ["AUTH SCRAM-SHA-256 PLAIN LOGIN"]),
        (AUTH, ["AUTH SCRAM-SHA-256 PLAIN LOGIN"]),
        (rows.WITH_TLS, ["STARTTLS"]),
        (AUTH | rows.WITH_TLS, ["STARTTLS", "AUTH SCRAM-SHA-256 PLAIN LOGIN"]),
        (rows.WITH_AUTH | rows.WITH_TLS, ["STARTTLS", "AUTH SCRAM-SHA-256"]),
    ],
)
def test_what_is_offered_depends_on_who_may_listen(flags, offered):
    with greeted(flags=flags) as ends:
        lines = [line[4:] for line in ends.ask("EHLO c").splitlines()]
    assert lines == [
        "mx.example", "PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "CHUNKING",
        *offered,
    ]  # fmt: skip


def test_no_tls_process_is_said_before_the_client_waits_for_it():
    with greeted(flags=AUTH | rows.WITH_TLS) as ends:
        assert ends.ask("EHLO c", "STARTTLS") == "454 4.7.0 TLS not available now"
        assert ends.code(plain()) == 235
        assert ends.code("STARTTLS") == 503


# Time.


@pytest.mark.parametrize(
    ("changes", "flags", "said"),
    [
        ({"idle_timeout": 1}, 0, ()),
        ({"session_timeout": 1}, 0, ()),
        ({"login_timeout": 1}, AUTH, ()),
        ({"login_timeout": 1}, AUTH, ("EHLO c", "NOOP")),
        ({"idle_timeout": 1}, 0, (*ENVELOPE, "DATA")),
    ],
)
def test_fault_40_who_says_nothing_is_told_to_go(changes, flags, said):
    with greeted(settings(**changes), flags) as ends:
        begun = time.monotonic()
        ends.ask(*said)
        assert ends.hear() == "421 4.4.2 Timeout, closing the connection"
        assert ends.hear() == "(end)"
        assert 0.9 < time.monotonic() - begun < 3
    assert ends.supervisor.ended[0] == "timeout"
    assert ends.delivery.mails == []


@pytest.mark.parametrize("said", [(), (*ENVELOPE, "DATA")])
def test_fault_40_octet_by_octet_does_not_help(said):
    with greeted(settings(idle_timeout=1)) as ends:
        ends.ask(*said)
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - begun < 4:
                ends.say(b"x")
                time.sleep(0.1)
        assert ends.hear().startswith("421 4.4.2")
    assert ends.supervisor.ended[0] == "timeout"


def test_content_that_comes_at_a_fair_rate_may_take_its_time():
    with at_data(settings(idle_timeout=1)) as ends:
        for _ in range(12):
            ends.say(b"x" * 150 + b"\r\n")
            time.sleep(0.15)
        assert ends.ask(".") == PIPED


def test_who_is_authenticated_has_more_time_than_who_is_not():
    with greeted(settings(login_timeout=1), AUTH) as ends:
        assert ends.code("EHLO c", plain()) == 235
        time.sleep(1.3)
        assert ends.code("NOOP") == 250


def test_fault_41_who_does_not_read_is_left():
    ends = Ends(settings(idle_timeout=1))
    ends.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2_048)
    with serving(ends=ends, made=ends.made):
        ends.hear()
        begun = time.monotonic()
        ends.ask(*ENVELOPE)
        with contextlib.suppress(OSError):
            ends.say(b"RCPT TO:<x@example.org>\r\n" * 900)
            ends.say(b"RCPT TO:<x@example.org>\r\n" * 90_000)
    assert time.monotonic() - begun < 5
    assert ends.supervisor.ended[0] == "timeout"


# PROXY.


SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
HEADER = SIGNATURE + b"\x21\x11\0\x10" + bytes([203, 0, 113, 9, 192, 0, 2, 1]) + b"\x04\xd2\0\x19" + b"\x04\0\x01\0"
LOCAL = SIGNATURE + b"\x20\0\0\0"


@pytest.mark.parametrize(("header", "peer"), [(HEADER, (b"203.0.113.9", 1234)), (LOCAL, (b"192.0.2.1", 1234))])
@pytest.mark.parametrize("auth", [0, AUTH])
def test_a_proxys_word_is_passed_on(header, peer, auth):
    with serving(flags=rows.PROXIED | auth) as ends:
        ends.say(header)
        assert ends.hear().startswith("220")
        if auth:
            assert ends.code("EHLO c", plain()) == 235
            assert ends.auth.told[0] == ("PEER", {"address": peer[0], "port": peer[1]})
        assert ends.code(*ENVELOPE, "DATA", "x\r\n.") == 250
    assert ends.delivery.told[0] == ("PEER", {"address": peer[0], "port": peer[1]})


@pytest.mark.parametrize(
    "header", [b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", b"EHLO client.example\r\n", HEADER[:-1], b""]
)
def test_without_a_header_nobody_is_served(header, monkeypatch):
    monkeypatch.setattr(worker, "_PROXY_HEADER", 0.3)
    with serving(flags=rows.PROXIED) as ends:
        ends.say(header)
        assert ends.hear() == "(end)"
    assert ends.supervisor.ended[0] == "no PROXY protocol header"
    assert "PROXY protocol" in ends.supervisor.notes[0]


# The log.


def test_fault_28_notes_have_an_end():
    with greeted(settings(max_recipients=1)) as ends:
        assert ends.code(*ENVELOPE) == 250
        for _ in range(50):
            ends.ask("RCPT TO:<x@example.org>")
    assert len(ends.supervisor.notes) == worker.NOTES + 1
    assert ends.supervisor.notes[-1] == "30 more notes dropped"


def test_fault_26_hostile_text_is_escaped_and_cut():
    with greeted() as ends:
        assert ends.code(b"\x1b[31m\xff\x80" + b"x" * 5_000 + b"\r\n") == 500
        assert ends.hear() == "(end)"
    assert len(ends.supervisor.notes) == 1
    assert ends.supervisor.notes[0].isprintable()
    assert len(ends.supervisor.notes[0]) < 400


def test_fault_72_an_exception_is_told_by_type_and_place_only(monkeypatch):
    def fail(*_):
        raise RuntimeError(PASSWORD)

    monkeypatch.setattr(worker.Session, "_on_mail", fail)
    with greeted() as ends:
        assert ends.ask(*ENVELOPE[:2]) == "421 4.3.0 Local error, closing the connection"
        assert ends.hear() == "(end)"
    assert ends.supervisor.ended[0] == "fault"
    (note,) = ends.supervisor.notes
    assert note.startswith("fault in the worker: RuntimeError at test_worker.py:")
    assert PASSWORD not in note


def test_fault_50_memory_that_runs_out_is_told(monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(worker.Session, "_on_mail", fail)
    with greeted() as ends:
        assert ends.code(*ENVELOPE[:2]) == 421
    assert ends.supervisor.ended[0] == "out of memory"


# Anything.


STATES = [(), ENVELOPE[:1], ENVELOPE, (*ENVELOPE, "DATA")]
VERBS = [
    b"MAIL FROM:<a@b>",
    b"RCPT TO:<a@b>",
    b"DATA",
    b"BDAT 3",
    b"BDAT 2 LAST",
    b"RSET",
    b"QUIT",
    b"AUTH PLAIN",
    b"*",
    b".",
    b"STARTTLS",
]


@pytest.mark.parametrize("said", STATES)
@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.one_of(st.sampled_from(VERBS), st.binary(max_size=30)), max_size=12),
    st.sampled_from([b"\r\n", b"\n", b""]),
)
def test_nothing_that_a_client_says_is_a_fault(said, lines, end):
    with greeted(flags=rows.WITH_TLS) as ends:
        ends.ask(*said)
        with contextlib.suppress(OSError):
            ends.say(end.join(lines))
            ends.client.shutdown(socket.SHUT_WR)
            while ends.client.recv(65536):
                pass
    assert ends.supervisor.ended[0] != "fault", ends.supervisor.notes


def test_a_client_that_does_not_wait_for_the_answer_to_its_quit_has_quit():
    with greeted() as ends:
        ends.client.sendall(b"QUIT\r\n")
        ends.client.close()
    assert ends.supervisor.ended[0] == "quit"


@pytest.mark.parametrize("tcp", [False, True])
def test_who_hangs_up_while_its_guess_is_looked_at_is_not_waited_for(tcp):
    with greeted(flags=AUTH, tcp=tcp, auth={"AUTH_START": lambda _auth, _message: None}) as ends:
        ends.ask("EHLO c")
        ends.say(plain())
        time.sleep(0.2)
        begun = time.monotonic()
        ends.client.close()
        wait_for(lambda: ends.supervisor.ended, 5)
        assert time.monotonic() - begun < 1
        assert ends.supervisor.ended[0].startswith("connection lost")


def test_who_has_said_all_beforehand_may_shut_its_side_down():
    with greeted(flags=AUTH | rows.SCRIPTED) as ends:
        ends.say("EHLO c", plain(), "QUIT")
        ends.client.shutdown(socket.SHUT_WR)
        assert ends.hear().startswith("250")
        assert ends.hear().startswith("235")
        assert ends.hear().startswith("221")


# What a supervisor does.


def test_the_end_of_what_the_supervisor_says_is_a_word_to_end():
    with greeted() as ends:
        ends.supervisor.channel.end()
        assert ends.hear() == "421 4.3.2 Service shutting down"
        assert ends.hear() == "(end)"
    assert ends.supervisor.ended == ("shutting down", 0, 0)


@pytest.mark.parametrize("tells", ["end", "close"])
def test_it_is_heard_once_the_mail_that_is_under_way_has_its_answer(tells):
    with at_data() as ends:
        ends.say("half")
        time.sleep(0.1)
        if tells == "end":
            ends.supervisor.channel.end()
        else:  # the supervisor is gone
            ends.supervisor.channel._socket.shutdown(socket.SHUT_RDWR)
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.3  # it waits, and does not turn round and round
        assert ends.ask("and half\r\n.") == PIPED
        assert ends.hear() == "421 4.3.2 Service shutting down"
    assert ends.delivery.mails == [b"half\nand half\n"]


def test_a_tls_process_that_comes_too_late_ends_the_session(monkeypatch):
    """Whether the connection was handed over is not known, and the answer to one question must not be that to another."""
    monkeypatch.setattr(worker, "_SWAPPING", 0.2)

    def late(copy):
        time.sleep(0.6)
        os.close(copy)
        return os.pipe()

    with greeted(flags=rows.WITH_TLS, swap=late) as ends:
        ends.ask("EHLO c")
        assert ends.ask("STARTTLS") == "421 4.3.0 Local error, closing the connection"
        assert ends.hear() == "(end)"


@pytest.mark.parametrize("chunks", [1, 2])
def test_chunks_of_a_mail_that_is_refused_are_waited_for_as_others_are(chunks):
    """After another mail in the session, too, whose time is long over."""
    refused = {"script": {"BODY": unable(b"not permitted")}}
    with greeted(settings(idle_timeout=2), delivery=refused) as ends:
        assert ends.code(*ENVELOPE) == 250
        for number in range(chunks):
            time.sleep(1.5)
            if number:
                ends.say("RSET")
                ends.hear()
                assert ends.code(*ENVELOPE[1:]) == 250
            ends.say(b"BDAT 6 LAST\r\nab")
            time.sleep(0.7)
            assert ends.ask(b"c\r\nd") == "550 5.7.1 Not permitted by policy"
    assert ends.supervisor.ended == ("closed by the client", 0, 0)
