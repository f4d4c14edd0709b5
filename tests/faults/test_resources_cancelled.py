"""Cancellation before every step of every task of runs with resources: whatever was opened is closed, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest

from asyncflow import Deployment, ResourceError, Retry, graph, op, use
from asyncflow.testing import run_virtual
from tests.faults.injection import cancelled_at

balance: dict[str, int] = {}


class Kept:
    """Counts what is open; entering and leaving must be of one task."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.task = asyncio.current_task()
        balance[self.name] = balance.get(self.name, 0) + 1

    def __exit__(self, *_: object) -> None:
        assert asyncio.current_task() is self.task
        balance[self.name] -= 1


async def base() -> AsyncIterator[str]:
    """Must clean up in full, also where it is cancelled between its first step and its `yield`."""
    await anyio.sleep(0.5)
    kept = Kept("base")
    kept.__enter__()
    try:
        await anyio.sleep(0.5)
        yield "base"
    finally:
        await anyio.sleep(0.5)
        await anyio.sleep(0.5)
        kept.__exit__()


async def grouped(below: str = use(base, "run")) -> AsyncIterator[str]:
    with Kept("grouped"):
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            await anyio.lowlevel.checkpoint()
            yield f"grouped on {below}"
            group.cancel_scope.cancel()


async def scoped() -> AsyncIterator[str]:
    with Kept("scoped"), anyio.CancelScope():
        yield "scoped"
        await anyio.sleep(0.1)


async def bad() -> AsyncIterator[str]:
    with Kept("bad"):
        yield "bad"
        await anyio.sleep(0.1)
        raise ValueError("bad")


@op(pool="p")
async def own(x: int, a: str = use(base), b: str = use(grouped), c: str = use(scoped)) -> int:
    await anyio.sleep(1)
    return x


@op(pool="p")
async def shared(x: int, a: str = use(grouped, "run", pool="q"), b: str = use(scoped, "run")) -> int:
    await anyio.sleep(x)
    return x


@op
async def lasting(x: int, a: str = use(scoped, "deployment"), b: str = use(base, "deployment")) -> int:
    return x


@op
def threaded(x: int, a: str = use(scoped), b: str = use(bad, "run")) -> int:
    return x


@op
async def parent(x: int, a: str = use(scoped), b: str = use(base, "run")) -> int:
    async with anyio.create_task_group() as group:
        group.start_soon(shared.run, x)
        group.start_soon(lasting.run, x)
    return await own.run(x)


@op
async def failing(x: int, a: str = use(scoped), b: str = use(bad)) -> int:
    await anyio.lowlevel.checkpoint()
    raise KeyError(x)


@graph
def of_ops() -> list[int]:
    return [own(1), own(2)]


@graph
def of_runs() -> list[int]:
    return [shared(1), shared(shared(2)), shared(0)]


@graph
def of_deployments() -> list[int]:
    return [lasting(1), lasting(threaded(2))]


@graph
def children() -> int:
    return parent(1)


@graph(on_error="fail_fast")
def failures() -> list[int]:
    return [failing(1), shared(2), own(3)]


@graph
def retried() -> list[int]:
    again = failing.options(retry=Retry(max_retries=1, delay=1))
    return [again(1), shared(1)]


KINDS = [of_ops, of_runs, of_deployments, children, failures, retried]


async def leftovers(steps: tuple[int, ...], kind, opened: bool = True) -> tuple[bool, int]:
    """Runs `kind` with cancellation at `steps` and checks that nothing is open; says whether all were reached."""
    balance.clear()
    deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 1, "q": 1}}})

    async def program() -> object:
        if not opened:
            return await kind.on(deployment).try_run()
        async with deployment:
            return await kind.on(deployment).try_run()

    reached, outcome, count = await cancelled_at(steps, program)
    if isinstance(outcome, BaseException) and not isinstance(outcome, (asyncio.CancelledError, ResourceError)):
        raise outcome
    assert {name: number for name, number in balance.items() if number} == {}
    snapshot = deployment.snapshot()
    held = [(limit.name, limit.held, len(limit.waiters)) for limit in snapshot.limits if limit.held or limit.waiters]
    assert held == []
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    assert deployment._engine is None or deployment._engine.runs == {}
    value = await kind.on(deployment).try_run()  # it all still works
    assert value.status.final
    assert sum(balance.values()) == 0
    return reached, count


@pytest.mark.parametrize("opened", [False, True], ids=["not open", "open"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.definition.name)
def test_a_cancellation_before_any_step_closes_everything(kind, opened: bool) -> None:
    """For every n: cancel the caller before step n of any task. Resources, slots and tasks are all back."""
    step = 0
    while True:
        step += 1
        reached, _ = run_virtual(leftovers, (step,), kind, opened)
        if not reached:
            break
    assert step > 10


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.definition.name)
def test_a_second_cancellation_during_clean_up_closes_everything(kind) -> None:
    """For pairs n < m: cancel before step n and again before step m."""
    _, count = run_virtual(leftovers, (10**9,), kind)
    for first in range(1, count, 4):
        for second in range(first + 1, min(first + 8, count + 8)):
            run_virtual(leftovers, (first, second), kind)
