"""The bed on which the C program and ours run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.differential import Bed


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    with tempfile.TemporaryDirectory(prefix="msmtp-side-by-side-") as folder:
        yield Bed(Path(folder))
