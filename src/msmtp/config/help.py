"""What --help prints: how to call msmtp, and a line for every option of the table."""

from __future__ import annotations

from msmtp.config import texts
from msmtp.config.options import OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.options import Option

USAGE = """\
Usage:

Sendmail mode (default):
  msmtp [option...] [--] recipient...
  msmtp [option...] -t [--] [recipient...]
  Read a mail from standard input and transmit it to an SMTP or LMTP server.
Configuration mode:
  msmtp --configure=mailaddress
  Print a configuration for an address.
Server information mode:
  msmtp [option...] --serverinfo
  Print what a server can do.
Remote Message Queue Starting mode:
  msmtp [option...] --rmqs=host|@domain|#queue
  Ask a server to send the mails that wait there.
"""

COLUMN = 31  # where the explanations begin
WIDTH = 80

HEADINGS = (
    ("General options", ("general",)),
    ("Changing the mode of operation", ("mode",)),
    ("Configuration options", ("connection", "authentication", "tls")),
    ("Options specific to sendmail mode", ("sendmail",)),
)

FILE_OPTIONS = ("account", "--file")
"""General things for the manual, but for whom reads --help part of the configuration."""


def help_text() -> str:
    """All of it, ending in a line end."""
    rows = [row for row in texts.shown() if row.long or row.short]
    parts = [USAGE]
    for heading, sections in HEADINGS:
        parts.append(f"\n{heading}:\n")
        if heading == "Configuration options":
            parts += [describe(row) for row in rows if row.name in FILE_OPTIONS]
        parts += [describe(row) for row in rows if row.section in sections and row.name not in FILE_OPTIONS]
    parts.append(line("--", "end of options"))
    ignored = ", ".join(f"-{row.short}" for row in OPTIONS if row.section == "compatibility")
    parts.append(f"\nAccepted for sendmail's sake and ignored: {ignored}\n")
    parts.append("The manual pages msmtp(1) and msmtprc(5) say more.\n")
    return "".join(parts)


def describe(row: Option) -> str:
    """One option with its argument and what it is for."""
    forms = texts.option_forms(row)
    # The argument stands once, after the long form, as in -f, --from=address.
    names = [name for name, _ in forms[:-1]] + ["".join(forms[-1])]
    return line(", ".join(names), texts.text_of(row).summary)


def line(option: str, explanation: str) -> str:
    """Two columns, folded at WIDTH; an option that reaches into the second column has a line of its own."""
    left = f"  {option}"
    lines = [left] if len(left) >= COLUMN else []
    text = "" if lines else left
    for word in explanation.split():
        if len(text) + 1 + len(word) >= WIDTH and text.strip():
            lines.append(text)
            text = ""
        text = f"{text or ' ' * (COLUMN - 1)} {word}" if len(text) >= COLUMN or not text else f"{text:<{COLUMN}}{word}"
    return "".join(f"{each}\n" for each in [*lines, text])
