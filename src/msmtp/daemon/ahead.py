"""Ahead: the process that will be msmtp for the next mail, forked before the mail is there.

What a send touches for the first time after its fork has to be copied, and that takes as long as the rest of it.  So
one process is forked while nobody waits, does once what a send does (msmtp.sender.stretch), reads the trusted
authorities, and waits for RUN, which makes it msmtp.  It holds then what an exec'ed msmtp holds, no more and no less.

It is forked by delivery after a mail, and let go if no other follows soon.  It has delivery's rights and files; nothing
a client wrote is in it before RUN.  When delivery ends, its channel does, and so does it.
"""

from __future__ import annotations

from contextlib import suppress

from msmtp.config import reader
from msmtp.daemon import titles
from msmtp.daemon.channel import Channel
from msmtp.daemon.command import settings_file
from msmtp.daemon.descriptors import keep_only
from msmtp.daemon.requests import RUN, TRUSTS
from msmtp.failures import ChannelFailure
from msmtp.net import trust
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from msmtp.daemon.warm import Run

LARGEST = 4 << 20  # octets of a file of authorities that is read ahead; a system's has a quarter of one MiB
_CONFIGURATION_LIMIT = 1 << 20


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
    """End the process: nobody needs it."""
    os._exit(0)  # noqa: SLF001 - public, whatever its name says


def trusted_files(base: dict[bytes, bytes]) -> list[str]:
    """Files of authorities that the configuration names, as far as can be told without understanding it."""
    chosen = settings_file(base)
    found: dict[str, None] = {}
    for path in (reader.SYSTEM_FILE, chosen or reader.user_file()):
        for line in _start_of(path).splitlines():
            words = line.split(None, 1)
            if len(words) > 1 and words[0] == b"tls_trust_file":
                found[os.path.expanduser(os.fsdecode(words[1].strip().strip(b'"')))] = None
    return [path for path in found if path[:1] == "/"]


def _start_of(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _CONFIGURATION_LIMIT)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
