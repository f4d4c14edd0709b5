"""What every test of the project runs under."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The loop of every async test that does not ask for `virtual_time`."""
    return "asyncio"
