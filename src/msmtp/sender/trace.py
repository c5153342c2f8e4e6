"""--debug: the conversation on standard output, ``<--`` what came and ``-->`` what went, line by line.

Nothing is left out, passwords neither: that is what the manual promises and warns of.
"""

from __future__ import annotations

from msmtp.sender.report import write_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Trace:
    """Collects octets into lines and prints them."""

    __slots__ = ("partial",)

    def __init__(self) -> None:
        self.partial = b""

    def sent(self, octets: bytes) -> None:
        """Print what went to the server; a line that is not complete waits for its rest."""
        lines = (self.partial + octets).split(b"\n")
        self.partial = lines.pop()
        for line in lines:
            show(b"--> " + line.removesuffix(b"\r"))

    def received(self, lines: Iterable[bytes]) -> None:
        """Print the lines of a reply."""
        for line in lines:
            show(b"<-- " + line)


def show(line: bytes) -> None:
    """One line on standard output, octets untouched."""
    write_out(line + b"\n")
