"""The system calls of each role, group by group, with the reason of each group.

A filter is a list of groups; the first group that names a call decides about it.  A group either allows its calls,
refuses them with an errno, or has the kernel end the process.  What no group names fails with the filter's last word,
for the sender ENOSYS: a library that tries something newer than these lists falls back as on an older kernel.  For the
daemon's processes that read what strangers write it is the end of the process: all that they use is loaded before.  For
the one that runs delivery commands it is leave, as the commands inherit the filter.

Refused, not killed, is what the C library, Python or OpenSSL try on their own and do without: a mail must not be lost
because a new version of one of them looks for a file.  Killed is what none of them tries, and what an intruder would.

A call may carry conditions on its arguments.  A condition compares an argument's bits under a mask; all conditions of a
call must hold, and a call may be listed several times with other conditions.  ``otherwise`` is the errno given when the
one condition of a call does not hold (without it, the role's last word).

This module is read by the generators of the filters and of the documentation.  A process that confines itself reads
the finished filter and not this.
"""

from __future__ import annotations

from errno import EACCES, ENOSYS, ENOTTY, EPERM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ALLOW = 0
KILL = -1

OWN_PID = 0x4D534D54
"""Stands in the finished filters where the process puts its own number when it loads one."""

# Argument bits, equal on every architecture this package has filters for unless a comment says otherwise.
PROT_WRITE, PROT_EXEC = 0x2, 0x4
MAP_ANONYMOUS = 0x20
AT_EMPTY_PATH = 0x1000
FIONBIO, FIONREAD = 0x5421, 0x541B
F_GETFD, F_SETFD, F_GETFL = 1, 2, 3
F_GETLK, F_SETLK, F_SETLKW = 5, 6, 7
F_GETLK64, F_SETLK64, F_SETLKW64 = 12, 13, 14  # 32-bit architectures
F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 36, 37, 38
MADV_DONTNEED, MADV_FREE = 4, 8
IPPROTO_TCP, TCP_NODELAY, TCP_CORK, TCP_QUICKACK = 6, 1, 3, 12
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
SOCK_STREAM, SOCK_DGRAM, MSG_FASTOPEN = 1, 2, 0x20000000
TIOCSTI = 0x5412
CLONE_THREAD = 0x10000
NEW_NAMESPACES = tuple(1 << bit for bit in (17, 25, 26, 27, 28, 29, 30))  # CLONE_NEW*: as clone(2) takes them
OF_FORK = 0x012000FF  # of clone's flags CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, the signal: what fork(3) asks for
OF_WORKERS = 0x5E000000  # CLONE_NEW* of user, net, ipc, uts, cgroup
PR_SET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_NAME, PR_GET_SECCOMP, PR_SET_SECCOMP = 1, 3, 4, 15, 21, 22
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS = 36, 38, 39
FUTEXES = (0, 1, 3, 4, 5, 9, 10)  # wait wake requeue cmp_requeue wake_op wait_bitset wake_bitset

FULL = 0xFFFFFFFFFFFFFFFF
INT = 0xFFFFFFFF
FUTEX_COMMAND = INT & ~(128 | 256)  # without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME

PECULIAR = {"ppc64le": {FIONBIO: 0x8004667E, FIONREAD: 0x4004667F}}
"""Constants that an architecture spells in its own way."""

BLIND = {"i386": {"mmap"}}
"""Calls whose arguments lie in memory, where a filter cannot look: as if no group named them.  (i386 has mmap2.)"""

READ_ONLY = INT & ~0o2744400
"""Every bit of open's flags but O_CLOEXEC, O_NOCTTY, O_NONBLOCK and the four whose meaning depends on the architecture,
which are O_DIRECTORY, O_NOFOLLOW, O_DIRECT and O_LARGEFILE on all of them: none of them changes a file."""

READ_WRITE = INT & ~0o2747703
"""The same with O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC and O_APPEND; not O_PATH, not O_TMPFILE."""


class Condition:
    """Argument ``index`` (from 0), looked at under ``mask``, equals ``value``."""

    __slots__ = ("index", "mask", "value")

    def __init__(self, index: int, value: int, mask: int = INT) -> None:
        self.index = index
        self.mask = mask
        self.value = value


class Call:
    """One system call by its name, with the conditions under which the group's verdict holds for it."""

    __slots__ = ("conditions", "name", "note", "otherwise")

    def __init__(self, name: str, *conditions: Condition, otherwise: int | None = None, note: str = "") -> None:
        self.name = name
        self.conditions = conditions
        self.otherwise = otherwise
        self.note = note


class Group:
    """System calls that share a verdict (ALLOW, KILL or an errno) and a reason."""

    __slots__ = ("calls", "name", "verdict", "why")

    def __init__(self, name: str, verdict: int, why: str, *calls: str | Call) -> None:
        self.name = name
        self.verdict = verdict
        self.why = why
        self.calls = tuple(
            call for item in calls for call in ([item] if isinstance(item, Call) else map(Call, item.split()))
        )


def any_of(name: str, index: int, values: tuple[int, ...], note: str, mask: int = INT) -> Iterator[Call]:
    """The call with argument ``index`` equal to one of the values."""
    return (Call(name, Condition(index, value, mask), note=note) for value in values)


def opening(flags: int, note: str) -> Iterator[Call]:
    """The two calls that open a file, with none of the ``flags`` set."""
    yield Call("open", Condition(1, 0, flags), note=note)
    yield Call("openat", Condition(2, 0, flags), note=note)


TRANSFER = Group(
    "transfer",
    ALLOW,
    "the connection, the mail on standard input, the log, standard output: all of them open by now",
    "read readv pread64 write writev recv recvfrom send",
    Call("sendto", Condition(4, 0, FULL), otherwise=EPERM, note="without an address: only where the socket leads"),
    "poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64",
    "lseek _llseek close shutdown fsync fdatasync flock getsockopt getsockname getpeername",
)

LOCKS = Group(
    "locks",
    ALLOW,
    "the log file is locked while its line is written",
    *(
        call
        for name, commands in (
            ("fcntl", (F_GETFD, F_SETFD, F_GETFL, F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW)),
            (
                "fcntl64",
                (
                    *(F_GETFD, F_SETFD, F_GETFL, F_GETLK, F_SETLK, F_SETLKW),
                    *(F_GETLK64, F_SETLK64, F_SETLKW64, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW),
                ),
            ),
        )
        for call in any_of(name, 1, commands, "locks and reading flags; not F_SETFL, which could lift O_APPEND")
    ),
)

MEMORY = Group(
    "memory",
    ALLOW,
    "memory of its own, never executable",
    "brk munmap",
    Call("mremap", Condition(3, 0, INT & ~3), note="moving and growing"),
    *(
        Call(name, Condition(2, 0, PROT_EXEC), Condition(3, MAP_ANONYMOUS, MAP_ANONYMOUS), note="no file, no PROT_EXEC")
        for name in ("mmap", "mmap2")
    ),
    Call("mprotect", Condition(2, 0, PROT_EXEC), otherwise=EACCES, note="no PROT_EXEC"),
    *any_of("madvise", 2, (MADV_DONTNEED, MADV_FREE), "giving memory back"),
    *any_of("futex", 1, FUTEXES, "waiting and waking; nothing of priority inheritance", FUTEX_COMMAND),
    *any_of("futex_time64", 1, FUTEXES, "the same", FUTEX_COMMAND),
)

CLOCK = Group(
    "clock and chance",
    ALLOW,
    "deadlines, the log's time stamp, TLS",
    "getrandom clock_gettime clock_gettime64 clock_getres clock_getres_time64 gettimeofday time",
    "clock_nanosleep clock_nanosleep_time64 nanosleep sched_yield restart_syscall",
)

ITSELF = Group(
    "itself",
    ALLOW,
    "who it is, its signals, its end",
    "getpid gettid getppid getpgrp getpgid getsid getuid geteuid getgid getegid getresuid getresgid",
    "getuid32 geteuid32 getgid32 getegid32 getresuid32 getresgid32 getgroups getgroups32",
    "getrusage times uname sysinfo getcpu sched_getaffinity umask getrlimit ugetrlimit",
    "wait4 waitpid waitid setitimer getitimer alarm pause",
    Call("prlimit64", Condition(2, 0, FULL), otherwise=EPERM, note="reading a limit"),
    "rt_sigaction rt_sigprocmask rt_sigpending rt_sigreturn sigreturn sigaltstack set_robust_list rseq",
    *(
        Call(name, Condition(0, OWN_PID, FULL), otherwise=EPERM, note="a signal to itself")
        for name in ("kill", "tkill", "tgkill")
    ),
    "exit exit_group",
)

DESCRIPTORS = Group(
    "what a descriptor is",
    ALLOW,
    "Python and the C library look at a descriptor before they use it",
    "fstat fstat64",
    Call("newfstatat", Condition(3, AT_EMPTY_PATH, AT_EMPTY_PATH), otherwise=EACCES, note="of a descriptor"),
    Call("fstatat64", Condition(3, AT_EMPTY_PATH, AT_EMPTY_PATH), otherwise=EACCES, note="of a descriptor"),
    Call("statx", Condition(2, AT_EMPTY_PATH, AT_EMPTY_PATH), otherwise=EACCES, note="of a descriptor"),
    Call("ioctl", Condition(1, FIONBIO, FULL), otherwise=ENOTTY, note="FIONBIO: blocking or not"),
    *(
        Call("setsockopt", Condition(1, IPPROTO_TCP), Condition(2, option), note="when segments leave")
        for option in (TCP_NODELAY, TCP_CORK, TCP_QUICKACK)
    ),
)

READING = Group(
    "reading files",
    ALLOW,
    "where Landlock lets it: OpenSSL looks certificates up in a hashed directory while it verifies",
    *opening(READ_ONLY, "for reading"),
    "stat stat64 lstat lstat64 newfstatat fstatat64 statx access faccessat faccessat2 readlink readlinkat",
)

FILES = Group(
    "reading and writing files",
    ALLOW,
    "where Landlock lets it: credential caches, token stores, the daemon's own folder",
    *opening(READ_WRITE, "for reading and writing"),
    "stat stat64 lstat lstat64 newfstatat fstatat64 statx access faccessat faccessat2 readlink readlinkat getcwd",
    "getdents getdents64 ftruncate ftruncate64 unlink unlinkat rename renameat renameat2 pwrite64 fchmod",
    *(Call(name, Condition(2, 0, PROT_EXEC), note="a file, not to be executed") for name in ("mmap", "mmap2")),
)

SOCKETS_LOCAL = Group(
    "local sockets",
    ALLOW,
    "a token behind a daemon (pcscd, p11-kit) is reached by a unix socket",
    *any_of("socket", 0, (AF_UNIX,), "unix sockets"),
    "connect sendmsg recvmsg setsockopt",
)

SOCKETS = Group(
    "sockets",
    ALLOW,
    "the key distribution centre and the name service are asked for a ticket",
    *(
        Call("socket", Condition(0, family), Condition(1, kind, 15), Condition(2, protocol), note="UDP, TCP")
        for family in (AF_INET, AF_INET6)
        for kind, protocol in ((SOCK_STREAM, 0), (SOCK_STREAM, 6), (SOCK_DGRAM, 0), (SOCK_DGRAM, 17))
    ),
    *(
        Call("socket", Condition(0, family), Condition(2, 0), note="unix sockets, routes")
        for family in (AF_UNIX, AF_NETLINK)
    ),
    "connect recvmsg recvmmsg recvmmsg_time64 setsockopt",
    Call("sendto", Condition(3, 0, MSG_FASTOPEN), otherwise=EPERM, note="not to connect, which Landlock would not see"),
    Call("sendmsg", Condition(2, 0, MSG_FASTOPEN), otherwise=EPERM, note="not to connect"),
    Call("sendmmsg", Condition(3, 0, MSG_FASTOPEN), otherwise=EPERM, note="not to connect"),
    Call("bind", note="the resolver binds its route socket; Landlock refuses TCP ports"),
    *any_of("ioctl", 1, (FIONBIO, FIONREAD), "the resolver asks how much there is to read"),
    "fcntl fcntl64 eventfd2 pipe2",
)

KEYRINGS = Group(
    "key rings",
    ALLOW,
    "tickets may lie in the kernel's key rings (KEYRING:, the default of some distributions)",
    "keyctl add_key request_key",
)

THREADS = Group(
    "starting processes and threads",
    EPERM,
    "libraries may try; whoever does is told no",
    "fork vfork clone",
)

NEWER = Group(
    "newer calls",
    ENOSYS,
    "the C library falls back to the older one, which is then answered",
    "clone3 openat2 close_range epoll_pwait2 fchmodat2 futex_waitv",
)

NAMES = Group(
    "names of files",
    EACCES,
    "late imports, tracebacks, time zones, locales look for files and do without",
    "open openat creat stat stat64 lstat lstat64 access faccessat faccessat2 readlink readlinkat",
    "getcwd chdir fchdir statfs statfs64 fstatfs fstatfs64 getdents getdents64",
    "rename renameat renameat2 link linkat symlink symlinkat unlink unlinkat mkdir mkdirat rmdir mknod mknodat",
    "chmod fchmod fchmodat chown chown32 fchown fchown32 lchown lchown32 fchownat",
    "truncate truncate64 ftruncate ftruncate64 fallocate utime utimes utimensat utimensat_time64 futimesat",
    "getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr setxattr lsetxattr fsetxattr",
    "removexattr lremovexattr fremovexattr inotify_init inotify_init1 inotify_add_watch",
)

CONNECTIONS = Group(
    "new descriptors",
    EPERM,
    "it holds what it needs; a library that wants more is told no",
    "socket socketpair connect bind listen accept accept4 sendmsg recvmsg sendmmsg recvmmsg recvmmsg_time64",
    "dup dup2 dup3 pipe pipe2 eventfd eventfd2 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait",
    "timerfd_create signalfd signalfd4 memfd_create splice tee vmsplice sendfile sendfile64 copy_file_range",
)

SETTINGS = Group(
    "settings",
    EPERM,
    "asked for by allocators, threads and process titles, which go on without",
    "prctl arch_prctl sched_setaffinity sched_setscheduler sched_setparam setpriority setrlimit mlock mlock2 munlock",
    "mlockall munlockall msync mincore membarrier pkey_alloc pkey_free pkey_mprotect mbind set_mempolicy",
    "setsid setpgid timer_create",
    "shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl ipc",
    "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self pidfd_open",
)

HOSTILE = Group(
    "never tried in good faith",
    KILL,
    "other programs, other processes, the kernel's machinery, more rights",
    "execve execveat ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp",
    "pidfd_getfd pidfd_send_signal rt_sigqueueinfo rt_tgsigqueueinfo",
    "setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid setresuid32 setresgid",
    "setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32 capset personality",
    "unshare setns chroot pivot_root mount umount umount2 move_mount open_tree fsopen fsconfig fsmount fspick",
    "mount_setattr name_to_handle_at open_by_handle_at quotactl quotactl_fd swapon swapoff acct",
    "bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register io_setup io_submit",
    "add_key request_key keyctl memfd_secret init_module finit_module delete_module create_module kexec_load",
    "kexec_file_load reboot syslog",
    "settimeofday clock_settime clock_settime64 clock_adjtime clock_adjtime64 adjtimex stime",
    "sethostname setdomainname vhangup fanotify_init fanotify_mark ioperm iopl modify_ldt uselib",
    "mq_open mq_unlink lookup_dcookie nfsservctl move_pages migrate_pages remap_file_pages vm86 vm86old",
    "set_thread_area",
)

# -- the daemon's roles

SESSION = Group(
    "session",
    ALLOW,
    "the client's connection, the channels, the log's pipe, the file for the mail: all of them open by now",
    "read readv write writev recv recvfrom send",
    Call("sendto", Condition(4, 0, FULL), otherwise=EPERM, note="without an address: only where the socket leads"),
    "poll ppoll ppoll_time64 close shutdown getsockopt getsockname getpeername",
)

TAKING = Group(
    "taking descriptors",
    ALLOW,
    "the delivery channel and the file for the mail come over a channel",
    "recvmsg",
)

PASSING = Group(
    "passing descriptors",
    ALLOW,
    "the delivery channel goes to the worker that knows a password",
    "sendmsg",
)

TIMERS = Group(
    "timers",
    ALLOW,
    "the delay after a wrong password",
    "setitimer getitimer alarm pause timerfd_settime timerfd_settime64 timerfd_gettime timerfd_gettime64",
)

ENDING = Group(
    "its signals and its end",
    ALLOW,
    "handlers set before the fork, abort() without a core",
    "getpid gettid getppid",
    "rt_sigaction rt_sigprocmask rt_sigpending rt_sigreturn sigreturn sigaltstack set_robust_list rseq",
    *(
        Call(name, Condition(0, OWN_PID, FULL), otherwise=EPERM, note="a signal to itself")
        for name in ("kill", "tkill", "tgkill")
    ),
    "exit exit_group",
)

LOOKED_FOR = Group(
    "looked for in good faith",
    EACCES,
    "late imports, tracebacks, codecs, allocators ask for these and do without",
    "open openat stat stat64 lstat lstat64 access faccessat faccessat2 readlink readlinkat getcwd",
    "getdents getdents64 statfs statfs64 fstatfs fstatfs64 fcntl fcntl64 lseek _llseek",
    "getpgrp getpgid getsid getuid geteuid getgid getegid getresuid getresgid getgroups",
    "getuid32 geteuid32 getgid32 getegid32 getresuid32 getresgid32 getgroups32",
    "getrusage times uname sysinfo getcpu sched_getaffinity umask getrlimit ugetrlimit prlimit64",
    "prctl arch_prctl mincore msync membarrier mlock mlock2 munlock",
)

NO_CONNECTIONS = Group(
    "new connections, and descriptors passed on",
    EPERM,
    "the resolver tries them; a channel's answer never carries a descriptor back",
    "socket connect sendmsg sendmmsg",
)

NO_SOCKETS = Group(
    "new connections",
    EPERM,
    "the resolver tries them",
    "socket connect",
)

SUPERVISING = Group(
    "supervising",
    ALLOW,
    "inherited listeners, channels for its children, the children themselves",
    "accept accept4 sendmsg recvmsg setsockopt dup dup2 dup3 pipe pipe2 eventfd eventfd2 memfd_create fcntl fcntl64",
    "close_range",
    Call("socketpair", Condition(0, AF_UNIX), note="channels"),
    "epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait signalfd signalfd4",
    "timerfd_create timerfd_settime timerfd_settime64 timerfd_gettime timerfd_gettime64",
    "fork vfork close_range",
    Call("clone", Condition(0, 0, CLONE_THREAD), otherwise=EPERM, note="processes, no threads"),
    "pidfd_open pidfd_send_signal kill tkill tgkill setsid setpgid set_tid_address",
)

CONFINING = Group(
    "confining",
    ALLOW,
    "its children do this on their way into narrower roles; none of it widens anything",
    "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self prlimit64 capget capset",
    "setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid setresuid32 setresgid",
    "setresgid32 setgroups setgroups32",
    Call("unshare", Condition(0, 0, INT & ~OF_WORKERS), note="the namespaces of a worker"),
    *any_of(
        "prctl",
        0,
        (
            *(PR_SET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_SECCOMP, PR_SET_SECCOMP),
            *(PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS),
        ),
        "what it is and becomes",
    ),
    Call("prctl", Condition(0, PR_SET_DUMPABLE), Condition(1, 0), note="not dumpable"),
)

FORKING = Group(
    "forking",
    ALLOW,
    "a process for each session, which closes what is not its own",
    "fork vfork set_tid_address wait4 waitpid waitid close_range",
    Call("clone", Condition(0, 0, CLONE_THREAD), otherwise=EPERM, note="processes, no threads"),
)

NURSING = Group(
    "nursing",
    ALLOW,
    "for each worker a channel, a pipe for the note that SIGTERM leaves, and the descriptor that tells of its end",
    "pidfd_open dup dup2 dup3 pipe pipe2",
    Call("socketpair", Condition(0, AF_UNIX), note="channels"),
    *(Call(name, Condition(1, F_GETFL), note="Python asks whether the pipe blocks") for name in ("fcntl", "fcntl64")),
)

NARROWING = Group(
    "narrowing",
    ALLOW,
    "its children do this on their way into the one role that they may have; none of it widens anything",
    "seccomp landlock_restrict_self prlimit64",
    *any_of("prctl", 0, (PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS), "what it is and becomes"),
    Call("prctl", Condition(0, PR_SET_DUMPABLE), Condition(1, 0), note="not dumpable"),
)

RUNNING = Group(
    "running itself again",
    ALLOW,
    "where Landlock lets it, the interpreter and its libraries: a new configuration, a new version",
    "execve arch_prctl set_thread_area set_tls",
    *(
        Call(name, Condition(2, value, mask), note="code and data of libraries; nothing both writable and executable")
        for name in ("mmap", "mmap2")
        for value, mask in ((0, PROT_EXEC), (PROT_EXEC, PROT_EXEC | PROT_WRITE))
    ),
)

LOOKING_UP = Group(
    "looking names up",
    ALLOW,
    "each look-up is a child, which an alarm ends; what it finds comes through a pipe",
    "fork pipe pipe2 set_tid_address",
    Call("clone", Condition(0, 0, INT & ~OF_FORK), note="processes; no threads, no namespaces"),
)

_COMMANDS_OWN = {
    *("execve", "execveat", "set_thread_area", "capset", "keyctl", "add_key", "request_key", "mq_open", "mq_unlink"),
    *("setuid", "setuid32", "setgid", "setgid32", "setreuid", "setreuid32", "setregid", "setregid32", "setresuid"),
    *("setresuid32", "setresgid", "setresgid32", "setfsuid", "setfsuid32", "setfsgid", "setfsgid32", "setgroups"),
    *("setgroups32", "pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo"),
}
"""Of the hostile calls those that a delivery command may make in good faith; capabilities and users bound them."""

MACHINERY = Group(
    "machinery",
    EPERM,
    "no delivery command needs other processes' memory, mounts, namespaces or the kernel's machinery",
    *(call for call in HOSTILE.calls if call.name not in _COMMANDS_OWN),
    *(Call("clone", Condition(0, bit, bit), note="namespaces") for bit in NEW_NAMESPACES),
    Call("ioctl", Condition(1, TIOCSTI), note="typing into a terminal"),
)

OPAQUE = Group(
    "a call that a filter cannot look into",
    ENOSYS,
    "its arguments lie in memory; the C library falls back to clone",
    "clone3",
)

OFFLINE = Group(
    "no sockets",
    EPERM,
    "a command that delivers to files or programs needs none",
    "socket connect bind listen accept accept4",
)

_CORE = (TRANSFER, LOCKS, MEMORY, CLOCK, ITSELF, DESCRIPTORS)
_REST = (THREADS, NEWER, NAMES, CONNECTIONS, SETTINGS, HOSTILE)
_ALONE = (MEMORY, CLOCK, ENDING, DESCRIPTORS, NEWER, LOOKED_FOR)


class Filter:
    """The groups of a filter in order of precedence, and its word about every other call: an errno or KILL."""

    __slots__ = ("groups", "otherwise")

    def __init__(self, *groups: Group, otherwise: int) -> None:
        self.groups = groups
        self.otherwise = otherwise

    def decided(self) -> Iterator[tuple[Group, Call]]:
        """The calls in order, each with the group that decides about it: the first that names it."""
        seen: dict[str, Group] = {}
        for group in self.groups:
            for call in group.calls:
                if seen.setdefault(call.name, group) is group:
                    yield group, call


FILTERS = {
    "sender": Filter(*_CORE, *_REST, otherwise=ENOSYS),
    "sender-reading": Filter(READING, *_CORE, *_REST, otherwise=ENOSYS),
    "sender-pkcs11": Filter(FILES, SOCKETS_LOCAL, *_CORE, *_REST, otherwise=ENOSYS),
    "sender-gssapi": Filter(FILES, SOCKETS, KEYRINGS, *_CORE, *_REST, otherwise=ENOSYS),
    "supervisor": Filter(SUPERVISING, CONFINING, FILES, *_CORE, *_REST, otherwise=ENOSYS),
    "supervisor-running": Filter(SUPERVISING, CONFINING, RUNNING, FILES, *_CORE, *_REST, otherwise=ENOSYS),
    "auth": Filter(SESSION, TAKING, PASSING, TIMERS, *_ALONE, NO_SOCKETS, otherwise=KILL),
    "nursery": Filter(SESSION, TAKING, PASSING, NURSING, FORKING, NARROWING, *_ALONE, NO_SOCKETS, otherwise=KILL),
    "worker": Filter(SESSION, TAKING, *_ALONE, NO_CONNECTIONS, otherwise=KILL),
    "delivery": Filter(MACHINERY, OPAQUE, otherwise=ALLOW),
    "delivery-offline": Filter(MACHINERY, OPAQUE, OFFLINE, otherwise=ALLOW),
    "tls-parent": Filter(SESSION, TAKING, FORKING, CONFINING, *_ALONE, NO_CONNECTIONS, otherwise=KILL),
    "tls": Filter(SESSION, *_ALONE, NO_CONNECTIONS, otherwise=KILL),
    "names": Filter(LOOKING_UP, READING, SOCKETS, *_CORE, *_REST, otherwise=ENOSYS),
}
"""The filters by the name that a role gives; each is committed once an architecture."""
