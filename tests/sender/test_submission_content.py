"""-bs: what was given up between two chunks is not in the next mail."""

from __future__ import annotations

import os

import pytest

from msmtp.sender import submission
from msmtp.sender.submission import Submission

ENVELOPE = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"


@pytest.mark.parametrize(
    "mail", [b"BDAT 3 LAST\r\nnew", b"BDAT 0 LAST\r\n", b"DATA\r\n"], ids=["chunk", "empty chunk", "data"]
)
def test_chunks_of_a_transaction_that_was_given_up_are_thrown_away(monkeypatch, mail):
    seen = []

    def run_child(self, descriptor, transaction):
        seen.append(os.read(descriptor, 100))
        return 0, b""

    monkeypatch.setattr(Submission, "run_child", run_child)
    monkeypatch.setattr(submission, "write", lambda octets: None)
    session = Submission(None, None)
    session.connection.greet()
    pieces = [b"EHLO me\r\n", ENVELOPE + b"BDAT 3\r\noldRSET\r\n", ENVELOPE + mail]
    if mail.startswith(b"DATA"):
        pieces.append(b"new\r\n.\r\n")
    for piece in pieces:
        for event in session.connection.receive(piece):
            session.take(event)
    assert seen == [b"" if mail.startswith(b"BDAT 0") else b"new\r\n" if mail.startswith(b"DATA") else b"new"]
    assert session.mail == -1
