"""What explanations say is what happens, and what cannot be done is refused instead of silently not done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asyncflow import ConcurrencyConfig, ConfigurationError, Deployment, Event, RunStatus, each, graph, op
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
def napping(seconds: float) -> float:
    return nap(seconds)


@graph
def querying(seconds: float) -> float:
    return query(seconds)


@graph(singleton=True)
def only_one(seconds: float) -> float:
    return nap(seconds)


async def turns() -> None:
    for _ in range(5):
        await anyio.lowlevel.checkpoint()


def virtually(scenario: Callable[[Deployment], Awaitable[None]], concurrency: dict[str, Any]) -> None:
    """Runs a scenario in an open deployment."""

    async def main() -> None:
        async with Deployment("prod", concurrency=concurrency) as prod:
            await scenario(prod)

    run_virtual(main)


def test_the_end_of_a_run_ends_its_ops_too() -> None:
    """Given a run that holds place and pool, A that needs both, B the place: its end is proposed to A, and A starts."""

    async def scenario(prod: Deployment) -> None:
        holder, a, b = querying.start(100), querying.start(50), napping.start(50)
        await turns()
        proposed = f"the end of run {holder.id} of querying"
        assert proposed in prod.explain(a.id).unblocked_by
        assert proposed not in prod.explain(b.id).unblocked_by
        await holder.cancel()
        await turns()
        assert (a.status, b.status) == (RunStatus.RUNNING, RunStatus.QUEUED)

    virtually(scenario, {"runs": {"max_concurrent_runs": 1}, "pools": {"limits": {"db": 1}}})


def test_growth_is_counted_from_the_limit_not_from_its_use() -> None:
    """Given a limit lowered below its use: so many more as are proposed start the waiter."""

    async def scenario(prod: Deployment) -> None:
        for _ in range(2):
            querying.start(100)
        waiter = querying.start(1)
        await turns()
        await prod.tune(pools={"db": 1})
        await turns()
        assert prod.explain(waiter.id).unblocked_by == ("2 more of db",)
        await prod.tune(pools={"db": 3})
        await turns()
        assert waiter.status is RunStatus.RUNNING

    virtually(scenario, {"pools": {"limits": {"db": 2}}})


@graph
def six() -> list[float]:
    return each(query, [1.0] * 6)


def test_those_behind_in_a_paused_pool_are_told_what_it_would_take() -> None:
    """Given a paused pool of two and four that wait: the third is told to resume it and add one; then it starts."""

    async def scenario(prod: Deployment) -> None:
        run = six.start()
        await anyio.sleep(0.5)
        prod.pause(pool="db")
        await anyio.sleep(3)
        assert run.explain("query[3]").unblocked_by == ("resuming db",)
        assert run.explain("query[4]").unblocked_by == ("resuming db and 1 more of db",)
        await prod.tune(pools={"db": 3})
        prod.resume(pool="db")
        await turns()
        assert run.explain("query[4]").state.name == "RUNNING"
        await run

    virtually(scenario, {"pools": {"limits": {"db": 2}}})


def test_before_the_next_turn_an_explanation_says_so() -> None:
    """Given a run that was only just started: the text says that the next turn decides, not that many wait."""

    async def scenario(prod: Deployment) -> None:
        run = querying.start(1)
        assert str(run.explain()) == "It is QUEUED.\nThe next turn of the loop decides anew; ask again after it."
        await run

    virtually(scenario, {"pools": {"limits": {"db": 1}}})


@op
async def migrating(prod: Deployment) -> None:
    async with prod.slots("db", label="the migration"):
        await anyio.sleep(1)


def test_an_op_that_waits_for_slots_says_so() -> None:
    """Given an op that runs and waits for slots in its body: it is RUNNING, and its slots are explained."""

    async def scenario(prod: Deployment) -> None:
        async with prod.slots("db", label="somebody"):
            run = migrating.start(prod)
            await turns()
            assert str(run.explain("migrating")).splitlines()[0] == (
                "It is RUNNING; the migration waits: it needs 1 of db, and none is free; somebody holds 1; it is first"
                " in line."
            )
        await run

    virtually(scenario, {"pools": {"limits": {"db": 1}}})


@op(pool="api")
async def call_api() -> None:
    """Asks for another pool than `query`."""


@graph
def two_roots() -> tuple[float, None]:
    return query(1.0), call_api()


def test_two_ways_to_start_are_no_two_reasons() -> None:
    """Given a run with two roots that lack different pools: the text says that either would do."""

    async def scenario(prod: Deployment) -> None:
        async with prod.slots({"db": 1, "api": 1}):
            run = two_roots.start()
            await turns()
            said = str(run.explain()).splitlines()
            assert said[0] == "It is QUEUED; it can start in 2 ways, each of which lacks something:"
            assert [line.split(",")[0] for line in said[1:3]] == ["  it needs 1 of db", "  it needs 1 of api"]
        await run

    virtually(scenario, {"pools": {"limits": {"db": 1, "api": 1}}})


def test_nobody_is_told_to_raise_what_cannot_be_raised() -> None:
    """Given a run that waits for its conflict key: the end of the other run is proposed, not more of the key."""

    async def scenario(prod: Deployment) -> None:
        first = napping.options(conflict_key="k").start(10)
        second = napping.options(conflict_key="k").start(1)
        await turns()
        assert prod.explain(second.id).unblocked_by == (f"the end of run {first.id} of napping",)

    virtually(scenario, {})


@op
async def twice() -> list[float]:
    return await asyncio.gather(only_one.run(1.0), only_one.run(1.0))


def test_options_of_whole_runs_are_refused_on_children() -> None:
    """A singleton that an op runs as a child would run twice at once: it is refused, and says what to write."""

    async def main() -> None:
        with pytest.raises(ConfigurationError, match=r"only_one: singleton belongs to a whole run; here, inside an op"):
            await twice.run()

    run_virtual(main)


def test_closing_inside_an_own_op_is_refused() -> None:
    """A deployment cannot be closed by an op whose end it would wait for; the op can say so, and all goes on."""

    @op
    async def closes(prod: Deployment) -> None:
        await prod.close()

    async def scenario(prod: Deployment) -> None:
        with pytest.raises(ConfigurationError, match=r"cannot be closed inside its own op closes, whose end"):
            await closes.run(prod)
        assert await napping.run(1.0) == 1.0

    virtually(scenario, {})


def test_the_cap_over_all_branches_is_not_one_branchs() -> None:
    """It is refused where a branch is made and where one is tuned, naming the parent."""

    async def scenario(prod: Deployment) -> None:
        with pytest.raises(
            ConfigurationError, match=r"branch 'x': .* counts the runs of all branches; set it on 'prod'"
        ):
            prod.branch("x", concurrency={"max_concurrent_branch_deployment_runs": 0})
        with pytest.raises(ConfigurationError, match=r"counts the runs of all branches; tune it on 'prod'"):
            await prod.branch("y").tune(max_concurrent_branch_deployment_runs=1)

    virtually(scenario, {})


def test_a_pool_of_keys_follows_the_default_limit() -> None:
    """Given `per_key` and no `limit`: the total is the default limit."""

    @op(pool=lambda customer: f"api:{customer}")
    async def call(customer: str) -> str:
        await anyio.sleep(1)
        return customer

    @graph
    def calls(customers: list[str]) -> list[str]:
        return each(call, customers)

    async def scenario(prod: Deployment) -> None:
        del prod
        assert peak(await calls.try_run(["a", "b", "c", "d"]), pool="api") == 2

    virtually(scenario, {"pools": {"limits": {"api": {"per_key": 1}}, "default_limit": 2}})


def test_what_is_no_observer_and_no_op_is_refused() -> None:
    """An async observer would never be awaited, and a plain function has no options."""

    async def seen(event: Event) -> None:
        del event

    async def scenario(prod: Deployment) -> None:
        with pytest.raises(ConfigurationError, match=r"and seen is an async def, which nobody would await"):
            prod.subscribe(seen)  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(ConfigurationError, match=r"deployment.run takes an op or a graph, not function"):
            await prod.run(lambda: 1)  # type: ignore[arg-type]  # wrong on purpose

    virtually(scenario, {})


def test_snapshots_show_the_rules_in_force_and_cannot_be_written_to() -> None:
    """Given a rule that was replaced: its counter has no capacity any more; the tags of a view are read-only."""

    async def scenario(prod: Deployment) -> None:
        await napping.options(tags={"t": "a"}).run(1.0)
        await prod.tune(tag_concurrency_limits=[])
        run = napping.options(tags={"t": "a"}).start(1.0)
        await turns()
        assert prod.snapshot().limit("@run_tag:t").capacity is None
        with pytest.raises(TypeError):
            run.snapshot().tags["t"] = "b"  # type: ignore[index]  # wrong on purpose
        await run

    virtually(scenario, {"runs": {"tag_concurrency_limits": [{"key": "t", "limit": 1}]}})


def test_tuning_takes_rules_as_a_configuration_does() -> None:
    """Mappings and `TagLimit`s mean the same, in `tune` and in `preview`; a wrong one is named and nothing changes."""

    async def scenario(prod: Deployment) -> None:
        rules: list[dict[str, Any]] = [{"key": "t", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}]
        await prod.tune(tag_concurrency_limits=rules, max_queued=5)
        runs = [napping.options(tags={"t": tag}).start(1.0) for tag in "aab"]
        await turns()
        assert [run.status.name for run in runs] == ["RUNNING", "QUEUED", "RUNNING"]
        preview = prod.preview(tag_concurrency_limits=[], max_queued=1)
        assert [str(place) for place in preview.starts] == [f"run {runs[1].id} of napping"]
        with pytest.raises(ConfigurationError, match=r"tag_concurrency_limits: rule 0 has no field 'limt'"):
            await prod.tune(tag_concurrency_limits=[{"key": "t", "limt": 2}])
        assert [run.status.name for run in runs] == ["RUNNING", "QUEUED", "RUNNING"]
        for run in runs:
            await run

    virtually(scenario, {})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("POOLS_DEFAULT_LIMIT", "POOLS__DEFAULT_LIMIT"),
        ("RUNS_MAX_QUEUED", "RUNS__MAX_QUEUED"),
        ("MAX_QUEUED", "RUNS__MAX_QUEUED"),
        ("TAG_CONCURRENCY_LIMITS", "RUNS__TAG_CONCURRENCY_LIMITS"),
    ],
)
def test_a_variable_with_one_underscore_for_two_is_refused(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit must not be lost to a single underscore: the error names the variable that was meant."""
    monkeypatch.setenv(f"LIMITS_{name}", "1")
    with pytest.raises(ConfigurationError, match=rf"LIMITS_{name} is not known; .*: LIMITS_{meant}$"):
        ConcurrencyConfig.from_env(prefix="LIMITS_")
