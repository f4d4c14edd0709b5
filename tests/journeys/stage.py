"""What the journeys share: ops that take time, graphs of one op, and a deployment in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from asyncflow import Deployment, Run, graph, op
from asyncflow.testing import run_virtual


@op
async def nap(seconds: float) -> float:
    """Takes no slot of any pool."""
    await anyio.sleep(seconds)
    return seconds


@op(pool="db")
async def query(seconds: float) -> float:
    """Takes a slot of `db`."""
    await anyio.sleep(seconds)
    return seconds


@op
async def tidy(seconds: float) -> None:
    """Goes on until it is cancelled, then cleans up for so long."""
    try:
        await anyio.sleep(1_000)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(seconds)


@graph
def napping(seconds: float = 1.0) -> float:
    """A run of one nap."""
    return nap(seconds)


@graph
def querying(seconds: float = 1.0) -> float:
    """A run of one query."""
    return query(seconds)


@graph
def querying_later(seconds: float = 1.0) -> float:
    """A run whose root is a nap of half a second, and whose second op is a query."""
    return query(nap(0.5) * 2 * seconds)


@graph
def tidying(seconds: float = 2.0) -> None:
    """A run that takes so long to be cancelled."""
    return tidy(seconds)


def statuses(runs: list[Run[Any]]) -> str:
    """Q, R, C, S … for each run."""
    return "".join([run.status.name[0] for run in runs])


async def settle() -> None:
    """Lets the loop turn until nothing more happens at this time."""
    for _ in range(4):
        await asyncio.sleep(0)


def now() -> float:
    """The time of the loop."""
    return asyncio.get_running_loop().time()


def play(concurrency: dict[str, Any], scenario: Callable[[Deployment], Awaitable[None]], **options: Any) -> None:
    """Runs a scenario in an open deployment, in virtual time; at the end nothing may be held or waited for."""

    async def main() -> None:
        prod = Deployment("prod", concurrency=concurrency, **options)
        async with prod:
            await scenario(prod)
        snapshot = prod.snapshot()
        assert [view.name for view in snapshot.limits if view.held or view.waiters or view.reserved] == []
        assert (snapshot.queued, snapshot.running) == ((), ())

    run_virtual(main)
