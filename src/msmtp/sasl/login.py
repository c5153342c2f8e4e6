"""LOGIN (draft-murchison-sasl-login-00): the server asks for a user name, then for a password.

The words it asks with differ from server to server (some are not even text), so only their order counts.
"""

from __future__ import annotations

from msmtp.sasl.mechanisms import Mechanism

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.sasl.mechanisms import Dialogue


class Login(Mechanism):
    """``S: Username:  C: user  S: Password:  C: password``."""

    __slots__ = ()

    def dialogue(self) -> Dialogue:
        """Yield user name and password as they are asked for."""
        yield None
        yield self.credentials.user
        yield self.credentials.password
