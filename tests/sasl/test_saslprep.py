"""SASLprep: the examples of RFC 4013, 3 and the rules one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.failures import MechanismFailure
from msmtp.sasl.mechanisms import prepare
from msmtp.sasl.saslprep import saslprep


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),  # RFC 4013, 3: 1
        ("user", "user"),  # 2
        ("USER", "USER"),  # 3
        ("\u00aa", "a"),  # 4
        ("\u2168", "IX"),  # 5
        ("a\u00a0b\u3000c", "a b c"),
        ("u\u0308", "\u00fc"),
        ("\uff21", "A"),
        ("\u0627\u0628", "\u0627\u0628"),
        ("\u06271\u0628", "\u06271\u0628"),
        ("\U0001f511", "\U0001f511"),  # unassigned in Unicode 3.2: passes in a query
        ("\u00ad", ""),
        ("", ""),
    ],
)
def test_strings_are_mapped_and_normalised(text, prepared):
    assert saslprep(text.encode(), "password") == prepared.encode()
    assert prepare(text.encode(), "password") == prepared.encode()


@pytest.mark.parametrize(
    "text",
    [
        "\u0007",
        "a\tb",
        "\u007f",
        "\u0080",
        "\u2028",
        "\ue000",
        "\ufdd0",
        "\ufffd",
        "\u2ff0",
        "\u200e",
        "\U000e0001",
        "\U0010fffe",
    ],
)
def test_forbidden_characters_are_refused(text):
    with pytest.raises(MechanismFailure, match=r"^the password holds a character that cannot be used"):
        prepare(text.encode(), "password")


@pytest.mark.parametrize("text", ["\u06271", "1\u0627", "\u0627a\u0627", "a\u0627"])
def test_mixed_directions_are_refused(text):
    with pytest.raises(MechanismFailure, match=r"^the user name mixes writing directions"):
        prepare(text.encode(), "user name")


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80"])
def test_what_is_not_utf8_is_refused(text):
    with pytest.raises(MechanismFailure, match=r"^the password is not UTF-8$"):
        prepare(text, "password")


@given(st.text())
def test_preparing_twice_changes_nothing(text):
    try:
        once = prepare(text.encode(), "password")
    except MechanismFailure:
        return
    assert prepare(once, "password") == once


@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_printable_ascii_stays_as_it_is(text):
    assert prepare(text.encode(), "password") == saslprep(text.encode(), "password") == text.encode()
