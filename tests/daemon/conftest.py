"""What tests of the daemon start ends with them."""

from __future__ import annotations

import pytest


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> object:
    """End a fixture's processes within the test, where what is left behind is looked for."""
    try:
        return (yield)
    finally:
        for value in item.funcargs.values():
            if hasattr(value, "end_with_the_test"):
                value.end_with_the_test()
