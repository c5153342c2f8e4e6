"""Who gets the mail: arguments, -t, Resent- fields, aliases."""

from __future__ import annotations

from tests.support.differential import NOT_SENT, SENT, Bed, Case, Differs, all_of
from tests.support.scripted import Polite

BASE = "account default\nhost 127.0.0.1\nport {port}\nfrom joe@example.org\n"
REST = (
    "From: joe@example.org",
    "Date: Mon, 01 Jan 2001 00:00:00 +0000",
    "Message-ID: <1@example.org>",
    "",
    "Hello.",
    "",
)


def read(name: str, *lines: str, options: str = "-t", **more: object) -> Case:
    """Recipients read from a header with these lines."""
    return Case(name, options, mail="\n".join([*lines, *REST]).encode(), **more)  # type: ignore[arg-type]


def alias(name: str, options: str, text: str, **more: object) -> Case:
    """Recipients with an aliases file."""
    return Case(name, options, config=BASE + "aliases ~/aliases\n", files={"aliases": text}, **more)  # type: ignore[arg-type]


CAPABLE = Polite(extensions=("PIPELINING", "8BITMIME", "SMTPUTF8"))

# fmt: off
CASES = [
    # -- arguments
    Case("several", "ann@example.net bob@example.com"),
    Case("the same one twice", "ann@example.net ann@example.net"),
    Case("without domain", "ann"),
    Case("with commas", "'ann@example.net, bob@example.com'"),
    Case("with a display name", "'Ann <ann@example.net>'"),
    Case("with a quoted display name", "'\"Bob, the one\" <bob@example.com>, ann@example.net'"),
    Case("with a comment", "'ann@example.net (Ann)'"),
    Case("a group", "'friends: ann@example.net, bob@example.com;'"),
    Case("an empty group", "'friends:;'"),
    Case("an empty argument", "''"),
    Case("an empty argument beside another", "'' ann@example.net"),
    Case("a quoted local part", "'\"ann smith\"@example.net'", expect=Differs("address-syntax", commands=("<@example.net>", '<"ann smith"@example.net>'))),
    Case("angle brackets", "'<ann@example.net>'"),
    Case("an argument with a route", "'<@a.example,@b.example:ann@example.net>'", expect=Differs("address-syntax", commands=("<@a.example,@b.example:ann@example.net>", "<ann@example.net>"))),
    Case("a line end", "'ann@example.net\nTo: bob@example.com'", expect=Differs("line-ends", exit=(0, 64), stderr="msmtp: address 'ann@example.net\\nTo: bob@example.com' contains a line end", **NOT_SENT)),
    Case("a literal", "'ann@[192.0.2.1]'"),
    Case("behind --", "-- -ann@example.net"),
    Case("a percent sign", "'ann%there@example.net'"),
    Case("a blank inside", "'ann smith@example.net'"),
    Case("a UTF-8 domain, server with SMTPUTF8", "ann@bücher.example", server=CAPABLE, expect=Differs("newer", until=(1, 8, 27), commands=("MAIL FROM:<joe@example.org>", "MAIL FROM:<joe@example.org> SMTPUTF8"))),
    Case("a UTF-8 local part, server with SMTPUTF8", "änn@example.net", server=CAPABLE, expect=[Differs("newer", until=(1, 8, 27), commands=("<joe@example.org>", "<joe@example.org> SMTPUTF8")), Differs("", until=(1, 8, 31)), Differs("smtputf8", commands=("<joe@example.org>", "<joe@example.org> SMTPUTF8"))]),
    Case("a UTF-8 domain, server without SMTPUTF8", "ann@bücher.example", expect=Differs("smtputf8", commands=("ann@bücher.example", "ann@xn--bcher-kva.example"))),
    Case("a UTF-8 local part, server without SMTPUTF8", "änn@example.net", expect=Differs("smtputf8", exit=(0, 65), stderr="msmtp: the server does not support SMTPUTF8, which address änn@example.net needs\nmsmtp: use an address whose part before the @ is ASCII, or another server\nmsmtp: could not send mail (account default from HOME/.msmtprc)", commands="EHLO localhost\nQUIT", header="", body="")),
    Case("150 of them", " ".join(f"r{number}@example.net" for number in range(150))),
    Case("150 of them, no PIPELINING", " ".join(f"r{number}@example.net" for number in range(150)), server=Polite(extensions=())),
    # -- -t
    read("To", "To: ann@example.net"),
    read("To, Cc and Bcc", "To: ann@example.net", "Cc: bob@example.com", "Bcc: eve@example.com"),
    read("and arguments", "To: ann@example.net", options="-t bob@example.com"),
    read("several To", "To: ann@example.net", "To: bob@example.com"),
    read("several in one field", "To: ann@example.net, Bob <bob@example.com>,\n\teve@example.com"),
    read("any case of letters", "TO: ann@example.net", "cC: bob@example.com"),
    read("groups", "To: friends: ann@example.net, Bob <bob@example.com>;, eve@example.com", "Cc: undisclosed-recipients:;"),
    read("comments in comments", 'To: ann@example.net (Ann (the one) \\) "x), bob@example.com'),
    read("commas and brackets in quotes", 'To: "Ann, <x@y.example>" <ann@example.net>, "a \\" b" <bob@example.com>'),
    read("quoted local parts", 'To: "ann smith"@example.net, "a,b"@example.com', expect=Differs("address-syntax", commands=[("<@example.net>", '<"ann smith"@example.net>'), ("<@example.com>", '<"a,b"@example.com>')])),
    read("folds inside addresses", "To: Ann\n <ann@example.net>,\n Bob <bob\n @example.com>"),
    read("empty items", "To: , ann@example.net,,bob@example.com,"),
    read("an empty field", "To:", "Cc: ann@example.net"),
    read("nobody", "Subject: x"),
    read("nobody, with To empty", "To:"),
    read("CRLF", "To: ann@example.net,\r\n bob@example.com\r"),
    read("a route", "To: <@a.example:ann@example.net>", expect=Differs("address-syntax", commands=("<@a.example:ann@example.net>", "<ann@example.net>"))),
    read("text behind an address", "To: ann@example.net Ann, <bob@example.com> Bob", expect=Differs("address-syntax", commands=[("<Ann>", "<ann@example.net>"), ("RCPT TO:<Bob>\n", "")])),
    read("two addresses without comma", "To: <ann@example.net> <bob@example.com>"),
    read("blanks around the @", "To: ann @ example.net", expect=Differs("address-syntax", commands=("<example.net>", "<ann@example.net>"))),
    read("a missing bracket", "To: Ann <ann@example.net", "Cc: bob@example.com"),
    read("a quote that is not closed", 'To: "Ann <ann@example.net>, bob@example.com', "Cc: eve@example.com", expect=Differs("address-syntax", commands=("RCPT TO:<eve", "RCPT TO:<ann@example.net>\nRCPT TO:<bob@example.com>\nRCPT TO:<eve"))),
    read("X-To and To-X do not count", "X-To: x@example.com", "To-X: y@example.com", "To: ann@example.net"),
    read("fields in the body do not count", "To: ann@example.net", "From: a@b.example", "", "Cc: bob@example.com"),
    read("a name without domain", "To: ann, bob@example.com"),
    # -- Resent-
    read("Resent-To instead of To", "Resent-To: bob@example.com", "To: ann@example.net"),
    read("Resent-To, -Cc and -Bcc", "Resent-To: a@example.com", "Resent-Cc: b@example.com", "Resent-Bcc: c@example.com", "To: ann@example.net", expect=Differs("resent-bcc", header=("Resent-Bcc: c@example.com\n", ""))),
    read("only the first block counts", "Resent-To: a@example.com", "Resent-From: x@example.com", "Received: x", "Resent-To: b@example.com", "To: ann@example.net"),
    read("a block without recipients", "Resent-From: x@example.com", "To: ann@example.net"),
    read("a block behind To", "To: ann@example.net", "Resent-To: a@example.com"),
    read("Resent- and arguments", "Resent-To: a@example.com", "To: ann@example.net", options="-t bob@example.com"),
    read("Resent-Bcc is taken out", "Resent-To: a@example.com", "Resent-Bcc: b@example.com", "To: ann@example.net", expect=Differs("resent-bcc", header=("Resent-Bcc: b@example.com\n", ""))),
    # -- aliases
    alias("a local name", "root", "root: ann@example.net\n"),
    alias("several targets", "root", "root: ann@example.net, bob@example.com\n", expect=Differs("alias-order", commands=("<bob@example.com>\nRCPT TO:<ann@example.net>", "<ann@example.net>\nRCPT TO:<bob@example.com>"))),
    alias("a name that has none", "joe", "root: ann@example.net\n"),
    alias("default", "joe", "root: ann@example.net\ndefault: all@example.com\n"),
    alias("names are matched in their case", "Root", "root: ann@example.net\n"),
    alias("an address with @ is left alone", "root@here.example", "root: ann@example.net\n"),
    alias("a chain", "root", "root: admin\nadmin: ann@example.net\n"),
    alias("a loop", "root", "root: admin\nadmin: root\n", expect=Differs("alias-errors", stderr="msmtp: HOME/aliases: line 1: too many redirects when expanding alias root\nmsmtp: aliases that lead nowhere else: root")),
    alias("comments and blank lines", "root", "# all\n\nroot: ann@example.net # me\n"),
    alias("another recipient after an expanded one", "root joe", "root: ann@example.net\njoe: bob@example.com\n", expect=Differs("alias-after-alias", commands=("<joe>", "<bob@example.com>"))),
    alias("another recipient before an expanded one", "joe root", "root: ann@example.net\njoe: bob@example.com\n", expect=Differs("alias-after-alias", commands=("<root>", "<ann@example.net>"))),
    alias("an unknown recipient before an expanded one", "foo root", "root: ann@example.net\n", expect=Differs("alias-after-alias", commands=("<root>", "<ann@example.net>"))),
    alias("an address before a local name", "x@y.example root", "root: ann@example.net\n"),
    alias("with -t", "-t", "root: ann@example.net\n", mail=b"To: root, x@y.example\nFrom: a@b.example\nDate: Mon, 01 Jan 2001 00:00:00 +0000\nMessage-ID: <1@e>\n\nx\n"),
    alias("no colon", "root", "root ann@example.net\n"),
    alias("two colons", "root", "root: ann@example.net: x\n"),
    alias("no targets", "root", "root:\n", expect=Differs("alias-errors", exit=(0, 78), stderr="msmtp: HOME/aliases: line 1: alias 'root' has no addresses", **NOT_SENT)),
    alias("a name with @", "root", "root@x: ann@example.net\n"),
    alias("a name twice", "root", "root: a@example.net\nroot: b@example.net\n"),
    alias("an error in a line that is not used", "root", "root: ann@example.net\nnonsense\n"),
    alias("the error is not seen without a local name", "ann@example.net", "nonsense\n"),
    alias("a target with a display name", "root", "root: Ann <ann@example.net>\n", expect=Differs("alias-syntax", commands=("<Ann <ann@example.net>>", "<ann@example.net>"))),
    alias("a pipe", "root", "root: |/bin/false\n", expect=Differs("alias-errors", exit=(0, 78), stderr="msmtp: HOME/aliases: line 1: alias root leads to |/bin/false\nmsmtp: msmtp can only send to addresses", **NOT_SENT)),
    alias("a file", "root", "root: /dev/null\n", expect=Differs("alias-errors", exit=(0, 78), stderr="msmtp: HOME/aliases: line 1: alias root leads to /dev/null\nmsmtp: msmtp can only send to addresses", **NOT_SENT)),
    alias("an include that is not used", "root", "list: :include:/etc/list\nroot: ann@example.net\n", expect=Differs("alias-syntax", exit=(78, 0), stderr="", **SENT)),
    alias("40 targets", "root", "root: " + ", ".join(f"r{number}@e.example" for number in range(40)) + "\n", expect=Differs("alias-limits", exit=(78, 0), stderr="", **SENT)),
    alias("one alias names a target twice", "root", "root: a@e.example, b@e.example, a@e.example\n", expect=Differs("alias-order", commands=("RCPT TO:<a@e.example>\nRCPT TO:<b@e.example>\nRCPT TO:<a@e.example>", "RCPT TO:<a@e.example>\nRCPT TO:<b@e.example>"))),
    alias("a continuation line", "root", "root: a@e.example,\n  b@e.example\n"),
    alias("blanks and tabs", "root", "  root\t:\ta@e.example ,b@e.example  \n", expect=Differs("alias-order", commands=("<b@e.example>\nRCPT TO:<a@e.example>", "<a@e.example>\nRCPT TO:<b@e.example>"))),
    Case("an aliases file that is not there", "root", config=BASE + "aliases ~/nowhere\n"),
    Case("an aliases file that is not there, no local name", "a@b.example", config=BASE + "aliases ~/nowhere\n"),
    Case("--aliases", "--aliases={home}/aliases root", files={"aliases": "root: ann@example.net\n"}),
]
# fmt: on


@all_of(CASES)
def test_both(case: Case, bed: Bed) -> None:
    bed.check(case)
