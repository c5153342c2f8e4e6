"""docs/smtp-states.md: the states of an SMTP session, drawn and as a table, from TRANSITIONS."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from msmtp.smtp.transitions import CLOSED, CONNECTED, EXACT, OVERTAKEN, SHUTDOWN, TRANSITIONS, Row

TARGET = "docs/smtp-states.md"

HEAD = """# The states of a session

Made by scripts/generate/smtp_states.py from `TRANSITIONS` (src/msmtp/smtp/transitions.py), where the theory stands.

A state changes when a command is answered, never before, and the first digit of the reply decides. Client and server
follow the same table. Names in brackets are steps that have no verb: `(greeting)`, the server's first reply;
`(response)` and `(cancel)` within an authentication; `(content)`, what comes after 354 up to CRLF.CRLF; `(tls)`, the
handshake. `BDAT LAST` is the last chunk of a mail.

## What success does

"""

TABLE_HEAD = """
Not drawn: EHLO, HELO, LHLO and RSET in the midst of a transaction, which lead back to `ready`; QUIT, which leads to
`closed`; and what leaves the state as it is.

## Everything

A command that is missing in a state is out of order there. `-` is a reply that cannot be one to this command: the
session ends with a protocol error.

| state | command | 2yz | 3yz | 4yz | 5yz |
|---|---|---|---|---|---|
"""

CLASSES = (2, 3, 4, 5)


def generate() -> str:
    """The file's text."""
    return HEAD + diagram() + TABLE_HEAD + table() + rules()


def diagram() -> str:
    """What success leads to, without the commands that lead to the same state from everywhere."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {CONNECTED}"]
    for state, steps in TRANSITIONS.items():
        targets: dict[str, list[str]] = {}
        for step, row in steps.items():
            for target in successes(row):
                if target != state and not common(state, step):
                    targets.setdefault(target, []).append(step.decode())
        if refused := refusals(state):
            targets.setdefault(refused[0], []).append(f"{refused[1]} refused")
        lines += [f"    {state} --> {target}: {', '.join(names)}" for target, names in targets.items()]
    return "\n".join([*lines, f"    {CLOSED} --> [*]", "```"]) + "\n"


def successes(row: Row) -> list[str]:
    """Where 2yz and 3yz lead; the cancel of an authentication has neither, and is drawn all the same."""
    return [row[digit] for digit in (2, 3) if digit in row] or [row[5]]


def refusals(state: str) -> tuple[str, str] | None:
    """The step whose refusal leads somewhere that nothing else does."""
    for step, row in TRANSITIONS[state].items():
        if row.get(5, state) not in (state, *successes(row)):
            return row[5], step.decode()
    return None


def common(state: str, step: bytes) -> bool:
    """Whether a step does the same wherever it stands."""
    first = next(name for name, steps in TRANSITIONS.items() if step in steps)
    return step in (b"EHLO", b"HELO", b"LHLO", b"RSET", b"QUIT") and state != first


def table() -> str:
    """A line for each command of each state; commands with the same row share it."""
    lines = []
    for state, steps in TRANSITIONS.items():
        rows: dict[tuple[str, ...], list[str]] = {}
        for step, row in steps.items():
            rows.setdefault(tuple(row.get(digit, "-") for digit in CLASSES), []).append(step.decode())
        for row, names in rows.items():
            lines.append(f"| {state} | {', '.join(names)} | {' | '.join(row)} |")
        if not steps:
            lines.append(f"| {state} | none | - | - | - | - |")
    return "\n".join(lines) + "\n"


def rules() -> str:
    """What stands above the table."""
    exact = "; ".join(f"{step.decode()} {code}" for (step, _), code in EXACT.items())
    overtaken = "; ".join(f"{step.decode()} leads to `{state}`" for step, state in OVERTAKEN.items())
    return f"""
Above the table:

- {SHUTDOWN} ends the session, whatever it answers.
- Some replies must be exactly one: {exact}.
- A command that was sent in a group behind one that was refused is out of order when its reply comes; nothing changes
  then, but for 3yz: {overtaken}.
"""
