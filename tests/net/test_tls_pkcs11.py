"""Client certificates on a token: a software one (SoftHSM) in a Debian 13, where OpenSSL's pkcs11 provider is to be had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support import trixie
from tests.support.certificates import authority, localhost, new_authority
from tests.support.tls_cases import AES, SCRIPT, SOURCE, cases

from msmtp.failures import TlsFileFailure
from msmtp.net import _libssl, pkcs11
from msmtp.net.tls import TlsSettings, prepare

pytestmark = pytest.mark.timeout(600)  # the first run makes the Debian 13

PIN = "a#1;?&"

TOKEN = """
set -e
softhsm2-util --init-token --free --label 'my token' --pin "$PIN" --so-pin 5678
openssl pkcs8 -topk8 -nocrypt -in client.key -out client.p8
softhsm2-util --import client.p8 --token 'my token' --label 'my key' --id 01 --pin "$PIN"
export GNUTLS_PIN="$PIN"
p11tool --login --write --load-certificate client.pem --label 'my cert' --id 01 pkcs11:token=my%20token
p11tool --login --write --mark-private --load-certificate client.pem --label hidden --id 02 pkcs11:token=my%20token
"""

# Runs in the Debian 13: a server that wants the client's certificate, and our client, for each case.
CLIENT = """
import json, ssl, sys
sys.path.insert(0, sys.argv[1])
from msmtp.failures import Failure
from msmtp.net.tls import TlsSettings, prepare
files = json.loads(sys.argv[2])

def talk(key, cert, pin, version):
    asked = []
    def tell():
        asked.append(1)
        return pin.encode()
    settings = TlsSettings(trust_file=files["authority"], key_file=key, cert_file=cert, pin=tell if pin is not None else None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["chain"], files["key"])
    context.load_verify_locations(files["client_authority"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version
    try:
        engine = prepare(settings, "localhost").engine()
    except Failure as failure:
        return type(failure).__name__, failure.message.partition("TLS session: ")[2], failure.hint
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_side=True)
    for _ in range(5):
        done = engine.handshake()
        incoming.write(engine.outgoing())
        try:
            session.do_handshake()
        except ssl.SSLWantReadError:
            pass
        if outgoing.pending:
            engine.receive(outgoing.read())
        if done:
            break
    incoming.write(engine.encrypt(b"x"))
    assert session.read(1) == b"x"
    return session.version(), len(asked), session.getpeercert(True) == ssl.PEM_cert_to_DER_cert(open(files["client"]).read())

print(json.dumps([talk(*case) for case in files["cases"]]))
"""

KEY = "pkcs11:token=my%20token;object=my%20key;type=private"
CERTIFICATE = "pkcs11:token=my%20token;object=my%20cert;type=cert"
HIDDEN = "pkcs11:token=my%20token;object=hidden;type=cert"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder of a token with a key and two certificates, and the environment that leads to it."""
    folder = tmp_path_factory.mktemp("token")
    client = new_authority("Clients").issue("me.example", rsa=True)
    for name, file in (("client.pem", client.chain), ("client.key", client.key), ("clients.pem", client.authority)):
        (folder / name).write_bytes(file.read_bytes())
    for name, file in (("chain", localhost().chain), ("key", localhost().key), ("authority", authority().file)):
        (folder / name).write_bytes(file.read_bytes())
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\n")
    environment = {"SOFTHSM2_CONF": f"{folder}/softhsm2.conf", "PIN": PIN}
    made = trixie.run(["sh", "-c", f"cd {folder}\n{TOKEN}"], [folder], environment)
    assert made.returncode == 0, made.stderr
    return folder, environment


def outcomes(token: tuple[Path, dict[str, str]], *tried: tuple[str, str, str | None, int]) -> list[list[object]]:
    """What became of each case: key, certificate, PIN, the newest version of TLS."""
    folder, environment = token
    given = {
        "chain": f"{folder}/chain",
        "key": f"{folder}/key",
        "authority": f"{folder}/authority",
        "client": f"{folder}/client.pem",
        "client_authority": f"{folder}/clients.pem",
        "cases": tried,
    }
    command = ["python3", "-I", "-c", CLIENT, str(SOURCE), json.dumps(given)]
    run = trixie.run(command, [folder, SOURCE], environment)
    assert run.returncode == 0, run.stderr
    found: list[list[object]] = json.loads(run.stdout)
    return found


def test_the_token_signs_and_shows_its_certificate(token: tuple[Path, dict[str, str]]) -> None:
    file = str(token[0] / "client.pem")
    found = outcomes(
        token,
        (KEY, CERTIFICATE, PIN, 0x304),
        (KEY, CERTIFICATE, PIN, 0x303),
        (KEY, file, PIN, 0x304),
        (str(token[0] / "client.key"), CERTIFICATE, None, 0x304),
    )
    assert [(version, shown) for version, _, shown in found] == [
        ("TLSv1.3", True),
        ("TLSv1.2", True),
        ("TLSv1.3", True),
        ("TLSv1.3", True),
    ]
    assert found[0][1] == 1, "the PIN is asked for once"
    assert found[3][1] == 0, "and not for a certificate alone"


def test_a_certificate_that_hides_behind_the_pin_is_found(token: tuple[Path, dict[str, str]]) -> None:
    [[version, _, shown]] = outcomes(token, (KEY, HIDDEN, PIN, 0x304))
    assert (version, shown) == ("TLSv1.3", True)


@pytest.mark.parametrize(
    ("key", "certificate", "pin", "reason"),
    [
        (KEY, CERTIFICATE, "wrong", ""),
        (KEY, CERTIFICATE, None, ""),
        (KEY.replace("my%20key", "no%20key"), CERTIFICATE, PIN, ""),
        (KEY, CERTIFICATE.replace("my%20cert", "none"), PIN, "no such certificate on a token"),
        (KEY, "pkcs11:token=other;type=cert", PIN, "no such certificate on a token"),
    ],
)
def test_what_does_not_work_is_told(
    key: str, certificate: str, pin: str | None, reason: str, token: tuple[Path, dict[str, str]]
) -> None:
    [[kind, message, hint]] = outcomes(token, (key, certificate, pin, 0x304))
    assert kind == "TlsFileFailure"
    assert reason in str(message)
    assert "p11tool" in str(hint)
    assert PIN not in str(message) + str(hint)


@pytest.mark.parametrize("door", ["_ssl", "ssl"])
def test_everything_else_is_the_same_with_openssl_3_5(door: str, tmp_path: Path) -> None:
    """The cases of the other Pythons, with those of a Debian 13."""
    table = cases(tmp_path)
    given = json.dumps({name: row for name, (row, _) in table.items()})
    folders = [tmp_path, authority().folder, SOURCE, Path(table["a stranger"][0][0]).parent]  # type: ignore[arg-type]
    run = trixie.run(["python3", "-I", "-W", "ignore", "-c", SCRIPT, str(SOURCE), door, given], folders)
    assert run.returncode == 0, run.stderr
    verdicts = json.loads(run.stdout)
    assert verdicts == {name: verdict for name, (_, verdict) in table.items()}
    assert verdicts["good"] == AES


# -- without a token


def test_a_machine_without_the_provider_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENSSL_MODULES", str(tmp_path))
    settings = TlsSettings(trust_file="", key_file=KEY, cert_file=CERTIFICATE)
    with pytest.raises(TlsFileFailure, match="pkcs11 provider is not installed") as caught:
        prepare(settings, "localhost")
    assert KEY in caught.value.message
    assert "pkcs11-provider" in caught.value.hint
    assert caught.value.exit_code == 66


def test_a_python_without_the_means_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> bool:
        raise NotImplementedError

    monkeypatch.setattr(_libssl, "load_provider", missing)
    with pytest.raises(TlsFileFailure, match="this Python cannot load OpenSSL's pkcs11 provider"):
        prepare(TlsSettings(trust_file="", key_file=KEY, cert_file=CERTIFICATE), "localhost")


def test_a_pin_is_escaped_for_the_uri() -> None:
    assert pkcs11.escape(b"a#1;?&\xff~") == "a%231%3B%3F%26%FF~"


def test_memory_is_a_file_only_as_long_as_it_is_needed() -> None:
    with pkcs11.Memory(b"text", "unused") as path:
        assert Path(path).read_bytes() == b"text"
    assert not Path(path).exists()
    with pkcs11.Memory(b"", "/some/path") as path:
        assert path == "/some/path"
