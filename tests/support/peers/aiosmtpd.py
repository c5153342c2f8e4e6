"""aiosmtpd, in a process of its own: PLAIN and LOGIN, SMTPUTF8, LMTP too, and no PIPELINING.

``python -m tests.support.peers.aiosmtpd FOLDER SMTP SUBMISSION SUBMISSIONS LMTP`` is that process.
"""

from __future__ import annotations

import contextlib
import signal
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from tests.support.peers.base import DOMAIN, PASSWORD, SIZE_LIMIT, USER, Peer, kept, peer_folder
from tests.support.processes import Daemon, free_port, listens

PORTS = ("smtp", "submission", "submissions", "lmtp")


class Keeper:
    """aiosmtpd's handler: takes what the peers of the test bed take, and keeps it as the delivery command does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

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
        for recipient in envelope.rcpt_tos:
            self.count += 1
            new = self.folder / f"{self.count:06}"
            new.write_bytes(
                f"{(envelope.mail_from or '').strip('<>')}\n{recipient}\n".encode()
                + bytes(envelope.original_content or b"")
            )
            new.rename(new.with_suffix(".mail"))
        answers = len(envelope.rcpt_tos) if isinstance(server, LMTP) else 1
        return "\r\n".join(["250 2.0.0 kept"] * answers)


def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
    """Joe and his password."""
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=known, handled=False)


COMMON = {"enable_SMTPUTF8": True, "data_size_limit": SIZE_LIMIT, "hostname": "aiosmtpd.example.org"}


class Lmtp(Controller):
    """LMTP without TLS."""

    def factory(self) -> SMTP:
        """The protocol of one connection."""
        return LMTP(self.handler, **COMMON)


class Submissions(Controller):
    """TLS from the start, then authentication."""

    def factory(self) -> SMTP:
        """The protocol of one connection."""
        server = SMTP(self.handler, auth_require_tls=False, authenticator=authenticate, **COMMON)
        server._auth_required = True  # as an argument, this warns about the missing STARTTLS, which TLS stands around
        return server


def main(folder: Path, ports: list[int]) -> None:
    """Serve until SIGTERM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    keeper = Keeper(folder / "kept")
    smtp, submission, submissions, lmtp = ports
    here = {"hostname": "127.0.0.1"}
    plain = {**COMMON, "server_hostname": COMMON["hostname"], "tls_context": context}
    plain.pop("hostname")
    users = {"authenticator": authenticate, "auth_required": True, "require_starttls": True}
    for controller in (
        Controller(keeper, port=smtp, **here, **plain),
        Controller(keeper, port=submission, **here, **plain, **users),
        Submissions(keeper, port=submissions, ssl_context=context, **here),
        Lmtp(keeper, port=lmtp, **here),
    ):
        controller.start()
    signal.sigwait({signal.SIGTERM})


@contextlib.contextmanager
def aiosmtpd() -> Iterator[Peer]:
    """aiosmtpd with all four ports."""
    ports = {name: free_port() for name in PORTS}
    with peer_folder("aiosmtpd") as folder:
        command = [sys.executable, "-W", "ignore", "-m", __name__, folder, *map(str, ports.values())]
        top = Path(__file__).parents[3]
        with Daemon(command, ready=listens(*ports.values()), log=folder / "log", folder=top):
            yield Peer("aiosmtpd", ports, folder, kept(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(word) for word in sys.argv[2:]])
