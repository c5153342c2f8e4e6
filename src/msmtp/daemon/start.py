"""The start of the daemon: from settings to a keeper that runs.

The order matters.  Listeners come first: whether there is anything to do is known before anybody is asked for a
password, and clients may connect from then on.  Then what may need a terminal, then the background, then everything
that has to be made in the process that stays.
"""

from __future__ import annotations

from msmtp import __version__, sandbox
from msmtp.config.daemon_settings import UnixSocket, reread
from msmtp.daemon import events, listeners, privileges, service
from msmtp.daemon.journal import complain_of, open_journal
from msmtp.daemon.keeper import Keeper, policy_for
from msmtp.failures import Failure
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.background import Pidfile
    from msmtp.daemon.journal import Journal
    from msmtp.daemon.listeners import Listener
    from msmtp.daemon.privileges import Users

STATUS_MODE = 0o660


def serve(settings: Settings) -> int:
    """Be the daemon until it is told to end; give the exit code.  Raises Failure if it cannot start."""
    users = privileges.users(settings)
    policy = policy_for(settings)
    handed = listeners.inherited()
    privileges.tidy([*[listener.fd for listener in handed or ()], *service.handed().stored.values()])
    manager = service.Service()
    opened = handed or listeners.own(settings, users=users.numbers())
    pidfile = status = journal = None
    try:
        verifiers = _verifiers(settings)
        pidfile = _pidfile(settings)
        ready = _leave(settings, [*[listener.fd for listener in opened], verifiers], pidfile)
        status = _status_listener(settings, users)
        journal = open_journal(settings, users.numbers())
        events.started(journal, __version__)
        check(settings, journal)
        for listener in opened:
            events.listening(journal, listener.name)
        os.chdir("/")
        os.umask(0o077)
        keeper = Keeper(
            settings,
            reread=lambda: reread(settings),
            listeners=opened,
            relisten=_kept if handed else lambda new, held: listeners.own(new, held, privileges.users(new).numbers()),
            status=status,
            journal=journal,
            users=users,
            verifiers=verifiers,
            policy=policy,
            told=ready,
            manager=manager,
        )
        try:
            return keeper.run()
        finally:
            opened = keeper.generation.listeners
    except Failure as failure:
        complain_of(failure, journal)
        return failure.code
    finally:
        if status:
            status.close()
        for listener in opened:
            listener.close()
        if pidfile:
            pidfile.remove()


def _kept(_settings: Settings, held: Sequence[Listener]) -> list[Listener]:
    """What systemd handed over stays."""
    return list(held)


def _verifiers(settings: Settings) -> int:
    if not settings.auth:
        return -1
    from msmtp.daemon import passwords

    return passwords.verifiers(settings)


def _pidfile(settings: Settings) -> Pidfile | None:
    if not settings.pidfile:
        return None
    from msmtp.daemon import background

    held = background.hold_pidfile(settings.pidfile)
    if not settings.daemon:
        held.write(os.getpid())
    return held


def _leave(settings: Settings, kept: Sequence[int], pidfile: Pidfile | None) -> Callable[[], None]:
    """Go to the background if that is wanted; give what is to be called once clients are served."""
    if not settings.daemon:
        return lambda: None
    from msmtp.daemon import background

    return background.leave([each for each in kept if each >= 0], pidfile)


def status_path(settings: Settings) -> str:
    """Where the status socket is: as asked for, or in a folder that is the daemon's by custom; 'off' for nowhere."""
    if settings.status_socket:
        return settings.status_socket
    folder = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if folder:
        return f"{folder}/status"
    if os.geteuid() == 0:
        return "/run/msmtpd/status"
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    port = settings.ports[0] if settings.ports else 0
    return f"{folder}/msmtpd-{port}.status" if folder[:1] == "/" else "off"


def _status_listener(settings: Settings, users: Users) -> Listener | None:
    """Listen there; a daemon that cannot tell its status serves all the same, unless the place was asked for."""
    path = status_path(settings)
    if path == "off":
        return None
    try:
        if path == "/run/msmtpd/status" and not settings.status_socket:
            os.mkdir("/run/msmtpd", 0o755)
    except OSError:
        pass
    group = str(users.supervisor.gid) if users.change else ""  # else it is that one, and chown(2) may be refused
    wanted = UnixSocket(path, mode=STATUS_MODE, group=group)
    try:
        return listeners.at_path(wanted, privileges_of(users))
    except Failure:
        if settings.status_socket:
            raise
        return None


def privileges_of(users: Users) -> frozenset[int]:
    """Users in whose folders a socket of ours may lie."""
    return frozenset((0, os.geteuid(), *users.numbers()))


def check(settings: Settings, journal: Journal) -> None:
    """Raise UnconfinedFailure if the sandbox cannot be had in full and that was not allowed; say so where it was."""
    if settings.sandbox == sandbox.OFF:
        return
    from msmtp.daemon import roles

    prepared = roles.prepared(settings)
    try:
        if settings.sandbox == sandbox.REQUIRE:
            sandbox.check(*prepared)
        elif missing := missing_in(prepared):
            events.incomplete(journal, missing)
    finally:
        for each in prepared:
            each.close()


def missing_in(prepared: Sequence[sandbox.Prepared]) -> str:
    """What this system does not give, in a line: each layer once, with the roles that go without; '' for nothing."""
    found: dict[tuple[str, str], list[str]] = {}
    for each in prepared:
        for layer_and_reason in sandbox.probe(each):
            found.setdefault(layer_and_reason, []).append(each.role.name)
    return "; ".join([f"{layer} (of {', '.join(roles)}): {reason}" for (layer, reason), roles in found.items()])
