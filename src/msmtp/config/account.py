"""Account: everything known about one SMTP account, and which account sends this mail.

A file with thousands of accounts is read whole, because an error anywhere in it must be said, but only one account is
used.  So the reader keeps a Definition for each, which is little more than a dict of what its lines set, and one
Account is built in the end, by :func:`build`, from four layers, each over the one before: the defaults of OPTIONS, the
defaults that held in the file, what the accounts named after the colon set, what the account itself and then the
command line set.

Which one, :func:`choose` decides, in this order: what the command line describes, if it has --host; the one that
--account names; the first one whose ``from`` matches the envelope-from address that --from or --read-envelope-from
gives; the one named "default"; what $SMTPSERVER and $EMAIL describe.
"""

from __future__ import annotations

from msmtp.config.options import OPTIONS, Hidden
from msmtp.failures import ConfigFailure, UsageFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from msmtp.config.command_line import CommandLine
    from msmtp.config.reader import Configuration

DEFAULTS: dict[str, object] = {row.attribute: row.default for row in OPTIONS if row.label}
"""Every attribute of an Account that a setting can change, and its value where nothing sets it."""

PATHS: tuple[str, ...] = tuple(row.attribute for row in OPTIONS if row.label and row.kind == "path")
"""Attributes that name files: a leading ~ stands for the home directory."""

COMMAND_LINE = ""
"""What stands in ``file`` of an account that no file defines."""

SMTP_PORT = 25
SMTPS_PORT = 465
SOCKS_PORT = 1080
WILDCARDS = ("?", "*", "[")


class Account:
    """One account, complete: an attribute for every command of the configuration files, named as the command is.

    Two names differ: ``from_`` (``from`` is a word of Python) is None if not set and '' for the null sender ``<>``.
    Numbers are 0, texts '' and ``tls_fingerprint`` (the digest) b'' if not set.  ``timeout`` is in seconds, 0 is none.
    ``auth`` is '' for off, 'on' for an automatic choice, or a method in lower case.  ``dsn_notify`` and ``dsn_return``
    are as they go over the wire (RFC 3461, 4.1 and 4.3).  ``syslog`` is a facility or ''.  ``exit_codes`` is 'sysexits'
    or 'upstream', ``missing_extension`` 'refuse' or 'send'.

    ``name`` and ``file`` say where it comes from ('' for the command line), ``set_mask`` which attributes were set
    rather than left at their defaults.
    """

    __slots__ = (*DEFAULTS, "file", "name", "set_mask")

    host: str
    port: int
    source_ip: str
    proxy_host: str
    proxy_port: int
    socket: str
    timeout: int
    protocol: str
    domain: str
    auth: str
    user: str
    password: Hidden | None
    passwordeval: str
    ntlmdomain: str
    tls: bool
    tls_starttls: bool
    tls_trust_file: str
    tls_crl_file: str
    tls_fingerprint: bytes
    tls_key_file: str
    tls_cert_file: str
    tls_certcheck: bool
    tls_min_dh_prime_bits: int
    tls_priorities: str
    tls_host_override: str
    auto_from: bool
    maildomain: str
    from_: str | None
    from_full_name: str
    allow_from_override: bool
    set_from_header: str
    set_date_header: str
    set_msgid_header: str
    set_to_header: str
    remove_bcc_headers: bool
    dsn_notify: str
    dsn_return: str
    logfile: str
    logfile_time_format: str
    syslog: str
    aliases: str
    partial_recipients: bool
    missing_extension: str
    exit_codes: str
    sandbox: str
    name: str
    file: str
    set_mask: frozenset[str]

    def __init__(self, name: str = "", file: str = COMMAND_LINE, settings: Mapping[str, object] | None = None) -> None:
        self.name = name
        self.file = file
        self.set_mask = frozenset(settings or ())
        for attribute, default in DEFAULTS.items():
            setattr(self, attribute, default)
        for attribute, value in (settings or {}).items():
            setattr(self, attribute, value)

    @property
    def origin(self) -> str:
        """``account NAME from FILE``, or '' for an account that the command line or the environment describes."""
        return f"account {self.name} from {self.file}" if self.file else ""

    def __repr__(self) -> str:
        return f"Account({self.name!r}, {self.file!r})"


class Definition:
    """An account as stated: ``defaults`` that held in its file, ``settings`` that it or its ancestors make."""

    __slots__ = ("defaults", "file", "name", "settings")

    def __init__(self, name: str, file: str, defaults: Mapping[str, object], settings: dict[str, object]) -> None:
        self.name = name
        self.file = file
        self.defaults = defaults
        self.settings = settings

    def get(self, attribute: str) -> object:
        """Value of one attribute, without building the whole account."""
        found = self.settings.get(attribute, self)
        return self.defaults.get(attribute, DEFAULTS[attribute]) if found is self else found

    def __repr__(self) -> str:
        return f"Definition({self.name!r}, {self.file!r})"


def inherit(parents: Iterable[Definition]) -> dict[str, object]:
    """What the accounts named after the colon set, each over the one before; their files' defaults do not count."""
    settings: dict[str, object] = {}
    for parent in parents:
        settings.update(parent.settings)
    return settings


def build(definition: Definition, overrides: Mapping[str, object]) -> Account:
    """Make the account that a definition and the command line describe; ~ in file names is the home directory."""
    account = Account(definition.name, definition.file, {**definition.defaults, **definition.settings, **overrides})
    for attribute in PATHS:
        name = getattr(account, attribute)
        if name[:1] == "~":
            setattr(account, attribute, at_home(name))
    return account


def at_home(name: str) -> str:
    """A file name that begins with ~, as the shell means it; os.path is loaded only where $HOME does not say it."""
    home = os.environ.get("HOME")
    if home and name[1:2] in ("", "/"):
        return home.rstrip("/") + name[1:] or "/"
    return os.path.expanduser(name)


def choose(
    line: CommandLine,
    configuration: Configuration,
    *,
    mail_sender: Callable[[], str | None],
    canonical_name: Callable[[str], str],
    environment: Mapping[str, str] = os.environ,
) -> Account:
    """Make the account to use.

    ``mail_sender`` returns the address in the mail's From (or Resent-From, if that comes first), None if there is
    none; it is called only if --read-envelope-from or ``%F`` asks for it.  ``canonical_name`` returns
    a host's canonical name, or what it was given if the resolver has none; it is called only for ``%C``.

    What --pretend and --debug say about the choice goes to ``configuration.notes``.  Raises ConfigFailure if there is
    no such account or its settings contradict each other, UsageFailure if the envelope-from address cannot be had.
    """
    sender = line.sender
    notes = configuration.notes
    if line.read_envelope_from and line.sends:
        sender = sender_of_mail(mail_sender)
        notes.insert(0, f"envelope from address extracted from mail: {sender}")
    definition = _find(line, configuration, sender, environment)
    account = build(definition, line.settings)
    if line.sends:
        _settle_sender(account, line, sender, mail_sender, canonical_name)
    if "%" in account.domain:
        account.domain = _substitute(account.domain, "HCM", canonical_name)
    _settle_ports(account)
    check(account, line)
    if account.origin:
        notes.append(f"using {account.origin}")
    elif "host" in line.settings:
        notes.append("using account specified on command line")
    else:
        notes.append("using environment variables EMAIL and SMTPSERVER")
    return account


def sender_of_mail(mail_sender: Callable[[], str | None]) -> str:
    """The address that --read-envelope-from takes from the mail.  Raises UsageFailure if there is none."""
    sender = mail_sender()
    if not sender:
        raise UsageFailure("no envelope from address found", hint="the mail has no From header with an address")
    return sender


def _find(
    line: CommandLine, configuration: Configuration, sender: str | None, environment: Mapping[str, str]
) -> Definition:
    """Follow the order at the head of this file."""
    if "host" in line.settings:
        return Definition("", "", {}, {})
    if line.account is not None:
        found = configuration.definitions.get(line.account)
        return found or _fail_to_find(line.account, configuration)
    if sender is not None:
        found = match(configuration.definitions.values(), sender)
        if found:
            configuration.notes.append(f"account chosen by envelope from address {sender}: {found.name}")
            return found
    configuration.notes.append("falling back to default account")
    found = configuration.definitions.get("default")
    if found:
        return found
    server, email = environment.get("SMTPSERVER"), environment.get("EMAIL")
    if server and (email or sender is not None or not line.sends):
        return Definition("", "", {}, {"host": server, "from_": email})
    return _fail_to_find("default", configuration)


def _fail_to_find(name: str, configuration: Configuration) -> Definition:
    from msmtp.config import explain

    raise explain.account_not_found(name, configuration.files, configuration.definitions)


def match(definitions: Iterable[Definition], sender: str) -> Definition | None:
    """Find the first account whose ``from`` is this address, or this address without its ``+detail``, or None."""
    addresses = [sender]
    local, at, domain = sender.rpartition("@")
    plain, plus, _ = local.partition("+")
    if at and plus:
        addresses.append(f"{plain}@{domain}")
    for definition in definitions:
        pattern = definition.get("from_")
        if not isinstance(pattern, str):
            continue
        # A detail that the account asks for by name is no detail to overlook.
        for address in addresses[:1] if "+" in pattern else addresses:
            if matches(pattern, address):
                return definition
    return None


def matches(pattern: str, address: str) -> bool:
    """Whether an address is what a ``from`` command says: equal in any case of letters, or fitting the wildcards."""
    if pattern.lower() == address.lower():
        return True
    if not any(mark in pattern for mark in WILDCARDS):
        return False
    from msmtp.config import wildcards

    return wildcards.matches(pattern, address)


def is_pattern(address: str) -> bool:
    """Whether a ``from`` command holds wildcards; the brackets of ``me@[192.0.2.1]`` are none (RFC 5321, 4.1.3)."""
    local, at, domain = address.rpartition("@")
    literal = at and domain[:1] == "[" and domain[-1:] == "]"
    return any(mark in (local if literal else address) for mark in WILDCARDS)


def _settle_sender(
    account: Account,
    line: CommandLine,
    sender: str | None,
    mail_sender: Callable[[], str | None],
    canonical_name: Callable[[str], str],
) -> None:
    """Set ``from_`` to the envelope-from address this mail goes out with."""
    if account.auto_from:
        from msmtp.config import substitution

        user = substitution.user_name()
        account.from_ = f"{user}@{account.maildomain}" if account.maildomain else user
        return
    said = account.from_ or ""
    if sender is not None and (account.allow_from_override or (is_pattern(said) and matches(said, sender))):
        account.from_ = sender
        if line.read_envelope_from or line.literal_sender:
            return  # the author of the mail does not write our configuration: a % stays a %
    elif is_pattern(said) and account.file and not line.pretend:
        hint = f"'from {said}' is a pattern: say which address to use with --from or --read-envelope-from"
        raise ConfigFailure(f"{account.origin}: envelope-from address is missing", hint=hint)
    if account.from_ and "%" in account.from_:
        account.from_ = _fill_in(account.from_, line, mail_sender, canonical_name)


def _fill_in(
    text: str, line: CommandLine, mail_sender: Callable[[], str | None], canonical_name: Callable[[str], str]
) -> str:
    """Replace the patterns of ``from``.  Without an author ``%F`` is an error, but --pretend shows it as it is."""
    author = mail_sender() if "%F" in text else None
    if "%F" in text and not author and not line.pretend:
        hint = "the 'from' setting has %F, but the mail has no From header with an address"
        raise UsageFailure("no envelope from address found", hint=hint)
    return _substitute(text, "UHCM", canonical_name, author)


def _substitute(text: str, letters: str, canonical_name: Callable[[str], str], author: str | None = None) -> str:
    from msmtp.config import substitution

    return substitution.substitute(text, letters, canonical_name, author)


def _settle_ports(account: Account) -> None:
    """Fill in the ports that follow from the protocol.  LMTP has none of its own (RFC 2033, 5)."""
    if not account.port and account.protocol == "smtp":
        account.port = SMTPS_PORT if account.tls and not account.tls_starttls else SMTP_PORT
    if account.proxy_host and not account.proxy_port:
        account.proxy_port = SOCKS_PORT


def check(account: Account, line: CommandLine) -> None:
    """Raise ConfigFailure for the first setting that is missing or contradicts another."""
    fault = _fault_of_target(account) or (_fault_of_sender(account) if line.sends and not line.pretend else None)
    fault = fault or _fault_of_tls(account)
    if fault:
        message, hint = fault
        raise ConfigFailure(f"{account.origin}: {message}" if account.origin else message, hint=hint)


def _fault_of_target(account: Account) -> tuple[str, str] | None:
    if not account.host and not account.socket:
        return "host not set", "add a 'host' command to the account"
    if not account.port and not account.socket:
        return "port not set", "LMTP has no usual port: add a 'port' or a 'socket' command to the account"
    return None


def _fault_of_sender(account: Account) -> tuple[str, str] | None:
    if account.from_ is None:
        return "envelope-from address is missing", "add a 'from' command to the account, or use --from"
    return None


def _fault_of_tls(account: Account) -> tuple[str, str] | None:
    if account.tls and not account.host and not account.tls_host_override:
        return "host not set", "TLS over a socket needs 'host' or 'tls_host_override', the name in the certificate"
    if account.tls_key_file and not account.tls_cert_file:
        return "tls_key_file requires tls_cert_file", ""
    if account.tls_cert_file and not account.tls_key_file:
        return "tls_cert_file requires tls_key_file", ""
    if account.tls and account.tls_certcheck and not account.tls_trust_file and not account.tls_fingerprint:
        return (
            "tls requires either tls_trust_file (highly recommended) or tls_fingerprint or a disabled tls_certcheck",
            "",
        )
    if account.tls_crl_file and not account.tls_trust_file:
        return "tls_crl_file requires tls_trust_file", ""
    return None
