r"""Passwords from netrc files, those of ftp, curl and git.

The file is a row of words, parted by white space::

    machine mail.example login joe password "a \"quoted\" word"
    macdef name ... up to the first empty line

A word that begins with ``"`` ends at the next one; a backslash before ``"`` or another backslash takes its meaning
away.  One that begins with ``'`` ends at the next, without escapes.  Without the closing one the word ends with the
line.  A quote or a backslash elsewhere is a character like any other, and ``#`` begins a comment only where a keyword
is due.

An entry for the host and the user is the one.  Without such an entry, one for the host without a login will do.
``default`` entries are for anonymous ftp and never count, and an empty password is none.
"""

from __future__ import annotations

from msmtp.credentials.secret import Secret
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

WHITE = b" \t\r\n\f\v"
LOGIN = (b"login", b"user")
PASSWORD = (b"password", b"passwd")
OTHER = (b"account",)
QUOTE = ord('"')
ESCAPES = (b'\\"', b"\\\\")


def read_password(file: str, host: str, user: str) -> Secret | None:
    """The password in a file, which need not exist.  Raises OSError if it cannot be read."""
    try:
        with open(file, "rb") as opened:
            text = opened.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    password = find_password(text, os.fsencode(host), os.fsencode(user))
    return None if password is None else Secret(password)


def find_password(text: bytes, host: bytes, user: bytes) -> bytes | None:
    """The password for this user at this host, or None.

    The host is compared without regard to case, unless it is the path of a socket; the user's name exactly.
    """
    spare = None
    for entry in entries(text):
        if not entry.get(b"password") or not _same_host(entry.get(b"machine"), host):
            continue
        if entry.get(b"login") == user:
            return entry[b"password"]
        if b"login" not in entry and spare is None:
            spare = entry[b"password"]
    return spare


def _same_host(machine: bytes | None, host: bytes) -> bool:
    return machine is not None and (machine == host or (host[:1] != b"/" and machine.lower() == host.lower()))


def entries(text: bytes) -> Iterator[dict[bytes, bytes]]:
    """Every ``machine`` entry as a dict of machine, login and password, the last of each if it comes twice."""
    words = _Words(text)
    entry: dict[bytes, bytes] = {}
    while (word := words.keyword()) is not None:
        if word in (b"machine", b"default"):
            yield entry
            entry = {b"machine": words.value()} if word == b"machine" else {}
        elif word in LOGIN:
            entry[b"login"] = words.value()
        elif word in PASSWORD:
            entry[b"password"] = words.value()
        elif word in OTHER:
            words.value()
        elif word == b"macdef":
            words.skip_macro()
    yield entry


class _Words:
    """The words of the text, one after another."""

    __slots__ = ("at", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text.replace(b"\r\n", b"\n")
        self.at = 0

    def keyword(self) -> bytes | None:
        """The next word that is not in a comment; None at the end."""
        while self._skip_white():
            if self.text[self.at : self.at + 1] != b"#":
                return self.value()
            end = self.text.find(b"\n", self.at)
            self.at = len(self.text) if end < 0 else end
        return None

    def value(self) -> bytes:
        """The next word, whatever it is; b"" at the end."""
        self._skip_white()
        word = self._quoted() if self.text[self.at : self.at + 1] in (b'"', b"'") else b""
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in WHITE:
            self.at += 1
        return word + self.text[start : self.at]

    def _skip_white(self) -> bool:
        """Go to the next word; whether there is one."""
        while self.at < len(self.text) and self.text[self.at] in WHITE:
            self.at += 1
        return self.at < len(self.text)

    def _quoted(self) -> bytes:
        """The quoted beginning of a word."""
        text, quote = self.text, self.text[self.at]
        word = bytearray()
        self.at += 1
        while self.at < len(text) and text[self.at] not in (quote, ord("\n")):
            self.at += quote == QUOTE and text[self.at : self.at + 2] in ESCAPES
            word.append(text[self.at])
            self.at += 1
        self.at += text[self.at : self.at + 1] != b"\n"
        return bytes(word)

    def skip_macro(self) -> None:
        """Pass over a macro: up to the first empty line."""
        end = self.text.find(b"\n\n", self.at)
        self.at = len(self.text) if end < 0 else end
