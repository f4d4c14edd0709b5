"""Pools in memory: the rules over plain dicts, shared by all twins of an object.

For tests, for the reference that other backends are compared with, and for several deployments of one process that are
to share pools. It is gone with the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

from asyncflow.pools import exchange as rules
from asyncflow.pools.memory_rows import MemoryRows
from asyncflow.pools.messages import Batch, Capabilities, PoolSpec, Reply, SessionGrant, SessionSpec, Snapshot
from asyncflow.pools.watching import Bells, hints

CAPABILITIES: Final = Capabilities(cross_process=False, cross_machine=False, push_wakeups=True, durable=False)


class MemoryPools:
    """Pools shared inside this process, by any number of event loops and threads.

    Args:
        poll_interval: Seconds between hints where nothing happens.
        clock: Microseconds of the backend's clock; the default begins at the time of day and then only runs forward.
    """

    def __init__(self, *, poll_interval: float = 2.0, clock: Callable[[], int] | None = None) -> None:
        self.poll_interval = poll_interval
        self._hall = _Hall(clock or _forward_clock())

    def __repr__(self) -> str:
        """Tells how many sessions are open."""
        return f"<{self.name}: {len(self._hall.of)} sessions>"

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return CAPABILITIES

    @property
    def name(self) -> str:
        """What messages call it."""
        return "memory"

    def twin(self) -> MemoryPools:
        """Returns another object for the same pools."""
        twin = MemoryPools(poll_interval=self.poll_interval)
        twin._hall = self._hall
        return twin

    async def open(self, session: SessionSpec, pools: Sequence[PoolSpec] = ()) -> SessionGrant:
        """Opens a session."""
        hall = self._hall
        with hall.lock:
            hall.of[session.id] = session.namespace
            grant, woken = rules.open_session(hall.rows(session.namespace), session, pools, hall.clock())
        hall.bells.ring(woken)
        return grant

    async def exchange(self, session_id: str, batch: Batch) -> Reply:
        """Does a batch."""
        hall = self._hall
        with hall.lock:
            done = rules.exchange(hall.rows(hall.of.get(session_id, "")), session_id, batch, hall.clock())
            if not done.reply.alive:
                hall.of.pop(session_id, None)
        hall.bells.ring(done.wake)
        return done.reply

    def watch(self, session_id: str) -> AsyncGenerator[None, None]:
        """Gives hints."""
        return hints(self._hall.bells, session_id, self.poll_interval)

    async def snapshot(self, namespace: str, *, limit: int = 100, after: int | None = None) -> Snapshot:
        """Returns a page of what is there."""
        hall = self._hall
        with hall.lock:
            return rules.snapshot(hall.rows(namespace), hall.clock(), limit=limit, after=after)

    async def close(self, session_id: str) -> None:
        """Ends a session."""
        hall = self._hall
        with hall.lock:
            namespace = hall.of.pop(session_id, None)
            if namespace is None:
                return
            woken = rules.close_session(hall.rows(namespace), session_id, hall.clock())
        hall.bells.ring(woken)

    async def disconnect(self) -> None:
        """Has no connection."""


class _Hall:
    """What twins share; everything in it is used under its lock, and never awaited there."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.lock = threading.Lock()
        self.clock = clock
        self.bells = Bells()
        self.of: dict[str, str] = {}
        self._namespaces: dict[str, MemoryRows] = {}

    def rows(self, namespace: str) -> MemoryRows:
        """Returns a namespace's rows."""
        rows = self._namespaces.get(namespace)
        if rows is None:
            rows = self._namespaces[namespace] = MemoryRows()
        return rows


def _forward_clock() -> Callable[[], int]:
    begin = time.time_ns() - time.monotonic_ns()
    return lambda: (begin + time.monotonic_ns()) // 1000
