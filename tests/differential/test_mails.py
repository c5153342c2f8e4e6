"""Mails of every form, and what becomes of header and body."""

from __future__ import annotations

from tests.support.differential import NOT_SENT, SENT, Bed, Case, Differs, all_of, shows
from tests.support.scripted import Polite

CAPABLE = Polite(extensions=("PIPELINING", "8BITMIME", "SMTPUTF8"))


def mail(name: str, content: bytes | str, options: str = "ann@example.net", **more: object) -> Case:
    """What this mail becomes."""
    octets = content if isinstance(content, bytes) else content.encode()
    return Case(name, options, mail=octets, **more)  # type: ignore[arg-type]


def header(name: str, *lines: str, options: str = "ann@example.net", **more: object) -> Case:
    """What a header becomes that has these lines beside Date and Message-ID."""
    content = "\n".join(
        [*lines, "Date: Mon, 01 Jan 2001 00:00:00 +0000", "Message-ID: <1@example.org>", "", "Hello.", ""]
    )
    return mail(name, content, options, **more)


WHOLE = (
    "From: joe@example.org\nTo: ann@example.net\nDate: Mon, 01 Jan 2001 00:00:00 +0000\nMessage-ID: <1@example.org>\n"
)

UTF8_HEADER = [
    Differs("smtputf8", until=(1, 8, 27), commands=("<joe@example.org>", "<joe@example.org> BODY=8BITMIME SMTPUTF8")),
    Differs("eight-bit", until=(1, 8, 31), commands=("SMTPUTF8", "BODY=8BITMIME SMTPUTF8")),
    Differs("smtputf8", commands=("<joe@example.org>", "<joe@example.org> BODY=8BITMIME SMTPUTF8")),
]

# fmt: off
CASES = [
    Case("a plain mail"),
    # -- form of the mail
    mail("nothing at all", ""),
    mail("only a header", WHOLE),
    mail("only a header, without its last line end", WHOLE.rstrip("\n")),
    mail("header and empty line", WHOLE + "\n"),
    mail("a body without a last line end", WHOLE + "\nHello."),
    mail("a body of one line end", WHOLE + "\n\n"),
    mail("a body of words, no header", "Hello.\nHow are you?\n", expect=Differs("no-header", header=("\nHello.\nHow are you?\n", ""), body="Hello.\nHow are you?\n")),
    mail("an empty line, then words", "\nHello.\n"),
    mail("CRLF line ends", (WHOLE + "\nHello.\n").replace("\n", "\r\n")),
    mail("CRLF in the header, LF in the body", WHOLE.replace("\n", "\r\n") + "\r\nHello.\nYou.\n"),
    mail("a CR in the middle of a body line", WHOLE + "\nHel\rlo.\n", expect=Differs("bare-cr", body=("Hel\\rlo", "Hel lo"))),
    mail("a CR at the end of the mail", WHOLE + "\nHello.\r", expect=Differs("bare-cr", body=("Hello.\\r", "Hello."))),
    mail("two CR before a line end", WHOLE + "\nHello.\r\r\nYou.\r\r\n", expect=Differs("bare-cr", body=[("Hello.\\r", "Hello. "), ("You.\\r", "You. ")])),
    mail("a CR alone on a line", WHOLE + "\n\r\nx\n\r\r\n", expect=Differs("bare-cr", body=("\nx\n\\r", "\nx\n "))),
    mail("dots at the beginnings of lines", WHOLE + "\n.\n..\n.x\n...\n. \nx.\n"),
    mail("a dot is all there is", WHOLE + "\n."),
    mail("a dot behind a bare CR", WHOLE + "\nx\r.\r\n.\n", expect=Differs("bare-cr", body=("x\\r.", "x ."))),
    mail("LF dot LF", WHOLE + "\nx\n.\ny\n"),
    mail("a long line", WHOLE + "\n" + "x" * 5000 + "\ny\n"),
    mail("a long header line", WHOLE + "X-Long: " + "x " * 4000 + "\n\nHello.\n"),
    mail("many lines", WHOLE + "\n" + "".join(f".line {number}\n" for number in range(3000))),
    mail("a NUL in the body", WHOLE + "\na\0b\n"),
    mail("8-bit octets in the body, server with 8BITMIME", (WHOLE + "\nJ\u00f6e\n").encode("latin-1"), server=CAPABLE, expect=[Differs("eight-bit newer", until=(1, 8, 27), commands=("<joe@example.org>", "<joe@example.org> BODY=8BITMIME")), Differs("eight-bit smtputf8", until=(1, 8, 31), commands=("SMTPUTF8", "BODY=8BITMIME")), Differs("eight-bit", commands=("<joe@example.org>", "<joe@example.org> BODY=8BITMIME"))]),
    mail("8-bit octets in the body, server without 8BITMIME", (WHOLE + "\nJ\u00f6e\n").encode("latin-1"), expect=Differs("eight-bit", exit=(0, 65), stderr="msmtp: the mail has 8-bit characters, but the server does not support 8BITMIME\nmsmtp: encode the mail (quoted-printable or base64), or set missing_extension to 'send' to send it all the same\nmsmtp: could not send mail (account default from HOME/.msmtprc)", commands="EHLO localhost\nQUIT", header="", body="")),
    mail("8-bit octets in the body, missing_extension send", (WHOLE + "\nJöe\n").encode(), switch="--missing-extension=send"),
    mail("UTF-8 in the header, server with SMTPUTF8", WHOLE + "Subject: Jöe\n\nHello.\n", server=CAPABLE, expect=UTF8_HEADER),
    mail("UTF-8 in the header, server without SMTPUTF8", WHOLE + "Subject: Jöe\n\nHello.\n", expect=Differs("smtputf8", exit=(0, 65), stderr="msmtp: the header of the mail has UTF-8 in it, but the server does not support SMTPUTF8\nmsmtp: encode the mail (quoted-printable or base64), or set missing_extension to 'send' to send it all the same\nmsmtp: could not send mail (account default from HOME/.msmtprc)", commands="EHLO localhost\nQUIT", header="", body="")),
    mail("UTF-8 in the header, missing_extension send", WHOLE + "Subject: Jöe\n\nHello.\n", switch="--missing-extension=send"),
    mail("Latin-1 in the header, server with 8BITMIME", (WHOLE + "Subject: J\u00f6e\n\nHello.\n").encode("latin-1"), server=CAPABLE, expect=[Differs("eight-bit", until=(1, 8, 27), commands=("<joe@example.org>", "<joe@example.org> BODY=8BITMIME")), Differs("eight-bit smtputf8", until=(1, 8, 31), commands=("SMTPUTF8", "BODY=8BITMIME")), Differs("eight-bit", commands=("<joe@example.org>", "<joe@example.org> BODY=8BITMIME"))]),
    mail("control characters in the body", WHOLE + "\n\x01\x1b[0m\x7f\t\f\n"),
    mail("an mbox line before the header", "From joe Mon Jan  1 00:00:00 2001\n" + WHOLE + "\nHello.\n", expect=Differs("mbox-line", header=("From joe Mon Jan  1 00:00:00 2001\n", ""))),
    mail("an escaped mbox line before the header", ">From joe Mon Jan  1 00:00:00 2001\n" + WHOLE + "\nHello.\n", expect=Differs("mbox-line", header=(">From joe Mon Jan  1 00:00:00 2001\n", ""))),
    mail("From at the beginning of a body line", WHOLE + "\nFrom here on\n>From\n"),
    mail("a malformed line in the header", "From: joe@example.org\nthis is no field\nBcc: x@y.example\n" + WHOLE[22:] + "\nHello.\n"),
    mail("a field with blanks before its colon", "From : joe@example.org\n" + WHOLE[22:] + "\nHello.\n", expect=Differs("blank-before-colon", header=("From: joe@example.org\nFrom : joe@example.org", "From : joe@example.org"))),
    mail("a field without value", WHOLE + "Subject:\n\nHello.\n"),
    mail("folded fields", WHOLE + "Subject: one\n two\n\tthree\nX: y\n\nHello.\n"),
    mail("a header that begins with a fold", " folded\n" + WHOLE + "\nHello.\n", expect=Differs("no-header", header="From: joe@example.org\nDate: (now)\nMessage-ID: <(token)@example.org>", body=" folded\n" + WHOLE + "\nHello.\n")),
    mail("a line of blanks in the header", WHOLE + "Subject: a\n  \n b\nX: y\n\nHello.\n"),
    mail("a field name alone", "Subject\n\nHello.\n", expect=Differs("no-header", header=("\nSubject", ""), body="Subject\n\nHello.\n")),
    mail("a NUL in the header", WHOLE + "X: a\0b\n\nHello.\n"),
    mail("UTF-8 in From and To, server with SMTPUTF8", WHOLE.replace("joe@", "Jöe <joe@").replace("org\nTo", "org>\nTo") + "\nHello.\n", server=CAPABLE, expect=UTF8_HEADER),
    mail("a form feed and a vertical tab in the header", WHOLE + "X: a\fb\vc\n\nHello.\n"),
    mail("a colon first", ": x\n" + WHOLE + "\nHello.\n", expect=Differs("no-header", header="From: joe@example.org\nDate: (now)\nMessage-ID: <(token)@example.org>", body=": x\n" + WHOLE + "\nHello.\n")),
    mail("a URL first", "http://x.example/\n\nHello.\n"),
    mail("words with a colon, no header", "Hello: how are you?\nFine.\n"),
    mail("an empty line of blanks, then words", "  \nHello.\n", expect=Differs("no-header", header=("\n  \nHello.\n", ""), body="  \nHello.\n")),
    mail("fields after a dot line", WHOLE + "\n.\nBcc: x@y.example\n"),
    mail("trailing empty lines", WHOLE + "\nHello.\n\n\n"),
    mail("a body of one dot line without its end", WHOLE + "\nx\n."),
    mail("1 MiB", WHOLE + "\n" + ("x" * 71 + "\n") * 14563),
    mail("1 MiB in one line", WHOLE + "\n" + "x" * (1 << 20)),
    # -- what is added
    mail("a mail without From, Date and Message-ID", "To: ann@example.net\n\nHello.\n"),
    mail("set_from_header off", "To: ann@example.net\n\nHello.\n", "--set-from-header=off ann@example.net"),
    mail("set_date_header off", "To: ann@example.net\n\nHello.\n", "--set-date-header=off ann@example.net"),
    mail("set_msgid_header off", "To: ann@example.net\n\nHello.\n", "--set-msgid-header=off ann@example.net"),
    mail("nothing added", "To: ann@example.net\n\nHello.\n", "--set-from-header=off --set-date-header=off --set-msgid-header=off ann@example.net"),
    mail("no header and nothing added", "Hello.\n", "--set-from-header=off --set-date-header=off --set-msgid-header=off ann@example.net", expect=Differs("no-header", header=("Hello.", "\nHello."))),
    mail("nothing at all and nothing added", "", "--set-from-header=off --set-date-header=off --set-msgid-header=off ann@example.net"),
    header("set_from_header on", "From: else@where.example", "To: ann@example.net", options="--set-from-header=on ann@example.net"),
    header("set_from_header on, From is folded", "To: ann@example.net", "From: else@where.example,", " two@where.example", "X: y", options="--set-from-header=on ann@example.net"),
    header("set_from_header on, From twice", "From: one@where.example", "From: two@where.example", options="--set-from-header=on ann@example.net"),
    header("set_from_header on, null sender", "From: one@where.example", options="--set-from-header=on -f '<>' ann@example.net", expect=Differs("from-of-nobody", header=("From: ", "From: one@where.example"))),
    header("no From, null sender", "Subject: x", options="-f '<>' ann@example.net", expect=Differs("from-of-nobody", header=("From: \n", ""))),
    header("no From, MAILER-DAEMON", "Subject: x", options="-f MAILER-DAEMON ann@example.net"),
    header("From without value", "From:", "Subject: x"),
    header("from in lower case", "from: joe@example.org"),
    header("Resent-From is no From", "Resent-From: joe@example.org", expect=[Differs("", until=(1, 8, 27)), Differs("resent-from", header=("Resent-From:", "From: joe@example.org\nResent-From:"))]),
    header("-F", "Subject: x", options="-F 'Joe User' ann@example.net"),
    header("-F with a comma", "Subject: x", options="-F 'User, J.' ann@example.net", expect=Differs("full-name", header=("From: User, J. <", 'From: "User, J." <'))),
    header("-F with quotes", "Subject: x", options="""-F '"User, J."' ann@example.net"""),
    header("-F with UTF-8", "Subject: x", options="-F 'Jöe Üser' ann@example.net", expect=Differs("full-name", until=(1, 8, 27), header=("Jöe Üser", "=?utf-8?B?SsO2ZSDDnHNlcg==?="))),
    header("-F with UTF-8, locale C", "Subject: x", options="-F 'Jöe' ann@example.net", environment={"LC_ALL": "C"}, expect=[Differs("full-name", until=(1, 8, 27), header=("Jöe", "=?utf-8?B?SsO2ZQ==?=")), Differs("full-name", header=("ansi_x3.4-1968", "utf-8"))]),
    header("-F empty", "Subject: x", options="-F '' ann@example.net", expect=Differs("full-name", header=("From:  <joe@example.org>", "From: joe@example.org"))),
    header("-F with From in the mail", "From: joe@example.org", options="-F 'Joe User' ann@example.net"),
    header("-F that is long", "Subject: x", options="-F '" + "Joe " * 30 + "' ann@example.net", expect=Differs("full-name", header=lambda _their, our: max(map(len, our.split("\n"))) <= 78)),
    header("-F with a line end", "Subject: x", options="-F 'Joe\nBcc: x@y.example' ann@example.net", expect=Differs("line-ends", exit=(0, 64), stderr="msmtp: full name Joe\\nBcc: x@y.example: contains a line break or another control character\nmsmtp: such text cannot stand in a mail header", **NOT_SENT)),
    mail("Message-ID with domain", "To: ann@example.net\n\nx\n", "--domain=me.example ann@example.net", expect=Differs("newer", until=(1, 8, 27), header=("@example.org>", "@me.example>"))),
    mail("Message-ID of the null sender", "To: ann@example.net\n\nx\n", "-f '<>' ann@example.net", expect=[Differs("newer from-of-nobody", until=(1, 8, 27), header=shows("@127.0.0.1>")), Differs("from-of-nobody", header=("From: \n", ""))]),
    mail("Message-ID of a sender without domain", "To: ann@example.net\n\nx\n", "-f joe ann@example.net", expect=Differs("newer", until=(1, 8, 27), header=shows("@127.0.0.1>"))),
    mail("message-id in lower case is there", "message-id: <x@y>\n\nx\n"),
    mail("date in capitals is there", "DATE: today\n\nx\n"),
    # -- what is taken out
    header("Bcc goes", "Bcc: bob@example.com", "X: y"),
    header("bcc in any case of letters goes", "BCC: bob@example.com", "bCc: x@example.com", "X: y"),
    header("a folded Bcc goes whole", "Bcc: bob@example.com,", "\tx@example.com,", "  y@example.com", "X: y"),
    header("Bcc as the last field", "X: y", "Bcc: bob@example.com"),
    header("Bcc with a blank before the colon", "Bcc : bob@example.com", "X: y", expect=Differs("blank-before-colon", header=("Bcc : bob@example.com\n", ""))),
    header("Bcc without value", "Bcc:", "X: y"),
    header("Bcc in the body stays", "X: y", "", "Bcc: bob@example.com"),
    header("remove_bcc_headers off", "Bcc: bob@example.com", "X: y", options="--remove-bcc-headers=off ann@example.net"),
    header("keepbcc", "Bcc: bob@example.com", options="--keepbcc ann@example.net"),
    header("Resent-Bcc goes", "Resent-Bcc: bob@example.com", "X: y", expect=Differs("resent-bcc", header=("Resent-Bcc: bob@example.com\n", ""))),
    header("X-Bcc stays", "X-Bcc: bob@example.com", "Bccc: x"),
    header("undisclosed_recipients", "To: a@b.example", "Cc: c@d.example,", " e@f.example", "Bcc: g@h.example", "X: y", options="--undisclosed-recipients ann@example.net"),
    header("undisclosed_recipients with Resent-To", "Resent-To: a@b.example", "To: a@b.example", options="--undisclosed-recipients ann@example.net", expect=Differs("undisclosed-resent", header=("Resent-To: a@b.example\n", ""))),
    header("set_to_header on", "To: a@b.example", "Cc: c@d.example", "X: y", options="--set-to-header ann@example.net bob@example.com", expect=Differs("newer", until=(1, 8, 28), exit=(64, 0), stderr="", commands=shows("MAIL FROM:<"), body=shows("Hello."), header=shows("To: ann@example.net, bob@example.com"))),
    header("set_to_header undisclosed_recipients", "To: a@b.example", "X: y", options="--set-to-header=undisclosed_recipients ann@example.net", expect=Differs("newer", until=(1, 8, 28), exit=(64, 0), stderr="", commands=shows("MAIL FROM:<"), body=shows("Hello."), header=shows("To: undisclosed-recipients:;"))),
    header("set_to_header on and many recipients", "X: y", options="--set-to-header " + " ".join(f"recipient{number}@example.net" for number in range(12)), expect=[Differs("newer", until=(1, 8, 28), exit=(64, 0), stderr="", **SENT), Differs("to-folded", header=shows("To: recipient0@example.net, recipient1@example.net, recipient2@example.net,\n recipient3"))]),
]
# fmt: on


@all_of(CASES)
def test_both(case: Case, bed: Bed) -> None:
    bed.check(case)
