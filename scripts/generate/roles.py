"""docs/roles.md: what each role of the sandbox may do, from ROLES and from the groups of system calls."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from msmtp.sandbox.roles import ABSTRACT, READ_FILES, ROLES, RUN_FILES, SIGNALS, WRITE_FILES, Role
from msmtp.sandbox.syscalls import ALLOW, FILTERS, KILL, OWN_PID, Call, Condition, Filter, Group

TARGET = "docs/roles.md"

WHOLE = {0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF}  # masks that leave nothing out

HEAD = """# What each process may still do

Made by scripts/generate/roles.py from `ROLES` (src/msmtp/sandbox/roles.py) and the groups of system calls
(src/msmtp/sandbox/syscalls.py). What it is good for, and what was tried against it, is in security.md.

A process keeps the descriptors that it holds when it enters its role. Beside them it has what its row says. `{NAME}`
stands for what that environment variable says, `{NAME}/..` for the folder of the file that it names, `{UID}` for the
user's number; a path that is not there is left out.
"""


def _filters(role: Role) -> str:
    names = [role.filter or "none"]
    names += [f"{role.reading_filter} if paths stay readable"] * bool(role.reading_filter)
    names += [f"{role.running_filter} if paths stay executable"] * bool(role.running_filter)
    return "; ".join(names)


def _open_scopes(role: Role) -> str:
    scopes = role.scopes if role.landlock else 0
    names = ["abstract sockets"] * (not scopes & ABSTRACT) + ["signals, as far as filter and user allow"] * (
        not scopes & SIGNALS
    )
    return ", ".join(names) or "nothing"


def _capabilities(role: Role) -> str:
    if role.capabilities is None:
        return "what its user has"
    return f"none, but for those asked for of {', '.join(role.capabilities)}" if role.capabilities else "none"


ROWS = (
    ("purpose", lambda role: role.purpose),
    ("filter", _filters),
    (
        "paths it may be given",
        lambda role: (
            {
                READ_FILES: "to read",
                WRITE_FILES: "to read, to write",
                RUN_FILES: "to read, to write, to run",
            }.get(role.files, "none")
            if role.landlock
            else "all that its user has"
        ),
    ),
    ("paths to read", lambda role: _code(role.readable)),
    ("paths to write", lambda role: _code(role.writable)),
    (
        "TCP ports to connect to",
        lambda role: "any" if role.ports is None or not role.landlock else ", ".join(map(str, role.ports)) or "none",
    ),
    ("beyond its own domain", _open_scopes),
    ("limits", lambda role: ", ".join(f"{name} {_limit(value)}" for name, value in role.limits)),
    ("capabilities", _capabilities),
    ("no new privileges", lambda role: _yes(role.no_new_privileges)),
    ("memory open to others of the user", lambda role: _yes(role.dumpable)),
    ("signal at the parent's end", lambda role: str(role.parent_death_signal or "none")),
    ("namespaces of its own", lambda role: ", ".join(role.namespaces) or "none"),
)


def generate() -> str:
    """The file's text."""
    parts = [HEAD, "## Roles\n"]
    parts += [_role(role) for role in ROLES.values()]
    parts += ["## Filters\n", _legend()]
    parts += [_filter(name, row) for name, row in FILTERS.items()]
    parts += ["## Groups of system calls\n"]
    parts += [_group(group) for group in _groups()]
    return "\n".join(parts)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _limit(value: int | None) -> str:
    return "as given" if value is None else str(value)


def _code(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words) or "none"


def _role(role: Role) -> str:
    lines = [f"### {role.name}\n", "| | |", "|---|---|"]
    lines += [f"| {title} | {show(role)} |" for title, show in ROWS]
    return "\n".join(lines) + "\n"


def _legend() -> str:
    return (
        "The first group that names a call decides about it. Calls that do not exist on an architecture are left\n"
        "out there; a call of another architecture than the interpreter's ends the process. Arguments count from 0.\n"
    )


def _filter(name: str, row: Filter) -> str:
    groups = " · ".join(group.name for group in row.groups)
    return f"**{name}**: {groups}; everything else: {_verdict(row.otherwise)}\n"


def _verdict(verdict: int) -> str:
    return {ALLOW: "allowed", KILL: "ends the process"}.get(verdict, errno.errorcode.get(verdict, ""))


def _groups() -> list[Group]:
    found: dict[str, Group] = {}
    for row in FILTERS.values():
        for group in row.groups:
            assert found.setdefault(group.name, group) is group, f"two groups are called {group.name}"
    return list(found.values())


def _group(group: Group) -> str:
    plain = [call.name for call in group.calls if not call.conditions]
    lines = [f"### {group.name}: {_verdict(group.verdict)}\n", f"{group.why[0].upper()}{group.why[1:]}.\n"]
    if plain:
        lines.append(", ".join(f"`{name}`" for name in plain) + "\n")
    rows: dict[tuple[str, str], list[Call]] = {}
    for call in group.calls:
        if call.conditions:
            rows.setdefault((call.name, call.note), []).append(call)
    lines += [f"- {_conditional(calls)}" for calls in rows.values()]
    return "\n".join(lines).rstrip() + "\n"


def _conditional(calls: list[Call]) -> str:
    """One call with all the conditions that it is allowed under; those that differ in one value share a line."""
    first = calls[0]
    otherwise = f"; otherwise {_verdict(first.otherwise)}" if first.otherwise is not None else ""
    if all(len(call.conditions) == 1 for call in calls):
        values = ", ".join(_value(call.conditions[0]) for call in calls)
        where = f"{_argument(first.conditions[0])} is {values}"
    else:
        where = ", or ".join(" and ".join(_condition(one) for one in call.conditions) for call in calls)
    return f"`{first.name}` where {where} ({first.note}){otherwise}"


def _condition(condition: Condition) -> str:
    return f"{_argument(condition)} is {_value(condition)}"


def _value(condition: Condition) -> str:
    return "its own number" if condition.value == OWN_PID else f"{condition.value:#x}"


def _argument(condition: Condition) -> str:
    return f"argument {condition.index}" + ("" if condition.mask in WHOLE else f" & {condition.mask:#x}")


if __name__ == "__main__":
    print(generate())
