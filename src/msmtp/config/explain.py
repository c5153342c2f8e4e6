"""What to tell somebody whose configuration or command line has a mistake in it; loaded when there is one.

The message is worded as the C program words it.  The hint adds what it leaves out: what would have been right here, and
which valid word is nearest to the one that was written.
"""

from __future__ import annotations

from msmtp.config.options import HIDDEN, OPTIONS
from msmtp.failures import ConfigFailure, UsageFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from msmtp.config.options import Option

EXPECTED = {
    "port": "a port number from 1 to 65535",
    "size": "a number greater than 0",
    "seconds": "'off' or a number of seconds greater than 0",
    "fingerprint": "16, 20 or 32 pairs of hexadecimal digits with colons between them (MD5, SHA1 or SHA256)",
    "conditions": "'off', 'never', or a list of failure, delay and success with commas and no blanks between them",
    "nothing": "no argument",
    # of msmtpd
    "file": "the name of a file",
    "address": "an address such as you@example.org",
    "log": "'none', 'syslog', 'journal', 'stdout', 'json' or the name of a file",
    "status": "'off' or the name of a socket",
    "interface": "an address of this machine such as 127.0.0.1, ::1 or fe80::1%eth0; 0.0.0.0 and :: are all",
    "listening_port": "a port number from 0 to 65535, 0 for any that is free",
    "unix_socket": "a name without commas, and behind it, with commas before them, mode=0660 (octal), group=NAME and "
    "user=NAME as wanted",
    "network": "an address, a network such as 192.0.2.0/24 or 2001:db8::/32 (no bit set behind its first ones), or "
    "'unix'",
    "octets": "a number of octets, or one with k, m or g behind it, up to 64g; 0 for no limit",
    "time": "a number of seconds greater than 0, or one with s, m, h or d behind it, up to 7d",
    "sessions": "a number from 1 to 4096",
    "share": "a number from 0 to 4096, 0 for half of --max-sessions",
    "waiting": "a number from 0 to 64",
    "recipients": "a number from 1 to 5000 (more do not fit on a command line)",
    "hops": "a number from 1 to 1000",
    "login": "a user's name, or one and behind a comma the command that prints the password",
    "template": "a command whose first word is a program and whose quotes are closed, such as 'msmtp -f %F --'",
    "domain": "a domain such as mail.example.org, in ASCII (xn--...), or an address in brackets",
    "identity": "a user, or a user and a group with a colon between them, by name or number",
}
"""kind: what a value of it looks like. Kinds with words list them."""


def expected(row: Option) -> str:
    """What a value for this row looks like, in words."""
    if row.words is None:
        return EXPECTED.get(row.kind, "a value")
    words = [word for word in row.words if word not in ("", "hdrs")]
    if len(words) == 1:
        return f"'{words[0]}'"
    return ", ".join(f"'{word}'" for word in words[:-1]) + f" or '{words[-1]}'"


def distance(one: str, other: str) -> int:
    """Count the letters to add, drop, change or swap with their neighbour to make one word of the other."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one):
        last, before, row = before, row, [i + 1]
        for j, counterpart in enumerate(other):
            cost = min(before[j] + (letter != counterpart), before[j + 1] + 1, row[j] + 1)
            if i and j and letter == other[j - 1] and counterpart == one[i - 1]:
                cost = min(cost, last[j - 1] + 1)
            row.append(cost)
    return row[-1]


def nearest(word: str, words: Iterable[str]) -> str:
    """``did you mean 'WORD'?`` for the word that is most like this one, or '' if none is like it."""
    small = word.lower().replace("-", "_")[:80]
    found = min(((distance(small, other.lower().replace("-", "_")), other) for other in words), default=None)
    if found is None or found[0] > max(1, len(small) // 3):
        return ""
    return f"did you mean '{found[1]}'?"


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def unknown_command(file: str, number: int, word: str) -> ConfigFailure:
    """``word`` stands where a command should."""
    command, equals, _ = word.partition("=")
    if equals and any(row.command == command for row in OPTIONS if row.command):
        hint = f"write a blank between the command and its argument: {command} ..."
    elif word == "eval":
        hint = "what an eval command prints cannot be one again"
    else:
        hint = nearest(word, (row.command for row in OPTIONS if row.command and row.note != HIDDEN))
    return ConfigFailure(f"{file}: line {number}: unknown command {word}", hint=hint)


def missing_argument(file: str, number: int, row: Option) -> ConfigFailure:
    """A command stands alone that cannot."""
    hint = f"expected {expected(row)}" if row.words or row.kind in EXPECTED else ""
    return ConfigFailure(f"{file}: line {number}: command {row.command} needs an argument", hint=hint)


def superfluous_argument(file: str, number: int, row: Option) -> ConfigFailure:
    """A command that stands alone has an argument."""
    return ConfigFailure(f"{file}: line {number}: command {row.command} does not take an argument")


def invalid_argument(file: str, number: int, row: Option, argument: str) -> ConfigFailure:
    """The argument of a command is not one of its values."""
    if row.kind == "nothing":
        return superfluous_argument(file, number, row)
    message = f"{file}: line {number}: invalid argument {argument} for command {row.command}"
    return ConfigFailure(message, hint=_value_hint(row, argument))


def invalid_option_value(row: Option, argument: str) -> UsageFailure:
    """The argument of an option is not one of its values."""
    name = f"--{row.long}" if row.long else f"-{row.short}"
    return UsageFailure(f"invalid argument {argument} for {name}", hint=_value_hint(row, argument))


def _value_hint(row: Option, argument: str) -> str:
    hint = f"expected {expected(row)}"
    if "#" in argument.split(" ", 1)[-1] and row.words:
        return _join(hint, "a comment needs a line of its own")
    return _join(hint, nearest(argument, row.words) if row.words else "")


def unknown_option(word: str, rows: Iterable[Option] = OPTIONS) -> UsageFailure:
    """A long option that does not exist; ``word`` as it was written, dashes and value included."""
    name = word.lstrip("-").partition("=")[0]
    near = nearest(name, (row.long for row in rows if row.long and row.note != HIDDEN))
    return UsageFailure(f"unrecognized option '{word}'", hint=near.replace("mean '", "mean '--"))


def account_not_found(name: str, files: Iterable[str], names: Iterable[str]) -> ConfigFailure:
    """The account asked for is in none of the files."""
    files = list(files)
    if not files:
        hint = "run msmtp --configure=ADDRESS to have a configuration file suggested"
        return ConfigFailure(f"account {name} not found: no configuration file available", hint=hint)
    names = list(names)
    known = f"accounts there: {', '.join(names[:20])}" if names else "no account is defined there"
    hint = nearest(name, names) or known
    if name == "default" and names:
        hint = f"add a line such as 'account default : {names[0]}' to the end, or choose one with -a"
    return ConfigFailure(f"account {name} not found in {' and '.join(files)}", hint=hint)
