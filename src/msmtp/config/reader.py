"""Configuration files: found, read, checked for who else may read them, and taken apart into definitions of accounts.

A file is lines.  A line is blank, a comment (its first mark is '#'), or a command with at most one argument: what
follows the command up to the end of the line, blanks at both ends gone, one pair of double quotes around it gone.
``defaults`` opens a block of default values, ``account`` opens an account, every other command sets a value in the
block that is open; before the first block they open the account "default".  ``eval`` stands for the line that its
command prints.

Every line of every file is checked, whoever uses it: an error that only shows on the day its account is chosen would be
found by the mail that is lost.  This is the one loop of msmtp that may run over thousands of lines before each mail, so
it works on octets and keeps nothing but the values.
"""

from __future__ import annotations

from msmtp.config.account import Definition, inherit
from msmtp.config.options import COMMANDS, NEEDED, STRUCTURE
from msmtp.failures import ConfigFailure, FileFailure, InsecureFileFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from msmtp.config.options import Option

SYSTEM_FOLDER = "/etc"
"""Where msmtprc, mailname and netrc of the whole system are."""

SYSTEM_FILE = f"{SYSTEM_FOLDER}/msmtprc"

LINE_LIMIT = 65536
"""Octets a line may have; the C program stops at 500, which a token of OAuth exceeds."""

FILE_LIMIT = 64 * 1024 * 1024
"""Octets a file may have; something longer is not a configuration file."""

NOT_THERE = (FileNotFoundError, NotADirectoryError, PermissionError)
"""What opening a file raises that the user has not, or not for himself.

Anything else says nothing of the file, but of the machine (EMFILE, ENOMEM, EIO, ESTALE).  Going on without it would
send the mail by another account: as somebody else, by somebody else's server.
"""

_HASH = ord("#")
_QUOTE = ord('"')
_EVAL = COMMANDS[b"eval"]


class Configuration:
    """What the files say: ``definitions`` by account name, in the order in which a ``from`` is searched for.

    ``files`` are the files that were read, ``notes`` what --pretend and --debug say of it, ``warnings`` files that
    exist but could not be read, each with the reason; the caller prints them.
    """

    __slots__ = ("definitions", "files", "notes", "warnings")

    def __init__(self) -> None:
        self.definitions: dict[str, Definition] = {}
        self.files: list[str] = []
        self.notes: list[str] = []
        self.warnings: list[str] = []


def user_file(environment: Mapping[str, str] = os.environ) -> str:
    """Name of the user's file: ~/.msmtprc, unless only $XDG_CONFIG_HOME/msmtp/config exists."""
    home = environment.get("HOME") or os.path.expanduser("~")
    plain = f"{home}/.msmtprc"
    if _may_be_there(plain):
        return plain
    modern = f"{environment.get('XDG_CONFIG_HOME') or home + '/.config'}/msmtp/config"
    return modern if _may_be_there(modern) else plain


def _may_be_there(file: str) -> bool:
    """Whether there is such a file or, if that cannot be told now, may be: then opening it says why."""
    try:
        os.stat(file)
    except OSError as error:
        return not isinstance(error, NOT_THERE)
    return True


def load(
    configuration: Configuration,
    file: str | None,
    evaluate: Callable[[str], str],
    system_file: str = SYSTEM_FILE,
) -> None:
    """Read the system's file, then the user's (or ``file`` in its place), into ``configuration``.

    ``evaluate`` runs the command of an ``eval`` line and returns the first line of its output.  Raises ConfigFailure
    for an error in a file, InsecureFileFailure for a password that others can read, FileFailure if ``file`` cannot be
    read, or another for any reason but NOT_THERE.  What was noted before a failure stands in ``configuration``.
    """
    system = _load_one(configuration, "system", system_file, evaluate)
    user = _load_one(configuration, "user", user_file() if file is None else file, evaluate, required=file is not None)
    # As the C program does it: the system's accounts that the user has no account of that name for, then the user's.
    configuration.definitions = {name: found for name, found in system.items() if name not in user} | user


def _load_one(
    configuration: Configuration,
    whose: str,
    file: str,
    evaluate: Callable[[str], str],
    *,
    required: bool = False,
) -> dict[str, Definition]:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        if required or not isinstance(error, NOT_THERE):
            hint = "-C and --file take the name of a configuration file" if required else ""
            raise FileFailure(f"{file}: {reason}", hint=hint) from error
        configuration.notes.append(f"ignoring {whose} configuration file {file}: {reason}")
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            configuration.warnings.append(f"cannot read {whose} configuration file {file}: {reason}")
        return {}
    try:
        text = _read(descriptor, file)
        definitions, secret = parse(text, file, evaluate)
        if secret and whose == "user":
            _check_rights(descriptor, file)
    finally:
        os.close(descriptor)
    configuration.files.append(file)
    configuration.notes.append(f"loaded {whose} configuration file {file}")
    return definitions


def _read(descriptor: int, file: str) -> bytes:
    blocks = []
    size = 0
    try:
        while block := os.read(descriptor, 65536):
            blocks.append(block)
            size += len(block)
            if size > FILE_LIMIT:
                raise FileFailure(f"{file}: input error", hint=f"longer than {FILE_LIMIT} octets")
    except OSError as error:
        raise FileFailure(f"{file}: input error", hint=error.strerror or "") from error
    return b"".join(blocks)


def _check_rights(descriptor: int, file: str) -> None:
    """Refuse a file with a password in it that is not the user's own or that others can read.  Root is trusted.

    So is the service manager: credentials that it made for this service (systemd.exec(5), LoadCredential=) are root's
    own files, readable for the service's user by an access control list.
    """
    user = os.geteuid()
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if user == 0 or (folder and file.startswith(f"{folder}/")):
        return
    status = os.fstat(descriptor)
    if status.st_uid != user:
        raise InsecureFileFailure(f"{file}: contains secrets and therefore must be owned by you")
    if status.st_mode & 0o177:
        raise InsecureFileFailure(
            f"{file}: contains secrets and therefore must have no more than user read/write permissions",
            hint=f"run: chmod 600 {file}",
        )


def parse(  # noqa: C901 - the one loop that may run thousands of times: calls would cost more than they explain
    text: bytes,
    file: str,
    evaluate: Callable[[str], str],
    limit: int = LINE_LIMIT,
) -> tuple[dict[str, Definition], bool]:
    """Take a file's text apart: the accounts in their order, and whether a ``password`` command stands in it.

    Raises ConfigFailure for the first error.  Values stay as OPTIONS stores them; see :mod:`msmtp.config.account`.
    """
    lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if max(map(len, lines)) > limit or b"\0" in text:
        raise _strange_line(lines, file, limit)
    blocks = _Blocks(file)
    settings: dict[str, object] | None = None
    secret = False
    for number, line in enumerate(lines, 1):
        words = line.split(None, 1)
        if not words or words[0][0] == _HASH:
            continue
        row = COMMANDS.get(words[0])
        if row is _EVAL:
            words = _evaluate(_argument(words), file, number, evaluate)
            if not words or words[0][0] == _HASH:
                continue
            row = None if words[0] == b"eval" else COMMANDS.get(words[0])
        elif words[0] == b"password":
            secret = True
        if row is None:
            raise _explain().unknown_command(file, number, _decode(words[0]))
        argument = _argument(words)
        if row.target == STRUCTURE:
            settings = _open(blocks, row, argument, number)
            continue
        if settings is None:
            settings = blocks.open_account("default", number)
        value = _value(row, argument, file, number)
        if row.attribute:
            settings[row.attribute] = value
    return blocks.definitions, secret


def _strange_line(lines: list[bytes], file: str, limit: int) -> ConfigFailure:
    number, line = next((number, line) for number, line in enumerate(lines, 1) if len(line) > limit or b"\0" in line)
    what = f"longer than {limit} characters" if len(line) > limit else "contains a NUL octet"
    return ConfigFailure(f"{file}: line {number}: {what}", hint="is this a configuration file?")


def _argument(words: list[bytes]) -> str:
    """The argument of a command: the quotes go only if they are at both ends; there is no escaping inside."""
    if len(words) == 1:
        return ""
    argument = words[1].rstrip()
    if argument[0] == _QUOTE == argument[-1] and len(argument) > 1:
        argument = argument[1:-1]
    return argument.decode("utf-8", "surrogateescape")


def _value(row: Option, argument: str, file: str, number: int) -> object:
    """What a command with this argument sets."""
    if not argument:
        if row.empty is NEEDED:
            raise _explain().missing_argument(file, number, row)
        return row.empty
    try:
        return row.parse(argument) if row.parse else argument
    except (ValueError, KeyError):
        raise _explain().invalid_argument(file, number, row, argument) from None


def _decode(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")


def _evaluate(command: str, file: str, number: int, evaluate: Callable[[str], str]) -> list[bytes]:
    """Words of the line that an ``eval`` line stands for."""
    if not command:
        raise _explain().missing_argument(file, number, _EVAL)
    try:
        line = evaluate(command)
    except ConfigFailure as failure:
        raise ConfigFailure(f"{file}: line {number}: {failure.message}", hint=failure.hint) from failure
    return line.encode("utf-8", "surrogateescape").split(None, 1)


def _open(blocks: _Blocks, row: Option, argument: str, number: int) -> dict[str, object]:
    if row.command == "account":
        return blocks.open_account(argument, number)
    if argument:
        raise _explain().superfluous_argument(blocks.file, number, row)
    return blocks.open_defaults()


class _Blocks:
    """The blocks of one file as they open one after another."""

    __slots__ = ("defaults", "definitions", "file")

    def __init__(self, file: str) -> None:
        self.file = file
        self.defaults: dict[str, object] = {}
        self.definitions: dict[str, Definition] = {}

    def open_defaults(self) -> dict[str, object]:
        """Begin a block of defaults; accounts that stand above keep what they have."""
        self.defaults = self.defaults.copy()
        return self.defaults

    def open_account(self, argument: str, number: int) -> dict[str, object]:
        """Begin an account: ``name`` or ``name : parent, parent``."""
        name, colon, rest = argument.partition(":")
        name = name.strip()
        if not name:
            raise self._failure(number, "missing account name")
        if "," in name:
            raise self._failure(number, "an account name must not contain colons or commas")
        if name in self.definitions:
            raise self._failure(number, f"account {name} was already defined")
        settings = inherit(self._parents(rest, number)) if colon else {}
        self.definitions[name] = Definition(name, self.file, self.defaults, settings)
        return settings

    def _parents(self, names: str, number: int) -> list[Definition]:
        parents = []
        for name in names.split(","):
            if not name.strip():
                raise self._failure(number, "missing account name")
            parent = self.definitions.get(name.strip())
            if parent is None:
                hint = _explain().nearest(name.strip(), self.definitions)
                raise self._failure(number, f"account {name.strip()} not (yet) defined", hint)
            parents.append(parent)
        return parents

    def _failure(self, number: int, message: str, hint: str = "") -> ConfigFailure:
        return ConfigFailure(f"{self.file}: line {number}: {message}", hint=hint)


def _explain() -> ModuleType:
    """Load what words the mistakes; not needed while there is none."""
    from msmtp.config import explain

    return explain
