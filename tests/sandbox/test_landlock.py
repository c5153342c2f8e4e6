"""What is asked of the kernel's Landlock, for each version of its interface, and what is given back."""

from __future__ import annotations

import os
import struct

import pytest

from msmtp.sandbox import landlock


class Kernel:
    """A kernel with the given version of the interface; it keeps what it is asked."""

    def __init__(self, abi):
        self.abi = abi
        self.calls = []
        self.descriptors = []

    def call(self, name, number, *arguments):
        assert name == "syscall"
        if number == landlock.CREATE_RULESET and arguments[2]:
            return self.abi
        self.calls.append((number, *arguments))
        if number == landlock.CREATE_RULESET:
            self.descriptors.append(os.open("/", os.O_PATH))
            return self.descriptors[-1]
        return 0


@pytest.mark.parametrize(
    ("abi", "size", "files", "net", "scopes"),
    [
        (1, 8, 0x1FFF, 0, 0),
        (2, 8, 0x3FFF, 0, 0),
        (3, 8, 0x7FFF, 0, 0),
        (4, 16, 0x7FFF, 3, 0),
        (5, 16, 0xFFFF, 3, 0),
        (6, 24, 0xFFFF, 3, 3),
        (7, 24, 0xFFFF, 3, 3),
        (8, 24, 0xFFFF, 3, 3),
        (9, 24, 0x1FFFF, 3, 3),
        (12, 24, 0x1FFFF, 3, 3),
    ],
)
def test_every_right_that_the_version_knows_is_refused(abi, size, files, net, scopes):
    kernel = Kernel(abi)
    made, took = landlock.ruleset(kernel, [], [88])
    assert (made, took) == (kernel.descriptors[0], abi)
    landlock.restrict(kernel, made, took)
    os.close(made)
    create, *rules, restrict = kernel.calls
    attributes = create[1]
    assert (len(attributes), create[2]) == (size, size)
    assert struct.unpack("QQQ", attributes.ljust(24, b"\0")) == (files, net, scopes)
    ports = [struct.unpack("QQ", rule[3]) for rule in rules if rule[2] == landlock.NET_PORT]
    assert ports == ([(landlock.CONNECT_TCP, 88)] if abi >= 4 else [])
    assert restrict == (landlock.RESTRICT_SELF, kernel.descriptors[0], 8 if abi >= 8 else 0)


class KernelWithoutRules(Kernel):
    def call(self, name, number, *arguments):
        if number == landlock.ADD_RULE:
            raise OSError(22, "Invalid argument")
        return super().call(name, number, *arguments)


def test_a_ruleset_that_fails_is_closed_again():
    kernel = KernelWithoutRules(7)
    with pytest.raises(OSError, match="Invalid argument"):
        landlock.ruleset(kernel, [], [88])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(kernel.descriptors[0])


@pytest.mark.parametrize(
    ("abi", "scopes", "expected"),
    [(5, 3, b""), (7, 3, b"\3"), (7, landlock.ALL_SCOPES, b"\3"), (7, 1, b"\1"), (7, 0, b"")],
)
def test_scopes_may_be_left_open(abi, scopes, expected):
    kernel = Kernel(abi)
    os.close(landlock.ruleset(kernel, [], [], scopes)[0])
    assert kernel.calls[0][1][16:].rstrip(b"\0") == expected


def test_tcp_may_be_left_alone():
    kernel = Kernel(7)
    os.close(landlock.ruleset(kernel, [], None)[0])
    assert struct.unpack("QQQ", kernel.calls[0][1])[1] == 0


def test_what_is_given_back_on_a_path(tmp_path):
    file = tmp_path / "file"
    file.touch()
    kernel = Kernel(1)
    paths = [
        (str(tmp_path), landlock.READING),
        (str(file), landlock.READING),
        (str(tmp_path), landlock.WRITING),
        (str(tmp_path), landlock.RUNNING),
        ("/nowhere", 4),
    ]
    os.close(landlock.ruleset(kernel, paths, [])[0])
    rights = [struct.unpack("=Qi", rule[3])[0] for rule in kernel.calls[1:]]
    assert rights == [
        landlock.READ_FILE | landlock.READ_DIR,
        landlock.READ_FILE,  # a right about folders on a file is an error to the kernel
        landlock.WRITING & 0x1FFF,  # a right that this version does not know is one too
        landlock.READ_FILE | landlock.READ_DIR | 1,
    ]


def test_no_version_is_asked_for_more_than_it_takes():
    """On this machine's kernel, whatever its version, the ruleset is accepted."""
    child = os.fork()
    if not child:
        from msmtp.sandbox.libc import Library

        code = 1
        try:
            libc = Library()
            libc.call("prctl", 38, 1, 0, 0, 0)
            places = [("/etc", landlock.READING), ("/tmp", landlock.WRITING), ("/bin", landlock.RUNNING)]
            landlock.restrict(libc, *landlock.ruleset(libc, places, [25]))
            os.listdir("/etc")
            try:
                os.listdir("/usr")
            except PermissionError:
                code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
