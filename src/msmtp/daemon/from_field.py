"""From fields, read so that no program that shows mail takes another address out of one than the policy judged.

Programs agree on what is written plainly, and on little else: some join what a space parts, some end a name at a colon
or a bracket, some know no comments in comments, some decode a name before they look for an address in it.  So what is
written plainly is read, and all else is said to be unclear:

    root    joe@example.org    joe@example.org (Joe)            an address, comments
    Joe D. Doe <joe@example.org>                                words, quoted strings and comments before < >
    joe@example.org <joe@example.org>                           an address there: it counts, too
    "boss@example.org by form" <joe@example.org>                a quoted string as all there is: a name

and commas between them.  Where a @ or a bracket could come to light by reading otherwise, in a comment, an encoded word
(RFC 2047), beside other quotes, the field is unclear.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64, unhexlify

from msmtp.mail.addresses import parse_addresses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_FOLD = re.compile(rb"\r?\n(?=[ \t])")

# Tokens, each with the letter it has in a shape; a space has none.  The first mark that is stray ends it all: so an end
# that is not there is looked for once, and the time is linear.
_MARKS = rb"\x00-\x20\x7f()<>@,;:\\\"\[\]"
_ATOM = rb"[^." + _MARKS + rb"]+"
_DOTTED = _ATOM + rb"(?:\." + _ATOM + rb")*"
_TOKEN = re.compile(
    rb'(?P<n>"[^"\\()<>@\x00-\x1f\x7f]*@[^"\\()<>\x00-\x1f\x7f]*")'  # a name with a @
    rb'|(?P<q>"(?:[^"\\<>@\x00-\x08\x0a-\x1f\x7f]|\\["\\])*")'
    rb"|(?P<c>\((?:[^()\\<>@\x00-\x08\x0a-\x1f\x7f]|\([^()\\<>@\x00-\x08\x0a-\x1f\x7f]*\))*\))"
    rb"|(?P<a>" + _DOTTED + rb"@(?:" + _DOTTED + rb"|\[[A-Za-z0-9.:-]{1,255}\]))"
    rb"|(?P<w>[^" + _MARKS + rb"]+)"
    rb"|(?P<s>[ \t]+)"
    rb"|(?P<m>[<>,])"
    rb"|(?P<x>.)",
    re.DOTALL,
)
_ITEM = re.compile(r"[wqc]*<[aw]>c*|c*[aw]c*|a<[aw]>")
_NAMED = re.compile(r"n<[aw]>")

_ENCODED = re.compile(
    rb"=\?([!->@-~]+)\?(?:[Bb]\?((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/]=))?)"
    rb"|[Qq]\?((?:[!-<>@-~]|=[0-9A-Fa-f]{2})*))\?="
)
_OCTET = re.compile(rb"=(..)")
# What in a character set looks like a mark and is half of a letter.  In those that are not here a mark may be anything.
_HALVES = (
    (re.compile(rb"us-ascii|utf-?8|iso-?8859-\d+|(?:windows-|cp)125\d|koi8-[ru]|euc-[a-z]+|gb2312|tis-620"), None),
    (re.compile(rb"iso-2022-jp"), re.compile(rb"\x1b\$[@B][^\x1b]*")),
    (re.compile(rb"gbk|gb18030|big5|shift[-_]jis"), re.compile(rb"[\x81-\xfe][\x30-\x7e\x80-\xfe]")),
)


def read(value: bytes) -> list[bytes] | None:
    """The addresses of a From field's value; None if it is unclear."""
    text = _FOLD.sub(b"", value).strip(b" \t\r\n")
    if not _decodes_to_no_mark(text):
        return None
    kinds, written = [], []
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup or "x"
        if kind == "x":
            return None
        if kind != "s":
            kinds.append(token[0].decode() if kind == "m" else kind)
        if kind == "a":
            written.append(token[0])
    shape = "".join(kinds)
    if not (_NAMED.fullmatch(shape) or all(_ITEM.fullmatch(item) for item in shape.split(","))):
        return None
    found = list(dict.fromkeys([*parse_addresses(value), *written]))
    return None if any(b"=?" in address for address in found) else found


def addresses_of(values: Iterable[bytes]) -> tuple[list[bytes], bool]:
    """All addresses that From fields show to anybody, and whether that is clear.

    If it is not, the addresses are those that msmtp reads, good to say what is wrong with one of them.
    """
    found: dict[bytes, None] = {}
    clear = True
    for value in values:
        addresses = read(value)
        clear = clear and addresses is not None
        found.update(dict.fromkeys(parse_addresses(value) if addresses is None else addresses))
    return list(found), clear


def _decodes_to_no_mark(text: bytes) -> bool:
    """Whether all that looks like an encoded word is one, and none has a @ or a bracket < > in it."""
    if b"=?" not in text:
        return True
    if b"=?" in _ENCODED.sub(b" ", text):
        return False
    for word in _ENCODED.finditer(text):
        try:
            octets = _octets(*word.groups())
        except (Error, LookupError):
            return False
        if any(mark in octets for mark in (b"@", b"<", b">")):
            return False
    return True


def _octets(charset: bytes, base64: bytes | None, quoted: bytes | None) -> bytes:
    """The octets of an encoded word without halves of letters.  LookupError: a set of characters not known here."""
    if base64 is not None:
        octets = a2b_base64(base64, strict_mode=True) if base64 else b""
    else:
        octets = _OCTET.sub(lambda found: unhexlify(found[1]), quoted or b"")
    name = charset.partition(b"*")[0].lower()  # RFC 2231, 5: a language may follow
    for names, halves in _HALVES:
        if names.fullmatch(name):
            return halves.sub(b"", octets) if halves else octets
    raise LookupError
