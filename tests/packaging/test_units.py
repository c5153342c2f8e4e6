"""The units of systemd, looked at without a systemd that runs; tests/packaging/test_hosts.py has one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"
SERVICES = ("msmtpd.service", "msmtpd@.service", "msmtpd-send.service")
MOST = 1.5


def settings(path: Path) -> dict[str, list[str]]:
    """What a unit says: the values of each name, in their order."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if line[:1].isalpha():
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("name", SERVICES)
def test_exposure(name: str, tmp_path: Path):
    unit = tmp_path / name.replace("@.", "@one.")
    shutil.copy(UNITS / name, unit)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST * 10:.0f}", "--no-pager", unit],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    level = re.search(r"Overall exposure level for \S+ (\d+\.\d)", done.stdout)
    assert level, done.stdout + done.stderr
    assert float(level[1]) <= MOST, done.stdout
    assert done.returncode == 0, done.stdout


def test_what_meets_clients_opens_no_connection():
    for name in ("msmtpd.service", "msmtpd@.service"):
        said = settings(UNITS / name)
        assert said["RestrictAddressFamilies"] == ["AF_UNIX AF_NETLINK"]
        assert said["IPAddressDeny"] == ["any"]
        assert not any("msmtprc" in value for value in said["LoadCredential"])


def test_both_services_for_clients_are_confined_alike():
    alike = [settings(UNITS / name) for name in ("msmtpd.service", "msmtpd@.service")]
    for word in ("Protect", "Private", "Restrict", "SystemCall", "Capab", "NoNew", "Lock", "Memory", "Limit"):
        confining = [{name: value for name, value in one.items() if name.startswith(word)} for one in alike]
        assert confining[0] == confining[1]
        assert confining[0]


def test_passwords_are_credentials_and_nothing_else_is_a_secret():
    for path in UNITS.rglob("*.service"):
        said = settings(path)
        assert not {"Environment", "EnvironmentFile", "SetCredential"} & said.keys(), path


def test_the_users_of_the_units_are_made():
    made = set(re.findall(r"^u (\S+)", (UNITS / "sysusers.d" / "msmtpd.conf").read_text(), re.MULTILINE))
    from msmtp.daemon.privileges import NAMES

    assert made == set(NAMES.values())
    used = {value for name in SERVICES for value in settings(UNITS / name)["User"]}
    used |= {value for path in UNITS.glob("*.socket") for value in settings(path).get("SocketUser", [])}
    assert used <= made


def test_no_process_waits_longer_than_its_unit_has_patience():
    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon import keeper

    assert int(settings(UNITS / "msmtpd.service")["TimeoutStopSec"][0]) > keeper.STOP_PATIENCE
    assert int(settings(UNITS / "msmtpd-send.service")["TimeoutStopSec"][0]) > Settings().command_timeout
