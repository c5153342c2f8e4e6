"""PLAIN, LOGIN, EXTERNAL, CRAM-MD5: mechanisms of one idea each."""

import pytest

from msmtp.failures import MechanismFailure
from msmtp.sasl import Credentials, create

# -- PLAIN: RFC 4616, 4


def test_plain_examples_of_the_rfc():
    assert create(b"PLAIN", Credentials(b"tim", b"tanstaaftanstaaf")).start() == b"\0tim\0tanstaaftanstaaf"
    known = Credentials(b"Kurt", b"xipj3plmq", authzid=b"Ursel")
    assert create(b"PLAIN", known).start() == b"Ursel\0Kurt\0xipj3plmq"


def test_plain_passes_octets_as_they_are():
    known = Credentials("\u00fc\u2168".encode(), b"\xff\x01")
    assert create(b"PLAIN", known).start() == "\0\u00fc\u2168\0".encode() + b"\xff\x01"


@pytest.mark.parametrize("field", ["user", "password", "authzid"])
def test_plain_refuses_a_nul_inside_a_field(field):
    known = {"user": b"u", "password": b"p", "authzid": b"a", field: b"x\0y"}
    with pytest.raises(MechanismFailure, match="NUL"):
        create(b"PLAIN", Credentials(**known)).start()


# -- LOGIN


@pytest.mark.parametrize("questions", [(b"Username:", b"Password:"), (b"User Name\0", b"Password\0"), (b"", b"")])
def test_login_answers_in_order_whatever_the_words(questions):
    mechanism = create(b"LOGIN", Credentials(b"tim", b"pass"))
    assert mechanism.start() is None
    assert [mechanism.next(question) for question in questions] == [b"tim", b"pass"]
    mechanism.finished()
    with pytest.raises(MechanismFailure, match="asks for more than the method has"):
        mechanism.next(b"Shoe size:")


# -- EXTERNAL: RFC 4422, appendix A


@pytest.mark.parametrize(
    ("user", "authzid", "message"),
    [
        (b"", b"", b""),
        (b"fred@example.com", b"", b"fred@example.com"),
        (b"fred", b"pat", b"pat"),
        ("\u00fc".encode(), b"", b"\xc3\xbc"),
    ],
)
def test_external_names_who_we_wish_to_be(user, authzid, message):
    assert create(b"EXTERNAL", Credentials(user, b"", authzid=authzid)).start() == message


def test_external_refuses_a_nul():
    with pytest.raises(MechanismFailure, match="NUL"):
        create(b"EXTERNAL", Credentials(b"a\0b", b"")).start()


# -- CRAM-MD5: RFC 2195, 2


def test_cram_md5_example_of_the_rfc():
    mechanism = create(b"CRAM-MD5", Credentials(b"tim", b"tanstaaftanstaaf"))
    assert mechanism.start() is None
    answer = mechanism.next(b"<1896.697170952@postoffice.reston.mci.net>")
    assert answer == b"tim b913a602c7eda7a495b4e6e7334d3890"


def test_cram_md5_takes_passwords_longer_than_a_block_and_any_octets():
    mechanism = create(b"CRAM-MD5", Credentials("j\u00f6".encode(), b"\xff" * 100))
    mechanism.start()
    assert mechanism.next(b"<x>").startswith(b"j\xc3\xb6 ")


def test_cram_md5_refuses_to_sign_nothing():
    mechanism = create(b"CRAM-MD5", Credentials(b"tim", b"x"))
    mechanism.start()
    with pytest.raises(MechanismFailure, match="challenge is empty"):
        mechanism.next(b"")
