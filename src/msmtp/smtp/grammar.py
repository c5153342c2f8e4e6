r"""The grammar of addresses and parameters as patterns, each under the rule it comes from.

For the server, which reads what strangers write.  The client writes; it needs none of this (and ``re`` costs 5 ms).

The patterns are over octets.  Octets from 0x80 stand for UTF-8 (RFC 6531, 3.3); :func:`is_utf8_text` says whether they
are, and whether they may be there at all is for the command to say.

Repetitions begin with an octet that the repeated part cannot hold, so that there is one way to match and nothing to go
back to.  Possessive quantifiers would say so, but CPython 3.11 before 3.11.5 gets those of groups wrong (gh-106052).

Wider than RFC 5321 on purpose, in two places: a label of a domain may hold an underscore, as hosts on local networks do
and upstream's daemon lets pass; an address may be a bare local part (``root``), which a submission agent may complete
(RFC 6409, 8.1) and an alias file resolves.  There are no limits of length other than the line's (4.5.3.1: "to the
maximum extent possible, implementation techniques that impose no limits should be used").
"""

from __future__ import annotations

import re

# RFC 5321, 4.1.2:  atext (RFC 5322, 3.2.3); Atom = 1*atext; Dot-string = Atom *("." Atom)
_ATOM = rb"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\x80-\xff]+"
_DOT_STRING = rb"%s(?:\.%s)*" % (_ATOM, _ATOM)

# Quoted-string = DQUOTE *QcontentSMTP DQUOTE; qtextSMTP = %d32-33 / %d35-91 / %d93-126; quoted-pairSMTP = %d92 %d32-126
_QUOTED_STRING = rb'"(?:[ !#-\[\]-~\x80-\xff]|\\[ -~])*"'

# Domain = sub-domain *("." sub-domain); sub-domain = Let-dig [Ldh-str]
_SUB_DOMAIN = rb"[A-Za-z0-9_\x80-\xff]+(?:-+[A-Za-z0-9_\x80-\xff]+)*"
_DOMAIN = rb"%s(?:\.%s)*" % (_SUB_DOMAIN, _SUB_DOMAIN)

# 4.1.3: address-literal = "[" ( IPv4-address-literal / IPv6-address-literal / General-address-literal ) "]"
# dcontent = %d33-90 / %d94-126
_ADDRESS_LITERAL = rb"\[[!-Z^-~]+\]"

# Mailbox = Local-part "@" ( Domain / address-literal ); the domain may be missing here, see above.
_MAILBOX = rb"(?:%s|%s)(?:@(?:%s|%s))?" % (_DOT_STRING, _QUOTED_STRING, _DOMAIN, _ADDRESS_LITERAL)

# Path = "<" [ A-d-l ":" ] Mailbox ">"; A-d-l = At-domain *( "," At-domain ): to be accepted and ignored (appendix C).
_ROUTE = rb"(?:@%s(?:,@%s)*:)?" % (_DOMAIN, _DOMAIN)
PATH = re.compile(rb"<(?:%s(%s))?>" % (_ROUTE, _MAILBOX))

# 4.1.2: esmtp-param = esmtp-keyword ["=" esmtp-value]; RFC 6531, 3.3: esmtp-value may hold UTF-8
PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\x80-\xff]+))?")

# RFC 1870, 4: size-value = 1*20DIGIT; RFC 3030, 2: chunk-size = 1*DIGIT
SIZE = re.compile(rb"[0-9]{1,20}")

# RFC 3461, 4.1: notify-esmtp-value = "NEVER" / 1#notify-list-element
NOTIFY = re.compile(rb"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*")

# RFC 3461, 4.2: original-recipient-address = addr-type ";" xtext; addr-type = atom
ORCPT = re.compile(rb"([A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+);(.+)")

# RFC 4422, 3.1: sasl-mech = 1*20mech-char; mech-char = UPPER-ALPHA / DIGIT / HYPHEN / UNDERSCORE
MECHANISM = re.compile(rb"[A-Z0-9_-]{1,20}")

# A command's line: no control characters; DEL is one.
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

_IPV4_OCTET = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rb"%s(?:\.%s){3}" % (_IPV4_OCTET, _IPV4_OCTET))
_IPV6_GROUP = re.compile(rb"[0-9A-Fa-f]{1,4}")
_GENERAL = re.compile(rb"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?:.+")
_IPV6_GROUPS = 8


def is_utf8_text(text: bytes) -> bool:
    """Whether octets are UTF-8 without control characters (U+0080 to U+009F are some, too)."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        return False
    return not any("\x80" <= character <= "\x9f" for character in decoded)


def mailbox(path: bytes) -> bytes | None:
    """Give the address in a path, without brackets and source route; b"" for ``<>``; None if it is not a path."""
    match = PATH.fullmatch(path)
    if not match:
        return None
    address: bytes = match[1] or b""
    literal = address.rpartition(b"@[")[2] if address.endswith(b"]") else b""
    return address if not literal or _is_literal(literal[:-1]) else None


def _is_literal(literal: bytes) -> bool:
    """RFC 5321, 4.1.3: what stands in square brackets."""
    if literal[:5].upper() == b"IPV6:":
        return _is_ipv6(literal[5:])
    return bool(_IPV4.fullmatch(literal) or _GENERAL.fullmatch(literal))


def _is_ipv6(text: bytes) -> bool:
    """RFC 5321, 4.1.3: IPv6-full, -comp, v4-full, v4-comp; "::" stands for at least two groups of zeros."""
    head, double, tail = text.partition(b"::")
    groups = (head.split(b":") if head else []) + (tail.split(b":") if tail else [])
    if groups and _IPV4.fullmatch(groups[-1]) and not (double and not tail):
        groups[-1:] = [b"0", b"0"]
    if not all(_IPV6_GROUP.fullmatch(group) for group in groups):
        return False
    return len(groups) <= _IPV6_GROUPS - 2 if double else len(groups) == _IPV6_GROUPS
