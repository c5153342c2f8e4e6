"""A secret: octets that do not print.

Nothing shows it but ``reveal``: not str, repr or format, not pickle or copy.  It is wiped when it is let go, as far as
Python can: what ``reveal`` gave away is bytes, and those live as long as somebody holds them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Secret:
    """A password, a token or whatever else a command printed."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes | bytearray) -> None:
        self._octets = bytearray(octets)

    def reveal(self) -> bytes:
        """The octets."""
        return bytes(self._octets)

    def wipe(self) -> None:
        """Overwrite the octets; from now on the secret is empty."""
        self._octets[:] = bytes(len(self._octets))
        self._octets.clear()

    def __bool__(self) -> bool:
        return bool(self._octets)

    def __repr__(self) -> str:
        return "*"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not copied, pickled or sent anywhere")

    def __del__(self) -> None:
        self.wipe()
