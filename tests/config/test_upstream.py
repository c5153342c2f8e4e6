"""Ours answers as the C program does: to the answers of release 1.8.33 written down, and to Debian's package run beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.config import cases
from tests.config.cases import CASES, INTENDED, Answer
from tests.support import upstream

RECORDED = json.loads((Path(__file__).with_name("data") / "upstream-1.8.33.json").read_text())


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in cases.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir("/")


def test_the_plain_answer_is_the_c_program_s_line_for_line(tmp_path: Path) -> None:
    assert cases.ours(tmp_path, "host x\n", "").output == RECORDED["plain"]


@pytest.mark.parametrize("name", CASES)
def test_ours_answers_as_release_1_8_33_did(name: str, tmp_path: Path) -> None:
    answer = cases.ours(tmp_path, *CASES[name])
    wanted = RECORDED["cases"][name]
    found = {
        "code": answer.code,
        "errors": answer.errors,
        "output": [line for line in answer.output if line not in RECORDED["plain"]],
        "lines": len(answer.output),
    }
    assert (found == wanted) is (name not in INTENDED), (found, wanted)


# Keys that have come and gone since Debian's oldest release with this package, and cases that it answers otherwise; the
# recorded answers cover them.
CHANGED_KEYS = ("set_to_header", "undisclosed_recipients")
CHANGED_CASES = (
    "undisclosed",
    "set-to-header",
    "set_to_header",
    "set_msgid",
    "from_full_name",
    "-F",
    "m-list+x",
    "example -S",
)


def keys(answer: Answer) -> set[str]:
    return {line.partition(" = ")[0] for line in answer.output if " = " in line}


@pytest.mark.parametrize("name", CASES)
def test_ours_answers_as_debian_s_package_does(name: str, tmp_path: Path) -> None:
    text, arguments = CASES[name]
    if name in INTENDED or any(word in name for word in CHANGED_CASES):
        assert name in RECORDED["cases"]
        return
    theirs = cases.theirs(upstream.upstream_msmtp(), tmp_path, text, arguments)
    ours = cases.ours(tmp_path, text, arguments)
    assert (ours.code, ours.errors) == (theirs.code, theirs.errors)
    known = keys(theirs)
    assert [line for line in ours.output if " = " not in line or line.partition(" = ")[0] in known] == [
        line for line in theirs.output if line.partition(" = ")[0] not in CHANGED_KEYS
    ]


def test_no_intended_difference_is_out_of_date() -> None:
    assert set(INTENDED) <= set(CASES)
