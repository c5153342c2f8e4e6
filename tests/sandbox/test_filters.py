"""The filters decide as the groups of system calls say: every call, every condition bit by bit, every architecture.

The committed files are run by an interpreter of our own; so it does not matter which libseccomp made them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyseccomp
import pytest
from tests.support import bpf

from msmtp import sandbox
from msmtp.sandbox import builder
from msmtp.sandbox.builder import ARCHITECTURES, BLIND, COMMITTED, build
from msmtp.sandbox.roles import ROLES
from msmtp.sandbox.syscalls import ALLOW, FILTERS, KILL, OWN_PID, PECULIAR

FOLDER = Path(sandbox.__file__).parent / "filters"
HIGHEST = 600  # beyond every number there is
X32 = 0x40000000

MULTIPLEXED = ("i386", "ppc64le")
OPERATIONS = dict(
    enumerate(
        [
            "socket",
            "bind",
            "connect",
            "listen",
            "accept",
            "getsockname",
            "getpeername",
            "socketpair",
            "send",
            "recv",
            "sendto",
            "recvfrom",
            "shutdown",
            "setsockopt",
            "getsockopt",
            "sendmsg",
            "recvmsg",
            "accept4",
            "recvmmsg",
            "sendmmsg",
        ],
        start=1,
    )
)
"""What socketcall(2) does, by its first argument (linux/net.h)."""


def names_of(machine):
    token = getattr(pyseccomp.Arch, ARCHITECTURES[machine])
    found = {}
    for number in range(HIGHEST):
        try:
            found[number] = pyseccomp.resolve_syscall(token, number).decode()
        except ValueError:
            continue
    return found


def action(verdict):
    return {ALLOW: bpf.ALLOW, KILL: bpf.KILL_PROCESS}.get(verdict, bpf.ERRNO | verdict)


class Expectation:
    """What the groups of a filter say about a call on one architecture, read straight from them."""

    def __init__(self, name, machine):
        self.otherwise = FILTERS[name].otherwise
        self.own = PECULIAR.get(machine, {})
        self.bits = 32 if machine in {"i386", "arm"} else 64
        self.rows = {}
        for group in FILTERS[name].groups:
            own = {}
            for call in group.calls:
                if call.name not in BLIND.get(machine, ()):
                    own.setdefault(call.name, []).append(call)
            for call, rows in own.items():
                self.rows.setdefault(call, (group.verdict, rows))

    def value(self, condition):
        return self.own.get(condition.value, condition.value)

    def of(self, call, arguments):
        verdict, rows = self.rows.get(call, (self.otherwise, []))
        full = (*arguments, 0, 0, 0, 0, 0, 0)
        if not rows or any(self.holds(row, full) for row in rows):
            return action(verdict)
        other = [row.otherwise for row in rows if row.otherwise is not None]
        return action(other[0] if other else self.otherwise)

    def holds(self, row, arguments):
        return all(arguments[one.index] & one.mask == self.value(one) for one in row.conditions)

    def cases(self, call):
        """Arguments that meet the conditions, and with every single bit of them changed."""
        yield ()
        for row in self.rows.get(call, (0, []))[1]:
            fitting = [0] * 6
            for condition in row.conditions:
                fitting[condition.index] = self.value(condition)
            yield tuple(fitting)
            for condition in row.conditions:
                for bit in range(self.bits):
                    yield tuple(v ^ (1 << bit) if i == condition.index else v for i, v in enumerate(fitting))

    def of_socketcall(self, operation):
        """What socketcall(2) may say to an operation: conditions on its arguments cannot be kept, they lie in memory."""
        verdict, rows = self.rows.get(OPERATIONS.get(operation), (self.otherwise, []))
        if any(row.conditions for row in rows):
            return {action(one) for one in (verdict, self.otherwise, *[row.otherwise or verdict for row in rows])}
        return {action(verdict)}


def test_there_is_a_file_for_every_filter_and_architecture_and_none_else():
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.{one}.bpf" for name in FILTERS for one in COMMITTED}


def test_every_filter_that_a_role_names_is_there_and_none_is_idle():
    named = {
        name for role in ROLES.values() for name in (role.filter, role.reading_filter, role.running_filter) if name
    }
    assert named == set(FILTERS)


@pytest.mark.parametrize("machine", COMMITTED)
@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_decides_as_its_groups_say(name, machine):
    code = bpf.program(sandbox.filter_for(name, machine))
    expected, calls, wrong = Expectation(name, machine), names_of(machine), []
    for number in range(HIGHEST):
        call = calls.get(number)
        if call == "socketcall" and machine in MULTIPLEXED:
            wrong += [
                (call, operation)
                for operation in range(32)
                if bpf.run(code, number, bpf.AUDIT_ARCH[machine], (operation,)) not in expected.of_socketcall(operation)
            ]
            continue
        wrong += [
            (call or number, [hex(value) for value in case])
            for case in expected.cases(call)
            if bpf.run(code, number, bpf.AUDIT_ARCH[machine], case) != expected.of(call, case)
        ]
    assert wrong == []


@pytest.mark.parametrize("machine", COMMITTED)
@pytest.mark.parametrize("name", FILTERS)
def test_calls_of_another_architecture_end_the_process(name, machine):
    code = bpf.program(sandbox.filter_for(name, machine))
    for other, token in bpf.AUDIT_ARCH.items():
        if other != machine:
            assert {bpf.run(code, number, token) for number in range(HIGHEST)} == {bpf.KILL_PROCESS}


@pytest.mark.parametrize("name", FILTERS)
def test_x32_calls_end_the_process(name):
    code = bpf.program(sandbox.filter_for(name, "x86_64"))
    numbers = range(X32, X32 + HIGHEST)
    assert {bpf.run(code, number, bpf.AUDIT_ARCH["x86_64"]) for number in numbers} == {bpf.KILL_PROCESS}


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_the_place_of_the_process_number_stands_in_a_filter_and_only_there(path):
    data = path.read_bytes()
    constants = [constant for *_, constant in bpf.program(data)]
    places = constants.count(OWN_PID)
    assert places == data.count(OWN_PID.to_bytes(4, "little"))
    assert (places > 0) == (not path.name.startswith(("delivery", "supervisor")))
    assert OWN_PID == sandbox.OWN_PID


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_the_kernel_would_take_it(path):
    code = bpf.program(path.read_bytes())
    assert len(code) <= 4096
    assert code[-1][0] == 0x06
    for at, (operation, if_true, if_false, constant) in enumerate(code):
        if operation == 0x05:
            assert at + 1 + constant < len(code)
        elif operation & 7 == 5:
            assert at + 1 + max(if_true, if_false) < len(code)
        elif operation == 0x20:
            assert constant % 4 == 0
            assert constant < 64


@pytest.mark.parametrize("name", FILTERS)
def test_what_the_library_makes_now_decides_alike(name):
    machine = sandbox.architecture()
    now, committed = bpf.program(build(name, machine)), bpf.program(sandbox.filter_for(name, machine))
    if now == committed:
        return
    expected, calls = Expectation(name, machine), names_of(machine)
    for number in range(HIGHEST):
        for case in expected.cases(calls.get(number)):
            arguments = (number, bpf.AUDIT_ARCH[machine], case)
            assert bpf.run(now, *arguments) == bpf.run(committed, *arguments), (calls.get(number), case)


def test_either_binding_of_the_library_serves(monkeypatch):
    made = build("sender", "x86_64")
    monkeypatch.setattr(builder, "BINDINGS", ("nothing_of_that_name", "pyseccomp"))
    assert build("sender", "x86_64") == made
    monkeypatch.setattr(builder, "BINDINGS", ("nothing_of_that_name",))
    with pytest.raises(ImportError, match="neither python3-seccomp nor pyseccomp"):
        build("sender", "x86_64")


def test_an_architecture_without_a_filter_gets_one_made(monkeypatch):
    asked = []
    monkeypatch.setattr(builder, "build", lambda *arguments: asked.append(arguments) or b"made")
    assert sandbox.filter_for("sender", "loongarch64") == b"made"
    assert asked == [("sender", "loongarch64")]


def test_an_architecture_that_no_filter_can_be_made_for_is_said():
    with pytest.raises(LookupError):
        build("sender", "s390x")


@pytest.mark.parametrize(
    ("triplet", "name"),
    [
        ("x86_64-linux-gnu", "x86_64"),
        ("x86_64-linux-musl", "x86_64"),
        ("x86_64-linux-gnux32", "x32"),
        ("i386-linux-gnu", "i386"),
        ("i686-linux-musl", "i386"),
        ("powerpc64le-linux-gnu", "ppc64le"),
        ("arm-linux-gnueabihf", "arm"),
        ("aarch64-linux-gnu", "aarch64"),
        ("riscv64-linux-gnu", "riscv64"),
    ],
)
def test_the_architecture_is_the_interpreters(monkeypatch, triplet, name):
    monkeypatch.setattr(sys.implementation, "_multiarch", triplet)
    assert sandbox.architecture() == name
