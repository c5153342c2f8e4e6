"""The settings of an account that a password is asked of."""

from __future__ import annotations

from dataclasses import dataclass

from msmtp.credentials.secret import Secret  # noqa: TC001 - dataclasses want it


@dataclass
class Account:
    """An account as msmtp.credentials sees it."""

    host: str = "mail.example.org"
    socket: str = ""
    user: str = "joe"
    auth: str = "plain"
    password: Secret | None = None
    passwordeval: str = ""
