"""The crew: the worker processes of a deployment, or of one run where its deployment is not open.

A resource like those of users: opened on first need, closed after the last op that could need it. How many ops are in
worker processes at once is a limit of the core, `@processes`; so the crew hands a worker to everybody who asks, an idle
one where there is one, and never is what somebody waits for. A worker whose call went wrong in any way is not kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from asyncflow._authoring import Resource
from asyncflow._workers import Worker


class Crew:
    """Worker processes that have nothing to do, and those that were handed out."""

    def __init__(self) -> None:
        hold: Callable[[], AbstractContextManager[None]] | None = getattr(asyncio.get_running_loop(), "hold", None)
        self._outside: Callable[[], AbstractContextManager[None]] = nullcontext if hold is None else hold
        self._idle: list[Worker] = []

    async def call(
        self, parcel: bytes, *, who: str, told: Callable[[str, tuple[Any, ...], dict[str, Any]], None]
    ) -> Any:  # noqa: ANN401 — the user's value
        """Calls a function in a worker process. Cancelled, it ends that process, and waits until it has ended."""
        worker = self._rested() or await Worker.start(self._outside)
        value = None
        try:
            value = await worker.call(parcel, who=who, told=told)
        finally:
            if worker.usable:
                self._idle.append(worker)
        return value

    def _rested(self) -> Worker | None:
        """Returns a worker that has nothing to do and is still there."""
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            worker.drop()
        return None

    async def close(self) -> None:
        """Ends all that have nothing to do. Nobody is at work any more."""
        for worker in self._idle:
            worker.dismiss()
        while self._idle:
            await self._idle[-1].close()
            self._idle.pop()

    def __repr__(self) -> str:
        return f"<crew of worker processes, {len(self._idle)} idle>"


async def worker_processes() -> AsyncGenerator[Crew, None]:
    """Provides the crew."""
    crew = Crew()
    try:
        yield crew
    finally:
        await crew.close()


CREW: Final = Resource(worker_processes, "deployment", ())
"""What an op that runs in a worker process needs, beside its own resources."""
