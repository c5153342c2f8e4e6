"""Dovecot: its submission service, which passes mail on to a scripted server, LMTP into maildirs, and its
authentication service for others to ask.

Submission proves the client before Dovecot's command parser and SASL mechanisms; what it took is read at the relay.
Version 2.4 binds SCRAM to TLS; where the machine has an older one, it is Debian 13's (:mod:`tests.support.trixie`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.support import debian, trixie
from tests.support.peers.base import PASSWORD, SIZE_LIMIT, USER, Delivery, Peer, maildirs, peer_folder
from tests.support.processes import Daemon, free_port, listens
from tests.support.scripted import Polite, ScriptedServer
from tests.support.view import in_view

USERS = (USER, "ann", "bob", "carol", "full")
MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256")
BOUND = ("SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS")  # of version 2.4

COMMON = """
log_path = /dev/stderr
listen = 127.0.0.1
protocols = submission lmtp
auth_mechanisms = {mechanisms}
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
# A Debian 13 below this one: two versions in one folder would load each other's modules.
CHROOT = """
mount -t proc proc {root}/proc
mount --rbind /dev {root}/dev
for folder in run tmp var/lib/dovecot; do mount -t tmpfs -o mode=755 tmpfs {root}/$folder; done
mkdir -p {root}/run/dovecot {root}{folder}
mount --bind {folder} {root}{folder}
"""
HEAD_24 = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n"


@contextlib.contextmanager
def dovecot(*, newer: bool = False) -> Iterator[Peer]:
    """Dovecot with ports "submission", "submissions" and "lmtp"; extra: "auth" and "lmtp", its unix sockets.

    ``newer``: version 2.4 in any case, with the mechanisms of :data:`BOUND`, too.

    Only the users of :data:`USERS` exist, for LMTP; submission takes what the relay takes, which is everything.
    ``deliveries`` are those of LMTP first; those of submission come from the relay.
    """
    with (
        peer_folder("dovecot") as folder,
        ScriptedServer(Polite(extensions=("8BITMIME", "DSN", "PIPELINING"))) as relay,
    ):
        ports = {name: free_port() for name in ("submission", "submissions", "lmtp")}
        old = debian.release() == "bookworm"
        text = HEAD_24 + COMMON + SETTINGS_24 if newer or not old else COMMON + SETTINGS_23
        mechanisms = " ".join(MECHANISMS + (BOUND if newer else ()))
        settings = text.format(folder=folder, relay=relay.port, size=SIZE_LIMIT, mechanisms=mechanisms, **ports)
        (folder / "dovecot.conf").write_text(settings)
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

        command: list[str | Path] = ["dovecot", "-F", "-c", folder / "dovecot.conf"]
        roots, prepare = [], "mkdir -p /run/dovecot"
        if newer and old:
            command = ["chroot", trixie.root(), *command]
            prepare = CHROOT.format(root=trixie.root(), folder=folder)
        else:
            roots.append(debian.bundle("dovecot"))
        view = in_view(roots, folder / "scratch", command, prepare)
        with Daemon(view, ready=listens(*ports.values()), log=folder / "log", kill_child=True):
            yield Peer("Dovecot", ports, folder, read, {"auth": folder / "auth", "lmtp": folder / "lmtp"})
