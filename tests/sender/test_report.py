"""Standard error and the log: one line each, printable, not without end, whatever a server said."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from tests.support.scripted import Polite, ScriptedServer
from tests.support.sending import account, msmtp

from msmtp.failures import Failure
from msmtp.sender.log import Log
from msmtp.sender.report import LONGEST_LINE, LONGEST_REPLY_LINE, MOST_REPLY_LINES, Reporter, printable, unexpected


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("gr\u00fc\u00dfe \u65e5\u672c", "gr\u00fc\u00dfe \u65e5\u672c"),
        ("\x1b[2Jall is well\r\n<0>msmtp: sent\0\x7f\x9b", "?[2Jall is well??<0>msmtp: sent???"),
        ("\u202eder\u2066\u2028\u2029\u200b\ufeff\U000e0041", "?der??????"),
        ("\udcff", "?"),
    ],
)
def test_what_cannot_be_seen_is_a_question_mark(line, shown):
    assert printable(line) == shown


def test_a_failure_is_told_in_whole_lines_of_bounded_length(capfd):
    server = tuple(f"550-{'x' * 20000}" for _ in range(200))
    Reporter("msmtp").failure(Failure("m" * 90000, hint="h\nmsmtp: forged", server=server))
    lines = capfd.readouterr().err.split("\n")
    assert lines.pop() == ""
    assert lines[0] == f"msmtp: {'m' * LONGEST_LINE}..."
    assert lines[1] == f"msmtp: server message: 550-{'x' * (LONGEST_REPLY_LINE - 4)}..."
    assert lines[-2:] == [
        f"msmtp: server message: 550 ... ({200 - MOST_REPLY_LINES} more lines)",
        "msmtp: h?msmtp: forged",
    ]
    assert len(lines) == MOST_REPLY_LINES + 3


def test_hostile_text_of_the_server_is_tame_on_standard_error_and_in_the_log(tmp_path):
    said = b"".join(b"550-\x1b[2J\xe2\x80\xae'%s\xff %%s {0} <0>\r\n" % (b"x" * 5000) for _ in range(100))
    with ScriptedServer(Polite(replies={"RCPT": said + b"550 no\r\n"})) as server:
        run = msmtp(tmp_path, account(server.port), "jane@example.net")
    assert run.code == 65
    assert all(line.startswith("msmtp: ") and line.isprintable() for line in run.err.split("\n")[:-1])
    assert "server message: 550-?[2J?'xxx" in run.err
    assert run.log.count("\n") == 1
    assert run.log[:-1].isprintable()
    assert "smtpmsg='550-?[2J??xxx" in run.log
    assert run.log.endswith("exitcode=EX_DATAERR\n")
    assert len(run.err) + len(run.log) < 60000


def test_a_fault_of_pythons_own_is_the_machines_and_not_the_mails():
    """Where memory ends, the interpreter forgets what went wrong: such a mail may go later."""
    fault = unexpected(SystemError("secret returned NULL without setting an exception"))
    assert (fault.code, fault.message) == (71, "system error: Python failed (at unknown place)")


def test_a_line_of_the_log_that_was_not_written_whole_is_said(tmp_path, monkeypatch):
    """As on a disk that has room for a part of it."""
    said = []
    log = Log(SimpleNamespace(logfile=f"{tmp_path}/log", logfile_time_format="none", syslog=""), said.append)
    log.open()
    really = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, octets: really(descriptor, octets[:-3]))
    log.write("host=x exitcode=EX_OK", 0)
    monkeypatch.undo()
    os.close(log.descriptor)
    assert said == [f"cannot log to {tmp_path}/log: cannot write: no space left", "log info was: host=x exitcode=EX_OK"]
