"""REQUESTS: everything that one process of the daemon may say to another, a row a message.

A process obeys the rows that name it as the one asked, in the states that ``when`` names, and no others: each broker
asks its channels for the rows permitted at that moment, so that what comes out of turn is junk (see ``channel``) and
ends the session it came from.  Who may ask is not looked at, since nobody else holds the other end.

The processes: keeper, supervisor, nursery, worker, auth, delivery, tls, names; and next, which will be msmtp (see
``ahead``).  docs/security.md has this table in words.
"""

from __future__ import annotations

from msmtp.daemon.channel import MANY, NUMBER, OCTETS

TYPE_CHECKING = False
if TYPE_CHECKING:
    Field = tuple[str, str, int]

# How long things may be, in octets.
ADDRESS = 64  # an IP address as text, with a zone
LOCAL = 512  # the same, or the path of a unix socket, escaped
KEY = 80  # who a source is, for limits and delays
NAME = 255  # a host's name
LINE = 1_024  # one line for people
PATH = 1_280  # an address of RFC 5321, or a parameter's value: what a command line may hold
WORD = 1_536  # of a command line or an environment; a run with a longer one is told otherwise
SASL = 12_288  # a challenge or a response, decoded; RFC 4954, 4

# Bits of CONNECTION's ``flags``.
STRESSED = 1  # no slot is left: short deadlines, one error
PROXIED = 2  # the PROXY protocol's header comes first
TLS_FIRST = 4  # TLS from the first octet
WITH_AUTH = 8  # the second descriptor leads to auth, not to delivery
SECURE_PATH = 16  # nobody can listen: a unix socket, or this machine talking to itself
WITH_TLS = 32  # there is a TLS process to hand the connection to
SCRIPTED = 64  # a pipe, into which nobody else can write: the client need not wait for replies

# Bits of ENVELOPE's ``protocol``: what the word behind "with" is made of (RFC 3848, RFC 6531, 4.3).
EXTENDED, SECURED_BY_TLS, AUTHENTICATED, UTF8, LOCAL_TRANSFER = 1, 2, 4, 8, 16

NOBODY = (1 << 64) - 1  # as a user's number: unknown


class Request:
    """A row.  ``fields``: (name, kind, limit in octets); ``descriptors``: how many come along."""

    __slots__ = ("asked", "asker", "descriptors", "fields", "meaning", "name", "number", "when")

    def __init__(  # noqa: PLR0913, PLR0917 - a row of the table
        self,
        number: int,
        name: str,
        asker: str,
        asked: str,
        fields: tuple[Field, ...],
        descriptors: int,
        when: str,
        meaning: str,
    ) -> None:
        self.number = number
        self.name = name
        self.asker = asker
        self.asked = asked
        self.fields = fields
        self.descriptors = descriptors
        self.when = when
        self.meaning = meaning

    def __repr__(self) -> str:
        return f"Request({self.name})"


def _number(name: str) -> Field:
    return (name, NUMBER, 0)


def _octets(name: str, limit: int) -> Field:
    return (name, OCTETS, limit)


def _many(name: str, limit: int) -> Field:
    return (name, MANY, limit)


_PEER = (_octets("address", ADDRESS), _number("port"), _number("uid"), _octets("local", LOCAL))

# keeper and supervisor
BROKER = Request(
    1, "BROKER", "keeper", "supervisor", (_octets("which", 16),), 1, "any time",
    "a broker (auth, delivery, tls, names) runs; the descriptor is the way to it, and replaces the one before",
)  # fmt: skip
CONTROL = Request(
    4, "CONTROL", "keeper", "auth, delivery, tls, names", (), 1, "any time",
    "a further supervisor; the descriptor is the way to it",
)  # fmt: skip
TO_DELIVERY = Request(
    6, "TO_DELIVERY", "keeper", "names", (), 1, "any time",
    "delivery runs; the descriptor is the way to it, and replaces the one before",
)  # fmt: skip
NAMES = Request(
    7, "NAMES", "keeper", "delivery", (), 1, "any time",
    "the descriptor is a way for names, which may say PEER_NAME there and no more",
)  # fmt: skip
DRAIN = Request(2, "DRAIN", "keeper", "supervisor", (), 0, "once", "accept no more, end when the sessions have")
READY = Request(3, "READY", "supervisor", "keeper", (), 0, "once", "listening, and the first workers wait")
HUNG = Request(
    5, "HUNG", "supervisor", "keeper", (_octets("which", 16),), 0, "any time",
    "a broker has not answered for too long",
)  # fmt: skip

COUNTERS = Request(
    8, "COUNTERS", "relay", "delivery, a service of its own", (_number("lane"),), 1, "any time",
    "count here; the descriptor: the page",
)  # fmt: skip

# supervisor and brokers
PING = Request(10, "PING", "supervisor", "auth, delivery, tls, names", (_number("count"),), 0, "any time", "alive?")
PONG = Request(11, "PONG", "auth, delivery, tls, names", "supervisor", (_number("count"),), 0, "after PING", "alive")
AUTH_SESSION = Request(
    12, "AUTH_SESSION", "supervisor", "auth", (_number("session"), _octets("key", KEY), *_PEER), 2, "any time",
    "a session begins; the descriptors: auth's end of the way to its worker, the worker's end of the way to delivery",
)  # fmt: skip
DELIVERY_SESSION = Request(
    13, "DELIVERY_SESSION", "supervisor", "delivery", (_number("session"), *_PEER, _number("flags")), 1, "any time",
    "a session begins; the descriptor: delivery's end of the way to its worker",
)  # fmt: skip
TLS_SESSION = Request(
    14, "TLS_SESSION", "supervisor", "tls", (_number("session"),), 3, "any time",
    "a session goes over to TLS; the descriptors: connection, one end of a stream and one of a channel to its worker",
)  # fmt: skip
LOOKUP = Request(
    15, "LOOKUP", "supervisor", "names", (_number("session"), _octets("address", ADDRESS)), 0, "any time",
    "what is this peer's name?",
)  # fmt: skip
PEER_NAME = Request(
    16, "PEER_NAME", "names", "delivery", (_number("session"), _octets("name", NAME)), 0, "after LOOKUP",
    "the peer's name, which leads back to its address",
)  # fmt: skip

# supervisor and worker
CONNECTION = Request(
    20, "CONNECTION", "supervisor", "worker", (_number("session"), _number("flags"), *_PEER), 2, "once",
    "serve this; the descriptors: the connection, and the way to auth or to delivery",
)  # fmt: skip
NOTE = Request(
    21, "NOTE", "worker", "supervisor", (_octets("text", LINE),), 0, "after CONNECTION",
    "for the log, with this session's number",
)  # fmt: skip
SWAP = Request(22, "SWAP", "worker", "supervisor", (), 0, "until SWAPPED", "hand my connection to a TLS process")
SWAPPED = Request(
    23, "SWAPPED", "supervisor", "worker", (), 2, "after SWAP",
    "done; the descriptors: a stream of plain text in the connection's place, and a channel to the TLS process",
)  # fmt: skip
NOT_SWAPPED = Request(24, "NOT_SWAPPED", "supervisor", "worker", (), 0, "after SWAP", "there is no TLS process now")
SECURED = Request(
    25, "SECURED", "tls", "worker", (_octets("version", 32), _octets("cipher", 64), _number("bits")), 0,
    "once, when the handshake is complete", "plain text may flow",
)  # fmt: skip
NOT_SECURED = Request(
    27, "NOT_SECURED", "tls", "worker", (_octets("reason", 128),), 0, "instead of SECURED", "the handshake failed: why",
)  # fmt: skip
CLOSED = Request(
    28, "CLOSED", "tls", "worker", (), 0, "after SECURED",
    "the client said that it ends TLS; without this, the end of the plain text is a cut that somebody made",
)  # fmt: skip
ENDED = Request(
    26, "ENDED", "worker", "supervisor", (_octets("reason", 64), _number("mails"), _number("errors")), 0,
    "once, last", "how the session ended",
)  # fmt: skip

# supervisor and nursery
GROW = Request(
    50, "GROW", "supervisor", "nursery", (_number("count"),), 0, "any time",
    "fork so many workers; wait for those that have ended",
)  # fmt: skip
BORN = Request(
    51, "BORN", "nursery", "supervisor", (_number("pid"),), 2, "after GROW",
    "a worker; the descriptors: its pidfd, and the way to it",
)  # fmt: skip
BARREN = Request(
    52, "BARREN", "nursery", "supervisor", (_number("errno"),), 0, "after GROW",
    "the system gives no process; the rest of what was asked for does not come",
)  # fmt: skip
DIED = Request(
    53, "DIED", "nursery", "supervisor", (_number("pid"), _number("status")), 0, "after GROW",
    "a worker ended by a signal or with an error: its number, and its status as wait(2) has it",
)  # fmt: skip

# worker and auth, worker and delivery
PEER = Request(
    30, "PEER", "worker", "auth, delivery", (_octets("address", ADDRESS), _number("port")), 0,
    "first, once, if the supervisor said PROXIED", "the PROXY header's word for who connected",
)  # fmt: skip
AUTH_START = Request(
    31, "AUTH_START", "worker", "auth",
    (_octets("mechanism", 20), _number("with_initial"), _octets("initial", SASL)), 0, "while no exchange runs",
    "begin; with_initial 0: the client sent no initial response",
)  # fmt: skip
AUTH_RESPONSE = Request(
    32, "AUTH_RESPONSE", "worker", "auth", (_octets("response", SASL),), 0, "after AUTH_CHALLENGE",
    "the client's response",
)  # fmt: skip
AUTH_CANCEL = Request(33, "AUTH_CANCEL", "worker", "auth", (), 0, "after AUTH_CHALLENGE", "the client gave up")
AUTH_CHALLENGE = Request(
    34, "AUTH_CHALLENGE", "auth", "worker", (_octets("challenge", SASL),), 0, "after AUTH_START or AUTH_RESPONSE",
    "334 with this",
)  # fmt: skip
AUTH_ACCEPTED = Request(
    35, "AUTH_ACCEPTED", "auth", "worker", (_octets("user", NAME),), 1, "after AUTH_START or AUTH_RESPONSE",
    "235; the descriptor is the way to delivery: to hold it is to be authenticated",
)  # fmt: skip
AUTH_REFUSED = Request(
    36, "AUTH_REFUSED", "auth", "worker", (_octets("reply", 32),), 0, "after AUTH_START or AUTH_RESPONSE",
    "the reply of this name in REPLIES",
)  # fmt: skip
USER = Request(
    37, "USER", "auth", "delivery", (_octets("user", NAME),), 0, "first, once, in a session that has to authenticate",
    "who gave the password; said by auth on the worker's end of the way, before the worker gets it",
)  # fmt: skip
ENVELOPE = Request(
    40, "ENVELOPE", "worker", "delivery",
    (_octets("hello", NAME), _number("protocol"), _octets("tls", 128), _octets("user", NAME), _octets("sender", PATH),
     _many("parameters", PATH)), 0, "while no mail is under way",
    "a mail begins: hello's name, bits of the protocol, TLS's version and cipher, user, reverse-path, its parameters",
)  # fmt: skip
RECIPIENT = Request(
    41, "RECIPIENT", "worker", "delivery", (_octets("recipient", PATH), _many("parameters", PATH)), 0, "after ENVELOPE",
    "a forward-path, KEYWORD=value of RCPT",
)  # fmt: skip
BODY = Request(
    42, "BODY", "worker", "delivery", (_number("size"),), 0, "after RECIPIENT",
    "where may the mail be written? size: what the client announced, or 0",
)  # fmt: skip
SPILL = Request(
    43, "SPILL", "worker", "delivery", (_number("length"),), 0, "after FILE",
    "the file is too small for what comes; length: octets written to it so far",
)  # fmt: skip
FILE = Request(
    44, "FILE", "delivery", "worker", (_number("room"),), 1, "after BODY or SPILL",
    "write here, at the descriptor's offset; room: octets that may be added",
)  # fmt: skip
UNABLE = Request(
    45, "UNABLE", "delivery", "worker", (_octets("reply", 32), _octets("text", 512)), 0, "after BODY or SPILL",
    "the mail is dropped; the reply of this name in REPLIES, if there is a text with that, enhanced code at its head",
)  # fmt: skip
COMMIT = Request(
    46, "COMMIT", "worker", "delivery", (_number("length"),), 0, "after FILE",
    "the mail is complete; length: octets that the worker wrote in all",
)  # fmt: skip
RESULT = Request(
    47, "RESULT", "delivery", "worker", (_number("code"), _octets("text", 512)), 0, "after COMMIT",
    "the command's outcome: reply code and text, enhanced code at its head",
)  # fmt: skip
ABORT = Request(
    48, "ABORT", "worker", "delivery", (), 0, "after ENVELOPE, before COMMIT", "no mail comes of it"
)  # fmt: skip

# delivery and the process that will be msmtp
RUN = Request(
    60, "RUN", "delivery", "next msmtp", (_many("argv", WORD), _many("environment", WORD)), 2, "once",
    "be msmtp with these words and these variables (NAME=value); the descriptors: standard input, and the other two",
)  # fmt: skip
TRUSTS = Request(
    61, "TRUSTS", "next msmtp", "delivery", (_octets("path", 4_096),), 0, "before RUN",
    "the configuration names this file of trusted authorities: have it read for those to come",
)  # fmt: skip

REQUESTS: dict[str, Request] = {row.name: row for row in list(globals().values()) if isinstance(row, Request)}
