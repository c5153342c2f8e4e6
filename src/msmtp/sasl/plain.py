"""PLAIN (RFC 4616): one message, ``[authzid] NUL authcid NUL passwd``, the secret as it is.

The server prepares the strings, not we (RFC 4616, 2), so octets pass as they were given.
"""

from __future__ import annotations

from msmtp.sasl.mechanisms import Mechanism

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.sasl.mechanisms import Dialogue


class Plain(Mechanism):
    """``C: authzid NUL user NUL password``."""

    __slots__ = ()

    def dialogue(self) -> Dialogue:
        """Yield the one message."""
        message = self.credentials.authzid, self.credentials.user, self.credentials.password
        if any(b"\0" in part for part in message):
            raise self.failure("a user name or password with a NUL in it cannot be sent")
        yield b"\0".join(message)
