"""The one door to OpenSSL.

Python's ``ssl`` costs 13 ms to import (enum, socket, base64 ...), the module under it, ``_ssl``, 2.5.  A whole
mail is sent in less, so this file uses ``_ssl`` where it has the shape known here, and ``ssl`` where not.  Both
give the same checks, for the checks are OpenSSL's: a context made for a client verifies the chain and the host name.

``PRIVATE`` says which of the two is in use.  Nothing outside this file may touch either module.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Session(Protocol):
        """What is used of ``_ssl._SSLSocket`` and of ``ssl.SSLObject`` alike."""

        def do_handshake(self) -> None: ...
        def read(self, size: int, /) -> bytes: ...
        def write(self, data: bytes | memoryview, /) -> int: ...
        def getpeercert(self, binary: bool, /) -> bytes | None: ...
        def cipher(self) -> tuple[str, str, int] | None: ...
        def version(self) -> str | None: ...
        def get_channel_binding(self, kind: str, /) -> bytes | None: ...

    class Context(Protocol):
        """What is used of ``_ssl._SSLContext`` and of ``ssl.SSLContext`` alike."""

        verify_mode: int
        check_hostname: bool
        verify_flags: int
        options: int
        minimum_version: int
        num_tickets: int
        maximum_version: int
        keylog_filename: str | None

        @property
        def security_level(self) -> int: ...

        def load_verify_locations(
            self, cafile: str | None = None, capath: str | None = None, cadata: bytes | None = None
        ) -> None: ...
        def load_cert_chain(
            self, certfile: str, keyfile: str | None = None, password: Callable[[], bytes] | None = None
        ) -> None: ...
        def set_ciphers(self, ciphers: str, /) -> None: ...
        def set_ecdh_curve(self, name: str, /) -> None: ...
        def cert_store_stats(self) -> dict[str, int]: ...
        def get_ciphers(self) -> list[dict[str, object]]: ...

    # One handshake message in passing: "read" or "write", its type (RFC 8446, section 4), the message with its header.
    Observer = Callable[[str, int, bytes], None]
    _library: Any

try:
    import _ssl as _library

    PRIVATE = bool(_library._SSLContext._wrap_bio)  # noqa: SLF001 - this file exists for it
    CERT_NONE, CERT_REQUIRED = 0, 2
except (ImportError, AttributeError):
    import ssl as _library

    PRIVATE = False
    CERT_NONE, CERT_REQUIRED = _library.CERT_NONE, _library.CERT_REQUIRED

if TYPE_CHECKING:
    import _ssl

    MemoryBIO = _ssl.MemoryBIO
    SSLError = _ssl.SSLError
    SSLCertVerificationError = _ssl.SSLCertVerificationError
    SSLWantReadError = _ssl.SSLWantReadError
    SSLZeroReturnError = _ssl.SSLZeroReturnError
else:
    MemoryBIO = _library.MemoryBIO
    SSLError = _library.SSLError
    SSLCertVerificationError = _library.SSLCertVerificationError
    SSLWantReadError = _library.SSLWantReadError
    SSLZeroReturnError = _library.SSLZeroReturnError

OPENSSL_VERSION = _library.OPENSSL_VERSION

# Protocol versions as they stand on the wire; the contexts take them as numbers.
TLS1_0, TLS1_1, TLS1_2, TLS1_3 = 0x0301, 0x0302, 0x0303, 0x0304

# OpenSSL's names of options and flags (openssl/ssl.h, openssl/x509_vfy.h); the ABI keeps their values.
OP_LEGACY_SERVER_CONNECT = 1 << 2
OP_NO_TICKET = 1 << 14
OP_NO_RENEGOTIATION = 1 << 30
VERIFY_CRL_CHECK_LEAF = 0x4
VERIFY_CRL_CHECK_CHAIN = 0xC
VERIFY_PARTIAL_CHAIN = 0x80000

# Of a Python that its distributor did not build to use OpenSSL's own suites; it leaves out what old servers need.
_PYTHONS_OWN_SUITES = getattr(_library, "_DEFAULT_CIPHERS", "").startswith("@SECLEVEL")

_PROTOCOL_TLS_CLIENT, _PROTOCOL_TLS_SERVER = 16, 17
_CONTENT_HANDSHAKE = 22
_SSL_ERROR_SYSCALL = 5


_READY: list[Context] = []


def have_ready(count: int) -> None:
    """Make so many contexts now: for a process that forks, whose children each take them as if they were new."""
    while len(_READY) < count:
        _READY.append(_made())


def new_context() -> Context:
    """A client's context: verifies the chain and the host name, offers TLS 1.2 and newer with OpenSSL's suites.

    A server that wants to renegotiate is told no: nothing of ours needs it.
    """
    return _READY.pop() if _READY else _made()


def _made() -> Context:
    if PRIVATE:
        context: Context = _library._SSLContext(_PROTOCOL_TLS_CLIENT)  # noqa: SLF001
    else:
        context = _library.SSLContext(_library.PROTOCOL_TLS_CLIENT)
    if _PYTHONS_OWN_SUITES:
        context.set_ciphers("DEFAULT")
    context.check_hostname = True
    context.verify_mode = CERT_REQUIRED
    context.minimum_version = TLS1_2
    context.options |= OP_NO_RENEGOTIATION
    return context


def new_session(context: Context, incoming: MemoryBIO, outgoing: MemoryBIO, host: str) -> Session:
    """One client over two memory buffers.  ``host``: for SNI (names only) and for the check, where there is one."""
    if PRIVATE:
        return context._wrap_bio(incoming, outgoing, False, host or None)  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001
    # As octets: a str would pass through Python's IDNA codec, whose file is out of reach by now.
    name = host.encode("ascii") or None
    return context.wrap_bio(incoming, outgoing, False, name)  # type: ignore[attr-defined,no-any-return]


def new_server_context() -> Context:
    """A server's context: TLS 1.2 and newer, no client certificates, no renegotiation.

    No session is resumed: each is served by a process of its own, and a ticket's key would outlive them all.
    """
    if PRIVATE:
        context: Context = _library._SSLContext(_PROTOCOL_TLS_SERVER)  # noqa: SLF001
    else:
        context = _library.SSLContext(_library.PROTOCOL_TLS_SERVER)
    context.minimum_version = TLS1_2
    context.options |= OP_NO_RENEGOTIATION | OP_NO_TICKET
    context.num_tickets = 0
    return context


def new_server_session(context: Context, incoming: MemoryBIO, outgoing: MemoryBIO) -> Session:
    """One server over two memory buffers."""
    if PRIVATE:
        return context._wrap_bio(incoming, outgoing, True, None)  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001
    return context.wrap_bio(incoming, outgoing, True)  # type: ignore[attr-defined,no-any-return]


def shutdown(session: Session) -> None:
    """Send close_notify; SSLError where there is nothing left to close."""
    if PRIVATE:
        session.shutdown()  # type: ignore[attr-defined]
    else:
        session.unwrap()  # type: ignore[attr-defined]


def observe(context: Context, observer: Observer | None) -> bool:
    """Show every handshake message to ``observer`` before OpenSSL acts on it; False: this Python cannot."""
    if not PRIVATE or not hasattr(context, "_msg_callback"):
        return False

    def pass_on(_session: object, way: str, _version: int, content: int, kind: int, message: bytes) -> None:
        if content == _CONTENT_HANDSHAKE:
            observer(way, kind, message)  # type: ignore[misc]

    context._msg_callback = pass_on if observer else None  # noqa: SLF001 - this file exists for it
    return True


def default_trust() -> tuple[str, str]:
    """The bundle and the hashed directory that this OpenSSL was built to trust (either may not exist)."""
    paths = _library.get_default_verify_paths()
    if PRIVATE:
        return paths[1], paths[3]
    return paths.openssl_cafile, paths.openssl_capath


def lacked_a_file(error: Exception) -> bool:
    """Whether the other side's certificate failed because a file of the authorities could not be opened.

    An error of the system then stands before that of the verification.  Before 3.12, Python does not make an
    SSLCertVerificationError of that.
    """
    reason, kind = getattr(error, "reason", None), getattr(error, "errno", None)
    return reason == "CERTIFICATE_VERIFY_FAILED" and kind == _SSL_ERROR_SYSCALL


def words(error: Exception) -> str:
    """What OpenSSL or the system says about an error, without the names of its source files."""
    reason = getattr(error, "reason", None)
    if isinstance(error, SSLError) and isinstance(reason, str):
        return reason.replace("_", " ").lower()
    text = getattr(error, "strerror", None) or str(error.args[-1] if error.args else error)
    return "it is not in PEM format" if text.startswith("[SSL] PEM lib") else text  # the one that has no reason
