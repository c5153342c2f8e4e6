#!/usr/bin/env python3
"""Install msmtp with a launcher and bundles: for packages, and whoever can choose the interpreter that runs it.

    packaging/launcher/install.py --prefix /usr [--destdir debian/msmtp] [--python /usr/bin/python3]

What it leaves: PREFIX/bin/msmtp, PREFIX/share/msmtp/msmtp with the compiled modules and the bundles.  The bundles are
for the interpreter given; a package that is installed for another one makes them anew with bundle.py, as it compiles
its modules anew.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1] / "src" / "msmtp"
UNWANTED = shutil.ignore_patterns("__pycache__", "*.pyc")


def ask(python: str, code: str) -> str:
    """What an interpreter prints, with its site module."""
    return subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def libraries(python: str) -> list[str]:
    """Where an interpreter has the libraries of msmtp's extras."""
    found = ask(python, "import site, os; print(*filter(os.path.isdir, site.getsitepackages()), sep='\\n')")
    return found.splitlines()


def install(prefix: Path, destdir: Path | None = None, python: str = "/usr/bin/python3") -> Path:
    """Install below ``prefix`` (and that below ``destdir``); the launcher."""
    root = destdir / prefix.relative_to("/") if destdir else prefix
    folder = root / "share" / "msmtp"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(SOURCE, folder / "msmtp", ignore=UNWANTED)
    subprocess.run([python, "-I", "-m", "compileall", "-q", "-s", root, "-p", prefix, folder], check=True)
    final = prefix / "share" / "msmtp"
    subprocess.run([python, "-IS", "-X", "no_debug_ranges", HERE / "bundle.py", folder, final], check=True)
    launcher = root / "bin" / "msmtp"
    launcher.parent.mkdir(parents=True, exist_ok=True)
    text = (HERE / "msmtp.in").read_text()
    for name, value in (
        ("@python@", python),
        ("@folder@", str(final)),
        ("@path@", repr([str(final), *libraries(python)])),
    ):
        text = text.replace(name, value)
    launcher.write_text(text)
    launcher.chmod(0o755)
    return launcher


def main() -> None:
    """Install as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--prefix", type=Path, default=Path("/usr/local"), help="default: %(default)s")
    parser.add_argument("--destdir", type=Path, help="stage below this folder instead of installing")
    parser.add_argument("--python", default="/usr/bin/python3", help="absolute path; default: %(default)s")
    options = parser.parse_args()
    print(install(options.prefix.absolute(), options.destdir, options.python))


if __name__ == "__main__":
    main()
