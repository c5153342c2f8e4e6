"""Addresses of one host run against each other: RFC 8305, section 5 ("Happy Eyeballs"), in one poll loop, no threads.

An address that has not answered after 250 ms gets company from the next; one that refuses is followed by the next at
once; the first connection that stands wins and the others are closed.  One deadline covers them all.
"""

from __future__ import annotations

import select
from _socket import IPPROTO_TCP, SO_ERROR, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET, TCP_NODELAY
from _socket import socket as new_socket
from select import POLLOUT
from time import monotonic

from msmtp.failures import ConnectFailure, SocketFailure
from msmtp.net.resolve import numeric
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Socket  # noqa: N812 - it is a class
    from typing import Any

    from msmtp.failures import Failure
    from msmtp.net.deadline import Deadline
    from msmtp.net.resolve import Address

ATTEMPT_DELAY = 0.25  # seconds; "Connection Attempt Delay", RFC 8305, section 5


class Race:
    """Connections to ``host``, of which one is wanted.

    ``found``: its addresses in the order to try them, at least one.  ``source_ip``: the local address to use, or ''.
    ConnectFailure: none of them can be reached; SocketFailure: no socket to be had, or ``source_ip`` is not usable.
    """

    __slots__ = ("_host", "_lost", "_next_start", "_poll", "_port", "_running", "_source", "_source_ip", "_waiting")

    def __init__(self, host: str, port: int, found: list[Address], source_ip: str = "") -> None:
        self._host = host
        self._port = port
        self._source_ip = source_ip
        self._source = source_address(source_ip) if source_ip else None
        self._waiting = found
        self._running: dict[int, tuple[Socket, Any]] = {}  # by file descriptor
        self._lost: list[tuple[str, int, Failure]] = []  # address, errno, what it means
        self._next_start = 0.0
        self._poll = select.poll()
        if self._source is not None:
            self._drop_other_families(self._source[0])
        self._start_next()

    def finish(self, deadline: Deadline) -> tuple[Socket, Any]:
        """The first connection that stands, and whom it leads to."""
        try:
            while True:
                for fd, _events in self._poll.poll(self._patience(deadline)):
                    socket, address = self._running[fd]
                    code = socket.getsockopt(SOL_SOCKET, SO_ERROR)
                    if not code:
                        del self._running[fd]
                        return socket, address
                    self._give_up(fd, code)
                    self._start_next()
                if deadline.seconds() == 0:
                    self._time_out()
                if self._waiting and monotonic() >= self._next_start:
                    self._start_next()
        finally:
            self.close()

    def close(self) -> None:
        """End what still runs.  Raises nothing; twice is once."""
        for socket, _address in self._running.values():
            socket.close()
        self._running.clear()

    def _patience(self, deadline: Deadline) -> float | None:
        """Milliseconds until something other than an answer must happen; None: nothing must."""
        left = deadline.milliseconds()
        if not self._waiting:
            return left
        until_next = max(0.0, (self._next_start - monotonic()) * 1000)
        return until_next if left is None else min(left, until_next)

    def _start_next(self) -> None:
        """Set out for the next address that does not fail at once."""
        while self._waiting:
            if self._start(*self._waiting.pop(0)):
                self._next_start = monotonic() + ATTEMPT_DELAY
                return
        if not self._running:
            raise self._failure()

    def _start(self, family: int, address: Any) -> bool:  # noqa: ANN401 - each family has its own tuple
        """Whether a connection is under way."""
        try:
            socket = new_socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0)
        except OSError as error:
            self._note(address, error, SocketFailure, "cannot create socket")
            return False
        if self._source is not None:
            try:
                socket.bind(self._source[1])
            except OSError as error:
                socket.close()
                self._note(address, error, SocketFailure, f"cannot bind source ip {self._source_ip}")
                return False
        return self._connect(socket, address)

    def _connect(self, socket: Socket, address: Any) -> bool:  # noqa: ANN401 - see _start
        fd = socket.fileno()
        self._running[fd] = (socket, address)
        code = 0
        try:
            socket.connect(address)
        except BlockingIOError:  # EINPROGRESS: on its way
            pass
        except OSError as error:
            code = error.errno or 0
        self._poll.register(fd, POLLOUT)
        if code:
            self._give_up(fd, code)
            return False
        socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        return True

    def _give_up(self, fd: int, code: int) -> None:
        socket, address = self._running.pop(fd)
        self._poll.unregister(fd)
        socket.close()
        words = f"cannot connect to {self._host}, port {self._port}"
        self._note(address, OSError(code, os.strerror(code)), ConnectFailure, words)

    def _note(self, address: Any, error: OSError, kind: type[Failure], words: str) -> None:  # noqa: ANN401 - see _start
        self._lost.append((address[0], error.errno or 0, kind(f"{words}: {error.strerror}")))

    def _time_out(self) -> None:
        from errno import ETIMEDOUT  # loaded (0.05 ms) when something fails

        for fd in list(self._running):
            self._give_up(fd, ETIMEDOUT)
        raise self._failure()

    def _failure(self) -> Failure:
        """The last reason that tells something; what each address said is in the hint.

        Some reasons say more about this machine than about the server.  Where one address fails for such a reason and
        another for a better one, the better one is told.
        """
        from errno import EADDRNOTAVAIL, EAFNOSUPPORT, ENETUNREACH  # see _time_out

        weak = (ENETUNREACH, EAFNOSUPPORT, EADDRNOTAVAIL)
        telling = [lost for lost in self._lost if lost[1] not in weak] or self._lost
        failure = telling[-1][2]
        if len(self._lost) > 1:
            failure.hint = "; ".join(f"{address}: {os.strerror(code)}" for address, code, _failure in self._lost)
        return failure

    def _drop_other_families(self, family: int) -> None:
        """An IPv4 address cannot be the source of an IPv6 connection."""
        self._waiting = [address for address in self._waiting if address[0] == family]
        if not self._waiting:
            from errno import EAFNOSUPPORT  # see _time_out

            raise SocketFailure(
                f"cannot bind source ip {self._source_ip}: {os.strerror(EAFNOSUPPORT)}",
                hint=f"{self._host} has no address of the same kind",
            )


def source_address(source_ip: str) -> Address:
    """The local address to connect from.  SocketFailure: it is not an IP address."""
    found = numeric(os.fsencode(source_ip), 0)
    if not found:
        from errno import EINVAL  # see Race

        raise SocketFailure(f"cannot bind source ip {source_ip}: {os.strerror(EINVAL)}")
    return found[0][0], found[0][4]
