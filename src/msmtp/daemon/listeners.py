"""Listeners: the sockets that clients connect to, made by the daemon itself or handed over by systemd.

A unix socket has a name in the file system that somebody may hold already.  One that answers is another daemon's and
stays; one that nobody listens at was left behind, and is replaced; anything else is not ours to remove.  The folder is
locked meanwhile, so that of two daemons that start at once the second sees the first.  Nobody connects before owner and
permissions are as asked: it is bound with none, and listens last.  If a reload asks for others, there is a new socket,
which takes the name when the reload is in force: until then who connects gets what they would have got before.
"""

from __future__ import annotations

import _socket
import fcntl
import grp
import pwd
import stat
import time
from errno import EADDRINUSE, EADDRNOTAVAIL

from msmtp.daemon import service
from msmtp.daemon.places import hold_folder, trusted_users
from msmtp.failures import ConfigFailure, ListenerFailure, ServiceFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from typing import Final

    from msmtp.config.daemon_settings import Settings, UnixSocket

BACKLOG: Final = 128
MOST: Final = 64
"""Listeners that a service manager may hand over."""

TLS_NAMES = ("smtps", "submissions")
"""Names that systemd gives descriptors (FileDescriptorName=) by which TLS comes from the first octet on."""

KINDS = {_socket.AF_INET: "inet", _socket.AF_INET6: "inet6", _socket.AF_UNIX: "unix"}

_BESIDE = "~"  # behind the name of a socket that is to take another's name
_LOWEST_FREE_PORT = 1024
_PATH_LIMIT = 107  # octets, unix(7)
_LOCK_SECONDS, _LOCK_PAUSE = 2.0, 0.02
_EVERYTHING = 0o777  # permissions
_SOCKET_UNIT = "the socket unit needs ListenStream=, and Accept=no for a service without --inetd"


class Listener:
    """``fd``; ``name`` for people; ``kind``: inet, inet6 or unix; ``tls_first``: TLS comes from the first octet on.

    ``asked``: the name as the settings have it (port 0 gets another).  ``place``: device and number of the file of a
    unix socket that is ours to remove.  ``wanted``: that socket as the settings have it; ``beside``: the name that
    it has until :meth:`take_name`.
    """

    __slots__ = ("asked", "beside", "fd", "kind", "name", "place", "tls_first", "wanted")

    def __init__(
        self, fd: int, name: str, kind: str, *, tls_first: bool = False, place: tuple[int, int] | None = None
    ) -> None:
        self.fd = fd
        self.name = self.asked = name
        self.kind = kind
        self.tls_first = tls_first
        self.place = place
        self.wanted: UnixSocket | None = None
        self.beside = ""

    def has_name(self) -> bool:
        """Whether it is what clients find by a name in the file system."""
        try:
            return bool(self.place) and _place(os.lstat(self.beside or self.name)) == self.place
        except OSError:
            return False

    def take_name(self) -> None:
        """Have the name that was asked for, if that was another's until now.  Raises OSError."""
        if self.beside:
            os.rename(self.beside, self.name)
            self.beside = ""

    def close(self) -> None:
        """Listen no more; a unix socket's name goes, unless another has taken it meanwhile."""
        if self.has_name():
            try:
                os.unlink(self.beside or self.name)
            except OSError:
                pass
        if self.fd >= 0:
            os.close(self.fd)
        self.fd, self.place = -1, None

    def __repr__(self) -> str:
        return f"Listener({self.fd}, {self.name!r})"


# -- the daemon's own


def own(settings: Settings, held: Sequence[Listener] = (), users: Collection[int] = ()) -> list[Listener]:
    """Open what the settings name, and take over those of ``held`` that are so; the rest of these stays open.

    ``users``: numbers of those that the daemon becomes, who may own a unix socket's folder.  Raises ListenerFailure
    for what cannot be had, ConfigFailure for what makes no sense; nothing new is open then.
    """
    unix = {each.path: each for each in settings.sockets}
    named = {each.asked for each in held if each.has_name()}
    there = {
        (each.asked, each.tls_first): each
        for each in held
        if not each.place or (each.asked in named and each.wanted == unix.get(each.asked))
    }
    made: list[Listener] = []
    listeners = []
    try:
        for name, tls_first, open_it, arguments in _wanted(settings, trusted_users(users), named):
            listener = there.get((name, tls_first))
            if listener is None:
                listener = there[name, tls_first] = open_it(*arguments)
                listener.asked = name
                made.append(listener)
            if listener not in listeners:
                listeners.append(listener)
    except BaseException:
        for listener in made:
            listener.close()
        raise
    return listeners


def _wanted(
    settings: Settings, users: Collection[int], named: Collection[str]
) -> Iterator[tuple[str, bool, Callable[..., Listener], tuple[object, ...]]]:
    """Name as asked for, whether TLS comes first, and what opens it from what."""
    for ports, tls_first in ((settings.ports, False), (settings.smtps_ports, True)):
        for interface in settings.interfaces:
            for port in ports:
                yield at_port(interface, port), tls_first, at_internet_address, (interface, port, tls_first)
    for unix in settings.sockets:
        yield unix.path, False, at_path, (unix, users, unix.path in named)


def at_port(address: str, port: int) -> str:
    """A listener's name."""
    return f"{address}, port {port}"


def at_internet_address(interface: str, port: int, tls_first: bool = False) -> Listener:
    """Listen at an address of this machine, IPv4 or IPv6, written as numbers."""
    family, address = _address(interface, port)
    try:
        made = _socket.socket(family, _socket.SOCK_STREAM)
    except OSError as error:
        raise ListenerFailure(f"cannot listen on {at_port(interface, port)}: {error.strerror}") from None
    try:
        made.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if family == _socket.AF_INET6:
            made.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)  # ":: and 0.0.0.0" are two listeners
        made.bind(address)
        made.listen(BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        words = f"cannot listen on {at_port(interface, port)}: {error.strerror}"
        raise ListenerFailure(words, hint=_what_to_do(error, interface, port)) from None
    if not port:
        port = made.getsockname()[1]
    return Listener(made.detach(), at_port(interface, port), KINDS[family], tls_first=tls_first)


def _address(interface: str, port: int) -> tuple[int, tuple[object, ...]]:
    """Family and address for bind(2); ``%`` and an interface's name may follow an IPv6 address."""
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, interface.partition("%")[0])
            if "%" not in interface:
                return family, (interface, port)
            found = _socket.getaddrinfo(interface, port, family, _socket.SOCK_STREAM, 0, _socket.AI_NUMERICHOST)
            return family, found[0][4]
        except (OSError, UnicodeError, ValueError):
            continue
    raise ConfigFailure(
        f"cannot listen on {interface}: not an IPv4 or IPv6 address", hint="0.0.0.0 and :: are all of this machine"
    )


def _what_to_do(error: OSError, interface: str, port: int) -> str:
    if isinstance(error, PermissionError) and port < _LOWEST_FREE_PORT:
        return (
            f"ports below {_LOWEST_FREE_PORT} need a right: have systemd open the port (msmtpd.socket), or give the"
            " service CAP_NET_BIND_SERVICE, or start as root with --user, or take another port (--port=2500)"
        )
    if error.errno == EADDRINUSE:
        return f"another mail server may run there: ss -ltnp 'sport = :{port}' names it; or take another port (--port)"
    if error.errno == EADDRNOTAVAIL:
        return f"{interface} is no address of this machine, or not yet: see ip address"
    return ""


def at_path(wanted: UnixSocket, users: Collection[int], beside: bool = False) -> Listener:
    """Listen at a name in the file system, or ``beside`` it until :meth:`Listener.take_name`."""
    path = wanted.path + _BESIDE if beside else wanted.path
    if len(os.fsencode(path)) > _PATH_LIMIT:
        raise ConfigFailure(f"cannot listen on {path}: a unix socket's name has {_PATH_LIMIT} octets at most")
    owner, group = _number_of("user", wanted.user), _number_of("group", wanted.group)
    folder = hold_folder(path, users)
    try:
        _lock(folder)
        _make_way(path, folder)
        made, place = _bound(path)
        try:
            if (owner, group) != (-1, -1):
                os.chown(path, owner, group, follow_symlinks=False)
            os.chmod(path, _EVERYTHING & ~_umask() if wanted.mode is None else wanted.mode)
            made.listen(BACKLOG)
            made.setblocking(False)
        except BaseException:
            os.unlink(path)
            made.close()
            raise
    except OSError as error:
        raise ListenerFailure(f"cannot listen on {path}: {error.strerror}") from None
    finally:
        os.close(folder)
    listener = Listener(made.detach(), wanted.path, "unix", place=place)
    listener.wanted, listener.beside = wanted, path if beside else ""
    return listener


def _lock(folder: int) -> None:
    """Wait for another daemon that starts; not for ever, since in a folder of everybody anybody may hold the lock."""
    end = time.monotonic() + _LOCK_SECONDS
    while time.monotonic() < end:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE)
        else:
            return


def _make_way(path: str, folder: int) -> None:
    """Remove a socket that nobody listens at.  Raises ListenerFailure for anything else that has the name."""
    name = path.rpartition("/")[2]
    try:
        about = os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(about.st_mode):
        raise ListenerFailure(f"cannot listen on {path}: there is something that is not a socket")
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        probe.setblocking(False)  # a full backlog is an answer, too
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(name, dir_fd=folder)
        return
    except (BlockingIOError, PermissionError):
        pass
    finally:
        probe.close()
    raise ListenerFailure(
        f"cannot listen on {path}: somebody does already", hint="another msmtpd may run there; or name another path"
    )


def _bound(path: str) -> tuple[_socket.socket, tuple[int, int]]:
    """A socket bound to the name, to which nobody may connect yet."""
    made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    before = os.umask(_EVERYTHING)
    try:
        made.bind(path)
        return made, _place(os.lstat(path))
    except BaseException:
        made.close()
        raise
    finally:
        os.umask(before)


def _place(about: os.stat_result) -> tuple[int, int]:
    return about.st_dev, about.st_ino


def _umask() -> int:
    mask = os.umask(_EVERYTHING)
    os.umask(mask)
    return mask


def _number_of(kind: str, name: str) -> int:
    """Number of a user or group, given by name or number; -1 for none."""
    if not name:
        return -1
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        if kind == "user":
            return pwd.getpwnam(name).pw_uid
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigFailure(f"there is no {kind} {name}, who is to own a unix socket") from None


# -- systemd's


def inherited() -> list[Listener] | None:
    """Listeners that systemd handed over; None if it handed none over, or to another process.

    Raises ServiceFailure for what is not a listening stream socket, or for too many.
    """
    passed = service.received()
    if passed is None:
        return None
    if len(passed) > MOST:
        raise ServiceFailure(f"systemd handed over {len(passed)} sockets: more than {MOST}")
    return [_checked(descriptor, name) for descriptor, name in passed]


def connection() -> int | None:
    """The connection that systemd handed over (Accept=yes), None if there is none.  Raises ServiceFailure."""
    passed = service.received()
    if passed is None:
        return None
    if len(passed) != 1:
        raise ServiceFailure(f"systemd handed over {len(passed)} sockets, where one connection is to be served")
    descriptor = passed[0][0]
    with_what = _taken(descriptor)
    try:
        kind, listens = _type_of(with_what)
    finally:
        with_what.detach()
    if kind != _socket.SOCK_STREAM or listens:
        raise ServiceFailure("systemd did not hand over a connection", hint="--inetd goes with Accept=yes")
    return descriptor


def _checked(descriptor: int, name: str) -> Listener:
    taken = _taken(descriptor)
    try:
        family = taken.family
        kind, listens = _type_of(taken)
        if family not in KINDS or kind != _socket.SOCK_STREAM:
            raise ServiceFailure(
                f"descriptor {descriptor} ({name}) from systemd is not a stream socket", hint=_SOCKET_UNIT
            )
        if not listens:
            raise ServiceFailure(f"descriptor {descriptor} ({name}) from systemd does not listen", hint=_SOCKET_UNIT)
        taken.setblocking(False)
        where = taken.getsockname()
    finally:
        taken.detach()
    text = os.fsdecode(where) if family == _socket.AF_UNIX else at_port(where[0], where[1])
    return Listener(descriptor, text or name, KINDS[family], tls_first=name in TLS_NAMES)


def _taken(descriptor: int) -> _socket.socket:
    try:
        return _socket.socket(fileno=descriptor)
    except OSError:
        raise ServiceFailure(f"descriptor {descriptor} from systemd is not a socket", hint=_SOCKET_UNIT) from None


def _type_of(taken: _socket.socket) -> tuple[int, bool]:
    kind = taken.getsockopt(_socket.SOL_SOCKET, _socket.SO_TYPE)
    return kind, kind == _socket.SOCK_STREAM and bool(taken.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN))
