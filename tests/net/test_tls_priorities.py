"""tls_priorities: what goes over the wire is what GnuTLS would have sent for the same words; the rest is refused by name."""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.certificates import authority, localhost
from tests.support.handshakes import shake

from msmtp.failures import TlsHandshakeFailure, TlsSetupFailure
from msmtp.net import _libssl, _openssl
from msmtp.net.gnutls import NORMAL_SIGNATURES, WORDS, is_gnutls
from msmtp.net.priorities import EVERYTHING, KEYWORDS
from msmtp.net.suites import GROUPS, SIGNATURES
from msmtp.net.tls import Engine, TlsSettings, prepare

TLS1_2, TLS1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


# -- our ClientHello


class Hello:
    """What our ClientHello offers: sets of numbers (RFC 8446, section 4.1.2)."""

    def __init__(self, priorities: str, bits: int = 0) -> None:
        settings = TlsSettings(certcheck=False, priorities=priorities, min_dh_prime_bits=bits)
        engine = prepare(settings, "localhost").engine()
        engine.handshake()
        data = engine.outgoing()[5 + 4 + 2 + 32 :]
        data = data[1 + data[0] :]
        size = int.from_bytes(data[:2], "big")
        self.suites = [int.from_bytes(data[at : at + 2], "big") for at in range(2, 2 + size, 2)]
        data = data[2 + size + 2 :]
        self.extensions: dict[int, bytes] = {}
        at = 2
        while at < len(data):
            kind, size = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")
            self.extensions[kind] = data[at + 4 : at + 4 + size]
            at += 4 + size
        self.suites = [suite for suite in self.suites if suite != 0x00FF]  # RFC 5746: not a suite
        self.groups = self.numbers(10)
        self.signatures = self.numbers(13)
        listed = self.extensions.get(43, b"")[1:]
        self.versions = {int.from_bytes(listed[at : at + 2], "big") for at in range(0, len(listed), 2)}

    def numbers(self, extension: int) -> list[int]:
        value = self.extensions.get(extension, b"\0\0")[2:]
        return [int.from_bytes(value[at : at + 2], "big") for at in range(0, len(value), 2)]


# -- GnuTLS's own opinion


@functools.cache
def gnutls(priorities: str) -> dict[str, list[str]]:
    """Heading -> names, as ``gnutls-cli -l`` lists them; the suites as numbers under 'suites'."""
    run = subprocess.run(["gnutls-cli", "-l", "--priority", priorities], capture_output=True, text=True, check=True)
    found = {"suites": re.findall(r"^TLS_\S+\s+(0x..), (0x..)", run.stdout, re.MULTILINE)}
    found["suites"] = [int(high, 16) << 8 | int(low, 16) for high, low in found["suites"]]
    for line in run.stdout.splitlines():
        heading, colon, names = line.partition(": ")
        if colon:
            found[heading] = [] if names == "none" else names.split(", ")
    return found


@functools.cache
def everything() -> set[int]:
    """The suites that OpenSSL knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers(EVERYTHING)
    return {suite["id"] & 0xFFFF for suite in context.get_ciphers()}


STRINGS = [
    "NORMAL", "PFS", "PERFORMANCE", "LEGACY", "SECURE128", "SECURE192", "SECURE256", "SUITEB128", "SUITEB192",
    "NORMAL:-VERS-TLS1.3", "NORMAL:!VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2", "NORMAL:-VERS-TLS-ALL:+VERS-TLS1.3",
    "SECURE128:-VERS-TLS-ALL:+VERS-TLS1.2", "SECURE256:+SECURE128:-VERS-TLS-ALL:+VERS-TLS1.2", "SECURE256:+SECURE128",
    "NORMAL:%COMPAT", "normal:-vers-tls1.3", "NORMAL: -VERS-TLS1.3", "NORMAL:-AES-128-GCM",
    "NORMAL:-CHACHA20-POLY1305:-AES-128-CBC", "NORMAL:-CIPHER-ALL:+AES-256-GCM", "NORMAL:-AES-256-GCM:-AES-128-GCM",
    "NORMAL:-RSA:-DHE-RSA", "NORMAL:-KX-ALL:+ECDHE-RSA", "NORMAL:-SHA1", "NORMAL:+SHA256:+SHA384", "NORMAL:-AEAD",
    "NORMAL:+CAMELLIA-256-CBC:+SHA256", "NORMAL:+AES-128-CCM-8", "NORMAL:-GROUP-X25519", "NORMAL:-GROUP-ALL:+GROUP-X448",
    "NORMAL:-GROUP-ALL:+GROUP-SECP384R1:+GROUP-SECP256R1", "NORMAL:-CURVE-ALL:+CURVE-SECP521R1", "NORMAL:-GROUP-DH-ALL",
    "NORMAL:-GROUP-EC-ALL", "NORMAL:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256:+SIGN-ECDSA-SHA256",
    "NORMAL:-SIGN-EDDSA-ED25519", "NORMAL:-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1", "NORMAL:-SIGN-RSA-SHA256",
    "NONE:+VERS-TLS1.3:+AES-128-GCM:+AEAD:+GROUP-ALL:+SIGN-ALL", "NONE:+VERS-TLS1.2:+SECURE256",
    "NONE:+VERS-TLS1.2:+ECDHE-RSA:+AES-256-GCM:+AEAD:+GROUP-X25519:+SIGN-RSA-SHA256", "NORMAL:-KX-ALL",
    "NORMAL:-CTYPE-OPENPGP:+COMP-NULL:+CTYPE-X.509", "NORMAL:-ARCFOUR-128:-3DES-CBC:-MD5:-VERS-SSL3.0",
    "PFS:-AES-128-CBC:-AES-256-CBC", "SECURE128:%SAFE_RENEGOTIATION:%LATEST_RECORD_VERSION", "NORMAL:-VERS-DTLS-ALL",
    "NORMAL:-CIPHER-ALL:+CIPHER-ALL", "NORMAL:-SIGN-ALL:+SIGN-ALL", "NORMAL:+GROUP-FFDHE2048",
]  # fmt: skip


# RSA key exchange with AES-256: OpenSSL's level 3, which SECURE192 and SECURE256 want for the certificates, excludes it.
NOT_FORWARD_SECRET = {0x009D, 0xC09D, 0x0035, 0x009C, 0xC09C, 0x002F}


# GnuTLS 3.8 has dropped SRP and added signatures, and OpenSSL 3.5 offers no FFDHE group above 3072 bits.
@pytest.mark.releases("bookworm")
@pytest.mark.parametrize("priorities", STRINGS)
def test_we_offer_what_gnutls_would_offer(priorities: str) -> None:
    ours, theirs = Hello(priorities), gnutls(priorities)
    versions = {"VERS-TLS1.3": 0x304, "VERS-TLS1.2": 0x303}  # older ones only where they are asked for
    expected = {versions[name] for name in theirs["Protocols"] if name in versions}
    if not any(suite >> 8 == 0x13 for suite in theirs["suites"]):
        expected.discard(0x304)
    if all(suite >> 8 == 0x13 for suite in theirs["suites"]):
        expected.discard(0x303)
    assert (ours.versions or {0x303}) == expected

    if prepare(TlsSettings(priorities=priorities, trust_file=""), "x").context.security_level >= 3:
        theirs = theirs | {"suites": [suite for suite in theirs["suites"] if suite not in NOT_FORWARD_SECRET]}
        theirs = theirs | {"Groups": [group for group in theirs["Groups"] if group != "GROUP-FFDHE2048"]}
    if 0x303 not in expected:
        theirs = theirs | {"suites": [suite for suite in theirs["suites"] if suite >> 8 == 0x13]}
    unasked = {0x1304, 0x1305} - set(ours.suites)  # OpenSSL offers CCM in TLS 1.3 only alone
    known = [suite for suite in theirs["suites"] if suite in everything() | {0x1304, 0x1305} and suite not in unasked]
    assert set(ours.suites) == {suite for suite in known if (0x304 in expected) or suite >> 8 != 0x13}
    assert [one for one in ours.suites if one >> 8 != 0x13] == [one for one in known if one >> 8 != 0x13]

    groups = {"GROUP-" + name: number for number, (name, _) in GROUPS.items()}
    wanted = [groups[name] for name in theirs["Groups"]]
    if 0x304 not in expected:
        wanted = [one for one in wanted if one < 256]  # RFC 7919 in TLS 1.2: not OpenSSL's
    if {one >> 8 for one in ours.suites} != {0x13} and not any(
        part in "".join(theirs["Key Exchange Algorithms"]) for part in ("ECDHE",)
    ):
        wanted = ours.groups
    assert set(ours.groups) == set(wanted) | ({4588} & set(ours.groups))
    if priorities.startswith("NORMAL:-GROUP-ALL"):
        assert ours.groups == wanted

    signatures = {f"SIGN-{name}".upper(): number for number, (name, _) in SIGNATURES.items()}
    signatures |= {
        "SIGN-ECDSA-SECP256R1-SHA256": 0x0403,
        "SIGN-ECDSA-SECP384R1-SHA384": 0x0503,
        "SIGN-ECDSA-SECP521R1-SHA512": 0x0603,
    }
    allowed = {signatures[name.upper()] for name in theirs["PK-signatures"]}
    weak = {0x0201, 0x0203}  # SHA-1: not at OpenSSL's level 2
    rest = {0x0303, 0x0301, 0x0302, 0x0402, 0x0502, 0x0602}  # SHA-224 and DSA: OpenSSL's own addition to its default
    assert allowed - weak <= set(ours.signatures)
    if allowed - weak == set(NORMAL_SIGNATURES) - weak:
        assert set(ours.signatures) <= allowed | rest
    else:
        assert set(ours.signatures) <= allowed


def test_no_base_brings_old_versions_and_a_word_does() -> None:
    assert Hello("NORMAL").versions == {0x303, 0x304}
    assert Hello("NORMAL:+VERS-TLS1.1").versions == {0x302, 0x303, 0x304}
    assert Hello("NORMAL:+VERS-TLS1.0").versions == {0x301, 0x302, 0x303, 0x304}
    assert (Hello("NORMAL:-VERS-ALL:+VERS-TLS1.1").versions or {0x302}) == {0x302}
    assert Hello("NORMAL:%COMPAT:+VERS-TLS1.1:+VERS-TLS1.0").versions == {0x301, 0x302, 0x303, 0x304}
    assert Hello("NORMAL:+VERS-TLS-ALL").versions == {0x301, 0x302, 0x303, 0x304}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_an_old_server_is_reached_when_the_account_allows_it(version: ssl.TLSVersion) -> None:
    context = localhost().server_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="is deprecated"):
        context.minimum_version = context.maximum_version = version
    settings = TlsSettings(trust_file=str(authority().file), priorities="NORMAL:+VERS-TLS1.1:+VERS-TLS1.0")
    engine, server = shake(prepare(settings, "localhost"), context)
    assert engine.info is not None
    assert engine.info.version == {0x301: "TLSv1", 0x302: "TLSv1.1"}[version]
    assert server.hear(engine.encrypt(b"x")) == b"x"


@pytest.mark.parametrize(
    ("priorities", "word", "nearest"),
    [
        ("NORMAL:+FOO", "+FOO", ""),
        ("NORMAL:-VERS-TLS1.4", "-VERS-TLS1.4", "-VERS-TLS1.3"),
        ("NORMAL:+AES-256-GMC", "+AES-256-GMC", "+AES-256-GCM"),
        ("NORMAL:%COMPATIBLE", "%COMPATIBLE", "%COMPAT"),
        ("NORMAL:%PROFILE_HUGE", "%PROFILE_HUGE", "%PROFILE_HIGH"),
        ("NORMAL:+GROUP-SECP256", "+GROUP-SECP256", "+GROUP-SECP256R1"),
        ("SECURE:%COMPAT", "SECURE", "SECURE128"),
        ("NORMAL:VERS-TLS1.3", "VERS-TLS1.3", "+VERS-TLS1.3"),
        ("NORMAL::+AES-128-GCM", "", ""),
        ("NORMAL:-SECURE256", "-SECURE256", ""),
        ("@SYSTEM", "@SYSTEM", ""),
        ("+VERS-TLS1.3", "+VERS-TLS1.3", ""),
        ("NORMAL:+VERS-SSL3.0", "+VERS-SSL3.0", ""),
        ("NORMAL:+NULL", "+NULL", ""),
        ("NORMAL:+ARCFOUR-128", "+ARCFOUR-128", ""),
        ("NORMAL:+3DES-CBC", "+3DES-CBC", ""),
        ("NORMAL:+SIGN-RSA-MD5", "+SIGN-RSA-MD5", ""),
        ("ECDHE-RSA-AES128-GCM-SHA265", "ECDHE-RSA-AES128-GCM-SHA265", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("HIGH:!MD6", "!MD6", "!MD5"),
        ("FOO", "FOO", ""),
        ("PROTOCOLS=TLSv1.4", "TLSv1.4", "TLSv1.3"),
        ("PROTOCOLS=TLSv1.3 CURVES=X", "CURVES=X", ""),
        ("TLS_AES_128_GCM_SHA265", "TLS_AES_128_GCM_SHA265", ""),
        ("ECDHECURVES=P-384,Q-1", "Q-1", ""),
    ],
)
def test_a_word_that_is_not_known_is_refused_by_name(priorities: str, word: str, nearest: str) -> None:
    with pytest.raises(TlsSetupFailure, match=r"^cannot set priorities for TLS session: ") as caught:
        Hello(priorities)
    assert caught.value.exit_code == 70
    assert word in caught.value.message
    assert nearest in caught.value.hint


@pytest.mark.parametrize(
    "priorities",
    [
        "NONE",
        "NORMAL:-VERS-ALL",
        "NORMAL:-MAC-ALL",
        "NORMAL:-CIPHER-ALL",
        "PROTOCOLS=!all",
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:-AEAD",
    ],
)
def test_a_string_that_leaves_nothing_is_refused(priorities: str) -> None:
    with pytest.raises(TlsSetupFailure, match=r"no (or insufficient priorities were set|version of TLS is left)"):
        Hello(priorities)


@pytest.mark.parametrize("priorities", ["NORMAL:-VERS-TLS1.2:+VERS-TLS1.1", "PROTOCOLS=TLSv1.1,TLSv1.3"])
def test_a_gap_between_versions_is_refused(priorities: str) -> None:
    with pytest.raises(TlsSetupFailure, match="OpenSSL cannot leave out a version of TLS between two others"):
        Hello(priorities)


def test_profiles_and_bases_set_the_level_of_certificates() -> None:
    def level(priorities: str) -> int:
        return prepare(TlsSettings(certcheck=False, priorities=priorities), "localhost").context.security_level

    assert [level(f"NORMAL:%PROFILE_{name}") for name in ("VERY_WEAK", "LOW", "MEDIUM", "HIGH", "ULTRA")] == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert [level(base) for base in ("NORMAL", "SECURE128", "SECURE192", "SECURE256")] == [2, 2, 3, 3]
    assert level("SECURE256:%PROFILE_LOW") == 3
    assert level("NORMAL:+VERS-TLS1.0") == 0
    assert level("NORMAL:%VERIFY_ALLOW_SIGN_WITH_SHA1") == 0


def test_options_reach_openssl() -> None:
    def options(priorities: str) -> int:
        return prepare(TlsSettings(certcheck=False, priorities=priorities), "localhost").context.options

    assert not options("NORMAL") & _openssl.OP_LEGACY_SERVER_CONNECT
    assert options("NORMAL:%UNSAFE_RENEGOTIATION") & _openssl.OP_LEGACY_SERVER_CONNECT
    assert not options("NORMAL:%UNSAFE_RENEGOTIATION:%SAFE_RENEGOTIATION") & _openssl.OP_LEGACY_SERVER_CONNECT
    assert options("NORMAL:%NO_TICKETS") & _openssl.OP_NO_TICKET
    assert options("NORMAL:%NO_ETM") & 1 << 19
    assert 23 not in Hello("NORMAL:%NO_SESSION_HASH").extensions
    assert 23 in Hello("NORMAL").extensions


def test_openssls_language_is_openssls() -> None:
    assert set(Hello("ECDHE-RSA-AES128-GCM-SHA256").suites) == {0xC02F, 0x1301, 0x1302, 0x1303}
    assert set(Hello("ECDHE+AESGCM:!ECDSA").suites) == {0xC02F, 0xC030, 0x1301, 0x1302, 0x1303}
    assert Hello("TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES256-GCM-SHA384").suites == [0x1301, 0xC030]
    assert prepare(TlsSettings(priorities="DEFAULT:@SECLEVEL=1"), "localhost").context.security_level == 1
    assert Hello("HIGH:!aNULL:!MD5:!RC4").suites


def test_libtls_language_is_libtlss() -> None:
    assert Hello("PROTOCOLS=TLSv1.3").versions == {0x304}
    assert (Hello("PROTOCOLS=TLSv1.2").versions or {0x303}) == {0x303}
    assert Hello("PROTOCOLS=all").versions == {0x303, 0x304}
    assert Hello("PROTOCOLS=TLSv1.1:TLSv1.2,TLSv1.3").versions == {0x302, 0x303, 0x304}
    assert (Hello("PROTOCOLS=!TLSv1.3").versions or {0x303}) == {0x303}
    hello = Hello("PROTOCOLS=TLSv1.3 CIPHERS=ECDHE-RSA-AES128-SHA256 ECDHECURVES=P-384")  # the manual's own
    assert hello.versions == {0x304}
    assert hello.groups == [24]
    assert Hello("ECDHECURVES=X25519,P-256").groups == [29, 23]
    assert set(Hello("CIPHERS=secure").suites) < set(Hello("CIPHERS=compat").suites)


def test_which_language_a_string_is_in() -> None:
    assert all(is_gnutls(text) for text in [*STRINGS, "@SYSTEM", "%COMPAT", "+VERS-TLS1.3"])
    assert not any(
        is_gnutls(text) for text in ["HIGH:!aNULL", "DEFAULT:@SECLEVEL=1", "ECDHE-RSA-AES128-GCM-SHA256", "ALL:-RC4"]
    )
    assert not {word for word in KEYWORDS if is_gnutls(f"HIGH:!{word}")} - {
        "RSA",
        "SHA1",
        "SHA256",
        "SHA384",
        "MD5",
        "PSK",
        "SRP",
        "NULL",
        "AEAD",
    }


@pytest.mark.releases("bookworm")
def test_every_word_is_also_gnutlss() -> None:
    """Nothing here is a word of our own making, but for groups and options newer than this machine's GnuTLS."""
    newer = {word for word in WORDS if "MLKEM" in word}
    for word in sorted(set(WORDS) - newer):
        run = subprocess.run(
            ["gnutls-cli", "-l", "--priority", f"NORMAL:-{word}:+{word}"], capture_output=True, text=True, check=False
        )
        assert "Syntax error" not in run.stdout + run.stderr, word


# -- small primes


def dh_server(bits: int, folder: Path) -> ssl.SSLContext:
    context = localhost_rsa().server_context(maximum_version=TLS1_2)
    context.set_ciphers("DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0")
    parameters = folder / "dh.pem"
    subprocess.run(["openssl", "dhparam", "-dsaparam", "-out", parameters, str(bits)], check=True, capture_output=True)
    context.load_dh_params(parameters)
    return context


@functools.cache
def localhost_rsa():  # type: ignore[no-untyped-def]
    return authority().issue(rsa=True)


@pytest.mark.parametrize(
    ("prime", "wanted", "accepted"),
    [
        (2048, 0, True),
        (1024, 0, False),
        (1024, 1024, True),
        (1024, 1025, False),
        (1536, 1200, True),
        (1536, 1537, False),
        (1024, 512, True),  # OpenSSL takes none that is shorter than 1024
        (1536, 512, True),
        (2048, 2048, True),
        (2048, 3072, False),
    ],
)
def test_the_smallest_prime_is_what_the_account_says(prime: int, wanted: int, accepted: bool, tmp_path: Path) -> None:
    settings = TlsSettings(trust_file=str(authority().file), min_dh_prime_bits=wanted)
    context = dh_server(prime, tmp_path)
    if accepted:
        shake(prepare(settings, "localhost"), context)
        return
    with pytest.raises(
        TlsHandshakeFailure, match=r"dh key too small|The Diffie-Hellman prime sent by the server is not"
    ) as caught:
        shake(prepare(settings, "localhost"), context)
    assert "tls_min_dh_prime_bits" in caught.value.hint


def test_elliptic_curves_have_no_prime(tmp_path: Path) -> None:
    shake(
        prepare(TlsSettings(trust_file=str(authority().file), min_dh_prime_bits=8192), "localhost"),
        localhost().server_context(),
    )


def test_a_group_of_tls_1_3_has_a_prime(tmp_path: Path) -> None:
    words = "NORMAL:-GROUP-ALL:+GROUP-FFDHE2048"
    with server("openssl", "-groups", "ffdhe2048", "-tls1_3") as port:
        talk(TlsSettings(trust_file=str(authority().file), priorities=words, min_dh_prime_bits=2048), port)
    with (
        server("openssl", "-groups", "ffdhe2048", "-tls1_3") as port,
        pytest.raises(TlsHandshakeFailure, match="Diffie-Hellman prime"),
    ):
        talk(TlsSettings(trust_file=str(authority().file), priorities=words, min_dh_prime_bits=3072), port)


# -- real servers


@contextlib.contextmanager
def server(kind: str, *arguments: str) -> Iterator[int]:
    """openssl s_server or gnutls-serv with the run's certificate, listening on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    chain, key = str(localhost().chain), str(localhost().key)
    command = {
        "openssl": ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", chain, "-key", key, "-rev"],
        "gnutls": [
            "gnutls-serv",
            "--quiet",
            "--echo",
            "--port",
            str(port),
            "--x509certfile",
            chain,
            "--x509keyfile",
            key,
        ],
    }[kind]
    with subprocess.Popen(
        [*command, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            yield port
        finally:
            process.kill()


def talk(settings: TlsSettings, port: int) -> Engine:
    """Shake hands, say something, hear the answer."""
    engine = prepare(settings, "localhost").engine()
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        try:
            while not engine.handshake():
                connection.sendall(engine.outgoing())
                engine.receive(connection.recv(65536))
            connection.sendall(engine.encrypt(b"hello\n"))
            while (heard := engine.plaintext(100)) is None:
                connection.sendall(engine.outgoing())
                engine.receive(connection.recv(65536))
            assert heard in (b"hello\n", b"olleh\n")
        finally:
            engine.close()
            with contextlib.suppress(OSError):
                connection.sendall(engine.outgoing())
    return engine


SERVERS = [
    ("gnutls", ("--priority", "NORMAL"), "NORMAL", ("TLSv1.3", "")),
    ("gnutls", ("--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2"), "NORMAL", ("TLSv1.2", "")),
    ("gnutls", ("--priority", "NORMAL"), "NORMAL:-VERS-TLS1.3:-CIPHER-ALL:+AES-128-CCM", ("TLSv1.2", "AES128-CCM")),
    ("gnutls", ("--priority", "SECURE256"), "SECURE256", ("", "")),
    ("gnutls", ("--priority", "NORMAL"), "NONE:+VERS-TLS1.3:+CHACHA20-POLY1305:+AEAD:+GROUP-ALL:+SIGN-ALL", ("TLSv1.3", "CHACHA20")),
    ("gnutls", ("--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.1"), "NORMAL", ("", "")),
    ("gnutls", ("--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.1"), "NORMAL:+VERS-TLS1.1", ("TLSv1.1", "")),
    ("gnutls", ("--priority", "NORMAL:-GROUP-ALL:+GROUP-X25519"), "NORMAL:-GROUP-X25519", ("", "")),
    ("openssl", ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"), "NORMAL", ("TLSv1.2", "ECDHE-ECDSA-AES128-SHA")),
    ("openssl", ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"), "NORMAL:-SHA1", ("", "")),
    ("openssl", ("-ciphersuites", "TLS_AES_128_GCM_SHA256"), "SECURE128", ("TLSv1.3", "AES_128")),
    ("openssl", ("-ciphersuites", "TLS_AES_128_GCM_SHA256", "-tls1_3"), "NORMAL:-AES-128-GCM", ("", "")),
    ("openssl", ("-groups", "X448"), "NORMAL:-GROUP-ALL:+GROUP-X448", ("TLSv1.3", "")),
    ("openssl", ("-groups", "X448"), "NORMAL:-GROUP-X448", ("", "")),
    ("openssl", ("-sigalgs", "ECDSA+SHA256"), "NORMAL:-SIGN-ECDSA-SHA256:-SIGN-ECDSA-SECP256R1-SHA256", ("", "")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "arguments", "words", "agreed"), SERVERS)
def test_real_servers_agree(kind: str, arguments: tuple[str, ...], words: str, agreed: tuple[str, str]) -> None:
    """``agreed`` is the version and part of the cipher, or nothing: no session comes about."""
    settings = TlsSettings(trust_file=str(authority().file), priorities=words)
    with server(kind, *arguments) as port:
        if any(agreed):
            engine = talk(settings, port)
            assert engine.info is not None
            assert engine.info.version == agreed[0]
            assert agreed[1] in engine.info.cipher
        elif words == "SECURE256":
            with pytest.raises(
                Exception, match=r"insecure algorithm|TLS handshake failed"
            ):  # P-256 is too small for it
                talk(settings, port)
        else:
            with pytest.raises(TlsHandshakeFailure, match=r"^TLS handshake failed: "):
                talk(settings, port)


# -- where Python cannot


def test_a_python_that_is_not_known_refuses_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_libssl, "KNOWN_LAYOUT", ((3, 1), (3, 2)))
    assert Hello("NORMAL:-RSA").suites
    with pytest.raises(TlsSetupFailure, match="this Python cannot restrict") as caught:
        Hello("NORMAL:-GROUP-X25519")
    assert caught.value.hint


def test_newer_pythons_are_asked_by_their_own_methods() -> None:
    class Newer:
        """The methods of Python 3.15."""

        def __init__(self) -> None:
            self.told: list[str] = []

        def set_groups(self, names: str) -> None:
            if "nonsense" in names:
                raise ssl.SSLError
            self.told.append(names)

        set_ciphersuites = set_server_sigalgs = set_groups

    newer = Newer()
    assert _libssl.set_groups(newer, ["X25519", "X448"])  # type: ignore[arg-type]
    assert _libssl.set_suites_of_tls1_3(newer, ["TLS_AES_128_GCM_SHA256"])  # type: ignore[arg-type]
    assert _libssl.set_signatures(newer, ["ed25519"])  # type: ignore[arg-type]
    assert newer.told == ["X25519:X448", "TLS_AES_128_GCM_SHA256", "ed25519"]
    assert not _libssl.set_groups(newer, ["nonsense"])  # type: ignore[arg-type]
