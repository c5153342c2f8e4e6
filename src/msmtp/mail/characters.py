"""Kinds of octets that addresses and header fields are made of."""

from __future__ import annotations

ASCII_ATEXT = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~"
ATEXT = ASCII_ATEXT + bytes(range(128, 256))
"""What an atom is made of (RFC 5322, 3.2.3; RFC 6531, 3.3)."""

ASCII_DOT_ATOM = ASCII_ATEXT + b"."
DOT_ATOM = ATEXT + b"."

CONTROLS = bytes(range(32)) + b"\x7f"
