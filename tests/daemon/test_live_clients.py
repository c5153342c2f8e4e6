"""Clients that others wrote, and ours, send mails of each kind to the real daemon, in plain text and by TLS.

Not every client can do everything: smtp-source only makes up its own mails, and none but the ones here log in.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import smtplib
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support import certificates, debian, view
from tests.support.daemon import Kept, Msmtpd, new_folder
from tests.support.processes import free_port
from tests.support.sending import MSMTP
from tests.support.upstream import upstream_msmtp

SENDER = "sender@example.org"
HEAD = (
    b"From: sender@example.org\nTo: list@example.net\nSubject: hello\nDate: Sun, 22 Nov 2026 12:00:00 +0000\n"
    b"Message-ID: <1@example.org>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
    b"Content-Transfer-Encoding: 8bit\n\n"
)
BODY = b"How are you?\n.\n..\n.a dot\nFrom here\n\nBye\n"
LARGE = 5 * 1024 * 1024


@dataclass
class Kind:
    """A kind of mail, and of session: ``tls`` is "", "starttls" or "implicit"."""

    body: bytes = BODY
    recipients: int = 1
    login: bool = False
    tls: str = ""

    def addresses(self) -> list[str]:
        return [f"r{number}@example.net" for number in range(self.recipients)]


def large() -> bytes:
    line = b"".join(b"%d " % number for number in range(20)) + b"\n"
    return (line + b"." + line[1:]) * (LARGE // (2 * len(line)) + 1)


KINDS = {
    "plain": Kind(),
    "large": Kind(body=large()),
    "eight bits": Kind(body="Grüße, 日本語\n".encode() + BODY),
    "many recipients": Kind(recipients=300),
    "authenticated": Kind(login=True),
    "starttls": Kind(login=True, tls="starttls"),
    "implicit tls": Kind(login=True, tls="implicit"),
}


@dataclass
class Job:
    """What a client is to do.  ``file`` holds the mail with LF line ends."""

    port: int
    kind: Kind
    folder: Path
    authority: Path

    def __post_init__(self) -> None:
        self.mail = HEAD + self.kind.body
        self.file = self.folder / "mail"
        self.file.write_bytes(self.mail)

    def run(self, *words: str | Path, given: bytes = b"", **environment: str) -> None:
        done = subprocess.run(
            words, input=given, capture_output=True, check=False, timeout=60, env={**os.environ, **environment}
        )
        assert done.returncode == 0, done.stdout[-2000:].decode() + done.stderr[-2000:].decode()


def swaks(job: Job) -> None:
    root = debian.bundle("swaks")
    program, _ = debian.program("swaks", "usr/bin/swaks")
    words = ["--server=127.0.0.1", f"--port={job.port}", "--ehlo=client.example", f"--from={SENDER}"]
    words += [f"--to={','.join(job.kind.addresses())}", f"--data=@{job.file}", "--hide-all"]
    if job.kind.login:
        words += ["--auth=PLAIN", "--auth-user=user", "--auth-password=secret"]
    words += {"": [], "starttls": ["--tls"], "implicit": ["--tlsc"]}[job.kind.tls]
    multiarch = debian.library_path(root)
    paths = [f"{root}/usr/share/perl5", *map(str, Path(multiarch).glob("perl5/*"))]
    job.run("perl", program, *words, PERL5LIB=":".join(paths))


def curl(job: Job) -> None:
    scheme = "smtps" if job.kind.tls == "implicit" else "smtp"
    words = ["-sS", f"{scheme}://localhost:{job.port}/client.example", "--mail-from", SENDER, "--crlf", "-T", job.file]
    for recipient in job.kind.addresses():
        words += ["--mail-rcpt", recipient]
    words += ["--user", "user:secret"] * job.kind.login
    words += ["--ssl-reqd", "--cacert", job.authority] if job.kind.tls else ["-4"]
    job.run("curl", *words)


def s_nail(job: Job) -> None:
    program, environment = debian.program("s-nail", "usr/bin/s-nail")
    scheme = "smtps" if job.kind.tls == "implicit" else "smtp"
    user = "user:secret@" if job.kind.login else ""
    words = ["-:/", "-Sv15-compat", f"-Smta={scheme}://{user}localhost:{job.port}", "-Ssendwait", "-Sttycharset=utf-8"]
    words += ["-Smime-encoding=8bit", f"-Sfrom={SENDER}", f"-Ssmtp-auth={'plain' if job.kind.login else 'none'}"]
    words += ["-Shostname=client.example", f"-Stls-ca-file={job.authority}", "-Stls-verify=strict"]
    words += ["-Ssmtp-use-starttls"] * (job.kind.tls == "starttls")
    words += ["-r", SENDER, "-s", "hello"]
    job.run(program, *words, *job.kind.addresses(), given=job.kind.body, **environment)


def configuration(job: Job) -> list[str]:
    """The options that both programs called msmtp take."""
    words = ["--host=localhost", f"--port={job.port}", f"--from={SENDER}", "--file=/dev/null", "--timeout=30"]
    words += ["--auth=on", "--user=user", "--passwordeval=echo secret"] if job.kind.login else []
    words += ["--tls=on", f"--tls-trust-file={job.authority}"] if job.kind.tls else []
    words += ["--tls-starttls=off"] if job.kind.tls == "implicit" else []
    return [*words, "--", *job.kind.addresses()]


def our_msmtp(job: Job) -> None:
    job.run(*MSMTP, *configuration(job), given=job.mail)


def debians_msmtp(job: Job) -> None:
    words = configuration(job)
    if job.kind.tls:  # Debian 13's gives up before it says a word where TLS is and SCRAM-SHA-256 without -PLUS
        words = ["--auth=plain" if word == "--auth=on" else word for word in words]
    job.run(upstream_msmtp(), *words, given=job.mail)


def smtplib_client(job: Job) -> None:
    context = certificates.localhost().client_context()
    if job.kind.tls == "implicit":
        client: smtplib.SMTP = smtplib.SMTP_SSL("localhost", job.port, timeout=60, context=context)
    else:
        client = smtplib.SMTP("localhost", job.port, timeout=60)
    with client:
        if job.kind.tls == "starttls":
            client.starttls(context=context)
        if job.kind.login:
            client.login("user", "secret")
        client.sendmail(SENDER, job.kind.addresses(), job.mail.replace(b"\n", b"\r\n"), ["BODY=8BITMIME"])


NODEMAILER = """
const {settings, envelope, file} = JSON.parse(process.argv[1]);
const transport = require("nodemailer").createTransport(settings);
transport.sendMail({envelope, raw: require("fs").readFileSync(file)}).then(
    () => process.exit(0), error => { console.error(error); process.exit(1); });
"""


def nodemailer(job: Job) -> None:
    root = debian.bundle("nodemailer")
    node, environment = debian.program("nodemailer", "usr/bin/node")
    settings = {
        "host": "127.0.0.1",  # it tries one address of a name, ::1 at times
        "tls": {"servername": "localhost"},
        "port": job.port,
        "name": "client.example",
        "secure": job.kind.tls == "implicit",
        "requireTLS": job.kind.tls == "starttls",
        "ignoreTLS": not job.kind.tls,
        **({"auth": {"user": "user", "pass": "secret"}} if job.kind.login else {}),
    }
    envelope = {"from": SENDER, "to": job.kind.addresses()}
    told = json.dumps({"settings": settings, "envelope": envelope, "file": str(job.file)})
    paths = f"{root}/usr/share/nodejs:/usr/share/nodejs"
    # Debian 13's finds half of itself below /usr/share.
    apart = [] if node.is_relative_to("/usr") else debian.beside(root)
    job.run(
        *apart, node, "-e", NODEMAILER, told, NODE_PATH=paths, NODE_EXTRA_CA_CERTS=str(job.authority), **environment
    )


def smtp_source(job: Job) -> None:
    root = debian.bundle("postfix")
    words = ["-f", SENDER, "-t", "r0@example.net", "-r", str(job.kind.recipients), "-M", "client.example"]
    words += ["-l", str(len(job.kind.body)), f"inet:127.0.0.1:{job.port}"]
    job.run(
        f"{root}/usr/sbin/smtp-source", *words, LD_LIBRARY_PATH=f"{root}/usr/lib/postfix:{debian.library_path(root)}"
    )


def git_send_email(job: Job) -> None:
    """A patch; its lines are what the mail has."""
    repository = job.folder / "repository"
    (job.folder / "body").write_bytes(job.kind.body)
    words = ["--quiet", "--confirm=never", "--suppress-cc=all", f"--from={SENDER}", f"--envelope-sender={SENDER}"]
    words += ["--smtp-server=localhost", f"--smtp-server-port={job.port}", "--smtp-domain=client.example"]
    words += ["--transfer-encoding=8bit", *(f"--to={address}" for address in job.kind.addresses())]
    words += ["--smtp-user=user", "--smtp-pass=secret"] * job.kind.login
    words += [f"--smtp-encryption={'tls' if job.kind.tls == 'starttls' else 'ssl'}"] * bool(job.kind.tls)
    words += [f"--smtp-ssl-cert-path={job.authority}"] * bool(job.kind.tls)
    commands = f"""
        git init -q {repository} && cd {repository}
        git config user.name Joe && git config user.email {SENDER}
        cp ../body file && git add file && git commit -q -m hello
        git send-email {shlex.join(words)} -1
    """
    (job.folder / "scratch").mkdir()
    job.run(
        *view.in_view([debian.bundle("git-smtp")], job.folder / "scratch", ["sh", "-euc", commands]),
        GIT_CONFIG_NOSYSTEM="1",
        HOME=str(job.folder),
        PERL5LIB="/usr/share/perl5",
    )


RAW = {
    "swaks": swaks,
    "curl": curl,
    "our msmtp": our_msmtp,
    "Debian's msmtp": debians_msmtp,
    "smtplib": smtplib_client,
    "nodemailer": nodemailer,
}
"""Clients that send a mail as it is."""

MAKERS = {"s-nail": s_nail, "git send-email": git_send_email, "smtp-source": smtp_source}
"""Clients that make the mail."""

HELLOS_OLD_STYLE = ("s-nail", "smtp-source")
"""They say HELO where they want nothing of EHLO."""

CANNOT = {
    ("smtp-source", "eight bits"), ("smtp-source", "authenticated"), ("smtp-source", "starttls"),
    ("smtp-source", "implicit tls"),
}  # fmt: skip
"""smtp-source tests servers: it makes up mails of ASCII."""

CASES = [
    pytest.param(client, kind, id=f"{client}, {kind}", marks=pytest.mark.root if client == "git send-email" else ())
    for client in (*RAW, *MAKERS)
    for kind in KINDS
    if (client, kind) not in CANNOT
]


@pytest.fixture(scope="module")
def daemons():
    """One that asks for a password and speaks TLS, from the first octet on at its second port; and one that does neither."""
    shown = certificates.localhost()
    secure = free_port()
    words = ["--auth=user,echo secret", f"--tls-cert={shown.chain}", f"--tls-key={shown.key}", f"--smtps-port={secure}"]
    with Msmtpd("--warm=off") as simple, Msmtpd(*words, "--warm=off") as locked:
        yield {"": simple, "login": locked, "implicit port": secure}


@pytest.fixture
def job_folder():
    folder = new_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(("client", "name"), CASES)
def test_a_client_sends(client, name, daemons, job_folder):
    kind = KINDS[name]
    daemon = daemons["login" if kind.login else ""]
    daemon.recorder.forget()
    port = daemons["implicit port"] if kind.tls == "implicit" else daemon.port
    job = Job(port, kind, job_folder, certificates.localhost().authority)
    {**RAW, **MAKERS}[client](job)
    (mail,) = daemon.mails(1)
    assert mail.arguments[:2] == ["-f", SENDER]
    expect_recipients(client, mail, job)
    keyword = "ESMTP" + "S" * bool(kind.tls) + "A" * kind.login
    with_word = re.search(r" with (\w+) ", mail.received)[1]
    if client == "Debian's msmtp":  # Debian 13's asks for SMTPUTF8 wherever it is offered
        with_word = with_word.replace("UTF8SMTP", "ESMTP")
    assert with_word == ("SMTP" if client in HELLOS_OLD_STYLE and not kind.login else keyword)
    if client in RAW:
        assert mail.content == job.mail + b"\n" * (client == "swaks")  # it ends every mail with an empty line
    else:
        expect_body(client, mail, job)


def expect_recipients(client: str, mail: Kept, job: Job) -> None:
    if client == "smtp-source":
        assert len(set(mail.recipients)) == job.kind.recipients
    else:
        assert mail.recipients == job.kind.addresses()


def expect_body(client: str, mail: Kept, job: Job) -> None:
    _, _, body = mail.content.partition(b"\n\n")
    if client == "s-nail":
        assert body == job.kind.body
    elif client == "git send-email":
        assert (
            b"".join(line[1:] + b"\n" for line in body.split(b"\n") if line[:1] == b"+" and line[:2] != b"++")
            == job.kind.body
        )
    else:
        assert len(body) > len(job.kind.body) * 0.9
