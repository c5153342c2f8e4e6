r"""Wildcards of ``from``, as the shell matches file names, but with no mark that is special in names of files.

POSIX.1-2017, Shell and Utilities 2.13.1: ``?`` is any character, ``*`` any number of them, ``[...]`` one of a set
(``[!...]`` or ``[^...]`` none of it; ranges ``a-z``; classes ``[:digit:]``; ``]`` may stand first), ``\`` takes the
next mark literally.  A ``[`` that is never closed stands for itself.  Letters are matched in their case.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES: dict[str, Callable[[str], bool]] = {
    "alnum": str.isalnum,
    "alpha": str.isalpha,
    "blank": lambda letter: letter in " \t",
    "cntrl": lambda letter: letter < " " or letter == "\x7f",
    "digit": lambda letter: letter in "0123456789",
    "graph": lambda letter: letter > " " and letter.isprintable(),
    "lower": str.islower,
    "print": str.isprintable,
    "punct": lambda letter: letter > " " and letter.isprintable() and not letter.isalnum(),
    "space": str.isspace,
    "upper": str.isupper,
    "xdigit": lambda letter: letter in "0123456789abcdefABCDEF",
}


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text fits the pattern.  Time is at most length of pattern times length of text."""
    pieces = _compile(pattern)
    piece = place = 0
    star = retry = -1  # the last *, and how far it reaches so far
    while place < len(text):
        if piece < len(pieces) and pieces[piece] is None:
            star, retry = piece, place
            piece += 1
        elif piece < len(pieces) and _fits(pieces[piece], text[place]):
            piece += 1
            place += 1
        elif star >= 0:
            retry += 1
            piece, place = star + 1, retry
        else:
            return False
    return all(rest is None for rest in pieces[piece:])


def _fits(piece: Callable[[str], bool] | str | None, letter: str) -> bool:
    return piece == letter if isinstance(piece, str) else piece is not None and piece(letter)


def _compile(pattern: str) -> list[Callable[[str], bool] | str | None]:
    """Make one piece a character to match: a letter, a test, or None for ``*``."""
    pieces: list[Callable[[str], bool] | str | None] = []
    place = 0
    while place < len(pattern):
        letter = pattern[place]
        place += 1
        if letter == "*":
            pieces.append(None)
        elif letter == "?":
            pieces.append(lambda _: True)
        elif letter == "[" and (end := _end_of_set(pattern, place)) > 0:
            pieces.append(_set(pattern[place:end]))
            place = end + 1
        elif letter == "\\" and place < len(pattern):
            pieces.append(pattern[place])
            place += 1
        else:
            pieces.append(letter)
    return pieces


def _end_of_set(pattern: str, start: int) -> int:
    """Place of the bracket that closes the set whose inside begins at ``start``, or -1."""
    place = start + 1 if pattern[start : start + 1] in ("!", "^") else start
    first = True
    while place < len(pattern):
        if pattern[place] == "]" and not first:
            return place
        first = False
        if pattern.startswith("[:", place) and (closed := pattern.find(":]", place + 2)) > 0:
            place = closed + 1
        place += 1
    return -1


def _set(inside: str) -> Callable[[str], bool]:
    inverse = inside[0] in "!^"
    tests: list[Callable[[str], bool]] = []
    place = 1 if inverse else 0
    while place < len(inside):
        name = inside[place + 2 : inside.find(":]", place)] if inside.startswith("[:", place) else ""
        if name in CLASSES and inside.find(":]", place) > 0:
            tests.append(CLASSES[name])
            place += len(name) + 4
        else:
            low = inside[place]
            ranged = inside[place + 1 : place + 2] == "-" and place + 2 < len(inside)
            high = inside[place + 2] if ranged else low
            tests.append(lambda letter, low=low, high=high: low <= letter <= high)  # type: ignore[misc]
            place += 3 if ranged else 1
    return lambda letter: any(test(letter) for test in tests) != inverse
