"""OAUTHBEARER (RFC 7628) and XOAUTH2 (Google's forerunner of it): an access token in place of a password.

If the token is refused the server does not say so by its reply but by one more challenge, JSON with the reason.  It
wants an answer, a dummy, before it gives the reply; the reason is kept in ``detail``.
"""

from __future__ import annotations

from msmtp.failures import shown
from msmtp.sasl.mechanisms import Mechanism, saslname

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.sasl.mechanisms import Dialogue

SEPARATOR = b"\x01"
DETAIL_LIMIT = 500


class Bearer(Mechanism):
    """What the two have in common."""

    __slots__ = ()
    dummy = b""

    def request(self) -> bytes:
        """Return the message that carries the token."""
        raise NotImplementedError

    def dialogue(self) -> Dialogue:
        """Yield the message, and the dummy if an error is reported."""
        if not (self.credentials.password.isascii() and self.credentials.password.decode().isprintable()):
            raise self.failure("the access token holds characters that a token cannot have (RFC 6750, 2.1)")
        if SEPARATOR in self.credentials.user + self.credentials.authzid + self.credentials.host:
            raise self.failure("the user name or the host holds a control character")
        challenge = yield self.request()
        self.detail = shown(challenge, DETAIL_LIMIT)
        yield self.dummy


class OAuthBearer(Bearer):
    """``C: n,a=user,^Ahost=...^Aport=...^Aauth=Bearer token^A^A  [S: {"status": ...}  C: ^A]``."""

    __slots__ = ()
    dummy = SEPARATOR  # RFC 7628, 3.2.3

    def request(self) -> bytes:
        """Return the GS2 header and the key-value pairs (RFC 7628, 3.1); host and port only where they are known."""
        known = self.credentials
        pairs = [b"n,a=" + saslname(known.authzid or known.user) + b","]
        if known.host:
            pairs.append(b"host=" + known.host)
        if known.port:
            pairs.append(b"port=%d" % known.port)
        pairs.append(b"auth=Bearer " + known.password)
        return SEPARATOR.join(pairs) + SEPARATOR * 2


class XOAuth2(Bearer):
    """``C: user=...^Aauth=Bearer token^A^A  [S: {"status": ...}  C: (empty)]``."""

    __slots__ = ()

    def request(self) -> bytes:
        """Return user and token."""
        return (
            b"user=" + self.credentials.user + SEPARATOR + b"auth=Bearer " + self.credentials.password + SEPARATOR * 2
        )
