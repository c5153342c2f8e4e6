"""A TLS session and its certificate in words, for --serverinfo and --debug, as the C program shows them.

Python tells the version and the cipher.  The group and the signature stand in the handshake messages, which the engine
kept.
"""

from __future__ import annotations

import _locale
import time

from msmtp.net._digest import digest, hexadecimal
from msmtp.net.binding import CERTIFICATE_VERIFY, KEY_SHARE, SERVER_HELLO, SERVER_KEY_EXCHANGE, extensions
from msmtp.net.certificate import Certificate, distinguished_name
from msmtp.net.suites import AEAD, CURVES_OF_TLS1_3, FIRST_FINITE_FIELD, GROUPS, SIGNATURES, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.net.tls import TlsInfo

# ECParameters (RFC 8422, section 5.4).
NAMED_CURVE = 3

# The first octets of every prime of RFC 7919.
FFDHE_PRIME = bytes.fromhex("ffffffffffffffffadf85458a2bb4a9a")


def lines(info: TlsInfo) -> list[str]:
    """The part of --serverinfo about TLS, a line each, from ``TLS session parameters:`` on."""
    return ["TLS session parameters:", f"    {session(info)}", *certificate(info.certificate)]


def session(info: TlsInfo) -> str:
    """One line: ``(TLS1.3)-(ECDHE-X25519)-(RSA-PSS-RSAE-SHA256)-(AES-256-GCM)``."""
    key_exchange, cipher, mac = split(info.cipher)
    version = "TLS1.0" if info.version == "TLSv1" else info.version.replace("v", "")
    if version == "TLS1.3":
        agreed = _agreed_in_1_3(info)
    else:
        agreed = _agreed_in_1_2(info, key_exchange, signed=version == "TLS1.2")
    parts = [version, *agreed, cipher or info.cipher, mac if mac != AEAD else ""]
    return "-".join([f"({part})" for part in parts if part])


def _agreed_in_1_3(info: TlsInfo) -> tuple[str, str]:
    """Group and signature of TLS 1.3 (RFC 8446, sections 4.2.8 and 4.4.3)."""
    share = extensions(info.messages.get(SERVER_HELLO, b"")).get(KEY_SHARE, b"")
    verify = info.messages.get(CERTIFICATE_VERIFY, b"")[4:6]
    number = int.from_bytes(verify, "big")
    return _group(int.from_bytes(share[:2], "big")), CURVES_OF_TLS1_3.get(number) or _signature(number)


def _agreed_in_1_2(info: TlsInfo, key_exchange: str, *, signed: bool) -> tuple[str, str]:
    """Group and signature of older versions: ServerKeyExchange (RFC 8422, section 5.4; RFC 5246, section 7.4.3)."""
    message = info.messages.get(SERVER_KEY_EXCHANGE, b"")[4:]
    kind = key_exchange.partition("-")[0]
    if kind == "ECDHE" and message[:1] == bytes((NAMED_CURVE,)):
        agreed = _group(int.from_bytes(message[1:3], "big"))
        at = 4 + int.from_bytes(message[3:4], "big")
    elif kind == "DHE" and message:
        size = int.from_bytes(message[:2], "big")
        prime = message[2 : 2 + size].lstrip(b"\0")
        agreed = f"DHE-{'FFDHE' if prime.startswith(FFDHE_PRIME) else 'CUSTOM'}{len(prime) * 8}"
        at = 0
        for _ in range(3):  # prime, generator, public value, each after its length
            at += 2 + int.from_bytes(message[at : at + 2], "big")
    else:
        return key_exchange, ""
    return agreed, _signature(int.from_bytes(message[at : at + 2], "big")) if signed else ""


def _group(number: int) -> str:
    kind = "DHE" if FIRST_FINITE_FIELD <= number < FIRST_FINITE_FIELD + 0x100 else "ECDHE"
    return f"{kind}-{GROUPS[number][0] if number in GROUPS else number}"


def _signature(number: int) -> str:
    return SIGNATURES[number][0] if number in SIGNATURES else f"{number:#06x}"


def certificate(raw: bytes) -> list[str]:
    """Owner, issuer, validity and fingerprints of a certificate (DER), a line each."""
    head = ["TLS certificate information:"]
    tail = [
        "    Fingerprints:",
        f"        SHA256: {hexadecimal(digest(raw, 32))}",
        f"        SHA1 (deprecated): {hexadecimal(digest(raw, 20))}",
    ]
    try:
        parsed = Certificate(raw)
        return [
            *head,
            "    Subject:",
            f"        {distinguished_name(parsed.subject)}",
            "    Issuer:",
            f"        {distinguished_name(parsed.issuer)}",
            "    Validity:",
            f"        Activation time: {_when(parsed.not_before)}",
            f"        Expiration time: {_when(parsed.not_after)}",
            *tail,
        ]
    except ValueError as error:
        return [*head, f"    Not readable: {error}", *tail]


def _when(seconds: int) -> str:
    """Local time as the user's locale writes it."""
    try:
        _locale.setlocale(_locale.LC_TIME, "")
    except Exception:  # noqa: BLE001, S110 - _locale.Error, of which mypy knows nothing: the locale is not installed
        pass
    try:
        return time.strftime("%c", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"{seconds} seconds after 1970"
