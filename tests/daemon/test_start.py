"""The start: what is said of a sandbox that cannot be had in full."""

from __future__ import annotations

import pytest

from msmtp import sandbox
from msmtp.config.daemon_settings import Settings
from msmtp.daemon import start
from msmtp.failures import UnconfinedFailure


class Recorder:
    def __init__(self):
        self.said = []

    def write(self, _priority, event, text, **_fields):
        self.said.append((event, text))


def without_namespaces(prepared):
    return (("namespaces", "not here"),) if prepared.role.namespaces else ()


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (sandbox.TRY, [("incomplete", "namespaces (of nursery, worker): not here")]),
        (sandbox.OFF, []),
    ],
)
def test_what_is_missing_is_said_in_one_line(monkeypatch, policy, said):
    monkeypatch.setattr(sandbox, "probe", without_namespaces)
    settings, journal = Settings(), Recorder()
    settings.sandbox = policy
    start.check(settings, journal)
    assert journal.said == [(event, f"of the sandbox this system does not give: {text}") for event, text in said]


def test_what_has_to_be_there_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(sandbox, "probe", without_namespaces)
    journal = Recorder()
    with pytest.raises(UnconfinedFailure, match=r"^cannot confine the nursery: namespaces: not here$"):
        start.check(Settings(), journal)
    assert journal.said == []


@pytest.mark.parametrize("policy", [sandbox.TRY, sandbox.REQUIRE])
def test_a_system_that_has_it_all_is_not_spoken_of(monkeypatch, policy):
    monkeypatch.setattr(sandbox, "probe", lambda _prepared: ())
    settings, journal = Settings(), Recorder()
    settings.sandbox = policy
    start.check(settings, journal)
    assert journal.said == []
