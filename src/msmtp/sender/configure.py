"""--configure: a configuration for a mail address, from what its domain publishes (RFC 6186, RFC 8314)."""

from __future__ import annotations

import sys

from msmtp.config.reader import user_file
from msmtp.exits import EX_OK
from msmtp.failures import RequestRefusedFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.command_line import CommandLine
    from msmtp.net.srv import Service
    from msmtp.sender.report import Reporter

SECONDS = 10.0


def configure(line: CommandLine, _reporter: Reporter) -> int:
    """Print the configuration for the address that --configure names.

    Raises RequestRefusedFailure if it is no address, HostNotFoundFailure if its domain publishes no service,
    ResolverFailure if that cannot be known now.
    """
    from msmtp.net.srv import submission_service

    address = line.configure or ""
    local, at, domain = address.rpartition("@")
    if not local or not at or not domain or not address.isprintable() or any(mark in address for mark in ' "\\<>'):
        raise RequestRefusedFailure(
            "automatic configuration based on SRV records failed: invalid mail address",
            hint=f"'{address}' has not the form name@domain.example",
        )
    service = submission_service(domain, SECONDS)
    print("\n".join(suggestion(address, local, domain, service)))  # noqa: T201 - what the mode is for
    return EX_OK


def suggestion(address: str, local: str, domain: str, service: Service) -> list[str]:
    """The lines of the configuration file, comments first."""
    lines = [f"# - copy this to your configuration file {user_file()}"]
    if not f".{service.host}".lower().endswith(f".{domain.lower()}"):
        lines.append(f"# - warning: this server is not from the domain {domain}: check that you trust it")
    lines += password_lines(service.host, local)
    lines += [
        f"account {address}",
        f"host {service.host}",
        f"port {service.port}",
        "tls on",
        f"tls_starttls {'on' if service.starttls else 'off'}",
        "auth on",
        f"user {local}",
    ]
    if not has_keyring():
        lines.append("passwordeval gpg --no-tty -q -d ~/.msmtp-password.gpg")
    lines.append(f"from {address}")
    return lines


def password_lines(host: str, user: str) -> list[str]:
    """How to store the password on this system."""
    if sys.platform == "darwin":
        return [
            "# - add your password to the key ring:",
            f"#   security add-internet-password -s {host} -r smtp -a {user} -w",
        ]
    if has_keyring():
        return [
            "# - add your password to the key ring:",
            f"#   secret-tool store --label=msmtp host {host} service smtp user {user}",
        ]
    return ["# - encrypt your password:", "#   gpg -e -o ~/.msmtp-password.gpg"]


def has_keyring() -> bool:
    """Whether this user has a key ring that msmtp could ask."""
    if sys.platform == "darwin":
        return True
    return bool(os.environ.get("DBUS_SESSION_BUS_ADDRESS"))
