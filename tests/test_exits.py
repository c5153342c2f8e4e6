"""Exit codes: those of sysexits(3), and which of them mean that trying again may help."""

import os

import pytest

from msmtp.exits import BY_CODE, EXITS, name_of
from msmtp.failures import ConfigFailure, ConnectFailure


@pytest.mark.parametrize("row", EXITS, ids=lambda row: row.name)
def test_numbers_are_the_systems(row):
    assert getattr(os, row.name) == row.code
    assert repr(row) == f"Exit({row.code}, {row.name})"
    assert row.meaning


def test_every_code_once():
    assert len(BY_CODE) == len(EXITS)
    assert BY_CODE.keys() == {0, *range(64, 79)}


def test_codes_that_msmtpd_answers_with_451():
    assert {row.code for row in EXITS if row.temporary} == {68, 69, 71, 75}


def test_names_for_the_log():
    assert [name_of(code) for code in (0, 75, 1)] == ["EX_OK", "EX_TEMPFAIL", "1"]


def test_a_failure_is_as_temporary_as_its_code():
    assert ConnectFailure("cannot connect").temporary
    assert not ConfigFailure("no host").temporary
