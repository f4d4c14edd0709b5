"""What ops see of themselves and tell: `context()`."""

from __future__ import annotations

import asyncio
import logging

import anyio
import anyio.from_thread
import pytest
import structlog

from asyncflow import (
    ConfigurationError,
    Deployment,
    OpEmitted,
    OpProgress,
    OpTimeout,
    Retry,
    context,
    each,
    graph,
    op,
)
from asyncflow.testing import run_virtual


def seen_of() -> dict[str, object]:
    here = context()
    return {
        "run_id": here.run_id,
        "key": here.key,
        "attempt": here.attempt,
        "map_key": here.map_key,
        "tags": dict(here.tags),
        "run_tags": dict(here.run_tags),
    }


@op(tags={"kind": "io"})
async def on_loop(x: int = 0) -> dict[str, object]:
    await anyio.sleep(0.1)
    return seen_of()


@op(tags={"kind": "cpu"})
def on_thread(x: int = 0) -> dict[str, object]:
    return seen_of()


def test_an_op_sees_its_run_key_item_and_tags() -> None:
    """On the loop and on threads; op tags and run tags apart; the run's own tag is among the latter."""

    @op
    async def numbers() -> list[int]:
        return [1]

    @graph(tags={"team": "a"}, run_id="r1")
    def both() -> tuple[object, ...]:
        return on_loop(), on_thread(), each(on_loop, [7]), each(on_thread.options(map_key=lambda x: f"n{x}"), numbers())

    first, second, [third], [fourth] = run_virtual(both.run)
    run_tags = {"team": "a", "asyncflow/graph": "both"}
    plain = {"run_id": "r1", "attempt": 1, "map_key": None, "run_tags": run_tags}
    assert first == {**plain, "key": "on_loop", "tags": {"kind": "io"}}
    assert second == {**plain, "key": "on_thread", "tags": {"kind": "cpu"}}
    assert (third["key"], third["map_key"]) == ("on_loop#2[0]", "0")
    assert (fourth["key"], fourth["map_key"]) == ("on_thread#2[n1]", "n1")


def test_items_of_nested_graphs_and_children() -> None:
    """Inside the call for an item the op has the item's name; a child of an item's op has none of its own."""

    @op
    async def parent(x: int) -> dict[str, object]:
        return await on_loop.run()

    @graph
    def inner(x: int) -> dict[str, object]:
        return on_loop()

    @graph
    def outer() -> tuple[object, object]:
        return each(inner, [1, 2]), each(parent, [1])

    [_, second], [child] = run_virtual(outer.run)
    assert (second["key"], second["map_key"]) == ("inner[1]/on_loop", "1")
    assert (child["key"], child["map_key"]) == ("parent[0]/on_loop", None)


def test_each_attempt_knows_its_number() -> None:
    """1, 2, 3 as the op is tried again."""
    numbers: list[int] = []

    @op(retry=Retry(max_retries=2, delay=1))
    async def shaky() -> None:
        numbers.append(context().attempt)
        raise OSError

    run_virtual(shaky.try_run)
    assert numbers == [1, 2, 3]


def test_outside_of_ops_there_is_no_context() -> None:
    """In plain code and in a graph's body it says what it is for."""

    @graph
    def body() -> int:
        context()
        return on_loop()

    for call in (context, body.plan):
        with pytest.raises(ConfigurationError, match="outside of an op"):
            call()


def test_a_task_that_outlives_its_op_has_no_context_any_more() -> None:
    """Neither a context kept from before nor a new one tells or releases anything once the attempt has ended."""
    kept: list[object] = []

    @op(pool="db")
    async def leaves(tasks: list[asyncio.Task[None]]) -> None:
        here = context()

        async def late() -> None:
            await anyio.sleep(5)
            for act in (context, lambda: here.progress(1), lambda: here.emit("x")):
                with pytest.raises(ConfigurationError, match=r"attempt 1 of leaves has ended"):
                    act()
            with pytest.raises(ConfigurationError, match="has ended"):
                await here.release("db")
            kept.append(here)

        tasks.append(asyncio.get_running_loop().create_task(late()))

    async def main():
        tasks: list[asyncio.Task[None]] = []
        await leaves.run(tasks)
        await asyncio.gather(*tasks)

    run_virtual(main)
    assert len(kept) == 1


def test_progress_and_own_events_are_told() -> None:
    """As OpProgress and OpEmitted, in order, with the time they were told; from threads too."""

    @op
    async def work() -> None:
        context().progress(1, 10)
        await anyio.sleep(1)
        context().emit("page", url="a.org", bytes=7)

    @op
    def threaded() -> None:
        here = context()
        here.progress(0.5)
        here.emit("row")

    async def main():
        seen = []
        deployment = Deployment("d")
        deployment.subscribe(seen.append)
        await work.on(deployment).run()
        await threaded.on(deployment).run()
        return [event for event in seen if isinstance(event, (OpProgress, OpEmitted))]

    first, second, third, fourth = run_virtual(main)
    assert (first.at, first.graph, first.key, first.done, first.total) == (0, "work", "work", 1, 10)
    assert (second.at, second.key, second.kind, dict(second.data)) == (1, "work", "page", {"url": "a.org", "bytes": 7})
    assert (third.key, third.done, third.total, fourth.kind, dict(fourth.data)) == ("threaded", 0.5, None, "row", {})


def test_progress_that_is_no_number_is_refused() -> None:
    """Naming the op and the parameter; so is an event without a name."""

    @op
    async def work(act) -> None:
        act()

    for act, message in (
        (lambda: context().progress("half"), r"progress\(done=…\) of work must be a number, not str"),
        (lambda: context().progress(1, total=True), r"progress\(total=…\)"),
        (lambda: context().emit(""), "the kind that work emits"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            run_virtual(work.run, act)


def test_the_log_has_run_op_and_attempt_bound(caplog: pytest.LogCaptureFixture) -> None:
    """`context().log` writes to structlog as configured; where it is not, to the stdlib logger `asyncflow`."""

    @op
    async def work(x: int) -> None:
        context().log.info("fetched", size=3)

    @graph(run_id="r1")
    def crawl() -> None:
        each(work, [0])

    with caplog.at_level(logging.INFO, logger="asyncflow"):
        run_virtual(crawl.run)
    [line] = [record.getMessage() for record in caplog.records if "fetched" in record.getMessage()]
    assert line.startswith("event='fetched'")
    for part in ("run_id='r1'", "graph='crawl'", "op='work[0]'", "attempt=1", "map_key='0'", "size=3"):
        assert part in line
    try:
        with structlog.testing.capture_logs() as lines:
            run_virtual(crawl.run)
    finally:
        structlog.reset_defaults()
    assert [one for one in lines if one["event"] == "fetched"] == [
        {"event": "fetched", "log_level": "info", "run_id": "r1", "graph": "crawl", "op": "work[0]", "attempt": 1,
         "map_key": "0", "size": 3}
    ]  # fmt: skip


# ── early release ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pool_given_back_early_is_there_for_others() -> None:
    """The next waiter starts in that turn; the op keeps its other pools to its end; twice does nothing."""
    starts: list[tuple[str, float]] = []

    @op(pool={"db": 1, "api": 1})
    async def both(name: str) -> None:
        starts.append((name, asyncio.get_running_loop().time()))
        await anyio.sleep(1)
        await context().release("db")
        await context().release("db")
        await anyio.sleep(9)

    @op(pool="db")
    async def db(name: str) -> None:
        starts.append((name, asyncio.get_running_loop().time()))

    @op(pool="api")
    async def api(name: str) -> None:
        starts.append((name, asyncio.get_running_loop().time()))

    @graph
    def all_three() -> list[None]:
        return [both("both"), db("db"), api("api")]

    async def main():
        deployment = Deployment("d", concurrency={"pools": {"limits": {"db": 1, "api": 1}}})
        await all_three.on(deployment).run()
        return [limit.held for limit in deployment.snapshot().limits]

    assert set(run_virtual(main)) == {0}
    assert starts == [("both", 0), ("db", 1), ("api", 10)]


def test_keys_are_given_back_with_their_pool() -> None:
    """`release("api")` of an op with `api:a` frees the pool and the key; a plain function does it through its loop."""

    @op(pool="api:a")
    def work() -> None:
        anyio.from_thread.run(context().release, "api")
        anyio.from_thread.run(anyio.sleep, 5)

    async def main():
        config = {"pools": {"limits": {"api": {"limit": 1, "per_key": 1}}}}
        async with Deployment("d", concurrency=config) as deployment:
            run = work.start()
            await anyio.sleep(1)
            held = {limit.name: limit.held for limit in deployment.snapshot().limits}
            await run
            return held, {limit.name: limit.held for limit in deployment.snapshot().limits}

    during, after = run_virtual(main)
    assert during == {"@threads": 1, "api": 0, "api:a": 0}
    assert set(after.values()) == {0}


def test_a_pool_that_the_op_did_not_take_cannot_be_released() -> None:
    """The message names the nearest; a pool that the run holds as a whole stays with it."""

    @op(pool={"database": 1, "gpu": 1})
    async def work(pool: str) -> None:
        await context().release(pool)

    async def main(pool: str):
        config = {"pools": {"limits": {"database": 1, "gpu": {"limit": 1, "granularity": "run"}}}}
        await work.on(Deployment("d", concurrency=config)).run(pool)

    with pytest.raises(ConfigurationError, match="did you mean 'database'"):
        run_virtual(main, "databse")
    with pytest.raises(ConfigurationError, match="its run holds it as a whole"):
        run_virtual(main, "gpu")


def test_what_was_given_back_is_asked_for_again_by_the_next_attempt() -> None:
    """A retry takes the whole demand; a timeout after an early release leaves nothing behind."""
    held: list[int] = []

    async def main():
        deployment = Deployment("d", concurrency={"pools": {"limits": {"db": 1}}})

        @op(pool="db", retry=Retry(max_retries=1, on=OpTimeout), timeout=5)
        async def work() -> None:
            held.append(deployment.snapshot().pool("db").held)
            await context().release("db")
            held.append(deployment.snapshot().pool("db").held)
            await anyio.sleep(60)

        await work.on(deployment).try_run()
        return deployment.snapshot().pool("db").held

    assert run_virtual(main) == 0
    assert held == [1, 0, 1, 0]
