"""The scripted server itself: what smtplib says to it is what it records."""

import smtplib
import socket
import time

import pytest
from tests.support import certificates
from tests.support.scripted import DROP, HANG, RESET, Polite, Say, ScriptedServer, dialogue, split_path


def connected(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


MAIL = b"Subject: x\r\n\r\n.dot\r\n..\r\nlast\r\n"


def send(port, *, tls=False, user=None, recipients=("you@example.org",), mail=MAIL):
    client = smtplib.SMTP("127.0.0.1", port, timeout=10)
    try:
        if tls:
            client.starttls(context=certificates.localhost().client_context())
        if user:
            client.login(*user)
        return client.sendmail("me@example.org", list(recipients), mail)
    finally:
        client.close()


def test_a_mail_arrives_byte_for_byte():
    with ScriptedServer() as server:
        send(server.port, recipients=["a@example.org", "b@example.org"])
    (mail,) = server.mails
    assert mail.sender == b"<me@example.org>"
    assert mail.recipients == [b"<a@example.org>", b"<b@example.org>"]
    assert mail.data == MAIL


def test_starttls_and_authentication_are_recorded_with_the_layer_they_ran_in():
    with ScriptedServer(Polite(starttls=True, mechanisms=["PLAIN"])) as server:
        send(server.port, tls=True, user=("joe", "secret"))
    (session,) = server.sessions
    assert session.user == b"joe"
    assert session.transcript.handshakes == 1
    assert [turn.tls for turn in session.transcript.turns if turn.data.startswith(b"AUTH PLAIN ")] == [True]
    assert session.transcript.text().startswith("S: 220 scripted.example ready\nC: ehlo ")


def test_implicit_tls():
    with ScriptedServer(implicit=True) as server:
        client = smtplib.SMTP_SSL(
            "127.0.0.1", server.port, context=certificates.localhost().client_context(), timeout=10
        )
        client.noop()
        client.quit()
    assert all(turn.tls for turn in server.sessions[0].transcript.turns)


def test_flights_count_the_waits_of_the_client_and_not_its_writes():
    with ScriptedServer() as server, connected(server) as client:
        client.recv(100)
        client.sendall(b"EHLO x\r\n")
        client.recv(1000)
        for part in (b"MAIL FROM:<>\r\n", b"RCPT TO:<a@b>\r\n", b"DATA\r\n"):  # three writes, no wait
            client.sendall(part)
        while b"354" not in client.recv(1000):
            pass
        client.sendall(b"x\r\n.\r\n")
        client.recv(100)
        client.sendall(b"QUIT\r\n")
    assert server.sessions[0].transcript.flights == 4


def test_an_answer_in_chunks_with_pauses():
    with ScriptedServer(Polite(replies={"greeting": Say("220 hello", chunks=(1, 2, 100), pause=0.01)})) as server:
        started = time.monotonic()
        with connected(server) as client:
            pieces = []
            while b"\n" not in b"".join(pieces):
                pieces.append(client.recv(100))
        assert pieces == [b"2", b"20", b" hello\r\n"]
        assert time.monotonic() - started >= 0.03


@pytest.mark.parametrize(("action", "ends"), [(DROP, b""), (RESET, ConnectionResetError)])
def test_the_ways_a_connection_breaks(action, ends):
    with (
        ScriptedServer(Polite(replies={"EHLO": action})) as server,
        connected(server) as client,
    ):
        client.recv(100)
        client.sendall(b"EHLO x\r\n")
        if ends == b"":
            assert client.recv(100) == b""
        else:
            with pytest.raises(ends):
                client.recv(100)


def test_a_server_that_hangs_says_nothing_and_can_be_stopped():
    with (
        ScriptedServer(Polite(replies={"greeting": HANG})) as server,
        connected(server) as client,
    ):
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.close()


def test_answers_in_turn():
    with ScriptedServer(Polite(replies={"RCPT": ["250 ok", "550 5.1.1 no"]})) as server:
        refused = send(server.port, recipients=["a@b", "c@d", "e@f"])
    assert refused == {"c@d": (550, b"5.1.1 no"), "e@f": (550, b"5.1.1 no")}


def test_lmtp_answers_for_each_recipient():
    behaviour = Polite(lmtp=True, replies={"message": ["250 ok", "452 4.2.2 full"]})
    with ScriptedServer(behaviour) as server, connected(server) as client:
        client.sendall(b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\nQUIT\r\n")
        said = b""
        while block := client.recv(1000):
            said += block
    assert said.endswith(b"354 go on\r\n250 ok\r\n452 4.2.2 full\r\n221 2.0.0 bye\r\n")


def test_chunks_of_bdat_are_put_together():
    with ScriptedServer() as server, connected(server) as client:
        client.sendall(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nBDAT 3\r\na\r\nBDAT 4 LAST\r\n.\r\n\nQUIT\r\n")
        while client.recv(1000):
            pass
    assert server.mails[0].data == b"a\r\n.\r\n\n"


def test_a_dialogue_is_followed_to_the_letter():
    with ScriptedServer(
        dialogue("""
            S: 220 hello
            C: EHLO *
            S- 250 o
            PAUSE 0.01
            S- k\\r\\n
            C: QUIT
            S: 221 bye
            DROP
        """)
    ) as server:
        client = smtplib.SMTP("127.0.0.1", server.port, timeout=10)
        assert client.docmd("EHLO", "x") == (250, b"ok")
        assert client.docmd("QUIT") == (221, b"bye")
        client.close()


def test_a_dialogue_fails_the_test_that_leaves_it():
    server = ScriptedServer(dialogue("S: 220 hello\nC: EHLO *\nS: 250 ok"))
    with pytest.raises(AssertionError, match="the client said 'HELO x'"), server, connected(server) as client:
        client.sendall(b"HELO x\r\n")


def test_a_unix_socket_and_ipv6(tmp_path):
    with ScriptedServer(address=tmp_path / "s") as server, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(server.address))
        assert client.recv(100).startswith(b"220 ")
    with ScriptedServer(address="::1") as server, socket.create_connection(("::1", server.port)) as client:
        assert client.recv(100).startswith(b"220 ")


@pytest.mark.parametrize(
    ("rest", "path", "parameters"),
    [
        (b"FROM:<a@b> SIZE=1", b"<a@b>", b"SIZE=1"),
        (b'FROM:<"a> b"@c>', b'<"a> b"@c>', b""),
        (b'TO:<"a\\">"@c> NOTIFY=NEVER', b'<"a\\">"@c>', b"NOTIFY=NEVER"),
        (b"FROM:<>", b"<>", b""),
    ],
)
def test_paths_are_told_from_parameters(rest, path, parameters):
    assert split_path(rest) == (path, parameters)
