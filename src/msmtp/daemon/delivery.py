"""The delivery broker (D): takes mails from workers and runs the command for each.

It believes a worker nothing that it can see for itself.  Who connected, it has from the supervisor; addresses it checks
again; where the mail lies it has made, and limited; the trace at the mail's head it writes before the worker gets the
file, and reads again at the end.

    IDLE --ENVELOPE--> ADDRESSED --RECIPIENT--> ... --BODY--> OPEN --COMMIT--> RUNNING --> IDLE
                                                             SPILL (more room)

**The commit.**  A mail is complete when COMMIT says so, never because something ended.  A channel that closes before
is a mail dropped; a channel that closes after changes nothing: the command runs, and its result is for nobody.

**The file.** A mail of up to MEMORY octets lies in a memory file whose size cannot grow (F_SEAL_GROW).  The worker
has a descriptor of it that can be written and not read, of which there is no mapping (mmap(2)), and nobody can open
it for writing once more.  At COMMIT it is cut, and sealed against writing.  (F_SEAL_WRITE would look for mappings,
and wait for all processors to let go of its pages for that: milliseconds at times, for all other sessions too.) A
larger one lies in a file without a name, for which there are no seals; so the worker closes its descriptor before it
says COMMIT, and a read lease (fcntl(2), F_SETLEASE), not to be had while the file is open for writing anywhere, shows
that it did.  The command gets the file itself as its standard input, opened anew for reading: no copy, and an offset
that is nobody else's.

Nothing here waits: many sessions, many commands, one loop.
"""

from __future__ import annotations

import errno
import fcntl
import pwd
import time

from msmtp import sandbox
from msmtp.daemon import environment, events, privileges, requests, runner, standing
from msmtp.daemon.channel import Channel, ChannelGone, ChannelShort
from msmtp.daemon.command import (
    SETTINGS_FILE,
    Command,
    exec_words,
    fault_of_address,
    is_ours,
    is_privileged,
    settings_file,
)
from msmtp.daemon.descriptors import F_SEAL_FUTURE_WRITE
from msmtp.daemon.loop import Loop
from msmtp.exits import BY_CODE
from msmtp.failures import ChannelFailure, ConfigFailure
from msmtp.mail import fields
from msmtp.mail.addresses import PLAIN
from msmtp.mail.received import Hop, protocol, received
from msmtp.smtp import grammar, xtext
from msmtp.smtp.server_replies import REPLIES
from msmtp.system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from msmtp.config.daemon_settings import Settings
    from msmtp.daemon.channel import Message
    from msmtp.daemon.guard import Guard, Permission
    from msmtp.daemon.journal import Journal
    from msmtp.daemon.policy import Policy
    from msmtp.daemon.requests import Request
    from msmtp.daemon.runner import Outcome
    from msmtp.daemon.status import Page
    from msmtp.daemon.warm import Warm

MEMORY = (1 << 20) + (1 << 16)  # octets in memory, for a mail of 1 MiB and its head; no session takes more
NO_LIMIT = 1 << 62
TEXT_LIMIT = 400  # octets of a reply's text (RFC 5321, 4.5.3.1.5: 512 for the line)
SPOOL = "/var/tmp"  # noqa: S108 - files there have no names
F_SEAL_FINAL = fcntl.F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL
PAUSES = (0.01, 0.1, 1.0, 3.0)  # seconds: a worker that has not been told yet what became of its mail is told again
AHEAD = 1  # commands that may run while a process is made for the next: with more, the processors have enough to do
_COPY = 1 << 20
_LINES_TOLD = 3  # of what msmtp said, to the client

CIRCLE = (
    f"the mail comes from its own command: the mail server's settings ({SETTINGS_FILE}) are not there, or lead here"
)

LOCKED, NEW, IDLE, ADDRESSED, FILLED, OPEN, RUNNING = "locked", "new", "idle", "addressed", "filled", "open", "running"
"""States of a session: in LOCKED, auth has not said yet who it is; only NEW may still say PEER; FILLED has recipients.
"""

PERMITTED: dict[str, tuple[Request, ...]] = {
    LOCKED: (requests.USER,),
    NEW: (requests.PEER, requests.ENVELOPE),
    IDLE: (requests.ENVELOPE,),
    ADDRESSED: (requests.RECIPIENT, requests.ABORT),
    FILLED: (requests.RECIPIENT, requests.BODY, requests.ABORT),
    OPEN: (requests.SPILL, requests.COMMIT, requests.ABORT),
    RUNNING: (),
}
"""What a worker may say in each state; anything else is junk, and the session is hung up on."""

CONTROLS = (requests.PING, requests.DELIVERY_SESSION, requests.CONTROL, requests.NAMES)
"""What the keeper and supervisors may say; who looks names up reads what strangers wrote, and may say less."""

_RULES: dict[bytes, Callable[[bytes], object]] = {
    b"RET": lambda value: value in {b"FULL", b"HDRS"},
    b"ENVID": lambda value: xtext.decode(value).isascii() and xtext.decode(value).decode().isprintable(),
    b"NOTIFY": grammar.NOTIFY.fullmatch,
    b"ORCPT": grammar.ORCPT.fullmatch,
}
"""Parameters that become words of a command line, and what their values have to be."""


class _Mail:
    """A mail under way.  ``descriptor``: its file, -1 for none yet; ``head``: what stands at its head, ours."""

    __slots__ = (
        "descriptor",
        "head",
        "hello",
        "identity",
        "in_memory",
        "length",
        "parameters",
        "permission",
        "protocol",
        "recipients",
        "room",
        "sender",
        "tls",
        "user",
    )

    def __init__(self, identity: bytes, said: Message) -> None:
        self.identity = identity
        self.hello = said.octets("hello")
        self.protocol = said.number("protocol")
        self.tls = said.octets("tls")
        self.user = said.octets("user")
        self.sender = said.octets("sender")
        self.parameters = said.many("parameters")
        self.permission: Permission | None = None
        self.recipients: list[tuple[bytes, list[bytes]]] = []
        self.descriptor = -1
        self.in_memory = True
        self.head = b""
        self.room = 0
        self.length = 0

    @property
    def keyword(self) -> bytes:
        """The word behind "with"."""
        has = self.protocol
        return protocol(
            extended=bool(has & requests.EXTENDED),
            lmtp=bool(has & requests.LOCAL_TRANSFER),
            utf8=self.utf8,
            tls=bool(has & requests.SECURED_BY_TLS),
            auth=bool(has & requests.AUTHENTICATED),
        )

    @property
    def utf8(self) -> bool:
        """Whether the client asked for SMTPUTF8."""
        return bool(self.protocol & requests.UTF8)

    def close(self) -> None:
        """Let the mail go."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class _Session:
    """A session's worker, at the other end of ``channel`` (None when it is gone).  ``count``: mails so far."""

    __slots__ = (
        "address",
        "channel",
        "count",
        "flags",
        "local",
        "mail",
        "name",
        "number",
        "port",
        "state",
        "uid",
        "user",
    )

    def __init__(self, said: Message, channel: Channel) -> None:
        self.number = said.number("session")
        self.address = said.octets("address")
        self.port = said.number("port")
        self.uid = said.number("uid")
        self.local = said.octets("local")
        self.name = b""
        self.channel: Channel | None = channel
        self.flags = said.number("flags")
        self.user = b""
        self.state = LOCKED if self.flags & requests.WITH_AUTH else self.unlocked
        self.mail: _Mail | None = None
        self.count = 0

    @property
    def unlocked(self) -> str:
        """The state in which mails may be sent."""
        return NEW if self.flags & requests.PROXIED else IDLE


class DeliveryBroker:
    """All of D but the process around it: sessions and commands in a loop."""

    __slots__ = (
        "_alone",
        "_base",
        "_command",
        "_controls",
        "_draining",
        "_ended",
        "_guard",
        "_host",
        "_journal",
        "_limit",
        "_loop",
        "_names_user",
        "_ours",
        "_page",
        "_runner",
        "_sessions",
        "_settings",
        "_spool",
        "_warm",
    )

    def __init__(  # noqa: PLR0913 - what it is made of, most by name
        self,
        loop: Loop,
        settings: Settings,
        journal: Journal,
        page: Page,
        *,
        names_user: Callable[[int], str] = str,
        warm: Warm | None = None,
        policy: Policy | None = None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        """Raise ConfigFailure for a command or a spool that cannot be.

        ``names_user`` gives a user's name by number.  ``warm`` runs the default command; None: no command runs warm.
        ``policy``: who may send what; None: everybody everything.  ``ended`` is called when nobody is left to serve.
        """
        self._loop = loop
        self._settings = settings
        self._journal = journal
        self._page = page
        self._names_user = names_user
        self._warm = warm
        self._ended = ended
        self._command = Command(settings.command)
        self._base = environment.inherited(os.environb)
        self._ours = is_own_msmtp(settings, self._base)
        self._spool = open_spool(settings)
        self._runner = runner.Runner(loop, settings.command_timeout, warm.apart if warm else ())
        self._limit = settings.max_size or NO_LIMIT
        self._host = own_name(settings.domain)
        self._alone = own_user()
        self._guard: Guard | None = None
        self.judge_by(policy)
        self._controls: dict[int, Channel] = {}
        self._sessions: dict[int, _Session] = {}
        self._draining = False
        if warm:
            warm.join(loop)

    # -- whom it serves

    def control(self, descriptor: int, permitted: tuple[Request, ...] = CONTROLS) -> None:
        """Serve a supervisor, or the keeper, at the other end of a channel; or hear who looks names up."""
        channel = Channel(descriptor)
        channel.set_blocking(False)
        self._controls[descriptor] = channel
        self._loop.watch(descriptor, lambda _events: self._answer_control(descriptor, channel, permitted))

    def _answer_control(self, descriptor: int, channel: Channel, permitted: tuple[Request, ...]) -> None:
        try:
            while True:
                try:
                    said = channel.receive(permitted)
                except ChannelShort as shortage:  # the other end of what came along is closed by that
                    events.note(self._journal, 0, f"delivery: {shortage.message}")
                    continue
                if said.name == "DELIVERY_SESSION":
                    self.session(said)
                elif said.name == "CONTROL":
                    self.control(said.descriptors[0])
                elif said.name == "NAMES":
                    self.control(said.descriptors[0], (requests.PEER_NAME,))
                elif said.name == "PEER_NAME":
                    self._name_peer(said)
                else:
                    channel.send(requests.PONG, said.number("count"))
        except BlockingIOError:
            return
        except ChannelGone:
            pass
        except ChannelFailure as failure:
            events.note(self._journal, 0, f"delivery: {failure.message}")
        self._loop.forget(descriptor)
        channel.close()
        del self._controls[descriptor]
        self._end_if_alone()

    def session(self, said: Message) -> None:
        """Serve the worker of a session; ``said``: DELIVERY_SESSION with the channel to it."""
        channel = Channel(said.descriptors[0])
        channel.set_blocking(False)
        session = _Session(said, channel)
        self._sessions[channel.fileno()] = session
        self._loop.watch(channel.fileno(), lambda _events: self._answer(session))

    def _name_peer(self, said: Message) -> None:
        for session in self._sessions.values():
            if session.number == said.number("session"):
                session.name = said.octets("name")

    def judge_by(self, policy: Policy | None) -> None:
        """Judge mails by this policy from now on."""
        if policy is None:
            self._guard = None
        elif self._guard is None:
            from msmtp.daemon.guard import Guard

            self._guard = Guard(policy)
        else:
            self._guard.replace(policy)

    def drain(self) -> None:
        """End when the last session has, and the last command (SIGTERM, or the keeper is gone)."""
        self._draining = True
        self._end_if_alone()

    def _end_if_alone(self) -> None:
        if self._ended and (self._draining or not self._controls) and not self._sessions and not len(self._runner):
            self._ended()

    def close(self) -> None:
        """End everything at once: commands are killed."""
        self._runner.end_all()

    # -- what a worker says

    def _answer(self, session: _Session) -> None:
        """Take what a worker said, as far as it goes."""
        channel = session.channel
        assert channel is not None
        try:
            while session.channel:
                said = channel.receive(PERMITTED[session.state])
                _ANSWERS[said.name](self, session, said)
        except BlockingIOError:
            return
        except ChannelGone:
            pass
        except ChannelFailure as failure:
            events.note(self._journal, session.number, f"delivery hangs up on its worker: {failure.message}")
        except Exception as error:  # noqa: BLE001 - a fault of ours costs this session, not the others' mails
            events.unexpected(self._journal, "delivery", error)
        self._hang_up(session)

    def _hang_up(self, session: _Session) -> None:
        """No more of this worker; a mail that was not committed is dropped, a command that runs goes on."""
        if session.channel is None:
            return
        del self._sessions[session.channel.fileno()]
        self._loop.forget(session.channel.fileno())
        session.channel.close()
        session.channel = None
        self._drop(session)
        self._end_if_alone()

    def _drop(self, session: _Session) -> None:
        if session.mail:
            session.mail.close()
            session.mail = None
            self._page.add("dropped")

    def _send(self, session: _Session, row: Request, *values: object, descriptors: Sequence[int] = ()) -> None:
        """Say something to a worker; one that does not listen is hung up on."""
        if session.channel is None:
            return
        try:
            session.channel.send(row, *values, descriptors=descriptors)
        except BlockingIOError:
            raise ChannelFailure("a worker does not read its channel") from None

    def _answer_user(self, session: _Session, said: Message) -> None:
        session.user = said.octets("user")
        session.state = session.unlocked

    def _answer_peer(self, session: _Session, said: Message) -> None:
        session.address, session.port = said.octets("address"), said.number("port")
        session.uid, session.name = requests.NOBODY, b""
        session.state = IDLE

    def _answer_envelope(self, session: _Session, said: Message) -> None:
        session.count += 1
        mail = _Mail(b"%x.%x" % (session.number, session.count), said)
        if mail.user != session.user:
            raise ChannelFailure("a mail is said to be another user's")
        _check_address(mail.sender, "sender")
        _check_parameters(mail.parameters)
        session.mail = mail
        session.state = ADDRESSED

    def _answer_recipient(self, session: _Session, said: Message) -> None:
        mail, recipient = _of(session), said.octets("recipient")
        if not recipient:
            raise ChannelFailure("a recipient is no address")
        if len(mail.recipients) >= self._settings.max_recipients:
            raise ChannelFailure("there are more recipients than a mail may have")
        _check_address(recipient, "recipient")
        _check_parameters(said.many("parameters"))
        mail.recipients.append((recipient, said.many("parameters")))
        session.state = FILLED

    def _answer_abort(self, session: _Session, _said: Message) -> None:
        self._drop(session)
        session.state = IDLE

    def _unable(self, session: _Session, reply: str, text: str = "") -> None:
        self._drop(session)
        session.state = IDLE
        self._send(session, requests.UNABLE, reply.encode(), text.encode("ascii", "replace")[:TEXT_LIMIT])

    def _answer_body(self, session: _Session, said: Message) -> None:
        mail, size = _of(session), said.number("size")
        if not self._command.takes(mail.sender):
            self._unable(session, "sender not taken")
            return
        if size > self._limit:
            self._unable(session, "mail too big")
            return
        if session.uid == self._alone:
            events.note(self._journal, session.number, f"delivery: {CIRCLE}")
            self._unable(session, "in a circle")
            return
        if self._guard and not self._permit(session, mail, self._guard):
            return
        mail.head = received(self._hop(session, mail))
        try:
            if len(mail.head) + size > MEMORY:
                way = self._to_file(mail)
            else:
                mail.descriptor = os.memfd_create("msmtpd-mail", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
                mail.room = min(MEMORY - len(mail.head), self._limit)
                way = way_into(mail.descriptor, mail.head)
        except OSError as error:
            self._no_file(session, error)
            return
        self._give_file(session, mail, way)

    def _permit(self, session: _Session, mail: _Mail, guard: Guard) -> bool:
        """Ask the policy, before the content comes; refuse the mail if it says no."""
        person = guard.person(session.uid, session.user, session.address)
        mail.permission, refusal = guard.envelope(person, mail.sender, len(mail.recipients))
        if refusal:
            events.forbidden(self._journal, session.number, mail.sender, str(person), refusal.text)
            self._page.add("deferred" if refusal.is_temporary else "rejected")
            self._unable(session, refusal.reply, refusal.text)
        return refusal is None

    def _answer_spill(self, session: _Session, said: Message) -> None:
        mail, length = _of(session), said.number("length")
        if not mail.in_memory or length > mail.room:
            raise ChannelFailure("a mail asks for more room than it can need")
        try:
            way = self._to_file(mail, length)
        except OSError as error:
            self._no_file(session, error)
            return
        self._give_file(session, mail, way)

    def _give_file(self, session: _Session, mail: _Mail, way: int) -> None:
        """Let the worker write; ``way``: the descriptor for that, which is closed here."""
        session.state = OPEN
        try:
            self._send(session, requests.FILE, mail.room, descriptors=(way,))
        finally:
            os.close(way)

    def _to_file(self, mail: _Mail, length: int = 0) -> int:
        """Have the mail in a file without a name: the head, and ``length`` octets that are there.  Raises OSError.

        Returns a descriptor for writing the rest.  The mail's own is for reading: what is forked here would have a
        writer's otherwise, until it has closed it, and the mail would seem to be written still.
        """
        way = unnamed_file(self._spool)
        try:
            _write_all(way, mail.head)
            _copy(mail.descriptor, len(mail.head), length, way)
            file: int = os.open(f"/proc/self/fd/{way}", os.O_RDONLY | os.O_CLOEXEC)
        except BaseException:
            os.close(way)
            raise
        mail.close()
        mail.descriptor = file
        mail.in_memory = False
        mail.room = self._limit - length
        self._page.add("spilled")
        return way

    def _no_file(self, session: _Session, error: OSError) -> None:
        events.note(self._journal, session.number, f"delivery: no room for a mail: {error.strerror}")
        self._unable(session, "no storage")

    def _hop(self, session: _Session, mail: _Mail) -> Hop:
        """How the mail came here."""
        now = int(time.time())
        hop = Hop(mail.hello, self._host, mail.keyword, fields.date(now, time.localtime(now).tm_gmtoff))
        hop.address = session.address
        hop.name = session.name
        hop.tls = mail.tls
        hop.number = mail.identity
        hop.utf8 = mail.utf8
        if not session.address and session.uid != requests.NOBODY:
            hop.user = os.fsencode(self._names_user(session.uid))
        if len(mail.recipients) == 1:
            hop.recipient = mail.recipients[0][0]
        return hop

    # -- the commit

    def _answer_commit(self, session: _Session, said: Message) -> None:
        mail = _of(session)
        mail.length = said.number("length")
        if mail.length > self._limit:
            raise ChannelFailure("a mail is longer than it may be")
        try:
            sealed = _seal(mail)
        except OSError as error:
            session.mail = None
            self._tell(session, mail, 452, "4.3.1 Not enough storage", outcome=f"not sealed: {error.strerror}")
            return
        session.mail = None
        session.state = RUNNING
        try:
            if not self._forbid(session, mail, sealed):
                self._run(session, mail, sealed)
        except OSError as error:
            self._tell(session, mail, *_not_started(error), outcome=f"not started: {error.strerror}")
        finally:
            os.close(sealed)

    def _forbid(self, session: _Session, mail: _Mail, sealed: int) -> bool:
        """Ask the policy about what stands in the mail; refuse it if it says no.  Raises OSError."""
        if mail.permission is None or self._guard is None:
            return False
        refusal = self._guard.header(mail.permission, sealed)
        if refusal:
            events.forbidden(self._journal, session.number, mail.sender, str(mail.permission.person), refusal.text)
            self._page.add("rejected")
            self._result(session, REPLIES[refusal.reply].code, refusal.text)
        return refusal is not None

    def _run(self, session: _Session, mail: _Mail, sealed: int) -> None:
        """Start the command.  Raises OSError."""
        recipients: list[bytes] = [recipient for recipient, _ in mail.recipients]
        options: list[bytes] = []
        if self._ours:
            recipients, options = dsn_words(mail.parameters, mail.recipients)
            if b"%" in mail.sender:
                options.append(b"--literal-from")  # a client's address is no place for %H
            if settings := settings_file(self._base):
                options += [b"-C", os.fsencode(settings)]
            if mail.permission:
                options += mail.permission.options
        argv = self._command.argv(mail.sender, recipients, options)
        variables = {**self._base, **self._describe(session, mail)}

        def start(output: int) -> int:
            if self._warm and self._warm.fresh():
                return self._warm.start(argv, variables, sealed, output)
            path = self._command.program(variables)
            if self._ours and not is_ours(path):
                path, before = exec_words()
                return runner.spawn(path, [*before, *argv[1:]], variables, sealed, output)
            if not path:
                raise FileNotFoundError(errno.ENOENT, f"there is no program {self._command.name}")
            return runner.spawn(path, argv, variables, sealed, output)

        self._runner.start(start, lambda outcome: self._finished(session, mail, outcome))
        self._page.set("running", len(self._runner))
        self._look_ahead()

    def _look_ahead(self) -> None:
        """Have a process made for the next mail, once nothing else is to be done."""
        if self._warm and len(self._runner) <= AHEAD and not self._draining:
            self._loop.after(0, self._warm.make_next)

    def _describe(self, session: _Session, mail: _Mail) -> dict[bytes, bytes]:
        known = session.uid != requests.NOBODY
        facts = {
            "MSMTPD_SESSION": b"%d" % session.number,
            "MSMTPD_ID": mail.identity,
            "MSMTPD_PEER": session.address,
            "MSMTPD_PEER_PORT": b"%d" % session.port if session.address else b"",
            "MSMTPD_PEER_NAME": session.name,
            "MSMTPD_PEER_UID": b"%d" % session.uid if known else b"",
            "MSMTPD_LOCAL": session.local,
            "MSMTPD_HELLO": mail.hello,
            "MSMTPD_PROTOCOL": mail.keyword,
            "MSMTPD_TLS": mail.tls,
            "MSMTPD_USER": mail.user,
            "MSMTPD_SENDER": mail.sender,
            "MSMTPD_RECIPIENTS": b"%d" % len(mail.recipients),
            "MSMTPD_SIZE": b"%d" % (len(mail.head) + mail.length),
        }
        return environment.describing(facts, mail.parameters, [parameters for _, parameters in mail.recipients])

    def _finished(self, session: _Session, mail: _Mail, outcome: Outcome) -> None:
        """The command is over: tell the worker, and the log."""
        self._page.set("running", len(self._runner))
        line = own_words(outcome.output) if self._ours and outcome.code > 0 else last_line(outcome.output)
        code, text = verdict(outcome, line, self._settings.command_timeout, ours=self._ours)
        if code == 250:  # noqa: PLR2004 - the reply's code
            size = len(mail.head) + mail.length
            number, count = session.number, len(mail.recipients)
            events.delivered(self._journal, number, mail.sender, count, size, outcome.seconds, self._command.name)
            self._page.add("delivered")
            self._result(session, code, text)
        else:
            self._tell(session, mail, code, text, outcome=describe(outcome), line=line)
        self._look_ahead()

    def _tell(  # noqa: PLR0913 - who is told, and what
        self, session: _Session, mail: _Mail, code: int, text: str, *, outcome: str, line: str = ""
    ) -> None:
        """The mail was not taken: tell the log, and the worker."""
        said, count = f"{self._command.name}: {outcome}", len(mail.recipients)
        events.delivery_failed(self._journal, session.number, mail.sender, count, code, said, line.encode())
        self._page.add("deferred" if code < 500 else "rejected")  # noqa: PLR2004 - 4xx and 5xx
        self._result(session, code, text)

    def _result(self, session: _Session, code: int, text: str, tries: int = 0) -> None:
        """Tell the worker; again after each of PAUSES if the system has no room for that; ``tries`` so far.

        A mail that was sent, and of which the client hears nothing, comes twice.
        """
        session.state = RUNNING
        try:
            if session.channel:
                session.channel.send(requests.RESULT, code, text.encode("ascii", "replace")[:TEXT_LIMIT])
            session.state = IDLE
        except OSError as error:
            if tries < len(PAUSES):
                self._loop.after(PAUSES[tries], lambda: self._result(session, code, text, tries + 1))
                return
            why = f"it cannot be told {code} of its mail: {error.strerror}"
            events.note(self._journal, session.number, f"delivery hangs up on its worker: {why}")
            self._hang_up(session)
        except ChannelFailure:
            self._hang_up(session)
        self._end_if_alone()


_ANSWERS: dict[str, Callable[[DeliveryBroker, _Session, Message], None]] = {
    "USER": DeliveryBroker._answer_user,  # noqa: SLF001 - its own table
    "PEER": DeliveryBroker._answer_peer,  # noqa: SLF001
    "ENVELOPE": DeliveryBroker._answer_envelope,  # noqa: SLF001
    "RECIPIENT": DeliveryBroker._answer_recipient,  # noqa: SLF001
    "BODY": DeliveryBroker._answer_body,  # noqa: SLF001
    "SPILL": DeliveryBroker._answer_spill,  # noqa: SLF001
    "COMMIT": DeliveryBroker._answer_commit,  # noqa: SLF001
    "ABORT": DeliveryBroker._answer_abort,  # noqa: SLF001
}


def _of(session: _Session) -> _Mail:
    """The mail of a session that has one."""
    assert session.mail is not None
    return session.mail


def _check_address(address: bytes, word: str) -> None:
    """A worker has checked it before; one that lets it pass is not what it was."""
    fault = fault_of_address(address)
    if fault:
        raise ChannelFailure(f"a {word} {fault}")


def _check_parameters(parameters: Sequence[bytes]) -> None:
    for parameter in parameters:
        match = grammar.PARAMETER.fullmatch(parameter)
        if not match:
            raise ChannelFailure("a parameter is none")
        rule = _RULES.get(match[1].upper())
        try:
            if rule and not rule(match[2] or b""):
                raise ChannelFailure("a parameter has no value that it may have")
        except ValueError:
            raise ChannelFailure("a parameter has no value that it may have") from None


def dsn_words(
    parameters: Sequence[bytes], recipients: Sequence[tuple[bytes, list[bytes]]]
) -> tuple[list[bytes], list[bytes]]:
    """Recipients that need no more than their name, and msmtp's options for all that MAIL and RCPT said.

    An argument is read as an address field is, where a name in quotes alone is nobody.  So a recipient that is more
    than atoms and dots around an @ is an option, too: those are taken as they are.  RFC 3461, 5.2.2: a server that does
    not know DSN is told nothing of it (--dsn-if-offered).
    """
    value_of = environment.value_of
    options: list[bytes] = []
    if amount := value_of(b"RET", parameters):
        options += [b"-R", amount.lower()]
    if envid := value_of(b"ENVID", parameters):
        options += [b"-V", xtext.decode(envid)]
    if body := value_of(b"BODY", parameters):
        options += [b"-B", body]
    said = [[word for word in (_dsn(b"NOTIFY", about), _dsn(b"ORCPT", about)) if word] for _, about in recipients]
    conditions = said[0][0].partition(b"=")[2].lower() if said and said[0] else b""
    if conditions and all(words == said[0] for words in said) and len(said[0]) == 1 and said[0][0][:7] == b"NOTIFY=":
        options += [b"-N", conditions]
        own: list[list[bytes]] = [[] for _ in said]
    else:
        own = said
    plain = []
    for (recipient, _), words in zip(recipients, own, strict=True):
        if words or recipient.translate(None, PLAIN):
            options.append(b"--rcpt=" + b" ".join([b"<" + recipient + b">", *words]))
        else:
            plain.append(recipient)
    if any(said) or amount or envid:
        options.append(b"--dsn-if-offered")
    if any(parameter.upper() == b"SMTPUTF8" for parameter in parameters):
        options.append(b"--smtputf8")
    return plain, options


def _dsn(keyword: bytes, parameters: Sequence[bytes]) -> bytes:
    value = environment.value_of(keyword, parameters)
    return keyword + b"=" + value if value else b""


# -- what became of it


def verdict(outcome: Outcome, line: str, time_limit: int, *, ours: bool = False) -> tuple[int, str]:
    """The reply for a command that ended so: code, and text with an enhanced code.

    Reference manual, chapter 11: sysexits(3) that may pass are 451, all others 554.  Ended by a signal or by the time
    limit says nothing about the mail: 451; nor does a code that msmtp has not, if ``ours`` is the command: Python had
    no modules to run it, say, since they are being upgraded.
    """
    if outcome.timed_out:
        return 451, f"4.3.0 The delivery command took longer than {time_limit} seconds and was ended; try again later"
    if outcome.code < 0:
        return 451, f"4.3.0 The delivery command was ended by signal {-outcome.code}; try again later"
    if not outcome.code:
        return 250, "2.0.0 Ok, mail was piped"
    row = BY_CODE.get(outcome.code)
    said = line or f"The delivery command reported error {outcome.code}{f' ({row.meaning})' if row else ''}"
    temporary = row.temporary if row else ours
    return (451, f"4.3.0 {said}") if temporary else (554, f"5.3.0 {said}")


def _not_started(error: OSError) -> tuple[int, str]:
    """The reply for a command that could not be started: our fault, but for one cause."""
    if error.errno == errno.E2BIG:
        return 554, "5.5.3 Too many recipients for one run of the delivery command; send to fewer at a time"
    if error.errno in {errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR}:
        return 451, "4.3.5 The delivery command of this server cannot be run; its administrator has to see to it"
    return 451, "4.3.0 This server cannot start its delivery command now; try again later"


def describe(outcome: Outcome) -> str:
    """How a command ended, for the log."""
    if outcome.timed_out:
        return "took too long"
    if outcome.code < 0:
        return f"ended by signal {-outcome.code}"
    row = BY_CODE.get(outcome.code)
    return f"exit code {outcome.code}{f' ({row.name})' if row else ''}"


def last_line(output: bytes) -> str:
    """The last line that is not empty, printable, and short enough for a reply."""
    for line in reversed(output.splitlines()):
        text = line.decode("utf-8", "replace").replace("\t", " ").strip()
        shown = "".join([sign if sign.isprintable() else "?" for sign in text])
        if shown:
            return shown[: TEXT_LIMIT - 8]
    return ""


def own_words(output: bytes) -> str:
    """The same for the msmtp of this package: why, with the mail server's words; not only that it could not be sent."""
    lines = [line.strip().removeprefix(b"msmtp: ") for line in output.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(b"could not send mail")]
    return last_line(b"; ".join(told[-_LINES_TOLD:])) if told else last_line(output)


# -- the mail's file


def open_spool(settings: Settings) -> int:
    """The folder for large mails, open: it stays the same whatever becomes of its name.  Raises ConfigFailure."""
    path = spool_of(settings)
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigFailure(
            f"cannot use {path} for large mails: {error.strerror}", hint="name another directory with --spool"
        ) from error


def spool_of(settings: Settings) -> str:
    """Where large mails lie."""
    return settings.spool or os.environ.get("STATE_DIRECTORY", "").partition(":")[0] or SPOOL


def unnamed_file(folder: int) -> int:
    """A file that has no name, in a folder, readable and writable.  Raises OSError."""
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(".", os.O_TMPFILE | flags, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT}:
            raise
    name = f"msmtpd-{os.urandom(16).hex()}"  # a file system that has none: for a moment it has a name
    descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | flags, 0o600, dir_fd=folder)
    os.unlink(name, dir_fd=folder)
    return descriptor


def way_into(descriptor: int, head: bytes) -> int:
    """Lay a memory file out for a mail with this head; a descriptor for writing the rest, and no more.  Raises OSError.

    A command may open its standard input by name, whoever it runs as; nobody may open it to write.
    """
    way: int = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o444)
        _write_all(way, head)
        os.ftruncate(way, MEMORY)
        fcntl.fcntl(way, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
    except BaseException:
        os.close(way)
        raise
    return way


def _write_all(descriptor: int, octets: bytes) -> None:
    view = memoryview(octets)
    while view:
        view = view[os.write(descriptor, view) :]


def _copy(source: int, offset: int, length: int, target: int) -> None:
    """Add octets of one file to another, in the kernel."""
    while length:
        done = os.sendfile(target, source, offset, min(length, _COPY))
        if not done:
            raise ChannelFailure("a mail is shorter than its worker says")
        offset += done
        length -= done


def _seal(mail: _Mail) -> int:
    """Make sure of a mail that its worker says is complete; a descriptor for reading it, from its beginning.

    Raises ChannelFailure if it is not what the worker says or may still change, OSError for what the system lacks.
    """
    whole = len(mail.head) + mail.length
    own, mail.descriptor = mail.descriptor, -1
    try:
        if mail.in_memory:
            _seal_memory(own, whole)
        sealed: int = os.open(f"/proc/self/fd/{own}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(own)
    try:
        _check(mail, sealed, whole)
    except BaseException:
        os.close(sealed)
        raise
    return sealed


def _check(mail: _Mail, sealed: int, whole: int) -> None:
    if not mail.in_memory:
        _check_unshared(sealed)
    if os.fstat(sealed).st_size != whole:
        raise ChannelFailure("a mail is not as long as its worker says")
    if os.pread(sealed, len(mail.head), 0) != mail.head:
        raise ChannelFailure("a mail does not begin as we wrote it")


def _seal_memory(descriptor: int, whole: int) -> None:
    try:
        if whole > MEMORY:
            raise ChannelFailure("a mail is longer than its file can be")
        os.ftruncate(descriptor, whole)  # EPERM: its worker has cut it shorter, or sealed it
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, F_SEAL_FINAL)
    except PermissionError:
        raise ChannelFailure("a mail's file was tampered with") from None


def _check_unshared(descriptor: int) -> None:
    """Raise ChannelFailure if anybody holds the file for writing; nobody can open it any more."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        raise ChannelFailure("a mail's file is still open in its worker") from None
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP, errno.EACCES}:  # a file system without leases
            raise


def own_user() -> int:
    """Our number, if we are a user that is for delivery alone; else -1."""
    uid = os.geteuid()
    try:
        return uid if pwd.getpwuid(uid).pw_name == privileges.NAMES["delivery"] else -1
    except KeyError:
        return -1


def own_name(domain: str) -> bytes:
    """Our name behind "by": the one given, or the machine's."""
    name = domain if domain not in {"", "localhost"} else os.uname().nodename
    return name.encode("ascii", "replace")


# -- the process


def role(settings: Settings) -> tuple[str, str]:
    """The sandbox role that the command needs, and why if it is not the usual one."""
    command = Command(settings.command)
    path = command.program(environment.inherited(os.environb))
    if not command.shell and path and is_privileged(path):
        return "delivery-setgid", f"{path} is setuid or setgid: the sandbox would take its rights away"
    return "delivery", ""


def prepare(settings: Settings) -> sandbox.Prepared:
    """D's role, to be checked before anything starts, and to be entered in D.

    An operator's command may be anything: it may run, read and write what its user may.  What the role keeps from it is
    other processes' memory, mounts, namespaces, modules, other rights than it has, and signals to the daemon.
    """
    name, _ = role(settings)
    if name == "delivery-setgid":
        return sandbox.prepare(name)
    return sandbox.prepare(name, writable=("/",), executable=("/",))


def run(  # noqa: PLR0913 - what it needs, half of it by name
    controls: Sequence[int],
    settings: Settings,
    journal: Journal,
    page: Page,
    *,
    prepared: sandbox.Prepared | None = None,
    names_user: Callable[[int], str] = str,
    policy: Policy | None = None,
) -> None:
    """Be the delivery broker, in the child that was forked for it; ``controls``: channels to those it serves.

    The caller has closed what is not the broker's, set its title, and ends the process when this returns.  Raises
    ConfigFailure, and SandboxFailure.
    """
    os.chdir("/")
    os.umask(0o077)
    loop = Loop()
    warm = warm_for(settings)
    runner.become_subreaper()
    broker = DeliveryBroker(
        loop, settings, journal, page, names_user=names_user, warm=warm, policy=policy, ended=loop.stop
    )
    reason = role(settings)[1]
    standing.enter(prepared or prepare(settings), settings, journal, reason)
    standing.heed(loop, broker.drain)
    for control in controls:
        broker.control(control)
    loop.run()
    broker.close()


def is_own_msmtp(settings: Settings, variables: Mapping[bytes, bytes]) -> bool:
    """Whether the command is this package's msmtp.

    It is if no command was chosen.  One that says the same may mean another program of that name.
    """
    command = Command(settings.command)
    return settings.command is None or (command.is_default and is_ours(command.program(variables)))


def warm_for(settings: Settings) -> Warm | None:
    """What runs the default command in a fork of this process, if it may and the command is this package's."""
    inherited = environment.inherited(os.environb)
    if not settings.warm or not is_own_msmtp(settings, inherited):
        return None
    from msmtp.daemon.warm import Warm, usable

    return Warm(inherited) if usable() else None
