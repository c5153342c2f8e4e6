"""What --version prints: the lines that scripts look for, and what this installation can do."""

from __future__ import annotations

import sys

from msmtp.config.options import METHODS
from msmtp.config.reader import SYSTEM_FILE, user_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection


def version_text(methods: Collection[str]) -> str:
    """Describe this msmtp; ``methods`` are the authentication methods that can be carried out here."""
    version = sys.modules["msmtp"].__version__  # the package root is loaded, but nothing below it imports it
    supported = [method for method in METHODS if method in methods]
    return "".join(
        f"{line}\n"
        for line in (
            f"msmtp version {version}",
            f"Platform: {platform()}",
            f"TLS/SSL library: {tls_library()}",
            "Authentication library: built-in",
            "Supported authentication methods:",
            "".join(f"{method} " for method in supported),
            f"IDN support: {'enabled' if installed('idna') else 'disabled'}",
            "NLS: disabled",
            f"Keyring support: {_keyrings()}",
            f"System configuration file name: {SYSTEM_FILE}",
            f"User configuration file name: {user_file()}",
            "",
            "Copyright (C) 2026 the msmtp founders.",
            "This is free software under the terms of the MIT license.",
            "There is NO WARRANTY, to the extent permitted by law.",
        )
    )


def installed(name: str) -> bool:
    """Whether Python finds a library (importlib.util would be two milliseconds for this)."""
    return any(finder.find_spec(name, None) is not None for finder in sys.meta_path)


def platform() -> str:
    """What this Python runs on."""
    return getattr(sys.implementation, "_multiarch", "") or sys.platform


def tls_library() -> str:
    """The library that does TLS, with its version."""
    try:
        from _ssl import OPENSSL_VERSION
    except ImportError:
        return "none"
    return str(OPENSSL_VERSION)


def _keyrings() -> str:
    if not installed("keyring"):
        return "none"
    return "MacOS " if sys.platform == "darwin" else "Gnome "
