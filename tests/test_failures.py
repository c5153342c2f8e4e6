"""What failures have in common: how foreign octets stand in their words; what a machine that is short is to blame for."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.failures import Failure, FileFailure, NetworkFailure, TlsFileFailure, shown


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"", ""),
        (b"plain 'text'", "plain 'text'"),
        ("jörg".encode(), "jörg"),
        (b"\x1b[31m\0\xff\r\n", r"\x1b[31m\x00\xff\r\n"),
        ("\u202eevil\u2028".encode(), r"\u202eevil\u2028"),
        (b"x" * 80, "x" * 80),
        (b"x" * 81, "x" * 80 + "..."),
        ("ö".encode() * 80, "ö" * 80),
        ("\U0001f4e8".encode() * 81, "\U0001f4e8" * 80 + "..."),
        (b"\xff" * 81, r"\xff" * 20 + "..."),
    ],
)
def test_foreign_octets_are_escaped_and_cut(octets, text):
    assert shown(octets) == text


@given(st.binary(max_size=400) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_what_is_shown_fits_on_a_line(octets):
    assert shown(octets).isprintable()
    assert len(shown(octets)) <= 83
    assert shown(octets, 0).isprintable()
    whole = shown(octets, 0)
    assert shown(octets) == (whole if len(whole) <= 80 else whole[:80] + "...")


def failing(kind: type[Failure], number: int, *, between: bool) -> None:
    """Raise as modules do: while an error of the system is handled, which is not shown."""
    try:
        try:
            refuse(number)
        except OSError as error:
            if between:
                raise ValueError from error
            raise kind("cannot read") from None
    except ValueError:
        raise kind("cannot read") from None


def refuse(number: int) -> None:
    raise OSError(number, os.strerror(number))


def raised(kind: type[Failure], number: int, *, between: bool = False) -> Failure:
    with pytest.raises(kind) as caught:
        failing(kind, number, between=between)
    return caught.value


@pytest.mark.parametrize("between", [False, True])
@pytest.mark.parametrize("kind", [FileFailure, TlsFileFailure])
def test_a_file_that_a_machine_without_memory_or_descriptors_cannot_read_may_be_read_later(kind, between):
    for number in (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN):
        failure = raised(kind, number, between=between)
        assert (failure.code, failure.temporary) == (71, True)
        assert failure.upstream_exit == kind.exit_code
    for number in (errno.ENOENT, errno.EACCES, errno.EIO):
        failure = raised(kind, number, between=between)
        assert (failure.code, failure.temporary) == (kind.exit_code, False)


def test_what_is_temporary_anyway_keeps_its_code_and_causes_in_a_circle_have_an_end():
    assert raised(NetworkFailure, errno.ENOMEM).code == 75
    circle = FileFailure("cannot read")
    circle.__cause__ = circle
    assert circle.code == 74
