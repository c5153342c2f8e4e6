"""The auth broker: real channels and a real loop; the worker's side is played by the tests, honestly and not."""

from __future__ import annotations

import contextlib
import os
import select
import time
from binascii import a2b_base64
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.inside import run as run_code

from msmtp import sasl
from msmtp.config.daemon_settings import Network
from msmtp.credentials.secret import Secret
from msmtp.daemon import auth, channel, passwords, requests
from msmtp.daemon.auth import AuthBroker
from msmtp.daemon.channel import Channel, ChannelGone
from msmtp.daemon.journal import Journal
from msmtp.daemon.loop import Loop
from msmtp.daemon.peers import Peer
from msmtp.daemon.throttle import SIZE, Throttle
from msmtp.sasl.server import Verifier
from msmtp.smtp.server_replies import REPLIES

SECRET = b"secret of the tests"
PASSWORD = "pässword".encode()
FEW = 50  # iterations: these tests ask for hundreds
ANSWERS = (requests.AUTH_CHALLENGE, requests.AUTH_ACCEPTED, requests.AUTH_REFUSED)


class Counters(dict):
    def add(self, name: str, number: int = 1) -> None:
        self[name] = self.get(name, 0) + number


class Log(Journal):
    """Keeps what is written."""

    __slots__ = ("said",)

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, str]] = []

    def write(self, priority: int, event: str, text: str, **fields: object) -> None:
        self.said.append((event, text))


class Worker:
    """One session's worker: its end of the channel, and delivery's end of the door."""

    def __init__(self, bed: Bed, number: int, key: bytes, peer: Peer) -> None:
        self.bed = bed
        ours, theirs = channel.pair()
        self.delivery, door = channel.pair()
        self.channel = Channel(ours)
        self.channel.set_blocking(False)
        self.number = number
        bed.broker.session(number, key, peer, theirs, door)

    def send(self, request: requests.Request, *values: object, descriptors: tuple[int, ...] = ()) -> None:
        self.channel.send(request, *values, descriptors=descriptors)

    def start(self, mechanism: bytes, initial: bytes | None = None) -> None:
        self.send(requests.AUTH_START, mechanism, int(initial is not None), initial or b"")

    def respond(self, response: bytes) -> None:
        self.send(requests.AUTH_RESPONSE, response)

    def hear(self, patience: float = 10) -> channel.Message | None:
        """The next answer; None at the end of the channel."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            try:
                return self.channel.receive(ANSWERS)
            except BlockingIOError:
                self.bed.loop.turn(0.02)
            except ChannelGone:
                return None
        raise AssertionError("no answer came")

    def is_silent(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.bed.loop.turn(0.01)
            if select.select([self.channel], [], [], 0)[0]:
                return False
        return True

    def outcome(self, mechanism: bytes = b"PLAIN", initial: bytes | None = None) -> str:
        """What comes of an exchange of one response: the reply's name, "accepted" or "closed"."""
        self.start(mechanism, initial)
        return self.told(self.hear())

    def told(self, message: channel.Message | None) -> str:
        if message is None:
            return "closed"
        if message.name == "AUTH_ACCEPTED":
            self.check_door(message.octets("user"), *message.descriptors)
            return "accepted"
        return message.octets("reply").decode() if message.name == "AUTH_REFUSED" else message.name

    def check_door(self, user: bytes, descriptor: int) -> None:
        """What came along leads to delivery, which has been told who it is."""
        with contextlib.closing(Channel(descriptor)) as door, contextlib.closing(Channel(os.dup(self.delivery))) as far:
            door.send(requests.BODY, 7)
            assert far.receive((requests.USER,)).octets("user") == user != b""
            assert far.receive((requests.BODY,)).number("size") == 7

    def door_is_closed(self) -> bool:
        """Nobody can reach delivery any more: the broker has let go of the worker's end."""
        poll = select.poll()
        poll.register(self.delivery, select.POLLIN)
        return bool(poll.poll(0)) and os.read(self.delivery, 1) == b""

    def close(self) -> None:
        self.channel.close()
        os.close(self.delivery)


class Bed:
    """A broker with two users, on a clock of its own for the throttle if need be."""

    def __init__(self, proxies: tuple[Network, ...] = (), known: dict[bytes, Verifier] | None = None) -> None:
        self.loop = Loop()
        self.journal = Log()
        self.page = Counters()
        self.throttle = Throttle(memoryview(bytearray(SIZE)).cast("Q"))
        known = known or {
            "jörg".encode(): Verifier.of(PASSWORD, b"salt of joerg 16", FEW),
            b"x": Verifier.of(b"y", b"salt of x 16 oct", FEW),
        }
        self.broker = AuthBroker(
            self.loop, known, self.throttle, self.journal, self.page, SECRET, proxies=proxies, ended=self.loop.stop
        )
        self.workers: list[Worker] = []

    def worker(self, key: bytes = b"192.0.2.1", peer: Peer | None = None) -> Worker:
        made = Worker(self, len(self.workers) + 1, key, peer or Peer(key.decode(), 1, None, "192.0.2.2"))
        self.workers.append(made)
        return made

    def turn(self, seconds: float = 0.05) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.loop.turn(0.01)

    def end_with_the_test(self) -> None:
        for each in self.workers:
            each.close()
        self.workers.clear()
        self.turn(0.01)

    def close(self) -> None:
        self.end_with_the_test()
        assert not self.broker._sessions
        assert not self.broker._waiting
        assert not self.broker._outstanding
        assert self.page.get("auth_waiting", 0) == 0
        self.loop.close()


@pytest.fixture
def bed() -> Iterator[Bed]:
    with contextlib.closing(Bed()) as made:
        yield made


@pytest.fixture
def no_wait(monkeypatch):
    """The throttle says nothing; its own tests are elsewhere."""
    monkeypatch.setattr(Throttle, "delay", lambda *_: 0.0)
    monkeypatch.setattr(auth, "FLOOR", 0.0)


def plain(user: str | bytes, password: str | bytes, authzid: bytes = b"") -> bytes:
    user = user.encode() if isinstance(user, str) else user
    password = password.encode() if isinstance(password, str) else password
    return b"%b\0%b\0%b" % (authzid, user, password)


# -- what clients may say


def test_the_password_opens_the_door(bed):
    worker = bed.worker()
    assert worker.outcome(initial=plain("jörg", PASSWORD)) == "accepted"
    assert worker.hear() is None  # it is served no more
    assert worker.door_is_closed()
    assert bed.page == {"auth_waiting": 0, "auth_accepted": 1}
    assert bed.journal.said == [("auth_succeeded", "session 1: authenticated as jörg")]


def test_plain_without_an_initial_response(bed):
    worker = bed.worker()
    worker.start(b"plain")
    assert worker.hear().octets("challenge") == b""
    worker.respond(plain("x", "y"))
    assert worker.told(worker.hear()) == "accepted"


@pytest.mark.parametrize("initial", [None, b"x"])
def test_login(bed, initial):
    worker = bed.worker()
    worker.start(b"LOGIN", initial)
    if initial is None:
        assert worker.hear().octets("challenge") == b"Username:"
        worker.respond(b"x")
    assert worker.hear().octets("challenge") == b"Password:"
    worker.respond(b"y")
    assert worker.told(worker.hear()) == "accepted"


def scram(worker: Worker, user: bytes, password: bytes) -> tuple[sasl.mechanisms.Mechanism, channel.Message | None]:
    client = sasl.create(b"SCRAM-SHA-256", sasl.Credentials(user, password, nonce=b"0123456789abcdefgh"))
    worker.start(b"SCRAM-SHA-256", client.start())
    worker.respond(client.next(worker.hear().octets("challenge")))
    return client, worker.hear()


@pytest.mark.usefixtures("no_wait")
def test_scram(bed, monkeypatch):
    monkeypatch.setattr("msmtp.sasl.scram.MIN_ITERATIONS", 1)
    worker = bed.worker()
    client, message = scram(worker, "jörg".encode(), PASSWORD)
    worker.respond(client.next(message.octets("challenge")))
    assert worker.told(worker.hear()) == "accepted"
    client.finished()
    other = bed.worker()
    assert other.told(scram(other, "jörg".encode(), b"wrong")[1]) == "auth refused"
    assert other.told(scram(other, b"nobody", b"wrong")[1]) == "auth refused"
    assert bed.journal.said[1:] == [
        ("auth_failed", "session 2: authentication failed for user jörg (answered after 0.0 s)"),
        ("auth_failed", "session 2: authentication failed for user nobody (answered after 0.0 s)"),
    ]


@pytest.mark.usefixtures("no_wait")
@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (b"no NUL", "bad base64"),
        (b"\0one", "bad base64"),
        (b"a\0b\0c\0d", "bad base64"),
        (b"", "bad base64"),
        (b"\0\0", "auth refused"),
        (b"\0x\0", "auth refused"),
        (plain("x", "y"), "accepted"),  # a password of one character
        (plain("x", "y" * 12_000), "bad base64"),
        (b"\0" * 12_288, "bad base64"),
        (plain("x", b"y" * 2_000), "auth refused"),
        (plain("x", "y", b"x"), "accepted"),
        (plain("x", "y", b"root"), "auth refused"),  # nobody acts for another
        (plain("jörg".encode(), PASSWORD, "jörg".encode()), "accepted"),
        (plain("jo\u0308rg", PASSWORD), "accepted"),  # the same name, written otherwise (RFC 4013)
        (plain("x", b"\xff\xfe"), "auth refused"),
        (plain(b"x\r\nX: y", b"y"), "auth refused"),
    ],
)
def test_fault_35_what_a_plain_response_may_be(bed, response, expected):
    assert bed.worker().outcome(initial=response) == expected
    assert expected in {*REPLIES, "accepted"}


def test_a_mechanism_that_there_is_not(bed):
    assert bed.worker().outcome(b"CRAM-MD5") == "unknown mechanism"
    assert bed.worker().outcome(b"") == "unknown mechanism"


@pytest.mark.usefixtures("no_wait")
def test_the_third_exchange_that_leads_to_nothing_is_the_last(bed):
    worker = bed.worker()
    for response in (plain("x", "z"), b"junk", plain("x", "z")):
        assert worker.outcome(initial=response) in {"auth refused", "bad base64"}
    assert worker.hear() is None
    assert worker.door_is_closed()
    worker = bed.worker()
    for _ in range(3):
        worker.start(b"LOGIN")
        assert worker.hear().octets("challenge") == b"Username:"
        worker.send(requests.AUTH_CANCEL)
    assert worker.hear() is None


@pytest.mark.usefixtures("no_wait")
def test_after_a_failure_the_right_password_is_taken(bed):
    worker = bed.worker()
    assert worker.outcome(initial=plain("x", "z")) == "auth refused"
    worker.start(b"LOGIN")
    worker.hear()
    worker.send(requests.AUTH_CANCEL)
    assert worker.outcome(initial=plain("x", "y")) == "accepted"


OCTETS = st.binary(max_size=300) | st.sampled_from(
    [b"n,,n=x,r=abc", b"\0x\0z", b"n,,n=,r=", b"n,a=x,n=x,r=q", b"p=tls-exporter,,n=x,r=a", b"x", b"c=biws,r=a,p=YQ=="]
)


@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.just("start"), st.sampled_from([b"PLAIN", b"LOGIN", b"SCRAM-SHA-256", b"X"]), st.none() | OCTETS
            ),
            st.tuples(st.just("respond"), OCTETS),
            st.tuples(st.just("cancel")),
        ),
        max_size=8,
    )
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("no_wait")
def test_whatever_a_worker_says_the_broker_lives_and_opens_no_door(steps):
    with contextlib.closing(Bed()) as bed:
        worker = bed.worker()
        with contextlib.suppress(ChannelGone):
            for what, *values in steps:
                if what == "start":
                    worker.start(*values)
                elif what == "respond":
                    worker.respond(*values)
                else:
                    worker.send(requests.AUTH_CANCEL)
                bed.turn(0.002)
        bed.turn(0.003)
        assert "auth_accepted" not in bed.page
        assert bed.worker().outcome(initial=plain("x", "y")) == "accepted"


# -- delays


def test_a_wrong_password_is_answered_no_sooner_than_the_floor(bed):
    began = time.monotonic()
    assert bed.worker().outcome(initial=plain("x", "z")) == "auth refused"
    assert time.monotonic() - began >= auth.FLOOR
    assert bed.page == {"auth_waiting": 0, "auth_refused": 1}


def test_fault_34_after_a_failure_everybody_waits_a_second_and_nobody_more(bed):
    """Fault 34, and 33: the session of the other was there before the failure."""
    other = bed.worker(b"192.0.2.99")
    assert bed.worker().outcome(initial=plain("x", "z")) == "auth refused"
    began = time.monotonic()
    assert other.outcome(initial=plain("x", "y")) == "accepted"
    assert 0.95 < time.monotonic() - began < 1.5
    assert bed.page["auth_delayed"] == 1


class Clock:
    """Time that passes when the loop would wait."""

    def __init__(self, monkeypatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("msmtp.daemon.loop.monotonic", lambda: self.now)
        monkeypatch.setattr(auth, "monotonic_ns", lambda: int(self.now * 1e9))

    def run(self, bed: Bed, until: float) -> None:
        """Let everything happen that happens until then."""
        while True:
            bed.loop.turn(0)
            timers = [timer.when for timer in bed.loop._timers if timer.call]
            if not timers or min(timers) > until:
                break
            self.now = max(self.now, min(timers))
        self.now = until


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def answered(worker: Worker) -> bool:
    return bool(select.select([worker.channel], [], [], 0)[0])


def test_fault_31_sixteen_sessions_guess_no_faster_than_one(bed, clock):
    """Each tries again as soon as it is answered, in a new session when the old one is closed; for ten minutes."""
    workers = [bed.worker() for _ in range(16)]
    for worker in workers:
        worker.start(b"PLAIN", plain("x", "wrong"))
    answers: list[float] = []
    bed.page.add = lambda name, _number=1: answers.append(clock.now) if name == "auth_refused" else None
    while clock.now < 1600:
        clock.run(bed, clock.now + 0.25)
        for place, worker in enumerate(workers):
            if answered(worker):
                assert worker.told(worker.hear()) in {"auth refused", "closed"}
                if select.select([worker.channel], [], [], 0)[0]:
                    workers[place] = bed.worker()
                workers[place].start(b"PLAIN", plain("x", "wrong"))
    assert 95 <= len(answers) <= 101
    for number, begin in enumerate(answers):
        assert sum(1 for when in answers[number:] if when < begin + 60) <= 10


def test_hanging_up_buys_nothing(bed, clock):
    """Fault 31 for one who does not wait for the answer: what he did not hear does not help him."""
    heard = 0
    for _ in range(120):
        worker = bed.worker()
        worker.start(b"PLAIN", plain("x", "wrong"))
        clock.run(bed, clock.now + 0.5)
        heard += answered(worker)
        worker.channel.close()
        clock.run(bed, clock.now + 0.01)
    assert heard <= 1


def test_fault_34_one_source_waits_in_turn_and_others_do_not_wait_for_it(bed, clock):
    crowd = [bed.worker() for _ in range(8)]
    for worker in crowd:
        worker.start(b"PLAIN", plain("x", "wrong"))
    clock.run(bed, clock.now + 0.1)
    other = bed.worker(b"uid:1000")
    other.start(b"PLAIN", plain("x", "y"))
    clock.run(bed, clock.now + 1.01)
    assert other.told(other.hear()) == "accepted"
    clock.run(bed, clock.now + 100)
    assert [worker.told(worker.hear()) for worker in crowd] == ["auth refused"] * 8


def test_the_right_password_is_answered_in_its_turn_too(bed, clock):
    first, second = bed.worker(), bed.worker()
    first.start(b"PLAIN", plain("x", "wrong"))
    second.start(b"PLAIN", plain("x", "y"))
    clock.run(bed, clock.now + 1)
    assert answered(first)
    assert not answered(second)
    clock.run(bed, clock.now + 6)
    assert second.told(second.hear()) == "accepted"


def test_one_who_leaves_the_queue_holds_nobody_up(bed, clock):
    sessions = [bed.worker() for _ in range(4)]
    for worker in sessions:
        worker.start(b"PLAIN", plain("x", "wrong"))
    clock.run(bed, clock.now + 0.01)
    assert bed.page["auth_waiting"] == 4
    for worker in sessions[:3]:
        worker.channel.close()
    clock.run(bed, clock.now + 0.01)
    assert bed.page["auth_waiting"] == 1
    clock.run(bed, clock.now + 6.1)
    assert sessions[3].told(sessions[3].hear()) == "auth refused"


def test_scram_waits_as_plain_does(bed, clock, monkeypatch):
    monkeypatch.setattr("msmtp.sasl.scram.MIN_ITERATIONS", 1)
    bed.throttle.failed(b"192.0.2.1", int(clock.now * 1e9))
    worker = bed.worker()
    client = sasl.create(b"SCRAM-SHA-256", sasl.Credentials(b"x", b"y", nonce=b"0123456789abcdefgh"))
    worker.start(b"SCRAM-SHA-256", client.start())
    clock.run(bed, clock.now + 0.01)
    worker.respond(client.next(worker.hear().octets("challenge")))
    clock.run(bed, clock.now + 5.5)
    assert not answered(worker)  # not even the challenge that would tell success
    clock.run(bed, clock.now + 1)
    worker.respond(client.next(worker.hear().octets("challenge")))
    clock.run(bed, clock.now + 0.01)
    assert worker.told(worker.hear()) == "accepted"


def kolmogorov_smirnov(one: list[float], other: list[float]) -> float:
    """The largest distance between two samples' distributions."""
    places = sorted({*one, *other})
    return max(
        abs(sum(1 for each in one if each <= place) / len(one) - sum(1 for each in other if each <= place) / len(other))
        for place in places
    )


@pytest.mark.parametrize("octets", [4, 16, 24, 40, 70])
def test_fault_32_the_challenge_of_an_unknown_user_has_the_form_of_all(octets):
    handed_over = Verifier.of(b"password", b"x" * octets, FEW)
    known, secret = passwords.made_alike({b"given": handed_over, b"made": Secret(b"password")})
    with contextlib.closing(Bed(known=known)) as bed:
        bed.broker._secret = secret
        forms, salts = set(), set()
        for user in (*known, b"nobody", b"nemo"):
            worker = bed.worker()
            worker.start(b"SCRAM-SHA-256", b"n,,n=%b,r=abc" % user)
            _, salt, count = worker.hear().octets("challenge").split(b",")
            salts.add(salt)
            forms.add((len(salt), len(a2b_base64(salt[2:])), count))
        assert forms == {(len(salt), octets, b"i=%d" % FEW)}
        assert len(salts) == 4


def test_fault_32_an_unknown_user_a_wrong_password_and_its_length_take_the_same_time(monkeypatch):
    """Two samples of 200 differ by chance in 0.1 % of cases by more than 0.195; by turns, so that load falls on all."""
    monkeypatch.setattr(Throttle, "delay", lambda *_: 0.0)
    monkeypatch.setattr(auth, "ATTEMPTS", 10_000)
    bed = Bed()
    bed.broker._verifiers = {b"user": Verifier.of(b"the password", b"salt", 10_000)}
    bed.broker._iterations = 10_000
    monkeypatch.setattr(auth, "FLOOR", 0.012)
    kinds = {b"user": b"wrong", b"somebody": b"wrong", b"user ": b"w" * 500}
    samples: dict[bytes, list[float]] = {kind: [] for kind in kinds}
    worker = bed.worker()
    texts = set()
    for _ in range(200):
        for user, password in kinds.items():
            began = time.perf_counter()
            worker.start(b"PLAIN", plain(user.strip(), password))
            texts.add(worker.told(worker.hear()))
            samples[user].append(time.perf_counter() - began)
    bed.close()
    assert texts == {"auth refused"}
    one, *others = samples.values()
    for other in others:
        assert kolmogorov_smirnov(one, other) < 0.195


def test_sixteen_guesses_at_a_time_take_no_longer_than_three_tenths_of_a_second():
    known, secret = passwords.made_alike({b"user": Verifier.of(b"p", b"s" * 16)})
    bed = Bed()
    bed.broker = AuthBroker(bed.loop, known, bed.throttle, bed.journal, bed.page, secret)
    workers = [bed.worker(b"uid:%d" % number) for number in range(16)]
    began = time.monotonic()
    for worker in workers:
        worker.start(b"PLAIN", plain("user", "wrong"))
    bed.loop.turn(1)
    assert bed.page["auth_waiting"] + bed.page.get("auth_refused", 0) == 16
    assert time.monotonic() - began < 0.3
    for worker in workers:
        worker.channel.close()
    bed.close()


# -- hostile workers


@pytest.mark.parametrize(
    "attack",
    [
        lambda worker: worker.start(b"PLAIN", plain("x", "y")),
        lambda worker: worker.respond(plain("x", "y")),
        lambda worker: worker.send(requests.AUTH_CANCEL),
        lambda worker: worker.send(requests.PEER, b"192.0.2.5", 1),
        lambda worker: worker.channel._socket.send(b"junk"),
        lambda worker: worker.channel._socket.send(b"\x1f" * 60_000),
    ],
)
def test_fault_36_a_second_request_while_one_is_under_way_ends_the_session(bed, attack):
    bed.throttle.failed(b"192.0.2.1", time.monotonic_ns())
    worker = bed.worker()
    worker.start(b"PLAIN", plain("x", "y"))
    assert worker.is_silent(0.05)
    attack(worker)
    assert worker.hear(0.5) is None
    assert worker.door_is_closed()
    assert [event for event, text in bed.journal.said if "auth hangs up on its worker" in text] == ["note"]
    assert bed.page["auth_waiting"] == 0


@pytest.mark.parametrize(
    "attack",
    [
        lambda worker: worker.respond(plain("x", "y")),
        lambda worker: worker.send(requests.AUTH_CANCEL),
        lambda worker: worker.send(requests.PEER, b"192.0.2.5", 1),  # no proxy
        lambda worker: worker.send(requests.AUTH_SESSION, 9, b"k", b"", 0, 0, b"", descriptors=(0, 0)),
        lambda worker: worker.send(requests.PING, 1),
        lambda worker: worker.channel._socket.send(b"junk"),
        lambda worker: worker.channel._socket.send(b"\x1f"),
    ],
)
def test_fault_36_junk_ends_the_session(bed, attack):
    worker = bed.worker()
    attack(worker)
    assert worker.hear(0.5) is None
    assert worker.door_is_closed()
    assert "auth hangs up on its worker" in bed.journal.said[0][1]
    assert bed.worker().outcome(initial=plain("x", "y")) == "accepted"


def test_fault_36_descriptors_that_are_passed_are_closed(bed):
    worker = bed.worker()
    reads, writes = os.pipe()
    bed.turn(0.01)
    message = channel.encode(requests.AUTH_START, (b"PLAIN", 1, plain("x", "y")))
    rights = b"".join(writes.to_bytes(4, "little") for _ in range(5))
    worker.channel._socket.sendmsg([message], [(1, 1, rights)])
    os.close(writes)
    assert worker.hear(0.5) is None
    assert os.read(reads, 1) == b""  # nobody holds it any more
    os.close(reads)
    assert worker.door_is_closed()


def test_fault_36_nothing_is_verified_after_success(bed):
    worker = bed.worker()
    worker.start(b"PLAIN", plain("x", "y"))
    worker.start(b"PLAIN", plain("x", "wrong"))
    first, second = worker.hear(), worker.hear()
    assert second is None  # junk while busy: the first is not even told
    assert first is None
    worker = bed.worker()
    assert worker.outcome(initial=plain("x", "y")) == "accepted"
    with pytest.raises(ChannelGone):
        worker.start(b"PLAIN", plain("x", "y"))


def test_a_worker_that_does_not_read_is_hung_up_on(bed, no_wait, monkeypatch):
    monkeypatch.setattr(auth, "ATTEMPTS", 1 << 30)
    worker = bed.worker()

    def flood() -> None:
        for _ in range(5000):
            worker.start(b"NONE")
            bed.loop.turn(0)

    with pytest.raises(ChannelGone):
        flood()
    assert bed.worker().outcome(initial=plain("x", "y")) == "accepted"


def test_a_worker_behind_a_proxy_says_who_bears_the_delays(clock):
    bed = Bed(proxies=(Network(bytes([192, 0, 2, 0]), 24),))
    bad = bed.worker()
    bad.send(requests.PEER, b"2001:db8::5", 1)
    bad.start(b"PLAIN", plain("x", "wrong"))
    clock.run(bed, clock.now + 2)
    assert bad.told(bad.hear()) == "auth refused"
    assert bed.throttle.has_failed(b"2001:db8::/64")
    assert not bed.throttle.has_failed(b"192.0.2.1")
    for lie in (b"nonsense", b"1.2.3"):
        liar = bed.worker()
        liar.send(requests.PEER, lie, 1)
        clock.run(bed, clock.now + 0.01)
        assert liar.hear(0.5) is None
    twice = bed.worker()
    for _ in range(2):
        twice.send(requests.PEER, b"", 0)
    clock.run(bed, clock.now + 0.01)
    assert twice.hear(0.5) is None
    bed.close()


# -- control


class Supervisor:
    def __init__(self, bed: Bed) -> None:
        ours, theirs = channel.pair()
        self.channel = Channel(ours)
        bed.broker.control(theirs)


def test_a_supervisor_brings_sessions_and_is_told_that_the_broker_lives(bed):
    supervisor = Supervisor(bed)
    supervisor.channel.send(requests.PING, 5)
    ours, theirs = channel.pair()
    far, door = channel.pair()
    supervisor.channel.send(
        requests.AUTH_SESSION, 77, b"uid:5", b"127.0.0.1", 4, 5, b"127.0.0.1", descriptors=(theirs, door)
    )
    os.close(theirs)
    os.close(door)
    bed.loop.turn(1)
    assert supervisor.channel.receive((requests.PONG,)).number("count") == 5
    with contextlib.closing(Channel(ours)) as worker:
        worker.send(requests.AUTH_START, b"PLAIN", 1, plain("x", "y"))
        bed.turn()
        message = worker.receive(ANSWERS)
        assert message.name == "AUTH_ACCEPTED"
        message.close()
    assert bed.journal.said == [("auth_succeeded", "session 77: authenticated as x")]
    os.close(far)
    supervisor.channel.close()


def test_a_further_supervisor_comes_by_the_keeper(bed):
    keeper = Supervisor(bed)
    ours, theirs = channel.pair()
    keeper.channel.send(requests.CONTROL, descriptors=(theirs,))
    os.close(theirs)
    with contextlib.closing(Channel(ours)) as further:
        further.send(requests.PING, 1)
        bed.turn()
        assert further.receive((requests.PONG,)).number("count") == 1
        keeper.channel.close()
        bed.turn()
        further.send(requests.PING, 2)
        bed.turn()
        assert further.receive((requests.PONG,)).number("count") == 2


def test_fault_39_junk_on_a_control_channel_closes_that_one(bed):
    good, bad = Supervisor(bed), Supervisor(bed)
    bad.channel._socket.send(b"junk")
    bed.turn()
    with pytest.raises(ChannelGone):
        bad.channel.receive((requests.PONG,))
    good.channel.send(requests.PING, 3)
    bed.turn()
    assert good.channel.receive((requests.PONG,)).number("count") == 3
    assert bed.journal.said[0][1].startswith("auth: a message on a channel")
    good.channel.close()
    bad.channel.close()


def test_it_ends_with_the_last_session_after_the_last_channel(bed):
    supervisor, worker = Supervisor(bed), bed.worker()
    supervisor.channel.close()
    bed.turn(0.02)
    assert not bed.loop._stopped
    assert worker.outcome(initial=plain("x", "y")) == "accepted"
    assert bed.loop._stopped


def test_it_ends_with_the_last_session_after_sigterm(bed):
    supervisor, worker = Supervisor(bed), bed.worker()
    bed.broker.drain()
    assert not bed.loop._stopped
    worker.channel.close()
    bed.turn(0.02)
    assert bed.loop._stopped
    supervisor.channel.close()


# -- the process

PROCESS = """
    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon import auth, channel, descriptors, passwords, peers, requests, throttle
    from msmtp.daemon.channel import Channel
    from msmtp.daemon.journal import Journal
    from msmtp.daemon.status import Page

    settings = Settings()
    settings.auth = [("jörg", "printf pass; printf word")]
    settings.sandbox = {policy!r}
    verifiers, page, memory = passwords.verifiers(settings), Page(), throttle.make()
    prepared = auth.prepare(settings)
    ours, theirs = channel.pair()
    child = os.fork()
    if not child:
        kept = (theirs, verifiers) + ((prepared.ruleset,) if prepared.ruleset >= 0 else ())
        descriptors.keep_only(kept)
        try:
            auth.run((theirs,), settings, Journal(), page, verifiers=verifiers, throttle=memory, prepared=prepared)
        finally:
            os._exit(0)
    os.close(theirs)
    control = Channel(ours)

    def session(response):
        mine, its = channel.pair()
        far, door = channel.pair()
        control.send(requests.AUTH_SESSION, 1, b"k", b"", 0, 0, b"", descriptors=(its, door))
        for each in (its, door, far): os.close(each)
        worker = Channel(mine)
        worker.send(requests.AUTH_START, b"PLAIN", 1, response)
        message = worker.receive((requests.AUTH_ACCEPTED, requests.AUTH_REFUSED))
        print(message.name, *message.values.values(), flush=True)
        message.close()
        worker.close()

    session("\\0jo\\u0308rg\\0password".encode())
    session("\\0j\\u00f6rg\\0p\\u00e4ssword".encode())
    control.send(requests.PING, 9)
    print(control.receive((requests.PONG,)).number("count"))
    print(page["auth_accepted"], page["auth_refused"], memory.has_failed(b"k"))
    if {term}: os.kill(child, 15)
    else: control.close()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize(("policy", "term"), [("require", False), ("require", True), ("off", False)])
def test_the_process_confined(policy, term):
    done = run_code(PROCESS.format(policy=policy, term=term))
    assert done.stdout == (
        "AUTH_ACCEPTED " + str("jörg".encode()) + "\nAUTH_REFUSED b'auth refused'\n9\n1 1 True\n0\n"
    ), done.stderr


def test_every_answer_that_refuses_is_in_replies():
    assert {"auth refused", "bad base64", "unknown mechanism"} <= REPLIES.keys()
