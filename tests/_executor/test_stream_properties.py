"""Random streams under random limits: they end, keep every limit, and give what plain loops would."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncflow import Deployment, OpStatus, RunStatus, Skip, TagLimit, each, graph, op, stream
from asyncflow.testing import run_virtual

pytestmark = pytest.mark.filterwarnings("ignore::asyncflow.UnusedResultWarning")  # a list may well be made for nobody


class World:
    """One random graph of sources, maps and readers, with limits.

    Args:
        seed: What it is made of.
        trouble: Whether items may fail, be skipped, or readers stop early.

    Two streams may wait for each other like any two ops that hold one thing and wait for another: the source of the
    first holds `p` and its items need `q`, with the second it is the other way round. That is a deadlock, and told as
    one. So a world has either one stream, all of it in pools, or several whose sides are in no pool; neither may ever
    deadlock.
    """

    def __init__(self, seed: int, *, trouble: bool) -> None:
        self.dice = random.Random(seed)
        self.trouble = trouble
        self.active: dict[str, int] = {}
        self.pools = {name: self.dice.randint(1, 3) for name in "pq"}
        self.cap = self.dice.choice([None, 1, 1, 2, 3])
        self.tag = self.dice.choice([None, 1, 2])
        self.problems: list[str] = []
        self.several = self.dice.random() < 0.5

    def busy(self, *names: str | None) -> Busy:
        """Counts an op as active for what it needs."""
        return Busy(self, [name for name in ("run", *names) if name is not None])

    def needs(self, *, side: bool = False) -> dict[str, Any]:
        """Returns random options of an op."""
        options: dict[str, Any] = {}
        if side and self.several:
            return options
        pool = self.dice.choice([None, None, "p", "q"])
        if pool is not None:
            options["pool"] = pool
        if self.dice.random() < 0.3:
            options["tags"] = {"kind": "x"}
        if self.dice.random() < 0.2:
            options["priority"] = self.dice.randint(-2, 2)
        return options

    def limits_of(self, options: dict[str, Any]) -> list[str | None]:
        """Returns what an op with these options is counted for."""
        return [options.get("pool"), "tag" if "tags" in options else None]

    def seconds(self) -> float:
        return self.dice.choice([0, 0, 0, 0.5, 1, 3])

    def source(self) -> Any:
        """Returns a source of numbers from `start`."""
        options, count = self.needs(side=True), self.dice.randint(0, 12)
        names = self.limits_of(options)
        breaks = self.dice.randint(0, 40) if self.trouble else 99

        async def numbers(start: int) -> AsyncIterator[int]:
            for i in range(count):
                with self.busy(*names):
                    await anyio.sleep(self.seconds())
                if i == breaks:
                    raise OSError("source")
                yield start + i

        made = op(numbers)
        return (made.options(**options) if options else made), lambda start: [start + i for i in range(count)]

    def mapped(self) -> Any:
        """Returns an op for one item."""
        options, factor = self.needs(), self.dice.randint(1, 5)
        names = self.limits_of(options)
        if self.dice.random() < 0.3:
            options["window"] = self.dice.randint(1, 5)

        async def work(x: int) -> int:
            with self.busy(*names):
                await anyio.sleep(self.seconds())
            if self.trouble and self.dice.random() < 0.03:
                raise ValueError("item")
            if self.trouble and self.dice.random() < 0.05:
                raise Skip("item")
            return x * factor + 1

        made = op(work)
        return (made.options(**options) if options else made), lambda x: x * factor + 1

    def reader(self) -> Any:
        """Returns an op that adds up what it reads."""
        options = self.needs(side=True)
        names = self.limits_of(options)
        stops = self.dice.randint(0, 15) if self.trouble else 99

        async def reduce(items: AsyncIterator[int]) -> int:
            found = read = 0
            async for item in items:
                with self.busy(*names):
                    await anyio.sleep(self.seconds())
                found += item
                read += 1
                if read == stops:
                    break
            return found

        made = op(reduce)
        return (made.options(**options) if options else made), sum

    def passing(self) -> Any:
        """Returns a source that reads a stream itself: every item, then ten times that."""
        options = self.needs(side=True)
        names = self.limits_of(options)

        async def passed(items: AsyncIterator[int]) -> AsyncIterator[int]:
            async for item in items:
                with self.busy(*names):
                    await anyio.sleep(self.seconds())
                yield item
                yield 10 * item

        made = op(passed)
        return (
            (made.options(**options) if options else made),
            lambda given: [y for x in given for y in (x, 10 * x)],
        )

    def collector(self) -> Any:
        """Returns an op that takes a whole list."""
        options = self.needs()
        names = self.limits_of(options)

        async def collect(items: list[int]) -> int:
            with self.busy(*names):
                await anyio.sleep(self.seconds())
            return sum(items)

        made = op(collect)
        return (made.options(**options) if options else made), sum

    def flow(self) -> tuple[Any, list[Any]]:
        """Returns a graph, and what it gives when nothing goes wrong."""
        dice = self.dice
        outputs: list[Any] = []
        expected: list[Any] = []
        sources = [self.source() for _ in range(dice.randint(1, 2) if self.several else 1)]
        steps: list[Any] = []  # what is wired, as closures over what was wired before

        def wire() -> list[Any]:
            outputs.clear()
            lists = [source(10 * k) for k, (source, _) in enumerate(sources)]
            for step in steps:
                step(lists)
            return [*lists[: dice_keep[0]], *outputs]

        plain: list[list[int]] = [made(10 * k) for k, (_, made) in enumerate(sources)]
        for _ in range(dice.randint(1, 5)):
            at = dice.randrange(len(plain))
            kind = dice.choice(["map", "map", "nest" if self.several else "map", "read", "collect", "pass"])
            if kind == "map":
                work, made = self.mapped()
                steps.append(lambda lists, at=at, work=work: lists.append(each(work, lists[at])))
                plain.append([made(x) for x in plain[at]])
            elif kind == "nest":
                (inner, made_inner), (work, made) = self.source(), self.mapped()
                collect, total = dice.choice([self.collector, self.reader])()
                reads = total is sum and collect.name == "reduce"
                nested = graph(nest_of(inner, work, collect, reads=reads))
                steps.append(lambda lists, at=at, nested=nested: lists.append(each(nested, lists[at])))
                plain.append([total([made(y) for y in made_inner(x)]) for x in plain[at]])
            elif kind == "pass":
                passed, made = self.passing()
                steps.append(lambda lists, at=at, passed=passed: lists.append(passed(stream(lists[at]))))
                plain.append(made(plain[at]))
            elif kind == "read":
                reduce, made = self.reader()
                steps.append(lambda lists, at=at, reduce=reduce: outputs.append(reduce(stream(lists[at]))))
                expected.append(made(plain[at]))
            else:
                collect, made = self.collector()
                steps.append(lambda lists, at=at, collect=collect: outputs.append(collect(lists[at])))
                expected.append(made(plain[at]))
        dice_keep = [dice.choice([0, 0, 1, len(plain)])]
        options: dict[str, Any] = {}
        if self.cap is not None:
            options["max_concurrent"] = self.cap
        if self.tag is not None:
            options["tag_concurrency_limits"] = [TagLimit("kind", limit=self.tag)]
        wire.__name__ = "flow"
        return graph(**options)(wire) if options else graph(wire), [*plain[: dice_keep[0]], *expected]


def nest_of(inner: Any, work: Any, last: Any, *, reads: bool) -> Any:
    """Returns the function of a graph that has a stream of its own."""

    def nest(x: int) -> int:
        results = each(work, inner(x))
        found: int = last(stream(results)) if reads else last(results)
        return found

    return nest


class Busy:
    """While entered, counts one op as active.

    Args:
        world: What it belongs to.
        names: The limits it is counted for.
    """

    def __init__(self, world: World, names: list[str]) -> None:
        self.world = world
        self.names = names

    def __enter__(self) -> None:
        world = self.world
        most = {"run": world.cap, "tag": world.tag, **world.pools}
        for name in self.names:
            count = world.active[name] = world.active.get(name, 0) + 1
            limit = most[name]
            if limit is not None and count > limit:
                world.problems.append(f"{count} ops are active under {name}, which allows {limit}")

    def __exit__(self, *args: object) -> None:
        for name in self.names:
            self.world.active[name] -= 1


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_random_streams_give_what_loops_give(seed: int) -> None:
    """Given no failures: the output is that of plain loops, every limit held at every moment, nothing is left."""
    world = World(seed, trouble=False)
    flow, expected = world.flow()

    async def main() -> None:
        async with Deployment("d", concurrency={"pools": {"limits": world.pools}}) as prod:
            with anyio.fail_after(100_000):
                assert await flow.on(prod).run() == expected
            assert all(limit.held == 0 for limit in prod.snapshot().limits)

    run_virtual(main, seed=seed)
    assert world.problems == []


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_random_streams_with_trouble_end(seed: int) -> None:
    """Given failures, skips, readers that stop, cancellation at a random time: the run ends, and nothing is left."""
    world = World(seed, trouble=True)
    flow, _ = world.flow()
    at = world.dice.choice([None, world.dice.random() * 30])

    async def main() -> None:
        async with Deployment("d", concurrency={"pools": {"limits": world.pools}}) as prod:
            with anyio.fail_after(100_000):
                run = flow.on(prod).start()
                if at is not None:
                    await anyio.sleep(at)
                    await run.cancel("enough")
                result = await run.result()
            assert all(limit.held == 0 for limit in prod.snapshot().limits)
            assert all(one.status not in {OpStatus.RUNNING, OpStatus.BLOCKED} for one in result.ops.values())
            failed = any(one.status is OpStatus.FAILED for one in result.ops.values())
            if at is None:
                assert result.status is (RunStatus.FAILED if failed else RunStatus.SUCCEEDED)

    run_virtual(main, seed=seed)
    assert world.problems == []
