"""Million: a static plan of a million ops against one of ten thousand, each in a process of its own.

A process of its own, because the peak of resident memory is one number for a whole process. With the garbage collector
off, as everywhere here, and on, as it is for users: its full collections look at every object of the plan.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.environment import child_environment
from benchmarks.scale import Scale
from benchmarks.shapes import layered, noop
from benchmarks.table import Table
from benchmarks.wired import deployment_of, kept, wired

LIMIT = 128
STATUS = Path("/proc/self/status")


def peak_mib() -> float:
    """Returns the peak of resident memory of this process.

    Linux carries `ru_maxrss` over from the process that started this one, so its own record is read where there is one.
    """
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def built_and_run(size: int, *, runs: int, gc_on: bool) -> dict[str, float]:
    """Builds one plan, runs it, and returns what that took."""
    shape = layered(size)
    made = wired(shape, noop, limit=LIMIT, static=True)
    bare = peak_mib()
    if not gc_on:
        gc.disable()

    async def main() -> tuple[float, list[float]]:
        deployment = deployment_of(LIMIT)
        began = time.process_time()
        made.on(deployment).wire((), {})
        built = time.process_time() - began
        run = kept(made, deployment)
        times: list[float] = []
        for _ in range(runs):
            began = time.process_time()
            values = await run()
            times.append(time.process_time() - began)
            if len(values) != size or sum(values) != size:
                raise ValueError(f"{len(values)} values, sum {sum(values)}; {size} ops should have given 1 each")
            del values
        return built, times

    built, times = asyncio.run(main())
    return {
        "build": built / size * 1e6,
        "run": statistics.median(times) / size * 1e6,
        "peak": peak_mib(),
        "bare": bare,
    }


def _in_a_process(size: int, *, runs: int, gc_on: bool) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.million", str(size), str(runs), "on" if gc_on else "off"]
    found: dict[str, Any] = json.loads(subprocess.check_output(command, env=child_environment()))  # noqa: S603 — this very Python
    return found


def measure_million(scale: Scale) -> Iterator[Table]:
    """Builds and runs both plans."""
    small, large = scale.plans
    for gc_on in (False, True):
        table = Table(
            f"static layered plans, cap + tag + pool of {LIMIT}, garbage collector {'on' if gc_on else 'off'}",
            (("build µs/op", 2), ("run µs/op", 2), ("× smaller", 2), ("peak MiB", 0), ("shape alone MiB", 0)),
            note="a process for each; the peak has the plan, all values, and the run's tables in it",
        )
        few = _in_a_process(small, runs=max(1, 2 * scale.rounds), gc_on=gc_on)
        many = _in_a_process(large, runs=1 if scale.rounds == 1 else 3, gc_on=gc_on)
        for size, found in ((small, few), (large, many)):
            table.add(
                f"{size:,} ops", found["build"], found["run"], found["run"] / few["run"], found["peak"], found["bare"]
            )
        yield table


if __name__ == "__main__":
    print(json.dumps(built_and_run(int(sys.argv[1]), runs=int(sys.argv[2]), gc_on=sys.argv[3] == "on")))
