"""tls_priorities, in whichever of three languages it is written, and tls_min_dh_prime_bits.

    NORMAL:-VERS-TLS1.3                 GnuTLS's, what existing configuration files hold (msmtp.net.gnutls)
    PROTOCOLS=TLSv1.3 ECDHECURVES=P-384 libtls's, words with spaces between
    ECDHE+AESGCM:!SHA1:@SECLEVEL=2      OpenSSL's cipher list (ciphers(1)); suites of TLS 1.3 by their names, too

All are turned into one :class:`Choice`, and that is applied to the context.  What cannot be applied is refused by name:
a string that restricts less than it says would be worse than none.
"""

from __future__ import annotations

from msmtp.failures import TlsSetupFailure
from msmtp.net import _openssl
from msmtp.net.binding import KEY_SHARE, SERVER_HELLO, SERVER_KEY_EXCHANGE, extensions
from msmtp.net.gnutls import UnknownWordError, choose, is_gnutls
from msmtp.net.suites import GROUPS, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from msmtp.net._openssl import Context

EVERYTHING = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"

# Below this level OpenSSL does not sign with SHA-1 and MD5, and TLS 1.0 and 1.1 can do nothing else.
LEVEL_OF_OLD_VERSIONS = 0

# Level 2 is OpenSSL's default and wants a Diffie-Hellman prime of 2048 bits, level 1 one of 1024.  On no level does it
# take a shorter one (SSL_CTX_set_security_level(3)).  A longer one than 2048 is wanted by the engine.
LEVEL_OF_SHORT_PRIMES, LEVEL_2_PRIME = 1, 2048

# libtls's words (tls_config_set_protocols(3), tls_config_set_ciphers(3)).
PROTOCOLS = {
    "tlsv1.0": {_openssl.TLS1_0},
    "tlsv1.1": {_openssl.TLS1_1},
    "tlsv1.2": {_openssl.TLS1_2},
    "tlsv1.3": {_openssl.TLS1_3},
    "secure": {_openssl.TLS1_2, _openssl.TLS1_3},
    "default": {_openssl.TLS1_2, _openssl.TLS1_3},
    "all": {_openssl.TLS1_2, _openssl.TLS1_3},
    "legacy": {_openssl.TLS1_2, _openssl.TLS1_3},
}
SECURE_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"
CIPHER_SETS = {
    "secure": SECURE_SUITES,
    "default": SECURE_SUITES,
    "compat": "HIGH:!aNULL",
    "legacy": "HIGH:MEDIUM:!aNULL",
    "all": "ALL:!aNULL:!eNULL",
    "insecure": "ALL:!aNULL:!eNULL",
}
LIBTLS_WORDS = ("PROTOCOLS=", "CIPHERS=", "ECDHECURVES=")

# OpenSSL's words for groups of suites (ciphers(1)): to exclude one that is empty in this build is no mistake.
KEYWORDS = frozenset(
    """
    DEFAULT ALL COMPLEMENTOFDEFAULT COMPLEMENTOFALL HIGH MEDIUM LOW EXP EXPORT EXPORT40 EXPORT56 eNULL NULL aNULL kRSA
    aRSA RSA kDHr kDHd kDH kDHE kEDH DH DHE EDH ADH kEECDH kECDHE ECDH ECDHE EECDH AECDH aDSS DSS aDH aECDSA ECDSA SSLv2
    SSLv3 TLSv1 TLSv1.0 TLSv1.2 AES128 AES256 AES AESGCM AESCCM AESCCM8 ARIA128 ARIA256 ARIA ARIAGCM CAMELLIA128
    CAMELLIA256 CAMELLIA CHACHA20 3DES DES RC4 RC2 IDEA SEED MD5 SHA1 SHA SHA256 SHA384 aGOST aGOST01 kGOST GOST94
    GOST89MAC PSK kPSK kECDHEPSK kDHEPSK kRSAPSK aPSK SUITEB128 SUITEB128ONLY SUITEB192 SRP kSRP aSRP
    """.split()  # noqa: SIM905 - a hundred quotation marks less
)


class Choice:
    """What is to be offered.  None: what OpenSSL offers by itself.

    ``versions``: wire numbers.  ``suites``: up to TLS 1.2.  ``level``: OpenSSL's security level; ``floor``: raise it to
    this at least.
    """

    __slots__ = (
        "clear_options", "context", "floor", "groups", "level", "set_options", "signatures", "suites",
        "suites_of_tls1_3", "versions",
    )  # fmt: skip

    def __init__(self, context: Context) -> None:
        self.context = context
        self.versions: set[int] | None = None
        self.suites: list[str] | None = None
        self.suites_of_tls1_3: list[str] | None = None
        self.groups: list[str] | None = None
        self.signatures: list[str] | None = None
        self.set_options = 0
        self.clear_options = 0
        self.level: int | None = None
        self.floor = 0

    def available(self) -> list[str]:
        """Every suite up to TLS 1.2 that this OpenSSL knows, of whatever strength."""
        scratch = _openssl.new_context()
        scratch.set_ciphers(EVERYTHING)
        return [name for name in _names(scratch) if not name.startswith("TLS_")]


def apply(context: Context, text: str, min_dh_prime_bits: int = 0) -> None:
    """Let ``context`` offer what ``text`` says, and lower the level for small primes; TlsSetupFailure."""
    choice = Choice(context)
    try:
        if not text:
            pass
        elif any(word.startswith(LIBTLS_WORDS) for word in text.split()):
            _choose_libtls(text, choice)
        elif is_gnutls(text):
            choose(text, choice)
        else:
            _choose_openssl(text, choice)
        _apply(choice, min_dh_prime_bits)
    except UnknownWordError as error:
        raise TlsSetupFailure(_words(str(error)), hint=_nearest(error)) from None
    except (ValueError, OSError) as error:
        raise TlsSetupFailure(_words(_openssl.words(error))) from None
    except (ImportError, NotImplementedError):
        raise TlsSetupFailure(
            _words("this Python cannot restrict the groups, the signatures or the suites of TLS 1.3"),
            hint="leave the words about them out of tls_priorities",
        ) from None


def _words(reason: str) -> str:
    return f"cannot set priorities for TLS session: {reason}"


def _nearest(error: UnknownWordError) -> str:
    from difflib import get_close_matches

    near = get_close_matches(error.word.upper(), error.known, 3, 0.6) or get_close_matches(error.word, error.known, 3)
    return f"known words nearest to it: {', '.join(near)}" if near else "check tls_priorities"


def _names(context: Context) -> list[str]:
    return [str(suite["name"]) for suite in context.get_ciphers()]


def _apply(choice: Choice, min_dh_prime_bits: int) -> None:
    context = choice.context
    level = current = context.security_level
    if choice.level is not None:
        level = choice.level
    level = max(level, choice.floor)
    if 0 < min_dh_prime_bits < LEVEL_2_PRIME:
        level = min(level, LEVEL_OF_SHORT_PRIMES)
    if choice.versions is not None:
        _set_versions(context, choice.versions)
        if min(choice.versions) < _openssl.TLS1_2:
            level = LEVEL_OF_OLD_VERSIONS
    context.options = (context.options | choice.set_options) & ~choice.clear_options
    suites = choice.suites
    if suites is None and level != current:
        suites = [name for name in _names(context) if not name.startswith("TLS_")]
    if suites:
        context.set_ciphers(":".join([*suites, f"@SECLEVEL={level}"] if level != current else suites))
    elif level != current:
        context.set_ciphers(f"ALL:@SECLEVEL={level}")
    _restrict(choice)


def _restrict(choice: Choice) -> None:
    """What needs more than Python's own methods."""
    if not (choice.suites_of_tls1_3 or choice.groups or choice.signatures):
        return
    from msmtp.net import _libssl

    for names, setter, kind in (
        (choice.suites_of_tls1_3, _libssl.set_suites_of_tls1_3, "suites of TLS 1.3"),
        (choice.groups, _libssl.set_groups, "groups"),
        (choice.signatures, _libssl.set_signatures, "signature algorithms"),
    ):
        if names and not setter(choice.context, names):
            unknown = [name for name in names if not setter(_openssl.new_context(), [name])]
            raise ValueError(f"this OpenSSL does not know these {kind}: {', '.join(unknown or names)}")


def _set_versions(context: Context, versions: set[int]) -> None:
    lowest, highest = min(versions), max(versions)
    if versions != set(range(lowest, highest + 1)):
        raise ValueError("OpenSSL cannot leave out a version of TLS between two others")
    if lowest >= _openssl.TLS1_2:
        context.minimum_version = lowest
        context.maximum_version = highest
        return
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's; who asks for old versions knows
        context.minimum_version = lowest
        context.maximum_version = highest


def _choose_openssl(text: str, choice: Choice) -> None:
    """A list for SSL_CTX_set_cipher_list(3).  OpenSSL overlooks words that it does not know; we do not."""
    words = text.replace(",", ":").replace(" ", ":").split(":")
    new = [word for word in words if word.startswith("TLS_")]
    old = [word for word in words if word and not word.startswith("TLS_")]
    for word in old:
        if not _known(word):
            sign = word[: len(word) - len(word.lstrip("+-!"))]
            raise UnknownWordError(word, known=[sign + known for known in sorted({*KEYWORDS, *choice.available()})])
    if old:
        choice.context.set_ciphers(":".join(old))
    if new:
        choice.suites_of_tls1_3 = new


def _known(word: str) -> bool:
    name = word.lstrip("+-!")
    if name.startswith("@") or all(part in KEYWORDS for part in name.split("+")):
        return True
    try:
        _openssl.new_context().set_ciphers(f"{name}:@SECLEVEL=0")
    except _openssl.SSLError:
        return False
    return True


def _choose_libtls(text: str, choice: Choice) -> None:
    """Words of the form NAME=value with spaces between (manual, 2.3)."""
    for word in text.split():
        name, _, value = word.partition("=")
        if name == "PROTOCOLS":
            choice.versions = _protocols(value)
        elif name == "CIPHERS":
            _choose_openssl(CIPHER_SETS.get(value.lower(), value), choice)
        elif name == "ECDHECURVES":
            choice.groups = value.replace(",", ":").split(":")
        else:
            raise UnknownWordError(word, known=LIBTLS_WORDS)


def _protocols(value: str) -> set[int]:
    chosen: set[int] = set()
    for at, word in enumerate(value.replace(",", ":").split(":")):
        name = word.lstrip("!").lower()
        if name not in PROTOCOLS:
            raise UnknownWordError(word, known=_spelt(PROTOCOLS))
        if word.startswith("!"):
            chosen = (chosen if at else PROTOCOLS["all"]) - PROTOCOLS[name]
        else:
            chosen |= PROTOCOLS[name]
    if not chosen:
        raise ValueError("no version of TLS is left")
    return chosen


def _spelt(names: Iterable[str]) -> list[str]:
    return [name.replace("tlsv", "TLSv") for name in names]


def prime_bits(cipher: str, messages: dict[int, bytes]) -> int:
    """The size of the Diffie-Hellman prime that the server has sent; 0: there was none.

    TLS 1.3 names a group (RFC 8446, section 4.2.8), older versions send the prime itself (RFC 5246, section 7.4.3).
    """
    if cipher.startswith("TLS_"):
        group = int.from_bytes(extensions(messages.get(SERVER_HELLO, b"")).get(KEY_SHARE, b"")[:2], "big")
        name = GROUPS.get(group, ("", ""))[0]
        return int(name[5:]) if name.startswith("FFDHE") else 0
    if not split(cipher)[0].startswith(("DHE-", "ANON-DH")):
        return 0
    message = messages.get(SERVER_KEY_EXCHANGE, b"")
    size = int.from_bytes(message[4:6], "big")
    return int.from_bytes(message[6 : 6 + size], "big").bit_length()
