"""SRV records, asked of a real name server (nsd) in a network of the test's own."""

from __future__ import annotations

import sys

import dns.rdata
import pytest
from tests.support import debian
from tests.support.private_net import LOOPBACK, run_in_namespace

from msmtp.failures import ConfigFailure, HostNotFoundFailure
from msmtp.net.srv import best, submission_service

ZONE = """
$ORIGIN test.
$TTL 60
@ SOA ns.test. admin.test. 1 60 60 60 60
@ NS ns.test.
ns A 127.0.0.1

_submissions._tcp.both      SRV 0 1 465 tls.mail.test.
_submission._tcp.both       SRV 0 1 587 mail.test.
_submission._tcp.starttls   SRV 0 1 587 mail.test.
_submissions._tcp.tlsonly   SRV 0 1 4650 mail.test.
_submissions._tcp.ranked    SRV 20 90 465 worse.test.
_submissions._tcp.ranked    SRV 10 10 465 lighter.test.
_submissions._tcp.ranked    SRV 10 60 465 best.test.
_submissions._tcp.ranked    SRV 10 30 465 middle.test.
_submissions._tcp.halfno    SRV 0 0 0 .
_submission._tcp.halfno     SRV 0 0 587 mail.test.
_submissions._tcp.no        SRV 0 0 0 .
_submission._tcp.no         SRV 0 0 0 .
_submissions._tcp.xn--bcher-kva SRV 0 1 465 idn.test.
_submissions._tcp.alias     CNAME _submissions._tcp.both
other                       A 127.0.0.1
_submission._tcp.typo       TXT "no SRV here"
"""
NSD = """
server:
  ip-address: 127.0.0.1@53
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/pid"
  xfrdfile: "{folder}/xfrd"
  zonelistfile: "{folder}/zonelist"
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: test.
  zonefile: "{folder}/zone"
"""
ASK = """
import os, subprocess, time
import dns.message, dns.query
from msmtp.failures import Failure
from msmtp.net.srv import submission_service

def ask(domain, seconds=5):
    start = time.monotonic()
    try:
        service = submission_service(domain, seconds)
        print(service.host, service.port, "starttls" if service.starttls else "tls")
    except Failure as failure:
        print(type(failure).__name__, failure.message)
    return time.monotonic() - start
"""
START = """
server = subprocess.Popen({command!r}, env=os.environ | {environment!r}, stdout=subprocess.DEVNULL)
for _ in range(100):
    try:
        dns.query.udp(dns.message.make_query("test.", "SOA"), "127.0.0.1", timeout=0.2)
        break
    except Exception:
        time.sleep(0.05)
try:
{script}
finally:
    server.terminate()
    server.wait()
"""
FAILED = "automatic configuration based on SRV records failed"


def none_for(domain: str) -> str:
    names = f"_submissions._tcp.{domain} or _submission._tcp.{domain}"
    return f"HostNotFoundFailure {FAILED}: no SRV records for {names}"


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each domain of the zone, and some outside of it, lead to; one name server for all."""
    folder = tmp_path_factory.mktemp("nsd")
    program, environment = debian.program("nsd", "usr/sbin/nsd")
    (folder / "zone").write_text(ZONE)
    (folder / "conf").write_text(NSD.format(folder=folder))
    domains = [
        "both.test", "starttls.test", "tlsonly.test", "ranked.test", "halfno.test", "no.test", "bücher.test",
        "alias.test", "other.test", "typo.test", "nosuch.test", "both.test.", "elsewhere.org", "x" * 64 + ".test", "a..test",
    ]  # fmt: skip
    command = [str(program), "-d", "-c", str(folder / "conf")]
    script = START.format(
        command=command, environment=environment, script=f"    for domain in {domains!r}: ask(domain)"
    )
    said = run_in_namespace(ASK + script, setup=LOOPBACK, resolv_conf="nameserver 127.0.0.1\nsearch both.test\n")
    return dict(zip(domains, said.splitlines(), strict=True))


@pytest.mark.parametrize(
    ("domain", "answer"),
    [
        ("both.test", "tls.mail.test 465 tls"),
        ("both.test.", "tls.mail.test 465 tls"),
        ("starttls.test", "mail.test 587 starttls"),
        ("tlsonly.test", "mail.test 4650 tls"),
        ("ranked.test", "best.test 465 tls"),
        ("halfno.test", "mail.test 587 starttls"),
        ("bücher.test", "idn.test 465 tls"),
        ("alias.test", "tls.mail.test 465 tls"),
        ("other.test", none_for("other.test")),
        ("typo.test", none_for("typo.test")),
        ("nosuch.test", none_for("nosuch.test")),
        ("no.test", f"HostNotFoundFailure {FAILED}: no.test says that it has no mail submission service"),
        ("x" * 64 + ".test", f"HostNotFoundFailure {FAILED}: _submissions._tcp.{'x' * 64}.test is not a name"),
        ("a..test", f"HostNotFoundFailure {FAILED}: _submissions._tcp.a..test is not a name"),
    ],
)
def test_the_domain_names_its_server(domain: str, answer: str, answers: dict[str, str]) -> None:
    assert answers[domain] == answer


def test_a_name_server_that_refuses_is_no_proof_that_there_is_none(answers: dict[str, str]) -> None:
    assert answers["elsewhere.org"].startswith(f"ResolverFailure {FAILED}: ")
    assert "REFUSED" in answers["elsewhere.org"]


def test_a_silent_name_server_ends_with_the_deadline() -> None:
    said = run_in_namespace(
        ASK
        + """
from tests.support.name_server import NameServer
with NameServer({"_submissions._tcp.silent.test": None}):
    print(0.3 <= ask("silent.test", 0.3) < 1)
""",
        resolv_conf="nameserver 127.0.0.1\n",
    )
    assert said.splitlines() == [f"ResolverFailure {FAILED}: the name servers do not answer", "True"]


def test_no_name_server_at_all_is_told() -> None:
    said = run_in_namespace(ASK + 'ask("both.test", 0.3)', resolv_conf="nameserver 127.0.0.1\n")
    assert said.startswith(f"ResolverFailure {FAILED}: ")


def test_the_best_record_is_the_lowest_priority_then_the_highest_weight() -> None:
    records = [
        dns.rdata.from_text("IN", "SRV", text)
        for text in ("1 0 25 a.", "0 5 25 b.", "0 9 25 c.", "0 9 25 d.", "2 99 25 e.")
    ]
    assert best(records).target.to_text() == "c."


def test_a_missing_dnspython_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dns.resolver", None)
    monkeypatch.delitem(sys.modules, "dns.exception", raising=False)
    with pytest.raises(ConfigFailure, match="dnspython") as caught:
        submission_service("example.org")
    assert "python3-dnspython" in caught.value.hint


def test_a_domain_that_cannot_be_one_is_not_found() -> None:
    with pytest.raises(HostNotFoundFailure):
        submission_service("☃.example")
