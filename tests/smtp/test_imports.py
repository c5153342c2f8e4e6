"""What is loaded, and when: the client pays for little, a running session imports nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"

# Each of these costs more than the whole client; see docs/architecture.md.
HEAVY = (
    "typing", "re", "enum", "dataclasses", "collections", "functools", "contextlib", "pathlib", "socket", "ssl",
    "subprocess", "logging", "datetime", "locale", "base64", "hashlib", "email", "argparse", "string", "random", "asyncio",
)  # fmt: skip

SERVER_SESSION = """
from msmtp.smtp.server import ServerConnection, CommandReceived
from msmtp.smtp.server_replies import REPLIES, challenge
before = set(sys.modules)
server = ServerConnection(b"mail.example", offers=(b"PIPELINING", b"AUTH LOGIN", b"SMTPUTF8", b"DSN", b"CHUNKING"))
server.greet()
for octets in (
    b"EHLO me\\r\\n", b"AUTH LOGIN\\r\\n", b"dQ==\\r\\n", b"AUTH LOGIN !\\r\\n", b"FOO \\xff\\r\\n", b"VRFY \\xc3\\xa4\\r\\n",
    "MAIL FROM:<\u00e4@b> SMTPUTF8 ENVID=a+2B\\r\\nRCPT TO:<c@[IPv6:::1]> ORCPT=rfc822;a\\r\\nBDAT 1\\r\\nxRSET\\r\\n".encode(),
    b"MAIL FROM:<a@b>\\r\\nRCPT TO:<c@d>\\r\\nDATA\\r\\n", b"x\\r\\n.\\r\\nQUIT\\r\\n",
):
    for event in server.receive(octets):
        auth = isinstance(event, CommandReceived) and event.command.verb == b"AUTH"
        repr(event)
        if event.reply:
            server.reply(challenge(b"Username:") if auth else event.reply)
assert server.state == "closed", server.state
print(*sorted(set(sys.modules) - before))
"""

CLIENT_SESSION = """
from msmtp.failures import ProtocolFailure
from msmtp.smtp.client import ClientConnection
from msmtp.smtp.commands import Auth, AuthResponse, Data, Ehlo, Mail, Quit, Rcpt
before = set(sys.modules)
client = ClientConnection()
list(client.receive(b"220 x\\r\\n"))
client.send(Ehlo(b"me"))
list(client.receive(b"250-x\\r\\n250-PIPELINING\\r\\n250-SIZE 5\\r\\n250 AUTH PLAIN\\r\\n"))
client.extensions.size, client.extensions.auth
client.send(Auth(b"PLAIN", b"x"))
for event in client.receive(b"334 \\r\\n"):
    event.reply.challenge()
client.send(AuthResponse(b"x"))
list(client.receive(b"235 ok\\r\\n"))
for command in (Mail(b"a@b"), Rcpt(b"c@d"), Data()):
    client.send(command)
for event in client.receive(b"250 2.1.0 ok\\r\\n250 ok\\r\\n354 go\\r\\n"):
    event.reply.printable()
client.data(b"x\\n.\\n") + client.end_data()
try:
    list(client.receive(b"nonsense \\xff\\r\\n"))
except ProtocolFailure as failure:
    failure.message
print(*sorted(set(sys.modules) - before))
"""


def run(code):
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n" + code
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.split()


def test_the_client_loads_nothing_heavy():
    loaded = run("import msmtp.smtp.client, msmtp.smtp.commands\nprint(*sys.modules)")
    assert "msmtp.smtp.client" in loaded
    assert [name for name in HEAVY if name in loaded] == []
    assert not {"msmtp.smtp.grammar", "msmtp.smtp.parsing", "msmtp.smtp.server_replies"} & set(loaded)


def test_a_running_server_imports_nothing():
    """The daemon's worker is sandboxed before it reads the first octet."""
    assert run(SERVER_SESSION) == []


def test_a_running_client_imports_nothing():
    """So is the sender, before it reads the server's first octet."""
    assert run(CLIENT_SESSION) == []
