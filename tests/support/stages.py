"""A mail's way through the daemon in stages, with somebody killed at one of them; and what must be true in the end.

A client here is one that keeps its mail until it was told 250, as every queue does.  What it saw and what the command
got are written down by the mail's name:

    no mail is lost        every one that was answered 250 was got by the command before
    none is truncated      whatever the command got is complete, to the last octet
    none is doubled        but in the window that RFC 1047 describes: once for each time that the client had sent the whole
                           mail and got no 250 for it
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass, field

from tests.support.daemon import Msmtpd, Talk, children, role
from tests.support.processes import wait_for

STAGES = ("start", "auth", "envelope", "354", "data", "end", "running", "after")
"""After the greeting; while AUTH waits for a response; behind RCPT; behind DATA; within the content; right behind its
end; while the command runs; after the 250."""

KILLED = (
    "was ended by signal", "ended with status", "ended before its work", "cannot make a process", "refused connection",
    "worker killed", "process nursery", "hangs up on its worker",
)  # fmt: skip

PATIENCE = 40.0


@dataclass
class Account:
    """What came of one mail: the answers, "" for a connection that was lost; ``whole``: how often all of it was sent."""

    name: str
    answers: list[str] = field(default_factory=list)
    whole: int = 0

    @property
    def accepted(self) -> bool:
        """Whether the client was told 250."""
        return self.answers[-1:] == ["250"]


def content(name: str, lines: int = 300) -> bytes:
    """A mail that tells whether it is complete."""
    body = b"".join(b"%d of %d of %s\r\n" % (number, lines, name.encode()) for number in range(lines))
    return b"Subject: %s\r\n\r\n%sthe end of %s\r\n" % (name.encode(), body, name.encode())


class Killer:
    """Sends mails to a daemon and does something to it at a stage.  The daemon has --auth=user,echo secret."""

    def __init__(self, daemon: Msmtpd) -> None:
        self.daemon = daemon
        self.accounts: list[Account] = []

    def mail(self, stage: str, victim: str, number: int = signal.SIGKILL) -> Account:
        """Send a mail until it is taken; at the stage of the first attempt the victim gets the signal."""
        account = Account(f"mail-{len(self.accounts)}-{stage}-{victim}")
        self.accounts.append(account)
        deadline = time.monotonic() + PATIENCE
        self._attempt(account, lambda now, client: self._strike(stage, victim, number, now, client))
        while not account.accepted:
            assert time.monotonic() < deadline, account
            time.sleep(0.05)
            self._attempt(account, lambda _now, _client: None)
        return account

    def _strike(self, stage: str, victim: str, number: int, now: str, client: Talk) -> None:
        if now == stage:
            for pid in self.victims(victim, client):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def victims(self, victim: str, client: Talk) -> list[int]:
        """Processes by what they are: "worker" is the one of this client, "command" that and all it started."""
        if victim == "worker":
            port = client.connection.getsockname()[1]
            return [int(line.split()[2]) for line in self.daemon.sessions() if f":{port} " in f"{line} "]
        if victim == "command":
            return [
                pid
                for broker in self.daemon.processes().get("delivery", [])
                for pid in children(broker)
                if not role(pid)
            ]
        if victim == "all":
            return self.daemon.tree()
        return self.daemon.processes().get(victim, [])

    def _attempt(self, account: Account, at) -> None:  # type: ignore[no-untyped-def]
        try:
            with self.daemon.talk() as client:
                answer = self._converse(account, client, at)
        except (OSError, AssertionError):
            answer = ""
        account.answers.append(answer)

    def _converse(self, account: Account, client: Talk, at) -> str:  # type: ignore[no-untyped-def]
        client.connection.settimeout(PATIENCE)
        if client.hear()[:3] != "220":
            return client.reply[:3]
        at("start", client)
        for line, code in (("EHLO client.example", "250"), ("AUTH PLAIN", "334")):
            if client.say(line)[:3] != code:
                return client.reply[:3]
        at("auth", client)
        if client.say("AHVzZXIAc2VjcmV0")[:3] != "235":
            return client.reply[:3]
        for line in (f"MAIL FROM:<{account.name}@b.example>", "RCPT TO:<c@d.example>"):
            if client.say(line)[:3] != "250":
                return client.reply[:3]
        at("envelope", client)
        if client.say("DATA")[:3] != "354":
            return client.reply[:3]
        at("354", client)
        octets = content(account.name)
        half = len(octets) // 2
        client.send(octets[:half])
        at("data", client)
        client.send(octets[half:])
        account.whole += 1
        client.send(b".\r\n")
        at("end", client)
        if not account.answers:
            with contextlib.suppress(AssertionError, OSError):
                wait_for(self._runs, 0.5)
            at("running", client)
        answer = client.hear()[:3]
        if answer == "250":
            at("after", client)
        return answer

    def _runs(self) -> bool:
        return any(not role(pid) for broker in self.daemon.processes().get("delivery", []) for pid in children(broker))

    def check(self) -> None:
        """Hold what came of all of it against what must be true."""
        kept: dict[str, list[bytes]] = {}
        for mail in self.daemon.mails():
            kept.setdefault(mail.arguments[1].partition("@")[0], []).append(mail.content)
        for account in self.accounts:
            whole = content(account.name).replace(b"\r\n", b"\n")
            got = kept.pop(account.name, [])
            assert account.accepted, account
            assert got, f"lost: {account}"
            assert all(each == whole for each in got), f"truncated: {account}"
            assert len(got) <= account.whole, f"doubled: {account}, {len(got)} times"
        assert not kept, f"nobody sent {sorted(kept)}"
