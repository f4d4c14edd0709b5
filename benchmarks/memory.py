"""Memory: bytes per op, of the plan, of an op that waits for inputs, and of one that waits for limits.

The plan of a static graph is shared by its runs, so it is counted apart. What a waiting op costs has its share of the
run's tables in it.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator

from benchmarks.scale import Scale
from benchmarks.shapes import Shape, chain, noop
from benchmarks.table import Table
from benchmarks.wired import deployment_of, wired


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def _per_op(shape: Shape, *, expected: int) -> tuple[float, float]:
    """Returns the bytes per op of a shape's plan, and of a run of it in which one op runs and never ends.

    Raises:
        ValueError: where not as many ops as expected are blocked on limits.
    """
    forever = asyncio.Event()

    async def stuck(*_inputs: int) -> int:
        await forever.wait()
        return 1

    deployment = deployment_of(1)
    warm = wired(chain(3), noop, limit=1, static=True).on(deployment)
    await warm.run()
    made = wired(shape, stuck, limit=1, static=True).on(deployment)
    async with deployment:
        tracemalloc.start()
        before = _traced()
        made.wire((), {})
        planned = _traced()
        run = made.start()
        for _ in range(3):
            await asyncio.sleep(0)
        waiting = _traced()
        tracemalloc.stop()
        blocked = max([len(limit.waiters) for limit in deployment.snapshot().limits])
        await run.cancel()
    if blocked != expected:
        raise ValueError(f"{blocked} ops were blocked, not {expected}: something else was measured")
    return (planned - before) / len(shape), (waiting - planned) / len(shape)


def measure_memory(scale: Scale) -> Iterator[Table]:
    """Starts runs in which nothing ends, and looks."""
    table = Table(f"memory, {scale.waiting:,} ops: bytes per op", (("bytes/op", 0),))
    plan, inputs = asyncio.run(_per_op(chain(scale.waiting), expected=0))
    table.add("plan of a static chain, shared by its runs", plan)
    table.add("op that waits for its input (chain)", inputs)
    _, blocked = asyncio.run(_per_op([()] * scale.waiting, expected=scale.waiting - 1))
    table.add("op that waits for cap + tag + pool", blocked)
    yield table
