"""Asking the person at the terminal.

The terminal is /dev/tty, whatever standard input is.  Without one nobody is asked and nothing waited for, and neither
is it from the background, where the terminal is another program's and asking for it would stop this process.  What is
typed is not shown.  However the question ends, by an answer, Ctrl-C or a signal, the terminal then shows again what is
typed.  Ctrl-Z is switched off while it does not, or the shell would be left with a silent terminal.
"""

from __future__ import annotations

import termios

from msmtp.credentials.secret import Secret
from msmtp.system import os

TERMINAL = "/dev/tty"
LONGEST_LINE = 65536
LOCAL_MODES = 3
CHARACTERS = 6
NO_CHARACTER = b"\0"


def ask(question: str) -> Secret | None:
    """What is typed in answer; None without a terminal to ask on, or if there was no answer (Ctrl-D)."""
    try:
        terminal = os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.tcgetpgrp(terminal) != os.getpgrp():
            return None
        return _ask(terminal, question)
    except (OSError, termios.error):
        return None
    finally:
        os.close(terminal)


def _ask(terminal: int, question: str) -> Secret | None:
    shown = termios.tcgetattr(terminal)
    silent = termios.tcgetattr(terminal)
    silent[LOCAL_MODES] &= ~termios.ECHO
    silent[LOCAL_MODES] |= termios.ICANON | termios.ISIG
    silent[CHARACTERS][termios.VSUSP] = NO_CHARACTER
    try:
        # Flushing drops what was typed ahead: it was shown.
        termios.tcsetattr(terminal, termios.TCSAFLUSH, silent)
        os.write(terminal, question.encode(errors="backslashreplace"))
        line = _line(terminal)
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, shown)
        os.write(terminal, b"\n")
    return None if line is None else Secret(line)


def _line(terminal: int) -> bytearray | None:
    """One line without its end; None if the input ends before anything is typed."""
    line = bytearray()
    while len(line) < LONGEST_LINE:
        block = os.read(terminal, LONGEST_LINE)
        line += block
        if not block:
            return line or None
        if line.endswith(b"\n"):
            break
    return line.removesuffix(b"\n")
