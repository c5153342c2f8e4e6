"""The Debian packages as Debian 13's own tools build them: what lintian says there, and that a mail leaves a host of theirs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.packaging.test_debian import conffiles, contents, field
from tests.packaging.test_hosts import PROVIDER, SECRET, TOP, mails
from tests.support.builder import Builder
from tests.support.host import Host, build_packages

SUITE = "trixie"

pytestmark = [pytest.mark.booted, pytest.mark.root, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def builder(tmp_path_factory) -> Builder:
    return Builder(SUITE, tmp_path_factory.mktemp("builder"))


@pytest.fixture(scope="module")
def built(builder) -> dict[str, Path]:
    """The .deb files by the packages' names."""
    return {path.name.partition("_")[0]: path for path in builder.build()}


@pytest.fixture(scope="module")
def host(built, tmp_path_factory) -> Iterator[Host]:
    with Host(SUITE, tmp_path_factory.mktemp("host")) as made:
        made.install(*built.values())
        made.write("/srv/smarthost.py", (TOP / "tests" / "support" / "smarthost.py").read_text())
        made.run(f"systemd-run -q --unit=smarthost python3 /srv/smarthost.py 2525 /mails joe {SECRET}")
        made.wait("ls -d /mails")
        made.write("/etc/msmtpd/msmtprc", PROVIDER, 0o600)
        made.run("useradd -m joe")
        yield made


def test_lintian_of_that_release_has_nothing_to_say(builder, built):
    (changes,) = builder.packages.glob("*.changes")
    assert builder.run("lintian", "--fail-on", "error,warning", "--allow-root", changes) == ""


def test_they_hold_what_those_of_this_machine_hold(built, tmp_path):
    for here in build_packages(tmp_path):
        there = built[here.name.partition("_")[0]]
        assert there.name == here.name
        files, others = ({_usr(path): mode for path, mode in contents(each).items()} for each in (there, here))
        assert files == others
        assert conffiles(there) == conffiles(here)
        for name in ("Version", "Provides", "Conflicts", "Replaces"):
            assert field(there, name) == field(here, name)


def _usr(path: str) -> str:
    """A path as it is where /lib is a link to /usr/lib, which all systems have and Debian 12's packages do not use."""
    return re.sub(r"^(?=/lib\b)", "/usr", path)


def test_they_install_and_a_mail_is_sent(host):
    assert host.said("systemctl is-active msmtpd.socket msmtpd-send.socket") == "active\nactive"
    host.run("printf 'Subject: hi\\n\\nho\\n' | sendmail you@example.org", user="joe")
    (mail,) = mails(host)
    assert mail.startswith("from joe@host.example\nto you@example.org\n")
    assert "(user joe at a unix socket)" in mail
    assert "to you@example.org: taken" in host.run("msmtpd --check=you@example.org").stdout
    assert host.said("ls /usr/share/msmtp-py/msmtp/__pycache__/*.bundle | wc -l") == "6"
    assert "Traceback" not in host.journal()


def test_the_launchers_start_python_as_they_are_meant_to(host):
    for name, flags in {"msmtp": "-IS", "msmtpd": "-I"}.items():
        assert host.said(f"head -n 1 /usr/bin/{name}") == f"#!/usr/bin/python3 {flags}"
