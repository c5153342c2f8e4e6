"""msmtpd's OPTIONS holds every option of the manual, and nothing that contradicts itself."""

from __future__ import annotations

import pytest

from msmtp.config import daemon_texts, explain
from msmtp.config.daemon_options import LONG, OPTIONS, DaemonOption
from msmtp.config.daemon_settings import MODES, Settings
from msmtp.config.daemon_values import PARSERS, WORDS
from msmtp.config.options import ACCOUNT, LINE, MAY, MUST, NEEDED, NONE, OWN
from msmtp.config.options import PARSERS as PARSERS_OF_THE_SENDER

# Reference manual, chapter 11: the options, and whether they take an argument.
OF_THE_MANUAL = {
    "version": NONE,
    "help": NONE,
    "inetd": NONE,
    "interface": MUST,
    "port": MUST,
    "log": MUST,
    "command": MUST,
    "auth": MUST,
}


def test_the_options_of_the_manual_are_there_as_it_says_and_all_others_are_marked() -> None:
    assert {row.long: row.argument for row in OPTIONS if row.note != OWN} == OF_THE_MANUAL


@pytest.mark.parametrize("row", OPTIONS, ids=repr)
def test_a_row_does_not_contradict_itself(row: DaemonOption) -> None:
    assert row.long
    assert not row.short
    assert row.command in ("", row.long)
    assert row.argument in (NONE, MAY, MUST)
    assert row.target in (ACCOUNT, LINE)
    assert bool(row.command) == (row.target == ACCOUNT)
    assert row.note in ("", OWN)
    assert (row.kind in PARSERS) != (row.kind in WORDS)
    assert row.section in daemon_texts.SECTIONS
    assert (row.argument == MUST) == (row.empty is NEEDED)
    assert not row.label
    if row.attribute not in ("mode", "command", "config"):
        plural = ("interfaces", "ports", "smtps_ports", "sockets")
        assert row.attribute in (row.long.replace("-", "_"), *plural)


def test_each_row_has_its_words() -> None:
    assert set(daemon_texts.TEXTS) == {row.name for row in OPTIONS}
    for row in OPTIONS:
        text = daemon_texts.text_of(row)
        assert bool(text.argument) == (row.argument != NONE)
        assert text.summary[0].islower()
        assert not text.summary.endswith(".")
        assert text.manual.endswith(".")


@pytest.mark.parametrize("kind", [*PARSERS, *WORDS])
def test_each_kind_is_used_and_explained(kind: str) -> None:
    rows = [row for row in OPTIONS if row.kind == kind]
    assert rows
    assert explain.expected(rows[0]) != "a value"


def test_a_kind_of_the_same_name_means_the_same_to_the_sender() -> None:
    assert {kind for kind in PARSERS if kind in PARSERS_OF_THE_SENDER} == {"nothing"}
    assert PARSERS["nothing"] is PARSERS_OF_THE_SENDER["nothing"]


def test_names_are_unique() -> None:
    assert len(LONG) == len(OPTIONS)


def test_each_setting_has_its_option_and_the_other_way_round() -> None:
    of_their_own = {"argv", "folder", "given", "activated"}
    assert {row.attribute for row in OPTIONS} == set(Settings.__annotations__) - of_their_own
    assert set(Settings.__slots__) == set(Settings.__annotations__)


def test_settings_begin_with_the_defaults_of_the_table() -> None:
    settings = Settings()
    for row in OPTIONS:
        value = getattr(settings, row.attribute)
        assert (tuple(value) if row.repeats else value) == row.default


def test_no_two_settings_share_a_list() -> None:
    one, other = Settings(), Settings()
    one.ports.append(26)
    assert other.ports == [25]


def test_the_modes_are_those_that_rows_ask_for() -> None:
    asked = {row.empty or row.long for row in OPTIONS if row.attribute == "mode"}
    asked |= {row.long for row in OPTIONS if row.attribute in ("health", "check")}  # its word is stored beside the mode
    assert asked == set(MODES)
