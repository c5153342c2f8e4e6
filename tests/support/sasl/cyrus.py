"""Cyrus SASL, by its C library: the server's side and the client's, with channel binding.

Its server keeps users in a database (sasldb) that is made here; it belongs to the process, as its settings do.
"""

from __future__ import annotations

import ctypes
import functools
import os
import tempfile
from collections.abc import Mapping
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_uint, c_ulong, c_void_p
from pathlib import Path
from typing import Self

from tests.support import debian
from tests.support.sasl.dialogue import Refused

OK, CONTINUE = 0, 1
CREATE = 1  # SASL_SET_CREATE
CHANNEL_BINDING = 21
CB_LIST_END, CB_GETOPT, CB_USER, CB_AUTHNAME, CB_PASS = 0, 1, 0x4001, 0x4002, 0x4004
REALM = b"example.org"
SETTINGS = {
    b"pwcheck_method": b"auxprop",
    b"auxprop_plugin": b"sasldb",
    b"log_level": b"0",
    b"scram_iteration_counter": b"4096",
}


class Callback(ctypes.Structure):
    """sasl_callback_t."""

    _fields_ = [("id", c_ulong), ("proc", c_void_p), ("context", c_void_p)]


class Secret(ctypes.Structure):
    """sasl_secret_t, as long as any password here."""

    _fields_ = [("len", c_ulong), ("data", ctypes.c_char * 200)]


class Binding(ctypes.Structure):
    """sasl_channel_binding_t."""

    _fields_ = [("name", c_char_p), ("critical", c_int), ("len", c_ulong), ("data", c_char_p)]


GETOPT = CFUNCTYPE(c_int, c_void_p, c_char_p, c_char_p, POINTER(c_char_p), POINTER(c_uint))
GETSIMPLE = CFUNCTYPE(c_int, c_void_p, c_int, POINTER(c_char_p), POINTER(c_uint))
GETSECRET = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, POINTER(POINTER(Secret)))


class Library:
    """The library, set up once a process."""

    def __init__(self) -> None:
        root = debian.bundle("cyrus")
        plugins = Path(f"{debian.library_path(root)}/sasl2")
        if plugins.is_dir():
            os.environ["SASL_PATH"] = f"{plugins}:/usr/lib/{plugins.parent.name}/sasl2"  # some may be installed
        self.folder = tempfile.TemporaryDirectory(prefix="msmtp-cyrus-")
        self.settings = SETTINGS | {b"sasldb_path": f"{self.folder.name}/users".encode()}
        self.c = debian.library("cyrus", "libsasl2.so.2")
        self.c.sasl_errdetail.restype = c_char_p
        self.c.sasl_dispose.argtypes = [POINTER(c_void_p)]
        self.c.sasl_setprop.argtypes = [c_void_p, c_int, c_void_p]
        self.getopt = GETOPT(self._getopt)
        self.callbacks = callbacks((CB_GETOPT, self.getopt))
        assert self.c.sasl_server_init(self.callbacks, b"msmtp-tests") == OK
        assert self.c.sasl_client_init(self.callbacks) == OK

    def _getopt(self, _context: int, _plugin: bytes, name: bytes, value: object, length: object) -> int:
        if name not in self.settings:
            return -1
        value[0] = self.settings[name]  # type: ignore[index]
        if length:
            length[0] = len(self.settings[name])  # type: ignore[index]
        return OK


@functools.cache
def library() -> Library:
    """The one library of this process."""
    return Library()


def callbacks(*entries: tuple[int, object]) -> ctypes.Array[Callback]:
    """A list for the library; the functions must be kept alive by the caller."""
    filled = [Callback(number, ctypes.cast(function, c_void_p), None) for number, function in entries]  # type: ignore[arg-type]
    return (Callback * (len(filled) + 1))(*filled, Callback(CB_LIST_END, None, None))


class Cyrus:
    """One exchange, server's side or client's (``client=True``); used as a context manager."""

    def __init__(
        self,
        mechanism: bytes,
        *,
        client: bool = False,
        user: bytes = b"",
        password: bytes = b"",
        channel_binding: tuple[bytes, bytes] | None = None,
    ) -> None:
        self.library = library()
        self.c = self.library.c
        self.mechanism, self.client = mechanism, client
        self.user, self.secret = user, Secret(len(password), password)
        self.secret_pointer = ctypes.pointer(self.secret)
        self.functions = GETSIMPLE(self._getsimple), GETSECRET(self._getsecret)
        self.callbacks = callbacks(
            (CB_GETOPT, self.library.getopt),
            (CB_USER, self.functions[0]),
            (CB_AUTHNAME, self.functions[0]),
            (CB_PASS, self.functions[1]),
        )
        self.connection = c_void_p()
        if client:
            arguments = b"smtp", b"localhost", None, None, self.callbacks, 0
            code = self.c.sasl_client_new(*arguments, byref(self.connection))
        else:
            arguments = b"smtp", b"localhost", REALM, None, None, None, 0
            code = self.c.sasl_server_new(*arguments, byref(self.connection))
        self._check(code)
        if channel_binding:
            name, data = channel_binding
            self.binding = Binding(name, 0, len(data), data)
            self._check(self.c.sasl_setprop(self.connection, CHANNEL_BINDING, byref(self.binding)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.c.sasl_dispose(byref(self.connection))

    def add_user(self, user: bytes, password: bytes) -> None:
        """Put a user into the database."""
        self._check(self.c.sasl_setpass(self.connection, user, password, len(password), None, 0, CREATE))

    def start(self, initial: bytes | None) -> bytes | None:
        """Begin as a server."""
        output, size = c_char_p(), c_uint()
        length = len(initial or b"")
        code = self.c.sasl_server_start(self.connection, self.mechanism, initial, length, byref(output), byref(size))
        return self._said(code, output, size)

    def next(self, response: bytes) -> bytes | None:
        """Go on, as the server or as the client."""
        step = self.c.sasl_client_step if self.client else self.c.sasl_server_step
        output, size = c_char_p(), c_uint()
        more = (None,) if self.client else ()
        code = step(self.connection, response, len(response), *more, byref(output), byref(size))
        return self._said(code, output, size)

    def start_client(self) -> bytes:
        """Begin as a client; returns the initial response, b"" for none."""
        output, size, chosen = c_char_p(), c_uint(), c_char_p()
        code = self.c.sasl_client_start(
            self.connection, self.mechanism, None, byref(output), byref(size), byref(chosen)
        )
        return self._said(code, output, size) or b""

    def _said(self, code: int, output: c_char_p, size: c_uint) -> bytes | None:
        self._check(code)
        said = ctypes.string_at(output, size.value) if output else b""
        return said if code == CONTINUE or said or self.client else None

    def _check(self, code: int) -> None:
        if code not in {OK, CONTINUE}:
            raise Refused(f"{code}: {self.c.sasl_errdetail(self.connection)!r}")

    def _getsimple(self, _context: int, _number: int, value: object, length: object) -> int:
        value[0] = self.user  # type: ignore[index]
        if length:
            length[0] = len(self.user)  # type: ignore[index]
        return OK

    def _getsecret(self, _connection: int, _context: int, _number: int, secret: object) -> int:
        secret[0] = self.secret_pointer  # type: ignore[index]
        return OK


def users(known: Mapping[bytes, bytes]) -> None:
    """Make the database's users."""
    with Cyrus(b"PLAIN") as server:
        for user, password in known.items():
            server.add_user(user, password)
