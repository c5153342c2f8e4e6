r"""The content of a mail on its way in: where it ends, what is wrong with it.  :mod:`msmtp.smtp.data` is the way out.

:class:`Unstuffer` for DATA, :class:`Unchunker` for BDAT.  Only CRLF.CRLF ends the content, in whatever pieces it
comes.  A bare LF is a line end that somebody wrote in short: it becomes CRLF, and a dot behind it is a stuffed dot;
with a dot alone between two of them it is *not* an end but an empty line.  A bare CR, a NUL, a line or a mail beyond
the limits is a defect: noted, and the content read on to its real end, so that nothing of it is ever taken for a
command.

Blocks are handled whole, as on the way out; what may become CRLF.CRLF is held back until the next one comes.
"""

from __future__ import annotations

from msmtp.smtp.data import without_pairs

TERMINATOR = b"\r\n.\r\n"

# Defects; the server's REPLIES have the words.
BARE_CR = "bare CR"
NUL = "NUL"
LONG_LINE = "long line"
TOO_BIG = "too big"


class _Inspector:
    """Looks after content on its way in: line ends, defects, size.

    ``size`` counts octets with CRLF line ends.  ``defects`` in the order they were first seen; ``bare_lf`` is none,
    but worth a note.  Beyond ``message`` octets nothing is handed on.  ``lf``: line ends are handed on as LF.
    """

    __slots__ = ("_column", "_data_line", "_lf", "_line_ends", "_message", "bare_lf", "defects", "size")

    def __init__(self, data_line: int = 0, message: int = 0, *, lf: bool = False) -> None:
        self._data_line = data_line
        self._message = message
        self._lf = lf
        self._line_ends = 0
        self._column = 0
        self.bare_lf = False
        self.defects: tuple[str, ...] = ()
        self.size = 0

    def _note(self, defect: str) -> None:
        if defect not in self.defects:
            self.defects += (defect,)

    def _pass(self, block: bytes, unstuff: bool, dots: bool = False) -> bytes:
        """Give the text of a block that does not end between CR and LF, with the line ends wanted.

        ``dots``: whether a CRLF in it has a dot behind it, which is faster to find than a LF that has.
        """
        text = block.replace(b"\r", b"")
        bare = text.replace(b"\n", b"\r\n") != block  # to write it all once more is faster than to count the pairs
        if bare:
            text = self._odd(block)
        else:
            self._line_ends = len(block) - len(text)
        if b"\0" in text:
            self._note(NUL)
        unstuff = unstuff and (dots or bare) and b"\n." in text
        if self._lf:
            return text.replace(b"\n.", b"\n") if unstuff else text
        if unstuff:
            block = text.replace(b"\n.", b"\n").replace(b"\n", b"\r\n")
        elif bare:
            block = text.replace(b"\n", b"\r\n")
        return block

    def _odd(self, block: bytes) -> bytes:
        """Give the text, with LF line ends, of a block that holds a bare CR or LF."""
        text = without_pairs(block)
        if b"\r" in text:
            self._note(BARE_CR)
        self._line_ends = text.count(b"\n")
        self.bare_lf |= self._line_ends != block.count(b"\r\n")
        return text

    def _measure(self, text: bytes) -> bytes:
        """Count the octets handed on and watch the limits; give what may be handed on."""
        self.size += len(text) + self._line_ends if self._lf else len(text)
        if self._data_line:
            self._watch_lines(text)
        if self._message and self.size > self._message:
            self._note(TOO_BIG)
            return text[: max(0, len(text) - (self.size - self._message))]
        return text

    def _watch_lines(self, text: bytes) -> None:
        """Note a line of more than the limit, in jumps of that length."""
        limit = self._data_line - self._lf
        start = -self._column
        while len(text) - start > limit:
            end = text.rfind(b"\n", max(start, 0), start + limit)
            if end < 0:
                self._note(LONG_LINE)
                break
            start = end + 1
        end = text.rfind(b"\n")
        self._column = len(text) - (end + 1 if end >= 0 else start)


class Unstuffer(_Inspector):
    """Content after 354: finds its end, takes the doubled dots away.

    The start counts as the start of a line: the CRLF of the DATA command stands before it (RFC 5321, 4.1.1.4).
    """

    __slots__ = ("_first", "_held")

    def __init__(self, data_line: int = 0, message: int = 0, *, lf: bool = False) -> None:
        super().__init__(data_line, message, lf=lf)
        self._held = b"\r\n"
        self._first = True

    def feed(self, block: bytes) -> tuple[bytes, bytes | None]:
        """Take octets; give the content in them, and what comes after the end, or None while there is no end."""
        block = self._held + block
        dots = b"\r\n." in block
        end = block.find(TERMINATOR) if dots else -1
        if end >= 0:
            return self._hand_on(block[: end + 2], dots), block[end + len(TERMINATOR) :]
        keep = _unsure(block)
        self._held = block[len(block) - keep :]
        return self._hand_on(block[: len(block) - keep], dots), None

    def _hand_on(self, block: bytes, dots: bool) -> bytes:
        text = self._pass(block, unstuff=True, dots=dots)
        if self._first and text:
            self._first = False
            text = text[1 if self._lf else 2 :]
            self._line_ends -= 1
        return self._measure(text)


def _unsure(block: bytes) -> int:
    """How many octets at the end may belong to a line end or to the end of the content."""
    for tail in (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r", b"\n"):
        if block.endswith(tail):
            return len(tail)
    return 0


class Unchunker(_Inspector):
    """Content of the BDATs of one transaction."""

    __slots__ = ("_held",)

    def __init__(self, data_line: int = 0, message: int = 0, *, lf: bool = False) -> None:
        super().__init__(data_line, message, lf=lf)
        self._held = b""

    def feed(self, block: bytes) -> bytes:
        """Take octets of a chunk; give the content in them."""
        block = self._held + block
        self._held = b"\r" if block.endswith(b"\r") else b""
        return self._measure(self._pass(block[:-1] if self._held else block, unstuff=False))

    def end(self) -> bytes:
        """Give what was held back, once the last chunk is complete."""
        block, self._held = self._held, b""
        return self._measure(self._pass(block, unstuff=False))
