"""Deployments whose pools a backend counts: what holds across them, and what happens when it is away or forgets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import anyio
import pytest

from asyncflow import (
    ConfigurationError,
    DemandError,
    Deployment,
    LeaseLost,
    PoolBackendUnavailable,
    Retry,
    RunFailed,
    RunResult,
    context,
    each,
    graph,
    op,
)
from asyncflow.events import Event, LeaseLapsed, PoolBackendAway, PoolBackendBack, PoolConflict
from asyncflow.pools import (
    Batch,
    MemoryPools,
    PoolSpec,
    Reply,
    SessionGrant,
    SessionSpec,
    Snapshot,
    backend_of,
)
from asyncflow.testing import run_virtual
from tests.faults.injection import cancelled_at


class Meter:
    """Counts who is inside at once."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0

    def enter(self, units: int = 1) -> None:
        self.inside += units
        self.most = max(self.most, self.inside)

    def leave(self, units: int = 1) -> None:
        self.inside -= units


METER = Meter()


@pytest.fixture(autouse=True)
def fresh_meter() -> None:
    """Counts anew for each test."""
    METER.inside = METER.most = 0


@op(pool="db")
async def query(seconds: float) -> float:
    METER.enter()
    try:
        await anyio.sleep(seconds)
    finally:
        METER.leave()
    return seconds


@graph
def queries(seconds: list[float]) -> list[float]:
    return each(query, seconds)


def shared(backend: MemoryPools, name: str = "prod", *, db: object = 2, **options: Any) -> Deployment:
    """A deployment with its pools at `backend`; all meet in one namespace."""
    limits = {} if db is None else {"db": db}
    concurrency = {"pools": {"limits": limits}}
    return Deployment(name, concurrency=concurrency, pools=backend, namespace="test", **options)


async def left(backend: MemoryPools) -> list[str]:
    """Returns the tickets that are still there."""
    return [ticket.ticket for ticket in (await backend.snapshot("test")).tickets]


class Moody(MemoryPools):
    """A backend that does not answer while it is `down`."""

    down = False
    asked = 0

    async def open(self, session: SessionSpec, pools: Sequence[PoolSpec] = ()) -> SessionGrant:
        self.look()
        return await super().open(session, pools)

    async def exchange(self, session_id: str, batch: Batch) -> Reply:
        self.look()
        return await super().exchange(session_id, batch)

    async def snapshot(self, namespace: str, *, limit: int = 100, after: int | None = None) -> Snapshot:
        self.look()
        return await super().snapshot(namespace, limit=limit, after=after)

    def look(self) -> None:
        self.asked += 1
        if self.down:
            raise PoolBackendUnavailable("nobody there")


def test_a_limit_holds_over_all_deployments_of_a_backend() -> None:
    """Three deployments with one backend and a pool of 2: never more than 2 at once in all; each gets its results."""

    async def main() -> float:
        backend = MemoryPools()

        async def replica(name: str) -> list[float]:
            async with shared(backend.twin(), name) as prod:
                return await queries.on(prod).run([1.0] * 4)

        values = await asyncio.gather(*[replica(f"replica-{number}") for number in range(3)])
        assert values == [[1.0] * 4] * 3
        assert await left(backend) == []
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 6.0
    assert METER.most == 2


def test_who_has_the_higher_run_priority_comes_first_also_across_processes() -> None:
    """A run of priority 5 in one deployment starts before the waiting ops of a run of priority 0 in another."""
    ended: list[str] = []

    @op(pool="db")
    async def named(name: str) -> None:
        await anyio.sleep(1)
        ended.append(name)

    async def main() -> None:
        backend = MemoryPools()
        async with shared(backend.twin(), "a", db=1) as first, shared(backend.twin(), "b", db=1) as second:
            runs = [named.on(first).start("low 1")]
            await anyio.sleep(0.1)
            runs.append(named.on(first).start("low 2"))
            await anyio.sleep(0.1)
            runs.append(named.options(priority=5).on(second).start("high"))
            for run in runs:
                await run.result()

    run_virtual(main)
    assert ended == ["low 1", "high", "low 2"]


def test_a_child_borrows_what_its_parent_holds_there() -> None:
    """An op that holds the only slot and awaits an op of the same pool: no deadlock, and one slot is taken in all."""

    @op(pool="db")
    async def outer() -> float:
        METER.enter()
        try:
            return await query.run(1.0)
        finally:
            METER.leave()

    async def main() -> None:
        backend = MemoryPools()
        async with shared(backend, db=1) as prod:
            assert await outer.on(prod).run() == 1.0
            await anyio.sleep(0.1)
            assert await left(backend) == []

    run_virtual(main)


def test_weights_keys_and_several_pools_are_taken_at_once_or_not_at_all() -> None:
    """Ops of {"db": 2, "api:x": 1} and {"db": 1, "api:y": 1}: each limit holds, per key too; nobody waits for ever."""
    inside: dict[str, int] = {"db": 0, "x": 0, "y": 0}

    @op(pool=lambda key, slots: {"db": slots, f"api:{key}": 1})
    async def both(key: str, slots: int) -> None:
        inside["db"] += slots
        inside[key] += 1
        assert inside["db"] <= 3
        assert inside[key] <= 1
        await anyio.sleep(1)
        inside["db"] -= slots
        inside[key] -= 1

    @graph
    def many() -> list[object]:
        return [both(key=key, slots=slots) for key, slots in [("x", 2), ("y", 1)] * 5]

    async def main() -> None:
        backend = MemoryPools()
        limits = {"pools": {"limits": {"db": 3, "api": {"limit": 5, "per_key": 1}}}}
        async with Deployment("prod", concurrency=limits, pools=backend, namespace="test") as prod:
            await many.on(prod).run()
            assert asyncio.get_running_loop().time() == 5.0
            await anyio.sleep(0.1)
            assert await left(backend) == []

    run_virtual(main)


def test_ops_of_a_pool_of_which_nobody_has_said_anything_are_not_limited() -> None:
    """Nobody gave the pool a limit: the backend counts its users and holds nobody up."""

    async def main() -> None:
        backend = MemoryPools()
        async with shared(backend, db=None) as prod:
            await queries.on(prod).run([1.0] * 50)
            assert asyncio.get_running_loop().time() == 1.0

    run_virtual(main)
    assert METER.most == 50


def test_what_one_deployment_tunes_holds_for_all() -> None:
    """Raised by one, a limit holds at once for the other; set to 0 nothing starts; unset it is as defined."""

    async def main() -> None:
        backend = MemoryPools()
        async with shared(backend.twin(), "a", db=1) as first, shared(backend.twin(), "b", db=1) as second:
            run = queries.on(second).start([1.0] * 9)
            await anyio.sleep(0.5)
            assert METER.inside == 1
            await first.tune(pools={"db": 3})
            await anyio.sleep(0.1)
            assert METER.inside == 3
            await first.tune(pools={"db": 0})
            await anyio.sleep(3)
            assert METER.inside == 0
            assert "db" in str(second.explain(run.id))
            await second.tune(pools={"db": "default"})
            assert (await backend.snapshot("test")).pools[0].quota.limit == 1
            await run.result()

    run_virtual(main)
    assert METER.most == 3


def test_a_pool_paused_by_one_starts_nothing_in_the_other() -> None:
    """Paused and resumed in one deployment, it is so in the other, for ops that come later too."""

    async def main() -> None:
        backend = MemoryPools()
        async with shared(backend.twin(), "a") as first, shared(backend.twin(), "b") as second:
            first.pause(pool="db")
            await anyio.sleep(0.1)
            run = query.on(second).start(1.0)
            await anyio.sleep(10)
            assert METER.most == 0
            first.resume(pool="db")
            await run.result()

    run_virtual(main)


def test_the_latest_definition_counts_and_the_conflict_is_told() -> None:
    """Two deployments define a pool differently: the later one's number holds for both, and it is told once."""
    events: list[Event] = []

    async def main() -> None:
        backend = MemoryPools()
        async with shared(backend.twin(), "a", db=1) as first:
            second = shared(backend.twin(), "b", db=4)
            second.subscribe(events.append)
            async with second:
                await queries.on(first).run([1.0] * 8)

    run_virtual(main)
    assert METER.most == 4
    [conflict] = [event for event in events if isinstance(event, PoolConflict)]
    assert (conflict.pool, conflict.limit_before, conflict.limit) == ("db", 1, 4)


def test_an_op_that_asks_for_more_than_the_pool_gives_there_is_refused() -> None:
    """Code that says 5 meets an explicit limit of 2 at the backend: an op of 3 slots fails with DemandError."""

    @op(pool={"db": 3})
    async def wide() -> None: ...

    async def main() -> None:
        backend = MemoryPools()
        async with shared(backend.twin(), "a", db=5) as first, shared(backend.twin(), "b", db=5) as second:
            await first.tune(pools={"db": 2})
            with pytest.raises(DemandError, match="'db'"):
                await wide.on(second).run()
            assert await left(backend) == []

    run_virtual(main)


def test_slots_are_counted_there_too() -> None:
    """Blocks of `slots()` in two deployments take turns on one slot."""

    async def main() -> None:
        backend = MemoryPools()

        async def use(prod: Deployment) -> None:
            for _ in range(3):
                async with prod.slots("db"):
                    METER.enter()
                    await anyio.sleep(1)
                    METER.leave()

        async with shared(backend.twin(), "a", db=1) as first, shared(backend.twin(), "b", db=1) as second:
            await asyncio.gather(use(first), use(second))
            await anyio.sleep(0.1)
            assert await left(backend) == []

    run_virtual(main)
    assert METER.most == 1


def test_nothing_runs_before_such_a_deployment_is_opened() -> None:
    """`run` on a deployment that is not open, with its pools elsewhere, is refused and says what to do."""

    async def main() -> None:
        with pytest.raises(ConfigurationError, match="async with"):
            await query.on(shared(MemoryPools())).run(1.0)

    run_virtual(main)


@pytest.mark.parametrize(
    ("option", "value"),
    [("pools", "mysql://x"), ("pools", 5), ("lease_ttl", 0), ("lease_ttl", 10**6), ("unavailable_after", -1)],
)
def test_options_that_cannot_be_meant_are_refused(option: str, value: object) -> None:
    """Each wrong option is named."""
    with pytest.raises(ConfigurationError, match=option):
        Deployment("prod", **{"pools": MemoryPools(), option: value})  # type: ignore[arg-type]  # wrong on purpose


def test_a_password_in_an_address_is_not_told() -> None:
    """The message about a wrong address has no password of it."""
    with pytest.raises(ConfigurationError) as raised:
        backend_of("mysql://me:hunter2@host/db?password=hunter3")
    assert "hunter" not in str(raised.value)


# ── away ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_backend_that_is_away_for_a_while_costs_nothing_but_time() -> None:
    """Away for 5 s in mid-run: what runs goes on, what waits waits, and no op runs twice."""
    began: list[float] = []
    events: list[Event] = []

    @op(pool="db")
    async def counted(number: float) -> float:
        began.append(number)
        await anyio.sleep(1)
        return number

    @graph
    def all_of_them(numbers: list[float]) -> list[float]:
        return each(counted, numbers)

    async def main() -> None:
        backend = Moody()
        prod = shared(backend)
        prod.subscribe(events.append)
        async with prod:
            run = all_of_them.on(prod).start([float(number) for number in range(10)])
            await anyio.sleep(1.5)
            backend.down = True
            await anyio.sleep(5)
            backend.down = False
            assert await run == [float(number) for number in range(10)]

    run_virtual(main)
    assert sorted(began) == [float(number) for number in range(10)]
    assert len([event for event in events if isinstance(event, PoolBackendAway)]) == 1
    assert len([event for event in events if isinstance(event, PoolBackendBack)]) == 1


def test_a_backend_that_stays_away_is_named_within_the_stated_time() -> None:
    """Away for longer than `unavailable_after`: ops that wait fail with the named error, all local is given back."""

    async def main() -> None:
        backend = Moody()
        async with shared(backend, unavailable_after=10.0) as prod:
            run = queries.options(max_concurrent=3).on(prod).start([1.0] * 5)
            await anyio.sleep(0.5)
            backend.down = True
            now = asyncio.get_running_loop().time()
            with pytest.raises(RunFailed) as raised:
                await run
            waited = asyncio.get_running_loop().time() - now
            assert 10.0 <= waited < 13.0
            assert all(isinstance(error, PoolBackendUnavailable) for error in raised.value.exceptions)
            assert all(not limit.held and not limit.waiters for limit in prod.snapshot().limits)
            backend.down = False

    run_virtual(main)


def test_a_block_and_a_queued_run_end_with_that_error_too() -> None:
    """`slots()` and a run that waits for a pool of granularity run raise PoolBackendUnavailable."""

    async def main() -> None:
        backend = Moody()
        limits = {"limit": 1, "granularity": "run"}
        async with shared(backend, db=limits, unavailable_after=5.0) as prod:
            backend.down = True
            with pytest.raises(PoolBackendUnavailable, match="nobody there"):
                async with prod.slots("db"):
                    raise AssertionError
            with pytest.raises(PoolBackendUnavailable, match="nobody there"):
                await query.on(prod).run(1.0)
            backend.down = False

    run_virtual(main)


def test_a_deployment_does_not_open_where_the_backend_is_away() -> None:
    """Opening raises, nothing stays open, and it can be opened later."""

    async def main() -> None:
        backend = Moody()
        backend.down = True
        prod = shared(backend)
        with pytest.raises(PoolBackendUnavailable):
            await prod.__aenter__()
        assert not prod.is_open
        backend.down = False
        async with prod:
            assert await query.on(prod).run(1.0) == 1.0

    run_virtual(main)


# ── lost ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def forget(backend: MemoryPools) -> None:
    """Lets the backend forget every session, as after a flush."""
    for session in {ticket.session for ticket in (await backend.snapshot("test")).tickets}:
        await backend.close(session)


def test_an_op_whose_lease_is_lost_is_cancelled_with_lease_lost() -> None:
    """The backend forgets the session: running ops fail with LeaseLost; waiting ones go on in a new session."""
    events: list[Event] = []

    async def main() -> RunResult[list[float]]:
        backend = MemoryPools()
        prod = shared(backend)
        prod.subscribe(events.append)
        async with prod:
            run = queries.options(on_error="continue").on(prod).start([10.0] * 4)
            await anyio.sleep(1)
            await forget(backend)
            await anyio.sleep(5)
            result = await run.result()
            await anyio.sleep(0.1)
            assert await left(backend) == []
            return result

    result = run_virtual(main)
    lost = [error for error in result.errors if isinstance(error, LeaseLost)]
    assert len(lost) == 2
    assert all(error.pool == "db" and error.fence > 0 for error in lost)
    assert len([event for event in events if isinstance(event, LeaseLapsed)]) == 2


def test_a_retry_asks_again_after_a_lost_lease() -> None:
    """An op with retries whose lease is lost takes another one."""

    @op(pool="db", retry=Retry(max_retries=1))
    async def again() -> int:
        await anyio.sleep(5)
        return context().attempt

    async def main() -> None:
        backend = MemoryPools()
        async with shared(backend) as prod:
            run = again.on(prod).start()
            await anyio.sleep(1)
            await forget(backend)
            assert await run == 2

    run_virtual(main)


@pytest.mark.parametrize("policy", ["warn", "ignore"])
def test_an_op_goes_on_where_its_pool_says_so(policy: str) -> None:
    """With `on_lease_lost` "warn" or "ignore" the op ends as if nothing were, and the loss is an event."""
    events: list[Event] = []

    async def main() -> None:
        backend = MemoryPools()
        prod = shared(backend, db={"limit": 1, "on_lease_lost": policy})
        prod.subscribe(events.append)
        async with prod:
            run = query.on(prod).start(5.0)
            await anyio.sleep(1)
            await forget(backend)
            assert await run == 5.0

    run_virtual(main)
    assert [type(event) for event in events if isinstance(event, LeaseLapsed)] == [LeaseLapsed]


def test_a_block_whose_lease_is_lost_raises_lease_lost() -> None:
    """What is inside `slots()` is cancelled, and the block raises LeaseLost, not a cancellation."""

    async def main() -> None:
        backend = MemoryPools()
        async with shared(backend) as prod:

            async def hold() -> None:
                async with prod.slots("db"):
                    await anyio.sleep(100)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(forget_soon, backend)
                with pytest.raises(LeaseLost, match="db"):
                    await hold()
            assert asyncio.get_running_loop().time() < 10

    run_virtual(main)


async def forget_soon(backend: MemoryPools) -> None:
    """Forgets every session in a second."""
    await anyio.sleep(1)
    await forget(backend)


def test_what_an_operator_takes_away_is_lost() -> None:
    """A revoked ticket ends its op with LeaseLost; the slot goes to the next."""

    async def main() -> None:
        backend = MemoryPools()
        async with shared(backend, db=1) as prod:
            first = query.on(prod).start(100.0)
            await anyio.sleep(1)
            second = query.on(prod).start(1.0)
            await anyio.sleep(1)
            [held] = [ticket for ticket in (await backend.snapshot("test")).tickets if ticket.state == "held"]
            operator = SessionSpec("operator", "test")
            await backend.open(operator)
            await backend.exchange("operator", Batch(revoke=(held.ticket,)))
            with pytest.raises(LeaseLost, match="operator"):
                await first
            assert await second == 1.0

    run_virtual(main)


def test_the_context_knows_the_lease() -> None:
    """`context().leases` has the pool, a fence that grows, the time left, and can ask the backend."""
    fences: list[int] = []

    @op(pool="db")
    async def fenced() -> None:
        [(name, lease)] = context().leases.items()
        assert (name, lease.pool) == ("db", "db")
        assert 0 < lease.remaining() <= 15
        await lease.check()
        fences.append(lease.fence)

    @op(pool="db")
    async def losing(backend: Any) -> None:
        lease = context().leases["db"]
        await forget(backend)
        with anyio.CancelScope(shield=True), pytest.raises(LeaseLost):
            await lease.check()
        assert lease.remaining() == 0
        await anyio.sleep(100)

    async def main() -> None:
        backend = MemoryPools()
        async with shared(backend) as prod:
            for _ in range(3):
                await fenced.on(prod).run()
            with pytest.raises(LeaseLost):
                await losing.on(prod).run(backend)

    run_virtual(main)
    assert fences == sorted(set(fences))


def test_an_op_can_give_back_early() -> None:
    """`context().release(pool)` lets another deployment start before the op has ended."""

    @op(pool={"db": 1, "other": 1})
    async def early() -> None:
        await anyio.sleep(1)
        await context().release("db")
        await anyio.sleep(10)

    async def main() -> None:
        backend = MemoryPools()
        async with shared(backend.twin(), "a", db=1) as first, shared(backend.twin(), "b", db=1) as second:
            run = early.on(first).start()
            await anyio.sleep(0.5)
            await query.on(second).run(1.0)
            assert asyncio.get_running_loop().time() == 2.0
            await run.result()
            await anyio.sleep(0.1)
            assert await left(backend) == []

    run_virtual(main)


# ── cancelled anywhere ────────────────────────────────────────────────────────────────────────────────────────────────


class Slow(Moody):
    """A backend that takes its time, and asks whether it is away."""

    async def open(self, session: SessionSpec, pools: Sequence[PoolSpec] = ()) -> SessionGrant:
        await anyio.sleep(0.01)
        return await super().open(session, pools)

    async def exchange(self, session_id: str, batch: Batch) -> Reply:
        await anyio.sleep(0.01)
        return await super().exchange(session_id, batch)

    async def close(self, session_id: str) -> None:
        await anyio.sleep(0.01)
        await super().close(session_id)


async def slow_life(url: str) -> None:
    """A life at a slow backend that is away at first, with a store beside it."""

    @op(pool="db")
    async def careful() -> None:
        await context().leases["db"].check()

    backend = Slow()
    backend.down = True
    prod = shared(backend, store=url)
    with pytest.raises(PoolBackendUnavailable):
        await prod.__aenter__()
    backend.down = False
    async with prod:
        await careful.on(prod).try_run()
        await prod.tune(pools={"db": 1})


async def slow_life_cancelled(steps: tuple[int, ...], url: str) -> bool:
    """Cancels such a life before a step; says whether that was reached."""
    reached, outcome, _ = await cancelled_at(steps, lambda: slow_life(url))
    if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
        raise outcome
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    return reached


async def life(backend: MemoryPools) -> None:
    """A whole life with such pools: ops, children, blocks, tuning, a lost session."""

    @op(pool="db")
    async def outer(seconds: float) -> float:
        return await query.run(seconds)

    @graph
    def both() -> list[object]:
        return [outer(0.5), each(query, [0.25, 0.5]), query.settled(1.0)]

    async with shared(backend, db=2) as prod:
        await both.on(prod).try_run()
        async with prod.slots("db"):
            await anyio.sleep(0.1)
            await prod.tune(pools={"db": 1})
        run = both.on(prod).start()
        await anyio.sleep(0.1)
        await forget(backend)
        await run.result()


@pytest.mark.parametrize("pair", [False, True])
def test_cancelled_before_any_step_nothing_is_left_there(*, pair: bool) -> None:
    """For every n: cancel the caller before step n of a whole life. No ticket, session or task is left."""

    async def attempt(steps: tuple[int, ...]) -> tuple[bool, int]:
        backend = MemoryPools()
        reached, outcome, count = await cancelled_at(steps, lambda: life(backend))
        if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
            raise outcome
        assert await left(backend) == []
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
        assert METER.inside == 0
        return reached, count

    _, count = run_virtual(attempt, (10**9,))
    assert count > 20
    for first in range(1, count + 1, 3 if pair else 1):
        METER.inside = 0
        run_virtual(attempt, (first, first + 3) if pair else (first,))


# ── random worlds ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def world(seed: int) -> int:
    """Several deployments, random ops on three pools that are cancelled, or nest; the backend forgets at times.

    Returns:
        How many ops ended with their value.
    """
    random = Random(seed)
    limits = {"db": random.randint(1, 3), "api": random.randint(1, 4), "gpu": random.randint(1, 2)}
    inside = dict.fromkeys(limits, 0)
    backend = MemoryPools()
    may_exceed = random.random() < 0.3

    @op(pool=lambda needs: needs)
    async def task(needs: dict[str, int], seconds: float, *, nest: bool) -> int:
        for pool, units in needs.items():
            inside[pool] += units
            assert may_exceed or inside[pool] <= limits[pool], (seed, inside, limits)
        try:
            await anyio.sleep(seconds)
            if nest:
                inner = next(iter(needs))
                inside[inner] -= 1
                try:
                    await task.run({inner: 1}, seconds, nest=False)
                finally:
                    inside[inner] += 1
            return 1
        finally:
            for pool, units in needs.items():
                inside[pool] -= units

    @graph
    def tasks(count: int) -> list[object]:
        found: list[object] = []
        for _ in range(count):
            names = random.sample(sorted(limits), random.randint(1, 2))
            needs = {name: random.randint(1, limits[name]) for name in names}
            found.append(task.settled(needs=needs, seconds=random.choice([0.0, 0.1, 0.5]), nest=random.random() < 0.2))
        return found

    async def replica(name: str) -> int:
        concurrency = {"pools": {"limits": limits}}
        async with Deployment(name, concurrency=concurrency, pools=backend.twin(), namespace="test") as prod:
            runs = []
            for _ in range(random.randint(1, 4)):
                options = {"priority": random.choice([0, 0, 1]), "max_concurrent": random.choice([None, 1, 2])}
                runs.append(tasks.options(**options).on(prod).start(random.randint(1, 12)))
                await anyio.sleep(random.choice([0.0, 0.1]))
                if random.random() < 0.2:
                    await runs[-1].cancel("the test says so")
            results = [await run.result() for run in runs]
            assert all(not limit.held and not limit.waiters for limit in prod.snapshot().limits)
            return sum(
                len([one for one in result.ops.values() if one.status.name == "SUCCEEDED"]) for result in results
            )

    async def forgetful() -> None:
        while may_exceed:
            await anyio.sleep(random.choice([0.3, 2.0]))
            await forget(backend)

    forgetting = asyncio.ensure_future(forgetful())
    done = await asyncio.gather(*[replica(f"replica-{number}") for number in range(random.randint(1, 3))])
    forgetting.cancel()
    await asyncio.wait([forgetting])
    assert await left(backend) == []
    assert all(units == 0 for units in inside.values())
    return sum(done)


def test_random_worlds_keep_the_limits_and_leave_nothing(seed: int) -> None:
    """25 random worlds of deployments at one backend: no limit is exceeded, all ends, nothing is left."""
    done = sum(run_virtual(world, seed + number, seed=seed + number) for number in range(25))
    assert done > 60
