"""The benchmark itself: what it runs, what it counts as missed, and that its server takes mail."""

from __future__ import annotations

import smtplib
import ssl

import pytest
from bench.measure import Program, measure
from bench.servers import sink
from bench.table import Figure, ratio
from tests.support import certificates


def test_a_ratio_is_taken_round_by_round():
    figure = ratio("x", [1.0, 2.0, 30.0], [2.0, 4.0, 60.0], 0.5)
    assert figure.values == [0.5, 0.5, 0.5]
    assert not figure.missed(0.0)


@pytest.mark.parametrize(
    ("values", "target", "exact", "missed"),
    [
        ([1.05], 1.0, False, False),
        ([1.2], 1.0, False, True),
        ([9.9, 0.9, 0.8], 1.0, False, False),  # the median counts
        ([5], 4, True, True),
        ([4], 4, True, False),
        ([99.0], None, False, False),
    ],
)
def test_a_target_is_missed_beyond_its_tolerance_and_counts_have_none(values, target, exact, missed):
    figure = Figure("x", values, target, exact=exact)
    assert figure.missed(0.1) == missed
    assert ("MISSED" in figure.row(0.1)) == missed


@pytest.mark.parametrize(("piped", "size"), [(True, 1000), (True, 300_000), (False, 300_000)])
def test_programs_run_in_turn_and_get_the_mail(tmp_path, piped, size):
    mail, log = tmp_path / "mail", tmp_path / "log"
    mail.write_bytes(b"x" * size)
    programs = [Program(name, ["/bin/sh", "-c", f"echo {name} $(wc -c) >>{log}"]) for name in ("a", "b")]
    runs = measure(programs, mail, 2, piped=piped)
    assert log.read_text().split() == ["a", str(size), "b", str(size)] * 3  # the first round does not count
    assert len(runs["a"].wall) == len(runs["b"].cpu) == len(runs["b"].peak) == 2


def test_a_program_that_fails_is_not_measured(tmp_path):
    mail = tmp_path / "mail"
    mail.touch()
    with pytest.raises(RuntimeError):
        measure([Program("x", ["/bin/sh", "-c", "exit 3"])], mail, 1)


@pytest.mark.parametrize("way", ["plain", "starttls", "tls"])
@pytest.mark.parametrize("size", [1, 1_000_000])
def test_the_sink_takes_mail(way, size):
    certificate = certificates.localhost()
    context = ssl.create_default_context(cafile=str(certificate.authority))
    with sink(way, certificate) as port:
        kind = smtplib.SMTP_SSL if way == "tls" else smtplib.SMTP
        with kind("127.0.0.1", port, timeout=20, **({"context": context} if way == "tls" else {})) as client:
            if way == "starttls":
                client.starttls(context=context)
            client.login("joe", "secret")
            for _ in range(2):
                assert client.sendmail("a@example.org", ["b@example.net"], b"x\r\n.\r\n" * size) == {}
            client.send(b"BDAT 3 LAST\r\nx\r\n")
            assert client.getreply()[0] == 250
