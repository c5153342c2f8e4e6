"""Health: whether a daemon that runs takes mail, found out as a client finds it out, by SMTP.

It is asked where the same options would have a daemon listen: at the first port, else the first socket, else the first
port for TLS, whose certificate is not judged: to which names it belongs is a matter of clients elsewhere.  The
conversation is that of our own client half, so that a daemon which answers, but not as it should, is not healthy.

    greeting 220 | EHLO, or LHLO: 250 | QUIT
"""

from __future__ import annotations

import sys

from msmtp.exits import EX_OK
from msmtp.failures import Failure, NetworkFailure
from msmtp.net import connect
from msmtp.smtp.client import ClientConnection
from msmtp.smtp.commands import Ehlo, Lhlo, Quit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from msmtp.config.daemon_settings import Settings
    from msmtp.net.stream import Stream
    from msmtp.smtp.replies import Reply

PATIENCE: Final = 5.0
"""Seconds that the daemon may take for each answer."""

EX_UNHEALTHY: Final = 1  # what engines of containers call it

OF_ALL = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - they stand for all addresses, to one of which we connect
PROXY_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
"""A PROXY header that speaks for nobody but its sender (version 2, LOCAL), as load balancers send for their checks."""

READY, OK, SHUTTING_DOWN = 220, 250, 421
_BLOCK = 4_096


def check(settings: Settings) -> int:
    """Ask; say what is wrong, if anything is; give the exit code."""
    from msmtp.daemon.journal import complain_of

    try:
        place = where(settings)
        said = "takes mail" if converse(settings, place) else "has all places taken"
    except Failure as failure:
        complain_of(failure)
        return EX_UNHEALTHY
    sys.stdout.write(f"msmtpd at {place} {said}\n")
    return EX_OK


class Place:
    """Where a daemon listens: a ``socket`` of the file system, or ``host`` and ``port``; ``tls``: from the start."""

    __slots__ = ("host", "port", "socket", "tls")

    def __init__(self, host: str = "", port: int = 0, socket: str = "", *, tls: bool = False) -> None:
        self.host = host
        self.port = port
        self.socket = socket
        self.tls = tls

    def __str__(self) -> str:
        return self.socket or f"{self.host}, port {self.port}"


def where(settings: Settings) -> Place:
    """The place to ask at.  Raises Failure if the options do not tell one."""
    interface = settings.interfaces[0]
    host = OF_ALL.get(interface, interface)
    if settings.ports and settings.ports[0]:
        return Place(host, settings.ports[0])
    if settings.sockets:
        return Place(socket=settings.sockets[0].path)
    if settings.smtps_ports and settings.smtps_ports[0]:
        return Place(host, settings.smtps_ports[0], tls=True)
    raise Failure("the options do not say where msmtpd listens", hint="name a --port other than 0, or a --socket")


def converse(settings: Settings, place: Place) -> bool:
    """Whether it takes mail; False where it has no room and that is well.  Raises Failure for all else."""
    stream = connected(settings, place)
    try:
        return dialogue(stream, lmtp=settings.lmtp, alive=settings.health == "alive")
    finally:
        stream.close()


def connected(settings: Settings, place: Place) -> Stream:
    """A connection to it, at which its greeting comes next.  Raises Failure."""
    target = connect.Target(place.host, place.port, socket=place.socket, timeout=PATIENCE)
    stream = connect.begin(target).finish()
    try:
        if proxied(settings, place):
            stream.write(PROXY_LOCAL)
        if place.tls:
            from msmtp.net import tls

            stream.start_tls(tls.prepare(tls.TlsSettings(certcheck=False), place.host))
    except BaseException:
        stream.close()
        raise
    return stream


def proxied(settings: Settings, place: Place) -> bool:
    """Whether the daemon expects from us what a proxy says first."""
    from msmtp.config.daemon_values import packed_address

    packed = b"" if place.socket else packed_address(place.host.partition("%")[0])
    return any(network.holds(packed) for network in settings.proxy_protocol)


def dialogue(stream: Stream, *, lmtp: bool, alive: bool) -> bool:
    """Greet and take leave; see :func:`converse`."""
    connection = ClientConnection("lmtp" if lmtp else "smtp")
    reply = next_reply(connection, stream)
    if reply.code == SHUTTING_DOWN and alive:
        return False
    expect(reply, READY)
    stream.write(connection.send((Lhlo if lmtp else Ehlo)(b"localhost")))
    expect(next_reply(connection, stream), OK)
    stream.write(connection.send(Quit()))
    return True


def next_reply(connection: ClientConnection, stream: Stream) -> Reply:
    """Wait for one."""
    operation = stream.operation()
    while True:
        for event in connection.receive(stream.read(_BLOCK, operation)):
            return event.reply


def expect(reply: Reply, code: int) -> None:
    """Raise NetworkFailure for another answer."""
    if reply.code != code:
        said = b" | ".join(reply.raw_lines()).decode("utf-8", "backslashreplace")
        raise NetworkFailure(f"msmtpd does not take mail now: {said}")
