"""What clients, commands and the system may do to exhaust the daemon, against the real one: it answers, and lives on."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support import abuse
from tests.support.daemon import TOP, Msmtpd, is_there, new_folder, pause
from tests.support.processes import wait_for

ROOT = pytest.mark.root
REFUSALS = ("refused connection",)


@pytest.fixture(scope="module")
def shared():
    with Msmtpd("--max-size=200k", environment={"SECRET": "of the daemon", "LD_DEBUG_X": "1"}) as daemon:
        yield daemon


@pytest.fixture
def daemon(shared):
    shared.recorder.forget()
    shared.order()
    return shared


# -- time


@pytest.fixture(scope="module")
def hasty():
    options = ("--idle-timeout=1", "--session-timeout=3", "--max-sessions=32", "--max-sessions-per-source=32")
    with Msmtpd(*options) as daemon:
        yield daemon


SILENCES = {
    "at the beginning": (),
    "after EHLO": ("EHLO x",),
    "in a mail": ("EHLO x", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "DATA"),
    "after a mail": ("EHLO x", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "DATA", "x\r\n."),
}


@pytest.mark.parametrize("lines", SILENCES.values(), ids=SILENCES)
def test_fault_40_who_says_nothing_is_told_to_go(hasty, lines):
    with hasty.talk() as client:
        client.hear(220)
        for line in lines:
            client.say(line)
        begun = time.monotonic()
        client.hear("421 4.4.2")
        assert client.line() == b""
        assert 0.9 < time.monotonic() - begun < 3


def test_fault_40_octet_by_octet_does_not_help(hasty):
    with hasty.talk() as client:
        client.hear(220)
        begun = time.monotonic()
        client.connection.setblocking(False)
        while time.monotonic() < begun + 5:
            try:
                client.send(b"N")
                if client.connection.recv(100)[:3] in (b"421", b""):
                    break
            except BlockingIOError:
                pass
            except OSError:
                break
            time.sleep(0.1)
        assert 0.9 < time.monotonic() - begun < 3


def test_fault_40_nor_does_saying_much(hasty):
    with hasty.talk() as client:
        client.greet()
        begun = time.monotonic()
        while client.say("NOOP")[:3] == "250":
            time.sleep(0.2)
        assert client.reply.startswith("421")
        assert 2 < time.monotonic() - begun < 5


def test_fault_40_without_the_password_there_is_less_time():
    with Msmtpd("--auth=user,echo secret", "--login-timeout=1") as daemon, daemon.talk() as client:
        client.greet()
        begun = time.monotonic()
        while client.say("NOOP")[:3] == "250":
            time.sleep(0.2)
        assert client.reply.startswith("421 4.4.2")
        assert time.monotonic() - begun < 3


def test_fault_41_who_never_reads_is_left(hasty):
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        deaf.settimeout(5)
        deaf.connect((hasty.host, hasty.port))
        lines = b"EHLO x\r\n"
        deaf.sendall(lines)
        time.sleep(0.1)
        try:
            deaf.sendall(b"MAIL FROM:<a@b.example>\r\n" + b"RCPT TO:<%b@d.example>\r\n" % (b"c" * 60) * 3_000)
        except OSError:
            pass  # it has ended the session, which is the point
        hasty.settled(10)


def test_fault_42_commands_that_lead_nowhere_have_an_end(daemon):
    for verb in ("NOOP", "RSET", "VRFY x"):
        with daemon.talk() as client:
            client.greet()
            count = 0
            while client.say(verb)[0] == "2":
                count += 1
            assert client.reply.startswith("421 4.7.0")
            assert 90 <= count <= 100
            assert client.line() == b""


def test_fault_42_45_when_there_is_no_slot_left_patience_is_short():
    with Msmtpd("--max-sessions=1") as daemon:
        with daemon.talk() as client:
            client.greet()
            count = 0
            while client.say("NOOP")[0] == "2":
                count += 1
            assert count <= 10
        daemon.settled()
        with daemon.talk() as client:
            client.greet()
            client.say("NONSENSE", 421)


# -- too much


def test_fault_43_recipients_beyond_the_limit_are_put_off_and_the_others_kept(daemon):
    with daemon.talk() as client:
        client.greet()
        client.say("MAIL FROM:<a@b.example>", 250)
        client.send(b"".join(b"RCPT TO:<r%d@d.example>\r\n" % number for number in range(10_000)))
        codes = [client.hear()[:9] for _ in range(10_000)]
        assert codes == ["250 2.1.5"] * 1_000 + ["452 4.5.3"] * 9_000
        client.say("DATA", 354)
        client.say("x\r\n.", 250)
    (mail,) = daemon.mails(1)
    assert mail.recipients == [f"r{number}@d.example" for number in range(1_000)]


def test_fault_43_as_many_recipients_as_can_be_asked_for_fit_at_their_longest():
    with Msmtpd("--max-recipients=5000") as daemon:
        with daemon.talk() as client:
            client.greet()
            client.say("MAIL FROM:<a@b.example>", 250)
            domain = b".".join([b"d" * 60] * 3)
            for _ in range(5):
                client.send(b"RCPT TO:<%b@%b>\r\n" % (b"r" * 64, domain) * 1_000)
                for _ in range(1_000):
                    client.hear(250)
            client.say("RCPT TO:<c@d.example>", "452 4.5.3")
            client.say("DATA", 354)
            client.say("x\r\n.", 250)
        (mail,) = daemon.mails(1)
        assert len(mail.recipients) == 5_000


def test_fault_44_the_third_mistake_is_the_last(daemon):
    with daemon.talk() as client:
        client.greet()
        client.say("ONE", 500)
        client.say("TWO", 500)
        client.say("THREE", "421 4.7.0")
        assert client.line() == b""


def test_fault_45_a_flood_of_connections_is_answered_at_once_and_forks_nothing():
    with Msmtpd("--max-sessions=4", "--max-sessions-per-source=4", expected=REFUSALS) as daemon:
        held = [daemon.talk() for _ in range(4)]
        for client in held:
            client.greet()
        processes = len(daemon.tree())
        begun = time.monotonic()
        for _ in range(300):
            with daemon.talk() as client:
                client.hear("421 4.7.0")
                assert client.line() == b""
        assert time.monotonic() - begun < 5
        assert len(daemon.tree()) <= processes
        assert daemon.status()["refused_full"] == 300
        for client in held:
            client.say("NOOP", 250)  # they did not notice
        held.pop().connection.close()
        wait_for(lambda: daemon.status()["active"] == 3)
        with daemon.talk() as client:
            client.greet()
        for client in held:
            client.connection.close()


def test_fault_45_one_source_does_not_get_all_slots():
    with Msmtpd("--max-sessions=4", expected=REFUSALS) as daemon:
        held = [daemon.talk() for _ in range(2)]
        for client in held:
            client.greet()
        with daemon.talk() as client:
            client.hear("421 4.7.0")
        assert daemon.status()["refused_source"] == 1
        for client in held:
            client.connection.close()


@ROOT
def test_fault_46_where_there_is_no_process_to_be_had_the_client_is_told_and_the_daemon_lives():
    expected = ("cannot make a process", "refused connection")
    with Msmtpd(expected=expected) as daemon:
        parent = daemon.processes().get("nursery") or daemon.processes()["supervisor"]
        held = []
        with abuse.limited(parent[0], resource.RLIMIT_NPROC, 0):
            for _ in range(6):
                client = daemon.talk()
                held.append(client)
                if client.hear()[:3] == "421":
                    break
            assert client.reply.startswith("421 4.3.1")
            daemon.wait_logged("cannot make a process")
            held[0].say("NOOP", 250)  # who is served is served
        assert daemon.status()["refused_resources"] >= 1
        for client in held:
            client.connection.close()

        def served():
            with daemon.talk() as client:
                return client.hear()[:3] == "220"

        wait_for(served, 10)


@ROOT
def test_fault_47_where_there_is_no_descriptor_to_be_had_it_answers_with_the_one_in_reserve():
    expected = ("cannot accept", "refused connection", "cannot make a process")
    with Msmtpd(expected=expected) as daemon:
        supervisor = daemon.process_of("supervisor")
        with abuse.limited(supervisor, resource.RLIMIT_NOFILE, abuse.next_descriptor(supervisor)):
            for _ in range(5):
                with daemon.talk() as client:
                    client.hear("421 4.3.1")
        assert daemon.status()["refused_resources"] >= 5

        def served():
            with daemon.talk() as client:
                return client.hear()[:3] == "220"

        wait_for(served, 10)
        with daemon.talk() as client:
            client.greet()
            client.mail()


@ROOT
def test_fault_47_so_does_delivery():
    with Msmtpd() as daemon:
        delivery = daemon.process_of("delivery")
        with daemon.talk() as client:
            client.greet()
            with abuse.limited(delivery, resource.RLIMIT_NOFILE, abuse.next_descriptor(delivery)):
                client.say("MAIL FROM:<a@b.example>", 250)
                client.say("RCPT TO:<c@d.example>", 250)
                client.say("DATA", "452 4.3.1")
                client.say("RSET", 250)
            assert client.mail()[:3] == "250"
        daemon.mails(1)


@ROOT
@pytest.mark.parametrize("which", ["delivery", "auth"])
def test_fault_47_a_broker_that_cannot_take_a_session_takes_the_next(which):
    expected = ("refused connection", "cannot", which, "too large")
    with Msmtpd("--auth=user,echo secret", expected=expected) as daemon:
        broker = daemon.process_of(which)
        room = abuse.next_descriptor(broker)
        with abuse.limited(broker, resource.RLIMIT_NOFILE, room), daemon.talk() as client:
            client.hear()

        def served():
            with daemon.talk() as client:
                if client.hear()[:3] != "220":
                    return False
                client.say("EHLO x", 250)
                client.say("AUTH PLAIN AHVzZXIAc2VjcmV0")
                return client.reply[:3] == "235" and client.mail()

        wait_for(served, 10)


@ROOT
@pytest.mark.parametrize("error", ["ECONNABORTED", "EPROTO", "EINTR", "EPERM", "ENETDOWN"])
def test_fault_48_what_accept_says_of_one_connection_is_no_matter_to_the_next(shared, error, tmp_path):
    with abuse.injected(shared.process_of("supervisor"), f"accept4:error={error}:when=1..3", folder=tmp_path) as trace:
        with shared.talk() as client:
            client.connection.settimeout(10)
            client.greet()
        assert trace.read_text().count("INJECTED") == 3


@ROOT
@pytest.mark.parametrize("error", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"])
def test_fault_47_a_shortage_in_accept_passes(error, tmp_path):
    expected = ("cannot accept", "refused connection")
    call = f"accept4:error={error}:when=1..6"
    with (
        Msmtpd(expected=expected) as daemon,
        abuse.injected(daemon.process_of("supervisor"), call, folder=tmp_path),
        daemon.talk() as client,
    ):
        client.connection.settimeout(10)
        client.greet()


@ROOT
@pytest.mark.parametrize("process", ["supervisor", "delivery"])
@pytest.mark.parametrize("error", ["EAGAIN", "ENOMEM"])
def test_fault_46_a_fork_that_fails_passes(process, error, tmp_path):
    with Msmtpd(expected=("cannot make a process", "refused connection", "answered 451")) as daemon:
        pids = daemon.processes().get(process)
        if not pids:
            pytest.skip(f"there is no {process}")
        calls = [f"{name}:error={error}" for name in ("clone", "clone3", "vfork")]
        with abuse.injected(pids[0], *calls, folder=tmp_path):
            answers = set()
            for _ in range(4):
                with daemon.talk() as client:
                    if client.hear()[:3] == "220":
                        client.say("EHLO x", 250)
                        client.envelope()
                        answers.add(client.say("x\r\n.")[:9])
            assert answers <= ({"451 4.3.0"} if process == "delivery" else {"250 2.0.0"})

        def sent():
            with daemon.talk() as client:
                if client.hear()[:3] == "220":
                    client.say("EHLO x", 250)
                    return client.mail()
            return ""

        wait_for(sent, 10)


def test_fault_49_what_a_command_started_ends_with_it(daemon):
    daemon.order(before="i=0; while [ $i -lt 100 ]; do sleep 1000 & i=$((i+1)); done; setsid sleep 1000 &")
    with daemon.talk() as client:
        client.greet()
        client.mail()
    delivery = daemon.process_of("delivery")
    wait_for(lambda: len(daemon.tree()) < 20)
    assert is_there(delivery)
    daemon.settled()


@ROOT
def test_fault_50_a_worker_without_memory_says_so_or_dies_and_nobody_else(daemon):
    with daemon.talk() as client, daemon.talk() as other:
        client.greet()
        other.greet()
        worker = int(min(daemon.sessions(), key=lambda line: int(line.split()[0])).split()[2])
        client.say("MAIL FROM:<a@b.example>", 250)
        client.say("RCPT TO:<c@d.example>", 250)
        with abuse.limited(worker, resource.RLIMIT_AS, 1 << 20):
            try:
                client.send(b"RCPT TO:<c@d.example> NOTIFY=NEVER ORCPT=rfc822;" + b"x" * 200 + b"\r\n" * 500 * 30)
                client.send(b"DATA\r\n" + b"x" * 200_000 + b"\r\n.\r\n")
                while client.line():
                    pass
            except OSError:
                pass
        assert other.mail()[:3] == "250"
    daemon.settled()


def test_fault_51_sizes_that_are_lies(daemon):
    with daemon.talk() as client:
        client.greet()
        client.say("MAIL FROM:<a@b.example> SIZE=99999999", "552 5.3.4")
        client.say("MAIL FROM:<a@b.example> SIZE=1", 250)
        client.say("RCPT TO:<c@d.example>", 250)
        client.say("DATA", 354)
        client.send((b"x" * 70 + b"\r\n") * 4_000)
        client.say(".", "552 5.3.4")
        client.say("MAIL FROM:<a@b.example> SIZE=199000", 250)
        client.say("RCPT TO:<c@d.example>", 250)
        client.say("DATA", 354)
        client.say(".", 250)
    (mail,) = daemon.mails(1)
    assert mail.content == b""


# -- full disks


@pytest.fixture
def elsewhere():
    folder = new_folder()
    yield folder
    shutil.rmtree(folder)


BAD_SPOOLS = {
    "full": "mount -t tmpfs -o size=1m,mode=1777 none {}",
    "without inodes": "mount -t tmpfs -o nr_inodes=1,mode=1777 none {}",
    "to read only": "mount -t tmpfs -o ro,mode=1777 none {}",
}


@ROOT
@pytest.mark.parametrize("mount", BAD_SPOOLS.values(), ids=BAD_SPOOLS)
def test_fault_52_a_spool_that_takes_nothing_costs_the_large_mails_only(elsewhere, mount):
    wrap = abuse.in_mounts(mount.format(elsewhere))
    with Msmtpd(f"--spool={elsewhere}", wrap=wrap, expected=("no room for a mail",)) as daemon:
        with daemon.talk() as client:
            client.greet()
            client.say("MAIL FROM:<a@b.example>", 250)
            client.say("RCPT TO:<c@d.example>", 250)
            if client.say("DATA")[:3] == "354":
                client.send((b"x" * 70 + b"\r\n") * 60_000)
                client.say(".", "452 4.3.1")
            assert client.reply.startswith("452 4.3.1")
            client.say("RSET", 250)
            assert client.mail()[:3] == "250"
            client.say("MAIL FROM:<a@b.example> SIZE=5000000", 250)
            client.say("RCPT TO:<c@d.example>", 250)
            client.say("DATA")
            if client.reply[:3] == "354":
                client.send((b"x" * 70 + b"\r\n") * 60_000)
                client.say(".")
            assert client.reply.startswith("452 4.3.1")
        daemon.mails(1)


@ROOT
def test_fault_52_a_full_log_disk_does_not_stop_mail(elsewhere):
    fill = f"mount -t tmpfs -o size=64k,mode=755 none {elsewhere} && head -c 1000000 /dev/zero >{elsewhere}/filler; :"
    with Msmtpd(f"--log={elsewhere}/log", wrap=abuse.in_mounts(f"{{ {fill}; }}")) as daemon:
        with daemon.talk() as client:
            client.greet()
            for _ in range(5):
                client.mail()
        daemon.mails(5)


# -- clocks

CLOCK = """
import mmap, runpy, sys, time
with open(sys.argv[1], "r+b") as file:
    clock = memoryview(mmap.mmap(file.fileno(), 8)).cast("q")
now, local, utc = time.time, time.localtime, time.gmtime
time.time = lambda: now() + clock[0]
time.localtime = lambda when=None: local(time.time() if when is None else when)
time.gmtime = lambda when=None: utc(time.time() if when is None else when)
sys.path[0] = sys.argv[2]
sys.argv = sys.argv[3:]
from msmtp.daemon.main import run
sys.exit(run())
"""

YEARS = 365 * 86_400


def test_fault_53_clocks_that_jump_end_nothing_and_hold_nothing_up(elsewhere):
    clock = elsewhere / "clock"
    clock.write_bytes(bytes(8))
    wrap = (sys.executable, "-I", "-c", CLOCK, clock, TOP / "src")
    with Msmtpd("--command-timeout=20", "--idle-timeout=20", wrap=wrap) as daemon, daemon.talk() as client:
        client.greet()
        for years in (10, -10, -60, 30, 0):
            with clock.open("r+b") as file:
                file.write(struct.pack("q", years * YEARS))
            client.mail()  # the session that was open before, and a new one
            with daemon.talk() as other:
                other.greet()
                other.say("QUIT", 221)
        mails = daemon.mails(5)
    dates = [int(mail.received.rpartition(";")[2].split()[3]) for mail in mails]
    this = time.gmtime().tm_year
    assert [round(date - this, -1) for date in dates] == [10, -10, -60, 30, 0]


# -- commands


def test_fault_54_a_command_that_hangs_is_ended_and_the_slot_comes_back():
    with Msmtpd("--command-timeout=1", "--max-sessions=2", "--max-sessions-per-source=2") as daemon:
        stubborn = "trap '' TERM HUP INT; exec </dev/null; (setsid sleep 1000 &) ; while :; do sleep 1000; done"
        daemon.order(before=stubborn)
        with daemon.talk() as client:
            client.greet()
            begun = time.monotonic()
            client.mail(code="451 4.3.0")
            assert 5.5 < time.monotonic() - begun < 9  # one second, and five from SIGTERM to SIGKILL
        daemon.order()
        daemon.settled()  # and nothing of it is left
        with daemon.talk() as client:
            client.greet()
            client.mail()


def test_fault_54_what_a_command_leaves_in_the_background_is_not_waited_for(daemon):
    daemon.order(after="sleep 1000 & setsid sleep 1000 &")
    with daemon.talk() as client:
        client.greet()
        begun = time.monotonic()
        client.mail()
        assert time.monotonic() - begun < 3
    daemon.settled()


def test_fault_55_a_command_need_not_read():
    with Msmtpd(command="/bin/true") as daemon, daemon.talk() as client:
        client.greet()
        client.mail(b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 50_000)


def test_fault_56_what_a_command_prints_without_end_is_thrown_away(daemon):
    daemon.order(
        before="head -c 300000000 /dev/zero >&2; head -c 10000000 /dev/zero; echo; echo the last word; exit 65"
    )
    delivery = daemon.process_of("delivery")
    with daemon.talk() as client:
        client.greet()
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(client.mail, code=None)
            most = 0
            while not answer.done():
                if os.geteuid() == 0:
                    most = max(most, abuse.memory(delivery))
                time.sleep(0.05)
        assert answer.result() == "554 5.3.0 the last word"
        assert most < 30 << 20
    daemon.settled()


CODES = {
    0: "250 2.0.0", 1: "554 5.3.0", 64: "554", 65: "554", 68: "451", 69: "451", 70: "554", 71: "451", 75: "451",
    77: "554", 78: "554", 255: "554",
}  # fmt: skip


def test_fault_57_what_the_command_says_is_what_the_client_is_told(daemon):
    with daemon.talk() as client:
        client.greet()
        for code, answer in CODES.items():
            daemon.order(before=f"exit {code}")
            client.mail(code=answer)
        for number in (1, 9, 11, 15):
            daemon.order(before=f"kill -{number} $$")
            client.mail(code="451 4.3.0")


def test_fault_58_a_command_has_three_descriptors_and_a_chosen_environment(daemon):
    daemon.order(before="exec sh -c 'exit $((100 + $(ls /proc/self/fd | wc -l)))'")
    with daemon.talk() as client:
        client.greet()
        assert "error 104" in client.mail(code="554")  # the fourth is what ls(1) itself has opened
    daemon.order()
    with daemon.talk() as client:
        client.greet()
        client.mail()
    (mail,) = daemon.mails(1)
    assert not {name for name in mail.environment if name.startswith(("SECRET", "LD_", "PYTHON", "LISTEN", "NOTIFY"))}


# -- clients that leave


def test_fault_59_half_a_mail_is_none(daemon):
    with daemon.talk() as client:
        client.greet()
        client.envelope()
        client.send(b"Subject: half\r\n\r\nx\r\n")
        client.connection.shutdown(socket.SHUT_WR)
        assert client.line()[:3] in (b"", b"421")
    daemon.settled()
    assert daemon.mails() == []


def test_fault_60_a_reset_in_a_mail_delivers_nothing(daemon):
    with daemon.talk() as client:
        client.greet()
        client.envelope()
        client.send(b"Subject: half\r\n\r\nx\r\n")
        abuse.reset(client.connection)
    daemon.settled()
    assert daemon.mails() == []


def test_fault_60_a_reset_while_the_command_runs_changes_nothing(daemon):
    daemon.order(before="sleep 0.5")
    with daemon.talk() as client:
        client.greet()
        client.envelope()
        client.send(b"Subject: whole\r\n\r\nx\r\n.\r\n")
        wait_for(lambda: daemon.status()["running"])
        abuse.reset(client.connection)
    (mail,) = daemon.mails(1)
    assert mail.content == b"Subject: whole\n\nx\n"
    daemon.settled()


@pytest.mark.parametrize("how", ["close", "shutdown"])
def test_fault_61_who_has_said_all_may_leave(daemon, how):
    with daemon.talk() as client:
        client.greet()
        client.envelope()
        client.send(b"Subject: whole\r\n\r\nx\r\n.\r\n")
        if how == "shutdown":
            client.connection.shutdown(socket.SHUT_WR)
            client.hear(250)
    (mail,) = daemon.mails(1)
    assert mail.content == b"Subject: whole\n\nx\n"
    pause(0.05)
    daemon.mails(1)


# -- calls that fail

CALLS = {
    "supervisor": (
        "sendmsg:error=ENOBUFS", "sendmsg:error=ETOOMANYREFS", "sendto:error=ENOBUFS", "recvmsg:error=EINTR",
        "recvmsg:error=ENOMEM", "socketpair:error=ENOMEM", "poll:error=EINTR", "fcntl:error=ENOMEM",
        "socketpair:error=EMFILE", "getsockopt:error=ENOBUFS",
        "setsockopt:error=EINVAL", "getpeername:error=ENOTCONN", "getsockname:error=ENOBUFS",
        "write:error=ENOSPC", "write:error=EIO", "mmap:error=ENOMEM", "pidfd_send_signal:error=ESRCH",
    ),
    "delivery": (
        "sendto:error=ENOBUFS", "pidfd_open:error=ENFILE",  # by then the command runs, or has
        "sendmsg:error=ENOBUFS", "recvmsg:error=ENOMEM", "recvmsg:error=EINTR", "memfd_create:error=EMFILE",
        "memfd_create:error=ENOMEM", "ftruncate:error=ENOSPC", "pwrite64:error=ENOSPC", "write:error=ENOSPC",
        "fcntl:error=ENOMEM", "fcntl:error=EBUSY", "pipe2:error=EMFILE", "openat:error=ENFILE", "pidfd_open:error=EMFILE",
        "poll:error=EINTR", "vfork:error=EAGAIN", "clone:error=EAGAIN", "clone3:error=EAGAIN", "mmap:error=ENOMEM",
        "waitid:error=EINTR", "kill:error=EPERM", "read:error=EIO", "pread64:error=EIO",
    ),
    "keeper": (
        "sendmsg:error=ENOBUFS", "recvmsg:error=ENOMEM", "poll:error=EINTR", "write:error=ENOSPC", "waitid:error=EINTR",
        "mmap:error=ENOMEM", "read:error=EINTR",
    ),
}  # fmt: skip


@ROOT
@pytest.mark.parametrize(
    ("process", "call"),
    [pytest.param(who, call, id=f"{who}-{call}") for who, calls in CALLS.items() for call in calls],
)
def test_fault_46_47_52_a_call_that_fails_costs_a_session_at_most(process, call, tmp_path):
    """And who is not told 250 sends the mail again: then it has not been delivered."""
    told = []
    expected = ("refused connection", "cannot", "answered 4", "was ended", "ended with", "hangs up", "does not answer")
    with Msmtpd(expected=expected) as daemon:
        with abuse.injected(daemon.process_of(process), f"{call}:when=1..2", folder=tmp_path):
            for _ in range(2):
                with daemon.talk() as client:
                    try:
                        client.connection.settimeout(5)
                        if client.hear()[:3] == "220":
                            client.say("EHLO x")
                            told.append(client.mail(code=None)[:3])
                    except (OSError, AssertionError):
                        pass

        def served():
            with daemon.talk() as client:
                return client.hear()[:3] == "220" and client.say("EHLO x")[:3] == "250" and client.mail()

        wait_for(served, 15)
        daemon.settled()
        assert len(daemon.mails()) == told.count("250") + 1
