r"""TRANSITIONS: which command may come when, and where each reply to it leads.

The theory
==========

An SMTP session is a sequence of *steps*; a step is a command together with its reply.  Nothing changes when a command
is sent; everything changes when its reply is there, and only the first digit of the reply decides (RFC 5321, 4.2.1 and
4.3.2).  So one table serves both sides: it knows states, steps and reply classes, and not who is asking.  The client
moves when it has read the reply, the server when it has written it; between two commands both are in the same state.

A step is named by its command's verb.  Five steps have no verb of their own and are named in brackets:

* ``(greeting)``  the server's first reply, to a connection;
* ``(response)``  a response to a challenge, and ``(cancel)``, the ``*`` that ends an authentication (RFC 4954, 4);
* ``(content)``   everything after 354 up to and including CRLF.CRLF, answered as a command is;
* ``(tls)``       the TLS handshake, which has no reply but success (RFC 3207, 4.2).

``BDAT`` and ``BDAT LAST`` are two steps, since one keeps the transaction open and the other ends it (RFC 3030, 2).

A command that has no row in a state is out of order there: the client does not send it, the server answers 503, and the
state stays.  A reply class that has no entry in a row is not a reply to that command: a protocol error.  Two rules
stand above the table: 421 ends the session whatever it answers (RFC 5321, 3.8), and a refused EHLO leaves everything
as it was (4.1.4), which the table says in each row.

A client that pipelines sends commands before it knows the replies to the ones before.  It may send what would be in
order if all of them succeed (:func:`expected`).  When one of them is refused, those behind it were overtaken by events:
the server refuses them as out of order, and nothing changes (a sloppy server may even accept them: nothing changes
either).  Some servers say 354 to a DATA that has no recipient; RFC 2920, 3.1, tells the client to expect it and to send
a lone dot, so OVERTAKEN has that one entry.

What is *not* state: whether TLS is on, whether the client is authenticated, what EHLO offered.  These are facts that
outlive a transaction; crossed with the states they would give a table four times as long that says nothing more.  What
a transaction holds is an object that MAIL makes new, so that nothing can be left over of the last.

LMTP (RFC 2033) has the same table: LHLO in place of EHLO and HELO, and the step that ends the mail has one reply for
each recipient that was accepted; the last one moves the state.
"""

from __future__ import annotations

# Steps that have no verb.
GREETING = b"(greeting)"
RESPONSE = b"(response)"
CANCEL = b"(cancel)"
CONTENT = b"(content)"
TLS = b"(tls)"
BDAT_LAST = b"BDAT LAST"

# States, named by what was just seen.
CONNECTED = "connected"
GREETED = "greeted"
REFUSED = "refused"
READY = "ready"
CHALLENGED = "challenged"
SENDER = "sender"
RECIPIENT = "recipient"
DATA = "data"
CHUNK = "chunk"
FAILED = "failed"
HANDSHAKE = "handshake"
CLOSED = "closed"

Row = dict[int, str]


def _step(state: str, success: str, positive: int = 2) -> Row:
    """Give the row of a step that leads to ``success`` or leaves things as they are."""
    return {positive: success, 4: state, 5: state}


def _any_time(state: str) -> dict[bytes, Row]:
    """Give the steps of RFC 5321, 4.1.4, that are in order at any time between commands; only QUIT moves anything."""
    stay = _step(state, state)
    return {b"NOOP": stay, b"VRFY": stay, b"EXPN": stay, b"HELP": stay, b"QUIT": _step(state, CLOSED)}


def _hello(state: str) -> dict[bytes, Row]:
    """Give the hellos: they also clear a transaction; refused ones leave the state alone (RFC 5321, 4.1.4)."""
    row = _step(state, READY)
    return {b"EHLO": row, b"HELO": row, b"LHLO": row}


def _reset(state: str, cleared: str) -> dict[bytes, Row]:
    return {b"RSET": _step(state, cleared)}


# RFC 5321, 4.1.1.4: whatever the reply to the content is, the transaction is over.
_OVER: Row = {2: READY, 4: READY, 5: READY}

TRANSITIONS: dict[str, dict[bytes, Row]] = {
    # RFC 5321, 3.1: after a refusal the client may only say QUIT.
    CONNECTED: {GREETING: {2: GREETED, 4: REFUSED, 5: REFUSED}},
    REFUSED: {b"QUIT": _step(REFUSED, CLOSED)},
    GREETED: {**_hello(GREETED), **_reset(GREETED, GREETED), **_any_time(GREETED)},
    READY: {
        **_hello(READY),
        b"MAIL": _step(READY, SENDER),
        b"AUTH": {2: READY, 3: CHALLENGED, 4: READY, 5: READY},
        b"STARTTLS": _step(READY, HANDSHAKE),
        b"ETRN": _step(READY, READY),
        **_reset(READY, READY),
        **_any_time(READY),
    },
    # RFC 4954, 4: nothing but a response or a cancel; the cancel is always refused (501).
    CHALLENGED: {
        RESPONSE: {2: READY, 3: CHALLENGED, 4: READY, 5: READY},
        CANCEL: {4: READY, 5: READY},
    },
    SENDER: {
        **_hello(SENDER),
        b"RCPT": _step(SENDER, RECIPIENT),
        **_reset(SENDER, READY),
        **_any_time(SENDER),
    },
    RECIPIENT: {
        **_hello(RECIPIENT),
        b"RCPT": _step(RECIPIENT, RECIPIENT),
        b"DATA": _step(RECIPIENT, DATA, 3),
        b"BDAT": {2: CHUNK, 4: FAILED, 5: FAILED},
        BDAT_LAST: _OVER,
        **_reset(RECIPIENT, READY),
        **_any_time(RECIPIENT),
    },
    DATA: {CONTENT: _OVER},
    CHUNK: {
        **_hello(CHUNK),
        b"BDAT": {2: CHUNK, 4: FAILED, 5: FAILED},
        BDAT_LAST: _OVER,
        **_reset(CHUNK, READY),
        **_any_time(CHUNK),
    },
    # RFC 3030, 2: after a chunk that failed only RSET (or a hello) opens the way; chunks on their way get 503.
    FAILED: {**_hello(FAILED), **_reset(FAILED, READY), **_any_time(FAILED)},
    # RFC 3207, 4.2: the session begins again, without a greeting.
    HANDSHAKE: {TLS: {2: GREETED}},
    CLOSED: {},
}

# RFC 2920, 3.1: a 354 to a DATA that has no recipient asks for a lone dot.
OVERTAKEN: dict[bytes, str] = {b"DATA": DATA}

# RFC 2920, 3.1: these may stand anywhere in a group of commands; (content) may begin one.  RFC 3030, 4.2, shows chunks
# in a group; its section 2 has the replies to RCPT read before the first of them, which saves the client a useless
# chunk and is of no use to the server: Postfix, Exim and Dovecot take envelope and chunks in one group.
# All others stand last, "unless otherwise specified by the extensions that define the commands".
ANYWHERE_IN_GROUP = frozenset((b"MAIL", b"RCPT", b"RSET", b"BDAT", BDAT_LAST, CONTENT))

# Where the first digit does not say enough: a 250 is no greeting, a 235 starts no TLS, a 334 asks for no mail.
EXACT: dict[tuple[bytes, int], int] = {
    (GREETING, 2): 220,
    (b"STARTTLS", 2): 220,
    (b"DATA", 3): 354,
    (b"AUTH", 3): 334,
    (RESPONSE, 3): 334,
}

SHUTDOWN = 421


def after(state: str, step: bytes, code: int) -> str | None:
    """Give the state that a reply leads to, or None if ``code`` cannot be a reply to that step there."""
    if code == SHUTDOWN:
        return CLOSED
    digit = code // 100
    if EXACT.get((step, digit), code) != code:
        return None
    row = TRANSITIONS[state].get(step)
    if row is not None:
        return row.get(digit)
    return OVERTAKEN.get(step) if digit == 3 else state  # noqa: PLR2004 - go on


def expected(state: str, step: bytes) -> str | None:
    """Give the state that success leads to, or None if the step is out of order."""
    row = TRANSITIONS[state].get(step)
    if row is None:
        return None
    return row.get(2) or row.get(3) or state
