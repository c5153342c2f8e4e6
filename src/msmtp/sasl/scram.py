"""SCRAM-SHA-256 (RFC 7677) and SCRAM-SHA-1 (RFC 5802), each with and without -PLUS.

Both sides prove that they know the password, neither sends it, and the server need not even store it.

    C: gs2-header n=user,r=cnonce
    S: r=cnonce+snonce,s=salt,i=count
    C: c=base64(gs2-header, binding data),r=cnonce+snonce,p=proof
    S: v=signature                  or e=reason
    C: (empty)

The GS2 header says how the exchange hangs on the TLS channel (RFC 5802, 6): ``p=type`` it does; ``y`` we could, but
saw the server offer no -PLUS, which a server that did offer one knows for an attack; ``n`` we cannot or were told not
to.
"""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64

from msmtp.failures import shown
from msmtp.sasl.digests import compare_digest, digest, hmac, pbkdf2_hmac
from msmtp.sasl.mechanisms import Mechanism, own_nonce, prepare, saslname

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.sasl.mechanisms import Dialogue

HASHES = {b"SCRAM-SHA-1": "sha1", b"SCRAM-SHA-256": "sha256"}

# Fewer rounds than RFC 5802, 5.1 and RFC 7677, 4 ask for would hand whoever plays the server a proof that is cheap to
# guess passwords with; more than the highest in use (1,300,000) would be work for its own sake: half a second of it.
MIN_ITERATIONS = 4096
MAX_ITERATIONS = 2_000_000
SALT_LIMIT = 1024

# The printable characters a nonce may have (RFC 5802, 7): all but the comma.
NONCE_OCTETS = bytes(set(range(0x21, 0x7F)) - set(b","))


class Scram(Mechanism):
    """The client's side of all four."""

    __slots__ = ()
    mutual = True

    def dialogue(self) -> Dialogue:
        """Yield client-first-message, client-final-message and the empty answer to the server's proof."""
        known = self.credentials
        algorithm = HASHES[self.name.removesuffix(b"-PLUS")]
        header, binding = self.gs2_header()
        bare = b"n=" + saslname(prepare(known.user, "user name")) + b",r=" + own_nonce(known.nonce)
        server_first = yield header + bare
        if server_first.startswith(b"e="):
            self.detail = shown(server_first[2:])
            yield b""
            return
        nonce, salt, iterations = self.server_first(server_first)
        without_proof = b"c=" + base64(header + binding) + b",r=" + nonce
        salted = pbkdf2_hmac(algorithm, prepare(known.password, "password"), salt, iterations)
        auth_message = bare + b"," + server_first + b"," + without_proof
        server_final = yield without_proof + b",p=" + base64(client_proof(algorithm, salted, auth_message))
        if server_final.startswith(b"e="):
            # The reason is the server's to give; its reply, after this empty answer, is the outcome.
            self.detail = shown(server_final[2:])
        else:
            self.verify(server_final, hmac(algorithm, hmac(algorithm, salted, b"Server Key"), auth_message))
        yield b""

    def gs2_header(self) -> tuple[bytes, bytes]:
        """Return the GS2 header (RFC 5801, 4; RFC 5802, 5.1) and the channel binding data."""
        authzid = prepare(self.credentials.authzid, "authorization name")
        name = b"," + (b"a=" + saslname(authzid) if authzid else b"") + b","
        binding = self.credentials.channel_binding
        if self.name.endswith(b"-PLUS"):
            if binding is None:
                raise self.failure("there is no TLS channel to bind to", hint="use TLS, or the method without -PLUS")
            return b"p=" + binding[0] + name, binding[1]
        # Without the list of offers there is nothing to report about it.
        could = binding is not None and self.offered and not any(other.endswith(b"-PLUS") for other in self.offered)
        return (b"y" if could else b"n") + name, b""

    def server_first(self, message: bytes) -> tuple[bytes, bytes, int]:
        """Return nonce, salt and iteration count of a server-first-message (RFC 5802, 7), all checked."""
        if message.startswith(b"m="):
            raise self.failure("the server demands an extension that is not known here")
        fields = message.split(b",")
        names = [field[:2] for field in fields[:3]]
        if names != [b"r=", b"s=", b"i="]:
            raise self.failure(f"the server's first message cannot be understood: {shown(message)}")
        nonce, salt, count = (field[2:] for field in fields[:3])
        own = self.credentials.nonce
        if not nonce.startswith(own) or len(nonce) == len(own) or nonce.strip(NONCE_OCTETS):
            raise self.failure("the server's nonce does not continue ours")
        return nonce, self.salt(salt), self.iterations(count)

    def salt(self, text: bytes) -> bytes:
        """Return the salt."""
        try:
            salt = a2b_base64(text, strict_mode=True)
        except Error:
            salt = b""
        if not 0 < len(salt) <= SALT_LIMIT:
            raise self.failure(f"the server's salt cannot be used: {shown(text)}")
        return salt

    def iterations(self, text: bytes) -> int:
        """Return the iteration count; only one that is neither too cheap nor too dear."""
        if not text.isdigit() or text.startswith(b"0") or len(text) > len(str(MAX_ITERATIONS)):
            raise self.failure(f"the server's iteration count cannot be used: {shown(text)}")
        count = int(text)
        if not MIN_ITERATIONS <= count <= MAX_ITERATIONS:
            raise self.failure(
                f"the server's iteration count is {count}, which is not between {MIN_ITERATIONS} and {MAX_ITERATIONS}",
                hint="have the password stored anew on the server, or choose another method with the command 'auth'",
            )
        return count

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check the server's proof in its server-final-message (RFC 5802, 7)."""
        verifier = message.split(b",", 1)[0]
        if not compare_digest(verifier, b"v=" + base64(signature)):
            raise self.failure(
                "the signature of the server is wrong",
                hint="this may be another server than the one meant: check host and the TLS settings",
            )
        self.proved = True


def client_proof(algorithm: str, salted: bytes, auth_message: bytes) -> bytes:
    """Return ClientKey XOR ClientSignature (RFC 5802, 3)."""
    client_key = hmac(algorithm, salted, b"Client Key")
    signature = hmac(algorithm, digest(algorithm, client_key), auth_message)
    return xor(client_key, signature)


def xor(left: bytes, right: bytes) -> bytes:
    """Return the octets of two strings of one length, XORed."""
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def base64(data: bytes) -> bytes:
    """Return data in base64 on one line."""
    return b2a_base64(data, newline=False)
