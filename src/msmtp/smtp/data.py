r"""The content of a mail between the program and the wire; the one place where line ends and dots are decided.

Out (:class:`Stuffer` for DATA, :class:`Chunker` for BDAT).  Whatever came in, what leaves has CRLF line ends and
nothing else: LF becomes CRLF; a CR that no LF follows becomes a space.  RFC 5321 (2.3.8) forbids to send it, servers
refuse it or, worse, take it for a line end, with which a mail could carry another one behind ``CR . CR``.  Postfix
sends a space in its place since 3.9, for the same reason; a line end instead would cut a header in two at ``CR CR
LF``.  The last line gets its CRLF if it has none, and a CR at the very end counts as one.

In (:class:`Unstuffer` for DATA, :class:`Unchunker` for BDAT).  Only CRLF.CRLF ends the content, in whatever pieces it
comes.  A bare LF is a line end that somebody wrote in short: it becomes CRLF, and a dot behind it is a stuffed dot;
with a dot alone between two of them it is *not* an end but an empty line.  A bare CR, a NUL, a line or a mail beyond
the limits is a defect: noted, and the content read on to its real end, so that nothing of it is ever taken for a
command.

Blocks are handled whole, by ``bytes.replace`` and ``find``; what a block's border cuts is held back until the next one
comes: a CR on the way out, on the way in whatever may become CRLF.CRLF.
"""

from __future__ import annotations

TERMINATOR = b"\r\n.\r\n"

# Defects; the server's REPLIES have the words.
BARE_CR = "bare CR"
NUL = "NUL"
LONG_LINE = "long line"
TOO_BIG = "too big"


def _without_pairs(block: bytes) -> bytes:
    """Make each CRLF a LF.

    To delete one octet is up to ten times as fast as to replace two; so that is done where every CR has its LF, and
    counting the pairs says whether they have.
    """
    text = block.replace(b"\r", b"")
    return text if len(block) - len(text) == block.count(b"\r\n") else block.replace(b"\r\n", b"\n")


class _LineEnds:
    """Any line ends in, LF out; a bare CR becomes a space.  A CR at the end of a block waits for the next."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = False

    def feed(self, block: bytes) -> bytes:
        if self.held:
            block = b"\r" + block
        self.held = block.endswith(b"\r")
        if self.held:
            block = block[:-1]
        if b"\r" in block:
            block = _without_pairs(block).replace(b"\r", b" ")
        return block


class Stuffer:
    """Content for DATA: CRLF line ends, leading dots doubled (RFC 5321, 4.5.2).

    ``lines``: how many LF were in the last block; None if there was a CR in it, or in front of it.
    """

    __slots__ = ("_line_ends", "_line_start", "lines")

    def __init__(self) -> None:
        self.lines: int | None = None
        self._line_ends = _LineEnds()
        self._line_start = True

    def feed(self, block: bytes) -> bytes:
        """Give what to send for a block; the blocks may be of any size."""
        text = self._line_ends.feed(block)
        self.lines = None
        if not text:
            return text
        untouched = text is block
        if self._line_start and text.startswith(b"."):
            text = b"." + text
        self._line_start = text.endswith(b"\n")
        sent = text.replace(b"\n", b"\r\n")
        if untouched:
            self.lines = len(sent) - len(text)
        # one octet is looked for several times as fast as two or three, and base64 has no dot
        if b"." in sent and b"\r\n." in sent:
            sent = sent.replace(b"\r\n.", b"\r\n..")
        return sent

    def end_line(self) -> bytes:
        """Give the last line's CRLF if it is missing."""
        return b"" if self._line_start and not self._line_ends.held else b"\r\n"

    def end(self) -> bytes:
        """Give the end of the content: the last line's CRLF if it is missing, and the dot."""
        return self.end_line() + b".\r\n"


class Chunker:
    """Content for BDAT: CRLF line ends, no dots doubled (RFC 3030, 2)."""

    __slots__ = ("_line_ends", "_line_start")

    def __init__(self) -> None:
        self._line_ends = _LineEnds()
        self._line_start = True

    def feed(self, block: bytes, last: bool) -> bytes:
        """Give a chunk for a block; it is complete with the last line's CRLF if ``last``."""
        text = self._line_ends.feed(block)
        if text:
            self._line_start = text.endswith(b"\n")
        if last and (self._line_ends.held or not self._line_start):
            text += b"\n"
        return text.replace(b"\n", b"\r\n")


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
        text = _without_pairs(block)
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
