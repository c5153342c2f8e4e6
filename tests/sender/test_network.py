"""Whole runs of msmtp in a network of their own: no name leaks past a proxy; --configure against a real name server."""

from __future__ import annotations

import pytest
from tests.support import debian
from tests.support.private_net import LOOPBACK, run_in_namespace

# Behind a SOCKS proxy that answers for hidden.test, an SMTP server with TLS; the name server counts what it is asked.
THROUGH_PROXY = """
import shutil, socket, subprocess, sys, threading
from tests.support import certificates
from tests.support.name_server import NameServer
from tests.support.private_net import PacketWatch
from tests.support.scripted import Polite, ScriptedServer

def pump(source, sink):
    while data := source.recv(65536):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)

def proxy(listener, port):
    client, _ = listener.accept()
    client.recv(100); client.sendall(b"\\5\\0")
    asked.append(client.recv(100)); client.sendall(b"\\5\\0\\0\\1" + bytes(6))
    server = socket.create_connection(("127.0.0.1", port))
    threading.Thread(target=pump, args=(server, client), daemon=True).start()
    pump(client, server)

asked = []
listener = socket.create_server(("127.0.0.1", 9050))
issued = certificates.new_authority().issue("hidden.test")
with (
    ScriptedServer(Polite(starttls=True, mechanisms=["PLAIN"]), tls=issued.server_context()) as smtp,
    NameServer({"hidden.test": ["127.0.0.1"]}) as names,
    PacketWatch() as watch,
):
    threading.Thread(target=proxy, args=(listener, smtp.port), daemon=True).start()
    done = subprocess.run(
        [sys.executable, "-I", "-m", "msmtp", "--host=hidden.test", "--port=25", "--proxy-host=127.0.0.1",
         "--proxy-port=9050", "--tls", f"--tls-trust-file={issued.authority}", "--auth=plain", "--user=joe",
         "--passwordeval=echo secret", "--timeout=10", "-f", "joe@example.org", *EXTRA, "--", *TO],
        input=b"Subject: x\\n\\nhello\\n", capture_output=True, check=False)
print(done.returncode, done.stderr.decode(), len(smtp.sessions[0].mails) if smtp.sessions else None)
print(names.queries, watch.queries, watch.packets > 10, b"hidden.test" in asked[0])
"""


@pytest.mark.parametrize("extra", [[], ["--serverinfo"]], ids=["send", "serverinfo"])
def test_with_the_settings_for_tor_a_whole_run_asks_nobody_for_a_name(extra):
    to = [] if extra else ["jane@example.net"]
    script = f"EXTRA, TO = {extra!r}, {to!r}\n" + THROUGH_PROXY
    said = run_in_namespace(script, setup=LOOPBACK, resolv_conf="nameserver 127.0.0.1\n").splitlines()
    assert said == [f"0  {0 if extra else 1}", "[] [] True True"]


ZONE = """
$ORIGIN test.
$TTL 60
@ SOA ns.test. admin.test. 1 60 60 60 60
@ NS ns.test.
ns A 127.0.0.1
_submissions._tcp.both  SRV 0 1 465 smtp.both.test.
_submission._tcp.start  SRV 0 1 587 mail.elsewhere.test.
other A 127.0.0.1
"""
NSD = """
server:
  ip-address: 127.0.0.1@53
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/pid"
  xfrdfile: "{folder}/xfrd"
  zonelistfile: "{folder}/zonelist"
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: test.
  zonefile: "{folder}/zone"
"""
CONFIGURE = """
import os, subprocess, sys, time
import dns.message, dns.query
daemon = subprocess.Popen({command!r}, env={{**os.environ, **{environment!r}}})
try:
    for _ in range(100):
        try:
            dns.query.udp(dns.message.make_query("test.", "SOA"), "127.0.0.1", timeout=0.2)
            break
        except Exception:
            time.sleep(0.05)
    for address in {addresses!r}:
        done = subprocess.run([sys.executable, "-I", "-m", "msmtp", "--configure=" + address],
                              capture_output=True, text=True, env={{"HOME": "/home/joe", "PATH": "/usr/bin:/bin"}})
        print(done.returncode)
        print(done.stdout + done.stderr, end="")
        print("--")
finally:
    daemon.terminate()
    daemon.wait()
"""


def configured(tmp_path, *addresses: str) -> list[list[str]]:
    """Exit code and output of --configure for each address."""
    (tmp_path / "zone").write_text(ZONE)
    (tmp_path / "nsd.conf").write_text(NSD.format(folder=tmp_path))
    program, environment = debian.program("nsd", "usr/sbin/nsd")
    command = [str(program), "-d", "-c", str(tmp_path / "nsd.conf")]
    script = CONFIGURE.format(command=command, environment=environment, addresses=addresses)
    said = run_in_namespace(script, setup=LOOPBACK, resolv_conf="nameserver 127.0.0.1\n")
    return [part.splitlines() for part in said.split("--\n")[:-1]]


def test_configure_writes_an_account_for_what_the_domain_publishes(tmp_path):
    first, second = configured(tmp_path, "jane.doe@both.test", "joe@start.test")
    assert first[0] == "0"
    assert [line for line in first[1:] if not line.startswith("#")] == [
        "account jane.doe@both.test",
        "host smtp.both.test",
        "port 465",
        "tls on",
        "tls_starttls off",
        "auth on",
        "user jane.doe",
        "passwordeval gpg --no-tty -q -d ~/.msmtp-password.gpg",
        "from jane.doe@both.test",
    ]
    assert "# - copy this to your configuration file /home/joe/.msmtprc" in first
    assert "tls_starttls on" in second
    assert "port 587" in second
    assert any(line.startswith("# - warning") and "start.test" in line for line in second)
    assert not any(line.startswith("# - warning") for line in first)


def test_configure_tells_in_words_that_a_domain_publishes_nothing(tmp_path):
    (nothing,) = configured(tmp_path, "joe@other.test")
    assert nothing[0] == "68"
    assert "no SRV records for _submissions._tcp.other.test" in nothing[1]
    assert not any(line.startswith(("account", "host")) for line in nothing)


def test_what_configure_writes_is_a_configuration(tmp_path):
    import subprocess

    from tests.support.sending import MSMTP, configuration

    (lines,) = configured(tmp_path, "jane.doe@both.test")
    rc = configuration(tmp_path, "\n".join(line for line in lines[1:] if not line.startswith("passwordeval")))
    command = [*MSMTP, "-C", str(rc), "-P", "-a", "jane.doe@both.test", "x@example.net"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "host = smtp.both.test\n" in done.stdout
