"""Wire: a worker's connection, with a deadline for everything; and the note that SIGTERM leaves, or who would send it.

Nothing here blocks: a call that cannot be carried out at once waits in poll(2), for the connection, for the note, and
for the deadline, whichever comes first.  Deadlines are times of CLOCK_MONOTONIC.

Where octets are likely to be there already (the content of a mail) they are read without asking; where the client has
to answer first, poll(2) comes first: each saves a system call.
"""

from __future__ import annotations

import _signal  # without the enumerations of signal, which would have each worker touch 260 KiB that it then has alone
import _socket
import select
from time import monotonic

from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.daemon.channel import Channel

COMMANDS = 8_192  # octets read at once where commands are due: a group of them
CONTENT = 65_536  # where content is

_FLAGS = _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL
_LATEST = 3_600.0  # seconds; poll(2) takes no more than fit into an int


FINISHING = 70.0  # seconds for the mail that is under way when SIGTERM comes; the keeper's patience is longer
_NEVER = float("inf")


class Late(Exception):  # noqa: N818 - not an error of the program: a fact about the peer
    """The deadline has passed."""


class Gone(Exception):  # noqa: N818 - the same
    """The connection is broken."""


class Terminated(Exception):  # noqa: N818 - the same
    """SIGTERM has come, and nothing that is under way has to be finished first."""


class Termination:
    """The note that SIGTERM leaves: ``asked``, and a descriptor that becomes readable.

    Made before the sandbox is entered, which has no pipes.  ``control``: a channel whose end says the same (of
    who may send no signal, and of who has ended), -1 for none.  ``until``: when what is under way has to be finished.
    """

    __slots__ = ("_asked", "control", "reads", "until", "writes")

    def __init__(self) -> None:
        self.reads, self.writes = os.pipe()
        for end in (self.reads, self.writes):
            os.set_blocking(end, False)
        self._asked = False
        self.control = -1
        self.until = _NEVER

    def install(self) -> None:
        """Be told of SIGTERM; what a terminal sends to all processes alike is left to the supervisor."""
        _signal.set_wakeup_fd(self.writes, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGTERM, self._note)
        for number in (_signal.SIGINT, _signal.SIGHUP):
            _signal.signal(number, _signal.SIG_IGN)

    def close(self) -> None:
        """Close the descriptors; for who made it for a child."""
        os.close(self.reads)
        os.close(self.writes)

    def _note(self, _number: int, _frame: object) -> None:
        self._ask()

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self.until = monotonic() + FINISHING

    @property
    def asked(self) -> bool:
        """Whether SIGTERM has come."""
        return self._asked

    def take(self) -> None:
        """Note that it has come, so that its descriptor is readable no more."""
        try:
            if _signal.SIGTERM in os.read(self.reads, 4_096):
                self._ask()
        except BlockingIOError:
            return

    def end(self) -> None:
        """Note that the end of ``control`` has come."""
        self._ask()
        self.control = -1

    def await_first(self, descriptor: int) -> None:
        """Wait for something to read there, however long.  Raises Terminated."""
        looking = select.poll()
        looking.register(descriptor, select.POLLIN)
        looking.register(self.reads, select.POLLIN)
        while not any(ready == descriptor for ready, _ in looking.poll()):
            self.take()
            if self._asked:
                raise Terminated


class Wire:
    """The connection.  ``received``: octets so far."""

    __slots__ = ("_poll", "_socket", "_termination", "received")

    def __init__(self, descriptor: int, termination: Termination) -> None:
        # The family is not looked at: what is used of the socket is the same for all of them.
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, descriptor)
        self._termination = termination
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._poll.register(termination.reads, select.POLLIN)
        if termination.control >= 0:
            self._poll.register(termination.control, select.POLLRDHUP)
        self.received = 0

    def fileno(self) -> int:
        """Number of the descriptor."""
        return self._socket.fileno()

    def receive(self, until: float, *, content: bool = False, likely: bool = False) -> bytes:
        """Give what has come, b"" at the end.

        ``content``: there is much to come, and SIGTERM waits; ``likely``: some of it is here by now.  Raises Late,
        Gone, Terminated.
        """
        if not likely:
            self._wait(until, interruptible=not content)
        while True:
            try:
                data = self._socket.recv(CONTENT if content else COMMANDS, _socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._wait(until, interruptible=not content)
            except OSError as error:
                raise Gone(error.strerror) from None
            else:
                self.received += len(data)
                return data

    def exactly(self, size: int, until: float) -> bytes:
        """Give so many octets and leave what is behind them; fewer at the end.  Raises Late, Gone, Terminated."""
        data = b""
        while len(data) < size:
            self._wait(until)
            try:
                piece = self._socket.recv(size - len(data), _socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except OSError as error:
                raise Gone(error.strerror) from None
            if not piece:
                break
            data += piece
        return data

    def _wait(self, until: float, *, interruptible: bool = True) -> None:
        """Wait for octets."""
        while True:
            if interruptible and self._termination.asked:
                raise Terminated
            until = min(until, self._termination.until)
            if monotonic() >= self._termination.until:  # a client that says a little all the time has no right to more
                raise Late
            ready = [descriptor for descriptor, _ in self._poll.poll(milliseconds(until))]
            if not ready:
                if monotonic() >= until:
                    raise Late
                continue
            if self._termination.reads in ready:
                self._termination.take()
            if self._termination.control in ready:
                self._poll.unregister(self._termination.control)
                self._termination.end()
            if self._socket.fileno() in ready and not (interruptible and self._termination.asked):
                return

    def send(self, data: bytes, until: float) -> None:
        """Write all of it.  Raises Late if the client does not read, Gone."""
        view = memoryview(data)
        waiting = None
        while view:
            try:
                view = view[self._socket.send(view, _FLAGS) :]
            except BlockingIOError:
                waiting = waiting or _for_writing(self._socket.fileno())
                if not waiting.poll(milliseconds(until)) and monotonic() >= until:
                    raise Late from None
            except OSError as error:
                raise Gone(error.strerror) from None

    def broken(self) -> bool:
        """Whether the client has cut the connection off.

        Only what can be nothing else counts: a client that has said all it had to say may close its side and still be
        served.
        """
        looking = select.poll()
        looking.register(self._socket.fileno(), 0)
        return any(events & (select.POLLERR | select.POLLNVAL) for _, events in looking.poll(0))

    def linger(self, until: float, octets: int) -> None:
        """Close this side and read on for a moment, so that the last reply is not lost.

        A connection that is closed with octets unread is reset, and a reset overtakes what was written before.
        """
        try:
            self._socket.shutdown(_socket.SHUT_WR)
            enough = self.received + octets
            while self.received < enough and self.receive(until):
                pass
        except (OSError, Late, Gone, Terminated):
            return

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def await_message(channel: Channel, until: float, client: Wire | None = None) -> None:
    """Wait for a message on a channel, whatever SIGTERM says.  Raises Late.

    ``client``: whom the answer is for; Gone is raised if it hangs up first.  To shut its side down counts as that: it
    can say nothing more, whatever the answer is.
    """
    looking = select.poll()
    looking.register(channel.fileno(), select.POLLIN)
    if client:
        looking.register(client.fileno(), select.POLLRDHUP)
    while not (ready := looking.poll(milliseconds(until))):
        if monotonic() >= until:
            raise Late
    if client and ready[0][0] == client.fileno():
        raise Gone("closed while its password was looked at")


def milliseconds(until: float) -> int:
    """How long to wait at most; rounded up, so that no wait ends early and then turns round and round."""
    return max(0, int(min(_LATEST, until - monotonic()) * 1000) + 1)


def _for_writing(descriptor: int) -> select.poll:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return poll
