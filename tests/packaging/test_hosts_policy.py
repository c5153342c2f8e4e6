"""The system mailer in a booted host: units, credentials, the kernel's word on users, and the policy that is shipped."""

from __future__ import annotations

import pytest
from tests.packaging.test_hosts import SECRET, _clean, host, mails, packages  # noqa: F401 - fixtures
from tests.support.daemon import TOP

pytestmark = [pytest.mark.booted, pytest.mark.root, pytest.mark.timeout(600)]

SEND = "printf 'Subject: hi\\n{more}\\nho\\n' | sendmail {options} you@example.org"


@pytest.fixture
def ruled(host):  # noqa: F811 - the fixture
    host.write("/etc/msmtpd/policy", (TOP / "packaging/etc/policy").read_text())
    host.run("echo 'policy /etc/msmtpd/policy' >>/etc/msmtpd.conf; systemctl restart msmtpd-send")
    yield host
    host.run("rm /etc/msmtpd/policy; sed -i '/^policy/d' /etc/msmtpd.conf; systemctl restart msmtpd-send")


def test_one_command_sets_it_straight(ruled):
    done = ruled.run("msmtpd --check=you@example.org")
    assert "mail goes to " in done.stdout
    assert "by /etc/msmtprc a mail of yours goes to /run/msmtpd/smtp" in done.stdout
    assert "is the rule for user root" in done.stdout
    assert "to you@example.org: taken" in done.stdout
    mails(ruled)
    done = ruled.run("msmtpd --check", user="joe")
    assert "cannot be read by you, as it should be" in done.stdout
    assert "sends as: joe@host.example" in done.stdout
    assert SECRET not in done.stdout + done.stderr


def test_users_send_as_themselves(ruled):
    ruled.run(SEND.format(more="", options=""), user="joe")
    (mail,) = mails(ruled)
    assert mail.startswith("from joe@host.example\n")
    done = ruled.run(SEND.format(more="", options="-f root@host.example") + " 2>&1", user="joe", check=False)
    assert done.returncode == 65
    assert "does not let user joe send as root@host.example" in done.stdout
    ruled.run(SEND.format(more="From: root (Cron Daemon)\\n", options=""), user="bob")
    assert "\nFrom: bob@host.example\n" in mails(ruled, 2)[1]
    ruled.run(SEND.format(more="From: anybody@example.net\\n", options="-f anybody@example.net"))
    assert "\nFrom: anybody@example.net\n" in mails(ruled, 3)[2]


def test_a_reload_reads_the_rules_again(ruled):
    ruled.write("/etc/msmtpd/policy", "for users\n")
    ruled.run("systemctl reload msmtpd-send; sleep 1; systemctl is-active msmtpd-send")
    ruled.run(SEND.format(more="", options=""), user="joe")
    ruled.write("/etc/msmtpd/policy", "for user root\n")
    ruled.run("systemctl reload msmtpd-send; sleep 1")
    done = ruled.run(SEND.format(more="", options="") + " 2>&1", user="joe", check=False)
    assert done.returncode == 65
    assert "/etc/msmtpd/policy has no rule for user joe" in done.stdout
