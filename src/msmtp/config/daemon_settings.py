"""What msmtpd was told: the settings that its processes read, from the command line and a file of options.

The command line is taken apart as getopt_long(3) does it.  ``--config`` names a file with lines ``name value``, where
the name is a long option's without its dashes; what the command line says counts for more, and of an option that may be
repeated takes the place of all that the file says of it.  SIGHUP makes the daemon read both again (:func:`reread`),
which gives new settings or a failure, and changes nothing by itself.
"""

from __future__ import annotations

from msmtp.config.daemon_options import LONG, OPTIONS
from msmtp.config.daemon_values import Network, UnixSocket
from msmtp.config.options import LINE, MUST, NEEDED, NONE, OWN
from msmtp.failures import ConfigFailure, FileFailure, InsecureFileFailure, UsageFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msmtp.config.daemon_options import DaemonOption

__all__ = ["DEFAULT_COMMAND", "Network", "Settings", "UnixSocket", "parse", "reread"]

DEFAULT_COMMAND = "msmtp -f %F --"
"""What ``command`` None stands for."""

OPTIONS_FILE = "/etc/msmtpd.conf"
"""Where packages have the file of options; --check reads it if it is not told another."""

FILE_LIMIT = 1024 * 1024
"""Octets that a file of options may have."""

HELP = "run 'msmtpd --help' for the options there are"

_OPENING = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


class Settings:
    """What to do and how.  Every attribute but the first five has its option: :mod:`msmtp.config.daemon_options`.

    ``mode``: serve, inetd, deliver, status, health, check, version or help.  ``argv``: the words all this was read
    from, ``folder``: the one that names of files in them started from; ``given``: the options that were said, by their
    long names; ``activated``: whether the service manager has handed over sockets, by which all of ``interfaces``
    to ``sockets`` is idle.

    ``command`` None: the default command.  ``auth``: users, each with the command that prints the password, or
    None.  ``log``: none, syslog, journal, stdout, json or a file.  Names of files are absolute, '' if there is
    none.  Sizes are octets, times seconds.  0 of ``max_size`` is no limit, 0 of ``max_sessions_per_source`` is for
    :attr:`sessions_per_source` to tell.  ``health``: '', or what is asked for: ready or alive.  ``check``: the address
    that a mail is sent to for a test, - for none.
    """

    __slots__ = (*sorted({row.attribute for row in OPTIONS}), "activated", "argv", "folder", "given")

    mode: str
    argv: list[str]
    folder: str
    given: frozenset[str]
    activated: bool

    config: str
    health: str
    check: str
    interfaces: list[str]
    ports: list[int]
    smtps_ports: list[int]
    sockets: list[UnixSocket]
    proxy_protocol: list[Network]
    lmtp: bool
    domain: str
    strict: bool
    peer_names: bool
    auth: list[tuple[str, str | None]]
    tls_cert: str
    tls_key: str
    sandbox: str
    deliver_by: str
    policy: str
    command: str | None
    command_timeout: int
    warm: bool
    spool: str
    max_sessions: int
    max_sessions_per_source: int
    max_recipients: int
    max_size: int
    max_hops: int
    session_timeout: int
    idle_timeout: int
    login_timeout: int
    log: str
    daemon: bool
    pidfile: str
    user: str
    status_socket: str
    workers_ahead: int

    def __init__(self, argv: Sequence[str] = ("msmtpd",), folder: str = "/") -> None:
        self.argv = list(argv)
        self.folder = folder
        self.given = frozenset()
        self.activated = False
        for row in OPTIONS:
            setattr(self, row.attribute, list(row.default) if isinstance(row.default, tuple) else row.default)

    @property
    def program(self) -> str:
        """The name to begin messages with."""
        return self.argv[0].rpartition("/")[2] if self.argv else "msmtpd"

    @property
    def sessions_per_source(self) -> int:
        """How many sessions one source may have at a time."""
        return self.max_sessions_per_source or max(1, self.max_sessions // 2)

    def __repr__(self) -> str:
        return f"Settings({self.mode!r})"


class Given:
    """What one source said: ``values`` by attribute, lists for options that repeat, and ``names`` of the options."""

    __slots__ = ("names", "values")

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.names: set[str] = set()

    def take(self, row: DaemonOption, value: object) -> None:
        """Note the value of one option."""
        self.names.add(row.long)
        if not row.repeats:
            self.values[row.attribute] = value
            return
        values = self.values.setdefault(row.attribute, [])
        assert isinstance(values, list)
        if value not in values:
            values.append(value)


def parse(argv: Sequence[str], folder: str = "", *, activated: bool | None = None) -> Settings:
    """Read the command line, the program's name first, and the file of options that it names.

    ``folder`` is where names of files start from that do not start from the root: the current one.  ``activated`` None:
    $LISTEN_PID tells (sd_listen_fds(3)).  Raises UsageFailure for what is wrong on the command line, ConfigFailure for
    what is wrong in the file, InsecureFileFailure if somebody else can change it, FileFailure if it cannot be read.
    """
    settings = Settings(argv, folder or _current_folder())
    settings.activated = _is_activated() if activated is None else activated
    line = take_apart(argv)
    _store(settings, line)
    if settings.mode in ("version", "help"):
        return settings
    _make_absolute(settings)
    if settings.mode == "check" and not settings.config and os.access(OPTIONS_FILE, os.F_OK):
        settings.config = OPTIONS_FILE
    if settings.config:
        _store(settings, read_file(settings.config))
        _store(settings, line)
        _make_absolute(settings)
    from msmtp.config.daemon_checks import check

    check(settings)
    return settings


def reread(settings: Settings) -> Settings:
    """Read the same command line and its file again.  Raises as :func:`parse`."""
    return parse(settings.argv, settings.folder, activated=settings.activated)


def _current_folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return "/"


def _is_activated() -> bool:
    return os.environ.get("LISTEN_PID") == str(os.getpid())


def _store(settings: Settings, given: Given) -> None:
    settings.given |= given.names
    for attribute, value in given.values.items():
        setattr(settings, attribute, value)


# -- the command line


def take_apart(argv: Sequence[str]) -> Given:
    """What the words say.  Raises UsageFailure."""
    given = Given()
    words = iter(argv[1:])
    for word in words:
        if word == "--":
            word = next(words, "")  # noqa: PLW2901 - nothing may follow it, either
            if word:
                raise _superfluous(word)
        elif word[:2] == "--":
            name, equals, value = word[2:].partition("=")
            _take_long(given, word, name, value if equals else None, words)
        elif word[:1] == "-" and len(word) > 1:
            raise UsageFailure(f"invalid option -- '{word[1]}'", hint=HELP)
        else:
            raise _superfluous(word)
    return given


def _superfluous(word: str) -> UsageFailure:
    return UsageFailure("too many arguments", hint=f"'{word}' is no option; {HELP}")


def _take_long(given: Given, word: str, name: str, value: str | None, words: Iterator[str]) -> None:
    row = LONG.get(name) or _complete(word, name)
    if row.argument == NONE and value is not None:
        raise UsageFailure(f"option '--{row.long}' doesn't allow an argument")
    if row.argument == MUST and value is None:
        value = next(words, None)
        if value is None:
            raise UsageFailure(f"option '--{row.long}' requires an argument")
    _apply(given, row, value)


def _complete(word: str, name: str) -> DaemonOption:
    """Find the option that a cut-short name stands for.  Those of our own never make one of the C program's unclear."""
    found = [row for row in OPTIONS if row.long.startswith(name)]
    found = [row for row in found if row.note != OWN] or found
    if not found:
        from msmtp.config import explain

        raise explain.unknown_option(word, OPTIONS)
    if len(found) > 1:
        names = " ".join(f"'--{row.long}'" for row in found)
        raise UsageFailure(f"option '{word}' is ambiguous; possibilities: {names}")
    return found[0]


def _apply(given: Given, row: DaemonOption, text: str | None) -> None:
    if text == "":
        raise UsageFailure(f"option '--{row.long}' requires non-empty argument", hint=_expectation(row))
    try:
        value = row.empty if text is None else row.parse(text) if row.parse else text
    except (ValueError, KeyError):
        from msmtp.config import explain

        raise explain.invalid_option_value(row, str(text)) from None
    if row.attribute != "mode":
        given.take(row, value)
        if row.long not in ("health", "check"):
            return
        value = row.long
    if row.long == "status":
        if text is not None:
            given.take(LONG["status-socket"], value)
        value = "status"
    given.values["mode"] = min(str(given.values.get("mode", value)), str(value), key=MODES.index)


MODES = ("version", "help", "check", "health", "status", "deliver", "inetd")
"""Of two options that ask for one of these each, the one whose mode comes first counts."""


def _expectation(row: DaemonOption) -> str:
    from msmtp.config import explain

    return f"expected {explain.expected(row)}"


# -- the file of options


def read_file(path: str) -> Given:
    """What a file of options says.  Raises as :func:`parse`."""
    given = Given()
    for number, line in enumerate(read_trusted(path, "--config names a file of options, see msmtpd(8)").split("\n"), 1):
        words = line.split(None, 1)
        if not words or words[0][0] == "#":
            continue
        text = words[1].rstrip() if len(words) > 1 else None
        if text and len(text) > 1 and text[0] == text[-1] == '"':
            text = text[1:-1]
        _apply_line(given, f"{path}: line {number}", words[0], text)
    return given


def read_trusted(path: str, hint: str) -> str:
    """Read a file that says what the daemon does or allows, so that nobody else may be able to change it.

    Raises FileFailure (with this hint), InsecureFileFailure, ConfigFailure for one that is too long.
    """
    try:
        descriptor = os.open(path, _OPENING)
        try:
            status = os.fstat(descriptor)
            content = bytearray()
            while len(content) <= FILE_LIMIT and (block := os.read(descriptor, FILE_LIMIT)):
                content += block
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileFailure(f"{path}: {reason}", hint=hint) from None
    if len(content) > FILE_LIMIT:
        raise ConfigFailure(f"{path}: file is too long", hint="this is no such file; see msmtpd(8)")
    if status.st_uid not in (0, os.geteuid()):
        hint = f"msmtpd does what the file says: let it belong to root or to the user with number {os.geteuid()}"
        raise InsecureFileFailure(f"{path}: must be owned by you", hint=hint)
    if status.st_mode & 0o022:  # with an access control list, the group's bits say what that gives at most
        whom = "others" if status.st_mode & 0o002 else "its group"
        raise InsecureFileFailure(f"{path}: must not be writable for {whom}", hint=f"run: chmod go-w {path}")
    return content.decode("utf-8", "surrogateescape").removeprefix("\ufeff").replace("\r\n", "\n")


def _apply_line(given: Given, place: str, name: str, text: str | None) -> None:
    row = LONG.get(name)
    if row is None or not row.command:
        raise _unknown_name(place, name, row)
    if text is None and row.empty is NEEDED:
        raise ConfigFailure(f"{place}: option {name} needs an argument", hint=_expectation(row))
    try:
        value = row.empty if text is None else row.parse(text) if row.parse else text
    except (ValueError, KeyError):
        hint = _expectation(row)
        raise ConfigFailure(f"{place}: invalid argument {text} for option {name}", hint=hint) from None
    given.take(row, value)


def _unknown_name(place: str, name: str, row: DaemonOption | None) -> ConfigFailure:
    from msmtp.config import explain

    hint = explain.nearest(name, (row.command for row in OPTIONS if row.command))
    if row is not None:
        hint = f"--{row.long} belongs on the command line"
    elif name.startswith("-"):
        hint = "names of options stand without their dashes here"
    elif "=" in name:
        hint = "write a blank between the name and its argument"
    return ConfigFailure(f"{place}: unknown option {name}", hint=hint)


# -- names of files


def _make_absolute(settings: Settings) -> None:
    """Let names of files start from the root, as the daemon does not stay where it was started."""
    for row in OPTIONS:
        value = getattr(settings, row.attribute)
        if row.target == LINE and row.attribute != "config":
            continue
        if (row.kind == "file" and value) or (row.kind == "log" and value not in LOGS) or _is_status(row, value):
            setattr(settings, row.attribute, _absolute(value, settings.folder))
    for socket in settings.sockets:
        socket.path = _absolute(socket.path, settings.folder)


LOGS = ("none", "syslog", "journal", "stdout", "json")
"""What ``log`` can be beside a file."""


def _is_status(row: DaemonOption, value: str) -> bool:
    return row.kind == "status" and value not in ("", "off")


def _absolute(path: str, folder: str) -> str:
    if path == "~" or path[:2] == "~/":
        return (os.environ.get("HOME") or os.path.expanduser("~")) + path[1:]
    return path if path[:1] == "/" else f"{folder.rstrip('/')}/{path}"
