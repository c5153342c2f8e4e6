"""The job that msmtpd is for: mail from any client, by the default command, through msmtp, to a server.

    msmtpd --port 2500 --auth=user,cmd --command='msmtp -f %F --'

Run warm (by a fork of what has the sender loaded) and cold (msmtp started anew), which must not be told apart.
"""

from __future__ import annotations

import os
import re
import smtplib

import pytest
from tests.support import abuse, certificates
from tests.support.daemon import NOBODY, Msmtpd, launcher
from tests.support.scripted import Polite, ScriptedServer

MAIL = "From: a@b.example\nSubject: Grüße\n\nHo\n.\n..two\n".encode()
CONTENT = MAIL.replace(b"\n", b"\r\n")
RC = """
defaults
tls on
tls_starttls on
tls_trust_file {authority}
auth plain
user joe
password secret
logfile {folder}/sent
timeout 20

account default
host localhost
port {port}
from other@b.example
allow_from_override on
"""

CALLS = (
    *("sendto:error=ENOBUFS", "pidfd_open:error=ENFILE", "clone:error=EAGAIN", "sendmsg:error=ENOBUFS"),
    *("read:error=EIO", "waitid:error=EINTR", "wait4:error=EINTR", "pipe2:error=EMFILE", "socketpair:error=EMFILE"),
)
"""Calls of delivery that fail: with the first two, the command runs by then, or has."""


class WholeJob(Msmtpd):
    """msmtpd with the default command, whose user has msmtp's configuration; in the words of the issue's line."""

    def __init__(self, server: ScriptedServer, *options: str, **more: object) -> None:
        super().__init__("--auth=user,printf secret", *options, command="msmtp -f %F --", **more)  # type: ignore[arg-type]
        if os.geteuid() == 0:
            self.uid = NOBODY
        self.server = server

    def prepare(self) -> None:
        super().prepare()
        home = self.folder / "home"
        home.mkdir()
        (home / ".msmtprc").write_text(
            RC.format(authority=certificates.localhost().authority, port=self.server.port, folder=home)
        )
        (home / ".msmtprc").chmod(0o600)
        launcher(self.folder, "msmtp", for_others=self.uid is not None)
        if os.geteuid() == 0:
            for path in (home, home / ".msmtprc"):
                os.chown(path, NOBODY, NOBODY)
        self.environment = {"HOME": str(home), "PATH": f"{self.folder}:/usr/bin:/bin"}

    def sent(self) -> str:
        """msmtp's own log."""
        path = self.folder / "home" / "sent"
        return path.read_text() if path.exists() else ""


@pytest.fixture(autouse=True)
def _readable_authority():
    """Whoever msmtpd runs as may read the certificate of the authority."""
    file = certificates.localhost().authority
    file.parent.chmod(0o755)
    file.chmod(0o644)


@pytest.mark.parametrize("way", ["--warm=on", "--warm=off"])
def test_the_main_job(way):
    """Envelope, parameters and content get to the server; its refusal gets to the client."""
    polite = Polite(starttls=True, mechanisms=("PLAIN",), extensions=("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN"))
    with ScriptedServer(polite) as server:
        with WholeJob(server, way, expected=["answered 554", "answered 451"]) as daemon, daemon.smtp() as client:
            client.login("user", "secret")
            client.sendmail(
                "a@b.example", ["c@d.example", "e@f.example"], CONTENT,
                ["BODY=8BITMIME", "RET=HDRS", "ENVID=abc"], ["NOTIFY=FAILURE"],
            )  # fmt: skip
            polite.replies["RCPT"] = "550 5.1.1 who is that?"
            with pytest.raises(smtplib.SMTPDataError) as never:
                client.sendmail("a@b.example", "nobody@d.example", CONTENT)
            polite.replies["RCPT"] = "451 4.2.0 not now"
            with pytest.raises(smtplib.SMTPDataError) as later:
                client.sendmail("a@b.example", "c@d.example", CONTENT)
            by = re.findall(r" taken in [\d.]+ s by (\S+)", daemon.log())
            sent = daemon.sent()
        assert never.value.args[0] == 554
        assert later.value.args[0] == 451
        assert [line.split("exitcode=")[1] for line in sent.splitlines()] == ["EX_OK", "EX_DATAERR", "EX_TEMPFAIL"]
        assert by == ["msmtp"]
        (mail,) = server.mails
    assert mail.sender == b"<a@b.example>"
    assert mail.recipients == [b"<c@d.example>", b"<e@f.example>"]
    assert set(mail.sender_parameters.split()) == {b"BODY=8BITMIME", b"SMTPUTF8", b"RET=HDRS", b"ENVID=abc"}
    head, _, rest = mail.data.partition(b"\r\nFrom: ")
    assert re.search(rb"(?m)^Received: from client\.example \(\[127\.0\.0\.1\]\) by .* with ESMTPA id ", head)
    assert b"From: " + rest == CONTENT


@pytest.mark.parametrize("way", ["--warm=on", "--warm=off"])
def test_a_server_that_is_not_there_is_no_end_of_a_mail(way):
    with ScriptedServer(Polite()) as server:
        pass
    with WholeJob(server, way, expected=["answered 451"]) as daemon, daemon.smtp() as client:
        client.login("user", "secret")
        with pytest.raises(smtplib.SMTPDataError) as later:
            client.sendmail("a@b.example", "c@d.example", CONTENT)
        assert later.value.args[0] == 451


@pytest.mark.root
def test_fault_46_52_a_call_of_delivery_that_fails_sends_no_mail_twice(tmp_path):
    """Who is told 250 has the mail sent, and nobody else, as whoever is not told sends it again.

    Warm: the process that sends runs already when delivery asks for what tells of its end.
    """
    told = {}
    with ScriptedServer(Polite(starttls=True, mechanisms=("PLAIN",))) as server:
        with WholeJob(server, "--warm=on", expected=["answered 4", "hangs up", "cannot", "ended with"]) as daemon:
            for call in CALLS:
                with abuse.injected(daemon.process_of("delivery"), f"{call}:when=1..2", folder=tmp_path):
                    for number in range(3):
                        subject = f"{call.replace(':', ' ')} {number}".encode()
                        told[subject] = tell(daemon, subject)
        arrived = [match[1] for mail in server.mails if (match := re.search(rb"Subject: (.+)\r\n", mail.data))]
    assert sorted(arrived) == sorted(subject for subject, code in told.items() if code == 250)
    assert [code for subject, code in told.items() if subject[:5] in {b"sendt", b"pidfd"}] == [250] * 6


def tell(daemon: Msmtpd, subject: bytes) -> int:
    """Send a mail; the code that is told of it, 0 for none."""
    try:
        with daemon.smtp() as client:
            client.login("user", "secret")
            client.sendmail("a@b.example", "c@d.example", b"Subject: " + subject + b"\r\n\r\nho\r\n")
            return 250
    except smtplib.SMTPResponseException as failure:
        return failure.smtp_code
    except (OSError, smtplib.SMTPServerDisconnected):
        return 0
