"""The delivery command: what ``--command`` says, made into the words that are run.

    msmtp -f %F --          no shell is needed: the words are what they are, %F in them is the sender, recipients follow
    cd /x && ./take %F      needs one:  /bin/sh -c 'cd /x && ./take SENDER "$@"' sh RECIPIENT...

Without a shell any address is a word like any other.  With one the sender becomes part of a text that the shell reads;
so it must be made of upstream's few octets, of which none means anything to a shell.  Recipients are never part of it.
"""

from __future__ import annotations

import re
import shlex
import sys

from msmtp.config.daemon_settings import DEFAULT_COMMAND
from msmtp.exits import EX_TEMPFAIL
from msmtp.failures import ConfigFailure
from msmtp.smtp import grammar
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLACE = "%F"
SETTINGS_FILE = "/etc/msmtpd/msmtprc"
NULL_SENDER = b"MAILER-DAEMON"  # in the place of <>, as upstream has it
SHELL = "/bin/sh"
_OUR_DOOR = b"msmtp.sender.main"  # stands in every script that starts our sender
_BEGINNING = 8_192  # octets of a script in which it stands
_FORMAT, _DIRECTORY = 0o170000, 0o040000  # S_IFMT, S_IFDIR
DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin"

# Letters, digits and . @ _ + / = -, the last not first: reference manual's program, by what it was seen to take.
STRICT = re.compile(rb"[A-Za-z0-9.@_+/=][A-Za-z0-9.@_+/=-]*")

_ACTIVE = re.compile(r"[|&;<>()$`*?\[\]{}!\n]|(?:^|\s)[#~]")  # outside quotes
_ACTIVE_IN_QUOTES = re.compile(r"[$`!]")
_QUOTED = re.compile(r"'([^']*)'|\"((?:\\.|[^\"\\])*)\"|\\(.)", re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_OPEN_END = re.compile(r"(?:[;&|({!\n]|\b(?:then|do|else|elif|if|while|until|time))\s*\Z")

# Words that only a shell knows, where a command begins (POSIX.1-2017, XCU 2.4, 2.9.1, 2.14).
_SHELL_WORDS = (
    " ! : . alias bg break case cd command continue do done elif else esac eval exec exit export fc fg fi for getopts "
    "hash if in jobs read readonly return set shift source then times trap type ulimit umask unalias unset until wait "
    "while "
)


class Command:
    """A delivery command.

    ``template`` as it was given, ``shell`` whether a shell reads it, ``words`` without one, ``name`` the program's for
    people.  ``sender_is_read``: whether a shell would read the sender.
    """

    __slots__ = ("is_default", "name", "sender_is_read", "shell", "template", "words")

    def __init__(self, template: str | None) -> None:
        """Raise ConfigFailure for what can be no command."""
        self.template = DEFAULT_COMMAND if template is None else template
        self.is_default = self.template.split() == DEFAULT_COMMAND.split()
        if "\0" in self.template or not self.template.strip():
            fault = "has a NUL in it" if self.template.strip() else "is empty"
            raise ConfigFailure(f"the delivery command {fault}", hint=f"the default is --command='{DEFAULT_COMMAND}'")
        try:
            words = shlex.split(self.template)
        except ValueError:
            raise ConfigFailure(
                f"the delivery command has a quote without an end: {self.template}",
                hint="write quotes in pairs, or a backslash before one that is meant as itself",
            ) from None
        self.shell = needs_shell(self.template, words)
        self.sender_is_read = self.shell and PLACE in self.template
        self.words = tuple(words)
        self.name = os.path.basename(SHELL if self.shell else words[0])
        if self.shell and _OPEN_END.search(self.template):
            raise ConfigFailure(
                f"behind this delivery command the recipients would be run as one: {self.template}",
                hint='they are put at its end, as "$@"',
            )

    def argv(self, sender: bytes, recipients: Sequence[bytes], options: Sequence[bytes] = ()) -> list[bytes]:
        """The words to run for a mail.

        ``sender`` b"" is the null sender.  ``options`` are for the default command only.  Raises ValueError
        for a sender that the shell must not read; see
        :meth:`takes`.
        """
        address = sender or NULL_SENDER
        if self.shell:
            if self.sender_is_read and not STRICT.fullmatch(address):
                raise ValueError
            script = os.fsencode(self.template).replace(PLACE.encode(), address, 1)
            return [SHELL.encode(), b"-c", script + b' "$@"', b"sh", *recipients]
        words = substituted(self.words, address)
        return [*words[:-1], *options, words[-1], *recipients] if options else [*words, *recipients]

    def takes(self, sender: bytes) -> bool:
        """Whether this sender can be told to the command; if not, 553."""
        return not (sender and self.sender_is_read) or bool(STRICT.fullmatch(sender))

    def program(self, environment: Mapping[bytes, bytes]) -> str:
        """Path of the program that is run, '' if there is none."""
        return found(SHELL if self.shell else self.words[0], environment)


def needs_shell(template: str, words: Sequence[str]) -> bool:
    """Whether a template says anything that only a shell understands."""
    if words and (f" {words[0]} " in _SHELL_WORDS or _ASSIGNMENT.match(words[0])):
        return True
    at = 0
    for quoted in _QUOTED.finditer(template):
        if _ACTIVE.search(template, at, quoted.start()) or (quoted[2] and _ACTIVE_IN_QUOTES.search(quoted[2])):
            return True
        if quoted[3] == "\n" or "\\\n" in (quoted[2] or ""):
            return True
        at = quoted.end()
    return bool(_ACTIVE.search(template, at))


def substituted(words: Sequence[str], sender: bytes) -> list[bytes]:
    """The words, with the sender in the place of the first %F; what the sender says is not looked at again."""
    made: list[bytes] = []
    place = PLACE.encode()
    pending = True
    for word in map(os.fsencode, words):
        before, mark, after = word.partition(place) if pending else (word, b"", b"")
        made.append(before + sender + after if mark else word)
        pending = pending and not mark
    return made


def found(program: str, environment: Mapping[bytes, bytes]) -> str:
    """Where a program is, looked for as a shell does; '' if it is nowhere.  Relative to / where it has a slash."""
    if "/" in program:
        return program if program.startswith("/") else f"/{program}"
    for folder in environment.get(b"PATH", DEFAULT_PATH).split(b":"):
        if folder.startswith(b"/"):  # an empty or relative one would be below /, where nobody means it
            path = f"{os.fsdecode(folder)}/{program}"
            if os.access(path, os.X_OK) and not _is_directory(path):
                return path
    return ""


def _is_directory(path: str) -> bool:
    try:
        return os.stat(path).st_mode & _FORMAT == _DIRECTORY
    except OSError:
        return True


def is_privileged(path: str) -> bool:
    """Whether a program runs with rights that its caller has not: setuid or setgid (postdrop)."""
    try:
        return bool(os.stat(path).st_mode & 0o6000)
    except OSError:
        return False


def is_ours(path: str) -> bool:
    """Whether a program is the msmtp of this package: a launcher or a console script that says so."""
    try:
        with open(path, "rb") as file:
            beginning = file.read(_BEGINNING)
    except OSError:
        return False
    return beginning.startswith(b"#!") and _OUR_DOOR in beginning


def settings_file(environment: Mapping[bytes, bytes]) -> str:
    """The settings of the mail server that are for delivery alone, '' for those that msmtp finds by itself.

    They are what the service manager hands over as the credential msmtprc, or SETTINGS_FILE if it belongs to delivery's
    user: a file that somebody else would find by mistake is not taken.
    """
    folder = environment.get(b"CREDENTIALS_DIRECTORY", b"")
    path = f"{os.fsdecode(folder)}/msmtprc"
    if folder and os.access(path, os.R_OK):
        return path
    try:
        return SETTINGS_FILE if os.stat(SETTINGS_FILE).st_uid == os.geteuid() else ""
    except OSError:
        return ""


# Whatever keeps it from being msmtp, it is told in a line and with a code that means later; a signal, too.
_START = """import sys
sys.argv[0] = "msmtp"
try:
    sys.path.insert(0, {folder!r})
    from msmtp.sender.main import run
except BaseException as error:
    sys.stderr.write("msmtp: it could not be started: " + str(error) + "\\n")
    sys.exit({code})
run()
"""


def exec_words() -> tuple[str, list[bytes]]:
    """How this package's msmtp is started where no program of that name is: path, and the words before its own.

    Its modules may lie where no other program finds them.  If it cannot start, it may later: it is being upgraded, say.
    """
    code = _START.format(folder=__file__.rsplit("/", 3)[0], code=EX_TEMPFAIL)
    return sys.executable, [os.fsencode(sys.executable), b"-I", b"-c", os.fsencode(code)]


def fault_of_address(address: bytes) -> str:
    """Why an address cannot be one that was checked before, or ''.

    An address is an argument of a program: none that begins with a hyphen, nothing but what RFC 5321 has; no line end,
    NUL or other control character comes through its grammar.
    """
    if address[:1] == b"-":
        return "begins with a hyphen"
    if grammar.mailbox(b"<" + address + b">") != address:
        return "is no address"
    return "" if address.isascii() or grammar.is_utf8_text(address) else "is not UTF-8"
