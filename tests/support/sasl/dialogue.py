"""What the foreign SASL servers of these tests have in common, and how a client of ours talks to them.

A foreign server has ``start(initial)`` and ``next(response)``: octets in, the next challenge out, None once it accepts the
client; :class:`Refused` if it does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from msmtp.sasl import Mechanism

ROUNDS = 10


class Refused(Exception):  # noqa: N818 - it says what happened
    """The server does not accept the client."""


class ForeignServer(Protocol):
    """One exchange of a foreign server."""

    def start(self, initial: bytes | None) -> bytes | None:
        """Begin; ``initial`` None: the client has no initial response."""

    def next(self, response: bytes) -> bytes | None:
        """Go on."""


def authenticate(client: Mechanism, server: ForeignServer, *, initial: bool = True) -> None:
    """Let a client of ours log in; ``initial`` False: send an initial response only when the server asks for it.

    Raises what either of them has to say against the other.
    """
    first = client.start()
    if initial or first is None:
        challenge = server.start(first)
    else:
        challenge = server.start(None)
        assert challenge == b""
        challenge = server.next(first)
    for _ in range(ROUNDS):
        if challenge is None:
            client.finished()
            return
        challenge = server.next(client.next(challenge))
    raise AssertionError(f"no end after {ROUNDS} rounds")
