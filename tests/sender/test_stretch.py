"""A send without a mail and without a server."""

from __future__ import annotations

import os
import signal

from msmtp.daemon import descriptors
from msmtp.sender import stretch


def test_stretching_leaves_nothing_behind_and_asks_nobody():
    before = descriptors.open_ones()
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    variables = dict(os.environ)
    stretch.stretch()
    assert descriptors.open_ones() == before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers
    assert dict(os.environ) == variables


def test_stretching_is_a_whole_send(monkeypatch):
    """It stops nowhere on the way without a test that says so: a stretch that fails costs time and says nothing."""
    lines = []
    monkeypatch.setattr(stretch, "log_line", lambda *words: lines.append(words))
    stretch.stretch()
    (account, sender, recipients, delivery, failure, code) = lines[0]
    assert (sender, recipients, failure, code) == (b"a@warm.example", [b"b@warm.example"], None, 0)
    assert account.tls
    assert delivery.reply.code == 250
