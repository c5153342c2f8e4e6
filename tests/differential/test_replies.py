"""What the server answers, at each step, and what is said, logged and returned then."""

from __future__ import annotations

from tests.differential.servers import Patient
from tests.support.differential import SAME, SENT, Bed, Case, Change, Differs, all_of, exits, shows
from tests.support.scripted import DROP, RESET, Answer, Polite, Say, dialogue

from msmtp.exits import EX_DATAERR, EX_IOERR, EX_OK, EX_PROTOCOL, EX_TEMPFAIL, EX_UNAVAILABLE

BASE = "account default\nhost 127.0.0.1\nport {port}\nfrom joe@example.org\nlogfile ~/log\n"


def reply(
    name: str,
    step: str,
    answer: Answer | list[Answer],
    options: str = "ann@example.net",
    *,
    extensions: tuple[str, ...] = ("PIPELINING",),
    lmtp: bool = False,
    **more: object,
) -> Case:
    """One answer other than the one that is due."""
    server = Patient(extensions=extensions, replies={step: answer}, lmtp=lmtp)
    return Case(name, options, server=server, **{"config": LMTP if lmtp else BASE, **more})  # type: ignore[arg-type]


STEPS = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "message")
LMTP = BASE + "protocol lmtp\n"
EMPTY = "the server sent an empty reply"
INVALID = "the server sent an invalid reply"
UNCERTAIN: tuple[str, str] = (
    "msmtp: could not send",
    "msmtp: the server may have taken the mail all the same: it was sent to its end\nmsmtp: could not send",
)


def deferred(step: str) -> Differs:
    """What follows from 4xx at a step."""
    if step == "EHLO":
        words = "SMTP server does not accept EHLO or HELO commands"
        stderr, log = shows(f"{words}\nmsmtp: server message: 4"), shows(f"errormsg='{words}' exitcode=EX_TEMPFAIL")
        return Differs(
            "ehlo-deferred",
            exit=(EX_OK, EX_TEMPFAIL),
            stderr=stderr,
            log=log,
            commands="EHLO localhost",
            header="",
            body="",
        )
    if step == "greeting":
        return exits("exit-not-ready", EX_PROTOCOL, EX_TEMPFAIL)
    return exits("exit-deferred", EX_UNAVAILABLE, EX_TEMPFAIL)


def refused(step: str) -> Differs:
    """What follows from 5xx."""
    return exits("exit-refused", EX_UNAVAILABLE, EX_DATAERR) if step == "message" else SAME


def lost(step: str, theirs: int) -> Differs:
    """What follows from the end of the connection."""
    if step == "message":
        return exits("exit-lost uncertain", theirs, EX_TEMPFAIL, stderr=UNCERTAIN)
    return exits("exit-lost", theirs, EX_TEMPFAIL)


def cut(step: str) -> Differs:
    """What follows from the end of the connection in the middle of a reply."""
    words: list[tuple[str, str]] = [(INVALID, EMPTY)]
    log = [*words, ("EX_PROTOCOL", "EX_TEMPFAIL")]
    rows = "exit-lost uncertain" if step == "message" else "exit-lost"
    return Differs(
        rows, exit=(EX_PROTOCOL, EX_TEMPFAIL), stderr=[*words, UNCERTAIN] if step == "message" else words, log=log
    )


def quoted(what: str) -> Differs:
    """What is no reply stands behind the C program's words."""
    change: Change = (INVALID, f"{INVALID}: {what}")
    return Differs("invalid-quoted", stderr=change, log=change)


def cleaner(their: str, our: str) -> bool:
    """The dialogue of --debug has no carriage returns, and ends when QUIT is said."""
    theirs, ours = ([line for line in text.split("\n") if line[:4] in {"--> ", "<-- "}] for text in (their, our))
    return all(line.endswith("\r") for line in theirs) and [line + "\r" for line in ours] == theirs[:-1]


TWO = "ann@example.net bob@example.com"
LATER, NO, CLOSING = "450 4.2.0 not now", "550 5.7.1 no", "421 4.3.2 going down"
LINES = "550-5.1.1 No such user.\n550-5.1.1 See https://x.example/\n550 5.1.1 Really."
OLD_CODES = "--exit-codes=upstream"

# fmt: off
CASES = [
    Case("all is well", config=BASE),
    *(reply(f"{step}: 4xx", step, LATER, expect=deferred(step)) for step in STEPS),
    *(reply(f"{step}: 4xx, the old codes", step, LATER, switch=OLD_CODES) for step in STEPS if step != "EHLO"),
    *(reply(f"{step}: 5xx", step, NO, expect=refused(step)) for step in STEPS),
    *(reply(f"{step}: 5xx, the old codes", step, NO, switch=OLD_CODES) for step in STEPS),
    *(reply(f"{step}: 421", step, CLOSING, expect=deferred(step)) for step in STEPS),
    *(reply(f"{step}: 421 and close", step, Say(CLOSING, then=DROP), expect=deferred(step)) for step in STEPS if step != "EHLO"),
    *(reply(f"{step}: the connection ends", step, DROP, expect=lost(step, EX_PROTOCOL)) for step in STEPS),
    *(reply(f"{step}: the connection ends, the old codes", step, DROP, switch=OLD_CODES) for step in STEPS[:-1]),
    reply("QUIT: the connection ends", "QUIT", DROP),
    *(reply(f"{step}: the connection is reset", step, RESET, expect=lost(step, EX_IOERR)) for step in STEPS[1:]),
    *(reply(f"{step}: the connection is reset, the old codes", step, RESET, switch=OLD_CODES) for step in STEPS[1:-1]),
    *(reply(f"{step}: no SMTP", step, "hello there", expect=quoted("hello there")) for step in STEPS),
    *(reply(f"{step}: half a reply", step, Say(b"250 o", then=DROP), expect=cut(step)) for step in STEPS),
    *(reply(f"{step}: several lines of 5xx", step, LINES, expect=refused(step)) for step in STEPS),
    *(reply(f"{step}: 4xx, no PIPELINING", step, LATER, extensions=(), expect=deferred(step)) for step in STEPS[2:]),
    *(reply(f"{step}: 5xx, no PIPELINING", step, NO, extensions=(), expect=refused(step)) for step in STEPS[2:]),
    # -- other codes of the right class
    reply("greeting: 221", "greeting", "221 hello", expect=Differs("reply-class", stderr=("cannot get initial OK message from server", "the server sent an invalid reply to greeting: 221 hello"), log=("cannot get initial OK message from server", "the server sent an invalid reply to greeting: 221 hello"))),
    reply("greeting: 554", "greeting", "554 no service"),
    reply("greeting: several lines", "greeting", "220-one\n220-two\n220 three"),
    reply("greeting in pieces", "greeting", Say("220 hello", chunks=(1,))),
    reply("EHLO: 500, then HELO", "EHLO", "500 what?"),
    reply("EHLO: 502, then HELO", "EHLO", "502 what?"),
    reply("EHLO: 251", "EHLO", "251 what?"),
    reply("MAIL: 251", "MAIL", "251 ok", expect=Differs("reply-class", exit=(EX_DATAERR, EX_OK), stderr="", log=shows("mailsize=", "exitcode=EX_OK"), commands=("DATA", "DATA\nQUIT"), header=shows("From: "), body=shows("Hello."))),
    reply("RCPT: 251", "RCPT", "251 will forward"),
    reply("RCPT: 552", "RCPT", "552 too many", expect=exits("rcpt-552", EX_DATAERR, EX_TEMPFAIL)),
    reply("RCPT: 552, the old codes", "RCPT", "552 too many", switch=OLD_CODES),
    reply("RCPT: 252", "RCPT", "252 cannot verify", expect=Differs("reply-class", exit=(EX_DATAERR, EX_OK), stderr="", log=shows("mailsize=", "exitcode=EX_OK"), commands=("DATA", "DATA\nQUIT"), header=shows("From: "), body=shows("Hello."))),
    reply("RCPT: 253", "RCPT", "253 well", expect=Differs("reply-class", exit=(EX_DATAERR, EX_OK), stderr="", log=shows("mailsize=", "exitcode=EX_OK"), commands=("DATA", "DATA\nQUIT"), header=shows("From: "), body=shows("Hello."))),
    reply("DATA: 250", "DATA", "250 ok", expect=Differs("reply-class", exit=(EX_DATAERR, EX_PROTOCOL), stderr=("the server does not accept mail data", "the server sent an invalid reply to DATA: 250 ok"), log=[("the server does not accept mail data", "the server sent an invalid reply to DATA: 250 ok"), ("EX_DATAERR", "EX_PROTOCOL")])),
    reply("DATA: 355", "DATA", "355 ok", expect=Differs("reply-class", exit=(EX_DATAERR, EX_PROTOCOL), stderr=("the server does not accept mail data", "the server sent an invalid reply to DATA: 355 ok"), log=[("the server does not accept mail data", "the server sent an invalid reply to DATA: 355 ok"), ("EX_DATAERR", "EX_PROTOCOL")])),
    reply("message: 251", "message", "251 ok", expect=Differs("reply-class", exit=(EX_UNAVAILABLE, EX_OK), stderr="", log=shows("mailsize=", "exitcode=EX_OK"), commands=("DATA", "DATA\nQUIT"))),
    reply("message: 354", "message", "354 more", expect=Differs("reply-class", exit=(EX_UNAVAILABLE, EX_PROTOCOL), stderr=("the server did not accept the mail", "the server sent an invalid reply to content: 354 more"), log=[("the server did not accept the mail", "the server sent an invalid reply to content: 354 more"), ("EX_UNAVAILABLE", "EX_PROTOCOL")])),
    reply("QUIT: 5xx", "QUIT", "500 no"),
    reply("QUIT: no SMTP", "QUIT", "bye"),
    reply("message: several lines", "message", "250-2.0.0 taken\n250 2.0.0 id 42"),
    reply("message: enhanced codes only", "message", "550 5.7.1", expect=refused("message")),
    reply("a reply of a code alone", "message", "250", expect=Differs("reply-form", exit=(EX_PROTOCOL, EX_OK), stderr="", log=shows("mailsize=", "exitcode=EX_OK"), commands=("DATA", "DATA\nQUIT"))),
    reply("a reply with a tab", "RCPT", "550 no\tway"),
    reply("a reply with quotes and control characters", "RCPT", b"550 don't \x1b[31m do \x01 that\r\n"),
    reply("a reply in UTF-8", "RCPT", "550 gibt’s nicht: Jöe"),
    reply("a reply in Latin-1", "RCPT", b"550 J\xf6e\r\n"),
    reply("replies that end in LF", "RCPT", b"550 no\n"),
    reply("codes that change between lines", "RCPT", "550-no\n450 later", expect=Differs("reply-form", exit=(EX_DATAERR, EX_PROTOCOL), stderr="msmtp: the server sent an invalid reply: 450 later (550 was to follow)\nmsmtp: could not send mail (account default from HOME/.msmtprc)", log=shows("errormsg='the server sent an invalid reply: 450 later (550 was to follow)' exitcode=EX_PROTOCOL"))),
    reply("a code of two digits", "RCPT", "55 no", expect=quoted("55 no")),
    reply("a code of four digits", "RCPT", "5500 no", expect=quoted("5500 no")),
    reply("a code of 9xx", "RCPT", "950 no", expect=Differs("reply-form", exit=(EX_DATAERR, EX_PROTOCOL), stderr="msmtp: the server sent an invalid reply: 950 no\nmsmtp: could not send mail (account default from HOME/.msmtprc)", log=shows("errormsg='the server sent an invalid reply: 950 no' exitcode=EX_PROTOCOL"))),
    reply("a code without blank", "RCPT", "550no", expect=quoted("550no")),
    reply("a reply line of 1000 octets", "RCPT", "550 " + "x" * 996),
    reply("a reply line of 2000 octets", "RCPT", "550 " + "x" * 1996, expect=Differs("reply-limits", exit=(EX_PROTOCOL, EX_DATAERR), stderr=shows("server message: 550 xxx"), log=shows("smtpmsg='550 xxx"))),
    reply("a reply of 40 lines", "RCPT", "\n".join([*(f"550-line {number}" for number in range(39)), "550 end"]), expect=Differs("reply-limits", stderr=shows("server message: 550-line 19\nmsmtp: server message: 550 ... (20 more lines)\n"), log=shows("550-line 19\\n550 ... (20 more lines)'"))),
    reply("a reply of 60 lines", "RCPT", "\n".join([*(f"550-line {number}" for number in range(59)), "550 end"]), expect=Differs("reply-limits", exit=(EX_PROTOCOL, EX_DATAERR), stderr=shows("server message: 550-line 19\nmsmtp: server message: 550 ... (40 more lines)\n"), log=shows("550-line 19\\n550 ... (40 more lines)'"))),
    reply("an empty line for a reply", "RCPT", b"\r\n", expect=quoted("an empty line")),
    # -- recipients
    reply("the second recipient is refused", "RCPT", ["250 ok", "550 5.1.1 who?"], TWO),
    reply("the second recipient is deferred", "RCPT", ["250 ok", "450 4.2.0 later"], TWO, expect=deferred("RCPT")),
    reply("the first recipient is refused", "RCPT", ["550 5.1.1 who?", "250 ok"], TWO),
    reply("the first is deferred, the second refused", "RCPT", [LATER, "550 5.1.1 who?"], TWO, expect=Differs("several-refusals", exit=(EX_UNAVAILABLE, EX_DATAERR), stderr=[("ann@example.net", "bob@example.com"), (LATER, "550 5.1.1 who?")], log=shows("smtpmsg='550 5.1.1 who?' errormsg='recipient address bob@example.com not accepted by the server' exitcode=EX_DATAERR"))),
    reply("the second recipient is refused, partial_recipients", "RCPT", ["250 ok", "550 5.1.1 who?"], TWO, switch="--partial-recipients", expect=Differs("new-options", stderr=("could not send mail", "could not send mail to all recipients"), log=shows("mailsize=131", "errormsg='delivery to one or more recipients failed' exitcode=EX_DATAERR"), commands=("DATA", "DATA\nQUIT"), header=shows("From: "), body=shows("Hello."))),
    reply("both recipients are refused", "RCPT", ["550 5.1.1 who?", "550 5.1.1 and who?"], TWO),
    reply("the first is refused, the second deferred", "RCPT", ["550 5.1.1 who?", "450 4.2.0 later"], TWO),
    reply("the second recipient is refused, no PIPELINING", "RCPT", ["250 ok", "550 5.1.1 who?"], "ann@example.net bob@example.com eve@example.com", extensions=()),
    # -- extensions
    reply("HELO is refused, too", "EHLO", "550 no", config=BASE),
    Case("no extension at all", config=BASE, server=Polite(extensions=())),
    Case("an EHLO answer without text", config=BASE, server=Polite(replies={"EHLO": "250"}), expect=Differs("reply-form", exit=(EX_PROTOCOL, EX_OK), stderr="", log=shows("mailsize=", "exitcode=EX_OK"), **SENT)),
    Case("SIZE is offered", config=BASE, server=Polite(extensions=("PIPELINING", "SIZE 10000")), expect=Differs("size", commands=("<joe@example.org>", "<joe@example.org> SIZE=138"))),
    Case("SIZE without limit", config=BASE, server=Polite(extensions=("PIPELINING", "SIZE"))),
    Case("SIZE is smaller than the mail", config=BASE, server=Polite(extensions=("PIPELINING", "SIZE 100")), expect=Differs("size", exit=(EX_OK, EX_DATAERR), stderr="msmtp: the mail has 138 bytes, but the server accepts at most 100\nmsmtp: make it smaller, or use a server that takes larger mails\nmsmtp: could not send mail (account default from HOME/.msmtprc)", log=shows("errormsg='the mail has 138 bytes, but the server accepts at most 100' exitcode=EX_DATAERR"), commands="EHLO localhost\nQUIT", header="", body="")),
    Case("8BITMIME is offered, 7-bit mail", config=BASE, server=Polite(extensions=("PIPELINING", "8BITMIME"))),
    Case("CHUNKING is offered", config=BASE, server=Polite(extensions=("PIPELINING", "CHUNKING")), expect=Differs("chunking", commands=("DATA", "BDAT 138 LAST"))),
    Case("SMTPUTF8 is offered, ASCII mail", config=BASE, server=Polite(extensions=("PIPELINING", "SMTPUTF8")), expect=[Differs("", until=(1, 8, 27)), Differs("smtputf8", until=(1, 8, 31), commands=(" SMTPUTF8", ""))]),
    Case("CHUNKING without PIPELINING", config=BASE, server=Polite(extensions=("CHUNKING",))),
    Case("CHUNKING, two recipients", TWO, config=BASE, server=Polite(extensions=("PIPELINING", "CHUNKING"))),
    Case("keywords in lower case", config=BASE, server=Polite(extensions=("pipelining", "dsn"))),
    Case("keywords that begin like known ones", config=BASE + "dsn_notify never\n", server=Polite(extensions=("PIPELINING", "DSNX")), expect=Differs("keywords", exit=(EX_OK, EX_UNAVAILABLE), stderr="msmtp: the server does not support DSN\nmsmtp: set dsn_notify and dsn_return off\nmsmtp: could not send mail (account default from HOME/.msmtprc)", log=shows("errormsg='the server does not support DSN' exitcode=EX_UNAVAILABLE"), commands="EHLO localhost\nQUIT", header="", body="")),
    Case("DSN", "-N failure,delay -R hdrs ann@example.net bob@example.com", config=BASE, server=Polite(extensions=("PIPELINING", "DSN"))),
    Case("DSN never", "-N never ann@example.net", config=BASE, server=Polite(extensions=("PIPELINING", "DSN"))),
    Case("DSN full", "-R full ann@example.net", config=BASE, server=Polite(extensions=("PIPELINING", "DSN"))),
    Case("DSN is not offered", "-N failure ann@example.net", config=BASE),
    Case("DSN return is not offered", "-R full ann@example.net", config=BASE),
    Case("-V is ENVID", "-V id=1 ann@example.net", config=BASE, server=Polite(extensions=("PIPELINING", "DSN")), expect=Differs("sendmail-options", exit=(64, 0), stderr="", log=shows("EX_OK"), commands=shows("MAIL FROM:<joe@example.org> ENVID=id+3D1"), header=shows("From: "), body=shows("Hello."))),
    Case("--domain in EHLO", "--domain=me.example ann@example.net", config=BASE),
    Case("--domain empty", "--domain= ann@example.net", config=BASE, expect=Differs("empty-domain", commands=("EHLO ", "EHLO localhost"))),
    Case("a domain with UTF-8", "--domain=bücher.example ann@example.net", config=BASE, expect=Differs("idn-domain", commands=("EHLO bücher.example", "EHLO xn--bcher-kva.example"))),
    Case("HELO gets the domain, too", "--domain=me.example ann@example.net", config=BASE, server=Polite(replies={"EHLO": "500 what?"})),
    # -- LMTP
    Case("LMTP", config=LMTP, server=Polite(extensions=("PIPELINING",), lmtp=True)),
    Case("LMTP, two recipients", TWO, config=LMTP, server=Polite(extensions=("PIPELINING",), lmtp=True)),
    reply("LMTP: one of two is refused at the end", "message", ["250 ok", "550 5.2.2 full"], TWO, lmtp=True, expect=exits("exit-partly lmtp-quit", EX_UNAVAILABLE, EX_DATAERR, commands=("DATA", "DATA\nQUIT"))),
    reply("LMTP: one of two is deferred at the end", "message", ["450 4.2.2 full", "250 ok"], TWO, lmtp=True, expect=exits("exit-partly lmtp-quit", EX_UNAVAILABLE, EX_TEMPFAIL, commands=("DATA", "DATA\nQUIT"))),
    reply("LMTP: both are refused at the end", "message", ["550 5.2.2 full", "552 5.2.3 large"], TWO, lmtp=True, expect=exits("exit-partly lmtp-quit", EX_UNAVAILABLE, EX_DATAERR, commands=("DATA", "DATA\nQUIT"))),
    reply("LMTP: one of two is refused at the end, the old codes", "message", ["250 ok", "550 5.2.2 full"], TWO, lmtp=True, switch=OLD_CODES, expect=Differs("lmtp-quit", commands=("DATA", "DATA\nQUIT"))),
    reply("LMTP: one recipient is refused at RCPT", "RCPT", ["250 ok", "550 5.1.1 who?"], TWO, lmtp=True),
    reply("LMTP: LHLO is refused", "LHLO", "500 what?", lmtp=True),
    reply("LMTP: the connection ends between two replies", "message", ["250 ok", DROP], TWO, lmtp=True, expect=Differs("crashes uncertain", exit=(-11, EX_TEMPFAIL), stderr="msmtp: the server sent an empty reply\nmsmtp: the server may have taken the mail all the same: it was sent to its end\nmsmtp: could not send mail (account default from HOME/.msmtprc)", log=shows("exitcode=EX_TEMPFAIL"))),
    reply("LMTP: several lines for one recipient", "message", ["250 ok", "550-5.2.2 full\n550 5.2.2 really"], TWO, lmtp=True, expect=exits("exit-partly lmtp-quit", EX_UNAVAILABLE, EX_DATAERR, commands=("DATA", "DATA\nQUIT"))),
    Case("LMTP to an SMTP server", config=LMTP, server=Polite(replies={"LHLO": "500 what?"})),
    # -- the conversation itself
    Case("a server that says too much at once", config=BASE, server=dialogue(
        """
        S: 220 hi
        S: 250 surprise
        C: EHLO *
        S: 250 hi
        C: *
        S: 250 ok
        C: *
        S: 250 ok
        C: *
        S: 354 ok
        DATA
        S: 250 ok
        C: *
        S: 221 ok
        """), expect=Differs("reply-class", exit=(EX_DATAERR, EX_PROTOCOL), stderr=("the server does not accept mail data", "the server sent an invalid reply to DATA: 250 ok"), log=[("the server does not accept mail data", "the server sent an invalid reply to DATA: 250 ok"), ("EX_DATAERR", "EX_PROTOCOL")])),
    Case("--debug shows the conversation", "--debug ann@example.net", config="account default\nhost 127.0.0.1\nport {port}\nfrom joe@example.org\n", server=Polite(extensions=())),
    Case("--debug shows the conversation, PIPELINING", "--debug ann@example.net bob@example.com", config="account default\nhost 127.0.0.1\nport {port}\nfrom joe@example.org\n"),
    Case("--debug shows lines as they are, and not the answer to QUIT", "--debug ann@example.net", server=Polite(extensions=()), expect=Differs("debug-lines", stdout=cleaner)),
    Case("--debug shows a refusal", "-d ann@example.net", config=BASE, server=Polite(extensions=(), replies={"RCPT": "550-5.1.1 no\n550 5.1.1 such"})),
]
# fmt: on


@all_of(CASES)
def test_both(case: Case, bed: Bed) -> None:
    bed.check(case)
