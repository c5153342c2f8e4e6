"""System calls that fail in the middle of a send: a disk that is full or bad, no memory, no descriptors, signals.

What is said is the truth: never "sent" for what the server did not take whole, never silence about what it may have
taken.  Nothing goes in the clear that TLS should have protected.  The exit code tells a machine's bad moment from a mail
that will never go.
"""

from __future__ import annotations

import pytest
from tests.support.hostile import FAULTS
from tests.support.injected import Faulty, places, run, spread
from tests.support.sending import MAIL

from msmtp.exits import name_of

DOUBT = "the server may have taken the mail all the same"
PATIENCE = 5.0  # seconds; half of the timeout of the account
LINE = b"0123456789abcdef" * 55 + b"\n"
BIG = b"Subject: big\n\n" + LINE * (2 * 1024 * 1024 // len(LINE))  # goes into an unnamed file and comes back out of it
READS = len(BIG) // 65536  # that many it takes at least; more if the pipe is not always full

# The mail (small and over TLS, or big and not), the call (and how it begins), the error, whether all later calls of that name fail, too, at
# how many places it is tried, and the exit codes that may come of it: 0 where msmtp has another way, or needs the call
# for something else than the mail; 66 and 74 where it is a file of the user's that cannot be read.
TABLE = [
    ("small", "sendto", "EIO", "once", 9, {0, 75}),
    ("small", "sendto", "ENOMEM", "and on", 3, {0, 75}),
    ("small", "recvfrom", "ENOMEM", "once", 8, {75}),
    ("small", "poll", "ENOMEM", "once", 6, {71}),
    ("small", "read", "EIO", "once", 12, {0, 66, 71, 74}),
    ("small", "openat", "EMFILE", "once", 6, {0, 71}),
    ("small", "openat", "ENOMEM", "and on", 12, {0, 71}),
    ("small", "mmap", "ENOMEM", "once", 3, {0, 71}),
    ("small", "mmap", "ENOMEM", "and on", 5, {0, 71}),
    ("small", "write", "ENOSPC", "once", 1, {0}),
    ("big", "write", "ENOSPC", "once", 4, {0, 75}),
    ("big", "write", "EIO", "once", 3, {0, 75}),
    ("big", "pread64", "EIO", "once", 3, {74}),
    ("big", "read(0", "EIO", "once", 3, {74}),
    ("big", "sendto", "ENOMEM", "once", 3, {0, 75}),
    ("big", "recvfrom", "EIO", "once", 4, {75}),
]
INTERRUPTED = [
    *(("small", call, 3) for call in ("sendto", "recvfrom", "poll", "read", "openat", "write")),
    *(("big", call, 2) for call in ("read", "write", "pread64", "sendto")),
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What the runs do when nothing fails, and Python has no more to compile."""
    return {which: [send(tmp_path_factory.mktemp(which), which) for _ in range(2)][1] for which in ("small", "big")}


def send(folder, which: str, *faults: str) -> Faulty:
    """Send one of the two mails, with faults; what holds of every run is checked."""
    mail = {"small": MAIL, "big": BIG}[which]
    done = run(folder, mail, tls=which == "small", inject=faults)
    context = (faults, done.code, done.err, done.log)
    assert done.seconds < PATIENCE, context
    assert not any(fault in done.err for fault in FAULTS), context
    assert all(line.startswith("msmtp: ") and line.isprintable() for line in done.err.splitlines()), context
    assert bool(done.err) or not done.code, context
    assert done.clear == 0, context
    assert len(done.mails) <= 1, context
    if done.code == 0:
        (arrived,) = done.mails
        assert arrived.data.endswith(mail.replace(b"\n", b"\r\n")[-len(LINE) :]), context
        assert len(arrived.data) >= len(mail) + mail.count(b"\n"), context
    else:
        assert not done.mails or DOUBT in done.err, context
    assert done.log.count("\n") <= 1, context
    assert f"exitcode={name_of(done.code)}\n" in done.log or "cannot log to" in done.err or not logged(done), context
    return done


def logged(done: Faulty) -> bool:
    """Whether there was an attempt to send: before, the configuration and the mail are read, and nothing is logged."""
    return done.code == 0 or "could not send mail" in done.err


@pytest.mark.parametrize(("which", "call", "error", "how_long", "most", "codes"), TABLE)
def test_a_call_that_fails(tmp_path, undisturbed, which, call, error, how_long, most, codes):
    numbers = places(undisturbed[which].trace, call)
    if call == "read(0":
        numbers = numbers[:READS]
    numbers = spread(numbers, most)
    call = call.partition("(")[0]
    injected = 0
    for number in numbers:
        done = send(tmp_path, which, f"{call}:error={error}:when={number}{'+' * (how_long == 'and on')}")
        assert done.code in codes or (done.code == 0 and not done.injected), (number, done.err)
        injected += bool(done.injected)
    assert injected >= max(1, len(numbers) - 1)  # when records of TLS come together, there is a read less


@pytest.mark.parametrize(("which", "call", "most"), INTERRUPTED)
def test_a_call_that_a_signal_interrupts_is_made_again(tmp_path, undisturbed, which, call, most):
    numbers = spread(places(undisturbed[which].trace, call), most)
    assert numbers
    for number in numbers:
        done = send(tmp_path, which, f"{call}:error=EINTR:when={number}")
        assert (done.code, done.err) == (0, "")


def test_a_mail_goes_through_memory_if_no_folder_takes_it_and_is_not_lost_if_nothing_does(tmp_path, undisturbed):
    trace = undisturbed["big"].trace
    first = places(trace, 'openat(AT_FDCWD, "/tmp", ')[0]
    refused = f"openat:error=ENOSPC:when={first}..{first + 2}"  # $TMPDIR, /tmp, /var/tmp
    assert send(tmp_path, "big", refused).code == 0
    done = send(tmp_path, "big", refused, "memfd_create:error=ENOMEM")
    assert done.code == 75
    assert done.err.startswith("msmtp: cannot make a temporary file for the mail: Cannot allocate memory\n")
