"""What a reply means: temporary or final, and what a person can do about it."""

from __future__ import annotations

import pytest

from msmtp.exits import BY_CODE
from msmtp.sender.outcome import exit_code
from msmtp.sender.refusals import CODE_HINTS, HINTS, STEPS, hint_for, refusal
from msmtp.smtp.replies import Reply


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("code", [354, 421, 450, 451, 452, 454, 500, 530, 550, 552, 554])
def test_the_first_digit_decides_at_every_step(step, code):
    failure = refusal(step, Reply(code, (b"words",)), "SUBJECT")
    temporary = code // 100 == 4 or (step == "rcpt" and code == 552)
    assert (failure.exit_code == 75) == temporary
    assert BY_CODE[failure.exit_code].temporary == temporary
    assert "{}" not in failure.message
    assert failure.server == (f"{code} words",)


def test_552_to_rcpt_is_final_where_the_enhanced_code_says_it_is_no_limit_of_recipients():
    assert refusal("rcpt", Reply(552, (b"5.2.2 full",)), "a").exit_code == 65
    assert refusal("rcpt", Reply(552, (b"5.5.3 too many",)), "a").exit_code == 75
    assert refusal("mail data", Reply(552, (b"too big",))).exit_code == 65


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(550, (b"5.1.1 who?",)), "check the address"),
        (Reply(450, (b"4.2.2 full",)), "full"),
        (Reply(535, (b"no",)), "check 'user' and the password"),
        (Reply(530, (b"5.7.0 Must issue a STARTTLS command first",)), "tls on"),
        (Reply(530, (b"5.7.0 Authentication Required",)), "auth on"),
        (Reply(534, (b"5.7.9 Application-specific password required",)), "made for this program"),
        (Reply(550, (b"no reason given",)), ""),
        (Reply(550, (b"4.1.1 codes that contradict each other",)), ""),
    ],
)
def test_the_hint_follows_from_the_codes(reply, words):
    assert words in hint_for(reply)
    assert bool(hint_for(reply)) == bool(words)


def test_every_code_leads_to_a_hint_that_exists():
    assert set(CODE_HINTS.values()) <= set(HINTS)


@pytest.mark.parametrize(("codes", "expected"), [("sysexits", 65), ("upstream", 69)])
def test_the_switch_chooses_the_old_codes(codes, expected):
    assert exit_code(refusal("mail data", Reply(554, (b"no",))), codes) == expected
