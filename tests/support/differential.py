r"""The C program and ours side by side: the same files, options, mail and server for both, and everything that can be
seen of them compared.

A :class:`Case` says what both are given.  Each runs as a process of its own, in an empty home folder of the same name,
against the same scripted server on the same port; so nothing needs to be explained away but what is random or a clock:
the token of a Message-ID, the date, the nonce of SCRAM, the time in a log line.  :class:`Seen` is what is left to see.

``expect`` says how the two compare.  :data:`SAME`: in everything.  :class:`Differs`: as rows of docs/compatibility.md
say, and in nothing else.  A difference is written as a replacement, ``exit=(69, 65)`` or ``log=("EX_UNAVAILABLE",
"EX_DATAERR")``: done to what the C program shows, it must give what ours shows.

Three differences are everywhere and are passed over unless a case looks at them itself: a line on standard error that
says what to do about a failure (row ``hints``), settings in the output of --pretend that only one of the two has
(``new-settings``), and carriage returns and the answer to QUIT in the dialogue that --debug prints (``debug-lines``).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import difflib
import email.utils
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support import certificates, debian
from tests.support.scripted import Behaviour, Polite, ScriptedServer, Session
from tests.support.upstream import OTHER, upstream_msmtp, upstream_version

from msmtp.exits import name_of

NOBODY = 65534
SECONDS = 20.0  # a run that takes longer hangs
FIELDS = ("exit", "stderr", "stdout", "log", "commands", "header", "body")
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "USER": "joe",
    "HOSTNAME": "box.example",
    "TZ": "UTC",
}
Change = tuple[int, int] | tuple[str, str] | Sequence[tuple[str, str]] | str | Callable[[str, str], bool]

#: Rows of differences that are everywhere.
EVERYWHERE = {"hints", "new-settings", "debug-lines"}
# Lines of --pretend that not every version of the C program has, or none (row new-settings).
NEW_SETTINGS = {
    "from_full_name", "set_msgid_header", "set_to_header", "undisclosed_recipients", "partial_recipients",
    "missing_extension", "exit_codes", "sandbox",
}  # fmt: skip
MAIL = b"From: joe@example.org\nTo: ann@example.net\nSubject: hello\nDate: Mon, 01 Jan 2001 00:00:00 +0000\nMessage-ID: <1@example.org>\n\nHello.\n"
POLITE = Polite(extensions=("PIPELINING",))


class Differs:
    """They differ as these rows of docs/compatibility.md say: ``rows`` is their names with blanks between them.

    The rest are fields of Seen.  ``exit`` is (theirs, ours).  For the others a pair of texts is a replacement in the
    C program's lines, several go in a list, and what is replaced must be there; a text alone is all that ours shows,
    where the C program shows something else; a function is asked about the text of both and says itself whether it is
    as it should be.  ``until``: the last version of the C program that is so.
    """

    def __init__(self, rows: str, *, until: tuple[int, ...] = (), **changes: Change) -> None:
        self.rows = tuple(rows.split())
        self.until = until
        self.changes = changes
        assert set(changes) <= set(FIELDS), changes


SAME = Differs("")


def exits(rows: str, theirs: int, ours: int, **changes: Change) -> Differs:
    """They differ in the exit code, which stands in the log, too."""
    return Differs(
        rows, exit=(theirs, ours), log=(f"exitcode={name_of(theirs)}", f"exitcode={name_of(ours)}"), **changes
    )


@dataclass
class Case:
    """What both programs are given.  ``{name}`` in texts stands for what :func:`names` says.

    ``config`` is the user's file, ~/.msmtprc with mode 600; "-" for none.  ``files`` are others below the home folder,
    ``etc`` others that are laid over /etc.  ``user`` is who runs the programs.  ``name_called`` is their argv[0].
    ``switch`` are options that only ours gets.  Of several ``expect`` the first counts that holds for the C program's
    version; if none does, both must show the same.
    """

    name: str
    options: str = "ann@example.net"
    config: str = "account default\nhost 127.0.0.1\nport {port}\nfrom joe@example.org\n"
    mail: bytes = MAIL
    server: Behaviour | None = POLITE
    expect: Differs | Sequence[Differs] = SAME
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    etc: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str | None] = field(default_factory=dict)
    user: int = 0
    mode: int = 0o600
    etc_mode: int = 0o644
    name_called: str = "msmtp"
    implicit: bool = False
    certificate: Callable[[], certificates.Certificate] = certificates.localhost
    unix: bool = False
    switch: str = ""

    def expected(self, version: tuple[int, ...]) -> Differs:
        """How this version of the C program and ours compare."""
        return next((choice for choice in self.choices if not choice.until or version <= choice.until), SAME)

    @property
    def rows(self) -> set[str]:
        """The rows of docs/compatibility.md that it shows."""
        return {row for choice in self.choices for row in choice.rows}

    @property
    def choices(self) -> Sequence[Differs]:
        """All that may be expected, of one version of the C program or another."""
        return [self.expect] if isinstance(self.expect, Differs) else self.expect


def all_of(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """A test for each case of a table."""
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


@dataclass
class Seen:
    """What can be seen of one run."""

    exit: int
    stderr: list[str]
    stdout: list[str]
    log: list[str]
    commands: list[str]
    header: list[str]
    body: list[str]


def shows(*texts: str) -> Change:
    """Ours shows these, the C program does not."""
    return lambda their, our: all(text in our and text not in their for text in texts)


#: Only the C program sends the mail, or only ours does.
NOT_SENT: dict[str, Change] = {"commands": "", "header": "", "body": ""}
SENT: dict[str, Change] = {"commands": shows("MAIL FROM:<"), "header": shows("From: "), "body": shows("Hello.")}


class Bed:
    """Runs cases in ``folder``, which everybody may enter."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.home = folder / "home"
        self.over = folder / "etc"

    def check(self, case: Case) -> None:
        """Fail the test unless both show what the case expects."""
        if (case.etc or case.user) and os.geteuid() != 0:
            pytest.skip("needs root: another /etc, or another user")
        faults = compare(case, *self.run(case), upstream_version())
        assert not faults, "\n".join(["", *faults])

    def run(self, case: Case) -> tuple[Seen, Seen]:
        """What the C program and ours show for a case."""
        if case.server is None:
            return self._one(case, None, theirs=True), self._one(case, None, theirs=False)
        address = self.home.parent / "socket" if case.unix else "127.0.0.1"
        server = ScriptedServer(
            case.server,
            address=address,
            implicit=case.implicit,
            tls=case.certificate().server_context() if needs_tls(case) else None,
            quiet=0.001,
            raise_errors=False,
            patience=SECONDS,
        )
        with server:
            return self._one(case, server, theirs=True), self._one(case, server, theirs=False)

    def _one(self, case: Case, server: ScriptedServer | None, *, theirs: bool) -> Seen:
        values = self.names(case, server)
        self._furnish(case, values)
        environment = {**ENVIRONMENT, "HOME": str(self.home)}
        for name, value in case.environment.items():
            environment.pop(name, None) if value is None else environment.update({name: filled(value, values)})
        command, executable = self._command(case, values, environment, theirs=theirs)
        before = len(server.sessions) if server else 0
        done = subprocess.run(
            command,
            executable=executable,
            input=case.mail,
            capture_output=True,
            check=False,
            timeout=SECONDS,
            env=environment,
            cwd=self.home,
            start_new_session=True,  # no terminal to ask for a password
        )
        if server:
            settle(server)
        seen = self._seen(case, done, server.sessions[before:] if server else [])
        for name in ("stderr", "stdout", "log"):
            setattr(seen, name, [self.named(line, values) for line in getattr(seen, name)])
        return seen

    def named(self, line: str, values: Mapping[str, str]) -> str:
        """A line with names for what is another in every run."""
        line = line.replace(str(self.home), "HOME").replace(values["socket"], "SOCKET")
        return re.sub(rf"\b{values['port']}\b", "PORT", line) if values["port"] != "1" else line

    def names(self, case: Case, server: ScriptedServer | None) -> dict[str, str]:
        """What {names} in the texts of a case stand for."""
        certificate = case.certificate()
        values = {"home": str(self.home), "port": "1", "socket": "(no socket)", "ca": str(certificate.authority)}
        values |= {kind: fingerprint(kind, certificate.der()) for kind in ("md5", "sha1", "sha256")}
        if server is not None:
            values |= {"port": str(server.port)} if server.port else {"socket": server.host}
        return values

    def _furnish(self, case: Case, values: Mapping[str, str]) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.over, ignore_errors=True)
        self.home.mkdir(mode=0o755)
        self.over.mkdir()
        if case.config != "-":
            write(self.home / ".msmtprc", filled(case.config, values), case.mode)
        for name, text in case.files.items():
            content = (
                text.replace(b"{port}", values["port"].encode()) if isinstance(text, bytes) else filled(text, values)
            )
            write(self.home / name, content, case.mode)
        for name, text in case.etc.items():
            write(self.over / name, filled(text, values), case.etc_mode)
        if case.user:
            for path in (self.home, *self.home.rglob("*")):
                os.chown(path, case.user, case.user)

    def _command(
        self, case: Case, values: Mapping[str, str], environment: dict[str, str], *, theirs: bool
    ) -> tuple[list[str], str | None]:
        options = shlex.split(filled(case.options, values))
        before = self._before(case)
        if not theirs:
            start = f"import sys; sys.argv[0] = {case.name_called!r}; from msmtp.sender.main import run; run()"
            switch = shlex.split(filled(case.switch, values))
            return [*before, sys.executable, "-I", "-c", start, *switch, *options], None
        program = upstream_msmtp()
        if not OTHER:  # the program itself, not its starter, which would not keep argv[0]
            root = program.parent / "root"
            environment["LD_LIBRARY_PATH"] = debian.library_path(root)
            program = root / "usr/bin/msmtp"
        if before:
            return [*before, str(program), *options], None
        return [case.name_called, *options], str(program)

    def _before(self, case: Case) -> list[str]:
        """The words before the program that give it another /etc or another user."""
        words = []
        if case.etc:
            layers = f"lowerdir={self.over}:/etc"
            script = f'mount --make-rprivate / && mount -t overlay overlay -o {layers} /etc && exec "$@"'
            words += ["unshare", "--mount", "sh", "-c", script, "sh"]
        if case.user:
            words += ["setpriv", f"--reuid={case.user}", f"--regid={case.user}", "--clear-groups"]
        return words

    def _seen(self, case: Case, done: subprocess.CompletedProcess[bytes], sessions: list[Session]) -> Seen:
        log = self.home / "log"
        commands: list[str] = []
        header: list[str] = []
        body: list[str] = []
        for session in sessions:
            if isinstance(session.peer, tuple) and session.peer[0] != "127.0.0.1":
                commands.append(f"(from {session.peer[0]})")
            said, content = split_session(session)
            commands += [shown_command(line) for line in said]
            for mail in content:
                head, _, rest = mail.partition(b"\r\n\r\n")
                header += [normal(shown(line)) for line in head.split(b"\r\n")]
                body.append(shown(rest, keep_ends=True))
        return Seen(
            done.returncode,
            lines(done.stderr),
            [normal(line) for line in lines(done.stdout) if not line.startswith("sandbox: ")],
            [undated(line) for line in lines(log.read_bytes())] if log.exists() else [],
            commands,
            header,
            body,
        )


def write(path: Path, content: str | bytes, mode: int) -> None:
    """A file with this mode, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))
    path.chmod(mode)


def filled(text: str, values: Mapping[str, str]) -> str:
    """Put the values in for {names}; other braces stay."""
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), text)


def needs_tls(case: Case) -> bool:
    """Whether the server of a case needs a certificate."""
    return case.implicit or bool(getattr(case.server, "starttls", False))


def fingerprint(kind: str, der: bytes) -> str:
    """A digest as tls_fingerprint takes it."""
    return hashlib.new(kind, der).digest().hex(":")


def settle(server: ScriptedServer) -> None:
    """Wait until the sessions of a program that has ended have ended, too."""
    with contextlib.suppress(AssertionError):
        server.wait(0, seconds=5)


# -- what came over the wire


def split_session(session: Session) -> tuple[list[bytes], list[bytes]]:
    """The client's commands, and the contents it sent (after 354, or in BDAT)."""
    rest = session.transcript.client
    commands: list[bytes] = []
    contents: list[bytes] = []
    go_ahead = re.search(rb"(?m)^354", session.transcript.server) is not None
    while rest:
        line, _, rest = rest.partition(b"\n")
        commands.append(line.removesuffix(b"\r"))
        words = line.upper().split()
        if words[:1] == [b"DATA"] and go_ahead and rest:
            end = 0 if rest.startswith(b".\r\n") else rest.find(b"\r\n.\r\n") + 2
            if end == 1:
                commands.append(b"(no final dot)")
                end = len(rest)
            contents.append(rest[:end])
            rest = rest[end:].removeprefix(b".\r\n")
        elif words[:1] == [b"BDAT"]:
            contents.append(rest[: int(words[1])])
            rest = rest[int(words[1]) :]
    return commands, contents


def shown(data: bytes, *, keep_ends: bool = False) -> str:
    """Octets as text, what is not printable escaped."""
    text = data.decode("utf-8", "backslashreplace")
    text = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    return text.replace("\\r\\n", "\n") if keep_ends else text


def shown_command(line: bytes) -> str:
    """A command as text; the nonce of SCRAM is not compared."""
    words = line.split(b" ")
    with contextlib.suppress(binascii.Error, ValueError):
        said = base64.b64decode(words[-1], validate=True)
        if re.match(rb"[ny]|p=[a-z-]+,,|c=", said) and b"r=" in said:
            said = re.sub(rb"([,]|^)r=[^,]+", rb"\1r=(nonce)", said)
            said = re.sub(rb"p=[A-Za-z0-9+/]+=*$", b"p=(proof)", said)
            return " ".join([*(word.decode() for word in words[:-1]), f"({said.decode()})"])
    return shown(line)


def normal(line: str) -> str:
    """A line without what is random or a clock."""
    line = re.sub(r"(Message-ID: <)[0-9a-f]{20,}[^@]*@", r"\1(token)@", line)
    found = re.search(r"Date: (\w{3}, \d\d? \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4})$", line)
    if found and abs(time.time() - email.utils.parsedate_to_datetime(found[1]).timestamp()) < 3600:
        line = line.replace(found[1], "(now)")
    return undated(line)


def undated(line: str) -> str:
    """A log line without its time in the default format."""
    return re.sub(r"^[A-Z][a-z]{2} [ 0-3]\d \d\d:\d\d:\d\d (?=host=|socket=)", "(now) ", line)


def lines(data: bytes) -> list[str]:
    """Output as lines; a last line without its end is marked."""
    parts = data.decode("utf-8", "backslashreplace").split("\n")
    last = parts.pop()
    return [*parts, last + " (no line end)"] if last else parts


# -- comparing


def compare(case: Case, theirs: Seen, ours: Seen, version: tuple[int, ...]) -> list[str]:
    """What is not as the case expects, a text each."""
    changes = case.expected(version).changes
    faults = []
    for name in FIELDS:
        their, our = getattr(theirs, name), getattr(ours, name)
        fault = compare_field(name, their, our, changes.get(name))
        if fault:
            faults.append(f"{name}: {fault}\n{side_by_side(their, our)}")
    return faults


def side_by_side(their: object, our: object) -> str:
    """What the two show, ``-`` the C program, ``+`` ours."""
    left, right = ([str(part) for part in (side if isinstance(side, list) else [side])] for side in (their, our))
    return "\n".join(list(difflib.unified_diff(left, right, lineterm="", n=1))[2:]) or "the same"


def compare_field(name: str, their: object, our: object, change: Change | None) -> str:
    """What is wrong with one field, or ''."""
    if name == "exit":
        return "" if (their, our) == (change or (their, their)) else f"not {change or 'the same'}"
    assert isinstance(their, list)
    assert isinstance(our, list)
    if callable(change):
        return "" if change("\n".join(their), "\n".join(our)) else "not as it should be"
    if name == "stdout":
        their, our = everywhere(their), everywhere(our)
    before, after = "\n".join(their), "\n".join(our)
    if isinstance(change, str):
        return "" if before != after == change else f"not {change!r}, or the C program shows it, too"
    for old, new in [change] if isinstance(change, tuple) else change or []:
        if old not in before:
            return f"the C program does not show {old!r}"
        before = before.replace(old, new, 1)
    if name == "stderr":
        after = "\n".join(without_hints(before.split("\n"), our))
    return "" if before == after else "not the same" + (f" after {change}" if change else "")


def everywhere(output: list[str]) -> list[str]:
    """Standard output without new settings, carriage returns and the answer to QUIT."""
    return [
        line.removesuffix("\r")
        for line in output
        if line.partition(" = ")[0] not in NEW_SETTINGS and not line.startswith("<-- 221 ")
    ]


def without_hints(their: list[str], our: list[str]) -> list[str]:
    """Our lines without one that follows a line of the C program's."""
    for place in range(1, len(our)):
        shorter = our[:place] + our[place + 1 :]
        if shorter == their and our[place].startswith(f"{our[0].partition(':')[0]}: "):
            return shorter
    return our
