"""NTLM (MS-NLMP), by the library ``pyspnego``.  Obsolete, and asked for by nobody who can help it.

    C: NEGOTIATE  S: CHALLENGE  C: AUTHENTICATE

We speak first, in the initial response: the servers that were asked without one answer in words instead of base64.
"""

from __future__ import annotations

import encodings.utf_16_le  # noqa: F401 - the library's strings; named here so that the exchange opens no file

import cryptography.hazmat.backends.openssl  # noqa: F401 - the library's RC4, as above
import spnego
from spnego.exceptions import SpnegoError

from msmtp.failures import Failure
from msmtp.sasl.mechanisms import Mechanism

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.sasl.mechanisms import Dialogue


class Ntlm(Mechanism):
    """The client's side."""

    __slots__ = ()

    def dialogue(self) -> Dialogue:
        """Yield NEGOTIATE and AUTHENTICATE."""
        known = self.credentials
        try:
            domain, user, password = (part.decode() for part in (known.ntlm_domain, known.user, known.password))
            host = known.host.decode("ascii")
        except UnicodeDecodeError:
            raise self.failure("user name, password or domain are not UTF-8, or the host's name is not ASCII") from None
        context = spnego.client(
            f"{domain}\\{user}" if domain else user,
            password,
            hostname=host or "unspecified",
            service=known.service.decode("ascii"),
            protocol="ntlm",
            options=spnego.NegotiateOptions.use_ntlm,
        )
        challenge = yield context.step()
        try:
            answer = context.step(challenge)
        except SpnegoError as error:
            raise self.failure(f"NTLM: {error.message}") from None
        except Failure:
            raise  # a signal
        except Exception as error:  # noqa: BLE001 - what a foreign parser raises on hostile octets is anybody's guess
            raise self.failure(f"the server's challenge cannot be understood ({type(error).__name__})") from None
        yield answer
