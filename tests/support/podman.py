"""Real containers, by Debian's podman: on machines without a registry, without systemd, with cgroups of whichever kind.

::

    image = podman.image(folder)                     # the project's Containerfile on a Debian made by debootstrap
    with podman.Container(image, "--read-only", environment={"MSMTP_HOST": "127.0.0.1"}) as container:
        container.wait_ready()

Images, containers and secrets are kept below ``.cache/containers``, apart from all others of the machine; podman runs in
a mount namespace where /sys/fs/cgroup is of the unified kind, which its crun wants to see.  Containers share the network
of the machine, so that servers of a test are reached at 127.0.0.1, and have no cgroups.  It needs root.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import uuid
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.support import debian
from tests.support.processes import wait_for

TOP = Path(__file__).parents[2]
FOLDER = debian.CACHE.parent / "containers"
RUN_FOLDER = Path("/run/msmtp-containers")
BASE, IMAGE = "localhost/msmtp-base", "localhost/msmtp-image"

# The machine's own view stays as it is: the namespace is private, and ends with podman.
UNIFIED = """
mount --make-rprivate /
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup
exec "$@"
"""
# podman writes the store's path into it, and refuses a store that was moved with its checkout.
STORE_NAME = f"store-{zlib.crc32(bytes(FOLDER)):08x}"
STORE = (
    *("podman", "--storage-driver=vfs", "--cgroup-manager=cgroupfs"),
    *(f"--root={FOLDER / STORE_NAME}", f"--runroot={RUN_FOLDER}", f"--tmpdir={RUN_FOLDER / 'tmp'}"),
)

LIMITS = ("--cgroups=disabled", "--ulimit=nofile=4096:4096", "--ulimit=nproc=8192:8192")
"""What every container gets, since this machine may not give what podman would ask for."""

DEFAULT_PROFILE = Path("/usr/share/containers/seccomp.json")


def podman(
    *words: str | Path, check: bool = True, seconds: float = 300, give: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run podman with these words."""
    command = ["unshare", "--mount", "sh", "-e", "-c", UNIFIED, "podman", *STORE, *words]
    done = subprocess.run(
        [str(word) for word in command], input=give, capture_output=True, text=True, check=False, timeout=seconds
    )
    assert not check or done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def base() -> str:
    """The image of a small Debian, of this machine's release; made if need be."""
    with debian.locked(FOLDER):
        if podman("image", "exists", BASE, check=False).returncode:
            root = FOLDER / "root"
            shutil.rmtree(root, ignore_errors=True)
            words = ["debootstrap", "--variant=minbase", debian.release(), root, debian.mirror()]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            archive = FOLDER / "base.tar"
            subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
            podman("import", archive, BASE)
            archive.unlink()
            shutil.rmtree(root)
    return BASE


def image() -> str:
    """The image of the Containerfile, of the working tree; built each time that it is asked for."""
    under = base()
    with debian.locked(FOLDER):
        podman(
            *("build", "--isolation=chroot", "--layers=false", "--force-rm", "--format=docker", "-q"),
            *(f"--build-arg=BASE={under}", "-f", TOP / "packaging/container/Containerfile", "-t", IMAGE, TOP),
        )
        podman("image", "prune", "-f")
    return IMAGE


def tidy() -> None:
    """Leave nothing outside of ``.cache``; for when no container is left."""
    shutil.rmtree(RUN_FOLDER, ignore_errors=True)


def seccomp_profile(path: Path, *without: str) -> str:
    """The option for podman's own profile with these system calls taken out of it, as other engines' are."""
    profile = json.loads(DEFAULT_PROFILE.read_text())
    for rule in profile["syscalls"]:
        rule["names"] = [name for name in rule["names"] if name not in without]
    profile["syscalls"] = [rule for rule in profile["syscalls"] if rule["names"]]
    profile["defaultErrnoRet"] = 1  # EPERM, as theirs
    profile.pop("defaultErrno", None)
    path.write_text(json.dumps(profile))
    return f"--security-opt=seccomp={path}"


class Secret:
    """A secret of podman's, from ``with`` on."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.name = f"msmtp-{uuid.uuid4().hex[:12]}"

    def __enter__(self) -> Self:
        podman("secret", "create", self.name, "-", give=self.text)
        return self

    def option(self, target: str) -> str:
        """What gives it to a container, readable for the image's user alone."""
        return f"--secret={self.name},target={target},uid=65532,gid=65532,mode=0400"

    def __exit__(self, *_: object) -> None:
        podman("secret", "rm", self.name)


class Container:
    """A container from ``with`` on, as confined as the documentation says; ``words`` are for podman, ``more`` for it."""

    def __init__(
        self, of: str, *words: str, environment: Mapping[str, str] | None = None, more: Sequence[str] = ()
    ) -> None:
        self.of = of
        self.words = words
        self.environment = environment or {}
        self.more = more
        self.name = f"msmtp-{uuid.uuid4().hex[:12]}"

    def __enter__(self) -> Self:
        variables = [f"--env={name}={value}" for name, value in self.environment.items()]
        podman(
            *("run", "-d", f"--name={self.name}", *LIMITS, "--network=host", "--log-driver=k8s-file"),
            *("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"),
            *self.words, *variables, self.of, *self.more,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        podman("rm", "-f", "-t", "5", self.name)

    @property
    def pid(self) -> int:
        """The first process, as the machine numbers it."""
        return int(self.said("inspect", "--format={{.State.Pid}}", self.name))

    def said(self, *words: str) -> str:
        """What podman says, without the blanks around."""
        return podman(*words).stdout.strip()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program in it."""
        return podman("exec", self.name, *words, check=False)

    def log(self) -> str:
        """What it wrote, to standard output and error."""
        done = podman("logs", self.name)
        return done.stdout + done.stderr

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Wait until it serves."""

        def ready() -> bool:
            log = self.log()
            state = self.said("inspect", "--format={{.State.Status}}", self.name)
            assert state in {"running", "created", "initialized"}, f"{state}\n{log}"
            return "info: ready" in log or '"event":"ready"' in log

        wait_for(ready, seconds, words="a container that is ready")

    def wait_ended(self, seconds: float = 60.0) -> int:
        """Wait for its end; its exit code."""
        return int(podman("wait", self.name, seconds=seconds).stdout)

    def processes(self) -> list[Path]:
        """The /proc folders of all its processes."""
        space = os.readlink(f"/proc/{self.pid}/ns/pid")
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(path / "ns/pid") == space:
                    found.append(path)
        return found
