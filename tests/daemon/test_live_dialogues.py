"""The dialogues of tests/smtp/dialogues, held with the real daemon, and with Debian's C msmtpd.

The daemon is another server than the one the files speak of: it offers all it can do, knows no users to refuse, and bears
a few mistakes only.  So answers are compared by their codes, the server's words in an answer to EHLO are not compared at
all, where the file has an unknown user here is an address that is none, and a dialogue is over at "too many errors".
"""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
from dataclasses import dataclass, replace

import pytest
from tests.support import certificates, debian
from tests.support.daemon import TOP, Msmtpd, Recorder, new_folder
from tests.support.dialogues import Dialogue, Flight, dialogues
from tests.support.processes import free_port, wait_for

ELSEWHERE = {
    "chunks-not-offered": "the daemon offers CHUNKING",
    "etrn": "the daemon has no queue to be asked for",
    "long-lines": "its limits are no options of the daemon",
    "parameters-refused": "the daemon offers 8BITMIME",
}
"""Dialogues that are about a server with other offers than the daemon's."""

TOO_MANY_ERRORS = b"421 4.7.0"
BORNE = 3  # the third mistake is answered by that

LINE = re.compile(rb"(\d{3})([ -])(\d\.\d+\.\d+)?(.*)")

DIFFERENT = (
    # what the file says of a server that knows its users, and what takes its place
    (b"<unknown@", b"<unknown "),
    (b"550 5.1.1", b"501 5.1.3"),
    (b"<later@", b"<later "),
    (b"451 4.3.0", b"501 5.1.7"),
)


@dataclass(frozen=True)
class Setup:
    """What a dialogue needs of the daemon."""

    lmtp: bool
    strict: bool
    auth: bool
    tls: bool
    size: int
    recipients: int

    def options(self) -> list[str]:
        words = ["--domain=mail.example", "--warm=off", "--max-sessions-per-source=16"]
        words += ["--lmtp"] * self.lmtp + ["--strict"] * self.strict + ["--auth=user,echo secret"] * self.auth
        if self.tls:
            shown = certificates.localhost()
            words += [f"--tls-cert={shown.chain}", f"--tls-key={shown.key}"]
        words += [f"--max-size={self.size}"] * bool(self.size)
        return words + [f"--max-recipients={self.recipients}"] * bool(self.recipients)


def setup_of(dialogue: Dialogue) -> Setup:
    said = b"".join(flight.octets for flight in dialogue.flights if flight.side == "C")
    return Setup(
        lmtp=dialogue.protocol == "lmtp",
        strict=dialogue.strict,
        auth=b"AUTH" in said,
        tls=b"STARTTLS" in dialogue.offers,
        size=dialogue.limits.get("message", 0),
        recipients=dialogue.limits.get("recipients", 0),
    )


# -- one side of a session


class Conversation:
    """A session in which the client's side of a dialogue is said, and the server's compared.

    ``codes``: compare the codes without the enhanced ones.
    """

    def __init__(self, connection: socket.socket, *, codes: bool = False) -> None:
        self.connection = connection
        self.codes = codes
        self.waiting = b""
        self.mistakes = 0
        self.over = False

    def play(self, dialogue: Dialogue) -> list[str]:
        """Play it; what was different, flight by flight."""
        differences = []
        for flight in dialogue.flights:
            if self.over:
                break
            if flight.side == "C":
                try:
                    self.connection.sendall(flight.octets)
                except (ConnectionResetError, BrokenPipeError):
                    return [*differences, "it hung up"]
            elif flight.side == "TLS":
                assert not self.waiting
                context = certificates.localhost().client_context()
                self.connection = context.wrap_socket(self.connection, server_hostname="localhost")
            elif flight.side == "END":
                differences += self.end()
            else:
                differences += self.hear(flight.octets)
        return differences

    def end(self) -> list[str]:
        """The server hangs up, and says no more."""
        rest = self.waiting + self.read(1 << 16)
        return [f"it went on: {rest!r}"] if rest else []

    def hear(self, expected: bytes) -> list[str]:
        """Hear as many replies as the file has."""
        differences = []
        for lines in replies(expected.splitlines()):
            said = self.reply()
            if said and said[0].startswith(TOO_MANY_ERRORS):
                assert self.mistakes >= BORNE - 1
                self.over = True
                break
            self.mistakes += said[0][:1] == b"5" if said else 0
            if self.form(lines) != self.form(said):
                differences.append(f"{self.form(said)} for {self.form(lines)}")
        return differences

    def reply(self) -> list[bytes]:
        """The lines of a reply; fewer, or none, if the server hangs up."""
        lines: list[bytes] = []
        while not lines or lines[-1][3:4] == b"-":
            while b"\n" not in self.waiting:
                block = self.read(4096)
                if not block:
                    return lines
                self.waiting += block
            line, _, self.waiting = self.waiting.partition(b"\n")
            assert line.endswith(b"\r"), line
            lines.append(line[:-1])
        return lines

    def read(self, size: int) -> bytes:
        try:
            return self.connection.recv(size)
        except (ConnectionResetError, BrokenPipeError):
            return b""
        except TimeoutError:
            self.over = True
            return b""

    def form(self, lines: list[bytes]) -> str:
        """What of a reply is compared: the codes; of a challenge all."""
        if not lines:
            return "end"
        if lines[0][:3] == b"334":
            return lines[0].decode()
        match = LINE.match(lines[-1])
        assert match, lines
        return match[1].decode() if self.codes or not match[3] else f"{match[1].decode()} {match[3].decode()}"


def replies(lines: list[bytes]) -> list[list[bytes]]:
    """The lines of several replies, apart."""
    found: list[list[bytes]] = [[]]
    for line in lines:
        found[-1].append(line)
        if line[3:4] != b"-":
            found.append([])
    return found[:-1]


def adapted(dialogue: Dialogue) -> Dialogue:
    """As a server hears it that knows no users."""
    for flight in dialogue.flights:
        if dialogue.name != "control-characters":
            for old, new in DIFFERENT:
                flight.octets = flight.octets.replace(old, new)
    return dialogue


LIVE = [each for each in dialogues("server") if each.name not in ELSEWHERE]


# -- our daemon


@pytest.fixture(scope="module")
def daemons():
    """A daemon for each setup, started when it is first asked for."""
    running: dict[Setup, Msmtpd] = {}

    def daemon_for(setup: Setup) -> Msmtpd:
        if setup not in running:
            running[setup] = Msmtpd(*setup.options()).__enter__()
        return running[setup]

    try:
        yield daemon_for
        for each in running.values():
            each.stop()
    finally:
        for each in running.values():
            each.kill()
            each.remove()


@pytest.fixture
def daemon(dialogue, daemons):
    """The daemon for this dialogue."""
    found = daemons(setup_of(dialogue))
    found.recorder.forget()
    return found


@pytest.mark.parametrize("dialogue", [pytest.param(each, id=each.name) for each in LIVE])
def test_the_daemon_says_what_the_dialogue_says(dialogue, daemon):
    with daemon.connect() as connection:
        conversation = Conversation(connection)
        try:
            assert not conversation.play(adapted(dialogue))
        finally:
            conversation.connection.close()
    daemon.settled()
    expected = [] if conversation.over else dialogue.mails
    assert [(mail.arguments[1], mail.recipients, mail.content) for mail in daemon.mails()] == [
        (
            mail.sender.decode() or "MAILER-DAEMON",
            [recipient.decode() for recipient in mail.recipients],
            mail.content.replace(b"\r\n", b"\n"),
        )
        for mail in expected
    ]


def test_only_dialogues_that_exist_are_left_out():
    assert set(ELSEWHERE) < {each.name for each in dialogues("server")}


# -- the C program


class Upstream:
    """Debian's C msmtpd, with the same command."""

    def __init__(self, *, auth: bool) -> None:
        self.folder = new_folder()
        self.recorder = Recorder(self.folder)
        self.port = free_port()
        root = debian.bundle("msmtp")
        words = [f"{root}/usr/bin/msmtpd", f"--port={self.port}", f"--command={self.recorder.command}"]
        self.process = subprocess.Popen(
            [*words, *(["--auth=user,echo secret"] if auth else [])],
            env={"LD_LIBRARY_PATH": debian.library_path(root), "PATH": "/usr/bin:/bin"},
        )
        wait_for(self._listens, words="a listening C program")

    def _listens(self) -> bool:
        try:
            self.connect().close()
        except OSError:
            return False
        return True

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def upstreams():
    """It without and with authentication."""
    running = [Upstream(auth=False), Upstream(auth=True)]
    yield running
    for each in running:
        each.end()


def one_by_one(dialogue: Dialogue) -> Dialogue:
    """The dialogue of a client that waits for each reply, and sends a mail's content at once."""
    flights: list[Flight] = []
    pending: list[bytes] = []
    content = False
    for flight in dialogue.flights:
        if flight.side == "C":
            pending = units(flight.octets, content=content)
        elif flight.side == "S":
            for lines in replies(flight.octets.splitlines()):
                if pending:
                    flights.append(Flight("C", pending.pop(0)))
                flights.append(Flight("S", b"".join(line + b"\r\n" for line in lines)))
                content = lines[0].startswith(b"354")
        else:
            flights.append(flight)
        if flight.side != "C" and pending:
            flights += [Flight("C", b"".join(pending))]
            pending = []
    return replace(dialogue, flights=flights + [Flight("C", b"".join(pending))] * bool(pending))


def units(octets: bytes, *, content: bool) -> list[bytes]:
    """What is answered by one reply each: the content up to its end, command lines."""
    found = []
    if content and octets.startswith(b".\r\n"):
        found, octets = [octets[:3]], octets[3:]
    elif content:
        mail, end, octets = octets.partition(b"\r\n.\r\n")
        found = [mail + end]
    return found + octets.splitlines(keepends=True)


UPSTREAM_DIFFERS = {
    # rows of docs/compatibility.md
    "daemon-first-mistake": "auth-login auth-plain auth-refused bare-lf-commands-strict groups helo nobody order plain",
    "daemon-extensions": """chunks chunks-not-offered chunks-refused dsn etrn lmtp lmtp-hello parameters-refused smtputf8
        smtputf8-missing starttls starttls-injected-by-client tls-hello""",
    "daemon-addresses": "addresses",
    "daemon-framing": """bare-lf-commands smuggling-cr-cr smuggling-cr-crlf smuggling-crlf-cr-crlf smuggling-crlf-lf
        smuggling-lf-crlf smuggling-lf-lf smuggling-nul smuggling-nul-alone""",
    "daemon-half": "half-a-mail",
    "daemon-early": "early-auth early-content early-ehlo early-quit",
    "daemon-limits": "long-lines recipients-limit too-big",
}


@pytest.mark.parametrize("dialogue", [pytest.param(each, id=each.name) for each in dialogues("server")])
def test_the_c_program_differs_where_it_is_known_to(dialogue, upstreams):
    upstream = upstreams[setup_of(dialogue).auth]
    upstream.recorder.forget()
    with upstream.connect() as connection:
        connection.settimeout(1)
        conversation = Conversation(connection, codes=True)
        try:
            differences = conversation.play(one_by_one(adapted(dialogue)))
        except (ssl.SSLError, ConnectionError):
            differences = ["no TLS"]
        finally:
            conversation.connection.close()
    if dialogue.name == "half-a-mail":
        assert upstream.recorder.mails(1)[0].content == b"half a mail\n\r\n"  # and it is taken for a whole one
        differences = ["delivered"]
    assert bool(differences) == any(dialogue.name in names.split() for names in UPSTREAM_DIFFERS.values()), differences


def test_differences_are_rows_for_users():
    rows = (TOP / "docs/compatibility.md").read_text()
    assert [name for name in UPSTREAM_DIFFERS if f"| `{name}` |" not in rows] == []
