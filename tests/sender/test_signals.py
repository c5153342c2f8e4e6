"""Ctrl-C, SIGTERM and SIGHUP: the mail is not sent, the log line is written, no traceback is seen."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest
from tests.support.scripted import HANG, Polite, ScriptedServer
from tests.support.sending import MAIL, MSMTP, account, configuration


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
