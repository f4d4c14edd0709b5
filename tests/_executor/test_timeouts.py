"""Time limits of attempts, runs and nested graphs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from datetime import timedelta

import anyio
import anyio.from_thread
import pytest

from asyncflow import (
    ConfigurationError,
    Deployment,
    OpRetried,
    OpStatus,
    OpTimeout,
    Retry,
    RunCanceled,
    RunFailed,
    RunStatus,
    RunTimeout,
    StuckOp,
    each,
    graph,
    op,
)
from asyncflow import _executor as executor
from asyncflow.testing import run_virtual


@op(pool="p")
async def nap(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


@op(pool="p")
async def careful(seconds: float) -> float:
    """Sleeps, and cleans up for two seconds whatever happens."""
    try:
        await anyio.sleep(seconds)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(2)
    return seconds


def idle(deployment: Deployment) -> bool:
    """True where nothing is held or waited for."""
    return not any(limit.held or limit.waiters for limit in deployment.snapshot().limits)


# ── ops ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_attempt_that_takes_too_long_fails_with_op_timeout() -> None:
    """At exactly its timeout the body is cancelled; the op FAILED with OpTimeout, which names it and the seconds."""
    result = run_virtual(nap.options(timeout=5).try_run, 60)
    assert (result.status, result.ended_at, result.ops["nap"].status) == (RunStatus.FAILED, 5, OpStatus.FAILED)
    [error] = result.errors
    assert isinstance(error, OpTimeout)
    assert str(error) == "nap/nap took longer than its timeout of 5 s"
    assert isinstance(error.__cause__, asyncio.CancelledError)


def test_an_op_alone_raises_op_timeout_itself() -> None:
    """`await op.run()` raises OpTimeout, not a group."""
    with pytest.raises(OpTimeout, match="timeout of 5 s"):
        run_virtual(nap.options(timeout=timedelta(seconds=5)).run, 60)


def test_an_op_that_ends_in_time_is_not_touched() -> None:
    """Shorter, and exactly as long as its timeout: SUCCEEDED; no timer is left."""

    async def main():
        values = [await nap.options(timeout=5).run(seconds) for seconds in (0, 4.9, 5)]
        return values, [one for one in asyncio.get_running_loop()._scheduled if not one.cancelled()]

    assert run_virtual(main) == ([0, 4.9, 5], [])


def test_waiting_for_limits_does_not_count() -> None:
    """Two ops of 4 s on one slot under a timeout of 5 s: both end well, the second at 8 s."""

    @graph
    def two() -> list[float]:
        return [nap.options(timeout=5)(4), nap.options(timeout=5)(4)]

    async def main():
        return await two.on(Deployment("d", concurrency={"pools": {"limits": {"p": 1}}})).try_run()

    result = run_virtual(main)
    assert (result.status, result.ended_at) == (RunStatus.SUCCEEDED, 8)


def test_waiting_for_children_counts() -> None:
    """An op whose child takes long has timed out: the child is CANCELED, and everything is back."""

    @op(timeout=5)
    async def parent() -> float:
        return await nap.run(60)

    async def main():
        deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 1}}})
        return await parent.on(deployment).try_run(), idle(deployment)

    result, back = run_virtual(main)
    assert (result.ended_at, back) == (5, True)
    assert (result.ops["parent"].status, result.ops["parent/nap"].status) == (OpStatus.FAILED, OpStatus.CANCELED)
    assert type(result.errors[0]) is OpTimeout


def test_children_that_the_body_left_running_count_too() -> None:
    """The body has returned and a child still runs when the time is over: the child is cancelled, the op timed out."""

    @op(timeout=5)
    async def parent(left: list[asyncio.Task[float]]) -> int:
        left.append(asyncio.get_running_loop().create_task(nap.run(60)))
        await anyio.sleep(1)
        return 1

    async def main():
        left: list[asyncio.Task[float]] = []
        result = await parent.try_run(left)
        await asyncio.wait(left)
        with contextlib.suppress(RunCanceled):
            left[0].result()
        return result

    result = run_virtual(main)
    assert (result.ended_at, type(result.errors[0])) == (5, OpTimeout)
    assert result.ops["parent/nap"].status is OpStatus.CANCELED


def test_each_attempt_has_the_whole_time() -> None:
    """A timeout is a failure like any other: tried again, each attempt with 5 s of its own; then OpTimeout."""
    starts: list[float] = []

    @op(timeout=5, retry=Retry(max_retries=2, delay=1))
    async def slow() -> None:
        starts.append(asyncio.get_running_loop().time())
        await anyio.sleep(60)

    async def main():
        seen = []
        deployment = Deployment("d")
        deployment.subscribe(seen.append)
        return await slow.on(deployment).try_run(), [e.error for e in seen if isinstance(e, OpRetried)]

    result, told = run_virtual(main)
    assert (starts, result.ended_at, told) == ([0, 6, 12], 17, ["OpTimeout", "OpTimeout"])
    assert (result.ops["slow"].attempts, result.ops["slow"].seconds) == (3, 15)


def test_a_policy_may_leave_timeouts_out() -> None:
    """`on` sees OpTimeout as any exception."""
    result = run_virtual(nap.options(timeout=1, retry=Retry(on=ConnectionError)).try_run, 60)
    assert result.ops["nap"].attempts == 1


def test_shielded_clean_up_is_respected() -> None:
    """The op keeps what it holds until its clean-up is over; then it has timed out."""

    async def main():
        deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 1}}})
        async with deployment:
            run = careful.options(timeout=5).start(60)
            await anyio.sleep(6)
            held = deployment.snapshot().pool("p").held
            return held, await run.result(), idle(deployment)

    held, result, back = run_virtual(main)
    assert (held, result.ended_at, type(result.errors[0]), back) == (1, 7, OpTimeout, True)


def test_what_the_body_makes_of_the_cancellation_counts() -> None:
    """Done comes first: a body that answers with a value SUCCEEDED; one that raises something else FAILED with that."""

    @op(timeout=5)
    async def partial() -> str:
        try:
            await anyio.sleep(60)
        except asyncio.CancelledError:
            return "part"
        return "all"

    @op(timeout=5)
    async def rude() -> str:
        try:
            await anyio.sleep(60)
        finally:
            raise KeyError("own")

    assert run_virtual(partial.run) == "part"
    result = run_virtual(rude.try_run)
    assert [type(error) for error in result.errors] == [KeyError]


def test_own_timeouts_inside_the_body_are_the_ops_own() -> None:
    """`asyncio.timeout` and `anyio.fail_after` inside an op with a timeout raise TimeoutError, not OpTimeout."""

    @op(timeout=50)
    async def inner(kind: str) -> None:
        if kind == "asyncio":
            async with asyncio.timeout(1):
                await anyio.sleep(60)
        with anyio.fail_after(1):
            await anyio.sleep(60)

    for kind in ("asyncio", "anyio"):
        with pytest.raises(TimeoutError):
            run_virtual(inner.run, kind)


def test_a_thread_that_takes_too_long_is_waited_for() -> None:
    """A thread cannot be stopped: its slot is held until it has ended, its value comes too late: OpTimeout, StuckOp."""

    async def ten_seconds() -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(10)

    @op(pool="p", timeout=5)
    def slow() -> int:
        anyio.from_thread.run(ten_seconds)
        return 1

    async def main():
        seen = []
        deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 1}}}, cancel_grace=2)
        deployment.subscribe(seen.append)
        async with deployment:
            run = slow.start()
            await anyio.sleep(8)
            held = deployment.snapshot().pool("p").held
            return held, await run.result(), idle(deployment), [(e.at, e.key) for e in seen if isinstance(e, StuckOp)]

    held, result, back, stuck = run_virtual(main)
    assert (held, result.ended_at, back, stuck) == (1, 10, True, [(7, "slow")])
    assert (type(result.errors[0]), result.ops["slow"].status) == (OpTimeout, OpStatus.FAILED)


def test_a_thread_that_ends_in_time_gives_its_value() -> None:
    """A plain function with a timeout that it keeps."""

    @op(timeout=60)
    def quick() -> int:
        return 3

    assert run_virtual(quick.run) == 3


def test_an_op_that_swallows_the_cancellation_is_reported() -> None:
    """It goes on: after cancel_grace a StuckOp with its stack; when it returns at last, that counts."""

    @op(timeout=5)
    async def stubborn() -> str:
        try:
            await anyio.sleep(60)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(20)
        return "done at last"

    async def main():
        seen = []
        deployment = Deployment("d", cancel_grace=3)
        deployment.subscribe(seen.append)
        value = await stubborn.on(deployment).run()
        return value, [(event.at, event.stack != ()) for event in seen if isinstance(event, StuckOp)]

    value, stuck = run_virtual(main)
    assert (value, stuck) == ("done at last", [(8, True)])


# ── precedence: done, timed out, cancelled ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("order", list(itertools.permutations(["end", "start", "cancel"])), ids="-".join)
def test_row_35_end_timeout_and_cancel_in_one_turn(order: tuple[str, ...]) -> None:
    """Row 35: all come in the turn of 5 s, in any order: what was done is done, else it has timed out."""

    async def main(*, ends: bool):
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        @op(timeout=5)
        async def body() -> int:
            return await future

        async with Deployment("d"):
            runs = []
            for name in order:
                if name == "end" and ends:
                    loop.call_at(5, lambda: future.done() or future.set_result(7))
                elif name == "cancel":
                    loop.call_at(5, lambda: executor.cancel(runs[0]._engine, runs[0]._state, "now"))
                elif name == "start":
                    runs.append(body.start())
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
            return await runs[0].result()

    done = run_virtual(lambda: main(ends=True))
    ended = order.index("end") < order.index("cancel")  # else the cancellation came to a body that still waited
    assert done.ops["body"].status is (OpStatus.SUCCEEDED if ended else OpStatus.FAILED)
    late = run_virtual(lambda: main(ends=False))
    assert (late.ops["body"].status, type(late.ops["body"].error)) == (OpStatus.FAILED, OpTimeout)


def test_a_cancellation_that_came_before_the_timeout_stands() -> None:
    """Cancelled at 4, in clean-up until 6, timeout at 5: CANCELED, and no timeout is reported."""

    async def main():
        async with Deployment("d"):
            run = careful.options(timeout=5).start(60)
            await anyio.sleep(4)
            await run.cancel("first")
            return await run.result()

    result = run_virtual(main)
    assert (result.status, result.ops["careful"].status, result.ended_at) == (RunStatus.CANCELED, OpStatus.CANCELED, 6)


def test_a_timeout_that_came_before_the_cancellation_stands_for_the_op() -> None:
    """Timed out at 5, in clean-up, run cancelled at 6: the op FAILED with OpTimeout, the run is CANCELED."""

    async def main():
        async with Deployment("d"):
            run = careful.options(timeout=5, retry=Retry()).start(60)
            await anyio.sleep(6)
            await run.cancel("later")
            return await run.result()

    result = run_virtual(main)
    assert (result.status, result.ops["careful"].status, result.ended_at) == (RunStatus.CANCELED, OpStatus.FAILED, 7)
    assert result.ops["careful"].attempts == 1


# ── runs ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@graph(timeout=5)
def long() -> list[float]:
    return [nap(1), nap(60), careful(60), nap(nap(60))]


def test_a_run_that_takes_too_long_fails_with_run_timeout() -> None:
    """Its ops are cancelled, clean-up included; RunTimeout is inside RunFailed; nothing is left."""

    async def main():
        deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 9}}})
        caught = None
        try:
            await long.on(deployment).run()
        except* RunTimeout as group:
            caught = group
        return caught, idle(deployment)

    group, back = run_virtual(main)
    assert isinstance(group, RunFailed)
    assert "took longer than its timeout" in group.message
    result = group.result
    assert (result.status, result.ended_at, back) == (RunStatus.FAILED, 7, True)
    assert {key: record.status.value for key, record in result.ops.items()} == {
        "nap": "SUCCEEDED", "nap#2": "CANCELED", "careful": "CANCELED", "nap#3": "CANCELED", "nap#4": "CANCELED"
    }  # fmt: skip


def test_the_time_of_a_run_counts_from_running() -> None:
    """A run that is QUEUED for an hour still has its whole time; `timeout` in options replaces the graph's."""

    async def main():
        async with Deployment("d", concurrency={"runs": {"max_concurrent_runs": 1}}):
            first = nap.start(3600)
            second = long.options(timeout=100).start()
            third = long.options(timeout=None).start()
            return await first, await second.result(), await third.result()

    first, second, third = run_virtual(main)
    assert (first, second.started_at, second.ended_at - second.started_at) == (3600, 3600, 100)
    assert second.status is RunStatus.FAILED
    assert (third.status, third.seconds) == (RunStatus.SUCCEEDED, 120)


def test_failures_before_the_timeout_come_first() -> None:
    """The errors stand in the order in which they came."""

    @op
    async def bad(seconds: float) -> None:
        await anyio.sleep(seconds)
        raise KeyError(seconds)

    @op
    async def late() -> None:
        try:
            await anyio.sleep(60)
        finally:
            raise ValueError("in clean-up")

    @graph(timeout=5)
    def several() -> list[object]:
        return [bad(1), nap(60), late()]

    result = run_virtual(several.try_run)
    assert [type(error) for error in result.errors] == [KeyError, RunTimeout, ValueError]


def test_a_run_that_ends_in_the_same_turn_is_done() -> None:
    """Row 35 for runs: its last op ends exactly at the timeout."""

    @graph(timeout=5)
    def exact() -> float:
        return nap(5)

    assert run_virtual(exact.run) == 5


def test_a_run_that_is_cancelled_when_its_time_is_over_has_timed_out() -> None:
    """Row 35 for runs: in the same turn the timeout comes first, before it the cancellation does."""

    async def main(moment: float):
        async with Deployment("d"):
            run = long.start()
            await anyio.sleep(moment)
            await run.cancel("x")
            return await run.result()

    assert run_virtual(main, 5.0).status is RunStatus.FAILED
    assert run_virtual(main, 4.0).status is RunStatus.CANCELED
    assert run_virtual(main, 6.0).status is RunStatus.FAILED


def test_a_run_that_waits_to_retry_is_ended_by_its_timeout() -> None:
    """The only op is in its delay: CANCELED, no timer is left."""

    @op(retry=Retry(delay=100))
    async def bad() -> None:
        raise OSError

    @graph(timeout=5)
    def one() -> None:
        bad()

    async def main():
        result = await one.try_run()
        return result, [one for one in asyncio.get_running_loop()._scheduled if not one.cancelled()]

    result, timers = run_virtual(main)
    assert (result.ended_at, result.ops["bad"].status, timers) == (5, OpStatus.CANCELED, [])
    assert [type(error) for error in result.errors] == [RunTimeout]


def test_a_caller_may_still_cancel_a_run_that_timed_out() -> None:
    """The caller stops waiting during the clean-up: its own CancelledError leaves, after everything is back."""

    async def main():
        deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 9}}})
        loop = asyncio.get_running_loop()
        task = loop.create_task(long.on(deployment).run())
        await anyio.sleep(6)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled(), loop.time(), idle(deployment)

    assert run_virtual(main) == (True, 7, True)


def test_the_timeout_of_a_child_ends_the_child_only() -> None:
    """A graph with a timeout that an op runs: RunFailed with RunTimeout inside, in the op, which goes on."""

    @op
    async def parent() -> str:
        told = ""
        try:
            await long.run()
        except* RunTimeout as group:
            told = str(group.exceptions[0])
        return told

    result = run_virtual(parent.try_run)
    assert result.status is RunStatus.SUCCEEDED
    assert result.output == "parent/parent/long took longer than its timeout of 5 s"


def test_outer_timeouts_of_the_caller_are_the_callers() -> None:
    """Row 37: `asyncio.timeout` around a run raises its own TimeoutError."""

    async def main():
        async with asyncio.timeout(2):
            await long.run()

    with pytest.raises(TimeoutError):
        run_virtual(main)


# ── nested graphs ─────────────────────────────────────────────────────────────────────────────────────────────────────


@graph(timeout=5, max_concurrent=2)
def part() -> list[float]:
    return [nap(1), nap(60), nap(2), nap(60), nap(nap(60))]


def test_the_timeout_of_a_nested_graph_covers_its_ops() -> None:
    """Those that run, wait or will wait fail with OpTimeout, dependents are ABANDONED, the rest of the run goes on."""

    @graph
    def outer() -> list[object]:
        return [part(), nap(20)]

    result = run_virtual(outer.try_run)
    assert (result.status, result.ended_at) == (RunStatus.FAILED, 20)
    assert {key: record.status.value for key, record in result.ops.items()} == {
        "part/nap": "SUCCEEDED", "part/nap#2": "FAILED", "part/nap#3": "FAILED", "part/nap#4": "FAILED",
        "part/nap#5": "FAILED", "part/nap#6": "ABANDONED", "nap": "SUCCEEDED",
    }  # fmt: skip
    assert {type(error) for error in result.errors} == {OpTimeout}
    assert "had not ended when part had taken its timeout of 5 s" in str(result.errors[0])


def test_the_time_of_a_nested_graph_begins_with_its_first_op() -> None:
    """What it waits for from outside does not count; a second call has its own time."""

    @graph(timeout=5)
    def two(x: float) -> float:
        return nap(x)

    @graph
    def outer() -> list[float]:
        return [two(nap(30)), two(nap(4))]

    result = run_virtual(outer.try_run)
    assert (result.ops["two/nap"].status, result.ops["two#2/nap"].status) == (OpStatus.FAILED, OpStatus.SUCCEEDED)
    assert result.ended_at == 35


def test_ops_of_a_nested_graph_that_get_their_inputs_too_late_fail() -> None:
    """An op that waits for something outside, ready after the time is over, is not started."""

    @graph(timeout=5)
    def two(x: float) -> list[float]:
        return [nap(1), nap(x)]

    @graph
    def outer() -> list[float]:
        return two(nap(30))

    result = run_virtual(outer.try_run)
    record = result.ops["two/nap#2"]
    assert (record.status, record.started_at, result.ended_at) == (OpStatus.FAILED, None, 30)


def test_ops_that_wait_to_retry_fail_with_their_nested_graph() -> None:
    """RETRYING when the time is over: FAILED, without another attempt; a running one is not tried again either."""
    starts: list[float] = []

    @op(retry=Retry(max_retries=9, delay=100))
    async def bad() -> None:
        starts.append(0)
        raise OSError

    @graph(timeout=5, op_retry=Retry(max_retries=9))
    def two() -> list[object]:
        return [bad(), nap(60)]

    @graph
    def outer() -> list[object]:
        return two()

    async def main():
        result = await outer.try_run()
        return result, [one for one in asyncio.get_running_loop()._scheduled if not one.cancelled()]

    result, timers = run_virtual(main)
    assert (len(starts), result.ended_at, timers) == (1, 5, [])
    assert [record.attempts for record in result.ops.values()] == [1, 1]
    assert [type(error) for error in result.errors] == [OpTimeout, OpTimeout]


def test_nested_graphs_of_items_have_a_time_each() -> None:
    """A map over a result: the call for each item counts by itself."""

    @op
    async def numbers() -> list[float]:
        return [1, 60, 2]

    @graph(timeout=5)
    def each_one(x: float) -> float:
        return nap(x)

    @graph
    def outer() -> list[float]:
        return each(each_one, numbers())

    async def main():
        return await outer.on(Deployment("d", concurrency={"pools": {"limits": {"p": 9}}})).try_run()

    result = run_virtual(main)
    assert [result.ops[f"each_one[{i}]/nap"].status.value for i in range(3)] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert result.ended_at == 5


def test_fail_fast_with_a_nested_timeout() -> None:
    """The first op that fails for it stops the run; the others are cancelled, each once."""

    @graph(on_error="fail_fast")
    def outer() -> list[object]:
        return [part(), nap(20)]

    async def main():
        deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 3}}})
        return await outer.on(deployment).try_run(), idle(deployment)

    result, back = run_virtual(main)
    assert (result.status, result.ended_at, back) == (RunStatus.FAILED, 5, True)
    assert "CANCELED" in {record.status.value for record in result.ops.values()}


def test_a_settled_nested_graph_tells_its_timeout() -> None:
    """`settled` takes the failures of a nested graph, timeouts too: the run SUCCEEDED."""

    @graph
    def outer() -> object:
        return part.settled()

    result = run_virtual(outer.try_run)
    assert (result.status, result.output.status) == (RunStatus.SUCCEEDED, OpStatus.FAILED)


# ── refused ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [math.nan, -1, 0, "5", True, timedelta(0), -math.inf], ids=repr)
def test_row_6_timeouts_that_are_no_spans_are_refused(value: object) -> None:
    """Row 6: NaN, negative and 0 are refused with the field's name."""
    for make in (
        nap.options,
        long.options,
        lambda timeout: op(timeout=timeout),
        lambda timeout: graph(timeout=timeout),
    ):
        with pytest.raises(ConfigurationError, match="timeout"):
            make(timeout=value)


def test_row_6_infinite_is_none_and_huge_is_fine() -> None:
    """Row 6: inf is no timeout, 1e300 one that never comes; a timedelta is taken."""
    assert nap.options(timeout=math.inf).definition.options.timeout is None
    assert nap.options(timeout=timedelta(minutes=1)).definition.options.timeout == 60
    assert run_virtual(nap.options(timeout=1e300).run, 1) == 1
