"""Hints inside one process: who watches a session is told, in whatever event loop it lives."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import AsyncGenerator, Generator, Iterable
from typing import Final

JITTER: Final = 0.2
"""By how much the rhythm of a slow poll varies, so that processes do not fall into step."""


class Bells:
    """A bell for each watcher of a session. Ringing is safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bells: dict[str, list[Bell]] = {}

    def ring(self, sessions: Iterable[str]) -> None:
        """Wakes those who watch these sessions."""
        with self._lock:
            bells = [bell for session in sessions for bell in self._bells.get(session, ())]
        for bell in bells:
            bell.ring()

    @contextlib.contextmanager
    def hung(self, session: str) -> Generator[Bell, None, None]:
        """Hangs up a bell of the running loop for a session."""
        bell = Bell()
        with self._lock:
            self._bells.setdefault(session, []).append(bell)
        try:
            yield bell
        finally:
            with self._lock:
                bells = self._bells[session]
                bells.remove(bell)
                if not bells:
                    del self._bells[session]


class Bell:
    """An event of one loop that other threads may set."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Sets the event, from any thread; a loop that has ended needs no waking."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, longest: float) -> None:
        """Waits for a ring, or for `longest` seconds give or take a fifth."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(varied(longest)):
                await self._event.wait()
        self._event.clear()


def varied(seconds: float) -> float:
    """Returns a time, give or take a fifth."""
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 — spreads load, guards nothing


async def hints(bells: Bells, session: str, poll_interval: float) -> AsyncGenerator[None, None]:
    """Gives a hint at once, at every ring, and in the slow rhythm of a poll."""
    with bells.hung(session) as bell:
        while True:
            yield
            await bell.wait(poll_interval)
