"""The real mail servers, each started once for the tests of a worker that ask for it."""

from __future__ import annotations

import pytest
from tests.support.peers import aiosmtpd as aiosmtpd_module
from tests.support.peers import dovecot as dovecot_module
from tests.support.peers import exim as exim_module
from tests.support.peers import opensmtpd as opensmtpd_module
from tests.support.peers import postfix as postfix_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.peers.base import Peer


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Peer]:
    with dovecot_module.dovecot() as peer:
        yield peer


@pytest.fixture(scope="session")
def newer_dovecot() -> Iterator[Peer]:
    with dovecot_module.dovecot(newer=True) as peer:
        yield peer


@pytest.fixture(scope="session")
def postfix() -> Iterator[Peer]:
    with postfix_module.postfix() as peer:
        yield peer


@pytest.fixture(scope="session")
def exim() -> Iterator[Peer]:
    with exim_module.exim() as peer:
        yield peer


@pytest.fixture(scope="session")
def opensmtpd() -> Iterator[Peer]:
    with opensmtpd_module.opensmtpd() as peer:
        yield peer


@pytest.fixture(scope="session")
def aiosmtpd() -> Iterator[Peer]:
    with aiosmtpd_module.aiosmtpd() as peer:
        yield peer


@pytest.fixture
def peer(way: tuple[str, str], request: pytest.FixtureRequest) -> Peer:
    """The peer of this way."""
    return request.getfixturevalue(way[0])


@pytest.fixture
def named_peer(name: str, request: pytest.FixtureRequest) -> Peer:
    """The peer of that name.  A test that asks for it itself seems to leave its processes behind."""
    return request.getfixturevalue(name)
