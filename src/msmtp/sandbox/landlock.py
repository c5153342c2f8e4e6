"""Landlock: which files, TCP ports and other processes are within reach, decided by the process itself.

A ruleset *handles* rights: a handled right is refused everywhere but where a rule gives it back.  So each version of
the interface (ABI) that the kernel has is asked for every right it knows, and what is given back are a few paths and
ports.  Descriptors that are open already keep what they can do.

include/uapi/linux/landlock.h; Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

from msmtp.sandbox.libc import words
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from msmtp.sandbox.libc import Library

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # one number on every architecture
ASK_VERSION = 1
PATH_BENEATH, NET_PORT = 1, 2
ALL_THREADS, ALL_THREADS_SINCE = 1 << 3, 8  # LANDLOCK_RESTRICT_SELF_TSYNC and its ABI

WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5
MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_SYM = 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 12
REFER, TRUNCATE, IOCTL_DEV, RESOLVE_UNIX = 1 << 13, 1 << 14, 1 << 15, 1 << 16
CONNECT_TCP, NET_SINCE = 1 << 1, 4

FILE_RIGHTS = ((1, (1 << 13) - 1), (2, REFER), (3, TRUNCATE), (5, IOCTL_DEV), (9, RESOLVE_UNIX))
"""Rights about files, each with the ABI that brought it."""

NET_RIGHTS = ((NET_SINCE, 0b11),)
"""bind and connect of TCP.  Those of UDP (ABI 10) are left alone: no role without sockets could use them, and the one
with sockets asks name servers."""

SCOPES_SINCE, ALL_SCOPES = 6, 0b11
"""Abstract unix sockets and signals: not to processes outside of this one's domain."""

SIZES = ((1, 8), (4, 16), (6, 24))
"""Bytes of struct landlock_ruleset_attr."""

EXECUTE = 1
READING = READ_FILE | READ_DIR
RUNNING = READING | EXECUTE
WRITING = READING | WRITE_FILE | TRUNCATE | MAKE_REG | REMOVE_FILE | IOCTL_DEV | RESOLVE_UNIX
CHANGING = WRITING | REMOVE_DIR | MAKE_DIR | MAKE_SOCK | MAKE_FIFO | MAKE_SYM | REFER
"""For a command of the operator's, which may deliver to a Maildir: folders, links, names moved from one to another."""

OF_A_FILE = WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV | RESOLVE_UNIX | EXECUTE
"""The rights that may be given back on a path that is not a directory."""

DIRECTORY = 0o040000


def known(rights: tuple[tuple[int, int], ...], abi: int) -> int:
    """The rights that the ABI has."""
    mask = 0
    for since, bits in rights:
        if abi >= since:
            mask |= bits
    return mask


def version(libc: Library) -> int:
    """The kernel's ABI.  OSError: ENOSYS where it has no Landlock, EOPNOTSUPP where it is switched off."""
    return libc.call("syscall", CREATE_RULESET, None, 0, ASK_VERSION)


def ruleset(
    libc: Library, paths: Iterable[tuple[str, int]], ports: Iterable[int] | None, scopes: int = ALL_SCOPES
) -> tuple[int, int]:
    """What is to be refused, as an open descriptor (closed on exec), and the ABI it took.

    Every right but those given back on the paths; TCP but connections to the ports (None: TCP is left alone); of the
    ``scopes`` what leads out of the domain.
    """
    abi = version(libc)
    files, net = known(FILE_RIGHTS, abi), 0 if ports is None else known(NET_RIGHTS, abi)
    attributes = words(8, files, net, scopes * (abi >= SCOPES_SINCE))
    attributes = attributes[: max(size for since, size in SIZES if abi >= since)]
    made = libc.call("syscall", CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path, rights in paths:
            _give_back(libc, made, path, rights & files)
        for port in ports or () if net else ():
            libc.call("syscall", ADD_RULE, made, NET_PORT, words(8, CONNECT_TCP, port), 0)
    except BaseException:
        os.close(made)
        raise
    return made, abi


def restrict(libc: Library, made: int, abi: int) -> None:
    """Put a ruleset in force, for good."""
    libc.call("syscall", *restricting(made, abi))


def restricting(made: int, abi: int) -> tuple[int, int, int]:
    """What syscall(2) is given for that."""
    return RESTRICT_SELF, made, ALL_THREADS if abi >= ALL_THREADS_SINCE else 0


def _give_back(libc: Library, ruleset: int, path: str, rights: int) -> None:
    """Give back the rights at and beneath the path; a path that is not there needs none."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if os.fstat(descriptor).st_mode & 0o170000 != DIRECTORY:
            rights &= OF_A_FILE
        libc.call("syscall", ADD_RULE, ruleset, PATH_BENEATH, words(8, rights) + words(4, descriptor), 0)
    finally:
        os.close(descriptor)
