"""Reach a server: over TCP, a unix socket, or a SOCKS proxy.

Connecting has two halves.  ``begin(target)`` looks the name up and sends the first SYN; while it travels, the caller
imports TLS, reads files and runs the password command; ``Pending.finish()`` waits and gives a Stream.  Both halves
share one deadline, whose clock stands still between them.
"""

from __future__ import annotations

from msmtp.net.deadline import Deadline
from msmtp.net.race import Race
from msmtp.net.resolve import addresses, ascii_name
from msmtp.net.stream import Info, Stream

DEFAULT_PROXY_PORT = 1080


class Target:
    """What to connect to.

    ``socket`` (a path) overrides host, port and proxy.  With ``proxy_host`` (SOCKS 5; its port 0 means 1080) nobody but
    the proxy looks ``host`` up.  ``source_ip``: the local address to use, or ''.  ``timeout``: seconds for each
    operation of the connection, and for connecting itself; 0 or None: no end.
    """

    __slots__ = ("host", "port", "proxy_host", "proxy_port", "socket", "source_ip", "timeout")

    def __init__(  # noqa: PLR0913 - a record
        self,
        host: str = "",
        port: int = 0,
        *,
        socket: str = "",
        source_ip: str = "",
        proxy_host: str = "",
        proxy_port: int = 0,
        timeout: float | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.socket = socket
        self.source_ip = source_ip
        self.proxy_host = "" if socket else proxy_host
        self.proxy_port = proxy_port or DEFAULT_PROXY_PORT
        self.timeout = timeout


def begin(target: Target) -> Pending:
    """Look the name up and set out, without waiting for the server's answer.

    HostNotFoundFailure, ResolverFailure: the name.  SocketFailure: no socket to be had, or ``source_ip`` is not usable.
    ConnectFailure: no address can be reached.  ConfigFailure: a library for the name is missing.
    """
    deadline = Deadline(target.timeout)
    if target.socket:
        race = None
    elif target.proxy_host:
        ascii_name(target.host)  # the proxy may look it up, but not find out that it is no name
        race = _race(target.proxy_host, target.proxy_port, target.source_ip, deadline)
    else:
        race = _race(target.host, target.port, target.source_ip, deadline)
    deadline.pause()
    return Pending(target, race, deadline)


def _race(host: str, port: int, source_ip: str, deadline: Deadline) -> Race:
    return Race(host, port, addresses(host, port, deadline), source_ip)


class Pending:
    """A connection on its way; made by ``begin()``."""

    __slots__ = ("_deadline", "_race", "_target")

    def __init__(self, target: Target, race: Race | None, deadline: Deadline) -> None:
        self._target = target
        self._race = race
        self._deadline = deadline

    def finish(self) -> Stream:
        """Wait for the connection and, with a proxy, for its consent.

        ConnectFailure: timed out, or no address can be reached.  With a proxy also ProxyFailure and NetworkFailure, and
        ConfigFailure if its library is missing.
        """
        self._deadline.resume()
        try:
            return self._finish(self._target, self._deadline)
        finally:
            self.close()

    def _finish(self, target: Target, deadline: Deadline) -> Stream:
        if self._race is None:
            from msmtp.net.unix import connect_unix

            return Stream(connect_unix(target.socket, deadline), Info(), target.timeout)
        if not target.proxy_host:
            socket, address = self._race.finish(deadline)
            return Stream(socket, Info(address[0]), target.timeout)
        from msmtp.net.proxy import negotiate  # 15 ms, which the SYN spends travelling

        socket, _address = self._race.finish(deadline)
        negotiate(socket, ascii_name(target.host), target.port, deadline)
        return Stream(socket, Info(), target.timeout)

    def close(self) -> None:
        """Give up.  Raises nothing; harmless after ``finish()``."""
        if self._race is not None:
            self._race.close()
