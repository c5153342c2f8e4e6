"""The modes besides sending: --serverinfo, --rmqs, --version, --help, --configure, and sendmail's -b."""

from __future__ import annotations

import re

from tests.support.differential import SAME, SENT, Bed, Case, Differs, all_of, shows
from tests.support.scripted import DROP, Polite

BASE = "account default\nhost 127.0.0.1\nport {port}\n"


def same_fields(their: str, our: str) -> bool:
    """What --version prints has the same lines in the same order, up to what stands behind the colons."""
    names = [[line.partition(":")[0] for line in text.split("\n")[1:11]] for text in (their, our)]
    return names[0][:4] == names[1][:4] and names[0][5:] == names[1][5:] and our.startswith("msmtp version ")


def all_options(their: str, our: str) -> bool:
    """What --help prints names every option that the C program's names."""
    named = [set(re.findall(r"(?<!\S)--?[a-zA-Z-]+", text)) for text in (their, our)]
    return named[0] <= named[1] | LEFT_OUT and our.startswith("Usage:\n")


VERSION = Differs("version-output", stdout=same_fields)
LEFT_OUT = {"-bm", "--undisclosed-recipients"}  # -b is there with all its modes; the other is set_to_header now


def info(name: str, *extensions: str, options: str = "--serverinfo", config: str = BASE, **more: object) -> Case:
    """What --serverinfo says of a server with these extensions."""
    server = Polite(
        extensions=extensions,
        mechanisms=more.pop("mechanisms", ()),
        starttls=bool(more.pop("starttls", False)),
        replies=more.pop("replies", {}),
        lmtp=bool(more.pop("lmtp", False)),
    )  # type: ignore[arg-type]
    return Case(name, options, config=config, server=server, **more)  # type: ignore[arg-type]


def rmqs(
    name: str,
    answer: str = "250 ok",
    argument: str = "host.example",
    extensions: tuple[str, ...] = ("ETRN",),
    expect: Differs = SAME,
) -> Case:
    """What --rmqs makes of an answer."""
    return Case(
        name,
        f"'--rmqs={argument}'",
        config=BASE,
        server=Polite(extensions=extensions, replies={"ETRN": answer}),
        expect=expect,
    )


# fmt: off
CASES = [
    # -- --serverinfo
    info("nothing offered"),
    info("-S", options="-S"),
    info("all that is known", "SIZE 36700160", "PIPELINING", "8BITMIME", "SMTPUTF8", "ETRN", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES", "X-OWN", expect=Differs("newer", until=(1, 8, 27), stdout=("    ETRN:", "    SMTPUTF8:\n        Support for Internationalized Email\n    ETRN:"))),
    info("SIZE alone", "SIZE"),
    info("SIZE 0", "SIZE 0"),
    info("SIZE of some bytes", "SIZE 1000"),
    info("SIZE of some KiB", "SIZE 102400"),
    info("SIZE of one KiB", "SIZE 1024"),
    info("SIZE of one MiB", "SIZE 1048576"),
    info("SIZE that is no number", "SIZE lots"),
    info("SIZE that is very large", "SIZE 4294967296"),
    info("STARTTLS without TLS", "PIPELINING", starttls=True),
    info("AUTH", mechanisms=["LOGIN", "PLAIN", "XOAUTH2", "NONSENSE", "CRAM-MD5", "SCRAM-SHA-256", "EXTERNAL", "DIGEST-MD5", "GSSAPI", "NTLM", "OAUTHBEARER"], expect=Differs("newer", until=(1, 8, 27), stdout=("PLAIN SCRAM-SHA-256 EXTERNAL GSSAPI CRAM-MD5 DIGEST-MD5 LOGIN NTLM OAUTHBEARER", "SCRAM-SHA-256 PLAIN GSSAPI EXTERNAL OAUTHBEARER CRAM-MD5 DIGEST-MD5 LOGIN NTLM"))),
    info("AUTH=", "AUTH=PLAIN LOGIN"),
    info("AUTH of nothing that is known", mechanisms=["NONSENSE"]),
    info("LMTP", "PIPELINING", "8BITMIME", config=BASE + "protocol lmtp\n", lmtp=True),
    info("a greeting of several lines", replies={"greeting": "220-one\n220 two"}),
    info("a greeting without text", replies={"greeting": "220 "}),
    info("HELO", replies={"EHLO": "500 what?"}),
    info("the greeting refuses", replies={"greeting": "554 go away"}),
    info("EHLO and HELO are refused", replies={"EHLO": "550 no", "HELO": "550 no"}),
    info("the connection ends", replies={"EHLO": DROP}, expect=Differs("exit-lost", exit=(76, 75))),
    info("does not authenticate", mechanisms=["PLAIN"], config=BASE + "auth plain\nuser joe\npassword secret\n"),
    info("does not need from", "PIPELINING", config=BASE),
    info("--host and --port", "PIPELINING", options="--serverinfo --host=127.0.0.1 --port={port}", config="-"),
    info("a host by name", "PIPELINING", options="--serverinfo --host=localhost --port={port}", config="-"),
    info("a unix socket", "PIPELINING", options="--serverinfo --socket={socket}", config="account default\nhost localhost\n", unix=True, expect=Differs("socket-heading", stdout=("at localhost, port 25:", "at SOCKET:"))),
    info("a unix socket without host", "PIPELINING", options="--serverinfo", config="account default\nsocket {socket}\n", unix=True, expect=Differs("socket-heading", stdout=("at SOCKET, port 25:", "at SOCKET:"))),
    info("--pretend", "PIPELINING", options="--serverinfo --pretend"),
    info("--debug", "PIPELINING", options="--serverinfo --debug"),
    Case("--serverinfo without account", "--serverinfo", config="-"),
    Case("--serverinfo, connection refused", "--serverinfo --host=127.0.0.1 --port=1", config="-", server=None),
    # -- --rmqs
    *(rmqs(f"ETRN: {code}", f"{code} whatever") for code in (250, 251, 252, 253, 458, 459, 500, 501, 530, 550)),
    *(rmqs(f"ETRN: {code}", f"{code} whatever", expect=Differs("exit-not-ready", exit=(76, 75))) for code in (450, 421)),
    rmqs("@domain", argument="@example.org"),
    rmqs("#queue", argument="#q"),
    rmqs("an empty argument", argument="", expect=Differs("rmqs-empty", commands=("ETRN ", "ETRN"))),
    rmqs("a blank in the argument", argument="a b"),
    rmqs("ETRN is not offered", extensions=()),
    Case("--rmqs --pretend", "--rmqs=x --pretend", config=BASE),
    Case("--rmqs authenticates", "--rmqs=x", config=BASE + "auth plain\nuser joe\npassword secret\n", server=Polite(extensions=("ETRN",), mechanisms=["PLAIN"])),
    # -- texts
    Case("--version", "--version", server=None, expect=VERSION),
    Case("-d0.1", "-d0.1", server=None, expect=VERSION),
    Case("--help", "--help", server=None, expect=Differs("help-output", stdout=all_options)),
    Case("--version and --help", "--version --help", server=None, expect=Differs("version-output", stdout=same_fields)),
    # -- --configure
    Case("--configure without address", "--configure=nonsense", server=None),
    Case("--configure with an empty address", "--configure=", server=None),
    # -- sendmail's modes
    Case("-bm is sending", "-bm ann@example.net"),
    Case("-bs", "-bs", mail=b"QUIT\r\n", expect=Differs("sendmail-modes", exit=(64, 0), stderr="", stdout=shows("220 ", "221 "))),
    Case("-bp", "-bp", expect=Differs("sendmail-modes", exit=(64, 0), stderr="", stdout="Mail queue is empty (msmtp has no queue: it sends each mail at once)")),
    Case("-bi", "-bi", expect=Differs("sendmail-modes", exit=(64, 0), stderr="", stdout="no aliases file to check (the 'aliases' command names one); it is read afresh for each mail")),
    Case("-bd", "-bd", expect=Differs("sendmail-modes", stderr="msmtp: -bd: msmtp is no daemon\nmsmtp: msmtpd receives mail over SMTP and hands it to msmtp")),
    Case("-q", "-q", expect=Differs("sendmail-modes", exit=(64, 0), stderr="")),
    Case("-q30m", "-q30m", expect=Differs("sendmail-modes", stderr=shows("msmtp: -q30m: msmtp has no queue to run at intervals\n"))),
    Case("-bt", "-bt", expect=Differs("sendmail-modes", stderr=shows("msmtp: -bt: msmtp rewrites no addresses, so there is nothing to test\n"))),
    Case("-bv", "-bv ann@example.net", expect=Differs("sendmail-modes", stderr=shows("msmtp: -bv: msmtp cannot verify addresses: only the server knows them\n"))),
    Case("-U", "-U ann@example.net", expect=Differs("sendmail-options", exit=(64, 0), stderr="", **SENT)),
    # -- names
    Case("called sendmail", "ann@example.net", name_called="sendmail"),
    Case("called sendmail, with an error", "--nonsense", name_called="sendmail"),
    Case("called mailq", "", name_called="mailq", expect=Differs("sendmail-modes", exit=(64, 0), stderr="", stdout=shows("Mail queue is empty"))),
    Case("called newaliases", "", name_called="newaliases", expect=Differs("sendmail-modes", exit=(64, 0), stderr="", stdout=shows("no aliases file to check"))),
    Case("sendmail -t -i", "-t -i", name_called="sendmail"),
]
# fmt: on


@all_of(CASES)
def test_both(case: Case, bed: Bed) -> None:
    bed.check(case)
