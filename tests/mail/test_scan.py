"""The measures of a mail, against the plainest way to take them."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from msmtp.mail.scan import Scan
from msmtp.smtp.data import Chunker

MAILS = st.lists(st.sampled_from([b"x", b"xxxx", b"\n", b"\r\n", b"\r", b"\0", b"\xc3\xa9"]), max_size=40).map(b"".join)


def measures(scan: Scan) -> tuple[object, ...]:
    return (scan.has_8bit, scan.size, scan.log_size)


def plainly(mail: bytes) -> tuple[object, ...]:
    text = (mail + b"\n" if mail.endswith(b"\r") else mail).replace(b"\r\n", b"\n")
    ended = text if not text or text.endswith(b"\n") else text + b"\n"
    return any(byte > 127 for byte in mail), len(ended) + ended.count(b"\n"), len(ended)


@given(MAILS, st.data())
@example(b"xxxxx\r" + b"\nx", None)
@example(b"xxxx\r" + b"\n", None)
def test_every_split_gives_the_same_measures(mail: bytes, data: st.DataObject | None) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(mail))))) if data else [len(mail) - 1]
    scan = Scan()
    for start, end in zip([0, *cuts], [*cuts, len(mail)], strict=True):
        scan.feed(mail[start:end])
    assert measures(scan) == plainly(mail)


@given(MAILS)
def test_the_measures_hold_at_every_octet(mail: bytes) -> None:
    scan = Scan()
    for at in range(len(mail)):
        scan.feed(mail[at : at + 1])
        assert measures(scan) == plainly(mail[: at + 1])


@given(MAILS)
def test_the_size_is_what_goes_over_the_wire(mail: bytes) -> None:
    scan = Scan()
    scan.feed(mail)
    assert scan.size == len(Chunker().feed(mail, last=True))


def test_an_empty_mail_has_no_size() -> None:
    assert measures(Scan()) == (False, 0, 0)


@pytest.mark.parametrize(
    "block",
    [
        b"x" * 76 + b"\r\n",
        b"x" * 76 + b"\n",
        b"\n",
        b"x",
        b"\r\n",
        "ö\n".encode(),
        b"x" * 998 + b"\r\n",
        b"x" * 5000 + b"\n",
    ],
    ids=lambda block: repr(block[-4:]),
)
def test_a_block_takes_no_time(block: bytes) -> None:
    """A tenth of what a quiet machine does, so that only a slow way of doing it fails."""
    mail = (block * (65536 // len(block) + 1))[:65536]
    scan = Scan()
    begun = time.process_time()
    for _ in range(160):
        scan.feed(mail)
    assert 10 / (time.process_time() - begun) > 100, "MiB a second"


@given(st.lists(st.sampled_from([b"x", b"xxxx", b"\n", b"\xc3\xa9"]), max_size=40).map(b"".join))
def test_line_ends_that_somebody_has_counted_need_not_be_counted_again(mail: bytes):
    scan = Scan()
    scan.feed(mail, mail.count(b"\n"))
    assert measures(scan) == plainly(mail)
