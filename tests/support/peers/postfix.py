"""Postfix, which asks Dovecot about users (smtpd_sasl_type = dovecot) and hands mail to a delivery command."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.support.peers.base import DOMAIN, SIZE_LIMIT, Peer, daemon, kept, peer_folder
from tests.support.peers.dovecot import dovecot
from tests.support.processes import free_port

MAIN = """
compatibility_level = 3.6
myhostname = postfix.{domain}
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks =
alias_maps =
maillog_file = /dev/stdout
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = regexp:{folder}/known
virtual_transport = keep
default_transport = error:this server sends no mail out
keep_destination_recipient_limit = 1
message_size_limit = {size}
virtual_mailbox_limit = 0
smtpd_tls_security_level = may
smtpd_tls_chain_files = {folder}/key.pem, {folder}/chain.pem
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth}
smtpd_sasl_security_options = noanonymous
smtpd_recipient_restrictions = reject_unlisted_recipient, permit_sasl_authenticated, reject_unauth_destination
smtputf8_enable = yes
"""

MASTER = """
{smtp} inet n - n - - smtpd
{submission} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
{submissions} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
keep unix - n n - - pipe
  user=vmail null_sender= argv={folder}/keep {folder}/kept ${{sender}} ${{recipient}}
"""

PREPARE = """
cp -r /usr/share/postfix/. /etc/postfix/
cp {folder}/main.cf {folder}/master.cf /etc/postfix/
mkdir -p /var/spool/postfix /var/lib/postfix
chown postfix /var/lib/postfix
postfix set-permissions 2>/dev/null || true
"""


@contextlib.contextmanager
def postfix() -> Iterator[Peer]:
    """Postfix with ports "smtp", "submission" and "submissions"."""
    with dovecot() as users, peer_folder("postfix") as folder:
        ports = {name: free_port() for name in ("smtp", "submission", "submissions")}
        (folder / "main.cf").write_text(
            MAIN.format(folder=folder, domain=DOMAIN, size=SIZE_LIMIT, auth=users.extra["auth"])
        )
        (folder / "master.cf").write_text(MASTER.format(folder=folder, **ports))
        (folder / "known").write_text("!/^unknown/ ok\n")
        prepare = PREPARE.format(folder=folder)
        with daemon(folder, ["postfix"], ["postfix", "start-fg"], ports, prepare):
            yield Peer("Postfix", ports, folder, kept(folder))
