"""What a process may still do after enter(), seen from inside real processes."""

import subprocess
import sys
from pathlib import Path

SOURCE = str(Path(__file__).resolve().parents[2] / "src")


def test_the_sender_opens_no_file_any_more():
    code = (
        f"import sys; sys.path.insert(0, {SOURCE!r})\n"
        "from msmtp.sandbox import enter\n"
        "applied = enter('sender', policy='require')\n"
        "assert applied.complete, applied.lines()\n"
        "try: open('/etc/passwd')\n"
        "except PermissionError: print('refused')\n"
    )
    ended = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "refused\n", "")
