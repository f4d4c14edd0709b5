"""Slots of pools for code outside graphs: blocks, and the interface of anyio's limiter."""

import asyncio
import math
import threading

import anyio
import anyio.to_thread
import pytest

from asyncflow import ConfigurationError, DeadlockError, DemandError, Deployment, graph, op
from asyncflow.testing import run_virtual


@op(pool="db")
async def query(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


def pools(**limits: object) -> dict[str, object]:
    return {"pools": {"limits": limits}}


def test_a_block_waits_in_line_with_ops() -> None:
    """A block that comes after an op waits for it, and the next op for the block; snapshots call it by its label."""
    prod = Deployment("prod", concurrency=pools(db=1))

    async def main() -> None:
        async with prod:
            first = query.start(1.0)
            await anyio.sleep(0.1)
            async with prod.slots("db", label="migration"):
                assert asyncio.get_running_loop().time() == 1.0
                second = query.start(1.0)
                await anyio.sleep(0.5)
                [holder] = prod.snapshot().limit("db").holders
                assert (holder.owner, holder.amount) == ("migration", 1)
                assert "migration" in str(prod.explain(second.id))
            await second
            assert asyncio.get_running_loop().time() == 2.5
            await first

    run_virtual(main)


def test_blocks_of_several_pools_never_deadlock() -> None:
    """Two blocks name two pools in opposite order, many times: all or nothing, so they take turns."""
    prod = Deployment("prod", concurrency=pools(a=1, b=1))
    inside: list[int] = []

    async def use(needs: dict[str, int]) -> None:
        for _ in range(20):
            async with prod.slots(needs):
                inside.append(1)
                assert len(inside) == 1
                await anyio.sleep(0.1)
                inside.pop()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(use, {"a": 1, "b": 1})
            group.start_soon(use, {"b": 1, "a": 1})

    run_virtual(main)


@pytest.mark.parametrize("delay", [0.0, 0.5, 1.0])
def test_a_cancelled_block_holds_nothing(delay: float) -> None:
    """Cancelled while it waits, or in the very turn of its grant: the next one gets the slot."""
    prod = Deployment("prod", concurrency=pools(db=1))

    async def wait(got: list[str], name: str) -> None:
        async with prod.slots("db"):
            got.append(name)

    async def main() -> None:
        got: list[str] = []
        async with anyio.create_task_group() as group, prod.slots("db"):
            first = asyncio.ensure_future(wait(got, "first"))
            group.start_soon(wait, got, "second")
            await anyio.sleep(delay)
            if delay < 1.0:
                first.cancel()
                await anyio.sleep(0.1)
        if delay == 1.0:
            first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await anyio.sleep(0.1)
        assert got[-1] == "second"
        view = prod.snapshot().limit("db")
        assert (view.held, view.waiters) == (0, ())

    run_virtual(main)


@pytest.mark.parametrize("turns", range(6))
def test_cancelled_around_the_turn_of_its_grant(turns: int) -> None:
    """Whatever the turn, the slot comes back."""
    prod = Deployment("prod", concurrency=pools(db=1))

    async def hold() -> None:
        async with prod.slots("db"):
            await anyio.sleep(1)

    async def main() -> None:
        holder = asyncio.ensure_future(hold())
        await anyio.sleep(0.1)
        waiter = asyncio.ensure_future(hold())
        await holder
        for _ in range(turns):
            await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        async with prod.slots("db"):
            assert asyncio.get_running_loop().time() <= 1.0

    run_virtual(main)


def test_inside_an_op_a_block_borrows_what_the_op_holds() -> None:
    """`db` is full with the op itself, and its block goes on: it is a child of the op."""
    prod = Deployment("prod", concurrency=pools(db=1))

    @op(pool="db")
    async def nested() -> str:
        async with prod.slots("db"):
            return "inside"

    @graph
    def job() -> str:
        return nested()

    assert run_virtual(job.on(prod).run) == "inside"


def test_inside_an_op_of_a_pool_that_does_not_lend_it_is_a_deadlock() -> None:
    """Told at once, with the chain, instead of waiting for itself."""
    prod = Deployment("prod", concurrency=pools(db={"limit": 1, "reentrant": False}))

    @op(pool="db")
    async def nested() -> None:
        async with prod.slots("db", label="inner"):
            pass

    with pytest.raises(DeadlockError, match=r"inner can never have its slots: .* holds db\(1\)"):
        run_virtual(nested.on(prod).run)


def test_wrong_input_is_named() -> None:
    """Before anything waits."""
    prod = Deployment("prod", concurrency=pools(db=2))

    async def main() -> None:
        with pytest.raises(DemandError, match="asks for 3 of 'db'"):
            async with prod.slots({"db": 3}):
                pass
        for bad in ({"pool": 3}, {"pool": {"db": 0}}, {"pool": "db", "weight": 0}, {"pool": "db", "priority": 1.5}):
            with pytest.raises(ConfigurationError):
                prod.slots(**bad)

    run_virtual(main)


def test_fair_keys_share_between_blocks() -> None:
    """Two tenants of equal weight get the slot in turns, however many blocks one of them has."""
    prod = Deployment("prod", concurrency=pools(db=1))
    order: list[str] = []

    async def use(tenant: str) -> None:
        async with prod.slots("db", fair_key=tenant):
            order.append(tenant)
            await anyio.sleep(1)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for tenant in ["a"] * 6 + ["b"] * 3:
                group.start_soon(use, tenant)

    run_virtual(main)
    assert "".join(order) == "abababaaa"


# ── the limiter ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_threads_under_a_pool() -> None:
    """`anyio.to_thread.run_sync(limiter=…)` waits for the pool, in line with ops."""
    prod = Deployment("prod", concurrency=pools(db=2))
    limiter = prod.limiter("db")
    lock = threading.Lock()
    meeting = threading.Barrier(2, timeout=60)
    running: list[int] = []
    peaks: list[int] = []

    def work() -> None:
        with lock:
            running.append(1)
            peaks.append(len(running))
        meeting.wait()  # two at a time, or nobody goes on
        with lock:
            running.pop()

    async def use() -> None:
        await anyio.to_thread.run_sync(work, limiter=limiter)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(use)
        assert limiter.borrowed_tokens == 0

    anyio.run(main)
    assert len(peaks) == 10
    assert max(peaks) == 2


def test_a_limiter_counts_what_ops_hold() -> None:
    """Tokens are slots of the pool, whoever has them."""
    prod = Deployment("prod", concurrency=pools(db=1))

    async def main() -> None:
        limiter = prod.limiter("db")
        async with prod:
            run = query.start(1.0)
            await anyio.sleep(0.5)
            assert (limiter.borrowed_tokens, limiter.available_tokens, limiter.total_tokens) == (1, 0, 1)
            with pytest.raises(anyio.WouldBlock):
                limiter.acquire_nowait()
            async with limiter:
                assert asyncio.get_running_loop().time() == 1.0
                with pytest.raises(RuntimeError, match="already holding"):
                    await limiter.acquire()
                assert limiter.statistics().borrowers != ()
            with pytest.raises(RuntimeError, match="isn't holding"):
                limiter.release()
            limiter.acquire_on_behalf_of_nowait("me")
            assert limiter.statistics().borrowers == ("me",)
            limiter.release_on_behalf_of("me")
            await run

    run_virtual(main)


def test_total_tokens_tune_the_pool() -> None:
    """Setting them is tuning; infinite is unlimited, a fraction is refused."""
    prod = Deployment("prod", concurrency=pools(db=1))

    async def main() -> None:
        limiter = prod.limiter("db")
        limiter.total_tokens = 5
        assert prod.snapshot().limit("db").capacity == 5
        limiter.total_tokens = math.inf
        assert prod.snapshot().limit("db").capacity is None
        with pytest.raises(TypeError):
            limiter.total_tokens = 1.5
        with pytest.raises(ConfigurationError):
            limiter.total_tokens = -1

    run_virtual(main)
