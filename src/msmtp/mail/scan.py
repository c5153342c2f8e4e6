"""The measures of a mail, taken block by block as it passes.

What decides whether a server can take it: 8-bit octets (RFC 6152), and the size (RFC 1870, 5: octets as sent with CRLF
at each line's end, without dot-stuffing).  Every split of the stream gives the same measures.

Nothing here looks at single lines: a block of 64 KiB costs four passes of C code.
"""

from __future__ import annotations

# Octets that the end of a mail adds, by its last one: the last line gets its CRLF, a CR there its LF (msmtp.smtp.data).
LAST_LINE = {b"": 0, b"\n": 0, b"\r": 1}


class Scan:
    """Feed it blocks, then read.  Properties may be read at any time, as if the mail ended there.

    ``has_8bit``: whether there is such an octet.
    ``size``: octets as sent, line ends being CRLF and the last line ended; ``log_size`` counts a line end as one.
    """

    __slots__ = ("_crlf", "_last", "_lf", "_octets", "has_8bit")

    def __init__(self) -> None:
        self.has_8bit = False
        self._octets = 0
        self._lf = 0
        self._crlf = 0
        self._last = b""  # octet before the block

    def feed(self, block: bytes, lines: int | None = None) -> None:
        """Measure one block.  ``lines``: how many LF are in it, if somebody has counted them and seen no CR."""
        if not block:
            return
        self.has_8bit = self.has_8bit or not block.isascii()
        self._octets += len(block)
        if lines is None:
            # bytes.count looks at every octet; replace leaps from one to the next with memchr(3), in half the time
            lines = len(block.replace(b"\n", b"\r\n")) - len(block)
            if b"\r" in block or self._last == b"\r":
                self._crlf += block.count(b"\r\n") + (self._last == b"\r" and block[:1] == b"\n")
        self._lf += lines
        self._last = block[-1:]

    @property
    def size(self) -> int:
        """Octets as RFC 1870 counts them."""
        return self._octets + self._lf - self._crlf + LAST_LINE.get(self._last, 2)

    @property
    def log_size(self) -> int:
        """Octets with a line end counted as one, as the C program logs them."""
        return self._octets - self._crlf + (LAST_LINE.get(self._last, 2) > 1)
