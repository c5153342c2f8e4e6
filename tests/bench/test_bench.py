"""The benchmark itself: what it runs, what it counts as missed, and that its server takes mail."""

from __future__ import annotations

import shutil
import smtplib
import ssl
import tempfile
from pathlib import Path

import pytest
from bench import daemon
from bench.__main__ import newest_is_there
from bench.daemon import MANY, Client, Place, in_turn, rate, running
from bench.measure import Program, measure
from bench.programs import NEWEST, RECIPIENT, SENDER, Installed, Way
from bench.servers import sink
from bench.table import Figure, ratio
from tests.support import certificates, debian


@pytest.fixture(scope="module")
def installed():
    folder = Path(tempfile.mkdtemp(prefix="msmtp-bench-"))
    folder.chmod(0o755)
    yield Installed(folder, newest=True)
    shutil.rmtree(folder)


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


@pytest.mark.parametrize(("median", "missed"), [(0.8, True), (0.95, False), (3.0, False)])
def test_a_rate_has_a_target_that_it_should_not_be_below(median, missed):
    figure = rate("x", [1.0], [median], 1.0)
    assert figure.median == median
    assert figure.missed(0.1) == missed


@pytest.mark.parametrize("kept", [False, True])
def test_both_daemons_take_the_clients_mails(installed, kept):
    place = Place(installed)
    (place.folder / "log").unlink(missing_ok=True)
    anew = place.anew(installed.references[0], place.drop())
    with place.ours(*MANY, f"--command={place.drop()}") as (ours, _):
        taken = in_turn([running(ours), anew], Client(6, clients=2, kept=kept), 2)
    assert [len(times) for times in taken] == [2, 2]
    assert (place.folder / "log").read_text().count("taken in") == 18


def test_there_are_two_c_programs_and_the_second_is_newer(installed):
    here, newest = [tuple(map(int, reference.version().split("."))) for reference in installed.references]
    assert here < newest


def test_a_newest_c_program_that_cannot_be_had_is_left_out_and_that_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(debian, "CACHE", tmp_path)
    monkeypatch.setattr(debian, "mirror", lambda: f"file:{tmp_path}/nowhere")
    assert not newest_is_there()
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("the newest C program: left out, E: ")


def test_the_newest_c_program_sends_and_receives(installed):
    """Each by the C library that came with it; what it starts runs by the machine's."""
    place = Place(installed)
    taken = place.folder / "taken"
    keep = place.folder / "keep"
    keep.write_text(f'#!/bin/sh\necho "libraries:$LD_LIBRARY_PATH" >>{taken}\ncat >>{taken}\n')
    keep.chmod(0o755)
    letter = installed.folder / "letter"
    letter.write_text("Subject: hello\n\nhello\n")
    with place.c(installed.references[1], str(keep)) as port:
        *_, newest = installed.senders(Way("plain", port))
        assert newest.name == NEWEST
        measure([newest], letter, 1)
    lines = taken.read_text().splitlines()
    assert lines.count("libraries:") == lines.count("Subject: hello") == 2


@pytest.mark.parametrize("kept", [False, True])
def test_aiosmtpd_takes_the_clients_mails(installed, kept):
    place = Place(installed)
    taken = place.folder / f"taken.{kept}"
    keep = place.folder / "keep"
    keep.write_text(f'#!/bin/sh\necho "$@" >>{taken}\nexec cat >>{taken}\n')
    keep.chmod(0o755)
    with place.aiosmtpd(f"{keep} from %F --") as port:
        Client(6, kept=kept).seconds(port)
    lines = taken.read_text().splitlines()
    assert lines.count(f"from {SENDER} -- {RECIPIENT}") == 6
    assert len([line for line in lines if line.startswith("Message-Id:")]) == 6
    with place.aiosmtpd() as port:
        Client(6, clients=2, kept=kept).seconds(port)


def test_aiosmtpd_answers_as_the_command_ends(installed):
    with Place(installed).aiosmtpd("/bin/false") as port, pytest.raises(RuntimeError, match="the command failed"):
        Client(1).seconds(port)


def test_mails_are_dropped_by_all_daemons_in_turn(installed, monkeypatch):
    monkeypatch.setattr(daemon, "DROPPED", (("some", 1000, 4, False, 0.001),))
    monkeypatch.setattr(daemon, "CLIENTS", (2,))
    ((_, figures),) = daemon.dropped(Place(installed), 1)
    targets = {figure.name.removeprefix("rate, to ").removesuffix(", 2 at a time"): figure.target for figure in figures}
    assert targets == {
        "the C program's": 0.001,
        "the newest C program's": 0.001,
        "the C program's, not started anew": 0.001,
        "the newest C program's, not started anew": 0.001,
        "ours with the sandbox off": None,
        "aiosmtpd's": None,
        "aiosmtpd's, no command": None,
    }
    assert all(len(figure.values) == 1 for figure in figures)


def test_an_fsync_is_waited_for(tmp_path):
    assert daemon.flush(tmp_path) > 0


def test_a_mail_that_is_not_taken_is_no_measurement(installed):
    place = Place(installed)
    with place.ours("--command=false") as (ours, _), pytest.raises(RuntimeError):
        Client(1).seconds(ours)


def test_the_default_command_hands_mails_on(installed):
    place = Place(installed)
    certificate = certificates.localhost()
    with sink("starttls", certificate) as port:
        authority = place.folder / "authority.pem"
        authority.write_bytes(certificate.authority.read_bytes())
        home = place.home(Way("starttls", port, authority))
        with place.ours(environment={"HOME": str(home)}) as (ours, _):
            assert Client(2).seconds(ours) > 0


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
