"""Clients that others wrote against the bare server core, over a socket: smtplib and curl."""

from __future__ import annotations

import shutil
import smtplib
import socket
import subprocess
import threading

import pytest

from msmtp.smtp.commands import AuthResponse
from msmtp.smtp.server import DEFAULT_OFFERS, CommandReceived, DataFinished, DataReceived, ServerConnection
from msmtp.smtp.server_replies import REPLIES, challenge

TEXT = "From: a@b.example\nSubject: dots\n\n.\n..\nlast line\n"
CONTENT = TEXT.replace("\n", "\r\n").encode()
SECRET = b"\0user\0secret"


class Listener:
    """The server core behind a socket, for one session."""

    def __init__(self):
        self.server = ServerConnection(b"mail.example", offers=(*DEFAULT_OFFERS, b"AUTH PLAIN LOGIN"))
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.mails = []
        self.refused = []
        self.content = b""
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(20)
        self.socket.close()

    def serve(self):
        connection, _ = self.socket.accept()
        with connection:
            connection.settimeout(20)
            connection.sendall(self.server.greet())
            while self.server.state != "closed":
                for event in self.server.receive(connection.recv(4096)):
                    if reply := self.answer(event):
                        connection.sendall(self.server.reply(reply))

    def answer(self, event):
        if isinstance(event, DataReceived):
            self.content += event.block
            return None
        if isinstance(event, DataFinished):
            mail = event.transaction
            self.mails.append((mail.mail, [command.recipient for command in mail.recipients], self.content))
            self.content = b""
        elif not isinstance(event, CommandReceived):
            self.refused.append(event)
        elif event.command.verb == b"AUTH":
            return REPLIES["authenticated"] if event.command.initial == SECRET else challenge()
        elif isinstance(event.command, AuthResponse):
            return REPLIES["authenticated" if event.command.response == SECRET else "auth refused"]
        return event.reply


def test_smtplib():
    with Listener() as listener, smtplib.SMTP("127.0.0.1", listener.port, timeout=20) as client:
        assert client.ehlo("me.example")[0] == 250
        assert client.has_extn("smtputf8")
        client.login("user", "secret")
        assert client.vrfy("x")[0] == 252
        assert client.noop()[0] == 250
        options = ["BODY=8BITMIME", "RET=HDRS", "ENVID=a+2Bb"]
        client.sendmail("a@b.example", ["c@d.example", "e@f.example"], CONTENT, options, ["NOTIFY=NEVER"])
        client.sendmail("ä@b.example", ["ö@d.example"], "Subject: ü\n\n.ü\r\n".encode(), ["SMTPUTF8", "BODY=8BITMIME"])
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("a@b.example", ["not an address @ at all"], CONTENT)
    assert [(mail.sender, recipients, content) for mail, recipients, content in listener.mails] == [
        (b"a@b.example", [b"c@d.example", b"e@f.example"], CONTENT),
        ("ä@b.example".encode(), ["ö@d.example".encode()], "Subject: ü\r\n\r\n.ü\r\n".encode()),
    ]
    assert dict(listener.mails[0][0].parameters)[b"ENVID"] == b"a+2Bb"
    assert len(listener.refused) == 1


def test_curl(tmp_path):
    curl = shutil.which("curl")
    assert curl, "curl is not installed"
    (tmp_path / "mail").write_bytes(CONTENT)
    with Listener() as listener:
        command = [curl, "-sS", f"smtp://127.0.0.1:{listener.port}/me.example", "--user", "user:secret"]
        command += ["--mail-from", "a@b.example", "--mail-rcpt", "c@d.example", "--mail-rcpt", "e@f.example"]
        done = subprocess.run([*command, "-T", tmp_path / "mail"], capture_output=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
    ((mail, recipients, content),) = listener.mails
    assert (mail.sender, recipients, content) == (b"a@b.example", [b"c@d.example", b"e@f.example"], CONTENT)
    assert listener.refused == []
