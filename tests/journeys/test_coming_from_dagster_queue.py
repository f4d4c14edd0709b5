"""Rows 1A (the run queue), 1B (run tags), 1E (branches) and 1I (a run's life) that need a test of their own."""

import asyncio
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncflow import (
    ConfigurationError,
    Deployment,
    Event,
    OpStatus,
    RunCanceled,
    RunEnded,
    RunRejected,
    RunStatus,
    TagLimit,
    graph,
    op,
)
from asyncflow.testing import run_virtual
from tests.journeys.stage import nap, napping, now, play, query, querying, settle, statuses, tidy, tidying


def places(most: int | None, **others: Any) -> dict[str, Any]:
    """So many runs at once."""
    return {"runs": {"max_concurrent_runs": most, **others}}


def rules(*given: dict[str, Any]) -> dict[str, Any]:
    """Run-tag rules, and no other limit."""
    return {"runs": {"tag_concurrency_limits": list(given)}}


# ── 1A: the run queue ─────────────────────────────────────────────────────────────────────────────────────────────


def test_1a_without_a_limit_nothing_is_capped() -> None:
    """Given a deployment without numbers (Dagster: 10), when 30 runs come, then 30 run."""

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [napping.start() for _ in range(30)]
        await anyio.sleep(0.5)
        assert statuses(runs) == "R" * 30

    play({}, scenario)


@pytest.mark.parametrize(
    ("older", "setting"),
    [
        ("run_queue: {max_concurrent_runs: 3}", "max_concurrent_runs"),
        ("run_queue: {tag_concurrency_limits: []}", "tag_concurrency_limits"),
        ("run_queue: {block_op_concurrency_limited_runs: {enabled: true}}", "block_op_concurrency_limited_runs"),
        ("run_coordinator: {class: Q, config: {max_concurrent_runs: 3}}", "max_concurrent_runs"),
    ],
)
def test_1a_the_same_number_in_an_older_place_is_refused(tmp_path: Path, older: str, setting: str) -> None:
    """Given a limit in a legacy block beside `concurrency:`, when the file is read, then both places are named."""
    file = tmp_path / "dagster.yaml"
    file.write_text(f"{older}\nconcurrency: {{runs: {{max_concurrent_runs: 4}}}}")
    with pytest.raises(ConfigurationError, match=rf"{older.partition(':')[0]}.*{setting}.*`concurrency:`"):
        Deployment.from_yaml(file)


def test_1a_a_deployment_that_is_not_open_limits_too() -> None:
    """Given no `async with` (Dagster: no daemon, no limits), when runs are awaited, then the limits hold."""
    prod = Deployment("prod", concurrency=places(1))

    async def main() -> list[float]:
        results = await asyncio.gather(*[napping.on(prod).try_run() for _ in range(3)])
        return [result.started_at for result in results]

    assert run_virtual(main) == [0.0, 1.0, 2.0]


def test_1a_raised_it_lets_out_in_the_same_turn() -> None:
    """Given 5 runs and one place, when there are 3, then 2 more run after one turn of the loop, at the same time."""

    async def scenario(prod: Deployment) -> None:
        runs = [napping.start() for _ in range(5)]
        await settle()
        assert statuses(runs) == "RQQQQ"
        await prod.tune(max_concurrent_runs=3)
        assert statuses(runs) == "RQQQQ", "`tune` itself lets nothing run"
        await asyncio.sleep(0)
        assert (statuses(runs), now()) == ("RRRQQ", 0.0)
        await asyncio.gather(*runs)

    play(places(1), scenario)


def test_1a_lowered_below_its_use_nothing_is_cancelled_and_nothing_starts() -> None:
    """Given 3 runs that end at 1, 2, 3 s and a fourth, when the cap becomes 2 at once, then it starts at 2 s."""

    async def scenario(prod: Deployment) -> None:
        runs = [napping.start(seconds) for seconds in (1.0, 2.0, 3.0)]
        await settle()
        await prod.tune(max_concurrent_runs=2)
        late = napping.start()
        await anyio.sleep(1.5)
        assert statuses([*runs, late]) == "SRRQ", "two hold two places: full, not below"
        assert (await late.result()).started_at == 2.0
        assert [(await run.result()).seconds for run in runs] == [1.0, 2.0, 3.0]

    play(places(3), scenario)


def test_1a_a_paused_queue_is_resumed() -> None:
    """Given `pause()` instead of the documented 0, when runs come, then none starts before `resume()`, then all."""

    async def scenario(prod: Deployment) -> None:
        running = napping.start(10.0)
        await settle()
        prod.pause()
        runs = [napping.start() for _ in range(3)]
        await anyio.sleep(5)
        assert statuses([running, *runs]) == "RQQQ", "what runs goes on"
        prod.resume()
        assert [(await run.result()).started_at for run in runs] == [5.0] * 3
        await running

    play(places(4), scenario)


# ── 1B: run tags ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rule", "tags", "expected"),
    [
        ({"key": "t", "limit": 1}, ["a", "b", "a", None], "RQQR"),
        ({"key": "t", "value": {"applyLimitPerUniqueValue": False}, "limit": 1}, ["a", "b", None], "RQR"),
        ({"key": "t", "value": "a", "limit": 1}, ["a", "b", "a", "b", None], "RRQRR"),
        ({"key": "t", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}, ["a", "b", "a", "b"], "RRQQ"),
        ({"key": "t", "value": "", "limit": 0}, ["", "b", None], "QRR"),
        ({"key": "t", "limit": 0}, ["a", None], "QR"),
    ],
)
def test_1b_the_three_forms(rule: dict[str, Any], tags: list[str | None], expected: str) -> None:
    """Given a rule, when runs with and without the tag come, then it counts its own ones only, and 0 stops them.

    Of a key all values together, of a value that one only, also the empty one, per value each; others are free.
    """

    async def scenario(prod: Deployment) -> None:
        runs = [napping.options(tags={} if tag is None else {"t": tag}).start() for tag in tags]
        await anyio.sleep(0.5)
        assert statuses(runs) == expected
        await prod.tune(tag_concurrency_limits=[])
        await settle()
        assert "Q" not in statuses(runs)

    play(rules(rule), scenario)


def test_1b_op_tags_never_match_nor_do_run_tags_match_rules_for_ops() -> None:
    """Given a run rule on `kind` and an op rule on `team`, when ops have `kind` and runs `team`, then nothing waits."""

    @graph(tag_concurrency_limits=[TagLimit("team", limit=1)])
    def job() -> list[float]:
        return [nap.options(tags={"kind": "x"})(1.0) for _ in range(3)]

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [job.options(tags={"team": "a"}).start() for _ in range(2)]
        results = [await run.result() for run in runs]
        assert [(result.seconds, result.queued) for result in results] == [(1.0, 0.0)] * 2

    play(rules({"key": "kind", "limit": 1}), scenario)


def test_1b_a_run_that_is_being_cancelled_still_counts() -> None:
    """Given one run per team, when the one of `a` cleans up for 2 s, then the next of `a` starts after that."""

    async def scenario(prod: Deployment) -> None:
        del prod
        first, second, other = [run.options(tags={"team": "a"}).start() for run in (tidying, napping, napping)]
        await anyio.sleep(1)
        cancelling = asyncio.ensure_future(first.cancel())
        await anyio.sleep(1)
        assert statuses([first, second, other]) == "CQQ"
        assert [(await run.result()).started_at for run in (second, other)] == [3.0, 4.0]
        await cancelling

    play(rules({"key": "team", "limit": 1}), scenario)


# ── 1E: branches ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_1e_fifty_runs_over_all_branches_unless_said_otherwise() -> None:
    """Given 6 branches of 10 runs and nothing said, when all come, then 50 run, and prod's own are not counted."""

    async def scenario(prod: Deployment) -> None:
        branches = [prod.branch(f"b{number}") for number in range(6)]
        runs = [napping.on(branch).start() for branch in branches for _ in range(10)]
        own = [napping.on(prod).start() for _ in range(3)]
        await anyio.sleep(0.5)
        assert (statuses(runs).count("R"), statuses(own)) == (50, "RRR")
        await asyncio.gather(*runs, *own)

    play({}, scenario)


def test_1e_the_cap_is_over_the_sum_beside_each_ones_own() -> None:
    """Given 3 runs over all branches and 2 in each, when two branches want 3, then 2 + 1 run, and later the others."""

    async def scenario(prod: Deployment) -> None:
        first, second = prod.branch("a"), prod.branch("b")
        runs = [napping.on(first).start() for _ in range(3)] + [napping.on(second).start() for _ in range(3)]
        own = [napping.on(prod).start() for _ in range(3)]
        await anyio.sleep(0.5)
        assert (statuses(runs[:3]), statuses(runs[3:]), statuses(own)) == ("RRQ", "RQQ", "RRQ")
        assert prod.snapshot().limit("@branch_runs").held == 3
        await prod.tune(max_concurrent_branch_deployment_runs=4)
        await settle()
        assert (statuses(runs[:3]), statuses(runs[3:])) == ("RRQ", "RRQ"), "now each one's own cap is in the way"
        await asyncio.gather(*runs, *own)

    play({**places(2), "max_concurrent_branch_deployment_runs": 3}, scenario)


# ── 1I: the life of a run ─────────────────────────────────────────────────────────────────────────────────────────


def ends_of(prod: Deployment) -> list[tuple[str, str, float]]:
    """Fills with the end of every run: its id, its status, and when."""
    ends: list[tuple[str, str, float]] = []

    def note(event: Event) -> None:
        if isinstance(event, RunEnded):
            ends.append((event.run_id, event.status.name, event.at))

    prod.subscribe(note)
    return ends


def test_1i_queued_running_succeeded_or_failed() -> None:
    """Given runs in line, when they go through, then they read QUEUED, RUNNING, and SUCCEEDED or FAILED."""

    @op
    async def fails() -> None:
        await anyio.sleep(1)
        raise ValueError

    async def scenario(prod: Deployment) -> None:
        del prod
        runs = [napping.start(), fails.start()]
        seen = [statuses([*runs])]
        for seconds in (0.5, 1.0, 1.0):
            await anyio.sleep(seconds)
            seen.append(statuses([*runs]))
        assert seen == ["QQ", "RQ", "SR", "SF"]

    play(places(1), scenario)


def test_1i_cancelled_in_the_queue_it_never_starts() -> None:
    """Given a QUEUED run, when it is cancelled, then it is CANCELED at once, ends once, and the next is next."""

    async def scenario(prod: Deployment) -> None:
        ends = ends_of(prod)
        holder, gone, following = [querying.start() for _ in range(3)]
        await anyio.sleep(0.5)
        await gone.cancel("not needed")
        assert (gone.status, now(), (await gone.result()).ops["query"].status) == (
            RunStatus.CANCELED,
            0.5,
            OpStatus.CANCELED,
        )
        assert (await following.result()).started_at == 1.0
        assert ends == [(gone.id, "CANCELED", 0.5), (holder.id, "SUCCEEDED", 1.0), (following.id, "SUCCEEDED", 2.0)]

    play(places(1), scenario)


@pytest.mark.parametrize("turns", range(8))
def test_1i_cancelled_at_the_very_turn_of_its_admission(turns: int) -> None:
    """Given a run whose place becomes free at 1 s, when it is cancelled so many turns later, then it ends once.

    (Dagster: a known race of cancelling and dequeuing.) Whoever is next starts at that time.
    """

    async def scenario(prod: Deployment) -> None:
        ends = ends_of(prod)
        holder, gone, following = [querying.start() for _ in range(3)]
        await holder
        for _ in range(turns):
            await asyncio.sleep(0)
        await gone.cancel()
        assert (await following.result()).started_at == 1.0
        assert [(run, status) for run, status, _ in ends if run == gone.id] == [(gone.id, "CANCELED")]
        assert len(ends) == 3

    play({**places(1), "pools": {"limits": {"db": 1}}}, scenario)


def test_1i_cancelled_with_ops_blocked_and_running_and_once_more_meanwhile() -> None:
    """Given a run with an op RUNNING and two BLOCKED, when it is cancelled twice, then it ends once, and all is back.

    The second time it is CANCELING; the first reason stays; the waiting run starts when the clean-up is over.
    """

    @graph
    def job() -> list[None]:
        return [tidy.options(pool="db")(2.0) for _ in range(3)]

    async def scenario(prod: Deployment) -> None:
        ends = ends_of(prod)
        run, following = job.start(), querying.start()
        await anyio.sleep(1)
        view = run.snapshot()
        assert (view.running, view.blocked, following.status) == (1, 2, RunStatus.QUEUED)
        first = asyncio.ensure_future(run.cancel("first"))
        await anyio.sleep(1)
        assert (run.status, prod.snapshot().limit("db").held) == (RunStatus.CANCELING, 1)
        await run.cancel("second")
        assert now() == 3.0, "it returns when everything is back"
        await first
        result = await run.result()
        assert (result.status, result.reason) == (RunStatus.CANCELED, "first")
        assert {record.status for record in result.ops.values()} == {OpStatus.CANCELED}
        with pytest.raises(RunCanceled, match="first"):
            await run
        assert (await following.result()).started_at == 3.0
        assert ends == [(run.id, "CANCELED", 3.0), (following.id, "SUCCEEDED", 4.0)]

    play({"pools": {"limits": {"db": 1}}}, scenario)


def test_1i_a_cancelled_run_is_never_a_failed_one() -> None:
    """Given an op whose clean-up raises, when its run is cancelled, then the run is CANCELED, and the error is told."""

    @op
    async def broken() -> None:
        try:
            await anyio.sleep(100)
        finally:
            raise ValueError("while cleaning up")

    async def scenario(prod: Deployment) -> None:
        del prod
        run = broken.start()
        await anyio.sleep(1)
        await run.cancel()
        result = await run.result()
        assert result.status is RunStatus.CANCELED
        assert [str(error) for error in result.errors] == ["while cleaning up"]

    play({}, scenario)


def test_1i_one_at_a_time_is_decided_at_once() -> None:
    """Given `singleton`, when 5 start in one turn (Dagster: all may see each other, and give way), then one runs."""

    @graph(singleton=True, on_full="reject")
    def alone() -> float:
        return nap(1.0)

    async def scenario(prod: Deployment) -> None:
        del prod
        got = await asyncio.gather(*[alone.run() for _ in range(5)], return_exceptions=True)
        assert [type(one) for one in got] == [float, *[RunRejected] * 4]
        assert await alone.run() == 1.0

    play({}, scenario)


def test_1i_the_limit_of_a_backfill_is_changed_after_it_was_submitted() -> None:
    """Given 20 queued runs of a backfill, when its limit grows from 2 to 5, then 5 run, and other runs never waited."""

    async def scenario(prod: Deployment) -> None:
        backfill = [napping.options(tags={"backfill": "2026"}).start() for _ in range(20)]
        other = napping.start()
        await anyio.sleep(0.5)
        assert (statuses(backfill).count("R"), other.status) == (2, RunStatus.RUNNING)
        await prod.tune(tag_concurrency_limits=[TagLimit("backfill", limit=5)])
        await settle()
        assert (statuses(backfill).count("R"), now()) == (5, 0.5)
        await asyncio.gather(*backfill, other)

    play(rules({"key": "backfill", "limit": 2}), scenario)


def test_1i_why_a_run_waits_is_said_at_any_time() -> None:
    """Given a run that waits for a tag and a pool, when asked, then both are named, with who holds them."""

    async def scenario(prod: Deployment) -> None:
        holder = query.start(5.0)
        tagged = napping.options(tags={"team": "a"}).start(5.0)
        await settle()
        run = querying.options(tags={"team": "a"}).start()
        await settle()
        why = prod.explain(run.id)
        assert why.state is RunStatus.QUEUED
        assert {blocker.limit: [str(who) for who, _ in blocker.holders] for blocker in why.blockers} == {
            "@run_tag:team": [f"run {tagged.id} of napping"],
            "db": [f"query/query of run {holder.id}"],
        }
        for one in (run, tagged, holder):
            await one.cancel()

    play({**rules({"key": "team", "limit": 1}), "pools": {"limits": {"db": 1}}}, scenario)
