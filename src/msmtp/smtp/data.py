r"""The content of a mail on its way out, where line ends and dots are decided.  :mod:`msmtp.smtp.incoming`: the way in.

:class:`Stuffer` for DATA, :class:`Chunker` for BDAT.  Whatever came in, what leaves has CRLF line ends and nothing
else: LF becomes CRLF; a CR that no LF follows becomes a space.  RFC 5321 (2.3.8) forbids to send it, servers
refuse it or, worse, take it for a line end, with which a mail could carry another one behind ``CR . CR``.  Postfix
sends a space in its place since 3.9, for the same reason; a line end instead would cut a header in two at ``CR CR
LF``.  The last line gets its CRLF if it has none, and a CR at the very end counts as one.

Blocks are handled whole, by ``bytes.replace`` and ``find``; a CR at a block's border is held back until the next one
comes.
"""

from __future__ import annotations


def without_pairs(block: bytes) -> bytes:
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
            block = without_pairs(block).replace(b"\r", b" ")
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
