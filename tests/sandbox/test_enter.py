"""What enter() reports, what it does where a layer cannot be had, and how a confined process looks from outside."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from tests.support.inside import NO_LANDLOCK, NO_SECCOMP, NOBODY, OLD_SECCOMP, PYTHONS, refusing, run

from msmtp import sandbox
from msmtp.failures import SandboxFailure
from msmtp.sandbox.roles import ROLES, Role

IN_FORCE = [
    "limits: core 0, processes 0",
    "no new privileges",
    "not dumpable",
]


# -- what it says


def test_every_layer_is_in_force_and_said():
    done = run(
        "applied = sandbox.enter('sender', policy='require'); print(json.dumps([applied.complete, applied.lines()]))"
    )
    complete, lines = json.loads(done.stdout)
    assert complete
    abi = lines[4].removeprefix("sandbox: Landlock ABI ").partition(":")[0]
    assert lines == [
        "sandbox: role sender",
        *(f"sandbox: {phrase}" for phrase in IN_FORCE),
        f"sandbox: Landlock ABI {abi}: files none; TCP none",
        f"sandbox: seccomp filter sender.{sandbox.architecture()}",
    ]


def test_readable_paths_are_said_and_take_the_filter_that_reads():
    done = run("print(sandbox.enter('sender', readable=('/etc/ssl/certs',)).lines())")
    assert ": files /etc/ssl/certs; TCP none" in done.stdout
    assert "seccomp filter sender-reading." in done.stdout


def test_a_path_that_is_not_there_is_no_obstacle():
    assert run("assert sandbox.enter('sender', readable=('/nowhere',), policy='require').complete").returncode == 0


@pytest.mark.parametrize("role", ["sender", "sender-pkcs11", "sender-gssapi"])
def test_paths_beyond_the_role_are_refused(role):
    with pytest.raises(ValueError, match="may not keep"):
        sandbox.enter(_role_without_files(role), readable=("/etc",))


@pytest.fixture(autouse=True)
def _closed_roles(monkeypatch):
    for name in ("sender", "sender-pkcs11", "sender-gssapi"):
        monkeypatch.setitem(ROLES, _role_without_files(name), Role(name, "", filter="sender"))


def _role_without_files(name):
    return f"{name} without files"


def test_the_sender_may_not_keep_a_path_to_write():
    with pytest.raises(ValueError, match="role sender may not keep these paths"):
        sandbox.enter("sender", writable=("/tmp",))


def test_off_does_nothing_and_says_so():
    applied = sandbox.enter("sender", policy=sandbox.OFF)
    assert not applied.complete
    assert applied.lines() == ["sandbox: role sender", "sandbox: NOT in force: everything: switched off"]
    with open("/etc/passwd") as file:
        assert file.read()


# -- where a layer cannot be had


def test_without_landlock_the_rest_is_in_force():
    done = run(
        refusing(*NO_LANDLOCK) + "\n        print(sandbox.enter('sender').lines())\n        open('/etc/passwd')\n"
    )
    assert "NOT in force: Landlock: Function not implemented" in done.stdout
    assert "seccomp filter sender." in done.stdout
    assert "PermissionError" in done.stderr


def test_without_seccomp_the_rest_is_in_force():
    done = run(
        refusing(*NO_SECCOMP) + "\n        print(sandbox.enter('sender').lines())\n        open('/etc/passwd')\n"
    )
    assert "NOT in force: seccomp: Invalid argument" in done.stdout
    assert "Landlock ABI" in done.stdout
    assert "PermissionError" in done.stderr


def test_an_older_seccomp_call_serves_too():
    done = run(
        refusing(*OLD_SECCOMP) + "\n        print(sandbox.enter('sender').lines())\n        open('/etc/passwd')\n"
    )
    assert "(this thread)" in done.stdout
    assert "NOT in force" not in done.stdout
    assert "PermissionError" in done.stderr


@pytest.mark.parametrize(
    ("missing", "words"),
    [(NO_LANDLOCK, "Landlock: Function not implemented"), (NO_SECCOMP, "seccomp: Invalid argument")],
    ids=["landlock", "seccomp"],
)
def test_require_fails_and_names_the_layer(missing, words):
    code = """
        try:
            sandbox.enter('sender', policy='require')
        except Exception as failure:
            print(type(failure).__name__, failure, failure.hint, sep='|')
    """
    done = run(refusing(*missing) + code)
    name, message, hint = done.stdout.rstrip().split("|")
    assert (name, message) == ("SandboxFailure", f"cannot confine this process: {words}")
    assert "--sandbox=try" in hint


def test_require_fails_where_python_cannot_call_the_c_library(monkeypatch):
    for name in ("_ctypes", "ctypes"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("msmtp.sandbox.libc._WAYS", [])  # what was found before would confine the tests themselves
    with pytest.raises(SandboxFailure, match="everything: the C library cannot be called"):
        sandbox.enter("sender", policy=sandbox.REQUIRE)
    applied = sandbox.enter("sender")
    assert [layer for layer, _ in applied.missing] == ["everything"]
    assert not applied.in_force


def test_without_a_filter_for_the_architecture_the_rest_is_in_force():
    done = run(
        "sys.implementation._multiarch = 's390x-linux-gnu'\nprint(sandbox.enter('sender').lines())\nopen('/etc/passwd')"
    )
    assert "NOT in force: seccomp: no filter sender for s390x" in done.stdout
    assert "Landlock ABI" in done.stdout
    assert "PermissionError" in done.stderr


def test_in_a_filter_for_another_architecture_nothing_survives():
    done = run(
        "sandbox.architecture = lambda: 'aarch64'\nsandbox.SECCOMP['aarch64'] = 317\nsandbox.enter('sender')\nprint('alive')"
    )
    assert (done.returncode, done.stdout) == (-signal.SIGSYS, "")


def test_a_second_time_is_refused_without_harm():
    done = run("sandbox.enter('sender')\nprint(sandbox.enter('sender').missing)")
    assert done.returncode == 0, done.stderr
    assert "('seccomp', " in done.stdout


def test_threads_that_run_already_are_confined_too():
    code = """
        import _thread
        ready, done, seen = _thread.allocate_lock(), _thread.allocate_lock(), []
        ready.acquire(); done.acquire()
        def other():
            ready.acquire()
            try:
                os.getcwd()
                seen.append("allowed")
            except OSError as error:
                seen.append(errno.errorcode[error.errno])
            done.release()
        _thread.start_new_thread(other, ())
        sandbox.enter('sender', policy='require')
        ready.release()
        done.acquire()
        print(seen)
    """
    assert run(code).stdout == "['EACCES']\n"


# -- the parts of a row that the sender does not use


def test_a_role_may_have_namespaces_and_a_parent_whose_end_it_is_told():
    code = """
        from msmtp.sandbox.roles import ROLES, Role
        ROLES['trial'] = Role('trial', '', filter='sender', namespaces=('user', 'net'), parent_death_signal=15)
        before = os.readlink('/proc/self/ns/net')
        entry = sandbox.prepare('trial')
        entry.namespaces(); entry.parent_death()
        assert os.readlink('/proc/self/ns/net') != before
        told = (0).to_bytes(4, sys.byteorder) + b''
        Library().call('prctl', 2, told, 0, 0, 0)
        print(int.from_bytes(told, sys.byteorder), [layer for layer, _ in entry.steps()])
    """
    assert run(code).stdout == (
        "15 ['limits', 'namespaces', \"parent's end\", 'no new privileges', 'not dumpable', 'Landlock', 'seccomp']\n"
    )


# -- how it ends, and how it looks from outside


@pytest.mark.parametrize("python", PYTHONS)
def test_an_exception_ends_it_with_its_name_and_code(python):
    done = run("sandbox.enter('sender', policy='require')\nraise ValueError('wrong')", python=python)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("ValueError: wrong")


@pytest.mark.parametrize("python", PYTHONS)
def test_it_ends_in_order(python):
    code = """
        import atexit
        atexit.register(print, "last words")
        sandbox.enter('sender', policy='require')
        sys.stdout.write("x" * 100000 + "\\n")
        sys.exit(75)
    """
    done = run(code, python=python)
    assert (done.returncode, done.stdout, done.stderr) == (75, "x" * 100000 + "\nlast words\n", "")


@pytest.mark.parametrize("python", PYTHONS)
def test_ctrl_c_ends_it_as_it_ends_any_program(python):
    done = run(
        "sandbox.enter('sender', policy='require')\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(5)", python=python
    )
    assert done.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in done.stderr


LOCAL_TIME = """
        {zone}
        before = time.strftime("%z")
        sandbox.pin_time_zone = {pin}
        sandbox.enter('sender', policy='require')
        time.mktime(time.gmtime())  # calls tzset(), as any library may
        print(before, time.strftime("%z"))
"""
TOKYO = ("unshare", "--map-root-user", "--mount", "sh", "-ec")
TOKYO_SHELL = 'mount --bind /usr/share/zoneinfo/Asia/Tokyo "$(readlink -f /etc/localtime)"; exec "$@"'


CARACAS = "os.environ['TZ'] = 'America/Caracas'; time.tzset()"


@pytest.mark.parametrize(
    ("zone", "pin", "expected"),
    [
        ("", "sandbox.pin_time_zone", "+0900 +0900\n"),
        (CARACAS, "sandbox.pin_time_zone", "-0400 -0400\n"),
        ("", "lambda: None", "+0900 +0000\n"),  # glibc: this is what the pin is for
    ],
    ids=["localtime", "TZ", "not pinned"],
)
def test_the_local_time_stays_local(zone, pin, expected):
    environment = {name: value for name, value in os.environ.items() if name != "TZ"}
    code = LOCAL_TIME.format(zone=zone, pin=pin)
    done = run(code, before=(*TOKYO, TOKYO_SHELL, "sh"), env=environment)
    assert (done.stdout, done.stderr) == (expected, "")


SYSLOG = """
        import socket, syslog
        daemon = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        daemon.bind('/dev/log')
        syslog.openlog('msmtp', syslog.LOG_NDELAY, syslog.LOG_MAIL)
        sandbox.enter('sender', policy='require')
        syslog.syslog(syslog.LOG_INFO, 'sent')
        print(daemon.recv(100).decode())
"""


def test_syslog_that_was_opened_before_still_hears():
    shell = 'mount -t tmpfs none /dev; exec "$@"'
    done = run(SYSLOG, before=("unshare", "--map-root-user", "--mount", "sh", "-ec", shell, "sh"))
    assert done.stderr == ""
    assert done.stdout.startswith("<22>")
    assert done.stdout.endswith("msmtp: sent\n")


def look_into(policy, uid):
    """How /proc/PID/mem and environ of a process answer to another one of the same user, who is not root."""
    code = f"""
        reads, writes = os.pipe()
        child = os.fork()
        if not child:
            sandbox.enter('sender', policy='{policy}')
            os.write(writes, b'x')
            time.sleep(20)
        os.read(reads, 1)
        seen = []
        for name in ('mem', 'environ', 'maps', 'auxv'):
            try:
                os.close(os.open(f'/proc/{{child}}/{{name}}', os.O_RDONLY if name != 'mem' else os.O_RDWR))
                seen.append('open')
            except OSError as error:
                seen.append(errno.errorcode[error.errno])
        try:
            Library().call('ptrace', 16, child, None, None)
            seen.append('traced')
        except OSError as error:
            seen.append(errno.errorcode[error.errno])
        os.kill(child, 9)
        os.waitpid(child, 0)
        print(seen)
    """
    # dumpable again, which a change of the user ends: as a user's shell is
    return run("Library().call('prctl', 4, 1, 0, 0, 0)\n" + textwrap.dedent(code), uid=uid).stdout


def test_nobody_else_may_look_into_it():
    uid = NOBODY if os.getuid() == 0 else None
    assert look_into("require", uid) == "['EACCES', 'EACCES', 'EACCES', 'EACCES', 'EPERM']\n"


def test_without_a_sandbox_others_of_the_user_may():
    uid = NOBODY if os.getuid() == 0 else None
    assert look_into("off", uid) == "['open', 'open', 'open', 'open', 'traced']\n"


def test_its_limits_cannot_be_raised_again():
    done = run("""
        sandbox.enter('sender', policy='require')
        limits = bytes(16)
        Library().call('prlimit64', 0, 4, None, limits)
        print(limits == bytes(16))
    """)
    assert done.stdout == "True\n"


# -- what it costs


def test_nothing_heavy_is_imported():
    done = run("sandbox.enter('sender', policy='require'); print(json.dumps(sorted(sys.modules)))")
    loaded = set(json.loads(done.stdout))
    plain = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            "import sys, os, json, time, signal, errno; print(json.dumps(sorted(sys.modules)))",
        ],
        capture_output=True,
        check=True,
    )
    new = loaded - set(json.load(io.BytesIO(plain.stdout)))
    assert {name for name in new if not name.startswith("msmtp")} <= {"__future__", "_ctypes"}
    assert {name for name in new if name.startswith("msmtp.sandbox")} == {
        "msmtp.sandbox",
        "msmtp.sandbox.landlock",
        "msmtp.sandbox.libc",
        "msmtp.sandbox.roles",
    }
