"""A worker's session: what a client hears, what auth and delivery are told."""

from __future__ import annotations

from tests.support.worker_ends import serving

from msmtp.daemon import requests as rows


def test_a_mail_is_handed_over_with_lf_line_ends():
    with serving() as ends:
        assert ends.hear() == "220 mx.example ESMTP"
        assert ends.ask("EHLO client.example").splitlines()[0] == "250-mx.example"
        assert ends.code("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.org>") == 250
        assert ends.code("DATA") == 354
        assert ends.ask("Subject: x\r\n\r\n..dots\r\nend\r\n.") == "250 2.0.0 Ok, mail was piped"
        assert ends.code("QUIT") == 221
        assert ends.hear() == "(end)"
    assert ends.delivery.mails == [b"Subject: x\n\n.dots\nend\n"]
    assert ends.delivery.names() == ["ENVELOPE", "RECIPIENT", "BODY", "COMMIT"]
    envelope = ends.delivery.told[0][1]
    assert (envelope["hello"], envelope["protocol"]) == (b"client.example", rows.EXTENDED)
    assert (envelope["sender"], envelope["parameters"]) == (b"a@example.org", [])
    assert ends.supervisor.ended == ("quit", 1, 0)
