"""tls_crl_file: a revoked certificate is refused, and so is one about which the lists say nothing."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.support.handshakes import shake
from tests.support.scripted import Polite, ScriptedServer
from tests.support.upstream import run_upstream

from msmtp.failures import CertificateFailure, TlsFileFailure
from msmtp.net import trust
from msmtp.net.tls import TlsSettings, prepare

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


class Issued:
    """A certificate and its key; without an issuer it is its own."""

    def __init__(self, name: str, issuer: Issued | None = None, *, host: str = "") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        over = issuer or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(over.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + DAY)
            .add_extension(x509.BasicConstraints(ca=not host, path_length=None), critical=True)
        )
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        self.certificate = builder.sign(over.key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(Encoding.PEM)

    def revoke(self, *revoked: Issued, until: dt.datetime = NOW + DAY) -> bytes:
        """The revocation list of this authority."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name)
        builder = builder.last_update(NOW - 2 * DAY).next_update(until)
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number).revocation_date(NOW)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


ROOT, OTHER = Issued("Root"), Issued("Other")
MIDDLE = Issued("Middle", ROOT)
DIRECT, BELOW = Issued("direct", ROOT, host="localhost"), Issued("below", MIDDLE, host="localhost")

REVOKED = "The certificate chain is revoked."
NO_LIST = "There is no revocation list of the certificate issuer."
OLD_LIST = "The revocation data are old and have been superseded."

# What the server shows, the lists, our verdict ("" is trust), and whether the C program trusts it.
CASES = {
    "not revoked": ([DIRECT], [ROOT.revoke(BELOW)], "", True),
    "revoked": ([DIRECT], [ROOT.revoke(DIRECT, BELOW)], REVOKED, False),
    "below an intermediate": ([BELOW, MIDDLE], [MIDDLE.revoke()], "", True),
    "revoked by an intermediate": ([BELOW, MIDDLE], [MIDDLE.revoke(BELOW)], REVOKED, False),
    "lists of the whole chain": ([BELOW, MIDDLE], [MIDDLE.revoke(), ROOT.revoke()], "", True),
    "a revoked intermediate": ([BELOW, MIDDLE], [MIDDLE.revoke(), ROOT.revoke(MIDDLE)], REVOKED, False),
    # Where the C program trusts, we refuse: a list that says nothing about the certificate is no answer.
    "another authority's list": ([DIRECT], [OTHER.revoke()], NO_LIST, True),
    "a list of the root alone": ([BELOW, MIDDLE], [ROOT.revoke()], NO_LIST, True),
    "an old list": ([DIRECT], [ROOT.revoke(until=NOW - DAY)], OLD_LIST, True),
}


@pytest.mark.parametrize("large", [0, 1 << 30], ids=["chosen from", "loaded whole"])
@pytest.mark.parametrize("case", CASES)
def test_the_lists_decide(case: str, large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "LARGE", large)
    shown, lists, expected, _ = CASES[case]
    context = server(tmp_path, shown)
    trusted, revoked = files(tmp_path, lists)
    tls = prepare(TlsSettings(trust_file=str(trusted), crl_file=str(revoked)), "localhost")
    if expected:
        with pytest.raises(CertificateFailure) as caught:
            shake(tls, context)
        assert caught.value.message.endswith(expected)
        assert caught.value.hint
    else:
        shake(tls, context)


@pytest.mark.parametrize("case", CASES)
def test_the_c_program_trusts_no_more_than_we_know_of(case: str, tmp_path: Path) -> None:
    shown, lists, _, trusted_by_upstream = CASES[case]
    trusted, revoked = files(tmp_path, lists)
    with ScriptedServer(Polite(), implicit=True, tls=server(tmp_path, shown), raise_errors=False) as listening:
        run = run_upstream(
            ["--serverinfo", "--host=localhost", f"--port={listening.port}", "--tls", "--tls-starttls=off",
             f"--tls-trust-file={trusted}", f"--tls-crl-file={revoked}"],
        )  # fmt: skip
    assert (run.returncode == 0) == trusted_by_upstream, run.stderr


def server(folder: Path, shown: list[Issued]) -> ssl.SSLContext:
    file = folder / "server.pem"
    key = shown[0].key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(key + b"".join(one.pem for one in shown))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def files(folder: Path, lists: list[bytes]) -> tuple[Path, Path]:
    trusted, revoked = folder / "trust.pem", folder / "revoked.pem"
    trusted.write_bytes(OTHER.pem + ROOT.pem)
    revoked.write_bytes(b"".join(lists))
    return trusted, revoked


@pytest.mark.parametrize(
    "content", [b"", b"nothing\n", ROOT.pem, b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"]
)
def test_a_file_without_lists_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    trusted, revoked = files(tmp_path, [content])
    with pytest.raises(TlsFileFailure, match=f"^cannot set X509 CRL file {revoked} for TLS session: ") as caught:
        prepare(TlsSettings(trust_file=str(trusted), crl_file=str(revoked)), "localhost")
    assert caught.value.exit_code == 66


@pytest.mark.parametrize("large", [0, 1 << 30], ids=["chosen from", "loaded whole"])
def test_a_certificate_among_the_lists_makes_nobody_an_authority(
    large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists are fetched without encryption: who alters them on their way could send himself all mail and passwords."""
    monkeypatch.setattr(trust, "LARGE", large)
    stranger = Issued("Stranger")
    between = Issued("mitm", stranger, host="localhost")
    context = server(tmp_path, [between])
    for content in ([ROOT.revoke(), stranger.pem, stranger.revoke()], [between.pem, ROOT.revoke()]):
        trusted, revoked = files(tmp_path, content)
        with pytest.raises(TlsFileFailure, match=f"^cannot set X509 CRL file {revoked} .* a certificate is in it"):
            shake(prepare(TlsSettings(trust_file=str(trusted), crl_file=str(revoked)), "localhost"), context)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    trusted, _ = files(tmp_path, [])
    with pytest.raises(TlsFileFailure, match="CRL file /nowhere for TLS session: No such file"):
        prepare(TlsSettings(trust_file=str(trusted), crl_file="/nowhere"), "localhost")


def test_a_fingerprint_asks_no_list(tmp_path: Path) -> None:
    fingerprint = DIRECT.certificate.fingerprint(hashes.SHA256())
    settings = TlsSettings(fingerprint=fingerprint, crl_file=str(tmp_path / "unused"))
    shake(prepare(settings, "localhost"), server(tmp_path, [DIRECT]))
