"""The sandbox: a process gives up what it does not need, for good, before it reads what others wrote.

    applied = enter("sender", readable=("/etc/ssl/certs",))

A process calls this once, when it holds all that it needs: its connection, its log, its secrets, the modules it will
use.  From then on it may do what its row in :data:`msmtp.sandbox.roles.ROLES` says, and nothing restores the rest.
Each layer stands for itself, so that a kernel without one of them still has the others:

    limits              no core file, no process beside it
    no new privileges   no setuid program could help it
    not dumpable        no other process of the same user may look into its memory, or at its descriptors
    Landlock            no file, no TCP connection, no signal or abstract socket beyond what the role gives back
    seccomp             the system calls of the role; last, as it also refuses what the steps before it need

Layer 2: the kernel is reached by raw calls (:mod:`msmtp.sandbox.libc`), the filters are data files made beforehand.
"""

from __future__ import annotations

import sys
import time

from msmtp.failures import SandboxFailure
from msmtp.sandbox import landlock
from msmtp.sandbox.libc import Library, words
from msmtp.sandbox.roles import FOLDER, NO_FILES, RESOURCES, ROLES, WRITE_FILES
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from msmtp.sandbox.roles import Role

REQUIRE, TRY, OFF = "require", "try", "off"
"""Policies: fail without a full sandbox, do what the kernel offers, do nothing."""

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER = SECCOMP_SET_MODE_FILTER = 2

SECCOMP = {"x86_64": 317, "aarch64": 277, "riscv64": 277, "ppc64le": 358, "i386": 354, "arm": 383, "loongarch64": 277}
"""The number of seccomp(2), which can confine every thread at once, by the architecture of the interpreter."""

OWN_PID = 0x4D534D54
"""Stands in the filters where the number of the process belongs (signals may be sent to itself)."""


class Applied:
    """What is in force: ``in_force`` a phrase a layer, ``missing`` (layer, reason) for what could not be had."""

    __slots__ = ("in_force", "missing", "role")

    def __init__(self, role: str, in_force: tuple[str, ...], missing: tuple[tuple[str, str], ...]) -> None:
        self.role = role
        self.in_force = in_force
        self.missing = missing

    @property
    def complete(self) -> bool:
        """Whether every layer of the role is in force."""
        return not self.missing and bool(self.in_force)

    def lines(self) -> list[str]:
        """For people, one layer a line."""
        return [f"sandbox: role {self.role}", *(f"sandbox: {phrase}" for phrase in self.in_force)] + [
            f"sandbox: NOT in force: {layer}: {reason}" for layer, reason in self.missing
        ]


class Entry:
    """One process on its way into its role."""

    __slots__ = ("filter_name", "libc", "no_program", "program", "readable", "role", "writable")

    def __init__(self, role: Role, readable: Sequence[str], writable: Sequence[str]) -> None:
        self.role = role
        self.readable = (*expanded(role.readable), *readable)
        self.writable = (*expanded(role.writable), *writable)
        self.libc = Library()
        self.filter_name = role.reading_filter if self.readable and role.reading_filter else role.filter
        self.program, self.no_program = b"", ""
        try:  # now: when Landlock is in force, the file is out of reach
            self.program = filter_for(self.filter_name, architecture())
        except (OSError, ImportError, LookupError) as error:
            self.no_program = f"no filter {self.filter_name} for {architecture()}: {error}"

    def limits(self) -> str:
        """Soft and hard limits; prlimit64() has 64-bit ones everywhere."""
        for name, value in self.role.limits:
            self.libc.call("prlimit64", 0, RESOURCES[name], words(8, value, value), None)
        return f"limits: {', '.join([f'{name} {value}' for name, value in self.role.limits])}"

    def parent_death(self) -> str:
        """A signal when the parent ends; to be set after the user was changed, which clears it."""
        self.libc.call("prctl", PR_SET_PDEATHSIG, self.role.parent_death_signal, 0, 0, 0)
        return f"signal {self.role.parent_death_signal} when the parent ends"

    def namespaces(self) -> str:
        """Namespaces of its own."""
        self.libc.call("unshare", self.role.namespaces)
        return f"namespaces {self.role.namespaces:#x}"

    def no_new_privileges(self) -> str:
        """No program that it might run gets more rights than it has; the two below need it."""
        self.libc.call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return "no new privileges"

    def not_dumpable(self) -> str:
        """Its memory, environment and descriptors are closed to other processes of the same user."""
        self.libc.call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)
        return "not dumpable"

    def landlock(self) -> str:
        """No file, no TCP, no signal or abstract socket to others, but for what the role gives back."""
        role = self.role
        reading = landlock.READING if role.files == WRITE_FILES else landlock.READ_FILE
        paths = [(path, reading) for path in self.readable] + [(path, landlock.WRITING) for path in self.writable]
        abi = landlock.restrict(self.libc, paths, role.ports)
        files = ", ".join([*self.readable, *[f"{path} (to write)" for path in self.writable]]) or "none"
        ports = (", ".join(map(str, role.ports)) or "none") if abi >= landlock.NET_SINCE else "not held by this kernel"
        return f"Landlock ABI {abi}: files {files}; TCP {ports}"

    def seccomp(self) -> str:
        """The filter of the role, for every thread of the process where the kernel can."""
        if self.no_program:
            raise LookupError(self.no_program)
        program = self.program.replace(words(4, OWN_PID), words(4, os.getpid()))
        header = self.libc.counted(len(program) // 8, program)
        try:
            threads = self.libc.call("syscall", SECCOMP[architecture()], 1, 1, header) == 0
        except OSError:  # an older kernel, or a filter around us that does not know seccomp(2)
            threads = False
        if not threads:
            self.libc.call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0)
        return f"seccomp filter {self.filter_name}.{architecture()}" + ("" if threads else " (this thread)")

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """What to do, in this order."""
        role = self.role
        steps: list[tuple[str, Callable[[], str], object]] = [
            ("limits", self.limits, role.limits),
            ("namespaces", self.namespaces, role.namespaces),
            ("parent's end", self.parent_death, role.parent_death_signal),
            ("no new privileges", self.no_new_privileges, role.no_new_privileges),
            ("not dumpable", self.not_dumpable, not role.dumpable),
            ("Landlock", self.landlock, True),
            ("seccomp", self.seccomp, role.filter),
        ]
        return [(layer, step) for layer, step, wanted in steps if wanted]


def enter(role: str, *, readable: Sequence[str] = (), writable: Sequence[str] = (), policy: str = TRY) -> Applied:
    """Confine this process to the role, for good.

    ``readable``, ``writable``: absolute paths, files or directories, that stay in reach where the role may have any.
    ``policy``: REQUIRE raises SandboxFailure for a layer that cannot be had, TRY leaves it out and says so in the
    result, OFF does nothing.  ValueError for paths that the role may not have.
    """
    row = ROLES[role]
    if (readable and row.files == NO_FILES) or (writable and row.files != WRITE_FILES):
        raise ValueError(f"role {role} may not keep these paths")
    if policy == OFF:
        return Applied(role, (), (("everything", "switched off"),))
    pin_time_zone()
    try:
        entry = Entry(row, readable, writable)
    except Exception as error:  # noqa: BLE001 - Python without ctypes, a C library without what ctypes looks for
        applied = Applied(role, (), (("everything", f"the C library cannot be called: {error}"),))
    else:
        applied = _take(entry)
    if applied.missing and policy == REQUIRE:
        layer, reason = applied.missing[0]
        hint = f"the policy '{TRY}' runs with what this system has"
        raise SandboxFailure(f"cannot confine this process: {layer}: {reason}", hint=hint)
    return applied


def _take(entry: Entry) -> Applied:
    """All the steps; one that cannot be taken does not keep the others from being taken."""
    done, missing = [], []
    for layer, step in entry.steps():
        try:
            done.append(step())
        except (OSError, LookupError) as error:
            missing.append((layer, getattr(error, "strerror", None) or str(error)))
    return Applied(entry.role.name, tuple(done), tuple(missing))


def expanded(paths: Sequence[str]) -> Iterator[str]:
    """The paths of a role with its placeholders filled in.

    What a variable holds may be a list (KRB5_CONFIG) and may have a kind in front (FILE:, DIR:, unix:path=).
    """
    for path in paths:
        before, brace, rest = path.replace("{UID}", str(os.getuid())).partition("{")
        name, _, after = rest.partition("}")
        if not brace:
            yield before
        for place in os.environ.get(name, "").replace("=", ":").split(":") if brace else ():
            if place[:1] == "/":
                yield place.rpartition("/")[0] if after == FOLDER else before + place + after


def holds_files() -> bool:
    """Whether this kernel can keep all files but some out of reach (Landlock); where not, files are read ahead."""
    try:
        return landlock.version(Library()) > 0
    except (OSError, ImportError):
        return False


def pin_time_zone() -> None:
    """Have the C library read the time zone now, and not look for its file again.

    Without TZ, each tzset(), which mktime() and others call, looks whether /etc/localtime is still the same; when that
    is refused it falls back to UTC, and the log's time stamps with it.
    """
    if "TZ" not in os.environ:
        os.putenv("TZ", ":/etc/localtime")
        time.tzset()


def architecture() -> str:
    """The interpreter's own architecture, as the filters are named (a 32-bit one may run on a 64-bit kernel)."""
    triplet: str = getattr(sys.implementation, "_multiarch", "")
    machine, _, system = triplet.partition("-")
    if system.endswith("x32"):
        return "x32"
    return {"powerpc64le": "ppc64le", "i686": "i386"}.get(machine, machine) or os.uname().machine


def filter_for(name: str, machine: str) -> bytes:
    """The filter from its file; where none was made for this architecture, by libseccomp if that is here."""
    try:
        with open(f"{__file__.rpartition('/')[0]}/filters/{name}.{machine}.bpf", "rb", 0) as file:
            return file.read()
    except OSError:
        from msmtp.sandbox.builder import build

        return build(name, machine)
