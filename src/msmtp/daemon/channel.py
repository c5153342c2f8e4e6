"""Channels between the daemon's processes: messages of a fixed shape, descriptors along with them.

A channel is a pair of connected unix sockets of the kind SOCK_SEQPACKET: a message arrives whole or not at all, and
who holds the other end needs no name.  What a process may ask is a row of ``requests.REQUESTS``; a message that is of
no row permitted now, or not of its row's shape, is junk: whoever sent it is not what it seems, and is hung up on.

A message is an octet with the number of its row, then the fields, in the order of the row:

    number     8 octets, unsigned, big-endian
    octets     4 octets of length, big-endian, and as many octets; no more than the row allows
    many       4 octets of length of all, then octets after octets as above; the row limits each, the message all

Nothing is ever parsed by looking for an end.
"""

from __future__ import annotations

import _socket
import errno
import struct
import sys

from msmtp.failures import ChannelFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from typing import Final

    from msmtp.daemon.requests import Request

MESSAGE_LIMIT: Final = 65_536
"""Octets of one message at most; a socket's default buffer takes three."""

_ORDER = sys.byteorder
_DESCRIPTORS = 4  # no message brings more
_NUMBER, _LENGTH = struct.Struct(">Q"), struct.Struct(">I")
_ANCILLARY = _socket.CMSG_SPACE(_DESCRIPTORS * 4)

_PASSING = (errno.ENOMEM, errno.ENOBUFS, errno.ETOOMANYREFS)

NUMBER, OCTETS, MANY = "number", "octets", "many"


class Message:
    """What came: ``name`` of the row, ``values`` by field, ``descriptors`` that came along, now the receiver's own."""

    __slots__ = ("descriptors", "name", "values")

    def __init__(self, name: str, values: dict[str, object], descriptors: tuple[int, ...] = ()) -> None:
        self.name = name
        self.values = values
        self.descriptors = descriptors

    def number(self, field: str) -> int:
        """Value of a field that is a number."""
        value = self.values[field]
        assert isinstance(value, int)
        return value

    def octets(self, field: str) -> bytes:
        """Value of a field that is octets."""
        value = self.values[field]
        assert isinstance(value, bytes)
        return value

    def many(self, field: str) -> list[bytes]:
        """Value of a field that is many octets."""
        value = self.values[field]
        assert isinstance(value, list)
        return value

    def close(self) -> None:
        """Close the descriptors that came along."""
        for descriptor in self.descriptors:
            os.close(descriptor)

    def __repr__(self) -> str:
        return f"Message({self.name!r}, {len(self.descriptors)} descriptors)"  # values may be secrets


class Channel:
    """One end.  Blocking, unless ``set_blocking(False)`` was said; then BlockingIOError is raised where it would."""

    __slots__ = ("_socket",)

    def __init__(self, descriptor: int) -> None:
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, descriptor)

    def fileno(self) -> int:
        """Number of the descriptor, -1 once it is closed."""
        return self._socket.fileno()

    def set_blocking(self, blocking: bool) -> None:
        """As the word says."""
        self._socket.setblocking(blocking)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def end(self) -> None:
        """Say that nothing more comes; the other end may still say something."""
        try:
            self._socket.shutdown(_socket.SHUT_WR)
        except OSError:  # nobody is there, or it is closed
            return

    def detach(self) -> int:
        """Give the descriptor away, to be passed on."""
        return self._socket.detach()

    def send(self, request: Request, *values: object, descriptors: Sequence[int] = (), wait: bool = True) -> None:
        """Send a message; descriptors are copied, not given away.

        Raises ChannelGone if nobody holds the other end, BlockingIOError if its buffer is full and the channel does
        not block (or ``wait`` is off), or if the kernel has no room, ValueError for what the row does not allow.
        """
        data = encode(request, values)
        if len(descriptors) != request.descriptors:
            raise ValueError(f"{request.name} brings {request.descriptors} descriptors")
        flags = _socket.MSG_NOSIGNAL if wait else _socket.MSG_NOSIGNAL | _socket.MSG_DONTWAIT
        rights = b"".join([number.to_bytes(4, _ORDER) for number in descriptors])
        try:
            if rights:
                self._socket.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)], flags)
            else:
                self._socket.send(data, flags)  # a confined worker has no sendmsg(2), so that it can pass nothing on
        except (BrokenPipeError, ConnectionError):
            raise ChannelGone("the other end of a channel is closed") from None
        except OSError as error:
            raise _not_now(error) from None

    def receive(self, permitted: Collection[Request]) -> Message:
        """Take the next message, one of ``permitted``.

        Raises ChannelGone at the end, ChannelShort if there was no room for what came along, ChannelFailure for junk
        (its descriptors are closed), BlockingIOError if there is none and the channel does not block.
        """
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(MESSAGE_LIMIT, _ANCILLARY, _socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            raise ChannelGone("the other end of a channel is closed") from None
        except OSError as error:
            raise _not_now(error) from None
        descriptors = _descriptors(ancillary)
        try:
            return _message(data, flags, descriptors, permitted)
        except ChannelFailure:
            for descriptor in descriptors:
                os.close(descriptor)
            raise


def _message(data: bytes, flags: int, descriptors: tuple[int, ...], permitted: Collection[Request]) -> Message:
    """Check what came.  Raises ChannelFailure."""
    if flags & _socket.MSG_TRUNC:
        raise ChannelFailure("a message on a channel is too large")
    if flags & _socket.MSG_CTRUNC:
        raise ChannelShort("the descriptors of a message on a channel could not be taken")
    if not data and not descriptors:
        raise ChannelGone("the other end of a channel is closed")
    request, values = decode(data, permitted)
    if len(descriptors) != request.descriptors:
        raise ChannelFailure(f"{request.name} came with {len(descriptors)} descriptors")
    return Message(request.name, values, descriptors)


def _not_now(error: OSError) -> OSError:
    """What passes (the kernel has no memory, or too many descriptors on their way) is like a buffer that is full."""
    return BlockingIOError(error.errno, error.strerror) if error.errno in _PASSING else error


class ChannelGone(ChannelFailure):
    """Nobody holds the other end."""


class ChannelShort(ChannelFailure):
    """More descriptors came along than this process may have; the message is lost, those behind it are not."""


def pair() -> tuple[int, int]:
    """Make a channel; give the descriptors of its two ends."""
    one, other = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    return one.detach(), other.detach()


def encode(request: Request, values: Sequence[object]) -> bytes:
    """Put a message together.  ValueError for what the row does not allow: a mistake of the sender's."""
    if len(values) != len(request.fields):
        raise ValueError(f"{request.name} has {len(request.fields)} fields")
    parts = [bytes((request.number,))]
    for (name, kind, limit), value in zip(request.fields, values, strict=True):
        if kind == NUMBER and isinstance(value, int) and 0 <= value < 1 << 64:
            parts.append(_NUMBER.pack(value))
        elif kind == OCTETS and isinstance(value, bytes) and len(value) <= limit:
            parts.append(_LENGTH.pack(len(value)) + value)
        elif kind == MANY and isinstance(value, (list, tuple)) and all(len(each) <= limit for each in value):
            packed = b"".join([_LENGTH.pack(len(each)) + each for each in value])
            parts.append(_LENGTH.pack(len(packed)) + packed)
        else:
            raise ValueError(f"{request.name} cannot have this as its {name}")
    data = b"".join(parts)
    if len(data) > MESSAGE_LIMIT:
        raise ValueError(f"{request.name} is too large for one message")
    return data


def decode(data: bytes, permitted: Collection[Request]) -> tuple[Request, dict[str, object]]:
    """Take a message apart.  Raises ChannelFailure for junk."""
    request = next((row for row in permitted if data[:1] == bytes((row.number,))), None)
    if request is None:
        raise ChannelFailure("a message on a channel is of no kind that is permitted")
    values: dict[str, object] = {}
    at = 1
    try:
        for name, kind, limit in request.fields:
            if kind == NUMBER:
                values[name] = _NUMBER.unpack_from(data, at)[0]
                at += _NUMBER.size
                continue
            octets, at = _octets(data, at, limit if kind == OCTETS else MESSAGE_LIMIT)
            values[name] = octets if kind == OCTETS else list(_several(octets, limit))
    except (struct.error, ValueError):
        raise ChannelFailure(f"{request.name} is not of its shape") from None
    if at != len(data):
        raise ChannelFailure(f"{request.name} is not of its shape")
    return request, values


def _octets(data: bytes, at: int, limit: int) -> tuple[bytes, int]:
    length = _LENGTH.unpack_from(data, at)[0]
    at += _LENGTH.size
    if length > limit or at + length > len(data):
        raise ValueError
    return data[at : at + length], at + length


def _several(data: bytes, limit: int) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        octets, at = _octets(data, at, limit)
        yield octets


def _descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> tuple[int, ...]:
    """Numbers of the descriptors that came along."""
    numbers: list[int] = []
    for level, kind, data in ancillary:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            whole = data[: len(data) - len(data) % 4]
            numbers += [int.from_bytes(whole[at : at + 4], _ORDER) for at in range(0, len(whole), 4)]
    return tuple(numbers)
