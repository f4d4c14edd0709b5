"""The run queue: who is let out when, who is refused, and what a cancelled run leaves behind."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asyncflow import (
    PER_VALUE,
    ConfigurationError,
    Deployment,
    Run,
    RunCanceled,
    RunRejected,
    RunStarted,
    RunStatus,
    TagLimit,
    each,
    graph,
    op,
)
from asyncflow.testing import peak, run_virtual


@op
async def nap(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


@op(pool="db")
async def query(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


@graph
def napping(seconds: float = 1.0) -> float:
    return nap(seconds)


@graph
def querying(seconds: float = 1.0) -> float:
    return query(seconds)


def runs_of(most: int | None, **others: Any) -> dict[str, Any]:
    return {"runs": {"max_concurrent_runs": most, **others}}


def virtually(
    scenario: Callable[[Deployment], Awaitable[None]], concurrency: dict[str, Any], **options: Any
) -> Deployment:
    """Runs a scenario in an open deployment; afterwards nothing may be held, asked for or left over."""
    prod = Deployment("prod", concurrency=concurrency, **options)

    async def main() -> None:
        async with prod:
            await scenario(prod)
        snapshot = prod.snapshot()
        assert [(view.name, view.held, view.waiters) for view in snapshot.limits if view.held or view.waiters] == []
        assert (snapshot.queued, snapshot.running) == ((), ())

    run_virtual(main)
    return prod


def statuses(runs: list[Run[float]]) -> str:
    """Q, R, C … for each run."""
    return "".join([run.status.name[0] for run in runs])


def test_no_more_runs_than_places() -> None:
    """Given 2 places, when 5 runs of a second come, then 2 run at a time, in order, and the last has waited 2 s."""

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [napping.start() for _ in range(5)]
        await anyio.sleep(0.5)
        assert statuses(runs) == "RRQQQ"
        results = [await run.result() for run in runs]
        assert [result.queued for result in results] == [0, 0, 1, 1, 2]
        assert [dict(result.waits) for result in results[2:]] == [
            {"@max_concurrent_runs": 1.0},
            {"@max_concurrent_runs": 1.0},
            {"@max_concurrent_runs": 2.0},
        ]

    virtually(scenario, runs_of(2))


def test_zero_places_pause_and_none_is_unlimited() -> None:
    """0 lets nothing out until it is raised; None lets everything out."""

    async def scenario(prod: Deployment) -> None:
        runs = [napping.start() for _ in range(3)]
        await anyio.sleep(5)
        assert statuses(runs) == "QQQ"
        await prod.tune(max_concurrent_runs=None)
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        assert statuses(runs) == "RRR"
        await asyncio.gather(*runs)

    virtually(scenario, runs_of(0))


def test_a_blocked_run_is_passed_over() -> None:
    """A(team), B(team), C() with team:1 start A, C, B: a run blocked by its tag holds up nobody."""
    order: list[str] = []

    @op
    async def say(name: str) -> None:
        order.append(name)
        await anyio.sleep(1)

    @graph
    def job(name: str) -> None:
        return say(name)

    async def scenario(prod: Deployment) -> None:
        del prod
        team = job.options(tags={"team": "x"})
        await asyncio.gather(*[team.start("A"), team.start("B"), job.start("C")])

    virtually(scenario, runs_of(10, tag_concurrency_limits=[{"key": "team", "limit": 1}]))
    assert order == ["A", "C", "B"]


@pytest.mark.parametrize(
    ("rule", "tags", "expected"),
    [
        ({"key": "t", "limit": 1}, ["a", "b", "a", None], "RQQR"),
        ({"key": "t", "value": "a", "limit": 1}, ["a", "b", "a", None], "RRQR"),
        ({"key": "t", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}, ["a", "b", "a", None], "RRQR"),
        ({"key": "t", "value": "", "limit": 0}, ["", "b"], "QR"),
        ({"key": "t", "limit": 0}, ["a", None], "QR"),
    ],
)
def test_run_tag_rules(rule: dict[str, Any], tags: list[str | None], expected: str) -> None:
    """A key alone counts all its values, a value only itself (also the empty one), per value each; others are free."""

    async def scenario(prod: Deployment) -> None:
        runs = [napping.options(tags={} if tag is None else {"t": tag}).start() for tag in tags]
        await anyio.sleep(0.5)
        assert statuses(runs) == expected
        await prod.tune(tag_concurrency_limits=[])
        await anyio.sleep(0.1)
        assert "Q" not in statuses(runs)
        await asyncio.gather(*runs)

    virtually(scenario, runs_of(None, tag_concurrency_limits=[rule]))


def test_run_tags_never_match_op_tag_rules_nor_op_tags_run_tag_rules() -> None:
    """A rule for runs sees the tags of runs only, a rule for ops those of ops only."""

    @graph(tag_concurrency_limits=[TagLimit("team", limit=1)])
    def job() -> list[float]:
        return [nap.options(tags={"kind": "x"})(1.0) for _ in range(3)]

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [job.options(tags={"team": "a"}).start() for _ in range(2)]
        results = [await run.result() for run in runs]
        assert [(result.seconds, result.queued) for result in results] == [(1.0, 0.0)] * 2

    virtually(scenario, runs_of(None, tag_concurrency_limits=[{"key": "kind", "limit": 1}]))


def test_a_cap_for_each_graph_by_its_own_tag() -> None:
    """Every run carries the tag `asyncflow/graph`, so one rule caps the runs of each graph."""

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [napping.start(), napping.start(), querying.start(), querying.start()]
        await anyio.sleep(0.5)
        assert statuses(runs) == "RQRQ"
        await asyncio.gather(*runs)

    rule = TagLimit("asyncflow/graph", PER_VALUE, 1)
    virtually(scenario, runs_of(None, tag_concurrency_limits=[rule]))


def test_backfill_beside_other_runs() -> None:
    """Ten places, backfill limited to 2: of 100 backfill runs two start, and of ten others that come later eight."""

    async def scenario(prod: Deployment) -> None:
        del prod
        backfill = [napping.options(tags={"backfill": "x"}).start(3.0) for _ in range(100)]
        others = [napping.start(3.0) for _ in range(10)]
        await anyio.sleep(1)
        assert statuses(backfill).count("R") == 2
        assert statuses(others) == "RRRRRRRRQQ"
        for run in [*backfill, *others]:
            await run.cancel()

    virtually(scenario, runs_of(10, tag_concurrency_limits=[{"key": "backfill", "limit": 2}]))


def test_higher_priority_starts_first_also_when_it_changes_in_the_queue() -> None:
    """Low is queued first, high second: high starts first. A priority raised in the queue counts at once."""

    async def scenario(prod: Deployment) -> None:
        first = napping.start(1.0)
        await anyio.sleep(0.1)
        low = napping.options(priority=-1).start(1.0)
        high = napping.options(priority=5).start(1.0)
        risen = napping.start(1.0)
        await anyio.sleep(0.5)
        await prod.set_priority(risen.id, 9)
        results = [await run.result() for run in (first, low, high, risen)]
        assert [result.started_at for result in results] == [0.0, 3.0, 2.0, 1.0]

    virtually(scenario, runs_of(1))


def test_a_run_is_let_out_together_with_a_root() -> None:
    """While `db` is full, a run whose only root needs it stays QUEUED and takes no place; the next run gets it."""

    async def scenario(prod: Deployment) -> None:
        holder, blocked, free = querying.start(2.0), querying.start(1.0), napping.start(1.0)
        await anyio.sleep(0.5)
        assert statuses([holder, blocked, free]) == "RQR"
        assert prod.snapshot().limit("@max_concurrent_runs").held == 2
        assert [waiter.owner.op for waiter in prod.snapshot().limit("db").waiters] == [""]
        result = await blocked.result()
        assert (result.started_at, dict(result.waits)) == (2.0, {"db": 2.0})
        assert result.ops["query"].blocked == 0

    virtually(scenario, {**runs_of(3), "pools": {"limits": {"db": 1}}})


def test_two_runs_are_never_let_out_on_one_slot() -> None:
    """One slot of `db` becomes free and two runs wait for it: one is admitted, the other stays in the queue."""

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [querying.start(1.0) for _ in range(3)]
        for seconds in (0.5, 1.0, 1.0):
            await anyio.sleep(seconds)
            assert statuses(runs).count("R") == 1
        await asyncio.gather(*runs)

    virtually(scenario, {**runs_of(10), "pools": {"limits": {"db": 1}}})


def test_a_root_without_a_limited_pool_lets_its_run_out() -> None:
    """Of its roots `nap` may start at once, so the run is RUNNING while `query` is BLOCKED."""

    @graph
    def both() -> list[float]:
        return [query(1.0), nap(1.0)]

    async def scenario(prod: Deployment) -> None:
        holder = querying.start(2.0)
        await anyio.sleep(0.1)
        run = both.start()
        await anyio.sleep(0.1)
        assert run.status is RunStatus.RUNNING
        assert prod.explain(run.id, "query").state.name == "BLOCKED"
        await asyncio.gather(holder, run)

    virtually(scenario, {**runs_of(10), "pools": {"limits": {"db": 1}}})


def test_the_run_buffer_lets_that_many_blocked_runs_out() -> None:
    """With a buffer of 1, one run is RUNNING although its only root is blocked; the next stays QUEUED."""

    async def scenario(prod: Deployment) -> None:
        runs = [querying.start(1.0) for _ in range(4)]
        await anyio.sleep(0.5)
        assert statuses(runs) == "RRQQ"
        assert prod.snapshot().limit("@run_buffer").held == 1
        await anyio.sleep(1)
        assert statuses(runs) == "SRRQ"
        await asyncio.gather(*runs)

    concurrency = {**runs_of(10), "pools": {"limits": {"db": 1}, "op_granularity_run_buffer": 1}}
    virtually(scenario, concurrency)


def test_a_high_priority_run_passes_a_crowd_of_ops() -> None:
    """10,000 ops of one run pass `db` among themselves; a run of higher priority whose root needs it is next."""

    @graph
    def crowd() -> list[float]:
        return each(query, [1.0] * 10_000)

    async def scenario(prod: Deployment) -> None:
        del prod
        big = crowd.start()
        await anyio.sleep(2.5)
        high = querying.options(priority=1).start(1.0)
        result = await high.result()
        assert result.started_at == 3.0
        await big.cancel()

    virtually(scenario, {**runs_of(10), "pools": {"limits": {"db": 1}}})


# ── pools of granularity run ──────────────────────────────────────────────────────────────────────────────────────


def test_granularity_run_takes_one_unit_for_each_run() -> None:
    """A run holds one unit of each such pool until it ends; its own ops of that pool run in parallel."""

    @graph
    def batch() -> list[float]:
        return [query.options(pool={"db": 2})(1.0) for _ in range(5)]

    async def scenario(prod: Deployment) -> None:
        runs = [batch.start() for _ in range(3)]
        await anyio.sleep(0.5)
        assert statuses(runs) == "RRQ"
        assert prod.snapshot().limit("db").held == 2
        results = [await run.result() for run in runs]
        assert [(result.seconds, peak(result)) for result in results] == [(1.0, 5)] * 3

    virtually(scenario, {"pools": {"limits": {"db": 2}, "granularity": "run"}})


def test_granularity_of_one_pool() -> None:
    """The deployment says `op`, one pool says `run`; a run needs all its run pools at once and holds none before."""
    both = query.options(pool={"db": 1, "api": 1})

    @graph
    def job() -> list[float]:
        return [both(1.0), both(1.0)]

    async def scenario(prod: Deployment) -> None:
        run = job.start()
        other = querying.start(0.5)
        await anyio.sleep(0.1)
        assert statuses([run, other]) == "RQ"
        assert [prod.snapshot().limit(pool).held for pool in ("db", "api")] == [1, 1]
        result = await run.result()
        assert result.seconds == 2.0, "api is taken by each op"
        await other

    virtually(scenario, {"pools": {"limits": {"db": {"limit": 1, "granularity": "run"}, "api": 1}}})


# ── conflicts and refusals ────────────────────────────────────────────────────────────────────────────────────────


def test_a_conflict_key_is_held_by_one_run_at_a_time() -> None:
    """`on_full="queue"`: the second run of a key waits for the first; other keys do not."""

    async def scenario(prod: Deployment) -> None:
        del prod
        keyed = napping.options(conflict_key="k")
        runs = [keyed.start(), keyed.start(), napping.options(conflict_key="other").start()]
        await anyio.sleep(0.5)
        assert statuses(runs) == "RQR"
        await asyncio.gather(*runs)

    virtually(scenario, {})


def test_a_singleton_conflicts_by_its_name() -> None:
    """`singleton=True` makes the graph's name its key."""

    @graph(singleton=True, on_full="reject")
    def alone() -> float:
        return nap(1.0)

    async def scenario(prod: Deployment) -> None:
        del prod
        run = alone.start()
        with pytest.raises(RunRejected, match=rf"conflict key 'alone' is taken by run {run.id}"):
            await alone.run()
        await run
        await alone.run()

    virtually(scenario, {})


def test_keep_newest_refuses_the_queued_run() -> None:
    """One runs, one is queued; the next takes the queued one's place, which reads CANCELED and raises RunRejected."""

    async def scenario(prod: Deployment) -> None:
        del prod
        keyed = napping.options(conflict_key="k", on_full="keep_newest")
        runs = [keyed.start(), keyed.start(), keyed.start()]
        assert statuses(runs) == "RCQ"
        assert runs[1].status is RunStatus.CANCELED
        with pytest.raises(RunRejected, match="came later"):
            await runs[1]
        with pytest.raises(RunRejected, match="came later"):
            await runs[1].result()
        await asyncio.gather(runs[0], runs[2])

    virtually(scenario, {})


def test_keep_oldest_refuses_the_new_run_if_one_is_queued() -> None:
    """One runs, one may be queued, the third is refused."""

    async def scenario(prod: Deployment) -> None:
        del prod
        keyed = napping.options(conflict_key="k", on_full="keep_oldest")
        runs = [keyed.start(), keyed.start()]
        with pytest.raises(RunRejected, match=r"queued for it already"):
            keyed.start()
        await asyncio.gather(*runs)

    virtually(scenario, {})


def test_cancel_running_takes_the_place() -> None:
    """The running one is cancelled; the new one starts when it has ended, its clean-up included."""

    @op
    async def tidy() -> float:
        try:
            await anyio.sleep(10)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)
        return 1.0

    @graph(conflict_key="k", on_full="cancel_running")
    def tidying() -> float:
        return tidy()

    async def scenario(prod: Deployment) -> None:
        del prod
        old = tidying.start()
        await anyio.sleep(1)
        new = tidying.start()
        await anyio.sleep(1)
        assert (old.status, new.status) == (RunStatus.CANCELING, RunStatus.QUEUED), "CANCELING still has the key"
        with pytest.raises(RunCanceled, match="took its place"):
            await old
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        assert new.status is RunStatus.RUNNING
        await new.cancel()

    virtually(scenario, {})


def test_cancel_running_needs_a_key() -> None:
    """There is no run to cancel without one."""

    async def scenario(prod: Deployment) -> None:
        del prod
        with pytest.raises(ConfigurationError, match="needs a conflict_key"):
            napping.options(on_full="cancel_running").start()

    virtually(scenario, {})


@pytest.mark.parametrize("on_full", ["queue", "reject", "keep_oldest"])
def test_a_full_queue_refuses_the_new_run(on_full: Any) -> None:
    """One runs, one is queued, `max_queued=1`: the third is refused by the door itself, and nothing is left of it."""

    async def scenario(prod: Deployment) -> None:
        runs = [napping.start(), napping.start()]
        with pytest.raises(RunRejected, match=r"queue of 'prod' is full \(max_queued=1\)"):
            napping.options(on_full=on_full).start()
        with pytest.raises(RunRejected, match="is full"):
            await napping.options(on_full=on_full).try_run()
        assert len(prod.snapshot().queued) == 1
        await asyncio.gather(*runs)

    virtually(scenario, runs_of(1, max_queued=1))


def test_a_full_queue_keeps_the_newest() -> None:
    """`keep_newest` refuses the queued run that is last in order."""

    async def scenario(prod: Deployment) -> None:
        del prod
        low = napping.options(priority=-1)
        runs = [napping.start(), low.start(), napping.start(), napping.options(on_full="keep_newest").start()]
        assert statuses(runs) == "RCQQ"
        with pytest.raises(RunRejected, match="is full"):
            await runs[1]
        await asyncio.gather(runs[0], *runs[2:])

    virtually(scenario, runs_of(1, max_queued=2))


def test_what_can_start_at_once_needs_no_place_in_the_queue() -> None:
    """`max_queued=0` refuses only runs that would have to wait."""

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [napping.start(), napping.start()]
        with pytest.raises(RunRejected):
            napping.start()
        await asyncio.gather(*runs)

    virtually(scenario, runs_of(2, max_queued=0))


def test_wait_timeout_refuses_a_run_that_waited_too_long() -> None:
    """After its seconds in QUEUED it is refused, naming what it waited for; one that was admitted is not."""

    async def scenario(prod: Deployment) -> None:
        first = napping.options(wait_timeout=1.0).start(5.0)
        late = napping.options(wait_timeout=2.5).start(1.0)
        with pytest.raises(RunRejected, match=r"for @max_concurrent_runs for longer than its wait_timeout of 2.5 s"):
            await late
        assert asyncio.get_running_loop().time() == 2.5
        assert prod.snapshot().queued == ()
        await first

    virtually(scenario, runs_of(1))


# ── cancelling ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cancelled_in_the_queue() -> None:
    """It reads CANCELED, what it waited sums up, and the next in line starts when the place is free."""

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [napping.start(1.0) for _ in range(3)]
        await anyio.sleep(0.5)
        await runs[1].cancel("not needed")
        result = await runs[1].result()
        assert (result.status, result.reason) == (RunStatus.CANCELED, "not needed")
        assert (dict(result.waits), result.queued) == ({"@max_concurrent_runs": 0.5}, 0.5)
        with pytest.raises(RunCanceled, match="not needed"):
            await runs[1]
        assert (await runs[2].result()).started_at == 1.0

    virtually(scenario, runs_of(1))


@pytest.mark.parametrize("turns", range(8))
def test_cancelled_around_its_admission(turns: int) -> None:
    """In whatever turn of the loop around its admission it is cancelled: one terminal status, and the next starts."""

    async def scenario(prod: Deployment) -> None:
        ended: list[RunStatus] = []
        prod.subscribe(lambda event: ended.append(event.status) if hasattr(event, "status") else None)
        first, second, third = [querying.start(1.0) for _ in range(3)]
        await anyio.sleep(0.9)
        first_ended = asyncio.ensure_future(first.result())
        await first_ended
        for _ in range(turns):
            await asyncio.sleep(0)
        await second.cancel()
        assert second.status is RunStatus.CANCELED
        assert (await third.result()).started_at == 1.0
        runs = [status for status in ended if isinstance(status, RunStatus)]
        assert sorted(status.name for status in runs) == ["CANCELED", "SUCCEEDED", "SUCCEEDED"]

    virtually(scenario, {**runs_of(1), "pools": {"limits": {"db": 1}}})


def test_the_caller_of_a_queued_run_is_cancelled() -> None:
    """`await graph.run()` cancelled while QUEUED leaves the queue; nothing was started."""

    async def scenario(prod: Deployment) -> None:
        holder = napping.start(5.0)
        with anyio.move_on_after(1.0) as scope:
            await napping.run(1.0)
        assert scope.cancelled_caught
        assert prod.snapshot().queued == ()
        await holder

    virtually(scenario, runs_of(1))


def test_leaving_the_deployment_cancels_queued_runs() -> None:
    """Queued and running runs end CANCELED; with `drain` both finish."""

    async def leave(*, drain: bool) -> str:
        prod = Deployment("prod", concurrency=runs_of(1), drain=drain)
        async with prod:
            runs = [napping.start(1.0) for _ in range(3)]
            await anyio.sleep(0.5)
        return statuses(runs)

    assert run_virtual(lambda: leave(drain=False)) == "CCC"
    assert run_virtual(lambda: leave(drain=True)) == "SSS"


def test_leaving_cancelled_while_draining_ends_every_run() -> None:
    """A drain that is cancelled becomes a cancellation of all runs, and returns when all have ended."""
    ended: list[float] = []

    @op
    async def tidy(seconds: float) -> float:
        try:
            await anyio.sleep(100)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(seconds)
            ended.append(seconds)
        return seconds

    @graph
    def tidying(seconds: float) -> float:
        return tidy(seconds)

    async def main() -> None:
        prod = Deployment("prod", drain=True)
        with anyio.move_on_after(1):
            async with prod:
                for seconds in (1.0, 2.0, 3.0):
                    tidying.start(seconds)
        assert ended == [1.0, 2.0, 3.0]
        assert not prod.is_open
        assert prod.snapshot().running == ()

    run_virtual(main)


def test_a_run_that_cannot_be_met_is_refused_alone() -> None:
    """A pool function of a root that raises fails its op; the run fails by itself and leaves no place taken."""

    def which(seconds: float) -> str:
        raise LookupError(f"no pool for {seconds}")

    @graph
    def broken() -> float:
        return query.options(pool=which)(1.0)

    async def scenario(prod: Deployment) -> None:
        del prod
        holder = napping.start(1.0)
        result = await broken.try_run()
        assert result.status is RunStatus.FAILED
        assert [type(error) for error in result.errors] == [LookupError]
        await holder

    virtually(scenario, runs_of(1))


def test_a_pool_function_of_a_root_is_asked_once() -> None:
    """It is called when the run is submitted, and its answer is kept."""
    calls: list[float] = []

    def which(seconds: float) -> str:
        calls.append(seconds)
        return "db"

    @graph
    def asked() -> float:
        return nap.options(pool=which)(1.0)

    async def scenario(prod: Deployment) -> None:
        runs = [asked.start(), asked.start()]
        await anyio.sleep(0.5)
        assert statuses(runs) == "RQ"
        await prod.tune(pools={"db": {"per_key": 1}})
        await asyncio.gather(*runs)
        assert calls == [1.0, 1.0]

    virtually(scenario, {**runs_of(5), "pools": {"limits": {"db": 1}}})


def test_counters_of_tag_values_that_nobody_uses_are_forgotten() -> None:
    """2,000 users one after another leave no more than a few limits behind."""

    async def scenario(prod: Deployment) -> None:
        for user in range(2_000):
            await napping.options(tags={"user": str(user)}).run(0.0)
            if not user % 100:
                gc.collect()
        assert len(prod.snapshot().limits) < 400

    rule = {"key": "user", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    virtually(scenario, runs_of(1, tag_concurrency_limits=[rule]))


def test_a_run_that_took_a_place_is_not_refused_for_a_full_queue() -> None:
    """Given a full queue and `cancel_running`: the new run waits in the place of the one it cancelled; none is lost."""

    async def scenario(prod: Deployment) -> None:
        first = napping.options(conflict_key="k").start(5.0)
        await anyio.lowlevel.checkpoint()
        second = napping.options(conflict_key="k", on_full="cancel_running").start(1.0)
        assert await second == 1.0
        assert first.status is RunStatus.CANCELED

    virtually(scenario, {"runs": {"max_queued": 0}})


def test_nobody_overtakes_in_the_turn_of_submission() -> None:
    """Given A and B of a team of one, and C that needs nothing, in one turn: they start A, C, B."""
    started: list[str] = []

    async def scenario(prod: Deployment) -> None:
        names: dict[str, str] = {}
        prod.subscribe(lambda event: started.append(names[event.run_id]) if isinstance(event, RunStarted) else None)
        runs = []
        for name, tags in (("A", {"team": "x"}), ("B", {"team": "x"}), ("C", {})):
            runs.append(napping.options(tags=tags).start(1.0))
            names[runs[-1].id] = name
        for run in runs:
            await run

    virtually(scenario, {"runs": {"tag_concurrency_limits": [{"key": "team", "limit": 1}]}})
    assert started == ["A", "C", "B"]
