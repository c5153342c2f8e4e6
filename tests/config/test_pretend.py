"""What --pretend, --help and --version print."""

from __future__ import annotations

import re

import pytest

from msmtp.config import command_line, help, pretend, texts, version  # noqa: A004 - the module is called so
from msmtp.config.account import Account
from msmtp.config.options import METHODS, OPTIONS, Hidden


def shown(label: str, *words: str, **settings: object) -> str:
    account = Account("default", "rc", settings)
    text = pretend.dump(account, command_line.parse(["msmtp", "-P", *words]))
    return next(line for line in text.splitlines() if line.startswith(f"{label} =")).partition(" =")[2].strip()


@pytest.mark.parametrize(
    ("label", "attribute", "value", "text"),
    [
        ("host", "host", "", "(not set)"),
        ("host", "host", "x", "x"),
        ("source ip", "source_ip", "192.0.2.1", "192.0.2.1"),
        ("proxy port", "proxy_port", 0, "0"),
        ("timeout", "timeout", 0, "off"),
        ("timeout", "timeout", 5, "5 seconds"),
        ("auth", "auth", "", "none"),
        ("auth", "auth", "on", "choose"),
        ("auth", "auth", "scram-sha-1-plus", "SCRAM-SHA-1-PLUS"),
        ("password", "password", Hidden("geheim"), "*"),
        ("password", "password", Hidden(""), "(not set)"),
        ("password", "password", None, "(not set)"),
        ("tls", "tls", True, "on"),
        ("tls_fingerprint", "tls_fingerprint", b"\x0a\xbc", "0A:BC"),
        ("tls_fingerprint", "tls_fingerprint", b"", "(not set)"),
        ("tls_min_dh_prime_bits", "tls_min_dh_prime_bits", 0, "(not set)"),
        ("from", "from_", None, "(not set)"),
        ("from", "from_", "", ""),
        ("dsn_notify", "dsn_notify", "FAILURE,DELAY", "FAILURE,DELAY"),
        ("partial_recipients", "partial_recipients", True, "on"),
    ],
)
def test_values_are_shown_as_people_write_them(label: str, attribute: str, value: object, text: str) -> None:
    assert shown(label, **{attribute: value}) == text


def test_an_empty_value_is_shown_as_one_only_if_somebody_set_it() -> None:
    assert shown("maildomain") == "(not set)"
    assert shown("maildomain", maildomain="") == ""


@pytest.mark.parametrize(
    ("words", "last"),
    [
        ([], "reading recipients from the command line"),
        (["-t"], "reading recipients from the command line and the mail"),
        (["--rmqs=#q"], "RMQS argument = #q"),
    ],
)
def test_the_last_line_says_whom_it_is_for(words: list[str], last: str) -> None:
    text = pretend.dump(Account(), command_line.parse(["msmtp", "-P", *words]))
    assert text.endswith(f"\n{last}\n")


def test_modes_without_a_mail_do_not_show_what_is_for_mails() -> None:
    text = pretend.dump(Account(), command_line.parse(["msmtp", "-S"]))
    assert "tls_host_override" in text
    assert "logfile" not in text
    assert "recipients" not in text


# -- --help


def test_help_names_every_option_that_is_documented_and_no_other() -> None:
    lines = [line for line in help.help_text().splitlines() if line.startswith(("  -", "Accepted"))]
    left = [line[: help.COLUMN] if line.startswith("  ") else line.partition(":")[2] for line in lines]
    found = set(re.findall(r"(?:^|[ ])(--[a-z0-9-]+|--|-[A-Za-z])", "\n".join(left), re.MULTILINE))
    wanted = {form for row in texts.shown() for form, _ in texts.option_forms(row)}
    assert found == wanted | {"--"}
    for row in OPTIONS:
        if row.note == "hidden" and row.long:
            assert f"--{row.long}" not in help.help_text()


def test_help_fits_a_terminal() -> None:
    assert max(map(len, help.help_text().splitlines())) <= 84
    assert all(line == line.rstrip() for line in help.help_text().splitlines())


def test_every_line_of_help_is_in_two_columns() -> None:
    lines = [line for line in help.help_text().splitlines() if line.startswith("  -")]
    for line in lines:
        assert len(line) < help.COLUMN or line[help.COLUMN - 1] == " " or "  " not in line.strip(), line


# -- --version


def test_version_has_the_lines_that_scripts_look_for() -> None:
    lines = version.version_text(METHODS).splitlines()
    assert re.fullmatch(r"msmtp version \d+\.\d+(\.\d+)?\S*", lines[0])
    assert [line.partition(":")[0] for line in lines[1:11]] == [
        "Platform",
        "TLS/SSL library",
        "Authentication library",
        "Supported authentication methods",
        "".join(f"{method} " for method in METHODS),
        "IDN support",
        "NLS",
        "Keyring support",
        "System configuration file name",
        "User configuration file name",
    ]
    assert lines[9] == "System configuration file name: /etc/msmtprc"
    assert lines[10].endswith("/.msmtprc")
    assert lines[11] == ""
    assert lines[12].startswith("Copyright ")


def test_version_lists_what_can_be_done_here() -> None:
    assert "\nplain login xoauth2 \n" in version.version_text(["xoauth2", "login", "plain"])
