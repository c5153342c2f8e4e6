"""Whose password is looked for."""

from __future__ import annotations

from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Revealing(Protocol):
        """What holds the text of the command ``password``."""

        def reveal(self) -> bytes:
            """The octets of the text."""
            ...

    class Account(Protocol):
        """What a password is asked of: the settings of an account that have to do with it."""

        host: str
        socket: str
        user: str
        auth: str
        passwordeval: str

        @property
        def password(self) -> Revealing | None:
            """What the command ``password`` said; read-only, so that any class that reveals will do."""
            ...


SYSTEM_FOLDER = "/etc"


class Request:
    """The question put to every source.

    ``host`` is the name the password is stored under, for an account with a unix socket the path of that; ``user`` the
    name that goes with it; ``password`` and ``passwordeval`` what the configuration has; ``method`` what it is for.
    ``may_ask`` allows to ask the person at the terminal, ``system_folder`` is where netrc of the whole system is.
    ``notes`` gathers why a source that should have been asked could not be.
    """

    __slots__ = ("host", "may_ask", "method", "notes", "password", "passwordeval", "system_folder", "user")

    def __init__(self, account: Account, *, may_ask: bool = True, system_folder: str = SYSTEM_FOLDER) -> None:
        self.host = account.socket or account.host
        self.user = account.user
        self.method = account.auth
        self.password = account.password
        self.passwordeval = account.passwordeval
        self.may_ask = may_ask
        self.system_folder = system_folder
        self.notes: list[str] = []

    @property
    def home(self) -> str:
        """The person's home folder, or '' if there is none."""
        return os.environ.get("HOME", "")
