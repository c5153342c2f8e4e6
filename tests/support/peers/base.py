"""What the real mail servers of the test bed have in common.

Each server is a context manager in a module of its own beside this one, with its own files, ports and mailbox, ended by
process id::

    with postfix() as peer:
        ...send to 127.0.0.1, peer.ports["smtp"]...
        (delivery,) = peer.deliveries(1)
        assert delivery.content == b"Subject: hi" CRLF CRLF b"hello" CRLF

They take mail for example.org, where every address exists but those that begin with "unknown" (550), and refuse mails
above :data:`SIZE_LIMIT`. User joe, password secret. Ports, where the server has them:

=============== ===========================================================
"smtp"          STARTTLS offered, no authentication needed
"submission"    STARTTLS needed first, then authentication
"submissions"   TLS from the start, authentication needed
"lmtp"          LMTP without TLS
=============== ===========================================================
"""

from __future__ import annotations

import contextlib
import re
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import certificates, debian
from tests.support.processes import Daemon, listens, wait_for
from tests.support.view import in_view

DOMAIN = "example.org"
USER, PASSWORD = "joe", "secret"
PASSWORD_SHA512 = "$6$msmtp$4a.wCDAioykbVjG3fGfL2oTD3UNvdFXnnL6sM8/IhpgZZCu3x4MdsOBcFFY9IIRU3xfEMCRTZXKGWS/KN35WW."
SIZE_LIMIT = 32 << 20

TRACE_FIELDS = re.compile(
    rb"(?:(?:Return-Path|Received|Delivered-To|X-Original-To|Envelope-To|Delivery-Date):[^\n]*\n(?:[ \t][^\n]*\n)*)+",
    re.IGNORECASE,
)

# A delivery command for the servers that take one: FOLDER [SENDER RECIPIENT], the mail on standard input; Exim and
# OpenSMTPD give the addresses in the environment.
KEEP = """#!/bin/sh
umask 022
name=$(mktemp "$1/tmp.XXXXXXXX") && { printf '%s\\n%s\\n' "${2-$SENDER}" "${3-$RECIPIENT}" && cat; } >"$name" || exit 75
chmod 644 "$name" && mv "$name" "$name.mail"
"""


@dataclass(frozen=True)
class Delivery:
    """One mail as it was delivered: the envelope as the server gave it ("" where unknown), ``data`` byte for byte."""

    sender: str
    recipient: str
    data: bytes

    @property
    def content(self) -> bytes:
        """The mail as it was sent: without the trace fields that the server put before it, line ends CRLF."""
        data = re.sub(rb"\r?\n", b"\r\n", self.data)
        trace = TRACE_FIELDS.match(data)
        return data[trace.end() :] if trace else data


@dataclass
class Peer:
    """A server that runs."""

    name: str
    ports: dict[str, int]
    folder: Path
    read: Callable[[], list[Delivery]]
    extra: dict[str, Path] = field(default_factory=dict)
    _seen: Counter[Delivery] = field(default_factory=Counter)

    @property
    def authority(self) -> Path:
        """The file to trust for this server's certificate."""
        return certificates.localhost().authority

    def log(self) -> str:
        """What the server wrote."""
        logs = [self.folder / "log", *sorted((self.folder / "logs").iterdir())]
        return "".join(path.read_text(errors="backslashreplace") for path in logs)

    def deliveries(self, count: int, seconds: float = 30.0) -> list[Delivery]:
        """Wait for ``count`` deliveries beyond those returned before; neither fewer nor more."""
        try:
            wait_for(lambda: self._new().total() >= count, seconds, words=f"{count} deliveries by {self.name}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-6000:]}") from None
        new = self._new()
        self._seen += new
        assert new.total() == count, f"{new.total()} deliveries instead of {count}: {new}"
        return list(new.elements())

    def _new(self) -> Counter[Delivery]:
        return Counter(self.read()) - self._seen


def kept(folder: Path) -> Callable[[], list[Delivery]]:
    """A reader of what the delivery command kept, oldest first."""

    def read() -> list[Delivery]:
        found = []
        for path in sorted((folder / "kept").glob("*.mail"), key=lambda path: path.stat().st_mtime_ns):
            sender, recipient, data = path.read_bytes().split(b"\n", 2)
            found.append(Delivery(sender.decode(), recipient.decode(), data))
        return found

    return read


def maildirs(folder: Path) -> Callable[[], list[Delivery]]:
    """A reader of the maildirs ``folder``/USER/Maildir, oldest first; the envelope's sender is not known there."""

    def read() -> list[Delivery]:
        paths = list(folder.glob("*/Maildir/new/*"))
        paths.sort(key=lambda path: (path.stat().st_mtime_ns, path.name))
        return [Delivery("", path.parents[2].name, path.read_bytes()) for path in paths]

    return read


@contextlib.contextmanager
def peer_folder(name: str, certificate: certificates.Certificate | None = None) -> Iterator[Path]:
    """A folder that the users of daemons may enter, with the certificate, the delivery command and what it keeps."""
    folder = Path(tempfile.mkdtemp(prefix=f"msmtp-{name}-"))
    try:
        folder.chmod(0o755)
        certificate = certificate or certificates.localhost()
        for name_here, source, mode in (("chain.pem", certificate.chain, 0o644), ("key.pem", certificate.key, 0o600)):
            shutil.copy(source, folder / name_here)
            (folder / name_here).chmod(mode)
        (folder / "keep").write_text(KEEP)
        (folder / "keep").chmod(0o755)
        for name_here in ("kept", "logs"):
            (folder / name_here).mkdir()
            (folder / name_here).chmod(stat.S_ISVTX | 0o777)
        (folder / "scratch").mkdir()
        yield folder
    finally:
        shutil.rmtree(folder)


def daemon(
    folder: Path, bundles: Sequence[str], command: Sequence[str | Path], ports: Mapping[str, int], prepare: str = ""
) -> Daemon:
    """The daemon in a view with these bundles, writing to ``folder``/log, ready when all ``ports`` listen."""
    view = in_view([debian.bundle(name) for name in bundles], folder / "scratch", command, prepare)
    return Daemon(view, ready=listens(*ports.values()), log=folder / "log", kill_child=True)
