"""What pip makes of the project: what is in the wheel and the source distribution, and both installed as README says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from tests.support.scripted import Polite, ScriptedServer
from tests.support.sending import MAIL

TOP = Path(__file__).parents[2]
PROGRAMS = ("msmtp", "msmtpd")

# Where a compiler is asked for, there is none; what is on the machine is out of sight.
WITHOUT_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false"}


def listed() -> list[Path]:
    """The project's files, as version control has them; all that is new, too."""
    words = ["git", "-C", TOP, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split("\0")[:-1]
    return [Path(name) for name in names if (TOP / name).is_file()]


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy, as somebody has it who fetched the project."""
    folder = tmp_path_factory.mktemp("tree")
    for name in listed():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TOP / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def built(tree, tmp_path_factory) -> Path:
    """The folder with what ``python -m build`` makes: the wheel out of the source distribution."""
    folder = tmp_path_factory.mktemp("built")
    leftovers = tree / "src" / "msmtp" / "__pycache__"
    leftovers.mkdir()
    (leftovers / "exits.cpython-311.pyc").write_bytes(b"")
    (tree / "tests" / "__pycache__").mkdir()
    (tree / "tests" / "__pycache__" / "x.pyc").write_bytes(b"")
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, tree]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def modules() -> set[str]:
    below = {name for name in listed() if name.parts[:2] == ("src", "msmtp")}
    return {str(name.relative_to("src")) for name in below}


def test_the_wheel_is_for_every_machine(built):
    (wheel,) = built.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_wheel_has_the_modules_the_filters_and_both_programs(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        text = archive.read(metadata).decode()
        scripts = {name: archive.read(name) for name in names if ".data/scripts/" in name}
    ours = {name for name in names if name.startswith("msmtp/")}
    assert ours == modules()
    assert any(name.endswith(".bpf") for name in ours)
    assert "msmtp/py.typed" in ours
    assert {Path(name).name for name in scripts} == set(PROGRAMS)
    assert all(text.startswith(b"#!python\n") for text in scripts.values())
    assert {Path(name).name for name in names - ours - set(scripts)} == {
        "METADATA", "WHEEL", "RECORD", "top_level.txt", "LICENSE",
    }  # fmt: skip
    assert "Requires-Python: >=3.11\n" in text
    assert not [line for line in text.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line]


def test_the_source_distribution_has_all_that_it_takes_to_test_and_package_it(built):
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if "/" in name}
        files = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
        modes = {member.name.partition("/")[2]: member.mode for member in archive.getmembers()}
    made = {name for name in files if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
    assert files - made == {str(name) for name in listed()}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert modes["scripts/test"] & 0o111


# -- installed; pip fetches what builds the project from where it is set to look


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """Without a compiler, and without what a test has in its environment."""
    home = tmp_path_factory.mktemp("home")
    found = {**os.environ, **WITHOUT_COMPILER, "HOME": str(home), "PIPX_HOME": f"{home}/pipx"}
    found |= {"PIPX_BIN_DIR": f"{home}/bin", "PIPX_MAN_DIR": f"{home}/man", "PIPX_DEFAULT_PYTHON": base_python()}
    for name in ("PYTHONPATH", "VIRTUAL_ENV"):
        found.pop(name, None)
    return found


def base_python() -> str:
    return str(getattr(sys, "_base_executable", sys.executable))


def run(words, environment, folder=None):
    done = subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def by_pip(tree, environment, folder):
    venv.create(folder / "venv", with_pip=True)
    run([folder / "venv/bin/pip", "install", "-q", "--disable-pip-version-check", "."], environment, tree)
    return folder / "venv" / "bin"


def by_pipx(tree, environment, _folder):
    run([sys.executable, "-m", "pipx", "install", "."], environment, tree)
    return Path(environment["PIPX_BIN_DIR"])


@pytest.mark.booted
@pytest.mark.timeout(600)
@pytest.mark.parametrize("install", [by_pip, by_pipx])
def test_it_is_installed_by_one_command_without_a_compiler(install, tree, environment, tmp_path):
    programs = install(tree, environment, tmp_path)
    for program in PROGRAMS:
        assert run([programs / program, "--version"], environment, tmp_path).stdout.startswith(f"{program} version ")
        text = (programs / program).resolve().read_text()
        assert "import re" not in text
    with ScriptedServer(Polite()) as server:
        words = [programs / "msmtp", "--host=127.0.0.1", f"--port={server.port}", "--from=a@b.example", "c@d.example"]
        done = subprocess.run(words, input=MAIL, env=environment, capture_output=True, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (0, b"")
    assert server.sessions[0].mails[0].recipients == [b"<c@d.example>"]
    sandboxed = subprocess.run(
        [programs / "msmtpd", "--inetd", "--command=cat", *(["--user=nobody"] if not os.geteuid() else [])],
        input=b"QUIT\r\n", env=environment, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert sandboxed.stdout.startswith(b"220 localhost ESMTP"), sandboxed.stderr
    assert b"\r\n221 " in sandboxed.stdout
