"""The reader of certificates: right for whole ones, calm with broken ones, of OpenSSL's opinion about names."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.certificates import localhost
from tests.support.handshakes import shake

from msmtp.failures import CertificateFailure
from msmtp.net import trust
from msmtp.net.certificate import (
    Certificate,
    attributes,
    distinguished_name,
    dotted,
    element,
    encode,
    matches,
    packed,
    seconds,
)
from msmtp.net.tls import TlsSettings, chain, prepare
from msmtp.net.verdict import untrusted

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = dt.datetime.now(dt.UTC)


def issue(*names: str, common_name: str = "nobody", years: tuple[int, int] = (2020, 2090)) -> x509.Certificate:
    """A self-signed certificate for these DNS names and IP addresses."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(KEY.public_key())
        .serial_number(77)
        .not_valid_before(dt.datetime(years[0], 1, 2, 3, 4, 5, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(years[1], 6, 7, 8, 9, 10, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    if names:
        kinds: list[x509.GeneralName] = []
        for name in names:
            try:
                kinds.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                kinds.append(x509.RFC822Name(name) if "@" in name else x509.DNSName(name))
        builder = builder.add_extension(x509.SubjectAlternativeName(kinds), critical=False)
    return builder.sign(KEY, hashes.SHA256())


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


WHOLE = der(issue("a.example", "*.b.example", "192.0.2.1", "2001:db8::1", "x@c.example"))


def everything(raw: bytes) -> None:
    """All that the reader can say about a certificate."""
    certificate = Certificate(raw)
    for _ in (certificate.not_before, certificate.not_after, certificate.names(), certificate.self_signed):
        pass
    distinguished_name(certificate.subject)
    distinguished_name(certificate.issuer)
    matches(certificate, "a.example")
    trust.words(certificate.issuer)


def test_a_whole_certificate_is_read() -> None:
    certificate = Certificate(WHOLE)
    assert certificate.names() == (
        ["a.example", "*.b.example"],
        [bytes((192, 0, 2, 1)), ipaddress.ip_address("2001:db8::1").packed],
    )
    assert certificate.not_before == dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC).timestamp()
    assert certificate.not_after == dt.datetime(2090, 6, 7, 8, 9, 10, tzinfo=dt.UTC).timestamp()
    assert certificate.serial == bytes((77,))
    assert certificate.self_signed
    assert distinguished_name(certificate.issuer) == "CN=nobody"


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_every_authority_of_the_system_is_read_as_a_library_reads_it() -> None:
    bundle = trust.read_bundle(Path("/etc/ssl/certs/ca-certificates.crt").read_bytes())
    assert bundle is not None
    for raw in bundle.certificates:
        ours, theirs = Certificate(raw), x509.load_der_x509_certificate(raw)
        assert ours.not_before == theirs.not_valid_before_utc.timestamp()
        assert ours.not_after == theirs.not_valid_after_utc.timestamp()
        assert encode(0x30, ours.subject) == theirs.subject.public_bytes()
        assert encode(0x30, ours.issuer) == theirs.issuer.public_bytes()
        assert [dotted(oid) for oid, _, _ in attributes(ours.subject)] == [
            one.oid.dotted_string for one in theirs.subject
        ]


@given(st.binary(max_size=200))
@example(b"\x30\x80")
@example(b"\x30\x84\x7f\xff\xff\xff")
def test_junk_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError):
        everything(raw)


@settings(max_examples=500)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), st.integers(0, len(WHOLE)))
def test_a_damaged_certificate_is_read_or_is_a_value_error(at: int, value: int, size: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[at] = value
    for raw in (bytes(damaged), bytes(damaged[:size])):
        try:
            everything(raw)
        except ValueError:
            continue


@given(st.binary(max_size=300), st.sampled_from([2, 9, 10, 18, 20, 23, 62, 64, 68, 999]))
def test_a_verdict_about_junk_is_still_a_verdict(raw: bytes, code: int) -> None:
    for certificate in (raw, WHOLE):
        assert untrusted(code, "some words", certificate, "host").message.endswith(".")


@given(st.binary(max_size=200))
def test_any_certificate_message_is_taken_apart(message: bytes) -> None:
    assert sum(map(len, chain(message))) <= len(message)


@given(st.lists(st.binary(max_size=400), max_size=6), st.booleans())
def test_a_certificate_message_gives_what_was_put_in(certificates: list[bytes], new: bool) -> None:
    def vector(data: bytes, width: int) -> bytes:
        return len(data).to_bytes(width, "big") + data

    listed = b"".join(vector(one, 3) + (vector(b"xyz", 2) if new else b"") for one in certificates)
    body = (b"\0" if new else b"") + vector(listed, 3)
    assert chain(b"\x0b" + vector(body, 3)) == certificates


DAYS = st.integers(dt.date(1, 1, 1).toordinal(), dt.date(9999, 12, 31).toordinal())


@given(DAYS, st.integers(0, 86399))
def test_times_are_those_of_the_calendar(day: int, second: int) -> None:
    moment = dt.datetime.combine(dt.date.fromordinal(day), dt.time(tzinfo=dt.UTC)) + dt.timedelta(seconds=second)
    expected = int((moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)).total_seconds())
    text = f"{moment.year:04}{moment:%m%d%H%M%S}Z".encode()
    assert seconds(text, 0x18, 0, len(text)) == expected
    if 1950 <= moment.year < 2050:
        assert seconds(text[2:], 0x17, 0, len(text) - 2) == expected


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (0x17, b"2001010000Z"),
        (0x18, b"20200101000000.5Z"),
        (0x17, b"20010100000xZ"),
        (0x18, b""),
        (0x04, b"200101000000Z"),
    ],
)
def test_odd_times_are_refused(tag: int, text: bytes) -> None:
    with pytest.raises(ValueError, match="not a time"):
        seconds(text, tag, 0, len(text))


@given(st.binary(max_size=70000), st.integers(0, 255))
def test_an_element_is_read_as_it_was_written(content: bytes, tag: int) -> None:
    written = encode(tag, content)
    assert element(written, 0, len(written)) == (tag, len(written) - len(content), len(written))


@pytest.mark.parametrize("oid", ["0.9", "1.39.1", "2.5.4.3", "2.999.1", "1.2.840.113549.1.9.1"])
def test_object_identifiers_are_written_with_dots(oid: str) -> None:
    raw = x509.Name([x509.NameAttribute(x509.ObjectIdentifier(oid), "x")]).public_bytes()
    assert dotted(next(attributes(raw[2:]))[0]) == oid


@pytest.mark.parametrize(
    ("host", "octets"),
    [("127.0.0.1", 4), ("::1", 16), ("1.2.3", 0), ("127.0.0.1.example", 0), ("", 0), ("fe80::1%lo", 0)],
)
def test_an_address_is_told_from_a_name(host: str, octets: int) -> None:
    assert len(packed(host) or b"") == octets


# What the certificate names -> hosts to try.
NAMES = {
    ("mail.example.org",): [
        "mail.example.org",
        "MAIL.Example.ORG",
        "mail.example.org.",
        "x.mail.example.org",
        "example.org",
    ],
    ("*.example.org",): [
        "mail.example.org",
        "a.b.example.org",
        "example.org",
        ".example.org",
        "*.example.org",
        "mail.Example.org",
    ],
    ("*.org",): ["example.org", "org"],
    ("*",): ["org", "example.org"],
    ("m*.example.org",): ["mail.example.org", "m.example.org"],
    ("*.*.example.org",): ["a.b.example.org"],
    ("mail.*.org",): ["mail.example.org"],
    ("192.0.2.1",): ["192.0.2.1", "192.0.2.2", "nobody"],
    ("2001:db8::1",): ["2001:db8::1", "2001:db8:0:0:0:0:0:1", "2001:db8::2"],
    ("x@c.example",): ["c.example", "nobody"],
    (): ["nobody", "somebody"],
    ("a.example", "b.example"): ["a.example", "b.example", "c.example", "nobody"],
    ("xn--bcher-kva.example",): ["xn--bcher-kva.example", "xn--bcher-kva.Example"],
    ("*.xn--bcher-kva.example",): ["mail.xn--bcher-kva.example"],
}


@pytest.mark.parametrize("names", NAMES)
def test_names_match_as_openssl_matches_them(names: tuple[str, ...], tmp_path: Path) -> None:
    certificate = issue(*names)
    file = tmp_path / "server.pem"
    pem = certificate.public_bytes(Encoding.PEM)
    file.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    for host in NAMES[names]:
        if not host.startswith("."):
            ours = accepts(context, TlsSettings(trust_file=str(file), host_override=host), "elsewhere.example")
            assert (host, ours) == (host, accepts(context, TlsSettings(trust_file=str(file)), host))


def accepts(context: ssl.SSLContext, wanted: TlsSettings, host: str) -> bool:
    try:
        shake(prepare(wanted, host), context)
    except CertificateFailure as failure:
        assert failure.message.endswith("The name in the certificate does not match the expected.")  # noqa: PT017 - any other is wrong
        return False
    return True


def test_the_common_name_counts_only_where_no_other_name_is_given() -> None:
    assert matches(Certificate(der(issue(common_name="mail.example.org"))), "mail.example.org")
    assert matches(Certificate(der(issue("192.0.2.1", common_name="mail.example.org"))), "mail.example.org")
    assert not matches(Certificate(der(issue("a.example", common_name="mail.example.org"))), "mail.example.org")
    assert not matches(Certificate(der(issue(common_name="192.0.2.1"))), "192.0.2.1")


def test_the_tests_own_certificate_is_read() -> None:
    names, addresses = Certificate(localhost().der()).names()
    assert names == ["localhost"]
    assert len(addresses) == 2
