"""Which account is used, and with which envelope-from address."""

from __future__ import annotations

from tests.support.differential import NOT_SENT, SENT, Bed, Case, Differs, all_of

THREE = (
    "account one\nhost one.invalid\nfrom joe@one.example\n"
    "account two\nhost two.invalid\nfrom *@two.example\n"
    "account three\nhost three.invalid\nfrom joe+tag@three.example\n"
    "account four\nhost four.invalid\nfrom ann@three.example\nallow_from_override off\n"
    "account default : one\n"
)


def chosen(name: str, options: str, config: str = THREE, **more: object) -> Case:
    """What --pretend says about the choice."""
    return Case(name, f"-P {options}", config=config, **more)  # type: ignore[arg-type]


def mail(*header: str) -> bytes:
    """A mail with this header."""
    return "\n".join([*header, "", "Hello.", ""]).encode()


# fmt: off
CASES = [
    chosen("the default account", ""),
    chosen("-a", "-a two -f x@two.example"),
    chosen("-a unknown", "-a nowhere"),
    chosen("-a with a near miss", "-a tow"),
    chosen("-a default", "-a default"),
    chosen("no default account", "", "account one\nhost one.invalid\n"),
    chosen("-f exact", "-f joe@one.example"),
    chosen("-f in another case of letters", "-f JOE@One.Example"),
    chosen("-f with a detail", "-f joe+list@one.example"),
    chosen("-f with a detail the account has", "-f joe+tag@three.example"),
    chosen("-f with another detail than the account has", "-f joe+other@three.example"),
    chosen("-f without the detail the account has", "-f joe@three.example"),
    chosen("-f by a wildcard", "-f whoever@two.example"),
    chosen("-f by a wildcard, in another case of letters", "-f whoever@TWO.example"),
    chosen("-f by a wildcard, with a detail", "-f who+ever@two.example", expect=Differs("newer", until=(1, 8, 27), stdout=[("falling back to default account", "account chosen by envelope from address who+ever@two.example: two"), ("using account default", "using account two"), ("host = one.invalid", "host = two.invalid")])),
    chosen("-f that fits none", "-f nobody@nowhere.example"),
    chosen("-f that fits none, no default account", "-f nobody@nowhere.example", "account one\nhost h.invalid\nfrom a@b.example\n"),
    chosen("-f of an account that does not allow others", "-f ann@three.example"),
    chosen("-f with a detail, account does not allow others", "-f ann+x@three.example"),
    chosen("-a, account does not allow others", "-a four -f somebody@else.example"),
    chosen("-f <> with wildcards", "-f '<>'", "account default\nhost h.invalid\nfrom *\n"),
    chosen("? and [a-c]", "-f bob1@x.example", "account one\nhost one.invalid\nfrom bob?@x.example\naccount default\nhost h.invalid\nfrom [a-c]*@x.example\n"),
    chosen("[!a]", "-f bob@x.example", "account one\nhost one.invalid\nfrom [!a]ob@x.example\naccount default\nhost h.invalid\n"),
    chosen("[[:alpha:]]", "-f bob@x.example", "account one\nhost one.invalid\nfrom [[:alpha:]]ob@x.example\naccount default\nhost h.invalid\n"),
    chosen("the first that fits counts", "-f joe@x.example", "account one\nhost one.invalid\nfrom *@x.example\naccount two\nhost two.invalid\nfrom joe@x.example\n"),
    chosen("an exact match with a wildcard in it", "-f '*@two.example'"),
    chosen("the system's accounts come first", "-f joe@x.example", "account mine\nhost mine.invalid\nfrom *@x.example\n", etc={"msmtprc": "account sys\nhost sys.invalid\nfrom *@x.example\n"}),
    chosen("from with %U is matched as written", "-f joe@x.example", "account one\nhost one.invalid\nfrom %U@x.example\naccount default\nhost h.invalid\n"),
    # -- from the mail
    chosen("--read-envelope-from", "--read-envelope-from", mail=mail("From: Joe <joe@one.example>")),
    chosen("--read-envelope-from with Resent-From first", "--read-envelope-from", mail=mail("Resent-From: a@two.example", "From: joe@one.example"), expect=Differs("newer", until=(1, 8, 27), stdout=[("from mail: joe@one.example", "from mail: a@two.example"), ("address joe@one.example: one", "address a@two.example: two"), ("using account one", "using account two"), ("host = one.invalid", "host = two.invalid"), ("from = joe@one.example", "from = a@two.example")])),
    chosen("--read-envelope-from with Resent-From last", "--read-envelope-from", mail=mail("From: joe@one.example", "Resent-From: a@two.example")),
    chosen("--read-envelope-from of two authors", "--read-envelope-from", mail=mail("From: a@two.example, joe@one.example")),
    chosen("--read-envelope-from without From", "--read-envelope-from", mail=mail("Subject: x"), expect=Differs("newer", until=(1, 8, 30), exit=(0, 64), stderr="msmtp: no envelope from address found\nmsmtp: the mail has no From header with an address", stdout="")),
    chosen("--read-envelope-from and -a", "--read-envelope-from -a two", mail=mail("From: joe@one.example")),
    chosen("--read-envelope-from, account does not allow it", "--read-envelope-from -a four", mail=mail("From: joe@one.example")),
    chosen("--read-envelope-from and --host", "--read-envelope-from --host=h.invalid", mail=mail("From: joe@one.example")),
    # -- the environment
    chosen("SMTPSERVER and EMAIL", "", "-", environment={"SMTPSERVER": "env.invalid", "EMAIL": "env@example.org"}),
    chosen("SMTPSERVER alone", "", "-", environment={"SMTPSERVER": "env.invalid"}),
    chosen("SMTPSERVER and -f", "-f me@example.org", "-", environment={"SMTPSERVER": "env.invalid"}),
    chosen("EMAIL alone", "", "-", environment={"EMAIL": "env@example.org"}),
    chosen("SMTPSERVER, EMAIL and -f", "-f me@example.org", "-", environment={"SMTPSERVER": "env.invalid", "EMAIL": "env@example.org"}),
    chosen("SMTPSERVER with accounts but no default", "", "account one\nhost one.invalid\n", environment={"SMTPSERVER": "env.invalid", "EMAIL": "env@example.org"}),
    chosen("SMTPSERVER with a default account", "", environment={"SMTPSERVER": "env.invalid", "EMAIL": "env@example.org"}),
    chosen("SMTPSERVER with -a", "-a one", environment={"SMTPSERVER": "env.invalid", "EMAIL": "env@example.org"}),
    chosen("SMTPSERVER and options", "--tls --user=joe", "-", environment={"SMTPSERVER": "env.invalid", "EMAIL": "env@example.org"}),
    # -- what goes over the wire
    Case("-f on the wire", "-f bob@example.org ann@example.net"),
    Case("-f that the account does not allow", "-f bob@example.org ann@example.net", config="account default\nhost 127.0.0.1\nport {port}\nfrom joe@example.org\nallow_from_override off\n"),
    Case("the null sender", "-f '<>' ann@example.net"),
    Case("MAILER-DAEMON is the null sender", "-f MAILER-DAEMON ann@example.net"),
    Case("mailer-daemon is the null sender", "-f mailer-daemon ann@example.net"),
    Case("from <> in the file", "ann@example.net", config="account default\nhost 127.0.0.1\nport {port}\nfrom <>\n", expect=Differs("null-sender", commands=("<<>>", "<>"))),
    Case("an empty -f", "-f '' ann@example.net"),
    Case("a wildcard without -f", "ann@example.net", config="account default\nhost 127.0.0.1\nport {port}\nfrom *@example.org\n", expect=Differs("wildcard-sender", exit=(0, 78), stderr="msmtp: account default from HOME/.msmtprc: envelope-from address is missing\nmsmtp: 'from *@example.org' is a pattern: say which address to use with --from or --read-envelope-from", **NOT_SENT)),
    Case("a wildcard with -f", "-f joe@example.org ann@example.net", config="account default\nhost 127.0.0.1\nport {port}\nfrom *@example.org\n"),
    Case("auto_from on the wire", "--auto-from --maildomain=x.example ann@example.net"),
    Case("auto_from without domain", "--auto-from ann@example.net"),
    Case("--read-envelope-from on the wire", "--read-envelope-from ann@example.net", mail=mail("From: Joe (the one) <bob@example.org>, x@y.example")),
    Case("--read-envelope-from without From on the wire", "--read-envelope-from ann@example.net", mail=mail("Subject: x"), expect=Differs("newer", until=(1, 8, 30), exit=(78, 64), stderr="msmtp: no envelope from address found\nmsmtp: the mail has no From header with an address")),
    Case("--host on the wire", "--host=127.0.0.1 --port={port} -f joe@example.org ann@example.net", config="-"),
    Case("--host without from", "--host=127.0.0.1 --port={port} ann@example.net", config="-"),
    Case("%U and %H on the wire", "ann@example.net", config="account default\nhost 127.0.0.1\nport {port}\nfrom %U@%H\ndomain %H\n"),
    Case("%F", "-t", config="account default\nhost 127.0.0.1\nport {port}\nfrom %F\n", expect=Differs("newer", until=(1, 8, 28), commands=("<%F>", "<joe@example.org>"))),
    Case("-r is -f", "-r bob@example.org ann@example.net", expect=Differs("sendmail-options", exit=(64, 0), stderr="", **SENT)),
]
# fmt: on


@all_of(CASES)
def test_both(case: Case, bed: Bed) -> None:
    bed.check(case)
