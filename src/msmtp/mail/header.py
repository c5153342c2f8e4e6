"""The header as fields, read from a stream in blocks of any size.

Where a header ends: at the first empty line, as in the C program, and not at the first line that is no field.  A
malformed line in the middle of a header stays where it is, and a ``Bcc`` below it is still found and taken out.  Only
the first line decides whether there is a header at all: a mail that does not begin with a field is all body.

Two things before the first field are no part of the mail: the ``From `` line that begins each mail of an mbox file, and
the same escaped, ``>From ``.  They are dropped if a field follows, since otherwise they may be the words of a body.

Carriage returns count for nothing in a header (the C program drops them too): what comes out ends its lines with LF.
"""

from __future__ import annotations

from msmtp.failures import MalformedMailFailure

LIMIT = 1 << 20
# RFC 5322, 2.2: printable, no colon.  8-bit names are wrong but harmless, and a byte order mark makes one.
NAME_BYTES = bytes(byte for byte in range(33, 127) if byte != ord(":")) + bytes(range(128, 256))
MBOX_LINES = (b"From ", b">From ")


class Field:
    """One field.

    ``name`` is in lower case, b"" for a malformed line; ``raw`` is all of it with its folds, each line ended by LF.
    """

    __slots__ = ("name", "raw")

    def __init__(self, name: bytes, raw: bytes) -> None:
        self.name = name
        self.raw = raw

    @property
    def value(self) -> bytes:
        """What stands behind the colon, folds and all."""
        return self.raw.partition(b":")[2]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Field) and (self.name, self.raw) == (other.name, other.raw)

    def __hash__(self) -> int:
        return hash((self.name, self.raw))

    def __repr__(self) -> str:
        return f"Field({self.name!r}, {self.raw!r})"


class HeaderReader:
    """Feed it blocks until it is ``done``; then ``rest`` holds what it has read of the body.

    ``separator`` is what stands, or has to stand, between header and body: LF, or nothing if there is no body.
    ``limit`` bounds the octets of the header and so the memory it takes; above it, MalformedMailFailure.
    """

    __slots__ = ("_buffer", "_field", "_mbox", "_searched", "_size", "_take", "done", "limit", "rest", "separator")

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.done = False
        self.rest = b""
        self.separator = b""
        self._buffer = bytearray()
        self._searched = 0  # so far the buffer holds no line end
        self._size = 0  # octets of the fields so far
        self._mbox = b""
        self._field: list[bytes] = []  # lines of the field that may go on
        self._take = self._first

    def feed(self, block: bytes) -> list[Field]:
        """Take one block; return the fields that it completed."""
        fields: list[Field] = []
        buffer = self._buffer
        buffer += block
        start = 0
        while not self.done and (end := buffer.find(b"\n", max(start, self._searched)) + 1):
            self._line(bytes(buffer[start:end]), fields)
            start = end
        del buffer[:start]
        self._searched = len(buffer)
        if not self.done and self._size + len(buffer) > self.limit:
            self._overflow(bytes(buffer))
            buffer.clear()
        if self.done:
            self.rest += buffer
            buffer.clear()
        return fields

    def close(self) -> list[Field]:
        """Say that the stream has ended; return the last field.  ``done`` holds afterwards."""
        fields: list[Field] = []
        if self._buffer:
            self._line(bytes(self._buffer), fields)
            self._buffer.clear()
        if self._mbox:
            self._body(b"")
        self._flush(fields)
        self.done = True
        return fields

    def _line(self, raw: bytes, fields: list[Field]) -> None:
        """Take one line (the last of a stream may lack its LF)."""
        if self._size + len(raw) > self.limit:
            self._overflow(raw)
        else:
            self._take(raw, raw.replace(b"\r", b"").rstrip(b"\n") + b"\n", fields)

    def _overflow(self, raw: bytes) -> None:
        """Give up on a header that is too long, unless its endless line turns out to be the body."""
        if self._field or _name(raw[: self.limit].replace(b"\r", b"")):
            raise MalformedMailFailure(
                f"the mail header is longer than {self.limit} bytes",
                hint="is the empty line missing that ends the header?",
            )
        self._body(raw)

    def _first(self, raw: bytes, line: bytes, fields: list[Field]) -> None:
        if line == b"\n":
            self._end(fields)
        elif _name(line):
            self._begin(raw, line)
        elif line.startswith(MBOX_LINES):
            self._mbox, self._take = raw, self._after_mbox
        else:
            self._body(raw)

    def _after_mbox(self, raw: bytes, line: bytes, fields: list[Field]) -> None:  # noqa: ARG002 - one of three that are called alike
        if _name(line):
            self._mbox = b""
            self._begin(raw, line)
        else:
            self._body(raw)

    def _next(self, raw: bytes, line: bytes, fields: list[Field]) -> None:
        if line == b"\n":
            self._end(fields)
        elif line[0] in b" \t":
            self._size += len(raw)
            self._field.append(line)
        else:
            self._flush(fields)
            self._begin(raw, line)

    def _begin(self, raw: bytes, line: bytes) -> None:
        self._size += len(raw)
        self._field.append(line)
        self._take = self._next

    def _flush(self, fields: list[Field]) -> None:
        if self._field:
            fields.append(Field(_name(self._field[0]), b"".join(self._field)))
            self._field.clear()

    def _end(self, fields: list[Field]) -> None:
        self._flush(fields)
        self.separator = b"\n"
        self.done = True

    def _body(self, raw: bytes) -> None:
        """There was no header: what was read is the body, and the line that parts them is missing."""
        self.rest = self._mbox + raw
        self._mbox = b""
        self.separator = b"\n"
        self.done = True


def _name(line: bytes) -> bytes:
    """Name of the field that begins on this line, in lower case; b"" if none does (RFC 5322, 3.6.8 and 4.5)."""
    name = line.partition(b":")[0].rstrip(b" \t") if b":" in line else b""
    return b"" if name.translate(None, NAME_BYTES) else name.lower()
