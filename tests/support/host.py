"""A throw-away Debian host with a real systemd as its first process: what packages and units are tested in.

::

    with Host("bookworm", tmp_path) as host:
        host.install(*packages)                  # .deb files; what they depend on is there, without a network
        assert host.run("systemctl is-active msmtpd.socket").stdout == "active\n"

The system below is made by debootstrap once (two minutes) and kept below ``.cache``, with the packages that tests install
later lying ready in apt's cache.  A host is an overlay of it, booted by systemd-nspawn in namespaces of its own: a mount
namespace in which the overlay is, so that nothing of it is left when its processes have ended, and a network with nothing but
loopback.  It has control groups of its own, too: systemd-nspawn would have every host in the same ones, and then what one host
waits for, counts and kills are the processes of all.  What tests run in it is in the group of its first process, since
logind answers nobody from outside.  It is ended by the process ids of its own.  It needs root, and Debian's debootstrap and systemd-container.

``python3 -m tests.support.host`` makes the systems ahead.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.support import debian

SUITES = ("bookworm", "trixie")
FOLDER = debian.CACHE.parent / "hosts"

SYSTEM = (
    *("systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd", "iproute2", "procps", "libcap2-bin"),
    *("python3", "python3-systemd", "cron", "apparmor", "openbsd-inetd", "strace"),
)
"""What a host has from the start."""

READY = ("bsd-mailx", "s-nail", "mutt", "smartmontools", "unattended-upgrades", "msmtp", "msmtp-mta", "xinetd")
"""What a host can install: most of them want a mailer, which is ours."""

PATIENCE = 120.0  # seconds that booting may take on a busy machine

MAKE = """
cp /etc/resolv.conf "$0/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$0/usr/sbin/policy-rc.d"; chmod 755 "$0/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive
for package in {ready}; do
    chroot "$0" apt-get -qq -y --no-install-recommends --download-only install $package
done
rm "$0/usr/sbin/policy-rc.d"
echo host.example >"$0/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 host.example host\n::1 localhost\n' >"$0/etc/hosts"
rm "$0/etc/resolv.conf"
"""

BOOT = """
base=$1 folder=$2; shift 2
for group; do echo $$ >"$group/cgroup.procs"; done
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t overlay overlay -o "lowerdir=$base,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn -q -D "$folder/root" --register=no --keep-unit -b --private-network \\
    --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self"
"""


def is_there(suite: str) -> bool:
    """Whether the system of a release has been made, of these packages."""
    made = FOLDER / suite / "complete"
    return made.exists() and made.read_text() == _stamp()


def _stamp() -> str:
    return " ".join((*SYSTEM, "/", *READY))


def system(suite: str) -> Path:
    """The folder with the system of a release; made if need be."""
    folder = FOLDER / suite
    with debian.locked(folder):
        if not is_there(suite):
            (folder / "complete").unlink(missing_ok=True)
            shutil.rmtree(folder / "root", ignore_errors=True)
            packages = ",".join(SYSTEM)
            options = ["--variant=minbase", f"--include={packages}"]
            words = ["debootstrap", *options, suite, folder / "root", debian.mirror()]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            script = MAKE.format(ready=" ".join(READY))
            subprocess.run(["sh", "-e", "-c", script, folder / "root"], check=True, stdout=subprocess.DEVNULL)
            (folder / "complete").write_text(_stamp())
    return folder / "root"


class Host:
    """A booted host, from ``with`` on.  ``folder``: an empty one to keep what it writes."""

    def __init__(self, suite: str, folder: Path) -> None:
        self.suite = suite
        self.folder = folder
        self.root = folder / "root"
        self.console = folder / "console"
        self.first = 0
        self.groups: list[Path] = []

    def __enter__(self) -> Self:
        base = system(self.suite)
        for name in ("root", "upper", "work"):
            (self.folder / name).mkdir()
        name = f"host-{secrets.token_hex(6)}"  # the same in both: systemd-nspawn makes the one of version 1 like the unified one
        self.groups = [group / name for group in _control_groups()]
        for group in self.groups:
            group.mkdir()
        with self.console.open("wb") as console:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-e", "-c", BOOT, "host", base, self.folder, *self.groups],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
            )  # fmt: skip
        try:
            self._wait_booted()
        except BaseException:
            self.stop()
            raise
        return self

    def _wait_booted(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self._state() not in {"running", "degraded"}:
            assert self.process.poll() is None, self.console.read_text(errors="replace")
            assert time.monotonic() < deadline, f"not up in time:\n{self.console.read_text(errors='replace')}"
            time.sleep(0.1)

    def _state(self) -> str:
        if not self.first:
            for pid in _children(self.process.pid):
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
                        self.first = pid
        return self.run("systemctl is-system-running", check=False).stdout.strip() if self.first else ""

    # What tests do with it.

    def run(
        self,
        command: str,
        *,
        check: bool = True,
        input: str | None = None,  # noqa: A002 - as subprocess.run
        user: str = "",
        seconds: float = 100,
        environment: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell's text in the host, as root or as a user; fail if it does, unless ``check`` is off."""
        words = [
            *(
                "sh",
                "-c",
                'echo $$ >"$0" && exec "$@"',
                str(self.groups[0] / "payload" / "init.scope" / "cgroup.procs"),
            ),
            *("nsenter", "-t", str(self.first), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"),
            *("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root", "USER=root"),
            *("LOGNAME=root", "DEBIAN_FRONTEND=noninteractive", *environment),
        ]
        if user:
            words += ["setpriv", "--reuid", user, "--regid", user, "--init-groups"]
            words += ["env", f"HOME=/home/{user}", f"USER={user}", f"LOGNAME={user}"]
        done = subprocess.run(
            [*words, "sh", "-c", command], input=input, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert not check or done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def said(self, command: str, **more: object) -> str:
        """Its standard output, without the blanks around."""
        return self.run(command, **more).stdout.strip()  # type: ignore[arg-type]

    def wait(self, command: str, seconds: float = 30.0) -> str:
        """Run it until it succeeds and prints something; that."""
        deadline = time.monotonic() + seconds
        while True:
            done = self.run(command, check=False)
            if done.returncode == 0 and done.stdout.strip():
                return done.stdout.strip()
            assert time.monotonic() < deadline, (
                f"{command}: not within {seconds} s\n{self.said('journalctl -b -n 60 -o short')}"
            )
            time.sleep(0.1)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file there."""
        self.run(f"mkdir -p $(dirname {path}) && cat >{path} && chmod {mode:o} {path}", input=text)

    def install(self, *packages: Path | str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Install packages: files of ours, names of what lies ready."""
        words = []
        for package in packages:
            if isinstance(package, Path):
                self.run(f"mkdir -p /packages && cat >/packages/{package.name}.64 && base64 -d /packages/{package.name}.64 "
                         f">/packages/{package.name}", input=_base64(package))  # fmt: skip
                words.append(f"/packages/{package.name}")
            else:
                words.append(package)
        return self.run(
            f"apt-get -qq -y --no-install-recommends --allow-downgrades install {' '.join(words)} 2>&1",
            check=check, seconds=300,
        )  # fmt: skip

    def journal(self, *matches: str) -> str:
        """The journal's lines."""
        self.run("journalctl --sync")
        return self.run(f"journalctl -b -o short {' '.join(matches)}").stdout

    # Its end.

    def stop(self) -> None:
        """Power it off, and wait for the end of all that it was."""
        if self.process.poll() is None and self.first:
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired, OSError):
                self.run("systemctl poweroff", check=False, seconds=20)
        try:
            self.process.wait(60 if self.first else 0)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                if self.first:  # the first process of its namespace: with it the kernel ends all others
                    os.kill(self.first, signal.SIGKILL)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._remove_groups()

    def _remove_groups(self) -> None:
        deadline = time.monotonic() + 10
        for group in self.groups:
            for folder, _, _ in os.walk(group, topdown=False):
                while True:  # it is busy until the last of its processes, which was killed, has ended
                    try:
                        os.rmdir(folder)
                        break
                    except OSError:
                        if time.monotonic() > deadline:
                            raise
                        time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _control_groups() -> list[Path]:
    """The folders of this process's control groups that a systemd looks at: the unified one, and version 1's for systemd, if any."""
    mine = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        mine[controllers] = path
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        root, point = words[3:5]
        kind, _, options = words[words.index("-") + 1 :]
        name = "" if kind == "cgroup2" else "name=systemd"
        if kind in {"cgroup", "cgroup2"} and name in ("", *options.split(",")) and name in mine:
            found.insert(0 if kind == "cgroup2" else 1, Path(point) / os.path.relpath(mine[name], root))
    return found


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _base64(path: Path) -> str:
    import base64

    return base64.encodebytes(path.read_bytes()).decode()


def build_packages(folder: Path) -> list[Path]:
    """Build our packages of the working tree; the .deb files."""
    top = Path(__file__).parents[2]
    done = subprocess.run([top / "scripts" / "build-deb", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(Path(line) for line in re.findall(r"^/\S+\.deb$", done.stdout, re.MULTILINE))


if __name__ == "__main__":
    for name in sys.argv[1:] or SUITES:
        print(system(name))
