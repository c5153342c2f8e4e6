"""How long guesses are held back: the arithmetic against a model, the memory against those who must not write it."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import mmap
import os
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msmtp.daemon import throttle
from msmtp.daemon.throttle import DAY_PACE, DAY_ROOM, ENTRIES, NANOSECONDS, Throttle

START = 10**15
ME, OTHER = b"192.0.2.1", b"uid:1000"


def fresh() -> Throttle:
    return Throttle(memoryview(bytearray(throttle.SIZE)).cast("Q"))


def at(seconds: float) -> int:
    return START + int(seconds * NANOSECONDS)


@contextlib.contextmanager
def page():
    with contextlib.closing(throttle.make()) as made:
        yield made


def test_who_has_not_failed_does_not_wait():
    assert fresh().delay(ME, START) == 0
    assert fresh().delay(ME, 0) == 0


def test_a_failure_costs_everybody_a_second_for_a_minute():
    """Fault 34: nobody can slow others by more than that, however often he fails."""
    one = fresh()
    for number in range(500):
        one.failed(ME, at(number / 100))
    assert one.delay(OTHER, at(5.5)) == 1
    assert one.delay(OTHER, at(64.9)) == 1
    assert one.delay(OTHER, at(65.1)) == 0


def test_a_failure_of_ones_own_costs_up_to_six_seconds():
    one = fresh()
    one.failed(ME, at(0))
    assert one.delay(ME, at(0)) == 6
    assert one.delay(ME, at(3)) == 3
    assert one.delay(ME, at(5.5)) == 1  # as everybody
    assert one.delay(ME, at(60)) == 0


def test_a_failure_that_is_answered_later_counts_from_then():
    """Whoever hangs up and comes again gains nothing."""
    one = fresh()
    one.failed(ME, at(6))
    assert one.delay(ME, at(0)) == 6
    assert one.delay(ME, at(6)) == 6


def test_fault_31_one_source_gets_ten_guesses_a_minute_and_one_a_second_at_most():
    """Served one after the other, as the broker does: in no minute of three hours are there more."""
    one, now, answers = fresh(), 0.0, []
    while now < 3 * 3600:
        now += one.delay(ME, at(now))
        one.failed(ME, at(now))
        answers.append(now)
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(answers))
    for number, begin in enumerate(answers):
        assert sum(1 for when in answers[number : number + 12] if when < begin + 60) <= 10


def test_fault_33_what_counts_is_when_the_attempt_comes_and_not_when_the_session_began():
    one = fresh()
    assert one.delay(ME, at(0)) == 0
    one.failed(OTHER, at(1))
    assert one.delay(ME, at(2)) == 1


def test_who_fails_all_day_waits_the_longest_even_after_a_rest():
    one = fresh()
    for number in range(DAY_ROOM + 4):  # three come back in the meantime
        one.failed(ME, at(number * 100))
    then = (DAY_ROOM + 4) * 100
    assert one.delay(ME, at(then)) == 5  # nobody failed in the last minute; without the day it would be nothing
    assert one.delay(ME, at(then + 2 * DAY_PACE / NANOSECONDS)) == 0
    assert one.delay(ME, at(then + 25 * 3600)) == 0


def test_a_day_of_failures_is_forgotten_within_a_day_however_many_they_were():
    one = fresh()
    for number in range(20_000):
        one.failed(ME, at(number))
    assert one.delay(ME, at(20_000 + 2 * 1728)) == 0


def test_it_is_never_a_lock_out():
    generator = random.Random(5)
    one, now = fresh(), 0.0
    for _ in range(3000):
        now += generator.random() * 3
        key = generator.choice([ME, OTHER])
        assert one.delay(key, at(now)) <= 6
        one.failed(key, at(now))


def test_the_source_that_failed_longest_ago_is_forgotten_first():
    one = fresh()
    for number in range(ENTRIES):
        one.failed(b"%d" % number, at(number))
    one.failed(b"0", at(ENTRIES))
    one.failed(ME, at(ENTRIES + 1))
    assert one.remembered() == ENTRIES
    assert one.has_failed(b"0")
    assert one.has_failed(ME)
    assert not one.has_failed(b"1")
    one.failed(b"1", at(ENTRIES + 2))
    assert one.delay(b"1", at(ENTRIES + 2)) == 6


# -- against a model


class Model:
    """The same in plain words: a dictionary of lists."""

    def __init__(self) -> None:
        self.answers: dict[bytes, list[int]] = {}
        self.day: dict[bytes, int] = {}
        self.last = None

    def failed(self, key: bytes, now: int) -> None:
        if key not in self.answers and len(self.answers) == ENTRIES:
            oldest = min(self.answers, key=lambda one: self.answers[one][-1])
            del self.answers[oldest], self.day[oldest]
        self.answers.setdefault(key, []).append(now)
        self.day[key] = min(max(self.day.get(key, 0), now) + DAY_PACE, now + (DAY_ROOM + 1) * DAY_PACE)
        self.last = now

    def delay(self, key: bytes, now: int) -> float:
        wait = 0
        if self.last is not None and now - self.last < 60 * NANOSECONDS:
            wait = NANOSECONDS
        if key in self.answers:
            own = self.answers[key][-1] + 6 * NANOSECONDS - now
            if self.day[key] - now > 24 * 3600 * NANOSECONDS:
                own = 10**30
            wait = max(wait, min(own, wait + 5 * NANOSECONDS))
        return wait / NANOSECONDS


STEPS = st.lists(
    st.tuples(
        st.integers(0, ENTRIES + 8), st.booleans(), st.sampled_from([0, 1, 10**8, 10**9, 3 * 10**9, 6 * 10**10, 10**13])
    ),
    max_size=300,
)


@given(STEPS)
@settings(max_examples=200)
def test_it_does_what_the_model_does(steps):
    one, model, now = fresh(), Model(), START
    for number, fails, later in steps:
        now += later
        key = b"key %d" % number
        if fails:
            one.failed(key, now)
            model.failed(key, now)
        assert one.delay(key, now) == model.delay(key, now)
        assert 0 <= one.delay(key, now) <= 6
        assert one.has_failed(key) == (key in model.answers)
    assert one.remembered() == len(model.answers)


# -- the memory


def test_only_who_made_the_page_writes_it():
    with page() as one:
        one.failed(ME, START)
        for attempt in (
            lambda: mmap.mmap(one.descriptor, throttle.SIZE),
            lambda: os.write(one.descriptor, b"x"),
            lambda: os.pwrite(one.descriptor, b"x", 0),
            lambda: os.ftruncate(one.descriptor, 0),
            lambda: os.ftruncate(one.descriptor, 1 << 20),
        ):
            with pytest.raises(PermissionError):
                attempt()
        with contextlib.closing(throttle.reading(one.descriptor)) as reader:
            assert reader.has_failed(ME)
            with pytest.raises(TypeError):
                reader.failed(OTHER, START)
            one.failed(OTHER, START)
            assert reader.has_failed(OTHER)
        assert fcntl.fcntl(one.descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_a_child_remembers_for_its_successor():
    """The broker ends; the one that takes its place is forked by the same keeper."""
    with page() as one:
        child = os.fork()
        if not child:
            one.failed(ME, START)
            os._exit(0)
        os.waitpid(child, 0)
        assert one.delay(ME, START) == 6


def test_fault_38_a_restart_forgets_nothing():
    with page() as one:
        one.failed(ME, at(0))
        kept = os.dup(one.descriptor)
    with contextlib.closing(throttle.adopt(kept, at(1))) as heir:
        assert heir.delay(ME, at(1)) == 5
        heir.failed(ME, at(2))  # it may write, though the page it inherited was sealed
        assert heir.delay(ME, at(2)) == 6


def words(**changes: int) -> list[int]:
    made = throttle.blank()
    for place, value in changes.items():
        made[int(place[1:])] = value
    return made


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"x" * 100,
        b"x" * 4096,
        bytes(4096),
        bytes(8192),
        *[
            struct.pack(f"={len(one)}Q", *one).ljust(4096, b"\0")
            for one in (
                words(_1=2),  # another version
                words(_2=7),  # its writer died while it wrote
                words(_3=at(0) + 200 * 86400 * NANOSECONDS),  # of another start of the machine
                words(_10=2**63),
                words(_12=2**63),
            )
        ],
    ],
)
def test_what_makes_no_sense_is_not_believed(octets):
    descriptor = os.memfd_create("odd")
    os.write(descriptor, octets)
    with contextlib.closing(throttle.adopt(descriptor, at(0))) as heir:
        assert heir.remembered() == 0
        assert heir.delay(ME, at(0)) == 0
        heir.failed(ME, at(0))
        assert heir.delay(ME, at(0)) == 6


def test_what_is_no_memory_is_not_believed_either():
    reads, writes = os.pipe()
    os.close(writes)
    with contextlib.closing(throttle.adopt(reads, at(0))) as heir:
        assert heir.remembered() == 0


def test_a_page_that_was_left_in_the_middle_of_a_change_is_seen():
    view = memoryview(bytearray(throttle.SIZE)).cast("Q")
    for place, word in enumerate(throttle.blank()):
        view[place] = word
    one = Throttle(view)
    one.failed(ME, START)
    assert view[2] == 2
    assert throttle.plausible(list(view[: len(throttle.blank())]), START)
    one.failed(ME, START + DAY_PACE * 1000)
    assert view[2] == 4
    assert not throttle.plausible(list(view[: len(throttle.blank())]), START)
