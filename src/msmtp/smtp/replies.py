"""Reply: one reply of a server as a value; ReplyParser makes them from lines and is strict about what is one.

RFC 5321, 4.2: a reply is one or more lines; each begins with the same three digits, the first of them 2 to 5; a hyphen
follows them on all lines but the last, where a space and a text follow, or nothing.  Whatever breaks this is not SMTP
and ends the session (ProtocolFailure), for a client that guesses what was meant can be made to guess wrong.

An enhanced status code (RFC 2034: class.subject.detail, with the class equal to the reply's first digit) is read from
the first line whether the server announced it or not; the text is left as it came, the code still in it.
"""

from __future__ import annotations

from binascii import a2b_base64

from msmtp.failures import ProtocolFailure, shown
from msmtp.smtp.limits import DEFAULT_LIMITS, Limits

_SEVERITIES = b"2345"  # RFC 5321, 4.2.1: 1yz is not used
_ENHANCED_SEVERITIES = (b"2", b"4", b"5")
_LONGEST_PART = 3


class Reply:
    """A reply: ``code`` 200 to 599, ``lines`` the texts without the code, at least one.

    ``enhanced`` is (class, subject, detail) or None.  ``severity`` is the first digit: 2 done, 3 go on, 4 not now, 5
    no.
    """

    __slots__ = ("code", "enhanced", "lines")

    def __init__(self, code: int, lines: tuple[bytes, ...] = (b"",)) -> None:
        self.code = code
        self.lines = lines
        self.enhanced = enhanced_code(code, lines[0])

    @property
    def severity(self) -> int:
        """First digit of the code."""
        return self.code // 100

    def text(self) -> bytes:
        """All lines without their code, joined with LF."""
        return b"\n".join(self.lines)

    def raw_lines(self) -> tuple[bytes, ...]:
        """Each line as it goes over the wire, without its line end.

        The blank stands there without a text, too: RFC 4954, 4, wants it in a 334.
        """
        code = b"%d" % self.code
        return (*(code + b"-" + line for line in self.lines[:-1]), code + b" " + self.lines[-1])

    def printable(self) -> tuple[str, ...]:
        """Each line with its code as a str that a terminal or a log can take: UTF-8 where it is, the rest escaped."""
        return tuple(shown(line.rstrip(), 0) for line in self.raw_lines())

    def challenge(self) -> bytes:
        """What a 334 asks: its text, from base64 (RFC 4954, 4).  Raises ProtocolFailure if it is none."""
        try:
            return from_base64(self.lines[0].strip())
        except ValueError:
            raise ProtocolFailure(
                f"the server sent an invalid challenge: {shown(self.lines[0])}", server=self.printable()
            ) from None

    def encode(self) -> bytes:
        """All lines with their CRLF.  Raises ValueError if a text holds CR, LF or NUL."""
        if self.code == 334 and self.lines == (b"",):  # noqa: PLR2004 - the one reply whose space is no option
            return b"334 \r\n"  # RFC 4954, 8 (continue-req); the C program takes nothing else
        data = b"\r\n".join(self.raw_lines())
        if data.count(b"\n") >= len(self.lines) or data.count(b"\r") >= len(self.lines) or b"\0" in data:
            raise ValueError("a reply's text holds a line end or NUL")
        return data + b"\r\n"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reply) and (self.code, self.lines) == (other.code, other.lines)

    def __hash__(self) -> int:
        return hash((self.code, self.lines))

    def __repr__(self) -> str:
        return f"Reply({self.code}, {self.lines!r})"


def enhanced_code(code: int, text: bytes) -> tuple[int, int, int] | None:
    """Read class.subject.detail from the start of a reply's text (RFC 2034, 4; RFC 3463, 2), or give None."""
    if text[1:2] != b"." or text[:1] != b"%d" % (code // 100):
        return None
    parts = text.split(b" ", 1)[0].split(b".")
    if parts[0] not in _ENHANCED_SEVERITIES or len(parts) != 3:  # noqa: PLR2004 - the three parts of the code
        return None
    if not all(part.isdigit() and len(part) <= _LONGEST_PART for part in parts):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])


def from_base64(text: bytes) -> bytes:
    """Decode base64 with all its padding and nothing else in it (RFC 4954, 4).  Raises ValueError."""
    # Before CPython 3.13 the strict mode lets a complete text have more padding.
    if len(text) % 4 or text.endswith(b"==="):
        raise ValueError("not base64")
    return a2b_base64(text, strict_mode=True)


class ReplyParser:
    """Lines in, replies out.  ``limits.reply_lines`` bounds the lines of one reply.

    A reply of one line that says the same as the one before it is the same object: to thousands of RCPT a server gives
    one answer thousands of times.
    """

    __slots__ = ("_code", "_limits", "_reply", "_said", "_texts")

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._code = b""
        self._texts: list[bytes] = []
        self._said = b""  # the line that was a whole reply
        self._reply: Reply | None = None

    @property
    def unfinished(self) -> bool:
        """Whether the lines so far promise another one."""
        return bool(self._texts)

    def feed(self, line: bytes) -> Reply | None:
        """Take one line without its LF; give the reply that it completes, if it does.  Raises ProtocolFailure."""
        line = line.removesuffix(b"\r")
        if line == self._said and not self._texts and self._reply is not None:
            return self._reply
        code, mark = line[:3], line[3:4]
        if len(code) != 3 or not code.isdigit() or code[0] not in _SEVERITIES or mark not in b"- ":  # noqa: PLR2004
            raise invalid_reply(line)
        if self._texts and code != self._code:
            raise invalid_reply(line, f"{self._code.decode()} was to follow")
        self._texts.append(line[4:])
        if mark != b"-":
            texts, self._texts = tuple(self._texts), []
            reply = Reply(int(code), texts)
            if len(texts) == 1:
                self._said, self._reply = line, reply
            return reply
        if len(self._texts) >= self._limits.reply_lines:
            raise invalid_reply(line, f"more than {self._limits.reply_lines} lines")
        self._code = code
        return None


def invalid_reply(line: bytes, reason: str = "") -> ProtocolFailure:
    """Make the failure for something that is no reply; it quotes what came, escaped and cut."""
    words = f"the server sent an invalid reply: {shown(line) or 'an empty line'}"
    return ProtocolFailure(f"{words} ({reason})" if reason else words)
