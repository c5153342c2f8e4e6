"""Peers: who is at the other end of a connection, by the kernel's word alone.

    watcher = Watcher()             before the sandbox
    peer = watcher.of(descriptor)   for each connection
    key(peer)                       who has to bear the limits and delays that this peer earns

For a unix socket the kernel tells the user.  For a connection of this machine with itself it can be asked for the user
of the other end's socket; without that all local users would be one source, and each could use up the others' share.
The question goes to the kernel by netlink (sock_diag(7)), for exactly this pair of addresses, so that it costs the same
however many sockets there are; where that is not to be had, /proc/net/tcp is read.  Behind a boundary of network
namespaces neither finds the socket; then the address is the source, as it is for everybody else.
"""

from __future__ import annotations

import _socket
import errno
import sys
from struct import Struct

from msmtp.failures import shown
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from msmtp.config.daemon_settings import Network
    from msmtp.daemon.channel import Message

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, _NLMSG_ERROR = 4, 20, 1, 2
_TCP, _ESTABLISHED, _TIME_WAIT, _ANY_STATE = 6, 1, 6, 0xFFFFFFFF
_QUESTION = Struct("=IHHII BBBBI")  # struct nlmsghdr; struct inet_diag_req_v2 up to its id
_ID = Struct("!HH16s16s")  # struct inet_diag_sockid: the two ports, the two addresses; interface and cookie follow
_ANY_SOCKET = bytes(4) + b"\xff" * 8  # no interface; INET_DIAG_NOCOOKIE
_HEADER = Struct("=IHHII")
_ANSWER = Struct("=BBBB48s IIIII")  # struct inet_diag_msg: state is the second, user and inode the last two
_PATIENCE = 0.2  # seconds; the kernel answers while it is asked

_USERS = "/etc/passwd"
_NUMBER_FIELD = 2
_MOST_USERS = 10_000

_MAPPED = bytes(10) + b"\xff\xff"
_IPV4, _IPV6, _NET64 = 4, 16, 8
_VANISHED = "0.0.0.0"  # noqa: S104 - nothing is bound to it; it stands for an address that nobody has


class Peer:
    """Who connected.

    ``address`` and ``port``: '' and 0 at a unix socket; an IPv4 address that came as an IPv6 one is an IPv4 address.
    ``uid``: the user's number, None if it is not known.  ``local``: the address that was connected to, the path of a
    unix socket.
    """

    __slots__ = ("address", "local", "port", "uid")

    def __init__(self, address: str, port: int, uid: int | None, local: str) -> None:
        self.address = address
        self.port = port
        self.uid = uid
        self.local = local

    def __str__(self) -> str:
        """For the log and for status: address and port, the user where one is known."""
        user = "" if self.uid is None else f"user {user_name(self.uid)}"
        where = f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"
        if self.address:
            return f"{where} ({user})" if user else where
        return f"{user or 'somebody'} at {self.local or 'a local socket'}"


def told(message: Message) -> Peer:
    """The peer that a message between processes tells of."""
    uid = message.number("uid")
    address, local = message.octets("address"), message.octets("local")
    return Peer(address.decode(), message.number("port"), uid if uid < _NO_USER else None, local.decode())


_NO_USER = 0xFFFFFFFF  # (uid_t) -1, and all above it


class Watcher:
    """Asks the kernel.  ``fallback``: whether /proc is read if netlink has no answer."""

    __slots__ = ("_netlink", "_overflow", "_sequence", "fallback")

    def __init__(self, *, fallback: bool = True) -> None:
        self.fallback = fallback
        self._sequence = 0
        self._overflow = overflow_user()
        self._netlink: _socket.socket | None = None
        try:
            self._netlink = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
            self._netlink.settimeout(_PATIENCE)
        except OSError:  # a kernel without it, RestrictAddressFamilies=
            self.close()

    def fileno(self) -> int:
        """The descriptor it holds, -1 for none."""
        return self._netlink.fileno() if self._netlink else -1

    def close(self) -> None:
        """Ask no more."""
        if self._netlink:
            self._netlink.close()
            self._netlink = None

    def of(self, descriptor: int) -> Peer:
        """Who is at the other end; the descriptor stays the caller's, and need not be a socket."""
        try:
            connection = _socket.socket(-1, -1, -1, descriptor)
        except OSError as error:
            if error.errno != errno.ENOTSOCK:
                raise
            return Peer("", 0, None, "")  # a pipe or a file, under inetd
        try:
            return self._of(connection)
        finally:
            connection.detach()

    def _of(self, connection: _socket.socket) -> Peer:
        if connection.family == _socket.AF_UNIX:
            return Peer("", 0, self._known(credentials(connection)), _path(connection))
        if connection.family not in {_socket.AF_INET, _socket.AF_INET6}:
            return Peer("", 0, None, "")
        ours = connection.getsockname()
        try:
            theirs = connection.getpeername()
        except OSError as error:
            if error.errno not in {errno.ENOTCONN, errno.EINVAL}:
                raise
            theirs = (_VANISHED, 0)  # reset before it was looked at
        peer = Peer(plain(theirs[0]), theirs[1], None, plain(ours[0]))
        if is_local(peer):
            peer.uid = self.user_of(peer.address, peer.port, peer.local, ours[1])
        return peer

    def user_of(self, address: str, port: int, other: str, other_port: int) -> int | None:
        """The user of the TCP socket of this machine that is bound to the first and connected to the second.

        None if there is none, or nobody holds it any more: the kernel then says root, which would be wrong.
        """
        family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
        where = _socket.inet_pton(family, address), _socket.inet_pton(family, other)
        found = self._ask(family, where, (port, other_port)) if self._netlink else None
        if found is None and self.fallback:
            found = listed_user(family, where, (port, other_port))
        return self._known(found)

    def _known(self, uid: int | None) -> int | None:
        return None if uid is None or uid >= _NO_USER or uid == self._overflow else uid

    def _ask(self, family: int, where: tuple[bytes, bytes], ports: tuple[int, int]) -> int | None:
        assert self._netlink
        self._sequence = (self._sequence + 1) & 0x7FFFFFFF
        length = _QUESTION.size + _ID.size + len(_ANY_SOCKET)
        question = _QUESTION.pack(
            length, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, self._sequence, 0, family, _TCP, 0, 0, _ANY_STATE
        )
        identity = _ID.pack(*ports, *where)
        try:
            self._netlink.send(question + identity + _ANY_SOCKET)
            while True:
                answer = self._netlink.recv(4096)
                if _HEADER.unpack_from(answer)[3] == self._sequence:  # not the late answer to an earlier question
                    return _user_in(answer, identity)
        except OSError:
            return None


def _user_in(answer: bytes, identity: bytes) -> int | None:
    """The user in an answer of sock_diag; None for an error, a listener, a socket that nobody holds."""
    if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY or len(answer) < _HEADER.size + _ANSWER.size:
        return None
    _, state, _, _, found, *_, uid, inode = _ANSWER.unpack_from(answer, _HEADER.size)
    same_ports = found[:4] == identity[:4]  # an IPv4 socket may be told of as IPv6, so the addresses are not compared
    return int(uid) if same_ports and inode and state != _TIME_WAIT else None


def listed_user(family: int, where: tuple[bytes, bytes], ports: tuple[int, int]) -> int | None:
    """The same from /proc/net/tcp and, since an IPv6 socket may speak IPv4, tcp6; slow where there are many sockets."""
    wanted = [("/proc/net/tcp6", _listed(where, ports))]
    if family == _socket.AF_INET:
        wanted = [
            ("/proc/net/tcp", _listed(where, ports)),
            ("/proc/net/tcp6", _listed((_MAPPED + where[0], _MAPPED + where[1]), ports)),
        ]
    for path, pair in wanted:
        try:
            with open(path, "rb", buffering=65_536) as file:
                for line in file:
                    fields = line.split(None, 10)
                    # local address, remote address; then state, queues, timer, retransmissions, user, timeout, inode
                    if fields[1:3] == pair and fields[9] != b"0":
                        return int(fields[7])
        except (OSError, ValueError, IndexError):
            continue
    return None


def _listed(where: tuple[bytes, bytes], ports: tuple[int, int]) -> list[bytes]:
    """Addresses as /proc/net/tcp has them: words of four octets in the machine's order."""
    listed = []
    for packed, port in zip(where, ports, strict=True):
        words = [int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4)]
        listed.append(b"%b:%04X" % (b"".join([b"%08X" % word for word in words]), port))
    return listed


def credentials(connection: _socket.socket) -> int | None:
    """The user who connected to a unix socket, None if the kernel does not say."""
    try:
        said = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    except OSError:
        return None
    return int.from_bytes(said[4:8], sys.byteorder)


def _path(connection: _socket.socket) -> str:
    """The name of a unix socket, printable whatever it is."""
    return shown(os.fsencode(connection.getsockname()), 0)


def overflow_user() -> int:
    """The number that stands for all users whom this process's user namespace does not know; -1 if it knows all."""
    try:
        with open("/proc/self/uid_map", "rb") as file:
            mapped = sum([int(line.split()[2]) for line in file])
        if mapped == _NO_USER:
            return -1
        with open("/proc/sys/kernel/overflowuid", "rb") as file:
            return int(file.read())
    except (OSError, ValueError, IndexError):
        return -1


# What follows from a peer.


def plain(address: str) -> str:
    """An IPv6 address that stands for an IPv4 one as the latter; any other as it is."""
    return address[7:] if address[:7].lower() == "::ffff:" and "." in address else address


def packed(address: str) -> bytes:
    """The octets of an address, b'' if it is none (a unix socket has none)."""
    try:
        if ":" not in address:
            return _socket.inet_pton(_socket.AF_INET, address)
        octets = _socket.inet_pton(_socket.AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return b""
    return octets.removeprefix(_MAPPED) if len(octets) == _IPV6 else octets


def key(peer: Peer) -> bytes:
    """Who has to bear limits and delays: ``uid:N``, an IPv4 address, or the /64 of an IPv6 address, which is one's own.

    At a unix socket whose user is not known, ``local``.
    """
    if peer.uid is not None:
        return b"uid:%d" % peer.uid
    octets = packed(peer.address)
    if len(octets) == _IPV4:
        return _socket.inet_ntop(_socket.AF_INET, octets).encode()
    if len(octets) == _IPV6:
        return _socket.inet_ntop(_socket.AF_INET6, octets[:_NET64] + bytes(8)).encode() + b"/64"
    return b"local"


def is_local(peer: Peer) -> bool:
    """Whether this machine talks to itself: a unix socket, a loopback address, an address of its own."""
    octets = packed(peer.address)
    if not octets:
        return not peer.address
    return (octets[:1] == b"\x7f" and len(octets) == _IPV4) or peer.address in {"::1", peer.local}


def within(peer: Peer, networks: Iterable[Network]) -> bool:
    """Whether one of the networks holds the peer; of unix sockets the one named so does."""
    octets = packed(peer.address)
    if peer.address and not octets:
        return False
    return any(network.holds(octets) for network in networks)


_NAMES: dict[int, str] = {}


def learn_users(file: str = _USERS) -> None:
    """Read the users' names while that is allowed; one that is not in the file goes by number."""
    _NAMES.clear()
    try:
        with open(file, "rb") as lines:
            for line in lines:
                fields = line.split(b":", 3)
                if len(fields) > _NUMBER_FIELD and fields[_NUMBER_FIELD].isdigit() and len(_NAMES) < _MOST_USERS:
                    _NAMES.setdefault(int(fields[_NUMBER_FIELD]), shown(fields[0], 64))
    except OSError:
        return


def user_name(uid: int) -> str:
    """A user's name for people, the number where the name is not known."""
    return _NAMES.get(uid) or str(uid)
