"""The system mailer as it is set up: users of a machine send with msmtp, by the public file, through msmtpd's socket.

msmtpd runs as one user, with a policy and the mail server's password; those who send, and those who spy, are others.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
from pathlib import Path

import pytest
from tests.support.daemon import TOP, Msmtpd, launcher
from tests.support.processes import wait_for
from tests.support.scripted import Polite, Say, ScriptedServer

from msmtp.config import reader
from msmtp.daemon import guard, policy

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")

PASSWORD = "3f1c9a-correct-horse-77d0"
HOST = os.uname().nodename
SETTINGS = """
defaults
host 127.0.0.1
port {port}
auth plain
tls off
user joe
password {password}
logfile {folder}/sent
account web
user web
account default
"""
POLICY = """
for user root
  from *
for user bin
  from *@lists.example
  account web
for user sys
  header replace
for user games
  refuse
for everybody
  rate 3
  recipients 2
"""
MAIL = b"Subject: hi\n\nho\n"

# What somebody else on the machine would do who wants the password.  It prints what it could read of each.
SPY = r"""
import os, sys
sys.path.insert(0, "/")
for pid in sys.argv[2:]:
    for name in ("environ", "cmdline", "mem", "maps", "auxv", "stack", "fd/0", "fd/1", "fd/3", "cwd/core", "comm", "status"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                text = file.read(1 << 20)
        except OSError:
            continue
        print(name, "PASSWORD" if sys.argv[1].encode() in text else "no")
    try:
        os.listdir(f"/proc/{pid}/fd")
        print("fd listed")
    except OSError:
        pass
    for attempt in (lambda: os.kill(int(pid), 6), lambda: os.pidfd_open(int(pid)) and os.kill(int(pid), 0)):
        try:
            attempt()
            print("signal sent")
        except PermissionError:
            pass
"""


def number(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


class Machine(Msmtpd):
    """msmtpd as the user mail, with the default command, a policy and a password; and users of the machine."""

    def __init__(self, server: ScriptedServer, text: str = POLICY, *options: str, **more: object) -> None:
        super().__init__(*options, user="mail", command="msmtp -f %F --", unix="smtp", **more)  # type: ignore[arg-type]
        self.server = server
        self.text = text

    def prepare(self) -> None:
        super().prepare()
        credentials = self.folder / "credentials"
        credentials.mkdir()
        self.settings = credentials / "msmtprc"
        self.settings.write_text(SETTINGS.format(port=self.server.port, password=PASSWORD, folder=credentials))
        self.settings.chmod(0o600)
        for path in (credentials, self.settings):
            os.chown(path, number("mail"), -1)
        self.policy = self.folder / "policy"
        self.policy.write_text(self.text)
        self.options = (*self.options, f"--policy={self.policy}")
        self.client = launcher(self.folder, "msmtp", for_others=True)
        public = (TOP / "packaging" / "etc" / "msmtprc.system").read_text()
        self.socket = self.folder / "run" / "smtp"
        self.public = self.folder / "msmtprc"
        self.public.write_text(public.replace("/run/msmtpd/smtp", str(self.socket)).replace("%M", HOST))
        self.environment = {"CREDENTIALS_DIRECTORY": str(credentials), "PATH": f"{self.folder}:/usr/bin:/bin"}

    def wait_ready(self, seconds: float = 30) -> None:
        super().wait_ready(seconds)
        self.wait_logged("role delivery")
        self.baseline = self.settled()
        self.socket.chmod(0o666)

    def run_as(self, user: str, words: list[str], mail: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a program as a user of the machine."""
        return subprocess.run(
            words,
            input=mail,
            capture_output=True,
            user=number(user),
            group=pwd.getpwnam(user).pw_gid,
            extra_groups=[],
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"},
            cwd="/",
            check=False,
            timeout=60,
        )

    def send(self, user: str, *words: str, mail: bytes = MAIL) -> tuple[int, str]:
        """Have a user send a mail with msmtp; exit code and what it said."""
        done = self.run_as(user, [str(self.client), "-C", str(self.public), *words], mail)
        return done.returncode, done.stderr.decode()

    def reload(self, text: str, words: str) -> None:
        """Let the policy be another one."""
        self.policy.write_text(text)
        os.kill(self.keeper, 1)
        self.wait_logged(words)
        self.socket.chmod(0o666)


@pytest.fixture
def server():
    with ScriptedServer(
        Polite(mechanisms=("PLAIN",), users={b"joe": PASSWORD.encode(), b"web": PASSWORD.encode()})
    ) as made:
        yield made


def arrived(server: ScriptedServer) -> list[tuple[bytes, bytes]]:
    """Sender and From line of each mail that the mail server has."""
    found = []
    for session in server.sessions:
        for mail in session.mails:
            lines = mail.data.replace(b"\r\n", b"\n").partition(b"\n\n")[0].split(b"\n")
            found.append(
                (mail.sender.strip(b"<>"), next((line for line in lines if line.lower().startswith(b"from:")), b""))
            )
    return found


def test_each_sends_as_himself_and_a_refusal_names_the_rule(server):
    with Machine(server) as machine:
        me = f"nobody@{HOST}"
        assert machine.send("nobody", "you@example.org") == (0, "")
        assert machine.send("nobody", "-t", mail=b"To: you@example.org\n" + MAIL) == (0, "")
        assert machine.send("nobody", "-f", me, "you@example.org", mail=b"From: Me <nobody>\n" + MAIL) == (0, "")
        code, said = machine.send("nobody", "you@example.org")
        assert code == 75
        assert f"{machine.policy}:11 lets user nobody send 3 mails a minute; send again in" in said
        code, said = machine.send("daemon", "-f", me, "you@example.org")
        assert code == 65
        assert f"{machine.policy}:11 does not let user daemon send as {me}" in said
        assert f"send as daemon@{HOST}" in said
        code, said = machine.send("daemon", "you@example.org", mail=b"from: boss@example.org\n" + MAIL)
        assert code == 65
        assert f"{machine.policy}:11 does not let user daemon send as boss@example.org (in From)" in said
        code, said = machine.send("daemon", "a@b.example", "b@b.example", "c@b.example")
        assert (code, "send a mail to 2 at a time" in said) == (65, True)
        code, said = machine.send("games", "you@example.org")
        assert (code, f"{machine.policy}:9 lets user games send no mail" in said) == (65, True)
        assert machine.send("root", "-f", "any@where.example", "you@example.org")[0] == 0
        machine.wait_logged("does not let user daemon send as boss@example.org")
    mine = (me.encode(), f"From: {me}".encode())
    assert arrived(server)[:3] == [mine, mine, (me.encode(), b"From: Me <nobody>")]
    assert arrived(server)[3] == (b"any@where.example", b"From: any@where.example")


def test_the_rule_chooses_the_account_and_may_replace_from(server):
    with Machine(server) as machine:
        assert machine.send("bin", "-f", "a@lists.example", "you@example.org") == (0, "")
        forged = b"From: Boss <boss@example.org>\nFROM: other@example.org\n"
        assert machine.send("sys", "you@example.org", mail=forged + MAIL) == (0, "")
        assert machine.send("sys", "you@example.org", mail=b"From: root (Cron Daemon)\n" + MAIL) == (0, "")
        own = f"From: Sys <sys@{HOST}>".encode()
        assert machine.send("sys", "you@example.org", mail=own + b"\n" + MAIL) == (0, "")
    sender = f"sys@{HOST}".encode()
    assert arrived(server)[1:] == [(sender, b"From: " + sender)] * 2 + [(sender, own)]
    assert [session.user for session in server.sessions] == [b"web", b"joe", b"joe", b"joe"]


def test_a_broken_policy_changes_nothing_and_a_good_one_does(server):
    with Machine(server, expected=("going on with the options as they were",)) as machine:
        machine.reload("for everybdoy\n", "going on with the options as they were")
        assert f"{machine.policy}:1: unknown word everybdoy" in machine.log()
        assert machine.send("nobody", "you@example.org")[0] == 0
        machine.reload("for user daemon\n", "the options were read again and are in force")
        code, said = machine.send("nobody", "you@example.org")
        assert code == 65
        assert f"{machine.policy} has no rule for user nobody" in said


def test_without_msmtpd_the_exit_is_temporary_and_says_what_to_do(server):
    with Machine(server) as machine:
        text = machine.public.read_text()
        machine.public.write_text(text.replace(str(machine.socket), str(machine.folder / "none")))
        code, said = machine.send("nobody", "you@example.org")
        assert code == 75
        assert f"cannot connect to {machine.folder}/none" in said
        assert "systemctl start msmtpd.socket" in said
        machine.public.write_text(text)
        machine.socket.chmod(0o600)
        code, said = machine.send("nobody", "you@example.org")
        assert (code, "its permissions say who may connect" in said) == (75, True)


def test_nobody_else_can_read_the_password(server):
    server.behaviour.replies["message"] = Say("250 taken", pause=1.5)  # type: ignore[attr-defined]
    with Machine(server) as machine:
        sending = subprocess.Popen(
            [str(machine.client), "-C", str(machine.public), "-f", "a@b.example", "you@example.org"],
            stdin=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin"},
        )
        assert sending.stdin
        sending.stdin.write(MAIL)
        sending.stdin.close()
        (command,) = wait_for(lambda: machine.processes().get(""), 10, words="the command")
        pids = [str(pid) for pid in machine.tree()]
        assert str(command) in pids
        for spy in ("nobody", "daemon"):
            done = machine.run_as(spy, ["/usr/bin/python3", "-c", SPY, PASSWORD, *pids])
            assert done.returncode == 0, done.stderr
            told = set(done.stdout.decode().splitlines())
            assert told <= {"cmdline no", "comm no", "status no", "stack no"}, told
            assert machine.run_as(spy, ["cat", str(machine.settings)]).returncode
        assert sending.wait(30) == 0
        everything = machine.log() + machine.errors() + machine.public.read_text() + machine.policy.read_text()
        assert PASSWORD not in everything
        for pid in machine.tree():
            with contextlib.suppress(OSError):
                assert PASSWORD.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
            assert PASSWORD.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_flood_of_one_user_is_his_own(server):
    with Machine(server, "for everybody\n  rate 2\n") as machine:
        codes = [machine.send("daemon", "you@example.org")[0] for _ in range(4)]
        assert codes == [0, 0, 75, 75]
        assert machine.send("nobody", "you@example.org")[0] == 0
        assert machine.status()["delivered"] == 3
        assert machine.status()["deferred"] == 2


def check(machine: Machine, user: str, *words: str) -> tuple[int, str]:
    program = launcher(machine.folder, for_others=True)
    options = machine.folder / "options"
    options.write_text(f"policy {machine.policy}\nsocket {machine.socket}\n")
    done = machine.run_as(user, [str(program), f"--config={options}", *words])
    return done.returncode, (done.stdout + done.stderr).decode()


def test_check_tells_what_one_may_do_and_sends_a_mail_if_asked(server):
    with Machine(server) as machine:
        code, said = check(machine, "sys", "--check")
        assert f"{machine.policy}:7 is the rule for user sys" in said
        assert f"sends as: sys@{HOST}" in said
        assert f"takes mail at {machine.socket}" in said
        assert not any(session.mails for session in server.sessions)
        code, said = check(machine, "sys", "--check=you@example.org")
        assert "to you@example.org: taken" in said
        assert arrived(server) == [(f"sys@{HOST}".encode(), f"From: sys@{HOST}".encode())]
        code, said = check(machine, "games", "--check=you@example.org")
        assert code
        assert f"refused: 550 5.7.1 {machine.policy}:9 lets user games send no mail" in said


def test_check_finds_what_is_wrong(server):
    with Machine(server) as machine:
        machine.policy.write_text("for users\n")
        code, said = check(machine, "nobody", "--check", f"--socket={machine.folder}/none")
        assert code
        assert f"policy:   NO: {machine.policy}:1: unknown word users" in said
        assert f"msmtpd:   NO: cannot connect to {machine.folder}/none" in said


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        ("550 5.7.60 not your address", 65, "554 5.3.0 "),
        ("450 4.2.0 come back", 75, "451 4.3.0 "),
    ],
)
def test_the_mail_server_s_words_come_through(server, reply, code, words):
    server.behaviour.replies["MAIL"] = reply
    with Machine(server) as machine:
        found, said = machine.send("nobody", "you@example.org")
        assert found == code
        assert words in said
        assert reply in said
        found, said = check(machine, "daemon", "--check=you@example.org")
        assert found
        assert reply in said


# -- what is installed


def test_the_public_file_has_no_secret_and_leads_to_the_socket_of_the_units():
    found = reader.Configuration()
    reader.load(found, str(TOP / "packaging/etc/msmtprc.system"), lambda _: "#", system_file="")
    account = found.definitions["default"]
    assert (account.get("host"), account.get("socket")) == ("localhost", "/run/msmtpd/smtp")
    assert not account.get("password")
    assert not account.get("passwordeval")
    units = (TOP / "packaging/systemd/msmtpd.socket").read_text()
    assert "ListenStream=/run/msmtpd/smtp\n" in units


def test_the_package_s_file_says_the_same_as_the_one_to_copy():
    settings = []
    for path in ("packaging/etc/msmtprc.system", "packaging/debian/etc/msmtprc"):
        found = reader.Configuration()
        reader.load(found, str(TOP / path), lambda _: "#", system_file="")
        settings.append(found.definitions["default"].settings)
    assert settings[0] == settings[1]


def test_the_policy_that_is_shipped_lets_each_send_as_himself():
    text = (TOP / "packaging/etc/policy").read_text()
    names = policy.Machine("mail.example", ("host", "host.example"))
    judge = guard.Guard(policy.parse(text, "/etc/msmtpd/policy"), lambda: names)
    root, nobody = (judge.person(number(name), b"", b"") for name in ("root", "nobody"))
    assert judge.envelope(root, b"any@where.example", 1)[0]
    for sender in (b"nobody@mail.example", b"nobody@host.example", b"nobody@host", b"nobody", b""):
        assert judge.envelope(nobody, sender, 1)[0]
    for sender in (b"root@mail.example", b"root@host", b"root", b"nobody@example", b"nobody@other.example"):
        assert judge.envelope(nobody, sender, 1)[1]
    assert judge.envelope(judge.person(guard.NOBODY, b"scanner", b""), b"scanner@mail.example", 1)[0]
    assert judge.envelope(judge.person(guard.NOBODY, b"", b"192.0.2.1"), b"a@b.example", 1)[1]


def test_the_text_s_examples_are_of_the_policy_that_is_shipped():
    rules = policy.parse((TOP / "packaging/etc/policy").read_text(), "/etc/msmtpd/policy").rules
    text = (TOP / "docs/system-mailer.md").read_text()
    assert f"policy:   {rules[0].place} is the rule for user root\n" in text
    assert text.count(f" {rules[1].place} ") == 2
    options = (TOP / "packaging/debian/etc/msmtpd.conf").read_text()
    assert options.splitlines()[-1] == "policy /etc/msmtpd/policy"


def test_what_is_commented_out_in_the_files_would_be_good(tmp_path):
    text = (TOP / "packaging/etc/msmtprc.smarthost").read_text()
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    settings = [line for line in lines if line.split(" ")[0] in reader_words() and len(line.split()) <= 2]
    (tmp_path / "rc").write_text("\n".join(settings))
    (tmp_path / "rc").chmod(0o600)
    found = reader.Configuration()
    reader.load(found, str(tmp_path / "rc"), lambda _: "#", system_file="")
    account = found.definitions["default"]
    assert (account.get("host"), account.get("set_from_header")) == ("smtp.example.org", "on")
    assert len(settings) == 11


def reader_words() -> set[str]:
    return {name.decode() for name in reader.COMMANDS} | {"account"}


# -- the other ways to be known

SAY = """
import smtplib, sys
port, user, sender = sys.argv[1:]
with smtplib.SMTP("127.0.0.1", int(port), local_hostname="x", timeout=30) as client:
    if user:
        client.login(user, "secret")
    try:
        client.sendmail(sender, ["you@example.org"], "Subject: x\\n\\nx\\n")
    except smtplib.SMTPResponseException as refused:
        print(refused.smtp_code, refused.smtp_error.decode())
"""


def said_by(user: str, port: int, login: str, sender: str) -> str:
    done = subprocess.run(
        ["/usr/bin/python3", "-c", SAY, str(port), login, sender],
        capture_output=True,
        text=True,
        user=number(user),
        group=pwd.getpwnam(user).pw_gid,
        extra_groups=[],
        cwd="/",
        check=True,
        timeout=60,
    )
    return done.stdout


def test_who_connects_by_tcp_is_known_too(tmp_path):
    (tmp_path / "policy").write_text("for user nobody\n")
    with Msmtpd(f"--policy={tmp_path}/policy") as daemon:
        assert said_by("nobody", daemon.port, "", f"nobody@{HOST}") == ""
        assert "has no rule for user daemon" in said_by("daemon", daemon.port, "", f"nobody@{HOST}")


def test_who_gives_a_password_is_that_one(tmp_path):
    (tmp_path / "policy").write_text("for auth scanner\n from scan@b.example\nfor user nobody\n from *\n")
    with Msmtpd("--auth=scanner,echo secret", "--auth=ann,echo secret", f"--policy={tmp_path}/policy") as daemon:
        assert said_by("nobody", daemon.port, "scanner", "scan@b.example") == ""
        refused = said_by("nobody", daemon.port, "scanner", "other@b.example")
        assert "policy:1 does not let scanner (who gave the password) send as other@b.example" in refused
        assert "no rule for ann (who gave the password)" in said_by("nobody", daemon.port, "ann", "scan@b.example")
