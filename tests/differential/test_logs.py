"""The log: where it goes, how time is written, what stands in a line."""

from __future__ import annotations

from tests.support.differential import Bed, Case, Differs, all_of, shows
from tests.support.scripted import Polite

BASE = "account default\nhost 127.0.0.1\nport {port}\nfrom joe@example.org\n"
LOG = BASE + "logfile ~/log\n"


def log(name: str, config: str = LOG, options: str = "ann@example.net", **more: object) -> Case:
    """What is logged."""
    return Case(name, options, config=config, **more)  # type: ignore[arg-type]


# fmt: off
CASES = [
    log("a file"),
    log("-X", BASE, "-X {home}/log ann@example.net"),
    log("standard output", BASE + "logfile -\n"),
    log("standard output, failure", BASE + "logfile -\n", server=Polite(extensions=("PIPELINING",), replies={"MAIL": "550 no"})),
    log("a file that has lines", files={"log": "an old line\n"}),
    log("time none", LOG + "logfile_time_format none\n", expect=Differs("newer", until=(1, 8, 27), log=("none host=", "host="))),
    log("time as a year", LOG + "logfile_time_format %Y\n"),
    log("time with words and blanks", LOG + 'logfile_time_format "in %Y, at %%:"\n'),
    log("time in a zone", LOG + "logfile_time_format %Z\n", environment={"TZ": "XYZ-3"}),
    log("--logfile-time-format", LOG, "--logfile-time-format=%C ann@example.net"),
    log("a folder that is not there", BASE + "logfile ~/nowhere/log\n"),
    log("a folder for a file", BASE + "logfile ~\n"),
    log("a folder that is not there, failure", BASE + "logfile ~/nowhere/log\n", server=Polite(extensions=("PIPELINING",), replies={"MAIL": "550 no"})),
    log("a log that cannot be written to", BASE + "logfile /dev/full\n", expect=Differs("crashes", exit=(-6, 0), stderr=shows("msmtp: cannot log to /dev/full: cannot write: No space left on device\nmsmtp: log info was: host="))),
    log("logfile is unset again", LOG, "--logfile= ann@example.net"),
    log("several recipients", LOG, "ann@example.net bob@example.com"),
    log("recipients after aliases", LOG + "aliases ~/aliases\n", "root bob@example.com", files={"aliases": "root: ann@example.net\n"}),
    log("the null sender", LOG, "-f '<>' ann@example.net"),
    log("UTF-8 in the reply", server=Polite(extensions=("PIPELINING",), replies={"message": "250 Jöe’s ok"})),
    log("a quote and a backslash in the reply", server=Polite(extensions=("PIPELINING",), replies={"message": "250 don't \\ worry"})),
    log("control characters in the reply", server=Polite(extensions=("PIPELINING",), replies={"message": b"250 a\tb\x1bc\x7fd\r\n"})),
    log("Latin-1 in the reply", server=Polite(extensions=("PIPELINING",), replies={"message": b"250 J\xf6e\r\n"})),
    log("several lines of reply", server=Polite(extensions=("PIPELINING",), replies={"message": "250-one\n250-two\n250 three"})),
    log("mailsize of dots and bare line ends", mail=b"From: joe@example.org\nDate: x\nMessage-ID: <1@x>\n\n.\n..\nno end"),
    log("mailsize of CRLF", mail=b"From: joe@example.org\r\nDate: x\r\nMessage-ID: <1@x>\r\n\r\nHello.\r\n"),
    log("mailsize without Bcc", mail=b"From: joe@example.org\nBcc: x@y.example\nDate: x\nMessage-ID: <1@x>\n\nHello.\n"),
    log("mailsize of nothing but a header", mail=b"From: joe@example.org\nDate: x\nMessage-ID: <1@x>\n"),
    log("usage errors are not logged", LOG, ""),
    log("configuration errors are not logged", LOG + "nonsense\n"),
    log("a missing alias file is not logged", LOG + "aliases ~/nowhere\n", "root"),
    log("a refused connection is logged", LOG.replace("{port}", "1"), server=None),
    log("a user without auth is not logged", LOG + "user joe\n"),
    log("--pretend logs nothing", LOG, "-P ann@example.net"),
    log("socket=", "account default\nsocket {socket}\nfrom joe@example.org\nlogfile ~/log\n", unix=True),
    log("socket= with host", "account default\nhost mail.invalid\nsocket {socket}\nfrom joe@example.org\nlogfile ~/log\n", unix=True),
    log("LMTP", LOG + "protocol lmtp\n", "ann@example.net bob@example.com", server=Polite(extensions=("PIPELINING",), lmtp=True)),
    log("syslog that nobody listens to", LOG + "syslog LOG_MAIL\n"),
]
# fmt: on


@all_of(CASES)
def test_both(case: Case, bed: Bed) -> None:
    bed.check(case)
