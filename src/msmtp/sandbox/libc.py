"""Calls into the C library: the one place that does so.

``ctypes`` costs 2.6 ms to import, its extension module ``_ctypes`` a tenth of that, and the extension holds all that is
needed here.  It is private to Python, so whatever goes wrong with it sends us to the public module, and a test takes
both ways on each Python.

``struct`` is not imported either: what is handed to the kernel is words in a row.

Arguments are integers (as C int), bytes (as a pointer to them) or None (a null pointer); the result is a C int.
"""

from __future__ import annotations

import sys

from msmtp.failures import Failure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def private() -> tuple[Callable[[str], Any], Callable[[bytes], int], Callable[[], int]]:
    """The three things needed, out of ``_ctypes``: function by name, address of bytes, errno of the last call."""
    from _ctypes import (
        FUNCFLAG_CDECL,
        FUNCFLAG_USE_ERRNO,
        CFuncPtr,
        _SimpleCData,
        dlopen,
        dlsym,
        get_errno,
    )

    class Function(CFuncPtr):
        _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO

    class Characters(_SimpleCData):  # type: ignore[type-arg]
        _type_ = "z"

    class Pointer(_SimpleCData):  # type: ignore[type-arg]
        _type_ = "P"

    process = dlopen(None, 0)  # type: ignore[arg-type] # None is the process itself
    return (
        lambda name: Function(dlsym(process, name)),
        lambda data: Pointer.from_buffer(Characters(data)).value,
        get_errno,
    )


def public() -> tuple[Callable[[str], Any], Callable[[bytes], int], Callable[[], int]]:
    """The same out of ``ctypes``."""
    import ctypes

    process = ctypes.CDLL(None, use_errno=True)

    def address(data: bytes) -> int:
        return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0

    return process.__getattr__, address, ctypes.get_errno


def words(size: int, *values: int) -> bytes:
    """Unsigned integers of ``size`` bytes in the machine's order."""
    return b"".join([value.to_bytes(size, sys.byteorder) for value in values])


_WAYS: list[tuple[Callable[[str], Any], Callable[[bytes], int], Callable[[], int]]] = []
"""Those of this process, once they were looked for."""


class Library:
    """The C library of this process.  ImportError where Python was built without ctypes."""

    __slots__ = ("_address", "_errno", "_function", "_functions")

    def __init__(self) -> None:
        if not _WAYS:
            try:
                _WAYS.append(private())
            except Failure:
                raise  # a signal
            except Exception:  # noqa: BLE001 - whatever a later Python changed about its private module
                _WAYS.append(public())
        self._function, self._address, self._errno = _WAYS[0]
        self._functions: dict[str, Callable[..., int]] = {}

    def call(self, name: str, *arguments: int | bytes | None) -> int:
        """Call a function that returns -1 and sets errno when it fails; then OSError."""
        result: int = self.function(name)(*arguments)
        if result == -1:
            number = self._errno()
            raise OSError(number, os.strerror(number))
        return result

    def function(self, name: str) -> Callable[..., int]:
        """A function by its name; it says what it says."""
        found: Callable[..., int] | None = self._functions.get(name)
        if found is None:
            found = self._functions[name] = self._function(name)
        return found

    def counted(self, count: int, data: bytes) -> bytes:
        """A structure of a 16-bit count and a pointer to the data, which the caller must keep alive."""
        pointer = 8 if sys.maxsize >> 32 else 4
        return words(2, count).ljust(pointer, b"\0") + words(pointer, self._address(data))
