"""``os``, or as much of it as msmtp needs.

A Python that was started without its ``site`` module (packaging/launcher) has not loaded ``os``, and a send takes a
seventh more of the processor if it does: for the sake of ``environ``, ``os`` builds two dozen abstract base classes.
The calls themselves are in the built-in module ``posix``, of which ``os`` is the dress.  So every module of msmtp says

    from msmtp.system import os

and gets ``os`` where that is loaded already, else this module: ``posix``, the few things that ``os`` adds to it and
that every run uses, and for all others ``os`` itself, loaded when one of them is asked for.

It stands for a module of the standard library, so all layers that may use ``os`` may use it, and those that may not,
not.
"""

from __future__ import annotations

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os as os  # noqa: PLC0414 - the name that this module is there for
    from typing import Any
elif "os" in sys.modules:
    os = sys.modules["os"]
else:
    os = sys.modules[__name__]

globals().update({**vars(posix), **globals()})  # as os does it with a star, and five times as fast

SEEK_SET, SEEK_CUR, SEEK_END = 0, 1, 2
devnull = "/dev/null"

_ENCODING = sys.getfilesystemencoding()


def fsencode(text: str | bytes) -> bytes:
    """A name or an argument as the system has it."""
    return text.encode(_ENCODING, "surrogateescape") if isinstance(text, str) else text


def fsdecode(octets: str | bytes) -> str:
    """The reverse."""
    return octets if isinstance(octets, str) else octets.decode(_ENCODING, "surrogateescape")


environ = {fsdecode(name): fsdecode(value) for name, value in posix.environ.items()}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - anything that is in os
    """What is not here is in os, but for what Python asks any module for (``__path__``, at each import)."""
    if name.startswith("__"):
        raise AttributeError(name)
    import os as whole

    return getattr(whole, name)
