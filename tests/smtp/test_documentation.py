"""The page on the library: its section on SMTP runs; the drawing of the states is made from the table."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from msmtp.smtp import server
from msmtp.smtp.transitions import TRANSITIONS

TOP = Path(__file__).parents[2]
PAGE = TOP / "docs" / "smtp-library.md"


def section():
    return PAGE.read_text().split("\n## msmtp.smtp\n")[1].split("\n## ")[0]


def test_examples_run():
    blocks = re.findall(r"```python\n(.*?)```", section(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})


def test_every_event_and_module_is_told_of():
    events = {
        name for name, value in vars(server).items() if isinstance(value, type) and issubclass(value, server.Event)
    }
    assert set(re.findall(r"^\| `([A-Z]\w+)\(", section(), re.MULTILINE)) == events - {"Event"}
    modules = {path.stem for path in (TOP / "src/msmtp/smtp").glob("*.py")}
    told = {
        name
        for row in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section(), re.MULTILINE)
        for name in re.findall(r"\w+", row)
    }
    assert told <= modules
    assert modules - told == {"__init__", "lines", "parsing"}


def test_every_state_is_drawn_and_tabled():
    path = TOP / "scripts" / "generate" / "smtp_states.py"
    spec = importlib.util.spec_from_file_location("smtp_states", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.generate()
    drawing = text.split("```mermaid\n")[1].split("```")[0]
    for state, steps in TRANSITIONS.items():
        assert re.search(rf"\b{state}\b", drawing), state
        rows = " ".join(re.findall(rf"^\| {state} \| ([^|]*) \|", text, re.MULTILINE)).replace(",", "")
        assert all(step.decode() in rows for step in steps), state
    assert text == (TOP / module.TARGET).read_text()
