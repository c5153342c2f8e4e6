"""The mail on standard input, read to its end before anything is said to the server.

Why to its end: SIZE (RFC 1870), BODY=8BITMIME (RFC 6152) and SMTPUTF8 (RFC 6531) stand in MAIL, before the mail does; a
slow writer must not hold a connection open; and a mail whose writer dies is then never half on its way.

Why it costs no memory: the header is held (it is rewritten, and limited), the body is held up to MEMORY octets.  A
longer body stays where it is if standard input is a file, and goes to an unnamed file (open(2), O_TMPFILE) if it is a
pipe.  There it is stored as DATA wants it, line ends and dots done: they need not be looked at a second time, and what
travels is only read back.
"""

from __future__ import annotations

from msmtp.failures import FileFailure, SpoolFailure
from msmtp.mail.header import HeaderReader
from msmtp.mail.scan import Scan
from msmtp.smtp.data import Stuffer
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from msmtp.mail.header import Field

BLOCK = 65536  # octets a read or write
MEMORY = 4 * BLOCK  # octets of body held in memory
AGAIN = 31 * 4096  # octets a read of what was stored: large, but such as the C library reuses its memory for
POLLIN = 1  # the select module is not worth its import here
REGULAR = 0o100000  # S_IFREG: the stat module is not worth its import here
FORMAT = 0o170000  # S_IFMT


class Mail:
    """A mail: ``fields`` of its header as they came, ``separator`` of header and body, ``scan`` of its body."""

    __slots__ = ("body", "fields", "scan", "separator")

    def __init__(self, fields: list[Field], separator: bytes, scan: Scan, body: Body) -> None:
        self.fields = fields
        self.separator = separator
        self.scan = scan
        self.body = body

    def blocks(self) -> Iterator[bytes]:
        """The body, in blocks; may be asked for again."""
        return self.body.blocks()


class Body:
    """Octets in memory, in a file of ours, or in the file that standard input is.

    ``size``: how many; in a file of ours they are as DATA wants them (``stored``), else as they came.
    """

    __slots__ = ("_stuffer", "descriptor", "held", "origin", "size")

    def __init__(self) -> None:
        self.held: list[bytes] = []
        self.descriptor = -1
        self.origin = 0  # where in the file the body begins
        self.size = 0
        self._stuffer: Stuffer | None = None

    @property
    def stored(self) -> bool:
        """Whether it is in a file of ours."""
        return self._stuffer is not None

    def append(self, block: bytes) -> int | None:
        """Keep a block; how many LF are in it, if that is known and no CR is.  SpoolFailure: no room for it."""
        if self._stuffer is not None:
            self.store(self._stuffer.feed(block))
            return self._stuffer.lines
        self.held.append(block)
        self.size += len(block)
        if self.size > MEMORY:
            self.spill()
        return None

    def spill(self) -> None:
        """Move what is held from memory to an unnamed file."""
        self.descriptor = unnamed_file()
        self._stuffer = Stuffer()
        self.size = 0
        for block in self.held:
            self.store(self._stuffer.feed(block))
        self.held = []

    def store(self, octets: bytes) -> None:
        """Add to the unnamed file."""
        store(self.descriptor, octets)
        self.size += len(octets)

    def close(self) -> None:
        """Say that all has come: the last line of what is stored is ended."""
        if self._stuffer is not None:
            self.store(self._stuffer.end_line())

    def blocks(self) -> Iterator[bytes]:
        """All octets in order.  Raises FileFailure if the file cannot be read back whole."""
        if self.descriptor < 0:
            yield from self.held
            return
        offset, end = self.origin, self.origin + self.size
        size = AGAIN if self.stored else BLOCK
        while offset < end:
            try:
                block = os.pread(self.descriptor, min(size, end - offset), offset)
            except OSError as error:
                raise FileFailure(f"cannot read the mail: {error.strerror}") from error
            if not block:
                raise FileFailure(
                    "cannot read the mail: it became shorter while it was read",
                    hint="do not change the file that standard input comes from while msmtp runs",
                )
            offset += len(block)
            yield block


def read_mail(descriptor: int) -> Mail:
    """The mail on an open descriptor, read to its end.

    Raises FileFailure if it cannot be read, SpoolFailure if there is no room for it, and what HeaderReader raises.
    """
    reader, scan, body = HeaderReader(), Scan(), Body()
    start = seekable(descriptor)
    fields: list[Field] = []
    while block := read_block(descriptor):
        if not reader.done:
            fields += reader.feed(block)
            block = reader.rest if reader.done else b""
        if block:
            scan.feed(block, keep(body, block, descriptor, start))
    if not reader.done:
        fields += reader.close()
        if reader.rest:
            scan.feed(reader.rest)
            body.append(reader.rest)
    body.close()
    return Mail(fields, reader.separator, scan, body)


def keep(body: Body, block: bytes, descriptor: int, start: int) -> int | None:
    """Hold a block of the body; leave it where it is if it is in a file and there is much of it.

    The result is that of Body.append().
    """
    if start < 0 or body.size + len(block) <= MEMORY:
        return body.append(block)
    if body.descriptor < 0:
        body.origin = os.lseek(descriptor, 0, os.SEEK_CUR) - len(block) - body.size
        body.descriptor = descriptor
        body.held = []
    body.size += len(block)
    return None


def read_block(descriptor: int) -> bytes:
    """The next block of standard input, b"" at its end; waited for even if somebody has made it nonblocking."""
    try:
        while True:
            try:
                return os.read(descriptor, BLOCK)
            except BlockingIOError:
                wait_for_input(descriptor)
    except OSError as error:
        raise FileFailure(f"cannot read the mail from standard input: {error.strerror}") from error


def wait_for_input(descriptor: int) -> None:
    """Wait until there is something to read."""
    from select import poll

    readable = poll()
    readable.register(descriptor, POLLIN)
    readable.poll()


def seekable(descriptor: int) -> int:
    """Where a regular file stands now, or -1 for anything that cannot be read twice."""
    try:
        if os.fstat(descriptor).st_mode & FORMAT == REGULAR:
            return os.lseek(descriptor, 0, os.SEEK_CUR)
    except OSError:
        pass
    return -1


def unnamed_file() -> int:
    """A descriptor of a file that has no name and is gone with it, in $TMPDIR, /tmp or /var/tmp, else in memory."""
    for folder in (os.environ.get("TMPDIR"), "/tmp", "/var/tmp"):  # noqa: S108 - no name, so nobody can take it first
        if not folder:
            continue
        try:
            return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            continue
    try:
        return os.memfd_create("msmtp-mail", os.MFD_CLOEXEC)
    except OSError as error:
        raise SpoolFailure(
            f"cannot make a temporary file for the mail: {error.strerror}",
            hint="set TMPDIR to a folder with room for it",
        ) from error


def store(descriptor: int, block: bytes) -> None:
    """Write all of a block to a file of ours.  Raises SpoolFailure if there is no room for it."""
    try:
        write_all(descriptor, block)
    except OSError as error:
        raise SpoolFailure(
            f"cannot keep the mail in a temporary file: {error.strerror}",
            hint="make room there or set TMPDIR to a folder that has some",
        ) from error


def write_all(descriptor: int, block: bytes) -> None:
    """Write all of a block."""
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]
