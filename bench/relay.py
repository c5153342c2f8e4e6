"""Two networks and a link between them that takes its time: relay.py MILLISECONDS, as root.

Each network is a namespace with one TUN device; this process holds both devices and carries packets from one to the
other, each so many milliseconds after it came.  It loses none, keeps their order, and any number are on their way at
the same time, as on a long line: what it stands for is distance, not a narrow or a full line.

Nothing but this process holds the namespaces: they go when it ends, and it ends when its standard input does, so also
when whoever started it was killed.  It prints a line with the descriptors of both namespaces, which others may enter
as /proc/PID/fd/NUMBER (nsenter(1)).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque

HERE, THERE = "192.0.2.1", "192.0.2.2"
DEVICE = "line"

NEW_NETWORK = 0x40000000  # CLONE_NEWNET of unshare(2)
SET_DEVICE = 0x400454CA  # TUNSETIFF of linux/if_tun.h
TUN, BARE = 0x1, 0x1000  # IFF_TUN, IFF_NO_PI: packets and nothing else
PACKET = 1 << 16


def new_network() -> int:
    """Go into a network namespace of our own; its descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_NETWORK):
        number = ctypes.get_errno()
        raise OSError(number, f"a network namespace: {os.strerror(number)}")
    return os.open("/proc/self/ns/net", os.O_RDONLY)


def device(address: str, peer: str) -> int:
    """A TUN device in the namespace that we are in, with an address and the one at the other end; its descriptor."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, SET_DEVICE, struct.pack("16sH22x", DEVICE.encode(), TUN | BARE))
    for words in (
        ["link", "set", "lo", "up"],
        ["address", "add", address, "peer", peer, "dev", DEVICE],
        ["link", "set", "dev", DEVICE, "up"],
    ):
        subprocess.run(["ip", *words], check=True)
    return tun


class Direction:
    """What is on its way from one device to the other: packets and when they arrive."""

    def __init__(self, source: int, sink: int, delay: float) -> None:
        self.source = source
        self.sink = sink
        self.delay = delay
        self.packets: deque[tuple[float, bytes]] = deque()

    def take(self) -> None:
        """Read all that waits at the source."""
        arrival = time.monotonic() + self.delay
        try:
            while True:
                self.packets.append((arrival, os.read(self.source, PACKET)))
        except BlockingIOError:
            pass

    def hand_over(self) -> None:
        """Write what has been on its way for long enough."""
        now = time.monotonic()
        while self.packets and self.packets[0][0] <= now:
            os.write(self.sink, self.packets.popleft()[1])

    def left(self) -> float | None:
        """Seconds until the next packet arrives; None if there is none."""
        return max(0.0, self.packets[0][0] - time.monotonic()) if self.packets else None


def carry(directions: list[Direction]) -> None:
    """Carry packets until standard input ends.  select(2) waits for fractions of milliseconds, epoll(7) does not."""
    by_source = {direction.source: direction for direction in directions}
    while True:
        waits = [left for direction in directions if (left := direction.left()) is not None]
        ready, _, _ = select.select([0, *by_source], [], [], min(waits, default=None))
        if 0 in ready:
            return
        for source in ready:
            by_source[source].take()
        for direction in directions:
            direction.hand_over()


def main() -> None:
    """Make the networks, say which they are, carry packets."""
    delay = float(sys.argv[1]) / 1000
    here = new_network()
    near = device(HERE, THERE)
    there = new_network()
    far = device(THERE, HERE)
    print(here, there, flush=True)
    carry([Direction(near, far, delay), Direction(far, near, delay)])


if __name__ == "__main__":
    main()
