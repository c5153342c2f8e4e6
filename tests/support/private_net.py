"""A network of a test's own: Linux namespaces, in which addresses can be dead, name servers ours, and packets counted.

    result = run_in_namespace('''
        from tests.support.private_net import ...
        assert ...
        print("done")
    ''', setup=LOOPBACK + BLACK_HOLES, resolv_conf="nameserver 127.0.0.1\\n", hosts="192.0.2.1 two.test\\n")

The script runs as root of its namespaces (network, mounts, users), whoever runs the tests.
"""

from __future__ import annotations

import functools
import os
import shlex
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path
from typing import Self

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

LOOPBACK = "ip link set lo up\n"

# An Ethernet cable that ends in nothing: 192.0.2.1 and 2001:db8::1 are ours; a packet to any of the neighbours named
# here is sent and lost, so that a connection hangs; one to 198.51.100.0/24 or 2001:db8:ffff::/48 has no route.
BLACK_HOLES = """
ip link add v0 type veth peer name v1
ip link set v0 up; ip link set v1 up
ip addr add 192.0.2.1/24 dev v0
ip addr add 2001:db8::1/64 dev v0 nodad
for host in 66 67 68; do
    ip neigh add 192.0.2.$host lladdr 02:00:00:00:00:$host dev v0 nud permanent
    ip neigh add 2001:db8::$host lladdr 02:00:00:00:00:$host dev v0 nud permanent
done
"""


@functools.cache
def _available() -> bool:
    return _unshare("ip link set lo up").returncode == 0


def _unshare(shell: str, **options: object) -> subprocess.CompletedProcess[str]:
    unshare = ["unshare", "--map-root-user", "--net", "--mount", "sh", "-ec", shell]
    return subprocess.run(unshare, capture_output=True, text=True, check=False, cwd=REPOSITORY, **options)  # type: ignore[call-overload]


def run_in_namespace(
    script: str,
    *,
    setup: str = LOOPBACK,
    resolv_conf: str = "",
    hosts: str = "127.0.0.1 localhost\n::1 localhost\n",
    nsswitch: str = "hosts: files dns\n",
    timeout: float = 60,
) -> str:
    """Run a Python script in its own network; what it printed. It fails the test by failing."""
    if not _available():
        pytest.skip("namespaces are not permitted here")
    with tempfile.TemporaryDirectory() as folder:
        mounts = ""
        for name, text in (("resolv.conf", resolv_conf), ("hosts", hosts), ("nsswitch.conf", nsswitch)):
            path = Path(folder, name)
            path.write_text(text)
            mounts += f"mount --bind {shlex.quote(str(path))} $(readlink -f /etc/{name})\n"
        python = shlex.join([sys.executable, "-c", textwrap.dedent(script)])
        environment = os.environ | {"PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}"}
        result = _unshare(f"{setup}\n{mounts}\nexec {python}", timeout=timeout, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


class PacketWatch:
    """Counts the DNS queries (UDP or TCP to port 53, multicast DNS, LLMNR) on every interface of this network."""

    PORTS = (53, 5353, 5355, 853)

    def __init__(self) -> None:
        self.queries: list[tuple[str, int]] = []  # interface, port
        self.packets = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))  # ETH_P_ALL
        self._socket.settimeout(0.05)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while True:
            try:
                packet, address = self._socket.recvfrom(65536)
            except TimeoutError:
                if self._stop.is_set():
                    return
                continue
            self.packets += 1
            port = _destination_port(packet)
            if port in self.PORTS:
                self.queries.append((address[0], port))


def _destination_port(packet: bytes) -> int | None:
    """Of UDP and TCP over IPv4 and IPv6 (without extension headers, which nothing here sends)."""
    version = packet[0] >> 4
    header, protocol = ((packet[0] & 15) * 4, packet[9]) if version == 4 else (40, packet[6])
    if protocol not in {socket.IPPROTO_TCP, socket.IPPROTO_UDP}:
        return None
    return int(struct.unpack_from(">H", packet, header + 2)[0])
