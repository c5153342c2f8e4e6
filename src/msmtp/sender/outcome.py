"""What a reply means for the mail: sent, to be tried again, or refused.

The first digit of the reply decides (RFC 5321, 4.2.1): 2 and 3 are progress where they are the code that is due, 4
says "later", everything else says "no".  The enhanced code (RFC 3463), where there is one, says why, and so what to do:
:mod:`msmtp.sender.refusals`.
"""

from __future__ import annotations

from msmtp import failures

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.failures import Failure
    from msmtp.smtp.replies import Reply

UNCERTAIN = "the server may have taken the mail all the same: it was sent to its end"


def text(octets: bytes) -> str:
    """Octets of the wire for people: UTF-8 where they are, escaped where they are not."""
    return octets.decode("utf-8", "backslashreplace")


def reply_lines(reply: Reply) -> tuple[str, ...]:
    """A reply as it came, one str a line, codes included; control characters are left to who prints it."""
    return tuple(text(line) for line in reply.raw_lines())


class Refusal:
    """One recipient that did not get the mail: ``recipient``, and the ``failure`` that says why."""

    __slots__ = ("failure", "recipient")

    def __init__(self, recipient: bytes, failure: Failure) -> None:
        self.recipient = recipient
        self.failure = failure


class Delivery:
    """What became of a mail the server took for somebody.

    ``size``: octets as the log counts them.  ``reply``: the last reply, None where there was one a recipient (LMTP).
    ``refused``: who did not get it.
    """

    __slots__ = ("refused", "reply", "size")

    def __init__(self, size: int, reply: Reply | None, refused: list[Refusal]) -> None:
        self.size = size
        self.reply = reply
        self.refused = refused

    def failure(self) -> Failure | None:
        """What the mail as a whole failed with: None if everybody got it; temporary if anybody may get it later."""
        if not self.refused:
            return None
        deferred = any(refusal.failure.temporary for refusal in self.refused)
        kind = failures.PartlyDeferredFailure if deferred else failures.PartlyRefusedFailure
        return kind("delivery to one or more recipients failed")


def exit_code(failure: Failure, codes: str) -> int:
    """The exit code of a failure in the ``sysexits`` or ``upstream`` scheme (the command exit_codes)."""
    return failure.upstream_exit if codes == "upstream" else failure.code
