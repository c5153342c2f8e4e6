"""Client and server joined in memory: what goes in at one end comes out at the other, however the bytes are cut."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.support.chunks import cut, places

from msmtp.smtp.client import ClientConnection
from msmtp.smtp.commands import Data, Ehlo, Lhlo, Mail, Quit, Rcpt, Rset
from msmtp.smtp.server import CommandReceived, DataFinished, DataReceived, ServerConnection
from msmtp.smtp.server_replies import REPLIES

TOP = Path(__file__).parents[2]


class Link:
    """A client and a server; every byte string is cut at the same places on its way."""

    def __init__(self, where, protocol="smtp"):
        self.where = where
        self.client = ClientConnection(protocol)
        self.server = ServerConnection(b"mail.example", protocol=protocol)
        self.content = b""
        self.mails = []
        self.to_client(self.server.greet())

    def to_client(self, data):
        return [event for piece in filter(None, cut(data, self.where)) for event in self.client.receive(piece)]

    def say(self, data):
        return self.to_client(b"".join(map(self.to_server, filter(None, cut(data, self.where)))))

    def to_server(self, data):
        said = b""
        for event in self.server.receive(data):
            if isinstance(event, DataReceived):
                self.content += event.block
            if isinstance(event, DataFinished):
                self.mails.append((event.transaction, self.content, event.defects))
                self.content = b""
            unknown = isinstance(event, CommandReceived) and event.command.line().startswith(b"RCPT TO:<unknown")
            while self.server.awaits_reply:
                said += self.server.reply(REPLIES["no such recipient"] if unknown else event.reply)
        return said


texts = st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"..", b"word"]), max_size=12).map(b"".join)
letters = st.tuples(
    st.sampled_from([b"", b"a@b", b'"a b"@c']),
    st.lists(st.sampled_from([b"c@d", b"e@f", b"unknown@d"]), min_size=1, max_size=4),
    texts,
    st.booleans(),
)


@given(st.lists(letters, max_size=4), places, st.sampled_from(["smtp", "lmtp"]))
def test_every_mail_arrives_as_it_was_sent(mails, where, protocol):
    link = Link(where, protocol)
    client = link.client
    link.say(client.send(Ehlo(b"me") if protocol == "smtp" else Lhlo(b"me")))
    expected = []
    for sender, recipients, text, chunks in mails:
        envelope = client.send(Mail(sender)) + b"".join(client.send(Rcpt(recipient)) for recipient in recipients)
        known = [recipient for recipient in recipients if not recipient.startswith(b"unknown")]
        if chunks and known:
            half = len(text) // 2
            replies = link.say(envelope + client.bdat(text[:half], last=False) + client.bdat(text[half:], last=True))
        else:
            replies = link.say(envelope + client.send(Data()))
            if known:
                replies += link.say(client.data(text) + client.end_data())
        assert client.pending == ()
        assert client.state == link.server.state
        assert client.transaction.accepted == known
        if known:
            expected.append((sender, known, text))
            ends = [event.recipient for event in replies if event.recipient is not None]
            assert ends == (known if protocol == "lmtp" else [])
        else:
            link.say(client.send(Rset()))
    link.say(client.send(Quit()))
    assert client.state == link.server.state == "closed"
    assert [(t.mail.sender, [r.recipient for r in t.recipients]) for t, _, _ in link.mails] == [e[:2] for e in expected]
    for (_, content, defects), (*_, text) in zip(link.mails, expected, strict=True):
        assert defects == ()
        assert content == normal(text)


def normal(text):
    """What the client makes of any text: CRLF line ends, a bare CR a space, the last line ended."""
    if text.endswith(b"\r"):
        text += b"\n"
    text = text.replace(b"\r\n", b"\n").replace(b"\r", b" ")
    if text and not text.endswith(b"\n"):
        text += b"\n"
    return text.replace(b"\n", b"\r\n")


def test_the_example_runs():
    command = [sys.executable, "-I", TOP / "examples" / "in_memory.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, env={"LC_ALL": "C.UTF-8"})
    assert done.stderr == ""
    assert "\nC: RCPT TO:<john@example.net>\n" in done.stdout
    assert "\n   john@example.net is refused: 5.1.1 No such recipient\n" in done.stdout
    assert "\nC: ...\nC: That was two lines of dots.\nC: .\nS: 250 2.0.0 Mail accepted\n" in done.stdout
    assert done.stdout.endswith(
        "\nMail from joe@example.org for jane@example.net:\n\nFrom: joe@example.org\nTo: jane@example.net\n"
        "Subject: dots\n\n.\n..\nThat was two lines of dots.\n"
    )
