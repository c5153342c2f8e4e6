"""Slots are shared by processes and bounded; counters are read by all and written by one."""

import os
import signal

import pytest

from msmtp.daemon import descriptors
from msmtp.daemon.slots import Slots, take_by_lock
from msmtp.daemon.status import COUNTERS, GAUGES, LANES, Page


def in_child(call):
    child = os.fork()
    if not child:
        status = 1
        try:
            status = int(call() or 0)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_there_are_as_many_slots_as_were_asked_for():
    slots = Slots(3)
    assert [slots.take() for _ in range(4)] == [True, True, True, False]
    assert not slots.free
    slots.give_back()
    assert slots.free
    assert slots.take()
    assert not slots.take()
    os.close(slots.descriptor)


def test_to_give_back_what_was_not_taken_is_an_error_of_the_program():
    slots = Slots(2)
    with pytest.raises(ValueError, match="not taken"):
        slots.give_back()
    os.close(slots.descriptor)


def test_slots_that_another_process_has_are_taken_until_it_ends_however_it_ends():
    """That process is a supervisor; its own children neither hold what it has nor give it back."""
    made = Slots(3)
    heard, told = os.pipe()
    go, let_go = os.pipe()
    other = os.fork()
    if not other:
        try:
            mine = Slots(2, made.descriptor)  # another generation's, of fewer
            assert in_child(lambda: os.close(mine.descriptor)) == 0
            assert [mine.take() for _ in range(3)] == [True, True, False]
            assert in_child(lambda: os.close(mine.descriptor)) == 0
            os.write(told, b"x")
            os.read(go, 1)
        finally:
            os._exit(1)
    assert os.read(heard, 1) == b"x"
    assert made.free
    assert [made.take() for _ in range(3)] == [True, False, False]
    assert not made.free
    made.give_back()
    assert made.take()
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)
    assert made.free
    assert [made.take() for _ in range(3)] == [True, True, False]
    for descriptor in (heard, told, go, let_go, made.descriptor):
        os.close(descriptor)


def test_processes_that_know_nothing_of_each_other_share_slots_by_a_file(tmp_path):
    path = str(tmp_path / "slots")
    held = [take_by_lock(path, 2) for _ in range(3)]
    assert min(held[:2]) >= 0
    assert held[2] == -1
    assert in_child(lambda: take_by_lock(path, 2) != -1) == 0
    os.close(held[0])
    assert in_child(lambda: take_by_lock(path, 2) == -1) == 0
    again = take_by_lock(path, 2)
    assert again >= 0
    os.close(again)
    os.close(held[1])


def test_without_a_place_for_the_file_it_is_said(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        take_by_lock(str(tmp_path / "none" / "slots"), 2)


def test_counters_are_seen_by_all_processes():
    page = Page()
    assert in_child(lambda: page.add("sessions", 3)) == 0
    assert page["sessions"] == 3


def test_generations_count_apart_and_are_read_together():
    page = Page()
    one, two = page.lane(1), page.lane(2)
    one.set("active", 4)
    two.set("active", 3)
    assert page["active"] == one["active"] == 7
    one.begin("supervisor")
    assert page["active"] == 3
    assert page.lane(2 + LANES).own("active") == 3


def test_a_counter_does_not_go_below_nothing():
    page = Page()
    page.add("running", -1)
    assert page["running"] == 0


def test_every_counter_has_a_writer_and_a_meaning():
    names = [name for name, _, _ in COUNTERS]
    assert len({*names}) == len(names)
    assert all(writer and meaning for _, writer, meaning in COUNTERS)
    for process, gauges in GAUGES.items():
        assert {*gauges} <= {name for name, writer, _ in COUNTERS if writer == process}
    assert [name for name, _ in Page().items()] == names


def test_a_process_keeps_only_what_it_says():
    kept, other = os.pipe()

    def holds():
        descriptors.keep_only([kept])
        return descriptors.open_ones() - {0, 1, 2} != {kept}

    assert in_child(holds) == 0
    os.close(kept)
    os.close(other)


def test_standard_descriptors_can_be_made_to_lead_nowhere():
    def holds():
        descriptors.point_standard_ones_at_nothing()
        return not all(os.path.sameopenfile(number, os.open("/dev/null", os.O_RDWR)) for number in (0, 1, 2))

    assert in_child(holds) == 0
