"""Account: everything known about one SMTP account; Definition: one account as a file or the command line states it.

A file with thousands of accounts is read whole, because an error anywhere in it must be said, but only one account is
used.  So the reader keeps a Definition for each, which is little more than a dict of what its lines set, and one
Account is built in the end, by :func:`build`, from four layers, each over the one before: the defaults of OPTIONS, the
defaults that held in the file, what the accounts named after the colon set, what the account itself and then the
command line set.
"""

from __future__ import annotations

from os import path

from msmtp.config.options import OPTIONS, Hidden

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULTS: dict[str, object] = {row.attribute: row.default for row in OPTIONS if row.label}
"""Every attribute of an Account that a setting can change, and its value where nothing sets it."""

PATHS: tuple[str, ...] = tuple(row.attribute for row in OPTIONS if row.label and row.kind == "path")
"""Attributes that name files: a leading ~ stands for the home directory."""

COMMAND_LINE = ""
"""What stands in ``file`` of an account that no file defines."""


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
    password: Hidden
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
            setattr(account, attribute, path.expanduser(name))
    return account
