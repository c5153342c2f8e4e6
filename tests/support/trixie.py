"""A Debian 13 below ``.cache``: newer Python, OpenSSL, GnuTLS and Dovecot than this machine's, and a provider for tokens.

Made by debootstrap when first asked for (a minute and a half), kept from then on.  Commands run in it by chroot, in a
mount namespace of their own, with folders of this machine at the same path.  Needs root, as debootstrap does.

``python3 -m tests.support.trixie`` makes it ahead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from tests.support import debian

FOLDER = debian.CACHE / "trixie" / "host"
PACKAGES = (
    *("python3", "openssl", "gnutls-bin", "pkcs11-provider", "softhsm2", "p11-kit"),
    *("dovecot-core", "dovecot-submissiond", "dovecot-lmtpd"),
)

MOUNT = """
mount -t proc proc "$0/proc"
for folder in $FOLDERS; do mkdir -p "$0$folder"; mount --bind "$folder" "$0$folder"; done
exec chroot "$0" "$@"
"""


def is_there() -> bool:
    """Whether it has been made, of these packages."""
    made = FOLDER / "complete"
    return made.exists() and made.read_text() == " ".join(PACKAGES)


def root() -> Path:
    """The folder with the system."""
    with debian.locked(FOLDER):
        if not is_there():
            (FOLDER / "complete").unlink(missing_ok=True)
            shutil.rmtree(FOLDER / "root", ignore_errors=True)
            packages = ",".join(PACKAGES)
            options = ["--variant=minbase", f"--include={packages}"]
            command = ["debootstrap", *options, "trixie", FOLDER / "root", debian.mirror()]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            (FOLDER / "complete").write_text(" ".join(PACKAGES))
    return FOLDER / "root"


def run(
    command: Sequence[str | Path], folders: Sequence[Path] = (), environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in it; ``folders`` of this machine are there, too."""
    if os.geteuid():
        pytest.skip("runs in a Debian 13 of its own, which needs root")
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    return subprocess.run(
        ["unshare", "--mount", "sh", "-e", "-c", MOUNT, root(), *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={"PATH": path, "FOLDERS": " ".join(map(str, folders)), "LC_ALL": "C.UTF-8", **(environment or {})},
    )


if __name__ == "__main__":
    print(root())
