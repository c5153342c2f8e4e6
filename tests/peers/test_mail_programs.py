"""Programs that send through sendmail send through our msmtp in its place: mutt, s-nail, mail, git, Python."""

from __future__ import annotations

import email
import email.policy
import os
import shlex
import subprocess
from email.message import EmailMessage
from pathlib import Path

import pytest
from tests.support import debian, view
from tests.support.scripted import Mail, Polite, ScriptedServer
from tests.support.sending import MSMTP, account, configuration

BODY = "Grüße,\n.a dot\nFrom here\n"


@pytest.fixture
def server():
    with ScriptedServer(Polite()) as scripted:
        yield scripted


@pytest.fixture
def sendmail(tmp_path, server) -> Path:
    """A program ``sendmail`` that is our msmtp with a configuration for the server."""
    rc = configuration(tmp_path, account(server.port) + f"logfile {tmp_path}/log\n")
    file = tmp_path / "sendmail"
    file.write_text(f'#!/bin/sh\nexec {shlex.join(MSMTP)} -C {rc} "$@"\n')
    file.chmod(0o755)
    return file


def run_unpacked(bundle: str, folder: Path, *command: str | Path, text: str = "", **environment: str) -> None:
    """Run a program out of its Debian package as if it were installed; it must succeed."""
    scratch = folder / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        view.in_view([debian.bundle(bundle)], scratch, command),
        input=text.encode(),
        capture_output=True,
        check=False,
        timeout=60,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TERM": "dumb", **environment},
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def the_mail(server: ScriptedServer) -> tuple[Mail, EmailMessage]:
    """The one mail that arrived: its envelope and what its octets mean."""
    (session,) = server.sessions
    (mail,) = session.mails
    message = email.message_from_bytes(mail.data.replace(b"\r\n", b"\n"), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return mail, message


def test_mutt_sends(tmp_path, server, sendmail):
    (tmp_path / "muttrc").write_text(
        f'set sendmail="{sendmail}"\nset use_from=yes\nset envelope_from=yes\nset from=mutt@example.org\nset copy=no\n'
    )
    run_unpacked(
        "mutt",
        tmp_path,
        "mutt",
        "-F",
        tmp_path / "muttrc",
        "-s",
        "Grüße",
        "-b",
        "b@example.net",
        "a@example.net",
        text=BODY,
    )
    mail, message = the_mail(server)
    assert mail.sender == b"<mutt@example.org>"
    assert sorted(mail.recipients) == [b"<a@example.net>", b"<b@example.net>"]
    assert message["Subject"] == "Grüße"
    assert message["Bcc"] is None
    assert message.get_content() == BODY


def test_s_nail_sends(tmp_path, server, sendmail):
    run_unpacked(
        "s-nail", tmp_path, "s-nail", "-:/", f"-Smta={sendmail}", "-Ssendwait", "-Sfrom=nail@example.org",
        "-r", "nail@example.org", "-s", "Grüße", "-c", "c@example.net", "a@example.net", text=BODY,
    )  # fmt: skip
    mail, message = the_mail(server)
    assert mail.sender == b"<nail@example.org>"
    assert sorted(mail.recipients) == [b"<a@example.net>", b"<c@example.net>"]
    assert (message["Subject"], message.get_content()) == ("Grüße", BODY)


def test_mail_sends_with_the_line_that_the_manual_gives(tmp_path, server, sendmail):
    (tmp_path / ".mailrc").write_text(f'set sendmail="{sendmail}"\n')
    run_unpacked("bsd-mailx", tmp_path, "bsd-mailx", "-s", "hello", "a@example.net", text="How are you?\n")
    mail, message = the_mail(server)
    assert (mail.sender, mail.recipients) == (b"<joe@example.org>", [b"<a@example.net>"])
    assert (message["Subject"], message.get_content()) == ("hello", "How are you?\n")
    assert message["From"]


def test_git_send_email_sends_a_patch(tmp_path, server, sendmail):
    repository = tmp_path / "repository"
    commands = f"""
        git init -q {repository} && cd {repository}
        git config user.name 'Gräfin' && git config user.email git@example.org
        git config sendemail.sendmailCmd {sendmail} && git config sendemail.envelopeSender auto
        echo one > file && git add file && git commit -q -m 'Änderung'
        git send-email --quiet --confirm=never --suppress-cc=all --to=list@example.net -1
    """
    run_unpacked("git-email", tmp_path, "sh", "-euc", commands, GIT_CONFIG_NOSYSTEM="1", PERL5LIB="/usr/share/perl5")
    mail, message = the_mail(server)
    assert (mail.sender, mail.recipients) == (b"<git@example.org>", [b"<list@example.net>"])
    assert message["Subject"] == "[PATCH] Änderung"
    assert "+one" in message.get_content()


@pytest.mark.parametrize("arguments", [["-t", "-oi"], ["-oi", "-f", "py@example.org", "--", "a@example.net"]])
def test_python_sends_through_sendmail(tmp_path, server, sendmail, arguments):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "py@example.org", "Ann <a@example.net>", "Grüße"
    message.set_content(BODY)
    subprocess.run([sendmail, *arguments], input=message.as_bytes(), check=True, timeout=60)
    mail, arrived = the_mail(server)
    assert mail.recipients == [b"<a@example.net>"]
    assert (arrived["Subject"], arrived.get_content()) == ("Grüße", BODY)


def test_cron_sends_its_way(tmp_path, server, sendmail):
    """Debian's cron: sendmail -FCronDaemon -i -B8BITMIME -oem USER, and a mail with To and From of its own."""
    aliases = tmp_path / "aliases"
    aliases.write_text("root: admin@example.org\n")
    mail = b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> job\n\nSiehe \xc3\xbc\n"
    arguments = ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", f"--aliases={aliases}", "root"]
    subprocess.run([sendmail, *arguments], input=mail, check=True, timeout=60)
    arrived, _ = the_mail(server)
    assert arrived.recipients == [b"<admin@example.org>"]
    assert arrived.sender_parameters == b"BODY=8BITMIME"


def test_the_interpreter_is_ours_whatever_the_folder_holds(tmp_path, server, sendmail):
    """Started with -I: a module of the standard library's name in the working folder is not run (fault 77)."""
    for name in ("os.py", "socket.py", "msmtp.py", "sitecustomize.py"):
        (tmp_path / name).write_text("raise SystemExit('hijacked')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": str(tmp_path / "os.py")}
    subprocess.run([sendmail, "a@example.net"], input=b"x", check=True, cwd=tmp_path, env=environment, timeout=60)
    assert len(server.sessions[0].mails) == 1
