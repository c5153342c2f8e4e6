"""OPTIONS holds every command and option of the manual, spelt as there, and nothing that contradicts itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from msmtp.config import texts
from msmtp.config.account import DEFAULTS, Account
from msmtp.config.command_line import CommandLine
from msmtp.config.options import (
    ACCOUNT,
    COMMANDS,
    HIDDEN,
    LINE,
    MAY,
    METHODS,
    MUST,
    NEEDED,
    NONE,
    OPTIONS,
    OWN,
    PARSERS,
    STRUCTURE,
    WORDS,
    Hidden,
    parse_fingerprint,
    parse_number,
)
from msmtp.sasl.mechanisms import MECHANISMS

DATA = Path(__file__).with_name("data")
ROWS = {row.name: row for row in OPTIONS}


def listed(name: str) -> list[str]:
    return [line for line in (DATA / name).read_text().splitlines() if line and not line.startswith("#")]


def test_every_command_of_the_manual_is_a_row_and_no_other_is() -> None:
    assert {line.split()[0] for line in listed("commands.txt")} == {row.command for row in OPTIONS if row.command}


def test_every_option_of_the_manual_is_a_row_and_no_other_is() -> None:
    found = {re.match(r"--[a-z0-9-]+|-[A-Za-z]", line)[0] for line in listed("options.txt")}  # type: ignore[index]
    rows = {f"--{row.long}" for row in OPTIONS if row.long} | {f"-{row.short}" for row in OPTIONS if row.short}
    assert found == rows


@pytest.mark.parametrize("line", listed("options.txt"))
def test_whether_an_option_takes_an_argument_is_as_the_manual_says(line: str) -> None:
    name, rest = re.match(r"(--[a-z0-9-]+|-[A-Za-z])(.*)", line).groups()  # type: ignore[union-attr]
    row = next(row for row in OPTIONS if name in (f"--{row.long}", f"-{row.short}"))
    if name in {"--debug", "-d"}:
        assert row.argument == MAY  # the manual does not tell, the C program takes one
    elif rest.startswith("["):
        assert row.argument == MAY
    elif rest.startswith("=") or rest.strip():
        assert row.argument == MUST
    else:
        # A short form stands on a line of its own, before its long form, with its argument.
        assert row.argument == NONE


@pytest.mark.parametrize("line", listed("commands.txt"))
def test_whether_a_command_needs_an_argument_is_as_the_manual_says(line: str) -> None:
    name, _, argument = line.partition(" ")
    row = COMMANDS[name.encode()]
    if name in {"eval", "account", "defaults", "domain", "from_full_name", "allow_from_override"}:
        return  # eval: the manual's brackets are wrong; the others take an empty argument although it has none
    optional = argument.startswith("[") or not argument
    assert (row.empty is not NEEDED) == optional


@pytest.mark.parametrize("row", OPTIONS, ids=repr)
def test_a_row_does_not_contradict_itself(row: object) -> None:
    row = ROWS[row.name]  # type: ignore[attr-defined]
    assert row.argument in (NONE, MAY, MUST)
    assert row.target in (ACCOUNT, LINE, STRUCTURE)
    assert row.note in ("", HIDDEN, OWN)
    assert (row.kind in PARSERS) != (row.kind in WORDS)
    assert row.section in texts.SECTIONS
    assert row.command or row.long or row.short
    assert bool(row.label) <= (row.target == ACCOUNT)
    if row.long and row.command:
        assert row.long == row.command.replace("_", "-")
    if row.argument == MUST and row.target == LINE:
        assert row.attribute in CommandLine.__slots__


def test_names_are_unique() -> None:
    for field in ("command", "long", "short"):
        names = [getattr(row, field) for row in OPTIONS if getattr(row, field)]
        assert len(names) == len(set(names))


def test_each_setting_is_an_attribute_of_account_and_the_other_way_round() -> None:
    assert {row.attribute for row in OPTIONS if row.label} == set(DEFAULTS)
    assert {row.attribute for row in OPTIONS if row.target == ACCOUNT and row.attribute} == set(DEFAULTS)
    assert set(Account.__annotations__) == set(DEFAULTS) | {"name", "file", "set_mask"}
    assert set(Account.__slots__) == set(Account.__annotations__)


def test_rows_that_set_the_same_attribute_agree_on_its_default() -> None:
    for row in OPTIONS:
        if row.target == ACCOUNT and row.attribute:
            assert row.default == DEFAULTS[row.attribute]


def test_each_row_has_its_words() -> None:
    assert set(texts.TEXTS) == set(ROWS)
    for row in texts.shown():
        text = texts.text_of(row)
        assert text.summary
        assert bool(text.argument) == (row.argument != NONE or row.kind != "nothing") or row.kind in WORDS


def test_auth_takes_the_mechanisms_that_sasl_has() -> None:
    assert {method.upper().encode() for method in METHODS} == {row.name for row in MECHANISMS}


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("25", 25), ("+25", 25), ("0x19", 25), ("0X19", 25), ("031", 25), ("00", 0)]
)
def test_numbers_are_read_as_strtol_reads_them(text: str, number: int) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize("text", ["", "+", "-1", "1_0", "0x", "08", "1 ", " 1", "1.5", "0x1g", "²", "٣", "0b1", "0o7"])
def test_what_is_no_number_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_number(text)


@pytest.mark.parametrize("size", [16, 20, 32])
def test_a_fingerprint_has_the_size_of_a_digest(size: int) -> None:
    digest = bytes(range(size))
    assert parse_fingerprint(digest.hex(":")) == digest
    assert parse_fingerprint(digest.hex(" ").upper()) == digest
    for wrong in (digest.hex(), digest.hex("-"), digest.hex(":")[:-1], digest.hex(":") + ":", digest.hex(":", 2)):
        with pytest.raises(ValueError):
            parse_fingerprint(wrong)


def test_an_empty_fingerprint_is_none() -> None:
    assert parse_fingerprint("") == b""


def test_a_secret_shows_itself_only_if_asked() -> None:
    secret = Hidden("geheim\udcff")
    assert secret.reveal() == b"geheim\xff"
    assert "geheim" not in f"{secret} {secret!r} {[secret]}"
    assert secret == Hidden("geheim\udcff") != Hidden("")
    assert secret
    assert not Hidden("")
