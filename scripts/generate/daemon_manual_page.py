"""The manual page msmtpd(8), from msmtpd's OPTIONS, EXITS, the tables of its environment and status, and texts here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.generate.roff import Roff, argument, bold, escape, inline

from msmtp import failures
from msmtp.config import daemon_texts
from msmtp.daemon.environment import DESCRIBING, INHERITED
from msmtp.daemon.status import COUNTERS
from msmtp.exits import EXITS

if TYPE_CHECKING:
    from msmtp.config.options import Option

MAKER = "daemon_manual_page.py"

SYNOPSIS = (
    "[option...]",
    "[option...] `--inetd`",
    "[option...] `--status`[=socket]",
    "[option...] `--check`[=address]",
    "`--version` | `--help`",
)

DESCRIPTION = """
msmtpd takes mails by SMTP, or LMTP, and hands each to a command, which is msmtp unless another one is named. It is for
programs that can send mail only to a server: put it beside them, on the same machine. It keeps no queue. A client is
told that its mail was taken when the command has ended well, and so when msmtp's server has it.

It listens at port 25 of 127.0.0.1 unless options say otherwise. It can also be handed its sockets by systemd, or serve
one session on standard input and output for inetd.

The work is shared by processes that trust each other as little as can be: a client talks to one that can open no file,
run no program and reach nobody but those that check passwords and deliver mails.

Long options may be cut short as long as they stay unique. An argument in brackets may be left out. Options can also
stand in a file (`--config`).
"""

DELIVERY = """
The command of `--command` is run once for each mail, with the mail on standard input, its lines ended by line feeds,
below a Received header of msmtpd's. The first `%F` is replaced by the envelope-from address, or by MAILER-DAEMON if
there is none (`<>`), and the recipients are appended. So the command should end with `--`, or an address that begins
with a dash would be an option.

If there is nothing in it that a shell has to understand, it is run directly. Otherwise /bin/sh runs it, with the
recipients as `"$@"`; the envelope-from address then becomes part of what the shell reads, and one with other signs than
letters, digits and `.@_+/=-` is refused (553).

The command runs as the user of msmtpd (see `--user`), in a process group of its own, with an environment that is
described below, and with no other file open than standard input, output and error. What it prints never gets to the
client, but for the last line if it fails. After `--command-timeout`, or when the daemon has to end, all that it has
started is ended with it; with `--inetd`, but for what has made itself a daemon.

Its exit code decides what the client is told:

- 0: the mail was taken (250).
- LATER: the client should try again later (451). The same if it was ended by a signal or by the time limit; and, if it
  is msmtp, for a code that msmtp has not: it could not be started, while it is being upgraded, say.
- any other: the mail is refused for good (554).

A mail has one outcome, for all its recipients. With `--lmtp` it is told once for each.
"""

DEFAULT_COMMAND = """
With the default command, what a client says about delivery status notifications (NOTIFY, RET, ENVID, ORCPT), 8BITMIME
and SMTPUTF8 is passed on to msmtp. Another command finds it in its environment.
"""

COMMAND_ENVIRONMENT = """
The command has these variables of msmtpd's own environment, as far as they are set there:
"""

COMMAND_DESCRIPTION = """
And these about the mail; one that would be empty is not set:
"""

AUTHENTICATION = """
With `--auth`, mail is taken only after authentication, by SCRAM-SHA-256, or by PLAIN or LOGIN, which show the password
to msmtpd, and to whoever can listen between if there is no TLS. What stays on the machine only root can listen to; for
other clients, use `--tls-cert`.

Without `--auth` everybody who can connect can send mail in your name, and 127.0.0.1 can be connected to by all users of
the machine. A `--socket` with permissions is the other way to let in only some.

Passwords are fetched at the start and whenever the options are read again, by a process that then ends. What is kept is
good for checking a password, not for using it elsewhere. A command or a credential may also give just that, in place of
the password: a line such as `SCRAM-SHA-256$4096:salt$stored:server`, as some databases have it. If there are several
such lines, they must have the same number of iterations, and salts of one length, as these show to everybody.

After a wrong password, the next answers to the same source (an address, an IPv6 network of 64 bits, or a user of this
machine) are held back by a few seconds, and those to others for a minute by one second. Nobody is ever locked out.
"""

POLICY = """
The file of `--policy` says who may send what. Without one, everybody who can connect may send anything as anybody, at
the cost of the one whose password at the mail server is used. It holds rules, each with lines of its own; empty lines,
and lines that begin with #, are skipped:

    for user root, group adm
        from *

    for user www-data
        from *@example.org
        account web
        rate 200/hour

    for auth scanner
        from scanner@example.org

    for everybody
        rate 30
        recipients 100

A rule begins with those whom it is for, with commas between them:
"""

POLICY_WHOM = {
    "user": (
        "name",
        (
            "This user of the machine, by name, by number, or by numbers as in 1000-1999. Who connects to a "
            "unix socket or from the machine's own addresses is known from the kernel."
        ),
    ),
    "group": (
        "name",
        (
            "Users of the machine who are members of this group, as their first group or another, by name, "
            "number or numbers."
        ),
    ),
    "auth": (
        "name",
        (
            "Who gave the password of this user of `--auth`. No rule for a user of the machine is for somebody "
            "who gave a password, whoever he is there."
        ),
    ),
    "everybody": ("", "All of these."),
    "unknown": (
        "",
        (
            "Who is none of these: clients elsewhere that gave no password, and those behind a proxy. "
            "`everybody` is not for them."
        ),
    ),
}

POLICY_FIRST = """
The first rule that is for the sender counts, and no other adds anything to it. So rules that let do more come first.
Whom no rule is for may not send. The lines of a rule:
"""

POLICY_LINES = {
    "from": (
        "pattern...",
        (
            "Addresses to send as: each that stands in the envelope or in a From header must fit one of these. `*`, "
            "`?` and [...] are wildcards, which do not match across the @; `*` alone is any address; %U is the name of "
            "the sender, %M the name of the machine in mail (first line of /etc/mailname, else the machine's own), %H "
            "each of the machine's own names (its host name, and the same with another domain, or none, if /etc/hosts "
            "has that for it), %% a percent sign. May be repeated. Without it, %U@%M. An address without a domain is "
            "one of this machine. The domain is compared in any case of letters, what stands before it exactly. The "
            "empty sender (`<>`) of notices may always be used, and a mail without a From header is left to the "
            "command, which adds one."
        ),
    ),
    "header": (
        "(refuse|replace)",
        (
            "What becomes of a mail with a From header that fits none of them, or that programs may read in more than "
            "one way: it is refused, which is the default, or the default command is told to put the sender of the "
            "envelope in its place (`--set-from-header=on`), or MAILER-DAEMON if that is empty. `replace` is for "
            "programs that write a From of their own: cron says that all its mails are root's."
        ),
    ),
    "account": (
        "name",
        ("The account of the mail server's settings by which to send: the default command gets `-a` name."),
    ),
    "rate": (
        "number[/minute|/hour|/day]",
        (
            "How many mails each of them may send, a minute if nothing else is said: so many at once, and then as many "
            "in the time. Tries that are refused for other reasons than these are not counted, mails whose From header "
            "is refused are. What was counted is forgotten when delivery starts anew."
        ),
    ),
    "recipients": ("number", "How many recipients a mail may have."),
    "refuse": ("", "Nothing. The rule has no other lines."),
}

POLICY_REFUSALS = """
What is against a rule is refused before the content of the mail comes, with 550, or with 450 if it was too often; a
From header that is against it, afterwards, with 550. The answer names the file and the line of the rule, and says what
is allowed. The log has it as the event `forbidden`. A header of more than 64 KiB is refused, as a From header may stand
behind that, unless the rule lets send as anybody (`from *`).

A mistake in the file keeps msmtpd from starting; when it reads its options again (SIGHUP), the rules stay as they were.
`msmtpd --check` tells what they allow to the user who asks.

With `--inetd`, each session counts for itself, unless delivery is a service of its own (`--deliver-by`).
"""

PROTOCOL = """
msmtpd understands EHLO, HELO (LHLO with `--lmtp`), MAIL, RCPT, DATA, BDAT, RSET, NOOP, VRFY, HELP, QUIT, AUTH and
STARTTLS, and offers PIPELINING, SIZE, 8BITMIME, SMTPUTF8, DSN, ENHANCEDSTATUSCODES and CHUNKING. All addresses of RFC
5321 and RFC 6531 can be used.

- A mail ends with a dot between two full line ends (CR LF) and nowhere else. Line feeds alone within it are taken for
line ends; a carriage return alone, or a NUL, makes the whole mail refused.
- A mistake does not end the session; the third one does (421). A recipient that is refused costs the others nothing.
- A client that goes away before the end of a mail has sent none.
- Where there is no room for a session, the client is told so at once (421).
"""

LOGGING = """
`--log`=_file_ appends lines of this form; to see syslog's or the journal's, ask journalctl(1) or look into
/var/log/mail.log:

    2026-01-31 12:00:00 msmtpd[4711] info: session 17: connection from 127.0.0.1

`--log`=stdout writes the same to standard output, where the engine of a container keeps it. Each session has a number,
which all its lines have. A mail that was delivered or not is named by its sender, number of recipients and size. In
systemd's journal the parts of a line are also fields, MSMTPD_EVENT and MSMTPD_SESSION among them: `journalctl
MSMTPD_SESSION=17`. With `--log`=json they are members of an object: {"event":"connected","session":17, and so on}.
Passwords, and texts of mails, are in no log.
"""

STATUS = """
`--status` prints how much of each of these there was since the start, or is now, and a line for each session. The
status socket tells the same to programs, each in a line with its name and its value:
"""

SIGNALS = {
    "SIGTERM, SIGINT": "Take no more clients, finish the mails that are under way, then end.",
    "SIGHUP": "Read the options again, the file and the certificate with them. If there is a mistake in them, the log "
    "says so and nothing changes. Otherwise new processes take over, and the old ones end with their last session; no "
    "client finds the door closed.",
}

EXIT_INTRODUCTION = """
msmtpd ends with one of the codes of sysexits(3). Those of the delivery command are another matter, see DELIVERY.
"""

USED_EXITS = (
    ("EX_OK", "all went well: it was told to end, or the session is over, or what was asked for was printed"),
    ("EX_USAGE", "the command line is wrong"),
    ("EX_NOINPUT", "the certificate or its key cannot be read"),
    ("EX_UNAVAILABLE", "an address cannot be listened at, or nobody and nothing has the password"),
    ("EX_SOFTWARE", "a fault in msmtpd"),
    ("EX_OSERR", "the system refused what msmtpd cannot be without"),
    ("EX_IOERR", "a file cannot be read or written"),
    ("EX_TEMPFAIL", "interrupted before it was ready"),
    ("EX_CONFIG", "a file of options or another setting is wrong, or a service cannot confine itself (--sandbox)"),
)

EXITS_OF_FAILURES = (
    failures.UsageFailure,
    failures.TlsFileFailure,
    failures.ListenerFailure,
    failures.PasswordFailure,
    failures.SystemFailure,
    failures.SandboxFailure,
    failures.FileFailure,
    failures.ConfigFailure,
    failures.ServiceFailure,
    failures.UnconfinedFailure,
)
"""What the daemon ends with; a test holds that USED_EXITS has the code of each."""

ENVIRONMENT = """
- `LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES`: sockets that systemd hands over. Then the options that say where to
listen do not matter. TLS begins at once on a socket whose name (`FileDescriptorName=`) is smtps or submissions.
- `NOTIFY_SOCKET`, `WATCHDOG_USEC`: where systemd wants to hear that msmtpd is ready, and that it is alive.
- `CREDENTIALS_DIRECTORY`, `STATE_DIRECTORY`, `RUNTIME_DIRECTORY`: folders that systemd makes for a service: for
passwords, for large mails, for the status socket.
- `XDG_RUNTIME_DIR`: the same for the status socket of a user's msmtpd.
"""

FILES = """
- /etc/msmtpd.conf, /etc/msmtpd/policy, /etc/msmtpd/msmtprc: of the units that packages install, the options
(`--config`), the rules that the options name (`--policy`), and the mail server's settings for delivery alone.
- `$CREDENTIALS_DIRECTORY`/_user_: the password of this user of `--auth`; if there is only one user without a command,
`$CREDENTIALS_DIRECTORY`/auth is as good. systemd makes them (`LoadCredential=`, `SetCredentialEncrypted=`).
- /var/tmp, or `$STATE_DIRECTORY`: where mails of more than 1 MiB are while they come in, without a name.
- /run/msmtpd/status, `$RUNTIME_DIRECTORY`/status, or `$XDG_RUNTIME_DIR`/msmtpd-_port_.status: the status socket.
"""

AS_SERVICE = """
Where systemd is not, start-stop-daemon can start and stop it, as a user of its own who needs no password:

    start-stop-daemon --start --pidfile /run/msmtpd.pid --make-pidfile \\
        --chuid msmtpd --background --exec /usr/bin/msmtpd -- \\
        --port=2525 --log=syslog --command='/usr/bin/msmtp -f %F --'
    start-stop-daemon --stop --pidfile /run/msmtpd.pid --remove-pidfile \\
        --signal TERM

Or msmtpd does it itself; started by root it opens port 25 and then becomes the user:

    msmtpd --daemon --pidfile=/run/msmtpd.pid --user=msmtpd --log=syslog

The command is run as the same user, so that user's (or the system's) configuration file of msmtp has to say which
server to send to. Listen only at addresses that nobody else can reach.

From inetd, in /etc/inetd.conf:

    127.0.0.1:smtp stream tcp nowait msmtpd /usr/bin/msmtpd msmtpd --inetd --log=syslog
"""

FOR_A_USER = """
A mail program that insists on a server can be given one that hands all mail to your msmtp. Let it require
authentication, or other users of the machine, and any program, could send mail as you. Choose a user name, here
msmtpd-user, and a password that is used for nothing else, and put it into the keyring:

    secret-tool store --label=msmtpd host localhost service smtp user msmtpd-user

Then start msmtpd, at a port that needs no rights:

    msmtpd --port=2500 --auth=msmtpd-user --command='/usr/bin/msmtp -f %F --'

Without a keyring, any command that prints the password will do:

    msmtpd --port=2500 --auth=msmtpd-user,'gpg -q -d ~/.msmtpd-password.gpg'

Tell the mail program to send through localhost, port 2500, without encryption, with this user name and password. If it
complains that there is no encryption: what it sends does not leave the machine. It needs no more than this one server,
whatever accounts there are in it; msmtp chooses its own account by the envelope-from address.
"""

OTHER_EXAMPLES = """
For programs of the group mail, and no others, a socket; this is a file of options for `--config`:

    socket /run/msmtpd/smtp,mode=0660,group=mail
    log journal
    max-size 25m

What is it doing?

    msmtpd --status
"""


def option_term(row: Option) -> list[str]:
    """An option in all its forms."""
    return [f"\\fB{escape(name, code=True)}\\fP{argument(value)}" for name, value in daemon_texts.option_forms(row)]


def options(page: Roff) -> None:
    """Every option."""
    page.section("OPTIONS")
    for section, title in daemon_texts.SECTIONS.items():
        page.subsection(title)
        for row in daemon_texts.shown():
            if row.section == section:
                page.term(option_term(row), daemon_texts.text_of(row).manual)


def delivery(page: Roff) -> None:
    """How mails are handed over, and what the command knows of them."""
    page.section("DELIVERY")
    codes = [str(row.code) for row in EXITS if row.temporary]
    page.body(DELIVERY.replace("LATER", f"{', '.join(codes[:-1])} or {codes[-1]}"))
    page.body(DEFAULT_COMMAND)
    page.subsection('"Environment of the command"')
    page.body(COMMAND_ENVIRONMENT)
    page.lines += [".PP", ", ".join(bold(name) for name, _ in INHERITED) + "."]
    page.body(COMMAND_DESCRIPTION)
    for name, meaning in DESCRIBING:
        page.term([f"\\fB{name}\\fP"], sentence(meaning))


def policy(page: Roff) -> None:
    """Who may send what."""
    page.section("POLICY")
    page.body(POLICY)
    for rows, after in ((POLICY_WHOM, POLICY_FIRST), (POLICY_LINES, POLICY_REFUSALS)):
        for name, (value, text) in rows.items():
            page.term([f"\\fB{name}\\fP{' ' if value else ''}{argument(value) if value else ''}"], text)
        page.body(after)


def sentence(text: str) -> str:
    """A text of a table as one."""
    return f"{text[:1].upper()}{text[1:].removesuffix(' ...')}."


def generate() -> str:
    """msmtpd(8)."""
    page = Roff("MSMTPD", 8, "System Administration", MAKER)
    page.section("NAME")
    page.lines.append("msmtpd \\- a small SMTP and LMTP server that hands mails to a command")
    page.section("SYNOPSIS")
    for number, usage in enumerate(SYNOPSIS):
        page.lines += [".br"] if number else []
        page.lines.append(f"\\fBmsmtpd\\fP {inline(usage)}")
    page.section("DESCRIPTION")
    page.body(DESCRIPTION)
    options(page)
    delivery(page)
    page.section("AUTHENTICATION")
    page.body(AUTHENTICATION)
    policy(page)
    for title, text in (("PROTOCOL", PROTOCOL), ("LOGGING", LOGGING)):
        page.section(title)
        page.body(text)
    page.section("STATUS")
    page.body(STATUS)
    for name, _, meaning in COUNTERS:
        page.term([f"\\fB{name}\\fP"], sentence(meaning))
    page.section("SIGNALS")
    for names, text in SIGNALS.items():
        page.term([f"\\fB{names}\\fP"], text)
    page.section("EXIT CODES")
    page.body(EXIT_INTRODUCTION)
    codes = {row.name: row.code for row in EXITS}
    for name, text in USED_EXITS:
        page.term([f"\\fB{codes[name]}\\fP {name}"], sentence(text))
    for title, text in (("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)):
        page.section(title)
        page.body(text)
    page.section("EXAMPLES")
    for title, text in (
        ('"A service of the system"', AS_SERVICE),
        ('"A server for one user\'s mail program"', FOR_A_USER),
        ("Others", OTHER_EXAMPLES),
    ):
        page.subsection(title)
        page.body(text)
    page.section('"SEE ALSO"')
    page.lines.append("\\fBmsmtp\\fP(1), \\fBmsmtprc\\fP(5), \\fBsecret\\-tool\\fP(1), \\fBsystemd.socket\\fP(5)")
    return page.text()


TARGET = "packaging/man/msmtpd.8"
