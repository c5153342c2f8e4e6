"""Key rings: a real GNOME key ring on a bus of its own, with items made by the real secret-tool."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import secretstorage
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import Proxy, open_dbus_connection
from tests.support.account import Account
from tests.support.key_ring import KeyRing, key_ring, session_bus
from tests.support.scripted import Polite, ScriptedServer
from tests.support.upstream import run_upstream

from msmtp.credentials import keyrings
from msmtp.credentials.keyrings import find_password
from msmtp.credentials.request import Request
from msmtp.failures import InterruptFailure

HOST = "mail.example.org"
NETWORK = ("xdg:schema", "org.gnome.keyring.NetworkPassword")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyRing]:
    with key_ring(tmp_path_factory.mktemp("ring")) as ring:
        yield ring


@pytest.fixture
def ring(daemon: KeyRing, monkeypatch: pytest.MonkeyPatch) -> KeyRing:
    """The key ring as the session of this test; nobody sits before a screen."""
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", daemon.address)
    for name in keyrings.DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    return daemon


def look(user: str, host: str = HOST, **settings: str) -> tuple[bytes | None, list[str]]:
    request = Request(Account(host=host, user=user, **settings))
    secret = find_password(request)
    return secret.reveal() if secret is not None else None, request.notes


def test_the_item_that_the_manual_tells_to_make(ring: KeyRing) -> None:
    ring.store("s3cret ä", "host", HOST, "service", "smtp", "user", "manual")
    assert look("manual") == ("s3cret ä".encode(), [])
    assert look("manual", host="other.example.org") == (None, [])
    assert look("someone") == (None, [])


def test_a_line_end_behind_the_secret_is_no_part_of_it(ring: KeyRing) -> None:
    ring.store("piped\n", "host", HOST, "service", "smtp", "user", "echo")
    assert look("echo") == (b"piped", [])


def test_an_item_of_the_network_schema(ring: KeyRing) -> None:
    ring.store("legacy", *NETWORK, "user", "old", "protocol", "smtp", "server", HOST)
    assert look("old") == (b"legacy", [])


def test_an_item_for_another_protocol_is_not_taken(ring: KeyRing) -> None:
    ring.store("imap", "host", HOST, "service", "imap", "user", "reader")
    ring.store("imap", "user", "reader", "protocol", "imap", "server", HOST)
    assert look("reader") == (None, [])


def test_an_account_with_a_socket_is_stored_under_its_path(ring: KeyRing) -> None:
    ring.store("local", "host", "/run/smtp", "service", "smtp", "user", "joe")
    assert look("joe", socket="/run/smtp") == (b"local", [])


def test_an_item_that_the_library_keyring_made(ring: KeyRing) -> None:
    """It is found without that library, in a collection of whatever name."""
    made = subprocess.run(
        [sys.executable, "-c", f"import keyring; keyring.set_password({HOST!r}, 'python', 'lib')"],
        env={**os.environ, **ring.environment},
        check=False,
    )
    assert made.returncode == 0
    assert look("python") == (b"lib", [])


def test_the_c_program_finds_the_same_items(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    ring.store("one", "host", "127.0.0.1", "service", "smtp", "user", "first")
    ring.store("two", *NETWORK, "user", "second", "protocol", "smtp", "server", "127.0.0.1")
    for user, password in (("first", b"one"), ("second", b"two")):
        users = {user.encode(): password}
        with ScriptedServer(Polite(mechanisms=("PLAIN",), users=users)) as server:
            arguments = [
                "--host=127.0.0.1",
                f"--port={server.port}",
                "-f",
                "s@x",
                "--auth=plain",
                f"--user={user}",
                "r@x",
            ]
            assert run_upstream(arguments, b"\n", environment=ring.environment).returncode == 0
        assert look(user, host="127.0.0.1") == (password, [])


def test_the_bus_is_found_where_systemd_puts_it(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    ring.store("s3cret", "host", HOST, "service", "smtp", "user", "cron")
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(ring.folder))
    assert look("cron") == (b"s3cret", [])


LOCKED = "the key ring has the password but is locked"


@pytest.fixture
def locked(ring: KeyRing) -> Iterator[KeyRing]:
    ring.store("behind bars", "host", HOST, "service", "smtp", "user", "locked")
    ring.lock()
    yield ring
    ring.unlock()


def test_a_locked_key_ring_is_said(locked: KeyRing) -> None:
    assert look("locked") == (None, [LOCKED])
    assert look("nobody") == (None, [])


def test_a_locked_key_ring_is_opened_by_the_person(locked: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The window is left out: it is the key ring's, and this machine has no screen."""
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(secretstorage.Item, "unlock", lambda _: locked.unlock())
    assert look("locked") == (b"behind bars", [])


def test_a_person_may_refuse(locked: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a screen that is not there the daemon gives up by itself."""
    monkeypatch.setenv("DISPLAY", ":99")
    assert look("locked") == (None, [LOCKED])


# -- without a Secret Service


def test_without_a_bus_and_a_choice_nothing_is_imported() -> None:
    script = """
        import sys
        from msmtp.credentials.keyrings import find_password
        from msmtp.credentials.request import Request
        from tests.support.account import Account
        before = set(sys.modules)
        assert find_password(Request(Account())) is None
        print(sorted(set(sys.modules) - before))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_a_bus_without_a_secret_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with session_bus(tmp_path, bare=True) as address:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        assert look("joe") == (None, [])


def test_a_service_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyrings, "ANSWER_SECONDS", 0.3)
    with session_bus(tmp_path, bare=True) as address, contextlib.closing(open_dbus_connection(address)) as silent:
        Proxy(message_bus, silent).RequestName("org.freedesktop.secrets")
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        assert look("joe") == (None, ["the key ring could not be asked: TimeoutError"])


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("unix:path=/nonexistent/bus", "No such file or directory"),
        ("tcp:host=localhost,port=1", "not supported"),
        ("nonsense", "ValueError"),
    ],
)
def test_a_bus_that_is_not_there(address: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    secret, notes = look("joe")
    assert secret is None
    assert len(notes) == 1
    assert notes[0].startswith("the key ring could not be asked: ")
    assert words in notes[0]


# -- a key ring that somebody has chosen for the library keyring

BACKEND = """
    import os
    from keyring.backend import KeyringBackend

    class Keyring(KeyringBackend):
        priority = 9

        def get_password(self, service, username):
            if username == "reads":
                return repr(os.read(0, 10))
            if username == "broken":
                raise RuntimeError("it is\\nbroken")
            if username == "interrupted":
                from msmtp.failures import InterruptFailure
                raise InterruptFailure("interrupted")
            return {("mail.example.org", "joe"): "chösen"}.get((service, username))

        def set_password(self, service, username, password):
            pass
"""


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend of ours is the one to use."""
    import keyring.core

    (tmp_path / "chosen_backend.py").write_text(textwrap.dedent(BACKEND))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "chosen_backend.Keyring")
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)


@pytest.mark.usefixtures("chosen")
def test_a_chosen_key_ring_is_asked_for_the_host_and_the_user() -> None:
    assert look("joe") == ("chösen".encode(), [])
    assert look("ann") == (None, [])


@pytest.mark.usefixtures("chosen")
def test_a_chosen_key_ring_comes_after_the_session(ring: KeyRing) -> None:
    assert look("joe") == ("chösen".encode(), [])
    ring.store("session", "host", HOST, "service", "smtp", "user", "joe")
    assert look("joe") == (b"session", [])
    ring.clear("host", HOST, "service", "smtp", "user", "joe")


@pytest.mark.usefixtures("chosen")
def test_a_key_ring_that_fails_ends_nothing() -> None:
    assert look("broken") == (None, ["the key ring could not be asked: RuntimeError: it is broken"])


@pytest.mark.usefixtures("chosen")
def test_an_interrupt_is_not_mistaken_for_a_failing_key_ring() -> None:
    with pytest.raises(InterruptFailure):
        look("interrupted")


def test_an_interrupt_while_the_bus_is_asked(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise InterruptFailure("interrupted")

    monkeypatch.setattr(keyrings, "_search", interrupted)
    with pytest.raises(InterruptFailure):
        look("joe")


@pytest.mark.usefixtures("chosen")
def test_a_chosen_key_ring_does_not_read_the_mail() -> None:
    reading, writing = os.pipe()
    kept = os.dup(0)
    os.dup2(reading, 0)
    os.write(writing, b"mail")
    os.close(writing)
    try:
        assert look("reads") == (b"b''", [])
        assert os.read(0, 10) == b"mail"
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(reading)


def test_a_choice_may_stand_in_a_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not keyrings.keyring_is_configured()
    folder = home / ".config" / "python_keyring"
    folder.mkdir(parents=True)
    (folder / "keyringrc.cfg").touch()
    assert keyrings.keyring_is_configured()
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert keyrings.keyring_is_configured()


# -- without the libraries


def test_a_missing_library_is_said_where_it_was_needed(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("secretstorage", "keyring"):
        monkeypatch.setitem(sys.modules, name, None)
    secretstorage_is_missing = (
        "the key ring was not asked, for want of the library SecretStorage (python3-secretstorage)"
    )
    assert look("joe") == (None, [secretstorage_is_missing])
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "some.Keyring")
    assert look("joe") == (
        None,
        [secretstorage_is_missing, "the key ring was not asked, for want of the library keyring (python3-keyring)"],
    )
