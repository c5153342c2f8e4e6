"""Titles: what a process list shows of each process ("msmtpd: supervisor: 3 of 16 sessions").

With setproctitle, if that is installed, the title takes the place of the command line, which is memory of the process's
own, so that it can be changed in every role; without it, only the process's name is set (15 characters), which needs a
system call that some roles refuse, and is left then.

The package setproctitle imports logging, which is more than a megabyte for each process; its extension module holds all
that is needed here and is loaded by itself where that works.
"""

from __future__ import annotations

from msmtp.sandbox.libc import Library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = "msmtpd"
PR_SET_NAME = 15
_NAME_LENGTH = 15

_said = ""
_setters: list[Callable[[str], object]] = []


def set_title(text: str) -> None:
    """Have ``msmtpd: text`` shown for this process.  To be called once before the first fork; raises nothing."""
    global _said  # noqa: PLW0603 - the process has one title
    if text == _said:
        return
    _said = text
    try:
        if not _setters:
            _setters.append(_setter())
        _setters[0](text)
    except Exception:  # noqa: BLE001 - no title is worth a mail
        return


def _setter() -> Callable[[str], object]:
    try:
        set_whole = _of_extension() or _of_package()
    except ImportError:
        return _name_setter()
    return lambda text: set_whole(f"{PROGRAM}: {text}")


def _of_extension() -> Callable[[str], object] | None:
    """setproctitle() without its package; None where the package looks otherwise than it does today."""
    from importlib.machinery import PathFinder

    package = PathFinder.find_spec("setproctitle")
    if package is None:
        raise ImportError
    found = PathFinder.find_spec("_setproctitle", package.submodule_search_locations)
    if found is None or found.loader is None:
        return None
    module = found.loader.create_module(found)
    if module is None:
        return None
    found.loader.exec_module(module)
    title: Callable[[str], object] | None = getattr(module, "setproctitle", None)
    return title


def _of_package() -> Callable[[str], object]:
    from setproctitle import setproctitle

    return setproctitle


def _name_setter() -> Callable[[str], object]:
    library = Library()

    def set_name(text: str) -> None:
        what = text.partition(":")[0].partition(" ")[0]
        name = PROGRAM if what == "keeper" else f"{PROGRAM}-{what}"
        library.call("prctl", PR_SET_NAME, name.encode()[:_NAME_LENGTH] + b"\0", 0, 0, 0)

    return set_name
