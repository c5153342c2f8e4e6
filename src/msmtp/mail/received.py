"""The Received field that a server puts at the head of a mail it takes (RFC 5321, 4.4).

    Received: from client.example (host.example [192.0.2.1])
     by mail.example (msmtpd) with ESMTPSA (TLSv1.3 TLS_AES_256_GCM_SHA384)
     id 2a.1 for <user@example.org>; Sun, 22 Nov 2026 16:33:19 +0000

Almost all of it others have said.  Each part is let through by a list of the octets that it may be made of, and what is
not is left out, or is "invalid": a line end, a bracket or a comment in a name would write into the header what its
reader takes for ours.
"""

from __future__ import annotations

from msmtp.mail.fields import LINE

INVALID = b"invalid"
"""Stands for the name a client gave itself if that is none; upstream's word."""

_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = b"0123456789"
_NAME = _LETTERS + _DIGITS + b"-._"  # names in local networks have underscores
_ADDRESS = _LETTERS + _DIGITS + b".:%-"  # a zone may stand behind %
_WORD = _LETTERS + _DIGITS + b"-._/+"  # versions and ciphers
_PECULIAR = b'"\\()<>,; '  # in an address: it would take a parser to show it
_NOTHING = None  # no octet becomes another
_LONGEST_NAME = 253  # octets; RFC 1035, 2.3.4, without the lengths
_LONGEST_LABEL = 63
_LONGEST_ADDRESS = 64
_LONGEST_WORDS = 128

_PROTOCOLS = {False: (b"SMTP", b"ESMTP", b"UTF8SMTP"), True: (b"LMTP", b"LMTP", b"UTF8LMTP")}


class Hop:
    """How one mail came here.

    ``hello``: the name the client gave itself.  ``address``: its address as text, b"" for a unix socket, where ``user``
    is the name of who connected (or a number), b"" if that is not known.  ``name``: of the host with that address, b""
    if it was not looked up.  ``by``: ours.  ``protocol``: see :func:`protocol`.  ``tls``: version and cipher, b"" if
    it is not used.  ``number``: the mail, for the log.  ``recipient``: b"" unless there is just one (RFC 5321,
    7.2: with several it would tell each of the others).  ``date``: as RFC 5322 writes it.
    """

    __slots__ = ("address", "by", "date", "hello", "name", "number", "protocol", "recipient", "tls", "user", "utf8")

    def __init__(self, hello: bytes, by: bytes, protocol: bytes, date: bytes) -> None:
        self.hello = hello
        self.by = by
        self.protocol = protocol
        self.date = date
        self.address = b""
        self.name = b""
        self.user = b""
        self.tls = b""
        self.number = b""
        self.recipient = b""
        self.utf8 = False


def protocol(*, extended: bool, lmtp: bool = False, utf8: bool = False, tls: bool = False, auth: bool = False) -> bytes:
    """The keyword behind "with": RFC 3848; RFC 6531, 4.3 (UTF8SMTP and what is made of it).

    A session without EHLO has neither TLS nor authentication, so SMTP has no letters behind it.
    """
    plain, word, utf8_word = _PROTOCOLS[lmtp]
    if not extended and not lmtp:
        return plain
    return (utf8_word if utf8 else word) + b"S" * tls + b"A" * auth


def received(hop: Hop) -> bytes:
    """The field, lines ended by LF and no longer than 78 octets if no word of it is longer."""
    words = [b"from", hello_name(hop.hello), *_peer(hop)]
    words += [b"by", host_name(hop.by) or b"localhost", b"(msmtpd)", b"with", hop.protocol]
    words += _comment(_clean(hop.tls, _WORD + b" ", _LONGEST_WORDS).split())
    if number := _clean(hop.number, _WORD, _LONGEST_ADDRESS):
        words += [b"id", number]
    if _may_be_shown(hop.recipient, utf8=hop.utf8):
        words += [b"for", b"<" + hop.recipient + b">"]
    words[-1] += b";"
    return folded(b"Received:", [*words, *hop.date.split()])


def _peer(hop: Hop) -> list[bytes]:
    """TCP-info: what we know of who connected, in parentheses."""
    if hop.address:
        literal = address_literal(hop.address)
        return _comment([name, literal] if (name := host_name(hop.name)) else [literal])
    user = _clean(hop.user, _WORD, _LONGEST_NAME)
    return _comment([b"user", user, b"at", b"a", b"unix", b"socket"] if user else [b"at", b"a", b"unix", b"socket"])


def _comment(words: list[bytes]) -> list[bytes]:
    if not words:
        return []
    words[0] = b"(" + words[0]
    words[-1] += b")"
    return words


def hello_name(name: bytes) -> bytes:
    """The name a client gave itself, "invalid" if it is neither a host's name nor an address in brackets."""
    if name[:1] == b"[" and name[-1:] == b"]":
        inside = _clean(name[1:-1], _ADDRESS, _LONGEST_ADDRESS)
        return b"[" + inside + b"]" if inside else INVALID
    return host_name(name) or INVALID


def host_name(name: bytes) -> bytes:
    """The name if it can be one of a host: letters, digits, hyphens, underscores in labels; else b""."""
    whole = _clean(name, _NAME, _LONGEST_NAME).removesuffix(b".")
    labels = whole.split(b".")
    fits = all(label and len(label) <= _LONGEST_LABEL and b"-" not in (label[:1], label[-1:]) for label in labels)
    return whole if fits else b""


def address_literal(address: bytes) -> bytes:
    """An address as RFC 5321, 4.1.3, writes it: ``[192.0.2.1]``, ``[IPv6:2001:db8::1]``."""
    known = _clean(address.partition(b"%")[0], _ADDRESS, _LONGEST_ADDRESS)
    if not known:
        return b"[]"
    return b"[IPv6:" + known + b"]" if b":" in known else b"[" + known + b"]"


def _clean(octets: bytes, allowed: bytes, longest: int) -> bytes:
    """The octets if they are all allowed and not too many, else b""."""
    return octets if len(octets) <= longest and not octets.translate(None, allowed) else b""


def _may_be_shown(recipient: bytes, *, utf8: bool) -> bool:
    """Whether an address can stand in a header: no quotes or brackets, and UTF-8 only if the mail may have it."""
    if not recipient or recipient.translate(_NOTHING, _PECULIAR) != recipient:
        return False
    try:
        text = recipient.decode()
    except UnicodeDecodeError:
        return False
    return text.isprintable() and (utf8 or recipient.isascii())


def folded(name: bytes, words: list[bytes]) -> bytes:
    """A field with a line begun anew before each word that would not fit."""
    lines = [name]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > LINE and lines[-1] != name:
            lines.append(b"")
        lines[-1] += b" " + word
    return b"\n".join(lines) + b"\n"
