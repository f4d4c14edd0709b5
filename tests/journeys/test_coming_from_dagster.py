"""Every row of what Dagster's concurrency does that applies inside a process: given, when, then.

The rows, setting by setting, with what is different on purpose, stand in docs/coming-from-dagster.md. Rows that are
about a server, a daemon or a database have a line there that says why they do not apply.
"""

import asyncio
from collections.abc import AsyncIterator

import anyio
import pytest

from asyncflow import (
    PER_VALUE,
    ConfigurationError,
    Deployment,
    Event,
    InputError,
    OpBlocked,
    OpStatus,
    OutputError,
    PoolUnlimited,
    RunStatus,
    TagLimit,
    apply,
    graph,
    op,
    use,
    when,
)
from asyncflow.testing import peak, run_virtual
from tests.journeys.stage import nap, napping, play, query, querying, settle, statuses

# ── 1A: the run queue ─────────────────────────────────────────────────────────────────────────────────────────────


def test_1a_a_run_that_is_being_cancelled_keeps_its_place() -> None:
    """Given one place and a run whose clean-up takes 2 s, when it is cancelled, then the next starts after it."""

    @op
    async def tidy() -> None:
        try:
            await anyio.sleep(100)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)

    async def scenario(prod: Deployment) -> None:
        del prod
        first, second = tidy.start(), napping.start()
        await anyio.sleep(1)
        cancelling = asyncio.ensure_future(first.cancel())
        await anyio.sleep(1)
        assert statuses([first, second]) == "CQ"
        await cancelling
        assert (await second.result()).started_at == 3.0

    play({"runs": {"max_concurrent_runs": 1}}, scenario)


@pytest.mark.parametrize(("most", "expected"), [(0, "QQQ"), (-1, "RRR"), (None, "RRR"), (2, "RRQ")])
def test_1a_zero_pauses_and_minus_one_is_unlimited(most: int | None, expected: str) -> None:
    """Given `max_concurrent_runs` of 0, −1 (as Dagster writes it), None or 2, when 3 runs come, then 0, 3, 3, 2 run."""

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [napping.start() for _ in range(3)]
        await anyio.sleep(0.5)
        assert statuses(runs) == expected

    play({"runs": {"max_concurrent_runs": most}}, scenario)


def test_1a_other_negatives_are_refused() -> None:
    """Given −2, when the deployment is made, then it is refused, naming the field."""
    with pytest.raises(ConfigurationError, match="max_concurrent_runs"):
        Deployment(concurrency={"runs": {"max_concurrent_runs": -2}})


def test_1a_above_the_cap_nothing_starts_until_below() -> None:
    """Given 3 running runs, when the cap becomes 1, then none is cancelled and the next starts after all three."""

    async def scenario(prod: Deployment) -> None:
        runs = [napping.start(seconds) for seconds in (1.0, 2.0, 3.0)]
        await settle()
        await prod.tune(max_concurrent_runs=1)
        late = napping.start()
        assert (await late.result()).started_at == 3.0
        assert {run.status for run in runs} == {RunStatus.SUCCEEDED}

    play({"runs": {"max_concurrent_runs": 3}}, scenario)


def test_1a_first_come_first_served_and_the_blocked_are_skipped() -> None:
    """Given A and B of one team limited to 1, and C, when they come in that order, then they start A, C, B."""
    started: list[str] = []

    @op
    async def say(name: str) -> None:
        started.append(name)
        await anyio.sleep(1)

    @graph
    def job(name: str) -> None:
        return say(name)

    async def scenario(prod: Deployment) -> None:
        del prod
        team = job.options(tags={"team": "x"})
        await asyncio.gather(team.start("A"), team.start("B"), job.start("C"))

    play({"runs": {"max_concurrent_runs": 5, "tag_concurrency_limits": [{"key": "team", "limit": 1}]}}, scenario)
    assert started == ["A", "C", "B"]


def test_1a_a_run_that_cannot_start_fails_alone() -> None:
    """Given a queue, when a run's own pool function raises at submission, then that run fails and all others go on."""

    def which(seconds: float) -> str:
        raise LookupError(seconds)

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [napping.start() for _ in range(2)]
        assert (await nap.options(pool=which).try_run(1.0)).status is RunStatus.FAILED
        await asyncio.gather(*runs)

    play({"runs": {"max_concurrent_runs": 1}}, scenario)


def test_1a_no_poll_the_next_starts_when_a_place_is_free() -> None:
    """Given a full queue, when a run ends at 1 s, then the next has started at 1 s, not after an interval."""

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [napping.start() for _ in range(10)]
        results = [await run.result() for run in runs]
        assert [result.started_at for result in results] == [float(i) for i in range(10)]

    play({"runs": {"max_concurrent_runs": 1}}, scenario)


# ── 1B: run tags ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_1b_all_rules_that_match_must_pass() -> None:
    """Given rules on a key, a value and each value at once, when runs come, then each must pass all that match it."""
    rules = [
        {"key": "team", "limit": 3},
        {"key": "team", "value": "a", "limit": 1},
        {"key": "user", "value": {"applyLimitPerUniqueValue": True}, "limit": 1},
    ]

    async def scenario(prod: Deployment) -> None:
        del prod
        tags = [("a", "u1"), ("a", "u2"), ("b", "u1"), ("b", "u3"), ("b", "u4"), ("b", "u5")]
        runs = [napping.options(tags={"team": team, "user": user}).start() for team, user in tags]
        await anyio.sleep(0.5)
        assert statuses(runs) == "RQQRRQ"
        await asyncio.gather(*runs)

    play({"runs": {"tag_concurrency_limits": rules}}, scenario)


def test_1b_two_rules_of_one_kind_are_refused() -> None:
    """Given two rules of the same key and value (Dagster: the last wins in silence), when loaded, then refused."""
    rules = [{"key": "team", "limit": 1}, {"key": "team", "limit": 2}]
    with pytest.raises(ConfigurationError, match="two rules for key 'team'"):
        Deployment(concurrency={"runs": {"tag_concurrency_limits": rules}})


def test_1b_minus_one_is_refused() -> None:
    """Given a rule with −1 (Dagster: blocks for ever), when loaded, then refused, naming the field."""
    with pytest.raises(ConfigurationError, match="limit"):
        Deployment(concurrency={"runs": {"tag_concurrency_limits": [{"key": "team", "limit": -1}]}})


def test_1b_runs_let_out_together_count_each_other() -> None:
    """Given a rule of 2, when 5 runs come in one turn of the loop, then exactly 2 are let out by that round."""

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [napping.options(tags={"team": "a"}).start() for _ in range(5)]
        await settle()
        assert statuses(runs) == "RRQQQ"
        await asyncio.gather(*runs)

    play({"runs": {"tag_concurrency_limits": [{"key": "team", "limit": 2}]}}, scenario)


def test_1b_the_name_of_the_graph_is_a_tag() -> None:
    """Given a per-value rule on `asyncflow/graph`, when runs of two graphs come, then each graph has its own cap."""

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [napping.start(), napping.start(), querying.start(), querying.start()]
        await anyio.sleep(0.5)
        assert statuses(runs) == "RQRQ"
        await asyncio.gather(*runs)

    play({"runs": {"tag_concurrency_limits": [TagLimit("asyncflow/graph", PER_VALUE, 1)]}}, scenario)


# ── 1C: pools ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_1c_an_op_may_be_in_several_pools_with_weights() -> None:
    """Given an op in two pools, when one is full, then it holds neither and ops of the other pass it."""
    both = nap.options(pool={"a": 2, "b": 1}, name="both")

    async def scenario(prod: Deployment) -> None:
        holder = nap.options(pool="b").start(2.0)
        await settle()
        waiting = both.start(1.0)
        passing = nap.options(pool="a").start(1.0)
        await anyio.sleep(0.5)
        assert prod.snapshot().limit("a").held == 1
        assert statuses([waiting, passing]) == "QR"
        await asyncio.gather(holder, waiting, passing)

    play({"pools": {"limits": {"a": 2, "b": 1}}}, scenario)


def test_1c_a_default_of_zero_blocks() -> None:
    """Given `default_limit: 0` (Dagster's queue ignores it), when a run comes, then it waits until that is raised."""

    async def scenario(prod: Deployment) -> None:
        run = querying.start()
        await anyio.sleep(5)
        assert run.status is RunStatus.QUEUED
        await prod.tune(default_limit=1)
        assert (await run.result()).started_at == 5.0

    play({"pools": {"default_limit": 0}}, scenario)


def test_1c_no_limit_and_no_default_is_unlimited_and_said_once() -> None:
    """Row 10. Given a misspelt pool, when 3 ops name it, then all run, and it is said once with the nearest name."""
    told: list[Event] = []

    async def scenario(prod: Deployment) -> None:
        prod.subscribe(told.append)
        await asyncio.gather(*[nap.options(pool="databse").start(1.0) for _ in range(3)])
        assert asyncio.get_running_loop().time() == 1.0

    play({"pools": {"limits": {"database": 1}}}, scenario)
    assert [(event.pool, "'database'" in event.message) for event in told if isinstance(event, PoolUnlimited)] == [
        ("databse", True)
    ]


def test_1c_strict_refuses_a_pool_without_a_limit() -> None:
    """Row 10. Given `strict`, when an op names a pool without a limit, then its run is refused and nothing started."""

    async def scenario(prod: Deployment) -> None:
        with pytest.raises(ConfigurationError, match=r"'databse' has no limit.*'database'"):
            await nap.options(pool="databse").run(1.0)
        assert prod.snapshot().running == ()

    play({"pools": {"limits": {"database": 1}, "strict": True}}, scenario)


def test_1c_only_roots_hold_a_run_back_and_a_blocked_one_takes_no_place() -> None:
    """Given 2 places and a full pool, when runs wait for the pool, then they are QUEUED and others get the places."""

    @graph
    def later() -> float:
        return query(nap(0.5))

    async def scenario(prod: Deployment) -> None:
        del prod
        holder = querying.start(5.0)
        await settle()
        runs = [querying.start(), querying.start(), later.start()]
        await anyio.sleep(1)
        assert statuses(runs) == "QQR"
        await asyncio.gather(holder, *runs)

    play({"runs": {"max_concurrent_runs": 2}, "pools": {"limits": {"db": 1}}}, scenario)


def test_1c_granularity_run_needs_all_pools_at_once() -> None:
    """Given a run of two `run` pools, when one is taken, then it waits and holds nothing of the other."""

    @graph
    def job() -> list[float]:
        return [nap.options(pool="a")(1.0), nap.options(pool="b")(1.0)]

    async def scenario(prod: Deployment) -> None:
        holder = nap.options(pool="b").start(1.0)
        await settle()
        run = job.start()
        await anyio.sleep(0.5)
        assert prod.snapshot().limit("a").held == 0
        assert run.status is RunStatus.QUEUED
        await asyncio.gather(holder, run)

    play({"pools": {"limits": {"a": 1, "b": 1}, "granularity": "run"}}, scenario)


def test_1c_granularity_run_is_held_to_the_end_of_the_run() -> None:
    """Given a run whose pooled op is long done, when another run needs the pool, then it waits for the run's end."""

    @graph
    def job() -> float:
        return nap(query(1.0) * 3)

    async def scenario(prod: Deployment) -> None:
        del prod
        first, second = job.start(), querying.start()
        assert (await second.result()).started_at == 4.0
        await first

    play({"pools": {"limits": {"db": 1}, "granularity": "run"}}, scenario)


def test_1c_a_limit_taken_away_lets_all_go() -> None:
    """Given waiting ops, when the pool becomes unlimited, then all start in the same turn, not at their next poll."""

    async def scenario(prod: Deployment) -> None:
        runs = [querying.start() for _ in range(5)]
        await settle()
        await prod.tune(pools={"db": None})
        await settle()
        assert statuses(runs) == "RRRRR"
        await asyncio.gather(*runs)

    play({"pools": {"limits": {"db": 1}}}, scenario)


@pytest.mark.parametrize("how", ["succeeds", "fails", "is cancelled"])
def test_1c_slots_come_back_however_the_op_ends(how: str) -> None:
    """Given one slot, when its op succeeds, fails or is cancelled, then the next op starts in that moment."""

    @op(pool="db")
    async def first() -> None:
        await anyio.sleep(1)
        if how == "fails":
            raise ValueError(how)
        if how == "is cancelled":
            await anyio.sleep(100)

    async def scenario(prod: Deployment) -> None:
        del prod
        run, following = first.start(), querying.start()
        await anyio.sleep(1)
        if how == "is cancelled":
            await run.cancel()
        result = await following.result()
        assert result.started_at == 1.0
        assert (await run.result()).status.name[0] == {"succeeds": "S", "fails": "F", "is cancelled": "C"}[how]

    play({"pools": {"limits": {"db": 1}}}, scenario)


def test_1c_a_skipped_op_never_takes_a_slot() -> None:
    """Given a branch not taken, when its op would need a full pool, then the run ends without waiting for it."""

    @graph
    def job() -> float | None:
        return when(apply(lambda x: x > 5, nap(1.0)), lambda: query(1.0), lambda: nap(0.0))

    async def scenario(prod: Deployment) -> None:
        del prod
        holder = querying.start(100.0)
        result = await job.try_run()
        assert (result.seconds, result.ops["query"].status) == (1.0, OpStatus.SKIPPED)
        await holder.cancel()

    play({"pools": {"limits": {"db": 1}}}, scenario)


def test_1c_a_blocked_op_says_so_once() -> None:
    """Given an op that waits 10 minutes, when somebody listens, then it is told once, with the limit."""
    told: list[Event] = []

    @graph
    def job() -> list[float]:
        return [query(600.0), query(1.0)]

    async def scenario(prod: Deployment) -> None:
        prod.subscribe(told.append)
        await job.run()

    play({"pools": {"limits": {"db": 1}}}, scenario)
    assert [event.limits for event in told if isinstance(event, OpBlocked)] == [("db",)]


def test_1c_what_the_page_shows() -> None:
    """Given a holder and waiters, when a snapshot is taken, then slots, holders and waiters in order are there."""

    @graph
    def job() -> list[float]:
        return [query.options(priority=p)(1.0) for p in (0, 0, 9)]

    async def scenario(prod: Deployment) -> None:
        run = job.start()
        await anyio.sleep(0.5)
        view = prod.snapshot().limit("db")
        assert (view.capacity, view.held) == (1, 1)
        assert [holder.owner.op for holder in view.holders] == ["query#3"]
        assert [waiter.owner.op for waiter in view.waiters] == ["query", "query#2"]
        await run

    play({"pools": {"limits": {"db": 1}}}, scenario)


# ── 1D: limits of one run ─────────────────────────────────────────────────────────────────────────────────────────


def test_1d_none_is_unlimited_in_a_run() -> None:
    """Given no `max_concurrent` (Dagster: the CPU count), when 100 ops are ready, then 100 run."""

    @graph
    def wide() -> list[float]:
        return [nap(1.0) for _ in range(100)]

    assert peak(run_virtual(wide.try_run)) == 100


def test_1d_op_tag_rules_in_three_forms_and_the_blocked_are_passed() -> None:
    """Given a key, a value and a per-value rule, when an op is blocked by its tag, then later ready ops pass it."""

    @graph(
        tag_concurrency_limits=[
            TagLimit("kind", limit=3),
            TagLimit("kind", "cpu", 1),
            TagLimit("host", PER_VALUE, 1),
        ]
    )
    def job() -> list[float]:
        kinds = [("cpu", "h1"), ("cpu", "h2"), ("io", "h1"), ("io", "h3"), ("io", "h4"), ("io", "h5")]
        tagged = [nap.options(tags={"kind": kind, "host": host}, name=f"{kind}-{host}") for kind, host in kinds]
        return [each(1.0) for each in tagged]

    result = run_virtual(job.try_run)
    assert [record.key for record in result.ops.values() if record.started_at == 0.0] == ["cpu-h1", "io-h3", "io-h4"]
    assert result.seconds == 2.0


def test_1d_limits_of_a_run_change_while_it_runs() -> None:
    """Given a run under a cap of 1, when it is tuned to 3, then 3 ops run from then on."""

    @graph(max_concurrent=1)
    def wide() -> list[float]:
        return [nap(1.0) for _ in range(7)]

    async def scenario(prod: Deployment) -> None:
        del prod
        run = wide.start()
        await anyio.sleep(0.5)
        await run.tune(max_concurrent=3)
        result = await run.result()
        assert (peak(result), result.seconds) == (3, 3.0)

    play({}, scenario)


# ── 1F: all together ──────────────────────────────────────────────────────────────────────────────────────────────


def test_1f_a_waiter_for_a_pool_takes_no_place_of_its_tag() -> None:
    """Given A{pool full, tag t} and B{tag t}, tag limit 1, when both are ready, then B starts (Dagster: neither)."""

    @graph(tag_concurrency_limits=[TagLimit("t", limit=1)])
    def job() -> list[float]:
        return [query.options(tags={"t": "x"}, name="A")(1.0), nap.options(tags={"t": "x"}, name="B")(1.0)]

    async def scenario(prod: Deployment) -> None:
        del prod
        holder = querying.start(10.0)
        await settle()
        run = job.start()
        result = await run.result()
        assert [record.key for record in result.timeline] == ["B", "A"]
        await holder

    play({"pools": {"limits": {"db": 1}}}, scenario)


def test_1f_every_limit_holds_at_once() -> None:
    """Given places, run tags, pools, caps and op tags together, when many runs come, then all hold at every instant."""
    running: list[tuple[str, str]] = []
    seen: list[tuple[int, int, int, int]] = []

    @op(pool="db", tags={"kind": "sql"})
    async def work(run: str, team: str) -> None:
        running.append((run, team))
        runs = {name for name, _ in running}
        most = max([sum(name == one for name, _ in running) for one in runs])
        teams = [sum(t == one for _, t in {*running}) for one in ("a", "b")]
        seen.append((len(runs), max(teams), len(running), most))
        await anyio.sleep(1)
        running.remove((run, team))

    @graph(max_concurrent=3, tag_concurrency_limits=[TagLimit("kind", "sql", 2)])
    def job(run: str, team: str) -> list[None]:
        return [work(run, team) for _ in range(4)]

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [job.options(tags={"team": "ab"[i % 2]}).start(str(i), "ab"[i % 2]) for i in range(12)]
        await asyncio.gather(*runs)

    rule = {"key": "team", "value": {"applyLimitPerUniqueValue": True}, "limit": 2}
    concurrency = {"runs": {"max_concurrent_runs": 3, "tag_concurrency_limits": [rule]}, "pools": {"limits": {"db": 5}}}
    play(concurrency, scenario)
    assert [max(column) for column in zip(*seen, strict=True)] == [3, 2, 5, 2]


# ── 1G: priority ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_1g_priority_is_a_whole_number_and_negatives_are_fine() -> None:
    """Given priorities 0, −1, 3, when their runs wait, then they start 3, 0, −1; text and fractions are refused."""

    async def scenario(prod: Deployment) -> None:
        del prod
        holder = napping.start()
        await settle()
        runs = [napping.options(priority=priority).start() for priority in (0, -1, 3)]
        assert [(await run.result()).started_at for run in runs] == [2.0, 3.0, 1.0]
        await holder

    play({"runs": {"max_concurrent_runs": 1}}, scenario)
    for wrong in ("5", 1.5, True, 2**31):
        with pytest.raises(ConfigurationError, match="priority"):
            napping.options(priority=wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_1g_changed_while_queued() -> None:
    """Given a queued run, when its priority is raised, then it is next (Dagster: asked for since 2021)."""

    async def scenario(prod: Deployment) -> None:
        holder = napping.start()
        await settle()
        runs = [napping.start() for _ in range(3)]
        await prod.set_priority(runs[2].id, 1)
        assert (await runs[2].result()).started_at == 1.0
        await asyncio.gather(holder, *runs)

    play({"runs": {"max_concurrent_runs": 1}}, scenario)


def test_1g_the_priority_of_a_run_counts_before_that_of_its_ops() -> None:
    """Given a run of higher priority, when an op of a lower run has op priority 1,000, then the run's ops go first."""

    @graph
    def job(count: int) -> list[float]:
        return [query.options(priority=1000 if count == 1 else 0)(1.0) for _ in range(count)]

    async def scenario(prod: Deployment) -> None:
        del prod
        holder = querying.start()
        await settle()
        low, high = job.start(1), job.options(priority=1).start(2)
        assert [(await run.result()).started_at for run in (high, low)] == [1.0, 3.0]
        await holder

    play({"pools": {"limits": {"db": 1}}}, scenario)


# ── what ops get ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_resource_is_initialised_once_per_run_and_torn_down_at_its_end(virtual_time: None) -> None:
    """Opened once for the run, only what is needed, closed at its end; with a limit of its own (#19173)."""
    log: list[str] = []

    async def connection() -> AsyncIterator[str]:
        log.append("init")
        yield "connection"
        log.append("teardown")

    async def unused() -> AsyncIterator[str]:
        pytest.fail("nobody needs it")
        yield ""

    @op
    async def read(x: int, db: str = use(connection, "run", pool="connections")) -> str:
        await anyio.sleep(1)
        log.append("read")
        return db

    @op
    async def never(x: int, db: str = use(unused, "run")) -> None: ...

    @graph
    def main(n: int) -> list[str]:
        if n > 9:
            never(n)
        return [read(i) for i in range(n)]

    prod = Deployment("prod", concurrency={"pools": {"limits": {"connections": 1}}})
    result = await main.on(prod).try_run(3)
    assert log == ["init", "read", "read", "read", "teardown"]
    assert (peak(result, pool="connections"), result.seconds) == (1, 3)


async def test_a_failing_init_fails_the_steps_that_need_it(virtual_time: None) -> None:
    """The others go on, and dependents are abandoned."""

    async def broken() -> AsyncIterator[str]:
        raise ConnectionError("refused")
        yield ""

    @op
    async def read(x: float, db: str = use(broken, "run")) -> float:
        return x

    @graph
    def main() -> list[float]:
        return [nap(read(1)), nap(2)]

    result = await main.try_run()
    assert [record.status for record in result.ops.values()] == [
        OpStatus.FAILED,
        OpStatus.ABANDONED,
        OpStatus.SUCCEEDED,
    ]


async def test_input_and_output_values_are_checked(virtual_time: None) -> None:
    """A mismatch fails the step; the graph's own inputs are checked before anything runs, in every deployment."""

    @op
    async def wrong(x: float) -> float:
        return "a"  # type: ignore[return-value]  # the mistake is the point

    @graph
    def main(x: float) -> float:
        return nap(wrong(x))

    result = await main.on(Deployment("d", validate="always")).try_run(1)
    assert [record.status for record in result.ops.values()] == [OpStatus.FAILED, OpStatus.ABANDONED]
    assert isinstance(result.errors[0], OutputError)
    with pytest.raises(InputError, match="main takes float as 'x', and got str of length 1"):
        await main.run("a")  # type: ignore[arg-type]  # the mistake is the point
