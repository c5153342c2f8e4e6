"""What msmtpd's options can be set to: a parser for each kind of value, and classes for those that are no plain ones.

A parser raises ValueError for what it cannot read; what was wrong is then said by :mod:`msmtp.config.explain`.
"""

from __future__ import annotations

from msmtp.config.options import LARGEST_PORT, parse_nothing, parse_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}
"""Letter behind a size: octets."""

PERIODS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
"""Letter behind a time: seconds."""

LONGEST_TIME = 7 * 86400
LARGEST_MAIL = 64 * 1024**3
LONGEST_DOMAIN = 255
LONGEST_SOCKET_PATH = 107
"""Octets that the address of a unix domain socket has room for (unix(7)), but for the NUL at its end."""

SOCKET_ATTRIBUTES = ("mode", "group", "user")
PERMISSIONS = 0o777

_MAPPED = bytes(10) + b"\xff\xff"
_IPV6 = 16
_PRINTABLE = range(0x21, 0x7F)


class UnixSocket:
    """A unix domain socket to listen at.

    ``path``; ``mode``, its permissions (None: as the umask leaves them); ``user`` and ``group`` by name or number ('':
    as they come).
    """

    __slots__ = ("group", "mode", "path", "user")

    def __init__(self, path: str, mode: int | None = None, user: str = "", group: str = "") -> None:
        self.path = path
        self.mode = mode
        self.user = user
        self.group = group

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnixSocket) and all(getattr(self, n) == getattr(other, n) for n in self.__slots__)

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"UnixSocket({self.path!r}, {self.mode!r}, {self.user!r}, {self.group!r})"


class Network:
    """Addresses that begin alike: the first ``bits`` of ``packed``; b'' stands for peers at unix domain sockets."""

    __slots__ = ("bits", "packed")

    def __init__(self, packed: bytes, bits: int = 0) -> None:
        self.packed = packed
        self.bits = bits

    def holds(self, packed: bytes) -> bool:
        """Whether an address is one of them: as inet_pton(3) gives it, b'' for a peer at a unix domain socket.

        An IPv4 address that comes as an IPv6 one (``::ffff:192.0.2.1``) is an IPv4 address.
        """
        packed = unmapped(packed)
        if len(packed) != len(self.packed):
            return False
        rest = len(packed) * 8 - self.bits
        return int.from_bytes(packed, "big") >> rest == int.from_bytes(self.packed, "big") >> rest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Network) and (self.packed, self.bits) == (other.packed, other.bits)

    def __hash__(self) -> int:
        return hash(self.packed)

    def __repr__(self) -> str:
        return f"Network({self.packed!r}, {self.bits})"


def unmapped(packed: bytes) -> bytes:
    """An address without the dress of the other family."""
    return packed[12:] if len(packed) == _IPV6 and packed[:12] == _MAPPED else packed


def packed_address(text: str) -> bytes:
    """Read an IPv4 or IPv6 address; 4 or 16 octets.  Raises ValueError."""
    from _socket import AF_INET, AF_INET6, inet_pton

    try:
        return inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, UnicodeError):
        raise ValueError(text) from None


def parse_interface(text: str) -> str:
    """Read an address to listen at, brackets around it or not; one of a link needs its zone: ``fe80::1%eth0``."""
    if text[:1] == "[" and text[-1:] == "]":
        text = text[1:-1]
    address, percent, zone = text.partition("%")
    packed = packed_address(address)
    is_of_link = len(packed) == _IPV6 and packed[0] == 0xFE and packed[1] & 0xC0 == 0x80  # noqa: PLR2004 - fe80::/10
    if bool(percent) != is_of_link or bool(zone) != is_of_link:
        raise ValueError(text)
    return text


def parse_listening_port(text: str) -> int:
    """Read a port, 0 to 65535; 0 lets the system choose one."""
    if (number := parse_number(text)) > LARGEST_PORT:
        raise ValueError(text)
    return number


def parse_unix_socket(text: str) -> UnixSocket:
    """Read ``PATH[,mode=0660][,group=NAME][,user=NAME]``."""
    path, *attributes = text.split(",")
    if not path or "\0" in path:
        raise ValueError(text)
    found: dict[str, str] = {}
    for attribute in attributes:
        name, _, value = attribute.partition("=")
        if name not in SOCKET_ATTRIBUTES or name in found or not value:
            raise ValueError(text)
        found[name] = value
    mode = parse_mode(found["mode"]) if "mode" in found else None
    return UnixSocket(path, mode, found.get("user", ""), found.get("group", ""))


def parse_mode(text: str) -> int:
    """Read permissions: three octal digits, 0 before them or not."""
    digits = text.removeprefix("0")
    if len(digits) != 3 or not set(digits) <= set("01234567"):  # noqa: PLR2004 - user, group, others
        raise ValueError(text)
    return int(digits, 8)


def parse_network(text: str) -> Network:
    """Read ``ADDRESS``, ``ADDRESS/BITS`` or ``unix``."""
    if text == "unix":
        return Network(b"")
    address, slash, bits = text.partition("/")
    packed = packed_address(address)
    width = len(packed) * 8
    number = _decimal(bits) if slash else width
    if number > width or int.from_bytes(packed, "big") & ((1 << (width - number)) - 1):
        raise ValueError(text)
    mapped = width - len(unmapped(packed)) * 8
    return Network(unmapped(packed), number - mapped) if number >= mapped else Network(packed, number)


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def _scaled(text: str, scales: dict[str, int]) -> int:
    unit = text[-1:].lower()
    return _decimal(text[:-1]) * scales[unit] if unit in scales else _decimal(text)


def parse_octets(text: str) -> int:
    """Read a size: octets, or with k, m or g behind them; 0 is none."""
    if (size := _scaled(text, UNITS)) > LARGEST_MAIL:
        raise ValueError(text)
    return size


def parse_time(text: str) -> int:
    """Read a time: seconds, or with s, m, h or d behind them."""
    if not 0 < (seconds := _scaled(text, PERIODS)) <= LONGEST_TIME:
        raise ValueError(text)
    return seconds


def within(least: int, most: int) -> Callable[[str], int]:
    """Make a parser of numbers in a range."""

    def parse(text: str) -> int:
        if not least <= (number := _decimal(text)) <= most:
            raise ValueError(text)
        return number

    return parse


def parse_login(text: str) -> tuple[str, str | None]:
    """Read ``USER`` or ``USER,COMMAND``: who may authenticate, and what prints the password."""
    user, comma, command = text.partition(",")
    if not user or not user.isprintable() or (comma and not command.strip()) or "\0" in command:
        raise ValueError(text)
    return user, command if comma else None


def parse_template(text: str) -> str:
    """Read the command that takes the mails: its first word is a program, and its quotes are closed."""
    words = text.split()
    if not words or "%F" in words[0] or "\0" in text:
        raise ValueError(text)
    if not {"'", '"', "\\"}.isdisjoint(text):
        from shlex import split

        split(text, comments=True)
    return text


def parse_domain(text: str) -> str:
    """Read the name that the server goes by: a domain, or an address in brackets."""
    if not text or len(text) > LONGEST_DOMAIN or not all(ord(sign) in _PRINTABLE for sign in text):
        raise ValueError(text)
    inner = text[1:-1].removeprefix("IPv6:") if text[0] == "[" and text[-1] == "]" else ""
    if inner:
        packed_address(inner)
    elif not all(label.replace("-", "").isalnum() for label in text.split(".")):
        raise ValueError(text)
    return text


def parse_identity(text: str) -> str:
    """Read ``USER`` or ``USER:GROUP``, each a name or a number."""
    user, colon, group = text.partition(":")
    if not user or (colon and not group) or ":" in group or not text.isprintable() or " " in text:
        raise ValueError(text)
    return text


def parse_address(text: str) -> str:
    """Read the address of a mail: something, an @, a domain; no blanks and nothing that is not printed."""
    local, _, domain = text.rpartition("@")
    if not local or not domain or text[0] == "-" or not text.isprintable() or not set(text).isdisjoint(" <>,"):
        raise ValueError(text)
    return text


def parse_path(text: str) -> str:
    """Read the name of a file."""
    if not text or "\0" in text:
        raise ValueError(text)
    return text


WORDS: dict[str, dict[str, object]] = {
    "switch": {"on": True, "off": False},
    "health": {"ready": "ready", "alive": "alive"},
    "sandbox": {"require": "require", "try": "try", "off": "off"},
}
"""kind: the words it takes and what is stored for each."""

PARSERS: dict[str, Callable[[str], object] | None] = {
    "nothing": parse_nothing,
    "file": parse_path,
    "address": parse_address,
    "log": parse_path,
    "status": parse_path,
    "interface": parse_interface,
    "listening_port": parse_listening_port,
    "unix_socket": parse_unix_socket,
    "network": parse_network,
    "octets": parse_octets,
    "time": parse_time,
    "sessions": within(1, 4096),
    "share": within(0, 4096),
    "waiting": within(0, 64),
    "recipients": within(1, 5000),
    "hops": within(1, 1000),
    "login": parse_login,
    "template": parse_template,
    "domain": parse_domain,
    "identity": parse_identity,
}
"""kind: how its text is read."""
