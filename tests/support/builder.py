"""A Debian release in which our packages are built, with what Debian's own build machines would have there.

It is the system of that release's hosts (:mod:`tests.support.host`), with the packages for building on top: a layer below
``.cache``, made once (a minute).  Commands run in it by chroot, in a mount namespace in which yet another layer takes what they
write, and without a network.

``python3 -m tests.support.builder`` makes it ahead.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support import debian, host

TOP = Path(__file__).parents[2]

PACKAGES = (
    *("build-essential", "debhelper", "dh-apparmor", "dh-python", "pybuild-plugin-pyproject", "python3-setuptools"),
    "lintian",
)
"""What docs/install.md says that building takes, and who reads what was built."""

MOUNT = """
layers=$1 folder=$2 root=$2/root; shift 2
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$folder/upper,workdir=$folder/work" "$root"
mount -t proc proc "$root/proc"
for shared in $SHARED; do mkdir -p "$root$shared"; mount --bind "$shared" "$root$shared"; done
"""

MAKE = f"""{MOUNT}
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\\nexit 101\\n' >"$root/usr/sbin/policy-rc.d"; chmod 755 "$root/usr/sbin/policy-rc.d"
chroot "$root" apt-get -qq update
chroot "$root" apt-get -qq -y --no-install-recommends install "$@"
chroot "$root" apt-get clean
rm "$root/etc/resolv.conf" "$root/usr/sbin/policy-rc.d"
"""

RUN = f"""{MOUNT}
exec chroot "$root" "$@"
"""


def layers(suite: str) -> str:
    """The folders that the system of a release is made of, the uppermost first; made if need be."""
    base = host.system(suite)
    folder = host.FOLDER / f"{suite}-build"
    made = folder / "complete"
    stamp = f"{' '.join(PACKAGES)} on {(base.parent / 'complete').stat().st_mtime_ns}"
    with debian.locked(folder):
        if not made.exists() or made.read_text() != stamp:
            made.unlink(missing_ok=True)
            _empty(folder)
            _mounted(MAKE, [str(base), folder, *PACKAGES], "--mount")
            made.write_text(stamp)
    return f"{folder / 'upper'}:{base}"


def _empty(folder: Path) -> None:
    for name in ("root", "upper", "work"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)


def _mounted(script: str, words: Sequence[str | Path], *apart: str, shared: Sequence[Path] = ()) -> str:
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": "/root",
        "DEBIAN_FRONTEND": "noninteractive",
        "SHARED": " ".join(map(str, shared)),
    }
    done = subprocess.run(
        ["unshare", *apart, "sh", "-e", "-c", script, "builder", *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=500, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Builder:
    """Where packages are built.  ``folder``: an empty one, for what is written and, in ``packages``, what is built."""

    def __init__(self, suite: str, folder: Path) -> None:
        self.layers = layers(suite)
        self.folder = folder / "layer"
        self.packages = folder / "packages"
        self.packages.mkdir()

    def run(self, *words: str | Path) -> str:
        """Run a command; its output.  The working tree and the folder of packages are where they are here."""
        _empty(self.folder)
        shared = (TOP, self.packages)
        return _mounted(RUN, [self.layers, self.folder, *words], "--mount", "--net", shared=shared)

    def build(self) -> list[Path]:
        """Build the packages of the working tree."""
        said = self.run(TOP / "scripts" / "build-deb", self.packages)
        return sorted(Path(line) for line in re.findall(r"^/\S+\.deb$", said, re.MULTILINE))


if __name__ == "__main__":
    for name in sys.argv[1:] or ("trixie",):
        print(layers(name))
