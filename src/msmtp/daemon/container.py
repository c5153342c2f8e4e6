"""Container: what an engine of containers says by environment variables and mounted secrets, made into configuration.

    MSMTP_HOST=smtp.example.org          a command of msmtprc(5), for the account default
    MSMTP_ACCOUNT_work_HOST=...          the same for the account work
    MSMTP_DEFAULTS_TLS=on                the same in the block of defaults
    MSMTP_ACCOUNT=work                   the line "account default : work"
    MSMTP_ACCOUNT_work=base              the line "account work : base"
    MSMTPD_PORT=2525                     an option of msmtpd(8)
    MSMTP_PASSWORD_FILE=/run/secrets/x   any of these with _FILE behind it: the value is what the file says

All names come from the two tables of options.  What they make is written to a folder in memory that is nobody else's,
HOME for what follows, so that the delivery command finds the configuration as any user's; then this process becomes
msmtpd, with an environment in which none of these variables is left.  So no secret is in an argument, in the
environment of a process that runs, or in a file that others can read.
"""

from __future__ import annotations

import stat
import sys

from msmtp.config import daemon_options, options
from msmtp.config.explain import expected, nearest
from msmtp.config.options import HIDDEN
from msmtp.config.reader import LINE_LIMIT, SYSTEM_FILE
from msmtp.daemon.environment import inherited
from msmtp.failures import ConfigFailure, Failure, SystemFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final, NoReturn

    from msmtp.config.options import Option

SENDER, DAEMON = "MSMTP_", "MSMTPD_"
ACCOUNT, DEFAULTS, FROM_FILE = "ACCOUNT", "DEFAULTS", "_FILE"

COMMANDS: Final = {row.command.upper(): row for row in options.OPTIONS if row.command and row.note != HIDDEN}
for _name in (ACCOUNT, DEFAULTS):
    del COMMANDS[_name]
"""Commands of the configuration file as they stand in names of variables."""

OPTIONS: Final = {row.command.upper().replace("-", "_"): row for row in daemon_options.OPTIONS if row.command}
"""Options of msmtpd in the same way."""

FOLDERS: Final = (
    "/run/msmtpd",
    "/run/msmtpd/own",  # what Kubernetes mounts there is not ours, and open to all
    "/dev/shm/msmtpd",  # noqa: S108 - made for us alone, and looked at
    "/tmp/msmtpd",  # noqa: S108 - the same
)
"""Where what was made may be: the first that is in memory and ours, or can be made so."""

SPOOLS: Final = ("/var/tmp", "/tmp")  # noqa: S108 - files there have no names
"""Where large mails may be, if no variable says it; else where the rest is."""

IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
CONFIGURATION, OPTIONS_FILE = ".msmtprc", "options"

ASKING: Final = ("--health", "--status", "--check")  # a daemon that runs
TELLING: Final = ("--version", "--help")
NOT_IN_NAMES: Final = frozenset(':,"# \t')  # of accounts, in the file
LINKS: Final = ("tcp://", "udp://", "sctp://")  # how the values begin of what Kubernetes says of Services
LINK_NAMES: Final = ("_SERVICE_HOST", "_SERVICE_PORT", "_TCP", "_TCP_PROTO", "_TCP_PORT", "_TCP_ADDR")


def run() -> NoReturn:
    """Be the entry point of the image."""
    from msmtp.daemon.journal import complain_of
    from msmtp.daemon.main import hold_standard_descriptors

    hold_standard_descriptors()
    try:
        words, environment = prepare(sys.argv[1:], os.environ)
        os.execvpe(words[0], words, environment)
    except Failure as failure:
        complain_of(failure)
        os._exit(failure.code)  # noqa: SLF001 - public, whatever its name says
    except OSError as error:
        complain_of(SystemFailure(f"cannot run msmtpd: {error.strerror}"))
        os._exit(SystemFailure.exit_code)  # noqa: SLF001 - public, whatever its name says


def prepare(
    arguments: Sequence[str], environment: Mapping[str, str], folders: Sequence[str] = FOLDERS
) -> tuple[list[str], dict[str, str]]:
    """Write what the variables say; the words to run, and the environment to run them in.

    ``arguments``: options for msmtpd, beside those that the variables give; or ``msmtp`` with options of its own, to
    try out what was made.  Raises ConfigFailure, which names the variable.
    """
    passed = {os.fsdecode(name): os.fsdecode(value) for name, value in inherited(octets(environment)).items()}
    if arguments and arguments[0].startswith(TELLING):
        return ["msmtpd", *arguments], passed
    folder = private_folder(folders)
    passed["HOME"] = folder
    if arguments and arguments[0] == "msmtp":
        return [*arguments], passed
    if not (arguments and arguments[0].startswith(ASKING)):
        write(folder, *made(environment, folder, arguments))
    return ["msmtpd", f"--config={folder}/{OPTIONS_FILE}", *arguments], passed


def octets(environment: Mapping[str, str]) -> dict[bytes, bytes]:
    """An environment as the kernel has it."""
    return {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}


def made(environment: Mapping[str, str], folder: str, arguments: Sequence[str] = ()) -> tuple[str, str]:
    """The texts of the configuration ("" if no variable makes one) and of the file of options.

    Raises ConfigFailure.
    """
    accounts, given = Accounts(), {**defaults(folder)}
    for name, value in sorted(environment.items()):
        if name.startswith(DAEMON) and value:
            row, text = option(name, value)
            given[row.command] = lines(name, row, text)
        elif name.startswith(SENDER) and value:
            accounts.take(name, value)
    own_command = "command" in given or any(word.startswith("--command") for word in arguments)
    if not (accounts.are_there or own_command or os.access(SYSTEM_FILE, os.F_OK)):
        raise ConfigFailure(
            "nothing says where mail is to go: MSMTP_HOST is not set",
            hint=f"set MSMTP_HOST and what else the server needs, or mount a configuration at {SYSTEM_FILE}",
        )
    if accounts.are_there:
        accounts.check()
    text = "".join(f'{name} "{value}"\n' for name, values in given.items() for value in values)
    return accounts.text(), text


def defaults(folder: str) -> dict[str, list[str]]:
    """Options that are other in a container, unless variables say otherwise.

    A container has its network to itself, so all addresses; and no right to a port below 1024.  The sandbox has to be
    in force only as far as the engine lets it: see docs/containers.md.
    """
    every = ["0.0.0.0"]  # noqa: S104 - as said
    spool = next((path for path in SPOOLS if os.access(path, os.W_OK)), folder)
    return {
        "interface": [*every, "::"] if os.access("/proc/net/if_inet6", os.F_OK) else every,
        "port": ["2525"],
        "log": ["stdout"],
        "sandbox": ["try"],
        "status-socket": [f"{folder}/status"],
        "spool": [spool],
    }


# -- variables


def option(name: str, value: str) -> tuple[Option, str]:
    """The option that a variable is about, and its text.  Raises ConfigFailure."""
    rest = name.removeprefix(DAEMON)
    row = OPTIONS.get(rest)
    if row is None and rest.endswith(FROM_FILE):
        row = OPTIONS.get(rest.removesuffix(FROM_FILE))
        value = content(name, value) if row else value
    if row is None:
        raise unknown(name, value, [DAEMON + each for each in OPTIONS])
    return row, value


def lines(name: str, row: Option, text: str) -> list[str]:
    """The values that a variable gives an option: several in lines, or with blanks between them where none has any."""
    assert isinstance(row, daemon_options.DaemonOption)
    values = text.splitlines() if row.repeats else [text]
    if row.repeats and row.kind not in ("login", "unix_socket"):
        values = text.split()
    for value in values:
        check(name, row, value)
    return values


def check(name: str, row: Option, value: str) -> None:
    """Raise ConfigFailure for a value that is none; it is not shown, as it may be a secret in the wrong place."""
    if "\n" in value or "\r" in value or "\0" in value or len(value) > LINE_LIMIT // 4:
        raise ConfigFailure(f"{name}: its value is no single line", hint="what is configured so is one line")
    try:
        if row.parse:
            row.parse(value)
    except (ValueError, KeyError):
        hint = f"expected {expected(row)}"
        if value.startswith(LINKS):
            hint = link_hint(name)
        raise ConfigFailure(f"{name}: invalid value for {row.command}", hint=hint) from None


def unknown(name: str, value: str, names: Sequence[str]) -> ConfigFailure:
    """A variable that is for nothing here."""
    is_link = value.startswith(LINKS) or name.endswith(LINK_NAMES)
    hint = link_hint(name) if is_link else nearest(name, names) or "see docs/containers.md for the names there are"
    return ConfigFailure(f"{name}: no such variable", hint=hint)


def link_hint(name: str) -> str:
    """What to do about variables that Kubernetes makes."""
    service = name.partition("_")[0].lower()
    return f"Kubernetes sets this for a Service named {service}: say enableServiceLinks: false in the pod"


def content(name: str, path: str) -> str:
    """What a mounted file says: a line.  Raises ConfigFailure."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            text = os.read(descriptor, LINE_LIMIT)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = f"mount it so that the user with number {os.geteuid()} may read it"
        raise ConfigFailure(f"{name}: {path}: {reason}", hint=hint) from None
    said = os.fsdecode(text.removesuffix(b"\n").removesuffix(b"\r"))
    if not said:
        raise ConfigFailure(f"{name}: {path} is empty")
    return said


# -- accounts


class Accounts:
    """Blocks of the configuration: by name the ``values`` of each (by command) and the ``parents`` it begins with."""

    __slots__ = ("parents", "sources", "values")

    def __init__(self) -> None:
        self.values: dict[str, dict[str, str]] = {}
        self.parents: dict[str, str] = {}
        self.sources: dict[tuple[str, str], str] = {}

    @property
    def are_there(self) -> bool:
        """Whether anything was said."""
        return bool(self.values or self.parents)

    def take(self, name: str, value: str) -> None:
        """Take a variable in.  Raises ConfigFailure."""
        block, command, from_file = taken_apart(name.removeprefix(SENDER))
        if block is None:
            raise unknown(name, value, [SENDER + each for each in COMMANDS])
        if not NOT_IN_NAMES.isdisjoint(block):
            raise ConfigFailure(f"{name}: {block} can be no account's name", hint="let it be letters and digits")
        if (other := self.sources.setdefault((block, command), name)) != name:
            raise ConfigFailure(f"{name}: {other} says the same", hint="let it be one of them")
        if from_file:
            value = content(name, value)
        if not command:
            self.parents[block] = value
            return
        check(name, COMMANDS[command], value)
        self.values.setdefault(block, {})[COMMANDS[command].command] = value

    def check(self) -> None:
        """Raise ConfigFailure unless there is an account for every sender, and its parents are there."""
        names = {*self.values, *self.parents} - {DEFAULTS}
        for name, parents in self.parents.items():
            source = self.sources[name, ""]
            for parent in parents.split(","):
                if parent.strip() not in names or parent.strip() == name:
                    hint = (
                        "it names accounts to begin with, unless a command of msmtprc(5) stands at the variable's end"
                    )
                    raise ConfigFailure(f"{source}: there is no account {parent.strip()}", hint=hint)
        if "default" not in names:
            some = min(names, default="")
            hint = f"{SENDER}{ACCOUNT}={some} makes {some} that account" if some else f"set {SENDER}HOST"
            raise ConfigFailure("no variable says which account is the default one", hint=hint)
        reached = self.values.get("default", {}).keys() | self.values.get(DEFAULTS, {}).keys()
        if not ("default" in self.parents or reached & {"host", "socket", "eval"}):
            raise ConfigFailure("the account default has no server: MSMTP_HOST is not set", hint="see msmtprc(5)")

    def order(self) -> list[str]:
        """Names, each behind its parents.  Raises ConfigFailure for a circle."""
        ordered: list[str] = []
        waiting = sorted({*self.values, *self.parents} - {DEFAULTS}, key=lambda name: (name == "default", name))
        while waiting:
            ready = [name for name in waiting if {*self.parents_of(name)} <= {*ordered}]
            if not ready:
                source = self.sources[waiting[0], ""]
                raise ConfigFailure(f"{source}: the accounts go back to each other: {', '.join(waiting)}")
            ordered.append(ready[0])
            waiting.remove(ready[0])
        return ordered

    def parents_of(self, name: str) -> list[str]:
        """Accounts that one begins with."""
        return [each.strip() for each in self.parents.get(name, "").split(",") if each.strip()]

    def text(self) -> str:
        """The configuration file."""
        blocks = []
        if DEFAULTS in self.values:
            blocks.append(["defaults", *self.block(DEFAULTS)])
        for name in self.order():
            parents = ", ".join(self.parents_of(name))
            blocks.append([f"account {name}{parents and f' : {parents}'}", *self.block(name)])
        return "".join("\n".join(block) + "\n" for block in blocks)

    def block(self, name: str) -> list[str]:
        """Lines of a block, in the order of the table.  The quotes go when the file is read, and only they."""
        said = self.values.get(name, {})
        rows = [row.command for row in COMMANDS.values() if row.command in said]
        return [f'{command} "{said[command]}"' for command in rows]


def taken_apart(name: str) -> tuple[str | None, str, bool]:
    """The block, the command ("" for its parents), and whether a file has the value; block None if it is none of ours.

    A command is looked for at the end, the longest that fits: of MSMTP_ACCOUNT_x_PROXY_HOST it is PROXY_HOST.
    """
    if found := command_of(name):
        return "default", *found
    block, _, rest = name.partition("_")
    if block == ACCOUNT:
        for at, sign in enumerate(rest):
            if at and sign == "_" and (found := command_of(rest[at + 1 :])):
                return rest[:at], *found
        return rest or "default", "", False
    found = command_of(rest)
    return (DEFAULTS, *found) if block == DEFAULTS and found else (None, "", False)


def command_of(name: str) -> tuple[str, bool] | None:
    """The command that a name is, and whether a file has its value.  A command that ends so itself is meant first."""
    if name in COMMANDS:
        return name, False
    without = name.removesuffix(FROM_FILE)
    return (without, True) if without in COMMANDS else None


# -- where it is written


def private_folder(candidates: Sequence[str]) -> str:
    """A folder in memory that is ours alone; made if need be.  Raises ConfigFailure."""
    for path in candidates:
        try:
            if kind_of_file_system(path) in IN_MEMORY and is_ours(path):
                return path
        except OSError:
            continue
    raise ConfigFailure(
        "there is no folder in memory to write the configuration to",
        hint=f"mount a tmpfs at {candidates[0]} that the user with number {os.geteuid()} may write to",
    )


def is_ours(path: str) -> bool:
    """Whether a folder is there, or was made, that only we can look into.  Raises OSError."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    about = os.lstat(path)
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
        return False
    os.chmod(path, 0o700)
    return True


def kind_of_file_system(path: str, mounts: str = "/proc/self/mounts") -> str:
    """The type of the file system that a path, or the folder it is to be made in, is on.  Raises OSError."""
    path = os.path.realpath(path)
    found, length = "", -1
    with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _, point, kind = line.split(" ")[:3]
            if (path + "/").startswith(point.rstrip("/") + "/") and len(point) >= length:
                found, length = kind, len(point)
    return found


def write(folder: str, configuration: str, file_of_options: str) -> None:
    """Put both files there, readable for us alone; take one away that an earlier start left.  Raises SystemFailure."""
    try:
        for name, text in ((CONFIGURATION, configuration), (OPTIONS_FILE, file_of_options)):
            path = f"{folder}/{name}"
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            if not text:
                continue
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                rest = text.encode("utf-8", "surrogateescape")
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            finally:
                os.close(descriptor)
    except OSError as error:
        raise SystemFailure(f"cannot write to {folder}: {error.strerror}") from None
