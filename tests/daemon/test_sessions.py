"""Sessions as the supervisor keeps them: what a worker says of them, and a system that is short of everything."""

from __future__ import annotations

import _socket
import errno
import os

import pytest
from tests.daemon import test_workers

from msmtp.config.daemon_settings import Settings
from msmtp.daemon import requests, sessions, supervisor
from msmtp.daemon.channel import Message, pair
from msmtp.daemon.loop import Loop
from msmtp.daemon.peers import Peer
from msmtp.daemon.privileges import NAMES, User, Users
from msmtp.daemon.sessions import Session, Sessions
from msmtp.daemon.status import Page
from msmtp.daemon.supervisor import Supervisor


class Journal(test_workers.Journal):
    """Keeps what is written, and has dropped nothing."""

    def settle(self, _session: int) -> int:
        return 0


class Slots:
    """Four of them, and nobody else's."""

    number, taken = 4, 0

    def give_back(self) -> None:
        self.taken -= 1


class Terminator:
    """All brokers: keeps what it is told, if it is to take anything."""

    takes = True

    def __init__(self) -> None:
        self.said: list[str] = []

    def __contains__(self, which: str) -> bool:
        return which == "tls"

    def say(self, _which: str, request: requests.Request, *_: object, along: tuple[int, ...] = ()) -> bool:
        if self.takes:
            assert len(along) == request.descriptors
            self.said.append(request.name)
        return self.takes


class Worker:
    """Keeps what it is told."""

    pid = 1

    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, request: requests.Request, along: tuple[int, ...] = ()) -> None:
        assert len(along) == request.descriptors
        self.told.append(request.name)


class Bed:
    """Sessions; :meth:`begun` gives one."""

    def __init__(self) -> None:
        self.page, self.journal, self.brokers, self.slots = Page(), Journal(), Terminator(), Slots()
        self.sessions = Sessions(
            Settings(),
            Loop(),
            listeners=[],
            workers=None,
            brokers=self.brokers,
            slots=self.slots,
            page=self.page,
            journal=self.journal,
            rested=lambda: None,
        )

    def begun(self) -> Session:
        session = Session(self.sessions, 7, Peer("192.0.2.1", 1, None, ""), b"key")
        session.worker = Worker()
        session.connection, other = _socket.socketpair()
        other.close()
        self.sessions._now[7] = session
        self.slots.taken += 1
        return session


def none(*_: object) -> None:
    raise OSError(errno.EMFILE, "Too many open files")


def test_whatever_a_worker_says_that_it_has_counted_the_account_is_made():
    bed = Bed()
    most = (1 << 64) - 1
    for _ in range(3):
        session = bed.begun()
        session.heard(Message("ENDED", {"reason": b"x", "mails": most, "errors": most}))
        session.over()
        session = bed.begun()
        session.heard(Message("ENDED", {"reason": b"quit", "mails": 0, "errors": 1}))
        session.over()
    assert bed.slots.taken == 0
    assert bed.page["errors"] == 3 * sessions.MOST + 3


def test_a_counter_that_is_full_stands_still():
    page = Page()
    page.set("errors", (1 << 64) - 2)
    for _ in range(3):
        page.add("errors", 5)
        assert page["errors"] == (1 << 64) - 1
    page.set("errors", 1 << 70)
    assert page["errors"] == (1 << 64) - 1


@pytest.mark.parametrize("what", ["the stream", "the channel", "the terminator"])
def test_who_cannot_go_over_to_tls_is_told_and_may_ask_again(what, monkeypatch):
    bed = Bed()
    session = bed.begun()
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patched:
        if what == "the stream":
            patched.setattr(sessions._socket, "socketpair", none)
        elif what == "the channel":
            patched.setattr(sessions, "pair", none)
        else:
            patched.setattr(bed.brokers, "takes", False)
        session.heard(Message("SWAP", {}))
    assert session.worker.told == ["NOT_SWAPPED"]
    assert len(os.listdir("/proc/self/fd")) == before
    session.heard(Message("SWAP", {}))
    assert session.worker.told == ["NOT_SWAPPED", "SWAPPED"]
    assert bed.brokers.said == ["TLS_SESSION"]
    assert len(os.listdir("/proc/self/fd")) == before - 1  # the connection is the terminator's
    session.heard(Message("SWAP", {}))
    assert session.worker.told[2:] == ["NOT_SWAPPED"]
    session.over()


class Unaccepting:
    """A status socket at which somebody waits and of which nothing can be taken."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.asked = descriptor, 0

    def fileno(self) -> int:
        return self.descriptor

    def _accept(self) -> None:
        self.asked += 1
        none()


def test_who_asks_for_the_status_during_a_shortage_does_not_keep_the_supervisor_busy(monkeypatch):
    monkeypatch.setattr(supervisor, "PAUSE", 0.1)
    keeper, ours = pair()
    somebody, waits = pair()
    os.write(somebody, b"x")
    user = User("nobody", 65534, 65534)
    made = Supervisor(
        Settings(),
        listeners=[],
        keeper=keeper,
        status=-1,
        slots=Slots(),
        page=Page(),
        journal=Journal(),
        users=Users(dict.fromkeys(NAMES, user), change=False),
    )
    made.status = status = Unaccepting(waits)
    made.watch_status()
    for _ in range(20):
        made.loop.turn(0.05)
    assert 2 <= status.asked <= 12
    asked = status.asked
    made.drain()
    for _ in range(5):
        made.loop.turn(0.05)
    assert status.asked == asked
    made.keeper.close()
    for each in (ours, somebody, waits):
        os.close(each)
