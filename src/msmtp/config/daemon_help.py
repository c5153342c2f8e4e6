"""What msmtpd's --help and --version print."""

from __future__ import annotations

import sys

from msmtp.config import daemon_texts
from msmtp.config.help import line
from msmtp.config.version import installed, platform, tls_library

USAGE = """\
Usage: msmtpd [option...]

Take mails by SMTP or LMTP, and hand each to a command, which sends it.
"""

LIBRARIES = (
    ("Service manager, journal (systemd)", "systemd"),
    ("Background (python-daemon)", "daemon"),
    ("Process titles (setproctitle)", "setproctitle"),
    ("Keyring (keyring)", "keyring"),
)
"""What an optional library makes possible, and its name in Python."""


def help_text() -> str:
    """All of it, ending in a line end."""
    parts = [USAGE]
    for section, title in daemon_texts.SECTIONS.items():
        parts.append(f"\n{title}:\n")
        for row in daemon_texts.shown():
            if row.section == section:
                ((name, argument),) = daemon_texts.option_forms(row)
                parts.append(line(name + argument, daemon_texts.text_of(row).summary))
    parts.append("\nThe manual page msmtpd(8) says more.\n")
    return "".join(parts)


def version_text() -> str:
    """Describe this msmtpd: the first line is as scripts know it."""
    version = sys.modules["msmtp"].__version__  # the package root is loaded, but nothing below it imports it
    lines = [f"msmtpd version {version}", f"Platform: {platform()}", f"TLS/SSL library: {tls_library()}"]
    lines += [f"{what}: {'enabled' if installed(name) else 'disabled'}" for what, name in LIBRARIES]
    lines += [
        "",
        "Copyright (C) 2026 the msmtp founders.",
        "This is free software under the terms of the MIT license.",
        "There is NO WARRANTY, to the extent permitted by law.",
    ]
    return "\n".join(lines) + "\n"
