"""The few hash functions that SASL needs.

OpenSSL's module does its work without ``hashlib`` and ``hmac`` around it, which saves a third of their import; where a
Python has no such module the public ones give the same.  One that is there and cannot be loaded, for want of memory, is
another matter: ``hashlib`` would write traces of that on standard error.
"""

from __future__ import annotations

from msmtp.failures import MechanismFailure

try:
    from _hashlib import compare_digest, hmac_digest, new, pbkdf2_hmac
except ModuleNotFoundError:
    from hashlib import new, pbkdf2_hmac  # type: ignore[assignment]  # the same but for the names of arguments
    from hmac import compare_digest
    from hmac import digest as hmac_digest  # type: ignore[assignment]  # as above

__all__ = ["compare_digest", "digest", "hmac", "pbkdf2_hmac"]


def digest(algorithm: str, data: bytes) -> bytes:
    """Return the digest of data; ``algorithm`` is md5, sha1 or sha256.

    Raises MechanismFailure where the machine's policy forbids it.
    """
    try:
        # The protocols demand MD5 and SHA-1; to a FIPS mode they are no security, which is what it is told here.
        return new(algorithm, data, usedforsecurity=False).digest()
    except ValueError as error:
        raise forbidden(algorithm, error) from None


def hmac(algorithm: str, key: bytes, message: bytes) -> bytes:
    """Return the HMAC (RFC 2104) of message.  Raises MechanismFailure where the machine's policy forbids it."""
    try:
        return hmac_digest(key, message, algorithm)
    except ValueError as error:
        raise forbidden(algorithm, error) from None


def forbidden(algorithm: str, error: ValueError) -> MechanismFailure:
    """Return the failure for a digest that this machine's policy does not allow."""
    return MechanismFailure(
        f"the cryptographic library does not allow {algorithm.upper()}: {error}",
        hint="choose another method with the command 'auth'",
    )
