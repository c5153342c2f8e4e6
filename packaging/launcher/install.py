#!/usr/bin/env python3
"""Install msmtp and msmtpd with launchers: for packages, and whoever can choose the interpreter that runs them.

    packaging/launcher/install.py --prefix /usr [--destdir debian/msmtp] [--python /usr/bin/python3]
    packaging/launcher/install.py --launchers /usr/share/msmtp-py --prefix /usr --destdir debian/msmtp

What it leaves: PREFIX/bin/msmtp and msmtpd, PREFIX/share/msmtp/msmtp with the compiled modules and the bundles, from
which msmtp starts, as it does once a mail; msmtpd, which stays, starts as any program in Python.  The bundles are for
the interpreter given; a package that is installed for another one makes them anew with bundle.py, as it compiles its
modules anew.

With --launchers the two launchers are all: for a package whose tools put the modules into the folder named, and whose
programs find of other libraries what the distribution's packages bring.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1] / "src" / "msmtp"
DISTRIBUTION = "/usr/lib/python3/dist-packages"  # where Debian's packages of libraries are
PROGRAMS = ("msmtp", "msmtpd")
UNWANTED = shutil.ignore_patterns("__pycache__", "*.pyc")


def ask(python: str, code: str) -> str:
    """What an interpreter prints, with its site module."""
    return subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def libraries(python: str) -> list[str]:
    """Where an interpreter has the libraries of msmtp's extras."""
    found = ask(python, "import site, os; print(*filter(os.path.isdir, site.getsitepackages()), sep='\\n')")
    return found.splitlines()


def install(prefix: Path, destdir: Path | None = None, python: str = "/usr/bin/python3") -> list[Path]:
    """Install below ``prefix`` (and that below ``destdir``); the launchers."""
    root = destdir / prefix.relative_to("/") if destdir else prefix
    folder = root / "share" / "msmtp"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(SOURCE, folder / "msmtp", ignore=UNWANTED)
    subprocess.run([python, "-I", "-m", "compileall", "-q", "-s", root, "-p", prefix, folder], check=True)
    final = prefix / "share" / "msmtp"
    subprocess.run([python, "-IS", "-X", "no_debug_ranges", HERE / "bundle.py", folder, final], check=True)
    return launchers(root, final, python, libraries(python))


def launchers(root: Path, folder: Path, python: str, libraries: list[str]) -> list[Path]:
    """Make the launchers of what is in ``folder``, below ``root``."""
    values = {"@python@": python, "@folder@": str(folder), "@path@": repr([str(folder), *libraries])}
    return [launcher(HERE / f"{program}.in", root / "bin" / program, values) for program in PROGRAMS]


def launcher(template: Path, path: Path, values: dict[str, str]) -> Path:
    """Make one, with the values in place of their names."""
    text = template.read_text()
    for name, value in values.items():
        text = text.replace(name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def main() -> None:
    """Install as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--prefix", type=Path, default=Path("/usr/local"), help="default: %(default)s")
    parser.add_argument("--destdir", type=Path, help="stage below this folder instead of installing")
    parser.add_argument("--python", default="/usr/bin/python3", help="absolute path; default: %(default)s")
    parser.add_argument("--launchers", type=Path, metavar="FOLDER", help="only the launchers, for modules there")
    options = parser.parse_args()
    if options.launchers:
        root = options.destdir / options.prefix.relative_to("/") if options.destdir else options.prefix
        print(*launchers(root, options.launchers, options.python, [DISTRIBUTION]), sep="\n")
        return
    print(*install(options.prefix.absolute(), options.destdir, options.python), sep="\n")


if __name__ == "__main__":
    main()
