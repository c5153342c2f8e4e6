"""The table, the choice, and what every mechanism does alike."""

import builtins
import subprocess
import sys
from itertools import product

import pytest

from msmtp.failures import MechanismFailure, UnsupportedFailure
from msmtp.sasl import BY_NAME, MECHANISMS, Credentials, Mechanism, available, check, choose, create, find, load
from msmtp.sasl.mechanisms import CHALLENGE_LIMIT, LIBRARIES, LIBRARY_MODULES

NONCE = b"fyko+d2lbbFgONRv9qkxdawL"
ALL = tuple(row.name for row in MECHANISMS)
# MS-NLMP, 4.2.4.3
NTLM_CHALLENGE = bytes.fromhex(
    "4e544c4d53535000020000000c000c003800000033828ae20123456789abcdef00000000000000002400240044000000060070170000000f"
    "53006500720076006500720002000c0044006f006d00610069006e0001000c0053006500720076006500720000000000"
)
PURE = tuple(row.name for row in MECHANISMS if not row.library)


def credentials(user=b"user", password=b"pencil", **more):
    return Credentials(user, password, nonce=NONCE, **more)


# -- the table


def test_names_are_upper_case_once_each_and_libraries_are_explained():
    assert len(set(ALL)) == len(ALL) == 13
    for row in MECHANISMS:
        assert row.name == row.name.upper()
        assert set(row.needs) <= {"user", "password", "token", "files"}
        assert row.binding == row.name.endswith(b"-PLUS")
        assert not row.library or (row.library in LIBRARIES and row.library in LIBRARY_MODULES)


def test_table_stands_in_the_order_of_the_server_information():
    assert b" ".join(ALL) == (
        b"SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN GSSAPI EXTERNAL OAUTHBEARER CRAM-MD5 "
        b"DIGEST-MD5 LOGIN NTLM XOAUTH2"
    )


def test_only_what_sends_the_secret_itself_is_called_cleartext():
    assert [row.name for row in MECHANISMS if row.cleartext] == [b"PLAIN", b"OAUTHBEARER", b"LOGIN", b"XOAUTH2"]


def test_only_gssapi_needs_files_while_it_talks():
    assert [row.name for row in MECHANISMS if "files" in row.needs] == [b"GSSAPI"]


@pytest.mark.parametrize("row", MECHANISMS, ids=lambda row: row.name.decode())
def test_every_row_leads_to_a_mechanism(row):
    binding = (b"tls-exporter", b"x" * 32)
    mechanism = create(row.name.lower(), credentials(channel_binding=binding), ALL)
    assert isinstance(mechanism, Mechanism)
    assert mechanism.name == row.name


def test_find_ignores_case_and_knows_what_it_does_not_know():
    assert find(b"scram-sha-256") is BY_NAME[b"SCRAM-SHA-256"]
    assert find(b"ANONYMOUS") is None


# -- automatic choice: manual, chapter 5

SECURED = [b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-1-PLUS", b"SCRAM-SHA-256", b"SCRAM-SHA-1"]
UNDER_TLS = [*SECURED, b"PLAIN", b"CRAM-MD5", b"DIGEST-MD5", b"LOGIN", b"NTLM"]


def test_under_tls_each_is_taken_only_when_all_before_it_are_missing():
    for first, name in enumerate(UNDER_TLS):
        offered = tuple(reversed([b"X-UNKNOWN", b"EXTERNAL", *UNDER_TLS[first:]]))
        assert choose(offered, tls=True, channel_binding=True) == name


def test_without_channel_binding_plus_is_passed_over():
    assert choose(tuple(SECURED), tls=True, channel_binding=False) == b"SCRAM-SHA-256"
    assert choose((b"SCRAM-SHA-1-PLUS", b"LOGIN"), tls=True, channel_binding=False) == b"LOGIN"


def test_without_tls_only_scram_is_taken():
    for name in ALL:
        if name in SECURED[2:]:
            assert choose((name,), tls=False, channel_binding=False) == name
        else:
            with pytest.raises(UnsupportedFailure, match=r"^cannot use a secure authentication method$") as caught:
                choose((name,), tls=False, channel_binding=False)
            assert name.decode() in caught.value.hint


@pytest.mark.parametrize("name", [b"GSSAPI", b"EXTERNAL", b"OAUTHBEARER", b"XOAUTH2", b"X-UNKNOWN"])
def test_what_is_no_password_is_never_taken_by_itself(name):
    with pytest.raises(UnsupportedFailure, match=r"^cannot find a usable authentication method$") as caught:
        choose((name,), tls=True, channel_binding=True)
    assert name.decode() in caught.value.hint


def test_nothing_offered_is_said_so():
    for tls, binding in product((False, True), repeat=2):
        with pytest.raises(UnsupportedFailure, match=r"^the server does not support authentication$"):
            choose((), tls=tls, channel_binding=binding)
    with pytest.raises(UnsupportedFailure, match=r"^the server does not support authentication$"):
        check(b"plain", (), channel_binding=False)


def test_offers_are_shown_escaped():
    with pytest.raises(UnsupportedFailure) as caught:
        choose((b"X\x1b[31m",), tls=True, channel_binding=False)
    assert "\x1b" not in caught.value.hint


# -- a method the user named


def test_named_method_is_used_with_or_without_tls_if_it_is_offered():
    assert check(b"plain", (b"LOGIN", b"PLAIN"), channel_binding=False) == b"PLAIN"
    assert check(b"scram-sha-1-plus", (b"SCRAM-SHA-1-PLUS",), channel_binding=True) == b"SCRAM-SHA-1-PLUS"


def test_named_method_that_is_not_offered_is_refused():
    message = r"^the server does not support authentication method CRAM-MD5$"
    with pytest.raises(UnsupportedFailure, match=message) as caught:
        check(b"cram-md5", (b"LOGIN", b"PLAIN"), channel_binding=True)
    assert caught.value.hint == "the server offers LOGIN PLAIN"


def test_named_plus_without_channel_binding_is_refused():
    with pytest.raises(UnsupportedFailure, match="SCRAM-SHA-1-PLUS needs a TLS connection with channel binding"):
        check(b"scram-sha-1-plus", (b"SCRAM-SHA-1-PLUS",), channel_binding=False)


# -- creation


def test_missing_user_or_password_is_refused_in_the_c_programs_words():
    for row in MECHANISMS:
        if "user" in row.needs:
            with pytest.raises(
                UnsupportedFailure, match=f"^authentication method {row.name.decode()} needs a user name$"
            ):
                create(row.name, credentials(user=b""))
        if "password" in row.needs or "token" in row.needs:
            with pytest.raises(
                UnsupportedFailure, match=f"^authentication method {row.name.decode()} needs a password$"
            ):
                create(row.name, credentials(password=b""))


def test_unknown_method_is_refused():
    with pytest.raises(UnsupportedFailure, match="authentication method ANONYMOUS is unknown"):
        create(b"ANONYMOUS", credentials())


@pytest.mark.parametrize(
    ("name", "module", "package"), [(b"GSSAPI", "gssapi", "python3-gssapi"), (b"NTLM", "spnego", "msmtp")]
)
def test_missing_library_is_named_with_its_package(monkeypatch, name, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"msmtp.sasl.{name.decode().lower()}", raising=False)
    with pytest.raises(
        MechanismFailure, match=f"authentication method {name.decode()} needs the Python library"
    ) as caught:
        create(name, credentials())
    assert package in caught.value.hint


def test_module_that_the_sandbox_hides_is_a_failure_not_a_traceback(monkeypatch):
    def denied(*_arguments, **_keywords):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.__import__", denied)
    with pytest.raises(MechanismFailure, match=r"PLAIN needs the Python library plain: .*Permission denied"):
        load(b"PLAIN")


def test_a_part_of_python_that_does_not_fit_into_memory_is_no_library_that_is_missing(monkeypatch):
    load_anything = builtins.__import__

    def unloadable(name, *arguments, **keywords):
        if name.startswith("msmtp.sasl."):
            raise ImportError("_hashlib.so: failed to map segment from shared object")
        return load_anything(name, *arguments, **keywords)

    monkeypatch.setattr("builtins.__import__", unloadable)
    with pytest.raises(ImportError, match="failed to map"):
        load(b"SCRAM-SHA-256")
    with pytest.raises(MechanismFailure, match=r"GSSAPI needs the Python library gssapi: .*failed to map"):
        load(b"GSSAPI")


# What does the hashing is there, and cannot be loaded.
UNLOADABLE = """
import sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name in ("_hashlib", "_md5", "_sha1", "_sha2", "_sha256"):
            raise ImportError(name + ".so: failed to map segment from shared object")
sys.meta_path.insert(0, Finder())
try:
    import {module}
except ImportError as error:
    print("refused", "hashlib" in sys.modules)
"""


@pytest.mark.parametrize("module", ["msmtp.sasl.digests", "msmtp.net.binding", "msmtp.net._digest"])
def test_hashes_that_cannot_be_loaded_leave_no_traces_on_standard_error(module):
    """As hashlib leaves them."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", UNLOADABLE.format(module=module)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("refused False\n", "")


def test_available_leaves_out_what_is_not_installed():
    assert available(lambda _name: True) == ALL
    assert available(lambda _name: False) == PURE


# -- what all do alike


@pytest.mark.parametrize("name", PURE)
def test_challenges_without_end_are_refused(name):
    mechanism = create(name, credentials(channel_binding=(b"tls-unique", b"x")))
    mechanism.start()
    with pytest.raises(MechanismFailure) as caught:  # noqa: PT012 - which round it is differs
        for _ in range(10):
            mechanism.next(b"x")
    assert caught.value.message.startswith(f"authentication failed (method {name.decode()}): ")
    with pytest.raises(MechanismFailure):
        mechanism.next(b"x")


@pytest.mark.parametrize("name", PURE)
def test_challenge_bomb_is_refused(name):
    mechanism = create(name, credentials(channel_binding=(b"tls-unique", b"x")))
    mechanism.start()
    with pytest.raises(MechanismFailure, match="longer than 12288 octets"):
        mechanism.next(b"x" * (CHALLENGE_LIMIT + 1))


@pytest.mark.parametrize("row", MECHANISMS, ids=lambda row: row.name.decode())
def test_success_that_comes_too_early_is_believed_only_where_the_server_proves_nothing(row):
    mechanism = create(row.name, credentials(channel_binding=(b"tls-unique", b"x")))
    if row.name.startswith((b"SCRAM", b"DIGEST", b"GSSAPI")):
        with pytest.raises(MechanismFailure, match="the server did not prove that it knows the account") as caught:
            mechanism.finished()
        assert "another server" in caught.value.hint
    else:
        mechanism.finished()


def test_bare_mechanism_has_no_dialogue():
    with pytest.raises(NotImplementedError):
        Mechanism(b"X", credentials())


@pytest.mark.parametrize("row", MECHANISMS, ids=lambda row: row.name.decode())
def test_secrets_do_not_print(row):
    known = credentials(password=b"s3cret-pass", channel_binding=(b"tls-unique", b"x"))
    mechanism = create(row.name, known)
    shown = repr(known) + str(known) + repr(mechanism) + str(mechanism)
    assert "s3cret" not in shown
    assert not hasattr(known, "__dict__")


# -- imports


def loaded_by(code):
    program = f"import sys; sys.path.insert(0, 'src'); before = set(sys.modules); {code}; print(*sorted(set(sys.modules) - before))"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()


def test_plain_brings_in_next_to_nothing():
    names = loaded_by("from msmtp.sasl import Credentials, create; create(b'PLAIN', Credentials(b'u', b'p')).start()")
    assert [name for name in names if not name.startswith("msmtp")] == ["__future__", "errno"]


EXCHANGE = """
import resource, sys
sys.path[:0] = PATHS
from msmtp.sasl import Credentials, create, load
from msmtp.failures import MechanismFailure
known = Credentials(USER, b"token", nonce=b"abc", channel_binding=(b"tls-unique", b"x"))
load(NAME, known)
before = set(sys.modules)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
mechanism = create(NAME, known)
mechanism.start()
try:
    mechanism.next(CHALLENGE)
except MechanismFailure as failure:
    print(failure.message)
print(*sorted(set(sys.modules) - before))
"""
CHALLENGES = {
    b"SCRAM-SHA-1": b"r=abcdef,s=AAAA,i=4096",
    b"SCRAM-SHA-256": b"r=abcdef,s=AAAA,i=4096",
    b"DIGEST-MD5": b'nonce="x",charset=utf-8,algorithm=md5-sess',
    b"NTLM": NTLM_CHALLENGE,
}


@pytest.mark.parametrize("challenge", ["good", "bad"])
@pytest.mark.parametrize("name", [row.name for row in MECHANISMS if "files" not in row.needs])
def test_after_load_an_exchange_imports_nothing_and_opens_no_file(name, challenge):
    good = CHALLENGES.get(name.removesuffix(b"-PLUS"), b"x")
    values = {
        "PATHS": ["src", *(path for path in sys.path if path.endswith("site-packages"))],
        "NAME": name,
        "USER": "j\u00f6rg".encode(),
        "CHALLENGE": good if challenge == "good" else b"\xff\x1b" * 99,
    }
    program = EXCHANGE
    for word, value in values.items():
        program = program.replace(word, repr(value))
    result = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert result.stderr == ""
    *said, imported = result.stdout.splitlines()
    assert imported == ""
    assert (
        bool(said) == (name in {b"PLAIN", b"EXTERNAL"} or (name in CHALLENGES and challenge == "bad"))
        or b"PLUS" in name
    )
