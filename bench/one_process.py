"""aiosmtpd, one process for all its clients: one_process.py PORT [COMMAND ...].

A mail goes to the command's standard input, and the command's exit code is the answer, as with msmtpd; without a
command the mail is thrown away.  ``%F`` in the command is the sender; the recipients come after it.  Nothing is between
a client and the mails of all others here, nor between it and the user's files: isolation is measured against this.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE

from aiosmtpd.smtp import SMTP, Envelope, Session


class Handler:
    """What aiosmtpd asks once it has a mail."""

    def __init__(self, command: list[str]) -> None:
        self.command = command

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        """Have the command take the mail."""
        del server, session
        if self.command:
            sender = envelope.mail_from or ""
            words = [word.replace("%F", sender) for word in self.command]
            process = await asyncio.create_subprocess_exec(*words, *envelope.rcpt_tos, stdin=PIPE)
            await process.communicate(bytes(envelope.content or b""))
            if process.returncode:
                return "451 4.3.0 the command failed"
        return "250 2.0.0 taken"


async def serve(port: int, command: list[str]) -> None:
    """Take mails until the process is ended."""
    loop = asyncio.get_running_loop()
    if sys.version_info < (3, 12):  # a pidfd is the cheapest way to wait for a process, and what newer Pythons do
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(loop)
        asyncio.set_child_watcher(watcher)
    handler = Handler(command)
    made = await loop.create_server(lambda: SMTP(handler, hostname="one.example"), "127.0.0.1", port, backlog=64)
    await made.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2:]))
