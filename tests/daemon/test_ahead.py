"""The process that will be msmtp: what it does before, and that a mail goes its way whatever becomes of it."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from pathlib import Path

import pytest
from tests.daemon.test_warm import KNOWN, MAIL, TLS, USUAL, state
from tests.support import certificates
from tests.support.delivering import Brokers
from tests.support.processes import wait_for
from tests.support.scripted import Polite, ScriptedServer

from msmtp.daemon import ahead, requests, warm
from msmtp.daemon.channel import Channel, ChannelGone, pair
from msmtp.daemon.loop import Loop
from msmtp.net import _openssl, trust
from msmtp.sender import stretch as stretching

LARGE = certificates.localhost().authority.read_bytes() * 100
assert len(LARGE) > trust.LARGE


@pytest.fixture
def broker(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return Brokers(tmp_path)


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(trust, "KNOWN", {})


def old(path: Path, monkeypatch) -> Path:
    """A file of which is believed that it has not changed for a while."""
    monkeypatch.setattr(trust, "_SETTLED", -60.0)
    return path


def warmed(broker, folder: Path, port: int):
    """A broker that has sent a mail, and the process that waits for the next."""
    configured(folder, port)
    one = broker(None, warm=True)
    assert one.children() == []  # nobody has mailed yet
    assert one.session().mail(MAIL)[0] == 250
    wait_for(lambda: len(one.children()) == 1 and state(one.children()[0]) == "S")
    return one, one.children()[0]


def configured(folder: Path, port: int, text: str = USUAL) -> None:
    (folder / ".msmtprc").write_text(
        text.format(port=port, folder=folder, authority=certificates.localhost().authority)
    )
    (folder / ".msmtprc").chmod(0o600)


# -- before it is told what to do


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tls_trust_file /a/b\n", ["/a/b"]),
        ('  tls_trust_file   "/a/b c"  \naccount x\ntls_trust_file ~/t\n', ["/a/b c", "{home}/t"]),
        ("#tls_trust_file /a\ntls_trust_file system\ntls_trust_file\ntls_trust_file relative\n", []),
        ("\0\xff\n", []),
        ("password x tls_trust_file /a\nmytls_trust_file /b\ntls_trust_files /c\ntls_trust_file /d", ["/d"]),
        ("".join(f"tls_trust_file /{n}\n" for n in range(30)), [f"/{n}" for n in range(trust.MANY)]),
        (None, []),
    ],
)
def test_files_of_authorities_are_found_in_the_configuration(tmp_path, monkeypatch, text, found):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(ahead.reader, "SYSTEM_FILE", str(tmp_path / "none"))
    if text is not None:
        (tmp_path / ".msmtprc").write_text(text, encoding="latin-1")
    assert ahead.trusted_files({}) == [path.format(home=tmp_path) for path in found]


def test_settings_for_delivery_alone_are_looked_at_in_place_of_the_users(tmp_path):
    (tmp_path / "msmtprc").write_text("tls_trust_file /of/the/service\n")
    assert ahead.trusted_files({b"CREDENTIALS_DIRECTORY": os.fsencode(tmp_path)}) == ["/of/the/service"]


# -- what is known of files


def test_a_file_that_is_known_is_not_read_again(tmp_path, monkeypatch):
    path = old(tmp_path / "trusted", monkeypatch)
    path.write_bytes(LARGE)
    assert trust.know(str(path), ahead.LARGEST)
    assert not trust.know(str(path), ahead.LARGEST)
    monkeypatch.setattr(trust, "read_file", lambda _path: pytest.fail("it was read"))
    one = trust.Trust()
    one.load_file(_openssl.new_context(), str(path))
    assert one.bundle
    assert b"".join(one.bundle.certificates) == b"".join(trust.read_bundle(LARGE).certificates)


@pytest.mark.parametrize("change", ["written", "replaced", "touched", "closed", "gone"])
def test_a_file_that_is_another_now_is_read(tmp_path, monkeypatch, change):
    path = old(tmp_path / "trusted", monkeypatch)
    path.write_bytes(LARGE)
    trust.know(str(path), ahead.LARGEST)
    if change == "written":
        path.write_bytes(LARGE)
    elif change == "replaced":
        (tmp_path / "new").write_bytes(LARGE)
        (tmp_path / "new").rename(path)
    elif change == "touched":
        os.utime(path)
    elif change == "closed":
        path.chmod(0)
    else:
        path.unlink()
    seen = []
    monkeypatch.setattr(trust, "read_file", lambda name: seen.append(name) or LARGE)
    trust.Trust().load_file(_openssl.new_context(), str(path))
    assert seen == [str(path)]


def test_only_a_large_file_of_certificates_that_has_settled_is_known(tmp_path, monkeypatch):
    path = tmp_path / "trusted"
    path.write_bytes(LARGE)
    assert not trust.know(str(path), ahead.LARGEST)  # it may change once more without a time that shows it
    old(path, monkeypatch)
    assert not trust.know(str(path), len(LARGE) - 1)
    (tmp_path / "small").write_bytes(certificates.localhost().authority.read_bytes())
    assert not trust.know(str(tmp_path / "small"), ahead.LARGEST)
    (tmp_path / "other").write_bytes(LARGE + b"-----BEGIN X509 CRL-----\n")
    assert not trust.know(str(tmp_path / "other"), ahead.LARGEST)
    (tmp_path / "none").write_bytes(b"no certificate\n" * 10_000)
    assert not trust.know(str(tmp_path / "none"), ahead.LARGEST)
    os.mkfifo(tmp_path / "fifo")
    began = time.monotonic()
    assert not trust.know(str(tmp_path / "fifo"), ahead.LARGEST)
    assert time.monotonic() - began < 1
    assert not trust.know(str(tmp_path / "no\0name"), ahead.LARGEST)
    assert not trust.know(str(tmp_path), ahead.LARGEST)
    assert not trust.KNOWN


def test_no_more_is_kept_than_a_few(tmp_path, monkeypatch):
    for number in range(20):
        path = old(tmp_path / str(number), monkeypatch)
        path.write_bytes(LARGE)
        assert trust.know(str(path), ahead.LARGEST)
    assert len(trust.KNOWN) <= 8


# -- a mail


def test_a_mail_is_sent_by_the_process_that_waited_and_the_next_one_by_the_next(broker, tmp_path):
    with ScriptedServer(Polite()) as server:
        one, waiting = warmed(broker, tmp_path, server.port)
        worker = one.session()
        used = {waiting}
        for number in range(1, 4):
            assert worker.mail(MAIL)[0] == 250
            wait_for(lambda: set(one.children()).difference(used))
            assert not used.intersection(one.children())  # it has gone
            used.update(one.children())
            assert len(used) == number + 1
    assert len(server.sessions) == 4


def test_it_is_not_taken_for_what_a_command_left(broker, tmp_path):
    with ScriptedServer(KNOWN) as server:
        configured(
            tmp_path, server.port, f"{USUAL}auth plain\nuser joe\ntls off\npasswordeval setsid sleep 60 & echo secret\n"
        )
        one = broker(None, warm=True)
        for _ in range(3):
            assert one.session().mail(MAIL)[0] == 250
            wait_for(lambda: len(one.children()) == 1)  # the sleeping one has been ended
            (waiting,) = one.children()
            assert b"sleep" not in Path(f"/proc/{waiting}/cmdline").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_without_it_the_mail_goes_all_the_same(broker, tmp_path, number):
    with ScriptedServer(Polite()) as server:
        one, waiting = warmed(broker, tmp_path, server.port)
        os.kill(waiting, number)
        wait_for(lambda: not state(waiting))  # it was waited for
        assert one.session().mail(MAIL)[0] == 250
        wait_for(lambda: one.children() and waiting not in one.children())
    assert len(server.sessions) == 2


def test_one_that_was_told_of_a_mail_and_ends_is_a_command_that_was_ended(broker, tmp_path):
    with ScriptedServer(Polite()) as server:
        one, waiting = warmed(broker, tmp_path, server.port)
        os.kill(waiting, signal.SIGSTOP)
        worker = one.session()
        worker.envelope()
        with_mail = worker.file()
        os.write(with_mail.descriptors[0], MAIL)
        with_mail.close()
        worker.say(requests.COMMIT, len(MAIL))
        time.sleep(0.2)
        os.kill(waiting, signal.SIGKILL)
        assert worker.hear().number("code") == 451
    assert len(server.sessions) == 1


def test_a_mail_for_more_people_than_one_message_holds_goes_without_it(broker, tmp_path):
    recipients = [b"%04d-%s@example.org" % (number, b"x" * 60) for number in range(950)]
    with ScriptedServer(Polite()) as server:
        one, waiting = warmed(broker, tmp_path, server.port)
        assert one.session().mail(MAIL, *recipients)[0] == 250
        wait_for(lambda: not state(waiting))
    assert server.sessions[1].mails[0].recipients == [b"<" + recipient + b">" for recipient in recipients]


def test_it_ends_with_the_broker(broker, tmp_path):
    with ScriptedServer(Polite()) as server:
        one, waiting = warmed(broker, tmp_path, server.port)
    os.kill(one.pid, signal.SIGKILL)
    wait_for(lambda: state(waiting) in {"Z", ""})
    assert one.stop() == -signal.SIGKILL
    broker.started.remove(one)


def test_a_broker_that_ends_leaves_none_behind(broker, tmp_path):
    """A service manager would wait for it, or kill it, and say so."""
    with ScriptedServer(Polite()) as server:
        one, waiting = warmed(broker, tmp_path, server.port)
    assert one.stop() == 0
    assert not state(waiting)


def test_it_is_let_go_when_no_mail_comes(broker, tmp_path, monkeypatch):
    monkeypatch.setattr(warm, "PATIENCE", 1.0)
    with ScriptedServer(Polite()) as server:
        one, _ = warmed(broker, tmp_path, server.port)
        wait_for(lambda: one.children() == [])
        assert one.session().mail(MAIL)[0] == 250
        wait_for(lambda: len(one.children()) == 1)
    assert len(server.sessions) == 2


def test_the_broker_reads_the_authorities_that_it_is_told_of_once(tmp_path, monkeypatch):
    path = old(tmp_path / "trusted", monkeypatch)
    path.write_bytes(LARGE)
    configured(tmp_path, 1, f"{TLS}".replace("{authority}", str(path)))
    monkeypatch.setenv("HOME", str(tmp_path))
    one, loop = unloaded()
    one.make_next()
    until = time.monotonic() + 10
    while not trust.KNOWN and time.monotonic() < until:
        loop.turn(0.1)
    (bundle,) = trust.KNOWN.values()
    assert bundle.certificates
    one._let_go()
    while one.apart and time.monotonic() < until:
        loop.turn(0.1)
    one.make_next()  # this one knows it, and says nothing
    (pid, channel) = one._next
    time.sleep(0.3)
    with pytest.raises(BlockingIOError):
        channel.receive((requests.TRUSTS,))
    one._let_go()
    while one.apart and time.monotonic() < until:
        loop.turn(0.1)
    assert not state(pid)


def test_a_signal_for_a_child_that_was_just_forked_is_not_told_to_its_parent(monkeypatch):
    reads, writes = os.pipe()
    os.set_blocking(reads, False)
    os.set_blocking(writes, False)
    fork = os.fork

    def struck_at_once() -> int:
        pid = fork()
        if not pid:
            os.kill(os.getpid(), signal.SIGTERM)
        return pid

    monkeypatch.setattr(warm.os, "fork", struck_at_once)
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    old_end = signal.set_wakeup_fd(writes)
    try:
        pid = warm.fork(lambda: os._exit(0))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
        with pytest.raises(BlockingIOError):
            os.read(reads, 1)
    finally:
        signal.set_wakeup_fd(old_end)
        signal.signal(signal.SIGTERM, before)
        os.close(reads)
        os.close(writes)


# -- what may go wrong


def unloaded(base: dict[bytes, bytes] | None = None) -> tuple[warm.Warm, Loop]:
    """One without what it loads, which does not make this process's streams and environment new."""
    one, loop = warm.Warm.__new__(warm.Warm), Loop()
    one._base, one._loaded, one._stale = base or {}, {}, False
    one._loop = one._next = one._timer = one._burial = None
    one.apart = set()
    one.join(loop)
    return one, loop


def turn_until(loop: Loop, condition) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        loop.turn(0.05)


def written(worker, octets: bytes = MAIL, size: int = 0):
    """A mail that only COMMIT is missing of."""
    worker.envelope()
    file = worker.file(size=size)
    worker.write(file, octets)
    return worker


def test_a_mail_that_crosses_what_it_says_is_not_lost(broker, tmp_path, monkeypatch):
    """What it says stays unread while the broker tells it to run; that must not keep RUN from arriving."""
    path = old(tmp_path / "trusted", monkeypatch)
    path.write_bytes(LARGE)
    at_work = stretching.stretch
    monkeypatch.setattr(stretching, "stretch", lambda: (at_work(), time.sleep(0.3)))
    with ScriptedServer(Polite()) as server:
        configured(tmp_path, server.port, f"{USUAL}tls_trust_file {path}\n")
        one = broker(None, warm=True)
        first, second = written(one.session()), written(one.session())
        assert first.commit(len(MAIL))[0] == 250
        wait_for(one.children)
        os.kill(one.pid, signal.SIGSTOP)
        second.say(requests.COMMIT, len(MAIL))
        (waiting,) = one.children()
        time.sleep(0.5)  # it has stretched, and has said which file it read
        os.kill(waiting, signal.SIGSTOP)
        os.kill(one.pid, signal.SIGCONT)
        one.ping()
        os.kill(waiting, signal.SIGCONT)
        assert second.result()[0] == 250
        assert [len(session.mails) for session in server.sessions] == [1, 1]


def test_what_cannot_begin_to_be_msmtp_is_for_another_time(tmp_path):
    """No mail is taken for sent, or given up, because the process that was to send it could not begin."""

    def fails():
        raise MemoryError

    told = os.open(tmp_path / "told", os.O_CREAT | os.O_RDWR)
    error = os.dup(2)
    os.dup2(told, 2)
    try:
        pid = warm.fork(fails)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 75
    finally:
        os.dup2(error, 2)
        os.close(error)
        os.close(told)
    assert (tmp_path / "told").read_text() == "msmtp: it could not be started: MemoryError\n"


@pytest.mark.parametrize("what", ["pair", "fork"])
def test_there_is_none_where_nothing_can_be_had_for_it(monkeypatch, what):
    def none(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    one, _ = unloaded()
    monkeypatch.setattr(warm, what, none)
    before = len(os.listdir("/proc/self/fd"))
    one.make_next()
    assert (one._next, one.apart, len(os.listdir("/proc/self/fd"))) == (None, set(), before)


def test_there_is_none_where_no_run_can_be_told_or_what_is_loaded_is_old(tmp_path):
    one, _ = unloaded({b"PATH": b"x" * requests.WORD})
    one.make_next()
    assert one._next is None
    one, loop = unloaded()
    (tmp_path / "module").write_text("one")
    one._loaded = {str(tmp_path / "module"): warm._key(str(tmp_path / "module"))}
    one.make_next()
    (pid, _channel) = one._next
    assert one.fresh()
    assert one._next
    (tmp_path / "module").write_text("another")
    assert not one.fresh()
    assert one._next is None
    turn_until(loop, lambda: not one.apart)
    assert not state(pid)
    one.make_next()
    assert one._next is None


def test_a_message_that_the_system_does_not_take_is_no_reason_not_to_send(monkeypatch):
    """Its socket's room is the system's to set: EMSGSIZE."""
    one, loop = unloaded()
    one.make_next()
    (pid, channel) = one._next

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMSGSIZE, "Message too long")

    monkeypatch.setattr(type(channel), "send", full)
    assert one._hand_over([b"msmtp"], {}, 0, 1) == 0
    turn_until(loop, lambda: not one.apart)
    assert not state(pid)


def test_those_that_are_let_go_are_looked_for_by_one_timer(monkeypatch):
    one, loop = unloaded()
    monkeypatch.setattr(warm, "_SOON", 0.01)
    pids = [os.posix_spawn("/bin/sleep", ["sleep", "1000"], {}) for _ in range(3)]
    one.apart.update(pids)
    until = time.monotonic() + 0.3
    one._bury()
    one._bury()
    while time.monotonic() < until:
        loop.turn(0.02)
    assert len([timer for timer in loop._timers if timer.call]) == 1
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    turn_until(loop, lambda: not one.apart)
    assert not [pid for pid in pids if state(pid)]
    assert one._burial is None


def test_a_large_mail_is_complete_whatever_is_forked_meanwhile(broker, tmp_path, monkeypatch):
    """A child has what the broker has until it has closed it; if that were a way to write, the file would seem open."""
    keep_only = ahead.keep_only
    monkeypatch.setattr(ahead, "keep_only", lambda kept: (time.sleep(1), keep_only(kept)))
    large = MAIL + b"x" * 70 * 40_000
    with ScriptedServer(Polite()) as server:
        configured(tmp_path, server.port)
        one = broker(None, warm=True)
        other = written(one.session(), large, 2 << 20)
        assert one.session().mail(MAIL)[0] == 250
        wait_for(one.children)
        assert other.commit(len(large))[0] == 250
        assert one.children()
    assert [len(session.mails) for session in server.sessions] == [1, 1]


@pytest.mark.root
def test_no_password_lies_in_it(broker, tmp_path):
    """It looks into the configuration before there is a mail."""
    password = (
        b"plugh-%d-xyzzy" % os.getpid()
    )  # made here, so that no other place of this process's memory has it whole
    with ScriptedServer(KNOWN) as server:
        configured(tmp_path, server.port)
        with (tmp_path / ".msmtprc").open("ab") as file:
            file.write(b"tls_trust_file /nowhere\n# ")
            file.writelines((password[:7], password[7:], b"\n"))
        one = broker(None, warm=True)
        assert one.session().mail(MAIL)[0] == 250
        wait_for(lambda: len(one.children()) == 1 and state(one.children()[0]) == "S")
        time.sleep(0.3)
        assert occurs(one.children()[0], password) == occurs(one.pid, password)


def occurs(pid: int, octets: bytes) -> int:
    """How often a process has them in its memory."""
    found = 0
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, rights = line.split()[:2]
            if "r" in rights and "[v" not in line:
                start, end = (int(number, 16) for number in place.split("-"))
                memory.seek(start)
                with contextlib.suppress(OSError):
                    found += memory.read(end - start).count(octets)
    return found


def test_settings_that_are_no_file_are_left_to_who_reads_them(tmp_path, monkeypatch):
    """What writes into a pipe does so for one reader."""
    monkeypatch.setenv("HOME", str(tmp_path))
    os.mkfifo(tmp_path / ".msmtprc")
    reading = os.open(tmp_path / ".msmtprc", os.O_RDONLY | os.O_NONBLOCK)
    with (tmp_path / ".msmtprc").open("wb", buffering=0) as writing:
        writing.write(b"tls_trust_file /a\n")
        assert ahead.trusted_files({}) == []
        assert os.read(reading, 100) == b"tls_trust_file /a\n"
    os.close(reading)


def test_junk_on_its_channel_does_not_make_it_msmtp():
    ours, theirs = pair()
    pid = warm.fork(lambda: ahead.await_run(theirs, {}, list))
    os.close(theirs)
    channel = Channel(ours)
    channel.send(requests.PING, 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 75
    with pytest.raises(ChannelGone):
        channel.receive((requests.TRUSTS,))
    channel.close()
