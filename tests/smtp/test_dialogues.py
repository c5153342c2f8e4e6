"""Sessions as they appear on the wire, against the bare server and the bare client, whole and octet by octet."""

from __future__ import annotations

import pytest
from tests.support.chunks import one_by_one
from tests.support.dialogues import FOLDER, dialogues, play_to_client, play_to_server, read, unescaped


def whole(octets):
    return [octets]


def named(side):
    return [pytest.param(dialogue, id=dialogue.name) for dialogue in dialogues(side)]


@pytest.mark.parametrize("cut", [whole, one_by_one])
@pytest.mark.parametrize("dialogue", named("server"))
def test_the_server_says_what_the_dialogue_says(dialogue, cut):
    """A file in which something must not come too early is about one write, so it is not cut."""
    if dialogue.name.startswith(("early-", "starttls-injected")) and cut is one_by_one:
        cut = whole
    heard, mails = play_to_server(dialogue, cut)
    assert heard == dialogue.flights
    assert mails == dialogue.mails


@pytest.mark.parametrize("cut", [whole, one_by_one])
@pytest.mark.parametrize("dialogue", named("client"))
def test_the_client_says_what_the_dialogue_says(dialogue, cut):
    said, failure = play_to_client(dialogue, cut)
    assert said == dialogue.flights
    assert failure.startswith(dialogue.failure)
    assert bool(failure) == bool(dialogue.failure)


def test_there_are_dialogues_for_both_sides():
    assert len(dialogues("server")) > 30
    assert len(dialogues("client")) > 15
    assert {path.suffix for path in FOLDER.iterdir()} == {".txt", ".md"}


def test_what_is_not_of_the_format_is_refused(tmp_path):
    (tmp_path / "x.txt").write_text("C: EHLO me\nX: what\n")
    with pytest.raises(ValueError, match="X: what"):
        read(tmp_path / "x.txt")
    assert unescaped(r"a\r\n\0\t\\\x1b\xffä") == b"a\r\n\0\t\\\x1b\xff\xc3\xa4"
