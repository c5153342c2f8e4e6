"""Listeners: own ones of each kind, what stands in their way, and what systemd hands over."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat
import subprocess
import sys

import pytest
from tests.support.inside import REPOSITORY, USERS, run

from msmtp.config.daemon_settings import Settings, UnixSocket
from msmtp.daemon import listeners as module
from msmtp.daemon import places
from msmtp.daemon.listeners import at_internet_address, own
from msmtp.failures import ConfigFailure, ListenerFailure


def settings(*, interfaces=(), ports=(0,), smtps_ports=(), sockets=()):
    made = Settings()
    made.interfaces, made.ports, made.smtps_ports = list(interfaces), list(ports), list(smtps_ports)
    made.sockets = list(sockets)
    return made


@contextlib.contextmanager
def listening(wanted, held=()):
    made = own(wanted, held)
    try:
        yield made
    finally:
        for each in {*made, *held}:
            each.close()


def refused(wanted, kind=ListenerFailure):
    with pytest.raises(kind) as caught:
        own(wanted)
    return caught.value


def port_of(listener):
    return int(listener.name.rpartition(" ")[2])


# -- internet


@pytest.mark.parametrize(
    ("interface", "kind", "family"), [("127.0.0.1", "inet", socket.AF_INET), ("::1", "inet6", socket.AF_INET6)]
)
def test_it_listens_on_an_address_of_either_kind(interface, kind, family):
    with listening(settings(interfaces=[interface])) as (listener,):
        assert (listener.kind, listener.tls_first) == (kind, False)
        assert listener.name == f"{interface}, port {port_of(listener)}"
        assert not os.get_blocking(listener.fd)
        assert not os.get_inheritable(listener.fd)
        with socket.socket(family) as client:
            client.connect((interface, port_of(listener)))
            os.set_blocking(listener.fd, True)
            with socket.socket(fileno=os.dup(listener.fd)) as copy:
                copy.accept()[0].close()


def test_every_address_gets_every_port_and_some_begin_with_tls():
    ports = []
    for _ in range(3):
        with contextlib.closing(at_internet_address("127.0.0.1", 0)) as made:
            ports.append(port_of(made))
    wanted = settings(interfaces=["127.0.0.1", "::1"], ports=ports[:2], smtps_ports=ports[2:])
    with listening(wanted) as made:
        assert [(each.kind, port_of(each), each.tls_first) for each in made] == [
            ("inet", ports[0], False),
            ("inet", ports[1], False),
            ("inet6", ports[0], False),
            ("inet6", ports[1], False),
            ("inet", ports[2], True),
            ("inet6", ports[2], True),
        ]


def test_all_of_ipv6_and_all_of_ipv4_are_two_listeners():
    with listening(settings(interfaces=["::"])) as (six,):
        wanted = settings(interfaces=["::", "0.0.0.0"], ports=[port_of(six)])
        six.asked = six.name
        with listening(wanted, [six]) as made:
            assert [each.kind for each in made] == ["inet6", "inet"]


def test_the_same_twice_is_one_listener():
    with listening(settings(interfaces=["127.0.0.1", "127.0.0.1"])) as made:
        assert len(made) == 1


def test_fault_82_a_port_that_is_taken_says_how_to_find_out_by_whom():
    with listening(settings(interfaces=["127.0.0.1"])) as (listener,):
        port = port_of(listener)
        failure = refused(settings(interfaces=["127.0.0.1"], ports=[port]))
    assert failure.message == f"cannot listen on 127.0.0.1, port {port}: Address already in use"
    assert f"ss -ltnp 'sport = :{port}'" in failure.hint
    assert failure.exit_code == 69


def test_of_several_none_stays_open_when_one_cannot_be_had():
    with listening(settings(interfaces=["127.0.0.1"])) as (listener,):
        before = os.listdir("/proc/self/fd")
        refused(settings(interfaces=["::1", "127.0.0.1"], ports=[port_of(listener)]))
        assert os.listdir("/proc/self/fd") == before


def test_an_address_of_another_machine_is_refused_with_words():
    failure = refused(settings(interfaces=["192.0.2.1"]))
    assert "Cannot assign requested address" in failure.message
    assert "192.0.2.1 is no address of this machine" in failure.hint


@pytest.mark.parametrize("interface", ["localhost", "", "1.2.3", "::g", "ü", "127.0.0.1\n", "::1%none", "::1\0"])
def test_a_name_is_no_address(interface):
    failure = refused(settings(interfaces=[interface]), ConfigFailure)
    assert failure.message.endswith("not an IPv4 or IPv6 address")
    assert failure.exit_code == 78


def test_port_25_of_a_plain_user_says_what_to_do():
    code = """
        from msmtp.daemon.listeners import at_internet_address
        from msmtp.failures import ListenerFailure
        try:
            at_internet_address('127.0.0.1', 25)
        except ListenerFailure as failure:
            print(failure.message, failure.hint, sep='\\n')
    """
    done = run(code, uid=None if os.getuid() else USERS[-1], before=("unshare", "-Un" if os.getuid() else "-n"))
    message, hint = done.stdout.splitlines()
    assert message == "cannot listen on 127.0.0.1, port 25: Permission denied"
    for way in ("msmtpd.socket", "CAP_NET_BIND_SERVICE", "--user", "--port=2500"):
        assert way in hint


def test_a_reload_keeps_what_is_still_wanted():
    with listening(settings(interfaces=["127.0.0.1", "::1"])) as before, contextlib.ExitStack() as stack:
        wanted = settings(interfaces=["::1"], ports=[0, 0])
        after = stack.enter_context(listening(wanted, before))
        assert after == [before[1]]
        assert before[0].fd >= 0


# -- unix sockets


def unix(path, mode=None, user="", group=""):
    return settings(sockets=[UnixSocket(str(path), mode, user, group)])


def connects(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_unix_socket_has_owner_group_and_permissions_as_asked(tmp_path):
    path = tmp_path / "smtp"
    group = "nogroup" if os.getuid() == 0 else str(os.getgid())
    with listening(unix(path, 0o620, str(os.getuid()), group)) as (listener,):
        about = path.lstat()
        assert stat.S_IMODE(about.st_mode) == 0o620
        assert about.st_uid == os.getuid()
        assert os.getuid() or about.st_gid == 65534
        assert (listener.name, listener.kind) == (str(path), "unix")
        connects(path)
    assert not path.exists()


def test_a_reload_that_asks_for_other_permissions_has_them_once_it_is_in_force(tmp_path):
    path = tmp_path / "smtp"
    with listening(unix(path, 0o666)) as before:
        assert own(unix(path, 0o666), before) == before
        (refused,) = own(unix(path, 0o600), before)
        first = path.lstat()
        assert stat.S_IMODE(first.st_mode) == 0o666
        refused.close()
        assert (list(tmp_path.iterdir()), path.lstat().st_ino) == ([path], first.st_ino)
        (listener,) = own(unix(path, 0o600), before)
        listener.take_name()
        assert list(tmp_path.iterdir()) == [path]
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        before[0].close()
        connects(path)
        with socket.socket(fileno=os.dup(listener.fd)) as ours:
            ours.accept()[0].close()
        assert own(unix(path, 0o600), [listener]) == [listener]
        listener.close()
        assert not path.exists()


def test_a_reload_has_a_socket_again_whose_name_was_removed(tmp_path):
    path = tmp_path / "smtp"
    with listening(unix(path)) as before:
        path.unlink()
        with listening(unix(path), before) as after:
            assert after != before
            connects(path)


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o700), (0o022, 0o755)])
def test_without_a_mode_the_umask_decides(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        with listening(unix(tmp_path / "smtp")):
            assert stat.S_IMODE((tmp_path / "smtp").lstat().st_mode) == mode
            assert os.umask(mask) == mask
    finally:
        os.umask(before)


def test_nobody_connects_before_it_is_as_asked(tmp_path, monkeypatch):
    path = tmp_path / "smtp"
    seen = []

    def chmod(*arguments, **options):
        seen.append(stat.S_IMODE(path.lstat().st_mode))
        with pytest.raises((ConnectionRefusedError, PermissionError)):  # the first for root
            connects(path)
        original(*arguments, **options)

    original = module.os.chmod
    monkeypatch.setattr(module.os, "chmod", chmod)
    with listening(unix(path, 0o666)):
        assert seen == [0]


def test_a_socket_that_nobody_listens_at_is_replaced(tmp_path):
    path = tmp_path / "smtp"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
        stale.listen()
    with listening(unix(path)):
        connects(path)


def test_a_socket_that_answers_is_left_to_whom_it_belongs(tmp_path):
    path = tmp_path / "smtp"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen(0)
        connects(path)
        failure = refused(unix(path))  # with a full backlog too
        assert failure.message == f"cannot listen on {path}: somebody does already"
        live.accept()[0].close()
        connects(path)
        refused(unix(path))
    assert path.exists()


def test_of_two_daemons_that_start_at_once_one_gets_it(tmp_path):
    for folder in (tmp_path, *(above for above in tmp_path.parents if "pytest-of-" in str(above))):
        folder.chmod(0o755)
    path = tmp_path / "smtp"
    code = f"""
        from msmtp.config.daemon_settings import UnixSocket
        from msmtp.daemon.listeners import at_path
        from msmtp.failures import ListenerFailure
        results = []
        for _ in range(8):
            reads, writes = os.pipe()
            if not os.fork():
                try:
                    at_path(UnixSocket({str(path)!r}), (0, os.getuid()))
                    os.write(writes, b'got')
                    time.sleep(1.5)
                except ListenerFailure as failure:
                    os.write(writes, failure.message[-7:].encode())
                os._exit(0)
            os.close(writes)
            results.append(reads)
        print(sorted(os.read(each, 20).decode() for each in results))
    """
    assert run(code).stdout == str(sorted(["got", *["already"] * 7])) + "\n"


def test_a_lock_that_a_stranger_holds_is_not_waited_for_without_end(tmp_path, monkeypatch):
    import fcntl

    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.1)
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with listening(unix(tmp_path / "smtp")):
        connects(tmp_path / "smtp")
    os.close(held)


@pytest.mark.parametrize("what", ["file", "folder", "fifo", "link", "dangling", "datagram"])
def test_fault_74_what_is_not_a_left_socket_is_not_removed(tmp_path, what):
    path, target = tmp_path / "smtp", tmp_path / "target"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram, socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(target))
        {
            "file": path.touch,
            "folder": path.mkdir,
            "fifo": lambda: os.mkfifo(path),
            "link": lambda: path.symlink_to(target),
            "dangling": lambda: path.symlink_to("nowhere"),
            "datagram": lambda: datagram.bind(str(path)),
        }[what]()
        before = path.lstat()
        failure = refused(unix(path))
        assert failure.message.startswith(f"cannot listen on {path}: ")
        assert path.lstat().st_ino == before.st_ino
        assert target.exists()


def test_fault_74_a_folder_in_which_others_rename_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    assert "can be written to by others" in refused(unix(tmp_path / "smtp"), ConfigFailure).message
    tmp_path.chmod(0o1777)
    with listening(unix(tmp_path / "smtp")):
        pass


@pytest.mark.root
def test_fault_74_a_strangers_folder_is_refused_one_of_the_daemons_users_taken(tmp_path):
    os.chown(tmp_path, 65534, 65534)
    assert "belongs to user 65534" in refused(unix(tmp_path / "smtp"), ConfigFailure).message
    for made in own(unix(tmp_path / "smtp"), users=(65534,)):
        made.close()


def test_what_cannot_be_a_unix_socket_is_said(tmp_path):
    assert "107 octets at most" in refused(unix("/" + "x" * 107), ConfigFailure).message
    assert "not an absolute name" in refused(unix("smtp"), ConfigFailure).message
    assert "No such file" in refused(unix(tmp_path / "none" / "smtp"), ConfigFailure).message
    assert "there is no group nobodys" in refused(unix(tmp_path / "smtp", group="nobodys"), ConfigFailure).message
    assert "there is no user nobodys" in refused(unix(tmp_path / "smtp", user="nobodys"), ConfigFailure).message


def test_a_failure_half_way_leaves_no_name(tmp_path, monkeypatch):
    def chmod(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(module.os, "chmod", chmod)
    assert "Read-only file system" in refused(unix(tmp_path / "smtp")).message
    assert not (tmp_path / "smtp").exists()


def test_a_name_that_another_took_meanwhile_is_not_removed(tmp_path):
    path = tmp_path / "smtp"
    (listener,) = own(unix(path))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        listener.close()
        listener.close()
        assert path.exists()


def test_the_folder_is_not_left_open(tmp_path):
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ConfigFailure):
        places.hold_folder(str(tmp_path / "none" / "x"), (0,))
    refused(unix(tmp_path / "smtp", user="nobodys"), ConfigFailure)
    assert os.listdir("/proc/self/fd") == before


# -- systemd's


PASSED = f"""
import json, os, sys
sys.path.insert(0, {str(REPOSITORY / "src")!r})
from msmtp.daemon import listeners
from msmtp.failures import Failure
try:
    made = listeners.{{call}}()
    if isinstance(made, list):
        made = [[each.fd, each.name, each.kind, each.tls_first, os.get_inheritable(each.fd)] for each in made]
    print(json.dumps([made, sorted(name for name in os.environ if name.startswith("LISTEN_"))]))
except Failure as failure:
    print(json.dumps([type(failure).__name__, failure.exit_code, failure.message]))
"""


def start(environment, call="inherited"):
    """Start a process that asks what was handed over.  ``environment``: PID in it stands for its own number."""
    settings = {name: str(value) for name, value in environment.items()}
    code = f"import os; os.environ.update({{n: v.replace('PID', str(os.getpid())) for n, v in {settings}.items()}})"
    program = [sys.executable, "-c", code + PASSED.format(call=call)]
    return json.loads(subprocess.run(program, capture_output=True, check=True, timeout=30, text=True).stdout)


def from_systemd(*options, poke):
    """Start it by systemd's own tool, which waits for a first client."""
    command = ["systemd-socket-activate", *options, "-E", "PATH", sys.executable, "-c", PASSED.format(call=poke.call)]
    awaited = options.count("-l")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tool:
        try:
            for _ in range(awaited):
                assert "Listening on" in tool.stderr.readline()
            with poke:
                out = tool.stdout.readline()
        finally:
            tool.kill()
            tool.communicate()
    return json.loads(out)


class Poke:
    """Be the first client."""

    def __init__(self, path, kind=socket.SOCK_STREAM, call="inherited"):
        self.path, self.kind, self.call = str(path), kind, call

    def __enter__(self):
        self.client = socket.socket(socket.AF_UNIX, self.kind)
        self.client.connect(self.path)
        if self.kind == socket.SOCK_DGRAM:
            self.client.send(b"x")

    def __exit__(self, *_):
        self.client.close()


def test_systemds_own_tool_hands_over_what_is_then_listened_to(tmp_path):
    path = tmp_path / "smtp"
    poke = Poke(path)
    with contextlib.closing(at_internet_address("::1", 0)) as free:
        port = port_of(free)
    made, left = from_systemd("-l", f"[::1]:{port}", "-l", str(path), "--fdname=smtps:local", poke=poke)
    (first, second) = made
    assert first == [3, f"::1, port {port}", "inet6", True, False]
    assert second == [4, str(path), "unix", False, False]
    assert left == []


@pytest.mark.parametrize(("option", "kind"), [("-d", socket.SOCK_DGRAM), ("--seqpacket", socket.SOCK_SEQPACKET)])
def test_fault_81_other_kinds_of_sockets_are_refused(tmp_path, option, kind):
    path = tmp_path / "smtp"
    poke = Poke(path, kind)
    said = from_systemd("-l", str(path), option, poke=poke)
    assert said[:2] == ["ServiceFailure", 78]
    assert said[2].endswith("from systemd is not a stream socket")


def test_a_connection_is_handed_over_by_systemds_own_tool(tmp_path):
    poke = Poke(tmp_path / "smtp", call="connection")
    assert from_systemd("-l", str(tmp_path / "smtp"), "--accept", poke=poke) == [3, []]


def test_fault_81_a_listener_is_no_connection_and_the_reverse(tmp_path):
    poke = Poke(tmp_path / "one", call="connection")
    said = from_systemd("-l", str(tmp_path / "one"), poke=poke)
    assert said == ["ServiceFailure", 78, "systemd did not hand over a connection"]
    poke = Poke(tmp_path / "two")
    said = from_systemd("-l", str(tmp_path / "two"), "--accept", poke=poke)
    assert said == ["ServiceFailure", 78, "descriptor 3 (unknown) from systemd does not listen"]


@pytest.mark.parametrize("environment", [{}, {"LISTEN_FDS": 1}, {"LISTEN_FDS": 1, "LISTEN_PID": 1}])
def test_fault_81_what_was_meant_for_another_process_is_not_taken(environment):
    assert start(environment=environment) == [None, []]
    assert start(environment=environment, call="connection") == [None, []]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        ("0", "LISTEN_FDS=0 cannot be right"),
        ("1", "LISTEN_FDS=1 cannot be right"),  # nothing is open there
        ("1000", "LISTEN_FDS=1000 cannot be right"),
        ("-1", "cannot be right"),
        ("many", "cannot be right"),
        ("99999999999999999999", "cannot be right"),
    ],
)
def test_fault_81_a_count_that_cannot_be_is_refused(count, words):
    said = start(environment={"LISTEN_FDS": count, "LISTEN_PID": "PID"})
    assert said[:2] == ["ServiceFailure", 78]
    assert words in said[2]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: os.open("/dev/null", os.O_RDONLY), "is not a socket"),
        (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach(), "is not a stream socket"),
        (lambda: socket.socket(socket.AF_INET).detach(), "does not listen"),
        (lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).detach(), "is not a stream socket"),
    ],
)
def test_fault_81_what_is_no_listener_is_refused(make, words):
    made = make()
    code = f"""
        os.dup2({made}, 3)
        os.environ['LISTEN_FDS'], os.environ['LISTEN_PID'] = '1', str(os.getpid())
        sys.path[:0] = {sys.path!r}
        from msmtp.daemon import listeners
        from msmtp.failures import ServiceFailure
        try:
            listeners.inherited()
        except ServiceFailure as failure:
            print(failure.message)
    """
    done = run(code, pass_fds=(made,))
    os.close(made)
    assert done.stdout.startswith("descriptor 3 "), done.stderr
    assert words in done.stdout


def test_fault_81_too_many_are_refused():
    code = f"""
        from socket import create_server
        made = create_server(('127.0.0.1', 0))
        for number in range(3, 103):
            os.dup2(made.fileno(), number)
        os.environ['LISTEN_FDS'], os.environ['LISTEN_PID'] = '100', str(os.getpid())
        sys.path[:0] = {sys.path!r}
        from msmtp.daemon import listeners
        from msmtp.failures import ServiceFailure
        try:
            listeners.inherited()
        except ServiceFailure as failure:
            print(failure.message, flush=True)
        os._exit(0)
    """
    assert run(code).stdout == "systemd handed over 100 sockets: more than 64\n"
