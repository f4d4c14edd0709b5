"""By hand: what one would write without a library. The floor, and what stands beside it.

The *floor* is a dependency counter with one task per op, written as asyncio's documentation says (a set keeps the tasks
alive, a callback discards them). It has no errors, limits, records or cancellation. The *leanest* one leaves out even
what it safely can: its tables are made once, and tasks are kept in a list until the end. Who reads a ratio should know
that the two differ by a quarter to a third.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from benchmarks.shapes import Shape

Body: TypeAlias = Callable[..., Coroutine[Any, Any, int]]
Tables: TypeAlias = tuple[list[list[int]], list[int]]
"""Who reads each op, and how many each reads."""


def tables(shape: Shape) -> Tables:
    """Returns the tables of a dependency counter."""
    readers: list[list[int]] = [[] for _ in shape]
    for i, inputs in enumerate(shape):
        for j in inputs:
            readers[j].append(i)
    return readers, [len(inputs) for inputs in shape]


async def floor(shape: Shape, body: Body) -> list[int]:
    """Runs a graph with one task per op and returns all results."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    readers, missing = tables(shape)
    values = [0] * len(shape)
    left = len(shape)
    tasks: set[asyncio.Task[None]] = set()

    async def run(i: int) -> None:
        nonlocal left
        values[i] = await body(*[values[j] for j in shape[i]])
        left -= 1
        for j in readers[i]:
            missing[j] -= 1
            if not missing[j]:
                start(j)
        if not left:
            done.set_result(None)

    def start(i: int) -> None:
        task = loop.create_task(run(i))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    for i, inputs in enumerate(shape):
        if not inputs:
            start(i)
    await done
    return values


async def leanest(shape: Shape, body: Body, made: Tables) -> list[int]:
    """The same with tables made beforehand and without a callback for each task."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    readers, counts = made
    missing = counts.copy()
    values = [0] * len(shape)
    left = len(shape)
    tasks: list[asyncio.Task[None]] = []

    async def run(i: int) -> None:
        nonlocal left
        values[i] = await body(*[values[j] for j in shape[i]])
        left -= 1
        for j in readers[i]:
            missing[j] -= 1
            if not missing[j]:
                tasks.append(loop.create_task(run(j)))
        if not left:
            done.set_result(None)

    for i, inputs in enumerate(shape):
        if not inputs:
            tasks.append(loop.create_task(run(i)))
    await done
    return values


def behind_semaphores(body: Body, limit: int) -> Body:
    """Returns a body behind three nested semaphores, as one would write a cap, a tag limit and a pool by hand.

    They are taken one after another, so they can deadlock and block each other; the floor of a limit, not a rival.
    """
    held = [asyncio.Semaphore(limit) for _ in range(3)]
    cap, tag, pool = held

    async def guarded(*inputs: int) -> int:
        async with cap, tag, pool:
            return await body(*inputs)

    return guarded


async def diamond(body: Body) -> int:
    """Five ops as one would write them down: gather where two run beside each other."""
    first = await body()
    left, right = await asyncio.gather(body(first), body(first))
    return await body(await body(left, right))


async def at_once(count: int, run: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Runs many together and returns the sum of what they gave."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run()) for _ in range(count)]
    return sum([task.result() for task in tasks])
