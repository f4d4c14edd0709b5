"""Who waits, and where: the text of a deadlock."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import FrameType
from typing import Any, Final

import anyio

SHOWN: Final = 20
"""Tasks named in one message."""

_LIBRARIES: Final = tuple(str(Path(module.__file__ or "").parent) + os.sep for module in (asyncio, anyio))


def describe_deadlock(loop: asyncio.AbstractEventLoop, now: float, seed: int | None) -> tuple[str, tuple[str, ...]]:
    """Returns the message of a deadlock, and one line for each pending task."""
    chain = tuple(sorted(describe_task(task) for task in asyncio.all_tasks(loop)))
    lines = [f"    {line}" for line in chain[:SHOWN]]
    if len(chain) > SHOWN:
        lines.append(f"    … and {len(chain) - SHOWN} more")
    count = f"{len(chain)} tasks wait" if len(chain) != 1 else "1 task waits"
    order = "" if seed is None else f" (seed={seed} gives this order of tasks again)"
    message = (
        f"nothing can ever run again at virtual time {now:.9g} s{order}: {count}, no timer is set, and no thread,"
        f" process, file or signal can call"
    )
    advice = "Find who should have woken them, or did so before they waited."
    return "\n".join([message, *lines, advice]), chain


def describe_task(task: asyncio.Task[Any]) -> str:
    """Returns `name: coroutine waits in Event.wait at tests/test_x.py:12`."""
    coroutine = task.get_coro()
    name = getattr(coroutine, "__qualname__", type(coroutine).__name__)
    frames = suspended_frames(coroutine)
    if not frames:
        return f"{task.get_name()}: {name}"
    own = [frame for frame in frames if not frame.f_code.co_filename.startswith(_LIBRARIES)]
    place = own[-1] if own else frames[-1]
    inner = frames[-1].f_code.co_qualname
    return f"{task.get_name()}: {name} waits in {inner} at {place.f_code.co_filename}:{place.f_lineno}"


def suspended_frames(awaitable: Any) -> list[FrameType]:  # noqa: ANN401 — coroutines, generators and their like
    """Returns the frames of a suspended coroutine, from the outermost to the innermost."""
    frames: list[FrameType] = []
    while awaitable is not None:
        for kind, inner in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
            frame = getattr(awaitable, f"{kind}_frame", None)
            if isinstance(frame, FrameType):
                frames.append(frame)
                awaitable = getattr(awaitable, inner)
                break
        else:
            break
    return frames
