"""GnuTLS's priority strings, understood for OpenSSL: ``NORMAL:-VERS-TLS1.3:+AES-128-CCM:%COMPAT``.

A string is a list of words with ``:`` between.  The first names a base, a level of security.  Each further one adds (+)
or removes (- or !) an algorithm or all of a kind, or (%) sets an option.  Case does not matter.  (GnuTLS manual,
"Priority strings".)  What is meant is turned into what OpenSSL takes; a word without a counterpart there is refused by
name, but for words about what a client of ours never had anyway (compression, OpenPGP, passwords, pre-shared keys).

One difference is meant: no base brings TLS 1.0 and 1.1 (RFC 8996); only ``+VERS-TLS1.0`` and the like do.
"""

from __future__ import annotations

from msmtp.net import _openssl
from msmtp.net.suites import CIPHERS, CURVES_OF_TLS1_3, GROUPS, HASHES, KEY_EXCHANGES, SIGNATURES, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from msmtp.net.priorities import Choice

# -- the kinds of things, each in the order of GnuTLS's NORMAL

VERSIONS = {
    "TLS1.3": _openssl.TLS1_3,
    "TLS1.2": _openssl.TLS1_2,
    "TLS1.1": _openssl.TLS1_1,
    "TLS1.0": _openssl.TLS1_0,
}
ALL_VERSIONS = tuple(VERSIONS)
OLD_VERSIONS = ("TLS1.1", "TLS1.0")

NORMAL_EXCHANGES = ("ECDHE-ECDSA", "ECDHE-RSA", "RSA", "DHE-RSA")
FORWARD_SECRET = ("ECDHE-ECDSA", "ECDHE-RSA", "DHE-RSA")

NORMAL_CIPHERS = (
    "AES-256-GCM", "CHACHA20-POLY1305", "AES-256-CCM", "AES-256-CBC", "AES-128-GCM", "AES-128-CCM", "AES-128-CBC",
)  # fmt: skip
FAST_CIPHERS = (
    "AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305", "AES-128-CCM", "AES-256-CCM", "AES-128-CBC", "AES-256-CBC",
)  # fmt: skip
CIPHERS_128 = (
    "AES-256-GCM", "CHACHA20-POLY1305", "AES-256-CBC", "AES-256-CCM", "AES-128-GCM", "AES-128-CBC", "AES-128-CCM",
)  # fmt: skip
CIPHERS_256 = ("AES-256-GCM", "CHACHA20-POLY1305", "AES-256-CBC", "AES-256-CCM")

NORMAL_MACS = ("SHA1", "AEAD")

CURVES = ("SECP256R1", "SECP384R1", "SECP521R1", "X25519", "X448")
FIELDS = ("FFDHE2048", "FFDHE3072", "FFDHE4096", "FFDHE6144", "FFDHE8192")
NORMAL_GROUPS = CURVES + FIELDS
GROUPS_256 = ("SECP384R1", "SECP521R1", "FFDHE8192")

# By their numbers on the wire (msmtp.net.suites.SIGNATURES).
SIGNATURES_256 = (0x0501, 0x080A, 0x0805, 0x0503, 0x0808, 0x0601, 0x080B, 0x0806, 0x0603)
SIGNATURES_128 = (0x0401, 0x0809, 0x0804, 0x0403, 0x0807, *SIGNATURES_256)
NORMAL_SIGNATURES = (*SIGNATURES_128, 0x0201, 0x0203)

KINDS = ("versions", "exchanges", "ciphers", "macs", "groups", "signatures")

# Base -> what it holds of each kind, and the security level that it demands of certificates.
BASES: dict[str, tuple[tuple[object, ...], ...]] = {
    "NONE": ((), (), (), (), (), ()),
    "NORMAL": (ALL_VERSIONS, NORMAL_EXCHANGES, NORMAL_CIPHERS, NORMAL_MACS, NORMAL_GROUPS, NORMAL_SIGNATURES),
    "LEGACY": (ALL_VERSIONS, NORMAL_EXCHANGES, NORMAL_CIPHERS, NORMAL_MACS, NORMAL_GROUPS, NORMAL_SIGNATURES),
    "PFS": (ALL_VERSIONS, FORWARD_SECRET, NORMAL_CIPHERS, NORMAL_MACS, NORMAL_GROUPS, NORMAL_SIGNATURES),
    "PERFORMANCE": (
        ALL_VERSIONS, ("RSA", "ECDHE-ECDSA", "ECDHE-RSA", "DHE-RSA"), FAST_CIPHERS, NORMAL_MACS, NORMAL_GROUPS,
        NORMAL_SIGNATURES,
    ),
    "SECURE128": (ALL_VERSIONS, NORMAL_EXCHANGES, CIPHERS_128, NORMAL_MACS, NORMAL_GROUPS, SIGNATURES_128),
    "SECURE192": (ALL_VERSIONS, NORMAL_EXCHANGES, CIPHERS_256, ("AEAD",), GROUPS_256, SIGNATURES_256),
    "SECURE256": (ALL_VERSIONS, NORMAL_EXCHANGES, CIPHERS_256, ("AEAD",), GROUPS_256, SIGNATURES_256),
    "SUITEB128": (
        ("TLS1.2",), ("ECDHE-ECDSA",), ("AES-256-GCM", "AES-128-GCM"), ("AEAD",), ("SECP256R1", "SECP384R1"),
        (0x0403, 0x0503),
    ),
    "SUITEB192": (("TLS1.2",), ("ECDHE-ECDSA",), ("AES-256-GCM",), ("AEAD",), ("SECP384R1",), (0x0503,)),
}  # fmt: skip
LEVELS = {"SECURE192": 3, "SECURE256": 3, "SUITEB128": 3, "SUITEB192": 4}

# Cipher -> OpenSSL's suite in TLS 1.3.  The first three are offered unless something else is said.
SUITES_OF_TLS1_3 = {
    "AES-256-GCM": "TLS_AES_256_GCM_SHA384",
    "CHACHA20-POLY1305": "TLS_CHACHA20_POLY1305_SHA256",
    "AES-128-GCM": "TLS_AES_128_GCM_SHA256",
    "AES-128-CCM": "TLS_AES_128_CCM_SHA256",
    "AES-128-CCM-8": "TLS_AES_128_CCM_8_SHA256",
}
OFFERED_IN_TLS1_3 = ("AES-256-GCM", "CHACHA20-POLY1305", "AES-128-GCM")

# Algorithms of GnuTLS that OpenSSL does not have (or not for TLS); to remove one is no trouble.
FOREIGN = (
    "AES-192-CBC", "AES-192-GCM", "ESTREAM-SALSA20-256", "SALSA20-256", "CHACHA20-32", "CHACHA20-64",
    "CAMELLIA-192-CBC", "CAMELLIA-128-GCM", "CAMELLIA-256-GCM", "DES-CBC", "RC2-40", "SHA512", "SHA224", "UMAC-96",
    "UMAC-128", "VERS-SSL3.0", "SIGN-RSA-MD5", "SIGN-RSA-MD2", "SIGN-RSA-RMD160", "SIGN-RSA-RAW", "SIGN-DSA-SHA384",
    "SIGN-DSA-SHA512", "GROUP-GC256B", "GROUP-GC512A", "GROUP-GOST-ALL", "SIGN-GOST-ALL", "VKO-GOST-12", "RSA-EXPORT",
    "NULL",
)  # fmt: skip

# Words that change nothing: what they are about is not there, with or without them.
IDLE = (
    "COMP-NULL", "COMP-DEFLATE", "COMP-LZO", "COMP-ALL", "CTYPE-X509", "CTYPE-X.509", "CTYPE-OPENPGP", "CTYPE-ALL",
    "CTYPE-CLI-X509", "CTYPE-SRV-X509", "CTYPE-CLI-ALL", "CTYPE-SRV-ALL", "VERS-DTLS-ALL", "VERS-DTLS0.9",
    "VERS-DTLS1.0", "VERS-DTLS1.2", "PSK", "RSA-PSK", "DHE-PSK", "ECDHE-PSK", "SRP", "SRP-RSA", "SRP-DSS", "ANON-DH",
    "ANON-ECDH",
)  # fmt: skip

# Option -> OpenSSL's options it sets, those it clears, the security level it lowers to (None: it does not).
OP_NO_EXTENDED_MASTER_SECRET, OP_NO_ENCRYPT_THEN_MAC, OP_ENABLE_MIDDLEBOX_COMPAT = 1 << 0, 1 << 19, 1 << 20
OPTIONS: dict[str, tuple[int, int, int | None]] = {
    "COMPAT": (0, 0, None),
    "DUMBFW": (0, 0, None),
    "SERVER_PRECEDENCE": (0, 0, None),
    "SSL3_RECORD_VERSION": (0, 0, None),
    "LATEST_RECORD_VERSION": (0, 0, None),
    "SAFE_RENEGOTIATION": (0, _openssl.OP_LEGACY_SERVER_CONNECT, None),
    "PARTIAL_RENEGOTIATION": (_openssl.OP_LEGACY_SERVER_CONNECT, 0, None),
    "UNSAFE_RENEGOTIATION": (_openssl.OP_LEGACY_SERVER_CONNECT, 0, None),
    "DISABLE_SAFE_RENEGOTIATION": (_openssl.OP_LEGACY_SERVER_CONNECT, 0, None),
    "NO_TICKETS": (_openssl.OP_NO_TICKET, 0, None),
    "NO_TICKETS_TLS12": (_openssl.OP_NO_TICKET, 0, None),
    "NO_SESSION_HASH": (OP_NO_EXTENDED_MASTER_SECRET, 0, None),
    "NO_ETM": (OP_NO_ENCRYPT_THEN_MAC, 0, None),
    "DISABLE_TLS13_COMPAT_MODE": (0, OP_ENABLE_MIDDLEBOX_COMPAT, None),
    "VERIFY_ALLOW_SIGN_WITH_SHA1": (0, 0, 0),
    "PROFILE_VERY_WEAK": (0, 0, 0),
    "PROFILE_LOW": (0, 0, 1),
    "PROFILE_LEGACY": (0, 0, 1),
    "PROFILE_MEDIUM": (0, 0, 2),
    "PROFILE_HIGH": (0, 0, 3),
    "PROFILE_ULTRA": (0, 0, 4),
    "PROFILE_FUTURE": (0, 0, 5),
}


def _words() -> dict[str, tuple[str, tuple[object, ...]]]:
    """Word -> the kind it is about, and the members of that kind it means."""
    words: dict[str, tuple[str, tuple[object, ...]]] = {
        "VERS-ALL": ("versions", tuple(VERSIONS)),
        "VERS-TLS-ALL": ("versions", tuple(VERSIONS)),
        "KX-ALL": ("exchanges", NORMAL_EXCHANGES),
        "CIPHER-ALL": ("ciphers", NORMAL_CIPHERS),
        "MAC-ALL": ("macs", NORMAL_MACS),
        "SIGN-ALL": ("signatures", NORMAL_SIGNATURES),
    }
    words.update({"GROUP-" + name: ("groups", (name,)) for name, _ in GROUPS.values()})
    words.update({"CURVE-" + name: ("groups", (name,)) for name in ("SECP192R1", "SECP224R1", *CURVES)})
    words["GROUP-ALL"] = ("groups", NORMAL_GROUPS)
    words["CURVE-ALL"] = ("groups", CURVES)
    words["GROUP-EC-ALL"] = ("groups", CURVES)
    words["GROUP-DH-ALL"] = ("groups", FIELDS)
    words.update({"VERS-" + name: ("versions", (name,)) for name in VERSIONS})
    words.update({name: ("exchanges", (name,)) for _, name in KEY_EXCHANGES})
    words.update({name: ("ciphers", (name,)) for name in CIPHERS.values() if not name.startswith(("ARIA", "SEED"))})
    words.update({name: ("macs", (name,)) for name in (*HASHES.values(), "AEAD")})
    for number, (name, _) in SIGNATURES.items():
        words["SIGN-" + name.upper()] = ("signatures", (number,))
    words.update({"SIGN-" + name: ("signatures", (number,)) for number, name in CURVES_OF_TLS1_3.items()})
    words.update(dict.fromkeys(IDLE, ("", ())))
    words.update(dict.fromkeys(FOREIGN, ("foreign", ())))
    return words


WORDS = _words()


# How a word begins that no cipher list of OpenSSL has.
PREFIXES = ("VERS-", "GROUP-", "CURVE-", "SIGN-", "COMP-", "CTYPE-", "KX-", "CIPHER-", "MAC-")


def is_gnutls(text: str) -> bool:
    """Whether a priority string is in GnuTLS's language."""
    words = [word.strip().upper() for word in text.split(":")]
    if words[0] in BASES or words[0] in ("@SYSTEM", "SYSTEM", "SECURE", "EXPORT"):
        return True
    return any(word[:1] == "%" or word[1:].startswith(PREFIXES) for word in words)


class UnknownWordError(ValueError):
    """A word that is not known, or cannot be done; ``known``: what could stand in its place."""

    def __init__(self, word: str, reason: str = "", known: Iterable[str] = ()) -> None:
        super().__init__(f"{reason or 'unknown word'}: {word}")
        self.word = word
        self.known = list(known)


class Priorities:
    """What a string says so far: a list for each of KINDS, OpenSSL's options, the security level."""

    __slots__ = ("added", "chosen", "clear", "floor", "level", "oldest", "set")

    def __init__(self) -> None:
        self.chosen: dict[str, list[object]] = {kind: [] for kind in KINDS}
        self.added: dict[str, str] = {}  # cipher or MAC -> the word that added it
        self.oldest = _openssl.TLS1_2  # the oldest version that a word asked for
        self.set = 0
        self.clear = 0
        self.level: int | None = None
        self.floor = 0

    def add_base(self, name: str) -> None:
        """Everything of a base that is not there yet."""
        for kind, members in zip(KINDS, BASES[name], strict=True):
            self.add(kind, members)
        self.floor = max(self.floor, LEVELS.get(name, 0))

    def add(self, kind: str, members: Iterable[object]) -> None:
        """Behind what is there already."""
        chosen = self.chosen[kind]
        chosen += [member for member in members if member not in chosen]

    def remove(self, kind: str, members: Iterable[object]) -> None:
        """Whether it is there or not."""
        gone = set(members)
        self.chosen[kind] = [member for member in self.chosen[kind] if member not in gone]

    def apply(self, word: str) -> None:
        """One word of the string after the first; UnknownWordError."""
        sign, name = word[:1], word[1:].upper()
        if sign == "%":
            self._option(word, name)
        elif sign not in ("+", "-", "!"):
            raise UnknownWordError(word, "a word must begin with +, -, ! or %", ("+" + word, "-" + word))
        elif sign == "+" and name in BASES:
            versions = list(self.chosen["versions"])
            self.add_base(name)
            self.chosen["versions"] = versions
        elif name not in WORDS:
            raise UnknownWordError(word, known=[sign + known for known in WORDS])
        else:
            self._change(word, sign == "+", *WORDS[name])

    def _change(self, word: str, plus: bool, kind: str, members: tuple[object, ...]) -> None:
        if kind == "foreign" and plus:
            raise UnknownWordError(word, "OpenSSL does not have this")
        if kind in self.chosen and plus:
            self.add(kind, members)
            if kind == "versions":
                self.oldest = min(self.oldest, *[VERSIONS[str(member)] for member in members])
            if kind in ("ciphers", "macs") and len(members) == 1:
                self.added[str(members[0])] = word
        elif kind in self.chosen:
            # "all" means all there are, not only those of NORMAL
            self.remove(kind, self.chosen[kind] if word.upper().endswith(REMOVES_EVERYTHING) else members)

    def _option(self, word: str, name: str) -> None:
        if name not in OPTIONS:
            raise UnknownWordError(word, known=["%" + known for known in OPTIONS])
        turn_on, turn_off, level = OPTIONS[name]
        self.set = (self.set | turn_on) & ~turn_off
        self.clear = (self.clear | turn_off) & ~turn_on
        if level is not None:
            self.level = level


REMOVES_EVERYTHING = (
    "VERS-ALL",
    "VERS-TLS-ALL",
    "KX-ALL",
    "CIPHER-ALL",
    "MAC-ALL",
    "GROUP-ALL",
    "CURVE-ALL",
    "SIGN-ALL",
)


def parse(text: str) -> Priorities:
    """A whole string; UnknownWordError."""
    first, *others = [word.strip() for word in text.split(":")]
    priorities = Priorities()
    if first.upper() not in BASES:
        raise UnknownWordError(first, "a GnuTLS priority string must begin with one of its levels", BASES)
    priorities.add_base(first.upper())
    for word in others:
        priorities.apply(word)
    return priorities


def choose(text: str, choice: Choice) -> None:
    """Put what a string means into ``choice``; UnknownWordError, ValueError (nothing is left to be offered)."""
    priorities = parse(text)
    chosen = priorities.chosen
    available = {name: split(name) for name in choice.available()}
    old = _suites(chosen, available)
    new = [cipher for cipher in chosen["ciphers"] if cipher in SUITES_OF_TLS1_3 and "AEAD" in chosen["macs"]]
    for name, word in priorities.added.items():
        if not any(name in parts for parts in available.values()) and name not in SUITES_OF_TLS1_3:
            raise UnknownWordError(word, "OpenSSL has no cipher suite with this")
    usable = {"TLS1.3"} if new else set()
    usable |= {"TLS1.2", *OLD_VERSIONS} if old else set()
    versions = {VERSIONS[str(name)] for name in chosen["versions"] if name in usable}
    choice.versions = {version for version in versions if version >= priorities.oldest}
    if not choice.versions:
        raise ValueError("no or insufficient priorities were set")
    choice.suites = old
    if not set(OFFERED_IN_TLS1_3) <= set(new):
        choice.suites_of_tls1_3 = [SUITES_OF_TLS1_3[str(cipher)] for cipher in new]
    if chosen["groups"] != list(NORMAL_GROUPS):
        names = dict(GROUPS.values())
        choice.groups = [names[str(group)] for group in chosen["groups"]]
    if not set(SIGNATURES_128) <= set(chosen["signatures"]) or set(chosen["signatures"]) - set(NORMAL_SIGNATURES):
        choice.signatures = [SIGNATURES[number][1] for number in chosen["signatures"] if isinstance(number, int)]
    choice.set_options, choice.clear_options = priorities.set, priorities.clear
    choice.level, choice.floor = priorities.level, priorities.floor


def _suites(chosen: dict[str, list[object]], available: dict[str, tuple[str, str, str]]) -> list[str]:
    """OpenSSL's suites up to TLS 1.2, in GnuTLS's order: by key exchange, then cipher, then MAC."""
    places = [{member: at for at, member in enumerate(chosen[kind])} for kind in ("exchanges", "ciphers", "macs")]
    found = []
    for name, parts in available.items():
        if all(part in place for part, place in zip(parts, places, strict=True)):
            found.append(([place[part] for part, place in zip(parts, places, strict=True)], name))
    return [name for _, name in sorted(found)]
