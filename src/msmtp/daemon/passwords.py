"""Passwords of msmtpd's users: fetched once, by a process of their own, which leaves only what checks them.

    descriptor = verifiers(settings)        the keeper; a child fetches, checks, writes, ends
    known, secret = read(descriptor)        the auth broker

The clear password is in that child alone, which others cannot look into and which leaves no core.  What it leaves is a
sealed memory file: for each user what SCRAM stores (RFC 5802, 3), good to check a password, not to pretend to know it.

Where a user's password is looked for, in this order; with a command, only there:

    command             of --auth=USER,COMMAND: the first line of its output
    credential          $CREDENTIALS_DIRECTORY/USER, or .../auth for the only user without a command (systemd's
                        LoadCredential=, SetCredentialEncrypted=): the first line
    key ring            the item with the attributes host=localhost, service=smtp, user=USER
    terminal            if there is one

A command or a credential may give, instead of a password, the text of a verifier: SCRAM-SHA-256$iterations:salt$..., as
PostgreSQL and others write it; then no clear password is on the machine at all.

All users get as many iterations, and salts as long, as the verifiers that were given have, and users that do not exist
are treated alike: from what the server says nobody learns whom it knows.
"""

from __future__ import annotations

import select
import signal
import stat
import time
from binascii import hexlify, unhexlify
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, fcntl

from msmtp.daemon import descriptors
from msmtp.failures import ConfigFailure, Failure
from msmtp.sasl.digests import digest
from msmtp.sasl.mechanisms import prepare
from msmtp.sasl.server import ALGORITHM, ITERATIONS, SALT_OCTETS, SCHEME, Verifier, made_salt
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final, NoReturn

    from msmtp.config.daemon_settings import Settings
    from msmtp.credentials.secret import Secret

    Auth = list[tuple[str, str | None]]

HOST: Final = "localhost"
"""The host that items of key rings are stored for (the manual, 11.2)."""

NAME_LIMIT: Final = 255
"""Octets of a user's name (RFC 4616)."""
PASSWORD_LIMIT: Final = 1_024
"""Octets of a password; the auth broker looks at no response that could hold a longer one."""
MOST_ITERATIONS: Final = 50_000
"""Of a verifier that is given: a guess must not keep others waiting.  RFC 7677 asks for 4,096 at least."""

_GRACE = 1.0  # seconds that a command has to end in that is asked to
_SECRET_OCTETS = 32
_CREDENTIAL_LIMIT = 65_536
_NAMED = "--auth"
_SEALS = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL
_ACL, _ACL_HEAD, _ACL_ENTRY, _ACL_GROUPS, _ACL_USER = (
    "system.posix_acl_access",
    4,
    8,
    (4, 8),
    2,
)  # linux/posix_acl_xattr.h
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4


# The keeper's side.


def verifiers(settings: Settings, *, may_ask: bool = True, patience: float | None = None) -> int:
    """Fetch the passwords of all users; give the descriptor of a sealed memory file for :func:`read`.

    ``may_ask``: a person may be asked at the terminal.  ``patience``: seconds that it may take, after which it is ended
    with all that commands have begun; None for as long as it wants: somebody is perhaps typing a passphrase.  Raises
    ConfigFailure.
    """
    users(settings.auth)
    made = os.memfd_create("msmtpd-verifiers", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    reads, writes = os.pipe()
    try:
        child = os.fork()
        if not child:
            _be_child(settings.auth, made, writes, may_ask=may_ask, apart=patience is not None)
    except OSError as error:
        os.close(made)
        os.close(reads)
        raise ConfigFailure(f"cannot make a process to fetch passwords: {error.strerror}") from None
    finally:
        os.close(writes)
    try:
        said = _hear(child, reads, patience)
    finally:
        os.close(reads)
    if said != "ok":
        os.close(made)
        message, _, hint = said.partition("\n")
        raise ConfigFailure(message or "the process that fetches passwords ended early", hint=hint)
    return made


def _hear(child: int, reads: int, patience: float | None) -> str:
    """What the child says until it ends."""
    said = b""
    until = None if patience is None else time.monotonic() + patience
    poll = select.poll()
    poll.register(reads, select.POLLIN)
    while True:
        left = None if until is None else max(0, int((until - time.monotonic()) * 1000))
        if not poll.poll(left):
            _end(child)
            return f"{_NAMED}: fetching the passwords took longer than {patience:g} s"
        block = os.read(reads, 4096)
        if not block:
            break
        said += block
    os.waitpid(child, 0)
    return said.decode("utf-8", "replace")


def _end(child: int) -> None:
    """End a child that lives apart, and the command that it waits for: asked to, then made to."""
    _kill(child, signal.SIGTERM)
    until, waited_for = time.monotonic() + _GRACE, False
    while time.monotonic() < until:
        waited_for = waited_for or os.waitpid(child, os.WNOHANG)[0] != 0
        if waited_for and not _kill(child, 0):
            return
        time.sleep(0.01)
    _kill(child, signal.SIGKILL)
    if not waited_for:
        os.kill(child, signal.SIGKILL)  # it may not have come to live apart
        os.waitpid(child, 0)


def _kill(group: int, number: int) -> bool:
    """Send a signal to all of a group; whether there is one."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # all that is left has become another user's
        pass
    return True


def users(auth: Auth) -> list[bytes]:
    """The users' names, prepared.  Raises ConfigFailure for one that cannot be, or is there twice."""
    names: list[bytes] = []
    for user, _ in auth:
        try:
            name = prepare(os.fsencode(user), "user name")
        except Failure as failure:
            raise ConfigFailure(f"{_NAMED}: {failure.message}") from None
        if not 0 < len(name) <= NAME_LIMIT:
            raise ConfigFailure(f"{_NAMED}: a user name has 1 to {NAME_LIMIT} octets")
        if b"\n" in name or b"\0" in name:
            raise ConfigFailure(f"{_NAMED}: a user name is one line")
        if name in names:
            raise ConfigFailure(f"{_NAMED}: user {user} is named twice")
        names.append(name)
    return names


# The child's side.


def _be_child(auth: Auth, made: int, writes: int, *, may_ask: bool, apart: bool) -> NoReturn:
    """Fetch, write, say how it went; ``apart``: in a session, and so in a group, that the command is in, too."""
    said = b""
    try:
        signal.set_wakeup_fd(-1)
        if apart:
            os.setsid()
        for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        hide()
        descriptors.keep_only((made, writes))
        found = fetch(auth, may_ask=may_ask)
        octets = pack(*made_alike(found))
        if os.write(made, octets) != len(octets):
            raise ConfigFailure("no memory for the users' verifiers")  # noqa: TRY301 - told like the others
        fcntl(made, F_ADD_SEALS, _SEALS)
        said = b"ok"
    except Failure as failure:
        said = f"{failure.message}\n{failure.hint}".encode("utf-8", "replace")
    except BaseException as error:  # noqa: BLE001 - nothing returns into the keeper, and its text may be a secret
        said = f"cannot fetch the passwords: {type(error).__name__}".encode()
    finally:
        try:
            os.write(writes, said)
        finally:  # whoever was to read it may have gone
            os._exit(0)  # noqa: SLF001 - public, whatever its name says


def hide() -> None:
    """Leave no core, let nobody look in, end with the keeper; as far as this system can."""
    import resource

    from msmtp.sandbox.libc import Library

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        libc = Library()
        libc.call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)
        libc.call("prctl", _PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    except Exception:  # noqa: BLE001 - no ctypes, another C library: the sandbox says so where it matters
        return


def fetch(auth: Auth, *, may_ask: bool) -> dict[bytes, Secret | Verifier]:
    """Password or verifier of each user.  Raises ConfigFailure if one cannot be had."""
    from msmtp.credentials.secret import Secret

    alone = len([user for user, command in auth if command is None]) == 1
    found: dict[bytes, Secret | Verifier] = {}
    for name, (user, command) in zip(users(auth), auth, strict=True):
        secret, may_be_verifier = _look(user, command, alone=alone, may_ask=may_ask)
        text = secret.reveal()
        if may_be_verifier and text.startswith(SCHEME + b"$"):
            found[name] = _given(user, text)
        elif not text or len(text) > PASSWORD_LIMIT or b"\0" in text:
            raise ConfigFailure(f"{_NAMED}: the password of user {user} does not have 1 to {PASSWORD_LIMIT} octets")
        else:
            found[name] = Secret(text)
    return found


def _given(user: str, text: bytes) -> Verifier:
    try:
        verifier = Verifier.parse(text.strip())
    except ValueError:
        raise ConfigFailure(f"{_NAMED}: what is given for user {user} begins as a verifier and is none") from None
    if verifier.iterations > MOST_ITERATIONS:
        raise ConfigFailure(f"{_NAMED}: the verifier of user {user} has more than {MOST_ITERATIONS} iterations")
    return verifier


def _look(user: str, command: str | None, *, alone: bool, may_ask: bool) -> tuple[Secret, bool]:
    """A user's secret from the first place that has it, and whether it may be a verifier's text."""
    from msmtp.credentials.keyrings import find_password
    from msmtp.credentials.prompt import ask
    from msmtp.credentials.request import Request

    if command is not None:
        from msmtp.credentials.command import run

        return run(command), True
    secret = credential(user, alone=alone)
    if secret is not None:
        return secret, True
    request = Request(_Account(user))
    secret = find_password(request)
    if secret is None and may_ask:
        secret = ask(f"password for {user} at {HOST}: ")
    if secret is None:
        notes = "".join([f"; {note}" for note in request.notes])
        raise ConfigFailure(
            f"{_NAMED}: there is no password for user {user}",
            hint=f"give a command, --auth={user},COMMAND, a credential, or an item in the key ring "
            f"(secret-tool store --label=msmtpd host {HOST} service smtp user {user}){notes}",
        )
    return secret, False


class _Account:
    """What the key rings are asked about."""

    __slots__ = ("auth", "host", "passwordeval", "socket", "user")
    password = None

    def __init__(self, user: str) -> None:
        self.host = HOST
        self.socket = ""
        self.user = user
        self.auth = ""
        self.passwordeval = ""


# Credentials.


def credential(user: str, *, alone: bool) -> Secret | None:
    """The first line of a credential that the service manager hands over, None if there is none for this user.

    Raises ConfigFailure for one that cannot be read, or that others can read.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    names = [user] if "/" not in user and user not in {".", ".."} else []
    if alone:
        names.append("auth")
    for name in names if folder else ():
        path = f"{folder}/{name}"
        try:
            opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigFailure(f"cannot read {path}: {error.strerror}") from None
        try:
            return _first_line(opened, path)
        finally:
            os.close(opened)
    return None


def _first_line(opened: int, path: str) -> Secret:
    from msmtp.credentials.secret import Secret

    problem = exposed(opened)
    if problem:
        raise ConfigFailure(f"cannot use {path}: {problem}", hint="it must be its owner's alone: chmod 600, chown")
    octets = os.read(opened, _CREDENTIAL_LIMIT)
    return Secret(octets.partition(b"\n")[0].removesuffix(b"\r"))


def exposed(opened: int) -> str:
    """Why an open file is no place for a secret, '' if it is one.

    systemd gives a credential to the service's user by an access control list where it can; then the permissions of the
    group, which stand for the mask of that list, say nothing, and the list is read.
    """
    about = os.fstat(opened)
    trusted = {0, os.geteuid()}
    if not stat.S_ISREG(about.st_mode):
        return "it is not a regular file"
    if about.st_uid not in trusted:
        return f"it belongs to user {about.st_uid}"
    if about.st_mode & 0o037 or (about.st_mode & 0o040 and not _granted_to(opened, trusted)):
        return f"others have access to it (mode {about.st_mode & 0o7777:04o})"
    return ""


def _granted_to(opened: int, trusted: Iterable[int]) -> bool:
    """Whether the file has an access control list that gives no group, and no user but these, anything."""
    try:
        octets = os.getxattr(opened, _ACL)
    except OSError:
        return False
    for at in range(_ACL_HEAD, len(octets), _ACL_ENTRY):
        tag, rights = int.from_bytes(octets[at : at + 2], "little"), int.from_bytes(octets[at + 2 : at + 4], "little")
        who = int.from_bytes(octets[at + 4 : at + 8], "little")
        if rights and (tag in _ACL_GROUPS or (tag == _ACL_USER and who not in trusted)):
            return False
    return True


# What is left of it.


def made_alike(found: Mapping[bytes, Secret | Verifier]) -> tuple[dict[bytes, Verifier], bytes]:
    """Verifiers of all users, and the secret from which those that do not exist get theirs.

    Where verifiers were given, all else follows from them, so that a restart changes nobody's salt; otherwise it
    changes everybody's.  Raises ConfigFailure if the given ones differ in what a client sees of them.
    """
    given = {name: each for name, each in found.items() if isinstance(each, Verifier)}
    count = _common("iterations", {each.iterations for each in given.values()} or {ITERATIONS})
    length = _common("octets of salt", {len(each.salt) for each in given.values()} or {SALT_OCTETS})
    texts = b"".join([each.encode() for each in given.values()])
    secret = digest(ALGORITHM, b"msmtpd " + texts) if texts else os.urandom(_SECRET_OCTETS)
    made = dict(given)
    for name, each in found.items():
        if isinstance(each, Verifier):
            continue
        salt = made_salt(secret, name, length)  # as for users that do not exist
        try:
            made[name] = Verifier.of(each.reveal(), salt, count)
        except Failure as failure:
            raise ConfigFailure(f"{_NAMED}: {failure.message}") from None
    return made, secret


def _common(what: str, values: set[int]) -> int:
    """The one value that all verifiers have."""
    if len(values) > 1:
        raise ConfigFailure(
            f"{_NAMED}: the verifiers that are given differ in their {what}: {', '.join(map(str, sorted(values)))}",
            hint="make them alike; by the difference anybody could tell which users there are",
        )
    return min(values)


def pack(known: Mapping[bytes, Verifier], secret: bytes) -> bytes:
    """A line with the secret, then one with verifier and name for each user."""
    return hexlify(secret) + b"\n" + b"".join([b"%b %b\n" % (each.encode(), name) for name, each in known.items()])


def read(descriptor: int) -> tuple[dict[bytes, Verifier], bytes]:
    """Verifiers by user and the secret, from what :func:`verifiers` made; the descriptor stays open."""
    octets = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    first, *lines = octets.removesuffix(b"\n").split(b"\n")
    known = {}
    for line in lines:
        text, _, name = line.partition(b" ")
        known[name] = Verifier.parse(text)
    return known, unhexlify(first)
