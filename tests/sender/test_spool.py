"""The mail on standard input: its header, its body, and where the body is kept."""

from __future__ import annotations

import os
import tempfile
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.failures import FileFailure, SpoolFailure
from msmtp.sender import spool
from msmtp.smtp.data import Stuffer


def piped(octets: bytes) -> int:
    """A pipe that holds these octets; small ones only."""
    reading, writing = os.pipe()
    os.write(writing, octets)
    os.close(writing)
    return reading


def as_sent(body: bytes) -> bytes:
    """What DATA makes of a body, without the dot that ends it."""
    stuffer = Stuffer()
    return (stuffer.feed(body) + stuffer.end())[: -len(b".\r\n")]


def measures(mail: spool.Mail) -> tuple[object, ...]:
    return (mail.scan.has_8bit, mail.scan.size, mail.scan.log_size)


def read_from(descriptor: int) -> spool.Mail:
    try:
        return spool.read_mail(descriptor)
    finally:
        os.close(descriptor)


@given(st.binary(max_size=2000), st.booleans())
def test_body_and_measures_are_the_same_over_a_pipe_and_from_a_file(octets, header):
    octets = (b"A: b\n\n" if header else b"") + octets
    over_pipe = read_from(piped(octets))
    with tempfile.TemporaryFile() as file:
        file.write(octets)
        file.seek(0)
        from_file = spool.read_mail(file.fileno())
        assert b"".join(from_file.blocks()) == b"".join(over_pipe.blocks())
    assert from_file.fields == over_pipe.fields
    assert from_file.scan.size == over_pipe.scan.size
    if header:
        assert b"".join(over_pipe.blocks()) == octets[6:]


@pytest.mark.parametrize("size", [spool.MEMORY - 1, spool.MEMORY, spool.MEMORY + 1, 3 * spool.MEMORY])
def test_a_long_body_leaves_memory_and_comes_back_whole_and_twice(size):
    body = os.urandom(size)
    with tempfile.TemporaryFile() as file:
        file.write(b"A: b\n\n" + body)
        file.seek(0)
        reading, writing = os.pipe()

        def write():
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(b"A: b\n\n" + body)

        writer = threading.Thread(target=write)
        writer.start()
        mails = [spool.read_mail(file.fileno()), spool.read_mail(reading)]
        writer.join()
        for mail in mails:
            expected = as_sent(body) if mail.body.stored else body
            assert b"".join(mail.blocks()) == expected
            assert b"".join(mail.blocks()) == expected
            assert bool(mail.body.held) == (size <= spool.MEMORY)
        assert [mail.body.stored for mail in mails] == [False, size > spool.MEMORY]
        assert measures(mails[1]) == measures(mails[0])
        assert (mails[0].body.descriptor == file.fileno()) == (size > spool.MEMORY)
        os.close(reading)
        if mails[1].body.descriptor >= 0:
            os.close(mails[1].body.descriptor)


@given(st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b".", b"a", b"\xc3\xa4", b"line\n"])), st.integers(1, 9))
def test_what_is_stored_is_what_would_be_sent_wherever_blocks_and_memory_end(parts, size):
    octets = b"".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "BLOCK", size)
        patch.setattr(spool, "MEMORY", 2)
        patch.setattr(spool, "AGAIN", size)
        mail = read_from(piped(b"A: b\n\n" + octets))
    whole = read_from(piped(b"A: b\n\n" + octets))
    assert mail.body.stored == (len(octets) > 2)
    assert b"".join(mail.blocks()) == (as_sent(octets) if mail.body.stored else octets)
    assert measures(mail) == measures(whole)
    if mail.body.stored:
        os.close(mail.body.descriptor)


def test_a_file_that_shrinks_while_it_is_sent_is_noticed():
    with tempfile.TemporaryFile() as file:
        file.write(b"A: b\n\n" + bytes(2 * spool.MEMORY))
        file.seek(0)
        mail = spool.read_mail(file.fileno())
        file.truncate(spool.MEMORY)
        with pytest.raises(FileFailure, match="became shorter"):
            list(mail.blocks())


def test_standard_input_that_cannot_be_read_is_a_failure_with_a_reason(tmp_path):
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(FileFailure, match="standard input: Is a directory"):
        read_from(folder)


def test_an_unnamed_file_is_made_where_there_is_room_and_leaves_no_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    descriptor = spool.unnamed_file()
    spool.write_all(descriptor, b"x")
    assert os.listdir(tmp_path) == []
    os.close(descriptor)
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    os.close(spool.unnamed_file())


def test_a_full_disk_is_temporary_and_says_what_to_do():
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(SpoolFailure, match="No space left on device") as caught:
        spool.store(full, b"x")
    os.close(full)
    assert caught.value.temporary
    assert "TMPDIR" in caught.value.hint
