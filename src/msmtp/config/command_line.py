"""The command line, taken apart as getopt_long(3) does it, by the rows of OPTIONS.

Options may stand before and after recipients; ``--`` ends them.  A long option may be cut short as long as it stays
unique.  An argument that an option may have is attached to it, one that it must have may also be the next word.

The sendmail command has more modes than a mail client can carry out; -bs -bp -bi -bd -bt -bv and -q are understood and
end up in ``mode``, as do the names mailq and newaliases under which the program may be called.  What becomes of them is
the sender's business.
"""

from __future__ import annotations

from msmtp.config.options import ACCOUNT, MUST, NEEDED, NONE, OPTIONS, OWN
from msmtp.failures import UsageFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msmtp.config.options import Option

SHORT: dict[str, Option] = {row.short: row for row in OPTIONS if row.short}
LONG: dict[str, Option] = {row.long: row for row in OPTIONS if row.long}

OPERATIONS = {"m": "sendmail", "s": "bs", "p": "bp", "i": "bi", "d": "bd", "t": "bt", "v": "bv"}
"""Letter after -b: the mode it asks for."""

CALLED_AS = {"mailq": "bp", "newaliases": "bi"}
"""Name of the program: the mode it stands for; sendmail's other names mean the same as its own."""

LINE_ENDS = ("\n", "\r")


class CommandLine:
    """What was asked for.

    ``mode`` is what to do: sendmail, serverinfo, rmqs, configure, version, help, or one of sendmail's bs, bp, bi, bd,
    bt, bv and q.  ``settings`` are the values for the account's attributes (:class:`~msmtp.config.account.Account`) but
    the envelope-from address, which is ``sender``: None if not given, '' for the null sender.  ``account`` and ``file``
    are None if not given.  ``rmqs`` and ``configure`` are the arguments of these options, ``envelope_id`` that of -V,
    ``queue_interval`` that of -q ('' for once), ``rcpts`` those of --rcpt.  ``program`` is the name to begin messages
    with.  ``literal_sender`` is for who takes ``sender`` from somebody else than the user: no %U or the like is
    replaced in it then.
    """

    __slots__ = (
        "account",
        "configure",
        "debug",
        "dsn_if_offered",
        "envelope_id",
        "file",
        "literal_sender",
        "mode",
        "operation",
        "pretend",
        "program",
        "queue_interval",
        "rcpts",
        "read_envelope_from",
        "read_recipients",
        "recipients",
        "rmqs",
        "sender",
        "serverinfo",
        "settings",
        "smtputf8",
    )

    def __init__(self, program: str = "msmtp") -> None:
        self.program = program
        self.mode = ""
        self.operation = ""
        self.recipients: list[str] = []
        self.rcpts: list[str] = []
        self.settings: dict[str, object] = {}
        self.sender: str | None = None
        self.literal_sender = False
        self.account: str | None = None
        self.file: str | None = None
        self.rmqs: str | None = None
        self.configure: str | None = None
        self.queue_interval: str | None = None
        self.envelope_id: str | None = None
        self.serverinfo = False
        self.pretend = False
        self.debug = False
        self.read_recipients = False
        self.read_envelope_from = False
        self.dsn_if_offered = False
        self.smtputf8 = False

    @property
    def sends(self) -> bool:
        """Whether there is a mail with an envelope: in every mode but those that only talk to the server."""
        return self.mode not in ("serverinfo", "rmqs")

    def __repr__(self) -> str:
        return f"CommandLine({self.mode!r}, {self.recipients!r})"


def parse(argv: Sequence[str]) -> CommandLine:
    """Take apart the words of the command line, the program's name first.  Raises UsageFailure."""
    program = argv[0].rpartition("/")[2] if argv else "msmtp"
    line = CommandLine(program)
    words = iter(argv[1:])
    for word in words:
        if word == "--":
            line.recipients.extend(words)
        elif word[:2] == "--":
            name, equals, value = word[2:].partition("=")
            _take_long(line, word, name, value if equals else None, words)
        elif word[:1] == "-" and len(word) > 1:
            _take_short(line, word, words)
        else:
            line.recipients.append(word)
    _settle_mode(line)
    _check(line)
    return line


def _take_long(line: CommandLine, word: str, name: str, value: str | None, words: Iterator[str]) -> None:
    row = LONG.get(name) or _complete(word, name)
    if row.argument == NONE and value is not None:
        raise UsageFailure(f"option '--{row.long}' doesn't allow an argument")
    if row.argument == MUST and value is None:
        value = next(words, None)
        if value is None:
            raise UsageFailure(f"option '--{row.long}' requires an argument")
    _apply(line, row, value)


def _complete(word: str, name: str) -> Option:
    """Find the option that a cut-short name stands for.  Those of our own never make one of the C program's unclear."""
    found = [row for row in LONG.values() if row.long.startswith(name)]
    found = [row for row in found if row.note != OWN] or found
    if not found:
        from msmtp.config import explain

        raise explain.unknown_option(word)
    if len(found) > 1:
        names = " ".join(f"'--{row.long}'" for row in found)
        raise UsageFailure(f"option '{word}' is ambiguous; possibilities: {names}")
    return found[0]


def _take_short(line: CommandLine, word: str, words: Iterator[str]) -> None:
    """Go through a word such as ``-tfme@here.example``."""
    for place, letter in enumerate(word[1:], 2):
        row = SHORT.get(letter)
        if row is None:
            raise UsageFailure(f"invalid option -- '{letter}'", hint="run 'msmtp --help' for the options there are")
        if row.argument == NONE:
            _apply(line, row, None)
            continue
        value: str | None = word[place:]
        if not value and row.argument == MUST:
            value = next(words, None)
            if value is None:
                raise UsageFailure(f"option requires an argument -- '{letter}'")
        _apply(line, row, value if value or row.argument == MUST else None)
        return


def _apply(line: CommandLine, row: Option, value: str | None) -> None:
    """Note one option.  ``value`` is None if it stands without an argument."""
    if not row.attribute:
        return
    stored = row.empty if value is None else _read(row, value)
    if row.attribute == "from_":
        line.sender = str(stored)
    elif row.target == ACCOUNT:
        line.settings[row.attribute] = stored
    elif row.attribute == "rcpts":
        line.rcpts.append(str(stored))
    elif row.attribute == "operation":
        _take_operation(line, str(stored))
    elif row.attribute == "mode":
        line.mode = line.mode if line.mode == "version" else str(stored)
    elif row.attribute == "debug":
        line.debug = True
        if value and value.partition(".")[0] == "0" and value != "0":
            line.mode = "version"  # sendmail's -d0.1 prints what it is made of
    else:
        setattr(line, row.attribute, stored)


def _read(row: Option, value: str) -> object:
    if not value and row.argument == MUST and row.empty is not NEEDED:
        return row.empty
    try:
        return row.parse(value) if row.parse else value
    except (ValueError, KeyError):
        from msmtp.config import explain

        raise explain.invalid_option_value(row, value) from None


def _take_operation(line: CommandLine, letters: str) -> None:
    if letters not in OPERATIONS:
        known = ", ".join(f"-b{letter}" for letter in OPERATIONS)
        raise UsageFailure(f"unsupported operation mode b{letters}", hint=f"expected one of {known}")
    line.operation = OPERATIONS[letters]


def _settle_mode(line: CommandLine) -> None:
    """Decide between the options that ask for a mode and the name of the program."""
    if line.mode:
        return
    if line.serverinfo and line.rmqs is not None:
        raise UsageFailure("cannot use both --serverinfo and --rmqs")
    if line.configure is not None:
        line.mode = "configure"
    elif line.serverinfo:
        line.mode = "serverinfo"
    elif line.rmqs is not None:
        line.mode = "rmqs"
    elif line.operation:
        line.mode = line.operation
    elif line.queue_interval is not None:
        line.mode = "q"
    else:
        line.mode = CALLED_AS.get(line.program, "sendmail")


def _check(line: CommandLine) -> None:
    """Raise UsageFailure for what cannot go together, in the order in which the C program looks at it."""
    if line.mode in ("version", "help", "configure"):
        return
    if line.account is not None and "host" in line.settings:
        raise UsageFailure("cannot use both --host and --account")
    if line.sender is not None and line.read_envelope_from:
        raise UsageFailure("cannot use both --from and --read-envelope-from")
    if line.mode in ("serverinfo", "rmqs") and (line.recipients or line.rcpts):
        raise UsageFailure("too many arguments", hint="recipients belong to a mail, and this mode sends none")
    if line.mode == "sendmail" and not (line.recipients or line.rcpts or line.read_recipients or line.pretend):
        raise UsageFailure("no recipients found", hint="name them as arguments, or use -t to take them from the mail")
    # A line end in an address would begin a command or a header field of somebody else's choice.
    for address in (*line.recipients, *line.rcpts, line.sender or ""):
        if any(end in address for end in LINE_ENDS):
            raise UsageFailure(f"address {address!a} contains a line end")
