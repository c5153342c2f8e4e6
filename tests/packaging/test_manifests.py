"""compose.yaml and kubernetes.yaml: read by who will read them, and held to what the documentation says of them."""

from __future__ import annotations

import re
import subprocess
import warnings
from pathlib import Path

import pytest
import yaml
from tests.support import debian

from msmtp.daemon import container, keeper

CONTAINER = Path(__file__).parents[2] / "packaging" / "container"
COMPOSE, KUBERNETES = CONTAINER / "compose.yaml", CONTAINER / "kubernetes.yaml"
CONTAINERFILE = (CONTAINER / "Containerfile").read_text()
USER = 65532
HEALTH = ["/usr/local/bin/entrypoint", "--health"]


def service():
    return yaml.safe_load(COMPOSE.read_text())["services"]["smtp"]


def objects():
    return list(yaml.safe_load_all(KUBERNETES.read_text()))


def of_kind(kind):
    (found,) = [each for each in objects() if each["kind"] == kind]
    return found["spec"]


def pod():
    return of_kind("Deployment")["template"]["spec"]


def test_compose_reads_its_file():
    root = debian.bundle("docker-compose")
    program = next(path for path in (root / "usr/libexec/docker/cli-plugins/docker-compose", root / "usr/bin/docker-compose")
                   if path.is_file())  # fmt: skip
    script = program.read_bytes()[:2] == b"#!"
    done = subprocess.run(
        [*(["/usr/bin/python3", "-W", "ignore"] if script else []), program, "-f", COMPOSE, "config"],
        env={"PYTHONPATH": f"{root}/usr/lib/python3/dist-packages", "PATH": "/usr/bin:/bin", "HOME": "/none"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)["services"]["smtp"]
    assert read["environment"]["MSMTP_TLS"] == "on"
    assert read["read_only"] is True


@pytest.mark.parametrize("each", objects(), ids=lambda each: each["kind"])
def test_kubernetes_has_such_objects(each):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its library
        import kubernetes_validate

    kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("which", ["compose", "kubernetes"])
def test_the_variables_make_a_configuration(which, tmp_path):
    rows = pod()["containers"][0]["env"]
    variables = service()["environment"] if which == "compose" else {row["name"]: row["value"] for row in rows}
    assert all(isinstance(value, str) for value in variables.values())
    assert not [name for name in variables if "PASSWORD" in name and not name.endswith("_FILE")]
    (tmp_path / "password").write_text("geheim\n")
    made, options = container.made({**variables, "MSMTP_PASSWORD_FILE": str(tmp_path / "password")}, "/run/msmtpd")
    assert 'password "geheim"\n' in made
    assert 'tls "on"\n' in made
    assert 'log "json"\n' in options


def test_compose_gives_no_more_than_is_needed():
    found = service()
    assert found["user"] == f"{USER}:{USER}"
    assert (found["read_only"], found["cap_drop"], found["security_opt"]) == (True, ["ALL"], ["no-new-privileges:true"])
    assert found["ports"] == ["127.0.0.1:2525:2525"]
    assert found["healthcheck"]["test"] == ["CMD", *HEALTH[:1], "--health=alive"]
    assert int(found["stop_grace_period"].removesuffix("s")) > keeper.STOP_PATIENCE
    assert found["tmpfs"][0].partition(":")[0] == container.FOLDERS[0]


def test_pods_get_no_more_than_is_needed():
    found = pod()
    context = found["securityContext"]
    assert context == {
        "runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    (one,) = found["containers"]
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert (found["automountServiceAccountToken"], found["enableServiceLinks"]) == (False, False)
    volumes = {volume["name"]: volume for volume in found["volumes"]}
    assert volumes["secret"]["secret"]["defaultMode"] == 0o440
    assert volumes["run"]["emptyDir"]["medium"] == "Memory"
    mounts = {mount["name"]: mount["mountPath"] for mount in one["volumeMounts"]}
    assert set(mounts) == set(volumes)
    assert mounts["run"] == container.FOLDERS[0]
    (secret,) = [row["value"] for row in one["env"] if row["name"] == "MSMTP_PASSWORD_FILE"]
    assert Path(secret).parent == Path(mounts["secret"])


def test_pods_are_asked_by_smtp_and_let_end():
    found = pod()
    (one,) = found["containers"]
    commands = {name: one[name]["exec"]["command"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert commands == {
        "startupProbe": HEALTH,
        "readinessProbe": HEALTH,
        "livenessProbe": [HEALTH[0], "--health=alive"],
    }
    pause = int(one["lifecycle"]["preStop"]["exec"]["command"][1])
    assert found["terminationGracePeriodSeconds"] > keeper.STOP_PATIENCE + pause


def test_all_objects_speak_of_the_same_pods():
    labels = of_kind("Deployment")["template"]["metadata"]["labels"]
    assert of_kind("Deployment")["replicas"] >= 2
    assert of_kind("Deployment")["selector"]["matchLabels"] == labels
    assert of_kind("Service")["selector"] == labels
    assert of_kind("PodDisruptionBudget")["selector"]["matchLabels"] == labels
    assert of_kind("NetworkPolicy")["podSelector"]["matchLabels"] == labels
    (port,) = pod()["containers"][0]["ports"]
    assert of_kind("Service")["ports"][0]["targetPort"] == port["name"]
    assert of_kind("NetworkPolicy")["ingress"][0]["ports"] == [{"protocol": "TCP", "port": port["name"]}]
    assert f"EXPOSE {port['containerPort']}\n" in CONTAINERFILE
    assert of_kind("NetworkPolicy")["policyTypes"] == ["Ingress", "Egress"]


def test_the_image_says_the_same():
    assert re.search(rf"^USER {USER}:{USER}$", CONTAINERFILE, re.MULTILINE)
    assert '"/usr/local/bin/entrypoint", "--health"]' in CONTAINERFILE
    assert "STOPSIGNAL SIGTERM" in CONTAINERFILE
    assert container.defaults("/x")["port"] == ["2525"]


@pytest.mark.parametrize("document", ["docs/containers.md", "README.md"])
def test_the_variables_that_documents_speak_of_are_there(document):
    text = (CONTAINER.parents[1] / document).read_text()
    found = set(re.findall(r"\b(MSMTPD?_[A-Za-z_]+[A-Za-z])\b", text)) - {"MSMTP_PASSWORD_FILE"}
    assert found >= {"MSMTP_HOST", "MSMTP_AUTH"}
    for name in found:
        if name.startswith("MSMTPD_"):
            assert container.option(name, "x")
        else:
            assert container.taken_apart(name.removeprefix("MSMTP_"))[0], name
