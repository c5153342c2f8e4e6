"""What --serverinfo says about the session and the certificate, held against the C program's own words."""

from __future__ import annotations

import datetime as dt
import ssl
import subprocess
import time
import warnings
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID, ObjectIdentifier
from tests.support.certificates import localhost
from tests.support.handshakes import shake
from tests.support.scripted import Polite, ScriptedServer
from tests.support.upstream import run_upstream

from msmtp.net.description import certificate, lines, session
from msmtp.net.suites import split
from msmtp.net.tls import TlsSettings, prepare

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
TLS1_2, TLS1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

A = x509.NameAttribute
PLAIN_NAME = x509.Name([A(NameOID.COUNTRY_NAME, "DE"), A(NameOID.COMMON_NAME, "localhost")])
ODD_NAME = x509.Name(
    [
        x509.RelativeDistinguishedName(attributes)
        for attributes in (
            [A(NameOID.ORGANIZATION_NAME, "#hash")],
            [A(NameOID.ORGANIZATION_NAME, 'a#b;c<d>e=f+g\\h,"i"')],
            [A(NameOID.COMMON_NAME, "one"), A(NameOID.USER_ID, "two")],
            [A(NameOID.COMMON_NAME, "wide é", _type=_ASN1Type.BMPString)],
            [A(ObjectIdentifier("1.2.3.4"), "unknown")],
            [A(ObjectIdentifier("2.999.1234567.1"), "unknown" * 40)],
            *[
                [A(ObjectIdentifier(f"2.5.4.{number}"), "value")]
                for number in (4, 5, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 26, 41, 42, 43, 44, 45, 46, 65, 97)
            ],
            *[[A(ObjectIdentifier(f"1.3.6.1.4.1.311.60.2.1.{number}"), "US")] for number in (1, 2, 3)],
            [A(ObjectIdentifier("2.5.4.20"), "17", _type=_ASN1Type.PrintableString)],
            [A(NameOID.DOMAIN_COMPONENT, "example")],
            [A(NameOID.EMAIL_ADDRESS, "a@b.example")],
            [A(NameOID.UNSTRUCTURED_NAME, "plain")],
            [A(NameOID.COMMON_NAME, "a  b")],
            [A(NameOID.COMMON_NAME, " leading")],
            [A(NameOID.COMMON_NAME, "trailing ")],
            [A(NameOID.COMMON_NAME, " ")],
            [A(NameOID.COMMON_NAME, "üñí основа")],
        )
    ]
)


def server(folder: Path, kind: str = "rsa", name: x509.Name = PLAIN_NAME, ends: dt.datetime = NOW) -> ssl.SSLContext:
    """A server with a self-signed certificate."""
    key = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
    }[kind]()
    issued = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(17)
        .not_valid_before(dt.datetime(1996, 2, 29, 23, 59, 59, tzinfo=dt.UTC))
        .not_valid_after(ends)
        .sign(key, None if kind == "ed25519" else hashes.SHA256())
    )
    file = folder / "server.pem"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(pem + issued.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def upstream(context: ssl.SSLContext, *arguments: str) -> list[str]:
    """What the C program says about the session."""
    with ScriptedServer(Polite(), implicit=True, tls=context) as listening:
        run = run_upstream(
            ["--serverinfo", "--host=127.0.0.1", f"--port={listening.port}", "--tls", "--tls-starttls=off",
             "--tls-certcheck=off", *arguments],
        )  # fmt: skip
    assert run.returncode == 0, run.stderr
    said = run.stdout.decode().split("\n")
    start = said.index("TLS session parameters:")
    return said[start : start + 13]


def ours(context: ssl.SSLContext, priorities: str = "") -> list[str]:
    engine, _ = shake(prepare(TlsSettings(certcheck=False, priorities=priorities), "127.0.0.1"), context)
    assert engine.info is not None
    return lines(engine.info)


SESSIONS = {
    "RSA": ("rsa", {}, ""),
    "P-256": ("p256", {}, ""),
    "P-384": ("p384", {}, ""),
    "Ed25519": ("ed25519", {}, ""),
    "1.2 RSA": ("rsa", {"maximum_version": TLS1_2}, ""),
    "1.2 P-256": ("p256", {"maximum_version": TLS1_2}, ""),
    "1.2 Ed25519": ("ed25519", {"maximum_version": TLS1_2}, ""),
    "1.2 RSA key exchange": ("rsa", {"maximum_version": TLS1_2}, "AES128-SHA"),
    "1.2 RSA key exchange, GCM": ("rsa", {"maximum_version": TLS1_2}, "AES256-GCM-SHA384"),
    "1.2 CBC": ("rsa", {"maximum_version": TLS1_2}, "ECDHE-RSA-AES256-SHA"),
    "1.2 ChaCha20": ("rsa", {"maximum_version": TLS1_2}, "ECDHE-RSA-CHACHA20-POLY1305"),
    "1.2 DHE": ("rsa", {"maximum_version": TLS1_2}, "DHE-RSA-AES128-GCM-SHA256"),
}


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1", "secp521r1"])
@pytest.mark.parametrize("case", SESSIONS)
def test_the_session_and_the_certificate_are_told_in_the_c_programs_words(
    case: str, curve: str, tmp_path: Path
) -> None:
    kind, attributes, ciphers = SESSIONS[case]
    context = server(tmp_path, kind)
    for name, value in attributes.items():
        setattr(context, name, value)
    if ciphers:
        context.set_ciphers(ciphers)
    if "DHE" in ciphers:
        parameters = tmp_path / "dh.pem"
        subprocess.run(["openssl", "dhparam", "-dsaparam", "-out", parameters, "2048"], check=True, capture_output=True)
        context.load_dh_params(parameters)
    context.set_ecdh_curve(curve)
    assert ours(context) == upstream(context)


def test_a_group_of_rfc_7919_is_named(tmp_path: Path) -> None:
    context = server(tmp_path)
    context.maximum_version = TLS1_2
    context.set_ciphers("DHE-RSA-AES256-GCM-SHA384")
    parameters = tmp_path / "dh.pem"
    command = ["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe3072", "-out", parameters]
    subprocess.run(command, check=True, capture_output=True)
    context.load_dh_params(parameters)
    assert ours(context)[1] == "    (TLS1.2)-(DHE-FFDHE3072)-(RSA-PSS-RSAE-SHA256)-(AES-256-GCM)"


@pytest.mark.parametrize(
    ("ends", "zone"),
    [
        (dt.datetime(2049, 12, 31, 23, 59, 59, tzinfo=dt.UTC), "Europe/Berlin"),
        (dt.datetime(2050, 1, 1, tzinfo=dt.UTC), "America/St_Johns"),
        (dt.datetime(2096, 2, 29, 12, tzinfo=dt.UTC), "Europe/Berlin"),
        (dt.datetime(2100, 3, 1, tzinfo=dt.UTC), "UTC"),
        (dt.datetime(9999, 12, 31, 12, tzinfo=dt.UTC), "UTC"),
    ],
)
def test_odd_names_and_times_are_told_in_the_c_programs_words(
    ends: dt.datetime, zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        context = server(tmp_path, "p256", ODD_NAME, ends)
        context.set_ecdh_curve("prime256v1")
        assert ours(context) == upstream(context)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_control_character_in_a_name_cannot_break_the_line(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = x509.Name([A(NameOID.COMMON_NAME, "a\nSubject: b\x1b[31m\u202e")])
    told = ours(server(tmp_path, "p256", name))
    assert told[4] == r"        CN=a\0ASubject: b\1B[31m\E2\80\AE"


def test_what_is_no_certificate_still_has_fingerprints() -> None:
    told = certificate(b"junk")
    assert told[1].startswith("    Not readable: a DER element")
    assert told[-2].startswith("        SHA256: ")


@pytest.mark.parametrize("locale", ["C", "xx_XX.UTF-8", ""])
def test_a_locale_that_is_not_there_is_no_trouble(locale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    told = certificate(localhost().der())
    assert told[6] == "        Activation time: Sat Jan  1 00:00:00 2000"


class Bare:
    """A session of which no message was kept."""

    version, cipher, messages = "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", {}


def test_a_session_without_its_messages_is_told_as_far_as_it_is_known() -> None:
    assert session(Bare()) == "(TLS1.2)-(ECDHE-RSA)-(AES-128-GCM)"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("TLS_AES_128_CCM_8_SHA256", ("", "AES-128-CCM-8", "AEAD")),
        ("TLS_CHACHA20_POLY1305_SHA256", ("", "CHACHA20-POLY1305", "AEAD")),
        ("AES128-CCM", ("RSA", "AES-128-CCM", "AEAD")),
        ("DHE-RSA-AES256-CCM8", ("DHE-RSA", "AES-256-CCM-8", "AEAD")),
        ("ECDHE-ECDSA-CAMELLIA256-SHA384", ("ECDHE-ECDSA", "CAMELLIA-256-CBC", "SHA384")),
        ("ADH-AES256-GCM-SHA384", ("ANON-DH", "AES-256-GCM", "AEAD")),
        ("PSK-AES128-CBC-SHA", ("PSK", "AES-128-CBC", "SHA1")),
        ("NULL-MD5", ("RSA", "NULL", "MD5")),
        ("GOST2012-GOST8912-GOST8912", ("", "", "")),
        ("SHA", ("", "", "")),
        ("", ("", "", "")),
    ],
)
def test_a_suite_is_taken_apart(name: str, parts: tuple[str, str, str]) -> None:
    assert split(name) == parts


@pytest.mark.filterwarnings("ignore")
def test_every_suite_of_this_openssl_is_known_but_those_of_russia() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    names = [str(suite["name"]) for suite in context.get_ciphers()]
    assert len(names) > 100
    assert [name for name in names if split(name) == ("", "", "") and "GOST" not in name] == []
