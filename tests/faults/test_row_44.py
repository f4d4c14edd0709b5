"""Row 44 of the fault table: a priority that changes while its run is queued."""

import asyncio

import anyio
import pytest

from asyncflow import Deployment, Event, RunReprioritised, graph, op
from asyncflow.testing import run_virtual


@op
async def nap(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


@graph
def napping(seconds: float = 1.0) -> float:
    return nap(seconds)


def test_row_44_the_queue_is_put_in_order_once_for_each_change() -> None:
    """Given ten runs in line, when three change their priority, one of them twice, then the last of each counts.

    Equal ones keep the order in which they came, and each real change is told once.
    """
    told: list[tuple[str, int]] = []

    def note(event: Event) -> None:
        if isinstance(event, RunReprioritised):
            told.append((event.run_id, event.priority))

    async def main() -> None:
        async with Deployment("prod", concurrency={"runs": {"max_concurrent_runs": 1}}) as prod:
            prod.subscribe(note)
            holder = napping.start()
            await asyncio.sleep(0)
            runs = [napping.start() for _ in range(10)]
            await anyio.sleep(0.5)
            for index, priority in ((7, 5), (7, 5), (3, 9), (3, -1), (5, 5)):
                prod.set_priority(runs[index].id, priority)
            started = [(await run.result()).started_at for run in runs]
            assert [
                runs.index(run) for _, run in sorted(zip(started, runs, strict=True), key=lambda pair: pair[0])
            ] == [
                *(5, 7),
                *(0, 1, 2, 4, 6, 8, 9),
                3,
            ]
            await holder
            assert told == [(runs[7].id, 5), (runs[3].id, 9), (runs[3].id, -1), (runs[5].id, 5)]

    run_virtual(main)


@pytest.mark.parametrize("at", [0, 3, 7])
def test_row_44_the_bound_on_overtaking_holds_from_the_change_on(at: int) -> None:
    """Given a run that needs both slots amid small ones, when its priority falls and rises, then few more pass it.

    At most `max_overtakes` from the change on, however many had passed it before.
    """
    most = 8
    begun: list[str] = []

    @op(pool="db")
    async def small(index: int) -> None:
        begun.append("small")
        await anyio.sleep(1 + index * 0.37 % 0.5)  # no two end at the same time

    @op(pool={"db": 2})
    async def wide() -> None:
        begun.append("wide")

    @graph
    def stream(index: int) -> None:
        return small(index)

    async def main() -> None:
        limits = {"pools": {"limits": {"db": 2}}}
        async with Deployment("prod", concurrency=limits, max_overtakes=most):
            runs = [stream.start(index) for index in range(2)]
            await asyncio.sleep(0)
            late = wide.start()
            passed = 0
            for index in range(60):
                runs.append(stream.start(index))
                await anyio.sleep(0.6)
                if not passed and len(begun) >= 2 + at:
                    late.set_priority(-1)
                    late.set_priority(0)
                    passed = len(begun)
            await asyncio.gather(*runs, late)
            assert begun.index("wide") - passed <= most + 1

    run_virtual(main)
