"""Diamond: five ops from start to value, one run after another and many together."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from benchmarks import by_hand
from benchmarks.rounds import Contender, in_turns
from benchmarks.scale import Scale
from benchmarks.shapes import DIAMOND, noop
from benchmarks.table import Table
from benchmarks.wired import deployment_of, wired

FLOOR = "by hand: a task per op (the floor)"


def ways() -> dict[str, Callable[[], Coroutine[Any, Any, int]]]:
    """Returns all ways to run a diamond once; each gives the value of its last op."""

    async def counter() -> int:
        return (await by_hand.floor(DIAMOND, noop))[-1]

    async def gathered() -> int:
        return await by_hand.diamond(noop)

    def run_of(*, static: bool, limit: int | None) -> Callable[[], Coroutine[Any, Any, int]]:
        bound = wired(DIAMOND, noop, limit=limit, static=static).on(deployment_of(limit))

        async def run() -> int:
            return (await bound.run())[-1]

        return run

    return {
        FLOOR: counter,
        "by hand: gather": gathered,
        "static: no limits": run_of(static=True, limit=None),
        "static: cap + tag + pool": run_of(static=True, limit=100_000),
        "wired: no limits": run_of(static=False, limit=None),
        "wired: cap + tag + pool": run_of(static=False, limit=100_000),
    }


def measure_diamond(scale: Scale) -> Iterator[Table]:
    """One run after another, then many together."""

    def repeated(run: Callable[[], Coroutine[Any, Any, int]]) -> Contender:
        async def many() -> int:
            return sum([await run() for _ in range(scale.repeats)])

        return many

    def together(run: Callable[[], Coroutine[Any, Any, int]]) -> Contender:
        return lambda: by_hand.at_once(scale.at_once, run)

    for title, make, count, rounds in (
        ("diamond of 5 ops, start to value, one after another", repeated, scale.repeats, scale.rounds),
        (f"{scale.at_once:,} diamonds at once", together, scale.at_once, max(1, scale.rounds // 3)),
    ):
        contenders = {name: make(run) for name, run in ways().items()}
        found = in_turns(contenders, rounds=rounds, clock=scale.clock, expected=count)
        table = Table(title, (("µs/run", 1), ("× floor", 2)))
        for name in contenders:
            table.add(name, found.seconds(name) / count * 1e6, found.ratio(name, FLOOR))
        yield table
