"""Whole runs that are tried again: the same run, going on where it failed, holding nothing in between."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from asyncflow import (
    ConfigurationError,
    Deployment,
    DeploymentSnapshot,
    Failure,
    Hooks,
    OpStatus,
    PlanError,
    Retry,
    RunFailed,
    RunRetried,
    RunStarted,
    RunStatus,
    RunTimeout,
    each,
    graph,
    op,
    use,
)
from asyncflow.testing import run_virtual


class Shaky:
    """Ops that note their calls; `bad` fails so many times."""

    def __init__(self, times: int, *, error: type[Exception] = ConnectionError) -> None:
        self.calls: list[tuple[str, float]] = []

        @op(pool="db")
        async def good(x: int) -> int:
            self.note(f"good {x}")
            await anyio.sleep(1)
            return x

        @op(pool="db")
        async def bad(x: int) -> int:
            self.note(f"bad {x}")
            await anyio.sleep(1)
            if sum(name == f"bad {x}" for name, _ in self.calls) <= times:
                raise error(x)
            return x

        @op
        async def total(values: list[int]) -> int:
            self.note("total")
            return sum(values)

        self.good, self.bad, self.total = good, bad, total

    def note(self, name: str) -> None:
        self.calls.append((name, asyncio.get_running_loop().time()))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


def held(deployment: Deployment) -> dict[str, int]:
    """What is held of which limit."""
    snapshot: DeploymentSnapshot = deployment.snapshot()
    return {limit.name: limit.held for limit in snapshot.limits if limit.held}


@pytest.mark.parametrize("door", ["run", "try_run", "start"])
def test_a_run_goes_on_where_it_failed(door: str) -> None:
    """The same run id, the value of the second attempt; what succeeded is REUSED and not called again."""
    shaky = Shaky(1)

    @graph(retry=Retry(max_retries=2, delay=10), run_id="r1")
    def crawl() -> int:
        return shaky.total([shaky.good(1), shaky.bad(2)])

    async def main():
        async with Deployment("d"):
            if door == "run":
                return await crawl.run()
            if door == "try_run":
                return await crawl.try_run()
            run = crawl.start()
            value, result = await asyncio.gather(run, run.result())
            assert (run.id, run.status, value) == ("r1", RunStatus.SUCCEEDED, 3)
            return result

    outcome = run_virtual(main)
    assert shaky.calls == [("good 1", 0), ("bad 2", 0), ("bad 2", 11), ("total", 12)]
    if door == "run":
        assert outcome == 3
    else:
        assert (outcome.run_id, outcome.output, outcome.attempts) == ("r1", 3, 2)
        assert {key: record.status for key, record in outcome.ops.items()} == {
            "good": OpStatus.REUSED, "bad": OpStatus.SUCCEEDED, "total": OpStatus.SUCCEEDED
        }  # fmt: skip


def test_a_run_that_never_succeeds_fails_in_the_end() -> None:
    """With the errors of its last attempt; the delays are those of the policy."""
    shaky = Shaky(9)

    @graph(retry=Retry(max_retries=3, delay=1, backoff="exponential"))
    def crawl() -> int:
        return shaky.bad(1)

    async def main():
        try:
            await crawl.run()
        except RunFailed as failed:
            return failed.result
        return None

    result = run_virtual(main)
    assert [at for _, at in shaky.calls] == [0, 2, 6, 14]  # 1 s each, delays of 1, 3, 7 s
    assert (result.status, result.attempts, len(result.errors)) == (RunStatus.FAILED, 4, 1)


def test_nothing_is_held_between_attempts_and_it_is_queued() -> None:
    """Place, run tag, run pool and op pools are back; another run takes the place; `explain` says when it goes on."""
    shaky = Shaky(1)

    @graph(retry=Retry(max_retries=1, delay=10), tags={"team": "a"})
    def crawl() -> int:
        return shaky.bad(1)

    async def main():
        config = {
            "runs": {"max_concurrent_runs": 1, "tag_concurrency_limits": [{"key": "team", "limit": 1}]},
            "pools": {"limits": {"db": {"limit": 1, "granularity": "run"}}},
        }
        async with Deployment("d", concurrency=config) as deployment:
            run = crawl.start()
            await anyio.sleep(5)
            between = (held(deployment), run.status, run.explain().unblocked_by, run.snapshot().status)
            other = shaky.good.start(7)
            await anyio.sleep(0.5)
            during = held(deployment)
            await other
            return between, during, await run, held(deployment)

    between, during, value, after = run_virtual(main)
    assert between == ({}, RunStatus.QUEUED, ("its next attempt, due in 6 s",), RunStatus.QUEUED)
    assert (during["db"], value, after) == (1, 1, {})


def test_after_the_delay_it_waits_with_the_age_it_had() -> None:
    """Runs of one fair_key, one place: those that wait when its delay is over came later, so it is before them."""
    order: list[str] = []

    @op
    async def work(name: str) -> None:
        order.append(name)
        await anyio.sleep(10)
        if order == ["first"]:
            raise OSError

    @graph(fair_key="one", retry=Retry(max_retries=1, delay=5))
    def single(name: str) -> None:
        work(name)

    async def main():
        async with Deployment("d", concurrency={"runs": {"max_concurrent_runs": 1}}):
            runs = [single.start(name) for name in ("first", "second", "third", "fourth")]
            return [(await run.result()).status.value for run in runs]

    assert run_virtual(main) == ["SUCCEEDED"] * 4
    assert order == ["first", "second", "first", "third", "fourth"]


def test_mapped_items_that_succeeded_are_not_run_again() -> None:
    """Per item, over a list that an op computed."""
    shaky = Shaky(1)

    @op
    async def numbers() -> list[int]:
        shaky.note("numbers")
        return [1, 2, 3]

    @op
    async def odd_fails(x: int) -> int:
        if x == 2:
            return await shaky.bad.run(x)
        return await shaky.good.run(x)

    @graph(retry=Retry(max_retries=1))
    def crawl() -> int:
        return shaky.total(each(odd_fails, numbers()))

    result = run_virtual(crawl.try_run)
    assert (result.output, result.attempts) == (6, 2)
    assert shaky.names == ["numbers", "good 1", "bad 2", "good 3", "bad 2", "total"]


def test_op_retries_come_first() -> None:
    """An op's own attempts are used up before the run is tried again, and are its own again in the next attempt."""
    shaky = Shaky(3)

    @graph(retry=Retry(max_retries=1, delay=100), op_retry=Retry(max_retries=1, delay=1))
    def crawl() -> int:
        return shaky.bad(1)

    result = run_virtual(crawl.try_run)
    assert [at for _, at in shaky.calls] == [0, 2, 103, 105]
    assert (result.output, result.attempts, result.ops["bad"].attempts) == (1, 2, 2)


def test_on_looks_at_every_error_and_a_final_failure_ends_it() -> None:
    """All errors must be such that the policy takes them; Failure(allow_retries=False) is final for the run too."""
    counts: dict[str, int] = {}

    @op
    async def fails(name: str, error: Exception) -> None:
        counts[name] = counts.get(name, 0) + 1
        raise error

    @graph(retry=Retry(max_retries=1, on=OSError))
    def two(name: str, first: object, second: object) -> None:
        fails(name, first)
        fails(name, second)

    async def main():
        await two.try_run("both", OSError(), ConnectionError())
        await two.try_run("one", OSError(), ValueError())
        await two.options(retry=Retry(max_retries=5)).try_run("final", OSError(), Failure("no", allow_retries=False))

    run_virtual(main)
    assert counts == {"both": 4, "one": 2, "final": 2}


def test_a_timeout_of_the_run_is_a_failure_like_any_other() -> None:
    """The next attempt has the whole time again; at last RunTimeout is inside RunFailed."""

    @op
    async def nap(seconds: float) -> None:
        await anyio.sleep(seconds)

    @graph(timeout=5, retry=Retry(max_retries=1, delay=1))
    def slow() -> None:
        nap(60)

    result = run_virtual(slow.try_run)
    assert (result.ended_at, result.attempts) == (11, 2)
    assert [type(error) for error in result.errors] == [RunTimeout]


def test_fail_fast_runs_go_on_with_those_that_were_cancelled() -> None:
    """What was cancelled in the first attempt runs again in the second."""
    shaky = Shaky(1)

    @op
    async def nap() -> int:
        shaky.note("nap")
        await anyio.sleep(60)
        return 5

    @graph(on_error="fail_fast", retry=Retry(max_retries=1))
    def crawl() -> list[int]:
        return [shaky.bad(1), nap()]

    result = run_virtual(crawl.try_run)
    assert (result.output, shaky.names) == ([1, 5], ["bad 1", "nap", "bad 1", "nap"])


@pytest.mark.parametrize("moment", [0.5, 5.0, 11.5])
def test_cancelled_at_any_time_it_is_not_tried_again(moment: float) -> None:
    """In the first attempt, in the delay, in the second attempt: CANCELED at once, nothing is left."""
    shaky = Shaky(9)

    @graph(retry=Retry(max_retries=5, delay=10))
    def crawl() -> int:
        return shaky.bad(1)

    async def main():
        loop = asyncio.get_running_loop()
        async with Deployment("d", concurrency={"runs": {"max_concurrent_runs": 1}}) as deployment:
            run = crawl.start()
            await anyio.sleep(moment)
            await run.cancel("enough")
            timers = [one for one in loop._scheduled if not one.cancelled()]
            return await run.result(), loop.time(), held(deployment), timers

    result, now, left, timers = run_virtual(main)
    assert (result.status, result.reason, now, left, timers) == (RunStatus.CANCELED, "enough", moment, {}, [])
    assert result.ops["bad"].status is OpStatus.CANCELED


@pytest.mark.parametrize("moment", [0.5, 5.0, 11.5])
def test_the_callers_cancellation_ends_it_at_any_time(moment: float) -> None:
    """`await graph.run()` cancelled in an attempt or in the delay: the caller's CancelledError, nothing is left."""
    shaky = Shaky(9)

    @graph(retry=Retry(max_retries=5, delay=10))
    def crawl() -> int:
        return shaky.bad(1)

    async def main():
        loop = asyncio.get_running_loop()
        deployment = Deployment("d", concurrency={"runs": {"max_concurrent_runs": 1}})
        task = loop.create_task(crawl.on(deployment).run())
        await anyio.sleep(moment)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled(), loop.time(), held(deployment), deployment.engine_here().runs

    assert run_virtual(main) == (True, moment, {}, {})


def test_a_closing_deployment_ends_a_delay_a_draining_one_waits() -> None:
    """Leaving `async with` cancels the run in its delay; with drain=True it is tried again first."""
    shaky = Shaky(1)

    @graph(retry=Retry(max_retries=1, delay=10))
    def crawl() -> int:
        return shaky.bad(1)

    async def main(*, drain: bool):
        async with Deployment("d", drain=drain):
            run = crawl.start()
            await anyio.sleep(5)
        return run.status, asyncio.get_running_loop().time()

    assert run_virtual(lambda: main(drain=False)) == (RunStatus.CANCELED, 5)
    shaky.calls.clear()
    assert run_virtual(lambda: main(drain=True)) == (RunStatus.SUCCEEDED, 12)


def test_events_and_hooks_tell_each_attempt() -> None:
    """RunRetried has the failed attempt, the delay and the errors; on_retry is told before, on_success at the end."""
    shaky = Shaky(1)
    told: list[tuple[str, str, int, float | None, int]] = []

    def hook(info) -> None:
        told.append((info.hook, info.status.value, info.attempt, info.delay, len(info.errors)))

    @graph(retry=Retry(max_retries=1, delay=10), hooks=Hooks(on_retry=hook, on_success=hook, on_failure=hook))
    def crawl() -> int:
        return shaky.bad(1)

    async def main():
        seen = []
        deployment = Deployment("d")
        deployment.subscribe(seen.append)
        await crawl.on(deployment).run()
        return [event for event in seen if isinstance(event, (RunRetried, RunStarted))]

    first, retried, second = run_virtual(main)
    assert (first.at, retried.at, second.at) == (0, 1, 11)
    assert (retried.attempt, retried.delay, retried.errors) == (1, 10, ("ConnectionError",))
    assert told == [("on_retry", "QUEUED", 1, 10, 1), ("on_success", "SUCCEEDED", 2, None, 0)]


def test_waits_of_all_attempts_are_in_the_result() -> None:
    """What its ops and the run itself waited for, in every attempt."""
    shaky = Shaky(1)

    @graph(retry=Retry(max_retries=1, delay=1))
    def crawl() -> int:
        return shaky.bad(1)

    async def main():
        async with Deployment("d", concurrency={"pools": {"limits": {"db": 1}}}) as deployment:
            run = crawl.start()
            await anyio.sleep(0.5)
            async with deployment.slots("db"):
                await anyio.sleep(4)
            return await run.result()

    result = run_virtual(main)
    assert (result.output, result.waits) == (1, {"db": 3})  # ended at 1, due at 2, the slot is free at 5


def test_resources_of_a_run_are_opened_for_each_attempt() -> None:
    """Closed with the attempt, before the delay; opened again when the next attempt needs them."""
    opened: list[tuple[str, float]] = []

    async def client():
        now = asyncio.get_running_loop().time
        opened.append(("open", now()))
        yield 1
        opened.append(("close", now()))

    calls: list[int] = []

    @op
    async def bad(*, c: int = use(client, scope="run")) -> int:
        calls.append(c)
        if len(calls) == 1:
            raise OSError
        return c

    @graph(retry=Retry(max_retries=1, delay=10))
    def crawl() -> int:
        return bad()

    result = run_virtual(crawl.try_run)
    assert (result.output, result.attempts) == (1, 2)
    assert opened == [("open", 0), ("close", 0), ("open", 10), ("close", 10)]


def test_a_run_tuned_in_its_delay_runs_under_the_new_limits() -> None:
    """`run.tune` and `set_priority` hold for the next attempt."""
    shaky = Shaky(1)

    @graph(retry=Retry(max_retries=1, delay=10))
    def crawl() -> list[int]:
        return [shaky.bad(1), shaky.bad(2)]

    async def main():
        async with Deployment("d"):
            run = crawl.start()
            await anyio.sleep(5)
            await run.tune(max_concurrent=1)
            run.set_priority(3)
            return await run.result()

    result = run_virtual(main)
    assert [at for _, at in shaky.calls] == [0, 0, 11, 12]
    assert result.output == [1, 2]


def test_a_policy_that_raises_ends_the_run() -> None:
    """The run FAILED with its own errors; a note tells what the policy raised."""
    shaky = Shaky(9)

    def broken(error: Exception) -> bool:
        raise ZeroDivisionError

    @graph(retry=Retry(on=broken))
    def crawl() -> int:
        return shaky.bad(1)

    [error] = run_virtual(crawl.try_run).errors
    assert isinstance(error, ConnectionError)
    assert any("the run was not tried again" in note for note in error.__notes__)


def test_the_retry_of_a_run_belongs_to_the_outermost_run() -> None:
    """On a nested graph it is a PlanError; a child inside an op cannot have one either."""
    shaky = Shaky(0)

    @graph(retry=Retry())
    def inner() -> int:
        return shaky.good(1)

    @graph
    def outer() -> int:
        return inner()

    @op
    async def parent() -> int:
        return await inner.run()

    with pytest.raises(PlanError, match="retry, which belong to the outermost run"):
        outer.plan()
    with pytest.raises(ConfigurationError, match="retry belongs to a whole run"):
        run_virtual(parent.run)
