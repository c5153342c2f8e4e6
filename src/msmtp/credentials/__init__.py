"""Where a password comes from.

``find`` asks the sources in the order of ``SOURCES`` and takes the first answer.  The first two are the configuration's
and are final: a ``passwordeval`` that fails ends the search, since somebody wanted exactly that.  The others are asked
only with a user's name, and one that has nothing, or cannot be read, only leaves a note.

What a source needs is imported when it is its turn.
"""

from __future__ import annotations

from msmtp.failures import ConfigFailure, PasswordFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from msmtp.credentials.request import Request
    from msmtp.credentials.secret import Secret


class Source:
    """A place to look: its ``name``, what the manual says of it, and ``look``, which gives the secret or None."""

    __slots__ = ("look", "name", "needs_user", "text")

    def __init__(self, name: str, needs_user: bool, look: Callable[[Request], Secret | None], text: str) -> None:
        self.name = name
        self.needs_user = needs_user
        self.look = look
        self.text = text


def _password(request: Request) -> Secret | None:
    from msmtp.credentials.secret import Secret

    return Secret(request.password.reveal()) if request.password else None


def _passwordeval(request: Request) -> Secret | None:
    from msmtp.credentials.command import run

    if not request.passwordeval:
        return None
    secret = run(request.passwordeval)
    if not secret:
        raise ConfigFailure(f"cannot read output of '{request.passwordeval}': its first line is empty")
    return secret


def _key_ring(request: Request) -> Secret | None:
    from msmtp.credentials.keyrings import find_password

    return find_password(request)


def _netrc(request: Request) -> Secret | None:
    return _netrc_file(request, f"{request.home}/.netrc") if request.home else None


def _system_netrc(request: Request) -> Secret | None:
    return _netrc_file(request, f"{request.system_folder}/netrc")


def _netrc_file(request: Request, file: str) -> Secret | None:
    from msmtp.credentials.netrc import read_password

    try:
        return read_password(file, request.host, request.user)
    except OSError as error:
        request.notes.append(f"{file}: {error.strerror}")
        return None


def _prompt(request: Request) -> Secret | None:
    from msmtp.credentials.prompt import ask

    return ask(f"password for {request.user} at {request.host}: ") if request.may_ask else None


SOURCES = (
    Source("password", False, _password, "the command `password` of the account"),
    Source("passwordeval", False, _passwordeval, "the output of the command `passwordeval` of the account"),
    Source(
        "key ring",
        True,
        _key_ring,
        "the key ring: an item of the Secret Service with the attributes host, service (smtp) and user, or what the "
        "library keyring has for the host and the user",
    ),
    Source("~/.netrc", True, _netrc, "~/.netrc"),
    Source("SYSCONFDIR/netrc", True, _system_netrc, "SYSCONFDIR/netrc"),
    Source("terminal", True, _prompt, "the terminal, if there is one to ask on"),
)


def find(request: Request) -> Secret:
    """The password, from the first source that has it.

    Raises ConfigFailure if passwordeval fails, PasswordFailure if no source has it; what kept a source from being asked
    is in the hint.
    """
    for source in SOURCES:
        if source.needs_user and not request.user:
            continue
        secret = source.look(request)
        if secret is not None:
            return secret
    method = "" if request.method in ("", "on") else f" method {request.method.upper()}"
    raise PasswordFailure(
        f"authentication{method} needs a {'password' if request.user else 'user name'}", hint=_hint(request)
    )


def _hint(request: Request) -> str:
    if not request.user:
        return "set it with the command user"
    notes = "".join(f"; {note}" for note in request.notes)
    return (
        f"there is none for user {request.user} at host {request.host} in the configuration, the key ring or netrc, "
        f"and no terminal to ask for it{notes}"
    )
