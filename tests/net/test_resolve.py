"""From the host's name to addresses to try, in order."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import hypothesis.strategies as st
import pytest
from hypothesis import given
from tests.support.private_net import LOOPBACK, run_in_namespace

from msmtp.failures import ConfigFailure, HostNotFoundFailure, ResolverFailure
from msmtp.net import resolve
from msmtp.net.deadline import Deadline
from msmtp.net.resolve import addresses, ascii_name, canonical_name, interleave

V4, V6 = socket.AF_INET, socket.AF_INET6


# -- names outside ASCII


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("mail.example.org", "mail.example.org"),
        ("MAIL.Example.org.", "MAIL.Example.org."),
        ("_odd_.example.org", "_odd_.example.org"),
        ("192.0.2.1", "192.0.2.1"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.Example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),  # IDNA 2003 would lead to another host: fass.example
        ("mail。例え。example", "mail.xn--r8jz45g.example"),
        ("мойдомен.рф", "xn--d1acklchcc.xn--p1ai"),
    ],
)
def test_a_name_is_mapped_as_a_browser_does(host: str, name: str) -> None:
    assert ascii_name(host) == name


@pytest.mark.parametrize("host", ["☃.example", "a\u202eb.example", "ä" * 80 + ".example", "\udcfc.example", "ü..de"])
def test_what_cannot_be_a_name_is_not_found(host: str) -> None:
    with pytest.raises(HostNotFoundFailure, match="cannot locate host "):
        ascii_name(host)


def test_a_missing_idna_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "idna", None)
    with pytest.raises(ConfigFailure, match="idna") as caught:
        ascii_name("bücher.example")
    assert "python3-idna" in caught.value.hint
    assert ascii_name("books.example") == "books.example"


def test_ascii_names_load_no_codec_and_no_library() -> None:
    code = (
        "import sys; from msmtp.net.deadline import Deadline; from msmtp.net.resolve import addresses;"
        "addresses('localhost', 25, Deadline(5)); addresses('127.0.0.1', 25, Deadline(5));"
        "print([name for name in ('idna', 'encodings.idna', 'socket', 'typing', 're', 'enum') if name in sys.modules])"
    )
    python = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"]
    assert subprocess.run(python, capture_output=True, text=True, check=True).stdout == "[]\n"


# -- addresses


@pytest.mark.parametrize(
    ("host", "family", "address"), [("127.0.0.1", V4, ("127.0.0.1", 25)), ("::1", V6, ("::1", 25, 0, 0))]
)
def test_an_address_is_taken_as_it_is_and_nobody_is_asked(
    host: str, family: int, address: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "_in_thread", lambda *_: pytest.fail("the resolver was asked"))
    assert addresses(host, 25, Deadline(None)) == [(family, address)]


def test_every_way_to_write_an_address_is_known_and_nothing_else() -> None:
    said = run_in_namespace("""
        from msmtp.net.resolve import numeric
        for host in ("127.1", "2001:DB8::5", "fe80::1%lo", "fe80::1%nosuch", "1.2.3.4.5", "[::1]", "localhost", ""):
            print([entry[4] for entry in numeric(host.encode(), 25)])
    """)
    assert (
        said.splitlines()
        == [
            "[('127.0.0.1', 25)]",
            "[('2001:db8::5', 25, 0, 0)]",
            "[('fe80::1', 25, 0, 1)]",  # the interface's number; lo is always the first
        ]
        + ["[]"] * 5
    )


def test_localhost_is_known() -> None:
    assert (V4, ("127.0.0.1", 25)) in addresses("localhost", 25, Deadline(5))


@pytest.mark.parametrize("host", ["nul\0.localhost", "two words.invalid", "", "x" * 300 + ".invalid"])
def test_names_that_cannot_be_are_not_found(host: str) -> None:
    with pytest.raises(HostNotFoundFailure, match="cannot locate host "):
        addresses(host, 25, Deadline(5))


# -- the order of RFC 8305, section 4


def a(family: int, number: int) -> tuple[int, tuple[str, int]]:
    return (family, (str(number), 25))


@pytest.mark.parametrize(
    ("found", "order"),
    [
        ([a(V6, 1), a(V6, 2), a(V4, 1), a(V4, 2)], [a(V6, 1), a(V4, 1), a(V6, 2), a(V4, 2)]),
        ([a(V4, 1), a(V6, 1), a(V6, 2), a(V6, 3)], [a(V4, 1), a(V6, 1), a(V6, 2), a(V6, 3)]),
        ([a(V4, 2), a(V4, 1)], [a(V4, 2), a(V4, 1)]),
        ([a(V6, 1), a(V6, 1), a(V4, 1), a(V6, 1)], [a(V6, 1), a(V4, 1)]),
    ],
)
def test_families_take_turns(found: list[object], order: list[object]) -> None:
    assert interleave(found) == order


@given(st.lists(st.tuples(st.sampled_from([V4, V6]), st.integers(0, 9)), min_size=1))
def test_no_address_is_lost_or_tried_twice_and_the_best_stays_first(found: list[tuple[int, int]]) -> None:
    order = interleave(found)
    assert sorted(order) == sorted(set(found))
    assert order[0] == found[0]
    for family in (V4, V6):
        assert [one for one in order if one[0] == family] == list(dict.fromkeys(o for o in found if o[0] == family))


# -- a resolver that answers, errs, or is silent

NAMES = {
    "two.test": ["192.0.2.1", "192.0.2.2", "2001:db8::1"],
    "empty.test": [],
    "servfail.test": "SERVFAIL",
    "refused.test": "REFUSED",
    "silent.test": None,
}
ASK = f"""
import os, signal, sys, time
from msmtp.failures import *
from msmtp.net.deadline import Deadline
from msmtp.net.resolve import addresses, canonical_name
from tests.support.name_server import NameServer

NAMES = {NAMES!r}

def ask(host, seconds=20):
    try:
        print([address[1][0] for address in addresses(host, 25, Deadline(seconds))])
    except Failure as failure:
        print(type(failure).__name__, failure.message)
"""
RESOLV_CONF = "nameserver 127.0.0.1\noptions attempts:1 timeout:4\n"


def run(script: str, **options: str) -> str:
    return run_in_namespace(ASK + script, setup=LOOPBACK, resolv_conf=RESOLV_CONF, **options)


def test_what_the_resolver_says_becomes_the_failure_it_means() -> None:
    said = run("""
with NameServer(NAMES) as server:
    for host in ("two.test", "nosuch.test", "empty.test", "servfail.test", "refused.test"):
        ask(host)
    assert ("two.test", "AAAA") in server.queries
""")
    # two.test: without an address of our own in 192.0.2.0/24 the system sorts as it likes; families take turns all the same
    first, *rest = said.splitlines()
    assert sorted(eval(first)) == sorted(NAMES["two.test"])
    assert eval(first)[1 if ":" in eval(first)[0] else 0] in {"192.0.2.1", "192.0.2.2"}
    assert rest == [
        "HostNotFoundFailure cannot locate host nosuch.test: Name or service not known",
        "HostNotFoundFailure cannot locate host empty.test: No address associated with hostname",
        "ResolverFailure cannot locate host servfail.test: Temporary failure in name resolution",
        "ResolverFailure cannot locate host refused.test: Temporary failure in name resolution",
    ]


def test_a_silent_resolver_ends_with_the_deadline_and_the_process_does_not_wait_for_it() -> None:
    start = time.monotonic()
    said = run("""
start = time.monotonic()
with NameServer(NAMES):
    ask("silent.test", 0.3)
print(0.3 <= time.monotonic() - start < 1)
""")
    assert time.monotonic() - start < 3, "the system's resolver would have waited for 4 s"
    assert said.splitlines() == ["ResolverFailure cannot locate host silent.test: the operation timed out", "True"]


def test_a_signal_ends_the_waiting_for_a_silent_resolver() -> None:
    said = run("""
def interrupt(*_): raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.2)
start = time.monotonic()
with NameServer(NAMES):
    try:
        ask("silent.test", None)
    except KeyboardInterrupt:
        print("interrupted", time.monotonic() - start < 1)
""")
    assert said == "interrupted True\n"


def test_the_canonical_name_is_the_resolvers_or_what_was_asked() -> None:
    said = run(
        """
with NameServer(NAMES):
    for host in ("short", "nosuch.test", "silent.test", "192.0.2.9"):
        print(canonical_name(host, 0.3))
""",
        hosts="127.0.0.1 localhost\n192.0.2.5 full.name.test short\n",
    )
    assert said.split() == ["full.name.test", "nosuch.test", "silent.test", "192.0.2.9"]


def test_a_signal_ends_the_waiting_for_a_canonical_name() -> None:
    """Who presses Ctrl-C does not get a mail sent under another name."""
    said = run("""
def interrupt(*_): raise InterruptFailure("interrupted")
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.2)
start = time.monotonic()
with NameServer(NAMES):
    try:
        print(canonical_name("silent.test"))
    except InterruptFailure:
        print("interrupted", time.monotonic() - start < 1)
""")
    assert said == "interrupted True\n"


def test_an_address_without_a_name_and_a_silent_resolver_give_none() -> None:
    said = run(
        """
from msmtp.net.resolve import name_of
with NameServer({"9.2.0.192.in-addr.arpa": None}):
    start = time.monotonic()
    print([name_of(address, 0.3) for address in ("192.0.2.5", "192.0.2.8", "192.0.2.9")])
    print(time.monotonic() - start < 1)
""",
        hosts="192.0.2.5 full.name.test short\n",
    )
    assert said.splitlines() == ["['full.name.test', '', '']", "True"]


def test_a_name_without_an_ascii_form_is_its_own_canonical_name() -> None:
    assert canonical_name("☃.example") == "☃.example"


def test_without_a_thread_to_be_had_the_resolver_is_asked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", none)
    assert (V4, ("127.0.0.1", 25)) in addresses("localhost", 25, Deadline(5))


@pytest.mark.parametrize(
    ("number", "failure"),
    [
        (socket.EAI_SYSTEM, ResolverFailure),
        (socket.EAI_MEMORY, ResolverFailure),
        (socket.EAI_AGAIN, ResolverFailure),
        (socket.EAI_FAIL, HostNotFoundFailure),
        (socket.EAI_NONAME, HostNotFoundFailure),
    ],
)
def test_faults_that_pass_are_told_from_those_that_stay(
    number: int, failure: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> list[object]:
        raise socket.gaierror(number, "words")

    monkeypatch.setattr(resolve, "_getaddrinfo", fail)
    with pytest.raises(failure, match=r"cannot locate host mail\.invalid: words"):
        addresses("mail.invalid", 25, Deadline(None))
