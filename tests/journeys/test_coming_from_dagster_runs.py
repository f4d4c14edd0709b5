"""Rows 1D (one run), 1F (limits together) and 1G (priority) that need a test of their own."""

import asyncio
from typing import Any

import anyio
import pytest

from asyncflow import ConfigurationError, Deployment, Graph, Retry, RunStatus, TagLimit, apply, each, graph, op, when
from asyncflow.assets import asset
from asyncflow.testing import peak, run_virtual
from tests.journeys.stage import nap, napping, now, play, query, querying, querying_later, settle, statuses

# ── 1D: limits of one run ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("most", "seconds"), [(None, 1.0), (1, 12.0), (5, 3.0), (12, 1.0)])
def test_1d_so_many_ops_of_a_run_at_once(most: int | None, seconds: float) -> None:
    """Given a cap in the decorator and another in the options, when a run starts, then that of its options holds."""

    @graph(max_concurrent=2)
    def wide() -> list[float]:
        return [nap(1.0) for _ in range(12)]

    result = run_virtual(wide.options(max_concurrent=most).try_run)
    assert (result.seconds, peak(result)) == (seconds, most or 12)
    assert peak(run_virtual(wide.try_run)) == 2


def test_1d_zero_pauses_the_run() -> None:
    """Given a cap of 0 (Dagster: the CPU count), when the run begins, then no op starts before it is raised."""

    async def scenario(prod: Deployment) -> None:
        del prod
        run = napping.options(max_concurrent=0).start()
        await anyio.sleep(5)
        assert run.snapshot().running == 0
        assert [blocker.limit for blocker in run.explain().blockers] == ["@max_concurrent"]
        await run.tune(max_concurrent=1)
        assert (await run.result()).ops["nap"].started_at == 5.0

    play({}, scenario)


def test_1d_a_cap_is_one_runs_own() -> None:
    """Given a cap of 2 and three runs, when all run, then each has two ops at a time: nobody else is concerned."""

    @graph(max_concurrent=2)
    def wide() -> list[float]:
        return [nap(1.0) for _ in range(4)]

    async def scenario(prod: Deployment) -> None:
        del prod
        results = await asyncio.gather(*[wide.try_run() for _ in range(3)])
        assert [(result.seconds, peak(result)) for result in results] == [(2.0, 2)] * 3

    play({}, scenario)


def test_1d_what_is_skipped_or_abandoned_takes_no_place() -> None:
    """Given a cap of 1, when ops are skipped and abandoned beside two naps, then only the naps take time and places."""

    @op
    async def fails() -> float:
        raise ValueError

    @graph(max_concurrent=1)
    def job(more: int) -> list[float]:
        skipped = when(apply(bool, more), lambda: nap.options(name="skipped")(100.0), lambda: nap(1.0))
        return [nap.options(name="abandoned")(fails()), nap.options(name="after")(skipped)]

    result = run_virtual(job.try_run, 0)
    assert {record.key: record.status.name for record in result.ops.values()} == {
        "bool": "SUCCEEDED",
        "fails": "FAILED",
        "abandoned": "ABANDONED",
        "skipped": "SKIPPED",
        "nap": "SUCCEEDED",
        "after": "SUCCEEDED",
    }
    assert (result.seconds, peak(result)) == (2.0, 1)


@pytest.mark.parametrize("end", ["succeeds", "fails"])
def test_1d_the_tag_of_an_op_is_free_however_it_ends(end: str) -> None:
    """Given an op-tag rule of 1, when its op succeeds or fails after a second, then the next has its place then."""

    @op(tags={"kind": "cpu"})
    async def work() -> None:
        await anyio.sleep(1)
        if end == "fails":
            raise ValueError

    @graph(tag_concurrency_limits=[TagLimit("kind", "cpu", 1)])
    def job() -> list[None]:
        return [work() for _ in range(3)]

    result = run_virtual(job.try_run)
    assert [record.started_at for record in result.timeline] == [0.0, 1.0, 2.0]


def test_1d_an_op_that_is_up_for_retry_does_not_count() -> None:
    """Given a cap and a tag of 1, when an op waits 5 s for its retry, then another op has both places meanwhile."""
    begun: list[tuple[str, float]] = []

    @op(tags={"kind": "io"}, retry=Retry(max_retries=1, delay=5))
    async def work(name: str) -> None:
        begun.append((name, now()))
        await anyio.sleep(1)
        if begun == [("flaky", 0.0)]:
            raise ValueError

    @graph(max_concurrent=1, tag_concurrency_limits=[TagLimit("kind", "io", 1)])
    def job() -> list[None]:
        return [work.options(priority=1)("flaky"), work("other")]

    assert run_virtual(job.try_run).seconds == 7.0
    assert begun == [("flaky", 0.0), ("other", 1.0), ("flaky", 6.0)]


def test_1d_op_tag_rules_change_while_the_run_lives() -> None:
    """Given 6 ops of a kind and a rule of 1 (Dagster: fixed at launch), when it becomes 3, then 3 run at that time."""

    @graph(tag_concurrency_limits=[TagLimit("kind", limit=1)])
    def job() -> list[float]:
        return [nap.options(tags={"kind": "cpu"})(1.0) for _ in range(6)]

    async def scenario(prod: Deployment) -> None:
        del prod
        run = job.start()
        await anyio.sleep(0.5)
        await run.tune(tag_concurrency_limits=[TagLimit("kind", limit=3)])
        result = await run.result()
        assert [record.started_at for record in result.timeline] == [0.0, 0.5, 0.5, 1.0, 1.5, 1.5]

    play({}, scenario)


# ── 1F: limits together ───────────────────────────────────────────────────────────────────────────────────────────


def test_1f_a_run_needs_its_place_its_tags_and_a_root() -> None:
    """Given 2 places, a team of 1 and a pool of 1, when each in turn is what is missing, then the run stays QUEUED."""

    async def scenario(prod: Deployment) -> None:
        holder = querying.options(tags={"team": "a"}).start(1.0)
        await settle()
        runs = [
            napping.options(tags={"team": "a"}).start(1.0),  # its team is busy
            querying.options(tags={"team": "b"}).start(1.0),  # its pool is
            napping.start(5.0),  # nothing is missing: the second place
            napping.start(1.0),  # no place is left
        ]
        await anyio.sleep(0.5)
        assert statuses(runs) == "QQRQ"
        names = [{blocker.limit for blocker in prod.explain(runs[i].id).blockers} for i in (0, 1, 3)]
        assert names == [
            {"@max_concurrent_runs", "@run_tag:team[a]"},
            {"@max_concurrent_runs", "db"},
            {"@max_concurrent_runs"},
        ]
        await asyncio.gather(holder, *runs)

    rule = {"key": "team", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    play(
        {"runs": {"max_concurrent_runs": 2, "tag_concurrency_limits": [rule]}, "pools": {"limits": {"db": 1}}}, scenario
    )


def test_1f_a_run_that_its_pool_blocks_takes_no_place_of_its_tag() -> None:
    """Given a tag of 1, when its first run waits for a pool (Dagster: and uses up the tag), then the second starts."""

    async def scenario(prod: Deployment) -> None:
        async with prod.slots("db"):
            blocked = querying.options(tags={"team": "a"}).start()
            passing = napping.options(tags={"team": "a"}).start(5.0)
            await anyio.sleep(0.5)
            assert statuses([blocked, passing]) == "QR"
            assert prod.snapshot().limit("@run_tag:team").held == 1
        await asyncio.gather(blocked, passing)

    play({"runs": {"tag_concurrency_limits": [{"key": "team", "limit": 1}]}, "pools": {"limits": {"db": 1}}}, scenario)


def test_1f_a_run_that_waits_for_a_pool_later_keeps_its_place() -> None:
    """Given 2 places, when two runs wait for a full pool after their first op, then a third has to wait, as in Dagster.

    Its place is its own from its first op to its end.
    """

    async def scenario(prod: Deployment) -> None:
        async with prod.slots("db"):
            runs = [querying_later.start(), querying_later.start(), napping.start()]
            await anyio.sleep(5)
            assert statuses(runs) == "RRQ"
            assert [blocker.limit for blocker in prod.explain(runs[2].id).blockers] == ["@max_concurrent_runs"]
        await asyncio.gather(*runs)

    play({"runs": {"max_concurrent_runs": 2}, "pools": {"limits": {"db": 1}}}, scenario)


def test_1f_pools_and_the_cap_of_a_run() -> None:
    """Given a cap of 2 and a full pool, when ops of the run wait for it, then they take no place, and others go on."""

    @graph(max_concurrent=2)
    def job() -> list[float]:
        return [query.options(priority=1)(1.0) for _ in range(3)] + [nap(1.0) for _ in range(4)]

    async def scenario(prod: Deployment) -> None:
        async with prod.slots("db"):
            run = job.start()
            await anyio.sleep(2.5)
            assert run.snapshot().blocked == 3, "all four naps are through, two at a time"
        result = await run.result()
        assert peak(result) == 2
        assert sorted(record.started_at for key, record in result.ops.items() if key.startswith("nap")) == [0, 0, 1, 1]

    play({"pools": {"limits": {"db": 1}}}, scenario)


def test_1f_the_queue_and_pools() -> None:
    """Given 2 places and a pool of 1, when many runs want both, then 2 run, 1 of them in the pool, to the last."""

    async def scenario(prod: Deployment) -> None:
        runs = [querying_later.start() for _ in range(6)]
        seen: list[tuple[int, int]] = []
        while not all(run.status.final for run in runs):
            await anyio.sleep(0.25)
            snapshot = prod.snapshot()
            seen.append((len(snapshot.running), snapshot.pool("db").held))
        assert tuple(max(column) for column in zip(*seen, strict=True)) == (2, 1)
        assert {run.status for run in runs} == {RunStatus.SUCCEEDED}

    play({"runs": {"max_concurrent_runs": 2}, "pools": {"limits": {"db": 1}}}, scenario)


def test_1f_tags_and_pools() -> None:
    """Given a tag of 2 in each run and a pool of 3 for all, when two runs have 4 ops each, then 2 and 1, or 1 and 2."""

    @graph(tag_concurrency_limits=[TagLimit("kind", "sql", 2)])
    def job() -> list[float]:
        return [query.options(tags={"kind": "sql"})(1.0) for _ in range(4)]

    async def scenario(prod: Deployment) -> None:
        runs = [job.start(), job.start()]
        seen: list[tuple[int, ...]] = []
        for _ in range(2):
            await anyio.sleep(0.5)
            seen.append(tuple(run.snapshot().running for run in runs))
            assert prod.snapshot().pool("db").held == 3
            await anyio.sleep(0.5)
        assert all(sorted(one) == [1, 2] for one in seen)
        await asyncio.gather(*runs)
        assert now() == 3.0

    play({"pools": {"limits": {"db": 3}}}, scenario)


def test_1f_an_op_at_the_cap_of_its_nested_graph_is_passed() -> None:
    """Given a nested graph with a cap of 1, when its second op is next (Dagster: the loop ends there), then others go.

    The nested graph's cap stands beside that of the run.
    """

    @graph(max_concurrent=1)
    def inner() -> list[float]:
        return [nap.options(priority=1)(1.0) for _ in range(3)]

    @graph(max_concurrent=3)
    def outer() -> list[list[float]]:
        return [inner(), [nap(1.0) for _ in range(4)]]

    result = run_virtual(outer.try_run)
    assert (result.seconds, peak(result)) == (3.0, 3)
    assert {record.key for record in result.timeline if record.started_at == 0} == {"inner/nap", "nap", "nap#2"}


# ── 1G: priority ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_1g_equal_priorities_are_first_come_first_served() -> None:
    """Given runs of two priorities in mixed order, when they start one by one, then each kind in the order it came."""

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [napping.options(priority=priority).start() for priority in (0, 1, 0, 1, 0)]
        assert [(await run.result()).started_at for run in runs] == [2.0, 0.0, 3.0, 1.0, 4.0]

    play({"runs": {"max_concurrent_runs": 1}}, scenario)


def test_1g_nobody_is_cancelled_for_a_higher_priority() -> None:
    """Given a run of low priority that has begun, when a high one comes, then it waits for its end."""

    async def scenario(prod: Deployment) -> None:
        del prod
        low = napping.options(priority=-9).start(10.0)
        await anyio.sleep(1)
        high = napping.options(priority=9).start()
        assert (await high.result()).started_at == 10.0
        assert await low == 10.0

    play({"runs": {"max_concurrent_runs": 1}}, scenario)


def test_1g_a_priority_has_32_bits() -> None:
    """Given ±2³¹ and what lies outside, when ops and runs are made with it, then only what fits is taken."""
    for right in (-(2**31), 2**31 - 1):
        assert napping.options(priority=right) is not napping
        assert nap.options(priority=right) is not nap
    wrong: list[Any] = [-(2**31) - 1, 2**31, "1", 1.0, None, True]
    for one in wrong:
        with pytest.raises(ConfigurationError, match="priority"):
            nap.options(priority=one)
        with pytest.raises(ConfigurationError, match="priority"):
            op(priority=one)(nap.fn)
        with pytest.raises(ConfigurationError, match="priority"):
            napping.options(priority=one)


def starts(job: Graph[..., Any]) -> list[str]:
    """The keys of a run's ops in the order they started, one at a time."""
    return [record.key for record in run_virtual(job.options(max_concurrent=1).try_run).timeline]


def test_1g_of_ready_ops_the_highest_priority_starts_first() -> None:
    """Given five ready ops, when they start one by one, then by priority; equal ones as declared."""

    @graph
    def job() -> list[float]:
        return [nap.options(priority=p, name=name)(1.0) for name, p in zip("abcde", (0, -1, 5, 0, 5), strict=True)]

    assert starts(job) == ["c", "e", "a", "d", "b"]


def test_1g_of_equal_priority_the_longest_way_to_the_end_starts_first() -> None:
    """Given a chain and single ops of equal priority (Dagster: as they became ready), then the chain starts first."""

    @graph
    def job() -> list[float]:
        single = [nap.options(name=f"single{i}")(1.0) for i in range(2)]
        return [*single, nap.options(name="third")(nap.options(name="second")(nap.options(name="first")(1.0)))]

    assert starts(job) == ["first", "second", "single0", "single1", "third"], "at the end all are equal"


def test_1g_of_equal_ways_who_was_ready_first_starts_first() -> None:
    """Given two ops of equal priority and way, when the one declared later is ready sooner, then it starts first."""

    @graph
    def job() -> list[float]:
        late = query.options(name="late")(nap.options(name="slow")(2.0))
        soon = query.options(name="soon")(nap.options(name="fast")(1.0))
        return [late, soon]

    async def scenario(prod: Deployment) -> None:
        async with prod.slots("db"):
            run = job.start()
            await anyio.sleep(3)
        assert [record.key for record in (await run.result()).timeline] == ["slow", "fast", "soon", "late"]

    play({"pools": {"limits": {"db": 1}}}, scenario)


def test_1g_equal_runs_get_a_slot_as_they_came() -> None:
    """Given five runs of equal priority in one turn (Dagster: resolution of 1 s), then the slot goes in order."""

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [querying.start() for _ in range(5)]
        assert [(await run.result()).started_at for run in runs] == [0.0, 1.0, 2.0, 3.0, 4.0]

    play({"pools": {"limits": {"db": 1}}}, scenario)


def test_1g_the_priority_of_an_asset_counts() -> None:
    """Given assets of priorities −1, 0, 5 in a pool of 1 (Dagster: reported without effect), then 5, 0, −1 start."""
    order: list[str] = []

    async def body() -> None:
        order.append(f"{now()}")
        await anyio.sleep(1)

    assets = [asset(name=name, pool="db", priority=p)(body) for name, p in (("low", -1), ("mid", 0), ("high", 5))]

    async def scenario(prod: Deployment) -> None:
        del prod
        result = await Graph.from_assets(assets).try_run()
        assert [record.key for record in result.timeline] == ["high", "mid", "low"]
        assert order == ["0.0", "1.0", "2.0"]

    play({"pools": {"limits": {"db": 1}}}, scenario)


def test_1g_nobody_is_passed_for_ever_by_equals() -> None:
    """Given a run that needs both slots amid a stream of runs that need one, then it starts after a bounded number.

    (Dagster: no ageing.) With `max_overtakes=8` at most 8 that come after it pass it.
    """
    begun: list[str] = []

    @op(pool="db")
    async def small(index: int) -> None:
        begun.append("small")
        await anyio.sleep(1 + index * 0.37 % 0.5)  # no two end at the same time

    @op(pool={"db": 2})
    async def wide() -> None:
        begun.append("wide")
        await anyio.sleep(1)

    @graph
    def stream(index: int) -> None:
        return small(index)

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [stream.start(index) for index in range(2)]
        await settle()
        runs.append(wide.start())
        for index in range(60):
            runs.append(stream.start(index))
            await anyio.sleep(0.6)
        await asyncio.gather(*runs)
        assert begun.index("wide") <= 2 + 8

    play({"pools": {"limits": {"db": 2}}}, scenario, max_overtakes=8)


def test_1g_items_that_began_finish_first() -> None:
    """Given two stages over 3 items, when one runs at a time (Dagster: all of stage one first), then item by item."""

    @graph
    def job() -> list[float]:
        return each(nap.options(name="b"), each(nap.options(name="a"), [1.0, 1.0, 1.0]))

    assert starts(job) == ["a[0]", "b[0]", "a[1]", "b[1]", "a[2]", "b[2]"]
