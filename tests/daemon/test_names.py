"""Peers' names: a real name server (nsd) and a hostile one, the real resolver, the real sandbox."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import debian
from tests.support.daemon import Msmtpd
from tests.support.inside import run as run_code
from tests.support.private_net import LOOPBACK, run_in_namespace

from msmtp.daemon import channel, names, requests
from msmtp.daemon.channel import Channel, ChannelGone
from msmtp.daemon.journal import Journal
from msmtp.daemon.loop import Loop
from msmtp.daemon.names import NameBroker, is_name


class Counters(dict):
    def add(self, name: str, number: int = 1) -> None:
        self[name] = self.get(name, 0) + number


class Bed:
    """A broker that finds names as it is told, the supervisor's channel and delivery's."""

    def __init__(self, find) -> None:
        self.loop = Loop()
        self.page = Counters()
        self.broker = NameBroker(self.loop, Journal(), self.page, find=find, ended=self.loop.stop)
        self.supervisor = self.controlled()
        self.delivery = self.delivered()

    def controlled(self) -> Channel:
        ours, theirs = channel.pair()
        self.broker.control(theirs)
        return Channel(ours)

    def delivered(self) -> Channel:
        ours, theirs = channel.pair()
        self.supervisor.send(requests.TO_DELIVERY, descriptors=(theirs,))
        os.close(theirs)
        self.loop.turn(1)
        made = Channel(ours)
        made.set_blocking(False)
        return made

    def ask(self, *questions: tuple[int, str]) -> None:
        for session, address in questions:
            self.supervisor.send(requests.LOOKUP, session, address.encode())

    def turn(self, seconds: float = 0.3) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.loop.turn(0.02)

    def told(self) -> list[tuple[int, bytes]]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                message = self.delivery.receive((requests.PEER_NAME,))
                found.append((message.number("session"), message.octets("name")))
        return found

    def close(self) -> None:
        patience = time.monotonic() + 5
        while self.broker._running and time.monotonic() < patience:
            self.loop.turn(0.05)
        self.supervisor.close()
        self.delivery.close()
        self.turn(0.02)
        if self.broker._delivery:
            self.broker._delivery.close()
        assert self.loop._stopped


@contextlib.contextmanager
def broker(find):
    with contextlib.closing(Bed(find)) as made:
        yield made


def test_a_name_reaches_delivery_with_the_sessions_number():
    with broker(lambda address: b"host." + address.encode() + b".test") as bed:
        bed.ask((7, "2001:db8::1"), (8, "192.0.2.1"))
        bed.turn()
        assert bed.told() == [(8, b"host.192.0.2.1.test")]  # a colon is in the other
        assert bed.page == {"lookups": 2}


def test_names_are_told_as_they_are_found():
    with broker(lambda address: b"mail.example.org") as bed:
        bed.ask((7, "192.0.2.1"))
        bed.turn()
        bed.ask((8, "192.0.2.1"), (9, "192.0.2.2"))
        bed.turn()
        assert sorted(bed.told()) == [(7, b"mail.example.org"), (8, b"mail.example.org"), (9, b"mail.example.org")]
        assert bed.page == {"lookups": 2}  # what was found is remembered for a while


def test_sessions_of_one_peer_share_a_question(monkeypatch):
    with broker(lambda _: time.sleep(0.1) or b"a.test") as bed:
        bed.ask(*[(number, "192.0.2.1") for number in range(40)])
        bed.turn()
        assert bed.told() == [(number, b"a.test") for number in range(40)]
        assert bed.page == {"lookups": 1}


def test_fault_25_a_look_up_that_takes_long_is_ended(monkeypatch):
    monkeypatch.setattr(names, "LIMIT", 0.2)
    with broker(lambda _: time.sleep(60) or b"a.test") as bed:
        began = time.monotonic()
        bed.ask((1, "192.0.2.1"))
        while not bed.broker._known:
            bed.loop.turn(1)
        assert 0.15 < time.monotonic() - began < 2
        assert bed.told() == []
        bed.supervisor.send(requests.PING, 4)
        bed.turn(0.05)
        assert bed.supervisor.receive((requests.PONG,)).number("count") == 4


def test_no_more_than_sixteen_at_a_time(monkeypatch):
    monkeypatch.setattr(names, "LIMIT", 0.3)
    with broker(lambda _: time.sleep(60) or b"a.test") as bed:
        bed.ask(*[(number, f"192.0.2.{number}") for number in range(40)])
        bed.turn(0.1)
        assert len(bed.broker._running) == 16
        bed.turn(0.6)
        assert bed.page == {"lookups": 16}
        bed.ask((50, "192.0.2.50"))
        bed.turn(0.1)
        assert bed.page == {"lookups": 17}


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"a b",
        b"a\nb.test",
        b"\x1b[31m.test",
        b"-a.test",
        b"a..test",
        b"x" * 64 + b".test",
        b"192.0.2.1",
        b"a_b.test",
    ],
)
def test_fault_25_what_is_no_name_is_left_out(said):
    with broker(lambda _: said) as bed:
        bed.ask((1, "192.0.2.1"))
        bed.turn(0.1)
        assert bed.told() == []


def test_a_child_that_dies_is_no_name():
    with broker(lambda _: os.kill(os.getpid(), 9) or b"") as bed:
        bed.ask((1, "192.0.2.1"))
        bed.turn(0.1)
        assert bed.told() == []
        assert not bed.broker._running


def test_what_is_no_address_is_not_looked_up():
    with broker(lambda _: b"a.test") as bed:
        bed.ask((1, ""), (2, "x y"), (3, "300.1.1.1"))
        bed.turn(0.1)
        assert bed.page == {}


def test_delivery_may_go_and_come_again():
    with broker(lambda address: b"a.test") as bed:
        bed.delivery.close()
        bed.ask((1, "192.0.2.1"))
        bed.turn(0.1)
        bed.delivery = bed.delivered()
        bed.ask((2, "192.0.2.2"))
        bed.turn(0.1)
        assert bed.told() == [(2, b"a.test")]


def test_delivery_that_does_not_read_is_not_waited_for():
    with broker(lambda address: b"a.test") as bed:
        bed.ask((1, "192.0.2.1"))
        bed.turn(0.1)
        for number in range(3000):
            bed.ask((number, "192.0.2.1"))
            bed.loop.turn(0)
        assert len(bed.told()) < 3000


def test_fault_39_junk_closes_the_channel_it_came_by():
    with broker(lambda address: b"a.test") as bed, contextlib.closing(bed.controlled()) as other:
        other._socket.send(b"junk")
        bed.turn(0.05)
        with pytest.raises(ChannelGone):
            other.receive((requests.PONG,))
        bed.ask((1, "192.0.2.1"))
        bed.turn(0.1)
        assert bed.told() == [(1, b"a.test")]


def test_a_further_supervisor_comes_by_the_keeper():
    with broker(lambda address: b"a.test") as bed:
        ours, theirs = channel.pair()
        bed.supervisor.send(requests.CONTROL, descriptors=(theirs,))
        os.close(theirs)
        with contextlib.closing(Channel(ours)) as further:
            further.send(requests.PING, 6)
            bed.turn(0.05)
            assert further.receive((requests.PONG,)).number("count") == 6


def test_it_ends_with_sigterm_too():
    with broker(lambda address: b"a.test") as bed:
        bed.broker.drain()
        assert bed.loop._stopped


# -- what is a name


@pytest.mark.parametrize(
    "name",
    [b"a", b"a.b", b"A-1.example", b"1.2.example", b"xn--bcher-kva.test", b".".join([b"x" * 63] * 3 + [b"y" * 61])],
)
def test_names(name):
    assert is_name(name)


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b".",
        b"a.",
        b".a",
        b"a-",
        b"1",
        b"127.1",
        b"0x7f000001",
        b"a.0x1",
        "ü.test".encode(),
        b"a\0b",
        b"a\n",
        b".".join([b"x" * 63] * 3 + [b"y" * 62]),
    ],
)
def test_no_names(name):
    assert not is_name(name)


@given(st.binary(max_size=300))
def test_a_name_is_of_few_characters(octets):
    if is_name(octets):
        assert len(octets) <= 253
        assert all(0 < len(label) <= 63 for label in octets.split(b"."))
        assert octets.replace(b".", b"").replace(b"-", b"").isalnum()


def test_services_of_nsswitch(tmp_path):
    file = tmp_path / "nsswitch.conf"
    file.write_text(
        "passwd: files\nhosts: files mdns4_minimal [NOTFOUND=return] resolve [!UNAVAIL=return] dns ../x # mymachines\n"
    )
    assert names.services(str(file)) == ["mdns4_minimal", "resolve"]
    file.write_text("hosts:\n")
    assert names.services(str(file)) == []
    assert names.services(str(tmp_path / "none")) == []


# -- a real name server

ZONE = """
$ORIGIN test.
$TTL 60
@ SOA ns.test. admin.test. 1 60 60 60 60
@ NS ns.test.
ns       A 127.0.0.1
good     A 192.0.2.1
good     A 192.0.2.77
six      AAAA 2001:db8::1
other    A 192.0.2.200
alias    CNAME good
local    A 192.0.2.7
searched.domain A 192.0.2.8
odd\\_one A 192.0.2.5
"""
REVERSE = """
$ORIGIN 2.0.192.in-addr.arpa.
$TTL 60
@ SOA ns.test. admin.test. 1 60 60 60 60
@ NS ns.test.
1  PTR good.test.
2  PTR other.test.
3  PTR alias.test.
5  PTR odd\\_one.test.
6  PTR a\\010b.test.
7  PTR local.
8  PTR searched.
9  PTR 192.0.2.9.
10 PTR nowhere.test.
"""
SIX = """
$ORIGIN 8.b.d.0.1.0.0.2.ip6.arpa.
$TTL 60
@ SOA ns.test. admin.test. 1 60 60 60 60
@ NS ns.test.
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 PTR six.test.
"""
NSD = """
server:
  ip-address: 127.0.0.1
  zonesdir: "{folder}"
  database: ""
  username: ""
  pidfile: "{folder}/pid"
  xfrdfile: "{folder}/xfrd"
  zonelistfile: "{folder}/zonelist"
remote-control:
  control-enable: no
zone:
  name: test
  zonefile: zone
zone:
  name: 2.0.192.in-addr.arpa
  zonefile: reverse
zone:
  name: 8.b.d.0.1.0.0.2.ip6.arpa
  zonefile: six
"""

ASK = """
import os, socket, subprocess, time
server = subprocess.Popen({command!r}, env={environment!r}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
for _ in range(100):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("127.0.0.1", 53))
        probe.settimeout(0.1)
        try:
            probe.send(bytes.fromhex("000100000001000000000000047465737400") + b"\\0\\6\\0\\1")
            probe.recv(512)
            break
        except OSError: time.sleep(0.05)
from msmtp.config.daemon_settings import Settings
from msmtp.daemon import channel, names, requests
from msmtp.daemon.channel import Channel
from msmtp.daemon.journal import Journal
from msmtp.daemon.status import Page
settings = Settings()
settings.sandbox = {policy!r}
prepared = names.prepare(settings)
ours, theirs = channel.pair()
page = Page()
child = os.fork()
if not child:
    os.close(ours)
    try:
        names.run([theirs], settings, Journal(), page, prepared=prepared)
    finally:
        os._exit(0)
os.close(theirs)
control = Channel(ours)
delivery, its = channel.pair()
control.send(requests.TO_DELIVERY, descriptors=(its,))
os.close(its)
addresses = {addresses!r}
for number, address in enumerate(addresses):
    control.send(requests.LOOKUP, number, address.encode())
delivery = Channel(delivery)
delivery.set_blocking(False)
found = {{}}
until = time.monotonic() + {patience}
while time.monotonic() < until and len(found) < {most}:
    try: message = delivery.receive((requests.PEER_NAME,))
    except BlockingIOError: time.sleep(0.01); continue
    found[addresses[message.number("session")]] = message.octets("name").decode()
control.send(requests.PING, 3)
assert control.receive((requests.PONG,)).number("count") == 3
control.close()
print(sorted(found.items()), page["lookups"], os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
server.kill()
"""
ADDRESSES = [f"192.0.2.{number}" for number in range(1, 11)] + ["2001:db8::1", "127.0.0.1", "fe80::1%lo"]


@pytest.fixture(scope="module")
def nsd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nsd")
    program, environment = debian.program("nsd", "usr/sbin/nsd")
    for file, text in (("zone", ZONE), ("reverse", REVERSE), ("six", SIX), ("conf", NSD.format(folder=folder))):
        (folder / file).write_text(text)
    return [str(program), "-d", "-c", str(folder / "conf")], environment


@pytest.mark.parametrize("policy", ["require", "off"])
def test_names_that_lead_back_and_those_that_do_not(nsd, policy):
    command, environment = nsd
    code = ASK.format(
        command=command, environment=environment, policy=policy, addresses=ADDRESSES, patience=1.5, most=9
    )
    said = run_in_namespace(code, setup=LOOPBACK, resolv_conf="nameserver 127.0.0.1\nsearch test domain\n")
    expected = [("127.0.0.1", "localhost"), ("192.0.2.1", "good.test"), ("2001:db8::1", "six.test")]
    assert said == f"{expected} 13 0\n"


def test_without_a_name_server_there_is_no_name_and_no_harm(nsd):
    code = ASK.format(
        command=["sleep", "30"], environment=None, policy="require", addresses=["192.0.2.1"], patience=2.5, most=1
    ).replace("range(100)", "range(0)")
    said = run_in_namespace(code, setup=LOOPBACK, resolv_conf="nameserver 192.0.2.66\nnameserver 127.0.0.1\n")
    assert said == "[] 1 0\n"


CONFINED = """
    from msmtp.daemon import names
    names.warm()
    import socket
    sandbox.enter("names", policy="require")
    for what, attempt in {
        "passwd": lambda: open("/etc/passwd"),
        "hosts": lambda: open("/etc/hosts"),
        "write": lambda: open("/etc/hosts", "w"),
        "port 25": lambda: socket.create_connection(("127.0.0.1", 25), 1),
        "listen": lambda: socket.create_server(("127.0.0.1", 0)),
        "raw": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        "kill": lambda: os.kill(os.getppid(), 0),
        "thread": lambda: __import__("_thread").start_new_thread(print, ()),
        "namespace": lambda: Library().call("syscall", 56, 0x10000011, 0, 0, 0, 0),
    }.items():
        try:
            attempt()
            print(what, "went")
        except (OSError, RuntimeError) as error:
            print(what, errno.errorcode.get(getattr(error, "errno", None), type(error).__name__))
    child = os.fork()
    if not child: os.execv("/bin/true", ["true"])
    print("exec", os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_what_it_may_not():
    done = run_code(CONFINED)
    said = dict(
        line.split(" ", 1) if not line.startswith("port") else line.rsplit(" ", 1) for line in done.stdout.splitlines()
    )
    assert said == {
        "passwd": "EACCES", "hosts": "went", "write": "ENOSYS", "port 25": "EACCES", "listen": "EACCES",
        "raw": "ENOSYS", "kill": "EPERM", "thread": "RuntimeError", "namespace": "ENOSYS", "exec": "-31",
    }, done.stderr  # fmt: skip


def test_the_loop_of_a_child_leaves_no_note_in_its_parents():
    """SIGTERM to a look-up ends that; the parent's handler is not the child's."""
    with broker(lambda _: os.kill(os.getpid(), 15) or b"a.test") as bed:
        bed.loop.on_signals({15: bed.broker.drain})
        try:
            bed.ask((1, "192.0.2.1"))
            bed.turn(0.2)
            assert not bed.loop._stopped
            assert bed.told() == []
            assert not select.select([], [], [], 0)[0]
        finally:
            bed.loop.on_signals({})
            bed.loop._release_signals()


class BehindProxy(Msmtpd):
    """Its clients come by a proxy at 127.0.0.1, which speaks for itself at first."""

    header = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"

    def connect(self, seconds: float = 20.0) -> socket.socket:
        made = super().connect(seconds)
        made.sendall(self.header)
        return made


@pytest.mark.root
def test_a_proxys_name_is_not_its_clients():
    with BehindProxy("--peer-names", "--proxy-protocol=127.0.0.1") as daemon:
        daemon.header = (
            daemon.header[:-4] + b"\x21\x11\0\x0c" + bytes([192, 0, 2, 77, 127, 0, 0, 1]) + b"\x04\xd2\0\x19"
        )
        with daemon.talk() as client:
            client.hear(220)
            time.sleep(0.5)  # a name would have been found by now
            client.say("EHLO client.example", 250)
            client.mail()
        (mail,) = daemon.mails(1)
    assert mail.received.startswith("from client.example ([192.0.2.77]) by ")
    assert "MSMTPD_PEER_NAME" not in mail.environment
