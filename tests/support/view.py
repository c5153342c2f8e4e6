"""A private view of the file system, in which unpacked packages look installed, for one daemon and its children.

In a mount namespace of its own, /usr is the machine's with the unpacked folders laid over it, /etc and /var likewise with
a memory file system to write to, /run is empty.  Everything else, /tmp first of all, is the machine's.  In a process
namespace of its own, the daemon is the first process, so that its end is the end of all that it started.  Nothing of
this is seen outside, and nothing stays.  It needs root (CAP_SYS_ADMIN) and overlayfs.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

# Users the daemons run as: name, number, group. Where the machine has the name already, that one is used.
USERS = {
    "postfix": 60101,
    "postdrop": 60102,
    "Debian-exim": 60103,
    "opensmtpd": 60104,
    "opensmtpq": 60105,
    "dovecot": 60106,
    "dovenull": 60107,
    "vmail": 60108,
}

VIEW = """
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs {scratch}
mkdir {scratch}/etc {scratch}/etc.work {scratch}/var {scratch}/var.work
{mounts}
mount -t tmpfs -o mode=755 tmpfs /run
for entry in {users}; do
    name=${{entry%:*}} number=${{entry#*:}}
    grep -q "^$name:" /etc/group || echo "$name:x:$number:" >>/etc/group
    grep -q "^$name:" /etc/passwd || echo "$name:x:$number:$number::/nonexistent:/bin/sh" >>/etc/passwd
done
{prepare}
"""


def in_view(roots: Sequence[Path], scratch: Path, command: Sequence[str | Path], prepare: str = "") -> list[str]:
    """The command line that runs ``command`` in a view with ``roots`` laid over the machine's files.

    ``scratch`` is an empty folder to hide the memory file system in; ``prepare`` is shell text that runs in the view
    first. To end it all, end the one child of the process that this command line becomes. A user cannot have this:
    the test is skipped then.
    """
    if os.geteuid():
        pytest.skip("runs a daemon in a private view of the file system, which needs root")
    words = " ".join(shlex.quote(str(word)) for word in command)
    script = VIEW.format(
        scratch=shlex.quote(str(scratch)),
        mounts="\n".join(_mounts(roots, scratch)),
        users=" ".join(f"{name}:{number}" for name, number in USERS.items()),
        prepare=prepare,
    )
    # Tests that are killed leave no daemon behind: unshare goes with them, with it its child, the shell, with it the rest.
    # (The shell stays for that: a daemon that is a set-user-ID program would not be told.)
    guard = ["setpriv", "--pdeathsig", "KILL"]
    unshare = [*guard, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--ipc"]
    return [*unshare, "sh", "-c", f"{script}\n{words}\nexit $?"]


def _mounts(roots: Sequence[Path], scratch: Path) -> list[str]:
    lines = []
    for top in ("usr", "etc", "var"):
        over = [str(root / top) for root in roots if (root / top).is_dir()]
        options = "lowerdir=" + ":".join([*over, f"/{top}"])
        if top != "usr":
            options += f",upperdir={scratch}/{top},workdir={scratch}/{top}.work"
        elif not over:
            continue  # an overlay of one layer is no overlay
        lines.append(f"mount -t overlay overlay -o {shlex.quote(options)} /{top}")
    return lines
