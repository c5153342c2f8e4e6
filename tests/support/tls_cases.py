"""Handshakes that must end alike on every Python and every OpenSSL: a script that carries them out, and the verdicts."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.support.certificates import authority, localhost, new_authority

SOURCE = Path(__file__).parents[2] / "src"

# Runs inside the other interpreter, with nothing but the standard library; prints a verdict for each case.
SCRIPT = """
import json, ssl, sys
source, door, files = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
sys.path.insert(0, source)
if door == "ssl":
    import _ssl
    del _ssl._SSLContext
from msmtp.failures import Failure
from msmtp.net import _openssl
from msmtp.net.tls import TlsSettings, prepare
assert _openssl.PRIVATE == (door == "_ssl")

def server(chain, key, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    if version:
        context.set_ciphers(version if isinstance(version, str) else "ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = 0x303 if isinstance(version, str) else version
    return context

def talk(context, host, settings):
    engine = prepare(TlsSettings(**settings), host).engine()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_side=True)
    for _ in range(5):
        done = engine.handshake()
        incoming.write(engine.outgoing())
        try:
            session.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            pass  # the engine is told by an alert
        if outgoing.pending:
            engine.receive(outgoing.read())
        if done:
            break
    session.write(b"220 hello")
    engine.receive(outgoing.read())
    assert engine.plaintext(100) == b"220 hello"
    assert engine.plaintext(100) is None
    incoming.write(engine.encrypt(b"EHLO"))
    assert session.read(100) == b"EHLO"
    try:
        session.unwrap()
    except ssl.SSLWantReadError:
        pass
    engine.receive(outgoing.read())
    assert engine.plaintext(100) == b""
    engine.close()
    return engine.info.version + " " + engine.info.cipher

results = {}
for name, (chain, key, version, host, settings) in files.items():
    if "fingerprint" in settings:
        settings["fingerprint"] = bytes.fromhex(settings["fingerprint"])
    try:
        results[name] = talk(server(chain, key, version), host, settings)
    except Failure as failure:
        results[name] = f"{type(failure).__name__}: {failure.message}"
print(json.dumps(results))
"""

NOT_TRUSTED = "CertificateFailure: TLS certificate verification failed: The certificate is NOT trusted. "
WRONG_NAME = NOT_TRUSTED + "The name in the certificate does not match the expected."
AES = "TLSv1.3 TLS_AES_256_GCM_SHA384"


def cases(folder: Path) -> dict[str, tuple[list[object], str]]:
    """Name -> what the script is given (a version is a number, or suites of TLS 1.2), the verdict."""
    trusted = {"trust_file": str(authority().file)}
    large = folder / "large.pem"
    large.write_bytes(Path("/etc/ssl/certs/ca-certificates.crt").read_bytes() + authority().file.read_bytes())
    good = [str(localhost().chain), str(localhost().key)]
    old = authority().expired()
    stranger = new_authority().issue()
    rsa = authority().issue(rsa=True)
    rsa_good = [str(rsa.chain), str(rsa.key)]
    digest = hashlib.sha256(localhost().der()).hexdigest()
    return {
        "good": ([*good, None, "localhost", trusted], AES),
        "TLS 1.2": ([*good, 0x303, "localhost", trusted], "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384"),
        "RSA key exchange": ([*rsa_good, "AES128-GCM-SHA256", "localhost", trusted], "TLSv1.2 AES128-GCM-SHA256"),
        "CBC": ([*rsa_good, "ECDHE-RSA-AES128-SHA", "localhost", trusted], "TLSv1.2 ECDHE-RSA-AES128-SHA"),
        "large file": ([*good, None, "localhost", {"trust_file": str(large)}], AES),
        "an address": ([*good, None, "127.0.0.1", trusted], AES),
        "another host": ([*good, None, "elsewhere.example", trusted], WRONG_NAME),
        "another address": ([*good, None, "127.0.0.9", trusted], WRONG_NAME),
        "override": ([*good, None, "elsewhere.example", trusted | {"host_override": "localhost"}], AES),
        "override, another host": ([*good, None, "localhost", trusted | {"host_override": "x.example"}], WRONG_NAME),
        "expired": (
            [str(old.chain), str(old.key), None, "localhost", trusted],
            NOT_TRUSTED + "The certificate chain uses expired certificate.",
        ),
        "a stranger": (
            [str(stranger.chain), str(stranger.key), None, "localhost", trusted],
            NOT_TRUSTED + "The certificate issuer is unknown.",
        ),
        "no checks": ([str(stranger.chain), str(stranger.key), None, "localhost", {"certcheck": False}], AES),
        "fingerprint": ([*good, None, "elsewhere.example", {"fingerprint": digest}], AES),
        "another fingerprint": (
            [*good, None, "localhost", {"fingerprint": "00" * 32}],
            "CertificateFailure: TLS certificate verification failed: the certificate fingerprint does not match",
        ),
        "TLS 1.1": (
            [*good, 0x302, "localhost", trusted],
            "TlsHandshakeFailure: TLS handshake failed: A TLS fatal alert has been received: alert protocol version",
        ),
        "priorities": (
            [*good, None, "localhost", trusted | {"priorities": "NORMAL:-VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305"}],
            "TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305",
        ),
        "suites of TLS 1.3": (
            [*good, None, "localhost", trusted | {"priorities": "NORMAL:-AES-256-GCM:-CHACHA20-POLY1305"}],
            "TLSv1.3 TLS_AES_128_GCM_SHA256",
        ),
        "groups": ([*good, None, "localhost", trusted | {"priorities": "SECURE128:-GROUP-ALL:+GROUP-X448"}], AES),
        "signatures": (
            [*good, None, "localhost", trusted | {"priorities": "NORMAL:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256"}],
            "TlsHandshakeFailure: TLS handshake failed: A TLS fatal alert has been received: alert handshake failure",
        ),
        "an unknown word": (
            [*good, None, "localhost", trusted | {"priorities": "NORMAL:+GROUP-X25518"}],
            "TlsSetupFailure: cannot set priorities for TLS session: unknown word: +GROUP-X25518",
        ),
        "no such file": (
            [*good, None, "localhost", {"trust_file": "/nowhere"}],
            "TlsFileFailure: cannot set X509 trust file /nowhere for TLS session: No such file or directory",
        ),
    }
