"""EXTENSIONS: the keywords of an EHLO reply that mean something here; Extensions: what one reply offered.

An unknown keyword is kept and shown.  Keywords are compared without regard to case (RFC 5321, 4.1.1.1) and as whole
words: a server that offers ``SIZELIMIT`` does not offer ``SIZE``.  One old spelling is understood: ``AUTH=LOGIN
PLAIN``, from before RFC 2554, is the same list as ``AUTH LOGIN PLAIN``; a server that says both is taken to mean both.
If another keyword is repeated, its first line counts.
"""

from __future__ import annotations

_SIZE_DIGITS = 20  # RFC 1870, 4: size-value = 1*20DIGIT


class Extension:
    """A row: ``keyword``; ``source``, the standard; ``mail`` and ``rcpt``, the parameters it adds to those commands.

    ``shown``: its place in the report of --serverinfo, counted from 1 in the order of the C program, or 0.
    """

    __slots__ = ("keyword", "mail", "rcpt", "shown", "source")

    def __init__(
        self, keyword: bytes, source: str, shown: int = 0, mail: tuple[bytes, ...] = (), rcpt: tuple[bytes, ...] = ()
    ) -> None:
        self.keyword = keyword
        self.source = source
        self.shown = shown
        self.mail = mail
        self.rcpt = rcpt

    def __repr__(self) -> str:
        return f"Extension({self.keyword.decode()}, {self.source})"


EXTENSIONS = (
    Extension(b"SIZE", "RFC 1870", 1, mail=(b"SIZE",)),
    Extension(b"PIPELINING", "RFC 2920", 2),
    Extension(b"SMTPUTF8", "RFC 6531", 3, mail=(b"SMTPUTF8",)),
    Extension(b"ETRN", "RFC 1985", 4),
    Extension(b"DSN", "RFC 3461", 5, mail=(b"RET", b"ENVID"), rcpt=(b"NOTIFY", b"ORCPT")),
    Extension(b"STARTTLS", "RFC 3207", 6),
    Extension(b"AUTH", "RFC 4954", 7, mail=(b"AUTH",)),
    Extension(b"8BITMIME", "RFC 6152", mail=(b"BODY",)),
    Extension(b"ENHANCEDSTATUSCODES", "RFC 2034"),
    Extension(b"CHUNKING", "RFC 3030"),
)


class Extensions:
    """What a server offers (RFC 5321, 4.1.1.1).

    ``lines``: its reply to EHLO or LHLO as Reply.lines has it; the first one is its greeting.
    """

    __slots__ = ("_parameters", "lines")

    def __init__(self, lines: tuple[bytes, ...] = ()) -> None:
        self.lines = lines
        self._parameters: dict[bytes, bytes] = {}
        for line in lines[1:]:
            self._add(*_keyword(line))

    def _add(self, keyword: bytes, parameters: bytes) -> None:
        known = self._parameters.setdefault(keyword, parameters)
        if keyword == b"AUTH" and known != parameters:
            self._parameters[keyword] = known + b" " + parameters

    @property
    def keywords(self) -> tuple[bytes, ...]:
        """All keywords in the server's order, in upper case, each once."""
        return tuple(self._parameters)

    def has(self, keyword: bytes) -> bool:
        """Whether the server offers it; ``keyword`` in upper case."""
        return keyword in self._parameters

    def parameters(self, keyword: bytes) -> bytes:
        """What stands behind a keyword, as the server wrote it; b"" if nothing or if it is not offered."""
        return self._parameters.get(keyword, b"")

    @property
    def size(self) -> int | None:
        """Largest mail in octets; 0: the server says there is no limit; None: it does not say (RFC 1870, 4)."""
        words = self.parameters(b"SIZE").split()
        if words and words[0].isdigit() and len(words[0]) <= _SIZE_DIGITS:
            return int(words[0])
        return None

    @property
    def auth(self) -> tuple[bytes, ...]:
        """Names of the SASL mechanisms in the server's order, in upper case, each once."""
        return tuple(dict.fromkeys(self.parameters(b"AUTH").upper().split()))

    def __repr__(self) -> str:
        return f"Extensions({self.lines!r})"


NO_EXTENSIONS = Extensions()


def _keyword(line: bytes) -> tuple[bytes, bytes]:
    """Split a line of the reply: the keyword in upper case, the rest as it is."""
    keyword, _, parameters = line.strip().replace(b"\t", b" ").partition(b" ")
    keyword = keyword.upper()
    if keyword.startswith(b"AUTH="):
        return b"AUTH", line.strip()[len(b"AUTH=") :]
    return keyword, parameters.strip()
