"""xtext, in which the parameters ENVID, ORCPT and AUTH carry any octets (RFC 3461, 4; RFC 4954, 5).

Printable ASCII other than ``+`` and ``=`` stands for itself, every other octet is ``+`` and two upper-case hex digits.
"""

from __future__ import annotations

_HEX = b"0123456789ABCDEF"
_PLAIN = bytes(octet for octet in range(0x21, 0x7F) if octet not in b"+=")


def encode(text: bytes) -> bytes:
    """Give any octets as xtext."""
    if not text.translate(None, _PLAIN):
        return text
    return b"".join(b"%c" % octet if octet in _PLAIN else b"+%02X" % octet for octet in text)


def decode(text: bytes) -> bytes:
    """Give the octets that xtext stands for.  Raises ValueError if it is not xtext."""
    first, *rest = text.split(b"+")
    decoded = first
    for part in rest:
        digits = part[:2]
        if len(digits) != 2 or digits.translate(None, _HEX):  # noqa: PLR2004 - two hex digits
            raise ValueError("not xtext")
        decoded += bytes((int(digits, 16),)) + part[2:]
    if b"".join((first, *rest)).translate(None, _PLAIN):
        raise ValueError("not xtext")
    return decoded
