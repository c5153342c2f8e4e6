"""What is changed in a mail's header on its way: a chain of stages, each from fields to fields.

Everything else passes as it came.  The fields that are added stand above the mail's own, From, To, Date and Message-ID
in this order; so the stages run from the last of them to the first.

A From without a value counts as none, as in the C program, and makes way for the one that is added.  For the null
sender there is no From that could be added, so the mail's own stays whatever ``set_from_header`` says.
"""

from __future__ import annotations

from msmtp.mail.fields import checked, from_field, to_field
from msmtp.mail.header import Field

BCC = (b"bcc", b"resent-bcc")
ADDRESSED = (b"to", b"cc", b"bcc", b"resent-bcc")
# Who the mail is sent on to is as undisclosed as who it was sent to.
UNDISCLOSED = (*ADDRESSED, b"resent-to", b"resent-cc")


class Plan:
    """What to change.

    ``sender`` is the envelope-from address (b"" for the null sender), ``full_name`` goes with it into From;
    ``set_from`` is auto, on or off; ``set_to`` off, on or undisclosed_recipients; ``recipients`` all of the envelope;
    ``date`` and ``message_id`` are the values of fields to add if they are missing, b"" for never.
    """

    __slots__ = ("date", "full_name", "message_id", "recipients", "remove_bcc", "sender", "set_from", "set_to")

    def __init__(  # noqa: PLR0913 - all by name, one for each setting
        self,
        *,
        sender: bytes = b"",
        full_name: bytes = b"",
        recipients: tuple[bytes, ...] = (),
        set_from: str = "auto",
        set_to: str = "off",
        remove_bcc: bool = True,
        date: bytes = b"",
        message_id: bytes = b"",
    ) -> None:
        self.sender = sender
        self.full_name = full_name
        self.recipients = recipients
        self.set_from = set_from
        self.set_to = set_to
        self.remove_bcc = remove_bcc
        self.date = date
        self.message_id = message_id


def rewrite(fields: list[Field], plan: Plan) -> list[Field]:
    """Run all stages.  Raises UsageFailure if the plan would put a control character into the header."""
    for stage in STAGES:
        fields = stage(fields, plan)
    return fields


def header_bytes(fields: list[Field], plan: Plan) -> bytes:
    """The rewritten header, lines ended by LF, without the empty line that ends it (``HeaderReader.separator``)."""
    return b"".join([field.raw for field in rewrite(fields, plan)])


def _without(fields: list[Field], names: tuple[bytes, ...]) -> list[Field]:
    return [field for field in fields if field.name not in names]


def _bcc(fields: list[Field], plan: Plan) -> list[Field]:
    return _without(fields, BCC) if plan.remove_bcc else fields


def _message_id(fields: list[Field], plan: Plan) -> list[Field]:
    return _unless_present(fields, b"message-id", b"Message-ID: ", plan.message_id)


def _date(fields: list[Field], plan: Plan) -> list[Field]:
    return _unless_present(fields, b"date", b"Date: ", plan.date)


def _unless_present(fields: list[Field], name: bytes, label: bytes, value: bytes) -> list[Field]:
    if not value or any(field.name == name for field in fields):
        return fields
    return [Field(name, label + checked(label.decode(), value) + b"\n"), *fields]


def _to(fields: list[Field], plan: Plan) -> list[Field]:
    if plan.set_to == "off":
        return fields
    if plan.set_to == "on":
        return [Field(b"to", to_field(plan.recipients)), *_without(fields, ADDRESSED)]
    return [Field(b"to", b"To: undisclosed-recipients:;\n"), *_without(fields, UNDISCLOSED)]


def _from(fields: list[Field], plan: Plan) -> list[Field]:
    present = any(field.name == b"from" and field.value.strip() for field in fields)
    if plan.set_from == "off" or not plan.sender or (plan.set_from == "auto" and present):
        return fields
    return [Field(b"from", from_field(plan.sender, plan.full_name)), *_without(fields, (b"from",))]


STAGES = (_bcc, _message_id, _date, _to, _from)
