"""Seccomp filters made from the groups of system calls, by libseccomp.

The filters that the package carries are made here once, by the generator, for each architecture; so is the filter of a
process on an architecture that has none among them, at the price of loading the library (20 ms).

Either binding of the library serves: ``seccomp`` (Debian: python3-seccomp) or ``pyseccomp``; both have the same names.
"""

from __future__ import annotations

from importlib import import_module

from msmtp.sandbox.syscalls import ALLOW, BLIND, FILTERS, FULL, KILL, PECULIAR
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    Rules = Any  # SyscallFilter of either binding; neither has types
    Comparison = Any  # Arg

    from msmtp.sandbox.syscalls import Call, Condition

ARCHITECTURES = {
    "x86_64": "X86_64",
    "aarch64": "AARCH64",
    "riscv64": "RISCV64",
    "ppc64le": "PPC64LE",
    "i386": "X86",
    "arm": "ARM",
    "loongarch64": "LOONGARCH64",
}
"""What the interpreter calls its architecture, and what libseccomp calls it.

i386 and ppc64le also have socketcall(2), which takes the arguments of twenty calls from memory.  What a group allows
without condition (send, recv) works there too; what it allows under conditions must not be relied on there, and is not
held to them either: a process on i386 that has been taken over may send a datagram to another address.

Not here, because a filter with these conditions would be wrong: mips and parisc (other numbers for MAP_ANONYMOUS and
the flags of open), s390x (mmap takes its arguments from memory, where a filter cannot look).
"""

COMMITTED = ("x86_64", "aarch64", "riscv64", "ppc64le", "i386", "arm")

BINDINGS = ("seccomp", "pyseccomp")

BINARY_TREE = 2  # SCMP_FLTATR_CTL_OPTIMIZE: found by halving, not one number after the other


def binding() -> ModuleType:
    """The first binding of libseccomp that is there; ImportError if none is."""
    for name in BINDINGS:
        try:
            return import_module(name)
        except (ImportError, RuntimeError):  # pyseccomp says RuntimeError where the C library is missing
            continue
    raise ImportError("neither python3-seccomp nor pyseccomp is installed")


def build(name: str, architecture: str) -> bytes:
    """The filter of that name as the kernel takes it: an array of struct sock_filter.

    ImportError without a binding, LookupError for an architecture that cannot be had, OSError for a refusal of the
    library.
    """
    library = binding()
    wanted = FILTERS[name]
    rules = library.SyscallFilter(_action(library, wanted.otherwise))
    _choose_architecture(library, rules, architecture)
    rules.set_attr(library.Attr.ACT_BADARCH, library.KILL_PROCESS)
    for group, call in wanted.decided():
        if group.verdict != wanted.otherwise and call.name not in BLIND.get(architecture, ()):
            _add(library, rules, group.verdict, call, architecture)
    return _exported(rules)


def _action(library: ModuleType, verdict: int) -> int:
    actions = {ALLOW: library.ALLOW, KILL: library.KILL_PROCESS}
    action: int = actions[verdict] if verdict in actions else library.ERRNO(verdict)
    return action


def _choose_architecture(library: ModuleType, rules: Rules, architecture: str) -> None:
    token = getattr(library.Arch, ARCHITECTURES[architecture], None)
    if token is None:
        raise LookupError(f"this libseccomp does not know {architecture}")
    if token != library.system_arch():
        rules.remove_arch(library.Arch.NATIVE)
        rules.add_arch(token)
    rules.set_attr(getattr(library.Attr, "CTL_OPTIMIZE", 8), BINARY_TREE)


def _add(library: ModuleType, rules: Rules, verdict: int, call: Call, architecture: str) -> None:
    own = PECULIAR.get(architecture, {})
    rules.add_rule(_action(library, verdict), call.name, *(_holds(library, one, own) for one in call.conditions))
    if call.otherwise is not None:
        (condition,) = call.conditions
        rules.add_rule(library.ERRNO(call.otherwise), call.name, _fails(library, condition, own))


def _holds(library: ModuleType, condition: Condition, own: dict[int, int]) -> Comparison:
    value = own.get(condition.value, condition.value)
    if condition.mask == FULL:
        return library.Arg(condition.index, library.EQ, value)
    return library.Arg(condition.index, library.MASKED_EQ, condition.mask, value)


def _fails(library: ModuleType, condition: Condition, own: dict[int, int]) -> Comparison:
    value = own.get(condition.value, condition.value)
    if condition.mask == FULL:
        return library.Arg(condition.index, library.NE, value)
    assert condition.mask.bit_count() == 1, "the library has no 'not equal under a mask'"
    return library.Arg(condition.index, library.MASKED_EQ, condition.mask, value ^ condition.mask)


def _exported(rules: Rules) -> bytes:
    descriptor = os.memfd_create("filter")
    with os.fdopen(descriptor, "r+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
