"""netrc files, compared with the C program where it has a sound opinion."""

from __future__ import annotations

import base64
import netrc as python_netrc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.scripted import Polite, ScriptedServer
from tests.support.upstream import run_upstream

from msmtp.credentials.netrc import entries, find_password, read_password

HOST, USER = b"127.0.0.1", b"joe"
M = b"machine 127.0.0.1 "

# The file, the password that joe gets, and why the C program (1.8.23) gets another one; "" if it does not.
CORPUS = [
    (M + b"login joe password pw\n", b"pw", ""),
    (M + b"\n  login joe\n\tpassword pw", b"pw", ""),
    (M + b"login ann password x\n" + M + b"login joe password pw", b"pw", ""),
    (M + b"login ann password x\n", None, ""),
    (M + b"password spare\n", b"spare", "later versions do the same"),
    (M + b"password first\n" + M + b"login joe password second\n", b"second", ""),
    (M + b"login joe password second\n" + M + b"password first\n", b"second", ""),
    (M + b"password first\n" + M + b"password second\n", b"first", "later versions do the same"),
    (b"default login joe password pw\n", None, ""),
    (b"default password pw\n", None, ""),
    (b"default login joe password x\n" + M + b"login joe password pw\n", b"pw", ""),
    (b"machine other login joe password x " + M + b"login joe password pw", b"pw", ""),
    (M + b'login joe password "a b"\n', b"a b", ""),
    (M + b"login joe password 'a b'\n", b"a b", ""),
    (M + b'login joe password "a\\"b\\\\c"\n', b'a"b\\c', "a quoted quote has to be possible"),
    (M + b"login joe password 'a\\b\"'\n", b'a\\b"', ""),
    (M + b"login joe password a\\b\\\\\n", b"a\\b\\\\", ""),
    (M + b'login joe password a"b\n', b'a"b', "a quote inside a word is a character"),
    (M + b'login joe password "unclosed\n', b"unclosed", ""),
    (M + b'login joe password "un closed\n account x\n', b"un closed", "a quote does not reach beyond its line"),
    (M + b'login joe password "a"b\n', b"ab", ""),
    (M + b'login joe password ""\n', None, "an empty password is none"),
    (M + b'login "joe" password pw\n', b"pw", ""),
    (b'machine "127.0.0.1" login joe password pw\n', b"pw", ""),
    (M + b"login joe account acc password pw\n", b"pw", ""),
    (M + b"login joe password pw account acc\n", b"pw", ""),
    (b"# comment machine 127.0.0.1 login joe password no\n" + M + b"login joe password pw\n", b"pw", ""),
    (M + b"login joe # c\n password pw\n", b"pw", ""),
    (M + b"login joe password #pw\n", b"#pw", "it crashes"),
    (M + b"login joe password p#w\n", b"p#w", ""),
    (M + b"login joe # no line end", None, "it crashes"),
    (M + b"login joe password pw\nmacdef init\ncd /x\nls\n\nmachine b login joe password c\n", b"pw", ""),
    (b"macdef init\n" + M + b"login joe password bad\n\n" + M + b"login joe password pw\n", b"pw", ""),
    (b"macdef init\n" + M + b"login joe password bad\n", None, ""),
    (M + b"login joe password\n", None, "it crashes"),
    (M + b"login joe\n", None, "it crashes"),
    (b"machine", None, "it crashes"),
    (b"", None, ""),
    (M + b"login joe user ann password pw\n", None, ""),
    (M + b"login joe password pw password pw2\n", b"pw2", ""),
    (M + b"login joe passwd pw\n", b"pw", ""),
    (b"MACHINE 127.0.0.1 LOGIN joe PASSWORD pw\n", None, ""),
    (M + b"password pw login joe\n", b"pw", ""),
    (M + b"login joe password pw\r\n", b"pw", ""),
    (M + b"login joe password pw bogus words " + M + b"login joe password pw2", b"pw", ""),
    (M + b"login joe password pw port 25\n", b"pw", ""),
    (M + b"login JOE password pw\n", None, ""),
    (M + b"login joe password pw,x\n", b"pw,x", ""),
    (M + b"login joe password \xc3\xa9\xff\n", b"\xc3\xa9\xff", ""),
]


@pytest.mark.parametrize(("text", "password", "_why"), CORPUS, ids=repr)
def test_the_password_in_a_file(text: bytes, password: bytes | None, _why: str) -> None:
    assert find_password(text, HOST, USER) == password


def test_the_c_program_finds_the_same(home: Path) -> None:
    home.joinpath(".msmtprc").touch()
    wrong = []
    with ScriptedServer(Polite(mechanisms=("PLAIN",), replies={"AUTH": "235 ok"})) as server:
        for text, password, why in CORPUS:
            if why:
                continue
            home.joinpath(".netrc").write_bytes(text)
            before = len(server.sessions)
            run_upstream(
                ["--host=127.0.0.1", f"--port={server.port}", "-f", "s@x", "--auth=plain", "--user=joe", "r@x"], b"\n"
            )
            if (seen := _plain_password(server, before)) != password:
                wrong.append((text, password, seen))
    assert not wrong


def _plain_password(server: ScriptedServer, before: int) -> bytes | None:
    said = server.sessions[before].transcript.client if len(server.sessions) > before else b""
    commands = [line for line in said.split(b"\r\n") if line.startswith(b"AUTH PLAIN ")]
    return base64.b64decode(commands[0].split()[2]).split(b"\0")[2] if commands else None


def test_hosts_are_compared_without_regard_to_case_and_sockets_exactly() -> None:
    text = b"machine Mail.Example login joe password a machine /run/Sock login joe password b"
    assert find_password(text, b"mail.EXAMPLE", USER) == b"a"
    assert find_password(text, b"/run/Sock", USER) == b"b"
    assert find_password(text, b"/run/sock", USER) is None


def test_a_default_entry_is_nobodys_even_without_a_host() -> None:
    assert find_password(b"default login joe password pw", b"", USER) is None


@given(st.binary(max_size=80))
def test_no_file_is_too_odd(text: bytes) -> None:
    for entry in entries(text):
        assert set(entry) <= {b"machine", b"login", b"password"}


WORDS = st.text("abc\\\"' #é", min_size=1, max_size=6)


def quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=4))
def test_what_is_quoted_comes_back(rows: list[tuple[str, str, str]]) -> None:
    text = "\n".join(f"machine {quoted(a)} login {quoted(b)} password {quoted(c)}" for a, b, c in rows)
    found = [(entry[b"machine"], entry[b"login"], entry[b"password"]) for entry in entries(text.encode()) if entry]
    assert found == [tuple(word.encode() for word in row) for row in rows]


def test_python_reads_the_same_from_an_ordinary_file(tmp_path: Path) -> None:
    file = tmp_path / "netrc"
    file.write_text('machine a.example login joe password pw\nmachine b.example\n login ann\n password "p w"\n')
    theirs = python_netrc.netrc(str(file))
    for host, user in (("a.example", "joe"), ("b.example", "ann")):
        secret = read_password(str(file), host, user)
        assert secret is not None
        assert secret.reveal().decode() == theirs.authenticators(host)[2]  # type: ignore[index]


def test_a_file_need_not_exist(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert read_password(str(tmp_path / "netrc"), "h", "u") is None
    assert read_password(str(tmp_path / "file" / "netrc"), "h", "u") is None
    assert read_password(str(tmp_path / "file"), "h", "u") is None


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_password(str(tmp_path), "h", "u")
