"""On no path is anything imported, opened, started or connected to once the sandbox is entered."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import time

import pytest
from tests.support import certificates
from tests.support.late import run
from tests.support.sasl.over_smtp import Authenticating, BoundTls
from tests.support.scripted import DROP, HANG, RESET, Polite, Say, ScriptedServer
from tests.support.sending import account

TO = ("jane@example.net",)
EVERYTHING = ("PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "SIZE 1000000", "DSN", "ETRN", "ENHANCEDSTATUSCODES")
ODD_MAIL = (
    "Subject: Gr\u00fc\u00dfe \u65e5\u672c\nFrom: J\u00f6rg <j\u00f6rg@b\u00fccher.example>\n\n".encode()
    + b"\xff\xfe8bit\n.\n..\n"
)
ODD_REPLY = b"250 2.0.0 gr\xc3\xbc\xc3\x9fe \xff\xfe \x1b[31m \xe2\x80\xae ok\r\n"


def trust(more=""):
    return f"tls on\ntls_trust_file {certificates.localhost().authority}\n{more}\n"


def auth(method, password="secret"):
    return f"auth {method}\nuser joe\npassword {password}\n"


def check(folder, server, more="", arguments=TO, *, code=0, **how):
    """Run msmtp against a server; the run, in which nothing may be loaded late."""
    with server as peer:
        done = run(folder, account(peer.port, "sandbox require\n" + more), arguments, **how)
    assert done.entered or "cannot connect" in done.err, (done.out, done.err)  # one who resets at once may be faster
    assert done.late == [], "\n".join(done.late)
    assert code is None or done.code == code, (done.code, done.out, done.err)
    return done


def polite(**more):
    implicit = more.pop("implicit", False)
    tls = more.pop("tls", None)
    return ScriptedServer(Polite(**more), implicit=implicit, tls=tls, raise_errors=False)


# -- what goes well

WELL = {
    "plain": ({}, "", TO, {}),
    "without extensions": ({"extensions": ()}, "", TO, {}),
    "chunking": ({"extensions": EVERYTHING}, "dsn_notify success\ndsn_return full", TO, {}),
    "large mail": ({}, "", TO, {"mail": b"Subject: x\n\n" + b"0123456789abcde\n" * 40000}),
    "everything odd": ({"extensions": EVERYTHING, "replies": {"message": ODD_REPLY}}, "from j\u00f6rg@b\u00fccher.example\n", ("jos\u00e9@xn--fa-hia.example",), {"mail": ODD_MAIL}),
    "name in other letters": ({"extensions": ()}, "missing_extension send\n", ("jane@b\u00fccher.example",), {}),
    "starttls": ({"starttls": True}, trust(), TO, {}),
    "implicit tls": ({"implicit": True}, trust("tls_starttls off"), TO, {}),
    "lmtp": ({"lmtp": True, "replies": {"message": ["250 ok", "450 later"]}}, "protocol lmtp\n", ("a@example.net", "b@example.net"), {}),
    "some refused": ({"replies": {"RCPT": ["250 ok", "550 no"]}}, "partial_recipients on\n", ("a@example.net", "b@example.net"), {}),
    "debug": ({"starttls": True}, trust(), ("--debug", *TO), {}),
    "log on standard output": ({}, "logfile -\n", TO, {}),
    "syslog": ({}, "syslog on\n", TO, {}),
    "log in another language": ({}, "logfile -\nlogfile_time_format %c %Z %x %X\n", TO, {"environment": {"LC_ALL": "", "LANG": "de_DE.UTF-8", "TZ": "Europe/Berlin"}}),
    "time zone of the system": ({}, "logfile -\n", TO, {"environment": {"TZ": ""}}),
    "serverinfo": ({"extensions": EVERYTHING}, "", ("--serverinfo",), {}),
    "serverinfo, starttls": ({"starttls": True}, trust(), ("--serverinfo",), {}),
    "serverinfo, implicit tls": ({"implicit": True}, trust("tls_starttls off"), ("--serverinfo",), {}),
    "rmqs": ({"extensions": EVERYTHING}, "", ("--rmqs=@example.org",), {}),
    "minimal tls priorities": ({"starttls": True}, trust("tls_priorities SECURE128:-VERS-ALL:+VERS-TLS1.2\ntls_min_dh_prime_bits 1024"), TO, {}),
    "fine tls priorities": ({"starttls": True}, trust("tls_priorities NONE:+VERS-TLS1.3:+AES-256-GCM:+AEAD:+GROUP-SECP256R1:+SIGN-ALL:+SHA256:+ECDHE-ECDSA"), TO, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", WELL)
def test_where_all_goes_well(tmp_path, name):
    server, more, arguments, how = WELL[name]
    log = "" if "logfile" in more else f"logfile {tmp_path}/log\n"
    check(tmp_path, polite(**server), log + more, arguments, code=None, **how)


def test_with_a_system_trust_file(tmp_path):
    text = "tls on\ntls_trust_file /etc/ssl/certs/ca-certificates.crt\n"
    done = check(tmp_path, polite(starttls=True), text, code=69)
    assert "The certificate issuer is unknown" in done.err


@pytest.mark.parametrize("name", ["starttls", "implicit tls", "serverinfo, starttls"])
def test_with_the_public_module_of_tls(tmp_path, name):
    """Where a Python has not the private one (net/_openssl)."""
    server, more, arguments, how = WELL[name]
    without = "import _ssl, ssl; del _ssl._SSLContext"
    for settings, code in ((more, 0), (more.replace("tls_trust_file", "tls_trust_file system\n#"), 69)):
        check(tmp_path, polite(**server), settings, arguments, code=code, before=without, **how)


# -- authentication


@pytest.mark.parametrize("password", ["secret", "wrong"])
@pytest.mark.parametrize(
    "method", ["plain", "login", "cram-md5", "digest-md5", "scram-sha-1-plus", "scram-sha-256", "on"]
)
def test_authentication(tmp_path, method, password):
    offered = [method.upper()] if method != "on" else ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]
    behaviour = Authenticating(offered, starttls=True)
    server = ScriptedServer(behaviour, tls=BoundTls(certificates.localhost()), raise_errors=False)
    check(tmp_path, server, trust(auth(method, password)), code=77 if password == "wrong" else 0)


@pytest.mark.parametrize("method", ["plain", "scram-sha-256"])
def test_authentication_with_names_beyond_ascii(tmp_path, method):
    """Their preparation (RFC 4013) needs tables."""
    behaviour = Authenticating(
        [method.upper()],
        user="j\u00f6rg".encode(),
        password="pa\u00dfIX".encode(),
    )
    more = f"auth {method}\nuser j\u00f6rg\npassword pa\u00df\u2168\n"
    check(tmp_path, ScriptedServer(behaviour, raise_errors=False), more)


# -- what goes wrong

STEPS = ("greeting", "EHLO", "STARTTLS", "EHLO tls", "AUTH", "MAIL", "RCPT", "DATA", "message")
WRONG = {
    "a refusal": b"550 \xff\xfe\xe2\x80\xae\x1b[2J\r\n",
    "421": "421 4.3.2 going down",
    "no reply": b"\x00\xff\x80 what is this?\r\n",
    "half a reply": Say(b"250-x\r\n25", then=DROP),
}
CASES = [(step, wrong) for step in STEPS for wrong in WRONG]
WRONG |= {"silence": HANG, "reset": RESET}
CASES += [
    ("greeting", "silence"),
    ("greeting", "reset"),
    ("AUTH", "silence"),
    ("DATA", "reset"),
    ("message", "silence"),
]


@pytest.mark.parametrize(("step", "wrong"), CASES)
def test_where_something_goes_wrong(tmp_path, step, wrong):
    more = trust("timeout 1\n" + auth("plain")) + f"logfile {tmp_path}/log\n"
    server = polite(starttls=True, mechanisms=["PLAIN"], replies={step: WRONG[wrong]}, extensions=("8BITMIME",))
    done = check(tmp_path, server, more, code=None)
    assert done.code
    assert "internal error" not in done.err


@pytest.mark.parametrize("challenge", ["!", "cj14", "TlRMTVNTUAACAAAA"])
@pytest.mark.parametrize("method", ["login", "cram-md5", "digest-md5", "scram-sha-256", "oauthbearer", "ntlm"])
def test_where_a_challenge_makes_no_sense(tmp_path, method, challenge):
    replies = {"AUTH": f"334 {challenge}", "AUTH 2": [f"334 {challenge}", f"334 {challenge}", "535 5.7.8 no"]}
    done = check(tmp_path, polite(mechanisms=[method.upper()], replies=replies), auth(method), code=None)
    assert done.code in {70, 76, 77}, done.err
    assert "internal error" not in done.err


# -- TLS that does not come about, or that somebody breaks

GOOD = certificates.localhost


def untrusted():
    return certificates.new_authority().issue()


def other_host():
    return certificates.authority().issue("elsewhere.example")


def expired():
    return certificates.authority().expired()


REFUSED = {
    "untrusted": (untrusted, ""),
    "another host": (other_host, ""),
    "expired": (expired, ""),
    "another fingerprint": (GOOD, "tls_fingerprint " + "00:" * 31 + "00\n"),
    "another name wanted": (GOOD, "tls_host_override elsewhere.example\n"),
    "too weak a prime": (GOOD, "tls_min_dh_prime_bits 9000\ntls_priorities NORMAL:-VERS-TLS1.3:-KX-ALL:+DHE-RSA\n"),
    "no version in common": (GOOD, "tls_priorities NORMAL:-VERS-ALL:+VERS-TLS1.2\n"),
}


@pytest.mark.parametrize("starttls", [True, False])
@pytest.mark.parametrize("name", REFUSED)
def test_where_the_certificate_is_refused(tmp_path, name, starttls):
    issue, more = REFUSED[name]
    more = trust(f"tls_starttls {'on' if starttls else 'off'}\n" + more) + auth("on") + f"logfile {tmp_path}/log\n"
    if "fingerprint" in more:
        more = more.replace("tls_trust_file", "#")
    context = (
        issue().server_context(minimum_version=ssl.TLSVersion.TLSv1_3)
        if "version" in name
        else issue().server_context()
    )
    done = check(tmp_path, polite(starttls=starttls, implicit=not starttls, tls=context), more, code=None)
    assert done.code in {69, 76}, done.err


NOISE = {
    "words": b"220 hello\r\n",
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "half a record": b"\x16\x03\x03\x40\x00abc",
    "zeros": bytes(20000),
    "nothing": b"",
}


@pytest.mark.parametrize("noise", NOISE)
def test_where_the_handshake_is_noise(tmp_path, noise):
    def play(session):
        session.say(Say(NOISE[noise], then=HANG if noise == "half a record" else DROP))

    more = trust("tls_starttls off\ntimeout 1\n") + f"logfile {tmp_path}/log\n"
    done = check(tmp_path, ScriptedServer(play, raise_errors=False), more, code=None)
    assert done.code in {75, 76}, done.err


@pytest.mark.parametrize(
    "noise", [b"\x15\x03\x03\x00\x02\x02\x14", b"250 in clear\r\n", b"\x17\x03\x03\x00\x20" + bytes(32)]
)
def test_where_a_tls_session_is_broken(tmp_path, noise):
    def play(session):
        session.say("220 hello")
        session.line()
        session.flush()
        raw = socket.socket(fileno=os.dup(session.socket.fileno()))
        with raw:
            raw.sendall(noise)
        session.until_gone()

    more = trust("tls_starttls off\ntimeout 2\n") + f"logfile {tmp_path}/log\n"
    done = check(tmp_path, ScriptedServer(play, implicit=True, raise_errors=False), more, code=None)
    assert done.code == 75, done.err


def test_with_a_client_certificate_a_hashed_directory_and_a_priority_string(tmp_path):
    ours = certificates.authority().issue("joe@example.org")
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "a.pem").write_bytes(certificates.authority().file.read_bytes())
    subprocess.run(["openssl", "rehash", str(folder)], check=True)
    more = f"tls on\ntls_trust_file system\ntls_cert_file {ours.chain}\ntls_key_file {ours.key}\n" + auth("external")
    server = ScriptedServer(
        Authenticating(["EXTERNAL"], starttls=True), tls=BoundTls(certificates.localhost(), client=True)
    )
    environment = {"SSL_CERT_DIR": str(folder), "SSL_CERT_FILE": ""}
    check(tmp_path, server, more, environment=environment)


@pytest.mark.parametrize("step", ["greeting", "EHLO tls", "message"])
def test_with_a_signal(tmp_path, step):
    server = polite(starttls=True, replies={step: HANG})

    def interrupt(process):
        time.sleep(0.7)
        process.send_signal(signal.SIGTERM)

    done = check(tmp_path, server, trust(f"logfile {tmp_path}/log"), code=75, meanwhile=interrupt)
    assert "interrupted by SIGTERM" in done.err


# -- the harness itself


@pytest.mark.parametrize(
    ("what", "event"),
    [
        ("import this_is_none", "import this_is_none"),
        ("open('/')", "open /"),
        ("'x'.encode('cp037')", "import encodings.cp037"),
    ],
)
def test_the_harness_would_notice(tmp_path, what, event):
    before = f"""
from msmtp.sender import session
greet = session.Session.greet
def late_greet(self):
    try:
        {what}
    except (OSError, ImportError, LookupError):
        pass
    greet(self)
session.Session.greet = late_greet
"""
    with polite() as peer:
        done = run(tmp_path, account(peer.port), TO, before=before)
    assert done.code == 0
    assert done.late[0].startswith(event + " ")
