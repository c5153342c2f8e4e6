"""The server's side: our client against it in memory, the examples of the RFCs, and clients that cheat."""

from base64 import b64decode, b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msmtp.failures import MechanismFailure
from msmtp.sasl import Credentials, server
from msmtp.sasl import create as create_client
from msmtp.sasl.server import ACCEPTED, MALFORMED, MECHANISMS, REFUSED, Verifier, create

SALT = b64decode(b"W22ZaJ0SNY7soEsUEjb6gQ==")
CLIENT_NONCE = b"rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
PENCIL = Verifier.of(b"pencil", SALT, 4096)
USERS = {
    b"user": PENCIL,
    "j\u00f6rg".encode(): Verifier.of("pa\u00df\U0001f511".encode(), b"salt of joerg", 4096),
    b"a=b,c": PENCIL,
    b"short": Verifier.of(b"x", b"salt", 4096),
}
NAMES = tuple(MECHANISMS)


def exchange(name, users=USERS):
    return create(name, users.get, secret=b"secret", iterations=4096, nonce=SERVER_NONCE)


def converse(name, user, password, *, initial=True, **more):
    """Our client against our server; the server's exchange and the client's mechanism."""
    client = create_client(name, Credentials(user, password, nonce=CLIENT_NONCE, **more))
    ours = exchange(name)
    first = client.start()
    challenge = ours.start(first if initial else None)
    if not initial and first is not None:
        assert challenge == b""
        challenge = ours.next(first)
    while challenge is not None:
        challenge = ours.next(client.next(challenge))
    return ours, client


# -- client against server


@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("user", "password"),
    [
        (b"user", b"pencil"),
        ("j\u00f6rg".encode(), "pa\u00df\U0001f511".encode()),
        (b"a=b,c", b"pencil"),
        (b"short", b"x"),
    ],
)
def test_right_password_is_accepted(name, user, password, initial):
    ours, client = converse(name, user, password, initial=initial)
    assert (ours.outcome, ours.user) == (ACCEPTED, user)
    client.finished()
    assert ours.next(b"more") is None
    assert ours.outcome == ACCEPTED


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("user", "password"),
    [
        (b"user", b"pencil2"),
        (b"user", b"penci"),
        (b"user", b"x"),
        (b"nobody", b"pencil"),
        (b"short", b"y"),
        (b"short", b"xx"),
        (b"User", b"pencil"),
    ],
)
def test_wrong_password_and_unknown_user_are_refused_alike(name, user, password):
    ours, _ = converse(name, user, password)
    assert (ours.outcome, ours.user) == (REFUSED, b"")


@pytest.mark.parametrize("name", [b"PLAIN", b"SCRAM-SHA-256"])
def test_nobody_acts_for_another(name):
    assert converse(name, b"user", b"pencil", authzid=b"user")[0].outcome == ACCEPTED
    assert converse(name, b"user", b"pencil", authzid=b"short")[0].outcome == REFUSED


def test_names_that_people_type_differently_are_the_same_user():
    for name in NAMES:
        decomposed = "jo\u0308rg".encode()
        ours, _ = converse(name, decomposed, "pa\u00df\U0001f511".encode())
        assert (ours.outcome, ours.user) == (ACCEPTED, "j\u00f6rg".encode())


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
@settings(max_examples=40)
def test_client_and_server_agree_on_any_name_and_password(user, password):
    try:
        stored = Verifier.of(password.encode(), b"salt", 4096)
        outcomes = set()
        for name in NAMES:
            client = create_client(name, Credentials(user.encode(), password.encode(), nonce=CLIENT_NONCE))
            ours = create(name, lambda _: stored, secret=b"secret", nonce=SERVER_NONCE)
            challenge = ours.start(client.start())
            while challenge is not None:
                challenge = ours.next(client.next(challenge))
            outcomes.add(ours.outcome)
    except MechanismFailure:
        return  # a name or password that the client cannot send
    assert outcomes == {ACCEPTED}


# -- SCRAM in detail: RFC 7677, 3


def test_example_of_the_rfc():
    ours = exchange(b"SCRAM-SHA-256")
    first = ours.start(b"n,,n=user,r=" + CLIENT_NONCE)
    assert first == b"r=" + CLIENT_NONCE + SERVER_NONCE + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    proof = b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    final = ours.next(b"c=biws,r=" + CLIENT_NONCE + SERVER_NONCE + b"," + proof)
    assert final == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert ours.next(b"") is None
    assert (ours.outcome, ours.user) == (ACCEPTED, b"user")


def test_unknown_user_gets_the_same_salt_every_time_and_another_than_others():
    def salt(user):
        return exchange(b"SCRAM-SHA-256").start(b"n,,n=%s,r=abc" % user).split(b",")[1]

    assert salt(b"nobody") == salt(b"nobody") != salt(b"nemo")
    first = exchange(b"SCRAM-SHA-256").start(b"n,,n=nobody,r=abc")
    assert first.endswith(b",i=4096")
    assert len(b64decode(first.split(b",")[1][2:])) == 16


@pytest.mark.parametrize("octets", [0, 1, 16, 32, 33, 64, 100])
def test_made_salt_is_as_long_as_the_others_and_begins_alike(octets):
    salt = server.made_salt(b"secret", b"nobody", octets)
    assert len(salt) == octets
    assert server.made_salt(b"secret", b"nobody", 100).startswith(salt)
    others = {server.made_salt(b"secret", b"nemo", octets), server.made_salt(b"s", b"nobody", octets)}
    assert octets < 16 or (len(others) == 2 and salt not in others)


def test_client_that_could_bind_the_channel_is_served_without():
    client = create_client(
        b"SCRAM-SHA-256",
        Credentials(b"user", b"pencil", nonce=CLIENT_NONCE, channel_binding=(b"tls-unique", b"x")),
        (b"SCRAM-SHA-256",),
    )
    ours = exchange(b"SCRAM-SHA-256")
    start = client.start()
    assert start.startswith(b"y,,")
    client.next(ours.next(client.next(ours.start(start))))
    client.finished()


BROKEN_FIRST = [
    b"",
    b"n",
    b"n,,",
    b"n,,n=user",
    b"n,,r=abc,n=user",
    b"n,,n=user,x=abc",
    b"n,,m=ext,n=user,r=abc",
    b"n,,n=user,r=",
    b"n,,n=user,r=a b",
    b"n,,n=user,r=\xff",
    b"x,,n=user,r=abc",
    b"p=tls-unique,,n=user,r=abc",
    b",,n=user,r=abc",
    b"n,b=user,n=user,r=abc",
    b"n,,n=us=er,r=abc",
    b"n,,n=user=,r=abc",
    b"n,,n=us=2cer,r=abc",
]


@pytest.mark.parametrize("message", BROKEN_FIRST)
def test_first_message_that_breaks_the_grammar_is_malformed(message):
    ours = exchange(b"SCRAM-SHA-256")
    assert ours.start(message) is None
    assert (ours.outcome, ours.user) == (MALFORMED, b"")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"c=biws",
        b"c=biws,r=NONCE",
        b"c=eSws,r=NONCE,p=PROOF",
        b"c=biws,r=NONCEx,p=PROOF",
        b"c=biws,r=other,p=PROOF",
        b"c=biws,r=NONCE,p=",
        b"c=biws,r=NONCE,p=AAAA",
        b"c=biws,r=NONCE,p=!!!!",
        b"c=biws,r=NONCE,p=PROOFPROOF",
    ],
)
def test_final_message_that_does_not_fit_is_malformed(message):
    ours = exchange(b"SCRAM-SHA-256")
    ours.start(b"n,,n=user,r=" + CLIENT_NONCE)
    message = message.replace(b"NONCE", CLIENT_NONCE + SERVER_NONCE).replace(b"PROOF", b64encode(b"x" * 32))
    assert ours.next(message) is None
    assert (ours.outcome, ours.user) == (MALFORMED, b"")


def test_extension_in_the_final_message_is_part_of_what_is_signed():
    ours = exchange(b"SCRAM-SHA-256")
    ours.start(b"n,,n=user,r=" + CLIENT_NONCE)
    proof = b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert ours.next(b"c=biws,r=" + CLIENT_NONCE + SERVER_NONCE + b",x=1,p=" + proof) is None
    assert ours.outcome == REFUSED


def test_word_after_our_proof_is_malformed():
    client = create_client(b"SCRAM-SHA-256", Credentials(b"user", b"pencil", nonce=CLIENT_NONCE))
    ours = exchange(b"SCRAM-SHA-256")
    ours.next(client.next(ours.start(client.start())))
    assert ours.next(b"thanks") is None
    assert (ours.outcome, ours.user) == (MALFORMED, b"")


def test_nonce_is_the_callers_duty():
    with pytest.raises(ValueError, match="a nonce is"):
        create(b"SCRAM-SHA-256", USERS.get, secret=b"s").start(None)


# -- PLAIN and LOGIN in detail


@pytest.mark.parametrize("message", [b"", b"user", b"user\0pencil", b"\0user\0pencil\0", b"\0\0\0\0", b"x" * 9000])
def test_plain_needs_two_nuls(message):
    ours = exchange(b"PLAIN")
    assert ours.start(message) is None
    assert ours.outcome == MALFORMED


@pytest.mark.parametrize(
    "message",
    [
        b"\0\0",
        b"\0user\0",
        b"\0\0pencil",
        b"\0\xff\0pencil",
        b"\0user\0\xff",
        b"\0us\x07er\0pencil",
        b"\xff\0user\0pencil",
    ],
)
def test_plain_with_empty_or_impossible_fields_is_refused(message):
    ours = exchange(b"PLAIN")
    assert ours.start(message) is None
    assert (ours.outcome, ours.user) == (REFUSED, b"")


def test_very_long_password_is_refused_in_bounded_time():
    ours = exchange(b"PLAIN")
    assert ours.start(b"\0user\0" + b"x" * 9000) is None
    assert ours.outcome == REFUSED


@pytest.mark.parametrize(("user", "password"), [(b"us\0er", b"pencil"), (b"user", b"pen\0cil")])
def test_login_refuses_nuls(user, password):
    ours = exchange(b"LOGIN")
    assert ours.start(None) == b"Username:"
    assert ours.next(user) == b"Password:"
    assert ours.next(password) is None
    assert ours.outcome == MALFORMED


@given(
    st.sampled_from(NAMES),
    st.lists(st.binary(max_size=60) | st.sampled_from([b"n,,n=user,r=abc", b"\0user\0x", b"user"])),
)
@settings(max_examples=60)
def test_fault_35_no_sequence_of_responses_raises_or_gets_in(name, responses):
    ours = exchange(name, {b"user": PENCIL})
    challenge = ours.start(None)
    for response in responses:
        challenge = ours.next(response)
    assert ours.outcome in {"", REFUSED, MALFORMED}
    assert (challenge is None) == bool(ours.outcome)


# -- what is stored


def test_verifier_as_text_and_back():
    text = PENCIL.encode()
    assert text == (
        b"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        b"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
    again = Verifier.parse(text)
    assert again.encode() == text
    assert again.matches(b"pencil")
    assert not again.matches(b"pencil ")
    assert "WG5d" not in repr(again)


GOOD = PENCIL.encode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"pencil",
        GOOD.replace(b"256", b"512"),
        GOOD.replace(b"4096", b"0"),
        GOOD.replace(b"4096", b"-1"),
        GOOD.replace(b"4096", b"many"),
        GOOD.replace(b"$", b":"),
        GOOD + b"$",
        GOOD + b":AAAA",
        GOOD[:-4],
        GOOD.replace(b"WG5d", b"!!!!"),
    ],
)
def test_text_that_is_no_verifier_is_refused_without_showing_it(text):
    with pytest.raises(ValueError, match=r"^not a SCRAM-SHA-256 verifier$"):
        Verifier.parse(text)


def test_default_work_is_what_clients_ask_for():
    assert server.ITERATIONS >= 4096
    assert Verifier.of(b"x", b"salt").iterations == server.ITERATIONS


def test_bare_exchange_has_no_dialogue():
    with pytest.raises(NotImplementedError):
        server.ServerMechanism(USERS.get, secret=b"")
