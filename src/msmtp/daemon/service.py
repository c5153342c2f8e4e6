"""The service manager: what systemd hands over, and what it wants to know (sd_notify(3), sd_listen_fds(3)).

systemd's library is loaded where systemd set its variables, nowhere else.  The variables are taken out of the
environment when they have been read, so that no command that the daemon starts could speak for it.

A reload is told as systemd 253 wants it for Type=notify-reload, which earlier ones take for Type=notify just as well:
RELOADING=1 with the time, then READY=1.
"""

from __future__ import annotations

import time

from msmtp.failures import ServiceFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

INTERVAL: Final = 10.0
"""Seconds between signs of life where nobody says how many."""

STORED = ("throttle",)
"""Names of descriptors that this daemon has systemd keep for its next start (FDSTORE=1)."""

_HINT = "install systemd-python (Debian: python3-systemd), or start without systemd's sockets and notifications"


class Handed:
    """What systemd handed over: ``passed`` (descriptor, name) of sockets, ``stored`` descriptors by name."""

    __slots__ = ("passed", "stored")

    def __init__(self) -> None:
        self.passed: list[tuple[int, str]] | None = None
        self.stored: dict[str, int] = {}
        for descriptor, name in _listen_fds():
            if name in STORED and name not in self.stored:
                self.stored[name] = descriptor
            elif name in STORED:
                os.close(descriptor)  # the older one
            else:
                self.passed = [*(self.passed or ()), (descriptor, name)]


_handed: list[Handed] = []
_managers: list[str] = []


def handed() -> Handed:
    """What systemd handed over, read once.  Before the first fork.  Raises ServiceFailure for what cannot be right."""
    if not _handed:
        _handed.append(Handed())
    return _handed[0]


def received() -> list[tuple[int, str]] | None:
    """Sockets that systemd handed over, by descriptor and name; None if there are none for this process."""
    return handed().passed


def stored(name: str) -> int | None:
    """The descriptor of this name that an earlier start of the daemon had kept; to be closed by who takes it."""
    return handed().stored.pop(name, None)


def managed() -> bool:
    """Whether a service manager started us, and waits for a sign of life."""
    return bool(_managers) or "NOTIFY_SOCKET" in os.environ


def _listen_fds() -> Sequence[tuple[int, str]]:
    count, process = os.environ.get("LISTEN_FDS"), os.environ.get("LISTEN_PID")
    if count is None or process != str(os.getpid()):  # another process's: who started us left it in the environment
        _forget("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
        return ()
    try:
        from systemd import daemon
    except ImportError:
        raise ServiceFailure("systemd's sockets cannot be taken over: its library is missing", hint=_HINT) from None
    try:
        found: dict[int, str] = daemon.listen_fds_with_names()
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise ServiceFailure(f"systemd's LISTEN_FDS={count} cannot be right: {words}") from None
    finally:
        _forget("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
    return list(found.items())


def _forget(*names: str) -> None:
    """Take variables out of the environment, for this process's Python and for the programs it starts."""
    for name in names:
        if os.environ.pop(name, None) is not None:
            os.unsetenv(name)


class Service:
    """Speaks to the service manager; without one, all of it does nothing.

    ``interval``: seconds between two calls of :meth:`alive`.  Not for children: only the main process is listened to.
    """

    __slots__ = ("_address", "_notify", "_status", "interval", "watched")

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._notify: Callable[..., object] | None = None
        self._status = ""
        self.interval = INTERVAL
        self.watched = False
        if self._address:
            _managers.append(self._address)
            self._notify = _notifier()
            self._read_watchdog()
        _forget("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

    def _read_watchdog(self) -> None:
        """Twice in the time that systemd gives, as its manual advises."""
        process, microseconds = os.environ.get("WATCHDOG_PID"), os.environ.get("WATCHDOG_USEC", "")
        if process in {None, str(os.getpid())} and microseconds.isascii() and microseconds.isdigit():
            self.watched = int(microseconds) > 0
            self.interval = min(INTERVAL, int(microseconds) / 2e6) if self.watched else INTERVAL

    def ready(self, status: str = "") -> None:
        """Clients are served; after a reload too, with the status there was before if none is given."""
        self._tell("READY=1", status or self._status)

    def alive(self, status: str = "") -> None:
        """A sign of life for the watchdog, and what is being done for whoever asks systemd."""
        if self.watched or status != self._status:
            self._tell("WATCHDOG=1" if self.watched else "", status)

    def reloading(self) -> None:
        """The settings are being read again; ready() ends it."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=reloading", "")

    def stopping(self, status: str = "stopping") -> None:
        """The end has begun."""
        self._tell("STOPPING=1", status)

    def keep(self, name: str, descriptor: int) -> None:
        """Have systemd keep a descriptor for the next start, in the place of the one it kept under this name."""
        self._tell(f"FDSTOREREMOVE=1\nFDNAME={name}", "")
        self._tell(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", "", (descriptor,))

    def main_process(self, pid: int) -> None:
        """Name another process as the one to watch."""
        self._tell(f"MAINPID={pid}", "")

    def _tell(self, state: str, status: str, descriptors: Sequence[int] = ()) -> None:
        """Never an end of anything: a service manager that does not listen loses the news."""
        if self._notify is None:
            return
        if status:
            self._status = status
            state = f"{state}\nSTATUS={' '.join(status.split())}".lstrip("\n")
        os.putenv("NOTIFY_SOCKET", self._address)  # where the library looks
        try:
            self._notify(state, **({"fds": list(descriptors)} if descriptors else {}))
        except (OSError, ValueError, RuntimeError):
            pass
        finally:
            os.unsetenv("NOTIFY_SOCKET")


def _notifier() -> Callable[..., object]:
    try:
        from systemd.daemon import notify
    except ImportError:
        raise ServiceFailure(
            "systemd cannot be told when msmtpd is ready: its library is missing", hint=_HINT
        ) from None
    told: Callable[..., object] = notify
    return told
