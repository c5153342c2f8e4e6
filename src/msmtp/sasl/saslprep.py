"""SASLprep (RFC 4013): one spelling for each user name and password that people can type.

Strings are prepared as queries (RFC 3454, 7): characters that Unicode 3.2 did not know, emoji among them, pass
unchanged.
"""

from __future__ import annotations

import stringprep
from unicodedata import ucd_3_2_0

from msmtp.failures import MechanismFailure

# RFC 4013, 2.3
PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: bytes, what: str) -> bytes:
    """Return UTF-8 text prepared.  ``what`` names it in the MechanismFailure for text that may not be used."""
    try:
        mapped = "".join(_mapped(character) for character in text.decode())
    except UnicodeDecodeError:
        raise MechanismFailure(f"the {what} is not UTF-8") from None
    prepared: str = ucd_3_2_0.normalize("NFKC", mapped)
    if any(table(character) for character in prepared for table in PROHIBITED):
        raise MechanismFailure(f"the {what} holds a character that cannot be used (RFC 4013, 2.3)")
    if not _reads_one_way(prepared):
        raise MechanismFailure(f"the {what} mixes writing directions as it must not (RFC 3454, 6)")
    return prepared.encode()


def _mapped(character: str) -> str:
    """Map non-ASCII spaces to SPACE, drop what is 'commonly mapped to nothing' (RFC 4013, 2.1)."""
    if stringprep.in_table_c12(character):
        return " "
    return "" if stringprep.in_table_b1(character) else character


def _reads_one_way(text: str) -> bool:
    """Tell whether right-to-left text is all of it, from the first character to the last (RFC 3454, 6)."""
    if not any(map(stringprep.in_table_d1, text)):
        return True
    return (
        not any(map(stringprep.in_table_d2, text))
        and stringprep.in_table_d1(text[0])
        and stringprep.in_table_d1(text[-1])
    )
