"""The server's door: order, groups, framing, limits, chunks, LMTP, any chunking.

The numbers in "faults.md" comments are the rows of the project's list of attacks.
"""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.chunks import cut, one_by_one, places

from msmtp.failures import SequenceFailure
from msmtp.smtp import transitions as t
from msmtp.smtp.commands import Auth, AuthCancel, AuthResponse, Bdat, Ehlo, Mail, Quit, Rcpt
from msmtp.smtp.incoming import BARE_CR, LONG_LINE, NUL, TOO_BIG
from msmtp.smtp.limits import Limits
from msmtp.smtp.replies import Reply
from msmtp.smtp.server import (
    DEFAULT_OFFERS,
    ChunkFinished,
    CommandReceived,
    CommandRefused,
    DataFinished,
    DataReceived,
    ServerConnection,
)
from msmtp.smtp.server_replies import REPLIES, challenge
from msmtp.smtp.transitions import TRANSITIONS

OFFERS = (*DEFAULT_OFFERS, b"STARTTLS", b"AUTH PLAIN LOGIN", b"ETRN")


class Session:
    """A server, what it wrote, and what it saw: contents joined, so that pieces do not show."""

    def __init__(self, **options):
        self.server = ServerConnection(b"mail.example", **{"offers": OFFERS, **options})
        self.answers = {}
        self.written = b""
        self.events = []

    def greeted(self):
        self.written += self.server.greet()
        return self

    def feed(self, *pieces):
        for piece in pieces:
            self.take(self.server.receive(piece))
        return self

    def take(self, events):
        for event in events:
            if isinstance(event, DataReceived) and self.events and isinstance(self.events[-1], DataReceived):
                self.events[-1] = DataReceived(event.transaction, self.events[-1].block + event.block)
            else:
                self.events.append(event)
            verb = event.command.verb if isinstance(event, (CommandReceived, ChunkFinished)) else b""
            while self.server.awaits_reply:
                self.written += self.server.reply(self.answers.get(verb, event.reply))

    def codes(self, *pieces):
        """The codes of what is written in answer to these pieces."""
        start = len(self.written)
        self.feed(*pieces)
        return [int(line[:3]) for line in self.written[start:].splitlines() if line[3:4] != b"-"]

    @property
    def mails(self):
        return [event for event in self.events if isinstance(event, DataFinished)]

    @property
    def content(self):
        return b"".join(event.block for event in self.events if isinstance(event, DataReceived))


def ready(**options):
    session = Session(**options).greeted()
    assert session.codes(b"LHLO me\r\n" if options.get("protocol") == "lmtp" else b"EHLO me\r\n") == [250]
    return session


def with_recipient(**options):
    session = ready(**options)
    assert session.codes(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n") == [250, 250]
    return session


# -- order

LINES = {
    b"EHLO": b"EHLO me\r\n",
    b"HELO": b"HELO me\r\n",
    b"MAIL": b"MAIL FROM:<a@b>\r\n",
    b"RCPT": b"RCPT TO:<c@d>\r\n",
    b"DATA": b"DATA\r\n",
    b"AUTH": b"AUTH PLAIN AHUAcA==\r\n",
    b"STARTTLS": b"STARTTLS\r\n",
    b"RSET": b"RSET\r\n",
    b"NOOP": b"NOOP\r\n",
    b"QUIT": b"QUIT\r\n",
    b"VRFY": b"VRFY x\r\n",
    b"EXPN": b"EXPN x\r\n",
    b"HELP": b"HELP\r\n",
    b"ETRN": b"ETRN x\r\n",
    b"BDAT": b"BDAT 3\r\nabc",
    b"BDAT LAST": b"BDAT 3 LAST\r\nabc",
    b"(response)": b"AHUAcA==\r\n",
    b"(cancel)": b"*\r\n",
    b"(content)": b"text\r\n.\r\n",
}

WAYS = {
    t.GREETED: [],
    t.READY: [b"EHLO"],
    t.CHALLENGED: [b"EHLO", b"AUTH"],
    t.SENDER: [b"EHLO", b"MAIL"],
    t.RECIPIENT: [b"EHLO", b"MAIL", b"RCPT"],
    t.DATA: [b"EHLO", b"MAIL", b"RCPT", b"DATA"],
    t.CHUNK: [b"EHLO", b"MAIL", b"RCPT", b"BDAT"],
    t.FAILED: [b"EHLO", b"MAIL", b"RCPT", b"BDAT"],
}


def session_in(state):
    session = Session().greeted()
    session.answers[b"AUTH"] = challenge()
    if state == t.FAILED:
        session.answers[b"BDAT"] = REPLIES["no storage"]
    session.feed(*(LINES[step] for step in WAYS[state]))
    assert session.server.state == state
    session.answers.clear()
    return session


@pytest.mark.parametrize("state", [state for state in WAYS if state not in (t.CHALLENGED, t.DATA)])
def test_all_states_times_all_verbs(state):
    """In order: an event, and every answer leads where the table says.  Out of order: refused, and nothing moves."""
    for step, line in LINES.items():
        if step.startswith(b"("):
            continue
        row = TRANSITIONS[state].get(step)
        session = session_in(state)
        events = session.server.receive(line)
        if row is None or (state == t.GREETED and step == b"AUTH"):
            (event,) = events
            assert isinstance(event, CommandRefused), step
            session.server.reply(event.reply)
            fatal = step.startswith(b"BDAT") and state == t.GREETED  # CHUNKING was not offered yet
            assert (event.fatal, session.server.state) == (fatal, t.CLOSED if fatal else state), step
            continue
        for digit, target in row.items():
            session = session_in(state)
            *_, event = session.server.receive(line)
            assert isinstance(event, (CommandReceived, ChunkFinished, DataFinished)), step
            session.server.reply(Reply(t.EXACT.get((step, digit), digit * 100 + 50)))
            assert session.server.state == target, (step, digit)


@pytest.mark.parametrize("step", [step for step in LINES if step != b"(cancel)"])
def test_while_a_challenge_is_open_every_line_is_an_answer(step):
    """RSET and QUIT are base64 like any word of four letters, and nothing else then."""
    session = session_in(t.CHALLENGED)
    line = LINES[step].split(b"\r\n")[0]
    word = (line.isalnum() and len(line) % 4 == 0) or line == b"AHUAcA=="
    assert session.codes(line + b"\r\n") == [454 if word else 501]
    assert session.server.state == t.READY


def test_a_hello_is_that_of_the_protocol():
    assert Session().greeted().codes(b"LHLO me\r\n") == [500]
    session = Session(protocol="lmtp").greeted()
    assert session.codes(b"HELO me\r\n", b"EHLO me\r\n", b"LHLO me\r\n") == [500, 500, 250]
    assert session.written.startswith(b"220 mail.example LMTP\r\n500")


def test_a_refused_greeting_leaves_quit():
    session = Session()
    assert session.server.greet(Reply(554, (b"5.7.1 no",))) == b"554 5.7.1 no\r\n"
    assert session.codes(b"EHLO me\r\n", b"QUIT\r\n") == [503, 221]
    assert session.server.state == t.CLOSED


def test_421_ends_the_session_whatever_it_answers():
    session = with_recipient()
    session.answers[b"RCPT"] = REPLIES["shutting down"]
    assert session.codes(b"RCPT TO:<e@f>\r\nRCPT TO:<g@h>\r\n") == [421]
    assert session.server.state == t.CLOSED
    assert session.codes(b"NOOP\r\n") == []


def test_only_an_answer_to_what_was_asked_can_be_given():
    session = ready()
    with pytest.raises(SequenceFailure, match="nothing awaits a reply"):
        session.server.reply(REPLIES["ok"])
    (event,) = session.server.receive(b"MAIL FROM:<a@b>\r\n")
    with pytest.raises(SequenceFailure, match="354 is no reply to MAIL"):
        session.server.reply(REPLIES["go ahead"])
    with pytest.raises(ValueError, match="line end"):
        session.server.reply(Reply(250, (b"a\r\nb",)))
    assert session.server.awaits_reply
    session.server.reply(event.reply)
    assert session.server.state == t.SENDER


def test_quit_with_words_is_refused_and_the_session_goes_on():
    assert ready().codes(b"QUIT now\r\n", b"NOOP\r\n") == [501, 250]


# -- what the user of the connection sees


def test_a_plain_mail():
    session = Session().greeted()
    session.feed(b"EHLO me\r\n", b"MAIL FROM:<a@b> SIZE=5\r\nRCPT TO:<c@d>\r\nDATA\r\n", b"x\r\n..y\r\n.\r\nQUIT\r\n")
    mail = Mail(b"a@b", ((b"SIZE", b"5"),))
    kinds = [type(event).__name__ for event in session.events]
    assert kinds == [*["CommandReceived"] * 4, "DataReceived", "DataFinished", "CommandReceived"]
    (done,) = session.mails
    assert (done.transaction.mail, done.transaction.recipients) == (mail, [Rcpt(b"c@d")])
    assert (done.size, done.defects, done.bare_lf, done.reply) == (7, (), False, REPLIES["mail ok"])
    assert session.content == b"x\r\n.y\r\n"
    assert session.server.transaction is None
    assert session.written == (
        b"220 mail.example ESMTP\r\n250-mail.example\r\n250-PIPELINING\r\n250-SIZE 0\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
        b"250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 ETRN\r\n"
        b"250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n"
        b"250 2.0.0 Mail accepted\r\n221 2.0.0 Bye\r\n"
    )


def test_events_wait_for_their_answers():
    session = ready()
    first = list(session.server.receive(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"))
    assert [event.command for event in first] == [Mail(b"a@b")]
    assert list(session.server.events()) == []
    assert session.server.reply(REPLIES["sender ok"]) == b"250 2.1.0 Sender ok\r\n"
    assert [event.command for event in session.server.events()] == [Rcpt(b"c@d")]


def test_events_show_and_compare_themselves():
    event = CommandReceived(Quit(), REPLIES["bye"])
    assert repr(event) == "CommandReceived(Reply(221, (b'2.0.0 Bye',)), <QUIT>)"
    assert event == CommandReceived(Quit(), REPLIES["bye"])
    assert event != CommandReceived(Quit(), REPLIES["ok"])
    assert event != Quit()
    assert len({event, CommandReceived(Quit(), REPLIES["bye"])}) == 1
    (done,) = with_recipient().feed(b"BDAT 0 LAST\r\n").mails
    assert "Transaction(<MAIL FROM:<a@b>>, [<RCPT TO:<c@d>>])" in repr(done)
    (same,) = with_recipient().feed(b"BDAT 0 LAST\r\n").mails
    assert done == same
    assert len({done.transaction, same.transaction}) == 1
    assert done.transaction != "x"


def test_default_answers_of_the_small_commands():
    session = ready()
    assert session.codes(b"VRFY x\r\n", b"EXPN x\r\n", b"HELP\r\n", b"ETRN x\r\n", b"FOO\r\n", b"TURN\r\n", b"\r\n") == [
        252, 502, 214, 458, 500, 502, 500,
    ]  # fmt: skip
    assert all(event.error for event in session.events[-3:])


def test_helo_has_no_extensions():
    session = Session().greeted()
    assert session.codes(b"HELO me\r\n", b"AUTH PLAIN\r\n", b"MAIL FROM:<a@b> SIZE=1\r\n") == [250, 502, 555]
    assert session.written.endswith(
        b"250 mail.example\r\n502 5.5.1 Command not implemented\r\n555 5.5.4 Unknown parameter\r\n"
    )


# -- transactions


def test_fault_19_every_mail_is_a_new_transaction():
    session = ready()
    seen = []
    for _ in range(3):
        session.feed(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n")
        seen.append(session.server.transaction)
        session.feed(b"RSET\r\n")
        assert session.server.transaction is None
    assert len({id(transaction) for transaction in seen}) == 3
    assert [len(transaction.recipients) for transaction in seen] == [1, 1, 1]


@pytest.mark.parametrize("hello", [b"EHLO me\r\n", b"HELO me\r\n"])
def test_a_hello_in_a_transaction_ends_it(hello):
    session = with_recipient()
    assert session.codes(hello, b"RCPT TO:<c@d>\r\n") == [250, 503]
    assert session.server.transaction is None


def test_what_was_refused_leaves_no_trace():
    session = ready()
    session.answers[b"MAIL"] = REPLIES["local error"]
    assert session.codes(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n") == [451, 503, 503]
    assert session.server.transaction is None
    session.answers = {b"RCPT": REPLIES["no such recipient"]}
    assert session.codes(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n") == [250, 550, 503]
    assert session.server.transaction.recipients == []
    assert session.written.endswith(b"503 5.5.1 No valid recipients\r\n")


ALPHABET = {
    "E": b"EHLO me\r\n",
    "M": b"MAIL FROM:<a@b>\r\n",
    "R": b"RCPT TO:<c@d>\r\n",
    "D": b"DATA\r\n",
    "B": b"BDAT 0 LAST\r\n",
    "S": b"RSET\r\n",
}


def model(sequence):
    """What the standards say in words, for the codes of a sequence; DATA is followed by an empty mail."""
    hello, sender, recipients, codes, mails = False, False, 0, [], []
    for letter in sequence:
        if letter == "E":
            hello, sender, recipients = True, False, 0
            codes.append(250)
        elif letter == "S":
            sender, recipients = False, 0
            codes.append(250)
        elif letter == "M":
            fine = hello and not sender
            sender = sender or fine
            codes.append(250 if fine else 503)
        elif letter == "R":
            recipients += sender
            codes.append(250 if sender else 503)
        elif letter == "B" and not hello:
            codes.append(502)
            break
        elif recipients:
            codes += [354, 250] if letter == "D" else [250]
            mails.append(recipients)
            sender, recipients = False, 0
        else:
            codes.append(503)
    return codes, mails


def test_fault_19_all_sequences_of_up_to_six_commands():
    """faults.md 19: every order of the commands of a transaction, against a model; each longer one holds the shorter."""
    for sequence in product(ALPHABET, repeat=6):
        session = Session().greeted()
        codes = []
        for letter in sequence:
            codes += session.codes(ALPHABET[letter])
            if session.server.state == t.DATA:
                codes += session.codes(b".\r\n")
            if session.server.state == t.CLOSED:
                break
        assert (codes, [len(done.transaction.recipients) for done in session.mails]) == model(sequence), sequence


# -- framing: faults.md 1 to 9, 15 to 18


@pytest.mark.parametrize(
    ("end", "defects"),
    [
        (b"\n.\n", ()),  # 1
        (b"\n.\r\n", ()),  # 2
        (b"\r\n.\n", ()),  # 3
        (b"\r.\r", (BARE_CR,)),  # 4
        (b"\r.\r\n", (BARE_CR,)),
        (b"\r\n.\r\r\n", (BARE_CR,)),
        (b"\r\n.\0x\r\n", (NUL,)),  # 5
        (b"\r\n.\0\r\n", (NUL,)),
    ],
)
def test_fault_1_2_3_4_5_no_false_end_makes_a_second_mail(end, defects):
    """The mail within the mail stays text; a defect is said after the real end; the session goes on."""
    smuggled = b"MAIL FROM:<evil@b>\r\nRCPT TO:<victim@d>\r\nDATA\r\nSubject: smuggled\r\n"
    wire = b"Subject: x\r\n\r\nx" + end + smuggled + b".\r\n"
    for pieces in ([wire], one_by_one(wire)):
        session = with_recipient().feed(b"DATA\r\n", *pieces)
        (done,) = session.mails
        assert done.transaction.mail == Mail(b"a@b")
        assert done.defects == defects
        assert smuggled in session.content
        assert done.reply.code == (550 if defects else 250)
        assert session.codes(b"NOOP\r\n") == [250]


def test_fault_8_what_is_too_big_is_read_to_its_end():
    """faults.md 8, 51."""
    session = with_recipient(limits=Limits(message=10))
    assert session.codes(b"MAIL FROM:<a@b> SIZE=11\r\n") == [503]
    assert session.codes(b"RSET\r\n", b"MAIL FROM:<a@b> SIZE=11\r\n", b"MAIL FROM:<a@b> SIZE=10\r\n") == [250, 552, 250]
    assert not session.events[-2].error
    assert b"250-SIZE 10\r\n" in session.written
    assert session.codes(b"RCPT TO:<c@d>\r\n", b"DATA\r\n", b"x" * 99 + b"\r\n\n.\nRSET\r\n.\r\n") == [250, 354, 552]
    assert session.mails[0].defects == (TOO_BIG,)
    assert session.content == b"x" * 10


def test_a_line_that_is_too_long_is_said_at_the_end():
    """faults.md 17."""
    session = with_recipient(limits=Limits(data_line=10, message=30))
    assert session.codes(b"DATA\r\n", b"x" * 11 + b"\r\n.\r\n") == [354, 550]
    assert session.mails[0].defects == (LONG_LINE,)
    assert session.codes(LINES[b"MAIL"] + LINES[b"RCPT"], b"DATA\r\n", b"x" * 90 + b"\r\n.\r\n") == [250, 250, 354, 552]


def test_fault_17_a_long_line_costs_no_memory():
    session = with_recipient()
    session.feed(b"DATA\r\n")
    for _ in range(100):
        session.server._buffer.feed(b"")
        events = list(session.server.receive(b"x" * 65536))
        assert [len(event.block) for event in events] == [65536]
        assert len(session.server._buffer) == 0


def test_fault_9_bare_line_feeds_end_commands_unless_strict():
    """faults.md 9."""
    assert Session().greeted().codes(b"EHLO me\n", b"NOOP\n") == [250, 250]
    session = Session(strict=True).greeted()
    assert session.codes(b"EHLO me\n", b"EHLO me\r\n") == [500, 250]


@pytest.mark.parametrize(
    "line",
    [b"NOOP \0", b"\0", b"NO\x1bOP", b"EHLO a\x7f", b"EHLO a\rb", b"EHLO a\r", b"\x16\x03\x01\x02\0", b"\x80\x2e\x01"],
)
def test_fault_15_a_control_character_ends_the_session(line):
    """faults.md 15 and 18: the hello of TLS may have no line feed at all."""
    session = Session().greeted()
    assert session.codes(*one_by_one(line + b"\r\n")) == [500]
    assert session.server.state == t.CLOSED
    assert session.events[-1].fatal
    assert session.events == Session().greeted().feed(line + b"\r\nEHLO me\r\n").events


def test_the_hello_of_tls_is_answered_without_a_line_feed():
    assert Session().greeted().codes(b"\x16\x03\x01\x02\x00\x01") == [500]


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"post /x HTTP/1.0", b"CONNECT mail:25 HTTP/1.1", b"OPTIONS *"])
def test_fault_18_another_protocol_ends_the_session(line):
    """faults.md 18."""
    session = Session().greeted()
    assert session.codes(line + b"\r\nMAIL FROM:<a@b>\r\n") == [500]
    assert session.server.state == t.CLOSED


def test_fault_16_a_command_that_is_too_long_ends_the_session():
    """faults.md 16: at the limit, and nothing is kept beyond it."""
    for pieces in ([b"NOOP " + b"x" * 2000], one_by_one(b"NOOP " + b"x" * 2000), [b"NOOP " + b"x" * 1274 + b"\r\n"]):
        session = ready()
        assert session.codes(*pieces) == [500]
        assert session.server.state == t.CLOSED
        assert session.events[-1].line == b"NOOP " + b"x" * 1274 + (
            b"\r" if len(pieces[0]) < 2000 and len(pieces) == 1 else b"x"
        )
        assert len(session.server._buffer) == 0
    assert ready().codes(b"NOOP " + b"x" * 1273 + b"\r\n") == [250]


def test_authentication_may_have_long_lines():
    assert ready().codes(b"AUTH PLAIN " + b"AAAA" * 2000 + b"\r\n") == [454]
    session = session_in(t.CHALLENGED)
    assert session.codes(b"AAAA" * 3072 + b"\r\n") == [454]
    assert session.events[-1].command == AuthResponse(b"\0" * 9216)
    session = session_in(t.CHALLENGED)
    assert session.codes(b"AAAA" * 3073 + b"\r\n") == [500]
    assert session.server.state == t.CLOSED


# -- groups: faults.md 10, 11


@pytest.mark.parametrize(
    "first", [b"EHLO me", b"HELO me", b"AUTH PLAIN AHUAcA==", b"STARTTLS", b"QUIT", b"DATA", b"DATA x", b"AUTH"]
)
@pytest.mark.parametrize("behind", [b"NOOP\r\n", b"x", b"\r\n", b".\r\n"])
@pytest.mark.parametrize("late", [False, True])
def test_fault_10_behind_a_command_that_stands_last_nothing_may_come(first, behind, late):
    """At once, or before the answer was given; the command is not carried out."""
    session = with_recipient() if first.startswith(b"DATA") else ready()
    if late:
        events = list(session.server.receive(first + b"\r\n"))
        assert list(session.server.receive(behind)) == []
    else:
        events = list(session.server.receive(first + b"\r\n" + behind))
        assert events == [CommandRefused(first, REPLIES["not in groups"], fatal=True)]
    assert session.server.reply(events[0].reply) == b"554 5.5.0 Command was to wait for a reply\r\n"
    assert session.server.state == t.CLOSED
    assert not session.server.authenticated


def test_a_script_need_not_wait():
    """``scripted``: all of a session in one piece, before the greeting was said."""
    server = ServerConnection(b"here", scripted=True, offers=(b"CHUNKING",))
    script = b"EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nA: b\r\n.\r\nRSET\r\nEHLO me\r\nQUIT\r\n"
    assert list(server.receive(script)) == []
    said = [server.greet()]
    said += [server.reply(event.reply) for event in server.events() if server.awaits_reply]
    assert [reply[:3] for reply in said] == b"220 250 250 250 354 250 250 250 221".split()
    assert server.state == t.CLOSED


def test_before_the_greeting_nothing_may_come():
    session = Session()
    assert list(session.server.receive(b"EHLO me\r\n")) == []
    assert session.server.greet() == b"554 5.5.0 Command was to wait for a reply\r\n"
    assert session.server.state == t.CLOSED


def test_behind_an_answer_to_a_challenge_nothing_may_come():
    session = session_in(t.CHALLENGED)
    assert session.codes(b"AHUAcA==\r\nMAIL FROM:<a@b>\r\n") == [554]
    assert session.server.state == t.CLOSED


def test_the_other_commands_may_come_in_groups():
    session = ready()
    assert session.codes(
        b"RSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nNOOP\r\nVRFY x\r\nRSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<e@f>\r\nDATA\r\n"
    ) == [250, 250, 250, 250, 252, 250, 250, 250, 354]
    # RFC 2920, 3.1: content may begin a group.
    assert session.codes(b"x\r\n.\r\nMAIL FROM:<g@h>\r\nRCPT TO:<i@j>\r\nBDAT 1 LAST\r\nyQUIT\r\n") == [250] * 4 + [221]
    assert [done.transaction.recipients for done in session.mails] == [[Rcpt(b"e@f")], [Rcpt(b"i@j")]]


# -- TLS


def test_after_the_tls_handshake_everything_is_forgotten():
    session = ready()
    session.answers[b"AUTH"] = REPLIES["authenticated"]
    assert session.codes(LINES[b"AUTH"], LINES[b"STARTTLS"]) == [235, 220]
    assert session.server.authenticated
    assert session.server.state == t.HANDSHAKE
    session.server.starttls_done()
    assert (session.server.tls, session.server.hello, session.server.authenticated) == (True, None, False)
    assert session.codes(b"MAIL FROM:<a@b>\r\n", b"STARTTLS\r\n", b"EHLO me\r\n", b"STARTTLS\r\n") == [
        503,
        502,
        250,
        502,
    ]
    assert b"STARTTLS" not in session.server.in_force


def test_fault_11_octets_in_the_clear_behind_starttls_end_the_session_or_are_thrown_away():
    session = ready().feed(b"STARTTLS\r\n")
    assert session.codes(b"EHLO injected\r\n") == [554]
    assert session.server.state == t.CLOSED
    session = ready().feed(b"STARTTLS\r\n")
    session.server.receive(b"EHLO injected\r\n")  # events not looked at
    session.server.starttls_done()
    assert list(session.server.events()) == []
    assert session.server.hello is None


def test_tls_begins_only_where_it_was_agreed_upon():
    session = ready()
    with pytest.raises(SequenceFailure, match="TLS cannot begin here"):
        session.server.starttls_done()
    session.answers[b"STARTTLS"] = REPLIES["tls unavailable"]
    assert session.codes(b"STARTTLS\r\n") == [454]
    assert session.server.state == t.READY


# -- AUTH


def test_authentication_with_challenges():
    session = ready()
    session.answers[b"AUTH"] = challenge(b"User")
    assert session.codes(b"AUTH LOGIN\r\n") == [334]
    session.answers = {b"(response)": challenge(b"Pass")}
    assert session.codes(b"dQ==\r\n") == [334]
    session.answers = {b"(response)": REPLIES["authenticated"]}
    assert session.codes(b"cA==\r\n") == [235]
    assert [event.command for event in session.events[1:]] == [Auth(b"LOGIN"), AuthResponse(b"u"), AuthResponse(b"p")]
    assert session.server.authenticated
    assert session.codes(b"AUTH LOGIN\r\n", b"AUTH FOO\r\n") == [503, 503]


def test_authentication_refused():
    session = ready()
    session.answers[b"AUTH"] = REPLIES["auth refused"]
    assert session.codes(LINES[b"AUTH"], b"AUTH NTLM\r\n", b"AUTH PLAIN !\r\n", b"AUTH\r\n") == [535, 504, 501, 501]
    session.answers[b"AUTH"] = challenge()
    assert session.codes(b"AUTH PLAIN\r\n") == [334]
    session.answers = {b"(cancel)": REPLIES["auth cancelled"]}
    assert session.codes(b"*\r\n") == [501]
    assert isinstance(session.events[-1].command, AuthCancel)
    assert not session.server.authenticated
    assert session.server.state == t.READY


def test_a_cancelled_authentication_is_answered_by_itself():
    session = session_in(t.CHALLENGED)
    assert session.codes(b"*\r\n") == [501]


def test_no_authentication_within_a_transaction():
    """faults.md 19."""
    assert with_recipient().codes(LINES[b"AUTH"]) == [503]


# -- chunks: RFC 3030; faults.md 14


def test_chunks():
    session = with_recipient()
    assert session.codes(b"BDAT 4\r\na\r\n.BDAT 3\r\n\r\n\rBDAT 2 LAST\r\n\nbNOOP\r\n") == [250, 250, 250, 250]
    assert session.content == b"a\r\n.\r\n\r\nb"
    (done,) = session.mails
    assert (done.size, done.defects) == (9, ())
    assert [event.command for event in session.events if isinstance(event, ChunkFinished)] == [Bdat(4), Bdat(3)]


def test_an_empty_last_chunk_ends_the_mail():
    session = with_recipient()
    assert session.codes(b"BDAT 2\r\nx\n", b"BDAT 0\r\n", b"BDAT 0 LAST\r\n") == [250, 250, 250]
    assert session.content == b"x\r\n"
    assert session.mails[0].bare_lf


def test_a_cr_at_the_very_end_is_a_defect():
    session = with_recipient()
    assert session.codes(b"BDAT 2 LAST\r\nx\r") == [550]
    assert session.content == b"x\r"
    assert session.mails[0].defects == (BARE_CR,)


def test_a_chunk_out_of_order_is_thrown_away_and_refused():
    session = ready()
    chunk = b"BDAT 17\r\nMAIL FROM:<a@b>\r\n"
    assert session.codes(chunk) == [503]
    assert session.codes(*one_by_one(b"MAIL FROM:<a@b>\r\n" + chunk)) == [250, 503]
    assert session.written.endswith(b"503 5.5.1 No valid recipients\r\n")
    assert session.events[-1] == CommandRefused(b"BDAT 17", REPLIES["no recipients"])
    assert session.server.state == t.SENDER


def test_after_a_refused_chunk_only_rset_helps():
    session = with_recipient()
    session.answers[b"BDAT"] = REPLIES["no storage"]
    assert session.codes(b"BDAT 1\r\nx") == [452]
    assert session.server.state == t.FAILED
    assert session.codes(b"BDAT 1\r\nx", b"BDAT 1 LAST\r\nx", b"MAIL FROM:<a@b>\r\n", b"DATA\r\n") == [503] * 4
    assert session.codes(b"RSET\r\n", b"MAIL FROM:<a@b>\r\n") == [250, 250]
    assert session.mails == []


def test_data_and_chunks_do_not_mix():
    session = with_recipient()
    assert session.codes(b"BDAT 1\r\nx", b"DATA\r\n", b"RCPT TO:<e@f>\r\n", b"BDAT 0 LAST\r\n") == [250, 503, 503, 250]


def test_a_chunk_with_a_defect_is_refused_at_once():
    for content, code in ((b"a\rb", 550), (b"a\0b", 550), (b"x" * 11, 552)):
        session = with_recipient(limits=Limits(message=10))
        assert session.codes(b"BDAT %d\r\n" % len(content) + content) == [code]
        assert session.server.state == t.FAILED
        session = with_recipient(limits=Limits(message=10))
        assert session.codes(b"BDAT %d LAST\r\n" % len(content) + content) == [code]
        assert session.server.state == t.READY


@pytest.mark.parametrize("line", [b"BDAT", b"BDAT x", b"BDAT 1 FIRST"])
def test_a_chunk_without_its_size_ends_the_session(line):
    session = with_recipient()
    assert session.codes(line + b"\r\nMAIL FROM:<evil@b>\r\n") == [501]
    assert session.server.state == t.CLOSED


def test_fault_14_chunks_that_were_not_offered_end_the_session():
    session = with_recipient(offers=(b"PIPELINING",))
    assert session.codes(b"BDAT 17\r\nMAIL FROM:<a@b>\r\n") == [502]
    assert session.server.state == t.CLOSED


def test_fault_14_many_small_chunks_cost_no_memory():
    session = with_recipient()
    for _ in range(500):
        assert [type(event) for event in session.server.receive(b"BDAT 1\r\nx")] == [DataReceived, ChunkFinished]
        session.server.reply(REPLIES["chunk ok"])
    assert len(session.server._buffer) == 0
    assert session.server.transaction.unchunker.size == 500


# -- limits, UTF-8


def test_recipients_beyond_the_limit_wait():
    session = ready(limits=Limits(recipients=2))
    assert session.codes(b"MAIL FROM:<a@b>\r\n", *[LINES[b"RCPT"]] * 3, b"DATA\r\n") == [250, 250, 250, 452, 354]
    assert not session.events[-2].error
    session.feed(b".\r\n")
    assert len(session.mails[0].transaction.recipients) == 2


def test_addresses_beyond_ascii_need_smtputf8():
    session = ready()
    assert session.codes("MAIL FROM:<ä@b>\r\n".encode(), "MAIL FROM:<ä@b> SMTPUTF8\r\n".encode()) == [553, 250]
    assert session.server.transaction.utf8
    assert session.codes("RCPT TO:<ö@b>\r\n".encode(), b"RSET\r\n", b"MAIL FROM:<>\r\n", "RCPT TO:<ö@b>\r\n".encode()) == [
        250, 250, 250, 553,
    ]  # fmt: skip


# -- LMTP


def test_lmtp_answers_for_each_recipient():
    session = ready(protocol="lmtp")
    lines = [LINES[b"MAIL"], LINES[b"RCPT"], b"RCPT TO:<>\r\n", b"RCPT TO:<e@f>\r\n", LINES[b"DATA"]]
    assert session.codes(*lines, b"x\r\n.\r\nNOOP\r\n") == [250, 250, 501, 250, 354, 250, 250, 250]
    assert session.codes(LINES[b"MAIL"], LINES[b"DATA"]) == [250, 503]
    assert session.codes(LINES[b"RCPT"] * 3, b"BDAT 1\r\nx", b"BDAT 1 LAST\r\ny") == [250] * 7
    assert session.server.state == t.READY


def test_lmtp_waits_for_all_its_answers():
    session = with_recipient(protocol="lmtp").feed(LINES[b"RCPT"], b"DATA\r\n")
    *_, done = session.server.receive(b".\r\nNOOP\r\n")
    assert len(done.transaction.recipients) == 2
    session.server.reply(REPLIES["mail ok"])
    assert session.server.awaits_reply
    assert list(session.server.events()) == []
    session.server.reply(REPLIES["no storage"])
    assert [event.command.verb for event in session.server.events()] == [b"NOOP"]


# -- the end of file


def test_the_end_of_file_in_the_content_is_no_end():
    """faults.md 59."""
    session = with_recipient().feed(b"DATA\r\n", b"half a mail\r\n.", b"")
    assert session.mails == []
    assert session.server.state == t.CLOSED


def test_what_was_complete_before_the_end_of_file_counts():
    """faults.md 61."""
    session = with_recipient().feed(b"DATA\r\n")
    events = list(session.server.receive(b"x\r\n.\r\n"))
    assert list(session.server.receive(b"")) == []
    assert isinstance(events[-1], DataFinished)
    assert session.server.reply(events[-1].reply).startswith(b"250")
    assert list(session.server.events()) == []
    assert session.server.state == t.CLOSED


# -- any bytes, any pieces

scripts = st.lists(
    st.sampled_from([
        *(line for step, line in LINES.items() if step not in (b"DATA", b"QUIT", b"STARTTLS", b"AUTH", b"EHLO", b"HELO")),
        b"MAIL FROM:<a@b> SIZE=x\r\n", b"RCPT TO:<c@d> NOTIFY=NEVER\r\n", b"NOOP\n", b"BDAT 2\r\n\r\n", b"BDAT 5\r\n\r\n.\r\n",
        b"BDAT 9999999 LAST\r\n", b"BDAT x\r\n", b"\r\n", b"\n", b"\r", b"\0", b"GET /\r\n", b"x" * 400, b".\r\n",
    ]),
    max_size=12,
).map(b"".join)  # fmt: skip


def outcome(session, pieces):
    session.feed(*filter(None, pieces))
    return session.events, session.written, session.server.state


@given(scripts, places, st.sampled_from(["ready", "recipient", "data", "lmtp"]))
def test_fault_6_any_chunking_gives_the_same_events(script, where, start):
    """Within the groups of RFC 2920: what stands behind a command that stands last depends on time, by nature."""

    def begin():
        if start == "data":
            return with_recipient().feed(b"DATA\r\n")
        return ready() if start == "ready" else with_recipient(protocol="lmtp" if start == "lmtp" else "smtp")

    whole = outcome(begin(), [script])
    assert outcome(begin(), one_by_one(script)) == whole
    assert outcome(begin(), cut(script, where)) == whole


@given(st.lists(st.sampled_from(list(LINES.values())) | st.binary(max_size=30), max_size=15), st.booleans())
def test_no_bytes_raise_anything(pieces, strict):
    session = Session(strict=strict).greeted().feed(*filter(None, pieces), b"")
    assert not session.server.awaits_reply
    assert session.server.state == t.CLOSED
    for done in session.mails:
        assert done.transaction.recipients


def test_a_hello_is_kept_for_who_asks():
    assert ready().server.hello == Ehlo(b"me")


def test_content_says_which_transaction_it_belongs_to():
    """A user who keeps what came of a transaction that was given up must be able to see it."""
    session = with_recipient().feed(
        b"BDAT 1\r\nx", b"RSET\r\n", LINES[b"MAIL"] + LINES[b"RCPT"], b"DATA\r\n", b"y\r\n.\r\n"
    )
    first, second = (event.transaction for event in session.events if isinstance(event, DataReceived))
    assert first is not second
    assert session.mails[0].transaction is second


def test_it_says_whether_content_comes_next():
    session = Session().greeted()
    for line in (b"EHLO c", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>"):
        session.feed(line + b"\r\n")
    assert not session.server.awaits_content
    assert session.feed(b"DATA\r\n").server.awaits_content
    assert not session.feed(b"x\r\n.\r\n").server.awaits_content
    for line in (b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>", b"BDAT 9"):
        session.feed(line + b"\r\n")
    session.feed(b"x")
    assert session.server.awaits_content
    assert not session.feed(b"x" * 8).server.awaits_content
