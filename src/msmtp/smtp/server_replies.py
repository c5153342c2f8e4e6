"""REPLIES: everything our server says, by name; code and enhanced code (RFC 3463) side by side.

A greeting, the reply to a hello, 334 and 354 carry no enhanced code (RFC 2034, 4).
"""

from __future__ import annotations

from binascii import b2a_base64

from msmtp.smtp.replies import Reply

REPLIES: dict[str, Reply] = {
    # Done.
    "ok": Reply(250, (b"2.0.0 Ok",)),
    "sender ok": Reply(250, (b"2.1.0 Sender ok",)),
    "recipient ok": Reply(250, (b"2.1.5 Recipient ok",)),
    "chunk ok": Reply(250, (b"2.0.0 Chunk ok",)),
    "mail ok": Reply(250, (b"2.0.0 Mail accepted",)),
    "bye": Reply(221, (b"2.0.0 Bye",)),
    "tls go ahead": Reply(220, (b"2.0.0 Ready to start TLS",)),
    "authenticated": Reply(235, (b"2.7.0 Authentication successful",)),
    "help": Reply(
        214,
        (
            b"2.0.0 Commands: EHLO HELO LHLO MAIL RCPT DATA BDAT AUTH STARTTLS",
            b"2.0.0 RSET NOOP VRFY EXPN ETRN HELP QUIT",
        ),
    ),
    "cannot verify": Reply(252, (b"2.5.2 Cannot verify the user, but will take mail for it",)),
    # Go on.
    "go ahead": Reply(354, (b"End data with <CR><LF>.<CR><LF>",)),
    # Not now.
    "shutting down": Reply(421, (b"4.3.2 Service shutting down",)),
    "timeout": Reply(421, (b"4.4.2 Timeout, closing the connection",)),
    "too many errors": Reply(421, (b"4.7.0 Too many errors",)),
    "too many commands": Reply(421, (b"4.7.0 Too many commands without a mail",)),
    "too many sessions": Reply(421, (b"4.7.0 Too many sessions",)),
    "fault": Reply(421, (b"4.3.0 Local error, closing the connection",)),
    "no resources": Reply(421, (b"4.3.1 Not enough resources",)),
    "too often": Reply(450, (b"4.7.1 More mails than policy permits, try again later",)),
    "local error": Reply(451, (b"4.3.0 Local error, try again",)),
    "in a circle": Reply(451, (b"4.3.5 This system's mail server is not set up, the mail would go in a circle",)),
    "no storage": Reply(452, (b"4.3.1 Not enough storage",)),
    "too many recipients": Reply(452, (b"4.5.3 Too many recipients",)),
    "auth unavailable": Reply(454, (b"4.7.0 Temporary authentication failure",)),
    "tls unavailable": Reply(454, (b"4.7.0 TLS not available now",)),
    "not queued": Reply(458, (b"4.3.0 Unable to queue messages for that node",)),
    # No: what was said.
    "unknown command": Reply(500, (b"5.5.1 Command unknown",)),
    "not text": Reply(500, (b"5.5.2 Command holds a control character",)),
    "bare LF": Reply(500, (b"5.5.2 Command ends without CR",)),
    "line too long": Reply(500, (b"5.5.2 Line too long",)),
    "not SMTP": Reply(500, (b"5.5.1 This is not SMTP",)),
    "bad arguments": Reply(501, (b"5.5.4 Bad arguments",)),
    "bad sender": Reply(501, (b"5.1.7 Bad sender address",)),
    "bad recipient": Reply(501, (b"5.1.3 Bad recipient address",)),
    "bad parameter": Reply(501, (b"5.5.4 Bad parameter",)),
    "bad base64": Reply(501, (b"5.5.2 Not base64",)),
    "auth cancelled": Reply(501, (b"5.7.0 Authentication cancelled",)),
    "not implemented": Reply(502, (b"5.5.1 Command not implemented",)),
    "out of order": Reply(503, (b"5.5.1 Command out of order",)),
    "no recipients": Reply(503, (b"5.5.1 No valid recipients",)),
    "already authenticated": Reply(503, (b"5.5.1 Already authenticated",)),
    "unknown mechanism": Reply(504, (b"5.5.4 Unknown authentication mechanism",)),
    "unknown parameter": Reply(555, (b"5.5.4 Unknown parameter",)),
    "not in groups": Reply(554, (b"5.5.0 Command was to wait for a reply",)),
    # No: what was asked for.
    "auth required": Reply(530, (b"5.7.0 Authentication required",)),
    "auth refused": Reply(535, (b"5.7.8 Authentication failed",)),
    "not permitted": Reply(550, (b"5.7.1 Not permitted by policy",)),
    "too many for policy": Reply(550, (b"5.5.3 More recipients than policy permits",)),
    "no such recipient": Reply(550, (b"5.1.1 No such recipient",)),
    "not UTF-8": Reply(553, (b"5.6.7 Address holds octets beyond ASCII, and SMTPUTF8 was not asked for",)),
    "sender not taken": Reply(553, (b"5.1.7 Sender address holds characters that are not taken here",)),
    "mail too big": Reply(552, (b"5.3.4 Mail too big",)),
    "bare CR": Reply(550, (b"5.5.2 Mail holds a CR without LF",)),
    "NUL": Reply(550, (b"5.5.2 Mail holds a NUL",)),
    "long line": Reply(550, (b"5.5.2 Mail holds a line that is too long",)),
    "too many hops": Reply(554, (b"5.4.6 Too many hops, the mail goes in a circle",)),
    "mail refused": Reply(554, (b"5.3.0 Mail refused",)),
}


def greeting(domain: bytes, protocol: str = "smtp") -> Reply:
    """Give the first reply of a session; RFC 5321, 4.2, RFC 2033, 4."""
    return Reply(220, (domain + (b" LMTP" if protocol == "lmtp" else b" ESMTP"),))


def challenge(data: bytes = b"") -> Reply:
    """Give the 334 that asks an authenticating client for more; RFC 4954, 4."""
    return Reply(334, (b2a_base64(data, newline=False),))
