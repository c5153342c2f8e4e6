"""The project's own files: what README says to run exists, what is listed has its reason, links lead somewhere."""

import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]

# Not ours: what .gitignore names, and the version control's own.
IGNORED = {".git", *(line.strip("/") for line in (TOP / ".gitignore").read_text().split() if "*" not in line)}


def files():
    for folder, names, here in os.walk(TOP):
        names[:] = sorted(name for name in names if name not in IGNORED and not name.endswith((".egg-info", "_cache")))
        yield from (Path(folder) / name for name in sorted(here) if not name.endswith(".pyc"))


def name(path):
    return str(path.relative_to(TOP))


def is_text(path):
    return b"\0" not in path.read_bytes()[:4096]


FILES = list(files())
TEXTS = [path for path in FILES if is_text(path)]
SCRIPTS = [path for path in TEXTS if path.read_bytes().startswith(b"#!") and path.suffix != ".in"]
DOCUMENTS = [path for path in TEXTS if path.suffix == ".md"]

# Words that say "not done", in pieces so that this line is not found.
UNDONE = re.compile("|".join((r"\bTO" + "DO", r"\bFIX" + "ME", r"\bXX" + r"X\b")))


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_a_file_says_nothing_about_where_or_by_whom_it_was_made_and_leaves_nothing_undone(path):
    text = path.read_text(errors="replace")
    assert not UNDONE.search(text)
    assert f"{TOP}/" not in text
    assert not re.search(r"/(home|Users|root)/(?!joe\b|user\b|you\b|\.\.)\w", text)


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_a_text_file_ends_with_a_newline_and_has_no_trailing_space(path):
    data = path.read_bytes()
    if path.suffix in {".eml", ".mail", ".msg", ".txt"} and "tests" in path.parts:
        return  # samples are as they must be
    assert data.endswith(b"\n") or not data
    if path.suffix in {".py", ".sh", ".md", ".toml"}:
        assert not re.search(rb"[ \t]\r?\n", data)


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_a_script_can_be_run_and_parsed(path):
    assert path.stat().st_mode & stat.S_IXUSR or path.suffix == ".py"
    if path.read_bytes().startswith((b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash")):
        shell = "bash" if b"bash" in path.read_bytes()[:30] else "sh"
        subprocess.run([shell, "-n", path], check=True)
    elif path.read_bytes().startswith(b"#!/usr/bin/make"):
        subprocess.run(["make", "-n", "-f", path, "clean"], check=True, capture_output=True)
    else:
        compile(path.read_text(), str(path), "exec")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_and_commands_of_a_document_lead_somewhere(path):
    text = path.read_text()
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
        assert (path.parent / target).exists(), target
    for command in re.findall(r"(?<![\w/.])\./((?:scripts|\.ci|bench|packaging)/[\w./-]*\w)", text):
        assert (TOP / command).exists(), command


def test_the_first_screen_of_the_readme_names_the_two_commands():
    screen = "\n".join((TOP / "README.md").read_text().split("\n")[:40])
    assert "./scripts/demo" in screen
    assert "./scripts/test" in screen


def test_every_debian_package_has_a_purpose_and_a_reason():
    rows = [line for line in (TOP / "scripts/debian-packages.txt").read_text().split("\n") if line and line[0] != "#"]
    names = []
    for row in rows:
        match = re.fullmatch(r"([a-z0-9.+-]+)((?: +(?:demo|test))+) {2,}(\S.*)", row)
        assert match, row
        names.append(match[1])
    assert sorted(set(names)) == sorted(names)


def test_every_development_package_has_a_reason():
    rows = [line for line in (TOP / "requirements-dev.txt").read_text().split("\n") if line and line[0] != "#"]
    for row in rows:
        assert re.fullmatch(r"[\w.-]+(\[\w+\])?(>=|==)[\w.]+ +# \S.*", row), row


def test_the_extras_can_be_tested_with_what_is_installed_for_tests():
    extras = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = {re.split(r"[><=]", row)[0].lower() for rows in extras.values() for row in rows}
    there = {re.split(r"[><=\[ ]", row)[0].lower() for row in (TOP / "requirements-dev.txt").read_text().split("\n")}
    packages = (TOP / "scripts/debian-packages.txt").read_text()
    missing = {library for library in wanted - there if f"python3-{library.removesuffix('-python')}" not in packages}
    assert missing == set()


def test_tests_mirror_packages():
    packages = {path.name for path in (TOP / "src/msmtp").iterdir() if (path / "__init__.py").exists()}
    of_their_own = {"bed", "bench", "differential", "packaging", "peers", "support"}
    folders = {path.name for path in (TOP / "tests").iterdir() if path.is_dir() and path.name not in IGNORED}
    assert folders - packages - of_their_own == set()


def test_generated_files_are_as_their_generators_make_them():
    command = [sys.executable, TOP / "scripts/generate-all", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
