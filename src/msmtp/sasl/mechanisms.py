"""The mechanisms there are, which one to take, and what all of them have in common.

A mechanism is a dialogue: a generator that yields our responses and is sent the server's challenges, so that each
module reads like the exchange in its RFC.  The first thing it yields is the initial response (RFC 4422, 5.1): ``None``
where the mechanism has none because the server speaks first, octets, possibly none at all, where we do.

MECHANISMS is the order of preference.  A mechanism chosen by the user's own word is used in every case; otherwise the
rows marked SECURE are candidates always, those marked TLS only under TLS, the others never: they answer to something
else than a password.
"""

from __future__ import annotations

from msmtp.failures import MechanismFailure, UnsupportedFailure, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Dialogue = Generator[bytes | None, bytes, None]

SECURE = "secure"  # tells an eavesdropper nothing he could use at once
TLS = "tls"
NEVER = "never"


class Row:
    """One mechanism.

    ``name`` as on the wire, ``module`` and ``builder`` where it lives, ``automatic`` SECURE, TLS or NEVER.  ``needs``
    has some of the words user, password, token (asked for like a password) and files (the mechanism opens files and
    sockets while it talks, so that a sandbox must let it).  ``cleartext``: the secret itself is sent.  ``binding``:
    bound to the TLS channel.  ``library``: what must be installed beside Python, or ''.
    """

    __slots__ = ("automatic", "binding", "builder", "cleartext", "library", "module", "name", "needs")

    def __init__(  # noqa: PLR0913 - a row has as many columns as it has
        self,
        name: bytes,
        module: str,
        builder: str,
        needs: str,
        automatic: str,
        *,
        cleartext: bool = False,
        library: str = "",
    ) -> None:
        self.name = name
        self.module = module
        self.builder = builder
        self.needs = tuple(needs.split())
        self.automatic = automatic
        self.cleartext = cleartext
        self.binding = name.endswith(b"-PLUS")
        self.library = library


MECHANISMS = (
    Row(b"SCRAM-SHA-256-PLUS", "scram", "Scram", "user password", SECURE),
    Row(b"SCRAM-SHA-1-PLUS", "scram", "Scram", "user password", SECURE),
    Row(b"SCRAM-SHA-256", "scram", "Scram", "user password", SECURE),
    Row(b"SCRAM-SHA-1", "scram", "Scram", "user password", SECURE),
    Row(b"PLAIN", "plain", "Plain", "user password", TLS, cleartext=True),
    Row(b"GSSAPI", "gssapi", "Gssapi", "user files", NEVER, library="gssapi"),
    Row(b"EXTERNAL", "external", "External", "", NEVER),
    Row(b"OAUTHBEARER", "oauth", "OAuthBearer", "user token", NEVER, cleartext=True),
    Row(b"CRAM-MD5", "cram_md5", "CramMd5", "user password", TLS),
    Row(b"DIGEST-MD5", "digest_md5", "DigestMd5", "user password", TLS),
    Row(b"LOGIN", "login", "Login", "user password", TLS, cleartext=True),
    Row(b"NTLM", "ntlm", "Ntlm", "user password", TLS, library="pyspnego"),
    Row(b"XOAUTH2", "oauth", "XOAuth2", "user token", NEVER, cleartext=True),
)
BY_NAME = {row.name: row for row in MECHANISMS}

# What each library is called where people install things.
LIBRARIES = {
    "gssapi": "install python3-gssapi (Debian) or msmtp[gssapi] (pip)",
    "pyspnego": "install msmtp[ntlm] (pip)",
}
LIBRARY_MODULES = {"gssapi": "gssapi", "pyspnego": "spnego"}

# A challenge is one line of at most 12288 octets of base64 (RFC 4954, 4.4).
CHALLENGE_LIMIT = 12288


# What fits into a nonce of SCRAM and, between quotes, of DIGEST-MD5.
OWN_NONCE_OCTETS = bytes(set(range(0x21, 0x7F)) - set(b',"\\'))


class Credentials:
    """Who we are and how we can show it; all octets, UTF-8 where they are text.

    ``password`` is the access token where a mechanism needs one.  ``host``, ``port`` and ``service`` name the server
    as the user knows it.  ``channel_binding`` is (type, value), such as (b"tls-exporter", 32 octets), or None where
    the connection has none.  ``nonce`` is fresh randomness of at least 128 bits in printable ASCII without comma,
    quote or backslash (hexadecimal or base64 will do); SCRAM and DIGEST-MD5 use it, once.
    """

    __slots__ = (
        "authzid",
        "channel_binding",
        "host",
        "nonce",
        "ntlm_domain",
        "password",
        "port",
        "service",
        "user",
    )

    def __init__(  # noqa: PLR0913 - the sum of what thirteen mechanisms ask for
        self,
        user: bytes,
        password: bytes,
        *,
        authzid: bytes = b"",
        host: bytes = b"",
        port: int = 0,
        service: bytes = b"smtp",
        ntlm_domain: bytes = b"",
        channel_binding: tuple[bytes, bytes] | None = None,
        nonce: bytes = b"",
    ) -> None:
        self.user = user
        self.password = password
        self.authzid = authzid
        self.host = host
        self.port = port
        self.service = service
        self.ntlm_domain = ntlm_domain
        self.channel_binding = channel_binding
        self.nonce = nonce


class Mechanism:
    """The client's side of one exchange; used once.

    ``name`` as on the wire.  ``detail``: what the server gave as the reason of a failure inside the exchange,
    readable and cut short, or ''; the reply that follows is the outcome.  A subclass writes :meth:`dialogue` and, if
    the server has to prove itself in it, says ``mutual = True`` and sets ``proved`` when it did.
    """

    __slots__ = ("_dialogue", "credentials", "detail", "name", "offered", "proved")
    mutual = False

    def __init__(self, name: bytes, credentials: Credentials, offered: tuple[bytes, ...] = ()) -> None:
        self.name = name
        self.credentials = credentials
        self.offered = offered
        self.detail = ""
        self.proved = False
        self._dialogue = self.dialogue()

    def dialogue(self) -> Dialogue:
        """Yield the initial response, then a response for each challenge sent in."""
        raise NotImplementedError

    def start(self) -> bytes | None:
        """Return the initial response; None where the server speaks first, b"" for an empty one.  Call it first, once.

        A transport that cannot send the initial response with its command (it is too long for the line, RFC 4954, 4)
        sends it as the answer to the empty challenge instead.
        """
        return next(self._dialogue)

    def next(self, challenge: bytes) -> bytes:
        """Return the response to one challenge, b"" for an empty one.

        Raises MechanismFailure if the challenge makes no sense, proves the server false, or is one too many; the caller
        then cancels the exchange with a single ``*`` (RFC 4954, 4).
        """
        if len(challenge) > CHALLENGE_LIMIT:
            raise self.failure(f"the server's challenge is longer than {CHALLENGE_LIMIT} octets")
        try:
            response = self._dialogue.send(challenge)
        except StopIteration:
            raise self.failure("the server asks for more than the method has") from None
        assert response is not None  # only the first thing a dialogue yields may be None
        return response

    def finished(self) -> None:
        """Check, when the server reports success, that it was entitled to; raises MechanismFailure."""
        if self.mutual and not self.proved:
            raise self.failure(
                "the server did not prove that it knows the account",
                hint="this may be another server than the one meant: check host and the TLS settings",
            )

    def failure(self, what: str, *, hint: str = "") -> MechanismFailure:
        """Return the failure of this exchange, to be raised."""
        return MechanismFailure(f"authentication failed (method {self.name.decode()}): {what}", hint=hint)


def find(name: bytes) -> Row | None:
    """Return the row of a mechanism's name in any case, None for a name unknown."""
    return BY_NAME.get(name.upper())


def choose(offered: tuple[bytes, ...], *, tls: bool, channel_binding: bool) -> bytes:
    """Return the best of the mechanisms a server offers (upper-case names) that needs no word of the user's.

    ``tls``: the connection is encrypted.  ``channel_binding``: its binding value is at hand.  Raises
    UnsupportedFailure.
    """
    if not offered:
        raise UnsupportedFailure("the server does not support authentication")
    for row in MECHANISMS:
        allowed = row.automatic == SECURE or (tls and row.automatic == TLS)
        if row.name in offered and allowed and (channel_binding or not row.binding):
            return row.name
    names = " ".join(shown(name) for name in offered)
    if tls:
        raise UnsupportedFailure(
            "cannot find a usable authentication method",
            hint=f"the server offers {names}; a method that is not chosen by itself can be set with the command 'auth'",
        )
    raise UnsupportedFailure(
        "cannot use a secure authentication method",
        hint=f"the server offers {names}; use TLS, or name the method with the command 'auth'",
    )


def check(name: bytes, offered: tuple[bytes, ...], *, channel_binding: bool) -> bytes:
    """Return the wire name of the mechanism the user chose if it can be used here, or raise UnsupportedFailure."""
    if not offered:
        raise UnsupportedFailure("the server does not support authentication")
    name = name.upper()
    if name not in offered:
        names = " ".join(shown(other) for other in offered)
        raise UnsupportedFailure(
            f"the server does not support authentication method {shown(name)}",
            hint=f"the server offers {names}",
        )
    if name.endswith(b"-PLUS") and not channel_binding:
        raise UnsupportedFailure(
            f"authentication method {shown(name)} needs a TLS connection with channel binding",
            hint="use TLS, or the method without -PLUS",
        )
    return name


def load(name: bytes, credentials: Credentials | None = None) -> type[Mechanism]:
    """Import what a mechanism needs and return its class.

    After this the exchange itself imports nothing, so a process may give up opening files in between.
    ``credentials`` are looked at for characters whose preparation needs tables.  Raises UnsupportedFailure for a name
    unknown, MechanismFailure if a library is missing; what Python raises where a part of Python's cannot be loaded.
    """
    row = find(name)
    if row is None:
        raise UnsupportedFailure(f"authentication method {shown(name)} is unknown")
    try:
        module = __import__("msmtp.sasl." + row.module, fromlist=(row.builder,))
    except (ImportError, OSError) as error:
        if type(error) is ImportError and not row.library:  # a part of Python's is there and does not fit into memory
            raise
        raise MechanismFailure(
            f"authentication method {shown(row.name)} needs the Python library {row.library or row.module}: {error}",
            hint=LIBRARIES.get(row.library, ""),
        ) from None
    if credentials is not None and not (credentials.user + credentials.password + credentials.authzid).isascii():
        __import__("msmtp.sasl.saslprep")
    builder: type[Mechanism] = getattr(module, row.builder)
    return builder


def create(name: bytes, credentials: Credentials, offered: tuple[bytes, ...] = ()) -> Mechanism:
    """Return the client's side of the named mechanism.

    ``offered`` is all the server offers (upper-case names): SCRAM reports to the server what it saw, so that a list
    that was cut down on the way is noticed (RFC 5802, 6).  Raises UnsupportedFailure where a user name or password is
    missing, MechanismFailure where a library is or the credentials hold what the mechanism cannot carry.
    """
    builder = load(name, credentials)
    row = BY_NAME[name.upper()]
    if "user" in row.needs and not credentials.user:
        raise UnsupportedFailure(f"authentication method {row.name.decode()} needs a user name")
    if ("password" in row.needs or "token" in row.needs) and not credentials.password:
        raise UnsupportedFailure(f"authentication method {row.name.decode()} needs a password")
    return builder(row.name, credentials, offered)


def available(installed: Callable[[str], bool]) -> tuple[bytes, ...]:
    """Return the names of the mechanisms whose libraries are ``installed``, in the table's order."""
    return tuple(row.name for row in MECHANISMS if not row.library or installed(LIBRARY_MODULES[row.library]))


def prepare(text: bytes, what: str) -> bytes:
    """Return a user name or password as SASLprep (RFC 4013) leaves it; ``what`` names it in a MechanismFailure."""
    if text.isascii() and text.decode().isprintable():
        return text
    from msmtp.sasl.saslprep import saslprep  # its tables are for the few who need them

    return saslprep(text, what)


def own_nonce(nonce: bytes) -> bytes:
    """Return the caller's nonce; ValueError if there is none or the grammars have no room for it."""
    if not nonce or nonce.strip(OWN_NONCE_OCTETS):
        raise ValueError("a nonce is printable ASCII without comma, quote and backslash")
    return nonce


def saslname(name: bytes) -> bytes:
    """Return a name as GS2 headers write it: ',' and '=' escaped (RFC 5801, 4)."""
    return name.replace(b"=", b"=3D").replace(b",", b"=2C")
