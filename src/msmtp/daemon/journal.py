"""Journal: what the daemon says of itself, to a file, standard output, syslog or systemd's journal, from any process.

It is opened once, before the first fork and before anybody is confined; from then on a record is one system call on a
descriptor that is there, so that it works in every role: write(2) to the file, send(2) to the log daemon's socket.
Nothing that is logged is believed: a text is one line, without what a terminal would obey, of RECORD_LIMIT octets at
most, and each is an argument, never a format.  A log that cannot be written to stops no mail; what was lost is counted.

The two log daemons are spoken to directly, each by a datagram that does not block.  The C library's syslog() and
systemd's library would connect when the first record comes, which a confined process may not; both wait for a log
daemon that hangs; systemd's, when its socket is full, makes a memory file, which ends a confined process, and it sends
with sendmsg(2), which a worker may not either.  systemd promises that its protocol stays as it is
(https://systemd.io/JOURNAL_NATIVE_PROTOCOL), and a test compares with what its library sends.

Standard output is opened anew where it can be, so that to have it not block changes nothing for others who hold it: a
container's engine that does not read loses records, not mails.

A log daemon that starts again has a new socket under the old name.  The processes share one socket, so it is enough
that one of them connects it again: whoever may, does so when a record is refused, and the keeper now and then
(``mend``).
"""

from __future__ import annotations

import _socket
import time

from msmtp.daemon.places import open_file, trusted_users
from msmtp.failures import ConfigFailure, Failure, shown
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Final

    from msmtp.config.daemon_settings import Settings

ERROR, WARNING, NOTICE, INFO, DEBUG = 3, 4, 5, 6, 7
"""Priorities, as syslog numbers them."""

RECORD_LIMIT: Final = 1_024
"""Octets of a text at most."""

JSON_LIMIT: Final = 4_096
"""Octets of a record in JSON at most: what a pipe takes whole or not at all (PIPE_BUF)."""

SYSLOG, SYSTEMD = "/dev/log", "/run/systemd/journal/socket"

BURST, PERIOD = 20, 10.0
"""So many records of one kind from one session in so many seconds; what is more is dropped and counted."""

_LOG_MAIL = 2  # the facility
_KINDS_REMEMBERED = 1_024  # by a process
_MEND_SECONDS = 1.0
_FILE_MODE = 0o640


class Journal:
    """Where records go.  ``failures``: records that could not be written; ``dropped``: those above the rate."""

    __slots__ = ("_descriptor", "_mended", "_recent", "_socket", "dropped", "failures", "kind", "path")

    def __init__(self, kind: str = "none", path: str = "", descriptor: int = -1) -> None:
        self.kind = kind
        self.path = path
        self._descriptor = descriptor
        self._socket = connected_to(path) if kind in _ENCODERS else None
        self._recent: dict[tuple[object, str], _Rate] = {}
        self._mended = time.monotonic()
        self.failures = 0
        self.dropped = 0

    def descriptors(self) -> tuple[int, ...]:
        """What a process has to keep open to write to it."""
        numbers = (self._descriptor, self._socket.fileno() if self._socket else -1)
        return tuple([number for number in numbers if number >= 0])

    def close(self) -> None:
        """Write no more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        if self._socket:
            self._socket.close()
        self.kind, self._descriptor, self._socket = "none", -1, None

    def reopen(self, settings: Settings, users: Collection[int] = ()) -> None:
        """Open what the settings name now (a file that was rotated, too); for the keeper, before a new generation.

        Raises ConfigFailure as :func:`open_journal`; then all is as it was.
        """
        other = open_journal(settings, users)
        self.close()
        self.kind, self.path = other.kind, other.path
        self._descriptor, self._socket = other._descriptor, other._socket  # noqa: SLF001 - of this class

    def write(self, priority: int, event: str, text: str, **fields: object) -> None:
        """Write one record.  ``fields``, str, bytes or numbers, go along where records have fields (systemd's journal).

        Raises nothing and waits for nobody.
        """
        if self.kind == "none":
            return
        try:
            dropped = self._rate(fields.get("session"), event)
            if dropped >= 0:
                said = line(f"{text} ({dropped} more of these were dropped)" if dropped else text)
                self._put(priority, event, said, {**fields, "dropped": dropped} if dropped else fields)
        except Exception:  # noqa: BLE001 - whatever is wrong with a log, the mail goes on
            self.failures += 1

    def _rate(self, session: object, event: str) -> int:
        """How many were dropped before this one, -1 if this one is to be dropped."""
        now = time.monotonic()
        rate = self._recent.get((session, event))
        if rate is None:
            self._forget_old(now)
            rate = self._recent[session, event] = _Rate(now)
        if now - rate.since >= PERIOD:
            rate.since, rate.count = now, 0
        rate.count += 1
        if rate.count > BURST:
            rate.dropped += 1
            self.dropped += 1
            return -1
        dropped, rate.dropped = rate.dropped, 0
        return dropped

    def _forget_old(self, now: float) -> None:
        """Forget who has been silent for a period and of whom nothing is to be told; anybody, if there are too many.

        Whoever comes to be remembered looks at two, in turn, so those that ended go as fast as others come.
        """
        for _ in range(min(2, len(self._recent))):
            key = next(iter(self._recent))
            rate = self._recent.pop(key)
            silent = now - rate.since >= PERIOD and not rate.dropped
            if not silent and len(self._recent) < _KINDS_REMEMBERED - 1:
                self._recent[key] = rate

    def settle(self, session: int) -> int:
        """Forget a session that ended; how many of its records were dropped and not told of yet."""
        keys = [key for key in self._recent if key[0] == session]
        return sum([self._recent.pop(key).dropped for key in keys])

    def _put(self, priority: int, event: str, text: bytes, fields: dict[str, object]) -> None:
        encode = _ENCODERS.get(self.kind)
        if self._socket and encode:
            self._send(encode(priority, event, text, fields))
            return
        record = (_json if self.kind == "json" else _plain)(priority, event, text, fields)
        if os.write(self._descriptor, record) != len(record):
            self.failures += 1

    def _send(self, record: bytes) -> None:
        assert self._socket
        try:
            self._socket.send(record, _socket.MSG_NOSIGNAL)
        except (ConnectionError, OSError) as error:
            if isinstance(error, BlockingIOError) or not self.mend():
                raise
            self._socket.send(record, _socket.MSG_NOSIGNAL)

    def mend(self, patience: float = _MEND_SECONDS) -> bool:
        """Connect to the log daemon anew, for all processes that share the socket; False where that is not to be had.

        At most once in ``patience`` seconds; for the keeper to call from time to time.
        """
        now = time.monotonic()
        if not self._socket or now - self._mended < patience:
            return False
        self._mended = now
        try:
            self._socket.connect(self.path)
        except OSError:
            return False
        return True


class _Rate:
    """Records of one kind of one session, ``since`` a moment of CLOCK_MONOTONIC."""

    __slots__ = ("count", "dropped", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.count = 0
        self.dropped = 0


def open_journal(settings: Settings, users: Collection[int] = ()) -> Journal:
    """Open what ``settings.log`` names.  ``users``: numbers of those that the daemon becomes, who may own the file.

    Raises ConfigFailure for a file that cannot be opened, or is not to be trusted.  A log daemon that is not there is
    said on standard error, and looked for again later.
    """
    time.tzset()  # before the sandbox keeps the file away
    time.localtime()
    kind = settings.log
    if kind == "none":
        return Journal()
    if kind in ON_STDOUT:
        return Journal(kind, "", _standard_output())
    if kind not in _PATHS:
        flags = os.O_WRONLY | os.O_APPEND
        return Journal("file", kind, open_file(kind, flags, _FILE_MODE, trusted_users(users)))
    journal = Journal(kind, _PATHS[kind])
    if not journal.mend(0.0):
        complain(f"no log daemon is at {journal.path}: nothing is logged until there is one")
    return journal


def _standard_output() -> int:
    """A descriptor of its own that leads there and does not block; one that may, where it cannot be opened anew."""
    try:
        return os.open("/proc/self/fd/1", os.O_WRONLY | os.O_APPEND | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # it is a socket, or belongs to somebody else
        pass
    try:
        return os.dup(1)
    except OSError as error:
        raise ConfigFailure(f"standard output is closed: {error.strerror}", hint="choose another --log") from None


def connected_to(path: str) -> _socket.socket:
    """A socket for datagrams that waits for nobody, connected to ``path`` if anybody is there."""
    made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    made.setblocking(False)
    try:
        made.connect(path)
    except OSError:
        pass
    return made


def line(text: str | bytes) -> bytes:
    """A text as it is logged: one line, printable, of RECORD_LIMIT octets at most."""
    octets = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
    said = shown(octets, RECORD_LIMIT).encode()
    return said if len(said) <= RECORD_LIMIT else said[: RECORD_LIMIT - 3].decode("utf-8", "ignore").encode() + b"..."


def _plain(priority: int, _event: str, text: bytes, _fields: dict[str, object]) -> bytes:
    """A line for people."""
    level = b"error" if priority <= ERROR else b"info"
    moment = time.strftime("%Y-%m-%d %H:%M:%S").encode()
    return b"%b msmtpd[%d] %b: %b\n" % (moment, os.getpid(), level, text)


def _json(priority: int, event: str, text: bytes, fields: dict[str, object]) -> bytes:
    """An object in a line (RFC 8259).  Fields that would make it too long are left out."""
    now = time.time()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)).encode() + b".%03dZ" % (now % 1 * 1000)
    parts = [
        b'{"time":"%b","level":"%b","pid":%d' % (moment, LEVELS[priority], os.getpid()),
        b'"event":%b' % _quoted(event),
        b'"message":%b' % _quoted(text),
    ]
    size = sum(map(len, parts)) + len(parts) + 1
    for name, value in fields.items():
        if value is None:
            continue
        is_number = isinstance(value, int) or name in _DECIMALS
        part = b'"%b":%b' % (name.encode(), str(value).encode() if is_number else _quoted(value))
        size += len(part) + 1
        if size > JSON_LIMIT:
            break
        parts.append(part)
    return b",".join(parts) + b"}\n"


def _quoted(value: object) -> bytes:
    """A string of JSON; :func:`line` has left nothing in it that needs another escape."""
    octets = line(value if isinstance(value, (str, bytes)) else str(value))
    return b'"%b"' % octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


LEVELS = {ERROR: b"error", WARNING: b"warning", NOTICE: b"notice", INFO: b"info", DEBUG: b"debug"}
"""What a priority is called in JSON."""

_DECIMALS = frozenset({"seconds", "delay", "again_in"})  # fields that events.py writes as decimal numbers


def _syslog(priority: int, _event: str, text: bytes, _fields: dict[str, object]) -> bytes:
    """As the C library's syslog() writes it."""
    moment = time.strftime("%b %e %H:%M:%S").encode()
    return b"<%d>%b msmtpd[%d]: %b" % (_LOG_MAIL << 3 | priority, moment, os.getpid(), text)


def _systemd(priority: int, event: str, text: bytes, fields: dict[str, object]) -> bytes:
    """Put it into systemd's native protocol: each value has its length before it, so none can hold a further field."""
    all_of_it = {
        "MESSAGE": text,
        "PRIORITY": b"%d" % priority,
        "SYSLOG_IDENTIFIER": b"msmtpd",
        "SYSLOG_FACILITY": b"%d" % _LOG_MAIL,
        "SYSLOG_PID": b"%d" % os.getpid(),
        "MSMTPD_EVENT": event.encode(),
    }
    for name, value in fields.items():
        if value is not None:
            all_of_it[f"MSMTPD_{name.upper()}"] = line(value if isinstance(value, (str, bytes)) else str(value))
    return b"".join(
        [b"%b\n%b%b\n" % (name.encode(), len(value).to_bytes(8, "little"), value) for name, value in all_of_it.items()]
    )


ON_STDOUT = ("stdout", "json")
"""What goes to standard output."""

_PATHS = {"syslog": SYSLOG, "journal": SYSTEMD}
_ENCODERS = {"syslog": _syslog, "journal": _systemd}


def complain(text: str) -> None:
    """Tell the person who started the daemon a line, on standard error."""
    try:
        os.write(2, b"msmtpd: %b\n" % line(text))
    except OSError:  # it is closed, or full: nobody can be told
        return


def complain_of(failure: Failure, journal: Journal | None = None) -> None:
    """Tell a failure, and what to do about it, on standard error and in the journal."""
    for text in filter(None, (failure.message, failure.hint)):
        complain(text)
        if journal:
            journal.write(ERROR, "failed", text)
