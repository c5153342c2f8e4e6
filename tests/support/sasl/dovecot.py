"""Dovecot's authentication service, asked over its own protocol, and a Kerberos realm for it.

All of the mechanisms that Dovecot has are on: GSSAPI by a KDC of the test, NTLM by Samba's ntlm_auth with one user, the
two for tokens by a token server in this process.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from tests.support import debian
from tests.support.processes import Daemon, free_port, listens
from tests.support.sasl.dialogue import Refused
from tests.support.view import in_view

REALM = "TEST.EXAMPLE"
USERS = {"joe": "secret", "j\u00f6rg": "pa\u00df", "odd": 'x"\\y,=z'}
NTLM_USER, NTLM_PASSWORD = "joe", "secret"
TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="

SETTINGS = """
log_path = /dev/stderr
protocols =
listen = 127.0.0.1
ssl = no
auth_mechanisms = plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256 external oauthbearer xoauth2 gssapi ntlm
auth_username_chars =
auth_username_format =
auth_verbose = yes
auth_debug = yes
auth_failure_delay = 0
auth_ssl_username_from_cert = yes
auth_krb5_keytab = {folder}/keytab
auth_gssapi_hostname = "$ALL"
auth_use_winbind = yes
auth_winbind_helper_path = {folder}/ntlm_auth
import_environment = $import_environment KRB5_CONFIG={folder}/krb5.conf KRB5RCACHETYPE=none
passdb {{
  driver = oauth2
  mechanisms = oauthbearer xoauth2
  args = {folder}/oauth2.conf
}}
passdb {{
  driver = static
  mechanisms = external ntlm gssapi
  args = nopassword=y
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/users
}}
userdb {{
  driver = static
  args = uid=vmail gid=vmail home=/nonexistent
}}
service auth {{
  unix_listener {folder}/auth {{
    mode = 0666
  }}
  inet_listener {{
    address = 127.0.0.1
    port = {port}
  }}
  user = root
}}
"""

# Dovecot 2.4, of Debian 13
SETTINGS_24 = """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
log_path = /dev/stderr
protocols =
listen = 127.0.0.1
ssl = no
auth_mechanisms = plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256 external oauthbearer xoauth2 gssapi ntlm
auth_username_chars =
auth_username_format = %{{user}}
auth_verbose = yes
auth_debug = yes
auth_failure_delay = 0
auth_ssl_username_from_cert = yes
auth_krb5_keytab = {folder}/keytab
auth_gssapi_hostname = "$ALL"
auth_use_winbind = yes
auth_winbind_helper_path = {folder}/ntlm_auth
import_environment {{
  KRB5_CONFIG = {folder}/krb5.conf
  KRB5RCACHETYPE = none
}}
oauth2 {{
  introspection_mode = auth
  introspection_url = http://127.0.0.1:{token_port}/introspect
  active_attribute = active
  active_value = true
  username_attribute = username
}}
passdb oauth2 {{
  mechanisms_filter = oauthbearer xoauth2
}}
passdb static {{
  mechanisms_filter = external ntlm gssapi
  fields {{
    nopassword = yes
  }}
}}
passdb passwd-file {{
  passwd_file_path = {folder}/users
  default_password_scheme = PLAIN
}}
userdb static {{
  fields {{
    uid = vmail
    gid = vmail
    home = /nonexistent
  }}
}}
service auth {{
  unix_listener {folder}/auth {{
    mode = 0666
  }}
  inet_listener auth {{
    listen = 127.0.0.1
    port = {port}
  }}
  user = root
}}
"""

OAUTH2 = """
introspection_mode = auth
introspection_url = http://127.0.0.1:{port}/introspect
active_attribute = active
active_value = true
username_attribute = username
"""

# How Dovecot calls it; the password is Samba's to check against.
NTLM_AUTH = """#!/bin/sh
exec /usr/bin/ntlm_auth --helper-protocol=squid-2.5-ntlmssp --configfile={folder}/smb.conf --username={user} \
  --password={password}
"""
SAMBA = """
[global]
workgroup = TESTDOM
lock directory = {folder}/samba
private dir = {folder}/samba
state directory = {folder}/samba
cache directory = {folder}/samba
"""

KRB5 = """
[libdefaults]
default_realm = {realm}
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
udp_preference_limit = 1
default_ccache_name = FILE:{folder}/cache
[realms]
{realm} = {{
  kdc = {host}:{port}
}}
[domain_realm]
localhost = {realm}
"""
KDC = """
[kdcdefaults]
kdc_ports = ""
kdc_tcp_ports = {port}
kdc_tcp_listen = {host}:{port}
kdc_listen = ""
[realms]
{realm} = {{
  database_name = {folder}/kdc/principal
  key_stash_file = {folder}/kdc/stash
  acl_file = {folder}/kdc/acl
}}
"""
KDC_SCRIPT = """
set -e
export KRB5_CONFIG={folder}/krb5.conf KRB5_KDC_PROFILE={folder}/kdc.conf
kdb5_util create -s -r {realm} -P master
for principal in smtp/localhost imap/localhost; do
  kadmin.local -q "addprinc -randkey $principal"
  kadmin.local -q "ktadd -k {folder}/keytab $principal"
done
kadmin.local -q "addprinc -pw secret joe"
exec krb5kdc -n
"""


@dataclass
class Service:
    """What runs: ``folder`` with the files, ``auth`` where Dovecot answers."""

    folder: Path
    auth: Path
    said: object = None

    def exchange(self, mechanism: bytes) -> Exchange:
        """One exchange, as a context manager."""
        return Exchange(self.auth, mechanism)

    @property
    def kerberos(self) -> dict[str, str]:
        """The environment of a client of the realm; no ticket is there yet."""
        return {"KRB5_CONFIG": str(self.folder / "krb5.conf"), "KRB5CCNAME": f"FILE:{self.folder}/cache"}


class Exchange:
    """One exchange over Dovecot's authentication protocol (auth-protocol.txt of its documentation)."""

    def __init__(self, path: Path, mechanism: bytes) -> None:
        self.path, self.mechanism = path, mechanism
        self.over = False
        self.user = b""

    def __enter__(self) -> Self:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(self.path))
        self.file = self.socket.makefile("rb")
        self._say(b"VERSION", b"1", b"2")
        self._say(b"CPID", b"%d" % (os.getpid() * 1000 + threading.get_native_id() % 1000))
        self.offered = []
        while (line := self.file.readline().split())[0] != b"DONE":
            if line[0] == b"MECH":
                self.offered.append(line[1])
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def start(self, initial: bytes | None) -> bytes | None:
        """Begin."""
        response = [] if initial is None else [b"resp=" + b64encode(initial)]
        certificate = [b"valid-client-cert", b"cert_username=joe"] if self.mechanism == b"EXTERNAL" else []
        self._say(b"AUTH", b"1", self.mechanism, b"service=smtp", b"secured", b"no-penalty", *certificate, *response)
        return self._answer()

    def next(self, response: bytes) -> bytes | None:
        """Go on."""
        if self.over:
            assert response == b"", f"a word too many: {response!r}"
            return None
        self._say(b"CONT", b"1", b64encode(response))
        return self._answer()

    def _say(self, *words: bytes) -> None:
        self.socket.sendall(b"\t".join(words) + b"\n")

    def _answer(self) -> bytes | None:
        kind, _, *words = self.file.readline().rstrip(b"\n").split(b"\t")
        if kind == b"CONT":
            return b64decode(words[0])
        if kind != b"OK":
            raise Refused(b" ".join([kind, *words]).decode())
        values = dict(word.partition(b"=")[::2] for word in words)
        self.over, self.user = True, values[b"user"]
        # What comes with success is, in SMTP, a challenge of its own, answered by an empty response.
        return b64decode(values[b"resp"]) if b"resp" in values else None


@contextlib.contextmanager
def token_server() -> Iterator[int]:
    """A server that knows one token, and says so in the way of RFC 7662; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            good = self.headers["Authorization"] == f"Bearer {TOKEN}"
            body = json.dumps({"active": "true" if good else "false", "username": "joe"}).encode()
            self.send_response(200 if good else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def write(folder: Path, files: Mapping[str, str], values: Mapping[str, object]) -> None:
    """Fill in and write files."""
    for name, text in files.items():
        (folder / name).write_text(text.format(folder=folder, realm=REALM, **values))


@contextlib.contextmanager
def kerberos(folder: Path, host: str = "127.0.0.1", port: int = 0) -> Iterator[None]:
    """A realm with the user joe and the services smtp and imap on localhost; its files are made in ``folder``.

    ``host``, ``port``: where its centre answers; 0: anywhere.
    """
    port = port or free_port()
    (folder / "kdc").mkdir()
    (folder / "kdc.scratch").mkdir()
    write(folder, {"krb5.conf": KRB5, "kdc.conf": KDC, "kdc.sh": KDC_SCRIPT}, {"host": host, "port": port})
    command = in_view([debian.bundle("kerberos")], folder / "kdc.scratch", ["sh", folder / "kdc.sh"])
    with Daemon(command, ready=listens(port, host=host), log=folder / "kdc.log", kill_child=True):
        yield


@contextlib.contextmanager
def service(kdc: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[Service]:
    """Dovecot's authentication service, a realm, Samba's helper, a token server; ``kdc``: see :func:`kerberos`."""
    folder = Path(tempfile.mkdtemp(prefix="msmtp-sasl-"))
    folder.chmod(0o755)
    try:
        with kerberos(folder, *kdc), token_server() as token_port:
            port = free_port()
            (folder / "samba").mkdir()
            (folder / "scratch").mkdir()
            (folder / "users").write_text("".join(f"{user}:{{PLAIN}}{password}\n" for user, password in USERS.items()))
            settings = SETTINGS if debian.release() == "bookworm" else SETTINGS_24
            write(folder, {"dovecot.conf": settings, "smb.conf": SAMBA}, {"port": port, "token_port": token_port})
            write(folder, {"oauth2.conf": OAUTH2}, {"port": token_port})
            write(folder, {"ntlm_auth": NTLM_AUTH}, {"user": NTLM_USER, "password": NTLM_PASSWORD})
            (folder / "ntlm_auth").chmod(0o755)
            bundles = [debian.bundle("dovecot-gssapi"), debian.bundle("samba")]
            start = ["dovecot", "-F", "-c", folder / "dovecot.conf"]
            command = in_view(bundles, folder / "scratch", start, "mkdir -p /run/dovecot /run/samba")
            with Daemon(command, ready=listens(port), log=folder / "log", kill_child=True) as daemon:
                yield Service(folder, folder / "auth", daemon.said)
    finally:
        shutil.rmtree(folder)
