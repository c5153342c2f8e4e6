"""What each row of OPTIONS is for, in words: read by --help, the manual pages, the completions and docs/options.md.

TEXTS is keyed by :attr:`msmtp.config.options.Option.name`.  Markup is little enough to become roff and Markdown alike:
`back quotes` around what is typed as it stands, _underscores_ around what is to be replaced, a blank line between
paragraphs, "- " before an item of a list, four blanks before a line of an example.
"""

from __future__ import annotations

from msmtp.config.options import ACCOUNT, HIDDEN, MAY, MUST, NEEDED, OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.options import Option

SECTIONS = {
    "general": "General",
    "mode": "Modes of operation",
    "connection": "Server and connection",
    "authentication": "Authentication",
    "tls": "TLS",
    "sendmail": "Sending mail",
    "compatibility": "Compatibility with sendmail",
}


class Text:
    """``argument`` as usage lines show it ('' for none), ``summary`` of a few words, ``manual``: paragraphs."""

    __slots__ = ("argument", "manual", "summary")

    def __init__(self, argument: str, summary: str, manual: str = "") -> None:
        self.argument = argument
        self.summary = summary
        self.manual = manual or f"{summary[:1].upper()}{summary[1:]}."


_PATTERNS = """- `%H` is `$HOSTNAME` or, without it, the name of this machine.
- `%C` is the canonical name of `%H`, as the resolver knows it.
- `%M` is the first line of SYSCONFDIR/mailname (`msmtp --version` shows SYSCONFDIR with the system's configuration
file)."""

TEXTS: dict[str, Text] = {
    # -- general
    "--version": Text("", "print the version and what it supports"),
    "--help": Text("", "print this help"),
    "--pretend": Text(
        "",
        "print the settings that would be used and stop",
        "Print the settings that would be used, and send nothing. An asterisk stands for the password. A "
        "`passwordeval` command is run.",
    ),
    "--debug": Text(
        "level",
        "print the settings and the whole dialogue with the server",
        "Print the settings and the whole dialogue with the server on standard output. A level is accepted for the "
        "sake of sendmail; `-d0.1` prints the version.",
    ),
    "-v": Text("", "the same as -d", "The same as `-d`."),
    "--configure": Text(
        "mailaddress",
        "print a configuration for an address",
        "Look up which server takes mail from this address (SRV records, RFC 6186 and RFC 8314), and print an account "
        "for the configuration file. If the domain publishes no such records, say so.",
    ),
    "--serverinfo": Text(
        "",
        "print what the server can do",
        "Connect to the server, print its greeting, its certificate (with TLS) and the extensions it offers, and stop. "
        "`--serverinfo --tls --tls-certcheck=off` shows the certificate of a server that is not trusted yet. See "
        "SERVER INFORMATION in msmtp(1).",
    ),
    "--rmqs": Text(
        "(host|@domain|#queue)",
        "ask the server to send what it has queued",
        "Ask the server to begin to deliver the mails that wait there for a host, for all hosts of a domain, or in a "
        "queue (ETRN, RFC 1985), and stop.",
    ),
    "-b": Text(
        "mode",
        "what sendmail's -b asks for: m, s, p, i, d, t or v",
        "Choose what to do, as sendmail has it. msmtp keeps no queue and no database of aliases and is no server.\n\n"
        "- `-bm` sends a mail; this is what happens anyway.\n"
        "- `-bs` speaks SMTP on standard input and output, and sends each mail as it is accepted.\n"
        "- `-bp` shows the queue, which is always empty. The name mailq means the same.\n"
        "- `-bi` checks the aliases file; it is read afresh for each mail, so nothing is to be made of it. The name "
        "newaliases means the same.\n"
        "- `-bd`, `-bt` and `-bv` are understood but not available; the message says what to use in their place.",
    ),
    "-q": Text(
        "interval",
        "run the queue, of which there is none",
        "Run the queue once. As there is no queue there is nothing to do. With an interval, say that nobody stays to "
        "do it.",
    ),
    "--file": Text(
        "filename",
        "use this file instead of the user's configuration file",
        "Use this configuration file instead of ~/.msmtprc or `$XDG_CONFIG_HOME`/msmtp/config.",
    ),
    # -- the shape of the file
    "defaults": Text(
        "",
        "begin a block of default values",
        "The commands that follow, up to the next `account` or `defaults`, set values that all accounts further down "
        "in this file begin with. There may be several such blocks; each changes what those above it said.",
    ),
    "account": Text(
        "name",
        "use this account of the configuration files",
        "Begin an account. It starts with the default values that hold at this place. If names of other accounts of "
        "this file follow after a colon, it takes over every setting that they make, one after another:\n\n"
        "    account _name_ : _account_, _account_\n\n"
        "The account named `default` is the one used if none is chosen. Commands that stand before the first `account` "
        "and `defaults` belong to it, too. `account default : work` makes another account the default.",
    ),
    "eval": Text(
        "command",
        "use the output of a command as the line",
        "Run the command with /bin/sh and read the first line that it prints in place of this line. The command is run "
        "every time the file is read, whichever account is used. For passwords `passwordeval` is better. The command's "
        "standard input is empty. A command that fails is an error.",
    ),
    # -- connection
    "host": Text(
        "hostname",
        "use this server and no configuration file",
        "The SMTP or LMTP server, by name or by address. Every account needs it, unless it has a `socket`.",
    ),
    "port": Text(
        "number",
        "connect to this port",
        "The server's port. Without it, 25 is used, or 465 if TLS begins at once (`tls_starttls off`). Servers for "
        "mail clients mostly want 587 or 465. LMTP has no usual port.",
    ),
    "source_ip": Text(
        "IP",
        "connect from this address of the machine",
        "Connect from this address, on a machine that has several. Nothing after the command: the system chooses.",
    ),
    "proxy_host": Text(
        "(IP|hostname)",
        "connect through this SOCKS proxy",
        "Connect through a SOCKS proxy of version 5. The proxy also looks up the server's name, so no question about "
        "it leaves this machine. Give the proxy itself by its address, so that no look-up is needed for it either. "
        "Nothing after the command: no proxy.",
    ),
    "proxy_port": Text(
        "number",
        "connect to this port of the proxy",
        "The proxy's port. Nothing after the command: 1080, which is the default.",
    ),
    "socket": Text(
        "file",
        "connect to this socket of the file system",
        "Connect to a unix domain socket. `host`, `port` and the proxy do not matter then, but `host` still names the "
        "server that the certificate and the password belong to.",
    ),
    "timeout": Text(
        "(off|seconds)",
        "give the server this many seconds",
        "How many seconds each step may take: to connect, to begin TLS, to receive an answer, to send a block. The "
        "limit holds for the step as a whole, however many addresses the server has. `off`, which is the default, "
        "leaves it to the system.",
    ),
    "connect_timeout": Text("(off|seconds)", "old name of timeout"),
    "protocol": Text(
        "(smtp|lmtp)",
        "speak this protocol",
        "The protocol to speak: `smtp`, which is the default, or `lmtp`, with which the server answers for each "
        "recipient.",
    ),
    "domain": Text(
        "string",
        "present oneself to the server under this name",
        "The name to present oneself with (the argument of EHLO or LHLO). It also becomes the domain of a Message-ID "
        "that msmtp makes, unless it is `localhost`, which is the default. The domain of the mail address or the full "
        "name of the machine are good choices, unless they are nobody's business. These patterns are replaced:\n\n"
        + _PATTERNS,
    ),
    # -- authentication
    "auth": Text(
        "(on|off|method)",
        "authenticate, by this method or by the best there is",
        "Whether to authenticate. `on` chooses a method: the safest one that the server offers and that needs a "
        "password. Without TLS only methods that do not reveal the password are chosen. Methods are "
        "`scram-sha-256-plus`, `scram-sha-1-plus`, `scram-sha-256`, `scram-sha-1`, `plain`, `cram-md5`, `digest-md5`, "
        "`login` and `ntlm`, and, never chosen by themselves, `oauthbearer` and `xoauth2` (the password is an access "
        "token), `external` (the client's certificate has said who it is) and `gssapi` (a Kerberos ticket has). The "
        "default is `off`.",
    ),
    "user": Text("username", "authenticate as this user", "The user name for authentication. Nothing after it: none."),
    "password": Text(
        "secret",
        "password for authentication",
        "The password for authentication. A file with a password in it must belong to the user and be readable by "
        "nobody else. `passwordeval` or a keyring are better places.",
    ),
    "passwordeval": Text(
        "command",
        "take the password from what this command prints",
        "Take the password from the first line that this command prints; /bin/sh runs it, once the password is needed. "
        "Its standard input is empty. A command that fails is an error, whatever it has printed.",
    ),
    "ntlmdomain": Text("domain", "domain for the method ntlm", "The domain for the method `ntlm`. Obsolete."),
    # -- TLS
    "tls": Text("(on|off)", "encrypt the connection", "Whether to encrypt the connection. The default is `off`."),
    "tls_starttls": Text(
        "(on|off)",
        "begin TLS within the session, or at once",
        "Whether TLS begins within the session, by the command STARTTLS (`on`, the default), or before it, as is usual "
        "on port 465 (`off`).",
    ),
    "tls_nostarttls": Text("", "old way to say tls_starttls off"),
    "tls_trust_file": Text(
        "file",
        "trust servers that the authorities in this file vouch for",
        "A file with the certificates, in PEM format, of the authorities that are trusted to vouch for a server. "
        "`system`, the default, stands for those that the system trusts. Nothing after the command: no authority is "
        "trusted, and `tls_fingerprint` or `tls_certcheck off` is needed.",
    ),
    "tls_crl_file": Text(
        "file",
        "refuse the certificates that this file revokes",
        "A file with certificate revocation lists in PEM format, and no certificates. Nothing after the command, the "
        "default: certificates are not looked for in any.",
    ),
    "tls_fingerprint": Text(
        "fingerprint",
        "trust the server's certificate by its fingerprint",
        "The fingerprint of the one certificate to accept, whoever made it and whatever it says; `tls_trust_file` does "
        "not matter then. It should be of type SHA256; SHA1 and MD5 are accepted, but better not used. Two digits an "
        "octet, with colons between them. `msmtp --serverinfo --tls --tls-certcheck=off` shows it. Nothing after the "
        "command: none.",
    ),
    "tls_key_file": Text(
        "file",
        "private key of the client's certificate",
        "The private key, in PEM format, that belongs to the certificate in `tls_cert_file`. Nothing after the "
        "command: the client has no certificate.",
    ),
    "tls_cert_file": Text(
        "file",
        "show the server this certificate",
        "The certificate, in PEM format, to show to the server; it needs `tls_key_file`. Nothing after the command: "
        "none. Keys and certificates on a token (a PKCS#11 URI) are possible where OpenSSL's provider for them is.",
    ),
    "tls_certcheck": Text(
        "(on|off)",
        "check the server's certificate",
        "Whether the server's certificate is checked. `off` overrides `tls_trust_file` and `tls_fingerprint` and means "
        "that anybody between here and the server can read and change everything. The default is `on`.",
    ),
    "tls_nocertcheck": Text("", "old way to say tls_certcheck off"),
    "tls_force_sslv3": Text("", "ignored"),
    "tls_priorities": Text(
        "priorities",
        "allow these versions, ciphers and groups",
        "Which versions, ciphers and groups TLS may use: a list of OpenSSL ciphers, or a priority string of GnuTLS, of "
        "which `NORMAL`, `SECURE128`, `SECURE192`, `SECURE256`, `PFS` and adding and removing versions, ciphers and "
        "groups by name are understood. Nothing after the command: what the library thinks right.",
    ),
    "tls_host_override": Text(
        "host",
        "expect this name in the server's certificate",
        "The name that the server's certificate must have, if it is not the one in `host`.",
    ),
    "tls_min_dh_prime_bits": Text(
        "bits",
        "refuse smaller Diffie-Hellman primes",
        "The smallest prime of a Diffie-Hellman key exchange to accept, in bits. Deprecated: use `tls_priorities`.",
    ),
    # -- sending
    "auto_from": Text(
        "(on|off)",
        "make up the envelope-from address",
        "Make the envelope-from address from the user's name and `maildomain`, whatever else says what it is. "
        "Obsolete: `from` can do it with `%U`.",
    ),
    "maildomain": Text("domain", "domain for --auto-from", "The domain that `auto_from` uses. Obsolete."),
    "from": Text(
        "address",
        "set the envelope-from address",
        "The envelope-from address: whom a mail that cannot be delivered is returned to. `<>` is nobody. These "
        "patterns are replaced:\n\n"
        "- `%U` is `$USER`, `$LOGNAME`, or the login name; where that is `root` and the user is another, that "
        "one's name.\n"
        + _PATTERNS
        + "\n- `%F` is the address in the mail's From header, or in its Resent-From header if that comes first.\n\n"
        "With one of the characters `?`, `*` and `[` the address is a pattern of the shell, and the account is for all "
        "the addresses that fit it; `--from` or `--read-envelope-from` must then give the address.\n\n"
        "If `--from` or `--read-envelope-from` is used, but neither `--account` nor `--host`, the first account whose "
        "`from` fits the address is used. An address with a detail, user+detail@example.com, also fits the account of "
        "user@example.com.",
    ),
    "-r": Text("address", "the same as -f", "The same as `-f`."),
    "from_full_name": Text(
        "name",
        "name for a From header that is added",
        "The full name to put into a From header, if msmtp adds one.",
    ),
    "allow_from_override": Text(
        "(on|off)",
        "let --from replace the envelope-from address",
        "Whether `--from` and `--read-envelope-from` may replace the address that `from` gives. The default is `on`. "
        "With `off` they still choose the account, and may give any address that a `from` with wildcards allows.",
    ),
    "set_from_header": Text(
        "(auto|on|off)",
        "add or replace the From header",
        "`auto`, the default, adds a From header to a mail that has none; `on` puts one in place of the mail's own; "
        "`off` does neither. It holds the envelope-from address, and the full name if there is one.",
    ),
    "add_missing_from_header": Text("(on|off)", "old way to say set_from_header auto or off"),
    "set_date_header": Text(
        "(auto|off)",
        "add a missing Date header",
        "`auto`, the default, adds a Date header to a mail that has none; `off` does not.",
    ),
    "add_missing_date_header": Text("(on|off)", "old way to say set_date_header auto or off"),
    "set_msgid_header": Text(
        "(auto|off)",
        "add a missing Message-ID header",
        "`auto`, the default, adds a Message-ID header to a mail that has none; `off` does not. Its domain is the one "
        "in `domain`, unless that is `localhost`, or that of the envelope-from address, or the server's name.",
    ),
    "set_to_header": Text(
        "(on|off|undisclosed_recipients)",
        "replace the To and Cc headers",
        "`on` removes the To, Cc and Bcc headers and adds a To header with all recipients of the envelope. "
        "`undisclosed_recipients` adds one that names none of them. `off`, the default, does neither.",
    ),
    "undisclosed_recipients": Text("(on|off)", "old way to say set_to_header undisclosed_recipients"),
    "remove_bcc_headers": Text(
        "(on|off)",
        "remove Bcc and Resent-Bcc headers",
        "Whether to remove Bcc and Resent-Bcc headers. The default is `on`.",
    ),
    "keepbcc": Text("(on|off)", "old way to say remove_bcc_headers off or on"),
    "dsn_notify": Text(
        "(off|condition)",
        "ask for delivery status notifications",
        "When the mail system shall report about a mail: `never`, or one or more of `failure`, `delay` and `success` "
        "with commas between them. `off`, the default, leaves it to the mail system. The server must support DSN (RFC "
        "3461).",
    ),
    "dsn_return": Text(
        "(off|amount)",
        "how much of the mail a notification returns",
        "How much of the mail a report of failure returns: `headers` or `full`. `off`, the default, leaves it to the "
        "mail system. The server must support DSN (RFC 3461).",
    ),
    "-V": Text(
        "envid",
        "identify the mail in notifications",
        "An identifier of the mail, which delivery status notifications will repeat, if the server supports DSN.",
    ),
    "--rcpt": Text(
        "<address> [words]",
        "a further recipient, with words of its own",
        "Send to this recipient too: the address is taken as it is, for one that SMTP has brought. The words, if there "
        "are any, are told the server about it: `NOTIFY=`, `ORCPT=` or both, as RFC 3461 writes them; for them it must "
        "support DSN. May be given more than once.",
    ),
    "--dsn-if-offered": Text(
        "",
        "leave out DSN where the server lacks it",
        "If the server does not support DSN, do not tell it what notifications are asked for, rather than not sending "
        "the mail: what a program does that passes on the mail of others (RFC 3461, 5.2.2).",
    ),
    "--smtputf8": Text(
        "",
        "the mail is internationalised",
        "Ask for SMTPUTF8 if the server supports it, whether or not the addresses and the header show that the mail "
        "needs it: a part of it may (RFC 6531).",
    ),
    "--literal-from": Text(
        "",
        "take the envelope-from address as it is",
        "Replace no patterns such as `%U` in the address given with `--from`: somebody else has chosen it.",
    ),
    "logfile": Text(
        "file",
        "write a line about each mail to this file",
        "Append one line to this file for each mail: when, to which server, from whom, to whom, with what outcome. `-` "
        "is standard output. Nothing after the command: no log. See LOGGING in msmtp(1).",
    ),
    "logfile_time_format": Text(
        "format",
        "format of the time in the log file",
        "How the time in the log file is written, as strftime(3) has it. Nothing after the command: "
        '`"%b %d %H:%M:%S"`. `none` leaves it out.',
    ),
    "syslog": Text(
        "(on|off|facility)",
        "write a line about each mail to the system's log",
        "Write the same line to syslog: to the facility `LOG_USER` (`on`), `LOG_MAIL`, or `LOG_LOCAL0` to "
        "`LOG_LOCAL7`. The default is `off`.",
    ),
    "aliases": Text(
        "file",
        "replace local recipients by what this file says",
        "A file that says where mail for names without a domain goes. A line of it is\n\n"
        "    name: address, address\n\n"
        "An address may again be a name that the file has a line for. The name `default` stands for all names that "
        "have none. A # begins a comment. The headers of the mail are not changed. Nothing after the command, the "
        "default: there is no such file.",
    ),
    "--read-recipients": Text(
        "",
        "send to the recipients that the mail names, too",
        "Send to the addresses in the To, Cc and Bcc headers, in addition to those on the command line. If there are "
        "Resent- headers, those of the first block of them count instead.",
    ),
    "--read-envelope-from": Text(
        "",
        "take the envelope-from address from the mail",
        "Take the envelope-from address from the mail's From header, or from Resent-From if that comes first.",
    ),
    "partial_recipients": Text(
        "(on|off)",
        "send even if some recipients are refused",
        "What happens if the server refuses some of the recipients. `off`, the default: the mail goes to nobody. `on`: "
        "the mail goes to the others, each recipient that was refused is named, and the exit code says that it was not "
        "all.",
    ),
    "missing_extension": Text(
        "(refuse|send)",
        "what to do with a mail that the server cannot take",
        "What happens to a mail that needs an extension that the server does not offer: 8BITMIME for octets above 127, "
        "SMTPUTF8 for addresses beyond ASCII. `refuse`, the default: it is not sent. `send`: it is sent as it is, as "
        "if the server could take it, which many can.",
    ),
    "exit_codes": Text(
        "(sysexits|upstream)",
        "exit codes by meaning, or as the C program has them",
        "`sysexits`, the default: the exit code tells whether trying again can help, so that what calls msmtp can "
        "decide. `upstream`: the codes of the C program, which has 69 for many a refusal, for scripts that were made "
        "for it. See EXIT CODES in msmtp(1).",
    ),
    "sandbox": Text(
        "(require|try|off)",
        "whether msmtp confines itself before it listens to the server",
        "Before it reads the first byte from the server, msmtp gives up what it needs no longer: no file can be "
        "opened, no program run, no other connection made. `try`, the default: as far as the kernel can; --debug tells "
        "what is in force. `require`: it does not go on if any of it cannot be had. `off`: not at all.",
    ),
    # -- compatibility
    "-A": Text("mode", "ignored"),
    "-B": Text("type", "ignored"),
    "-G": Text("", "ignored"),
    "-h": Text("count", "ignored"),
    "-i": Text("", "ignored"),
    "-L": Text("tag", "ignored"),
    "-m": Text("", "ignored"),
    "-n": Text("", "ignored"),
    "-O": Text("option=value", "ignored"),
    "-o": Text("option", "ignored"),
    "-U": Text("", "ignored"),
}


def text_of(row: Option) -> Text:
    """The words about a row."""
    return TEXTS[row.name]


def command_form(row: Option) -> tuple[str, str]:
    """A command and its argument as the manual shows them, the argument in brackets if it may be left out."""
    argument = text_of(row).argument
    if row.command == "account":
        return row.command, "name [: account[,...]]"
    return row.command, f"[{argument.strip('()')}]" if argument and row.empty is not NEEDED else argument


def option_forms(row: Option, text: Text | None = None) -> list[tuple[str, str]]:
    """The ways to write an option, short one first, each with its argument ('' if it has none).

    ``text`` is what TEXTS does not hold.
    """
    argument = (text or text_of(row)).argument if row.argument in (MAY, MUST) else ""
    may_be_empty = row.empty is not NEEDED and row.target == ACCOUNT and row.attribute != "from_"
    forms = []
    if row.short:
        forms.append(
            (f"-{row.short}", f"[{argument}]" if argument and row.argument == MAY else f" {argument}".rstrip())
        )
    if row.long and row.argument == MAY and argument:
        forms.append((f"--{row.long}", f"[={argument}]"))
    elif row.long:
        value = f"[{argument.strip('()')}]" if may_be_empty else argument
        forms.append((f"--{row.long}", f"={value}" if argument else ""))
    return forms


def shown() -> list[Option]:
    """All rows that are documented, in their order."""
    return [row for row in OPTIONS if row.note != HIDDEN]
