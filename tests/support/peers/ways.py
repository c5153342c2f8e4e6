"""Which ports each peer of the test bed has, known before any of them runs."""

from __future__ import annotations

import pytest
from tests.support.peers.opensmtpd import PORTS as OPENSMTPD_PORTS

PORTS = {
    "postfix": ("smtp", "submission", "submissions"),
    "exim": ("smtp", "submission", "submissions"),
    "opensmtpd": OPENSMTPD_PORTS,
    "dovecot": ("submission", "submissions", "lmtp"),
    "aiosmtpd": ("smtp", "submission", "submissions", "lmtp"),
}


def ways(*ports: str, without: tuple[tuple[str, str], ...] = ()) -> pytest.MarkDecorator:
    """Run the test for each of these ports (default: all) of each peer that has it; it takes ``peer`` and ``way``."""
    chosen = [(name, port) for name, has in PORTS.items() for port in has if not ports or port in ports]
    chosen = [way for way in chosen if way not in without]
    return pytest.mark.parametrize("way", chosen, ids=["-".join(way) for way in chosen])
