"""Ten thousand runs in the queue: what a start costs does not depend on how many wait behind it."""

import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Self

import anyio
import pytest

from asyncflow import Deployment, Run, RunStatus, TagLimit, graph, op
from asyncflow.testing import run_virtual

FEW, MANY = 500, 10_000
HANDOVERS = 100


@op(pool="db")
async def query(seconds: float) -> float:
    """Holds a slot of `db`."""
    await anyio.sleep(seconds)
    return seconds


@graph
def querying(seconds: float = 1.0) -> float:
    """A run of one query."""
    return query(seconds)


class Steps:
    """Counts the calls of functions, of Python and of C, while it is entered: work, and no clock."""

    def __init__(self) -> None:
        self.count = 0

    def _called(self, frame: FrameType, event: str, argument: object) -> None:
        del frame, argument
        if event in ("call", "c_call"):
            self.count += 1

    def __enter__(self) -> Self:
        sys.setprofile(self._called)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)


async def queue_of(prod: Deployment, count: int) -> list[Run[float]]:
    """Submits runs of 20 teams and 5 priorities, and lets the first begin."""
    runs = [
        querying.options(tags={"team": f"team {n % 20}"}, priority=n % 5, fair_key=f"tenant {n % 7}").start()
        for n in range(count)
    ]
    await anyio.sleep(0.5)
    return runs


def deployment(**runs: object) -> Deployment:
    """Ten places, a tag rule that holds many back, and a pool of three."""
    rules = [TagLimit("team", "team 3", 0)]
    return Deployment(
        "prod",
        concurrency={
            "runs": {"max_concurrent_runs": 10, "tag_concurrency_limits": rules, **runs},
            "pools": {"default_limit": 3},
        },
    )


def steps_of_handovers(count: int) -> float:
    """The calls it takes to end a run and to let out the next, with so many in the queue."""

    async def main() -> float:
        async with deployment() as prod:
            await queue_of(prod, count)
            with Steps() as steps:
                await anyio.sleep(HANDOVERS / 3)
            snapshot = prod.snapshot()
            started = count - len(snapshot.queued) - len(snapshot.running)
            assert started == pytest.approx(HANDOVERS, abs=3)
            return steps.count / started

    return run_virtual(main)


def test_the_cost_of_a_start_is_flat() -> None:
    """Given 500 and 10,000 runs in the queue, when 100 are let out, then each takes equally many calls, within 10 %."""
    few, many = steps_of_handovers(FEW), steps_of_handovers(MANY)
    sys.stdout.write(f"{few:.0f} calls for a start with {FEW:,} queued, {many:.0f} with {MANY:,}\n")
    assert many <= few * 1.1


def test_looking_at_ten_thousand_runs_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """Given 10,000 queued runs, when a snapshot is taken and first, middle and last are explained, then all is told.

    What it took is reported, and not asserted.
    """

    async def main() -> None:
        async with deployment() as prod:
            runs = await queue_of(prod, MANY)
            queued = [run for run in runs if run.status is RunStatus.QUEUED]
            snapshot = prod.snapshot()
            assert (len(snapshot.queued), len(snapshot.running)) == (MANY - 3, 3)
            assert len(snapshot.pool("db").waiters) == MANY - 3
            for run in (queued[0], queued[len(queued) // 2], queued[-1]):
                assert "db" in [blocker.limit for blocker in prod.explain(run.id).blockers]
            figures = {
                "snapshot": milliseconds(prod.snapshot),
                **{
                    f"explain {where}": milliseconds(lambda run=run: prod.explain(run.id))  # type: ignore[misc]  # bound
                    for where, run in (("first", queued[0]), ("middle", queued[len(queued) // 2]), ("last", queued[-1]))
                },
            }
            with capsys.disabled():
                told = ", ".join([f"{name} {value:.1f} ms" for name, value in figures.items()])
                sys.stdout.write(f"\n{MANY:,} runs queued: {told}\n")

    run_virtual(main)


def milliseconds(look: Callable[[], object]) -> float:
    """What the quickest of five takes."""
    times: list[float] = []
    for _ in range(5):
        begun = time.perf_counter()
        look()
        times.append(time.perf_counter() - begun)
    return min(times) * 1e3
