"""A delivery broker in a process of its own, as the daemon runs it, and workers that speak with it."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from pathlib import Path

from msmtp.config.daemon_settings import Settings
from msmtp.daemon import delivery, guard, requests
from msmtp.daemon.channel import Channel, ChannelGone, Message, pair
from msmtp.daemon.journal import open_journal
from msmtp.daemon.status import Page

PATIENCE = 20.0
ANSWERS = (requests.FILE, requests.UNABLE, requests.RESULT)
PLAIN = (b"client.example", requests.EXTENDED, b"", b"", b"sender@example.org", ())


class Broker:
    """A broker process; ``log`` its journal's file, ``page`` its counters."""

    def __init__(self, folder: Path, command: str | None = "cat", number: int = 0, **said: object) -> None:
        self.folder = folder
        self.log = folder / f"log-{number}"
        settings = Settings()
        settings.command = command
        settings.log = str(self.log)
        settings.sandbox = "off"
        settings.spool = str(folder)
        settings.warm = False
        for name, value in said.items():
            setattr(settings, name, value)
        self.settings = settings
        self.page = Page()
        ours, theirs = pair()
        self.pid = os.fork()
        if not self.pid:
            self._be(theirs)
        os.close(theirs)
        self.channel = Channel(ours)
        self.numbers = 0
        self.ended = False
        self.workers: list[Worker] = []

    def _be(self, control: int) -> None:
        status = 70
        try:
            faulthandler.disable()  # pytest's, as are the handlers of these
            for number in (signal.SIGINT, signal.SIGALRM, signal.SIGWINCH):
                signal.signal(number, signal.SIG_DFL)
            output = os.open(self.folder / "stderr", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            nothing = os.open("/dev/null", os.O_RDONLY)
            os.dup2(nothing, 0)
            os.dup2(control, 3)
            os.set_inheritable(3, False)
            os.closerange(4, 4096)
            policy = guard.load(self.settings)
            delivery.run([3], self.settings, open_journal(self.settings), self.page, policy=policy)
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def session(
        self, *, address: bytes = b"192.0.2.1", uid: int = requests.NOBODY, flags: int = 0, user: bytes = b""
    ) -> Worker:
        """A worker whose session the supervisor has announced; ``user``: who gave the password, by auth's word."""
        flags |= requests.WITH_AUTH if user else 0
        self.numbers += 1
        ours, theirs = pair()
        self.channel.send(
            requests.DELIVERY_SESSION, self.numbers, address, 4242, uid, b"127.0.0.1", flags, descriptors=(theirs,)
        )
        os.close(theirs)
        self.workers.append(Worker(ours, self.numbers))
        if user:
            self.workers[-1].say(requests.USER, user)
        return self.workers[-1]

    def ping(self) -> None:
        """Wait until all that was said before is done."""
        self.channel.send(requests.PING, 1)
        assert self.channel.receive((requests.PONG,)).number("count") == 1

    def stop(self) -> int:
        """Hang up, and wait for the end; its status."""
        for worker in self.workers:
            worker.close()
        self.channel.close()
        if not self.ended:
            self.ended = True
            end = time.monotonic() + PATIENCE
            while True:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    return os.waitstatus_to_exitcode(status)
                if time.monotonic() > end:
                    os.kill(self.pid, signal.SIGKILL)
                time.sleep(0.01)
        return 0

    def children(self) -> list[int]:
        """Processes that it has, those that ended and were not reaped among them."""
        return [int(word) for word in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def descriptors(self) -> list[str]:
        """What its descriptors lead to."""
        return sorted(os.readlink(each) for each in Path(f"/proc/{self.pid}/fd").iterdir())

    def logged(self) -> str:
        """All of its log, and what it printed, which is nothing."""
        assert (self.folder / "stderr").read_text() == ""
        return self.log.read_text()


class Brokers:
    """Brokers of one test, started by a call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Broker] = []

    def __call__(self, command: str | None = "cat", **said: object) -> Broker:
        self.started.append(Broker(self.folder, command, len(self.started), **said))
        return self.started[-1]

    def end_with_the_test(self) -> None:
        """Stop them all; each ends well, with nothing printed."""
        assert [one.stop() for one in self.started] == [0] * len(self.started)
        for one in self.started:
            one.logged()


class Worker:
    """The other end of a session."""

    def __init__(self, descriptor: int, number: int) -> None:
        self.channel = Channel(descriptor)
        self.number = number

    def say(self, row: requests.Request, *values: object) -> None:
        """Say something."""
        self.channel.send(row, *values)

    def hear(self) -> Message:
        """What it answers."""
        return self.channel.receive(ANSWERS)

    def gone(self) -> bool:
        """Whether the broker hangs up."""
        try:
            self.hear()
        except ChannelGone:
            return True
        return False

    def envelope(self, *recipients: bytes, envelope: tuple[object, ...] = PLAIN) -> None:
        """Say who the mail is from and for."""
        self.say(requests.ENVELOPE, *envelope)
        for recipient in recipients or (b"user@example.org",):
            self.say(requests.RECIPIENT, recipient, ())

    def file(self, size: int = 0) -> Message:
        """Ask where to write, after :meth:`envelope`."""
        self.say(requests.BODY, size)
        return self.hear()

    def mail(
        self, content: bytes, *recipients: bytes, envelope: tuple[object, ...] = PLAIN, size: int = 0
    ) -> tuple[int, bytes]:
        """Hand over a mail; code and text of the result."""
        self.envelope(*recipients, envelope=envelope)
        given = self.file(size)
        if given.name == "UNABLE":
            return 0, given.octets("text") or given.octets("reply")
        self.write(given, content)
        return self.commit(len(content))

    def write(self, given: Message, content: bytes) -> None:
        """Write what there is room for, and the rest where more is, as a worker does."""
        first = content[: given.number("room")]
        _write(given.descriptors[0], first)
        if rest := content[len(first) :]:
            self.say(requests.SPILL, len(first))
            more = self.hear()
            _write(more.descriptors[0], rest)
            more.close()
        given.close()

    def commit(self, length: int) -> tuple[int, bytes]:
        """Say that it is complete; code and text of the result."""
        self.say(requests.COMMIT, length)
        return self.result()

    def result(self) -> tuple[int, bytes]:
        """Code and text of the result."""
        told = self.hear()
        assert told.name == "RESULT"
        return told.number("code"), told.octets("text")

    def close(self) -> None:
        """Hang up."""
        self.channel.close()


def _write(descriptor: int, octets: bytes) -> None:
    view = memoryview(octets)
    while view:
        view = view[os.write(descriptor, view) :]
