"""msmtpd as a service: users, passwords from everywhere, logs, new options while it runs, its end, what it tells."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import re
import signal
import smtplib
import socket
import subprocess
import time

import pytest
from tests.support.daemon import NOBODY, Msmtpd, launcher, new_folder, title, zombies
from tests.support.key_ring import key_ring
from tests.support.processes import free_port, listens, wait_for
from tests.support.terminal import Terminal

MAIL = "Subject: hi\n\nho\n"
TO = ("a@b.example", "c@d.example", MAIL)
PACKAGED = {"msmtpd": 61001, "msmtpd-auth": 61002, "msmtpd-w": 61003, "msmtpd-send": 61004}


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run msmtpd to its end."""
    folder = new_folder()
    try:
        command = [str(launcher(folder, for_others="user" in options)), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, **options)  # type: ignore[call-overload]
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)


def test_version_and_help():
    version, help_text = run("--version"), run("--help")
    assert version.stdout.startswith("msmtpd version ")
    assert "--command" in help_text.stdout
    assert [(each.returncode, each.stderr) for each in (version, help_text)] == [(0, ""), (0, "")]


# -- users


def with_users(folder, users: dict[str, int]) -> list[str]:
    """Words that start a program where the machine has these users, root and nobody only."""
    for name, line in (("passwd", "{0}:x:{1}:{1}::/nonexistent:/bin/sh\n"), ("group", "{0}:x:{1}:\n")):
        everybody = {"root": 0, "nogroup" if name == "group" else "nobody": NOBODY, **users}
        (folder / name).write_text("".join(line.format(*each) for each in everybody.items()))
        (folder / name).chmod(0o644)
    script = 'mount --bind "$0/passwd" /etc/passwd && mount --bind "$0/group" /etc/group && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(folder)]


@pytest.fixture
def folder():
    made = new_folder()
    yield made
    subprocess.run(["rm", "-rf", made], check=True)


@pytest.mark.root
def test_root_has_nobody_to_become(folder):
    words = [*with_users(folder, {}), str(launcher(folder)), f"--port={free_port()}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 78
    assert done.stderr.startswith("msmtpd: started as root, and there is no user msmtpd")
    assert "--user=NAME" in done.stderr


@pytest.mark.root
def test_root_becomes_the_users_of_the_package(folder):
    with Msmtpd("--auth=user,echo secret", user="", wrap=with_users(folder, PACKAGED)) as daemon:
        with daemon.smtp() as client:
            client.login("user", "secret")
            client.sendmail(*TO)
        (mail,) = daemon.mails(1)
        assert mail.user.startswith(f"uid={PACKAGED['msmtpd-send']}")
        daemon.settled()
        assert {which: uids(pids) for which, pids in everybody(daemon)} == {
            "keeper": {0},
            "auth": {61002},
            "delivery": {61004},
            "supervisor": {61001},
            "nursery": {61003},
            "worker": {61003},
        }


def everybody(daemon):
    return daemon.processes().items()


def uids(pids):
    """Real users of these processes, as their first namespace sees them."""
    found = set()
    for pid in pids:
        with open(f"/proc/{pid}/status") as status:
            found |= {int(line.split()[1]) for line in status if line.startswith("Uid:")}
    return found


@pytest.mark.root
def test_a_user_cannot_become_another():
    done = run("--user=daemon", f"--port={free_port()}", user=NOBODY, group=NOBODY, extra_groups=[])
    assert (done.returncode, "only root can become another user" in done.stderr) == (78, True)


# -- passwords


def can_log_in(daemon: Msmtpd, password: str = "secret") -> bool:
    with daemon.smtp() as client:
        try:
            client.login("user", password)
            client.sendmail(*TO)
        except smtplib.SMTPAuthenticationError:
            return False
    return True


def test_the_password_of_a_command():
    with Msmtpd("--auth=user,printf 'secret\\nmore'") as daemon:
        with daemon.talk() as client:
            client.greet()
            client.say("MAIL FROM:<a@b.example>", "530 5.7.0")
        assert can_log_in(daemon)
        assert not can_log_in(daemon, "secret2")
        assert "with ESMTPA" in daemon.mails(1)[0].received
        assert daemon.mails(1)[0].environment["MSMTPD_USER"] == "user"
        assert "secret" not in daemon.log()


def test_the_password_of_a_credential(folder):
    (folder / "user").write_text("secret\n")
    (folder / "user").chmod(0o600)
    with Msmtpd("--auth=user", environment={"CREDENTIALS_DIRECTORY": str(folder)}) as daemon:
        assert can_log_in(daemon)


def test_the_password_of_a_key_ring(tmp_path):
    with key_ring(tmp_path) as ring:
        ring.store("secret", "host", "localhost", "service", "smtp", "user", "user")
        with Msmtpd("--auth=user", environment=ring.environment) as daemon:
            assert can_log_in(daemon)


def test_a_password_that_nobody_has():
    user = ["--user=nobody"] if os.geteuid() == 0 else []
    done = run("--auth=user", f"--port={free_port()}", *user, start_new_session=True)
    assert done.returncode == 78
    assert "user" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_password_that_somebody_types():
    daemon = Msmtpd("--auth=user")
    daemon.prepare()
    try:
        words = daemon.words()
        with Terminal(f"import os; os.execv({words[0]!r}, {words!r})") as terminal:
            terminal.wait_for(b"user")
            assert not terminal.echoes
            terminal.type(b"secret\n")
            wait_for(lambda: "ready" in daemon.log(), words="a daemon that is ready")
            assert can_log_in(daemon)
            os.kill(terminal.pid, signal.SIGTERM)
            assert terminal.end() == b""
            assert terminal.status == 0
        assert b"secret" not in terminal.shown
    finally:
        daemon.remove()


# -- logs


def private(path: str, source: os.PathLike[str]) -> list[str]:
    """Words that start a program for which the file at ``path``, in a folder of the system's, is another."""
    script = (
        'top=$1 path=$2 source=$3; shift 3; mount -t tmpfs -o mode=755 t "$top"'
        ' && if [ "$top" = /dev ]; then mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/urandom c 1 9; mkdir /dev/shm; fi'
        ' && mkdir -p "${path%/*}" && touch "$path" && mount --bind "$source" "$path" && exec "$@"'
    )
    return ["unshare", "--mount", "sh", "-c", script, "sh", f"/{path.split('/')[1]}", path, str(source)]


@pytest.mark.root
@pytest.mark.parametrize(
    ("kind", "path", "form"),
    [
        ("syslog", "/dev/log", rb"<22>\w{3} [ \d]\d [\d:]{8} msmtpd\[(\d+)\]: session 2: mail from a@b.example, .*"),
        ("journal", "/run/systemd/journal/socket", rb"(?s)MESSAGE\n.{8}session 2: mail from a@b.example, .*MSMTPD_SENDER.*"),
    ],
)  # fmt: skip
def test_a_log_daemon_is_told(kind, path, form, folder):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(folder / "log"))
        (folder / "log").chmod(0o666)
        log.settimeout(20)
        with Msmtpd(f"--log={kind}", wrap=private(path, folder / "log")) as daemon:
            with daemon.smtp() as client:
                client.sendmail(*TO)
            while not re.fullmatch(form, record := log.recv(4096)):
                assert b"stopped" not in record
        while b"stopped" not in record:
            record = log.recv(4096)


def test_nothing_is_logged_where_nothing_is_to_be():
    with Msmtpd("--log=none") as daemon:
        with daemon.smtp() as client:
            client.sendmail(*TO)
        daemon.mails(1)
    assert (daemon.log_text, daemon.errors_text) == ("", "")


# -- other options while it runs


def reloaded(daemon: Msmtpd, words: str = "in force") -> None:
    """SIGHUP, and its outcome in the log."""
    before = daemon.log().count(words)
    os.kill(daemon.keeper, signal.SIGHUP)
    wait_for(lambda: daemon.log().count(words) > before, words=f"another {words!r}")


def test_options_are_read_again(folder):
    """A new listener, another command; a file with a mistake changes nothing; a session goes on through all of it."""
    options, first, second = folder / "options", free_port(), free_port()
    options.write_text(f"port {first}\n")
    daemon = Msmtpd(f"--config={options}", "--port=0", expected=["going on with the options"])
    daemon.options = (f"--config={options}",)
    with configured(daemon, options, first), daemon.talk() as old:
        old.greet()
        command = f"{daemon.recorder.program} --new -f %F --"
        options.write_text(f"port {first}\nport {second}\ncommand {command}\n")
        reloaded(daemon)
        for port in (first, second):
            with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
                client.sendmail(*TO)
        assert [mail.arguments[0] for mail in daemon.mails(2)] == ["--new"] * 2
        options.write_text("port 25x\n")
        reloaded(daemon, "going on with the options as they were")
        with smtplib.SMTP("127.0.0.1", second, timeout=20) as client:
            client.sendmail(*TO)
        options.write_text(f"port {first}\ncommand {daemon.recorder.command}\n")
        reloaded(daemon)
        wait_for(lambda: not listens(second)(), words="an end of the second listener")
        old.mail()
        assert [mail.arguments[0] for mail in daemon.mails(4)] == ["--new"] * 3 + ["-f"]
        old.say("QUIT", 221)


@contextlib.contextmanager
def configured(daemon: Msmtpd, options, port: int):
    """The daemon, with its options in the file rather than on the command line."""
    made = daemon.words

    def words() -> list[str]:
        return [word for word in made() if not word.startswith(("--port=", "--command="))]

    daemon.words = words  # type: ignore[method-assign]
    prepare = daemon.prepare

    def prepared() -> None:
        prepare()
        daemon.port = port
        options.write_text(f"port {port}\ncommand {daemon.recorder.command}\n")

    daemon.prepare = prepared  # type: ignore[method-assign]
    with daemon:
        yield daemon


def test_under_load_nobody_is_refused_and_nothing_lost():
    with Msmtpd("--max-sessions=32", "--max-sessions-per-source=32") as daemon:
        until = time.monotonic() + 2

        def send() -> int:
            count = 0
            while time.monotonic() < until:
                with daemon.smtp() as client:
                    assert client.sendmail(*TO) == {}
                    count += 1
            return count

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            counts = [pool.submit(send) for _ in range(4)]
            for _ in range(4):
                reloaded(daemon)
                time.sleep(0.2)
            sent = sum(each.result() for each in counts)
        assert len(daemon.mails(sent)) == sent
        status = daemon.status()
        assert status["delivered"] == sent
        assert status["generation"] == 5


# -- its end


def test_a_mail_under_way_is_finished():
    daemon = Msmtpd()
    with daemon:
        with daemon.talk() as busy, daemon.talk() as idle:
            busy.greet()
            idle.greet()
            busy.envelope()
            busy.send(b"Subject: hi\r\n\r\nfirst half,\r\n")
            daemon.look_for_leaks = lambda: None  # type: ignore[method-assign]
            os.kill(daemon.keeper, signal.SIGTERM)
            idle.hear("421 4.3.2")
            with pytest.raises(ConnectionRefusedError):
                daemon.connect().close()
            busy.send(b"second half\r\n")
            busy.say(".", "250 2.0.0 Ok, mail was piped")
            busy.hear("421 4.3.2")
            assert busy.line() == b""
        assert daemon.mails(1)[0].content == b"Subject: hi\n\nfirst half,\nsecond half\n"


def test_a_command_under_way_is_waited_for():
    with Msmtpd() as daemon:
        daemon.order(after="sleep 1")
        daemon.look_for_leaks = lambda: None  # type: ignore[method-assign]
        with daemon.talk() as client:
            client.greet()
            client.envelope()
            client.send(b"Subject: hi\r\n\r\n.\r\n")
            daemon.mails(1)
            os.kill(daemon.keeper, signal.SIGTERM)
            client.hear("250 2.0.0 Ok, mail was piped")


# -- what it tells


def test_status_and_titles():
    with Msmtpd() as daemon:
        with daemon.talk() as client, daemon.talk() as other:
            client.greet()
            other.greet()
            client.mail()
            wait_for(lambda: daemon.status()["active"] == 2)
            told = run(f"--status={daemon.status_socket}")
            assert (told.returncode, told.stderr) == (0, "")
            assert re.match(r"msmtpd runs since [-\d]{10} [:\d]{8}, settings read 1 times\n", told.stdout)
            for line in ("16  sessions at a time at most", "2  sessions now", "1  mails that the command took"):
                assert f" {line}\n" in told.stdout
            assert (
                len(re.findall(r"^session \d+: 127\.0\.0\.1:\d+.*, for \d+ s, process \d+$", told.stdout, re.MULTILINE))
                == 2
            )
            titles = sorted(title(pid) for pid in daemon.tree())
            assert "msmtpd: keeper" in titles
            assert "msmtpd: supervisor: 2 of 16 sessions" in titles
            assert titles.count("msmtpd: worker") == 4
            assert not zombies(daemon.tree())
        wait_for(lambda: title(daemon.process_of("supervisor")) == "msmtpd: supervisor: 0 of 16 sessions")
    assert run(f"--status={daemon.status_socket}").returncode != 0


def test_shell_commands_and_failures_are_told_to_the_client():
    with Msmtpd(expected=["answered 451", "answered 554"]) as daemon:
        with daemon.talk() as client:
            client.greet()
            for order, answer in (
                ("echo later; exit 75", "451 4.3.0 later"),
                ("echo first; printf 'never\\001\\n'; exit 65", "554 5.3.0 never"),
                ("kill -9 $$", "451 4.3.0"),
            ):
                daemon.order(before=order)
                client.mail(code=answer)
            daemon.order()
            client.mail()
        assert len(daemon.mails(1)) == 1
        told = daemon.status()
        assert (told["delivered"], told["deferred"], told["rejected"]) == (1, 2, 1)


def test_a_template_with_shell_syntax():
    with Msmtpd(command='X=$(echo %F) && export X && exec {program} -f "$X" --') as daemon:
        with daemon.smtp() as client:
            client.sendmail("a@b.example", ["c@d.example", '"$(touch x);"@d.example'], MAIL)
        assert daemon.mails(1)[0].recipients == ["c@d.example", '"$(touch x);"@d.example']


def test_where_no_process_waits_for_clients_each_has_one_made():
    with Msmtpd("--workers-ahead=0") as daemon:
        for _ in range(2):
            clients = [daemon.talk() for _ in range(3)]
            for client in clients:
                client.greet()
            for client in clients:
                client.mail()
                client.connection.close()
            daemon.settled()
        daemon.mails(6)
