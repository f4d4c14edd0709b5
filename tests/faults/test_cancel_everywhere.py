"""Cancellation before every step of every task, for a run of every kind: nothing may stay behind."""

from __future__ import annotations

import asyncio
import contextlib

import anyio
import pytest

from asyncflow import Deployment, Hooks, Retry, TagLimit, apply, each, graph, op, when
from asyncflow.testing import run_virtual
from tests.faults.injection import cancelled_at


@op(pool="p")
async def nap(x: int) -> int:
    await anyio.sleep(1)
    return x


@op(pool="p")
async def quick(x: int) -> int:
    return x


@op(pool="p")
async def careful(x: int) -> int:
    try:
        await anyio.sleep(1)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.5)
    return x


@op(pool="p")
def threaded(x: int) -> int:
    return x


@op(pool="p")
async def listed(n: int) -> list[int]:
    return list(range(n))


@op(pool="p")
async def failing(x: int) -> int:
    await anyio.sleep(0.5)
    raise ValueError(x)


@op(pool="p")
async def parent(x: int) -> int:
    async with anyio.create_task_group() as group:
        group.start_soon(nap.run, x)
        group.start_soon(quick.run, x)
    return await careful.run(x)


@graph
def chain() -> int:
    return nap(quick(nap(quick(1))))


@graph(max_concurrent=2, tag_concurrency_limits=[TagLimit("k", limit=1)])
def wide() -> list[int]:
    return [nap.options(tags={"k": "v"})(1), nap(2), quick(3), careful(4), nap(5)]


@graph
def threads() -> int:
    return threaded(threaded(1)) + threaded(2)


@graph
def children() -> int:
    return parent(parent(1))


@graph
def mapped() -> list[int]:
    return each(quick, each(nap, listed(3)))


@graph
def branching() -> int:
    return when(quick(1) > 0, lambda: nap(2), lambda: nap(3))


@graph
def tolerant() -> list[str]:
    return apply(lambda outcomes: [outcome.status.value for outcome in outcomes], each(failing.settled, [1, 2]))


@graph(on_error="fail_fast")
def failing_fast() -> list[int]:
    return [failing(1), nap(2), careful(3)]


@graph(max_concurrent=2)
def nested() -> int:
    return nap(apply(sum, wide.options(max_concurrent=1)()))


@graph(static=True)
def static(x: int) -> int:
    return nap(quick(x))


@graph(late=True, max_concurrent=2)
def steps(n: int) -> int:
    return nap(careful(n)) if n > 1 else steps(quick(n + 1))


@graph
def late() -> list[int]:
    return [steps(nap(0)), *[apply(sum, each(steps, listed(2)))]]


@graph(max_concurrent=2)
async def live() -> int:
    with contextlib.suppress(ValueError):
        await failing.run(1)
    async with anyio.create_task_group() as group:
        group.start_soon(nap.run, 1)
        group.start_soon(late.run)
    return await careful.run(2)


@graph
async def body(n: int) -> int:
    values = await asyncio.gather(nap.run(n), quick.run(n), careful.run(n))
    return sum(values)


@graph
def bodies() -> list[int]:
    return [apply(sum, each(body, listed(2))), parent(body(quick(1)))]


@op(pool="p", retry=Retry(max_retries=2, delay=0.25, backoff="linear"))
async def shaky(x: int) -> int:
    await nap.run(x)
    raise ValueError(x)


@op(pool="p", retry=Retry(max_retries=3))
async def hasty(x: int) -> int:
    raise ValueError(x)


@graph(max_concurrent=2)
def retried() -> list[object]:
    return [shaky.settled(1), each(hasty.settled, [1, 2]), nap(3)]


@op(pool="p", timeout=0.5, retry=Retry(max_retries=1, delay=0.25))
async def slow(x: int) -> int:
    return await careful.run(x)


@graph(timeout=0.75)
def part() -> list[object]:
    return [nap.settled(1), careful.settled(2), quick(3)]


@graph(timeout=2)
def timed() -> list[object]:
    return [slow.settled(1), part.settled(), nap(nap(nap(4)))]


async def slowly(info: object) -> None:
    await anyio.sleep(0.25)


def wrongly(info: object) -> None:
    raise ValueError(info)


HOOKS = Hooks(on_success=slowly, on_failure=wrongly, on_retry=slowly, on_cancel=slowly)


@graph(hooks=HOOKS)
def hooked() -> list[object]:
    return [nap.options(hooks=HOOKS)(1), shaky.options(hooks=HOOKS).settled(2), careful.options(hooks=HOOKS)(3)]


@graph(retry=Retry(max_retries=2, delay=0.25), hooks=HOOKS, timeout=3)
def again() -> list[object]:
    return [nap(1), failing(2), careful(3)]


KINDS = [
    chain,
    wide,
    threads,
    children,
    mapped,
    branching,
    tolerant,
    failing_fast,
    nested,
    retried,
    timed,
    hooked,
    again,
    late,
    live,
    bodies,
]


async def leftovers(steps: tuple[int, ...], kind) -> tuple[bool, int]:
    """Runs `kind` with cancellation at `steps` and checks that nothing is left; says whether all were reached."""
    deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 2}}})
    reached, outcome, count = await cancelled_at(steps, kind.on(deployment).try_run)
    if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
        raise outcome
    snapshot = deployment.snapshot()
    assert [
        (limit.name, limit.held, len(limit.waiters)) for limit in snapshot.limits if limit.held or limit.waiters
    ] == []
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert tasks == []
    value = await kind.on(deployment).try_run()  # the pools still work
    assert value.status.final
    return reached, count


@pytest.mark.parametrize("kind", [*KINDS], ids=lambda kind: kind.definition.name)
def test_a_cancellation_before_any_step_leaves_nothing_behind(kind) -> None:
    """For every n: cancel the caller before step n. Slots, waiters and tasks are all back, and the next run works."""
    step = 0
    while True:
        step += 1
        reached, _ = run_virtual(leftovers, (step,), kind)
        if not reached:
            break
    assert step > 3


@pytest.mark.parametrize(
    "kind",
    [wide, children, mapped, retried, timed, hooked, again, late, live, bodies],
    ids=lambda kind: kind.definition.name,
)
def test_a_second_cancellation_during_clean_up_leaves_nothing_behind(kind) -> None:
    """For pairs n < m: cancel before step n and again before step m."""
    _, count = run_virtual(leftovers, (10**9,), kind)
    for first in range(1, count, 3):
        for second in range(first + 1, min(first + 8, count + 8)):
            run_virtual(leftovers, (first, second), kind)
