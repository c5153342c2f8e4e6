"""From the host's name to addresses to try, in the order to try them.

Names go to the system's resolver as bytes: given a str, Python would import its IDNA 2003 codec for 5 ms.  A name
outside ASCII is mapped as a browser does (UTS 46, then IDNA 2008) by the ``idna`` library, which is loaded only then.

The resolver of the C library cannot be interrupted and has its own idea of patience (two name servers that do not
answer: 20 s).  So a name is looked up in a thread of its own, and only the waiting is ours: the deadline and Ctrl-C
hold.  A thread that outlives its deadline is left behind; it ends with the process.  Addresses need no thread.
"""

from __future__ import annotations

import _socket
from _socket import AI_CANONNAME, AI_NUMERICHOST, AI_NUMERICSERV, EAI_AGAIN, SOCK_STREAM

from msmtp.failures import ConfigFailure, HostNotFoundFailure, ResolverFailure
from msmtp.net.deadline import Deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")
    Address = tuple[int, Any]  # family, and the address as the socket functions of that family want it

# What getaddrinfo answers when the fault may pass: no server answered, or this machine is short of something.
# Everything else is final: there is no such name, or it has no address.
TEMPORARY_ERRORS = (EAI_AGAIN, _socket.EAI_SYSTEM, _socket.EAI_MEMORY)


def ascii_name(host: str) -> str:
    """The name as DNS, TLS and SMTP write it: ASCII as it is, anything else in A-labels (IDNA 2008, UTS 46).

    HostNotFoundFailure: it cannot be a name.  ConfigFailure: the library is missing.
    """
    if host.isascii():
        return host
    try:
        import idna  # 4 ms, for those few who need it
    except ImportError:
        raise ConfigFailure(
            f"cannot locate host {host}: this needs the Python library idna",
            hint="install python3-idna (pip: idna), or write the name in its ASCII form (xn--...)",
        ) from None
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise HostNotFoundFailure(f"cannot locate host {host}: {error}") from None


def addresses(host: str, port: int, deadline: Deadline) -> list[Address]:
    """Every TCP address of ``host``, in the order to try them.

    HostNotFoundFailure: no such name.  ResolverFailure: cannot be known just now, or the deadline has passed.
    ConfigFailure: see ascii_name.
    """
    name = ascii_name(host).encode("ascii")
    if b"\0" in name:
        raise HostNotFoundFailure(f"cannot locate host {host!r}: Name or service not known")
    found = numeric(name, port) or _ask(host, deadline, lambda: _getaddrinfo(name, port, AI_NUMERICSERV))
    return interleave([(entry[0], entry[4]) for entry in found])


def canonical_name(host: str, seconds: float | None = None) -> str:
    """The full name the resolver has for ``host`` (%C of the configuration); ``host`` itself where there is none."""
    try:
        name = ascii_name(host).encode("ascii")
        found = _ask(host, Deadline(seconds), lambda: _getaddrinfo(name, 0, AI_CANONNAME))
    except (ConfigFailure, HostNotFoundFailure, ResolverFailure):  # not a signal that came while it was waited for
        return host
    return found[0][3] or host


def name_of(address: str, seconds: float | None = None) -> str:
    """The name that an IP address has in the DNS; '' where there is none, or not in time."""
    try:
        # Not getnameinfo: while that one waits, Python lets nothing else run, no deadline either.  As bytes, because a
        # str would pass through the IDNA codec (typeshed does not know that bytes may be given).
        ask = _socket.gethostbyaddr
        return _in_thread(lambda: ask(address.encode("ascii")), Deadline(seconds))[0]  # type: ignore[arg-type]
    except OSError:
        return ""


def numeric(host: bytes, port: int) -> list[tuple[Any, ...]]:
    """What getaddrinfo gives for a host that is an address (a scope id, as in fe80::1%eth0, included), else []."""
    try:
        return _getaddrinfo(host, port, AI_NUMERICHOST | AI_NUMERICSERV)
    except OSError:
        return []


def interleave(found: list[Address]) -> list[Address]:
    """The order of RFC 8305, section 4: families take turns, starting with that of the best address; no doubles."""
    first = [address for address in found if address[0] == found[0][0]]
    other = [address for address in found if address[0] != found[0][0]]
    mixed = []
    for place in range(max(len(first), len(other))):
        mixed += first[place : place + 1] + other[place : place + 1]
    return list(dict.fromkeys(mixed))


def _getaddrinfo(host: bytes, port: int, flags: int) -> list[tuple[Any, ...]]:
    return _socket.getaddrinfo(host, port, 0, SOCK_STREAM, 0, flags)


def _ask(host: str, deadline: Deadline, question: Callable[[], T]) -> T:
    """The resolver's answer, or the failure that it means."""
    try:
        return _in_thread(question, deadline)
    except TimeoutError:
        raise ResolverFailure(f"cannot locate host {host}: the operation timed out") from None
    except OSError as error:
        kind = ResolverFailure if error.errno in TEMPORARY_ERRORS else HostNotFoundFailure
        raise kind(f"cannot locate host {host}: {error.strerror}") from None


def _in_thread(question: Callable[[], T], deadline: Deadline) -> T:
    """Call ``question`` elsewhere and wait no longer than the deadline (TimeoutError).  OSError passes."""
    import _thread  # built in; only names need it

    answers: list[T] = []
    errors: list[BaseException] = []
    done = _thread.allocate_lock()
    done.acquire()

    def ask() -> None:
        try:
            answers.append(question())
        except BaseException as error:  # noqa: BLE001 - handed over as it is
            errors.append(error)
        finally:
            done.release()

    try:
        _thread.start_new_thread(ask, ())
    except RuntimeError:  # no thread to be had: a slow resolver is then waited for
        ask()
    seconds = deadline.seconds()
    if not done.acquire(timeout=-1 if seconds is None else min(seconds, _thread.TIMEOUT_MAX)):
        raise TimeoutError
    if errors:
        raise errors[0]
    return answers[0]
