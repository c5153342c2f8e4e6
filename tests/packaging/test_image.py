"""The image, built and run by real podman: what it lets through, what it may do, where its secrets are, how it ends."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import smtplib
import subprocess
from pathlib import Path

import pytest
from tests.support import certificates, podman
from tests.support.daemon import new_folder
from tests.support.podman import Container, Secret
from tests.support.processes import free_port, wait_for
from tests.support.scripted import Polite, ScriptedServer

pytestmark = [pytest.mark.booted, pytest.mark.root, pytest.mark.timeout(600)]

PASSWORD = "zehn kleine zappelmaenner"


@pytest.fixture(scope="module")
def image():
    yield podman.image()
    podman.tidy()


@pytest.fixture
def shared():
    """A folder that the image's user can read, with the authority of the server's certificate in it."""
    folder = new_folder()
    (folder / "trust.pem").write_bytes(certificates.localhost().authority.read_bytes())
    (folder / "trust.pem").chmod(0o644)
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def smarthost(**more):
    return ScriptedServer(Polite(starttls=True, mechanisms=["PLAIN"], users={b"joe": PASSWORD.encode()}, **more))


def to(server, port, **more):
    return {
        "MSMTP_HOST": "127.0.0.1",
        "MSMTP_PORT": str(server.port),
        "MSMTP_TLS": "on",
        "MSMTP_TLS_TRUST_FILE": "/run/trust.pem",
        "MSMTP_AUTH": "on",
        "MSMTP_USER": "joe",
        "MSMTPD_INTERFACE": "127.0.0.1",
        "MSMTPD_PORT": str(port),
        **more,
    }


def with_trust(folder):
    return f"--volume={folder}/trust.pem:/run/trust.pem:ro"


def send(port, text="Subject: hi\n\nho\n"):
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        assert client.sendmail("a@b.example", ["c@d.example"], text) == {}


def records(container):
    return [json.loads(line) for line in container.log().splitlines() if line.startswith("{")]


def test_a_mail_goes_through_and_nothing_has_more_than_it_needs(image, shared):
    port = free_port()
    with smarthost() as server, Secret(f"{PASSWORD}\n") as secret:
        variables = to(
            server, port, MSMTP_PASSWORD_FILE="/run/secrets/smtp", MSMTPD_LOG="json", MSMTPD_SANDBOX="require"
        )
        with Container(image, with_trust(shared), secret.option("smtp"), environment=variables) as container:
            container.wait_ready()
            send(port)
            send(port, "Subject: large\n\n" + ("x" * 70 + "\n") * 40_000)
            everything_is_confined(container)
            secrets_are_nowhere(container)
            health(container)
            assert container.run("touch", "/file").returncode == 1
            assert [each["event"] for each in records(container)].count("delivered") == 2
            assert not {"unconfined", "incomplete"} & {each["event"] for each in records(container)}
            assert container.said("stop", "-t", "60", container.name) == container.name
            assert container.wait_ended() == 0
            assert [each["event"] for each in records(container)][-2:] == ["stopping", "stopped"]
            podman.podman("start", container.name)
            wait_for(lambda: [each["event"] for each in records(container)].count("ready") == 2)
            send(port)
    sessions = [session for session in server.sessions if session.mails]  # --serverinfo's brought none
    assert [session.mails[0].recipients for session in sessions] == [[b"<c@d.example>"]] * 3
    assert all(session.user == b"joe" and session.tls for session in sessions)
    assert b"Received: " in sessions[0].mails[0].data


def everything_is_confined(container):
    processes = container.processes()
    assert len(processes) >= 5  # keeper, delivery, supervisor, nursery, a worker or two
    for path in processes:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # a worker that has ended
            status = dict(line.split(":\t", 1) for line in (path / "status").read_text().splitlines() if ":\t" in line)
            assert set(status["Uid"].split()) == {"65532"}
            assert [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == ["0" * 16] * 4
            assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
            mounts = [line.split() for line in (path / "mounts").read_text().splitlines()]
            assert [mount[3].split(",")[0] for mount in mounts if mount[1] == "/"] == ["ro"]


def secrets_are_nowhere(container):
    """In no environment, no argument, no record of the engine, no log, no file but the two that are its user's alone."""
    secret = PASSWORD.encode()
    for path in container.processes():
        for name in ("environ", "cmdline"):
            with contextlib.suppress(ProcessLookupError, FileNotFoundError, PermissionError):
                said = (path / name).read_bytes()
                assert secret not in said
                assert b"MSMTP_" not in said
    for words in (("inspect", container.name), ("logs", container.name), ("inspect", podman.IMAGE)):
        assert PASSWORD not in container.said(*words)
    root = Path(f"/proc/{container.pid}/root")
    command = ["grep", "-rlsF", PASSWORD, *(root / name for name in ("run", "tmp", "var", "etc", "dev/shm", "home"))]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    names = {str(Path("/") / Path(line).relative_to(root)): Path(line).stat() for line in found}
    assert set(names) == {"/run/msmtpd/.msmtprc", "/run/secrets/smtp"}
    assert {(about.st_uid, about.st_mode & 0o077) for about in names.values()} == {(65532, 0)}


def health(container):
    assert podman.podman("healthcheck", "run", container.name, check=False).returncode == 0
    said = container.run("entrypoint", "--health")
    assert (said.returncode, said.stderr) == (0, "")
    done = container.run("entrypoint", "msmtp", "--serverinfo")
    assert done.returncode == 0, done.stderr
    assert "scripted.example" in done.stdout


@pytest.mark.parametrize("document", ["docs/containers.md", "README.md"])
def test_the_command_of_the_documents_does_what_they_say(image, shared, document):
    """But for the names of servers and ports, and the network, which is this machine's."""
    text = (podman.TOP / document).read_text()
    command = re.search(r"    (podman run -d .*?[^\\])\n", text, re.DOTALL)
    words = iter(shlex.split(command[1].replace("\\\n", " "))[3:])
    variables, options = {}, []
    port = free_port()
    with smarthost() as server, Secret(PASSWORD) as secret:
        for word in words:
            if word == "-e":
                name, _, value = next(words).partition("=")
                variables[name] = value
            elif word in {"--name", "-p"}:
                assert next(words) in {"smtp", "127.0.0.1:2525:2525"}
            elif word == "--secret":
                options.append(f"--secret={secret.name},target={next(words)}")
            elif word[0] == "-":
                options.append(word)
            else:
                assert word == "msmtpd"
        ours = to(server, port, MSMTP_TLS_TRUST_FILE="/run/trust.pem")
        assert {"MSMTP_TLS": "on", "MSMTP_AUTH": "on"}.items() <= variables.items()
        with Container(image, with_trust(shared), *options, environment={**variables, **ours}) as container:
            container.wait_ready()
            send(port)
    assert server.sessions[0].user == b"joe"


def test_a_session_is_let_end_before_the_container_does(image, shared):
    port = free_port()
    with smarthost() as server, Secret(PASSWORD) as secret:
        variables = to(server, port, MSMTP_PASSWORD_FILE="/run/secrets/smtp")
        with Container(image, with_trust(shared), secret.option("smtp"), environment=variables) as container:
            container.wait_ready()
            with contextlib.closing(smtplib.SMTP("127.0.0.1", port, timeout=30)) as client:
                client.ehlo()
                client.mail("a@b.example")
                client.rcpt("c@d.example")
                assert client.docmd("DATA")[0] == 354
                podman.podman("kill", "--signal=TERM", container.name)
                wait_for(lambda: "stopping" in container.log(), words="the beginning of its end")
                with pytest.raises(ConnectionRefusedError):
                    smtplib.SMTP("127.0.0.1", port, timeout=30)
                client.send(b"Subject: late\r\n\r\nx\r\n.\r\n")
                assert client.getreply()[0] == 250
                assert client.getreply()[0] == 421
            assert container.wait_ended() == 0
            assert re.search(r"info: stopped\n", container.log())
    assert b"Subject: late" in server.sessions[0].mails[0].data


def test_several_accounts_are_chosen_by_the_sender(image, shared):
    port = free_port()
    with smarthost() as server, smarthost() as other, Secret(PASSWORD) as secret:
        variables = to(server, port, MSMTP_PASSWORD_FILE="/run/secrets/smtp")
        variables |= {"MSMTP_ACCOUNT_work": "default", "MSMTP_ACCOUNT_work_PORT": str(other.port)}
        variables |= {"MSMTP_ACCOUNT_work_FROM": "*@work.example"}
        with Container(image, with_trust(shared), secret.option("smtp"), environment=variables) as container:
            container.wait_ready()
            for sender in ("a@home.example", "b@work.example"):
                with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
                    client.sendmail(sender, ["c@d.example"], "x\n")
    assert [len(each.sessions) for each in (server, other)] == [1, 1]
    assert other.sessions[0].mails[0].sender.startswith(b"<b@work.example>")


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        # Docker's --read-only gives no folder to write to but /dev/shm
        ("/dev/shm/msmtpd", ()),
        # as Kubernetes mounts a volume in memory
        ("/run/msmtpd/own", ("--tmpfs=/run/msmtpd:mode=2777",)),
        # as compose.yaml does
        ("/run/msmtpd/own", ("--tmpfs=/run/msmtpd:mode=1777,size=1m",)),
    ],
    ids=["Docker", "Kubernetes", "compose"],
)
def test_a_mounted_configuration_and_a_user_of_any_number_will_do(image, shared, folder, words):
    """OpenShift gives each project a number."""
    port = free_port()
    with ScriptedServer(Polite()) as server:
        (shared / "msmtprc").write_text(f"account default\nhost 127.0.0.1\nport {server.port}\n")
        words = (*words, "--read-only-tmpfs=false", "--user=1234567", f"--volume={shared}/msmtprc:/etc/msmtprc:ro")
        with Container(
            image, *words, more=("--interface=127.0.0.1", f"--port={port}"), environment={"MSMTPD_SANDBOX": "require"}
        ) as container:
            container.wait_ready()
            send(port)
            assert container.run("entrypoint", "--health", f"--port={port}").returncode == 0
            done = container.run("ls", "-A", folder)
            assert done.stdout.split() == ["options", "status"]
    assert len(server.sessions) == 1


# What Docker's own profile, and those of Kubernetes, refuse without CAP_SYS_ADMIN; and what old ones do not know.
OTHERS = ("unshare", "setns", "clone3", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self")


def test_what_an_engine_keeps_from_the_sandbox_is_said_in_one_line(image, shared):
    port = free_port()
    profile = podman.seccomp_profile(shared / "profile.json", *OTHERS)
    with ScriptedServer(Polite()) as server:
        variables = {"MSMTP_HOST": "127.0.0.1", "MSMTP_PORT": str(server.port), "MSMTPD_PORT": str(port)}
        with Container(image, profile, environment=variables) as container:
            container.wait_ready()
            send(port)
            (line,) = [each for each in container.log().splitlines() if "this system does not give" in each]
        assert re.search(r"namespaces \(of nursery, worker\): .*Operation not permitted", line)
        assert re.search(r"Landlock \(of supervisor, nursery, worker, delivery\): Operation not permitted", line)
        assert "seccomp" not in line
        with Container(image, profile, environment={**variables, "MSMTPD_SANDBOX": "require"}) as container:
            assert container.wait_ended() == 78
            assert "msmtpd: cannot confine the supervisor: Landlock: Operation not permitted" in container.log()
    assert len(server.sessions) == 1


def test_a_wrong_variable_ends_it_with_its_name(image):
    with Container(image, environment={"MSMTP_HOST": "x", "MSMTP_PROT": "25"}) as container:
        assert container.wait_ended() == 78
        assert container.log().splitlines()[-2:] == [
            "msmtpd: MSMTP_PROT: no such variable",
            "msmtpd: did you mean 'MSMTP_PORT'?",
        ]


def test_nothing_in_it_was_compiled_for_it_or_could_compile(image):
    """So the image for another architecture differs in nothing but Debian's packages."""
    script = (
        "find /usr/local -type f; find / -xdev -perm /6000 -type f; "
        "for name in cc gcc ld as make pip pip3; do command -v $name; done; true"
    )
    done = podman.podman("run", "--rm", *podman.LIMITS, "--network=host", "--entrypoint=sh", image, "-c", script)
    found = done.stdout.split()
    ours = [name for name in found if name.startswith("/usr/local/share/msmtp/")]
    assert {Path(name).suffix for name in ours} <= {".py", ".pyc", ".bpf", ".typed", ".bundle"}
    filters = {Path(name).name.split(".")[-2] for name in ours if name.endswith(".bpf")}
    assert {"x86_64", "aarch64"} <= filters
    others = {name for name in found if name.startswith("/usr/local/")} - set(ours)
    assert others == {f"/usr/local/bin/{name}" for name in ("entrypoint", "msmtp", "msmtpd")}
    assert not {Path(name).name for name in found} & {"cc", "gcc", "ld", "as", "make", "pip", "pip3"}
