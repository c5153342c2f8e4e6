"""Servers that send whatever they like: msmtp ends in time, in little memory, with a proper code and tame words.

MSMTP_FUZZ=5000 in the environment tries so many seeds of each kind instead of a few.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier
from tests.support import certificates
from tests.support.hostile import EHLO, GREETING, Meddler, conversation, drip, flood, watch
from tests.support.scripted import Polite, Say, ScriptedServer
from tests.support.sending import account

SEEDS = range(int(os.environ.get("MSMTP_FUZZ", "0")) or 50)
AUTH = "auth on\nuser joe\npassword secret\n"
SETTINGS = (
    "", AUTH, AUTH.replace("on", "plain"), AUTH.replace("on", "login"), AUTH.replace("on", "scram-sha-256"),
    "protocol lmtp\n", "partial_recipients on\n", "tls on\ntls_certcheck off\n",
    "tls on\ntls_certcheck off\ntls_starttls off\n",
)  # fmt: skip
ARGUMENTS = (("a@b.example",), ("a@b.example", "c@d.example", "e@f.example"), ("--serverinfo",), ("--rmqs=x",))


def test_random_conversations(tmp_path):
    for seed in SEEDS:
        source = random.Random(seed)
        settings, arguments = source.choice(SETTINGS), source.choice(ARGUMENTS)
        with ScriptedServer(conversation(seed), raise_errors=False) as server:
            run = watch(tmp_path, account(server.port, settings + "timeout 1"), arguments)
        run.check()


FLOODS = {
    "a line": (b"x", ()),
    "a greeting": (b"220-x\r\n", ()),
    "a greeting of long lines": (b"220-" + b"x" * 12000 + b"\r\n", ()),
    "an answer to EHLO": (b"250-SIZE 1\r\n", (GREETING,)),
    "a long answer to EHLO": (b"250-" + b"x" * 12280 + b"\r\n", (GREETING,)),
    "challenges": (b"334 \r\n", (GREETING, EHLO)),
    "good news": (b"250 x\r\n", (GREETING,)),
    "farewells": (b"421 x\r\n", (GREETING, EHLO)),
    "NULs": (b"\0", (GREETING, EHLO)),
    "line ends": (b"\n", (GREETING, EHLO)),
    "TLS records": (b"\x16\x03\x03\x40\x00" + bytes(0x4000), ()),
    "TLS alerts": (b"\x15\x03\x03\x00\x02\x01\x5a", ()),
}


@pytest.mark.parametrize("settings", [AUTH, "tls on\ntls_certcheck off\ntls_starttls off\n"], ids=["auth", "tls"])
@pytest.mark.parametrize("name", FLOODS)
def test_a_server_without_an_end(tmp_path, name, settings):
    data, after = FLOODS[name]
    with ScriptedServer(flood(data, after=after), raise_errors=False) as server:
        run = watch(tmp_path, account(server.port, settings + "timeout 3"))
    run.check(seconds=6)
    assert run.code != 0


@pytest.mark.parametrize("after", [(), (GREETING,), (GREETING, EHLO)], ids=["greeting", "EHLO", "AUTH"])
@pytest.mark.parametrize("data", [b"250-x\r\n", b"2", b"334-\r\n"])
def test_a_server_that_drips_does_not_outlast_the_timeout(tmp_path, data, after):
    with ScriptedServer(drip(data, 0.2, after=after), raise_errors=False) as server:
        run = watch(tmp_path, account(server.port, AUTH + "timeout 1"))
    run.check(seconds=4)
    assert run.code in {75, 76}


def test_a_slow_server_that_gets_on_is_waited_for(tmp_path):
    """Each reply has the timeout for itself."""
    with ScriptedServer(Polite(extensions=("PIPELINING",), each=Say("", chunks=(6,), pause=0.15))) as server:
        run = watch(tmp_path, account(server.port, "timeout 2"), ("a@b.example", "c@d.example", "e@f.example"))
    run.check()
    assert run.code == 0
    assert run.seconds > 2


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_fault_12_somebody_who_meddles_with_tls(tmp_path, version):
    """Nothing of the mail is lost without a word, and none of it is said to be sent that was not."""
    for seed in SEEDS[: len(SEEDS) // 3]:
        starttls = bool(seed % 2)
        settings = (
            f"tls on\ntls_trust_file {certificates.localhost().authority}\ntimeout 1\n{AUTH}"
            f"tls_starttls {'on' if starttls else 'off'}\n"
        )
        context = certificates.localhost().server_context(maximum_version=version)
        behaviour = Polite(starttls=starttls, mechanisms=["PLAIN"])
        with (
            ScriptedServer(behaviour, tls=context, implicit=not starttls, raise_errors=False) as server,
            Meddler(server.port, seed, 4000) as meddler,
        ):
            run = watch(tmp_path, account(meddler.own_port, settings))
        run.check()
        assert run.code or server.mails, (seed, run)
        assert not run.code or not server.mails or b"may have taken" in run.err, (seed, run)


# -- certificates

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = dt.datetime.now(dt.UTC)


def certificate(subject, names=(), issuer=None):
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subject))
        .issuer_name(x509.Name(issuer or subject))
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW - dt.timedelta(days=1))
        .not_valid_after(NOW + dt.timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM)


def named(name, kind=NameOID.COMMON_NAME):
    return [x509.NameAttribute(kind, name)]


BOMBS = {
    "five thousand names": lambda: certificate(named("x"), [x509.DNSName(f"h{n}.example") for n in range(5000)]),
    "wildcards": lambda: certificate(named("x"), [x509.DNSName("*." * 30 + f"h{n}.example") for n in range(900)]),
    "names that are none": lambda: certificate(
        named("\x1b[2J\r\nmsmtp: sent\u202e\u2028"), [x509.DNSName("a\0b.example"), x509.DNSName("\x1b[2J")]
    ),
    "many words": lambda: certificate(
        named("x"), issuer=[x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, word) for word in "abcdef0123" * 300]
    ),
    "a long name": lambda: certificate([x509.NameAttribute(ObjectIdentifier("1.2.3.4"), "w " * 40000)]),
    "a long chain": lambda: b"".join(certificate(named(f"{n}"), issuer=named(f"{n + 1}")) for n in range(250)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_certificate_made_to_hurt(tmp_path, name):
    (tmp_path / "chain").write_bytes(BOMBS[name]())
    (tmp_path / "key").write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "chain", tmp_path / "key")
    for settings, arguments in (
        ("tls_trust_file /etc/ssl/certs/ca-certificates.crt", ("a@b.example",)),
        (f"tls_trust_file {tmp_path}/chain\ntls_host_override other.example", ("a@b.example",)),
        ("tls_certcheck off", ("--serverinfo",)),
    ):
        with ScriptedServer(Polite(), tls=context, implicit=True, raise_errors=False) as server:
            run = watch(tmp_path, account(server.port, f"tls on\ntls_starttls off\n{settings}"), arguments)
        run.check(seconds=5)
        assert run.code in {69, 76} or arguments == ("--serverinfo",)
        assert all(line.isprintable() for line in run.out.decode().split("\n"))
