"""The guard: delivery's judgement of each mail by the policy, where there is one (``--policy``).

It works in delivery, which has the power to send, and believes no worker: who connects it has from the kernel by way of
the supervisor, who gave a password from auth itself, and the From field it reads in the file that is sealed and given
to the command: what msmtp reads in it, and nothing that others may read otherwise (``from_field``).

    before the content    who may not send, or not as this sender, not to so many, not so often        550, 450
    behind the content    a From field that names somebody else                                        550

What is refused is told with the place of the rule, and what would be right.
"""

from __future__ import annotations

import time

from msmtp.config import substitution
from msmtp.config.daemon_settings import Settings, read_trusted
from msmtp.config.reader import SYSTEM_FOLDER
from msmtp.daemon.command import Command
from msmtp.daemon.from_field import addresses_of
from msmtp.daemon.policy import AUTH, UNKNOWN, USER, Buckets, Machine, Person, parse, plainly
from msmtp.daemon.requests import NOBODY
from msmtp.failures import ConfigFailure, Failure, MalformedMailFailure, shown
from msmtp.mail.header import HeaderReader
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from msmtp.daemon.policy import Policy, Rule

    Stamp = tuple[int, int, int] | None

HEADER_LIMIT: Final = 1 << 16
"""Octets of a header that are read; it is refused if it is longer, since a From may stand behind them."""

MOST_FROM: Final = 20
"""Addresses that the From fields of a mail may hold."""

HOSTS_FILE: Final = f"{SYSTEM_FOLDER}/hosts"
"""Where the name stands that this machine has in its domain.  Name servers are not asked: they may be away."""

KNOWN: Final = 60.0
"""Seconds for which the system's word on a user is remembered."""

_MOST_KNOWN = 1_024
_HOSTS_LIMIT = 1 << 18
_SHOWN = 100  # letters of an address in a reply
_SHOWN_PATTERNS = 120  # and of what is allowed


def load(settings: Settings) -> Policy | None:
    """Read the policy that the settings name; None if they name none.

    Raises ConfigFailure, InsecureFileFailure if somebody else can change it, FileFailure if it cannot be read.
    """
    if not settings.policy:
        return None
    text = read_trusted(settings.policy, "--policy names a file of rules, see msmtpd(8)")
    policy = parse(text, settings.policy)
    chosen = next((rule for rule in policy.rules if rule.account or rule.replaces), None)
    if chosen and not Command(settings.command).is_default:
        word = "account" if chosen.account else "header replace"
        raise ConfigFailure(
            f"{chosen.place}: {word} needs the default delivery command",
            hint="another --command chooses by itself how mail is sent; MSMTPD_PEER_UID and MSMTPD_USER say who sends",
        )
    return policy


def own_mail_name() -> str:
    """The name under which this machine sends mail: /etc/mailname's, or the machine's own."""
    try:
        return substitution.mail_name()
    except Failure:
        return os.uname().nodename


def own_host_names() -> list[str]:
    """The machine's name, and the same with another domain, or none, where the file of hosts has that for it."""
    own = os.uname().nodename
    first = own.partition(".")[0]
    try:
        with open(HOSTS_FILE, encoding="utf-8", errors="replace") as file:
            lines = file.read(_HOSTS_LIMIT).split("\n")
    except OSError:
        return [own]
    for line in lines:
        _, *names = line.partition("#")[0].split() or [""]
        if own in names:
            return list(dict.fromkeys([own, *[name for name in names if name.partition(".")[0] == first]]))
    return [own]


def _stamp(file: str) -> Stamp:
    """What tells whether a file is another one than it was."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class Names:
    """What this machine is called, as its files say now: who changes them need not tell msmtpd."""

    __slots__ = ("_machine", "_stamps")

    def __init__(self) -> None:
        self._stamps: tuple[Stamp, ...] = ()
        self._machine = Machine("")

    def now(self) -> Machine:
        """The names; read again if a file has changed."""
        stamps = _stamp(substitution.MAIL_NAME_FILE), _stamp(HOSTS_FILE)
        if stamps != self._stamps:
            self._stamps, self._machine = stamps, Machine(own_mail_name(), own_host_names())
        return self._machine


class Refusal:
    """Why a mail is not sent: the ``reply`` by its name in REPLIES, and the ``text`` in that one's place."""

    __slots__ = ("reply", "text")

    def __init__(self, reply: str, text: str) -> None:
        self.reply = reply
        self.text = text

    @property
    def is_temporary(self) -> bool:
        """Whether the same mail may be sent later."""
        return self.text[:1] == "4"


class Directory:
    """What the system says of users, remembered for a while: a user added today may send today."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, str, dict[int, str]]] = {}

    def user(self, number: int, now: float) -> tuple[str, dict[int, str]]:
        """A user's name, '' if there is none, and groups by number."""
        known = self._known.get(number)
        if known is None or now >= known[0]:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[number] = (now + KNOWN, *_asked(number))
        return known[1:]


def _asked(number: int) -> tuple[str, dict[int, str]]:
    import grp
    import pwd

    try:
        entry = pwd.getpwuid(number)
    except (KeyError, OverflowError):
        return "", {}
    groups = {}
    for group in os.getgrouplist(entry.pw_name, entry.pw_gid):
        try:
            groups[group] = grp.getgrgid(group).gr_name
        except KeyError:
            groups[group] = ""
    return entry.pw_name, groups


class Permission:
    """What was found for one mail: by which ``rule`` this ``person`` sends it as this ``sender``.

    ``replace``: whether the command is to put the sender into the From header: MAILER-DAEMON, if that is empty.
    """

    __slots__ = ("person", "replace", "rule", "sender")

    def __init__(self, person: Person, rule: Rule, sender: bytes) -> None:
        self.person = person
        self.rule = rule
        self.sender = sender
        self.replace = False

    @property
    def options(self) -> list[bytes]:
        """What the default command is told of it."""
        found = [b"--set-from-header=on"] if self.replace else []
        return [*found, b"-a", os.fsencode(self.rule.account)] if self.rule.account else found


class Guard:
    """A policy, and what it has to know of the past."""

    __slots__ = ("_buckets", "_clock", "_directory", "_names", "policy")

    def __init__(
        self, policy: Policy, names: Callable[[], Machine] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.policy = policy
        self._names = names or Names().now
        self._directory = Directory()
        self._buckets = Buckets()
        self._clock = clock

    def replace(self, policy: Policy) -> None:
        """Judge by another policy; how often each has sent stays known."""
        self.policy = policy

    def person(self, uid: int, user: bytes, address: bytes) -> Person:
        """Who sends: the user of the password if one was given, else the user who connects."""
        if user:
            return Person(AUTH, user.decode("utf-8", "surrogateescape"))
        if uid != NOBODY:
            name, groups = self._directory.user(uid, self._clock())
            return Person(USER, name, uid, groups)
        return Person(UNKNOWN, address=address.decode("ascii", "replace"))

    def envelope(self, person: Person, sender: bytes, recipients: int) -> tuple[Permission | None, Refusal | None]:
        """Judge what is known before the content comes: one of the two.  One more mail is counted if it may be sent."""
        rule = self.policy.rule_for(person)
        if rule is None:
            return None, self._no_rule(person)
        refusal = self._refusal(rule, person, sender, recipients)
        return (None, refusal) if refusal else (Permission(person, rule, sender), None)

    def _refusal(self, rule: Rule, person: Person, sender: bytes, recipients: int) -> Refusal | None:
        if rule.refuses:
            return Refusal("not permitted", f"5.7.1 {rule.place} lets {person} send no mail")
        if sender and not self._allows(rule, person, sender):
            return self._not_as(rule, person, sender, "as the envelope's sender")
        if rule.recipients and recipients > rule.recipients:
            text = f"{rule.place} lets {person} send a mail to {rule.recipients} at a time; send to fewer"
            return Refusal("too many for policy", f"5.5.3 {text}")
        wait = self._buckets.take(rule, person, self._clock())
        if wait:
            text = f"{rule.place} lets {person} send {rule.often}; send again in {int(wait) + 1} s"
            return Refusal("too often", f"4.7.1 {text}")
        return None

    def header(self, permission: Permission, descriptor: int) -> Refusal | None:
        """Judge the From fields of a mail, which is read from the file's beginning; its offset stays."""
        rule = permission.rule
        if rule.is_for_all:
            return None
        octets = os.pread(descriptor, HEADER_LIMIT + 1, 0)
        reader = HeaderReader(HEADER_LIMIT)
        try:
            fields = reader.feed(octets)
            fields += () if reader.done else reader.close()
        except MalformedMailFailure:
            text = f"header of more than {HEADER_LIMIT} octets: {rule.place} is for mail that shows who sends it"
            return Refusal("not permitted", f"5.7.1 {text}")
        if b"\r" in octets[: len(octets) - len(reader.rest)]:
            return Refusal("not permitted", "5.7.1 header with a CR that is no line end")
        refusal = self._judged(permission, [field.value for field in fields if field.name == b"from"])
        if refusal and rule.replaces:
            permission.replace = True
            return None
        return refusal

    def _judged(self, permission: Permission, values: list[bytes]) -> Refusal | None:
        rule, person = permission.rule, permission.person
        found, clear = addresses_of(values)
        if values and not found:
            return Refusal("not permitted", f"5.7.1 From without an address: {rule.place} wants to know who sends")
        if len(found) > MOST_FROM:
            return Refusal("not permitted", f"5.7.1 From with more than {MOST_FROM} addresses")
        for address in found:
            if not self._allows(rule, person, address):
                return self._not_as(rule, person, address, "in From")
        if not clear:
            text = f"From that not all programs read alike: {rule.place} wants to know who sends; write Name <address>"
            return Refusal("not permitted", f"5.7.1 {text}")
        return None

    def _allows(self, rule: Rule, person: Person, address: bytes) -> bool:
        return rule.allows(plainly(address), person, self._names())

    def told(self, person: Person) -> list[str]:
        """What a person may do, as lines for people."""
        rule = self.policy.rule_for(person)
        if rule is None or rule.refuses:
            return [self._no_rule(person).text[6:] if rule is None else f"{rule.place} lets {person} send no mail"]
        lines = [f"{rule.place} is the rule for {person}", f"sends as: {self._allowed(rule, person)}"]
        lines += ["another From header: replaced by the envelope's sender"] if rule.replaces else []
        lines += [f"account: {rule.account}"] if rule.account else []
        lines += [f"at most: {rule.often}"] if rule.rate else []
        lines += [f"at most: {rule.recipients} recipients a mail"] if rule.recipients else []
        return lines

    def first_address(self, person: Person) -> str:
        """An address that a person may send as: the first one without wildcards, or what the default would be."""
        rule = self.policy.rule_for(person)
        patterns = rule.patterns(person, self._names()) if rule else []
        plain = [text for text in patterns if not set(text) & set("*?[\\")]
        return plain[0] if plain else f"{person.name or 'nobody'}@{self._names().mail}"

    def _allowed(self, rule: Rule, person: Person) -> str:
        return ", ".join(rule.patterns(person, self._names())) or "nobody, for want of a name"

    def _no_rule(self, person: Person) -> Refusal:
        if person.kind == UNKNOWN:
            todo = "use the socket of this machine, or authenticate, so that it is known who sends"
        else:
            todo = "its administrator can add one"
        return Refusal("not permitted", f"5.7.1 {self.policy.file} has no rule for {person}: {todo}")

    def _not_as(self, rule: Rule, person: Person, address: bytes, where: str) -> Refusal:
        allowed = self._allowed(rule, person)
        if len(allowed) > _SHOWN_PATTERNS:
            allowed = f"{allowed[:_SHOWN_PATTERNS]}..."
        said = f"{rule.place} does not let {person} send as {shown(address, _SHOWN)} ({where})"
        return Refusal("not permitted", f"5.7.1 {said}; send as {allowed}")
