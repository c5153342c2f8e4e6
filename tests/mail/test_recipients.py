"""Who is addressed: arguments, To, Cc, Bcc, Resent- blocks, and who it is from."""

from __future__ import annotations

import pytest

from msmtp.failures import UsageFailure
from msmtp.mail.header import Field, HeaderReader
from msmtp.mail.recipients import argument_recipients, header_recipients, header_sender


def fields(text: bytes) -> list[Field]:
    reader = HeaderReader()
    return reader.feed(text) + reader.close()


def test_several_fields_add_up() -> None:
    header = fields(b"To: a@x\nCc: b@x,\n c@x\nTo: a@x\nBcc: d@x\nReply-To: e@x\n")
    assert header_recipients(header) == [b"a@x", b"b@x", b"c@x", b"a@x", b"d@x"]


def test_the_first_resent_block_replaces_the_original_recipients() -> None:
    header = fields(b"Resent-To: a@x\nResent-Date: x\nResent-Bcc: b@x\nReceived: y\nResent-To: c@x\nTo: d@x\n")
    assert header_recipients(header) == [b"a@x", b"b@x"]


def test_a_resent_block_without_recipients_has_none() -> None:
    assert header_recipients(fields(b"To: a@x\nResent-From: b@x\nTo: c@x\nResent-To: d@x\n")) == []


def test_the_sender_is_from_or_an_earlier_resent_from() -> None:
    assert header_sender(fields(b"From: Joe <a@x>, b@x\n")) == b"a@x"
    assert header_sender(fields(b"Resent-From: r@x\nFrom: a@x\n")) == b"r@x"
    assert header_sender(fields(b"Resent-From: r@x\n")) == b"r@x"
    assert header_sender(fields(b"From: a@x\nResent-From: r@x\n")) == b"a@x"
    assert header_sender(fields(b"From:\nResent-From: r@x\nFrom: b@x\n")) == b"b@x"
    assert header_sender(fields(b"Resent-From: ;\nFrom: b@x\n")) == b"b@x"
    assert header_sender(fields(b"Sender: a@x\n")) is None


def test_an_argument_is_read_as_an_address_field() -> None:
    assert argument_recipients(b"Joe <a@x>,\tb@x") == [b"a@x", b"b@x"]
    assert argument_recipients(b"") == []
    assert argument_recipients("jörg@x".encode()) == ["jörg@x".encode()]


@pytest.mark.parametrize("text", [b"a@x\nb@x", b"a@x\r", b"a\0@x", b"a\x7f@x", b"a@x\n b@x"])
def test_a_control_character_in_an_argument_is_refused(text: bytes) -> None:
    with pytest.raises(UsageFailure, match="line break") as caught:
        argument_recipients(text)
    assert caught.value.message.isprintable()
