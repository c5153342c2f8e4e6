"""The ends that a worker's session hangs on, played by threads: supervisor, auth, delivery; and the client's socket."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager

from msmtp import sandbox
from msmtp.config.daemon_settings import Settings
from msmtp.daemon import descriptors, worker
from msmtp.daemon import requests as rows
from msmtp.daemon.channel import Channel, pair
from msmtp.daemon.wire import Termination
from msmtp.daemon.worker import Session
from msmtp.failures import ChannelFailure
from msmtp.sasl import server as sasl

PASSWORD = "hunter2"
SECRET = b"s" * 32


def settings(**changes):
    made = Settings()
    made.domain = "mx.example"
    for name, value in changes.items():
        assert hasattr(made, name), name
        setattr(made, name, value)
    return made


class Delivery(threading.Thread):
    """Delivery's end: keeps what it was told, writes each mail's text into ``mails``.

    ``script``: name of a request -> what to do instead of the usual (a function of this object and the message).
    """

    def __init__(self, descriptor, *, room=1 << 20, result=(250, b"2.0.0 Ok, mail was piped"), script=None):
        super().__init__(daemon=True)
        self.channel = Channel(descriptor)
        self.room, self.result, self.script = room, result, script or {}
        self.told = []
        self.mails = []
        self.file = -1
        self.spilled = 0
        self.junk = ""
        self.start()

    def run(self):
        permitted = (rows.PEER, rows.ENVELOPE, rows.RECIPIENT, rows.BODY, rows.SPILL, rows.COMMIT, rows.ABORT)
        try:
            while True:
                message = self.channel.receive(permitted)
                self.told.append((message.name, message.values))
                action = self.action(message.name)
                if action and action(message) is False:
                    break
        except ChannelFailure as failure:
            self.junk = failure.message
        except OSError:
            pass
        finally:
            self.channel.close()
            if self.file >= 0:
                os.close(self.file)

    def action(self, name):
        return action_of(self, name)

    def give_file(self, room=None):
        if self.file >= 0:
            os.close(self.file)
        self.file = os.memfd_create("mail")
        self.channel.send(rows.FILE, self.room if room is None else room, descriptors=(self.file,))

    def on_body(self, _message):
        self.give_file()

    def on_spill(self, message):
        before = os.pread(self.file, message.number("length"), 0)
        self.spilled += 1
        os.close(self.file)
        self.file = os.memfd_create("spilled")
        os.write(self.file, before)
        self.channel.send(rows.FILE, 1 << 40, descriptors=(self.file,))

    def on_commit(self, message):
        length = message.number("length")
        assert os.fstat(self.file).st_size == length
        self.mails.append(os.pread(self.file, length, 0))
        self.channel.send(rows.RESULT, *self.result)

    def names(self):
        return [name for name, _ in self.told]


class Auth(threading.Thread):
    """Auth's end: knows the user "user"; ``door`` is passed to who knows the password."""

    def __init__(self, descriptor, door, script=None):
        super().__init__(daemon=True)
        self.channel, self.door, self.script = Channel(descriptor), door, script or {}
        self.told = []
        self.exchange = None
        self.verifier = sasl.Verifier.of(PASSWORD.encode(), b"salt" * 4, 4096)
        self.start()

    def run(self):
        permitted = (rows.PEER, rows.AUTH_START, rows.AUTH_RESPONSE, rows.AUTH_CANCEL)
        try:
            while True:
                message = self.channel.receive(permitted)
                self.told.append((message.name, message.values))
                action = self.action(message.name)
                if action and action(message) is False:
                    break
        except (ChannelFailure, OSError):
            pass
        finally:
            self.channel.close()
            if self.door >= 0:
                os.close(self.door)

    def action(self, name):
        return action_of(self, name)

    def on_auth_start(self, message):
        self.exchange = sasl.create(
            message.octets("mechanism"), {b"user": self.verifier}.get, secret=SECRET, iterations=4096, nonce=b"nonce"
        )
        self.say(self.exchange.start(message.octets("initial") if message.number("with_initial") else None))

    def on_auth_response(self, message):
        self.say(self.exchange.next(message.octets("response")))

    def say(self, challenge):
        if challenge is not None:
            self.channel.send(rows.AUTH_CHALLENGE, challenge)
        elif self.exchange.outcome == sasl.ACCEPTED:
            self.channel.send(rows.AUTH_ACCEPTED, self.exchange.user, descriptors=(self.door,))
            os.close(self.door)
            self.door = -1
        else:
            name = {sasl.REFUSED: b"auth refused", sasl.MALFORMED: b"bad base64"}[self.exchange.outcome]
            self.channel.send(rows.AUTH_REFUSED, name)


def action_of(end, name):
    """What an end does about a request: its script's word, else its own."""
    scripted = end.script.get(name)
    return (lambda message: scripted(end, message)) if scripted else getattr(end, f"on_{name.lower()}", None)


class Supervisor(threading.Thread):
    """The supervisor's end: keeps notes and the last word; hands the connection to ``swap`` if asked."""

    def __init__(self, descriptor, swap=None):
        super().__init__(daemon=True)
        self.channel, self.swap = Channel(descriptor), swap
        self.notes, self.ended = [], None
        self.start()

    def run(self):
        try:
            while True:
                message = self.channel.receive((rows.NOTE, rows.SWAP, rows.ENDED))
                if message.name == "NOTE":
                    self.notes.append(message.octets("text").decode())
                elif message.name == "ENDED":
                    self.ended = (message.octets("reason").decode(), message.number("mails"), message.number("errors"))
                elif self.swap is None:
                    self.channel.send(rows.NOT_SWAPPED)
                else:
                    descriptors = self.swap()
                    try:
                        self.channel.send(rows.SWAPPED, descriptors=descriptors)
                    finally:
                        for descriptor in descriptors:
                            os.close(descriptor)
        except (ChannelFailure, OSError):
            pass
        finally:
            self.channel.close()


class Ends:
    """A session under way: ``client``, ``delivery``, ``auth`` (or None), ``supervisor``.

    ``control``: the supervisor's end of the way to a worker that waits already; without one, ``session`` makes one.
    """

    def __init__(
        self, made=None, flags=0, *, control=-1, tcp=False, delivery=None, auth=None, swap=None, peer=b"192.0.2.1"
    ):
        """``swap``: gives the descriptors of SWAPPED for a copy of the connection; it closes the copy."""
        self.made, self.flags, self.peer = made or settings(), flags, peer
        self.client, self.connection = tcp_pair() if tcp else socket.socketpair()
        self.client.settimeout(20)
        self.control = -1
        if control < 0:
            control, self.control = pair()
        self.copy = os.dup(self.connection.fileno()) if swap else -1
        self.supervisor = Supervisor(control, swap and self.swap)
        self.swapping = swap
        theirs, door = pair()
        self.delivery = Delivery(theirs, **(delivery or {}))
        self.auth = None
        if flags & rows.WITH_AUTH:
            ours, way = pair()
            self.auth = Auth(ours, door, auth)
            door = way
        self.door = door
        self.termination = None
        self.lines = b""

    def swap(self):
        copy, self.copy = self.copy, -1
        return self.swapping(copy)

    def connect(self):
        """Hand the connection to the worker that waits."""
        values = (1, self.flags, self.peer, 1234, rows.NOBODY, b"192.0.2.2")
        self.supervisor.channel.send(rows.CONNECTION, *values, descriptors=(self.connection.fileno(), self.door))
        self.connection.close()
        os.close(self.door)

    def session(self):
        """The session, to be served in this process."""
        self.connect()
        channel = Channel(self.control)
        self.termination = Termination()
        return Session(self.made, channel, channel.receive((rows.CONNECTION,)), self.termination)

    def say(self, *lines):
        for line in lines:
            self.client.sendall(line if isinstance(line, bytes) else line.encode() + b"\r\n")

    def hear(self):
        """One reply, all its lines."""
        reply = []
        while not reply or reply[-1][3:4] == "-":
            while b"\n" not in self.lines:
                try:
                    data = self.client.recv(65536)
                except ConnectionResetError:  # it was closed with octets unread
                    data = b""
                if not data:
                    return "".join(reply) + self.lines.decode() or "(end)"
                self.lines += data
            line, _, self.lines = self.lines.partition(b"\n")
            reply.append(line.decode() + "\n")
        return "".join(reply).replace("\r\n", "\n").rstrip("\n")

    def ask(self, *lines):
        """Say each line and hear its reply; the last one."""
        heard = ""
        for line in lines:
            self.say(line)
            heard = self.hear()
        return heard

    def code(self, *lines):
        return int(self.ask(*lines)[:3])


@contextmanager
def serving(made=None, flags=0, *, ends=None, **how):
    """A session in a thread of its own; at the end the client closes, and the session is waited for."""
    ends = ends or Ends(made, flags, **how)
    ends.running = ends.session()
    thread = threading.Thread(target=ends.running.serve, daemon=True)
    thread.start()
    try:
        yield ends
    finally:
        ends.client.close()
        if ends.copy >= 0:
            os.close(ends.copy)
        thread.join(20)
        assert not thread.is_alive()
        ends.running._control.close()
        ends.supervisor.join(5)
        ends.delivery.join(5) if ends.running._handover else None
        for descriptor in (ends.termination.reads, ends.termination.writes):
            os.close(descriptor)


class Confined(Ends):
    """The ends of a worker's process."""

    def __init__(self, made=None, flags=0, *, policy=sandbox.REQUIRE, **how):
        made = made or settings()
        ours, theirs = pair()
        prepared = worker.prepare(made)
        self.child = os.fork()
        if not self.child:
            try:
                descriptors.keep_only({theirs, prepared.ruleset})
                worker.run(theirs, made, prepared, policy)
            finally:
                os._exit(99)
        os.close(theirs)
        prepared.close()
        super().__init__(made, flags, control=ours, **how)

    def give_up(self):
        """It was never given its connection."""
        for end in (self.client, self.connection):
            end.close()
        os.close(self.door)
        self.supervisor.join(5)
        self.delivery.join(5)

    def status(self):
        """How it ended; waits for it."""
        if self.child:
            self.ended_with = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
            self.child = 0
            for end in (self.supervisor, self.delivery, self.auth):
                if end:
                    end.join(5)
        return self.ended_with


def tcp_pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        connection = listener.accept()[0]
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client, connection
