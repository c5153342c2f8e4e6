"""Programs of Debian that the tests compare with and talk to, unpacked beside the machine instead of installed on it.

Mail servers exclude one another as packages, and a test bed must not turn the machine into one.  So: ask apt what would
be installed, ``apt-get download`` that, unpack it below ``.cache/debian/RELEASE/NAME`` and run it from there, under a private
view of the file system (:mod:`tests.support.view`) or with a library path.  Nothing of this needs root but the view.

:func:`newest` takes a bundle from Debian's unstable instead, with its C library and all else that it needs.

``python3 -m tests.support.debian`` fetches everything in :data:`BUNDLES` ahead; it uses the standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache" / "debian"

BUNDLES = {
    "msmtp": ("msmtp", "msmtp-mta"),
    "postfix": ("postfix",),
    "exim": ("exim4-daemon-heavy",),
    "opensmtpd": ("opensmtpd",),
    "dovecot": ("dovecot-core", "dovecot-submissiond", "dovecot-lmtpd"),
    "microsocks": ("microsocks",),
    "dante": ("dante-server",),
    "nsd": ("nsd",),
    "gsasl": ("libgsasl18",),
    "cyrus": ("libsasl2-2", "libsasl2-modules", "libsasl2-modules-db"),
    "dovecot-gssapi": ("dovecot-core", "dovecot-gssapi"),
    "kerberos": ("krb5-kdc", "krb5-admin-server", "krb5-user"),
    "samba": ("winbind",),
    "mutt": ("mutt",),
    "s-nail": ("s-nail",),
    "bsd-mailx": ("bsd-mailx",),
    "git-email": ("git-email", "libmailtools-perl"),
    "git-smtp": ("git-email", "libmailtools-perl", "libauthen-sasl-perl", "libio-socket-ssl-perl"),
    "openbsd-inetd": ("openbsd-inetd",),
    "xinetd": ("xinetd",),
    "swaks": ("swaks", "libnet-ssleay-perl", "libauthen-sasl-perl"),
    "nodemailer": ("node-nodemailer", "nodejs"),
    "systemd": ("systemd",),
    "docker-compose": ("docker-compose",),
    "aiosmtpd": ("python3-aiosmtpd",),
    "nullmailer": ("nullmailer",),
}

# Bundles that only some releases have; tests of the others are not for them (see the marker "releases" in conftest.py).
ONLY_IN = {"dante": ("bookworm",)}

# Which of a bundle's packages the machine may hold without our knowing is apt's business; these are never skipped.
ALWAYS = {"msmtp", "msmtp-mta"}

NEWEST = "sid"
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


def release() -> str:
    """Debian's name of this release, as bookworm."""
    text = Path("/etc/os-release").read_text()
    return re.search(r"^VERSION_CODENAME=(\S+)", text, re.MULTILINE)[1]  # type: ignore[index]


def here() -> list[str]:
    """The bundles that this release has."""
    return [name for name in BUNDLES if release() in ONLY_IN.get(name, (release(),))]


def library_path(root: Path) -> str:
    """The value of LD_LIBRARY_PATH for a program that runs out of ``root``."""
    triplet = sys.implementation._multiarch  # type: ignore[attr-defined]
    return f"{root}/usr/lib/{triplet}"


def program(name: str, path: str) -> tuple[Path, dict[str, str]]:
    """A bundle's program and the environment to run it in: the unpacked one, or the machine's where it is installed."""
    root = bundle(name)
    unpacked = root / path
    return (unpacked, {"LD_LIBRARY_PATH": library_path(root)}) if unpacked.exists() else (Path("/") / path, {})


def library(name: str, soname: str) -> ctypes.CDLL:
    """A bundle's shared library, with the libraries beside it that it needs; or the machine's."""
    waiting = sorted(Path(library_path(bundle(name))).glob("*.so.*"))
    while waiting:
        left = [path for path in waiting if not _loads(path)]
        if len(left) == len(waiting):
            break
        waiting = left
    return ctypes.CDLL(soname)


def _loads(path: Path) -> bool:
    try:
        ctypes.CDLL(str(path))  # what is loaded is found by its name from then on
    except OSError:
        return False
    return True


def bundle(name: str) -> Path:
    """The folder with the files of a bundle and of what it needs beyond this machine's packages; fetched if need be."""
    folder = CACHE / release() / name
    with locked(folder):
        if not (folder / "complete").exists():
            shutil.rmtree(folder / "root", ignore_errors=True)
            _fetch(BUNDLES[name], folder)
            (folder / "complete").touch()
    return folder / "root"


def newest(name: str) -> Path:
    """As :func:`bundle`, of Debian's unstable as it was when first asked for; its programs are run by :func:`by_itself`.

    The machine's apt fetches it, by lists of its own that know no package to be installed here, and checks it as ever.
    Raises RuntimeError if it cannot be had: no network, another system's apt, a release that does not go together.
    """
    folder = CACHE / NEWEST / name
    with locked(folder):
        if not (folder / "complete").exists():
            shutil.rmtree(folder / "root", ignore_errors=True)
            options = _lists_of_its_own(folder / "apt")
            _run(["apt-get", *options, "update"])
            _fetch(BUNDLES[name], folder, options)
            shutil.rmtree(folder / "apt")
            (folder / "complete").touch()
    return folder / "root"


def beside(root: Path) -> list[str]:
    """The words that run a program which looks below /usr/share for what it brings: its bundle's is laid over that."""
    script = 'mount -t overlay overlay -o "lowerdir=$0:/usr/share" /usr/share; exec "$@"'
    return ["unshare", "--mount", *["--map-root-user"] * bool(os.geteuid()), "sh", "-ec", script, f"{root}/usr/share"]


def by_itself(root: Path, path: str) -> list[str]:
    """The words that run a program of :func:`newest` by the C library and the other libraries that came with it."""
    libraries = library_path(root)
    (loader,) = Path(libraries).glob("ld-linux*.so.*")
    return [str(loader), "--library-path", libraries, str(root / path)]


def mirror() -> str:
    """Where this machine's own packages come from."""
    for file in (Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")):
        if file.exists() and (
            found := re.search(r"^(?:URIs:|deb(?: \[.*?\])?) +(\S+debian/?)\s", file.read_text(), re.MULTILINE)
        ):
            return found[1]
    return "http://deb.debian.org/debian"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time works in this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _lists_of_its_own(folder: Path) -> list[str]:
    """Options by which apt knows unstable and nothing else, and no package that is installed."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    sources = folder / "sources.list"
    sources.write_text(f"deb [signed-by={KEYS}] {mirror()} {NEWEST} main\n")
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/nonexistent",
        "Dir::State": folder / "state",
        "Dir::State::Status": "/dev/null",
        "Dir::Cache": folder / "cache",
        "Acquire::Languages": "none",
        "APT::Update::Error-Mode": "any",
        "Acquire::Check-Valid-Until": "false",  # a mirror that stands still will do: signatures are checked as ever
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _fetch(packages: tuple[str, ...], folder: Path, options: Sequence[str] = ()) -> None:
    root = folder / "root"
    root.mkdir()
    wanted = _missing(packages, options)
    if wanted:
        _run(["apt-get", *options, "download", *wanted], folder)
    for package in sorted(folder.glob("*.deb")):
        _run(["dpkg-deb", "-x", package.name, "root"], folder)
        package.unlink()
    _merge_usr(root)


def _missing(packages: tuple[str, ...], options: Sequence[str]) -> list[str]:
    """What apt would install for these packages, as NAME=VERSION."""
    asked = ["-s", "-y", "--no-install-recommends", "-o", "Debug::NoLocking=1", "install", *packages]
    plan = _run(["apt-get", *options, *asked])
    found = dict(re.findall(r"^Inst (\S+) (?:\[\S+\] )?\((\S+) ", plan, re.MULTILINE))
    return [f"{name}={version}" for name, version in found.items()] + sorted(ALWAYS.intersection(packages) - set(found))


def _merge_usr(root: Path) -> None:
    """Move /lib and /sbin under /usr, where they are on every machine since Debian 12."""
    for name in ("bin", "sbin", "lib", "lib64"):
        old = root / name
        if old.is_dir() and not old.is_symlink():
            shutil.copytree(old, root / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(old)


def _run(command: list[str], folder: Path | None = None) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()} (are apt's lists there? apt-get update)")
    return done.stdout


def main(arguments: list[str]) -> int:
    """Fetch the bundles named, or all and the Debian 13; with --check only say whether all are there (0) or not (1)."""
    from tests.support import trixie

    if arguments == ["--check"]:
        there = all((CACHE / release() / name / "complete").exists() for name in here())
        return int(not (there and (os.geteuid() or trixie.is_there())))
    for name in arguments or here():
        print(f"   {name}", file=sys.stderr, flush=True)
        bundle(name)
    if not arguments and not os.geteuid():
        print("   a Debian 13 (takes a minute)", file=sys.stderr, flush=True)
        trixie.root()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
