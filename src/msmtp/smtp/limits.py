"""Limits: how much of everything one side takes before it calls it a fault.

The numbers that a standard gives are minima that everybody must take; ours are what we take at most.  Each is a
parameter of both connections.
"""

from __future__ import annotations


class Limits:
    """All sizes in octets, line ends included where lines are counted.

    ``reply_line``: one line of a reply.  RFC 5321 (4.5.3.1.5) says 512, but a challenge of RFC 4954 (4) may have 12,288
    octets and is a reply too; ``reply_lines``: lines of one reply (an EHLO reply has about 20, HELP more).
    ``command_line``: any command (RFC 5321, 4.5.3.1.4: 512), plus what extensions grant MAIL and RCPT (SIZE 26, BODY
    17, SMTPUTF8 10, RET 9, ENVID 107, AUTH 500; NOTIFY 29, ORCPT 507), rounded up.
    ``auth_line``: AUTH with its initial response; long tokens of OAuth need more than 512.  ``response_line``: a
    response to a challenge (RFC 4954, 4).
    ``data_line``: a line of the mail; 0 is no limit.  A long line costs no memory here, so the default is to let it
    pass; RFC 5321 (4.5.3.1.6) guarantees only 1,000.
    ``message``: a whole mail; 0 is no limit.  ``recipients``: RCPTs accepted in one transaction (RFC 5321, 4.5.3.1.8:
    at least 100); 0 is no limit.  Both are for the server.
    """

    __slots__ = (
        "auth_line",
        "command_line",
        "data_line",
        "message",
        "recipients",
        "reply_line",
        "reply_lines",
        "response_line",
    )

    def __init__(  # noqa: PLR0913 - one argument a limit, all by name
        self,
        *,
        reply_line: int = 12_288 + 6,
        reply_lines: int = 128,
        command_line: int = 1_280,
        auth_line: int = 8_190,
        response_line: int = 12_288 + 2,
        data_line: int = 0,
        message: int = 0,
        recipients: int = 0,
    ) -> None:
        self.reply_line = reply_line
        self.reply_lines = reply_lines
        self.command_line = command_line
        self.auth_line = auth_line
        self.response_line = response_line
        self.data_line = data_line
        self.message = message
        self.recipients = recipients


DEFAULT_LIMITS = Limits()
