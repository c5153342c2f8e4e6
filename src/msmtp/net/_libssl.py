"""What OpenSSL can and Python's module cannot: suites of TLS 1.3, groups, signatures; providers, their certificates.

For the first three Python 3.15 has methods.  For older ones this calls OpenSSL itself, the library that ``_ssl`` is
linked with, and takes the address of its SSL_CTX from the first field of the context object, where it stands in every
CPython from 3.6 to 3.14.  Elsewhere it says that it cannot (NotImplementedError; ImportError if there is no ctypes).

Loaded (2.6 ms) only by accounts whose tls_priorities ask for it, or whose certificate is on a token.
"""

from __future__ import annotations

import _ssl
import ctypes
import sys
from ctypes import byref, c_char_p, c_int, c_long, c_void_p

from msmtp.net import _openssl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from msmtp.net._openssl import Context

SSL_CTRL_SET_GROUPS_LIST, SSL_CTRL_SET_SIGALGS_LIST = 92, 98
KNOWN_LAYOUT = ((3, 11), (3, 14))

# Name, result, arguments, as in openssl/ssl.h, provider.h, store.h, x509.h, err.h.
FUNCTIONS = (
    ("SSL_CTX_set_ciphersuites", c_int, (c_void_p, c_char_p)),
    ("SSL_CTX_ctrl", c_long, (c_void_p, c_int, c_long, c_char_p)),
    ("OSSL_PROVIDER_try_load", c_void_p, (c_void_p, c_char_p, c_int)),
    ("OSSL_STORE_open", c_void_p, (c_char_p, c_void_p, c_void_p, c_void_p, c_void_p)),
    ("OSSL_STORE_load", c_void_p, (c_void_p,)),
    ("OSSL_STORE_eof", c_int, (c_void_p,)),
    ("OSSL_STORE_close", c_int, (c_void_p,)),
    ("OSSL_STORE_INFO_get0_CERT", c_void_p, (c_void_p,)),
    ("OSSL_STORE_INFO_free", None, (c_void_p,)),
    ("i2d_X509", c_int, (c_void_p, c_void_p)),
    ("ERR_clear_error", None, ()),
)


def function(name: str) -> Callable[..., int]:
    """A function of OpenSSL's with its types; NotImplementedError: this OpenSSL (before 3.0) has it not."""
    try:
        found = getattr(ctypes.CDLL(getattr(_ssl, "__file__", None)), name)
    except AttributeError:
        raise NotImplementedError from None
    _, found.restype, found.argtypes = next(row for row in FUNCTIONS if row[0] == name)
    return found  # type: ignore[no-any-return]


def set_suites_of_tls1_3(context: Context, names: list[str]) -> bool:
    """Offer these and no others in TLS 1.3; False: OpenSSL does not know one of them."""
    if (method := getattr(context, "set_ciphersuites", None)) is not None:
        return _accepts(method, names)
    return bool(function("SSL_CTX_set_ciphersuites")(_address(context), ":".join(names).encode()))


def set_groups(context: Context, names: list[str]) -> bool:
    """Offer these groups and no others; False: OpenSSL does not know one of them."""
    if (method := getattr(context, "set_groups", None)) is not None:
        return _accepts(method, names)
    return _control(context, SSL_CTRL_SET_GROUPS_LIST, names)


def set_signatures(context: Context, names: list[str]) -> bool:
    """Accept these signature algorithms and no others; False: OpenSSL does not know one of them."""
    if (method := getattr(context, "set_server_sigalgs", None)) is not None:
        return _accepts(method, names)
    return _control(context, SSL_CTRL_SET_SIGALGS_LIST, names)


def _accepts(method: Callable[[str], None], names: list[str]) -> bool:
    try:
        method(":".join(names))
    except (_openssl.SSLError, ValueError):
        return False
    return True


def _control(context: Context, command: int, names: list[str]) -> bool:
    return bool(function("SSL_CTX_ctrl")(_address(context), command, 0, ":".join(names).encode()))


def _address(context: Context) -> int | None:
    """The address of the context's SSL_CTX; NotImplementedError: not known how on this Python."""
    if sys.implementation.name != "cpython" or not KNOWN_LAYOUT[0] <= sys.version_info[:2] <= KNOWN_LAYOUT[1]:
        raise NotImplementedError
    return c_void_p.from_address(id(context) + object.__basicsize__).value


def load_provider(name: str) -> bool:
    """Load a provider (provider(7)) beside those that OpenSSL has; False: it is not installed."""
    loaded = function("OSSL_PROVIDER_try_load")(None, name.encode(), 1)
    function("ERR_clear_error")()
    return bool(loaded)


def stored_certificate(uri: str) -> bytes:
    """The first certificate (DER) in a store that a provider opens (ossl_store(7)); b"": there is none."""
    store = function("OSSL_STORE_open")(uri.encode(), None, None, None, None)
    found = b""
    while store and not found and not function("OSSL_STORE_eof")(store):
        entry = function("OSSL_STORE_load")(store)
        if not entry:
            break
        certificate = function("OSSL_STORE_INFO_get0_CERT")(entry)
        found = _encoded(certificate) if certificate else b""
        function("OSSL_STORE_INFO_free")(entry)
    if store:
        function("OSSL_STORE_close")(store)
    function("ERR_clear_error")()
    return found


def _encoded(certificate: int) -> bytes:
    """The DER of an X509 object (i2d_X509(3))."""
    encode = function("i2d_X509")
    buffer = ctypes.create_string_buffer(max(encode(certificate, None), 1))
    place = c_void_p(ctypes.addressof(buffer))
    encode(certificate, byref(place))
    return buffer.raw
