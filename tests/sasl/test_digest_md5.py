"""DIGEST-MD5: the examples of RFC 2831, 4, the grammar, and servers that cheat."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.failures import MechanismFailure
from msmtp.sasl import Credentials, create
from msmtp.sasl.digest_md5 import parse, quoted

CHALLENGE = b'realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm=md5-sess,charset=utf-8'
RESPONSE = (
    b'charset=utf-8,username="chris",realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",nc=00000001,'
    b'cnonce="OA6MHXh6VqTrRk",digest-uri="imap/elwood.innosoft.com",qop=auth,response=d388dad90d4bbd760a152321f2143af7'
)
PROOF = b"rspauth=ea40f60335c427b5527b84dbabcdfffd"


def digest_md5(user=b"chris", password=b"secret", nonce=b"OA6MHXh6VqTrRk", service=b"imap", **more):
    mechanism = create(
        b"DIGEST-MD5", Credentials(user, password, nonce=nonce, host=b"elwood.innosoft.com", service=service, **more)
    )
    assert mechanism.start() is None
    return mechanism


def fields(response):
    return dict(parse(response))


# -- examples


def test_imap_example_of_the_rfc():
    mechanism = digest_md5()
    assert sorted(mechanism.next(CHALLENGE).split(b",")) == sorted(RESPONSE.split(b","))
    assert mechanism.next(PROOF) == b""
    mechanism.finished()
    with pytest.raises(MechanismFailure, match="asks for more"):
        mechanism.next(b"")


def test_acap_example_of_the_rfc():
    mechanism = digest_md5(nonce=b"OA9BSuZWMSpW8m", service=b"acap")
    response = mechanism.next(CHALLENGE.replace(b"OA6MG9tEQGm2hh", b"OA9BSXrbuRhWay"))
    assert fields(response)[b"response"] == b"6084c6db3fede7352c551284490fd0fc"
    assert mechanism.next(b"rspauth=2f0b3d7c3c2e486600ef710726aa2eae") == b""
    mechanism.finished()


# -- names, passwords, realms


def md5(*parts):
    return hashlib.md5(b":".join(parts)).digest()


def expected(secret, nonce, cnonce, uri, authzid=()):
    a1 = md5(secret, nonce, cnonce, *authzid).hex().encode()
    a2 = md5(b"AUTHENTICATE", uri).hex().encode()
    return md5(a1, nonce, b"00000001", cnonce, b"auth", a2).hex().encode()


@pytest.mark.parametrize(
    ("user", "password", "hashed", "charset", "sent"),
    [
        # RFC 2831, 2.1.2.1: under charset=utf-8 what fits ISO 8859-1 is hashed in it, each on its own
        ("j\u00f6rg", "pa\u00df", (b"j\xf6rg", b"pa\xdf"), b",charset=utf-8", "j\u00f6rg".encode()),
        ("j\u00f6rg", "\u20ac", (b"j\xf6rg", "\u20ac".encode()), b",charset=utf-8", "j\u00f6rg".encode()),
        ("j\u00f6rg", "pa\u00df", (b"j\xf6rg", b"pa\xdf"), b"", b"j\xf6rg"),
        ("\u20ac", "x", ("\u20ac".encode(), b"x"), b"", "\u20ac".encode()),
    ],
)
def test_characters_beyond_ascii(user, password, hashed, charset, sent):
    mechanism = digest_md5(user.encode(), password.encode())
    answer = fields(mechanism.next(b'nonce="n",algorithm=md5-sess' + charset))
    secret = md5(hashed[0], b"", hashed[1])
    assert answer[b"username"] == sent
    assert (b"charset" in answer) == bool(charset)
    assert answer[b"response"] == expected(secret, b"n", b"OA6MHXh6VqTrRk", b"imap/elwood.innosoft.com")


def test_octets_that_are_no_utf8_are_sent_as_they_are():
    answer = fields(digest_md5(user=b"\xfcx").next(b'nonce="n",algorithm=md5-sess'))
    assert answer[b"username"] == b"\xfcx"


def test_realm_is_the_first_offered_or_left_out():
    answer = fields(digest_md5().next(b'realm="a",realm="b",nonce="n",algorithm=md5-sess'))
    assert answer[b"realm"] == b"a"
    assert b"realm" not in fields(digest_md5().next(b'nonce="n",algorithm=md5-sess'))
    assert fields(digest_md5().next(b'realm="",nonce="n",algorithm=md5-sess'))[b"realm"] == b""


def test_authorization_name_is_signed():
    answer = fields(digest_md5(authzid=b"boss").next(b'realm="r",nonce="n",algorithm=md5-sess'))
    assert answer[b"authzid"] == b"boss"
    secret = md5(b"chris", b"r", b"secret")
    wanted = expected(secret, b"n", b"OA6MHXh6VqTrRk", b"imap/elwood.innosoft.com", (b"boss",))
    assert answer[b"response"] == wanted


def test_quotes_and_backslashes_are_escaped_and_signed_bare():
    answer = digest_md5(user=b'c"h\\s').next(b'realm="a\\"b",nonce="x\\\\y",algorithm=md5-sess')
    assert b'username="c\\"h\\\\s"' in answer
    assert b'realm="a\\"b"' in answer
    assert b'nonce="x\\\\y"' in answer
    secret = md5(b'c"h\\s', b'a"b', b"secret")
    assert fields(answer)[b"response"] == expected(secret, b"x\\y", b"OA6MHXh6VqTrRk", b"imap/elwood.innosoft.com")


def test_own_nonce_is_the_callers_duty():
    with pytest.raises(ValueError, match="a nonce is"):
        digest_md5(nonce=b'a"b').next(CHALLENGE)


# -- the grammar: RFC 2831, 7.1


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        (b"", []),
        (b" , ,\t", []),
        (b"a=b", [(b"a", b"b")]),
        (b'A = "b" , c=d,', [(b"a", b"b"), (b"c", b"d")]),
        (b"\r\n a=b\r\n\t,c=d", [(b"a", b"b"), (b"c", b"d")]),
        (b'a="x,y=z"', [(b"a", b"x,y=z")]),
        (b'a="\\"\\\\\\x"', [(b"a", b'"\\x')]),
        (b'a=""', [(b"a", b"")]),
        (b"a=", [(b"a", b"")]),
        (b"a=b=c", [(b"a", b"b=c")]),
    ],
)
def test_directives(text, pairs):
    assert parse(text) == pairs


@pytest.mark.parametrize(
    "text", [b"a", b"=b", b"a b=c", b'a="b', b'a="b\\', b'a="b"c', b"a=b c", b'a"=b', b'a=b"c"', b",x"]
)
def test_what_are_no_directives(text):
    with pytest.raises(ValueError, match=r"\S"):
        parse(text)


@given(st.lists(st.tuples(st.from_regex(rb"[a-z][a-z0-9-]{0,8}", fullmatch=True), st.binary(max_size=20))))
def test_quoting_comes_back(pairs):
    assert parse(b",".join(name + b"=" + quoted(value) for name, value in pairs)) == pairs


@given(st.binary(max_size=300) | st.text(alphabet='a=",\\ \t', max_size=40).map(str.encode))
def test_any_octets_are_parsed_or_refused(text):
    try:
        pairs = parse(text)
    except ValueError:
        return
    assert all(name for name, _ in pairs)


# -- hostile servers


@pytest.mark.parametrize(
    ("challenge", "words"),
    [
        (b"", "no nonce"),
        (b"x", "cannot be understood"),
        (b"\xff\x1b[31m", "cannot be understood"),
        (b'nonce="",algorithm=md5-sess', "no nonce"),
        (b'algorithm=md5-sess,realm="x"', "no nonce"),
        (b'nonce="a",nonce="b",algorithm=md5-sess', "says 'nonce' twice"),
        (b'nonce="a",algorithm=md5-sess,algorithm=md5-sess', "says 'algorithm' twice"),
        (b'nonce="a"', "not for the algorithm md5-sess"),
        (b'nonce="a",algorithm=md5', "not for the algorithm md5-sess"),
        (b'nonce="a",algorithm=md5-sess,charset=koi8-r', "character set"),
        (b'nonce="a",algorithm=md5-sess,qop="auth-conf,auth-int"', "protection of its own"),
        (b'nonce="a",algorithm=md5-sess,qop=""', "protection of its own"),
        (b'nonce="' + b"a" * 2048 + b'",algorithm=md5-sess', "cannot be understood"),
        (b",=" * 900, "cannot be understood"),
    ],
)
def test_challenge_that_cannot_be_answered_is_refused(challenge, words):
    with pytest.raises(MechanismFailure, match=words) as caught:
        digest_md5().next(challenge)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


def test_protection_auth_is_found_among_others_in_any_case():
    answer = digest_md5().next(b'nonce="a",algorithm=MD5-SESS,qop="auth-conf, AUTH",charset=UTF-8,maxbuf=65536')
    assert fields(answer)[b"qop"] == b"auth"


@pytest.mark.parametrize(
    "proof",
    [b"", b"rspauth=", PROOF[:-1] + b"e", PROOF.upper(), b"x=" + PROOF[8:], b'nonce="x"', b"rspauth=a,rspauth=b", b"="],
)
def test_server_that_does_not_know_the_password_is_found_out(proof):
    mechanism = digest_md5()
    mechanism.next(CHALLENGE)
    with pytest.raises(MechanismFailure):
        mechanism.next(proof)
    with pytest.raises(MechanismFailure, match="did not prove"):
        mechanism.finished()


@given(st.binary(max_size=100))
def test_no_other_message_proves_anything(proof):
    mechanism = digest_md5()
    mechanism.next(CHALLENGE)
    try:
        mechanism.next(proof)
    except MechanismFailure:
        assert not mechanism.proved
