"""The fields that are added to a mail: From, To, Date and Message-ID, as header lines ended by LF.

Nothing from outside gets into a header with a control character in it: a line break in a name or an address would begin
a field, or the body, of the writer's choice.
"""

from __future__ import annotations

from binascii import b2a_base64

from msmtp.failures import UsageFailure, shown
from msmtp.mail.characters import ASCII_DOT_ATOM, ATEXT, CONTROLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

WEEKDAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
# RFC 2047, 2: an encoded-word has at most 75 characters, its line 76.  Octets of text: 56 characters of base64 beside
# "From: =?utf-8?B?" and "?=".
ENCODED_WORD_TEXT = 42
# RFC 5322, 2.1.1: a line should have no more than 78 characters.
LINE = 78
SECONDS_A_DAY = 86400
DOMAIN_LITERAL = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:.-"


def from_field(address: bytes, full_name: bytes = b"") -> bytes:
    """``From: name <address>``, without a name ``From: address``.

    ``full_name`` is in UTF-8; octets that are not are taken for ISO 8859-1.  It becomes an RFC 5322 phrase, or encoded
    words (RFC 2047) if it is not ASCII or too long for a line.  A name that comes as a quoted string stays one: under
    the C program that was the only way to write a comma.  Raises UsageFailure for a control character.
    """
    checked("envelope-from address", address)
    name = phrase(checked("full name", full_name.replace(b"\t", b" ")).strip())
    if not name:
        return b"From: " + address + b"\n"
    last_line = name[name.rfind(b"\n") + 1 :]
    fold = b"\n " if len(last_line) + len(address) + len("From:  <>") > LINE else b" "
    return b"From: " + name + fold + b"<" + address + b">\n"


def phrase(name: bytes) -> bytes:
    """A display name as RFC 5322, 3.2.5 wants it; ``name`` has no control characters."""
    if not name.isascii() or len(name) > LINE - len("From: "):
        return _encoded_words(name)
    if not name.translate(None, ATEXT + b" ") or _is_quoted(name):
        return name
    return b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _is_quoted(name: bytes) -> bool:
    """Whether the name is one complete quoted string."""
    inside = name[1:-1].replace(b"\\\\", b"").replace(b'\\"', b"")
    return len(name) > 1 and name[:1] == name[-1:] == b'"' and b'"' not in inside and not inside.endswith(b"\\")


def _encoded_words(name: bytes) -> bytes:
    """The name in base64, cut between characters, an encoded word a line."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = name.decode("latin-1")
    words = [b""]
    for char in text:
        octets = char.encode()
        if len(words[-1]) + len(octets) > ENCODED_WORD_TEXT:
            words.append(b"")
        words[-1] += octets
    return b"\n ".join(b"=?utf-8?B?" + b2a_base64(word, newline=False) + b"?=" for word in words)


def to_field(recipients: Iterable[bytes]) -> bytes:
    """``To:`` with every recipient, folded between them.  Raises UsageFailure for a control character."""
    field = bytearray(b"To:")
    length = len(field)
    separator = b""
    for recipient in recipients:
        checked("recipient", recipient)
        fold = b"\n " if length + len(recipient) + len(", ,") > LINE and separator else b" "
        field += separator + fold + recipient
        length = len(recipient) + 1 + (0 if fold == b"\n " else length + len(separator))
        separator = b","
    return bytes(field) + b"\n"


def date(seconds: int, offset: int) -> bytes:
    """Date and time as RFC 5322, 3.3 writes them: ``Sun, 22 Nov 2026 16:33:19 +0000``.

    ``seconds`` since 1970 in UTC; ``offset`` of local time, in seconds east of Greenwich.
    """
    days, second = divmod(seconds + offset, SECONDS_A_DAY)
    year, month, day = _civil(days)
    minutes = abs(offset) // 60
    zone = (b"-" if offset < 0 else b"+", minutes // 60, minutes % 60)
    clock = (second // 3600, second // 60 % 60, second % 60)
    parts = (WEEKDAYS[(days + 3) % 7], day, MONTHS[month - 1], year, *clock, *zone)
    return b"%s, %02d %s %04d %02d:%02d:%02d %s%02d%02d" % parts


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day counted from 1 January 1970.

    The year is taken to begin in March, so that the leap day is its last; 400 years have 146097 days, and the days
    before a month m of such a year are (153 m + 2) // 5.
    """
    era, day = divmod(days + 719468, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    return era * 400 + year + month // 10, (month + 2) % 12 + 1, day + 1


def message_id(token: bytes, domain: bytes, sender: bytes, host: bytes) -> bytes:
    """``<token@domain>`` (RFC 5322, 3.6.4).

    The domain is the configured one unless that is empty or ``localhost``, or the sender's, or the name of the server;
    the first of these that can stand in the field.
    """
    candidates = (
        b"" if domain == b"localhost" else domain,
        sender.rpartition(b"@")[2] if b"@" in sender else b"",
        host,
    )
    for candidate in candidates:
        if candidate and not candidate.translate(None, ASCII_DOT_ATOM):
            return b"<" + token + b"@" + candidate + b">"
        literal = candidate.removeprefix(b"[").removesuffix(b"]")
        if literal and not literal.translate(None, DOMAIN_LITERAL):
            return b"<" + token + b"@[" + literal + b"]>"
    return b"<" + token + b"@localhost>"


def checked(what: str, text: bytes) -> bytes:
    """Return ``text``; raises UsageFailure if it has a control character in it."""
    if text.translate(None, CONTROLS) != text:
        raise UsageFailure(
            f"{what} {shown(text)}: contains a line break or another control character",
            hint="such text cannot stand in a mail header",
        )
    return text
