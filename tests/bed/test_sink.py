"""The sink of the demo, judged by clients that are not ours: smtplib and the C program."""

import smtplib
import socket

import pytest
from scripts.sink import Sink
from tests.support import certificates
from tests.support.upstream import run_upstream

USERS = {b"joe": b"secret"}
MAIL = b"From: me@example.org\r\nSubject: hi\r\n\r\n.dot\r\n..\r\nlast\r\n"


def context():
    return certificates.localhost().client_context()


def test_a_plain_mail():
    with Sink() as sink, smtplib.SMTP("127.0.0.1", sink.port, timeout=10) as client:
        client.sendmail("me@example.org", ["a@example.org", "b@example.org"], MAIL)
    (mail,) = sink.mails
    assert (mail.sender, mail.recipients) == (b"me@example.org", [b"a@example.org", b"b@example.org"])
    assert mail.content == MAIL
    assert mail.tls == ""


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("mechanism", ["plain", "login"])
def test_tls_and_a_password(implicit, mechanism):
    with Sink(users=USERS, tls=certificates.localhost().server_context(), implicit=implicit) as sink:
        if implicit:
            client = smtplib.SMTP_SSL("127.0.0.1", sink.port, timeout=10, context=context())
        else:
            client = smtplib.SMTP("127.0.0.1", sink.port, timeout=10)
            client.starttls(context=context())
        with client:
            client.user, client.password = "joe", "secret"
            client.ehlo()
            client.auth(mechanism, getattr(client, f"auth_{mechanism}"))
            client.sendmail("me@example.org", ["a@example.org"], MAIL)
    assert (sink.mails[0].user, sink.mails[0].mechanism.lower()) == ("joe", mechanism)
    assert sink.mails[0].tls == "TLSv1.3"


# Debian 13's msmtp 1.8.28 ends with "GNU SASL: Error authenticating user" before its first word, whatever the server.
SCRAM = pytest.param("scram-sha-256", marks=pytest.mark.releases("bookworm"))


@pytest.mark.parametrize("method", ["plain", "login", SCRAM])
def test_the_c_program_signs_in(method):
    with Sink(users=USERS, tls=certificates.localhost().server_context()) as sink:
        options = [
            "-C/dev/null",
            "--host=localhost",
            f"--port={sink.port}",
            "-fme@example.org",
            "--tls=on",
            "--user=joe",
        ]
        options += [
            f"--tls-trust-file={certificates.localhost().authority}",
            f"--auth={method}",
            "--passwordeval=echo secret",
        ]
        done = run_upstream([*options, "a@example.org"], MAIL.replace(b"\r\n", b"\n"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert sink.mails[0].content.endswith(MAIL.partition(b"\r\n")[2])
    assert sink.mails[0].mechanism.lower() == method


def test_without_a_password_nobody_sends_and_a_wrong_one_is_refused():
    with Sink(users=USERS) as sink, smtplib.SMTP("127.0.0.1", sink.port, timeout=10) as client:
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.sendmail("me@example.org", ["a@example.org"], MAIL)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("joe", "wrong")
    assert sink.mails == []


def test_lmtp_answers_for_each_recipient():
    with Sink(protocol="lmtp") as sink, socket.create_connection(("127.0.0.1", sink.port)) as client:
        client.recv(100)
        client.sendall(b"LHLO x\r\n")
        client.recv(1000)
        client.sendall(b"MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n")
        while b"354 " not in client.recv(1000):
            pass
        client.sendall(b"x: y\r\n\r\n.\r\n")
        said = b""
        while said.count(b"\r\n") < 2:
            said += client.recv(100)
        client.sendall(b"QUIT\r\n")
        while client.recv(100):
            pass
    assert said.count(b"250 2.0.0 ") == 2
    assert len(sink.mails) == 1


def test_content_of_a_mail_before_does_not_stay():
    with Sink() as sink, smtplib.SMTP("127.0.0.1", sink.port, timeout=10) as client:
        for subject in (b"one", b"two"):
            client.sendmail("me@example.org", ["a@example.org"], b"Subject: " + subject + b"\r\n\r\n")
    assert [mail.content for mail in sink.mails] == [b"Subject: one\r\n\r\n", b"Subject: two\r\n\r\n"]
