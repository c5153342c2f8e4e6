"""How to bring a client into each state of TRANSITIONS, and one command for each verb."""

from __future__ import annotations

from msmtp.smtp import transitions as t
from msmtp.smtp.client import ClientConnection
from msmtp.smtp.commands import (
    Auth,
    AuthCancel,
    AuthResponse,
    Data,
    Ehlo,
    Etrn,
    Expn,
    Helo,
    Help,
    Lhlo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
)

OFFER = b"250-mail.example\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-SIZE 1000\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"

#: One command for each verb that a client can say; chunks and content have doors of their own.
COMMANDS = {
    b"EHLO": Ehlo(b"me.example"),
    b"HELO": Helo(b"me.example"),
    b"LHLO": Lhlo(b"me.example"),
    b"MAIL": Mail(b"a@b.example"),
    b"RCPT": Rcpt(b"c@d.example"),
    b"DATA": Data(),
    b"AUTH": Auth(b"PLAIN"),
    b"(response)": AuthResponse(b"\0u\0p"),
    b"(cancel)": AuthCancel(),
    b"STARTTLS": StartTls(),
    b"RSET": Rset(),
    b"NOOP": Noop(),
    b"QUIT": Quit(),
    b"VRFY": Vrfy(b"x"),
    b"EXPN": Expn(b"x"),
    b"HELP": Help(),
    b"ETRN": Etrn(b"x"),
}

_GREETED = [(None, b"220 hi\r\n")]
_READY = [*_GREETED, (b"EHLO", OFFER)]
_SENDER = [*_READY, (b"MAIL", b"250 ok\r\n")]
_RECIPIENT = [*_SENDER, (b"RCPT", b"250 ok\r\n")]
_CHUNK = [*_RECIPIENT, (b"BDAT", b"250 ok\r\n")]

#: The steps and their replies that lead to each state.
WAYS = {
    t.CONNECTED: [],
    t.REFUSED: [(None, b"554 no\r\n")],
    t.GREETED: _GREETED,
    t.READY: _READY,
    t.CHALLENGED: [*_READY, (b"AUTH", b"334 \r\n")],
    t.SENDER: _SENDER,
    t.RECIPIENT: _RECIPIENT,
    t.DATA: [*_RECIPIENT, (b"DATA", b"354 go\r\n")],
    t.CHUNK: _CHUNK,
    t.FAILED: [*_RECIPIENT, (b"BDAT", b"452 no\r\n")],
    t.HANDSHAKE: [*_READY, (b"STARTTLS", b"220 go\r\n")],
    t.CLOSED: [*_READY, (b"QUIT", b"221 bye\r\n")],
}


def say(client: ClientConnection, step: bytes | None) -> bytes:
    """Let the client say a step; None: it says nothing (the greeting)."""
    if step is None:
        return b""
    if step == b"(tls)":
        client.starttls_done()
        return b""
    if step in (b"BDAT", b"BDAT LAST"):
        return client.bdat(b"text\n", last=step == b"BDAT LAST")
    if step == b"(content)":
        return client.data(b"text\n") + client.end_data()
    return client.send(COMMANDS[step])


def client_in(state: str, protocol: str = "smtp") -> ClientConnection:
    """A client that has come to a state by the shortest way."""
    client = ClientConnection(protocol)
    for step, reply in WAYS[state]:
        say(client, b"LHLO" if protocol == "lmtp" and step == b"EHLO" else step)
        assert len(list(client.receive(reply))) == 1
    assert client.state == state
    return client
