"""What a worker process knows of the op whose function it calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RemoteCall:
    """One attempt of one op, as far as its function may ask for it.

    Args:
        run_id: The run.
        graph: Its graph.
        key: The op.
        attempt: The attempt, counted from 1.
        map_key: The name of the item, where it is one.
        tags: The op's tags.
        run_tags: The run's tags.
        tell: Sends something to the parent: the name of a method of the op's context, and its arguments. Only there in
            the worker.
    """

    run_id: str
    graph: str
    key: str
    attempt: int
    map_key: str | None
    tags: Mapping[str, str]
    run_tags: Mapping[str, str]
    tell: Callable[[str, tuple[Any, ...], dict[str, Any]], None] | None = field(default=None, compare=False)


HERE: ContextVar[RemoteCall | None] = ContextVar("asyncflow_worker_call", default=None)
"""The call that goes on here; None outside of worker processes."""

PREPARING = threading.Event()
"""Set in a worker while it imports the main module of its parent: no worker may be started then."""
