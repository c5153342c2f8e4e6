"""The same bytes in different pieces: a parser must not care how the network cut them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut data at the given places (any numbers; they are taken modulo its length)."""
    borders = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(borders)]


def one_by_one(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def every_pair(data: bytes) -> list[list[bytes]]:
    """Every way to cut data in two."""
    return [[data[:i], data[i:]] for i in range(len(data) + 1)]


#: Places to cut at, for hypothesis.
places = st.lists(st.integers(0, 1 << 16), max_size=12)
