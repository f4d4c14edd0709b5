"""The only place where tasks start."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

_alive: set[asyncio.Task[Any]] = set()


def spawn(coroutine: Coroutine[Any, Any, None], *, name: str) -> None:
    """Starts a task in an empty context and keeps it alive until it ends."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name, context=Context())
    _alive.add(task)
    task.add_done_callback(_alive.discard)
