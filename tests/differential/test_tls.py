"""TLS: STARTTLS and from the start, good and bad certificates, trust, fingerprints, revocation, files."""

from __future__ import annotations

import functools
import re

from tests.support import certificates
from tests.support.differential import Bed, Case, Change, Differs, all_of, exits, shows
from tests.support.scripted import Polite

BASE = "account default\nhost 127.0.0.1\nport {port}\nfrom joe@example.org\nlogfile ~/log\ntls on\n"
TRUST = BASE + "tls_trust_file {ca}\n"
STARTTLS = Polite(extensions=("PIPELINING",), starttls=True)
PLAIN = Polite(extensions=("PIPELINING",))


@functools.cache
def expired() -> certificates.Certificate:
    return certificates.authority().expired()


@functools.cache
def future() -> certificates.Certificate:
    return certificates.authority().future()


@functools.cache
def other_host() -> certificates.Certificate:
    return certificates.authority().issue("mail.example")


@functools.cache
def rsa() -> certificates.Certificate:
    return certificates.authority().issue(rsa=True)


@functools.cache
def unknown() -> certificates.Certificate:
    return certificates.new_authority("Unknown").issue()


def verdict(words: str) -> Differs:
    """A certificate that is not trusted: GnuTLS's words, without the blank behind them."""
    words = f"The certificate is NOT trusted. {words}"
    return Differs("tls-words", stderr=(f"{words} ", words), log=(f"{words} '", f"{words}'"))


def words(theirs: str, ours: str) -> Differs:
    """What the TLS library says about a file or a setting is OpenSSL's or ours."""
    change: Change = (f"TLS session: {theirs}", f"TLS session: {ours}")
    return Differs("tls-words", stderr=change, log=change)


UNKNOWN = verdict("The certificate issuer is unknown.")
EXPIRED = verdict("The certificate chain uses expired certificate.")
FUTURE = verdict("The certificate chain uses not yet valid certificate.")
OTHER_HOST = verdict("The name in the certificate does not match the expected.")
NO_FILE = words("Error while reading file.", "No such file or directory")
SESSION = Differs("tls-session", stdout=lambda their, our: without_session(their) == without_session(our))


def without_session(report: str) -> str:
    """A report of --serverinfo without what was negotiated."""
    return re.sub(r"\n    \(TLS1\.[23]\)-\([A-Z0-9-]+\)-\([A-Z0-9-]+\)-\([A-Z0-9-]+\)\n", "\n", report)


def starttls(name: str, config: str, options: str = "ann@example.net", **more: object) -> Case:
    """A mail over STARTTLS."""
    return Case(name, options, config=config, server=more.pop("server", STARTTLS), **more)  # type: ignore[arg-type]


def tunnelled(name: str, config: str, options: str = "ann@example.net", **more: object) -> Case:
    """A mail over TLS from the start."""
    return Case(name, options, config=config + "tls_starttls off\n", server=PLAIN, implicit=True, **more)  # type: ignore[arg-type]


BOTH = (starttls, tunnelled)

# fmt: off
CASES = [
    starttls("STARTTLS", TRUST),
    tunnelled("TLS from the start", TRUST),
    starttls("STARTTLS, the host by name", TRUST.replace("host 127.0.0.1", "host localhost")),
    starttls("an RSA certificate", TRUST, certificate=rsa),
    *(make(f"{make.__name__}: the authority is not trusted", BASE, expect=UNKNOWN) for make in BOTH),
    *(make(f"{make.__name__}: an authority nobody knows", TRUST.replace("{ca}", str(certificates.localhost().authority)), certificate=unknown, expect=UNKNOWN) for make in BOTH),
    *(make(f"{make.__name__}: expired", TRUST, certificate=expired, expect=EXPIRED) for make in BOTH),
    starttls("not valid yet", TRUST, certificate=future, expect=FUTURE),
    starttls("a certificate of another host", TRUST, certificate=other_host, expect=OTHER_HOST),
    starttls("a certificate of another host, tls_host_override", TRUST + "tls_host_override mail.example\n", certificate=other_host),
    starttls("tls_host_override that is wrong", TRUST + "tls_host_override other.example\n", expect=OTHER_HOST),
    starttls("tls_certcheck off", BASE + "tls_certcheck off\n"),
    starttls("tls_certcheck off, expired, of another host", BASE + "tls_certcheck off\n", certificate=other_host),
    starttls("fingerprint SHA256", BASE + "tls_fingerprint {sha256}\n"),
    starttls("fingerprint SHA1", BASE + "tls_fingerprint {sha1}\n"),
    starttls("fingerprint MD5", BASE + "tls_fingerprint {md5}\n"),
    starttls("a fingerprint overrides host and dates", BASE + "tls_fingerprint {sha256}\n", certificate=other_host),
    starttls("a fingerprint that is wrong", BASE + "tls_fingerprint " + "00" * 32 + "\n"),
    starttls("a fingerprint that is wrong, with trust", TRUST + "tls_fingerprint " + "00" * 32 + "\n"),
    starttls("certcheck off overrides a wrong fingerprint", BASE + "tls_certcheck off\ntls_fingerprint " + "00" * 32 + "\n"),
    # -- the step itself
    Case("STARTTLS is not offered", config=TRUST, server=PLAIN),
    starttls("STARTTLS: 454", TRUST, server=Polite(starttls=True, replies={"STARTTLS": "454 4.7.0 not now"}), expect=exits("exit-not-ready", 76, 75)),
    starttls("STARTTLS: 501", TRUST, server=Polite(starttls=True, replies={"STARTTLS": "501 no"})),
    starttls("bytes behind the answer to STARTTLS", TRUST, server=Polite(starttls=True, replies={"STARTTLS": "220 go\n250 injected"}), expect=Differs("starttls-injection", stderr=shows("the server sent something behind its reply to STARTTLS: 250 injected\\r\\n"), log=("command STARTTLS failed", "the server sent something behind its reply to STARTTLS: 250 injected\\r\\n"))),
    Case("TLS from the start to a server that speaks SMTP", config=TRUST + "tls_starttls off\n", server=PLAIN, expect=Differs("tls-words", stderr=("An unexpected TLS packet was received.", "wrong version number"), log=("An unexpected TLS packet was received.", "wrong version number"), commands=lambda their, our: their[:12] == our[:12])),
    starttls("EHLO under TLS is refused", TRUST, server=Polite(starttls=True, replies={"EHLO tls": "550 no"})),
    starttls("tls off, STARTTLS is offered", TRUST + "tls off\n"),
    starttls("--tls=off", TRUST, "--tls=off ann@example.net"),
    starttls("--tls-certcheck=off", BASE, "--tls-certcheck=off ann@example.net"),
    starttls("--tls-trust-file", BASE, "--tls-trust-file={ca} ann@example.net"),
    starttls("--tls-fingerprint", BASE, "--tls-fingerprint={sha1} ann@example.net"),
    tunnelled("LMTP over TLS", TRUST.replace("tls on", "tls on\nprotocol lmtp")),
    # -- files
    starttls("a trust file that is not there", BASE + "tls_trust_file ~/nowhere\n", expect=NO_FILE),
    starttls("a trust file that is no PEM", BASE + "tls_trust_file ~/ca\n", files={"ca": "hello\n"}, expect=words("Success.", "no certificate in PEM format in it")),
    starttls("an empty trust file", BASE + "tls_trust_file ~/ca\n", files={"ca": ""}, expect=words("Success.", "no certificate in PEM format in it")),
    starttls("a revocation list that is not there", TRUST + "tls_crl_file ~/nowhere\n", expect=NO_FILE),
    starttls("a revocation list that is none", TRUST + "tls_crl_file ~/crl\n", files={"crl": "hello\n"}, expect=words("Base64 decoding error.", "no certificate or crl found")),
    starttls("a key that is not there", TRUST + "tls_key_file ~/k\ntls_cert_file ~/c\n", expect=NO_FILE),
    starttls("a key that is none", TRUST + "tls_key_file ~/k\ntls_cert_file ~/c\n", files={"k": "hello\n", "c": "hello\n"}, expect=words("The requested data were not available.", "it is not in PEM format")),
    starttls("priorities that are wrong", TRUST + "tls_priorities NONSENSE\n", expect=words("error in priority string at position 1", "unknown word: NONSENSE")),
    starttls("priorities: TLS 1.2 only", TRUST + "tls_priorities NORMAL:-VERS-ALL:+VERS-TLS1.2\n"),
    starttls("priorities: SECURE256", TRUST + "tls_priorities SECURE256\n", expect=Differs("tls-words", stderr=("alert has been received.", "alert has been received: alert handshake failure"), log=("alert has been received.", "alert has been received: alert handshake failure"))),
    starttls("tls_min_dh_prime_bits", TRUST + "tls_min_dh_prime_bits 512\n"),
    # -- what --serverinfo says of it
    Case("--serverinfo over STARTTLS", "--serverinfo --tls-certcheck=off", config=BASE, server=STARTTLS, expect=SESSION),
    Case("--serverinfo over STARTTLS, trusted", "--serverinfo", config=TRUST, server=STARTTLS, expect=SESSION),
    Case("--serverinfo over TLS from the start", "--serverinfo --tls-starttls=off", config=TRUST, server=PLAIN, implicit=True, expect=SESSION),
    Case("--serverinfo, the authority is not trusted", "--serverinfo", config=BASE, server=STARTTLS, expect=Differs("tls-words", stderr=("is unknown. ", "is unknown."))),
    Case("--serverinfo, STARTTLS is not offered", "--serverinfo", config=TRUST, server=PLAIN),
    Case("--serverinfo, a trust file that is not there", "--serverinfo --tls-trust-file={home}/nowhere", config=BASE, server=STARTTLS, expect=Differs("tls-words", stderr=("Error while reading file.", "No such file or directory"))),
]
# fmt: on


@all_of(CASES)
def test_both(case: Case, bed: Bed) -> None:
    bed.check(case)
