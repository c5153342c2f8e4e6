"""The names of algorithms: OpenSSL's cipher suites taken apart into the words of GnuTLS, and the numbers on the wire.

Configuration files and --serverinfo speak GnuTLS (``AES-128-GCM``, ``ECDHE-RSA``, ``SECP256R1``), the library here
speaks OpenSSL (``ECDHE-RSA-AES128-GCM-SHA256``, ``prime256v1``).  This is the dictionary.
"""

from __future__ import annotations

# Prefix of an OpenSSL name -> GnuTLS's key exchange.  The first that fits; a name without one is plain RSA.
KEY_EXCHANGES = (
    ("ECDHE-RSA-", "ECDHE-RSA"),
    ("ECDHE-ECDSA-", "ECDHE-ECDSA"),
    ("DHE-RSA-", "DHE-RSA"),
    ("DHE-DSS-", "DHE-DSS"),
    ("ECDHE-PSK-", "ECDHE-PSK"),
    ("ECDHE-", "ECDHE-RSA"),  # with ARIA OpenSSL leaves the RSA out
    ("DHE-PSK-", "DHE-PSK"),
    ("RSA-PSK-", "RSA-PSK"),
    ("PSK-", "PSK"),
    ("SRP-RSA-", "SRP-RSA"),
    ("SRP-DSS-", "SRP-DSS"),
    ("SRP-", "SRP"),
    ("ADH-", "ANON-DH"),
    ("AECDH-", "ANON-ECDH"),
    ("", "RSA"),
)

# The rest of an OpenSSL name, without the hash at its end -> GnuTLS's cipher.
CIPHERS = {
    "AES128-GCM": "AES-128-GCM",
    "AES256-GCM": "AES-256-GCM",
    "AES128-CCM": "AES-128-CCM",
    "AES256-CCM": "AES-256-CCM",
    "AES128-CCM8": "AES-128-CCM-8",
    "AES256-CCM8": "AES-256-CCM-8",
    "CHACHA20-POLY1305": "CHACHA20-POLY1305",
    "AES128": "AES-128-CBC",
    "AES256": "AES-256-CBC",
    "AES128-CBC": "AES-128-CBC",
    "AES256-CBC": "AES-256-CBC",
    "AES-128-CBC": "AES-128-CBC",
    "AES-256-CBC": "AES-256-CBC",
    "CAMELLIA128": "CAMELLIA-128-CBC",
    "CAMELLIA256": "CAMELLIA-256-CBC",
    "ARIA128-GCM": "ARIA-128-GCM",
    "ARIA256-GCM": "ARIA-256-GCM",
    "SEED": "SEED-CBC",
    "DES-CBC3": "3DES-CBC",
    "3DES-EDE-CBC": "3DES-CBC",
    "RC4": "ARCFOUR-128",
    "NULL": "NULL",
    # TLS 1.3
    "AES_128_GCM": "AES-128-GCM",
    "AES_256_GCM": "AES-256-GCM",
    "AES_128_CCM": "AES-128-CCM",
    "AES_128_CCM_8": "AES-128-CCM-8",
    "CHACHA20_POLY1305": "CHACHA20-POLY1305",
}

HASHES = {"SHA": "SHA1", "SHA256": "SHA256", "SHA384": "SHA384", "MD5": "MD5"}
AEAD = "AEAD"

# Number on the wire (RFC 8422, section 5.1.1; RFC 7919; RFC 8446, section 4.2.7) -> GnuTLS's group, OpenSSL's.
GROUPS = {
    19: ("SECP192R1", "prime192v1"),
    21: ("SECP224R1", "secp224r1"),
    23: ("SECP256R1", "prime256v1"),
    24: ("SECP384R1", "secp384r1"),
    25: ("SECP521R1", "secp521r1"),
    29: ("X25519", "X25519"),
    30: ("X448", "X448"),
    256: ("FFDHE2048", "ffdhe2048"),
    257: ("FFDHE3072", "ffdhe3072"),
    258: ("FFDHE4096", "ffdhe4096"),
    259: ("FFDHE6144", "ffdhe6144"),
    260: ("FFDHE8192", "ffdhe8192"),
    4587: ("SECP256R1-MLKEM768", "SecP256r1MLKEM768"),
    4588: ("X25519-MLKEM768", "X25519MLKEM768"),
    4589: ("SECP384R1-MLKEM1024", "SecP384r1MLKEM1024"),
}
FIRST_FINITE_FIELD = 256

# Number on the wire (RFC 8446, section 4.2.3) -> GnuTLS's signature algorithm, OpenSSL's.
SIGNATURES = {
    0x0201: ("RSA-SHA1", "RSA+SHA1"),
    0x0301: ("RSA-SHA224", "RSA+SHA224"),
    0x0401: ("RSA-SHA256", "RSA+SHA256"),
    0x0501: ("RSA-SHA384", "RSA+SHA384"),
    0x0601: ("RSA-SHA512", "RSA+SHA512"),
    0x0202: ("DSA-SHA1", "DSA+SHA1"),
    0x0302: ("DSA-SHA224", "DSA+SHA224"),
    0x0402: ("DSA-SHA256", "DSA+SHA256"),
    0x0203: ("ECDSA-SHA1", "ECDSA+SHA1"),
    0x0303: ("ECDSA-SHA224", "ECDSA+SHA224"),
    0x0403: ("ECDSA-SHA256", "ECDSA+SHA256"),
    0x0503: ("ECDSA-SHA384", "ECDSA+SHA384"),
    0x0603: ("ECDSA-SHA512", "ECDSA+SHA512"),
    0x0804: ("RSA-PSS-RSAE-SHA256", "rsa_pss_rsae_sha256"),
    0x0805: ("RSA-PSS-RSAE-SHA384", "rsa_pss_rsae_sha384"),
    0x0806: ("RSA-PSS-RSAE-SHA512", "rsa_pss_rsae_sha512"),
    0x0809: ("RSA-PSS-SHA256", "rsa_pss_pss_sha256"),
    0x080A: ("RSA-PSS-SHA384", "rsa_pss_pss_sha384"),
    0x080B: ("RSA-PSS-SHA512", "rsa_pss_pss_sha512"),
    0x0807: ("EdDSA-Ed25519", "ed25519"),
    0x0808: ("EdDSA-Ed448", "ed448"),
}
# TLS 1.3 ties ECDSA to a curve, and GnuTLS then says so.
CURVES_OF_TLS1_3 = {
    0x0403: "ECDSA-SECP256R1-SHA256",
    0x0503: "ECDSA-SECP384R1-SHA384",
    0x0603: "ECDSA-SECP521R1-SHA512",
}


def split(name: str) -> tuple[str, str, str]:
    """Key exchange ("" in TLS 1.3), cipher and MAC of a suite of OpenSSL's in GnuTLS's words; all "": unknown."""
    if name.startswith("TLS_"):
        return "", CIPHERS.get(name[4:].rpartition("_SHA")[0], ""), AEAD
    prefix, key_exchange = next(pair for pair in KEY_EXCHANGES if name.startswith(pair[0]))
    rest = name[len(prefix) :]
    if rest in CIPHERS:  # CCM and ChaCha20 name no hash
        return key_exchange, CIPHERS[rest], AEAD
    base, _, hash_name = rest.rpartition("-")
    cipher, mac = CIPHERS.get(base, ""), HASHES.get(hash_name, "")
    if not cipher or not mac:
        return "", "", ""
    return key_exchange, cipher, AEAD if cipher.endswith("GCM") else mac
