"""SOCKS 5 (RFC 1928) through PySocks, over a connection to the proxy that stands already.

The proxy is reached like any server (its addresses race, its deadline counts), so PySocks is left with what it knows:
the negotiation.  It works on the same kernel socket through a socket object of its own that waits no longer than the
deadline.  The host goes to the proxy as a name; nothing here looks it up.

Importing this file costs 15 ms and, where PySocks is missing, raises ConfigFailure; only those with a proxy do it.
"""

from __future__ import annotations

import socket as sockets
from select import POLLIN, poll

from msmtp.failures import ConfigFailure, NetworkFailure, ProxyFailure
from msmtp.system import os

try:
    import socks
except ImportError:
    raise ConfigFailure(
        "proxy_host needs the Python library PySocks", hint="install python3-socks (pip: PySocks)"
    ) from None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Socket  # noqa: N812 - it is a class
    from typing import Any

    from msmtp.net.deadline import Deadline

# RFC 1928, section 6: why the proxy cannot, in the C program's words
REPLIES = {
    1: "general server failure",
    2: "connection not allowed",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "time-to-live expired",
    7: "command not supported",
    8: "address type not supported",
}
LONGEST_NAME = 127  # octets; PySocks writes longer lengths wrongly, and no name of a mail server comes near


class Connected(sockets.socket):
    """What PySocks builds on: a socket that is connected already and whose reads end with the deadline."""

    deadline: Deadline

    def connect(self, address: Any, /) -> None:  # noqa: ANN401 - not looked at
        """Nothing to do."""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0, /) -> int:  # noqa: ANN401 - any buffer
        """As ever, but lateness and the end are failures: in the middle of a negotiation both are."""
        waiting = poll()
        waiting.register(self.fileno(), POLLIN)
        if not waiting.poll(self.deadline.milliseconds()):
            raise NetworkFailure("network read error: the operation timed out", hint="the proxy does not answer")
        count = super().recv_into(buffer, nbytes, flags)
        if not count:
            raise NetworkFailure("network read error: the proxy closed the connection")
        return count


class Negotiation(socks.socksocket, Connected):
    """PySocks on top of that."""


def negotiate(socket: Socket, host: str, port: int, deadline: Deadline) -> None:
    """Have the proxy at the other end of ``socket`` connect to ``host`` (ASCII) and ``port``.  Closes it on failure.

    ProxyFailure: it does not want to, or is no SOCKS 5 proxy.  NetworkFailure: it hung up or did not answer in time.
    """
    try:
        _negotiate(socket, host, port, deadline)
        socket.setblocking(False)  # PySocks makes both of them block
    except BaseException:
        socket.close()
        raise


def _negotiate(socket: Socket, host: str, port: int, deadline: Deadline) -> None:
    if len(host) > LONGEST_NAME:
        raise ProxyFailure(f"proxy failure: host name too long: {host}")
    with Negotiation(
        sockets.AddressFamily(socket.family), sockets.SOCK_STREAM, 0, fileno=os.dup(socket.fileno())
    ) as talk:
        talk.deadline = deadline
        talk.set_proxy(socks.SOCKS5, "the proxy", rdns=True)
        try:
            talk.connect((host, port))
        except socks.ProxyError as error:
            raise _failure(error) from None
        except UnicodeError:  # PySocks passes every name through Python's IDNA codec, which knows the length of labels
            raise ProxyFailure(f"proxy failure: invalid host name: {host}") from None


def _failure(error: socks.ProxyError) -> NetworkFailure | ProxyFailure:
    """PySocks wraps whatever goes wrong, its own complaints included, and gives the reply's code as 0x05 in a text."""
    cause = error.socket_err or error
    if isinstance(cause, socks.SOCKS5Error):
        return ProxyFailure(f"proxy failure: {REPLIES.get(int(cause.msg[:4], 16), 'unknown error')}")
    if isinstance(cause, socks.SOCKS5AuthError):
        return ProxyFailure(
            "proxy failure: unexpected reply", hint="the proxy asks for a password, which msmtp has not"
        )
    if isinstance(cause, socks.ProxyError):
        return ProxyFailure("proxy failure: unexpected reply", hint="is it a SOCKS 5 proxy?")
    return NetworkFailure(f"network read error: {cause.strerror or cause}")
