"""Channels carry messages of a fixed shape, and nothing else."""

import os
import resource
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msmtp.daemon import channel, requests
from msmtp.daemon.channel import MANY, NUMBER, OCTETS, Channel, ChannelGone, ChannelShort, decode, encode
from msmtp.daemon.requests import AUTH_SESSION, COMMIT, CONNECTION, ENVELOPE, FILE, NOTE, RECIPIENT, REQUESTS
from msmtp.failures import ChannelFailure


@pytest.fixture
def ends():
    one, other = map(Channel, channel.pair())
    yield one, other
    one.close()
    other.close()


def values_of(request):
    kinds = {
        NUMBER: lambda _limit: st.integers(0, (1 << 64) - 1),
        OCTETS: lambda limit: st.binary(max_size=min(limit, 100)),
        MANY: lambda limit: st.lists(st.binary(max_size=min(limit, 50)), max_size=5),
    }
    return st.tuples(*[kinds[kind](limit) for _, kind, limit in request.fields])


def test_every_request_has_a_number_of_its_own():
    assert len({row.number for row in REQUESTS.values()}) == len(REQUESTS)
    assert all(0 < row.number < 256 for row in REQUESTS.values())


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=lambda row: row.name)
def test_what_is_encoded_is_decoded(request_):
    @given(values_of(request_))
    def holds(values):
        row, read = decode(encode(request_, values), [request_])
        assert row is request_
        assert tuple(read.values()) == values

    holds()


@given(st.binary(max_size=300))
def test_anything_else_is_junk_and_never_another_exception(data):
    try:
        request, values = decode(data, REQUESTS.values())
    except ChannelFailure:
        return
    assert encode(request, tuple(values.values())) == data


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=lambda row: row.name)
def test_a_message_cut_or_with_junk_behind_is_junk(request_):
    values = {NUMBER: 7, OCTETS: b"octets", MANY: [b"a", b"bc"]}
    data = encode(request_, [values[kind] for _, kind, _ in request_.fields])
    for wrong in [data[:cut] for cut in range(len(data))] + [data + b"x"]:
        with pytest.raises(ChannelFailure):
            decode(wrong, [request_])


def test_a_message_that_is_not_permitted_now_is_junk(ends):
    one, other = ends
    one.send(COMMIT, 7)
    with pytest.raises(ChannelFailure):
        other.receive([RECIPIENT])


def test_lengths_beyond_the_row_are_refused_by_both_sides():
    with pytest.raises(ValueError, match="text"):
        encode(NOTE, [b"x" * 1025])
    longer = type(NOTE)(NOTE.number, "NOTE", "", "", (("text", OCTETS, 9_999),), 0, "", "")
    with pytest.raises(ChannelFailure):
        decode(encode(longer, [b"x" * 1025]), [NOTE])


@pytest.mark.parametrize("values", [(), (1, 2), (-1,), (1 << 64,), (b"x",)])
def test_the_wrong_number_or_kind_of_values_is_a_mistake_of_the_sender(values):
    with pytest.raises(ValueError, match="COMMIT"):
        encode(COMMIT, values)


def test_descriptors_come_along_and_close_on_exec(ends):
    one, other = ends
    reads, writes = os.pipe()
    one.send(CONNECTION, 1, 2, b"127.0.0.1", 25, 0, b"", descriptors=(reads, writes))
    message = other.receive([CONNECTION])
    assert len(message.descriptors) == 2
    assert not any(os.get_inheritable(number) for number in message.descriptors)
    os.write(message.descriptors[1], b"through")
    assert os.read(reads, 10) == b"through"
    message.close()
    os.close(reads)
    os.close(writes)


def raw(end, data, descriptors=()):
    """Send octets over a channel's descriptor without its rules."""
    copy = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, os.dup(end.fileno()))
    with copy:
        socket.send_fds(copy, [data], list(descriptors))


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("number", [1, 3, 5, 40])
def test_too_many_or_too_few_descriptors_are_junk_and_are_closed(ends, number):
    one, other = ends
    before = open_descriptors()
    raw(one, encode(CONNECTION, (1, 2, b"", 0, 0, b"")), [0] * number)
    with pytest.raises(ChannelFailure):
        other.receive([CONNECTION])
    assert open_descriptors() == before


def test_descriptors_that_there_is_no_room_for_cost_their_message_and_no_other(ends):
    one, other = ends
    raw(one, encode(CONNECTION, (1, 2, b"", 0, 0, b"")), [0, 0])
    raw(one, encode(COMMIT, (7,)))
    before, limits = open_descriptors(), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))
    filling = fill()
    try:
        with pytest.raises(ChannelShort):
            other.receive([CONNECTION])
    finally:
        for number in filling:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert open_descriptors() == before
    assert other.receive([COMMIT]).number("length") == 7


def fill():
    """Take all descriptors that there are to be had but one."""
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        os.close(taken.pop())
    return taken


def test_descriptors_where_none_belong_are_closed(ends):
    one, other = ends
    before = open_descriptors()
    raw(one, encode(COMMIT, (7,)), [0])
    with pytest.raises(ChannelFailure):
        other.receive([COMMIT])
    assert open_descriptors() == before


def test_a_message_that_is_too_large_is_junk(ends):
    one, other = ends
    raw(one, b"\1" * (channel.MESSAGE_LIMIT + 1))
    with pytest.raises(ChannelFailure, match="too large"):
        other.receive(REQUESTS.values())


def test_the_end_of_a_channel_is_told_from_junk(ends):
    one, other = ends
    one.close()
    with pytest.raises(ChannelGone):
        other.receive([COMMIT])
    with pytest.raises(ChannelGone):
        other.send(COMMIT, 1)


def test_a_message_of_no_octets_is_the_end(ends):
    """It cannot be told apart from it, and nobody of ours sends one."""
    one, other = ends
    raw(one, b"")
    with pytest.raises(ChannelGone):
        other.receive([COMMIT])


def test_a_channel_that_does_not_block_says_so(ends):
    one, other = ends
    other.set_blocking(False)
    one.set_blocking(False)
    with pytest.raises(BlockingIOError):
        other.receive([COMMIT])
    sent = 0
    with pytest.raises(BlockingIOError):  # noqa: PT012 - the last of many
        while one.send(COMMIT, 1) is None:
            sent += 1
    assert sent > 10


def test_a_message_does_not_print_its_values(ends):
    one, other = ends
    one.send(ENVELOPE, b"hello", 1, b"", b"secret user", b"a@b", [b"BODY=8BITMIME"])
    assert "secret" not in repr(other.receive([ENVELOPE]))


def test_what_does_not_fit_into_one_message_is_refused_by_the_sender():
    with pytest.raises(ValueError, match="too large"):
        encode(RECIPIENT, [b"a@b", [b"x" * 1000] * 70])


def test_the_largest_of_everything_fits():
    for row in REQUESTS.values():
        most = {
            NUMBER: lambda _limit: (1 << 64) - 1,
            OCTETS: lambda limit: b"x" * limit,
            MANY: lambda limit: [b"x" * limit] * 20,
        }
        assert encode(row, [most[kind](limit) for _, kind, limit in row.fields])


def test_requests_say_who_asks_whom():
    processes = {"keeper", "supervisor", "nursery", "worker", "auth", "delivery", "tls", "names", "next msmtp"}
    processes |= {"relay", "a service of its own"}
    written = (Path(__file__).parents[2] / "docs" / "requests.md").read_text()
    for row in REQUESTS.values():
        assert {*row.asker.split(", "), *row.asked.split(", ")} <= processes
        assert written.count(f"| {row.name} |") == len(row.asker.split(", "))
        assert row.when
        assert row.meaning
    assert {AUTH_SESSION.descriptors, FILE.descriptors} == {1, 2}
    assert requests.NOBODY == (1 << 64) - 1
