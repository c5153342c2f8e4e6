"""The modes that send no mail from standard input: -bs, the queueless ones, --serverinfo, --rmqs, --configure, texts."""

from __future__ import annotations

import smtplib
import socket
import subprocess
import sys

import pytest
from tests.support.scripted import Polite, ScriptedServer
from tests.support.sending import MAIL, MSMTP, account, configuration, msmtp

# -- -bs


class StandardIo(smtplib.SMTP):
    """Python's own SMTP client, speaking to ``msmtp -bs``."""

    def __init__(self, *command) -> None:
        here, there = socket.socketpair()
        self.process = subprocess.Popen(command, stdin=there, stdout=there, stderr=subprocess.PIPE)
        there.close()
        super().__init__()
        self.sock = here
        self.file = None
        assert self.getreply()[0] == 220
        self._host = "localhost"

    def end(self) -> tuple[int, bytes]:
        self.close()
        _, err = self.process.communicate(timeout=20)
        return self.process.returncode, err


@pytest.mark.parametrize("chunking", [False, True])
def test_bs_takes_several_mails_and_sends_each_before_it_answers(tmp_path, chunking):
    with ScriptedServer(Polite()) as server:
        client = StandardIo(*MSMTP, "-bs", "-C", str(configuration(tmp_path, account(server.port))))
        client.ehlo("here")
        for number in range(2):
            if chunking:
                client.mail("a@example.org")
                client.rcpt(f"{number}@example.net")
                client.send(b"BDAT %d LAST\r\n" % len(MAIL) + MAIL)
                assert client.getreply()[0] == 250
            else:
                assert client.sendmail("a@example.org", [f"{number}@example.net"], MAIL + b".dot\n") == {}
            assert len(server.sessions) == number + 1
        client.quit()
        assert client.end() == (0, b"")
    assert [session.mails[0].recipients for session in server.sessions] == [[b"<0@example.net>"], [b"<1@example.net>"]]
    assert {session.mails[0].sender for session in server.sessions} == {b"<a@example.org>"}


@pytest.mark.parametrize(
    ("refusal", "code", "words"),
    [("550 5.1.1 who?", 554, b"recipient address 0@example.net not accepted"), ("450 x", 451, b"not accepted")],
)
def test_bs_tells_the_client_what_the_server_said_of_a_mail(tmp_path, refusal, code, words):
    with ScriptedServer(Polite(replies={"RCPT": [refusal, "250 ok"]})) as server:
        client = StandardIo(*MSMTP, "-bs", "-C", str(configuration(tmp_path, account(server.port))))
        client.ehlo("here")
        with pytest.raises(smtplib.SMTPDataError) as caught:
            client.sendmail("a@example.org", ["0@example.net"], MAIL)
        assert caught.value.smtp_code == code
        assert words in caught.value.smtp_error
        client.quit()
        client.end()


def test_bs_refuses_a_mail_with_a_nul_in_it_and_goes_on(tmp_path):
    with ScriptedServer(Polite()) as server:
        client = StandardIo(*MSMTP, "-bs", "-C", str(configuration(tmp_path, account(server.port))))
        client.ehlo("here")
        with pytest.raises(smtplib.SMTPDataError):
            client.sendmail("a@example.org", ["0@example.net"], b"Subject: x\n\na\0b\n")
        assert client.sendmail("a@example.org", ["1@example.net"], MAIL) == {}
        client.quit()
        client.end()
    assert len(server.sessions) == 1


def test_bs_drops_a_mail_whose_client_goes_away_in_the_middle(tmp_path):
    with ScriptedServer(Polite()) as server:
        client = StandardIo(*MSMTP, "-bs", "-C", str(configuration(tmp_path, account(server.port))))
        client.ehlo("here")
        client.mail("a@example.org")
        client.rcpt("b@example.net")
        client.putcmd("DATA")
        client.getreply()
        client.send(b"Subject: half\r\n\r\nthe rest is mis")
        code, err = client.end()
        assert code == 65
        assert b"ended in the middle of a mail, which was not sent" in err
    assert server.sessions == []


SCRIPT = (
    b"EHLO here\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" + MAIL.replace(b"\n", b"\r\n")
    + b".\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<c@example.net>\r\nBDAT 6 LAST\r\nA: b\r\nQUIT\r\n"
)  # fmt: skip


def test_bs_takes_a_session_that_was_written_beforehand(tmp_path):
    with ScriptedServer(Polite()) as server:
        run = msmtp(tmp_path, account(server.port), "-bs", mail=SCRIPT)
    assert run.code == 0, run.err
    assert [line[:3] for line in run.out.splitlines() if line[3] == " "] == [
        "220",
        "250",
        "250",
        "250",
        "354",
        "250",
        "250",
        "250",
        "250",
        "221",
    ]
    assert [mail.recipients for mail in server.mails] == [[b"<b@example.net>"], [b"<c@example.net>"]]


def test_bs_judges_by_what_the_codes_mean_here_even_if_the_account_wants_the_old_ones(tmp_path):
    for answer, reply in (("554 5.7.1 no", "554 "), ("451 4.7.1 later", "451 ")):
        with ScriptedServer(Polite(replies={"message": answer})) as server:
            run = msmtp(tmp_path, account(server.port, "exit_codes upstream"), "-bs", mail=SCRIPT)
        assert run.out.splitlines()[-2].startswith(reply)


def test_bs_without_anybody_to_answer_says_so(tmp_path):
    rc = configuration(tmp_path, account(1))
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*MSMTP, "-bs", "-C", rc], input=SCRIPT, stdout=full, stderr=subprocess.PIPE, check=False, timeout=20
        )
    assert done.returncode == 74
    assert done.stderr == b"msmtp: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize("recipient", [b'"john doe"', b'"foo."@example.net', b"a@[x:b@example.net,d@example.net]"])
def test_bs_sends_to_the_recipients_that_it_was_told_and_to_no_others(tmp_path, recipient):
    with ScriptedServer(Polite()) as server:
        run = msmtp(tmp_path, account(server.port), "-bs", mail=SCRIPT.replace(b"b@example.net", recipient))
    assert (run.code, run.err) == (0, "")
    assert [mail.recipients for mail in server.mails] == [[b"<" + recipient + b">"], [b"<c@example.net>"]]


@pytest.mark.parametrize("option", ["-P", "--rcpt=<other@example.net>", "other@example.net"])
def test_bs_refuses_what_would_make_a_lie_of_its_answers(tmp_path, option):
    with ScriptedServer(Polite()) as server:
        run = msmtp(tmp_path, account(server.port), "-bs", option, mail=SCRIPT)
    assert (run.code, run.out) == (64, "")
    assert server.sessions == []


# -- what sendmail does with its queue


@pytest.mark.parametrize(
    ("arguments", "code", "out", "err"),
    [
        (["-bp"], 0, "Mail queue is empty", ""),
        (["-bi"], 0, "no aliases file to check", ""),
        (["-q"], 0, "", ""),
        (["-q30m"], 64, "", "no queue to run at intervals"),
        (["-bd"], 64, "", "msmtpd receives mail"),
        (["-bt"], 64, "", "nothing to test"),
        (["-bv", "jane@example.net"], 64, "", "cannot verify"),
        (["-bz"], 64, "", "unsupported operation mode bz"),
    ],
)
def test_what_there_is_no_queue_for_is_said(tmp_path, arguments, code, out, err):
    run = msmtp(tmp_path, account(1), *arguments)
    assert run.code == code
    assert out in run.out
    assert bool(run.out) == bool(out)
    assert err in run.err
    assert bool(run.err) == bool(err)


def test_bi_checks_the_aliases_file(tmp_path):
    aliases = tmp_path / "aliases"
    aliases.write_text("root: jane@example.net\n")
    text = account(1, f"aliases {aliases}")
    assert msmtp(tmp_path, text, "-bi").out.startswith(f"{aliases}: 1 aliases")
    aliases.write_text("root jane@example.net\n")
    run = msmtp(tmp_path, text, "-bi")
    assert (run.code, run.err.splitlines()[0]) == (78, f"msmtp: {aliases}: line 1: single ':' delimiter expected")


# -- --serverinfo


def test_serverinfo_reports_what_the_server_offers(tmp_path):
    extensions = ("SIZE 36700160", "ETRN", "DSN", "PIPELINING", "XUNKNOWN", "SMTPUTF8", "AUTH XOAUTH2 LOGIN PLAIN FOO")
    with ScriptedServer(
        Polite(extensions=extensions, replies={"greeting": "220-one\n220 two"}, starttls=True)
    ) as server:
        run = msmtp(tmp_path, account(server.port), "--serverinfo")
    assert run.code == 0, run.err
    lines = run.out.splitlines()
    assert lines[0].startswith("SMTP server at 127.0.0.1 (")
    assert lines[0].endswith(f"[127.0.0.1]), port {server.port}:")
    assert lines[1:] == [
        "    one",
        "Capabilities:",
        "    SIZE 36700160:",
        "        Maximum message size is 36700160 bytes = 35.00 MiB",
        "    PIPELINING:",
        "        Support for command grouping for faster transmission",
        "    SMTPUTF8:",
        "        Support for Internationalized Email",
        "    ETRN:",
        "        Support for RMQS (Remote Message Queue Starting)",
        "    DSN:",
        "        Support for Delivery Status Notifications",
        "    STARTTLS:",
        "        Support for TLS encryption via the STARTTLS command",
        "    AUTH:",
        "        Supported authentication methods:",
        "        PLAIN LOGIN XOAUTH2 ",
        "This server might advertise more or other capabilities when TLS is active.",
    ]
    assert server.sessions[0].transcript.client.endswith(b"QUIT\r\n")


def test_serverinfo_describes_session_and_certificate_under_tls(tmp_path):
    with ScriptedServer(Polite(extensions=(), starttls=True)) as server:
        run = msmtp(tmp_path, account(server.port, "tls on\ntls_certcheck off\nauth on\nuser joe"), "-S")
    assert run.code == 0, run.err
    assert "\nTLS session parameters:\n    (TLS1.3)-(" in run.out
    assert "\nTLS certificate information:\n    Subject:\n" in run.out
    assert "\n        SHA256: " in run.out
    assert "    STARTTLS:\n" in run.out
    assert b"AUTH" not in server.sessions[0].transcript.client


def test_serverinfo_of_a_server_without_anything(tmp_path):
    with ScriptedServer(Polite(extensions=())) as server:
        run = msmtp(tmp_path, account(server.port), "-S")
    assert run.out.splitlines()[1:] == ["    scripted.example ready", "No special capabilities."]


def test_serverinfo_shows_no_control_characters_of_the_server(tmp_path):
    with ScriptedServer(Polite(extensions=(), replies={"greeting": b"220 a\x1b[2Jb\x07\r\n"})) as server:
        run = msmtp(tmp_path, account(server.port), "-S")
    assert run.out.splitlines()[1] == "    a?[2Jb?"


# -- --rmqs


@pytest.mark.parametrize(
    ("answer", "code"), [("250 ok", 0), ("253 ok", 0), ("458 no", 69), ("501 no", 65), ("500 no", 65)]
)
@pytest.mark.parametrize("argument", ["host.example", "@example.org", "#queue"])
def test_rmqs_asks_as_it_is_told_and_reports_the_answer(tmp_path, answer, code, argument):
    with ScriptedServer(Polite(extensions=("ETRN",), replies={"ETRN": answer})) as server:
        run = msmtp(tmp_path, account(server.port), f"--rmqs={argument}")
    assert run.code == code, run.err
    assert f"ETRN {argument}\r\n".encode() in server.sessions[0].transcript.client


def test_rmqs_authenticates_where_the_account_says_so(tmp_path):
    with ScriptedServer(Polite(extensions=("ETRN",), mechanisms=["PLAIN"])) as server:
        text = account(server.port, "auth plain\nuser joe\npassword secret")
        assert msmtp(tmp_path, text, "--rmqs=x").code == 0
    assert server.sessions[0].user == b"joe"


def test_rmqs_of_a_server_without_etrn_is_refused_here(tmp_path):
    with ScriptedServer(Polite(extensions=())) as server:
        run = msmtp(tmp_path, account(server.port), "--rmqs=x")
    assert run.code == 69
    assert run.err == "msmtp: the server does not support Remote Message Queue Starting\n"


# -- texts


def test_help_and_version_name_what_there_is():
    for option, words in (("--help", "--serverinfo"), ("--version", "Authentication library")):
        done = subprocess.run([*MSMTP, option], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert words in done.stdout


def test_output_that_cannot_be_written_is_an_error():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*MSMTP, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 74
    assert done.stderr == "msmtp: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize("address", ["", "joe", "@example.org", "joe@", "a b@example.org", "a@b\nhost evil"])
def test_configure_wants_an_address(address):
    done = subprocess.run([*MSMTP, f"--configure={address}"], capture_output=True, text=True, check=False)
    assert done.returncode in (64, 65)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_pretend_prints_an_asterisk_for_the_password_and_connects_to_nobody(tmp_path):
    run = msmtp(tmp_path, account(1, "auth plain\nuser joe\npassword hunter2"), "-P", "jane@example.net")
    assert run.code == 0, run.err
    assert "password = *\n" in run.out
    assert "hunter2" not in run.out + run.err


def test_debug_prints_the_conversation_and_the_sandbox(tmp_path):
    with ScriptedServer(Polite()) as server:
        run = msmtp(tmp_path, account(server.port), "-d", "jane@example.net")
    assert "<-- 220 scripted.example ready\n--> EHLO localhost\n<-- 250-" in run.out
    assert "\n--> RCPT TO:<jane@example.net>\n" in run.out
    assert "\n--> How are you?\n--> .\n<-- 250 2.0.0 taken\n--> QUIT\n" in run.out
    assert "sandbox: role sender\n" in run.out
    assert "seccomp filter sender." in run.out
    assert "NOT in force: seccomp" not in run.out


def test_a_closed_standard_error_is_no_reason_to_fail(tmp_path):
    with ScriptedServer(Polite()) as server:
        rc = configuration(tmp_path, account(server.port))
        command = " ".join([*MSMTP, "-C", str(rc), "--logfile=/nonexistent/x", "jane@example.net", "2>&-"])
        done = subprocess.run(["/bin/sh", "-c", command], input=MAIL, check=False)
    assert done.returncode == 0
    assert len(server.sessions[0].mails) == 1


def test_a_closed_standard_input_is_no_empty_mail(tmp_path):
    rc = configuration(tmp_path, account(1))
    command = " ".join([*MSMTP, "-C", str(rc), "jane@example.net", "<&-"])
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 74
    assert done.stderr == "msmtp: cannot read the mail from standard input: Bad file descriptor\n"


def test_python_dash_m_is_the_same_program():
    done = subprocess.run([sys.executable, "-m", "msmtp", "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("msmtp version ")
