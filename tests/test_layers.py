"""Who may import whom, as docs/architecture.md draws it; and that the lower layers are pure."""

import ast
import subprocess
import sys

import pytest
from scripts.generate import layers

# Layers 0 and 1: bytes in, values out. What would reach a socket, a file, the clock, a process or chance.
IMPURE = {
    "socket", "_socket", "ssl", "_ssl", "select", "selectors", "asyncio", "os", "posix", "io", "pathlib", "tempfile",
    "shutil", "mmap", "fcntl", "time", "datetime", "random", "_random", "secrets", "uuid", "subprocess", "signal",
    "threading", "_thread", "multiprocessing", "ctypes", "_ctypes", "logging", "locale", "getpass", "platform", "sys",
}  # fmt: skip
IMPURE_CALLS = {"open", "input", "print", "eval", "exec"}

# GSSAPI and NTLM are libraries that keep their own state and files; sasl is the door to them, and knows no other.
LIBRARIES = {"sasl": {"gssapi", "spnego", "cryptography"}}

MODULES = dict(layers.modules())
PURE = [path for path in MODULES if layers.LEVEL.get(layers.package_of(path)) in {0, 1}]


@pytest.mark.parametrize("path", MODULES)
def test_a_module_imports_from_lower_layers_and_its_own_package(path):
    breaches = [
        f"{path}:{line} imports {name}: {why}"
        for line, name in layers.imported(MODULES[path])
        if (why := layers.breach(path, name))
    ]
    assert breaches == []


@pytest.mark.parametrize("path", PURE)
def test_the_lower_layers_are_pure(path):
    found = [
        f"{path}:{line} imports {name}"
        for line, name in layers.imported(MODULES[path])
        if name.partition(".")[0] in IMPURE
    ]
    found += [
        f"{path}:{node.lineno} calls {node.func.id}"
        for node in ast.walk(MODULES[path])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS
    ]
    assert found == []


@pytest.mark.parametrize("path", PURE)
def test_the_lower_layers_use_the_standard_library_only(path):
    allowed = sys.stdlib_module_names | {"msmtp"} | LIBRARIES.get(layers.package_of(path), set())
    found = [name for _, name in layers.imported(MODULES[path]) if name.partition(".")[0] not in allowed]
    assert found == []


@pytest.mark.parametrize("path", sorted(MODULES.keys() - {f"{layers.SYSTEM}.py"}))
def test_os_comes_from_where_a_send_does_not_pay_for_all_of_it(path):
    found = [f"{path}:{line}" for line, name in layers.imported(MODULES[path]) if name.partition(".")[0] == "os"]
    assert found == [], "say: from msmtp.system import os"


def test_every_package_stands_on_a_layer():
    places = {layers.package_of(path) for path in MODULES} - layers.DOORS - {layers.ROOT, layers.SYSTEM}
    assert places <= layers.LEVEL.keys()


@pytest.mark.parametrize(
    ("path", "name", "allowed"),
    [
        ("smtp/client.py", "msmtp.failures.ProtocolFailure", True),
        ("smtp/client.py", "msmtp.smtp.replies.Reply", True),
        ("smtp/client.py", "msmtp.sasl.create", False),  # a neighbour
        ("smtp/client.py", "msmtp.net.stream", False),  # upward
        ("net/stream.py", "msmtp.config.options", False),
        ("config/reader.py", "msmtp.__version__", False),
        ("sender/texts.py", "msmtp.__version__", True),
        ("sender/main.py", "msmtp.daemon.main", False),
        ("daemon/warm.py", "msmtp.sender.main", True),
        ("daemon/worker.py", "msmtp.sender.main", False),
        ("failures.py", "msmtp.exits.EXITS", True),
        ("exits.py", "msmtp.failures.Failure", False),
        ("smtp/client.py", ".replies.Reply", False),
        ("net/stream.py", "msmtp.system.os", True),
        ("smtp/client.py", "msmtp.system.os", False),
        ("failures.py", "msmtp.system.os", False),
        ("system.py", "msmtp.failures.Failure", False),
        ("__main__.py", "msmtp.sender.main", True),
        ("__init__.py", "msmtp.sender.main", False),
    ],
)
def test_the_rule_itself(path, name, allowed):
    assert (layers.breach(path, name) == "") == allowed


def test_lower_layers_can_be_imported_without_the_upper_ones():
    """The library that others use costs what it is worth: no socket, no TLS, no configuration comes along."""
    code = (
        "import sys; import msmtp.smtp, msmtp.sasl, msmtp.mail\n"
        "print(*sorted(name for name in sys.modules if name.startswith('msmtp.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=layers.TOP / "src"
    )
    loaded = {name.split(".")[1] for name in done.stdout.split()}
    assert {layers.LEVEL[name] for name in loaded} <= {0, 1}
