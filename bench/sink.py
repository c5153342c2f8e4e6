"""A server that answers at once and throws the mail away: what is measured is the client.

It stands where Postfix's smtp-sink cannot: TLS, authentication, CHUNKING.  It knows as little SMTP as a client needs to
hear and takes any user with any password.  Its socket is as mail servers set theirs: no Nagle's algorithm, and
acknowledgements delayed as the kernel does it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading

BLOCK = 1 << 18
END = b"\r\n.\r\n"
WELCOME = b"235 2.7.0 welcome\r\n"

ANSWERS = {
    b"HELO": b"250 sink\r\n",
    b"MAIL": b"250 2.1.0 ok\r\n",
    b"RCPT": b"250 2.1.5 ok\r\n",
    b"RSET": b"250 2.0.0 ok\r\n",
    b"NOOP": b"250 2.0.0 ok\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}


class Session:
    """One connection.  ``way``: plain, starttls or tls; ``offers``: lines of the answer to EHLO."""

    def __init__(self, connection: socket.socket, way: str, offers: tuple[bytes, ...], tls: ssl.SSLContext) -> None:
        self.socket = connection
        self.way = way
        self.offers = offers
        self.tls = tls
        self.input = b""
        self.challenged = False

    def serve(self) -> None:
        """Answer until the client goes."""
        with contextlib.suppress(OSError):
            try:
                self.talk()
            finally:
                self.socket.close()  # the one that it is by then, with TLS or without

    def talk(self) -> None:
        """The same, until something fails."""
        if self.way == "tls":
            self.start_tls()
        self.socket.sendall(b"220 sink ready\r\n")
        while data := self.socket.recv(BLOCK):
            self.input += data
            if answers := self.answers():
                self.socket.sendall(answers)
            if self.way == "handshake":
                self.start_tls()

    def start_tls(self) -> None:
        """Take the client's handshake."""
        self.socket = self.tls.wrap_socket(self.socket, server_side=True)
        self.way = "tls"

    def answers(self) -> bytearray:
        """What to say to all the lines that have come; one write, as a server that knows PIPELINING does it.

        There may be thousands of lines, so what is left of them is not copied for each.
        """
        said = bytearray()
        begin = 0
        while (end := self.input.find(b"\n", begin)) >= 0:
            line = self.input[begin:end]
            begin = end + 1
            verb = line[:4].upper()
            if verb == b"DATA":
                self.socket.sendall(said + b"354 go on\r\n")
                self.skip_to_end(begin)
                begin = 0
                said = bytearray(b"250 2.0.0 taken\r\n")
            elif verb == b"BDAT":
                self.skip(begin, int(line.split()[1]))
                begin = 0
                said += b"250 2.0.0 taken\r\n"
            elif verb == b"EHLO":
                said += self.hello()
            elif verb == b"AUTH":
                self.challenged = len(line.split()) < len((b"AUTH", b"mechanism", b"initial response"))
                said += b"334 \r\n" if self.challenged else WELCOME
            elif self.challenged:
                self.challenged = False
                said += WELCOME
            elif verb == b"STAR":
                self.way = "handshake"
                said += b"220 2.0.0 go ahead\r\n"
            else:
                said += ANSWERS.get(verb, b"502 5.5.1 what?\r\n")
        self.input = self.input[begin:]
        return said

    def hello(self) -> bytes:
        """The answer to EHLO."""
        lines = (b"sink", *self.offers, *([b"STARTTLS"] if self.way == "starttls" else []))
        return b"".join([b"250-" + line + b"\r\n" for line in lines[:-1]]) + b"250 " + lines[-1] + b"\r\n"

    def skip_to_end(self, begin: int) -> None:
        """Read the mail, there from ``begin`` on, up to its final dot; only the last octets are looked at."""
        tail = b"\r\n" + self.input[begin:]
        while END not in tail:
            data = self.socket.recv(BLOCK)
            if not data:
                raise ConnectionError
            tail = tail[-len(END) :] + data
        self.input = tail.partition(END)[2]

    def skip(self, begin: int, size: int) -> None:
        """Read a chunk, whose first octets are there from ``begin`` on."""
        self.input = self.input[begin:]
        while len(self.input) < size:
            data = self.socket.recv(BLOCK)
            if not data:
                raise ConnectionError
            self.input += data
        self.input = self.input[size:]


def main() -> None:
    """Serve: sink.py HOST WAY CHAIN KEY [KEYWORD ...]; prints the port it listens on."""
    host, way, chain, key, *offers = sys.argv[1:]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(chain, key)
    listener = socket.create_server((host, 0), backlog=64)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = Session(connection, way, tuple(word.encode() for word in offers), tls)
        threading.Thread(target=session.serve, daemon=True).start()


if __name__ == "__main__":
    main()
