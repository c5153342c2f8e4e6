"""Ctrl-C, SIGTERM and SIGHUP: the mail is not sent, the log line is written, no traceback is seen."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from types import SimpleNamespace

import pytest
from tests.support.scripted import HANG, Polite, ScriptedServer
from tests.support.sending import MAIL, MSMTP, account, configuration

from msmtp import sandbox
from msmtp.failures import Failure, InterruptFailure, NetworkFailure
from msmtp.sandbox import libc
from msmtp.sender import envelope, main, send
from msmtp.sender.outcome import Delivery
from msmtp.sender.send import Sending
from msmtp.sender.signals import ENDING, catch


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("step", ["greeting", "MAIL", "message"])
def test_a_signal_ends_it_cleanly_with_the_line_written(tmp_path, number, step):
    log = tmp_path / "log"
    with ScriptedServer(Polite(extensions=(), replies={step: HANG})) as server:
        rc = configuration(tmp_path, account(server.port, f"logfile {log}"))
        process = subprocess.Popen(
            [*MSMTP, "-C", str(rc), "jane@example.net"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdin
        process.stdin.write(MAIL)
        process.stdin.close()
        wait_for(lambda: server.sessions and waiting(server.sessions[0], step))
        process.send_signal(number)
        err = process.stderr.read().decode()
        assert process.wait(timeout=20) == 75
        process.stderr.close()
    assert err.splitlines()[0] == f"msmtp: interrupted by {number.name}"
    assert ("the server may have taken the mail" in err) == (step == "message")
    assert log.read_text().endswith(f"errormsg='interrupted by {number.name}' exitcode=EX_TEMPFAIL\n")


def waiting(session, step: str) -> bool:
    """Whether the client has said what it waits for the answer of."""
    said = session.transcript.client
    return {"greeting": True, "MAIL": b"MAIL" in said, "message": b"\r\n.\r\n" in said}[step]


def wait_for(condition) -> None:
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
    time.sleep(0.1)


def test_a_signal_while_the_mail_is_read_is_said_and_nobody_is_called(tmp_path):
    rc = configuration(tmp_path, account(1))
    process = subprocess.Popen([*MSMTP, "-C", str(rc), "x@example.net"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 75
    assert err == b"msmtp: interrupted by SIGINT\n"


def test_a_hangup_that_was_ignored_stays_ignored(tmp_path):
    rc = configuration(tmp_path, account(1))
    process = subprocess.Popen(
        ["nohup", *MSMTP, "-C", str(rc), "x@example.net"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    time.sleep(0.5)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 75


# -- a signal at the worst moment


class Moments:
    """What stands around a run of :class:`Sending`: a signal comes to this process when one of the moments does.

    ``signals``: by moment ("connect", "look", "tell", "leave"); ``fails``: whether there is no connection to be had.
    """

    def __init__(self, signals: dict[str, signal.Signals], *, fails: bool) -> None:
        self.signals = signals
        self.fails = fails
        self.said: list[str] = []
        self.logged: list[int] = []
        self.extensions = None
        self.opened = True

    def at(self, moment: str) -> None:
        if moment in self.signals:
            os.kill(os.getpid(), self.signals[moment])

    def connect(self) -> Moments:
        self.at("connect")
        if self.fails:
            raise NetworkFailure("no network")
        return self

    @property
    def preparing(self) -> bool:
        self.at("look")
        return False

    def close(self) -> None:
        pass

    def leave(self) -> None:
        self.at("leave")

    def say(self, line: str) -> None:
        self.said.append(line)

    def failure(self, failure: Failure) -> None:
        self.at("tell")
        self.said.append(failure.message)

    def write(self, _line: str, code: int) -> None:
        self.logged.append(code)

    def run(self, monkeypatch: pytest.MonkeyPatch) -> int:
        sending = object.__new__(Sending)
        sending.line = SimpleNamespace(envelope_id="", smtputf8=False, dsn_if_offered=False)
        sending.account = SimpleNamespace(origin="", protocol="smtp", exit_codes="sysexits", partial_recipients=False)
        sending.letter = SimpleNamespace(sender=b"", recipients=[])
        sending.transfer = None
        sending.connector = sending.log = sending.reporter = self
        taken = SimpleNamespace(run=lambda: Delivery(1, None, []), given=True)
        monkeypatch.setattr(send, "Transfer", lambda *_args, **_more: taken)
        monkeypatch.setattr(send.envelope, "envelope_for", lambda *_args: None)
        monkeypatch.setattr(send, "log_line", lambda *_args: "")
        kept = [(number, signal.getsignal(number)) for number in (*ENDING, signal.SIGCHLD)]
        catch()
        try:
            return sending.run()
        finally:
            for number, action in kept:
                signal.signal(number, action)


FIRST, SECOND = signal.SIGTERM, signal.SIGINT


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        ({"connect": FIRST}, "interrupted by SIGTERM"),
        ({"connect": FIRST, "look": SECOND}, "interrupted by SIGTERM"),
        ({"connect": FIRST, "tell": SECOND}, "interrupted by SIGTERM"),
        ({"look": FIRST}, "interrupted by SIGTERM"),
        ({"look": FIRST, "tell": SECOND}, "interrupted by SIGTERM"),
        ({"tell": FIRST}, "no network"),
    ],
    ids=str,
)
def test_no_signal_keeps_a_failure_from_being_told_and_logged(monkeypatch, signals, said):
    around = Moments(signals, fails=True)
    assert around.run(monkeypatch) == 75
    assert around.logged == [75]
    assert around.said == [said, "could not send mail"]


def test_no_signal_makes_a_failure_of_a_mail_that_the_server_has_taken(monkeypatch):
    around = Moments({"leave": FIRST}, fails=False)
    assert around.run(monkeypatch) == 0
    assert around.logged == [0]
    assert around.said == []


def test_a_signal_while_a_failure_is_told_leaves_no_traceback(monkeypatch):
    told = []

    def tell(_self, failure, **_more):
        told.append(failure.message)
        if len(told) == 1:
            os.kill(os.getpid(), FIRST)

    monkeypatch.setattr(main.Reporter, "failure", tell)
    kept = [(number, signal.getsignal(number)) for number in (*ENDING, signal.SIGCHLD)]
    try:
        assert main.main(["msmtp", "--no-such-option"]) == 75
    finally:
        for number, action in kept:
            signal.signal(number, action)
    assert told[1:] == ["interrupted by SIGTERM"]


def test_no_signal_is_taken_for_something_else(monkeypatch):
    def interrupted(*_args):
        raise InterruptFailure("interrupted")

    monkeypatch.setattr(envelope, "ascii_address", interrupted)
    with pytest.raises(InterruptFailure):
        envelope.ascii_addresses([b"\xc3\xa9@example.org"])
    monkeypatch.setattr(libc, "_WAYS", [])
    monkeypatch.setattr(libc, "private", interrupted)
    with pytest.raises(InterruptFailure):
        sandbox.prepare("sender")


# -- children


def ignoring_children() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


SESSION = (
    b"EHLO here\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
    + MAIL.replace(b"\n", b"\r\n")
    + b".\r\n"
)


@pytest.mark.parametrize(("arguments", "said"), [(["jane@example.net"], MAIL), (["-bs"], SESSION + b"QUIT\r\n")])
def test_a_caller_that_ignores_its_children_changes_nothing(tmp_path, arguments, said):
    """Perl's $SIG{CHLD} = 'IGNORE', and the shell's trap '' CHLD."""
    with ScriptedServer(Polite(mechanisms=["PLAIN"])) as server:
        rc = configuration(tmp_path, account(server.port, "auth plain\nuser joe\npasswordeval echo secret"))
        done = subprocess.run(
            [*MSMTP, "-C", str(rc), *arguments],
            input=said,
            capture_output=True,
            preexec_fn=ignoring_children,
            check=False,
            timeout=30,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(server.mails) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("step", ["greeting", "MAIL", "message"])
def test_a_signal_to_bs_ends_the_child_that_sends(tmp_path, number, step):
    log = tmp_path / "log"
    with ScriptedServer(Polite(extensions=(), replies={step: HANG})) as server:
        rc = configuration(tmp_path, account(server.port, f"logfile {log}"))
        process = subprocess.Popen(
            [*MSMTP, "-C", str(rc), "-bs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdin
        process.stdin.write(SESSION)
        process.stdin.flush()
        wait_for(lambda: server.sessions and waiting(server.sessions[0], step))
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 75
        wait_for(lambda: server.sessions[0].client_closed or server.sessions[0].finished)
    said = err.decode().splitlines()
    assert said[0] == f"msmtp: interrupted by {number.name}"
    assert any("the server may have taken the mail" in line for line in said) == (step == "message")
    assert out.splitlines()[-1] == b"451 4.3.0 interrupted by " + number.name.encode()
    assert log.read_text().endswith(f"errormsg='interrupted by {number.name}' exitcode=EX_TEMPFAIL\n")
