"""Which account is chosen, what becomes of its envelope-from address, and which settings contradict each other."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from msmtp.config import account as accounts
from msmtp.config import command_line, reader, substitution
from msmtp.config.account import Account, Definition, choose
from msmtp.config.options import Hidden
from msmtp.failures import ConfigFailure, UsageFailure

RC = """
account home
host home.example
from joe@home.example

account work
host work.example
from joe+work@work.example

account lists
host lists.example
from *-list@home.example

account default
host default.example
from any@default.example
"""


def chosen(
    arguments: str,
    text: str = RC,
    author: str | None = None,
    environment: dict[str, str] | None = None,
    notes: list[str] | None = None,
) -> Account:
    """The account that these arguments choose from this file; recipients are in the mail."""
    line = command_line.parse(["msmtp", "-t", *arguments.split()])
    configuration = reader.Configuration()
    configuration.definitions = reader.parse(text.encode(), "rc", lambda command: command)[0]
    configuration.files = ["rc"] if text else []
    try:
        return choose(
            line,
            configuration,
            mail_sender=lambda: author,
            canonical_name=lambda host: f"{host}.canonical",
            environment=environment or {},
        )
    finally:
        if notes is not None:
            notes += configuration.notes


# -- which account


@pytest.mark.parametrize(
    ("arguments", "name", "sender"),
    [
        ("", "default", "any@default.example"),
        ("-a home", "home", "joe@home.example"),
        ("--account=work", "work", "joe+work@work.example"),
        ("-f joe@home.example", "home", "joe@home.example"),
        ("-f JOE@Home.Example", "home", "JOE@Home.Example"),
        ("-f joe+detail@home.example", "home", "joe+detail@home.example"),
        ("-f joe+a+b@home.example", "home", "joe+a+b@home.example"),
        ("-f joe+work@work.example", "work", "joe+work@work.example"),
        ("-f joe+play@work.example", "default", "joe+play@work.example"),
        ("-f joe@work.example", "default", "joe@work.example"),
        ("-f msmtp-list@home.example", "lists", "msmtp-list@home.example"),
        ("-f msmtp-list+owner@home.example", "lists", "msmtp-list+owner@home.example"),
        ("-f MSMTP-LIST@home.example", "default", "MSMTP-LIST@home.example"),
        ("-f nobody@nowhere.example", "default", "nobody@nowhere.example"),
        ("-f <>", "default", ""),
        ("-a work -f joe@home.example", "work", "joe@home.example"),
    ],
)
def test_the_account_is_the_one_named_or_the_first_that_the_address_fits(
    arguments: str, name: str, sender: str
) -> None:
    account = chosen(arguments)
    assert (account.name, account.from_) == (name, sender)


def test_the_first_of_several_accounts_that_fit_is_taken() -> None:
    assert chosen("-f a@b", "account x\nhost h\nfrom *\naccount y\nhost h\nfrom a@b").name == "x"
    assert chosen("-f a+c@b", "account x\nhost h\nfrom a@b\naccount y\nhost h\nfrom a+c@b").name == "x"


def test_read_envelope_from_chooses_as_from_does_with_the_author_of_the_mail() -> None:
    notes: list[str] = []
    account = chosen("--read-envelope-from", author="joe@home.example", notes=notes)
    assert (account.name, account.from_) == ("home", "joe@home.example")
    assert notes == [
        "envelope from address extracted from mail: joe@home.example",
        "account chosen by envelope from address joe@home.example: home",
        "using account home from rc",
    ]


def test_without_an_author_read_envelope_from_is_an_error() -> None:
    with pytest.raises(UsageFailure, match="no envelope from address found"):
        chosen("--read-envelope-from", author=None)


def test_modes_without_a_mail_do_not_look_into_it() -> None:
    assert chosen("-S --read-envelope-from", author=None).name == "default"


def test_an_address_chooses_the_account_even_if_no_mail_is_sent() -> None:
    account = chosen("-S -f joe@home.example")
    assert (account.name, account.host) == ("home", "home.example")


def test_a_host_on_the_command_line_is_all_there_is() -> None:
    notes: list[str] = []
    account = chosen("--host=other.example --port=26 -f joe@home.example", notes=notes)
    assert (account.name, account.file, account.origin) == ("", "", "")
    assert (account.host, account.port, account.from_, account.user) == ("other.example", 26, "joe@home.example", "")
    assert notes == ["using account specified on command line"]


def test_options_override_the_account() -> None:
    account = chosen("-a home --port=587 --tls --user=joe", "account home\nhost x\nport 25\nuser jim\nfrom a@b")
    assert (account.port, account.tls, account.user) == (587, True, "joe")
    assert account.set_mask == {"host", "port", "user", "from_", "tls"}


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        ("", {"SMTPSERVER": "env.example", "EMAIL": "me@env.example"}),
        ("-f me@env.example", {"SMTPSERVER": "env.example"}),
        ("-f me@env.example", {"SMTPSERVER": "env.example", "EMAIL": "other@env.example"}),
    ],
)
def test_the_environment_says_what_no_file_says(arguments: str, environment: dict[str, str]) -> None:
    notes: list[str] = []
    account = chosen(arguments, "account other\nhost x", environment=environment, notes=notes)
    assert (account.host, account.port, account.from_) == ("env.example", 25, "me@env.example")
    assert notes == ["falling back to default account", "using environment variables EMAIL and SMTPSERVER"]


def test_the_environment_needs_no_address_if_no_mail_is_sent() -> None:
    assert chosen("-S", "", environment={"SMTPSERVER": "env.example"}).host == "env.example"


@pytest.mark.parametrize("arguments", ["-a default", "-a other"])
def test_the_environment_is_not_asked_if_an_account_is_named(arguments: str) -> None:
    with pytest.raises(ConfigFailure, match="not found"):
        chosen(arguments, "", environment={"SMTPSERVER": "env.example", "EMAIL": "me@env.example"})


@pytest.mark.parametrize(
    ("text", "arguments", "message", "hint"),
    [
        ("", "", "account default not found: no configuration file available", "msmtp --configure"),
        (RC, "-a wrok", "account wrok not found in rc", "did you mean 'work'?"),
        (RC, "-a zzzzzzzz", "account zzzzzzzz not found in rc", "accounts there: home, work, lists, default"),
        ("account work\nhost x", "", "account default not found in rc", "'account default : work'"),
        ("# empty", "-a x", "account x not found in rc", "no account is defined there"),
    ],
)
def test_an_account_that_is_not_there_is_said_with_those_that_are(
    text: str, arguments: str, message: str, hint: str
) -> None:
    with pytest.raises(ConfigFailure) as caught:
        chosen(arguments, text)
    assert caught.value.message == message
    assert hint in caught.value.hint


# -- envelope-from


def test_from_cannot_be_overridden_where_that_is_forbidden() -> None:
    text = "account default\nhost x\nfrom me@here.example\nallow_from_override off"
    assert chosen("-f you@there.example", text).from_ == "me@here.example"
    assert chosen("--read-envelope-from", text, author="you@there.example").from_ == "me@here.example"


def test_a_pattern_that_must_not_be_overridden_allows_what_fits_it() -> None:
    text = "account default\nhost x\nfrom *@here.example\nallow_from_override off"
    assert chosen("-f joe@here.example", text).from_ == "joe@here.example"
    with pytest.raises(ConfigFailure, match="account default from rc: envelope-from address is missing"):
        chosen("-f joe@there.example", text)


@pytest.mark.parametrize("pattern", ["*@here.example", "joe?@here.example", "[abc]@here.example"])
def test_a_pattern_is_no_address(pattern: str) -> None:
    with pytest.raises(ConfigFailure) as caught:
        chosen("", f"host x\nfrom {pattern}")
    assert caught.value.message == "account default from rc: envelope-from address is missing"
    assert pattern in caught.value.hint
    assert chosen("-P", f"host x\nfrom {pattern}").from_ == pattern


def test_an_address_literal_is_no_pattern() -> None:
    text = "host x\nfrom joe@[192.0.2.1]"
    assert chosen("", text).from_ == "joe@[192.0.2.1]"
    assert chosen("-f joe@[192.0.2.1]", f"account b\n{text}").name == "b"


def test_auto_from_makes_the_address_whatever_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "joe")
    text = "host x\nauto_from on\nfrom a@b\nmaildomain here.example"
    assert chosen("-f c@d", text).from_ == "joe@here.example"
    assert chosen("--maildomain=", text).from_ == "joe"


def test_patterns_in_from_and_domain_are_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mailname").write_text("mail.example\nmore\n")
    monkeypatch.setattr(substitution, "MAIL_NAME_FILE", str(tmp_path / "mailname"))
    monkeypatch.setenv("USER", "j%Hoe")
    monkeypatch.setenv("HOSTNAME", "here")
    account = chosen("", "host %H\nuser %U\nfrom %U-%H-%C-%M-%X-%-%%H@x%\ndomain %H-%C-%M-%U-%F")
    assert account.from_ == "j%Hoe-here-here.canonical-mail.example-%X-%-%here@x%"
    assert account.domain == "here-here.canonical-mail.example-%U-%F"
    assert (account.host, account.user) == ("%H", "%U")


def test_patterns_of_an_option_are_replaced_too_but_not_those_of_a_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "joe")
    assert chosen("-f %U@x").from_ == "joe@x"
    assert chosen("--read-envelope-from", author="%U@x").from_ == "%U@x"


def test_patterns_of_a_sender_that_somebody_else_names_are_not_replaced() -> None:
    line = command_line.parse(["msmtp", "--host=x", "to@there.example"])
    line.sender, line.literal_sender = "%U@x", True
    account = choose(line, reader.Configuration(), mail_sender=lambda: None, canonical_name=str)
    assert account.from_ == "%U@x"


def test_the_author_of_the_mail_can_be_its_sender() -> None:
    assert chosen("", "host x\nfrom %F", author="joe@here.example").from_ == "joe@here.example"
    assert chosen("", "host x\nfrom b-%F", author="a%H@x").from_ == "b-a%H@x"


def test_without_an_author_percent_f_is_an_error_but_not_for_pretend() -> None:
    with pytest.raises(UsageFailure, match="no envelope from address found"):
        chosen("", "host x\nfrom %F")
    assert chosen("-P", "host x\nfrom %F").from_ == "%F"
    assert chosen("-S", "host x\nfrom %F").from_ == "%F"


def test_a_missing_mail_name_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(substitution, "MAIL_NAME_FILE", str(tmp_path / "mailname"))
    with pytest.raises(ConfigFailure, match="mailname: No such file or directory"):
        chosen("", "host x\nfrom %U@%M")
    (tmp_path / "mailname").write_text(" \n")
    with pytest.raises(ConfigFailure, match="mailname: Invalid argument"):
        chosen("", "host x\nfrom %U@%M")


def test_the_user_is_the_first_of_those_who_might_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "one")
    monkeypatch.setenv("LOGNAME", "two")
    assert substitution.user_name() == "one"
    monkeypatch.setenv("USER", "")
    assert substitution.user_name() == "two"
    monkeypatch.delenv("LOGNAME")
    monkeypatch.setattr(os, "getlogin", lambda: "three")
    assert substitution.user_name() == "three"

    def nobody(*_: object) -> str:
        raise OSError

    monkeypatch.setattr(os, "getlogin", nobody)
    assert substitution.user_name() == pwd.getpwuid(os.geteuid()).pw_name

    def unknown(_: int) -> object:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert substitution.user_name() == "unknown"


@pytest.mark.parametrize("variable", ["USER", "LOGNAME", ""])
def test_what_root_left_behind_is_not_the_name_of_another_user(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv("USER", raising=False)
    monkeypatch.delenv("LOGNAME", raising=False)
    monkeypatch.setattr(os, "getlogin", lambda: "root")
    if variable:
        monkeypatch.setenv(variable, "root")
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("daemon").pw_uid)
    assert substitution.user_name() == "daemon"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert substitution.user_name() == "root"


def test_the_host_is_the_first_of_those_it_might_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTNAME", "one")
    assert substitution.host_name() == "one"
    monkeypatch.setenv("HOSTNAME", "")
    assert substitution.host_name() == os.uname().nodename
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "", "", "", "")))
    assert substitution.host_name() == "localhost"


# -- what follows from other settings


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("", 25),
        ("tls on", 25),
        ("tls on\ntls_starttls off", 465),
        ("tls_starttls off", 25),
        ("port 26\ntls on\ntls_starttls off", 26),
        ("protocol lmtp\nport 24", 24),
        ("protocol lmtp\nsocket /run/lmtp", 0),
    ],
)
def test_the_port_follows_from_how_tls_begins(text: str, port: int) -> None:
    assert chosen("", f"host x\nfrom a@b\n{text}").port == port


def test_a_proxy_has_a_usual_port() -> None:
    assert chosen("", "host x\nfrom a@b").proxy_port == 0
    assert chosen("", "host x\nfrom a@b\nproxy_host p").proxy_port == 1080
    assert chosen("", "host x\nfrom a@b\nproxy_host p\nproxy_port 9050").proxy_port == 9050


TRUST = "tls requires either tls_trust_file (highly recommended) or tls_fingerprint or a disabled tls_certcheck"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("from a@b", "host not set"),
        ("from a@b\nport 25", "host not set"),
        ("from a@b\nsocket /x", None),
        ("from a@b\nsocket /x\ntls", "host not set"),
        ("from a@b\nsocket /x\ntls\ntls_host_override y", None),
        ("host x\nfrom a@b\nprotocol lmtp", "port not set"),
        ("host x", "envelope-from address is missing"),
        ("host x\nfrom <>", None),
        ("host x\nfrom a@b\ntls_key_file k", "tls_key_file requires tls_cert_file"),
        ("host x\nfrom a@b\ntls_cert_file k", "tls_cert_file requires tls_key_file"),
        ("host x\nfrom a@b\ntls_cert_file k\ntls_key_file k", None),
        ("host x\nfrom a@b\ntls\ntls_trust_file", TRUST),
        ("host x\nfrom a@b\ntls_trust_file", None),
        ("host x\nfrom a@b\ntls\ntls_trust_file\ntls_certcheck off", None),
        ("host x\nfrom a@b\ntls\ntls_trust_file\ntls_fingerprint " + ":".join(["00"] * 32), None),
        ("host x\nfrom a@b\ntls_crl_file c", None),
        ("host x\nfrom a@b\ntls_crl_file c\ntls_trust_file", "tls_crl_file requires tls_trust_file"),
        # The first of several faults is the one that is said.
        ("protocol lmtp\ntls_key_file k", "host not set"),
        ("host x\nprotocol lmtp\ntls_key_file k", "port not set"),
        ("host x\ntls_key_file k", "envelope-from address is missing"),
        ("host x\nfrom a@b\ntls_key_file k\ntls\ntls_trust_file", "tls_key_file requires tls_cert_file"),
    ],
)
def test_settings_are_checked_against_each_other(text: str, fault: str | None) -> None:
    if fault is None:
        chosen("", f"account default\n{text}")
        return
    with pytest.raises(ConfigFailure) as caught:
        chosen("", f"account default\n{text}")
    assert caught.value.message == f"account default from rc: {fault}"


def test_a_fault_of_the_command_line_names_no_file() -> None:
    with pytest.raises(ConfigFailure) as caught:
        chosen("--host=x --protocol=lmtp -f a@b")
    assert caught.value.message == "port not set"


@pytest.mark.parametrize("arguments", ["-P", "-S", "--rmqs=x"])
def test_who_sends_no_mail_needs_no_sender(arguments: str) -> None:
    assert chosen(arguments, "host x").from_ is None


def test_nothing_set_is_every_default() -> None:
    account = Account()
    for attribute, default in accounts.DEFAULTS.items():
        assert getattr(account, attribute) == default
    assert account.set_mask == frozenset()
    assert (account.tls_trust_file, account.domain, account.protocol) == ("system", "localhost", "smtp")


def test_neither_an_account_nor_a_definition_shows_the_password() -> None:
    values: dict[str, object] = {"password": Hidden("geheim"), "host": "x"}
    definition = Definition("default", "rc", {}, values)
    assert "geheim" not in f"{definition!r} {definition.settings} {accounts.build(definition, {})!r}"
    assert definition.get("host") == "x"
    assert definition.get("port") == 0
    assert Definition("default", "rc", {"port": 5}, {}).get("port") == 5


@pytest.mark.parametrize(
    ("home", "name", "file"),
    [
        ("/home/joe", "~/log", "/home/joe/log"),
        ("/home/joe/", "~/log", "/home/joe/log"),
        ("/home/joe", "~", "/home/joe"),
        ("/", "~/log", "/log"),
        ("/", "~", "/"),
        ("/home/joe", "~root/log", os.path.expanduser("~root") + "/log"),
        ("/home/joe", "~nobody-here/log", "~nobody-here/log"),
        ("", "~/log", os.path.expanduser("~root") + "/log"),
    ],
)
def test_a_tilde_is_the_home_directory_as_the_shell_has_it(home, name, file, monkeypatch):
    monkeypatch.setenv("HOME", home)
    if not home:
        monkeypatch.setattr(os, "getuid", lambda: 0)
        monkeypatch.delenv("HOME")
    assert accounts.at_home(name) == file
