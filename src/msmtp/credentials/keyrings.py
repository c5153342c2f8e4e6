"""Passwords from key rings.

First the Secret Service of the session (GNOME's key ring, KWallet, KeePassXC), through the library SecretStorage: any
item whose attributes say host, service and user, as ``secret-tool store ... host H service smtp user U`` makes them, or
one of the other ways such an item is written.  Then, if somebody has chosen a key ring for the library keyring, or
there is a session but no Secret Service, that library, under the host's name as its service.

Both libraries are heavy.  They are imported only here, and only if there is a session bus or a configured key ring, so
that a machine without either pays for a look at the environment.
"""

from __future__ import annotations

from msmtp.credentials.secret import Secret
from msmtp.failures import Failure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jeepney.io.blocking import DBusConnection
    from secretstorage import Item

    from msmtp.credentials.request import Request

# Attributes of an item; {host} and {user} are filled in.
SCHEMES = (
    {"host": "{host}", "service": "smtp", "user": "{user}"},  # the manual's, chapter 5
    {"user": "{user}", "protocol": "smtp", "server": "{host}"},  # the network schema of old
    {"service": "{host}", "username": "{user}"},  # what ``keyring set HOST USER`` makes
)
# How long a service may take to answer; D-Bus libraries commonly wait as long.  Typing a password is not counted.
ANSWER_SECONDS = 25
# The service asks for its password in a window.
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def find_password(request: Request) -> Secret | None:
    """The password from a key ring.  One that cannot be asked is noted and never ends the search."""
    address = bus_address()
    configured = keyring_is_configured()
    secret, answered = _from_secret_service(request, address) if address else (None, False)
    if secret is None and (configured or (address and not answered)):
        secret = _from_keyring(request, configured)
    return secret


def bus_address() -> str:
    """Where the session bus is; '' if there is none."""
    if address := os.environ.get("DBUS_SESSION_BUS_ADDRESS", ""):
        return address
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return f"unix:path={folder}/bus" if folder and os.path.exists(f"{folder}/bus") else ""


def keyring_is_configured() -> bool:
    """Whether somebody has told the library keyring which key ring to use."""
    if os.environ.get("PYTHON_KEYRING_BACKEND"):
        return True
    folder = os.environ.get("XDG_CONFIG_HOME") or os.environ.get("HOME", "") + "/.config"
    return os.path.exists(f"{folder}/python_keyring/keyringrc.cfg")


def _from_secret_service(request: Request, address: str) -> tuple[Secret | None, bool]:
    """The password, and whether there is a Secret Service to have it."""
    try:
        from jeepney.io.blocking import open_dbus_connection
        from secretstorage import check_service_availability
        from secretstorage.util import add_match_rules
    except ImportError:
        request.notes.append(
            "the key ring was not asked, for want of the library SecretStorage (python3-secretstorage)"
        )
        return None, False
    try:
        connection = open_dbus_connection(address)
        answer = connection.send_and_get_reply
        connection.send_and_get_reply = lambda message, timeout=None: answer(message, timeout=timeout or ANSWER_SECONDS)
        try:
            add_match_rules(connection)
            if not check_service_availability(connection):
                return None, False
            return _search(request, connection), True
        finally:
            connection.close()
    except Failure:
        raise  # a signal
    except Exception as error:  # noqa: BLE001 - whatever is wrong with somebody's session, it must not end the search
        request.notes.append(f"the key ring could not be asked: {_reason(error)}")
        return None, True


def _search(request: Request, connection: DBusConnection) -> Secret | None:
    """Look for items in all collections; what is locked comes last."""
    from secretstorage import search_items

    locked: list[Item] = []
    for scheme in SCHEMES:
        attributes = {name: value.format(host=request.host, user=request.user) for name, value in scheme.items()}
        for item in search_items(connection, attributes):
            if not item.is_locked():
                return _secret_of(item)
            locked.append(item)
    return _unlock(request, locked[0]) if locked else None


def _secret_of(item: Item) -> Secret:
    """The secret, without the line end that ``echo`` puts behind it on its way into ``secret-tool``."""
    return Secret(item.get_secret().removesuffix(b"\n"))


def _unlock(request: Request, item: Item) -> Secret | None:
    """Have the service ask for the password of its key ring, if there is a screen to ask on."""
    if any(os.environ.get(name) for name in DISPLAYS):
        item.unlock()
        if not item.is_locked():
            return _secret_of(item)
    request.notes.append("the key ring has the password but is locked")
    return None


def _from_keyring(request: Request, configured: bool) -> Secret | None:
    """The password by the library keyring, which gets no standard input: ours is the mail, and some backends ask."""
    try:
        import keyring
        from keyring.errors import NoKeyringError
    except ImportError:
        if configured:
            request.notes.append("the key ring was not asked, for want of the library keyring (python3-keyring)")
        return None
    kept = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(nothing, 0)
        password = keyring.get_password(request.host, request.user)
    except Failure:
        raise  # a signal
    except NoKeyringError:
        return None
    except Exception as error:  # noqa: BLE001 - as above
        request.notes.append(f"the key ring could not be asked: {_reason(error)}")
        return None
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(nothing)
    return None if password is None else Secret(password.encode("utf-8", "surrogateescape"))


def _reason(error: Exception) -> str:
    """What a library says of its failure, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(": ")[:200].rstrip(":")
