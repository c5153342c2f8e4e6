"""msmtpd's command line and file of options are taken apart as documented, and mistakes are said with what to do."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.config import daemon_settings
from msmtp.config.daemon_options import OPTIONS, DaemonOption
from msmtp.config.daemon_settings import Settings, UnixSocket, parse, reread
from msmtp.config.daemon_values import parse_network
from msmtp.config.options import MAY, MUST, NONE, OWN
from msmtp.exits import EX_CONFIG, EX_USAGE
from msmtp.failures import ConfigFailure, Failure, FileFailure, InsecureFileFailure, UsageFailure


@pytest.fixture(autouse=True)
def not_activated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LISTEN_PID", raising=False)


def settings(*words: str) -> Settings:
    return parse(["msmtpd", *words], "/start")


def fault(*words: str) -> UsageFailure:
    with pytest.raises(UsageFailure) as caught:
        settings(*words)
    assert caught.value.exit_code == EX_USAGE
    return caught.value


def differences(found: Settings) -> dict[str, object]:
    """What is not as it is without options."""
    usual = settings()
    names = {row.attribute for row in OPTIONS}
    return {name: getattr(found, name) for name in names if getattr(found, name) != getattr(usual, name)}


# -- every option

# option: an argument, the attribute, what it is then; the first word of other options that it needs.
GIVEN: dict[str, tuple[str | None, str, object, tuple[str, ...]]] = {
    "version": (None, "mode", "version", ()),
    "help": (None, "mode", "help", ()),
    "status": (None, "mode", "status", ()),
    "inetd": (None, "mode", "inetd", ()),
    "deliver": (None, "mode", "deliver", ()),
    "interface": ("::1", "interfaces", ["::1"], ()),
    "port": ("2500", "ports", [2500], ()),
    "smtps-port": ("465", "smtps_ports", [465], ("--tls-cert=/c", "--tls-key=/k")),
    "socket": ("/run/s,mode=0660", "sockets", [UnixSocket("/run/s", 0o660)], ()),
    "proxy-protocol": ("192.0.2.0/24", "proxy_protocol", [parse_network("192.0.2.0/24")], ()),
    "lmtp": (None, "lmtp", True, ("--port=2400",)),
    "domain": ("mail.example", "domain", "mail.example", ()),
    "strict": (None, "strict", True, ()),
    "peer-names": (None, "peer_names", True, ()),
    "auth": ("joe,echo x", "auth", [("joe", "echo x")], ()),
    "tls-cert": ("/c", "tls_cert", "/c", ("--tls-key=/k",)),
    "tls-key": ("/k", "tls_key", "/k", ("--tls-cert=/c",)),
    "sandbox": ("try", "sandbox", "try", ()),
    "policy": ("/p", "policy", "/p", ()),
    "command": ("cat", "command", "cat", ()),
    "deliver-by": ("/run/delivery", "deliver_by", "/run/delivery", ()),
    "command-timeout": ("1m", "command_timeout", 60, ()),
    "warm": ("off", "warm", False, ()),
    "spool": ("/spool", "spool", "/spool", ()),
    "max-sessions": ("8", "max_sessions", 8, ()),
    "max-sessions-per-source": ("3", "max_sessions_per_source", 3, ()),
    "max-recipients": ("10", "max_recipients", 10, ()),
    "max-size": ("1k", "max_size", 1024, ()),
    "max-hops": ("5", "max_hops", 5, ()),
    "session-timeout": ("2h", "session_timeout", 7200, ()),
    "idle-timeout": ("10", "idle_timeout", 10, ()),
    "login-timeout": ("10", "login_timeout", 10, ()),
    "check": (None, "check", "-", ()),
    "health": (None, "health", "ready", ()),
    "log": ("syslog", "log", "syslog", ()),
    "daemon": (None, "daemon", True, ()),
    "pidfile": ("/run/p", "pidfile", "/run/p", ()),
    "user": ("joe:mail", "user", "joe:mail", ()),
    "status-socket": ("/run/st", "status_socket", "/run/st", ()),
    "workers-ahead": ("0", "workers_ahead", 0, ()),
}


def test_the_table_has_every_option() -> None:
    assert set(GIVEN) == {row.long for row in OPTIONS} - {"config"}


@pytest.mark.parametrize("name", GIVEN)
def test_an_option_sets_what_it_says_and_nothing_else(name: str) -> None:
    value, attribute, stored, others = GIVEN[name]
    found = settings(f"--{name}" + (f"={value}" if value else ""), *others)
    assert getattr(found, attribute) == stored
    without = differences(settings(*others)) if name not in ("tls-cert", "tls-key", "lmtp") else differences(found)
    assert set(differences(found)) - {attribute, found.mode == name and "mode"} <= set(without) | {"ports"}
    assert name in found.given or found.mode == name


@pytest.mark.parametrize("row", [row for row in OPTIONS if row.command], ids=repr)
def test_a_line_of_the_file_says_the_same(row: DaemonOption, tmp_path: Path) -> None:
    value, attribute, stored, others = GIVEN[row.long]
    file = tmp_path / "options"
    lines = [f"{row.long} {value or ''}", *(other[2:].replace("=", " ") for other in others)]
    file.write_text("\n".join(lines))
    found = settings("--config", str(file))
    assert getattr(found, attribute) == stored
    words = [f"--{row.long}" + (f"={value}" if value else ""), *others]
    assert differences(found) == {**differences(settings(*words)), "config": str(file)}


@pytest.mark.parametrize("row", [row for row in OPTIONS if row.repeats], ids=repr)
def test_an_option_that_repeats_adds_a_value_each_time_but_none_twice(row: DaemonOption) -> None:
    values = {
        "interface": ["127.0.0.2", "::1"],
        "port": ["25", "26"],
        "smtps-port": ["465", "466"],
        "socket": ["/a", "/b"],
        "proxy-protocol": ["::1", "unix"],
        "auth": ["joe", "jane,echo x"],
    }[row.long]
    others = ("--tls-cert=/c", "--tls-key=/k")
    found = settings(*others, *(f"--{row.long}={value}" for value in [*values, *values]))
    assert row.parse
    assert getattr(found, row.attribute) == [row.parse(value) for value in values]


@pytest.mark.parametrize("row", [row for row in OPTIONS if not row.repeats and row.argument == MUST], ids=repr)
def test_of_an_option_that_does_not_repeat_the_last_counts(row: DaemonOption) -> None:
    if row.long == "config":
        return
    value, attribute, stored, others = GIVEN[row.long]
    first = {"sandbox": "off", "domain": "x.example", "command": "true"}.get(row.long, "1")
    assert getattr(settings(f"--{row.long}={first}", f"--{row.long}={value}", *others), attribute) == stored


@pytest.mark.parametrize("row", [row for row in OPTIONS if row.kind == "switch"], ids=repr)
def test_a_switch_can_be_turned_on_and_off(row: DaemonOption) -> None:
    port = "--port=2400"
    assert getattr(settings(port, f"--{row.long}"), row.attribute) is True
    assert getattr(settings(port, f"--{row.long}=on"), row.attribute) is True
    assert getattr(settings(port, f"--{row.long}", f"--{row.long}=off"), row.attribute) is False


# -- getopt


@pytest.mark.parametrize("row", OPTIONS, ids=repr)
def test_a_long_option_may_be_cut_short_while_it_is_unique(row: DaemonOption) -> None:
    rivals = [other.long for other in OPTIONS if other is not row and (row.note == OWN or other.note != OWN)]
    for length in range(1, len(row.long) + 1):
        cut = row.long[:length]
        if cut != row.long and (cut in rivals or any(name.startswith(cut) for name in rivals)):
            continue
        found = daemon_settings._complete(f"--{cut}", cut) if cut != row.long else row
        assert found is row


@pytest.mark.parametrize(
    ("cut", "name"),
    [("v", "version"), ("h", "help"), ("in", None), ("ine", "inetd"), ("p", "port"), ("c", "command"), ("l", "log"),
     ("a", "auth"), ("int", "interface")],
)  # fmt: skip
def test_options_of_our_own_leave_the_old_abbreviations_alone(cut: str, name: str | None) -> None:
    if name is None:
        assert "ambiguous; possibilities: '--inetd' '--interface'" in fault(f"--{cut}").message
    else:
        assert daemon_settings._complete(f"--{cut}", cut).long == name


OF_MAX = "'--max-sessions' '--max-sessions-per-source' '--max-recipients' '--max-size' '--max-hops'"


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--foo"], "unrecognized option '--foo'", ""),
        (["--prot=3"], "unrecognized option '--prot=3'", "did you mean '--port'?"),
        (["---"], "unrecognized option '---'", ""),
        (["--port"], "option '--port' requires an argument", ""),
        (["--po"], "option '--port' requires an argument", ""),
        (["--inetd=x"], "option '--inetd' doesn't allow an argument", ""),
        (["--help="], "option '--help' doesn't allow an argument", ""),
        (["--max=1"], "option '--max=1' is ambiguous; possibilities: " + OF_MAX, ""),
        (["-p"], "invalid option -- 'p'", "run 'msmtpd --help' for the options there are"),
        (["x"], "too many arguments", "'x' is no option; run 'msmtpd --help' for the options there are"),
        (["-"], "too many arguments", "'-' is no option; run 'msmtpd --help' for the options there are"),
        (["--", "--port=3"], "too many arguments",
         "'--port=3' is no option; run 'msmtpd --help' for the options there are"),
        (["--lmtp", "off"], "too many arguments", "'off' is no option; run 'msmtpd --help' for the options there are"),
        (["--auth="], "option '--auth' requires non-empty argument",
         "expected a user's name, or one and behind a comma the command that prints the password"),
        (["--lmtp="], "option '--lmtp' requires non-empty argument", "expected 'on' or 'off'"),
    ],
)  # fmt: skip
def test_a_mistake_on_the_command_line_is_one_of_usage(words: list[str], message: str, hint: str) -> None:
    found = fault(*words)
    assert (found.message, found.hint) == (message, hint)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("--port=abc", "expected a port number from 0 to 65535, 0 for any that is free"),
        ("--port=65536", "expected a port number from 0 to 65535, 0 for any that is free"),
        ("--auth=joe,", "expected a user's name, or one and behind a comma the command that prints the password"),
        ("--lmtp=yes", "expected 'on' or 'off'"),
        ("--sandbox=rquire", "expected 'require', 'try' or 'off'; did you mean 'require'?"),
        ("--max-sessions=0", "expected a number from 1 to 4096"),
        ("--interface=localhost", "expected an address of this machine such as 127.0.0.1"),
        ("--command=%F x", "expected a command whose first word is a program"),
    ],
)
def test_what_is_no_value_is_refused_with_what_would_be_one(word: str, hint: str) -> None:
    name, _, value = word.partition("=")
    found = fault(word)
    assert found.message == f"invalid argument {value} for {name}"
    assert found.hint.startswith(hint)


def test_two_dashes_at_the_end_are_nothing() -> None:
    assert settings("--port=26", "--").ports == [26]


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ([], "serve"),
        (["--inetd"], "inetd"),
        (["--inetd", "--status"], "status"),
        (["--help", "--inetd"], "help"),
        (["--help", "--version"], "version"),
        (["--version", "--help"], "version"),
        (["--help", "--config=/nowhere"], "help"),
        (["--version", "--inetd", "--port=3"], "version"),
    ],
)
def test_one_mode_counts(words: list[str], mode: str) -> None:
    assert settings(*words).mode == mode


def test_status_may_be_told_which_socket() -> None:
    found = settings("--status=/run/x")
    assert (found.mode, found.status_socket) == ("status", "/run/x")


# -- what goes together


@pytest.mark.parametrize(
    ("words", "ports", "smtps"),
    [
        ([], [25], []),
        (["--interface=::1"], [25], []),
        (["--socket=/s"], [], []),
        (["--socket=/s", "--interface=::1"], [25], []),
        (["--socket=/s", "--port=26"], [26], []),
        (["--tls-cert=c", "--tls-key=k", "--smtps-port=465"], [], [465]),
        (["--tls-cert=c", "--tls-key=k", "--smtps-port=465", "--port=25"], [25], [465]),
        (["--tls-cert=c", "--tls-key=k", "--smtps-port=0", "--port=0"], [0], [0]),
    ],
)
def test_without_a_port_it_is_25_unless_other_options_say_where(
    words: list[str], ports: list[int], smtps: list[int]
) -> None:
    found = settings(*words)
    assert (found.ports, found.smtps_ports) == (ports, smtps)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--inetd", "--interface=::1"], "cannot use both --inetd and --interface"),
        (["--inetd", "--port=25"], "cannot use both --inetd and --port"),
        (["--inetd", "--smtps-port=465"], "cannot use both --inetd and --smtps-port"),
        (["--inetd", "--socket=/s"], "cannot use both --inetd and --socket"),
        (["--inetd", "--daemon"], "cannot use both --inetd and --daemon"),
        (["--inetd", "--pidfile=p"], "cannot use both --inetd and --pidfile"),
        (["--inetd", "--status-socket=p"], "cannot use both --inetd and --status-socket"),
        (["--inetd", "--max-sessions=3"], "cannot use both --inetd and --max-sessions"),
        (["--tls-cert=c"], "--tls-cert needs --tls-key"),
        (["--tls-key=k"], "--tls-key needs --tls-cert"),
        (["--smtps-port=465"], "--smtps-port needs --tls-cert and --tls-key"),
        (
            ["--tls-cert=c", "--tls-key=k", "--smtps-port=26", "--port=26"],
            "port 26 is both a --port and an --smtps-port",
        ),
        (["--inetd", "--log=stdout"], "cannot use both --inetd and --log=stdout"),
        (["--daemon", "--log=json"], "cannot use both --daemon and --log=json"),
        (["--lmtp"], "--lmtp cannot be used at port 25"),
        (["--lmtp", "--port=25", "--socket=/s"], "--lmtp cannot be used at port 25"),
        (["--socket=/s", "--socket=/s,mode=0600"], "the socket /s is named twice"),
        (["--socket=/s", "--status-socket=/s"], "the socket /s is named twice"),
        (["--socket=/" + "s" * 107], "name of the socket /" + "s" * 107 + " is too long"),
        (["--auth=joe", "--auth=joe,echo x"], "--auth names the user joe twice"),
        (["--max-sessions=2", "--max-sessions-per-source=3"], "--max-sessions-per-source is 3, but --max-sessions 2"),
        (["--max-sessions=2", "--workers-ahead=3"], "--workers-ahead is 3, but --max-sessions 2"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(words: list[str], message: str) -> None:
    found = fault(*words)
    assert found.message == message
    assert found.hint


@pytest.mark.parametrize(
    "words",
    [
        ["--inetd", "--daemon=off"],
        ["--inetd", "--lmtp"],
        ["--inetd", "--tls-cert=c", "--tls-key=k", "--auth=joe", "--log=syslog"],
        ["--lmtp", "--socket=/s"],
        ["--status", "--lmtp"],
        ["--socket=/" + "s" * 106],
        ["--auth=joe", "--auth=joe"],
        ["--max-sessions=2", "--max-sessions-per-source=2", "--workers-ahead=2"],
    ],
)
def test_settings_that_do_not_are_not(words: list[str]) -> None:
    settings(*words)


def test_the_sockets_of_a_service_manager_are_not_judged_by_the_usual_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    found = settings("--lmtp")
    assert found.activated
    monkeypatch.delenv("LISTEN_PID")  # as it is when the options are read again
    assert reread(found).activated
    monkeypatch.setenv("LISTEN_PID", "1")
    assert not settings().activated


@pytest.mark.parametrize(("sessions", "share"), [(1, 1), (2, 1), (3, 1), (16, 8)])
def test_a_source_has_half_of_the_sessions_but_at_least_one(sessions: int, share: int) -> None:
    found = settings(f"--max-sessions={sessions}")
    assert found.sessions_per_source == share
    assert found.workers_ahead == min(2, sessions)
    assert settings("--max-sessions-per-source=5").sessions_per_source == 5


# -- names of files


@pytest.mark.parametrize(
    ("word", "attribute", "path"),
    [
        ("--log=x", "log", "/start/x"),
        ("--log=none", "log", "none"),
        ("--log=journal", "log", "journal"),
        ("--log=json", "log", "json"),
        ("--log=./none", "log", "/start/./none"),
        ("--spool=../y", "spool", "/start/../y"),
        ("--pidfile=/z", "pidfile", "/z"),
        ("--pidfile=~/z", "pidfile", "/home/joe/z"),
        ("--pidfile=~x", "pidfile", "/start/~x"),
        ("--status-socket=off", "status_socket", "off"),
        ("--status-socket=s", "status_socket", "/start/s"),
        ("--socket=~/s,mode=0600", "sockets", [UnixSocket("/home/joe/s", 0o600)]),
    ],
)
def test_names_of_files_start_from_the_root(
    word: str, attribute: str, path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/joe")
    assert getattr(settings(word), attribute) == path


def test_they_start_from_where_the_daemon_was_started_also_when_they_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "options").write_text("pidfile p\n")
    found = parse(["msmtpd", "--config=options", "--log=l"])
    monkeypatch.chdir("/")
    for each in (found, reread(found)):
        assert (each.config, each.pidfile, each.log) == tuple(f"{tmp_path}/{name}" for name in ("options", "p", "l"))


def test_a_current_folder_that_is_gone_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path / "x")
    (tmp_path / "x").rmdir()
    assert parse(["msmtpd", "--log=l"]).log == "/l"


# -- the file


def from_file(tmp_path: Path, text: str | bytes, *words: str) -> Settings:
    file = tmp_path / "options"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    file.chmod(0o600)
    return settings(f"--config={file}", *words)


def test_blanks_comments_quotes_and_line_ends_do_not_matter(tmp_path: Path) -> None:
    text = '\ufeff# comment\r\n\r\n  \t# another\r\n  port \t 26  \r\ndomain "a.example"\r\nlmtp\nwarm off\ncommand x "y" #z'
    found = from_file(tmp_path, text)
    assert (found.ports, found.domain, found.lmtp, found.warm) == ([26], "a.example", True, False)
    assert found.command == 'x "y" #z'


def test_the_command_line_counts_for_more(tmp_path: Path) -> None:
    text = "port 26\nport 27\nlog syslog\nlmtp on\nauth joe\n"
    found = from_file(tmp_path, text, "--port=28", "--lmtp=off")
    assert (found.ports, found.log, found.lmtp, found.auth) == ([28], "syslog", False, [("joe", None)])


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("port 26\nprot 3", "line 2: unknown option prot", "did you mean 'port'?"),
        ("--port 3", "line 1: unknown option --port", "names of options stand without their dashes here"),
        ("port=3", "line 1: unknown option port=3", "write a blank between the name and its argument"),
        ("inetd", "line 1: unknown option inetd", "--inetd belongs on the command line"),
        ("config x", "line 1: unknown option config", "--config belongs on the command line"),
        ("\n\nport", "line 3: option port needs an argument", "expected a port number from 0 to 65535, 0 for any that is free"),
        ('port ""', "line 1: invalid argument  for option port",
         "expected a port number from 0 to 65535, 0 for any that is free"),
        ("lmtp yes", "line 1: invalid argument yes for option lmtp", "expected 'on' or 'off'"),
        ("max-hops 5 # five", "line 1: invalid argument 5 # five for option max-hops",
         "expected a number from 1 to 1000"),
        ("pidfile a\0b", "line 1: invalid argument a\0b for option pidfile", "expected the name of a file"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_said_with_its_line(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigFailure) as caught:
        from_file(tmp_path, text)
    assert caught.value.message == f"{tmp_path}/options: {message}"
    assert (caught.value.hint, caught.value.exit_code) == (hint, EX_CONFIG)


def test_a_contradiction_between_file_and_command_line_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigFailure, match=r"--tls-cert needs --tls-key \(.*/options and the command line\)"):
        from_file(tmp_path, "tls-cert c\n")


def test_a_file_that_is_not_there_or_is_none(tmp_path: Path) -> None:
    with pytest.raises(FileFailure, match="/nowhere: No such file or directory"):
        settings("--config=/nowhere")
    with pytest.raises(FileFailure, match="Is a directory"):
        settings(f"--config={tmp_path}")
    with pytest.raises(ConfigFailure, match="file is too long"):
        settings("--config=/dev/zero")


def test_a_file_that_others_can_change_is_not_believed(tmp_path: Path) -> None:
    file = tmp_path / "options"
    file.write_text("command rm\n")
    file.chmod(0o666)
    with pytest.raises(InsecureFileFailure, match="must not be writable for others"):
        settings(f"--config={file}")
    for mode in (0o664, 0o620):
        file.chmod(mode)
        with pytest.raises(InsecureFileFailure, match="must not be writable for its group") as caught:
            settings(f"--config={file}")
        assert caught.value.hint == f"run: chmod go-w {file}"
    file.chmod(0o644)
    assert settings(f"--config={file}").command == "rm"


def test_a_file_of_somebody_else_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "options"
    file.write_text("command rm\n")
    status = list(os.stat(file))
    status[stat.ST_UID] = os.geteuid() + 1
    monkeypatch.setattr(daemon_settings.os, "fstat", lambda _: os.stat_result(status))
    with pytest.raises(InsecureFileFailure, match="must be owned by you"):
        settings(f"--config={file}")


def test_it_is_read_again_and_a_mistake_leaves_the_old_settings(tmp_path: Path) -> None:
    first = from_file(tmp_path, "max-hops 5\n", "--port=26")
    (tmp_path / "options").write_text("max-hops 6\n")
    second = reread(first)
    assert (first.max_hops, second.max_hops, second.ports) == (5, 6, [26])
    (tmp_path / "options").write_text("max-hops six\n")
    with pytest.raises(ConfigFailure):
        reread(second)
    assert second.max_hops == 6


# -- anything at all


def outcome(*words: str) -> Settings | Failure:
    try:
        return settings(*words)
    except Failure as failure:
        return failure


WORD = (
    st.sampled_from([f"--{row.long}" for row in OPTIONS])
    | st.sampled_from([f"--{name}={value}" for name, (value, *_) in GIVEN.items() if value])
    | st.sampled_from(["--", "-", "", "=", "--=", "--port=", "x", "--lmtp=off", "--auth=,", "--in"])
    | st.text(max_size=12)
)


@given(st.lists(WORD, max_size=8))
def test_a_command_line_is_understood_or_refused_and_nothing_else_happens(words: list[str]) -> None:
    found = outcome(*words)
    if isinstance(found, Settings):
        assert found.mode in ("serve", *daemon_settings.MODES)
        assert found.argv == ["msmtpd", *words]
    else:
        assert isinstance(found, UsageFailure | FileFailure)
        assert found.message


LINE_OF_FILE = (
    st.sampled_from([f"{row.long} {GIVEN[row.long][0] or ''}" for row in OPTIONS if row.command])
    | st.sampled_from(["", "#", '"', 'port "', "port 0x", "auth joe,", "version", "\0"])
    | st.text(max_size=20)
)


@given(
    st.lists(LINE_OF_FILE, max_size=6).map("\n".join).map(lambda text: text.encode("utf-8", "replace"))
    | st.binary(max_size=60)
)
def test_a_file_is_understood_or_refused_with_its_name(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(content)
    found = outcome(f"--config={file}")
    if isinstance(found, Settings):
        assert found.config == str(file)
    else:
        assert isinstance(found, ConfigFailure)
        assert str(file) in found.message


@given(st.permutations([["--port=26"], ["--auth", "joe,-x"], ["--lmtp"], ["--log", "syslog"], ["--max-hops=3"]]))
def test_the_order_of_options_does_not_matter(groups: list[list[str]]) -> None:
    found = settings(*(word for group in groups for word in group))
    assert (found.ports, found.auth, found.lmtp, found.log, found.max_hops) == (
        [26],
        [("joe", "-x")],
        True,
        "syslog",
        3,
    )


@pytest.mark.parametrize("row", [row for row in OPTIONS if row.argument == NONE], ids=repr)
def test_no_argument_means_no_argument(row: DaemonOption) -> None:
    assert "doesn't allow an argument" in fault(f"--{row.long}=x").message


@pytest.mark.parametrize("row", [row for row in OPTIONS if row.argument == MAY], ids=repr)
def test_an_argument_that_may_be_there_is_attached(row: DaemonOption) -> None:
    assert fault(f"--{row.long}", "x").message == "too many arguments"


def test_the_name_to_begin_messages_with() -> None:
    assert parse(["/usr/bin/msmtpd"]).program == "msmtpd"
    assert parse([]).program == "msmtpd"
