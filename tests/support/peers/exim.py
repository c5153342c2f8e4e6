"""Exim (Debian's heavy build, with GnuTLS; it has no GNU SASL), which hands mail to a delivery command."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.support.peers.base import DOMAIN, PASSWORD, SIZE_LIMIT, USER, Peer, daemon, kept, peer_folder
from tests.support.processes import free_port

# Its NTLM is version 1 only, which the library behind our NTLM does not speak; so it is not tried here.
MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5")

SETTINGS = """
primary_hostname = exim.{domain}
domainlist local_domains = {domain}
local_interfaces = 127.0.0.1
daemon_smtp_ports = {smtp} : {submission} : {submissions}
tls_on_connect_ports = {submissions}
tls_advertise_hosts = *
tls_certificate = {folder}/chain.pem
tls_privatekey = {folder}/key.pem
auth_advertise_hosts = ${{if and{{{{def:tls_in_cipher}}{{!={{$received_port}}{{{smtp}}}}}}} {{*}}}}
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
message_size_limit = {size}
host_lookup =
rfc1413_query_timeout = 0s
never_users = root
keep_environment =
log_file_path = {folder}/logs/%s
acl_smtp_mail = check_mail
acl_smtp_rcpt = check_rcpt

begin acl
check_mail:
  deny condition = ${{if !={{$received_port}}{{{smtp}}}}}
       !authenticated = *
       message = authentication required
  accept
check_rcpt:
  deny local_parts = ^unknown
       message = no such user here
  accept domains = +local_domains
  deny message = relay not permitted

begin routers
keep:
  driver = accept
  transport = keep

begin transports
keep:
  driver = pipe
  command = {folder}/keep {folder}/kept
  user = vmail
  message_prefix =
  message_suffix =
  log_output

begin retry
* * F,1m,1m

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
  server_prompts = :
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if and{{{{eq{{$auth1}}{{{user}}}}}{{eq{{$auth2}}{{{password}}}}}}}}}
  server_set_id = $auth1
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{if eq{{$auth1}}{{{user}}}{{{password}}}fail}}
  server_set_id = $auth1
"""

PREPARE = """
mkdir -p /etc/exim4 /var/spool/exim4 /run/exim4
cp {folder}/exim4.conf /etc/exim4/exim4.conf
chown -R Debian-exim:Debian-exim /var/spool/exim4 /run/exim4 {folder}/key.pem
"""


@contextlib.contextmanager
def exim() -> Iterator[Peer]:
    """Exim with ports "smtp", "submission" and "submissions"."""
    with peer_folder("exim") as folder:
        ports = {name: free_port() for name in ("smtp", "submission", "submissions")}
        settings = SETTINGS.format(folder=folder, domain=DOMAIN, size=SIZE_LIMIT, user=USER, password=PASSWORD, **ports)
        (folder / "exim4.conf").write_text(settings)
        with daemon(folder, ["exim"], ["exim4", "-bdf", "-q1m"], ports, PREPARE.format(folder=folder)):
            yield Peer("Exim", ports, folder, kept(folder))
