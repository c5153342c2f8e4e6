"""Connections to unix sockets."""

from __future__ import annotations

import errno
from _socket import AF_UNIX, SOCK_NONBLOCK, SOCK_STREAM
from _socket import socket as new_socket
from time import sleep

from msmtp.failures import ConfigFailure, ConnectFailure, SocketFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Socket  # noqa: N812 - it is a class

    from msmtp.net.deadline import Deadline

HINTS = {
    errno.ENOENT: "the server that listens there is not running (for msmtpd: systemctl start msmtpd.socket)",
    errno.ECONNREFUSED: "the server that listened there has gone (for msmtpd: systemctl restart msmtpd.socket)",
    errno.EACCES: "its permissions say who may connect; ask the administrator",
    errno.EAGAIN: "the server that listens there takes no more connections now",
}
"""errno of connect(2) to a unix socket: what to do."""

BACKLOG_DELAY = 0.01  # seconds between tries while a unix socket's queue is full: poll(2) has no word for that


def connect_unix(path: str, deadline: Deadline) -> Socket:
    """A unix socket answers at once, or has a full queue and is asked again until the deadline.

    ConnectFailure: nobody listens there, or not in time.  ConfigFailure: it cannot be the path of a socket.
    """
    try:
        socket = new_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)
    except OSError as error:
        raise SocketFailure(f"cannot create socket: {error.strerror}") from None
    try:
        _knock(socket, path, deadline)
    except BaseException:
        socket.close()
        raise
    return socket


def _knock(socket: Socket, path: str, deadline: Deadline) -> None:
    try:
        while (code := socket.connect_ex(os.fsencode(path))) == errno.EAGAIN and deadline.seconds() != 0:
            sleep(BACKLOG_DELAY)
    except OSError as error:  # not the kernel's word but Python's, and without a number
        raise ConfigFailure(f"cannot connect to {path}: {error}") from None
    if code:
        reason = os.strerror(errno.ETIMEDOUT if code == errno.EAGAIN else code)
        raise ConnectFailure(f"cannot connect to {path}: {reason}", hint=HINTS.get(code, ""))
