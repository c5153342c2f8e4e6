"""A program that enters a role and tries things from inside; started by the tests, one child process an attempt.

    python3 -I -S attempts.py '{"source": ..., "role": ..., "uid": ..., "names": ["open a file", ...], ...}'

Each attempt is a generator: what stands before its ``yield`` runs outside, what stands after it inside.  Results come as
JSON, a dictionary by name: "done" (with what the attempt returned, if anything), the name of an errno, the name of an
exception, or "killed by SIGSYS" and the like.
"""

from __future__ import annotations

import _thread
import array
import contextlib
import ctypes
import encodings.idna  # noqa: F401 - the ssl module encodes the server's name by it
import errno
import fcntl
import gc
import io
import json
import mmap
import os
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import traceback

SETTINGS = json.loads(sys.argv[1])
sys.path.insert(0, SETTINGS["source"])

from msmtp import sandbox  # noqa: E402 - the path comes from the command line
from msmtp.sandbox import libc as _libc  # noqa: E402, F401 - all of it, before the user is changed
from msmtp.sandbox import roles  # noqa: E402

FORBIDDEN: dict = {}
NEEDED: dict = {}
NUMBERS: dict[str, int] = SETTINGS["numbers"]
FOLDER: str = SETTINGS["folder"]  # of the test: "open" may stay readable, "secret" may not
LIBC = ctypes.CDLL(None, use_errno=True)
PARENT = os.getpid()  # of each attempt


class Held:
    """What every attempt holds when it enters: a connection, a log, a pipe, a datagram socket to a log daemon."""

    connection: socket.socket
    peer: socket.socket
    log: int
    syslog: socket.socket
    collector: socket.socket
    parent_pidfd: int


HELD = Held()


def forbidden(name, *expected, roles=("sender", "sender-reading", "sender-pkcs11", "sender-gssapi")):
    """An attempt that has to end in one of these ways, in these roles."""

    def keep(attempt):
        FORBIDDEN[name] = (attempt, expected, roles)
        return attempt

    return keep


def needed(name, roles=("sender", "sender-reading", "sender-pkcs11", "sender-gssapi"), expected="done"):
    """An attempt that has to succeed."""

    def keep(attempt):
        NEEDED[name] = (attempt, (expected,), roles)
        return attempt

    return keep


def call(name, *arguments):
    """A system call by its name."""
    ctypes.set_errno(0)
    result = LIBC.syscall(
        ctypes.c_long(NUMBERS[name]), *[ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    )
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result


KILLED = "killed by SIGSYS"
STRICT = ("sender", "sender-reading")

# -- files


@forbidden("open a file to read", "EACCES", roles=("sender",))
def _():
    yield
    os.open("/etc/passwd", os.O_RDONLY)


@forbidden("open a file outside of the readable folder", "EACCES")
def _():
    yield
    os.open(f"{FOLDER}/secret/file", os.O_RDONLY)


@forbidden("leave the readable folder by ..", "EACCES")
def _():
    yield
    os.open(f"{FOLDER}/open/../secret/file", os.O_RDONLY)


@forbidden("leave the readable folder by a symbolic link", "EACCES")
def _():
    yield
    os.open(f"{FOLDER}/open/link", os.O_RDONLY)


@forbidden("leave the readable folder by an open folder", "EACCES")
def _():
    folder = os.open(f"{FOLDER}/secret", os.O_RDONLY)
    yield
    os.open("file", os.O_RDONLY, dir_fd=folder)


@forbidden("open the memory of this process", "EACCES", "ENOSYS")
def _():
    yield
    os.open("/proc/self/mem", os.O_RDWR)


@forbidden("open the memory of the parent", "EACCES")
def _():
    yield
    os.open(f"/proc/{PARENT}/mem", os.O_RDONLY)


@forbidden("open a held descriptor again by /proc", "EACCES")
def _():
    yield
    os.open(f"/proc/self/fd/{HELD.log}", os.O_RDONLY)


@forbidden("open a terminal", "EACCES", "ENOSYS")
def _():
    yield
    os.open("/dev/tty", os.O_RDWR)


@forbidden("list the readable folder", "EACCES", roles=STRICT)
def _():
    yield
    os.listdir(f"{FOLDER}/open")


@forbidden("list the root", "EACCES")
def _():
    yield
    os.listdir("/")


@forbidden("read an open folder", "EACCES", roles=STRICT)
def _():
    folder = os.open(f"{FOLDER}/secret", os.O_RDONLY)
    yield
    call("getdents64", folder, ctypes.create_string_buffer(4096), 4096)


for _flags, _word in (
    (os.O_WRONLY, "to write"),
    (os.O_RDWR, "to read and write"),
    (os.O_WRONLY | os.O_APPEND, "to append"),
    (os.O_RDONLY | os.O_TRUNC, "to empty it"),
):

    @forbidden(f"open a file of the readable folder {_word}", "EACCES", "ENOSYS")
    def _(flags=_flags):
        yield
        os.open(f"{FOLDER}/open/file", flags, 0o600)

    @forbidden(f"open a file elsewhere {_word}", "EACCES", "ENOSYS")
    def _(flags=_flags):
        yield
        os.open(f"{FOLDER}/secret/file", flags, 0o600)


@forbidden("make a file in the readable folder", "EACCES", "ENOSYS")
def _():
    yield
    os.open(f"{FOLDER}/open/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


@forbidden("open an unnamed file", "EACCES", "ENOSYS")
def _():
    yield
    os.open(FOLDER, os.O_TMPFILE | os.O_RDWR, 0o600)


@forbidden("open the path of a file only", "EACCES", "ENOSYS")
def _():
    yield
    os.open(f"{FOLDER}/secret/file", os.O_PATH)


@forbidden("open by openat2", "ENOSYS")
def _():
    yield
    call("openat2", -100, b"/etc/passwd\0", struct.pack("QQQ", 0, 0, 0), 24)


@forbidden("open by creat", "EACCES")
def _():
    yield
    call("creat", f"{FOLDER}/open/new".encode(), 0o600)


@forbidden("open by a file handle", KILLED)
def _():
    yield
    call("open_by_handle_at", -100, b"\0" * 32, 0)


@forbidden("look at a file", "EACCES", roles=("sender",))
def _():
    yield
    os.stat(f"{FOLDER}/secret/file")


@forbidden("look at a link", "EACCES", roles=("sender",))
def _():
    yield
    os.readlink("/proc/self/exe")


for _name, _change in {
    "remove": lambda: os.unlink(f"{FOLDER}/open/file"),
    "rename": lambda: os.rename(f"{FOLDER}/open/file", f"{FOLDER}/open/other"),
    "link": lambda: os.link(f"{FOLDER}/open/file", f"{FOLDER}/open/other"),
    "symlink": lambda: os.symlink("/etc/passwd", f"{FOLDER}/open/other"),
    "make a folder": lambda: os.mkdir(f"{FOLDER}/open/folder"),
    "remove a folder": lambda: os.rmdir(f"{FOLDER}/open/empty"),
    "make a pipe with a name": lambda: os.mkfifo(f"{FOLDER}/open/fifo"),
    "change the mode": lambda: os.chmod(f"{FOLDER}/open/file", 0o777),
    "change the owner": lambda: os.chown(f"{FOLDER}/open/file", 1, 1),
    "truncate": lambda: os.truncate(f"{FOLDER}/open/file", 0),
    "change the times": lambda: os.utime(f"{FOLDER}/open/file", (0, 0)),
    "set an attribute": lambda: os.setxattr(f"{FOLDER}/open/file", "user.x", b"x"),
    "change the folder": lambda: os.chdir("/"),
}.items():

    @forbidden(f"files: {_name}", "EACCES", "ENOSYS")
    def _(change=_change):
        yield
        change()


@forbidden("change the root", KILLED)
def _():
    yield
    os.chroot(FOLDER)


@forbidden("empty the log", "EACCES", roles=STRICT)
def _():
    yield
    os.ftruncate(HELD.log, 0)


@forbidden("lift the log's O_APPEND", "ENOSYS", roles=("sender", "sender-reading", "sender-pkcs11"))
def _():
    yield
    fcntl.fcntl(HELD.log, fcntl.F_SETFL, 0)


@forbidden("map a file that is open", "ENOSYS", "EACCES", roles=STRICT)
def _():
    descriptor = os.open(f"{FOLDER}/secret/file", os.O_RDWR)
    yield
    mmap.mmap(descriptor, 6)


@forbidden("watch a file", "EACCES")
def _():
    yield
    call("inotify_init1", 0)


# -- sockets and other descriptors

for _family in (
    "UNIX",
    "INET",
    "INET6",
    "NETLINK",
    "PACKET",
    "VSOCK",
    "ALG",
    "BLUETOOTH",
    "CAN",
    "TIPC",
    "RDS",
    "QIPCRTR",
):
    if not hasattr(socket, f"AF_{_family}"):
        continue
    _wide = {"UNIX": STRICT, "INET": (*STRICT, "sender-pkcs11"), "INET6": (*STRICT, "sender-pkcs11")}
    _wide["NETLINK"] = _wide["INET"]

    @forbidden(
        f"a socket of AF_{_family}",
        "EPERM",
        "ENOSYS",
        roles=_wide.get(_family, (*STRICT, "sender-pkcs11", "sender-gssapi")),
    )
    def _(name=_family):
        yield
        socket.socket(getattr(socket, f"AF_{name}"), socket.SOCK_RAW if name == "NETLINK" else socket.SOCK_DGRAM)


for _name, _arguments in {
    "multipath TCP": (socket.AF_INET, socket.SOCK_STREAM, 262),
    "SCTP": (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP),
    "UDP lite": (socket.AF_INET6, socket.SOCK_DGRAM, 136),
    "ping": (socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP),
    "raw": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
    "netfilter": (socket.AF_NETLINK, socket.SOCK_RAW, 12),
}.items():

    @forbidden(f"a socket of a protocol that Landlock does not know: {_name}", "EPERM", "ENOSYS")
    def _(arguments=_arguments):
        yield
        socket.socket(*arguments)


@forbidden("a pair of sockets", "EPERM")
def _():
    yield
    socket.socketpair()


@forbidden("connect a held socket", "EPERM", "EACCES")
def _():
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener = socket.create_server(("127.0.0.1", 0))
    yield
    one.connect(listener.getsockname())


@forbidden("connect the connection elsewhere", "EPERM", "EACCES")
def _():
    listener = socket.create_server(("127.0.0.1", 0))
    elsewhere = socket.create_server(("127.0.0.1", 0))
    one = socket.create_connection(listener.getsockname())
    yield
    LIBC.connect(one.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16)
    one.connect(elsewhere.getsockname())


@forbidden("connect by fast open", "EPERM", "EACCES", "ENOSYS")
def _():
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener = socket.create_server(("127.0.0.1", 0))
    yield
    one.sendto(b"x", socket.MSG_FASTOPEN, listener.getsockname())


@forbidden("bind a held socket", "EPERM", "EACCES")
def _():
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    yield
    one.bind(("127.0.0.1", 0))


@forbidden("listen on a held socket", "EPERM")
def _():
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    yield
    one.listen()


@forbidden("accept from a held listener", "EPERM")
def _():
    listener = socket.create_server(("127.0.0.1", 0))
    with contextlib.suppress(OSError):
        socket.create_connection(listener.getsockname())
    yield
    listener.accept()


@forbidden("send a datagram elsewhere", "EPERM", roles=(*STRICT, "sender-pkcs11"))
def _():
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.bind(f"{FOLDER}/other.{os.getpid()}")
    yield
    HELD.syslog.sendto(b"x", other.getsockname())


@forbidden("send a datagram elsewhere by sendmsg", "EPERM", roles=STRICT)
def _():
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.bind(f"{FOLDER}/msg.{os.getpid()}")
    yield
    HELD.syslog.sendmsg([b"x"], [], 0, other.getsockname())


@forbidden("pass a descriptor on", "EPERM", roles=STRICT)
def _():
    yield
    HELD.connection.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [HELD.log]))])


@forbidden("take a descriptor", "EPERM", roles=STRICT)
def _():
    HELD.peer.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])
    yield
    HELD.connection.recvmsg(1, 100)


@forbidden("change a socket's options", "ENOSYS", roles=STRICT)
def _():
    yield
    HELD.connection.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 1)


for _name, _make in {
    "pipe": os.pipe,
    "dup": lambda: os.dup(0),
    "dup2": lambda: os.dup2(0, 99),
    "epoll": select.epoll,
    "memfd": lambda: os.memfd_create("x"),
    "pidfd": lambda: os.pidfd_open(PARENT),
    "sendfile": lambda: os.sendfile(HELD.connection.fileno(), HELD.log, 0, 1),
    "copy": lambda: os.copy_file_range(0, HELD.log, 1),
    "splice": lambda: os.splice(0, HELD.log, 1),
}.items():

    @forbidden(f"a new descriptor: {_name}", "EPERM", "ENOSYS", roles=STRICT)
    def _(make=_make):
        yield
        make()


@forbidden("type into the terminal", "ENOTTY", "ENOSYS")
def _():
    terminal = os.openpty()[1]
    yield
    fcntl.ioctl(terminal, 0x5412, b"x")  # TIOCSTI


@forbidden("ask the terminal", "ENOTTY", "ENOSYS")
def _():
    terminal = os.openpty()[1]
    yield
    fcntl.ioctl(terminal, 0x5401, b"\0" * 64)  # TCGETS


# -- other programs


@forbidden("run a program", KILLED)
def _():
    yield
    os.execv("/bin/true", ["true"])


@forbidden("run an open program", KILLED)
def _():
    program = os.open("/bin/true", os.O_RDONLY)
    yield
    os.execve(program, ["true"], {})


@forbidden("run a program by execveat", KILLED)
def _():
    program = os.open("/bin/true", os.O_RDONLY)
    yield
    call("execveat", program, b"\0", 0, 0, 0x1000)


@forbidden("make a program in memory", "EPERM")
def _():
    yield
    os.memfd_create("program")


@forbidden("run a program in memory made before", KILLED)
def _():
    program = os.memfd_create("program")
    with open("/bin/true", "rb") as file:
        os.write(program, file.read())
    yield
    call("execveat", program, b"\0", 0, 0, 0x1000)


@forbidden("fork", "EPERM")
def _():
    yield
    os._exit(0) if not os.fork() else None


@forbidden("vfork", "EPERM")
def _():
    yield
    call("vfork")


@forbidden("clone", "EPERM")
def _():
    yield
    call("clone", signal.SIGCHLD, 0, 0, 0, 0)


@forbidden("clone3", "ENOSYS")
def _():
    yield
    call("clone3", struct.pack("8Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0), 64)


@forbidden("start a thread", "RuntimeError")
def _():
    yield
    _thread.start_new_thread(lambda: None, ())


@forbidden("start a child process", "PermissionError", "EPERM", "EACCES", "done -31")  # -31: ended by SIGSYS
def _():
    yield
    return subprocess.run(["/bin/true"], check=False).returncode


@forbidden("start a shell", "EPERM", KILLED, "done 32512", "done -1", "done 65280")
def _():
    yield
    return os.system("true > /dev/null 2>&1")


# -- other processes


for _name, _number in (("end", signal.SIGKILL), ("stop", signal.SIGSTOP), ("ask for", 0)):

    @forbidden(f"signals: {_name} the parent", "EPERM")
    def _(number=_number):
        yield
        os.kill(PARENT, number)


@forbidden("signals: to the group", "EPERM")
def _():
    yield
    os.kill(0, 0)


@forbidden("signals: to a thread of the parent", "EPERM")
def _():
    yield
    call("tgkill", PARENT, PARENT, 0)


@forbidden("signals: by tkill", "EPERM")
def _():
    yield
    call("tkill", PARENT, 0)


@forbidden("signals: by a pidfd", KILLED)
def _():
    yield
    call("pidfd_send_signal", HELD.parent_pidfd, 0, 0, 0)


@forbidden("signals: with a value", KILLED)
def _():
    yield
    call("rt_sigqueueinfo", PARENT, 10, b"\0" * 128)


@forbidden("take a descriptor of the parent", KILLED)
def _():
    yield
    call("pidfd_getfd", HELD.parent_pidfd, 0, 0)


@forbidden("trace the parent", KILLED)
def _():
    yield
    call("ptrace", 16, PARENT, 0, 0)


@forbidden("be traced", KILLED)
def _():
    yield
    call("ptrace", 0, 0, 0, 0)


for _name in ("process_vm_readv", "process_vm_writev"):

    @forbidden(_name, KILLED)
    def _(name=_name):
        yield
        call(name, PARENT, 0, 0, 0, 0, 0)


@forbidden("advise the parent's memory", KILLED)
def _():
    yield
    call("process_madvise", HELD.parent_pidfd, 0, 0, 0, 0)


@forbidden("compare with the parent", KILLED)
def _():
    yield
    call("kcmp", os.getpid(), PARENT, 0, 0, 0)


@forbidden("set a limit of the parent", "EPERM")
def _():
    yield
    call("prlimit64", PARENT, 4, struct.pack("QQ", 0, 0), 0)


@forbidden("raise a limit of its own", "EPERM")
def _():
    yield
    call("prlimit64", 0, 4, struct.pack("QQ", 10, 10), 0)


# -- more rights, and the kernel's machinery


@forbidden("become dumpable", "EPERM")
def _():
    yield
    call("prctl", 4, 1, 0, 0, 0)


@forbidden("a filter of its own", "EPERM")
def _():
    yield
    call("seccomp", 1, 0, 0)


@forbidden("Landlock once more", "EPERM")
def _():
    yield
    call("landlock_create_ruleset", 0, 0, 1)


@forbidden("another personality", KILLED)
def _():
    yield
    call("personality", 0x0400000)


for _name, _arguments in {
    "setuid": (0,),
    "setgid": (0,),
    "setresuid": (0, 0, 0),
    "setresgid": (0, 0, 0),
    "setgroups": (0, 0),
    "capset": (0, 0),
    "unshare": (0x10000000,),
    "setns": (0, 0),
    "mount": (0, 0, 0, 0, 0),
    "umount2": (0, 0),
    "pivot_root": (0, 0),
    "open_tree": (-100, b"/\0", 0),
    "fsopen": (b"tmpfs\0", 0),
    "io_uring_setup": (4, b"\0" * 120),
    "io_uring_register": (0, 0, 0, 0),
    "bpf": (0, b"\0" * 128, 128),
    "perf_event_open": (b"\0" * 128, 0, -1, -1, 0),
    "userfaultfd": (0,),
    "init_module": (0, 0, b"\0"),
    "finit_module": (0, b"\0", 0),
    "kexec_load": (0, 0, 0, 0),
    "reboot": (0, 0, 0, 0),
    "syslog": (3, 0, 0),
    "settimeofday": (0, 0),
    "clock_settime": (0, 0),
    "sethostname": (b"x", 1),
    "fanotify_init": (0, 0),
    "quotactl": (0, 0, 0, 0),
    "acct": (0,),
    "swapon": (b"\0", 0),
    "mq_open": (b"x\0", 0, 0, 0),
    "memfd_secret": (0,),
}.items():

    @forbidden(f"the call {_name}", KILLED)
    def _(name=_name, arguments=_arguments):
        yield
        call(name, *arguments)


for _name, _arguments in {
    "keyctl": (0, -3, 0),
    "add_key": (b"user\0", b"x\0", b"x", 1, -3),
    "request_key": (b"user\0", b"x\0", 0, -3),
}.items():

    @forbidden(f"the call {_name}", KILLED, roles=(*STRICT, "sender-pkcs11"))
    def _(name=_name, arguments=_arguments):
        yield
        call(name, *arguments)


@forbidden("a ring set up before", KILLED)
def _():
    ring = -1
    with contextlib.suppress(OSError):
        ring = call("io_uring_setup", 4, ctypes.create_string_buffer(120))
    yield
    call("io_uring_enter", ring, 0, 0, 0, 0, 0)


for _name, _arguments in {"shmget": (0, 4096, 0o1600), "semget": (0, 1, 0o1600), "msgget": (0, 0o1600)}.items():

    @forbidden(f"the call {_name}", "EPERM")
    def _(name=_name, arguments=_arguments):
        yield
        call(name, *arguments)


@forbidden("a call that does not exist yet", "ENOSYS")
def _():
    yield
    LIBC.syscall(ctypes.c_long(999))
    raise OSError(ctypes.get_errno(), "")


# -- code


@forbidden("memory to write and execute", "ENOSYS", "EPERM", "EACCES")
def _():
    yield
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


@forbidden("make memory executable", "EACCES")
def _():
    page = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    yield
    if LIBC.mprotect(ctypes.c_void_p(address), 4096, 5):
        raise OSError(ctypes.get_errno(), "")


@forbidden("make memory executable by a protection key", "EPERM", "ENOSYS")
def _():
    page = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    yield
    call("pkey_mprotect", address, 4096, 5, -1)


@forbidden("map a library", "ImportError", "OSError")
def _():
    yield
    ctypes.CDLL(f"{FOLDER}/open/library.so")


@forbidden("import a module", "ModuleNotFoundError", "EACCES")
def _():
    assert "colorsys" not in sys.modules
    yield
    import colorsys  # noqa: F401


if os.uname().machine == "x86_64":

    def machine_code(code):
        """A function of these instructions, in memory made executable beforehand."""
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(code)
        return ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))

    for _name, _number in (("getpid", 20), ("execve", 11), ("open", 5), ("socketcall", 102)):

        @forbidden(f"a 32-bit call: {_name}", KILLED, "killed by SIGSEGV")  # the latter: a kernel without 32-bit calls
        def _(number=_number):
            run = machine_code(b"\xb8" + struct.pack("<I", number) + b"\xcd\x80\xc3")  # mov eax, N; int 0x80; ret
            yield
            run()

    for _name, _number in (("read", 0), ("open", 2), ("execve", 520)):

        @forbidden(f"an x32 call: {_name}", KILLED)
        def _(number=_number):
            yield
            LIBC.syscall(ctypes.c_long(0x40000000 | number), 0, 0, 0)


# -- what must go on


@needed("read and write the connection")
def _():
    yield
    HELD.connection.send(b"EHLO x\r\n", socket.MSG_NOSIGNAL)
    HELD.peer.send(b"250 y\r\n")
    poll = select.poll()
    poll.register(HELD.connection, select.POLLIN)
    assert poll.poll(1000)
    assert HELD.connection.recv(100) == b"250 y\r\n"
    HELD.connection.settimeout(0.01)
    try:
        HELD.connection.recv(1)
    except TimeoutError:
        pass
    HELD.connection.shutdown(socket.SHUT_WR)
    HELD.connection.close()


@needed("set when segments leave")
def _():
    listener = socket.create_server(("127.0.0.1", 0))
    one = socket.create_connection(listener.getsockname())
    yield
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    assert one.getsockname()
    assert one.getpeername()
    assert one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


@needed("append to the log under a lock that somebody else holds first")
def _():
    holder_reads, holder_writes = os.pipe()
    if not os.fork():
        fcntl.lockf(HELD.log, fcntl.LOCK_EX)
        os.write(holder_writes, b"x")
        time.sleep(0.1)
        os._exit(0)
    os.read(holder_reads, 1)
    yield
    refusals = 0
    while True:
        try:
            fcntl.lockf(HELD.log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            refusals += 1
            time.sleep(0.02)
        else:
            break
    assert refusals
    line = f"line of {os.getpid()}\n".encode()
    assert os.write(HELD.log, line) == len(line)
    os.fsync(HELD.log)
    fcntl.lockf(HELD.log, fcntl.LOCK_UN)
    os.fstat(HELD.log)


@needed("write to syslog's socket")
def _():
    yield
    HELD.syslog.send(b"<22>msmtp: hello")
    assert HELD.collector.recv(100) == b"<22>msmtp: hello"


@needed("tell the local time")
def _():
    os.environ.pop("TZ", None)
    before = time.strftime("%H %z")
    yield
    assert time.strftime("%H %z") in {before, f"{(int(before[:2]) + 1) % 24:02} {before[3:]}"}
    assert time.localtime(0).tm_year in {1969, 1970}


@needed("read a pipe to its end")
def _():
    reads, writes = os.pipe()
    os.write(writes, b"mail")
    os.close(writes)
    yield
    with os.fdopen(reads, "rb") as file:
        assert file.read() == b"mail"


@needed("read a file that is open")
def _():
    descriptor = os.open(f"{FOLDER}/secret/file", os.O_RDONLY)
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open on the other side of the yield
    spool.write(b"x" * 70000)
    spool.flush()
    yield
    assert os.pread(descriptor, 6, 0) == b"secret"
    os.lseek(descriptor, 3, os.SEEK_SET)
    assert os.read(descriptor, 3) == b"ret"
    assert spool.seek(0) == 0
    assert len(spool.read()) == 70000


@needed("use much memory and give it back")
def _():
    yield
    blocks = [bytearray(16 << 20) for _ in range(4)]
    objects = [[number] for number in range(300_000)]
    blocks[0] += b"x" * (40 << 20)
    del blocks, objects
    gc.collect()


@needed("run out of memory", expected="MemoryError")
def _():
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    yield
    bytearray(2 << 30)


@needed("tell the time, wait, draw chance")
def _():
    yield
    time.time()
    time.monotonic()
    time.sleep(0.001)
    assert len(os.urandom(16)) == 16
    select.select([], [], [], 0.001)
    select.poll().poll(1)


@needed("hash")
def _():
    import hashlib
    import hmac

    hmac.new(b"k", b"m", "md5")
    hashlib.pbkdf2_hmac("sha256", b"p", b"s", 10)
    yield
    hmac.new(b"k", b"m", "md5").hexdigest()
    hashlib.pbkdf2_hmac("sha256", b"p", b"s", 4096)


@needed("print an error with its traceback")
def _():
    def fail():
        try:
            raise ValueError("x")  # noqa: TRY301
        except ValueError:
            traceback.print_exc(file=io.StringIO())

    fail()  # Python 3.13 imports for the first one
    yield
    fail()


@needed("end by an exception", expected="ValueError")
def _():
    yield
    raise ValueError("x")


@needed("end by its own SIGINT", expected="killed by SIGINT")
def _():
    yield
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


@needed("abort without a core", expected="killed by SIGABRT")
def _():
    yield
    os.abort()


@needed("be told of a signal")
def _():
    seen = []
    signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
    yield
    signal.raise_signal(signal.SIGTERM)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    signal.signal(signal.SIGALRM, lambda *_: seen.append(2))
    time.sleep(0.05)
    assert seen == [1, 2]


def _tls(trusting):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(f"{FOLDER}/server.pem")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting(client)
    return server, client


def _talk(server, client):
    """A handshake and a line each way over the held connection, the server in this process too."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there, server_hostname="localhost")
    theirs = server.wrap_bio(there, back, server_side=True)
    shaken = set()
    while len(shaken) < 2:
        for side in (ours, theirs):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
                shaken.add(side)
    ours.write(b"EHLO x\r\n")
    HELD.connection.send(there.read())
    there.write(HELD.peer.recv(10000))
    assert theirs.read(100) == b"EHLO x\r\n"
    assert ours.version().startswith("TLSv1.")


for _version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):

    @needed(f"shake hands, {_version.name}")
    def _(version=_version):
        server, client = _tls(lambda context: context.load_verify_locations(f"{FOLDER}/open/authority.pem"))
        client.minimum_version = client.maximum_version = version
        yield
        _talk(server, client)


@needed(
    "shake hands, an authority out of the readable folder", roles=("sender-reading", "sender-pkcs11", "sender-gssapi")
)
def _():
    server, client = _tls(lambda context: context.load_verify_locations(capath=f"{FOLDER}/open"))
    yield
    _talk(server, client)


@needed("shake hands, an authority that is out of reach", roles=("sender",), expected="SSLCertVerificationError")
def _():
    server, client = _tls(lambda context: context.load_verify_locations(capath=f"{FOLDER}/open"))
    yield
    _talk(server, client)


@needed("shake hands, an authority that nobody knows", expected="SSLCertVerificationError")
def _():
    server, client = _tls(lambda context: None)
    yield
    _talk(server, client)


@needed("read a file of the readable folder", roles=("sender-reading", "sender-pkcs11", "sender-gssapi"))
def _():
    yield
    with open(f"{FOLDER}/open/file") as file:
        assert file.read() == "open"
    os.stat(f"{FOLDER}/open/file")


@needed("write below the writable folder", roles=("sender-pkcs11", "sender-gssapi"))
def _():
    yield
    path = f"{FOLDER}/writable/new.{os.getpid()}"
    with open(path, "x") as file:
        file.write("x")
        file.flush()
        fcntl.lockf(file, fcntl.LOCK_EX)
        os.ftruncate(file.fileno(), 0)
    with open(path, "w") as file, open(path, "a") as again, open(path, "r+") as third:
        assert [one.writable() for one in (file, again, third)] == [True] * 3
    os.rename(path, path + ".2")
    assert os.listdir(f"{FOLDER}/writable")
    os.unlink(path + ".2")


@needed("reach a daemon by a unix socket", roles=("sender-pkcs11", "sender-gssapi"))
def _():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{FOLDER}/writable/socket.{os.getpid()}")
    listener.listen()
    yield
    one = socket.socket(socket.AF_UNIX)
    one.connect(listener.getsockname())
    one.sendmsg([b"x"])


@needed("ask a name server and a distribution centre", roles=("sender-gssapi",))
def _():
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 0))
    yield
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.connect(names.getsockname())
    one.send(b"?")
    two = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        two.connect(("127.0.0.1", 88))
    except ConnectionRefusedError:
        pass


@forbidden("connect to another port by TCP", "EACCES", roles=("sender-gssapi",))
def _():
    listener = socket.create_server(("127.0.0.1", 0))
    yield
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.connect(listener.getsockname())


@forbidden("listen on a TCP port", "EACCES", roles=("sender-gssapi",))
def _():
    yield
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.bind(("127.0.0.1", 0))


@forbidden("execute a mapped file", "EPERM", "EACCES", "ENOSYS", roles=("sender-pkcs11", "sender-gssapi"))
def _():
    yield
    with open(f"{FOLDER}/open/file", "rb") as file:
        mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)


# -- running them


def hold():
    """Open what an attempt holds."""
    HELD.connection, HELD.peer = socket.socketpair()
    os.umask(0)
    HELD.log = os.open(f"{FOLDER}/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    HELD.collector = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    HELD.collector.bind(f"{FOLDER}/syslog.{os.getpid()}")
    HELD.syslog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    HELD.syslog.connect(HELD.collector.getsockname())
    HELD.parent_pidfd = os.pidfd_open(PARENT)


def enter():
    """Enter the role as the settings say."""
    role = SETTINGS["role"]
    paths = {"readable": [], "writable": []}
    if role != "sender":
        paths["readable"] = [f"{FOLDER}/open"]
    if role in {"sender-pkcs11", "sender-gssapi"}:
        paths["writable"] = [f"{FOLDER}/writable"]
    for layer in SETTINGS.get("without", ()):
        replacement = {"seccomp": lambda _: "left out", "landlock": lambda _: "left out"}[layer]
        setattr(sandbox.Prepared, layer, replacement)
    name = "sender" if role == "sender-reading" else role
    return sandbox.enter(name, policy=SETTINGS.get("policy", sandbox.REQUIRE), **paths)


class OutsideError(Exception):
    """Something before the attempt itself."""


def prepared(generator_function):
    """All that runs outside, and enter() itself."""
    try:
        hold()
        steps = generator_function()
        next(steps)
        enter()
    except BaseException as error:
        raise OutsideError from error
    return steps


def attempt(generator_function):
    """In a child: what came of it, as a word."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        word = "nothing"
        try:
            if SETTINGS["uid"] != os.getuid():
                os.setgroups([])
                os.setresgid(SETTINGS["uid"], SETTINGS["uid"], SETTINGS["uid"])
                os.setresuid(SETTINGS["uid"], SETTINGS["uid"], SETTINGS["uid"])
            word = "failed outside"
            steps = prepared(generator_function)
            try:
                next(steps)
            except StopIteration as end:
                word = "done" if end.value is None else f"done {end.value}"
        except AssertionError:
            word = traceback.format_exc()
        except OSError as error:
            word = errno.errorcode.get(error.errno, "") if error.errno else ""
            word = word if type(error).__module__ == "builtins" and word else type(error).__name__
        except OutsideError as error:
            word = f"outside: {error.__cause__!r}"
        except BaseException as error:
            word = type(error).__name__
        os.write(writes, word.encode())
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads, "rb") as pipe:
        word = pipe.read().decode()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        word = f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
        word += " with a core" if os.WCOREDUMP(status) else ""
    return word


if __name__ == "__main__":
    roles.ROLES  # noqa: B018 - loaded before anything is taken away
    wanted = FORBIDDEN if SETTINGS["kind"] == "forbidden" else NEEDED
    results = {}
    for _name, (_attempt, _expected, _roles) in wanted.items():
        if SETTINGS["role"] in _roles and (not SETTINGS.get("names") or _name in SETTINGS["names"]):
            results[_name] = (attempt(_attempt), _expected)
    print(json.dumps(results))
