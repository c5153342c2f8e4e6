"""The table itself: complete, closed, and what the standards say in words."""

from __future__ import annotations

from itertools import product

import pytest

from msmtp.smtp import transitions as t
from msmtp.smtp.transitions import TRANSITIONS, after, expected

STATES = list(TRANSITIONS)
STEPS = sorted({step for rows in TRANSITIONS.values() for step in rows})


def test_every_state_is_a_row_and_can_be_reached():
    reached = {t.CONNECTED}
    while True:
        more = {state for known in reached for row in TRANSITIONS[known].values() for state in row.values()} - reached
        if not more:
            break
        reached |= more
    assert reached == set(STATES)


def test_every_step_can_be_refused_but_the_handshake():
    for rows in TRANSITIONS.values():
        for step, row in rows.items():
            assert step == t.TLS or {4, 5} <= set(row)
            assert set(row) <= {2, 3, 4, 5}


@pytest.mark.parametrize("state", STATES)
def test_all_states_times_all_steps_times_all_replies(state):
    """A step in order goes where its row says; one out of order stays; 421 ends the session."""
    exact = {(t.GREETING, 2): 220, (b"STARTTLS", 2): 220, (b"DATA", 3): 354, (b"AUTH", 3): 334, (t.RESPONSE, 3): 334}
    for step, code in product(STEPS, [220, 235, 250, 334, 354, 421, 450, 503, 550]):
        digit = code // 100
        row = TRANSITIONS[state].get(step)
        if code == 421:
            want = t.CLOSED
        elif exact.get((step, digit), code) != code:
            want = None
        elif row is not None:
            want = row.get(digit)
        elif digit == 3:
            want = t.DATA if step == b"DATA" else None
        else:
            want = state
        assert after(state, step, code) == want, (step, code)


def test_a_step_is_in_order_if_it_has_a_row():
    for state, step in product(STATES, STEPS):
        row = TRANSITIONS[state].get(step)
        assert (expected(state, step) is not None) == (row is not None)
        if row and (2 in row or 3 in row):
            assert expected(state, step) in row.values()


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        (t.CONNECTED, "(greeting)"),
        (t.REFUSED, "QUIT"),
        (t.GREETED, "EHLO EXPN HELO HELP LHLO NOOP QUIT RSET VRFY"),
        (t.READY, "AUTH EHLO ETRN EXPN HELO HELP LHLO MAIL NOOP QUIT RSET STARTTLS VRFY"),
        (t.CHALLENGED, "(cancel) (response)"),
        (t.SENDER, "EHLO EXPN HELO HELP LHLO NOOP QUIT RCPT RSET VRFY"),
        (t.RECIPIENT, "BDAT|BDAT LAST|DATA|EHLO|EXPN|HELO|HELP|LHLO|NOOP|QUIT|RCPT|RSET|VRFY"),
        (t.DATA, "(content)"),
        (t.CHUNK, "BDAT|BDAT LAST|EHLO|EXPN|HELO|HELP|LHLO|NOOP|QUIT|RSET|VRFY"),
        (t.FAILED, "EHLO EXPN HELO HELP LHLO NOOP QUIT RSET VRFY"),
        (t.HANDSHAKE, "(tls)"),
        (t.CLOSED, ""),
    ],
)
def test_what_is_in_order_is_what_the_standards_say(state, steps):
    names = steps.split("|") if "|" in steps else steps.split()
    assert sorted(step.decode() for step in TRANSITIONS[state]) == names


def test_a_refused_hello_changes_nothing():
    for state, rows in TRANSITIONS.items():
        for hello in (b"EHLO", b"HELO", b"LHLO"):
            if hello in rows:
                assert rows[hello] == {2: t.READY, 4: state, 5: state}
