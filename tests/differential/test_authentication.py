"""Authentication: methods, where the password comes from, and refusals."""

from __future__ import annotations

from tests.differential.servers import Authenticating, Lying
from tests.support.differential import MAIL, NOT_SENT, SAME, SENT, Bed, Case, Differs, all_of, exits, shows

BASE = "account default\nhost 127.0.0.1\nport {port}\nfrom joe@example.org\nlogfile ~/log\n"
JOE = BASE + "user joe\npassword secret\n"
TLS = JOE + "tls on\ntls_trust_file {ca}\n"
TOKEN = "dXNlcj1qb2UBYXV0aD1CZWFyZXIgc2VjcmV0AQE="
ALL = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256")


def one_trip(mechanism: str, initial: str) -> Differs:
    """The first response travels with AUTH."""
    return Differs("auth-first-response", commands=(f"AUTH {mechanism}\n{initial}", f"AUTH {mechanism} {initial}"))


def scram(name: str) -> Differs:
    """The same for SCRAM."""
    return one_trip(f"SCRAM-{name}", "(n,,n=joe,r=(nonce))")


METHODS = {"scram-sha-1": scram("SHA-1"), "scram-sha-256": scram("SHA-256")}
UNAVAILABLE = Differs("quit", commands=("EHLO localhost", "EHLO localhost\nQUIT"))
NO_PASSWORD = Differs("password-first", commands="")


def offering(*mechanisms: str, starttls: bool = False, **replies: object) -> Authenticating:
    """A server that offers these."""
    return Authenticating(
        extensions=("PIPELINING",),
        mechanisms=mechanisms,
        starttls=starttls,
        replies={key.replace("_", " "): value for key, value in replies.items()},  # type: ignore[misc]
    )


def method(name: str, **more: object) -> Case:
    """A method asked for by name, no TLS."""
    return Case(
        f"auth {name}",
        config=JOE + f"auth {name}\n",
        server=offering(name.upper()),
        expect=METHODS.get(name, SAME),
        **more,
    )  # type: ignore[arg-type]


# fmt: off
CASES = [
    # -- methods
    method("plain"),
    method("login"),
    method("cram-md5"),
    method("scram-sha-1"),
    method("scram-sha-256"),
    *(Case(f"auth {name}, wrong password", config=JOE.replace("secret", "wrong") + f"auth {name}\n", server=offering(name.upper()), expect=METHODS.get(name, SAME)) for name in ("plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256")),
    Case("auth scram-sha-256, the server does not know the password", config=JOE + "auth scram-sha-256\n", server=Lying(extensions=("PIPELINING",), mechanisms=["SCRAM-SHA-256"]), expect=Differs("auth-first-response auth-protocol", stderr=shows("authentication failed (method SCRAM-SHA-256): the signature of the server is wrong"), log=shows("the signature of the server is wrong' exitcode=EX_SOFTWARE"), commands="EHLO localhost\nAUTH SCRAM-SHA-256 (n,,n=joe,r=(nonce))\n(c=biws,r=(nonce),p=(proof))\n*")),
    Case("auth external", config=BASE + "user joe\nauth external\n", server=offering("EXTERNAL", AUTH="235 ok"), expect=one_trip("EXTERNAL", "am9l")),
    Case("auth external without user", config=BASE + "auth external\n", server=offering("EXTERNAL", AUTH="235 ok"), expect=Differs("auth-first-response external-nobody", exit=(65, 0), stderr="", log=shows("exitcode=EX_OK"), commands=shows("AUTH EXTERNAL =\nMAIL FROM:<joe@example.org>", "QUIT"), header=shows("From: "), body=shows("Hello."))),
    Case("auth oauthbearer", config=JOE + "auth oauthbearer\n", server=offering("OAUTHBEARER", AUTH="235 ok")),
    Case("auth oauthbearer, refused", config=JOE + "auth oauthbearer\n", server=offering("OAUTHBEARER", AUTH="334 eyJzdGF0dXMiOiI0MDEifQ==", AUTH_2="535 5.7.8 no"), expect=Differs("token-refused", stderr=shows('msmtp: server message: 334 {"status":"401"}'), log=("535 5.7.8 no'", """535 5.7.8 no\\n334 {"status":"401"}'"""), commands=lambda their, our: our == f"{their}AQ==")),
    Case("auth xoauth2", config=JOE + "auth xoauth2\n", server=offering("XOAUTH2", AUTH="235 ok"), expect=one_trip("XOAUTH2", TOKEN)),
    Case("auth xoauth2, refused", config=JOE + "auth xoauth2\n", server=offering("XOAUTH2", AUTH="334 eyJzdGF0dXMiOiI0MDAifQ==", AUTH_2="535 5.7.8 no"), expect=Differs("auth-first-response token-refused", stderr=shows('msmtp: server message: 334 {"status":"400"}'), log=("535 5.7.8 no'", """535 5.7.8 no\\n334 {"status":"400"}'"""), commands=(f"XOAUTH2\n{TOKEN}", f"XOAUTH2 {TOKEN}"))),
    Case("auth digest-md5, not offered", config=JOE + "auth digest-md5\n", server=offering("PLAIN"), expect=UNAVAILABLE),
    Case("auth plain, not offered", config=JOE + "auth plain\n", server=offering("LOGIN"), expect=UNAVAILABLE),
    Case("auth plain, no AUTH at all", config=JOE + "auth plain\n", server=offering()),
    Case("auth on, no AUTH at all", config=JOE + "auth on\n", server=offering()),
    Case("auth plain, offered as AUTH=", config=JOE + "auth plain\n", server=Authenticating(extensions=("PIPELINING", "AUTH=PLAIN LOGIN"))),
    Case("auth plain, offered in lower case", config=JOE + "auth plain\n", server=offering("plain")),
    # -- automatic choice
    Case("auth on without TLS: SCRAM", config=JOE + "auth on\n", server=offering(*ALL), expect=scram("SHA-256")),
    Case("auth on without TLS: SCRAM-SHA-1", config=JOE + "auth on\n", server=offering("PLAIN", "SCRAM-SHA-1"), expect=scram("SHA-1")),
    Case("auth on without TLS: nothing in clear", config=JOE + "auth on\n", server=offering("PLAIN", "LOGIN", "CRAM-MD5"), expect=UNAVAILABLE),
    Case("auth on with TLS: SCRAM-SHA-256", config=TLS + "auth on\n", server=offering(*ALL, starttls=True), expect=[Differs("newer auth-first-response", until=(1, 8, 27), commands=("AUTH PLAIN AGpvZQBzZWNyZXQ=", "AUTH SCRAM-SHA-256 (y,,n=joe,r=(nonce))\n(c=eSws,r=(nonce),p=(proof))\n")), Differs("scram-under-tls", exit=(70, 0), stderr="", log=shows("exitcode=EX_OK"), commands=shows("AUTH SCRAM-SHA-256 (y,,n=joe,r=(nonce))"), header=shows("From: "), body=shows("Hello."))]),
    Case("auth on with TLS: PLAIN", config=TLS + "auth on\n", server=offering("LOGIN", "PLAIN", "CRAM-MD5", starttls=True)),
    Case("auth on with TLS: CRAM-MD5", config=TLS + "auth on\n", server=offering("LOGIN", "CRAM-MD5", starttls=True)),
    Case("auth on with TLS: LOGIN", config=TLS + "auth on\n", server=offering("LOGIN", starttls=True)),
    Case("auth on with TLS: none that is known", config=TLS + "auth on\n", server=offering("NONSENSE", "EXTERNAL", starttls=True), expect=Differs("quit", commands=lambda their, our: our == f"{their}\nQUIT")),
    Case("auth on with TLS, wrong password: no other method is tried", config=TLS.replace("secret", "wrong") + "auth on\n", server=offering(*ALL, starttls=True), expect=[Differs("newer auth-first-response", until=(1, 8, 27), stderr=shows("(method SCRAM-SHA-256)"), log=("PLAIN", "SCRAM-SHA-256"), commands=shows("AUTH SCRAM-SHA-256 (y,,n=joe,r=(nonce))")), Differs("scram-under-tls", exit=(70, 77), stderr=shows("(method SCRAM-SHA-256)"), log=shows("(method SCRAM-SHA-256)' exitcode=EX_NOPERM"), commands=shows("AUTH SCRAM-SHA-256 (y,,n=joe,r=(nonce))"))]),
    # -- refusals
    *(Case(f"AUTH: {reply}", config=JOE + "auth plain\n", server=offering("PLAIN", AUTH=reply)) for reply in ("535 5.7.8 wrong", "534 5.7.9 too weak", "504 5.5.4 unknown", "500 what?", "530 5.7.0 TLS first", "235-two\n235 lines")),
    *(Case(f"AUTH: {reply}", config=JOE + "auth plain\n", server=offering("PLAIN", AUTH=reply), expect=exits("exit-auth-deferred", 77, 75)) for reply in ("454 4.7.0 later", "421 4.3.2 closing")),
    Case("AUTH: 454, the old codes", config=JOE + "auth plain\n", server=offering("PLAIN", AUTH="454 4.7.0 later"), switch="--exit-codes=upstream"),
    Case("AUTH: 334 what", config=JOE + "auth plain\n", server=offering("PLAIN", AUTH="334 what"), expect=Differs("auth-protocol", exit=(65, 70), stderr="msmtp: authentication failed (method PLAIN): the server asks for more than the method has\nmsmtp: could not send mail (account default from HOME/.msmtprc)", log=shows("the server asks for more than the method has' exitcode=EX_SOFTWARE"), commands="EHLO localhost\nAUTH PLAIN AGpvZQBzZWNyZXQ=\n*")),
    Case("AUTH: 250 ok", config=JOE + "auth plain\n", server=offering("PLAIN", AUTH="250 ok")),
    Case("AUTH: a challenge that is no base64", config=JOE + "auth cram-md5\n", server=offering("CRAM-MD5", AUTH="334 !!!", AUTH_2="535 no"), expect=Differs("auth-protocol", exit=(70, 76), stderr="msmtp: the server sent an invalid challenge: !!!\nmsmtp: server message: 334 !!!\nmsmtp: could not send mail (account default from HOME/.msmtprc)", log=shows("errormsg='the server sent an invalid challenge: !!!' exitcode=EX_PROTOCOL"), commands="EHLO localhost\nAUTH CRAM-MD5\n*")),
    Case("AUTH: a refusal after the challenge", config=JOE + "auth login\n", server=offering("LOGIN", AUTH="334 VXNlcm5hbWU6", AUTH_2="535 5.7.8 no")),
    Case("MAIL is refused for want of authentication", config=BASE, server=Authenticating(extensions=("PIPELINING",), mechanisms=["PLAIN"], replies={"MAIL": "530 5.7.0 Authentication required"})),
    # -- where the password comes from
    Case("passwordeval", config=BASE + "auth plain\nuser joe\npasswordeval echo secret\n", server=offering("PLAIN")),
    Case("passwordeval, first line only", config=BASE + "auth plain\nuser joe\npasswordeval printf 'secret\\nmore\\n'\n", server=offering("PLAIN")),
    Case("passwordeval without line end", config=BASE + "auth plain\nuser joe\npasswordeval printf secret\n", server=offering("PLAIN")),
    Case("passwordeval with blanks around", config=BASE + "auth plain\nuser joe\npasswordeval echo '  secret '\n", server=offering("PLAIN", AUTH="235 ok")),
    Case("passwordeval prints nothing", config=BASE + "auth plain\nuser joe\npasswordeval true\n", server=offering("PLAIN"), expect=Differs("command-fails", stderr=("output of 'true'", "output of 'true': it printed nothing"))),
    Case("passwordeval prints an empty line", config=BASE + "auth plain\nuser joe\npasswordeval echo\n", server=offering("PLAIN"), expect=Differs("command-fails", exit=(77, 78), stderr="msmtp: cannot read output of 'echo': its first line is empty", log="", commands="")),
    Case("passwordeval fails", config=BASE + "auth plain\nuser joe\npasswordeval false\n", server=offering("PLAIN"), expect=Differs("command-fails", stderr=("output of 'false'", "output of 'false': it ended with exit code 1"))),
    Case("passwordeval prints and fails", config=BASE + "auth plain\nuser joe\npasswordeval echo secret; exit 2\n", server=offering("PLAIN"), expect=Differs("command-fails", exit=(0, 78), stderr="msmtp: cannot read output of 'echo secret; exit 2': it ended with exit code 2", log="", **NOT_SENT)),
    Case("passwordeval reads standard input", config=BASE + "auth plain\nuser joe\npasswordeval cat >/dev/null; echo secret\n", server=offering("PLAIN")),
    Case("passwordeval reads standard input, a large mail", config=BASE + "auth plain\nuser joe\npasswordeval cat >/dev/null; echo secret\n", server=offering("PLAIN"), mail=MAIL + b"line\n" * 40000, expect=Differs("command-stdin", log=lambda their, our: "EX_OK" in their and "EX_OK" in our, body=lambda their, our: len(their) < len(our) == 200007)),
    Case("passwordeval is not run without auth", config=BASE + "auth off\nuser joe\npasswordeval echo x >{home}/log\n", server=offering("PLAIN")),
    Case("passwordeval is run by --pretend", "-P", config=BASE + "auth plain\nuser joe\npasswordeval touch ~/log; echo x\n", server=offering("PLAIN")),
    Case("passwordeval fails in --pretend", "-P", config=BASE + "auth plain\nuser joe\npasswordeval false\n", server=offering("PLAIN"), expect=Differs("command-fails", stderr=("output of 'false'", "output of 'false': it ended with exit code 1"), stdout=("falling back to default account", "falling back to default account\nusing account default from HOME/.msmtprc"))),
    Case("password comes before passwordeval", config=JOE + "auth plain\npasswordeval echo other\n", server=offering("PLAIN")),
    Case("--passwordeval and a password in the file", "--passwordeval='echo other' ann@example.net", config=JOE + "auth plain\n", server=offering("PLAIN")),
    Case("~/.netrc", config=BASE + "auth plain\nuser joe\n", files={".netrc": "machine 127.0.0.1 login joe password secret\n"}, server=offering("PLAIN")),
    Case("~/.netrc of another host", config=BASE + "auth plain\nuser joe\n", files={".netrc": "machine other login joe password secret\n"}, server=offering("PLAIN"), expect=NO_PASSWORD),
    Case("~/.netrc of another user", config=BASE + "auth plain\nuser joe\n", files={".netrc": "machine 127.0.0.1 login ann password secret\n"}, server=offering("PLAIN"), expect=NO_PASSWORD),
    Case("~/.netrc over several lines", config=BASE + "auth plain\nuser joe\n", files={".netrc": "machine other\nlogin joe\npassword no\n\nmachine 127.0.0.1\n\tlogin joe\n\tpassword secret\n"}, server=offering("PLAIN")),
    Case("~/.netrc without login", config=BASE + "auth plain\nuser joe\n", files={".netrc": "machine 127.0.0.1 password secret\n"}, server=offering("PLAIN"), expect=Differs("netrc-login", exit=(69, 0), stderr="", log=shows("exitcode=EX_OK"), **SENT)),
    Case("~/.netrc default", config=BASE + "auth plain\nuser joe\n", files={".netrc": "default login joe password secret\n"}, server=offering("PLAIN"), expect=NO_PASSWORD),
    Case("~/.netrc with a quoted password", config=BASE + "auth plain\nuser joe\n", files={".netrc": 'machine 127.0.0.1 login joe password "secret"\n'}, server=offering("PLAIN")),
    Case("/etc/netrc", config=BASE + "auth plain\nuser joe\n", etc={"netrc": "machine 127.0.0.1 login joe password secret\n"}, server=offering("PLAIN")),
    Case("no password anywhere", config=BASE + "auth plain\nuser joe\n", server=offering("PLAIN"), expect=NO_PASSWORD),
    Case("no user", config=BASE + "auth plain\npassword secret\n", server=offering("PLAIN"), expect=UNAVAILABLE),
    Case("auth on and no user", config=BASE + "auth on\npassword secret\n", server=offering("PLAIN", "SCRAM-SHA-1"), expect=UNAVAILABLE),
    Case("a password with UTF-8", config=BASE + "auth plain\nuser jöe\npassword gehäim\n", server=offering("PLAIN", AUTH="235 ok")),
    Case("a password in quotes", config=BASE + 'auth plain\nuser joe\npassword " sec ret "\n', server=offering("PLAIN", AUTH="235 ok")),
    Case("an empty password", config=BASE + "auth plain\nuser joe\npassword\n", server=offering("PLAIN", AUTH="235 ok"), expect=NO_PASSWORD),
    Case("a long token", config=BASE + "auth oauthbearer\nuser joe\npasswordeval printf %02000d 7\n", server=offering("OAUTHBEARER", AUTH="235 ok")),
    Case("the log names the user", "--user=ann --auth=plain ann@example.net", config=JOE, server=offering("PLAIN", AUTH="235 ok")),
    Case("--auth=off", "--auth=off ann@example.net", config=JOE + "auth plain\n", server=offering("PLAIN")),
    Case("--debug shows secrets", "--debug ann@example.net", config=JOE + "auth plain\n", server=offering("PLAIN")),
]
# fmt: on


@all_of(CASES)
def test_both(case: Case, bed: Bed) -> None:
    bed.check(case)
