"""--help names every option; --version begins as scripts know it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import msmtp
from msmtp.config import daemon_help
from msmtp.config.daemon_options import OPTIONS

# What the C program's --help says (1.8.23, 1.8.28), but for its words.
USUAL = ("--version", "--help", "--inetd", "--interface=ip", "--port=number", "--auth=user[,passwordeval]")


def test_help_names_every_option_in_lines_of_eighty_columns() -> None:
    lines = daemon_help.help_text().splitlines()
    begun = {line.split("=")[0].split("[")[0].split()[0] for line in lines if line.startswith("  --")}
    assert begun == {f"--{row.long}" for row in OPTIONS}
    assert max(map(len, lines)) <= 80
    assert set(USUAL) <= {line.split()[0] for line in lines if line.startswith("  --")}


def test_version_begins_as_scripts_know_it() -> None:
    lines = daemon_help.version_text().splitlines()
    assert lines[0] == f"msmtpd version {msmtp.__version__}"
    assert any(line.startswith("Copyright (C) ") for line in lines)


@pytest.mark.parametrize(("what", "name"), daemon_help.LIBRARIES)
def test_version_tells_which_libraries_are_there(what: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for there, word in ((True, "enabled"), (False, "disabled")):
        monkeypatch.setattr(daemon_help, "installed", lambda asked, there=there: (asked == name) == there)
        assert f"{what}: {word}" in daemon_help.version_text().splitlines()


def test_settings_cost_little() -> None:
    """The processes of the daemon stay small: what reads the settings brings nothing large along."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from msmtp.config import daemon_settings\n"
        "daemon_settings.parse(['msmtpd', '--port=2500', '--auth=u,c', '--proxy-protocol=::1', '--command=cat'])\n"
        "print(*sys.modules)"
    )
    source = msmtp.__path__[0].removesuffix("msmtp")
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, source], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {"re", "enum", "typing", "socket", "ssl", "argparse", "logging", "dataclasses", "shlex", "ipaddress"}
    assert not loaded & (heavy | {"msmtp.config.texts", "msmtp.config.daemon_texts", "msmtp.config.explain"})
