"""A client and a server of msmtp.smtp talk to each other, without a network: what one says, the other hears.

    python examples/in_memory.py

prints the dialogue and the mail that arrived.  A real program puts a socket in place of the two byte strings.
"""

from __future__ import annotations

import sys
from pathlib import Path

try:
    import msmtp  # noqa: F401 - only to see whether it is installed
except ImportError:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from msmtp.smtp.client import ClientConnection, ReplyReceived
from msmtp.smtp.commands import Command, Data, Ehlo, Mail, Quit, Rcpt
from msmtp.smtp.server import CommandReceived, DataFinished, DataReceived, ServerConnection, Transaction
from msmtp.smtp.server_replies import REPLIES

MAIL = b"From: joe@example.org\nTo: jane@example.net\nSubject: dots\n\n.\n..\nThat was two lines of dots.\n"


class Server:
    """Takes mail for jane."""

    def __init__(self) -> None:
        self.connection = ServerConnection(b"mail.example.net")
        self.transaction: Transaction | None = None
        self.content = b""
        self.mails: list[tuple[bytes, list[bytes], bytes]] = []

    def hear(self, data: bytes) -> bytes:
        """Take bytes from the client; give the bytes that answer them."""
        said = b""
        for event in self.connection.receive(data):
            if isinstance(event, (DataReceived, DataFinished)) and event.transaction is not self.transaction:
                # What came in chunks of a transaction that was given up is not part of this mail.
                self.transaction, self.content = event.transaction, b""
            if isinstance(event, DataReceived):
                self.content += event.block
                continue
            reply = event.reply
            if isinstance(event, CommandReceived) and isinstance(event.command, Rcpt):
                known = event.command.recipient.startswith(b"jane@")
                reply = event.reply if known else REPLIES["no such recipient"]
            if isinstance(event, DataFinished) and not event.defects:
                transaction = event.transaction
                recipients = [command.recipient for command in transaction.recipients]
                self.mails.append((transaction.mail.sender, recipients, self.content))
            assert reply is not None  # only content has none
            said += self.connection.reply(reply)
        return said


class Client:
    """Sends one mail."""

    def __init__(self, server: Server) -> None:
        self.connection = ClientConnection()
        self.server = server
        self.hear(server.connection.greet())

    def hear(self, data: bytes) -> list[ReplyReceived]:
        """Take bytes from the server; give the replies in them."""
        for line in data.splitlines():
            print("S:", line.decode())
        return list(self.connection.receive(data))

    def say(self, data: bytes) -> list[ReplyReceived]:
        """Write bytes to the server and read what comes back."""
        for line in data.splitlines():
            print("C:", line.decode())
        return self.hear(self.server.hear(data))

    def send(self, *commands: Command) -> list[ReplyReceived]:
        """Say commands, all at once."""
        return self.say(b"".join(self.connection.send(command) for command in commands))

    def mail(self, sender: bytes, recipients: list[bytes], content: bytes) -> None:
        """Send a mail to those who are known there."""
        self.send(Ehlo(b"client.example.org"))
        size = b"%d" % (len(content) + content.count(b"\n"))
        envelope = [Mail(sender, ((b"SIZE", size),)), *(Rcpt(recipient) for recipient in recipients)]
        *_, go_ahead = self.send(*envelope, Data())
        transaction = self.connection.transaction
        assert transaction is not None  # MAIL began it
        for recipient, reply in transaction.refused:
            print(f"   {recipient.decode()} is refused: {reply.text().decode()}")
        if go_ahead.reply.code == 354:  # noqa: PLR2004 - the one reply that asks for the mail
            self.say(self.connection.data(content) + self.connection.end_data())
        self.send(Quit())


def main() -> None:
    """Send one mail to two recipients, of whom one is not known."""
    server = Server()
    Client(server).mail(b"joe@example.org", [b"jane@example.net", b"john@example.net"], MAIL)
    for sender, recipients, content in server.mails:
        print(f"\nMail from {sender.decode()} for {b', '.join(recipients).decode()}:\n")
        print(content.decode().replace("\r\n", "\n"), end="")


if __name__ == "__main__":
    main()
