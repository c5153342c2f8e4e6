"""What OpenSSL can and Python's module cannot yet: the suites of TLS 1.3, the groups and the signatures of a context.

Python 3.15 has methods for it.  For older ones this calls OpenSSL itself, the very library that ``_ssl`` is linked
with, and takes the address of its SSL_CTX from the first field of the context object, where it stands in every CPython
from 3.6 to 3.14.  Elsewhere it says that it cannot.  Used only by accounts whose tls_priorities ask for it.
"""

from __future__ import annotations

import sys

from msmtp.net import _openssl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.net._openssl import Context

SSL_CTRL_SET_GROUPS_LIST, SSL_CTRL_SET_SIGALGS_LIST = 92, 98
KNOWN_LAYOUT = ((3, 11), (3, 14))


def set_suites_of_tls1_3(context: Context, names: list[str]) -> bool:
    """Offer these and no others in TLS 1.3; False: OpenSSL does not know one of them."""
    if (method := getattr(context, "set_ciphersuites", None)) is not None:
        return _accepts(method, names)
    library, address = _library(context)
    return bool(library.SSL_CTX_set_ciphersuites(address, ":".join(names).encode()))


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


def _accepts(method: object, names: list[str]) -> bool:
    try:
        method(":".join(names))  # type: ignore[operator]
    except (_openssl.SSLError, ValueError):
        return False
    return True


def _control(context: Context, command: int, names: list[str]) -> bool:
    library, address = _library(context)
    return bool(library.SSL_CTX_ctrl(address, command, 0, ":".join(names).encode()))


def _library(context: Context):  # type: ignore[no-untyped-def]  # noqa: ANN202 - ctypes is not to be imported for its types
    """libssl, and the address of the context's SSL_CTX; NotImplementedError: not known how on this Python."""
    if sys.implementation.name != "cpython" or not KNOWN_LAYOUT[0] <= sys.version_info[:2] <= KNOWN_LAYOUT[1]:
        raise NotImplementedError
    try:
        import _ssl
        import ctypes
    except ImportError:
        raise NotImplementedError from None
    library = ctypes.CDLL(getattr(_ssl, "__file__", None))
    library.SSL_CTX_set_ciphersuites.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    library.SSL_CTX_ctrl.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p)
    library.SSL_CTX_ctrl.restype = ctypes.c_long
    return library, ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
