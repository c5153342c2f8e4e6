"""The header of the PROXY protocol: a proxy's word for who connected, before anything that the client says.

The protocol is HAProxy's ("The PROXY protocol", versions 1 and 2).  Version 2 is read: 16 octets, which say how many
follow, then the addresses, then fields that nobody needs here (TLVs).  Version 1, a line of text that has to be looked
for its end, is refused with words: every proxy that speaks it can be told to speak version 2.

    14 octets   the signature (12), version and command (1), family and transport (1)
     2 octets   how many octets follow
    ...         source and destination address, source and destination port; fields

A header is taken from those only that an option names, from whom it must come: to guess would let any client choose
its address.
"""

from __future__ import annotations

import _socket
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
HEAD = 16  # octets
MOST = 4_096  # octets behind the head; the addresses take at most 216, the fields of real proxies a few hundred

_LENGTH = struct.Struct(">H")
_LOCAL, _PROXY = 0x20, 0x21  # version and command
_UNSPECIFIED, _INET, _INET6, _UNIX = 0x00, 0x10, 0x20, 0x30  # family, upper half of the octet
_ANY, _STREAM = 0, 1  # transport, lower half

# Octets of the addresses by family: the address family, and how many an address has.
_ADDRESSES = {_INET: (_socket.AF_INET, 4), _INET6: (_socket.AF_INET6, 16)}
_UNIX_PATHS = 216

_MAPPED = bytes(10) + b"\xff\xff"  # before an IPv4 address in an IPv6 address (RFC 4291, 2.5.5.2)


class BadHeader(ValueError):  # noqa: N818 - a fact about the peer
    """What came is no header that is read here; the text says why, and quotes nothing."""


class Proxied:
    """Who connected to the proxy: ``address`` and ``port``; and ``local``, the address that they connected to."""

    __slots__ = ("address", "local", "port")

    def __init__(self, address: bytes, port: int, local: bytes) -> None:
        self.address = address
        self.port = port
        self.local = local

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxied) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"Proxied({self.address!r}, {self.port}, {self.local!r})"


def remaining(head: bytes) -> int:
    """How many octets follow the first HEAD ones.  Raises BadHeader."""
    if head.startswith(b"PROXY "):
        raise BadHeader("PROXY protocol version 1, only version 2 is read")
    if len(head) < HEAD or not head.startswith(SIGNATURE):
        raise BadHeader("no PROXY protocol header")
    if head[12] not in {_LOCAL, _PROXY}:
        raise BadHeader("PROXY protocol header of another version, or with an unknown command")
    length: int = _LENGTH.unpack_from(head, 14)[0]
    if length > MOST:
        raise BadHeader(f"PROXY protocol header with {length} octets of addresses and fields, at most {MOST} are read")
    return length


def parse(head: bytes, rest: bytes) -> Proxied | None:
    """Read a header, in two parts as they were received.

    None if it names nobody, so that whoever connected is the peer: the proxy speaks for itself (LOCAL: it looks whether
    this server is well), or does not know (UNSPEC), or its client came by a unix socket.  Raises BadHeader.
    """
    if remaining(head) != len(rest):
        raise BadHeader("PROXY protocol header is cut short")
    family, transport = head[13] & 0xF0, head[13] & 0x0F
    if head[12] == _LOCAL or family == _UNSPECIFIED:
        return None
    if transport not in {_ANY, _STREAM}:
        raise BadHeader("PROXY protocol header for another transport than TCP")
    if family == _UNIX and len(rest) >= _UNIX_PATHS:
        return None
    if family not in _ADDRESSES:
        raise BadHeader("PROXY protocol header of an unknown family, or too short for its addresses")
    number, size = _ADDRESSES[family]
    if len(rest) < 2 * size + 4:
        raise BadHeader("PROXY protocol header is too short for its addresses")
    source, destination = rest[:size], rest[size : 2 * size]
    port: int = _LENGTH.unpack_from(rest, 2 * size)[0]
    return Proxied(_text(number, source), port, _text(number, destination))


def _text(family: int, packed: bytes) -> bytes:
    """An address as text; an IPv4 address that was mapped into IPv6 is one of IPv4 again."""
    if packed.startswith(_MAPPED) and len(packed) == 16:  # noqa: PLR2004 - octets of an IPv6 address
        family, packed = _socket.AF_INET, packed[len(_MAPPED) :]
    return _socket.inet_ntop(family, packed).encode()
