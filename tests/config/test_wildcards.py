"""Wildcards match as the C library's fnmatch does."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from msmtp.config.wildcards import matches


@pytest.mark.parametrize(
    ("pattern", "text", "answer"),
    [
        ("*", "", True),
        ("*", "a@b/c.d", True),
        ("?", "a", True),
        ("?", "", False),
        ("?", "ab", False),
        ("a*b", "ab", True),
        ("a*b", "a@@b", True),
        ("a*b", "abc", False),
        ("*a*b*", "xxaxxbxx", True),
        ("**a", "a", True),
        ("[ab]", "b", True),
        ("[ab]", "c", False),
        ("[a-c]x", "bx", True),
        ("[a-c]", "d", False),
        ("[!a-c]", "d", True),
        ("[^a-c]", "b", False),
        ("[]a]", "]", True),
        ("[!]a]", "]", False),
        ("[!]a]", "b", True),
        ("[a-]", "-", True),
        ("[-a]", "-", True),
        ("[[:digit:]]", "7", True),
        ("[[:digit:]x]", "x", True),
        ("[[:digit:]]", "a", False),
        ("[![:alpha:]]", "7", True),
        ("[a", "[a", True),
        ("[", "[", True),
        ("[]", "[]", True),
        ("a\\*b", "a*b", True),
        ("a\\*b", "axb", False),
        ("\\[a]", "[a]", True),
        ("A*", "ab", False),
        ("*@home.example", "joe@home.example", True),
        ("joe?@home.example", "joe@home.example", False),
    ],
)
def test_marks_mean_what_they_mean_in_the_shell(pattern: str, text: str, answer: bool) -> None:
    assert matches(pattern, text) is answer


def test_many_stars_do_not_take_for_ever() -> None:
    assert not matches("*a" * 50 + "b", "a" * 2000)


C = ctypes.CDLL(None)


@given(st.text("ab[]!^-*?@", max_size=12), st.text("ab[]!^-@.", max_size=8))
@example("[a-]b]", "-b]")
@example("[]-a]", "a")
def test_the_c_library_agrees(pattern: str, text: str) -> None:
    assume(not pattern.endswith("-"))  # of "[a-", never closed, the C library makes something that matches nothing
    assert matches(pattern, text) == (C.fnmatch(pattern.encode(), text.encode(), 0) == 0)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_is_a_pattern(pattern: str, text: str) -> None:
    assert matches(pattern, text) in (True, False)
    assert matches("*", text)
