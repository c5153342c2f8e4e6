"""ROLES: what each kind of process may still do, a row a role.

What a process may do is the descriptors it holds when it enters its role, and little more.  The row says what is left:
which system calls (by the name of a filter; its groups, with reasons, are in ``syscalls``), which paths Landlock gives
back, to which TCP ports it may still connect, its limits, its namespaces, its capabilities.
"""

from __future__ import annotations

RESOURCES = {"core": 4, "processes": 6, "descriptors": 7, "memory": 9, "seconds": 0, "file": 1}
"""What a limit is called here, and the number of the resource (RLIMIT_CORE, NPROC, NOFILE, AS, CPU, FSIZE)."""

CAPABILITIES = {"kill": 5, "setgid": 6, "setuid": 7}
"""Those that a role may keep if it is asked to, and the number of each (linux/capability.h)."""

NAMESPACES = {"user": 1 << 28, "net": 1 << 30, "ipc": 1 << 27, "uts": 1 << 26, "cgroup": 1 << 25}
"""CLONE_NEW* by the name of the namespace."""

FOLDER = "/.."
"""At the end of a path with a placeholder: the folder."""

NO_FILES, READ_FILES, WRITE_FILES, RUN_FILES = 0, 1, 2, 3

ABSTRACT, SIGNALS = 1, 2
"""What Landlock keeps within the process's domain: abstract unix sockets, signals."""


class Role:
    """A kind of process.

    ``filter``: the seccomp filter, '' for none; ``reading_filter``, ``running_filter``: those taken when paths are to
    stay readable, or executable ('' if the first allows it).  ``files``: NO_FILES, READ_FILES, WRITE_FILES or
    RUN_FILES, the most that may be asked for.  ``readable``, ``writable``: paths that this role always needs, beside
    those given when it is entered.  In them, ``{NAME}`` is an environment variable (without it, the path is left out),
    ``{NAME}/..`` the folder of the file that it names, ``{UID}`` the user's number.  ``landlock``: whether Landlock
    confines it.  ``ports``: TCP ports it may connect to, None for TCP as it likes.  ``scopes``: what Landlock keeps
    within its domain.  ``limits``: (name of RESOURCES, value), soft and hard, None for no limit unless one is given
    when the role is entered.  ``capabilities``: None leaves them alone, otherwise all go but those of these names that
    are asked for.  ``parent_death_signal``: sent to it when its parent ends, 0 for none.  ``namespaces``: names of
    NAMESPACES to have its own of.
    """

    __slots__ = (
        "capabilities",
        "dumpable",
        "files",
        "filter",
        "landlock",
        "limits",
        "name",
        "namespaces",
        "no_new_privileges",
        "parent_death_signal",
        "ports",
        "purpose",
        "readable",
        "reading_filter",
        "running_filter",
        "scopes",
        "writable",
    )

    def __init__(  # noqa: PLR0913 - a row of the table
        self,
        name: str,
        purpose: str,
        *,
        filter: str,  # noqa: A002 - the row's word
        reading_filter: str = "",
        running_filter: str = "",
        files: int = NO_FILES,
        readable: tuple[str, ...] = (),
        writable: tuple[str, ...] = (),
        landlock: bool = True,
        ports: tuple[int, ...] | None = (),
        scopes: int = ABSTRACT | SIGNALS,
        limits: tuple[tuple[str, int | None], ...] = (("core", 0),),
        capabilities: tuple[str, ...] | None = None,
        no_new_privileges: bool = True,
        dumpable: bool = False,
        parent_death_signal: int = 0,
        namespaces: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.purpose = purpose
        self.filter = filter
        self.reading_filter = reading_filter
        self.running_filter = running_filter
        self.files = files
        self.readable = readable
        self.writable = writable
        self.landlock = landlock
        self.ports = ports
        self.scopes = scopes
        self.limits = limits
        self.capabilities = capabilities
        self.no_new_privileges = no_new_privileges
        self.dumpable = dumpable
        self.parent_death_signal = parent_death_signal
        self.namespaces = namespaces


_ALONE = (("core", 0), ("processes", 0))

_SIGTERM = 15

_MEMORY = 256 << 20  # octets; Python with all that a worker imports needs 40 MiB of addresses

_RESOLVER = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services")

_RESOLVERS_OWN = ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager")
"""Where resolv.conf may really be.  Folders: the file is replaced when the network changes."""

_NAME_SERVICES = ("/run/nscd", "/run/systemd/resolve", "/run/avahi-daemon", "/var/lib/sss/pipes", "/dev/null")
"""Local services that nsswitch.conf may send a question to, by unix sockets."""

_KERBEROS = (
    "{KRB5_CONFIG}",
    "/etc/krb5.conf",
    "/etc/krb5.conf.d",
    "/etc/crypto-policies/back-ends",  # Fedora: included by krb5.conf
    "/var/lib/sss/pubconf",  # sssd: which distribution centre to ask
    "/etc/gss",
    "/etc/passwd",
)

_TICKETS = (
    "{KRB5CCNAME}",
    "/tmp/krb5cc_{UID}",  # noqa: S108 - MIT Kerberos keeps tickets there
    "/run/user/{UID}/krb5cc",
    "/run/.heim_org.h5l.kcm-socket",
    "/var/lib/sss/pipes",
    "/run/nscd",
    "/dev/null",
)

_TOKEN_SETTINGS = (
    "/etc/pkcs11",
    "/usr/share/p11-kit",
    "/etc/softhsm",
    "/etc/softhsm2.conf",
    "/etc/opensc",
    "/etc/passwd",
    "/etc/ssl",
    "/etc/pki",
    "/sys",  # readers and their devices
    "{HOME}/.config/pkcs11",
)

_TOKENS = (
    "{SOFTHSM2_CONF}/..",
    "{HOME}/.config/softhsm2",
    "/var/lib/softhsm",
    "/run/pcscd",
    "/run/p11-kit",
    "/run/user/{UID}/p11-kit",
    "{P11_KIT_SERVER_ADDRESS}",
    "/dev/tpmrm0",
    "/dev/tpm0",
    "/dev/bus/usb",
    "/var/lib/opencryptoki",
    "/dev/null",
)


def _by_name(*rows: Role) -> dict[str, Role]:
    return {row.name: row for row in rows}


ROLES = _by_name(
    Role(
        "sender",
        "hands a mail to a server, or asks what it offers: holds the connection, the mail, the log",
        filter="sender",
        reading_filter="sender-reading",
        files=READ_FILES,
        limits=_ALONE,
    ),
    Role(
        "sender-pkcs11",
        "the same with a client certificate's key on a token: reaches the token's files, device or daemon",
        filter="sender-pkcs11",
        files=WRITE_FILES,
        readable=_TOKEN_SETTINGS,
        writable=_TOKENS,
        limits=_ALONE,
    ),
    Role(
        "sender-gssapi",
        "the same with Kerberos: reads its settings, uses its cache, asks the key distribution centre for a ticket",
        filter="sender-gssapi",
        files=WRITE_FILES,
        readable=_RESOLVER + _KERBEROS,
        writable=_TICKETS,
        ports=(53, 88),
        limits=_ALONE,
    ),
    # The daemon's, which no daemon uses yet; see "The daemon's roles" in docs/security.md.
    Role(
        "supervisor",
        "accepts connections and gives each to a worker: holds the listeners, the processes' pidfds, their channels",
        filter="supervisor",
        running_filter="supervisor-running",
        files=RUN_FILES,
        scopes=ABSTRACT,  # it ends its children
        limits=(("core", 0), ("descriptors", None)),
        capabilities=("kill", "setgid", "setuid"),
    ),
    Role(
        "auth",
        "compares passwords with what is stored of them, and hands the delivery channel to a worker that knows one",
        filter="auth",
        limits=(("core", 0), ("processes", 0), ("descriptors", None), ("memory", _MEMORY)),
        capabilities=(),
        parent_death_signal=_SIGTERM,
    ),
    Role(
        "nursery",
        "forks the workers, each of which then has less: holds a channel to the supervisor",
        filter="nursery",
        limits=(("core", 0), ("descriptors", None), ("memory", _MEMORY)),
        capabilities=(),
        parent_death_signal=_SIGTERM,
        namespaces=("user", "net", "ipc", "uts", "cgroup"),
    ),
    Role(
        "worker",
        "speaks with one client: holds the connection, a channel to each broker, later the file for one mail",
        filter="worker",
        limits=(
            ("core", 0),
            ("processes", 0),
            ("descriptors", None),
            ("file", None),
            ("memory", _MEMORY),
            ("seconds", 60),
        ),
        capabilities=(),
        parent_death_signal=_SIGTERM,
        namespaces=("user", "net", "ipc", "uts", "cgroup"),
    ),
    Role(
        "delivery",
        "takes a mail from a worker and runs the delivery command, which inherits all of this and may use the network",
        filter="delivery",
        files=RUN_FILES,
        ports=None,
        scopes=SIGNALS,  # a command may ask a daemon for a secret, by an abstract socket as well
        limits=(("core", 0), ("processes", None), ("descriptors", None), ("memory", None), ("seconds", None)),
        capabilities=("kill", "setgid", "setuid"),
        parent_death_signal=_SIGTERM,
    ),
    Role(
        "delivery-offline",
        "the same with a command that opens no socket",
        filter="delivery-offline",
        files=RUN_FILES,
        limits=(("core", 0), ("processes", None), ("descriptors", None), ("memory", None), ("seconds", None)),
        capabilities=("kill", "setgid", "setuid"),
        parent_death_signal=_SIGTERM,
    ),
    Role(
        "delivery-setgid",
        "the same with a setuid or setgid command (postdrop), whose rights filter and Landlock would take away",
        filter="",
        landlock=False,
        limits=(("core", 0), ("processes", None), ("descriptors", None)),
        no_new_privileges=False,
        capabilities=("kill", "setgid", "setuid"),
        parent_death_signal=_SIGTERM,
    ),
    Role(
        "tls-parent",
        "holds the certificate's key, and forks a process for each session that speaks TLS",
        filter="tls-parent",
        limits=(("core", 0), ("descriptors", None), ("memory", _MEMORY)),
        capabilities=(),
        parent_death_signal=_SIGTERM,
    ),
    Role(
        "tls",
        "speaks TLS with one client and plain text with its worker: holds the connection, the key, a channel",
        filter="tls",
        limits=(("core", 0), ("processes", 0), ("descriptors", None), ("memory", _MEMORY), ("seconds", None)),
        capabilities=(),
        parent_death_signal=_SIGTERM,
        namespaces=("user", "net", "ipc", "uts"),
    ),
    Role(
        "names",
        "finds the names of peers' addresses: asks name servers, each question in a child of its own",
        filter="names",
        files=READ_FILES,
        readable=_RESOLVER + _RESOLVERS_OWN,
        writable=_NAME_SERVICES,
        ports=(53,),
        limits=(("core", 0), ("descriptors", None), ("memory", _MEMORY)),
        capabilities=(),
        parent_death_signal=_SIGTERM,
    ),
)
