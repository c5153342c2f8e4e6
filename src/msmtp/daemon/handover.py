"""Handover: one session's mails on their way to delivery, seen from the worker.

Nothing is said to delivery before the client has something to send: ENVELOPE, RECIPIENTs and BODY go out together when
DATA or the first BDAT comes, and the client gets its 354 when the file is there.

From then on the content is read to its real end whatever happens.  What goes wrong on the way (no room, no delivery,
too many hops) is kept as ``refusal`` and said after that end, and nothing comes of the mail.  Nothing but COMMIT makes
a mail of the octets in the file; the end of a channel, or of a process, never does.
"""

from __future__ import annotations

import re
from time import monotonic

from msmtp.daemon.channel import Channel
from msmtp.daemon.requests import (
    ABORT,
    BODY,
    COMMIT,
    ENVELOPE,
    FILE,
    PATH,
    RECIPIENT,
    RESULT,
    SPILL,
    UNABLE,
)
from msmtp.daemon.wire import Late, await_message
from msmtp.failures import ChannelFailure
from msmtp.smtp.replies import Reply
from msmtp.smtp.server_replies import REPLIES
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from msmtp.daemon.channel import Message
    from msmtp.daemon.requests import Request
    from msmtp.smtp.commands import Parameters, Rcpt

ANSWER = 60  # seconds for a broker to say where to write: it has but to make a file

_FINAL = (2, 4, 5)  # first digits that a mail's outcome may have
_UNPRINTABLE = re.compile(rb"[^ -~]+")


class HopCounter:
    """Counts the Received fields in the header of a mail that comes in blocks, with LF line ends."""

    __slots__ = ("_held", "done", "hops")

    _KEPT = 64  # octets of a line that is not complete: more than the field's name and blanks

    def __init__(self) -> None:
        self._held = b"\n"
        self.done = False
        self.hops = 0

    def feed(self, block: bytes) -> None:
        """Take a block of the content."""
        text = self._held + block
        end = text.find(b"\n\n")
        self.done = end >= 0
        whole = text[: end + 1] if self.done else text[: text.rfind(b"\n")]
        self.hops += len(_RECEIVED.findall(whole))
        self._held = text[text.rfind(b"\n") :][: self._KEPT]


_RECEIVED = re.compile(rb"\nreceived[ \t]*:", re.IGNORECASE)


class Handover:
    """The way to delivery, and the mail under way on it, if there is one.

    ``alive``: whether delivery is there.  ``open``: whether a mail is under way.  ``refusal``: the reply that the mail
    gets after its end, or None.
    """

    __slots__ = ("_channel", "_file", "_hops", "_length", "_max_hops", "_room", "_seconds", "alive", "open", "refusal")

    def __init__(self, descriptor: int, *, max_hops: int, seconds: float) -> None:
        """``seconds``: how long delivery may take over a mail."""
        self._channel = Channel(descriptor)
        self._max_hops = max_hops
        self._seconds = seconds
        self._file = -1
        self._room = self._length = 0
        self._hops = HopCounter()
        self.alive = True
        self.open = False
        self.refusal: Reply | None = None

    def tell(self, request: Request, *values: object) -> None:
        """Say something that gets no answer; without delivery there is nobody to hear it."""
        if self.alive:
            try:
                self._channel.send(request, *values)
            except ChannelFailure:
                self.lose()

    def begin(self, envelope: Sequence[object], recipients: Sequence[Rcpt], size: int) -> Reply | None:
        """Tell of a mail, and get the file for it; the reply that refuses it if that cannot be.

        ``envelope``: the values of ENVELOPE; ``size``: octets announced, 0 if none were.
        """
        self.open, self.refusal = True, None
        self._length = 0
        self._hops = HopCounter()
        self.tell(ENVELOPE, *envelope)
        for recipient in recipients:
            self.tell(RECIPIENT, recipient.recipient, packed(recipient.parameters))
        self._ask_for_file(BODY, size)
        return self.refusal

    def _ask_for_file(self, request: Request, number: int) -> None:
        """Get a file, in place of the one there is; without one, the mail is refused."""
        message = self._ask(request, number, permitted=(FILE, UNABLE))
        if message is None:
            return
        if message.name == UNABLE.name:
            self.refusal = _refusal(message)
            self._drop()
            return
        self._close_file()
        self._file, self._room = message.descriptors[0], message.number("room")

    def _ask(
        self, request: Request, number: int, permitted: Collection[Request], seconds: float = ANSWER
    ) -> Message | None:
        """Ask; None if no answer came that makes sense: then delivery is given up."""
        if self.alive:
            try:
                self._channel.send(request, number)
                await_message(self._channel, monotonic() + seconds)
                return self._channel.receive(permitted)
            except (ChannelFailure, Late):
                self.lose()
        return None

    def write(self, block: bytes) -> None:
        """Write a block of the content, LF line ends, while it makes sense to."""
        if self.refusal or not self.open:
            return
        if self._max_hops and not self._hops.done:
            self._hops.feed(block)
            if self._hops.hops > self._max_hops:
                self.refuse("too many hops")
                return
        if len(block) > self._room:
            self._ask_for_file(SPILL, self._length)
            if self.refusal:
                return
        self._write(block)

    def _write(self, block: bytes) -> None:
        if len(block) > self._room:
            self.refuse("no storage")
            return
        view = memoryview(block)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:  # no room, no quota, the limit of this process
            self.refuse("no storage")
            return
        self._room -= len(block)
        self._length += len(block)

    def refuse(self, name: str) -> None:
        """Have nothing come of the mail; its client learns why, by a name of REPLIES, once it has said all of it."""
        self.refusal = self.refusal or REPLIES[name]
        self.abort()

    def commit(self) -> Reply:
        """Have the mail delivered; give the outcome."""
        if not self.refusal:
            self._close_file()
            message = self._ask(COMMIT, self._length, permitted=(RESULT,), seconds=self._seconds)
            if message:
                self.refusal = _outcome(message)
        self.open = False
        return self.refusal or REPLIES["local error"]

    def abort(self) -> None:
        """Have nothing come of the mail, if one is under way."""
        if self.open and self._file >= 0:
            self.tell(ABORT)
        self._drop()

    def _drop(self) -> None:
        self._close_file()
        self.open = False

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def lose(self) -> None:
        """Hang up on delivery, which is gone or not what it seems."""
        self.refusal = self.refusal or REPLIES["local error"]
        self.alive = False
        self.close()

    def close(self) -> None:
        """Hang up; the end of the channel says as much as ABORT."""
        self._drop()
        self._channel.close()


def _refusal(message: Message) -> Reply:
    """Make a reply of why delivery takes no mail."""
    reply = REPLIES.get(message.octets("reply").decode("ascii", "replace"), REPLIES["local error"])
    if reply.severity not in {4, 5} or reply.code == REPLIES["shutting down"].code:
        return REPLIES["local error"]
    text = _UNPRINTABLE.sub(b" ", message.octets("text")).strip()
    return Reply(reply.code, (text,)) if text else reply


def _outcome(message: Message) -> Reply:
    """Make a reply of delivery's word, which may quote what the command printed."""
    code = message.number("code")
    text = _UNPRINTABLE.sub(b" ", message.octets("text")).strip()
    if code // 100 not in _FINAL or code == REPLIES["shutting down"].code:
        return REPLIES["local error"]
    return Reply(code, (text,))


def packed(parameters: Parameters) -> list[bytes]:
    """Parameters of MAIL or RCPT as they travel: KEYWORD or KEYWORD=value."""
    words = [keyword if value is None else keyword + b"=" + value for keyword, value in parameters]
    return [word[:PATH] for word in words]
