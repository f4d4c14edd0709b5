"""Values: dropped after their last reader, kept where somebody still needs them; contexts; sizes."""

import contextvars
import gc
import sys
import weakref

import anyio
import pytest

from asyncflow import RunStatus, apply, each, graph, op, when
from asyncflow.testing import run_virtual


class Big:
    """Something a weak reference can watch."""


def test_values_are_released_after_their_last_reader() -> None:
    """Row 32: while the last op runs, nothing refers to what the first one gave."""
    alive: list[weakref.ref[Big]] = []
    seen: list[bool] = []

    @op
    async def make() -> Big:
        big = Big()
        alive.append(weakref.ref(big))
        return big

    @op
    async def use(big: Big) -> int:
        return 1

    @op
    async def last(x: int) -> int:
        await anyio.sleep(1)
        gc.collect()
        seen.append(alive[0]() is None)
        return x

    @graph
    def chain() -> int:
        return last(use(make()))

    assert (run_virtual(chain.run), seen) == (1, [True])


def test_contextvars_of_the_caller_are_visible_and_isolated() -> None:
    """Row 30: ops see the caller's context; what one sets, no other sees, even on the same worker."""
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")

    @op
    async def peek(x: str, suspend: bool) -> str:
        before = who.get()
        who.set(x)
        if suspend:
            await anyio.sleep(1)
        return f"{before} {who.get()}"

    @op
    def peek_thread(x: str) -> str:
        return who.get()

    @graph
    def several() -> list[str]:
        return [peek("a", False), peek("b", True), peek("c", False), peek_thread("d")]

    async def main() -> list[str]:
        who.set("caller")
        return [*await several.run(), who.get()]

    assert run_virtual(main) == ["caller a", "caller b", "caller c", "caller", "caller"]


@pytest.mark.parametrize("count", [0, 1, 10_000])
def test_sizes(count: int) -> None:
    """Row 17: none, one, and ten thousand ops into one list."""

    @op
    async def one(x: int) -> int:
        return x

    @graph
    def wide(n: int) -> int:
        return apply(sum, [one(i) for i in range(n)])

    assert run_virtual(wide.run, count) == sum(range(count))


def test_a_chain_of_100000_ops() -> None:
    """Row 17: depth 10⁵ runs without recursion."""

    @op
    async def inc(x: int) -> int:
        return x + 1

    @graph(max_concurrent=2)
    def deep(n: int) -> int:
        x: int = 0
        for _ in range(n):
            x = inc(x)
        return x

    assert run_virtual(deep.run, 100_000) == 100_000


def test_when_runs_one_branch_and_skips_the_other() -> None:
    """Ops made inside the branch not taken are SKIPPED; ops made outside always run."""

    @op
    async def give(x: int) -> int:
        return x

    @graph
    def choose(n: int) -> int:
        outside = give.options(name="outside")(7)
        return when(give(n) > 5, lambda: give.options(name="big")(outside), lambda: give.options(name="small")(2))

    result = run_virtual(choose.try_run, 9)
    assert (result.output, {k: r.status.value for k, r in result.ops.items()}) == (
        7,
        {"outside": "SUCCEEDED", "give": "SUCCEEDED", "big": "SUCCEEDED", "small": "SKIPPED"},
    )
    assert run_virtual(choose.try_run, 1).output == 2


def test_each_over_a_promise_nested_and_chained() -> None:
    """Maps over lists known at run time, chained and nested; keys name the items."""

    @op
    async def split(n: int) -> list[int]:
        return list(range(n))

    @op
    async def double(x: int) -> int:
        return 2 * x

    @op
    async def add(a: int, b: int) -> int:
        return a + b

    @graph
    def sub(n: int) -> list[int]:
        return each(double, split(n))

    @graph
    def whole(n: int) -> list[list[int]]:
        return each(sub, each(double, split(n)))

    @graph
    def chained(n: int) -> list[int]:
        return each(add, each(double, split(n)), double(100))

    result = run_virtual(whole.try_run, 3)
    assert result.output == [[], [0, 2], [0, 2, 4, 6]]
    assert "sub[2]/double[3]" in result.ops
    assert result.status is RunStatus.SUCCEEDED
    assert run_virtual(chained.run, 3) == [200, 202, 204]
    assert run_virtual(chained.run, 0) == []


def test_static_graphs_run_with_other_inputs_each_time() -> None:
    """A static graph is wired once; inputs come at the start of each run, many at once."""
    wired: list[int] = []

    @op
    async def inc(x: int) -> int:
        await anyio.sleep(0.01)
        return x + 1

    @graph(static=True)
    def plus_two(x: int, y: int = 10) -> int:
        wired.append(1)
        return inc(inc(x)) + y

    async def many() -> list[int]:
        results: list[int] = [0] * 1000

        async def one(i: int) -> None:
            results[i] = await plus_two.run(i)

        async with anyio.create_task_group() as group:
            for i in range(1000):
                group.start_soon(one, i)
        return results

    assert run_virtual(many) == [i + 12 for i in range(1000)]
    assert run_virtual(plus_two.run, 1, 1) == 4
    assert len(wired) == 1


def test_no_task_is_left_when_run_returns() -> None:
    """The very turn `run` returns, no worker is left."""
    import asyncio

    @op
    async def work(x: int) -> int:
        await anyio.sleep(1)
        return x

    @graph
    def some() -> list[int]:
        return [work(i) for i in range(5)]

    async def main() -> int:
        await some.run()
        return len(asyncio.all_tasks())

    assert run_virtual(main) == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_eager_tasks() -> None:
    """Row 57: with asyncio's eager task factory the same values come out."""
    import asyncio

    @op
    async def work(x: int) -> int:
        await anyio.sleep(1)
        return x

    @graph(max_concurrent=2)
    def some() -> list[int]:
        return [work(i) for i in range(5)]

    async def main() -> tuple[list[int], float]:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        return await some.run(), anyio.current_time()

    assert run_virtual(main) == ([0, 1, 2, 3, 4], 3.0)


def test_an_empty_list_inside_a_mapped_graph() -> None:
    """What follows an `each` over nothing, inside the items of a dynamic `each`, runs once for each item."""
    calls: list[int] = []

    @op
    async def listed(n: int) -> list[int]:
        return list(range(n))

    @op
    async def same(x: int) -> int:
        return x

    @op
    async def total(xs: list[int]) -> int:
        calls.append(len(xs))
        return sum(xs)

    @graph
    def nothing(x: int) -> int:
        return total(each(same, []))

    @graph
    def outer(n: int) -> list[int]:
        return each(nothing, listed(n))

    result = run_virtual(outer.try_run, 3)
    assert (result.status, result.output, calls) == (RunStatus.SUCCEEDED, [0, 0, 0], [0, 0, 0])
