"""Which process is in which role, and what each is at its start: for the keeper, which forks them all.

Each function is called in the child, with the descriptor of its end of the channel to the keeper.  It keeps what is its
own, becomes its user, enters its role and runs until it is no longer needed.  What only one of them imports, it imports
here, so that none pays for another.
"""

from __future__ import annotations

from msmtp import sandbox
from msmtp.daemon import descriptors, privileges, titles
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.keeper import Generation, Keeper


def be_auth(keeper: Keeper, generation: Generation, channel: int) -> None:
    """Compare passwords."""
    from msmtp.daemon import auth

    kept = {channel, generation.verifiers, keeper.throttle.descriptor, *keeper.journal.descriptors()}
    descriptors.keep_only(kept)
    titles.set_title("auth")
    prepared = auth.prepare(generation.settings)
    auth.warm()  # while whatever Python is made of can be read for certain
    privileges.drop(generation.users.auth)
    auth.run(
        [channel],
        generation.settings,
        keeper.journal,
        keeper.page.lane(generation.number),
        verifiers=generation.verifiers,
        throttle=keeper.throttle,
        prepared=prepared,
    )


def be_delivery(keeper: Keeper, generation: Generation, channel: int) -> None:
    """Take mails, run commands; or stand where the service is that does."""
    if generation.settings.deliver_by:
        be_relay(keeper, generation, channel)
        return
    from msmtp.daemon import delivery, peers

    descriptors.keep_only({channel, *keeper.journal.descriptors()})
    titles.set_title("delivery")
    peers.learn_users()
    prepared = delivery.prepare(generation.settings)
    change = generation.users.change
    privileges.drop(generation.users.delivery)
    if change:
        _be_at_home(generation.users.delivery.uid)
    delivery.run(
        [channel],
        generation.settings,
        keeper.journal,
        keeper.page.lane(generation.number),
        prepared=prepared,
        names_user=peers.user_name,
        policy=generation.policy,
    )


def be_relay(keeper: Keeper, generation: Generation, channel: int) -> None:
    """Pass on to delivery, which is a service of its own, what is for it."""
    from msmtp.daemon import relay

    page = keeper.page.lane(generation.number)
    descriptors.keep_only({channel, page.descriptor, *keeper.journal.descriptors()})
    titles.set_title("relay")
    privileges.drop(generation.users.delivery)
    relay.relay(channel, generation.settings, keeper.journal, page)


def _be_at_home(uid: int) -> None:
    """Have the environment say of the user what the user database says, as login(1) does: root's would mislead."""
    import pwd

    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return
    for name, value in (
        ("HOME", entry.pw_dir),
        ("USER", entry.pw_name),
        ("LOGNAME", entry.pw_name),
        ("SHELL", entry.pw_shell),
    ):
        os.environ[name] = value
        os.putenv(name, value)


def be_tls(keeper: Keeper, generation: Generation, channel: int) -> None:
    """Hold the key, speak TLS."""
    from msmtp.daemon import tls

    descriptors.keep_only({channel, *keeper.journal.descriptors()})
    titles.set_title("tls")
    context = tls.load(generation.settings)
    privileges.drop(generation.users.tls)
    tls.run([channel], generation.settings, context, keeper.journal)


def be_names(keeper: Keeper, generation: Generation, channel: int) -> None:
    """Look peers' names up."""
    from msmtp.daemon import names

    descriptors.keep_only({channel, *keeper.journal.descriptors()})
    titles.set_title("names")
    privileges.drop(generation.users.names)
    names.run([channel], generation.settings, keeper.journal, keeper.page.lane(generation.number))


def be_supervisor(keeper: Keeper, generation: Generation, channel: int) -> None:
    """Accept connections, fork workers."""
    from msmtp.daemon.supervisor import Supervisor

    kept = {channel, *keeper.journal.descriptors(), *[listener.fd for listener in generation.listeners]}
    status = keeper.status.fd if keeper.status else -1
    descriptors.keep_only({*kept, status, generation.slots.descriptor})
    titles.set_title("supervisor")
    keeper.throttle.keep_from_children()  # nothing of these is for a process that speaks with a client
    keeper.page.keep_from_children()
    Supervisor(
        generation.settings,
        listeners=generation.listeners,
        keeper=channel,
        status=status,
        slots=generation.slots,
        page=keeper.page.lane(generation.number),
        journal=keeper.journal,
        users=generation.users,
        first_session=keeper.page["sessions"],
    ).run()


PROCESSES: dict[str, Callable[[Keeper, Generation, int], None]] = {
    "auth": be_auth,
    "delivery": be_delivery,
    "tls": be_tls,
    "names": be_names,
    "supervisor": be_supervisor,
}


def wanted(settings: Settings) -> list[str]:
    """What runs beside the supervisor; in this order they are started."""
    asked_for = {"auth": settings.auth, "delivery": True, "tls": settings.tls_cert, "names": settings.peer_names}
    return [which for which, yes in asked_for.items() if yes]


def prepared(settings: Settings) -> list[sandbox.Prepared]:
    """Every role that will be entered, to see whether this system has all that they need."""
    from msmtp.daemon import worker

    roles = [
        sandbox.prepare("supervisor", limits={"descriptors": 256}),
        sandbox.prepare("nursery", limits={"descriptors": 256}),
        worker.prepare(settings),
    ]
    if settings.deliver_by:
        from msmtp.daemon import relay

        roles.append(relay.prepare())
    else:
        from msmtp.daemon import delivery

        roles.append(delivery.prepare(settings))
    if settings.auth:
        from msmtp.daemon import auth

        roles.append(auth.prepare(settings))
    if settings.tls_cert:
        from msmtp.daemon import tls

        roles += tls.prepare()
    if settings.peer_names:
        from msmtp.daemon import names

        roles.append(names.prepare(settings))
    return roles
