"""The default command warm and exec'ed: nobody can tell which it was, but for time."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support import certificates
from tests.support.delivering import PLAIN, Brokers
from tests.support.processes import wait_for
from tests.support.scripted import DROP, Mail, Polite, ScriptedServer, Session

from msmtp.config.daemon_settings import Settings
from msmtp.daemon import delivery, warm
from msmtp.failures import ConfigFailure
from msmtp.net import trust

MAIL = b"From: joe@example.org\nSubject: x\nTo: you@example.org\n\nhello\n.dot\n"
CHANGING = re.compile(
    rb"(?m)^Received: [^\n]*\n(?: [^\n]*\n)*|^(?:Date|Message-ID): [^\n]*\n|^[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d |\d\.\d{3} s|msmtpd\[\d+\]"
    rb"|^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d |session \d+"
)  # fmt: skip


@dataclass
class Case:
    """What is sent, and to what; ``config`` with {port} and {folder}, None for no file."""

    config: str | None = "account default\nhost 127.0.0.1\nport {port}\nfrom joe@example.org\nlogfile {folder}/sent\n"
    server: Polite = field(default_factory=Polite)
    recipients: tuple[bytes, ...] = (b"you@example.org",)
    envelope: tuple[object, ...] = PLAIN
    mail: bytes = MAIL
    code: int = 250
    environment: dict[str, str] = field(default_factory=dict)
    mode: int = 0o600
    said: bytes = b""


USUAL = Case().config
TLS = f"{USUAL}tls on\ntls_trust_file {{authority}}\n"
AUTH = f"{USUAL}auth plain\nuser joe\ntls off\n"
KNOWN = Polite(mechanisms=("PLAIN",))

CASES = {
    "success": Case(),
    "several recipients": Case(recipients=(b"a@example.org", b"b@example.org", b"%F@example.org")),
    "the null sender": Case(envelope=(*PLAIN[:4], b"", ())),
    "a large mail": Case(mail=MAIL + b"x" * 70 * 40000),
    "8-bit, no extension": Case(server=Polite(extensions=()), mail=MAIL + b"\xe9\n", code=554),
    "refused recipient": Case(server=Polite(replies={"RCPT": ["250 ok", "550 5.1.1 who?"]}), code=554,
                              recipients=(b"a@example.org", b"b@example.org")),
    "deferred recipient": Case(server=Polite(replies={"RCPT": "451 4.2.1 later"}), code=451),
    "refused mail": Case(server=Polite(replies={"message": "554 5.6.0 no"}), code=554),
    "deferred mail": Case(server=Polite(replies={"message": "452 4.3.1 full"}), code=451),
    "refused greeting": Case(server=Polite(replies={"greeting": "554 go away"}), code=554),
    "a server that hangs up": Case(server=Polite(replies={"message": DROP}), code=451),
    "bad configuration": Case("account default\nhost\nnonsense on\n", code=554),
    "a secret that others can read": Case(f"{AUTH}password secret\n", KNOWN, mode=0o644),
    "no configuration": Case(None, code=554),
    "unreachable server": Case("account default\nhost 127.0.0.1\nport {closed}\nfrom joe@example.org\n", code=451),
    "no such host": Case("account default\nhost nowhere.invalid\nfrom joe@example.org\n", code=451),
    "password": Case(f"{AUTH}password secret\n", KNOWN),
    "passwordeval": Case(f"{AUTH}passwordeval echo secret\n", KNOWN),
    "passwordeval that fails": Case(f"{AUTH}passwordeval exit 3\n", KNOWN, code=554),
    "passwordeval sees the environment": Case(f"{AUTH}passwordeval env | sort > {{folder}}/env; echo secret\n", KNOWN),
    "passwordeval sees descriptors": Case(
        f"{AUTH}passwordeval cat /proc/$PPID/status | egrep '^(Sig[PIC]|Umask|Groups|Cap|Seccomp:|NoNew)' > {{folder}}/st;"
        " readlink /proc/$PPID/cwd >> {folder}/st; ls /proc/$PPID/fd >> {folder}/st; cat /proc/$PPID/limits >> {folder}/st;"
        " ps -o sid= -o pgid= -p $PPID | awk '{{{{print ($1 == $2)}}}}' >> {folder}/st; echo secret\n", KNOWN,
    ),
    "wrong password": Case(f"{AUTH}password wrong\n", KNOWN, code=554),
    "netrc": Case(AUTH, KNOWN, said=b"machine 127.0.0.1 login joe password secret\n"),
    "TLS": Case(TLS, Polite(starttls=True)),
    "TLS and authentication": Case(
        f"{TLS}auth on\nuser joe\npassword secret\n", Polite(starttls=True, mechanisms=("PLAIN",))
    ),
    "TLS, not to be trusted": Case(f"{USUAL}tls on\ntls_trust_file system\n", Polite(starttls=True), code=451),
    "TLS, no trust file": Case(f"{USUAL}tls on\ntls_trust_file /nowhere\n", Polite(starttls=True), code=554),
    "TLS that is not there": Case(TLS, code=451),
    "log on standard output": Case(USUAL.replace("{folder}/sent", "-") + "logfile_time_format none\n", code=250),
    "log that cannot be written": Case(USUAL.replace("{folder}/sent", "/nowhere/log"), code=250),
    "aliases": Case(f"{USUAL}aliases {{folder}}/aliases\n", recipients=(b"root",), said=b"root: you@example.org\n"),
    "evaluated": Case(f"{USUAL}eval echo domain $HOSTNAME_FOR_TEST$LANG.example\n", environment={"LANG": "C.UTF-8"}),
    "time zone": Case(f"{USUAL}logfile_time_format %Z\n", environment={"TZ": "XYZ-3"}),
    "killed": Case(f"{AUTH}passwordeval kill -9 $PPID\n", KNOWN, code=451),
    "terminated": Case(f"{AUTH}passwordeval kill -TERM $PPID; sleep 5\n", KNOWN, code=451),
    "a crash of Python's": Case(f"{AUTH}passwordeval kill -SEGV $PPID; sleep 1\n", KNOWN, code=451),
    "no account for the sender": Case("account a\nhost 127.0.0.1\nport {port}\nfrom other@example.org\n", code=554),
    "auto_from by pattern": Case(USUAL.replace("joe@example.org", "*@example.org")),
    "DSN": Case(
        USUAL, Polite(extensions=("PIPELINING", "DSN")), envelope=(*PLAIN[:5], (b"RET=HDRS", b"ENVID=a+2Bb")),
    ),
}  # fmt: skip


@pytest.fixture
def broker(tmp_path):
    return Brokers(tmp_path)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_warm_and_execed_are_the_same(broker, tmp_path, monkeypatch, case):
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HOSTNAME_FOR_TEST", "not passed on")
    for name, value in case.environment.items():
        monkeypatch.setenv(name, value)
    certificate = certificates.localhost()
    with socket.create_server(("127.0.0.1", 0)) as held:
        closed = held.getsockname()[1]
    seen = []
    with ScriptedServer(case.server, raise_errors=False) as server:
        names = {"port": server.port, "closed": closed, "authority": certificate.authority, "folder": home}
        for way in ("execed", "forked", "waited"):
            lay_out(home, case, names)
            one = broker(None, warm=way != "execed")
            worker = one.session()
            worker.mail(case.mail, *case.recipients, envelope=case.envelope)
            waiting = 0
            if way != "execed":
                wait_for(lambda one=one: len(one.children()) == 1 and state(one.children()[0]) == "S")
                (waiting,) = one.children()
            if way == "forked":
                os.kill(waiting, signal.SIGKILL)
                wait_for(lambda waiting=waiting: not state(waiting))
            lay_out(home, case, names)
            one.log.write_bytes(b"")
            before = len(server.sessions)
            told = worker.mail(case.mail, *case.recipients, envelope=case.envelope)
            assert waiting not in one.children()  # it was the one that waited, if there was one
            assert one.stop() == 0
            left = {path.name: cleaned(path.read_bytes()) for path in home.iterdir() if path.name in LEFT}
            seen.append((told, left, cleaned(one.log.read_bytes()), server.sessions[before:]))
    first, *others = [(*rest, *map(heard, sessions)) for *rest, sessions in seen]  # now that they have ended
    assert others == [first, first]
    assert first[0][0] == case.code, first
    if case.code == 250:
        assert seen[0][3][0].mails


def state(pid: int) -> str:
    """As the kernel has it: Z for one that ended and is not waited for, '' for one that is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except (FileNotFoundError, ProcessLookupError):
        return ""


LEFT = {"sent", "env", "st"}


def heard(session: Session) -> tuple[object, ...]:
    """All of a session that has ended."""
    return without_tls(session.transcript.client), [taken(mail) for mail in session.mails]


def taken(mail: Mail) -> tuple[object, ...]:
    """All of a mail."""
    text = cleaned(mail.data.replace(b"\r\n", b"\n"))
    return (mail.sender, mail.sender_parameters.split(b"SIZE")[0], mail.recipients, mail.recipient_parameters, text)


def lay_out(home: Path, case: Case, names: dict[str, object]) -> None:
    if home.exists():
        for path in home.iterdir():
            path.unlink()
    home.mkdir(exist_ok=True)
    for name in ("aliases", ".netrc"):
        (home / name).write_bytes(case.said)
        (home / name).chmod(0o600)
    if case.config is not None:
        (home / ".msmtprc").write_text(case.config.format(**names))
        (home / ".msmtprc").chmod(case.mode)


def cleaned(octets: bytes) -> bytes:
    """Without what changes from one mail to the next, and without signals 32 and 33, which are the C library's own."""
    octets = re.sub(rb"(?m)^(Sig\w+:\t0{7})[01]([08])", lambda found: found[1] + b"00", octets)
    return CHANGING.sub(b"", octets)


def without_tls(text: bytes) -> list[bytes]:
    """What the client said."""
    return cleaned(text.replace(b"\r\n", b"\n")).splitlines()


def test_what_changes_after_the_start_is_seen(broker, tmp_path, monkeypatch):
    """Configuration and trust are read for each mail; other changes end warmth."""
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    names = {"closed": 1, "folder": home, "authority": certificates.localhost().authority}
    with ScriptedServer(Polite(starttls=True)) as server:
        names["port"] = server.port
        lay_out(home, Case("account default\nhost\n"), names)
        worker = broker(None, warm=True).session()
        assert worker.mail(MAIL)[0] == 554
        trusted = home / "trusted"
        trusted.write_text("nothing\n")
        (home / ".msmtprc").write_text(TLS.format(**{**names, "authority": trusted}))
        assert worker.mail(MAIL)[0] == 554
        trusted.write_bytes(certificates.localhost().authority.read_bytes())
        assert worker.mail(MAIL)[0] == 250


def test_a_program_that_was_replaced_is_started_anew(tmp_path):
    code = f"""
import os
os.environ["OPENSSL_CONF"] = {str(tmp_path / "openssl.cnf")!r}
from msmtp.daemon.warm import Warm
one = Warm({{b"PATH": b"/bin", b"OPENSSL_CONF": os.environb[b"OPENSSL_CONF"]}})
assert one.fresh()
open({str(tmp_path / "openssl.cnf")!r}, "w").close()
assert not one.fresh()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_signals_streams_and_environment_are_those_of_a_start(tmp_path):
    """What Python sees of itself in a warm child and in a process of its own."""
    probe = """
import os, signal, sys, gc
print(sorted(os.environ.items()), sys.argv, os.getcwd(), sys.stdin.encoding, sys.stdout.encoding, sys.stdout.errors)
print(sys.stdout.line_buffering, sys.stderr.errors, sys.stderr.line_buffering, os.getsid(0) == os.getpid())
print([(n.name, str(signal.getsignal(n))[:30]) for n in sorted(signal.valid_signals()) if hasattr(n, "name")])
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()), sys.stdin.fileno(), sys.stdout.fileno(), sys.stderr.fileno())
print(os.popen("env | sort").read(), sys.stdin.read())
"""
    (tmp_path / "probe.py").write_text(probe)
    (tmp_path / "mail").write_text("mail\n")
    code = f"""
import os, signal, sys
os.chdir("/")
for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1):
    signal.signal(number, lambda *_: None)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.environ.update(LEFT="over", PATH="/elsewhere")
from msmtp.daemon import runner, warm
variables = {{b"PATH": b"/usr/bin:/bin", b"A": "é".encode(), b"LC_ALL": b"C.UTF-8"}}
one = warm.Warm({{b"PATH": b"/usr/bin:/bin"}})
import msmtp.sender.main as main
def run():
    exec(compile(open({str(tmp_path / "probe.py")!r}).read(), "probe", "exec"), {{}})
    sys.stdout.flush()
    os._exit(7)
main.run = run
mail = os.open({str(tmp_path / "mail")!r}, os.O_RDONLY)
for name in ("warm", "execed"):
    output = os.open({str(tmp_path)!r} + "/" + name, os.O_CREAT | os.O_WRONLY, 0o600)
    os.lseek(mail, 0, 0)
    if name == "warm":
        pid = one.start([{str(tmp_path / "probe.py").encode()!r}, b"x"], variables, mail, output)
    else:
        words = [sys.executable.encode(), {str(tmp_path / "probe.py").encode()!r}, b"x"]
        pid = runner.spawn(sys.executable, words, variables, mail, output)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == (7 if name == "warm" else 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env={"LC_ALL": "C.UTF-8"})
    assert (tmp_path / "warm").read_text() == (tmp_path / "execed").read_text()
    assert "('A', 'é')" in (tmp_path / "warm").read_text()


@pytest.mark.parametrize(
    ("fault", "status"),
    [("raise ValueError('x')", 1), ("raise SystemExit(5)", 5), ("raise SystemExit('words')", 1), ("os._exit(9)", 9),
     ("os.kill(os.getpid(), 9)", -9), ("raise KeyboardInterrupt", 1)],
)  # fmt: skip
def test_an_end_that_nobody_foresaw_never_returns_into_the_broker(fault, status):
    code = f"""
import os, sys
from msmtp.daemon import warm
import msmtp.sender.main as main
one = warm.Warm({{}})
def run():
    {fault}
main.run = run
nothing = os.open("/dev/null", os.O_RDWR)
pid = one.start([b"msmtp"], {{}}, nothing, nothing)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout == f"{status}\n"


def test_the_default_is_ours_and_one_that_says_the_same_may_be_anothers(tmp_path, monkeypatch):
    settings = Settings()
    assert delivery.is_own_msmtp(settings, {})
    other = tmp_path / "msmtp"
    other.write_text("#!/bin/sh\nexit 0\n")
    other.chmod(0o755)
    settings.command = "msmtp -f %F --"
    path = {b"PATH": os.fsencode(tmp_path)}
    assert not delivery.is_own_msmtp(settings, path)
    other.write_text(f"#!{sys.executable}\nfrom msmtp.sender.main import run\nrun()\n")
    assert delivery.is_own_msmtp(settings, path)


def test_a_mail_under_way_warm_is_ended_at_its_time_limit(broker, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        lay_out(
            tmp_path / "h", Case(), {"port": silent.getsockname()[1], "folder": tmp_path, "closed": 1, "authority": ""}
        )
        (tmp_path / "h" / ".msmtprc").rename(tmp_path / ".msmtprc")
        one = broker(None, warm=True, command_timeout=0.5)
        began = time.monotonic()
        worker = one.session()
        assert worker.mail(MAIL)[0] == 451
        wait_for(lambda: len(one.children()) == 1)  # the one that waits for the next mail
        waiting = one.children()
        assert worker.mail(MAIL)[0] == 451
        assert time.monotonic() - began < 10
        wait_for(lambda: set(one.children()).isdisjoint(waiting))


def test_modules_are_there():
    assert all(name in sys.modules or warm.import_module(name) for name in warm.MODULES)
    assert signal.SIGPIPE in warm.DEFAULT_SIGNALS


@pytest.mark.parametrize("is_warm", [True, False])
def test_the_default_command_works_within_the_sandbox(broker, tmp_path, monkeypatch, is_warm):
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    with ScriptedServer(Polite(starttls=True, mechanisms=("PLAIN",))) as server:
        names = {"port": server.port, "closed": 1, "authority": certificates.localhost().authority, "folder": home}
        lay_out(home, Case(f"{TLS}auth plain\nuser joe\npasswordeval echo secret\nsandbox require\n"), names)
        one = broker(None, warm=is_warm, sandbox="require")
        worker = one.session()
        assert worker.mail(MAIL)[0] == 250
        assert worker.mail(MAIL)[0] == 250
    assert len(server.sessions) == 2


def test_a_system_without_authorities_or_the_library_for_proxies_keeps_msmtp_loaded_all_the_same(monkeypatch):
    def none() -> list[str]:
        raise ConfigFailure("this system has no list of trusted authorities")

    monkeypatch.setattr(trust, "system_paths", none)
    warm.prime_tls()
    assert "msmtp.net.proxy" not in warm.MODULES
