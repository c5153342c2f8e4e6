"""SHA-256, SHA-1 and MD5 of a certificate, without ``hashlib`` (2.5 ms) where Python has them as small modules.

A module that is there and cannot be loaded, for want of memory, is a failure: ``hashlib`` would write traces of that on
standard error.

Here they only tell certificates apart; nothing is kept secret by them.
"""

from __future__ import annotations

import sys

try:
    if sys.version_info >= (
        3,
        12,
    ):  # to look for a module that is not there takes long
        from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]
    else:
        from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]
    from _md5 import md5  # type: ignore[import-not-found,unused-ignore]
    from _sha1 import sha1  # type: ignore[import-not-found,unused-ignore]
except ModuleNotFoundError:
    from hashlib import md5, sha1, sha256

# Octets of a digest -> its name, and what computes it.
DIGESTS = {32: ("SHA256", sha256), 20: ("SHA1", sha1), 16: ("MD5", md5)}


def digest(data: bytes, size: int) -> bytes:
    """The digest of ``data`` that is ``size`` octets long; KeyError for another size than 32, 20 and 16."""
    value: bytes = DIGESTS[size][1](data).digest()
    return value


def hexadecimal(value: bytes) -> str:
    """``01:AB:...``, the form of tls_fingerprint."""
    return value.hex(":").upper()
