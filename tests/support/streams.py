"""Both ends of a connection in one test, and a TLS engine made of nothing but the standard library."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from msmtp.failures import CertificateFailure, NetworkFailure, TlsHandshakeFailure
from msmtp.net.stream import Info, Stream


@contextmanager
def connected(seconds: float | None = 5, *, buffers: int = 0) -> Iterator[tuple[Stream, socket.socket]]:
    """A stream and the server's end of it, over TCP; ``buffers``: octets the kernel may hold in each direction."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.socket()
        if buffers:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
        client.connect(listener.getsockname())
        server, _address = listener.accept()
    if buffers:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
    server.settimeout(5)  # a thread that serves a test that has failed already ends, too
    client.setblocking(False)
    stream = Stream(client, Info(client.getpeername()[0]), seconds)
    with server:
        try:
            yield stream, server
        finally:
            stream.close()


def reset(server: socket.socket) -> None:
    """End the connection with RST."""
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    server.close()


class PlainTls:
    """What Stream.start_tls wants, for an ssl.SSLContext of the client side."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self.context = context
        self.host = host

    def engine(self) -> PlainEngine:
        return PlainEngine(self.context, self.host)


class PlainEngine:
    """The engine protocol over ssl.MemoryBIO."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.into, self.out, server_hostname=host)

    @property
    def info(self) -> object:
        return self.tls.version()

    def handshake(self) -> bool:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLCertVerificationError as error:
            raise CertificateFailure(error.verify_message) from None
        except ssl.SSLError as error:
            raise TlsHandshakeFailure(str(error)) from None
        return True

    def receive(self, data: bytes) -> None:
        if data:
            self.into.write(data)
        else:
            self.into.write_eof()

    def plaintext(self, size: int) -> bytes | None:
        try:
            return self.tls.read(size)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLError as error:
            raise NetworkFailure(str(error)) from None

    def encrypt(self, data: bytes | memoryview) -> bytes:
        self.tls.write(data)
        return self.out.read()

    def outgoing(self) -> bytes:
        return self.out.read()

    def close(self) -> None:
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass
