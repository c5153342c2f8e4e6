"""Connecting: names, addresses, sockets, proxies, timeouts."""

from __future__ import annotations

from tests.support.differential import Bed, Case, all_of, exits
from tests.support.scripted import HANG, Polite

BASE = "account default\nhost 127.0.0.1\nport {port}\nfrom joe@example.org\nlogfile ~/log\n"
NO_DNS = {"nsswitch.conf": "hosts: files\n"}
DEAD_DNS = {"nsswitch.conf": "hosts: dns\n", "resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"}


def net(name: str, config: str = "", options: str = "ann@example.net", **more: object) -> Case:
    """A mail over this connection."""
    return Case(name, options, config=BASE + config, **more)  # type: ignore[arg-type]


# fmt: off
CASES = [
    net("connection refused", "port 1\n", server=None),
    net("an unknown host", "host nowhere.invalid\n", etc=NO_DNS, server=None),
    net("a resolver that does not answer", "host nowhere.invalid\n", etc=DEAD_DNS, server=None, expect=exits("newer", 68, 75, until=(1, 8, 27))),
    net("an empty label", "host a..b\n", etc=NO_DNS, server=None),
    net("a blank in the host", "host a b\n", etc=NO_DNS, server=None),
    net("a host name with UTF-8", "host bücher.invalid\n", etc=NO_DNS, server=None),
    net("an address in brackets", "host [127.0.0.1]\n", etc=NO_DNS, server=None),
    net("source_ip", "source_ip 127.0.0.2\n"),
    net("--source-ip", "", "--source-ip=127.0.0.3 ann@example.net"),
    net("source_ip is unset again", "source_ip 127.0.0.2\n", "--source-ip= ann@example.net"),
    net("source_ip that is not ours", "source_ip 192.0.2.1\n"),
    net("source_ip that is no address", "source_ip nonsense\n"),
    net("source_ip of the other family", "source_ip ::1\n"),
    net("a proxy that refuses", "proxy_host 127.0.0.1\nproxy_port 1\n", server=None),
    net("a proxy that is unknown", "proxy_host nowhere.invalid\n", etc=NO_DNS, server=None),
    net("a proxy that speaks SMTP", "proxy_host 127.0.0.1\nproxy_port {port}\n"),
    net("a unix socket", "socket {socket}\n", unix=True),
    net("--socket", "", "--socket={socket} ann@example.net", unix=True),
    net("a unix socket that is not there", "socket {home}/nowhere\n", server=None),
    net("a unix socket that is a file", "socket {home}/file\n", files={"file": "x"}, server=None),
    net("LMTP over a unix socket", "socket {socket}\nprotocol lmtp\n", "ann@example.net bob@example.com", unix=True, server=Polite(extensions=("PIPELINING",), lmtp=True)),
    net("socket comes before host", "host nowhere.invalid\nsocket {socket}\n", unix=True),
    net("a timeout at the greeting", "timeout 1\n", server=Polite(extensions=("PIPELINING",), replies={"greeting": HANG}), expect=exits("exit-lost", 74, 75)),
    net("a timeout at the end of the mail", "", "--timeout=1 ann@example.net", server=Polite(extensions=("PIPELINING",), replies={"message": HANG}), expect=exits("exit-lost uncertain hints", 74, 75, stderr=("msmtp: could not send", "msmtp: see the timeout command\nmsmtp: the server may have taken the mail all the same: it was sent to its end\nmsmtp: could not send"))),
    net("a timeout that is not reached", "timeout 5\n"),
    net("connect_timeout", "connect_timeout 5\n"),
]
# fmt: on


@all_of(CASES)
def test_both(case: Case, bed: Bed) -> None:
    bed.check(case)
