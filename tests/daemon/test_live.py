"""msmtpd as it is started: by root for somebody else, by a user; what it does with one mail, and what is left of it."""

from __future__ import annotations

import os

import pytest
from tests.support.daemon import NOBODY, Msmtpd

STARTS = [
    pytest.param({}, id="as it comes"),
    pytest.param({"uid": NOBODY}, id="a user", marks=pytest.mark.root),
    pytest.param({"uid": 61234}, id="a user without a name", marks=pytest.mark.root),
    pytest.param({"unix": "smtp"}, id="unix socket"),
    pytest.param({"host": "::1"}, id="IPv6"),
]


@pytest.mark.parametrize("how", STARTS)
def test_a_mail_gets_to_the_command(how):
    with Msmtpd(**how) as daemon:
        with daemon.talk() as client:
            assert "\n250-PIPELINING\n" in client.greet()
            assert client.mail() == "250 2.0.0 Ok, mail was piped"
            client.say("QUIT", "221 2.0.0")
        (mail,) = daemon.mails(1)
        assert mail.arguments == ["-f", "a@b.example", "--", "c@d.example"]
        assert mail.content == b"Subject: hi\n\nho\n"
        uid = how.get("uid", NOBODY if os.geteuid() == 0 else os.geteuid())
        assert mail.user.startswith(f"uid={uid}")
