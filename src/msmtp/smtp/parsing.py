"""Lines into commands, for the server: each verb with its arguments, each parameter with its rule.

:func:`parse_command` gives a command or raises Refusal, which holds the reply.  What an extension brings (AUTH,
STARTTLS, BDAT, ETRN and the parameters of MAIL and RCPT, by the rows of EXTENSIONS) exists if the server offers it.

Lenient where it costs nothing: a verb and a keyword in any case, blanks at the end of a line, blanks behind the colon
of MAIL FROM: and RCPT TO:.
"""

from __future__ import annotations

from msmtp.smtp import grammar, xtext
from msmtp.smtp.commands import (
    Auth,
    AuthCancel,
    AuthResponse,
    Bdat,
    Command,
    Data,
    Ehlo,
    Etrn,
    Expn,
    Helo,
    Help,
    Lhlo,
    Mail,
    Noop,
    Parameters,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
)
from msmtp.smtp.extensions import EXTENSIONS
from msmtp.smtp.replies import from_base64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    _Parser = Callable[[bytes, Collection[bytes], bool], Command]

_ENVID_LIMIT = 100  # RFC 3461, 4.4
_ORCPT_LIMIT = 500  # RFC 3461, 4.2


class Refusal(Exception):  # noqa: N818 - a reply, not an error of the program
    """A line is no good.

    ``name``: the reply's name in REPLIES.  ``fatal``: what follows cannot be told apart any more.
    """

    def __init__(self, name: str, *, fatal: bool = False) -> None:
        super().__init__(name)
        self.name = name
        self.fatal = fatal


def parse_command(line: bytes, offered: Collection[bytes], *, utf8: bool = False) -> Command:
    """Read one line, without its line end.  Raises Refusal.

    ``offered``: keywords of the extensions in force; ``utf8``: whether the transaction was begun with SMTPUTF8.
    """
    verb, _, arguments = line.partition(b" ")
    verb = verb.upper()
    if verb not in _VERBS:
        raise Refusal("not implemented" if verb in _UNWANTED else "unknown command")
    if verb in _BROUGHT and _BROUGHT[verb] not in offered:
        raise Refusal("not implemented", fatal=verb == b"BDAT")
    return _VERBS[verb](arguments.strip(), offered, utf8)


def parse_response(line: bytes) -> Command:
    """Read the line that answers a challenge (RFC 4954, 4).  Raises Refusal."""
    return AuthCancel() if line == b"*" else AuthResponse(_base64(line))


def verb_of(line: bytes) -> bytes:
    """Give the verb of a line in upper case, or b"" if it has none that we know."""
    verb = line.partition(b" ")[0].upper()
    return verb if verb in _VERBS else b""


def _bare(command: type[Command]) -> _Parser:
    """Parser of a command that has no arguments."""

    def parse(arguments: bytes, _offered: Collection[bytes], _utf8: bool) -> Command:
        if arguments:
            raise Refusal("bad arguments")
        return command()

    return parse


def _worded(command: Callable[[bytes], Command], *, needed: bool) -> _Parser:
    """Parser of a command that has a text, which ``needed`` wants not to be empty."""

    def parse(arguments: bytes, _offered: Collection[bytes], _utf8: bool) -> Command:
        if (needed and not arguments) or not grammar.is_utf8_text(arguments):
            raise Refusal("bad arguments")
        return command(arguments)

    return parse


def _hello(command: Callable[[bytes], Command]) -> _Parser:
    """Parser of a hello.

    The name is any one word of printable ASCII.  RFC 5321, 4.1.4, forbids to refuse mail because a name is not that of
    the client, and many are no names at all; whoever writes it into a header has to look at it again.
    """

    def parse(arguments: bytes, _offered: Collection[bytes], _utf8: bool) -> Command:
        if not arguments or b" " in arguments or not arguments.isascii() or not arguments.decode().isprintable():
            raise Refusal("bad arguments")
        return command(arguments)

    return parse


def _mail(arguments: bytes, offered: Collection[bytes], _utf8: bool) -> Command:
    address, words = _path(arguments, b"FROM:", "bad sender")
    parameters = _parameters(words, _MAIL_PARAMETERS, offered)
    _check_utf8(address, parameters, utf8=(b"SMTPUTF8", None) in parameters)
    return Mail(address, parameters)


def _rcpt(arguments: bytes, offered: Collection[bytes], utf8: bool) -> Command:
    address, words = _path(arguments, b"TO:", "bad recipient")
    if not address:
        raise Refusal("bad recipient")
    parameters = _parameters(words, _RCPT_PARAMETERS, offered)
    _check_utf8(address, parameters, utf8=utf8)
    return Rcpt(address, parameters)


def _path(arguments: bytes, introduction: bytes, complaint: str) -> tuple[bytes, list[bytes]]:
    """Split ``FROM:<path> parameters`` into the address and the parameters' words."""
    if arguments[: len(introduction)].upper() != introduction:
        raise Refusal("bad arguments")
    rest = arguments[len(introduction) :].lstrip()
    match = grammar.PATH.match(rest)
    address = grammar.mailbox(match[0]) if match else None
    if match is None or address is None or not grammar.is_utf8_text(address):
        raise Refusal(complaint)
    words = rest[match.end() :]
    if words and not words.startswith(b" "):
        raise Refusal(complaint)
    return address, words.split()


def _check_utf8(address: bytes, parameters: Parameters, *, utf8: bool) -> None:
    """Let octets beyond ASCII pass only where the transaction is one of SMTPUTF8 (RFC 6531, 3.5)."""
    values = [value for _, value in parameters if value]
    if not (utf8 or address.isascii()):
        raise Refusal("not UTF-8")
    if not (utf8 or all(value.isascii() for value in values)):
        raise Refusal("bad parameter")


def _parameters(words: list[bytes], known: dict[bytes, bytes], offered: Collection[bytes]) -> Parameters:
    """Read parameters (RFC 5321, 4.1.1.11): each offered, at most once, well-formed."""
    read: dict[bytes, bytes | None] = {}
    for word in words:
        match = grammar.PARAMETER.fullmatch(word)
        if not match or not grammar.is_utf8_text(word):
            raise Refusal("bad parameter")
        keyword, value = match[1].upper(), match[2]
        if known.get(keyword) not in offered:
            raise Refusal("unknown parameter")
        if keyword in read:
            raise Refusal("bad parameter")
        read[keyword] = _RULES[keyword](value)
    return tuple(read.items())


def _given(value: bytes | None) -> bytes:
    if value is None:
        raise Refusal("bad parameter")
    return value


def _size(value: bytes | None) -> bytes:
    """RFC 1870, 4."""
    if not grammar.SIZE.fullmatch(_given(value)):
        raise Refusal("bad parameter")
    return _given(value)


def _one_of(*choices: bytes) -> Callable[[bytes | None], bytes]:
    def rule(value: bytes | None) -> bytes:
        if _given(value).upper() not in choices:
            raise Refusal("bad parameter")
        return _given(value).upper()

    return rule


def _nothing(value: bytes | None) -> None:
    """RFC 6531, 3.4: the keyword SMTPUTF8 has no value."""
    if value is not None:
        raise Refusal("bad parameter")


def _xtext(value: bytes | None) -> bytes:
    """RFC 3461, 4.4, and RFC 4954, 5."""
    try:
        xtext.decode(_given(value))
    except ValueError:
        raise Refusal("bad parameter") from None
    return _given(value)


def _envid(value: bytes | None) -> bytes:
    """RFC 3461, 4.4: at most 100 characters, printable when decoded."""
    decoded = xtext.decode(_xtext(value))
    if len(_given(value)) > _ENVID_LIMIT or not (decoded.isascii() and decoded.decode().isprintable()):
        raise Refusal("bad parameter")
    return _given(value)


def _notify(value: bytes | None) -> bytes:
    """RFC 3461, 4.1."""
    if not grammar.NOTIFY.fullmatch(_given(value).upper()):
        raise Refusal("bad parameter")
    return _given(value).upper()


def _orcpt(value: bytes | None) -> bytes:
    """RFC 3461, 4.2; for addr-type utf-8 RFC 6533, 3, where the address stands as it is."""
    match = grammar.ORCPT.fullmatch(_given(value))
    if not match or len(_given(value)) > _ORCPT_LIMIT:
        raise Refusal("bad parameter")
    if match[1].upper() != b"UTF-8":
        _xtext(match[2])
    return _given(value)


def _bdat(arguments: bytes, _offered: Collection[bytes], _utf8: bool) -> Command:
    """RFC 3030, 2.  Without its size nobody knows where the content ends: fatal."""
    size, _, last = arguments.partition(b" ")
    if not grammar.SIZE.fullmatch(size) or last.strip().upper() not in (b"", b"LAST"):
        raise Refusal("bad arguments", fatal=True)
    return Bdat(int(size), last=bool(last))


def _auth(arguments: bytes, _offered: Collection[bytes], _utf8: bool) -> Command:
    """RFC 4954, 4: no second word is no initial response, ``=`` is an empty one."""
    mechanism, blank, initial = arguments.partition(b" ")
    mechanism = mechanism.upper()
    if not grammar.MECHANISM.fullmatch(mechanism):
        raise Refusal("bad arguments")
    if not blank:
        return Auth(mechanism)
    return Auth(mechanism, b"" if initial == b"=" else _base64(initial))


def _base64(text: bytes) -> bytes:
    try:
        return from_base64(text)
    except ValueError:
        raise Refusal("bad base64") from None


_VERBS = {
    b"EHLO": _hello(Ehlo),
    b"HELO": _hello(Helo),
    b"LHLO": _hello(Lhlo),
    b"MAIL": _mail,
    b"RCPT": _rcpt,
    b"DATA": _bare(Data),
    b"BDAT": _bdat,
    b"AUTH": _auth,
    b"STARTTLS": _bare(StartTls),
    b"RSET": _bare(Rset),
    b"NOOP": _worded(Noop, needed=False),
    b"QUIT": _bare(Quit),
    b"VRFY": _worded(Vrfy, needed=True),
    b"EXPN": _worded(Expn, needed=True),
    b"HELP": _worded(Help, needed=False),
    b"ETRN": _worded(Etrn, needed=True),
}

# RFC 5321, appendix F, and RFC 2645: verbs of SMTP that this server does not have.
_UNWANTED = frozenset((b"SEND", b"SOML", b"SAML", b"TURN", b"ATRN"))

# Verbs that an extension brings.
_BROUGHT = {b"BDAT": b"CHUNKING", b"AUTH": b"AUTH", b"STARTTLS": b"STARTTLS", b"ETRN": b"ETRN"}

_MAIL_PARAMETERS = {parameter: row.keyword for row in EXTENSIONS for parameter in row.mail}
_RCPT_PARAMETERS = {parameter: row.keyword for row in EXTENSIONS for parameter in row.rcpt}

_RULES: dict[bytes, Callable[[bytes | None], bytes | None]] = {
    b"SIZE": _size,
    b"BODY": _one_of(b"7BIT", b"8BITMIME"),
    b"SMTPUTF8": _nothing,
    b"RET": _one_of(b"FULL", b"HDRS"),
    b"ENVID": _envid,
    b"AUTH": _xtext,
    b"NOTIFY": _notify,
    b"ORCPT": _orcpt,
}
