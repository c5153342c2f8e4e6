"""Ours against the corpus, and the corpus against the C program."""

from __future__ import annotations

import pytest
from tests.support.mail_corpus import ADDRESSES, MAILS, OFF, VERIFIED, Addresses, Mail, Outcome
from tests.support.mail_path import hand_over
from tests.support.scripted import Polite, ScriptedServer
from tests.support.upstream import run_upstream, upstream_version

from msmtp.mail.header import HeaderReader


def to_mail(text: bytes) -> bytes:
    return b"To: " + text + b"\n\nb\n"


def ours(mail: bytes, arguments: list[str]) -> Outcome:
    sent = hand_over(mail, arguments)
    return sent and (sent.sender, sent.recipients, sent.data)


@pytest.mark.parametrize("case", ADDRESSES, ids=lambda case: repr(case.text))
def test_recipients_of_a_to_field(case: Addresses) -> None:
    sent = ours(to_mail(case.text), ["-t", *OFF])
    assert (sent[1] if sent else []) == case.expected


@pytest.mark.parametrize("case", MAILS, ids=lambda case: repr((case.mail, *case.arguments)))
def test_what_is_sent(case: Mail) -> None:
    assert ours(case.mail, case.arguments + case.settings) == case.expected


@pytest.mark.parametrize("case", MAILS, ids=lambda case: repr(case.mail))
def test_whole_and_byte_by_byte(case: Mail) -> None:
    whole, single = HeaderReader(), HeaderReader()
    fields = whole.feed(case.mail) + whole.close()
    rest, others = b"", []
    for at in range(len(case.mail)):
        byte = case.mail[at : at + 1]
        if single.done:
            rest += byte
        else:
            others += single.feed(byte)
    others += single.close()
    assert (fields, whole.separator, whole.rest) == (others, single.separator, single.rest + rest)


def test_a_difference_says_why() -> None:
    assert all(case.expected != case.upstream for case in [*ADDRESSES, *MAILS] if case.why)
    assert all(case.why for case in [*ADDRESSES, *MAILS] if case.ours)


@pytest.mark.releases("bookworm")  # 1.8.28 of Debian 13 adds no From to a mail with Resent-From; the corpus is 1.8.23's
def test_the_c_program_does_what_the_corpus_says() -> None:
    """Of another version only what ours does alike is asked: its differences from 1.8.23 are not ours to list."""
    fields = [Mail(to_mail(row.text), ["-t"], OFF, _sent_to(row.text, row.upstream)) for row in ADDRESSES]
    asked = fields + MAILS
    if upstream_version() != VERIFIED:
        asked = [case for case in MAILS if case.expected == case.upstream]
    with ScriptedServer(Polite()) as server:
        wrong = [(case, seen) for case in asked if (seen := upstream(server, case)) != case.upstream]
    assert not wrong


def _sent_to(text: bytes, recipients: list[bytes]) -> Outcome:
    data = to_mail(text).replace(b"\r", b"")
    return (b"s@x.example", recipients, data) if recipients else None


def upstream(server: ScriptedServer, case: Mail) -> Outcome:
    before = len(server.sessions)
    own = [] if {"-f", "--read-envelope-from"} & set(case.arguments) else ["-f", "s@x.example"]
    done = run_upstream(["--host=127.0.0.1", f"--port={server.port}", *own, *case.settings, *case.arguments], case.mail)
    if done.returncode in {64, 78}:
        return None
    assert done.returncode == 0, done.stderr
    session = server.sessions[before]
    commands = session.transcript.client.split(b"DATA\r\n")[0].split(b"\r\n")
    sender, *recipients = [
        line.partition(b":<")[2].rpartition(b">")[0] for line in commands if line.startswith((b"MAIL", b"RCPT"))
    ]
    return sender, recipients, session.mails[0].data.replace(b"\r\n", b"\n")
