"""The wider roles let what they are for happen: a ticket from a real distribution centre, a signature by a real token."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.support.inside import REPOSITORY
from tests.support.sasl.dovecot import kerberos

from msmtp import sandbox
from msmtp.sandbox.roles import ROLES

# -- GSSAPI

TICKET = """
import gssapi
name = gssapi.Name(b"joe", gssapi.NameType.user)
got = gssapi.raw.acquire_cred_with_password(name, b"secret", mechs=[gssapi.MechType.kerberos], usage="initiate")
gssapi.raw.store_cred(got.creds, usage="initiate", overwrite=True)
"""

DIALOGUE = """
import os, signal, sys
sys.path.insert(0, {source!r})
import gssapi
from msmtp import sandbox
from msmtp.sandbox import roles
from msmtp.sasl import Credentials, create

signal.alarm(30)
name = gssapi.Name(b"smtp@localhost", gssapi.NameType.hostbased_service)
credentials = gssapi.Credentials(usage="accept", name=name)
server = gssapi.SecurityContext(creds=credentials, usage="accept")
client = create(b"GSSAPI", Credentials(b"joe", b"", host=b"localhost"))
roles.ROLES["sender-gssapi"].ports = ({port},)  # the test's own centre is not at 88
to_server, to_client = os.pipe(), os.pipe()
if not os.fork():
    os.close(to_server[0])
    os.close(to_client[1])
    applied = sandbox.enter({role!r}, policy="require")
    os.write(to_server[1], client.start())  # the ticket for the service is fetched here
    os.write(to_server[1], client.next(os.read(to_client[0], 65536)) or b"-")
    os.write(to_server[1], client.next(os.read(to_client[0], 65536)))
    client.finished()
    os._exit(0)
os.close(to_server[1])
os.close(to_client[0])
os.write(to_client[1], server.step(os.read(to_server[0], 65536)))
os.read(to_server[0], 65536)
os.write(to_client[1], server.wrap(bytes([1, 0, 0, 0]), False).message)
print(server.unwrap(os.read(to_server[0], 65536)).message, server.initiator_name, os.wait()[1])
"""


@pytest.fixture(scope="module")
def realm():
    folder = Path(tempfile.mkdtemp(prefix="msmtp-realm-"))
    folder.chmod(0o755)
    try:
        with kerberos(folder):
            environment = {
                **os.environ,
                "KRB5_CONFIG": f"{folder}/krb5.conf",
                "KRB5CCNAME": f"FILE:{folder}/cache",
                "KRB5_KTNAME": f"{folder}/keytab",
                "KRB5RCACHETYPE": "none",
            }
            subprocess.run([sys.executable, "-c", TICKET], env=environment, check=True, capture_output=True)
            yield environment
    finally:
        shutil.rmtree(folder)


def authenticate(realm, role):
    settings = Path(realm["KRB5_CONFIG"]).read_text()
    port = int(settings.split("kdc = 127.0.0.1:")[1].split()[0])
    code = DIALOGUE.format(source=str(REPOSITORY / "src"), port=port, role=role)
    return subprocess.run(
        [sys.executable, "-c", code], env=realm, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_ticket_is_fetched_in_the_role_for_it(realm):
    done = authenticate(realm, "sender-gssapi")
    assert done.stdout == "b'\\x01\\x00\\x00\\x00joe' joe@TEST.EXAMPLE 0\n", done.stderr


def test_no_ticket_is_fetched_in_the_narrow_role(realm):
    done = authenticate(realm, "sender")
    assert "MechanismFailure" in done.stderr
    assert "joe@" not in done.stdout


# -- PKCS#11

SIGNING = """
import ctypes, sys
sys.path.insert(0, {source!r})
from msmtp import sandbox

module = ctypes.CDLL("/usr/lib/softhsm/libsofthsm2.so")
LONG = ctypes.c_ulong


class Attribute(ctypes.Structure):
    _fields_ = [("kind", LONG), ("value", ctypes.c_void_p), ("length", LONG)]


def call(name, *arguments):
    result = getattr(module, name)(*arguments)
    if result:
        print(name, hex(result))
        sys.exit(1)


slots, count, session, key, found = (LONG * 10)(), LONG(10), LONG(), LONG(), LONG()
call("C_Initialize", None)
call("C_GetSlotList", 1, slots, ctypes.byref(count))
call("C_OpenSession", slots[0], LONG(4), None, None, ctypes.byref(session))
call("C_Login", session, LONG(1), b"1234", LONG(4))
private = LONG(3)
template = Attribute(0, ctypes.addressof(private), ctypes.sizeof(private))
call("C_FindObjectsInit", session, ctypes.byref(template), LONG(1))
call("C_FindObjects", session, ctypes.byref(key), LONG(1), ctypes.byref(found))
call("C_FindObjectsFinal", session)
sandbox.enter({role!r}, policy="require")
mechanism = Attribute(0x40, None, 0)  # CKM_SHA256_RSA_PKCS
signature, length = ctypes.create_string_buffer(512), LONG(512)
call("C_SignInit", session, ctypes.byref(mechanism), key)
call("C_Sign", session, b"hello", LONG(5), signature, ctypes.byref(length))
sys.stdout.buffer.write(signature.raw[: length.value])
"""


@pytest.fixture(scope="module")
def token():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tokens").mkdir()
        (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
        environment = {**os.environ, "SOFTHSM2_CONF": f"{folder}/softhsm2.conf"}
        for command in (
            "softhsm2-util --init-token --free --label t --pin 1234 --so-pin 1234",
            f"openssl genpkey -algorithm RSA -out {folder}/key.pem",
            f"openssl pkey -in {folder}/key.pem -pubout -out {folder}/public.pem",
            f"softhsm2-util --import {folder}/key.pem --token t --label k --id 01 --pin 1234",
        ):
            subprocess.run(command.split(), env=environment, check=True, capture_output=True)
        yield folder, environment


def sign(token, role):
    code = SIGNING.format(source=str(REPOSITORY / "src"), role=role)
    return subprocess.run([sys.executable, "-I", "-S", "-c", code], env=token[1], capture_output=True, check=False)


def test_a_token_signs_in_the_role_for_it(token):
    folder = token[0]
    done = sign(token, "sender-pkcs11")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "signature").write_bytes(done.stdout)
    (folder / "text").write_bytes(b"hello")
    verify = ["openssl", "dgst", "-sha256", "-verify", folder / "public.pem", "-signature", folder / "signature"]
    subprocess.run([*verify, folder / "text"], check=True, capture_output=True)


def test_a_token_does_not_sign_in_the_narrow_role(token):
    done = sign(token, "sender")
    assert (done.returncode, done.stdout) == (1, b"C_SignInit 0x82\n")  # CKR_OBJECT_HANDLE_INVALID


# -- the places


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("/etc/fixed", None, ["/etc/fixed"]),
        ("{PLACE}", None, []),
        ("{PLACE}", "/tmp/cache", ["/tmp/cache"]),
        ("{PLACE}", "FILE:/tmp/cache", ["/tmp/cache"]),
        ("{PLACE}", "DIR::/tmp/caches/tkt", ["/tmp/caches/tkt"]),
        ("{PLACE}", "/etc/krb5.conf:/home/joe/krb5.conf", ["/etc/krb5.conf", "/home/joe/krb5.conf"]),
        ("{PLACE}", "unix:path=/run/user/1/p11-kit/pkcs11", ["/run/user/1/p11-kit/pkcs11"]),
        ("{PLACE}", "KEYRING:persistent:0", []),
        ("{PLACE}/..", "/home/joe/softhsm2.conf", ["/home/joe"]),
        ("{PLACE}/.config", "/home/joe", ["/home/joe/.config"]),
        ("/tmp/krb5cc_{UID}", None, [f"/tmp/krb5cc_{os.getuid()}"]),
    ],
)
def test_placeholders(monkeypatch, path, value, expected):
    if value is not None:
        monkeypatch.setenv("PLACE", value)
    assert list(sandbox.expanded((path,))) == expected


def test_only_the_wider_roles_have_paths_to_write_and_ports():
    named = [name for name, role in ROLES.items() if role.writable or role.ports or role.ports is None]
    assert named == ["sender-pkcs11", "sender-gssapi", "delivery", "names"]
