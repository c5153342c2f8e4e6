"""The file of --policy: how it is read, whom a rule is for, what it lets send, and how often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.daemon import policy
from msmtp.daemon.policy import AUTH, UNKNOWN, USER, Buckets, Person, fits, parse, plainly
from msmtp.failures import ConfigFailure

HOST = policy.Machine("host.example", ("host", "host.example", "host.intra.example"))
JOE = Person(USER, "joe", 1000, {1000: "joe", 50: "staff", 77: ""})
ROOT = Person(USER, "root", 0, {0: "root"})
NAMELESS = Person(USER, "", 4242)
SCANNER = Person(AUTH, "scanner")
STRANGER = Person(UNKNOWN, address="192.0.2.1")


def rules(text: str) -> policy.Policy:
    return parse(text, "/p")


def place(text: str, person: Person) -> str:
    rule = rules(text).rule_for(person)
    return rule.place if rule else ""


# -- whom a rule is for


@pytest.mark.parametrize(
    ("whom", "persons"),
    [
        ("user joe", {JOE}),
        ("user 1000", {JOE}),
        ("user 0-1000", {JOE, ROOT}),
        ("user 4242", {NAMELESS}),
        ("group staff", {JOE}),
        ("group 50", {JOE}),
        ("group 60-80", {JOE}),
        ("group root", {ROOT}),
        ("group joe, user root", {JOE, ROOT}),
        ("auth scanner", {SCANNER}),
        ("auth joe", set()),
        ("user scanner", set()),
        ("everybody", {JOE, ROOT, NAMELESS, SCANNER}),
        ("unknown", {STRANGER}),
        ("everybody , unknown", {JOE, ROOT, NAMELESS, SCANNER, STRANGER}),
    ],
)
def test_whom_a_rule_is_for(whom: str, persons: set[Person]) -> None:
    found = {each for each in (JOE, ROOT, NAMELESS, SCANNER, STRANGER) if place(f"for {whom}", each)}
    assert found == persons


def test_the_first_rule_counts_and_nothing_of_a_later_one() -> None:
    text = "for user joe\n recipients 5\n\nfor group staff\n from *\n rate 1\nfor everybody\n"
    found = rules(text).rule_for(JOE)
    assert found
    assert (found.place, found.recipients, found.rate, found.addresses) == ("/p:1", 5, 0, ())
    assert place(text, ROOT) == "/p:7"
    assert place(text, STRANGER) == ""


def test_without_rules_nobody_may_send() -> None:
    assert rules("# nothing\n\n").rule_for(ROOT) is None


def test_what_a_rule_says() -> None:
    found = rules("for everybody\n\tfrom a@b\n from c@d *@e\n account work\n rate 20/hour\n recipients 7\n").rules[0]
    assert found.addresses == ("a@b", "c@d", "*@e")
    assert (found.account, found.rate, found.period, found.recipients) == ("work", 20, 3600.0, 7)
    assert found.often == "20 mails an hour"
    assert not found.refuses
    assert rules("for user games\n refuse\n").rules[0].refuses
    assert rules("for user games\n rate 1\n").rules[0].often == "1 mail a minute"


@pytest.mark.parametrize(
    ("text", "fault", "hint"),
    [
        ("from a@b", "/p:1: no rule has begun", "for everybody"),
        ("for", "/p:1: whom is this rule for?", "user NAME"),
        ("for user joe,", "/p:1: whom is this rule for?", "user NAME"),
        ("\nfor joe", "/p:2: unknown word joe", "user NAME"),
        ("for users joe", "/p:1: unknown word users", "did you mean 'user'?"),
        ("for user", "one name is expected", "user NAME"),
        ("for user joe ann", "one name is expected", "commas"),
        ("for everybody else", "one name is expected", "commas"),
        ("for user 9-3", "9-3 are no numbers", "smaller"),
        ("for everybody\nform a@b", "/p:2: unknown word form", "did you mean"),
        ("for everybody\nfrom", "from needs an address", "%U@%M"),
        ("for everybody\nfrom joe", "joe is no address", "%U@%M"),
        ("for everybody\nfrom @b", "@b is no address", ""),
        ("for everybody\nfrom a@", "a@ is no address", ""),
        ("for everybody\nfrom %X@b", "what does % stand for", "%%"),
        ("for everybody\nfrom a@b%", "what does % stand for", "%%"),
        ("for everybody\naccount", "account needs one argument", ""),
        ("for everybody\naccount a b", "account needs one argument", ""),
        ("for everybody\naccount -Cx", "-Cx is no account", ""),
        ("for everybody\nrate 0", "0 is no rate", "30/minute"),
        ("for everybody\nrate 5/week", "5/week is no rate", "30/minute"),
        ("for everybody\nrate 5\nrate 6", "/p:3: rate is said twice", ""),
        ("for everybody\nrecipients 0", "0 is no number", "from 1"),
        ("for everybody\nrecipients ²", "² is no number", "from 1"),
        ("for everybody\nrecipients 99999999999", "no number of recipients", "from 1"),
        ("for everybody\nrefuse now", "refuse takes no argument", ""),
        ("for everybody\nrefuse\nrate 1", "/p:3: a rule with refuse has nothing else", ""),
        ("for everybody\nrate 1\nrefuse", "/p:3: a rule with refuse has nothing else", ""),
        ("for everybody\n" * (policy.MOST_RULES + 1), "more than 10000 rules", ""),
    ],
)
def test_a_fault_is_told_with_its_line(text: str, fault: str, hint: str) -> None:
    with pytest.raises(ConfigFailure) as raised:
        rules(text)
    assert fault in raised.value.message
    assert hint in (raised.value.hint or "")


WORDS = st.sampled_from(
    [
        *("for", "user", "group", "auth", "everybody", "unknown", ",", *policy.SETTINGS),
        *("joe", "1-5", "%U@%M", "*", "*@example.org", "30/hour", "7", "#", "%", "²", "\0"),
    ]
)
LINES = st.lists(st.lists(WORDS | st.text(max_size=6), max_size=5).map(" ".join), max_size=12).map("\n".join)


@given(LINES | st.text(max_size=300))
def test_any_text_is_a_policy_or_a_fault_with_a_line(text: str) -> None:
    try:
        found = rules(text)
    except ConfigFailure as failure:
        assert str(failure).startswith("/p:")  # noqa: PT017 - or there is no failure
        return
    assert len(found.rules) == sum(line.split()[:1] == ["for"] for line in text.split("\n"))
    for person in (JOE, NAMELESS, SCANNER, STRANGER):
        rule = found.rule_for(person)
        if rule:
            assert all(pattern == "*" or "@" in pattern for pattern in rule.patterns(person, HOST))
            rule.allows("joe@host.example", person, HOST)


# -- which addresses


@pytest.mark.parametrize(
    ("said", "person", "address", "allowed"),
    [
        ("", JOE, "joe@host.example", True),
        ("", JOE, "joe@HOST.Example", True),
        ("", JOE, "Joe@host.example", False),
        ("", JOE, "joe", True),
        ("", JOE, "root", False),
        ("", JOE, "root@host.example", False),
        ("", JOE, "joe@host.example.evil.example", False),
        ("", JOE, "joe@evil.example", False),
        ("", SCANNER, "scanner@host.example", True),
        ("", NAMELESS, "@host.example", False),
        ("", NAMELESS, "4242@host.example", False),
        ("from *", NAMELESS, "a@b", True),
        ("from *@example.org", JOE, "a@example.org", True),
        ("from *@example.org", JOE, "a@sub.example.org", False),
        ("from *@example.org", JOE, '"x@y"@example.org', True),
        ("from *@example.org", JOE, "a@example.org@evil.example", False),
        ("from *@*.example.org", JOE, "a@sub.example.org", True),
        ("from j*@example.org", JOE, "j@evil.example@example.org", True),  # its domain is what counts
        ("from %U+*@%M", JOE, "joe+list@host.example", True),
        ("from %U+*@%M", JOE, "ann+list@host.example", False),
        ("from 100%%@%M", JOE, "100%@host.example", True),
        ("from %U@%H", JOE, "joe@host", True),
        ("from %U@%H", JOE, "joe@host.intra.example", True),
        ("from %U@%H", JOE, "joe@host.evil.example", False),
        ("from %U@%H", JOE, "root@host", False),
        ("from %U@%H", NAMELESS, "4242@host", False),
        ("from 100%%H@%M", JOE, "100%H@host.example", True),
        ("from a@b c@d", JOE, "c@d", True),
        ("from a@b c@d", JOE, "joe@host.example", False),
        ("from *@example.org", JOE, "a" * 2000 + "@example.org", False),
    ],
)
def test_which_addresses_may_be_used(said: str, person: Person, address: str, *, allowed: bool) -> None:
    (rule,) = rules(f"for everybody\n{said}").rules
    assert rule.allows(address, person, HOST) == allowed


def test_no_address_is_named_twice() -> None:
    (rule,) = rules("for everybody\nfrom %U@%M %U@%H 9%%H@x").rules
    assert rule.patterns(JOE, HOST) == ["joe@host.example", "joe@host", "joe@host.intra.example", "9%H@x"]
    assert rule.patterns(JOE, policy.Machine("m")) == ["joe@m"]


@given(st.text(st.sampled_from("ab*?[]!\\-@."), min_size=1, max_size=6))
def test_wildcards_in_a_name_are_no_wildcards(name: str) -> None:
    (rule,) = rules("for everybody").rules
    person = Person(USER, name, 7)
    assert rule.allows(f"{name}@{HOST.mail}", person, HOST)
    assert not rule.allows(f"x{name}@{HOST.mail}", person, HOST)
    assert not rule.allows(f"root@{HOST.mail}", person, HOST)


def test_quotes_make_no_other_address() -> None:
    assert plainly(b'"joe"@x') == plainly(b"joe@x") == "joe@x"
    assert plainly(b'"a b"@x') == '"a b"@x'
    assert fits("joe@x", plainly(b'"jo\\e"@X'), "x")


# -- how often


def taken(buckets: Buckets, text: str, times: list[float], person: Person = JOE) -> list[bool]:
    rule = rules(f"for everybody\nrate {text}").rules[0]
    return [buckets.take(rule, person, now) == 0 for now in times]


def test_a_bucket_empties_and_fills_as_time_goes() -> None:
    assert taken(Buckets(), "3", [0, 0, 0, 0, 19, 20, 21, 40, 60]) == [True] * 3 + [
        False,
        False,
        True,
        False,
        True,
        True,
    ]


def test_the_wait_that_is_told_is_enough() -> None:
    rule, buckets = rules("for everybody\nrate 7/hour").rules[0], Buckets()
    while not (wait := buckets.take(rule, JOE, 5.0)):
        pass
    assert 0 < wait <= 3600 / 7
    assert buckets.take(rule, JOE, 5.0 + wait) == 0


def test_each_has_a_bucket_of_its_own() -> None:
    buckets = Buckets()
    for person in (JOE, ROOT, NAMELESS, SCANNER, STRANGER):
        assert taken(buckets, "1", [0, 0], person) == [True, False]
    assert len({each.key for each in (JOE, ROOT, NAMELESS, SCANNER, STRANGER)}) == 5


def test_without_a_rate_nothing_is_remembered() -> None:
    buckets = Buckets()
    rule = rules("for everybody").rules[0]
    assert [buckets.take(rule, JOE, 0.0) for _ in range(1000)] == [0] * 1000
    assert not len(buckets)


@given(st.integers(1, 50), st.lists(st.floats(0, 30), max_size=150))
def test_never_more_than_the_rate_beyond_the_first_burst(rate: int, pauses: list[float]) -> None:
    buckets, now, times = Buckets(), 0.0, []
    rule = rules(f"for everybody\nrate {rate}").rules[0]
    for pause in pauses:
        now += pause
        if not buckets.take(rule, JOE, now):
            times.append(now)
    for at, first in enumerate(times):
        assert sum(1 for each in times[at:] if each < first + 60) <= 2 * rate


def test_the_memory_for_buckets_is_limited_and_the_emptiest_are_kept() -> None:
    buckets = Buckets()
    slow = rules("for everybody\nrate 1/day").rules[0]
    fast = rules("\nfor everybody\nrate 1000000").rules[0]
    assert buckets.take(slow, JOE, 0.0) == 0
    for number in range(3 * policy.MOST_BUCKETS):
        buckets.take(fast, Person(USER, "", number), 0.0)
    assert len(buckets) <= policy.MOST_BUCKETS
    assert buckets.take(slow, JOE, 1.0) > 0


def test_persons_in_words() -> None:
    assert [str(each) for each in (JOE, NAMELESS, SCANNER, STRANGER)] == [
        "user joe",
        "the user with number 4242",
        "scanner (who gave the password)",
        "somebody unknown",
    ]
