"""The C library is called through ctypes' extension module or through ctypes, to the same effect, on every Python."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys

import pytest
from tests.support.inside import PYTHONS, REPOSITORY

from msmtp.sandbox import libc

CHECKS = """
import errno, os, sys
sys.path.insert(0, {source!r})
from msmtp.sandbox import libc
if {public}:
    libc.private = libc.public
library = libc.Library()
assert ("ctypes" in sys.modules) is {public}, sorted(sys.modules)
assert library.call("getpid") == os.getpid()
try:
    library.call("close", 12345)
except OSError as error:
    assert error.errno == errno.EBADF and error.strerror == os.strerror(errno.EBADF)
else:
    raise AssertionError("no error")
data = bytes(range(16))
assert library.counted(2, data)[:2] == (2).to_bytes(2, sys.byteorder)
pointer = int.from_bytes(library.counted(2, data)[-(8 if sys.maxsize >> 32 else 4):], sys.byteorder)
reads, writes = os.pipe()
vector = pointer.to_bytes(8, sys.byteorder) + (16).to_bytes(8, sys.byteorder)
assert library.call("writev", writes, vector, 1) == 16  # the kernel finds the bytes where the pointer leads
assert os.read(reads, 100) == data
assert library.call("prctl", 39, 0, 0, 0, 0) == 0  # PR_GET_NO_NEW_PRIVS
print("good")
"""


@pytest.mark.parametrize("public", [False, True], ids=["private", "public"])
@pytest.mark.parametrize("python", PYTHONS)
def test_both_ways_do_the_same(python, public):
    code = CHECKS.format(source=str(REPOSITORY / "src"), public=public)
    done = subprocess.run([python, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("good\n", "")


@pytest.mark.parametrize("broken", [AttributeError("gone"), ImportError("gone"), TypeError("changed")])
def test_whatever_goes_wrong_with_the_private_way_leads_to_the_public_one(monkeypatch, broken):
    def private():
        raise broken

    monkeypatch.setattr(libc, "private", private)
    library = libc.Library()
    assert library._errno is ctypes.get_errno
    assert library.call("getpid") == os.getpid()


def test_a_failed_call_is_an_oserror_with_its_number():
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        libc.Library().call("close", 12345)
    assert caught.value.errno == errno.EBADF


def test_words_are_in_the_machines_order():
    assert libc.words(4, 1, 2) == (1).to_bytes(4, sys.byteorder) + (2).to_bytes(4, sys.byteorder)
