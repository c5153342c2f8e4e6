"""Who is addressed: the envelope, as the command line and the header give it.

A mail that was sent on by its reader carries ``Resent-`` fields, a block of them on top for each time.  The addresses
of the first block are then the recipients, and those of the original mail are not: it has already been to them
(RFC 5322, 3.6.6).
"""

from __future__ import annotations

from msmtp.failures import UsageFailure, shown
from msmtp.mail.addresses import parse_addresses
from msmtp.mail.characters import CONTROLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from msmtp.mail.header import Field

ORIGINAL = (b"to", b"cc", b"bcc")
IN_NO_ARGUMENT = CONTROLS.replace(b"\t", b"")
RESENT = (b"resent-to", b"resent-cc", b"resent-bcc")


def argument_recipients(argument: bytes) -> list[bytes]:
    """Recipients in one command-line argument, written as in an address field.

    Raises UsageFailure for a line break or another control character: in the C program a line break begins a new field
    and so adds recipients nobody asked for.
    """
    if argument.translate(None, IN_NO_ARGUMENT) != argument:
        raise UsageFailure(
            f"recipient {shown(argument)}: contains a line break or another control character",
            hint="give several recipients as several arguments, or with commas between them",
        )
    return parse_addresses(argument)


def header_recipients(fields: Iterable[Field]) -> list[bytes]:
    """Recipients as ``-t`` reads them: To, Cc and Bcc, or those of the first ``Resent-`` block if there is one."""
    original: list[bytes] = []
    resent: list[bytes] = []
    seen = ended = False
    for field in fields:
        if not field.name.startswith(b"resent-"):
            ended = seen
        elif not ended:
            seen = True
            resent += parse_addresses(field.value) if field.name in RESENT else []
        if field.name in ORIGINAL:
            original += parse_addresses(field.value)
    return resent if seen else original


def header_sender(fields: Iterable[Field]) -> bytes | None:
    """Address of the sender as the header has it; None without one.

    It is the first address of From, or of Resent-From if that comes before any From.
    """
    names: tuple[bytes, ...] = (b"from", b"resent-from")
    for field in fields:
        if field.name not in names:
            continue
        if addresses := parse_addresses(field.value):
            return addresses[0]
        if field.name == b"from":
            names = (b"from",)
    return None
