"""The delivery command's template: when a shell reads it, what it becomes, and that no shell ever reads an address."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.daemon import command, environment
from msmtp.daemon.command import Command, exec_words, fault_of_address, found, is_privileged
from msmtp.failures import ConfigFailure
from msmtp.smtp import grammar


@pytest.mark.parametrize(
    "template",
    [
        "msmtp -f %F --",
        "/usr/sbin/sendmail -i -f %F",
        "a 'b $c' d",
        'a "b; c"',
        r"a\ b\;c",
        "a --x=y",
        "a 'x'\"y|z\"",
        "a b#c",
    ],
)
def test_without_shell_syntax_the_words_are_what_they_are(template):
    command = Command(template)
    assert not command.shell
    words = [word.replace("%F", "s@x").encode() for word in shlex.split(template)]
    assert command.argv(b"s@x", [b"r@x"]) == [*words, b"r@x"]
    shown = subprocess.run(["/bin/sh", "-c", f"printf '%s\\n' {template}"], capture_output=True, check=True)
    assert shown.stdout.decode().splitlines() == shlex.split(template)  # a shell makes the same of it


@pytest.mark.parametrize(
    "template",
    ["a | b", "a && b", "a; b", "a > x", "a < x", "a $HOME", 'a "$HOME"', "a `b`", 'a "`b`"', "a *", "a ?", "a [b]",
     "X=1 a", "cd / && a", "exec a", "a ~", "a # b", "(a)", "a\nb", "! a", "{ a; }"],
)  # fmt: skip
def test_with_shell_syntax_a_shell_reads_it(template):
    assert Command(template).shell


def test_recipients_are_arguments_and_the_sender_stands_where_it_was_meant():
    assert Command("cat; a %F %F").argv(b"s@x", [b"`r`@x"]) == [
        b"/bin/sh", b"-c", b'cat; a s@x %F "$@"', b"sh", b"`r`@x",
    ]  # fmt: skip


def test_the_null_sender_is_called_as_upstream_calls_it():
    assert Command("a %F").argv(b"", []) == [b"a", b"MAILER-DAEMON"]
    assert Command("a %F;true").argv(b"", [])[2] == b'a MAILER-DAEMON;true "$@"'


def test_fault_22_only_the_first_place_is_filled_and_once():
    assert Command("a %F %F %%F").argv(b"%F%F", [b"%F"]) == [b"a", b"%F%F", b"%F", b"%%F", b"%F"]


@pytest.mark.parametrize(
    "sender", [b"a b@x", b"$x@y", b"a'b@x", b"a`b@x", b"-a@x", b"a!b@x", b"a#b@x", "é@x".encode(), b"a*@x"]
)
def test_fault_21_a_shell_is_not_told_of_an_odd_sender(sender):
    command = Command("a %F | b")
    assert not command.takes(sender)
    with pytest.raises(ValueError, match=r"^$"):
        command.argv(sender, [])
    assert Command("a %F").takes(sender)
    assert Command("a | b").takes(sender)


@given(st.text("ab. @_+/=-'\"$`\\;|&<>(){}[]*?!#~%\n\té", max_size=20).map(str.encode))
def test_fault_21_what_the_shell_is_told_is_one_word(sender):
    command = Command("a %F | b")
    if sender and command.takes(sender):
        assert shlex.split(sender.decode()) == [sender.decode()]
        assert not set(sender) & set(b"'\"$`\\;|&<>(){}[]*?!#~% \n\t")


@pytest.mark.parametrize(
    "template", ["", "  ", "a 'b", 'a "', "a;", "a |", "a &&", "a &", "a\0b", "if a; then", "a (", "x\n;"]
)
def test_what_can_be_no_command_is_refused_at_the_start(template):
    with pytest.raises(ConfigFailure) as caught:
        Command(template)
    assert caught.value.hint


def test_the_default_is_known_however_it_is_written():
    assert Command(None).is_default
    assert Command(" msmtp  -f %F --").is_default
    assert not Command("msmtp -f %F").is_default
    assert Command(None).argv(b"s@x", [b"r@x"], [b"-R", b"full"]) == [
        b"msmtp",
        b"-f",
        b"s@x",
        b"-R",
        b"full",
        b"--",
        b"r@x",
    ]


@given(st.text(max_size=12))
def test_no_text_makes_more_than_a_failure_of_it(template):
    try:
        command = Command(template)
    except ConfigFailure:
        return
    assert command.argv(b"s@x", [b"r@x"])[-1] == b"r@x"


def test_programs_are_found_as_a_shell_finds_them(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_text("")
    (tmp_path / "c").write_text("")
    (tmp_path / "c").chmod(0o4755)
    path = {b"PATH": b"nothing::" + str(tmp_path).encode()}
    assert found("a", path) == found("b", path) == ""
    assert found("c", path) == f"{tmp_path}/c"
    assert is_privileged(found("c", path))
    assert not is_privileged("/nowhere")
    assert found("x/y", {}) == "/x/y"
    assert found("sh", {}).endswith("bin/sh")


@pytest.mark.parametrize(
    "address", [b"a@x", b'"a b"@x', b"root", "é@ü.example".encode(), b"a/b=c@[192.0.2.1]", b"!#$%&'*@x"]
)
def test_addresses_that_may_be_arguments(address):
    assert fault_of_address(address) == ""


@pytest.mark.parametrize(
    "address", [b"-t", b"--x@y", b"a b@x", b"a\n@x", b"a\0", b'"a\\\n"@x', b"\xc2\x85@x", b"a@x>", b"@a:b@c"]
)
def test_fault_20_23_addresses_that_may_not(address):
    assert fault_of_address(address)


@given(st.binary(max_size=30))
def test_what_passes_has_no_control_characters_and_is_no_option(address):
    if not fault_of_address(address):
        assert not any(octet < 0x20 or octet == 0x7F for octet in address)
        assert address[:1] != b"-"
        assert grammar.mailbox(b"<" + address + b">") == address


def test_the_environment_is_a_list_of_what_may_pass():
    given_ = {
        b"PATH": b"/bin",
        b"LC_ALL": b"C",
        b"LCX": b"",
        b"LD_PRELOAD": b"x",
        b"PYTHONPATH": b"x",
        b"LISTEN_FDS": b"1",
    }
    assert environment.inherited(given_) == {b"PATH": b"/bin", b"LC_ALL": b"C"}
    names = [name for name, _ in environment.INHERITED]
    assert len(set(names)) == len(names)
    forbidden = ("NOTIFY_", "LISTEN_", "LD_", "PYTHON", "WATCHDOG_", "MSMTPD_", "BASH_", "IFS", "ENV")
    assert not [name for name in names if name.startswith(forbidden)]


def test_parameters_of_recipients_stay_within_their_bound():
    few = environment.describing({}, (), [[b"ORCPT=rfc822;x"], []])
    assert few == {b"MSMTPD_RCPT_PARAMETERS": b"ORCPT=rfc822;x\n"}
    many = environment.describing({}, (), [[b"NOTIFY=NEVER", b"ORCPT=rfc822;" + b"x" * 400]] * 1000)
    assert many == {b"MSMTPD_NOTIFY": b"NEVER"}
    assert environment.describing({"MSMTPD_SENDER": b"", "MSMTPD_USER": b""}) == {b"MSMTPD_SENDER": b""}


def test_every_variable_has_its_meaning_once():
    names = [name for name, _ in environment.DESCRIBING]
    assert len(set(names)) == len(names)
    assert not any(
        not meaning or meaning.endswith(".") for _, meaning in environment.DESCRIBING + environment.INHERITED
    )


PYTHON = "/usr/bin/python3"  # which knows of no msmtp


def test_our_msmtp_is_started_from_where_our_modules_are():
    _, (_, *words) = exec_words()
    done = subprocess.run([PYTHON, *words, "--version"], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("msmtp version ")
    wrong = subprocess.run([PYTHON, *words, "--nonsense"], capture_output=True, text=True, timeout=30, check=False)
    assert wrong.returncode == 64
    assert wrong.stderr.startswith("msmtp: ")


def test_what_cannot_be_started_now_is_for_another_time(monkeypatch, tmp_path):
    monkeypatch.setattr(
        command, "__file__", f"{tmp_path}/msmtp/daemon/command.py"
    )  # as while a package is being upgraded
    _, (_, *words) = exec_words()
    done = subprocess.run([PYTHON, *words, "x@example.org"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 75
    assert done.stderr == "msmtp: it could not be started: No module named 'msmtp'\n"
