"""The ways to the brokers, as the supervisor keeps them."""

from __future__ import annotations

from typing import Self

import pytest

from msmtp.config.daemon_settings import Settings
from msmtp.daemon import brokers, requests
from msmtp.daemon.channel import Channel, ChannelGone, pair
from msmtp.daemon.loop import Loop


class Bed:
    """Brokers with the far ends of the ways to them; ``changes`` counted, ``hung`` by name."""

    def __init__(self, *, auth: bool = False, deliver_by: str = "") -> None:
        settings = Settings()
        settings.auth = ["user"] if auth else []
        settings.deliver_by = deliver_by
        self.loop = Loop()
        self.changes = 0
        self.far: list[Channel] = []
        self.hung: list[str] = []
        self.brokers = brokers.Brokers(settings, self.loop, changed=self.change, hung=self.hung.append)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.brokers.hang_up()
        for far in self.far:
            far.close()

    def change(self) -> None:
        self.changes += 1

    def give(self, which: str) -> Channel:
        ours, theirs = pair()
        self.brokers.take(which, ours)
        far = Channel(theirs)
        far.set_blocking(False)
        self.far.append(far)
        return far

    def answer(self, far: Channel) -> None:
        far.send(requests.PONG, far.receive((requests.PING,)).number("count"))
        self.loop.turn(1)


def test_they_are_complete_when_all_are_there_that_a_session_needs():
    with Bed(auth=True) as bed:
        assert not bed.brokers.complete
        bed.give("delivery")
        assert not bed.brokers.complete
        auth = bed.give("auth")
        assert bed.brokers.complete
        assert ("tls" in bed.brokers, "auth" in bed.brokers) == (False, True)
        auth.close()
        bed.loop.turn(1)
        assert not bed.brokers.complete


def test_they_are_up_when_each_has_answered_and_that_is_told_once():
    with Bed(auth=True) as bed:
        delivery, auth = bed.give("delivery"), bed.give("auth")
        bed.answer(delivery)
        assert not bed.brokers.are_up()
        before = bed.changes
        bed.answer(auth)
        assert bed.brokers.are_up()
        assert bed.changes == before + 1
        bed.brokers.look_after()
        bed.answer(auth)
        assert bed.changes == before + 1
        auth.close()


def test_one_that_does_not_answer_is_not_well_and_after_some_questions_the_keeper_is_told():
    with Bed() as bed:
        bed.give("delivery")
        assert bed.brokers.are_well()
        for _ in range(2):
            bed.brokers.look_after()
        assert not bed.brokers.are_well()
        for _ in range(brokers.HUNG_AFTER - 3):
            bed.brokers.look_after()
        assert not bed.hung
        for times in (1, 2):
            for _ in range(brokers.HUNG_AFTER + times - 1):  # after it was told, the count begins anew
                bed.brokers.look_after()
            assert bed.hung == ["delivery"] * times
            assert not bed.brokers.are_well()


def test_one_that_answered_whatever_it_was_asked_does_not_hang_however_long_ago_that_was(monkeypatch):
    """All of the daemon may have stood still together."""
    later = 0.0
    clock = brokers.monotonic
    monkeypatch.setattr(brokers, "monotonic", lambda: clock() + later)
    with Bed() as bed:
        far = bed.give("delivery")
        for _ in range(3 * brokers.HUNG_AFTER):
            bed.answer(far)
            later += 1_000
            bed.brokers.look_after()
            assert bed.brokers.are_well()
            assert not bed.hung
        for _ in range(brokers.HUNG_AFTER - 1):  # and a late answer is one
            bed.brokers.look_after()
        for _ in range(brokers.HUNG_AFTER):
            bed.answer(far)
        bed.brokers.look_after()
        assert not bed.hung


def test_delivery_as_a_service_of_its_own_is_watched_by_who_started_it():
    with Bed(deliver_by="/run/x") as bed:
        assert bed.brokers.are_up()
        bed.give("delivery")
        for _ in range(5):
            bed.brokers.look_after()
        assert bed.brokers.are_well()


def test_a_way_that_was_lost_is_asked_for_again_after_some_looks_however_long_ago_that_was(monkeypatch):
    clock = brokers.monotonic
    with Bed() as bed:
        monkeypatch.setattr(brokers, "monotonic", lambda: clock() + 1_000)
        for _ in range(2):
            for _ in range(brokers.LOST_AFTER - 1):
                bed.brokers.look_after()
            assert not bed.hung
            far = bed.give("delivery")
            bed.brokers.look_after()
            far.close()
            bed.loop.turn(1)
        for times in (1, 2):
            for _ in range(brokers.LOST_AFTER):
                assert len(bed.hung) == times - 1
                bed.brokers.look_after()
            assert bed.hung == ["delivery"] * times


def test_nothing_is_said_to_one_that_is_not_there_or_hangs_and_nobody_waits_for_it():
    with Bed() as bed:
        assert not bed.brokers.say("delivery", requests.PING, 1)
        far = bed.give("delivery")
        while bed.brokers.say("delivery", requests.PING, 1):
            pass
        assert "delivery" in bed.brokers
        far.close()
        before = bed.changes
        assert not bed.brokers.say("delivery", requests.PING, 1)
        assert "delivery" not in bed.brokers
        assert bed.changes == before + 1


def test_a_new_way_takes_the_place_of_the_one_before():
    with Bed() as bed:
        old = bed.give("delivery")
        bed.give("delivery")
        old.receive((requests.PING,))
        with pytest.raises(ChannelGone):
            old.receive((requests.PING,))
        assert bed.brokers.say("delivery", requests.PING, 9)
