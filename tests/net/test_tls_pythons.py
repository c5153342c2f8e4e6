"""Both doors to OpenSSL, ``_ssl`` and ``ssl``, give the same verdicts, on every Python of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.tls_cases import SCRIPT, SOURCE, cases

PYENV = Path(os.environ.get("PYENV_ROOT") or Path("~/.pyenv").expanduser()) / "versions"
PYTHONS = [sys.executable, *map(str, sorted(PYENV.glob("3.1[1-9].*/bin/python")))]


@pytest.mark.parametrize("door", ["_ssl", "ssl"])
@pytest.mark.parametrize("python", PYTHONS)
def test_both_doors_give_the_same_verdicts(python: str, door: str, tmp_path: Path) -> None:
    table = cases(tmp_path)
    given = json.dumps({name: row for name, (row, _) in table.items()})
    command = [python, "-I", "-S", "-W", "ignore::DeprecationWarning", "-c", SCRIPT, str(SOURCE), door, given]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {name: verdict for name, (_, verdict) in table.items()}
