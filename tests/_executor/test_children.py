"""Children: ops and graphs that an op runs, under the same limits, borrowing what their parent holds."""

import anyio
import pytest

from asyncflow import DeadlockError, Deployment, RunStatus, each, graph, op
from asyncflow.testing import peak, run_virtual


@op(pool="db")
async def query(x: int) -> int:
    await anyio.sleep(1)
    return x * 2


@op(pool="db")
async def parent(x: int) -> int:
    return await query.run(x) + await query.run(x + 1)


@graph
def family() -> int:
    return parent(1)


def deployment(**pool: object) -> Deployment:
    return Deployment("d", concurrency={"pools": {"limits": {"db": {"limit": 1, **pool}}}})


def test_a_child_borrows_its_parents_slot() -> None:
    """Row 41: a pool of one, parent and child both need it: the child borrows; keys say whose child it is."""
    result = run_virtual(family.on(deployment()).try_run)
    assert (result.output, result.seconds) == (2 + 4, 2.0)
    assert list(result.ops) == ["parent", "parent/query", "parent/query#2"]


def test_children_borrow_the_place_in_the_run() -> None:
    """max_concurrent=1: parent and child share the one place."""
    result = run_virtual(family.options(max_concurrent=1).try_run)
    assert (result.output, result.status) == (6, RunStatus.SUCCEEDED)


def test_a_pool_that_never_lends_gives_deadlock_at_once() -> None:
    """Row 41: reentrant=False and nothing else free: DeadlockError with the chain, at once."""
    result = run_virtual(family.on(deployment(reentrant=False)).try_run)
    (error,) = result.errors
    assert isinstance(error, DeadlockError)
    assert "db" in " ".join(error.chain)
    assert result.seconds == 0.0


def test_two_runs_in_a_cycle() -> None:
    """Row 42: two holders wait for each other's pool through children: the youngest gets DeadlockError."""

    def holder(own: str, other: str):
        child = query.options(pool=other, name=f"child-{other}")

        @op(pool=own)
        async def hold() -> int:
            await anyio.sleep(1)
            return await child.run(1)

        return hold

    first, second = holder("a", "b"), holder("b", "a")

    @graph
    def one() -> int:
        return first()

    @graph
    def two() -> int:
        return second()

    async def main():
        prod = Deployment("d", concurrency={"pools": {"limits": {"a": 1, "b": 1}}})
        results = []

        async def run(which):
            results.append(await which.on(prod).try_run())

        async with anyio.create_task_group() as group:
            group.start_soon(run, one)
            group.start_soon(run, two)
        return {result.graph: result.status.value for result in results}, anyio.current_time()

    statuses, now = run_virtual(main)
    assert (sorted(statuses.values()), now) == (["FAILED", "SUCCEEDED"], 2.0)


def test_children_that_outlive_the_body_are_waited_for() -> None:
    """A child still running when the body returns is waited for; the slot is kept till then."""
    import asyncio

    @op(pool="db")
    async def forgetful() -> str:
        task = asyncio.ensure_future(query.run(1))
        await asyncio.sleep(0.5)
        kept.append(task)
        return "done"

    kept: list[object] = []

    @graph
    def one() -> str:
        return forgetful()

    result = run_virtual(one.on(deployment()).try_run)
    assert (result.output, result.seconds) == ("done", 1.0)
    assert {key: r.status.value for key, r in result.ops.items()} == {
        "forgetful": "SUCCEEDED",
        "forgetful/query": "SUCCEEDED",
    }


def test_children_are_cancelled_where_the_body_raises() -> None:
    """A body that raises while a child runs: the child is cancelled first."""
    import asyncio

    @op
    async def hasty() -> None:
        task = asyncio.ensure_future(query.run(1))
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.sleep(0.25)
        raise ValueError("too late")

    @graph
    def one() -> None:
        hasty()

    result = run_virtual(one.on(deployment()).try_run)
    assert (result.seconds, result.ops["hasty/query"].status.value) == (0.25, "CANCELED")


def test_graphs_as_children_and_ten_at_once() -> None:
    """An op runs a graph of its own pool ten times over, at once: never above the limit, never stuck."""

    @graph
    def inner(xs: list[int]) -> list[int]:
        return each(query, xs)

    @op(pool="db")
    async def outer(n: int) -> int:
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(inner.run, [1, 2])
        return n

    @graph
    def all_of() -> list[int]:
        return [outer(n) for n in range(10)]

    prod = Deployment("d", concurrency={"pools": {"limits": {"db": 2}}})
    result = run_virtual(all_of.on(prod).try_run)
    assert result.status is RunStatus.SUCCEEDED
    assert "outer/inner/query[0]" in result.ops
    assert "outer/inner#2/query[1]" in result.ops
    assert peak(result, pool="db") >= 2


def test_a_failing_child_is_the_parents_to_handle() -> None:
    """A child's failure reaches the body; what the body catches does not fail the run."""

    @op
    async def fails() -> int:
        raise LookupError("x")

    @op
    async def catches() -> int:
        with pytest.raises(LookupError):
            await fails.run()
        return 5

    @graph
    def one() -> int:
        return catches()

    result = run_virtual(one.try_run)
    assert (result.status, result.output) == (RunStatus.SUCCEEDED, 5)
    assert result.ops["catches/fails"].status.value == "FAILED"


def test_a_cancelled_op_does_not_spin_over_what_it_gathers() -> None:
    """`gather` and `TaskGroup` in an op that is cancelled, over children that clean up for long: time goes on."""
    import asyncio

    @op
    async def careful() -> None:
        try:
            await anyio.sleep(9)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)

    @op(pool="db")
    async def gathers() -> None:
        await asyncio.gather(careful.run(), careful.run())

    @op(pool="db")
    async def groups() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(careful.run())
            group.create_task(careful.run())

    async def main(which) -> tuple[str, float, list[str]]:
        prod = deployment()
        async with prod:
            run = which.on(prod).start()
            await anyio.sleep(1)
            await run.cancel()
            result = await run.result()
            return result.status.value, result.seconds, [limit.name for limit in prod.snapshot().limits if limit.held]

    for which in (gathers, groups):
        assert run_virtual(main, which) == ("CANCELED", 3.0, [])
