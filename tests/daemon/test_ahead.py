"""The process that will be msmtp: what it does before, and that a mail goes its way whatever becomes of it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.daemon.test_warm import KNOWN, MAIL, TLS, USUAL
from tests.support import certificates
from tests.support.delivering import Brokers
from tests.support.processes import wait_for
from tests.support.scripted import Polite, ScriptedServer

from msmtp.daemon import ahead, requests, warm
from msmtp.daemon.channel import Channel, ChannelGone, pair
from msmtp.daemon.loop import Loop
from msmtp.net import _openssl, trust

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
    loop = Loop()
    one = warm.Warm.__new__(warm.Warm)  # without what it loads, and without making this process's streams new
    one._base, one._loop, one._next, one._timer, one.apart = {}, None, None, None, set()
    one.join(loop)
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
    one._forget_next()
    assert os.waitpid(pid, 0)[1] == 0


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


def test_junk_on_its_channel_does_not_make_it_msmtp():
    ours, theirs = pair()
    pid = warm.fork(lambda: ahead.await_run(theirs, {}, list))
    os.close(theirs)
    channel = Channel(ours)
    channel.send(requests.PING, 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with pytest.raises(ChannelGone):
        channel.receive((requests.TRUSTS,))
    channel.close()


def state(pid: int) -> str:
    """As the kernel has it: Z for one that ended and is not waited for, '' for one that is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except FileNotFoundError:
        return ""
