"""--check: whether the whole way of a mail is set up, from the user who asks to the mail server, step by step.

    settings     who can read the settings with the mail server's password
    msmtp        where msmtp, run by this user, hands a mail to
    policy       what it allows to this user
    msmtpd       whether it takes mail
    mail         with --check=ADDRESS: sent there by way of that msmtpd, which answers when the mail server has answered

A step that fails does not keep the others from being looked at.  The exit code is that of the first fault.
"""

from __future__ import annotations

import binascii
import sys
import time

from msmtp.config import reader
from msmtp.config.substitution import host_name
from msmtp.daemon import guard, health
from msmtp.daemon.command import SETTINGS_FILE
from msmtp.daemon.journal import complain_of
from msmtp.exits import EX_OK
from msmtp.failures import ConfigFailure, Failure, InsecureFileFailure, MailDeferredFailure, MailRefusedFailure
from msmtp.mail import fields
from msmtp.smtp.client import ClientConnection
from msmtp.smtp.commands import Data, Ehlo, Lhlo, Mail, Quit, Rcpt
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from msmtp.config.daemon_settings import Settings
    from msmtp.net.stream import Stream
    from msmtp.smtp.commands import Command
    from msmtp.smtp.replies import Reply

SOCKET: Final = "/run/msmtpd/smtp"
"""Where the units listen, if the options name no place."""

NO_ADDRESS: Final = "-"
"""What stands for the address where no mail is wanted."""

WITHOUT_POLICY: Final = "none: whoever connects may send anything (--policy)"
SEE_LOG: Final = "msmtpd's log has the rest: journalctl -u msmtpd -u msmtpd-send"
NEXT: Final = "send a mail to see it arrive: msmtpd --check=you@example.org"

_LISTENING = {"port", "socket", "smtps-port"}
_REFUSED, _DEFERRED = 5, 4  # first digits of replies


def check(settings: Settings) -> int:
    """Take all steps; say what each found; give the exit code."""
    code = EX_OK
    steps: tuple[tuple[str, Callable[[Settings], Iterator[str]]], ...] = (
        ("settings", _settings),
        ("msmtp", _msmtp),
        ("policy", _policy),
        ("msmtpd", _msmtpd),
        ("mail", _mail),
    )
    for name, step in steps:
        try:
            for line in step(settings):
                sys.stdout.write(f"{name + ':':10}{line}\n")
        except Failure as failure:
            sys.stdout.write(f"{name + ':':10}NO: {failure.message}\n")
            sys.stdout.flush()
            if failure.hint:
                complain_of(Failure(failure.hint))
            code = code or failure.code
    return code


def place_of(settings: Settings) -> health.Place:
    """Where msmtpd is expected."""
    return health.where(settings) if _LISTENING & settings.given else health.Place(socket=SOCKET)


def _not_run(_command: str) -> str:
    """What an eval command stands for here, where nothing is run."""
    return "#"


def _settings(_: Settings) -> Iterator[str]:
    """The file with the password: there, and for delivery alone."""
    try:
        found = os.stat(SETTINGS_FILE)
    except FileNotFoundError:
        yield f"{SETTINGS_FILE} is not there; delivery uses what msmtp finds by itself"
        return
    except OSError as error:
        yield f"{SETTINGS_FILE} is out of your reach ({error.strerror})"
        return
    if found.st_mode & 0o077:
        hint = f"run: chmod 600 {SETTINGS_FILE}, and change the password"
        raise InsecureFileFailure(f"{SETTINGS_FILE} can be read by others than its owner", hint=hint)
    if os.geteuid() and os.access(SETTINGS_FILE, os.R_OK):
        hint = "run as root: chown root: and chmod 600, or let it belong to msmtpd-send"
        raise InsecureFileFailure(f"you can read {SETTINGS_FILE}", hint=hint)
    if os.geteuid() == 0:
        yield _mail_server(SETTINGS_FILE)
    else:
        yield f"{SETTINGS_FILE} cannot be read by you, as it should be"


def _mail_server(file: str) -> str:
    """The mail server in a file of settings.  Raises Failure if there is none."""
    found = reader.Configuration()
    reader.load(found, file, evaluate=_not_run, system_file="")
    account = found.definitions.get("default")
    if account is None or not account.get("host"):
        raise ConfigFailure(f"{file} names no mail server", hint="it needs an account default with a host")
    return f"{file}: mail goes to {account.get('host')}"


def _msmtp(settings: Settings) -> Iterator[str]:
    """Where msmtp sends by the files of this user and of the system."""
    found = reader.Configuration()
    reader.load(found, None, evaluate=_not_run)
    account = found.definitions.get("default")
    if account is None:
        hint = "/etc/msmtprc of the examples leads to msmtpd's socket"
        raise ConfigFailure(f"no account default in {reader.SYSTEM_FILE} or {reader.user_file()}", hint=hint)
    where = account.get("socket") or account.get("host")
    other = "" if str(where) == str(place_of(settings)) else f", and not to msmtpd at {place_of(settings)}"
    yield f"by {account.file} a mail of yours goes to {where}{other}"
    if account.file == reader.SYSTEM_FILE and (account.get("password") or account.get("passwordeval")):
        hint = f"the password belongs into {SETTINGS_FILE}"
        raise InsecureFileFailure(f"{account.file} holds a password, and you can read it", hint=hint)


def _judge(settings: Settings) -> guard.Guard | None:
    policy = guard.load(settings)
    return guard.Guard(policy) if policy else None


def _policy(settings: Settings) -> Iterator[str]:
    judge = _judge(settings)
    if judge is None:
        yield WITHOUT_POLICY
        return
    yield from judge.told(judge.person(os.getuid(), b"", b""))


def _msmtpd(settings: Settings) -> Iterator[str]:
    place = place_of(settings)
    health.converse(settings, place)
    yield f"takes mail at {place}"


def _mail(settings: Settings) -> Iterator[str]:
    """Send one."""
    if settings.check == NO_ADDRESS:
        yield NEXT
        return
    sender, recipient = own_address(settings).encode(), settings.check.encode()
    stream = health.connected(settings, place_of(settings))
    stream.deadline(settings.command_timeout + 30)
    try:
        answer = send(stream, sender, recipient, lmtp=settings.lmtp)
    finally:
        stream.close()
    yield f"from {sender.decode()} to {settings.check}: taken, says the mail server's side ({answer})"


def own_address(settings: Settings) -> str:
    """An address that this user may send as."""
    try:
        judge = _judge(settings)
    except Failure:  # was told
        judge = None
    if judge:
        return judge.first_address(judge.person(os.getuid(), b"", b""))
    name, _ = guard.Directory().user(os.getuid(), 0.0)
    return f"{name or 'nobody'}@{guard.own_mail_name()}"


def send(stream: Stream, sender: bytes, recipient: bytes, *, lmtp: bool) -> str:
    """Send the mail; give the last answer.  Raises MailDeferredFailure, MailRefusedFailure with msmtpd's words."""
    connection = ClientConnection("lmtp" if lmtp else "smtp")
    _judged(health.next_reply(connection, stream))
    commands: tuple[Command, ...] = ((Lhlo if lmtp else Ehlo)(b"localhost"), Mail(sender), Rcpt(recipient), Data())
    for command in commands:
        stream.write(connection.send(command))
        _judged(health.next_reply(connection, stream))
    stream.write(connection.data(content(sender, recipient)) + connection.end_data())
    answer = _judged(health.next_reply(connection, stream))
    stream.write(connection.send(Quit()))
    return answer


def _judged(reply: Reply) -> str:
    text = f"{reply.code} {reply.text().decode('utf-8', 'backslashreplace')}"
    if reply.severity == _DEFERRED:
        raise MailDeferredFailure(f"not now: {text}", hint=SEE_LOG)
    if reply.severity == _REFUSED:
        raise MailRefusedFailure(f"refused: {text}", hint=SEE_LOG)
    return text


def content(sender: bytes, recipient: bytes) -> bytes:
    """The mail."""
    now, host = int(time.time()), host_name().encode("ascii", "replace")
    lines = (
        fields.from_field(sender),
        fields.to_field([recipient]),
        b"Subject: msmtpd --check on " + host + b"\n",
        b"Date: " + fields.date(now, time.localtime(now).tm_gmtoff) + b"\n",
        b"Message-ID: " + fields.message_id(binascii.hexlify(os.urandom(12)), b"", sender, host) + b"\n",
        b"\nThis mail was sent by msmtpd --check.  That it is here shows that this machine can send.\n",
    )
    return b"".join(lines)
