"""The code at the head of a bundle: it makes the modules that are in it.

An import costs Python more than what most modules do: finders are asked, files looked for and opened, specifications
made.  In a bundle the modules stand one behind the other, each behind those that it imports, so none of this is needed:
a module is made, it is given what it imports from the others, and its code is run.

The group "start" is made when msmtp starts; any other group, when the first of its modules is imported.  If a source
is not what it was when the bundle was made, the group is left alone and Python imports its modules as it always does.
Modules of Python's that are shared libraries are loaded from where they were, without a search.

A module that is *late* is there, and empty, until something of it is asked for; only then is its code run, out of
memory, since no file may be opened by then.

A bundle is Python's magic number and then parts, each behind its length: in "start" this code, and where the modules
are that are not in it; then the index of the modules, their code in pieces of some 50 KiB, so that the same memory
serves to read all of them, and that of each late module.

The launcher runs this with ``file``, the bundle, open behind that, and ``PLACES``: name of a module to its bundle or
its shared library.
"""

from __future__ import annotations

import gc
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, spec_from_file_location
from marshal import loads
from posix import F_OK, access, stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import FileIO
    from types import ModuleType

    Imports = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]  # as in bundle.py
    PLACES: dict[str, str]
    file: FileIO

Module = type(sys)

WAITING: dict[str, bytes] = {}
"""The code of each late module."""

GARBAGE = 50_000
"""How many objects may be new before it is looked for cycles among them; one mail never makes so many."""


class Linker:
    """Finds the modules in PLACES."""

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Make the group of a module and say that it is there, or where its library is; None for any other module."""
        place = PLACES.get(name)  # noqa: F821 - set by the launcher
        if not place:
            return None
        if place.endswith(".bundle"):
            return ModuleSpec(name, self) if link_later(place) else None
        return spec_from_file_location(name, place) if access(place, F_OK) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """What was made."""
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Its code has run already."""


class Late(Module):
    """A late module."""

    def __getattr__(self, name: str) -> object:
        """Become what it should be; if that is interrupted, the next one to ask begins again."""
        if name.startswith("__"):  # Python asks any module for such
            raise AttributeError(name)
        exec(loads(WAITING[self.__name__]), self.__dict__)  # noqa: S102, S302 - as below
        self.__class__ = Module  # type: ignore[assignment]
        return getattr(self, name)


def link_later(bundle: str) -> bool:
    """Make the group in a bundle, if it is as it should be."""
    try:
        file = open(bundle, "rb", 0)  # noqa: SIM115 - link() closes it
        return file.read(4) == MAGIC_NUMBER and link(file)
    except OSError:
        return False


def link(file: FileIO) -> bool:
    """Make the group in an open bundle, or make nothing and return False."""
    codes: list[object] = []
    try:
        with file:
            index = loads(part(file))  # noqa: S302 - as Python reads a .pyc
            eager = [(name, imports) for name, *_, is_late, imports in index if not is_late]
            late = [name for name, *_, is_late, _ in index if is_late]
            while len(codes) < len(eager):
                codes += loads(part(file))  # noqa: S302 - as above
            waiting = [part(file) for _ in late]
            if not all(map(unchanged, index)):
                return False
    except (OSError, EOFError, ValueError, TypeError):
        return False
    WAITING.update(zip(late, waiting, strict=True))
    for entry in index:
        make(*entry)
    for name in late:
        show(name)
    for (name, imports), code in zip(eager, codes, strict=True):
        names = sys.modules[name].__dict__
        for source, pairs in imports:
            theirs = sys.modules[source].__dict__
            for their, our in pairs:
                names[our] = theirs[their]
        exec(code, names)  # noqa: S102 - what an import does
        show(name)
    return True


def part(file: FileIO) -> bytes:
    """The next part of a bundle.  EOFError: it is not all there."""
    size = int.from_bytes(file.read(4), "big")
    octets = file.read(size)
    if not size or len(octets) < size:
        raise EOFError
    return octets


def unchanged(entry: tuple[str, bool, str, int, int, bool, Imports]) -> bool:
    """Whether a module's source is what it was; as with a .pyc, by its size and the second it was written in."""
    _, _, path, second, size, *_ = entry
    found = stat(path)
    return found.st_size == size and int(found.st_mtime) == second


def make(name: str, is_package: bool, path: str, _second: int, _size: int, is_late: bool, *_: Imports) -> None:
    """An empty module, so that those it imports find the package they are in."""
    module = sys.modules[name] = (Late if is_late else Module)(name)
    module.__file__ = path
    if is_package:
        module.__path__ = [path.rpartition("/")[0]]


def show(name: str) -> None:
    """Show a module to its package."""
    package, _, child = name.rpartition(".")
    if package:
        if package not in sys.modules:
            __import__(package)  # it is in another group, of which nothing was needed before
        setattr(sys.modules[package], child, sys.modules[name])


gc.disable()  # all that is made here stays: there is nothing to collect
if link(file):  # noqa: F821 - set by the launcher
    sys.meta_path.insert(0, Linker())
gc.freeze()
gc.set_threshold(GARBAGE)
gc.enable()
