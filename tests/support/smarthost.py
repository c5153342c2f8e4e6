"""A mail provider's server for a host of its own: run there by the host's Python, with nothing but its standard library.

    python3 smarthost.py PORT FOLDER [USER PASSWORD]

Each mail becomes a file below FOLDER: lines "from ...", "to ...", an empty line, the mail.  With USER and PASSWORD, AUTH PLAIN
is needed.  A mail to slow@... is answered after three seconds.
"""

from __future__ import annotations

import base64
import itertools
import os
import socketserver
import sys
import time

NUMBERS = itertools.count(1)


class Session(socketserver.StreamRequestHandler):
    folder = ""
    login = b""

    def say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self) -> None:
        self.say("220 smarthost.example ESMTP")
        known = not self.login
        sender, recipients = "", []
        for octets in self.rfile:
            line = octets.decode().strip()
            verb = line[:4].upper()
            if verb == "EHLO":
                self.say("250-smarthost.example")
                self.say("250-PIPELINING")
                self.say("250-8BITMIME")
                self.say("250 AUTH PLAIN" if self.login else "250 SMTPUTF8")
            elif verb == "AUTH":
                known = base64.b64decode(line.split()[2]) == self.login
                self.say("235 welcome" if known else "535 who are you?")
            elif verb in {"MAIL", "RCPT", "DATA"} and not known:
                self.say("530 authenticate first")
            elif verb == "MAIL":
                sender, recipients = line[10:].partition(">")[0].strip("<"), []
                self.say("250 ok")
            elif verb == "RCPT":
                recipients.append(line[8:].partition(">")[0].strip("<"))
                self.say("250 ok")
            elif verb == "DATA":
                self.say("354 go on")
                self.keep(sender, recipients)
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def keep(self, sender: str, recipients: list[str]) -> None:
        mail = b""
        for line in self.rfile:
            if line == b".\r\n":
                break
            mail += line.removeprefix(b".").replace(b"\r\n", b"\n")
        if any(recipient.startswith("slow@") for recipient in recipients):
            time.sleep(3)
        head = "".join([f"from {sender}\n", *(f"to {recipient}\n" for recipient in recipients)])
        path = f"{self.folder}/{next(NUMBERS):04}"
        with open(f"{path}.new", "wb") as file:
            file.write(head.encode() + b"\n" + mail)
        os.rename(f"{path}.new", path)
        self.say("250 taken")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    port, Session.folder, *login = sys.argv[1:]
    if login:
        Session.login = b"\0" + b"\0".join(word.encode() for word in login)
    os.makedirs(Session.folder, exist_ok=True)
    Server(("127.0.0.1", int(port)), Session).serve_forever()
