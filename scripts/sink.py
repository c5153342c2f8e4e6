#!/usr/bin/env python3
"""An SMTP (or LMTP) server that takes every mail and sends none: what the demo and tests send to.

    scripts/sink.py --port 2525 --certificate FILE --key FILE --user joe --password-file FILE --folder mails/

It speaks the protocol with msmtp's own server half (msmtp.smtp.server, msmtp.sasl.server) and offers all that it has:
STARTTLS if there is a certificate, or TLS from the start; AUTH PLAIN, LOGIN and SCRAM-SHA-256 if there are users, and
then takes no mail without.  Each mail is printed as it came, and kept in the folder if one is given.  It is for
trying things out: mails are held in memory, and nobody is kept from filling it.

In Python: ``with Sink(users={b"joe": b"secret"}, tls=context) as sink: ... sink.port ... sink.mails``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from msmtp.sasl import server as sasl
from msmtp.smtp.commands import Auth, AuthCancel, AuthResponse, Mail, Rcpt
from msmtp.smtp.server import (
    DEFAULT_OFFERS,
    ChunkFinished,
    CommandReceived,
    CommandRefused,
    DataFinished,
    DataReceived,
    Event,
    ServerConnection,
)
from msmtp.smtp.server_replies import REPLIES, challenge
from msmtp.smtp.transitions import CLOSED, HANDSHAKE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.smtp.replies import Reply

BLOCK = 1 << 16
PATIENCE = 60.0  # seconds that a session waits for its client

OUTCOMES = {
    sasl.ACCEPTED: REPLIES["authenticated"],
    sasl.REFUSED: REPLIES["auth refused"],
    sasl.MALFORMED: REPLIES["bad base64"],
}


class ReceivedMail:
    """One mail: its envelope, its content with CRLF line ends, and how it came (``tls``, ``mechanism``, ``user``)."""

    def __init__(self, sender: Mail, recipients: list[Rcpt], content: bytes, session: Session) -> None:
        self.sender = sender.sender
        self.sender_parameters = sender.parameters
        self.recipients = [recipient.recipient for recipient in recipients]
        self.content = content
        self.tls = session.tls_version
        self.mechanism = session.mechanism.decode()
        self.user = session.user.decode()

    def text(self) -> str:
        """The mail for people: what the envelope and the session were, then the content."""
        recipients = b", ".join(b"<" + recipient + b">" for recipient in self.recipients)
        rows = [
            f"sender:     <{self.sender.decode(errors='replace')}>",
            f"recipients: {recipients.decode(errors='replace')}",
            f"TLS:        {self.tls or 'none'}",
            f"signed in:  {f'{self.user} by {self.mechanism}' if self.user else 'no'}",
        ]
        content = self.content.decode(errors="replace").replace("\r\n", "\n")
        return "\n".join(rows) + "\n\n" + content


class Session:
    """One connection, served by a thread until it ends."""

    def __init__(self, sink: Sink, connection: socket.socket) -> None:
        self.sink = sink
        self.socket = connection
        self.tls_version = ""
        self.mechanism = b""
        self.user = b""
        self.blocks: list[bytes] = []
        self.exchange: sasl.ServerMechanism | None = None
        self.protocol = ServerConnection(b"sink.example", protocol=sink.protocol, offers=sink.offers())

    def serve(self) -> None:
        """Run the session; a client that goes, or breaks TLS, ends it."""
        try:
            self.socket.settimeout(PATIENCE)
            if self.sink.implicit:
                self._start_tls()
            self.socket.sendall(self.protocol.greet())
            while self.protocol.state != CLOSED:
                self._step(self.socket.recv(BLOCK))
        except OSError:
            pass
        finally:
            self.socket.close()

    def _step(self, data: bytes) -> None:
        """Answer what came, in one write."""
        answers = b"".join(self._answer(event) for event in self.protocol.receive(data))
        if answers:
            self.socket.sendall(answers)
        if self.protocol.state == HANDSHAKE:
            self._start_tls()
            self.protocol.starttls_done()

    def _start_tls(self) -> None:
        assert self.sink.tls
        self.socket = self.sink.tls.wrap_socket(self.socket, server_side=True)
        self.tls_version = self.socket.version() or ""

    def _answer(self, event: Event) -> bytes:
        if isinstance(event, DataReceived):
            self.blocks.append(event.block)
            return b""
        if isinstance(event, DataFinished):
            return self._take(event)
        assert isinstance(event, CommandReceived | CommandRefused | ChunkFinished)
        assert event.reply
        return self.protocol.reply(self._decide(event) if isinstance(event, CommandReceived) else event.reply)

    def _decide(self, event: CommandReceived) -> Reply:
        """The answer to a command: the connection's own, but for authentication."""
        command = event.command
        assert event.reply
        if isinstance(command, Auth):
            self.mechanism = command.mechanism
            self.exchange = sasl.create(command.mechanism, self.sink.lookup, secret=self.sink.secret, nonce=_nonce())
            return self._exchange_reply(self.exchange.start(command.initial))
        if isinstance(command, AuthResponse) and self.exchange:
            return self._exchange_reply(self.exchange.next(command.response))
        if isinstance(command, AuthCancel):
            return REPLIES["auth cancelled"]
        if isinstance(command, Mail):
            self.blocks = []
            if self.sink.users and not self.user:
                return REPLIES["auth required"]
        return event.reply

    def _exchange_reply(self, question: bytes | None) -> Reply:
        if question is not None:
            return challenge(question)
        assert self.exchange
        self.user = self.exchange.user
        return OUTCOMES[self.exchange.outcome]

    def _take(self, event: DataFinished) -> bytes:
        """Keep the mail and answer for it, under LMTP once for each recipient."""
        assert event.reply
        transaction = event.transaction
        content, self.blocks = b"".join(self.blocks), []
        if not event.defects:
            self.sink.take(ReceivedMail(transaction.mail, transaction.recipients, content, self))
        times = len(transaction.recipients) if self.sink.protocol == "lmtp" else 1
        return b"".join(self.protocol.reply(event.reply) for _ in range(times))


def _nonce() -> bytes:
    return os.urandom(18).hex().encode()


class Sink:
    """Listens on ``address`` and ``port`` (0: a free one) from ``with`` on; ``mails`` are what came, in order.

    ``users``: name to password; with any, nobody sends mail without AUTH. ``tls``: a context makes it offer STARTTLS,
    or with ``implicit`` begin with TLS. ``protocol``: "smtp" or "lmtp". ``on_mail`` is called with each mail, in its
    session's thread, before the client gets its answer.
    """

    def __init__(  # noqa: PLR0913 - settings, all by keyword
        self,
        *,
        users: Mapping[bytes, bytes] | None = None,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        protocol: str = "smtp",
        address: str = "127.0.0.1",
        port: int = 0,
        on_mail: Callable[[ReceivedMail], None] | None = None,
    ) -> None:
        self.users = {name: sasl.Verifier.of(word, os.urandom(16)) for name, word in (users or {}).items()}
        self.tls = tls
        self.implicit = implicit
        self.protocol = protocol
        self.address = address
        self.port = port
        self.on_mail = on_mail
        self.secret = os.urandom(32)
        self.mails: list[ReceivedMail] = []
        self._threads: list[threading.Thread] = []

    def offers(self) -> tuple[bytes, ...]:
        """What EHLO is answered with."""
        starttls = (b"STARTTLS",) if self.tls and not self.implicit else ()
        return DEFAULT_OFFERS + starttls + ((b"AUTH " + b" ".join(sasl.MECHANISMS),) if self.users else ())

    def lookup(self, user: bytes) -> sasl.Verifier | None:
        """What is known of a user's password."""
        return self.users.get(user)

    def take(self, mail: ReceivedMail) -> None:
        """Keep a mail."""
        if self.on_mail:
            self.on_mail(mail)
        self.mails.append(mail)

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self._listener = socket.create_server((self.address, self.port), family=family, backlog=64)
        self.port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="sink", daemon=True)
        self._acceptor.start()
        return self

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                thread = threading.Thread(target=Session(self, connection).serve, name="sink-session", daemon=True)
                self._threads = [one for one in self._threads if one.is_alive()] + [thread]
                thread.start()

    def wait(self) -> None:
        """Serve until somebody interrupts."""
        self._acceptor.join()

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--address", default="127.0.0.1", help="IP address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--port-file", type=Path, help="file to write the port to, once it is listened on")
    parser.add_argument("--certificate", type=Path, help="PEM file of the certificate; with it, TLS is offered")
    parser.add_argument("--key", type=Path, help="PEM file of the certificate's key")
    parser.add_argument("--tls", action="store_true", help="begin with TLS instead of offering STARTTLS")
    parser.add_argument("--lmtp", action="store_true", help="speak LMTP")
    parser.add_argument("--user", help="who may send; with it, nobody else may")
    parser.add_argument("--password-file", type=Path, help="file with the user's password in its first line")
    parser.add_argument("--folder", type=Path, help="folder to keep mails in, one file each")
    return parser.parse_args()


def main() -> None:
    """Serve until SIGTERM or Ctrl-C, printing each mail."""
    options = _arguments()
    context = None
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
    users = {}
    if options.user:
        users[options.user.encode()] = options.password_file.read_bytes().split(b"\n")[0]
    count = 0

    def keep(mail: ReceivedMail) -> None:
        nonlocal count
        count += 1
        print(f"-- mail {count}\n{mail.text()}", flush=True)
        if options.folder:
            options.folder.mkdir(parents=True, exist_ok=True)
            partial = options.folder / f".{count}"
            partial.write_bytes(mail.text().encode())
            partial.rename(options.folder / f"{count}")

    sink = Sink(
        users=users,
        tls=context,
        implicit=options.tls,
        protocol="lmtp" if options.lmtp else "smtp",
        address=options.address,
        port=options.port,
        on_mail=keep,
    )
    with contextlib.suppress(KeyboardInterrupt), sink:
        print(f"listening on {sink.address}, port {sink.port}", flush=True)
        if options.port_file:
            options.port_file.write_text(f"{sink.port}\n")
        sink.wait()


if __name__ == "__main__":
    main()
