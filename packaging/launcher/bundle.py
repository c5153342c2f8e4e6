"""Make the bundles of an installed msmtp: what the launcher starts it from.

    python3 -IS -X no_debug_ranges bundle.py FOLDER [PLACE]

FOLDER holds the package msmtp, and PLACE is where that will be when it is used, if not there.  The bundles go into
msmtp/__pycache__ and are, like what else is there, for one version of Python, made anew at will and safe to delete:
without them, or after a source has changed, msmtp starts as any program in Python does.

What only people and type checkers read is left out: docstrings, annotations, and with ``-X no_debug_ranges`` the
columns of each instruction.  Names of files and numbers of lines stay.
"""

from __future__ import annotations
import __future__

import ast
import importlib
import os
import sys
from importlib.machinery import ExtensionFileLoader, SourceFileLoader
from importlib.util import MAGIC_NUMBER
from marshal import dumps
from types import CodeType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    Pairs = tuple[tuple[str, str], ...]  # its name where it is from, its name where it goes
    Imports = tuple[tuple[str, Pairs], ...]  # by module

HERE = os.path.dirname(os.path.abspath(__file__))

CACHE = "msmtp/__pycache__"

GROUPS = {
    "start": ("msmtp.sender.main", "msmtp.sender.accounts"),
    "send": ("msmtp.sender.send", "_ctypes"),
    "tls": ("msmtp.net.tls",),
    "auth": ("msmtp.sasl.mechanisms", "msmtp.sasl.plain", "msmtp.credentials.request", "msmtp.credentials.secret"),
    "choice": (  # what "auth on" may lead to
        *("msmtp.sasl.scram", "msmtp.sasl.cram_md5", "msmtp.sasl.digest_md5", "msmtp.sasl.login"),
        "msmtp.net.binding",
    ),
    "command": ("msmtp.credentials.command",),
}
"""Group: the modules that its runs import, beside those that they import in turn when they are imported."""

LATE = (
    "msmtp.failures",
    "msmtp.mail.address_list",
    "msmtp.net._digest",
    "msmtp.net.certificate",
    "msmtp.net.verdict",
    "msmtp.sender.refusals",
    "msmtp.sender.trace",
)
"""Modules of which a send needs nothing when all goes well: their code waits in memory until something is asked for.

In memory, since the sandbox lets no file be opened by then.  So a module that imports one from a file of Python's own
is none of them, whatever stands here.
"""

PIECE = 48 * 1024
"""Octets of code after which a piece ends."""

DOCUMENTATION = 2
"""compile(optimize=): without docstrings and assertions."""


class Reduce(ast.NodeTransformer):
    """Takes out of a module what a run does not read: annotations, what is there for their sake, what made them texts.

    What it imports from a module of LATE it then finds there each time, so that the import alone asks for nothing:
    ``from msmtp.failures import Failure`` becomes ``from msmtp import failures``, and ``Failure`` that of ``failures``.
    """

    def __init__(self, tree: ast.Module, late: Container[str | None]) -> None:
        taken = set(bound(tree))
        self.late: dict[str, str] = {}
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module in late:
                names = {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
                self.late |= names if taken.isdisjoint(names) else {}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        """``from __future__ import annotations`` is said to the compiler instead."""
        if node.module == "__future__":
            return None
        if not {alias.asname or alias.name for alias in node.names} <= self.late.keys():
            return node
        package, _, name = (node.module or "").rpartition(".")
        return ast.copy_location(ast.ImportFrom(package, [ast.alias(name, node.module)], 0), node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """A name; that of a whole module is one that no source can use, since it has dots."""
        if node.id not in self.late:
            return node
        module, _, name = self.late[node.id].rpartition(".")
        return ast.copy_location(ast.Attribute(ast.Name(module, ast.Load()), name, ast.Load()), node)

    def visit_If(self, node: ast.If) -> ast.If | list[ast.stmt]:
        """What only type checkers read."""
        self.generic_visit(node)
        return node.orelse if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """A parameter."""
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """A function's result."""
        self.generic_visit(node)
        node.returns = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.Assign | ast.Pass:
        """A variable."""
        self.generic_visit(node)
        reduced = ast.Assign([node.target], node.value) if node.value else ast.Pass()
        return ast.copy_location(reduced, node)


def bound(tree: ast.Module) -> Iterator[str]:
    """The names that a module binds, wherever in it, otherwise than by an import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, (ast.ExceptHandler, ast.FunctionDef, ast.ClassDef)):
            yield node.name or ""


def reduced(path: str, late: Container[str | None] = ()) -> ast.Module:
    """What a run needs of a module."""
    with open(path, "rb") as file:
        tree = ast.parse(file.read())
    return ast.fix_missing_locations(Reduce(tree, late).visit(tree))


def taken_imports(tree: ast.Module, linked: Container[str | None]) -> Imports:
    """Take out of a module what it imports from modules that are linked before it: the linker gives it that."""
    taken = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module in linked]
    tree.body = [node for node in tree.body if node not in taken]
    return tuple(
        (node.module or "", tuple((alias.name, alias.asname or alias.name) for alias in node.names)) for node in taken
    )


def code_of(tree: ast.Module, place: str) -> CodeType:
    """The code of a module whose file will be at ``place``."""
    flags = __future__.annotations.compiler_flag
    return compile(tree, place, "exec", flags, dont_inherit=True, optimize=DOCUMENTATION)


def imported(names: Iterable[str]) -> list[str]:
    """Import modules; all modules of msmtp that came with them, each behind those that it needs."""
    order: list[str] = []
    run = SourceFileLoader.exec_module

    def note(self: SourceFileLoader, module: object) -> None:
        run(self, module)
        order.append(module.__name__)

    SourceFileLoader.exec_module = note
    try:
        for name in names:
            importlib.import_module(name)
    finally:
        SourceFileLoader.exec_module = run
    return [name for name in order if name.partition(".")[0] == "msmtp"]


def can_wait(name: str) -> bool:
    """Whether a module, and what it imports, was imported without a file of Python's own; to be asked afterwards."""
    for node in ast.walk(reduced(sys.modules[name].__file__)):
        if isinstance(node, ast.Import):
            needed = [alias.name for alias in node.names]
        else:
            needed = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for module in filter(sys.modules.get, needed):
            if module.partition(".")[0] not in {"msmtp", *sys.builtin_module_names}:
                return False
    return True


def is_library(module: ModuleType) -> bool:
    """Whether a module is a shared library."""
    return isinstance(getattr(module, "__loader__", None), ExtensionFileLoader)


def index(modules: dict[str, tuple[str, str]], late: Container[str], imports: dict[str, Imports]) -> bytes:
    """What the linker has to know of modules; each name with the module's path now and later."""
    entries = []
    for name, (path, place) in modules.items():
        found = os.stat(path)
        is_package = path.endswith("/__init__.py")
        entries.append((name, is_package, place, int(found.st_mtime), found.st_size, name in late, imports[name]))
    return dumps(tuple(entries))


def pieces(codes: list[CodeType]) -> Iterable[bytes]:
    """Code in pieces."""
    piece: list[CodeType] = []
    size = 0
    for code in codes:
        piece.append(code)
        size += len(dumps(code))
        if size > PIECE:
            yield dumps(tuple(piece))
            piece, size = [], 0
    if piece:
        yield dumps(tuple(piece))


def write(path: str, parts: Iterable[bytes]) -> None:
    """A bundle, complete or not at all."""
    with open(f"{path}.new", "wb") as file:
        file.write(MAGIC_NUMBER)
        file.writelines(len(part).to_bytes(4, "big") + part for part in parts)
    os.replace(f"{path}.new", path)


def main(folder: str, place: str = "") -> None:
    """Make the bundles of the msmtp in a folder; "start" last, since it leads to the others."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, folder)
    place = place or folder
    os.makedirs(f"{folder}/{CACHE}", exist_ok=True)
    groups = {group: imported(roots) for group, roots in GROUPS.items()}
    places = {name: module.__file__ for name, module in sys.modules.items() if is_library(module)}
    late = frozenset(filter(can_wait, LATE))
    for group, names in reversed(groups.items()):
        file = f"{CACHE}/{group}.{sys.implementation.cache_tag}.bundle"
        paths = [sys.modules[name].__file__ for name in names]
        modules = {name: (path, path.replace(folder, place, 1)) for name, path in zip(names, paths, strict=True)}
        trees = {name: reduced(path, late) for name, (path, _) in modules.items()}
        linked = {*groups["start"], *names}.difference(late)
        imports = {name: () if name in late else taken_imports(tree, linked) for name, tree in trees.items()}
        codes = {name: code_of(trees[name], later) for name, (_, later) in modules.items()}
        waiting = [dumps(codes.pop(name)) for name in names if name in late]
        linker = code_of(reduced(f"{HERE}/linker.py"), "linker.py")
        start = [dumps((linker, places))] if group == "start" else []
        write(f"{folder}/{file}", [*start, index(modules, late, imports), *pieces([*codes.values()]), *waiting])
        places |= dict.fromkeys(names, f"{place}/{file}")


if __name__ == "__main__":
    main(*sys.argv[1:])
