"""What a run loads: msmtp starts once a mail, so a module that it does not need is time that somebody waits.

Each run is a process of its own, started without the site module as packages start it, which says at its end what it
has loaded.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import certificates
from tests.support.scripted import Polite, ScriptedServer
from tests.support.sending import MAIL, account, configuration

SOURCE = Path(__file__).parents[2] / "src"

# Each costs as much as a third of a send, or more.
FORBIDDEN = {
    "argparse", "ast", "asyncio", "base64", "bisect", "calendar", "collections", "configparser", "contextlib", "copy",
    "ctypes", "dataclasses", "datetime", "dis", "email", "encodings.idna", "enum", "fnmatch", "functools", "getopt",
    "getpass", "glob", "hashlib", "heapq", "hmac", "http", "importlib.util", "inspect", "io.StringIO", "ipaddress",
    "itertools", "json", "keyword", "linecache", "locale", "logging", "operator", "os", "pathlib", "pickle", "platform",
    "posixpath", "queue", "random", "re", "reprlib", "secrets", "selectors", "shlex", "shutil", "signal", "socket",
    "ssl", "statistics", "string", "struct", "subprocess", "tempfile", "textwrap", "threading", "tokenize", "traceback",
    "types", "typing", "unicodedata", "urllib", "uuid", "warnings", "weakref", "zipfile",
    "dns", "gssapi", "idna", "keyring", "socks", "spnego",
}  # fmt: skip

# What is loaded where it is chosen, and nowhere else.
ONLY_WHEN_CHOSEN = {
    "msmtp.config.explain", "msmtp.config.help", "msmtp.config.substitution", "msmtp.config.texts",
    "msmtp.config.wildcards", "msmtp.credentials.command", "msmtp.credentials.keyrings", "msmtp.credentials.netrc",
    "msmtp.mail.aliases", "msmtp.net.gnutls", "msmtp.net.priorities", "msmtp.net.proxy", "msmtp.net.srv",
    "msmtp.sandbox.builder", "msmtp.sandbox.syscalls", "msmtp.sasl.gssapi", "msmtp.sasl.ntlm", "msmtp.sasl.scram",
    "msmtp.sasl.server", "msmtp.sender.ask", "msmtp.sender.configure", "msmtp.sender.submission", "msmtp.smtp.grammar",
    "msmtp.smtp.parsing", "msmtp.smtp.server",
}  # fmt: skip

PROGRAM = """
import posix, sys
sys.modules.pop("linecache", None)  # Python 3.13 loads it for -c
leave = posix._exit
def end(code):
    sys.stderr.write("LOADED " + " ".join(sys.modules) + "\\n")
    leave(code)
posix._exit = end
sys.path.append(sys.argv.pop(1))
sys.argv[0] = "msmtp"
from msmtp.sender.main import run
run()
"""


def loaded(*arguments: str | Path, mail: bytes = MAIL) -> set[str]:
    """What a run has loaded; it must have succeeded."""
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, SOURCE, *arguments]
    done = subprocess.run(command, input=mail, capture_output=True, timeout=60, check=False)
    *said, modules = done.stderr.decode().splitlines()
    assert (done.returncode, said) == (0, [])
    return set(modules.removeprefix("LOADED ").split())


TLS = f"tls on\ntls_trust_file {certificates.localhost().authority}\n"
AUTH = "auth plain\nuser joe\npassword secret\n"
USUAL = "auth on\nuser joe\npasswordeval echo secret\nlogfile ~/log\n"


@pytest.mark.parametrize(
    ("polite", "more", "implicit", "needed"),
    [
        ({}, "", False, set()),
        ({}, "logfile -\n", False, set()),
        ({"starttls": True}, TLS, False, {"_ssl"}),
        ({"starttls": True, "mechanisms": ["PLAIN"]}, TLS + AUTH, False, {"_ssl", "msmtp.sasl.plain"}),
        ({"mechanisms": ["PLAIN"]}, TLS + AUTH + "tls_starttls off\n", True, {"_ssl", "msmtp.sasl.plain"}),
        (
            {"starttls": True, "mechanisms": ["PLAIN"]},
            TLS + USUAL,
            False,
            {"msmtp.credentials.command", "msmtp.sasl.scram"},
        ),
    ],
    ids=["plain", "log", "starttls", "starttls-auth", "tls-auth", "usual"],
)
def test_a_send_loads_nothing_that_it_does_not_need(tmp_path, polite, more, implicit, needed):
    with ScriptedServer(Polite(**polite), implicit=implicit) as server:
        found = loaded("-C", configuration(tmp_path, account(server.port, more)), "jane@example.net")
    assert found & FORBIDDEN == set()
    assert found & (ONLY_WHEN_CHOSEN - needed) == set()
    assert needed <= found
    if not needed:
        assert found.isdisjoint({"_ssl", "_hashlib", "msmtp.net.tls", "msmtp.sasl.mechanisms", "msmtp.credentials"})


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_a_text_loads_nothing_of_the_network(option):
    found = loaded(option)
    assert found & FORBIDDEN == set()
    assert found.isdisjoint({"_ctypes", "msmtp.net.connect", "msmtp.sender.send", "msmtp.smtp.client"})


def test_pretending_loads_nothing_of_the_network(tmp_path):
    found = loaded("--pretend", "-C", configuration(tmp_path, account(25)))
    assert found & FORBIDDEN == set()
    assert found.isdisjoint({"_ctypes", "_ssl", "msmtp.net.tls"})


def test_os_is_there_for_those_who_ask_for_all_of_it():
    code = f"""
import sys
sys.path.append({str(SOURCE)!r})
from msmtp.system import os
assert "os" not in sys.modules
assert os is sys.modules["msmtp.system"]
assert os.fsdecode(os.fsencode("\\udcff.x")) == "\\udcff.x" and os.fsencode(b"x") == b"x" and os.fsdecode("x") == "x"
assert os.path.join("a", "b") == "a/b"
import os as whole
assert os.environ == whole.environ and os.SEEK_END == whole.SEEK_END and os.devnull == whole.devnull
"""
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=60)
