"""The daemon's roles: what each may and may not do, tried from inside; how it is entered, and what a supervisor is told."""

from __future__ import annotations

import functools
import json
import os
import shutil
import sys
import textwrap

import pyseccomp
import pytest
from tests.support.inside import (
    DAEMON,
    NO_LANDLOCK,
    NO_SECCOMP,
    NOBODY,
    PYTHONS,
    USERS,
    refusing,
    run,
    scene,
    surprises,
    try_inside,
)

from msmtp import sandbox
from msmtp.failures import UnconfinedFailure

LONELY = ("worker", "auth", "tls")
ROLES = (*LONELY, "tls-parent", "names", "supervisor", "supervisor-running", "delivery", "delivery-offline")
try_role = functools.partial(try_inside, program=DAEMON)

OWN_PYTHON = os.path.realpath(sys.executable)
OTHER_PYTHONS = sorted(
    {
        os.path.basename(path): path for path in PYTHONS if os.path.basename(path) != os.path.basename(OWN_PYTHON)
    }.values()
)
"""One of each minor version, but for the one that runs these tests."""

NO_NAMESPACES = (("unshare", 1),)
NO_USERS = (("unshare", 1, pyseccomp.Arg(0, pyseccomp.MASKED_EQ, 1 << 28, 1 << 28)),)
NO_FILES = (("open", 13), ("openat", 13), ("landlock_create_ruleset", 13), ("stat", 13), ("newfstatat", 13))

OF_ROOT_ONLY = (
    *("open the memory", "a socket of AF_PACKET", "a socket of a protocol", "a socket of AF_NETLINK", "clone"),
    *("signals:", "set a limit of the parent", "a user namespace", "trace the parent", "process_vm", "rights:"),
    *("advise the parent's memory", "take a descriptor of the parent", "compare with the parent"),
    "change a socket's options",
)
"""Attempts that succeed for root alone without a sandbox, or for nobody on some kernels."""

DANGEROUS = ("fork", "vfork", "start a", "run ", "a program", "be traced", "execute", "clone3")
"""Attempts that must not be made where nothing refuses them: their child would report twice, or not at all."""

UNLIMITED = (
    *("more memory than its limit", "fill the disk", "a call that does not exist yet", "a 32-bit call"),
    *(
        "open the mail again",
        "write beyond the mail's end",
        "type into the terminal",
        "an x32 call",
        "listen",
        "accept",
    ),
    *("softly: find a host", "softly: clone3", "open a terminal", "wait for a child", "set an option", "listen"),
    *("start a session", "the command", "open by openat2", "a namespace of mounts", "map a file", "cut the log"),
)
"""Attempts whose end without a sandbox says nothing: no end at all, or the kernel's own refusal."""


@pytest.fixture(scope="module")
def folder():
    with scene() as made:
        yield made


@pytest.mark.parametrize("uid", USERS)
@pytest.mark.parametrize("role", ROLES)
def test_fault_49_78_79_what_is_forbidden_is_refused(folder, role, uid):
    results = try_role(folder, role, "forbidden", uid=uid)
    assert len(results) > (50 if role.startswith("delivery") else 130)
    assert surprises(results) == {}


@pytest.mark.parametrize("uid", USERS)
@pytest.mark.parametrize("role", [*ROLES, "delivery-setgid"])
def test_what_is_needed_works(folder, role, uid):
    results = try_role(folder, role, "needed", uid=uid)
    assert len(results) > 5
    assert surprises(results) == {}


@pytest.mark.parametrize("python", OTHER_PYTHONS)
def test_other_pythons_are_confined_alike(folder, python):
    for role in ROLES[:-1]:  # what the last one needs, the one before needs too
        assert surprises(try_role(folder, role, "needed", python=python)) == {}, role
    assert surprises(try_role(folder, "worker", "forbidden", python=python)) == {}


@pytest.mark.parametrize("role", ROLES[:-1])
def test_another_allocator_needs_nothing_else(folder, role):
    environment = {"PYTHONMALLOC": "malloc", "MALLOC_PERTURB_": "85"}
    assert surprises(try_role(folder, role, "needed", flags=("-s", "-S", "-P"), environment=environment)) == {}


@pytest.mark.parametrize("within", ["supervisor", "supervisor-running"])
@pytest.mark.parametrize("role", LONELY)
def test_a_supervisors_children_are_confined_as_they_are_without_one(folder, role, within):
    assert surprises(try_role(folder, role, "needed", within=within, uid=USERS[-1])) == {}
    if (within, role) == ("supervisor", "worker"):
        assert surprises(try_role(folder, role, "forbidden", within=within, uid=USERS[-1])) == {}


@pytest.mark.parametrize("role", ["worker", "supervisor", "delivery"])
def test_without_a_sandbox_the_attempts_end_otherwise(role):
    with scene() as folder:  # of its own, for nothing in it survives
        every = try_role(folder, role, "forbidden")
        apart = DANGEROUS + OF_ROOT_ONLY + UNLIMITED
        names = [name for name in every if not name.startswith(apart)]
        assert len(names) > (25 if role == "delivery" else 80)
        results = try_role(
            folder, role, "forbidden", uid=NOBODY if os.getuid() == 0 else None, policy="off", names=names
        )
    # as nobody, what needs root's rights is refused all the same
    held = {name: came for name, (came, _) in results.items() if came in {"EACCES", "EPERM", "ENOSYS"}}
    assert {name for name in held if not name.startswith(("the call", "change the root", "open by a file h"))} == set()


NETWORK = """
    import socket
    listener = socket.create_server(('127.0.0.1', 0))
    client = socket.create_connection(listener.getsockname())
    connection = listener.accept()[0]
    for layer in ('landlock', 'seccomp'):
        setattr(sandbox.Prepared, layer, lambda _: 'left out')
    sandbox.enter('{role}', policy='require')
    connection.send(b'x')
    assert client.recv(1) == b'x'
    try:
        socket.create_connection(listener.getsockname())
    except OSError as error:
        print(errno.errorcode[error.errno], os.getuid())
"""


@pytest.mark.parametrize("uid", [uid or None for uid in USERS])
@pytest.mark.parametrize("role", ["worker", "tls"])
def test_namespaces_alone_leave_no_network_but_the_connection(role, uid):
    assert run(NETWORK.format(role=role), uid=uid).stdout == "ENETUNREACH 65534\n"


# -- entering


def test_a_worker_says_what_is_in_force():
    code = """
        prepared = sandbox.prepare('worker', limits={'descriptors': 20, 'file': 1000})
        if not os.fork():
            print(prepared.enter('require').line(), flush=True)
            os._exit(0)
        os.wait()
    """
    abi = run("print(sandbox.prepare('worker').abi)").stdout.strip()
    assert run(code).stdout == (
        "sandbox: role worker: limits: core 0, processes 0, descriptors 20, file 1000, memory 268435456, seconds 60;"
        " namespaces of its own: user, net, ipc, uts, cgroup; capabilities: none; signal 15 when the parent ends;"
        f" no new privileges; not dumpable; Landlock ABI {abi}: files none; TCP none;"
        f" seccomp filter worker.{sandbox.architecture()}\n"
    )


def test_a_delivery_broker_says_what_it_leaves_open():
    said = run("print(sandbox.enter('delivery', executable=('/usr',), writable=('/tmp',)).line())").stdout
    assert "files /tmp (to write), /usr (to run); TCP any; left open: abstract sockets;" in said
    said = run("print(sandbox.enter('supervisor').line())").stdout
    assert "files none; TCP none; left open: signals; seccomp filter supervisor." in said
    said = run("print(sandbox.enter('supervisor', executable=('/usr',)).line())").stdout
    assert "seccomp filter supervisor-running." in said


@pytest.mark.parametrize("role", LONELY)
def test_a_prepared_role_is_entered_without_opening_a_file(role):
    code = f"prepared = sandbox.prepare({role!r})\n" + textwrap.dedent(refusing(*NO_FILES))
    done = run(code + "print(prepared.enter('require').complete)")
    assert done.stdout == "True\n", done.stderr


def test_a_prepared_role_is_entered_by_many_and_leaves_its_descriptor_to_the_parent():
    code = """
        before = os.listdir('/proc/self/fd')
        prepared = sandbox.prepare('worker', limits={'descriptors': len(before)})
        for _ in range(3):
            if not os.fork():
                assert prepared.enter('require').complete
                os.close(prepared.ruleset) if prepared.ruleset >= 0 else os._exit(5)
            assert os.waitstatus_to_exitcode(os.wait()[1]) == 5
        prepared.close()
        prepared.close()
        print(os.listdir('/proc/self/fd') == before)
    """
    done = run(code)
    assert done.stdout == "True\n", done.stderr


def test_what_a_role_may_not_have_is_refused():
    for role, options, words in (
        ("worker", {"readable": ("/etc",)}, "may not keep these paths"),
        ("auth", {"writable": ("/tmp",)}, "may not keep these paths"),
        ("sender-gssapi", {"executable": ("/bin",)}, "may not keep these paths"),
        ("worker", {"limits": {"disk": 1}}, "has no such limit"),
        ("auth", {"limits": {"file": 1}}, "has no such limit"),
        ("worker", {"keep": ("setuid",)}, "may not keep these capabilities"),
        ("supervisor", {"keep": ("sys_admin",)}, "may not keep these capabilities"),
    ):
        with pytest.raises(ValueError, match=f"role {role} {words}"):
            sandbox.prepare(role, **options)


def test_a_limit_that_is_lower_already_stays():
    code = """
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
        os.setgroups([]) if os.getuid() == 0 else None
        os.setresuid(65534, 65534, 65534) if os.getuid() == 0 else None
        print(sandbox.enter('supervisor', limits={'descriptors': 50}, policy='require').in_force[0])
        print(resource.getrlimit(resource.RLIMIT_NOFILE))
    """
    assert run(code).stdout == "limits: core 0, descriptors 50 (or less)\n(30, 30)\n"


CAPABILITIES = """
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        sandbox.enter('{role}', keep={keep}, policy='require')
        os.write(writes, b'x')
        time.sleep(10)
    os.read(reads, 1)
    with open(f'/proc/{{child}}/status') as file: status = file.read().split('\\n')
    print([line.split()[1].lstrip('0') for line in status if line.startswith(('CapInh', 'CapPrm', 'CapEff', 'CapAmb'))])
    os.kill(child, 9)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root has any")
@pytest.mark.parametrize(
    ("role", "keep", "mask"),
    [("worker", (), ""), ("auth", (), ""), ("supervisor", (), ""), ("supervisor", ("kill", "setuid"), "a0")],
)
def test_of_roots_capabilities_only_those_asked_for_are_kept(role, keep, mask):
    assert run(CAPABILITIES.format(role=role, keep=keep)).stdout == f"{['', mask, mask, '']}\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may")
def test_a_supervisor_that_keeps_the_right_to_makes_its_children_other_users():
    code = """
        worker = sandbox.prepare('worker')
        sandbox.enter('supervisor', keep=('kill', 'setuid', 'setgid'), policy='require')
        reads, writes = os.pipe()
        child = os.fork()
        if not child:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            os.write(writes, repr((os.getresuid(), worker.enter('require').complete)).encode())
            time.sleep(20)
        print(os.read(reads, 100).decode())
        os.kill(child, signal.SIGTERM)
        print(os.waitstatus_to_exitcode(os.wait()[1]))
    """
    assert run(code).stdout == "((65534, 65534, 65534), True)\n-15\n"


SETGID = """
    import subprocess
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    sandbox.enter({role!r}, {paths} policy='require')
    print(subprocess.run([{program!r}, '-g'], capture_output=True).stdout)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make the command")
def test_only_the_role_for_it_lets_a_setgid_command_be_one(folder):
    program = folder / "id"
    shutil.copy("/usr/bin/id", program)
    os.chown(program, 0, 43)
    program.chmod(0o2755)
    paths = "executable=('/',),"
    assert run(SETGID.format(role="delivery-setgid", paths="", program=str(program))).stdout == "b'43\\n'\n"
    assert run(SETGID.format(role="delivery", paths=paths, program=str(program))).stdout == "b'65534\\n'\n"


# -- the parent's end


def test_a_worker_is_told_when_its_parent_ends():
    code = """
        prepared = sandbox.prepare('worker')
        reads, writes = os.pipe()
        if not os.fork():
            if not os.fork():
                signal.signal(signal.SIGTERM, lambda *_: os._exit(os.write(writes, b'told')))
                prepared.made_by = os.getppid()
                prepared.enter('require')
                os.write(writes, b'ready')
                time.sleep(5)
                os._exit(0)
            assert os.read(reads, 5) == b'ready'
            os._exit(0)
        os.wait()
        os.close(writes)
        print(os.read(reads, 10))
    """
    assert run(code).stdout == "b'told'\n"


def test_a_worker_whose_parent_ended_before_ends_too():
    code = """
        prepared = sandbox.prepare('worker')
        prepared.made_by = 1 if os.getppid() != 1 else 2  # as if somebody had taken the parent's place
        child = os.fork()
        if not child:
            prepared.enter('require')
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.wait()[1]))
    """
    assert run(code).stdout == "-15\n"


# -- what a supervisor is told beforehand


def test_nothing_is_missing_here_and_asking_confines_nobody():
    code = """
        sandbox.check(*[sandbox.prepare(name) for name in ('supervisor', 'auth', 'worker', 'delivery', 'tls')])
        print(sandbox.probe(sandbox.prepare('worker')), len(open('/etc/passwd').read()) > 0)
        try:
            os.wait()
        except ChildProcessError:
            print('no child is left')
    """
    assert run(code).stdout == "() True\nno child is left\n"


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        (NO_LANDLOCK, "Landlock: Function not implemented"),
        (NO_SECCOMP, "seccomp: Invalid argument"),
        (NO_NAMESPACES, "namespaces: user, net, ipc, uts, cgroup: Operation not permitted"),
        *([(NO_USERS, "namespaces: user: Operation not permitted")] if os.getuid() == 0 else []),
        (
            (*NO_LANDLOCK, *NO_NAMESPACES),
            "namespaces: user, net, ipc, uts, cgroup: Operation not permitted; Landlock: Function not implemented",
        ),
    ],
)
def test_fault_80_a_service_learns_in_one_line_what_is_missing(calls, words):
    code = """
        from msmtp.failures import Failure
        try:
            sandbox.check(sandbox.prepare('worker'))
        except Failure as failure:
            print(json.dumps([type(failure).__name__, failure.exit_code, str(failure), failure.hint]))
        print(sandbox.prepare('worker').enter('try').line())
    """
    told, entered = run(refusing(*calls) + code).stdout.splitlines()
    assert json.loads(told) == [
        "UnconfinedFailure",
        78,
        f"cannot confine the worker: {words}",
        "--sandbox=try runs with what this system has",
    ]
    assert all(f"NOT in force: {part}" in entered for part in words.split("; "))


def test_a_child_that_does_not_come_back_is_told_too(monkeypatch):
    prepared = sandbox.prepare("auth")
    monkeypatch.setattr(sandbox.Prepared, "_take", lambda self: os.kill(os.getpid(), 9))
    with pytest.raises(UnconfinedFailure, match="everything: a process on its way into the role ended with status -9"):
        sandbox.check(prepared)
    prepared.close()


def test_a_system_that_can_do_nothing_is_told_too(monkeypatch):
    for name in ("_ctypes", "ctypes"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("msmtp.sandbox.libc._WAYS", [])  # what was found before would confine the tests themselves
    missing = sandbox.probe(sandbox.prepare("worker"))
    assert [layer for layer, _ in missing] == ["everything"]


# -- how they look from outside


LOOK = """
    prepared = sandbox.prepare({role!r})
    Library().call('prctl', 4, 1, 0, 0, 0)
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        prepared.enter('require')
        os.write(writes, b'x')
        time.sleep(10)
    os.read(reads, 1)
    seen = []
    for name in ('mem', 'environ', 'maps', 'fd/0'):
        try:
            os.close(os.open(f'/proc/{{child}}/{{name}}', os.O_RDONLY))
            seen.append('open')
        except OSError as error:
            seen.append(errno.errorcode[error.errno])
    try:
        Library().call('ptrace', 16, child, None, None)
        seen.append('traced')
    except OSError as error:
        seen.append(errno.errorcode[error.errno])
    os.kill(child, 9)
    print(seen)
"""


@pytest.mark.parametrize("role", [*LONELY, "supervisor", "delivery", "delivery-setgid"])
def test_fault_86_nobody_else_of_the_same_user_may_look_into_them(role):
    uid = NOBODY if os.getuid() == 0 else None
    assert run(LOOK.format(role=role), uid=uid).stdout == "['EACCES', 'EACCES', 'EACCES', 'EACCES', 'EPERM']\n"
