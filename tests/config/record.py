"""Write down what an msmtp of the C program answers to all cases: ``python -m tests.config.record PROGRAM``.

So the tests hold ours against the newest release even where Debian has an older one.  Of each answer only the lines stay
that the plain case does not have.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.config.cases import CASES, theirs

PLAIN = "option --"
FILE = Path(__file__).with_name("data") / "upstream-1.8.33.json"


def main(program: str) -> None:
    """Run all of them and write the file."""
    recorded = {}
    with tempfile.TemporaryDirectory() as folder:
        plain = theirs(Path(program).resolve(), Path(folder), "host x\n", "")
        for name, (text, arguments) in CASES.items():
            found = theirs(Path(program).resolve(), Path(folder), text, arguments)
            lines = [line for line in found.output if line not in plain.output]
            recorded[name] = {"code": found.code, "errors": found.errors, "output": lines, "lines": len(found.output)}
    FILE.write_text(json.dumps({"plain": plain.output, "cases": recorded}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
