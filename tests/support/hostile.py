"""What must hold of every run of msmtp, whatever a server, a file or the system does to it; and servers that do much.

A run is watched from outside: its exit code is one of sysexits(3), what it says and logs is whole lines of printable
text, there is no traceback and no fault of ours, it ends in time and in little memory, and it does not claim to have
sent what the server did not take.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.processes import metered
from tests.support.scripted import Gone, Session
from tests.support.sending import MAIL, MSMTP, configuration

SYSEXITS = {0, *range(64, 79)}
MEMORY = 96 * 1024 * 1024  # octets; a run that meets no resistance takes 20 MiB, OpenSSL's share included
FAULTS = ("Traceback", "internal error", "Exception", "Error:")


@dataclass
class Watched:
    """What came of a run.  ``memory``: the most it had, in octets; ``seconds``: how long it took."""

    code: int
    out: bytes
    err: bytes
    log: bytes
    memory: int
    seconds: float

    def check(self, *, seconds: float = 10.0) -> None:
        """Fail if anything of what must hold does not."""
        assert self.code in SYSEXITS, self
        text = self.err.decode()
        assert not any(fault in text for fault in FAULTS), self
        assert all(line.startswith("msmtp: ") and line.isprintable() for line in text.split("\n")[:-1]), self
        assert text == "" or text.endswith("\n"), self
        assert bool(text) == bool(self.code), self
        logged = self.log.decode()
        assert logged.count("\n") <= 1, self
        assert logged.removesuffix("\n").isprintable(), self
        assert self.memory < MEMORY, self
        assert self.seconds < seconds, self


def watch(
    folder: Path,
    text: str,
    arguments: Sequence[str] = ("jane@example.net",),
    *,
    mail: bytes = MAIL,
    seconds: float = 30.0,
    environment: dict[str, str] | None = None,
) -> Watched:
    """Run msmtp with a configuration and a log; after ``seconds`` it is ended."""
    log = folder / "log"
    log.unlink(missing_ok=True)
    file = configuration(folder, f"{text}\nlogfile {log}\n")
    with (
        (folder / "mail").open("w+b") as source,
        (folder / "err").open("w+b") as err,
        (folder / "out").open("w+b") as out,
    ):
        source.write(mail)
        source.seek(0)
        start = time.monotonic()
        process = subprocess.Popen(
            metered([*MSMTP, "-C", str(file), *arguments], folder / "memory"), start_new_session=True,
            stdin=source, stdout=out, stderr=err, env={**os.environ, **(environment or {})},
        )  # fmt: skip
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        took = time.monotonic() - start
        err.seek(0)
        out.seek(0)
        said, printed = err.read(), out.read()
    written = log.read_bytes() if log.exists() else b""
    memory = int((folder / "memory").read_text()) if process.returncode >= 0 else 0
    return Watched(process.returncode, printed, said, written, memory, took)


# -- servers

Step = Callable[[Session, random.Random], None]

GREETING = b"220 hello\r\n"
EHLO = b"250-hello\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250-AUTH PLAIN LOGIN SCRAM-SHA-256\r\n250 CHUNKING\r\n"
REPLIES = (GREETING, EHLO, b"334 \r\n", b"235 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 taken\r\n", b"221 bye\r\n", b"421 x\r\n", b"550 no\r\n")  # fmt: skip
ODD = (
    b"\0", b"\r", b"\n", b"\r\n", b"\x1b[31m", b"\xff", b"\xe2\x80\xae", b"250-", b"250 ", b"2", b" ", b"-", b"334 ", b"=" * 7,
    b"A" * 600, b"250-x\r\n" * 40, b"999 x\r\n", b"25", b"\x80\x2e\x01\x03\x01", b"\x15\x03\x03\x00\x02\x02\x28", "\u2028".encode(),
)  # fmt: skip


def mutated(source: random.Random) -> bytes:
    """A reply with something done to it."""
    reply = bytearray(source.choice(REPLIES))
    for _ in range(source.choice((0, 0, 1, 1, 2, 5))):
        place = source.randrange(len(reply) + 1)
        change = source.randrange(4)
        if change == 0:
            reply[place:place] = source.choice(ODD)
        elif change == 1 and place < len(reply):
            reply[place] ^= 1 << source.randrange(8)
        elif change == 2:
            del reply[place : place + source.randrange(4)]
        else:
            reply[place:place] = source.randbytes(source.randrange(20))
    return bytes(reply)


def conversation(seed: int) -> Callable[[Session], None]:
    """A server that says one reply or another, often broken, at any time, and ends as it likes."""

    def play(session: Session) -> None:
        source = random.Random(seed)
        proper = [GREETING, EHLO]
        for _ in range(source.randrange(1, 14)):
            reply = proper.pop(0) if proper and source.random() < 0.8 else mutated(source)
            if source.random() < 0.3:
                for octet in reply[:300]:
                    send(session, bytes((octet,)))
            else:
                send(session, reply)
            if source.random() < 0.8:
                with contextlib.suppress(TimeoutError):
                    hear(session, 0.05)
            if source.random() < 0.05:
                session.reset()
            if source.random() < 0.05:
                return
        if source.random() < 0.5:
            hear(session, 0.3)

    return play


def send(session: Session, data: bytes) -> None:
    """Send octets now."""
    try:
        session.socket.sendall(data)
    except OSError:
        raise Gone from None


def hear(session: Session, seconds: float) -> bytes:
    """What the client says within some time."""
    session.socket.settimeout(seconds)
    try:
        data = session.socket.recv(65536)
    except TimeoutError:
        return b""
    except OSError:
        raise Gone from None
    finally:
        session.socket.settimeout(None)
    if not data:
        raise Gone
    return data


def flood(data: bytes, *, after: Sequence[bytes] = (GREETING,), limit: int = 1 << 30) -> Callable[[Session], None]:
    """A server that, after some replies, says the same for ever and listens to nothing."""

    def play(session: Session) -> None:
        for reply in after:
            send(session, reply)
            hear(session, 2)
        block = data * (1 + 65536 // len(data))
        sent = 0
        while sent < limit:
            send(session, block)
            sent += len(block)

    return play


def drip(data: bytes, pause: float, *, after: Sequence[bytes] = ()) -> Callable[[Session], None]:
    """A server that says an octet now and then, always in time, and never comes to an end."""

    def play(session: Session) -> None:
        for reply in after:
            send(session, reply)
            hear(session, 2)
        while True:
            for octet in data:
                send(session, bytes((octet,)))
                time.sleep(pause)

    return play


# -- somebody on the way


class Meddler:
    """Passes a connection on to a port, and does something to what the server says, at an octet that ``seed`` decides."""

    WAYS = ("flip", "insert", "drop", "reset", "end", "alert")

    def __init__(self, port: int, seed: int, reach: int) -> None:
        self.port = port
        source = random.Random(seed)
        self.place = source.randrange(reach)
        self.way = source.choice(self.WAYS)
        self.size = source.choice((1, 7, 300, 65536))
        self.octets = source.randbytes(source.randrange(1, 40))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)
        self.own_port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.join(20)
        self.listener.close()

    def serve(self) -> None:
        with (
            contextlib.suppress(OSError),
            self.listener.accept()[0] as client,
            socket.create_connection(("127.0.0.1", self.port)) as server,
        ):
            up = threading.Thread(target=self.pass_on, args=(client, server), daemon=True)
            up.start()
            with contextlib.suppress(OSError):
                self.meddle(server, client)
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            up.join(10)

    @staticmethod
    def pass_on(client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def meddle(self, server: socket.socket, client: socket.socket) -> None:
        passed = 0
        while data := server.recv(self.size):
            place = self.place - passed
            passed += len(data)
            if not 0 <= place < len(data):
                client.sendall(data)
                continue
            before, at, behind = data[:place], data[place], data[place + 1 :]
            if self.way == "flip":
                data = before + bytes((at ^ 1 << self.octets[0] % 8,)) + behind
            elif self.way == "insert":
                data = before + self.octets + data[place:]
            elif self.way == "drop":
                data = before + data[place + len(self.octets) :]
            elif self.way == "alert":
                data = before + b"\x15\x03\x03\x00\x02\x02" + self.octets[:1]
            else:
                client.sendall(before)
                if self.way == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.close()
                return
            client.sendall(data)
