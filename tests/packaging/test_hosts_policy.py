"""The policy that the package brings, in booted hosts: who sends out of the box, and what becomes of it in an upgrade."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.packaging.test_hosts import (  # noqa: F401 - fixtures
    OPTIONS,
    PROVIDER,
    RULES,
    SECRET,
    _clean,
    holding,
    host,
    mails,
    packages,
    ruled,
)

pytestmark = [pytest.mark.booted, pytest.mark.root, pytest.mark.timeout(600)]

SEND = "printf 'Subject: hi\\n{more}\\nho\\n' | sendmail {options} you@example.org"
RESTART = "systemctl restart msmtpd-send.service"


def sent(host, more="", options="", user="joe", **more_of_run):  # noqa: F811 - the fixture
    """Have a user send; the exit code, and what was said."""
    done = host.run(f"{SEND.format(more=more, options=options)} 2>&1", user=user, check=False, **more_of_run)
    return done.returncode, done.stdout


def test_one_command_sets_it_straight(host):  # noqa: F811 - the fixture
    done = host.run("msmtpd --check=you@example.org")
    assert "mail goes to " in done.stdout
    assert "by /etc/msmtprc a mail of yours goes to /run/msmtpd/smtp" in done.stdout
    assert "is the rule for user root" in done.stdout
    assert "to you@example.org: taken" in done.stdout
    mails(host)
    done = host.run("msmtpd --check", user="joe")
    assert "cannot be read by you, as it should be" in done.stdout
    assert "sends as: joe@host.example, joe@host\n" in done.stdout
    assert SECRET not in done.stdout + done.stderr


def test_users_send_as_themselves(host):  # noqa: F811 - the fixture
    assert sent(host) == (0, "")
    (mail,) = mails(host)
    assert mail.startswith("from joe@host.example\n")
    code, said = sent(host, options="-f root@host.example")
    assert code == 65
    assert "/etc/msmtpd/policy:" in said
    assert "does not let user joe send as root@host.example" in said
    assert sent(host, "From: root (Cron Daemon)\\n", user="bob") == (0, "")
    assert "\nFrom: bob@host.example\n" in mails(host, 2)[1]
    assert sent(host, "From: anybody@example.net\\n", "-f anybody@example.net", "root") == (0, "")
    assert "\nFrom: anybody@example.net\n" in mails(host, 3)[2]


@pytest.mark.parametrize("program", ["bsd-mailx -s hi", "s-nail -s hi", "mutt -s hi --"])
def test_what_a_user_writes_a_mail_with(host, program):  # noqa: F811 - the fixture
    host.run(f"echo hello | {program} you@example.org", user="joe")
    (mail,) = mails(host)
    assert mail.startswith("from joe@host.example\n")
    assert re.search(r"\nFrom: (?:\S+ <)?joe@host.example>?(?: \(.*\))?\n", mail)


@pytest.mark.parametrize("user", ["www-data", "backup", "nobody"])
def test_users_of_the_system_though_root_s_variables_are_left(host, user):  # noqa: F811 - the fixture
    host.run(f"echo hello | runuser -u {user} -- mail -s hi root")
    (mail,) = mails(host)
    assert mail.startswith(f"from {user}@host.example\nto admin@example.org\n")


def test_a_service_whose_user_has_no_name_needs_a_rule_by_number(host):  # noqa: F811 - the fixture
    service = (
        "echo hello | systemd-run -q --pipe --collect -p DynamicUser=yes --unit=report sendmail you@example.org 2>&1"
    )
    done = host.run(service, check=False)
    assert "does not let the user with number 6" in done.stdout
    with ruled(host, "for user 61184-65519\n  from *@%M\n"):
        host.run(service)
    (mail,) = mails(host)
    assert mail.startswith("from report@host.example\n")


@pytest.mark.parametrize("user", ["joe", "root"])
@pytest.mark.parametrize("sender", ["''", "'<>'"])
def test_notices_have_no_sender(host, user, sender):  # noqa: F811 - the fixture
    header = "From: Mail Delivery System <MAILER-DAEMON@host.example>\\nAuto-Submitted: auto-replied\\n"
    assert sent(host, header, f"-f {sender}", user) == (0, "")
    (mail,) = mails(host)
    assert mail.startswith("from \n")
    shown = "Mail Delivery System <MAILER-DAEMON@host.example>" if user == "root" else "MAILER-DAEMON"
    assert f"\nFrom: {shown}\n" in mail


@pytest.mark.parametrize(
    "header", ["From:\\n", "From: one@example.net, two@example.net\\n", "X: $(printf %070000d 1)\\n"]
)
def test_root_s_mail_goes_as_it_is(host, header):  # noqa: F811 - the fixture
    script = f"""printf "Subject: hi\\n{header}\\nho\\n" | sendmail -f any@example.net you@example.org"""
    host.run(script)
    (mail,) = mails(host)
    assert mail.startswith("from any@example.net\n")


def test_a_mail_name_of_its_own_and_the_machine_s_names_beside_it(host):  # noqa: F811 - the fixture
    with holding(host, "/etc/mailname", "mail.example.org\n", then="true"):  # nothing has to be told to msmtpd
        for options in ("", "-f joe@mail.example.org", "-f joe@host.example", "-f joe@host", "-f joe"):
            assert sent(host, "From: joe@host.example\\n", options) == (0, "")
        senders = [mail.partition("\n")[0] for mail in mails(host, 5)]
        assert senders[:4] == [f"from joe@{name}" for name in ("mail.example.org",) * 2 + ("host.example", "host")]
        code, said = sent(host, options="-f joe@example.org")
        assert code == 65
        assert "send as joe@mail.example.org, joe@host.example, joe@host" in said


def test_without_a_mail_name_it_is_said_what_lacks(host):  # noqa: F811 - the fixture
    try:
        host.run("mv /etc/mailname /etc/mailname.away")
        code, said = sent(host)
        assert code == 78
        assert "/etc/mailname: No such file" in said
        assert "sends as: joe@host.example" in host.run("msmtpd --check", user="joe", check=False).stdout
    finally:
        host.run("mv /etc/mailname.away /etc/mailname")


def test_a_reload_reads_the_rules_again(host):  # noqa: F811 - the fixture
    with holding(host, "/etc/msmtpd/policy", "for users\n", then="true"):
        host.run("systemctl reload msmtpd-send; sleep 1; systemctl is-active msmtpd-send")
        assert sent(host) == (0, "")
        host.write("/etc/msmtpd/policy", "for user root\n")
        host.run("systemctl reload msmtpd-send; sleep 1")
        code, said = sent(host)
        assert code == 65
        assert "/etc/msmtpd/policy has no rule for user joe" in said
    host.run("systemctl reload msmtpd-send")


def test_a_rule_of_the_administrator_s_comes_first(host):  # noqa: F811 - the fixture
    with ruled(host, "for user joe\n  from *@lists.example %U@%M\n  rate 2\n"):
        assert [sent(host, options=f"-f {who}")[0] for who in ("a@lists.example", "joe@host.example")] == [0, 0]
        code, said = sent(host)
        assert code == 75
        assert "/etc/msmtpd/policy:1 lets user joe send 2 mails a minute" in said
    mails(host, 2)


def test_without_the_file_nothing_is_sent_and_it_is_temporary(host):  # noqa: F811 - the fixture
    try:
        host.run(f"mv /etc/msmtpd/policy /etc/msmtpd/away; {RESTART}", check=False)
        assert sent(host)[0] == 75
        assert "policy" in host.journal("-u", "msmtpd-send.service", "-n", "40")
    finally:
        host.run(f"mv /etc/msmtpd/away /etc/msmtpd/policy; systemctl reset-failed; systemctl restart msmtpd.socket "
                 f"msmtpd-send.socket; {RESTART}")  # fmt: skip
    assert sent(host) == (0, "")
    mails(host)


# -- what packages leave


def before_policies(packages: list[Path], folder: Path) -> list[Path]:  # noqa: F811 - the fixture
    """The packages as they were when they brought no policy, by an earlier version."""
    made = []
    for package in packages:
        tree = folder / package.stem
        subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
        (tree / "etc" / "msmtpd" / "policy").unlink(missing_ok=True)
        for path in tree.glob("etc/msmtpd.conf"):
            path.write_text(path.read_text().replace("policy /etc/msmtpd/policy\n", ""))
            conffiles = tree / "DEBIAN" / "conffiles"
            conffiles.write_text(conffiles.read_text().replace("/etc/msmtpd/policy\n", ""))
        control = tree / "DEBIAN" / "control"
        control.write_text(re.sub(r"(\d\.\d\.\d)-1", r"\1-0", control.read_text()))
        made.append(folder / package.name.replace("-1_", "-0_"))
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, made[-1]], check=True, capture_output=True)
    return made


@pytest.mark.parametrize("own", [False, True], ids=["as it was installed", "with own options"])
def test_an_upgrade_brings_the_policy(host, packages, tmp_path, own):  # noqa: F811 - the fixture
    host.run("apt-get -qq -y purge msmtp-py-mta msmtp-py 2>&1", seconds=200)
    host.install(*before_policies(packages, tmp_path), "bsd-mailx")
    host.write("/etc/msmtpd/msmtprc", PROVIDER, 0o600)
    if own:
        host.run("echo 'max-size 25m' >>/etc/msmtpd.conf")
    host.run(RESTART)
    assert not host.run("ls /etc/msmtpd/policy", check=False).stdout
    assert sent(host, options="-f root@host.example")[0] == 0
    host.run("echo 'Dpkg::Options { \"--force-confold\"; };' >/etc/apt/apt.conf.d/keep")
    host.install(*packages)
    host.run("rm /etc/apt/apt.conf.d/keep")
    assert host.run("cat /etc/msmtpd/policy").stdout == RULES
    if own:  # they stay, and an administrator learns that there is a line to add
        assert "policy:   none: whoever connects may send anything" in host.run("msmtpd --check").stdout
        host.run(f"echo 'policy /etc/msmtpd/policy' >>/etc/msmtpd.conf; {RESTART}")
    code, said = sent(host, options="-f root@host.example")
    assert code == 65
    assert "does not let user joe" in said
    assert sent(host) == (0, "")
    mails(host, 2)
    host.write("/etc/msmtpd.conf", OPTIONS)
    host.run(RESTART)
