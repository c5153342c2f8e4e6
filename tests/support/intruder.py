"""Whoever has taken a process over: its descriptors, taken out of it, to say with them what it never would.

For root only (pidfd_getfd(2)).
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from msmtp.daemon.channel import Channel

PIDFD_GETFD = 438  # on every architecture
SEQPACKET = socket.SOCK_SEQPACKET


def sockets(pid: int) -> list[int]:
    """Numbers of a process's descriptors that are sockets."""
    folder = f"/proc/{pid}/fd"
    return sorted(int(name) for name in os.listdir(folder) if os.readlink(f"{folder}/{name}").startswith("socket:"))


def taken(pid: int, number: int) -> int:
    """A copy of a descriptor of another process."""
    pidfd = os.pidfd_open(pid)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        copy = libc.syscall(PIDFD_GETFD, pidfd, number, 0)
        if copy < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return int(copy)
    finally:
        os.close(pidfd)


@contextmanager
def channels(pid: int) -> Iterator[dict[int, Channel]]:
    """A process's channels, by the numbers that it has for them."""
    found: dict[int, Channel] = {}
    try:
        for number in sockets(pid):
            copy = taken(pid, number)
            with socket.socket(fileno=copy) as end:
                if end.type == SEQPACKET:
                    found[number] = Channel(end.detach())
        yield found
    finally:
        for channel in found.values():
            channel.close()
