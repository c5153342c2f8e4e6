"""The measures of a mail, taken block by block as it passes.

What decides whether a server can take it: 8-bit octets (RFC 6152), NUL and carriage returns on their own (RFC 5321,
2.3.8), lines beyond the limit of 4.5.3.1.6, and the size (RFC 1870, 5: octets as sent with CRLF at each line's end,
without dot-stuffing).  Every split of the stream gives the same measures.

Nothing here looks at single lines: a block of 64 KiB costs some passes of C code, and for the longest line a few dozen
leaps, each from the last line end within reach to the next.
"""

from __future__ import annotations

# RFC 5321, 4.5.3.1.6: 1000 octets with the line end.
LINE_LIMIT = 998
# Octets that the end of a mail adds, by its last one: the last line gets its CRLF, a CR there its LF (msmtp.smtp.data).
LAST_LINE = {b"": 0, b"\n": 0, b"\r": 1}


class Scan:
    """Feed it blocks, then read.  Properties may be read at any time, as if the mail ended there.

    ``has_8bit``, ``has_nul``, ``has_bare_cr``: whether there is such an octet.
    ``longest_line``: octets without the line end; exact if over ``line_limit``, otherwise ``line_limit``.
    ``size``: octets as sent, line ends being CRLF and the last line ended; ``log_size`` counts a line end as one.
    """

    __slots__ = ("_crlf", "_last", "_lf", "_line", "_longest", "_octets", "_returns", "has_8bit", "has_nul")

    def __init__(self, line_limit: int = LINE_LIMIT) -> None:
        self.has_8bit = False
        self.has_nul = False
        self._longest = line_limit
        self._octets = 0
        self._lf = 0
        self._crlf = 0
        self._returns = 0
        self._last = b""  # octet before the block
        self._line = 0  # octets of the line that is not ended yet

    def feed(self, block: bytes) -> None:
        """Measure one block."""
        if not block:
            return
        self.has_8bit = self.has_8bit or not block.isascii()
        self.has_nul = self.has_nul or b"\0" in block
        self._octets += len(block)
        self._lf += block.count(b"\n")
        if b"\r" in block or self._last == b"\r":
            self._crlf += block.count(b"\r\n") + (self._last == b"\r" and block[:1] == b"\n")
            self._returns += block.count(b"\r")
        self._measure(block)
        self._last = block[-1:]

    def _measure(self, block: bytes) -> None:
        """Look for a line longer than the longest: it has no line end among its first ``longest + 1`` octets."""
        start = -self._line  # where the line began, perhaps before the block
        while (reach := start + self._longest + 1) <= len(block):
            end = block.rfind(b"\n", max(start, 0), max(reach, 0))
            if end < 0:
                end = block.find(b"\n", max(reach, 0))
                if end < 0:
                    break
                before = block[end - 1 : end] if end else self._last
                self._longest = max(self._longest, end - start - (before == b"\r"))
            start = end + 1
        last = block.rfind(b"\n", max(start, 0))
        self._line = len(block) - (last + 1 if last >= 0 else start)

    @property
    def longest_line(self) -> int:
        """Octets of the longest line, or the limit if none is longer."""
        return max(self._longest, self._line - (self._last == b"\r"))

    @property
    def has_bare_cr(self) -> bool:
        """Whether a CR stands without its LF."""
        return self._returns - (self._last == b"\r") > self._crlf

    @property
    def size(self) -> int:
        """Octets as RFC 1870 counts them."""
        return self._octets + self._lf - self._crlf + LAST_LINE.get(self._last, 2)

    @property
    def log_size(self) -> int:
        """Octets with a line end counted as one, as the C program logs them."""
        return self._octets - self._crlf + (LAST_LINE.get(self._last, 2) > 1)
