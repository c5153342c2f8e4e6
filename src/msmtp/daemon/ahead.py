"""Ahead: the process that will be msmtp for the next mail, forked before the mail is there.

What a send touches for the first time after its fork has to be copied, and that takes as long as the rest of it.  So
one process is forked while nobody waits, does once what a send does (msmtp.sender.stretch), finds out which authorities
are trusted, and waits for RUN, which makes it msmtp.

It is forked by delivery, of which it has the rights and what is in memory; it holds no descriptor but the channel to
delivery.  It is let go if no mail comes soon; when delivery ends, so does the channel, and so does it.
"""

from __future__ import annotations

from contextlib import suppress
from stat import S_ISREG

from msmtp.config import reader
from msmtp.daemon import titles
from msmtp.daemon.channel import Channel
from msmtp.daemon.command import settings_file
from msmtp.daemon.descriptors import keep_only
from msmtp.daemon.requests import RUN, TRUSTS
from msmtp.exits import EX_TEMPFAIL
from msmtp.failures import ChannelFailure
from msmtp.net import trust
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

    from msmtp.daemon.warm import Run

LARGEST = 4 << 20  # octets of a file of authorities that is read ahead; a system's has a quarter of one MiB
_CONFIGURATION_LIMIT = 1 << 20
_COMMAND = b"tls_trust_file"


def await_run(descriptor: int, base: dict[bytes, bytes], stretch: Callable[[], None]) -> Run:
    """Be the next msmtp, at the end of a channel to delivery; what to run, when that has come.

    ``base``: what all commands have in their environment; ``stretch``: does what a send does, without one.  Ends the
    process if delivery does.
    """
    channel = Channel(descriptor)
    keep_only((descriptor,))
    titles.set_title("next msmtp")
    try:
        with suppress(Exception):  # whatever is wrong will be said of the mail that meets it
            stretch()
            for path in trusted_files(base):
                if trust.know(path, LARGEST):
                    channel.send(TRUSTS, os.fsencode(path))
        message = channel.receive((RUN,))
    except ChannelFailure:
        leave()
    variables = {name: value for name, _, value in [word.partition(b"=") for word in message.many("environment")]}
    mail, output = message.descriptors
    return message.many("argv"), variables, mail, output


def leave() -> NoReturn:
    """End the process: it is not needed, or cannot be told what to do, and then the mail is to be sent later."""
    os._exit(EX_TEMPFAIL)  # noqa: SLF001 - public, whatever its name says


def trusted_files(base: dict[bytes, bytes]) -> list[str]:
    """Files of authorities that the configuration names, as far as can be told without understanding it."""
    chosen = settings_file(base)
    found: dict[str, None] = {}
    for path in (reader.SYSTEM_FILE, chosen or reader.user_file()):
        text = _start_of(path)
        for name in _named_in(text):
            found[os.path.expanduser(os.fsdecode(name))] = None
        text[:] = bytes(len(text))  # there may be passwords in it, which are not to lie about until a mail comes
    return [path for path in found if path[:1] == "/"][: trust.MANY]


def _named_in(text: bytearray) -> Iterator[bytes]:
    at = text.find(_COMMAND)
    while at >= 0:
        line = text.rfind(b"\n", 0, at) + 1
        end = text.find(b"\n", at)
        words = text[at : end if end >= 0 else len(text)].split(None, 1)
        if len(words) > 1 and words[0] == _COMMAND and not text[line:at].strip():
            yield bytes(words[1]).strip().strip(b'"')
        at = text.find(_COMMAND, at + 1)


def _start_of(path: str) -> bytearray:
    """What an ordinary file begins with; nothing of any other, of which this might take what is another's."""
    text = bytearray()
    with suppress(OSError):
        found = os.stat(path)
        if S_ISREG(found.st_mode):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            text = bytearray(min(found.st_size, _CONFIGURATION_LIMIT))  # not made smaller later: that may copy
            try:
                os.readv(descriptor, [text])
            finally:
                os.close(descriptor)
    return text
