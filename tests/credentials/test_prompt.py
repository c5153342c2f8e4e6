"""The prompt, on a terminal of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.scripted import Polite, ScriptedServer
from tests.support.terminal import LOCAL_MODES, Terminal
from tests.support.upstream import upstream_msmtp

from msmtp.credentials import prompt
from msmtp.failures import InterruptFailure

QUESTION = "password for joe at mail.example: "
ASK = f"""
from msmtp.credentials.prompt import ask
secret = ask({QUESTION!r})
print(None if secret is None else secret.reveal(), flush=True)
"""
# As the sender does it: a signal is an exception, wherever the program stands.
SIGNALS = (
    """
import os, signal
from msmtp.failures import InterruptFailure
def interrupt(number, frame):
    raise InterruptFailure(f"interrupted by {number}")
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, interrupt)
print(os.getpid(), flush=True)
try:
"""
    + ASK.replace("\n", "\n    ")
    + """
except InterruptFailure as failure:
    print(failure, flush=True)
"""
)


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        (b"hunter2\n", b"b'hunter2'\n"),
        (b" two words \n", b"b' two words '\n"),
        (b"\n", b"b''\n"),
        (b"ab\x7fc\n", b"b'ac'\n"),
        ("é\n".encode(), b"b'\\xc3\\xa9'\n"),
        (b"half\x04\x04", b"b'half'\n"),
        (b"\x04", b"None\n"),
        (b"with \x1a in it\n", b"b'with \\x1a in it'\n"),
        (b"x" * 3000 + b"\n", f"b'{'x' * 3000}'\n".encode()),
    ],
)
def test_what_is_typed_is_taken_and_not_shown(typed: bytes, answer: bytes) -> None:
    with Terminal(ASK) as terminal:
        terminal.wait_for(QUESTION.encode())
        assert not terminal.echoes
        terminal.type(typed)
        assert terminal.end() == answer
        assert terminal.shown == QUESTION.encode() + b"\r\n"
        assert terminal.echoed_at_the_end


def test_what_was_typed_before_the_question_is_dropped() -> None:
    with Terminal("import time; time.sleep(0.5)\n" + ASK) as terminal:
        terminal.type(b"early\n")
        terminal.wait_for(QUESTION.encode())
        terminal.type(b"late\n")
        assert terminal.end() == b"b'late'\n"


@pytest.mark.parametrize("how", ["ctrl-c", "SIGTERM", "SIGHUP"])
def test_an_interrupted_question_leaves_a_terminal_that_shows(how: str) -> None:
    with Terminal(SIGNALS) as terminal:
        terminal.wait_for(QUESTION.encode())
        terminal.type(b"hal")
        if how == "ctrl-c":
            terminal.type(b"\x03")
        else:
            os.kill(terminal.pid, getattr(__import__("signal"), how))
        output = terminal.end()
        assert b"interrupted by" in output
        assert b"hal" not in output
        assert terminal.echoed_at_the_end
        assert terminal.status == 0


def test_nobody_is_asked_from_the_background() -> None:
    with Terminal(ASK, background=True) as terminal:
        assert terminal.end() == b"None\n"
        assert terminal.shown == b""


def test_nobody_is_asked_without_a_terminal() -> None:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert done.stdout == b"None\n"
    assert time.monotonic() - begun < 10


def test_the_c_program_asks_with_the_same_words(home: Path) -> None:
    with ScriptedServer(Polite(mechanisms=("PLAIN",), users={b"joe": b"hunter2"})) as server:
        words = [str(upstream_msmtp()), "--host=127.0.0.1", f"--port={server.port}", "-f", "s@x", "--auth=plain"]
        with Terminal(f"import os; os.execv({words[0]!r}, {[*words, '--user=joe', 'r@x']!r})") as terminal:
            terminal.wait_for(b"password for joe at 127.0.0.1: ")
            terminal.type(b"hunter2\n")
            terminal.end()
            assert terminal.status == 0


# -- the same in this process, where the terminal is nobody's controlling terminal


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The other end of the terminal that ``ask`` will find."""
    master, slave = os.openpty()
    monkeypatch.setattr(prompt, "TERMINAL", os.ttyname(slave))
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
    yield master
    assert termios.tcgetattr(slave)[LOCAL_MODES] & termios.ECHO
    os.close(slave)
    os.close(master)


def answer(person: int, typed: bytes) -> threading.Thread:
    def look_and_type() -> None:
        shown = b""
        while QUESTION.encode() not in shown:
            shown += os.read(person, 1000)
        os.write(person, typed)

    thread = threading.Thread(target=look_and_type)
    thread.start()
    return thread


@pytest.mark.parametrize(("typed", "expected"), [(b"pw\n", b"pw"), (b"\x04", None), (b"p\x04w\x04\x04", b"pw")])
def test_an_answer(person: int, typed: bytes, expected: bytes | None) -> None:
    thread = answer(person, typed)
    secret = prompt.ask(QUESTION)
    thread.join()
    assert (secret.reveal() if secret else secret) == expected


def test_an_interrupt(person: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise InterruptFailure("interrupted")

    monkeypatch.setattr(prompt, "_line", interrupted)
    with pytest.raises(InterruptFailure):
        prompt.ask(QUESTION)


def test_a_terminal_that_goes_away(person: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(prompt, "_line", gone)
    assert prompt.ask(QUESTION) is None


def test_an_endless_line_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "read", lambda *_: b"x" * 4096)
    assert prompt._line(0) == b"x" * prompt.LONGEST_LINE


def test_another_programs_terminal(person: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + 1)
    assert prompt.ask(QUESTION) is None


def test_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt, "TERMINAL", "/nonexistent/tty")
    assert prompt.ask(QUESTION) is None
