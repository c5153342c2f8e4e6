"""The default command, run warm: by a fork of a process that has the sender loaded.

Starting Python and loading msmtp takes several times as long as handing a mail over.  The delivery broker loads once
what every send loads; a mail then costs a fork, and one child waits already for the next mail (see ``ahead``).  The
child is what an exec'ed msmtp would be: its arguments, its environment (Python's and C's), standard input, output and
error and no other descriptor, a session of its own, what Python makes of signals and streams when it starts, the same
exit codes.  It leaves by the same door.

Nothing that a mail brings is kept: configuration, passwords and mail are read in the child, and go with it.  What the
broker keeps is public: the authorities of the file that the configuration names, for as long as that file is the same.
"""

from __future__ import annotations

import _signal  # signal puts an enumeration around everything, which takes half a millisecond of a child's six
import gc
import io
import posix
import sys
from contextlib import suppress
from importlib import import_module

from msmtp.daemon import ahead, forks, requests, titles
from msmtp.daemon.channel import Channel, pair
from msmtp.daemon.descriptors import keep_only
from msmtp.daemon.runner import DEFAULT_SIGNALS
from msmtp.exits import EX_TEMPFAIL
from msmtp.failures import ChannelFailure, Failure
from msmtp.net import trust
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from msmtp.daemon.loop import Loop, Timer

    Run = tuple[list[bytes], dict[bytes, bytes], int, int]  # words, variables, descriptors of mail and output

MODULES = (
    *("msmtp.sender.main", "msmtp.sender.accounts", "msmtp.sender.send", "msmtp.sender.texts"),
    *("msmtp.config.reader", "msmtp.config.substitution", "msmtp.net.connect", "msmtp.net.tls", "msmtp.net.binding"),
    *("msmtp.net.resolve", "msmtp.sandbox", "msmtp.sandbox.libc", "msmtp.mail.aliases"),
    *("msmtp.sasl.mechanisms", "msmtp.sasl.plain", "msmtp.sasl.login", "msmtp.sasl.scram", "msmtp.sasl.cram_md5"),
    *("msmtp.sasl.digest_md5", "msmtp.sasl.external", "msmtp.sasl.oauth", "msmtp.credentials.request"),
    *("msmtp.credentials.command", "msmtp.credentials.netrc", "msmtp.credentials.secret", "msmtp.smtp.xtext"),
    *("_ssl", "_socket", "_ctypes", "_locale", "_signal", "fcntl", "syslog", "stringprep", "encodings.idna"),
)
"""What sends load, whichever way they go; what only few need (keyrings, Kerberos) is not worth its memory here."""


class Warm:
    """The sender, loaded.  To be made before the sandbox is entered."""

    __slots__ = ("_base", "_burial", "_loaded", "_loop", "_next", "_stale", "_timer", "apart")

    def __init__(self, environment: dict[bytes, bytes]) -> None:
        """``environment``: what all commands get; this process gets it too, so that a child has little to change."""
        self._base = environment
        self._loop: Loop | None = None
        self._next: tuple[int, Channel] | None = None
        self._timer: Timer | None = None  # the one that waits is let go
        self._burial: Timer | None = None
        self._stale = False
        self.apart: set[int] = set()
        """Children that are no commands: the next one, and those that ended before they could be one."""
        set_environment(environment)
        load()
        self._loaded = {path: _key(path) for path in loaded_files()}

    def join(self, loop: Loop) -> None:
        """Have children forked ahead, and hear what they say, in this loop."""
        if all(len(name) + 1 + len(value) <= requests.WORD for name, value in self._base.items()):
            self._loop = loop

    def fresh(self) -> bool:
        """Whether a program that starts now would load what is loaded here; if not, one is to be started."""
        if not self._stale and any(_key(path) != key for path, key in self._loaded.items()):
            self._stale = True
            if self._next:
                self._let_go()
        return not self._stale

    def start(self, argv: list[bytes], environment: dict[bytes, bytes], mail: int, output: int) -> int:
        """Run msmtp in a child, the mail as its standard input; its process.  Raises OSError."""
        return self._hand_over(argv, environment, mail, output) or fork(lambda: (argv, environment, mail, output))

    def _hand_over(self, argv: list[bytes], environment: dict[bytes, bytes], mail: int, output: int) -> int:
        """Have the child that waits do it, if one does; its process, or 0."""
        if self._next is None:
            return 0
        pid, channel = self._next
        variables = [name + b"=" + value for name, value in environment.items()]
        try:
            channel.send(requests.RUN, argv, variables, descriptors=(mail, output))
        except (ChannelFailure, OSError, ValueError):  # it is gone; OSError, ValueError: more than one message holds
            self._let_go()
            return 0
        self._forget_next()
        self.apart.remove(pid)
        return pid

    def make_next(self) -> None:
        """Fork the child for the next mail, if there is none, and let it go if none comes; then, the mail forks."""
        if self._next or self._loop is None or self._stale:
            return
        from msmtp.sender.stretch import stretch

        try:
            ours, theirs = pair()
        except OSError:
            return
        try:
            pid = fork(lambda: ahead.await_run(theirs, self._base, stretch))
        except OSError:
            os.close(ours)
            return
        finally:
            os.close(theirs)
        channel = Channel(ours)
        channel.set_blocking(False)
        self.apart.add(pid)
        self._next = (pid, channel)
        self._loop.watch(ours, lambda _events: self._hear(channel))
        self._timer = self._loop.after(PATIENCE, self._let_go)

    def _hear(self, channel: Channel) -> None:
        """Hear what a child says before it is told to run.

        The channel of one that was told stays open until the child has closed its end: with something on it that nobody
        has read, it would break if it were closed here, and RUN would not arrive.
        """
        try:
            trust.know(os.fsdecode(channel.receive((requests.TRUSTS,)).octets("path")), ahead.LARGEST)
        except BlockingIOError:
            return
        except ChannelFailure:
            if self._next and self._next[1] is channel:
                self._let_go()
            else:
                self._hang_up(channel)

    def _let_go(self) -> None:
        """End the child that waits."""
        assert self._next is not None
        pid, channel = self._next
        self._forget_next()
        self._hang_up(channel)
        os.kill(pid, _signal.SIGKILL)  # it was not waited for, so its number is nobody else's
        self._bury()

    def _bury(self) -> None:
        """Wait for children that were let go, without waiting."""
        assert self._loop is not None
        waits = self._next[0] if self._next else 0
        self.apart -= {pid for pid in self.apart if pid != waits and os.waitpid(pid, os.WNOHANG)[0]}
        if self._burial:
            self._burial.cancel()
        self._burial = self._loop.after(_SOON, self._bury) if self.apart - {waits} else None

    def _forget_next(self) -> None:
        assert self._timer is not None
        self._timer.cancel()
        self._next = None

    def _hang_up(self, channel: Channel) -> None:
        assert self._loop is not None
        self._loop.forget(channel.fileno())
        channel.close()


def loaded_files() -> list[str]:
    """Files of which something stays in memory: msmtp itself, the settings of OpenSSL, the time zone."""
    from msmtp.net import _openssl
    from msmtp.sender import main

    folder = _openssl.default_trust()[0].rpartition("/")[0]
    settings = os.environ.get("OPENSSL_CONF") or f"{folder}/openssl.cnf"
    return [str(main.__file__), settings, "/etc/localtime"]


def _key(path: str) -> tuple[int, ...]:
    """What changes with a file; nothing if it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def usable() -> bool:
    """Whether a fork can be what a start would be: Python has to speak UTF-8, which msmtp starts again to do."""
    return sys.getfilesystemencoding() == "utf-8"


PATIENCE = 60.0  # seconds that a child waits for a mail: its memory is for who sends one after the other
_SOON = 0.1  # seconds until a child is looked for again that was let go

MANY = 8  # certificates: enough to meet both kinds of keys


def load() -> None:
    """Import what sends import, and have the libraries do what they do once."""
    from msmtp.sender.stretch import stretch

    for name in MODULES:
        import_module(name)
    with suppress(Exception):  # whatever is wrong will be said of the mail that meets it
        stretch()
    prime_tls()
    open_streams()
    gc.collect()
    gc.freeze()


def prime_tls() -> None:
    """Say hello to nobody and read certificates, so that OpenSSL has looked up its algorithms and its settings."""
    from msmtp.net import _openssl

    context = _openssl.new_context()
    session = _openssl.new_session(context, _openssl.MemoryBIO(), _openssl.MemoryBIO(), "localhost")
    with suppress(_openssl.SSLWantReadError):
        session.do_handshake()
    with suppress(OSError, ValueError, Failure):  # no list of authorities: said by the mail that needs one
        blocks = trust.read_file(trust.system_paths()[0]).split(trust.BEGIN_CERTIFICATE, MANY + 1)
        text = b"".join([trust.BEGIN_CERTIFICATE + block for block in blocks[1 : MANY + 1]])
        if text:
            context.load_verify_locations(None, None, text.decode("ascii"))  # type: ignore[arg-type]  # PEM is a str
    _openssl.have_ready(2)  # a child that is forked ahead needs one to stretch with


def fork(told: Callable[[], Run]) -> int:
    """Fork a child that becomes msmtp once it is told how; its process.  Raises OSError."""
    pid = forks.fork()
    if not pid:
        be_msmtp(told)
    return pid


def be_msmtp(told: Callable[[], Run]) -> NoReturn:
    """Become msmtp, in the child, once it is told how."""
    status = EX_TEMPFAIL  # as long as it is not msmtp
    try:
        os.setsid()
        gc.disable()  # a run makes no cycles worth a search, which would copy all that it looks at
        reset_signals()
        argv, environment, mail, output = told()
        titles.set_title("msmtp")
        for number, descriptor in ((0, mail), (1, output), (2, output)):
            os.dup2(descriptor, number)
        keep_only(())
        set_environment(environment)
        sys.argv[:] = [os.fsdecode(word) for word in argv]
        from msmtp.sender.main import run

        status = 1  # what Python gives for an exception that nobody takes
        run()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException as error:  # noqa: BLE001 - as Python would at its end
        if status == EX_TEMPFAIL:
            os.write(2, f"msmtp: it could not be started: {type(error).__name__}\n".encode())
        else:
            sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)  # noqa: SLF001 - public, whatever its name says


def reset_signals() -> None:
    """Have signals do what they do when Python starts."""
    _signal.set_wakeup_fd(-1)
    for number in DEFAULT_SIGNALS:
        _signal.signal(number, _signal.SIG_DFL)
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_IGN)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    forks.heed()


def set_environment(environment: dict[bytes, bytes]) -> None:
    """Have this environment and no other, for Python, for C, and for programs that are started.

    Most of it is there already: the broker's own is what all commands get, see :class:`Warm`.
    """
    for name in os.environb.keys() - environment.keys():
        del os.environb[name]
    for name, value in environment.items():
        if os.environb.get(name) != value:
            os.environb[name] = value
    if b"TZ" not in environment:
        os.unsetenv(b"TZ")  # the sandbox sets it beside os.environ
    posix.environ.clear()
    posix.environ.update(environment)


def open_streams() -> None:
    """Have Python's standard streams be as it makes them when it starts with a file and pipes; the child finds them so.

    They are made over such a file and such a pipe, as each looks once at what it stands on.  How octets are treated
    that are no text follows the locale, which is the same for both.
    """
    errors = sys.__stdout__.errors if sys.__stdout__ else None
    reads, writes = os.pipe()
    file = os.memfd_create("msmtpd-stdin", os.MFD_CLOEXEC)
    own = [os.dup(number) for number in (0, 1, 2)]
    for number, stands_in in enumerate((file, writes, writes)):
        os.dup2(stands_in, number)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "rb", closefd=False)), "utf-8", errors)
    sys.stdout = _writer(1, errors, line_buffering=False)
    sys.stderr = _writer(2, "backslashreplace", line_buffering=True)
    for number, descriptor in enumerate(own):
        os.dup2(descriptor, number)
    for descriptor in (reads, writes, file, *own):
        os.close(descriptor)


def _writer(number: int, errors: str | None, *, line_buffering: bool) -> io.TextIOWrapper:
    raw = io.FileIO(number, "wb", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", errors, line_buffering=line_buffering)
