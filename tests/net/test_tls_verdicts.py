"""Who is trusted and in which words not, held against the C program."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.certificates import Certificate, authority, localhost, new_authority
from tests.support.handshakes import shake
from tests.support.scripted import Polite, ScriptedServer
from tests.support.upstream import run_upstream

from msmtp.failures import Failure
from msmtp.net.tls import TlsSettings, prepare

OPTIONS = {
    "trust_file": "--tls-trust-file",
    "fingerprint": "--tls-fingerprint",
    "host_override": "--tls-host-override",
    "key_file": "--tls-key-file",
    "cert_file": "--tls-cert-file",
    "crl_file": "--tls-crl-file",
}


def theirs(certificate: Certificate, host: str, settings: dict[str, object]) -> tuple[int, str]:
    """Exit code (0: trusted) and what the C program says."""
    options = []
    for name, value in settings.items():
        if name == "certcheck":
            options.append("--tls-certcheck=off")
        else:
            options.append(f"{OPTIONS[name]}={value.hex(':') if isinstance(value, bytes) else value}")
    with ScriptedServer(Polite(), implicit=True, tls=certificate.server_context(), raise_errors=False) as server:
        arguments = [f"--host={host}", f"--port={server.port}", "--tls", "--tls-starttls=off", "--serverinfo", *options]
        run = run_upstream(arguments)
    said = run.stderr.decode().partition(": ")[2]
    return run.returncode, " ".join(said.split())


def ours(certificate: Certificate, host: str, settings: dict[str, object]) -> tuple[int, str]:
    try:
        shake(prepare(TlsSettings(**settings), host), certificate.server_context())  # type: ignore[arg-type]
    except Failure as failure:
        return failure.exit_code, failure.message
    return 0, ""


def cases() -> dict[str, tuple[Certificate, str, dict[str, object]]]:
    stranger, trusted = new_authority().issue(), {"trust_file": str(authority().file)}
    cert, key = str(localhost().chain), str(localhost().key)
    return {
        "trusted": (localhost(), "localhost", trusted),
        "an address": (localhost(), "127.0.0.1", trusted),
        "unknown issuer": (stranger, "localhost", trusted),
        "its own certificate in the file": (stranger, "localhost", {"trust_file": str(stranger.chain)}),
        "another host": (authority().issue("other.example"), "localhost", trusted),
        "another address": (authority().issue("localhost"), "127.0.0.1", trusted),
        "a wildcard": (authority().issue("*.example.org"), "localhost", trusted | {"host_override": "a.example.org"}),
        "a wildcard too deep": (
            authority().issue("*.example.org"), "localhost", trusted | {"host_override": "a.b.example.org"}
        ),
        "another name expected": (localhost(), "localhost", trusted | {"host_override": "other.example"}),
        "expired": (authority().expired(), "localhost", trusted),
        "from the future": (authority().future(), "localhost", trusted),
        "no checks": (stranger, "localhost", {"certcheck": False}),
        "fingerprint": (stranger, "localhost", {"fingerprint": fingerprint(stranger)}),
        "another fingerprint": (stranger, "localhost", {"fingerprint": bytes(32)}),
        "the fingerprint of an expired one": (
            old := authority().expired("other.example"), "localhost", {"fingerprint": fingerprint(old)}
        ),
        "no trust file": (localhost(), "localhost", {"trust_file": "/nowhere/ca.pem"}),
        "an empty trust file": (localhost(), "localhost", {"trust_file": "/dev/null"}),
        "no revocation list": (localhost(), "localhost", trusted | {"crl_file": "/nowhere/crl.pem"}),
        "client certificate": (localhost(), "localhost", trusted | {"cert_file": cert, "key_file": key}),
        "no client certificate": (
            localhost(), "localhost", trusted | {"cert_file": "/nowhere/c.pem", "key_file": "/nowhere/k.pem"}
        ),
        "another key": (localhost(), "localhost", trusted | {"cert_file": cert, "key_file": str(stranger.key)}),
    }  # fmt: skip


def fingerprint(certificate: Certificate) -> bytes:
    import hashlib

    return hashlib.sha256(certificate.der()).digest()


@pytest.mark.parametrize("case", cases())
def test_the_verdict_is_the_c_programs(case: str, tmp_path: Path) -> None:
    certificate, host, settings = cases()[case]
    code, message = ours(certificate, host, settings)
    their_code, their_message = theirs(certificate, host, settings)
    assert code == their_code
    if code == 66:  # the system's words about a file are not GnuTLS's
        message, their_message = (text.partition(" TLS session: ")[0] for text in (message, their_message))
    assert message == their_message
