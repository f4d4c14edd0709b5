"""Servers for the tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from asyncflow.pools import RedisPools
from tests.pools.redis.server import Launch, Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server, None, None]:
    """A server that all tests share; each has a namespace of its own."""
    shared = Server(tmp_path_factory.mktemp("valkey"))
    yield shared.start()
    shared.kill()


@pytest.fixture
def launch(tmp_path: Path) -> Generator[Launch, None, None]:
    """Makes servers with options, for one test."""
    made: list[Server] = []

    async def make(*options: str) -> Server:
        folder = tmp_path / f"server{len(made)}"
        folder.mkdir()
        made.append(Server(folder, *options))
        return await made[-1].started()

    yield make
    for one in made:
        one.kill()


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    return request.node.nodeid


@pytest.fixture
async def pools(server: Server) -> AsyncGenerator[RedisPools, None]:
    """A backend at the shared server."""
    backend = RedisPools(server.url)
    yield backend
    await backend.disconnect()
