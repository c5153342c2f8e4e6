"""Each row of docs/faults.md has a test that bears its number, and what cannot be tested is told in docs/security.md."""

from __future__ import annotations

import re

from tests.support.daemon import TOP

ROWS = range(1, 87)


def rows_of_the_table():
    text = (TOP / "docs" / "faults.md").read_text()
    return [int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]


def rows_with_tests():
    found = {}
    for path in (TOP / "tests").rglob("test_*.py"):
        for name in re.findall(r"^def (test_fault_\d+\w*)\(", path.read_text(), re.MULTILINE):
            numbers = re.match(r"test_fault_((?:\d+_)+)", name)
            assert numbers, name
            for number in numbers[1].split("_")[:-1]:
                found.setdefault(int(number), []).append(name)
    return found


def rows_without_reason():
    text = (TOP / "docs" / "security.md").read_text()
    section = text.partition("### What cannot be tried here\n")[2].partition("\n#")[0]
    return {int(number) for number in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}


def test_every_row_is_there_once():
    assert rows_of_the_table() == list(ROWS)


def test_every_row_has_a_test_or_a_reason():
    assert {*ROWS} - {*rows_with_tests()} - rows_without_reason() == set()


def test_every_number_is_a_row():
    assert {*rows_with_tests()} | rows_without_reason() <= {*ROWS}


def test_numbers_are_in_names_in_one_way():
    for path in (TOP / "tests").rglob("test_*.py"):
        assert not re.findall(r"^def test_(?:faults|row)_\d", path.read_text(), re.MULTILINE), path
