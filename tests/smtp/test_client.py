"""The client's door: order, groups, replies matched with commands, injections, LMTP, any chunking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.chunks import cut, one_by_one, places
from tests.support.smtp_states import COMMANDS, OFFER, WAYS, client_in, say

from msmtp.failures import CommandFailure, Failure, ProtocolFailure, SequenceFailure, ServerGoneFailure
from msmtp.smtp import transitions as t
from msmtp.smtp.client import CONNECTION, END_OF_DATA, UNASKED, ClientConnection, ReplyReceived
from msmtp.smtp.commands import (
    Auth,
    AuthResponse,
    Bdat,
    Data,
    Ehlo,
    Helo,
    Lhlo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
)
from msmtp.smtp.limits import Limits
from msmtp.smtp.replies import Reply
from msmtp.smtp.transitions import ANYWHERE_IN_GROUP, TRANSITIONS

STEPS = [*COMMANDS, b"BDAT", b"BDAT LAST", b"(content)", b"(tls)"]


def codes(client, data):
    return [event.reply.code for event in client.receive(data)]


# -- order


@pytest.mark.parametrize("state", list(WAYS))
@pytest.mark.parametrize("step", STEPS)
def test_all_states_times_all_verbs(state, step):
    """What has a row may be said, and every answer in the row leads where it says; the rest is refused unsaid."""
    client = client_in(state)
    row = TRANSITIONS[state].get(step)
    if row is None or step == b"LHLO":
        before = client.pending, client.transaction
        with pytest.raises(SequenceFailure):
            say(client, step)
        assert (client.state, client.pending, client.transaction) == (state, *before)
        return
    for digit, target in row.items():
        client = client_in(state)
        say(client, step)
        if step != b"(tls)":
            code = t.EXACT.get((step, digit), digit * 100 + 50)
            list(client.receive(b"%d x\r\n" % code))
            assert client.pending == ()
        assert client.state == target


def test_the_hello_is_that_of_the_protocol():
    with pytest.raises(SequenceFailure, match="LHLO is not a command of SMTP"):
        client_in(t.GREETED).send(Lhlo(b"me"))
    for hello in (Ehlo(b"me"), Helo(b"me")):
        with pytest.raises(SequenceFailure, match="is not a command of LMTP"):
            client_in(t.GREETED, "lmtp").send(hello)
    assert client_in(t.READY, "lmtp").extensions.has(b"PIPELINING")


def test_content_has_its_own_doors():
    client = client_in(t.RECIPIENT)
    for command in (Bdat(3), END_OF_DATA):
        with pytest.raises(SequenceFailure, match="content goes through"):
            client.send(command)
    with pytest.raises(SequenceFailure, match="the server does not await content"):
        client.data(b"x")
    with pytest.raises(SequenceFailure, match="the server does not await content"):
        client.end_data()


def test_authentication_happens_once():
    client = client_in(t.READY)
    client.send(Auth(b"PLAIN"))
    assert codes(client, b"334 \r\n") == [334]
    client.send(AuthResponse(b"x"))
    assert codes(client, b"334 bW9yZQ==\r\n") == [334]
    assert not client.authenticated
    client.send(AuthResponse(b"y"))
    assert codes(client, b"235 ok\r\n") == [235]
    assert client.authenticated
    with pytest.raises(SequenceFailure, match="AUTH is out of order"):
        client.send(Auth(b"PLAIN"))


def test_a_refused_authentication_may_be_tried_again():
    client = client_in(t.READY)
    client.send(Auth(b"PLAIN", b"x"))
    assert codes(client, b"535 no\r\n") == [535]
    assert not client.authenticated
    client.send(Auth(b"LOGIN"))


def test_what_cannot_be_encoded_changes_nothing():
    client = client_in(t.READY)
    with pytest.raises(CommandFailure):
        client.send(Mail(b"a\r\nRCPT TO:<b>"))
    assert client.pending == ()
    assert client.transaction is None
    client = ClientConnection(limits=Limits(command_line=10))
    list(client.receive(b"220 hi\r\n"))
    with pytest.raises(CommandFailure):
        client.send(Ehlo(b"much.too.long"))


# -- groups


def test_envelope_and_data_leave_in_one_go():
    client = client_in(t.READY)
    client.send(Mail(b"a@b"))
    client.send(Rcpt(b"c@d"))
    client.send(Rcpt(b"e@f"))
    client.send(Data())
    assert client.pending == (Mail(b"a@b"), Rcpt(b"c@d"), Rcpt(b"e@f"), Data())
    events = list(client.receive(b"250 a\r\n250 b\r\n451 4.3.0 c\r\n354 d\r\n"))
    assert [event.command for event in events] == [Mail(b"a@b"), Rcpt(b"c@d"), Rcpt(b"e@f"), Data()]
    assert client.transaction.accepted == [b"c@d"]
    assert client.transaction.refused == [(b"e@f", Reply(451, (b"4.3.0 c",)))]
    assert repr(client.transaction) == "Transaction(b'a@b', 1 accepted, 1 refused)"
    assert client.data(b".x") + client.end_data() == b"..x\r\n.\r\n"
    assert client.send(Mail(b"g@h")) == b"MAIL FROM:<g@h>\r\n"  # RFC 2920, 3.1: content may begin a group
    events = list(client.receive(b"250 done\r\n250 ok\r\n"))
    assert [event.command for event in events] == [END_OF_DATA, Mail(b"g@h")]


def test_when_all_recipients_were_refused_and_data_was_not_a_lone_dot_is_sent():
    client = client_in(t.READY)
    for command in (Mail(b"a@b"), Rcpt(b"c@d"), Data()):
        client.send(command)
    assert codes(client, b"250 a\r\n550 b\r\n354 c\r\n") == [250, 550, 354]
    assert client.state == t.DATA
    assert client.transaction.accepted == []
    assert client.end_data() == b".\r\n"
    assert codes(client, b"554 no recipients\r\n") == [554]
    assert client.state == t.READY


def test_when_even_mail_was_refused_a_lone_dot_is_sent():
    client = client_in(t.READY)
    for command in (Mail(b"a@b"), Rcpt(b"c@d"), Data()):
        client.send(command)
    assert codes(client, b"550 a\r\n250 b\r\n354 c\r\n") == [550, 250, 354]
    assert client.end_data() == b".\r\n"


@pytest.mark.parametrize("replies", [b"250 a\r\n550 b\r\n554 c\r\n", b"550 a\r\n503 b\r\n503 c\r\n"])
def test_when_data_was_refused_nothing_is_sent(replies):
    client = client_in(t.READY)
    for command in (Mail(b"a@b"), Rcpt(b"c@d"), Data()):
        client.send(command)
    list(client.receive(replies))
    with pytest.raises(SequenceFailure):
        client.end_data()
    client.send(Rset())
    assert codes(client, b"250 ok\r\n") == [250]
    assert client.state == t.READY


def test_chunks_may_follow_the_envelope_at_once():
    client = client_in(t.READY)
    client.send(Mail(b"a@b"))
    client.send(Rcpt(b"c@d"))
    assert client.bdat(b".x\ny\r", last=False) == b"BDAT 5\r\n.x\r\ny"
    assert client.bdat(b"\nz", last=True) == b"BDAT 5 LAST\r\n\r\nz\r\n"
    assert client.send(Quit()) == b"QUIT\r\n"
    assert codes(client, b"250 a\r\n250 b\r\n250 c\r\n250 d\r\n221 e\r\n") == [250, 250, 250, 250, 221]
    assert client.state == t.CLOSED


def test_a_failed_chunk_ends_the_chunks_and_asks_for_rset():
    client = client_in(t.RECIPIENT)
    client.bdat(b"x\n", last=False)
    client.bdat(b"y\n", last=True)
    assert codes(client, b"452 full\r\n503 no\r\n") == [452, 503]
    assert client.state == t.FAILED
    with pytest.raises(SequenceFailure):
        client.bdat(b"z", last=True)
    with pytest.raises(SequenceFailure):
        client.send(Mail(b"a@b"))
    client.send(Rset())
    assert codes(client, b"250 ok\r\n") == [250]
    client.send(Mail(b"a@b"))


def test_data_and_chunks_do_not_mix():
    client = client_in(t.CHUNK)
    with pytest.raises(SequenceFailure, match="DATA is out of order"):
        client.send(Data())


def test_nothing_is_sent_ahead_unless_the_server_offers_it():
    client = client_in(t.GREETED)
    client.send(Ehlo(b"me"))
    list(client.receive(b"250-x\r\n250 SIZE\r\n"))
    client.send(Mail(b"a@b"))
    with pytest.raises(SequenceFailure, match="RCPT cannot be sent before MAIL is answered"):
        client.send(Rcpt(b"c@d"))
    assert client.pending == (Mail(b"a@b"),)


def test_nothing_is_sent_before_the_greeting():
    client = ClientConnection()
    assert client.pending == (CONNECTION,)
    with pytest.raises(SequenceFailure, match=r"EHLO cannot be sent before \(greeting\) is answered"):
        client.send(Ehlo(b"me"))


@pytest.mark.parametrize("state", list(WAYS))
def test_only_what_may_stand_anywhere_is_followed_by_another(state):
    """RFC 2920, 3.1, for every state and every pair of commands."""
    sayable = [step for step in STEPS if step not in (b"LHLO", b"(tls)")]
    for first in sayable:
        between = t.expected(state, first)
        for second in sayable if between else ():
            client = client_in(state)
            say(client, first)
            legal = first in ANYWHERE_IN_GROUP and second != b"(content)" and client.extensions.has(b"PIPELINING")
            if legal and t.expected(between, second):
                say(client, second)
                assert len(client.pending) == 2, (first, second)
            else:
                with pytest.raises(SequenceFailure):
                    say(client, second)
                assert len(client.pending) == 1, (first, second)


def test_a_group_that_failed_leaves_what_is_known():
    """MAIL is refused, RCPT overtaken: the next commands are checked against what the server is known to think."""
    client = client_in(t.READY)
    client.send(Mail(b"a@b"))
    client.send(Rcpt(b"c@d"))
    assert codes(client, b"451 a\r\n503 b\r\n") == [451, 503]
    with pytest.raises(SequenceFailure):
        client.send(Rcpt(b"c@d"))
    client.send(Mail(b"a@b"))


# -- transactions


def test_every_mail_is_a_new_transaction():
    client = client_in(t.RECIPIENT)
    first = client.transaction
    assert (first.sender, first.accepted) == (b"a@b.example", [b"c@d.example"])
    client.send(Rset())
    client.send(Mail(b"x@y"))
    second = client.transaction
    assert second is not first
    client.send(Rcpt(b"z@y"))
    assert codes(client, b"250 a\r\n250 b\r\n250 c\r\n") == [250, 250, 250]
    assert (second.sender, second.accepted, second.refused) == (b"x@y", [b"z@y"], [])
    assert first.accepted == [b"c@d.example"]


def test_half_a_line_of_one_mail_is_not_in_the_next():
    client = client_in(t.RECIPIENT)
    client.bdat(b"half a line\r", last=False)
    client.send(Rset())
    client.send(Mail(b"x@y"))
    client.send(Rcpt(b"z@y"))
    assert client.bdat(b"\nnew", last=True) == b"BDAT 7 LAST\r\n\r\nnew\r\n"


# -- hello, extensions, TLS


def test_what_a_hello_offers_lasts_until_the_next():
    client = client_in(t.READY)
    assert client.extensions.size == 1000
    client.send(Ehlo(b"me"))
    assert codes(client, b"550 no\r\n") == [550]
    assert client.extensions.size == 1000
    client.send(Ehlo(b"me"))
    assert codes(client, b"250 plain.example\r\n") == [250]
    assert client.extensions.keywords == ()
    client.send(Helo(b"me"))
    assert codes(client, b"250-plain.example\r\n250 PIPELINING\r\n") == [250]
    assert client.extensions.keywords == ()


def test_after_the_tls_handshake_everything_is_forgotten():
    client = client_in(t.RECIPIENT)
    client.send(Rset())
    client.send(StartTls())
    assert codes(client, b"250 ok\r\n220 go\r\n") == [250, 220]
    client.authenticated = True
    assert client.state == t.HANDSHAKE
    client.starttls_done()
    assert client.state == t.GREETED
    assert client.extensions.keywords == ()
    assert not client.authenticated
    assert client.transaction is None
    client.send(Ehlo(b"me"))


@pytest.mark.parametrize("injected", [b"2", b"250 injected\r\n", b"\r\n", b"\0"])
@pytest.mark.parametrize("door", ["events", "later", "handshake", "ask"])
def test_bytes_behind_the_answer_to_starttls_end_the_session(injected, door):
    """faults.md 12: at once, in pieces, or asked before the handshake."""
    client = client_in(t.READY)
    client.send(StartTls())
    events = client.receive(b"220 go\r\n" + (b"" if door == "later" else injected))
    assert next(events).reply.code == 220
    doors = {
        "events": lambda: list(events),
        "later": lambda: list(client.receive(injected)),
        "handshake": client.starttls_done,
        "ask": client.check_quiet,
    }
    with pytest.raises(ProtocolFailure, match=r"^the server sent something behind its reply to STARTTLS: "):
        doors[door]()
    assert client.state == t.CLOSED
    with pytest.raises(SequenceFailure):
        client.starttls_done()


@pytest.mark.parametrize("reply", [b"235 you are in\r\n", b"250 ok\r\n", b"221 bye\r\n", b"354 go\r\n"])
def test_only_220_lets_the_handshake_begin(reply):
    client = client_in(t.READY)
    client.send(StartTls())
    with pytest.raises(ProtocolFailure, match="the server sent an invalid reply to STARTTLS: "):
        list(client.receive(reply))
    assert client.state == t.CLOSED


def test_a_refused_starttls_leaves_the_session_in_the_clear_and_says_so():
    client = client_in(t.READY)
    client.send(StartTls())
    assert codes(client, b"454 not now\r\n") == [454]
    assert client.state == t.READY


# -- replies


@pytest.mark.parametrize("reply", [b"250 hi\r\n", b"354 go\r\n", b"334 \r\n"])
def test_a_greeting_is_220_or_a_refusal(reply):
    with pytest.raises(ProtocolFailure, match=r"the server sent an invalid reply to greeting: "):
        list(ClientConnection().receive(reply))


@pytest.mark.parametrize(
    ("state", "step", "reply"),
    [
        (t.READY, b"MAIL", b"354 go"),
        (t.SENDER, b"RCPT", b"334 x"),
        (t.RECIPIENT, b"DATA", b"250 ok"),
        (t.RECIPIENT, b"DATA", b"334 go"),
        (t.READY, b"AUTH", b"354 go"),
        (t.READY, b"QUIT", b"354 go"),
        (t.DATA, b"(content)", b"354 go"),
    ],
)
def test_an_answer_that_cannot_be_one_is_a_protocol_failure(state, step, reply):
    client = client_in(state)
    say(client, step)
    with pytest.raises(ProtocolFailure) as caught:
        list(client.receive(reply + b"\r\n"))
    assert caught.value.message == f"the server sent an invalid reply to {step.decode().strip('()')}: {reply.decode()}"
    assert caught.value.server == (reply.decode(),)
    assert client.state == t.CLOSED


def test_a_reply_that_nothing_asked_for_is_a_protocol_failure():
    client = client_in(t.READY)
    with pytest.raises(ProtocolFailure, match="the server sent a reply that nothing asked for: 250 ok"):
        list(client.receive(b"250 ok\r\n"))
    assert list(client.receive(b"250 ok\r\n")) == []


@pytest.mark.parametrize("state", [state for state in WAYS if state not in (t.CLOSED, t.HANDSHAKE)])
def test_421_ends_the_session_whether_asked_for_or_not(state):
    client = client_in(state)
    (event,) = client.receive(b"421 4.3.2 shutting down\r\n250 never mind\r\n")
    assert event.command == (CONNECTION if state == t.CONNECTED else UNASKED)
    assert client.state == t.CLOSED
    assert list(client.receive(b"")) == []


def test_421_ends_the_wait_for_other_replies():
    client = client_in(t.READY)
    for command in (Mail(b"a@b"), Rcpt(b"c@d"), Rcpt(b"e@f"), Data()):
        client.send(command)
    events = list(client.receive(b"250 ok\r\n421 4.7.0 too many\r\n"))
    assert events[1] == ReplyReceived(Rcpt(b"c@d"), Reply(421, (b"4.7.0 too many",)))
    assert client.pending == ()
    assert [recipient for recipient, _ in client.transaction.refused] == [b"c@d"]
    assert list(client.receive(b"")) == []


def test_events_before_the_fault_come_before_the_failure():
    client = client_in(t.READY)
    client.send(Mail(b"a@b"))
    client.send(Rcpt(b"c@d"))
    events = client.receive(b"550 5.1.0 no\r\nnonsense\r\n503 x\r\n")
    assert next(events).reply.code == 550
    with pytest.raises(ProtocolFailure, match="the server sent an invalid reply: nonsense"):
        next(events)
    assert client.pending == ()


def test_a_line_without_an_end_is_not_kept():
    client = ClientConnection(limits=Limits(reply_line=100))
    assert list(client.receive(b"220 " + b"x" * 95)) == []
    with pytest.raises(ProtocolFailure, match=r"^the server sent an invalid reply: 220 x{76}\.\.\. \(more than 100 oc"):
        list(client.receive(b"x" * 1000))


def test_bare_line_feeds_in_replies_are_taken():
    client = ClientConnection()
    assert codes(client, b"220-a\n220 b\n") == [220]


def test_the_end_of_file_is_a_failure_if_an_answer_is_due():
    client = ClientConnection()
    with pytest.raises(ServerGoneFailure, match="the server sent an empty reply"):
        list(client.receive(b""))
    client = client_in(t.READY)
    assert list(client.receive(b"")) == []
    client.send(Noop())
    list(client.receive(b"250-half an ans"))
    with pytest.raises(ServerGoneFailure):
        list(client.receive(b""))
    assert client.state == t.CLOSED
    with pytest.raises(ServerGoneFailure):
        list(client_in(t.DATA).receive(b""))


def test_a_server_may_close_without_answering_quit():
    client = client_in(t.READY)
    client.send(Quit())
    assert list(client.receive(b"")) == []
    client = client_in(t.DATA)
    client.end_data()
    client.send(Quit())
    with pytest.raises(ServerGoneFailure):
        list(client.receive(b""))


def test_events_show_and_compare_themselves():
    event = ReplyReceived(Rcpt(b"a@b"), Reply(250, (b"ok",)), b"a@b")
    assert repr(event) == "ReplyReceived(<RCPT TO:<a@b>>, Reply(250, (b'ok',)), b'a@b')"
    assert repr(ReplyReceived(Data(), Reply(354))) == "ReplyReceived(<DATA>, Reply(354, (b'',)))"
    assert len({event, ReplyReceived(Rcpt(b"a@b"), Reply(250, (b"ok",)), b"a@b")}) == 1
    assert event != ReplyReceived(Rcpt(b"a@b"), Reply(250, (b"ok",)))
    assert event != "ok"


# -- LMTP


def lmtp(*recipient_replies):
    client = client_in(t.READY, "lmtp")
    client.send(Mail(b"a@b"))
    for number in range(len(recipient_replies)):
        client.send(Rcpt(b"r%d" % number))
    return client, b"250 ok\r\n" + b"".join(reply + b"\r\n" for reply in recipient_replies)


def test_after_the_dot_lmtp_answers_for_each_accepted_recipient():
    """RFC 2033, 4.2, with its example: the second of three recipients was refused."""
    client, replies = lmtp(b"250 OK", b"550 No such user here", b"250 OK")
    client.send(Data())
    list(client.receive(replies + b"354 go\r\n"))
    client.data(b"x")
    client.end_data()
    client.send(Quit())
    events = list(client.receive(b"250 OK\r\n452 full\r\n221 bye\r\n"))
    assert [(event.recipient, event.reply.code) for event in events] == [(b"r0", 250), (b"r2", 452), (None, 221)]
    assert events[0].command == events[1].command == END_OF_DATA
    assert client.state == t.CLOSED


def test_lmtp_stays_in_data_until_the_last_answer():
    client, replies = lmtp(b"250 a", b"250 b")
    client.send(Data())
    list(client.receive(replies + b"354 go\r\n"))
    client.end_data()
    assert codes(client, b"250 one\r\n") == [250]
    assert client.state == t.DATA
    assert client.pending == (END_OF_DATA,)
    with pytest.raises(SequenceFailure):
        client.data(b"x")
    with pytest.raises(ServerGoneFailure):
        list(client.receive(b""))


def test_lmtp_answers_the_last_chunk_for_each_and_the_others_once():
    client, replies = lmtp(b"250 a", b"550 b", b"250 c")
    client.bdat(b"x", last=False)
    client.bdat(b"y", last=True)
    events = list(client.receive(replies + b"250 chunk\r\n550 no\r\n250 yes\r\n"))
    assert [event.recipient for event in events] == [None, None, None, None, None, b"r0", b"r2"]
    assert client.state == t.READY


def test_lmtp_answers_an_overtaken_last_chunk_once():
    client, replies = lmtp(b"550 a")
    client.bdat(b"y", last=True)
    events = list(client.receive(replies + b"503 no recipient\r\n"))
    assert [(event.recipient, event.reply.code) for event in events] == [(None, 250), (None, 550), (None, 503)]
    assert client.state == t.SENDER


def test_lmtp_says_421_for_all_recipients_at_once():
    client, replies = lmtp(b"250 a", b"250 b")
    client.send(Data())
    list(client.receive(replies + b"354 go\r\n"))
    client.end_data()
    (event,) = client.receive(b"421 closing\r\n")
    assert (event.recipient, event.command) == (b"r0", END_OF_DATA)
    assert client.pending == ()


def test_lmtp_checks_every_answer():
    client, replies = lmtp(b"250 a", b"250 b")
    client.send(Data())
    list(client.receive(replies + b"354 go\r\n"))
    client.end_data()
    with pytest.raises(ProtocolFailure):
        list(client.receive(b"354 what\r\n"))


def test_lmtp_must_not_take_data_without_a_recipient():
    """RFC 2033, 4.2: it MUST fail; how many replies a lone dot would have, nobody can know."""
    client, replies = lmtp(b"550 a")
    client.send(Data())
    list(client.receive(replies + b"354 go\r\n"))
    with pytest.raises(ProtocolFailure, match="354 although it accepted no recipient"):
        client.end_data()
    assert client.state == t.CLOSED


# -- any bytes, any pieces


def outcome(pieces, commands=()):
    """All events and, if there was one, the failure."""
    client = ClientConnection()
    seen = []
    try:
        seen += client.receive(b"220 hi\r\n")
        client.send(Ehlo(b"me"))
        list(client.receive(OFFER))
        for command in commands:
            client.send(command)
        for piece in filter(None, pieces):  # b"" would be the end of file
            seen.extend((event, client.state, client.pending) for event in client.receive(piece))
        if client.state == t.HANDSHAKE:
            client.check_quiet()
    except Failure as failure:
        # What was injected can be quoted only as far as it has come.
        injected = failure.message.startswith("the server sent something behind")
        seen.append((type(failure), failure.message[:50] if injected else failure.message))
    return seen, client.state, client.pending


GROUPS = [
    (),
    (Mail(b"a@b"), Rcpt(b"c@d"), Rcpt(b"e@f"), Data()),
    (StartTls(),),
    (Auth(b"PLAIN"),),
    (Rset(), Noop()),
    (Rset(), Quit()),
]

lines = st.sampled_from([
    b"250 ok\r\n", b"250-more\r\n", b"250\n", b"354 go\r\n", b"220 go\r\n", b"235 in\r\n", b"334 \r\n", b"550 5.1.1 no\r\n",
    b"451 later\r\n", b"421 bye\r\n", b"221 bye\r\n", b"nonsense\r\n", b"2", b"\r", b"\n", b"\0", b"x" * 200,
])  # fmt: skip


@given(st.sampled_from(GROUPS), st.lists(lines, max_size=7).map(b"".join), places)
def test_any_chunking_gives_the_same_events(group, data, where):
    whole = outcome([data], group)
    assert outcome(one_by_one(data), group) == whole
    assert outcome(cut(data, where), group) == whole


@given(st.sampled_from(GROUPS), st.binary(max_size=60))
def test_any_bytes_give_events_or_a_failure(group, data):
    """Nothing but the failures that are announced; what is quoted can be printed."""
    seen, *_ = outcome([data], group)
    for entry in seen:
        if isinstance(entry[0] if isinstance(entry, tuple) else None, type):
            assert entry[0] is ProtocolFailure
            assert entry[1].isprintable()


def test_it_says_whether_replies_are_awaited():
    """Without making the list of them: asked once a reply, that took 4 s for 20,000 recipients."""
    client = ClientConnection()
    assert client.awaits_reply
    list(client.receive(b"220 hi\r\n"))
    assert not client.awaits_reply
    client.send(Ehlo(b"me"))
    assert client.awaits_reply
    assert client.pending == (Ehlo(b"me"),)
