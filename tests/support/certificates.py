"""A certificate authority for the tests, and what it issues.

Keys are ECDSA P-256, made anew in every run, valid for 127.0.0.1, ::1 and localhost unless told otherwise.  A test that
wants a bad certificate asks for it by name: another host, expired, not yet valid, from an authority nobody trusts.
"""

from __future__ import annotations

import datetime as dt
import functools
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

import trustme

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Certificate:
    """PEM files of one certificate: ``chain`` (leaf first), ``key``, ``both`` in one file, ``authority`` to trust."""

    chain: Path
    key: Path
    both: Path
    authority: Path

    def der(self) -> bytes:
        """The leaf as DER, what fingerprints are taken of."""
        return ssl.PEM_cert_to_DER_cert(self.chain.read_text().split("-----END CERTIFICATE-----")[0] + PEM_END)

    def server_context(self, **settings: object) -> ssl.SSLContext:
        """A context that serves this certificate; ``settings`` are attributes to set on it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        for name, value in settings.items():
            setattr(context, name, value)
        return context

    def client_context(self) -> ssl.SSLContext:
        """A context that trusts the authority of this certificate and nobody else."""
        return ssl.create_default_context(cafile=str(self.authority))


PEM_END = "-----END CERTIFICATE-----\n"


class Authority:
    """One authority; every certificate it issues lies in ``folder``."""

    def __init__(self, folder: Path, name: str = "Test authority") -> None:
        self.folder = folder
        self.ca = trustme.CA(organization_name="msmtp", organization_unit_name=name)
        self.file = folder / "authority.pem"
        self.ca.cert_pem.write_to_path(str(self.file))
        self._count = 0

    def issue(
        self,
        *names: str,
        common_name: str | None = None,
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        rsa: bool = False,
    ) -> Certificate:
        """A certificate for these host names and addresses (default: the ways to say this machine)."""
        kind = trustme.KeyType.RSA if rsa else trustme.KeyType.ECDSA
        leaf = self.ca.issue_cert(
            *(names or LOOPBACK), common_name=common_name, not_before=not_before, not_after=not_after, key_type=kind
        )
        self._count += 1
        stem = self.folder / f"{self._count}"
        chain, key, both = stem.with_suffix(".chain.pem"), stem.with_suffix(".key.pem"), stem.with_suffix(".both.pem")
        chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        key.write_bytes(leaf.private_key_pem.bytes())
        key.chmod(0o600)
        both.write_bytes(leaf.private_key_and_cert_chain_pem.bytes())
        both.chmod(0o600)
        return Certificate(chain, key, both, self.file)

    def expired(self, *names: str) -> Certificate:
        """A certificate that ended yesterday."""
        now = dt.datetime.now(dt.UTC)
        return self.issue(*names, not_before=now - dt.timedelta(days=9), not_after=now - dt.timedelta(days=1))

    def future(self, *names: str) -> Certificate:
        """A certificate that begins tomorrow."""
        now = dt.datetime.now(dt.UTC)
        return self.issue(*names, not_before=now + dt.timedelta(days=1), not_after=now + dt.timedelta(days=9))


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []  # removed when the interpreter ends


def new_authority(name: str = "Test authority") -> Authority:
    """A fresh authority in a folder of its own, which goes when the run ends."""
    _FOLDERS.append(tempfile.TemporaryDirectory(prefix="msmtp-test-ca-"))
    return Authority(Path(_FOLDERS[-1].name), name)


@functools.cache
def authority() -> Authority:
    """The authority that the whole run shares."""
    return new_authority()


@functools.cache
def localhost() -> Certificate:
    """The certificate that most servers of a run show: good for localhost, 127.0.0.1 and ::1."""
    return authority().issue()
