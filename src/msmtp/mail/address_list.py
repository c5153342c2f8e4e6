"""The grammar of address lists, for those in which there is more than bare addresses.

It is that of RFC 5322, 3.4 (address lists, groups, comments, routes of 4.4), read so that no recipient is lost in
silence: what is malformed is read for the addresses in it, never refused.

The text is a list of items, ended by ``,`` or by the ``;`` of a group.  An item is a row of words.  What the words mean
is known by what comes next: before ``<`` they were a display name, before ``:`` a group's name, and at the end of the
item those with an ``@`` are addresses, or else the last word is (a local user such as ``root``).  Inside ``<...>`` is
one address, which may begin with a route.  A comment is nothing at all, and does not even part words.
"""

from __future__ import annotations

from msmtp.mail.characters import CONTROLS, DOT_ATOM

# A space or control character inside an address becomes an underscore, as in the C program.
TO_UNDERSCORE = bytes.maketrans(CONTROLS, b"_" * len(CONTROLS))
IN_LITERALS = DOT_ATOM + b":"
DCONTENT = bytes(range(33, 91)) + bytes(range(94, 127))  # RFC 5321, 4.1.3
# Permitted there, but in no command of ours: a simple reader would find the end of the path in it.
LITERAL_TO_UNDERSCORE = bytes.maketrans(b'<>"', b"___")
DOMAIN_TO_UNDERSCORE = bytes(byte if byte in DOT_ATOM + b"[]" else ord("_") for byte in range(256))
LINE_ENDS = (b"\r", b"\n", b"")

QUOTE = ord('"')
BACKSLASH = ord("\\")
PAREN_OPEN = ord("(")
PAREN_CLOSE = ord(")")
AT_SIGN = ord("@")


def read_list(text: bytes) -> list[bytes]:
    """Every address in ``text``, in its order."""
    return _AddressList(text).read()


class _AddressList:
    """One pass over the text; ``ACTIONS`` says what a special character does, each returns where to go on."""

    __slots__ = ("found", "in_angle", "named", "parens", "quotes", "text", "word", "words")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.found: list[bytes] = []
        self.words: list[bytes] = []
        self.word = bytearray()
        self.in_angle = False  # between < and >
        self.named = False  # this item has had its <...>
        # Each falls to False once one is found that nothing closes, and from there on such characters are like spaces:
        # no later one is closed either, and looking again would make the work quadratic.
        self.quotes = self.parens = True

    def read(self) -> list[bytes]:
        text, at = self.text, 0
        while at < len(text):
            action = ACTIONS.get(text[at])
            at = action(self, at) if action else self.ordinary(at)
        self.end_item(at)
        return self.found

    def ordinary(self, at: int) -> int:
        """Take the character and all that follow up to the next special one."""
        text, end = self.text, at + 1
        while end < len(text) and text[end] not in ACTIONS:
            end += 1
        self.word += text[at:end]
        return end

    def space(self, at: int) -> int:
        if self.word:
            self.words.append(bytes(self.word))
            self.word.clear()
        return at + 1

    def comment(self, at: int) -> int:
        end = _comment_end(self.text, at) if self.parens else -1
        self.parens = end >= 0
        return end if self.parens else self.space(at)

    def quoted(self, at: int) -> int:
        end = _quoted_end(self.text, at) if self.quotes else -1
        self.quotes = end >= 0
        if self.quotes:
            self.word += self.text[at:end]
        return end if self.quotes else self.space(at)

    def escaped(self, at: int) -> int:
        """Keep a quoted pair; a backslash before a line end or at the end of the text means nothing."""
        if self.text[at + 1 : at + 2] in LINE_ENDS:
            return at + 1
        self.word += self.text[at : at + 2]
        return at + 2

    def literal(self, at: int) -> int:
        """Take an address literal whole: the colons of ``a@[IPv6:::1]`` are not a group's.

        Nor are there other addresses in ``a@[x:b@c,d@e]``, which a server may have let pass as the one that it is.
        """
        end = _literal_end(self.text, at) if self.word.endswith(b"@") else -1
        if end < 0:
            return self.ordinary(at)
        self.word += self.text[at:end]
        return end

    def open_angle(self, at: int) -> int:
        self.words.clear()
        self.word.clear()
        self.in_angle = True
        return at + 1

    def close_angle(self, at: int) -> int:
        self.space(at)
        if self.in_angle:
            address = _address(b"_".join(_joined(self.words, b"@.")))
            self.found += [address] if address else []
            self.words.clear()
            self.in_angle, self.named = False, True
        return at + 1

    def colon(self, at: int) -> int:
        """End a group's name or, inside ``<...>``, a route."""
        if self.in_angle and not self.is_route():
            return self.ordinary(at)
        self.words.clear()
        self.word.clear()
        return at + 1

    def comma(self, at: int) -> int:
        if self.in_angle and self.is_route():
            return self.ordinary(at)
        return self.end_item(at)

    def is_route(self) -> bool:
        """Whether the ``<...>`` begins as ``<@one,@two:user@host>`` does."""
        return (self.words[0] if self.words else self.word).startswith(b"@")

    def end_item(self, at: int) -> int:
        self.close_angle(at)
        words = _joined(self.words, b"@")
        addresses = [_address(word) for word in words if _at_sign(word) >= 0]
        if not addresses and words and not self.named and b'"' not in words[-1]:
            addresses = [_address(words[-1])]
        self.found += addresses
        self.words.clear()
        self.named = False
        return at + 1


ACTIONS = {
    ord(" "): _AddressList.space,
    ord("\t"): _AddressList.space,
    ord("\r"): _AddressList.space,
    ord("\n"): _AddressList.space,
    PAREN_OPEN: _AddressList.comment,
    QUOTE: _AddressList.quoted,
    BACKSLASH: _AddressList.escaped,
    ord("["): _AddressList.literal,
    ord("<"): _AddressList.open_angle,
    ord(">"): _AddressList.close_angle,
    ord(":"): _AddressList.colon,
    ord(","): _AddressList.comma,
    ord(";"): _AddressList.end_item,
}


def _comment_end(text: bytes, at: int) -> int:
    """Index after the comment that opens at ``at``; -1 if it is never closed."""
    depth = 0
    while at < len(text):
        byte = text[at]
        depth += (byte == PAREN_OPEN) - (byte == PAREN_CLOSE)
        at += 2 if byte == BACKSLASH else 1
        if not depth:
            return at
    return -1


def _quoted_end(text: bytes, at: int) -> int:
    """Index after the quoted string that opens at ``at``; -1 if it is never closed."""
    at += 1
    while at < len(text):
        byte = text[at]
        at += 2 if byte == BACKSLASH else 1
        if byte == QUOTE:
            return at
    return -1


def _literal_end(text: bytes, at: int) -> int:
    """Index after the address literal that opens at ``at``; -1 if none does."""
    end = at + 1
    while end < len(text) and (text[end] in DCONTENT or text[end] in IN_LITERALS):
        end += 1
    content = text[at + 1 : end]
    if text[end : end + 1] != b"]" or not (_is_general(content) or not content.translate(None, IN_LITERALS)):
        return -1
    return end + 1


def _is_general(content: bytes) -> bool:
    """Whether this is a General-address-literal (RFC 5321, 4.1.3): a tag, which is an Ldh-str, a colon and dcontent."""
    tag, _, rest = content.partition(b":")
    is_tag = tag.replace(b"-", b"").isalnum() and tag.strip(b"-") == tag and tag.upper() != b"IPV6"
    return is_tag and bool(rest) and not rest.translate(None, DCONTENT)


def _joined(words: list[bytes], glue: bytes) -> list[bytes]:
    """Join words that white space parts beside one of ``glue``, where it means nothing: ``joe @ host`` is one."""
    joined: list[bytearray] = []
    for word in words:
        if joined and (joined[-1][-1] in glue or word[0] in glue):
            joined[-1] += word
        else:
            joined.append(bytearray(word))
    return [bytes(word) for word in joined]


def _at_sign(word: bytes) -> int:
    """Index of the ``@`` before the domain; -1 if there is none.

    It is the last that is neither quoted nor escaped, nor in an address literal.
    """
    opening = word.rfind(b"@[") + 1 if word.endswith(b"]") else 0
    if not opening and QUOTE not in word and BACKSLASH not in word:
        return word.rfind(b"@")
    found, at = -1, 0
    while at < len(word):
        byte = word[at]
        end = _quoted_end(word, at) if byte == QUOTE else -1
        if end >= 0:
            at = end
            continue
        if byte == AT_SIGN:
            found = at
            if at + 1 == opening and _literal_end(word, opening) == len(word):
                break
        at += 2 if byte == BACKSLASH else 1
    return found


def _address(word: bytes) -> bytes:
    """The address as it goes on the wire: no controls, the local part with no more quotes than it needs."""
    at = _at_sign(word)
    local, sign, domain = (word, b"", b"") if at < 0 else (word[:at], b"@", word[at + 1 :])
    if QUOTE in local or BACKSLASH in local:
        local = _minimal_quotes(local)
    is_literal = domain.startswith(b"[") and _literal_end(domain, 0) == len(domain)
    domain = domain.translate(LITERAL_TO_UNDERSCORE if is_literal else DOMAIN_TO_UNDERSCORE)
    return local.translate(TO_UNDERSCORE) + sign + domain


def _minimal_quotes(local: bytes) -> bytes:
    """Quote as little as possible (RFC 5321, 4.1.2); a fold inside the quotes is no part of the name."""
    content = bytearray()
    at = 0
    while at < len(local):
        byte = local[at]
        at += byte == BACKSLASH
        content += local[at : at + 1] if byte != QUOTE else b""
        at += 1
    plain = bytes(content).replace(b"\r", b"").replace(b"\n", b"").translate(TO_UNDERSCORE)
    if not plain.translate(None, DOT_ATOM) and all(plain.split(b".")):  # a Dot-string
        return plain
    return b'"' + plain.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
