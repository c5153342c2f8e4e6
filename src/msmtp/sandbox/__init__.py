"""The sandbox: a process gives up what it does not need, for good, before it reads what others wrote.

    applied = enter("sender", readable=("/etc/ssl/certs",))

A process calls this once, when it holds all that it needs: its connection, its log, its secrets, the modules it will
use.  From then on it may do what its row in :data:`msmtp.sandbox.roles.ROLES` says, and nothing restores the rest.
Each layer stands for itself, so that a kernel without one of them still has the others:

    limits              no core file, no process beside it; what else the role or the caller sets
    namespaces          no network, no other process's semaphores, a user that is nobody (a daemon's workers)
    capabilities        none of root's rights (a daemon's processes)
    parent's end        a signal when the parent ends (a daemon's processes)
    no new privileges   no setuid program could help it
    not dumpable        no other process of the same user may look into its memory, or at its descriptors
    Landlock            no file, no TCP connection, no signal or abstract socket beyond what the role gives back
    seccomp             the system calls of the role; last, as it also refuses what the steps before it need

A process that forks children into a role prepares that once; the child then only makes the system calls, and needs no
file, no import and no memory to speak of for it:

    prepared = prepare("worker", limits={"descriptors": 12, "file": 50 << 20})
    check(prepared)                  # raises a failure in one line if this system cannot do it all
    if not os.fork():
        applied = prepared.enter(REQUIRE)

Layer 2: the kernel is reached by raw calls (:mod:`msmtp.sandbox.libc`), the filters are data files made beforehand.
"""

from __future__ import annotations

import sys
import time

from msmtp.failures import Failure, SandboxFailure, UnconfinedFailure
from msmtp.sandbox import landlock
from msmtp.sandbox.libc import Library, words
from msmtp.sandbox.roles import (
    ABSTRACT,
    CAPABILITIES,
    FOLDER,
    NAMESPACES,
    READ_FILES,
    RESOURCES,
    ROLES,
    RUN_FILES,
    SIGNALS,
    WRITE_FILES,
)
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from msmtp.sandbox.roles import Role

REQUIRE, TRY, OFF = "require", "try", "off"
"""Policies: fail without a full sandbox, do what the kernel offers, do nothing."""

HINT = f"--sandbox={TRY} runs with what this system has"

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER = SECCOMP_SET_MODE_FILTER = 2
CAPABILITY_VERSION_3 = 0x20080522

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

    def line(self) -> str:
        """The same in one line, for a log."""
        missing = [f"NOT in force: {layer}: {reason}" for layer, reason in self.missing]
        return f"sandbox: role {self.role}: {'; '.join((*self.in_force, *missing))}"


class Prepared:
    """A role with all that it takes to enter it: the filter is read, the Landlock ruleset is an open descriptor.

    It serves the process that made it and, as often as wanted, the children that it forks; not their children,
    nor a process that went to the background since: one that is to be told of its parent's end takes itself for
    orphaned there, and ends.
    """

    __slots__ = (
        "abi",
        "bounds",
        "calls",
        "executable",
        "filter_name",
        "kept",
        "libc",
        "limited",
        "made_by",
        "no_program",
        "no_ruleset",
        "program",
        "readable",
        "role",
        "ruleset",
        "unable",
        "within",
        "writable",
    )

    def __init__(  # noqa: PLR0913 - what a caller may say about a role
        self,
        role: Role,
        *,
        readable: Sequence[str] = (),
        writable: Sequence[str] = (),
        executable: Sequence[str] = (),
        limits: Mapping[str, int] | None = None,
        keep: Sequence[str] = (),
        within: str = "",
    ) -> None:
        self.role = role
        self.within = ROLES[within] if within else None
        self.readable = (*expanded(role.readable), *readable)
        self.writable = (*expanded(role.writable), *writable)
        self.executable = tuple(executable)
        self.limited = [(name, (limits or {}).get(name, value)) for name, value in role.limits]
        if self.within:  # what is the same in both rows, a child has
            self.limited = [(name, value) for name, value in self.limited if (name, value) not in self.within.limits]
        self.bounds = [
            (name, value, RESOURCES[name], words(8, value, value)) for name, value in self.limited if value is not None
        ]
        self.kept = tuple(keep)
        self.made_by = os.getpid()
        self.calls: list[tuple[Callable[..., int], tuple[int | bytes | None, ...]]] = []
        self.program, self.no_program = b"", ""
        self.ruleset, self.abi = -1, 0
        self.no_ruleset: OSError | None = None
        self.unable = ""
        self.filter_name = (
            (self.executable and role.running_filter) or (self.readable and role.reading_filter) or role.filter
        )
        pin_time_zone()
        try:
            self.libc = Library()
        except Failure:
            raise  # a signal
        except Exception as error:  # noqa: BLE001 - Python without ctypes, a C library without what ctypes looks for
            self.unable = f"the C library cannot be called: {error}"
            return
        self.read()

    def read(self) -> None:
        """Read the filter and look the paths up: when Landlock is in force, they are out of reach."""
        role = self.role
        if role.filter:
            try:
                self.program = filter_for(self.filter_name, architecture())
            except (OSError, ImportError, LookupError) as error:
                self.no_program = f"no filter {self.filter_name} for {architecture()}: {error}"
        reading = landlock.READ_FILE if role.files <= READ_FILES else landlock.READING
        writing = landlock.CHANGING if self.executable else landlock.WRITING
        paths = [(path, reading) for path in self.readable] + [(path, writing) for path in self.writable]
        paths += [(path, landlock.RUNNING) for path in self.executable]
        if role.landlock:
            try:
                self.ruleset, self.abi = landlock.ruleset(self.libc, paths, role.ports, role.scopes)
            except OSError as error:
                self.no_ruleset = error

    def close(self) -> None:
        """Close the descriptor it holds, if any; it is of no use afterwards."""
        if self.ruleset >= 0:
            os.close(self.ruleset)
            self.ruleset = -1

    def limits(self) -> str:
        """Soft and hard limits; prlimit64() has 64-bit ones everywhere."""
        said = []
        for name, value, resource, both in self.bounds:
            said.append(f"{name} {value}{self._limit(resource, value, both)}")
        return f"limits: {', '.join(said)}"

    def _limit(self, resource: int, value: int, both: bytes) -> str:
        try:
            self.libc.call("prlimit64", 0, resource, both, None)
        except PermissionError:
            present = words(8, 0, 0)  # nobody else has these bytes; the kernel writes into them
            self.libc.call("prlimit64", 0, resource, None, present)
            if int.from_bytes(present[8:], sys.byteorder) >= value:
                raise
            return " (or less)"  # the limit that is there is lower, and stays
        return ""

    def namespaces(self) -> str:
        """Namespaces of its own."""
        names = self.role.namespaces
        try:
            self.libc.call("unshare", sum([NAMESPACES[name] for name in names]))
        except OSError:
            self._namespaces_one_by_one(names)
        return f"namespaces of its own: {', '.join(names)}"

    def _namespaces_one_by_one(self, names: Sequence[str]) -> None:
        """Root may have the others where nobody may have a user's: in a chroot, or if they are switched off."""
        refused, reason = [], ""
        for name in names:
            try:
                self.libc.call("unshare", NAMESPACES[name])
            except OSError as error:
                refused.append(name)
                reason = error.strerror or str(error)
        if refused:
            raise LookupError(f"{', '.join(refused)}: {reason}")

    def capabilities(self) -> str:
        """None of root's rights but those to keep, neither now nor in a program it runs."""
        mask = sum([1 << CAPABILITIES[name] for name in self.kept])
        self.libc.call("capset", words(4, CAPABILITY_VERSION_3, 0), words(4, mask, mask, 0, 0, 0, 0))
        return f"capabilities: {', '.join(self.kept) or 'none'}"

    def parent_death(self) -> str:
        """A signal when the parent ends; to be set after the user was changed, which clears it."""
        number = self.role.parent_death_signal
        self.libc.call("prctl", PR_SET_PDEATHSIG, number, 0, 0, 0)
        if self.made_by not in {os.getpid(), os.getppid()}:  # the parent ended before
            os.kill(os.getpid(), number)
        return f"signal {number} when the parent ends"

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
        if self.no_ruleset:
            raise self.no_ruleset
        try:
            landlock.restrict(self.libc, self.ruleset, self.abi)
        finally:
            self.close()
        return f"Landlock ABI {self.abi}: files {self._files()}; TCP {self._tcp()}{self._scopes()}"

    def _files(self) -> str:
        writable = [f"{path} (to write)" for path in self.writable]
        return ", ".join([*self.readable, *writable, *[f"{path} (to run)" for path in self.executable]]) or "none"

    def _tcp(self) -> str:
        if self.role.ports is None:
            return "any"
        if self.abi < landlock.NET_SINCE:
            return "not held by this kernel"
        return ", ".join(map(str, self.role.ports)) or "none"

    def _scopes(self) -> str:
        """What the role leaves open of them; a kernel before ABI 6 holds none, which is not said of each process."""
        scopes = self.role.scopes
        left = "abstract sockets " * (not scopes & ABSTRACT) + "signals" * (not scopes & SIGNALS)
        return f"; left open: {left.strip().replace('sockets s', 'sockets, s')}" if left else ""

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
        role, within = self.role, self.within
        steps: list[tuple[str, Callable[[], str], object]] = [
            ("limits", self.limits, self.limited),
            ("namespaces", self.namespaces, role.namespaces and not within),
            ("capabilities", self.capabilities, role.capabilities is not None and not within),
            ("parent's end", self.parent_death, role.parent_death_signal),
            ("no new privileges", self.no_new_privileges, role.no_new_privileges and not within),
            ("not dumpable", self.not_dumpable, not role.dumpable and not within),
            ("Landlock", self.landlock, role.landlock),
            ("seccomp", self.seccomp, role.filter),
        ]
        return [(layer, step) for layer, step, wanted in steps if wanted]

    def enter_at_once(self) -> bool:
        """Confine this process to the role within another, and say nothing of it; whether all of it was to be had.

        For a child of which nothing is to be told but that; where it was not, :meth:`enter` finds out what is missing.
        """
        if not self.calls:
            return False
        for function, arguments in self.calls:
            if function(*arguments):
                return False
        self.close()
        if os.getppid() != self.made_by:
            os.kill(os.getpid(), self.role.parent_death_signal)
        program = self.program.replace(words(4, OWN_PID), words(4, os.getpid()))
        header = self.libc.counted(len(program) // 8, program)
        return bool(self.libc.function("syscall")(SECCOMP[architecture()], 1, 1, header) == 0)

    def adopt(self) -> None:
        """Be the parent of those that enter this role within another, from now on in place of who prepared it.

        What the steps but the last one call is looked up here, so that a child finds it.
        """
        self.made_by = os.getpid()
        if not self.within or self.unable or self.no_program or self.no_ruleset:
            return
        call = self.libc.function
        limit = call("prlimit64")
        self.calls = [(limit, (0, resource, both, None)) for _, _, resource, both in self.bounds]
        self.calls.append((call("prctl"), (PR_SET_PDEATHSIG, self.role.parent_death_signal, 0, 0, 0)))
        self.calls.append((call("syscall"), landlock.restricting(self.ruleset, self.abi)))

    def enter(self, policy: str = TRY) -> Applied:
        """Confine this process to the role, for good; see :func:`enter` for the policies."""
        if policy == OFF:
            return Applied(self.role.name, (), (("everything", "switched off"),))
        applied = self._take()
        if applied.missing and policy == REQUIRE:
            raise SandboxFailure(f"cannot confine this process: {phrase(applied.missing)}", hint=HINT)
        return applied

    def _take(self) -> Applied:
        """All the steps; one that cannot be taken does not keep the others from being taken."""
        if self.unable:
            return Applied(self.role.name, (), (("everything", self.unable),))
        done, missing = [], []
        for layer, step in self.steps():
            try:
                done.append(step())
            except (OSError, LookupError) as error:
                missing.append((layer, getattr(error, "strerror", None) or str(error)))
        return Applied(self.role.name, tuple(done), tuple(missing))


def prepare(  # noqa: PLR0913 - what a caller may say about a role
    role: str,
    *,
    readable: Sequence[str] = (),
    writable: Sequence[str] = (),
    executable: Sequence[str] = (),
    limits: Mapping[str, int] | None = None,
    keep: Sequence[str] = (),
    within: str = "",
) -> Prepared:
    """Read and look up all that entering the role will take; for this process, or for children that it forks.

    ``readable``, ``writable``, ``executable``: absolute paths, files or directories, that stay in reach where the role
    may have any; what may be run may be read.  ``limits``: value by name, for limits that the role's row has.
    ``keep``: names of capabilities, for a process that has them.  ``within``: the role, with the same limits, of the
    process that forks those that enter this one: what they have from there they need not take again.  ValueError for
    what the role may not have.
    """
    row = ROLES[role]
    asked = RUN_FILES if executable else WRITE_FILES if writable else READ_FILES if readable else 0
    if asked > row.files:
        raise ValueError(f"role {role} may not keep these paths")
    if not {*(limits or {})} <= {name for name, _ in row.limits}:
        raise ValueError(f"role {role} has no such limit")
    if not {*keep} <= {*(row.capabilities or ())}:
        raise ValueError(f"role {role} may not keep these capabilities")
    if within and not _holds(ROLES[within], row):
        raise ValueError(f"role {within} does not have all that {role} would take from it")
    return Prepared(
        row, readable=readable, writable=writable, executable=executable, limits=limits, keep=keep, within=within
    )


def _holds(outer: Role, inner: Role) -> bool:
    """Whether a process in the outer role has given up, of what children keep so, all that the inner one gives up."""
    return (
        {*inner.namespaces} <= {*outer.namespaces}
        and (inner.capabilities is None or outer.capabilities == ())
        and outer.no_new_privileges
        and not outer.dumpable
    )


def enter(  # noqa: PLR0913 - what a caller may say about a role
    role: str,
    *,
    readable: Sequence[str] = (),
    writable: Sequence[str] = (),
    executable: Sequence[str] = (),
    limits: Mapping[str, int] | None = None,
    keep: Sequence[str] = (),
    policy: str = TRY,
) -> Applied:
    """Confine this process to the role, for good.

    ``policy``: REQUIRE raises SandboxFailure for layers that cannot be had, TRY leaves them out and says so in the
    result, OFF does nothing.  The others are those of :func:`prepare`.
    """
    prepared = prepare(role, readable=readable, writable=writable, executable=executable, limits=limits, keep=keep)
    try:
        return prepared.enter(policy)
    finally:
        prepared.close()


def probe(prepared: Prepared) -> tuple[tuple[str, str], ...]:
    """What of the role cannot be had here, as (layer, reason): tried in a child that then ends.

    To be called before the process enters a role itself, and while it has one thread only.
    """
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        try:
            missing = prepared._take().missing  # noqa: SLF001 - its own module
            os.write(writes, "\n".join(["\0".join(pair) for pair in (*missing, ("", ""))]).encode())
        finally:
            os._exit(0)  # noqa: SLF001 - public, whatever its name says
    os.close(writes)
    told = b""
    while block := os.read(reads, 4096):
        told += block
    os.close(reads)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not told:
        return (("everything", f"a process on its way into the role ended with status {status}"),)
    return tuple([(pair[0], pair[1]) for pair in [line.split("\0") for line in told.decode().split("\n")[:-1]]])


def check(*several: Prepared) -> None:
    """Raise UnconfinedFailure, which has one line and exit code 78, unless all of these roles can be had in full."""
    for prepared in several:
        missing = probe(prepared)
        if missing:
            raise UnconfinedFailure(f"cannot confine the {prepared.role.name}: {phrase(missing)}", hint=HINT)


def phrase(missing: Sequence[tuple[str, str]]) -> str:
    """The layers that are missing, for people."""
    return "; ".join([f"{layer}: {reason}" for layer, reason in missing])


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
