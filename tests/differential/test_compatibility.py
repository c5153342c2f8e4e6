"""docs/compatibility.md says what the tests show: no row without a test, no difference without a row."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from tests.support.differential import EVERYWHERE, Case, Differs, compare_field

PROJECT = Path(__file__).parents[2]
ROW = re.compile(r"\| `([a-z0-9-]+)` \|")
ELSEWHERE = re.compile(r"\((tests/[a-z_/0-9]+\.py): (test_[a-z0-9_]+)\)")
COLUMNS = 6


def rows() -> dict[str, str]:
    """The rows of all tables by their names."""
    lines = (PROJECT / "docs/compatibility.md").read_text().splitlines()
    found = [(match[1], line) for line in lines if (match := ROW.match(line))]
    assert len(dict(found)) == len(found)
    return dict(found)


def cases() -> list[Case]:
    """The cases of all tables."""
    files = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py") if path.stem != Path(__file__).stem)
    return [case for file in files for case in importlib.import_module(f"tests.differential.{file}").CASES]


def test_every_difference_is_a_row_and_every_row_a_difference_or_shown_elsewhere() -> None:
    shown = {row for case in cases() for row in case.rows}
    written = rows()
    assert shown <= set(written)
    unshown = {name for name, line in written.items() if name not in shown and not ELSEWHERE.search(line)}
    assert not unshown


def test_tests_that_rows_name_exist() -> None:
    named = [found.groups() for line in rows().values() for found in ELSEWHERE.finditer(line)]
    assert named
    for file, name in named:
        assert f"\ndef {name}(" in (PROJECT / file).read_text(), (file, name)


def test_every_row_has_all_columns() -> None:
    for name, line in rows().items():
        cells = re.split(r"(?<!\\)\|", line)[1:-1]
        assert len(cells) == COLUMNS, name
        assert all(cell.strip() for cell in cells), name


def test_cases_are_many_and_told_apart_by_their_names() -> None:
    found = cases()
    assert len(found) >= 150
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        names = [case.name for case in getattr(importlib.import_module(f"tests.differential.{file.stem}"), "CASES", [])]
        assert len(set(names)) == len(names), file


def test_what_is_passed_over_everywhere_is_a_row_that_some_case_looks_at() -> None:
    looking = {row for case in cases() for choice in case.choices if choice.changes for row in choice.rows}
    assert looking >= EVERYWHERE


@pytest.mark.parametrize(
    ("their", "our", "change"),
    [
        (["a"], ["b"], None),
        (["a"], ["b"], ("x", "b")),
        (["a"], ["b"], ("a", "c")),
        (["a"], ["a"], ("b", "b")),
        (["a"], ["a"], "a"),
        (["a"], ["b"], "c"),
        (["a", "b"], ["c", "b"], [("a", "c"), ("b", "d")]),
        (["a"], ["b"], lambda their, our: their == our),
        (["msmtp: a"], ["msmtp: a", "msmtp: hint", "msmtp: hint"], None),
        (["msmtp: a"], ["msmtp: hint", "msmtp: a"], None),
        (["msmtp: a"], ["msmtp: a", "other: hint"], None),
    ],
)
def test_the_comparison_would_notice(their: list[str], our: list[str], change: object) -> None:
    assert compare_field("stderr", their, our, change)  # type: ignore[arg-type]


def test_the_comparison_would_notice_another_exit_code() -> None:
    assert compare_field("exit", 1, 2, None)
    assert compare_field("exit", 1, 1, (1, 2))
    assert not compare_field("exit", 1, 2, (1, 2))


def test_a_row_names_the_versions_it_holds_for() -> None:
    case = Case("x", expect=[Differs("old", until=(1, 8, 23)), Differs("new")])
    assert case.expected((1, 8, 23)).rows == ("old",)
    assert case.expected((1, 8, 28)).rows == ("new",)
    assert Case("x", expect=Differs("old", until=(1, 8, 23))).expected((1, 8, 28)).rows == ()
