"""Smaller peers: aiosmtpd (in this process), microsocks (SOCKS5), nsd (a name server with the zones a test writes)."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from tests.support import certificates, debian
from tests.support.peers.base import DOMAIN, PASSWORD, SIZE_LIMIT, USER, Delivery, Peer, peer_folder
from tests.support.processes import Daemon, free_port, listens


class Keeper:
    """aiosmtpd's handler: takes what the peers of the test bed take, and keeps it."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept everybody of the domain."""
        if address.startswith("unknown") or not address.endswith("@" + DOMAIN):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the mail."""
        data = bytes(envelope.original_content or b"")
        self.deliveries += [Delivery(envelope.mail_from or "", recipient, data) for recipient in envelope.rcpt_tos]
        return "250 2.0.0 kept"


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=known, handled=False)


class _LmtpController(Controller):
    def factory(self) -> SMTP:
        return LMTP(self.handler, enable_SMTPUTF8=True, data_size_limit=SIZE_LIMIT)


class _SubmissionsController(Controller):
    def factory(self) -> SMTP:
        server = SMTP(self.handler, auth_require_tls=False, authenticator=_authenticate, data_size_limit=SIZE_LIMIT)
        server._auth_required = True  # as an argument, this warns about the missing STARTTLS, which TLS stands around
        return server


@contextlib.contextmanager
def aiosmtpd() -> Iterator[Peer]:
    """aiosmtpd with all four ports; it knows PLAIN and LOGIN, SMTPUTF8, and no PIPELINING."""
    context = certificates.localhost().server_context()
    keeper = Keeper()
    ports = {name: free_port() for name in ("smtp", "submission", "submissions", "lmtp")}
    common = {"hostname": "127.0.0.1", "enable_SMTPUTF8": True, "data_size_limit": SIZE_LIMIT}
    users = {"authenticator": _authenticate, "auth_required": True}
    with peer_folder("aiosmtpd") as folder, contextlib.ExitStack() as stack:
        (folder / "log").touch()
        for controller in (
            Controller(keeper, port=ports["smtp"], tls_context=context, **common),
            Controller(keeper, port=ports["submission"], tls_context=context, require_starttls=True, **users, **common),
            _SubmissionsController(keeper, hostname="127.0.0.1", port=ports["submissions"], ssl_context=context),
            _LmtpController(keeper, hostname="127.0.0.1", port=ports["lmtp"]),
        ):
            controller.start()
            stack.callback(controller.stop)
        yield Peer("aiosmtpd", ports, folder, lambda: list(keeper.deliveries))


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
  logfile: ""
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
