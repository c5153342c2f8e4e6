"""A secret shows itself to nobody who does not ask for it."""

from __future__ import annotations

import copy
import json
import pickle
import traceback

import pytest

from msmtp.credentials.secret import Secret

WORD = b"hunter2"


def test_it_gives_its_octets_when_asked() -> None:
    assert Secret(WORD).reveal() == WORD
    assert Secret(bytearray(WORD)).reveal() == WORD


def test_it_does_not_print() -> None:
    secret = Secret(WORD)
    shown = f"{secret} {secret!r} {secret!s} {[secret]}"
    assert "hunter2" not in shown
    assert shown == "* * * [*]"


def test_it_is_not_in_a_traceback() -> None:
    try:
        Secret(WORD) + b"x"  # type: ignore[operator]
    except TypeError as error:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=False).format())
    assert "hunter2" not in text


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, bytes, list, vars])
def test_it_is_not_copied_or_sent(way: object) -> None:
    with pytest.raises(TypeError) as caught:
        way(Secret(WORD))  # type: ignore[operator]
    assert "hunter2" not in str(caught.value)


def test_a_wiped_secret_is_empty_and_its_octets_are_overwritten() -> None:
    secret = Secret(WORD)
    octets = secret._octets
    assert secret
    secret.wipe()
    assert (secret.reveal(), bool(secret), octets) == (b"", False, bytearray())


def test_a_secret_that_is_let_go_is_wiped() -> None:
    secret = Secret(WORD)
    octets = secret._octets
    del secret
    assert octets == bytearray()


def test_wiping_overwrites_the_octets_before_it_lets_them_go() -> None:
    secret = Secret(b"hunter2")
    with memoryview(secret._octets) as octets:
        with pytest.raises(BufferError):  # somebody looks at the buffer, so that it cannot shrink
            secret.wipe()
        assert bytes(octets) == bytes(7)
