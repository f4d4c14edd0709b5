"""The only place where tasks start, and where a worker learns which task it is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

_alive: set[asyncio.Task[Any]] = set()


def spawn(coroutine: Coroutine[Any, Any, None], *, name: str, context: Context | None = None) -> None:
    """Starts a task, in an empty context where none is given, and keeps it alive until it ends."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name, context=context or Context())
    _alive.add(task)
    task.add_done_callback(_alive.discard)


def spawned(coroutine: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
    """Starts a task as `spawn` does, and returns it, for those who end it themselves."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name, context=Context())
    _alive.add(task)
    task.add_done_callback(_alive.discard)
    return task


def current_task() -> asyncio.Task[Any]:
    """Returns the task this runs in."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a worker runs in a task; this is a defect of asyncflow")
    return task
