"""Channel binding: a value that both ends of one TLS session share and nobody in between has (RFC 5056).

TLS 1.3 has ``tls-exporter`` (RFC 9266): 32 octets exported from the secrets of the session.  Python cannot export, but
OpenSSL writes the exporter secret to a key log when it is told to, and from that the value follows by RFC 8446, section
7.5.  The key log is a pipe: what is read from it is nowhere any more, and no file ever held it.

TLS 1.2 has ``tls-unique`` (RFC 5929, section 3), the first Finished message.  It is only unique if the session has the
extended master secret (RFC 7627, section 5.4), so without that there is no channel binding.  Nor would there be in a
session that is resumed; we resume none.

Loaded before the process gives up its rights; afterwards it needs read() and close() alone.
"""

from __future__ import annotations

import binascii

from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import new as hash_of
    from hmac import digest as hmac

    from msmtp.net._openssl import Context, Session

else:
    try:
        from _hashlib import hmac_digest as hmac
        from _hashlib import new as hash_of
    except (
        ModuleNotFoundError
    ):  # one that cannot be loaded for want of memory is no reason to load more: see _digest.py
        from hashlib import new as hash_of
        from hmac import digest as hmac

EXPORTER = b"tls-exporter"
UNIQUE = b"tls-unique"

LABEL = b"EXPORTER-Channel-Binding"  # RFC 9266, section 4.2, with no context
SIZE = 32

# End of the cipher's name -> the hash of its key derivation (RFC 8446, section B.4).
HASHES = {"SHA256": "sha256", "SHA384": "sha384"}

# Handshake messages and extensions (RFC 8446, sections 4 and 4.2; RFC 5246, section 7.4; RFC 7627).
SERVER_HELLO, SERVER_KEY_EXCHANGE, CERTIFICATE_VERIFY = 2, 12, 15
EXTENDED_MASTER_SECRET, KEY_SHARE = 0x0017, 0x0033

DESCRIPTORS = "/proc/self/fd"  # what is open, by names that OpenSSL can open
_LOG_SIZE = 65536


class KeyLog:
    """Where OpenSSL writes the secrets of the coming session.  OSError: not here (no /proc in a chroot)."""

    __slots__ = ("_read_end",)

    def __init__(self, context: Context) -> None:
        self._read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            context.keylog_filename = f"{DESCRIPTORS}/{write_end}"
        finally:
            os.close(write_end)  # OpenSSL has opened it anew

    def exporter_secret(self, context: Context) -> bytes:
        """The session's exporter_master_secret, b"" if there is none; the log ends here."""
        try:
            lines = os.read(self._read_end, _LOG_SIZE).split(b"\n")
        except BlockingIOError:
            lines = []
        self.close(context)
        for line in lines:
            if line.startswith(b"EXPORTER_SECRET "):
                return binascii.unhexlify(line.split(b" ")[2])
        return b""

    def close(self, context: Context) -> None:
        """Log nothing more."""
        context.keylog_filename = None
        self.__del__()

    def __del__(self) -> None:
        if self._read_end >= 0:
            os.close(self._read_end)
            self._read_end = -1


def channel_binding(session: Session, secret: bytes, messages: dict[int, bytes]) -> tuple[bytes, bytes] | None:
    """The session's channel binding as type and value; None if it has none that is safe.

    ``secret``: of the key log.  ``messages``: the server's handshake messages by their type.
    """
    version, cipher = session.version(), (session.cipher() or ("",))[0]
    if version == "TLSv1.3":
        name = HASHES.get(cipher.rpartition("_")[2])
        return (EXPORTER, export(secret, name, LABEL, SIZE)) if secret and name else None
    value = session.get_channel_binding("tls-unique")
    if value and EXTENDED_MASTER_SECRET in extensions(messages.get(SERVER_HELLO, b"")):
        return UNIQUE, value
    return None


def export(secret: bytes, name: str, label: bytes, size: int) -> bytes:
    """TLS-Exporter of RFC 8446, section 7.5, with an empty context; ``size`` at most that of the hash ``name``."""
    nothing = hash_of(name, b"").digest()
    return expand_label(expand_label(secret, name, label, nothing, len(nothing)), name, b"exporter", nothing, size)


def expand_label(secret: bytes, name: str, label: bytes, context: bytes, size: int) -> bytes:
    """HKDF-Expand-Label of RFC 8446, section 7.1, for at most one block (RFC 5869, section 2.3)."""
    label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes((len(label),)) + label + bytes((len(context),)) + context
    return hmac(secret, info + b"\x01", name)[:size]


def extensions(hello: bytes) -> dict[int, bytes]:
    """The extensions of a ServerHello, header included (RFC 8446, section 4.1.3); what cannot be read is left out.

    Header 4 octets, version 2, random 32, session id (with its length), cipher suite 2, compression 1, extensions.
    """
    found: dict[int, bytes] = {}
    at = 38 + 1 + (hello[38] if len(hello) > 38 else 0) + 2 + 1 + 2  # noqa: PLR2004 - see above
    while at + 4 <= len(hello):
        size = int.from_bytes(hello[at + 2 : at + 4], "big")
        found[int.from_bytes(hello[at : at + 2], "big")] = hello[at + 4 : at + 4 + size]
        at += 4 + size
    return found
