"""GNU SASL, by its C library: the server's side of most mechanisms, the client's of some, with channel binding."""

from __future__ import annotations

import ctypes
from base64 import b64encode
from collections.abc import Mapping
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_size_t, c_void_p
from typing import Self

from tests.support import debian
from tests.support.sasl.dialogue import Refused

OK, NEEDS_MORE, NO_CALLBACK, AUTHENTICATION_ERROR = 0, 1, 51, 31

# Properties: Gsasl_property of gsasl.h
AUTHID, AUTHZID, PASSWORD, SERVICE, HOSTNAME, REALM, QOPS = 1, 2, 3, 5, 6, 11, 13
SCRAM_ITER, SCRAM_SALT, CB_TLS_UNIQUE, CB_TLS_EXPORTER = 15, 16, 18, 25
VALIDATE_SIMPLE, VALIDATE_EXTERNAL = 500, 501
BINDINGS = {b"tls-unique": CB_TLS_UNIQUE, b"tls-exporter": CB_TLS_EXPORTER}

CALLBACK = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)


def library() -> ctypes.CDLL:
    """Load the library with the types of what is used here."""
    gsasl = debian.library("gsasl", "libgsasl.so.18")
    gsasl.gsasl_init.argtypes = [POINTER(c_void_p)]
    gsasl.gsasl_done.argtypes = [c_void_p]
    gsasl.gsasl_callback_set.argtypes = [c_void_p, CALLBACK]
    for start in (gsasl.gsasl_server_start, gsasl.gsasl_client_start):
        start.argtypes = [c_void_p, c_char_p, POINTER(c_void_p)]
    gsasl.gsasl_step.argtypes = [c_void_p, c_char_p, c_size_t, POINTER(c_void_p), POINTER(c_size_t)]
    gsasl.gsasl_finish.argtypes = [c_void_p]
    gsasl.gsasl_free.argtypes = [c_void_p]
    gsasl.gsasl_property_set.argtypes = [c_void_p, c_int, c_char_p]
    gsasl.gsasl_property_fast.argtypes = [c_void_p, c_int]
    gsasl.gsasl_property_fast.restype = c_char_p
    gsasl.gsasl_strerror.argtypes = [c_int]
    gsasl.gsasl_strerror.restype = c_char_p
    return gsasl


class Gsasl:
    """One exchange, server's side or client's (``client=True``); used as a context manager.

    ``password`` is what the server knows of the one user it has; ``properties`` are set as they are.
    """

    def __init__(
        self,
        mechanism: bytes,
        user: bytes,
        password: bytes,
        *,
        client: bool = False,
        channel_binding: tuple[bytes, bytes] | None = None,
        properties: Mapping[int, bytes] | None = None,
    ) -> None:
        self.library = library()
        self.user, self.password = user, password
        self.properties = dict(properties or {})
        if channel_binding:
            self.properties[BINDINGS[channel_binding[0]]] = b64encode(channel_binding[1])
        self.over = False
        self.callback = CALLBACK(self._callback)
        self.context, self.session = c_void_p(), c_void_p()
        self._check(self.library.gsasl_init(byref(self.context)))
        self.library.gsasl_callback_set(self.context, self.callback)
        begin = self.library.gsasl_client_start if client else self.library.gsasl_server_start
        try:
            self._check(begin(self.context, mechanism, byref(self.session)))
        except BaseException:
            self.library.gsasl_done(self.context)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.library.gsasl_finish(self.session)
        self.library.gsasl_done(self.context)

    def start(self, initial: bytes | None) -> bytes | None:
        """Begin as a server."""
        return self.next(initial or b"")

    def next(self, response: bytes) -> bytes | None:
        """Take what the other side said; return our answer, None when all is said."""
        if self.over:
            assert response == b"", f"a word too many: {response!r}"
            return None
        code, answer = self.step(response)
        self.over = code == OK
        return None if self.over and not answer else answer

    def step(self, data: bytes) -> tuple[int, bytes]:
        """Do one step of the library; returns its code and its output."""
        output, size = c_void_p(), c_size_t()
        code = self.library.gsasl_step(self.session, data, len(data), byref(output), byref(size))
        answer = ctypes.string_at(output, size.value) if output else b""
        self.library.gsasl_free(output)
        self._check(code)
        return code, answer

    def property(self, number: int) -> bytes | None:
        """Return a property of the session."""
        return self.library.gsasl_property_fast(self.session, number)

    def _check(self, code: int) -> None:
        if code not in {OK, NEEDS_MORE}:
            raise Refused(self.library.gsasl_strerror(code).decode())

    def _callback(self, _context: int, session: int, number: int) -> int:
        if number == VALIDATE_SIMPLE:
            told = [self.library.gsasl_property_fast(session, name) for name in (AUTHID, PASSWORD)]
            return OK if told == [self.user, self.password] else AUTHENTICATION_ERROR
        if number == VALIDATE_EXTERNAL:
            return OK if self.library.gsasl_property_fast(session, AUTHZID) == self.user else AUTHENTICATION_ERROR
        known = {AUTHID: self.user, PASSWORD: self.password, SERVICE: b"smtp", HOSTNAME: b"localhost"} | self.properties
        if number not in known:
            return NO_CALLBACK
        self.library.gsasl_property_set(session, number, known[number])
        return OK
