"""The bare client core against real servers: groups, chunks behind the envelope, LMTP, refusals."""

from __future__ import annotations

import socket

import pytest

from msmtp.smtp.client import END_OF_DATA, ClientConnection
from msmtp.smtp.commands import Bdat, Data, Ehlo, Lhlo, Mail, Quit, Rcpt, Rset

KNOWN, UNKNOWN = b"joe@example.org", b"unknown@example.org"
TEXT = b"Subject: dots\n\n.\n..\n.x\nlast line"
BODY = b".\r\n..\r\n.x\r\nlast line\r\n"

with_groups = pytest.mark.parametrize("server", ["postfix", "exim"], indirect=True)
with_lmtp = pytest.mark.parametrize("server", ["dovecot"], indirect=True)


@pytest.fixture
def server(request):
    return request.getfixturevalue(request.param)


class Line:
    """A client core with a socket."""

    def __init__(self, port, protocol="smtp"):
        self.client = ClientConnection(protocol)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)

    def __enter__(self):
        self.replies()
        hello = Ehlo if self.client.protocol == "smtp" else Lhlo
        self.say(self.client.send(hello(b"client.example")))
        return self

    def __exit__(self, *_):
        self.socket.close()

    def replies(self):
        events = []
        while self.client.pending:
            events += self.client.receive(self.socket.recv(65536))
        return events

    def say(self, data):
        self.socket.sendall(data)
        return self.replies()

    def envelope(self, *recipients):
        return self.client.send(Mail(KNOWN)) + b"".join(self.client.send(Rcpt(recipient)) for recipient in recipients)


def severities(events):
    return [event.reply.severity for event in events]


def bodies(server, count):
    """What was delivered, without the header, to which servers add fields."""
    return sorted(delivery.content.partition(b"\r\n\r\n")[2] for delivery in server.deliveries(count))


@with_groups
def test_groups_that_begin_with_content_and_end_with_quit(server):
    """RFC 2920, 3.1: two mails in three writes, QUIT behind the last dot."""
    with Line(server.ports["smtp"]) as line:
        client = line.client
        assert severities(line.say(line.envelope(KNOWN, UNKNOWN) + client.send(Data()))) == [2, 2, 5, 3]
        assert client.transaction.accepted == [KNOWN]
        group = client.data(TEXT) + client.end_data() + line.envelope(KNOWN) + client.send(Data())
        assert severities(line.say(group)) == [2, 2, 2, 3]
        replies = line.say(client.data(b"Subject: two\n\nsecond\n") + client.end_data() + client.send(Quit()))
        assert [(event.command, event.reply.severity) for event in replies] == [(END_OF_DATA, 2), (Quit(), 2)]
    assert bodies(server, 2) == [BODY, b"second\r\n"]


@with_groups
def test_chunks_behind_the_envelope_in_one_write(server):
    with Line(server.ports["smtp"]) as line:
        client = line.client
        assert client.extensions.has(b"CHUNKING")
        chunks = client_chunks(line, TEXT[:20], TEXT[20:])
        assert severities(line.say(chunks + client.send(Quit()))) == [2] * 5
    assert bodies(server, 1) == [BODY]


def client_chunks(line, *blocks):
    octets = line.envelope(KNOWN)
    for block in blocks[:-1]:
        octets += line.client.bdat(block, last=False)
    return octets + line.client.bdat(blocks[-1], last=True)


@with_groups
def test_chunks_for_nobody_are_refused_and_rset_clears_them(server):
    with Line(server.ports["smtp"]) as line:
        client = line.client
        replies = line.say(line.envelope(UNKNOWN) + client.bdat(b"DATA\nQUIT\n", last=True))
        assert severities(replies) == [2, 5, 5]
        assert isinstance(replies[-1].command, Bdat)
        line.say(client.send(Rset()))
        assert severities(line.say(client_chunks(line, TEXT))) == [2, 2, 2]
    assert bodies(server, 1) == [BODY]


@with_lmtp
@pytest.mark.parametrize("chunks", [False, True])
def test_lmtp_has_a_reply_for_each_recipient(server, chunks):
    with Line(server.ports["lmtp"], "lmtp") as line:
        client = line.client
        recipients = [KNOWN, UNKNOWN, b"ann@example.org"]
        if chunks:
            assert client.extensions.has(b"CHUNKING")
            replies = line.say(line.envelope(*recipients) + client.bdat(TEXT, last=True))[4:]
        else:
            line.say(line.envelope(*recipients) + client.send(Data()))
            replies = line.say(client.data(TEXT) + client.end_data())
        assert [(event.recipient, event.reply.severity) for event in replies] == [(KNOWN, 2), (recipients[2], 2)]
        assert severities(line.say(client.send(Quit()))) == [2]
    assert set(bodies(server, 2)) == {BODY}
