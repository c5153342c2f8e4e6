"""Configuration files: the grammar, the order of files, what is said about mistakes, and who may read a password."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.config import reader
from msmtp.config.account import Definition, build
from msmtp.config.options import COMMANDS, WORDS, Hidden
from msmtp.failures import SHORTAGES, ConfigFailure, Failure, FileFailure, InsecureFileFailure


def nothing(command: str) -> str:
    raise AssertionError(f"{command!r} must not be run")


def read(text: str | bytes, evaluate: object = nothing) -> dict[str, Definition]:
    octets = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return reader.parse(octets, "rc", evaluate)[0]  # type: ignore[arg-type]


def settings(text: str | bytes) -> dict[str, object]:
    """What the account default sets."""
    return read(text)["default"].settings


def fault(text: str | bytes, evaluate: object = nothing) -> ConfigFailure:
    with pytest.raises(ConfigFailure) as caught:
        read(text, evaluate)
    return caught.value


# -- lines


@pytest.mark.parametrize(
    "text",
    [
        "host mail.example\nuser joe\n",
        "host mail.example\nuser joe",
        "host mail.example\r\nuser joe\r\n",
        "\n\n# a comment\n   # another\nhost mail.example\n\t\nuser joe\n",
        "  host\tmail.example  \n\tuser \t joe\t\n",
        'host "mail.example"\nuser "joe"\n',
        'host   "mail.example"  \r\nuser "joe" \n',
        "\ufeffhost mail.example\nuser joe\n",
        "host other.example\nhost mail.example\nuser joe\n",
    ],
)
def test_one_file_written_in_many_ways(text: str) -> None:
    assert settings(text) == {"host": "mail.example", "user": "joe"}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('user "a b"', "a b"),
        ('user "  a  "', "  a  "),
        ("user a  b", "a  b"),
        ('user a"b"', 'a"b"'),
        ('user "a"b"', 'a"b'),
        ('user "a', '"a'),
        ('user a"', 'a"'),
        ('user "', '"'),
        ('user ""', ""),
        ("user", ""),
        ("user #1", "#1"),
        (r"user a\b\"", r"a\b\""),
        ("user \u00e4\u00a0", "\u00e4\u00a0"),
        ("user \u3000x", "\u3000x"),
    ],
)
def test_quotes_go_only_if_they_are_at_both_ends_and_nothing_is_escaped(written: str, value: str) -> None:
    assert settings(written) == {"user": value}


def test_octets_that_are_no_utf8_come_through() -> None:
    assert os.fsencode(str(settings(b"user J\xfcrgen")["user"])) == b"J\xfcrgen"


def test_a_line_may_be_long_but_not_endless() -> None:
    token = "x" * 8000
    assert settings(f"password {token}")["password"] == Hidden(token)
    assert fault("host x\nuser " + "x" * 70000).message == "rc: line 2: longer than 65536 characters"
    with pytest.raises(ConfigFailure, match="rc: line 1: longer than 10 characters"):
        reader.parse(b"host abcdefgh", "rc", nothing, limit=10)


def test_a_nul_is_no_part_of_a_setting() -> None:
    assert fault(b"host x\nuser a\0b\n").message == "rc: line 2: contains a NUL octet"


# -- values


@pytest.mark.parametrize(
    ("line", "attribute", "value"),
    [
        ("port 0x19", "port", 25),
        ("port 031", "port", 25),
        ("timeout off", "timeout", 0),
        ("timeout 30", "timeout", 30),
        ("connect_timeout 30", "timeout", 30),
        ("tls", "tls", True),
        ("tls off", "tls", False),
        ("tls_nostarttls", "tls_starttls", False),
        ("tls_nocertcheck", "tls_certcheck", False),
        ("keepbcc", "remove_bcc_headers", False),
        ("keepbcc off", "remove_bcc_headers", True),
        ("auth", "auth", "on"),
        ("auth off", "auth", ""),
        ("auth scram-sha-256", "auth", "scram-sha-256"),
        ("syslog", "syslog", "LOG_USER"),
        ("syslog LOG_LOCAL7", "syslog", "LOG_LOCAL7"),
        ("syslog off", "syslog", ""),
        ("dsn_notify off", "dsn_notify", ""),
        ("dsn_notify never", "dsn_notify", "NEVER"),
        ("dsn_notify success,failure", "dsn_notify", "SUCCESS,FAILURE"),
        ("dsn_return headers", "dsn_return", "HDRS"),
        ("set_from_header", "set_from_header", "auto"),
        ("add_missing_from_header on", "set_from_header", "auto"),
        ("add_missing_date_header off", "set_date_header", "off"),
        ("set_to_header", "set_to_header", "on"),
        ("undisclosed_recipients", "set_to_header", "undisclosed_recipients"),
        ("undisclosed_recipients off", "set_to_header", "off"),
        ("from <>", "from_", ""),
        ("from", "from_", ""),
        ("tls_trust_file", "tls_trust_file", ""),
        ("proxy_port", "proxy_port", 0),
        ("tls_min_dh_prime_bits 512", "tls_min_dh_prime_bits", 512),
        ("allow_from_override", "allow_from_override", True),
        ("partial_recipients", "partial_recipients", True),
        ("missing_extension send", "missing_extension", "send"),
        ("exit_codes upstream", "exit_codes", "upstream"),
    ],
)
def test_a_value_is_stored_as_account_has_it(line: str, attribute: str, value: object) -> None:
    assert settings(line) == {attribute: value}


def test_what_is_ignored_is_read_all_the_same() -> None:
    assert settings("tls_force_sslv3\nhost x") == {"host": "x"}


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("hots x", "unknown command hots", "did you mean 'host'?"),
        ("tls-starttls on", "unknown command tls-starttls", "did you mean 'tls_starttls'?"),
        ("h\udcffst x", "unknown command h\udcffst", "did you mean 'host'?"),
        ("\udcff=x", "unknown command \udcff=x", ""),
        ("HOST x", "unknown command HOST", "did you mean 'host'?"),
        ("frobnicate", "unknown command frobnicate", ""),
        ("host=x", "unknown command host=x", "write a blank between the command and its argument: host ..."),
        ("tls yes", "invalid argument yes for command tls", "expected 'on' or 'off'"),
        ("tls onn", "invalid argument onn for command tls", "expected 'on' or 'off'; did you mean 'on'?"),
        ("tls on # always", "invalid argument on # always for command tls",
         "expected 'on' or 'off'; a comment needs a line of its own"),
        ("auth plian", "invalid argument plian for command auth", "did you mean 'plain'?"),
        ("auth PLAIN", "invalid argument PLAIN for command auth", "did you mean 'plain'?"),
        ("port smtp", "invalid argument smtp for command port", "expected a port number from 1 to 65535"),
        ("port 0", "invalid argument 0 for command port", "from 1 to 65535"),
        ("port", "command port needs an argument", "expected a port number from 1 to 65535"),
        ("host", "command host needs an argument", ""),
        ('host ""', "command host needs an argument", ""),
        ("timeout 0", "invalid argument 0 for command timeout", "expected 'off' or a number of seconds greater than 0"),
        ("timeout 5s", "invalid argument 5s for command timeout", "a number of seconds"),
        ("dsn_notify failure, delay", "invalid argument failure, delay for command dsn_notify", "no blanks"),
        ("dsn_notify failure,failure", "invalid argument failure,failure for command dsn_notify", "commas"),
        ("dsn_return some", "invalid argument some for command dsn_return", "expected 'off', 'headers' or 'full'"),
        ("tls_fingerprint 00:11", "invalid argument 00:11 for command tls_fingerprint", "SHA256"),
        ("tls_nostarttls on", "command tls_nostarttls does not take an argument", ""),
        ("defaults x", "command defaults does not take an argument", ""),
        ("eval", "command eval needs an argument", ""),
        ("account", "missing account name", ""),
        ("account :", "missing account name", ""),
        ("account a,b", "an account name must not contain colons or commas", ""),
        ("account work : base", "account base not (yet) defined", ""),
        ("account work : defualt", "account defualt not (yet) defined", "did you mean 'default'?"),
        ("account work : default,", "missing account name", ""),
        ("account default", "account default was already defined", ""),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_and_line_and_what_would_be_right(line: str, message: str, hint: str) -> None:
    failure = fault(f"host x\n\n{line}\n")
    assert failure.message == f"rc: line 3: {message}"
    assert hint in failure.hint


def test_a_mistake_in_an_account_that_nobody_uses_is_an_error_too() -> None:
    assert fault("account default\nhost x\naccount other\nport no\n").message.startswith("rc: line 4: ")


# -- accounts


def test_commands_before_any_account_belong_to_default() -> None:
    assert list(read("host x\naccount b\nhost y")) == ["default", "b"]


def test_defaults_hold_for_the_accounts_below_them_and_change_nothing_above() -> None:
    found = read("account a\ndefaults\nport 1\ntls\naccount b\ndefaults\nport 2\naccount c\nport 3")
    assert [build(found[name], {}).port for name in "abc"] == [0, 1, 3]
    assert [build(found[name], {}).tls for name in "abc"] == [False, True, True]


def test_an_account_inherits_what_the_others_set_and_not_their_defaults() -> None:
    text = (
        "defaults\nport 1\ntimeout 1\naccount a\nhost x\ntimeout 4\naccount b\nuser joe\nhost y\n"
        "defaults\nport 2\ntimeout 2\naccount c : a, b\naccount d : c\nuser jim\n"
    )
    account = build(read(text)["d"], {})
    assert (account.host, account.port, account.timeout, account.user) == ("y", 2, 4, "jim")


def test_what_an_account_sets_later_does_not_reach_those_that_inherited() -> None:
    found = read("account a\nhost x\naccount b : a\nhost y\naccount c : a")
    assert build(found["a"], {}).host == build(found["c"], {}).host == "x"


@pytest.mark.parametrize(
    "line", ["account b:a", "account b : a", 'account "b : a"', "account b  :\ta\t", "account\tb :a", "account b :  a"]
)
def test_blanks_around_names_do_not_matter(line: str) -> None:
    assert build(read(f"account a\nhost x\n{line}")["b"], {}).host == "x"


def test_names_may_have_blanks_inside() -> None:
    assert list(read('account "my work"\nhost x')) == ["my work"]


def test_home_is_put_in_for_a_tilde_in_names_of_files(home: Path) -> None:
    definition = read("logfile ~/log\naliases ~\nsocket ~/s\ntls_trust_file a~b\npasswordeval cat ~/x")["default"]
    account = build(definition, {"tls_crl_file": "~/crl"})
    assert account.logfile == f"{home}/log"
    assert account.aliases == str(home)
    assert account.socket == f"{home}/s"
    assert account.tls_crl_file == f"{home}/crl"
    assert account.tls_trust_file == "a~b"
    assert account.passwordeval == "cat ~/x"


# -- eval


def test_eval_stands_for_the_line_that_its_command_prints() -> None:
    said = {"one": "host mail.example", "two": "account work", "three": "# nothing", "four": "  port  25 ", "five": ""}
    found = read("eval one\neval three\neval five\neval two\neval four\n", said.__getitem__)
    assert found["default"].settings == {"host": "mail.example"}
    assert found["work"].settings == {"port": 25}


def test_eval_does_not_evaluate_again() -> None:
    failure = fault("eval x", lambda _: "eval y")
    assert failure.message == "rc: line 1: unknown command eval"
    assert failure.hint == "what an eval command prints cannot be one again"


def test_a_mistake_in_what_eval_printed_is_one_of_its_line() -> None:
    assert fault("host x\neval x", lambda _: "port no").message == "rc: line 2: invalid argument no for command port"


def test_a_command_that_fails_is_an_error_of_its_line() -> None:
    def fail(command: str) -> str:
        raise ConfigFailure(f"cannot read output of '{command}'", hint="it ended with 1")

    failure = fault("host x\neval false", fail)
    assert failure.message == "rc: line 2: cannot read output of 'false'"
    assert failure.hint == "it ended with 1"


# -- files


def load(file: Path | None = None, system: Path | str = "/nonexistent/msmtprc") -> reader.Configuration:
    configuration = reader.Configuration()
    reader.load(configuration, str(file) if file else None, nothing, str(system))
    return configuration


def test_the_user_s_file_is_msmtprc_unless_only_the_modern_one_exists(home: Path) -> None:
    plain, modern = home / ".msmtprc", home / ".config/msmtp/config"
    assert reader.user_file() == str(plain)
    modern.parent.mkdir(parents=True)
    modern.touch()
    assert reader.user_file() == str(modern)
    plain.touch()
    assert reader.user_file() == str(plain)


def test_the_modern_file_moves_with_xdg_config_home(home: Path) -> None:
    modern = home / "elsewhere/msmtp/config"
    modern.parent.mkdir(parents=True)
    modern.touch()
    assert reader.user_file({"HOME": str(home), "XDG_CONFIG_HOME": f"{home}/elsewhere"}) == str(modern)
    assert reader.user_file({"HOME": str(home), "XDG_CONFIG_HOME": ""}) == f"{home}/.msmtprc"


def test_without_any_file_nothing_is_wrong_yet(home: Path) -> None:
    configuration = load()
    assert configuration.definitions == {}
    assert configuration.warnings == configuration.files == []
    assert configuration.notes == [
        "ignoring system configuration file /nonexistent/msmtprc: No such file or directory",
        f"ignoring user configuration file {home}/.msmtprc: No such file or directory",
    ]


def test_accounts_of_the_user_replace_those_of_the_system_and_stand_behind_the_rest(tmp_path: Path) -> None:
    system, user = tmp_path / "system", tmp_path / "user"
    system.write_text("account a\nhost s\naccount b\nhost s\naccount c\nhost s\n")
    user.write_text("account d\nhost u\naccount b\nhost u\n")
    configuration = load(user, system)
    assert list(configuration.definitions) == ["a", "c", "d", "b"]
    assert configuration.definitions["b"].file == str(user)
    assert configuration.files == [str(system), str(user)]
    assert configuration.notes == [
        f"loaded system configuration file {system}",
        f"loaded user configuration file {user}",
    ]


def test_accounts_of_another_file_cannot_be_inherited(tmp_path: Path) -> None:
    system, user = tmp_path / "system", tmp_path / "user"
    system.write_text("account a\nhost s\n")
    user.write_text("account b : a\n")
    with pytest.raises(ConfigFailure, match=r"line 1: account a not \(yet\) defined"):
        load(user, system)


@pytest.mark.parametrize("name", ["missing", "missing/below", "a\0b"])
def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileFailure, match=r"missing|embedded"):
        load(tmp_path / name)


def test_a_folder_is_no_configuration_file(tmp_path: Path) -> None:
    with pytest.raises(FileFailure) as caught:
        load(tmp_path)
    assert caught.value.message == f"{tmp_path}: input error"
    assert caught.value.hint == "Is a directory"


def test_a_file_without_end_is_no_configuration_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "FILE_LIMIT", 1000000)
    with pytest.raises(FileFailure, match="/dev/zero: input error"):
        load(Path("/dev/zero"))


def unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that cannot be opened, even if root runs the tests."""
    file = tmp_path / "closed"
    file.write_text("host x\n")
    file.chmod(0)
    really = os.open

    def refuse(name: str, *rest: int) -> int:
        if name == str(file):
            raise PermissionError(13, "Permission denied")
        return really(name, *rest)

    monkeypatch.setattr(os, "open", refuse)
    return file


def test_a_system_file_that_cannot_be_read_is_said_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = unreadable(tmp_path, monkeypatch)
    configuration = load(system=file)
    assert configuration.warnings == [f"cannot read system configuration file {file}: Permission denied"]
    assert configuration.notes[0] == f"ignoring system configuration file {file}: Permission denied"


def test_a_user_s_file_that_cannot_be_read_is_said_and_left_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = unreadable(home, monkeypatch)
    monkeypatch.setattr(reader, "user_file", lambda: str(file))
    assert load().warnings == [f"cannot read user configuration file {file}: Permission denied"]


def test_a_file_asked_for_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileFailure, match="closed: Permission denied"):
        load(unreadable(tmp_path, monkeypatch))


@pytest.mark.parametrize("number", [errno.ENFILE, errno.EMFILE, errno.ENOMEM, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("whose", ["system", "user"])
def test_a_file_that_the_machine_cannot_open_just_now_is_not_taken_for_none(
    home: Path, monkeypatch: pytest.MonkeyPatch, whose: str, number: int
) -> None:
    """Without it, the mail would go out by the account of the other file."""
    system, user, modern = home / "system", home / ".msmtprc", home / ".config/msmtp/config"
    modern.parent.mkdir(parents=True)
    for file in (system, user, modern):
        file.write_text("account default\nhost x\n")
    away = str(system if whose == "system" else user)

    def refusing(really: Callable[..., object]) -> Callable[..., object]:
        def refuse(name: str, *rest: object, **more: object) -> object:
            if name == away:
                raise OSError(number, os.strerror(number))
            return really(name, *rest, **more)

        return refuse

    monkeypatch.setattr(os, "open", refusing(os.open))
    monkeypatch.setattr(os, "stat", refusing(os.stat))
    with pytest.raises(FileFailure) as caught:
        load(system=system)
    assert caught.value.message == f"{away}: {os.strerror(number)}"
    assert caught.value.code == (71 if number in SHORTAGES else 74)


# -- a password in the file


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not root: the owner of the files is the user."""
    owner = os.geteuid() or 1000
    really = os.fstat
    monkeypatch.setattr(os, "geteuid", lambda: owner)

    def owned(descriptor: int) -> os.stat_result:
        status = list(really(descriptor))
        status[4] = status[4] or owner
        return os.stat_result(status)

    monkeypatch.setattr(os, "fstat", owned)


@pytest.mark.usefixtures("somebody")
@pytest.mark.parametrize("mode", [0o600, 0o400, pytest.param(0o200, marks=pytest.mark.root)])
def test_a_password_may_stand_in_a_file_that_only_its_owner_reads(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "rc"
    file.write_text("host x\npassword secret\n")
    file.chmod(mode)
    assert load(file).definitions["default"].settings["password"] == Hidden("secret")


@pytest.mark.usefixtures("somebody")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o601, 0o700, 0o620])
@pytest.mark.parametrize("line", ["password secret", "password", "account other\npassword x"])
def test_a_password_may_not_stand_in_a_file_that_others_read(tmp_path: Path, mode: int, line: str) -> None:
    file = tmp_path / "rc"
    file.write_text(f"defaults\n{line}\n")
    file.chmod(mode)
    with pytest.raises(InsecureFileFailure) as caught:
        load(file)
    words = "contains secrets and therefore must have no more than user read/write permissions"
    assert caught.value.message == f"{file}: {words}"
    assert caught.value.hint == f"run: chmod 600 {file}"


@pytest.mark.usefixtures("somebody")
def test_a_password_may_not_stand_in_somebody_else_s_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rc"
    file.write_text("password secret\n")
    file.chmod(0o600)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(InsecureFileFailure) as caught:
        load(file)
    assert caught.value.message == f"{file}: contains secrets and therefore must be owned by you"


@pytest.mark.usefixtures("somebody")
@pytest.mark.parametrize("line", ["passwordeval cat x", "# password x", "user password"])
def test_what_is_no_password_may_be_read_by_all(tmp_path: Path, line: str) -> None:
    file = tmp_path / "rc"
    file.write_text(f"host x\n{line}\n")
    file.chmod(0o644)
    assert "default" in load(file).definitions


@pytest.mark.usefixtures("somebody")
def test_a_password_that_eval_prints_does_not_stand_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rc"
    file.write_text("eval x\n")
    file.chmod(0o644)
    configuration = reader.Configuration()
    reader.load(configuration, str(file), lambda _: "password secret", "/nonexistent")
    assert configuration.definitions["default"].settings["password"] == Hidden("secret")


@pytest.mark.usefixtures("somebody")
def test_the_system_s_file_is_the_administrator_s_business(tmp_path: Path) -> None:
    file = tmp_path / "system"
    file.write_text("password secret\n")
    file.chmod(0o644)
    assert "default" in load(system=file).definitions


def test_root_may_read_what_it_likes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    file = tmp_path / "rc"
    file.write_text("password secret\n")
    file.chmod(0o644)
    assert "default" in load(file).definitions


# -- whatever a file holds

COMMAND = st.sampled_from(sorted(COMMANDS)) | st.binary(max_size=12)
ARGUMENT = (
    st.sampled_from(sorted({word.encode() for words in WORDS.values() for word in words}))
    | st.sampled_from([b"a : b", b"a", b"b : a", b'"', b'""', b"0x", b"1", b"99999999999999999999", b"a,b", b"~"])
    | st.binary(max_size=40)
)
LINE = st.tuples(COMMAND, st.sampled_from([b" ", b"\t", b"  ", b"", b"\r"]), ARGUMENT).map(b"".join)


def outcome(text: bytes) -> object:
    """The definitions, or what is wrong."""
    try:
        return read(text, lambda command: command)
    except Failure as failure:
        return failure.message


@given(st.lists(LINE | st.binary(max_size=60), max_size=20))
def test_a_file_is_read_or_refused_and_nothing_else_happens(lines: list[bytes]) -> None:
    found = outcome(b"\n".join(lines))
    if isinstance(found, dict):
        for definition in found.values():
            build(definition, {})
    else:
        assert re.fullmatch(r"rc: line [0-9]+: [^\n]+", str(found))


@given(st.lists(LINE, max_size=10))
def test_line_ends_and_blanks_around_a_line_change_nothing(lines: list[bytes]) -> None:
    # A mark of the byte order counts only as the first thing in a file.
    lines = [line.replace(b"\r", b"").replace(b"\xef\xbb\xbf", b"") for line in lines]
    plain, spaced = outcome(b"\n".join(lines)), outcome(b"".join(b" \t" + line + b" \r\n" for line in lines))
    if isinstance(plain, dict) and isinstance(spaced, dict):
        plain = {name: definition.settings for name, definition in plain.items()}
        spaced = {name: definition.settings for name, definition in spaced.items()}
    assert plain == spaced
