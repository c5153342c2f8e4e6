"""Replies that are not the ones due: which failure each is, and what a person can do about it.

STEPS declares for each step of a session the words, as users of msmtp know them, and the two failures; from a failure
come the exit code, the log line and what stands on standard error.  Nothing here is needed when all goes well.
"""

from __future__ import annotations

from msmtp import failures
from msmtp.sender.outcome import reply_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.failures import Failure
    from msmtp.smtp.replies import Reply

HELLO = "SMTP server does not accept EHLO or HELO commands"

STEPS: dict[str, tuple[str, type[Failure], type[Failure]]] = {
    "greeting": (
        "cannot get initial OK message from server",
        failures.ServerNotReadyFailure,
        failures.ServerRefusedFailure,
    ),
    "hello": (HELLO, failures.ServerNotReadyFailure, failures.ServerRefusedFailure),
    "lhlo": ("command LHLO failed", failures.ServerNotReadyFailure, failures.ServerRefusedFailure),
    "starttls": ("command STARTTLS failed", failures.ServerNotReadyFailure, failures.ServerRefusedFailure),
    "auth": ("authentication failed (method {})", failures.AuthDeferredFailure, failures.AuthRefusedFailure),
    "mail": (
        "envelope from address {} not accepted by the server",
        failures.EnvelopeDeferredFailure,
        failures.EnvelopeRefusedFailure,
    ),
    "rcpt": (
        "recipient address {} not accepted by the server",
        failures.EnvelopeDeferredFailure,
        failures.EnvelopeRefusedFailure,
    ),
    "data": (
        "the server does not accept mail data",
        failures.EnvelopeDeferredFailure,
        failures.EnvelopeRefusedFailure,
    ),
    "lmtp": (
        "the server refuses to send the mail to {}",
        failures.MailDeferredFailure,
        failures.MailRefusedFailure,
    ),
    "mail data": ("the server did not accept the mail", failures.MailDeferredFailure, failures.MailRefusedFailure),
}

# What a person can do, by subject and detail of the enhanced code (RFC 3463 and the IANA registry of these codes).
HINTS: dict[tuple[int, int], str] = {
    (1, 1): "there is no such mailbox: check the address",
    (1, 2): "there is no such mail domain: check the part behind the @",
    (1, 3): "check the address: it is not written as one",
    (1, 8): "the server does not know the sender's domain: check 'from'",
    (2, 1): "the mailbox takes no mail now",
    (2, 2): "the mailbox is full",
    (3, 4): "the mail is too large for this server",
    (5, 3): "too many recipients for one mail: send it in parts",
    (7, 0): "the server may want authentication: set 'auth on' and 'user'",
    (7, 1): "the server's policy forbids it; often the 'from' address must be the account's own",
    (7, 8): "check 'user' and the password",
    (7, 9): "the server wants another authentication method or a password made for this program: ask your provider",
    (7, 11): "the server wants encryption: set 'tls on'",
    (7, 60): "the account may not send from this address: check 'from'",
}
# The same for replies without an enhanced code (RFC 4954, 6).
CODE_HINTS = {530: (7, 0), 534: (7, 9), 535: (7, 8), 538: (7, 11), 552: (3, 4)}


def hint_for(reply: Reply) -> str:
    """What to do about a reply; '' where only the server's own words can tell."""
    key = reply.enhanced[1:] if reply.enhanced else CODE_HINTS.get(reply.code, (0, 0))
    if key == (7, 0) and reply.code == 530 and b"STARTTLS" in reply.text().upper():  # noqa: PLR2004 - RFC 3207, 4
        key = (7, 11)
    return HINTS.get(key, "")


def is_temporary(step: str, reply: Reply) -> bool:
    """Whether a later try may succeed: 4xx, and the 552 with which old servers say that there are too many recipients.

    RFC 5321, 4.2.1 and 4.5.3.1.10.
    """
    too_many = step == "rcpt" and reply.code == 552 and reply.enhanced in (None, (5, 5, 3))  # noqa: PLR2004 - see above
    return reply.severity == 4 or too_many  # noqa: PLR2004 - the reply's class


def refusal(step: str, reply: Reply, subject: str = "") -> Failure:
    """The failure that a reply other than the one due means at a step of STEPS; ``subject`` goes into its words."""
    words, deferred, refused = STEPS[step]
    kind = deferred if is_temporary(step, reply) else refused
    failure = kind(words.format(subject), hint=hint_for(reply), server=reply_lines(reply))
    if reply.severity != 4:  # noqa: PLR2004 - a 552 that counts as temporary is final to the C program
        failure.upstream_exit = refused.upstream_exit
    return failure
