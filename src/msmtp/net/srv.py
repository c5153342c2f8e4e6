"""Which server takes the mail of a domain's users: SRV records (RFC 6186, and RFC 8314 for TLS from the start).

dnspython asks the name servers of /etc/resolv.conf.  It costs 70 ms to load, so only ``--configure`` comes here.
"""

from __future__ import annotations

from msmtp.failures import ConfigFailure, HostNotFoundFailure, ResolverFailure
from msmtp.net.resolve import ascii_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dns.rdtypes.IN.SRV import SRV

# In the order of preference of RFC 8314, section 5.1: the service, and whether TLS begins with STARTTLS
SERVICES = (("_submissions._tcp", False), ("_submission._tcp", True))

_FAILED = "automatic configuration based on SRV records failed"


class Service:
    """A submission server: ``host``, ``port``, and whether TLS begins with STARTTLS (else at once)."""

    __slots__ = ("host", "port", "starttls")

    def __init__(self, host: str, port: int, *, starttls: bool) -> None:
        self.host = host
        self.port = port
        self.starttls = starttls


def submission_service(domain: str, seconds: float | None = None) -> Service:
    """The server the domain names first: TLS from the start before STARTTLS, then priority, then weight.

    ``seconds``: how long each of the two look-ups may take; None or 0: 5.  HostNotFoundFailure: the domain publishes
    none, or says that it has none (RFC 6186, section 3.4: target ".").  ResolverFailure: cannot be known just now.
    ConfigFailure: dnspython is missing.
    """
    domain = domain.rstrip(".")
    refused = False
    for service, starttls in SERVICES:
        records = _records(f"{service}.{ascii_name(domain)}", seconds)
        if records and best(records).target.to_text() != ".":
            record = best(records)
            return Service(record.target.to_text(omit_final_dot=True), record.port, starttls=starttls)
        refused = refused or bool(records)
    if refused:
        raise HostNotFoundFailure(f"{_FAILED}: {domain} says that it has no mail submission service")
    names = " or ".join(f"{service}.{domain}" for service, _starttls in SERVICES)
    raise HostNotFoundFailure(f"{_FAILED}: no SRV records for {names}", hint="ask the provider for host and port")


def best(records: list[SRV]) -> SRV:
    """Lowest priority, then highest weight (RFC 2782 draws lots by weight; a configuration should not hang on luck)."""
    return min(records, key=lambda record: (record.priority, -record.weight))


def _records(name: str, seconds: float | None) -> list[SRV]:
    try:
        import dns.exception
        import dns.resolver
    except ImportError:
        raise ConfigFailure(
            f"{_FAILED}: this needs the Python library dnspython", hint="install python3-dnspython (pip: dnspython)"
        ) from None
    try:
        return list(dns.resolver.resolve(name + ".", "SRV", lifetime=seconds or None))
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel, dns.name.BadEscape):
        raise HostNotFoundFailure(f"{_FAILED}: {name} is not a name") from None
    except dns.exception.Timeout:
        raise ResolverFailure(f"{_FAILED}: the name servers do not answer") from None
    except dns.exception.DNSException as error:
        raise ResolverFailure(f"{_FAILED}: {' '.join(str(error).split())}") from None
