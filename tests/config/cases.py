"""Files and arguments on which ours and the C program are compared, and how each is run on one.

A case is a name, the text of a configuration file (given with -C; None for no file), and arguments.  Everything runs in a
folder of its own with the file named ``rc`` in it and the same environment, so the outputs hold no path that differs.
INTENDED names the cases in which ours differs on purpose, and why; docs/compatibility.md tells users.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from msmtp.config import command_line, options, pretend, reader
from msmtp.config.account import Account, choose
from msmtp.failures import ConfigFailure, Failure

ENVIRONMENT = {
    "HOME": "/home/joe",
    "USER": "joe",
    "HOSTNAME": "here.example",
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C.UTF-8",
}

MD5 = ":".join(["0A"] * 16)
SHA1 = ":".join(["b1"] * 20)
SHA256 = ":".join(["C2"] * 32)

# One line each, in an account that has a host.
LINES = (
    "port 587", "port 0x19", "port 031", "port +25", "port 0", "port 65536", "port 5x", "port 08", "port -5", "port",
    "timeout off", "timeout 0", "timeout 0x1e", "timeout 2147483648", "timeout on", "timeout", "connect_timeout 7",
    "source_ip 192.0.2.1", "source_ip", "proxy_host 192.0.2.2", "proxy_port 70000", "proxy_port",
    "protocol lmtp", "protocol SMTP", "protocol", "domain here.example", "domain", "domain %H", "domain %U-%X",
    "auth", "auth on", "auth off", "auth plain", "auth PLAIN", "auth scram-sha-256", "auth xoauth2", "auth md5",
    "user joe", 'user "a b"', 'user "  a  "', 'user a"b"', 'user "', "user #1", "user", "password secret", "password",
    "passwordeval echo secret", "ntlmdomain d", "tls", "tls on", "tls off", "tls yes", "tls ON", "TLS on",
    "tls_starttls", "tls_starttls off", "tls_nostarttls", "tls_nostarttls x", "tls_certcheck off", "tls_nocertcheck",
    "tls_trust_file", "tls_trust_file ~/ca.pem", "tls_trust_file system", "tls_crl_file crl", "tls_force_sslv3",
    f"tls_fingerprint {MD5}", f"tls_fingerprint {SHA1}", f"tls_fingerprint {SHA256}", f"tls_fingerprint {SHA256}:00",
    "tls_fingerprint 00:11", "tls_fingerprint " + SHA1.replace(":", " "), "tls_fingerprint " + SHA1.replace(":", ""),
    "tls_key_file key", "tls_cert_file cert", "tls_priorities NORMAL", "tls_priorities", "tls_host_override other",
    "tls_min_dh_prime_bits 512", "tls_min_dh_prime_bits 0", "auto_from", "auto_from maybe", "maildomain d.example",
    "from joe@here.example", "from", "from <>", "from %U@%H", "from %F", "from %X%", "from *@here.example",
    "from_full_name Joe Doe", "allow_from_override off", "allow_from_override",
    "set_from_header", "set_from_header on", "set_from_header off", "set_from_header yes", "set_date_header off",
    "set_date_header on", "set_msgid_header off", "set_to_header", "set_to_header undisclosed_recipients",
    "set_to_header auto", "undisclosed_recipients", "undisclosed_recipients off", "remove_bcc_headers off", "keepbcc",
    "keepbcc off", "add_missing_from_header off", "add_missing_from_header auto", "add_missing_date_header",
    "dsn_notify never", "dsn_notify off", "dsn_notify failure,delay", "dsn_notify success,success",
    "dsn_notify failure, delay", "dsn_notify never,delay", "dsn_notify", "dsn_return headers", "dsn_return full",
    "dsn_return hdrs", "dsn_return some", "logfile ~/log", "logfile -", "logfile", "logfile_time_format none", "syslog",
    "syslog LOG_LOCAL3", "syslog LOG_DAEMON", "syslog off", "aliases ~/aliases", "aliases",
    "frobnicate", "frobnicate on", "defaults x", "account", "account :", "account a,b", "account x : none",
    "account x : default,", "account default", "eval", "eval echo port 77", "eval echo", "eval echo '# none'",
    "eval echo nothing", "eval echo eval echo port 77", "eval false", "# comment", "  \t ", "\tport\t26\t", "port 26\r",
)  # fmt: skip

OPTIONS = (
    "--tls", "--tls=on", "--tls=off", "--tls=x", "--tls=", "--tls-starttls=off --tls", "--tls-certcheck=off",
    "--tls-trust-file= --tls", "--tls-trust-file= --tls --tls-certcheck=off", "--tls-trust-file=~/ca.pem",
    f"--tls-fingerprint={SHA256}", "--tls-fingerprint=", "--tls-key-file=k", "--tls-key-file=k --tls-cert-file=c",
    "--tls-priorities=x", "--tls-host-override=y", "--tls-min-dh-prime-bits=512", "--tls-crl-file=c",
    "--tls-crl-file=c --tls-trust-file=", "--auth", "--auth=", "--auth=login", "--auth=x", "--user=joe", "--user=",
    "--passwordeval=true", "--port=26", "--port=x", "--port=", "--source-ip=192.0.2.1", "--proxy-host=p",
    "--proxy-host=p --proxy-port=1", "--proxy-port=", "--socket=/s", "--timeout=5", "--timeout=off", "--timeout=x",
    "--connect-timeout=3", "--protocol=lmtp", "--protocol=lmtp --port=24", "--domain=d", "--domain=", "-f a@b",
    "-f <>", "--from=", "--from=a@b", "-Fx", "-F x", "--maildomain=d", "--auto-from", "-N never", "-N off", "-N x",
    "-R hdrs", "-R full", "-R x", "--dsn-notify=failure,success", "-X /l", "--logfile=", "--logfile-time-format=x",
    "--syslog", "--syslog=LOG_MAIL", "--syslog=x", "--aliases=a", "--set-from-header", "--set-from-header=on",
    "--set-date-header=off", "--set-date-header=on", "--set-msgid-header=off", "--set-to-header",
    "--set-to-header=undisclosed_recipients", "--undisclosed-recipients", "--remove-bcc-headers=off", "--keepbcc",
    "--add-missing-from-header=off", "--tls-force-sslv3", "-t", "-t a@b", "a@b -t", "-tv", "-S", "-S a@b", "--rmqs=#q",
    "--rmqs=a b", "-S --rmqs=a", "-oi -om -O x=y -L tag -Ac -B7BIT -h3 -G -n -m -i -bm", "-bx", "-bmm", "-b",
    "--help=1", "--foo", "--foo=bar", "---x", "--ho", "--t=x", "--tls-c", "--pa=x", "-z", "-f", "-x -P", "-- -x", "-",
    "-a default", "-a other", "--account=", "-f x --read-envelope-from", "--host=", "--host=other",
    "--host=other -a default", "--host=other --tls -f a@b", "--ti=3", "--dom=x", "-C", "-d", "--debug=3",
)  # fmt: skip

CHOICE = """
defaults
port 587
tls on
account home
host home.example
from joe@home.example
account work
host work.example
from joe+work@work.example
timeout 10
account lists : home
from *-list@home.example
defaults
timeout 20
account sub : work, lists
user joe
account default : sub
"""
CHOICES = (
    "", "-a home", "-a work", "-a lists", "-a sub", "-a none", "-f joe@home.example", "-f JOE@HOME.example",
    "-f joe+x@home.example", "-f joe+x+y@home.example", "-f joe+work@work.example", "-f joe@work.example",
    "-f m-list@home.example", "-f M-LIST@home.example", "-f m-list+x@home.example", "-f nobody@x",
    "-f joe@home.example -a work", "-f <>", "-f joe@home.example -S", "--read-envelope-from", "--host=x -f joe@home.example",
)  # fmt: skip

CASES: dict[str, tuple[str | None, str]] = {
    **{f"line {line!r}": (f"account default\nhost x\n{line}\n", "") for line in LINES},
    **{f"option {option}": ("host x\n", option) for option in OPTIONS},
    **{f"choice {choice}": (CHOICE, choice) for choice in CHOICES},
    "no default": ("account a\nhost x\n", ""),
    "empty file": ("", ""),
    "no file": (None, "-C none"),
    "a folder": (None, "-C ."),
    "no host": ("account default\n", ""),
    "no end of line": ("host x\nport 26", ""),
    "byte order": ("# \u00e4\nuser \u00e4\nhost x\n", ""),
    "socket": ("socket /s\n", ""),
    "socket tls": ("socket /s\ntls\n", ""),
    "socket tls name": ("socket /s\ntls\ntls_host_override n\n", ""),
    "socket lmtp": ("socket /s\nprotocol lmtp\n", ""),
    "auto from": ("host x\nauto_from\nmaildomain d.example\nfrom a@b\n", "-f c@d"),
    "forbidden": ("host x\nfrom a@b\nallow_from_override off\n", "-f c@d"),
    "unset": ("host x\ntimeout 5\nproxy_host p\nproxy_port 3\nlogfile l\n", "--timeout=off --proxy-port= --logfile="),
    "late default": ("account a\nhost x\ndefaults\nport 26\n", "-a a"),
    "quoted account": ('host x\naccount "b : default"\nport 26\n', "-a b"),
    "account with blanks": ("account a b\nhost x\n", ""),
    "tabs": ("host x\naccount b\t:\tdefault\t,\tdefault\n", "-a b"),
}

INTENDED = {
    "line 'from <>'": "the null sender is shown as one, whatever way it was said",
    "line 'allow_from_override'": "the manual: where 'on' may stand, nothing may stand",
    "line 'dsn_return hdrs'": "sendmail's word may stand in the file, too",
    "line 'eval false'": "a command that fails is a configuration error of its line",
    "option --host=": "an empty name is no host",
    "socket lmtp": "a socket needs no port",
    "choice --read-envelope-from": "files are read before the mail is",
}
"""Case: why ours answers otherwise."""

OURS_ONLY = tuple(f"{row.label} = " for row in options.OPTIONS if row.label and row.note == options.OWN)
"""Beginnings of lines that only ours prints."""


class Answer:
    """What a run left: exit code, standard output and standard error as lines, without what is known to differ."""

    def __init__(self, code: int, output: str, errors: str) -> None:
        self.code = code
        # Whether this machine has a system file is not the question here.
        self.output = [
            line
            for line in output.splitlines()
            if "system configuration file" not in line and not line.startswith(OURS_ONLY)
        ]
        self.errors = errors.splitlines()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answer) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Answer({self.code}, {self.errors}, {self.output})"


def words(text: str) -> list[str]:
    """Arguments, split at blanks, behind --pretend."""
    return ["-P", *text.split(" ")] if text else ["-P"]


def prepare(folder: Path, text: str | None, arguments: str) -> list[str]:
    """Write the file and give the arguments to run with."""
    if text is None:
        return words(arguments)
    file = folder / "rc"
    file.write_text(text)
    file.chmod(0o600)
    return ["-C", "rc", *words(arguments)]


def theirs(program: Path, folder: Path, text: str | None, arguments: str) -> Answer:
    """Run the C program on a case."""
    found = subprocess.run(
        ["msmtp", *prepare(folder, text, arguments)],
        executable=program,
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=20,
    )
    # getopt calls the program by its whole name.
    errors = re.sub(r"^/\S*msmtp: ", "msmtp: ", found.stderr.decode(), flags=re.MULTILINE)
    return Answer(found.returncode, found.stdout.decode(), errors)


def evaluate(command: str) -> str:
    """What the sender does for ``eval``, in short."""
    found = subprocess.run(["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if found.returncode:
        raise ConfigFailure(f"cannot read output of '{command}'")
    return found.stdout.decode().partition("\n")[0]


def ours(folder: Path, text: str | None, arguments: str) -> Answer:
    """Run our reader, chooser and printer on a case, as the sender does; the environment is the caller's business."""
    output = ""
    os.chdir(folder)
    configuration = reader.Configuration()
    try:
        line = command_line.parse(["msmtp", *prepare(folder, text, arguments)])
        account: Account | None = None
        try:
            if "host" not in line.settings:
                reader.load(configuration, line.file, evaluate)
            account = choose(line, configuration, mail_sender=lambda: None, canonical_name=lambda host: host)
        finally:
            output += "".join(f"{note}\n" for note in configuration.notes)
        return Answer(0, output + pretend.dump(account, line), "")
    except Failure as failure:
        return Answer(failure.exit_code, output, f"msmtp: {failure.message}\n")
