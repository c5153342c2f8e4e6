"""The hash functions: known answers, the public modules as fallback, a machine that forbids MD5."""

import subprocess
import sys

import pytest

from msmtp.failures import MechanismFailure
from msmtp.sasl import digests

KNOWN = """
from msmtp.sasl.digests import compare_digest, digest, hmac, pbkdf2_hmac
assert digest("md5", b"abc").hex() == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321, A.5
assert digest("sha1", b"abc").hex() == "a9993e364706816aba3e25717850c26c9cd0d89d"  # RFC 3174, 7.3
assert hmac("md5", b"Jefe", b"what do ya want for nothing?").hex() == "750c783e6ab0b503eaa86e310a5db738"  # RFC 2202, 2
assert hmac("sha256", b"", b"").hex().startswith("b613679a0814d9ec")
assert pbkdf2_hmac("sha1", b"password", b"salt", 4096).hex() == "4b007901b765489abead49d926f721d065a429c1"  # RFC 6070
assert compare_digest(b"a", b"a") and not compare_digest(b"a", b"ab")
"""


def test_known_answers():
    exec(KNOWN)  # the same text runs below in another process


@pytest.mark.parametrize("hidden", ["_hashlib", "msmtp_nothing"])
def test_known_answers_without_the_private_module(hidden):
    # The public modules are there before: they are what a Python has that calls its private one by another name.
    program = f"""
import sys, hashlib, hmac as public
sys.path.insert(0, 'src')
sys.modules[{hidden!r}] = None
{KNOWN}
from msmtp.sasl import digests
print(digests.hmac_digest is public.digest)
"""
    run = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == f"{hidden == '_hashlib'}\n"


def test_fallback_module_is_covered_here_too(monkeypatch):
    import hashlib
    import hmac
    import importlib.util

    spec = importlib.util.spec_from_file_location("digests_without_openssl", digests.__file__)
    monkeypatch.setitem(sys.modules, "_hashlib", None)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.new is hashlib.new
    assert module.hmac_digest is hmac.digest
    assert module.digest("sha256", b"abc") == digests.digest("sha256", b"abc")
    assert module.hmac("sha256", b"k", b"abc") == digests.hmac("sha256", b"k", b"abc")


def test_digest_that_the_machine_forbids_is_a_failure_with_a_way_out():
    for call in (lambda: digests.digest("md17", b""), lambda: digests.hmac("md17", b"", b"")):
        with pytest.raises(MechanismFailure, match="does not allow MD17") as caught:
            call()
        assert "auth" in caught.value.hint
