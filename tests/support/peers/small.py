"""Smaller peers: microsocks (SOCKS5), nsd (a name server with the zones a test writes)."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support import debian
from tests.support.processes import Daemon, free_port, listens


@contextlib.contextmanager
def microsocks(folder: Path) -> Iterator[tuple[int, Path]]:
    """A SOCKS5 proxy: its port, and its log, a line for each connection with the name or address that was asked for."""
    port = free_port()
    path, environment = debian.program("microsocks", "usr/bin/microsocks")
    log = folder / "microsocks.log"
    with Daemon([path, "-i", "127.0.0.1", "-p", str(port)], ready=listens(port), log=log, environment=environment):
        yield port, log


NSD = """
server:
  ip-address: 127.0.0.1@{port}
  username: ""
  chroot: ""
  pidfile: ""
  zonelistfile: "{folder}/zones.list"
  xfrdfile: "{folder}/xfrd.state"
  zonesdir: "{folder}"
  database: ""
  server-count: 1
remote-control:
  control-enable: no
"""


@contextlib.contextmanager
def nsd(folder: Path, zones: Mapping[str, str]) -> Iterator[int]:
    """A name server on UDP and TCP of 127.0.0.1: its port. ``zones``: a zone's name to its file's text."""
    port = free_port(socket.SOCK_DGRAM)
    text = NSD.format(port=port, folder=folder)
    for name, zone in zones.items():
        (folder / f"{name}.zone").write_text(zone)
        text += f'zone:\n  name: "{name}"\n  zonefile: "{name}.zone"\n'
    (folder / "nsd.conf").write_text(text)
    path, environment = debian.program("nsd", "usr/sbin/nsd")
    command = [path, "-d", "-c", folder / "nsd.conf"]
    with Daemon(command, ready=listens(port), log=folder / "nsd.log", environment=environment):
        yield port
