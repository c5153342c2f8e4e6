"""A worker as it really runs: forked, in its role, from the connection to its end."""

from __future__ import annotations

import gc
import os
from contextlib import contextmanager

import pytest
from tests.support.worker_ends import Ends, settings

from msmtp import sandbox
from msmtp.daemon import descriptors, worker
from msmtp.daemon.channel import pair


class Confined(Ends):
    """The ends of a worker's process."""

    def __init__(self, made=None, flags=0, *, policy=sandbox.REQUIRE, **how):
        made = made or settings()
        ours, theirs = pair()
        prepared = worker.prepare(made)
        self.child = os.fork()
        if not self.child:
            try:
                descriptors.keep_only({theirs, prepared.ruleset})
                worker.run(theirs, made, prepared, policy)
            finally:
                os._exit(99)
        os.close(theirs)
        prepared.close()
        super().__init__(made, flags, control=ours, **how)

    def status(self):
        """How it ended; waits for it."""
        if self.child:
            self.ended_with = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
            self.child = 0
            for end in (self.supervisor, self.delivery, self.auth):
                if end:
                    end.join(5)
        return self.ended_with


@pytest.fixture(scope="module", autouse=True)
def _warm():
    worker.warm(settings())
    yield
    gc.unfreeze()


@contextmanager
def confined(made=None, flags=0, **how):
    """A worker that has been handed a connection."""
    ends = Confined(made, flags, **how)
    ends.connect()
    try:
        yield ends
    finally:
        ends.client.close()
        ends.status()


def test_a_session_in_the_sandbox():
    with confined() as ends:
        assert ends.hear() == "220 mx.example ESMTP"
        assert ends.code("EHLO client.example", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.org>", "DATA") == 354
        assert ends.code("Subject: x\r\n\r\nbody\r\n.") == 250
        assert ends.code("QUIT") == 221
        assert ends.status() == 0
    assert ends.delivery.mails == [b"Subject: x\n\nbody\n"]
    assert ends.supervisor.ended == ("quit", 1, 0)
