"""The manual pages msmtp(1) and msmtprc(5), from OPTIONS, EXITS and the texts here and in msmtp.config.texts.

The texts use the markup that msmtp.config.texts describes.
"""

from __future__ import annotations

from scripts.generate.roff import Roff, argument, escape, inline

from msmtp import failures
from msmtp.config import texts
from msmtp.config.options import HIDDEN, OPTIONS, Option
from msmtp.exits import BY_CODE, EXITS

MAKER = "manual_pages.py"

USED_EXITS = {0, *(each.exit_code for each in vars(failures).values() if isinstance(each, type))}

SYNOPSIS = (
    ("", "[option...] [`--`] recipient..."),
    ("", "[option...] `-t` [`--`] [recipient...]"),
    ("", "`--configure`=mailaddress"),
    ("", "[option...] `--serverinfo`"),
    ("", "[option...] `--rmqs`=(host|@domain|#queue)"),
)

DESCRIPTION = """
msmtp reads a mail from standard input and hands it to an SMTP or LMTP server, which takes care of its delivery. It
can be used in place of sendmail: options and exit codes are compatible. It keeps no queue: when it ends, the server
has the mail, or the exit code says that it has not.

Which server, and how, is said in configuration files; msmtprc(5) describes them. Everything in them but a password
can be said on the command line as well, and counts for more there.

Long options may be cut short as long as they stay unique. Options may also follow recipients. An argument in brackets
may be left out; if it is attached to its option in the list below, then it must be attached.
"""

CHOOSING = """
There are several ways to say which account to use. The first of these that is used counts:

- `--host` and other options describe the server; no configuration file is read.
- `--account` names an account.
- `--from` or `--read-envelope-from` give the envelope-from address. The first account whose `from` fits it is used.
If a system file and a user's file are read, the system's accounts are looked at first. An address with a detail, such
as joe+detail@example.org, also fits the account of joe@example.org.
- The account named `default`.
- Without such an account, `$SMTPSERVER` is the server and `$EMAIL` the envelope-from address.
"""

PASSWORDS = """
If authentication needs a password, the first of these that has one provides it:

- the command `password` of the account
- the command `passwordeval` of the account
- the system's keyring. With Secret Service (GNOME Keyring, KWallet and others) a password is put there by

    secret-tool store --label=msmtp host _hostname_ service smtp user _username_

- ~/.netrc, then SYSCONFDIR/netrc
- whoever sits at the terminal, if there is one
"""

HEADERS = """
msmtp changes a mail only in its header:

- Bcc and Resent-Bcc headers are removed (`remove_bcc_headers`).
- A missing From, Date or Message-ID header is added (`set_from_header`, `set_date_header`, `set_msgid_header`).
- The To and Cc headers can be replaced (`set_to_header`).
"""

LOGGING = """
With `logfile` or `syslog` one line is written for each mail, whether it was sent or not. It holds, as key=value:

- host, or socket: the server
- tls and auth: on or off
- user: with authentication only
- from and recipients: the envelope
- mailsize: octets sent, if the server took the mail
- smtpstatus and smtpmsg: the server's last word, if there was one
- errormsg: what went wrong
- exitcode: by its name

A log that cannot be written is said on standard error and changes nothing else.
"""

SERVER_INFORMATION = """
`--serverinfo` prints how the server greets, the TLS session and the server's certificate with its fingerprints (if
TLS is on), and what the server offers: the size of mails it takes (SIZE), PIPELINING, SMTPUTF8, ETRN, DSN, STARTTLS,
and the methods of AUTH that msmtp knows. Some servers offer more once TLS is on.
"""

EXIT_INTRODUCTION = """
These are the codes of sysexits.h. A code marked "later" means that the same mail may be taken if it is sent again
later; the others mean that something has to be changed first.
"""

UPSTREAM_INTRODUCTION = """
With `--exit-codes=upstream` the codes of the C program are used, which differ in these cases:
"""

MAIN_FILES = """
- SYSCONFDIR/msmtprc: the system's configuration file; `--version` tells where it is.
- ~/.msmtprc or `$XDG_CONFIG_HOME`/msmtp/config: the user's configuration file. The second is read if the first does
not exist; without `$XDG_CONFIG_HOME`, it is ~/.config/msmtp/config.
- SYSCONFDIR/mailname: what %M stands for in `from` and `domain`.
- ~/.netrc and SYSCONFDIR/netrc: passwords.
"""

ENVIRONMENT = """
- `USER`, `LOGNAME`: the user's name, for %U in `from`. The second counts if the first is not set.
- `HOSTNAME`: this machine's name, for %H in `from` and `domain`.
- `SMTPSERVER`, `EMAIL`: server and envelope-from address, if there is no account to use.
- `HOME`, `XDG_CONFIG_HOME`: where the user's files are.
"""

MAIN_EXAMPLES = """
Send a mail to the recipients that it names:

    msmtp -t <mail

See which settings would be used for a mail from this address:

    msmtp --pretend --from=joe@example.org

Ask a server for its certificate, without trusting it:

    msmtp --serverinfo --host=mail.example.org --port=587 --tls --tls-certcheck=off

Use msmtp with Mutt, with git, and with s-nail and other mailx programs:

    set sendmail="/usr/bin/msmtp"                    # ~/.muttrc
    git config --global sendemail.sendmailcmd msmtp
    set mta=/usr/bin/msmtp                           # ~/.mailrc
"""

FILE_DESCRIPTION = """
A configuration file describes accounts; an account is a mail server and how to use it. msmtp(1) reads
SYSCONFDIR/msmtprc and the user's file, ~/.msmtprc or `$XDG_CONFIG_HOME`/msmtp/config. Neither has to exist. An
account in the user's file takes the place of the system's account of the same name. Options on the command line count
for more than both.

Each line holds one command and, after blanks, its argument. Blanks at both ends of a line do not matter. A pair of
double quotes around the argument is removed; nothing is special inside it. Empty lines, and lines that begin with #,
are skipped; a # further on is part of the argument.

Where an argument may be `on`, it may also be left out. A ~ at the beginning of a file's name stands for the home
directory. A number may be decimal, hexadecimal (0x) or octal (0).

A user's file that holds a `password` must belong to that user and must not be readable for anybody else.
"""

FILE_EXAMPLES = """
A user's file:

    # These hold for all accounts.
    defaults
    port 587
    tls on
    logfile ~/.local/state/msmtp.log

    account freemail
    host smtp.freemail.example
    from joe_smith@freemail.example
    auth on
    user joe.smith
    passwordeval gpg --quiet --decrypt ~/.msmtp-password.gpg

    # Another address at the same provider.
    account freemail2 : freemail
    from joey@freemail.example

    account default : freemail

A system's file, for a machine that hands all mail to another:

    account default
    host mail.oursite.example
    port 465
    tls on
    tls_starttls off
    from %U@oursite.example
    syslog LOG_MAIL

Through Tor: the proxy by its address, so that no name is looked up here, and no `domain` that tells too much:

    proxy_host 127.0.0.1
    proxy_port 9050
    tls on
"""

OLD_INTRODUCTION = """
These are still understood. Better use what they stand for.
"""


def option_term(row: Option) -> list[str]:
    """An option in all its forms."""
    return [f"\\fB{escape(name, code=True)}\\fP{argument(value)}" for name, value in texts.option_forms(row)]


def command_term(row: Option) -> list[str]:
    """A command and its argument."""
    name, value = texts.command_form(row)
    return [f"\\fB{name}\\fP {argument(value)}".rstrip()]


def main_page() -> str:
    """msmtp(1)."""
    page = Roff("MSMTP", 1, "User Commands", MAKER)
    page.section("NAME")
    page.lines.append("msmtp \\- an SMTP client that can be used as sendmail")
    page.section("SYNOPSIS")
    for number, (_, usage) in enumerate(SYNOPSIS):
        page.lines += [".br"] if number else []
        page.lines.append(f"\\fBmsmtp\\fP {inline(usage)}")
    page.section("DESCRIPTION")
    page.body(DESCRIPTION)
    page.section("OPTIONS")
    for section, title in texts.SECTIONS.items():
        rows = [row for row in texts.shown() if row.section == section and texts.option_forms(row)]
        page.subsection(title)
        if section == "compatibility":
            page.body("These are accepted and ignored.")
            forms = [form for row in rows for form in option_term(row)]
            page.lines += [".PP", ", ".join(forms)]
            continue
        for row in rows:
            text = texts.text_of(row)
            more = f"{text.summary[:1].upper()}{text.summary[1:]}. See `{row.command}` in msmtprc(5)."
            page.term(option_term(row), more if row.command else text.manual)
    page.term(["\\fB\\-\\-\\fP"], "The end of the options: what follows are recipients, even if it begins with a dash.")
    for title, text in (
        ("CHOOSING AN ACCOUNT", CHOOSING),
        ("PASSWORDS", PASSWORDS),
        ("HEADERS", HEADERS),
        ("LOGGING", LOGGING),
        ("SERVER INFORMATION", SERVER_INFORMATION),
    ):
        page.section(title)
        page.body(text)
    exit_codes(page)
    for title, text in (("FILES", MAIN_FILES), ("ENVIRONMENT", ENVIRONMENT), ("EXAMPLES", MAIN_EXAMPLES)):
        page.section(title)
        page.body(text)
    page.section('"SEE ALSO"')
    page.lines.append("\\fBmsmtprc\\fP(5), \\fBsendmail\\fP(8), \\fBsecret\\-tool\\fP(1)")
    return page.text()


def exit_codes(page: Roff) -> None:
    """What the codes mean, and where those of the C program differ."""
    page.section("EXIT CODES")
    page.body(EXIT_INTRODUCTION)
    for row in EXITS:
        if row.code in USED_EXITS:
            later = " (later)" if row.temporary and "later" not in row.meaning else ""
            page.term([f"\\fB{row.code}\\fP {row.name}"], f"{row.meaning[:1].upper()}{row.meaning[1:]}{later}.")
    page.body(UPSTREAM_INTRODUCTION)
    for each in vars(failures).values():
        if isinstance(each, type) and each.upstream_exit != each.exit_code:
            old, new = each.upstream_exit, each.exit_code
            text = " ".join((each.__doc__ or "").split())
            page.term([f"\\fB{old}\\fP {BY_CODE[old].name}, otherwise \\fB{new}\\fP {BY_CODE[new].name}"], text)


def file_page() -> str:
    """msmtprc(5)."""
    page = Roff("MSMTPRC", 5, "File Formats", MAKER)
    page.section("NAME")
    page.lines.append("msmtprc \\- configuration files of msmtp")
    page.section("DESCRIPTION")
    page.body(FILE_DESCRIPTION)
    page.section("COMMANDS")
    for section, title in texts.SECTIONS.items():
        rows = [row for row in texts.shown() if row.section == section and row.command]
        if rows:
            page.subsection(title)
        for row in rows:
            page.term(command_term(row), texts.text_of(row).manual)
    page.section('"OLD COMMANDS"')
    page.body(OLD_INTRODUCTION)
    for row in OPTIONS:
        if row.note == HIDDEN and row.command:
            page.term(command_term(row), texts.text_of(row).manual)
    page.section("EXAMPLES")
    page.body(FILE_EXAMPLES)
    page.section("FILES")
    page.body(MAIN_FILES)
    page.section('"SEE ALSO"')
    page.lines.append("\\fBmsmtp\\fP(1)")
    return page.text()


TARGETS = {"packaging/man/msmtp.1": main_page, "packaging/man/msmtprc.5": file_page}
