"""Dovecot: its submission service, which passes mail on to a scripted server, LMTP into maildirs, and its
authentication service for others to ask.

Submission proves the client before Dovecot's command parser and SASL mechanisms; what it took is read at the relay.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.support import debian
from tests.support.peers.base import PASSWORD, SIZE_LIMIT, USER, Delivery, Peer, daemon, maildirs, peer_folder
from tests.support.processes import free_port
from tests.support.scripted import Polite, ScriptedServer

USERS = (USER, "ann", "bob", "carol", "full")
MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256")

COMMON = """
log_path = /dev/stderr
listen = 127.0.0.1
protocols = submission lmtp
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
auth_verbose = yes
auth_failure_delay = 0
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
ssl = yes
service auth {{
  unix_listener {folder}/auth {{
    mode = 0666
  }}
}}
service submission-login {{
  inet_listener submission {{
    port = {submission}
  }}
  inet_listener submissions {{
    port = {submissions}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
}}
submission_relay_host = 127.0.0.1
submission_relay_port = {relay}
submission_max_mail_size = {size}
"""

# Dovecot 2.3, of Debian 12
SETTINGS_23 = """
disable_plaintext_auth = yes
auth_username_format = %n
mail_location = maildir:~/Maildir
ssl_cert = <{folder}/chain.pem
ssl_key = <{folder}/key.pem
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
"""

# Dovecot 2.4, of Debian 13
SETTINGS_24 = """
auth_allow_cleartext = no
auth_username_format = %{{user | username}}
mail_driver = maildir
mail_path = ~/Maildir
ssl_server_cert_file = {folder}/chain.pem
ssl_server_key_file = {folder}/key.pem
passdb passwd-file {{
  passwd_file_path = {folder}/users
}}
userdb passwd-file {{
  passwd_file_path = {folder}/users
}}
"""
HEAD_24 = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n"


@contextlib.contextmanager
def dovecot() -> Iterator[Peer]:
    """Dovecot with ports "submission", "submissions" and "lmtp"; extra: "auth" and "lmtp", its unix sockets.

    Only the users of :data:`USERS` exist, for LMTP; submission takes what the relay takes, which is everything.
    ``deliveries`` are those of LMTP first; those of submission come from the relay.
    """
    with (
        peer_folder("dovecot") as folder,
        ScriptedServer(Polite(extensions=("8BITMIME", "DSN", "PIPELINING"))) as relay,
    ):
        ports = {name: free_port() for name in ("submission", "submissions", "lmtp")}
        old = debian.release() == "bookworm"
        text = COMMON + SETTINGS_23 if old else HEAD_24 + COMMON + SETTINGS_24
        (folder / "dovecot.conf").write_text(text.format(folder=folder, relay=relay.port, size=SIZE_LIMIT, **ports))
        (folder / "users").write_text(
            "".join(f"{user}:{{PLAIN}}{PASSWORD}:60108:60108::{folder}/mail/{user}::\n" for user in USERS)
        )
        (folder / "mail").mkdir()
        (folder / "mail").chmod(0o777)
        in_maildirs = maildirs(folder / "mail")

        def read() -> list[Delivery]:
            relayed = [
                Delivery(mail.sender[1:-1].decode(), recipient[1:-1].decode(), mail.data)
                for mail in relay.mails
                for recipient in mail.recipients
            ]
            return in_maildirs() + relayed

        command = ["dovecot", "-F", "-c", folder / "dovecot.conf"]
        with daemon(folder, ["dovecot"], command, ports, prepare="mkdir -p /run/dovecot"):
            yield Peer("Dovecot", ports, folder, read, {"auth": folder / "auth", "lmtp": folder / "lmtp"})
