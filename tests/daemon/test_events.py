"""The events: their words, their priorities, the fields that go along."""

from __future__ import annotations

import importlib.util
import inspect
import os
from pathlib import Path

import pytest

from msmtp.daemon import events
from msmtp.daemon.journal import ERROR, INFO, NOTICE, WARNING

TOP = Path(__file__).resolve().parents[2]


class Recorder:
    """A journal that keeps what it is told."""

    def __init__(self):
        self.records = []
        self.settled = []

    def write(self, priority, event, text, **fields):
        self.records.append((priority, event, text, fields))

    def settle(self, session):
        self.settled.append(session)
        return 3 if len(self.settled) == 1 else 0


CASES = {
    "started": (("1.0",), INFO, "msmtpd 1.0 started"),
    "listening": (("127.0.0.1, port 25",), INFO, "listening on 127.0.0.1, port 25"),
    "confined": (("sandbox: role auth: all",), INFO, "sandbox: role auth: all"),
    "unconfined": (("sandbox: NOT in force",), WARNING, "sandbox: NOT in force"),
    "incomplete": (
        ("Landlock (of auth): no",),
        WARNING,
        "of the sandbox this system does not give: Landlock (of auth): no",
    ),
    "ready": ((), INFO, "ready"),
    "reloading": ((), INFO, "reading the options again"),
    "reload_refused": (("bad",), ERROR, "going on with the options as they were: bad"),
    "stopping": ((), INFO, "stopping: open sessions are let end"),
    "stopped": ((), INFO, "stopped"),
    "reloaded": ((), INFO, "the options were read again and are in force"),
    "broker_died": (
        ("auth", events.ending(-9), 0.05),
        ERROR,
        "process auth was ended by signal 9, starts again in 0.05 s",
    ),
    "unexpected": (("auth", ValueError("secret")), ERROR, "process auth: ValueError at unknown place"),
    "connected": ((4, "127.0.0.1:99"), INFO, "session 4: connection from 127.0.0.1:99"),
    "refused": (("::1", "full"), NOTICE, "refused connection from ::1: full"),
    "note": ((4, b"n\xff"), NOTICE, "session 4: n\\xff"),
    "ended": ((4, 1.5, 2, "QUIT"), INFO, "session 4: ended after 1.500 s, mails 2: QUIT (3 records were dropped)"),
    "worker_died": ((4, 70), ERROR, "session 4: its process ended with status 70"),
    "auth_succeeded": ((4, "me"), INFO, "session 4: authenticated as me"),
    "auth_failed": (
        (4, b"me", 1.0),
        WARNING,
        "session 4: authentication failed for user me (answered after 1.0 s)",
    ),
    "delivered": (
        (4, b"", 2, 99, 0.25, "msmtp -f  --"),
        INFO,
        "session 4: mail from <>, recipients 2, size 99: taken in 0.250 s by msmtp -f  --",
    ),
    "delivery_failed": (
        (4, b"a@b", 2, 451, "exit 75 (EX_TEMPFAIL)", b"later"),
        ERROR,
        "session 4: mail from a@b, recipients 2: answered 451, exit 75 (EX_TEMPFAIL): later",
    ),
    "forbidden": (
        (4, b"a@b", "user ann", "5.7.1 /policy:3 says no"),
        WARNING,
        "session 4: mail from a@b refused: 5.7.1 /policy:3 says no",
    ),
}


def functions():
    made = dict(inspect.getmembers(events, inspect.isfunction))
    return {name for name, made in made.items() if "journal" in inspect.signature(made).parameters}


def test_every_event_is_in_the_table():
    assert functions() == {*CASES}


@pytest.mark.parametrize("name", CASES)
def test_an_event_says(name):
    arguments, priority, text = CASES[name]
    journal = Recorder()
    getattr(events, name)(journal, *arguments)
    ((found, event, said, fields),) = journal.records
    assert (found, event, said) == (priority, name, text)
    parameters = list(inspect.signature(getattr(events, name)).parameters)[1:]
    if "session" in parameters:
        assert fields["session"] == 4
    assert {*fields} <= {*parameters, "dropped"}


def test_what_belongs_to_no_session_names_none():
    journal = Recorder()
    events.note(journal, 0, "cannot accept")
    assert journal.records == [(NOTICE, "note", "cannot accept", {"session": None})]


def test_a_worker_that_died_without_a_session_names_none():
    journal = Recorder()
    events.worker_died(journal, 0, -9)
    said = "a worker without a session was ended by signal 9"
    assert journal.records == [(ERROR, "worker_died", said, {"session": None, "status": -9})]


def test_the_end_of_a_session_forgets_it_for_good():
    journal = Recorder()
    events.ended(journal, 4, 1.0, 0, "QUIT")
    assert journal.settled == [4, 4]


def test_an_unknown_exception_tells_its_place_and_none_of_its_words():
    journal = Recorder()
    try:
        int("password")
    except ValueError as error:
        events.unexpected(journal, "auth", error)
    try:
        os.stat("/none/password")
    except OSError as error:
        events.unexpected(journal, "auth", error)
    (first, second) = [text for _, _, text, _ in journal.records]
    assert first.startswith("process auth: ValueError at test_events.py:")
    assert second.startswith("process auth: FileNotFoundError (No such file or directory) at test_events.py:")


def test_the_documentation_is_of_these_events():
    path = TOP / "scripts" / "generate" / "events.py"
    spec = importlib.util.spec_from_file_location("generate_events", path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    text = made.generate()
    assert all(f"| {name} |" in text for name in CASES)
    assert (TOP / made.TARGET).read_text() == text, "run scripts/generate-all"
