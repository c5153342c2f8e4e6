"""What a daemon that runs tells of itself, for a person: ``msmtpd --status``."""

from __future__ import annotations

import _socket
import sys
import time

from msmtp.daemon.start import status_path
from msmtp.daemon.status import COUNTERS
from msmtp.exits import EX_OK
from msmtp.failures import ConnectFailure, UnsupportedFailure, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.daemon_settings import Settings

_ALL = 1 << 20  # octets
_PATIENCE = 5.0  # seconds

_HIDDEN = ("alive", "started", "generation")


def show(settings: Settings) -> int:
    """Print it.  Raises Failure if there is no daemon, or it does not tell."""
    path = settings.status_socket or status_path(settings)
    if path == "off":
        raise UnsupportedFailure("the status socket is switched off", hint="see --status-socket in msmtpd(8)")
    text = "".join(f"{line}\n" for line in words(ask(path)))
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough
        sys.stdout = None  # nothing is left in it to be written at the end
    return EX_OK


def ask(path: str) -> dict[str, list[str]]:
    """What the daemon at a status socket says: lines by their first word.  Raises Failure."""
    said = b""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(_PATIENCE)
        connection.connect(path)
        while len(said) < _ALL and (block := connection.recv(65_536)):
            said += block
    except OSError as error:
        reason = error.strerror or str(error)
        hint = "is it running, with this socket, and may you ask it? see --status-socket in msmtpd(8)"
        raise ConnectFailure(f"cannot ask msmtpd at {path}: {reason}", hint=hint) from None
    finally:
        connection.close()
    lines: dict[str, list[str]] = {}
    for line in shown(said.replace(b"\n", b"\0"), 0).split("\\x00"):
        name, _, rest = line.partition(" ")
        lines.setdefault(name, []).append(rest)
    return lines


def words(told: dict[str, list[str]]) -> list[str]:
    """The lines to print."""
    numbers = {name: int(told[name][0]) for name, _, _ in COUNTERS if name in told and told[name][0].isdecimal()}
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(numbers.get("started", 0)))
    lines = [f"msmtpd runs since {since}, settings read {numbers.get('generation', 0)} times"]
    meanings = [(name, meaning) for name, _, meaning in COUNTERS if name in numbers and name not in _HIDDEN]
    lines += [f"{numbers[name]:>10}  {meaning}" for name, meaning in meanings]
    for session in told.get("session", []):
        number, seconds, process, peer = session.split(" ", 3)
        lines.append(f"session {number}: {peer}, for {float(seconds):.0f} s, process {process}")
    return lines
