"""The aliases file: local recipients and the addresses that stand for them.

One alias a line, ``name: address, address``; ``#`` begins a comment; ``default`` stands for every local name that has
no line of its own.  Local is what has no ``@``.  Names are case-sensitive.

An alias may lead to another, and expansion goes on until only addresses and unknown names are left.  One that leads
back to itself is an error, and so is a chain of more than ``DEPTH`` steps.

The file may be the machine's /etc/aliases, which mail servers read too.  What only they can do (pipe into a program,
append to a file, read a list) is passed over in silence until such an alias is asked for.
"""

from __future__ import annotations

from msmtp.failures import ConfigFailure, shown
from msmtp.mail.addresses import parse_addresses
from msmtp.mail.characters import CONTROLS

DEPTH = 17
DEFAULT = b"default"
NO_NAME = CONTROLS + b" @"
NOT_AN_ADDRESS = (b"|", b"/", b":include:")


class Alias:
    """One line: its ``number``, its ``targets``, and in ``foreign`` the first target that is no address, or b""."""

    __slots__ = ("foreign", "number", "targets")

    def __init__(self, number: int, targets: list[bytes], foreign: bytes) -> None:
        self.number = number
        self.targets = targets
        self.foreign = foreign


class Aliases:
    """The aliases of one file."""

    __slots__ = ("aliases", "file")

    def __init__(self, file: str, aliases: dict[bytes, Alias]) -> None:
        self.file = file
        self.aliases = aliases

    def expand(self, recipients: list[bytes]) -> list[bytes]:
        """Replace every local recipient by its addresses, where it stands; one alias gives each address once.

        Raises ConfigFailure, naming the file and the line, for an alias that leads to itself, too far, or to something
        that is no address.
        """
        return [address for recipient in recipients for address in self._addresses(recipient)]

    def _addresses(self, recipient: bytes) -> list[bytes]:
        """Expand one recipient, one step at a time for all names reached so far."""
        names = [recipient]
        for _ in range(DEPTH + 1):
            if not any(map(self._alias, names)):
                return names
            names = list(dict.fromkeys(target for name in names for target in self._targets(name)))
        left = [shown(name) for name in names if self._alias(name)]
        raise self._failure(
            recipient,
            f"too many redirects when expanding alias {shown(recipient)}",
            f"aliases that lead nowhere else: {', '.join(left[:5])}",
        )

    def _alias(self, name: bytes) -> Alias | None:
        return None if is_address(name) else self.aliases.get(name) or self.aliases.get(DEFAULT)

    def _targets(self, name: bytes) -> list[bytes]:
        alias = self._alias(name)
        if alias and alias.foreign:
            what = f"alias {shown(name)} leads to {shown(alias.foreign)}"
            raise self._failure(name, what, "msmtp can only send to addresses")
        return alias.targets if alias else [name]

    def _failure(self, name: bytes, what: str, hint: str) -> ConfigFailure:
        alias = self._alias(name)
        assert alias
        return ConfigFailure(f"{self.file}: line {alias.number}: {what}", hint=hint)


def is_address(recipient: bytes) -> bool:
    """Whether aliases leave this recipient alone."""
    return b"@" in recipient


def parse_aliases(text: bytes, file: str) -> Aliases:
    """Read an aliases file.  Raises ConfigFailure with file and line for the first line that is wrong."""
    aliases: dict[bytes, Alias] = {}
    for number, raw in enumerate(text.split(b"\n"), 1):
        if line := raw.partition(b"#")[0].strip():
            try:
                _define(aliases, line, number)
            except ConfigFailure as failure:
                raise ConfigFailure(f"{file}: line {number}: {failure.message}", hint=failure.hint) from None
    return Aliases(file, aliases)


def _define(aliases: dict[bytes, Alias], line: bytes, number: int) -> None:
    """Take in one line without its comment."""
    name, colon, rest = line.partition(b":")
    name, rest = name.strip(), rest.strip()
    word = shown(name)
    foreign = _foreign(rest)
    if not colon or (b":" in rest and not foreign):
        raise ConfigFailure("single ':' delimiter expected", hint="an alias is written name: address, address")
    if not name or name.translate(None, NO_NAME) != name:
        raise ConfigFailure(f"invalid alias '{word}'", hint="an alias is one word without @")
    if name in aliases:
        raise ConfigFailure(f"duplicate alias '{word}'", hint=f"it stands in line {aliases[name].number} already")
    targets = [] if foreign else parse_addresses(rest)
    if not targets and not foreign:
        raise ConfigFailure(f"alias '{word}' has no addresses")
    aliases[name] = Alias(number, targets, foreign)


def _foreign(rest: bytes) -> bytes:
    """First target that only a mail server can serve, or b""."""
    for target in rest.split(b","):
        if target.strip(b' \t"').startswith(NOT_AN_ADDRESS):
            return target.strip()
    return b""
