"""The launcher that packages install: what it loads, what it does when a bundle is not what it should be."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import certificates
from tests.support.scripted import Polite, ScriptedServer
from tests.support.sending import MAIL, account, configuration

INSTALL = Path(__file__).parents[2] / "packaging" / "launcher" / "install.py"
PYTHON = os.path.realpath(sys.executable)

TLS = f"tls on\ntls_trust_file {certificates.localhost().authority}\nauth plain\nuser joe\npassword secret\n"

# Runs a launcher and says at its end where each module of msmtp came from, a file or a bundle, or that it waits there.
WATCHED = """
import posix, sys
leave = posix._exit
def end(code):
    for name, module in list(sys.modules.items()):
        if name.startswith("msmtp"):
            loader = type(getattr(module, "__loader__", None)).__name__
            place = "file" if loader == "SourceFileLoader" else "bundle"
            place = "waiting" if type(module).__name__ == "Late" else place
            sys.stderr.write(f"{name} {place}\\n")
    leave(code)
posix._exit = end
del sys.argv[0]
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The prefix of an installation that no test may change."""
    prefix = tmp_path_factory.mktemp("usr")
    subprocess.run([sys.executable, INSTALL, "--prefix", prefix, "--python", PYTHON], check=True, capture_output=True)
    return prefix


@pytest.fixture
def own(tmp_path, request) -> Path:
    """The prefix of an installation for this test alone."""
    prefix = tmp_path / "usr"
    subprocess.run([sys.executable, INSTALL, "--prefix", prefix, "--python", PYTHON], check=True, capture_output=True)
    return prefix


def run(
    prefix: Path, *arguments: str | Path, environment: dict[str, str] | None = None, name: str = "msmtp"
) -> subprocess.CompletedProcess[str]:
    command = [prefix / "bin" / name, *arguments]
    environment = {**os.environ, **(environment or {})}
    return subprocess.run(
        command, input=MAIL.decode(), capture_output=True, text=True, check=False, timeout=60, env=environment
    )


def watch(prefix: Path, *arguments: str | Path) -> dict[str, str]:
    """Run, and tell where each module came from."""
    command = [PYTHON, "-I", "-S", "-c", WATCHED, prefix / "bin" / "msmtp", *arguments]
    done = subprocess.run(command, input=MAIL, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return dict(line.split() for line in done.stderr.decode().splitlines())


def bundles(prefix: Path) -> dict[str, Path]:
    return {path.name.partition(".")[0]: path for path in prefix.glob("share/msmtp/msmtp/__pycache__/*.bundle")}


def send(prefix: Path, folder: Path, more: str = "") -> dict[str, str]:
    """Send a mail; where each module came from."""
    polite = Polite(starttls=bool(more), mechanisms=["PLAIN"] if more else [])
    with ScriptedServer(polite) as server:
        found = watch(prefix, "-C", configuration(folder, account(server.port, more)), "jane@example.net")
    assert server.sessions[0].mails[0].data.endswith(b"How are you?\r\n")
    return found


USUAL = TLS.replace("auth plain", "auth on").replace("password secret", "passwordeval echo secret\nlogfile -")


@pytest.mark.parametrize("more", ["", TLS, USUAL], ids=["plain", "tls", "usual"])
def test_all_that_a_send_needs_is_in_the_bundles(installed, tmp_path, more):
    found = send(installed, tmp_path, more)
    assert {name for name, place in found.items() if place == "file"} == set()
    assert ("msmtp.net.tls" in found) == bool(more)


LATE = set(runpy.run_path(str(INSTALL.with_name("bundle.py")))["LATE"])
CANNOT_WAIT = {"msmtp.net._digest", "msmtp.net.certificate"}  # where what they import is a file of Python's


@pytest.mark.parametrize("more", ["", TLS, USUAL], ids=["plain", "tls", "usual"])
def test_what_is_needed_only_when_something_is_wrong_waits(installed, tmp_path, more):
    found = send(installed, tmp_path, more)
    waiting = {name for name, place in found.items() if place == "waiting"}
    assert waiting | CANNOT_WAIT >= LATE & found.keys()


def test_what_waits_comes_though_no_file_can_be_opened_any_more(installed, tmp_path):
    settings = "sandbox require\n" + TLS
    refusing = Polite(starttls=True, mechanisms=["PLAIN"], replies={"RCPT": ["550 5.1.1 no such user"]})
    with ScriptedServer(refusing) as server:
        file = configuration(tmp_path, account(server.port, settings))
        refused = run(installed, "-C", file, "--debug", "Jane <jane@example.net>")
    assert refused.returncode == 65
    assert "recipient address jane@example.net not accepted by the server" in refused.stderr
    assert "check the address" in refused.stderr
    assert "550 5.1.1 no such user" in refused.stdout
    elsewhere = "tls_host_override elsewhere.example\n" + settings
    with ScriptedServer(Polite(starttls=True), raise_errors=False) as server:
        file = configuration(tmp_path, account(server.port, elsewhere))
        untrusted = run(installed, "-C", file, "jane@example.net")
    assert untrusted.returncode == 69
    assert "elsewhere.example" in untrusted.stderr


@pytest.mark.parametrize("more", ["", TLS], ids=["plain", "tls"])
def test_a_group_may_be_the_first_that_needs_the_package_of_its_modules(installed, tmp_path, more):
    with ScriptedServer(Polite(starttls=bool(more), mechanisms=["PLAIN"] if more else [])) as server:
        done = run(installed, "-C", configuration(tmp_path, account(server.port, more)), "--serverinfo")
    assert (done.returncode, done.stderr) == (0, "")
    assert "scripted.example" in done.stdout


def test_what_is_in_no_bundle_is_imported_from_its_file(installed):
    assert watch(installed, "--help")["msmtp.config.help"] == "file"


def test_a_module_knows_its_file_and_its_lines(installed):
    code = """
import posix, sys
def end(code):
    send = sys.modules["msmtp.sender.send"]
    print(send.__file__, send.send.__code__.co_filename, send.send.__code__.co_firstlineno, file=sys.stderr)
posix._exit = end
del sys.argv[0]
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"))
"""
    command = [PYTHON, "-I", "-S", "-c", code, installed / "bin" / "msmtp", "--pretend", "--host=x", "--from=y"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    file, filename, line = done.stderr.split()
    assert file == filename == str(installed / "share/msmtp/msmtp/sender/send.py")
    assert Path(file).read_text().splitlines()[int(line) - 1].startswith("def send(")


def test_the_version_is_the_same_as_without_a_launcher(installed):
    code = "from msmtp.sender.main import run; sys.argv[1:] = ['--version']; run()"
    code = f"import sys; sys.path.insert(0, {str(installed / 'share/msmtp')!r}); {code}"
    other = subprocess.run([PYTHON, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run(installed, "--version").stdout == other.stdout


def test_the_name_it_is_called_by_is_the_name_it_speaks_by(own):
    (own / "bin" / "sendmail").symlink_to("msmtp")
    assert run(own, "--nonsense", name="sendmail").stderr.startswith("sendmail: ")


def test_the_environment_and_the_current_folder_lend_it_no_module(installed, tmp_path, monkeypatch):
    (tmp_path / "msmtp").mkdir()
    for name in ("msmtp/__init__.py", "_ctypes.py", "sitecustomize.py", "usercustomize.py", "os.py", "marshal.py"):
        (tmp_path / name).write_text("raise SystemExit('taken in')\n")
    monkeypatch.chdir(tmp_path)
    environment = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path), "PYTHONSTARTUP": str(tmp_path / "os.py")}
    for program in ("msmtp", "msmtpd"):
        assert run(installed, "--version", environment=environment, name=program).returncode == 0


@pytest.mark.parametrize("program", ["msmtp", "msmtpd"])
def test_both_programs_say_what_they_are(installed, program):
    done = run(installed, "--version", name=program)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{program} version ")


def test_a_failure_of_the_server_is_its_exit_code(installed):
    done = run(installed, "--port=abc", name="msmtpd")
    assert done.returncode == 64
    assert done.stderr.startswith("msmtpd: invalid argument abc for --port\n")


@pytest.mark.parametrize("group", ["start", "send", "tls", "auth"])
@pytest.mark.parametrize("harm", ["missing", "empty", "cut", "other Python", "unreadable"])
def test_without_a_bundle_its_modules_are_imported_from_their_files(own, tmp_path, group, harm):
    bundle = bundles(own)[group]
    data = bundle.read_bytes()
    if harm == "missing":
        bundle.unlink()
    elif harm == "empty":
        bundle.write_bytes(b"")
    elif harm == "cut":
        bundle.write_bytes(data[: len(data) // 2])
    elif harm == "other Python":
        bundle.write_bytes(b"\0\0\r\n" + data[4:])
    else:
        bundle.unlink()
        bundle.mkdir()
    found = send(own, tmp_path, TLS)
    members = {"start": "msmtp.sender.main", "send": "msmtp.sender.send", "tls": "msmtp.net.tls"}
    assert found[members.get(group, "msmtp.sasl.plain")] == "file"


@pytest.mark.parametrize(
    ("module", "member"),
    [("sender/main.py", "msmtp.failures"), ("smtp/client.py", "msmtp.sender.send"), ("net/trust.py", "msmtp.net.tls")],
)
def test_a_source_that_has_changed_is_what_runs(own, tmp_path, module, member):
    source = own / "share/msmtp/msmtp" / module
    source.write_text(source.read_text() + "\n")
    found = send(own, tmp_path, TLS)
    assert found[member] == "file"


def test_an_installation_that_was_moved_runs_from_its_files(own, tmp_path):
    """The bundles name the sources they were made of: where these are gone, they are not used."""
    shutil.move(own, tmp_path / "moved")
    launcher = tmp_path / "moved" / "bin" / "msmtp"
    launcher.write_text(launcher.read_text().replace(str(own), str(tmp_path / "moved")))
    assert send(tmp_path / "moved", tmp_path)["msmtp.sender.send"] == "file"


def test_it_can_be_staged_for_a_package(tmp_path):
    command = [sys.executable, INSTALL, "--prefix", "/opt/mail", "--destdir", tmp_path, "--python", PYTHON]
    subprocess.run(command, check=True, capture_output=True)
    launcher = (tmp_path / "opt/mail/bin/msmtp").read_text()
    assert str(tmp_path) not in launcher
    assert "/opt/mail/share/msmtp" in launcher
    assert launcher.startswith(f"#!{PYTHON} -IS\n")
    daemon = (tmp_path / "opt/mail/bin/msmtpd").read_text()
    assert daemon.startswith(f"#!{PYTHON} -I\n")
    assert 'sys.path.insert(0, "/opt/mail/share/msmtp")' in daemon
    assert str(tmp_path).encode() not in bundles(tmp_path / "opt/mail")["start"].read_bytes()
