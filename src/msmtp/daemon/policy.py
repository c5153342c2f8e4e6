"""POLICY: who may send as whom, how often, to how many, and by which account: the file of ``--policy``, taken apart.

    # comment                            a line of its own
    for user root, group staff           begins a rule, and says whom it is for
      from %U@%M *@example.org           addresses to send as; may be repeated
      account work                       the mail server's account in the settings of the default command
      header replace                     a From header that fits none of them becomes the envelope's sender
      rate 30/hour                       mails a minute (or /minute, /hour, /day)
      recipients 100                     a mail
    for user games
      refuse                             nothing

**Whom.**  ``user``: who connects from this machine, by name, number, or numbers 1000-1999; ``group``: the same by
membership; ``auth``: who gave this name's password; ``everybody``: all of these; ``unknown``: who is none of them.

**Which rule.**  The first one that is for the sender.  It alone counts: nothing of a later one is added to it.  Whom no
rule is for may not send.

**Addresses.**  %U is the sender's name, %M the name under which this machine sends mail, %H each of its own names;
* ? [...] are wildcards (:mod:`msmtp.config.wildcards`), which do not match across the @.  Without ``from``, a rule
lets send as %U@%M.

Pure: what a person is called and belongs to, what the machine is called, and what time it is, is said by the caller.
"""

from __future__ import annotations

import re

from msmtp.config.wildcards import matches
from msmtp.failures import ConfigFailure
from msmtp.mail.addresses import parse_addresses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Final

DEFAULT_FROM: Final = ("%U@%M",)
ANY: Final = "*"

USER, AUTH, UNKNOWN = "user", "auth", "unknown"
"""Kinds of persons."""

KINDS: Final = ("user", "group", "auth", "everybody", "unknown")
ALONE: Final = ("everybody", "unknown")
SETTINGS: Final = ("from", "header", "account", "rate", "recipients", "refuse")

HEADERS: Final = ("refuse", "replace")
"""What becomes of a mail with a From header that may not be."""

PERIODS: Final = {"minute": 60.0, "hour": 3_600.0, "day": 86_400.0}
MOST_RULES: Final = 10_000
MOST: Final = 1_000_000  # of mails a period, and of recipients
MOST_BUCKETS: Final = 4_096
LONGEST: Final = 1_000  # letters of an address; RFC 5321, 4.5.3.1 has 320

_NUMBERS = re.compile(r"(\d{1,10})(?:-(\d{1,10}))?")
_RATE = re.compile(r"(\d{1,7})(?:/(minute|hour|day))?")
_PERCENT = re.compile(r"%(.?)", re.DOTALL)
_SPECIAL = re.compile(r"([\\*?\[])")


class Person:
    """Who sends.

    ``kind``: USER with a ``number``, by the kernel's word; AUTH, by a password; or UNKNOWN.  ``name``: '' if there is
    none.  ``groups``: by number, each with its name.  ``address``: where an unknown one comes from.
    """

    __slots__ = ("address", "groups", "kind", "name", "number")

    def __init__(
        self,
        kind: str,
        name: str = "",
        number: int = -1,
        groups: Mapping[int, str] | None = None,
        address: str = "",
    ) -> None:
        self.kind = kind
        self.name = name
        self.number = number
        self.groups = groups or {}
        self.address = address

    @property
    def key(self) -> str:
        """Who counts as one when mails are counted."""
        return {USER: f"uid:{self.number}", AUTH: f"auth:{self.name}"}.get(self.kind, f"from:{self.address}")

    def __str__(self) -> str:
        if self.kind == USER:
            return f"user {self.name}" if self.name else f"the user with number {self.number}"
        return f"{self.name} (who gave the password)" if self.kind == AUTH else "somebody unknown"


class Whom:
    """One of those whom a rule is for: ``kind`` of KINDS, ``name``, or numbers from ``first`` to ``last``."""

    __slots__ = ("first", "kind", "last", "name")

    def __init__(self, kind: str, name: str = "") -> None:
        """Raise ValueError for numbers in the wrong order."""
        self.kind = kind
        self.name = name
        self.first, self.last = 1, 0
        numbers = _NUMBERS.fullmatch(name) if kind in ("user", "group") else None
        if numbers:
            self.first, self.last = int(numbers[1]), int(numbers[2] or numbers[1])
            if self.first > self.last:
                raise ValueError(name)

    def is_one(self, person: Person) -> bool:
        """Whether a person is among them."""
        if self.kind in (USER, "group"):
            return person.kind == USER and (self._has_number(person) or self._has_name(person))
        if self.kind == AUTH:
            return person.kind == AUTH and person.name == self.name
        return (person.kind == UNKNOWN) == (self.kind == UNKNOWN)

    def _has_number(self, person: Person) -> bool:
        if self.kind == USER:
            return self.first <= person.number <= self.last
        return any(self.first <= number <= self.last for number in person.groups)

    def _has_name(self, person: Person) -> bool:
        if not self.name or self.first <= self.last:
            return False
        return self.name == person.name if self.kind == USER else self.name in person.groups.values()


class Machine:
    """What this machine is called: ``mail`` is the name under which it sends mail, ``hosts`` are its own names."""

    __slots__ = ("hosts", "mail")

    def __init__(self, mail: str, hosts: Sequence[str] = ()) -> None:
        self.mail = mail
        self.hosts = tuple(hosts)


class Rule:
    """A rule.

    ``place``: file and line.  ``addresses``: patterns.  ``account``: '' for whichever the command chooses.  ``rate``:
    mails in ``period`` seconds, 0 for no limit; ``recipients`` likewise.  ``refuses``: whether it lets nothing through;
    ``replaces``: whether a From header that may not be is replaced, and the mail not refused.
    """

    __slots__ = ("account", "addresses", "period", "place", "rate", "recipients", "refuses", "replaces", "whom")

    def __init__(self, place: str, whom: Sequence[Whom]) -> None:
        self.place = place
        self.whom = tuple(whom)
        self.addresses: tuple[str, ...] = ()
        self.account = ""
        self.rate = 0
        self.period = PERIODS["minute"]
        self.recipients = 0
        self.refuses = False
        self.replaces = False

    @property
    def is_for_all(self) -> bool:
        """Whether it lets send as anybody, so that nobody has to look who that is."""
        return ANY in self.addresses

    def patterns(self, person: Person, machine: Machine) -> list[str]:
        """Patterns of addresses that this person may send as, none of them twice."""
        found: dict[str, None] = {}
        for text in self.addresses or DEFAULT_FROM:
            for host in machine.hosts if "%H" in text else ("",):
                found[filled(text, person, machine.mail, host)] = None
        return [text for text in found if text]

    def allows(self, address: str, person: Person, machine: Machine) -> bool:
        """Whether this person may send as this address; one without a domain is of this machine."""
        return any(fits(pattern, address, machine.mail) for pattern in self.patterns(person, machine))

    @property
    def often(self) -> str:
        """How often it lets send, in words."""
        period = next(name for name, seconds in PERIODS.items() if seconds == self.period)
        return f"{self.rate} mail{'s' if self.rate != 1 else ''} a{'n' if period == 'hour' else ''} {period}"


class Policy:
    """All rules of a file, in their order."""

    __slots__ = ("file", "rules")

    def __init__(self, file: str, rules: Sequence[Rule]) -> None:
        self.file = file
        self.rules = tuple(rules)

    def rule_for(self, person: Person) -> Rule | None:
        """The first rule that is for a person."""
        for rule in self.rules:
            if any(whom.is_one(person) for whom in rule.whom):
                return rule
        return None


# -- addresses


def filled(text: str, person: Person, mail_name: str, host: str) -> str:
    """A pattern with %U, %M, %H, %% replaced, values taken literally; '' if it needs a name that there is not."""
    if "%" not in text:
        return text
    values = {"U": person.name, "M": mail_name, "H": host, "%": "%"}
    if not all(values[letter] for letter in _PERCENT.findall(text)):
        return ""
    return _PERCENT.sub(lambda found: _SPECIAL.sub(r"\\\1", values[found[1]]), text)


def fits(pattern: str, address: str, mail_name: str) -> bool:
    """Whether an address is of a pattern: the local part as it stands, the domain in any case of letters."""
    if pattern == ANY:
        return True
    if len(address) > LONGEST:
        return False
    local, sign, domain = address.rpartition("@")
    if not sign:
        local, domain = address, mail_name
    its_local, _, its_domain = pattern.rpartition("@")
    return matches(its_local, local) and matches(its_domain.lower(), domain.lower())


def plainly(address: bytes) -> str:
    """An address as it is compared: quoted no more than it must be."""
    named = parse_addresses(address) if b'"' in address or b"\\" in address else [address]
    return (named[0] if len(named) == 1 else address).decode("utf-8", "surrogateescape")


# -- how often


class Buckets:
    """How often each has sent: a bucket of mails that fills as time goes, for each rule and person.

    A bucket that has filled again is as good as none, so there is a limit to how many there are; beyond it the fullest
    are forgotten.
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left: dict[tuple[str, str], tuple[float, float, float]] = {}

    def take(self, rule: Rule, person: Person, now: float) -> float:
        """Take a mail out of a bucket: 0, or if it is empty the seconds until there is one.  ``now`` only grows."""
        if not rule.rate:
            return 0.0
        key, speed = (rule.place, person.key), rule.rate / rule.period
        left, since, _ = self._left.get(key, (float(rule.rate), now, 0.0))
        left = min(float(rule.rate), left + (now - since) * speed)
        if left < 1.0 - 1e-9:
            return (1.0 - left) / speed
        left -= 1.0
        self._left[key] = (left, now, now + (rule.rate - left) / speed)
        if len(self._left) > MOST_BUCKETS:
            self._forget(now)
        return 0.0

    def __len__(self) -> int:
        return len(self._left)

    def _forget(self, now: float) -> None:
        """Forget those that are full again; if they are few, those that are next to be."""
        kept = sorted((row[2], key) for key, row in self._left.items() if row[2] > now)
        self._left = {key: self._left[key] for _, key in kept[-(MOST_BUCKETS * 3 // 4) :]}


# -- the file


def nearest(word: str, words: Iterable[str]) -> str:
    """A hint, if one of the words is like this one; what makes it is loaded when there is a mistake."""
    from msmtp.config import explain

    return explain.nearest(word, words)


def parse(text: str, file: str) -> Policy:
    """Take the file's text apart.  Raises ConfigFailure for a line that is not as it should be."""
    rules: list[Rule] = []
    said: set[str] = set()
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words or words[0][0] == "#":
            continue
        place = f"{file}:{number}"
        if words[0] == "for":
            rules.append(Rule(place, _whom(place, line.strip()[3:])))
            said = set()
            if len(rules) > MOST_RULES:
                raise ConfigFailure(f"{place}: more than {MOST_RULES} rules", hint="name groups, or numbers 1000-1999")
        elif not rules:
            raise ConfigFailure(
                f"{place}: no rule has begun", hint="a rule begins with whom it is for, as in: for everybody"
            )
        else:
            _set(rules[-1], place, words, said)
    return Policy(file, rules)


def _whom(place: str, text: str) -> list[Whom]:
    found = []
    for item in text.split(","):
        words = item.split()
        if not words:
            raise ConfigFailure(f"{place}: whom is this rule for?", hint=_EXPECTED_WHOM)
        if words[0] not in KINDS:
            raise ConfigFailure(
                f"{place}: unknown word {words[0]} behind for", hint=nearest(words[0], KINDS) or _EXPECTED_WHOM
            )
        if len(words) != (1 if words[0] in ALONE else 2):
            raise ConfigFailure(f"{place}: for {' '.join(words)}: one name is expected", hint=_EXPECTED_WHOM)
        try:
            found.append(Whom(*words))
        except ValueError:
            raise ConfigFailure(f"{place}: {words[1]} are no numbers", hint="the smaller one comes first") from None
    return found


_EXPECTED_WHOM = "for user NAME, group NAME, auth NAME, everybody, unknown; with commas between them"


def _set(rule: Rule, place: str, words: Sequence[str], said: set[str]) -> None:
    name, *values = words
    if name not in SETTINGS:
        raise ConfigFailure(f"{place}: unknown word {name}", hint=nearest(name, (*SETTINGS, "for")))
    if name in said and name != "from":
        raise ConfigFailure(f"{place}: {name} is said twice in this rule", hint="say it once")
    said.add(name)
    if "refuse" in said and len(said) > 1:
        raise ConfigFailure(f"{place}: a rule with refuse has nothing else", hint="it lets nobody send anything")
    _PARSERS[name](rule, place, values)


def _set_from(rule: Rule, place: str, values: Sequence[str]) -> None:
    if not values:
        raise ConfigFailure(f"{place}: from needs an address", hint="such as %U@%M, *@example.org, or * for all")
    for text in values:
        local, sign, domain = text.rpartition("@")
        if text != ANY and not (sign and local and domain):
            raise ConfigFailure(f"{place}: {text} is no address", hint="such as %U@%M, *@example.org, or * for all")
        if not all(letter and letter in "UMH%" for letter in _PERCENT.findall(text)):
            raise ConfigFailure(f"{place}: {text}: what does % stand for?", hint="%U, %M, %H, or %% for itself")
    rule.addresses += tuple(values)


def _one(place: str, name: str, values: Sequence[str]) -> str:
    if len(values) != 1:
        raise ConfigFailure(f"{place}: {name} needs one argument")
    return values[0]


def _set_account(rule: Rule, place: str, values: Sequence[str]) -> None:
    rule.account = _one(place, "account", values)
    if rule.account.startswith("-"):
        raise ConfigFailure(f"{place}: {rule.account} is no account")


def _set_header(rule: Rule, place: str, values: Sequence[str]) -> None:
    word = _one(place, "header", values)
    if word not in HEADERS:
        raise ConfigFailure(f"{place}: header {word} is not known", hint=f"one of {' and '.join(HEADERS)}")
    rule.replaces = word == "replace"


def _set_rate(rule: Rule, place: str, values: Sequence[str]) -> None:
    found = _RATE.fullmatch(_one(place, "rate", values))
    if not found or not 0 < int(found[1]) <= MOST:
        raise ConfigFailure(f"{place}: {values[0]} is no rate", hint="such as 30, 30/minute, 200/hour, 1000/day")
    rule.rate, rule.period = int(found[1]), PERIODS[found[2] or "minute"]


def _set_recipients(rule: Rule, place: str, values: Sequence[str]) -> None:
    text = _one(place, "recipients", values)
    if not (text.isascii() and text.isdigit() and 0 < int(text[:8]) <= MOST):
        raise ConfigFailure(f"{place}: {text} is no number of recipients", hint=f"from 1 to {MOST}")
    rule.recipients = int(text[:8])


def _set_refuse(rule: Rule, place: str, values: Sequence[str]) -> None:
    if values:
        raise ConfigFailure(f"{place}: refuse takes no argument")
    rule.refuses = True


_PARSERS: dict[str, Callable[[Rule, str, Sequence[str]], None]] = {
    "from": _set_from,
    "header": _set_header,
    "account": _set_account,
    "rate": _set_rate,
    "recipients": _set_recipients,
    "refuse": _set_refuse,
}
"""Setting: what sets it."""
