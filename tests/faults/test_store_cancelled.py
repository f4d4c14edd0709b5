"""Cancellation before every step of every task of a run that is kept: nothing is left, and its record has an end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest

from asyncflow import Deployment, RunStatus
from asyncflow._store import RunStore, store_of
from asyncflow.testing import run_virtual
from tests._store.cut import on
from tests.faults.injection import cancelled_at
from tests.faults.test_cancel_everywhere import again, bodies, late, live, mapped, retried, tolerant, wide

LIMITS = {"pools": {"limits": {"p": 2}}}


def check(deployment: Deployment, outcome: object) -> None:
    """Nothing is held, nothing runs, and the store is closed."""
    if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
        raise outcome
    held = [limit.name for limit in deployment.snapshot().limits if limit.held or limit.waiters]
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert (held, tasks) == ([], [])
    assert deployment.keeper is not None
    assert deployment.keeper.line is None


async def leftovers(steps: tuple[int, ...], kind, store: RunStore) -> bool:
    """Runs `kind` with cancellation at `steps`, then resumes what its record has; says whether all were reached."""
    deployment = on(store, concurrency=LIMITS)
    reached, outcome, _ = await cancelled_at(steps, kind.on(deployment).try_run)
    check(deployment, outcome)
    runs = await deployment.runs()
    assert all(run.status.final for run in runs)
    if runs:
        resumed = kind.options(resume_from=runs[0].run_id).on(deployment)
        result = await resumed.try_run()
        assert result.status.final
        assert result.status is not RunStatus.CANCELED
    check(deployment, None)
    return reached


@pytest.mark.parametrize(
    "kind", [wide, mapped, tolerant, retried, again, late, live, bodies], ids=lambda kind: kind.definition.name
)
def test_a_cancelled_run_that_is_kept_leaves_a_record_and_nothing_else(kind) -> None:
    """For every n: cancel the caller before step n. The record has an end, and the run can be gone on with."""
    step = 0
    while True:
        step += 1
        store = store_of("memory")
        assert store is not None
        if not run_virtual(leftovers, (step,), kind, store):
            break
    assert step > 3


async def whole_life(url: str) -> None:
    """A deployment is opened, a run fails and is resumed, records are read, all is closed."""
    async with Deployment("prod", store=url, concurrency=LIMITS) as prod:
        first = await mapped.on(prod).try_run()
        run = prod.resume(first.run_id)
        await run.result()
        other = mapped.options(resume_from=first.run_id).on(prod).start()
        await anyio.sleep(0.5)
        await prod.runs()
        await prod.ops(other.id)
        await prod.outputs(mapped)


async def life_cancelled(steps: tuple[int, ...], url: str) -> bool:
    reached, outcome, _ = await cancelled_at(steps, lambda: whole_life(url))
    if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
        raise outcome
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    return reached


def test_a_store_is_closed_wherever_its_deployment_is_cancelled(tmp_path: Path) -> None:
    """For every n: cancel before step n of opening, running, resuming, reading, closing.

    No thread and no open file is left (a fixture looks), and the store can be used by the next one.
    """
    step = 0
    while True:
        step += 1
        if not run_virtual(life_cancelled, (step,), f"sqlite:///{tmp_path / f'{step}.db'}"):
            break
    assert step > 10
    run_virtual(whole_life, f"sqlite:///{tmp_path / '1.db'}")


@pytest.mark.parametrize("first", range(1, 60, 4))
def test_a_second_cancellation_does_not_keep_the_store_open(first: int, tmp_path: Path) -> None:
    """For pairs n < m: cancel before step n and again before step m, while it closes."""
    for second in range(first + 1, first + 6):
        run_virtual(life_cancelled, (first, second), f"sqlite:///{tmp_path / f'{second}.db'}")
