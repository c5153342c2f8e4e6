"""Dialogues: sessions written down as they appear on the wire, to be run against anything that speaks SMTP.

tests/smtp/dialogues/README.md describes the format.  This module reads it and runs it against the bare cores; a program
that listens can be held to the same files by sending each flight and comparing what comes back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from msmtp.smtp.client import ClientConnection
from msmtp.smtp.commands import AuthCancel, AuthResponse, Bdat, Command
from msmtp.smtp.extensions import EXTENSIONS
from msmtp.smtp.incoming import Unstuffer
from msmtp.smtp.limits import Limits
from msmtp.smtp.parsing import parse_command, parse_response
from msmtp.smtp.replies import Reply  # noqa: TC001 - tests do not mind the import
from msmtp.smtp.server import (
    DEFAULT_OFFERS,
    CommandReceived,
    CommandRefused,
    DataFinished,
    DataReceived,
    Event,
    ServerConnection,
    Transaction,
)
from msmtp.smtp.server_replies import REPLIES, challenge
from msmtp.smtp.transitions import CHALLENGED, CLOSED, CONTENT, HANDSHAKE

FOLDER = Path(__file__).parent.parent / "smtp" / "dialogues"
USER, PASSWORD = b"user", b"secret"


@dataclass
class Mail:
    """A mail that must arrive: the envelope and the content, with CRLF line ends."""

    sender: bytes
    recipients: list[bytes]
    content: bytes = b""


@dataclass
class Flight:
    """What one side sends before it waits.  ``side``: "C", "S", "TLS" (a handshake) or "END" (the connection is over)."""

    side: str
    octets: bytes = b""


@dataclass
class Dialogue:
    """A file.  ``side``: "both", "server" (the client is hostile) or "client" (the server is)."""

    name: str
    side: str = "both"
    protocol: str = "smtp"
    strict: bool = False
    offers: tuple[bytes, ...] = DEFAULT_OFFERS
    limits: dict[str, int] = field(default_factory=dict)
    flights: list[Flight] = field(default_factory=list)
    mails: list[Mail] = field(default_factory=list)
    failure: str = ""

    def say(self, side: str, octets: bytes = b"") -> None:
        """Add octets to the flight of this side, or begin a new one."""
        if side in ("C", "S") and self.flights and self.flights[-1].side == side:
            self.flights[-1].octets += octets
        else:
            self.flights.append(Flight(side, octets))


def unescaped(text: str) -> bytes:
    r"""\r \n \0 \t \\ \xHH stand for octets; all else is UTF-8."""
    return re.sub(
        rb"\\(x[0-9a-fA-F]{2}|.)",
        lambda match: (
            bytes([int(match[1][1:], 16)])
            if match[1][:1] == b"x"
            else {b"r": b"\r", b"n": b"\n", b"0": b"\0", b"t": b"\t", b"\\": b"\\"}[match[1]]
        ),
        text.encode(),
    )


def read(path: Path) -> Dialogue:
    """Read a dialogue file.  A line that is not of the format raises ValueError or KeyError."""
    dialogue = Dialogue(path.stem)
    for line in path.read_text().splitlines():
        mark, _, rest = line.partition(" ")
        if mark in _WIRE:
            dialogue.say(mark[:1], unescaped(rest) + _WIRE[mark])
        elif mark in _CONTENT:
            dialogue.mails[-1].content += unescaped(rest) + _CONTENT[mark]
        elif mark in ("TLS", "END"):
            dialogue.say(mark)
        elif mark in _SETTINGS:
            _SETTINGS[mark](dialogue, rest)
        elif line and not line.startswith("#"):
            raise ValueError(f"{path}: {line}")
    return dialogue


def _mail(dialogue: Dialogue, rest: str) -> None:
    sender, _, recipients = rest.partition(" -> ")
    dialogue.mails.append(Mail(unescaped(sender)[1:-1], [unescaped(word) for word in recipients.split()]))


def _failure(dialogue: Dialogue, rest: str) -> None:
    dialogue.failure = rest


def _set(dialogue: Dialogue, rest: str) -> None:
    name, _, value = rest.partition(" ")
    if name == "offers":
        dialogue.offers = tuple(word.replace("_", " ").encode() for word in value.split())
    elif name == "strict":
        dialogue.strict = value == "on"
    elif name in ("side", "protocol"):
        setattr(dialogue, name, value)
    else:
        dialogue.limits[name] = int(value)


_WIRE = {"C:": b"\r\n", "S:": b"\r\n", "C~": b"", "S~": b""}
_CONTENT = {"|": b"\r\n", "|~": b""}
_SETTINGS = {"MAIL": _mail, "FAILURE": _failure, "set": _set}


def dialogues(side: str) -> list[Dialogue]:
    """All dialogues that a "server" or a "client" can be held to."""
    found = [read(path) for path in sorted(FOLDER.glob("*.txt"))]
    return [dialogue for dialogue in found if dialogue.side in ("both", side)]


# -- the server


class Mailbox:
    """A server that answers as the README says, and keeps the mails it accepted."""

    def __init__(self, dialogue: Dialogue) -> None:
        self.server = ServerConnection(
            b"mail.example",
            protocol=dialogue.protocol,
            offers=dialogue.offers,
            limits=Limits(**dialogue.limits),
            strict=dialogue.strict,
        )
        self.mails: list[Mail] = []
        self.transaction: Transaction | None = None
        self.content = b""
        self.user = b""

    def take(self, data: bytes) -> bytes:
        """Take octets, give the answers."""
        written = b""
        for event in self.server.receive(data):
            if isinstance(event, DataReceived):
                self.begin(event.transaction)
                self.content += event.block
            while self.server.awaits_reply:
                written += self.server.reply(self.answer(event))
            if isinstance(event, DataFinished):
                self.keep(event)
        return written

    def begin(self, transaction: Transaction) -> None:
        """Forget what came of a transaction that was given up."""
        if transaction is not self.transaction:
            self.transaction, self.content = transaction, b""

    def keep(self, event: DataFinished) -> None:
        self.begin(event.transaction)
        if event.reply and event.reply.severity == 2:
            mail = event.transaction.mail
            recipients = [command.recipient for command in event.transaction.recipients]
            self.mails.append(Mail(mail.sender, recipients, self.content))

    def answer(self, event: Event) -> Reply:
        assert event.reply is not None
        if isinstance(event, CommandRefused) or not isinstance(event, CommandReceived):
            return event.reply
        command = event.command
        if command.verb == b"RCPT" and command.recipient.startswith(b"unknown"):
            return REPLIES["no such recipient"]
        if command.verb == b"MAIL" and command.sender.startswith(b"later"):
            return REPLIES["local error"]
        if command.verb == b"AUTH":
            return self.authenticate(command.mechanism, command.initial)
        return self.respond(command.response) if isinstance(command, AuthResponse) else event.reply

    def authenticate(self, mechanism: bytes, initial: bytes | None) -> Reply:
        self.user = b""
        if mechanism == b"LOGIN" and initial is None:
            return challenge(b"Username:")
        return challenge() if initial is None else self.respond(initial)

    def respond(self, response: bytes) -> Reply:
        if b"\0" not in response and not self.user:
            self.user = response
            return challenge(b"Password:")
        user, password = response.split(b"\0")[-2:] if b"\0" in response else (self.user, response)
        return REPLIES["authenticated" if (user, password) == (USER, PASSWORD) else "auth refused"]


def play_to_server(dialogue: Dialogue, cut) -> tuple[list[Flight], list[Mail]]:
    """Play the client's side to the bare server, each flight in the pieces that ``cut`` makes; what was heard."""
    mailbox = Mailbox(dialogue)
    heard = [Flight("S", mailbox.server.greet())]
    for flight in dialogue.flights:
        if flight.side == "C":
            heard.append(flight)
            written = b"".join(mailbox.take(piece) for piece in cut(flight.octets))
            if written:
                heard.append(Flight("S", written))
        elif flight.side == "TLS":
            mailbox.server.starttls_done()
            heard.append(flight)
    if mailbox.server.state == CLOSED:
        heard.append(Flight("END"))
    return heard, mailbox.mails


# -- the client

_ALL = frozenset(row.keyword for row in EXTENSIONS)


def play_to_client(dialogue: Dialogue, cut) -> tuple[list[Flight], str]:
    """Let the bare client say its side and play the server's side to it; what it said, and its failure if it failed."""
    client = ClientConnection(dialogue.protocol)
    said: list[Flight] = []
    failure = ""
    for flight in dialogue.flights:
        if flight.side == "S":
            failure = _listen(client, cut(flight.octets))
            said.append(flight)
        elif flight.side == "C":
            said.append(Flight("C", _speak(client, flight.octets)))
        elif flight.side == "TLS":
            client.starttls_done()
            said.append(flight)
    if client.state == CLOSED:
        said.append(Flight("END"))
    return said, failure


def _listen(client: ClientConnection, pieces: list[bytes]) -> str:
    try:
        for piece in pieces:
            for _ in client.receive(piece):
                pass
        if client.state == HANDSHAKE:
            client.check_quiet()
    except Exception as failure:
        return f"{type(failure).__name__}: {failure}"
    return ""


def _speak(client: ClientConnection, octets: bytes) -> bytes:
    """Let the client say what these octets say: its own encoding of the same commands and content."""
    said = b""
    while octets:
        if CONTENT in _in_order(client):
            content, rest = Unstuffer().feed(octets)
            assert rest is not None, "content without its end"
            said += client.data(content) + client.end_data()
            octets = rest
            continue
        line, _, octets = octets.partition(b"\r\n")
        command = parse_response(line) if client.state == CHALLENGED else parse_command(line, _ALL, utf8=True)
        if isinstance(command, Bdat):
            said += client.bdat(octets[: command.size], last=command.last)
            octets = octets[command.size :]
        else:
            said += _send(client, command)
    return said


def _send(client: ClientConnection, command: Command) -> bytes:
    assert not isinstance(command, AuthCancel) or client.state == CHALLENGED
    return client.send(command)


def _in_order(client: ClientConnection) -> tuple[bytes, ...]:
    return (CONTENT,) if client.state == "data" and not client.pending else ()
