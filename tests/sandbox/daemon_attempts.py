"""The same as attempts.py for the daemon's roles: enters one and tries things from inside, one child process an attempt.

The sender's forbidden things are tried here too, as far as a role does not need them.  The role is prepared in the
parent, and entered in each child, as a supervisor does it.
"""

from __future__ import annotations

import _thread
import array
import contextlib
import ctypes
import fcntl
import gc
import hashlib
import hmac
import io
import mmap
import os
import resource
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import attempts as base
from attempts import FOLDER, HELD, KILLED, LIBC, SETTINGS, call

from msmtp import sandbox
from msmtp.sasl import server as sasl
from msmtp.smtp import server as smtp
from msmtp.smtp.replies import Reply

ROLE = SETTINGS["role"]
WORKER, AUTH, TLS = "worker", "auth", "tls"
LONELY = (WORKER, AUTH, TLS)
SUPERVISOR = ("supervisor", "supervisor-running")
DELIVERY = ("delivery", "delivery-offline")
TLS_PARENT = "tls-parent"
NAMES = "names"
EVERY = (*LONELY, TLS_PARENT, NAMES, *SUPERVISOR, *DELIVERY)

LIMITS = {
    WORKER: {"descriptors": 64, "file": 1 << 20},
    AUTH: {"descriptors": 64},
    TLS: {"descriptors": 64, "seconds": 60},
    NAMES: {"descriptors": 64},
    TLS_PARENT: {"descriptors": 64},
    "supervisor": {"descriptors": 200},
    "delivery": {"descriptors": 200, "processes": 2000},
    "delivery-offline": {"descriptors": 200, "processes": 2000},
    "delivery-setgid": {"descriptors": 200, "processes": 2000},
}
SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/etc",
    "/dev/null",
    sys.base_prefix,
    sys.prefix,
    SETTINGS["source"],
)
PATHS = {
    "supervisor": {"readable": [f"{FOLDER}/open"], "writable": [f"{FOLDER}/writable"]},
    "supervisor-running": {"writable": [f"{FOLDER}/writable"], "executable": SYSTEM},
    "delivery": {"executable": SYSTEM, "writable": [f"{FOLDER}/writable", "/dev/null"], "readable": ["/proc"]},
}
PATHS["delivery-offline"] = PATHS["delivery"]

REFUSED = ("EACCES", "EPERM", "ENOSYS", "ENOTTY", KILLED)
SHELL_KILLED = f"done {int(signal.SIGSYS)}"  # what system(3) says of a shell that never was

NEEDED_HERE = {
    WORKER: ("take a descriptor",),
    AUTH: ("take a descriptor", "pass a descriptor on", "send a datagram elsewhere by sendmsg"),
    TLS: (),
    # its channels; a child and a pipe for each question; the resolver's sockets, and its looks at its files
    NAMES: (
        *("take a descriptor", "pass a descriptor on", "fork", "clone", "start a child process"),
        *("a new descriptor: pipe", "a new descriptor: dup", "lift the log's O_APPEND"),
        *("a socket of AF_UNIX", "a socket of AF_INET", "a socket of AF_INET6", "a socket of AF_NETLINK"),
        *("send a datagram elsewhere", "send a datagram elsewhere by sendmsg", "look at a file", "look at a link"),
    ),
    # of its own: children, and what they need on their way
    TLS_PARENT: (
        *("take a descriptor", "fork", "vfork", "clone", "a filter of its own", "Landlock once more"),
        *("the call setuid", "the call setgid", "the call setresuid", "the call setresgid", "the call setgroups"),
        *("the call capset", "the call unshare", "set a limit of the parent", "raise a limit of its own"),
    ),
    # of its own: channels, files that are only open, children, timers; what its children need on their way
    "supervisor": (
        *("take a descriptor", "pass a descriptor on", "a pair of sockets", "accept from a held listener"),
        *("a new descriptor: pipe", "a new descriptor: dup", "a new descriptor: dup2", "a new descriptor: epoll"),
        *("a new descriptor: memfd", "a new descriptor: pidfd", "make a program in memory"),
        *("fork", "vfork", "clone", "start a child process", "start a shell"),
        *(
            "signals: ask for the parent",
            "signals: end the parent",
            "signals: stop the parent",
            "signals: to the group",
        ),
        *("signals: to a thread of the parent", "signals: by tkill", "signals: by a pidfd"),
        *("the call setuid", "the call setgid", "the call setresuid", "the call setresgid", "the call setgroups"),
        *("the call capset", "the call unshare", "a filter of its own", "Landlock once more"),
        *("lift the log's O_APPEND", "empty the log", "map a file that is open", "change a socket's options"),
        *("send a datagram elsewhere by sendmsg", "set a limit of the parent", "raise a limit of its own"),
        *("read an open folder", "list the readable folder", "open a file to read", "look at a file", "look at a link"),
        *("connect by fast open", "change the folder"),
    ),
    "delivery": None,  # what it may not is listed below; the rest belongs to the command
}
NEEDED_HERE["supervisor-running"] = (
    *NEEDED_HERE["supervisor"],
    *("run a program", "run an open program", "import a module", "map a library"),
)
NEEDED_HERE["delivery-offline"] = NEEDED_HERE["delivery"]

OF_DELIVERY = (
    *("open a file outside of the readable folder", "leave the readable folder by ..", "open the memory of the parent"),
    *("leave the readable folder by a symbolic link", "leave the readable folder by an open folder"),
    *("make a file in the readable folder", "open an unnamed file", "open by creat", "open by a file handle"),
    *("open a file elsewhere to write", "open a file elsewhere to empty it", "change the root"),
    *("type into the terminal", "clone3", "take a descriptor of the parent", "trace the parent"),
    *("process_vm_readv", "process_vm_writev", "advise the parent's memory", "compare with the parent"),
    *("signals: end the parent", "signals: ask for the parent", "signals: by tkill", "signals: by a pidfd"),
    *("another personality", "the call unshare", "the call setns", "the call mount", "the call umount2"),
    *("the call pivot_root", "the call open_tree", "the call fsopen", "the call io_uring_setup", "the call bpf"),
    *("the call io_uring_register", "the call perf_event_open", "the call userfaultfd", "the call init_module"),
    *(
        "the call finit_module",
        "the call kexec_load",
        "the call reboot",
        "the call settimeofday",
        "a ring set up before",
    ),
    *("the call sethostname", "the call fanotify_init", "the call swapon", "the call acct", "the call memfd_secret"),
    *("a 32-bit call: execve", "a 32-bit call: socketcall", "an x32 call: open", "an x32 call: execve"),
)

FORBIDDEN: dict = {}
NEEDED: dict = {}

for _name, (_attempt, _expected, _roles) in base.FORBIDDEN.items():
    if "sender" in _roles:
        _mine = [
            role
            for role in EVERY
            if (_name in OF_DELIVERY if NEEDED_HERE[role] is None else _name not in NEEDED_HERE[role])
        ]
        FORBIDDEN[_name] = (_attempt, (*_expected, *REFUSED, *[SHELL_KILLED] * (_name == "start a shell")), _mine)


def forbidden(name, *expected, roles=EVERY):
    """An attempt that has to end in one of these ways, in these roles."""

    def keep(attempt):
        FORBIDDEN[f"{name} ({roles[0]})"] = (attempt, expected, roles)
        return attempt

    return keep


def needed(name, roles=EVERY, expected="done"):
    """An attempt that has to succeed."""

    def keep(attempt):
        NEEDED[name] = (attempt, (expected,), roles)
        return attempt

    return keep


class Session:
    """What a worker or a TLS process holds: a TCP connection, a channel, a pipe to the log."""

    def __init__(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.client = socket.create_connection(listener.getsockname())
        self.connection = listener.accept()[0]
        self.channel, self.broker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.log_reads, self.log = os.pipe()
        listener.close()


def memory_file(size=1 << 16):
    """As the delivery broker makes one: it cannot grow."""
    file = os.memfd_create("mail", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(file, size)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
    return file


# -- forbidden: exactly how


for _name, _attempt in {
    "fork": os.fork,
    "make a program in memory": lambda: os.memfd_create("x"),
    "make a pair of sockets": socket.socketpair,
    "make a pipe": os.pipe,
    "duplicate a descriptor": lambda: call("dup", 0),
    "wait by select": lambda: select.select([], [], [], 0),
    "wait by epoll": select.epoll,
    "listen": lambda: socket.socket.listen(HELD.connection),
    "accept": lambda: socket.socket.accept(HELD.connection),
    "set an option": lambda: HELD.connection.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 1),
    "remove a file": lambda: os.unlink(f"{FOLDER}/open/file"),
    "cut the log": lambda: os.ftruncate(HELD.log, 0),
    "write at a place": lambda: os.pwrite(HELD.log, b"x", 0),
    "map a file": lambda: call("mmap", 0, 4096, 1, 1, HELD.log, 0),
    "map executable memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    "a call that does not exist yet": lambda: LIBC.syscall(ctypes.c_long(999)),
    "start a session": os.setsid,
    "wait for a child": lambda: os.waitpid(-1, os.WNOHANG),
    "a filter of its own": lambda: call("seccomp", 1, 0, 0),
    "clone": lambda: call("clone", signal.SIGCHLD, 0, 0, 0, 0),
    "splice": lambda: os.splice(0, HELD.log, 1),
}.items():

    @forbidden(_name, KILLED, roles=LONELY)
    def _(attempt=_attempt):
        yield
        attempt()


for _name, (_attempt, _errno) in {
    "look for a file": (lambda: os.stat("/etc/passwd"), "EACCES"),
    "open a file": (lambda: os.open("/etc/passwd", os.O_RDONLY), "EACCES"),
    "move in a file": (lambda: os.lseek(HELD.log, 0, os.SEEK_SET), "EACCES"),
    "lift a flag": (lambda: fcntl.fcntl(HELD.log, fcntl.F_SETFL, 0), "EACCES"),
    "a socket": (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "EPERM"),
    "find a host": (lambda: socket.getaddrinfo("localhost", 25), "gaierror"),
    "an encoding that is not loaded": (lambda: b"x".decode("utf-16-be"), "LookupError"),
    "clone3": (lambda: call("clone3", struct.pack("8Q", 0, 0, 0, 0, 17, 0, 0, 0), 64), "ENOSYS"),
}.items():

    @forbidden(f"softly: {_name}", _errno, roles=LONELY)
    def _(attempt=_attempt):
        yield
        attempt()


for _roles, _expected in (((WORKER, TLS), "EPERM"), ((TLS,), KILLED)):

    @forbidden("pass a descriptor over a channel" if WORKER in _roles else "take a descriptor", _expected, roles=_roles)
    def _(passing=WORKER in _roles):
        session = Session()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))]
        session.broker.sendmsg([b"x"], rights)
        yield
        if passing:
            session.channel.sendmsg([b"x"], rights)
        else:
            session.channel.recvmsg(10, 100)


for _name, (_attempt, *_expected) in {
    "move in the mail": (lambda file: os.lseek(file, 0, os.SEEK_SET), "EACCES"),
    "map the mail": (lambda file: call("mmap", 0, 4096, 3, 1, file, 0), KILLED),
    "cut the mail": (lambda file: os.ftruncate(file, 1), KILLED),
    "seal the mail": (lambda file: fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL), "EACCES"),
    "write beyond the mail's end": (lambda file: [os.write(file, b"x" * 60000) for _ in range(3)], "EPERM"),
    "open the mail again": (lambda file: os.open(f"/proc/self/fd/{file}", os.O_RDONLY), "EACCES"),
    "run the mail": (lambda file: os.execve(file, ["x"], {}), KILLED),
    "run the mail by execveat": (lambda file: call("execveat", file, b"\0", 0, 0, 0x1000), KILLED),
}.items():

    @forbidden(_name, *_expected, roles=(WORKER,))
    def _(attempt=_attempt):
        session = Session()
        socket.send_fds(session.broker, [b"file"], [memory_file()])
        yield
        attempt(socket.recv_fds(session.channel, 10, 1)[1][0])


@forbidden("fill the disk", "EFBIG", roles=(WORKER,))
def _():
    file = os.open(f"{FOLDER}/writable", os.O_TMPFILE | os.O_RDWR)
    yield
    while True:
        os.write(file, b"x" * 100_000)


@forbidden("take more descriptors than its limit", "done 63", roles=(WORKER, AUTH))
def _():
    session = Session()
    socket.send_fds(session.broker, [b"x"], [HELD.log] * 100)
    yield
    _, taken, flags, _ = socket.recv_fds(session.channel, 10, 100)
    assert flags & socket.MSG_CTRUNC
    return max(taken)


@forbidden("more memory than its limit", "MemoryError", roles=LONELY)
def _():
    yield
    bytearray(300 << 20)


@forbidden("a limit may not be raised", "EACCES", roles=LONELY)
def _():
    yield
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))


for _name, _attempt in {
    "become somebody": lambda: os.setresuid(1, 1, 1),
    "become root": lambda: os.setresuid(0, 0, 0) if os.getuid() else os.setgroups([5]),
    "become another group": lambda: os.setresgid(1, 1, 1),
    "have a capability": lambda: sandbox.Library().call(
        "capset", sandbox.words(4, 0x20080522, 0), sandbox.words(4, 2, 2, 0, 0, 0, 0)
    ),
}.items():

    @forbidden(f"rights: {_name}", "EPERM", roles=(*SUPERVISOR, *DELIVERY))
    def _(attempt=_attempt):
        yield
        attempt()


@forbidden("a socket that is not a channel", "ENOSYS", roles=SUPERVISOR)
def _():
    yield
    socket.socketpair(socket.AF_TIPC)


@forbidden("a namespace of mounts or processes", "ENOSYS", roles=SUPERVISOR)
def _():
    yield
    call("unshare", 0x20000)


@forbidden("a thread", "RuntimeError", roles=SUPERVISOR)
def _():
    yield
    _thread.start_new_thread(lambda: None, ())


@forbidden("become dumpable again", "ENOSYS", roles=SUPERVISOR)
def _():
    yield
    call("prctl", 4, 1, 0, 0, 0)


@forbidden("run a program", KILLED, roles=("supervisor",))
def _():
    yield
    os.execv("/bin/true", ["true"])


@forbidden("run a program elsewhere", "EACCES", roles=("supervisor-running",))
def _():
    with open("/bin/true", "rb") as file, open(f"{FOLDER}/writable/true.{os.getpid()}", "wb") as copy:
        copy.write(file.read())
    os.chmod(copy.name, 0o755)
    yield
    os.execv(copy.name, ["true"])


@forbidden("memory to write and execute", "ENOSYS", roles=("supervisor-running",))
def _():
    yield
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


@forbidden("a program where none may be run", "EACCES", roles=DELIVERY)
def _():
    with open("/bin/true", "rb") as file, open(f"{FOLDER}/writable/run.{os.getpid()}", "wb") as copy:
        copy.write(file.read())
    os.chmod(copy.name, 0o755)
    yield
    os.execv(copy.name, ["true"])


@forbidden("a user namespace by clone", "EPERM", roles=DELIVERY)
def _():
    yield
    call("clone", 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)


@forbidden("the command traces", "done 1", roles=DELIVERY)
def _():
    yield
    code = "import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) == -1)"
    return subprocess.run([sys.executable, "-I", "-S", "-c", code], check=False).returncode


@forbidden("the command gains rights", "done 1", roles=DELIVERY)
def _():
    yield
    code = "import ctypes, sys; sys.exit(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))"
    return subprocess.run([sys.executable, "-I", "-S", "-c", code], check=False).returncode


for _family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK, socket.AF_PACKET):

    @forbidden(f"a socket of {_family.name}", "EPERM", roles=("delivery-offline",))
    def _(family=_family):
        yield
        socket.socket(family, socket.SOCK_RAW)


@forbidden("the command opens a connection", "done 7", roles=("delivery-offline",))
def _():
    yield
    code = "import _socket, sys\ntry: _socket.socket()\nexcept PermissionError: sys.exit(7)"
    return subprocess.run([sys.executable, "-I", "-S", "-c", code], check=False).returncode


for _name, (_attempt, _expected) in {
    "connect to a mail server": (lambda: socket.create_connection(("127.0.0.1", 25), 1), ("EACCES",)),
    "listen for connections": (lambda: socket.create_server(("127.0.0.1", 0)), ("EACCES",)),
    "connect by fast open": (
        lambda: socket.socket().sendto(b"x", socket.MSG_FASTOPEN, ("127.0.0.1", 25)),
        ("EPERM",),
    ),
    "read the users": (lambda: os.open("/etc/passwd", os.O_RDONLY), ("EACCES",)),
    "write the hosts": (lambda: os.open("/etc/hosts", os.O_WRONLY), ("ENOSYS", "EACCES")),
    "fork into namespaces": (lambda: call("clone", signal.SIGCHLD | 1 << 28, 0, 0, 0, 0), ("ENOSYS",)),
}.items():

    @forbidden(_name, *_expected, roles=(NAMES,))
    def _(attempt=_attempt):
        yield
        attempt()


# -- needed: of a worker, an authenticator, a TLS process


@needed("wait, draw chance, tell the time", roles=EVERY)
def _():
    before = time.strftime("%H %z")
    yield
    time.sleep(0.001)
    select.poll().poll(1)
    assert len(os.urandom(16)) == 16
    assert time.monotonic() > 0
    assert time.strftime("%H %z") in {before, f"{(int(before[:2]) + 1) % 24:02} {before[3:]}"}


@needed("use 64 MiB and give them back", roles=EVERY)
def _():
    yield
    block = bytearray(64 << 20)
    objects = [[number] for number in range(50_000)]
    del block, objects
    gc.collect()


@needed("run out of memory and go on", roles=LONELY)
def _():
    yield
    for _ in range(3):
        with contextlib.suppress(MemoryError):
            bytearray(1 << 30)

    def deeper():
        deeper()

    try:
        deeper()
    except RecursionError:
        pass


@needed("print an error with its traceback", roles=EVERY)
def _():
    def fail():
        try:
            raise ValueError("x")  # noqa: TRY301
        except ValueError:
            traceback.print_exc(file=io.StringIO())

    fail()
    yield
    fail()


@needed("end by an exception", roles=EVERY, expected="ValueError")
def _():
    yield
    raise ValueError("x")


@needed("exit", roles=EVERY, expected="SystemExit")
def _():
    yield
    sys.exit(1)


@needed("abort without a core", roles=EVERY, expected="killed by SIGABRT")
def _():
    yield
    os.abort()


@needed("be told to end", roles=EVERY)
def _():
    seen = []
    signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
    yield
    signal.raise_signal(signal.SIGTERM)
    assert seen == [1]


@needed("speak over the connection it was given", roles=(WORKER, TLS))
def _():
    session = Session()
    yield
    connection = session.connection
    connection.send(b"220 here\r\n", socket.MSG_NOSIGNAL)
    session.client.send(b"EHLO x\r\n")
    poll = select.poll()
    poll.register(connection, select.POLLIN | select.POLLRDHUP)
    assert poll.poll(1000)
    assert connection.recv(100) == b"EHLO x\r\n"
    assert os.write(connection.fileno(), b"250\r\n") == 5
    connection.settimeout(0.01)
    with contextlib.suppress(TimeoutError):
        connection.recv(1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert connection.getpeername()[0] == "127.0.0.1"
    again = socket.socket(fileno=connection.detach())
    assert again.family == socket.AF_INET
    again.shutdown(socket.SHUT_RDWR)
    again.close()
    os.write(session.log, b"line\n")


@needed("take the channel and the file for a mail", roles=(WORKER,))
def _():
    session = Session()
    delivery, broker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    unnamed = os.open(f"{FOLDER}/writable", os.O_TMPFILE | os.O_RDWR)
    socket.send_fds(session.broker, [b"OK"], [delivery.fileno()])
    socket.send_fds(broker, [b"FILES"], [memory_file(), unnamed])
    yield
    session.channel.send(b"VERIFY")
    assert session.broker.recv(100) == b"VERIFY"
    word, (descriptor,), flags, _ = socket.recv_fds(session.channel, 100, 1)
    assert (word, flags & socket.MSG_CTRUNC) == (b"OK", 0)
    channel = socket.socket(fileno=descriptor)
    word, (memory, disk), flags, _ = socket.recv_fds(channel, 100, 2)
    assert os.write(memory, b"x" * 4096) == 4096
    assert os.writev(disk, [b"y" * 65536, b"z"]) == 65537
    channel.send(b"COMMIT 4096")
    assert broker.recv(100) == b"COMMIT 4096"
    channel.close()


@needed("see the page of delays, which it cannot change", roles=(WORKER,))
def _():
    page = os.memfd_create("delays", os.MFD_ALLOW_SEALING)
    os.ftruncate(page, 4096)
    writer = mmap.mmap(page, 4096)
    fcntl.fcntl(page, fcntl.F_ADD_SEALS, 0x10)  # F_SEAL_FUTURE_WRITE
    reader = mmap.mmap(page, 4096, prot=mmap.PROT_READ)
    yield
    writer[0:4] = b"late"
    assert reader[0:4] == b"late"
    try:
        os.write(page, b"x")
    except PermissionError:
        pass
    else:
        raise AssertionError("written")


@needed("hold a session of SMTP with authentication", roles=(WORKER,))
def _():
    verifier = sasl.Verifier.of(b"secret", b"salt" * 4, 4096)
    talk(Session(), verifier)
    session = Session()
    yield
    talk(session, verifier)


def talk(session, verifier):
    """A mail, a wrong command and a wrong password, line by line over the session's connection."""
    server = smtp.ServerConnection(b"here", offers=(*smtp.DEFAULT_OFFERS, b"AUTH PLAIN SCRAM-SHA-256"))
    session.connection.send(server.greet())
    content = b""
    for line in (
        b"EHLO x",
        b"NONSENSE",
        b"AUTH PLAIN AGpvZQB3cm9uZw==",
        b"AUTH PLAIN",
        b"AGpvZQBzZWNyZXQ=",
        "MAIL FROM:<jö@x.example> BODY=8BITMIME SMTPUTF8 SIZE=30".encode(),
        b"RCPT TO:<y@[127.0.0.1]>",
        b"RCPT TO:<>\r\nRCPT TO:<z@x.example>\r\nDATA",
        b"Subject: x\r\n\r\n..\r\nline\r\n.",
        b"QUIT",
    ):
        session.client.send(line + b"\r\n")
        for event in server.receive(session.connection.recv(1000)):
            content += getattr(event, "block", b"")
            reply = event.reply
            command = getattr(event, "command", None)
            if command is not None and command.verb == b"AUTH":
                exchange = sasl.create(b"PLAIN", lambda user: verifier, secret=b"s" * 16)
                challenge = exchange.start(command.initial)
                reply = answer(exchange, challenge)
            elif type(command).__name__ == "AuthResponse":
                reply = answer(exchange, exchange.next(command.response))
            if reply is not None:
                session.connection.send(server.reply(reply))
    session.connection.shutdown(socket.SHUT_WR)
    said = b""
    while block := session.client.recv(4096):
        said += block
    codes = [line[:3] for line in said.splitlines() if line[3:4] == b" "]
    assert codes == [
        b"220",
        b"250",
        b"500",
        b"535",
        b"334",
        b"235",
        *[b"250"] * 2,
        b"501",
        b"250",
        b"354",
        b"250",
        b"221",
    ]
    assert b"Subject: x" in content


def answer(exchange, challenge):
    """The reply to a step of authentication."""
    if challenge is not None:
        return Reply(334, (challenge,))
    return Reply(235, (b"ok",)) if exchange.outcome == sasl.ACCEPTED else Reply(535, (b"no",))


# -- needed: of the authenticator


@needed("compare a password", roles=(AUTH,))
def _():
    stored = hashlib.scrypt(b"secret", salt=b"salt", n=4096, r=8, p=1)
    verifier = sasl.Verifier.of(b"secret", b"salt" * 4, 4096)
    yield
    assert hmac.compare_digest(stored, hashlib.scrypt(b"secret", salt=b"salt", n=4096, r=8, p=1))
    assert not hmac.compare_digest(stored, hashlib.scrypt(b"wrong", salt=b"salt", n=4096, r=8, p=1))
    assert hmac.digest(b"k", b"m", "sha256")
    assert verifier.matches(b"secret")
    assert not verifier.matches(b"wrong")


@needed("wait by a timer", roles=(AUTH,))
def _():
    seen = []
    signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    yield
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    poll = select.poll()
    poll.register(HELD.connection, select.POLLIN)
    poll.poll(100)
    assert seen == [1]


@needed("hand the delivery channel over, take a channel", roles=(AUTH,))
def _():
    session = Session()
    delivery = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)[0]
    supervisor, mine = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    socket.send_fds(supervisor, [b"session 1"], [session.channel.fileno()])
    yield
    _, (descriptor,), _, _ = socket.recv_fds(mine, 100, 1)
    channel = socket.socket(fileno=descriptor)
    assert channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    socket.send_fds(channel, [b"OK"], [delivery.fileno()])
    channel.sendmsg([b"LATER"])


# -- needed: of the TLS process


def serving(version):
    """A context with certificate and key loaded, and a client in a process of its own."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(f"{FOLDER}/server.pem")
    server.minimum_version = server.maximum_version = version
    session = Session()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(f"{FOLDER}/open/authority.pem")
    if not os.fork():
        try:
            session.connection.close()
            with client.wrap_socket(session.client, server_hostname="localhost") as talking:
                talking.send(b"EHLO x\r\n")
                assert talking.recv(100) == b"250 here\r\n"
                talking.send(b"x" * 300_000)
                talking.unwrap()
        finally:
            os._exit(0)
    session.client.close()
    return server, session


for _version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):

    @needed(f"shake hands, {_version.name}, over the connection", roles=(TLS,))
    def _(version=_version):
        server, session = serving(version)
        yield
        talking = server.wrap_socket(session.connection, server_side=True, suppress_ragged_eofs=False)
        assert talking.recv(100) == b"EHLO x\r\n"
        talking.send(b"250 here\r\n")
        left = 300_000
        while left:
            block = talking.recv(65536)
            left -= len(block)
            session.channel.send(block)
            session.broker.recv(65536)
        assert talking.version()
        assert talking.cipher()
        talking.unwrap()

    @needed(f"shake hands, {_version.name}, in memory", roles=(TLS,))
    def _(version=_version):
        server, session = serving(version)
        coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        yield
        talking = server.wrap_bio(coming, going, server_side=True)

        def carried(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    pass
                finally:
                    if going.pending:
                        session.connection.send(going.read())
                coming.write(session.connection.recv(65536))

        carried(talking.do_handshake)
        assert carried(lambda: talking.read(100)) == b"EHLO x\r\n"
        carried(lambda: talking.write(b"250 here\r\n"))


# -- needed: of the delivery broker


@needed("make the file for a mail, seal it, open it again", roles=(*DELIVERY, "delivery-setgid"))
def _():
    yield
    file = memory_file()
    os.write(file, b"Subject: x\n")
    os.ftruncate(file, 11)
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
    again = os.open(f"/proc/self/fd/{file}", os.O_RDONLY)
    os.lseek(file, 5, os.SEEK_SET)
    reads, writes = os.pipe()
    assert os.splice(again, writes, 11) == 11
    assert os.read(reads, 100) == b"Subject: x\n"


@needed("spill a mail into an unnamed file", roles=(*DELIVERY, "delivery-setgid"))
def _():
    yield
    file = os.open(f"{FOLDER}/writable", os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(file, b"x" * 100_000)
    again = os.open(f"/proc/self/fd/{file}", os.O_RDONLY)
    assert len(os.read(again, 200_000)) == 100_000


@needed("deliver to folders: make, move, link and remove them", roles=(*DELIVERY, "delivery-setgid"))
def _():
    yield
    folder = f"{FOLDER}/writable/mailbox.{os.getpid()}"
    for path in (folder, f"{folder}/tmp", f"{folder}/new"):
        os.mkdir(path)
    with open(f"{folder}/tmp/mail", "w") as file:
        file.write("Subject: x\n")
    os.link(f"{folder}/tmp/mail", f"{folder}/new/linked")
    os.rename(f"{folder}/tmp/mail", f"{folder}/new/mail")
    os.symlink("new", f"{folder}/cur")
    os.mkfifo(f"{folder}/fifo")
    for name in ("new/linked", "new/mail", "cur", "fifo"):
        os.unlink(f"{folder}/{name}")
    for path in (f"{folder}/new", f"{folder}/tmp", folder):
        os.rmdir(path)


@needed("run a command and learn how it ended", roles=(*DELIVERY, "delivery-setgid"))
def _():
    yield
    take, feed = os.pipe()
    hear, say = os.pipe()
    child = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", 'cat; echo "$0 $PWD"; exit 75', "name"],
        {"PATH": "/usr/bin:/bin"},
        file_actions=[(os.POSIX_SPAWN_DUP2, take, 0), (os.POSIX_SPAWN_DUP2, say, 1), (os.POSIX_SPAWN_CLOSE, feed)],
        setsid=True,
    )
    os.close(take)
    os.close(say)
    os.write(feed, b"mail\n")
    os.close(feed)
    said = b""
    while block := os.read(hear, 100):
        said += block
    assert said.startswith(b"mail\nname /"), said
    descriptor = os.pidfd_open(child)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    assert poll.poll(5000)
    assert os.waitid(os.P_PIDFD, descriptor, os.WEXITED).si_status == 75


@needed("run a command by fork and exec, and end its group", roles=(*DELIVERY, "delivery-setgid"))
def _():
    yield
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.setsid()
        os.dup2(writes, 1)
        os.execv("/bin/sh", ["sh", "-c", "(echo started; sleep 100) & wait"])
    os.close(writes)
    assert os.read(reads, 100) == b"started\n"
    os.killpg(child, signal.SIGTERM)
    assert os.waitpid(child, 0)[1] == signal.SIGTERM
    assert os.read(reads, 1) == b""  # the last of the group has ended


@needed("run a command that uses the network", roles=("delivery", "delivery-setgid"))
def _():
    listener = socket.create_server(("127.0.0.1", 0))
    yield
    code = f"import _socket; s = _socket.socket(); s.connect({listener.getsockname()}); s.send(b'x')"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)
    assert listener.accept()[0].recv(1) == b"x"


@needed("run a command that enters a sandbox of its own", roles=DELIVERY)
def _():
    yield
    code = f"import sys; sys.path.insert(0, {SETTINGS['source']!r}); from msmtp import sandbox; print(sandbox.enter('sender', policy='require').complete)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, capture_output=True)
    assert done.stdout == b"True\n"


@needed("leave a command's rights alone", roles=("delivery-setgid",))
def _():
    yield
    code = "import ctypes, sys; sys.exit(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))"  # no new privileges
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


# -- needed: of the supervisor


@needed("accept, fork, hand on, wait", roles=SUPERVISOR)
def _():
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    yield
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    assert poll.poll(1000)
    connection = listener.accept()[0]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if not child:
        _, (taken,), _, _ = socket.recv_fds(theirs, 10, 1)
        os.write(taken, b"220\r\n")
        time.sleep(10)
        os._exit(0)
    socket.send_fds(ours, [b"x"], [connection.fileno()])
    assert client.recv(10) == b"220\r\n"
    descriptor = os.pidfd_open(child)
    signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    assert os.waitid(os.P_PIDFD, descriptor, os.WEXITED).si_status == signal.SIGTERM
    os.kill(os.getpid(), 0)
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        pass


@needed("ask a name server in a child that an alarm ends", roles=(NAMES,))
def _():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    yield
    for silent in (False, True):
        reads, writes = os.pipe()
        child = os.fork()
        if not child:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.connect(server.getsockname())
            one.send(b"?")
            os.write(writes, one.recv(10))
            os._exit(0)
        os.close(writes)
        _, asker = server.recvfrom(10)
        if not silent:
            server.sendto(b"!", asker)
        assert os.read(reads, 10) == b"!" * (not silent)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGALRM * silent
    with open("/etc/hosts") as file:
        file.read()
    two = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    two.settimeout(1)
    try:
        two.connect(("127.0.0.1", 53))
    except ConnectionRefusedError:
        pass


@needed("fork a child that ends by a signal", roles=SUPERVISOR)
def _():
    yield
    child = os.fork()
    if not child:
        time.sleep(10)
        os._exit(0)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@needed("tell the service manager, the log, the page of delays", roles=SUPERVISOR)
def _():
    yield
    HELD.syslog.send(b"READY=1")
    assert HELD.collector.recv(100) == b"READY=1"
    page = os.memfd_create("delays", os.MFD_ALLOW_SEALING)
    os.ftruncate(page, 4096)
    with mmap.mmap(page, 4096) as seen:
        seen[0] = 1
    with open(f"{FOLDER}/writable/status.{os.getpid()}", "w") as file:
        file.write("x")


@needed("send children into their own roles", roles=(*SUPERVISOR, TLS_PARENT))
def _():
    names = (TLS,) if ROLE == TLS_PARENT else LONELY
    inner = {name: sandbox.prepare(name, limits=LIMITS[name]) for name in names}
    ways = {name: os.pipe() for name in names}
    yield
    for name, prepared in inner.items():
        reads, writes = ways[name]
        child = os.fork()
        if not child:
            os.closerange(1000, 1 << 20)  # nothing tries one by one
            os.write(writes, prepared.enter().line().encode())
            os._exit(0)
        os.close(writes)
        said = os.read(reads, 5000).decode()
        assert os.waitpid(child, 0)[1] == 0
        assert f"role {name}: " in said
        assert "NOT" not in said, said


@needed("run itself again", roles=("supervisor-running",))
def _():
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    listener.set_inheritable(True)
    yield
    code = f"import socket, sys; sys.path.insert(0, {SETTINGS['source']!r}); import msmtp.smtp.server; socket.socket(fileno={listener.fileno()}).accept()[0].send(b'again')"
    child = os.fork()
    if not child:
        try:
            os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", code])
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert client.recv(10) == b"again"


# -- running them

PREPARED = None


def prepare(role):
    """The role as its supervisor prepares it."""
    name = "supervisor" if role == "supervisor-running" else role
    return sandbox.prepare(name, limits=LIMITS[name], **PATHS.get(role, {}))


def enter():
    """Enter the role; within a supervisor's if the settings say so."""
    policy = SETTINGS.get("policy", sandbox.REQUIRE)
    for layer in SETTINGS.get("without", ()):
        setattr(sandbox.Prepared, layer, lambda _: "left out")
    if SETTINGS.get("within"):
        prepare(SETTINGS["within"]).enter(policy)
    PREPARED.enter(policy)


if __name__ == "__main__":
    import json

    base.enter = enter
    PREPARED = prepare(ROLE)
    wanted = FORBIDDEN if SETTINGS["kind"] == "forbidden" else NEEDED
    results = {}
    for _name, (_attempt, _expected, _roles) in wanted.items():
        if ROLE in _roles and (not SETTINGS.get("names") or _name in SETTINGS["names"]):
            results[_name] = (base.attempt(_attempt), _expected)
    print(json.dumps(results))
