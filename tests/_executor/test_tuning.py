"""Limits that change while runs wait and run: what starts, what stays, what is told beforehand."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from asyncflow import (
    PER_VALUE,
    ConfigurationError,
    DemandError,
    Deployment,
    Event,
    LimitChanged,
    NeverFits,
    OpBlocked,
    OpUnblocked,
    PoolUnknown,
    RunBlocked,
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
def queries(count: int) -> list[float]:
    return [query(1.0) for _ in range(count)]


def virtually(scenario: Callable[[Deployment], Awaitable[None]], concurrency: dict[str, Any]) -> None:
    """Runs a scenario in an open deployment; afterwards nothing may be held, asked for or in debt."""
    prod = Deployment("prod", concurrency=concurrency)

    async def main() -> None:
        async with prod:
            await scenario(prod)
        snapshot = prod.snapshot()
        assert [view.name for view in snapshot.limits if view.held or view.waiters or view.debt] == []

    run_virtual(main)


def held(prod: Deployment, limit: str = "db") -> int:
    return prod.snapshot().limit(limit).held


async def turns(number: int = 3) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def test_up_at_once_and_down_by_attrition() -> None:
    """Raising starts in the same turn; lowering below the use cancels nothing and admits nothing until below."""

    async def scenario(prod: Deployment) -> None:
        run = queries.start(10)
        await anyio.sleep(0.5)
        assert held(prod) == 2
        await prod.tune(pools={"db": 4})
        await turns()
        assert held(prod) == 4
        await prod.tune(pools={"db": 1})
        await anyio.sleep(0.55)
        assert (held(prod), prod.snapshot().limit("db").debt) == (2, 1), "two began half a second later"
        await anyio.sleep(0.55)
        assert held(prod) == 1
        await run

    virtually(scenario, {"pools": {"limits": {"db": 2}}})


def test_zero_pauses_and_none_frees() -> None:
    """0 blocks without an error; None lets all go."""

    async def scenario(prod: Deployment) -> None:
        await prod.tune(pools={"db": 0})
        run = queries.start(5)
        await anyio.sleep(10)
        assert run.status is RunStatus.QUEUED
        await prod.tune(pools={"db": None})
        result = await run.result()
        assert (peak(result), result.seconds, result.queued) == (5, 1.0, 10.0)

    virtually(scenario, {"pools": {"limits": {"db": 1}}})


def test_all_or_nothing() -> None:
    """One field that does not fit, and nothing of the rest is changed."""

    async def scenario(prod: Deployment) -> None:
        for bad in (
            {"pools": {"db": -1}},
            {"pools": {"db": {"limt": 3}}},
            {"pools": {"db:key": 1}},
            {"pools": 3},
            {"default_limit": 1.5},
            {"tag_concurrency_limits": [TagLimit("a", limit=1), TagLimit("a", limit=2)]},
            {"max_queued": True},
        ):
            with pytest.raises(ConfigurationError):
                await prod.tune(**{"max_concurrent_runs": 7, **bad})
            if "max_queued" not in bad:
                with pytest.raises(ConfigurationError):
                    prod.preview(**{"max_concurrent_runs": 7, **bad})
        runs = [napping.start() for _ in range(3)]
        await turns()
        assert [run.status.name for run in runs] == ["RUNNING", "QUEUED", "QUEUED"]
        await asyncio.gather(*runs)

    virtually(scenario, {"runs": {"max_concurrent_runs": 1}})


def test_pools_follow_the_default_until_they_are_set() -> None:
    """A pool nobody set follows `default_limit`, also later; one that was set does not; "default" follows again."""

    async def scenario(prod: Deployment) -> None:
        run = queries.start(20)
        await turns()
        assert held(prod) == 1
        await prod.tune(default_limit=3)
        await turns()
        assert held(prod) == 3
        await prod.tune(pools={"db": 4})
        await prod.tune(default_limit=9)
        await turns()
        assert held(prod) == 4
        await prod.tune(pools={"db": "default"})
        await turns()
        assert held(prod) == 9
        await prod.tune(default_limit=None)
        await turns()
        assert held(prod) == 20
        await run

    virtually(scenario, {"pools": {"default_limit": 1}})


def test_keys_limited_while_ops_wait_and_run() -> None:
    """A new `per_key` holds for those that wait; those that run count too, above it if need be; taken away, all go."""
    keyed = query.options(pool="api:customer")

    @graph
    def job() -> list[float]:
        return [keyed(1.0) for _ in range(8)]

    async def scenario(prod: Deployment) -> None:
        run = job.start()
        await anyio.sleep(0.5)
        assert held(prod, "api") == 4
        await prod.tune(pools={"api": {"per_key": 1}})
        assert prod.snapshot().limit("api:customer").debt == 3
        await anyio.sleep(1)
        assert held(prod, "api") == 1
        await prod.tune(pools={"api": {"per_key": None}})
        await turns()
        assert held(prod, "api") == 4
        await run

    virtually(scenario, {"pools": {"limits": {"api": 4}}})


def test_run_tag_rules_that_come_while_runs_wait_and_run() -> None:
    """A new rule counts the runs that run already, above its limit if need be; a rule taken away lets them go."""

    async def scenario(prod: Deployment) -> None:
        tagged = napping.options(tags={"team": "a"})
        runs = [tagged.start(2.0) for _ in range(3)]
        await turns()
        await prod.tune(tag_concurrency_limits=[TagLimit("team", PER_VALUE, 2)])
        late = tagged.start(2.0)
        await anyio.sleep(0.5)
        assert (held(prod, "@run_tag:team[a]"), late.status) == (3, RunStatus.QUEUED)
        await prod.tune(tag_concurrency_limits=[])
        await turns()
        assert late.status is RunStatus.RUNNING
        await asyncio.gather(*runs, late)

    virtually(scenario, {})


def test_a_cap_on_runs_that_comes_while_runs_wait_and_run() -> None:
    """From unlimited to 1: runs that run are counted, the next waits for all of them; back to unlimited, it goes."""

    async def scenario(prod: Deployment) -> None:
        runs = [napping.start(2.0) for _ in range(3)]
        await turns()
        await prod.tune(max_concurrent_runs=1)
        late = napping.start(1.0)
        await anyio.sleep(0.5)
        assert (held(prod, "@max_concurrent_runs"), late.status) == (3, RunStatus.QUEUED)
        await prod.tune(max_concurrent_runs=5)
        await turns()
        assert late.status is RunStatus.RUNNING
        await prod.tune(max_concurrent_runs=None)
        await asyncio.gather(*runs, late)

    virtually(scenario, {})


def test_pause_and_resume() -> None:
    """The queue or one pool stands still while paused; what runs goes on; pausing twice is pausing once."""

    async def scenario(prod: Deployment) -> None:
        first = queries.start(2)
        await anyio.sleep(0.5)
        await prod.pause(pool="db")
        await prod.pause(pool="db")
        await prod.pause()
        second = napping.start(1.0)
        await anyio.sleep(5)
        assert (first.status, second.status) == (RunStatus.RUNNING, RunStatus.QUEUED)
        assert prod.explain(second.id).unblocked_by == ("resuming @max_concurrent_runs",)
        await prod.resume()
        await turns()
        assert (second.status, held(prod)) == (RunStatus.RUNNING, 0)
        await prod.resume(pool="db")
        await asyncio.gather(first, second)

    virtually(scenario, {"pools": {"limits": {"db": 1}}})


def test_a_run_is_tuned_while_it_runs() -> None:
    """Another cap, a cap where there was none, other op-tag rules: they hold from the next round on."""

    @graph
    def wide() -> list[float]:
        return each(nap.options(tags={"kind": "io"}), [1.0] * 12)

    async def scenario(prod: Deployment) -> None:
        run = wide.options(max_concurrent=2).start()
        await turns()
        assert held(prod, "@max_concurrent") == 2
        await run.tune(max_concurrent=3)
        await turns()
        assert held(prod, "@max_concurrent") == 3
        await run.tune(max_concurrent=None, tag_concurrency_limits=[TagLimit("kind", "io", 5)])
        await turns()
        assert held(prod, "@tag:kind=io") == 5
        with pytest.raises(ConfigurationError, match="max_concurrent"):
            await run.tune(max_concurrent=-1)
        await run.tune(tag_concurrency_limits=[])
        await turns(12)
        assert run.snapshot().running == 12
        await run

    virtually(scenario, {})


def test_preview_says_what_tune_then_does_and_changes_nothing() -> None:
    """Those that `preview` names start in the round after `tune`, in that order; looking changes nothing."""

    async def scenario(prod: Deployment) -> None:
        runs = [napping.start(1.0) for _ in range(5)]
        await turns()
        before = prod.snapshot()
        previewed = prod.preview(max_concurrent_runs=3, pools={"new": 1})
        assert prod.snapshot() == before
        assert [place.run_id for place in previewed.starts] == [run.id for run in runs[1:3]]
        assert len(previewed.stays) == 2
        await prod.tune(max_concurrent_runs=3)
        await turns()
        assert [run.status.name for run in runs] == ["RUNNING"] * 3 + ["QUEUED"] * 2
        assert prod.preview(max_concurrent_runs=1).starts == ()
        await asyncio.gather(*runs)

    virtually(scenario, {"runs": {"max_concurrent_runs": 1}})


def test_what_can_never_fit_any_more_waits_and_is_named() -> None:
    """Refused at submission; but where a limit shrinks below a waiter's demand later, it stays BLOCKED and is told."""
    told: list[Event] = []

    async def scenario(prod: Deployment) -> None:
        prod.subscribe(told.append)
        big = query.options(pool={"db": 3})
        holder = big.start(1.0)
        await turns()
        waiter = big.start(1.0)
        await turns()
        assert [place.run_id for place in prod.preview(pools={"db": 2}).never] == [waiter.id]
        await prod.tune(pools={"db": 2})
        with pytest.raises(DemandError, match="asks for 3 of 'db', whose limit is 2"):
            big.start(1.0)
        await anyio.sleep(5)
        assert waiter.status is RunStatus.QUEUED
        assert [(event.run_id, event.limit) for event in told if isinstance(event, NeverFits)] == [(waiter.id, "db")]
        await prod.tune(pools={"db": 3})
        await asyncio.gather(holder, waiter)

    virtually(scenario, {"pools": {"limits": {"db": 3}}})


def test_a_new_pool_is_accepted_and_reported_with_the_nearest_name() -> None:
    """It is most often a misspelling."""
    told: list[Event] = []

    async def scenario(prod: Deployment) -> None:
        prod.subscribe(told.append)
        await prod.tune(pools={"databse": 5, "database": 2})
        assert [(event.pool, "'database'" in event.message) for event in told if isinstance(event, PoolUnknown)] == [
            ("databse", True)
        ]
        assert [(event.limit, event.after) for event in told if isinstance(event, LimitChanged)] == [("database", 2)]

    virtually(scenario, {"pools": {"limits": {"database": 1}}})


def test_numbers_survive_the_loop() -> None:
    """What was tuned holds on the next event loop too."""
    prod = Deployment("prod")

    async def first() -> None:
        await prod.tune(max_concurrent_runs=1)

    async def second() -> list[str]:
        async with prod:
            runs = [napping.start() for _ in range(2)]
            await turns()
            return [run.status.name for run in runs]

    run_virtual(first)
    assert run_virtual(second) == ["RUNNING", "QUEUED"]


def test_blocked_and_unblocked_are_told_once() -> None:
    """An op that waits is told once with its limits, and once more when it is let in, with its seconds."""
    told: list[Event] = []

    async def scenario(prod: Deployment) -> None:
        prod.subscribe(told.append)
        await queries.start(2)

    virtually(scenario, {"pools": {"limits": {"db": 1}}})
    blocked = [(event.key, event.limits) for event in told if isinstance(event, OpBlocked)]
    assert blocked == [("query#2", ("db",))]
    assert [(event.key, event.seconds) for event in told if isinstance(event, OpUnblocked)] == [("query#2", 1.0)]


def test_a_waiter_is_told_once_for_each_limit_that_is_in_its_way() -> None:
    """Given an op that waits for api: told again when db becomes short too, once, though db comes and goes."""
    told: list[Event] = []

    @op(pool={"db": 1, "api": 2})
    async def both() -> None:
        await asyncio.sleep(1)

    async def scenario(prod: Deployment) -> None:
        prod.subscribe(told.append)
        async with prod.slots("api"):
            run = both.start()
            for _ in range(3):
                await turns()
                async with prod.slots("db"):
                    await turns()
        await run

    virtually(scenario, {"pools": {"limits": {"db": 1, "api": 2}}})
    blocked = [event.limits for event in told if isinstance(event, OpBlocked | RunBlocked)]
    assert blocked == [("api",), ("db", "api")]


def test_an_explanation_reads_like_a_sentence() -> None:
    """Given a run in the queue, an op in line and one that runs: the texts say what is missing and what would help."""

    async def scenario(prod: Deployment) -> None:
        async with prod.slots({"db": 2}, label="the migration"):
            run, later = query.start(1), query.start(2)
            await turns()
            assert str(prod.explain(run.id)) == (
                "It is QUEUED: it needs 1 of db, and none is free; the migration holds 2; it is first in line.\n"
                "It would start with 1 more of db, or with the end of the migration."
            )
            assert "it is number 2 in line" in str(prod.explain(later.id))
        await turns()
        assert str(prod.explain(run.id)) == "It is RUNNING."
        await run
        await later
        wide = queries.start(3)
        await turns()
        assert str(wide.explain()).startswith(
            "It is RUNNING; query#3 waits: it needs 1 of db, and none is free; queries/"
        )

    virtually(scenario, {"pools": {"limits": {"db": 2}}})


def test_what_takes_effect_at_once_may_be_awaited_or_not() -> None:
    """`pause`, `resume` and `set_priority` are done when they return; `await` changes nothing and takes no turn."""

    async def scenario(prod: Deployment) -> None:
        prod.pause(pool="db")
        assert prod.snapshot().pool("db").paused
        run = query.start(1)
        await turns()
        assert str(prod.explain(run.id)) == (
            "It is QUEUED: it needs 1 of db, which is paused; nobody holds any; it is first in line.\n"
            "It would start with resuming db."
        )
        assert await run.set_priority(3) is None
        prod.set_priority(run.id, 4)
        assert run.snapshot().priority == 4
        assert await prod.resume(pool="db") is None
        assert await run == 1

    virtually(scenario, {"pools": {"limits": {"db": 2}}})


def test_events_of_a_deployment_end_when_it_is_closed() -> None:
    """Given somebody who reads all events: leaving the deployment ends the iteration, after the last of them."""
    seen: list[Event] = []

    async def read(prod: Deployment) -> None:
        seen.extend([event async for event in prod.events()])

    async def main() -> None:
        async with asyncio.TaskGroup() as group, Deployment("prod") as prod:
            group.create_task(read(prod))
            await turns()
            await query.run(1.0)
        assert [type(event).__name__ for event in seen[-2:]] == ["OpEnded", "RunEnded"]

    run_virtual(main)


def test_a_run_is_not_touched_from_another_thread() -> None:
    """Given a live run: touching it from another thread is refused and says what to write, and the run goes on."""

    async def scenario(prod: Deployment) -> None:
        run = query.start(1)
        await turns()

        def elsewhere() -> list[str]:
            said: list[str] = []
            calls: list[Callable[[], object]] = [
                lambda: run.set_priority(3),
                lambda: asyncio.run(run.cancel()),
                lambda: asyncio.run(run.result()),  # type: ignore[arg-type]  # a coroutine
                lambda: asyncio.run(run.tune(max_concurrent=1)),
                run.explain,
                prod.snapshot,
            ]
            for call in calls:
                with pytest.raises(ConfigurationError) as refused:
                    call()
                said.append(str(refused.value))
            return said

        said = await anyio.to_thread.run_sync(elsewhere)
        assert all("threadsafe" in text for text in said), said
        assert await run == 1
        assert run.set_priority(9) is not None
        assert run.snapshot().priority == 0

    virtually(scenario, {"pools": {"limits": {"db": 2}}})
