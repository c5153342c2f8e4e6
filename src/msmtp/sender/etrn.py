"""--rmqs: ask a server to start its queue for us (ETRN, RFC 1985)."""

from __future__ import annotations

from msmtp.failures import (
    Failure,
    RequestRefusedFailure,
    ServerNotReadyFailure,
    ServerRefusedFailure,
    UnsupportedFailure,
)
from msmtp.sender.outcome import reply_lines
from msmtp.smtp.commands import Etrn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.sender.session import Session

# RFC 1985, 5.3: what each code that is no success means, in the words users know.
ANSWERS: dict[int, tuple[type[Failure], str]] = {
    458: (UnsupportedFailure, "the server is unable to fulfill the request"),
    459: (UnsupportedFailure, "the server is unable to fulfill the request"),
    500: (RequestRefusedFailure, "invalid argument for Remote Message Queue Starting"),
    501: (RequestRefusedFailure, "invalid argument for Remote Message Queue Starting"),
}
STARTED = range(250, 254)  # 250 to 253: it has started, or there is nothing to start


def start_queue(session: Session, argument: bytes) -> None:
    """Send the request: ``argument`` is a host, ``@domain`` or ``#queue``, sent as it is (RFC 1985, 5.2)."""
    if not session.extensions.has(b"ETRN"):
        session.leave()
        raise UnsupportedFailure("the server does not support Remote Message Queue Starting")
    reply = session.ask(Etrn(argument))
    if reply.code not in STARTED:
        default = ServerNotReadyFailure if reply.severity == 4 else ServerRefusedFailure  # noqa: PLR2004 - its class
        kind, words = ANSWERS.get(reply.code, (default, "command ETRN failed"))
        raise kind(words, server=reply_lines(reply))
    session.leave()
