"""The graphs that are measured: as lists of inputs for the floor, and wired for asyncflow."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from asyncflow import Deployment, Graph, TagLimit, apply, graph, op

Shape = list[tuple[int, ...]]
"""For every op the ops it reads; inputs come first."""


def chain(count: int) -> Shape:
    """One op after another."""
    return [(i - 1,) if i else () for i in range(count)]


def fan(count: int) -> Shape:
    """One op, `count` that read it, one that reads them all."""
    return [(), *[(0,)] * count, tuple(range(1, count + 1))]


def layered(count: int, *, width: int = 100, seed: int = 1) -> Shape:
    """A random graph in layers of `width`; every op reads two or three of the layer before."""
    rng = random.Random(seed)
    shape: Shape = []
    for i in range(count):
        before = i // width * width
        shape.append(tuple(rng.sample(range(before - width, before), rng.randint(2, 3))) if before else ())
    return shape


async def by_hand(shape: Shape, body: Callable[..., Any]) -> Any:  # noqa: ANN401 — whatever the body gives
    """The floor: a hand-written dependency counter with one task for each op, and nothing else."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    readers: list[list[int]] = [[] for _ in shape]
    for i, inputs in enumerate(shape):
        for j in inputs:
            readers[j].append(i)
    missing = [len(inputs) for inputs in shape]
    values: list[Any] = [None] * len(shape)
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
    return values[-1]


async def noop(*_inputs: int) -> int:
    """Does nothing, without suspending."""
    return 1


async def once(*_inputs: int) -> int:
    """Does nothing, and suspends once."""
    await asyncio.sleep(0)
    return 1


def last(values: list[int]) -> int:
    """Returns the last value; so every result is used."""
    return values[-1]


def wired(
    shape: Shape, body: Callable[..., Any], *, limits: int | None, static: bool
) -> tuple[Graph[[], int], Deployment]:
    """Returns the same as a graph: bare, or with a cap, a tag limit and a pool of `limits` each on every op."""
    call = op(body) if limits is None else op(body).options(pool="pool", tags={"kind": "any"})

    def build() -> int:
        values: list[int] = []
        for inputs in shape:
            values.append(call(*[values[j] for j in inputs]))
        return apply(last, values)

    made = graph(static=True)(build) if static else graph(build)
    pools = {} if limits is None else {"pool": limits}
    if limits is not None:
        made = made.options(max_concurrent=limits, tag_concurrency_limits=[TagLimit("kind", "any", limits)])
    deployment = Deployment("bench", concurrency={"pools": {"limits": pools}})
    return made.on(deployment), deployment
