"""The command line is taken apart as getopt_long(3) does it, and sendmail's ways to call it are understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.config.command_line import CommandLine, parse
from msmtp.config.options import MUST, NONE, OPTIONS, OWN
from msmtp.exits import EX_USAGE
from msmtp.failures import UsageFailure


def line(*words: str, program: str = "msmtp") -> CommandLine:
    return parse([program, *words])


def fault(*words: str, program: str = "msmtp") -> UsageFailure:
    with pytest.raises(UsageFailure) as caught:
        line(*words, program=program)
    assert caught.value.exit_code == EX_USAGE
    return caught.value


def outcome(*words: str) -> object:
    """What the words mean, or what is wrong with them."""
    try:
        found = line(*words)
    except UsageFailure as failure:
        return failure.message
    return {name: getattr(found, name) for name in CommandLine.__slots__}


# -- getopt


def test_options_may_stand_before_and_after_recipients() -> None:
    found = line("a@b", "-t", "c@d", "--tls", "e@f", "-f", "g@h")
    assert found.recipients == ["a@b", "c@d", "e@f"]
    assert found.read_recipients
    assert found.settings == {"tls": True}
    assert found.sender == "g@h"


def test_two_dashes_end_the_options() -> None:
    assert line("-t", "--", "-P", "--tls", "--").recipients == ["-P", "--tls", "--"]


def test_a_single_dash_is_a_recipient() -> None:
    assert line("-", "a@b").recipients == ["-", "a@b"]


@pytest.mark.parametrize("words", [["-tPfme@x"], ["-t", "-P", "-f", "me@x"], ["-tP", "-fme@x"], ["-tPf", "me@x"]])
def test_short_options_may_stand_together(words: list[str]) -> None:
    found = line(*words)
    assert (found.read_recipients, found.pretend, found.sender) == (True, True, "me@x")


@pytest.mark.parametrize("words", [["--port=26"], ["--port", "26"], ["--por", "26"], ["--po=26"]])
def test_a_long_option_takes_its_argument_from_either_side(words: list[str]) -> None:
    assert line("a@b", *words).settings == {"port": 26}


def test_an_argument_that_may_be_there_is_attached() -> None:
    assert line("--tls", "off").settings == {"tls": True}
    assert line("--tls=off", "a@b").settings == {"tls": False}


def test_the_last_of_two_options_counts() -> None:
    found = line("-P", "--port=1", "--port=2", "-a", "x", "-a", "y", "-f", "a", "-f", "b", "-C", "c", "-C", "d")
    assert (found.settings, found.account, found.sender, found.file) == ({"port": 2}, "y", "b", "d")


LONG = [row for row in OPTIONS if row.long]


@pytest.mark.parametrize("row", LONG, ids=repr)
def test_a_long_option_may_be_cut_short_while_it_is_unique(row: object) -> None:
    assert row in LONG
    name: str = row.long  # type: ignore[attr-defined]
    others = [other.long for other in LONG if other is not row and other.note != OWN]
    value = {"port": "1", "size": "1", "seconds": "1", "conditions": "never", "fingerprint": ":".join(["00"] * 16)}
    for length in range(1, len(name) + 1):
        cut = name[:length]
        if any(other.startswith(cut) for other in others) and cut != name:
            continue
        words = [f"--{cut}"]
        if row.argument == MUST:  # type: ignore[attr-defined]
            words.append(value.get(row.kind) or next(iter(row.words or ["x"])))  # type: ignore[attr-defined]
        assert outcome("-P", *words) == outcome("-P", f"--{name}", *words[1:])


def test_options_of_our_own_leave_the_old_abbreviations_alone() -> None:
    assert line("-P", "--pa=true").settings == {"passwordeval": "true"}
    assert line("-P", "--m=example.org").settings == {"maildomain": "example.org"}
    assert line("-P", "--part").settings == {"partial_recipients": True}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--foo"], "unrecognized option '--foo'"),
        (["--foo=bar"], "unrecognized option '--foo=bar'"),
        (["---x"], "unrecognized option '---x'"),
        (["--host"], "option '--host' requires an argument"),
        (["--ho"], "option '--host' requires an argument"),
        (["--help=3"], "option '--help' doesn't allow an argument"),
        (["--read-r=x"], "option '--read-recipients' doesn't allow an argument"),
        (["--f", "x"], "option '--f' is ambiguous; possibilities: '--file' '--from'"),
        (["--tls-c=x"],
         "option '--tls-c=x' is ambiguous; possibilities: '--tls-crl-file' '--tls-cert-file' '--tls-certcheck'"),
        (["-z"], "invalid option -- 'z'"),
        (["-Pz"], "invalid option -- 'z'"),
        (["-é"], "invalid option -- 'é'"),
        (["-f"], "option requires an argument -- 'f'"),
        (["-tf"], "option requires an argument -- 'f'"),
        (["--tls=maybe"], "invalid argument maybe for --tls"),
        (["--tls="], "invalid argument  for --tls"),
        (["--port="], "invalid argument  for --port"),
        (["--port=65536"], "invalid argument 65536 for --port"),
        (["-N", "x"], "invalid argument x for --dsn-notify"),
        (["-R", ""], "invalid argument  for --dsn-return"),
        (["-bx"], "unsupported operation mode bx"),
        (["-bmm"], "unsupported operation mode bmm"),
        (["-a", "x", "--host=y"], "cannot use both --host and --account"),
        (["-f", "x", "--read-envelope-from"], "cannot use both --from and --read-envelope-from"),
        (["-r", "x", "--read-envelope-from"], "cannot use both --from and --read-envelope-from"),
        (["-S", "--rmqs=x"], "cannot use both --serverinfo and --rmqs"),
        (["-S", "a@b"], "too many arguments"),
        (["--rmqs=x", "a@b"], "too many arguments"),
        ([], "no recipients found"),
        (["--tls"], "no recipients found"),
        # The first mistake is the one that is said.
        (["--help", "--foo"], "unrecognized option '--foo'"),
        (["-z", "--port=x"], "invalid option -- 'z'"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_as_getopt_says_it(words: list[str], message: str) -> None:
    assert fault(*words).message == message


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--tlls"], "did you mean '--tls'?"),
        (["--reciepients"], ""),
        (["--tls_starttls=on"], "did you mean '--tls-starttls'?"),
        (["--auth=scram"], "'scram-sha-256'"),
        (["--auth=logn"], "did you mean 'login'?"),
        (["--timeout=5s"], "a number of seconds"),
        (["-bx"], "-bs"),
    ],
)
def test_a_mistake_is_said_with_what_would_be_right(words: list[str], hint: str) -> None:
    assert hint in fault(*words).hint


# -- values


@pytest.mark.parametrize(
    ("word", "attribute", "value"),
    [
        ("--host=x", "host", "x"),
        ("--source-ip=", "source_ip", ""),
        ("--proxy-port=", "proxy_port", 0),
        ("--timeout=off", "timeout", 0),
        ("--connect-timeout=5", "timeout", 5),
        ("--auth", "auth", "on"),
        ("--auth=", "auth", "on"),
        ("--auth=off", "auth", ""),
        ("--auth=plain", "auth", "plain"),
        ("--tls-fingerprint=", "tls_fingerprint", b""),
        ("--tls-trust-file=", "tls_trust_file", ""),
        ("--domain=", "domain", ""),
        ("--set-from-header", "set_from_header", "auto"),
        ("--set-to-header", "set_to_header", "on"),
        ("--undisclosed-recipients", "set_to_header", "undisclosed_recipients"),
        ("--keepbcc", "remove_bcc_headers", False),
        ("--add-missing-date-header=off", "set_date_header", "off"),
        ("--syslog=LOG_MAIL", "syslog", "LOG_MAIL"),
        ("-Nnever", "dsn_notify", "NEVER"),
        ("-Rhdrs", "dsn_return", "HDRS"),
        ("-Rfull", "dsn_return", "FULL"),
        ("-FJoe Doe", "from_full_name", "Joe Doe"),
        ("-X/dev/null", "logfile", "/dev/null"),
        ("--partial-recipients", "partial_recipients", True),
        ("--missing-extension=send", "missing_extension", "send"),
        ("--exit-codes=upstream", "exit_codes", "upstream"),
    ],
)
def test_a_value_is_stored_as_account_has_it(word: str, attribute: str, value: object) -> None:
    assert line("-P", word).settings == {attribute: value}


@pytest.mark.parametrize("words", [["-f", "a@b"], ["-ra@b"], ["--from=a@b"]])
def test_the_sender_can_be_said_in_three_ways(words: list[str]) -> None:
    assert line("-t", *words).sender == "a@b"


@pytest.mark.parametrize("words", [["-f", "<>"], ["-f", ""], ["-r", "<>"], ["--from="]])
def test_the_null_sender_is_not_no_sender(words: list[str]) -> None:
    assert line("-t", *words).sender == ""
    assert line("-t").sender is None


def test_what_sendmail_needs_and_msmtp_does_not_is_taken_and_forgotten() -> None:
    words = ["-Ac", "-B8BITMIME", "-bm", "-G", "-h3", "-i", "-L", "tag", "-m", "-n", "-O", "x=y", "-oi", "-oem", "-U"]
    found = line(*words, "a@b")
    assert (found.recipients, found.settings, found.mode) == (["a@b"], {}, "sendmail")


def test_sendmail_s_envelope_identifier_is_kept() -> None:
    assert line("-V", "id 1", "a@b").envelope_id == "id 1"
    assert line("a@b").envelope_id is None


def test_recipients_with_words_of_their_own_are_recipients() -> None:
    found = line("--rcpt=<a@b> NOTIFY=NEVER", "--rcpt", "<c@d>", "--smtputf8", "--dsn-if-offered", "--literal-from")
    assert found.rcpts == ["<a@b> NOTIFY=NEVER", "<c@d>"]
    assert (found.recipients, found.smtputf8, found.dsn_if_offered, found.literal_sender) == ([], True, True, True)
    with pytest.raises(UsageFailure, match="too many arguments"):
        line("-S", "--rcpt=<a@b>")


@pytest.mark.parametrize("end", ["\n", "\r"])
@pytest.mark.parametrize(
    "words", [["--rcpt=<a@b> NOTIFY=NEVER{}X"], ["a@b{}To: c@d"], ["a@b", "-f", "c@d{}"], ["-t", "x@y", "--", "{}"]]
)
def test_a_line_end_in_an_address_is_refused(end: str, words: list[str]) -> None:
    assert "contains a line end" in fault(*(word.replace("{}", end) for word in words)).message


# -- modes


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        (["a@b"], "sendmail"),
        (["-t"], "sendmail"),
        (["-P"], "sendmail"),
        (["-bm", "a@b"], "sendmail"),
        (["-bs"], "bs"),
        (["-b", "p"], "bp"),
        (["-bi"], "bi"),
        (["-bd"], "bd"),
        (["-bd", "-q30m"], "bd"),
        (["-bt"], "bt"),
        (["-bv", "a@b"], "bv"),
        (["-q"], "q"),
        (["-q30m"], "q"),
        (["-S"], "serverinfo"),
        (["--rmqs=#queue"], "rmqs"),
        (["--rmqs="], "rmqs"),
        (["--configure=a@b"], "configure"),
        (["--configure=a@b", "-S", "x"], "configure"),
        (["--version"], "version"),
        (["--version", "--help"], "version"),
        (["--help", "--version"], "version"),
        (["--help", "-S", "x"], "help"),
        (["-d0.1"], "version"),
        (["-d0", "-t"], "sendmail"),
    ],
)
def test_options_choose_the_mode(words: list[str], mode: str) -> None:
    assert line(*words).mode == mode


@pytest.mark.parametrize(
    ("program", "words", "mode"),
    [
        ("/usr/sbin/sendmail", ["a@b"], "sendmail"),
        ("/usr/bin/mailq", [], "bp"),
        ("newaliases", [], "bi"),
        ("mailq", ["-bm", "a@b"], "sendmail"),
        ("mailq", ["--version"], "version"),
        ("mailq", ["-q"], "q"),
    ],
)
def test_the_name_of_the_program_chooses_the_mode_if_no_option_does(program: str, words: list[str], mode: str) -> None:
    found = line(*words, program=program)
    assert (found.mode, found.program) == (mode, program.rpartition("/")[2])


@pytest.mark.parametrize("word", ["-d", "-v", "--debug", "--debug=3", "-d0"])
def test_debugging_can_be_asked_for_in_many_ways(word: str) -> None:
    assert line("-t", word).debug


@pytest.mark.parametrize(("words", "interval"), [(["-q"], ""), (["-q1h"], "1h"), (["-t"], None)])
def test_the_queue_is_run_once_or_every_so_often(words: list[str], interval: str | None) -> None:
    assert line(*words).queue_interval == interval


def test_modes_without_a_mail_say_so() -> None:
    assert all(line(*words).sends for words in (["-t"], ["-P"], ["-bs"]))
    assert not any(line(*words).sends for words in (["-S"], ["--rmqs=x"]))


def test_a_command_line_shows_no_more_than_it_must() -> None:
    assert repr(line("a@b", "--passwordeval=echo geheim")) == "CommandLine('sendmail', ['a@b'])"


# -- whatever is written

NAMES = [f"--{row.long}" for row in LONG] + [f"-{row.short}" for row in OPTIONS if row.short]
WORD = (
    st.sampled_from(NAMES)
    | st.tuples(st.sampled_from(NAMES), st.sampled_from(["=", ""]), st.text(max_size=8)).map("".join)
    | st.sampled_from(["--", "-", "on", "off", "a@b", "", "-bm", "=", "--="])
    | st.text(max_size=12)
)


@given(st.lists(WORD, max_size=8))
def test_a_command_line_is_understood_or_refused_and_nothing_else_happens(words: list[str]) -> None:
    found = outcome(*words)
    if isinstance(found, dict):
        assert found["mode"]
        assert set(found["recipients"]) <= set(words)
    else:
        assert found  # the message


@given(st.permutations([["-t"], ["--tls"], ["a@b"], ["-f", "c@d"], ["--port=26"], ["--user", "-x"]]))
def test_the_order_of_options_does_not_matter(groups: list[list[str]]) -> None:
    found = line(*(word for group in groups for word in group))
    assert found.settings == {"tls": True, "port": 26, "user": "-x"}
    assert (found.recipients, found.sender, found.read_recipients) == (["a@b"], "c@d", True)


@pytest.mark.parametrize("row", [row for row in OPTIONS if row.long and row.argument == NONE], ids=repr)
def test_no_argument_means_no_argument(row: object) -> None:
    assert "doesn't allow an argument" in fault(f"--{row.long}=x").message  # type: ignore[attr-defined]
