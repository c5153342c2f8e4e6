"""The patterns %U %H %C %M %F in ``from`` and ``domain``: who sends, and from which machine.

A text is gone through once, so a % in a value is not looked at again; what is no pattern stays as it is.
"""

from __future__ import annotations

from msmtp.config.reader import SYSTEM_FOLDER
from msmtp.failures import ConfigFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAIL_NAME_FILE = f"{SYSTEM_FOLDER}/mailname"
ROOT = "root"


def substitute(text: str, letters: str, canonical_name: Callable[[str], str], author: str | None = None) -> str:
    """Replace ``%X`` for each X among ``letters``, and ``%F`` if there is an ``author``.

    U is the user, H the host, C the host's canonical name, M the mail name.  Raises ConfigFailure if %M is asked for
    and SYSCONFDIR/mailname does not hold one.
    """
    values: dict[str, Callable[[], str]] = {
        "U": user_name,
        "H": host_name,
        "C": lambda: canonical_name(host_name()),
        "M": mail_name,
        "F": lambda: author or "",
    }
    allowed = letters + "F" if author else letters
    parts = text.split("%")
    result = parts[0]
    for part in parts[1:]:
        result += values[part[0]]() + part[1:] if part and part[0] in allowed else "%" + part
    return result


def user_name() -> str:
    """$USER, $LOGNAME, the login name, the name of the process's user, or ``unknown``: the first there is.

    One of them that is root's is not the name of another user: a program that root started, and that gave up root's
    rights but kept the variables, has it still.
    """
    named = os.environ.get("USER") or os.environ.get("LOGNAME") or _login_name()
    if named and (named != ROOT or not os.geteuid()):
        return named
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return "unknown"


def _login_name() -> str:
    try:
        return os.getlogin()
    except OSError:
        return ""  # no terminal


def host_name() -> str:
    """$HOSTNAME, or the system's name, or ``localhost``."""
    return os.environ.get("HOSTNAME") or os.uname().nodename or "localhost"


def mail_name(file: str = "") -> str:
    """First line of SYSCONFDIR/mailname, which says under which name this machine sends mail."""
    file = file or MAIL_NAME_FILE
    try:
        with open(file, "rb") as stream:
            name = stream.readline(4096).strip().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise ConfigFailure(f"{file}: {error.strerror}", hint="%M stands for its first line") from error
    if not name:
        raise ConfigFailure(f"{file}: Invalid argument", hint="%M stands for its first line, which is empty")
    return name
