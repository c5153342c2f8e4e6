"""What this machine can do to a run: descriptors closed or full, limits, odd standard streams, refused system calls.

Never a traceback, never "sent" where it was not, and what has nothing to do with the mail changes nothing about it.
"""

from __future__ import annotations

import itertools
import os
import resource
import socket
import subprocess
import sys

import pytest
from tests.support import certificates
from tests.support.hostile import FAULTS
from tests.support.scripted import Polite, ScriptedServer
from tests.support.sending import MAIL, MSMTP, account, configuration

TLS = f"tls on\ntls_trust_file {certificates.localhost().authority}\nauth plain\nuser joe\npassword secret\n"
TO = ("jane@example.net",)


class Run:
    """msmtp with standard streams as somebody prepares them: ``code``, ``err``, ``log``, and the ``mails`` that arrived."""

    def __init__(self, folder, arguments=TO, *, more="", prepare=None, mail=MAIL, tls=False, **popen):
        (folder / "mail").write_bytes(mail)
        log = folder / "log"
        polite = Polite(starttls=tls, mechanisms=["PLAIN"] if tls else ())
        with (
            ScriptedServer(polite, raise_errors=False) as server,
            (folder / "mail").open() as source,
            (folder / "out").open("w+") as out,
            (folder / "err").open("w+") as err,
        ):
            text = account(server.port, ("logfile {log}\n" if "logfile" not in more else "") + more).format(log=log)
            command = [*MSMTP, "-C", configuration(folder, text + (TLS if tls else "")), *arguments]
            streams = {"stdin": source, "stdout": out, "stderr": err, **popen}
            self.code = subprocess.run(command, **streams, preexec_fn=prepare, check=False, timeout=30).returncode
            for stream in (out, err):
                stream.seek(0)
            self.out, self.err = out.read(), err.read()
        self.log = log.read_text() if log.exists() else ""
        self.mails = server.mails
        assert not any(fault in self.err for fault in FAULTS), self.err
        assert (self.code == 0) == bool(self.mails) or "--" in str(arguments[0]), (self.code, self.err)


def closing(*numbers):
    def prepare():
        for number in numbers:
            os.close(number)

    return prepare


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("closed", [c for n in range(4) for c in itertools.combinations((0, 1, 2), n)], ids=str)
def test_standard_descriptors_that_are_closed(tmp_path, closed, tls):
    for arguments in (TO, ("--debug", *TO)):
        run = Run(tmp_path, arguments, prepare=closing(*closed), tls=tls)
        assert run.code == (74 if 0 in closed else 0), run.err
        assert run.log.count("exitcode=EX_OK\n") == len(run.mails) or arguments[0] == "--debug"


@pytest.mark.parametrize("closed", [(1,), (1, 2)], ids=str)
def test_a_log_on_a_closed_standard_output_changes_nothing(tmp_path, closed):
    assert Run(tmp_path, more="logfile -\n", prepare=closing(*closed)).code == 0


def nobody_reads():
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)


def full():
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


@pytest.mark.parametrize("output", [nobody_reads, full])
@pytest.mark.parametrize(("arguments", "more"), [(("--debug", *TO), ""), (TO, "logfile -\n")], ids=["debug", "log"])
def test_standard_output_that_takes_nothing_is_said_and_changes_nothing(tmp_path, output, arguments, more):
    run = Run(tmp_path, arguments, more=more, prepare=output)
    assert run.code == 0
    assert run.err.startswith("msmtp: cannot write to standard output: ")
    assert run.err.count("\n") == 1


def test_output_that_is_the_purpose_is_an_error_if_it_is_lost(tmp_path):
    for arguments in (("--serverinfo",), ("--version",), ("--pretend", *TO)):
        assert Run(tmp_path, arguments, prepare=full).code == 74


def test_a_log_that_is_a_pipe_without_a_reader_holds_up_nothing(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    run = Run(tmp_path, more=f"logfile {tmp_path}/pipe\n")
    assert run.code == 0
    assert run.err.startswith(f"msmtp: cannot log to {tmp_path}/pipe: cannot open: ")
    assert "exitcode=EX_OK" in run.err


def test_a_log_that_is_a_pipe_with_a_reader_gets_its_line(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert Run(tmp_path, more=f"logfile {tmp_path}/pipe\n").err == ""
        assert os.read(reader, 4096).endswith(b"exitcode=EX_OK\n")
    finally:
        os.close(reader)


@pytest.mark.parametrize("log", ["/dev/stdout", "/dev/stderr", "/dev/null"])
def test_a_log_may_be_a_device(tmp_path, log):
    run = Run(tmp_path, more=f"logfile {log}\nlogfile_time_format none\n")
    said = run.out + run.err
    assert said.startswith("host=127.0.0.1 ") or log == "/dev/null"
    assert said.count("\n") == (log != "/dev/null")


def test_standard_input_that_somebody_made_nonblocking_is_waited_for(tmp_path):
    """Programs that share a descriptor with their children leave it so (Node.js does)."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    script = f"import os, time\nfor part in (b'Subject: x\\n', b'\\nhello\\n'):\n time.sleep(0.3)\n os.write({writing}, part)"
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", script], pass_fds=[writing]):
        os.close(writing)
        run = Run(tmp_path, stdin=reading)
    os.close(reading)
    assert run.mails[0].data.endswith(b"\r\n\r\nhello\r\n")


def test_a_submission_session_without_a_client_is_an_error(tmp_path):
    run = Run(tmp_path, ("-bs",), prepare=closing(0))
    assert run.code == 74
    assert run.err == "msmtp: cannot read the mail from standard input: Bad file descriptor\n"


@pytest.mark.parametrize("stream", ["a socket", "a device", "nothing"])
def test_standard_input_of_other_kinds(tmp_path, stream):
    here, there = socket.socketpair()
    there.sendall(MAIL)
    there.close()
    with here, open("/dev/null") as null, open("/dev/null", "w") as unreadable:
        given = {"a socket": here, "a device": null, "nothing": unreadable}[stream]
        run = Run(tmp_path, stdin=given)
    assert run.code == (74 if stream == "nothing" else 0)


# -- limits


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    ("limit", "values"),
    [
        (resource.RLIMIT_NOFILE, (6, 7, 8)),
        (resource.RLIMIT_AS, (24 << 20, 32 << 20)),
        (resource.RLIMIT_FSIZE, (0, 10, 100)),
        (resource.RLIMIT_NPROC, (0,)),
        (resource.RLIMIT_STACK, (1 << 16,)),
    ],
    ids=["descriptors", "memory", "file", "processes", "stack"],
)
def test_narrow_limits_end_in_a_code_and_words(tmp_path, limit, values, tls):
    for value in values:
        run = Run(tmp_path, prepare=lambda value=value: resource.setrlimit(limit, (value, value)), tls=tls)
        assert run.code in {0, 71, 75}, run.err


def test_a_mail_larger_than_memory_is_temporary(tmp_path):
    """Wherever it runs out: also while the words for that are made."""
    mail = b"A: b\n" * 100000 + b"\n"
    for limit in range(18 << 20, 24 << 20, 1 << 20):
        run = Run(tmp_path, mail=mail, prepare=lambda size=limit: resource.setrlimit(resource.RLIMIT_AS, (size, size)))
        assert (run.code, run.err) == (71, "msmtp: out of memory\n")


NOTHING_LEFT = """
from msmtp.sender import main
def fail():
    raise {error}
main.main = fail
main.run()
"""


@pytest.mark.parametrize("error", ["MemoryError", "SystemError('error return without exception set')"])
def test_memory_that_does_not_even_suffice_to_tell_of_it(error):
    command = [sys.executable, "-I", "-c", NOTHING_LEFT.format(error=error)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (71, b"msmtp: out of memory\n")


# -- system calls that fail

# Runs msmtp; the WHICH-th wait for the server fails.  -1: the one that waits for the answer to the mail.
INJECT = """
import errno, os, sys
from msmtp.net import stream
from msmtp.sender import main
wait, count = stream.Stream._wait, [0]
def failing(self, *arguments):
    count[0] += 1
    if count[0] == {which}:
        {fault}
    return wait(self, *arguments)
stream.Stream._wait = failing
main.run()
"""
FAULT_CODES = {
    "raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))": (
        71,
        "system error: Cannot allocate memory (at <string>:9)",
    ),
    "raise MemoryError": (71, "out of memory"),
    "raise ValueError('secret')": (70, "internal error: ValueError at <string>:9; please report this"),
}


@pytest.mark.parametrize("fault", FAULT_CODES)
@pytest.mark.parametrize("which", [1, 2, 3, 4])
def test_a_wait_that_fails_is_told_and_logged_and_doubt_is_admitted(tmp_path, which, fault):
    """Waits: greeting, EHLO, the envelope, the mail (RFC 2920)."""
    code, words = FAULT_CODES[fault]
    with ScriptedServer(Polite(), raise_errors=False) as server:
        rc = configuration(tmp_path, account(server.port, f"logfile {tmp_path}/log\n"))
        command = [sys.executable, "-I", "-c", INJECT.format(which=which, fault=fault), "-C", rc, *TO]
        done = subprocess.run(command, input=MAIL, capture_output=True, check=False, timeout=30)
    said = done.stderr.decode()
    assert done.returncode == code
    assert said.startswith(f"-c: {words}\n")
    assert ("the server may have taken the mail all the same" in said) == (which == 4)
    assert bool(server.mails) == (which == 4)
    assert (tmp_path / "log").read_text().count(f"errormsg='{words}' exitcode=EX_") == 1
    assert "secret" not in said


WITHOUT = """
import sys
sys.modules.update(fcntl=None, syslog=None)
from msmtp.sender import main
main.run()
"""


@pytest.mark.parametrize(
    ("setting", "words"),
    [("logfile {log}", "cannot log to {log}: cannot lock: "), ("syslog on", "cannot log to syslog: ")],
)
def test_a_log_whose_module_cannot_be_loaded_holds_up_nothing(tmp_path, setting, words):
    log = tmp_path / "log"
    with ScriptedServer(Polite()) as server:
        rc = configuration(tmp_path, account(server.port, setting.format(log=log)))
        command = [sys.executable, "-I", "-c", WITHOUT, "-C", rc, *TO]
        done = subprocess.run(command, input=MAIL, capture_output=True, check=False, timeout=30)
    assert (done.returncode, len(server.mails)) == (0, 1)
    assert done.stderr.decode().partition(": ")[2].startswith(words.format(log=log))


# -- a locale of another encoding


def test_octets_of_files_and_arguments_reach_the_server_as_they_are_in_any_locale(tmp_path):
    """With Python's UTF-8 mode off and the locale C, its text is ASCII: as any locale that is not UTF-8 for our purposes."""
    locale = {**os.environ, "LC_ALL": "C", "LANG": "C"}
    python = [sys.executable, "-X", "utf8=0", "-I"]
    encoding = subprocess.run(
        [*python, "-c", "import sys; print(sys.getfilesystemencoding())"], env=locale, capture_output=True, check=True
    )
    assert encoding.stdout == b"ascii\n"
    behaviour = Polite(mechanisms=["LOGIN"], users={"j\u00f6rg".encode(): "pa\u00df".encode()})
    with ScriptedServer(behaviour) as server:
        text = account(
            server.port, "user j\u00f6rg\npassword pa\u00df\nauth login\nlogfile -\nfrom j\u00f6rg@example.org"
        )
        command = [*python, "-m", "msmtp", "-C", str(configuration(tmp_path, text))]
        arguments = [*map(os.fsencode, command), "j\u00e4ne@example.net".encode(), b"j\xf6e@example.net"]
        done = subprocess.run(arguments, input=MAIL, env=locale, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    (mail,) = server.mails
    assert mail.sender == "<j\u00f6rg@example.org>".encode()
    assert mail.recipients == ["<j\u00e4ne@example.net>".encode(), b"<j\xf6e@example.net>"]
    assert "recipients=j\u00e4ne@example.net,j\\xf6e@example.net ".encode() in done.stdout
