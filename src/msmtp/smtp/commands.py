"""Commands as values: what a client says, each with its encoding as one line.

``encode`` is where injection ends: no field may hold CR, LF or NUL, an address cannot close its own angle bracket, a
parameter cannot begin another one, and the line keeps within the limits.  What is refused raises CommandFailure; it
quotes neither passwords nor tokens.

Fields are octets as the wire has them, with two exceptions: addresses stand without their angle brackets (``b""`` is
the null sender), and what AUTH carries stands without its base64.
"""

from __future__ import annotations

from binascii import b2a_base64  # here, since a sandboxed process can import nothing any more when AUTH comes

from msmtp.failures import CommandFailure, shown
from msmtp.smtp.limits import DEFAULT_LIMITS, Limits
from msmtp.smtp.transitions import BDAT_LAST, CANCEL, CONTENT, GREETING, RESPONSE

Parameters = tuple[tuple[bytes, "bytes | None"], ...]


class Command:
    """One command.  ``verb``: its first word.  Two commands are equal if they encode alike."""

    __slots__ = ()
    verb = b""

    @property
    def step(self) -> bytes:
        """Name of the step in TRANSITIONS; the verb, but for BDAT LAST."""
        return self.verb

    def line(self) -> bytes:
        """Give the command without CRLF, unchecked."""
        return self.verb

    def check(self) -> None:
        """Raise CommandFailure if a field would be read as more than itself."""

    def limit(self, limits: Limits) -> int:
        """How long the line may be, CRLF included."""
        return limits.command_line

    def encode(self, limits: Limits = DEFAULT_LIMITS) -> bytes:
        """Give the line as it is sent, with CRLF.  Raises CommandFailure if it cannot be sent."""
        line = self.line()
        if len(line) + 2 > self.limit(limits):  # first: to look into a megabyte of quotes takes its time
            raise CommandFailure(
                f"{self._name()} cannot be sent: it has {len(line) + 2} octets, {self.limit(limits)} are allowed"
            )
        self.check()
        if b"\n" in line or b"\r" in line or b"\0" in line:
            raise CommandFailure(f"{self._name()} cannot be sent: a line end or NUL is in it")
        return line + b"\r\n"

    def _name(self) -> str:
        return f"the {self.verb.decode()} command"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Command) and self.line() == other.line()

    def __hash__(self) -> int:
        return hash(self.line())

    def __repr__(self) -> str:
        return f"<{shown(self.line(), 200)}>"


class _Worded(Command):
    """A verb and a text, which may be empty."""

    __slots__ = ("text",)

    def __init__(self, text: bytes = b"") -> None:
        self.text = text

    def line(self) -> bytes:
        """Give the command without CRLF, unchecked."""
        return self.verb + b" " + self.text if self.text else self.verb


class _Hello(Command):
    """A verb and the name of the one who greets."""

    __slots__ = ("domain",)

    def __init__(self, domain: bytes) -> None:
        self.domain = domain

    def line(self) -> bytes:
        """Give the command without CRLF, unchecked."""
        return self.verb + b" " + self.domain

    def check(self) -> None:
        """Raise CommandFailure if the name is not one word."""
        _check_word(self, self.domain)


class Ehlo(_Hello):
    """RFC 5321, 4.1.1.1: begin a session, ask what the server can do."""

    __slots__ = ()
    verb = b"EHLO"


class Helo(_Hello):
    """RFC 5321, 4.1.1.1: begin a session as of old."""

    __slots__ = ()
    verb = b"HELO"


class Lhlo(_Hello):
    """RFC 2033, 4.1: begin a session of LMTP."""

    __slots__ = ()
    verb = b"LHLO"


class _Addressed(Command):
    """An address and parameters: pairs of keyword and value; value None is a keyword alone."""

    __slots__ = ("address", "parameters")
    introduction = b""

    def __init__(self, address: bytes, parameters: Parameters = ()) -> None:
        self.address = address
        self.parameters = parameters

    def line(self) -> bytes:
        """Give the command without CRLF, unchecked."""
        line = self.introduction + b"<" + self.address + b">"
        for keyword, value in self.parameters:
            line += b" " + keyword if value is None else b" " + keyword + b"=" + value
        return line

    def check(self) -> None:
        """Raise CommandFailure if the address or a parameter would be read as more than itself."""
        _check_path(self, self.address)
        for keyword, value in self.parameters:
            _check_word(self, keyword)
            if value is not None:
                _check_word(self, value)


class Mail(_Addressed):
    """RFC 5321, 4.1.1.2: begin a transaction.  ``sender`` b"" is the null sender."""

    __slots__ = ()
    verb = b"MAIL"
    introduction = b"MAIL FROM:"

    def __init__(self, sender: bytes, parameters: Parameters = ()) -> None:
        super().__init__(sender, parameters)

    @property
    def sender(self) -> bytes:
        """The reverse-path, without angle brackets."""
        return self.address


class Rcpt(_Addressed):
    """RFC 5321, 4.1.1.3: name one recipient."""

    __slots__ = ()
    verb = b"RCPT"
    introduction = b"RCPT TO:"

    def __init__(self, recipient: bytes, parameters: Parameters = ()) -> None:
        super().__init__(recipient, parameters)

    @property
    def recipient(self) -> bytes:
        """The forward-path, without angle brackets."""
        return self.address

    def check(self) -> None:
        """Raise CommandFailure if the address is empty, or it or a parameter would be read as more than itself."""
        if not self.address:
            raise CommandFailure("the RCPT command cannot be sent: the recipient is empty")
        super().check()


class Data(Command):
    """RFC 5321, 4.1.1.4: the content is to follow, dots stuffed."""

    __slots__ = ()
    verb = b"DATA"


class Bdat(Command):
    """RFC 3030, 2: the next ``size`` octets are content as it is; ``last`` ends the mail."""

    __slots__ = ("last", "size")
    verb = b"BDAT"

    def __init__(self, size: int, last: bool = False) -> None:
        self.size = size
        self.last = last

    @property
    def step(self) -> bytes:
        """Name of the step in TRANSITIONS."""
        return BDAT_LAST if self.last else self.verb

    def line(self) -> bytes:
        """Give the command without CRLF, unchecked."""
        return b"BDAT %d LAST" % self.size if self.last else b"BDAT %d" % self.size


class Auth(Command):
    """RFC 4954, 4.  ``initial`` None: no initial response; b"": an empty one, which is sent as ``=``."""

    __slots__ = ("initial", "mechanism")
    verb = b"AUTH"

    def __init__(self, mechanism: bytes, initial: bytes | None = None) -> None:
        self.mechanism = mechanism
        self.initial = initial

    def line(self) -> bytes:
        """Give the command without CRLF, unchecked."""
        line = b"AUTH " + self.mechanism
        if self.initial is None:
            return line
        return line + b" " + (_base64(self.initial) or b"=")

    def check(self) -> None:
        """Raise CommandFailure if the mechanism is not one word."""
        _check_word(self, self.mechanism)

    def limit(self, limits: Limits) -> int:
        """How long the line may be: tokens need more than other commands."""
        return limits.auth_line

    def __repr__(self) -> str:
        return f"<AUTH {shown(self.mechanism)}{'' if self.initial is None else ' ***'}>"


class AuthResponse(Command):
    """RFC 4954, 4: the response to a challenge, which has no verb.  ``response`` without base64."""

    __slots__ = ("response",)
    verb = RESPONSE

    def __init__(self, response: bytes) -> None:
        self.response = response

    def line(self) -> bytes:
        """Give the response in base64."""
        return _base64(self.response)

    def limit(self, limits: Limits) -> int:
        """How long the line may be."""
        return limits.response_line

    def __repr__(self) -> str:
        return "<(response) ***>"


class AuthCancel(Command):
    """RFC 4954, 4: end an authentication; the server refuses it with 501."""

    __slots__ = ()
    verb = CANCEL

    def line(self) -> bytes:
        """Give the star."""
        return b"*"


class StartTls(Command):
    """RFC 3207, 4: the TLS handshake is to follow."""

    __slots__ = ()
    verb = b"STARTTLS"


class Rset(Command):
    """RFC 5321, 4.1.1.5: give the transaction up."""

    __slots__ = ()
    verb = b"RSET"


class Noop(_Worded):
    """RFC 5321, 4.1.1.9: do nothing.  ``text`` is ignored."""

    __slots__ = ()
    verb = b"NOOP"


class Quit(Command):
    """RFC 5321, 4.1.1.10: end the session."""

    __slots__ = ()
    verb = b"QUIT"


class Vrfy(_Worded):
    """RFC 5321, 4.1.1.6: ask whether ``text`` is a user or mailbox."""

    __slots__ = ()
    verb = b"VRFY"


class Expn(_Worded):
    """RFC 5321, 4.1.1.7: ask who is on the list ``text``."""

    __slots__ = ()
    verb = b"EXPN"


class Help(_Worded):
    """RFC 5321, 4.1.1.8: ask for help, on ``text`` if there is one."""

    __slots__ = ()
    verb = b"HELP"


class Etrn(_Worded):
    """RFC 1985, 4: start the queue for the host ``text`` (or ``@domain``, ``#queue``)."""

    __slots__ = ()
    verb = b"ETRN"


class Marker(Command):
    """What awaits a reply without having been a command: the connection itself, or the end of the content."""

    __slots__ = ("verb",)

    def __init__(self, verb: bytes) -> None:
        self.verb = verb

    def line(self) -> bytes:
        """Give the name of the step."""
        return self.verb


CONNECTION = Marker(GREETING)
END_OF_DATA = Marker(CONTENT)
UNASKED = Marker(b"(nothing)")


def _base64(data: bytes) -> bytes:
    return b2a_base64(data, newline=False)


def _check_word(command: Command, word: bytes) -> None:
    """Let a field pass that is one word: at least one octet, and no white space."""
    if word.split() != [word]:
        raise CommandFailure(f"the {command.verb.decode()} command cannot be sent: '{shown(word)}' is not one word")


def _check_path(command: Command, address: bytes) -> None:
    """Let an address pass that ends where its angle bracket closes: white space and brackets only in quotes."""
    if not _ODD.isdisjoint(address) and not _ODD.isdisjoint(_unquoted(address)):
        raise CommandFailure(
            f"the {command.verb.decode()} command cannot be sent: '{shown(address)}' is not an address"
        )


_ODD = frozenset(b'<>" \t\r\n\x0b\x0c')


def _unquoted(address: bytes) -> bytes:
    """Take the quoted strings (RFC 5321, 4.1.2) out; a quote that is not closed stays."""
    rest, outside = address, b""
    while True:
        before, quote, inside = rest.partition(b'"')
        outside += before
        end = _closing_quote(inside)
        if end < 0:
            return outside + quote
        rest = inside[end + 1 :]


def _closing_quote(text: bytes) -> int:
    """Index of the first quote that has no backslash before it, or -1."""
    escaped = False
    for index, octet in enumerate(text):
        if octet == 0x22 and not escaped:  # noqa: PLR2004 - the quote
            return index
        escaped = octet == 0x5C and not escaped  # noqa: PLR2004 - the backslash
    return -1
