"""The way of a mail through msmtp.mail without the rest of msmtp: what the sender does with it, in twenty lines."""

from __future__ import annotations

from dataclasses import dataclass, field

from msmtp.mail.header import HeaderReader
from msmtp.mail.recipients import argument_recipients, header_recipients, header_sender
from msmtp.mail.rewriting import Plan, header_bytes

DATE = b"Sun, 22 Nov 2026 16:33:19 +0000"
MESSAGE_ID = b"<token@x.example>"


@dataclass(frozen=True)
class Sent:
    """What goes to the server: ``data`` with LF line ends and the last line ended."""

    sender: bytes
    recipients: list[bytes]
    data: bytes


@dataclass
class Order:
    """The arguments that have to do with the mail itself."""

    sender: bytes = b"s@x.example"
    full_name: bytes = b""
    read_recipients: bool = False
    read_sender: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    recipients: list[bytes] = field(default_factory=list)


def order(arguments: list[str]) -> Order:
    """Read the arguments of msmtp that a corpus uses."""
    found, rest = Order(), list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "-t":
            found.read_recipients = True
        elif argument == "--read-envelope-from":
            found.read_sender = True
        elif argument == "-f":
            found.sender = rest.pop(0).encode().removeprefix(b"<>")
        elif argument == "-F":
            found.full_name = rest.pop(0).encode()
        elif argument.startswith("--"):
            name, _, value = argument[2:].partition("=")
            found.settings[name] = value
        else:
            found.recipients += argument_recipients(argument.encode())
    return found


def hand_over(mail: bytes, arguments: list[str]) -> Sent | None:
    """The mail as it would be sent; None if there is nobody to send it to or nobody it is from."""
    wanted, reader = order(arguments), HeaderReader()
    fields = reader.feed(mail)
    fields += reader.close()
    sender = header_sender(fields) if wanted.read_sender else wanted.sender
    recipients = wanted.recipients + (header_recipients(fields) if wanted.read_recipients else [])
    if sender is None or not recipients:
        return None
    on = wanted.settings.get
    plan = Plan(
        sender=sender,
        full_name=wanted.full_name,
        recipients=tuple(recipients),
        set_from=on("set-from-header", "auto"),
        set_to="undisclosed_recipients" if on("undisclosed-recipients") else "off",
        remove_bcc=on("remove-bcc-headers") != "off",
        date=b"" if on("set-date-header") else DATE,
        message_id=b"" if on("set-msgid-header") else MESSAGE_ID,
    )
    data = header_bytes(fields, plan) + reader.separator + reader.rest.replace(b"\r\n", b"\n")
    return Sent(sender, recipients, data if data.endswith(b"\n") or not data else data + b"\n")
