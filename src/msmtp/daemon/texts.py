"""--help and --version of msmtpd, on standard output."""

from __future__ import annotations

import sys

from msmtp.exits import EX_OK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.daemon_settings import Settings


def show(settings: Settings) -> int:
    """Print the one that was asked for."""
    from msmtp.config.daemon_help import help_text, version_text

    sys.stdout.write(help_text() if settings.mode == "help" else version_text())
    return EX_OK
