"""SCRAM: the examples of the RFCs, and servers that cheat."""

import hashlib
import hmac
import time
from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.failures import MechanismFailure
from msmtp.sasl import Credentials, create
from msmtp.sasl.mechanisms import own_nonce
from msmtp.sasl.scram import MAX_ITERATIONS, MIN_ITERATIONS

RFC5802 = (
    b"SCRAM-SHA-1",
    b"fyko+d2lbbFgONRv9qkxdawL",
    b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
)
RFC7677 = (
    b"SCRAM-SHA-256",
    b"rOprNGfwEbeRWgbNEkqO",
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
)
BOTH = pytest.mark.parametrize(("name", "nonce", "server_first", "client_final", "server_final"), [RFC5802, RFC7677])
BINDING = (b"tls-exporter", bytes(range(32)))


def scram(name=RFC7677[0], nonce=RFC7677[1], user=b"user", password=b"pencil", offered=(), **more):
    return create(name, Credentials(user, password, nonce=nonce, **more), offered)


def next_or_failure(mechanism, message):
    try:
        return mechanism.next(message)
    except MechanismFailure as failure:
        return failure


class Server:
    """A server written down from RFC 5802, 3 for these tests; knows one password."""

    def __init__(self, algorithm, password, salt=b"salt", iterations=4096):
        self.algorithm = algorithm
        self.salt, self.iterations = salt, iterations
        self.salted = hashlib.pbkdf2_hmac(algorithm, password, salt, iterations)

    def mac(self, key, text):
        return hmac.digest(key, text, self.algorithm)

    def first(self, client_first):
        self.bare = client_first.split(b",", 2)[2]
        nonce = self.bare.split(b"r=")[1]
        self.said = b"r=%s+more,s=%s,i=%d" % (nonce, b64encode(self.salt), self.iterations)
        return self.said

    def final(self, client_final):
        without_proof, proof = client_final.rsplit(b",p=", 1)
        message = b",".join((self.bare, self.said, without_proof))
        stored = hashlib.new(self.algorithm, self.mac(self.salted, b"Client Key")).digest()
        signature = self.mac(stored, message)
        client_key = bytes(a ^ b for a, b in zip(signature, b64decode(proof), strict=True))
        assert hashlib.new(self.algorithm, client_key).digest() == stored
        return b"v=" + b64encode(self.mac(self.mac(self.salted, b"Server Key"), message))


@BOTH
def test_examples_of_the_rfcs(name, nonce, server_first, client_final, server_final):
    mechanism = scram(name, nonce)
    assert mechanism.start() == b"n,,n=user,r=" + nonce
    assert mechanism.next(server_first) == client_final
    assert mechanism.next(server_final) == b""
    mechanism.finished()
    with pytest.raises(MechanismFailure, match="asks for more"):
        mechanism.next(b"")


@BOTH
def test_extensions_after_the_known_fields_are_passed_over(name, nonce, server_first, client_final, server_final):
    mechanism = scram(name, nonce)
    mechanism.start()
    first = mechanism.next(server_first + b",x=new")
    assert first.startswith(client_final.rsplit(b",", 1)[0])
    with pytest.raises(MechanismFailure, match="is wrong"):  # the extension is signed too
        mechanism.next(server_final + b",x=new")


# -- the GS2 header and channel binding


@pytest.mark.parametrize("name", [b"SCRAM-SHA-1-PLUS", b"SCRAM-SHA-256-PLUS"])
def test_plus_sends_binding_type_and_value(name):
    mechanism = scram(name, authzid=b"boss", channel_binding=BINDING)
    start = mechanism.start()
    assert start == b"p=tls-exporter,a=boss,n=user,r=" + RFC7677[1]
    server = Server({b"1": "sha1", b"6": "sha256"}[name[-6:-5]], b"pencil")
    final = mechanism.next(server.first(start))
    assert b64decode(final.split(b",")[0][2:]) == b"p=tls-exporter,a=boss," + BINDING[1]
    mechanism.next(server.final(final))
    mechanism.finished()


def test_plus_without_a_channel_is_refused():
    with pytest.raises(MechanismFailure, match="no TLS channel"):
        scram(b"SCRAM-SHA-1-PLUS").start()


PLUS = (b"SCRAM-SHA-256", b"SCRAM-SHA-256-PLUS")


@pytest.mark.parametrize(
    ("binding", "offered", "flag"),
    [
        (None, (), b"n"),
        (None, (b"SCRAM-SHA-256",), b"n"),
        (None, PLUS, b"n"),
        (BINDING, (), b"n"),  # nothing is known of the offers, so nothing is said
        (BINDING, (b"SCRAM-SHA-256",), b"y"),
        (BINDING, PLUS, b"n"),  # the user named the method without -PLUS
        (BINDING, (b"SCRAM-SHA-256", b"SCRAM-SHA-1-PLUS"), b"n"),
    ],
)
def test_flag_without_plus_reports_what_was_seen(binding, offered, flag):
    mechanism = scram(channel_binding=binding, offered=offered)
    assert mechanism.start().startswith(flag + b",,n=user")
    final = mechanism.next(RFC7677[2])
    assert b64decode(final.split(b",")[0][2:]) == flag + b",,"


# -- names and passwords


def test_names_are_escaped():
    assert scram(user=b"a=b,c", authzid=b",=").start().startswith(b"n,a==2C=3D,n=a=3Db=2Cc,r=")


def test_names_and_passwords_are_prepared():
    # RFC 4013, 3: SOFT HYPHEN vanishes, ROMAN NUMERAL NINE is IX, FEMININE ORDINAL is a
    mechanism = scram(user="I\u00adX".encode(), password="\u00aa\u2168".encode())
    start = mechanism.start()
    assert start.startswith(b"n,,n=IX,")
    server = Server("sha256", b"aIX")
    assert mechanism.next(server.final(mechanism.next(server.first(start)))) == b""
    mechanism.finished()


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"user": b"\xff"}, "the user name is not UTF-8"),
        ({"user": b"a\tb"}, "the user name holds a character"),
        ({"authzid": b"a\0b"}, "the authorization name holds a character"),
    ],
)
def test_names_that_cannot_be_prepared_are_refused(known, words):
    with pytest.raises(MechanismFailure, match=words):
        scram(**known).start()


def test_password_that_cannot_be_prepared_is_refused_and_not_shown():
    mechanism = scram(password=b"s3cret\x7f")
    mechanism.start()
    with pytest.raises(MechanismFailure, match="the password holds a character") as caught:
        mechanism.next(RFC7677[2])
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("nonce", [b"", b"a,b", b"a b", b"\xff", b"a\n"])
def test_nonce_that_breaks_the_grammar_is_the_callers_error(nonce):
    with pytest.raises(ValueError, match="a nonce is"):
        own_nonce(nonce)


# -- hostile servers

N = RFC7677[1]


@pytest.mark.parametrize(
    ("server_first", "words"),
    [
        (b"", "cannot be understood"),
        (b"r=" + N + b"x", "cannot be understood"),
        (b"r=" + N + b"x,s=AAAA", "cannot be understood"),
        (b"s=AAAA,r=" + N + b"x,i=4096", "cannot be understood"),
        (b"\x1b[31m\xff\r\n", "cannot be understood"),
        (b"m=x,r=" + N + b"x,s=AAAA,i=4096", "extension that is not known"),
        (b"r=" + N + b",s=AAAA,i=4096", "nonce does not continue ours"),
        (b"r=other,s=AAAA,i=4096", "nonce does not continue ours"),
        (b"r=" + N[:-1] + b",s=AAAA,i=4096", "nonce does not continue ours"),
        (b"r=" + N + b" x,s=AAAA,i=4096", "cannot be understood|nonce does not continue ours"),
        (b"r=" + N + b"\xff,s=AAAA,i=4096", "nonce does not continue ours"),
        (b"r=" + N + b"x,s=,i=4096", "salt cannot be used"),
        (b"r=" + N + b"x,s=A,i=4096", "salt cannot be used"),
        (b"r=" + N + b"x,s=!!!!,i=4096", "salt cannot be used"),
        (b"r=" + N + b"x,s=" + b"AAAA" * 400 + b",i=4096", "salt cannot be used"),
        (b"r=" + N + b"x,s=AAAA,i=", "iteration count cannot be used"),
        (b"r=" + N + b"x,s=AAAA,i=-4096", "iteration count cannot be used"),
        (b"r=" + N + b"x,s=AAAA,i=+4096", "iteration count cannot be used"),
        (b"r=" + N + b"x,s=AAAA,i=4_096", "iteration count cannot be used"),
        (b"r=" + N + b"x,s=AAAA,i=04096", "iteration count cannot be used"),
        (b"r=" + N + b"x,s=AAAA,i=\xb2", "iteration count cannot be used"),
        (b"r=" + N + b"x,s=AAAA,i=1", "iteration count is 1,"),
        (b"r=" + N + b"x,s=AAAA,i=4095", "iteration count is 4095,"),
        (b"r=" + N + b"x,s=AAAA,i=2000001", "iteration count is 2000001,"),
        (b"r=" + N + b"x,s=AAAA,i=99999999", "iteration count cannot be used"),
        (b"r=" + N + b"x,s=AAAA,i=" + b"9" * 9000, "iteration count cannot be used"),
    ],
)
def test_first_message_that_is_wrong_is_refused_at_once(server_first, words):
    mechanism = scram()
    mechanism.start()
    before = time.process_time()
    with pytest.raises(MechanismFailure, match=words) as caught:
        mechanism.next(server_first)
    assert time.process_time() - before < 0.1
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300


def test_bounds_of_the_iteration_count_are_allowed():
    assert (MIN_ITERATIONS, MAX_ITERATIONS) == (4096, 2_000_000)
    for count in (MIN_ITERATIONS, MAX_ITERATIONS):
        assert scram().iterations(b"%d" % count) == count


@pytest.mark.parametrize(
    "server_final",
    [
        b"",
        b"v=",
        b"v=AAAA",
        b"x=" + RFC7677[4][2:],
        RFC7677[4][:-1],
        RFC7677[4] + b"=",
        RFC7677[4].lower(),
        b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        b"\xff",
    ],
)
def test_server_that_does_not_know_the_password_is_found_out(server_final):
    mechanism = scram()
    mechanism.start()
    mechanism.next(RFC7677[2])
    with pytest.raises(MechanismFailure, match="the signature of the server is wrong") as caught:
        mechanism.next(server_final)
    assert "another server" in caught.value.hint
    with pytest.raises(MechanismFailure, match="did not prove"):
        mechanism.finished()


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_success_without_a_signature_is_not_believed(rounds):
    mechanism = scram()
    mechanism.start()
    for message in RFC7677[2:5:2][:rounds]:
        mechanism.next(message)
    if rounds == 2:
        mechanism.finished()
    else:
        with pytest.raises(MechanismFailure, match="did not prove"):
            mechanism.finished()


@pytest.mark.parametrize("when", [0, 1])
def test_reason_of_the_server_is_answered_and_kept(when):
    mechanism = scram()
    mechanism.start()
    for _ in range(when):
        mechanism.next(RFC7677[2])
    assert mechanism.next(b"e=invalid-proof\x1b") == b""
    assert mechanism.detail == "invalid-proof\\x1b"
    with pytest.raises(MechanismFailure, match="asks for more"):
        mechanism.next(b"")
    with pytest.raises(MechanismFailure, match="did not prove"):
        mechanism.finished()


@given(st.binary(max_size=200) | st.builds(lambda tail: b"r=" + N + tail, st.binary(max_size=80)))
def test_any_first_message_is_answered_or_refused(message):
    mechanism = scram()
    mechanism.start()
    answer = next_or_failure(mechanism, message)
    if isinstance(answer, MechanismFailure):
        assert answer.message.isprintable()
    else:
        assert answer == b"" or answer.startswith(b"c=biws,r=" + N)


@given(st.binary(max_size=200).filter(lambda message: message != RFC7677[4]))
def test_no_other_final_message_proves_anything(message):
    mechanism = scram()
    mechanism.start()
    mechanism.next(RFC7677[2])
    answer = next_or_failure(mechanism, message)
    assert answer == b"" or answer.message.isprintable()
    assert not mechanism.proved or message.startswith(RFC7677[4] + b",")
