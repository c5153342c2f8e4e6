"""The policy at work in delivery: From headers of every kind, users whom a worker makes up, and mail that goes round."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from tests.support.delivering import Brokers, Worker

from msmtp.config import substitution
from msmtp.daemon import guard, privileges, requests
from msmtp.daemon.channel import ChannelGone
from msmtp.daemon.guard import HEADER_LIMIT, Guard
from msmtp.daemon.policy import AUTH, USER, Machine, Person, parse
from msmtp.failures import ConfigFailure, InsecureFileFailure

HOST = Machine("host.example")
JOE = Person(USER, "joe", 1000)
HEAD = b"Received: from x by y; Mon, 1 Jan 2026 00:00:00 +0000\n"
STRICT = "for everybody\n"


def judged(mail: bytes, text: str = STRICT, sender: bytes = b"joe@host.example") -> tuple[str, bool]:
    """What is said of a mail, and whether its From is replaced."""
    judge = Guard(parse(text, "/p"), lambda: HOST)
    permission, refusal = judge.envelope(JOE, sender, 1)
    assert permission, refusal and refusal.text
    descriptor = os.memfd_create("mail")
    try:
        os.write(descriptor, HEAD + mail)
        refusal = judge.header(permission, descriptor)
    finally:
        os.close(descriptor)
    return refusal.text if refusal else "", permission.replace


@pytest.mark.parametrize(
    "mail",
    [
        b"From: joe@host.example\n\nhi\n",
        b"From: Joe <joe@HOST.example>\n\nFrom: boss@corp\n",
        b"from:\n joe\n\n",
        b"FROM : joe@host.example\nSubject: x\n\n",
        b"Subject: no From at all\n\nhi\n",
        b"Resent-From: boss@corp\nFrom: joe\n\n",
        b"X-From: boss@corp\nSender: boss@corp\n\n",
        b"\nFrom: boss@corp\n",
        b"",
        b"X: " + b"y" * 60_000 + b"\nFrom: joe\n\n" + b"z" * 100_000,
    ],
)
def test_a_from_that_is_ones_own_passes(mail: bytes) -> None:
    assert judged(mail) == ("", False)


@pytest.mark.parametrize(
    ("mail", "words"),
    [
        (b"From: boss@corp\n\n", "does not let user joe send as boss@corp (in From); send as joe@host.example"),
        (b"From: joe\nFrom: boss@corp\n\n", "boss@corp"),
        (b"From: joe, boss@corp\n\n", "boss@corp"),
        (b"From: joe@host.example <boss@corp>\n\n", "boss@corp"),
        (b"From: boss@corp <joe@host.example>\n\n", "boss@corp"),
        (b"From: boss@corp joe <joe@host.example>\n\n", "From that not all programs read alike"),
        (b"From: boss@corp:joe@host.example;\n\n", "From that not all programs read alike"),
        (b"From: boss@corp(: joe@host.example\n\n", "From that not all programs read alike"),
        (b"From: \\<boss@corp> <joe@host.example>\n\n", "From that not all programs read alike"),
        (b"From: joe\nFrom: =?utf-8?q?boss=40corp?= <joe>\n\n", "From that not all programs read alike"),
        (b"From: boss\n\n", "send as boss "),
        (b"fRoM\t:\n\tboss@corp\n\n", "boss@corp"),
        (b"no field\nFrom: boss@corp\n\n", "boss@corp"),
        (b"From \xff x\nFrom: boss@corp\n\n", "boss@corp"),
        (b'From: "boss@corp"\n\n', "From without an address"),
        (b"From: nobody:;\n\n", "From without an address"),
        (b"From:\n\n", "From without an address"),
        (b"From: " + b",\n ".join(b"joe@%d" % number for number in range(30)) + b"\n\n", "more than 20 addresses"),
        (b"Subject: x\rFrom: boss@corp\n\n", "a CR that is no line end"),
        (b"X: " + b"y" * HEADER_LIMIT + b"\nFrom: joe\n\n", "header of more than 65536 octets"),
        (b"X: y\n" * (HEADER_LIMIT // 5), "header of more than 65536 octets"),
        (b"From: joe@host.example\0@corp\n\n", "send as "),
        (b"From: \xc3\xa4@corp\n\n", "send as "),
    ],
)
def test_any_other_does_not(mail: bytes, words: str) -> None:
    told, replaced = judged(mail)
    assert words in told
    assert told.startswith("5.7.1 ")
    assert not replaced


def test_a_from_is_replaced_where_the_rule_says_so() -> None:
    text = "for everybody\nheader replace\n"
    assert judged(b"From: boss@corp\n\n", text) == ("", True)
    assert judged(b"From:\n\n", text) == ("", True)
    assert judged(b"From: boss@corp:joe@host.example;\n\n", text) == ("", True)
    assert judged(b"From: joe\n\n", text) == ("", False)
    assert judged(b"From: boss@corp\n\n", text, b"") == ("", True)  # a notice; the command is told MAILER-DAEMON
    assert "CR" in judged(b"X: \rFrom: boss@corp\n\n", text)[0]


@pytest.mark.parametrize(
    "mail",
    [
        b"From: boss@corp\n\n",
        b"From:\n\n",
        b"X: \rFrom: boss@corp\n\n",
        b"X: " + b"y" * HEADER_LIMIT + b"\n\n",
        b"From: " + b",\n ".join(b"joe@%d" % number for number in range(30)) + b"\n\n",
    ],
)
def test_who_may_send_as_anybody_is_not_asked_who_that_is(mail: bytes) -> None:
    assert judged(mail, "for everybody\nfrom a@b *\n") == ("", False)
    assert judged(mail, "for everybody\nfrom *@host.example\n")[0]


def test_the_machine_s_names_are_those_that_its_files_say_now(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(substitution, "MAIL_NAME_FILE", str(tmp_path / "mailname"))
    monkeypatch.setattr(guard, "HOSTS_FILE", str(tmp_path / "hosts"))
    own = os.uname().nodename
    names = guard.Names()
    assert (names.now().mail, names.now().hosts) == (own, (own,))
    assert names.now() is names.now()
    (tmp_path / "mailname").write_text("mail.example\n")
    (tmp_path / "hosts").write_text(
        f"127.0.0.1 localhost\n# ::1 {own}.no {own}\n127.0.1.1\t{own}.corp.example {own} www {own}x\n"
    )
    assert (names.now().mail, names.now().hosts) == ("mail.example", (own, f"{own}.corp.example"))
    (tmp_path / "hosts").write_text(f"127.0.0.1 localhost.localdomain localhost {own}\n")
    assert names.now().hosts == (own,)
    (tmp_path / "mailname").unlink()
    assert names.now().mail == own


def test_a_mail_name_that_changes_is_what_the_next_mail_is_judged_by(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(substitution, "MAIL_NAME_FILE", str(tmp_path / "mailname"))
    judge = Guard(parse(STRICT, "/p"))
    (tmp_path / "mailname").write_text("mail.example\n")
    assert judge.envelope(JOE, b"joe@mail.example", 1)[0]
    (tmp_path / "mailname").write_text("other.example\n")
    assert judge.envelope(JOE, b"joe@mail.example", 1)[1]
    assert judge.envelope(JOE, b"joe@other.example", 1)[0]


def test_who_sends() -> None:
    judge = Guard(parse(STRICT, "/p"), lambda: HOST)
    root = judge.person(0, b"", b"")
    assert (root.kind, root.name, root.groups[0]) == (USER, "root", "root")
    assert str(judge.person(4_123_456, b"", b"")) == "the user with number 4123456"
    assert str(judge.person(2**40, b"", b"")) == f"the user with number {2**40}"
    assert judge.person(0, b"scanner", b"").kind == AUTH
    assert str(judge.person(requests.NOBODY, b"", b"192.0.2.1")) == "somebody unknown"


def test_what_a_person_may_is_told() -> None:
    text = "for user joe\nfrom *@lists.example a@b\naccount w\nheader replace\nrate 2/day\nrecipients 9\nfor auth x\nrefuse"
    judge = Guard(parse(text, "/p"), lambda: HOST)
    assert judge.told(JOE) == [
        "/p:1 is the rule for user joe",
        "sends as: *@lists.example, a@b",
        "another From header: replaced by the envelope's sender",
        "account: w",
        "at most: 2 mails a day",
        "at most: 9 recipients a mail",
    ]
    assert judge.first_address(JOE) == "a@b"
    assert judge.told(Person(AUTH, "x")) == ["/p:7 lets x (who gave the password) send no mail"]
    assert judge.told(Person(USER, "ann", 7)) == ["/p has no rule for user ann: its administrator can add one"]
    assert judge.first_address(Person(USER, "ann", 7)) == "ann@host.example"


@pytest.mark.parametrize("line", ["account x", "header replace"])
def test_what_needs_msmtp_is_refused_with_another_command(tmp_path: Path, line: str) -> None:
    from msmtp.config.daemon_settings import Settings

    settings = Settings()
    settings.policy = str(tmp_path / "policy")
    (tmp_path / "policy").write_text(f"for everybody\n{line}\n")
    assert guard.load(settings)
    settings.command = "cat"
    with pytest.raises(ConfigFailure, match=f"policy:1: {line.split(maxsplit=1)[0]}"):
        guard.load(settings)


def test_a_policy_that_others_can_change_is_not_believed(tmp_path: Path) -> None:
    from msmtp.config.daemon_settings import Settings

    settings = Settings()
    settings.policy = str(tmp_path / "policy")
    (tmp_path / "policy").write_text(STRICT)
    for mode in (0o664, 0o660, 0o646, 0o622):
        (tmp_path / "policy").chmod(mode)
        with pytest.raises(InsecureFileFailure, match="must not be writable for"):
            guard.load(settings)
    for mode in (0o644, 0o640, 0o600, 0o755):
        (tmp_path / "policy").chmod(mode)
        assert guard.load(settings)


# -- in delivery


@pytest.fixture
def broker(tmp_path: Path) -> Brokers:
    return Brokers(tmp_path)


def envelope(worker: Worker, user: bytes) -> None:
    worker.say(requests.ENVELOPE, b"h", requests.EXTENDED, b"", user, b"s@example.org", ())
    worker.say(requests.RECIPIENT, b"a@example.org", ())
    worker.say(requests.BODY, 0)


def is_file(worker: Worker) -> bool:
    """Whether the answer is a file to write to."""
    answer = worker.hear()
    answer.close()
    return answer.name == "FILE"


def test_a_worker_cannot_say_who_it_is(broker: Brokers) -> None:
    one = broker()
    for flags, steps in (
        (0, [lambda worker: worker.say(requests.USER, b"joe")]),
        (0, [lambda worker: envelope(worker, b"joe")]),
        (requests.WITH_AUTH, [lambda worker: envelope(worker, b"")]),
        (requests.WITH_AUTH, [lambda worker: worker.say(requests.PEER, b"192.0.2.9", 1)]),
        (
            requests.WITH_AUTH,
            [lambda worker: worker.say(requests.USER, b"joe"), lambda worker: envelope(worker, b"ann")],
        ),
        (requests.WITH_AUTH, [lambda worker: worker.say(requests.USER, b"joe")] * 2),
    ):
        worker = one.session(flags=flags)
        with contextlib.suppress(ChannelGone):  # it may be hung up on before it has said all
            for step in steps:
                step(worker)
        assert worker.gone()


def test_the_password_s_user_is_judged_and_not_the_machine_s(broker: Brokers, tmp_path: Path) -> None:
    (tmp_path / "policy").write_text("for auth joe\nfrom s@example.org\nfor user root\n")
    one = broker(policy=str(tmp_path / "policy"))
    worker = one.session(uid=0, user=b"joe")
    envelope(worker, b"joe")
    assert is_file(worker)
    worker = one.session(uid=0, user=b"ann")
    envelope(worker, b"ann")
    assert b"has no rule for ann (who gave the password)" in worker.hear().octets("text")
    assert "refused: 5.7.1" in one.log.read_text()


def test_mail_from_delivery_s_own_user_goes_in_a_circle_and_is_stopped(broker: Brokers, monkeypatch) -> None:
    monkeypatch.setitem(privileges.NAMES, "delivery", "root" if not os.geteuid() else "msmtpd-send")
    if os.geteuid():
        pytest.skip("only root has a name that is known here")
    one = broker()
    worker = one.session(address=b"", uid=0)
    envelope(worker, b"")
    assert worker.hear().octets("reply") == b"in a circle"
    worker = one.session(address=b"", uid=1)
    envelope(worker, b"")
    assert is_file(worker)
    assert "comes from its own command" in one.log.read_text()
