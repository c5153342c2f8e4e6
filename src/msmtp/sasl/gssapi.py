"""GSSAPI (RFC 4752): Kerberos 5, by the library ``gssapi``.

    C: token  S: token  ...      until the context stands
    S: wrapped: layers offered, largest message
    C: wrapped: layer chosen, 0, authorization name

The layer chosen is always 'none': secrecy is TLS's business.  The ticket comes from the user's credentials cache; the
library reads it, its configuration and replay files, and may ask the KDC, while the exchange runs.
"""

from __future__ import annotations

import gssapi
from gssapi.raw import GSSError

from msmtp.failures import shown
from msmtp.sasl.mechanisms import Mechanism

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.failures import MechanismFailure
    from msmtp.sasl.mechanisms import Dialogue

NO_LAYER = 1
SIZES = 4  # octets: one of layers, three of the largest message


class Gssapi(Mechanism):
    """The client's side; the user name goes as authorization name."""

    __slots__ = ()
    mutual = True

    def dialogue(self) -> Dialogue:
        """Yield tokens until the context stands, then the choice of layer."""
        try:
            yield from self.exchange()
        except GSSError as error:
            raise self.kerberos_failure(error) from None

    def exchange(self) -> Dialogue:
        """Yield as :meth:`dialogue` does; GSSError where Kerberos fails."""
        known = self.credentials
        server = gssapi.Name(known.service + b"@" + known.host, gssapi.NameType.hostbased_service)
        wanted = gssapi.RequirementFlag.mutual_authentication | gssapi.RequirementFlag.integrity
        context = gssapi.SecurityContext(name=server, mech=gssapi.MechType.kerberos, flags=wanted, usage="initiate")
        token = context.step() or b""
        while not context.complete:
            token = context.step((yield token)) or b""
        if not context.actual_flags & gssapi.RequirementFlag.mutual_authentication:
            raise self.failure("the server did not prove itself to Kerberos")
        sizes = context.unwrap((yield token)).message
        if len(sizes) != SIZES or not sizes[0] & NO_LAYER:
            raise self.failure(f"the server demands a security layer of its own instead of TLS: {shown(sizes)}")
        self.proved = True
        answer = bytes((NO_LAYER, 0, 0, 0)) + (known.authzid or known.user)
        yield context.wrap(answer, encrypt=False).message

    def kerberos_failure(self, error: GSSError) -> MechanismFailure:
        """Return what Kerberos says, in the words of its library."""
        words = shown(str(error).encode(), 300)
        return self.failure(f"Kerberos: {words}", hint="look at your ticket with klist; get one with kinit")
