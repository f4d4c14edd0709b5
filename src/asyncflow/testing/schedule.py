"""Which of the tasks that are ready together goes first: the one freedom that a schedule has.

asyncio runs ready callbacks in the order in which they were posted, and its own transports rely on that. Tasks may not:
whatever holds only in one order of their steps is a race. So only the steps of tasks change places, among the places
that steps of tasks have (deterministic simulation testing in the sense of FoundationDB).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque


def shuffle_tasks(ready: deque[asyncio.Handle], order: random.Random) -> None:
    """Lets the steps of tasks in `ready` change places. Other threads may append meanwhile."""
    places = [place for place in range(len(ready)) if is_task_step(ready[place])]
    if len(places) < 2:
        return
    steps = [ready[place] for place in places]
    order.shuffle(steps)
    for place, step in zip(places, steps, strict=True):
        ready[place] = step


def is_task_step(handle: asyncio.Handle) -> bool:
    """Says whether a handle is the next step of a task (asyncio's debug output tells it the same way)."""
    callback = getattr(handle, "_callback", None)
    return isinstance(getattr(callback, "__self__", None), asyncio.Task)
