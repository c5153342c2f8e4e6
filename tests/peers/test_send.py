"""Our msmtp sends through real mail servers; what they deliver is what was sent."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading

import pytest
from tests.support import certificates
from tests.support.peers.base import PASSWORD, SIZE_LIMIT, USER
from tests.support.peers.dovecot import BOUND
from tests.support.peers.dovecot import MECHANISMS as DOVECOT_MECHANISMS
from tests.support.peers.exim import MECHANISMS as EXIM_MECHANISMS
from tests.support.peers.ways import ways
from tests.support.sending import msmtp

HEADER = (
    b"From: Me <me@example.org>\nTo: ann@example.org\nDate: Sun, 22 Nov 2026 16:48:01 +0000\n"
    b"Message-ID: <1@example.org>\nSubject: hi\n"
)
MAIL = HEADER + b"\n.dot\n..\n\n.\nlast\n"


def settings(peer, port, password=PASSWORD, more=""):
    """The configuration for a port of a peer."""
    lines = [f"account default\nhost localhost\nport {peer.ports[port]}\nfrom me@example.org\ntimeout 60\n"]
    lines.append("set_from_header off\nset_date_header off\nset_msgid_header off\n")
    if port in {"submission", "submissions"}:
        lines.append(f"tls on\ntls_trust_file {peer.authority}\nauth on\nuser {USER}\npassword {password}\n")
        lines.append(f"tls_starttls {'on' if port == 'submission' else 'off'}\n")
    if port == "lmtp":
        lines.append("protocol lmtp\n")
    return "".join(lines) + more


def crlf(mail):
    return mail.replace(b"\n", b"\r\n")


def names(deliveries):
    """Who got them, by local part: Dovecot's maildirs know no more."""
    return sorted(delivery.recipient.partition("@")[0] for delivery in deliveries)


@ways()
def test_a_mail_arrives_byte_for_byte(peer, way, tmp_path):
    run = msmtp(tmp_path, settings(peer, way[1]), "ann@example.org", "bob@example.org", mail=MAIL)
    assert (run.code, run.err) == (0, "")
    deliveries = peer.deliveries(2)
    assert {delivery.content for delivery in deliveries} == {crlf(MAIL)}
    assert names(deliveries) == ["ann", "bob"]
    assert {delivery.sender for delivery in deliveries} <= {"me@example.org", ""}
    assert ("smtpstatus=250" in run.log) == (way[1] != "lmtp")


@ways("smtp", without=(("opensmtpd", "smtp"),))  # its port for everybody has no TLS
def test_starttls_without_authentication(peer, way, tmp_path):
    more = f"tls on\ntls_trust_file {peer.authority}\n"
    run = msmtp(tmp_path, settings(peer, "smtp", more=more), "ann@example.org", mail=MAIL)
    assert (run.code, run.err) == (0, "")
    assert peer.deliveries(1)[0].content == crlf(MAIL)


@ways()
def test_eight_bit_mail(peer, way, tmp_path):
    mail = HEADER + b"MIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\n\n" + bytes(range(128, 256)) + b"\n"
    run = msmtp(tmp_path, settings(peer, way[1]), "ann@example.org", mail=mail)
    assert (run.code, run.err) == (0, "")
    assert peer.deliveries(1)[0].content == crlf(mail)


@ways(without=(("aiosmtpd", "smtp"), ("aiosmtpd", "submission"), ("aiosmtpd", "submissions")))
def test_a_big_mail(peer, way, tmp_path):
    line = b"." + b"0123456789" * 7 + b"\n"
    mail = HEADER + b"\n" + line * ((6 << 20) // len(line))
    run = msmtp(tmp_path, settings(peer, way[1]), "ann@example.org", mail=mail)
    assert (run.code, run.err) == (0, "")
    assert peer.deliveries(1, 60)[0].content == crlf(mail)


@ways()
def test_many_recipients(peer, way, tmp_path):
    people = (
        ["ann", "bob", "carol", "joe", "full"] if way[0] == "dovecot" else [f"user{number}" for number in range(40)]
    )
    run = msmtp(tmp_path, settings(peer, way[1]), *(f"{name}@example.org" for name in people), mail=MAIL)
    assert (run.code, run.err) == (0, "")
    assert names(peer.deliveries(len(people))) == sorted(people)


@ways()
def test_a_mail_without_an_end_or_with_nothing_but_a_header(peer, way, tmp_path):
    for mail, arrives in ((HEADER + b"\nno line end", HEADER + b"\nno line end\n"), (HEADER + b"\n", HEADER + b"\n")):
        run = msmtp(tmp_path, settings(peer, way[1]), "ann@example.org", mail=mail)
        assert (run.code, run.err) == (0, "")
        assert peer.deliveries(1)[0].content.rstrip(b"\r\n") == crlf(arrives).rstrip(b"\r\n")


@ways()
def test_the_null_sender(peer, way, tmp_path):
    run = msmtp(tmp_path, settings(peer, way[1]), "--from=<>", "ann@example.org", mail=MAIL)
    assert (run.code, run.err) == (0, "")
    assert peer.deliveries(1)[0].sender == ""


# Dovecot's submission leaves recipients to its relay, which takes everybody.
@ways(without=(("dovecot", "submission"), ("dovecot", "submissions")))
def test_an_unknown_recipient_ends_the_mail(peer, way, tmp_path):
    run = msmtp(tmp_path, settings(peer, way[1]), "ann@example.org", "unknown@example.org", mail=MAIL)
    assert run.code == 65
    assert "unknown@example.org" in run.err
    assert "smtpstatus=550" in run.log or "smtpstatus=554" in run.log
    assert peer.deliveries(0) == []


@ways(without=(("dovecot", "submission"), ("dovecot", "submissions")))
def test_an_unknown_recipient_costs_nobody_else_if_so_configured(peer, way, tmp_path):
    text = settings(peer, way[1], more="partial_recipients on\n")
    run = msmtp(tmp_path, text, "ann@example.org", "unknown@example.org", mail=MAIL)
    assert run.code == 65
    assert "unknown@example.org" in run.err
    assert names(peer.deliveries(1)) == ["ann"]


@ways("submission", "submissions")
def test_a_wrong_password(peer, way, tmp_path):
    run = msmtp(tmp_path, settings(peer, way[1], "T0pSecret"), "ann@example.org", mail=MAIL)
    assert run.code == 77
    assert "authentication failed" in run.err
    assert "T0pSecret" not in run.err + run.log


@ways("submission", "submissions")
def test_a_server_that_cannot_be_trusted_gets_no_password(peer, way, tmp_path):
    text = settings(peer, way[1]).replace(str(peer.authority), "/etc/ssl/certs/ca-certificates.crt")
    run = msmtp(tmp_path, text, "ann@example.org", mail=MAIL)
    assert run.code == 69
    assert peer.deliveries(0) == []


@ways("smtp", "submissions")
def test_a_mail_that_is_too_big_is_refused_before_it_is_sent(peer, way, tmp_path):
    line = b"x" * 70 + b"\n"
    mail = HEADER + b"\n" + line * (SIZE_LIMIT // len(line) + 1000)
    run = msmtp(tmp_path, settings(peer, way[1]), "ann@example.org", mail=mail)
    assert run.code in {65, 69}
    assert peer.deliveries(0) == []


CHOICES = [
    *(("dovecot", mechanism) for mechanism in DOVECOT_MECHANISMS),
    *(("postfix", mechanism) for mechanism in DOVECOT_MECHANISMS),
    *(("exim", mechanism) for mechanism in EXIM_MECHANISMS),
]


@pytest.mark.parametrize(("name", "mechanism"), CHOICES, ids=["-".join(choice) for choice in CHOICES])
def test_each_mechanism_that_a_server_offers(named_peer, mechanism, tmp_path):
    text = settings(named_peer, "submission", more=f"auth {mechanism.lower()}\n")
    run = msmtp(tmp_path, text, "ann@example.org", mail=MAIL)
    assert (run.code, run.err) == (0, "")
    assert len(named_peer.deliveries(1)) == 1


TLS_12 = "tls_priorities NORMAL:-VERS-ALL:+VERS-TLS1.2"


@pytest.mark.parametrize("auth", [*BOUND, "on"])
@pytest.mark.parametrize("version", ["TLS 1.3", "TLS 1.2"])
@pytest.mark.parametrize("port", ["submission", "submissions"])
def test_authentication_bound_to_the_tls_session(newer_dovecot, port, version, auth, tmp_path):
    """RFC 9266 under TLS 1.3, RFC 5929 under 1.2; ``auth on`` prefers it."""
    more = f"auth {auth.lower()}\n{TLS_12 if version == 'TLS 1.2' else ''}\n"
    run = msmtp(tmp_path, settings(newer_dovecot, port, more=more), "--debug", "ann@example.org", mail=MAIL)
    assert (run.code, run.err) == (0, "")
    assert f"--> AUTH {auth if auth != 'on' else BOUND[-1]}" in run.out
    assert len(newer_dovecot.deliveries(1)) == 1


@contextlib.contextmanager
def somebody_between(peer):
    """The port of somebody who has the server's key, takes the client's session and makes one of his own."""
    listener = socket.create_server(("127.0.0.1", 0))
    theirs = certificates.localhost().server_context()
    ours = ssl.create_default_context(cafile=peer.authority)

    def pass_on():
        with (
            contextlib.suppress(OSError),
            theirs.wrap_socket(listener.accept()[0], server_side=True) as client,
            socket.create_connection(("127.0.0.1", peer.ports["submissions"])) as raw,
            ours.wrap_socket(raw, server_hostname="localhost") as server,
        ):
            other = {client: server, server: client}
            while True:
                for end in select.select(other, [], [], 30)[0]:
                    data = end.recv(65536)
                    while end.pending():
                        data += end.recv(65536)
                    if not data:
                        return
                    other[end].sendall(data)

    with listener:
        thread = threading.Thread(target=pass_on)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(("auth", "code"), [("scram-sha-256", 0), ("scram-sha-256-plus", 77), ("on", 77)])
def test_authentication_fails_in_a_tls_session_with_somebody_between(newer_dovecot, auth, code, tmp_path):
    """The certificate is right, and without the binding nobody would notice."""
    with somebody_between(newer_dovecot) as port:
        text = settings(newer_dovecot, "submissions", more=f"port {port}\nauth {auth}\n")
        run = msmtp(tmp_path, text, "ann@example.org", mail=MAIL)
    assert run.code == code, run.err
    assert len(newer_dovecot.deliveries(1 if code == 0 else 0)) == (code == 0)


def test_a_report_of_success_comes_back(postfix, tmp_path):
    run = msmtp(
        tmp_path,
        settings(postfix, "smtp"),
        "--dsn-notify=success",
        "--dsn-return=headers",
        "ann@example.org",
        mail=MAIL,
    )
    assert (run.code, run.err) == (0, "")
    mail, report = sorted(postfix.deliveries(2), key=lambda delivery: delivery.recipient)
    assert mail.content == crlf(MAIL)
    assert (report.sender, report.recipient) == ("", "me@example.org")
    assert b"Action: delivered" in report.data or b"Action: relayed" in report.data
    assert b"last\n" not in report.data  # the header only


def test_no_report_if_none_is_wanted(postfix, tmp_path):
    run = msmtp(tmp_path, settings(postfix, "smtp"), "--dsn-notify=never", "ann@example.org", mail=MAIL)
    assert (run.code, run.err) == (0, "")
    assert postfix.deliveries(1)[0].recipient == "ann@example.org"


@pytest.mark.parametrize("name", ["postfix", "exim", "aiosmtpd"])
def test_an_address_beyond_ascii(named_peer, tmp_path):
    run = msmtp(tmp_path, settings(named_peer, "smtp"), "jörg@example.org", mail=MAIL)
    assert (run.code, run.err) == (0, "")
    assert named_peer.deliveries(1)[0].recipient == "jörg@example.org"


def test_lmtp_over_a_unix_socket(dovecot, tmp_path):
    text = f"account default\nhost x\nsocket {dovecot.extra['lmtp']}\nprotocol lmtp\nfrom me@example.org\n"
    text += "set_date_header off\nset_msgid_header off\nset_from_header off\n"
    run = msmtp(tmp_path, text, "ann@example.org", mail=MAIL)
    assert (run.code, run.err) == (0, "")
    assert dovecot.deliveries(1)[0].content == crlf(MAIL)


@ways("smtp", "submission", "submissions")
def test_what_the_server_tells_of_itself(peer, way, tmp_path):
    run = msmtp(tmp_path, settings(peer, way[1]), "--serverinfo", mail=b"")
    assert (run.code, run.err) == (0, "")
    assert run.out.startswith("SMTP server at localhost (")
    assert "SIZE" in run.out
    if way[1] != "smtp":
        assert "TLS certificate information:" in run.out
        assert "PLAIN" in run.out
