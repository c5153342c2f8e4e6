"""A large trust file is trusted exactly as if OpenSSL had loaded it whole, and 'system' is what OpenSSL means by it."""

from __future__ import annotations

import base64
import datetime as dt
import errno
import os
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from tests.support.certificates import authority, localhost
from tests.support.handshakes import shake

from msmtp.failures import CertificateFailure, Failure, SystemFailure, TlsFileFailure
from msmtp.net import _openssl, trust
from msmtp.net.tls import TlsSettings, prepare
from msmtp.net.trust import Bundle, Trust, read_bundle, words

SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
KEY = ec.generate_private_key(ec.SECP256R1())

UTF8, PRINTABLE, BMP, T61 = _ASN1Type.UTF8String, _ASN1Type.PrintableString, _ASN1Type.BMPString, _ASN1Type.T61String


def name(text: str, kind: _ASN1Type = UTF8) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, text, _type=kind)])


class Entity:
    """A certificate of any shape, with its key."""

    def __init__(
        self,
        subject: x509.Name,
        issuer: Entity | None = None,
        *,
        named: x509.Name | None = None,
        ends: dt.datetime = NOW + DAY,
        host: str = "",
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.subject = subject
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(named or (issuer.subject if issuer else subject))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 9 * DAY)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=not host, path_length=None), critical=True)
        )
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        self.certificate = builder.sign(issuer.key if issuer else self.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def context(self, folder: Path, *between: Entity) -> ssl.SSLContext:
        """A server that shows this certificate and those between it and the root."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file = folder / "server.pem"
        file.write_bytes(key + self.pem + b"".join(one.pem for one in between))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def verdict(context: ssl.SSLContext, file: Path) -> str:
    """'' for a trusted server, else the failure's message."""
    try:
        shake(prepare(TlsSettings(trust_file=str(file)), "localhost"), context)
    except Failure as failure:
        return failure.message
    return ""


ROOT = Entity(name("Root  of All Tests"))
OTHER = Entity(name("Another"))
OLD = Entity(name("root of all tests"), ends=NOW - DAY, key=ROOT.key)
NAMESAKE = Entity(name("ROOT OF ALL TESTS", PRINTABLE))
MIDDLE = Entity(name("In the middle"), ROOT)
LEAF = Entity(name("leaf"), MIDDLE, host="localhost")
DIRECT = Entity(name("direct"), ROOT, host="localhost")
SHOUTING = Entity(name("shouting"), ROOT, named=name("ROOT OF ALL   TESTS", PRINTABLE), host="localhost")
WIDE = Entity(name("wide"), ROOT, named=name("Root of All Tests", BMP), host="localhost")
TELETEX = Entity(name("teletex"), ROOT, named=name("root of all tests", T61), host="localhost")
WIDE_ROOT = Entity(name("Root of All Tests", BMP), key=ROOT.key)
ACCENT_ROOT = Entity(name("Autorité Éternelle"))
ACCENT = Entity(name("accent"), ACCENT_ROOT, named=name("AUTORITé Éternelle"), host="localhost")
FOREIGN_ROOT = Entity(name("основа"))
FOREIGN = Entity(name("foreign"), FOREIGN_ROOT, host="localhost")
SELF = Entity(name("self"), host="localhost")
FALSE = Entity(name("false"), Entity(name("Root of All Tests")), host="localhost")
LATE = Entity(name("late"), ROOT, host="localhost", ends=NOW - DAY)

UNKNOWN = "TLS certificate verification failed: The certificate is NOT trusted. The certificate issuer is unknown."
EXPIRED = "TLS certificate verification failed: The certificate is NOT trusted. The certificate chain uses expired certificate."
FORGED = "TLS certificate verification failed: The certificate is NOT trusted. Certificate signature failure."

# What the server shows, what the file holds, the verdict.
CASES = {
    "root": ([DIRECT], [OTHER, ROOT], ""),
    "root over an intermediate": ([LEAF, MIDDLE], [OTHER, ROOT], ""),
    "intermediate missing": ([LEAF], [OTHER, ROOT], UNKNOWN),
    "intermediate in the file": ([LEAF], [MIDDLE, ROOT], ""),
    "intermediate as the anchor": ([LEAF, MIDDLE], [MIDDLE], ""),
    "own certificate as the anchor": ([LEAF], [LEAF, OTHER], ""),
    "self-signed in the file": ([SELF], [SELF], ""),
    "self-signed not in the file": ([SELF], [OTHER, ROOT], UNKNOWN),
    "root not in the file": ([LEAF, MIDDLE], [OTHER], UNKNOWN),
    "root shown and not in the file": ([LEAF, MIDDLE, ROOT], [OTHER], UNKNOWN),
    "other case, spaces and string type": ([SHOUTING], [OTHER, ROOT], ""),
    "issuer in UTF-16": ([WIDE], [OTHER, ROOT], ""),
    "issuer in T.61": ([TELETEX], [OTHER, ROOT], ""),
    "root in UTF-16": ([DIRECT], [OTHER, WIDE_ROOT], ""),
    "accents": ([ACCENT], [OTHER, ACCENT_ROOT], ""),
    "no ASCII in the name": ([FOREIGN], [OTHER, FOREIGN_ROOT], ""),
    "an expired namesake with the same key": ([DIRECT], [OLD, ROOT], ""),
    "only the expired root": ([DIRECT], [OLD], EXPIRED),
    "a namesake with another key": ([FALSE], [ROOT], FORGED),
    "expired": ([LATE], [ROOT], EXPIRED),
    "unrelated extra certificates": ([DIRECT, OTHER, SELF], [ROOT], ""),
}


@pytest.mark.parametrize("large", [0, 1 << 30], ids=["chosen from", "loaded whole"])
@pytest.mark.parametrize("case", CASES)
def test_a_chosen_few_give_the_verdict_of_the_whole_file(
    case: str, large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, held, expected = CASES[case]
    file = tmp_path / "trust.pem"
    file.write_bytes(b"".join(entity.pem for entity in held))
    monkeypatch.setattr(trust, "LARGE", large)
    assert verdict(shown[0].context(tmp_path, *shown[1:]), file) == expected


def test_one_in_the_systems_bundle_is_found(tmp_path: Path) -> None:
    file = tmp_path / "trust.pem"
    file.write_bytes(SYSTEM_BUNDLE.read_bytes() + authority().file.read_bytes())
    tls = prepare(TlsSettings(trust_file=str(file)), "localhost")
    assert tls.context.cert_store_stats()["x509"] == 0
    shake(tls, localhost().server_context())
    assert tls.context.cert_store_stats()["x509"] == 1
    assert verdict(localhost().server_context(), SYSTEM_BUNDLE) == UNKNOWN


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # one authority of the system has a bad one
def test_for_every_authority_of_the_system_all_of_its_name_are_chosen() -> None:
    bundle = read_bundle(SYSTEM_BUNDLE.read_bytes())
    assert bundle is not None
    assert bundle.indexable
    parsed = [(x509.load_der_x509_certificate(raw).subject, raw) for raw in bundle.certificates]
    assert len(parsed) > 100
    chosen = 0
    for subject, _ in parsed:
        shown = Entity(name("x"), ROOT, named=subject, host="localhost", key=KEY).der
        relevant = bundle.relevant([shown])
        assert {raw for other, raw in parsed if other == subject} <= set(relevant)
        chosen += len(relevant)
    assert chosen < 3 * len(parsed)


def test_a_message_nobody_can_read_loads_everything() -> None:
    bundle = Bundle([ROOT.der, OTHER.der])
    assert bundle.relevant([b"junk"]) == bundle.certificates
    assert bundle.relevant([DIRECT.der]) == [ROOT.der]
    context = _openssl.new_context()
    some = Trust()
    some.bundle = bundle
    some.add(context, [])
    assert context.cert_store_stats()["x509"] == 2


def test_a_second_session_chooses_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "LARGE", 0)
    file = tmp_path / "trust.pem"
    file.write_bytes(ROOT.pem + ACCENT_ROOT.pem)
    tls = prepare(TlsSettings(trust_file=str(file)), "localhost")
    for entity in (DIRECT, ACCENT, DIRECT):
        shake(tls, entity.context(tmp_path))


@pytest.mark.parametrize(
    "extra",
    [
        b"-----BEGIN TRUSTED CERTIFICATE-----\nAAAA\n-----END TRUSTED CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nno base64: A\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----AAAA\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n# -----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----AAAA\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n#AAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAA=\nAAAA\n-----END CERTIFICATE-----\n",
        b"\r-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ],
)
def test_a_file_with_other_things_in_it_is_left_to_openssl(extra: bytes) -> None:
    assert read_bundle(ROOT.pem + extra) is None
    assert read_bundle(extra + ROOT.pem) is None


def test_lines_may_have_any_length() -> None:
    body = base64.b64encode(ROOT.der)
    for width in (1, 60, 65, 76, len(body)):
        lines = [body[at : at + width] for at in range(0, len(body), width)]
        for end in (b"\n", b"\r\n"):
            pem = end.join([b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""])
            bundle = read_bundle(pem + OTHER.pem)
            assert bundle is not None
            assert bundle.certificates == [ROOT.der, OTHER.der]


def prefixed(pem: bytes, prefix: bytes) -> bytes:
    return b"".join(prefix + line for line in pem.splitlines(keepends=True))


# How somebody takes an authority out of a file without deleting it.
COMMENTED_OUT = {
    "each line": prefixed(ROOT.pem, b"# "),
    "each line, no blank": prefixed(ROOT.pem, b"#"),
    "the first line": b"#" + ROOT.pem,
    "indented": prefixed(ROOT.pem, b"  "),
    "in one line with other text": b"old: " + ROOT.pem,
}


@pytest.mark.parametrize("large", [0, 1 << 30], ids=["chosen from", "loaded whole"])
@pytest.mark.parametrize("way", COMMENTED_OUT)
def test_an_authority_that_is_commented_out_is_not_trusted(
    way: str, large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "LARGE", large)
    file = tmp_path / "trust.pem"
    file.write_bytes(COMMENTED_OUT[way] + OTHER.pem)
    assert verdict(DIRECT.context(tmp_path), file) == UNKNOWN
    file.write_bytes(COMMENTED_OUT[way] + OTHER.pem + ROOT.pem)
    assert verdict(DIRECT.context(tmp_path), file) == ""


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("way", COMMENTED_OUT)
def test_nor_is_it_in_a_hashed_directory(
    way: str, preload: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But those that stand beside it are."""
    folder, context = tmp_path / "certs", DIRECT.context(tmp_path)
    folder.mkdir()
    (folder / "ours.pem").write_bytes(ROOT.pem)
    subprocess.run(["openssl", "rehash", folder], check=True, stderr=subprocess.DEVNULL)
    monkeypatch.setattr(_openssl, "default_trust", lambda: ("/nowhere", str(folder)))
    (folder / "ours.pem").write_bytes(COMMENTED_OUT[way] + OTHER.pem)
    with pytest.raises(CertificateFailure):
        shake(prepare(TlsSettings(), "localhost", preload=preload), context)
    (folder / "ours.pem").write_bytes(COMMENTED_OUT[way] + ROOT.pem)
    shake(prepare(TlsSettings(), "localhost", preload=preload), context)


def test_text_between_the_certificates_is_no_matter() -> None:
    bundle = read_bundle(b"# root\n" + ROOT.pem + b"\n# other\r\n" + OTHER.pem.replace(b"\n", b"\r\n"))
    assert bundle is not None
    assert bundle.certificates == [ROOT.der, OTHER.der]


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60).filter(str.strip)
)
def test_the_words_of_a_name_are_found_however_it_is_spelt(text: str) -> None:
    spelt = name("  ".join(text.split()).swapcase() if text.isascii() else text)
    lower = spelt.public_bytes().lower()
    plain = name(" ".join(text.split())).public_bytes()
    at = 2 if plain[1] < 128 else 3 + (plain[1] == 130)
    found = words(plain[at:])
    assert all(word in lower for word in found)
    if text.isascii():
        assert sorted(found) == sorted({word.encode() for word in text.lower().split()})


def test_a_damaged_certificate_among_many_is_told_when_it_matters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "LARGE", 0)
    file = tmp_path / "trust.pem"
    damaged = bytearray(ROOT.der)
    damaged[4] ^= 1
    body = base64.encodebytes(bytes(damaged)).decode()
    file.write_text(f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
    with pytest.raises(TlsFileFailure, match=f"^cannot set X509 trust file {file} for TLS session: "):
        shake(prepare(TlsSettings(trust_file=str(file)), "localhost"), DIRECT.context(tmp_path))


def test_a_compressed_certificate_message_loads_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8879: OpenSSL 3.2 and newer may agree on it; its content is not for us to read."""
    monkeypatch.setattr(trust, "LARGE", 0)
    file = tmp_path / "trust.pem"
    file.write_bytes(ROOT.pem + OTHER.pem)
    tls = prepare(TlsSettings(trust_file=str(file)), "localhost")
    tls.engine()._observe("read", 25, b"\x19\0\0\0")
    assert tls.context.cert_store_stats()["x509"] == 2


def test_a_file_of_revocation_lists_is_no_trust_file(tmp_path: Path) -> None:
    builder = x509.CertificateRevocationListBuilder().issuer_name(ROOT.subject).last_update(NOW).next_update(NOW + DAY)
    file = tmp_path / "trust.pem"
    file.write_bytes(builder.sign(ROOT.key, hashes.SHA256()).public_bytes(Encoding.PEM))
    with pytest.raises(TlsFileFailure, match="no certificate in PEM format in it"):
        prepare(TlsSettings(trust_file=str(file)), "localhost")


# -- system


def openssl_hash(file: Path) -> str:
    command = ["openssl", "x509", "-hash", "-noout", "-in", str(file)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def hashed(tmp_path: Path) -> Path:
    """A hashed directory that holds the test authority through a link, as update-ca-certificates makes them."""
    folder, elsewhere = tmp_path / "certs", tmp_path / "share"
    folder.mkdir()
    elsewhere.mkdir()
    (elsewhere / "ours.crt").write_bytes(authority().file.read_bytes())
    (folder / "ours.pem").symlink_to("../share/ours.crt")
    subprocess.run(["openssl", "rehash", folder], check=True, stderr=subprocess.DEVNULL)
    (folder / "README").write_text("neither a link nor a certificate")
    (folder / "0123abcd.0").symlink_to("gone.pem")
    return folder


def test_the_systems_hashed_directory_is_asked(hashed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_openssl, "default_trust", lambda: ("/nowhere", str(hashed)))
    tls = prepare(TlsSettings(), "localhost")
    assert tls.trust.bundle is None
    assert {os.path.realpath(path) for path in tls.paths()} == {str(hashed), str(hashed.parent / "share")}
    shake(tls, localhost().server_context())


HASH = openssl_hash(authority().file)

# Links that lead to opt/ca.crt beside the directory, by the name of each.
ROWS_OF_LINKS = {
    "one": {f"certs/{HASH}.0": "{}/opt/ca.crt"},
    "relative": {f"certs/{HASH}.0": "../opt/ca.crt"},
    "two": {f"certs/{HASH}.0": "ca.pem", "certs/ca.pem": "{}/opt/ca.crt"},
    "three": {f"certs/{HASH}.0": "ca.pem", "certs/ca.pem": "{}/local/ca.crt", "local/ca.crt": "../opt/ca.crt"},
    "four": {f"certs/{HASH}.0": "../a/b", "a/b": "c", "a/c": "{}/local/d", "local/d": "{}/opt/ca.crt"},
    "and a circle": {f"certs/{HASH}.0": "{}/opt/ca.crt", "certs/x": "../a/x", "a/x": "../a/x", "certs/y": "y"},
}


@pytest.mark.parametrize("row", ROWS_OF_LINKS)
def test_however_many_links_lead_to_an_authority_its_directory_is_known(
    row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sandbox permits what paths() says and nothing else."""
    for folder in ("certs", "opt", "local", "a"):
        (tmp_path / folder).mkdir()
    (tmp_path / "opt/ca.crt").write_bytes(authority().file.read_bytes())
    (tmp_path / "opt/unrelated").symlink_to("/usr/bin/env")
    for name, target in ROWS_OF_LINKS[row].items():
        (tmp_path / name).symlink_to(target.format(tmp_path))
    monkeypatch.setattr(_openssl, "default_trust", lambda: ("/nowhere", str(tmp_path / "certs")))
    tls = prepare(TlsSettings(), "localhost")
    assert str((tmp_path / "certs" / f"{HASH}.0").resolve().parent) in {os.path.realpath(path) for path in tls.paths()}
    assert "/usr/bin" not in tls.paths()
    shake(tls, localhost().server_context())


def test_a_directory_that_cannot_be_listed_does_not_hide_what_its_links_lead_to(
    hashed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_folder: str) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "scandir", refuse)
    (hashed.parent / "share/ours.crt").rename(hashed.parent / "ours")
    (hashed.parent / "share/ours.crt").symlink_to(hashed.parent / "ours")
    found = {os.path.realpath(path) for path in trust._targets(str(hashed))}
    assert found == {str(hashed), str(hashed.parent / "share"), str(hashed.parent)}


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
@pytest.mark.parametrize("preload", [False, True])
def test_a_shortage_is_not_taken_for_a_system_without_authorities(
    preload: bool, number: int, hashed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: object) -> list[str]:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(_openssl, "default_trust", lambda: ("/nowhere", str(hashed)))
    for function in ("os.listdir", "msmtp.net.trust.read_file")[: 1 + preload]:
        with monkeypatch.context() as patch:
            patch.setattr(function, short)
            with pytest.raises(TlsFileFailure, match=os.strerror(number)) as caught:
                prepare(TlsSettings(), "localhost", preload=preload)
        assert caught.value.temporary


def test_an_authority_that_cannot_be_opened_is_no_verdict_on_the_server(
    hashed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For want of descriptors, say: then a later try finds it."""
    (hashed / f"{HASH}.0").unlink()
    monkeypatch.chdir(hashed)
    with socket.socket(socket.AF_UNIX) as unreadable:
        unreadable.bind(f"{HASH}.0")  # ENXIO for who opens it, root or not
        monkeypatch.setattr(_openssl, "default_trust", lambda: ("/nowhere", str(hashed)))
        with pytest.raises(SystemFailure, match=f"^TLS certificate verification failed: .* in {hashed} ") as caught:
            shake(prepare(TlsSettings(), "localhost"), localhost().server_context())
    assert caught.value.temporary


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("large", [0, 1 << 30], ids=["chosen from", "loaded whole"])
def test_the_default_bundle_counts_beside_a_default_directory_of_a_few(
    large: int, preload: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where somebody has made hashes for one of his own, OpenSSL trusts the bundle as before."""
    folder, bundle = tmp_path / "certs", tmp_path / "bundle.pem"
    folder.mkdir()
    (folder / "own.pem").write_bytes(ROOT.pem)
    subprocess.run(["openssl", "rehash", folder], check=True, stderr=subprocess.DEVNULL)
    bundle.write_bytes(authority().file.read_bytes() + OTHER.pem)
    monkeypatch.setattr(trust, "LARGE", large)
    monkeypatch.setattr(_openssl, "default_trust", lambda: (str(bundle), str(folder)))
    for context in (localhost().server_context(), DIRECT.context(tmp_path)):
        shake(prepare(TlsSettings(), "localhost", preload=preload), context)
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    with pytest.raises(TlsFileFailure, match="/nowhere"):
        prepare(TlsSettings(), "localhost", preload=preload)


def test_a_large_default_bundle_is_not_read_where_the_directory_has_as_many(
    hashed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority().file.read_bytes())
    monkeypatch.setattr(_openssl, "default_trust", lambda: (str(bundle), str(hashed)))
    monkeypatch.setattr(trust, "LARGE", 0)
    assert trust.system_paths() == ("", str(hashed))
    bundle.write_bytes(bundle.read_bytes() + ROOT.pem + OTHER.pem)  # two names are in the directory, one leads nowhere
    assert trust.system_paths() == (str(bundle), str(hashed))


def test_a_preloaded_directory_is_not_opened_again(hashed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_openssl, "default_trust", lambda: ("/nowhere", str(hashed)))
    tls = prepare(TlsSettings(), "localhost", preload=True)
    assert tls.paths() == []
    for file in (*hashed.iterdir(), *hashed.parent.glob("share/*")):
        file.unlink()
    shake(tls, localhost().server_context())


@pytest.mark.parametrize("preload", [False, True])
def test_the_environments_bundle_stands_beside_the_directory(
    preload: bool, hashed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the two are read, both are trusted."""
    small, large, systems = authority().file, tmp_path / "large.pem", SYSTEM_BUNDLE.parent
    large.write_bytes(SYSTEM_BUNDLE.read_bytes() + small.read_bytes())
    for bundle, directory in ((SYSTEM_BUNDLE, hashed), (small, systems), (large, systems)):
        monkeypatch.setattr(_openssl, "default_trust", lambda found=str(directory): ("/nowhere", found))
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        shake(prepare(TlsSettings(), "localhost", preload=preload), localhost().server_context())


@pytest.mark.parametrize("preload", [False, True])
def test_the_systems_bundle_is_read_where_there_is_no_directory(
    preload: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "bundle.pem"
    file.write_bytes(authority().file.read_bytes())
    monkeypatch.setattr(_openssl, "default_trust", lambda: (str(file), "/nowhere"))
    tls = prepare(TlsSettings(), "localhost", preload=preload)
    assert tls.paths() == []
    shake(tls, localhost().server_context())


def test_the_environments_bundle_and_directory_come_first(hashed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CertificateFailure):
        shake(prepare(TlsSettings(), "localhost"), localhost().server_context())
    monkeypatch.setenv("SSL_CERT_FILE", str(authority().file))
    shake(prepare(TlsSettings(), "localhost"), localhost().server_context())
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", f"/nowhere:{hashed}")
    tls = prepare(TlsSettings(), "localhost")
    assert str(hashed) in tls.paths()
    shake(tls, localhost().server_context())


def test_a_system_without_authorities_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_openssl, "default_trust", lambda: ("/nowhere", "/nowhere"))
    monkeypatch.setattr(trust, "SYSTEM_BUNDLES", ())
    with pytest.raises(TlsFileFailure, match="cannot set X509 system trust for TLS session") as caught:
        prepare(TlsSettings(), "localhost")
    assert "ca-certificates" in caught.value.hint


def test_a_python_with_an_openssl_of_its_own_finds_the_systems_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_openssl, "default_trust", lambda: ("/nowhere", "/nowhere"))
    assert trust.system_paths() == (str(SYSTEM_BUNDLE), "")
    assert not os.environ.get("SSL_CERT_FILE")


@pytest.mark.parametrize(
    ("certificates", "wanted", "found"),
    [
        ([b"xabc", b"defabcdef", b"abcdef"], [b"abcdef"], [1, 2]),  # the first one only begins so
        ([b"aa", b"ab", b"aab"], [b"aab"], [2]),
        ([b"One TWO", b"two", b"two one"], [b"one", b"two"], [0, 2]),
        ([b"one", b"", b"one"], [b"one"], [0, 2]),
        ([b"one"], [b"one", b"three"], []),
        ([], [b"one"], []),
    ],
)
def test_a_word_stands_within_one_certificate(certificates, wanted, found):
    assert list(trust.Bundle(certificates)._with_all(wanted)) == found
