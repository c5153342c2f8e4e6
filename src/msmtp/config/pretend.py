"""What --pretend and --debug print about the account in use: one ``key = value`` a line, in the order of OPTIONS.

Scripts read this, so keys, order and values are the C program's; what it does not have comes last in its block.
"""

from __future__ import annotations

from msmtp.config.options import OPTIONS, SENDMAIL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.config.account import Account
    from msmtp.config.command_line import CommandLine
    from msmtp.config.options import Option

NOT_SET = "(not set)"
KEEPS_EMPTY = ("domain", "maildomain", "from_full_name")
"""Attributes for which '' is a value if somebody set it."""


def dump(account: Account, line: CommandLine) -> str:
    """Show the settings that will be used, the password as an asterisk; lines end in LF."""
    rows = [row for row in OPTIONS if row.label and (line.sends or row.section != SENDMAIL)]
    lines = [f"{row.label} = {show(row, account)}" for row in rows]
    if line.rmqs is not None and line.mode == "rmqs":
        lines.append(f"RMQS argument = {line.rmqs}")
    if line.sends:
        lines.append("reading recipients from the command line" + (" and the mail" if line.read_recipients else ""))
    return "".join(f"{text}\n" for text in lines)


def show(row: Option, account: Account) -> str:
    """One value as --pretend shows it."""
    value = getattr(account, row.attribute)
    if row.attribute == "from_" and value is not None:
        return str(value)
    if row.attribute in KEEPS_EMPTY and row.attribute in account.set_mask:
        return str(value)
    if row.attribute == "auth":
        return {"": "none", "on": "choose"}.get(value) or str(value).upper()
    if row.attribute == "timeout":
        return f"{value} seconds" if value else "off"
    if row.kind == "secret":
        return "*" if value or (account.passwordeval and account.auth) else NOT_SET
    if row.attribute == "proxy_port":
        return str(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, bytes) and value:
        return value.hex(":").upper()
    return str(value) if value else NOT_SET
