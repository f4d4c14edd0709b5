"""Worker processes under faults: cancellation at many moments, and nothing is left behind."""

from __future__ import annotations

import asyncio

from asyncflow import Deployment, graph
from tests._workers import functions as f
from tests.faults.injection import cancelled_at


@graph
def flow() -> list[int]:
    return [f.square(f.square(2)), f.square(3)]


def test_a_cancellation_before_any_step_leaves_no_process_and_no_slot() -> None:
    """For every n: cancel before step n of any task. Slots, tasks and processes are gone, and the next run works."""

    async def main() -> None:
        step = 0
        reached = True
        while reached:
            step += 1
            async with Deployment("d", processes=2) as prod:
                reached, outcome, _ = await cancelled_at((step,), flow.on(prod).try_run)
                if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                    raise outcome
                assert all(limit.held == 0 and not limit.waiters for limit in prod.snapshot().limits)
                assert [task.get_name() for task in asyncio.all_tasks() if "asyncflow resource" not in task.get_name()][
                    1:
                ] == []
                if step % 5 == 0:
                    assert (await flow.on(prod).try_run()).output == [16, 9]
        assert step > 8

    asyncio.run(main())
