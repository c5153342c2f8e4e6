"""The server's side of PLAIN, LOGIN and SCRAM-SHA-256, checked against what SCRAM stores instead of a password.

    exchange = create(name, lookup, secret=..., nonce=...)
    challenge = exchange.start(initial)      initial None: the client sent none
    while challenge is not None:
        challenge = exchange.next(response)
    exchange.outcome, exchange.user

Here too an exchange is a generator: it yields challenges, is sent responses, and returns the outcome.  Who asks for a
user that does not exist gets the same challenges and costs the same work as one who guesses a password.
"""

from __future__ import annotations

from binascii import a2b_base64

from msmtp.failures import MechanismFailure
from msmtp.sasl.digests import compare_digest, digest, hmac, pbkdf2_hmac
from msmtp.sasl.mechanisms import own_nonce, prepare
from msmtp.sasl.scram import NONCE_OCTETS, base64, xor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Dialogue = Generator[bytes, bytes, str]
    Lookup = Callable[[bytes], "Verifier | None"]

# Outcomes, and what SMTP answers (RFC 4954, 4 and 6).
ACCEPTED = "accepted"  # 235 2.7.0
REFUSED = "refused"  # 535 5.7.8
MALFORMED = "malformed"  # 501 5.5.2

ALGORITHM = "sha256"
ITERATIONS = 10_000  # 2 ms; see MIN_ITERATIONS of the client
SALT_OCTETS = 16
SCHEME = b"SCRAM-SHA-256"


class Verifier:
    """What is stored of a password (RFC 5802, 3): enough to check one, not enough to pretend to know it.

    As text it is ``SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey``, the last three in base64 (as in RFC 5803).
    """

    __slots__ = ("iterations", "salt", "server_key", "stored_key")

    def __init__(self, salt: bytes, iterations: int, stored_key: bytes, server_key: bytes) -> None:
        self.salt = salt
        self.iterations = iterations
        self.stored_key = stored_key
        self.server_key = server_key

    @classmethod
    def of(cls, password: bytes, salt: bytes, iterations: int = ITERATIONS) -> Verifier:
        """Return the verifier of a password (UTF-8); ``salt`` is fresh randomness.  Raises MechanismFailure."""
        stored_key, server_key = keys(password, salt, iterations)
        return cls(salt, iterations, stored_key, server_key)

    @classmethod
    def parse(cls, text: bytes) -> Verifier:
        """Return the verifier a text stands for; ValueError, without the text, if it is none."""
        try:
            scheme, work, both = text.split(b"$")
            iterations, salt = work.split(b":")
            decoded = [a2b_base64(part, strict_mode=True) for part in (salt, *both.split(b":"))]
            salt, stored_key, server_key = decoded
            count = int(iterations)
        except ValueError:
            raise ValueError("not a SCRAM-SHA-256 verifier") from None
        if scheme != SCHEME or count <= 0 or not len(stored_key) == len(server_key) == len(digest(ALGORITHM, b"")):
            raise ValueError("not a SCRAM-SHA-256 verifier")
        return cls(salt, count, stored_key, server_key)

    def encode(self) -> bytes:
        """Return the verifier as text."""
        both = base64(self.stored_key) + b":" + base64(self.server_key)
        return b"%s$%d:%s$%s" % (SCHEME, self.iterations, base64(self.salt), both)

    def matches(self, password: bytes) -> bool:
        """Tell whether this is the password, in time that does not depend on how near it comes."""
        return compare_digest(keys(password, self.salt, self.iterations)[0], self.stored_key)


class ServerMechanism:
    """One exchange, used once.

    ``lookup`` returns the Verifier of a user name (prepared, UTF-8) or None.  ``secret``: octets that never change and
    never leave the server, from which users that do not exist get their salt; ``iterations`` and ``salt_octets``:
    theirs, the same as everybody's.  ``nonce``: as for Credentials; PLAIN and LOGIN need none.

    ``outcome`` is '' until the exchange is over, then ACCEPTED, REFUSED or MALFORMED; ``user`` is who was
    accepted.
    """

    __slots__ = ("_dialogue", "iterations", "lookup", "nonce", "outcome", "salt_octets", "secret", "user")
    name = b""

    def __init__(
        self,
        lookup: Lookup,
        *,
        secret: bytes,
        iterations: int = ITERATIONS,
        salt_octets: int = SALT_OCTETS,
        nonce: bytes = b"",
    ) -> None:
        self.lookup = lookup
        self.secret = secret
        self.iterations = iterations
        self.salt_octets = salt_octets
        self.nonce = nonce
        self.outcome = ""
        self.user = b""
        self._dialogue = self.dialogue()

    def dialogue(self) -> Dialogue:
        """Yield challenges, return the outcome; a ValueError stands for a response that breaks the grammar."""
        raise NotImplementedError

    def start(self, initial: bytes | None) -> bytes | None:
        """Return the first challenge, or None if the exchange is over; ``initial`` None: no initial response."""
        challenge = next(self._dialogue)
        return challenge if initial is None else self.next(initial)

    def next(self, response: bytes) -> bytes | None:
        """Return the next challenge, or None if the exchange is over."""
        if self.outcome:
            return None
        try:
            return self._dialogue.send(response)
        except StopIteration as end:
            self.end(end.value)
        except MechanismFailure:
            self.end(REFUSED)  # a name or password that cannot be prepared is nobody's
        except ValueError:
            self.end(MALFORMED)
        return None

    def end(self, outcome: str) -> None:
        """Set the outcome, which is the first there is."""
        self.outcome = self.outcome or outcome

    def verifier(self, user: bytes) -> tuple[Verifier, bool]:
        """Return the user's verifier and whether there is such a user; for the others one that nothing matches."""
        found = self.lookup(user)
        if found is not None:
            return found, True
        salt = made_salt(self.secret, user, self.salt_octets)
        key = hmac(ALGORITHM, self.secret, b"key " + user)
        return Verifier(salt, self.iterations, key, key), False

    def verify(self, authzid: bytes, user: bytes, password: bytes) -> str:
        """Return the outcome for a password in clear; nobody may act for another."""
        user, authzid = prepare(user, "user name"), prepare(authzid, "authorization name")
        verifier, known = self.verifier(user)
        right = verifier.matches(password)
        if not (known and right and authzid in (b"", user)):
            return REFUSED
        self.user = user
        return ACCEPTED


class ServerPlain(ServerMechanism):
    """RFC 4616, 2."""

    __slots__ = ()
    name = b"PLAIN"

    def dialogue(self) -> Dialogue:
        """Ask for the one message and check it."""
        message = yield b""
        authzid, user, password = message.split(b"\0")
        return self.verify(authzid, user, password)


class ServerLogin(ServerMechanism):
    """Two questions; an initial response answers the first."""

    __slots__ = ()
    name = b"LOGIN"

    def dialogue(self) -> Dialogue:
        """Ask for user name and password and check them."""
        user = yield b"Username:"
        password = yield b"Password:"
        if b"\0" in user + password:
            return MALFORMED
        return self.verify(b"", user, password)


class ServerScram(ServerMechanism):
    """RFC 7677 without channel binding, so that its flags may be n or y."""

    __slots__ = ()
    name = SCHEME

    def dialogue(self) -> Dialogue:
        """Send nonce, salt and count; check the client's proof; send ours."""
        own = own_nonce(self.nonce)
        client_first = yield b""
        header, authzid, user, bare, client_nonce = first_message(client_first)
        verifier, known = self.verifier(user)
        nonce = client_nonce + own
        server_first = b"r=%s,s=%s,i=%d" % (nonce, base64(verifier.salt), verifier.iterations)
        client_final = yield server_first
        without_proof, proof = final_message(client_final, b"c=" + base64(header) + b",r=" + nonce)
        auth_message = b",".join((bare, server_first, without_proof))
        client_key = xor(proof, hmac(ALGORITHM, verifier.stored_key, auth_message))
        right = compare_digest(digest(ALGORITHM, client_key), verifier.stored_key)
        if not (known and right and authzid in (b"", user)):
            return REFUSED
        if (yield b"v=" + base64(hmac(ALGORITHM, verifier.server_key, auth_message))):
            return MALFORMED
        self.user = user
        return ACCEPTED


MECHANISMS = {mechanism.name: mechanism for mechanism in (ServerScram, ServerPlain, ServerLogin)}


def create(  # noqa: PLR0913 - what a mechanism works with, by name
    name: bytes,
    lookup: Lookup,
    *,
    secret: bytes,
    iterations: int = ITERATIONS,
    salt_octets: int = SALT_OCTETS,
    nonce: bytes = b"",
) -> ServerMechanism:
    """Return the exchange for a mechanism of MECHANISMS (upper case); KeyError for another."""
    return MECHANISMS[name](lookup, secret=secret, iterations=iterations, salt_octets=salt_octets, nonce=nonce)


def made_salt(secret: bytes, user: bytes, octets: int = SALT_OCTETS) -> bytes:
    """Return the salt of a user for whom none was given: it follows from the secret, and is as long as the others'."""
    salt = block = b""
    while len(salt) < octets:  # as HKDF does it (RFC 5869, 2.3)
        block = hmac(ALGORITHM, secret, block + b"salt " + user)
        salt += block
    return salt[:octets]


def keys(password: bytes, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """Return StoredKey and ServerKey (RFC 5802, 3).  Raises MechanismFailure for a password that cannot be prepared."""
    salted = pbkdf2_hmac(ALGORITHM, prepare(password, "password"), salt, iterations)
    return digest(ALGORITHM, hmac(ALGORITHM, salted, b"Client Key")), hmac(ALGORITHM, salted, b"Server Key")


def first_message(message: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Return GS2 header, authorization name, user name, the rest and the nonce of a client-first-message.

    Raises ValueError where it breaks RFC 5802, 7, asks for a channel binding (not offered here) or an extension.
    """
    flag, authorization, bare = message.split(b",", 2)
    user, nonce = bare.split(b",")[:2]
    if flag not in {b"n", b"y"} or not (authorization == b"" or authorization.startswith(b"a=")):
        raise ValueError("GS2 header")
    if not user.startswith(b"n=") or not nonce.startswith(b"r="):
        raise ValueError("client-first-message")
    if not nonce[2:] or nonce[2:].strip(NONCE_OCTETS):
        raise ValueError("nonce")
    header = flag + b"," + authorization + b","
    return header, unescaped(authorization[2:], "authorization name"), unescaped(user[2:], "user name"), bare, nonce[2:]


def final_message(message: bytes, beginning: bytes) -> tuple[bytes, bytes]:
    """Return a client-final-message without its proof, and the proof; ValueError if it does not fit the exchange."""
    without_proof, proof_text = message.rsplit(b",p=", 1)
    if without_proof != beginning and not without_proof.startswith(beginning + b","):
        raise ValueError("channel binding or nonce")
    proof = a2b_base64(proof_text, strict_mode=True)
    if len(proof) != len(digest(ALGORITHM, b"")):
        raise ValueError("proof")
    return without_proof, proof


def unescaped(name: bytes, what: str) -> bytes:
    """Return the name a saslname stands for (RFC 5802, 7), prepared; ValueError for a stray '='."""
    if any(piece[:2] not in {b"2C", b"3D"} for piece in name.split(b"=")[1:]):
        raise ValueError("saslname")
    return prepare(name.replace(b"=2C", b",").replace(b"=3D", b"="), what)
