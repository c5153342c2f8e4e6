"""What is measured without a mail and with much of one: that it is what it is said to be."""

from __future__ import annotations

import email
import email.utils
import subprocess
import sys

import pytest
from bench.large import addressed
from bench.measure import Program, measure
from bench.texts import accounts


def test_an_exit_code_that_is_expected_is_measured_and_no_other(tmp_path, capfd):
    mail = tmp_path / "mail"
    mail.touch()
    words = ["/bin/sh", "-c", "echo wrong >&2; exit 78"]
    assert len(measure([Program("x", words, code=78)], mail, 2)["x"].wall) == 2
    assert "wrong" not in capfd.readouterr().err
    with pytest.raises(RuntimeError):
        measure([Program("x", words, code=77)], mail, 1)


def test_the_default_account_is_the_last_of_the_file(tmp_path):
    file = tmp_path / "msmtprc"
    file.write_text(accounts(50))
    file.chmod(0o600)
    command = [sys.executable, "-m", "msmtp", "--pretend", "-C", str(file), "jane@example.net"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert "mail49.example.org" in done.stdout


def test_a_mail_is_addressed_to_all_recipients(tmp_path):
    many = [f"r{number}@example.net" for number in range(100)]
    letter = email.message_from_bytes(addressed(tmp_path, many).read_bytes())
    assert [address for _, address in email.utils.getaddresses([letter["To"]])] == many
