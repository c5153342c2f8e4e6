"""Delivery: mails from workers into commands, with workers that are what they should be, and others."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import re
import signal
import time

import pytest
from tests.support.delivering import PLAIN, Brokers

from msmtp.config.daemon_settings import Settings
from msmtp.daemon import delivery, requests
from msmtp.daemon.channel import Channel, ChannelGone, pair
from msmtp.daemon.delivery import dsn_words, last_line, verdict
from msmtp.daemon.runner import Outcome
from msmtp.failures import ConfigFailure

RECEIVED = re.compile(rb"Received: from client\.example \(\[192\.0\.2\.1\]\) by [^\n]+(\n [^\n]+)*\n")


@pytest.fixture
def broker(tmp_path):
    return Brokers(tmp_path)


@pytest.fixture
def taker(tmp_path):
    """A command that keeps what it is given; gives its template, and a reader of what the n-th mail was."""
    script = tmp_path / "take"
    script.write_text(
        f"#!/bin/sh\ncat > {tmp_path}/new.$$\nfor word; do printf '%s\\0' \"$word\"; done > {tmp_path}/args.$$\n"
        f"env > {tmp_path}/env.$$; ls -l /proc/self/fd > {tmp_path}/fds.$$\nmv {tmp_path}/new.$$ {tmp_path}/mail.$$\n"
    )
    script.chmod(0o755)
    return f"{script} -f %F --"


def taken(tmp_path, kind="mail"):
    return [path.read_bytes() for path in sorted(tmp_path.glob(f"{kind}.*"), key=lambda path: path.stat().st_mtime_ns)]


def wait_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.01)


def test_a_mail_reaches_the_command_whole_with_its_trace(broker, taker, tmp_path):
    worker = broker(taker).session()
    assert worker.mail(b"Subject: x\n\nhello\n", b"a@example.org", b"b@example.org") == (
        250, b"2.0.0 Ok, mail was piped",
    )  # fmt: skip
    (mail,) = taken(tmp_path)
    assert RECEIVED.fullmatch(mail[: mail.index(b"Subject")])
    assert mail.endswith(b"\nSubject: x\n\nhello\n")
    assert taken(tmp_path, "args") == [b"-f\0sender@example.org\0--\0a@example.org\0b@example.org\0"]


def test_a_session_sends_many_mails_and_many_sessions_at_once(broker, taker, tmp_path):
    one = broker(taker)
    workers = [one.session() for _ in range(8)]
    for turn in range(3):
        for number, worker in enumerate(workers):
            worker.envelope()
            worker.write(worker.file(), b"%d %d" % (turn, number))
            worker.say(requests.COMMIT, 3)
        assert [worker.result()[0] for worker in workers] == [250] * 8
    assert sorted(mail[-3:] for mail in taken(tmp_path)) == sorted(
        b"%d %d" % (t, n) for t in range(3) for n in range(8)
    )
    assert one.page["delivered"] == 24


def test_a_large_mail_goes_to_a_file_without_a_name(broker, taker, tmp_path):
    one = broker(taker)
    worker = one.session()
    content = os.urandom(1 << 16) * 48
    assert worker.mail(content)[0] == 250  # found out on the way
    assert worker.mail(content, size=len(content))[0] == 250  # announced
    assert [mail[-len(content) :] == content for mail in taken(tmp_path)] == [True, True]
    assert one.page["spilled"] == 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("msmtpd")]


def test_the_parameters_are_told_in_the_environment(broker, taker, tmp_path):
    worker = broker(taker).session(user=b"joe")
    protocol = requests.EXTENDED | requests.UTF8 | requests.SECURED_BY_TLS | requests.AUTHENTICATED
    said = (b"BODY=8BITMIME", b"SMTPUTF8", b"RET=HDRS", b"ENVID=a+2Bb")
    worker.say(requests.ENVELOPE, b"h", protocol, b"TLSv1.3 X", b"joe", b"s@example.org", said)
    worker.say(requests.RECIPIENT, b"a@example.org", (b"NOTIFY=NEVER", b"ORCPT=rfc822;x@y"))
    worker.say(requests.RECIPIENT, b"b@example.org", (b"NOTIFY=NEVER",))
    worker.write(worker.file(), b"x\n")
    assert worker.commit(2)[0] == 250
    variables = dict(line.split("=", 1) for line in taken(tmp_path, "env")[0].decode().splitlines() if "=" in line)
    told = {name: value for name, value in variables.items() if name.startswith("MSMTPD_")}
    (mail,) = taken(tmp_path)
    assert told == {
        "MSMTPD_SESSION": "1", "MSMTPD_ID": "1.1", "MSMTPD_PEER": "192.0.2.1", "MSMTPD_PEER_PORT": "4242",
        "MSMTPD_LOCAL": "127.0.0.1", "MSMTPD_HELLO": "h", "MSMTPD_PROTOCOL": "UTF8SMTPSA", "MSMTPD_TLS": "TLSv1.3 X",
        "MSMTPD_USER": "joe", "MSMTPD_SENDER": "s@example.org", "MSMTPD_RECIPIENTS": "2",
        "MSMTPD_SIZE": str(len(mail)), "MSMTPD_BODY": "8BITMIME", "MSMTPD_SMTPUTF8": "1", "MSMTPD_RET": "HDRS",
        "MSMTPD_ENVID": "a+2Bb", "MSMTPD_NOTIFY": "NEVER",
        "MSMTPD_RCPT_PARAMETERS": "NOTIFY=NEVER ORCPT=rfc822;x@y",
    }  # fmt: skip


def test_fault_58_the_command_has_three_descriptors_and_a_chosen_environment(broker, taker, tmp_path, monkeypatch):
    for name in ("LD_LIBRARY_PATH", "PYTHONPATH", "NOTIFY_SOCKET", "LISTEN_FDS", "SECRET"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("LC_TIME", "C")
    spare = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(spare, True)
    worker = broker(taker).session()
    os.close(spare)
    assert worker.mail(b"x")[0] == 250
    numbers = re.findall(rb" (\d+) ->", taken(tmp_path, "fds")[0])
    assert numbers == [b"0", b"1", b"2", b"3"]  # 3 is the listing itself
    names = {line.partition(b"=")[0] for line in taken(tmp_path, "env")[0].splitlines()}
    assert b"LC_TIME" in names
    assert not names & {b"LD_LIBRARY_PATH", b"PYTHONPATH", b"NOTIFY_SOCKET", b"LISTEN_FDS", b"SECRET"}


@pytest.mark.parametrize(
    ("script", "code", "text"),
    [
        ("exit 0", 250, b"2.0.0 Ok, mail was piped"),
        ("exit 75", 451, b"4.3.0 The delivery command reported error 75 (try again later)"),
        *[(f"echo no >&2; exit {code}", 451, b"4.3.0 no") for code in (68, 69, 71, 75)],
        *[(f"echo no; exit {code}", 554, b"5.3.0 no") for code in (1, 64, 65, 66, 67, 70, 72, 73, 74, 76, 77, 78, 255)],
        ("exit 3", 554, b"5.3.0 The delivery command reported error 3"),
        ("kill -9 $$", 451, b"4.3.0 The delivery command was ended by signal 9; try again later"),
        ("printf 'first\\n\\tla\\033st\\377 \\n\\n'; exit 1", 554, b"5.3.0 la?st?"),
        ("exec /nowhere/at/all", 554, None),
    ],
)
def test_fault_57_what_the_command_says_is_what_the_client_is_told(broker, script, code, text):
    one = broker(f"{script}; true")
    told = one.session().mail(b"x")
    assert told[0] == code
    assert text is None or told[1] == text
    events = one.logged()
    assert ("taken in" in events) == (code == 250)
    assert one.page["delivered" if code == 250 else "deferred" if code == 451 else "rejected"] == 1


def test_fault_55_a_command_need_not_read(broker):
    assert broker("true").session().mail(b"x" * 1_000_000)[0] == 250


def test_fault_56_output_without_end_is_drained_and_its_end_kept(broker):
    one = broker("sh -c 'yes | head -c 100000000; echo the last; exit 1'")
    began = os.times()
    assert one.session().mail(b"x") == (554, b"5.3.0 the last")
    assert os.times().elapsed - began.elapsed < 20


def test_fault_54_a_grand_child_that_keeps_the_output_open_is_not_waited_for(broker):
    one = broker("sh -c 'sleep 1000 & exit 0'")
    began = time.monotonic()
    assert one.session().mail(b"x")[0] == 250
    assert time.monotonic() - began < 5
    wait_for(lambda: one.children() == [])


def test_fault_54_a_child_with_a_session_of_its_own_is_found(broker, tmp_path):
    script = tmp_path / "fork"
    script.write_text(
        f"#!/bin/sh\nsetsid sh -c 'echo $$ > {tmp_path}/pid; sleep 1000' &\nwhile test ! -s {tmp_path}/pid; do :; done\n"
    )
    script.chmod(0o755)
    one = broker(str(script))
    assert one.session().mail(b"x")[0] == 250
    wait_for(lambda: one.children() == [])
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_what_an_overlapping_command_started_is_left_alone_until_that_ends(broker, tmp_path):
    script = tmp_path / "fork"
    script.write_text(
        f"#!/bin/sh\nif read -r first && grep -q short; then exit 0; fi\n"
        f"(setsid sh -c 'echo $$ > {tmp_path}/pid; sleep 1000' &)\nwhile test ! -e {tmp_path}/go; do sleep 0.02; done\n"
        f"kill -0 $(cat {tmp_path}/pid) && exit 0; exit 1\n"
    )
    script.chmod(0o755)
    one = broker(str(script))
    slow, quick = one.session(), one.session()
    slow.envelope()
    slow.write(slow.file(), b"long")
    slow.say(requests.COMMIT, 4)
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    assert quick.mail(b"short")[0] == 250
    time.sleep(0.2)
    (tmp_path / "go").touch()
    assert slow.result()[0] == 250
    wait_for(lambda: one.children() == [])


def test_fault_54_a_hung_command_is_ended_with_its_group(broker, monkeypatch):
    monkeypatch.setattr("msmtp.daemon.runner.TERM_SECONDS", 0.5)
    one = broker("""sh -c 'trap "" TERM; sleep 1000 & while :; do sleep 1; done'""", command_timeout=0.3)
    worker = one.session()
    began = time.monotonic()
    code, text = worker.mail(b"x")
    assert code == 451
    assert b"took longer" in text
    assert 0.8 <= time.monotonic() - began < 5
    wait_for(lambda: one.children() == [])
    assert worker.mail(b"x")[0] == 451  # the session goes on
    assert "took too long" in one.logged()


def test_each_command_has_its_own_time(broker):
    one = broker("sh -c 'sleep $(tail -n 1)'", command_timeout=0.8)
    workers = [one.session() for _ in range(3)]
    began = time.monotonic()
    for worker, seconds in zip(workers, (b"0", b"1000", b"1000"), strict=True):
        worker.envelope(envelope=(b"c", 1, b"", b"", b"s@x", ()))
        content = seconds + b"\n"
        worker.write(worker.file(), content)
        worker.say(requests.COMMIT, len(content))
        time.sleep(0.2)
    assert [worker.result()[0] for worker in workers][1:] == [451, 451]
    assert 1.1 <= time.monotonic() - began < 4


def test_fault_67_a_command_that_is_killed_is_a_temporary_failure(broker):
    one = broker("sh -c 'sleep 1000'")
    worker = one.session()
    worker.envelope()
    worker.write(worker.file(), b"x")
    worker.say(requests.COMMIT, 1)
    wait_for(one.children)
    os.kill(one.children()[0], signal.SIGKILL)
    assert worker.result()[0] == 451


@pytest.fixture
def no_room_for_results(monkeypatch):
    """Have the system have no room for so many results."""
    send = Channel.send
    left = 0

    def send_or_fail(channel: Channel, row: requests.Request, *values: object, **more: object) -> None:
        nonlocal left
        if row.name == "RESULT" and left:
            left -= 1
            raise BlockingIOError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        send(channel, row, *values, **more)

    def fail(count: int) -> None:
        nonlocal left
        left = count

    monkeypatch.setattr(Channel, "send", send_or_fail)
    monkeypatch.setattr(delivery, "PAUSES", (0.01, 0.02))
    return fail


def test_a_result_that_the_system_has_no_room_for_is_told_again(broker, no_room_for_results):
    """A mail that is there, and is said not to be, comes twice."""
    no_room_for_results(2)
    one = broker("true")
    worker = one.session()
    assert worker.mail(b"x") == (250, b"2.0.0 Ok, mail was piped")
    assert worker.mail(b"y")[0] == 250
    assert "hangs up" not in one.logged()


def test_a_result_that_cannot_be_told_is_logged(broker, no_room_for_results):
    no_room_for_results(3)
    one = broker("true")
    worker = one.session()
    worker.envelope()
    worker.write(worker.file(), b"x")
    worker.say(requests.COMMIT, 1)
    assert worker.gone()
    assert "hangs up on its worker: it cannot be told 250 of its mail: No buffer space available" in one.logged()
    assert one.session().mail(b"x")[0] == 250


def test_a_command_that_is_not_there_is_our_fault(broker):
    code, text = broker("/nowhere/at/all").session().mail(b"x")
    assert (code, text[:6]) == (451, b"4.3.5 ")


def test_fault_43_too_many_words_for_one_command_are_refused_for_good(broker):
    """Fault 43: never a crash with E2BIG."""
    one = broker("true", max_recipients=5000)
    recipients = [b"%d%s@example.org" % (number, b"x" * 1000) for number in range(3000)]
    assert one.session().mail(b"x", *recipients)[1][:6] == b"5.5.3 "
    assert one.session().mail(b"x", *recipients[:1000])[0] == 250


@pytest.mark.parametrize("stage", ["ENVELOPE", "RECIPIENT", "BODY", "written", "file"])
def test_fault_62_a_channel_that_ends_before_the_commit_is_no_mail(broker, taker, tmp_path, stage):
    one = broker(taker)

    def begin() -> None:
        worker = one.session()
        worker.say(requests.ENVELOPE, *PLAIN)
        if stage != "ENVELOPE":
            worker.say(requests.RECIPIENT, b"a@example.org", ())
        if stage in {"BODY", "written", "file"}:
            given = worker.file(size=(2 << 20) * (stage == "file"))
            if stage != "BODY":
                os.write(given.descriptors[0], b"x\n")
            given.close()
        worker.close()

    one.ping()
    before = one.descriptors()
    begin()
    begin()
    wait_for(lambda: one.page["dropped"] == 2)
    one.ping()
    assert one.descriptors() == before
    assert taken(tmp_path) == []


def test_fault_63_a_committed_mail_is_finished_though_its_worker_is_gone(broker, taker, tmp_path):
    one = broker(taker)
    worker = one.session()
    worker.envelope()
    worker.write(worker.file(), b"hello")
    worker.say(requests.COMMIT, 5)
    worker.close()
    wait_for(lambda: one.page["delivered"] == 1)
    assert taken(tmp_path)[0].endswith(b"\nhello")
    wait_for(lambda: one.children() == [])


def test_fault_65_66_a_broker_that_dies_is_no_success(broker, tmp_path):
    one = broker("sh -c 'sleep 1000'")
    worker = one.session()
    worker.envelope()
    worker.write(worker.file(), b"hello")
    worker.say(requests.COMMIT, 5)
    wait_for(one.children)
    (command,) = one.children()
    os.kill(one.pid, signal.SIGKILL)
    assert worker.gone()
    os.kill(command, signal.SIGKILL)
    os.waitpid(one.pid, 0)
    one.ended = True


JUNK = {
    "out of turn": lambda worker: worker.say(requests.COMMIT, 1),
    "a mail within a mail": lambda worker: (worker.envelope(), worker.say(requests.ENVELOPE, *PLAIN)),
    "no recipients": lambda worker: (worker.say(requests.ENVELOPE, *PLAIN), worker.say(requests.BODY, 0)),
    "body twice": lambda worker: (worker.envelope(), worker.file().close(), worker.say(requests.BODY, 0)),
    "spill of too much": lambda worker: (worker.envelope(), worker.file().close(), worker.say(requests.SPILL, 1 << 30)),
    "spill of more than is there": lambda worker: (
        worker.envelope(), worker.file(2 << 20).close(), worker.say(requests.SPILL, 1 << 10),
    ),
    "peer without leave": lambda worker: worker.say(requests.PEER, b"192.0.2.9", 1),
    "what only others may say": lambda worker: worker.say(requests.RESULT, 250, b""),
    "no message": lambda worker: worker.channel._socket.send(b"\x28junk"),
    "fault 20: a sender that is an option": lambda worker: worker.envelope(envelope=(b"", 1, b"", b"", b"-oQ/tmp@x", ())),
    "fault 20: a recipient that is an option": lambda worker: worker.envelope(b"-t"),
    "fault 23: a line end": lambda worker: worker.envelope(b"a\n@x"),
    "fault 23: a NUL": lambda worker: worker.envelope(b"a\0@x"),
    "fault 23: a quoted line end": lambda worker: worker.envelope(b'"a\\\n"@x'),
    "an empty recipient": lambda worker: worker.envelope(b"", b""),
    "a blank": lambda worker: worker.envelope(b"a b@x"),
    "not UTF-8": lambda worker: worker.envelope(b"\xff@x"),
    "a parameter": lambda worker: worker.say(requests.ENVELOPE, *PLAIN[:5], (b"RET=HDRS x",)),
    "a value": lambda worker: worker.say(requests.ENVELOPE, *PLAIN[:5], (b"RET=ALL",)),
    "an ENVID that hides a line end": lambda worker: worker.say(requests.ENVELOPE, *PLAIN[:5], (b"ENVID=a+0Ab",)),
    "a NOTIFY": lambda worker: (
        worker.say(requests.ENVELOPE, *PLAIN), worker.say(requests.RECIPIENT, b"a@x", (b"NOTIFY=SOON",)),
    ),
    "too many recipients": lambda worker: worker.envelope(*[b"a@x"] * 4),
}  # fmt: skip


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_a_worker_that_says_what_it_may_not_is_hung_up_on(broker, junk, tmp_path):
    one = broker(f"touch {tmp_path}/ran", max_recipients=3)
    worker, other = one.session(), one.session()
    try:
        junk(worker)
        while True:
            worker.hear()
    except ChannelGone:
        pass
    assert "delivery hangs up" in one.logged()
    assert not (tmp_path / "ran").exists()
    assert other.mail(b"x")[0] == 250  # nobody else's session is touched


def test_fault_36_descriptors_that_nobody_asked_for_are_junk(broker):
    one = broker()
    worker = one.session()
    spare = os.open("/dev/null", os.O_RDONLY)
    worker.channel._socket.sendmsg([b"\x30"], [(1, 1, spare.to_bytes(4, "little"))])
    os.close(spare)
    assert worker.gone()


# What a hostile worker does with the file: fault 79.


def test_fault_79_an_offset_that_is_moved_is_not_the_commands(broker, taker, tmp_path):
    worker = broker(taker).session()
    worker.envelope()
    given = worker.file()
    os.write(given.descriptors[0], b"hello")
    worker.say(requests.COMMIT, 5)
    os.lseek(given.descriptors[0], 3, os.SEEK_SET)
    assert worker.result()[0] == 250
    assert taken(tmp_path)[0].startswith(b"Received:")
    with pytest.raises(PermissionError):
        os.pwrite(given.descriptors[0], b"x", 0)
    given.close()


def test_fault_79_a_file_cannot_be_mapped_nor_read_nor_opened_for_writing(broker, taker, tmp_path):
    """A mapping would outlive the seal."""
    worker = broker(taker).session()
    worker.envelope()
    given = worker.file()
    (file,) = given.descriptors
    os.write(file, b"hello")
    for access in (mmap.ACCESS_WRITE, mmap.ACCESS_READ, mmap.ACCESS_COPY):
        with pytest.raises(PermissionError):
            mmap.mmap(file, 4096, access=access)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pread(file, 1, 0)
    assert os.fstat(file).st_mode & 0o777 == 0o444
    worker.say(requests.COMMIT, 5)
    assert worker.hear().number("code") == 250
    with pytest.raises(PermissionError):
        os.pwrite(file, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(file, 0)
    given.close()
    assert [mail.endswith(b"hello") for mail in taken(tmp_path)] == [True]


def test_a_command_may_open_its_standard_input_by_name(broker, tmp_path):
    one = broker(f"/bin/sh -c 'cat /dev/stdin /proc/self/fd/0 > {tmp_path}/twice' %F --")
    assert one.session().mail(b"hello\n")[0] == 250
    assert (tmp_path / "twice").read_bytes().count(b"hello\n") == 2


@pytest.mark.parametrize("length", [1 << 32, (1 << 63) + 1, (1 << 64) - 1, 101 << 20, 2 << 20])
def test_fault_79_a_length_that_cannot_be_is_refused(broker, taker, tmp_path, length):
    worker = broker(taker).session()
    worker.envelope()
    given = worker.file()
    worker.say(requests.COMMIT, length)
    assert worker.gone()
    given.close()
    assert taken(tmp_path) == []


def shorten(file):
    os.ftruncate(file, 10)


def seal(file):
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)


def forge(file):
    os.pwrite(file, b"Received: from elsewhere", 0)


@pytest.mark.parametrize("tamper", [shorten, seal, forge])
@pytest.mark.parametrize("size", [0, 2 << 20])
def test_fault_79_a_file_that_was_tampered_with_is_refused(broker, taker, tmp_path, tamper, size):
    if tamper is seal and size:
        return  # no seals there
    worker = broker(taker).session()
    worker.envelope()
    given = worker.file(size)
    os.write(given.descriptors[0], b"hello")
    tamper(given.descriptors[0])
    given.close()
    worker.say(requests.COMMIT, 5)
    assert worker.gone()
    assert taken(tmp_path) == []


def test_fault_79_a_large_mail_that_can_still_be_written_is_refused(broker, taker, tmp_path):
    one = broker(taker)
    worker = one.session()
    worker.envelope()
    given = worker.file(2 << 20)
    os.write(given.descriptors[0], b"hello")
    worker.say(requests.COMMIT, 5)
    assert worker.gone()
    given.close()
    assert "still open" in one.logged()
    assert taken(tmp_path) == []


def test_fault_51_the_file_does_not_grow_beyond_its_room(broker):
    worker = broker().session()
    worker.envelope()
    given = worker.file()
    os.lseek(given.descriptors[0], given.number("room"), os.SEEK_CUR)
    with pytest.raises(PermissionError):
        os.write(given.descriptors[0], b"x")
    given.close()


def test_fault_51_a_mail_above_the_limit_is_refused_before_and_after(broker):
    worker = broker(max_size=1000).session()
    assert worker.mail(b"", size=1001) == (0, b"mail too big")
    worker.envelope()
    given = worker.file()
    assert given.number("room") == 1000
    given.close()
    worker.say(requests.COMMIT, 1001)
    assert worker.gone()


def test_fault_51_a_mail_of_holes_or_of_nothing_is_delivered_as_it_is(broker, taker, tmp_path):
    worker = broker(taker).session()
    assert worker.mail(b"")[0] == 250
    worker.envelope()
    given = worker.file()
    os.lseek(given.descriptors[0], 1000, os.SEEK_CUR)
    os.write(given.descriptors[0], b"x")
    given.close()
    assert worker.commit(1001)[0] == 250
    first, second = taken(tmp_path)
    assert first.endswith(b"0000\n") or first.startswith(b"Received:")
    assert second.endswith(bytes(1000) + b"x")


def test_fault_52_no_room_for_files_is_452_and_the_session_goes_on(broker):
    one = broker("true", spool="/proc")
    worker = one.session()
    assert worker.mail(b"", size=2 << 20) == (0, b"no storage")
    assert worker.mail(b"x")[0] == 250
    assert "no room for a mail" in one.logged()


def test_a_spool_that_is_not_there_is_said_before_anything_starts():
    settings = Settings()
    settings.spool = "/nowhere/at/all"
    with pytest.raises(ConfigFailure, match="cannot use /nowhere/at/all"):
        delivery.open_spool(settings)


def test_fault_21_a_sender_that_a_shell_would_read_is_held_to_the_strict_alphabet(broker, tmp_path):
    one = broker(f"cat >/dev/null; cd {tmp_path} && sh -c 'echo \"$0 $*\" > said' %F")
    worker = one.session()
    sender = (b"c", 1, b"", b"", b"`id`@example.org", ())
    assert worker.mail(b"x", envelope=sender) == (0, b"sender not taken")
    hostile = (b"`touch$IFS/x`@example.org", b"a'b|{c}@example.org", b'";id;"@example.org')
    assert worker.mail(b"x", *hostile)[0] == 250
    assert (tmp_path / "said").read_bytes() == b"sender@example.org " + b" ".join(hostile) + b"\n"


def test_fault_22_percent_f_in_an_address_is_an_address(broker, taker, tmp_path):
    worker = broker(taker).session()
    assert worker.mail(b"x", b"%F@x", envelope=(b"c", 1, b"", b"", b"%F%%F%f@x", ()))[0] == 250
    assert taken(tmp_path, "args") == [b"-f\0%F%%F%f@x\0--\0%F@x\0"]


def test_the_proxys_word_counts_where_the_supervisor_says_so(broker, taker, tmp_path):
    worker = broker(taker).session(flags=requests.PROXIED)
    worker.say(requests.PEER, b"2001:db8::7", 25)
    assert worker.mail(b"x")[0] == 250
    assert b"[IPv6:2001:db8::7]" in taken(tmp_path)[0]


def test_a_name_that_was_looked_up_stands_in_the_trace(broker, taker, tmp_path):
    one = broker(taker)
    worker = one.session()
    ours, theirs = pair()
    one.channel.send(requests.NAMES, descriptors=(theirs,))
    os.close(theirs)
    names = Channel(ours)
    names.send(requests.PEER_NAME, worker.number, b"host.example")
    names.send(requests.PING, 1)  # it may say nothing else, and above all announce no session
    with pytest.raises(ChannelGone):
        names.receive(())
    names.close()
    assert worker.mail(b"x")[0] == 250
    assert b"(host.example [192.0.2.1])" in taken(tmp_path)[0]


def test_the_user_at_a_unix_socket_stands_in_the_trace(broker, taker, tmp_path):
    assert broker(taker).session(address=b"", uid=12).mail(b"x")[0] == 250
    assert b"(user 12 at a unix socket)" in taken(tmp_path)[0]


def test_sigterm_lets_mails_under_way_be_finished(broker, taker, tmp_path):
    one = broker(taker)
    worker = one.session()
    worker.envelope()
    given = worker.file()
    os.kill(one.pid, signal.SIGTERM)
    worker.write(given, b"x")
    assert worker.commit(1)[0] == 250
    worker.close()
    assert os.waitstatus_to_exitcode(os.waitpid(one.pid, 0)[1]) == 0
    one.ended = True
    assert len(taken(tmp_path)) == 1


def test_junk_on_the_control_channel_ends_that_channel_only(broker):
    one = broker()
    worker = one.session()
    one.ping()
    one.channel._socket.send(b"\xffjunk")
    assert worker.mail(b"x")[0] == 250


def test_nothing_is_left_after_many_mails(broker):
    """Fault 70: descriptors and zombies are at the baseline."""
    one = broker("true")
    worker = one.session()
    assert worker.mail(b"x")[0] == 250
    before = one.descriptors()
    for number in range(100):
        assert worker.mail(b"x" * number * 30000)[0] == 250
    assert one.descriptors() == before
    assert one.children() == []


# The words.


def test_what_is_said_of_each_mail_becomes_msmtps_options():
    assert dsn_words((), [(b"a@x", []), (b"b@x", [])]) == ([b"a@x", b"b@x"], [])
    assert dsn_words((b"RET=FULL", b"ENVID=a+2Bb", b"BODY=8BITMIME", b"SMTPUTF8", b"SIZE=5"), [(b"a@x", [])]) == (
        [b"a@x"], [b"-R", b"full", b"-V", b"a+b", b"-B", b"8BITMIME", b"--dsn-if-offered", b"--smtputf8"],
    )  # fmt: skip
    same = [(b"a@x", [b"NOTIFY=SUCCESS,DELAY"]), (b"b@x", [b"NOTIFY=SUCCESS,DELAY"])]
    assert dsn_words((), same) == ([b"a@x", b"b@x"], [b"-N", b"success,delay", b"--dsn-if-offered"])
    differ = [(b"a@x", [b"NOTIFY=NEVER", b"ORCPT=rfc822;q"]), (b"b@x", []), (b"c@x", [b"NOTIFY=DELAY"])]
    assert dsn_words((), differ) == (
        [b"b@x"],
        [b"--rcpt=<a@x> NOTIFY=NEVER ORCPT=rfc822;q", b"--rcpt=<c@x> NOTIFY=DELAY", b"--dsn-if-offered"],
    )


ODD = [b'"john doe"', b'"a,b"@x', b'"foo."@x', b"a@[y:b@x,c@x]"]


def test_msmtp_is_given_no_recipient_to_read_that_it_may_read_otherwise():
    assert dsn_words((), [(address, []) for address in (b"root", *ODD, b"a@x")]) == (
        [b"root", b"a@x"],
        [b"--rcpt=<" + address + b">" for address in ODD],
    )
    same = [(address, [b"NOTIFY=DELAY"]) for address in (*ODD, b"a@x")]
    assert dsn_words((), same) == (
        [b"a@x"],
        [b"-N", b"delay", *(b"--rcpt=<" + address + b">" for address in ODD), b"--dsn-if-offered"],
    )


def test_a_result_fits_a_reply():
    outcome = Outcome(1, b"", 0.1, timed_out=False)
    code, text = verdict(outcome, last_line(b"x" * 5000), 300)
    assert code == 554
    assert len(text) <= delivery.TEXT_LIMIT
    for number, ours in ((1, 451), (127, 451), (78, 554), (75, 451)):  # 1: Python has not found what to run
        assert verdict(Outcome(number, b"", 0.1, timed_out=False), "", 300, ours=True)[0] == ours
        assert verdict(Outcome(number, b"", 0.1, timed_out=False), "", 300)[0] == (451 if number == 75 else 554)
    assert last_line(b"\n \n") == ""
    assert last_line("grüße\n".encode()) == "grüße"


# The role.


@pytest.mark.parametrize("is_large", [False, True])
def test_all_of_it_works_in_the_sandbox(broker, taker, tmp_path, is_large):
    one = broker(taker, sandbox="require")
    worker = one.session()
    content = b"x" * (3 << 20 if is_large else 100)
    assert worker.mail(content)[0] == 250
    assert taken(tmp_path)[0].endswith(content)
    assert "role delivery: " in one.logged()
    assert "NOT in force" not in one.logged()


def test_hung_commands_and_what_they_leave_are_ended_from_within_the_sandbox(broker):
    one = broker("sh -c 'setsid sleep 1000 & sleep 1000'", sandbox="require", command_timeout=0.3)
    assert one.session().mail(b"x")[0] == 451
    wait_for(lambda: one.children() == [])


def test_a_command_with_rights_of_its_own_gets_the_role_that_leaves_them(tmp_path):
    settings = Settings()
    settings.command = f"{tmp_path}/postdrop"
    (tmp_path / "postdrop").write_text("")
    (tmp_path / "postdrop").chmod(0o2755)
    name, reason = delivery.role(settings)
    assert name == "delivery-setgid"
    assert "postdrop" in reason
    settings.command = "cat"
    assert delivery.role(settings) == ("delivery", "")
