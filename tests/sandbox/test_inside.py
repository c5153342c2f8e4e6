"""What a process may do and may not do in each role, tried from inside real ones."""

from __future__ import annotations

import os
import sys

import pytest
from tests.support.inside import NOBODY, PYTHONS, ROLES, USERS, scene, surprises, try_inside

DANGEROUS = (
    "signals: end",
    "signals: stop",
    "fork",
    "vfork",
    "clone",
    "start a",
    "run a program",
    "run an open",
    "trace",
    "signals: with",
)
"""Attempts (how their names begin) that must not be made where nothing refuses them."""

ONLY_ROOT = (
    "open the memory",
    "a socket of AF_PACKET",
    "a socket of a protocol that Landlock does not know: raw",
    "signals: ask for the parent",
    "signals: to a thread of the parent",
    "signals: by tkill",
    "set a limit of the parent",
)
"""Attempts that nobody else succeeds with, sandbox or not (in these tests the parent belongs to root)."""

NEVER = ("a call that does not exist yet", "type into the terminal", "a 32-bit call")
"""Attempts that some kernels refuse everybody."""


@pytest.fixture(scope="module")
def folder():
    with scene() as made:
        yield made


@pytest.mark.parametrize("uid", USERS)
@pytest.mark.parametrize("role", ROLES)
def test_what_is_forbidden_is_refused(folder, role, uid):
    results = try_inside(folder, role, "forbidden", uid=uid)
    assert len(results) > 100
    assert surprises(results) == {}


@pytest.mark.parametrize("uid", USERS)
@pytest.mark.parametrize("role", ROLES)
def test_what_is_needed_works(folder, role, uid):
    results = try_inside(folder, role, "needed", uid=uid)
    assert len(results) > 15
    assert surprises(results) == {}


@pytest.mark.parametrize("role", ["sender", "sender-reading"])
def test_other_pythons_are_confined_alike(folder, role):
    for python in PYTHONS:
        if python != os.path.realpath(sys.executable):
            assert surprises(try_inside(folder, role, "needed", python=python)) == {}, python
            assert surprises(try_inside(folder, role, "forbidden", python=python)) == {}, python


@pytest.mark.parametrize("role", ["sender", "sender-reading"])
@pytest.mark.parametrize(
    "environment",
    [{"PYTHONMALLOC": "malloc"}, {"PYTHONMALLOC": "debug", "MALLOC_PERTURB_": "85"}, {"MALLOC_TOP_PAD_": "0"}],
    ids=str,
)
def test_another_allocator_needs_nothing_else(folder, role, environment):
    assert surprises(try_inside(folder, role, "needed", flags=("-s", "-S", "-P"), environment=environment)) == {}


def test_a_process_without_privileges_to_gain_is_confined_alike(folder):
    before = ("setpriv", "--no-new-privs")
    assert surprises(try_inside(folder, "sender", "forbidden", before=before)) == {}
    assert surprises(try_inside(folder, "sender", "needed", before=before)) == {}


def test_it_works_without_proc(folder):
    before = ("unshare", "--map-root-user", "--mount", "sh", "-ec", 'mount -t tmpfs none /proc; exec "$@"', "sh")
    inside = try_inside(folder, "sender-reading", "forbidden", before=before, uid=0)
    assert {name: came for name, (came, may) in surprises(inside).items() if came != "ENOENT"} == {}
    assert surprises(try_inside(folder, "sender-reading", "needed", before=before, uid=0)) == {}


@pytest.mark.parametrize("role", ["sender", "sender-gssapi"])
def test_without_a_sandbox_the_attempts_end_otherwise(role):
    user = NOBODY if os.getuid() == 0 else None
    with scene() as folder:  # of its own, for nothing in it survives
        every = try_inside(folder, role, "forbidden")
        names = [name for name in every if not name.startswith(DANGEROUS + ONLY_ROOT + NEVER)]
        assert len(names) > 100
        results = try_inside(folder, role, "forbidden", uid=user, policy="off", names=names)
    assert {name: came for name, (came, may) in results.items() if came in may} == {}


def test_without_a_sandbox_root_succeeds_with_the_rest(folder):
    if os.getuid() != 0:
        return  # there is nobody to ask
    names = [name for name in try_inside(folder, "sender", "forbidden") if name.startswith(ONLY_ROOT)]
    assert len(names) > len(ONLY_ROOT)
    results = try_inside(folder, "sender", "forbidden", policy="off", names=names)
    assert {name: came for name, (came, _) in results.items() if came != "done"} == {}


def test_landlock_alone_keeps_files_and_ports_away(folder):
    results = try_inside(folder, "sender", "forbidden", without=["seccomp"], uid=NOBODY if os.getuid() == 0 else None)
    held = {
        name: came for name, (came, _) in results.items() if name.startswith(("open a file", "leave", "make a file"))
    }
    assert len(held) > 10
    assert {name: came for name, came in held.items() if came != "EACCES"} == {}
    for name in (
        "connect a held socket",
        "bind a held socket",
        "connect the connection elsewhere",
        "signals: to a thread of the parent",
    ):
        assert results[name][0] in {"EACCES", "EPERM"}, name
