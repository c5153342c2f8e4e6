"""Events: what the daemon logs, one function each, so that the words stand in one place.

A function takes what happened and decides about the priority, the text, and the fields that go along to systemd's
journal (``journalctl MSMTPD_SESSION=17``): MSMTPD_EVENT always, the others by the names of the arguments.  ``session``
is a number that the supervisor gives, the same in all processes.  What strangers wrote (addresses, names, what a
command said) is passed on as it came: the journal makes it harmless.
"""

from __future__ import annotations

from msmtp.daemon.journal import ERROR, INFO, NOTICE, WARNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from msmtp.daemon.journal import Journal


# -- the daemon


def started(journal: Journal, version: str) -> None:
    """The keeper is there."""
    journal.write(INFO, "started", f"msmtpd {version} started", version=version)


def listening(journal: Journal, where: str) -> None:
    """A listener is open: ``where`` as people write it."""
    journal.write(INFO, "listening", f"listening on {where}", where=where)


def confined(journal: Journal, line: str) -> None:
    """A process entered its role: the line of ``sandbox.Applied``."""
    journal.write(INFO, "confined", line)


def unconfined(journal: Journal, line: str) -> None:
    """A process entered its role without all of it, by option: the same."""
    journal.write(WARNING, "unconfined", line)


def incomplete(journal: Journal, missing: str) -> None:
    """Not all of the sandbox can be had on this system, which an option allows: what, of which roles, and why."""
    journal.write(WARNING, "incomplete", f"of the sandbox this system does not give: {missing}", missing=missing)


def ready(journal: Journal) -> None:
    """Clients are served."""
    journal.write(INFO, "ready", "ready")


def reloading(journal: Journal) -> None:
    """SIGHUP came."""
    journal.write(INFO, "reloading", "reading the options again")


def reloaded(journal: Journal) -> None:
    """New processes serve; the old ones end with their sessions."""
    journal.write(INFO, "reloaded", "the options were read again and are in force")


def reload_refused(journal: Journal, reason: str) -> None:
    """The new options cannot be taken; the old ones stay."""
    journal.write(ERROR, "reload_refused", f"going on with the options as they were: {reason}", reason=reason)


def stopping(journal: Journal) -> None:
    """SIGTERM came."""
    journal.write(INFO, "stopping", "stopping: open sessions are let end")


def stopped(journal: Journal) -> None:
    """The last process ended."""
    journal.write(INFO, "stopped", "stopped")


def broker_died(journal: Journal, which: str, reason: str, again_in: float) -> None:
    """A process that is to run on ended: ``reason`` in words (:func:`ending`), ``again_in`` seconds."""
    journal.write(
        ERROR,
        "broker_died",
        f"process {which} {reason}, starts again in {again_in:.2f} s",
        which=which,
        reason=reason,
        again_in=f"{again_in:.2f}",
    )


def unexpected(journal: Journal, which: str, error: BaseException) -> None:
    """A process ends by an exception that nobody knew of: its kind and its place, for its words could be a secret."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else "unknown place"
    words = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    kind = type(error).__name__
    journal.write(
        ERROR, "unexpected", f"process {which}: {kind}{words} at {place}", which=which, error=f"{kind} at {place}"
    )


# -- sessions


def connected(journal: Journal, session: int, peer: str) -> None:
    """A session begins."""
    journal.write(INFO, "connected", f"session {session}: connection from {peer}", session=session, peer=peer)


def refused(journal: Journal, peer: str, reason: str) -> None:
    """A connection was answered with 421 and closed."""
    journal.write(NOTICE, "refused", f"refused connection from {peer}: {reason}", peer=peer, reason=reason)


def note(journal: Journal, session: int, text: str | bytes) -> None:
    """What a worker has to say of its session; of none if that is 0."""
    said = f"session {session}: {_text(text)}" if session else _text(text)
    journal.write(NOTICE, "note", said, session=session or None)


def ended(journal: Journal, session: int, seconds: float, mails: int, reason: str) -> None:
    """A session is over: ``mails`` were accepted in it."""
    dropped = journal.settle(session)
    journal.write(
        INFO,
        "ended",
        f"session {session}: ended after {seconds:.3f} s, mails {mails}: {reason}"
        + (f" ({dropped} records were dropped)" if dropped else ""),
        session=session,
        seconds=f"{seconds:.3f}",
        mails=mails,
        reason=reason,
        dropped=dropped or None,
    )
    journal.settle(session)


def worker_died(journal: Journal, session: int, status: int) -> None:
    """A worker ended as it should not, ``session`` 0: in none; ``status`` as of os.waitstatus_to_exitcode()."""
    who = f"session {session}: its process" if session else "a worker without a session"
    journal.write(ERROR, "worker_died", f"{who} {ending(status)}", session=session or None, status=status)


def ending(status: int) -> str:
    """How a process ended, in words."""
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"


# -- authentication


def auth_succeeded(journal: Journal, session: int, user: str | bytes) -> None:
    """A client knows the password."""
    journal.write(
        INFO, "auth_succeeded", f"session {session}: authenticated as {_text(user)}", session=session, user=user
    )


def auth_failed(journal: Journal, session: int, user: str | bytes, delay: float) -> None:
    """A client does not; its answer was held back for so many seconds."""
    journal.write(
        WARNING,
        "auth_failed",
        f"session {session}: authentication failed for user {_text(user)} (answered after {delay:.1f} s)",
        session=session,
        user=user,
        delay=f"{delay:.1f}",
    )


# -- mails


def delivered(  # noqa: PLR0913, PLR0917 - what the record says
    journal: Journal, session: int, sender: bytes, recipients: int, size: int, seconds: float, command: str
) -> None:
    """The command took a mail: number of ``recipients``, ``size`` in octets, ``command`` without the recipients."""
    journal.write(
        INFO,
        "delivered",
        f"session {session}: mail from {_text(sender) or '<>'}, recipients {recipients}, size {size}:"
        f" taken in {seconds:.3f} s by {command}",
        session=session,
        sender=sender,
        recipients=recipients,
        size=size,
        seconds=f"{seconds:.3f}",
        command=command,
    )


def delivery_failed(  # noqa: PLR0913, PLR0917 - what the record says
    journal: Journal, session: int, sender: bytes, recipients: int, code: int, outcome: str, last_line: bytes
) -> None:
    """The command did not: ``code`` the client was told, ``outcome`` in words, ``last_line`` of what it printed."""
    said = f": {_text(last_line)}" if last_line else ""
    journal.write(
        ERROR,
        "delivery_failed",
        f"session {session}: mail from {_text(sender) or '<>'}, recipients {recipients}:"
        f" answered {code}, {outcome}{said}",
        session=session,
        sender=sender,
        recipients=recipients,
        code=code,
        outcome=outcome,
        last_line=last_line,
    )


def forbidden(journal: Journal, session: int, sender: bytes, person: str, reason: str) -> None:
    """The policy refused a mail: who wanted to send it, and what the client was told."""
    journal.write(
        WARNING,
        "forbidden",
        f"session {session}: mail from {_text(sender) or '<>'} refused: {reason}",
        session=session,
        sender=sender,
        person=person,
        reason=reason,
    )


def _text(octets: str | bytes) -> str:
    return octets.decode("utf-8", "backslashreplace") if isinstance(octets, bytes) else octets
