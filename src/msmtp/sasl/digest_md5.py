"""DIGEST-MD5 (RFC 2831, made historic by RFC 6331): both sides prove by MD5 that they know the password.

    S: realm="...",nonce="...",qop="auth",algorithm=md5-sess,charset=utf-8
    C: username="...",realm="...",nonce="...",cnonce="...",nc=00000001,qop=auth,digest-uri="smtp/host",response=...
    S: rspauth=...
    C: (empty)

Only the protection 'auth' is used: integrity and secrecy are TLS's business.
"""

from __future__ import annotations

from msmtp.failures import shown
from msmtp.sasl.digests import compare_digest, digest
from msmtp.sasl.mechanisms import Mechanism, own_nonce

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.sasl.mechanisms import Dialogue

SPACE = b" \t\r\n"
TOKEN_END = frozenset(b',"' + SPACE)
REPEATABLE = (b"realm", b"auth-param")
MESSAGE_LIMIT = 2047  # RFC 2831, 2.1.1: a challenge is shorter than 2048 octets


class DigestMd5(Mechanism):
    """The client's side of a first authentication."""

    __slots__ = ()
    mutual = True

    def dialogue(self) -> Dialogue:
        """Yield the digest-response, then the empty answer to the server's proof."""
        challenge = yield None
        asked = self.directives(challenge)
        self.check(asked)
        exchange = Exchange(self, asked)
        proof = yield exchange.message()
        given = self.directives(proof).get(b"rspauth", b"")
        if not compare_digest(given, exchange.proof(b"")):
            raise self.failure(
                "the server's proof is wrong",
                hint="this may be another server than the one meant: check host and the TLS settings",
            )
        self.proved = True
        yield b""

    def directives(self, message: bytes) -> dict[bytes, bytes]:
        """Return the directives of a message by name in lower case, of several realms the first."""
        found: dict[bytes, bytes] = {}
        try:
            pairs = parse(message) if len(message) <= MESSAGE_LIMIT else None
        except ValueError:
            pairs = None
        if pairs is None:
            raise self.failure(f"the server's challenge cannot be understood: {shown(message)}")
        for name, value in pairs:
            if name in found and name not in REPEATABLE:
                raise self.failure(f"the server's challenge says '{shown(name)}' twice")
            found.setdefault(name, value)
        return found

    def check(self, asked: dict[bytes, bytes]) -> None:
        """See that the challenge is one we can answer (RFC 2831, 2.1.1)."""
        if not asked.get(b"nonce"):
            raise self.failure("the server's challenge has no nonce")
        if asked.get(b"algorithm", b"").lower() != b"md5-sess":
            raise self.failure("the server's challenge is not for the algorithm md5-sess")
        if asked.get(b"charset", b"utf-8").lower() != b"utf-8":
            raise self.failure("the server's challenge is for a character set other than utf-8")
        protections = asked.get(b"qop", b"auth").lower().split(b",")
        if b"auth" not in [protection.strip(SPACE) for protection in protections]:
            raise self.failure("the server demands a protection of its own instead of TLS")


class Exchange:
    """What both proofs of one exchange are made of (RFC 2831, 2.1.2.1)."""

    __slots__ = ("a1", "authzid", "cnonce", "nonce", "realm", "unicode", "uri", "user")

    def __init__(self, mechanism: DigestMd5, asked: dict[bytes, bytes]) -> None:
        known = mechanism.credentials
        self.unicode = b"charset" in asked
        self.user = known.user if self.unicode else narrow(known.user)
        self.realm = asked.get(b"realm")
        self.nonce = asked[b"nonce"]
        self.cnonce = own_nonce(known.nonce)
        self.uri = known.service + b"/" + known.host
        self.authzid = known.authzid
        secret = digest("md5", b":".join((narrow(known.user), self.realm or b"", narrow(known.password))))
        self.a1 = b":".join((secret, self.nonce, self.cnonce)) + (b":" + self.authzid if self.authzid else b"")

    def proof(self, method: bytes) -> bytes:
        """Return the hexadecimal proof; ``method`` is AUTHENTICATE for ours, empty for the server's."""
        a1, a2 = hexadecimal(self.a1), hexadecimal(method + b":" + self.uri)
        return hexadecimal(b":".join((a1, self.nonce, b"00000001", self.cnonce, b"auth", a2)))

    def message(self) -> bytes:
        """Return the digest-response (RFC 2831, 2.1.2)."""
        fields = [b"charset=utf-8"] if self.unicode else []
        fields.append(b"username=" + quoted(self.user))
        if self.realm is not None:
            fields.append(b"realm=" + quoted(self.realm))
        fields += [
            b"nonce=" + quoted(self.nonce),
            b"nc=00000001",
            b"cnonce=" + quoted(self.cnonce),
            b"digest-uri=" + quoted(self.uri),
            b"qop=auth",
            b"response=" + self.proof(b"AUTHENTICATE"),
        ]
        if self.authzid:
            fields.append(b"authzid=" + quoted(self.authzid))
        return b",".join(fields)


def parse(message: bytes) -> list[tuple[bytes, bytes]]:
    """Return names, in lower case, and values of ``name=token`` and ``name="string"``, separated by commas.

    White space around the pairs and empty elements between commas are allowed (RFC 2831, 7.1).  Raises ValueError.
    """
    pairs = []
    position = skip(message, 0)
    while position < len(message):
        equals = message.index(b"=", position)
        name = message[position:equals].strip(SPACE).lower()
        value, position = value_at(message, equals + 1)
        if not name or not TOKEN_END.isdisjoint(name):
            raise ValueError("a directive without a name")
        pairs.append((name, value))
        if position < len(message) and message[position] != ord(","):
            raise ValueError("something between value and comma")
        position = skip(message, position)
    return pairs


def skip(message: bytes, position: int) -> int:
    """Return the position of what follows white space and commas."""
    return len(message) - len(message[position:].lstrip(SPACE + b","))


def value_at(message: bytes, position: int) -> tuple[bytes, int]:
    """Return the token or quoted string at a position, and the position of what follows it and its white space."""
    start = position = len(message) - len(message[position:].lstrip(SPACE))
    if message[position : position + 1] != b'"':
        while position < len(message) and message[position] not in TOKEN_END:
            position += 1
        value = message[start:position]
    else:
        value, position = string_at(message, position + 1)
    return value, len(message) - len(message[position:].lstrip(SPACE))


def string_at(message: bytes, position: int) -> tuple[bytes, int]:
    """Return the rest of a quoted string without its backslashes, and the position behind the closing quote."""
    value = bytearray()
    while message[position : position + 1] != b'"':
        if message[position : position + 1] == b"\\":
            position += 1
        if position >= len(message):
            raise ValueError("a string without an end")
        value.append(message[position])
        position += 1
    return bytes(value), position + 1


def narrow(text: bytes) -> bytes:
    """Return UTF-8 in ISO 8859-1 where it has all the characters (RFC 2831, 2.1.2.1), otherwise as it is."""
    try:
        return text.decode().encode("latin-1")
    except UnicodeError:
        return text


def quoted(text: bytes) -> bytes:
    """Return text as a quoted string."""
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def hexadecimal(data: bytes) -> bytes:
    """Return HEX(H(data)) of the RFC."""
    return digest("md5", data).hex().encode()
