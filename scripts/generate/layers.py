"""The drawing of the layers in docs/architecture.md, from what the modules really import.

LAYERS is the one declaration of which package stands where; tests/test_layers.py holds every import against it.
Modules are read with ast, not imported, so that imports inside functions count like any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SOURCE = TOP / "src" / "msmtp"
TARGET = "docs/architecture.md"
BEGIN = "<!-- drawing: by scripts/generate/layers.py, from the imports -->\n"
END = "<!-- end of drawing -->\n"

LAYERS = (
    (("exits", "failures"), "ground: data only"),
    (("smtp", "sasl", "mail"), "pure: bytes in, values out; no socket, file, clock, process, randomness"),
    (("config", "net", "credentials", "sandbox"), "windows to the world: files, sockets, processes, secrets"),
    (("sender", "daemon"), "applications, which do not know each other"),
)

LEVEL = {package: level for level, (packages, _) in enumerate(LAYERS) for package in packages}

# Doors stand above all layers: what Python or the installer starts. The package root holds nothing but the version.
DOORS = {"__main__"}
ROOT = "__init__"

# Stands for a module of the standard library, os, which layers 0 and 1 may not use.
SYSTEM = "system"

# One file of the daemon runs the sender inside a warm process, by the door that the console script uses.
EXCEPTIONS = {("daemon/warm.py", "sender")}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Each module's path below src/msmtp, with its syntax tree."""
    for path in sorted(SOURCE.rglob("*.py")):
        yield str(path.relative_to(SOURCE)), ast.parse(path.read_text(), str(path))


def package_of(path: str) -> str:
    """The package that a module belongs to: its folder, or its name if it stands at the root."""
    first, _, rest = path.partition("/")
    return first if rest else first.removesuffix(".py")


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Each import of a module: line, and the full name of what is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.lineno, f"{'.' * node.level}{node.module or ''}.{alias.name}"


def breach(path: str, name: str) -> str:
    """Why a module at ``path`` may not import ``name``, or ''."""
    if name.startswith("."):
        return "a relative import hides which layer it reaches"
    words = name.split(".")
    own = package_of(path)
    if words[0] != "msmtp" or own in DOORS:
        return ""
    target = words[1] if len(words) > 1 else ROOT
    if target == SYSTEM:
        return "layers 0 and 1 are pure" if LEVEL.get(own, 0) <= 1 else ""
    if target not in LEVEL:
        return (
            ""
            if target == "__version__" and LEVEL.get(own) == len(LAYERS) - 1
            else "the package root is nobody's to import"
        )
    if target == own or (path, target) in EXCEPTIONS:
        return ""
    if own not in LEVEL:
        return "the package root imports nothing"
    if LEVEL[target] == LEVEL[own] == 0:
        return "" if (own, target) == ("failures", "exits") else "the ground knows only exits"
    if LEVEL[target] >= LEVEL[own]:
        return f"{target} is on layer {LEVEL[target]}, {own} on layer {LEVEL[own]}"
    return ""


def uses() -> dict[str, set[str]]:
    """Each package of msmtp with the other packages of msmtp that it imports."""
    found: dict[str, set[str]] = {}
    for path, tree in modules():
        own = package_of(path)
        for _, name in imported(tree):
            words = name.split(".")
            if words[0] == "msmtp" and len(words) > 1 and words[1] in LEVEL and words[1] != own:
                found.setdefault(own, set()).add(words[1])
    return found


def drawing() -> str:
    """The layers, top down, with what each package imports of the others."""
    known, rows = uses(), []
    for level in range(len(LAYERS) - 1, -1, -1):
        packages, words = LAYERS[level]
        rows.append(f"-- layer {level}  {words}")
        for package in packages:
            path = SOURCE / package
            if path.is_dir() or path.with_suffix(".py").exists():
                below = sorted(known.get(package, ()), key=lambda name: (-LEVEL[name], name))
                rows.append(f"   {package:<12} imports {', '.join(below) or 'none of the others'}")
    return "\n".join(rows)


def generate() -> str:
    """docs/architecture.md with the drawing as it is now."""
    text = (TOP / TARGET).read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}```\n{drawing()}\n```\n{END}{after}"
