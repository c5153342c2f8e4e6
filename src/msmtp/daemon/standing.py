"""Standing: what the processes that stand beside the sessions have in common, from entering their role to SIGTERM."""

from __future__ import annotations

import signal

from msmtp.daemon import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.journal import Journal
    from msmtp.daemon.loop import Loop
    from msmtp.sandbox import Prepared


def enter(role: Prepared, settings: Settings, journal: Journal, reason: str = "") -> None:
    """Enter a role, as far as the options want it; the log says what of it is in force.

    ``reason``: why it is this role and no narrower one.  Raises SandboxFailure.
    """
    applied = role.enter(settings.sandbox)
    note = events.confined if applied.complete else events.unconfined
    note(journal, applied.line() + (f" ({reason})" if reason else ""))


def heed(loop: Loop, drain: Callable[[], None], **more: Callable[[], None]) -> None:
    """Have SIGTERM drain; what a terminal or a manager sends to all processes alike is the keeper's to act on.

    ``more``: what else is heeded, by the signals' names.
    """
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    loop.on_signals({signal.SIGTERM: drain, **{getattr(signal, name): call for name, call in more.items()}})
