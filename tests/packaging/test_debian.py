"""The Debian packages: built of the working tree, and looked at; tests/packaging/test_hosts.py installs them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.support.host import build_packages

import msmtp

TOP = Path(__file__).parents[2]
DEBIAN = TOP / "packaging" / "debian"


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> dict[str, Path]:
    """The .deb files by the packages' names."""
    return {path.name.partition("_")[0]: path for path in build_packages(tmp_path_factory.mktemp("packages"))}


def contents(package: Path) -> dict[str, str]:
    """Permissions by path."""
    lines = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[5].removeprefix("."): line.split()[0] for line in lines}


def conffiles(package: Path) -> list[str]:
    return subprocess.run(
        ["dpkg-deb", "-I", package, "conffiles"], capture_output=True, text=True, check=True
    ).stdout.split()


def field(package: Path, name: str) -> str:
    return subprocess.run(["dpkg-deb", "-f", package, name], capture_output=True, text=True, check=True).stdout.strip()


def test_lintian_has_nothing_to_say(packages):
    changes = next(packages["msmtp-py"].parent.glob("*.changes"))
    done = subprocess.run(
        ["lintian", "--fail-on", "error,warning", "--allow-root", changes],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == ""


def test_every_override_has_its_reason():
    for path in DEBIAN.glob("*.lintian-overrides"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            assert line.startswith("#") or lines[number - 1].startswith("#"), f"{path.name}: {line}"


def test_no_module_is_where_others_would_find_it(packages):
    files = contents(packages["msmtp-py"])
    assert not [path for path in files if "dist-packages" in path]
    assert {
        "/usr/bin/msmtp",
        "/usr/share/msmtp-py/msmtp/sender/main.py",
        "/usr/share/man/man5/msmtprc.5.gz",
    } <= files.keys()
    assert [path for path in files if path.endswith(".bpf")]
    assert not [path for path in files if path.endswith((".pyc", ".bundle"))]


def test_the_mailer(packages):
    mta = packages["msmtp-py-mta"]
    files = contents(mta)
    assert {
        "/usr/sbin/sendmail",
        "/usr/lib/sendmail",
        "/usr/bin/mailq",
        "/usr/bin/newaliases",
        "/usr/bin/msmtpd",
    } <= files.keys()
    assert files["/etc/msmtpd/msmtprc"] == "-rw-------"
    assert files["/etc/msmtpd/policy"] == "-rw-r--r--"
    assert {"/etc/msmtpd.conf", "/etc/msmtpd/msmtprc", "/etc/msmtpd/policy"} <= set(conffiles(mta))
    assert field(mta, "Provides") == "mail-transport-agent"
    assert "mail-transport-agent" in field(mta, "Conflicts").split(", ")
    assert field(mta, "Replaces") == "mail-transport-agent"
    assert field(mta, "Depends").startswith("msmtp-py (= ")
    assert field(packages["msmtp-py"], "Conflicts") == "msmtp"


def test_the_packages_have_the_programs_version(packages):
    for package in packages.values():
        assert field(package, "Version").rpartition("-")[0] == msmtp.__version__


def test_the_launcher_finds_what_packages_bring_and_nothing_of_the_machine_it_was_built_on(packages, tmp_path):
    subprocess.run(["dpkg-deb", "-x", packages["msmtp-py"], tmp_path], check=True)
    text = (tmp_path / "usr/bin/msmtp").read_text()
    assert text.startswith("#!/usr/bin/python3 -IS\n")
    assert "sys.path += ['/usr/share/msmtp-py', '/usr/lib/python3/dist-packages']" in text


def test_configuration_files_are_as_shipped_understood(tmp_path):
    from msmtp.config import daemon_settings

    daemon_settings.read_file(str(DEBIAN / "etc" / "msmtpd.conf"))
    example = (DEBIAN / "etc" / "msmtpd" / "msmtprc").read_text()
    mine = tmp_path / "msmtprc"
    # without the marks of comments in front of the commands, they are an account
    mine.write_text(
        "".join(re.findall(r"(?m)^# ((?:account|host|port|tls|auth|user|password|from|aliases) .*\n)", example))
    )
    mine.chmod(0o600)
    done = subprocess.run(
        ["python3", "-m", "msmtp", "-C", mine, "--pretend", "you@example.org"],
        env={"PYTHONPATH": str(TOP / "src"), "PATH": "/usr/bin"}, input="Subject: x\n\nx\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "smtp.example.org" in done.stdout


def test_the_profile_is_one():
    done = subprocess.run(
        ["/usr/sbin/apparmor_parser", "-Q", "-K", TOP / "packaging" / "apparmor" / "usr.bin.msmtp-py"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
