r"""The real msmtpd, on a loopback port or a unix socket of its own, with a delivery command that records what it got.

::

    with Msmtpd("--max-sessions=4") as daemon:                  # as root with --user=nobody, else as who runs the tests
        with daemon.smtp() as client:
            client.sendmail("a@b.example", ["c@d.example"], "Subject: hi\n\nho\n")
        (mail,) = daemon.mails(1)
        assert mail.arguments == ["-f", "a@b.example", "--", "c@d.example"]

At the end it is told to stop by its process id, and everything is looked at: exit code 0; no process, socket or spool
file left; before that no session, slot, zombie or descriptor more than when it had just started; nothing in the log or
on standard error that speaks of a fault.  What a test provokes it names: ``expected=("was ended by signal 9",)``; a test
that ends the daemon otherwise sets ``daemon.exit_code``, and None there means that whatever it is is right.

The command does what the test orders: shell text, before the mail is read and after it was kept.  "exit 75", "sleep 9",
"kill -9 $$", "echo no; exit 65" are orders; $1 and so on are its arguments, those in front of the recipients among them.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import smtplib
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.processes import free_port, wait_for

TOP = Path(__file__).parents[2]
PATIENCE = 30.0
NOBODY = pwd.getpwnam("nobody").pw_uid

# It keeps what it got in a folder named after itself, which gets its name when all of it is there.
RECORD = r"""#!/bin/sh
set -e
umask 022
[ ! -e {folder}/before ] || . {folder}/before
mkdir {folder}/mails/.$$
cat >{folder}/mails/.$$/mail
cat /proc/$$/cmdline >{folder}/mails/.$$/words
cat /proc/$$/environ >{folder}/mails/.$$/environment
id >{folder}/mails/.$$/user
mv {folder}/mails/.$$ {folder}/mails/$$.$(date +%s%N)
[ ! -e {folder}/after ] || . {folder}/after
"""

# What must not stand in the log or on standard error of a daemon that nobody hurts.
FAULTS = re.compile(
    r"Traceback|internal error|please report|process \w+: \w+.* at |worker killed|was ended by signal|ended with status"
    r"|ended before its work|cannot make a process|refused connection"
)


@dataclass
class Kept:
    """A mail as the command got it.  ``arguments``: its words but for its own name."""

    mail: bytes
    arguments: list[str]
    environment: dict[str, str]
    user: str

    @property
    def content(self) -> bytes:
        """The mail without the Received field on top."""
        return without_received(self.mail)

    @property
    def received(self) -> str:
        """That field, unfolded, without its name."""
        field = re.match(rb"Received: (.*\n(?:[ \t].*\n)*)", self.mail)
        assert field, self.mail[:200]
        return " ".join(field[1].decode().split())

    @property
    def recipients(self) -> list[str]:
        """What stands behind the last option."""
        return self.arguments[self.arguments.index("--") + 1 :]


def without_received(mail: bytes) -> bytes:
    """A mail without the first Received field, which must be there."""
    field = re.match(rb"Received: .*\n(?:[ \t].*\n)*", mail)
    assert field, mail[:200]
    return mail[field.end() :]


class Recorder:
    """The command, and what it kept below ``folder``, where whoever runs it may write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "record"
        (folder / "mails").mkdir()
        (folder / "mails").chmod(0o1777)
        self.program.write_text(RECORD.format(folder=folder))
        self.program.chmod(0o755)

    @property
    def command(self) -> str:
        """The value of --command."""
        return f"{self.program} -f %F --"

    def order(self, *, before: str = "", after: str = "") -> None:
        """What the next commands are to do besides; nothing more if there is no order."""
        for name, text in (("before", before), ("after", after)):
            path = self.folder / name
            if text:
                (self.folder / f"{name}.new").write_text(text + "\n")
                (self.folder / f"{name}.new").replace(path)
            else:
                path.unlink(missing_ok=True)

    def mails(self, count: int | None = None, seconds: float = PATIENCE) -> list[Kept]:
        """What was kept, the oldest first; ``count``: wait until there are so many, and fail if there are more."""
        if count is not None:
            wait_for(lambda: len(self._folders()) >= count, seconds, words=f"the arrival of {count} mails")
            assert len(self._folders()) == count
        return [self._read(folder) for folder in self._folders()]

    def forget(self) -> None:
        """Throw away what was kept."""
        for folder in self._folders():
            shutil.rmtree(folder)

    def _folders(self) -> list[Path]:
        found = [path for path in (self.folder / "mails").iterdir() if path.name[0] != "."]
        return sorted(found, key=lambda path: int(path.suffix[1:]))

    @staticmethod
    def _read(folder: Path) -> Kept:
        def words(name: str) -> list[str]:
            return os.fsdecode((folder / name).read_bytes()).split("\0")[:-1]

        environment = dict(entry.split("=", 1) for entry in words("environment"))
        return Kept(
            (folder / "mail").read_bytes(), words("words")[2:], environment, (folder / "user").read_text().strip()
        )


def launcher(folder: Path, program: str = "msmtpd", *, for_others: bool = False) -> Path:
    """The program (or msmtp) as packages install it, for the interpreter and the source that are tested.

    ``for_others``: somebody starts it who may not have a way to that interpreter (root's pyenv); then it is Debian's.
    """
    text = (TOP / "packaging" / "launcher" / f"{program}.in").read_text()
    path = folder / program
    python, places = sys.executable, [str(TOP / "src"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    if for_others and not is_everybodys(Path(python).resolve()):
        python, places = "/usr/bin/python3", places[:1]
    for name, value in (("python", python), ("folder", places[0]), ("path", repr(places))):
        text = text.replace(f"@{name}@", value)
    path.write_text(text)
    path.chmod(0o755)
    return path


def is_everybodys(path: Path) -> bool:
    """Whether everybody may run the file, and everything above it lets them through."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))


def new_folder() -> Path:
    """A folder that everybody reaches and only we write to; to be removed by who asks for it."""
    folder = Path(tempfile.mkdtemp(prefix="msmtpd-test-"))
    folder.chmod(0o755)
    return folder


class Msmtpd:
    """msmtpd from ``with`` on.

    ``options`` come behind --interface, --port, --command, --log and --status-socket, which are made unless they are
    among them.  ``user``: root starts it with --user=user, or with none if it is ""; ``uid``: who starts it, if not who
    runs the tests.  ``command`` None: the recorder, whose program is ``{program}`` in another.  ``host``: where it listens; ``unix``: at a socket of that name
    below ``folder`` instead.  ``wrap``: words to start it with.  ``expected``: see the module.
    """

    def __init__(
        self,
        *options: str,
        user: str = "nobody",
        uid: int | None = None,
        command: str | None = None,
        host: str = "127.0.0.1",
        unix: str = "",
        environment: Mapping[str, str] | None = None,
        wrap: Sequence[str | Path] = (),
        expected: Sequence[str] = (),
    ) -> None:
        self.options = options
        self.user = user
        self.uid = uid
        self.given_command = command
        self.host = host
        self.unix = unix
        self.environment = dict(environment or {})
        self.wrap = wrap
        self.expected = list(expected)
        self.exit_code: int | None = 0
        self.port = 0
        self.log_text = self.errors_text = ""
        self.process: subprocess.Popen[bytes] | None = None
        self._looked_at = False

    # Its beginning.

    def prepare(self) -> None:
        """Make the folder with all that belongs to it; the port is chosen."""
        self.folder = new_folder()
        self.log_file = self.folder / "log"
        self.errors_file = self.folder / "errors"
        self.status_socket = self.folder / "run" / "status"
        self.spool = self.folder / "spool"
        self.log_file.touch()
        for path in (self.status_socket.parent, self.spool):
            path.mkdir()
            path.chmod(0o1777 if path == self.spool else 0o755)
        if self.uid is not None:
            os.chown(self.status_socket.parent, self.uid, -1)
            os.chown(self.log_file, self.uid, -1)
        self.recorder = Recorder(self.folder)
        self.program = launcher(self.folder, for_others=self.uid is not None)
        self.port = 0 if self.unix else free_port()

    def words(self) -> list[str]:
        """The command line."""
        given = {option.partition("=")[0] for option in self.options}
        path = f"{self.folder}/run/{self.unix}"
        made = {
            "--interface": "" if self.unix else self.host,
            "--port": "" if self.unix else str(self.port),
            "--socket": path if self.unix else "",
            "--command": (self.given_command or self.recorder.command).replace("{program}", str(self.recorder.program)),
            "--log": str(self.log_file),
            "--status-socket": str(self.status_socket),
            "--spool": str(self.spool),
            "--user": self.user if os.geteuid() == 0 and self.uid is None else "",
        }
        chosen = [f"{name}={value}" for name, value in made.items() if value and name not in given]
        return [*map(str, self.wrap), str(self.program), *chosen, *self.options]

    def __enter__(self) -> Self:
        self.prepare()
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.kill()
            self.remove()
            raise
        return self

    def start(self) -> None:
        """Start it, and do not wait."""
        changes = {} if self.uid is None else {"user": self.uid, "group": self.uid, "extra_groups": []}
        environment = {**os.environ, "HOME": str(self.folder), **self.environment}
        with self.errors_file.open("ab") as errors:
            self.process = subprocess.Popen(  # type: ignore[call-overload]
                ["setpriv", "--pdeathsig", "TERM", *self.words()],  # tests that are killed leave no daemon behind
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env=environment,
                cwd="/",
                start_new_session=True,
                **changes,
            )

    def wait_ready(self, seconds: float = PATIENCE) -> None:
        """Wait for the greeting, and for the workers that wait; then remember what there is."""
        assert self.process

        def greets() -> bool:
            assert self.process
            code = self.process.poll()
            assert code is None, f"ended with {code}:\n{self.errors()}\n{self.log()}"
            with contextlib.suppress(OSError), self.connect(5) as connection:
                return bool(connection.recv(1000))
            return False

        wait_for(greets, seconds, words="a greeting")
        self.baseline = self.settled()

    # What it is like.

    @property
    def pid(self) -> int:
        """The process that was started."""
        assert self.process
        return self.process.pid

    @property
    def keeper(self) -> int:
        """The first process."""
        return self.pid

    def log(self) -> str:
        """The log so far."""
        return self.log_file.read_text(errors="backslashreplace") if self.log_file.exists() else ""

    def wait_logged(self, words: str, seconds: float = PATIENCE) -> str:
        """Wait for words in the log; the line."""

        def line() -> str:
            return next((line for line in self.log().splitlines() if words in line), "")

        return str(wait_for(line, seconds, words=f"{words!r} in the log"))

    def errors(self) -> str:
        """What stands on its standard output and error."""
        return self.errors_file.read_text(errors="backslashreplace") if self.errors_file.exists() else ""

    def status(self) -> dict[str, int]:
        """The counters that the status socket tells."""
        return {name: int(rest) for name, _, rest in self._told() if name != "session"}

    def sessions(self) -> list[str]:
        """Its lines about sessions: number, seconds, process, peer."""
        return [rest for name, _, rest in self._told() if name == "session"]

    def _told(self) -> list[tuple[str, str, str]]:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(PATIENCE)
            asking.connect(str(self.status_socket))
            told = b""
            while block := asking.recv(65536):
                told += block
        return [line.partition(" ") for line in told.decode().splitlines()]

    def tree(self) -> list[int]:
        """All processes of it, the first one first."""
        return [pid for pid, _ in self._family()]

    def _family(self) -> list[tuple[int, int]]:
        found = [(self.keeper, 0)]
        for pid, _ in found:
            found += [(child, pid) for child in children(pid)]
        return found

    def processes(self) -> dict[str, list[int]]:
        """Process numbers by what they are: keeper, supervisor, worker, auth, delivery, tls, names, next; "" is a command."""
        found: dict[str, list[int]] = {}
        roles = {0: ""}
        for pid, parent in self._family():
            roles[pid] = role(pid)
            if roles[pid] == roles[parent] == "delivery":
                roles[pid] = "next"  # it has not got a title yet
            found.setdefault(roles[pid], []).append(pid)
        return found

    def process_of(self, which: str) -> int:
        """The one process that is this."""
        (pid,) = self.processes()[which]
        return pid

    def settled(self, seconds: float = PATIENCE) -> dict[str, int]:
        """Wait until nothing goes on; then, by role, how many descriptors its processes have, as far as we may know."""

        def quiet() -> dict[str, int] | None:
            told = self.status()
            ahead = "--workers-ahead=0" not in self.options
            busy = told["active"] or told["running"] or (ahead and not told["waiting_workers"])
            brokers = [pid for which in ("auth", "delivery", "tls", "names") for pid in self.processes().get(which, ())]
            busy = busy or not all(map(waits, brokers))  # one that is still loading has not opened all it will have
            before = self.processes()
            known = (
                len(before.get("worker", ())) == told["waiting_workers"]
            )  # none that the supervisor has not met, or left
            if busy or not known or zombies(self.tree()) or before.get(""):
                return None
            held = self.descriptors()
            return held if self.processes() == before else None  # not while somebody comes or goes

        found = wait_for(quiet, seconds, words="an end of all activity")
        assert isinstance(found, dict)
        return found

    def descriptors(self) -> dict[str, int]:
        """How many descriptors processes have, the worst of each role; at least of a process that may be looked into.

        Without those for processes that wait, of which there are more or fewer: delivery's way to the next msmtp, the
        supervisor's ways to workers and their pidfds.
        """
        found: dict[str, int] = {"": 0}
        processes = self.processes()
        waiting = {"delivery": len(processes.get("next", ())), "supervisor": 2 * len(processes.get("worker", ()))}
        for which, pids in processes.items():
            ways = waiting.get(which, 0)
            for pid in pids:
                with contextlib.suppress(OSError):
                    found[which] = max(found.get(which, 0), len(os.listdir(f"/proc/{pid}/fd")) - ways)
        return found

    # Clients.

    def connect(self, seconds: float = PATIENCE) -> socket.socket:
        """A connection to it."""
        if self.unix:
            made = socket.socket(socket.AF_UNIX)
            made.settimeout(seconds)
            try:
                made.connect(f"{self.folder}/run/{self.unix}")
            except OSError:
                made.close()
                raise
            return made
        return socket.create_connection((self.host, self.port), timeout=seconds)

    def smtp(self) -> smtplib.SMTP:
        """Python's client, connected."""
        return smtplib.SMTP(self.host, self.port, local_hostname="client.example", timeout=PATIENCE)

    def talk(self) -> Talk:
        """A client of the test's own."""
        return Talk(self.connect())

    def mails(self, count: int | None = None, seconds: float = PATIENCE) -> list[Kept]:
        """What the recorder kept."""
        return self.recorder.mails(count, seconds)

    def order(self, *, before: str = "", after: str = "") -> None:
        """What the recorder is to do."""
        self.recorder.order(before=before, after=after)

    # Its end.

    def stop(self, seconds: float = PATIENCE) -> None:
        """Have it stop, and look at everything."""
        assert self.process
        if self.process.poll() is None and self.exit_code == 0 and not self._looked_at:
            self.look_for_leaks()
        self._looked_at = True
        everybody = self.tree() if self.process.poll() is None else []
        if self.process.poll() is None:
            os.kill(self.keeper, signal.SIGTERM)
        code = self.process.wait(seconds)
        assert self.exit_code in (code, None), f"exit code {code}\n{self.errors()}\n{self.log()}"
        wait_for(lambda: not any(map(is_there, everybody)), 10, words="the end of all processes")
        self.look_for_faults()
        assert self.exit_code or not self.status_socket.exists(), "its status socket is still there"
        assert not list(self.spool.iterdir()), "something is left in the spool folder"

    def look_for_leaks(self) -> None:
        """Sessions, slots, zombies and descriptors are as they were at the beginning."""

        def grown() -> dict[str, tuple[int, int]]:
            now = self.settled()
            return {which: (n, now[which]) for which, n in self.baseline.items() if now.get(which, 0) > n}

        patience = time.monotonic() + 5  # a broker learns of a session's end a moment later than the supervisor
        while more := grown():
            assert time.monotonic() < patience, more
            time.sleep(0.02)

    def look_for_faults(self) -> None:
        """Nothing but what is expected went wrong."""
        for line in (self.log() + self.errors()).splitlines():
            fault = FAULTS.search(line) and not any(words in line for words in self.expected)
            assert not fault, f"{line}\n--- of:\n{self.log()}{self.errors()}"

    def kill(self) -> None:
        """End all of it at once."""
        if self.process is None:
            return
        if self.process.poll() is None:
            for pid in self.tree():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def remove(self) -> None:
        """Remove its folder; what was logged stays known."""
        self.log_text, self.errors_text = self.log(), self.errors()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.stop()
        finally:
            self.kill()
            if kind is not None:
                print(f"--- msmtpd's log:\n{self.log()}--- its standard error:\n{self.errors()}")
            self.remove()


class Talk:
    """A client that says what the test says.  ``reply`` is the last one: all its lines, without the last CRLF."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.waiting = b""
        self.reply = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def send(self, octets: bytes) -> None:
        """Send them as they are."""
        self.connection.sendall(octets)

    def line(self) -> bytes:
        """A line with its CRLF; what there is if the connection ends."""
        while b"\n" not in self.waiting:
            block = self.connection.recv(65536)
            if not block:
                line, self.waiting = self.waiting, b""
                return line
            self.waiting += block
        line, _, self.waiting = self.waiting.partition(b"\n")
        return line + b"\n"

    def hear(self, code: int | str | None = None) -> str:
        """Read a reply; it must begin with ``code`` ("250 2.1.0")."""
        lines = [self.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.line())
        self.reply = b"".join(lines).decode().removesuffix("\r\n").replace("\r\n", "\n")
        assert code is None or self.reply.startswith(str(code)), (code, self.reply)
        return self.reply

    def say(self, line: str | bytes, code: int | str | None = None) -> str:
        """Send a line, read the reply."""
        self.send((line if isinstance(line, bytes) else line.encode()) + b"\r\n")
        return self.hear(code)

    def greet(self, verb: str = "EHLO") -> str:
        """Hear the greeting and say hello; the reply."""
        self.hear(220)
        return self.say(f"{verb} client.example", 250)

    def envelope(self, sender: str = "a@b.example", *recipients: str) -> None:
        """MAIL, RCPT and DATA."""
        self.say(f"MAIL FROM:<{sender}>", 250)
        for recipient in recipients or ("c@d.example",):
            self.say(f"RCPT TO:<{recipient}>", 250)
        self.say("DATA", 354)

    def mail(self, content: bytes = b"Subject: hi\r\n\r\nho\r\n", code: int | str | None = 250) -> str:
        """A whole mail; the answer to it."""
        self.envelope()
        self.send(content)
        return self.say(".", code)


# -- processes, by their numbers


def children(pid: int) -> list[int]:
    """Numbers of a process's children."""
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def title(pid: int) -> str:
    """What a process list shows of a process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    return ""


ROLES = ("keeper", "supervisor", "nursery", "worker", "auth", "delivery", "tls", "names", "relay", "next")


def role(pid: int) -> str:
    """What a process of the daemon is, by its title, or by its name where setproctitle is missing; "" for others."""
    found = re.match(r"msmtpd: ([a-z]+)", title(pid))
    if found:
        return "" if found[1] == "msmtp" else found[1]
    with contextlib.suppress(OSError):
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        if name == "msmtpd":
            return "keeper"
        beginning = name.removeprefix("msmtpd-") if name.startswith("msmtpd-") else "?"
        return next((each for each in ROLES if each.startswith(beginning)), "")
    return ""


def zombies(pids: Sequence[int]) -> list[int]:
    """Those among them that ended and were not waited for."""
    return [pid for pid in pids if state(pid) == "Z"]


def state(pid: int) -> str:
    """A process's state as one letter, "" if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def waits(pid: int) -> bool:
    """Whether a process waits for something to happen, as far as we may know."""
    with contextlib.suppress(OSError):
        where = Path(f"/proc/{pid}/wchan").read_text()
        return state(pid) == "S" and (where == "0" or "poll" in where)
    return True


def is_there(pid: int) -> bool:
    """Whether a process runs; one that ended and that init will wait for does not."""
    return state(pid) not in ("", "Z")


def pause(seconds: float) -> None:
    """Wait where nothing tells when it is over: for something that must not happen."""
    time.sleep(seconds)
