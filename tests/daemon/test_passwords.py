"""Where passwords of msmtpd's users come from, and where they are never found afterwards."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.inside import NOBODY
from tests.support.inside import run as run_code
from tests.support.key_ring import KeyRing, key_ring

from msmtp.config.daemon_settings import Settings
from msmtp.credentials import keyrings
from msmtp.daemon import passwords
from msmtp.failures import ConfigFailure
from msmtp.sasl.server import ITERATIONS, Verifier

SALT = b"0123456789abcdef"
GIVEN = Verifier.of(b"given", SALT, 5000).encode().decode()


def told(*auth: tuple[str, str | None]) -> Settings:
    settings = Settings()
    settings.auth = list(auth)
    return settings


def fetched(*auth: tuple[str, str | None], **options: object) -> tuple[dict[bytes, Verifier], bytes]:
    descriptor = passwords.verifiers(told(*auth), **options)
    try:
        return passwords.read(descriptor)
    finally:
        os.close(descriptor)


def refusal(*auth: tuple[str, str | None], **options: object) -> tuple[str, str]:
    with pytest.raises(ConfigFailure) as caught:
        fetched(*auth, **options)
    assert caught.value.exit_code == 78
    return caught.value.message, caught.value.hint


@pytest.fixture
def credentials(tmp_path, monkeypatch):
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def put(file: Path, text: str | bytes, mode: int = 0o600) -> Path:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    file.chmod(mode)
    return file


# -- commands


def test_a_command_prints_it():
    known, secret = fetched(("user", "printf 'pass word\\nmore\\n'"), ("jörg", "echo pässword"))
    assert known[b"user"].matches(b"pass word")
    assert not known[b"user"].matches(b"pass")
    assert known["jörg".encode()].matches("pässword".encode())
    assert {each.iterations for each in known.values()} == {ITERATIONS}
    assert len(secret) == 32


def test_salts_are_different_each_time_and_for_each_user():
    salts = [each.salt for _ in range(2) for each in fetched(("a", "echo p"), ("b", "echo p"))[0].values()]
    assert len(set(salts)) == 4
    assert {len(salt) for salt in salts} == {16}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("exit 3", "cannot read output of 'exit 3': it ended with exit code 3"),
        ("kill -9 $$", "cannot read output of 'kill -9 $$': it was ended by signal 9"),
        ("true", "cannot read output of 'true': it printed nothing"),
        ("echo", "--auth: the password of user u does not have 1 to 1024 octets"),
        ("printf '%1025s' x", "--auth: the password of user u does not have 1 to 1024 octets"),
        ("printf 'a\\0b'", "cannot read output of 'printf 'a\\0b'': there is a NUL in its first line"),
        ("printf '\\377'", "--auth: the password is not UTF-8"),
        ("echo 'SCRAM-SHA-256$nonsense'", "--auth: what is given for user u begins as a verifier and is none"),
    ],
)
def test_a_command_that_fails_is_named(command, message):
    assert refusal(("u", command))[0] == message


def test_a_command_may_be_waited_for_only_so_long():
    began = time.monotonic()
    assert refusal(("u", "sleep 30"), patience=0.3)[0] == "--auth: fetching the passwords took longer than 0.3 s"
    assert time.monotonic() - began < 5


def alive(process: int) -> bool:
    """Whether there is a process that has not ended, waited for or not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    "command",
    [
        "echo $$ > {file}; exec sleep 77",
        "echo $$ > {file}; sleep 77 & echo $! >> {file}; wait",
        "trap '' TERM; echo $$ > {file}; sleep 77 & echo $! >> {file}; while :; do wait; sleep 1; done",
    ],
)
def test_a_command_that_takes_too_long_is_ended(tmp_path, command):
    file = tmp_path / "processes"
    before = time.monotonic()
    assert "took longer" in refusal(("u", command.format(file=file)), may_ask=False, patience=0.5)[0]
    assert time.monotonic() - before < 5
    processes = [int(line) for line in file.read_text().split()]
    assert processes
    until = time.monotonic() + 2  # the kernel's time to end them
    while any(map(alive, processes)) and time.monotonic() < until:
        time.sleep(0.01)
    left = [process for process in processes if alive(process)]
    for process in left:
        os.kill(process, signal.SIGKILL)
    assert not left


def test_what_a_command_leaves_running_in_time_is_its_own_business(tmp_path):
    file = tmp_path / "process"
    known, _ = fetched(("u", f"sleep 77 > /dev/null 2>&1 & echo $! > {file}; echo p"), may_ask=False, patience=20)
    assert known[b"u"].matches(b"p")
    process = int(file.read_text())
    assert alive(process)
    os.kill(process, signal.SIGKILL)


def test_a_child_that_nobody_listens_to_does_not_go_on_as_its_parent():
    """It ends, whatever becomes of what it has to say."""
    reads, writes = os.pipe()
    os.close(reads)  # so that writing fails with BrokenPipeError
    child = os.fork()
    if not child:
        try:
            passwords._be_child([], -1, writes, may_ask=False, apart=True)
        finally:
            os._exit(3)
    os.close(writes)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_command_that_is_given_is_the_only_place(credentials):
    put(credentials / "u", "credential")
    assert "it ended with exit code 1" in refusal(("u", "exit 1"))[0]


@pytest.mark.parametrize(
    ("users", "message"),
    [
        ([""], "--auth: a user name has 1 to 255 octets"),
        (["x" * 256], "--auth: a user name has 1 to 255 octets"),
        (["a", "b", "a"], "--auth: user a is named twice"),
        (["é", "e\u0301"], "--auth: user e\u0301 is named twice"),
        (["a\u0007"], "--auth: the user name holds a character that cannot be used (RFC 4013, 2.3)"),
        (["\udcff"], "--auth: the user name is not UTF-8"),
    ],
)
def test_user_names_that_cannot_be(users, message):
    assert refusal(*[(user, "echo p") for user in users])[0] == message


# -- verifiers instead of passwords


def test_a_verifier_may_be_given_instead(credentials):
    known, secret = fetched(("u", f"echo '{GIVEN}'"))
    assert known[b"u"].encode().decode() == GIVEN
    put(credentials / "u", GIVEN + "\n")
    again, the_same = fetched(("u", None), ("v", "echo p"))
    assert again[b"u"].encode().decode() == GIVEN
    assert again[b"v"].iterations == 5000
    assert again[b"v"].matches(b"p")
    assert the_same == secret  # so that a restart changes no salt


def test_verifiers_that_would_tell_who_exists_or_take_too_long_are_refused():
    other = Verifier.of(b"p", SALT, 6000).encode().decode()
    message, hint = refusal(("u", f"echo '{GIVEN}'"), ("v", f"echo '{other}'"))
    assert message == "--auth: the verifiers that are given differ in their iterations: 5000, 6000"
    assert "which users there are" in hint
    longer = Verifier.of(b"p", SALT + b"g", 5000).encode().decode()
    message, hint = refusal(("u", f"echo '{GIVEN}'"), ("v", f"echo '{longer}'"))
    assert message == "--auth: the verifiers that are given differ in their octets of salt: 16, 17"
    assert "which users there are" in hint
    slow = GIVEN.replace("5000", "50001")
    assert refusal(("u", f"echo '{slow}'"))[0] == "--auth: the verifier of user u has more than 50000 iterations"


# -- credentials


def test_a_credential_by_the_users_name_or_for_the_only_one(credentials):
    put(credentials / "auth", "of auth\r\n")
    put(credentials / "u", "of u")
    known, _ = fetched(("u", None))
    assert known[b"u"].matches(b"of u")
    known, _ = fetched(("v", None), ("w", "echo x"))
    assert known[b"v"].matches(b"of auth")
    assert "there is no password for user v" in refusal(("u", None), ("v", None), may_ask=False)[0]
    for odd in ("../credentials/u", ".", "..", "a/b"):
        assert "there is no password" in refusal((odd, None), ("x", None), may_ask=False)[0]


def test_fault_75_a_credential_that_others_can_read_is_refused(credentials):
    for mode in (0o640, 0o604, 0o622, 0o660, 0o610, 0o601):
        put(credentials / "u", "secret", mode)
        message, hint = refusal(("u", None))
        assert message == f"cannot use {credentials}/u: others have access to it (mode {mode:04o})"
        assert "chmod 600" in hint
    for mode in (0o600, 0o400):
        put(credentials / "u", "secret", mode)
        assert fetched(("u", None))[0][b"u"].matches(b"secret")


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_fault_75_a_credential_of_somebody_else_is_refused(credentials):
    os.chown(put(credentials / "u", "secret"), NOBODY, -1)
    assert refusal(("u", None))[0] == f"cannot use {credentials}/u: it belongs to user {NOBODY}"


def test_fault_75_what_is_no_file_is_refused(credentials, tmp_path):
    put(tmp_path / "file", "secret")
    (credentials / "u").symlink_to(tmp_path / "file")
    assert "Too many levels of symbolic links" in refusal(("u", None))[0]
    os.mkfifo(credentials / "pipe", 0o600)
    assert refusal(("pipe", None))[0].endswith("pipe: it is not a regular file")
    (credentials / "folder").mkdir(0o700)
    assert refusal(("folder", None))[0].endswith("folder: it is not a regular file")


def entries(*rows: tuple[int, int, int]) -> bytes:
    """An access control list as the kernel keeps it: tag, rights, who."""
    return b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + rights.to_bytes(2, "little") + who.to_bytes(4, "little")
        for tag, rights, who in rows
    )


NONE = 0xFFFFFFFF


@pytest.mark.parametrize(("user", "group", "refused"), [(None, 0, False), (None, 4, True), (12345, 0, True)])
def test_a_credential_that_systemd_gives_by_an_access_control_list(credentials, user, group, refused):
    file = put(credentials / "u", "secret", 0o400)
    user = os.geteuid() if user is None else user
    try:
        os.setxattr(
            file,
            "system.posix_acl_access",
            entries((1, 4, NONE), (2, 4, user), (4, group, NONE), (0x10, 4, NONE), (0x20, 0, NONE)),
        )
    except OSError as error:
        pytest.skip(f"no access control lists in {file.parent}: {error}")
    assert file.stat().st_mode & 0o777 == 0o440
    if refused:
        assert "others have access" in refusal(("u", None))[0]
    else:
        assert fetched(("u", None))[0][b"u"].matches(b"secret")


# -- key ring and terminal


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyRing]:
    with key_ring(tmp_path_factory.mktemp("ring")) as ring:
        yield ring


@pytest.fixture
def ring(daemon: KeyRing, monkeypatch: pytest.MonkeyPatch) -> KeyRing:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", daemon.address)
    for name in keyrings.DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    return daemon


def test_the_item_that_the_manual_has_users_store(ring):
    ring.secret_tool(
        *("store", "--label=msmtpd", "host", "localhost", "service", "smtp", "user", "keeper"), given="in the ring"
    )
    known, _ = fetched(("keeper", None), ("other", "echo p"), may_ask=False)
    assert known[b"keeper"].matches(b"in the ring")
    message, hint = refusal(("stranger", None), may_ask=False)
    assert message == "--auth: there is no password for user stranger"
    assert "secret-tool store --label=msmtpd host localhost service smtp user stranger" in hint


def test_a_key_ring_that_is_locked_is_said(ring):
    ring.secret_tool("store", "--label=msmtpd", "host", "localhost", "service", "smtp", "user", "shut", given="p")
    ring.lock()
    try:
        assert "the key ring has the password but is locked" in refusal(("shut", None), may_ask=False)[1]
    finally:
        ring.unlock()


ASKED = """
import os, sys
sys.path.insert(0, {source!r})
from msmtp.config.daemon_settings import Settings
from msmtp.daemon import passwords
settings = Settings()
settings.auth = [("typist", None)]
known, _ = passwords.read(passwords.verifiers(settings, may_ask={may_ask}))
print("right" if known[b"typist"].matches(b"typed in") else "wrong")
"""


def at_terminal(may_ask: bool) -> str:
    """What the program shows on a terminal at which somebody types the password."""
    import pty

    source = str(Path(passwords.__file__).parents[2])
    child, terminal = pty.fork()
    if not child:
        os.execv(sys.executable, [sys.executable, "-c", ASKED.format(source=source, may_ask=may_ask)])
    shown = b""
    with contextlib.suppress(OSError):
        while True:
            shown += os.read(terminal, 1000)
            if shown.endswith(b"localhost: "):
                os.write(terminal, b"typed in\n")
    os.close(terminal)
    os.waitpid(child, 0)
    return shown.decode().replace("\r", "")


def test_somebody_at_the_terminal_is_asked():
    assert at_terminal(may_ask=True) == "password for typist at localhost: \nright\n"
    assert "there is no password for user typist" in at_terminal(may_ask=False)


def test_without_a_terminal_nobody_is_waited_for():
    source = str(Path(passwords.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", ASKED.format(source=source, may_ask=True)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30, start_new_session=True,
    )  # fmt: skip
    assert "there is no password for user typist" in done.stderr


# -- row 76: where it is not


LOOKED_FOR = """
    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon import passwords
    settings = Settings()
    # the two halves stand together nowhere but in what the command prints
    settings.auth = [("u", "printf %s hunter2-; printf %s zebra5; {also}")]
    descriptor = passwords.verifiers(settings)
    known, _ = passwords.read(descriptor)
    found, first, second = 0, b"hunter2-", b"zebra5"
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            where, rights = line.split()[:2]
            if not rights.startswith("r") or "[v" in line: continue
            start, end = (int(part, 16) for part in where.split("-"))
            memory.seek(start)
            try: octets = memory.read(end - start)
            except OSError: continue
            at = octets.find(b"hunter2-")
            while at >= 0:
                found += octets[at + 8 : at + 14] == second
                at = octets.find(b"hunter2-", at + 1)
    print(found, known[b"u"].matches(first + second))
    print(repr(known), open("/proc/self/environ").read(), open("/proc/self/cmdline").read()[:0])
"""


def test_fault_76_the_keepers_memory_has_no_clear_password():
    done = run_code(LOOKED_FOR.format(also="true"))
    assert done.stdout.startswith("0 True\n"), done.stderr
    assert not re.search("hunter2.*zebra", done.stdout + done.stderr)


SPY = """
    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon import passwords
    settings = Settings()
    settings.auth = [("u", '''for name in mem environ maps fd/0; do
        if head -c 1 /proc/$PPID/$name > /dev/null 2>&1 || ls /proc/$PPID/fd > /dev/null 2>&1
        then echo "open $name" >&2; fi; done
        grep "Max core" /proc/$PPID/limits >&2; tr "\\\\0" " " < /proc/$PPID/cmdline > /dev/null; echo password''')]
    os.close(passwords.verifiers(settings))
"""


def test_fault_76_nobody_of_the_same_user_may_look_into_the_one_who_fetches():
    done = run_code(SPY, uid=NOBODY if os.getuid() == 0 else None)
    assert re.fullmatch(r"Max core file size +0 +0 +bytes *\n", done.stderr), done.stderr


def test_fault_76_no_text_of_a_failure_has_it(monkeypatch):
    """Whatever goes wrong with the password in hand: what is told is what kind of fault it was."""

    def fail(*_: object) -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(passwords, "made_alike", fail)
    assert refusal(("u", "echo hunter2")) == ("cannot fetch the passwords: RuntimeError", "")


def test_fault_76_no_option_takes_a_clear_password():
    from msmtp.config import daemon_settings

    said = daemon_settings.parse(["msmtpd", "--auth=u,echo p"]).auth
    assert said == [("u", "echo p")]


def test_the_child_leaves_nothing_open_to_the_command():
    """Listeners and channels of the keeper are not the business of a password command."""
    held = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(held, True)
    try:
        known, _ = fetched(("u", f"test ! -e /proc/self/fd/{held} && ls /proc/self/fd | wc -l"))
        assert known[b"u"].matches(b"4")  # 0, 1, 2 and the folder that ls reads
    finally:
        os.close(held)


def test_what_is_left_cannot_be_changed():
    descriptor = passwords.verifiers(told(("u", "echo p")))
    try:
        for attempt in (
            lambda: os.pwrite(descriptor, b"x", 0),
            lambda: os.ftruncate(descriptor, 0),
            lambda: os.ftruncate(descriptor, 1 << 16),
        ):
            with pytest.raises(PermissionError):
                attempt()
        assert passwords.read(descriptor)[0][b"u"].matches(b"p")
        assert not os.get_inheritable(descriptor)
    finally:
        os.close(descriptor)


def test_a_child_that_ends_early_is_told(monkeypatch):
    monkeypatch.setattr(passwords, "hide", lambda: os._exit(9))
    assert refusal(("u", "echo p"))[0] == "the process that fetches passwords ended early"


NAMES = st.binary(min_size=1, max_size=255).filter(lambda name: b"\n" not in name)


@given(st.dictionaries(NAMES, st.binary(max_size=40), max_size=4), st.binary(min_size=32, max_size=32))
def test_what_is_packed_is_read(known, secret):
    made = {name: Verifier(salt, 4096, SALT * 2, SALT * 2) for name, salt in known.items()}
    descriptor = os.memfd_create("packed")
    os.write(descriptor, passwords.pack(made, secret))
    try:
        read, same = passwords.read(descriptor)
    finally:
        os.close(descriptor)
    assert same == secret
    assert {name: each.encode() for name, each in read.items()} == {name: each.encode() for name, each in made.items()}
