"""CRAM-MD5 (RFC 2195): the server sends a text of its own, we send its HMAC-MD5 under the password.  Obsolete."""

from __future__ import annotations

from msmtp.sasl.digests import hmac
from msmtp.sasl.mechanisms import Mechanism

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.sasl.mechanisms import Dialogue


class CramMd5(Mechanism):
    """``S: <timestamp>  C: user SP digest``."""

    __slots__ = ()

    def dialogue(self) -> Dialogue:
        """Yield the digest of the server's challenge."""
        challenge = yield None
        if not challenge:
            # Nothing to sign: an HMAC of the empty text would be the same for ever.
            raise self.failure("the server's challenge is empty")
        yield self.credentials.user + b" " + hmac("md5", self.credentials.password, challenge).hex().encode()
