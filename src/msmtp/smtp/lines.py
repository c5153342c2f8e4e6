r"""LineBuffer: bytes arrive in any pieces, lines leave whole; what was searched once is not searched again.

A line ends in LF; what stands before it, a CR included, is the line.  Whether the CR must be there is for the caller to
say, because the two sides differ:

* The client takes a reply line that ends in a bare LF, as Postfix, Exim, sendmail, curl and the C program do: there are
  home-made servers and LMTP scripts that send them, and nothing can be smuggled into a client, which acts on replies
  in the order of its own commands and ends the session when there is one too many.
* The server is told by its user (``strict``), because a bare LF in a *command* is harmless; in the end of a mail it is
  not, but the mail's content does not pass through here (see :mod:`msmtp.smtp.incoming`).
"""

from __future__ import annotations


class LineTooLong(Exception):  # noqa: N818 - not an error of the program: a fact about the peer
    """A line has more octets than ``limit``.  ``start``: its first octets."""

    def __init__(self, start: bytes) -> None:
        super().__init__()
        self.start = start


class LineBuffer:
    """Bytes in (:meth:`feed`), lines out (:meth:`next_line`).

    Octets that come to an empty buffer are kept as they came, and given out so by :meth:`take`: the content of a mail
    passes through without being copied.
    """

    __slots__ = ("_at", "_buffer", "_searched")

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        self._searched = 0

    def __len__(self) -> int:
        return len(self._buffer) - self._at

    def feed(self, data: bytes) -> None:
        """Take octets as they came."""
        if self._at == len(self._buffer):
            self._buffer, self._at, self._searched = bytes(data), 0, 0
            return
        self._buffer = self._buffer[self._at :] + data
        self._searched = max(0, self._searched - self._at)
        self._at = 0

    def next_line(self, limit: int) -> bytes | None:
        """Give the next line without its LF, or None until it is whole.  Raises LineTooLong beyond ``limit`` octets.

        Whether the line came whole or in pieces, the same line is too long: an unfinished one as soon as it has
        ``limit`` octets and no LF among them.
        """
        start = self._at
        end = self._buffer.find(b"\n", max(start, self._searched), start + limit)
        if end < 0:
            if len(self) >= limit:
                raise LineTooLong(self._buffer[start : start + limit])
            self._searched = len(self._buffer)
            return None
        self._at = end + 1
        self._searched = 0
        return self._buffer[start:end]

    def peek(self, size: int) -> bytes:
        """Look at the first ``size`` octets."""
        return self._buffer[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """Take at most ``size`` octets off the front."""
        block = self._buffer[self._at : self._at + size]
        self._at += len(block)
        return block
