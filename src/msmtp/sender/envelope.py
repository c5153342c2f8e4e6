"""Who the mail is for and what its header becomes: from arguments, header and account to an envelope and octets."""

from __future__ import annotations

import time

from msmtp.failures import ConfigFailure, Failure, UnsendableFailure, UsageFailure
from msmtp.mail import fields, recipients, rewriting
from msmtp.mail.scan import Scan
from msmtp.sender.outcome import text
from msmtp.sender.transfer import Envelope
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from msmtp.config.account import Account
    from msmtp.config.command_line import CommandLine
    from msmtp.sender.spool import Mail
    from msmtp.smtp.extensions import Extensions

NULL_SENDER = "MAILER-DAEMON"  # in any case of letters; what sendmail's callers write for <>
TOKEN_OCTETS = 16  # RFC 5322, 3.6.4: unique; 128 random bits are


class Letter:
    """A mail ready to go: its envelope, its new ``header``, its ``mail`` for the body.

    ``utf8_header``: the header holds UTF-8 (RFC 6532).  ``size``: octets as RFC 1870 counts them; ``log_size``: as the
    log does.  ``ascii``: sender and recipients with their domains in ASCII, or why that cannot be; made at once,
    because the library for it reads files.
    """

    __slots__ = ("ascii", "header", "log_size", "mail", "recipients", "sender", "size", "utf8_header")

    def __init__(self, mail: Mail, header: bytes, sender: bytes, addressed: list[bytes]) -> None:
        scan = Scan()
        scan.feed(header + mail.separator)
        self.mail = mail
        self.header = header + mail.separator
        self.sender = sender
        self.recipients = addressed
        self.size = scan.size + mail.scan.size
        self.log_size = scan.log_size + mail.scan.log_size
        self.utf8_header = scan.has_8bit and is_utf8(header)
        self.ascii = ascii_addresses([sender, *addressed])

    def content(self) -> Iterator[bytes]:
        """The mail's octets in blocks, with the line ends it came with; of a stored mail, its header."""
        yield self.header
        if not self.mail.body.stored:
            yield from self.mail.blocks()

    def stored(self) -> Iterator[bytes]:
        """The octets of a stored mail's body, as DATA wants them."""
        if self.mail.body.stored:
            yield from self.mail.blocks()


def wire_sender(account: Account) -> bytes:
    """The envelope-from address as MAIL says it; b"" for the null sender."""
    address = account.from_ or ""
    return b"" if address.upper() == NULL_SENDER else os.fsencode(address)


def addressed(line: CommandLine, account: Account, mail: Mail | None) -> list[bytes]:
    """Everybody the mail is for, aliases replaced.

    Raises UsageFailure if that is nobody, ConfigFailure for the aliases file.
    """
    found = [
        address for argument in line.recipients for address in recipients.argument_recipients(os.fsencode(argument))
    ]
    if line.read_recipients and mail is not None:
        found += recipients.header_recipients(mail.fields)
    if not found:
        raise nobody()
    return expand(found, account.aliases)


def nobody() -> UsageFailure:
    """The failure of a mail that is for nobody."""
    return UsageFailure(
        "no recipients found",
        hint="name them on the command line, or use -t to take them from the mail's To, Cc and Bcc fields",
    )


def expand(found: list[bytes], path: str) -> list[bytes]:
    """Replace local recipients by what the aliases file says; it is read only if there is one."""
    if not path:
        return found
    from msmtp.mail import aliases

    if all(aliases.is_address(recipient) for recipient in found):
        return found
    return aliases.parse_aliases(read_file(path), path).expand(found)


def read_file(path: str) -> bytes:
    """All octets of a file that the configuration names."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigFailure(f"{path}: {error.strerror}") from error


def compose(mail: Mail, account: Account, found: list[bytes]) -> Letter:
    """The letter that an account makes of a mail."""
    now = int(time.time())
    sender = os.fsencode(account.from_ or "")
    host = os.fsencode(account.host or account.socket)
    plan = rewriting.Plan(
        sender=sender,
        full_name=os.fsencode(account.from_full_name),
        recipients=tuple(found),
        set_from=account.set_from_header,
        set_to=account.set_to_header,
        remove_bcc=account.remove_bcc_headers,
        date=fields.date(now, time.localtime(now).tm_gmtoff) if account.set_date_header == "auto" else b"",
        message_id=fields.message_id(token(), os.fsencode(account.domain), sender, host)
        if account.set_msgid_header == "auto"
        else b"",
    )
    return Letter(mail, rewriting.header_bytes(mail.fields, plan), wire_sender(account), found)


def token() -> bytes:
    """What makes a Message-ID unique, in hexadecimal."""
    return os.urandom(TOKEN_OCTETS).hex().encode()


def identification(envelope_id: str | None) -> bytes:
    """ENVID as MAIL says it (RFC 3461, 4.4), b"" for none; to be made while files can be opened."""
    if not envelope_id:
        return b""
    from msmtp.smtp.xtext import encode  # for those few who want to be told of their mail by a name of their own

    return encode(os.fsencode(envelope_id))


def envelope_for(letter: Letter, account: Account, envid: bytes, extensions: Extensions) -> Envelope:
    """What to say to this server about the letter.  Raises UnsendableFailure if it lacks what the letter needs."""
    envelope = Envelope(letter.sender, tuple(letter.recipients), letter.size)
    envelope.eight_bit = letter.mail.scan.has_8bit or not letter.header.isascii()
    envelope.utf8 = letter.utf8_header or not all(part.isascii() for part in (letter.sender, *letter.recipients))
    envelope.notify = account.dsn_notify.encode()
    envelope.amount = account.dsn_return.encode()
    envelope.envid = envid
    if envelope.utf8 and not extensions.has(b"SMTPUTF8"):
        if isinstance(letter.ascii, Failure):
            raise letter.ascii
        envelope.sender, *recipients_ = letter.ascii
        envelope.recipients = tuple(recipients_)
    check_size(letter, extensions)
    if account.missing_extension == "refuse":
        check_extensions(letter, envelope, extensions)
    return envelope


def ascii_addresses(addresses: list[bytes]) -> list[bytes] | Failure:
    """Addresses for a server without SMTPUTF8, or why there are none."""
    try:
        return [address if address.isascii() else ascii_address(address) for address in addresses]
    except Failure as failure:
        return failure


def ascii_address(address: bytes) -> bytes:
    """An address with its domain in A-labels; its local part must be ASCII as it is (RFC 6531, 3.2)."""
    local, at, domain = address.rpartition(b"@")
    if not local.isascii() or not at:
        raise UnsendableFailure(
            f"the server does not support SMTPUTF8, which address {text(address)} needs",
            hint="use an address whose part before the @ is ASCII, or another server",
        )
    from msmtp.net.resolve import ascii_name

    return local + at + ascii_name(domain.decode("utf-8", "replace")).encode()


def check_size(letter: Letter, extensions: Extensions) -> None:
    """Refuse a mail that the server has said it will not take (RFC 1870, 6.1), before it travels."""
    if extensions.size and letter.size > extensions.size:
        raise UnsendableFailure(
            f"the mail has {letter.size} bytes, but the server accepts at most {extensions.size}",
            hint="make it smaller, or use a server that takes larger mails",
        )


def check_extensions(letter: Letter, envelope: Envelope, extensions: Extensions) -> None:
    """Refuse an 8-bit or internationalised mail that the server might mutilate (RFC 6152, 3; RFC 6531, 3.5)."""
    hint = "encode the mail (quoted-printable or base64), or set missing_extension to 'send' to send it all the same"
    if letter.utf8_header and not extensions.has(b"SMTPUTF8"):
        raise UnsendableFailure(
            "the header of the mail has UTF-8 in it, but the server does not support SMTPUTF8", hint=hint
        )
    if envelope.eight_bit and not extensions.has(b"8BITMIME"):
        raise UnsendableFailure("the mail has 8-bit characters, but the server does not support 8BITMIME", hint=hint)


def is_utf8(octets: bytes) -> bool:
    """Whether octets are UTF-8.  A header in another 8-bit charset needs no SMTPUTF8: it has no meaning either way."""
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
