"""OpenSMTPD, which hands mail to a delivery command.

Debian 12's build (6.8.0) does not get through a TLS handshake with the OpenSSL 3 that it is linked with ("missing
private key", OpenSMTPD issue 1171); there it is a peer without TLS. Debian 13's has it all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.support import certificates, debian
from tests.support.peers.base import DOMAIN, PASSWORD_SHA512, SIZE_LIMIT, USER, Peer, daemon, kept, peer_folder
from tests.support.processes import free_port

HAS_TLS = debian.release() != "bookworm"
PORTS = ("smtp", "submission", "submissions") if HAS_TLS else ("smtp",)

PLAIN_SETTINGS = """
table everybody {{ "@" = vmail }}
smtp max-message-size {size}
listen on 127.0.0.1 port {smtp} hostname opensmtpd.{domain}
action "keep" mda "{folder}/keep {folder}/kept" virtual <everybody>
match from any for rcpt-to regex "^unknown" reject
match from any for domain "{domain}" action "keep"
"""

TLS_SETTINGS = """
pki localhost cert "{folder}/chain.pem"
pki localhost key "{folder}/key.pem"
table users {{ {user} = "{password}" }}
listen on 127.0.0.1 port {submission} tls-require pki localhost auth <users> hostname opensmtpd.{domain}
listen on 127.0.0.1 port {submissions} smtps pki localhost auth <users> hostname opensmtpd.{domain}
"""

PREPARE = """
cp {folder}/smtpd.conf /etc/smtpd.conf
chmod 644 /etc/smtpd.conf
mkdir -p /run/opensmtpd /var/spool/smtpd
chmod 711 /var/spool/smtpd
echo opensmtpd.{domain} >/etc/mailname
"""


@contextlib.contextmanager
def opensmtpd() -> Iterator[Peer]:
    """OpenSMTPD with port "smtp" (no STARTTLS), and from Debian 13 on "submission" and "submissions"."""
    with peer_folder("opensmtpd", certificates.authority().issue(rsa=True)) as folder:
        ports = {name: free_port() for name in PORTS}
        text = TLS_SETTINGS + PLAIN_SETTINGS if HAS_TLS else PLAIN_SETTINGS
        settings = text.format(
            folder=folder, domain=DOMAIN, size=SIZE_LIMIT, user=USER, password=PASSWORD_SHA512, **ports
        )
        (folder / "smtpd.conf").write_text(settings)
        prepare = PREPARE.format(folder=folder, domain=DOMAIN)
        with daemon(folder, ["opensmtpd"], ["smtpd", "-d", "-v"], ports, prepare):
            yield Peer("OpenSMTPD", ports, folder, kept(folder))
