"""Places: files that the daemon keeps under a name somebody else may have taken, opened so that it does not matter.

A name in a folder where strangers write may be a link to a file of ours, a second name of one, or a pipe that nobody
reads (Postfix's safe_open() guards against the same).  So: the folder is looked at first and then held; its last step
follows no link; what was opened is looked at before it is used.
"""

from __future__ import annotations

import stat

from msmtp.failures import ConfigFailure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def trusted_users(more: Collection[int] = ()) -> frozenset[int]:
    """Whose files may be written to: root's, one's own, and those of the users that the daemon becomes."""
    return frozenset((0, os.geteuid(), *more))


def hold_folder(path: str, users: Collection[int]) -> int:
    """Open the folder of ``path`` to reach files in it.  Raises ConfigFailure for one where strangers rename files."""
    folder = path.rpartition("/")[0] or "/"
    if path[:1] != "/" or path[-1:] == "/":
        raise ConfigFailure(f"{path}: not an absolute name of a file")
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigFailure(f"{folder}: {error.strerror}", hint=f"make the folder {folder}, or name another") from None
    about = os.fstat(held)
    if about.st_uid not in users:
        problem = f"belongs to user {about.st_uid}"
    elif about.st_mode & _OTHERS_WRITE and not about.st_mode & stat.S_ISVTX:
        problem = f"can be written to by others (mode {about.st_mode & 0o7777:04o})"
    else:
        return held
    os.close(held)
    raise ConfigFailure(
        f"{path}: its folder {problem}", hint="who may rename files there could redirect what is written"
    )


def open_file(path: str, flags: int, mode: int, users: Collection[int]) -> int:
    """Open a file to write, made if it is not there.  Raises ConfigFailure if it is not simply a file of ``users``."""
    folder = hold_folder(path, users)
    flags |= os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    try:
        opened = os.open(path.rpartition("/")[2], flags, mode, dir_fd=folder)
    except OSError as error:
        words = "it is a symbolic link" if _is_link(path, folder) else error.strerror
        raise ConfigFailure(f"cannot open {path}: {words}") from None
    finally:
        os.close(folder)
    problem = _not_simply_a_file(os.fstat(opened), users)
    if problem:
        os.close(opened)
        raise ConfigFailure(f"cannot open {path}: {problem}")
    os.set_blocking(opened, True)
    return opened


def _is_link(path: str, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(path.rpartition("/")[2], dir_fd=folder).st_mode)
    except OSError:
        return False


def _not_simply_a_file(about: os.stat_result, users: Collection[int]) -> str:
    if not stat.S_ISREG(about.st_mode):
        return "it is not a regular file"
    if about.st_nlink != 1:
        return "it has other names too (hard links)"
    if about.st_uid not in users:
        return f"it belongs to user {about.st_uid}"
    return ""
