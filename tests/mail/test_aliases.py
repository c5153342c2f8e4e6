"""The aliases file: what it may say, what it means, and how it is told what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.scripted import Polite, ScriptedServer
from tests.support.upstream import run_upstream

from msmtp.failures import ConfigFailure, Failure
from msmtp.mail.aliases import parse_aliases

TEXTS = st.lists(
    st.sampled_from([b"root", b"default", b"a", b":", b",", b" ", b"\n", b"x@y", b"#", b"|", b'"', b"\0", b"\xff"]),
    max_size=30,
).map(b"".join)
MANUAL = b"""# Example aliases file

# Send root to Joe and Jane
root: joe_smith@example.com, jane_chang@example.com

# Send cron to Mark
cron: mark_jones@example.com

# Send everything else to admin
default: admin@domain.example
"""


def expand(text: bytes, *recipients: bytes) -> list[bytes]:
    return parse_aliases(text, "aliases").expand(list(recipients))


def test_the_example_of_the_manual() -> None:
    assert expand(MANUAL, b"cron", b"x@y", b"root", b"joe") == [
        b"mark_jones@example.com",
        b"x@y",
        b"joe_smith@example.com",
        b"jane_chang@example.com",
        b"admin@domain.example",
    ]


@pytest.mark.parametrize(
    ("text", "recipients", "expected"),
    [
        (b"", [b"root"], [b"root"]),
        (b"root: foo\nfoo: a@b\n", [b"root"], [b"a@b"]),
        (b"root: a@b\nfoo: c@d\n", [b"root", b"foo"], [b"a@b", b"c@d"]),
        (b"root: a@b\nfoo: c@d\n", [b"foo", b"root"], [b"c@d", b"a@b"]),
        (b"root: foo\n", [b"root"], [b"foo"]),
        (b"default: a@b\nroot: q\n", [b"root"], [b"a@b"]),
        (b"default: foo\nfoo: e@f\n", [b"bar"], [b"e@f"]),
        (b"  root : a@b # c\r\n\r\n", [b"root"], [b"a@b"]),
        (b"root: a@b,, c@d ,", [b"root"], [b"a@b", b"c@d"]),
        (b'root: Joe Doe <a@b>, "c d"@e', [b"root"], [b"a@b", b'"c d"@e']),
        (b"a: x@y\nA: c@d\n", [b"A"], [b"c@d"]),
        (b"root: one, two\none: a@b\ntwo: a@b, c@d\n", [b"root", b"root"], [b"a@b", b"c@d"] * 2),
        (b'root: a@b\nnobody: /dev/null\nlist: ":include:/etc/list"\nprog: |cmd -x\n', [b"root"], [b"a@b"]),
    ],
)
def test_expansion(text: bytes, recipients: list[bytes], expected: list[bytes]) -> None:
    assert expand(text, *recipients) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\nroot a@b\n", "aliases: line 2: single ':' delimiter expected"),
        (b"root: a@b: c\n", "aliases: line 1: single ':' delimiter expected"),
        (b": a@b\n", "aliases: line 1: invalid alias ''"),
        (b"x@y: a@b\n", "aliases: line 1: invalid alias 'x@y'"),
        (b"root x: a@b\n", "aliases: line 1: invalid alias 'root x'"),
        (b"ro\0ot: a@b\n", "aliases: line 1: invalid alias 'ro\\x00ot'"),
        (b"a: a@b\n#\na: c@d\n", "aliases: line 3: duplicate alias 'a'"),
        (b"root:\n", "aliases: line 1: alias 'root' has no addresses"),
        (b"root: ,\n", "aliases: line 1: alias 'root' has no addresses"),
        (b"x: a@b\nroot: root\n", "aliases: line 2: too many redirects when expanding alias root"),
        (b"root: foo\nfoo: root, a@b\n", "aliases: line 1: too many redirects when expanding alias root"),
        (b"default: root\n", "aliases: line 1: too many redirects when expanding alias root"),
        (b"root: nobody\nnobody: /dev/null\n", "aliases: line 2: alias nobody leads to /dev/null"),
        (b'root: a@b, "|prog x"\n', 'aliases: line 1: alias root leads to "|prog x"'),
        (b"root: :include:/etc/list\n", "aliases: line 1: alias root leads to :include:/etc/list"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(text: bytes, message: str) -> None:
    with pytest.raises(ConfigFailure) as caught:
        expand(text, b"root")
    assert caught.value.message == message


def chain(length: int) -> bytes:
    return b"".join(b"a%d: a%d\n" % (step, step + 1) for step in range(length - 1)) + b"a%d: z@z\n" % (length - 1)


def test_a_chain_has_seventeen_steps_at_most() -> None:
    assert expand(chain(17), b"a0") == [b"z@z"]
    with pytest.raises(ConfigFailure, match="too many redirects"):
        expand(chain(18), b"a0")


def test_aliases_that_multiply_take_no_time() -> None:
    text = b"".join(b"a%d: a%d, b%d\nb%d: a%d, b%d\n" % ((step, step + 1, step + 1) * 2) for step in range(16))
    assert expand(text + b"a16: x@y\nb16: x@z\n", b"a0") == [b"x@y", b"x@z"]


@given(TEXTS)
def test_no_file_gives_anything_but_addresses_or_a_failure(text: bytes) -> None:
    expanded, failure = outcome(text, b"root", b"x@y")
    if failure:
        assert failure.message.startswith("aliases: line ")
        assert failure.message.isprintable()
    else:
        assert expanded[-1] == b"x@y"


def outcome(text: bytes, *recipients: bytes, file: str = "aliases") -> tuple[list[bytes], Failure | None]:
    try:
        return parse_aliases(text, file).expand(list(recipients)), None
    except Failure as failure:
        return [], failure


@pytest.mark.parametrize(
    "text",
    [
        b"root: a@b\n",
        b"\nroot a@b\n",
        b"root: a@b: c\n",
        b": a@b\n",
        b"a: a@b\na: c@d\n",
        b"root: foo\nfoo: root\n",
        chain(17).replace(b"a0:", b"root:"),
        chain(18).replace(b"a0:", b"root:"),
    ],
)
def test_the_c_program_says_the_same(text: bytes, tmp_path: Path) -> None:
    """But for the line, which it leaves out where aliases lead in circles."""
    file = tmp_path / "aliases"
    file.write_bytes(text)
    with ScriptedServer(Polite()) as server:
        done = run_upstream(["--host=127.0.0.1", f"--port={server.port}", "-f", "s@x", f"--aliases={file}", "root"])
    expanded, failure = outcome(text, b"root", file=str(file))
    if failure:
        assert done.returncode == failure.exit_code
        said = done.stderr.decode().strip().rstrip(".").lower()
        assert said in {f"msmtp: {failure.message}", f"msmtp: {failure.message.replace('line 1: ', '')}"}
    else:
        assert [recipient[1:-1] for recipient in server.sessions[0].mails[0].recipients] == expanded
