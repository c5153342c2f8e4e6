"""Addresses out of what people and programs write: header fields and command-line arguments.

What comes out has no control character in it, and quotes only where RFC 5321, 4.1.2 wants them.
"""

from __future__ import annotations

from msmtp.mail.address_list import read_list
from msmtp.mail.characters import DOT_ATOM

PLAIN = DOT_ATOM + b"@"
BARE = PLAIN + b", \t\r\n"


def parse_addresses(text: bytes) -> list[bytes]:
    """Every address in ``text``, in its order, repeated ones repeated; never fails.

    ``text`` is the value of an address field (folded or not, several lines) or an argument.
    """
    if not text.translate(None, PLAIN):
        return [text] if text else []
    if not text.translate(None, BARE):
        items = [item.split() for item in text.split(b",")]
        if all(len(words) <= 1 for words in items):  # as programs write lists: thousands of addresses, nothing else
            return [word for words in items for word in words]
    return read_list(text)
