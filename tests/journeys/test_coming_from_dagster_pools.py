"""Rows 1C (pools) that need a test of their own."""

import asyncio
from typing import Any

import anyio
import pytest

from asyncflow import ConfigurationError, Deployment, Event, LimitChanged, OpStatus, Retry, graph, op
from asyncflow.assets import asset
from asyncflow.testing import peak
from tests.journeys.stage import nap, napping, now, play, query, querying, querying_later, settle, statuses


def pools(**limits: Any) -> dict[str, Any]:
    """Limits by pool."""
    return {"pools": {"limits": limits}}


def held(prod: Deployment, limit: str = "db") -> int:
    """How much of a limit is taken."""
    return prod.snapshot().limit(limit).held


# ── membership and limits ─────────────────────────────────────────────────────────────────────────────────────────


def test_1c_ops_and_assets_of_all_runs_share_a_pool() -> None:
    """Given ops of three runs of ops and an asset in one pool of 2, when all run, then never more than 2 of them do."""
    inside: list[int] = []
    most: list[int] = []

    async def body() -> None:
        inside.append(1)
        most.append(len(inside))
        await anyio.sleep(1)
        inside.pop()

    first, second, third = [op(pool="db")(body).options(name=name) for name in ("first", "second", "third")]
    fourth = asset(pool="db", name="fourth")(body)

    async def scenario(prod: Deployment) -> None:
        del prod
        await asyncio.gather(*[one.start() for one in (first, second, third, fourth) for _ in range(2)])
        assert (max(most), now()) == (2, 4.0)

    play(pools(db=2), scenario)


@pytest.mark.parametrize("name", ["a b", "sales.eu", "ü" * 200])
def test_1c_a_name_may_be_anything_readable(name: str) -> None:
    """Given a pool name with a blank, a dot or 200 letters (Dagster: no blanks), when used, then it is a pool."""

    async def scenario(prod: Deployment) -> None:
        del prod
        await asyncio.gather(*[nap.options(pool=name).start(1.0) for _ in range(2)])
        assert now() == 2.0

    play(pools(**{name: 1}), scenario)


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "@db", ":key", "db:", 7])
def test_1c_a_name_that_nobody_can_read_is_refused(name: Any) -> None:
    """Given an empty, overlong, broken or reserved name, when an op is made with it, then that is refused."""
    with pytest.raises(ConfigurationError, match="pool"):
        op(pool=name)(nap.fn)


def test_1c_a_limit_is_a_whole_number_from_zero_to_two_to_the_53() -> None:
    """Given −1 and 2⁵³ + 1 (Dagster: −1 and 1,001), when configured or tuned, then refused; 0 and 2⁵³ are taken."""

    async def scenario(prod: Deployment) -> None:
        for wrong in (-1, 2**53 + 1):
            with pytest.raises(ConfigurationError, match=r"limits\['db'\]"):
                Deployment(concurrency=pools(db=wrong))
            with pytest.raises(ConfigurationError, match=r"pools\['db'\]"):
                await prod.tune(pools={"db": wrong})
        for right in (0, 2**53):
            assert Deployment(concurrency=pools(db=right)).concurrency.pools.limits["db"].limit == right
            await prod.tune(pools={"db": right})
            assert prod.snapshot().limit("db").capacity == right

    play(pools(db=1), scenario)


def test_1c_a_default_limit_is_followed_until_one_is_set() -> None:
    """Given a default of 1, when it grows, then pools nobody set grow; a set one does not; `"default"` follows again.

    Without a default such a pool is unlimited.
    """

    @graph
    def job() -> list[float]:
        return [query(1_000.0) for _ in range(20)]

    async def scenario(prod: Deployment) -> None:
        run = job.start()
        seen: list[int] = []
        changes: list[dict[str, Any]] = [
            {"default_limit": 1},
            {"default_limit": 3},
            {"pools": {"db": 4}},
            {"default_limit": 9},
            {"pools": {"db": "default"}},
            {"default_limit": None},
        ]
        for change in changes:
            await prod.tune(**change)
            await settle()
            seen.append(held(prod))
        assert seen == [1, 3, 4, 4, 9, 20]
        await run.cancel()

    play({"pools": {"default_limit": 1}}, scenario)


@pytest.mark.parametrize(("then", "started"), [(1, 1), (2, 2), (None, 3), ("default", 3)])
def test_1c_zero_blocks_until_raised_or_deleted(then: Any, started: int) -> None:
    """Given a limit of 0 and three runs, when it is raised or deleted after 5 s, then so many start at that time."""

    async def scenario(prod: Deployment) -> None:
        runs = [querying.start() for _ in range(3)]
        await anyio.sleep(5)
        assert statuses(runs) == "QQQ"
        await prod.tune(pools={"db": then})
        await asyncio.sleep(0)
        assert (statuses(runs).count("R"), now()) == (started, 5.0)
        await asyncio.gather(*runs)

    play(pools(db=0), scenario)


# ── granularity op, and the gate in front of the queue ────────────────────────────────────────────────────────────


def test_1c_granularity_op_does_not_limit_the_number_of_runs() -> None:
    """Given a pool of 1, when 5 runs need it after their first op, then all 5 run, and pass the slot on."""

    async def scenario(prod: Deployment) -> None:
        runs = [querying_later.start() for _ in range(5)]
        await anyio.sleep(1)
        assert (statuses(runs), held(prod)) == ("RRRRR", 1)
        await asyncio.gather(*runs)
        assert now() == 5.5

    play(pools(db=1), scenario)


@pytest.mark.parametrize(
    ("other", "status"), [(None, "R"), ("unlimited", "R"), ("free", "R"), ("full", "Q"), ("paused", "Q")]
)
def test_1c_one_root_that_may_start_lets_the_run_out(other: str | None, status: str) -> None:
    """Given a run with one root in a full pool, when its other root has no pool, or one with room, then it is let out.

    Where that root is blocked as well, it stays QUEUED.
    """

    @graph
    def job() -> list[float]:
        return [query(1.0), nap.options(pool=other)(1.0)]

    async def scenario(prod: Deployment) -> None:
        async with prod.slots({"db": 1, "full": 1}):
            run = job.start()
            await anyio.sleep(0.5)
            assert statuses([run]) == status
        await prod.tune(pools={"paused": 1})
        await run

    play(pools(db=1, full=1, free=1, paused=0, unlimited=None), scenario)


def test_1c_only_the_roots_of_what_is_selected_count() -> None:
    """Given a graph whose root needs a full pool, when a part without that root is run, then it is let out."""

    @graph
    def job() -> float:
        return nap(query(1.0))

    async def scenario(prod: Deployment) -> None:
        async with prod.slots("db"):
            whole, part = job.start(), job.select("nap").given({"query": 1.0}).start()
            await anyio.sleep(0.5)
            assert statuses([whole, part]) == "QR"
        await asyncio.gather(whole, part)

    play(pools(db=1), scenario)


def test_1c_two_runs_are_never_let_out_on_one_slot() -> None:
    """Given 5 runs that wait for one slot (Dagster's estimate may let two out), when it frees, then one is let out."""

    async def scenario(prod: Deployment) -> None:
        runs = [querying.start() for _ in range(5)]
        for ended in range(5):
            await settle()
            assert statuses(runs) == "S" * ended + "R" + "Q" * (4 - ended)
            assert held(prod) == 1
            await runs[ended]

    play(pools(db=1), scenario)


@pytest.mark.parametrize(("buffer", "expected"), [(0, "RQQQQ"), (1, "RRQQQ"), (3, "RRRRQ"), (1_000, "RRRRR")])
def test_1c_the_run_buffer(buffer: int, expected: str) -> None:
    """Given a buffer, when 5 runs need one slot, then so many more than fit are let out; a large one lets out all."""

    async def scenario(prod: Deployment) -> None:
        runs = [querying.start() for _ in range(5)]
        await anyio.sleep(0.5)
        assert (statuses(runs), held(prod)) == (expected, 1)
        await asyncio.gather(*runs)

    play({"pools": {"limits": {"db": 1}, "op_granularity_run_buffer": buffer}}, scenario)


# ── granularity run ───────────────────────────────────────────────────────────────────────────────────────────────


def test_1c_granularity_run_counts_a_run_once() -> None:
    """Given 2 slots by run, when runs have 5 ops of weight 2 each, then two runs are in, with all their ops at once."""

    @graph
    def batch() -> list[float]:
        return [query.options(pool={"db": 2})(1.0) for _ in range(5)]

    async def scenario(prod: Deployment) -> None:
        runs = [batch.start() for _ in range(3)]
        await anyio.sleep(0.5)
        assert (statuses(runs), held(prod)) == ("RRQ", 2)
        results = [await run.result() for run in runs]
        assert [(result.started_at, result.seconds, peak(result)) for result in results] == [
            (0.0, 1.0, 5),
            (0.0, 1.0, 5),
            (1.0, 1.0, 5),
        ]

    play({"pools": {"limits": {"db": 2}, "granularity": "run"}}, scenario)


def test_1c_granularity_run_counts_pools_of_any_op_and_shows_who_holds() -> None:
    """Given a run whose second op names the pool, when it begins, then it holds it, and is shown (Dagster: nobody)."""

    async def scenario(prod: Deployment) -> None:
        run, waiting = querying_later.start(), querying_later.start()
        await anyio.sleep(0.1)
        view = prod.snapshot().limit("db")
        assert [(holder.owner.run_id, holder.owner.op, holder.amount) for holder in view.holders] == [(run.id, "", 1)]
        assert [waiter.owner.run_id for waiter in view.waiters] == [waiting.id]
        await asyncio.gather(run, waiting)

    play({"pools": {"limits": {"db": 1}, "granularity": "run"}}, scenario)


def test_1c_granularity_of_one_pool() -> None:
    """Given `run` for db and `op` for api (Dagster: one for all), when a run has ops in both, then each by its own."""
    both = query.options(pool={"db": 1, "api": 1})

    @graph
    def job() -> list[float]:
        return [both(1.0), both(1.0)]

    async def scenario(prod: Deployment) -> None:
        del prod
        run, other = job.start(), querying.start()
        await anyio.sleep(0.1)
        assert statuses([run, other]) == "RQ"
        assert (await run.result()).seconds == 2.0, "api is taken by each op"
        assert (await other.result()).started_at == 2.0, "db was the run's to its end"

    play(pools(db={"limit": 1, "granularity": "run"}, api=1), scenario)


# ── limits that change, ops that end ──────────────────────────────────────────────────────────────────────────────


def test_1c_lowered_below_its_use_nothing_is_cancelled_and_nothing_starts() -> None:
    """Given 3 slots in use to 1, 2, 3 s, when the limit becomes 1, then the surplus is shown, and the next has 3 s."""
    told: list[Event] = []

    async def scenario(prod: Deployment) -> None:
        prod.subscribe(told.append)
        runs = [query.start(seconds) for seconds in (1.0, 2.0, 3.0)]
        await settle()
        await prod.tune(pools={"db": 1})
        late = query.start(1.0)
        seen: list[tuple[int, int]] = []
        for _ in range(3):
            await anyio.sleep(0.75)
            view = prod.snapshot().limit("db")
            seen.append((view.held, view.debt))
        assert seen == [(3, 2), (2, 1), (1, 0)]
        assert (await late.result()).started_at == 3.0
        assert [await run for run in runs] == [1.0, 2.0, 3.0]

    play(pools(db=3), scenario)
    assert [(event.limit, event.before, event.after) for event in told if isinstance(event, LimitChanged)] == [
        ("db", 3, 1)
    ]


def test_1c_raised_it_lets_in_in_the_same_turn() -> None:
    """Given a run with 5 ops and one slot, when there are 3, then 2 more start one turn later (Dagster: a poll)."""
    begun: list[float] = []

    @op(pool="db")
    async def note() -> None:
        begun.append(now())
        await anyio.sleep(10)

    @graph
    def job() -> list[None]:
        return [note() for _ in range(5)]

    async def scenario(prod: Deployment) -> None:
        run = job.start()
        await anyio.sleep(0.5)
        await prod.tune(pools={"db": 3})
        assert held(prod) == 1, "`tune` itself lets nothing run"
        await asyncio.sleep(0)
        assert held(prod) == 3
        await asyncio.sleep(0)
        assert begun == [0.0, 0.5, 0.5]
        await run.cancel()

    play(pools(db=1), scenario)


@pytest.mark.parametrize("turns", range(5))
def test_1c_a_slot_is_never_kept_for_one_who_is_gone(turns: int) -> None:
    """Given a slot that frees at 1 s, when its first waiter is cancelled about then, then the next has it at 1 s.

    (Dagster: a slot once assigned is never given to another, even if the assignee does not come for it.)
    """

    async def scenario(prod: Deployment) -> None:
        holder, gone, following = [query.start(1.0) for _ in range(3)]
        await holder
        for _ in range(turns):
            await asyncio.sleep(0)
        await gone.cancel()
        assert (await following.result()).started_at == 1.0
        assert held(prod) == 0

    play(pools(db=1), scenario)


def test_1c_cancelling_gives_back_what_runs_and_what_waits() -> None:
    """Given a run with an op in the pool and one that waits, when it is cancelled, then neither is left in the line."""

    @graph
    def job() -> list[float]:
        return [query(100.0) for _ in range(3)]

    async def scenario(prod: Deployment) -> None:
        run = job.start()
        await anyio.sleep(0.5)
        assert (held(prod), len(prod.snapshot().limit("db").waiters)) == (1, 2)
        await run.cancel()
        assert (held(prod), len(prod.snapshot().limit("db").waiters)) == (0, 0)

    play(pools(db=1), scenario)


def test_1c_an_abandoned_op_never_takes_a_slot() -> None:
    """Given an op whose source fails, when its pool is full, then the run ends without waiting for it."""

    @op
    async def fails() -> float:
        raise ValueError

    @graph
    def job() -> float:
        return query(fails())

    async def scenario(prod: Deployment) -> None:
        async with prod.slots("db"):
            result = await job.try_run()
        assert (result.seconds, result.ops["query"].status) == (0.0, OpStatus.ABANDONED)

    play(pools(db=1), scenario)


@pytest.mark.parametrize(("granularity", "following"), [("op", 1.0), ("run", 13.0)])
def test_1c_a_retry_frees_the_slot_between_attempts(granularity: str, following: float) -> None:
    """Given an op that fails twice and waits 5 s each time, when another run needs the slot, then it has it meanwhile.

    Of granularity `run` the slot is the run's, to its end.
    """

    @op(pool="db", retry=Retry(max_retries=2, delay=5))
    async def flaky() -> int:
        attempts.append(now())
        await anyio.sleep(1)
        if len(attempts) < 3:
            raise ValueError
        return 1

    attempts: list[float] = []

    async def scenario(prod: Deployment) -> None:
        run, other = flaky.start(), querying.start()
        await anyio.sleep(3.5)
        assert held(prod) == (granularity == "run")
        assert (await other.result()).started_at == following
        assert await run == 1
        assert attempts == [0.0, 6.0, 12.0]

    play({"pools": {"limits": {"db": 1}, "granularity": granularity}}, scenario)


def test_1c_what_the_page_of_the_queue_shows() -> None:
    """Given a cap, a tag rule and a default, when a snapshot is taken, then numbers, holders and who waits are there.

    With the run and the op that hold, since when, and the line in order; the same for runs and pools.
    """

    async def scenario(prod: Deployment) -> None:
        tagged = querying.options(tags={"team": "x"})
        runs = [tagged.start(), tagged.options(priority=1).start(), napping.start()]
        await anyio.sleep(0.5)
        snapshot = prod.snapshot()
        assert {view.name: (view.capacity, view.held) for view in snapshot.limits if view.name != "@threads"} == {
            "db": (3, 1),
            "@max_concurrent_runs": (10, 2),
            "@run_tag:team": (1, 1),
        }
        [holder] = snapshot.pool("db").holders
        assert (holder.owner.run_id, holder.owner.op, holder.since) == (runs[1].id, "query", 0)
        [waiter] = snapshot.limit("@run_tag:team").waiters
        assert (waiter.owner.run_id, waiter.amount, waiter.since) == (runs[0].id, 1, 0)
        assert [(view.run_id, view.priority, dict(view.tags)["team"], view.queued_at) for view in snapshot.queued] == [
            (runs[0].id, 0, "x", 0.0)
        ]
        assert [view.run_id for view in snapshot.running] == [runs[1].id, runs[2].id]
        await asyncio.gather(*runs)

    concurrency = {
        "runs": {"max_concurrent_runs": 10, "tag_concurrency_limits": [{"key": "team", "limit": 1}]},
        "pools": {"default_limit": 3},
    }
    play(concurrency, scenario)
