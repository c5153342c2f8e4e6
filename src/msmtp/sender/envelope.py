"""Who the mail is for and what its header becomes: from arguments, header and account to an envelope and octets."""

from __future__ import annotations

import time

from msmtp.failures import ConfigFailure, Failure, InterruptFailure, UnsendableFailure, UsageFailure
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
    from msmtp.sender.transfer import Parameter
    from msmtp.smtp.extensions import Extensions

DSN_WORDS = (b"NOTIFY=", b"ORCPT=")  # what RCPT may say of a recipient (RFC 3461, 4)
NULL_SENDER = "MAILER-DAEMON"  # in any case of letters; what sendmail's callers write for <>
TOKEN_OCTETS = 16  # RFC 5322, 3.6.4: unique; 128 random bits are


class Letter:
    """A mail ready to go: its envelope, its new ``header``, its ``mail`` for the body.

    ``utf8_header``: the header holds UTF-8 (RFC 6532).  ``size``: octets as RFC 1870 counts them; ``log_size``: as the
    log does.  ``ascii``: sender and recipients with their domains in ASCII, or why that cannot be; made at once,
    because the library for it reads files.  ``words``: by recipient, what RCPT says of it alone.
    """

    __slots__ = ("ascii", "header", "log_size", "mail", "recipients", "sender", "size", "utf8_header", "words")

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
        self.words: dict[bytes, tuple[Parameter, ...]] = {}

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
    if line.rcpts:
        found += [spoken_of(text)[0] for text in line.rcpts]
    if line.read_recipients and mail is not None:
        found += recipients.header_recipients(mail.fields)
    if not found:
        raise nobody()
    return expand(found, account.aliases)


def spoken_of(text: str) -> tuple[bytes, tuple[Parameter, ...]]:
    """Address and words of ``--rcpt='<address> NOTIFY=... ORCPT=...'``.  Raises UsageFailure."""
    path, *words = os.fsencode(text).split(b" ")
    while words and not ends_path(path):
        path += b" " + words.pop(0)
    if not ends_path(path) or not all(word.startswith(DSN_WORDS) for word in words):
        raise UsageFailure(
            f"option '--rcpt' cannot take {text!a}",
            hint="write --rcpt='<address> NOTIFY=conditions ORCPT=type;address'",
        )
    return path[1:-1], tuple([(name, value) for name, _, value in [word.partition(b"=") for word in words]])


def ends_path(text: bytes) -> bool:
    """Whether this is all of an address in angle brackets: the last of them does not stand within quotes.

    A quote in an address literal begins none.
    """
    local = text[: text.rfind(b"@[")] if text.endswith(b"]>") else text
    quotes = local.replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"')
    return text[:1] == b"<" and text[-1:] == b">" and len(text) > len("<>") and quotes % 2 == 0


def words_for(line: CommandLine, account: Account) -> dict[bytes, tuple[Parameter, ...]]:
    """What --rcpt says of recipients, and of those that stand for them after aliases were replaced."""
    return {
        address: words
        for recipient, words in map(spoken_of, line.rcpts)
        if words
        for address in expand([recipient], account.aliases)
    }


def adapt(envelope: Envelope, line: CommandLine, extensions: Extensions) -> None:
    """Ask this server for what the command line wants, and where it wishes so for no more than is offered."""
    if line.smtputf8 and extensions.has(b"SMTPUTF8"):
        envelope.utf8 = True
    if line.dsn_if_offered and not extensions.has(b"DSN"):
        envelope.notify = envelope.amount = envelope.envid = b""
        envelope.words = {}


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
    envelope.words = letter.words
    if envelope.utf8 and not extensions.has(b"SMTPUTF8"):
        if isinstance(letter.ascii, Failure):
            raise letter.ascii
        envelope.sender, *recipients_ = letter.ascii
        if letter.words:
            said = zip(recipients_, envelope.recipients, strict=True)
            envelope.words = {new: letter.words[old] for new, old in said if old in letter.words}
        envelope.recipients = tuple(recipients_)
    check_size(letter, extensions)
    if account.missing_extension == "refuse":
        check_extensions(letter, envelope, extensions)
    return envelope


def ascii_addresses(addresses: list[bytes]) -> list[bytes] | Failure:
    """Addresses for a server without SMTPUTF8, or why there are none."""
    try:
        return [address if address.isascii() else ascii_address(address) for address in addresses]
    except InterruptFailure:
        raise
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
