"""What is kept of a command line."""

from __future__ import annotations

import os
import subprocess
import sys

RUN = """
import sys
from msmtp.sender import main
main.finish = lambda code: print(code, len(sys.orig_argv), len(sys.argv))
main.run()
"""


def test_the_arguments_are_kept_once():
    """Of ten thousand recipients each copy is a MiB; Python makes one of its own (sys.orig_argv)."""
    command = [sys.executable, "-Xutf8", "-c", RUN, "--version", *["jane@example.net"] * 100]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1].split() == ["0", "1", "102"]
