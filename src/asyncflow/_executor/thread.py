"""Plain functions run on threads of anyio's pool.

How many at once is a limit of the admission core, so that `explain` sees it; anyio's own limiter never is the one
that waits. A thread cannot be stopped: a cancelled op keeps what it holds until its thread has ended.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

_unlimited: RunVar[CapacityLimiter] = RunVar("asyncflow_thread_limiter")


async def in_thread(fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401 — the user's result
    """Calls a plain function on a thread, in a copy of the current context, and waits until the thread has ended."""
    try:
        limiter = _unlimited.get()
    except LookupError:
        limiter = CapacityLimiter(math.inf)
        _unlimited.set(limiter)
    value, error = await to_thread.run_sync(partial(_attempt, fn, args, kwargs), limiter=limiter)
    if error is not None:
        raise error
    return value


def _attempt(
    fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Any, BaseException | None]:
    """Calls `fn`. An exception is handed over as a value: a StopIteration could not cross a future otherwise."""
    try:
        return fn(*args, **kwargs), None
    except BaseException as error:  # noqa: BLE001 — it is raised again in the op's task
        return None, error
