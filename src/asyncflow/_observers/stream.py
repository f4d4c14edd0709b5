"""Events as an async iterator, with a bounded buffer: a slow reader loses the oldest, and is told how many."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

from asyncflow._observers.observers import Observer
from asyncflow.events import Event, EventsDropped, RunEnded, RunEvent


class EventStream:
    """An async iterator over events from its creation on; `aclose()`, or leaving `async with`, ends it.

    Args:
        subscribe: Starts telling an observer.
        unsubscribe: Stops telling it.
        buffer: How many events may wait to be read.
        run_id: Only the events of this run, until it has ended.
    """

    def __init__(
        self,
        subscribe: Callable[[Observer], None],
        unsubscribe: Callable[[Observer], None],
        *,
        buffer: int,
        run_id: str | None = None,
    ) -> None:
        self._unsubscribe = unsubscribe
        self._waiting: deque[Event] = deque()
        self._buffer = buffer
        self._run_id = run_id
        self._dropped = 0
        self._closed = False
        self._readers: list[asyncio.Future[None]] = []
        subscribe(self._tell)

    def _tell(self, event: Event) -> None:
        if self._run_id is not None and (not isinstance(event, RunEvent) or event.run_id != self._run_id):
            return
        if len(self._waiting) >= self._buffer:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(event)
        self._wake()
        if self._run_id is not None and isinstance(event, RunEnded):
            self.close()

    def _wake(self) -> None:
        readers, self._readers = self._readers, []
        for reader in readers:
            if not reader.done():
                reader.set_result(None)

    def close(self) -> None:
        """Ends it; what waits to be read can still be read."""
        if not self._closed:
            self._closed = True
            self._unsubscribe(self._tell)
            self._wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Returns the next event, waiting for it. Cancelled, it loses none.

        Raises:
            StopAsyncIteration: once it is closed, or the run has ended, and all was read.
        """
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            reader = asyncio.get_running_loop().create_future()
            self._readers.append(reader)
            await reader
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            return EventsDropped(self._waiting[0].at, dropped)
        return self._waiting.popleft()

    async def aclose(self) -> None:
        """Ends it; what waits to be read can still be read."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<events waiting={len(self._waiting)} {'closed' if self._closed else 'open'}>"
