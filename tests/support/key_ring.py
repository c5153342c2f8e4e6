"""A session bus of our own with a real GNOME key ring on it, filled by the real secret-tool."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import secretstorage
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import Proxy, open_dbus_connection
from secretstorage.util import DBusAddressWrapper, format_secret, open_session
from tests.support.processes import Daemon

PASSWORD = "login password"  # of the key ring itself
INTERNAL = "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface"
BARE_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""


class KeyRing:
    """The bus at ``address`` with the key ring's daemon on it."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to find the key ring."""
        return {
            "DBUS_SESSION_BUS_ADDRESS": self.address,
            "HOME": str(self.folder),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_RUNTIME_DIR": str(self.folder),
        }

    def store(self, secret: str, *attributes: str) -> None:
        """``secret-tool store`` with these attributes, name and value by turns."""
        self.secret_tool("store", "--label=msmtp", *attributes, given=secret)

    def clear(self, *attributes: str) -> None:
        """``secret-tool clear``."""
        self.secret_tool("clear", *attributes)

    def lock(self) -> None:
        """Lock the collection that items go to, as the daemon does when the person has been away."""
        with contextlib.closing(open_dbus_connection(self.address)) as connection:
            secretstorage.Collection(connection).lock()

    def unlock(self) -> None:
        """Unlock it, as the person does who types its password into the window that is not there."""
        with contextlib.closing(open_dbus_connection(self.address)) as connection:
            password = format_secret(open_session(connection), PASSWORD.encode(), "text/plain")
            service = DBusAddressWrapper("/org/freedesktop/secrets", INTERNAL, connection)
            path = "/org/freedesktop/secrets/collection/login"
            service.call("UnlockWithMasterPassword", "o(oayays)", path, password)

    def secret_tool(self, *arguments: str, given: str = "") -> str:
        """Run the real one; what it printed."""
        done = subprocess.run(
            ["secret-tool", *arguments],
            input=given,
            text=True,
            capture_output=True,
            check=False,
            timeout=30,
            env={**os.environ, **self.environment},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextlib.contextmanager
def session_bus(folder: Path, *, bare: bool = False) -> Iterator[str]:
    """A session bus; its address.  On a ``bare`` one there are no services that it could start."""
    address = f"unix:path={folder}/bus"
    configuration = folder / "bus.conf"
    configuration.write_text(BARE_BUS)
    how = f"--config-file={configuration}" if bare else "--session"
    with Daemon(
        ["dbus-daemon", how, f"--address={address}", "--nofork", "--nopidfile"],
        ready=(folder / "bus").exists,
        log=folder / "bus.log",
        environment={"XDG_RUNTIME_DIR": str(folder), "XDG_DATA_HOME": str(folder / "data"), "HOME": str(folder)},
    ):
        yield address


@contextlib.contextmanager
def key_ring(folder: Path) -> Iterator[KeyRing]:
    """A key ring, unlocked and empty."""
    with session_bus(folder) as address:
        ring = KeyRing(folder, address)
        start = f"printf %s '{PASSWORD}' | exec gnome-keyring-daemon --foreground --unlock --components=secrets"
        with Daemon(
            ["sh", "-c", f"{start} --control-directory={folder}/control"],
            ready=lambda: _has_owner(address),
            log=folder / "keyring.log",
            environment=ring.environment,
        ):
            yield ring


def _has_owner(address: str) -> bool:
    with contextlib.closing(open_dbus_connection(address)) as connection:
        return bool(Proxy(message_bus, connection).NameHasOwner("org.freedesktop.secrets")[0])
