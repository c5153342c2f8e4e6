"""Header shapes: what the C program makes of them, and what ours does.

``upstream`` was seen of Debian's msmtp 1.8.23 on a server that accepts everything, and tests/mail/test_corpus.py asks it
again.  Where ours differs, ``ours`` says how and ``why`` that is on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

VERIFIED = (1, 8, 23)
OFF = ["--set-from-header=off", "--set-date-header=off", "--set-msgid-header=off"]
FROM = ["--set-date-header=off", "--set-msgid-header=off"]

Outcome = tuple[bytes, list[bytes], bytes] | None


@dataclass(frozen=True)
class Addresses:
    """A To field and the recipients that ``-t`` finds in it."""

    text: bytes
    upstream: list[bytes]
    ours: list[bytes] | None = None
    why: str = ""

    @property
    def expected(self) -> list[bytes]:
        return self.ours or [] if self.why else self.upstream


@dataclass(frozen=True)
class Mail:
    """A mail and arguments; sender, recipients and data (line ends LF) that go to the server, None if nothing does."""

    mail: bytes
    arguments: list[str]
    settings: list[str]
    upstream: Outcome
    ours: Outcome = None
    why: str = ""

    @property
    def expected(self) -> Outcome:
        return self.ours if self.why else self.upstream


ADDRESSES = [
    Addresses(b"a@b", [b"a@b"]),
    Addresses(b"Joe Doe <joe@x>", [b"joe@x"]),
    Addresses(b'"Doe, Joe" <joe@x>', [b"joe@x"]),
    Addresses(b"joe@x (comment)", [b"joe@x"]),
    Addresses(b"(c1) joe@x", [b"joe@x"]),
    Addresses(b"jo(c)e@x", [b"joe@x"]),
    Addresses(b"g: a@b, c@d;", [b"a@b", b"c@d"]),
    Addresses(b"g: a@b, c@d; , e@f", [b"a@b", b"c@d", b"e@f"]),
    Addresses(b"undisclosed-recipients:;", []),
    Addresses(
        b'"quoted local"@x', [b"@x"], ours=[b'"quoted local"@x'], why="a quoted local part is part of the address"
    ),
    Addresses(b'"quo\\"ted"@x', [b"@x"], ours=[b'"quo\\"ted"@x'], why="a quoted local part is part of the address"),
    Addresses(b'<"a b"@x>', [b'"a_b"@x'], ours=[b'"a b"@x'], why="a quoted local part is part of the address"),
    Addresses(
        b"<@r1,@r2:user@x>",
        [b"@r1,@r2:user@x"],
        ours=[b"user@x"],
        why="servers want no source routes (RFC 5321, 3.6.1)",
    ),
    Addresses(b"@r1:user@x", [b"user@x"]),
    Addresses(b"a b@c", [b"b@c"]),
    Addresses(
        b"a b <c@d> e", [b"c@d", b"e"], ours=[b"c@d"], why="what follows the angle brackets without an @ is no address"
    ),
    Addresses(b"a@b c@d", [b"c@d"], ours=[b"a@b", b"c@d"], why="nobody is lost because a comma is missing"),
    Addresses(b"a@b; c@d", [b"a@b", b"c@d"]),
    Addresses(b"a@b,,c@d,", [b"a@b", b"c@d"]),
    Addresses(b",", []),
    Addresses(b"<>", []),
    Addresses(b"<a@b>, <c@d>", [b"a@b", b"c@d"]),
    Addresses(b"<a@b><c@d>", [b"a@b", b"c@d"]),
    Addresses(b"<a@b", [b"a@b"]),
    Addresses(b"a@b>", [b"a@b>"], ours=[b"a@b"], why="stray brackets mean nothing"),
    Addresses(b"a@[1.2.3.4]", [b"a@[1.2.3.4]"]),
    Addresses(b"<a@[IPv6:::1]>", [b"a@[IPv6:::1]"]),
    Addresses(b"a@b\n c@d", [b"c@d"], ours=[b"a@b", b"c@d"], why="nobody is lost because a comma is missing"),
    Addresses(b"a@b,\n\tc@d", [b"a@b", b"c@d"]),
    Addresses(b"a@b,\r\n c@d", [b"a@b", b"c@d"]),
    Addresses(b"(nested (comment, x@y) z) a@b", [b"a@b"]),
    Addresses(b"(paren \\) x) a@b", [b"a@b"]),
    Addresses(
        b"(unclosed a@b",
        [],
        ours=[b"a@b"],
        why="nobody is lost because of a quote, comment or bracket that is never closed",
    ),
    Addresses(
        b'"unclosed a@b',
        [],
        ours=[b"a@b"],
        why="nobody is lost because of a quote, comment or bracket that is never closed",
    ),
    Addresses(b"a\\@b@c", [b"a@b@c"], ours=[b'"a@b"@c'], why="what is escaped stays escaped"),
    Addresses(b"joe\\, doe <a@b>", [b"a@b"]),
    Addresses(
        b"a @ b", [b"b"], ours=[b"a@b"], why="white space around @ and . means nothing (RFC 5322, 3.2.3 and 4.4)"
    ),
    Addresses(
        b"< a@b >", [b"_a@b_"], ours=[b"a@b"], why="white space around @ and . means nothing (RFC 5322, 3.2.3 and 4.4)"
    ),
    Addresses(b"a@b\x01c", [b"a@b_c"]),
    Addresses(b"a@b\x00c", [b"a@b_c"]),
    Addresses(b"\xc3\xa9@b", [b"\xc3\xa9@b"]),
    Addresses(b"=?utf-8?q?a=2C?= <a@b>", [b"a@b"]),
    Addresses(b"root", [b"root"]),
    Addresses(b"root, a@b", [b"root", b"a@b"]),
    Addresses(b"Group Name: Joe <a@b>,(x:y) c@d;", [b"a@b", b"c@d"]),
    Addresses(b"a@b:c@d", [b"c@d"]),
    Addresses(b"a:b:c@d;", [b"c@d"]),
    Addresses(b'"a:b" <c@d>', [b"c@d"]),
    Addresses(b'"a;b"@d', [b"@d"], ours=[b'"a;b"@d'], why="a quoted local part is part of the address"),
    Addresses(b"a@b,(c,d)e@f", [b"a@b", b"e@f"]),
    Addresses(b"x (a\n b) <a@b>", [b"a@b"]),
    Addresses(b"<a b@c>", [b"a_b@c"]),
    Addresses(b'<"a\\"b"@c>', [b'"a"b"@c'], ours=[b'"a\\"b"@c'], why="what is escaped stays escaped"),
    Addresses(b"a..b@c", [b"a..b@c"]),
    Addresses(b".a@b", [b".a@b"]),
    Addresses(b"a@b.", [b"a@b."]),
    Addresses(b"<a@b> (x), c@d", [b"a@b", b"c@d"]),
    Addresses(b"x <y <a@b>>", [b"y_<a@b", b">"], ours=[b"a@b"], why="stray brackets mean nothing"),
    Addresses(b"@", [b"@"]),
    Addresses(b"a@@b", [b"a@@b"]),
    Addresses(b"a%b@c", [b"a%b@c"]),
    Addresses(b"a!b", [b"a!b"]),
    Addresses(b"-x@y", [b"-x@y"]),
    Addresses(b"a@b\tc", [b"c"], ours=[b"a@b"], why="a lone last word without @ is no address beside one"),
    Addresses(b"|cmd", [b"|cmd"]),
    Addresses(b"/dev/null", [b"/dev/null"]),
    Addresses(b":include:/x", [b"/x"]),
    Addresses(b"a\rb@c", [b"ab@c"]),
    Addresses(b"a@[IPv6:::1]", [b"1]"], ours=[b"a@[IPv6:::1]"], why="an address literal has colons of its own"),
    Addresses(
        b"joe<a@b>doe,x@y",
        [b"a@b", b"doe", b"x@y"],
        ours=[b"a@b", b"x@y"],
        why="what follows the angle brackets without an @ is no address",
    ),
    Addresses(b"<joe(c)@x>", [b"joe@x"]),
    Addresses(
        b"<a@b, c@d>",
        [b"a@b,_c@d"],
        ours=[b"a@b", b"c@d"],
        why="nobody is lost because of a quote, comment or bracket that is never closed",
    ),
    Addresses(
        b"<a@b; c@d",
        [b"a@b;_c@d"],
        ours=[b"a@b", b"c@d"],
        why="nobody is lost because of a quote, comment or bracket that is never closed",
    ),
    Addresses(b"g:a@b", [b"a@b"]),
    Addresses(b"a@b (x) c@d", [b"c@d"], ours=[b"a@b", b"c@d"], why="nobody is lost because a comma is missing"),
    Addresses(b'"joe@x.example"', []),
    Addresses(b'"joe"', []),
    Addresses(b"Joe Doe", [b"Doe"]),
    Addresses(b"a@b\\", [b"a@b"]),
    Addresses(
        b'"x\\', [], ours=[b"x"], why="nobody is lost because of a quote, comment or bracket that is never closed"
    ),
    Addresses(
        b"(a\\", [], ours=[b"a"], why="nobody is lost because of a quote, comment or bracket that is never closed"
    ),
    Addresses(b"<", []),
    Addresses(b"a@b <>", []),
    Addresses(b"<@r:>", [b"@r:"], ours=[], why="servers want no source routes (RFC 5321, 3.6.1)"),
    Addresses(b"a@b;;,", [b"a@b"]),
    Addresses(b"\x7f@b", [b"_@b"]),
    Addresses(b"a@b\xa0c", [b"a@b\xa0c"]),
    Addresses(b"(a)(b)<c@d>(e)", [b"c@d"]),
    Addresses(b"a.(x)b@c", [b"a.b@c"]),
    Addresses(b'a"b c"d@e', [b"d@e"], ours=[b'"ab cd"@e'], why="a quoted local part is part of the address"),
    Addresses(b'"a"."b"@c', [b"@c"], ours=[b"a.b@c"], why="a quoted local part is part of the address"),
    Addresses(b"mailer-daemon", [b"mailer-daemon"]),
    Addresses(b"<mailer-daemon>", [b"mailer-daemon"]),
    Addresses(b"g: ;, a@b", [b"a@b"]),
    Addresses(b"a@b(c", [b"a@b"]),
    Addresses(b"joe@x.example <joe@y.example>", [b"joe@y.example"]),
    Addresses(
        b"<joe @ x>",
        [b"joe_@_x"],
        ours=[b"joe@x"],
        why="white space around @ and . means nothing (RFC 5322, 3.2.3 and 4.4)",
    ),
    Addresses(
        b"<joe . doe@x>",
        [b"joe_._doe@x"],
        ours=[b"joe.doe@x"],
        why="white space around @ and . means nothing (RFC 5322, 3.2.3 and 4.4)",
    ),
    Addresses(b"joe . doe@x", [b"doe@x"]),
]

MAILS = [
    Mail(b"", ["r@x"], OFF, (b"s@x.example", [b"r@x"], b"")),
    Mail(b"\n", ["r@x"], OFF, (b"s@x.example", [b"r@x"], b"\n")),
    Mail(
        b"body\n",
        ["r@x"],
        OFF,
        (b"s@x.example", [b"r@x"], b"body\n"),
        ours=(b"s@x.example", [b"r@x"], b"\nbody\n"),
        why="a mail that does not begin with a field is all body, with an empty line before it",
    ),
    Mail(
        b"body only\nBcc: z@z\n\nmore\n",
        ["r@x"],
        OFF,
        (b"s@x.example", [b"r@x"], b"body only\n\nmore\n"),
        ours=(b"s@x.example", [b"r@x"], b"\nbody only\nBcc: z@z\n\nmore\n"),
        why="a mail that does not begin with a field is all body, with an empty line before it",
    ),
    Mail(
        b"Subject: x\nbody no colon\nBcc: q@q\n\nb",
        ["r@x"],
        OFF,
        (b"s@x.example", [b"r@x"], b"Subject: x\nbody no colon\n\nb\n"),
    ),
    Mail(b"Subject: x", ["r@x"], OFF, (b"s@x.example", [b"r@x"], b"Subject: x\n")),
    Mail(b"Subject: x\n", ["r@x"], OFF, (b"s@x.example", [b"r@x"], b"Subject: x\n")),
    Mail(
        b"From joe Mon\nSubject: x\n\nb\n",
        ["r@x"],
        OFF,
        (b"s@x.example", [b"r@x"], b"From joe Mon\nSubject: x\n\nb\n"),
        ours=(b"s@x.example", [b"r@x"], b"Subject: x\n\nb\n"),
        why="the line that begins a mail in an mbox file is no part of the mail",
    ),
    Mail(
        b">From joe Mon\nSubject: x\n\nb\n",
        ["r@x"],
        OFF,
        (b"s@x.example", [b"r@x"], b">From joe Mon\nSubject: x\n\nb\n"),
        ours=(b"s@x.example", [b"r@x"], b"Subject: x\n\nb\n"),
        why="the line that begins a mail in an mbox file is no part of the mail",
    ),
    Mail(
        b" lead\nSubject: x\n\nb",
        ["r@x"],
        OFF,
        (b"s@x.example", [b"r@x"], b" lead\nSubject: x\n\nb\n"),
        ours=(b"s@x.example", [b"r@x"], b"\n lead\nSubject: x\n\nb\n"),
        why="a mail that does not begin with a field is all body, with an empty line before it",
    ),
    Mail(b"Bcc: a@b\n c@d\nSubject: x\n\nb\n", ["r@x"], OFF, (b"s@x.example", [b"r@x"], b"Subject: x\n\nb\n")),
    Mail(
        b"Bcc : a@b\nSubject: x\n\nb\n",
        ["r@x"],
        OFF,
        (b"s@x.example", [b"r@x"], b"Bcc : a@b\nSubject: x\n\nb\n"),
        ours=(b"s@x.example", [b"r@x"], b"Subject: x\n\nb\n"),
        why="white space before the colon is obsolete syntax (RFC 5322, 4.5), but the field is what it says",
    ),
    Mail(
        b"bcc: a@b\nBCC: c@d\nSubject: x\n\nBcc: body@b\n",
        ["r@x"],
        OFF,
        (b"s@x.example", [b"r@x"], b"Subject: x\n\nBcc: body@b\n"),
    ),
    Mail(b"Bcc:\n a@b\nSubject: x\n\n", ["r@x"], OFF, (b"s@x.example", [b"r@x"], b"Subject: x\n\n")),
    Mail(
        b"Resent-Bcc: a@b\nTo: c@d\n\nb",
        ["r@x"],
        OFF,
        (b"s@x.example", [b"r@x"], b"Resent-Bcc: a@b\nTo: c@d\n\nb\n"),
        ours=(b"s@x.example", [b"r@x"], b"To: c@d\n\nb\n"),
        why="Resent-Bcc is as blind as Bcc",
    ),
    Mail(b"To: c@d\rBcc: e@f\n\nb", ["r@x"], OFF, (b"s@x.example", [b"r@x"], b"To: c@dBcc: e@f\n\nb\n")),
    Mail(
        b"To: c@d\r\r\nBcc: e@f\r\n\r\r\nb\rc\r\r\nd",
        ["r@x"],
        OFF,
        (b"s@x.example", [b"r@x"], b"To: c@d\n\nb\rc\r\nd\n"),
    ),
    Mail(b"To: a@b\n \t\nBcc: c@d\n\nb", ["r@x"], OFF, (b"s@x.example", [b"r@x"], b"To: a@b\n \t\n\nb\n")),
    Mail(b"To: a@b\n\tBcc: c@d\n\nb", ["r@x"], OFF, (b"s@x.example", [b"r@x"], b"To: a@b\n\tBcc: c@d\n\nb\n")),
    Mail(b"Bcc: a@b", ["r@x"], OFF, (b"s@x.example", [b"r@x"], b"")),
    Mail(b"Subject: \x00x\n\nb\x00c\n", ["r@x"], OFF, (b"s@x.example", [b"r@x"], b"Subject: \x00x\n\nb\x00c\n")),
    Mail(
        b"\xef\xbb\xbfSubject: x\nBcc: a@b\n\nb",
        ["r@x"],
        OFF,
        (b"s@x.example", [b"r@x"], b"\xef\xbb\xbfSubject: x\n\nb\n"),
    ),
    Mail(
        b"X Bcc: a@b\nBcc: a@b\n\n",
        ["r@x"],
        OFF,
        (b"s@x.example", [b"r@x"], b"X Bcc: a@b\n\n"),
        ours=(b"s@x.example", [b"r@x"], b"\nX Bcc: a@b\nBcc: a@b\n\n"),
        why="a mail that does not begin with a field is all body, with an empty line before it",
    ),
    Mail(
        b"garbage\nTo: a@b\n\nx",
        ["-t"],
        OFF,
        (b"s@x.example", [b"a@b"], b"garbage\nTo: a@b\n\nx\n"),
        ours=None,
        why="a mail that does not begin with a field is all body, with an empty line before it: nobody is addressed",
    ),
    Mail(
        b"Subject: x\ngarbage\nTo: a@b\n\nx",
        ["-t"],
        OFF,
        (b"s@x.example", [b"a@b"], b"Subject: x\ngarbage\nTo: a@b\n\nx\n"),
    ),
    Mail(
        b"To : a@b\n\nx",
        ["-t"],
        OFF,
        None,
        ours=(b"s@x.example", [b"a@b"], b"To : a@b\n\nx\n"),
        why="white space before the colon is obsolete syntax (RFC 5322, 4.5), but the field is what it says",
    ),
    Mail(
        b"TO: a@b\nto: c@d\nCC: e@f\nbCc: g@h\n\nTo: z@z\n",
        ["-t"],
        OFF,
        (b"s@x.example", [b"a@b", b"c@d", b"e@f", b"g@h"], b"TO: a@b\nto: c@d\nCC: e@f\n\nTo: z@z\n"),
    ),
    Mail(b"To: a@b\nCc: c@d", ["-t"], OFF, (b"s@x.example", [b"a@b", b"c@d"], b"To: a@b\nCc: c@d\n")),
    Mail(
        b"From x\nTo: a@b\n\n",
        ["-t"],
        OFF,
        (b"s@x.example", [b"a@b"], b"From x\nTo: a@b\n\n"),
        ours=(b"s@x.example", [b"a@b"], b"To: a@b\n\n"),
        why="the line that begins a mail in an mbox file is no part of the mail",
    ),
    Mail(
        b" To: a@b\nTo: c@d\n\n",
        ["-t"],
        OFF,
        (b"s@x.example", [b"c@d"], b" To: a@b\nTo: c@d\n\n"),
        ours=None,
        why="a mail that does not begin with a field is all body, with an empty line before it: nobody is addressed",
    ),
    Mail(b"Resent-To: a@b\nTo: c@d\n\n", ["-t"], OFF, (b"s@x.example", [b"a@b"], b"Resent-To: a@b\nTo: c@d\n\n")),
    Mail(b"To: c@d\nResent-To: a@b\n\n", ["-t"], OFF, (b"s@x.example", [b"a@b"], b"To: c@d\nResent-To: a@b\n\n")),
    Mail(b"Resent-From: q@q\nTo: c@d\n\n", ["-t"], OFF, None),
    Mail(b"Resent-Foo: q@q\nTo: c@d\n\n", ["-t"], OFF, None),
    Mail(
        b"Resent-To: a@b\nResent-Cc: b@b\nReceived: x\nResent-To: c@d\nTo: e@f\n\n",
        ["-t"],
        OFF,
        (b"s@x.example", [b"a@b", b"b@b"], b"Resent-To: a@b\nResent-Cc: b@b\nReceived: x\nResent-To: c@d\nTo: e@f\n\n"),
    ),
    Mail(
        b"Resent-To: a@b\nReceived: x\nResent-Cc: c@d\n\n",
        ["-t"],
        OFF,
        (b"s@x.example", [b"a@b"], b"Resent-To: a@b\nReceived: x\nResent-Cc: c@d\n\n"),
    ),
    Mail(b"To: x@x\nResent-From: a@b\nResent-Date: x\nX-Foo: y\nResent-To: z@z\n\n", ["-t"], OFF, None),
    Mail(
        b"Resent-To: a@b\n Resent-To: c@d\nResent-Bcc: e@f\nTo: x@x\n\n",
        ["-t"],
        OFF,
        (b"s@x.example", [b"c@d", b"e@f"], b"Resent-To: a@b\n Resent-To: c@d\nResent-Bcc: e@f\nTo: x@x\n\n"),
        ours=(b"s@x.example", [b"c@d", b"e@f"], b"Resent-To: a@b\n Resent-To: c@d\nTo: x@x\n\n"),
        why="Resent-Bcc is as blind as Bcc",
    ),
    Mail(
        b"Resent-To: a@b\nResent-From: f@f\nResent-To: c@d\n\n",
        ["-t"],
        OFF,
        (b"s@x.example", [b"a@b", b"c@d"], b"Resent-To: a@b\nResent-From: f@f\nResent-To: c@d\n\n"),
    ),
    Mail(b"To: a@b\n\nResent-To: c@d\n", ["-t"], OFF, (b"s@x.example", [b"a@b"], b"To: a@b\n\nResent-To: c@d\n")),
    Mail(b"Resent-: a@b\nTo: c@d\n\n", ["-t"], OFF, None),
    Mail(
        b"Resent-Sender: a@b\nResent-To: c@d, e@f\n\n",
        ["-t"],
        OFF,
        (b"s@x.example", [b"c@d", b"e@f"], b"Resent-Sender: a@b\nResent-To: c@d, e@f\n\n"),
    ),
    Mail(b"Apparently-To: a@b\n\n", ["-t"], OFF, None),
    Mail(b"To: a@b\nTo: a@b\n\n", ["-t"], OFF, (b"s@x.example", [b"a@b", b"a@b"], b"To: a@b\nTo: a@b\n\n")),
    Mail(b"From: a@b\n\n", ["--read-envelope-from", "r@x"], OFF, (b"a@b", [b"r@x"], b"From: a@b\n\n")),
    Mail(
        b"From: Joe <a@b>, c@d\n\n",
        ["--read-envelope-from", "r@x"],
        OFF,
        (b"a@b", [b"r@x"], b"From: Joe <a@b>, c@d\n\n"),
    ),
    Mail(
        b"Resent-From: r@r\nFrom: a@b\n\n",
        ["--read-envelope-from", "r@x"],
        OFF,
        (b"a@b", [b"r@x"], b"Resent-From: r@r\nFrom: a@b\n\n"),
        ours=(b"r@r", [b"r@x"], b"Resent-From: r@r\nFrom: a@b\n\n"),
        why="Resent-From before any From counts since 1.8.28",
    ),
    Mail(
        b"From: a@b\nResent-From: r@r\n\n",
        ["--read-envelope-from", "r@x"],
        OFF,
        (b"a@b", [b"r@x"], b"From: a@b\nResent-From: r@r\n\n"),
    ),
    Mail(
        b"Sender: s@s\nFrom: a@b\n\n",
        ["--read-envelope-from", "r@x"],
        OFF,
        (b"a@b", [b"r@x"], b"Sender: s@s\nFrom: a@b\n\n"),
    ),
    Mail(
        b"Resent-From: r@r\n\n",
        ["--read-envelope-from", "r@x"],
        OFF,
        None,
        ours=(b"r@r", [b"r@x"], b"Resent-From: r@r\n\n"),
        why="Resent-From before any From counts since 1.8.28",
    ),
    Mail(b"From: <>\n\n", ["--read-envelope-from", "r@x"], OFF, None),
    Mail(b"From: g:;\n\n", ["--read-envelope-from", "r@x"], OFF, None),
    Mail(b"From:\nFrom: a@b\n\n", ["--read-envelope-from", "r@x"], OFF, (b"a@b", [b"r@x"], b"From:\nFrom: a@b\n\n")),
    Mail(
        b"From: a@b\nFrom: c@d\n\n",
        ["--read-envelope-from", "r@x"],
        OFF,
        (b"a@b", [b"r@x"], b"From: a@b\nFrom: c@d\n\n"),
    ),
    Mail(b"Subject: x\n\n", ["--read-envelope-from", "r@x"], OFF, None),
    Mail(
        b"From :a@b\n\n",
        ["--read-envelope-from", "r@x"],
        OFF,
        None,
        ours=(b"a@b", [b"r@x"], b"From :a@b\n\n"),
        why="white space before the colon is obsolete syntax (RFC 5322, 4.5), but the field is what it says",
    ),
    Mail(b"from: a@b\n\n", ["--read-envelope-from", "r@x"], OFF, (b"a@b", [b"r@x"], b"from: a@b\n\n")),
    Mail(
        b"Resent-From: r@r\nX: y\nResent-From: q@q\n\n",
        ["--read-envelope-from", "r@x"],
        OFF,
        None,
        ours=(b"r@r", [b"r@x"], b"Resent-From: r@r\nX: y\nResent-From: q@q\n\n"),
        why="Resent-From before any From counts since 1.8.28",
    ),
    Mail(
        b"Resent-Sender: x@x\nFrom: a@b\n\n",
        ["--read-envelope-from", "r@x"],
        OFF,
        (b"a@b", [b"r@x"], b"Resent-Sender: x@x\nFrom: a@b\n\n"),
    ),
    Mail(
        b"From x\nFrom: a@b\n\n",
        ["--read-envelope-from", "r@x"],
        OFF,
        (b"a@b", [b"r@x"], b"From x\nFrom: a@b\n\n"),
        ours=(b"a@b", [b"r@x"], b"From: a@b\n\n"),
        why="the line that begins a mail in an mbox file is no part of the mail",
    ),
    Mail(
        b"Subject: x\n\nb",
        ["-F", "Joe Doe", "r@x"],
        FROM,
        (b"s@x.example", [b"r@x"], b"From: Joe Doe <s@x.example>\nSubject: x\n\nb\n"),
    ),
    Mail(
        b"Subject: x\n\nb",
        ["-F", "Doe, Joe", "r@x"],
        FROM,
        (b"s@x.example", [b"r@x"], b"From: Doe, Joe <s@x.example>\nSubject: x\n\nb\n"),
        ours=(b"s@x.example", [b"r@x"], b'From: "Doe, Joe" <s@x.example>\nSubject: x\n\nb\n'),
        why="a comma needs quotes",
    ),
    Mail(
        b"Subject: x\n\nb",
        ["-F", "", "r@x"],
        FROM,
        (b"s@x.example", [b"r@x"], b"From:  <s@x.example>\nSubject: x\n\nb\n"),
        ours=(b"s@x.example", [b"r@x"], b"From: s@x.example\nSubject: x\n\nb\n"),
        why="an empty name is none",
    ),
    Mail(
        b"Subject: x\n\nb",
        ["-F", 'say "hi"', "r@x"],
        FROM,
        (b"s@x.example", [b"r@x"], b'From: say "hi" <s@x.example>\nSubject: x\n\nb\n'),
        ours=(b"s@x.example", [b"r@x"], b'From: "say \\"hi\\"" <s@x.example>\nSubject: x\n\nb\n'),
        why="quotes need quotes",
    ),
    Mail(
        b"Subject: x\n\nb",
        ["-F", '"Doe, Joe"', "r@x"],
        FROM,
        (b"s@x.example", [b"r@x"], b'From: "Doe, Joe" <s@x.example>\nSubject: x\n\nb\n'),
    ),
    Mail(
        b"Subject: x\n\nb",
        ["-F", "Jöe", "r@x"],
        FROM,
        (b"s@x.example", [b"r@x"], b"From: J\xc3\xb6e <s@x.example>\nSubject: x\n\nb\n"),
        ours=(b"s@x.example", [b"r@x"], b"From: =?utf-8?B?SsO2ZQ==?= <s@x.example>\nSubject: x\n\nb\n"),
        why="encoded words, whatever the locale",
    ),
    Mail(
        b"Subject: x\n\nb",
        [
            "-F",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "r@x",
        ],
        FROM,
        (
            b"s@x.example",
            [b"r@x"],
            b"From: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx <s@x.example>\nSubject: x\n\nb\n",
        ),
        ours=(
            b"s@x.example",
            [b"r@x"],
            b"From: =?utf-8?B?eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4?=\n =?utf-8?B?eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4?=\n =?utf-8?B?eHh4eHh4eHh4eHh4eHh4eA==?= <s@x.example>\nSubject: x\n\nb\n",
        ),
        why="too long for a line",
    ),
    Mail(
        b"Subject: x\n\nb",
        ["-F", "Joe Q. Public", "r@x"],
        FROM,
        (b"s@x.example", [b"r@x"], b"From: Joe Q. Public <s@x.example>\nSubject: x\n\nb\n"),
        ours=(b"s@x.example", [b"r@x"], b'From: "Joe Q. Public" <s@x.example>\nSubject: x\n\nb\n'),
        why="a dot needs quotes",
    ),
    Mail(
        b"Subject: x\n\nb",
        ["-F", "=?utf-8?q?J=C3=B6e?=", "r@x"],
        FROM,
        (b"s@x.example", [b"r@x"], b"From: =?utf-8?q?J=C3=B6e?= <s@x.example>\nSubject: x\n\nb\n"),
    ),
    Mail(
        b"Subject: x\n\nb",
        ["-f", "<>", "r@x"],
        FROM,
        (b"", [b"r@x"], b"From: \nSubject: x\n\nb\n"),
        ours=(b"", [b"r@x"], b"Subject: x\n\nb\n"),
        why="the null sender gives no From, and an empty one is not valid",
    ),
    Mail(b"Subject: x\n\nb", ["-f", "root", "r@x"], FROM, (b"root", [b"r@x"], b"From: root\nSubject: x\n\nb\n")),
    Mail(
        b"From: a@b\n c@d\nSubject: x\nFrom: e@f\n\nb",
        ["--set-from-header=on", "r@x"],
        FROM,
        (b"s@x.example", [b"r@x"], b"From: s@x.example\nSubject: x\n\nb\n"),
    ),
    Mail(
        b"From: a@b\n c@d\nSubject: x\nFrom: e@f\n\nb",
        ["r@x"],
        FROM,
        (b"s@x.example", [b"r@x"], b"From: a@b\n c@d\nSubject: x\nFrom: e@f\n\nb\n"),
    ),
    Mail(
        b"Subject: x\n\n",
        ["--set-from-header=on", "r@x"],
        FROM,
        (b"s@x.example", [b"r@x"], b"From: s@x.example\nSubject: x\n\n"),
    ),
    Mail(b"Subject: x\n\n", ["r@x"], FROM, (b"s@x.example", [b"r@x"], b"From: s@x.example\nSubject: x\n\n")),
    Mail(
        b"Resent-From: a@b\n\n",
        ["--set-from-header=on", "r@x"],
        FROM,
        (b"s@x.example", [b"r@x"], b"From: s@x.example\nResent-From: a@b\n\n"),
    ),
    Mail(
        b"Resent-From: a@b\n\n", ["r@x"], FROM, (b"s@x.example", [b"r@x"], b"From: s@x.example\nResent-From: a@b\n\n")
    ),
    Mail(
        b"From : a@b\n\n",
        ["--set-from-header=on", "r@x"],
        FROM,
        (b"s@x.example", [b"r@x"], b"From: s@x.example\nFrom : a@b\n\n"),
        ours=(b"s@x.example", [b"r@x"], b"From: s@x.example\n\n"),
        why="white space before the colon is obsolete syntax (RFC 5322, 4.5), but the field is what it says",
    ),
    Mail(
        b"From : a@b\n\n",
        ["r@x"],
        FROM,
        (b"s@x.example", [b"r@x"], b"From: s@x.example\nFrom : a@b\n\n"),
        ours=(b"s@x.example", [b"r@x"], b"From : a@b\n\n"),
        why="white space before the colon is obsolete syntax (RFC 5322, 4.5), but the field is what it says",
    ),
    Mail(b"FROM: a@b\n\n", ["--set-from-header=on", "r@x"], FROM, (b"s@x.example", [b"r@x"], b"From: s@x.example\n\n")),
    Mail(b"FROM: a@b\n\n", ["r@x"], FROM, (b"s@x.example", [b"r@x"], b"FROM: a@b\n\n")),
    Mail(
        b"From a b\nFrom: a@b\n\n",
        ["--set-from-header=on", "r@x"],
        FROM,
        (b"s@x.example", [b"r@x"], b"From: s@x.example\nFrom a b\n\n"),
        ours=(b"s@x.example", [b"r@x"], b"From: s@x.example\n\n"),
        why="the line that begins a mail in an mbox file is no part of the mail",
    ),
    Mail(
        b"From a b\nFrom: a@b\n\n",
        ["r@x"],
        FROM,
        (b"s@x.example", [b"r@x"], b"From a b\nFrom: a@b\n\n"),
        ours=(b"s@x.example", [b"r@x"], b"From: a@b\n\n"),
        why="the line that begins a mail in an mbox file is no part of the mail",
    ),
    Mail(b"From:\n\n", ["--set-from-header=on", "r@x"], FROM, (b"s@x.example", [b"r@x"], b"From: s@x.example\n\n")),
    Mail(b"From:\n\n", ["r@x"], FROM, (b"s@x.example", [b"r@x"], b"From: s@x.example\n\n")),
    Mail(
        b"To: a@b\nCc: c@d,\n x@y\nBcc: e@f\nResent-To: q@q\nResent-Bcc: u@u\nSubject: x\n\nb",
        ["--undisclosed-recipients=on", "r@x"],
        OFF,
        (b"s@x.example", [b"r@x"], b"To: undisclosed-recipients:;\nResent-To: q@q\nResent-Bcc: u@u\nSubject: x\n\nb\n"),
        ours=(b"s@x.example", [b"r@x"], b"To: undisclosed-recipients:;\nSubject: x\n\nb\n"),
        why="who the mail is sent on to is undisclosed too",
    ),
    Mail(
        b"To: a@b\nCc: c@d,\n x@y\nBcc: e@f\nResent-To: q@q\nResent-Bcc: u@u\nSubject: x\n\nb",
        ["--undisclosed-recipients=on", "--remove-bcc-headers=off", "-t"],
        OFF,
        (
            b"s@x.example",
            [b"q@q", b"u@u"],
            b"To: undisclosed-recipients:;\nResent-To: q@q\nResent-Bcc: u@u\nSubject: x\n\nb\n",
        ),
        ours=(b"s@x.example", [b"q@q", b"u@u"], b"To: undisclosed-recipients:;\nSubject: x\n\nb\n"),
        why="who the mail is sent on to is undisclosed too",
    ),
    Mail(
        b"Subject: x\n\n",
        ["--undisclosed-recipients=on", "r@x"],
        OFF,
        (b"s@x.example", [b"r@x"], b"To: undisclosed-recipients:;\nSubject: x\n\n"),
    ),
    Mail(b"Subject: x\n\n", ["--undisclosed-recipients=on", "--remove-bcc-headers=off", "-t"], OFF, None),
    Mail(
        b"nohdr\n",
        ["--undisclosed-recipients=on", "r@x"],
        OFF,
        (b"s@x.example", [b"r@x"], b"To: undisclosed-recipients:;\nnohdr\n"),
        ours=(b"s@x.example", [b"r@x"], b"To: undisclosed-recipients:;\n\nnohdr\n"),
        why="a mail that does not begin with a field is all body, with an empty line before it",
    ),
    Mail(b"nohdr\n", ["--undisclosed-recipients=on", "--remove-bcc-headers=off", "-t"], OFF, None),
    Mail(
        b"Bcc: a@b\nResent-Bcc: c@d\n\n",
        ["--remove-bcc-headers=off", "r@x"],
        OFF,
        (b"s@x.example", [b"r@x"], b"Bcc: a@b\nResent-Bcc: c@d\n\n"),
    ),
    Mail(
        b"To: a@b\n\n",
        ["-t", "c@d", "Joe <e@f>, g@h", ""],
        OFF,
        (b"s@x.example", [b"c@d", b"e@f", b"g@h", b"a@b"], b"To: a@b\n\n"),
    ),
    Mail(
        b"Resent-To: a@b\nTo: q@q\n\n",
        ["-t", "c@d"],
        OFF,
        (b"s@x.example", [b"c@d", b"a@b"], b"Resent-To: a@b\nTo: q@q\n\n"),
    ),
]
