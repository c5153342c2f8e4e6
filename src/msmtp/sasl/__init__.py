"""SASL mechanisms (RFC 4422) for SMTP and its kin, as objects without sockets, clocks or randomness.

    row  = choose(offered, tls=True, channel_binding=True)   which mechanism, by name
    load(name, credentials)                                  import it, before the process gives up its rights
    mechanism = create(name, credentials, offered)
    mechanism.start()            the initial response; None: there is none, b"": an empty one
    mechanism.next(challenge)    the answer to one challenge
    mechanism.finished()         after the server's success: raises if the server did not prove itself

Everything is octets; base64 is the business of the transport.  A mechanism is its own module, imported when it is asked
for; this door and PLAIN cost next to nothing.  ``msmtp.sasl.server`` holds the other
side of PLAIN, LOGIN and SCRAM-SHA-256.
"""

from msmtp.sasl.mechanisms import (
    BY_NAME,
    MECHANISMS,
    Credentials,
    Mechanism,
    Row,
    available,
    check,
    choose,
    create,
    find,
    load,
)

__all__ = [
    "BY_NAME",
    "MECHANISMS",
    "Credentials",
    "Mechanism",
    "Row",
    "available",
    "check",
    "choose",
    "create",
    "find",
    "load",
]
