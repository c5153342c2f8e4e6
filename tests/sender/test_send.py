"""What msmtp says to a server, and what it makes of the answers; each a process of its own against a scripted server."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.support import certificates
from tests.support.scripted import DROP, HANG, RESET, Polite, Say, ScriptedServer
from tests.support.sending import MAIL, account, msmtp

from msmtp.failures import MailDeferredFailure, MailRefusedFailure, NetworkFailure
from msmtp.sender.envelope import spoken_of
from msmtp.sender.transfer import Envelope, Transfer
from msmtp.smtp.client import ClientConnection
from msmtp.smtp.commands import Data, Ehlo, Mail, Rcpt

FAST = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 100000")
TO = ("jane@example.net",)


def waits(transcript) -> int:
    """How often the client waited for an answer; setting TLS up (STARTTLS's answer and the handshake) is not counted."""
    return transcript.flights - (b"STARTTLS\r\n" in transcript.client)


def fingerprint() -> str:
    return hashlib.sha256(certificates.localhost().der()).digest().hex(":")


def tls(more: str = "") -> str:
    return f"tls on\ntls_fingerprint {fingerprint()}\n{more}"


LF = b"\n"
AUTH = "auth plain\nuser joe\npassword secret\n"


def test_a_mail_arrives_with_the_fields_that_were_missing(tmp_path):
    with ScriptedServer(Polite(extensions=FAST)) as server:
        run = msmtp(tmp_path, account(server.port), *TO)
    assert (run.code, run.out, run.err) == (0, "", "")
    (mail,) = server.sessions[0].mails
    assert (mail.sender, mail.recipients) == (b"<joe@example.org>", [b"<jane@example.net>"])
    fields, _, body = mail.data.partition(b"\r\n\r\n")
    assert [line.partition(b":")[0] for line in fields.split(b"\r\n")] == [b"From", b"Date", b"Message-ID", b"Subject"]
    assert body == b"How are you?\r\n"


def test_the_log_line_says_what_was_sent(tmp_path):
    with ScriptedServer(Polite(replies={"message": "250 2.0.0 it's\tqueued"})) as server:
        run = msmtp(tmp_path, account(server.port, "logfile_time_format none"), *TO, "jim@example.net")
    size = len(server.sessions[0].mails[0].data.replace(b"\r\n", b"\n"))
    assert run.log == (
        "host=127.0.0.1 tls=off auth=off from=joe@example.org recipients=jane@example.net,jim@example.net "
        f"mailsize={size} smtpstatus=250 smtpmsg='250 2.0.0 it?s?queued' exitcode=EX_OK\n"
    )


@pytest.mark.parametrize("recipients", [1, 40])
@pytest.mark.parametrize(
    ("polite", "more", "implicit", "flights"),
    [
        ({}, "", False, 4),
        ({"starttls": True, "mechanisms": ["PLAIN"]}, tls(AUTH), False, 6),
        ({"mechanisms": ["PLAIN"]}, tls("tls_starttls off\n" + AUTH), True, 5),
    ],
    ids=["plain", "starttls-auth", "tls-auth"],
)
def test_the_client_waits_no_more_than_it_must_however_many_recipients(
    tmp_path, polite, more, implicit, flights, recipients
):
    to = [f"r{number}@example.net" for number in range(recipients)]
    with ScriptedServer(Polite(extensions=FAST, **polite), implicit=implicit) as server:
        run = msmtp(tmp_path, account(server.port, more), *to)
    assert run.code == 0, run.err
    assert waits(server.sessions[0].transcript) == flights


@pytest.mark.parametrize(
    ("polite", "more", "implicit", "flights"),
    [
        ({}, "", False, 3),
        ({"starttls": True, "mechanisms": ["PLAIN"]}, tls(AUTH), False, 5),
        ({"mechanisms": ["PLAIN"]}, tls("tls_starttls off\n" + AUTH), True, 4),
    ],
    ids=["plain", "starttls-auth", "tls-auth"],
)
def test_chunking_saves_one_wait(tmp_path, polite, more, implicit, flights):
    with ScriptedServer(Polite(extensions=(*FAST, "CHUNKING"), **polite), implicit=implicit) as server:
        run = msmtp(tmp_path, account(server.port, more), *TO, mail=MAIL + b".\n..\n")
    assert run.code == 0, run.err
    assert waits(server.sessions[0].transcript) == flights
    assert server.sessions[0].mails[0].data.endswith(b"\r\n\r\nHow are you?\r\n.\r\n..\r\n")


def test_a_chunk_never_travels_ahead_if_a_refused_recipient_must_stop_the_mail(tmp_path):
    replies = {"RCPT": ["250 ok", "550 5.1.1 who?"]}
    with ScriptedServer(Polite(extensions=(*FAST, "CHUNKING"), replies=replies)) as server:
        run = msmtp(tmp_path, account(server.port), "a@example.net", "b@example.net")
    assert run.code == 65
    assert server.sessions[0].mails == []
    assert b"BDAT" not in server.sessions[0].transcript.client


def test_a_server_without_pipelining_is_told_one_thing_at_a_time(tmp_path):
    with ScriptedServer(Polite(extensions=())) as server:
        run = msmtp(tmp_path, account(server.port), "a@example.net", "b@example.net")
    assert run.code == 0, run.err
    assert server.sessions[0].transcript.flights == 7


@pytest.mark.parametrize(
    ("replies", "code", "words", "status"),
    [
        ({"greeting": "421 4.3.2 busy"}, 75, "cannot get initial OK message from server", "421"),
        ({"greeting": "554 no"}, 76, "cannot get initial OK message from server", "554"),
        ({"EHLO": "421 4.3.2 busy"}, 75, "SMTP server does not accept EHLO or HELO commands", "421"),
        ({"EHLO": "502 no", "HELO": "502 no"}, 76, "SMTP server does not accept EHLO or HELO commands", "502"),
        ({"MAIL": "451 4.7.1 later"}, 75, "envelope from address joe@example.org not accepted by the server", "451"),
        ({"MAIL": "550 5.7.1 no"}, 65, "envelope from address joe@example.org not accepted by the server", "550"),
        ({"RCPT": "450 4.2.1 later"}, 75, "recipient address jane@example.net not accepted by the server", "450"),
        ({"RCPT": "550 5.1.1 who?"}, 65, "recipient address jane@example.net not accepted by the server", "550"),
        ({"RCPT": "421 4.3.2 going"}, 75, "recipient address jane@example.net not accepted by the server", "421"),
        ({"DATA": "451 4.3.0 later"}, 75, "the server does not accept mail data", "451"),
        ({"DATA": "554 5.5.1 no"}, 65, "the server does not accept mail data", "554"),
        ({"message": "452 4.3.1 full"}, 75, "the server did not accept the mail", "452"),
        ({"message": "554 5.7.1 spam"}, 65, "the server did not accept the mail", "554"),
        ({"message": "421 4.3.2 going"}, 75, "the server did not accept the mail", "421"),
    ],
)
@pytest.mark.parametrize("extensions", [(), FAST, (*FAST, "CHUNKING")], ids=["slow", "pipelining", "chunking"])
def test_a_refusal_is_temporary_or_final_by_the_replys_first_digit(tmp_path, replies, code, words, status, extensions):
    if "DATA" in replies and "CHUNKING" in extensions:
        replies = {"message": replies["DATA"]}
        words = "the server did not accept the mail"
    with ScriptedServer(Polite(extensions=extensions, replies=replies), raise_errors=False) as server:
        run = msmtp(tmp_path, account(server.port), *TO)
    assert run.code == code
    assert run.err.startswith(f"msmtp: {words}\nmsmtp: server message: {status} ") or status == "421"
    assert f"msmtp: {words}\n" in run.err
    assert run.err.endswith(f"msmtp: could not send mail (account default from {tmp_path}/msmtprc)\n")
    assert f"smtpstatus={status} " in run.log
    assert f"errormsg='{words}' exitcode=EX_" in run.log
    assert "may have taken" not in run.err


@pytest.mark.parametrize("extensions", [(), FAST, (*FAST, "CHUNKING")], ids=["slow", "pipelining", "chunking"])
@pytest.mark.parametrize("answer", [b"thank you\r\n", "354 go on", DROP, RESET], ids=["words", "354", "end", "reset"])
def test_doubt_is_admitted_where_the_answer_to_the_mail_is_none(tmp_path, answer, extensions):
    with ScriptedServer(Polite(extensions=extensions, replies={"message": answer}), raise_errors=False) as server:
        run = msmtp(tmp_path, account(server.port), *TO)
    assert run.code in {75, 76}
    assert "msmtp: the server may have taken the mail all the same: it was sent to its end\n" in run.err


def test_exit_codes_upstream_gives_the_old_codes(tmp_path):
    codes = []
    for replies in ({"greeting": "421 x"}, {"RCPT": "450 x"}, {"message": "554 x"}, {"message": "451 x"}):
        with ScriptedServer(Polite(replies=replies)) as server:
            codes.append(msmtp(tmp_path, account(server.port, "exit_codes upstream"), *TO).code)
    assert codes == [76, 69, 69, 69]


def test_by_default_one_refused_recipient_stops_the_mail_for_all(tmp_path):
    with ScriptedServer(Polite(extensions=FAST, replies={"RCPT": ["250 ok", "550 who?", "250 ok"]})) as server:
        run = msmtp(tmp_path, account(server.port), "a@example.net", "b@example.net", "c@example.net")
    assert run.code == 65
    assert "recipient address b@example.net not accepted" in run.err
    assert server.sessions[0].mails == []


@pytest.mark.parametrize("extensions", [(), FAST, (*FAST, "CHUNKING")], ids=["slow", "pipelining", "chunking"])
@pytest.mark.parametrize(("refused", "code"), [("550 5.1.1 who?", 65), ("450 4.2.1 later", 75)])
def test_partial_recipients_sends_to_the_others_and_names_who_was_refused(tmp_path, extensions, refused, code):
    with ScriptedServer(Polite(extensions=extensions, replies={"RCPT": ["250 ok", refused, "250 ok"]})) as server:
        text = account(server.port, "partial_recipients on")
        run = msmtp(tmp_path, text, "a@example.net", "b@example.net", "c@example.net")
    assert run.code == code
    assert server.sessions[0].mails[0].recipients == [b"<a@example.net>", b"<c@example.net>"]
    assert "recipient address b@example.net not accepted by the server\n" in run.err
    assert "could not send mail to all recipients" in run.err
    assert "mailsize=" in run.log
    assert "errormsg='delivery to one or more recipients failed'" in run.log


def test_partial_recipients_is_no_success_if_everybody_is_refused(tmp_path):
    with ScriptedServer(Polite(extensions=FAST, replies={"RCPT": ["550 who?", "450 later"]})) as server:
        run = msmtp(tmp_path, account(server.port, "partial_recipients on"), "a@example.net", "b@example.net")
    assert run.code == 75
    assert server.sessions[0].mails == []


@pytest.mark.parametrize("lmtp", [False, True], ids=["smtp", "lmtp"])
@pytest.mark.parametrize("extensions", [(), FAST, (*FAST, "CHUNKING")], ids=["slow", "pipelining", "chunking"])
@pytest.mark.parametrize("before", [["250 ok"], ["250 ok", "550 5.1.1 who?"]], ids=["first", "second"])
def test_a_server_that_goes_down_amid_the_recipients_is_temporary(tmp_path, lmtp, extensions, before):
    replies = {"RCPT": [*before, Say("421 4.3.2 going down", then=DROP)]}
    with ScriptedServer(Polite(extensions=extensions, replies=replies, lmtp=lmtp)) as server:
        text = account(server.port, f"partial_recipients on\nprotocol {'lmtp' if lmtp else 'smtp'}")
        run = msmtp(tmp_path, text, *(f"{name}@example.net" for name in "abcd"))
    assert run.code == 75
    assert "server message: 421 4.3.2 going down\n" in run.err
    assert "out of order" not in run.err
    assert server.mails == []


def test_lmtp_has_an_outcome_for_each_recipient(tmp_path):
    replies = {"message": ["250 one", "550 5.1.1 two", "452 4.2.2 three"]}
    with ScriptedServer(Polite(extensions=FAST, replies=replies, lmtp=True)) as server:
        text = account(server.port, "protocol lmtp")
        run = msmtp(tmp_path, text, "a@example.net", "b@example.net", "c@example.net")
    assert run.code == 75
    assert run.err.splitlines()[:5] == [
        "msmtp: the server refuses to send the mail to b@example.net",
        "msmtp: LMTP server message: 550 5.1.1 two",
        "msmtp: there is no such mailbox: check the address",
        "msmtp: the server refuses to send the mail to c@example.net",
        "msmtp: LMTP server message: 452 4.2.2 three",
    ]


@pytest.mark.parametrize("extensions", [(), FAST, (*FAST, "CHUNKING")], ids=["slow", "pipelining", "chunking"])
def test_lmtp_recipients_without_an_answer_have_none_that_was_anothers(tmp_path, extensions):
    replies = {"message": ["250 one", Say("421 4.3.2 going down", then=DROP)]}
    with ScriptedServer(Polite(extensions=extensions, replies=replies, lmtp=True)) as server:
        text = account(server.port, "protocol lmtp\npartial_recipients on")
        run = msmtp(tmp_path, text, "a@example.net", "b@example.net", "c@example.net")
    assert run.code == 75
    assert run.err.splitlines()[:5] == [
        "msmtp: the server refuses to send the mail to b@example.net",
        "msmtp: LMTP server message: 421 4.3.2 going down",
        "msmtp: the server refuses to send the mail to c@example.net",
        "msmtp: LMTP server message: 421 4.3.2 going down",
        f"msmtp: could not send mail to all recipients (account default from {tmp_path}/msmtprc)",
    ]


def test_the_size_is_announced_as_it_is_sent_and_too_large_a_mail_never_leaves(tmp_path):
    with ScriptedServer(Polite(extensions=("PIPELINING", "SIZE 5000"))) as server:
        assert msmtp(tmp_path, account(server.port), *TO).code == 0
        run = msmtp(tmp_path, account(server.port), *TO, mail=MAIL + b"x" * 70 + b"\n" * 5000)
    first, second = server.sessions
    (parameters,) = [mail.sender_parameters for mail in first.mails]
    assert parameters == b"SIZE=%d" % len(first.mails[0].data)
    assert run.code == 65
    assert re.search(r"the mail has \d+ bytes, but the server accepts at most 5000", run.err)
    assert b"MAIL" not in second.transcript.client
    assert second.transcript.client.endswith(b"QUIT\r\n")


@pytest.mark.parametrize(
    ("mail", "to", "expected"),
    [
        (MAIL, "jane@example.net", b""),
        (b"Subject: x\n\nGr\xc3\xbc\xc3\x9fe\n", "jane@example.net", b"BODY=8BITMIME"),
        (b"Subject: Gr\xc3\xbc\xc3\x9fe\n\nx\n", "jane@example.net", b"BODY=8BITMIME SMTPUTF8"),
        (b"Subject: Gr\xfc\xdfe\n\nx\n", "jane@example.net", b"BODY=8BITMIME"),
        (MAIL, "jürgen@example.net", b"SMTPUTF8"),
        (MAIL, "jane@exämple.net", b"SMTPUTF8"),
    ],
)
def test_8bitmime_and_smtputf8_are_asked_for_when_the_mail_needs_them(tmp_path, mail, to, expected):
    with ScriptedServer(Polite(extensions=("8BITMIME", "SMTPUTF8"))) as server:
        assert msmtp(tmp_path, account(server.port), to, mail=mail).code == 0
    assert server.sessions[0].mails[0].sender_parameters == expected


@pytest.mark.parametrize(
    ("mail", "to", "words"),
    [
        (b"Subject: x\n\nGr\xc3\xbc\xc3\x9fe\n", "jane@example.net", "the server does not support 8BITMIME"),
        (b"Subject: Gr\xc3\xbc\xc3\x9fe\n\nx\n", "jane@example.net", "the server does not support SMTPUTF8"),
        (MAIL, "jürgen@example.net", "the server does not support SMTPUTF8, which address jürgen@example.net needs"),
    ],
)
def test_what_the_server_lacks_is_refused_with_the_reason(tmp_path, mail, to, words):
    with ScriptedServer(Polite(extensions=())) as server:
        run = msmtp(tmp_path, account(server.port), to, mail=mail)
    assert run.code == 65
    assert words in run.err
    assert server.sessions[0].mails == []


def test_missing_extension_send_sends_it_as_it_is(tmp_path):
    mail = b"Subject: Gr\xc3\xbc\xc3\x9fe\n\nGr\xc3\xbc\xc3\x9fe\n"
    with ScriptedServer(Polite(extensions=())) as server:
        assert msmtp(tmp_path, account(server.port, "missing_extension send"), *TO, mail=mail).code == 0
    assert server.sessions[0].mails[0].data.endswith(mail.replace(b"\n", b"\r\n"))
    assert server.sessions[0].mails[0].sender_parameters == b""


def test_a_domain_beyond_ascii_becomes_a_label_for_a_server_without_smtputf8(tmp_path):
    with ScriptedServer(Polite(extensions=())) as server:
        assert msmtp(tmp_path, account(server.port), "jane@bücher.example").code == 0
    assert server.sessions[0].mails[0].recipients == [b"<jane@xn--bcher-kva.example>"]


def test_dsn_is_asked_for_as_configured_and_the_envelope_id_is_xtext(tmp_path):
    with ScriptedServer(Polite(extensions=("DSN",))) as server:
        text = account(server.port, "dsn_notify failure,delay\ndsn_return headers")
        assert msmtp(tmp_path, text, "-V", "a+b c", *TO).code == 0
    (mail,) = server.sessions[0].mails
    assert mail.sender_parameters == b"RET=HDRS ENVID=a+2Bb+20c"
    assert mail.recipient_parameters == [b"NOTIFY=FAILURE,DELAY"]


def test_a_recipient_may_have_words_of_its_own(tmp_path):
    rcpts = ["--rcpt=<a@example.org> NOTIFY=NEVER ORCPT=rfc822;x+2By", '--rcpt=<"b NOTIFY=x"@example.org> NOTIFY=DELAY']
    with ScriptedServer(Polite(extensions=("DSN", "PIPELINING"))) as server:
        assert msmtp(tmp_path, account(server.port), "-N", "failure", *rcpts, "c@example.org").code == 0
    (mail,) = server.sessions[0].mails
    said = dict(zip(mail.recipients, mail.recipient_parameters, strict=True))
    assert said == {
        b"<a@example.org>": b"NOTIFY=NEVER ORCPT=rfc822;x+2By",
        b'<"b NOTIFY=x"@example.org>': b"NOTIFY=DELAY",
        b"<c@example.org>": b"NOTIFY=FAILURE",
    }


def test_a_recipient_without_words_is_taken_as_it_is_and_is_as_any_other(tmp_path):
    addresses = ['"john doe"', '"joe."@example.org', "a@[x:b,c@d]", "e@example.org"]
    with ScriptedServer(Polite(extensions=("DSN",))) as server:
        text = account(server.port, "dsn_notify failure")
        assert msmtp(tmp_path, text, *(f"--rcpt=<{address}>" for address in addresses)).code == 0
    assert server.mails[0].recipients == [f"<{address}>".encode() for address in addresses]
    assert server.mails[0].recipient_parameters == [b"NOTIFY=FAILURE"] * len(addresses)
    with ScriptedServer(Polite(extensions=())) as server:
        assert msmtp(tmp_path, account(server.port), *(f"--rcpt=<{address}>" for address in addresses)).code == 0


@pytest.mark.parametrize("address", ['"a> NOTIFY=b"@example.org', 'a@[x:"b]', '"a@["@[x:">b]', r'"a\"> "@[x:b]'])
def test_an_address_ends_where_its_grammar_says(address):
    assert spoken_of(f"<{address}> NOTIFY=NEVER") == (address.encode(), ((b"NOTIFY", b"NEVER"),))


def test_words_of_a_recipient_go_to_those_who_stand_for_it(tmp_path):
    (tmp_path / "aliases").write_text("root: a@example.org, b@example.org\n")
    with ScriptedServer(Polite(extensions=("DSN",))) as server:
        text = account(server.port, f"aliases {tmp_path}/aliases")
        assert msmtp(tmp_path, text, "--rcpt", "<root> NOTIFY=NEVER").code == 0
    assert server.sessions[0].mails[0].recipient_parameters == [b"NOTIFY=NEVER", b"NOTIFY=NEVER"]


def test_words_of_a_recipient_follow_it_into_its_ascii_name(tmp_path):
    with ScriptedServer(Polite(extensions=("DSN",))) as server:
        assert msmtp(tmp_path, account(server.port), "--rcpt=<a@bücher.example> NOTIFY=NEVER", *TO).code == 0
    (mail,) = server.sessions[0].mails
    said = dict(zip(mail.recipients, mail.recipient_parameters, strict=True))
    assert said[b"<a@xn--bcher-kva.example>"] == b"NOTIFY=NEVER"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a@example.org",
        "<>",
        "<a@example.org> BODY=8BITMIME",
        "<a@example.org",
        "<a@example.org> ",
        '<"a> NOTIFY=NEVER',
    ],
)
def test_words_that_are_none_are_refused(tmp_path, text):
    run = msmtp(tmp_path, account(1), "--rcpt", text, *TO)
    assert run.code == 64
    assert "--rcpt" in run.err


def test_dsn_if_offered_leaves_out_what_the_server_does_not_know(tmp_path):
    words = ["--dsn-if-offered", "-R", "full", "-N", "never", "-V", "id", "--rcpt=<a@example.org> NOTIFY=DELAY"]
    with ScriptedServer(Polite(extensions=())) as server:
        assert msmtp(tmp_path, account(server.port), *words, *TO).code == 0
    (mail,) = server.sessions[0].mails
    assert (mail.sender_parameters, mail.recipient_parameters) == (b"", [b"", b""])
    with ScriptedServer(Polite(extensions=("DSN",))) as server:
        assert msmtp(tmp_path, account(server.port), *words, *TO).code == 0
    assert server.sessions[0].mails[0].sender_parameters == b"RET=FULL ENVID=id"


@pytest.mark.parametrize(("extensions", "said"), [((), b""), (("SMTPUTF8",), b"SMTPUTF8")])
def test_smtputf8_is_asked_for_where_it_is_offered(tmp_path, extensions, said):
    with ScriptedServer(Polite(extensions=extensions)) as server:
        assert msmtp(tmp_path, account(server.port), "--smtputf8", *TO).code == 0
    assert server.sessions[0].mails[0].sender_parameters == said


def test_a_literal_sender_keeps_its_patterns(tmp_path):
    with ScriptedServer(Polite()) as server:
        assert msmtp(tmp_path, account(server.port), "--literal-from", "-f", "%U@%H", *TO).code == 0
    assert server.sessions[0].mails[0].sender == b"<%U@%H>"


def test_dsn_without_the_servers_support_is_refused(tmp_path):
    with ScriptedServer(Polite(extensions=())) as server:
        run = msmtp(tmp_path, account(server.port, "dsn_notify failure"), *TO)
    assert run.code == 69
    assert "the server does not support DSN" in run.err


@pytest.mark.parametrize("answer", [DROP, RESET])
@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL", "message"])
def test_a_connection_that_breaks_is_temporary(tmp_path, step, answer):
    with ScriptedServer(Polite(extensions=(), replies={step: answer})) as server:
        run = msmtp(tmp_path, account(server.port), *TO)
    assert run.code == 75
    assert "could not send mail" in run.err
    assert ("the server may have taken the mail all the same" in run.err) == (step == "message")
    assert "exitcode=EX_TEMPFAIL" in run.log


@pytest.mark.parametrize("implicit", [False, True])
def test_the_timeout_holds_under_tls_too(tmp_path, implicit):
    more = tls(f"tls_starttls {'off' if implicit else 'on'}\ntimeout 1")
    with ScriptedServer(Polite(starttls=not implicit, replies={"MAIL": HANG}), implicit=implicit) as server:
        run = msmtp(tmp_path, account(server.port, more), *TO)
    assert run.code == 75
    assert "network read error: the operation timed out" in run.err


def test_what_is_no_reply_is_a_protocol_error_that_quotes_it(tmp_path):
    with ScriptedServer(Polite(replies={"greeting": b"HTTP/1.1 400 \x1b[31mBad\r\n"})) as server:
        run = msmtp(tmp_path, account(server.port), *TO)
    assert run.code == 76
    assert "the server sent an invalid reply: HTTP/1.1 400" in run.err
    assert "\x1b" not in run.err + run.log


def test_octets_behind_the_answer_to_starttls_end_the_session(tmp_path):
    injected = Say(b"220 go ahead\r\n250 2.0.0 injected\r\n")
    with ScriptedServer(Polite(starttls=True, replies={"STARTTLS": injected}), raise_errors=False) as server:
        run = msmtp(tmp_path, account(server.port, tls()), *TO)
    assert run.code == 76
    assert "injecting" in run.err
    assert server.sessions[0].mails == []


def test_a_password_never_goes_to_a_server_whose_certificate_is_not_the_one(tmp_path):
    more = "tls on\ntls_fingerprint " + "00:" * 31 + "00\n" + AUTH
    with ScriptedServer(Polite(starttls=True, mechanisms=["PLAIN"]), raise_errors=False) as server:
        run = msmtp(tmp_path, account(server.port, more), *TO)
    assert run.code == 69
    assert b"AUTH" not in server.sessions[0].transcript.client


@pytest.mark.parametrize(("answer", "code"), [("535 5.7.8 no", 77), ("454 4.7.0 later", 75)])
def test_refused_authentication_is_final_and_deferred_is_temporary(tmp_path, answer, code):
    with ScriptedServer(Polite(mechanisms=["PLAIN"], replies={"AUTH": answer})) as server:
        run = msmtp(tmp_path, account(server.port, AUTH), *TO)
    assert run.code == code
    assert "authentication failed (method PLAIN)" in run.err
    assert "secret" not in run.err + run.log


def test_a_token_too_long_for_a_command_line_answers_the_challenge_instead(tmp_path):
    token = "t" * 7000
    with ScriptedServer(Polite(mechanisms=["PLAIN"], users={b"joe": token.encode()})) as server:
        run = msmtp(tmp_path, account(server.port, f"auth plain\nuser joe\npassword {token}"), *TO)
    assert run.code == 0, run.err
    assert server.sessions[0].user == b"joe"
    assert b"AUTH PLAIN\r\n" in server.sessions[0].transcript.client


@pytest.mark.parametrize("polite", [{}, {"starttls": True}], ids=["plain", "tls"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\n.\n"])
def test_a_long_mail_arrives_with_its_dots_and_line_ends_right(tmp_path, polite, end):
    body = (b".\n..\nwords\r\n.words\rwords\n" * 20_000) + b"end" + end  # more than is held in memory
    extensions = ("PIPELINING", "SIZE 10000000", "CHUNKING")
    with ScriptedServer(Polite(extensions=extensions, **polite)) as server:
        more = tls() if polite else ""
        run = msmtp(tmp_path, account(server.port, more + "logfile_time_format none"), *TO, mail=b"A: b\n\n" + body)
    assert (run.code, run.err) == (0, "")
    (mail,) = server.sessions[0].mails
    _, _, arrived = mail.data.partition(b"\r\n\r\n")
    plain = body.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b" ").removesuffix(b"\n") + b"\n"
    assert arrived == plain.replace(b"\n", b"\r\n")
    size = len(mail.data)
    assert b" SIZE=%d" % size in server.sessions[0].transcript.client
    assert f" mailsize={size - mail.data.count(LF)} " in run.log


def test_a_reply_in_the_middle_of_a_large_mail_is_what_is_told(tmp_path):
    def refuse_in_the_middle(session) -> None:
        session.say("220 hi")
        session.line()
        session.say("250-hi\n250 PIPELINING")
        for answer in ("250 ok", "250 ok", "354 go"):
            session.line()
            session.say(answer)
        session.exactly(100_000)
        session.say("552 5.3.4 that is enough")
        session.flush()
        session.socket.shutdown(0)

    with ScriptedServer(refuse_in_the_middle, raise_errors=False) as server:
        run = msmtp(tmp_path, account(server.port), *TO, mail=MAIL + b"x" * 70_000_000)
    assert run.code == 65, run.err
    assert "server message: 552 5.3.4 that is enough" in run.err


@pytest.mark.parametrize(
    ("words", "told", "given"),
    [
        (b"552 5.3.4 too big\r\n", MailRefusedFailure, False),
        (b"452 4.3.1 full\r\n", MailDeferredFailure, False),
        (b"", NetworkFailure, True),
        (b"250 2.0.0 taken\r\n", NetworkFailure, True),
    ],
    ids=["no", "later", "nothing", "yes"],
)
def test_whether_there_is_doubt_when_the_end_of_a_mail_meets_a_closed_connection(words, told, given):
    """The dot may have arrived although the write failed; a server that says no has not taken the mail."""
    connection = ClientConnection()
    session = SimpleNamespace(connection=connection, stream=SimpleNamespace(deadline=lambda _seconds: None))

    def heard(octets):
        return next(connection.receive(octets))

    def write(_octets):
        raise NetworkFailure("broken pipe")

    heard(b"220 hello\r\n")
    for command, answer in (
        (Ehlo(b"x"), b"250 x"),
        (Mail(b"a@b"), b"250 ok"),
        (Rcpt(b"c@d"), b"250 ok"),
        (Data(), b"354 go"),
    ):
        connection.send(command)
        heard(answer + b"\r\n")
    session.next_event = lambda: heard(words) if words else write(b"")
    session.write = write
    letter = SimpleNamespace(content=lambda: [MAIL], stored=list)
    transfer = Transfer(session, Envelope(b"a@b", (b"c@d",), len(MAIL)), letter, partial=False)
    with pytest.raises(told):
        transfer.body()
    assert transfer.given == given


def test_aliases_replace_local_recipients_in_envelope_and_log(tmp_path):
    (tmp_path / "aliases").write_text("root: boss\nboss: jane@example.net, jim@example.net\ndefault: me@example.org\n")
    with ScriptedServer(Polite()) as server:
        run = msmtp(tmp_path, account(server.port, f"aliases {tmp_path}/aliases"), "root", "nobody", "x@example.com")
    assert run.code == 0, run.err
    everybody = [b"<jane@example.net>", b"<jim@example.net>", b"<me@example.org>", b"<x@example.com>"]
    assert server.sessions[0].mails[0].recipients == everybody


def test_a_null_sender_is_sent_as_such(tmp_path):
    with ScriptedServer(Polite()) as server:
        for sender in ("<>", "mailer-daemon", ""):
            assert msmtp(tmp_path, account(server.port), "-f", sender, *TO).code == 0
    assert [session.mails[0].sender for session in server.sessions] == [b"<>"] * 3


def test_nobody_to_send_to_is_a_usage_error_before_anything_else(tmp_path):
    run = msmtp(tmp_path, "no such command\n")
    assert run.code == 64
    assert run.err.startswith("msmtp: no recipients found\n")


def test_an_unwritable_log_changes_nothing_about_the_mail(tmp_path):
    with ScriptedServer(Polite()) as server:
        run = msmtp(tmp_path, account(server.port), "--logfile", "/nonexistent/log", *TO)
    assert run.code == 0
    assert len(server.sessions[0].mails) == 1
    assert run.err.startswith(
        "msmtp: cannot log to /nonexistent/log: cannot open: No such file or directory\nmsmtp: log info was: host="
    )


def test_hostile_text_of_the_server_stays_in_one_log_line(tmp_path):
    said = b"550 5.1.1 a'b\x1b[0m\x07 c\r\n"
    with ScriptedServer(Polite(replies={"RCPT": said})) as server:
        run = msmtp(tmp_path, account(server.port), *TO)
    assert run.log.count("\n") == 1
    assert not set(run.log + run.err) & {"\x1b", "\x07"}


def test_the_mail_may_be_a_file_that_is_read_from_its_middle(tmp_path):
    import subprocess

    from tests.support.sending import MSMTP, configuration

    big = tmp_path / "mail"
    big.write_bytes(b"not this" + MAIL + b"0123456789abcde\n" * 40_000)
    with ScriptedServer(Polite()) as server, big.open("rb") as file:
        rc = configuration(tmp_path, account(server.port))
        file.seek(8)
        assert subprocess.run([*MSMTP, "-C", str(rc), *TO], stdin=file, check=False).returncode == 0
    assert server.sessions[0].mails[0].data.endswith(b"?\r\n" + b"0123456789abcde\r\n" * 40_000)


@pytest.mark.parametrize("name", ["sendmail", "mailq", "newaliases"])
def test_it_does_what_the_name_says_that_it_is_called_by(tmp_path, name):
    import subprocess
    import sys

    link = tmp_path / name
    link.write_text(f"#!{sys.executable} -I\nfrom msmtp.sender.main import run\nrun()\n")
    link.chmod(0o755)
    done = subprocess.run([link], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if name == "sendmail":
        assert (done.returncode, done.stderr.splitlines()[0]) == (64, "sendmail: no recipients found")
    else:
        assert (done.returncode, done.stderr) == (0, "")


def test_a_mail_of_any_size_takes_the_same_memory(tmp_path):
    peaks = [peak(tmp_path, size) for size in (1 << 10, 1 << 20, 64 << 20)]
    assert max(peaks) - peaks[0] < 1536, peaks


def peak(folder: Path, size: int) -> int:
    """Peak memory in KiB of a send of ``size`` octets, over a pipe."""
    import subprocess

    from tests.support.processes import metered
    from tests.support.sending import MSMTP, configuration

    with ScriptedServer(Polite(extensions=FAST[:3])) as server:
        rc = configuration(folder, account(server.port))
        command = metered([*MSMTP, "-C", str(rc), *TO], folder / "memory")
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert process.stdin
        process.stdin.write(MAIL)
        for _ in range(size >> 10):
            process.stdin.write(b"0123456789abcde\n" * 64)
        process.stdin.close()
        assert process.wait(60) == 0
    return int((folder / "memory").read_text()) >> 10


def test_a_connection_that_breaks_while_an_exchange_is_cancelled_hides_nothing_of_its_reason(tmp_path):
    def false_server(session) -> None:
        for answer in ("220 hi", "250-hi\n250 AUTH SCRAM-SHA-256", "334 cj1mYWxzZQ=="):
            session.say(answer)
            session.line()
        session.reset()

    with ScriptedServer(false_server, raise_errors=False) as server:
        run = msmtp(tmp_path, account(server.port, "auth scram-sha-256\nuser joe\npassword secret"), *TO)
    assert run.code == 70
    assert "authentication failed (method SCRAM-SHA-256): " in run.err


@pytest.mark.parametrize("domain", ["here there", "h\u00e9re \u2028x", "x" * 2000, "\udcff"])
def test_a_domain_that_cannot_be_one_is_the_configurations_fault(tmp_path, domain):
    with ScriptedServer(Polite(), raise_errors=False) as server:
        run = msmtp(tmp_path, account(server.port), f"--domain={domain}", *TO)
    assert run.code == 78
    assert "cannot be a name\nmsmtp: see the domain command\n" in run.err
    assert not server.sessions or b"EHLO" not in server.sessions[0].transcript.client
