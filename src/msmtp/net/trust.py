"""Which authorities are trusted, and how to trust 144 of them without reading 144.

The commonest line in all configuration files is ``tls_trust_file /etc/ssl/certs/ca-certificates.crt``.  OpenSSL needs
17 ms to load that file; a whole mail takes less.  A verification looks at one or two of its certificates, those whose
name the server's chain mentions, but which ones is known only in the middle of the handshake.  So a large file is only
decoded beforehand (0.6 ms), and when the server's certificates arrive, before OpenSSL looks at them, those of the file
that can matter are put into OpenSSL's store.  OpenSSL then finds what it would have found in the whole file:

 * It looks an authority up by name: the subject of a trusted certificate against the issuer of one in the chain.  Names
   are compared without regard to case, to runs of spaces and to the string type (RFC 5280, section 7.1), so the words
   of the name, in lower case, must all occur in a certificate that matches.  Those of the file in which they do are
   loaded: some too many, none too few.  Those that stand in the chain themselves are among them: each names its issuer.
 * Where that reasoning could fail (a name in UTF-16, no ASCII word in it, a message that cannot be read, a file with
   other things in it than plain certificates), the whole file is loaded.
 * Only certificates of the file are ever loaded, so nothing else is ever trusted.

Every certificate in a trust file is an anchor, as with GnuTLS: an intermediate authority or a server's own certificate
may stand there without its issuer (VERIFY_PARTIAL_CHAIN).

``system`` means what OpenSSL means by it: its bundle and its directory whose files are named by hashes of their subject
(OpenSSL opens what it needs), or what SSL_CERT_FILE and SSL_CERT_DIR say in their place.  Most systems keep the same
authorities in both, and then the directory is enough.
"""

from __future__ import annotations

import binascii
import time

from msmtp.failures import SHORTAGES, TlsFileFailure
from msmtp.net import _openssl
from msmtp.net.certificate import BYTE_STRINGS, Certificate, attributes
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from msmtp.net._openssl import Context

SYSTEM = "system"

# Below this size OpenSSL reads a file as fast as we could choose from it.
LARGE = 32 * 1024

LINKS_IN_A_ROW = 40  # the kernel follows no more

MANY = 8  # files known at a time: an account has one
_SETTLED = 2.0  # seconds after which a change would show in a file's times

# Where systems keep their authorities, for a Python whose OpenSSL was built for another place: Debian, Ubuntu, Arch,
# Gentoo and SUSE; Fedora and its kin; Alpine, macOS, OpenBSD; FreeBSD.
SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
)

BEGIN = b"-----BEGIN "
BEGIN_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
BEGIN_CERTIFICATE_LINE = b"\n" + BEGIN_CERTIFICATE
END_CERTIFICATE_LINE = b"\n-----END CERTIFICATE-----"
PEM_LINE = 64  # characters (RFC 7468, section 2)

# Start of every attribute type of X.520 in a Name; the byte after it is the type's number, then comes the string's tag.
X520 = b"\x06\x03\x55\x04"
WIDE_STRINGS = {b"\x1c", b"\x1e"}  # UniversalString, BMPString: two or four bytes a character


class Bundle:
    """The certificates of a large file, decoded and not yet given to OpenSSL.

    All of them lie in one piece, and once more in lower case: to search it takes a call for each that is found, and a
    process that was forked from the one that decoded them only reads what it would otherwise have to copy.
    """

    __slots__ = ("_ends", "_lower", "_octets", "indexable")

    def __init__(self, certificates: list[bytes]) -> None:
        self._octets = b"".join(certificates)
        self._lower = self._octets.lower()
        ends, end = [], 0
        for certificate in certificates:
            end += len(certificate)
            ends.append(end)
        self._ends = tuple(ends)
        tags = {part[1:2] for part in self._octets.split(X520)}
        self.indexable = WIDE_STRINGS.isdisjoint(tags)

    @property
    def certificates(self) -> list[bytes]:
        """All of them, in their order."""
        return self._these(range(len(self._ends)))

    def relevant(self, chain: list[bytes]) -> list[bytes]:
        """Those of its certificates that a verification of ``chain`` (DER) can ask for: some too many, none too few."""
        try:
            wanted = [words(name) for name in {Certificate(raw).issuer for raw in chain}]
        except ValueError:
            return self.certificates
        if not self.indexable or not all(wanted):
            return self.certificates
        return self._these(sorted({number for name in wanted for number in self._with_all(name)}))

    def _these(self, numbers: Iterable[int]) -> list[bytes]:
        return [self._octets[self._ends[number - 1] if number else 0 : self._ends[number]] for number in numbers]

    def _with_all(self, wanted: list[bytes]) -> Iterator[int]:
        """Numbers of the certificates in which all these words stand, the longest of them first."""
        first, *others = wanted
        number, start = 0, 0
        at = self._lower.find(first)
        while at >= 0:
            while self._ends[number] <= at:
                start = self._ends[number]
                number += 1
            end = self._ends[number]
            if at + len(first) > end:  # it only seems to stand here: the rest of it is the next one's
                at = self._lower.find(first, at + 1)
                continue
            if all(self._lower.find(word, start, end) >= 0 for word in others):
                yield number
            at = self._lower.find(first, end)


KNOWN: dict[tuple[int, ...], Bundle] = {}
"""Large files that are decoded already, by what tells a file and its state from all others; see :func:`know`."""


def know(path: str, largest: int) -> bool:
    """Decode a file's authorities now, for all loads of that file to come, here and in children; whether it was done.

    For a process that forks those that send.  It takes nothing but a large file of certificates, and of no more than
    ``largest`` octets, that has not changed for a while: a file's times are too coarse for what comes in between.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # whatever it is, nothing waits for it
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return False
    try:
        found = os.fstat(descriptor)
        key = _state(found)
        if key in KNOWN or not LARGE <= found.st_size <= largest or found.st_ctime > time.time() - _SETTLED:
            return False
        data = os.read(descriptor, largest)
    except OSError:  # a directory
        return False
    finally:
        os.close(descriptor)
    bundle = read_bundle(data) if _openssl.PRIVATE and len(data) == found.st_size else None
    if bundle is None or not bundle.certificates:
        return False
    if len(KNOWN) >= MANY:
        del KNOWN[next(iter(KNOWN))]  # of what was a file once
    KNOWN[key] = bundle
    return True


def _known(path: str) -> Bundle | None:
    """What is known of a file as it is now, if it can be read."""
    if not KNOWN:
        return None
    try:
        with open(path, "rb", buffering=0) as file:
            return KNOWN.get(_state(os.fstat(file.fileno())))
    except OSError:
        return None


def _state(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def words(name: bytes) -> list[bytes]:
    """The ASCII words of a Name in lower case, the longest first; none if it has a string that is not bytes."""
    found = set()
    for _, tag, value in attributes(name):
        if tag not in BYTE_STRINGS:
            return []
        found.update([word for word in value.lower().split() if word.isascii()])
    return sorted(found, key=len, reverse=True)


def read_bundle(data: bytes) -> Bundle | None:
    """The certificates of a PEM file; None if it holds anything that OpenSSL should rather read itself.

    A block begins and ends at the start of a line, with nothing behind it in that line, and has nothing but base64 in
    between.  What begins elsewhere is there in order not to be read: an authority that somebody has commented out.
    """
    text, *blocks = data.split(BEGIN_CERTIFICATE_LINE)
    if text.startswith(BEGIN_CERTIFICATE):
        blocks.insert(0, text.removeprefix(BEGIN_CERTIFICATE))
        text = b""
    certificates = []
    for block in blocks:
        if BEGIN in text:
            return None
        body, end, text = block.partition(END_CERTIFICATE_LINE)
        certificate = _decoded(body)
        if not end or not certificate or text[:1] not in b"\r\n":  # nothing is: the next block begins at once
            return None
        certificates.append(certificate)
    return None if BEGIN in text else Bundle(certificates)


def _decoded(body: bytes) -> bytes:
    """What stands in base64 between two lines; b"" if anything but line ends is between its characters."""
    try:
        octets = binascii.a2b_base64(body)  # which leaves out whatever it does not know
    except ValueError:  # binascii.Error is one
        return b""
    characters = (len(octets) + 2) // 3 * 4
    others = len(body) - characters
    if others != -(-characters // PEM_LINE):  # to count line ends takes a third as long as to decode
        ends = body.count(b"\n")
        if others not in (ends, ends + body.count(b"\r")):
            return b""
    return octets if body[:1] in b"\r\n" else b""


class Trust:
    """The authorities of one account, on their way into a context.

    ``bundle``: what waits for the server's certificates, ``path`` where it came from.  ``directory``: what OpenSSL
    reads during the handshake.
    """

    __slots__ = ("bundle", "directory", "path")

    def __init__(self) -> None:
        self.bundle: Bundle | None = None
        self.path = ""
        self.directory = ""

    def load_file(self, context: Context, path: str) -> None:
        """Trust every certificate of a PEM file; TlsFileFailure."""
        if bundle := _known(path):
            self.bundle, self.path = bundle, path
            return
        try:
            data = read_file(path)
        except OSError as error:
            raise _unusable(path, error.strerror or str(error)) from None
        if BEGIN not in data:
            raise _unusable(path, "no certificate in PEM format in it")
        if len(data) >= LARGE and _openssl.PRIVATE and (bundle := read_bundle(data)):
            self.bundle, self.path = bundle, path
            return
        try:
            context.load_verify_locations(path)
        except (OSError, ValueError) as error:
            raise _unusable(path, _openssl.words(error)) from None
        if not context.cert_store_stats()["x509"]:
            raise _unusable(path, "no certificate in PEM format in it")

    def load_system(self, context: Context, *, preload: bool) -> None:
        """Trust what the system trusts.  ``preload``: no file can be opened during the handshake.  TlsFileFailure."""
        bundle, directory = system_paths()
        if directory and not preload:
            context.load_verify_locations(None, directory)
            self.directory = directory
        if bundle:
            self.load_file(context, bundle)
        if directory and preload:
            self.path = directory
            waiting = self.bundle.certificates if self.bundle else []
            self.bundle = Bundle(
                [*waiting, *[raw for place in directory.split(":") for raw in _hashed(context, place)]]
            )

    def load_crl(self, context: Context, path: str) -> None:
        """Refuse what the lists in a PEM file revoke; TlsFileFailure.

        OpenSSL trusts every certificate that it finds in such a file.  Lists are signed, so people fetch them without
        encryption: whoever can change one on its way must not become an authority by it.

        OpenSSL then wants a current list of the authority that issued the server's certificate, and if the file has
        more than one list, of every authority in the chain; without them it refuses.
        """
        try:
            before = context.cert_store_stats()
            context.load_verify_locations(path)
            after = context.cert_store_stats()
        except (OSError, ValueError) as error:
            raise _unusable_crl(path, _openssl.words(error)) from None
        if after["x509"] > before["x509"]:
            raise _unusable_crl(path, "a certificate is in it, which would be trusted as an authority")
        lists = after["crl"] - before["crl"]
        if not lists:
            raise _unusable_crl(path, "no revocation list in PEM format in it")
        context.verify_flags |= _openssl.VERIFY_CRL_CHECK_LEAF if lists == 1 else _openssl.VERIFY_CRL_CHECK_CHAIN

    def add(self, context: Context, chain: list[bytes]) -> None:
        """Give OpenSSL what it may ask for when it verifies ``chain``; no chain: everything.  TlsFileFailure."""
        if self.bundle is None:
            return
        certificates = self.bundle.relevant(chain) if chain else self.bundle.certificates
        if not certificates:
            return
        try:
            context.load_verify_locations(None, None, b"".join(certificates))
        except (OSError, ValueError) as error:
            raise _unusable(self.path, _openssl.words(error)) from None

    def paths(self) -> list[str]:
        """The directories that OpenSSL opens files in during the handshake, those behind symbolic links included."""
        found = []
        for directory in self.directory.split(":") if self.directory else ():
            found += [directory, *_targets(directory)]
        return list(dict.fromkeys(found))


def _targets(directory: str) -> set[str]:
    """The directories to which the symbolic links of a hashed directory lead, be it over several in a row."""
    found: dict[str, set[str]] = {}  # by directory, what is followed there, each once
    ahead = {directory: set(_names(directory))}
    for _ in range(LINKS_IN_A_ROW):
        here, ahead = ahead, {}
        for folder, names in here.items():
            new = names - found.setdefault(folder, set())
            found[folder] |= new
            for place, name in _led(folder, new if folder == directory else _links(folder, new)):
                if place != directory:  # all that is in it comes by itself
                    ahead.setdefault(place, set()).add(name)
    return set(found)


def _led(folder: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Directory and name of what each symbolic link among some names leads to."""
    for name in names:
        try:
            place, slash, last = os.readlink(f"{folder}/{name}").rpartition("/")
        except OSError:  # a file, not a link
            continue
        if not slash:
            yield folder, last
        else:
            yield (place or "/" if place[:1] in ("", "/") else f"{folder}/{place}"), last


def _links(folder: str, names: set[str]) -> Iterable[str]:
    """Those of the names that may be symbolic links: a list of all is had sooner than an answer about each."""
    if not names:
        return ()
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.name in names and entry.is_symlink()]
    except OSError:  # one that cannot be listed
        return names


def read_file(path: str) -> bytes:
    """The whole of a file."""
    with open(path, "rb", buffering=0) as file:
        return file.read()


def system_paths() -> tuple[str, str]:
    """The system's bundle ("" if its directory will do) and its hashed directory ("" if there is none)."""
    default_bundle, default_directory = _openssl.default_trust()
    directory = os.environ.get("SSL_CERT_DIR", default_directory)
    hashes = {place: count_hashes(place) for place in directory.split(":")}
    directory = ":".join([place for place, count in hashes.items() if count])
    bundle = os.environ.get("SSL_CERT_FILE")
    if bundle is None:
        bundle = default_bundle if directory and _holds_more(default_bundle, sum(hashes.values())) else ""
    if not bundle and not directory:
        bundle = next((path for path in (default_bundle, *SYSTEM_BUNDLES) if os.access(path, os.R_OK)), "")
        if not bundle:
            raise TlsFileFailure(
                "cannot set X509 system trust for TLS session: this system has no list of trusted authorities",
                hint="install the package ca-certificates, or set tls_trust_file or tls_fingerprint",
            )
    return bundle, directory


def _holds_more(bundle: str, hashes: int) -> bool:
    """Whether the default bundle is to be read beside the default directory.

    Where a system keeps all authorities in both, the directory has as many as the bundle and is enough.  Where somebody
    has made a directory of a few of his own, OpenSSL trusts both, and so the bundle must be read.
    """
    if not os.access(bundle, os.R_OK):
        return False
    try:
        data = read_file(bundle)
    except OSError as error:
        raise _unusable(bundle, error.strerror or str(error)) from None
    return len(data) < LARGE or data.count(BEGIN_CERTIFICATE) > hashes


def count_hashes(directory: str) -> int:
    """How many names a directory has under which OpenSSL looks for certificates: 0123abcd.0."""
    return sum([name[8:9] == "." and name[9:].isdigit() for name in _names(directory)])


def _names(directory: str) -> list[str]:
    """What a directory holds; nothing if it cannot be read.  TlsFileFailure: not just now."""
    try:
        return os.listdir(directory)
    except OSError as error:
        if error.errno in SHORTAGES:
            raise _unusable(directory, error.strerror or str(error)) from None
        return []


def _hashed(context: Context, directory: str) -> Iterator[bytes]:
    """All certificates that OpenSSL could find in a hashed directory, but for those that only it can read.

    Those are loaded.
    """
    for name in _names(directory):
        if name[8:9] == "." and name[9:].isdigit():
            path = f"{directory}/{name}"
            try:
                bundle = read_bundle(read_file(path))
                if bundle is None:
                    context.load_verify_locations(path)
            except _openssl.SSLError:  # no certificate for OpenSSL either
                continue
            except OSError as error:
                if error.errno in SHORTAGES:
                    raise _unusable(path, error.strerror or str(error)) from None
                continue  # a link that leads nowhere
            yield from bundle.certificates if bundle else ()


def _unusable(path: str, reason: str) -> TlsFileFailure:
    return TlsFileFailure(f"cannot set X509 trust file {path} for TLS session: {reason}", hint="check tls_trust_file")


def _unusable_crl(path: str, reason: str) -> TlsFileFailure:
    return TlsFileFailure(f"cannot set X509 CRL file {path} for TLS session: {reason}", hint="check tls_crl_file")
