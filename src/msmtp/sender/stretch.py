"""Stretch: all that a send does, with a mail and a server that are not there.

For a process that will send a mail and waits for it: what it touches for the first time takes longest, since memory
shared with the process it was forked from is copied then.
"""

from __future__ import annotations

import _socket

from msmtp.config import command_line, reader
from msmtp.config.account import choose
from msmtp.failures import ConfigFailure
from msmtp.net.stream import Info, Stream
from msmtp.sasl import mechanisms
from msmtp.sender import envelope
from msmtp.sender.connecting import NONCE_OCTETS, load_mechanisms, prepare_tls
from msmtp.sender.log import log_line
from msmtp.sender.session import Session
from msmtp.sender.spool import read_mail
from msmtp.sender.transfer import Transfer
from msmtp.system import os

_ACCOUNT = (
    b"defaults\ntls on\ntls_certcheck off\nauth plain\nlogfile ~/.msmtp.log\n\n# warm\n"
    b"account default\nhost warm.example\nport 587\nfrom a@warm.example\nuser warm\npassword warm\n"
)
_MAIL = (
    b"Received: from x (x [127.0.0.1])\n by x with ESMTP id 1.1\n for <b@warm.example>;\n"
    b" Sun, 22 Nov 2026 12:00:00 +0000\nFrom: A <a@warm.example>\nTo: b@warm.example\nSubject: warm\n"
    b"MIME-Version: 1.0\n\nwarm\n.\n"
)
_WORDS = ["msmtp", "-f", "a@warm.example", "--", "b@warm.example"]
_EHLO = b"250-warm.example\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n"


def stretch() -> None:
    """Do what a send does, with a mail and a server that are not there: no file is opened, nobody is spoken to.

    It leaves nothing behind but memory that is this process's own.
    """
    line = command_line.parse(_WORDS)
    configuration = reader.Configuration()
    configuration.definitions, _ = reader.parse(_ACCOUNT, "warm", _no_eval)
    account = choose(line, configuration, mail_sender=str, canonical_name=str)
    mail = os.memfd_create("msmtp-stretch", os.MFD_CLOEXEC)
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        os.write(mail, _MAIL)
        os.lseek(mail, 0, os.SEEK_SET)
        read = read_mail(mail)
        letter = envelope.compose(read, account, envelope.addressed(line, account, read))
        ours.setblocking(False)
        session = Session(Stream(ours, Info()), "smtp", None)
        load_mechanisms(account, b"warm")
        theirs.send(b"220 warm.example\r\n")
        session.greet()
        theirs.send(_EHLO)
        session.hello(b"localhost")
        engine = prepare_tls(account, bytes).engine()
        engine.handshake()
        engine.outgoing()
        theirs.send(b"235 2.7.0 warm\r\n")
        nonce = os.urandom(NONCE_OCTETS).hex().encode()
        credentials = mechanisms.Credentials(b"warm", b"warm", host=b"warm.example", port=587, nonce=nonce)
        session.authenticate(mechanisms.create(b"PLAIN", credentials, session.extensions.auth))
        addressed = envelope.envelope_for(letter, account, b"", session.extensions)
        transfer = Transfer(session, addressed, letter, partial=False)
        theirs.send(b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n")
        transfer.pipelined()
        theirs.send(b"250 2.0.0 Ok\r\n")
        delivery = transfer.finish(transfer.body())
        log_line(account, letter.sender, letter.recipients, delivery, None, 0)
    finally:
        os.close(mail)
        ours.close()
        theirs.close()


def _no_eval(_command: str) -> str:
    raise ConfigFailure("nothing is run here")
