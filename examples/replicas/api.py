"""The API that is to be protected: it counts who calls it at once. A call lasts as long as its connection."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Api:
    """A server on this machine.

    Attributes:
        inside: Calls in progress, by replica.
        most: The most that there ever were at once.
        calls: All calls so far.
    """

    inside: Counter[str] = field(default_factory=Counter[str])
    most: int = 0
    calls: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None

    async def start(self) -> int:
        """Begins to listen; returns the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Listens no more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def total(self) -> int:
        """How many call at this moment."""
        return self.inside.total()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        replica = (await reader.readline()).decode().strip()
        self.inside[replica] += 1
        self.calls += 1
        self.most = max(self.most, self.total)
        self._tell()
        try:
            await reader.read()  # until the caller hangs up, or dies
        except ConnectionError:
            pass
        finally:
            self.inside[replica] -= 1
            self._tell()
            writer.close()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    async def until(self, busy: int, *, without: str) -> None:
        """Waits until so many calls are in progress that are not of one replica."""
        while self.total - self.inside[without] < busy:
            await self.changed.wait()
