"""Client certificates on a token: tls_cert_file and tls_key_file as ``pkcs11:`` URIs (RFC 7512; manual, 4.1).

OpenSSL reaches tokens through a provider, which Debian has as the package pkcs11-provider since Debian 13.  It is
loaded here; nothing has to be written into openssl.cnf.  The key never leaves the token: OpenSSL is given a PEM file
whose body is the key's URI, and asks for the PIN.  The certificate is read from the token and handed on as PEM.  Both
"files" are anonymous memory, and gone once OpenSSL has read them.
"""

from __future__ import annotations

import binascii

from msmtp.failures import TlsFileFailure
from msmtp.net._openssl import SSLError, words
from msmtp.net.certificate import SEQUENCE, UTF8_STRING, VISIBLE_STRING, encode
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from msmtp.net._openssl import Context

SCHEME = "pkcs11:"
PROVIDER = "pkcs11"
DESCRIPTION = b"PKCS#11 Provider URI v1.0"
INSTALL = "install the package pkcs11-provider (Debian 13, Ubuntu 24.04, Fedora 38 and newer have it)"

# RFC 7512, section 2.3: what may stand in a query without being escaped.
UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def load(context: Context, key: str, certificate: str, pin: Callable[[], bytes] | None) -> None:
    """Let ``context`` show ``certificate`` and sign with ``key``, each a URI or a PEM file.  TlsFileFailure."""
    try:
        from msmtp.net import _libssl

        if not _libssl.load_provider(PROVIDER):
            raise failure(key, certificate, "OpenSSL's pkcs11 provider is not installed", INSTALL)
        certificate_pem = _stored(certificate, pin) if certificate.startswith(SCHEME) else b""
    except (ImportError, NotImplementedError):
        raise failure(key, certificate, "this Python cannot load OpenSSL's pkcs11 provider", INSTALL) from None
    if certificate.startswith(SCHEME) and not certificate_pem:
        raise failure(
            key, certificate, "there is no such certificate on a token", "p11tool --list-all-certs lists them"
        )
    key_pem = key_file(key) if key.startswith(SCHEME) else b""
    with Memory(certificate_pem, certificate) as certificate_path, Memory(key_pem, key) as key_path:
        try:
            context.load_cert_chain(certificate_path, key_path, pin or _no_pin)
        except (SSLError, OSError, ValueError) as error:
            hint = "is it the right key (p11tool --login --list-privkeys), and the right PIN (password, passwordeval)?"
            raise failure(key, certificate, words(error), hint) from None


def failure(key: str, certificate: str, reason: str, hint: str) -> TlsFileFailure:
    """In the words of the C program."""
    return TlsFileFailure(
        f"cannot set X509 key file {key} and/or X509 cert file {certificate} for TLS session: {reason}", hint=hint
    )


def _stored(uri: str, pin: Callable[[], bytes] | None) -> bytes:
    """A certificate of the token as PEM; the PIN is only used where the token shows nothing without it."""
    from msmtp.net import _libssl

    raw = _libssl.stored_certificate(uri)
    if not raw and pin is not None:
        raw = _libssl.stored_certificate(f"{uri}{'&' if '?' in uri else '?'}pin-value={escape(pin())}")
    return pem("CERTIFICATE", raw) if raw else b""


def key_file(uri: str) -> bytes:
    """A PEM file that stands for the key with this URI."""
    body = encode(VISIBLE_STRING, DESCRIPTION) + encode(UTF8_STRING, uri.encode())
    return pem("PKCS#11 PROVIDER URI", encode(SEQUENCE, body))


def pem(label: str, raw: bytes) -> bytes:
    """RFC 7468, section 2."""
    text = binascii.b2a_base64(raw, newline=False)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN %b-----" % label.encode(), *lines, b"-----END %b-----" % label.encode(), b""])


def escape(value: bytes) -> str:
    """Percent-encoded."""
    return "".join([chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in value])


def _no_pin() -> bytes:
    """Stands where OpenSSL would ask on the terminal by itself."""
    return b""


class Memory:
    """A file of anonymous memory with some content, by its path; without content another path is passed through."""

    __slots__ = ("_content", "_descriptor", "_path")

    def __init__(self, content: bytes, path: str) -> None:
        self._content = content
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> str:
        if not self._content:
            return self._path
        self._descriptor = os.memfd_create("msmtp", os.MFD_CLOEXEC)
        os.write(self._descriptor, self._content)
        return f"/proc/self/fd/{self._descriptor}"

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
