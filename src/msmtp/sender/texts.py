"""--help and --version."""

from __future__ import annotations

from msmtp.exits import EX_OK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.command_line import CommandLine
    from msmtp.sender.report import Reporter


def show(line: CommandLine, _reporter: Reporter) -> int:
    """Print the text that was asked for."""
    print(help_text() if line.mode == "help" else version_text(), end="")  # noqa: T201 - what the mode is for
    return EX_OK


def help_text() -> str:
    """All options, from the table."""
    from msmtp.config.help import help_text

    return help_text()


def version_text() -> str:
    """What this installation is made of."""
    from msmtp.config.version import installed, version_text
    from msmtp.sasl.mechanisms import available

    return version_text([name.decode().lower() for name in available(installed)])
