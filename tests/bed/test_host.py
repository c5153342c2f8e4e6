"""Booted hosts do not meet one another, and leave nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.host import SUITES, Host

pytestmark = [pytest.mark.booted, pytest.mark.root, pytest.mark.timeout(300)]


def groups(pid: int) -> set[str]:
    """Where a process is in the hierarchies that systemd looks at."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return {line for line in lines if line.split(":")[1] in ("", "name=systemd")}


def test_two_hosts_are_in_control_groups_of_their_own(tmp_path):
    for suite in SUITES:
        (tmp_path / suite).mkdir()
    with Host(SUITES[0], tmp_path / SUITES[0]) as one, Host(SUITES[1], tmp_path / SUITES[1]) as two:
        for host in (one, two):
            host.run("systemd-run -q --unit=sleeping sleep 1000")
        assert one.groups
        assert len(groups(one.first)) == len(one.groups)
        assert not groups(one.first) & groups(two.first)
        assert one.said("cat /proc/self/cgroup").splitlines()[-1] == "0::/init.scope"
        # A unit's end waits for nothing of the other host's unit of that name, and kills nothing of it.
        one.run("systemctl stop sleeping", seconds=20)
        assert two.said("systemctl is-active sleeping") == "active"
        folders = one.groups + two.groups
        assert all(folder.is_dir() for folder in folders)
    assert not any(folder.exists() for folder in folders)
