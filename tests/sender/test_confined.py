"""A real run of msmtp, looked at from inside at the moment when it hears the server for the first time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.support import certificates
from tests.support.scripted import Polite, ScriptedServer
from tests.support.sending import MAIL, account, configuration

# Runs msmtp with one change: when the session waits for the greeting, the attempt is made and its outcome printed.
HARNESS = """
import errno, os, sys, _socket
from msmtp.sender import main, session

def attempt():
    {attempt}

greet = session.Session.greet
def greet_and_try(self):
    try:
        attempt()
    except OSError as error:
        outcome = errno.errorcode[error.errno]
    else:
        outcome = "allowed"
    print("outcome", outcome, flush=True)
    greet(self)
session.Session.greet = greet_and_try
main.run()
"""

FORBIDDEN = {
    "read a file": "os.open('/etc/passwd', os.O_RDONLY)",
    "write a file": "os.open('{folder}/new', os.O_WRONLY | os.O_CREAT)",
    "list a folder": "os.listdir('/')",
    "make a folder": "os.mkdir('{folder}/folder')",
    "remove a file": "os.unlink('{folder}/msmtprc')",
    "a TCP socket": "_socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)",
    "a UDP socket": "_socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)",
    "a unix socket": "_socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)",
    "a netlink socket": "_socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW)",
    "run a program": "os.execv('/bin/true', ['true'])",
    "start a process": "os.fork()",
    "spawn a program": "os.posix_spawn('/bin/true', ['true'], dict())",
    "kill the parent": "os.kill(os.getppid(), 0)",
    "memory of its own": "os.open('/proc/self/mem', os.O_RDWR)",
    "memory of the parent": "os.open('/proc/%d/mem' % os.getppid(), os.O_RDONLY)",
    "an executable in memory": "os.execve(os.memfd_create('x'), ['x'], dict())",
    "another user": "os.setuid(65534)",
}


@pytest.mark.parametrize("what", FORBIDDEN)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_nothing_forbidden_can_be_done_in_a_real_run(tmp_path, what, tls):
    more = "tls on\ntls_certcheck off" if tls else ""
    with ScriptedServer(Polite(starttls=tls), raise_errors=False) as server:
        rc = configuration(tmp_path, account(server.port, more))
        source = HARNESS.format(attempt=FORBIDDEN[what].format(folder=tmp_path))
        done = subprocess.run(
            [
                sys.executable,
                "-I",
                "-c",
                source,
                "-C",
                str(rc),
                "--sandbox=require",
                "x@example.net",
            ],
            input=MAIL,
            capture_output=True,
            check=False,
            timeout=60,
        )
    refused = b"outcome EPERM\n" in done.stdout or b"outcome EACCES\n" in done.stdout
    assert refused or done.returncode < 0, (done.stdout, done.stderr)
    assert b"outcome allowed" not in done.stdout
    assert os.path.exists(rc)
    assert not refused or (done.returncode == 0 and server.sessions[0].mails), done.stderr


def test_the_harness_would_notice(tmp_path):
    with ScriptedServer(Polite()) as server:
        rc = configuration(tmp_path, account(server.port))
        source = HARNESS.format(attempt=FORBIDDEN["read a file"])
        command = [sys.executable, "-I", "-c", source, "-C", str(rc), "--sandbox=off", "x@example.net"]
        done = subprocess.run(command, input=MAIL, capture_output=True, check=False)
    assert b"outcome allowed\n" in done.stdout


NO_LANDLOCK = """
import pyseccomp
_filter = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
_filter.add_rule(pyseccomp.ERRNO(38), "landlock_create_ruleset")
_filter.load()
"""


@pytest.mark.parametrize("links", [False, True], ids=["file", "links"])
@pytest.mark.parametrize("prelude", ["", NO_LANDLOCK], ids=["landlock", "no landlock"])
def test_a_hashed_directory_of_authorities_works_and_nothing_beside_it_can_be_read(tmp_path, prelude, links):
    """Without Landlock the directory is read before the sandbox, for then no file at all may be opened in it."""
    issued = certificates.localhost()
    trusted = tmp_path / "authorities"
    trusted.mkdir()
    (trusted / "authority.pem").write_bytes(issued.authority.read_bytes())
    subprocess.run(["openssl", "rehash", trusted], check=True)
    if links:
        for folder in ("own", "common"):
            (tmp_path / folder).mkdir()
        (trusted / "authority.pem").rename(tmp_path / "common" / "ca.crt")
        (tmp_path / "own" / "ca.crt").symlink_to("../common/ca.crt")
        (trusted / "authority.pem").symlink_to(tmp_path / "own" / "ca.crt")
    with ScriptedServer(Polite(starttls=True)) as server:
        rc = configuration(tmp_path, account(server.port, "tls on"))
        source = prelude + HARNESS.format(attempt=FORBIDDEN["read a file"])
        done = subprocess.run(
            [sys.executable, "-I", "-c", source, "-C", str(rc), "x@example.net"],
            input=MAIL,
            capture_output=True,
            check=False,
            timeout=60,
            env={**os.environ, "SSL_CERT_DIR": str(trusted), "SSL_CERT_FILE": ""},
        )
    assert done.returncode == 0, done.stderr
    assert b"outcome EACCES\n" in done.stdout
    assert len(server.sessions[0].mails) == 1
