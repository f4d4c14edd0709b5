"""Which deployments are open: the innermost of a context, and all of a loop."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from asyncflow.errors import ConfigurationError

if TYPE_CHECKING:
    from asyncflow.deployment import Deployment

OPEN: Final[ContextVar[tuple[Deployment, ...]]] = ContextVar("asyncflow_open_deployments", default=())
"""Those entered around the running code, outermost first; some may be closed already."""

_open_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Deployment]] = WeakKeyDictionary()


def open_on(loop: asyncio.AbstractEventLoop) -> list[Deployment]:
    """Returns the list of those that are open on a loop, in order of opening."""
    return _open_by_loop.setdefault(loop, [])


def running_loop() -> asyncio.AbstractEventLoop:
    """Returns the running event loop.

    Raises:
        ConfigurationError: where none runs, or it is not asyncio's.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "asyncflow runs on an asyncio event loop, and none is running here: use it inside `asyncio.run(main())` or"
            " `anyio.run(main)`, and from another thread by `loop.call_soon_threadsafe(…)` or"
            " `asyncio.run_coroutine_threadsafe(…, loop)`; trio is not supported"
        ) from None
