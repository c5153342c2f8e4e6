"""ROLES: what each kind of process may still do, a row a role.

What a process may do is the descriptors it holds when it enters its role, and little more.  The row says what is left:
which system calls (by the name of a filter; its groups, with reasons, are in ``syscalls``), which paths Landlock gives
back, to which TCP ports it may still connect, its limits.
"""

from __future__ import annotations

RESOURCES = {"core": 4, "processes": 6, "descriptors": 7, "memory": 9, "seconds": 0, "file": 1}
"""What a limit is called here, and the number of the resource (RLIMIT_CORE, NPROC, NOFILE, AS, CPU, FSIZE)."""

FOLDER = "/.."
"""At the end of a path with a placeholder: the folder."""

NO_FILES, READ_FILES, WRITE_FILES = 0, 1, 2


class Role:
    """A kind of process.

    ``filter``: the seccomp filter; ``reading_filter``: the one taken when paths are to stay readable ('' if the first
    allows it).  ``files``: NO_FILES, READ_FILES or WRITE_FILES, the most that may be asked for.  ``readable``,
    ``writable``: paths that this role always needs, beside those given when it is entered.  In them, ``{NAME}`` is an
    environment variable (without it, the path is left out), ``{NAME}/..`` the folder of the file that it names,
    ``{UID}`` the user's number.  ``ports``: TCP ports it may connect to.  ``limits``: (name of RESOURCES, value), soft
    and hard.  ``parent_death_signal``: sent to it when its parent ends, 0 for none.  ``namespaces``: CLONE_NEW* flags
    to leave the common ones by.
    """

    __slots__ = (
        "dumpable",
        "files",
        "filter",
        "limits",
        "name",
        "namespaces",
        "no_new_privileges",
        "parent_death_signal",
        "ports",
        "purpose",
        "readable",
        "reading_filter",
        "writable",
    )

    def __init__(  # noqa: PLR0913 - a row of the table
        self,
        name: str,
        purpose: str,
        *,
        filter: str,  # noqa: A002 - the row's word
        reading_filter: str = "",
        files: int = NO_FILES,
        readable: tuple[str, ...] = (),
        writable: tuple[str, ...] = (),
        ports: tuple[int, ...] = (),
        limits: tuple[tuple[str, int], ...] = (("core", 0),),
        no_new_privileges: bool = True,
        dumpable: bool = False,
        parent_death_signal: int = 0,
        namespaces: int = 0,
    ) -> None:
        self.name = name
        self.purpose = purpose
        self.filter = filter
        self.reading_filter = reading_filter
        self.files = files
        self.readable = readable
        self.writable = writable
        self.ports = ports
        self.limits = limits
        self.no_new_privileges = no_new_privileges
        self.dumpable = dumpable
        self.parent_death_signal = parent_death_signal
        self.namespaces = namespaces


_ALONE = (("core", 0), ("processes", 0))

_RESOLVER = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services")

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
)
