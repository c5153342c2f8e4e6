"""What msmtpd was told: the settings that its processes read.

Every attribute but a few has its option; :mod:`msmtp.config.daemon_options` holds them and their defaults.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_COMMAND = "msmtp -f %F --"
"""What ``command`` None stands for."""

UNIX = "unix"
"""The network of all peers at a unix domain socket."""


class UnixSocket:
    """A unix domain socket to listen at: ``path``, ``mode`` (permissions; None: as the umask leaves them), ``user`` and
    ``group`` by name or number ('': as they come)."""

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
        if packed[:12] == _MAPPED and len(packed) == _IPV6:
            packed = packed[12:]
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


_MAPPED = bytes(10) + b"\xff\xff"
_IPV6 = 16


class Settings:
    """What to do and how; the options are explained in :mod:`msmtp.config.daemon_texts`.

    ``mode``: serve, inetd, status, version or help.  ``command`` None: the default command.  ``auth``: users, each with
    the command that prints the password, or None.  Sizes are octets, times seconds; 0 of ``max_size`` is no limit, 0 of
    ``max_sessions_per_source`` half of ``max_sessions`` but at least 1 (see :attr:`sessions_per_source`).  ``argv`` are
    the words that all this was read from.
    """

    __slots__ = (
        "argv",
        "auth",
        "command",
        "command_timeout",
        "config",
        "daemon",
        "domain",
        "idle_timeout",
        "interfaces",
        "lmtp",
        "log",
        "login_timeout",
        "max_hops",
        "max_recipients",
        "max_sessions",
        "max_sessions_per_source",
        "max_size",
        "mode",
        "peer_names",
        "pidfile",
        "ports",
        "proxy_protocol",
        "sandbox",
        "session_timeout",
        "smtps_ports",
        "sockets",
        "spool",
        "status_socket",
        "strict",
        "tls_cert",
        "tls_key",
        "user",
        "warm",
        "workers_ahead",
    )

    def __init__(self, argv: Sequence[str] = ("msmtpd",)) -> None:
        self.argv = list(argv)
        self.mode = "serve"
        self.config = ""
        self.interfaces: list[str] = ["127.0.0.1"]
        self.ports: list[int] = [25]
        self.smtps_ports: list[int] = []
        self.sockets: list[UnixSocket] = []
        self.daemon = False
        self.pidfile = ""
        self.user = ""
        self.log = "none"
        self.command: str | None = None
        self.auth: list[tuple[str, str | None]] = []
        self.domain = "localhost"
        self.max_sessions = 16
        self.max_sessions_per_source = 0
        self.max_recipients = 1000
        self.max_size = 100 * 1024 * 1024
        self.max_hops = 100
        self.command_timeout = 300
        self.session_timeout = 1200
        self.idle_timeout = 300
        self.login_timeout = 30
        self.lmtp = False
        self.strict = False
        self.proxy_protocol: list[Network] = []
        self.peer_names = False
        self.tls_cert = ""
        self.tls_key = ""
        self.sandbox = "require"
        self.spool = ""
        self.status_socket = ""
        self.warm = True
        self.workers_ahead = 2

    @property
    def sessions_per_source(self) -> int:
        """How many sessions one source may have at a time."""
        return self.max_sessions_per_source or max(1, self.max_sessions // 2)

    def __repr__(self) -> str:
        return f"Settings({self.mode!r})"
