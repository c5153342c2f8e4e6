"""Measure msmtp and msmtpd beside other programs: ``python -m bench [PART ...]``, from the project's folder.

See docs/speed.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench import daemon, large, link, nullmailer, send, texts
from bench.programs import Installed
from bench.table import head
from tests.support import debian

TOLERANCE = 0.1
PARTS = {
    "send": send.figures,
    "texts": texts.figures,
    "large": large.figures,
    "link": link.figures,
    "nullmailer": nullmailer.figures,
    "daemon": daemon.figures,
}


def newest_is_there() -> bool:
    """Whether Debian's newest C program can be had; if not, why is said."""
    try:
        debian.newest("msmtp")
    except RuntimeError as error:
        reasons = [
            line for line in str(error).splitlines() if line.startswith("E: ")
        ]  # apt's; what else it said is long
        print(f"the newest C program: left out, {reasons[0] if reasons else error}")
        return False
    return True


def main() -> int:
    """Print the table; with --check, 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition(":")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("-n", "--rounds", type=int, default=30, help="runs of each program (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="by how much (default: %(default)s)")
    parser.add_argument("--no-newest", action="store_true", help="leave out the C program of Debian's unstable")
    options = parser.parse_args()
    if unknown := {*options.parts} - PARTS.keys():
        parser.error(f"there is no {' and no '.join(sorted(unknown))}")
    missed = 0
    with tempfile.TemporaryDirectory(prefix="msmtp-bench-") as folder:
        Path(folder).chmod(0o755)
        installed = Installed(Path(folder), newest=not options.no_newest and newest_is_there())
        print("; ".join(f"{reference.name}: {reference.version()}" for reference in installed.references))
        for part in options.parts or PARTS:
            for title, figures in PARTS[part](installed, options.rounds):
                print(head(title))
                for figure in figures:
                    print(figure.row(options.tolerance), flush=True)
                    missed += figure.missed(options.tolerance)
    print(f"\n{missed} targets missed" if missed else "\nevery target is met")
    return int(options.check and missed > 0)


if __name__ == "__main__":
    sys.exit(main())
