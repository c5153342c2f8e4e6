"""Servers that only these tests need: one that authenticates by CRAM-MD5 and SCRAM, one that ends without losing words."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac

from tests.support.scripted import Action, Answer, Gone, Polite, Say, Session

CHALLENGE = b"<1896.697170952@scripted.example>"
SALT, ROUNDS, NONCE = b"0123456789abcdef", 4096, "3rfcNHYJY1ZVvWVs7j"
CLIENT_FIRST = {b"EXTERNAL", b"OAUTHBEARER", b"XOAUTH2"}
QUIET = 0.06  # seconds in which a client has said all that it says without waiting


class Authenticating(Polite):
    """A server with manners that also knows CRAM-MD5 (RFC 2195) and SCRAM (RFC 5802), and checks what it is told.

    ``lies``: the signature at the end of SCRAM is not the server's.
    """

    lies = False

    def do_auth(self, session: Session, rest: bytes) -> None:
        mechanism, _, initial = rest.partition(b" ")
        if "AUTH" in self.replies and not initial and mechanism.upper() in CLIENT_FIRST:
            session.say("334 ")
            session.line()
        if "AUTH" in self.replies or mechanism.upper() in {b"PLAIN", b"LOGIN"}:
            super().do_auth(session, rest)
        elif mechanism.upper() == b"CRAM-MD5":
            self.conclude(session, self.cram_md5(session))
        elif mechanism.upper() in {b"SCRAM-SHA-1", b"SCRAM-SHA-256"}:
            self.conclude(session, self.scram(session, initial, mechanism[6:].decode().replace("-", "").lower()))
        else:
            session.say("504 5.5.4 unknown")

    def conclude(self, session: Session, success: bool) -> None:
        session.say("235 2.7.0 welcome" if success else "535 5.7.8 wrong")

    def ask(self, session: Session, challenge: bytes) -> bytes:
        """A challenge and the client's response."""
        session.say("334 " + base64.b64encode(challenge).decode())
        return base64.b64decode(session.line())

    def cram_md5(self, session: Session) -> bool:
        user, _, digest = self.ask(session, CHALLENGE).rpartition(b" ")
        password = self.users.get(user, b"")
        return hmac.new(password, CHALLENGE, "md5").hexdigest().encode() == digest

    def scram(self, session: Session, initial: bytes, name: str) -> bool:
        first = base64.b64decode(initial) if initial else self.ask(session, b"")
        bare = first.split(b",", 2)[2].decode()
        fields = dict(part.split("=", 1) for part in bare.split(","))
        nonce = fields["r"] + NONCE
        server_first = f"r={nonce},s={base64.b64encode(SALT).decode()},i={ROUNDS}"
        final = self.ask(session, server_first.encode()).decode()
        without_proof, _, proof = final.rpartition(",p=")
        told = f"{bare},{server_first},{without_proof}".encode()
        salted = hashlib.pbkdf2_hmac(name, self.users.get(fields["n"].encode(), b""), SALT, ROUNDS)
        client_key = hmac.digest(salted, b"Client Key", name)
        signature = hmac.digest(hashlib.new(name, client_key).digest(), told, name)
        if bytes(a ^ b for a, b in zip(client_key, signature, strict=True)) != base64.b64decode(proof):
            return False
        verifier = hmac.digest(hmac.digest(salted, b"Server Key", name), told, name)
        if self.lies:
            verifier = bytes(len(verifier))
        return self.ask(session, b"v=" + base64.b64encode(verifier)) == b""


class Lying(Authenticating):
    """A server that lets everybody in without knowing the password."""

    lies = True


class Patient(Polite):
    """Hears all that the client says before waiting, then ends the connection: what is lost is then always the same."""

    def say(self, session: Session, keyword: str, default: Answer) -> bytes:
        chosen = self.replies.get(keyword, default)
        if isinstance(chosen, list):
            chosen = chosen[min(session.memory["said"].get(keyword, 0), len(chosen) - 1)]  # type: ignore[attr-defined]
        if isinstance(chosen, Action) or (isinstance(chosen, Say) and chosen.then):
            with contextlib.suppress(Gone):
                while session._fill(QUIET):
                    pass
        return super().say(session, keyword, default)
