"""What each option of msmtpd is for, in words: read by --help, the manual page, the completions and the reference.

The markup is that of :mod:`msmtp.config.texts`.
"""

from __future__ import annotations

from msmtp.config import texts
from msmtp.config.daemon_options import OPTIONS
from msmtp.config.texts import Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.options import Option

SECTIONS = {
    "general": "General",
    "listening": "Where to listen",
    "protocol": "The protocol",
    "protection": "Protection",
    "delivery": "Delivery",
    "limits": "Limits",
    "service": "Running as a service",
}

TEXTS: dict[str, Text] = {
    # -- general
    "--version": Text("", "print the version and what it supports"),
    "--help": Text("", "print this help"),
    "--status": Text(
        "socket",
        "tell what the running msmtpd does, and stop",
        "Ask a running msmtpd what it does, print the answer, and stop: sessions, free places, refusals, mails that "
        "were delivered and that were not. It is asked through its status socket; without the argument that is the "
        "one that an msmtpd with the same other options would have.",
    ),
    "--health": Text(
        "(ready|alive)",
        "ask the running msmtpd by SMTP whether it serves, and stop",
        "Connect to a running msmtpd as a client does, where the same other options have it listen; greet it, say what "
        "it answers if that is not what it should be, and stop, with exit code 0 if mail can be handed over now and 1 "
        "if not. `alive`: it is enough that it answers at all, if only that all places are taken (421). For those who "
        "start it again or send clients elsewhere: the engines of containers, load balancers.",
    ),
    "--check": Text(
        "address",
        "say what the policy allows you, ask msmtpd, and stop",
        "Say whether the policy can be read and what it allows to the user who asks, whether a running msmtpd takes "
        "mail, and whether the settings of this system lead to it; and stop, with exit code 0 if all is well. With an "
        "address, a mail is sent there by way of that msmtpd, and what became of it is told. Options are read from "
        "/etc/msmtpd.conf unless `--config` names another file; without `--port` and `--socket`, msmtpd is expected "
        "at the socket /run/msmtpd/smtp.",
    ),
    "--inetd": Text(
        "",
        "serve one session on standard input and output",
        "Serve one session on standard input and output and end with it, for inetd, xinetd, and units of systemd with "
        "`Accept=yes`. What the delivery command prints never gets to the client.",
    ),
    "--deliver": Text(
        "",
        "deliver mails that another msmtpd takes",
        "Deliver the mails that another msmtpd takes, which runs with `--deliver-by`. Service managers can so give "
        "each of the two only what it needs: this one the network and the password of the mail server, the other "
        "one the clients. It is for a unit of systemd with a socket of the kind ListenSequentialPacket, and serves "
        "root, its own user, and the user msmtpd.",
    ),
    "--config": Text(
        "file",
        "read more options from this file",
        "Read options from this file. Each line of it holds the name of a long option without its dashes and, after "
        "blanks, its argument; a pair of double quotes around the argument is removed. Empty lines, and lines that "
        "begin with #, are skipped. What the command line says counts for more. The file must belong to root or to "
        "the user who runs msmtpd, and nobody else may be able to write to it, nor may its group.",
    ),
    # -- where to listen
    "--interface": Text(
        "ip",
        "listen at this address instead of 127.0.0.1",
        "Listen at this IPv4 or IPv6 address of the machine instead of 127.0.0.1. May be repeated: each port is "
        "listened at on each address. `::` stands for all IPv6 addresses and 0.0.0.0 for all IPv4 ones; an address "
        "that is only valid on a link needs its name, as in fe80::1%eth0.",
    ),
    "--port": Text(
        "number",
        "listen at this port instead of 25",
        "Listen at this port instead of 25. May be repeated. 0 lets the system choose one, which the log then names. "
        "Ports below 1024 are for root, or need the capability CAP_NET_BIND_SERVICE. If only `--socket` or "
        "`--smtps-port` are given, there is no other port.",
    ),
    "--smtps-port": Text(
        "number",
        "listen at this port for TLS from the beginning",
        "Listen at this port, too, for clients that begin TLS at once, as is usual on port 465. May be repeated. It "
        "needs `--tls-cert` and `--tls-key`.",
    ),
    "--socket": Text(
        "path[,mode=perms][,group=name][,user=name]",
        "listen at a socket of the file system",
        "Listen at a unix domain socket. May be repeated. Its permissions (octal) and its owners can be given behind "
        "the name; then exactly these can send:\n\n    --socket=/run/msmtpd/smtp,mode=0660,group=mail\n\nA socket that "
        "was left behind by an msmtpd that is gone is replaced, one that somebody listens at is not. Who is at the "
        "other end is known for sure: the Received header names the user.",
    ),
    "--proxy-protocol": Text(
        "(network|unix)",
        "expect a PROXY header from these addresses",
        "Connections from this address or network (192.0.2.0/24, 2001:db8::/32), or with `unix` those at unix domain "
        "sockets, come from a proxy, which begins each with the address of its client (PROXY protocol, version 2). "
        "Such a connection that does not begin so is refused, and from other addresses nobody is believed. May be "
        "repeated.",
    ),
    # -- the protocol
    "--lmtp": Text(
        "(on|off)",
        "speak LMTP instead of SMTP",
        "Speak LMTP (RFC 2033), in which the end of a mail is answered once for each recipient. It may not be used at "
        "port 25, so it needs a `--port` or `--socket`.",
    ),
    "--domain": Text(
        "domain",
        "go by this name",
        "The name to greet with and to put into the Received header. Without it, clients are greeted as `localhost`, "
        "and the header has the name of the machine.",
    ),
    "--strict": Text(
        "(on|off)",
        "refuse commands that end in a bare line feed",
        "Refuse commands that end in a line feed without a carriage return, which are otherwise understood. The end "
        "of a mail needs both in any case.",
    ),
    "--peer-names": Text(
        "(on|off)",
        "put the names of clients into the Received header",
        "Look up the name of each client for the Received header. A process of its own does it, and no client waits "
        "for it. The default is `off`: the header has only the address, and so it is of clients that come by a "
        "proxy (`--proxy-protocol`).",
    ),
    # -- protection
    "--auth": Text(
        "user[,passwordeval]",
        "require authentication as this user",
        "Take mail only from clients that authenticate, as this user. May be repeated for several users. The password "
        "is what the command `passwordeval` prints as its first line. Without a command it comes from the first of "
        "these that has it: the credentials of the service manager, see FILES; the keyring, where it is looked for "
        "under the host `localhost`, the service `smtp` and this user; the terminal, if msmtpd is started from one. "
        "See AUTHENTICATION.",
    ),
    "--tls-cert": Text(
        "file",
        "offer TLS, with this certificate",
        "Offer STARTTLS, with the certificate in this file, in PEM format: first its own, then those that lead to an "
        "authority. It needs `--tls-key`. Without it there is no TLS, which is well on the machine itself and nowhere "
        "else.",
    ),
    "--tls-key": Text(
        "file",
        "private key of the certificate",
        "The private key, in PEM format without a password, that belongs to the certificate of `--tls-cert`. It should "
        "be readable for root or the user of msmtpd alone. Only the process that does TLS reads it.",
    ),
    "--sandbox": Text(
        "(require|try|off)",
        "whether the processes confine themselves",
        "Each process of msmtpd gives up what its work does not need: files, programs, the network, other processes. "
        "`require`, the default: msmtpd does not start where the system cannot do that (exit code 78), and says what "
        "is missing. `try`: as far as it can be done; the log says how far. `off`: not at all, which is for finding "
        "faults.",
    ),
    # -- delivery
    "--deliver-by": Text(
        "socket",
        "hand mails to the msmtpd --deliver behind this socket",
        "Do not run the delivery command, but hand mails to an msmtpd that was started with `--deliver` and listens "
        "at this socket. What is said of delivery is then said to that one: `--command`, `--command-timeout`, "
        "`--warm` and `--spool`, and `--max-size` to both.",
    ),
    "--policy": Text(
        "file",
        "take mails only as the rules in this file allow",
        "Take mails only as the rules in this file allow: they say who may send as whom, by which account, how often "
        "and to how many. See POLICY. It is read when msmtpd starts and when it reads its options again, and must "
        "belong to root or to the user who runs msmtpd; nobody else may be able to write to it, nor may its group. "
        "Where delivery is a service of its own (`--deliver`), the option is for that one. Without it, everybody who "
        "can connect may send anything.",
    ),
    "--command": Text(
        "command",
        "hand mails to this instead of msmtp -f %F --",
        "The command that each mail is handed to, on standard input. The first `%F` in it is replaced by the "
        "envelope-from address, and the recipients are appended as arguments, so it should end with `--`. See "
        "DELIVERY. The default is `msmtp -f %F --`.",
    ),
    "--command-timeout": Text(
        "time",
        "give the command this long",
        "How long the delivery command may run: seconds, or a number with m, h or d behind it. Then it is ended with "
        "all that it has started, and the client is told to try again later. The default is 300. Clients wait ten "
        "minutes for an answer, as RFC 5321 asks them to; with more than that, they may send a mail twice.",
    ),
    "--warm": Text(
        "(on|off)",
        "keep the default command ready",
        "Keep the program msmtp loaded, and start the default command from that. This changes nothing but the time it "
        "takes. The default is `on`; it does not matter with another `--command`.",
    ),
    "--spool": Text(
        "folder",
        "put large mails here while they come in",
        "The folder for mails that are too large for memory (more than 1 MiB) while they come in. The files have no "
        "name and leave nothing behind. Without it, `$STATE_DIRECTORY` or else /var/tmp.",
    ),
    # -- limits
    "--max-sessions": Text(
        "number",
        "serve this many sessions at a time",
        "How many sessions there may be at a time. Further clients are told to come back later (421). The default is "
        "16.",
    ),
    "--max-sessions-per-source": Text(
        "number",
        "serve this many sessions of one client at a time",
        "How many sessions one source may have at a time: an IPv4 address, an IPv6 network of 64 bits, and on this "
        "machine a user. 0, the default: half of `--max-sessions`.",
    ),
    "--max-recipients": Text(
        "number",
        "take this many recipients a mail",
        "How many recipients a mail may have. The client is asked to send the mail once more for those beyond (452). "
        "The default is 1000; RFC 5321 asks for at least 100.",
    ),
    "--max-size": Text(
        "size",
        "take mails up to this size",
        "How large a mail may be: octets, or a number with k, m or g behind it. 0 is no limit. The default is 100m.",
    ),
    "--max-hops": Text(
        "number",
        "refuse mails with more Received headers",
        "How many Received headers a mail may have. One with more runs in circles and is refused (554). The default is "
        "100.",
    ),
    "--session-timeout": Text(
        "time",
        "end a session after this long",
        "How long a session may last in all: seconds, or a number with m, h or d behind it. The delivery of a mail "
        "that is complete is not cut off by it. The default is 1200.",
    ),
    "--idle-timeout": Text(
        "time",
        "end a session if the client is silent this long",
        "How long a client may take for a command, or between two blocks of a mail. The default is 300. Where all "
        "places are taken, it is less.",
    ),
    "--login-timeout": Text(
        "time",
        "end a session without authentication after this long",
        "How long a client may take to authenticate, where it has to (`--auth`). The default is 30.",
    ),
    # -- service
    "--log": Text(
        "(none|syslog|journal|stdout|json|file)",
        "write what happens to this log",
        "Where to write what happens: `syslog` (facility mail), `journal` (that of systemd, with fields), `stdout` "
        "(standard output, as in a file), `json` (standard output, an object of JSON a line, with fields), or the file "
        "of this name. The default is `none`. See LOGGING.",
    ),
    "--daemon": Text(
        "(on|off)",
        "run in the background",
        "Go into the background once all is ready; what goes wrong before that is said on standard error, and shows in "
        "the exit code. Service managers, systemd above all, want programs to stay in the foreground.",
    ),
    "--pidfile": Text(
        "file",
        "write the process's number to this file",
        "Write the number of the main process to this file, for scripts, and remove it at the end. As long as msmtpd "
        "runs the file is locked, so a second one with the same file does not start.",
    ),
    "--user": Text(
        "user[:group]",
        "run as this user",
        "Started as root: give that up for this user once the sockets are open. The processes that deliver mail, check "
        "passwords and talk to clients then have no more rights than this user has. Without it they become the users "
        "that a package makes for them, each its own: msmtpd, msmtpd-w, msmtpd-auth, msmtpd-send, msmtpd-tls and "
        "msmtpd-dns. Without these either, msmtpd does not start as root.",
    ),
    "--status-socket": Text(
        "(off|path)",
        "answer --status at this socket",
        "The socket at which a running msmtpd answers `--status` to its own user and group; `off`: none. Without it, "
        "it is the file status in `$RUNTIME_DIRECTORY`; without that /run/msmtpd/status for root, and else "
        "`$XDG_RUNTIME_DIR`/msmtpd-_port_.status.",
    ),
    "--workers-ahead": Text(
        "number",
        "keep this many processes ready for clients",
        "How many processes to keep ready for the next clients, so that these need not wait for one to start. The "
        "default is 2, and never more than `--max-sessions`.",
    ),
}


def text_of(row: Option) -> Text:
    """The words about a row."""
    return TEXTS[row.name]


def option_forms(row: Option) -> list[tuple[str, str]]:
    """The ways to write an option, each with its argument."""
    return texts.option_forms(row, text_of(row))


def command_form(row: Option) -> tuple[str, str]:
    """An option as it stands in a file of options."""
    argument = text_of(row).argument
    return row.command, f"[{argument.strip('()')}]" if row.argument == "may" else argument


def shown() -> list[Option]:
    """All rows that are documented, in their order."""
    return list(OPTIONS)
