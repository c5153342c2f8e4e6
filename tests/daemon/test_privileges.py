"""Row 85: whom the processes become, that they do become it, that nothing of root is left; and what they begin with."""

from __future__ import annotations

import os
import pwd
import textwrap
import types

import pytest
from tests.support.inside import NOBODY, refusing, run

from msmtp.config.daemon_settings import Settings
from msmtp.daemon import privileges
from msmtp.failures import ConfigFailure

ROOT = pytest.mark.root
HEAD = """
    from msmtp.daemon import privileges
    from msmtp.daemon.privileges import User, drop
    from msmtp.failures import Failure
    def capabilities():
        with open('/proc/self/status') as file:
            return [int(line.split()[1], 16) for line in file if line.startswith(('CapInh', 'CapPrm', 'CapEff', 'CapAmb'))]
    def who():
        return os.getresuid(), os.getresgid(), sorted(os.getgroups()), capabilities()
    nobody = User('nobody', 65534, 65534)
"""


def joined(*parts):
    return "".join(textwrap.dedent(each) for each in parts)


def told(code, **options):
    done = run(joined(HEAD, code), **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def settings(**values):
    made = Settings()
    for name, value in values.items():
        setattr(made, name, value)
    return made


# -- whom


def entry(name, uid, gid):
    return types.SimpleNamespace(pw_name=name, pw_uid=uid, pw_gid=gid)


@pytest.fixture
def database(monkeypatch):
    """A user database with the package's users; root asks."""
    made = {name: entry(name, 900 + at, 950 + at) for at, name in enumerate(privileges.NAMES.values())}
    made |= {"root": entry("root", 0, 0), "toor": entry("toor", 0, 5), "mail": entry("mail", 8, 8)}
    monkeypatch.setattr(privileges.pwd, "getpwnam", made.__getitem__)
    monkeypatch.setattr(privileges.pwd, "getpwuid", {each.pw_uid: each for each in made.values()}.__getitem__)
    monkeypatch.setattr(privileges.grp, "getgrnam", {"mail": types.SimpleNamespace(gr_gid=8)}.__getitem__)
    monkeypatch.setattr(privileges.os, "getgrouplist", lambda _, gid: [gid, 77])
    for call in ("getuid", "geteuid"):
        monkeypatch.setattr(privileges.os, call, lambda: 0)
    return made


def test_root_becomes_the_packages_users_each_process_another(database):
    found = privileges.users(settings(tls_cert="/c", peer_names=True, auth=[("me", None)]))
    assert found.change
    by_process = {process: getattr(found, process) for process in privileges.NAMES}
    assert {process: user.name for process, user in by_process.items()} == privileges.NAMES
    assert len({user.uid for user in by_process.values()}) == len(privileges.NAMES)
    assert {process for process, user in by_process.items() if 77 in user.groups} == {"delivery"}
    assert found.numbers() == {user.uid for user in by_process.values()}


def test_users_of_what_does_not_run_need_not_be_there(database):
    for name in ("msmtpd-tls", "msmtpd-dns", "msmtpd-auth"):
        del database[name]
    assert privileges.users(settings()).delivery.name == "msmtpd-send"


@pytest.mark.parametrize("name", ["msmtpd", "msmtpd-w", "msmtpd-send", "msmtpd-auth"])
def test_fault_85_root_without_the_users_does_not_start(database, name):
    del database[name]
    with pytest.raises(ConfigFailure) as caught:
        privileges.users(settings(auth=[("me", None)]))
    assert caught.value.message == f"started as root, and there is no user {name} to become"
    assert "--user=NAME" in caught.value.hint
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    ("text", "uid", "gid", "groups"),
    [("mail", 8, 8, [8, 77]), ("8", 8, 8, [8, 77]), ("msmtpd:mail", 900, 8, [8]), ("msmtpd:31", 900, 31, [31])],
)
def test_one_user_for_all_by_option(database, text, uid, gid, groups):
    found = privileges.users(settings(user=text))
    assert {getattr(found, process) for process in privileges.NAMES} == {found.worker}
    assert (found.worker.uid, found.worker.gid, found.worker.groups) == (uid, gid, groups)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("root", "root is root"),
        ("0", "is root, which"),
        ("toor", "toor is root"),
        ("nobodys", "there is no user nobodys"),
        ("4711", "there is no user 4711"),
        ("99999999999999999999999", "there is no user"),
        (":mail", "there is no user "),
        ("mail:nobodys", "there is no group nobodys"),
    ],
)
def test_fault_85_who_is_root_or_nobody_is_not_become(database, text, words):
    with pytest.raises(ConfigFailure, match=words):
        privileges.users(settings(user=text))


def test_a_package_that_makes_a_user_root_is_not_obeyed(database):
    database["msmtpd-w"] = entry("msmtpd-w", 0, 0)
    with pytest.raises(ConfigFailure, match="msmtpd-w is root"):
        privileges.users(settings())


def test_a_plain_user_stays_who_it_is_and_cannot_ask_for_another():
    code = """
        from msmtp.config.daemon_settings import Settings
        settings = Settings()
        found = privileges.users(settings)
        print(found.change, found.worker.uid, found.worker is found.delivery)
        drop(found.worker)
        settings.user = str(os.getuid())
        print(privileges.users(settings).change)
        settings.user = 'root'
        for settings.user in ('mail', 'root'):
            try:
                privileges.users(settings)
            except Failure as failure:
                print(failure.exit_code, failure.message)
    """
    user = os.getuid() or NOBODY
    assert told(code, uid=None if os.getuid() else NOBODY).splitlines() == [
        f"False {user} True",
        "False",
        "78 only root can become another user (--user=mail)",
        "78 root is root, which msmtpd does not run as",
    ]


# -- becoming it


@ROOT
def test_fault_85_root_is_given_up_with_groups_and_capabilities_for_good():
    code = """
        os.setgroups([0, 4, 20])
        drop(nobody)
        print(who())
        for call, arguments in ((os.setresuid, (0, 0, 0)), (os.setgid, (0,)), (os.setgroups, ([0],))):
            try:
                call(*arguments)
            except PermissionError:
                continue
            print(call, 'goes')
    """
    assert told(code) == "((65534, 65534, 65534), (65534, 65534, 65534), [65534], [0, 0, 0, 0])"


@ROOT
def test_fault_85_a_supervisor_keeps_what_it_needs_and_its_children_nothing():
    code = """
        worker = User('worker', 65533, 65533)
        drop(nobody, ('kill', 'setgid', 'setuid'))
        print(who()[0][0], [hex(each) for each in capabilities()], os.getgroups())
        role = sandbox.prepare('supervisor', keep=('kill', 'setgid', 'setuid'))
        assert role.enter('require').complete
        reads, writes = os.pipe()
        if not os.fork():
            drop(worker)
            held = bytes(bytearray(24))
            privileges._library().call('capget', (0x20080522).to_bytes(4, sys.byteorder) + bytes(4), held)
            os.write(writes, repr((os.getresuid(), os.getresgid(), os.getgroups(), set(held))).encode())
            os._exit(0)
        os.wait()
        print(os.read(reads, 200).decode())
    """
    assert told(code).splitlines() == [
        "65534 ['0x0', '0xe0', '0xe0', '0x0'] [65534]".replace("0xe0", hex(1 << 5 | 1 << 6 | 1 << 7)),
        "((65533, 65533, 65533), (65533, 65533, 65533), [65533], {0})",
    ]


@ROOT
def test_fault_85_the_capability_for_port_25_goes_too():
    code = """
        import socket
        with socket.socket() as one:
            one.bind(('127.0.0.1', 25))
        print(bool(capabilities()[2]), bool(capabilities()[3]))
        drop(User('nobody', *os.getresuid()[:1], *os.getresgid()[:1]))
        print(capabilities())
        with socket.socket() as one:
            try:
                one.bind(('127.0.0.1', 26))
            except PermissionError:
                print('no more')
    """
    before = (
        *("unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$0" "$@"'),
        *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
        *("--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service"),
    )
    assert told(code, before=before).splitlines() == ["True True", "[0, 0, 0, 0]", "no more"]


@ROOT
@pytest.mark.parametrize("call", ["setgroups", "setresgid", "setresuid", "capset"])
def test_fault_85_a_call_that_fails_ends_it(call):
    code = """
        try:
            drop(nobody)
        except Failure as failure:
            print(failure.exit_code, failure.message)
    """
    assert told(joined(refusing((call, 1)), code)) == "71 cannot become user nobody: Operation not permitted"


@ROOT
@pytest.mark.parametrize("call", ["setgroups", "setresgid", "setresuid", "capset"])
def test_fault_85_a_call_that_only_says_it_did_ends_it_too(call):
    code = """
        os.setgroups([0, 4])
        try:
            drop(nobody, ('kill',))
        except Failure as failure:
            print(failure.exit_code, failure.message)
    """
    assert told(joined(refusing((call, 0)), code)) in {
        "71 cannot become user nobody: the system says it did and did not",
        "71 capabilities could not be given up",
    }


@ROOT
def test_fault_85_who_could_become_root_again_does_not_go_on():
    code = """
        privileges._can_return = lambda: True
        try:
            drop(nobody)
        except Failure as failure:
            print(failure.exit_code, failure.message)
    """
    assert told(code) == "71 user nobody could become root again"


@ROOT
def test_without_ctypes_root_does_not_go_on_and_nobody_does():
    code = """
        def none(*_): raise ImportError
        privileges.Library = none
        try:
            drop(nobody)
        except Failure as failure:
            print(failure.message)
        os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
        drop(nobody)
        print('on')
    """
    assert told(code).splitlines() == ["capabilities cannot be given up: Python was built without ctypes", "on"]


# -- what it begins with


def test_no_descriptor_of_who_started_it_is_kept():
    code = """
        from msmtp.daemon.descriptors import open_ones
        os.dup2(os.open('/dev/null', os.O_RDONLY), 40)
        os.dup2(40, 41)
        os.close(0)
        os.close(1)
        privileges.tidy((41,))
        os.write(2, repr((sorted(open_ones()), os.readlink('/proc/self/fd/1'))).encode())
    """
    assert run(joined(HEAD, code)).stderr == "([0, 1, 2, 41], '/dev/null')"


def test_a_file_never_gets_the_number_of_a_standard_one():
    code = """
        os.closerange(0, 3)
        privileges.tidy()
        os._exit(os.open('/dev/null', os.O_WRONLY))
    """
    assert run(joined(HEAD, code)).returncode == 3


@ROOT
def test_the_real_user_database_is_read():
    name = pwd.getpwuid(NOBODY).pw_name
    found = privileges.named(f"{name}:nogroup")
    assert (found.uid, found.gid) == (NOBODY, NOBODY)
    assert "65534" in repr(found)
