"""How fast msmtpd receives, beside the C program's msmtpd, aiosmtpd and Postfix.

The client is Postfix's smtp-source.  Rates are ratios of runs in the same round; memory and times to a greeting are
what they are.  As root, both daemons run as a user of their own; the sandbox is required, the log written to a file.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import statistics
import subprocess
import time
from pathlib import Path

from bench.programs import PYTHON, RECIPIENT, SENDER, THEIRS, Installed, Reference, Way
from bench.send import all_authorities
from bench.servers import disk, sink
from bench.table import Figure, ratio
from tests.support import certificates, debian
from tests.support.processes import Daemon, free_port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    Server = Callable[[], AbstractContextManager[int]]  # a server as it is for one run: its port

SMALL, LARGE = 1 << 10, 1 << 20
CONNECTION_A_MAIL, MAILS_A_CONNECTION, MEGABYTE = 1.0, 1.4, 3.5
MAILS_WARM = 40  # a run, at least
WARM = {1: 15.0, 8: 4.0, 16: 2.5}
TO_POSTFIX = 0.6
IDLE, SESSION, START, GREETING = 30.0, 1.5, 0.3, 5.0

SESSIONS = 16
"""Sessions at a time by default: what is open when the sixteenth client is greeted."""

DROP = """
#include <unistd.h>
int main(void) { static char block[65536]; while (read(0, block, sizeof block) > 0) ; return 0; }
"""
"""A command that reads the mail and drops it: what is measured is the daemon."""

NUMBER = 61999
"""Of a user whom nobody else is: the kernel counts a user's descriptors on their way between processes."""

POSTFIX = """
compatibility_level = 3.6
myhostname = postfix.example
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
maillog_file = /dev/stdout
default_transport = discard
relay_transport = discard
smtpd_recipient_restrictions = permit_mynetworks, reject
"""


QUEUE = "mkdir -p /var/spool/postfix; mount --bind {queue} /var/spool/postfix"
"""Its queue is where queues are, on a disk; the view's /var is in memory."""

ONE_PROCESS = Path(__file__).with_name("one_process.py")

FLUSHES = 50

UNUSED = ("0 ", " ", "keep ")
"""How the entries of master.cf begin, with their options, that are for tests."""


class Client:
    """smtp-source: mails of ``size`` octets by so many ``clients`` at a time, ``kept``: several a connection."""

    def __init__(self, mails: int, size: int = SMALL, clients: int = 1, *, kept: bool = False) -> None:
        root = debian.bundle("postfix")
        self.mails = mails
        self.words = [str(root / "usr/sbin/smtp-source"), "-s", str(clients), "-m", str(mails), "-l", str(size)]
        self.words += ["-f", SENDER, "-t", RECIPIENT, *(["-d"] if kept else [])]
        self.environment = {**os.environ, "LD_LIBRARY_PATH": f"{debian.library_path(root)}:{root}/usr/lib/postfix"}

    def seconds(self, port: int) -> float:
        """How long a mail takes.  Raises RuntimeError if one is not taken."""
        begun = time.perf_counter()
        done = subprocess.run(
            [*self.words, f"127.0.0.1:{port}"], env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode or done.stderr:
            raise RuntimeError(f"smtp-source: {done.stderr}")
        return (time.perf_counter() - begun) / self.mails


class Place:
    """A folder for daemons that run as a user of their own, or as who we are; what it takes to start them there."""

    def __init__(self, installed: Installed) -> None:
        self.installed = installed
        self.folder = installed.folder / "daemon"
        self.folder.mkdir(exist_ok=True)
        self.user = [] if os.geteuid() else ["setpriv", f"--reuid={NUMBER}", f"--regid={NUMBER}", "--clear-groups"]
        self.own(self.folder)

    def own(self, path: Path) -> Path:
        """Have a path be the daemons' user's."""
        if not os.geteuid():
            os.chown(path, NUMBER, NUMBER)
        return path

    def drop(self) -> str:
        """The command that drops mails; without a compiler, the shell has to do it."""
        program = self.folder / "drop"
        compiler = shutil.which("cc")
        if compiler and not program.exists():
            command = [compiler, "-O2", "-static", "-x", "c", "-o", str(program), "-"]
            subprocess.run(command, input=DROP, text=True, check=True)
        return f"{program} %F --" if compiler else "/bin/sh -c 'exec cat >/dev/null' %F --"

    def home(self, way: Way) -> Path:
        """A home in which msmtp finds its account."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        file = home / ".msmtprc"
        file.write_text(way.configuration())
        file.chmod(0o600)
        self.own(file)
        self.own(home)
        return home

    @contextlib.contextmanager
    def ours(self, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[tuple[int, Daemon]]:
        """Our msmtpd, as a package installs it; its port."""
        port = free_port()
        log = self.folder / "log"
        command = [*self.user, self.installed.folder / "usr/bin/msmtpd", f"--port={port}", f"--log={log}"]
        words = [*command, "--status-socket=off", "--sandbox=require", *options]
        with Daemon(words, ready=greets(port), log=self.folder / "ours", environment=environment) as daemon:
            yield port, daemon

    @contextlib.contextmanager
    def c(self, reference: Reference, command: str, environment: Mapping[str, str] | None = None) -> Iterator[int]:
        """A C program's msmtpd; its port."""
        port = free_port()
        words = [*self.user, *reference.words("msmtpd"), f"--port={port}", f"--command={command}"]
        variables = {**(environment or {}), **reference.environment}
        with Daemon(words, ready=greets(port), log=self.folder / reference.name, environment=variables):
            yield port

    def anew(self, reference: Reference, command: str, environment: Mapping[str, str] | None = None) -> Server:
        """The same, started for each run: of several ends at a time it may hear of one, and has a session less then."""
        return lambda: self.c(reference, command, environment)

    @contextlib.contextmanager
    def aiosmtpd(self, command: str = "") -> Iterator[int]:
        """Debian's aiosmtpd, run by Debian's Python; its port."""
        port = free_port()
        packages = debian.bundle("aiosmtpd") / "usr/lib/python3/dist-packages"
        words = [*self.user, PYTHON, ONE_PROCESS, str(port), *shlex.split(command)]
        variables = {"PYTHONPATH": str(packages)}
        with Daemon(words, ready=greets(port), log=self.folder / "aiosmtpd", environment=variables):
            yield port


def greets(port: int) -> Callable[[], bool]:
    """Whether somebody says something there."""

    def check() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                return bool(connection.recv(100))
        except OSError:
            return False

    return check


def in_turn(servers: Sequence[Server], client: Client, rounds: int) -> list[list[float]]:
    """Seconds a mail of each, round by round; one round before those that count."""
    taken: list[list[float]] = [[] for _ in servers]
    for number in range(rounds + 1):
        for times, server in zip(taken, servers, strict=True):
            with server() as port:
                seconds = client.seconds(port)
            if number:
                times.append(seconds)
    return taken


def rate(name: str, ours: Sequence[float], theirs: Sequence[float], target: float | None) -> Figure:
    """Our rate to theirs."""
    figure = ratio(name, theirs, ours, target)
    figure.least = True
    return figure


def running(port: int) -> Server:
    """A server that runs, whatever it has done before."""
    return lambda: contextlib.nullcontext(port)


MANY = ("--max-sessions=64", "--max-sessions-per-source=64")


DROPPED = (
    ("1 KiB, a connection a mail", SMALL, 400, False, CONNECTION_A_MAIL),
    ("1 KiB, several mails a connection", SMALL, 400, True, MAILS_A_CONNECTION),
    ("1 MiB, a connection a mail", LARGE, 100, False, MEGABYTE),
    ("1 MiB, several mails a connection", LARGE, 100, True, None),
)
"""Mails, their size, how many a run, several a connection or not, our rate to the C program's."""

CLIENTS = (1, 8, 32)
"""At a time."""


def dropped(place: Place, rounds: int) -> Iterator[tuple[str, list[Figure]]]:
    """Mails into a command that drops them; and to an aiosmtpd that drops them itself."""
    command = place.drop()
    with contextlib.ExitStack() as stack:
        ours, _ = stack.enter_context(place.ours(*MANY, f"--command={command}"))
        others = {THEIRS[each.name]: place.anew(each, command) for each in place.installed.references}
        for each in place.installed.references:
            others[f"{THEIRS[each.name]}, not started anew"] = running(stack.enter_context(place.c(each, command)))
        due = list(others)
        unconfined, _ = stack.enter_context(place.ours(*MANY, "--sandbox=off", f"--command={command}"))
        others["ours with the sandbox off"] = running(unconfined)
        others["aiosmtpd's"] = running(stack.enter_context(place.aiosmtpd(command)))
        others["aiosmtpd's, no command"] = running(stack.enter_context(place.aiosmtpd()))
        for title, size, number, kept, target in DROPPED:
            figures = []
            for clients in CLIENTS:
                client = Client(number, size, clients, kept=kept)
                mine, *taken = in_turn([running(ours), *others.values()], client, rounds)
                for theirs, seconds in zip(others, taken, strict=True):
                    aim = target if theirs in due else None
                    figures.append(rate(f"rate, to {theirs}, {clients} at a time", mine, seconds, aim))
            yield title, figures


def handed_on(place: Place, rounds: int) -> Iterator[tuple[str, list[Figure]]]:
    """Mails through the default command to a smarthost with TLS and authentication; Postfix beside it."""
    trusted = all_authorities(place.folder)
    trusted.chmod(0o644)
    with sink("starttls", certificates.localhost()) as smarthost, contextlib.ExitStack() as stack:
        home = str(place.home(Way("starttls", smarthost, trusted)))
        binaries = str(place.installed.folder / "usr/bin")
        variables = {"HOME": home, "PATH": f"{binaries}:{os.environ.get('PATH', '/usr/bin:/bin')}"}
        ours, _ = stack.enter_context(place.ours(*MANY, environment=variables))
        reference = place.installed.references[0]
        command = f"{shlex.join(reference.words('msmtp'))} -f %F --"
        anew = place.anew(reference, command, {"HOME": home})
        on = running(stack.enter_context(place.c(reference, command, {"HOME": home})))
        figures = []
        for clients, target in WARM.items():
            mails = Client(max(MAILS_WARM, 8 * clients), clients=clients)
            mine, *taken = in_turn([running(ours), anew, on], mails, max(2, rounds // 2))
            for theirs, seconds in zip(("the C pair's", "the C pair's, not started anew"), taken, strict=True):
                figures.append(rate(f"rate, to {theirs}, {clients} at a time", mine, seconds, target))
        yield "1 KiB, the default command, STARTTLS and AUTH, a connection a mail", figures
        if not os.geteuid():
            queue = stack.enter_context(disk())
            flushes = [flush(queue) for _ in range(FLUSHES)]
            other = stack.enter_context(postfix(place.installed.folder, queue))
            taken = in_turn([running(ours), running(other)], Client(200, clients=8), rounds)
            yield (
                "the same, beside Postfix that accepts",
                [
                    rate("rate, 8 at a time", *taken, TO_POSTFIX),
                    Figure("ms of an fsync on the disk of its queue", flushes),
                ],
            )


@contextlib.contextmanager
def postfix(folder: Path, queue: Path) -> Iterator[int]:
    """Postfix, which accepts mails into its ``queue``, and drops them later; its port."""
    from tests.support.peers.base import daemon
    from tests.support.peers.postfix import MASTER, PREPARE

    place = folder / "postfix"
    (place / "scratch").mkdir(parents=True)
    port = free_port()
    services = MASTER.format(folder=place, smtp=port, submission=0, submissions=0).splitlines()
    (place / "main.cf").write_text(POSTFIX)
    (place / "master.cf").write_text("\n".join([line for line in services if not line.startswith(UNUSED)]) + "\n")
    prepare = QUEUE.format(queue=queue) + PREPARE.format(folder=place)
    with daemon(place, ["postfix"], ["postfix", "start-fg"], {"smtp": port}, prepare):
        yield port


def flush(queue: Path) -> float:
    """Milliseconds until a mail is on the disk: fsync(2), which Postfix waits for once a mail."""
    with (queue / "probe").open("wb") as file:
        file.write(b"x" * SMALL)
        file.flush()
        begun = time.perf_counter()
        os.fsync(file)
        return (time.perf_counter() - begun) * 1000


def memory(place: Place) -> tuple[str, list[Figure]]:
    """Memory of all processes together, as the kernel shares it out; root alone may ask."""
    with place.ours() as (port, daemon):
        time.sleep(1.0)  # the first greeting's worker has ended, and the next one waits
        idle = proportional(daemon.pid)
        open_ones = [connection(port) for _ in range(SESSIONS // 2)]
        time.sleep(1.0)
        busy = proportional(daemon.pid)
        for each in open_ones:
            each.close()
    return "memory (PSS)", [
        Figure("MiB of all processes, idle", [idle / 1024], IDLE),
        Figure("MiB more for each session", [(busy - idle) / 1024 / len(open_ones)], SESSION),
    ]


def proportional(pid: int) -> int:
    """KiB of a process and all below it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(proportional(int(child)) for child in children)


def connection(port: int) -> socket.socket:
    """A client that was greeted and says nothing."""
    made = socket.create_connection(("127.0.0.1", port), timeout=10)
    assert made.recv(100).startswith(b"220")
    return made


def greeting(port: int) -> float:
    """Seconds until a client is greeted; it leaves then."""
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as made:
        made.recv(100)
        taken = time.perf_counter() - begun
        made.sendall(b"QUIT\r\n")
        made.recv(100)
    time.sleep(0.05)  # not the next one while this one leaves
    return taken


def greetings(place: Place, rounds: int) -> tuple[str, list[Figure]]:
    """How long a client waits: for the daemon to start, and while others hold sessions open."""
    starts = []
    for _ in range(rounds):
        begun = time.perf_counter()
        with place.ours():
            starts.append(time.perf_counter() - begun)
    with place.ours(f"--max-sessions-per-source={SESSIONS}") as (port, _):
        holding = [connection(port) for _ in range(SESSIONS - 1)]
        times = [greeting(port) * 1000 for _ in range(20 * rounds)]
        for each in holding:
            each.close()
    usual = statistics.median(times)
    late = statistics.quantiles(times, n=100)[98] - usual
    return "greetings", [
        Figure("seconds from the start to the first one", starts, START),
        Figure(f"ms until one, {SESSIONS - 1} sessions open", times),
        Figure("ms beyond the median, of a hundred the latest", [late], GREETING),
    ]


def figures(installed: Installed, rounds: int) -> Iterator[tuple[str, list[Figure]]]:
    """All of them."""
    place = Place(installed)
    yield from dropped(place, rounds)
    yield from handed_on(place, rounds)
    if not os.geteuid():
        yield memory(place)
    yield greetings(place, rounds)
