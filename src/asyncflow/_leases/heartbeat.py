"""The heartbeat: renews a session from a thread with an event loop and a connection of its own.

An op that blocks the event loop of the process must not cost all other ops their leases. The moment of a renewal is
taken before it is sent: the server's expiry is never earlier than that plus the TTL.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final

from asyncflow.errors import PoolBackendError
from asyncflow.pools import Batch, PoolBackend, Reply

BEATS: Final = 3
"""Renewals in each TTL."""

PATIENCE: Final = 2.0
"""Seconds to wait for the thread's end."""


class Heartbeat:
    """Renews one session until it is stopped.

    Args:
        backend: An object of its own for the same place.
        session: The session's id.
        ttl: Seconds for which each renewal holds.
        told: Called on the thread with the moment (monotonic seconds) and the reply of each renewal.

    Attributes:
        renewed: When the last renewal that succeeded was sent, in monotonic seconds.
    """

    def __init__(self, backend: PoolBackend, session: str, *, ttl: float, told: Callable[[float, Reply], None]) -> None:
        self.renewed = time.monotonic()
        self._backend = backend
        self._session = session
        self._ttl = ttl
        self._told = told
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="asyncflow heartbeat", daemon=True)

    def start(self) -> None:
        """Begins to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Beats no more; returns at once."""
        self._stop.set()

    def join(self) -> None:
        """Waits for the thread's end, for a while."""
        if self._thread.is_alive():
            self._thread.join(PATIENCE)

    def _run(self) -> None:
        asyncio.run(self._beat())

    async def _beat(self) -> None:
        """Renews three times a TTL, more often where a renewal failed."""
        try:
            while not await self._stopped(self._ttl / BEATS):
                while not await self._renew():
                    if await self._stopped(min(self._ttl / (4 * BEATS), 1.0)):
                        return
        finally:
            await self._backend.disconnect()

    async def _renew(self) -> bool:
        before = time.monotonic()
        try:
            async with asyncio.timeout(max(self._ttl / BEATS, 0.05)):
                reply = await self._backend.exchange(self._session, Batch(renew=self._ttl))
        except (PoolBackendError, TimeoutError, OSError):
            return False
        if reply.alive:
            self.renewed = before
        else:
            self._stop.set()
        self._told(before, reply)
        return True

    async def _stopped(self, seconds: float) -> bool:
        """Waits; returns whether it was stopped meanwhile. Looks often enough to end soon."""
        until = time.monotonic() + seconds
        while not self._stop.is_set() and (left := until - time.monotonic()) > 0:  # noqa: ASYNC110 — a thread stops it
            await asyncio.sleep(min(left, 0.05))
        return self._stop.is_set()
