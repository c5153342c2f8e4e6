"""The entry point of the image: variables and secrets in, configuration out; what is wrong is named."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.config import daemon_settings, options, reader
from msmtp.config.daemon_options import OPTIONS as DAEMON_OPTIONS
from msmtp.config.options import HIDDEN, OPTIONS, Hidden
from msmtp.daemon import container
from msmtp.failures import ConfigFailure, Failure

# A value of each kind that is not the default.
SAMPLES = {
    "text": "x", "path": "/x", "shell": "echo x", "port": "2525", "seconds": "9", "size": "99", "secret": 'a "b\\ #\'c" ',
    "fingerprint": ":".join(["00"] * 32), "conditions": "failure,delay", "sender": "a@b.example", "protocol": "lmtp",
    "method": "plain", "amount": "full", "facility": "LOG_MAIL", "auto": "off", "auto_on": "on",
    "to_header": "on", "missing": "send", "sandbox": "off", "codes": "upstream",
    "file": "/x", "log": "/x", "status": "/x", "interface": "::1", "listening_port": "2526", "unix_socket": "/x,mode=0600",
    "network": "192.0.2.0/24", "octets": "1k", "time": "9", "sessions": "9", "share": "9", "waiting": "1", "recipients": "9",
    "hops": "9", "login": "joe,echo x", "template": "cat", "domain": "a.example", "identity": "nobody",
}  # fmt: skip
ACCOUNT = {"MSMTP_HOST": "smtp.example.org"}

IN_FILE = [row for row in OPTIONS if row.command and row.note != HIDDEN and row.command not in {"account", "defaults"}]


def sample(row):
    if row.kind == "switch":
        return "off" if row.default is True else "on"
    return SAMPLES[row.kind]


def configuration(**variables):
    return container.made(variables, "/folder")[0]


def accounts(**variables):
    found, _ = reader.parse(configuration(**variables).encode("utf-8", "surrogateescape"), "file", lambda _: "")
    return found


def fault(**variables):
    with pytest.raises(ConfigFailure) as raised:
        container.made(variables, "/folder")
    return raised.value


# -- every command, every option


@pytest.mark.parametrize("row", [row for row in IN_FILE if row.command != "eval"], ids=repr)
@pytest.mark.parametrize("block", ["", "ACCOUNT_work_", "ACCOUNT_a_b_", "DEFAULTS_"])
@pytest.mark.parametrize("from_file", [False, True], ids=["said", "file"])
def test_every_command_can_be_given(row, block, from_file, tmp_path):
    value = sample(row)
    name = f"MSMTP_{block}{row.command.upper()}"
    if from_file:
        (tmp_path / "secret").write_text(f"{value}\n")
        name, value = f"{name}_FILE", str(tmp_path / "secret")
    is_default_host = row.command == "host" and block in {"", "DEFAULTS_"}
    found = accounts(**({"MSMTP_PORT": "26"} if is_default_host else ACCOUNT), **{name: value})
    of = {"": "default", "ACCOUNT_work_": "work", "ACCOUNT_a_b_": "a_b", "DEFAULTS_": "default"}[block]
    definition = found[of]
    values = {**definition.defaults, **definition.settings}
    text = sample(row)
    assert values[row.attribute] == (row.parse(text) if row.parse else text)


def test_a_command_that_prints_a_line_can_be_given():
    assert configuration(MSMTP_EVAL="echo host x") == 'account default\neval "echo host x"\n'


@pytest.mark.parametrize("row", [row for row in DAEMON_OPTIONS if row.command], ids=repr)
@pytest.mark.parametrize("from_file", [False, True], ids=["said", "file"])
def test_every_option_of_the_daemon_can_be_given(row, from_file, tmp_path):
    name, value = f"MSMTPD_{row.command.upper().replace('-', '_')}", sample(row)
    text = value
    if from_file:
        (tmp_path / "file").write_text(f"{value}\r\n")
        name, value = f"{name}_FILE", str(tmp_path / "file")
    _, made = container.made({**ACCOUNT, name: value}, "/folder")
    path = tmp_path / "options"
    path.write_text(made)
    stored = row.parse(text) if row.parse else text
    assert daemon_settings.read_file(str(path)).values[row.attribute] == ([stored] if row.repeats else stored)


def test_no_name_could_mean_two_things():
    for commands in (container.COMMANDS, container.OPTIONS):
        assert not {f"{name}_FILE" for name in commands} & set(commands)
        assert not any(name.startswith(("ACCOUNT", "DEFAULTS")) for name in commands)


# -- accounts


def test_several_accounts_stand_behind_those_that_they_begin_with():
    text = configuration(
        MSMTP_ACCOUNT="z",
        MSMTP_ACCOUNT_a="z, y",
        MSMTP_ACCOUNT_z_HOST="z.example",
        MSMTP_ACCOUNT_y_PROXY_HOST="p.example",
        MSMTP_DEFAULTS_TLS="on",
        MSMTP_ACCOUNT_a_FROM="a@example.org",
        MSMTP_PORT="26",
    )
    assert text == (
        'defaults\ntls "on"\naccount y\nproxy_host "p.example"\naccount z\nhost "z.example"\n'
        'account a : z, y\nfrom "a@example.org"\naccount default : z\nport "26"\n'
    )


def test_the_default_account_may_be_one_to_begin_with():
    assert list(accounts(MSMTP_HOST="x", MSMTP_ACCOUNT_b="default")) == ["default", "b"]


def test_an_empty_variable_is_none():
    assert (
        configuration(MSMTP_HOST="x", MSMTP_PORT="", MSMTP_NONSENSE="", MSMTPD_PORT="") == 'account default\nhost "x"\n'
    )


@given(st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), min_size=1, max_size=200))
def test_a_secret_comes_through_as_it_is(secret):
    found = accounts(MSMTP_HOST="x", MSMTP_PASSWORD=secret)
    assert found["default"].settings["password"] == Hidden(secret)


# -- mistakes


@pytest.mark.parametrize(
    ("variables", "message", "hint"),
    [
        ({"MSMTP_PROT": "25"}, "MSMTP_PROT: no such variable", "MSMTP_PORT"),
        ({"MSMTPD_PROT": "25"}, "MSMTPD_PROT: no such variable", "MSMTPD_PORT"),
        ({"MSMTP_PORT": "x"}, "MSMTP_PORT: invalid value for port", "1 to 65535"),
        ({"MSMTP_ACCOUNT_w_TLS": "maybe"}, "MSMTP_ACCOUNT_w_TLS: invalid value for tls", "'on' or 'off'"),
        ({"MSMTPD_MAX_SIZE": "huge"}, "MSMTPD_MAX_SIZE: invalid value for max-size", "octets"),
        ({"MSMTPD_PORT": "25 x"}, "MSMTPD_PORT: invalid value for port", "0 to 65535"),
        ({"MSMTP_USER": "a\npassword b"}, "MSMTP_USER: its value is no single line", "line"),
        ({"MSMTPD_DOMAIN": "a\ncommand b"}, "MSMTPD_DOMAIN: its value is no single line", "line"),
        ({"MSMTP_PASSWORD_FILE": "/none"}, "MSMTP_PASSWORD_FILE: /none: No such file or directory", "may read it"),
        ({"MSMTP_PASSWORD_FILE": "/dev/null"}, "MSMTP_PASSWORD_FILE: /dev/null is empty", ""),
        ({"MSMTP_PASSWORD_FILE": "/x", "MSMTP_PASSWORD": "y"}, "MSMTP_PASSWORD_FILE: MSMTP_PASSWORD says the same", "one"),
        ({"MSMTP_ACCOUNT_w": "v"}, "MSMTP_ACCOUNT_w: there is no account v", "msmtprc(5)"),
        ({"MSMTP_ACCOUNT_w_PROT": "25"}, "MSMTP_ACCOUNT_w_PROT: there is no account 25", "msmtprc(5)"),
        ({"MSMTP_ACCOUNT_a": "b", "MSMTP_ACCOUNT_b": "a"}, "MSMTP_ACCOUNT_a: the accounts go back to each other: a, b", ""),
        ({"MSMTP_ACCOUNT_a:b_HOST": "x"}, "MSMTP_ACCOUNT_a:b_HOST: a:b can be no account's name", "letters"),
        ({"MSMTPD_PORT": "tcp://10.0.0.1:25"}, "MSMTPD_PORT: invalid value for port", "enableServiceLinks: false"),
        ({"MSMTPD_SERVICE_HOST": "10.0.0.1"}, "MSMTPD_SERVICE_HOST: no such variable", "enableServiceLinks: false"),
        ({"MSMTP_PORT_25_TCP": "tcp://10.0.0.1:25"}, "MSMTP_PORT_25_TCP: no such variable", "Service named msmtp:"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(variables, message, hint):
    found = fault(**{**ACCOUNT, **variables})
    assert (found.message, found.code) == (message, 78)
    assert hint in found.hint


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"MSMTP_ACCOUNT_w_HOST": "x"}, "no variable says which account is the default one"),
        ({"MSMTP_DEFAULTS_TLS": "on"}, "no variable says which account is the default one"),
        ({"MSMTP_PORT": "25"}, "the account default has no server: MSMTP_HOST is not set"),
        ({}, "nothing says where mail is to go: MSMTP_HOST is not set"),
    ],
)
def test_a_sink_without_a_way_out_is_none(variables, message, monkeypatch):
    monkeypatch.setattr(container, "SYSTEM_FILE", "/none/msmtprc")
    found = fault(**variables)
    assert (found.message, found.code) == (message, 78)
    assert found.hint


def test_a_value_that_is_wrong_is_not_shown_as_it_may_be_a_secret(tmp_path):
    (tmp_path / "file").write_text("geheim")
    for variables in ({"MSMTP_PORT": "geheim"}, {"MSMTP_TLS_FILE": str(tmp_path / "file")}, {"MSMTPD_PORT": "geheim"}):
        found = fault(**ACCOUNT, **variables)
        assert "geheim" not in found.message + found.hint


def test_a_mounted_configuration_or_a_command_is_a_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(container, "SYSTEM_FILE", str(tmp_path / "msmtprc"))
    assert container.made({"MSMTPD_COMMAND": "cat"}, "/f")[0] == ""
    assert container.made({}, "/f", ["--command=cat"])[0] == ""
    (tmp_path / "msmtprc").touch()
    assert container.made({}, "/f")[0] == ""


# -- what is written, what is run


@pytest.fixture
def memory(tmp_path, monkeypatch):
    monkeypatch.setattr(container, "kind_of_file_system", lambda _: "tmpfs")
    return str(tmp_path / "memory")


def test_both_files_are_ours_alone_and_the_environment_is_clean(memory):
    environment = {**ACCOUNT, "MSMTP_PASSWORD": "geheim", "PATH": "/bin", "OTHER": "geheim", "LD_PRELOAD": "x"}
    words, passed = container.prepare(["--strict"], environment, [memory])
    assert words == ["msmtpd", f"--config={memory}/options", "--strict"]
    assert passed == {"PATH": "/bin", "HOME": memory}
    for name in (".msmtprc", "options"):
        assert stat.S_IMODE(os.stat(f"{memory}/{name}").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(memory).st_mode) == 0o700
    assert 'password "geheim"' in Path(memory, ".msmtprc").read_text()
    settings = daemon_settings.parse(words)
    assert (settings.ports, settings.log, settings.sandbox, settings.strict) == ([2525], "stdout", "try", True)
    assert settings.status_socket == f"{memory}/status"


def test_a_second_start_takes_nothing_of_the_first(memory):
    container.prepare([], ACCOUNT, [memory])
    container.prepare([], {"MSMTPD_COMMAND": "cat"}, [memory])
    assert sorted(os.listdir(memory)) == ["options"]


@pytest.mark.parametrize("word", ["--health=alive", "--status", "--check=a@b.example"])
def test_who_asks_writes_nothing(memory, word):
    words, _ = container.prepare([word], {}, [memory])
    assert words == ["msmtpd", f"--config={memory}/options", word]
    assert os.listdir(memory) == []
    assert container.prepare(["--version"], {}, ["/none"])[0] == ["msmtpd", "--version"]


def test_the_configuration_can_be_tried_with_msmtp(memory):
    container.prepare([], ACCOUNT, [memory])
    words, passed = container.prepare(["msmtp", "--serverinfo"], {}, [memory])
    assert (words, passed["HOME"]) == (["msmtp", "--serverinfo"], memory)


def test_a_folder_that_is_not_in_memory_or_not_ours_is_passed_over(tmp_path, memory):
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    assert container.private_folder(["/none/folder", str(link), memory]) == memory
    with pytest.raises(ConfigFailure, match="no folder in memory") as raised:
        container.private_folder(["/none/folder", str(link)])
    assert "mount a tmpfs at /none/folder" in raised.value.hint


def test_a_folder_on_a_disk_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(container, "kind_of_file_system", lambda _: "ext4")
    with pytest.raises(ConfigFailure, match="no folder in memory"):
        container.private_folder([str(tmp_path / "x")])


def test_file_systems_are_told_apart(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text("a / ext4 rw 0 0\nb /run tmpfs rw 0 0\nc /run/disk ext4 rw 0 0\nd /running xfs rw 0 0\n")
    kinds = {
        path: container.kind_of_file_system(path, str(mounts)) for path in ("/run/x", "/run/disk/x", "/runni", "/x")
    }
    assert kinds == {"/run/x": "tmpfs", "/run/disk/x": "ext4", "/runni": "ext4", "/x": "ext4"}


def test_a_folder_that_cannot_be_written_to_is_said(memory):
    os.mkdir(memory)
    Path(memory, "options").mkdir()
    with pytest.raises(Failure, match=f"cannot write to {memory}"):
        container.write(memory, "", "x")


def run(*words, **environment):
    code = "from msmtp.daemon.container import run; run()"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env={"PYTHONPATH": str(Path(options.__file__).parents[2]), **environment},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_mistake_is_two_lines_and_exit_78():
    done = run(MSMTP_PORT="x")
    assert done.returncode == 78
    assert done.stderr == "msmtpd: MSMTP_PORT: invalid value for port\nmsmtpd: expected a port number from 1 to 65535\n"


def test_a_program_that_is_not_there_is_said(tmp_path):
    done = run("--version", PATH=str(tmp_path))
    assert done.returncode == 71
    assert done.stderr == "msmtpd: cannot run msmtpd: No such file or directory\n"
