"""Privileges: whom the daemon's processes become when root starts it, and how a process gives up what it was.

Root is given up, or the daemon does not start: to the users that the package makes, one for each kind of process, so
that none may trace, signal or read another; or with --user to one for all.  Started by anybody else, there is nothing
to give up but capabilities (a port below 1024 may have needed one), and they go as well.

A change of user that did not happen is the oldest hole there is.  So what the process is afterwards is asked of the
kernel, and going back is tried.
"""

from __future__ import annotations

import grp
import pwd
import sys

from msmtp.daemon.descriptors import keep_only
from msmtp.failures import ConfigFailure, SandboxFailure
from msmtp.sandbox.libc import Library, words
from msmtp.sandbox.roles import CAPABILITIES
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import Final

    from msmtp.config.daemon_settings import Settings

NAMES: Final = {
    "supervisor": "msmtpd",
    "auth": "msmtpd-auth",
    "worker": "msmtpd-w",
    "delivery": "msmtpd-send",
    "tls": "msmtpd-tls",
    "names": "msmtpd-dns",
}
"""Users that the package makes, by the process that becomes each."""

PR_SET_KEEPCAPS = 8
_CAPABILITY_VERSION_3 = 0x20080522


class User:
    """Who a process becomes: ``uid``, ``gid``, ``groups`` (supplementary ones, the first among them)."""

    __slots__ = ("gid", "groups", "name", "uid")

    def __init__(self, name: str, uid: int, gid: int, groups: Iterable[int] = ()) -> None:
        self.name = name
        self.uid = uid
        self.gid = gid
        self.groups = sorted({gid, *groups})

    def __repr__(self) -> str:
        return f"User({self.name!r}, {self.uid}, {self.gid}, {self.groups})"


class Users:
    """Whom each process becomes; ``change``: whether that is somebody else than who started the daemon."""

    __slots__ = ("auth", "change", "delivery", "names", "supervisor", "tls", "worker")

    def __init__(self, by_process: dict[str, User], *, change: bool) -> None:
        self.supervisor = by_process["supervisor"]
        self.auth = by_process["auth"]
        self.worker = by_process["worker"]
        self.delivery = by_process["delivery"]
        self.tls = by_process["tls"]
        self.names = by_process["names"]
        self.change = change

    def numbers(self) -> frozenset[int]:
        """All of their numbers: whose files may be written to."""
        return frozenset([getattr(self, process).uid for process in NAMES])


def users(settings: Settings) -> Users:
    """Whom the processes become.  Raises ConfigFailure where root has nobody to become, or another may not."""
    if os.geteuid() != 0 or os.getuid() != 0:
        return Users(dict.fromkeys(NAMES, _present(settings.user)), change=False)
    if settings.user:
        return Users(dict.fromkeys(NAMES, named(settings.user)), change=True)
    needed = {**NAMES}
    if not settings.tls_cert:
        needed["tls"] = NAMES["worker"]
    if not settings.peer_names:
        needed["names"] = NAMES["worker"]
    if not settings.auth:
        needed["auth"] = NAMES["worker"]
    found = {process: _packaged(name, process) for process, name in needed.items()}
    return Users(found, change=True)


def _packaged(name: str, process: str) -> User:
    """A user of the package's.  The delivery command gets the groups it was given: they open files for it."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise ConfigFailure(
            f"started as root, and there is no user {name} to become",
            hint="--user=NAME names one for all of msmtpd; or start it as a user, or by its systemd unit",
        ) from None
    return _user(name, entry.pw_uid, entry.pw_gid, all_groups=process == "delivery")


def named(text: str) -> User:
    """The user of ``--user=NAME[:GROUP]``, each a name or a number.  Raises ConfigFailure."""
    name, _, group = text.partition(":")
    try:
        entry = pwd.getpwuid(int(name)) if _is_number(name) else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise ConfigFailure(f"there is no user {name} to become (--user)") from None
    if not group:
        return _user(entry.pw_name, entry.pw_uid, entry.pw_gid, all_groups=True)
    try:
        gid = int(group) if _is_number(group) else grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigFailure(f"there is no group {group} to become (--user)") from None
    return _user(entry.pw_name, entry.pw_uid, gid, all_groups=False)


def _user(name: str, uid: int, gid: int, *, all_groups: bool) -> User:
    if uid == 0:
        raise ConfigFailure(f"{name} is root, which msmtpd does not run as", hint="--user=NAME names another user")
    return User(name, uid, gid, os.getgrouplist(name, gid) if all_groups else ())


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _present(wanted: str) -> User:
    """Who we are, whatever the user database knows of it.  Raises ConfigFailure if somebody else is asked for."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    if wanted and named(wanted).uid != uid:
        raise ConfigFailure(f"only root can become another user (--user={wanted})", hint=f"this is {name}")
    return User(name, uid, gid, os.getgroups())


def drop(to: User, keep_capabilities: Sequence[str] = ()) -> None:
    """Become a user, with no capabilities but those named; and see that it is so.

    For who is that user already, nothing but capabilities go; those to be kept are kept as far as they are there.
    Raises SandboxFailure where the kernel does not do it, or not for good.
    """
    changes = os.getresuid() != (to.uid, to.uid, to.uid) or os.getresgid() != (to.gid, to.gid, to.gid)
    held = _held()
    kept = sum([1 << CAPABILITIES[name] for name in keep_capabilities]) & held
    try:
        if changes:
            _become(to, keep=bool(kept))
        if changes or held != kept:
            _library().call("capset", words(4, _CAPABILITY_VERSION_3, 0), words(4, kept, kept, 0, 0, 0, 0))
    except OSError as error:
        raise SandboxFailure(f"cannot become user {to.name}: {error.strerror}") from None
    _see(to, kept, changes)


def _become(to: User, *, keep: bool) -> None:
    if keep and os.geteuid() == 0:  # of capabilities, only a change from root takes them away
        _library().call("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups(to.groups)
    os.setresgid(to.gid, to.gid, to.gid)
    os.setresuid(to.uid, to.uid, to.uid)  # a program that is run later finds the flag above taken back by execve(2)


def _see(to: User, kept: int, changed: bool) -> None:
    """Raise SandboxFailure unless the process is what it should be, for good."""
    is_it = os.getresuid() == (to.uid,) * 3 and os.getresgid() == (to.gid,) * 3
    if not is_it or (changed and sorted(os.getgroups()) != to.groups):
        raise SandboxFailure(f"cannot become user {to.name}: the system says it did and did not")
    if _held() != kept:
        raise SandboxFailure("capabilities could not be given up")
    if to.uid and changed and not kept >> CAPABILITIES["setuid"] & 1 and _can_return():
        raise SandboxFailure(f"user {to.name} could become root again")


def _can_return() -> bool:
    for call in (os.setuid, os.seteuid):
        try:
            call(0)
        except OSError:
            continue
        return True
    return False


def _held() -> int:
    """The permitted and the effective capabilities, as bits; 0 where the C library cannot be asked and root is not."""
    try:
        library = _library()
    except ImportError:
        if 0 in os.getresuid():
            raise SandboxFailure("capabilities cannot be given up: Python was built without ctypes") from None
        return 0
    held = words(4, 0, 0, 0, 0, 0, 0)  # nobody else has these bytes; the kernel writes into them
    library.call("capget", words(4, _CAPABILITY_VERSION_3, 0), held)
    each = [int.from_bytes(held[at : at + 4], sys.byteorder) for at in range(0, 24, 4)]
    return (each[0] | each[1]) | (each[3] | each[4]) << 32


_libraries: list[Library] = []


def _library() -> Library:
    """The C library, looked up once: a supervisor's children have it from there."""
    if not _libraries:
        _libraries.append(Library())
    return _libraries[0]


def tidy(kept: Collection[int] = ()) -> None:
    """Have no descriptors of whoever started the daemon but 0, 1, 2 and ``kept``; for the very beginning.

    0, 1 and 2 that are closed lead to /dev/null, so that no file of ours ever gets one of these numbers.
    """
    keep_only(kept)
    for _ in range(3):
        nothing = os.open(os.devnull, os.O_RDWR)
        if nothing > 2:  # noqa: PLR2004 - the standard ones
            os.close(nothing)
            break
        os.set_inheritable(nothing, True)
