r"""A scripted SMTP server on loopback: it plays what the test wrote, and keeps what went over the wire.

It knows no SMTP rules of its own, uses none of msmtp's code, and answers in as many pieces, as late, or as wrongly as
the test asks; so it can judge msmtp and any other client alike.  Two ways to say what it plays::

    # 1. A server with manners; single answers replaced, in turn if there are several (the last one stays).
    with ScriptedServer(Polite(extensions=("PIPELINING", "SIZE 1000"), replies={"RCPT": ["250 ok", "550 5.1.1 who?"]})) as server:
        run_the_client(server.port)
    session = server.sessions[0]
    assert session.mails[0].recipients == [b"<a@example.org>"]
    assert session.transcript.flights == 4

    # 2. The conversation itself.  C: lines are patterns (* ? [..]); the test fails where the client says something else.
    with ScriptedServer(dialogue('''
        S: 220 hello
        C: EHLO *
        S: 250-hello
        S: 250 SIZE
        C: MAIL FROM:<joe@example.org>*
        PAUSE 0.2
        S: 421 4.3.2 going down
        DROP
    ''')) as server: ...

    # 3. Or any function of a Session: session.say(b"22"), session.line(), session.start_tls(), session.reset() ...

Polite's keywords of ``replies``: "greeting", the verbs ("EHLO", "MAIL", "AUTH", ...), "message" (after the final dot or
BDAT LAST) and "AUTH 2" (what follows the client's answer to a 334).  A value is str (lines joined by \n, CRLF is added),
bytes (sent as they are), :class:`Say` (in chunks, with pauses), DROP, RESET, HANG, or a list of these.

Flights: how often the client waited for the server. Replies are held back until the client has been silent for
``quiet`` seconds, so writes that do not wait fall into one flight; an answer that the client did not stay for (QUIT and
close) is none. The round trip of a TLS handshake is not in ``flights``; ``transcript.handshakes`` counts those.
"""

from __future__ import annotations

import base64
import contextlib
import fnmatch
import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.support import certificates

PATIENCE = 20.0  # seconds a session waits for its client before the test fails


class Action:
    """Something else than an answer."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


DROP = Action("DROP")  # close the connection (FIN)
RESET = Action("RESET")  # abort the connection (RST)
HANG = Action("HANG")  # say nothing more until the client goes


@dataclass(frozen=True)
class Say:
    """An answer with a way of being said: the sizes of its ``chunks`` (the last repeats), ``pause`` before each."""

    text: str | bytes
    chunks: tuple[int, ...] = ()
    pause: float = 0.0
    then: Action | None = None


Answer = str | bytes | Say | Action


def wire(text: str | bytes) -> bytes:
    """Lines as they go over the wire: str is split at line ends and gets CRLFs, bytes stay."""
    if isinstance(text, bytes):
        return text
    return b"".join(line.encode() + b"\r\n" for line in text.split("\n"))


class Turn:
    """What one side said before the other did. ``side``: "C" or "S"; ``tls``: said under TLS."""

    def __init__(self, side: str, data: bytes, *, tls: bool = False) -> None:
        self.side = side
        self.tls = tls
        self._pieces = [data]  # joined when somebody looks: a mail of a gigabyte has many

    def add(self, data: bytes) -> None:
        """Say more."""
        self._pieces.append(data)

    @property
    def data(self) -> bytes:
        """All of it."""
        self._pieces[:] = [b"".join(self._pieces)]
        return self._pieces[0]

    def __repr__(self) -> str:
        return f"Turn({self.side!r}, {self.data!r}, tls={self.tls})"


@dataclass
class Transcript:
    """Everything said in a session, in order."""

    turns: list[Turn] = field(default_factory=list)
    handshakes: int = 0

    def add(self, side: str, data: bytes, *, tls: bool) -> None:
        if self.turns and self.turns[-1].side == side and self.turns[-1].tls == tls:
            self.turns[-1].add(data)
        elif data:
            self.turns.append(Turn(side, data, tls=tls))

    @property
    def flights(self) -> int:
        """How often the client waited for the server (without TLS handshakes)."""
        return sum(turn.side == "S" for turn in self.turns)

    @property
    def client(self) -> bytes:
        """All that the client said."""
        return b"".join(turn.data for turn in self.turns if turn.side == "C")

    @property
    def server(self) -> bytes:
        """All that the server said."""
        return b"".join(turn.data for turn in self.turns if turn.side == "S")

    def text(self) -> str:
        """For comparing and reading: a line each, ``C: ``/``S: `` before it (``C* `` under TLS), other bytes escaped."""
        rows = []
        for turn in self.turns:
            mark = turn.side + ("* " if turn.tls else ": ")
            lines = turn.data.split(b"\r\n")
            rows += [mark + line.decode("latin-1").encode("unicode_escape").decode() for line in lines[:-1]]
            if lines[-1]:
                rows.append(mark + lines[-1].decode("latin-1").encode("unicode_escape").decode() + " (no CRLF)")
        return "\n".join(rows)


@dataclass
class Mail:
    """One mail as the server took it; addresses with their angle brackets, data with the dots unstuffed."""

    sender: bytes
    sender_parameters: bytes = b""
    recipients: list[bytes] = field(default_factory=list)
    recipient_parameters: list[bytes] = field(default_factory=list)
    data: bytes = b""


class Gone(Exception):  # noqa: N818 - an event, not an error
    """The client has closed its side."""


class Closing(ssl.SSLSocket):
    """A socket that closes itself: Python forgets one of a client that has reset the connection before the handshake."""

    def __del__(self) -> None:
        self.close()


class Session:
    """One connection, as the behaviour sees it."""

    def __init__(self, server: ScriptedServer, connection: socket.socket, peer: object) -> None:
        self.server = server
        self.socket = connection
        self.peer = peer
        self.transcript = Transcript()
        self.mails: list[Mail] = []
        self.user: bytes | None = None
        self.tls: ssl.SSLSocket | None = None
        self.error: BaseException | None = None
        self.client_closed = False
        self.finished = False  # the behaviour came to its end
        self.memory: dict[str, object] = {}  # for behaviours
        self._input = bytearray()
        self._output = bytearray()

    # reading

    def _fill(self, seconds: float) -> bool:
        """Wait for bytes from the client; False after ``seconds`` of silence. Raises Gone at its end of file."""
        if self.client_closed:
            raise Gone
        if not (self.tls and self.tls.pending()):
            poll = select.poll()
            poll.register(self.socket, select.POLLIN)
            if not poll.poll(seconds * 1000):
                return False
        try:
            data = self.socket.recv(1 << 16)
        except (ConnectionError, ssl.SSLError):
            data = b""
        self._quick_acknowledgement()
        if not data:
            self.client_closed = True
            raise Gone
        self._input += data
        self.transcript.add("C", data, tls=self.tls is not None)
        return True

    def _quick_acknowledgement(self) -> None:
        if self.socket.family in {socket.AF_INET, socket.AF_INET6}:
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _read_until(self, enough: Callable[[bytearray], int]) -> bytes:
        """Bytes up to the position that ``enough`` finds (0: not yet); what is to be said is said before waiting."""
        while not (end := enough(self._input)):
            if self._output and self._fill(self.server.quiet):
                continue
            self.flush()
            if not self._fill(self.server.patience):
                raise TimeoutError(f"the client said nothing for {self.server.patience} s\n{self.transcript.text()}")
        data = bytes(self._input[:end])
        del self._input[:end]
        return data

    def line(self) -> bytes:
        """The client's next line, line end included."""
        return self._read_until(lambda got: got.find(b"\n") + 1)

    def exactly(self, size: int) -> bytes:
        """The client's next ``size`` bytes."""
        return self._read_until(lambda got: size if len(got) >= size else 0) if size else b""

    def data(self) -> bytes:
        """The client's mail up to the final dot, which is left out; still dot-stuffed."""
        if bytes(self._read_ahead(3)) == b".\r\n":
            self.exactly(3)
            return b""
        seen = 0

        def end(got: bytearray) -> int:
            nonlocal seen
            found = got.find(b"\r\n.\r\n", max(0, seen - 4))
            seen = len(got)
            return found + 5 if found >= 0 else 0

        return self._read_until(end)[:-3]

    def _read_ahead(self, size: int) -> bytes:
        while len(self._input) < size:
            self.flush()
            if not self._fill(self.server.patience):
                raise TimeoutError("the client's mail does not come")
        return bytes(self._input[:size])

    def until_gone(self) -> bytes:
        """Everything until the client closes."""
        self.flush()
        with contextlib.suppress(Gone):
            while self._fill(self.server.patience):
                pass
        data, self._input = bytes(self._input), bytearray()
        return data

    # writing

    def say(self, answer: Answer) -> None:
        """Answer; plain answers wait until the client does, :class:`Say` with chunks or pauses goes out at once."""
        if answer is DROP:
            self.flush()
            raise Gone
        if answer is RESET:
            self.reset()
        if answer is HANG:
            self.until_gone()
            raise Gone
        if isinstance(answer, Say):
            self.flush()
            self._say_in_pieces(answer)
            if answer.then:
                self.say(answer.then)
        elif isinstance(answer, str | bytes):
            self._output += wire(answer)

    def _say_in_pieces(self, answer: Say) -> None:
        data, sizes = wire(answer.text), list(answer.chunks) or [1 << 20]
        while data:
            size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
            piece, data = data[:size], data[size:]
            if answer.pause:
                time.sleep(answer.pause)
            self._send(piece)

    def _send(self, data: bytes) -> None:
        self.transcript.add("S", data, tls=self.tls is not None)
        try:
            self.socket.sendall(data)
        except OSError:
            raise Gone from None

    def flush(self) -> None:
        """Send what has been said so far."""
        data, self._output = bytes(self._output), bytearray()
        if data:
            self._send(data)

    def wait_quiet(self) -> None:
        """Give the client the time to go, or to say more, before what has been said so far is sent."""
        while self._fill(self.server.quiet):
            pass

    # connection

    def start_tls(self) -> None:
        """Take the client's TLS handshake. What the client sent in clear behind STARTTLS stays to be read: a test's matter."""
        self.flush()
        self.socket.settimeout(self.server.patience)
        if isinstance(self.server.tls, ssl.SSLContext):
            self.server.tls.sslsocket_class = Closing
        self.tls = self.server.tls.wrap_socket(self.socket, server_side=True, suppress_ragged_eofs=True)
        self.socket = self.tls
        self.transcript.handshakes += 1

    def reset(self) -> None:
        """Abort the connection with RST."""
        self.flush()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.close()


Behaviour = Callable[[Session], None]


class Polite:
    """A server with manners; see the head of this file.

    ``extensions`` are the lines of the EHLO answer; STARTTLS (if ``starttls``) and AUTH (if ``mechanisms``) are added.
    ``users``: user name to password, for PLAIN and LOGIN; other mechanisms through ``replies``.  ``lmtp``: LHLO, and an
    answer for each accepted recipient after the mail (keyword "message", in turn).
    """

    def __init__(
        self,
        *,
        extensions: Iterable[str] = ("PIPELINING", "8BITMIME", "SMTPUTF8"),
        starttls: bool = False,
        mechanisms: Iterable[str] = (),
        users: Mapping[bytes, bytes] | None = None,
        replies: Mapping[str, Answer | list[Answer]] | None = None,
        lmtp: bool = False,
        name: str = "scripted.example",
        each: Say | None = None,
    ) -> None:
        self.extensions = tuple(extensions)
        self.starttls = starttls
        self.mechanisms = tuple(mechanisms)
        self.users = dict(users or {b"joe": b"secret"})
        self.replies = dict(replies or {})
        self.lmtp = lmtp
        self.name = name
        self.each = each  # how every answer is said, its text aside

    def __call__(self, session: Session) -> None:
        session.memory = {"mail": None, "said": {}}
        self.answer(session, "greeting", f"220 {self.name} ready")
        while True:
            line = session.line()
            verb, _, rest = line.rstrip(b"\r\n").partition(b" ")
            name = verb.decode("latin-1").upper()
            handler = getattr(self, "do_" + name.lower(), None)
            if handler is None:
                self.answer(session, name, "502 5.5.1 what?")
            else:
                handler(session, rest)
            if name == "QUIT":
                session.wait_quiet()
                return

    def answer(self, session: Session, keyword: str, default: Answer) -> bool:
        """Say what the test wants said here, else ``default``; whether it was a positive answer (2xx, 3xx)."""
        return self.say(session, keyword, default) in {b"2", b"3"}

    def say(self, session: Session, keyword: str, default: Answer) -> bytes:
        """The same; returns the first digit of what was said."""
        chosen = self.replies.get(keyword, default)
        if isinstance(chosen, list):
            said: dict[str, int] = session.memory["said"]  # type: ignore[assignment]
            turn = said.get(keyword, 0)
            said[keyword] = turn + 1
            chosen = chosen[min(turn, len(chosen) - 1)]
        if self.each and isinstance(chosen, str | bytes):
            chosen = Say(chosen, self.each.chunks, self.each.pause)
        session.say(chosen)
        return wire(chosen.text if isinstance(chosen, Say) else chosen)[:1] if not isinstance(chosen, Action) else b""

    def capabilities(self, session: Session) -> str:
        """The EHLO answer."""
        lines = [self.name, *self.extensions]
        if self.starttls and not session.tls:
            lines.append("STARTTLS")
        if self.mechanisms:
            lines.append("AUTH " + " ".join(self.mechanisms))
        return "\n".join(
            f"250{'-' if more else ' '}{line}" for more, line in zip(range(len(lines) - 1, -1, -1), lines, strict=True)
        )

    def do_ehlo(self, session: Session, _: bytes) -> None:
        session.memory["mail"] = None
        keyword = "EHLO tls" if session.tls and "EHLO tls" in self.replies else "EHLO"
        self.answer(session, keyword, self.capabilities(session))

    def do_lhlo(self, session: Session, _: bytes) -> None:
        session.memory["mail"] = None
        self.answer(session, "LHLO", self.capabilities(session))

    def do_helo(self, session: Session, _: bytes) -> None:
        self.answer(session, "HELO", f"250 {self.name}")

    def do_starttls(self, session: Session, _: bytes) -> None:
        if self.answer(session, "STARTTLS", "220 2.0.0 go ahead"):
            session.start_tls()

    def do_auth(self, session: Session, rest: bytes) -> None:
        mechanism, _, initial = rest.partition(b" ")
        if "AUTH" in self.replies:
            said = self.say(session, "AUTH", "")
            while said == b"3":
                session.line()
                said = self.say(session, "AUTH 2", "535 5.7.8 wrong")
            return
        parts = self._plain(session, initial) if mechanism.upper() == b"PLAIN" else self._login(session, initial)
        user, password = parts
        if self.users.get(user) == password:
            session.user = user
            session.say("235 2.7.0 welcome")
        else:
            session.say("535 5.7.8 wrong")

    def _plain(self, session: Session, initial: bytes) -> tuple[bytes, bytes]:
        if not initial:
            session.say("334 ")
            initial = session.line().rstrip(b"\r\n")
        pieces = base64.b64decode(initial).split(b"\0")
        return (pieces[1], pieces[2]) if len(pieces) == 3 else (b"", b"")

    def _login(self, session: Session, initial: bytes) -> tuple[bytes, bytes]:
        if not initial:
            session.say("334 VXNlcm5hbWU6")
            initial = session.line()
        session.say("334 UGFzc3dvcmQ6")
        return base64.b64decode(initial), base64.b64decode(session.line())

    def do_mail(self, session: Session, rest: bytes) -> None:
        address, parameters = split_path(rest)
        if self.answer(session, "MAIL", "250 2.1.0 ok"):
            session.memory["mail"] = Mail(address, parameters)

    def do_rcpt(self, session: Session, rest: bytes) -> None:
        address, parameters = split_path(rest)
        mail = session.memory["mail"]
        if self.answer(session, "RCPT", "250 2.1.5 ok" if mail else "503 5.5.1 MAIL first") and isinstance(mail, Mail):
            mail.recipients.append(address)
            mail.recipient_parameters.append(parameters)

    def do_data(self, session: Session, _: bytes) -> None:
        mail = session.memory["mail"]
        ready = isinstance(mail, Mail) and mail.recipients
        if self.answer(session, "DATA", "354 go on" if ready else "503 5.5.1 RCPT first"):
            content = session.data()
            if isinstance(mail, Mail):
                mail.data = (b"\r\n" + content).replace(b"\r\n.", b"\r\n")[2:]
            self.taken(session)

    def do_bdat(self, session: Session, rest: bytes) -> None:
        size, _, last = rest.partition(b" ")
        chunk = session.exactly(int(size))
        mail = session.memory["mail"]
        if not (isinstance(mail, Mail) and mail.recipients):
            self.answer(session, "BDAT", "503 5.5.1 RCPT first")
            return
        mail.data += chunk
        if last.upper() == b"LAST":
            self.taken(session)
        else:
            self.answer(session, "BDAT", "250 2.0.0 go on")

    def taken(self, session: Session) -> None:
        """Answer for the whole mail, under LMTP for each recipient."""
        mail = session.memory["mail"]
        session.memory["mail"] = None
        times = len(mail.recipients) if self.lmtp and isinstance(mail, Mail) else 1
        outcomes = [self.answer(session, "message", "250 2.0.0 taken") for _ in range(times)]
        if any(outcomes) and isinstance(mail, Mail):
            session.mails.append(mail)

    def do_rset(self, session: Session, _: bytes) -> None:
        session.memory["mail"] = None
        self.answer(session, "RSET", "250 2.0.0 ok")

    def do_noop(self, session: Session, _: bytes) -> None:
        self.answer(session, "NOOP", "250 2.0.0 ok")

    def do_etrn(self, session: Session, _: bytes) -> None:
        self.answer(session, "ETRN", "250 2.0.0 queueing started")

    def do_quit(self, session: Session, _: bytes) -> None:
        self.answer(session, "QUIT", "221 2.0.0 bye")


def split_path(rest: bytes) -> tuple[bytes, bytes]:
    """The path of MAIL or RCPT with its angle brackets, and the parameters behind it."""
    _, _, rest = rest.partition(b":")
    end, quoted, position = len(rest), False, 0
    while position < len(rest):
        letter = rest[position : position + 1]
        if letter == b"\\":
            position += 1
        elif letter == b'"':
            quoted = not quoted
        elif letter == b">" and not quoted:
            end = position + 1
            break
        position += 1
    return rest[:end].strip(), rest[end:].strip()


def dialogue(text: str) -> Behaviour:
    """The behaviour of a server that follows this conversation to the letter; see the head of this file.

    A line each: ``S: words`` is said with CRLF, ``S- bytes`` raw with Python's escapes; ``C: pattern`` must match the
    client's next line; ``DATA`` reads a mail up to its final dot, ``BYTES n`` n bytes, ``PAUSE seconds``, ``TLS`` takes a
    handshake, ``DROP``, ``RESET``, ``HANG``, ``GONE`` waits for the client to close. Empty lines and ``# ...`` say nothing.
    """
    steps = [step for line in text.splitlines() if (step := line.strip()) and not step.startswith("#")]

    def play(session: Session) -> None:
        for step in steps:
            _play_step(session, step)
        session.until_gone()

    return play


def _play_step(session: Session, step: str) -> None:
    word, _, rest = step.partition(" ")
    if word in {"C:", "C*"}:
        heard = session.line().rstrip(b"\r\n").decode("utf-8", "surrogateescape")
        assert fnmatch.fnmatchcase(heard, rest), f"expected {rest!r}, the client said {heard!r}"
    elif word in {"S:", "S*"}:
        session.say(rest)
    elif word == "S-":
        session.say(rest.encode().decode("unicode_escape").encode("latin-1"))
    elif word == "DATA":
        session.mails.append(Mail(b"", data=session.data()))
    elif word == "BYTES":
        session.exactly(int(rest))
    elif word == "PAUSE":
        session.flush()
        time.sleep(float(rest))
    elif word == "TLS":
        session.start_tls()
    elif word == "GONE":
        session.until_gone()
    else:
        session.say({"DROP": DROP, "RESET": RESET, "HANG": HANG}[word])


class ScriptedServer:
    """Listens from ``with`` on; every connection plays ``behaviour`` in a thread of its own.

    ``address`` is an IP literal or the Path of a unix socket. ``implicit``: TLS from the first byte. ``tls``: another
    context than the run's own certificate for localhost. ``quiet``: see flights; ``patience``: how long a session waits
    for its client. At the end of ``with`` the sessions get ``patience`` seconds to end; what went wrong in one (a line that
    was not expected, a client that went silent) is raised there, unless ``errors`` is to be looked at by the test itself.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        address: str | Path = "127.0.0.1",
        port: int = 0,
        implicit: bool = False,
        tls: ssl.SSLContext | None = None,
        quiet: float = 0.02,
        patience: float = PATIENCE,
        raise_errors: bool = True,
    ) -> None:
        self.behaviour = behaviour or Polite()
        self.address = address
        self.implicit = implicit
        self.quiet = quiet
        self.patience = patience
        self.raise_errors = raise_errors
        self.sessions: list[Session] = []
        self._tls = tls
        self._port = port
        self._threads: list[threading.Thread] = []

    @property
    def tls(self) -> ssl.SSLContext:
        """The TLS context, made when first needed."""
        if self._tls is None:
            self._tls = certificates.localhost().server_context()
        return self._tls

    @property
    def errors(self) -> list[BaseException]:
        """What went wrong in the sessions so far."""
        return [session.error for session in self.sessions if session.error]

    @property
    def mails(self) -> list[Mail]:
        """The mails of all sessions, in order of their sessions."""
        return [mail for session in self.sessions for mail in session.mails]

    def __enter__(self) -> Self:
        self._listener = self._listen()
        self.host = str(self.address)
        self.port = 0 if isinstance(self.address, Path) else self._listener.getsockname()[1]
        self._stop_reader, self._stop_writer = os.pipe()
        self._acceptor = threading.Thread(target=self._accept, name="scripted-server", daemon=True)
        self._acceptor.start()
        return self

    def _listen(self) -> socket.socket:
        if isinstance(self.address, Path):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(self.address))
        else:
            listener = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.address, self._port))
        listener.listen(64)
        return listener

    def _accept(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._stop_reader, select.POLLIN)
        while self._listener.fileno() in dict(poll.poll()):  # who has connected before the stop is still served
            connection, peer = self._listener.accept()
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(self, connection, peer)
            self.sessions.append(session)
            thread = threading.Thread(target=self._serve, args=(session,), name="scripted-session", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, session: Session) -> None:
        try:
            if self.implicit:
                session.start_tls()
            self.behaviour(session)
            session.flush()
            session.finished = True
        except Gone:
            pass
        except Exception as error:
            session.error = error
        finally:
            session.close()

    def wait(self, sessions: int = 1, seconds: float = PATIENCE) -> None:
        """Wait until so many sessions have come and all of them have ended."""
        deadline = time.monotonic() + seconds
        while len(self.sessions) < sessions or any(thread.is_alive() for thread in self._threads):
            assert time.monotonic() < deadline, f"{len(self.sessions)} sessions of {sessions}, or one that does not end"
            time.sleep(0.005)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        os.write(self._stop_writer, b"x")
        self._acceptor.join()
        deadline = time.monotonic() + (self.patience if kind is None else 0)
        for session, thread in zip(self.sessions, self._threads, strict=True):
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                with contextlib.suppress(OSError):
                    session.socket.shutdown(socket.SHUT_RDWR)
                thread.join()
        self._listener.close()
        os.close(self._stop_reader)
        os.close(self._stop_writer)
        if isinstance(self.address, Path):
            self.address.unlink(missing_ok=True)
        if kind is None and self.raise_errors and self.errors:
            raise self.errors[0]
