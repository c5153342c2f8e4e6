"""OPTIONS: every option of msmtpd, declared once, on the command line and in a file of options.

From this table come the command line, the file of options, --help, the manual page msmtpd(8), the shell completions and
docs/msmtpd-options.md.  A row has the columns that :mod:`msmtp.config.options` explains; here

command    is the long option's name if it may stand in a file of options, '' if it may not
attribute  is that of a Settings object (:mod:`msmtp.config.daemon_settings`)
default    is a tuple for an option that may be repeated: then each adds a value, and the first replaces the default
kind       is one of :mod:`msmtp.config.daemon_values`
note       OWN: the C program does not have it; it never takes an abbreviation away from one that the C program has
target     LINE: it says what to do.  ACCOUNT: how

The texts about each row are in :mod:`msmtp.config.daemon_texts`.
"""

from __future__ import annotations

from msmtp.config.daemon_values import PARSERS, WORDS
from msmtp.config.options import Option

# fmt: off
_ROWS: tuple[tuple[object, ...], ...] = (
    ("", "version", "", "none", "nothing", "mode", "serve", "version", "general", "", "", "line"),
    ("", "help", "", "none", "nothing", "mode", "serve", "help", "general", "", "", "line"),
    ("", "status", "", "may", "file", "mode", "serve", "", "general", "", "own", "line"),
    ("", "health", "", "may", "health", "health", "", "ready", "general", "", "own", "line"),
    ("", "check", "", "may", "address", "check", "", "-", "general", "", "own", "line"),
    ("", "inetd", "", "none", "nothing", "mode", "serve", "inetd", "general", "", "", "line"),
    ("", "deliver", "", "none", "nothing", "mode", "serve", "deliver", "general", "", "own", "line"),
    ("", "config", "", "must", "file", "config", "", ..., "general", "", "own", "line"),

    ("interface", "interface", "", "must", "interface", "interfaces", ("127.0.0.1",), ..., "listening"),
    ("port", "port", "", "must", "listening_port", "ports", (25,), ..., "listening"),
    ("smtps-port", "smtps-port", "", "must", "listening_port", "smtps_ports", (), ..., "listening", "", "own"),
    ("socket", "socket", "", "must", "unix_socket", "sockets", (), ..., "listening", "", "own"),
    ("proxy-protocol", "proxy-protocol", "", "must", "network", "proxy_protocol", (), ..., "listening", "", "own"),

    ("lmtp", "lmtp", "", "may", "switch", "lmtp", False, True, "protocol", "", "own"),
    ("domain", "domain", "", "must", "domain", "domain", "localhost", ..., "protocol", "", "own"),
    ("strict", "strict", "", "may", "switch", "strict", False, True, "protocol", "", "own"),
    ("peer-names", "peer-names", "", "may", "switch", "peer_names", False, True, "protocol", "", "own"),

    ("auth", "auth", "", "must", "login", "auth", (), ..., "protection"),
    ("tls-cert", "tls-cert", "", "must", "file", "tls_cert", "", ..., "protection", "", "own"),
    ("tls-key", "tls-key", "", "must", "file", "tls_key", "", ..., "protection", "", "own"),
    ("sandbox", "sandbox", "", "must", "sandbox", "sandbox", "require", ..., "protection", "", "own"),

    ("deliver-by", "deliver-by", "", "must", "file", "deliver_by", "", ..., "delivery", "", "own"),
    ("policy", "policy", "", "must", "file", "policy", "", ..., "delivery", "", "own"),
    ("command", "command", "", "must", "template", "command", None, ..., "delivery"),
    ("command-timeout", "command-timeout", "", "must", "time", "command_timeout", 300, ..., "delivery", "", "own"),
    ("warm", "warm", "", "may", "switch", "warm", True, True, "delivery", "", "own"),
    ("spool", "spool", "", "must", "file", "spool", "", ..., "delivery", "", "own"),

    ("max-sessions", "max-sessions", "", "must", "sessions", "max_sessions", 16, ..., "limits", "", "own"),
    ("max-sessions-per-source", "max-sessions-per-source", "", "must", "share", "max_sessions_per_source", 0, ...,
     "limits", "", "own"),
    ("max-recipients", "max-recipients", "", "must", "recipients", "max_recipients", 1000, ..., "limits", "", "own"),
    ("max-size", "max-size", "", "must", "octets", "max_size", 104857600, ..., "limits", "", "own"),
    ("max-hops", "max-hops", "", "must", "hops", "max_hops", 100, ..., "limits", "", "own"),
    ("session-timeout", "session-timeout", "", "must", "time", "session_timeout", 1200, ..., "limits", "", "own"),
    ("idle-timeout", "idle-timeout", "", "must", "time", "idle_timeout", 300, ..., "limits", "", "own"),
    ("login-timeout", "login-timeout", "", "must", "time", "login_timeout", 30, ..., "limits", "", "own"),

    ("log", "log", "", "must", "log", "log", "none", ..., "service"),
    ("daemon", "daemon", "", "may", "switch", "daemon", False, True, "service", "", "own"),
    ("pidfile", "pidfile", "", "must", "file", "pidfile", "", ..., "service", "", "own"),
    ("user", "user", "", "must", "identity", "user", "", ..., "service", "", "own"),
    ("status-socket", "status-socket", "", "must", "status", "status_socket", "", ..., "service", "", "own"),
    ("workers-ahead", "workers-ahead", "", "must", "waiting", "workers_ahead", 2, ..., "service", "", "own"),
)
# fmt: on


class DaemonOption(Option):
    """One row."""

    __slots__ = ()

    parsers = PARSERS
    vocabulary = WORDS

    @property
    def name(self) -> str:
        """The row's name in other tables: the option with its dashes."""
        return f"--{self.long}"

    @property
    def repeats(self) -> bool:
        """Whether it may be given several times, each time for one more value."""
        return isinstance(self.default, tuple)


OPTIONS: tuple[DaemonOption, ...] = tuple(DaemonOption(*row) for row in _ROWS)  # type: ignore[arg-type]  # tested

LONG: dict[str, DaemonOption] = {row.long: row for row in OPTIONS}
