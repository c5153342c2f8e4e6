"""The order of the sources, and what is said when none has the password."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.account import Account

from msmtp import credentials
from msmtp.credentials import SOURCES, find, prompt
from msmtp.credentials.request import Request
from msmtp.credentials.secret import Secret
from msmtp.failures import ConfigFailure, PasswordFailure

NETRC = "machine mail.example.org login joe password {}\n"


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests is not asked."""
    monkeypatch.setattr(prompt, "TERMINAL", "/nonexistent/tty")


@pytest.fixture
def everywhere(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    """An account whose password every source has, each another one."""
    home.joinpath(".netrc").write_text(NETRC.format("from-netrc"))
    tmp_path.joinpath("netrc").write_text(NETRC.format("from-system-netrc"))
    monkeypatch.setattr("msmtp.credentials.keyrings.find_password", lambda _: Secret(b"from-key-ring"))
    monkeypatch.setattr("msmtp.credentials.prompt.ask", lambda question: Secret(b"typed at " + question.encode()))
    return Account(password=Secret(b"from-password"), passwordeval="echo from-passwordeval")


def test_the_order_of_the_sources(
    everywhere: Account, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> bytes:
        return find(Request(everywhere, system_folder=str(tmp_path))).reveal()

    order = [found()]
    everywhere.password = None
    order.append(found())
    everywhere.passwordeval = ""
    order.append(found())
    monkeypatch.setattr("msmtp.credentials.keyrings.find_password", lambda _: None)
    order.append(found())
    home.joinpath(".netrc").unlink()
    order.append(found())
    tmp_path.joinpath("netrc").unlink()
    order.append(found())
    assert order == [
        b"from-password",
        b"from-passwordeval",
        b"from-key-ring",
        b"from-netrc",
        b"from-system-netrc",
        b"typed at password for joe at mail.example.org: ",
    ]


def test_the_table_names_them_in_this_order() -> None:
    assert [source.name for source in SOURCES] == [
        "password",
        "passwordeval",
        "key ring",
        "~/.netrc",
        "SYSCONFDIR/netrc",
        "terminal",
    ]
    assert all(source.text for source in SOURCES)


def test_a_socket_stands_for_the_host(home: Path) -> None:
    home.joinpath(".netrc").write_text("machine /run/smtp login joe password local")
    assert find(Request(Account(socket="/run/smtp"))).reveal() == b"local"


def test_a_failing_passwordeval_ends_the_search(everywhere: Account) -> None:
    everywhere.password = None
    for command, words in (("exit 1", "it ended with exit code 1"), ("echo", "its first line is empty")):
        everywhere.passwordeval = command
        with pytest.raises(ConfigFailure) as caught:
            find(Request(everywhere))
        assert caught.value.message == f"cannot read output of '{command}': {words}"


def test_without_a_user_only_the_configuration_is_asked(everywhere: Account) -> None:
    everywhere.user = ""
    assert find(Request(everywhere)).reveal() == b"from-password"
    everywhere.password, everywhere.passwordeval = None, ""
    with pytest.raises(PasswordFailure) as caught:
        find(Request(everywhere))
    assert caught.value.message == "authentication method PLAIN needs a user name"
    assert caught.value.hint


def test_nobody_is_asked_where_nobody_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msmtp.credentials.prompt.ask", lambda _: Secret(b"typed"))
    request = Request(Account(), system_folder="/nonexistent")
    assert find(request).reveal() == b"typed"
    request.may_ask = False
    with pytest.raises(PasswordFailure):
        find(request)


def test_a_password_that_is_nowhere(home: Path, tmp_path: Path) -> None:
    """The words are the C program's, and so is the code; the hint says where was looked and what kept from looking."""
    home.joinpath(".netrc").mkdir()
    with pytest.raises(PasswordFailure) as caught:
        find(Request(Account(), system_folder=str(tmp_path)))
    assert caught.value.message == "authentication method PLAIN needs a password"
    assert caught.value.exit_code == caught.value.upstream_exit == 69
    assert caught.value.hint == (
        "there is none for user joe at host mail.example.org in the configuration, the key ring or netrc, and no "
        f"terminal to ask for it; {home}/.netrc: Is a directory"
    )
    with pytest.raises(PasswordFailure, match=r"^authentication needs a password$"):
        find(Request(Account(auth="on"), system_folder=str(tmp_path)))


def test_without_a_home_folder_there_is_no_netrc_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HOME")
    tmp_path.joinpath("netrc").write_text(NETRC.format("system"))
    assert find(Request(Account(), system_folder=str(tmp_path))).reveal() == b"system"


def test_the_package_imports_nothing_before_it_is_its_turn() -> None:
    assert not {"keyring", "secretstorage", "termios", "select"} & set(vars(credentials))
