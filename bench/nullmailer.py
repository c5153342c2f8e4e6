"""How long a mail takes beside nullmailer: until its command returns, until the server has it; and what both cost.

nullmailer's sendmail puts the mail into a queue on the disk and returns; its daemon takes it from there and runs a
program that sends it.  Whoever waits for the command waits for less than with msmtp, and learns less: whether the
server takes the mail comes out later.  The queue is on a disk, the rest of nullmailer in a private view of the file
system, in which all programs run that are compared; that takes root.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shlex
import socket
import ssl
import threading
import time
from pathlib import Path

from bench.measure import Program, measure
from bench.programs import OURS, PASSWORD, RECIPIENT, SENDER, USER, Installed, Way
from bench.send import NAMES, mail
from bench.servers import OFFERS, disk
from bench.sink import Session
from bench.table import Figure, ratio
from tests.support import certificates, debian
from tests.support.processes import Daemon
from tests.support.view import in_view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from tests.support.certificates import Certificate

NULLMAILER = "nullmailer"
PATIENCE = 30.0
PAUSE = Program("pause", ["/bin/sleep", "0.2"])
"""While nullmailer's daemon sends what its command has put into the queue, nothing else is measured."""

TICKS = slice(11, 15)
"""Where /proc/PID/stat, behind the name, has the processor time of a process and of its children that have ended."""

PREPARE = """
mkdir -p /var/spool/nullmailer /etc/nullmailer
mount --bind {queue} /var/spool/nullmailer
cd /var/spool/nullmailer
mkdir queue tmp failed
mkfifo -m 622 trigger
echo {server} >/etc/nullmailer/remotes
echo sender.example >/etc/mailname
cp {authority} {trusted}
chown -R mail:mail . /etc/nullmailer
chmod 600 /etc/nullmailer/remotes
cd /
"""
TRUSTED = "/etc/nullmailer/authority.pem"
SEND = ["setpriv", "--reuid=mail", "--regid=mail", "--clear-groups", "/usr/sbin/nullmailer-send"]


class Noting(Session):
    """A session of the sink that notes when it has a mail."""

    arrivals: queue.SimpleQueue[float]

    def skip_to_end(self, begin: int) -> None:
        """Read the mail, and look at the clock; the same as in bench.measure."""
        super().skip_to_end(begin)
        self.arrivals.put(time.perf_counter())


class Server:
    """A sink in threads of this process: its ``port``; ``arrivals``, the times at which it had a mail."""

    def __init__(self, way: str, certificate: Certificate) -> None:
        self.way = way
        self.arrivals: queue.SimpleQueue[float] = queue.SimpleQueue()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate.chain, certificate.key)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        self.thread.join()
        self.listener.close()

    def serve(self) -> None:
        """Take connections until it is over."""
        offers = tuple(word.encode() for word in (*OFFERS, "AUTH PLAIN LOGIN"))
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Noting(connection, self.way, offers, self.tls)
            session.arrivals = self.arrivals
            threading.Thread(target=session.serve, daemon=True).start()

    def seconds(self, begun: Sequence[float]) -> list[float]:
        """How long each mail took to get here, if the commands were begun then; a first one was not counted."""
        self.arrivals.get(timeout=PATIENCE)
        return [self.arrivals.get(timeout=PATIENCE) - start for start in begun]


class Nullmailer:
    """nullmailer's daemon in its view: words that have a command ``enter`` there; its processor time so far."""

    def __init__(self, process: int) -> None:
        self.process = process
        self.enter = ["nsenter", f"--mount=/proc/{process}/ns/mnt"]

    def used(self) -> float:
        """Seconds."""
        ticks = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()[TICKS]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def nullmailer(folder: Path, way: Way) -> Iterator[Nullmailer]:
    """It, sending everything one way."""
    server = f"{way.host} smtp port={way.port}"
    if way.kind != "plain":
        server += f" starttls user={USER} pass={PASSWORD} x509cafile={TRUSTED}"
    folder.mkdir()
    with disk() as place:
        prepare = PREPARE.format(queue=place, server=shlex.quote(server), authority=way.authority, trusted=TRUSTED)
        view = in_view([debian.bundle("nullmailer")], folder, SEND, prepare)
        daemon = Daemon(view, log=folder.with_suffix(".log"), kill_child=True)
        daemon.ready = lambda: bool(sender(daemon.pid))
        with daemon:
            yield Nullmailer(sender(daemon.pid))


def sender(pid: int) -> int:
    """The process that is nullmailer-send, this one or below it; 0 if there is none yet."""
    try:
        if Path(f"/proc/{pid}/comm").read_text() == "nullmailer-send\n":
            return pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    return max((sender(int(child)) for child in children), default=0)


def beside(installed: Installed, kind: str, rounds: int) -> list[Figure]:
    """The figures of one way to send.  Every program has a server of its own, so that it is known whose mail came."""
    certificate = certificates.localhost()
    names = [OURS, *[reference.name for reference in installed.references], NULLMAILER]
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(Server(kind, certificate)) for name in names}
        ways = {name: Way(kind, server.port, certificate.authority) for name, server in servers.items()}
        programs = [program for name, way in ways.items() for program in installed.senders(way) if program.name == name]
        command = Program(NULLMAILER, ["/usr/sbin/sendmail", "-f", SENDER, RECIPIENT])
        daemon = stack.enter_context(nullmailer(installed.folder / f"nullmailer-{kind}", ways[NULLMAILER]))
        runs = measure([*programs, command, PAUSE], mail(installed.folder, 1 << 10), rounds, enter=daemon.enter)
        arrived = {name: server.seconds(runs[name].begun) for name, server in servers.items()}
        of_daemon = daemon.used() / (rounds + 1)
    theirs = runs[NULLMAILER]
    processor = [seconds + of_daemon for seconds in theirs.cpu]
    found = []
    for name in names[:-1]:
        found += [
            ratio(f"{name}: time until the command returns", runs[name].wall, theirs.wall),
            ratio(f"{name}: time until the server has the mail", arrived[name], arrived[NULLMAILER]),
            ratio(f"{name}: processor, daemon and all", runs[name].cpu, processor),
        ]
    return found


def figures(installed: Installed, rounds: int) -> Iterator[tuple[str, list[Figure]]]:
    """All of it."""
    if os.geteuid():
        print("\nnullmailer: left out, only root may give it a queue")
        return
    for kind in ("plain", "starttls"):
        yield f"1 KiB, {NAMES[kind]}, to nullmailer's", beside(installed, kind, rounds)
