"""Wired: the same shapes as graphs of asyncflow, without limits, with limits that never bind, and with some that do."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from asyncflow import Deployment, Event, Graph, TagLimit, graph, op
from benchmarks.by_hand import Body
from benchmarks.shapes import Shape

BINDING = 64
"""The capacity of limits that bind: less than the layers are wide."""


def deployment_of(limit: int | None) -> Deployment:
    """Returns a deployment whose pool has that limit."""
    return Deployment("bench", concurrency={"pools": {"limits": {} if limit is None else {"pool": limit}}})


def wired(shape: Shape, body: Body, *, limit: int | None, static: bool) -> Graph[[], list[int]]:
    """Returns a shape as a graph that gives all results.

    Args:
        shape: The shape.
        body: What every op does.
        limit: Puts every op under `max_concurrent`, a tag limit and a pool, all of this capacity; None under nothing.
        static: Whether it is wired once.
    """
    call = op(body) if limit is None else op(body).options(pool="pool", tags={"kind": "any"})

    def build() -> list[int]:
        values: list[int] = []
        for inputs in shape:
            values.append(call(*[values[j] for j in inputs]))
        return values

    made = graph(static=True)(build) if static else graph(build)
    if limit is not None:
        made = made.options(max_concurrent=limit, tag_concurrency_limits=[TagLimit("kind", "any", limit)])
    return made


def kept(made: Graph[[], list[int]], deployment: Deployment) -> Callable[[], Coroutine[Any, Any, list[int]]]:
    """Returns what runs a graph and keeps the whole result: the record of every op and all values."""
    bound = made.on(deployment)

    async def run() -> list[int]:
        result = await bound.try_run()
        if result.output is None or len(result.ops) != len(result.output):
            raise ValueError(f"{result} is not complete")
        return result.output

    return run


def listened(made: Graph[[], list[int]], deployment: Deployment) -> Callable[[], Coroutine[Any, Any, list[int]]]:
    """The same with an observer that keeps every event of a run."""
    events: list[Event] = []
    deployment.subscribe(events.append)
    inner = kept(made, deployment)

    async def run() -> list[int]:
        events.clear()
        return await inner()

    return run
