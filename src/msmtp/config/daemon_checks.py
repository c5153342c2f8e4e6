"""Settings of msmtpd that contradict each other, said before anything is begun."""

from __future__ import annotations

from msmtp.config.daemon_values import LONGEST_SOCKET_PATH
from msmtp.failures import ConfigFailure, UsageFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.daemon_settings import Settings
    from msmtp.failures import Failure

SMTP_PORT = 25

WITHOUT_INETD = (
    *("interface", "port", "smtps-port", "socket", "daemon", "pidfile", "status-socket", "workers-ahead"),
    *("max-sessions", "max-sessions-per-source"),
)
"""Options that say something of listening, or of more than one session."""


def check(settings: Settings) -> None:
    """Settle which ports to listen at, and raise UsageFailure for what cannot go together.

    It is a ConfigFailure if there is a file of options, as the fault may be there.
    """
    _settle_ports(settings)
    for fault, hint in (
        _inetd(settings),
        _log(settings),
        _tls(settings),
        _ports(settings),
        _sockets(settings),
        _users(settings),
        _limits(settings),
    ):
        if fault:
            raise _failure(settings, fault, hint)


_FINE = ("", "")


def _failure(settings: Settings, fault: str, hint: str) -> Failure:
    if settings.config:
        return ConfigFailure(f"{fault} ({settings.config} and the command line)", hint=hint)
    return UsageFailure(fault, hint=hint)


def _settle_ports(settings: Settings) -> None:
    """Without --port it is 25, unless other options say where to listen."""
    given = settings.given
    elsewhere = "smtps-port" in given or ("socket" in given and "interface" not in given)
    if "port" not in given and elsewhere:
        settings.ports = []


def _inetd(settings: Settings) -> tuple[str, str]:
    found = next((name for name in WITHOUT_INETD if name in settings.given), "")
    if settings.mode != "inetd" or not found or (found == "daemon" and not settings.daemon):
        return _FINE
    return (
        f"cannot use both --inetd and --{found}",
        "with --inetd, whoever starts msmtpd does the listening and counting",
    )


def _log(settings: Settings) -> tuple[str, str]:
    other = "--inetd" if settings.mode == "inetd" else "--daemon" if settings.daemon else ""
    if settings.log in ("stdout", "json") and other:
        return f"cannot use both {other} and --log={settings.log}", "standard output is not for a log then"
    return _FINE


def _tls(settings: Settings) -> tuple[str, str]:
    if settings.tls_cert and not settings.tls_key:
        return "--tls-cert needs --tls-key", "name the file with the private key that belongs to the certificate"
    if settings.tls_key and not settings.tls_cert:
        return "--tls-key needs --tls-cert", "name the file with the certificate that belongs to the private key"
    if settings.smtps_ports and not settings.tls_cert:
        return "--smtps-port needs --tls-cert and --tls-key", "without a certificate there is no TLS to begin with"
    return _FINE


def _ports(settings: Settings) -> tuple[str, str]:
    both = next((port for port in settings.smtps_ports if port and port in settings.ports), 0)
    if both:
        return f"port {both} is both a --port and an --smtps-port", "TLS begins at once at the second, not at the first"
    if settings.mode == "serve" and not settings.activated and settings.lmtp and SMTP_PORT in settings.ports:
        return "--lmtp cannot be used at port 25", "choose another --port, or a --socket (RFC 2033, 5)"
    return _FINE


def _sockets(settings: Settings) -> tuple[str, str]:
    paths = [socket.path for socket in settings.sockets]
    if settings.status_socket not in ("", "off"):
        paths.append(settings.status_socket)
    for path in paths:
        if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
            hint = f"the name of a socket has at most {LONGEST_SOCKET_PATH} octets, counted from the root"
            return f"name of the socket {path} is too long", hint
        if paths.count(path) > 1:
            return f"the socket {path} is named twice", "each has its own name"
    return _FINE


def _users(settings: Settings) -> tuple[str, str]:
    users = [user for user, _ in settings.auth]
    twice = next((user for user in users if users.count(user) > 1), "")
    return (f"--auth names the user {twice} twice", "a user has one password") if twice else _FINE


def _limits(settings: Settings) -> tuple[str, str]:
    for name, number in (
        ("max-sessions-per-source", settings.max_sessions_per_source),
        ("workers-ahead", settings.workers_ahead if "workers-ahead" in settings.given else 0),
    ):
        if number > settings.max_sessions:
            return f"--{name} is {number}, but --max-sessions {settings.max_sessions}", "let it be no more than that"
    settings.workers_ahead = min(settings.workers_ahead, settings.max_sessions)
    return _FINE
