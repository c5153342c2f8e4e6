"""Why TLS did not come about, in words a person can act on.

The first line is worded as the C program words it (GnuTLS's sentences).  The hint says what the certificate is and what
to do about it.  Names come from the other side: control characters are escaped before they are shown.
"""

from __future__ import annotations

import time
from _socket import AF_INET, AF_INET6, inet_ntop

from msmtp.failures import CertificateFailure, Failure, SystemFailure, TlsHandshakeFailure
from msmtp.net._digest import DIGESTS, digest, hexadecimal
from msmtp.net._openssl import words
from msmtp.net.certificate import Certificate, distinguished_name

FAILED = "TLS certificate verification failed: "
UNTRUSTED = "The certificate is NOT trusted. "
UNKNOWN_ISSUER = "The certificate issuer is unknown."
EXPIRED = "The certificate chain uses expired certificate."
NOT_YET = "The certificate chain uses not yet valid certificate."
WRONG_NAME = "The name in the certificate does not match the expected."
REVOKED = "The certificate chain is revoked."
WEAK = "The certificate chain uses insecure algorithm."
NO_LIST = "There is no revocation list of the certificate issuer."
OLD_LIST = "The revocation data are old and have been superseded."

# X509_V_ERR_* of OpenSSL (x509_vfy.h) -> GnuTLS's sentence.
SENTENCES = {
    2: UNKNOWN_ISSUER,
    3: NO_LIST,
    9: NOT_YET,
    10: EXPIRED,
    11: OLD_LIST,
    12: OLD_LIST,
    18: UNKNOWN_ISSUER,
    19: UNKNOWN_ISSUER,
    20: UNKNOWN_ISSUER,
    21: UNKNOWN_ISSUER,
    23: REVOKED,
    27: UNKNOWN_ISSUER,
    62: WRONG_NAME,
    64: WRONG_NAME,
    66: WEAK,
    67: WEAK,
    68: WEAK,
}

CRL_HINT = "tls_crl_file must hold a current list of the authority"

# Words in OpenSSL's reason -> what to do.
HINTS = (
    (
        "wrong version number",
        "the server does not speak TLS on this port in this way; try the other tls_starttls setting",
    ),
    ("unsupported protocol", "the server only knows versions older than TLS 1.2; tls_priorities can allow them"),
    ("alert protocol version", "the server only knows other versions of TLS; see tls_priorities"),
    ("dh key too small", "the server's Diffie-Hellman parameters are too weak; tls_min_dh_prime_bits can allow them"),
    ("handshake failure", "client and server have no algorithm in common, or it wants a client certificate"),
    ("certificate required", "the server wants a client certificate: tls_cert_file and tls_key_file"),
    (
        "unsafe legacy renegotiation",
        "the server lacks RFC 5746; tls_priorities NORMAL:%UNSAFE_RENEGOTIATION can allow it",
    ),
)

NAMES_SHOWN = 8

IPV4, IPV6 = 4, 16  # octets


def untrusted(code: int, message: str, raw: bytes, host: str) -> CertificateFailure:
    """OpenSSL's ``code`` (X509_V_ERR_*) about a chain that begins with ``raw`` (DER; b"" if it is not known)."""
    sentence = SENTENCES.get(code) or f"{message[:1].upper()}{message[1:]}."
    try:
        hint = _hint(sentence, Certificate(raw), host)
    except ValueError:
        hint = ""
    return CertificateFailure(f"{FAILED}{UNTRUSTED}{sentence}", hint=hint)


def _hint(sentence: str, certificate: Certificate, host: str) -> str:
    if sentence == WRONG_NAME:
        return (
            f"the certificate is for {_names(certificate)}, not for {host}; tls_host_override can expect another name"
        )
    if sentence == EXPIRED and certificate.not_after < time.time():
        return f"the certificate of {_owner(certificate)} expired on {_day(certificate.not_after)}"
    if sentence == NOT_YET and certificate.not_before > time.time():
        return f"the certificate of {_owner(certificate)} is valid from {_day(certificate.not_before)}; check the clock"
    if sentence in (NO_LIST, OLD_LIST):
        return f"{CRL_HINT} {distinguished_name(certificate.issuer)}, and of those above it if it has more than one"
    if sentence != UNKNOWN_ISSUER:
        return f"the certificate of {_owner(certificate)} was issued by {distinguished_name(certificate.issuer)}"
    issuer = "itself" if certificate.self_signed else distinguished_name(certificate.issuer)
    return (
        f"the certificate of {_owner(certificate)} was issued by {issuer}; to trust that authority, name its "
        "certificate in tls_trust_file; to trust this one certificate, once its owner has confirmed it, "
        "set tls_fingerprint " + hexadecimal(digest(certificate.raw, 32))
    )


def wrong_host(raw: bytes, host: str) -> CertificateFailure:
    """The chain is good, but the certificate ``raw`` is for others than ``host``."""
    return untrusted(62, "", raw, host)


def wrong_fingerprint(raw: bytes, wanted: bytes) -> CertificateFailure:
    """The certificate ``raw`` is not the one whose fingerprint the account has."""
    size = len(wanted)
    return CertificateFailure(
        f"{FAILED}the certificate fingerprint does not match",
        hint=f"the server's certificate has the {DIGESTS[size][0]} fingerprint {hexadecimal(digest(raw, size))}; "
        "before you change tls_fingerprint, find out whether the server's owner has changed the certificate",
    )


def authority_unread(directory: str) -> SystemFailure:
    """OpenSSL could not open a file in which it looks for the authority of the server's certificate."""
    return SystemFailure(
        f"{FAILED}a trusted authority's file in {directory} cannot be opened",
        hint="check the files there; if the system was short of something only for now, try again",
    )


def handshake_failed(error: Exception) -> Failure:
    """What OpenSSL says about a handshake that failed for another reason than the certificate."""
    reason = describe(error)
    hint = next((advice for sign, advice in HINTS if sign in reason), "")
    return TlsHandshakeFailure(f"TLS handshake failed: {reason}", hint=hint)


def short_prime() -> Failure:
    """The server's Diffie-Hellman prime is shorter than the account allows."""
    return TlsHandshakeFailure(
        "TLS handshake failed: The Diffie-Hellman prime sent by the server is not acceptable (not long enough).",
        hint="tls_min_dh_prime_bits sets the limit",
    )


def describe(error: Exception) -> str:
    """OpenSSL's words; an alert is told as what it is: ``tlsv1 alert protocol version``."""
    reason = words(error)
    version, alert, name = reason.partition(" alert ")
    if alert and version.startswith(("ssl", "tls")):
        return f"A TLS fatal alert has been received: alert {name}"
    return reason


def _owner(certificate: Certificate) -> str:
    return distinguished_name(certificate.subject) or _names(certificate)


def _names(certificate: Certificate) -> str:
    names, addresses = certificate.names()
    shown = [name if name.isprintable() else ascii(name) for name in names]
    shown += [
        inet_ntop(AF_INET if len(one) == IPV4 else AF_INET6, one) for one in addresses if len(one) in (IPV4, IPV6)
    ]
    more = len(shown) - NAMES_SHOWN
    return ", ".join(shown[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "") or "no host at all"


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
