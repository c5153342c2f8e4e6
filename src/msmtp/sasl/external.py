"""EXTERNAL (RFC 4422, appendix A): the proof lies outside, in a client certificate or a local socket.

We only name who we wish to be, or nobody, and the server takes the identity it knows.
"""

from __future__ import annotations

from msmtp.sasl.mechanisms import Mechanism

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.sasl.mechanisms import Dialogue


class External(Mechanism):
    """``C: authzid``; the user name serves where no other is given."""

    __slots__ = ()

    def dialogue(self) -> Dialogue:
        """Yield the identity."""
        identity = self.credentials.authzid or self.credentials.user
        if b"\0" in identity:
            raise self.failure("a user name with a NUL in it cannot be sent")
        yield identity
