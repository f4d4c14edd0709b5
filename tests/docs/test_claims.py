"""What the how-to pages say beside their blocks, where no other test shows it."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from asyncflow import (
    ConcurrencyConfig,
    ConfigurationError,
    Deployment,
    Run,
    RunEnded,
    RunRejected,
    RunStatus,
    TagLimit,
    graph,
    op,
)
from asyncflow.testing import run_virtual
from tests.docs.test_blocks import PAGES, ROOT
from tests.journeys.stage import nap, napping, now, play, query, querying, settle, statuses

# ── what blocks print ─────────────────────────────────────────────────────────────────────────────────────────────


def said(text: str) -> list[str]:
    """What comments behind `print(…)` say is printed, up to `…`; other comments explain and begin in lower case."""
    found = re.findall(r"^ *print\(.*\) +# (.+)$", text, flags=re.MULTILINE)
    return [one.partition("…")[0].strip() for one in found if not one[0].islower() or one[0] in "[<"]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if said(page.read_text())], ids=lambda page: str(page.relative_to(ROOT))
)
def test_blocks_print_what_they_say(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given a comment behind a `print`, when the blocks of its page run, then that is printed."""
    for example in Sybil(parsers=[PythonCodeBlockParser()]).parse(page).examples():
        example.evaluate()
    printed = capsys.readouterr().out
    assert [one for one in said(page.read_text()) if one not in printed] == []


# ── my run stays QUEUED: every name of the table ──────────────────────────────────────────────────────────────────

Story = Callable[[Deployment], Awaitable[Run[Any]]]


async def second(prod: Deployment) -> Run[Any]:
    """The second of two naps."""
    napping.on(prod).start()
    return napping.on(prod).start()


async def paused(prod: Deployment) -> Run[Any]:
    """One in a paused queue."""
    prod.pause()
    return napping.start()


async def tagged(prod: Deployment) -> Run[Any]:
    """The second of two of a team."""
    del prod
    runs = [napping.options(tags={"team": "a"}).start() for _ in range(2)]
    return runs[1]


async def keyed(prod: Deployment) -> Run[Any]:
    """The second of two of one key."""
    del prod
    runs = [napping.options(conflict_key="k").start() for _ in range(2)]
    return runs[1]


async def in_a_branch(prod: Deployment) -> Run[Any]:
    """The second of two in a branch."""
    return await second(prod.branch("x"))


async def in_the_pool_of_a_branch(prod: Deployment) -> Run[Any]:
    """The second of two in a pool of a branch."""
    runs = [querying.on(prod.branch("x")).start() for _ in range(2)]
    return runs[1]


async def pooled(prod: Deployment) -> Run[Any]:
    """The second of two in a pool."""
    del prod
    runs = [querying.start() for _ in range(2)]
    return runs[1]


async def of_one_customer(prod: Deployment) -> Run[Any]:
    """The second of two of a customer."""
    del prod
    runs = [nap.options(pool="api:customer-7").start(1.0) for _ in range(2)]
    return runs[1]


async def behind_the_buffer(prod: Deployment) -> Run[Any]:
    """One in the pool, one in the buffer, and the third."""
    del prod
    runs = [querying.start() for _ in range(3)]
    return runs[2]


async def capped(prod: Deployment) -> Run[Any]:
    """A run whose only root needs a pool, under a cap of 0."""
    del prod
    return querying.options(max_concurrent=0).start()


async def op_tagged(prod: Deployment) -> Run[Any]:
    """A run whose only root needs a pool, and has a tag of which none may run."""
    del prod

    @graph(tag_concurrency_limits=[TagLimit("kind", limit=0)])
    def job() -> float:
        return query.options(tags={"kind": "sql"})(1.0)

    return job.start()


async def on_a_thread(prod: Deployment) -> Run[Any]:
    """A run whose only root needs a pool, and a thread where there is none."""
    del prod

    @op(pool="db")
    def plain() -> None:
        """Never runs."""

    return plain.start()


def runs_of(**runs: Any) -> dict[str, Any]:
    """The queue."""
    return {"runs": runs}


def team(**rule: Any) -> dict[str, Any]:
    """A rule on the team."""
    return runs_of(tag_concurrency_limits=[{"key": "team", "limit": 1, **rule}])


@pytest.mark.parametrize(
    ("concurrency", "story", "names"),
    [
        (runs_of(max_concurrent_runs=1), second, {"@max_concurrent_runs"}),
        ({}, paused, {"@max_concurrent_runs"}),
        (team(), tagged, {"@run_tag:team"}),
        (team(value="a"), tagged, {"@run_tag:team=a"}),
        (team(value={"applyLimitPerUniqueValue": True}), tagged, {"@run_tag:team[a]"}),
        ({}, keyed, {"@conflict_key:k"}),
        ({"max_concurrent_branch_deployment_runs": 1}, in_a_branch, {"@branch_runs"}),
        (runs_of(max_concurrent_runs=1), in_a_branch, {"@max_concurrent_runs@x"}),
        ({"pools": {"limits": {"db": 1}}}, in_the_pool_of_a_branch, {"x/db"}),
        ({"pools": {"limits": {"db": 1}}}, pooled, {"db"}),
        ({"pools": {"limits": {"api": {"limit": 5, "per_key": 1}}}}, of_one_customer, {"api:customer-7"}),
        (
            {"pools": {"limits": {"db": 1}, "op_granularity_run_buffer": 1}},
            behind_the_buffer,
            {"db", "@run_buffer"},
        ),
        ({"pools": {"limits": {"db": 1}}}, capped, {"@max_concurrent"}),
        ({"pools": {"limits": {"db": 1}}}, op_tagged, {"@tag:kind"}),
        ({"pools": {"limits": {"db": 1}}}, on_a_thread, {"@threads"}),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_what_holds_a_queued_run_back_has_the_name_the_page_says(
    concurrency: dict[str, Any], story: Story, names: set[str]
) -> None:
    """Given a run that one limit holds back, when it is explained, then exactly that is named, and is on the page."""

    async def scenario(prod: Deployment) -> None:
        run = await story(prod)
        await anyio.sleep(0.1)
        assert run.status is RunStatus.QUEUED
        assert {blocker.limit for blocker in prod.explain(run.id).blockers} == names

    play(concurrency, scenario, threads=0)
    page = (ROOT / "docs/how-to/my-run-stays-queued.md").read_text()
    for name in names:
        assert name.partition(":")[0].partition("@x")[0].removeprefix("x/") in page


def test_a_run_that_just_came_has_no_blockers() -> None:
    """Given a run that fits, when it is explained before the loop turned, then nothing is named, and it starts."""

    async def scenario(prod: Deployment) -> None:
        run = napping.start()
        assert (run.status, prod.explain(run.id).blockers) == (RunStatus.QUEUED, ())
        await asyncio.sleep(0)
        assert run.status is RunStatus.RUNNING

    play(runs_of(max_concurrent_runs=1), scenario)


@pytest.mark.parametrize(("door", "ends"), [("start", False), ("run", True)])
def test_a_started_run_that_needs_what_its_op_holds_waits_for_ever(door: str, ends: bool) -> None:
    """Given an op with the only slot, when it awaits a run that needs it, then a child borrows, a started one waits."""

    @op(pool="db")
    async def outer() -> float:
        return await (querying.start() if door == "start" else querying.run())

    async def scenario(prod: Deployment) -> None:
        del prod
        run = outer.start()
        await anyio.sleep(1_000)
        assert run.status.final is ends
        await run.cancel()

    play({"pools": {"limits": {"db": 1}}}, scenario)


# ── limits of runs, and of one run ────────────────────────────────────────────────────────────────────────────────


def test_after_priority_whoever_holds_least_is_next() -> None:
    """Given two places and five runs of one tenant before two of another, then the tenants take turns, and all go."""
    order: list[str] = []

    @op
    async def say(tenant: str) -> None:
        order.append(tenant)
        await anyio.sleep(1)

    @graph
    def job(tenant: str) -> None:
        return say(tenant)

    async def scenario(prod: Deployment) -> None:
        del prod
        tenants = ["a"] * 5 + ["b"] * 2
        await asyncio.gather(*[job.options(fair_key=tenant).start(tenant) for tenant in tenants])

    play(runs_of(max_concurrent_runs=2), scenario)
    assert [sorted(order[i : i + 2]) for i in (0, 2, 4)] == [["a", "b"], ["a", "b"], ["a", "a"]]


def test_the_next_run_is_let_out_one_turn_after_the_end_of_another() -> None:
    """Given one place and two runs, when the first ends, then the second is RUNNING one turn later, at that time."""

    async def scenario(prod: Deployment) -> None:
        ended = asyncio.Event()
        prod.subscribe(lambda event: ended.set() if isinstance(event, RunEnded) else None)
        first, following = napping.start(), napping.start()
        await ended.wait()
        assert (statuses([first, following]), now()) in (("SQ", 1.0), ("SR", 1.0))
        await asyncio.sleep(0)
        assert (statuses([first, following]), now()) == ("SR", 1.0)
        await following

    play(runs_of(max_concurrent_runs=1), scenario)


def test_refusing_instead_of_waiting_needs_a_key_or_an_empty_queue() -> None:
    """Given one place that is taken, when runs come, then `max_queued: 0` refuses, and `reject` only for its key."""

    async def without(prod: Deployment) -> None:
        del prod
        runs = [napping.options(on_full="reject").start() for _ in range(2)]
        await settle()
        assert statuses(runs) == "RQ", "there is no key to conflict with, and the queue is not full"
        keyed = napping.options(conflict_key="k", on_full="reject")
        runs.append(keyed.start())
        with pytest.raises(RunRejected, match="conflict key 'k'"):
            keyed.start()
        await asyncio.gather(*runs)

    async def empty(prod: Deployment) -> None:
        del prod
        run = napping.start()
        with pytest.raises(RunRejected, match="max_queued=0"):
            napping.start()
        await run

    play(runs_of(max_concurrent_runs=1), without)
    play(runs_of(max_concurrent_runs=1, max_queued=0), empty)


def test_a_paused_queue_lets_running_runs_go_on() -> None:
    """Given a run of two ops, when the queue is paused during the first, then the second starts all the same."""

    @graph
    def two() -> float:
        return nap(nap(1.0))

    async def scenario(prod: Deployment) -> None:
        run = two.start()
        await anyio.sleep(0.5)
        prod.pause()
        waiting = napping.start()
        await run
        assert (now(), statuses([waiting])) == (2.0, "Q")
        prod.resume()
        await waiting

    play({}, scenario)


def test_a_nested_graph_has_its_own_cap_beside_the_run() -> None:
    """Given a cap of 3, and two nested graphs of 2 each with 6 ops, then 3 run at a time, and never 3 of one graph."""

    @graph(max_concurrent=2)
    def part() -> list[float]:
        return [nap(1.0) for _ in range(6)]

    @graph(max_concurrent=3)
    def whole() -> list[list[float]]:
        return [part(), part()]

    result = run_virtual(whole.try_run)
    for moment in range(int(result.seconds)):
        running = [key for key, record in result.ops.items() if record.started_at <= moment < record.ended_at]
        assert len(running) <= 3
        assert max(sum(key.startswith(name) for key in running) for name in ("part/", "part#2/")) <= 2
    assert result.seconds == 5.0, "3 + 3 + 2 + 2 + 2"


def test_threads_of_all_runs_together_are_bounded() -> None:
    """Given 3 threads and two runs of 6 plain functions, when they meet in threes, then 3 run, and never a fourth."""
    meeting = threading.Barrier(3, timeout=60)
    lock = threading.Lock()
    inside: list[int] = []
    most: list[int] = []

    @op
    def plain(number: int) -> None:
        with lock:
            inside.append(number)
            most.append(len(inside))
        meeting.wait()
        with lock:
            inside.remove(number)
        meeting.wait()

    @graph
    def job(first: int) -> list[None]:
        return [plain(first + number) for number in range(6)]

    async def main() -> None:
        prod = Deployment("prod", threads=3)
        await asyncio.gather(job.on(prod).run(0), job.on(prod).run(100))

    asyncio.run(main())
    assert (max(most), len(most)) == (3, 12)


# ── coming from Dagster: names that mean nothing here ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"default_op_concurrency_limit": 3}, "concurrency.default_op_concurrency_limit is not known.*runs, pools"),
        ({"pools": {"default_op_concurrency_limit": 3}}, "did you mean 'default_limit'"),
        ({"runs": {"block_op_concurrency_limited_runs": {"enabled": True}}}, "block_op_concurrency_limited_runs"),
    ],
)
def test_older_names_are_refused(block: dict[str, Any], told: str) -> None:
    """Given a legacy name in the block, when it is loaded, then it is refused, and what is known there is named."""
    with pytest.raises(ConfigurationError, match=told):
        ConcurrencyConfig.of(block)


def test_tags_that_meant_something_there_are_only_tags() -> None:
    """Given `dagster/concurrency_key` on an op and `dagster/priority` on runs, then nothing comes of it."""
    keyed_op = nap.options(tags={"dagster/concurrency_key": "db"})

    async def scenario(prod: Deployment) -> None:
        del prod
        first = [keyed_op.start(1.0) for _ in range(2)]
        await asyncio.gather(*first)
        assert now() == 1.0, "side by side: the pool is not theirs"
        runs = [napping.options(tags={"dagster/priority": text}).start() for text in ("0", "9", "junk")]
        assert [(await run.result()).started_at for run in runs] == [1.0, 2.0, 3.0]

    rule = {"key": "dagster/priority", "limit": 1}
    play({**runs_of(tag_concurrency_limits=[rule]), "pools": {"limits": {"db": 1}}}, scenario)


def test_what_pausing_a_pool_keeps() -> None:
    """Given a pool of 2, when it is paused and resumed, then nothing starts in between, and 2 do after, as before."""

    async def scenario(prod: Deployment) -> None:
        prod.pause(pool="db")
        runs = [querying.start() for _ in range(3)]
        await anyio.sleep(5)
        assert (statuses(runs), prod.snapshot().pool("db").capacity) == ("QQQ", 2)
        prod.resume(pool="db")
        await settle()
        assert (statuses(runs), now()) == ("RRQ", 5.0)
        await asyncio.gather(*runs)

    play({"pools": {"limits": {"db": 2}}}, scenario)
