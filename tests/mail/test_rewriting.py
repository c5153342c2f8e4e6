"""The stages, each alone and all together; whole mails are in the corpus."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.failures import UsageFailure
from msmtp.mail.header import HeaderReader
from msmtp.mail.rewriting import Plan, header_bytes

MAIL = b"Received: x\nFROM: a@x\n b\nTo: c@x\nResent-To: e@x\nCc: d@x\nbcc: f@x\nResent-BCC: g@x\nSubject: s\n"
BLIND = b"bcc: f@x\nResent-BCC: g@x\n"
ADDED = {"sender": b"s@x", "date": b"D", "message_id": b"<M>"}


def rewritten(mail: bytes, **plan: object) -> bytes:
    reader = HeaderReader()
    fields = reader.feed(mail) + reader.close()
    return header_bytes(fields, Plan(**plan))  # type: ignore[arg-type]


def test_blind_copies_are_taken_out() -> None:
    assert rewritten(MAIL, sender=b"s@x") == MAIL.replace(BLIND, b"")
    assert rewritten(MAIL, sender=b"s@x", remove_bcc=False) == MAIL


def test_what_is_missing_is_added_in_this_order() -> None:
    assert rewritten(b"Subject: s\n", set_to="on", recipients=(b"r@x", b"root"), full_name=b"Joe", **ADDED) == (
        b"From: Joe <s@x>\nTo: r@x, root\nDate: D\nMessage-ID: <M>\nSubject: s\n"
    )


def test_what_is_there_is_not_added() -> None:
    mail = b"from: a\ndate:\nmessage-id: x\n"
    assert rewritten(mail, **ADDED) == mail


def test_nothing_is_added_that_is_off() -> None:
    assert rewritten(b"", sender=b"s@x", set_from="off") == b""


def test_an_empty_from_makes_way() -> None:
    assert rewritten(b"From: \n \nSubject: x\n", sender=b"s@x") == b"From: s@x\nSubject: x\n"


def test_from_is_replaced_when_asked_for() -> None:
    assert rewritten(b"From: a\n b\nX: y\nfrom: c\n", sender=b"s@x", set_from="on") == b"From: s@x\nX: y\n"


def test_the_null_sender_leaves_from_alone() -> None:
    assert rewritten(b"From: a\n", set_from="on") == b"From: a\n"
    assert rewritten(b"X: y\n") == b"X: y\n"


def test_to_takes_the_place_of_all_recipients() -> None:
    bare = b"Received: x\nFROM: a@x\n b\nResent-To: e@x\nSubject: s\n"
    assert rewritten(MAIL, set_to="on", recipients=(b"r@x",), remove_bcc=False) == b"To: r@x\n" + bare
    assert rewritten(MAIL, set_to="undisclosed_recipients", remove_bcc=False) == (
        b"To: undisclosed-recipients:;\n" + bare.replace(b"Resent-To: e@x\n", b"")
    )


@pytest.mark.parametrize("plan", [{"date": b"x\ny"}, {"message_id": b"\r"}, {"full_name": b"\n", "sender": b"s"}])
def test_fault_30_nothing_that_is_added_breaks_the_line(plan: dict[str, bytes]) -> None:
    if "full_name" in plan:
        plan = {**plan, "full_name": b"a\nb"}
    with pytest.raises(UsageFailure, match="line break"):
        rewritten(b"X: y\n", **plan)


@given(st.permutations(MAIL.replace(b"\n b", b" b").splitlines(keepends=True)))
def test_the_order_of_the_fields_does_not_matter(lines: list[bytes]) -> None:
    out = rewritten(b"".join(lines), sender=b"s@x")
    assert out == b"".join(line for line in lines if line not in BLIND.splitlines(keepends=True))
