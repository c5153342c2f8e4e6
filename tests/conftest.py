"""What holds for every test: a home of its own, no network but this machine, nothing left open, nothing skipped in CI.

Every test gets an empty HOME and XDG folders and an environment without the variables that msmtp reads.  A connection
or a name look-up that would leave the machine fails the test that tries it (in this process; programs that tests start
are given loopback addresses).  File descriptors and child processes that a test leaves behind fail it.  With CI=true a
skip is a failure: what CI does not run, nobody has shown.
"""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import os
import sys
import time
from pathlib import Path

import hypothesis
import pytest

# On a machine that is busy a property does not hold less, only later; pytest-timeout ends what hangs.
hypothesis.settings.register_profile("msmtp", deadline=None)
hypothesis.settings.load_profile("msmtp")

# Read by msmtp, its libraries or the tools it calls; a test that wants one sets it.
FOREIGN_ENVIRONMENT = (
    "EMAIL", "SMTPSERVER", "MSMTP", "MSMTPQ_Q", "MSMTPQ_LOG", "MSMTPQ_RC", "HOSTNAME", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "OPENSSL_CONF", "SSLKEYLOGFILE", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "KRB5CCNAME", "KRB5_CONFIG", "TZ",
)  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder for this test, HOME and the XDG folders pointing into it."""
    folder = tmp_path_factory.mktemp("home", numbered=True)
    for name in FOREIGN_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    for name, below in (
        ("CONFIG", ".config"),
        ("CACHE", ".cache"),
        ("DATA", ".local/share"),
        ("STATE", ".local/state"),
    ):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(folder / below))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    return folder


# -- no network but loopback


class LeavesTheMachine(AssertionError):  # noqa: N818 - it says what happened
    """A test tried to reach another machine."""


def _local(host: object) -> bool:
    text = host.decode("latin-1") if isinstance(host, bytes) else host
    if text in {None, "", "localhost", "ip6-localhost", "<broadcast>"} or text == os.uname().nodename:
        return True
    try:
        address = ipaddress.ip_address(str(text).partition("%")[0])
    except ValueError:
        # RFC 6761: these names never leave the machine as names of hosts; a resolver that asks for them gets no answer
        return str(text).lower().rstrip(".").endswith((".invalid", ".test", ".localhost", ".example", ".onion"))
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or address.is_unspecified or bool(mapped and mapped.is_loopback)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        address = arguments[1]
        if isinstance(address, tuple) and not _local(address[0]):
            raise LeavesTheMachine(f"{event} to {address}")
    elif event == "socket.getaddrinfo" and not _local(arguments[0]):
        raise LeavesTheMachine(f"a look-up of {arguments[0]!r}")


sys.addaudithook(_watch)


# -- nothing left behind


def _open_files() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def _children() -> set[int]:
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):
            found.update(int(pid) for pid in Path(f"/proc/self/task/{task}/children").read_text().split())
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> object:
    """Compare what is open and running after the test with what was before; fixtures stand outside of this."""
    files, children = _open_files(), _children()
    result = yield
    patience = time.monotonic() + 2  # a server that a fixture runs may still be closing its side
    while leaked := _leaks(files, children):
        if time.monotonic() > patience:
            break
        gc.collect()
        time.sleep(0.01)
    assert not leaked, f"left behind: {leaked}"
    return result


def _leaks(files: dict[int, str], children: set[int]) -> list[str]:
    after = _open_files()
    new = [f"fd {fd} {after[fd]}" for fd in sorted(after) if after[fd] != files.get(fd) and "/proc/" not in after[fd]]
    return new + [f"child process {pid}" for pid in sorted(_children() - children)]


# -- nothing skipped in CI


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI takes for a failure: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> object:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> object:
    report = yield
    _refuse_skip(report)
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that are for other releases of Debian: nothing is skipped that could run here."""
    if os.geteuid():
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip("needs root"))
    elsewhere = [item for item in items if _belongs_elsewhere(item)]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]


def _belongs_elsewhere(item: pytest.Item) -> bool:
    """Whether it is for another release, or for each of several things of which this machine has none."""
    releases = item.get_closest_marker("releases")
    nothing = any("got empty parameter set" in str(mark.kwargs.get("reason")) for mark in item.iter_markers("skip"))
    return nothing or bool(releases and _release() not in releases.args)


def _release() -> str:
    for line in Path("/etc/os-release").read_text().split("\n"):
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2]
    return ""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "root: the test needs root, to become somebody else or to look into others")
    config.addinivalue_line("markers", "booted: the test boots a host; scripts/test leaves it out unless CI=true")
    config.addinivalue_line("markers", "releases(*names): the test is for these releases of Debian only")
