"""What a certificate says: whose it is, who issued it, from when to when, for which names.

Reads DER (X.690) by hand: a certificate is a tree of (tag, length, value), of which only the names and the times are of
interest.  OpenSSL alone decides whether a certificate is genuine; what is read here is shown to people, helps to pick
the authorities that can matter, and is compared with ``tls_host_override`` after OpenSSL has verified the chain.

The bytes come from the network: every length is checked, and whatever does not fit raises ValueError.
"""

from __future__ import annotations

import binascii
from _socket import AF_INET, AF_INET6, inet_pton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Tags (X.690, 8.1.2; X.680).
INTEGER, OCTET_STRING, OID, SEQUENCE, SET = 0x02, 0x04, 0x06, 0x30, 0x31
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
EXPLICIT_VERSION, EXPLICIT_EXTENSIONS = 0xA0, 0xA3
DNS_NAME, IP_ADDRESS = 0x82, 0x87

UTF8_STRING, PRINTABLE_STRING, T61_STRING, IA5_STRING, VISIBLE_STRING = 0x0C, 0x13, 0x14, 0x16, 0x1A
UNIVERSAL_STRING, BMP_STRING = 0x1C, 0x1E
# No certificate is longer than 16 MiB, the limit of a handshake message.
LENGTH_OCTETS = 3

# Strings of one byte a character, or UTF-8: ASCII in them is ASCII.
BYTE_STRINGS = (UTF8_STRING, PRINTABLE_STRING, T61_STRING, IA5_STRING, VISIBLE_STRING)

COMMON_NAME = b"\x55\x04\x03"
SUBJECT_ALT_NAME = b"\x55\x1d\x11"

# RFC 4514, section 3, and the further short names that GnuTLS prints.
ATTRIBUTES = {
    COMMON_NAME: "CN",
    b"\x55\x04\x04": "surName",
    b"\x55\x04\x05": "serialNumber",
    b"\x55\x04\x06": "C",
    b"\x55\x04\x07": "L",
    b"\x55\x04\x08": "ST",
    b"\x55\x04\x09": "street",
    b"\x55\x04\x0a": "O",
    b"\x55\x04\x0b": "OU",
    b"\x55\x04\x0c": "title",
    b"\x55\x04\x0d": "description",
    b"\x55\x04\x0f": "businessCategory",
    b"\x55\x04\x11": "postalCode",
    b"\x55\x04\x14": "telephoneNumber",
    b"\x55\x04\x29": "name",
    b"\x55\x04\x2a": "givenName",
    b"\x55\x04\x2b": "initials",
    b"\x55\x04\x2c": "generationQualifier",
    b"\x55\x04\x2e": "dnQualifier",
    b"\x55\x04\x41": "pseudonym",
    b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01": "UID",
    b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19": "DC",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01": "EMAIL",
    b"\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x01": "jurisdictionOfIncorporationLocalityName",
    b"\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x02": "jurisdictionOfIncorporationStateOrProvinceName",
    b"\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x03": "jurisdictionOfIncorporationCountryName",
}


def element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """The element at ``at`` in ``data[:end]``: its tag, where its content starts and where that ends."""
    if at + 2 > end:
        raise ValueError("a DER element is cut off")
    tag, size, start = data[at], data[at + 1], at + 2
    if size & 0x80:
        width = size & 0x7F
        if not 1 <= width <= LENGTH_OCTETS or start + width > end:
            raise ValueError("a DER length is out of range")
        size = int.from_bytes(data[start : start + width], "big")
        start += width
    if start + size > end:
        raise ValueError("a DER element is cut off")
    return tag, start, start + size


def expect(wanted: int, data: bytes, at: int, end: int) -> tuple[int, int]:
    """Start and end of the content of the element at ``at``, which must have the tag ``wanted``."""
    tag, start, stop = element(data, at, end)
    if tag != wanted:
        raise ValueError(f"DER: tag {wanted:#x} expected, {tag:#x} found")
    return start, stop


def elements(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """All elements in ``data[at:end]``."""
    while at < end:
        tag, start, at = element(data, at, end)
        yield tag, start, at


class Certificate:
    """The fields of one X.509 certificate (RFC 5280, section 4.1).

    ``raw``: its DER.  ``issuer``, ``subject``: DER of the two Names (content only).  ``serial``: content octets.
    ValueError: it is not a certificate.
    """

    __slots__ = ("_extensions", "_validity", "issuer", "raw", "serial", "subject")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        at, end = expect(SEQUENCE, raw, 0, len(raw))
        at, end = expect(SEQUENCE, raw, at, end)
        tag, start, stop = element(raw, at, end)
        if tag == EXPLICIT_VERSION:
            start, stop = expect(INTEGER, raw, stop, end)
        self.serial = raw[start:stop]
        _, stop = expect(SEQUENCE, raw, stop, end)
        start, stop = expect(SEQUENCE, raw, stop, end)
        self.issuer = raw[start:stop]
        self._validity = expect(SEQUENCE, raw, stop, end)
        start, stop = expect(SEQUENCE, raw, self._validity[1], end)
        self.subject = raw[start:stop]
        _, stop = expect(SEQUENCE, raw, stop, end)
        self._extensions = (stop, end)

    @property
    def not_before(self) -> int:
        """When it becomes valid, in seconds since 1970."""
        return seconds(self.raw, *element(self.raw, *self._validity))

    @property
    def not_after(self) -> int:
        """When it expires, in seconds since 1970."""
        start, end = self._validity
        _, _, start = element(self.raw, start, end)
        return seconds(self.raw, *element(self.raw, start, end))

    @property
    def self_signed(self) -> bool:
        """Issuer and owner have the same name."""
        return self.issuer == self.subject

    def names(self) -> tuple[list[str], list[bytes]]:
        """The DNS names and the IP addresses (4 or 16 bytes) it was issued for (RFC 5280, section 4.2.1.6)."""
        names, addresses = [], []
        for tag, start, stop in self._alternative_names():
            if tag == DNS_NAME:
                names.append(self.raw[start:stop].decode("latin-1"))
            elif tag == IP_ADDRESS:
                addresses.append(self.raw[start:stop])
        if not names:  # RFC 6125, section 6.4.4; OpenSSL and GnuTLS do the same
            names = [text(kind, value) for oid, kind, value in attributes(self.subject) if oid == COMMON_NAME][-1:]
        return names, addresses

    def _alternative_names(self) -> Iterator[tuple[int, int, int]]:
        raw = self.raw
        for tag, start, stop in elements(raw, *self._extensions):
            if tag != EXPLICIT_EXTENSIONS:
                continue
            for _, at, end in elements(raw, *expect(SEQUENCE, raw, start, stop)):
                first, last = expect(OID, raw, at, end)
                if raw[first:last] == SUBJECT_ALT_NAME:
                    *_, (_, first, last) = elements(raw, at, end)
                    yield from elements(raw, *expect(SEQUENCE, raw, first, last))


def attributes(name: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Type (OID), string tag and content of each attribute of a Name, in the order of the certificate."""
    for pairs in relative_names(name):
        yield from pairs


def relative_names(name: bytes) -> Iterator[list[tuple[bytes, int, bytes]]]:
    """The relative distinguished names of a Name, each a list of attributes."""
    for tag, start, stop in elements(name, 0, len(name)):
        if tag != SET:
            raise ValueError("DER: a name is not made of sets")
        pairs = []
        for _, at, end in elements(name, start, stop):
            first, last = expect(OID, name, at, end)
            kind, value, value_end = element(name, last, end)
            pairs.append((name[first:last], kind, name[value:value_end]))
        yield pairs


def text(tag: int, content: bytes) -> str:
    """The content of a DER string; ValueError where it is none."""
    if tag == UTF8_STRING:
        return content.decode("utf-8", "replace")
    if tag == BMP_STRING and not len(content) % 2:
        return "".join([chr(content[at] << 8 | content[at + 1]) for at in range(0, len(content), 2)])
    if tag in BYTE_STRINGS:
        return content.decode("latin-1")
    raise ValueError(f"DER: {tag:#x} is not a string")


def distinguished_name(name: bytes) -> str:
    """A Name in the string form of RFC 4514, but in the certificate's own order, as the C program shows it."""
    return ",".join(["+".join([_attribute(*attribute) for attribute in pairs]) for pairs in relative_names(name)])


def _attribute(oid: bytes, tag: int, content: bytes) -> str:
    kind = ATTRIBUTES.get(oid)
    try:
        value = text(tag, content) if kind else ""
    except ValueError:
        kind = None
    if kind is None:
        return f"{dotted(oid)}=#{binascii.hexlify(encode(tag, content)).decode()}"
    return f"{kind}={_escape(value)}"


def _escape(value: str) -> str:
    """RFC 4514, section 2.4; control characters as hexadecimal pairs, so that a name cannot break the line."""
    escaped = []
    for at, sign in enumerate(value):
        edge_space = sign == " " and at in (0, len(value) - 1)
        if sign in ',+"\\<>;' or edge_space or (sign == "#" and at == 0):
            escaped.append("\\" + sign)
        elif not sign.isprintable():
            escaped.extend(f"\\{byte:02X}" for byte in sign.encode("utf-8", "surrogatepass"))
        else:
            escaped.append(sign)
    return "".join(escaped)


def encode(tag: int, content: bytes) -> bytes:
    """One DER element."""
    size = len(content)
    if size < 0x80:  # noqa: PLR2004 - X.690, 8.1.3.4: the short form of a length
        return bytes((tag, size)) + content
    width = (size.bit_length() + 7) // 8
    return bytes((tag, 0x80 | width)) + size.to_bytes(width, "big") + content


def dotted(oid: bytes) -> str:
    """An object identifier as numbers with dots (X.690, 8.19)."""
    numbers, value = [], 0
    for byte in oid:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    if numbers:
        first = min(numbers[0] // 40, 2)
        numbers[:1] = [first, numbers[0] - 40 * first]
    return ".".join(map(str, numbers))


def seconds(raw: bytes, tag: int, start: int, stop: int) -> int:
    """A UTCTime or GeneralizedTime as seconds since 1970 (RFC 5280, section 4.1.2.5: always with seconds and Z)."""
    digits = raw[start : stop - 1]
    if tag == UTC_TIME and len(digits) == 12 and digits.isdigit():  # noqa: PLR2004 - YYMMDDHHMMSS
        digits = (b"19" if digits >= b"50" else b"20") + digits
    if tag not in (UTC_TIME, GENERALIZED_TIME) or len(digits) != 14 or not digits.isdigit():  # noqa: PLR2004
        raise ValueError("DER: not a time")
    year, month, day = int(digits[:4]), int(digits[4:6]), int(digits[6:8])
    # Days since 1970 in the proleptic Gregorian calendar, with years that begin in March so that leap days come last.
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)  # noqa: PLR2004 - February
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 719469
    return days * 86400 + int(digits[8:10]) * 3600 + int(digits[10:12]) * 60 + int(digits[12:14])


def matches(certificate: Certificate, host: str) -> bool:
    """Whether the certificate was issued for ``host``, a name or an IP address (RFC 6125, section 6.4; RFC 9525).

    A ``*`` stands for exactly one whole label, the leftmost, and only above at least two more.
    """
    names, addresses = certificate.names()
    if (address := packed(host)) is not None:
        return address in addresses
    host = host.lower().rstrip(".")
    return any(_matches(name.lower(), host) for name in names)


def _matches(pattern: str, host: str) -> bool:
    if pattern.startswith("*."):
        label, _, rest = host.partition(".")
        return bool(label) and rest == pattern[2:] and "." in rest and "*" not in rest
    return bool(pattern) and pattern == host


def packed(host: str) -> bytes | None:
    """The octets of an IP address; None if ``host`` is a name."""
    for family in (AF_INET, AF_INET6):
        try:
            return inet_pton(family, host)
        except OSError:
            continue
    return None
