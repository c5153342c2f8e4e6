"""The report of --serverinfo, in the form that scripts read (reference manual, chapter 8)."""

from __future__ import annotations

from msmtp.sender.outcome import text
from msmtp.smtp.extensions import EXTENSIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from msmtp.config.account import Account
    from msmtp.sender.session import Session
    from msmtp.smtp.extensions import Extensions

KIB = 1024
# The methods that are shown, in the order in which they always were.
METHODS = [
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1",
    "PLAIN",
    "GSSAPI",
    "EXTERNAL",
    "OAUTHBEARER",
    "CRAM-MD5",
    "DIGEST-MD5",
    "LOGIN",
    "NTLM",
    "XOAUTH2",
]

PLAIN_TEXTS = {
    b"PIPELINING": "Support for command grouping for faster transmission",
    b"SMTPUTF8": "Support for Internationalized Email",
    b"ETRN": "Support for RMQS (Remote Message Queue Starting)",
    b"DSN": "Support for Delivery Status Notifications",
    b"STARTTLS": "Support for TLS encryption via the STARTTLS command",
}
MORE = "This server might advertise more or other capabilities when TLS is active."


def report(session: Session, account: Account, canonical_name: str) -> list[str]:
    """All lines of the report on a session that has got as far as its last EHLO."""
    greeting = session.greeting
    lines = [heading(session, account, canonical_name)]
    if greeting is not None and greeting.lines[0]:
        lines.append(f"    {printable(greeting.lines[0])}")
    if session.stream.info.tls is not None:
        from msmtp.net.description import lines as tls_lines

        lines += tls_lines(session.stream.info.tls)
    shown = capabilities(session.extensions, started_tls=session.started_tls)
    lines += ["Capabilities:", *shown] if shown else ["No special capabilities."]
    if session.extensions.has(b"STARTTLS") and not account.tls:
        lines.append(MORE)
    return lines


def heading(session: Session, account: Account, canonical_name: str) -> str:
    """Which server this is: name, canonical name, address and port, as far as they are known."""
    protocol = account.protocol.upper()
    if account.socket:
        return f"{protocol} server at {account.socket}:"
    address = session.stream.info.address
    known = f"{canonical_name} [{address}]" if canonical_name and address else canonical_name
    known = known or (f"[{address}]" if address else "")
    return f"{protocol} server at {account.host}{f' ({known})' if known else ''}, port {account.port}:"


def capabilities(extensions: Extensions, *, started_tls: bool) -> list[str]:
    """What the server offers, in the order of the table; STARTTLS also when it has done its work and is gone."""
    lines = []
    for row in sorted((row for row in EXTENSIONS if row.shown), key=lambda row: row.shown):
        if offers(extensions, row.keyword) or (row.keyword == b"STARTTLS" and started_tls):
            key, texts = DESCRIPTIONS.get(row.keyword, plain)(row.keyword, extensions)
            lines += [f"    {key}:", *(f"        {line}" for line in texts)]
    return lines


def offers(extensions: Extensions, keyword: bytes) -> bool:
    """Whether there is something to say of it: a SIZE without a number (RFC 1870, 4) says nothing."""
    return extensions.size is not None if keyword == b"SIZE" else extensions.has(keyword)


def plain(keyword: bytes, _extensions: Extensions) -> tuple[str, list[str]]:
    """A capability without parameters."""
    return keyword.decode(), [PLAIN_TEXTS[keyword]]


def size(_keyword: bytes, extensions: Extensions) -> tuple[str, list[str]]:
    """The largest mail, in octets and in words."""
    limit = extensions.size
    if not limit:
        return "SIZE 0", ["Maximum message size is unlimited"]
    words = f"Maximum message size is {limit} bytes"
    if limit > KIB * KIB:
        words += f" = {limit / KIB / KIB:.2f} MiB"
    elif limit > KIB:
        words += f" = {limit / KIB:.2f} KiB"
    return f"SIZE {limit}", [words]


def auth(_keyword: bytes, extensions: Extensions) -> tuple[str, list[str]]:
    """The authentication methods, each with a space behind it."""
    methods = "".join(f"{method} " for method in METHODS if method.encode() in extensions.auth)
    return "AUTH", ["Supported authentication methods:", methods]


DESCRIPTIONS: dict[bytes, Callable[[bytes, Extensions], tuple[str, list[str]]]] = {b"SIZE": size, b"AUTH": auth}


def printable(octets: bytes) -> str:
    """A line of the server without what could move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text(octets))
