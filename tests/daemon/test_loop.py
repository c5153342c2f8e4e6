"""The loop calls back for descriptors, timers and signals, in its turn and never in a handler."""

import os
import signal
import time

import pytest

from msmtp.daemon.loop import WRITABLE, Loop


@pytest.fixture
def loop():
    made = Loop()
    yield made
    made.close()


def test_a_ready_descriptor_calls_back_until_it_is_read(loop):
    reads, writes = os.pipe()
    seen = []
    loop.watch(reads, seen.append)
    os.write(writes, b"x")
    loop.turn(1)
    loop.turn(1)
    assert len(seen) == 2
    os.read(reads, 1)
    loop.turn(0.01)
    assert len(seen) == 2
    loop.forget(reads)
    os.close(reads)
    os.close(writes)


def test_the_other_end_going_away_calls_back(loop):
    reads, writes = os.pipe()
    seen = []
    loop.watch(reads, seen.append)
    os.close(writes)
    loop.turn(1)
    assert seen
    loop.forget(reads)
    os.close(reads)


def test_what_is_forgotten_in_the_same_turn_is_not_called(loop):
    ends = [os.pipe() for _ in range(2)]
    seen = []

    def call(own, other):
        seen.append(own)
        loop.forget(other)

    for (own, writes), (other, _) in zip(ends, reversed(ends), strict=True):
        loop.watch(own, lambda _events, own=own, other=other: call(own, other))
        os.write(writes, b"x")
    loop.turn(1)
    assert len(seen) == 1
    for pair in ends:
        for end in pair:
            loop.forget(end)
            os.close(end)


def test_to_forget_what_is_not_watched_is_harmless(loop):
    loop.forget(3)
    assert not loop.watched(3)


def test_writable_is_told_too(loop):
    reads, writes = os.pipe()
    seen = []
    loop.watch(writes, seen.append, WRITABLE)
    loop.turn(1)
    assert seen
    loop.forget(writes)
    os.close(reads)
    os.close(writes)


def test_timers_are_called_in_order_and_not_early(loop):
    begun, seen = time.monotonic(), []
    for seconds in (0.03, 0.01, 0.02):
        loop.after(seconds, lambda seconds=seconds: seen.append((seconds, time.monotonic() - begun)))
    cancelled = loop.after(0.015, lambda: seen.append(("cancelled", 0)))
    cancelled.cancel()
    loop.run()
    assert [seconds for seconds, _ in seen] == [0.01, 0.02, 0.03]
    assert all(after >= seconds for seconds, after in seen)


def test_timers_of_the_same_moment_are_called_in_the_order_they_were_asked_for(loop):
    seen = []
    for number in range(5):
        loop.after(0, lambda number=number: seen.append(number))
    loop.run()
    assert seen == [0, 1, 2, 3, 4]


def test_a_timer_may_ask_for_the_next(loop):
    seen = []

    def call():
        seen.append(1)
        if len(seen) < 3:
            loop.after(0, call)

    loop.after(0, call)
    loop.run()
    assert len(seen) == 3


def test_run_ends_when_stopped(loop):
    reads, writes = os.pipe()
    os.write(writes, b"x")
    loop.watch(reads, lambda _events: loop.stop())
    loop.run()
    loop.forget(reads)
    os.close(reads)
    os.close(writes)


def test_signals_are_acted_on_in_the_loop_and_not_in_the_handler(loop):
    seen = []
    loop.on_signals({signal.SIGUSR1: lambda: seen.append("one"), signal.SIGUSR2: lambda: seen.append("two")})
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR2)
    assert not seen
    loop.turn(1)
    assert seen == ["one", "two"]
    loop.close()


def test_fault_71_a_storm_of_signals_is_survived(loop):
    """Faults, row 71: thousands of signals while the loop works; no error of re-entrance, none that blocks."""
    seen = []
    loop.on_signals({signal.SIGUSR1: lambda: seen.append(1)})
    child = os.fork()
    if not child:
        try:
            for _ in range(20_000):
                os.kill(os.getppid(), signal.SIGUSR1)
        finally:
            os._exit(0)
    ended = 0
    while not ended:
        loop.turn(0.001)
        ended, _ = os.waitpid(child, os.WNOHANG)
    loop.turn(0.01)
    assert seen
    loop.close()


def test_a_closed_loop_leaves_the_signals_as_they_were():
    loop = Loop()
    loop.on_signals({signal.SIGUSR1: lambda: None})
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1


def test_timers_that_were_cancelled_do_not_pile_up(loop):
    called = []
    for number in range(10_000):
        loop.after(1_000, lambda: called.append("late")).cancel()
        if not number % 1_000:
            loop.after(0.01 * (10_000 - number) / 1_000, lambda number=number: called.append(number))
    assert len(loop._timers) < 200
    while len(called) < 10:
        loop.turn(1)
    assert called == list(range(9_000, -1, -1_000))


def test_what_is_ready_is_not_told_to_who_got_its_number_in_the_same_turn(loop):
    called = []
    first, second = os.pipe(), os.pipe()

    def close_the_other(_events):
        called.append("first")
        loop.forget(first[0])
        loop.forget(second[0])
        os.dup2(third[0], second[0])  # a new descriptor of the same number, to which nothing has come
        loop.watch(second[0], lambda _events: called.append("new"))

    third = os.pipe()
    loop.watch(first[0], close_the_other)
    loop.watch(second[0], lambda _events: called.append("old"))
    for pipe in (first, second):
        os.write(pipe[1], b"x")
    loop.turn(0)
    loop.turn(0)
    assert called == ["first"]
    os.write(third[1], b"x")
    loop.turn(0)
    assert called == ["first", "new"]
    for end in (*first, *second, *third):
        os.close(end)


def test_what_is_watched_since_the_events_were_asked_for_is_not_called_for_another_s_event(loop):
    """A descriptor's number is taken again as soon as it is free."""
    ends = [os.pipe() for _ in range(2)]
    seen = []

    def replace(own, other):
        loop.forget(own)
        loop.forget(other)
        fresh, _ = spare
        os.dup2(fresh, other)
        loop.watch(other, lambda _events: seen.append("wrong"))

    spare = os.pipe()
    for (own, writes), (other, _) in zip(ends, reversed(ends), strict=True):
        loop.watch(own, lambda _events, own=own, other=other: replace(own, other))
        os.write(writes, b"x")
    loop.turn(1)
    assert not seen
    for pair in (*ends, spare):
        for end in pair:
            loop.forget(end)
            os.close(end)
