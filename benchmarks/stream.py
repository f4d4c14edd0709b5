"""Stream: items from a source through two ops into an op that reads, in a process of its own for each size.

Memory must not grow with the number of items, and the first result must come before the source has ended; both are
checked, not only shown. By hand means one task for each part and bounded queues between them.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from asyncflow import each, graph, op, stream
from benchmarks.environment import child_environment
from benchmarks.million import peak_mib
from benchmarks.scale import Scale
from benchmarks.table import Table

WINDOW = 64
FIRST: list[float] = []
ENDED: list[float] = []


async def numbers(stop: int) -> AsyncIterator[int]:
    """0 … stop - 1."""
    for number in range(stop):
        yield number
    ENDED.append(time.perf_counter())


async def more(number: int) -> int:
    """The next number."""
    return number + 1


async def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


async def total(items: AsyncIterator[int]) -> int:
    """The sum of what comes."""
    found = 0
    async for item in items:
        if not FIRST:
            FIRST.append(time.perf_counter())
        found += item
    return found


source, step, last, reduce = op(numbers), op(more), op(double), op(total)


@graph
def flow(stop: int) -> int:
    """The items of a source, through two maps, into one op."""
    return reduce(stream(each(last, each(step, source(stop)))))


async def by_hand(stop: int) -> int:
    """The same with queues."""
    queues: list[asyncio.Queue[int | None]] = [asyncio.Queue(WINDOW) for _ in range(3)]

    async def make() -> None:
        async for number in numbers(stop):
            await queues[0].put(number)
        await queues[0].put(None)

    async def pass_on(i: int, fn: Any) -> None:  # noqa: ANN401 — either step
        while (number := await queues[i].get()) is not None:
            await queues[i + 1].put(await fn(number))
        await queues[i + 1].put(None)

    async def read() -> AsyncIterator[int]:
        while (number := await queues[2].get()) is not None:
            yield number

    async with asyncio.TaskGroup() as group:
        group.create_task(make())
        group.create_task(pass_on(0, more))
        group.create_task(pass_on(1, double))
        found = group.create_task(total(read()))
    return found.result()


def streamed(size: int, *, way: str) -> dict[str, float]:
    """Runs one stream; returns what it took.

    Args:
        size: How many items.
        way: `hand`, `free`, or the number of `max_concurrent`.
    """
    bare = peak_mib()
    run = by_hand if way == "hand" else (flow if way == "free" else flow.options(max_concurrent=int(way))).run
    began = time.process_time()
    found = asyncio.run(run(size))
    seconds = time.process_time() - began
    if found != size * (size + 1):
        raise ValueError(f"the stream of {size} items gave {found}; {size * (size + 1)} expected")
    if size > WINDOW * 4 and not FIRST[0] < ENDED[0]:
        raise ValueError("the first result came after the source had ended")
    return {"item": seconds / size * 1e6, "peak": peak_mib(), "bare": bare}


def _in_a_process(size: int, way: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.stream", str(size), way]
    found: dict[str, float] = json.loads(subprocess.check_output(command, env=child_environment()))  # noqa: S603 — this very Python
    return found


def measure_stream(scale: Scale) -> Iterator[Table]:
    """Streams of two sizes by hand, without a limit, and with `max_concurrent=1`."""
    table = Table(
        "source → each → each → op that reads",
        (("µs/item", 1), ("× by hand", 1), ("peak MiB", 1), ("× fewer items", 2)),
        note="a process for each; µs are CPU time with the garbage collector on",
    )
    for way, name in (("hand", "by hand, queues of 64"), ("free", "no limit"), ("1", "max_concurrent=1")):
        small = 0.0
        for size in scale.plans:
            hand = _in_a_process(size, "hand")["item"]
            found = _in_a_process(size, way)
            small = small or found["peak"]
            times = found["item"] / hand
            table.add(f"{name}, {size:,} items", found["item"], times, found["peak"], found["peak"] / small)
    yield table


if __name__ == "__main__":
    print(json.dumps(streamed(int(sys.argv[1]), way=sys.argv[2])))
