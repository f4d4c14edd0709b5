"""The replay itself: a graph with one op for each recorded task, wired with a plain for loop, which sleeps.

In virtual time the loop's clock jumps from one end of a sleep to the next, so hours of recorded work take
milliseconds and every number is exact. In scaled time it really sleeps, a fraction of the recorded seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import anyio

from asyncflow import Deployment, RunResult, graph, op
from asyncflow.testing import run_virtual
from examples.replay.limits import Limits
from examples.replay.workflow import Workflow


@op
async def task(seconds: float) -> None:
    """Stands for a recorded task."""
    await anyio.sleep(seconds)


@graph
def replay(workflow: Workflow, scale: float) -> None:
    """Wires one op for each task, after its parents."""
    ends: list[None] = []
    for recorded in workflow.tasks:
        step = task.options(
            name="task" if recorded.tool is None else re.sub(r"\W", "_", recorded.tool.rpartition(".")[2]),
            pool=recorded.slots or None,
            tags={} if recorded.tool is None else {"tool": recorded.tool},
        )
        parents = [ends[parent] for parent in recorded.parents]
        ends.append(step.after(*parents)(recorded.seconds * scale))


@dataclass(frozen=True, slots=True)
class Played:
    """A replay that ended.

    Args:
        makespan: Its length in recorded seconds.
        result: Everything asyncflow knows about it; its times are scaled.
    """

    makespan: float
    result: RunResult[None]


def play(workflow: Workflow, limits: Limits, *, scale: float | None = None) -> Played:
    """Replays a workflow under limits, in virtual time, or in `scale` seconds for each recorded second."""
    result = run_virtual(_play, workflow, limits, 1.0) if scale is None else anyio.run(_play, workflow, limits, scale)
    if result.errors:
        raise ExceptionGroup(f"the replay of {workflow.name} failed", list(result.errors))
    return Played(result.seconds / (scale or 1.0), result)


async def _play(workflow: Workflow, limits: Limits, scale: float) -> RunResult[None]:
    deployment = Deployment("replay", concurrency={"pools": {"limits": limits.pools}})
    limited = replay.options(max_concurrent=limits.max_concurrent, tag_concurrency_limits=limits.rules)
    return await limited.on(deployment).try_run(workflow, scale)
