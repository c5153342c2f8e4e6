"""The benchmark beside nullmailer: that every program's mail comes to its own server, and is timed there."""

from __future__ import annotations

import os
import smtplib
import tempfile
import time
from pathlib import Path

import pytest
from bench import nullmailer
from bench.nullmailer import Server, beside
from bench.programs import Installed
from bench.servers import disk
from tests.support import certificates, debian


def test_a_server_knows_when_a_mail_came():
    with Server("plain", certificates.localhost()) as server:
        begun = time.perf_counter()
        with smtplib.SMTP("127.0.0.1", server.port, timeout=20) as client:
            assert client.helo()[0] == 250
            for _ in range(3):  # one that does not count, and two
                client.sendmail("a@example.org", ["b@example.net"], b"x\r\n" * 100_000)
        first, second = server.seconds([begun, begun])
    assert 0 < first < second <= time.perf_counter() - begun


@pytest.mark.skipif(bool(os.geteuid()), reason="nullmailer runs in a private view of the file system, which needs root")
@pytest.mark.parametrize("kind", ["plain", "starttls"])
def test_all_of_them_are_timed(kind):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        found = beside(Installed(Path(folder)), kind, 2)
        log = Path(folder, f"nullmailer-{kind}.log").read_text()
    assert [figure.name.partition(":")[0] for figure in found] == ["ours"] * 3 + ["C"] * 3
    assert all(len(figure.values) == 2 and figure.median > 0 for figure in found)
    assert log.count("smtp: Succeeded") == 3


def test_without_root_it_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert not list(nullmailer.figures(None, 1))
    assert "left out" in capsys.readouterr().out


def test_a_queue_is_beside_the_packages_and_goes():
    with disk() as queue:
        assert queue.is_dir()
        assert queue.is_relative_to(debian.CACHE.parent)
    assert not queue.parent.exists()
