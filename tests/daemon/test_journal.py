"""The journal: what is logged, where, from which role; what hostile text, a full disk, a log daemon that is gone do."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.inside import REPOSITORY, USERS, run

from msmtp.config.daemon_settings import Settings
from msmtp.daemon import journal as module
from msmtp.daemon.journal import BURST, ERROR, INFO, RECORD_LIMIT, Journal, complain_of, open_journal
from msmtp.failures import ConfigFailure, Failure, ListenerFailure

ROLES = ("worker", "auth", "tls", "supervisor", "delivery", "delivery-setgid")
LINE = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d msmtpd\[(\d+)\] (info|error): ([ -~]*)\n")


def logging_to(log):
    settings = Settings()
    settings.log = log
    return settings


@contextlib.contextmanager
def opened(log):
    made = open_journal(logging_to(str(log)))
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def log_daemon(path):
    """One that can be stopped, and started again at the same place."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        made.bind(str(path))
        path.chmod(0o777)
        made.settimeout(5)
        yield made


def fields_of(datagram):
    """Read systemd's native protocol, both of its forms."""
    found = {}
    while datagram:
        name, _, datagram = datagram.partition(b"\n")
        if b"=" in name:
            name, _, value = name.partition(b"=")
        else:
            length = int.from_bytes(datagram[:8], "little")
            value, datagram = datagram[8 : 8 + length], datagram[8 + length + 1 :]
        assert name not in found
        found[name.decode()] = value
    return found


# -- a file


def test_a_file_gets_one_line_a_record_in_upstreams_form(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    with opened(path) as journal:
        journal.write(INFO, "ready", "ready", session=3)
        journal.write(ERROR, "failed", "no")
    before, *lines = path.read_bytes().splitlines(keepends=True)
    found = [LINE.fullmatch(each) for each in lines]
    assert before == b"before\n"
    assert [each.groups() for each in found] == [
        (str(os.getpid()).encode(), b"info", b"ready"),
        (str(os.getpid()).encode(), b"error", b"no"),
    ]


def test_without_a_log_nothing_is_held_and_nothing_written(capfd):
    with opened("none") as journal:
        journal.write(ERROR, "failed", "no")
        assert journal.descriptors() == ()
        assert journal.failures == 0
    assert capfd.readouterr() == ("", "")


HOSTILE = "a\nb\r\n<0>c\x1b[2Jd\u202ee\x00f%s{}%(x)s"


@pytest.mark.parametrize("text", [HOSTILE, HOSTILE.encode()])
def test_fault_26_29_hostile_text_is_one_line_that_no_terminal_obeys_and_no_format(tmp_path, text):
    with opened(tmp_path / "log") as journal:
        journal.write(INFO, "note", text)
    line = LINE.fullmatch((tmp_path / "log").read_bytes())
    assert line[3] == rb"a\nb\r\n<0>c\x1b[2Jd\u202ee\x00f%s{}%(x)s"


@pytest.mark.parametrize("text", ["x" * 100_000, "\x00" * 100_000, "é" * 100_000, b"\xff" * 100_000, "\ud800" * 5000])
def test_fault_26_a_record_is_cut_at_one_kibibyte(tmp_path, text):
    with opened(tmp_path / "log") as journal:
        journal.write(INFO, "note", text)
        assert journal.failures == 0
    said = (tmp_path / "log").read_bytes().partition(b" info: ")[2]
    assert RECORD_LIMIT - 10 <= len(said) <= RECORD_LIMIT + 4
    assert said.decode().endswith("...\n")


def test_fault_28_a_flood_of_one_kind_in_one_session_is_dropped_and_counted(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with opened(tmp_path / "log") as journal:
        for _ in range(1000):
            journal.write(INFO, "note", "flood", session=1)
        journal.write(INFO, "other", "of another kind", session=1)
        journal.write(INFO, "note", "of another session", session=2)
        now[0] += module.PERIOD
        journal.write(INFO, "note", "later", session=1)
        assert journal.dropped == 1000 - BURST
    said = [LINE.fullmatch(each)[3] for each in (tmp_path / "log").read_bytes().splitlines(keepends=True)]
    assert said == [
        *([b"flood"] * BURST),
        b"of another kind",
        b"of another session",
        b"later (%d more of these were dropped)" % (1000 - BURST),
    ]


def test_fault_28_many_sessions_cost_no_memory_without_end(tmp_path):
    with opened(tmp_path / "log") as journal:
        for session in range(2 * module._KINDS_REMEMBERED):
            journal._rate(session, "note")
            assert len(journal._recent) <= module._KINDS_REMEMBERED
        assert len(journal._recent) > module._KINDS_REMEMBERED - 2


def test_sessions_that_ended_are_not_remembered_longer_than_they_matter(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with opened(tmp_path / "log") as journal:
        for _ in range(BURST + 5):
            journal.write(INFO, "note", "flood", session=0)
        for session in range(1, 600):
            journal.write(INFO, "note", "one of many", session=session)
            journal.write(INFO, "always", "of none")
            now[0] += module.PERIOD / 50  # so fifty at a time matter
        assert len(journal._recent) < 3 * 50
        journal.write(INFO, "note", "later", session=0)
    assert (tmp_path / "log").read_bytes().endswith(b"later (5 more of these were dropped)\n")


def test_fault_52_a_full_log_disk_stops_nothing(capfd):
    journal = Journal("file", "/log", os.open("/dev/full", os.O_WRONLY))
    for session in range(5):
        journal.write(ERROR, "failed", "no", session=session)
    assert journal.failures == 5
    journal.close()
    assert capfd.readouterr() == ("", "")


def test_fault_52_neither_does_a_line_that_only_half_fits():
    code = """
        import resource
        from msmtp.daemon.journal import Journal
        file = os.open('/tmp', os.O_TMPFILE | os.O_RDWR | os.O_APPEND)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60, 60))
        journal = Journal('file', '/log', file)
        for n in range(3):
            journal.write(6, 'note', 'n' * 30, session=n)
        print(journal.failures, os.fstat(file).st_size)
    """
    assert run(code).stdout == "3 60\n"


def test_nothing_that_is_wrong_with_a_record_is_raised(tmp_path):
    class Odd:
        def __str__(self):
            raise MemoryError

    with log_daemon(tmp_path / "socket") as daemon:
        journal = Journal("journal", str(tmp_path / "socket"))
        journal.write(INFO, "note", "text", odd=Odd())
        assert journal.failures == 1
        journal.write(INFO, "note", "text", session=7)
        assert fields_of(daemon.recv(9999))["MSMTPD_SESSION"] == b"7"
        journal.close()
        journal.close()
        journal.write(INFO, "note", "text")


def test_a_file_that_was_rotated_is_opened_anew(tmp_path):
    path = tmp_path / "log"
    with opened(path) as journal:
        journal.write(INFO, "note", "old")
        path.rename(tmp_path / "log.1")
        journal.write(INFO, "note", "still old")
        journal.reopen(logging_to(str(path)))
        journal.write(INFO, "note", "new")
        with pytest.raises(ConfigFailure):
            journal.reopen(logging_to(str(tmp_path)))
        journal.write(INFO, "note", "as it was")
        journal.reopen(logging_to("none"))
        assert journal.descriptors() == ()
        journal.write(INFO, "note", "nowhere")
    texts = [
        [LINE.fullmatch(each + b"\n")[3] for each in file.read_bytes().splitlines()]
        for file in (tmp_path / "log.1", path)
    ]
    assert texts == [[b"old", b"still old"], [b"new", b"as it was"]]


# -- row 74: what stands where the file should


@pytest.fixture
def trap(tmp_path):
    (tmp_path / "target").write_bytes(b"mine")
    return tmp_path / "log", tmp_path / "target"


def refused(path):
    with pytest.raises(ConfigFailure) as caught:
        open_journal(logging_to(str(path)))
    return caught.value.message


def test_fault_74_a_symbolic_link_is_not_followed(trap):
    path, target = trap
    path.symlink_to(target)
    assert refused(path) == f"cannot open {path}: it is a symbolic link"
    assert target.read_bytes() == b"mine"


def test_fault_74_a_dangling_link_makes_nothing(trap):
    path, target = trap
    target.unlink()
    path.symlink_to(target)
    assert "symbolic link" in refused(path)
    assert not target.exists()


def test_fault_74_a_hard_link_is_refused(trap):
    path, target = trap
    os.link(target, path)
    assert refused(path) == f"cannot open {path}: it has other names too (hard links)"


def test_fault_74_a_fifo_is_neither_waited_for_nor_taken(trap):
    path, _ = trap
    os.mkfifo(path)
    assert refused(path) == f"cannot open {path}: No such device or address"
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert refused(path) == f"cannot open {path}: it is not a regular file"
    os.close(reader)


def test_fault_74_a_folder_a_device_and_a_socket_are_refused(trap):
    path, _ = trap
    assert refused("/dev/null") == "cannot open /dev/null: it is not a regular file"
    with log_daemon(path):
        assert "No such device" in refused(path)
    path.unlink()
    path.mkdir()
    assert "Is a directory" in refused(path)


@pytest.mark.root
def test_fault_74_a_strangers_file_is_refused_one_of_the_daemons_users_taken(trap):
    path, _ = trap
    path.touch()
    os.chown(path, 65534, 65534)
    assert refused(path) == f"cannot open {path}: it belongs to user 65534"
    open_journal(logging_to(str(path)), users=(65534,)).close()


def test_fault_74_a_folder_in_which_others_rename_is_refused(trap):
    path, _ = trap
    path.parent.chmod(0o777)
    assert "its folder can be written to by others (mode 0777)" in refused(path)
    path.parent.chmod(0o1777)  # as /tmp: they make files, but do not rename ours
    open_journal(logging_to(str(path))).close()
    assert path.stat().st_mode & 0o037 == 0


@pytest.mark.root
def test_fault_74_a_strangers_folder_is_refused(trap):
    path, _ = trap
    os.chown(path.parent, 65534, 65534)
    assert "its folder belongs to user 65534" in refused(path)


def test_a_name_that_is_no_place_is_refused_with_what_to_do(tmp_path):
    assert refused("log") == "log: not an absolute name of a file"
    assert "No such file" in refused(tmp_path / "none" / "log")


# -- log daemons


def test_syslog_gets_what_the_c_library_would_write(tmp_path, monkeypatch):
    monkeypatch.setitem(module._PATHS, "syslog", str(tmp_path / "socket"))
    with log_daemon(tmp_path / "socket") as daemon, opened("syslog") as journal:
        journal.write(INFO, "note", HOSTILE)
        journal.write(ERROR, "failed", "no")
        first, second = daemon.recv(9999), daemon.recv(9999)
        assert journal.failures == 0
    pattern = rb"<%d>[A-Z][a-z]{2} [ 123]\d \d\d:\d\d:\d\d msmtpd\[%d\]: " % (2 << 3 | 6, os.getpid())
    assert re.match(pattern, first)
    assert first.endswith(rb"]: a\nb\r\n<0>c\x1b[2Jd\u202ee\x00f%s{}%(x)s")
    assert second.startswith(b"<%d>" % (2 << 3 | 3))


def test_fault_27_no_value_makes_a_field_in_systemds_journal(tmp_path):
    with log_daemon(tmp_path / "socket") as daemon:
        journal = Journal("journal", str(tmp_path / "socket"))
        journal.write(INFO, "auth_failed", "who\nPRIORITY=0", user=b"x\nPRIORITY=0\n\x00", session=9, none=None)
        found = fields_of(daemon.recv(9999))
        journal.write(INFO, "note", "m" * 70_000, long="v" * 3_000_000)
        long = fields_of(daemon.recv(99_999))
        journal.close()
    assert found == {
        "MESSAGE": rb"who\nPRIORITY=0",
        "PRIORITY": b"6",
        "SYSLOG_IDENTIFIER": b"msmtpd",
        "SYSLOG_FACILITY": b"2",
        "SYSLOG_PID": str(os.getpid()).encode(),
        "MSMTPD_EVENT": b"auth_failed",
        "MSMTPD_USER": rb"x\nPRIORITY=0\n\x00",
        "MSMTPD_SESSION": b"9",
    }
    assert len(long["MSMTPD_LONG"]) <= RECORD_LIMIT + 3


# -- standard output


@contextlib.contextmanager
def standard_output():
    """What is written to descriptor 1 meanwhile: the reading end of a pipe."""
    reads, writes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(writes, True)
    before = os.dup(1)
    os.dup2(writes, 1)
    os.close(writes)
    try:
        yield reads
    finally:
        os.dup2(before, 1)
        os.close(before)
        os.close(reads)


def test_standard_output_gets_the_lines_of_a_file():
    with standard_output() as reads, opened("stdout") as journal:
        journal.write(INFO, "note", HOSTILE)
        journal.write(ERROR, "failed", "no")
        lines = os.read(reads, 9999).splitlines(keepends=True)
        assert len(journal.descriptors()) == 1
    assert [LINE.fullmatch(line)[2] for line in lines] == [b"info", b"error"]


def test_json_is_an_object_a_line_with_the_fields():
    with standard_output() as reads, opened("json") as journal:
        journal.write(
            INFO, "ended", 'a "quoted" \\ text\n' + HOSTILE, session=9, seconds="0.250", user=b'"\\\xff', x=None
        )
        (line,) = os.read(reads, 9999).splitlines()
    found = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert found.pop("message").startswith('a "quoted" \\ text\\na\\nb\\r\\n<0>c\\x1b')
    assert found == {
        "level": "info", "pid": os.getpid(), "event": "ended", "session": 9, "seconds": 0.25, "user": '"\\\\xff',
    }  # fmt: skip


@given(st.text(), st.binary(), st.integers())
def test_json_is_json_whatever_it_is_about(text, octets, number):
    record = module._json(ERROR, "note", module.line(text), {"octets": octets, "text": text, "number": number})
    found = json.loads(record)
    assert record.endswith(b"\n")
    assert b"\n" not in record[:-1]
    assert (found["level"], found["number"], found["message"]) == ("error", number, found["text"])


def test_json_leaves_out_what_makes_a_line_too_long():
    fields = {f"field{number}": '"' * 2000 for number in range(5)}
    for text, kept in (("x" * 2000, ["field0"]), ('"' * 2000, [])):
        record = module._json(INFO, "note", module.line(text), fields)
        assert len(record) <= module.JSON_LIMIT
        assert list(json.loads(record))[5:] == kept


@pytest.mark.parametrize("kind", module.ON_STDOUT)
def test_an_engine_that_does_not_read_stops_nothing(kind):
    with standard_output() as reads, opened(kind) as journal:
        started = time.monotonic()
        for number in range(3000):
            journal.write(INFO, "note", "x" * 1000, session=number)
        assert time.monotonic() - started < 5
        assert journal.failures > 0
        assert os.get_blocking(1)  # it is not ours alone
        assert all(line.endswith(b"\n") for line in os.read(reads, 1 << 20).splitlines(keepends=True))


def test_standard_output_that_is_a_socket_is_written_to_as_it_is():
    ours, theirs = socket.socketpair()
    before = os.dup(1)
    try:
        os.dup2(theirs.fileno(), 1)
        with opened("stdout") as journal:
            journal.write(INFO, "note", "x")
    finally:
        os.dup2(before, 1)
        os.close(before)
        theirs.close()
    with ours:
        assert LINE.fullmatch(ours.recv(9999))


def test_standard_output_that_is_closed_is_said(monkeypatch):
    before = os.dup(1)
    try:
        os.close(1)
        with pytest.raises(ConfigFailure, match="standard output is closed"):
            open_journal(logging_to("stdout"))
    finally:
        os.dup2(before, 1)
        os.close(before)


LIBRARY = """
import os, socket
from systemd import journal as theirs
from msmtp.daemon import journal as ours
os.makedirs("/run/systemd/journal")
daemon = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
daemon.bind(ours.SYSTEMD)
theirs.sendv("MESSAGE=text", "PRIORITY=6", "SYSLOG_IDENTIFIER=msmtpd", "SYSLOG_FACILITY=2",
    f"SYSLOG_PID={os.getpid()}", "MSMTPD_EVENT=note", "MSMTPD_USER=u")
one = ours.Journal("journal", ours.SYSTEMD)
one.write(6, "note", "text", user="u")
for _ in range(2):
    print(daemon.recv(9999).hex())
"""


@pytest.mark.root
def test_systemds_library_sends_the_same_fields():
    command = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /run && exec "$0" "$@"', sys.executable, "-c", LIBRARY]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, env=environment)
    theirs, ours = [fields_of(bytes.fromhex(each)) for each in done.stdout.decode().split()]
    assert theirs.items() - ours.items() == {(name, theirs[name]) for name in theirs if name.startswith("CODE_")}
    assert ours.items() <= theirs.items()


def test_a_missing_log_daemon_is_said_at_start_and_found_later(tmp_path, monkeypatch, capfd):
    path = tmp_path / "socket"
    monkeypatch.setitem(module._PATHS, "syslog", str(path))
    with opened("syslog") as journal:
        said = capfd.readouterr().err
        assert said == f"msmtpd: no log daemon is at {path}: nothing is logged until there is one\n"
        journal.write(INFO, "note", "lost")
        assert journal.failures == 1
        with log_daemon(path) as daemon:
            assert journal.mend(0)
            journal.write(INFO, "note", "kept")
            assert daemon.recv(9999).endswith(b"]: kept")
    assert capfd.readouterr().err == ""


def test_a_log_daemon_that_restarts_gets_the_next_record(tmp_path):
    path = tmp_path / "socket"
    with log_daemon(path):
        journal = Journal("syslog", str(path))
        journal.write(INFO, "note", "before")
    journal.write(INFO, "note", "between")
    assert journal.failures == 1
    with log_daemon(path) as daemon:
        journal._mended -= 10
        journal.write(INFO, "note", "after")
        assert daemon.recv(9999).endswith(b"]: after")
    assert journal.failures == 1
    journal.close()


def test_one_process_that_connects_anew_does_so_for_all(tmp_path):
    path = tmp_path / "socket"
    with log_daemon(path):
        journal = Journal("syslog", str(path))
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.read(reads, 1)
            journal.write(INFO, "note", "from the child")
        finally:
            os._exit(0)
    with log_daemon(path) as daemon:
        assert journal.mend(0)
        os.write(writes, b"x")
        assert daemon.recv(9999).endswith(b"msmtpd[%d]: from the child" % child)
    os.waitpid(child, 0)
    journal.close()
    os.close(reads)
    os.close(writes)


@pytest.mark.parametrize("kind", ["syslog", "journal"])
def test_a_log_daemon_that_hangs_is_not_waited_for(tmp_path, kind):
    with log_daemon(tmp_path / "socket"):
        journal = Journal(kind, str(tmp_path / "socket"))
        start = time.monotonic()
        for session in range(3000):
            journal.write(INFO, "note", "x" * 900, session=session)
        assert journal.failures > 1000
        assert time.monotonic() - start < 5
        journal.close()


INSIDE = """
    from msmtp.daemon.journal import Journal
    from msmtp.daemon import events
    role, kind, path = {role!r}, {kind!r}, {path!r}
    file = os.open(path, os.O_WRONLY | os.O_APPEND) if kind == 'file' else -1
    journal = Journal(kind, path, file)
    prepared = sandbox.prepare(role)
    child = os.fork()
    if not child:
        assert prepared.enter('require').complete or role == 'delivery-setgid'
        for _ in range(3):
            events.note(journal, 5, 'hello\\n\\x1b')
        journal.mend(0)
        os.write(1, b'%d %d ' % (os.getpid(), journal.failures))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("uid", USERS)
@pytest.mark.parametrize("role", ROLES)
def test_it_works_inside_every_role(tmp_path, role, uid):
    for folder in (tmp_path, *(above for above in tmp_path.parents if "pytest-of-" in str(above))):
        folder.chmod(0o755)
    file, path = tmp_path / "log", tmp_path / "socket"
    file.touch()
    file.chmod(0o666)
    with log_daemon(path) as daemon:
        for kind in ("file", "syslog", "journal"):
            code = INSIDE.format(role=role, kind=kind, path=str(file if kind == "file" else path))
            done = run(code, uid=uid if uid != os.getuid() else None)
            assert done.stderr == ""
            pid, failures, status = done.stdout.split()
            assert (failures, status) == ("0", "0"), done.stderr
            said = file.read_bytes() if kind == "file" else b"".join(daemon.recv(9999) for _ in range(3))
            assert said.count(rb"session 5: hello\n\x1b") == 3
            assert pid.encode() in said
        hour = time.strftime("%Y-%m-%d %H:")
        assert file.read_bytes().startswith(hour.encode())


def test_it_asks_nothing_of_the_system_but_the_record_itself(tmp_path):
    code = f"""
        from msmtp.daemon.journal import Journal
        journal = Journal('file', '/log', os.open({str(tmp_path / "log")!r}, os.O_WRONLY | os.O_CREAT))
        sandbox.pin_time_zone()
        time.localtime()
        os.write(2, b'-- from here')
        for _ in range(3):
            journal.write(6, 'note', 'text')
        os.write(2, b'-- to here')
    """
    done = run(code, before=("strace", "-e", "trace=all"))
    asked = done.stderr.partition("-- from here")[2].partition("-- to here")[0]
    calls = set(re.findall(r"^(\w+)\(", asked, re.MULTILINE))
    assert calls <= {"write", "getpid", "brk", "mmap", "munmap", "clock_gettime"}


# -- who started it


def test_a_failure_is_told_with_what_to_do_about_it(tmp_path, capfd):
    with opened(tmp_path / "log") as journal:
        complain_of(ListenerFailure("cannot listen\n", hint="do this"), journal)
    assert capfd.readouterr().err == "msmtpd: cannot listen\\n\nmsmtpd: do this\n"
    assert (tmp_path / "log").read_bytes().count(b"error: ") == 2
    complain_of(Failure("just this"))
    assert capfd.readouterr().err == "msmtpd: just this\n"


def test_a_closed_standard_error_is_no_failure():
    code = """
        from msmtp.daemon.journal import complain
        os.close(2)
        complain('x')
        print('on')
    """
    assert run(code).stdout == "on\n"
