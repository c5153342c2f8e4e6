"""--health: what it says of a daemon that serves, that is full, that hangs, that is none."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.support import certificates
from tests.support.daemon import Msmtpd
from tests.support.processes import free_port
from tests.support.scripted import Polite, ScriptedServer

from msmtp.config.daemon_settings import Settings, parse
from msmtp.daemon import health
from msmtp.failures import Failure


def ask(*options):
    command = [sys.executable, "-I", "-m", "msmtp.daemon", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


KEYS = (f"--tls-cert={certificates.localhost().chain}", f"--tls-key={certificates.localhost().key}")


@pytest.mark.parametrize(
    ("how", "options"),
    [
        ({}, ()),
        ({"host": "::1"}, ("--interface=::1",)),
        ({"unix": "smtp"}, ()),
    ],
    ids=["port", "IPv6", "unix"],
)
def test_a_daemon_that_serves_is_well(how, options):
    with Msmtpd(**how) as daemon:
        place = f"--socket={daemon.folder}/run/smtp" if daemon.unix else f"--port={daemon.port}"
        done = ask("--health", place, *options)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith(" takes mail\n")


@pytest.mark.parametrize(
    "options",
    [("--lmtp",), ("--auth=joe,echo x",)],
    ids=["lmtp", "auth"],
)
def test_it_speaks_as_the_options_say(options):
    with Msmtpd(*options) as daemon:
        assert ask("--health", f"--port={daemon.port}", *options).returncode == 0


def test_it_comes_as_a_proxy_where_proxies_are_expected():
    options = ("--interface=127.0.0.1", "--interface=::1", "--proxy-protocol=::1")
    with Msmtpd(*options, expected=("PROXY",)) as daemon:
        place = ("--interface=::1", f"--port={daemon.port}")
        assert ask("--health", *place).returncode == 1
        assert ask("--health", *place, "--proxy-protocol=::1").returncode == 0


def test_a_daemon_that_begins_with_tls_is_well():
    port = free_port()
    with Msmtpd(f"--smtps-port={port}", *KEYS) as daemon:
        done = ask("--health", f"--smtps-port={port}", *KEYS)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"msmtpd at 127.0.0.1, port {port} takes mail\n", "")
        assert daemon.port != port


def test_a_daemon_that_is_full_is_alive_and_not_ready():
    with Msmtpd("--max-sessions=1", expected=("refused connection",)) as daemon, daemon.talk() as client:
        client.greet()
        ready, alive = ask("--health", f"--port={daemon.port}"), ask("--health=alive", f"--port={daemon.port}")
        client.say("QUIT", "221 2.0.0")
    assert ready.returncode == 1
    assert ready.stderr.startswith("msmtpd: msmtpd does not take mail now: 421 ")
    assert (alive.returncode, alive.stderr) == (0, "")
    assert alive.stdout.endswith(" has all places taken\n")


def test_nobody_there_is_not_well():
    done = ask("--health=alive", f"--port={free_port()}")
    assert done.returncode == 1
    assert "Connection refused" in done.stderr


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        ({"greeting": "554 no"}, "msmtpd does not take mail now: 554 no"),
        ({"greeting": b"HTTP/1.1 200 OK\r\n"}, "HTTP/1.1"),
        ({"EHLO": "550 no"}, "msmtpd does not take mail now: 550 no"),
        ({"EHLO": "421 no"}, "msmtpd does not take mail now: 421 no"),
    ],
)
def test_who_answers_otherwise_is_not_well(replies, said, capfd):
    with ScriptedServer(Polite(replies=replies)) as server:
        settings = parse(["msmtpd", "--health=alive", f"--port={server.port}"])
        assert health.check(settings) == 1
    assert said in capfd.readouterr().err


def test_who_says_nothing_is_not_well_and_not_waited_for(monkeypatch, capfd):
    monkeypatch.setattr(health, "PATIENCE", 0.2)
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = parse(["msmtpd", "--health", f"--port={silent.getsockname()[1]}"])
        assert health.check(settings) == 1
    assert "timed out" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ([], "127.0.0.1, port 25"),
        (["--port=26", "--port=27", "--interface=0.0.0.0"], "127.0.0.1, port 26"),
        (["--port=26", "--interface=::"], "::1, port 26"),
        (["--socket=/run/smtp,mode=0660"], "/run/smtp"),
        (["--smtps-port=465", *KEYS], "127.0.0.1, port 465"),
    ],
)
def test_it_is_asked_where_the_options_have_it_listen(words, place):
    assert str(health.where(parse(["msmtpd", "--health", *words]))) == place


def test_a_port_that_the_system_chose_is_not_known():
    settings = Settings()
    settings.ports = [0]
    with pytest.raises(Failure, match="do not say where"):
        health.where(settings)
