"""`python -m benchmarks`: asyncflow beside the same work by hand, in one run, in turns. Ratios count, not times.

Every figure is the median over rounds; in a round all contenders run once, one after another, so a machine whose
speed drifts slows them alike. The garbage collector runs between, not inside, measurements.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.core import situations
from benchmarks.shapes import Shape, by_hand, chain, fan, layered, noop, once, wired

Contender = Callable[[], Awaitable[Any]]


def in_turns(contenders: dict[str, Contender], *, rounds: int) -> dict[str, float]:
    """Returns the median seconds of each contender."""
    times: dict[str, list[float]] = {name: [] for name in contenders}

    async def main() -> None:
        for run in contenders.values():
            await run()
        for _ in range(rounds):
            for name, run in contenders.items():
                gc.collect()
                gc.disable()
                began = time.perf_counter()
                await run()
                times[name].append(time.perf_counter() - began)
                gc.enable()

    asyncio.run(main())
    return {name: statistics.median(all_times) for name, all_times in times.items()}


def contenders_for(shape: Shape, body: Callable[..., Any]) -> dict[str, Contender]:
    """Returns the floor and asyncflow's ways of running the same graph: limits with room, and limits that bind."""
    made: dict[str, Contender] = {"by hand, a task per op": lambda: by_hand(shape, body)}
    for static in (True, False):
        for limits, called in ((None, "no limits"), (len(shape), "cap + tag + pool"), (64, "the same, of 64 each")):
            runnable, _ = wired(shape, body, limits=limits, static=static)
            made[f"{'static' if static else 'wired per run'}, {called}"] = runnable.run
    return made


def graphs(*, quick: bool) -> None:
    """Framework cost per op."""
    size = 500 if quick else 10_000
    shapes: list[tuple[str, Shape, Callable[..., Any]]] = [
        (f"chain of {size // 10:,}", chain(size // 10), noop),
        (f"fan-out and fan-in of {size:,}", fan(size), noop),
        (f"layers, {size:,} ops", layered(size), noop),
        (f"chain of {size // 10:,} that suspend once", chain(size // 10), once),
        (f"layers, {size:,} ops that suspend once", layered(size), once),
    ]
    for title, shape, body in shapes:
        medians = in_turns(contenders_for(shape, body), rounds=3 if quick else 9)
        floor = medians["by hand, a task per op"]
        print(f"\n{title}: µs per op, and against the floor")
        for name, seconds in medians.items():
            print(f"  {name:<38}{seconds / len(shape) * 1e6:8.2f} {seconds / floor:7.2f}×")


def diamond(*, quick: bool) -> None:
    """Five ops from start to value."""
    shape: Shape = [(), (0,), (0,), (1, 2), (3,)]
    medians = in_turns(
        {name: repeated(run, 50 if quick else 500) for name, run in contenders_for(shape, noop).items()},
        rounds=3 if quick else 9,
    )
    print("\ndiamond of 5 ops, start to value: µs per run")
    for name, seconds in medians.items():
        print(f"  {name:<38}{seconds / (50 if quick else 500) * 1e6:8.1f}")


def repeated(run: Contender, times: int) -> Contender:
    """Returns a contender that runs another one many times."""

    async def many() -> None:
        for _ in range(times):
            await run()

    return many


def wiring(*, quick: bool) -> None:
    """Wiring and freezing per op."""
    size = 500 if quick else 10_000
    runnable, _ = wired(layered(size), noop, limits=64, static=False)
    runnable.plan()
    times: list[float] = []
    for _ in range(5):
        gc.collect()
        began = time.perf_counter()
        runnable.plan()
        times.append(time.perf_counter() - began)
    print(f"\nwiring and freezing {size:,} ops: {statistics.median(times) / size * 1e6:.2f} µs per op")


def core(*, quick: bool) -> None:
    """The admission core alone."""
    print("\nadmission core: µs per start (release + enqueue + round)")
    for name, microseconds in situations(2_000 if quick else 100_000):
        print(f"  {name:<60}{microseconds:8.1f}")


def memory(*, quick: bool) -> None:
    """Bytes per op that waits for a limit."""
    count = 1_000 if quick else 20_000

    async def main() -> float:
        runnable, deployment = wired([()] * count, noop, limits=64, static=True)
        await runnable.run()
        paused, deployment = wired([()] * count, once, limits=64, static=True)
        tracemalloc.start()
        async with deployment:
            plan_made = paused.wire((), {})
            before, _ = tracemalloc.get_traced_memory()
            run = paused.options(max_concurrent=1).start()
            await asyncio.sleep(0)
            after, _ = tracemalloc.get_traced_memory()
            del plan_made
            await run.cancel()
        tracemalloc.stop()
        return (after - before) / count

    print(f"\nmemory: {asyncio.run(main()):,.0f} bytes per waiting op, its share of the run's tables included")


def million(*, quick: bool) -> None:
    """A static plan of a million ops, against one of ten thousand."""
    sizes = (1_000, 10_000) if quick else (10_000, 1_000_000)
    per_op: list[float] = []
    for size in sizes:
        runnable, _ = wired(layered(size), noop, limits=64, static=True)
        began = time.perf_counter()
        runnable.wire((), {})
        built = time.perf_counter() - began
        gc.collect()
        began = time.perf_counter()
        asyncio.run(runnable.run())
        per_op.append((time.perf_counter() - began) / size * 1e6)
        print(f"\nstatic plan of {size:,} ops: built in {built:.1f} s, {per_op[-1]:.2f} µs per op")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  {per_op[1] / per_op[0]:.2f}× the smaller one; peak memory of this process {peak:,.0f} MiB")


def imports(*, quick: bool) -> None:
    """What importing asyncflow adds."""
    code = (
        "import time, anyio, pydantic, structlog; began = time.perf_counter(); import asyncflow;"
        " print(time.perf_counter() - began)"
    )
    command = [sys.executable, "-c", code]
    runs = [float(subprocess.check_output(command)) for _ in range(2 if quick else 7)]  # noqa: S603 — this very Python
    print(f"\nimport asyncflow: {statistics.median(runs) * 1e3:.0f} ms beyond anyio, pydantic and structlog")


ALL: dict[str, Callable[..., None]] = {
    "graphs": graphs,
    "diamond": diamond,
    "wiring": wiring,
    "core": core,
    "memory": memory,
    "imports": imports,
    "million": million,
}


def main() -> None:
    """Runs what the command line names; everything but the million by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(ALL)}")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    options = parser.parse_args()
    print(f"Python {sys.version.split()[0]}")
    for name in options.names or [name for name in ALL if name != "million" or options.quick]:
        ALL[name](quick=options.quick)


if __name__ == "__main__":
    main()
